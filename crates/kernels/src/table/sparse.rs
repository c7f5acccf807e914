//! The sparse features of a table's rows: each row lists those that are not 0.
//!
//! A feature is `a x + c`, as that of a number, and c is usually 0. The kernel folds both into
//! weights and base, so a row's logits are the base and a sum over its entries.

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
    /// The sum of each feature's values over all rows, and that of their squares.
    sums: Vec<(f64, f64)>,
}

/// The values of the entries.
#[derive(Clone, Debug)]
pub(crate) enum SparseValues {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl SparseRows {
    pub(crate) fn new(n_features: usize, are_f64: bool) -> Self {
        let values = if are_f64 { SparseValues::F64(Vec::new()) } else { SparseValues::F32(Vec::new()) };
        Self { starts: vec![0], positions: Vec::new(), values, sums: vec![(0.0, 0.0); n_features] }
    }

    /// Frees the space for further entries.
    pub(crate) fn shrink(&mut self) {
        self.positions.shrink_to_fit();
        match &mut self.values {
            SparseValues::F32(values) => values.shrink_to_fit(),
            SparseValues::F64(values) => values.shrink_to_fit(),
        }
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, positions: &[u32], values: &[f64]) {
        assert_eq!(positions.len(), values.len(), "positions and values of a row");
        self.positions.extend_from_slice(positions);
        for (&position, &value) in positions.iter().zip(values) {
            let stored = match &mut self.values {
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
            SparseValues::F32(_) => true,
            SparseValues::F64(values) => {
                values.iter().all(|value| f64::from(*value as f32).to_bits() == value.to_bits())
            }
        }
    }

    /// Stores the values in f32.
    pub(crate) fn narrow(&mut self) {
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
    fn row<S: Stored>(&self, row: usize) -> (&[u32], &[S]) {
        let entries = self.starts[row]..self.starts[row + 1];
        (&self.positions[entries.clone()], &S::of_sparse(&self.values)[entries])
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
            let (positions, values) = self.row::<S>(row_set.row(i));
            let (logits, lane) = (&mut logits[i / LANES * padded_columns..][..columns], i % LANES);
            let mut first = 0;
            while first < columns {
                match columns - first {
                    1 => {
                        // Several sums, because an addition must wait for the one before.
                        let sum = dot::<T, S, FMA>(positions, values, weights, columns, first);
                        logits[first].0[lane] += sum;
                        first += 1;
                    }
                    2 | 3 => {
                        add_products::<T, S, 2, FMA>(positions, values, weights, columns, first, lane, logits);
                        first += 2;
                    }
                    _ => {
                        add_products::<T, S, 4, FMA>(positions, values, weights, columns, first, lane, logits);
                        first += 4;
                    }
                }
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
            let (positions, values) = self.row::<S>(row_set.row(i));
            let (residuals, lane) = (&residuals[i / LANES * padded_columns..][..columns], i % LANES);
            if columns == 1 {
                let residual = residuals[0].0[lane].to_f64();
                for (&position, value) in positions.iter().zip(values) {
                    let sum = &mut sums[position as usize];
                    *sum = value.to_real::<f64>().multiply_add::<FMA>(residual, *sum);
                }
                continue;
            }
            for (&position, value) in positions.iter().zip(values) {
                let value = value.to_real::<f64>();
                let sums = &mut sums[position as usize * columns..][..columns];
                for (sum, residuals) in sums.iter_mut().zip(residuals) {
                    *sum = value.multiply_add::<FMA>(residuals.0[lane].to_f64(), *sum);
                }
            }
        }
    }
}

/// Returns the sum of the products of values and weights of a column.
#[inline(always)]
fn dot<T: Real, S: Stored, const FMA: bool>(
    positions: &[u32],
    values: &[S],
    weights: &[T],
    columns: usize,
    column: usize,
) -> T {
    const N: usize = 4;
    let weight = |position: u32| weights[position as usize * columns + column];
    let mut sums = [T::ZERO; N];
    let ((blocks, rest), (blocks_of_values, rest_of_values)) = (positions.as_chunks::<N>(), values.as_chunks::<N>());
    for (positions, values) in blocks.iter().zip(blocks_of_values) {
        for j in 0..N {
            sums[j] = values[j].to_real::<T>().multiply_add::<FMA>(weight(positions[j]), sums[j]);
        }
    }
    for (j, (&position, value)) in rest.iter().zip(rest_of_values).enumerate() {
        sums[j] = value.to_real::<T>().multiply_add::<FMA>(weight(position), sums[j]);
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// Adds the products of values and weights of K columns to the logits of a lane.
#[inline(always)]
fn add_products<T: Real, S: Stored, const K: usize, const FMA: bool>(
    positions: &[u32],
    values: &[S],
    weights: &[T],
    columns: usize,
    first: usize,
    lane: usize,
    logits: &mut [Lanes<T>],
) {
    let mut sums = [T::ZERO; K];
    for (&position, value) in positions.iter().zip(values) {
        let weights = &weights[position as usize * columns + first..][..K];
        let value = value.to_real::<T>();
        for c in 0..K {
            sums[c] = value.multiply_add::<FMA>(weights[c], sums[c]);
        }
    }
    for c in 0..K {
        logits[first + c].0[lane] += sums[c];
    }
}
