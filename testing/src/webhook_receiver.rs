//! A receiver of webhooks in Python: another implementation than ours, which checks signatures with the function
//! that the sink's page shows.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Where the function stands that receivers are to use.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sinks/webhook.md");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/webhook_receiver.py");

/// A running receiver; ended when dropped, and with the test's process however that ends.
#[derive(Debug)]
pub struct WebhookReceiver {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl WebhookReceiver {
    /// What requests bear.
    pub const TOKEN: &str = "token-of-the-receiver";
    /// What requests are signed with.
    pub const SECRET: &str = "secret-of-the-receiver";
    /// What it takes in one request, in bytes and before compression.
    pub const MAX_SIZE: usize = 1 << 20;
    /// The longest `api_name` that it takes, in characters.
    pub const MAX_NAME: usize = 10_000;

    /// A receiver that answers whatever it stores.
    pub fn start() -> Self {
        Self::losing(0)
    }

    /// A receiver that keeps one of so many answers for itself; 0: none.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn losing(lose_every: u32) -> Self {
        let folder = TempDir::new().expect("a folder");
        let settings = json!({
            "token": Self::TOKEN, "secret": Self::SECRET, "max_size": Self::MAX_SIZE, "max_name": Self::MAX_NAME,
            "lose_every": lose_every,
        });
        fs::write(folder.path().join("receiver.json"), settings.to_string()).expect("written");
        fs::write(folder.path().join("verify.py"), Self::documented()).expect("written");
        // Between finding a free port and taking it, another test may have taken it.
        for _ in 0..3 {
            let address = crate::free_address();
            let mut child = spawn(folder.path(), address);
            if is_ready(&mut child, address) {
                return Self { child, address, folder };
            }
        }
        panic!("the receiver does not start: {}", log(folder.path()));
    }

    /// The Python on the sink's page: a function that checks signatures.
    ///
    /// # Panics
    /// When the page has none.
    pub fn documented() -> String {
        let page = fs::read_to_string(PAGE).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
        let (_, rest) = page.split_once("```python\n").expect("the page shows how to check a signature");
        let (code, _) = rest.split_once("```").expect("the code ends");
        code.to_owned()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a place: from now on what is posted to `/NAME` is taken.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn make(&self, name: &str) {
        fs::write(self.path(name, "ndjson"), "").expect("written");
    }

    /// What is stored in a place: each an object with `id` and `record`.
    ///
    /// # Panics
    /// When something there is no line of JSON.
    pub fn stored(&self, name: &str) -> Vec<Value> {
        lines(&self.path(name, "ndjson"))
    }

    /// What came again.
    ///
    /// # Panics
    /// When something there is no line of JSON.
    pub fn repeats(&self, name: &str) -> Vec<Value> {
        lines(&self.path(name, "repeats"))
    }

    /// Stops it at once, as a crash would.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, on its port and with what it had stored.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.address);
        let is_ready = is_ready(&mut self.child, self.address);
        assert!(is_ready, "it does not start again: {}", log(self.folder.path()));
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.{ending}"))
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(folder: &Path, address: SocketAddr) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).expect("a file");
    Command::new("python3")
        .arg(PROGRAM)
        .arg(address.port().to_string())
        .arg(folder)
        // It ends when this pipe does.
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("python3 cannot be started ({error}): run scripts/setup.sh"))
}

/// Waits until it listens; false when it ends instead.
fn is_ready(child: &mut Child, address: SocketAddr) -> bool {
    let limit = Instant::now() + Duration::from_secs(30);
    while Instant::now() < limit {
        if child.try_wait().expect("it can be asked").is_some() {
            return false;
        }
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// Whole lines only: the last one may be being written.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
