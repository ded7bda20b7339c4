//! Text for standard output that a reader may stop reading, and that cannot play tricks on a terminal.

use std::io::{self, Write};

/// How much of a body that is no record is shown.
const MAX_RAW: usize = 512;

/// Writes to standard output; returns whether anybody still reads.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What came from outside, with control characters made visible.
pub(crate) fn plain(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().collect() } else { vec![c] };
    text.chars().flat_map(escaped).collect()
}

/// The beginning of bytes that are no record, as a string literal has them.
pub(crate) fn raw(body: &[u8]) -> String {
    let shown = &body[..body.len().min(MAX_RAW)];
    let dots = if shown.len() < body.len() { "…" } else { "" };
    format!("\"{}\"{dots}", shown.escape_ascii())
}

/// A size for a person: `12.3 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut amount, mut unit) = (bytes as f64 / 1024.0, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// `1 letter`, `2 letters`.
pub(crate) fn letters(count: u64) -> String {
    counted(count, "letter")
}

/// So many of a thing whose plural ends in s.
pub(crate) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(plain("a\x1b[2J\u{9b}3mé\n"), "a\\u{1b}[2J\\u{9b}3mé\\n");
    }

    #[test]
    fn sizes_are_written_in_the_unit_that_suits() {
        let sizes = [0, 1023, 1024, 1_300_000, 1 << 30, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.2 MiB", "1.0 GiB", "16777216.0 TiB"]);
    }
}
