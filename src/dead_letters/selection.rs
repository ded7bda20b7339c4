//! Which letters a command is about.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use pump_core::dead_letter::DeadLetter;
use pump_core::record::Timestamp;

use crate::cli::Failure;
use crate::moment::Moment;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Which {
    /// Only what this sink refused.
    #[arg(long, value_name = "NAME")]
    pub(crate) sink: Option<String>,
    /// Only what was given up for this reason.
    #[arg(long, value_name = "WORD")]
    pub(crate) reason: Option<String>,
    /// Only what was given up at this time or later: RFC 3339, or a duration ago such as `2h`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only what was given up before this time: RFC 3339, or a duration ago such as `2h`.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Only what could not be decoded, and so was refused by no sink.
    #[arg(long, conflicts_with = "sink")]
    pub(crate) undecodable: bool,
}

impl Which {
    /// Whether a letter that was given up at this time is meant.
    pub(crate) fn means(&self, letter: &DeadLetter, at: Timestamp) -> bool {
        let is_named = |own: &Option<String>, name: &str| own.as_deref().is_none_or(|own| own == name);
        self.sink.as_deref().is_none_or(|sink| letter.sink.as_deref() == Some(sink))
            && is_named(&self.reason, &letter.reason)
            && self.since.is_none_or(|since| at >= since.0)
            && self.until.is_none_or(|until| at < until.0)
            && (!self.undecodable || letter.sink.is_none())
    }

    /// Refuses a sink that is none of `known`: most likely the name is misspelt.
    pub(crate) fn check_sink(&self, known: &BTreeSet<Arc<str>>) -> Result<(), Failure> {
        let Some(sink) = self.sink.as_deref().filter(|sink| !known.contains(*sink)) else { return Ok(()) };
        let names = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Err(Failure::Usage(format!("there is no sink `{}`; there is {names}", sink.escape_debug())))
    }
}

#[cfg(test)]
mod tests {
    use pump_core::record::{Codec, Kind};

    use super::*;

    fn letter(sink: Option<&str>, reason: &'static str) -> DeadLetter {
        DeadLetter {
            sink: sink.map(Into::into),
            reason: reason.into(),
            detail: "".into(),
            id: None,
            source: "gateway".into(),
            partition: "0".into(),
            position: 0,
            kind: Kind::Event,
            codec: Codec::Json,
            received: Timestamp::EPOCH,
            body: Default::default(),
        }
    }

    fn moment(text: &str) -> Moment {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn all_letters_are_meant_unless_something_is_asked_for() {
        assert!(Which::default().means(&letter(None, "truncated"), Timestamp::EPOCH));
        assert!(Which::default().means(&letter(Some("search"), "odd"), Timestamp::now()));
    }

    #[test]
    fn each_condition_must_hold() {
        let which = Which { sink: Some("search".into()), reason: Some("odd".into()), ..Which::default() };
        assert!(which.means(&letter(Some("search"), "odd"), Timestamp::EPOCH));
        assert!(!which.means(&letter(Some("search"), "even"), Timestamp::EPOCH));
        assert!(!which.means(&letter(Some("files"), "odd"), Timestamp::EPOCH));
        assert!(!which.means(&letter(None, "odd"), Timestamp::EPOCH));
        let undecodable = Which { undecodable: true, ..Which::default() };
        assert!(undecodable.means(&letter(None, "odd"), Timestamp::EPOCH));
        assert!(!undecodable.means(&letter(Some("search"), "odd"), Timestamp::EPOCH));
    }

    #[test]
    fn since_is_the_first_moment_and_until_the_first_that_is_not_meant() {
        let which = Which {
            since: Some(moment("2026-11-24T08:00:00Z")),
            until: Some(moment("2026-11-24T11:00:00+02:00")),
            ..Which::default()
        };
        let is_meant = |text: &str| which.means(&letter(None, "odd"), moment(text).0);
        assert!(is_meant("2026-11-24T08:00:00Z") && is_meant("2026-11-24T08:59:59.999Z"));
        assert!(!is_meant("2026-11-24T07:59:59.999Z") && !is_meant("2026-11-24T09:00:00Z"));
    }

    #[test]
    fn a_duration_is_that_long_ago() {
        let ago = Timestamp::now().seconds_since(moment("2h").0);
        assert!((7199.0..7260.0).contains(&ago), "{ago}");
        assert!("yesterday".parse::<Moment>().is_err() && "2".parse::<Moment>().is_err());
    }
}
