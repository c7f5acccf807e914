//! The sparse features of a table's rows: each row lists those that are not 0.
//!
//! A feature is `a x + c`, as that of a number, and c is usually 0. The kernel folds both into
//! weights and base, so a row's logits are the base and a sum over its entries.

use std::ops::Range;

use crate::lanes::{LANES, Lanes};
use crate::real::Real;
use crate::row_set::RowSet;
use crate::table::rows::Stored;

/// The entries of all rows.
#[derive(Clone, Debug)]
pub(crate) struct SparseRows {
    /// The first entry of each row, and the number of entries. `[n + 1]`
    starts: Vec<usize>,
    /// The position of each entry among the sparse features.
    positions: Vec<u32>,
    values: SparseValues,
    /// Whether values other than 1 are stored in f64.
    are_f64: bool,
    /// The sum of each feature's values over all rows, and that of their squares.
    sums: Vec<(f64, f64)>,
}

/// The values of the entries.
#[derive(Clone, Debug)]
pub(crate) enum SparseValues {
    /// All are 1, as for words. A pass then reads half of the bytes.
    Ones,
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl SparseRows {
    pub(crate) fn new(n_features: usize, are_f64: bool) -> Self {
        let sums = vec![(0.0, 0.0); n_features];
        Self { starts: vec![0], positions: Vec::new(), values: SparseValues::Ones, are_f64, sums }
    }

    /// Frees the space for further entries.
    pub(crate) fn shrink(&mut self) {
        self.positions.shrink_to_fit();
        match &mut self.values {
            SparseValues::Ones => {}
            SparseValues::F32(values) => values.shrink_to_fit(),
            SparseValues::F64(values) => values.shrink_to_fit(),
        }
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, positions: &[u32], values: &[f64]) {
        assert_eq!(positions.len(), values.len(), "positions and values of a row");
        if matches!(self.values, SparseValues::Ones) && values.iter().any(|&value| value != 1.0) {
            let n = self.positions.len();
            self.values = if self.are_f64 { SparseValues::F64(vec![1.0; n]) } else { SparseValues::F32(vec![1.0; n]) };
        }
        self.positions.extend_from_slice(positions);
        for (&position, &value) in positions.iter().zip(values) {
            let stored = match &mut self.values {
                SparseValues::Ones => 1.0,
                SparseValues::F32(values) => {
                    values.push(value as f32);
                    f64::from(value as f32)
                }
                SparseValues::F64(values) => {
                    values.push(value);
                    value
                }
            };
            let (sum, squares) = &mut self.sums[position as usize];
            *sum += stored;
            *squares += stored * stored;
        }
        self.starts.push(self.positions.len());
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns whether f32 holds all values exactly.
    pub(crate) fn is_exact_in_f32(&self) -> bool {
        match &self.values {
            SparseValues::Ones | SparseValues::F32(_) => true,
            SparseValues::F64(values) => {
                values.iter().all(|value| f64::from(*value as f32).to_bits() == value.to_bits())
            }
        }
    }

    /// Stores the values in f32.
    pub(crate) fn narrow(&mut self) {
        self.are_f64 = false;
        if let SparseValues::F64(values) = &self.values {
            self.values = SparseValues::F32(values.iter().map(|&value| value as f32).collect());
        }
    }

    /// Returns the mean and the variance of a feature's values over all rows.
    pub(crate) fn moments(&self, position: usize) -> (f64, f64) {
        let (n, (sum, squares)) = (self.len().max(1) as f64, self.sums[position]);
        let mean = sum / n;
        (mean, (squares / n - mean * mean).max(0.0))
    }

    /// Returns the entries of a row.
    #[inline(always)]
    fn entries(&self, row: usize) -> Range<usize> {
        self.starts[row]..self.starts[row + 1]
    }

    /// Returns the position and the value of each entry of a row.
    #[inline(always)]
    pub(crate) fn entries_of_row(&self, row: usize) -> impl Iterator<Item = (usize, f64)> {
        let entries = self.entries(row);
        self.positions[entries.clone()].iter().zip(entries).map(|(&position, entry)| {
            let value = match &self.values {
                SparseValues::Ones => 1.0,
                SparseValues::F32(values) => values[entry].into(),
                SparseValues::F64(values) => values[entry],
            };
            (position as usize, value)
        })
    }

    /// Returns the smallest and the largest value of each feature over all rows.
    pub(crate) fn ranges(&self) -> Vec<[f64; 2]> {
        let mut ranges = vec![(0, [f64::INFINITY, f64::NEG_INFINITY]); self.sums.len()];
        for (position, value) in (0..self.len()).flat_map(|row| self.entries_of_row(row)) {
            let (n_rows, [low, high]) = &mut ranges[position];
            (*n_rows, *low, *high) = (*n_rows + 1, low.min(value), high.max(value));
        }
        // The value is 0 in the rows without an entry.
        let range = |(n_rows, [low, high]): (usize, [f64; 2])| {
            if n_rows < self.len() { [low.min(0.0), high.max(0.0)] } else { [low, high] }
        };
        ranges.into_iter().map(range).collect()
    }

    /// Adds the products of the rows' values and weights to the logits, of `padded_columns` in each
    /// group. `weights` are indexed `[position * columns + column]`.
    #[inline(always)]
    pub(crate) fn multiply<T: Real, S: Stored, const FMA: bool>(
        &self,
        row_set: RowSet,
        weights: &[T],
        columns: usize,
        padded_columns: usize,
        logits: &mut [Lanes<T>],
    ) {
        for i in 0..row_set.len() {
            let entries = self.entries(row_set.row(i));
            let positions = &self.positions[entries.clone()];
            let (logits, lane) = (&mut logits[i / LANES * padded_columns..][..columns], i % LANES);
            match &self.values {
                SparseValues::Ones => add_row::<T, FMA>(positions, Ones, weights, lane, logits),
                values => add_row::<T, FMA>(positions, &S::of_sparse(values)[entries], weights, lane, logits),
            }
        }
    }

    /// Adds the products of the rows' values and residuals to `sums`, indexed
    /// `[position * columns + column]`.
    #[inline(always)]
    pub(crate) fn accumulate<T: Real, S: Stored, const FMA: bool>(
        &self,
        row_set: RowSet,
        residuals: &[Lanes<T>],
        columns: usize,
        padded_columns: usize,
        sums: &mut [f64],
    ) {
        for i in 0..row_set.len() {
            let entries = self.entries(row_set.row(i));
            let positions = &self.positions[entries.clone()];
            let (residuals, lane) = (&residuals[i / LANES * padded_columns..][..columns], i % LANES);
            match &self.values {
                SparseValues::Ones => accumulate_row::<T, FMA>(positions, Ones, residuals, lane, sums),
                values => accumulate_row::<T, FMA>(positions, &S::of_sparse(values)[entries], residuals, lane, sums),
            }
        }
    }
}

/// The values of a row.
trait Values: Copy {
    /// Returns a value.
    fn at<T: Real>(self, entry: usize) -> T;
}

/// Values that are all 1.
#[derive(Clone, Copy)]
struct Ones;

impl Values for Ones {
    #[inline(always)]
    fn at<T: Real>(self, _: usize) -> T {
        T::ONE
    }
}

impl<S: Stored> Values for &[S] {
    #[inline(always)]
    fn at<T: Real>(self, entry: usize) -> T {
        self[entry].to_real()
    }
}

/// Adds the products of a row's values and weights to the logits of its lane.
#[inline(always)]
fn add_row<T: Real, const FMA: bool>(
    positions: &[u32],
    values: impl Values,
    weights: &[T],
    lane: usize,
    logits: &mut [Lanes<T>],
) {
    let (columns, mut first) = (logits.len(), 0);
    while first < columns {
        match columns - first {
            1 => {
                logits[first].0[lane] += dot::<T, FMA>(positions, values, weights, columns, first);
                first += 1;
            }
            2 | 3 => {
                add_products::<T, 2, FMA>(positions, values, weights, first, lane, logits);
                first += 2;
            }
            _ => {
                add_products::<T, 4, FMA>(positions, values, weights, first, lane, logits);
                first += 4;
            }
        }
    }
}

/// Returns the sum of the products of values and weights of a column, in several sums, because an
/// addition must wait for the one before.
#[inline(always)]
fn dot<T: Real, const FMA: bool>(
    positions: &[u32],
    values: impl Values,
    weights: &[T],
    columns: usize,
    column: usize,
) -> T {
    const N: usize = 4;
    let mut sums = [T::ZERO; N];
    let (blocks, rest) = positions.as_chunks::<N>();
    for (block, positions) in blocks.iter().enumerate() {
        for j in 0..N {
            let weight = weights[positions[j] as usize * columns + column];
            sums[j] = values.at::<T>(block * N + j).multiply_add::<FMA>(weight, sums[j]);
        }
    }
    for (j, &position) in rest.iter().enumerate() {
        let weight = weights[position as usize * columns + column];
        sums[j] = values.at::<T>(blocks.len() * N + j).multiply_add::<FMA>(weight, sums[j]);
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// Adds the products of values and weights of K columns to the logits of a lane.
#[inline(always)]
fn add_products<T: Real, const K: usize, const FMA: bool>(
    positions: &[u32],
    values: impl Values,
    weights: &[T],
    first: usize,
    lane: usize,
    logits: &mut [Lanes<T>],
) {
    let (columns, mut sums) = (logits.len(), [T::ZERO; K]);
    for (entry, &position) in positions.iter().enumerate() {
        let weights = &weights[position as usize * columns + first..][..K];
        let value = values.at::<T>(entry);
        for c in 0..K {
            sums[c] = value.multiply_add::<FMA>(weights[c], sums[c]);
        }
    }
    for c in 0..K {
        logits[first + c].0[lane] += sums[c];
    }
}

/// Adds the products of a row's values and residuals to the sums.
#[inline(always)]
fn accumulate_row<T: Real, const FMA: bool>(
    positions: &[u32],
    values: impl Values,
    residuals: &[Lanes<T>],
    lane: usize,
    sums: &mut [f64],
) {
    let columns = residuals.len();
    if columns == 1 {
        let residual = residuals[0].0[lane].to_f64();
        for (entry, &position) in positions.iter().enumerate() {
            let sum = &mut sums[position as usize];
            *sum = values.at::<f64>(entry).multiply_add::<FMA>(residual, *sum);
        }
        return;
    }
    for (entry, &position) in positions.iter().enumerate() {
        let value = values.at::<f64>(entry);
        let sums = &mut sums[position as usize * columns..][..columns];
        for (sum, residuals) in sums.iter_mut().zip(residuals) {
            *sum = value.multiply_add::<FMA>(residuals.0[lane].to_f64(), *sum);
        }
    }
}
