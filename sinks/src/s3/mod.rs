//! The `s3` sink: each batch an object, under a key that says which records are in it.
//!
//! A delivery encodes and compresses a batch slice by slice and uploads what comes about. The object's key is a digest
//! over exactly its records, and is written only if it is not taken: a repeat finds it taken, and knows that the
//! records are there. `docs/sinks/s3.md` says what that takes of a log.

mod config;
mod failure;
mod key;
mod lines;
mod object;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::config::SharedHttpClient;
use pump_core::encode::{Encoder, FullEncoder, TykRecordEncoder};
use pump_core::plugin::{
    Answer, Answers, Batch, BatchDefaults, Body, Deadline, Format, PlanError, Sink, SinkContext, SinkError,
    SinkPlan,
};
use pump_core::record::Kind;
use pump_core::template::Template;
use tokio::sync::OnceCell;

pub use config::{Algorithm, Compression, Encoding, Encryption, LockMode, ObjectLock, S3Config};
use object::Object;
use store::Store;
use upload::{Janitor, Outcome, Upload};

/// How long closing waits for uploads to be given up; the engine waits a little longer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// The most tags that an object has.
const MAX_TAGS: usize = 10;

/// Writes objects.
pub struct S3Sink {
    config: S3Config,
    prefix: Template,
    http: SharedHttpClient,
    /// Made when it is first needed: the environment may have to be asked over the network.
    store: OnceCell<Store>,
    janitor: Arc<Janitor>,
}

#[async_trait]
impl Sink for S3Sink {
    const NAME: &'static str = "s3";
    const ENCODES_LATE: bool = true;
    type Config = S3Config;

    fn plan(config: &S3Config, format: Option<Format>) -> Result<SinkPlan, PlanError> {
        let route =
            Template::parse(&config.prefix).map_err(|error| PlanError::new("prefix", error.to_string()))?;
        key::check(&route).map_err(|message| PlanError::new("prefix", message))?;
        check(config)?;
        let (kinds, body) = match config.encoding {
            Encoding::Ndjson => {
                let encoder: Arc<dyn Encoder> = match format.unwrap_or(Format::Full) {
                    Format::Full => Arc::new(FullEncoder),
                    Format::Tyk => Arc::new(TykRecordEncoder),
                };
                (Kind::ALL.to_vec(), Some(Body { encoder, terminator: b"\n" }))
            }
            Encoding::Parquet if format == Some(Format::Tyk) => {
                let message = "Tyk Pump writes no such columns: take `format: tyk` out, or write `ndjson`";
                return Err(PlanError::new("encoding", message));
            }
            Encoding::Parquet => (vec![Kind::Transaction], None),
        };
        Ok(SinkPlan {
            kinds,
            body,
            batch: BatchDefaults {
                max_records: 1_000_000,
                max_bytes: 64 << 20,
                max_age: Duration::from_secs(60),
            },
            route,
            targets: vec![target(config)],
            takes_additions: config.encoding == Encoding::Ndjson,
            repeats_batches: true,
        })
    }

    async fn open(config: S3Config, context: SinkContext) -> Result<Self, SinkError> {
        let prefix = Template::parse(&config.prefix)
            .map_err(|error| SinkError::unavailable("the prefix is no template", error))?;
        let http = store::http_client(&config)?;
        let janitor = Arc::new(Janitor::new(context.name));
        Ok(Self { config, prefix, http, store: OnceCell::new(), janitor })
    }

    async fn deliver(&self, batch: &Batch, _: Deadline) -> Result<Answers, SinkError> {
        let (encoding, compression) = (self.config.encoding, self.config.compression);
        let key = key::key(batch.route(), batch.digest(), key::ending(encoding, compression));
        let mut upload = Upload::new(self.store().await?, &self.janitor, key);
        let mut object = Object::new(&self.config)?;
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            let more;
            (object, more) = object.add(&slice).await?;
            upload.push(more).await?;
        }
        upload.push(object.finish().await?).await?;
        Ok(match upload.finish().await? {
            Outcome::Created => Answers::delivered(batch.len()),
            Outcome::Taken => duplicates(batch.len()),
        })
    }

    async fn probe(&self) -> Result<(), SinkError> {
        self.store().await?.probe(&self.prefix).await
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.janitor.finish(CLOSE_TIMEOUT).await;
        Ok(())
    }
}

impl S3Sink {
    async fn store(&self) -> Result<&Store, SinkError> {
        self.store.get_or_try_init(|| Store::connect(&self.config, self.http.clone())).await
    }
}

fn check(config: &S3Config) -> Result<(), PlanError> {
    let wrong = |key: &str, message: &str| Err(PlanError::new(key, message));
    if config.bucket.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
        return wrong("bucket", "a bucket's name has no `/` and no white space: folders stand in `prefix`");
    }
    match (&config.access_key_id, &config.secret_access_key) {
        (Some(_), None) => return wrong("access_key_id", "a key has its secret: add `secret_access_key`"),
        (None, Some(_)) => {
            return wrong("secret_access_key", "a secret belongs to a key: add `access_key_id`");
        }
        _ => {}
    }
    if config.object_lock.is_some_and(|lock| lock.retain.get().is_zero()) {
        return wrong("object_lock.retain", "a lock of no time locks nothing: say how long, such as `90d`");
    }
    let has_key =
        |encryption: &Encryption| encryption.algorithm == Algorithm::Store && encryption.key_id.is_some();
    if config.encryption.as_ref().is_some_and(has_key) {
        return wrong(
            "encryption.key_id",
            "`sse-s3` has a key of the store's: take it out, or write `aws:kms`",
        );
    }
    if config
        .storage_class
        .as_ref()
        .is_some_and(|class| !class.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
    {
        return wrong("storage_class", "storage classes are written like `STANDARD_IA`");
    }
    if config.encoding == Encoding::Parquet && config.compression == Compression::Gzip {
        return wrong(
            "compression",
            "columns are compressed with zstd, or not at all: write `zstd` or `none`",
        );
    }
    if config.tags.len() > MAX_TAGS {
        return wrong("tags", "an object has at most 10 tags");
    }
    if config.tls.cert_file.is_some() || config.tls.key_file.is_some() {
        return wrong(
            "tls",
            "requests are signed, and no certificate of ours is shown: take `cert_file` and `key_file` out",
        );
    }
    if config.tls.ca_file.is_some()
        && config.endpoint.as_ref().is_some_and(|endpoint| !endpoint.is_encrypted())
    {
        return wrong(
            "tls",
            "an endpoint with `http://` is not encrypted: write `https://`, or take `tls` out",
        );
    }
    Ok(())
}

/// Host and port of the store, as far as the settings say.
fn target(config: &S3Config) -> String {
    match (&config.endpoint, &config.region) {
        (Some(endpoint), _) => endpoint.target(),
        (None, Some(region)) => format!("{}.s3.{region}.amazonaws.com:443", config.bucket),
        (None, None) => format!("{}.s3.amazonaws.com:443", config.bucket),
    }
}

fn duplicates(count: usize) -> Answers {
    let mut answers = Answers::unset(count);
    (0..count).for_each(|index| answers.set(index, Answer::Duplicate));
    answers
}
