//! What the operator has to be told: expiry, memory, eviction, foreign readers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pump_core::plugin::{Port, SourceError};
use serde_json::json;
use tokio::time::Instant;
use tracing::{error, warn};

use super::calls::{ListState, Memory};
use super::config::{Eviction, OnMemory, RedisListConfig};
use super::keys::ListKeys;

/// A gateway's TTL below which an outage of the pump soon costs records.
const SHORT_TTL: Duration = Duration::from_secs(600);
/// Redis is nearly full from here on, in percent of `maxmemory`.
const NEARLY_FULL: u64 = 80;

/// Remembers what was seen and said.
#[derive(Debug, Default)]
pub(super) struct Watch {
    before: HashMap<Arc<str>, (ListState, Instant)>,
    has_warned_of_ttl: bool,
    is_full: bool,
}

impl Watch {
    /// Says what is wrong with the server's settings. An error when records could vanish at any time.
    pub(super) fn settings(
        &self,
        memory: &Memory,
        has_seen_tyk_pump: bool,
        config: &RedisListConfig,
        source: &str,
    ) -> Result<(), SourceError> {
        if memory.policy.starts_with("allkeys") && memory.max > 0 {
            if config.eviction == Eviction::Refuse {
                return Err(SourceError::new(format!(
                    "redis may evict any key (maxmemory-policy {}), so records can vanish before they are read: \
                     set the policy to noeviction, or say `eviction: accept` in the pipeline file",
                    memory.policy
                )));
            }
            warn!(source, policy = memory.policy, "redis may evict records before they are read");
        } else if memory.policy.starts_with("volatile") && memory.max > 0 {
            warn!(
                source,
                policy = memory.policy,
                "redis may evict the gateway's lists when it is full, since they have a TTL; sealed segments stay"
            );
        }
        if has_seen_tyk_pump {
            warn!(
                source,
                "Tyk Pump has used this redis (version-check-pump is there): if it still reads the same lists, it takes \
                 its share away"
            );
        }
        Ok(())
    }

    /// Compares a list with how it was. Returns how many records have expired unread.
    pub(super) fn list(&mut self, now: Instant, keys: &ListKeys, state: &ListState, port: &Port) -> u64 {
        if let Some(ttl) = state.ttl
            && ttl < SHORT_TTL
            && !self.has_warned_of_ttl
        {
            self.has_warned_of_ttl = true;
            warn!(
                source = &**port.name(),
                ttl_seconds = ttl.as_secs(),
                "the gateway's lists expire: records that wait longer than that while no pump runs are lost; set \
                 storage_expiration_time in the gateway's analytics_config to -1 or to hours"
            );
        }
        let before = self.before.insert(keys.list.clone(), (state.clone(), now));
        let Some((before, seen)) = before else { return 0 };
        // What was there had to expire by now, and nobody sealed it: we would have forgotten it then.
        let is_expired = before.length > 0
            && before.ttl.is_some_and(|ttl| now.saturating_duration_since(seen) >= ttl)
            && state.length < before.length;
        if !is_expired {
            return 0;
        }
        error!(
            source = &**port.name(),
            list = &*keys.list,
            records = before.length,
            "records expired unread"
        );
        let details = [("list", json!(&*keys.list)), ("count", json!(before.length))];
        port.news().post(
            "expired",
            "records left Redis by the gateway's TTL before they were read",
            &details,
        );
        before.length
    }

    /// The list was taken, so it cannot expire any more.
    pub(super) fn sealed(&mut self, keys: &ListKeys) {
        self.before.remove(&keys.list);
    }

    /// Whether lists may still be sealed, given how full Redis is.
    pub(super) fn memory(&mut self, memory: &Memory, config: &RedisListConfig, source: &str) -> bool {
        let is_full = memory.max > 0 && memory.used * 100 >= memory.max * NEARLY_FULL;
        if is_full && !self.is_full {
            let (used, max) = (memory.used, memory.max);
            match config.on_memory {
                OnMemory::Warn => error!(
                    source,
                    used,
                    max,
                    "redis is nearly full of records that wait for a sink: mend the sink, or give redis memory"
                ),
                OnMemory::ReturnToTtl => error!(
                    source,
                    used,
                    max,
                    "redis is nearly full: lists are left to the gateway's TTL, and what expires is lost"
                ),
            }
        }
        self.is_full = is_full;
        !(is_full && config.on_memory == OnMemory::ReturnToTtl)
    }
}
