//! The sink against a real store, and against one that does as it is told.

mod behaviour;
mod objects;
mod plan;
mod refusals;
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

use pump_core::config::{Secret, TlsConfig};
use pump_core::plugin::{Answer, Answers, Batch, Deadline, Sink, SinkContext, SinkError};
use pump_testing::{S3Server, WRITER, WRITER_SECRET};
use serde_json::Value;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
/// What the documents say that credentials need.
const RIGHTS: [&str; 2] = ["s3:PutObject", "s3:AbortMultipartUpload"];

/// Settings for a store at this address, all else as by default.
fn config(url: &str) -> S3Config {
    S3Config {
        bucket: "archive".to_owned(),
        prefix: "tyk/".to_owned(),
        region: None,
        endpoint: Some(url.parse().expect("an address")),
        path_style: true,
        encoding: Encoding::Ndjson,
        compression: Compression::Zstd,
        object_lock: None,
        encryption: None,
        storage_class: None,
        tags: BTreeMap::new(),
        access_key_id: Some(WRITER.to_owned()),
        secret_access_key: Some(Secret::new(WRITER_SECRET)),
        tls: TlsConfig::default(),
    }
}

/// A store with the bucket, in which the writer may do what the documents say that it needs, and a bit more.
fn store(more: &[&str]) -> S3Server {
    let server = S3Server::start();
    server.create_bucket("archive", "tyk/", &[&RIGHTS, more].concat());
    server
}

async fn open(config: S3Config) -> S3Sink {
    S3Sink::plan(&config, None).map(drop).expect("the settings are right");
    let context = SinkContext { name: "test".into(), format: None, timeout: Duration::from_secs(30) };
    S3Sink::open(config, context).await.expect("it opens")
}

async fn deliver(sink: &S3Sink, batch: &Batch) -> Result<Answers, SinkError> {
    sink.deliver(batch, Deadline::after(MINUTE)).await
}

/// Events with a number each and so much noise that an object of them has about `size` bytes, compressed or not.
fn noisy(count: usize, size: usize) -> Batch {
    let mut state = 1_u64;
    let mut noise = |length: usize| -> String {
        let mut next = || {
            // xorshift64: as good as random to a compressor.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'0' + (state % 64) as u8).to_string().replace('\\', "~")
        };
        (0..length).map(|_| next()).collect()
    };
    let bodies: Vec<_> =
        (0..count).map(|n| format!("{{\"n\":{n},\"noise\":\"{}\"}}", noise(size / count))).collect();
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    pump_core::testing::late_batch(&bodies, "tyk/")
}

fn five() -> Batch {
    let bodies = [r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":4}"#];
    pump_core::testing::late_batch(&bodies, "tyk/")
}

fn all_duplicates(count: usize) -> Answers {
    let mut answers = Answers::unset(count);
    (0..count).for_each(|index| answers.set(index, Answer::Duplicate));
    answers
}

/// The numbers of all records in the bucket, in order, by what the other client reads.
fn numbers(server: &S3Server) -> Vec<u64> {
    let records = server.client(&["records", "archive"]);
    let number = |record: &Value| record[1]["n"].as_u64().expect("a number");
    records.as_array().expect("a list").iter().map(number).collect()
}
