//! Where a Redis server is: `redis://127.0.0.1:6379/0`.

use std::fmt;
use std::str::FromStr;

use super::address::host_and_port;
use super::text_value::{TextError, TextValue, deserialize_text_value};

/// The address of one Redis server, which may hold a password:
/// `redis://[user[:password]@]host[:port][/database]`, the same with `rediss` for TLS, or
/// `unix:///path/of/the.socket`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

const BEGINNING: &str =
    "the address of a Redis server begins with `redis://`, `rediss://` (TLS) or `unix:///`";

impl RedisUrl {
    /// The whole address, for a client; with the password, so not for anything that is printed.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Which server it is, such as `127.0.0.1:6379`: equal for addresses of the same that are written in
    /// different ways. Without user and password.
    pub fn server(&self) -> String {
        if let Some(socket) = self.socket() {
            return socket.to_owned();
        }
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
        let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(0)),
            _ => (server, 6379_u16),
        };
        let host = host.to_ascii_lowercase();
        let host = if host == "localhost" { "127.0.0.1" } else { &host };
        format!("{host}:{port}")
    }

    /// `redis`, `rediss` or `unix`.
    pub fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// The path of the socket of a `unix` address.
    pub fn socket(&self) -> Option<&str> {
        self.0.strip_prefix("unix://")
    }

    /// The number of the database, 0 when there is none.
    pub fn database(&self) -> u32 {
        let number = self.0.rsplit_once('/').filter(|_| self.scheme() != "unix");
        number.and_then(|(_, number)| number.parse().ok()).unwrap_or_default()
    }
}

impl TextValue for RedisUrl {
    const FORMAT: &'static str = "redis-url";
    const EXPECTED: &'static str = "the address of a Redis server, such as `redis://127.0.0.1:6379/0`";
    const PATTERN: &'static str = "^(rediss?://[^/]+(/[0-9]*)?|unix:///.+)$";
    const UNIT: Option<&'static str> = None;
}

impl FromStr for RedisUrl {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(TextError::new(BEGINNING));
        };
        match scheme {
            "redis" | "rediss" => {}
            "unix" => {
                let is_path = rest.len() > 1 && rest.starts_with('/') && !rest.contains(['?', '#']);
                return if is_path {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(TextError::new(
                        "the address of a Unix socket is `unix://` and its whole path, such as \
                         `unix:///run/redis/redis.sock`; user, password and database have keys of their own",
                    ))
                };
            }
            _ => return Err(TextError::new(BEGINNING)),
        }
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // The last @ ends the user's part, so that a forgotten escape in a password shows nothing.
        let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
        host_and_port(server)?;
        if !database.is_empty() && database.parse::<u32>().is_err() {
            return Err(TextError::new("what follows the last `/` is the number of a database"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Without user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        match rest.rsplit_once('@').filter(|_| scheme != "unix") {
            Some((_, server)) => write!(f, "{scheme}://***@{server}"),
            None => write!(f, "{scheme}://{rest}"),
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
            assert_eq!((&*url.server(), url.database()), ("127.0.0.1:6379", 0), "{written}");
        }
        for other in ["redis://127.0.0.1:6380", "redis://[::1]:6379/0", "redis://redis", "unix:///run/redis"]
        {
            let url: RedisUrl = other.parse().unwrap_or_else(|_| panic!("{other}"));
            assert_ne!(url.server(), "127.0.0.1:6379", "{other}");
        }
    }
}
