//! What a document looks like: as Tyk Pump writes it, or every field with types that can be searched.

mod full;
#[cfg(test)]
mod tests;
mod tyk;

use pump_core::encode::{Additions, json};
use pump_core::record::{Text, Timestamp, View, Zone};

pub(super) use full::FullDocument;
pub(super) use tyk::TykDocument;

/// A document that is being written: members with a comma before each, and the first comma becomes
/// the opening brace.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    begin: usize,
}

impl<'o> Members<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        let begin = out.len();
        Self { out, begin }
    }

    /// Where the value of a member of that name goes.
    fn value(&mut self, name: &'static str) -> &mut Vec<u8> {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn text(&mut self, name: &'static str, text: Text<'_>) {
        json::string(text, self.value(name));
    }

    fn int(&mut self, name: &'static str, number: i64) {
        json::int(number, self.value(name));
    }

    fn bool(&mut self, name: &'static str, is_true: bool) {
        json::bool(is_true, self.value(name));
    }

    /// A text, unless there is none: an empty keyword says nothing, and an empty `ip` is an error.
    fn some_text(&mut self, name: &'static str, text: Text<'_>) {
        if !text.is_empty() {
            self.text(name, text);
        }
    }

    fn time(&mut self, name: &'static str, time: Timestamp, zone: &Zone) {
        json::time(time, zone, self.value(name));
    }

    /// An object within; left out when nothing is written into it.
    fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Members<'_>)) {
        let before = self.out.len();
        let mut members = Members::begin(self.value(name));
        write(&mut members);
        if members.is_empty() {
            self.out.truncate(before);
        } else {
            members.close();
        }
    }

    fn is_empty(&self) -> bool {
        self.out.len() == self.begin
    }

    fn end(self, additions: &Additions) {
        self.out.extend_from_slice(additions.members());
        self.close();
    }

    fn close(self) {
        match self.out.get_mut(self.begin) {
            Some(comma) => *comma = b'{',
            None => self.out.push(b'{'),
        }
        self.out.push(b'}');
    }
}

/// The time that a data stream sorts a record by, which each of its documents must have: the record's
/// own, or else when it was received.
fn stream_time(view: &View<'_>, received: Timestamp) -> Timestamp {
    view.time(received).unwrap_or(received)
}
