//! A Redis server of a test's own.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Whether every write is on disk before it is answered.
    pub is_durable: bool,
    /// `maxmemory` in bytes; 0: no limit.
    pub max_memory: u64,
    /// `maxmemory-policy`; empty: the server's default, `noeviction`.
    pub eviction: &'static str,
    /// A password; empty: none.
    pub password: &'static str,
}

/// A running Redis server; ended when dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
    options: RedisOptions,
}

impl RedisServer {
    /// A server that keeps everything in memory.
    pub fn start() -> Self {
        Self::with(RedisOptions::default())
    }

    /// A server whose data survive [`Self::restart`].
    pub fn durable() -> Self {
        Self::with(RedisOptions { is_durable: true, ..RedisOptions::default() })
    }

    /// A server as the options say.
    ///
    /// # Panics
    /// When `redis-server` is not installed or does not answer.
    pub fn with(options: RedisOptions) -> Self {
        let folder = TempDir::new().expect("a folder");
        // Between finding a free port and taking it, another test may have taken it.
        for _ in 0..5 {
            let address = crate::free_address();
            if let Some(child) = launch(address, &folder, &options) {
                return Self { child, address, folder, options };
            }
        }
        panic!("redis-server does not start: run it by hand to see why");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a pipeline file has it.
    pub fn url(&self) -> String {
        url(self.address, &self.options)
    }

    /// A connection of the test's own.
    pub fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("an address");
        client.get_connection().expect("redis answers")
    }

    /// All keys in it, sorted.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> =
            redis::cmd("KEYS").arg("*").query(&mut self.connection()).expect("redis answers");
        keys.sort();
        keys
    }

    /// Ends it at once, as a crash would, and starts it again on the same port with what is on disk.
    pub fn restart(&mut self) {
        self.kill();
        self.child = launch(self.address, &self.folder, &self.options).expect("redis-server starts again");
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it (SIGSTOP) until [`Self::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process has a number");
        kill_process(pid, signal).expect("it still runs");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a server and waits until it answers and has loaded its data; `None` when it ends instead.
fn launch(address: SocketAddr, folder: &TempDir, options: &RedisOptions) -> Option<Child> {
    // It appears once this server has its port: whoever answers there before that is somebody else.
    let pid_file = folder.path().join("redis.pid");
    let _ = std::fs::remove_file(&pid_file);
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &address.port().to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--daemonize",
        "no",
    ]);
    command.arg("--dir").arg(folder.path()).arg("--pidfile").arg(&pid_file);
    command.args(["--maxmemory", &options.max_memory.to_string()]);
    if options.is_durable {
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    if !options.eviction.is_empty() {
        command.args(["--maxmemory-policy", options.eviction]);
    }
    if !options.password.is_empty() {
        command.args(["--requirepass", options.password]);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child
        .unwrap_or_else(|error| panic!("redis-server cannot be started ({error}): run scripts/setup.sh"));
    let limit = Instant::now() + Duration::from_secs(30);
    while !(pid_file.exists() && answers(address, options)) {
        if child.try_wait().expect("it can be asked").is_some() {
            return None;
        }
        assert!(Instant::now() < limit, "redis-server does not answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(child)
}

fn answers(address: SocketAddr, options: &RedisOptions) -> bool {
    let client = redis::Client::open(url(address, options)).expect("an address");
    let answer = client.get_connection().and_then(|mut redis| redis::cmd("PING").query::<String>(&mut redis));
    answer.is_ok()
}

fn url(address: SocketAddr, options: &RedisOptions) -> String {
    let password = match options.password {
        "" => String::new(),
        password => format!(":{password}@"),
    };
    format!("redis://{password}{address}/0")
}
