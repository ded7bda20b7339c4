//! Which settings are right, and what the engine is told.

use pump_core::config::ConfigDuration;
use pump_core::plugin::Format;

use super::*;

fn refused(change: impl FnOnce(&mut S3Config)) -> (String, String) {
    let mut config = config("https://s3.internal:9000");
    change(&mut config);
    let error = S3Sink::plan(&config, None).map(drop).expect_err("it is wrong");
    (error.key.into(), error.message.into())
}

#[test]
fn the_engine_is_told_what_it_needs_to_know() {
    let plan = S3Sink::plan(&config("https://s3.internal"), Some(Format::Tyk)).expect("right");
    assert!(plan.repeats_batches && plan.takes_additions);
    assert_eq!(plan.targets, ["s3.internal:443"]);
    assert_eq!(plan.route.constant(), Some("tyk/"));
    let target = |region: Option<&str>| {
        let region = region.map(str::to_owned);
        let config = S3Config { endpoint: None, region, ..config("http://none") };
        S3Sink::plan(&config, None).expect("right").targets.concat()
    };
    assert_eq!(target(Some("eu-central-1")), "archive.s3.eu-central-1.amazonaws.com:443");
    assert_eq!(target(None), "archive.s3.amazonaws.com:443");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_key_and_what_to_do() {
    let lock = |retain| Some(ObjectLock { mode: LockMode::Compliance, retain });
    let key = Some("alias/logs".to_owned());
    let encryption = Encryption { algorithm: Algorithm::Store, key_id: key };
    let tags = (0..11).map(|n| (n.to_string(), String::new())).collect();
    let wrong = [
        (refused(|config| config.bucket = "logs/tyk".into()), "bucket", "stand in `prefix`"),
        (refused(|config| config.prefix = "/tyk/".into()), "prefix", "leave it out"),
        (refused(|config| config.prefix = "tyk/../".into()), "prefix", "leave them out"),
        (refused(|config| config.prefix = "tyk\\".into()), "prefix", "leave them out"),
        (refused(|config| config.prefix = "{api_id}/".repeat(9)), "prefix", "shorten it"),
        (refused(|config| config.prefix = "%Q/".into()), "prefix", "%Q"),
        (refused(|config| config.secret_access_key = None), "access_key_id", "add `secret_access_key`"),
        (refused(|config| config.access_key_id = None), "secret_access_key", "add `access_key_id`"),
        (refused(|config| config.object_lock = lock(ConfigDuration::secs(0))), "object_lock.retain", "`90d`"),
        (refused(|config| config.encryption = Some(encryption)), "encryption.key_id", "`aws:kms`"),
        (refused(|config| config.storage_class = Some("glacier".into())), "storage_class", "STANDARD_IA"),
        (refused(|config| config.tags = tags), "tags", "10"),
        (
            refused(|config| {
                (config.encoding, config.compression) = (Encoding::Parquet, Compression::Gzip);
            }),
            "compression",
            "write `zstd` or `none`",
        ),
        (refused(|config| config.tls.cert_file = Some("me.pem".into())), "tls", "take `cert_file`"),
        (
            refused(|config| {
                config.endpoint = Some("http://s3.internal".parse().expect("an address"));
                config.tls.ca_file = Some("ca.pem".into());
            }),
            "tls",
            "write `https://`",
        ),
    ];
    for ((key, message), expected_key, expected) in wrong {
        assert_eq!(key, expected_key, "{message}");
        assert!(message.contains(expected), "{key}: {message}");
    }
}

#[test]
fn a_key_is_prefix_and_digest_and_ending_and_nothing_of_the_delivery() {
    let batch = five();
    let ending = |compression| key::ending(Encoding::Ndjson, compression);
    let endings = [Compression::None, Compression::Gzip, Compression::Zstd].map(ending);
    assert_eq!(endings, [".ndjson", ".ndjson.gz", ".ndjson.zst"]);
    let key = key::key(batch.route(), batch.digest(), endings[2]);
    assert_eq!(key, format!("tyk/{}.ndjson.zst", batch.digest()));
    assert_eq!(key.len(), "tyk/".len() + 32 + ".ndjson.zst".len());
}

#[test]
fn a_probe_asks_below_the_prefix_where_nothing_is_written() {
    for (prefix, expected) in [("tyk/%Y/%m/{api_id}/", "tyk/0/0/probe"), ("", "probe"), ("a-", "a-probe")] {
        let template = Template::parse(prefix);
        assert_eq!(
            template.map(|template| key::probe(&template)).ok().as_deref(),
            Some(expected),
            "{prefix}"
        );
    }
}

#[test]
fn secrets_are_in_no_description_of_the_settings() {
    assert!(!format!("{:?}", config("http://none")).contains(WRITER_SECRET));
}

#[test]
fn columns_are_of_transactions_and_have_names_of_their_own() {
    let config = S3Config { encoding: Encoding::Parquet, ..config("http://none") };
    let plan = S3Sink::plan(&config, None).expect("right");
    assert_eq!(
        (plan.kinds, plan.body.is_none(), plan.takes_additions),
        (vec![Kind::Transaction], true, false)
    );
    let error = S3Sink::plan(&config, Some(Format::Tyk)).map(drop).expect_err("it is wrong");
    assert_eq!(&*error.key, "encoding");
}
