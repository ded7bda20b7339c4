//! A bucket and our way to it: one method per request, each made once.
//!
//! The official client signs and sends. Its own retries are off, since the engine has some; so is its guard against
//! slow streams, since an attempt has a deadline.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, Region, SharedHttpClient, StalledStreamProtectionConfig};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ObjectLockMode, ServerSideEncryption,
    StorageClass,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use bytes::Bytes;
use pump_core::plugin::SinkError;
use pump_core::template::Template;

use super::config::{Algorithm, Encryption, LockMode, ObjectLock, S3Config};
use super::failure::Failure;
use super::key;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The region of stores that have none.
const NO_REGION: &str = "us-east-1";
/// An upload that no store has: with it we can ask whether we may write, and nothing is written.
const NO_UPLOAD: &str = "pump-probe";

/// A bucket and our way to it. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Store {
    client: Client,
    settings: Arc<Settings>,
}

/// What every object gets.
#[derive(Debug)]
struct Settings {
    bucket: String,
    media_type: &'static str,
    lock: Option<ObjectLock>,
    encryption: Option<Encryption>,
    storage_class: Option<StorageClass>,
    /// As in a query.
    tagging: Option<String>,
}

/// A part that the store has.
#[derive(Debug, Clone)]
pub(super) struct Part {
    number: i32,
    tag: Option<String>,
    checksum: Option<String>,
}

