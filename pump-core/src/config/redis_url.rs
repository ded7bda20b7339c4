//! Where a Redis server is: `redis://127.0.0.1:6379/0`.

use std::fmt;
use std::str::FromStr;

use super::text_value::{TextError, TextValue, deserialize_text_value};

/// The address of one Redis server, which may hold a password: `redis://[user[:password]@]host[:port][/database]`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The whole address, for a client; with the password, so not for anything that is printed.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Which database of which server it is, such as `127.0.0.1:6379/0`: equal for addresses of the same
    /// that are written in different ways. Without user and password.
    pub fn server(&self) -> String {
        let rest = self.0.strip_prefix("redis://").unwrap_or_default();
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(0)),
            _ => (server, 6379_u16),
        };
        let host = host.to_ascii_lowercase();
        let host = if host == "localhost" { "127.0.0.1" } else { &host };
        format!("{host}:{port}/{}", database.parse::<u32>().unwrap_or(0))
    }
}

impl TextValue for RedisUrl {
    const FORMAT: &'static str = "redis-url";
    const EXPECTED: &'static str = "the address of a Redis server, such as `redis://127.0.0.1:6379/0`";
    const PATTERN: &'static str = "^redis://[^/]+(/[0-9]*)?$";
    const UNIT: Option<&'static str> = None;
}

impl FromStr for RedisUrl {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(TextError::new("the address of a Redis server begins with `redis://`"));
        };
        match scheme {
            "redis" => {}
            "rediss" => return Err(TextError::new("`rediss://` is not in this release")),
            "unix" | "redis+unix" => return Err(TextError::new("a Unix socket is not in this release")),
            _ => return Err(TextError::new("the address of a Redis server begins with `redis://`")),
        }
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // The last @ ends the user's part, so that a forgotten escape in a password shows nothing.
        let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (server, None),
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#')) {
            return Err(TextError::new("the address has no host"));
        }
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err(TextError::new("an IPv6 address stands in brackets, such as `redis://[::1]:6379`"));
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(TextError::new("the port is no number from 0 to 65535"));
        }
        if !database.is_empty() && database.parse::<u32>().is_err() {
            return Err(TextError::new("what follows the last `/` is the number of a database"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Without user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.0.strip_prefix("redis://").unwrap_or_default();
        match rest.rsplit_once('@') {
            Some((_, server)) => write!(f, "redis://***@{server}"),
            None => write!(f, "redis://{rest}"),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

deserialize_text_value!(RedisUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_is_the_same_however_it_is_written() {
        for written in [
            "redis://127.0.0.1",
            "redis://127.0.0.1/",
            "redis://localhost:6379/0",
            "redis://user:p@ss@LOCALHOST/00",
        ] {
            let url: RedisUrl = written.parse().unwrap_or_else(|_| panic!("{written}"));
            assert_eq!(url.server(), "127.0.0.1:6379/0", "{written}");
        }
        for other in
            ["redis://127.0.0.1:6380", "redis://127.0.0.1/1", "redis://[::1]:6379/0", "redis://redis"]
        {
            let url: RedisUrl = other.parse().unwrap_or_else(|_| panic!("{other}"));
            assert_ne!(url.server(), "127.0.0.1:6379/0", "{other}");
        }
    }
}
