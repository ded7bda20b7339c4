//! The behaviours that every sink owes, in a folder.

use async_trait::async_trait;
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike};

use super::*;

const NO_SERVER: Unlike = Unlike("a folder is no server");

struct Folder(TempDir);

impl Folder {
    fn keys(&self, name: &str) -> String {
        format!("path: {}/{name}/records.ndjson.gz\ncompression: gzip", self.0.path().display())
    }
}

#[async_trait]
impl Destination for Folder {
    type Sink = FileSink;

    async fn place(&self, name: &str) -> String {
        self.keys(name)
    }

    async fn read(&self, name: &str) -> Vec<Seen> {
        let files = files(&self.0.path().join(name));
        let lines = files.iter().flat_map(|(_, text)| text.lines());
        lines.map(|line| Seen { id: None, text: line.to_owned(), count: 1 }).collect()
    }

    fn repeats(&self) -> Repeats {
        // A delivery that is given up is cut off again; only a crash can leave one behind.
        Repeats::Vanish
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
        Err(Unlike("a file takes every line"))
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        Err(Unlike("a file takes lines of any length"))
    }

    async fn wrong_credentials(&self, _: &str) -> Result<String, Unlike> {
        Err(Unlike("files have no credentials"))
    }

    async fn missing(&self, name: &str) -> Result<String, Unlike> {
        // A file stands where the folder should be.
        fs::write(self.0.path().join(name), "").expect("written");
        Ok(self.keys(name))
    }

    async fn make_missing(&self, name: &str) {
        fs::remove_file(self.0.path().join(name)).expect("it is there");
    }

    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behaves() {
    crate::behaviour::behaves(async || Folder(TempDir::new().expect("a folder"))).await;
}
