//! `pump check`: what a pipeline file does, and whether everything can be reached.

use std::time::Duration;

use pump_core::plugin::Mode;
use tokio::time::timeout;

use crate::assemble::{Plan, log};
use crate::cli::Failure;

/// How long `--connect` waits for each source and sink.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints what the pipeline does; with `connect` it also probes every source and sink.
pub(crate) fn check(plan: Plan, connect: bool) -> Result<(), Failure> {
    for source in &plan.sources {
        println!("source {} ({})", source.name, source.type_name);
    }
    for sink in &plan.sinks {
        let need = if sink.entry.keys.required { "required" } else { "best effort" };
        let kinds = sink.kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        let sources = sink.entry.sources.join(", ");
        println!("sink {} ({}, {need}): {kinds} from {sources}", sink.name, sink.entry.type_name);
    }
    for note in &plan.notes {
        println!("note: {note}");
    }
    plan.refuse_log_in_memory()?;
    if connect {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(anyhow::Error::from)?.block_on(probe(plan))?;
    }
    println!("the pipeline file is right");
    Ok(())
}

async fn probe(plan: Plan) -> Result<(), Failure> {
    // A log on disk may be that of a pump that runs.
    let log = log::in_memory(&plan.pipeline.log);
    let blueprint = plan.open(Mode::Follow, log).await?;
    let mut unreachable = 0;
    let mut report = |what: &str, name: &str, error: Option<String>| match error {
        None => println!("{what} {name}: can be reached"),
        Some(error) => {
            unreachable += 1;
            println!("{what} {name}: {error}");
        }
    };
    for source in &blueprint.sources {
        let error = match timeout(PATIENCE, source.source.probe()).await {
            Ok(result) => result.err().map(|error| format!("{:#}", anyhow::Error::from(error))),
            Err(_) => Some(format!("no answer within {PATIENCE:?}")),
        };
        report("source", &source.name, error);
    }
    for lane in &blueprint.lanes {
        let error = match timeout(PATIENCE, lane.sink.probe()).await {
            Ok(result) => result.err().map(|error| error.to_string()),
            Err(_) => Some(format!("no answer within {PATIENCE:?}")),
        };
        report("sink", &lane.name, error);
    }
    match unreachable {
        0 => Ok(()),
        count => Err(anyhow::anyhow!("{count} of the sources and sinks cannot be reached").into()),
    }
}
