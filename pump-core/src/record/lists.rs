//! The lists and maps of a record: kept as the bytes they came in, and read each time they are walked.
//!
//! Most records have none or are never asked for them, so nothing is made of them beforehand. A walked
//! record holds only sound ones; an iterator over an unsound one ends early.

use super::Text;
use super::msgpack::cursor::{Any, Cursor};
use super::msgpack::transaction::{nilable_text_list, read_graphql_error};
use super::protobuf::{Occurrences, map_entry};

/// A list of texts.
#[derive(Debug, Clone, Copy, Default)]
pub enum TextList<'a> {
    /// There is none.
    #[default]
    Nil,
    /// `count` msgpack strings, one after the other.
    Msgpack {
        /// The strings with their headers; may go on after the last.
        body: &'a [u8],
        /// How many strings.
        count: u32,
    },
    /// Every occurrence of one field in a protobuf message.
    Protobuf {
        /// The message.
        message: &'a [u8],
        /// The numbers of the fields that lead to it: the last is the list's own, those before it are
        /// messages, which may occur several times too.
        path: &'static [u32],
    },
    /// Texts that an edit made.
    Texts(&'a [Text<'a>]),
}

/// A map of text to text. Keys may repeat: the last wins.
#[derive(Debug, Clone, Copy, Default)]
pub enum TextMap<'a> {
    /// There is none.
    #[default]
    Nil,
    /// `count` pairs of msgpack strings.
    Msgpack {
        /// The pairs; may go on after the last.
        body: &'a [u8],
        /// How many pairs.
        count: u32,
    },
    /// Every occurrence of one map field in a protobuf message.
    Protobuf {
        /// The message.
        message: &'a [u8],
        /// The way to the field, as in [`TextList::Protobuf`].
        path: &'static [u32],
    },
}

/// A map of text to a list of texts. Keys may repeat: the last wins.
#[derive(Debug, Clone, Copy, Default)]
pub enum TextListMap<'a> {
    /// There is none.
    #[default]
    Nil,
    /// `count` pairs of a msgpack string and a msgpack array of strings.
    Msgpack {
        /// The pairs; may go on after the last.
        body: &'a [u8],
        /// How many pairs.
        count: u32,
    },
    /// Every occurrence of one map field in a protobuf message.
    Protobuf {
        /// The message.
        message: &'a [u8],
        /// The way to the field, as in [`TextList::Protobuf`].
        path: &'static [u32],
    },
}

/// The errors of a GraphQL answer.
#[derive(Debug, Clone, Copy, Default)]
pub enum GraphqlErrors<'a> {
    /// There are none.
    #[default]
    Nil,
    /// `count` msgpack structures with `Message` and `Path`.
    Msgpack {
        /// The structures; may go on after the last.
        body: &'a [u8],
        /// How many.
        count: u32,
    },
    /// Every occurrence of one text field in a protobuf message: messages without a path.
    Protobuf {
        /// The message.
        message: &'a [u8],
        /// The way to the field, as in [`TextList::Protobuf`].
        path: &'static [u32],
    },
}

/// One error of a GraphQL answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct GraphqlError<'a> {
    /// What went wrong.
    pub message: Text<'a>,
    /// Where in the answer.
    pub path: GraphqlPath<'a>,
}

/// Names and indices that lead to a place in a GraphQL answer; a server may put any value here.
#[derive(Debug, Clone, Copy, Default)]
pub enum GraphqlPath<'a> {
    /// There is none.
    #[default]
    Nil,
    /// `count` msgpack values.
    Msgpack {
        /// The values; may go on after the last.
        body: &'a [u8],
        /// How many.
        count: u32,
    },
}

