//! The behaviours that every sink owes, on a real store.

use async_trait::async_trait;
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike};
use tokio::sync::Mutex;

use super::*;

const WRONG_SECRET: &str = "a-secret-that-is-wrong";

struct Buckets {
    server: Mutex<S3Server>,
    way: Proxy,
    encoding: Encoding,
}

impl Buckets {
    async fn start(encoding: Encoding) -> Self {
        let server = S3Server::start();
        let way = Proxy::to(server.address()).await;
        Self { server: Mutex::new(server), way, encoding }
    }

    fn keys(&self, name: &str, secret: &str) -> String {
        let encoding = match self.encoding {
            Encoding::Ndjson => "ndjson",
            Encoding::Parquet => "parquet",
        };
        format!(
            "bucket: {name}\nprefix: \"%Y/%m/{{kind}}/\"\nendpoint: \"http://{}\"\npath_style: true\n\
             encoding: {encoding}\ncompression: none\nbatch: {{ max_records: 20, max_age: 100ms }}\n\
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
        let server = self.server.lock().await;
        let seen = |record: &Value| {
            let id = record["id"].as_str().map(str::to_owned);
            Seen { id, text: record.to_string(), count: 1 }
        };
        match self.encoding {
            Encoding::Ndjson => {
                let records = server.client(&["records", name]);
                records.as_array().expect("a list").iter().map(|pair| seen(&pair[1])).collect()
            }
            Encoding::Parquet => {
                let objects = server.client(&["columns", name]);
                let rows = |object: &Value| object["rows"].as_array().expect("a list").clone();
                objects.as_array().expect("a list").iter().flat_map(rows).map(|row| seen(&row)).collect()
            }
        }
    }

    fn repeats(&self) -> Repeats {
        Repeats::Vanish
    }

    fn ids(&self) -> Result<(), Unlike> {
        match self.encoding {
            Encoding::Ndjson => Err(Unlike("lines have no ids; rows of columns have")),
            Encoding::Parquet => Ok(()),
        }
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
    crate::behaviour::behaves(|| Buckets::start(Encoding::Ndjson)).await;
}

/// The same with columns, which keep ids. The page has a row for the sink and not for each encoding.
#[tokio::test(flavor = "multi_thread")]
async fn columns_behave() {
    pump_core::testing::behaviour::check(|| Buckets::start(Encoding::Parquet)).await;
}
