//! The names of a file while it is written, once it is whole, and when nothing in it is.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The ending of a file that is being written.
const PART: &str = "part";
/// The ending of a file that a crash left behind without one whole frame.
const TORN: &str = "torn";

/// `x.ndjson` and 1 give `x.ndjson.part`, and 2 `x.ndjson.2.part`.
pub(super) fn part_path(target: &Path, number: u64) -> PathBuf {
    numbered(target, number, PART)
}

/// The way back from [`part_path`]: the name without `.part`, and without the number of a second writer
/// if it has one. None for a file that is no `.part`.
pub(super) fn targets_of(part: &Path) -> Vec<PathBuf> {
    if part.extension().is_none_or(|ending| ending != PART) {
        return Vec::new();
    }
    let target = part.with_extension("");
    let has_number =
        target.extension().is_some_and(|ending| ending.to_string_lossy().parse::<u32>().is_ok_and(|n| n > 1));
    let without_number = has_number.then(|| target.with_extension(""));
    [Some(target), without_number].into_iter().flatten().collect()
}

/// `x.ndjson` and 1 give `x.ndjson.torn`, and 2 `x.ndjson.2.torn`.
pub(super) fn torn_path(target: &Path, number: u64) -> PathBuf {
    numbered(target, number, TORN)
}

/// `x.ndjson.gz` gives `x-20261124T081500Z-1.ndjson.gz`: the endings stay, so that tools know it.
pub(super) fn final_path(target: &Path, started: SystemTime, number: u64) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let (stem, endings) = match name.get(1..).and_then(|rest| rest.find('.')) {
        Some(dot) => name.split_at(dot + 1),
        None => (&*name, ""),
    };
    let since = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let started = pump_core::record::Timestamp { seconds: since.as_secs() as i64, nanos: 0 };
    let started = started.to_string().replace(['-', ':'], "");
    target.with_file_name(format!("{stem}-{started}-{number}{endings}"))
}

fn numbered(target: &Path, number: u64, ending: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    if number > 1 {
        name.push(format!(".{number}"));
    }
    name.push(format!(".{ending}"));
    name.into()
}
