//! The line that an error shows, with everything hidden that must not be seen.
//!
//! A line is shown in its written form, so it holds references and not what they stand for. A secret
//! may still be written there in full. The rule is therefore an allow list: a key or value is shown
//! only if a schema said that it is not secret ([`Disclosure`]); any other, and every comment, gives
//! way to `…`. That covers misspelt keys, unknown plugins, and a password in braces, which is a key.

use std::collections::HashSet;
use std::ops::Range;

use super::node::Location;

/// One line of a file and where the carets go below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snippet {
    pub(super) line: String,
    pub(super) indent: usize,
    pub(super) width: usize,
}

/// Which values a schema has seen, and what it said of them.
#[derive(Debug, Default)]
pub(super) struct Disclosure {
    pub(super) public: HashSet<Location>,
    pub(super) secret: HashSet<Location>,
}

impl Disclosure {
    /// An anchor may be used in a public and in a secret place: then it is secret.
    pub(super) fn may_show(&self, location: &Location) -> bool {
        self.public.contains(location) && !self.secret.contains(location)
    }
}

/// A file's text, and where its keys and values lie in it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) lines: Vec<String>,
    pub(super) tokens: Vec<Token>,
}

/// A key or a scalar value. The end is exclusive and may lie on a later line.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) location: Location,
    pub(super) end: (u32, u32),
    pub(super) is_key: bool,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        Self { lines: lines(text).map(str::to_owned).collect(), tokens: Vec::new() }
    }

    /// The line of that place; `None` when it is too long to help.
    pub(super) fn snippet(&self, place: &Location, disclosure: &Disclosure) -> Option<Snippet> {
        const LONGEST: usize = 160;
        let text = self.lines.get(place.line.checked_sub(1)? as usize)?;
        let characters: Vec<char> = text.chars().take(LONGEST + 1).collect();
        if characters.len() > LONGEST {
            return None;
        }
        // The parser counts the spaces after a quoted text as part of it.
        let trimmed = |columns: Range<u32>| {
            let blank = |column: u32| characters.get(column as usize - 1).is_none_or(|c| *c == ' ');
            let end =
                columns.clone().rev().find(|column| !blank(*column)).map_or(columns.start, |last| last + 1);
            columns.start..end
        };
        let mut hidden = Vec::new();
        let mut tokens_end = 0;
        for token in &self.tokens {
            let Some(columns) = token.on(place.line) else { continue };
            let columns = trimmed(columns.start..columns.end.min(LONGEST as u32 + 2));
            tokens_end = tokens_end.max(columns.end);
            // The key of an error stands in its message too.
            let is_place = token.is_key && token.location == *place;
            if !is_place && !disclosure.may_show(&token.location) {
                hidden.push(columns);
            }
        }
        let hides = |column: u32| hidden.iter().any(|columns| columns.contains(&column));

        let mut shown = String::new();
        let mut indent = None;
        let mut hidden_before = false;
        for (column, &c) in (1..).zip(&characters) {
            if column == place.column {
                indent = Some(shown.chars().count());
            }
            let is_hidden = hides(column);
            if is_hidden {
                if !hidden_before {
                    shown.push('…');
                }
            } else if c == '#' && column >= tokens_end {
                break;
            } else {
                shown.push(if c.is_control() { ' ' } else { c });
            }
            hidden_before = is_hidden;
        }
        let line = shown.trim_end().to_owned();
        let indent = indent?;
        let room = line.chars().count().checked_sub(indent).filter(|room| *room > 0)?;
        let marked = trimmed(place.column..place.column.saturating_add(place.width).min(LONGEST as u32 + 2));
        let width = if hides(place.column) {
            1
        } else {
            (marked.end.saturating_sub(marked.start) as usize).clamp(1, room)
        };
        Some(Snippet { line, indent, width })
    }

    /// For a file that is no YAML: nothing is known of its values, so only a key is shown.
    pub(super) fn key_only(&self, place: &Location) -> Option<Snippet> {
        let text = self.lines.get(place.line.checked_sub(1)? as usize)?;
        let start = text.len() - text.trim_start_matches([' ', '-']).len();
        let rest = &text[start..];
        let key = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let after = rest[key..].strip_prefix(':')?;
        if key == 0 || key > 64 || !(after.is_empty() || after.starts_with(' ')) {
            return None;
        }
        let line = format!("{}:{}", &text[..start + key], if after.trim().is_empty() { "" } else { " …" });
        let room = line.chars().count();
        Some(Snippet { line, indent: (place.column.saturating_sub(1) as usize).min(room - 1), width: 1 })
    }
}

/// The lines of a text as YAML 1.2 (5.4) counts them: a carriage return alone ends one too. Counted otherwise,
/// the line that is shown would not be the one whose secrets are known.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text).filter(|text| !text.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else { return rest.take() };
        let after = text[end..].strip_prefix("\r\n").unwrap_or(&text[end + 1..]);
        rest = Some(after).filter(|after| !after.is_empty());
        Some(&text[..end])
    })
}

impl Token {
    /// Which columns of that line belong to it.
    fn on(&self, line: u32) -> Option<Range<u32>> {
        let start = match self.location.line {
            own if own == line => self.location.column,
            own if own < line => 1,
            _ => return None,
        };
        let end = match self.end {
            (own, column) if own == line => column,
            (own, _) if own > line => u32::MAX,
            _ => return None,
        };
        Some(start..end)
    }
}
