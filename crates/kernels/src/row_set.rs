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

/// Returns the size of the sample of n rows that [`sample_gradient`] takes.
///
/// [`sample_gradient`]: crate::FusedModel::sample_gradient
pub fn sample_size(n: usize, step: usize) -> usize {
    (n / SAMPLED_CHUNK).div_ceil(step) * SAMPLED_CHUNK
}

/// Returns the row at a position in the sample that [`sample_gradient`] takes.
///
/// [`sample_gradient`]: crate::FusedModel::sample_gradient
#[inline(always)]
pub fn sampled_row(position: usize, step: usize) -> usize {
    position / SAMPLED_CHUNK * SAMPLED_CHUNK * step + position % SAMPLED_CHUNK
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
            RowSet::Sampled { start, step, .. } => sampled_row(start + i, step),
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
