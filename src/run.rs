//! `pump run`: opens a pipeline, runs it until a signal or until it is drained.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use pump_core::engine::{Monitor, Pump};
use pump_core::plugin::{Mode, Registry};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::admin::{self, Facts};
use crate::assemble::{self, Plan};
use crate::cli::Failure;
use crate::logging;
use crate::reload::{self, Running, Stamp};
use crate::screen::Screen;
#[cfg(feature = "statsd")]
use crate::telemetry::Telemetry;

/// How a pipeline is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) mode: Mode,
    /// Whether damaged segments of the log are set aside.
    pub(crate) accept_gap: bool,
}

/// Runs to the end: a signal, a drain, or an error.
pub(crate) fn run(files: &[PathBuf], registry: &Registry, way: Way) -> Result<(), Failure> {
    // Looked at before it is read: what changes in between is seen as a change.
    let stamp = Stamp::of(files);
    let plan = assemble::load_plan(files, registry)?;
    plan.refuse_log_in_memory()?;
    logging::start(&plan.pipeline.telemetry.log);
    for note in &plan.notes {
        info!(note, "note on the pipeline file");
    }
    to_the_end(serve(plan, way, Watched { files, registry, stamp }))
}

/// Runs on all processors until it is done.
pub(crate) fn to_the_end(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let outcome = runtime.block_on(work);
    // A write to a dead disk must not hold the process; what it held is not settled.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// What a running pump looks at again.
struct Watched<'a> {
    files: &'a [PathBuf],
    registry: &'a Registry,
    stamp: Stamp,
}

async fn serve(plan: Plan, way: Way, watched: Watched<'_>) -> Result<(), Failure> {
    let facts = Arc::new(Facts::new(&plan.pipeline));
    let listen = plan.pipeline.admin.listen.0;
    // Bound before anything is read: a second pump on the same port fails before it takes a lease.
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}: set admin.listen to a free address"))?;
    let running = Running::of(&plan);
    #[cfg(feature = "statsd")]
    let statsd = plan.pipeline.telemetry.statsd.clone();
    // From here on a SIGHUP does not end the process.
    let hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let log = assemble::log::open(&plan.pipeline.log, way.accept_gap).await?;
    let pump = Pump::new(plan.open(way.mode, log).await?);
    let monitor = pump.monitor();
    let endpoints = tokio::spawn(admin::serve(listener, monitor.clone(), facts.clone()));
    #[cfg(feature = "statsd")]
    let telemetry = statsd.map(|config| Telemetry::start(config, monitor.clone(), facts.clone()));
    let progress = tokio::spawn(show_progress(monitor));
    let reloading = reload::Reloading {
        files: watched.files,
        registry: watched.registry,
        reloader: pump.reloader(),
        facts,
        running,
    };
    let run = pump.run(stop_signal()?);
    let outcome = match way.mode {
        Mode::Follow => tokio::select! {
            outcome = run => outcome,
            never = reloading.run(watched.stamp, hangup) => match never {},
        },
        // A drain ends with what it began with; a SIGHUP does not end it.
        Mode::Drain => run.await,
    };
    progress.abort();
    endpoints.abort();
    #[cfg(feature = "statsd")]
    if let Some(telemetry) = telemetry {
        telemetry.finish().await;
    }
    outcome.map_err(|error| Failure::Failed(error.into()))
}

/// Resolves at the first SIGTERM or SIGINT; the second ends the process at once.
pub(crate) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let (told, stop) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        let _ = told.send(());
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        warn!("told to stop twice: ends at once, what is in flight comes again");
        std::process::exit(1);
    });
    Ok(async {
        if stop.await.is_err() {
            std::future::pending().await
        }
    })
}

/// On a terminal, a line per sink that is drawn anew each second.
async fn show_progress(monitor: Monitor) {
    let mut screen = Screen::new();
    if !screen.is_terminal() {
        return;
    }
    let (mut before, mut last) = (Vec::new(), Instant::now());
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (books, elapsed) = (monitor.books(), last.elapsed().as_secs_f64());
        last = Instant::now();
        let mut text = String::new();
        before.resize(books.lanes.len(), 0);
        let lanes = monitor.lanes().zip(books.lanes.iter().zip(&mut before));
        for ((id, label), (lane, before)) in lanes.filter(|((_, label), _)| !label.is_removed) {
            let name = &*label.name;
            let done = lane.accepted - lane.pending();
            let rate = (done - *before) as f64 / elapsed;
            *before = done;
            let state = monitor.statistics().lane(id).state.name();
            text.push_str(&format!(
                "{name:<20} {:>12} delivered {rate:>10.0}/s {:>10} pending  {state}\n",
                lane.delivered + lane.duplicate,
                lane.pending(),
            ));
        }
        screen.draw(&text);
    }
}
