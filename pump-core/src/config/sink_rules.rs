//! What must hold between a sink's keys, and between sinks and sources.

use super::assemble::ReadSink;
use super::check::Findings;
use super::error::{ConfigError, below, listed, quoted};
use super::merge::Named;
use super::nearest::nearest;
use super::node::{Mapping, Node, Value};
use super::pipeline::OWN_SOURCE;
use super::sink_keys::SinkKeys;

/// Refuses values that are sound one by one but make no sense.
pub(super) fn check(keys: &SinkKeys, written: &Mapping, path: &str, findings: &mut Findings) {
    let mut refuse = |is_wrong: bool, keys: &[&str], message: &str| {
        if is_wrong && let Some(node) = at(written, keys) {
            let path = keys.iter().fold(path.to_owned(), |path, key| below(&path, key));
            findings.push(ConfigError::new(message).at(&node.location).on(path));
        }
    };
    let is_zero = |duration: super::duration::ConfigDuration| duration.get().is_zero();
    refuse(is_zero(keys.timeout), &["timeout"], "an attempt needs some time: the timeout is zero");
    refuse(is_zero(keys.retry.initial), &["retry", "initial"], "a retry without a wait would never rest");
    // Nothing is said of the values themselves: they may come from references.
    let is_upside_down = keys.retry.initial > keys.retry.max;
    let has_longest = at(written, &["retry", "max"]).is_some();
    refuse(is_upside_down && has_longest, &["retry", "max"], "the longest wait is shorter than the first");
    let message =
        format!("the first wait is longer than the longest, which is {} by default", keys.retry.max);
    refuse(is_upside_down && !has_longest, &["retry", "initial"], &message);
    let holds_nothing = keys.batch.max_bytes.is_some_and(|size| size.bytes() == 0);
    refuse(holds_nothing, &["batch", "max_bytes"], "a batch of no bytes holds no record");
}

/// The sources that a sink names must be there, each once.
pub(super) fn refuse_unknown_sources(sources: &Named, sinks: &[ReadSink], findings: &mut Findings) {
    let names: Vec<&str> = sources.entries.iter().map(|entry| entry.key.as_str()).collect();
    for sink in sinks {
        let Some(Value::Sequence(items)) = at(&sink.written, &["sources"]).map(|node| &node.value) else {
            continue;
        };
        for (index, item) in items.iter().enumerate() {
            let Some(name) = item.as_str() else { continue };
            let path = format!("{}.sources[{index}]", sink.entry.plugin.path);
            let is_twice = items[..index].iter().any(|earlier| earlier.as_str() == Some(name));
            let is_known = name == OWN_SOURCE || names.contains(&name);
            if is_known && !is_twice {
                continue;
            }
            let shown = match &item.reference {
                Some(reference) => format!("(from {})", reference.shown),
                None => quoted(name),
            };
            let problem = if is_known { "is named twice" } else { "does not exist" };
            let error = ConfigError::new(format!("the source {shown} {problem}")).at(&item.location).on(path);
            let meant = nearest(name, names.iter().copied()).filter(|_| item.reference.is_none());
            findings.push(match meant {
                _ if is_known => error.help("remove one of the two"),
                Some(meant) => error.help(format!("did you mean `{meant}`?")),
                None if names.is_empty() => error,
                None => error.help(format!("there is {}", listed(names.iter().copied()))),
            });
        }
    }
}

/// Every source needs a sink that its records wait for: with best effort alone they would be
/// settled whether or not anyone got them.
pub(super) fn refuse_unwanted_sources(sources: &Named, sinks: &[ReadSink], findings: &mut Findings) {
    for source in &sources.entries {
        let takes = |sink: &&ReadSink| sink.entry.sources.contains(&source.key);
        if sinks.iter().filter(takes).any(|sink| sink.entry.keys.required) {
            continue;
        }
        let help = match sinks.iter().any(|sink| takes(&sink)) {
            true => "all sinks that take it say `required: false`; one must not",
            false => "no sink takes it; name it in the `sources` of one, or remove it",
        };
        findings.push(
            ConfigError::new(format!("the source {} has no required sink", quoted(&source.key)))
                .at(&source.location)
                .on(below("sources", &source.key))
                .help(help),
        );
    }
}

fn at<'n>(mapping: &'n Mapping, keys: &[&str]) -> Option<&'n Node> {
    let (last, parents) = keys.split_last()?;
    let mut mapping = mapping;
    for key in parents {
        mapping = mapping.get(key)?.value.as_mapping()?;
    }
    mapping.get(last).map(|entry| &entry.value)
}
