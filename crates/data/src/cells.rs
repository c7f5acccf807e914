//! The fields of a table, stored as they were read. Nothing about their use is decided here: that
//! needs the training rows (see [`learn`](crate::learn)).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chainrule_core::{ABSENT, MAX_ABS_VALUE, MISSING};

use crate::DataError;
use crate::column::Column;
use crate::row_lines::RowLines;
use crate::same_number::same_number;
use crate::scratch::Scratch;
use crate::sparse::SparseColumn;

/// A field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    /// An empty field.
    Empty,
    /// A number of at most [`MAX_ABS_VALUE`].
    Number(f64),
    /// The position of a text in its column's [`Texts`].
    Text(u32),
}

/// The unit of stored text positions. The stored number of text i is `TEXT * (2^23 + i)`. It lies
/// beyond all numbers, and `f32` represents it exactly for i < 2^23.
const TEXT: f64 = (1u128 << 81) as f64;
const FIRST: f64 = (1u32 << 23) as f64;
/// The smallest stored number of a text.
pub(crate) const TEXTS_FROM: f64 = TEXT * FIRST;
const _: () = assert!(TEXTS_FROM > 2.0 * MAX_ABS_VALUE, "texts lie beyond all numbers, also centred ones");

impl Cell {
    /// Returns the number that is stored for the cell.
    pub(crate) fn to_stored(self) -> f64 {
        match self {
            Self::Empty => ABSENT,
            Self::Number(number) => number,
            Self::Text(position) => TEXT * (FIRST + f64::from(position)),
        }
    }

    /// Returns the cell of a stored number.
    pub(crate) fn of_stored(stored: f64) -> Self {
        if stored.abs() <= MAX_ABS_VALUE {
            Self::Number(stored)
        } else if stored == ABSENT {
            Self::Empty
        } else {
            Self::Text((stored / TEXT - FIRST) as u32)
        }
    }
}

/// The different texts of a column, in the order of their first rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    positions: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    bytes: u64,
}

/// The memory that a text takes besides its bytes.
const OVERHEAD: u64 = 64;

impl Texts {
    /// Returns the position of a text, which is added if it is new.
    pub(crate) fn position(&mut self, text: &str) -> u32 {
        if let Some(&position) = self.positions.get(text) {
            return position;
        }
        let (position, text) = (self.texts.len() as u32, Arc::<str>::from(text));
        self.bytes += OVERHEAD + text.len() as u64;
        self.texts.push(Arc::clone(&text));
        self.positions.insert(text, position);
        position
    }

    /// Returns the position of a text, if it is known.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        self.positions.get(text).copied()
    }

    /// Returns whether the text is known.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.positions.contains_key(text)
    }

    /// Returns the number of texts.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Returns the text at a position.
    pub(crate) fn get(&self, position: u32) -> &str {
        &self.texts[position as usize]
    }

    /// Iterates over the texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        self.texts.iter().map(|text| &**text)
    }

    /// Returns the memory that the texts take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The cells of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells {
    /// The names of the columns. Rows from memory have none.
    pub(crate) names: Vec<String>,
    pub(crate) columns: Vec<Column>,
    /// The sparse column, if the table has one. It is then the only one with a name here.
    pub(crate) sparse: Option<Box<SparseColumn>>,
    /// The weight of each row, if a column has them. It is at least 0.
    pub(crate) weights: Option<Box<Column>>,
    /// The line of each row in its file, from 2, or its number, from 1. Rows from memory have none.
    pub(crate) lines: RowLines,
    /// The files of the rows, in their order. Rows from memory have none.
    pub(crate) files: Vec<FileRows>,
    /// The file with the rows that do not fit in memory, if there are such rows.
    pub(crate) scratch: Option<Arc<Scratch>>,
}

/// The rows of a file.
#[derive(Clone, Debug)]
pub(crate) struct FileRows {
    /// The first row.
    pub(crate) first: usize,
    /// The name of the file. Empty if there is one file.
    pub(crate) name: String,
    pub(crate) unit: Unit,
}

/// What a file's rows are counted by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Unit {
    /// Lines of a text.
    #[default]
    Line,
    /// Rows of a table that is stored by columns.
    Row,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "line",
            Self::Row => "row",
        })
    }
}

impl Cells {
    /// Writes whole blocks of rows to a file, and frees them.
    pub(crate) fn move_to_file(&mut self, scratch: &Arc<Scratch>) -> Result<(), DataError> {
        self.scratch = Some(Arc::clone(scratch));
        Column::move_to_file(&mut self.columns, scratch)
    }

