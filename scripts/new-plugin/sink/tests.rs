//! The behaviours that every sink owes.

use std::fs;

use async_trait::async_trait;
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike};
use tempfile::TempDir;

use super::__Name__Sink;

/// Why the sink has not got a behaviour yet.
// FILL IN: each of these away, with the method that shows the behaviour, or with the reason why the destination can
// never have it: docs/sinks.md prints it.
const NOT_YET: Unlike = Unlike("it only appends to a file yet");

/// Where the sink writes to.
// FILL IN: a real server, started on a free port and ended when this is dropped, such as those in `pump_testing`.
struct Folder(TempDir);

impl Folder {
    fn keys(&self, name: &str) -> String {
        format!("folder: {}/{name}", self.0.path().display())
    }
}

#[async_trait]
impl Destination for Folder {
    type Sink = __Name__Sink;

    async fn place(&self, name: &str) -> String {
        fs::create_dir_all(self.0.path().join(name)).expect("made");
        self.keys(name)
    }

    async fn read(&self, name: &str) -> Vec<Seen> {
        let file = self.0.path().join(name).join("records.ndjson");
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().map(|line| Seen { id: None, text: line.to_owned(), count: 1 }).collect()
    }

    fn repeats(&self) -> Repeats {
        Repeats::Stay
    }

    fn ids(&self) -> Result<(), Unlike> {
        Err(NOT_YET)
    }

    fn way(&self) -> Result<&Proxy, Unlike> {
        Err(NOT_YET)
    }

    fn restarts(&self) -> Result<(), Unlike> {
        Err(NOT_YET)
    }

    async fn stop(&self) -> Result<(), Unlike> {
        self.restarts()
    }

    fn refused(&self, _: Sample) -> Result<Sample, Unlike> {
        Err(NOT_YET)
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        Err(NOT_YET)
    }

    async fn wrong_credentials(&self, _: &str) -> Result<String, Unlike> {
        Err(NOT_YET)
    }

    async fn missing(&self, name: &str) -> Result<String, Unlike> {
        Ok(self.keys(name))
    }

    async fn make_missing(&self, name: &str) {
        self.place(name).await;
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behaves() {
    crate::behaviour::behaves(async || Folder(TempDir::new().expect("a folder"))).await;
}
