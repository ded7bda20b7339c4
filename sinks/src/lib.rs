//! The built-in sinks: one folder and one cargo feature each.

#[cfg(test)]
mod behaviour;
#[cfg(any(feature = "kafka", feature = "webhook"))]
mod discretion;
#[cfg(feature = "elasticsearch")]
pub mod elasticsearch;
#[cfg(any(feature = "file", feature = "stdout"))]
mod encoding;
#[cfg(feature = "file")]
pub mod file;
#[cfg(any(feature = "elasticsearch", feature = "webhook"))]
mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "null")]
pub mod null;
#[cfg(any(feature = "elasticsearch", feature = "s3", feature = "webhook"))]
mod retry_after;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "statsd")]
pub mod statsd;
#[cfg(feature = "stdout")]
pub mod stdout;
#[cfg(feature = "webhook")]
pub mod webhook;
#[cfg(any(feature = "elasticsearch", feature = "kafka", feature = "webhook"))]
mod words;
