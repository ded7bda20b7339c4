use std::time::Duration;

use pump_core::Randomness;
use pump_core::record::{Codec, Kind};
use pump_testing::{RedisOptions, RedisServer};

use super::super::calls::{Ack, Acked, Calls};
use super::super::keys::ListKeys;
use super::super::scripts::ScriptTexts;
use super::super::server::{Looks, Search};
use super::{Bench, LEASE, LIST, owned, server};

#[tokio::test]
async fn a_segment_is_sealed_read_settled_and_gone_without_a_trace() {
    let bench = Bench::new();
    assert_eq!(bench.seal("segment", "first", LEASE).await, None, "there is no list");
    let segment = bench.sealed(&["a", "", "ccc"]).await;
    assert_eq!(bench.read(&segment, "first", 0).await, Some((0, owned(&["a", "", "ccc"]))));
    assert_eq!(bench.ack(&segment, "first", 1, LEASE).await, Acked::Left(2));
    assert_eq!(bench.read(&segment, "first", 2).await, Some((2, owned(&["ccc"]))));
    // Below the head there is nothing any more: what is left comes, with its offset.
    assert_eq!(bench.read(&segment, "first", 0).await, Some((1, owned(&["", "ccc"]))));
    assert_eq!(bench.read(&segment, "first", 3).await, Some((3, Vec::new())));
    assert_eq!(bench.ack(&segment, "first", 3, LEASE).await, Acked::Left(0));
    assert_eq!(bench.redis.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn only_the_holder_reads_and_removes() {
    let bench = Bench::new();
    let segment = bench.sealed(&["a", "b"]).await;
    assert_eq!(bench.read(&segment, "stranger", 0).await, None);
    assert_eq!(bench.ack(&segment, "stranger", 2, LEASE).await, Acked::Stale);
    assert_eq!(bench.steal(&segment, "stranger").await, None, "its lease has not passed");
    assert_eq!(bench.read(&segment, "first", 0).await, Some((0, owned(&["a", "b"]))));
}

#[tokio::test]
async fn a_passed_lease_is_taken_over_with_what_is_left() {
    let bench = Bench::new();
    let segment = bench.sealed(&["a", "b", "c"]).await;
    bench.ack(&segment, "first", 1, Duration::from_millis(20)).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(bench.steal(&segment, "second").await, Some(1..3));
    assert_eq!(bench.ack(&segment, "first", 3, LEASE).await, Acked::Stale);
    assert_eq!(bench.read(&segment, "second", 1).await, Some((1, owned(&["b", "c"]))));
}

#[tokio::test]
async fn what_is_sealed_for_nobody_or_given_back_can_be_taken_at_once() {
    let bench = Bench::new();
    bench.push(&["a"]).expect("taken");
    assert_eq!(bench.seal("segment", "nobody", Duration::ZERO).await, Some(1));
    assert_eq!(bench.steal("segment", "first").await, Some(0..1));
    assert_eq!(bench.ack("segment", "first", 0, Duration::ZERO).await, Acked::Left(1));
    assert_eq!(bench.steal("segment", "second").await, Some(0..1));
    assert_eq!(bench.read("segment", "first", 0).await, None);
}

/// As a client of a Cluster does by itself when an answer was lost.
#[tokio::test]
async fn a_call_that_is_sent_twice_is_done_once() {
    let bench = Bench::new();
    let segment = bench.sealed(&["a", "b"]).await;
    bench.push(&["c"]).expect("taken");
    assert_eq!(bench.seal(&segment, "first", LEASE).await, Some(2), "the first call took these");
    assert_eq!(bench.ack(&segment, "first", 1, Duration::ZERO).await, Acked::Left(1));
    for _ in 0..2 {
        assert_eq!(bench.steal(&segment, "second").await, Some(1..2));
    }
    assert_eq!(bench.steal(&segment, "third").await, None, "its lease has not passed");
    assert_eq!(bench.seal("another", "third", LEASE).await, Some(1));
}

#[tokio::test]
async fn a_reply_is_bounded_in_bytes_but_one_record_always_comes() {
    let bench = Bench::new();
    let large = "x".repeat(1_000);
    let mut records = vec!["small"; 200];
    records[100] = &large;
    let segment = bench.sealed(&records).await;
    for (offset, bytes, count) in [
        (0, 1 << 20, 200),
        (0, 23, 4),
        (0, 1, 1),
        (90, 1_049, 10),
        (90, 1_050, 11),
        (100, 10, 1),
        (199, 99, 1),
        (200, 99, 0),
    ] {
        let (first, texts) = bench.read_within(&segment, "first", offset, bytes).await.expect("it is held");
        assert_eq!((first, texts.len()), (offset, count), "{bytes} bytes from {offset}");
    }
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let bench = Bench::new();
    let segment = bench.sealed(&["a", "b", "c"]).await;
    let forget = || redis::cmd("SCRIPT").arg("FLUSH").exec(&mut bench.redis.connection()).expect("forgotten");
    forget();
    assert_eq!(bench.read(&segment, "first", 0).await.expect("held").1.len(), 3);
    forget();
    let ack = |offset| Ack { keys: &bench.keys, segment: &segment, token: "first", offset, lease: LEASE };
    let answers = bench.server.ack(&[ack(1), ack(2)]).await.expect("redis answers");
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("no error")).collect();
    assert_eq!(answers, [Acked::Left(2), Acked::Left(1)]);
}

#[tokio::test]
async fn a_look_tells_lengths_times_to_live_and_passed_leases() {
    let bench = Bench::new();
    bench.sealed(&["a"]).await;
    bench.push(&["b"]).expect("taken");
    let nobodys = bench.keys.new_segment(&Randomness::default());
    bench.seal(&nobodys, "nobody", Duration::ZERO).await;
    bench.push(&["c", "d"]).expect("taken");
    redis::cmd("PEXPIRE").arg(LIST).arg(60_000).exec(&mut bench.redis.connection()).expect("set");
    let other = ListKeys::new("other", Kind::Transaction, Codec::Msgpack);
    let states = bench.server.look(&Looks::new(&[bench.keys.clone(), other])).await.expect("redis answers");
    let states: Vec<_> = states.into_iter().map(|state| state.expect("a list")).collect();
    assert_eq!(states[0].length, 2);
    assert!(states[0].ttl.is_some_and(|ttl| ttl > Duration::from_secs(50)));
    assert_eq!(states[0].due_segment, Some(nobodys));
    assert_eq!((states[1].length, states[1].ttl, &states[1].due_segment), (0, None, &None));
}

#[tokio::test]
async fn a_segment_in_no_index_is_registered_again_and_counted_once() {
    let bench = Bench::new();
    let segment = bench.sealed(&["a", "b"]).await;
    redis::cmd("DEL").arg(&*bench.keys.idx).exec(&mut bench.redis.connection()).expect("deleted");
    let lists = [bench.keys.clone()];
    for found in [1, 0] {
        let mut search = Search::default();
        assert_eq!(bench.server.register_lost(&lists, &mut search).await.expect("redis answers"), found);
        assert!(search.is_over(), "there are few keys");
    }
    assert_eq!(bench.steal(&segment, "second").await, Some(0..2));
}

#[tokio::test]
async fn calls_fail_while_the_server_is_away_and_succeed_when_it_is_back() {
    let mut redis = RedisServer::durable();
    let server = server(&redis, &ScriptTexts::default());
    server.ping().await.expect("it is there");
    redis.kill();
    server.ping().await.expect_err("it is away");
    redis.restart();
    let mut tries = 0;
    while let Err(error) = server.ping().await {
        tries += 1;
        assert!(tries < 200, "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_password_is_needed_where_the_server_wants_one() {
    let redis = RedisServer::with(RedisOptions { password: "right", ..RedisOptions::default() });
    server(&redis, &ScriptTexts::default()).ping().await.expect("the right one");
    let wrong = redis::Client::open(redis.url().replace("right", "wrong")).expect("an address");
    let error =
        super::Server::with_scripts(wrong, &ScriptTexts::default()).ping().await.expect_err("the wrong one");
    assert!(!error.to_string().contains("wrong@"), "{error}");
}
