//! Rows that wait to be a row group, column by column: numbers as numbers, all texts one after the other.

use std::io::Write;
use std::ops::Range;

use bytes::Bytes;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::SerializedFileWriter;
use pump_core::encode::json;
use pump_core::record::{GraphqlErrors, RecordId, Text, TextList, TextListMap, TextMap, Timestamp};

use super::columns::Shape;
use super::misfit;

/// The last second of the year 9999: what comes after it most readers cannot show.
const LAST_SECOND: i64 = 253_402_300_799;

/// A value of a row. Its name is that of its column's [`Shape`].
pub(super) enum Cell<'a> {
    Id(RecordId),
    Text(Text<'a>),
    Int(i64),
    Float(f64),
    Bool(bool),
    Time(Timestamp),
    List(TextList<'a>),
    Json(Json<'a>),
}

/// What is written as JSON.
pub(super) enum Json<'a> {
    Map(TextMap<'a>),
    Lists(TextListMap<'a>),
    Errors(GraphqlErrors<'a>),
}

/// Rows that wait.
pub(super) struct Rows {
    columns: Vec<Column>,
    texts: Vec<u8>,
    /// The column that is filled next.
    next: usize,
    count: usize,
    /// Bytes of numbers.
    numbers: usize,
}

struct Column {
    values: Values,
    /// For each row, and for each further item of a list, how much of it is there: 0 is null, 1 is a value or a
    /// list without items, 2 an item.
    definitions: Vec<i16>,
    /// For lists: 0 begins a row, 1 goes on.
    repetitions: Option<Vec<i16>>,
}

enum Values {
    /// Places in the texts.
    Texts(Vec<Range<u32>>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Bools(Vec<bool>),
}

impl Rows {
    pub(super) fn new(shapes: impl Iterator<Item = Shape>) -> Self {
        let column = |shape| {
            let values = match shape {
                Shape::Text | Shape::Json | Shape::List => Values::Texts(Vec::new()),
                Shape::Int | Shape::Time => Values::Ints(Vec::new()),
                Shape::Float => Values::Floats(Vec::new()),
                Shape::Bool => Values::Bools(Vec::new()),
            };
            let repetitions = (shape == Shape::List).then(Vec::new);
            Column { values, definitions: Vec::new(), repetitions }
        };
        Self { columns: shapes.map(column).collect(), texts: Vec::new(), next: 0, count: 0, numbers: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// About how many bytes they take.
    pub(super) fn size(&self) -> usize {
        self.texts.len() + self.numbers
    }

    /// A row begins; a value for each column follows, in order.
    pub(super) fn begin(&mut self) {
        self.next = 0;
        self.count += 1;
    }

    /// The next column's value.
    pub(super) fn put(&mut self, cell: Option<Cell<'_>>) {
        let Some(column) = self.columns.get_mut(self.next) else { return };
        self.next += 1;
        self.numbers += size_of::<i64>();
        let texts = &mut self.texts;
        let begin = texts.len() as u32;
        if let (Some(Cell::List(list)), Some(repetitions), Values::Texts(places)) =
            (&cell, &mut column.repetitions, &mut column.values)
            && !list.is_nil()
        {
            let before = places.len();
            for item in list.iter() {
                repetitions.push(i16::from(places.len() > before));
                column.definitions.push(2);
                places.push(push_text(item, texts));
            }
            if places.len() == before {
                repetitions.push(0);
                column.definitions.push(1);
            }
            return;
        }
        let is_there = match (cell, &mut column.values) {
            (Some(Cell::Text(text)), Values::Texts(places)) => {
                places.push(push_text(text, texts));
                true
            }
            (Some(Cell::Id(id)), Values::Texts(places)) => {
                // A vector takes all that it is given.
                let is_written = write!(texts, "{id}").is_ok();
                places.push(begin..texts.len() as u32);
                is_written
            }
            (Some(Cell::Json(value)), Values::Texts(places)) => {
                let is_there = value.write(texts);
                if is_there {
                    places.push(begin..texts.len() as u32);
                }
                is_there
            }
            (Some(Cell::Int(number)), Values::Ints(numbers)) => {
                numbers.push(number);
                true
            }
            (Some(Cell::Time(time)), Values::Ints(numbers)) => {
                let micros = micros(time);
                numbers.extend(micros);
                micros.is_some()
            }
            (Some(Cell::Float(number)), Values::Floats(numbers)) => {
                numbers.push(number);
                true
            }
            (Some(Cell::Bool(is_so)), Values::Bools(bools)) => {
                bools.push(is_so);
                true
            }
            _ => false,
        };
        column.definitions.push(i16::from(is_there));
        if let Some(repetitions) = &mut column.repetitions {
            repetitions.push(0);
        }
    }

    /// Writes them as one row group.
    pub(super) fn write(self, writer: &mut SerializedFileWriter<Vec<u8>>) -> Result<()> {
        let texts = Bytes::from(self.texts);
        let mut group = writer.next_row_group()?;
        for Column { values, definitions, repetitions } in self.columns {
            let mut out = group.next_column()?.ok_or_else(|| misfit("the schema has too few columns"))?;
            let (definitions, repetitions) = (Some(&*definitions), repetitions.as_deref());
            match values {
                Values::Texts(places) => {
                    let slice = |place: Range<u32>| texts.slice(place.start as usize..place.end as usize);
                    let values: Vec<_> =
                        places.into_iter().map(|place| ByteArray::from(slice(place))).collect();
                    out.typed::<ByteArrayType>().write_batch(&values, definitions, repetitions)?;
                }
                Values::Ints(values) => {
                    out.typed::<Int64Type>().write_batch(&values, definitions, repetitions)?;
                }
                Values::Floats(values) => {
                    out.typed::<DoubleType>().write_batch(&values, definitions, repetitions)?;
                }
                Values::Bools(values) => {
                    out.typed::<BoolType>().write_batch(&values, definitions, repetitions)?;
                }
            }
            out.close()?;
        }
        group.close().map(drop)
    }
}

impl Json<'_> {
    /// Whether there is something to write.
    fn write(self, out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        match self {
            Json::Map(map) => json::map(map, out),
            Json::Lists(map) => json::list_map(map, out),
            Json::Errors(errors) => json::errors(errors, out),
        }
        let is_there = &out[begin..] != b"null";
        if !is_there {
            out.truncate(begin);
        }
        is_there
    }
}

/// Appends a text as UTF-8, which the column promises, and gives its place.
fn push_text(text: Text<'_>, texts: &mut Vec<u8>) -> Range<u32> {
    let begin = texts.len() as u32;
    texts.extend_from_slice(text.to_str().as_bytes());
    begin..texts.len() as u32
}

/// `None` for the time that gateways write for none, and for one that readers cannot show.
fn micros(time: Timestamp) -> Option<i64> {
    let can_be_shown = time.seconds <= LAST_SECOND && time > Timestamp::ZERO;
    can_be_shown.then(|| time.seconds * 1_000_000 + i64::from(time.nanos / 1_000))
}
