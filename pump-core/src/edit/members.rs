//! Members of a JSON object: left out, or with another value.

use super::scratch::StandIn;
use super::{FieldMode, Scratch, plan};
use crate::record::{IdKey, Member, Object, Text, escape};

/// What becomes of top-level members, by name.
#[derive(Debug, Clone)]
pub(super) struct Members {
    modes: Box<[(Box<str>, FieldMode)]>,
}

impl Members {
    pub(super) fn new<'a>(modes: impl Iterator<Item = (&'a str, FieldMode)>) -> Self {
        Self { modes: modes.map(|(name, mode)| (name.into(), mode)).collect() }
    }

    /// The object after the edit: itself if it has none of the members, else one in the scratch. All
    /// members of a name are edited, also those that a reader would not see behind the last.
    pub(super) fn edit<'s>(
        &self,
        object: Object<'s>,
        id_key: &IdKey,
        scratch: &'s mut Scratch,
    ) -> Object<'s> {
        if !object.members().any(|member| self.mode(member).is_some()) {
            return object;
        }
        let mut unescaped = std::mem::take(&mut scratch.decoded);
        let range = scratch.write_bytes(|out| {
            out.push(b'{');
            let mut is_first = true;
            for member in object.members() {
                let mode = self.mode(member);
                if mode == Some(FieldMode::Remove) {
                    continue;
                }
                if !is_first {
                    out.push(b',');
                }
                is_first = false;
                out.extend_from_slice(member.name);
                out.push(b':');
                match mode.and_then(plan::stand_in) {
                    Some(stand_in) => push_stand_in(stand_in, member, id_key, &mut unescaped, out),
                    None => out.extend_from_slice(member.value),
                }
            }
            out.push(b'}');
        });
        scratch.decoded = unescaped;
        Object::new(scratch.bytes(range))
    }

    fn mode(&self, member: Member<'_>) -> Option<FieldMode> {
        self.modes.iter().find(|(name, _)| member.is_named(name)).map(|(_, mode)| *mode)
    }
}

/// A string is hashed as what it says, so that a key in a log has the hash that it has in a
/// transaction; another value as it is written. `null` stays, as an empty string does.
fn push_stand_in(
    stand_in: StandIn,
    member: Member<'_>,
    id_key: &IdKey,
    unescaped: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    if member.value == b"null" {
        out.extend_from_slice(member.value);
        return;
    }
    unescaped.clear();
    if member.is_string() {
        escape::unescape(member.value, unescaped);
    } else {
        unescaped.extend_from_slice(member.value);
    }
    out.push(b'"');
    out.extend_from_slice(&stand_in.text(Text(unescaped), id_key));
    out.push(b'"');
}
