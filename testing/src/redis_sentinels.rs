//! Three Sentinels, which watch a primary and a replica.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{RedisOptions, RedisServer};

/// The name under which the Sentinels know the primary.
const MASTER: &str = "gateway";

/// They fail over within seconds. They end when it is dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    sentinels: Vec<Sentinel>,
}

#[derive(Debug)]
struct Sentinel {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl RedisSentinels {
    /// Starts them, a primary and its replica; `user` is a line of the Sentinels' own configuration,
    /// `servers` is how the two servers are started.
    ///
    /// # Panics
    /// When they do not come up.
    pub fn start(user: &str, servers: &RedisOptions) -> (Self, RedisServer, RedisServer) {
        let with = |arguments: &[&str]| {
            let mut options = servers.clone();
            options.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
            // Whoever becomes the replica logs in at the other.
            if !options.password.is_empty() {
                options.arguments.extend(["--masterauth".to_owned(), options.password.to_owned()]);
            }
            RedisServer::with(options)
        };
        let primary = with(&[]);
        let (host, port) = (primary.address().ip().to_string(), primary.address().port().to_string());
        let replica = with(&["--replicaof", &host, &port, "--repl-diskless-sync-delay", "0"]);
        let sentinels = (0..3).map(|_| Sentinel::start(&primary, servers.password, user)).collect();
        let all = Self { sentinels };
        all.wait("the Sentinels find each other and the replica", |sentinel| {
            let state: HashMap<String, String> =
                redis::cmd("SENTINEL").arg(&["MASTER", MASTER]).query(sentinel).unwrap_or_default();
            let is = |key: &str, value: &str| state.get(key).is_some_and(|found| found == value);
            is("num-other-sentinels", "2") && is("num-slaves", "1") && is("flags", "master")
        });
        (all, primary, replica)
    }

    /// The name of the primary.
    pub fn master(&self) -> &'static str {
        MASTER
    }

    /// The Sentinels' addresses.
    pub fn nodes(&self) -> Vec<String> {
        self.sentinels.iter().map(|sentinel| sentinel.address.to_string()).collect()
    }

    /// Where the Sentinels say that the primary is.
    pub fn primary(&self) -> Option<SocketAddr> {
        let mut sentinel = self.sentinels[0].connection()?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(MASTER);
        let (host, port): (String, u16) = ask.query(&mut sentinel).ok()?;
        Some(SocketAddr::new(host.parse().ok()?, port))
    }

    /// Makes the replica the primary although nothing is wrong.
    ///
    /// # Panics
    /// When the Sentinels refuse.
    pub fn fail_over(&self) {
        let mut sentinel = self.sentinels[0].connection().expect("a sentinel answers");
        redis::cmd("SENTINEL").arg(&["FAILOVER", MASTER]).exec(&mut sentinel).expect("it does so");
    }

    /// Makes all of them name another server, and leaves the one they named so far as it is.
    ///
    /// # Panics
    /// When a Sentinel refuses.
    pub fn name_another(&self, server: &RedisServer) {
        let (host, port) = (server.address().ip().to_string(), server.address().port().to_string());
        for sentinel in &self.sentinels {
            let mut sentinel = sentinel.connection().expect("a sentinel answers");
            for arguments in [&["REMOVE", MASTER][..], &["MONITOR", MASTER, &host, &port, "2"]] {
                redis::cmd("SENTINEL").arg(arguments).exec(&mut sentinel).expect("it does so");
            }
        }
    }

    /// Waits until the Sentinels say that this server is the primary.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn wait_for_failover(&self, to: &RedisServer) {
        self.wait("a failover", |_| self.primary() == Some(to.address()));
    }

    fn wait(&self, what: &str, is_so: impl Fn(&mut redis::Connection) -> bool) {
        let limit = Instant::now() + Duration::from_secs(40);
        for sentinel in &self.sentinels {
            while !sentinel.connection().is_some_and(|mut sentinel| is_so(&mut sentinel)) {
                assert!(Instant::now() < limit, "{what}: not within 40 s");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

impl Sentinel {
    fn start(primary: &RedisServer, password: &str, user: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (address, primary) = (crate::free_address(), primary.address());
        // Sentinels write into this file what they find out.
        let file = folder.path().join("sentinel.conf");
        let password = match password {
            "" => String::new(),
            password => format!("sentinel auth-pass {MASTER} {password}\n"),
        };
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} {} {} 2\n\
             sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 5000\n{password}{user}\n",
            address.port(),
            folder.path().display(),
            primary.ip(),
            primary.port()
        );
        std::fs::write(&file, text).expect("written");
        let child = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server cannot be started ({error}): run scripts/setup.sh"));
        Self { child, address, _folder: folder }
    }

    fn connection(&self) -> Option<redis::Connection> {
        redis::Client::open(format!("redis://{}", self.address)).ok()?.get_connection().ok()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
