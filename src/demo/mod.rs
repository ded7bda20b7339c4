//! `pump demo`: the whole of pump with nothing else needed. Made-up traffic goes through a log on disk into
//! an ndjson and a csv file, and into a summary on the terminal.

mod summary;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use pump_core::config::load_text;
use pump_core::engine::{Monitor, Pump};
use pump_core::plugin::Mode;

use crate::assemble::{log, plan};
use crate::cli::Failure;
use crate::run::stop_signal;
use crate::screen::Screen;
use crate::{builtin, logging};
use summary::Summary;

/// The pipeline of the demo.
const PIPELINE: &str = include_str!("pipeline.yaml");

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// How many records are made.
    #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// How many records a second are made.
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Where the files go.
    #[arg(long, default_value = "demo-out", value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn demo(arguments: &DemoArguments) -> Result<(), Failure> {
    let environment = |name: &str| match name {
        "PUMP_DEMO_RECORDS" => Some(arguments.records.to_string()),
        "PUMP_DEMO_RATE" => Some(format!("{}/s", arguments.rate)),
        "PUMP_DEMO_OUT" => Some(arguments.out.display().to_string()),
        _ => None,
    };
    let summary = Summary::default();
    let registry = builtin();
    let plan = plan(load_text("demo", PIPELINE, &environment, registry.catalog())?, &registry)?;
    logging::start(&plan.pipeline.telemetry.log);
    println!(
        "{} made-up records at {} a second, through a log on disk, into {}\n",
        arguments.records,
        arguments.rate,
        arguments.out.display()
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let began = Instant::now();
    let monitor = runtime.block_on(async {
        let log = log::open(&plan.pipeline.log, false).await?;
        let mut blueprint = plan.open(Mode::Drain, log).await?;
        blueprint.lanes.push(summary.lane());
        let pump = Pump::new(blueprint);
        let monitor = pump.monitor();
        let screen = tokio::spawn(show(summary.clone(), began));
        pump.run(stop_signal()?).await?;
        screen.abort();
        anyhow::Ok(monitor)
    })?;
    Screen::new().clear();
    println!("{}", summary.report(began.elapsed()));
    println!("{}", farewell(&monitor, &arguments.out));
    Ok(())
}

async fn show(summary: Summary, began: Instant) {
    let mut screen = Screen::new();
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        screen.draw(&summary.report(began.elapsed()));
    }
}

fn farewell(monitor: &Monitor, out: &std::path::Path) -> String {
    let books = monitor.books();
    let mut text = String::new();
    for ((_, label), lane) in monitor.lanes().zip(&books.lanes) {
        let name = label.name;
        text.push_str(&format!("sink {name}: {} accepted, {} delivered\n", lane.accepted, lane.delivered));
    }
    let out = out.display();
    text.push_str(&format!(
        "\nThe files are in {out}: one ndjson file per API, and transactions in csv.\n\
         Try next:\n  \
         grep -h '\"ip_address\":\"203.0.113.66\"' {out}/*.ndjson | head -1     the attack, record by record\n  \
         pump run -c configs/demo.yaml                                    the same as a pipeline file\n  \
         pump run -c configs/tyk-to-files.yaml                            the records of a real gateway\n  \
         pump log inspect {out}/log                                       how far each sink has come in the log\n  \
         pump plugins file                                                what else the file sink can do\n"
    ));
    text
}
