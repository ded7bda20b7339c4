//! The built-in sinks: one folder and one cargo feature each.

#[cfg(feature = "elasticsearch")]
pub mod elasticsearch;
#[cfg(any(feature = "file", feature = "stdout"))]
mod encoding;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "null")]
pub mod null;
#[cfg(feature = "elasticsearch")]
mod retry_after;
#[cfg(feature = "stdout")]
pub mod stdout;