/// One step of a [`GraphqlPath`].
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PathItem<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Uint(u64),
    /// A number of single precision, which is written with fewer digits.
    Float32(f32),
    Float64(f64),
    Text(Text<'a>),
    Binary(&'a [u8]),
    List(GraphqlPath<'a>),
    Map(PathPairs<'a>),
}

/// A map in a [`GraphqlPath`].
#[derive(Debug, Clone, Copy)]
pub struct PathPairs<'a> {
    body: &'a [u8],
    count: u32,
}

impl<'a> TextList<'a> {
    /// Whether there is no list. An empty list is not nil, except in protobuf, which cannot tell.
    pub fn is_nil(self) -> bool {
        match self {
            Self::Nil => true,
            Self::Msgpack { .. } | Self::Texts(_) => false,
            Self::Protobuf { .. } => self.is_empty(),
        }
    }

    /// Whether there is no text in it.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// How many texts are in it; walks those of protobuf.
    pub fn len(self) -> usize {
        match self {
            Self::Nil => 0,
            Self::Msgpack { count, .. } => count as usize,
            Self::Protobuf { .. } => self.iter().count(),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// The texts in their order.
    pub fn iter(self) -> impl Iterator<Item = Text<'a>> {
        enum Source<'a> {
            Msgpack(Cursor<'a>, u32),
            Protobuf(Occurrences<'a>),
            Texts(std::slice::Iter<'a, Text<'a>>),
        }
        let mut source = match self {
            Self::Nil => Source::Texts([].iter()),
            Self::Msgpack { body, count } => Source::Msgpack(Cursor::new(body), count),
            Self::Protobuf { message, path } => Source::Protobuf(Occurrences::new(message, path)),
            Self::Texts(texts) => Source::Texts(texts.iter()),
        };
        std::iter::from_fn(move || match &mut source {
            Source::Msgpack(cursor, left) => {
                *left = left.checked_sub(1)?;
                cursor.text().ok()
            }
            Source::Protobuf(occurrences) => occurrences.next().map(Text),
            Source::Texts(texts) => texts.next().copied(),
        })
    }
}

impl<'a> TextMap<'a> {
    /// Whether there is no map. An empty map is not nil, except in protobuf, which cannot tell.
    pub fn is_nil(self) -> bool {
        match self {
            Self::Nil => true,
            Self::Msgpack { .. } => false,
            Self::Protobuf { .. } => self.iter().next().is_none(),
        }
    }

    /// The pairs as they are on the wire; see [`sorted`] for their order in an output.
    pub fn iter(self) -> impl Iterator<Item = (Text<'a>, Text<'a>)> {
        let mut source = match self {
            Self::Nil => Pairs::none(),
            Self::Msgpack { body, count } => Pairs::Msgpack(Cursor::new(body), count),
            Self::Protobuf { message, path } => Pairs::Protobuf(Occurrences::new(message, path)),
        };
        std::iter::from_fn(move || match &mut source {
            Pairs::Msgpack(cursor, left) => {
                *left = left.checked_sub(1)?;
                Some((cursor.text().ok()?, cursor.text().ok()?))
            }
            Pairs::Protobuf(occurrences) => {
                let (key, value) = map_entry(occurrences.next()?);
                Some((Text(key), Text(value)))
            }
        })
    }
}

impl<'a> TextListMap<'a> {
    /// Whether there is no map. In protobuf there is always one where its message is.
    pub fn is_nil(self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The pairs as they are on the wire; see [`sorted`] for their order in an output.
    pub fn iter(self) -> impl Iterator<Item = (Text<'a>, TextList<'a>)> {
        let mut source = match self {
            Self::Nil => Pairs::none(),
            Self::Msgpack { body, count } => Pairs::Msgpack(Cursor::new(body), count),
            Self::Protobuf { message, path } => Pairs::Protobuf(Occurrences::new(message, path)),
        };
        std::iter::from_fn(move || match &mut source {
            Pairs::Msgpack(cursor, left) => {
                *left = left.checked_sub(1)?;
                let key = cursor.text().ok()?;
                Some((key, nilable_text_list(cursor).ok()?.unwrap_or_default()))
            }
            Pairs::Protobuf(occurrences) => {
                let entry = occurrences.next()?;
                let (key, _) = map_entry(entry);
                Some((Text(key), TextList::Protobuf { message: entry, path: &[2, 1] }))
            }
        })
    }
}

impl<'a> GraphqlErrors<'a> {
    /// Whether there is no list. In protobuf there is always one where its message is.
    pub fn is_nil(self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The errors in their order.
    pub fn iter(self) -> impl Iterator<Item = GraphqlError<'a>> {
        let mut source = match self {
            Self::Nil => Pairs::none(),
            Self::Msgpack { body, count } => Pairs::Msgpack(Cursor::new(body), count),
            Self::Protobuf { message, path } => Pairs::Protobuf(Occurrences::new(message, path)),
        };
        std::iter::from_fn(move || match &mut source {
            Pairs::Msgpack(cursor, left) => {
                *left = left.checked_sub(1)?;
                let mut error = GraphqlError::default();
                read_graphql_error(cursor, &mut error).ok()?;
                Some(error)
            }
            Pairs::Protobuf(occurrences) => {
                Some(GraphqlError { message: Text(occurrences.next()?), path: GraphqlPath::Nil })
            }
        })
    }
}

impl<'a> GraphqlPath<'a> {
    /// Whether there is no path; an empty one is not nil.
    pub fn is_nil(self) -> bool {
        matches!(self, Self::Nil)
    }

    /// The steps in their order. They nest at most [`super::MAX_DEPTH`] deep.
    pub fn iter(self) -> impl Iterator<Item = PathItem<'a>> {
        let (mut cursor, mut left) = match self {
            Self::Nil => (Cursor::new(&[]), 0),
            Self::Msgpack { body, count } => (Cursor::new(body), count),
        };
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            path_item(&mut cursor)
        })
    }
}

impl<'a> PathPairs<'a> {
    /// The pairs as they are on the wire. A key is never a list, a map or binary data.
    pub fn iter(self) -> impl Iterator<Item = (PathItem<'a>, PathItem<'a>)> {
        let (mut cursor, mut left) = (Cursor::new(self.body), self.count);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            Some((path_item(&mut cursor)?, path_item(&mut cursor)?))
        })
    }
}

