//! `list`: how many letters there are, of which sink and why, and how full the store is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use anyhow::Context;
use pump_core::dead_letter::Fullness;
use pump_core::record::Timestamp;
use serde_json::json;

use super::selection::Which;
use super::store;
use super::walker::{self, Found, Unreadable};
use crate::assemble::Plan;
use crate::cli::Failure;
use crate::output;

/// What letters of one sink and reason have in common.
#[derive(Debug, Clone, Copy)]
struct Group {
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

/// By sink (`None`: undecodable) and reason.
type Groups = BTreeMap<(Option<Arc<str>>, String), Group>;

pub(super) async fn list(plan: &Plan, which: &Which, as_json: bool) -> Result<(), Failure> {
    let store = store(plan)?;
    let mut walk = store.walk().await.context("the letters cannot be gone through")?;
    let (mut groups, mut unreadable) = (Groups::new(), Unreadable::default());
    let mut sinks: BTreeSet<Arc<str>> = plan.sinks.iter().map(|sink| sink.name.clone()).collect();
    while let Some(found) = walker::next(&mut *walk, &mut unreadable).await? {
        sinks.extend(found.iter().filter_map(|found| found.letter.sink.clone()));
        for Found { letter, at, .. } in found.into_iter().filter(|found| which.means(&found.letter, found.at))
        {
            let new = Group { count: 0, first: at, last: at };
            let group = groups.entry((letter.sink, letter.reason.into_owned())).or_insert(new);
            group.count += 1;
            (group.first, group.last) = (group.first.min(at), group.last.max(at));
        }
    }
    which.check_sink(&sinks)?;
    let fullness = store.fullness().await.context("how full the store is cannot be seen")?;
    unreadable.report();
    let text = if as_json {
        in_json(&groups, &store.place(), fullness, &unreadable)
    } else {
        table(&groups, &store.place(), fullness)
    };
    output::write(text.as_bytes())?;
    Ok(())
}

fn in_json(groups: &Groups, place: &str, fullness: Fullness, unreadable: &Unreadable) -> String {
    let groups = groups.iter().map(|((sink, reason), group)| {
        json!({
            "sink": sink.as_deref(),
            "reason": reason,
            "count": group.count,
            "first": group.first.to_string(),
            "last": group.last.to_string(),
        })
    });
    let text = json!({
        "store": { "place": place, "bytes": fullness.size, "max_bytes": fullness.max_size },
        "letters": groups.collect::<Vec<_>>(),
        "unreadable_lines": unreadable.count,
    });
    format!("{text}\n")
}

fn table(groups: &Groups, place: &str, fullness: Fullness) -> String {
    let mut rows = vec![["sink", "reason", "letters", "first", "last"].map(str::to_owned)];
    for ((sink, reason), group) in groups {
        let sink = sink.as_deref().map_or_else(|| "(undecodable)".to_owned(), output::plain);
        rows.push([
            sink,
            output::plain(reason),
            group.count.to_string(),
            to_the_second(group.first),
            to_the_second(group.last),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    if !groups.is_empty() {
        for [sink, reason, count, first, last] in &rows {
            let _ = writeln!(
                text,
                "{sink:<sink_width$}  {reason:<reason_width$}  {count:>count_width$}  {first:<first_width$}  {last}",
                sink_width = widths[0],
                reason_width = widths[1],
                count_width = widths[2],
                first_width = widths[3],
            );
        }
        text.push('\n');
    }
    let total = output::letters(groups.values().map(|group| group.count).sum());
    let share = fullness.size as f64 * 100.0 / fullness.max_size.max(1) as f64;
    let (size, max_size) = (output::size(fullness.size), output::size(fullness.max_size));
    let _ = writeln!(text, "{total}; {} holds {size} of {max_size} ({share:.1} %)", output::plain(place));
    text
}

/// Rounded down, so that `--since` with it means the same letters.
fn to_the_second(time: Timestamp) -> String {
    Timestamp { nanos: 0, ..time }.to_string()
}
