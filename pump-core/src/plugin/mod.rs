//! What a source and a sink promise, and what the engine does for them.
//!
//! A sink makes one attempt and answers per record; it never retries, never holds an outcome across
//! calls. The engine owns time-outs, retries, backoff, splitting, dead letters, concurrency and rate
//! limits. A source owns its loop, reserves room before it reads, and settles what the engine says is
//! safe.

mod answers;
mod batch;
mod deadline;
mod digest;
mod error;
mod registry;
mod sink;
mod source;

pub use crate::config::Format;
pub use answers::{Answer, Answers};
pub use batch::{Batch, Entry, Slice, Slices};
pub use deadline::Deadline;
pub use digest::BatchDigest;
pub use error::{PlanError, SinkError, SinkErrorKind, SourceError};
pub use registry::{OpenSink, OpenSource, PlanSink, PlanSource, PlannedSink, PlannedSource, Registry};
pub use sink::{BatchDefaults, Body, DynSink, Sink, SinkContext, SinkPlan};
pub use source::{Buffer, DynSource, Mode, Permit, Port, Source, SourceContext, SourcePlan};

pub(crate) use batch::{Encoded, Part};
pub(crate) use source::PortParts;
