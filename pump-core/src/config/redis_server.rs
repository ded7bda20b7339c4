//! Where a Redis is and who we are to it: the keys that every section with a Redis has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::HostPort;
use super::redis_url::RedisUrl;
use super::secret::Secret;
use super::tls::TlsConfig;

/// What kind of installation a Redis is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedisMode {
    /// One server.
    #[default]
    Standalone,
    /// A primary that Sentinels know.
    Sentinel,
    /// A Cluster.
    Cluster,
}

/// Where a Redis is, as it is written; [`with_redis_keys`](crate::config::with_redis_keys) has the
/// descriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the key of its name")]
pub struct RedisServer {
    pub url: Option<RedisUrl>,
    pub nodes: Option<Vec<HostPort>>,
    pub mode: RedisMode,
    pub master: Option<String>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub database: Option<u32>,
    pub sentinel_username: Option<String>,
    pub sentinel_password: Option<Secret>,
    pub tls: Option<TlsConfig>,
}

impl RedisServer {
    /// What is wrong between its keys: a key, and what to write instead.
    pub fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        let nodes = self.nodes.as_ref().map_or(0, Vec::len);
        let scheme = self.url.as_ref().map(RedisUrl::scheme);
        let tls = self.tls.as_ref().and_then(|tls| tls.identity().err()).map(|message| ("tls", message));
        let is_sentinel = self.mode == RedisMode::Sentinel;
        let has_sentinel_keys = self.sentinel_username.is_some() || self.sentinel_password.is_some();
        let has_password =
            self.password.is_some() || self.url.as_ref().is_some_and(|url| url.expose().contains('@'));
        let database = self.database.unwrap_or_else(|| self.url.as_ref().map_or(0, RedisUrl::database));
        let rules = [
            (
                self.url.is_some() && self.nodes.is_some(),
                "nodes",
                "`url` and `nodes` both say where the servers are: take one of them out",
            ),
            (
                is_sentinel && self.nodes.is_none(),
                "mode",
                "with `mode: sentinel`, `nodes` lists the Sentinels, such as `[sentinel-1:26379, sentinel-2:26379]`, \
                 instead of `url`",
            ),
            (
                self.url.is_none() && self.nodes.is_none(),
                "",
                "where is Redis? Write `url: redis://HOST:6379/0`, or `nodes` for Sentinels or a Cluster",
            ),
            (
                self.mode == RedisMode::Standalone && nodes > 1,
                "nodes",
                "several nodes need `mode: sentinel` or `mode: cluster`; a standalone server is one",
            ),
            (
                is_sentinel && self.master.is_none(),
                "mode",
                "with `mode: sentinel`, `master` is the name under which the Sentinels know the primary, such as \
                 `mymaster`",
            ),
            (
                !is_sentinel && self.master.is_some(),
                "master",
                "only Sentinels know a primary by its name: add `mode: sentinel`",
            ),
            (
                !is_sentinel && has_sentinel_keys,
                if self.sentinel_password.is_some() { "sentinel_password" } else { "sentinel_username" },
                "there are no Sentinels to log in to: add `mode: sentinel`, or take this out",
            ),
            (
                self.sentinel_username.is_some() && self.sentinel_password.is_none(),
                "sentinel_username",
                "a user logs in with a password: add `sentinel_password`",
            ),
            (
                self.mode == RedisMode::Cluster && scheme == Some("unix"),
                "url",
                "a Cluster has no Unix socket: write `nodes`, a few of its servers",
            ),
            (
                self.mode == RedisMode::Cluster && database != 0,
                if self.database.is_some() { "database" } else { "url" },
                "a Cluster has database 0 only",
            ),
            (
                self.tls.is_some() && scheme == Some("redis"),
                "tls",
                "`redis://` is not encrypted: write `rediss://`, or take `tls` out",
            ),
            (self.tls.is_some() && scheme == Some("unix"), "tls", "a Unix socket has no TLS: take `tls` out"),
            (
                self.username.is_some() && !has_password,
                "username",
                "a user logs in with a password: add `password` (any, for a user with `nopass`)",
            ),
        ];
        let found = rules.into_iter().find(|(is_broken, ..)| *is_broken).map(|(_, key, text)| (key, text));
        found.or(tls)
    }

    /// Which database of which servers it is, such as `127.0.0.1:6379/0`: two that share one of these are
    /// the same, however they are written.
    pub fn places(&self) -> Vec<String> {
        let database = self.database.unwrap_or_else(|| self.url.as_ref().map_or(0, RedisUrl::database));
        if self.mode == RedisMode::Cluster {
            // Any of its servers leads to all of it.
            return vec!["a cluster".into()];
        }
        let host =
            |node: &HostPort| if node.host == "localhost" { "127.0.0.1".into() } else { node.host.clone() };
        let nodes = self.nodes.iter().flatten().map(|node| format!("{}:{}", host(node), node.port));
        let servers = self.url.iter().map(RedisUrl::server).chain(nodes);
        servers.map(|server| format!("{}/{database}", server.to_ascii_lowercase())).collect()
    }

    /// Where it is, without passwords: for whoever lists what a pump speaks to.
    pub fn targets(&self) -> Vec<String> {
        let nodes = self.nodes.iter().flatten().map(HostPort::to_string);
        self.url.iter().map(RedisUrl::to_string).chain(nodes).collect()
    }
}

