//! Each line of a script that keeps records is taken out or changed, and the interleaving that needs it
//! is played: with the line nothing is lost, without it records are.

use std::time::Duration;

use super::super::calls::Acked;
use super::super::scripts::ScriptTexts;
use super::{Bench, LEASE, LIST, changed, owned};

/// The scripts as they are, and with one changed.
fn sound_and(change: impl Fn(&mut ScriptTexts)) -> [(bool, ScriptTexts); 2] {
    let mut mutant = ScriptTexts::default();
    change(&mut mutant);
    [(true, ScriptTexts::default()), (false, mutant)]
}

pub(super) fn without_persist_after_seal(texts: &mut ScriptTexts) {
    texts.seal = changed(&texts.seal, "redis.call('PERSIST', KEYS[5])", "");
}

#[tokio::test]
async fn without_persist_the_gateways_time_to_live_takes_a_sealed_segment() {
    for (is_sound, texts) in sound_and(without_persist_after_seal) {
        let bench = Bench::with(&texts);
        bench.push(&["a", "b"]).expect("taken");
        redis::cmd("PEXPIRE").arg(LIST).arg(300).exec(&mut bench.redis.connection()).expect("set");
        assert_eq!(bench.seal("segment", "first", LEASE).await, Some(2));
        tokio::time::sleep(Duration::from_millis(350)).await;
        let left = bench.read("segment", "first", 0).await.expect("held").1;
        assert_eq!(left.len(), if is_sound { 2 } else { 0 });
    }
}

#[tokio::test]
async fn a_relative_trim_takes_unread_records_when_it_is_repeated() {
    let relative = |texts: &mut ScriptTexts| {
        texts.ack = changed(&texts.ack, "tonumber(ARGV[2]) - base", "tonumber(ARGV[2])");
    };
    for (is_sound, texts) in sound_and(relative) {
        let bench = Bench::with(&texts);
        let segment = bench.sealed(&["a", "b", "c", "d"]).await;
        // The first answer was lost, so the call is made again.
        bench.ack(&segment, "first", 2, LEASE).await;
        bench.ack(&segment, "first", 2, LEASE).await;
        let left = bench.read(&segment, "first", 2).await.map(|(_, texts)| texts);
        assert_eq!(left, is_sound.then(|| owned(&["c", "d"])));
    }
}

#[tokio::test]
async fn a_rename_over_a_segment_of_the_same_name_takes_its_records() {
    let overwriting = |texts: &mut ScriptTexts| {
        texts.seal = changed(
            &texts.seal,
            "if redis.call('RENAMENX', KEYS[1], KEYS[5]) == 0 then",
            "redis.call('RENAME', KEYS[1], KEYS[5]) if false then",
        );
    };
    for (is_sound, texts) in sound_and(overwriting) {
        let bench = Bench::with(&texts);
        let segment = bench.sealed(&["a", "b"]).await;
        bench.push(&["c"]).expect("taken");
        let again = bench.seal(&segment, "second", LEASE).await;
        let left = bench.read(&segment, if is_sound { "first" } else { "second" }, 0).await.expect("held").1;
        match is_sound {
            true => assert_eq!((again, left), (None, owned(&["a", "b"]))),
            false => assert_eq!((again, left), (Some(1), owned(&["c"]))),
        }
    }
}

/// The check is a second line of defence: what a former holder settles it has delivered, and the trim
/// is absolute. Without the check a former holder harms nobody; it only does not learn what it is.
#[tokio::test]
async fn without_the_token_check_a_former_holder_goes_unnoticed_but_loses_nothing() {
    let trusting = |texts: &mut ScriptTexts| {
        texts.ack = changed(&texts.ack, "redis.call('HGET', KEYS[2], KEYS[4]) ~= ARGV[1]", "false");
    };
    for (is_sound, texts) in sound_and(trusting) {
        let bench = Bench::with(&texts);
        let segment = bench.sealed(&["a", "b", "c"]).await;
        bench.ack(&segment, "first", 0, Duration::ZERO).await;
        assert!(bench.steal(&segment, "second").await.is_some());
        // The former holder has delivered two by now.
        let late = bench.ack(&segment, "first", 2, LEASE).await;
        let left = bench.read(&segment, "second", 0).await.expect("held").1;
        match is_sound {
            true => assert_eq!((late, left), (Acked::Stale, owned(&["a", "b", "c"]))),
            false => assert_eq!((late, left), (Acked::Left(1), owned(&["c"]))),
        }
    }
}
