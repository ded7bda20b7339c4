//! Records of a running gateway, read by us and by readers that share no code with ours.

use pump_core::record::{Codec, Kind};

use crate::fixture::{differences, entries, full};
use crate::{msgpack_model, protobuf_model};

#[test]
fn real_transactions_in_msgpack_are_read_as_another_reader_reads_them() {
    let entries = entries("real/transactions.msgpack.lp");
    assert_eq!(entries.len(), 2000);
    for entry in entries {
        let ours = full(Kind::Transaction, Codec::Msgpack, &entry).expect("sound");
        let theirs = msgpack_model::transaction(&entry).expect("sound");
        assert_eq!(differences(&ours[0], &theirs), Vec::<String>::new());
        assert_eq!(ours.len(), 1);
    }
}

#[test]
fn real_transactions_in_protobuf_are_read_as_another_reader_reads_them() {
    let entries = entries("real/transactions.protobuf.lp");
    assert_eq!(entries.len(), 77);
    for entry in entries {
        let ours = full(Kind::Transaction, Codec::Protobuf, &entry).expect("sound");
        let theirs = protobuf_model::transaction(&entry).expect("sound");
        assert_eq!(differences(&ours[0], &theirs), Vec::<String>::new());
    }
}

#[test]
fn real_uptime_records_are_read_as_another_reader_reads_them() {
    let entries = entries("real/uptime.msgpack.lp");
    assert_eq!(entries.len(), 15);
    for entry in entries {
        let ours = full(Kind::Uptime, Codec::Msgpack, &entry).expect("sound");
        let theirs = msgpack_model::uptime(&entry).expect("sound");
        assert_eq!(differences(&ours[0], &theirs), Vec::<String>::new());
    }
}
