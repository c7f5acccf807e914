//! The logits of rows, for predictions in f64.

use chainrule_core::{FeatureLayout, NO_LEVEL};

use crate::isa::{Isa, IsaTask};

/// Four partial sums, or four numbers that are added to them.
type Quad = [f64; 4];

const ZERO: Quad = [0.0; 4];

/// A linear map from rows to logits, in f64:
///
/// ```text
/// Z = (X - m) W + b
/// ```
///
/// Unlike [`FusedModel`](crate::FusedModel) it takes rows as they come, without labels, and does
/// not change: any number of threads may use it at once. The mean m is subtracted first. If it were
/// part of b, a large mean would cost most digits of Z.
///
/// A row has the same bits on every [`Isa`], alone or among others: a dot product has eight partial
/// sums, whatever the vectors of the processor, and no fused multiply-add.
///
/// ```
/// use chainrule_core::FeatureLayout;
/// use chainrule_kernels::{Isa, LogitMap};
///
/// let (weight, bias, mean) = ([0.5, -0.5, 2.0, 1.0], [0.0, 1.0], [10.0, 0.0]);
/// let map = LogitMap::new(&FeatureLayout::of_numbers(2), &weight, &bias, &mean);
/// let mut logits = [0.0; 4];
/// map.rows(Isa::best(), &[12.0, 1.0, 10.0, 3.0], &[], &mut logits);
/// assert_eq!(logits, [3.0, 1.0, 6.0, 4.0]);
/// ```
#[derive(Clone, Debug)]
pub struct LogitMap {
    columns: usize,
    n_numbers: usize,
    /// The first code of each category, and the number of all codes.
    first_codes: Vec<usize>,
    /// The m of each number, padded with 0.
    centre: Vec<Quad>,
    /// Indexed `[column * centre.len() + i]`, padded with 0.
    numbers: Vec<Quad>,
    /// Indexed `[code * k + column]`. The last code stands for no level; its weights are 0.
    levels: Vec<f64>,
    /// The weights of the sparse features, indexed `[position * k + column]`.
    sparse: Vec<f64>,
    /// The logits of a row whose numbers are m, and which has no level and no sparse feature. `[k]`
    base: Vec<f64>,
}

/// A type of numbers that [`LogitMap::rows`] reads.
pub trait Number: Copy + Into<f64> + private::Rows {}

impl<T: Copy + Into<f64> + private::Rows> Number for T {}

mod private {
    use super::{AllRows, Isa};

    /// The rows are computed by a function that is not generic. So it is compiled in this crate,
    /// with this crate's optimisation settings.
    pub trait Rows: Sized {
        fn compute(isa: Isa, rows: AllRows<'_, Self>) -> f64;
    }

    macro_rules! rows {
        ($($number:ty),*) => {
            $(impl Rows for $number {
                fn compute(isa: Isa, rows: AllRows<'_, Self>) -> f64 {
                    isa.run(rows)
                }
            })*
        };
    }

    rows!(u8, f32, f64);
}

impl LogitMap {
    /// Creates the map of these parameters.
    ///
    /// # Shapes
    /// - weight `[d, k]`, row-major; bias `[k]`; mean `[d]`
    ///
    /// # Panics
    /// If there are no columns, or if the lengths do not match the layout.
    pub fn new(layout: &FeatureLayout, weight: &[f64], bias: &[f64], mean: &[f64]) -> Self {
        let (d, k, n_numbers) = (layout.n_features, bias.len(), layout.numbers.len());
        assert!(k > 0, "expected at least one column");
        assert_eq!((weight.len(), mean.len()), (d * k, d), "weights and means of {d} features and {k} columns");
        let n_quads = n_numbers.div_ceil(4);
        let (mut centre, mut numbers) = (vec![ZERO; n_quads], vec![ZERO; n_quads * k]);
        for (position, &feature) in layout.numbers.iter().enumerate() {
            let (quad, lane) = (position / 4, position % 4);
            centre[quad][lane] = mean[feature];
            for (column, &weight) in weight[feature * k..][..k].iter().enumerate() {
                numbers[column * n_quads + quad][lane] = weight;
            }
        }
        let mut base = bias.to_vec();
        let (mut levels, mut first_codes) = (Vec::new(), Vec::with_capacity(layout.categories.len() + 1));
        for features in &layout.categories {
            first_codes.push(levels.len() / k);
            for &feature in features {
                let weights = &weight[feature * k..][..k];
                levels.extend_from_slice(weights);
                base.iter_mut().zip(weights).for_each(|(base, weight)| *base -= mean[feature] * weight);
            }
        }
        first_codes.push(levels.len() / k);
        levels.resize(levels.len() + k, 0.0);
        let mut sparse = Vec::with_capacity(layout.sparse.len() * k);
        for &feature in &layout.sparse {
            let weights = &weight[feature * k..][..k];
            sparse.extend_from_slice(weights);
            base.iter_mut().zip(weights).for_each(|(base, weight)| *base -= mean[feature] * weight);
        }
        Self { columns: k, n_numbers, first_codes, centre, numbers, levels, sparse, base }
    }

