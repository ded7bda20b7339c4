//! `/status` and the reasons of `/readyz`.

use pump_core::engine::Monitor;
use pump_core::record::Timestamp;
use serde_json::{Value, json};

use super::Facts;

/// Everything of one moment as JSON.
pub(super) fn status(monitor: &Monitor, facts: &Facts) -> Value {
    let books = monitor.books();
    let now = Timestamp::now();
    let sources = monitor.sources.iter().zip(&books.sources).enumerate().map(|(index, (name, source))| {
        json!({
            "name": &**name,
            "type": facts.source_types.get(index),
            "records": source,
        })
    });
    let applied = facts.applied();
    let lanes = monitor.lanes().zip(&books.lanes).map(|((id, label), lane)| {
        let statistics = monitor.statistics().lane(id);
        json!({
            "name": &*label.name,
            "type": applied.sink_types.get(&*label.name),
            "required": label.is_required,
            "removed": label.is_removed,
            "state": statistics.state,
            "cursor": statistics.cursor,
            "in_flight": statistics.in_flight,
            "max_in_flight": statistics.max_in_flight,
            "lag_seconds": lag_seconds(statistics.oldest_pending, now),
            "last_error": statistics.last_error,
            "records": {
                "accepted": lane.accepted,
                "delivered": lane.delivered,
                "duplicate": lane.duplicate,
                "filtered": lane.filtered,
                "dead_lettered": lane.dead_lettered,
                "left_behind": lane.left_behind,
                "revoked": lane.revoked,
                "pending": lane.pending(),
            },
        })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "config_hash": applied.config_hash,
        "last_reload": applied.last_reload,
        "uptime_seconds": facts.started.elapsed().as_secs(),
        "sources": sources.collect::<Vec<_>>(),
        "log": { "type": facts.log_type, "bytes": monitor.log_size(), "max_bytes": facts.log_max_size },
        "lanes": lanes.collect::<Vec<_>>(),
        "dead_letters": { "trouble": monitor.statistics().dead_letters().trouble },
    })
}

/// Why a load balancer should not count on this pump; empty when it may.
pub(super) fn reasons_not_ready(monitor: &Monitor) -> Vec<Value> {
    let books = monitor.books();
    let sources = monitor.sources.iter().zip(&books.sources).filter_map(|(name, source)| {
        source.trouble.as_ref().map(|reason| json!({ "source": &**name, "reason": reason }))
    });
    let lanes = monitor.lanes().filter_map(|(id, label)| {
        let statistics = monitor.statistics().lane(id);
        (label.is_required && !label.is_removed && !statistics.is_reachable).then(|| {
            let reason = statistics.last_error.as_deref().unwrap_or("was not reached yet");
            json!({ "sink": &*label.name, "state": statistics.state, "reason": reason })
        })
    });
    let letters = monitor.statistics().dead_letters().trouble;
    let letters = letters.map(|reason| json!({ "dead_letters": reason }));
    sources.chain(lanes).chain(letters).collect()
}

/// Age of the oldest record without an outcome; 0 when there is none.
pub(super) fn lag_seconds(oldest: Option<Timestamp>, now: Timestamp) -> f64 {
    oldest.map_or(0.0, |oldest| now.seconds_since(oldest).max(0.0))
}
