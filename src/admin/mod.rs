//! The endpoints: probes, metrics, status. They read and change nothing.

mod figures;
mod metrics;
mod status;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pump_core::config::Pipeline;
use pump_core::engine::Monitor;
use serde::Serialize;
use tokio::net::TcpListener;
use tracing::error;

pub(crate) use figures::{Family, Figure, FigureKind, FigureValue, figures};

/// What the endpoints say that the engine does not know.
pub(crate) struct Facts {
    source_types: Vec<String>,
    log_type: &'static str,
    log_max_size: u64,
    started: Instant,
    applied: Mutex<Applied>,
}

/// What a reload may change.
struct Applied {
    config_hash: String,
    /// By the sink's name; those of removed sinks stay.
    sink_types: HashMap<String, String>,
    /// `None` before the first.
    last_reload: Option<LastReload>,
}

/// What the last reload came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LastReload {
    pub(crate) time: String,
    pub(crate) success: bool,
    /// Why it changed nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Sections of the file that are not applied before a restart.
    pub(crate) needs_restart: Vec<String>,
}

impl Facts {
    pub(crate) fn new(pipeline: &Pipeline) -> Self {
        let applied = Applied {
            config_hash: pipeline.hash.to_string(),
            sink_types: sink_types(pipeline).collect(),
            last_reload: None,
        };
        Self {
            source_types: pipeline.sources.iter().map(|source| source.type_name.clone()).collect(),
            log_type: pipeline.log.type_name(),
            log_max_size: pipeline.log.max_size().bytes(),
            started: Instant::now(),
            applied: Mutex::new(applied),
        }
    }

    /// A reload has been applied, if there is a pipeline, or has changed nothing.
    pub(crate) fn reloaded(&self, pipeline: Option<&Pipeline>, reload: LastReload) {
        let mut applied = self.applied();
        if let Some(pipeline) = pipeline {
            applied.config_hash = pipeline.hash.to_string();
            applied.sink_types.extend(sink_types(pipeline));
        }
        applied.last_reload = Some(reload);
    }

    fn applied(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The start counts as a reload that went well.
    fn is_last_reload_good(&self) -> bool {
        self.applied().last_reload.as_ref().is_none_or(|reload| reload.success)
    }
}

fn sink_types(pipeline: &Pipeline) -> impl Iterator<Item = (String, String)> {
    pipeline.sinks.iter().map(|sink| (sink.name.clone(), sink.type_name.clone()))
}

#[derive(Clone)]
struct Shared {
    monitor: Monitor,
    facts: Arc<Facts>,
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, monitor: Monitor, facts: Arc<Facts>) {
    let shared = Shared { monitor, facts };
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        // Where those look who come from Tyk Pump.
        .route("/health", get(readyz))
        .route("/hello", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(shared);
    if let Err(error) = axum::serve(listener, router).await {
        error!(error = %error, "the endpoints have ended");
    }
}

/// That this is answered shows that the process makes progress; a dead sink is no reason to kill it.
async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let reasons = status::reasons_not_ready(&shared.monitor);
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons });
    json(code, &body)
}

async fn status(State(shared): State<Shared>) -> Response {
    json(StatusCode::OK, &status::status(&shared.monitor, &shared.facts))
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let text = metrics::render(&figures(&shared.monitor, &shared.facts));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

fn json(code: StatusCode, body: &serde_json::Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
