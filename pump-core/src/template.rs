//! A template says where a record goes: a path, an index, a topic, a prefix.
//!
//! It is literal text with conversions of the record's own time in UTC (`%Y %m %d %H %M %S %j %y`,
//! `%%` is a percent sign) and names of fields in braces: those of transactions and health checks,
//! members of application logs, audit entries and events, and `{kind}` and `{source}` for every record.
//! `/logs/%Y/%m/%d/{api_id}.ndjson` becomes `/logs/2026/11/23/a1.ndjson`.
//!
//! **A record without a usable time.** Conversions that only literal text stands between make one
//! date, and that date is then `undated`: `/logs/undated/a1.ndjson`, and `tyk-undated` for
//! `tyk-%Y.%m.%d`. A field or an end of the template ends the date.
//!
//! **Values are hostile.** A client decides what is in many fields, so a value can never leave its
//! folder or name another index: bytes other than letters, digits, `_`, `.` and `-` become `_`, so does
//! a dot at the start, an empty or missing value is `none`, and a value ends after 128 bytes.

use crate::record::{Civil, Field, Record, Text, Timestamp, UptimeField, Value, View};

mod key;
mod parse;

pub use parse::TemplateError;

/// How much of a field's value gets into a name: file systems allow 255 bytes for all of it.
const MAX_VALUE: usize = 128;

/// Where a record goes, with places to be filled from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    /// From the first conversion of a date to its last, with what stands between.
    Date(Box<[DatePart]>),
    Field(Name),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum DatePart {
    Literal(Box<str>),
    Conversion(Conversion),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conversion {
    Year,
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
}

/// A name in braces, looked up once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: Box<str>,
    of: Named,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Kind,
    Source,
    Field { transaction: Option<Field>, uptime: Option<UptimeField> },
}

impl Template {
    /// From its text in the pipeline file. A field's name may be one that no transaction has, as logs
    /// and events have free names.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text)
    }

    /// The template of one place for all records; the text is taken as it is.
    pub fn constant_of(text: &str) -> Self {
        Self { parts: [Part::Literal(text.into())].into() }
    }

    /// Whether all records go to the same place.
    pub fn is_constant(&self) -> bool {
        self.constant().is_some()
    }

    /// Where all records go, if they all go to the same place.
    pub fn constant(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether some record could go there: literal text is as it stands, and for each date and field
    /// there is at least one byte that is no slash.
    pub fn could_give(&self, text: &str) -> bool {
        fn matches(parts: &[Part], text: &str) -> bool {
            match parts.split_first() {
                None => text.is_empty(),
                Some((Part::Literal(literal), rest)) => {
                    text.strip_prefix(&**literal).is_some_and(|after| matches(rest, after))
                }
                // A date may hold slashes of its own; a field never does.
                Some((Part::Date(_), rest)) => {
                    (1..=text.len()).any(|end| text.is_char_boundary(end) && matches(rest, &text[end..]))
                }
                Some((Part::Field(_), rest)) => {
                    let length = text.find('/').unwrap_or(text.len());
                    (1..=length).any(|end| text.is_char_boundary(end) && matches(rest, &text[end..]))
                }
            }
        }
        matches(&self.parts, text)
    }

    /// Whether something of the record's time is in it.
    pub fn has_date(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Date(_)))
    }

    /// The text that stands in every name, with `gap` for each date and each field.
    pub fn pattern(&self, gap: char) -> String {
        let mut pattern = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => pattern.push_str(text),
                Part::Date(_) | Part::Field(_) => pattern.push(gap),
            }
        }
        pattern
    }

    /// How many dates and fields there are.
    pub fn gaps(&self) -> usize {
        self.parts.iter().filter(|part| !matches!(part, Part::Literal(_))).count()
    }

    /// The names in braces, in their order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(name) => Some(&*name.text),
            Part::Literal(_) | Part::Date(_) => None,
        })
    }

    /// Appends where the record goes. Called once per record; allocates nothing beside `out`.
    ///
    /// `view` is the record after `omit` and `redact`: what is not to be seen is not to be seen in a
    /// name either. With its timestamp omitted, a record is undated.
    pub fn render(&self, record: Record<'_>, view: &View<'_>, out: &mut String) {
        self.render_with(record, view, out, |name, out| name.render(record, view, out));
    }

    /// Appends where the record goes when there are too many places: as [`Self::render`], but each
    /// field is `other`.
    pub fn render_stray(&self, record: Record<'_>, view: &View<'_>, out: &mut String) {
        self.render_with(record, view, out, |_, out| out.push_str("other"));
    }

    fn render_with(
        &self,
        record: Record<'_>,
        view: &View<'_>,
        out: &mut String,
        field: impl Fn(&Name, &mut String),
    ) {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Field(name) => field(name, out),
                Part::Date(parts) => match view.time(record.received()) {
                    Some(time) => date(parts, time, out),
                    None => out.push_str("undated"),
                },
            }
        }
    }
}

