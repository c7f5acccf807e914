//! Logistic regression: one logit a row, so vectors lie along the features.

use crate::isa::Task;
use crate::real::Real;
use crate::rows::{Bytes, Rows, entries};
use crate::wide::{Ask, By, Which, fold};

/// Numbers of a vector, wide enough for both types.
const LANES: usize = 16;

/// Rows whose part of the gradient is added at once, so that the sums are read and written once for them.
const TILE: usize = 8;

/// Weights and bias, or a gradient by them.
#[derive(Clone, Debug)]
pub(crate) struct Parameters<T> {
    pub(crate) weight: Vec<T>,
    pub(crate) bias: T,
}

impl<T: Real> Parameters<T> {
    pub(crate) fn zeros(n_features: usize) -> Self {
        Self { weight: vec![T::ZERO; n_features], bias: T::ZERO }
    }
}

/// What one thread found on its rows, and the room that it needs for it.
/// Cache lines are not shared with another thread's.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(crate) struct Found<T> {
    /// `P^T r` in the weight's place, `sum r` in the bias's, for residuals r.
    pub(crate) gradient: Parameters<T>,
    pub(crate) loss: f64,
    pub(crate) right: usize,
    logits: Vec<T>,
}

impl<T: Real> Found<T> {
    pub(crate) fn new(n_features: usize) -> Self {
        Self { gradient: Parameters::zeros(n_features), loss: 0.0, right: 0, logits: Vec::new() }
    }

    /// Adds what all threads found to the first's, and clears the others'.
    #[inline(always)]
    pub(crate) fn gather(found: &mut [Self]) -> &mut Parameters<T> {
        let (first, others) = found.split_first_mut().expect("a thread at least");
        for other in others {
            first.gradient.bias += std::mem::replace(&mut other.gradient.bias, T::ZERO);
            for (sum, other) in first.gradient.weight.iter_mut().zip(&mut other.gradient.weight) {
                *sum += std::mem::replace(other, T::ZERO);
            }
        }
        &mut first.gradient
    }
}

/// One pass over some rows.
pub(crate) struct Pass<'a, T> {
    pub(crate) rows: &'a Rows,
    pub(crate) which: Which<'a>,
    pub(crate) parameters: &'a Parameters<T>,
    /// `c sum(w) + b`
    pub(crate) base: T,
    pub(crate) ask: Ask,
    pub(crate) found: &'a mut Found<T>,
}

