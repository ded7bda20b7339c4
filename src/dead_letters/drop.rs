//! `drop`: letters that nobody wants any more.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;

use anyhow::Context;

use super::selection::Which;
use super::store;
use super::walker::{self, Unreadable};
use crate::assemble::Plan;
use crate::cli::Failure;
use crate::output;

/// Counts what is meant, asks, and removes exactly that: what is appended meanwhile stays.
pub(super) async fn drop_letters(plan: &Plan, which: &Which, is_sure: bool) -> Result<(), Failure> {
    let store = store(plan)?;
    let mut walk = store.walk().await.context("the letters cannot be gone through")?;
    let (mut count, mut unreadable) = (0, Unreadable::default());
    let mut sinks: BTreeSet<Arc<str>> = plan.sinks.iter().map(|sink| sink.name.clone()).collect();
    while let Some(found) = walker::next(&mut *walk, &mut unreadable).await? {
        sinks.extend(found.iter().filter_map(|found| found.letter.sink.clone()));
        count += found.iter().filter(|found| which.means(&found.letter, found.at)).count() as u64;
    }
    which.check_sink(&sinks)?;
    unreadable.report();
    if count == 0 {
        output::write(b"no letters were dropped: there are none such\n")?;
        return Ok(());
    }
    if !is_sure && !asked(&format!("drop {} for good?", output::letters(count)))? {
        return Err(anyhow::anyhow!("nothing was dropped").into());
    }
    walk.rewind();
    let mut dropped = 0;
    while let Some(found) = walker::next(&mut *walk, &mut Unreadable::default()).await? {
        let meant = found.iter().filter(|found| which.means(&found.letter, found.at));
        let numbers: Vec<_> = meant.map(|found| found.number).collect();
        dropped += walk.remove(&numbers).await.context(format!("{dropped} were dropped"))? as u64;
    }
    let verb = if dropped == 1 { "was" } else { "were" };
    output::write(format!("{} {verb} dropped\n", output::letters(dropped)).as_bytes())?;
    Ok(())
}

fn asked(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage("nobody can be asked here: say --yes to drop letters for good".into()));
    }
    eprint!("{question} Type yes: ");
    io::stderr().flush().context("the terminal is gone")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("the terminal is gone")?;
    Ok(answer.trim() == "yes")
}
