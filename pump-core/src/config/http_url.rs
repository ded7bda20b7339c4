//! Where an HTTP server is: `https://search.internal:9200`.

use std::fmt;
use std::str::FromStr;

use super::text_value::{TextError, TextValue, deserialize_text_value, serialize_text_value};

/// The address of an HTTP server, with a path before all of its own where a proxy wants one:
/// `http[s]://host[:port][/path]`. It never holds credentials, so it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    text: String,
    authority: std::ops::Range<usize>,
    has_port: bool,
}

impl HttpUrl {
    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it begins with `https`.
    pub fn is_encrypted(&self) -> bool {
        self.text.starts_with("https://")
    }

    /// Host and port, such as `search.internal:9200`; the scheme's own port where none is written.
    pub fn target(&self) -> String {
        let authority = &self.text[self.authority.clone()];
        match (self.has_port, self.is_encrypted()) {
            (true, _) => authority.to_owned(),
            (false, true) => format!("{authority}:443"),
            (false, false) => format!("{authority}:80"),
        }
    }
}

impl TextValue for HttpUrl {
    const FORMAT: &'static str = "http-url";
    const EXPECTED: &'static str = "the address of an HTTP server, such as `https://search.internal:9200`";
    const PATTERN: &'static str = "^https?://[^/@?#]+(/[^?#]*)?$";
    const UNIT: Option<&'static str> = None;
}

impl FromStr for HttpUrl {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let Some(rest) = rest else {
            return Err(TextError::new("the address begins with `https://` or `http://`"));
        };
        let start = text.len() - rest.len();
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '\\')) {
            return Err(TextError::new("the address has no query, no fragment and no white space"));
        }
        if rest.contains('@') {
            return Err(TextError::new("credentials stand under `auth`, not in the address"));
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if host.is_empty() {
            return Err(TextError::new("the address has no host"));
        }
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err(TextError::new("an IPv6 address stands in brackets, such as `http://[::1]:9200`"));
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(TextError::new("the port is no number from 0 to 65535"));
        }
        let authority = start..start + authority.len();
        Ok(Self { text: text.to_owned(), authority, has_port: port.is_some() })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

deserialize_text_value!(HttpUrl);
serialize_text_value!(HttpUrl);
