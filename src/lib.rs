//! The `pump` command as a library, so that a binary with sources and sinks of its own is one line:
//! `pump::main(pump::builtin().sink::<MySink>())`.
//!
//! [`builtin`] is THE list of plugins. `cli` is the command line; `run`, `check`, `preview` (`pump test`),
//! `demo`, `dead_letters`, `log_command` and `plugins` are its commands; `assemble` makes a pump of a pipeline file;
//! `replay` sends again what the log on disk has kept;
//! `reload` makes a running one what the file has become; `admin` serves the endpoints; `telemetry` sends the same
//! figures to a StatsD daemon.

mod admin;
mod assemble;
mod check;
mod cli;
mod dead_letters;
#[cfg(feature = "demo")]
mod demo;
mod log_command;
mod logging;
mod moment;
mod output;
mod plugins;
mod preview;
mod reload;
mod replay;
mod run;
mod screen;
#[cfg(feature = "statsd")]
mod telemetry;

use std::process::ExitCode;

use pump_core::plugin::Registry;

/// Every plugin that comes with pump, one line each.
pub fn builtin() -> Registry {
    let registry = Registry::new();
    #[cfg(feature = "demo")]
    let registry = registry.source::<pump_sources::demo::DemoSource>();
    #[cfg(feature = "redis")]
    let registry = registry.source::<pump_sources::redis_list::RedisListSource>();
    #[cfg(feature = "elasticsearch")]
    let registry = registry.sink::<pump_sinks::elasticsearch::ElasticsearchSink>();
    #[cfg(feature = "kafka")]
    let registry = registry.sink::<pump_sinks::kafka::KafkaSink>();
    #[cfg(feature = "webhook")]
    let registry = registry.sink::<pump_sinks::webhook::WebhookSink>();
    let registry = registry.sink::<pump_sinks::file::FileSink>();
    #[cfg(feature = "s3")]
    let registry = registry.sink::<pump_sinks::s3::S3Sink>();
    let registry = registry.sink::<pump_sinks::stdout::StdoutSink>();
    #[cfg(feature = "statsd")]
    let registry = registry.sink::<pump_sinks::statsd::StatsdSink>();
    registry.sink::<pump_sinks::null::NullSink>()
}

/// The command: reads the process's arguments, does what they say. The exit code is 0 when it is
/// done, 1 when it failed while it ran, 2 when the command line or the pipeline file is wrong.
pub fn main(registry: Registry) -> ExitCode {
    cli::main(registry)
}
