//! A Redis server of a test's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Certificates;

/// Which program a server is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Program {
    /// Redis.
    #[default]
    Redis,
    /// Valkey.
    Valkey,
}

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Which program it is.
    pub program: Program,
    /// Whether every write is on disk before it is answered.
    pub is_durable: bool,
    /// `maxmemory` in bytes; 0: no limit.
    pub max_memory: u64,
    /// `maxmemory-policy`; empty: the server's default, `noeviction`.
    pub eviction: &'static str,
    /// A password; empty: none.
    pub password: &'static str,
    /// It speaks TLS only, and wants a certificate from its clients.
    pub tls: Option<Certificates>,
    /// Whether it also listens on a Unix socket.
    pub has_socket: bool,
    /// Lines of an ACL file; the default user may do everything all the same.
    pub users: String,
    /// Further arguments.
    pub arguments: Vec<String>,
}

/// A running Redis server; ended when dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
    options: RedisOptions,
}

impl Program {
    fn command(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }
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
        panic!("{} does not start: run it by hand to see why", options.program.command());
    }

    /// Its address as a pipeline file has it.
    pub fn url(&self) -> String {
        url(self.address, &self.options)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its Unix socket, where it was started with one.
    pub fn socket(&self) -> PathBuf {
        socket(&self.folder)
    }

    /// A connection of the test's own.
    pub fn connection(&self) -> redis::Connection {
        let client = client(self.address, &self.options);
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
        let child = launch(self.address, &self.folder, &self.options);
        self.child = child.expect("the server starts again");
    }

    /// As [`Self::restart`], and loading takes so many microseconds a command, in which it only says
    /// `LOADING`.
    pub fn restart_slowly(&mut self, delay: u32) {
        self.options.arguments.extend(["--key-load-delay".to_owned(), delay.to_string()]);
        self.restart();
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
    let program = options.program.command();
    let mut command = Command::new(program);
    let port = address.port().to_string();
    let (plain, encrypted) = if options.tls.is_some() { ("0", &*port) } else { (&*port, "0") };
    command.args(["--port", plain, "--tls-port", encrypted, "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--daemonize", "no"]);
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
    if let Some(certificates) = &options.tls {
        let files = [("cert", "server.pem"), ("key", "server.key"), ("ca-cert", "ca.pem")];
        for (what, name) in files {
            command.arg(format!("--tls-{what}-file")).arg(certificates.path(name));
        }
    }
    if options.has_socket {
        command.arg("--unixsocket").arg(socket(folder));
    }
    if !options.users.is_empty() {
        let file = folder.path().join("users.acl");
        std::fs::write(&file, &options.users).expect("written");
        command.arg("--aclfile").arg(file);
    }
    command.args(&options.arguments);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child =
        child.unwrap_or_else(|error| panic!("{program} cannot be started ({error}): run scripts/setup.sh"));
    let limit = Instant::now() + Duration::from_secs(30);
    while !(pid_file.exists() && answers(address, options)) {
        if child.try_wait().expect("it can be asked").is_some() {
            return None;
        }
        assert!(Instant::now() < limit, "{program} does not answer");
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(child)
}

fn answers(address: SocketAddr, options: &RedisOptions) -> bool {
    let connection = client(address, options).get_connection();
    connection.and_then(|mut redis| redis::cmd("PING").query::<String>(&mut redis)).is_ok()
}

fn client(address: SocketAddr, options: &RedisOptions) -> redis::Client {
    let url = url(address, options);
    let client = match &options.tls {
        None => redis::Client::open(url),
        Some(certificates) => redis::Client::build_with_tls(url, certificates.for_client()),
    };
    client.expect("an address")
}

fn url(address: SocketAddr, options: &RedisOptions) -> String {
    let scheme = if options.tls.is_some() { "rediss" } else { "redis" };
    let password = match options.password {
        "" => String::new(),
        password => format!(":{password}@"),
    };
    format!("{scheme}://{password}{address}/0")
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("redis.sock")
}
