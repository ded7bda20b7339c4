//! The `kafka` sink: messages in a topic, each with its record's id in a header.
//!
//! The producer is librdkafka's, idempotent and with all replicas in sync confirming. A delivery hands its messages
//! over and waits until each of them is reported. What librdkafka repeats within an attempt vanishes at the brokers;
//! what an attempt repeats that was lost on the way to us stays, with the same id.

mod attempts;
mod client;
mod config;
mod encode;
mod message;
mod outcome;
mod properties;
#[cfg(test)]
mod tests;
mod topic;
mod topics;
mod troubles;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pump_core::edit::Scratch;
use pump_core::encode::{Encoder, FullEncoder};
use pump_core::plugin::{
    Answers, Batch, BatchDefaults, Body, Deadline, Format, PlanError, Sink, SinkContext, SinkError, SinkPlan,
};
use pump_core::record::Kind;
use pump_core::template::Template;

use client::{Client, Message, Ticket};
pub use config::{KafkaCompression, KafkaConfig, KafkaEncoding, SaslConfig, SaslMechanism};
use encode::{TykMessage, WireMessage};
use message::{Headers, Key};
use topics::Topics;
use troubles::Troubles;

use crate::discretion::Discretion;

/// How long a probe waits for a broker; the engine gives up a little later.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
/// How often room in the producer is looked for when it is full.
const ROOM_INTERVAL: Duration = Duration::from_millis(5);
/// What is left of an attempt when its answers are due; of a short one a tenth.
const BEFORE_DEADLINE: Duration = Duration::from_millis(300);

/// Produces messages.
pub struct KafkaSink {
    name: Arc<str>,
    config: KafkaConfig,
    timeout: Duration,
    key: Key,
    headers: Headers,
    together: Place,
    alone: Place,
    troubles: Troubles,
    topics: Topics,
}

/// A producer, made by the first who needs it; another one when it is broken.
type Place = Mutex<Option<Arc<Client>>>;

#[async_trait]
impl Sink for KafkaSink {
    const NAME: &'static str = "kafka";
    type Config = KafkaConfig;

    fn plan(config: &KafkaConfig, format: Option<Format>) -> Result<SinkPlan, PlanError> {
        let route =
            Template::parse(&config.topic).map_err(|error| PlanError::new("topic", error.to_string()))?;
        topic::check(&route).map_err(|message| PlanError::new("topic", message))?;
        Key::parse(&config.key)?;
        Headers::check(config)?;
        if let Some(tls) = &config.tls {
            tls.identity().map_err(|message| PlanError::new("tls", message))?;
        }
        properties::check(config)?;
        let encoder: Arc<dyn Encoder> = match (config.encoding, format) {
            (KafkaEncoding::Wire, None) => Arc::new(WireMessage),
            (KafkaEncoding::Wire, Some(_)) => {
                let message =
                    "`wire` is the bytes as they came, in no format: take `format` out, or `encoding`";
                return Err(PlanError::new("encoding", message));
            }
            (KafkaEncoding::Json, Some(Format::Tyk)) => Arc::new(TykMessage),
            (KafkaEncoding::Json, Some(Format::Full) | None) => Arc::new(FullEncoder),
        };
        Ok(SinkPlan {
            kinds: Kind::ALL.to_vec(),
            body: Some(Body { encoder, terminator: b"" }),
            batch: BatchDefaults::default(),
            route,
            targets: config.brokers.iter().map(ToString::to_string).collect(),
            takes_additions: config.encoding == KafkaEncoding::Json,
            repeats_batches: false,
        })
    }