/// A configuration type with the keys of a [`RedisServer`] before its own, and a method `redis` that
/// gives them. (serde's `flatten` would lose the place of an error and the strictness of the keys.)
#[macro_export]
#[doc(hidden)]
macro_rules! with_redis_keys {
    ($(#[$attribute:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$attribute])*
        pub struct $name {
            /// The server: `redis://127.0.0.1:6379/0`, `rediss://…` with TLS, or `unix:///run/redis.sock`.
            #[serde(default)]
            pub url: Option<$crate::config::RedisUrl>,
            /// The Sentinels, or some servers of a Cluster, each `host:port`; instead of `url`.
            #[serde(default)]
            #[schemars(length(min = 1))]
            pub nodes: Option<Vec<$crate::config::HostPort>>,
            /// What kind of installation it is.
            #[serde(default)]
            pub mode: $crate::config::RedisMode,
            /// The name under which the Sentinels know the primary.
            #[serde(default)]
            #[schemars(length(min = 1))]
            pub master: Option<String>,
            /// The user; overrides the one in `url`.
            #[serde(default)]
            pub username: Option<String>,
            /// The password; overrides the one in `url`.
            #[serde(default)]
            pub password: Option<$crate::config::Secret>,
            /// The number of the database; overrides the one in `url`.
            #[serde(default)]
            pub database: Option<u32>,
            /// The user of the Sentinels themselves.
            #[serde(default)]
            pub sentinel_username: Option<String>,
            /// The password of the Sentinels themselves.
            #[serde(default)]
            pub sentinel_password: Option<$crate::config::Secret>,
            /// TLS: on with `rediss://`, or with `nodes` when this is there (`{}` for the system's authorities).
            #[serde(default)]
            pub tls: Option<$crate::config::TlsConfig>,
            $($own)*
        }

        impl $name {
            /// Where the Redis is.
            pub fn redis(&self) -> $crate::config::RedisServer {
                $crate::config::RedisServer {
                    url: self.url.clone(),
                    nodes: self.nodes.clone(),
                    mode: self.mode,
                    master: self.master.clone(),
                    username: self.username.clone(),
                    password: self.password.clone(),
                    database: self.database,
                    sentinel_username: self.sentinel_username.clone(),
                    sentinel_password: self.sentinel_password.clone(),
                    tls: self.tls.clone(),
                }
            }
        }
    };
}
