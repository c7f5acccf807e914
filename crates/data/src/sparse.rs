//! The sparse column of a table: each row lists the indices that are not 0, with their values.

use chainrule_core::{MAX_ABS_VALUE, MAX_SPARSE_FEATURES, SparseIndices};

use crate::cells::Cell;
use crate::column::{Column, ColumnPart};
use crate::learn::shortened;
use crate::table::number;

/// A sparse column in memory: eight bytes an entry, or twelve if f32 cannot hold the values of a
/// short table.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseColumn {
    /// The number of entries up to each row, and with it.
    ends: Vec<usize>,
    indices: Vec<u32>,
    values: Column,
}

/// The most flags of indices for each entry.
const FLAGS_PER_ENTRY: usize = 16;

/// A part of a sparse column, as it was read.
#[derive(Debug, Default)]
pub(crate) struct SparsePart {
    ends: Vec<usize>,
    indices: Vec<u32>,
    values: ColumnPart,
}

impl SparsePart {
    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Appends the entries of a row. Those that are 0 are left out.
    ///
    /// # Errors
    /// Returns what is wrong with an entry. The row then has the entries before it.
    pub(crate) fn push(&mut self, text: &[u8]) -> Result<(), String> {
        let Self { indices, values, .. } = self;
        let pushed = each_entry(text, |index, value| {
            if value != 0.0 {
                indices.push(index);
                values.push(Cell::Number(value));
            }
        });
        self.ends.push(self.indices.len());
        pushed
    }
}

/// Calls `visit` with the entries `INDEX:VALUE` of a text, which white space separates.
///
/// # Errors
/// Returns what is wrong with an entry.
pub(crate) fn each_entry(text: &[u8], mut visit: impl FnMut(u32, f64)) -> Result<(), String> {
    let entries = text.split(u8::is_ascii_whitespace).filter(|entry| !entry.is_empty());
    let mut previous: Option<u32> = None;
    for (i, entry) in entries.enumerate() {
        let wrong = |problem: &str| {
            let shown = shortened(&String::from_utf8_lossy(entry));
            format!("entry {} ({shown:?}): {problem}", i + 1)
        };
        let colon = entry.iter().position(|&byte| byte == b':').ok_or_else(|| wrong("expected INDEX:VALUE"))?;
        let (index, value) = (&entry[..colon], &entry[colon + 1..]);
        let index = whole(index).ok_or_else(|| wrong(&format!("the index is no whole number up to {}", u32::MAX)))?;
        let value =
            number(value).ok_or_else(|| wrong(&format!("the value is no number between ±{MAX_ABS_VALUE:e}")))?;
        match previous {
            Some(previous) if previous == index => return Err(wrong("its index occurs twice in the row")),
            Some(previous) if previous > index => {
                return Err(wrong(&format!("its index comes after {previous}; the indices of a row must increase")));
            }
            _ => previous = Some(index),
        }
        visit(index, value);
    }
    Ok(())
}

/// Parses an index.
fn whole(digits: &[u8]) -> Option<u32> {
    let add = |whole: u32, digit: &u8| match digit {
        b'0'..=b'9' => whole.checked_mul(10)?.checked_add(u32::from(digit - b'0')),
        _ => None,
    };
    digits.iter().try_fold(0, add).filter(|_| !digits.is_empty())
}

impl SparseColumn {
    /// Appends the rows of a part.
    pub(crate) fn append(&mut self, part: SparsePart) {
        let before = self.indices.len();
        self.ends.extend(part.ends.iter().map(|end| before + end));
        self.indices.extend_from_slice(&part.indices);
        self.values.append(part.values);
    }

    /// Returns the memory that the rows take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (size_of_val(&self.ends[..]) + size_of_val(&self.indices[..])) as u64 + self.values.bytes()
    }

    /// Returns the mean number of entries of a row, rounded up.
    pub(crate) fn entries_per_row(&self) -> usize {
        self.indices.len().div_ceil(self.ends.len().max(1))
    }

    /// Returns the entries of a row: their indices and values.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (u32, f64)> + '_ {
        let first = row.checked_sub(1).map_or(0, |previous| self.ends[previous]);
        let mut values = self.values.reader();
        (first..self.ends[row]).map(move |entry| (self.indices[entry], values.get(entry)))
    }

    /// Returns the indices of some rows.
    ///
    /// # Errors
    /// Fails if there are none or too many.
    pub(crate) fn indices_of(&self, rows: impl Iterator<Item = usize>) -> Result<SparseIndices, String> {
        // One flag for each index, unless they are few and large.
        let largest = self.indices.iter().max().map_or(0, |&largest| largest as usize);
        let n_flags = if largest / FLAGS_PER_ENTRY < self.indices.len() { largest + 1 } else { 0 };
        let (mut flags, mut others) = (vec![false; n_flags], Vec::new());
        for (index, _) in rows.flat_map(|row| self.row(row)) {
            match flags.get_mut(index as usize) {
                Some(flag) => *flag = true,
                None => others.push(index),
            }
        }
        others.sort_unstable();
        others.dedup();
        let flagged = (0..).zip(&flags).filter(|(_, flag)| **flag).map(|(index, _)| index);
        let count = flagged.clone().count() + others.len();
        match count {
            0 => Err("no feature is left: no row lists an index with another value than 0".to_owned()),
            1..=MAX_SPARSE_FEATURES => Ok(SparseIndices::of_sorted(flagged.chain(others))),
            _ => Err(format!(
                "its rows have {count} different indices; at most {MAX_SPARSE_FEATURES} features are supported"
            )),
        }
    }
}