    /// Adds the sparse features of a row to its logits.
    ///
    /// # Shapes
    /// - positions: the position among the layout's sparse features of each one that is not 0
    /// - values: their values
    /// - logits `[k]`
    ///
    /// # Panics
    /// If a position is past the end.
    pub fn add_sparse(&self, positions: &[u32], values: &[f64], logits: &mut [f64]) {
        for (&position, &value) in positions.iter().zip(values) {
            let weights = &self.sparse[position as usize * self.columns..][..self.columns];
            logits.iter_mut().zip(weights).for_each(|(z, weight)| *z += value * weight);
        }
    }

    /// The number of logits of a row, k.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Computes the logits of one row, in the same way as [`LogitMap::rows`].
    ///
    /// # Shapes
    /// - numbers `[numbers]`, codes `[categories]`, logits `[k]`
    ///
    /// # Panics
    /// As [`LogitMap::rows`].
    #[inline]
    pub fn row<T: Copy + Into<f64>>(&self, numbers: &[T], codes: &[u32], logits: &mut [f64]) -> f64 {
        self.assert_lengths(1, [numbers.len(), codes.len(), logits.len()]);
        let mut sizes = [ZERO; 2];
        self.compute(numbers, codes, logits, &mut sizes);
        total(&sizes)
    }

    /// Computes the logits of rows. Returns the sum of the absolute values of all numbers. It is
    /// NaN or infinite if a number is, and else at least as large as each of them. So one
    /// comparison checks the range of all numbers.
    ///
    /// # Shapes
    /// - numbers `[n, numbers]`: of each row, its numbers in the order of the layout
    /// - codes `[n, categories]`: of each row, the index of each category's level, or [`NO_LEVEL`]
    /// - logits `[n, k]`
    ///
    /// # Panics
    /// If the lengths do not match, if a code is past the levels of its category, or if this
    /// processor does not have the instruction set.
    pub fn rows<T: Number>(&self, isa: Isa, numbers: &[T], codes: &[u32], logits: &mut [f64]) -> f64 {
        self.assert_lengths(logits.len() / self.columns, [numbers.len(), codes.len(), logits.len()]);
        T::compute(isa, AllRows { map: self, numbers, codes, logits })
    }

    #[inline(always)]
    fn assert_lengths(&self, n: usize, [numbers, codes, logits]: [usize; 3]) {
        let n_categories = self.first_codes.len() - 1;
        assert!(
            numbers == n * self.n_numbers && codes == n * n_categories && logits == n * self.columns,
            "{numbers} numbers, {codes} codes and {logits} logits of {n} rows with {} numbers, {n_categories} categories and {} columns",
            self.n_numbers,
            self.columns
        );
    }

    /// Computes the logits of a row, and adds the absolute values of its numbers to `sizes`.
    #[inline(always)]
    fn compute<T: Copy + Into<f64>>(&self, numbers: &[T], codes: &[u32], logits: &mut [f64], sizes: &mut [Quad; 2]) {
        let (pairs, rest) = numbers.as_chunks::<8>();
        for pair in pairs {
            add_abs(&mut sizes[0], quad::<T, 0>(pair));
            add_abs(&mut sizes[1], quad::<T, 4>(pair));
        }
        let [first, second] = last_quads(rest);
        add_abs(&mut sizes[0], first);
        add_abs(&mut sizes[1], second);
        let mut column = 0;
        while column < self.columns {
            column += match self.columns - column {
                4.. => self.tile::<T, 4>(pairs, [first, second], column, logits),
                2 | 3 => self.tile::<T, 2>(pairs, [first, second], column, logits),
                _ => self.tile::<T, 1>(pairs, [first, second], column, logits),
            };
        }
        self.add_levels(codes, logits);
    }

