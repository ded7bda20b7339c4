//! Where to listen: `127.0.0.1:8083`.

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
