//! From settings to what is done to each record.

use std::collections::{BTreeMap, BTreeSet};

use super::headers::{self, Headers};
use super::members::Members;
use super::scratch::StandIn;
use super::tags::TagRules;
use super::{Edits, FieldMode, RedactConfig};
use crate::record::{Field, FieldSet, IdKey, Shape, Text, UptimeField, UptimeFieldSet};

/// Why settings of `omit` and `redact` cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Only text has something that can stand in for it.
    #[error("`{name}` is not text, so it cannot be hashed or masked: use `omit: [{name}]`")]
    NotText {
        /// The field.
        name: Box<str>,
    },
    /// No HTTP message has such a header.
    #[error("`{name}` cannot be the name of an HTTP header")]
    NotAHeader {
        /// The name.
        name: Box<str>,
    },
}

pub(super) fn plan(omit: &[String], redact: &RedactConfig, id_key: &IdKey) -> Result<Edits, EditError> {
    let mut modes: BTreeMap<&str, FieldMode> =
        redact.fields.iter().map(|(name, mode)| (name.as_str(), *mode)).collect();
    modes.extend(omit.iter().map(|name| (name.as_str(), FieldMode::Remove)));
    let headers = header_names(&redact.headers)?;

    let mut edits = Edits {
        id_key: id_key.clone(),
        omitted: FieldSet::EMPTY,
        texts: Box::default(),
        messages: Box::default(),
        headers: Headers::new(headers.iter()),
        tags: TagRules::new(modes.get("tags").copied(), modes.get("api_key").copied(), headers.iter()),
        uptime_omitted: UptimeFieldSet::EMPTY,
        uptime_texts: Box::default(),
        members: Members::new(modes.iter().map(|(name, mode)| (*name, *mode))),
        unknown_names: Box::default(),
        key: key(&modes, &headers, id_key),
    };
    let (mut texts, mut uptime_texts, mut unknown_names) = (Vec::new(), Vec::new(), Vec::new());
    for (name, mode) in &modes {
        let (field, uptime_field) = (Field::from_name(name), UptimeField::from_name(name));
        if field.is_none() && uptime_field.is_none() {
            unknown_names.push((*name).into());
        }
        if let Some(field) = field {
            match (stand_in(*mode), field.shape()) {
                (None, _) => edits.omitted = edits.omitted.with(field),
                (Some(stand_in), Shape::Text) => texts.push((field, stand_in)),
                // Only tags are a list, and they have rules of their own.
                (Some(_), Shape::List) => {}
                (Some(_), Shape::Scalar | Shape::Nested) => return not_text(name),
            }
        }
        if let Some(field) = uptime_field {
            match (stand_in(*mode), field.shape()) {
                (None, _) => edits.uptime_omitted = edits.uptime_omitted.with(field),
                (Some(stand_in), Shape::Text) => uptime_texts.push((field, stand_in)),
                (Some(_), _) => return not_text(name),
            }
        }
    }
    if !headers.is_empty() {
        let messages = [Field::RawRequest, Field::RawResponse];
        edits.messages = messages.into_iter().filter(|field| !modes.contains_key(field.name())).collect();
    }
    edits.texts = texts.into();
    edits.uptime_texts = uptime_texts.into();
    edits.unknown_names = unknown_names.into();
    Ok(edits)
}

/// Lowercase and without repeats.
fn header_names(names: &[String]) -> Result<BTreeSet<String>, EditError> {
    let check = |name: &String| match headers::is_name(name.as_bytes()) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err(EditError::NotAHeader { name: name.as_str().into() }),
    };
    names.iter().map(check).collect()
}

fn not_text(name: &str) -> Result<Edits, EditError> {
    Err(EditError::NotText { name: name.into() })
}

/// `None` where nothing stands in: the field is left out.
pub(super) fn stand_in(mode: FieldMode) -> Option<StandIn> {
    match mode {
        FieldMode::Hash => Some(StandIn::Hash),
        FieldMode::Mask => Some(StandIn::Mask),
        FieldMode::Remove => None,
    }
}

fn key(modes: &BTreeMap<&str, FieldMode>, headers: &BTreeSet<String>, id_key: &IdKey) -> Box<str> {
    if modes.is_empty() && headers.is_empty() {
        return Box::default();
    }
    let mut key = format!("{modes:?} {headers:?}");
    if modes.values().any(|mode| *mode == FieldMode::Hash) {
        // Around a reload, edits with two secrets may live side by side; the hash tells them apart and
        // does not give them away.
        key.push_str(&format!(" {:016x}", id_key.hash_value(Text(b"which key hashes?"))));
    }
    key.into()
}
