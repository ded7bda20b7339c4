//! The producer and what it tells: reports of messages, troubles with brokers, lines of its log.
//!
//! librdkafka has threads of its own. One thread of ours asks it for what happened and calls the [`Context`];
//! deliveries wait for what that puts into the open attempts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pump_core::plugin::SinkError;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Message as _};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tracing::{debug, info, trace, warn};

use super::attempts::{Attempts, Report};
use super::outcome;
use super::troubles::{Trouble, Troubles};
use crate::discretion::Discretion;
use crate::words::words;

/// How long the end of a producer is waited for.
const END_TIMEOUT: Duration = Duration::from_secs(2);
/// A broker that makes topics by itself says at first that there is none: so often it is asked again, and so long
/// after.
const MEETINGS: u32 = 3;
const BETWEEN_MEETINGS: Duration = Duration::from_millis(300);

/// A connection to a cluster.
pub(super) struct Client {
    /// There until the end.
    producer: Option<ThreadedProducer<Context>>,
    context: Arc<Context>,
}

/// What is called by the producer.
pub(super) struct Context {
    sink: Arc<str>,
    discretion: Discretion,
    attempts: Mutex<Attempts>,
    troubles: Troubles,
}

/// A message with its place in an attempt.
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    pub(super) key: Option<&'a [u8]>,
    pub(super) body: &'a [u8],
    pub(super) headers: OwnedHeaders,
    pub(super) index: usize,
}

/// An attempt under way: forgotten when dropped.
pub(super) struct Ticket {
    context: Arc<Context>,
    number: u32,
}

impl Client {
    /// Starts to connect; no answer is waited for.
    pub(super) fn new(
        config: &ClientConfig,
        sink: Arc<str>,
        discretion: Discretion,
        troubles: Troubles,
    ) -> Result<Self, SinkError> {
        let context = Context { sink, discretion, attempts: Mutex::default(), troubles };
        match ThreadedProducer::from_config_and_context(config, context) {
            Ok(producer) => {
                let context = producer.client().context().clone();
                Ok(Self { producer: Some(producer), context })
            }
            // What is wrong with a property quotes its value, and properties were checked each.
            Err(KafkaError::ClientConfig(_, _, name, _)) => Err(SinkError::unavailable(
                "librdkafka does not take the settings",
                format!("check `{name}`"),
            )),
            Err(KafkaError::ClientCreation(said)) => {
                Err(SinkError::unavailable("librdkafka does not take the settings", words(&said)))
            }
            Err(error) => Err(SinkError::unavailable("there is no producer", error)),
        }
    }

    /// Whether it can never send again: librdkafka gives a producer up whose sequence of messages is broken.
    pub(super) fn is_broken(&self) -> bool {
        match self.producer().client().fatal_error() {
            Some((code, said)) => {
                warn!(sink = &*self.context.sink, %code, said = words(&said), "a new producer is needed");
                true
            }
            None => false,
        }
    }

    /// A new attempt, and what resolves once every record of it is reported.
    pub(super) fn begin(&self, count: usize) -> (Ticket, oneshot::Receiver<()>) {
        let (number, all) = self.context.attempts().begin(count);
        (Ticket { context: self.context.clone(), number }, all)
    }

