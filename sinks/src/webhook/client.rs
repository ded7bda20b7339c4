//! Requests to a receiver, one at a time, and what comes back.
//!
//! Connections are kept and used again. Redirections are not followed: records go where the pipeline file says and
//! nowhere else. Nor is a proxy asked that the environment names.

use std::time::Duration;

use pump_core::config::{HttpCompression, TlsConfig};
use pump_core::plugin::{Deadline, PlanError, SinkError};
use reqwest::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue, LOCATION, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity, Method, RequestBuilder, Response, Url};
use tokio::time::timeout;

use super::config::{SignatureConfig, WebhookConfig};
use super::refusal::{Refusal, lost, refusal};
use super::signature::Signer;
use super::target;
use crate::discretion::Discretion;
use crate::http::{self, read};
use crate::retry_after::retry_after;

/// What tells a request that is sent again from a new one.
pub(super) const KEY_HEADER: &str = "idempotency-key";

/// How much of a reply is read: its beginning says what is wrong, and reading to its end keeps the connection.
const MAX_REPLY: usize = 64 << 10;
/// How long it is waited for: the status is there by then, and says what counts.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than servers keep idle connections, so that a request seldom meets one that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// A receiver and our way to it.
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    compression: HttpCompression,
    signer: Option<(HeaderName, Signer)>,
    discretion: Discretion,
}

/// What a receiver answered that is no yes.
pub(super) struct Reply {
    pub(super) status: u16,
    /// How long it asked to wait.
    pub(super) wait: Option<Duration>,
    /// Where it sends us, as scheme, host and port.
    pub(super) elsewhere: Option<String>,
    /// Its words, without our secrets.
    pub(super) said: String,
}

impl Client {
    /// Reads the files of `tls`; contacts nobody.
    pub(super) fn new(config: &WebhookConfig, content_type: &'static str) -> Result<Self, SinkError> {
        let url = target::parse(config.url.expose(), config.allow_plain_http).map_err(unusable)?;
        let mut headers = headers(config).map_err(unusable)?;
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        if config.compression == HttpCompression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let signer = config.signature.as_ref().map(|SignatureConfig { header, secret }| {
            let name = HeaderName::from_bytes(header.as_bytes()).map_err(unusable)?;
            Ok((name, Signer::new(secret.expose())))
        });
        Ok(Self {
            http: http_client(&config.tls)?,
            discretion: discretion(config, &url, &headers),
            url,
            headers,
            compression: config.compression,
            signer: signer.transpose()?,
        })
    }

    /// Posts a body under a key, and is answered by the deadline: yes, or why not.
    pub(super) async fn post(&self, body: Vec<u8>, key: &str, deadline: Deadline) -> Result<(), Refusal> {
        let body = http::compressed(body, self.compression).await.map_err(Refusal::One)?;
        let mut headers = self.headers.clone();
        headers.insert(KEY_HEADER, HeaderValue::from_str(key).expect("keys are hexadecimal digits"));
        let request = self.request(Method::POST, headers, &body, deadline);
        let mut response = request.body(body).send().await.map_err(lost)?;
        if response.status().is_success() {
            // What follows is of no interest, and neither is whether all of it comes.
            beginning(&mut response).await;
            return Ok(());
        }
        Err(refusal(&self.read(response).await))
    }

    /// Asks for the head of the page, which changes nothing.
    pub(super) async fn ask(&self, deadline: Deadline) -> Result<Reply, Refusal> {
        let mut headers = self.headers.clone();
        // There is no content.
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_ENCODING);
        let request = self.request(Method::HEAD, headers, &[], deadline);
        Ok(self.read(request.send().await.map_err(lost)?).await)
    }

    /// A request, signed over the body that it will have.
    fn request(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: &[u8],
        deadline: Deadline,
    ) -> RequestBuilder {
        if let Some((name, signer)) = &self.signer {
            let value = HeaderValue::from_str(&signer.sign(body));
            headers.insert(name, value.expect("signatures are letters, digits and punctuation"));
        }
        self.http.request(method, self.url.clone()).headers(headers).timeout(deadline.remaining())
    }

    async fn read(&self, mut response: Response) -> Reply {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wait = header(RETRY_AFTER).and_then(retry_after);
        let elsewhere = header(LOCATION).and_then(|to| self.url.join(to).ok());
        let elsewhere = elsewhere.map(|to| to.origin().ascii_serialization());
        let text = beginning(&mut response).await;
        let said = http::words(&self.discretion.hide(&String::from_utf8_lossy(&text)));
        Reply { status, wait, elsewhere, said }
    }
}

