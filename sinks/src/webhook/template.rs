//! JSON with places that are filled from a record.
//!
//! A template is a JSON text. Places stand in its strings, as names in braces: a string that is one place and
//! nothing else becomes the value itself (`"{response_code}"` becomes `200`, `"{record}"` the record), and
//! among other text a place becomes text (`"{method} {path}"`). The template is taken apart once, into
//! pieces of JSON and places between them; what fills a place is always written as JSON by us, as a whole
//! value or with the escapes of a string. So whatever is in a record stays in its place.

mod parse;
#[cfg(test)]
mod tests;

use crate::http::hex;
use pump_core::edit::Scratch;
use pump_core::encode::json;
use pump_core::plugin::Entry;
use pump_core::record::{Field, Member, Text, Transaction, UptimeField, Value, View, Zone};

/// JSON around all records of a request: what stands before them, and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) before: Box<[u8]>,
    pub(super) after: Box<[u8]>,
}

/// JSON around one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordTemplate {
    parts: Box<[Part]>,
    /// Whether fields are looked at, and not only the record as a whole.
    reads_fields: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// As it is written.
    Json(Vec<u8>),
    /// A whole value.
    Whole(Place),
    /// Between the quotes of a string.
    Within(Place),
}

/// What fills a place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Records,
    Record,
    Id,
    Kind,
    Source,
    Field(Name),
}

/// A field's name, looked up once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: Box<str>,
    transaction: Option<Field>,
    uptime: Option<UptimeField>,
}

/// What a record has under a name.
enum Found<'v> {
    Nothing,
    /// With the name of the zone that its times are in.
    Value(Value<'v>, Text<'v>),
    Member(Member<'v>),
}

impl Envelope {
    /// From its text, which has `"{records}"` once.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = parse::parse(text)?.into_iter();
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Part::Json(before)), Some(Part::Whole(Place::Records)), Some(Part::Json(after)), None) => {
                Ok(Self { before: before.into(), after: after.into() })
            }
            (Some(Part::Whole(Place::Records)), None, ..) => Ok(Self::default()),
            _ => Err(
                "around an array stands `\"{records}\"` once, as a string of its own, and no other name in \
                 braces: what belongs to one record goes under `record`"
                    .to_owned(),
            ),
        }
    }
}

impl Default for Envelope {
    fn default() -> Self {
        Self { before: [].into(), after: [].into() }
    }
}

impl RecordTemplate {
    /// From its text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = parse::parse(text)?;
        for part in &parts {
            match part {
                Part::Json(_) => {}
                Part::Whole(Place::Records) | Part::Within(Place::Records) => {
                    return Err("here stands `{record}`: `{records}` is the array of all of them".to_owned());
                }
                Part::Within(Place::Record) => {
                    return Err("`{record}` is a string of its own: write `\"{record}\"`".to_owned());
                }
                Part::Whole(place) => place.check(true)?,
                Part::Within(place) => place.check(false)?,
            }
        }
        let is_field =
            |part: &Part| matches!(part, Part::Whole(Place::Field(_)) | Part::Within(Place::Field(_)));
        let reads_fields = parts.iter().any(is_field);
        Ok(Self { parts: parts.into(), reads_fields })
    }

    /// Appends the JSON for a record; on one line.
    pub(super) fn render(&self, entry: &Entry<'_>, scratch: &mut Scratch, out: &mut Vec<u8>) {
        let view = self.reads_fields.then(|| entry.view(scratch));
        for part in &self.parts {
            match part {
                Part::Json(text) => out.extend_from_slice(text),
                Part::Whole(Place::Record) => out.extend_from_slice(entry.body()),
                Part::Whole(Place::Field(field)) => field.find(view.as_ref()).write(out),
                Part::Within(Place::Field(field)) => field.find(view.as_ref()).write_text(out),
                Part::Within(place) => place.write_text(entry, out),
                Part::Whole(place) => {
                    out.push(b'"');
                    place.write_text(entry, out);
                    out.push(b'"');
                }
            }
        }
    }
}

impl Place {
    /// Whether there can be a value for it here.
    fn check(&self, is_whole: bool) -> Result<(), String> {
        let Self::Field(Name { text, transaction: Some(field), .. }) = self else { return Ok(()) };
        // An empty record shows what its fields hold.
        match Transaction::default().get(*field) {
            Value::Nested => Err(format!("`{{{text}}}` is a structure: it is in `{{record}}` only")),
            Value::List(_) if !is_whole => {
                Err(format!("`{{{text}}}` is a list: it is a string of its own, `\"{{{text}}}\"`"))
            }
            _ => Ok(()),
        }
    }

    /// Appends what stands between quotes.
    fn write_text(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Id => out.extend_from_slice(&hex(entry.id())),
            Self::Kind => out.extend_from_slice(entry.record().kind().name().as_bytes()),
            Self::Source => json::escaped(entry.record().chunk().head().source.as_bytes(), out),
            // Fields are written as what is found; the others are refused between quotes.
            Self::Field(_) | Self::Record | Self::Records => {}
        }
    }
}

impl Name {
    fn find<'v>(&self, view: Option<&View<'v>>) -> Found<'v> {
        let value = match view {
            Some(View::Transaction(record)) => {
                let field = self.transaction.filter(|field| !record.omitted.has(*field));
                field.map(|field| Found::Value(record.get(field), record.time_zone))
            }
            Some(View::Uptime(record)) => {
                let field = self.uptime.filter(|field| !record.omitted.has(*field));
                field.map(|field| Found::Value(record.get(field), Text::default()))
            }
            // Of members with the same name the last one counts.
            Some(View::Object(object)) => {
                object.members().filter(|member| member.is_named(&self.text)).last().map(Found::Member)
            }
            None => None,
        };
        value.unwrap_or(Found::Nothing)
    }
}

impl Found<'_> {
    /// Appends it as a value; `null` for nothing.
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Value(Value::Text(text), _) => json::string(text, out),
            Self::Value(Value::Int(number), _) => json::int(number, out),
            Self::Value(Value::Bool(is_true), _) => json::bool(is_true, out),
            Self::Value(Value::Time(time), zone) => json::time(time, &Zone::at(zone, time), out),
            Self::Value(Value::List(list), _) => json::list(list, out),
            Self::Member(member) if member.is_string() => json::string(Text(member.text().as_bytes()), out),
            // Sound JSON has what is no UTF-8 in its strings only, where U+FFFD may stand for it.
            Self::Member(member) => json::compact(Text(member.value).to_str().as_bytes(), out),
            Self::Value(Value::Nested, _) | Self::Nothing => out.extend_from_slice(b"null"),
        }
    }

    /// Appends it as it stands between quotes; nothing for nothing.
    fn write_text(self, out: &mut Vec<u8>) {
        match self {
            Self::Value(Value::Text(text), _) => json::escaped(text.bytes(), out),
            Self::Value(Value::Int(number), _) => json::int(number, out),
            Self::Value(Value::Bool(is_true), _) => json::bool(is_true, out),
            Self::Value(Value::Time(time), zone) => {
                // A year that RFC 3339 cannot write leaves nothing.
                time.write_rfc3339(&Zone::at(zone, time), out);
            }
            Self::Member(member) if member.value == b"null" => {}
            Self::Member(member) => json::escaped(member.text().as_bytes(), out),
            Self::Value(Value::List(_) | Value::Nested, _) | Self::Nothing => {}
        }
    }
}
