//! What is wrong with single lists while the others go on: a key of another type, a permission that is
//! missing. The operator hears of one of them at a time, until it is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// So long after it was last seen, a trouble is over. What is asked seldom is asked more often than this.
const OVER_AFTER: Duration = Duration::from_secs(3);

/// What is wrong with single lists.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    by_list: BTreeMap<Arc<str>, (Instant, String)>,
    /// What was said last; `None`: nothing was said, or something else was in between.
    said: Option<Option<String>>,
}

impl Troubles {
    /// Something is wrong with this list now.
    pub(super) fn add(&mut self, now: Instant, list: Arc<str>, error: String) {
        self.by_list.insert(list, (now, error));
    }

    /// What is to be said from now on, if that is news.
    pub(super) fn news(&mut self, now: Instant) -> Option<Option<String>> {
        self.by_list.retain(|_, (seen, _)| now.saturating_duration_since(*seen) < OVER_AFTER);
        let first = self.by_list.iter().next();
        let text = first.map(|(list, (_, error))| {
            format!("the list {list} cannot be read and is left alone, the others go on: {error}")
        });
        if self.said.as_ref() == Some(&text) {
            return None;
        }
        self.said = Some(text.clone());
        Some(text)
    }

    /// Something else was said meanwhile.
    pub(super) fn report_again(&mut self) {
        self.said = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_said_once_and_its_end_too() {
        let (mut troubles, now) = (Troubles::default(), Instant::now());
        assert_eq!(troubles.news(now), Some(None), "at first nothing is wrong");
        troubles.add(now, "b".into(), "NOPERM".into());
        troubles.add(now, "a".into(), "WRONGTYPE".into());
        let text = troubles.news(now).flatten().expect("news");
        assert!(text.contains("the list a ") && text.contains("WRONGTYPE"), "{text}");
        assert_eq!(troubles.news(now), None);
        let later = now + Duration::from_secs(2);
        troubles.add(later, "b".into(), "NOPERM".into());
        let text = troubles.news(now + OVER_AFTER).flatten().expect("news");
        assert!(text.contains("the list b "), "{text}");
        troubles.report_again();
        assert!(troubles.news(now + OVER_AFTER).is_some());
        assert_eq!(troubles.news(later + OVER_AFTER), Some(None));
    }
}
