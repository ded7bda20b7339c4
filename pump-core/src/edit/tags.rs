//! Tags of a transaction: themselves redacted, and where they repeat what is redacted elsewhere.

use std::ops::Range;

use super::scratch::StandIn;
use super::{FieldMode, Scratch, plan};
use crate::record::{IdKey, Text, TextList};

/// What becomes of tags.
#[derive(Debug, Clone)]
pub(super) struct TagRules {
    /// What stands in for every tag.
    every: Option<StandIn>,
    /// Tags that hold a value after a prefix; the first that fits counts.
    prefixes: Box<[Prefix]>,
}

#[derive(Debug, Clone)]
struct Prefix {
    /// Lowercase, with its dash.
    text: Box<[u8]>,
    /// What stands in for the value; without, the tag goes.
    stand_in: Option<StandIn>,
}

/// Tags as msgpack strings, in the scratch.
#[derive(Debug)]
pub(super) struct EditedTags {
    pub(super) range: Range<usize>,
    pub(super) count: u32,
}

/// What becomes of one tag: how many bytes stay, and what stands in for those after them.
struct Edit {
    kept: usize,
    stand_in: Option<StandIn>,
}

impl TagRules {
    /// `tags` and `api_key` are what is done to those fields, `headers` the names of masked headers.
    pub(super) fn new<'a>(
        tags: Option<FieldMode>,
        api_key: Option<FieldMode>,
        headers: impl Iterator<Item = &'a String>,
    ) -> Self {
        let key =
            api_key.map(|mode| Prefix { text: b"key-".as_slice().into(), stand_in: plan::stand_in(mode) });
        let header = |name: &String| Prefix {
            text: format!("{name}-").into_bytes().into(),
            stand_in: Some(StandIn::Mask),
        };
        match tags {
            // Without tags there is nothing to follow.
            Some(FieldMode::Remove) => Self { every: None, prefixes: Box::default() },
            _ => Self {
                every: tags.and_then(plan::stand_in),
                prefixes: key.into_iter().chain(headers.map(header)).collect(),
            },
        }
    }

    /// The tags after the edit; `None` if all stay as they are.
    pub(super) fn edit(
        &self,
        tags: TextList<'_>,
        id_key: &IdKey,
        scratch: &mut Scratch,
    ) -> Option<EditedTags> {
        let has_rules = self.every.is_some() || !self.prefixes.is_empty();
        if !has_rules || !tags.iter().any(|tag| self.rule(tag.bytes()).is_some()) {
            return None;
        }
        let mut count = 0;
        let range = scratch.write_bytes(|out| {
            for tag in tags.iter() {
                let tag = tag.bytes();
                match self.rule(tag) {
                    None => push_string([tag, b""], out),
                    Some(Edit { kept, stand_in: Some(stand_in) }) => {
                        let (prefix, value) = tag.split_at(kept);
                        push_string([prefix, &stand_in.text(Text(value), id_key)], out);
                    }
                    Some(Edit { stand_in: None, .. }) => continue,
                }
                count += 1;
            }
        });
        Some(EditedTags { range, count })
    }

    fn rule(&self, tag: &[u8]) -> Option<Edit> {
        if self.every.is_some() {
            return Some(Edit { kept: 0, stand_in: self.every });
        }
        let prefix = self.prefixes.iter().find(|prefix| {
            let start = tag.get(..prefix.text.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(&prefix.text))
        })?;
        Some(Edit { kept: prefix.text.len(), stand_in: prefix.stand_in })
    }
}

/// Appends a msgpack string that is made of two parts.
fn push_string(parts: [&[u8]; 2], out: &mut Vec<u8>) {
    let length = parts[0].len() + parts[1].len();
    match length {
        0..0x20 => out.push(0xa0 | length as u8),
        0x20..0x100 => out.extend_from_slice(&[0xd9, length as u8]),
        0x100..0x1_0000 => {
            out.push(0xda);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(parts[0]);
    out.extend_from_slice(parts[1]);
}
