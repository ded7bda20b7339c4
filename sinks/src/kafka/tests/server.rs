//! The sink on a real broker: passwords, certificates, rights, and what another client reads.

use pump_core::config::{Secret, TlsConfig};
use pump_core::plugin::SinkErrorKind;
use pump_testing::{KAFKA_PASSWORD, KAFKA_USER, KafkaOptions, KafkaServer};

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn sasl(mechanism: SaslMechanism, password: &str) -> Option<SaslConfig> {
    Some(SaslConfig { mechanism, username: KAFKA_USER.to_owned(), password: Secret::new(password) })
}

async fn deliver(config: KafkaConfig, count: usize) -> Result<Answers, SinkError> {
    let topic = config.topic.clone();
    let sink = sink(config, LONG).await;
    let result = sink.deliver(&batch(&bodies(count), &topic), Deadline::after(LONG)).await;
    sink.close().await.expect("closed");
    result
}

// One broker for all of it: it takes some seconds and 240 MB.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_broker_is_spoken_to_in_all_its_ways() {
    let server = KafkaServer::start(&KafkaOptions::default());
    for topic in ["ways", "forbidden", "small", "headers"] {
        let limit: &[_] = if topic == "small" { &[("max.message.bytes", "20000")] } else { &[] };
        make_topic(server.address(), topic, limit).await;
    }
    every_way_to_say_who_we_are_works_and_a_wrong_one_is_unavailable(&server).await;
    a_topic_that_we_may_not_write_to_is_unavailable(&server).await;
    a_topic_that_is_not_there_is_unavailable_and_a_probe_says_so(&server).await;
    sets_that_are_too_large_for_the_topic_are_the_engines_to_split(&server).await;
    every_compression_is_read_by_another_client(&server).await;
    keys_and_headers_are_what_another_client_reads(&server).await;
}

async fn every_way_to_say_who_we_are_works_and_a_wrong_one_is_unavailable(server: &KafkaServer) {
    use SaslMechanism::{Plain, ScramSha256, ScramSha512};
    let path = |name: &str| Some(server.certificates().path(name).display().to_string());
    let trusting = TlsConfig { ca_file: path("ca.pem"), ..TlsConfig::default() };
    let (cert_file, key_file) = (path("client.pem"), path("client.key"));
    let showing = TlsConfig { cert_file, key_file, ..trusting.clone() };
    let strange = TlsConfig { ca_file: path("stranger.pem"), ..showing.clone() };
    let (users, users_tls, tls) = (server.users_address(), server.users_tls_address(), server.tls_address());
    let good = |mechanism| sasl(mechanism, KAFKA_PASSWORD);
    let mut count = 0;
    for (address, sasl, tls, is_good) in [
        (server.address(), None, None, true),
        (users, good(Plain), None, true),
        (users, good(ScramSha256), None, true),
        (users, good(ScramSha512), None, true),
        (users_tls, good(ScramSha512), Some(trusting.clone()), true),
        (tls, None, Some(showing), true),
        (users, sasl(Plain, "wrong-password"), None, false),
        (users, sasl(ScramSha512, "wrong-password"), None, false),
        (users_tls, good(ScramSha512), Some(strange.clone()), false),
        (tls, None, Some(strange), false),
        (tls, None, Some(trusting), false),
    ] {
        let config = KafkaConfig { sasl, tls, ..config(&address.to_string(), "ways") };
        let way = format!("{config:?}");
        match (deliver(config, 10).await, is_good) {
            (Ok(answers), true) => {
                assert_eq!(delivered(&answers), 10, "{way}");
                count += 10;
            }
            (Err(error), false) => {
                assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{way}: {error}");
                assert!(!error.to_string().contains("password\""), "{error}");
                assert!(!error.to_string().contains("wrong-password"), "{error}");
            }
            (other, _) => panic!("{way}: {other:?}"),
        }
    }
    assert_eq!(server.read("ways").len(), count);
}

async fn a_topic_that_we_may_not_write_to_is_unavailable(server: &KafkaServer) {
    let rule = ["--add", "--deny-principal", "User:pump", "--operation", "Write", "--topic", "forbidden"];
    server.tool("org.apache.kafka.tools.AclCommand", &rule);
    let sasl = sasl(SaslMechanism::ScramSha256, KAFKA_PASSWORD);
    let config = KafkaConfig { sasl, ..config(&server.users_address().to_string(), "forbidden") };
    let error = deliver(config, 10).await.expect_err("it is forbidden");
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("may not write"), "{error}");
}

