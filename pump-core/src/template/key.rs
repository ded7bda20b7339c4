//! A template as a text that says what it does, for comparing it with one of an earlier process.

use super::{Conversion, DatePart, Part, Template};

impl Template {
    /// Equal for templates that give every record the same place, and the same in every process: the template as it
    /// could have been written.
    pub(crate) fn key(&self) -> String {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => push_literal(text, &mut key),
                Part::Field(name) => key.extend(["{", &*name.text, "}"]),
                Part::Date(parts) => parts.iter().for_each(|part| match part {
                    DatePart::Literal(text) => push_literal(text, &mut key),
                    DatePart::Conversion(conversion) => key.extend(['%', letter(*conversion)]),
                }),
            }
        }
        key
    }
}

/// Braces are doubled as percent signs are: a constant may hold some.
fn push_literal(text: &str, key: &mut String) {
    for char in text.chars() {
        key.push(char);
        if matches!(char, '%' | '{' | '}') {
            key.push(char);
        }
    }
}

fn letter(conversion: Conversion) -> char {
    match conversion {
        Conversion::Year => 'Y',
        Conversion::YearOfCentury => 'y',
        Conversion::Month => 'm',
        Conversion::Day => 'd',
        Conversion::DayOfYear => 'j',
        Conversion::Hour => 'H',
        Conversion::Minute => 'M',
        Conversion::Second => 'S',
    }
}
