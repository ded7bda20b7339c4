//! `pump log`: look at a log on disk that no pump has open. Reads, and changes nothing.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use pump_core::log::disk::{ReadOnly, Records, Report, SegmentReport, inspect};

use crate::cli::Failure;
use crate::output::{self, counted, plain, size};

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Say what is in it: segments, records, how far each sink is.
    Inspect {
        #[command(flatten)]
        place: Place,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check every frame; ends with 1 and names what is damaged.
    Verify {
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The log's folder, as `log.path` has it in the pipeline file.
    path: PathBuf,
}

pub(crate) fn run(command: LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::Inspect { place, json } => {
            let report = look(&place.path)?;
            let text = if json {
                let json = serde_json::to_string_pretty(&report).expect("a report can be written");
                format!("{json}\n")
            } else {
                describe(&report)
            };
            output::write(text.as_bytes())?;
            Ok(())
        }
        LogCommand::Verify { place } => {
            let report = look(&place.path)?;
            output::write(verdict(&report).as_bytes())?;
            match report.is_sound() {
                true => Ok(()),
                false => Err(anyhow!(advice(&report)).into()),
            }
        }
    }
}

fn look(path: &Path) -> Result<Report, Failure> {
    let what = || format!("the disk log in {}", path.display());
    let storage = ReadOnly::open(path).with_context(what)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().context("cannot start the runtime")?;
    let report = runtime.block_on(inspect(&storage)).with_context(what)?;
    if report.is_empty() {
        return Err(
            anyhow!("there is no disk log in {}: name the folder of `log.path`", path.display()).into()
        );
    }
    Ok(report)
}

fn describe(report: &Report) -> String {
    let mut text = format!(
        "places {} to {}: {} in {}\n",
        report.begin,
        report.end,
        counted(report.records(), "record"),
        counted(report.segments.len() as u64, "segment")
    );
    for segment in &report.segments {
        describe_segment(segment, &mut text);
    }
    text.push_str("\nsinks\n");
    for lane in &report.lanes {
        let (name, cursor) = (plain(&lane.name), lane.cursor);
        let _ = write!(text, "  {name}: at place {cursor}, before it {}", records(&lane.ahead));
        if lane.batches > 0 {
            let _ = write!(text, "; {} to be repeated as they were", batches(lane.batches));
        }
        text.push('\n');
    }
    if report.lanes.is_empty() {
        text.push_str("  none yet: each begins at the oldest record\n");
    }
    if !report.held.is_empty() {
        text.push_str("\npositions that sources need not give again\n");
    }
    for held in &report.held {
        let end = if held.is_finished { ", finished" } else { "" };
        let (source, partition) = (plain(&held.source), plain(&held.partition));
        let _ = writeln!(text, "  {source} {partition}: below {}{end}", held.position);
    }
    for (from, to) in &report.gaps {
        let _ = writeln!(text, "\naccepted gap: places {from} to {} are lost", to.saturating_sub(1));
    }
    for aside in &report.set_aside {
        let _ = writeln!(
            text,
            "\nset aside: {} ({}), which no pump reads",
            plain(&aside.name),
            size(aside.bytes)
        );
    }
    describe_damage(report, &mut text);
    text
}

fn describe_segment(segment: &SegmentReport, text: &mut String) {
    let SegmentReport { name, first, last, bytes, file_bytes, .. } = segment;
    let places = last.map_or_else(|| format!("from {first} on"), |last| format!("{first} to {last}"));
    let _ = writeln!(
        text,
        "\n{name}: places {places}, {} of {} in {}",
        size(*bytes),
        size(*file_bytes),
        counted(segment.frames, "frame")
    );
    if let (Some(oldest), Some(newest)) = (&segment.oldest, &segment.newest) {
        let _ = writeln!(text, "  received {oldest} to {newest}");
    }
    let _ = writeln!(text, "  {}", records(&segment.records));
}

fn batches(count: usize) -> String {
    if count == 1 { "1 batch".to_owned() } else { format!("{count} batches") }
}

/// `120 records: gateway 100 transaction, 20 uptime`.
fn records(records: &Records) -> String {
    let mut text = counted(records.total(), "record");
    for (number, (source, kinds)) in records.0.iter().enumerate() {
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let before = if number == 0 { ":" } else { ";" };
        let _ = write!(text, "{before} {} {}", plain(source), kinds.join(", "));
    }
    text
}

fn describe_damage(report: &Report, text: &mut String) {
    if let Some((segment, offset)) = &report.torn_at {
        let _ = writeln!(
            text,
            "\ntorn: {segment} at byte {offset}: what a crash cut off there was not settled, it comes again"
        );
    }
    if let Some(reason) = &report.state_damage {
        let _ = writeln!(text, "\ndamaged: {reason}: nobody knows how far the sinks were");
    }
    for damage in &report.damages {
        let lost = match damage.records {
            0 => "no record is lost".to_owned(),
            1 => format!("place {} is lost", damage.from),
            count => format!("places {} to {} are lost ({count} records)", damage.from, damage.to - 1),
        };
        let _ = writeln!(text, "\ndamaged: {}: {}: {lost}", damage.segment, damage.reason);
    }
}

fn verdict(report: &Report) -> String {
    let mut text = format!(
        "{} and {}, every frame checked{}\n",
        counted(report.segments.len() as u64, "segment"),
        counted(report.records(), "record"),
        if report.is_sound() { ": sound" } else { "" }
    );
    describe_damage(report, &mut text);
    text
}

/// What to do about damage.
fn advice(report: &Report) -> String {
    let lost: u64 = report.damages.iter().map(|damage| damage.records).sum();
    if report.damages.is_empty() {
        return "the file `state` is damaged: a start goes on without it, and every sink gets everything in the log \
                again, with the same ids"
            .to_owned();
    }
    format!(
        "the log is damaged, {} lost: copy the folder if somebody may still mend the disk, then start once with \
         `pump run --accept-gap`, which keeps what can be read and sets the damaged segments aside",
        match lost {
            1 => "1 record is".to_owned(),
            count => format!("{count} records are"),
        }
    )
}