impl<T: Real> Task for Pass<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { rows, which, parameters, base, ask, found } = self;
        let n = which.len();
        let scale = T::from_f64(rows.scale);
        found.logits.clear();
        found.logits.resize(n, T::ZERO);
        for (i, logit) in found.logits.iter_mut().enumerate() {
            let dot = match &rows.bytes {
                Bytes::Dense(bytes) => dense_dot::<T, FMA>(row(bytes, rows, which.at(i)), &parameters.weight),
                Bytes::Sparse { starts, features, values } => {
                    let (features, values) = entries(starts, features, values, which.at(i));
                    sparse_dot::<T, FMA>(features, values, &parameters.weight)
                }
            };
            *logit = scale.times_plus::<FMA>(dot, base);
        }
        for (i, logit) in found.logits.iter_mut().enumerate() {
            let (z, is_positive) = (*logit, rows.labels()[which.at(i)] == 1);
            found.right += usize::from((z > T::ZERO) == is_positive);
            if ask == Ask::Right {
                continue;
            }
            let small = (if z < T::ZERO { z } else { -z }).exponential::<FMA>(); // exp(-|z|)
            // max(z, 0) - y z + ln(1 + exp(-|z|))
            let linear = if (z > T::ZERO) == is_positive {
                T::ZERO
            } else if z < T::ZERO {
                -z
            } else {
                z
            };
            found.loss += linear.to_f64() + small.to_f64().ln_1p();
            let p = (if z < T::ZERO { small } else { T::ONE }) / (T::ONE + small);
            *logit = if is_positive { p - T::ONE } else { p };
        }
        if ask != Ask::Gradient {
            return;
        }
        let gradient = &mut found.gradient;
        for &residual in &found.logits {
            gradient.bias += residual;
        }
        match &rows.bytes {
            Bytes::Dense(bytes) => {
                let mut first = 0;
                while first < n {
                    // A tile that is not full repeats its last row with a residual of 0.
                    let place = |i: usize| (first + i).min(n - 1);
                    let tile: [&[u8]; TILE] = std::array::from_fn(|i| row(bytes, rows, which.at(place(i))));
                    let residuals: [T; TILE] =
                        std::array::from_fn(|i| if first + i < n { found.logits[first + i] } else { T::ZERO });
                    add_columns::<T, FMA>(tile, residuals, &mut gradient.weight);
                    first += TILE;
                }
            }
            Bytes::Sparse { starts, features, values } => {
                for (i, &residual) in found.logits.iter().enumerate() {
                    let (features, values) = entries(starts, features, values, which.at(i));
                    for (&feature, &value) in features.iter().zip(values) {
                        let sum = &mut gradient.weight[usize::from(feature)];
                        *sum = T::from_u8(value).times_plus::<FMA>(residual, *sum);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn row<'a>(bytes: &'a [u8], rows: &Rows, row: usize) -> &'a [u8] {
    &bytes[row * rows.n_features()..][..rows.n_features()]
}

/// Several vectors at once, since each addition waits for the one before it; then one at a time, then what is left.
#[inline(always)]
fn dense_dot<T: Real, const FMA: bool>(bytes: &[u8], weight: &[T]) -> T {
    let mut sums = [T::ZERO; 4 * LANES];
    let (fours, bytes) = bytes.as_chunks();
    let (fours_of_weight, weight) = weight.as_chunks();
    for (bytes, weight) in fours.iter().zip(fours_of_weight) {
        add_products::<T, { 4 * LANES }, FMA>(&mut sums, bytes, weight);
    }
    let mut sums_of_ones = [T::ZERO; LANES];
    let (ones, bytes) = bytes.as_chunks();
    let (ones_of_weight, weight) = weight.as_chunks();
    for (bytes, weight) in ones.iter().zip(ones_of_weight) {
        add_products::<T, LANES, FMA>(&mut sums_of_ones, bytes, weight);
    }
    let mut sum = T::ZERO;
    for (&byte, &weight) in bytes.iter().zip(weight) {
        sum = T::from_u8(byte).times_plus::<FMA>(weight, sum);
    }
    fold(sums, |x, y| x + y) + fold(sums_of_ones, |x, y| x + y) + sum
}

#[inline(always)]
fn add_products<T: Real, const N: usize, const FMA: bool>(sums: &mut [T; N], bytes: &[u8; N], weight: &[T; N]) {
    for (sum, (&byte, &weight)) in sums.iter_mut().zip(bytes.iter().zip(weight)) {
        *sum = T::from_u8(byte).times_plus::<FMA>(weight, *sum);
    }
}

#[inline(always)]
fn sparse_dot<T: Real, const FMA: bool>(features: &[u16], values: &[u8], weight: &[T]) -> T {
    let mut sums = [T::ZERO; 4];
    // Rows are filled up to fours.
    let (features, _) = features.as_chunks::<4>();
    let (values, _) = values.as_chunks::<4>();
    for (features, values) in features.iter().zip(values) {
        for i in 0..4 {
            sums[i] = T::from_u8(values[i]).times_plus::<FMA>(weight[usize::from(features[i])], sums[i]);
        }
    }
    fold(sums, |x, y| x + y)
}

#[inline(always)]
fn add_columns<T: Real, const FMA: bool>(tile: [&[u8]; TILE], residuals: [T; TILE], sums: &mut [T]) {
    let whole = sums.len() / LANES * LANES;
    let (vectors, rest) = sums.as_chunks_mut::<LANES>();
    for (v, sums) in vectors.iter_mut().enumerate() {
        let mut new = *sums;
        for i in 0..TILE {
            let bytes: &[u8; LANES] = tile[i][v * LANES..][..LANES].try_into().expect("as long as that");
            for lane in 0..LANES {
                new[lane] = T::from_u8(bytes[lane]).times_plus::<FMA>(residuals[i], new[lane]);
            }
        }
        *sums = new;
    }
    for (j, sum) in rest.iter_mut().enumerate() {
        for i in 0..TILE {
            *sum = T::from_u8(tile[i][whole + j]).times_plus::<FMA>(residuals[i], *sum);
        }
    }
}

/// The update after a pass.
pub(crate) struct Update<'a, T> {
    pub(crate) parameters: &'a mut Parameters<T>,
    pub(crate) found: &'a mut [Found<T>],
    pub(crate) base: &'a mut T,
    pub(crate) by: By,
}

impl<T: Real> Task for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let by = self.by;
        let sums = Found::gather(self.found);
        let of_bias = std::mem::replace(&mut sums.bias, T::ZERO);
        let keep = T::from_f64(1.0 - by.learning_rate * by.l2);
        let scale = T::from_f64(-by.learning_rate * by.scale);
        let shift = T::from_f64(-by.learning_rate * by.offset) * of_bias;
        for (weight, gradient) in self.parameters.weight.iter_mut().zip(&mut sums.weight) {
            *weight = scale.times_plus::<FMA>(*gradient, keep.times_plus::<FMA>(*weight, shift));
            *gradient = T::ZERO;
        }
        let keep = T::from_f64(1.0 - by.learning_rate * by.l2_of_bias);
        let step = T::from_f64(-by.learning_rate * by.one);
        self.parameters.bias = step.times_plus::<FMA>(of_bias, keep * self.parameters.bias);
        *self.base = base(self.parameters, by.base);
    }
}

/// `c sum(w) + b`
#[inline(always)]
pub(crate) fn base<T: Real>(parameters: &Parameters<T>, offset: f64) -> T {
    let mut sums = [T::ZERO; LANES];
    let (vectors, rest) = parameters.weight.as_chunks::<LANES>();
    for vector in vectors {
        for lane in 0..LANES {
            sums[lane] += vector[lane];
        }
    }
    let rest = rest.iter().fold(T::ZERO, |sum, &weight| sum + weight);
    (fold(sums, |x, y| x + y) + rest) * T::from_f64(offset) + parameters.bias
}
