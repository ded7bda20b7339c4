//! Requests to a cluster: which node, whose credentials, and what a refusal means.
//!
//! The official client carries them; each node has a transport of its own, so that what happens is
//! known of the node and not of a pool. Bodies are encoded and compressed before they get here.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use elasticsearch::auth::{ClientCertificate, Credentials};
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::headers::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use elasticsearch::http::{Method, Url};
use pump_core::config::HttpCompression;
use pump_core::plugin::{Deadline, SinkError};
use tokio::time::Instant;

use super::config::ElasticsearchConfig;
use super::nodes::Nodes;
use crate::http::{self, read};
use crate::retry_after::retry_after;

/// No reply to what we ask is larger: one to 5,000 records that were all refused with a reason of
/// half a KiB each has 3 MiB. A reply in chunks, as newer servers send long ones, does not say its
/// length, and the client reads it whole or not at all: what bounds it is the deadline.
const MAX_REPLY: u64 = 16 << 20;

/// A cluster and our way to it.
pub(super) struct Client {
    transports: Box<[Transport]>,
    /// Scheme, host and port of each.
    origins: Box<[String]>,
    nodes: Mutex<Nodes>,
    headers: HeaderMap,
}

/// What a node answered.
pub(super) struct Reply {
    pub(super) status: u16,
    /// How long it asked to wait.
    pub(super) wait: Option<Duration>,
    pub(super) body: Bytes,
}

/// What is sent.
pub(super) struct Content {
    pub(super) media_type: &'static str,
    pub(super) compression: HttpCompression,
    pub(super) bytes: Bytes,
}

impl Client {
    /// Reads the files of `tls`; contacts nobody.
    pub(super) fn new(config: &ElasticsearchConfig) -> Result<Self, SinkError> {
        let transports = config.endpoints.iter().map(|endpoint| transport(endpoint.as_str(), config));
        let transports: Box<[_]> = transports.collect::<Result<_, _>>()?;
        let urls = config.endpoints.iter().map(|endpoint| address(endpoint.as_str()));
        let origins = urls.map(|url| Ok(origin(&url?))).collect::<Result<_, SinkError>>()?;
        let mut headers = HeaderMap::new();
        // The length of a reply must be known before it is read.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(text) = config.auth.as_ref().and_then(http::authorization) {
            let mut value = HeaderValue::from_str(&text).map_err(|_| {
                SinkError::unavailable("`auth` cannot be used", "the key has signs that no key has")
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self { nodes: Mutex::new(Nodes::new(transports.len())), transports, origins, headers })
    }

    /// One request to the next node, answered by the deadline.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        content: Option<Content>,
        deadline: Deadline,
    ) -> Result<Reply, SinkError> {
        let mut headers = self.headers.clone();
        let body = content.map(|content| {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content.media_type));
            if content.compression == HttpCompression::Gzip {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            content.bytes
        });
        let turn = self.turn();
        let transport = &self.transports[turn.number];
        let sent = transport.send(method, path, headers, None::<&()>, body, Some(deadline.remaining()));
        let response = sent.await.map_err(|error| lost("the cluster cannot be reached", &error))?;
        // The client follows redirections. The first question to a node has no body, so a node that sends us
        // elsewhere is found out before it gets a record.
        let there = origin(response.url());
        if there != self.origins[turn.number] {
            return Err(SinkError::unavailable("the cluster sends us elsewhere: check `endpoints`", there));
        }
        let status = response.status_code().as_u16();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
        if response.content_length().is_some_and(|length| length > MAX_REPLY) {
            return Err(SinkError::retry("the reply is too large", format!("over {MAX_REPLY} bytes")));
        }
        let body = response.bytes().await.map_err(|error| lost("the reply was cut off", &error))?;
        // What stands between us and a node answers for it when it is gone.
        if !matches!(status, 502..=504) {
            turn.answered();
        }
        Ok(Reply { status, wait, body })
    }

    fn turn(&self) -> Turn<'_> {
        let number = self.nodes().pick(Instant::now());
        Turn { client: self, number, has_answered: false }
    }

    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().expect("nothing panics while it holds this lock")
    }
}

/// A request under way. Dropped without an answer, also by an attempt whose time is over, it counts
/// against its node.
struct Turn<'c> {
    client: &'c Client,
    number: usize,
    has_answered: bool,
}

impl Turn<'_> {
    fn answered(mut self) {
        self.has_answered = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut nodes = self.client.nodes();
        match self.has_answered {
            true => nodes.answered(self.number),
            false => nodes.failed(self.number, Instant::now()),
        }
    }
}

fn transport(endpoint: &str, config: &ElasticsearchConfig) -> Result<Transport, SinkError> {
    // A proxy that the environment names is not contacted: the pipeline file does not name it.
    let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(address(endpoint)?))
        .disable_proxy()
        .enable_meta_header(false);
    if let Some(path) = &config.tls.ca_file {
        let pem = read(path)?;
        let authority = Certificate::from_pem(&pem)
            .map_err(|error| SinkError::unavailable(format!("{path} is no certificate"), error))?;
        builder = builder.cert_validation(CertificateValidation::Full(authority));
    }
    if let Ok(Some((cert, key))) = config.tls.identity() {
        let pem = [read(cert)?, b"\n".to_vec(), read(key)?].concat();
        builder = builder.auth(Credentials::Certificate(ClientCertificate::Pem(pem)));
    }
    builder.build().map_err(|error| SinkError::unavailable("`tls` cannot be used: check its files", error))
}

/// Scheme, host and port.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn address(endpoint: &str) -> Result<Url, SinkError> {
    Url::parse(endpoint).map_err(|error| SinkError::unavailable(format!("{endpoint} is no address"), error))
}

/// An attempt that got no whole answer.
fn lost(message: &'static str, error: &elasticsearch::Error) -> SinkError {
    // Whoever reads it looks for a slow server and not for a wrong address.
    let message = if error.is_timeout() { "no answer in time" } else { message };
    SinkError::retry(message, http::causes(error))
}
