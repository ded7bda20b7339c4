//! Requests to a receiver, one at a time, and what comes back.
//!
//! Connections are kept and used again. Redirections are not followed: records go where the pipeline file says and
//! nowhere else. Nor is a proxy asked that the environment names.

use std::time::Duration;

use bytes::Bytes;
use pump_core::config::{HttpCompression, TlsConfig};
use pump_core::plugin::{Deadline, SinkError};
use reqwest::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue, LOCATION, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Identity, Method, RequestBuilder, Response, Url};
use tokio::time::timeout;

use super::config::WebhookConfig;
use super::discretion::Discretion;
use super::refusal::{Refusal, lost, refusal};
use super::signature::Signer;
use super::target;
use crate::http::{self, read};
use crate::retry_after::retry_after;

/// What tells a request that is sent again from a new one.
pub(super) const KEY_HEADER: &str = "idempotency-key";

/// How much of a reply is read: its beginning says what is wrong, and reading to its end keeps the connection.
const MAX_REPLY: usize = 64 << 10;
/// How long the end of a reply that says yes is waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
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
        let unusable = |message: String| SinkError::unavailable("the settings cannot be used", message);
        let url = target::parse(config.url.expose(), config.allow_plain_http);
        let url = url.map_err(|message| unusable(message.to_owned()))?;
        let mut headers = headers(config).map_err(unusable)?;
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        if config.compression == HttpCompression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let signer = config.signature.as_ref().map(|signature| {
            let name = HeaderName::from_bytes(signature.header.as_bytes());
            let name = name.map_err(|error| unusable(error.to_string()))?;
            Ok((name, Signer::new(signature.secret.expose())))
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
        let request = self.request(Method::POST, &body, deadline).header(KEY_HEADER, key).body(body);
        let mut response = request.send().await.map_err(lost)?;
        if response.status().is_success() {
            // The answer is there. What follows is of no interest, and neither is whether all of it comes.
            let _ = timeout(DRAIN_TIMEOUT, beginning(&mut response)).await;
            return Ok(());
        }
        Err(refusal(&self.read(response).await))
    }

    /// Asks for the head of the page, which changes nothing.
    pub(super) async fn ask(&self, deadline: Deadline) -> Result<Reply, Refusal> {
        let response = self.request(Method::HEAD, &Bytes::new(), deadline).send().await.map_err(lost)?;
        Ok(self.read(response).await)
    }

    fn request(&self, method: Method, body: &Bytes, deadline: Deadline) -> RequestBuilder {
        let mut headers = self.headers.clone();
        if let Some((name, signer)) = &self.signer
            && let Ok(value) = HeaderValue::from_str(&signer.sign(body))
        {
            headers.insert(name, value);
        }
        self.http.request(method, self.url.clone()).headers(headers).timeout(deadline.remaining())
    }

    async fn read(&self, mut response: Response) -> Reply {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let wait = header(RETRY_AFTER).and_then(retry_after);
        let elsewhere = header(LOCATION).and_then(|to| self.url.join(to).ok());
        let elsewhere = elsewhere.map(|to| to.origin().ascii_serialization());
        // Without all of its words the status still says what it is.
        let text = beginning(&mut response).await;
        let said = http::words(&self.discretion.hide(&String::from_utf8_lossy(&text)));
        Reply { status, wait, elsewhere, said }
    }
}

/// The headers that are the same in each request. Also what is wrong with those of the pipeline file.
pub(super) fn headers(config: &WebhookConfig) -> Result<HeaderMap, String> {
    const OURS: [HeaderName; 8] =
        [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes());
        let parsed = parsed.map_err(|_| "a name has signs that no header's name has".to_owned())?;
        let is_signature = config
            .signature
            .as_ref()
            .is_some_and(|signature| parsed == *signature.header.to_ascii_lowercase());
        if OURS.contains(&parsed) || parsed == KEY_HEADER || is_signature {
            return Err(format!("`{parsed}` is set by the sink: leave it out"));
        }
        if parsed == AUTHORIZATION && config.auth.is_some() {
            return Err("`authorization` is what `auth` sets: keep one of them".to_owned());
        }
        let value = secret_value(value.expose())
            .ok_or_else(|| format!("the value of `{parsed}` has signs that no header has"))?;
        if headers.insert(parsed.clone(), value).is_some() {
            return Err(format!("`{parsed}` is there twice: names of headers have no upper and lower case"));
        }
    }
    if let Some(text) = config.auth.as_ref().and_then(http::authorization) {
        let value = secret_value(&text).ok_or("the token of `auth` has signs that no header has")?;
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
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
    let password =
        config.auth.as_ref().and_then(|auth| auth.basic.as_ref()).map(|basic| basic.password.expose());
    let secret = config.signature.as_ref().map(|signature| signature.secret.expose());
    // The words after `Basic` and `Bearer` too.
    let values =
        headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    let values = values.flat_map(|value| [value, value.split_once(' ').map_or("", |(_, token)| token)]);
    Discretion::new(target::secrets(url).chain(password).chain(secret).chain(values))
}

/// So much of the body as is of interest; also of one that is cut off.
async fn beginning(response: &mut Response) -> Vec<u8> {
    let mut text = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        let room = MAX_REPLY - text.len();
        text.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() >= room {
            break;
        }
    }
    text
}
