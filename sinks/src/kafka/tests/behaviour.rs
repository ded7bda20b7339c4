//! The behaviours that every sink owes, on a real broker.

use async_trait::async_trait;
use pump_core::testing::behaviour::{Destination, Proxy, Repeats, Sample, Seen, TooLarge, Unlike};
use pump_testing::{KAFKA_PASSWORD, KAFKA_USER, KafkaOptions, KafkaServer};
use tokio::sync::Mutex;

use super::{KafkaSink, make_topic};

const WRONG_PASSWORD: &str = "not-the-password";

/// What the topic of that behaviour takes, in bytes.
const MAX_MESSAGES: usize = 100_000;

struct Kafka {
    server: Mutex<KafkaServer>,
    way: Proxy,
}

impl Kafka {
    async fn start() -> Self {
        // Clients go where the broker says it is.
        let way = Proxy::listen().await;
        let options = KafkaOptions { users_advertised: Some(way.address()), ..KafkaOptions::default() };
        let server = KafkaServer::start(&options);
        way.set_server(server.users_address());
        Self { server: Mutex::new(server), way }
    }

    fn keys(&self, topic: &str, password: &str) -> String {
        format!(
            "brokers: [\"{}\"]\ntopic: {topic}\ncompression: none\n\
             sasl: {{ mechanism: SCRAM-SHA-512, username: {KAFKA_USER}, password: {password} }}",
            self.way.address()
        )
    }

    async fn make(&self, topic: &str) {
        let address = self.server.lock().await.address();
        let limit = MAX_MESSAGES.to_string();
        let settings: &[(&str, &str)] = match topic {
            // It takes no message without a key.
            "suiteanswersperrecord" => &[("cleanup.policy", "compact")],
            "suitesplitswhatistoolarge" => &[("max.message.bytes", &limit)],
            _ => &[],
        };
        make_topic(address, topic, settings).await;
    }
}

#[async_trait]
impl Destination for Kafka {
    type Sink = KafkaSink;

    async fn place(&self, name: &str) -> String {
        self.make(name).await;
        self.keys(name, KAFKA_PASSWORD)
    }

    async fn read(&self, name: &str) -> Vec<Seen> {
        let messages = self.server.lock().await.read(name);
        let seen = |message: pump_testing::KafkaMessage| Seen {
            id: message.header("pump-id").map(str::to_owned),
            text: message.body,
            count: 1,
        };
        messages.into_iter().map(seen).collect()
    }

    fn repeats(&self) -> Repeats {
        Repeats::Stay
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
        Ok(sample.with("APIID", ""))
    }

    fn too_large(&self) -> Result<TooLarge, Unlike> {
        Ok(TooLarge { batch: 2 * MAX_MESSAGES, record: Some(3 * MAX_MESSAGES) })
    }

    async fn wrong_credentials(&self, name: &str) -> Result<String, Unlike> {
        self.make(name).await;
        Ok(self.keys(name, WRONG_PASSWORD))
    }

    async fn missing(&self, name: &str) -> Result<String, Unlike> {
        Ok(self.keys(name, KAFKA_PASSWORD))
    }

    async fn make_missing(&self, name: &str) {
        self.make(name).await;
    }

    fn secrets(&self) -> Vec<String> {
        vec![KAFKA_PASSWORD.to_owned(), WRONG_PASSWORD.to_owned()]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behaves() {
    crate::behaviour::behaves(Kafka::start).await;
}
