//! The rows of a pass.

use std::ops::Range;

/// The number of contiguous rows in a sample.
pub(crate) const SAMPLED_CHUNK: usize = 64;

/// The rows of a pass.
#[derive(Clone, Copy)]
pub(crate) enum RowSet<'a> {
    /// Row indices, in this order.
    Listed(&'a [usize]),
    /// All rows from the start index to the end index, exclusive.
    Range(usize, usize),
    /// One chunk of [`SAMPLED_CHUNK`] rows out of `step`: the rows of these positions, of all
    /// chunks from the first.
    Sampled { start: usize, end: usize, step: usize },
}

impl<'a> RowSet<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            RowSet::Listed(rows) => rows.len(),
            RowSet::Range(start, end) | RowSet::Sampled { start, end, .. } => end - start,
        }
    }

    /// Returns the index of the i-th row.
    #[inline(always)]
    pub(crate) fn row(self, i: usize) -> usize {
        match self {
            RowSet::Listed(rows) => rows[i],
            RowSet::Range(start, _) => start + i,
            RowSet::Sampled { start, step, .. } => {
                let position = start + i;
                position / SAMPLED_CHUNK * SAMPLED_CHUNK * step + position % SAMPLED_CHUNK
            }
        }
    }

    /// Returns the rows at these positions of the set.
    #[inline(always)]
    pub(crate) fn slice(self, range: Range<usize>) -> RowSet<'a> {
        match self {
            RowSet::Listed(rows) => RowSet::Listed(&rows[range]),
            RowSet::Range(start, _) => RowSet::Range(start + range.start, start + range.end),
            RowSet::Sampled { start, step, .. } => {
                let (first, last) = (start + range.start, start + range.end);
                if last <= (first / SAMPLED_CHUNK + 1) * SAMPLED_CHUNK {
                    // The rows of one chunk are contiguous.
                    let row = self.row(range.start);
                    return RowSet::Range(row, row + range.len());
                }
                RowSet::Sampled { start: first, end: last, step }
            }
        }
    }
}
