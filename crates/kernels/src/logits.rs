//! The logits of rows, for predictions in f64.

use chainrule_core::{FeatureLayout, NO_LEVEL};

use crate::isa::{Isa, IsaTask};

/// The eight partial sums of a dot product, or eight numbers that are added to them.
type Oct = [f64; 8];

const ZERO: Oct = [0.0; 8];

/// An [`Oct`] in one cache line. Loads that cross a line take twice as long.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line(Oct);

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
    centre: Vec<Line>,
    /// Indexed `[column * centre.len() + i]`, padded with 0.
    numbers: Vec<Line>,
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
        let n_octs = n_numbers.div_ceil(8);
        let (mut centre, mut numbers) = (vec![Line(ZERO); n_octs], vec![Line(ZERO); n_octs * k]);
        for (position, &feature) in layout.numbers.iter().enumerate() {
            let (oct, lane) = (position / 8, position % 8);
            centre[oct].0[lane] = mean[feature];
            for (column, &weight) in weight[feature * k..][..k].iter().enumerate() {
                numbers[column * n_octs + oct].0[lane] = weight;
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
        let add_base = |column: usize, sums: &Oct| logits[column] = self.base[column] + total(quad(sums));
        let mut sizes = ZERO;
        self.partial_sums::<T, 1, true>(numbers, &mut sizes, add_base);
        self.add_levels(codes, logits);
        total(quad(&sizes))
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

    /// Computes the partial sums of the dot products of R rows, `[R, k]`, and adds the absolute
    /// values of their numbers to `sizes`. `numbers` may have further rows, and has them if not
    /// `IS_END`.
    #[inline(always)]
    fn partial_sums<T: Copy + Into<f64>, const R: usize, const IS_END: bool>(
        &self,
        numbers: &[T],
        sizes: &mut Oct,
        mut write: impl FnMut(usize, &Oct),
    ) {
        let (m, k) = (self.n_numbers, self.columns);
        let (mut rows, mut last) = ([&[][..]; R], [ZERO; R]);
        for r in 0..R {
            let (octs, rest) = numbers[r * m..][..m].as_chunks::<8>();
            rows[r] = octs;
            last[r] = if IS_END || rest.is_empty() {
                last_oct(rest)
            } else {
                // A whole oct is loaded at once.
                let oct = numbers[r * m + m / 8 * 8..].first_chunk().expect("the numbers of the next row");
                first_of_oct(to_f64(oct), rest.len())
            };
            let mut sizes_of_row = last[r].map(f64::abs);
            for oct in octs {
                add_abs(&mut sizes_of_row, to_f64(oct));
            }
            add_abs(sizes, sizes_of_row);
        }
        let mut column = 0;
        while column < k {
            column += match k - column {
                4.. => self.tile::<T, R, 4>(&rows, &last, column, &mut write),
                3 => self.tile::<T, R, 3>(&rows, &last, column, &mut write),
                2 => self.tile::<T, R, 2>(&rows, &last, column, &mut write),
                _ => self.tile::<T, R, 1>(&rows, &last, column, &mut write),
            };
        }
    }

    /// Computes the partial sums of R rows and C columns. A number is loaded once for all of the
    /// columns, and a weight once for all of the rows. Returns C.
    #[inline(always)]
    fn tile<T: Copy + Into<f64>, const R: usize, const C: usize>(
        &self,
        rows: &[&[[T; 8]]; R],
        last: &[Oct; R],
        column: usize,
        write: &mut impl FnMut(usize, &Oct),
    ) -> usize {
        let (n_octs, n_full) = (self.centre.len(), self.n_numbers / 8);
        let mut weights = [&self.numbers[..0]; C];
        for c in 0..C {
            weights[c] = &self.numbers[(column + c) * n_octs..][..n_octs];
        }
        let mut octs = [&rows[0][..0]; R];
        for r in 0..R {
            octs[r] = &rows[r][..n_full];
        }
        let mut sums = [[ZERO; C]; R];
        for i in 0..n_full {
            for r in 0..R {
                self.add_products(&mut sums[r], to_f64(&octs[r][i]), i, &weights);
            }
        }
        if n_full < n_octs {
            for r in 0..R {
                self.add_products(&mut sums[r], last[r], n_full, &weights);
            }
        }
        for r in 0..R {
            for c in 0..C {
                write(r * self.columns + column + c, &sums[r][c]);
            }
        }
        C
    }

    /// Adds the products of oct i of a row's numbers to the partial sums of each column.
    #[inline(always)]
    fn add_products<const C: usize>(&self, sums: &mut [Oct; C], numbers: Oct, i: usize, weights: &[&[Line]; C]) {
        let mut differences = ZERO;
        for lane in 0..8 {
            differences[lane] = numbers[lane] - self.centre[i].0[lane];
        }
        for c in 0..C {
            for lane in 0..8 {
                sums[c][lane] += differences[lane] * weights[c][i].0[lane];
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

#[inline(always)]
fn to_f64<T: Copy + Into<f64>>(numbers: &[T; 8]) -> Oct {
    let mut oct = ZERO;
    for lane in 0..8 {
        oct[lane] = numbers[lane].into();
    }
    oct
}

/// Returns the last numbers of a row, fewer than eight, padded with 0.
#[inline(always)]
fn last_oct<T: Copy + Into<f64>>(rest: &[T]) -> Oct {
    match *rest {
        [] => ZERO,
        [a] => [a.into(), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [a, b] => [a.into(), b.into(), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [a, b, c] => [a.into(), b.into(), c.into(), 0.0, 0.0, 0.0, 0.0, 0.0],
        [a, b, c, d] => [a.into(), b.into(), c.into(), d.into(), 0.0, 0.0, 0.0, 0.0],
        [a, b, c, d, e] => [a.into(), b.into(), c.into(), d.into(), e.into(), 0.0, 0.0, 0.0],
        [a, b, c, d, e, f] => [a.into(), b.into(), c.into(), d.into(), e.into(), f.into(), 0.0, 0.0],
        [a, b, c, d, e, f, g, ..] => [a.into(), b.into(), c.into(), d.into(), e.into(), f.into(), g.into(), 0.0],
    }
}

#[inline(always)]
fn add_abs(sums: &mut Oct, numbers: Oct) {
    for lane in 0..8 {
        sums[lane] += numbers[lane].abs();
    }
}

/// Returns the first numbers of an oct, and then 0.
#[inline(always)]
fn first_of_oct(mut oct: Oct, n: usize) -> Oct {
    for lane in 0..8 {
        oct[lane] = if lane < n { oct[lane] } else { 0.0 };
    }
    oct
}

#[inline(always)]
fn quad(sums: &Oct) -> [f64; 4] {
    let mut quad = [0.0; 4];
    for lane in 0..4 {
        quad[lane] = sums[lane] + sums[lane + 4];
    }
    quad
}

#[inline(always)]
fn total(quad: [f64; 4]) -> f64 {
    (quad[0] + quad[2]) + (quad[1] + quad[3])
}

/// The number of rows whose sums are in registers at once, so that a weight is loaded once for all.
const ROWS_AT_ONCE: usize = 3;

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
        let (m, k, n_categories) = (map.n_numbers, map.columns, map.first_codes.len() - 1);
        let mut sizes = ZERO;
        // Written first, so that the compiler adds up the sums of several columns at once.
        let mut quads = vec![[0.0; 4]; ROWS_AT_ONCE * k];
        for (i, logits) in logits.chunks_mut(ROWS_AT_ONCE * k).enumerate() {
            let numbers = &numbers[ROWS_AT_ONCE * i * m..];
            // Other processors have too few registers.
            if FMA && cfg!(target_arch = "x86_64") && numbers.len() >= (ROWS_AT_ONCE - 1) * m + 8 * map.centre.len() {
                let write = |place: usize, sums: &Oct| quads[place] = quad(sums);
                map.partial_sums::<T, ROWS_AT_ONCE, false>(numbers, &mut sizes, write);
            } else {
                for (r, quads) in quads.chunks_exact_mut(k).enumerate().take(logits.len() / k) {
                    let write = |place: usize, sums: &Oct| quads[place] = quad(sums);
                    map.partial_sums::<T, 1, true>(&numbers[r * m..][..m], &mut sizes, write);
                }
            }
            for (logits, quads) in logits.chunks_exact_mut(k).zip(quads.chunks_exact(k)) {
                for ((logit, quad), base) in logits.iter_mut().zip(quads).zip(&map.base) {
                    *logit = base + total(*quad);
                }
            }
        }
        if n_categories > 0 {
            for (codes, logits) in codes.chunks_exact(n_categories).zip(logits.chunks_exact_mut(k)) {
                map.add_levels(codes, logits);
            }
        }
        total(quad(&sizes))
    }
}
