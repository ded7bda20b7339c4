//! The sink is held to what every sink owes, on a real server.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike, check};

use super::*;

const PASSWORD: &str = "password-of-the-hash";
const WRONG: &str = "no-word-of-the-hash";

/// A Redis server whose data are on disk before it answers, behind a proxy.
struct Server {
    address: SocketAddr,
    folder: tempfile::TempDir,
    process: Mutex<Child>,
    way: Proxy,
}

impl Server {
    async fn start() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it is bound");
        let folder = tempfile::tempdir().expect("a folder");
        let process = Mutex::new(launch(address, &folder));
        let server = Self { address, folder, process, way: Proxy::to(address).await };
        server.wait();
        server
    }

    /// Until it answers.
    fn wait(&self) {
        let limit = Instant::now() + Duration::from_secs(30);
        while self.command(&["PING"]).trim() != "\"PONG\"" {
            assert!(Instant::now() < limit, "redis-server does not answer on {}", self.address);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What another client is told.
    fn command(&self, words: &[&str]) -> String {
        let port = self.address.port().to_string();
        let mut command = Command::new("redis-cli");
        command.args(["-p", &port, "--json"]).args(words).env("REDISCLI_AUTH", PASSWORD);
        let output = command.output().expect("redis-cli is there");
        String::from_utf8(output.stdout).expect("it is JSON")
    }

    fn keys(&self, name: &str, password: &str) -> String {
        format!("url: redis://:{password}@{}/0\nkey: {name}", self.way.address())
    }
}

fn launch(address: SocketAddr, folder: &tempfile::TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--requirepass", PASSWORD])
        .args(["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is there")
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.get_mut().expect("nobody panics");
        let _ = process.kill();
        let _ = process.wait();
    }
}

#[async_trait]
impl Destination for Server {
    type Sink = HashSink;

    async fn place(&self, name: &str) -> String {
        self.keys(name, PASSWORD)
    }

    async fn read(&self, name: &str) -> Vec<Seen> {
        let text = self.command(&["HGETALL", name]);
        let records: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).expect("a hash");
        let seen = |(id, record): (String, serde_json::Value)| Seen {
            id: Some(id),
            text: record.as_str().expect("a text").to_owned(),
            count: 1,
        };
        records.into_iter().map(seen).collect()
    }

    fn repeats(&self) -> Repeats {
        Repeats::Vanish
    }

    fn ids(&self) -> Result<(), Unlike> {
        Ok(())
    }

    fn way(&self) -> Result<&Proxy, Unlike> {
        Ok(&self.way)
    }

    async fn stop(&self) -> Result<(), Unlike> {
        let mut process = self.process.lock().expect("nobody panics");
        process.kill().expect("it runs");
        process.wait().expect("it ends");
        Ok(())
    }

    async fn start(&self) {
        *self.process.lock().expect("nobody panics") = launch(self.address, &self.folder);
        self.wait();
    }

    fn refused(&self, _: Sample) -> Result<Sample, Unlike> {
        Err(Unlike("a hash takes every value"))
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        Err(Unlike("a command may be larger than any batch"))
    }

    async fn wrong_credentials(&self, name: &str) -> Result<String, Unlike> {
        Ok(self.keys(name, WRONG))
    }

    async fn missing(&self, name: &str) -> Result<String, Unlike> {
        // Something else stands where the hash should be.
        self.command(&["SET", name, "a string"]);
        Ok(self.keys(name, PASSWORD))
    }

    async fn make_missing(&self, name: &str) {
        self.command(&["DEL", name]);
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned(), WRONG.to_owned()]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behaves() {
    check(Server::start).await;
}