    /// Hands a message over; gives its headers back when there is no room for it now.
    pub(super) fn send(&self, ticket: &Ticket, message: Message<'_>) -> Result<(), OwnedHeaders> {
        let Message { topic, key, body, headers, index } = message;
        let token = Attempts::token(ticket.number, index);
        let mut record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, token).payload(body).headers(headers);
        record.key = key;
        let Err((error, record)) = self.producer().send(record) else { return Ok(()) };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => return Err(record.headers.unwrap_or_default()),
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                let size = body.len() + key.map_or(0, <[u8]>::len);
                self.context.attempts().too_large(token, size);
            }
            code => self.context.attempts().report(token, Some(code.unwrap_or(RDKafkaErrorCode::Fail))),
        }
        Ok(())
    }

    /// Whether there is such a topic and we may see it.
    pub(super) async fn meet(self: &Arc<Self>, topic: &str, wait: Duration) -> Result<(), SinkError> {
        let (client, topic) = (self.clone(), topic.to_owned());
        blocking(move || {
            for meeting in 1.. {
                let error = match client.topic_error(&topic, wait) {
                    Ok(None) => return Ok(()),
                    Ok(Some(code)) => outcome::error(code, None),
                    Err(error) => return Err(error),
                };
                if meeting == MEETINGS {
                    return Err(error);
                }
                std::thread::sleep(BETWEEN_MEETINGS);
            }
            Ok(())
        })
        .await
    }

    /// Whether some broker answers.
    pub(super) async fn meet_anybody(self: &Arc<Self>, wait: Duration) -> Result<(), SinkError> {
        let client = self.clone();
        blocking(move || match client.producer().client().fetch_cluster_id(wait) {
            Some(_) => Ok(()),
            None => Err(outcome::error(
                RDKafkaErrorCode::OperationTimedOut,
                client.context.troubles.last().as_ref(),
            )),
        })
        .await
    }

    /// Forgets the messages that were not sent yet, of all attempts: they come again.
    pub(super) fn forget_unsent(&self) {
        self.producer().purge(PurgeConfig::default().queue());
    }

    /// How many attempts are under way.
    #[cfg(test)]
    pub(super) fn open_attempts(&self) -> usize {
        self.context.attempts().len()
    }

    /// Ends it without sending what is left.
    pub(super) async fn end(mut self) {
        let Some(producer) = self.producer.take() else { return };
        let end = spawn_blocking(move || drop(producer));
        if tokio::time::timeout(END_TIMEOUT, end).await.is_err() {
            debug!(sink = &*self.context.sink, "the producer takes long to end");
        }
    }

    fn topic_error(&self, topic: &str, wait: Duration) -> Result<Option<RDKafkaErrorCode>, SinkError> {
        match self.producer().client().fetch_metadata(Some(topic), wait) {
            Ok(metadata) => {
                self.context.troubles.are_over();
                let found = metadata.topics().iter().find(|found| found.name() == topic);
                let error = found.and_then(|found| found.error()).map(RDKafkaErrorCode::from);
                Ok(if found.is_none() { Some(RDKafkaErrorCode::UnknownTopic) } else { error })
            }
            Err(error) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                Err(outcome::error(code, self.context.troubles.last().as_ref()))
            }
        }
    }

    fn producer(&self) -> &ThreadedProducer<Context> {
        self.producer.as_ref().expect("only `end` takes it, which takes the client too")
    }
}

/// The end of a producer joins threads, which no task may wait for.
impl Drop for Client {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            // Where there is no further thread, it ends here.
            let _ = std::thread::Builder::new().name("kafka-end".to_owned()).spawn(move || drop(producer));
        }
    }
}

async fn blocking(ask: impl FnOnce() -> Result<(), SinkError> + Send + 'static) -> Result<(), SinkError> {
    match spawn_blocking(ask).await {
        Ok(result) => result,
        Err(error) => Err(SinkError::retry("the asking thread ended without an answer", error)),
    }
}

impl Ticket {
    /// How many records are delivered so far.
    pub(super) fn delivered(&self) -> usize {
        self.context.attempts().delivered(self.number)
    }

    /// What was reported.
    pub(super) fn end(self) -> Report {
        self.context.attempts().end(self.number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.context.attempts().end(self.number);
    }
}

impl Context {
    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        // Whoever panicked has ended the process.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let (sink, said) = (&*self.sink, words(&self.discretion.hide(message)));
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                warn!(sink, facility, said, "librdkafka is in trouble");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                info!(sink, facility, said, "librdkafka says");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                debug!(sink, facility, said, "librdkafka says")
            }
            RDKafkaLogLevel::Debug => trace!(sink, facility, said, "librdkafka says"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        debug!(sink = &*self.sink, statistics = %String::from_utf8_lossy(statistics), "librdkafka's statistics");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = match error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail) {
            // From TLS 1.3 on, a broker refuses a certificate once we take the connection for made.
            RDKafkaErrorCode::BrokerTransportFailure if reason.contains("SSL alert") => RDKafkaErrorCode::SSL,
            code => code,
        };
        let said = words(&self.discretion.hide(reason)).into();
        debug!(sink = &*self.sink, %code, said, "a broker cannot be used");
        self.troubles.add(Trouble { code, said });
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let error = match result {
            Ok(_) => {
                self.troubles.are_over();
                None
            }
            Err((error, message)) => {
                trace!(sink = &*self.sink, partition = message.partition(), %error, "a message is not delivered");
                Some(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
            }
        };
        self.attempts().report(token, error);
    }
}
