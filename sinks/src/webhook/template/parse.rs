//! From a template's text to its pieces.

use pump_core::record::{Field, UptimeField};
use serde_json::Value as Json;

use super::{Name, Part, Place};

/// Takes a template apart; pieces of JSON and places, no two pieces of JSON beside each other.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, String> {
    let template: Json = serde_json::from_str(text).map_err(|error| {
        format!("this is no JSON ({error}); names in braces stand in strings: `\"{{id}}\"`")
    })?;
    let mut parts = Parts(Vec::new());
    parts.value(&template)?;
    Ok(parts.0)
}

struct Parts(Vec<Part>);

impl Parts {
    fn value(&mut self, value: &Json) -> Result<(), String> {
        match value {
            Json::String(text) => self.string(text)?,
            Json::Array(items) => {
                self.json("[");
                for (index, item) in items.iter().enumerate() {
                    self.json(if index > 0 { "," } else { "" });
                    self.value(item)?;
                }
                self.json("]");
            }
            Json::Object(members) => {
                self.json("{");
                for (index, (name, value)) in members.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    self.json(&format!("{comma}{}:", Json::from(name.as_str())));
                    self.value(value)?;
                }
                self.json("}");
            }
            other => self.json(&other.to_string()),
        }
        Ok(())
    }

    fn string(&mut self, text: &str) -> Result<(), String> {
        let whole = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        if let Some(name) = whole.filter(|name| !name.contains(['{', '}'])) {
            self.0.push(Part::Whole(place(name)?));
            return Ok(());
        }
        self.json("\"");
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            self.escaped(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                self.json(brace);
                rest = after;
            } else if brace == "{" {
                let Some((name, after)) = rest.split_once('}') else {
                    return Err(
                        "a brace is opened and not closed: write a field as `{api_id}`, and a brace \
                         itself twice, `{{`"
                            .to_owned(),
                    );
                };
                self.0.push(Part::Within(place(name)?));
                rest = after;
            } else {
                return Err(
                    "a brace is closed that was not opened: a brace itself is written twice, `}}`".to_owned()
                );
            }
        }
        self.escaped(rest);
        self.json("\"");
        Ok(())
    }

    fn escaped(&mut self, text: &str) {
        let quoted = Json::from(text).to_string();
        self.json(&quoted[1..quoted.len() - 1]);
    }

    fn json(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Json(before)) => before.extend_from_slice(text.as_bytes()),
            _ => self.0.push(Part::Json(text.as_bytes().to_vec())),
        }
    }
}

/// A name in braces.
fn place(name: &str) -> Result<Place, String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !name.bytes().all(is_part) || name.bytes().next().is_none_or(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "`{{{}}}` is no name: a name is letters, digits and _; a brace itself is written twice, `{{{{`",
            crate::http::words(name)
        ));
    }
    Ok(match name {
        "records" => Place::Records,
        "record" => Place::Record,
        "id" => Place::Id,
        "kind" => Place::Kind,
        "source" => Place::Source,
        _ => Place::Field(Name {
            text: name.into(),
            transaction: Field::from_name(name),
            uptime: UptimeField::from_name(name),
        }),
    })
}