/// Calls `each` for the pairs of a map in the order in which Go writes them: by the bytes of their
/// keys, of repeated keys only the last. Up to 16 pairs are sorted on the stack.
pub fn sorted<'a, V: Copy + Default>(
    mut pairs: impl Iterator<Item = (Text<'a>, V)>,
    mut each: impl FnMut(Text<'a>, V),
) {
    const SMALL: usize = 16;
    let mut small = [(Text::default(), V::default()); SMALL];
    let mut many = Vec::new();
    let mut count = 0;
    for (slot, pair) in small.iter_mut().zip(&mut pairs) {
        *slot = pair;
        count += 1;
    }
    let pairs = match pairs.next() {
        None => &mut small[..count],
        Some(pair) => {
            many.extend_from_slice(&small);
            many.push(pair);
            many.extend(pairs);
            &mut many[..]
        }
    };
    // A stable sort keeps the repeats of a key in the order of the wire.
    pairs.sort_by_key(|(key, _)| key.bytes());
    for (index, (key, value)) in pairs.iter().enumerate() {
        if pairs.get(index + 1).is_none_or(|(next, _)| next != key) {
            each(*key, *value);
        }
    }
}

/// Where pairs, or errors, come from.
enum Pairs<'a> {
    Msgpack(Cursor<'a>, u32),
    Protobuf(Occurrences<'a>),
}

impl Pairs<'_> {
    fn none() -> Self {
        Self::Msgpack(Cursor::new(&[]), 0)
    }
}

fn path_item<'a>(cursor: &mut Cursor<'a>) -> Option<PathItem<'a>> {
    let before = *cursor;
    Some(match cursor.any().ok()? {
        Any::Nil => PathItem::Nil,
        Any::Bool(value) => PathItem::Bool(value),
        Any::Int(value) => PathItem::Int(value),
        Any::Uint(value) => PathItem::Uint(value),
        Any::Float32(value) => PathItem::Float32(value),
        Any::Float64(value) => PathItem::Float64(value),
        Any::Text(value) => PathItem::Text(value),
        Any::Binary(value) => PathItem::Binary(value),
        Any::Array(count) => {
            let body = skip_container(cursor, before)?;
            PathItem::List(GraphqlPath::Msgpack { body, count })
        }
        Any::Map(count) => {
            let body = skip_container(cursor, before)?;
            PathItem::Map(PathPairs { body, count })
        }
        Any::Extension => return None,
    })
}

/// Goes past the container that begins at `before`; gives what comes after its head.
fn skip_container<'a>(cursor: &mut Cursor<'a>, before: Cursor<'a>) -> Option<&'a [u8]> {
    let body = cursor.rest;
    *cursor = before;
    cursor.skip_plain(0).ok()?;
    Some(body)
}
