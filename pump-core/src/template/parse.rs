//! From a template's text to its parts.

use super::{Conversion, DatePart, Name, Named, Part, Template};
use crate::record::{Field, Shape, UptimeField};

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A percent sign before something else than a known letter.
    #[error("`%{0}` is not known: use %Y %m %d %H %M %S %j %y, or %% for a percent sign")]
    UnknownConversion(char),
    /// A percent sign at the end.
    #[error("a percent sign ends the template: write %% for a percent sign")]
    LonePercent,
    /// An opening brace that is not closed.
    #[error("a brace is opened and not closed: write a field as {{api_id}}")]
    Unclosed,
    /// A closing brace that was not opened.
    #[error("a brace is closed that was not opened: write a field as {{api_id}}")]
    Unopened,
    /// Something in braces that cannot be a field's name.
    #[error("`{{{0}}}` is no field: a name is letters, digits and _, and begins with no digit")]
    NotAName(Box<str>),
    /// A list or a structure.
    #[error("`{{{0}}}` has no single value that could be part of a name")]
    NoSingleValue(Box<str>),
}

pub(super) fn parse(text: &str) -> Result<Template, TemplateError> {
    let mut builder = Builder::default();
    let mut rest = text;
    while let Some(at) = rest.find(['%', '{', '}']) {
        builder.literal.push_str(&rest[..at]);
        let mut chars = rest[at..].chars();
        match chars.next() {
            Some('%') => {
                match chars.next().ok_or(TemplateError::LonePercent)? {
                    '%' => builder.literal.push('%'),
                    letter => builder.conversion(conversion(letter)?),
                }
                rest = chars.as_str();
            }
            Some('{') => {
                let (name, after) = chars.as_str().split_once('}').ok_or(TemplateError::Unclosed)?;
                builder.field(self::name(name)?);
                rest = after;
            }
            _ => return Err(TemplateError::Unopened),
        }
    }
    builder.literal.push_str(rest);
    builder.end_date();
    builder.end_literal();
    Ok(Template { parts: builder.parts.into() })
}

/// Text that is read becomes part of a date only when another conversion follows it, so it is held
/// back in `literal` until then.
#[derive(Default)]
struct Builder {
    parts: Vec<Part>,
    date: Vec<DatePart>,
    literal: String,
}

impl Builder {
    fn conversion(&mut self, conversion: Conversion) {
        if self.date.is_empty() {
            self.end_literal();
        } else if !self.literal.is_empty() {
            self.date.push(DatePart::Literal(std::mem::take(&mut self.literal).into()));
        }
        self.date.push(DatePart::Conversion(conversion));
    }

    fn field(&mut self, name: Name) {
        self.end_date();
        self.end_literal();
        self.parts.push(Part::Field(name));
    }

    fn end_date(&mut self) {
        if !self.date.is_empty() {
            self.parts.push(Part::Date(std::mem::take(&mut self.date).into()));
        }
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.parts.push(Part::Literal(std::mem::take(&mut self.literal).into()));
        }
    }
}

fn conversion(letter: char) -> Result<Conversion, TemplateError> {
    Ok(match letter {
        'Y' => Conversion::Year,
        'y' => Conversion::YearOfCentury,
        'm' => Conversion::Month,
        'd' => Conversion::Day,
        'j' => Conversion::DayOfYear,
        'H' => Conversion::Hour,
        'M' => Conversion::Minute,
        'S' => Conversion::Second,
        other => return Err(TemplateError::UnknownConversion(other)),
    })
}

fn name(text: &str) -> Result<Name, TemplateError> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_well = text.bytes().next().is_some_and(|byte| is_part(byte) && !byte.is_ascii_digit());
    if !begins_well || !text.bytes().all(is_part) {
        return Err(TemplateError::NotAName(text.into()));
    }
    let of = match text {
        "kind" => Named::Kind,
        "source" => Named::Source,
        _ => Named::Field { transaction: Field::from_name(text), uptime: UptimeField::from_name(text) },
    };
    if let Named::Field { transaction: Some(field), .. } = of
        && matches!(field.shape(), Shape::List | Shape::Nested)
    {
        return Err(TemplateError::NoSingleValue(text.into()));
    }
    Ok(Name { text: text.into(), of })
}
