//! The behaviours that every sink owes, on a receiver that is written in another language.

use async_trait::async_trait;
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike};
use pump_testing::WebhookReceiver;
use tokio::sync::Mutex;

use super::*;

struct Receiver {
    server: Mutex<WebhookReceiver>,
    way: Proxy,
    /// Such as `encoding: json`.
    form: &'static str,
}

impl Receiver {
    async fn start(form: &'static str) -> Self {
        let server = WebhookReceiver::start();
        let way = Proxy::to(server.address()).await;
        Self { server: Mutex::new(server), way, form }
    }

    fn keys(&self, name: &str, token: &str) -> String {
        format!(
            "url: \"http://{}/{name}\"\nallow_plain_http: true\ncompression: gzip\nauth: {{ bearer: {token} }}\n\
             signature: {{ secret: {} }}\n{}",
            self.way.address(),
            WebhookReceiver::SECRET,
            self.form
        )
    }
}

#[async_trait]
impl Destination for Receiver {
    type Sink = WebhookSink;

    async fn place(&self, name: &str) -> String {
        self.server.lock().await.make(name);
        self.keys(name, WebhookReceiver::TOKEN)
    }

    async fn read(&self, name: &str) -> Vec<Seen> {
        let seen = |entry: &Value| Seen {
            id: entry["id"].as_str().map(str::to_owned),
            text: entry["record"].to_string(),
            count: 1,
        };
        self.server.lock().await.stored(name).iter().map(seen).collect()
    }

    /// As the page tells receivers to do.
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
        Ok(sample.with("APIName", "n".repeat(WebhookReceiver::MAX_NAME + 1)))
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        let size = WebhookReceiver::MAX_SIZE;
        Ok(TooLarge { batch: size, record: Some(size) })
    }

    async fn wrong_credentials(&self, name: &str) -> Result<String, Unlike> {
        self.server.lock().await.make(name);
        Ok(self.keys(name, WRONG))
    }

    async fn missing(&self, name: &str) -> Result<String, Unlike> {
        Ok(self.keys(name, WebhookReceiver::TOKEN))
    }

    async fn make_missing(&self, name: &str) {
        self.server.lock().await.make(name);
    }

    fn secrets(&self) -> Vec<String> {
        [WebhookReceiver::TOKEN, WebhookReceiver::SECRET, WRONG].map(str::to_owned).into()
    }
}

/// A token that the receiver does not know, and quotes.
const WRONG: &str = "token-of-nobody";

#[tokio::test(flavor = "multi_thread")]
async fn behaves() {
    let around = "record: '{\"id\":\"{id}\",\"record\":\"{record}\"}'";
    crate::behaviour::behaves(|| Receiver::start(around)).await;
}

/// A request each: the same, asked once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_each_record_behaves() {
    let around = "encoding: single\nbody: '{\"id\":\"{id}\",\"record\":\"{record}\"}'";
    pump_core::testing::behaviour::check(|| Receiver::start(around)).await;
}
