//! What is wrong with a pipeline file, for the person who wrote it.
//!
//! An error names the place, the path of the key, what is wrong and what to do. No message holds a
//! value that came from a reference or belongs to a secret field: whoever makes an error sees to
//! that, and the snippet (see [`super::snippet`]) sees to it for the line that is shown.

use std::fmt;

use super::node::Location;
use super::snippet::Snippet;

/// One thing that is wrong. Boxed inside, since it stands in many a `Result`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Inner {
    message: String,
    path: String,
    location: Option<Location>,
    help: Option<String>,
    notes: Vec<(&'static str, Location)>,
    snippet: Option<Snippet>,
}

impl ConfigError {
    /// Lowercase, no full stop, and no value that must not be seen.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Inner { message: message.into(), ..Inner::default() }))
    }

    /// Where it is.
    #[must_use]
    pub fn at(mut self, location: &Location) -> Self {
        self.0.location = Some(location.clone());
        self
    }

    /// The path of the key, such as `sinks.search.batch`.
    #[must_use]
    pub fn on(mut self, path: impl Into<String>) -> Self {
        self.0.path = path.into();
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Another place that has to do with it, such as `first here`.
    #[must_use]
    pub fn note(mut self, note: &'static str, location: &Location) -> Self {
        self.0.notes.push((note, location.clone()));
        self
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The path of the key; empty for what belongs to no key.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Where it is; `None` when it lies in no file, such as a file that cannot be read.
    pub fn location(&self) -> Option<&Location> {
        self.0.location.as_ref()
    }

    /// Gives it the line to show, unless it has one.
    pub(super) fn show(&mut self, snippet: impl FnOnce(&Location) -> Option<Snippet>) {
        if let Inner { snippet: None, location: Some(location), .. } = &*self.0 {
            self.0.snippet = snippet(location);
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { message, path, location, help, notes, snippet } = &*self.0;
        write!(f, "error: {message}")?;
        let Some(location) = location else {
            if !path.is_empty() {
                write!(f, "\n  --> {path}")?;
            }
            return match help {
                Some(help) => write!(f, "\n  = {help}"),
                None => Ok(()),
            };
        };
        // The gutter is as wide as the number of the line, so that the bars stand under each other.
        let gutter = location.line.to_string().len();
        write!(f, "\n{:gutter$}--> {location}", "")?;
        if !path.is_empty() {
            write!(f, "  {path}")?;
        }
        match snippet {
            Some(snippet) => {
                write!(f, "\n{:gutter$} |\n{} | {}", "", location.line, snippet.line)?;
                let carets = "^".repeat(snippet.width);
                write!(f, "\n{:gutter$} | {:indent$}{carets}", "", "", indent = snippet.indent)?;
                if let Some(help) = help {
                    write!(f, " {help}")?;
                }
            }
            None => {
                if let Some(help) = help {
                    write!(f, "\n{:gutter$} = {help}", "")?;
                }
            }
        }
        for (note, place) in notes {
            write!(f, "\n{:gutter$} = {note}: {place}", "")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong, in the order of the files. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.0 {
            write!(f, "{error}\n\n")?;
        }
        match self.0.len() {
            1 => f.write_str("1 error"),
            count => write!(f, "{count} errors"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// A name from a file between backticks: no control character reaches the terminal, and no novel.
pub(super) fn quoted(name: &str) -> String {
    const LONGEST: usize = 64;
    let mut shown: String = name.chars().take(LONGEST).flat_map(escaped).collect();
    if name.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// `a`, `b`, `c`.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// The path of a key below another. A key that is no plain word is quoted.
pub(super) fn below(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key.len() <= 64
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let segment = if plain { key.to_owned() } else { quoted(key) };
    if path.is_empty() { segment } else { format!("{path}.{segment}") }
}

fn escaped(c: char) -> std::vec::IntoIter<char> {
    let kept = if c.is_control() || c == '`' { c.escape_default().collect() } else { vec![c] };
    kept.into_iter()
}
