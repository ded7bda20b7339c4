//! The behaviours that every sink owes, on a real OpenSearch.

use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine};
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike};
use pump_testing::SearchServer;
use serde_json::json;
use tokio::sync::Mutex;

use super::*;

/// The server does not ask for it; it gets it all the same.
const PASSWORD: &str = "behaviour-password";

/// An index that is not made by writing to it.
const WAITS: &str = "suitewaits*";

struct OpenSearch {
    server: Mutex<SearchServer>,
    way: Proxy,
}

impl OpenSearch {
    async fn start() -> Self {
        let server = SearchServer::opensearch();
        let setting = json!({ "persistent": { "action.auto_create_index": format!("-{WAITS},+*") } });
        assert_eq!(server.request("PUT", "/_cluster/settings", &setting).0, 200);
        let way = Proxy::to(server.address()).await;
        Self { server: Mutex::new(server), way }
    }

    fn keys(&self, name: &str) -> String {
        let auth = format!("auth: {{ basic: {{ username: pump, password: {PASSWORD} }} }}");
        format!("endpoints: [\"http://{}\"]\nindex: {name}\n{auth}", self.way.address())
    }

    async fn make(&self, name: &str) {
        // Names that are too long to be found as a whole are refused.
        let mappings = json!({ "mappings": { "properties": { "api_name": { "type": "keyword" } } } });
        assert_eq!(self.server.lock().await.request("PUT", &format!("/{name}"), &mappings).0, 200);
    }
}

#[async_trait]
impl Destination for OpenSearch {
    type Sink = ElasticsearchSink;

    async fn place(&self, name: &str) -> String {
        self.make(name).await;
        self.keys(name)
    }

    async fn read(&self, name: &str) -> Vec<Seen> {
        let server = self.server.lock().await;
        assert_eq!(server.request("POST", &format!("/{name}/_refresh"), &Value::Null).0, 200);
        let (_, reply) = server.request("POST", &format!("/{name}/_search"), &json!({ "size": 10_000 }));
        let hits = reply["hits"]["hits"].as_array().unwrap_or_else(|| panic!("{reply}"));
        let seen = |hit: &Value| Seen {
            id: hit["_id"].as_str().map(str::to_owned),
            text: hit["_source"].to_string(),
            count: 1,
        };
        hits.iter().map(seen).collect()
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
        self.server.lock().await.stop();
        Ok(())
    }

    async fn start(&self) {
        self.server.lock().await.start_again();
    }

    fn refused(&self, sample: Sample) -> Result<Sample, Unlike> {
        Ok(sample.with("APIName", "n".repeat(40_000)))
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        // What the server was started with; a record of that size is more than the pump itself takes.
        Ok(TooLarge { batch: 10 << 20, record: None })
    }

    async fn wrong_credentials(&self, _: &str) -> Result<String, Unlike> {
        Err(Unlike(
            "the server that can be installed for tests has no users; answers 401 and 403 are scripted",
        ))
    }

    async fn missing(&self, _: &str) -> Result<String, Unlike> {
        Ok(self.keys(&WAITS.replace('*', "foritstarget")))
    }

    async fn make_missing(&self, name: &str) {
        assert!(name.starts_with(&WAITS[..10]), "{name}");
        self.make(name).await;
    }

    fn secrets(&self) -> Vec<String> {
        // As it is, and as it goes over the wire.
        vec![PASSWORD.to_owned(), BASE64_STANDARD.encode(format!("pump:{PASSWORD}"))]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behaves() {
    crate::behaviour::behaves(&OpenSearch::start().await).await;
}