impl Name {
    fn render(&self, record: Record<'_>, view: &View<'_>, out: &mut String) {
        match self.of {
            Named::Kind => out.push_str(record.kind().name()),
            Named::Source => push_safe(record.chunk().head().source.as_bytes(), out),
            Named::Field { transaction, uptime } => match view {
                View::Transaction(record) => {
                    let field = transaction.filter(|field| !record.omitted.has(*field));
                    push_value(field.map(|field| record.get(field)), out);
                }
                View::Uptime(record) => {
                    let field = uptime.filter(|field| !record.omitted.has(*field));
                    push_value(field.map(|field| record.get(field)), out);
                }
                View::Object(object) => match object.text(&self.text) {
                    Some(text) if text != "null" => push_safe(text.as_bytes(), out),
                    _ => push_safe(b"", out),
                },
            },
        }
    }
}

fn push_value(value: Option<Value<'_>>, out: &mut String) {
    match value {
        Some(Value::Text(Text(bytes))) => push_safe(bytes, out),
        Some(Value::Int(number)) => out.push_str(itoa::Buffer::new().format(number)),
        Some(Value::Bool(is_true)) => out.push_str(if is_true { "true" } else { "false" }),
        Some(Value::Time(time)) => out.push_str(itoa::Buffer::new().format(time.seconds)),
        Some(Value::List(_) | Value::Nested) | None => push_safe(b"", out),
    }
}

/// A value as part of a name, see the head of this module.
fn push_safe(value: &[u8], out: &mut String) {
    if value.is_empty() {
        out.push_str("none");
    }
    for (at, byte) in value.iter().take(MAX_VALUE).enumerate() {
        let is_safe =
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (*byte == b'.' && at > 0);
        out.push(if is_safe { char::from(*byte) } else { '_' });
    }
}

fn date(parts: &[DatePart], time: Timestamp, out: &mut String) {
    let civil = time.civil();
    for part in parts {
        match part {
            DatePart::Literal(text) => out.push_str(text),
            DatePart::Conversion(conversion) => match conversion {
                Conversion::Year => push_digits(civil.year, 4, out),
                Conversion::YearOfCentury => push_digits(civil.year % 100, 2, out),
                Conversion::Month => push_digits(civil.month, 2, out),
                Conversion::Day => push_digits(civil.day, 2, out),
                Conversion::DayOfYear => push_digits(day_of_year(&civil), 3, out),
                Conversion::Hour => push_digits(civil.hour, 2, out),
                Conversion::Minute => push_digits(civil.minute, 2, out),
                Conversion::Second => push_digits(civil.second, 2, out),
            },
        }
    }
}

/// A number that is not negative, with zeros before it up to `width`.
fn push_digits(number: impl Into<i64>, width: usize, out: &mut String) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number.into());
    for _ in digits.len()..width {
        out.push('0');
    }
    out.push_str(digits);
}

/// 1 for the first of January.
fn day_of_year(civil: &Civil) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap = civil.year % 4 == 0 && (civil.year % 100 != 0 || civil.year % 400 == 0);
    let leap_day = i64::from(is_leap && civil.month > 2);
    BEFORE[usize::from(civil.month) - 1] + leap_day + i64::from(civil.day)
}

#[cfg(test)]
mod tests;
