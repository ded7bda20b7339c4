//! The keys in Redis: those of the gateway, and those that pumps keep beside each.
//!
//! For a gateway's list `K` there are `{K}:pump:idx` (sorted set: segment → end of its lease in ms),
//! `{K}:pump:own` (hash: segment → token of its holder), `{K}:pump:base` (hash: segment → offset of its
//! head) and the segments themselves, `{K}:pump:seg:<uuid>` (lists). A key without braces hashes as a
//! whole and `{K}:…` hashes `K`, so all of them lie in one slot of a cluster; a hash tag that is there
//! already is used again.

use std::sync::Arc;

use pump_core::Randomness;
use pump_core::record::{Codec, Kind};

/// The gateway's only list, and the stem of the ten others.
const TRANSACTIONS: &str = "tyk-system-analytics";
/// Health checks; this key has a prefix of its own.
const UPTIME: &str = "host-checker:tyk-uptime-analytics";

/// One list of the gateway and what pumps keep beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListKeys {
    /// The list that gateways push to.
    pub(super) list: Arc<str>,
    pub(super) idx: Arc<str>,
    pub(super) own: Arc<str>,
    pub(super) base: Arc<str>,
    /// What the names of its segments begin with.
    pub(super) segments: Arc<str>,
    pub(super) kind: Kind,
    pub(super) codec: Codec,
}

impl ListKeys {
    pub(super) fn new(list: &str, kind: Kind, codec: Codec) -> Self {
        // Redis takes the first brace and the first closing one after it, if something is between.
        let tag = list.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
        let has_tag = tag.is_some_and(|tag| !tag.is_empty());
        let stem = if has_tag { list.to_owned() } else { format!("{{{list}}}") };
        Self {
            list: list.into(),
            idx: format!("{stem}:pump:idx").into(),
            own: format!("{stem}:pump:own").into(),
            base: format!("{stem}:pump:base").into(),
            segments: format!("{stem}:pump:seg:").into(),
            kind,
            codec,
        }
    }

    /// A name for a new segment: later ones sort behind earlier ones.
    pub(super) fn new_segment(&self, randomness: &Randomness) -> Arc<str> {
        format!("{}{}", self.segments, randomness.uuid_v7()).into()
    }
}

/// The lists to read: those named, or all that a gateway writes.
pub(super) fn lists(prefix: &str, named: Option<&[String]>, codec: Option<Codec>) -> Vec<ListKeys> {
    let list = |name: &str| {
        let is_uptime = name.ends_with("tyk-uptime-analytics");
        let kind = if is_uptime { Kind::Uptime } else { Kind::Transaction };
        let written = if name.ends_with("_protobuf") { Codec::Protobuf } else { Codec::Msgpack };
        // The uptime list has its full name; the others stand behind the prefix.
        let key = if is_uptime { name.to_owned() } else { format!("{prefix}{name}") };
        ListKeys::new(&key, kind, codec.unwrap_or(written))
    };
    if let Some(named) = named {
        return named.iter().map(|name| list(name)).collect();
    }
    let mut names = vec![TRANSACTIONS.to_owned()];
    names.extend((0..10).map(|number| format!("{TRANSACTIONS}_{number}")));
    let protobuf: Vec<_> = names.iter().map(|name| format!("{name}_protobuf")).collect();
    names.extend(protobuf);
    names.push(UPTIME.to_owned());
    names.iter().map(|name| list(name)).collect()
}
