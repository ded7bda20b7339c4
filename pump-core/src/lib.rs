//! The core of pump: records, the plugin interface, the log, the lanes and delivery.
//!
//! It knows no client library of any destination. In reading order: [`record`] is what travels,
//! [`plugin`] is what a source and a sink promise, [`log`] lies between them, a lane (private) is one
//! sink's way through the log, [`engine`] puts them together. [`config`] reads the pipeline file;
//! [`encode`], [`edit`], [`filter`] and [`template`] are what lanes do to records, and [`preview`] does
//! it without sending anything.

pub mod accounting;
mod buffer_pool;
pub mod bugs;
pub mod config;
pub mod dead_letter;
pub mod edit;
pub mod encode;
pub mod engine;
pub mod filter;
mod lane;
pub mod log;
pub mod news;
pub mod plugin;
pub mod preview;
mod randomness;
pub mod record;
mod stable_hash;
pub mod statistics;
pub mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use lane::{LaneSettings, RetrySettings};
pub use randomness::Randomness;
