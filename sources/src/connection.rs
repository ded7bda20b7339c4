//! A connection to Redis that is made when it is first needed, and anew when it breaks or when it leads
//! to a server that is no primary any more.
//!
//! Whoever uses it sends commands, pipelines and scripts and need not know what kind of installation
//! there is. Errors come back: trying again, and when, is the caller's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult, ServerError, Value,
};
use tokio::sync::Mutex;

use crate::redis_target::{Found, Target};
use crate::redis_tls::explained;

/// The code of an error that no server sent, where only one of a server can stand.
const UNREACHABLE: &str = "UNREACHABLE";

/// How often a connection to a Cluster is made anew at most: while one of its servers is away, the others
/// are served by the one that there is.
const REBUILD_INTERVAL: Duration = Duration::from_secs(5);

/// How often Sentinels are asked whether the primary is still the one we speak to.
const VERIFY_INTERVAL: Duration = Duration::from_secs(5);

/// A connection that whoever holds it shares.
pub(crate) struct Connection {
    target: Arc<Target>,
    current: Mutex<Option<Current>>,
}

/// What there is now, and when it was last found to be right.
struct Current {
    link: Link,
    made: Instant,
    verified: Instant,
}

/// A connection as it is used. Clones share it.
#[derive(Clone)]
pub(crate) struct Link {
    wire: Wire,
    /// Where a Sentinel said that the primary is.
    primary: Option<Arc<str>>,
    is_broken: Arc<AtomicBool>,
}

#[derive(Clone)]
enum Wire {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// One server that holds keys: the only one, or a primary of a Cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Primary {
    Only,
    At { host: String, port: u16 },
}

impl Connection {
    /// Contacts nobody.
    pub(crate) fn new(target: Target) -> Self {
        Self { target: Arc::new(target), current: Mutex::new(None) }
    }

    /// The connection, made now if there is none that works.
    pub(crate) async fn get(&self) -> RedisResult<Link> {
        let mut current = self.current.lock().await;
        if let Some(Current { link, made, verified }) = &mut *current
            && (!link.is_broken.load(Ordering::Relaxed)
                || (link.is_cluster() && made.elapsed() < REBUILD_INTERVAL))
        {
            if link.primary.is_some() && verified.elapsed() >= VERIFY_INTERVAL {
                *verified = Instant::now();
                self.verify(link.clone());
            }
            return Ok(link.clone());
        }
        // Should making it fail, or the caller not wait for it, then there is none.
        *current = None;
        let (wire, primary) = match self.target.connect().await? {
            Found::Server(connection) => (Wire::Server(connection), None),
            Found::Primary(connection, address) => (Wire::Server(connection), Some(address.into())),
            Found::Cluster(connection) => (Wire::Cluster(connection), None),
        };
        let link = Link { wire, primary, is_broken: Arc::default() };
        let now = Instant::now();
        *current = Some(Current { link: link.clone(), made: now, verified: now });
        Ok(link)
    }

    /// Asks beside everything else whether the primary is still the same. One that was cut off from its
    /// Sentinels does not know that it was replaced, and goes on answering.
    fn verify(&self, link: Link) {
        let target = self.target.clone();
        tokio::spawn(async move {
            if let Ok(address) = target.primary().await
                && link.primary.as_deref() != Some(&*address.to_string())
            {
                link.is_broken.store(true, Ordering::Relaxed);
            }
        });
    }
}

impl Link {
    fn is_cluster(&self) -> bool {
        matches!(self.wire, Wire::Cluster(_))
    }

    /// The servers that hold keys, for what has to be asked of each.
    pub(crate) async fn primaries(&mut self) -> RedisResult<Vec<Primary>> {
        let Wire::Cluster(cluster) = &mut self.wire else { return Ok(vec![Primary::Only]) };
        let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let answers = cluster.route_command(redis::cmd("PING"), all).await;
        self.notice(answers.as_ref());
        let answers: Vec<(String, Value)> = redis::from_redis_value(answers?)?;
        let primary = |(address, _): (String, Value)| {
            let (host, port) = address.rsplit_once(':')?;
            Some(Primary::At { host: host.to_owned(), port: port.parse().ok()? })
        };
        let primaries: Option<Vec<_>> = answers.into_iter().map(primary).collect();
        primaries.ok_or_else(|| (ErrorKind::Client, "a server of the cluster has no usable address").into())
    }

    /// Asks one of them.
    pub(crate) async fn ask<T: FromRedisValue>(
        &mut self,
        primary: &Primary,
        command: &Cmd,
    ) -> RedisResult<T> {
        let (Wire::Cluster(cluster), Primary::At { host, port }) = (&mut self.wire, primary) else {
            return command.query_async(self).await;
        };
        let node = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
        let answer = cluster.route_command(command.clone(), RoutingInfo::SingleNode(node)).await;
        self.notice(answer.as_ref());
        Ok(redis::from_redis_value(answer?.extract_error()?)?)
    }

