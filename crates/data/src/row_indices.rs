//! The selected rows of a store.

use std::ops::Range;
use std::sync::Arc;

/// The selected stored rows.
#[derive(Clone, Debug)]
pub(crate) enum RowIndices {
    /// All rows of a range.
    All(Range<usize>),
    /// These rows, in ascending order.
    Mask(Arc<RowMask>),
    /// These rows, in this order. There are fewer than 2^32, the limit of an IDX header.
    Some(Arc<[u32]>),
}

/// A selection of rows, in a bit each.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowMask {
    words: Vec<u64>,
    /// The number of selected rows before each group of [`WORDS`] words.
    before: Vec<u32>,
    n: usize,
}

/// The words of a group.
const WORDS: usize = 8;
/// The rows of a group.
const ROWS: usize = WORDS * u64::BITS as usize;

impl RowMask {
    /// Selects rows in ascending order.
    pub(crate) fn of(rows: impl Iterator<Item = usize>) -> Self {
        let mut mask = Self::default();
        for row in rows {
            let word = row / 64;
            while mask.words.len() <= word {
                if mask.words.len().is_multiple_of(WORDS) {
                    mask.before.push(mask.n as u32);
                }
                mask.words.push(0);
            }
            mask.words[word] |= 1 << (row % 64);
            mask.n += 1;
        }
        mask
    }

    /// Returns the row at a position among the selected ones.
    ///
    /// # Panics
    /// Panics if the position is past the end.
    fn get(&self, position: usize) -> usize {
        assert!(position < self.n, "row {position} of {}", self.n);
        let group = self.before.partition_point(|&before| before as usize <= position) - 1;
        let mut left = position - self.before[group] as usize;
        for (i, &word) in self.words[group * WORDS..].iter().enumerate() {
            let ones = word.count_ones() as usize;
            if left < ones {
                let mut word = word;
                (0..left).for_each(|_| word &= word - 1);
                return group * ROWS + i * 64 + word.trailing_zeros() as usize;
            }
            left -= ones;
        }
        unreachable!("the mask has {} rows", self.n)
    }

    /// Iterates over the rows from a stored row on.
    fn iter_from(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        let of_first = u64::MAX << (first % 64);
        self.words.iter().enumerate().skip(first / 64).flat_map(move |(i, &word)| {
            let mut word = if i == first / 64 { word & of_first } else { word };
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(i * 64 + bit)
            })
        })
    }
}

impl RowIndices {
    /// Selects rows in ascending order, of which there are `n` in all.
    pub(crate) fn ascending(rows: impl Iterator<Item = usize>, n: usize) -> Self {
        let mask = RowMask::of(rows);
        if mask.n == n { Self::All(0..n) } else { Self::Mask(Arc::new(mask)) }
    }

    /// Returns whether both are surely the same rows in the same order.
    pub(crate) fn are_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All(own), Self::All(other)) => own == other,
            (Self::Mask(own), Self::Mask(other)) => Arc::ptr_eq(own, other),
            (Self::Some(own), Self::Some(other)) => Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::All(range) => range.len(),
            Self::Mask(mask) => mask.n,
            Self::Some(rows) => rows.len(),
        }
    }

    /// Returns the stored row at a position.
    ///
    /// # Panics
    /// Panics if the position is past the end.
    pub(crate) fn get(&self, position: usize) -> usize {
        match self {
            Self::All(range) => {
                assert!(position < range.len(), "row {position} of {}", range.len());
                range.start + position
            }
            Self::Mask(mask) => mask.get(position),
            Self::Some(rows) => rows[position] as usize,
        }
    }

    /// Iterates over the stored rows at these positions.
    ///
    /// # Panics
    /// Panics if a position is past the end.
    pub(crate) fn range(&self, positions: Range<usize>) -> Box<dyn Iterator<Item = usize> + '_> {
        let Range { start, end } = positions;
        assert!(start <= end && end <= self.len(), "rows {start}..{end} of {}", self.len());
        match self {
            Self::All(range) => Box::new(range.start + start..range.start + end),
            Self::Mask(_) if start == end => Box::new(std::iter::empty()),
            Self::Mask(mask) => Box::new(mask.iter_from(mask.get(start)).take(end - start)),
            Self::Some(rows) => Box::new(rows[start..end].iter().map(|&row| row as usize)),
        }
    }

    /// Iterates over the stored rows in their order.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = usize> + '_> {
        self.range(0..self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_the_selected_rows() {
        let selections: [&dyn Fn(usize) -> bool; 5] =
            [&|_| true, &|row| row % 3 == 1, &|row| row > 700, &|row| row == 999, &|row| (row / 100) % 2 == 0];
        for is_selected in selections {
            let rows: Vec<usize> = (0..1000).filter(|&row| is_selected(row)).collect();
            let indices = RowIndices::ascending(rows.iter().copied(), 1000);
            assert_eq!(indices.iter().collect::<Vec<_>>(), rows);
            assert_eq!((0..indices.len()).map(|position| indices.get(position)).collect::<Vec<_>>(), rows);
        }
        let indices = RowIndices::ascending((0..1000).filter(|row| row % 7 != 0), 1000);
        for positions in [0..0, 0..1, 5..300, 800..857, 856..857] {
            let expected: Vec<usize> = positions.clone().map(|position| indices.get(position)).collect();
            assert_eq!(indices.range(positions).collect::<Vec<_>>(), expected);
        }
        assert_eq!(RowIndices::ascending(std::iter::empty(), 5).len(), 0);
    }
}
