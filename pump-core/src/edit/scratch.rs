//! Where the texts that edits make lie while a record is looked at.

use std::ops::Range;

use crate::record::{IdKey, Text};

/// What a buffer keeps between records. A larger record allocates, and gives it back: one record of
/// 8 MiB must not make every lane keep three times that for good.
const KEPT: usize = 256 << 10;

/// Buffers for what edits make of one record after the other; one for each task that edits.
#[derive(Debug, Default)]
pub struct Scratch {
    out: Vec<u8>,
    /// The texts in the order in which they were written; an empty one leaves its field as it is.
    texts: Vec<Range<usize>>,
    pub(super) decoded: Vec<u8>,
    pub(super) edited: Vec<u8>,
}

/// What stands in for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StandIn {
    Hash,
    Mask,
}

/// What stands in for a value that is masked.
pub(super) const MASK: &[u8] = b"***";

/// A text of at most 16 bytes, in place.
pub(super) struct ShortText {
    bytes: [u8; 16],
    length: usize,
}

impl std::ops::Deref for ShortText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl StandIn {
    /// What stands in for `text`; nothing for an empty one.
    pub(super) fn text(self, text: Text<'_>, id_key: &IdKey) -> ShortText {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = [0; 16];
        let length = match self {
            _ if text.is_empty() => 0,
            Self::Mask => {
                bytes[..MASK.len()].copy_from_slice(MASK);
                MASK.len()
            }
            Self::Hash => {
                let hash = id_key.hash_value(text).to_be_bytes();
                for (digits, byte) in bytes.chunks_exact_mut(2).zip(hash) {
                    digits[0] = DIGITS[usize::from(byte >> 4)];
                    digits[1] = DIGITS[usize::from(byte & 15)];
                }
                bytes.len()
            }
        };
        ShortText { bytes, length }
    }
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        self.texts.clear();
        for buffer in [&mut self.out, &mut self.decoded, &mut self.edited] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
    }

    pub(super) fn write_stand_in(&mut self, stand_in: StandIn, text: Text<'_>, id_key: &IdKey) {
        self.write_text(|out| out.extend_from_slice(&stand_in.text(text, id_key)));
    }

    /// The next field stays as it is.
    pub(super) fn write_unchanged(&mut self) {
        self.write_text(|_| {});
    }

    /// The next field becomes what `edited` holds, in base64.
    pub(super) fn write_edited_as_base64(&mut self) {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        let length =
            base64::encoded_len(self.edited.len(), true).expect("four thirds of a body are addressable");
        let edited = std::mem::take(&mut self.edited);
        self.write_text(|out| {
            let start = out.len();
            out.resize(start + length, 0);
            STANDARD.encode_slice(&edited, &mut out[start..]).expect("the slice has the encoded length");
        });
        self.edited = edited;
    }

    fn write_text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let range = self.write_bytes(write);
        self.texts.push(range);
    }

    /// Bytes that are no field's text; read back with [`Self::bytes`].
    pub(super) fn write_bytes(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.out.len();
        write(&mut self.out);
        start..self.out.len()
    }

    /// The texts in the order in which they were written; `None` leaves the field as it is.
    pub(super) fn texts(&self) -> impl Iterator<Item = Option<Text<'_>>> {
        self.texts.iter().map(|range| (!range.is_empty()).then(|| Text(self.bytes(range.clone()))))
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.out[range]
    }

    #[cfg(test)]
    pub(super) fn capacities(&self) -> [usize; 4] {
        [self.out.capacity(), self.texts.capacity(), self.decoded.capacity(), self.edited.capacity()]
    }
}