/// Whether a header says how a request is sent: that is not for the pipeline file to say.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 8] =
        [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    OURS.contains(name) || name == KEY_HEADER
}

/// The headers that are the same in each request. Also what is wrong with those of the pipeline file.
pub(super) fn headers(config: &WebhookConfig) -> Result<HeaderMap, PlanError> {
    let signature = config.signature.as_ref().map(|signature| signature.header.to_ascii_lowercase());
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let wrong = |message: &str| PlanError::new(format!("headers.{name}"), message);
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| wrong("there are signs in it that no header's name has"))?;
        if is_ours(&name) || signature.as_deref() == Some(name.as_str()) {
            return Err(wrong("this header is set by the sink: leave it out"));
        }
        if name == AUTHORIZATION && config.auth.is_some() {
            return Err(wrong("this header is what `auth` sets: keep one of them"));
        }
        let value =
            secret_value(value.expose()).ok_or_else(|| wrong("there are signs in it that no header has"))?;
        if headers.insert(name, value).is_some() {
            return Err(wrong("this header is there twice: names of headers have no upper and lower case"));
        }
    }
    if let Some(text) = config.auth.as_ref().and_then(http::authorization) {
        let value = secret_value(&text);
        let value =
            value.ok_or_else(|| PlanError::new("auth", "there are signs in it that no header has"))?;
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What `plan` refuses already.
fn unusable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
    SinkError::unavailable("the settings cannot be used", error)
}

fn http_client(tls: &TlsConfig) -> Result<reqwest::Client, SinkError> {
    let unusable =
        |error| SinkError::unavailable("`tls` cannot be used: check its files", http::causes(&error));
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("pump/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        // A small reply could become a large one.
        .no_gzip()
        .use_rustls_tls()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT);
    if let Some(path) = &tls.ca_file {
        builder = builder.tls_built_in_root_certs(false);
        let authorities = Certificate::from_pem_bundle(&read(path)?).map_err(unusable)?;
        if authorities.is_empty() {
            return Err(SinkError::unavailable("`tls` cannot be used", format!("{path} has no certificate")));
        }
        for authority in authorities {
            builder = builder.add_root_certificate(authority);
        }
    }
    if let Ok(Some((certificate, key))) = tls.identity() {
        let pem = [read(certificate)?, b"\n".to_vec(), read(key)?].concat();
        builder = builder.identity(Identity::from_pem(&pem).map_err(unusable)?);
    }
    builder.build().map_err(unusable)
}

fn discretion(config: &WebhookConfig, url: &Url, headers: &HeaderMap) -> Discretion {
    let in_url = target::secrets(url);
    let password =
        config.auth.as_ref().and_then(|auth| auth.basic.as_ref()).map(|basic| basic.password.expose());
    let secret = config.signature.as_ref().map(|signature| signature.secret.expose());
    // The words after `Basic` and `Bearer` too.
    let values =
        headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    let values = values.flat_map(|value| [value, value.split_once(' ').map_or("", |(_, token)| token)]);
    Discretion::new(in_url.iter().map(String::as_str).chain(password).chain(secret).chain(values))
}

/// So much of the body as is of interest; also of one that is cut off, or comes slowly.
async fn beginning(response: &mut Response) -> Vec<u8> {
    let mut text = Vec::new();
    let reading = async {
        while let Ok(Some(piece)) = response.chunk().await {
            let room = MAX_REPLY - text.len();
            text.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.len() >= room {
                break;
            }
        }
    };
    let _ = timeout(REPLY_TIMEOUT, reading).await;
    text
}