/// Reads the authorities of `tls`; contacts nobody.
pub(super) fn http_client(config: &S3Config) -> Result<SharedHttpClient, SinkError> {
    let mut trusted = TrustStore::default();
    if let Some(path) = &config.tls.ca_file {
        let pem = std::fs::read(path)
            .map_err(|error| SinkError::unavailable(format!("cannot read {path}"), error))?;
        // The client takes a file that it cannot read for a bug of its own.
        if !holds_certificates(&pem) {
            return Err(SinkError::unavailable(
                "`tls.ca_file` cannot be used",
                format!("{path} is no certificate"),
            ));
        }
        trusted = trusted.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder().with_trust_store(trusted).build();
    let tls = tls.map_err(|error| SinkError::unavailable("`tls` cannot be used", error))?;
    let builder = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    Ok(builder.tls_context(tls).build_https())
}

impl Store {
    /// Asks the environment for what the settings leave open, over the network where it has to.
    pub(super) async fn connect(config: &S3Config, http: SharedHttpClient) -> Result<Self, SinkError> {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        } else if config.endpoint.is_some() {
            loader = loader.region(Region::from_static(NO_REGION));
        }
        if let Some(endpoint) = &config.endpoint {
            loader = loader.endpoint_url(endpoint.as_str());
        }
        if let (Some(id), Some(secret)) = (&config.access_key_id, &config.secret_access_key) {
            loader = loader.credentials_provider(Credentials::new(id, secret.expose(), None, None, "pump"));
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            let said = "neither the settings nor the environment name one";
            return Err(SinkError::unavailable("the region is not known: give `region`", said));
        }
        let own = aws_sdk_s3::config::Builder::from(&shared).force_path_style(config.path_style).build();
        Ok(Self { client: Client::from_conf(own), settings: Arc::new(Settings::new(config)) })
    }

    /// The whole object at once, unless there is one of that key.
    pub(super) async fn put(&self, key: &str, body: Bytes) -> Result<(), Failure> {
        let settings = &*self.settings;
        let request = self.client.put_object().bucket(&settings.bucket).key(key);
        let request = request
            .if_none_match("*")
            .content_type(settings.media_type)
            .content_length(body.len() as i64)
            .set_object_lock_mode(settings.lock_mode())
            .set_object_lock_retain_until_date(settings.retain_until())
            .set_server_side_encryption(settings.encryption())
            .set_ssekms_key_id(settings.key_id())
            .set_storage_class(settings.storage_class.clone())
            .set_tagging(settings.tagging.clone())
            .body(ByteStream::from(body));
        request.send().await.map(drop).map_err(Failure::of)
    }

    /// Begins an upload in parts; gives its id.
    pub(super) async fn begin(&self, key: &str) -> Result<String, Failure> {
        let settings = &*self.settings;
        let request = self.client.create_multipart_upload().bucket(&settings.bucket).key(key);
        let request = request
            .content_type(settings.media_type)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_object_lock_mode(settings.lock_mode())
            .set_object_lock_retain_until_date(settings.retain_until())
            .set_server_side_encryption(settings.encryption())
            .set_ssekms_key_id(settings.key_id())
            .set_storage_class(settings.storage_class.clone())
            .set_tagging(settings.tagging.clone());
        let begun = request.send().await.map_err(Failure::of)?;
        let no_id =
            || Failure::Other(SinkError::retry("the store began an upload without an id", key.to_owned()));
        begun.upload_id.filter(|id| !id.is_empty()).ok_or_else(no_id)
    }

    /// Part `number` of an upload; parts are numbered from 1.
    pub(super) async fn put_part(
        &self,
        key: &str,
        id: &str,
        number: i32,
        body: Bytes,
    ) -> Result<Part, Failure> {
        let request = self.client.upload_part().bucket(&self.settings.bucket).key(key);
        let request = request
            .upload_id(id)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .content_length(body.len() as i64)
            .body(ByteStream::from(body));
        let stored = request.send().await.map_err(Failure::of)?;
        Ok(Part { number, tag: stored.e_tag, checksum: stored.checksum_crc32 })
    }

    /// Makes the parts an object, unless there is one of that key.
    pub(super) async fn complete(&self, key: &str, id: &str, parts: Vec<Part>) -> Result<(), Failure> {
        let parts = parts.into_iter().map(|part| {
            let done = CompletedPart::builder().part_number(part.number);
            done.set_e_tag(part.tag).set_checksum_crc32(part.checksum).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let request = self.client.complete_multipart_upload().bucket(&self.settings.bucket).key(key);
        let request = request.upload_id(id).multipart_upload(parts).if_none_match("*");
        request.send().await.map(drop).map_err(Failure::of)
    }

    /// Gives an upload up, with all its parts.
    pub(super) async fn abort(&self, key: &str, id: &str) -> Result<(), Failure> {
        let request = self.client.abort_multipart_upload().bucket(&self.settings.bucket).key(key);
        match request.upload_id(id).send().await.map_err(Failure::of) {
            // It is done, or somebody has cleared it away.
            Err(Failure::Refused(refusal)) if refusal.status == 404 => Ok(()),
            result => result.map(drop),
        }
    }

    /// Whether we may write under this prefix. Credentials that may do nothing but write cannot ask for the
    /// bucket; a part of an upload that is not there is refused for that only to whom may write.
    pub(super) async fn probe(&self, prefix: &Template) -> Result<(), SinkError> {
        match self.put_part(&key::probe(prefix), NO_UPLOAD, 1, Bytes::new()).await {
            Ok(_) => Ok(()),
            Err(Failure::Refused(refusal)) if refusal.is_willing() => Ok(()),
            Err(failure) => Err(failure.into_error()),
        }
    }
}

impl Settings {
    fn new(config: &S3Config) -> Self {
        Self {
            bucket: config.bucket.clone(),
            media_type: key::media_type(config.encoding, config.compression),
            lock: config.object_lock,
            encryption: config.encryption.clone(),
            storage_class: config.storage_class.as_deref().map(StorageClass::from),
            tagging: tagging(config.tags.iter()),
        }
    }

    fn lock_mode(&self) -> Option<ObjectLockMode> {
        self.lock.map(|lock| match lock.mode {
            LockMode::Compliance => ObjectLockMode::Compliance,
            LockMode::Governance => ObjectLockMode::Governance,
        })
    }

    fn retain_until(&self) -> Option<DateTime> {
        let until = SystemTime::now().checked_add(self.lock?.retain.get())?;
        Some(DateTime::from(until))
    }

    fn encryption(&self) -> Option<ServerSideEncryption> {
        self.encryption.as_ref().map(|encryption| match encryption.algorithm {
            Algorithm::Store => ServerSideEncryption::Aes256,
            Algorithm::KeyService => ServerSideEncryption::AwsKms,
        })
    }

    fn key_id(&self) -> Option<String> {
        self.encryption.as_ref().and_then(|encryption| encryption.key_id.clone())
    }
}

/// Tags as they are sent: `team=api&kind=a%20b`.
fn tagging<'t>(tags: impl Iterator<Item = (&'t String, &'t String)>) -> Option<String> {
    let pairs: Vec<_> = tags.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

/// Percent-encoded (RFC 3986, 2.3).
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn holds_certificates(pem: &[u8]) -> bool {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut certificates = CertificateDer::pem_slice_iter(pem).peekable();
    certificates.peek().is_some() && certificates.all(|certificate| certificate.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_sent_as_a_query() {
        let tags = [("team", "api"), ("what is it", "ä/b&c=d")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let sent = tagging(tags.iter().map(|(name, value)| (name, value)));
        assert_eq!(sent.as_deref(), Some("team=api&what%20is%20it=%C3%A4%2Fb%26c%3Dd"));
        assert_eq!(tagging(std::iter::empty()), None);
    }
}
