//! The `webhook` sink: records posted to an HTTP receiver, many in a request or one.
//!
//! A request carries a key that is the same each time it is sent, and where asked for each record's id, so that a
//! receiver can drop what it has; `docs/sinks/webhook.md` says how. What a receiver says of a batch is said of
//! all of it: a batch whose content is refused is split by the engine until the record is found that is meant.

mod client;
mod config;
mod form;
mod refusal;
mod signature;
mod singles;
mod target;
mod template;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use pump_core::config::{Auth, TlsConfig};
use pump_core::plugin::{
    Answer, Answers, Batch, BatchDefaults, Deadline, Format, PlanError, Sink, SinkContext, SinkError,
    SinkPlan,
};
use pump_core::record::Kind;
use pump_core::template::Template;

use client::Client;
pub use config::{SignatureConfig, WebhookConfig, WebhookEncoding};
use form::Form;
use refusal::{Refusal, refusal};

/// How long a probe waits for the receiver; the engine gives up a little later.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

/// Posts records.
pub struct WebhookSink {
    client: Client,
    form: Form,
}

#[async_trait]
impl Sink for WebhookSink {
    const NAME: &'static str = "webhook";
    type Config = WebhookConfig;

    fn plan(config: &WebhookConfig, format: Option<Format>) -> Result<SinkPlan, PlanError> {
        let url = target::parse(config.url.expose(), config.allow_plain_http)
            .map_err(|message| PlanError::new("url", message))?;
        if let Some(auth) = &config.auth
            && let Auth::ApiKey(_) = auth.scheme().map_err(|message| PlanError::new("auth", message))?
        {
            let message =
                "receivers want keys under names of their own: put it under `headers`, such as `X-Api-Key`";
            return Err(PlanError::new("auth.api_key", message));
        }
        config.tls.identity().map_err(|message| PlanError::new("tls", message))?;
        if config.tls != TlsConfig::default() && url.scheme() == "http" {
            let message = "an address with `http://` is not encrypted: write `https://`, or take `tls` out";
            return Err(PlanError::new("tls", message));
        }
        client::headers(config)?;
        if let Some(signature) = &config.signature {
            signature::check(signature)?;
        }
        Form::new(config)?;
        let batch = match config.encoding {
            WebhookEncoding::Json | WebhookEncoding::Ndjson => {
                // What most receivers take at once.
                BatchDefaults { max_records: 1_000, max_bytes: 1 << 20, ..BatchDefaults::default() }
            }
            // So few that a slow receiver answers for each within one attempt.
            WebhookEncoding::Single => BatchDefaults { max_records: 100, ..BatchDefaults::default() },
        };
        Ok(SinkPlan {
            kinds: Kind::ALL.to_vec(),
            body: Some(Form::body(format.unwrap_or(Format::Full))),
            batch,
            route: Template::constant_of(""),
            targets: vec![target::host_and_port(&url)],
            takes_additions: true,
            // The key of a request is the digest of its records.
            repeats_batches: config.encoding != WebhookEncoding::Single,
        })
    }

    async fn open(config: WebhookConfig, _: SinkContext) -> Result<Self, SinkError> {
        let form = Form::new(&config)
            .map_err(|error| SinkError::unavailable("the settings cannot be used", error))?;
        Ok(Self { client: Client::new(&config, form.content_type())?, form })
    }

    async fn deliver(&self, batch: &Batch, deadline: Deadline) -> Result<Answers, SinkError> {
        if let Form::Single { .. } = self.form {
            return singles::deliver(&self.client, &self.form, batch, deadline).await;
        }
        let body = self.form.all(batch).await?;
        match self.client.post(body, &batch.digest().to_string(), deadline).await {
            Ok(()) => Ok(Answers::delivered(batch.len())),
            Err(Refusal::All(error) | Refusal::One(error)) => Err(error),
            Err(Refusal::Content(said)) if batch.len() == 1 => {
                let mut answers = Answers::unset(1);
                answers.set(0, Answer::Rejected { code: "refused", detail: said.into() });
                Ok(answers)
            }
            // Which record is meant is not said: halves find it.
            Err(Refusal::Content(said)) => {
                Err(SinkError::too_large(format!("the receiver refuses the batch, which is halved: {said}")))
            }
        }
    }

    /// Any answer shows that there is a receiver, as most of them take nothing but posts; one that refuses the
    /// credentials would refuse every post as well.
    async fn probe(&self) -> Result<(), SinkError> {
        let answer = match self.client.ask(Deadline::after(PROBE_TIMEOUT)).await {
            Ok(reply) if reply.status == 401 => refusal(&reply),
            Ok(_) => return Ok(()),
            Err(refusal) => refusal,
        };
        match answer {
            Refusal::All(error) | Refusal::One(error) => Err(error),
            Refusal::Content(_) => Ok(()),
        }
    }
}