    /// Computes the logits of C columns, without levels. A number is loaded once for all of them.
    /// Returns C.
    #[inline(always)]
    fn tile<T: Copy + Into<f64>, const C: usize>(
        &self,
        pairs: &[[T; 8]],
        last: [Quad; 2],
        column: usize,
        logits: &mut [f64],
    ) -> usize {
        let n_quads = self.centre.len();
        let mut weights = [&self.numbers[..0]; C];
        for c in 0..C {
            weights[c] = &self.numbers[(column + c) * n_quads..][..n_quads];
        }
        let mut sums = [[ZERO; 2]; C];
        for (i, pair) in pairs.iter().enumerate() {
            self.add_products(&mut sums, 0, quad::<T, 0>(pair), 2 * i, &weights);
            self.add_products(&mut sums, 1, quad::<T, 4>(pair), 2 * i + 1, &weights);
        }
        for sum in 0..2 {
            if 2 * pairs.len() + sum < n_quads {
                self.add_products(&mut sums, sum, last[sum], 2 * pairs.len() + sum, &weights);
            }
        }
        for c in 0..C {
            logits[column + c] = self.base[column + c] + total(&sums[c]);
        }
        C
    }

    /// Adds the products of the numbers of quad i to one of the two sums of each column.
    #[inline(always)]
    fn add_products<const C: usize>(
        &self,
        sums: &mut [[Quad; 2]; C],
        sum: usize,
        numbers: Quad,
        i: usize,
        weights: &[&[Quad]; C],
    ) {
        let mut differences = ZERO;
        for lane in 0..4 {
            differences[lane] = numbers[lane] - self.centre[i][lane];
        }
        for c in 0..C {
            for lane in 0..4 {
                sums[c][sum][lane] += differences[lane] * weights[c][i][lane];
            }
        }
    }

    /// Adds the weights of a row's levels.
    #[inline(always)]
    fn add_levels(&self, codes: &[u32], logits: &mut [f64]) {
        for (&code, codes) in codes.iter().zip(self.first_codes.windows(2)) {
            let n_levels = codes[1] - codes[0];
            assert!(code == NO_LEVEL || (code as usize) < n_levels, "level {code} of {n_levels}");
            if code != NO_LEVEL {
                let weights = &self.levels[(codes[0] + code as usize) * self.columns..][..self.columns];
                logits.iter_mut().zip(weights).for_each(|(z, weight)| *z += weight);
            }
        }
    }
}

/// Returns four numbers of a pair of quads.
#[inline(always)]
fn quad<T: Copy + Into<f64>, const FIRST: usize>(pair: &[T; 8]) -> Quad {
    let mut quad = ZERO;
    for lane in 0..4 {
        quad[lane] = pair[FIRST + lane].into();
    }
    quad
}

/// Returns the last numbers of a row, fewer than eight, padded with 0.
#[inline(always)]
fn last_quads<T: Copy + Into<f64>>(rest: &[T]) -> [Quad; 2] {
    match *rest {
        [] => [ZERO, ZERO],
        [a] => [[a.into(), 0.0, 0.0, 0.0], ZERO],
        [a, b] => [[a.into(), b.into(), 0.0, 0.0], ZERO],
        [a, b, c] => [[a.into(), b.into(), c.into(), 0.0], ZERO],
        [a, b, c, d] => [[a.into(), b.into(), c.into(), d.into()], ZERO],
        [a, b, c, d, e] => [[a.into(), b.into(), c.into(), d.into()], [e.into(), 0.0, 0.0, 0.0]],
        [a, b, c, d, e, f] => [[a.into(), b.into(), c.into(), d.into()], [e.into(), f.into(), 0.0, 0.0]],
        [a, b, c, d, e, f, g, ..] => [[a.into(), b.into(), c.into(), d.into()], [e.into(), f.into(), g.into(), 0.0]],
    }
}

#[inline(always)]
fn add_abs(sums: &mut Quad, numbers: Quad) {
    for lane in 0..4 {
        sums[lane] += numbers[lane].abs();
    }
}

#[inline(always)]
fn total([first, second]: &[Quad; 2]) -> f64 {
    let mut sums = ZERO;
    for lane in 0..4 {
        sums[lane] = first[lane] + second[lane];
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

/// See [`LogitMap::rows`].
pub struct AllRows<'a, T> {
    map: &'a LogitMap,
    numbers: &'a [T],
    codes: &'a [u32],
    logits: &'a mut [f64],
}

impl<T: Copy + Into<f64>> IsaTask for AllRows<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> f64 {
        let Self { map, numbers, codes, logits } = self;
        let (m, n_categories) = (map.n_numbers, map.first_codes.len() - 1);
        let mut sizes = [ZERO; 2];
        for (i, logits) in logits.chunks_exact_mut(map.columns).enumerate() {
            map.compute(&numbers[i * m..][..m], &codes[i * n_categories..][..n_categories], logits, &mut sizes);
        }
        total(&sizes)
    }
}
