//! The pump's own log lines, on standard error.

use pump_core::config::{LogFormat, LogLevel, LogLines};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;

/// Begins to write log lines. Called once.
pub(crate) fn start(lines: &LogLines) {
    let level = match lines.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let lines_to_stderr = fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    // A second call would be refused; there is none but in tests that run commands in one process.
    let _ = match lines.format {
        LogFormat::Json => lines_to_stderr.json().flatten_event(true).try_init(),
        LogFormat::Text => lines_to_stderr.try_init(),
    };
}
