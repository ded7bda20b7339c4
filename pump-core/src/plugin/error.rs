//! What a whole attempt can meet, and what may be wrong with a plugin's settings.

use std::error::Error;
use std::fmt;
use std::time::Duration;

type Cause = Box<dyn Error + Send + Sync>;

/// Why an attempt, a probe or an opening failed as a whole.
#[derive(Debug)]
pub struct SinkError {
    kind: SinkErrorKind,
    message: Box<str>,
    after: Option<Duration>,
    cause: Option<Cause>,
}

/// What the engine does about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkErrorKind {
    /// Tries again after a backoff: time-out, lost connection, 429, 5xx.
    Retry,
    /// Splits the batch; a single record that is too large becomes a dead letter.
    TooLarge,
    /// Pauses the lane and probes: credentials refused, target missing or blocked. No attempt is
    /// burnt and nothing is dead-lettered.
    Unavailable,
}

impl SinkError {
    /// The attempt failed in a way that may pass.
    pub fn retry(message: impl Into<Box<str>>, cause: impl Into<Cause>) -> Self {
        Self::new(SinkErrorKind::Retry, message, Some(cause.into()))
    }

    /// The destination does not take this much at once.
    pub fn too_large(message: impl Into<Box<str>>) -> Self {
        Self::new(SinkErrorKind::TooLarge, message, None)
    }

    /// Nothing will get through until somebody mends something.
    pub fn unavailable(message: impl Into<Box<str>>, cause: impl Into<Cause>) -> Self {
        Self::new(SinkErrorKind::Unavailable, message, Some(cause.into()))
    }

    /// Not before that long, because the destination said so.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = Some(wait);
        self
    }

    /// What the engine does about it.
    pub fn kind(&self) -> SinkErrorKind {
        self.kind
    }

    /// How long the destination asked to wait, if it did.
    pub fn wait(&self) -> Option<Duration> {
        self.after
    }

    fn new(kind: SinkErrorKind, message: impl Into<Box<str>>, cause: Option<Cause>) -> Self {
        Self { kind, message: message.into(), after: None, cause }
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause: Option<&dyn Error> = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// Why a source cannot go on. It ends the process: a source that could go on would.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    message: Box<str>,
    #[source]
    cause: Option<Cause>,
}

impl SourceError {
    /// With what to do next in the message.
    pub fn new(message: impl Into<Box<str>>) -> Self {
        Self { message: message.into(), cause: None }
    }

    /// With what lies beneath.
    pub fn caused(message: impl Into<Box<str>>, cause: impl Into<Cause>) -> Self {
        Self { message: message.into(), cause: Some(cause.into()) }
    }
}

/// What is wrong with a plugin's settings although each value has the right type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlanError {
    /// The setting's path within the plugin's section, such as `rotate.max_size`; empty for the
    /// section as a whole.
    pub key: Box<str>,
    /// What is wrong, and what to write instead.
    pub message: Box<str>,
}

impl PlanError {
    /// A problem with one setting.
    pub fn new(key: impl Into<Box<str>>, message: impl Into<Box<str>>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}
