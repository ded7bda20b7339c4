//! How to get from a section of the pipeline file to a connection: the one server, the primary that the
//! Sentinels name, or a Cluster.

use std::time::Duration;

use pump_core::config::{HostPort, RedisMode, RedisServer, RedisUrl};
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode,
};

use crate::redis_tls::{TlsFiles, explained};

/// How long Redis may take for an answer. A reply may be megabytes, and the server may be loading.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one of several servers may take: another one may be faster.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);
/// How often a Cluster's client follows redirections and tries again by itself, before whoever asked
/// hears of it. Few: everybody who asks has a backoff of its own, and goes on with other things meanwhile.
const CLUSTER_RETRIES: u32 = 3;

/// Where a Redis is.
pub(crate) struct Target {
    kind: Kind,
    /// `None`: not encrypted.
    tls: Option<TlsFiles>,
}

enum Kind {
    Server(ConnectionInfo),
    Sentinel { nodes: Vec<HostPort>, master: String, own: RedisConnectionInfo, redis: RedisConnectionInfo },
    Cluster { nodes: Vec<HostPort>, redis: RedisConnectionInfo },
}

/// What was found there.
pub(crate) enum Found {
    Server(MultiplexedConnection),
    /// The primary that the Sentinels name, and its address.
    Primary(MultiplexedConnection, String),
    Cluster(ClusterConnection),
}

impl Target {
    /// Reads the files of `tls`, to say at once what is wrong with them; contacts nobody.
    pub(crate) fn new(server: &RedisServer) -> RedisResult<Self> {
        if let Some((key, message)) = server.contradiction() {
            return Err(invalid(format!("{key}: {message}")));
        }
        let is_rediss = server.url.as_ref().is_some_and(|url| url.scheme() == "rediss");
        let tls = (is_rediss || server.tls.is_some())
            .then(|| TlsFiles::new(server.tls.clone().unwrap_or_default()));
        if let Some(tls) = &tls {
            tls.check()?;
        }
        let (address, redis) = match &server.url {
            Some(url) => address(url)?,
            None => (None, RedisConnectionInfo::default()),
        };
        let redis = logged_in(redis, server.username.as_deref(), server.password.as_ref());
        let redis = match server.database {
            Some(database) => redis.set_db(i64::from(database)),
            None => redis,
        };
        let mut nodes = server.nodes.clone().unwrap_or_default();
        let kind = match server.mode {
            RedisMode::Standalone => {
                let only = || nodes.first().map(|node| ConnectionAddr::Tcp(node.host.clone(), node.port));
                let address = address.or_else(only).ok_or_else(|| invalid("there is no address".into()))?;
                Kind::Server(with_settings(address, redis)?)
            }
            RedisMode::Sentinel => Kind::Sentinel {
                nodes,
                master: server.master.clone().unwrap_or_default(),
                own: logged_in(
                    RedisConnectionInfo::default().set_skip_set_lib_name(),
                    server.sentinel_username.as_deref(),
                    server.sentinel_password.as_ref(),
                ),
                redis,
            },
            RedisMode::Cluster => {
                if let Some(ConnectionAddr::Tcp(host, port)) = address {
                    nodes.push(HostPort { host, port });
                }
                Kind::Cluster { nodes, redis }
            }
        };
        Ok(Self { kind, tls })
    }

