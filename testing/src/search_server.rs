//! An OpenSearch or Elasticsearch node of a test's own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::http_server::{HttpRequest, exchange};

/// A running node; ended when dropped, and with the test's process however that ends.
#[derive(Debug)]
pub struct SearchServer {
    child: Child,
    program: PathBuf,
    address: SocketAddr,
    folder: TempDir,
}

impl SearchServer {
    /// OpenSearch 2.
    ///
    /// # Panics
    /// When it is not installed or does not answer.
    pub fn opensearch() -> Self {
        Self::start("opensearch-2.19.1", "scripts/setup.sh")
    }

    /// Elasticsearch 7.
    ///
    /// # Panics
    /// When it is not installed or does not answer.
    pub fn elasticsearch() -> Self {
        Self::start("elasticsearch-7.17.29", "scripts/setup.sh chaos")
    }

    /// Its address as a pipeline file has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Status and body of a request; the body is null where it is no JSON.
    ///
    /// # Panics
    /// When the node does not answer.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        ask(self.address, method, path, body).expect("the node answers")
    }

    /// Stops it at once, as a power cut would.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again with what it had stored, on another port: its own may be somebody else's by now.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start_again(&mut self) {
        (self.child, self.address) = run(&self.program, self.folder.path());
    }

    fn start(installed: &str, how: &str) -> Self {
        let program = crate::cache().join(installed);
        assert!(program.is_dir(), "{installed} is not installed: run {how}");
        let folder = TempDir::new().expect("a folder");
        let (child, address) = run(&program, folder.path());
        Self { child, program, address, folder }
    }
}

impl Drop for SearchServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node that answers, and where.
fn run(program: &Path, folder: &Path) -> (Child, SocketAddr) {
    // Between finding free ports and taking them, another test may have taken them.
    for _ in 0..3 {
        let address = crate::free_address();
        let mut child = spawn(program, folder, address);
        if is_ready(&mut child, address) {
            return (child, address);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    panic!("{} does not start: {log}", program.display());
}

fn spawn(program: &Path, folder: &Path, address: SocketAddr) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).expect("a file");
    Command::new("java")
        .args(["-Xmx512m", "-Xms512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true"])
        .arg(format!("-Dlog4j2.configurationFile={}", program.join("log4j2.properties").display()))
        .args(["-Dopensearch.set.netty.runtime.available.processors=false"])
        .args(["-Des.set.netty.runtime.available.processors=false"])
        .arg("-cp")
        .arg(format!("{0}/lib/*:{0}", program.display()))
        .arg("SearchNode")
        .arg(folder)
        .args([address.port(), crate::free_address().port()].map(|port| port.to_string()))
        // The node ends when this pipe does.
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("java cannot be started ({error}): run scripts/setup.sh"))
}

/// Waits until it answers; false when it ends instead.
fn is_ready(child: &mut Child, address: SocketAddr) -> bool {
    let limit = Instant::now() + Duration::from_secs(120);
    while Instant::now() < limit {
        if child.try_wait().expect("it can be asked").is_some() {
            return false;
        }
        let path = "/_cluster/health?wait_for_status=yellow&timeout=30s";
        if matches!(ask(address, "GET", path, &Value::Null), Ok((200, _))) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}

fn ask(address: SocketAddr, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let request = HttpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
    };
    let reply = exchange(address, &request)?;
    Ok((reply.status, serde_json::from_slice(&reply.body).unwrap_or_default()))
}
