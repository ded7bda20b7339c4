//! Names that no record can forge: `transaction.count.a1.GET.200`.
//!
//! Of a value letters, digits, `_` and `-` stay, in tags `.` and `/` too; any other byte becomes `_`. It ends after 64
//! bytes; one that is empty or missing is `none`. A method that HTTP does not define is `other`: clients choose it.

use pump_core::config::StatsdTags as Tags;
use pump_core::encode::json;
use pump_core::record::{Field, Transaction, Uptime, UptimeField, Value, View};

/// How much of a value gets into a name.
const MAX_VALUE: usize = 64;

const DEFAULT: [&str; 3] = ["api_id", "method", "response_code"];

/// Whole requests, responses and schemas tell no series apart.
const TOO_LARGE: [Field; 3] = [Field::RawRequest, Field::RawResponse, Field::ApiSchema];

const METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"];

/// The fields whose values make a series.
#[derive(Debug)]
pub(super) struct SafeNames {
    by: Box<[Part]>,
    tags: Tags,
}

/// A field by its name; each kind has it or not.
#[derive(Debug)]
struct Part {
    name: Box<str>,
    transaction: Option<Field>,
    uptime: Option<UptimeField>,
}

impl SafeNames {
    pub(super) fn new(by: Option<&[String]>, tags: Tags) -> Result<Self, String> {
        let parts: Result<Vec<_>, _> = match by {
            None => DEFAULT.into_iter().map(Part::new).collect(),
            Some(names) => names.iter().map(|name| Part::new(name)).collect(),
        };
        let by = parts?;
        for (index, part) in by.iter().enumerate() {
            if by[..index].iter().any(|before| before.name == part.name) {
                return Err(format!("`{}` stands twice", part.name));
            }
        }
        Ok(Self { by: by.into(), tags })
    }

    pub(super) fn series(&self, view: &View<'_>, out: &mut Vec<u8>) {
        for (index, part) in self.by.iter().enumerate() {
            self.begin(index, part, out);
            let value = match view {
                View::Transaction(record) => part.of_transaction(record),
                View::Uptime(record) => part.of_uptime(record),
                View::Object(_) => None,
            };
            match value {
                Some(Value::Text(text)) if part.transaction == Some(Field::Method) && !text.is_empty() => {
                    let is_known = METHODS.contains(&text.bytes());
                    out.extend_from_slice(if is_known { text.bytes() } else { b"other" });
                }
                Some(Value::Text(text)) => push_safe(text.bytes(), self.tags, out),
                Some(Value::Int(number)) => json::int(number, out),
                Some(Value::Bool(is_true)) => json::bool(is_true, out),
                Some(Value::Time(_) | Value::List(_) | Value::Nested) | None => {
                    push_safe(b"", self.tags, out)
                }
            }
        }
    }

    pub(super) fn other(&self, out: &mut Vec<u8>) {
        for (index, part) in self.by.iter().enumerate() {
            self.begin(index, part, out);
            out.extend_from_slice(b"other");
        }
    }

    fn begin(&self, index: usize, part: &Part, out: &mut Vec<u8>) {
        match self.tags {
            Tags::None => out.push(b'.'),
            Tags::Dogstatsd => {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(part.name.as_bytes());
                out.push(b':');
            }
        }
    }
}

/// Appends a value as a part of a name, or as that of a tag; see the head of this module.
pub fn push_safe(value: &[u8], tags: Tags, out: &mut Vec<u8>) {
    if value.is_empty() {
        out.extend_from_slice(b"none");
    }
    let is_safe = |byte: u8| match byte {
        b'_' | b'-' => true,
        b'.' | b'/' => tags == Tags::Dogstatsd,
        _ => byte.is_ascii_alphanumeric(),
    };
    out.extend(value.iter().take(MAX_VALUE).map(|byte| if is_safe(*byte) { *byte } else { b'_' }));
}

impl Part {
    fn new(name: &str) -> Result<Self, String> {
        let (transaction, uptime) = (Field::from_name(name), UptimeField::from_name(name));
        if transaction.is_none() && uptime.is_none() {
            return Err(format!("neither transactions nor health checks have a field `{name}`"));
        }
        let is_single = |value| matches!(value, Value::Text(_) | Value::Int(_) | Value::Bool(_));
        let can_be = transaction.is_none_or(|field| is_single(Transaction::default().get(field)))
            && uptime.is_none_or(|field| is_single(Uptime::default().get(field)));
        if !can_be || transaction.is_some_and(|field| TOO_LARGE.contains(&field)) {
            return Err(format!("`{name}` has no value that could tell series apart"));
        }
        Ok(Self { name: name.into(), transaction, uptime })
    }

    fn of_transaction<'a>(&self, record: &Transaction<'a>) -> Option<Value<'a>> {
        self.transaction.filter(|field| !record.omitted.has(*field)).map(|field| record.get(field))
    }

    fn of_uptime<'a>(&self, record: &Uptime<'a>) -> Option<Value<'a>> {
        self.uptime.filter(|field| !record.omitted.has(*field)).map(|field| record.get(field))
    }
}
