//! The behaviours that every sink owes, on a real store.

use async_trait::async_trait;
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike};
use tokio::sync::Mutex;

use super::*;

const WRONG_SECRET: &str = "a-secret-that-is-wrong";

struct Buckets {
    server: Mutex<S3Server>,
    way: Proxy,
}

impl Buckets {
    async fn start() -> Self {
        let server = S3Server::start();
        let way = Proxy::to(server.address()).await;
        Self { server: Mutex::new(server), way }
    }

    fn keys(&self, name: &str, secret: &str) -> String {
        format!(
            "bucket: {name}\nprefix: \"%Y/%m/{{kind}}/\"\nendpoint: \"http://{}\"\npath_style: true\n\
             compression: none\nbatch: {{ max_records: 20, max_age: 100ms }}\n\
             access_key_id: {WRITER}\nsecret_access_key: {secret}",
            self.way.address()
        )
    }
}

#[async_trait]
impl Destination for Buckets {
    type Sink = S3Sink;

    async fn place(&self, name: &str) -> String {
        self.server.lock().await.create_bucket(name, "", &RIGHTS);
        self.keys(name, WRITER_SECRET)
    }

    async fn read(&self, name: &str) -> Vec<Seen> {
        let records = self.server.lock().await.client(&["records", name]);
        let seen = |record: &Value| Seen { id: None, text: record[1].to_string(), count: 1 };
        records.as_array().expect("a list").iter().map(seen).collect()
    }

    fn repeats(&self) -> Repeats {
        Repeats::Vanish
    }

    fn ids(&self) -> Result<(), Unlike> {
        Err(Unlike("lines have no ids; an object's key is of the records in it"))
    }

    fn way(&self) -> Result<&Proxy, Unlike> {
        Ok(&self.way)
    }

    async fn stop(&self) -> Result<(), Unlike> {
        self.server.lock().await.kill();
        Ok(())
    }

    async fn start(&self) {
        self.server.lock().await.restart();
    }

    fn refused(&self, _: Sample) -> Result<Sample, Unlike> {
        Err(Unlike("a store takes objects whatever is in them"))
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        Err(Unlike("a store takes objects of terabytes"))
    }

    async fn wrong_credentials(&self, name: &str) -> Result<String, Unlike> {
        self.server.lock().await.create_bucket(name, "", &RIGHTS);
        Ok(self.keys(name, WRONG_SECRET))
    }

    async fn missing(&self, name: &str) -> Result<String, Unlike> {
        Ok(self.keys(name, WRITER_SECRET))
    }

    async fn make_missing(&self, name: &str) {
        self.server.lock().await.create_bucket(name, "", &RIGHTS);
    }

    fn secrets(&self) -> Vec<String> {
        vec![WRITER_SECRET.to_owned(), WRONG_SECRET.to_owned()]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behaves() {
    crate::behaviour::behaves(&Buckets::start().await).await;
}
