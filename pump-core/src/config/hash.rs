//! A number that changes when the configuration does, for `/status`.
//!
//! It is made from the merged files after references were replaced, whatever the order of keys.
//! Secrets count, but only 16 bits of a hash of each go in: whoever knows all the rest and tries
//! passwords is left with one in 65,536 of them, and a changed password still shows nearly always.

use std::fmt;

use highway::{HighwayHash, HighwayHasher, Key};

use super::node::{Entry, Node, Value};
use super::snippet::Disclosure;

/// Equal for equal configurations, also on other machines and after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConfigHash(u64);

impl fmt::Display for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A value that the disclosure does not call public counts as a secret.
pub(super) fn hash<'a>(
    sections: impl IntoIterator<Item = (String, &'a Node)>,
    disclosure: &Disclosure,
) -> ConfigHash {
    let mut sections: Vec<_> = sections.into_iter().collect();
    sections.sort_by(|left, right| left.0.cmp(&right.0));
    let mut hasher = HighwayHasher::new(KEY);
    for (path, node) in sections {
        text(&mut hasher, &path);
        value(&mut hasher, node, disclosure);
    }
    ConfigHash(hasher.finalize64())
}

/// Fixed: the hash must be the same everywhere. A change of what is hashed changes the last word.
const KEY: Key = Key([0x7075_6d70, 0x636f_6e66, 0x6967, 1]);

/// Each value begins with a byte for its kind and carries its length, so that no two trees run together.
fn value(hasher: &mut HighwayHasher, node: &Node, disclosure: &Disclosure) {
    match &node.value {
        Value::Sequence(items) => {
            hasher.append(b"[");
            hasher.append(&(items.len() as u64).to_le_bytes());
            for item in items {
                value(hasher, item, disclosure);
            }
        }
        Value::Mapping(mapping) => {
            hasher.append(b"{");
            hasher.append(&(mapping.entries.len() as u64).to_le_bytes());
            let mut entries: Vec<&Entry> = mapping.entries.iter().collect();
            entries.sort_by(|left, right| left.key.cmp(&right.key));
            for entry in entries {
                text(hasher, &entry.key);
                value(hasher, &entry.value, disclosure);
            }
        }
        scalar => {
            let written = match scalar {
                Value::String(text) => format!("s{text}"),
                Value::Bool(value) => format!("b{value}"),
                Value::Int(value) => format!("i{value}"),
                Value::Float(value) => format!("f{value}"),
                _ => "n".to_owned(),
            };
            if node.reference.is_none() && disclosure.may_show(&node.location) {
                text(hasher, &written);
            } else {
                let [first, second, ..] = HighwayHasher::new(KEY).hash64(written.as_bytes()).to_le_bytes();
                hasher.append(&[b'*', first, second]);
            }
        }
    }
}

fn text(hasher: &mut HighwayHasher, text: &str) {
    hasher.append(&(text.len() as u64).to_le_bytes());
    hasher.append(text.as_bytes());
}
