//! The behaviours that every sink owes, on a real OpenSearch.

use std::net::SocketAddr;

use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine};
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike};
use pump_testing::SearchServer;
use serde_json::json;
use tokio::sync::Mutex;

use super::*;

/// The server does not ask for it; it gets it all the same.
const PASSWORD: &str = "behaviour-password";
const WRONG: &str = "password-of-nobody";

struct OpenSearch {
    server: Mutex<SearchServer>,
    way: Proxy,
    /// Lets those through who have the password, as the proxies before clusters without users do.
    guard: Arc<std::sync::Mutex<SocketAddr>>,
    guarded: HttpServer,
}

impl OpenSearch {
    async fn start() -> Self {
        let server = SearchServer::opensearch();
        let guard = Arc::new(std::sync::Mutex::new(server.address()));
        let behind = guard.clone();
        let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("pump:{PASSWORD}")));
        let guarded = HttpServer::start(move |request| {
            if request.header("authorization") != Some(&expected) {
                return HttpReaction::reply(401, "who are you?");
            }
            let address = *behind.lock().expect("nobody panics");
            match pump_testing::exchange(address, request) {
                Ok(reply) => HttpReaction::reply(reply.status, reply.body),
                Err(error) => HttpReaction::reply(502, error.to_string()),
            }
        });
        let way = Proxy::to(server.address()).await;
        Self { server: Mutex::new(server), way, guard, guarded }
    }

    fn keys(&self, name: &str) -> String {
        format!("endpoints: [\"http://{}\"]\nindex: {name}\n{}", self.way.address(), auth(PASSWORD))
    }

    async fn make(&self, name: &str) {
        // Names that are too long to be found as a whole are refused.
        let mappings = json!({ "mappings": { "properties": { "api_name": { "type": "keyword" } } } });
        assert_eq!(self.server.lock().await.request("PUT", &format!("/{name}"), &mappings).0, 200);
    }
}

fn auth(password: &str) -> String {
    format!("auth: {{ basic: {{ username: pump, password: {password} }} }}")
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
        let mut server = self.server.lock().await;
        tokio::task::block_in_place(|| server.start_again());
        self.way.set_server(server.address());
        *self.guard.lock().expect("nobody panics") = server.address();
    }

    fn refused(&self, sample: Sample) -> Result<Sample, Unlike> {
        Ok(sample.with("APIName", "n".repeat(40_000)))
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        // What the server was started with; a record of that size is more than the pump itself takes.
        Ok(TooLarge { batch: 10 << 20, record: None })
    }

    async fn wrong_credentials(&self, name: &str) -> Result<String, Unlike> {
        self.make(name).await;
        Ok(format!("endpoints: [\"{}\"]\nindex: {name}\n{}", self.guarded.url(), auth(WRONG)))
    }

    async fn missing(&self, name: &str) -> Result<String, Unlike> {
        let setting = json!({ "persistent": { "action.auto_create_index": format!("-{name},+*") } });
        assert_eq!(self.server.lock().await.request("PUT", "/_cluster/settings", &setting).0, 200);
        Ok(self.keys(name))
    }

    async fn make_missing(&self, name: &str) {
        self.make(name).await;
    }

    fn secrets(&self) -> Vec<String> {
        // As it is, and as it goes over the wire.
        let forms =
            |password: &str| [password.to_owned(), BASE64_STANDARD.encode(format!("pump:{password}"))];
        [PASSWORD, WRONG].iter().flat_map(|password| forms(password)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behaves() {
    crate::behaviour::behaves(OpenSearch::start).await;
}
