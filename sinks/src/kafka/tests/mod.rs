//! The sink on librdkafka's mock of a cluster, which makes what a real broker rarely does, and on a real broker.

mod behaviour;
mod golden;
mod mock;
mod plan;
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pump_core::plugin::Answer;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::*;

/// Settings for these brokers, `host:port` with commas between; all else as by default.
fn config(brokers: &str, topic: &str) -> KafkaConfig {
    KafkaConfig {
        brokers: brokers.split(',').map(|broker| broker.parse().expect("a host and a port")).collect(),
        topic: topic.to_owned(),
        key: "api_id".to_owned(),
        headers: BTreeMap::new(),
        encoding: KafkaEncoding::Json,
        compression: KafkaCompression::Zstd,
        sasl: None,
        tls: None,
        properties: BTreeMap::new(),
    }
}

async fn sink(config: KafkaConfig, timeout: Duration) -> KafkaSink {
    let context = SinkContext { name: "test".into(), format: None, timeout };
    KafkaSink::open(config, context).await.expect("it opens")
}

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{{\"api_id\":\"a{number}\",\"n\":{number}}}")).collect()
}

fn batch(bodies: &[String], topic: &str) -> Batch {
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    pump_core::testing::batch(&bodies, topic)
}

/// How many of the answers are [`Answer::Delivered`].
fn delivered(answers: &Answers) -> usize {
    (0..answers.len()).filter(|index| answers.get(*index) == Some(&Answer::Delivered)).count()
}

/// Makes a topic of one partition.
async fn make_topic(broker: SocketAddr, name: &str, settings: &[(&str, &str)]) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.to_string());
    let client: AdminClient<DefaultClientContext> = config.create().expect("a client");
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let made = client.create_topics([&topic], &AdminOptions::new()).await.expect("the broker answers");
    made[0].as_ref().expect("it is made");
}
