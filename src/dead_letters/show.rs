//! `show`: the letters themselves.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use anyhow::Context;
use pump_core::dead_letter::DeadLetter;
use pump_core::encode::{Additions, Encoder, FullEncoder};
use pump_core::record::{Chunk, Parsed, Timestamp};

use super::selection::Which;
use super::store;
use super::walker::{self, Unreadable};
use crate::assemble::Plan;
use crate::cli::Failure;
use crate::output;

pub(super) async fn show(plan: &Plan, which: &Which, limit: usize, as_lines: bool) -> Result<(), Failure> {
    let store = store(plan)?;
    let mut walk = store.walk().await.context("the letters cannot be gone through")?;
    let limit = if limit == 0 { usize::MAX } else { limit };
    let (mut shown, mut has_more, mut unreadable) = (0, false, Unreadable::default());
    let mut sinks: BTreeSet<Arc<str>> = plan.sinks.iter().map(|sink| sink.name.clone()).collect();
    'walk: while let Some(found) = walker::next(&mut *walk, &mut unreadable).await? {
        for found in found {
            sinks.extend(found.letter.sink.clone());
            if !which.means(&found.letter, found.at) {
                continue;
            }
            if shown == limit {
                has_more = true;
                break 'walk;
            }
            shown += 1;
            let text = if as_lines {
                [&found.line[..], b"\n"].concat()
            } else {
                describe(&found.letter, found.at).into_bytes()
            };
            if !output::write(&text)? {
                break 'walk;
            }
        }
    }
    which.check_sink(&sinks)?;
    unreadable.report();
    match shown {
        0 => eprintln!("there are no such letters"),
        _ if has_more => eprintln!("there are more: raise --limit"),
        _ => {}
    }
    Ok(())
}

fn describe(letter: &DeadLetter, at: Timestamp) -> String {
    let plain = output::plain;
    let mut text = String::new();
    let sink = letter
        .sink
        .as_deref()
        .map_or_else(|| "undecodable".to_owned(), |sink| format!("sink {}", plain(sink)));
    let _ = writeln!(text, "{at}  {sink}  {}: {}", plain(&letter.reason), plain(&letter.detail));
    let (source, partition) = (plain(&letter.source), plain(&letter.partition));
    let (kind, position) = (letter.kind.name(), letter.position);
    let _ = write!(text, "  {kind} from {source} at {partition} {position}, received {}", letter.received);
    match letter.id {
        Some(id) => {
            let _ = writeln!(text, ", id {id}");
        }
        None => text.push('\n'),
    }
    let records = records(letter);
    for record in &records {
        let _ = writeln!(text, "  {}", plain(record));
    }
    if records.is_empty() {
        let _ = writeln!(text, "  {} bytes: {}", letter.body.len(), output::raw(&letter.body));
    }
    text.push('\n');
    text
}

/// The records as JSON with every field; none when the body cannot be decoded.
fn records(letter: &DeadLetter) -> Vec<String> {
    let Parsed { chunk, undecodable } =
        Chunk::parse(letter.head(), letter.body.clone(), 0..1, [(0, 0..letter.body.len())]);
    if !undecodable.is_empty() {
        return Vec::new();
    }
    let encode = |record: pump_core::record::Record<'_>| {
        let mut out = Vec::new();
        FullEncoder.encode(record, &record.view(), &Additions::default(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    chunk.records().map(encode).collect()
}
