//! What is said of a StatsD daemon: where it listens (`udp://127.0.0.1:8125`, `tcp://…`, `unix:///run/statsd.socket`), what
//! names begin with, whether it knows tags.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::HostPort;
use super::text_value::{TextError, TextValue, deserialize_text_value, serialize_text_value};

/// A StatsD daemon's address. Without a scheme it is UDP, as everywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatsdAddress {
    /// Datagrams to a host.
    Udp(HostPort),
    /// Lines in a stream to a host.
    Tcp(HostPort),
    /// Datagrams to a socket of this machine.
    Unix(PathBuf),
}

impl StatsdAddress {
    /// Host and port, such as `statsd.internal:8125`; `None` for a socket of this machine.
    pub fn target(&self) -> Option<String> {
        match self {
            Self::Udp(host) | Self::Tcp(host) => Some(host.to_string()),
            Self::Unix(_) => None,
        }
    }
}

impl TextValue for StatsdAddress {
    const FORMAT: &'static str = "statsd-address";
    const EXPECTED: &'static str =
        "a daemon's address, such as `udp://127.0.0.1:8125`, `tcp://…` or `unix:///run/statsd.socket`";
    const PATTERN: &'static str = "^((udp://|tcp://)?[^/]+:[0-9]+|unix:///.+)$";
    const UNIT: Option<&'static str> = None;
}

impl FromStr for StatsdAddress {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if let Some(path) = text.strip_prefix("unix://") {
            // A path relative to wherever the pump was started would name another socket each time.
            return if Path::new(path).is_absolute() && !path.ends_with('/') && !path.contains('\0') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(TextError::new("the socket's path begins with a slash: `unix:///run/statsd.socket`"))
            };
        }
        let (make, host): (fn(HostPort) -> Self, &str) = match text.split_once("://") {
            Some(("udp", host)) => (Self::Udp, host),
            Some(("tcp", host)) => (Self::Tcp, host),
            Some(_) => return Err(TextError::new("the scheme is none of `udp://`, `tcp://`, `unix://`")),
            None => (Self::Udp, text),
        };
        let host: HostPort = host.parse().map_err(|_| {
            TextError::new("the address is a host and a port, such as `statsd.internal:8125`")
        })?;
        if host.port == 0 {
            return Err(TextError::new("nobody listens on port 0"));
        }
        Ok(make(host))
    }
}

impl fmt::Display for StatsdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(host) => write!(f, "udp://{host}"),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

deserialize_text_value!(StatsdAddress);

/// What every name begins with: letters, digits, `_`, `-` and `.`, without a dot at either end; may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatsdPrefix(String);

impl StatsdPrefix {
    /// As it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With the dot that follows it; empty when it is.
    pub fn with_dot(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!("{}.", self.0) }
    }
}

impl TextValue for StatsdPrefix {
    const FORMAT: &'static str = "statsd-prefix";
    const EXPECTED: &'static str = "letters, digits, `_`, `-` and `.`, such as `gateway.eu1`";
    const PATTERN: &'static str = "^([A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*)?$";
    const UNIT: Option<&'static str> = None;
}

impl FromStr for StatsdPrefix {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_allowed);
        if text.is_empty() || text.split('.').all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        Err(TextError::new(
            "names are made of letters, digits, `_` and `-`, with one dot between two parts; the last dot is ours",
        ))
    }
}

impl fmt::Display for StatsdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

deserialize_text_value!(StatsdPrefix);
serialize_text_value!(StatsdPrefix);

/// Where values stand that tell series apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatsdTags {
    /// In the name, a part each.
    #[default]
    None,
    /// In tags, as DogStatsD has them.
    Dogstatsd,
}