    /// A connection that failed, or that leads to a server that must not be written to, is made anew.
    fn notice(&self, answer: Result<&Value, &RedisError>) {
        let is_useless = match answer {
            Ok(Value::ServerError(error)) => {
                error.code() == UNREACHABLE || is_of_no_primary(error.code(), error.details())
            }
            Ok(_) => false,
            Err(error) => {
                error.is_io_error()
                    || error.is_unrecoverable_error()
                    || error.kind() == ErrorKind::ClusterConnectionNotFound
                    || error.code().is_some_and(|code| is_of_no_primary(code, error.detail()))
            }
        };
        if is_useless {
            self.is_broken.store(true, Ordering::Relaxed);
        }
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let answer = match &mut self.wire {
                Wire::Server(connection) => connection.req_packed_command(command).await,
                Wire::Cluster(cluster) => cluster.req_packed_command(command).await,
            };
            self.notice(answer.as_ref());
            // A server refuses a certificate of ours only after the handshake.
            answer.map_err(explained)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let answers = match &mut self.wire {
                Wire::Server(connection) => connection.req_packed_commands(pipeline, offset, count).await,
                // A transaction is of one slot, and goes to its server as it is.
                Wire::Cluster(cluster) if pipeline.is_transaction() => {
                    cluster.req_packed_commands(pipeline, offset, count).await
                }
                Wire::Cluster(cluster) => {
                    Ok(join_all(pipeline.cmd_iter().map(|command| alone(cluster.clone(), command))).await)
                }
            };
            match &answers {
                Ok(answers) => answers.iter().for_each(|answer| self.notice(Ok(answer))),
                Err(error) => self.notice(Err(error)),
            }
            answers.map_err(explained)
        })
    }

    fn get_db(&self) -> i64 {
        match &self.wire {
            Wire::Server(connection) => connection.get_db(),
            Wire::Cluster(cluster) => cluster.get_db(),
        }
    }
}

/// One command of a pipeline in a Cluster. Each goes its own way, all at once: they are of many slots,
/// and while a slot moves, one server may have one key of a list and another server the other, which
/// only a redirection for each command can follow. What fails is the answer to that command alone.
async fn alone(mut cluster: ClusterConnection, command: &Cmd) -> Value {
    match cluster.req_packed_command(command).await {
        Ok(answer) => answer,
        Err(error) => Value::ServerError(as_answer(error)),
    }
}

/// An error as a server would have sent it.
fn as_answer(error: RedisError) -> ServerError {
    let answer = ServerError::try_from(error).or_else(|error| {
        ServerError::try_from(redis::make_extension_error(UNREACHABLE.into(), Some(error.to_string())))
    });
    answer.expect("an extension error is one of a server")
}

/// Whether an error says that the server is no primary, or has lost its own. Until Redis 7 an error of a
/// command within a script has another code, and the word within its text.
fn is_of_no_primary(code: &str, details: Option<&str>) -> bool {
    let is_one = |text: &str| text.contains("READONLY") || text.contains("MASTERDOWN");
    // A transaction does not say why it was refused.
    is_one(code) || code == "EXECABORT" || (code == "ERR" && details.is_some_and(is_one))
}

#[cfg(test)]
mod tests {
    use pump_testing::RedisServer;
    use redis::{Client, cmd};

    use super::*;

    async fn id(connection: &Connection) -> u64 {
        let mut link = connection.get().await.expect("redis answers");
        cmd("CLIENT").arg("ID").query_async(&mut link).await.expect("redis answers")
    }

    #[tokio::test]
    async fn a_connection_to_a_server_that_was_demoted_is_made_anew() {
        let redis = RedisServer::start();
        let connection = Connection::new(Target::of(&Client::open(redis.url()).expect("an address")));
        let first = id(&connection).await;
        assert_eq!(id(&connection).await, first, "one that works is kept");
        let mut other = redis.connection();
        // Of nobody that answers: it stays a replica, and its clients stay connected.
        cmd("REPLICAOF").arg(&["127.0.0.1", "1"]).exec(&mut other).expect("it is one now");
        let mut before = first;
        for command in [
            cmd("SET").arg(&["key", "value"]),
            cmd("EVAL").arg(&["return redis.call('SET', KEYS[1], 'value')", "1", "key"]),
        ] {
            let mut link = connection.get().await.expect("redis answers");
            let error = command.exec_async(&mut link).await.expect_err("it must not be written to");
            assert!(error.to_string().to_uppercase().contains("READONLY"), "{error}");
            let now = id(&connection).await;
            assert_ne!(now, before, "the connection is another one");
            before = now;
        }
        // In a pipeline one answer is enough.
        let mut pipeline = redis::pipe();
        pipeline.get("key").set("key", "value").ignore_errors();
        let mut link = connection.get().await.expect("redis answers");
        let _: Vec<RedisResult<Value>> = pipeline.query_async(&mut link).await.expect("redis answers");
        let now = id(&connection).await;
        assert_ne!(now, before);
        let mut transaction = redis::pipe();
        transaction.atomic().set("key", "value");
        let mut link = connection.get().await.expect("redis answers");
        transaction.exec_async(&mut link).await.expect_err("it must not be written to");
        assert_ne!(id(&connection).await, now);
    }

    #[test]
    fn what_no_server_said_can_stand_among_answers() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let answer = as_answer(refused.into());
        assert_eq!(answer.code(), UNREACHABLE);
        assert!(answer.details().is_some_and(|details| details.contains("refused")));
    }
}
