//! No input crashes, hangs or bloats: whatever comes in, it is a sound record or a dead letter, and a
//! sound record can be encoded into valid JSON.

use proptest::prelude::*;
use pump_core::encode::{CsvEncoder, FullEncoder, TykStdoutEncoder};
use pump_core::record::{Codec, Kind};

use crate::fixture::{encode_first, entries, parse};

const FORMS: [(Kind, Codec); 4] = [
    (Kind::Transaction, Codec::Msgpack),
    (Kind::Transaction, Codec::Protobuf),
    (Kind::Uptime, Codec::Msgpack),
    (Kind::Event, Codec::Json),
];

fn check(body: &[u8]) {
    for (kind, codec) in FORMS {
        let parsed = parse(kind, codec, body);
        assert!(!parsed.chunk.is_empty() || parsed.undecodable.len() == 1);
        if parsed.chunk.is_empty() {
            continue;
        }
        for encoder in [&FullEncoder as &dyn pump_core::encode::Encoder, &TykStdoutEncoder] {
            let out = encode_first(encoder, &parsed.chunk);
            serde_json::from_slice::<serde::de::IgnoredAny>(&out)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)));
        }
        encode_first(&CsvEncoder, &parsed.chunk);
    }
}

/// What is done to a real record's bytes.
#[derive(Debug, Clone)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        at().prop_map(Damage::Cut),
        (at(), prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at(), 1..20u8).prop_map(|(at, count)| Damage::Remove(at, count)),
    ]
}

fn apply(body: &mut Vec<u8>, damage: &Damage) {
    if body.is_empty() {
        return;
    }
    match damage {
        Damage::Flip(at, bit) => {
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
        }
        Damage::Set(at, byte) => {
            let at = at.index(body.len());
            body[at] = *byte;
        }
        Damage::Cut(at) => body.truncate(at.index(body.len())),
        Damage::Insert(at, bytes) => {
            let at = at.index(body.len());
            body.splice(at..at, bytes.iter().copied());
        }
        Damage::Remove(at, count) => {
            let at = at.index(body.len());
            let end = body.len().min(at + usize::from(*count));
            body.drain(at..end);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_a_record_or_a_dead_letter(body in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&body);
    }

    #[test]
    fn damaged_records_are_a_record_or_a_dead_letter(
        which in any::<prop::sample::Index>(),
        is_protobuf in any::<bool>(),
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        thread_local! {
            static ENTRIES: [Vec<Vec<u8>>; 2] =
                [entries("transactions.msgpack.lp"), entries("transactions.protobuf.lp")]
                    .map(|entries| entries.into_iter().filter(|entry| entry.len() < 4_000).collect());
        }
        let mut body = ENTRIES.with(|entries| {
            let entries = &entries[usize::from(is_protobuf)];
            entries[which.index(entries.len())].clone()
        });
        damages.iter().for_each(|damage| apply(&mut body, damage));
        check(&body);
    }

    #[test]
    fn json_like_text_is_a_record_or_a_dead_letter(body in "[ \\n{}\\[\\]\":,a\\\\u0-9.eE+tfn-]{0,60}") {
        check(body.as_bytes());
    }
}

#[test]
fn claimed_lengths_cost_nothing() {
    // Lengths of 4 GiB, and nesting of thousands, in a few bytes each.
    for body in [
        &[0xdf, 0xff, 0xff, 0xff, 0xff][..],
        &[0x81, 0xa4, b'T', b'a', b'g', b's', 0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0x81, 0xa4, b'P', b'a', b't', b'h', 0xdb, 0xff, 0xff, 0xff, 0xff],
        &[0xa2, 0x01, 0xff, 0xff, 0xff, 0xff, 0x07],
    ] {
        check(body);
    }
    let mut nested = vec![0x81, 0xa1, b'x'];
    nested.extend(std::iter::repeat_n(0x91, 100_000));
    check(&nested);
    check(&[b'['; 100_000]);
    check("{\"a\":".repeat(100_000).as_bytes());
}
