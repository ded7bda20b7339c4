//! From the text of a file to a positioned tree.
//!
//! The parser of `saphyr-parser` gives events with their places; this builds [`Node`]s from them and
//! refuses what a pipeline file has no use for: tags, several documents, merge keys, keys that are no
//! text, a key used twice. Anchors and aliases are allowed, within a bound on what they add, so that
//! a few lines cannot ask for gigabytes. JSON is YAML, and needs nothing of its own.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::error::{ConfigError, quoted};
use super::node::{Entry, Location, Mapping, Node, Value};
use super::scalar;
use super::snippet::{Source, Token};

/// The largest file, in bytes.
pub const MAX_FILE_SIZE: usize = 1024 * 1024;

/// How deep lists and mappings may lie in one another.
pub const MAX_NESTING: usize = 64;

/// What anchors and aliases may copy: the bytes of texts, and [`NODE_WEIGHT`] for each value.
const MAX_COPIED: usize = 4 * 1024 * 1024;

/// About what a value takes in memory beside its text.
const NODE_WEIGHT: usize = 128;

/// What was read of one file: as much of the tree as could be built, and all that is wrong with it.
pub(super) struct Document {
    /// `None` when the file is no YAML at all.
    pub(super) root: Option<Node>,
    pub(super) source: Source,
    pub(super) errors: Vec<ConfigError>,
}

/// Parses one file. References stand in the tree as they are written.
pub(super) fn parse(text: &str, file: &Arc<str>) -> Document {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        file: Arc::clone(file),
        source: Source::new(text),
        errors: Vec::new(),
        open: Vec::new(),
        anchors: HashMap::new(),
        copied: 0,
        root: None,
    };
    match builder.run(text) {
        Ok(()) => {
            let start = builder.location(Marker::new(0, 1, 0), 1);
            let root = builder.root.unwrap_or_else(|| Node::new(Value::Null, start));
            Document { root: Some(root), source: builder.source, errors: builder.errors }
        }
        Err(fatal) => {
            builder.errors.push(fatal);
            Document { root: None, source: builder.source, errors: builder.errors }
        }
    }
}

struct Builder {
    file: Arc<str>,
    source: Source,
    errors: Vec<ConfigError>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    copied: usize,
    root: Option<Node>,
}

/// A list or mapping whose end has not been seen.
struct Open {
    anchor: usize,
    location: Location,
    weight: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { mapping: Mapping, seen: HashMap<String, Location>, key: Option<Key> },
}

impl Content {
    fn mapping() -> Self {
        Self::Mapping { mapping: Mapping::default(), seen: HashMap::new(), key: None }
    }
}

struct Key {
    text: String,
    location: Location,
    is_duplicate: bool,
}

struct Anchored {
    node: Node,
    weight: usize,
}

