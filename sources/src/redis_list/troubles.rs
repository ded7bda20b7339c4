//! What is wrong while the rest goes on: a key of another type, a permission that is missing, a server of a
//! Cluster that is away. The operator hears of one of them at a time, until it is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// So long after it was last seen, a trouble is over. What is asked seldom is asked more often than this.
const OVER_AFTER: Duration = Duration::from_secs(3);

/// What is wrong with single lists, and with questions about the server as a whole.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    of_server: Option<(Instant, String)>,
    by_list: BTreeMap<Arc<str>, (Instant, String)>,
    /// What was said last; `None`: nothing was said, or something else was in between.
    said: Option<Option<String>>,
}

impl Troubles {
    /// Something is wrong with this list now.
    pub(super) fn add(&mut self, now: Instant, list: Arc<str>, error: String) {
        self.by_list.insert(list, (now, error));
    }

    /// The server, or one of them, would not answer a question that is not about a list.
    pub(super) fn add_of_server(&mut self, now: Instant, error: String) {
        self.of_server = Some((now, error));
    }

    /// What is to be said from now on of so many lists, if that is news.
    pub(super) fn news(&mut self, now: Instant, lists: usize) -> Option<Option<String>> {
        let is_current = |seen: Instant| now.saturating_duration_since(seen) < OVER_AFTER;
        self.by_list.retain(|_, (seen, _)| is_current(*seen));
        self.of_server.take_if(|(seen, _)| !is_current(*seen));
        let text = match self.by_list.first_key_value() {
            Some((_, (_, error))) if self.by_list.len() == lists => {
                Some(format!("no list can be read: {error}"))
            }
            Some((list, (_, error))) => {
                Some(format!("the list {list} cannot be read and is left alone, the others go on: {error}"))
            }
            None => self.of_server.as_ref().map(|(_, error)| format!("redis: {error}")),
        };
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
        assert_eq!(troubles.news(now, 3), Some(None), "at first nothing is wrong");
        troubles.add(now, "b".into(), "NOPERM".into());
        troubles.add(now, "a".into(), "WRONGTYPE".into());
        let text = troubles.news(now, 3).flatten().expect("news");
        assert!(text.contains("the list a ") && text.contains("WRONGTYPE"), "{text}");
        assert_eq!(troubles.news(now, 3), None);
        let text = troubles.news(now, 2).flatten().expect("news");
        assert!(text.starts_with("no list"), "{text}");
        let later = now + Duration::from_secs(2);
        troubles.add(later, "b".into(), "NOPERM".into());
        troubles.add_of_server(later, "INFO".into());
        let text = troubles.news(now + OVER_AFTER, 3).flatten().expect("news");
        assert!(text.contains("the list b "), "{text}");
        troubles.report_again();
        assert!(troubles.news(now + OVER_AFTER, 3).is_some());
        troubles.add_of_server(later + OVER_AFTER, "INFO".into());
        assert_eq!(troubles.news(later + OVER_AFTER, 3), Some(Some("redis: INFO".into())));
        assert_eq!(troubles.news(later + OVER_AFTER * 2, 3), Some(None));
    }
}
