//! The behaviours of the built-in sinks, and the table that `docs/sinks.md` has of them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use pump_core::plugin::Sink;
use pump_core::testing::behaviour::{Destination, Finding, check};

const INTRODUCTION: &str = "\
# Sinks

What each sink does, shown by running it on its real server. The table is written by the tests (`UPDATE_DOCUMENTS=1 cargo test -p
pump-sinks behaves`), and they fail when it is not true. A mark means that the behaviour was shown; a dash that it was not, and the
reason stands below. A sink of your own is held to the same by one line: see `pump_core::testing::behaviour`.

";

/// Holds a sink to every behaviour, and its row in `docs/sinks.md` to what was found.
pub(crate) async fn behaves<D: Destination>(start: impl AsyncFnOnce() -> D) {
    let findings = check(start).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sinks.md");
    // Several sinks may be through at the same time, one of them in a process of its own.
    let folder = fs::File::open(path.with_file_name("")).expect("the folder is there");
    folder.lock().expect("it can be locked");
    let written = fs::read_to_string(&path).unwrap_or_default();
    let page = page(&written, D::Sink::NAME, &findings);
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        fs::write(&path, page).expect("written");
    } else {
        assert_eq!(
            written, page,
            "docs/sinks.md is out of date: UPDATE_DOCUMENTS=1 cargo test -p pump-sinks behaves"
        );
    }
}

/// The page with what was found for this sink; other sinks' parts stay as they are.
fn page(written: &str, name: &str, findings: &[Finding]) -> String {
    let mut rows: BTreeMap<&str, &str> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in written.lines() {
        if let Some(row) = line.strip_prefix("| [").and_then(|rest| rest.split_once(']')) {
            rows.insert(row.0, line);
        }
        if let Some(reason) = line.strip_prefix("- `").and_then(|rest| rest.split_once('`')) {
            reasons.entry(reason.0).or_default().push(line);
        }
    }
    let mark = |finding: &Finding| if finding.held.is_ok() { " ✓ |" } else { " – |" };
    let row = format!("| [{name}](sinks/{name}.md) |{}", findings.iter().map(mark).collect::<String>());
    rows.insert(name, &row);
    let own: Vec<String> = findings
        .iter()
        .enumerate()
        .filter_map(|(number, finding)| {
            finding.held.err().map(|reason| format!("- `{name}` {}: {}", number + 1, reason.0))
        })
        .collect();
    reasons.insert(name, own.iter().map(String::as_str).collect());

    let mut page = INTRODUCTION.to_owned();
    for (number, finding) in findings.iter().enumerate() {
        let _ = writeln!(page, "{}. {}", number + 1, finding.sentence);
    }
    let numbers: String = (1..=findings.len()).map(|number| format!(" {number} |")).collect();
    let _ = writeln!(page, "\n| sink |{numbers}\n|---|{}", "---|".repeat(findings.len()));
    rows.values().for_each(|row| page.extend([*row, "\n"]));
    page.push_str("\nWhat was not shown, and why:\n\n");
    reasons.values().flatten().for_each(|reason| page.extend([*reason, "\n"]));
    page
}
