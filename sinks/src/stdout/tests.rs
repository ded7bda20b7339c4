//! The sink's behaviours, in a process of their own: its standard output is a file, which is read back.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use async_trait::async_trait;
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike};

use super::StdoutSink;

const FILE: &str = "PUMP_TEST_STDOUT";
const NO_SERVER: Unlike = Unlike("standard output is no server");

/// A file that this process's standard output goes to, and where in it each place begins.
struct Output {
    path: String,
    begins: Mutex<BTreeMap<u64, String>>,
}

#[async_trait]
impl Destination for Output {
    type Sink = StdoutSink;

    async fn place(&self, name: &str) -> String {
        let length = fs::metadata(&self.path).expect("it is there").len();
        self.begins.lock().expect("nobody panics").insert(length, name.to_owned());
        String::new()
    }

    async fn read(&self, name: &str) -> Vec<Seen> {
        let text = fs::read(&self.path).expect("it is there");
        let begins = self.begins.lock().expect("nobody panics");
        let begin = *begins.iter().find(|(_, at)| *at == name).expect("a place").0;
        let end = begins.range(begin + 1..).next().map_or(text.len() as u64, |(begin, _)| *begin);
        let text = String::from_utf8_lossy(&text[begin as usize..end as usize]).into_owned();
        // The harness says something there too.
        let lines = text.lines().filter(|line| line.contains("sample"));
        lines.map(|line| Seen { id: None, text: line.to_owned(), count: 1 }).collect()
    }

    fn repeats(&self) -> Repeats {
        Repeats::Stay
    }

    fn ids(&self) -> Result<(), Unlike> {
        Err(Unlike("lines have no ids"))
    }

    fn way(&self) -> Result<&Proxy, Unlike> {
        Err(NO_SERVER)
    }

    fn restarts(&self) -> Result<(), Unlike> {
        Err(NO_SERVER)
    }

    async fn stop(&self) -> Result<(), Unlike> {
        self.restarts()
    }

    fn refused(&self, _: Sample) -> Result<Sample, Unlike> {
        Err(Unlike("standard output takes every line"))
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        Err(Unlike("standard output takes lines of any length"))
    }

    async fn wrong_credentials(&self, _: &str) -> Result<String, Unlike> {
        Err(NO_SERVER)
    }

    async fn missing(&self, _: &str) -> Result<String, Unlike> {
        Err(NO_SERVER)
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

#[test]
fn behaves() {
    if let Ok(path) = std::env::var(FILE) {
        let start = async || Output { path, begins: Mutex::default() };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        return runtime.block_on(crate::behaviour::behaves(start));
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    let output = Command::new(std::env::current_exe().expect("this test's program"))
        .args(["stdout::tests::behaves", "--exact", "--nocapture"])
        .env(FILE, file.path())
        .stdout(Stdio::from(file.reopen().expect("it is there")))
        .stderr(Stdio::piped())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = fs::read(file.path()).expect("it is there");
    assert!(String::from_utf8_lossy(&said).contains("1 passed"), "nothing was run");
}
