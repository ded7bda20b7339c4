//! At `maxmemory` a script goes on only if its first write needs no memory. Sealed segments are what
//! fills Redis while a sink is down, so a pump must be able to take them over, extend and drain them
//! there, or the server stays full for ever.

use std::time::Duration;

use super::super::calls::{Acked, Calls};
use super::super::scripts::ScriptTexts;
use super::{Bench, LEASE, changed, owned};

pub(super) fn without_persist_in_steal(texts: &mut ScriptTexts) {
    texts.steal = changed(&texts.steal, "redis.call('PERSIST', KEYS[4])", "");
}

pub(super) fn without_persist_in_ack(texts: &mut ScriptTexts) {
    texts.ack = changed(&texts.ack, "redis.call('PERSIST', KEYS[4])", "");
}

/// A list of three, an abandoned segment of two, and not one byte of memory free.
async fn full(texts: &ScriptTexts) -> Bench {
    let bench = Bench::with(texts);
    bench.push(&["a", "b"]).expect("taken");
    bench.seal("abandoned", "nobody", Duration::ZERO).await;
    bench.push(&["c", "d", "e"]).expect("taken");
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut bench.redis.connection()).expect("set");
    let error = bench.push(&["f"]).expect_err("the server is full");
    assert!(error.to_string().contains("OOM"), "{error}");
    bench
}

#[tokio::test]
async fn segments_are_taken_over_extended_read_and_drained_at_full_memory() {
    let bench = full(&ScriptTexts::default()).await;
    assert_eq!(bench.steal("abandoned", "first").await, Some(0..2));
    assert_eq!(bench.read("abandoned", "first", 0).await, Some((0, owned(&["a", "b"]))));
    assert_eq!(bench.ack("abandoned", "first", 0, LEASE).await, Acked::Left(2));
    assert_eq!(bench.ack("abandoned", "first", 1, LEASE).await, Acked::Left(1));
    assert_eq!(bench.ack("abandoned", "first", 2, LEASE).await, Acked::Left(0));
    assert_eq!(bench.seal("segment", "first", LEASE).await, Some(3));
    assert_eq!(bench.ack("segment", "first", 3, LEASE).await, Acked::Left(0));
}

#[tokio::test]
async fn without_a_leading_persist_nobody_can_take_over_what_fills_the_memory() {
    let mut texts = ScriptTexts::default();
    without_persist_in_steal(&mut texts);
    let bench = full(&texts).await;
    let refused = bench.server.steal(&bench.keys, "abandoned", "first", LEASE).await.expect_err("refused");
    assert!(refused.to_string().contains("OOM"), "{refused}");
}

#[tokio::test]
async fn without_a_leading_persist_a_lease_cannot_be_extended_at_full_memory() {
    let mut texts = ScriptTexts::default();
    without_persist_in_ack(&mut texts);
    let bench = full(&texts).await;
    bench.steal("abandoned", "first").await;
    let refused = bench.try_ack("abandoned", "first", 0, LEASE).await.expect_err("refused");
    assert!(refused.to_string().contains("OOM"), "{refused}");
}