    /// The server of a client of the `redis` crate, not encrypted.
    #[cfg(test)]
    pub(crate) fn of(client: &Client) -> Self {
        Self { kind: Kind::Server(client.get_connection_info().clone()), tls: None }
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> RedisResult<Found> {
        match &self.kind {
            Kind::Server(info) => self.server(info.clone(), PATIENCE).await.map(Found::Server),
            Kind::Sentinel { redis, .. } => {
                let address = self.primary().await?;
                let info = with_settings(tcp(&address), redis.clone())?;
                let told = |error: RedisError| {
                    let text = format!("{address}, the primary as the Sentinels say: {error}");
                    RedisError::from((error.kind(), "redis cannot be used", text))
                };
                let mut connection = self.server(info, SHORT_PATIENCE).await.map_err(told)?;
                // Sentinels name the old primary until they have agreed on a new one.
                let role: Vec<redis::Value> =
                    redis::cmd("ROLE").query_async(&mut connection).await.map_err(told)?;
                match role.first() {
                    Some(redis::Value::BulkString(role)) if role == b"master" => {
                        Ok(Found::Primary(connection, address.to_string()))
                    }
                    _ => {
                        Err((ErrorKind::Client, "the server that the Sentinels name is no primary yet")
                            .into())
                    }
                }
            }
            Kind::Cluster { nodes, redis } => self.cluster(nodes, redis).await.map(Found::Cluster),
        }
    }

    /// Where the Sentinels say that the primary is.
    pub(crate) async fn primary(&self) -> RedisResult<HostPort> {
        let Kind::Sentinel { nodes, master, own, .. } = &self.kind else {
            return Err(invalid("there are no Sentinels".into()));
        };
        let mut last = invalid("there are no Sentinels".into());
        for node in nodes {
            match self.ask_sentinel(node, master, own).await {
                Ok(Some(primary)) => return Ok(primary),
                Ok(None) => {
                    let text = format!("the Sentinel {node} knows no primary `{master}`: is `master` right?");
                    last = (ErrorKind::MasterNameNotFoundBySentinel, "no primary", text).into();
                }
                Err(error) => {
                    let text = format!("the Sentinel {node}: {error}");
                    last = (error.kind(), "no Sentinel answers", text).into();
                }
            }
        }
        Err(last)
    }

    async fn ask_sentinel(
        &self,
        node: &HostPort,
        master: &str,
        own: &RedisConnectionInfo,
    ) -> RedisResult<Option<HostPort>> {
        let mut sentinel = self.server(with_settings(tcp(node), own.clone())?, SHORT_PATIENCE).await?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(master);
        let found: Option<(String, u16)> = ask.query_async(&mut sentinel).await?;
        Ok(found.map(|(host, port)| HostPort { host, port }))
    }

    async fn server(&self, info: ConnectionInfo, patience: Duration) -> RedisResult<MultiplexedConnection> {
        let client = match &self.tls {
            None => Client::open(info)?,
            Some(tls) => {
                let info = info.clone().set_addr(encrypted(info.addr()));
                Client::build_with_tls(info, tls.read()?)?
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(PATIENCE));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        connection.map_err(|error| match &self.tls {
            // A server that speaks no TLS waits for the end of what it takes for a command.
            Some(_) if error.is_timeout() => {
                let advice = "no answer to TLS: does the server speak it at this port?";
                (ErrorKind::Io, advice, error.to_string()).into()
            }
            _ => explained(error),
        })
    }

    async fn cluster(
        &self,
        nodes: &[HostPort],
        redis: &RedisConnectionInfo,
    ) -> RedisResult<ClusterConnection> {
        let certificates: Option<TlsCertificates> = self.tls.as_ref().map(TlsFiles::read).transpose()?;
        let address = |node| if self.tls.is_some() { encrypted(&tcp(node)) } else { tcp(node) };
        let seeds: RedisResult<Vec<_>> =
            nodes.iter().map(|node| with_settings(address(node), redis.clone())).collect();
        let mut builder = ClusterClientBuilder::new(seeds?)
            .retries(CLUSTER_RETRIES)
            .connection_timeout(SHORT_PATIENCE)
            .response_timeout(PATIENCE);
        if let Some(username) = redis.username() {
            builder = builder.username(username);
        }
        if let Some(password) = redis.password() {
            builder = builder.password(password);
        }
        if let Some(certificates) = certificates {
            builder = builder.tls(TlsMode::Secure).certs(certificates);
        }
        builder.build()?.get_async_connection().await.map_err(explained)
    }
}

/// The address in a URL (none for the parts that `nodes` has), and who we are according to it.
fn address(url: &RedisUrl) -> RedisResult<(Option<ConnectionAddr>, RedisConnectionInfo)> {
    if let Some(path) = url.socket() {
        return Ok((Some(ConnectionAddr::Unix(path.into())), RedisConnectionInfo::default()));
    }
    let info = url.expose().into_connection_info()?;
    let address = match info.addr() {
        // Certificates come when the connection is made.
        ConnectionAddr::TcpTls { host, port, .. } => ConnectionAddr::Tcp(host.clone(), *port),
        other => other.clone(),
    };
    Ok((Some(address), info.redis_settings().clone()))
}

fn logged_in(
    mut redis: RedisConnectionInfo,
    username: Option<&str>,
    password: Option<&pump_core::config::Secret>,
) -> RedisConnectionInfo {
    if let Some(username) = username {
        redis = redis.set_username(username);
    }
    match password {
        Some(password) => redis.set_password(password.expose()),
        None => redis,
    }
}

fn with_settings(address: ConnectionAddr, redis: RedisConnectionInfo) -> RedisResult<ConnectionInfo> {
    // The name of the library would need a permission that nothing else here needs.
    Ok(address.into_connection_info()?.set_redis_settings(redis.set_skip_set_lib_name()))
}

fn tcp(node: &HostPort) -> ConnectionAddr {
    ConnectionAddr::Tcp(node.host.clone(), node.port)
}

fn encrypted(address: &ConnectionAddr) -> ConnectionAddr {
    match address {
        ConnectionAddr::Tcp(host, port) => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
        other => other.clone(),
    }
}

fn invalid(text: String) -> RedisError {
    (ErrorKind::InvalidClientConfig, "this is no address of a Redis", text).into()
}