    /// Fails if an earlier read of rows in a file failed.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        self.scratch.as_ref().map_or(Ok(()), |scratch| scratch.check())
    }

    /// Frees the features of a block of rows. They must not be read again.
    pub(crate) fn free(&mut self, block: usize) {
        self.columns.iter_mut().for_each(|column| column.free(block));
    }

    /// Returns where a row is, for an error: `line 7`, `row 6` in a table that is stored by
    /// columns, or `b.csv, line 7` if there are several files.
    pub(crate) fn place(&self, row: usize) -> String {
        let Some(number) = self.lines.get(row) else { return format!("row {row} (from 0)") };
        let after = self.files.partition_point(|file| file.first <= row);
        match &self.files[..after] {
            [.., FileRows { name, unit, .. }] if !name.is_empty() => format!("{name}, {unit} {number}"),
            [.., FileRows { unit, .. }] => format!("{unit} {number}"),
            [] => format!("line {number}"),
        }
    }

    /// Returns what the rows of the last file are counted by.
    pub(crate) fn unit(&self) -> Unit {
        self.files.last().map(|file| file.unit).unwrap_or_default()
    }
}

/// Returns for each of a column's texts whether it [marks a missing value](marks_missing).
pub(crate) fn are_missing<'a>(texts: impl Iterator<Item = &'a str>, also: &[String], has_plus: bool) -> Vec<bool> {
    texts.map(|text| marks_missing(text, also, has_plus)).collect()
}

/// Returns whether a text marks a missing value. `also` are further marks (`data.missing`). In a
/// column that `has_plus`, the text `+`, the text `-` is a value.
pub(crate) fn marks_missing(text: &str, also: &[String], has_plus: bool) -> bool {
    is_marked(text, also) || (MISSING.contains(&text) && !(has_plus && text == "-"))
}

/// Returns whether one of these marks (`data.missing`) names a text. A mark that is a number names
/// all forms of it: `-99` and `-99.0`.
pub(crate) fn is_marked(text: &str, marks: &[String]) -> bool {
    marks.iter().map(|mark| mark.trim()).any(|mark| {
        mark == text || same_number(mark).is_some_and(|number| same_number(text).is_some_and(|own| own == number))
    })
}

/// Returns the marks that are numbers as a column stores them, by their bits.
pub(crate) fn missing_numbers(marks: &[String], column: &Column) -> Vec<u64> {
    let numbers = marks.iter().filter_map(|mark| mark.trim().parse::<f64>().ok());
    numbers.flat_map(|number| column.stored_forms(number)).map(bits_of).collect()
}

/// Returns the bits of a number. Zero has two signs, which are the same number.
pub(crate) fn bits_of(number: f64) -> u64 {
    (number + 0.0).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_stored_exactly() {
        for number in [0.0, -0.0, 1.5, -1e30, 1e30, f64::MIN_POSITIVE, 0.1] {
            let Cell::Number(stored) = Cell::of_stored(Cell::Number(number).to_stored()) else { panic!("{number}") };
            assert_eq!(stored.to_bits(), number.to_bits());
        }
        for position in [0, 1, 77, (1 << 23) - 1, 1 << 23, 123_456_789, u32::MAX] {
            let stored = Cell::Text(position).to_stored();
            assert_eq!(Cell::of_stored(stored), Cell::Text(position));
            // Blocks of numbers that f32 represents exactly take half the memory.
            assert!(position >= 1 << 23 || f64::from(stored as f32) == stored, "{position}");
        }
        assert_eq!(Cell::of_stored(Cell::Empty.to_stored()), Cell::Empty);
    }

    #[test]
    fn a_minus_is_a_value_beside_a_plus() {
        let check = |texts: &[&str], also: &[&str], expected: &[bool]| {
            let also: Vec<String> = also.iter().map(ToString::to_string).collect();
            let has_plus = texts.contains(&"+");
            assert_eq!(are_missing(texts.iter().copied(), &also, has_plus), expected, "{texts:?}");
        };
        check(&["-", "a", "NA", "na", "?"], &[], &[true, false, true, false, true]);
        check(&["-", "+"], &[], &[false, false]);
        check(&["-", "+", "unknown"], &["unknown", "-"], &[true, false, true]);
        check(&["-99.0", "-99", "99", "-990"], &["-99"], &[true, true, false, false]);
    }
}
