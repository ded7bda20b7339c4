//! StatsD daemons of a test's own: etsy's, and Prometheus's statsd_exporter.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http_server::{HttpRequest, exchange};

/// etsy's daemon, on TCP and UDP at the same port; ended when dropped, and with the test's process.
#[derive(Debug)]
pub struct EtsyStatsd {
    /// `None` while it is stopped.
    child: Option<Child>,
    address: SocketAddr,
    console: SocketAddr,
    folder: TempDir,
}

/// What installs them.
const SETUP: &str = "scripts/setup.sh";

/// A backend that writes each flush as a line of JSON. The daemon ends with whoever started it.
const BACKEND: &str = r#"
const fs = require('fs');
process.stdin.resume();
process.stdin.on('end', () => process.exit());
exports.init = (startupTime, config, events) => {
  events.on('flush', (time, metrics) => fs.appendFileSync(config.flushFile, JSON.stringify(metrics) + '\n'));
  return true;
};
"#;

impl EtsyStatsd {
    /// A daemon that flushes only when it is stopped.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start() -> Self {
        // Between finding free ports and taking them, another test may have taken them.
        for _ in 0..5 {
            let (address, console) = (crate::free_address(), crate::free_address());
            let folder = TempDir::new().expect("a folder");
            std::fs::write(folder.path().join("backend.js"), BACKEND).expect("written");
            let mut daemon = Self { child: None, address, console, folder };
            if daemon.launch() {
                return daemon;
            }
        }
        panic!("the etsy daemon does not start");
    }

    /// Where it listens, by TCP and by UDP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has counted, with what it flushed whenever it was stopped. Counters that the daemon keeps of itself
    /// are among them.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn counters(&self) -> BTreeMap<String, f64> {
        let text = self.ask("counters").expect("the daemon answers");
        let mut counters = BTreeMap::new();
        for flush in self.flushes() {
            for (name, count) in flush["counters"].as_object().into_iter().flatten() {
                *counters.entry(name.clone()).or_default() += count.as_f64().unwrap_or_default();
            }
        }
        // As JavaScript shows an object: `'a.b': 12,`.
        let entry = |line: &str| {
            let (name, value) = line.trim().trim_end_matches([',', '}']).rsplit_once(':')?;
            let name = name.trim_start_matches('{').trim().trim_matches('\'');
            Some((name.to_owned(), value.trim().parse::<f64>().ok()?))
        };
        for (name, count) in text.lines().flat_map(|line| line.split(", ")).filter_map(entry) {
            *counters.entry(name).or_default() += count;
        }
        counters
    }

    /// Ends it in order, and returns what it flushed then: `counters`, `timers`, `timer_data` and more.
    ///
    /// # Panics
    /// When it is not running, or flushes nothing.
    pub fn stop(&mut self) -> Value {
        let mut child = self.child.take().expect("it runs");
        let pid = Pid::from_raw(child.id() as i32).expect("a process has a number");
        kill_process(pid, Signal::TERM).expect("it runs");
        child.wait().expect("it can be waited for");
        self.flushes().pop().expect("it has flushed")
    }

    /// Starts it again on the same port, with nothing in it but what it flushed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.kill();
        assert!(self.launch(), "the etsy daemon does not start again");
    }

    /// Ends it at once, as a crash would: what it has counted is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it (SIGSTOP) until [`Self::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn flushes(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("flushes")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(child.id() as i32));
        kill_process(pid.expect("it runs"), signal).expect("it runs");
    }

    fn launch(&mut self) -> bool {
        let program = installed("statsd-0.9.0").join("node_modules/statsd");
        let folder = self.folder.path();
        let server = |kind| json!({ "server": format!("./servers/{kind}"), "address": "127.0.0.1", "port": self.address.port() });
        let config = json!({
            "servers": [server("tcp"), server("udp")],
            "mgmt_address": "127.0.0.1",
            "mgmt_port": self.console.port(),
            "flushInterval": 3_600_000,
            "percentThreshold": [50, 90, 99],
            "backends": [folder.join("backend.js")],
            "flushFile": folder.join("flushes"),
            "title": false,
        });
        let config_file = folder.join("config.js");
        // The daemon evaluates it as the inside of an expression.
        std::fs::write(&config_file, config.to_string()).expect("written");
        let mut command = Command::new("node");
        command.arg("stats.js").arg(config_file).current_dir(program).stdin(Stdio::piped());
        let mut child = spawn(&mut command, folder);
        let is_ready =
            wait_until(&mut child, || self.ask("health").is_ok() && TcpStream::connect(self.address).is_ok());
        self.child = Some(child);
        if !is_ready {
            self.kill();
        }
        is_ready
    }

    fn ask(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.console, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        // It takes what comes at once for a command, and ends when we do.
        stream.write_all(command.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Drop for EtsyStatsd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Prometheus's statsd_exporter, on UDP and a Unix socket; ended when dropped.
#[derive(Debug)]
pub struct StatsdExporter {
    child: Option<Child>,
    address: SocketAddr,
    web: SocketAddr,
    folder: TempDir,
}

impl StatsdExporter {
    /// A daemon.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub fn start() -> Self {
        for _ in 0..5 {
            let (address, web) = (crate::free_address(), crate::free_address());
            let folder = TempDir::new().expect("a folder");
            let mut daemon = Self { child: None, address, web, folder };
            if daemon.launch() {
                return daemon;
            }
        }
        panic!("statsd_exporter does not start");
    }

    /// Where it listens by UDP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its Unix socket, for datagrams.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Samples by name and labels as Prometheus writes them, such as `requests{code="200"}`. Those that the daemon
    /// keeps of itself are among them.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn samples(&self) -> BTreeMap<String, f64> {
        let text = self.page().expect("the daemon answers");
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
    }

    /// Starts it again on the same port and socket, with nothing in it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.kill();
        assert!(self.launch(), "statsd_exporter does not start again");
    }

    /// Ends it at once: what it has counted is gone, and its socket stays as a file that nobody listens at.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn launch(&mut self) -> bool {
        let program = installed("statsd_exporter-0.31.0").join("statsd_exporter");
        let socket = self.socket();
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new(program);
        command
            .arg(format!("--statsd.listen-udp={}", self.address))
            .arg("--statsd.listen-tcp=")
            .arg(format!("--statsd.listen-unixgram={}", socket.display()))
            .arg(format!("--web.listen-address={}", self.web))
            .stdin(Stdio::null());
        let mut child = spawn(&mut command, self.folder.path());
        let is_ready = wait_until(&mut child, || self.page().is_ok() && socket.exists());
        self.child = Some(child);
        if !is_ready {
            self.kill();
        }
        is_ready
    }

    fn page(&self) -> std::io::Result<String> {
        let request =
            HttpRequest { method: "GET".to_owned(), path: "/metrics".to_owned(), ..HttpRequest::default() };
        let body = exchange(self.web, &request)?.body;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

impl Drop for StatsdExporter {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs it; what it says is in the folder, as `log`.
fn spawn(command: &mut Command, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).expect("a file");
    let again = log.try_clone().expect("a second handle");
    let child = command.stdout(log).stderr(again).spawn();
    child.unwrap_or_else(|error| panic!("{command:?} cannot be started ({error}): run {SETUP}"))
}

/// Waits until it is ready; false when it ends instead.
fn wait_until(child: &mut Child, is_ready: impl Fn() -> bool) -> bool {
    let limit = Instant::now() + Duration::from_secs(30);
    while Instant::now() < limit {
        if child.try_wait().expect("it can be asked").is_some() {
            return false;
        }
        if is_ready() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// The folder of a program and its version.
fn installed(name: &str) -> PathBuf {
    let folder = crate::cache().join(name);
    assert!(folder.is_dir(), "{name} is not installed: run {SETUP}");
    folder
}