impl Builder {
    fn run(&mut self, text: &str) -> Result<(), ConfigError> {
        if text.len() > MAX_FILE_SIZE {
            return Err(ConfigError::new(format!("the file is larger than {} MiB", MAX_FILE_SIZE >> 20))
                .at(&self.location(Marker::new(0, 1, 0), 1)));
        }
        self.refuse_control_characters(text)?;
        let mut has_document = false;
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|err| self.not_yaml(&err))?;
            match event {
                Event::DocumentStart(_) if has_document => {
                    return Err(ConfigError::new("a pipeline file is one document")
                        .at(&self.location(span.start, 3))
                        .help("put the second document into a file of its own"));
                }
                Event::DocumentStart(_) => has_document = true,
                Event::Scalar(text, style, anchor, tag) => {
                    self.refuse_tag(tag.is_some(), span);
                    self.scalar(&text, style, anchor, span)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.refuse_tag(tag.is_some(), span);
                    self.open(anchor, span, Content::Sequence(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.refuse_tag(tag.is_some(), span);
                    self.open(anchor, span, Content::mapping())?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
                Event::Alias(anchor) => self.alias(anchor, span)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        span: Span,
    ) -> Result<(), ConfigError> {
        let location = self.location(span.start, width(span));
        let end = (line(span.end), column(span.end));
        if let Some(Open { content: Content::Mapping { seen, key: key @ None, .. }, .. }) =
            self.open.last_mut()
        {
            self.source.tokens.push(Token { location: location.clone(), end, is_key: true });
            if text == "<<" && style == ScalarStyle::Plain {
                self.errors.push(
                    ConfigError::new("merge keys are not part of YAML 1.2")
                        .at(&location)
                        .help("repeat the keys, or use an alias for a whole value"),
                );
            }
            let first = seen.get(text);
            if let Some(first) = first {
                self.errors.push(
                    ConfigError::new(format!("the key {} is used twice", quoted(text)))
                        .at(&location)
                        .help("remove one of the two")
                        .note("first here", first),
                );
            }
            let is_duplicate = first.is_some() || text == "<<";
            if !is_duplicate {
                seen.insert(text.to_owned(), location.clone());
            }
            *key = Some(Key { text: text.to_owned(), location, is_duplicate });
            return Ok(());
        }
        if span.end.index() > span.start.index() {
            self.source.tokens.push(Token { location: location.clone(), end, is_key: false });
        }
        let value = match style {
            ScalarStyle::Plain => scalar::typed(text),
            _ => Value::String(text.to_owned()),
        };
        let weight = NODE_WEIGHT + text.len();
        self.finish(anchor, Node::new(value, location), weight)
    }

    fn open(&mut self, anchor: usize, span: Span, content: Content) -> Result<(), ConfigError> {
        let location = self.location(span.start, 1);
        self.refuse_as_key(&location)?;
        if self.open.len() == MAX_NESTING {
            return Err(too_deep_at(&location));
        }
        self.open.push(Open { anchor, location, weight: NODE_WEIGHT, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), ConfigError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { mapping, .. } => Value::Mapping(mapping),
        };
        self.finish(open.anchor, Node::new(value, open.location), open.weight)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), ConfigError> {
        let location = self.location(span.start, width(span));
        self.refuse_as_key(&location)?;
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(ConfigError::new("this alias lies inside what it stands for").at(&location));
        };
        let weight = anchored.weight;
        let too_deep = self.open.len() + height(&anchored.node) > MAX_NESTING;
        self.charge(weight, &location)?;
        if too_deep {
            return Err(too_deep_at(&location));
        }
        let node = self.anchors[&anchor].node.clone();
        self.finish(0, node, weight)
    }

    /// Puts a finished value where it belongs.
    fn finish(&mut self, anchor: usize, node: Node, weight: usize) -> Result<(), ConfigError> {
        if anchor > 0 {
            self.charge(weight, &node.location)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), weight });
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.weight = open.weight.saturating_add(weight);
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { mapping, key, .. } => {
                if let Some(key) = key.take().filter(|key| !key.is_duplicate) {
                    mapping.entries.push(Entry { key: key.text, location: key.location, value: node });
                }
            }
        }
        Ok(())
    }

    /// Counts what anchors and aliases copy.
    fn charge(&mut self, weight: usize, location: &Location) -> Result<(), ConfigError> {
        self.copied = self.copied.saturating_add(weight);
        if self.copied > MAX_COPIED {
            return Err(ConfigError::new("aliases make the file too large")
                .at(location)
                .help("write out what they stand for: a pipeline file has no use for this many"));
        }
        Ok(())
    }

    fn refuse_as_key(&self, location: &Location) -> Result<(), ConfigError> {
        match self.open.last() {
            Some(Open { content: Content::Mapping { key: None, .. }, .. }) => {
                Err(ConfigError::new("a key must be a plain word").at(location))
            }
            _ => Ok(()),
        }
    }

    fn refuse_tag(&mut self, has_tag: bool, span: Span) {
        if has_tag {
            self.errors.push(
                ConfigError::new("tags are not part of a pipeline file")
                    .at(&self.location(span.start, 1))
                    .help("remove the tag; quote the value if it must be a string"),
            );
        }
    }

    fn refuse_control_characters(&self, text: &str) -> Result<(), ConfigError> {
        for (number, content) in (1..).zip(text.split('\n')) {
            let is_bad = |c: char| c.is_control() && !matches!(c, '\t' | '\r');
            if let Some(index) = content.chars().position(is_bad) {
                return Err(ConfigError::new("there is a control character in the file")
                    .at(&self.location(Marker::new(0, number, index), 1))
                    .help("write it as an escape in a double-quoted string, such as \"\\u0000\""));
            }
        }
        Ok(())
    }

    fn not_yaml(&self, err: &saphyr_parser::ScanError) -> ConfigError {
        // The parser's own words say what it met, and never repeat what stands in the file.
        let place = self.location(*err.marker(), 1);
        let error = ConfigError::new(format!("this is not YAML: {}", err.info())).at(&place);
        let text = self.source.lines.get(err.marker().line().saturating_sub(1));
        match text.is_some_and(|text| text.contains("${")) {
            true => error.help("between braces a reference stands in quotes: \"${NAME}\""),
            false => error,
        }
    }

    fn location(&self, marker: Marker, width: u32) -> Location {
        Location { file: Arc::clone(&self.file), line: line(marker), column: column(marker), width }
    }
}

fn too_deep_at(location: &Location) -> ConfigError {
    ConfigError::new(format!("lists and mappings lie more than {MAX_NESTING} deep")).at(location)
}

fn line(marker: Marker) -> u32 {
    u32::try_from(marker.line()).unwrap_or(u32::MAX).max(1)
}

fn column(marker: Marker) -> u32 {
    u32::try_from(marker.col()).unwrap_or(u32::MAX - 1) + 1
}

/// How many characters lie on the first line; a text of several lines is marked at its start.
fn width(span: Span) -> u32 {
    match span.start.line() == span.end.line() {
        true => column(span.end).saturating_sub(column(span.start)).max(1),
        false => 1,
    }
}

fn height(node: &Node) -> usize {
    match &node.value {
        Value::Sequence(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Value::Mapping(mapping) => {
            1 + mapping.entries.iter().map(|entry| height(&entry.value)).max().unwrap_or(0)
        }
        _ => 0,
    }
}
