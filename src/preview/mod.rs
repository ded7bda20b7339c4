//! `pump test`: what each sink would send for records of a file.
//!
//! The pipeline file is checked as by `pump check`; then records go through the lanes' own preparation
//! (filter, route, edits, encoding) and are printed instead of sent. No sink is opened and no store
//! touched, so it may be tried beside a running pump, and with records of production on a desk.
//!
//! `input` reads the file and tells what is in it; `report` is what is printed.

mod input;
mod report;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use pump_core::news;
use pump_core::plugin::Registry;
use pump_core::preview::{Outcome, Preview};
use pump_core::record::{ChunkHead, Codec, Kind};
use serde::de::DeserializeOwned;

use crate::assemble::{self, Plan, SourcePlanned};
use crate::cli::{Failure, Files};
use crate::output;
use input::{Form, Input, Lot};
use report::{Report, Totals};

#[derive(Debug, Args)]
pub(crate) struct TestArguments {
    #[command(flatten)]
    files: Files,
    /// The records, `-` for standard input: entries one after the other or with their lengths, lines of
    /// JSON, or stored dead letters.
    #[arg(long = "in", value_name = "RECORDS")]
    records: PathBuf,
    /// The source that they came from; may be left out where there is only one.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// What sort of records, where the file does not tell: transaction, uptime, app_log, audit or event.
    #[arg(long, value_parser = word::<Kind>)]
    kind: Option<Kind>,
    /// How they are written, where the file does not tell: msgpack, protobuf or json.
    #[arg(long, value_parser = word::<Codec>)]
    codec: Option<Codec>,
    /// No more than so many entries of the file.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// A line of JSON for each record and sink.
    #[arg(long)]
    json: bool,
}

/// A word that the pipeline file and stored letters have, too.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

pub(crate) fn test(arguments: &TestArguments, registry: &Registry) -> Result<(), Failure> {
    let Plan { sources, sinks, id_key, .. } = assemble::load_plan(&arguments.files.config, registry)?;
    let bytes = input::read(&arguments.records)?;
    let form = Form::tell(&bytes, arguments.kind, arguments.codec)?;
    let source = if form == Form::Letters {
        if arguments.source.is_some() {
            return Err(Failure::Usage("dead letters name their sources: take --source out".into()));
        }
        None
    } else {
        Some(source_name(&sources, arguments.source.as_deref())?)
    };
    let limit = arguments.limit.unwrap_or(usize::MAX);
    let input = Input::parse(&bytes, form, source.as_ref(), limit, &id_key);
    let absent = source.as_ref().and_then(|source| absent(&sources, source, &input));
    let mut report = Report::new(arguments.json);
    let mut totals = Vec::new();
    for sink in sinks {
        report.sink(&sink.name, &sink.entry.type_name, sink.entry.keys.required);
        let (name, kinds) = (sink.name.clone(), sink.kinds.clone());
        let (mut preview, mut of_sink) = (sink.preview(&id_key), Totals::new(name));
        for lot in &input.lots {
            let head = lot.sample.chunk().head();
            if preview.takes(head) {
                show(&mut preview, lot, &mut of_sink, &mut report);
            } else {
                report.not_taken(&mut of_sink, lot, &refusal(&kinds, head));
            }
            if !report.flush()? {
                return Ok(());
            }
        }
        totals.push(of_sink);
    }
    report.flaws(&input.flaws);
    report.summary(&input, &totals, absent.as_deref());
    report.flush()?;
    if let Some(absent) = absent {
        eprintln!("warning: {absent}");
    }
    if input.strangers > 0 {
        let letters = output::letters(input.strangers);
        eprintln!("warning: {letters} had other ids: record_id.key is not what it was when they were kept");
    }
    match input.flaws.len() {
        0 => Ok(()),
        count => Err(anyhow!("cannot be decoded: {count} of {} entries", input.entries).into()),
    }
}

fn show(preview: &mut Preview, lot: &Lot, totals: &mut Totals, report: &mut Report) {
    let outcomes = preview.outcomes(&lot.sample);
    for (record, outcome) in lot.sample.chunk().records().zip(outcomes) {
        match outcome {
            Outcome::Filtered { by } => report.filtered(totals, lot, record, by),
            Outcome::Sent(sent) => report.sent(totals, lot, &sent),
        }
    }
}

/// Why records of this head are not for a sink of these kinds.
fn refusal(kinds: &[Kind], head: &ChunkHead) -> String {
    if kinds.contains(&head.kind) {
        format!("the sink takes nothing from {}", output::plain(&head.source))
    } else {
        format!("the sink takes no {} records", head.kind.name())
    }
}

/// Why a run would meet no such records, though sinks would take them: they stay in the buffer.
fn absent(sources: &[SourcePlanned], name: &Arc<str>, input: &Input) -> Option<String> {
    let source = sources.iter().find(|source| source.name == *name)?;
    let kind = input.lots.first()?.sample.chunk().head().kind;
    let (kind_name, name) = (kind.name(), output::plain(name));
    (!source.kinds.contains(&kind)).then(|| {
        format!("a run gets no {kind_name} records from {name}: it has none, or no required sink takes them")
    })
}

/// The source that is meant: the one that is named, or the only one.
fn source_name(sources: &[SourcePlanned], given: Option<&str>) -> Result<Arc<str>, Failure> {
    let names = || sources.iter().map(|source| &*source.name).collect::<Vec<_>>().join(", ");
    match (given, sources) {
        (Some(news::SOURCE), _) => Ok(news::SOURCE.into()),
        (Some(given), _) => match sources.iter().find(|source| *source.name == *given) {
            Some(source) => Ok(source.name.clone()),
            None => Err(Failure::Usage(format!(
                "there is no source `{}` in the pipeline file: there are {}, and `pump` for its own news",
                output::plain(given),
                names()
            ))),
        },
        (None, [only]) => Ok(only.name.clone()),
        (None, _) => {
            Err(Failure::Usage(format!("say with --source which of the sources they came from: {}", names())))
        }
    }
}
