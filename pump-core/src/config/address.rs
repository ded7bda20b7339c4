//! Where to listen, `127.0.0.1:8083`, and where a server is, `redis-1.internal:6379`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::text_value::{TextError, TextValue, deserialize_text_value, serialize_text_value};

/// An IP address of this machine and a port. No host name: what it resolves to may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

impl TextValue for ListenAddress {
    const FORMAT: &'static str = "listen-address";
    const EXPECTED: &'static str = "an IP address and a port, such as `127.0.0.1:8083` or `[::1]:8083`";
    const PATTERN: &'static str = "^.+:[0-9]+$";
    const UNIT: Option<&'static str> = None;
}

impl FromStr for ListenAddress {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        text.parse().map(Self).map_err(|_| {
            TextError::new(if text.starts_with(':') {
                "the IP address is missing: `0.0.0.0` is every address of this machine"
            } else if text.starts_with("localhost:") {
                "`localhost` is no IP address: write `127.0.0.1` or `[::1]`"
            } else {
                "this is no IP address with a port"
            })
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

deserialize_text_value!(ListenAddress);
serialize_text_value!(ListenAddress);

/// The host and port of a server. An IPv6 address stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl TextValue for HostPort {
    const FORMAT: &'static str = "host-port";
    const EXPECTED: &'static str = "a host and a port, such as `redis-1.internal:6379`";
    const PATTERN: &'static str = "^[^/]+:[0-9]+$";
    const UNIT: Option<&'static str> = None;
}

impl FromStr for HostPort {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if text.contains("://") {
            return Err(TextError::new("here stands only `host:port`, without `redis://`"));
        }
        match host_and_port(text)? {
            (host, Some(port)) => Ok(Self { host: host.to_owned(), port }),
            (_, None) => Err(TextError::new("the port is missing, such as `:6379` or `:26379`")),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

deserialize_text_value!(HostPort);

/// Splits `host`, `host:port` or `[::1]:port`; the host comes without brackets.
pub(super) fn host_and_port(text: &str) -> Result<(&str, Option<u16>), TextError> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if in_brackets.is_none() && host.contains(':') {
        return Err(TextError::new("an IPv6 address stands in brackets, such as `[::1]:6379`"));
    }
    let host = in_brackets.unwrap_or(host);
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '/' | '@')) {
        return Err(TextError::new("the address has no host"));
    }
    let number =
        port.map(|port| port.parse().map_err(|_| TextError::new("the port is no number from 0 to 65535")));
    Ok((host, number.transpose()?))
}
