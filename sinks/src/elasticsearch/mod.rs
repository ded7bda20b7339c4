//! The `elasticsearch` sink: documents in Elasticsearch or OpenSearch, each under its record's id.
//!
//! A delivery is one bulk request to one index. A record's id is its document's, so what is sent twice
//! is there once; `docs/sinks/elasticsearch.md` says where that ends.

mod bulk;
mod client;
mod config;
mod encode;
mod index;
mod nodes;
mod refusal;
mod reply;
mod server;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use elasticsearch::http::Method;
use pump_core::config::{HttpCompression, HttpUrl, TlsConfig};
use pump_core::encode::Encoder;
use pump_core::plugin::{
    Answers, Batch, BatchDefaults, Body, Deadline, Format, PlanError, Sink, SinkContext, SinkError, SinkPlan,
};
use pump_core::record::Kind;
use pump_core::template::Template;
use tokio::sync::OnceCell;
use tracing::{info, warn};

use client::{Client, Content, Reply};
pub use config::{ElasticsearchConfig, Op};
use encode::{FullDocument, TykDocument};
use refusal::refusal;
use server::Server;

use crate::http;

/// How long a probe waits for a node; the engine gives up a little later.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

/// Writes documents.
pub struct ElasticsearchSink {
    name: Arc<str>,
    config: ElasticsearchConfig,
    format: Format,
    template: Template,
    client: Client,
    /// Set once the cluster is one that we know and has its index template.
    is_ready: OnceCell<()>,
}

#[async_trait]
impl Sink for ElasticsearchSink {
    const NAME: &'static str = "elasticsearch";
    type Config = ElasticsearchConfig;

    fn plan(config: &ElasticsearchConfig, format: Option<Format>) -> Result<SinkPlan, PlanError> {
        let route =
            Template::parse(&config.index).map_err(|error| PlanError::new("index", error.to_string()))?;
        index::check(&route).map_err(|message| PlanError::new("index", message))?;
        if let Some(auth) = &config.auth {
            auth.scheme().map_err(|message| PlanError::new("auth", message))?;
        }
        config.tls.identity().map_err(|message| PlanError::new("tls", message))?;
        let is_plain = |endpoint: &HttpUrl| endpoint.as_str().starts_with("http://");
        if config.tls != TlsConfig::default() && config.endpoints.iter().any(is_plain) {
            let message = "an endpoint with `http://` is not encrypted: write `https://`, or take `tls` out";
            return Err(PlanError::new("tls", message));
        }
        let format = format.unwrap_or(Format::Full);
        if config.data_stream && config.op == Op::Index {
            return Err(PlanError::new("op", "a data stream only takes `create`"));
        }
        if config.data_stream && route.has_date() {
            let message = "a data stream has one name at all times: leave the date out of it";
            return Err(PlanError::new("index", message));
        }
        if config.extended && format == Format::Full {
            return Err(PlanError::new(
                "extended",
                "`format: full` has every field already: leave it out, or set `format: tyk`",
            ));
        }
        let is_stream = config.data_stream;
        let encoder: Arc<dyn Encoder> = match format {
            Format::Tyk => Arc::new(TykDocument { is_extended: config.extended, is_stream }),
            Format::Full => Arc::new(FullDocument { is_stream }),
        };
        Ok(SinkPlan {
            kinds: Kind::ALL.to_vec(),
            body: Some(Body { encoder, terminator: b"\n" }),
            batch: BatchDefaults::default(),
            route,
            targets: config.endpoints.iter().map(|endpoint| endpoint.target()).collect(),
            takes_additions: true,
            repeats_batches: false,
        })
    }

    async fn open(config: ElasticsearchConfig, context: SinkContext) -> Result<Self, SinkError> {
        let template = Template::parse(&config.index)
            .map_err(|error| SinkError::unavailable("the index is no template", error))?;
        let client = Client::new(&config)?;
        let format = context.format.unwrap_or(Format::Full);
        Ok(Self { name: context.name, config, format, template, client, is_ready: OnceCell::new() })
    }

    async fn deliver(&self, batch: &Batch, deadline: Deadline) -> Result<Answers, SinkError> {
        self.is_ready.get_or_try_init(|| self.get_ready(deadline)).await?;
        let (op, compression) = (self.config.op, self.config.compression);
        let body = bulk::body(batch, op).await?;
        let bytes = http::compressed(body, compression).await?;
        let path = format!("{}/_bulk?{}", index::name(batch.route()), reply::FILTER);
        let content = Content { media_type: "application/x-ndjson", compression, bytes };
        let reply = self.client.send(Method::Post, &path, Some(content), deadline).await?;
        match reply.status {
            200 => reply::answers(&reply.body, batch.len(), op, reply.wait),
            _ => Err(refusal(&reply)),
        }
    }

    async fn probe(&self) -> Result<(), SinkError> {
        let deadline = Deadline::after(PROBE_TIMEOUT);
        if self.is_ready.initialized() {
            return self.meet(deadline).await.map(drop);
        }
        self.is_ready.get_or_try_init(|| self.get_ready(deadline)).await.map(drop)
    }
}

impl ElasticsearchSink {
    async fn get_ready(&self, deadline: Deadline) -> Result<(), SinkError> {
        match self.meet(deadline).await? {
            Some(Server { product, major }) => info!(sink = &*self.name, product, major, "cluster found"),
            None => warn!(sink = &*self.name, "the credentials may not ask for the cluster's version"),
        }
        if self.config.install_template {
            self.install_template(deadline).await?;
        }
        Ok(())
    }

    /// Which server it is; `None` when we may write but not see it.
    async fn meet(&self, deadline: Deadline) -> Result<Option<Server>, SinkError> {
        let reply = self.client.send(Method::Get, "", None, deadline).await?;
        match reply.status {
            200 => Server::read(&reply.body).map(Some),
            403 => Ok(None),
            _ => Err(refusal(&reply)),
        }
    }

    /// One that is there, from another pump or by hand, stays as it is.
    async fn install_template(&self, deadline: Deadline) -> Result<(), SinkError> {
        let pattern = index::pattern(&self.template);
        let path = format!("_index_template/{}", template::name(&pattern));
        let found = self.client.send(Method::Head, &path, None, deadline).await?;
        if found.status == 200 {
            return Ok(());
        }
        let body = template::body(self.format, &pattern, self.config.data_stream);
        let bytes = Bytes::from(body.to_string());
        let content = Content { media_type: "application/json", compression: HttpCompression::None, bytes };
        let create = format!("{path}?create=true");
        let reply = self.client.send(Method::Put, &create, Some(content), deadline).await?;
        let is_there = || async {
            // Another pump was faster.
            let found = self.client.send(Method::Head, &path, None, deadline).await;
            found.is_ok_and(|Reply { status, .. }| status == 200)
        };
        match reply.status {
            200 => {
                info!(sink = &*self.name, pattern, "index template installed");
                Ok(())
            }
            400 if is_there().await => Ok(()),
            400 => Err(SinkError::unavailable("the index template is refused", refusal(&reply))),
            _ => Err(refusal(&reply)),
        }
    }
}
