//! What a pipeline file may say.

use pump_core::config::{Secret, TlsConfig};

use super::*;

fn base() -> KafkaConfig {
    config("kafka-1:9092,kafka-2:9092", "tyk-{kind}")
}

fn with(change: impl FnOnce(&mut KafkaConfig)) -> KafkaConfig {
    let mut config = base();
    change(&mut config);
    config
}

fn refused(config: &KafkaConfig, format: Option<Format>) -> PlanError {
    match KafkaSink::plan(config, format) {
        Ok(_) => panic!("{config:?} is taken"),
        Err(error) => error,
    }
}

fn taken(config: &KafkaConfig) -> SinkPlan {
    KafkaSink::plan(config, None).unwrap_or_else(|error| panic!("{error}"))
}

fn property(name: &str, value: &str) -> KafkaConfig {
    with(|config| config.properties = BTreeMap::from([(name.to_owned(), Secret::new(value))]))
}

#[test]
fn each_setting_that_makes_no_sense_is_refused_with_its_name() {
    let certificate = || TlsConfig { cert_file: Some("cert.pem".into()), ..TlsConfig::default() };
    for (key, config) in [
        ("topic", with(|config| config.topic = "tyk logs".into())),
        ("topic", with(|config| config.topic = "tyk-{".into())),
        ("key", with(|config| config.key = "api id".into())),
        ("key", with(|config| config.key = "geo".into())),
        ("key", with(|config| config.key = "tags".into())),
        ("headers", with(|config| config.headers = BTreeMap::from([("pump-id".into(), "1".into())]))),
        ("headers", with(|config| config.headers = BTreeMap::from([(String::new(), "1".into())]))),
        ("headers", with(|config| config.headers = BTreeMap::from([("a".into(), "\0".into())]))),
        ("tls", with(|config| config.tls = Some(certificate()))),
    ] {
        assert_eq!(&*refused(&config, None).key, key, "{config:?}");
    }
}

#[test]
fn properties_of_ours_are_refused_with_what_to_use_instead() {
    for (name, instead) in [
        ("bootstrap.servers", "`brokers`"),
        ("message.timeout.ms", "`timeout`"),
        ("compression.type", "`compression`"),
        ("sasl.password", "`sasl.password`"),
        ("ssl.ca.location", "`tls.ca_file`"),
        ("acks", "all replicas"),
        ("enable.idempotence", "always on"),
        ("test.mock.num.brokers", "nowhere"),
    ] {
        let error = refused(&property(name, "1"), None);
        assert!(error.message.contains(instead) && error.message.contains(name), "{error}");
    }
}

#[test]
fn a_property_that_librdkafka_does_not_take_is_named_and_its_value_is_not() {
    for (name, said) in [("linger.mss", "no property"), ("linger.ms", "does not take")] {
        let error = refused(&property(name, "hunter2"), None);
        assert!(error.message.contains(said) && error.message.contains(name), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    for (name, value) in
        [("linger.ms", "50"), ("ssl.key.password", "hunter2"), ("partitioner", "murmur2_random")]
    {
        let config = property(name, value);
        assert!(KafkaSink::plan(&config, None).is_ok(), "{name}");
        assert_eq!(properties::of(&config, Duration::from_secs(30)).get(name), Some(value));
    }
}

#[test]
fn what_is_promised_is_set_whatever_the_file_says() {
    let properties = properties::of(&base(), Duration::from_secs(30));
    for (name, value) in [
        ("bootstrap.servers", "kafka-1:9092,kafka-2:9092"),
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("message.timeout.ms", "28000"),
        ("compression.codec", "zstd"),
        ("security.protocol", "plaintext"),
    ] {
        assert_eq!(properties.get(name), Some(value), "{name}");
    }
    assert_eq!(properties::of(&base(), Duration::from_secs(1)).get("message.timeout.ms"), Some("750"));
}

#[test]
fn sasl_and_tls_together_say_how_connections_are_secured() {
    let sasl = || {
        let (mechanism, password) = (SaslMechanism::ScramSha512, Secret::new("hunter2"));
        Some(SaslConfig { mechanism, username: "pump".into(), password })
    };
    let tls = || Some(TlsConfig { ca_file: Some("ca.pem".into()), ..TlsConfig::default() });
    for (sasl, tls, protocol) in [
        (None, tls(), "ssl"),
        (sasl(), None, "sasl_plaintext"),
        (sasl(), tls(), "sasl_ssl"),
        (None, Some(TlsConfig::default()), "ssl"),
    ] {
        let config = with(|config| (config.sasl, config.tls) = (sasl, tls));
        let properties = properties::of(&config, Duration::from_secs(30));
        assert_eq!(properties.get("security.protocol"), Some(protocol));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

#[test]
fn wire_bytes_have_no_format_no_additions_and_no_edits() {
    let wire = with(|config| config.encoding = KafkaEncoding::Wire);
    assert_eq!(&*refused(&wire, Some(Format::Tyk)).key, "encoding");
    let plan = taken(&wire);
    assert!(!plan.takes_additions);
    assert!(!plan.body.expect("it has bodies").encoder.heeds_edits());
    let plan = taken(&base());
    assert!(plan.takes_additions && plan.body.expect("it has bodies").encoder.heeds_edits());
    assert_eq!(plan.targets, ["kafka-1:9092", "kafka-2:9092"]);
}
