//! From our settings to librdkafka's properties.
//!
//! Any property of librdkafka's can be set, but those that keys of ours set and those that what we promise rests
//! on: one that breaks a promise is refused with the key to use instead, or with the reason.

use std::time::Duration;

use pump_core::plugin::PlanError;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::config::KafkaConfig;

/// What the producer holds of messages that have no report yet, in KiB: more waits outside.
const QUEUE_KIB: u32 = 32 << 10;

/// Properties that cannot be set, with what to do instead.
const OURS: &[(&str, &str)] = &[
    ("bootstrap.servers", "use `brokers`"),
    ("metadata.broker.list", "use `brokers`"),
    ("message.timeout.ms", "use `timeout`"),
    ("delivery.timeout.ms", "use `timeout`"),
    ("compression.codec", "use `compression`"),
    ("compression.type", "use `compression`"),
    ("security.protocol", "use `sasl` and `tls`"),
    ("sasl.mechanism", "use `sasl.mechanism`"),
    ("sasl.mechanisms", "use `sasl.mechanism`"),
    ("sasl.username", "use `sasl.username`"),
    ("sasl.password", "use `sasl.password`"),
    ("ssl.ca.location", "use `tls.ca_file`"),
    ("ssl.ca.pem", "use `tls.ca_file`"),
    ("ssl.certificate.location", "use `tls.cert_file`"),
    ("ssl.certificate.pem", "use `tls.cert_file`"),
    ("ssl.keystore.location", "use `tls.cert_file` and `tls.key_file`"),
    ("ssl.key.location", "use `tls.key_file`"),
    ("ssl.key.pem", "use `tls.key_file`"),
    ("acks", ALWAYS_ALL),
    ("request.required.acks", ALWAYS_ALL),
    ("enable.idempotence", ALWAYS_ON),
    ("enable.gapless.guarantee", "one lost message would end the producer: leave it out"),
    ("transactional.id", "there are no transactions here: leave it out"),
    ("delivery.report.only.error", "every message's report is waited for: leave it out"),
    ("plugin.library.paths", "no code is loaded into the pump: leave it out"),
    ("test.mock.num.brokers", "records would go nowhere: leave it out"),
    ("log.queue", "the log is the pump's: leave it out"),
    ("enabled_events", "events are the pump's: leave it out"),
];

const ALWAYS_ALL: &str = "a record is delivered once all replicas in sync have it: leave it out";
const ALWAYS_ON: &str = "it is always on: leave it out";

/// What the user set that cannot be, if something is.
pub(super) fn check(config: &KafkaConfig) -> Result<(), PlanError> {
    let wrong = |message: String| Err(PlanError::new("properties", message));
    for (name, value) in &config.properties {
        if let Some((_, instead)) = OURS.iter().find(|(ours, _)| ours == name) {
            return wrong(format!("`{name}` cannot be set here: {instead}"));
        }
        let mut one = ClientConfig::new();
        one.set(name.as_str(), value.expose());
        match one.create_native_config() {
            Ok(_) => {}
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                return wrong(format!("`{name}` is no property of librdkafka's: see its CONFIGURATION.md"));
            }
            // What it says quotes the value, which may be a secret.
            Err(_) => {
                return wrong(format!(
                    "librdkafka does not take this value for `{name}`: see its CONFIGURATION.md"
                ));
            }
        }
    }
    Ok(())
}

/// The producer's configuration, for attempts of that length.
pub(super) fn of(config: &KafkaConfig, timeout: Duration) -> ClientConfig {
    let mut of = ClientConfig::new();
    // What the user may change comes first.
    of.set("client.id", "pump");
    of.set("queue.buffering.max.kbytes", QUEUE_KIB.to_string());
    of.set("topic.metadata.propagation.max.ms", "5000");
    of.set("reconnect.backoff.max.ms", "2000");
    for (name, value) in &config.properties {
        of.set(name.as_str(), value.expose());
    }
    let brokers: Vec<_> = config.brokers.iter().map(ToString::to_string).collect();
    of.set("bootstrap.servers", brokers.join(","));
    of.set("enable.idempotence", "true");
    of.set("acks", "all");
    of.set("message.timeout.ms", message_timeout(timeout).as_millis().to_string());
    of.set("compression.codec", config.compression.name());
    of.set(
        "security.protocol",
        match (&config.sasl, &config.tls) {
            (None, None) => "plaintext",
            (None, Some(_)) => "ssl",
            (Some(_), None) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        },
    );
    if let Some(sasl) = &config.sasl {
        of.set("sasl.mechanisms", sasl.mechanism.name());
        of.set("sasl.username", &sasl.username);
        of.set("sasl.password", sasl.password.expose());
    }
    if let Some(tls) = &config.tls {
        if let Some(path) = &tls.ca_file {
            of.set("ssl.ca.location", path);
        }
        if let Ok(Some((certificate, key))) = tls.identity() {
            of.set("ssl.certificate.location", certificate);
            of.set("ssl.key.location", key);
        }
    }
    of
}

/// How long a message may wait for its report. librdkafka looks for those whose time is over once a second, so
/// this ends early enough for the report to come within the attempt.
fn message_timeout(timeout: Duration) -> Duration {
    (timeout.saturating_sub(Duration::from_secs(2))).max(timeout * 3 / 4).max(Duration::from_millis(100))
}

/// What in the settings nobody may see.
pub(super) fn secrets(config: &KafkaConfig) -> impl Iterator<Item = &str> {
    let password = config.sasl.iter().map(|sasl| sasl.password.expose());
    password
        .chain(config.properties.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.expose()))
}

/// The values of others are words like `true`, which are found everywhere.
fn is_secret(name: &str) -> bool {
    ["password", "secret", "token", "pem", "sasl", "ssl.key"].iter().any(|part| name.contains(part))
}
