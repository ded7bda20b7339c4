//! The endpoints: probes, metrics, status. They read and change nothing.

mod metrics;
mod status;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pump_core::config::Pipeline;
use pump_core::engine::Monitor;
use tokio::net::TcpListener;
use tracing::error;

/// What does not change while the pump runs.
pub(crate) struct Facts {
    config_hash: String,
    source_types: Vec<String>,
    sink_types: Vec<String>,
    log_max_size: u64,
    started: Instant,
}

impl Facts {
    pub(crate) fn new(pipeline: &Pipeline) -> Self {
        Self {
            config_hash: pipeline.hash.to_string(),
            source_types: pipeline.sources.iter().map(|source| source.type_name.clone()).collect(),
            sink_types: pipeline.sinks.iter().map(|sink| sink.type_name.clone()).collect(),
            log_max_size: pipeline.log.max_size.bytes(),
            started: Instant::now(),
        }
    }
}

#[derive(Clone)]
struct Shared {
    monitor: Monitor,
    facts: Arc<Facts>,
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, monitor: Monitor, facts: Facts) {
    let shared = Shared { monitor, facts: Arc::new(facts) };
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
    let text = metrics::render(&shared.monitor);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

fn json(code: StatusCode, body: &serde_json::Value) -> Response {
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