async fn a_topic_that_is_not_there_is_unavailable_and_a_probe_says_so(server: &KafkaServer) {
    let config = config(&server.address().to_string(), "later-{n}");
    let sink = sink(config, LONG).await;
    sink.probe().await.expect("of a template's topics none is known yet");
    let batch = batch(&bodies(10), "later-1");
    let error = sink.deliver(&batch, Deadline::after(LONG)).await.expect_err("it is not there");
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{error}");
    let error = sink.probe().await.expect_err("still not");
    assert!(error.to_string().contains("topic is not there"), "{error}");
    make_topic(server.address(), "later-1", &[]).await;
    sink.probe().await.expect("now it is");
    let answers = sink.deliver(&batch, Deadline::after(LONG)).await.expect("delivered");
    assert_eq!(delivered(&answers), 10);
    sink.close().await.expect("closed");
}

async fn sets_that_are_too_large_for_the_topic_are_the_engines_to_split(server: &KafkaServer) {
    let mut config = config(&server.address().to_string(), "small");
    config.compression = KafkaCompression::None;
    // A beginning or an end may go in a smaller set of its own.
    match deliver(config.clone(), 2_000).await {
        Err(error) => assert_eq!(error.kind(), SinkErrorKind::TooLarge, "{error}"),
        Ok(answers) => {
            let rest = (0..2_000).filter(|index| answers.get(*index) == Some(&Answer::Retry(None))).count();
            assert!(rest > 0 && rest + delivered(&answers) == 2_000, "{answers:?}");
        }
    }
    assert_eq!(delivered(&deliver(config, 50).await.expect("fewer go through")), 50);
}

async fn every_compression_is_read_by_another_client(server: &KafkaServer) {
    use KafkaCompression::{Gzip, Lz4, None, Snappy, Zstd};
    for compression in [Zstd, Lz4, Snappy, Gzip, None] {
        let topic = format!("compressed-{}", compression.name());
        make_topic(server.address(), &topic, &[]).await;
        let config = KafkaConfig { compression, ..config(&server.address().to_string(), &topic) };
        assert_eq!(delivered(&deliver(config, 100).await.expect("delivered")), 100);
        let mut read: Vec<_> = server.read(&topic).into_iter().map(|message| message.body).collect();
        let mut expected = bodies(100);
        read.sort();
        expected.sort();
        assert_eq!(read, expected, "{topic}");
    }
}

async fn keys_and_headers_are_what_another_client_reads(server: &KafkaServer) {
    let mut config = config(&server.address().to_string(), "headers");
    config.headers = BTreeMap::from([("cluster".to_owned(), "eu1".to_owned())]);
    let bodies = [r#"{"api_id":"a1","trace_id":"0af7"}"#.to_owned(), r#"{"event":"x"}"#.to_owned()];
    let sink = sink(config, LONG).await;
    let batch = batch(&bodies, "headers");
    let answers = sink.deliver(&batch, Deadline::after(LONG)).await.expect("delivered");
    assert_eq!(delivered(&answers), 2);
    sink.close().await.expect("closed");
    let slice = batch.slices().next().await.expect("in memory").expect("there is one");
    let ids: Vec<_> = slice.entries().map(|entry| entry.id().to_string()).collect();
    let read = server.read("headers");
    for (message, (id, body)) in read.iter().zip(ids.iter().zip(&bodies)) {
        assert_eq!(&message.body, body);
        assert_eq!(message.header("pump-id"), Some(id.as_str()));
        assert_eq!(message.header("pump-kind"), Some("event"));
        assert_eq!(message.header("pump-format"), Some("full/1"));
        assert_eq!(message.header("content-type"), Some("application/json"));
        assert_eq!(message.header("cluster"), Some("eu1"));
    }
    assert_eq!((read[0].key.as_deref(), read[0].header("correlation-id")), (Some("a1"), Some("0af7")));
    assert_eq!((read[1].key.as_deref(), read[1].header("correlation-id")), (None, None));
}
