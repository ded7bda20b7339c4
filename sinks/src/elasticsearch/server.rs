//! Which server it is, from its root page.

use pump_core::plugin::SinkError;
use serde::Deserialize;

/// A server that this sink knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    /// Elasticsearch or OpenSearch.
    pub(super) product: &'static str,
    /// The first number of its version.
    pub(super) major: u32,
}

impl Server {
    /// From the root page. Others are unavailable: what they would make of our requests is unknown.
    pub(super) fn read(page: &[u8]) -> Result<Self, SinkError> {
        #[derive(Deserialize)]
        struct Page {
            version: Version,
        }
        #[derive(Deserialize)]
        struct Version {
            number: String,
            #[serde(default)]
            distribution: Option<String>,
        }
        let Version { number, distribution } = match serde_json::from_slice(page) {
            Ok(Page { version }) => version,
            Err(error) => {
                let message = "this is neither Elasticsearch nor OpenSearch: check `endpoints`";
                return Err(SinkError::unavailable(message, error));
            }
        };
        let (product, known) = match distribution.as_deref() {
            Some("opensearch") => ("OpenSearch", 1..=3),
            _ => ("Elasticsearch", 7..=9),
        };
        let major = number.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
        if known.contains(&major) {
            return Ok(Self { product, major });
        }
        Err(SinkError::unavailable(
            format!("{product} {} is not supported", crate::http::words(&number)),
            "use Elasticsearch 7, 8 or 9, or OpenSearch 1, 2 or 3",
        ))
    }
}

#[cfg(test)]
mod tests {
    use pump_core::plugin::SinkErrorKind;

    use super::*;

    #[test]
    fn the_servers_that_are_known_are_told_apart() {
        for (page, product, major) in [
            (r#"{"version":{"number":"7.17.29","build_flavor":"default"}}"#, "Elasticsearch", 7),
            (r#"{"version":{"number":"8.15.0","build_flavor":"default"}}"#, "Elasticsearch", 8),
            (r#"{"version":{"number":"9.1.0","lucene_version":"10"}}"#, "Elasticsearch", 9),
            (r#"{"version":{"distribution":"opensearch","number":"1.3.20"}}"#, "OpenSearch", 1),
            (r#"{"version":{"distribution":"opensearch","number":"2.19.1"}}"#, "OpenSearch", 2),
            (r#"{"name":"n","version":{"distribution":"opensearch","number":"3.8.0"}}"#, "OpenSearch", 3),
        ] {
            assert_eq!(Server::read(page.as_bytes()).expect(page), Server { product, major });
        }
    }

    #[test]
    fn other_servers_are_unavailable_and_it_is_said_why() {
        for (page, said) in [
            (r#"{"version":{"number":"6.8.23"}}"#, "Elasticsearch 6.8.23 is not supported"),
            (r#"{"version":{"number":"10.0.0"}}"#, "Elasticsearch 10.0.0 is not supported"),
            (r#"{"version":{"distribution":"opensearch","number":"4.0.0"}}"#, "OpenSearch 4.0.0"),
            (r#"{"version":{"number":"seven"}}"#, "seven is not supported"),
            ("<html>", "neither Elasticsearch nor OpenSearch"),
            ("{}", "neither Elasticsearch nor OpenSearch"),
        ] {
            let error = Server::read(page.as_bytes()).expect_err(page);
            assert_eq!(error.kind(), SinkErrorKind::Unavailable);
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
