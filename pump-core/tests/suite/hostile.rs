//! Bytes from anybody: nothing panics, and what is accepted is read as another reader reads it.

use proptest::collection::vec;
use proptest::prelude::*;
use pump_core::encode::{CsvEncoder, TykStdoutEncoder};
use pump_core::record::{Codec, Kind};
use serde_json::Value;

use crate::fixture::{differences, encoded, entries, fixture, full, parse};
use crate::{msgpack_model, protobuf_model};

/// One change to an entry.
#[derive(Debug, Clone)]
enum Change {
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    use prop::sample::Index;
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), 1..40_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        2 => (any::<Index>(), vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (any::<Index>(), 1..200_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn changed(mut body: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if body.is_empty() {
            break;
        }
        match change {
            Change::Set(at, byte) => {
                let at = at.index(body.len());
                body[at] = *byte;
            }
            Change::Cut(at) => body.truncate(at.index(body.len())),
            Change::Remove(at, count) => {
                let at = at.index(body.len());
                let end = body.len().min(at + count);
                body.drain(at..end);
            }
            Change::Insert(at, bytes) => {
                let at = at.index(body.len());
                body.splice(at..at, bytes.iter().copied());
            }
            Change::Repeat(at, count) => {
                let at = at.index(body.len());
                let part = body[at..body.len().min(at + count)].to_vec();
                body.splice(at..at, part);
            }
        }
    }
    body
}

/// Small sound records to start from: real ones, and those of the fixtures with everything in them.
fn seeds(codec: Codec) -> Vec<Vec<u8>> {
    let (ending, real) = match codec {
        Codec::Protobuf => ("pb", "real/transactions.protobuf.lp"),
        _ => ("msgpack", "real/transactions.msgpack.lp"),
    };
    let mut seeds: Vec<_> =
        entries(real).into_iter().filter(|entry| entry.len() < 2000).step_by(19).collect();
    for name in ["001", "003", "004", "006", "009", "010", "012", "020", "021", "025"] {
        seeds.push(fixture(&format!("tyk/{name}.{ending}")));
    }
    seeds
}

/// Every encoder gets through what was accepted; gives the records.
fn read(kind: Kind, codec: Codec, body: &[u8]) -> Option<Vec<Value>> {
    let records = full(kind, codec, body);
    assert_eq!(encoded(&CsvEncoder, kind, codec, body).is_some(), records.is_some());
    for line in encoded(&TykStdoutEncoder, kind, codec, body).unwrap_or_default() {
        serde_json::from_str::<Value>(&line).expect(&line);
    }
    records
}

fn assert_same(ours: &Value, theirs: &Value) {
    let found = differences(ours, theirs);
    let real: Vec<_> = found.iter().filter(|at| theirs.pointer(at) != Some(&"unknown".into())).collect();
    assert!(real.is_empty(), "{real:?}\nours   {ours}\ntheirs {theirs}");
}

fn assert_msgpack_agrees(kind: Kind, body: &[u8]) {
    let (ours, theirs) = match kind {
        Kind::Uptime => (read(kind, Codec::Msgpack, body), msgpack_model::uptime(body)),
        _ => (read(kind, Codec::Msgpack, body), msgpack_model::transaction(body)),
    };
    let Some(ours) = ours else {
        // What we refuse the model refuses too, unless it nests deeper than it may, or has the byte that
        // msgpack never uses, which the generic decoder takes for nil.
        let refused = &parse(kind, Codec::Msgpack, body).undecodable[0].error;
        let is_known = refused.code == "too_deep" || body.contains(&0xc1);
        assert!(is_known || theirs.is_none(), "{refused}");
        return;
    };
    match theirs {
        Some(theirs) => assert_same(&ours[0], &theirs),
        // The generic decoder cannot see the head of an extension type as a part of a map.
        None => assert!(body.iter().any(|byte| matches!(byte, 0xd4..=0xd8 | 0xc7..=0xc9)), "only we take it"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(body in vec(any::<u8>(), 0..300)) {
        read(Kind::Transaction, Codec::Msgpack, &body);
        read(Kind::Uptime, Codec::Msgpack, &body);
        read(Kind::Transaction, Codec::Protobuf, &body);
    }

    #[test]
    fn a_changed_msgpack_record_is_refused_or_read_as_another_reader_reads_it(
        seed in prop::sample::select(seeds(Codec::Msgpack)), changes in vec(change(), 1..4)
    ) {
        let body = changed(seed, &changes);
        if !body.is_empty() {
            assert_msgpack_agrees(Kind::Transaction, &body);
        }
    }

    #[test]
    fn a_changed_uptime_record_is_refused_or_read_as_another_reader_reads_it(
        seed in prop::sample::select(entries("real/uptime.msgpack.lp")), changes in vec(change(), 1..4)
    ) {
        let body = changed(seed, &changes);
        if !body.is_empty() {
            assert_msgpack_agrees(Kind::Uptime, &body);
        }
    }

    #[test]
    fn a_changed_protobuf_record_is_refused_or_read_as_another_reader_reads_it(
        seed in prop::sample::select(seeds(Codec::Protobuf)), changes in vec(change(), 1..4)
    ) {
        let body = changed(seed, &changes);
        // prost refuses a known field of another wire type, which is skipped as Go skips it.
        if let Some(theirs) = protobuf_model::transaction(&body).filter(|_| !body.is_empty()) {
            let ours = read(Kind::Transaction, Codec::Protobuf, &body).expect("prost takes it");
            assert_same(&ours[0], &theirs);
        } else {
            read(Kind::Transaction, Codec::Protobuf, &body);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_like_json_is_an_object_or_refused(body in "[ \\n{}\\[\\]\":,a\\\\u0-9.eE+tfn-]{0,60}") {
        let ours = full(Kind::Event, Codec::Json, body.as_bytes());
        let theirs = serde_json::from_str::<Value>(&body).ok().filter(Value::is_object);
        // The other reader refuses lone surrogates and numbers too large, which are sound JSON all the same.
        if let Some(theirs) = theirs {
            assert_same(&ours.expect("it is an object")[0], &theirs);
        }
    }
}

#[test]
fn claimed_lengths_cost_nothing() {
    // Each claims billions of values, or bytes, and ends there.
    for rest in [
        &b"\xa4Tags\xdd\xff\xff\xff\xff"[..],
        b"\xa3Geo\xdf\xff\xff\xff\xff",
        b"\xa1x\xdd\xff\xff\xff\xff",
        b"\xa1x\xdf\xff\xff\xff\xff",
        b"\xa4Path\xdb\xff\xff\xff\xff",
        b"\xacGraphQLStats\x81\xa5Types\xdf\xff\xff\xff\xff",
        b"\xacGraphQLStats\x81\xa6Errors\xdd\xff\xff\xff\xff",
    ] {
        let body = [b"\x81", rest].concat();
        assert!(full(Kind::Transaction, Codec::Msgpack, &body).is_none(), "{rest:?}");
    }
    for body in [&b"\x0a\xff\xff\xff\xff\x0f"[..], b"\xca\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"] {
        assert!(full(Kind::Transaction, Codec::Protobuf, body).is_none(), "{body:?}");
    }
}

#[test]
fn values_may_nest_32_deep_and_no_deeper() {
    let unknown = |depth: usize| [b"\x81\xa1x".to_vec(), vec![0x91; depth], vec![0x01]].concat();
    assert!(full(Kind::Transaction, Codec::Msgpack, &unknown(31)).is_some());
    assert!(full(Kind::Transaction, Codec::Msgpack, &unknown(32)).is_none());
    let path = |depth: usize| {
        [b"\x81\xacGraphQLStats\x81\xa6Errors\x91\x81\xa4Path".to_vec(), vec![0x91; depth], vec![0x01]]
            .concat()
    };
    assert!(full(Kind::Transaction, Codec::Msgpack, &path(28)).is_some());
    assert!(full(Kind::Transaction, Codec::Msgpack, &path(29)).is_none());
    let groups =
        |depth: usize| [vec![0xcb_u8; 0], [0xcb, 0x3e].repeat(depth), [0xcc, 0x3e].repeat(depth)].concat();
    assert!(full(Kind::Transaction, Codec::Protobuf, &groups(32)).is_some());
    assert!(full(Kind::Transaction, Codec::Protobuf, &groups(33)).is_none());
}