    async fn open(config: KafkaConfig, context: SinkContext) -> Result<Self, SinkError> {
        let wrong = |error| SinkError::unavailable("the settings cannot be used", error);
        let topic = Template::parse(&config.topic).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            key: Key::parse(&config.key).map_err(|error| wrong(error.to_string()))?,
            headers: Headers::new(&config, context.format.unwrap_or(Format::Full)),
            timeout: context.timeout,
            topics: Topics::new(topic.constant()),
            name: context.name,
            config,
            together: Place::default(),
            alone: Place::default(),
            troubles: Troubles::default(),
        })
    }

    async fn deliver(&self, batch: &Batch, deadline: Deadline) -> Result<Answers, SinkError> {
        let client = self.client(batch.len())?;
        let topic = topic::name(batch.route());
        if !self.topics.is_known(topic) {
            let wait = PROBE_TIMEOUT.min(deadline.remaining());
            tokio::select! {
                met = client.meet(topic, wait) => self.topics.met(topic, met)?,
                error = self.troubles.begin() => return Err(error),
            }
        }
        let (ticket, all) = client.begin(batch.len());
        let left = deadline.remaining();
        let due = tokio::time::sleep(left - BEFORE_DEADLINE.min(left / 10));
        let reports = async {
            self.send_all(&client, &ticket, batch, topic).await?;
            // The sender is dropped with the ticket.
            let _ = all.await;
            Ok(())
        };
        tokio::select! {
            biased;
            reported = reports => reported?,
            error = self.refused(&ticket) => {
                client.forget_unsent();
                return Err(error);
            }
            () = due => {}
        }
        let report = ticket.end();
        outcome::answers(&report, self.troubles.last().as_ref())
            .inspect_err(|error| self.topics.failed(topic, error))
    }

    /// The topic, if it is the same for all records; of a template one that was written to, or is missing.
    async fn probe(&self) -> Result<(), SinkError> {
        let client = self.client(usize::MAX)?;
        match self.topics.to_probe() {
            Some(topic) => self.topics.met(&topic, client.meet(&topic, PROBE_TIMEOUT).await),
            None => client.meet_anybody(PROBE_TIMEOUT).await,
        }
    }

    /// What was not reported was not answered, and is left to come again.
    async fn close(&self) -> Result<(), SinkError> {
        for place in [&self.together, &self.alone] {
            let client = place.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(client) = client.and_then(Arc::into_inner) {
                client.end().await;
            }
        }
        Ok(())
    }
}

impl KafkaSink {
    /// The producer for a batch of so many records.
    ///
    /// A producer sends what it has together, also of several attempts, and brokers may refuse a set for one message
    /// in it. So a record that is alone in its batch, such as one that was found by halving, goes through a producer
    /// that sends each message alone: what is said of it is said of nothing else.
    fn client(&self, count: usize) -> Result<Arc<Client>, SinkError> {
        let is_alone = count == 1;
        let place = if is_alone { &self.alone } else { &self.together };
        let mut client = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client
            && !client.is_broken()
        {
            return Ok(client.clone());
        }
        let discretion = Discretion::new(properties::secrets(&self.config));
        let mut properties = properties::of(&self.config, self.timeout);
        if is_alone {
            properties.set("batch.num.messages", "1");
        }
        let new = Client::new(&properties, self.name.clone(), discretion, self.troubles.clone())?;
        let new = Arc::new(new);
        *client = Some(new.clone());
        Ok(new)
    }

    /// Hands all messages over.
    async fn send_all(
        &self,
        client: &Client,
        ticket: &Ticket,
        batch: &Batch,
        topic: &str,
    ) -> Result<(), SinkError> {
        let (mut scratch, mut key) = (Scratch::default(), Vec::new());
        let mut slices = batch.slices();
        while let Some(slice) = slices.next().await? {
            for (index, entry) in (slice.first()..).zip(slice.entries()) {
                key.clear();
                let (has_key, mut headers) = {
                    let view = entry.view(&mut scratch);
                    (self.key.write(&entry, &view, &mut key), self.headers.of(&entry, &view))
                };
                let key = has_key.then_some(&*key);
                while let Err(again) =
                    client.send(ticket, Message { topic, key, body: entry.body(), headers, index })
                {
                    headers = again;
                    tokio::time::sleep(ROOM_INTERVAL).await;
                }
            }
            // A large batch does not keep other tasks from running.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Resolves once the brokers refuse us before anything of the attempt got through.
    async fn refused(&self, ticket: &Ticket) -> SinkError {
        let error = self.troubles.begin().await;
        if ticket.delivered() > 0 {
            // Others may still get through; the reports will tell.
            std::future::pending::<()>().await;
        }
        error
    }
}
