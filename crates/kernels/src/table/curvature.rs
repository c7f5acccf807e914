//! The Hessian of the loss over the rows of a table, in f64.
//!
//! It has a block for each pair of columns j and l of W: `X^T diag(s) X / n`, where s is the second
//! derivative of each row's loss by its logits `z_j` and `z_l`. X has a last column of ones, for
//! the bias. The block of (l, j) is the same, and each block is symmetric.
//!
//! If the mean of a feature is large beside its deviations, its products are all about the square
//! of the mean, and most digits of the deviations are lost. So a centre, such as the mean, is
//! subtracted from each feature first. The bias is then the logits of the centre.

use std::marker::PhantomData;
use std::ops::Range;

use chainrule_core::Gradient;
use rayon::prelude::*;

use crate::isa::{Isa, IsaTask};
use crate::lanes::{LANES, Lanes};
use crate::losses::{LossFunction, LossStats, PassMode, column_pairs};
use crate::packed_rows::Targets;
use crate::real::Real;
use crate::row_set::RowSet;
use crate::table::rows::{GroupBuffer, Stored, TableRows, convert};

/// The mean loss of a model over all rows, with its first and second derivatives. The features are
/// `x - centre`, so the bias is the logits of the centre.
#[derive(Clone, Debug, PartialEq)]
pub struct Curvature {
    /// The mean loss and its gradient, without the penalty.
    pub gradient: Gradient,
    /// The number of correctly classified rows.
    pub n_correct: usize,
    /// The Hessian of the mean loss, `[(d + 1) k, (d + 1) k]`, in the order of W row by row, then
    /// b.
    pub hessian: Vec<f64>,
    /// The smallest and the largest value of each feature minus its centre, `[d]`.
    pub ranges: Vec<[f64; 2]>,
}

impl Curvature {
    /// Returns the curvature with all means multiplied by a factor: the part of these rows among
    /// more.
    #[must_use]
    pub fn scaled_by(mut self, factor: f64) -> Self {
        self.gradient = self.gradient.scaled_by(factor);
        self.hessian.iter_mut().for_each(|sum| *sum *= factor);
        self
    }

    /// Adds the [scaled](Self::scaled_by) curvature of other rows.
    ///
    /// # Panics
    /// If they have other features or columns.
    pub fn add(&mut self, other: &Self) {
        assert_eq!(self.hessian.len(), other.hessian.len(), "entries of the Hessian");
        self.gradient.add_scaled(&other.gradient, 1.0);
        self.n_correct += other.n_correct;
        self.hessian.iter_mut().zip(&other.hessian).for_each(|(sum, other)| *sum += other);
        for (range, other) in self.ranges.iter_mut().zip(&other.ranges) {
            *range = [range[0].min(other[0]), range[1].max(other[1])];
        }
    }
}

/// Number of groups per chunk of a pass. The products of a chunk are summed in registers, and its
/// features stay in the L2 cache.
const GROUPS_PER_CHUNK: usize = 16;
const ROWS_PER_CHUNK: usize = GROUPS_PER_CHUNK * LANES;
/// Minimum number of rows per thread.
const MIN_ROWS_PER_THREAD: usize = 1024;

/// The model and the rows of a pass.
#[derive(Clone, Copy)]
pub(crate) struct Problem<'a> {
    pub(crate) loss_function: &'a LossFunction,
    pub(crate) rows: &'a TableRows,
    pub(crate) targets: &'a Targets,
    /// `[d, k]`
    pub(crate) weight: &'a [f64],
    /// The logits of the centre, `[k]`.
    pub(crate) bias: &'a [f64],
    /// `[d]`
    pub(crate) centre: &'a [f64],
}

impl Problem<'_> {
    /// Returns `(a, c)` of a centred feature `a r + c`.
    fn affine_of_number(&self, position: usize) -> (f64, f64) {
        let (a, c) = self.rows.affine_of_number(position);
        (a, c - self.centre[self.rows.layout().numbers[position]])
    }

    /// Returns `(a, c)` of a centred feature: `a + c` in the rows of its level, else c. The feature
    /// of a sparse value x is `a x + c`.
    fn affine_of_level(&self, feature: usize) -> (f64, f64) {
        let (a, c) = self.rows.affine_of_level(feature);
        (a, c - self.centre[feature])
    }
}

/// Computes loss, gradient and Hessian.
pub(crate) fn curvature(problem: Problem, threads: usize, isa: Isa) -> Curvature {
    let (rows, k) = (problem.rows, problem.bias.len());
    let n = rows.len();
    let n_parts = threads.min(n / MIN_ROWS_PER_THREAD).max(1);
    let bound = |part: usize| if part == n_parts { n } else { n * part / n_parts / ROWS_PER_CHUNK * ROWS_PER_CHUNK };
    let part = |i: usize| {
        let mut sums = Sums::new(rows, k);
        let range = bound(i)..bound(i + 1);
        if rows.are_f64() {
            isa.run(Pass { problem, range, sums: &mut sums, stored: PhantomData::<f64> });
        } else {
            isa.run(Pass { problem, range, sums: &mut sums, stored: PhantomData::<f32> });
        }
        sums
    };
    let mut parts: Vec<Sums> =
        if n_parts == 1 { vec![part(0)] } else { (0..n_parts).into_par_iter().map(part).collect() };
    // In the order of the rows, so that the bits do not depend on the threads' speed.
    let mut sums = parts.remove(0);
    parts.iter_mut().for_each(|other| sums.add(other));
    sums.finish(&problem)
}

/// The sums of one thread. The numbers of a row and a last 1 are its m + 1 dense features. A row
/// lists its levels, with the value 1, and its sparse features. q is the number of listed features:
/// the levels of all categories, then the sparse features.
struct Sums {
    /// For each pair of columns: the products of two dense features, `[m + 1, m + 1]`. Only those
    /// above the diagonal.
    dense: Vec<f64>,
    /// For each pair of columns: the products of the listed and the dense features, `[q, m + 1]`.
    listed: Vec<f64>,
    /// For each pair of columns: the products of two listed features, `[q, q]`. Only those above
    /// the diagonal, and on it those of sparse features. A level's square is in `listed`.
    listed_pairs: Vec<f64>,
    /// For each column: the products of the dense features and the residuals, `[m + 1]`.
    dense_gradient: Vec<f64>,
    /// For each column: the products of the listed features and the residuals, `[q]`.
    listed_gradient: Vec<f64>,
    /// The smallest and the largest value of each number.
    ranges: Vec<[f64; 2]>,
    loss: f64,
    n_correct: usize,
}

impl Sums {
    fn new(rows: &TableRows, k: usize) -> Self {
        let (dense, pairs) = (rows.layout().numbers.len() + 1, k * (k + 1) / 2);
        let q = rows.levels().len() + rows.layout().sparse.len();
        Self {
            dense: vec![0.0; pairs * dense * dense],
            listed: vec![0.0; pairs * q * dense],
            listed_pairs: vec![0.0; pairs * q * q],
            dense_gradient: vec![0.0; k * dense],
            listed_gradient: vec![0.0; k * q],
            ranges: vec![[f64::INFINITY, f64::NEG_INFINITY]; dense - 1],
            loss: 0.0,
            n_correct: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.dense, &other.dense),
            (&mut self.listed, &other.listed),
            (&mut self.listed_pairs, &other.listed_pairs),
            (&mut self.dense_gradient, &other.dense_gradient),
            (&mut self.listed_gradient, &other.listed_gradient),
        ];
        for (sums, others) in pairs {
            sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        }
        for (range, other) in self.ranges.iter_mut().zip(&other.ranges) {
            *range = [range[0].min(other[0]), range[1].max(other[1])];
        }
        self.loss += other.loss;
        self.n_correct += other.n_correct;
    }

    /// Returns the means, for the features of the model.
    fn finish(self, problem: &Problem) -> Curvature {
        let (rows, k) = (problem.rows, problem.bias.len());
        let (n, d) = (rows.len() as f64, rows.layout().n_features);
        let (numbers, n_levels) = (&rows.layout().numbers, rows.levels().len());
        let listed: Vec<usize> = rows.levels().iter().chain(&rows.layout().sparse).copied().collect();
        let (m, q) = (numbers.len(), listed.len());
        let (dense, size) = (m + 1, (d + 1) * k);
        let affine: Vec<(f64, f64)> = listed.iter().map(|&feature| problem.affine_of_level(feature)).collect();
        // The feature of each dense feature, and the row of the Hessian for d is that of the bias.
        let feature_of = |i: usize| if i == m { d } else { numbers[i] };

        let mut hessian = vec![0.0; size * size];
        let mut write = |[j, l]: [usize; 2], [first, second]: [usize; 2], sum: f64| {
            for (a, b) in [(first * k + j, second * k + l), (first * k + l, second * k + j)] {
                hessian[a * size + b] = sum / n;
                hessian[b * size + a] = sum / n;
            }
        };
        for (pair, columns) in column_pairs(k).enumerate() {
            let products = &self.dense[pair * dense * dense..][..dense * dense];
            let of_listed = &self.listed[pair * q * dense..][..q * dense];
            let of_pairs = &self.listed_pairs[pair * q * q..][..q * q];
            for i in 0..dense {
                (i..dense).for_each(|j| write(columns, [feature_of(i), feature_of(j)], products[i * dense + j]));
            }
            for (first, &(a, c)) in affine.iter().enumerate() {
                let own = &of_listed[first * dense..][..dense];
                for (i, sum) in own.iter().enumerate() {
                    write(columns, [listed[first], feature_of(i)], a * sum + c * products[i * dense + m]);
                }
                for (second, &(a_second, c_second)) in affine.iter().enumerate().skip(first) {
                    let is_square_of_level = first == second && first < n_levels;
                    let both = if is_square_of_level { own[m] } else { of_pairs[first * q + second] };
                    let sum = a * a_second * both
                        + a * c_second * own[m]
                        + c * a_second * of_listed[second * dense + m]
                        + c * c_second * products[m * dense + m];
                    write(columns, [listed[first], listed[second]], sum);
                }
            }
        }

        let [mut weight, mut bias] = [vec![0.0; d * k], vec![0.0; k]];
        for column in 0..k {
            let own = &self.dense_gradient[column * dense..][..dense];
            numbers.iter().zip(own).for_each(|(&feature, sum)| weight[feature * k + column] = sum / n);
            bias[column] = own[m] / n;
            for ((&feature, (a, c)), sum) in listed.iter().zip(&affine).zip(&self.listed_gradient[column * q..]) {
                weight[feature * k + column] = (a * sum + c * own[m]) / n;
            }
        }

        let mut ranges = vec![[0.0; 2]; d];
        numbers.iter().zip(&self.ranges).for_each(|(&feature, &range)| ranges[feature] = range);
        let of_listed = std::iter::repeat_n([0.0, 1.0], n_levels).chain(rows.sparse().ranges());
        for ((&feature, (a, c)), range) in listed.iter().zip(&affine).zip(of_listed) {
            let [low, high] = range.map(|x| a * x + c);
            ranges[feature] = [low.min(high), low.max(high)];
        }
        let gradient = Gradient { loss: self.loss / n, weight, bias };
        Curvature { gradient, n_correct: self.n_correct, hessian, ranges }
    }
}

/// A pass over consecutive rows, whose numbers are stored as S.
struct Pass<'a, S> {
    problem: Problem<'a>,
    range: Range<usize>,
    sums: &'a mut Sums,
    stored: PhantomData<S>,
}

impl<S: Stored> IsaTask for Pass<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { problem, range, sums, stored: _ } = self;
        let Problem { loss_function, rows, targets, weight, bias, centre: _ } = problem;
        let (k, m, n_levels) = (bias.len(), rows.layout().numbers.len(), rows.levels().len());
        let (dense, n_pairs, n_categories) = (m + 1, k * (k + 1) / 2, rows.layout().categories.len());
        let (sparse, n_sparse) = (rows.sparse(), rows.layout().sparse.len());
        let q = n_levels + n_sparse;
        // The offsets of listed features are in the base, so that a row's own level adds `a w`, and
        // a sparse value x adds `a w x`.
        let mut base = bias.to_vec();
        let mut level_weights = vec![0.0; (n_levels + 1) * k];
        let mut sparse_weights = vec![0.0; n_sparse * k];
        let of_levels = rows.levels().iter().zip(level_weights.chunks_exact_mut(k));
        let of_sparse = rows.layout().sparse.iter().zip(sparse_weights.chunks_exact_mut(k));
        for (&feature, own) in of_levels.chain(of_sparse) {
            let (a, c) = problem.affine_of_level(feature);
            for ((own, w), base) in own.iter_mut().zip(&weight[feature * k..]).zip(&mut base) {
                *own = a * w;
                *base += c * w;
            }
        }
        let mut buffer = GroupBuffer::<S>::new();
        let [mut x, mut scaled] = [0, 1].map(|_| vec![Lanes::<f64>::ZERO; dense * GROUPS_PER_CHUNK]);
        x[m * GROUPS_PER_CHUNK..].fill(Lanes([1.0; LANES]));
        let mut residuals = vec![Lanes::<f64>::ZERO; k * GROUPS_PER_CHUNK];
        let mut curvatures = vec![Lanes::<f64>::ZERO; n_pairs * GROUPS_PER_CHUNK];
        let [mut logits, mut before] = [0, 1].map(|_| vec![Lanes::<f64>::ZERO; k]);
        let mut stats = LossStats::default();
        for start in range.clone().step_by(ROWS_PER_CHUNK) {
            let n = ROWS_PER_CHUNK.min(range.end - start);
            let n_groups = n.div_ceil(LANES);
            let groups = rows.groups::<S>(RowSet::Range(start, start + n), &mut buffer);
            for i in 0..m {
                let (a, c) = problem.affine_of_number(i);
                let [low, high] = &mut sums.ranges[i];
                for group in 0..n_groups {
                    let stored: Lanes<f64> = convert(&groups.numbers[group * m + i]);
                    let features = &mut x[i * GROUPS_PER_CHUNK + group];
                    for lane in 0..LANES {
                        features.0[lane] = stored.0[lane].multiply_add::<FMA>(a, c);
                    }
                    for &x in &features.0[..LANES.min(n - group * LANES)] {
                        *low = low.min(x);
                        *high = high.max(x);
                    }
                }
            }
            let codes =
                |group: usize, category: usize| &groups.codes[(group * n_categories + category) * LANES..][..LANES];
            for group in 0..n_groups {
                let n_rows = LANES.min(n - group * LANES);
                for column in 0..k {
                    let mut sum = Lanes([base[column]; LANES]);
                    for i in 0..m {
                        let w = weight[rows.layout().numbers[i] * k + column];
                        sum.add_scaled::<FMA>(&x[i * GROUPS_PER_CHUNK + group], w);
                    }
                    for category in 0..n_categories {
                        for (sum, &code) in sum.0.iter_mut().zip(codes(group, category)) {
                            *sum += level_weights[code as usize * k + column];
                        }
                    }
                    logits[column] = sum;
                }
                let row = |lane: usize| start + group * LANES + lane;
                if n_sparse > 0 {
                    for lane in 0..n_rows {
                        for (position, value) in sparse.entries_of_row(row(lane)) {
                            let weights = &sparse_weights[position * k..][..k];
                            logits.iter_mut().zip(weights).for_each(|(sum, w)| sum.0[lane] += value * w);
                        }
                    }
                }
                before.copy_from_slice(&logits);
                stats.add_group::<f64, FMA>(loss_function, &mut logits, targets, row, n_rows, PassMode::Gradient);
                let own = &mut curvatures[group * n_pairs..][..n_pairs];
                loss_function.curvature(&before, &logits, targets, row, n_rows, own);
                residuals[group * k..][..k].copy_from_slice(&logits);
            }
            for column in 0..k {
                let own = |group: usize| residuals[group * k + column];
                for i in 0..dense {
                    let mut sum = Lanes::ZERO;
                    for group in 0..n_groups {
                        sum.add_product::<FMA>(&x[i * GROUPS_PER_CHUNK + group], &own(group));
                    }
                    sums.dense_gradient[column * dense + i] += sum.sum();
                }
                for group in 0..n_groups {
                    for category in 0..n_categories {
                        for (residual, &code) in own(group).0.iter().zip(codes(group, category)) {
                            if (code as usize) < n_levels {
                                sums.listed_gradient[column * q + code as usize] += residual;
                            }
                        }
                    }
                }
                if n_sparse > 0 {
                    let own_sums = &mut sums.listed_gradient[column * q + n_levels..][..n_sparse];
                    for i in 0..n {
                        let residual = own(i / LANES).0[i % LANES];
                        for (position, value) in sparse.entries_of_row(start + i) {
                            own_sums[position] += value * residual;
                        }
                    }
                }
            }
            for pair in 0..n_pairs {
                let own = |group: usize| curvatures[group * n_pairs + pair];
                for i in 0..dense {
                    for group in 0..n_groups {
                        let (features, s) = (x[i * GROUPS_PER_CHUNK + group], own(group));
                        let scaled = &mut scaled[i * GROUPS_PER_CHUNK + group];
                        for lane in 0..LANES {
                            scaled.0[lane] = features.0[lane] * s.0[lane];
                        }
                    }
                }
                add_products::<FMA>(&scaled, &x, n_groups, &mut sums.dense[pair * dense * dense..][..dense * dense]);
                if q == 0 {
                    continue;
                }
                let of_listed = &mut sums.listed[pair * q * dense..][..q * dense];
                let of_pairs = &mut sums.listed_pairs[pair * q * q..][..q * q];
                for group in 0..n_groups {
                    for category in 0..n_categories {
                        for lane in 0..LANES {
                            let code = codes(group, category)[lane] as usize;
                            if code == n_levels {
                                continue;
                            }
                            for (i, sum) in of_listed[code * dense..][..dense].iter_mut().enumerate() {
                                *sum += scaled[i * GROUPS_PER_CHUNK + group].0[lane];
                            }
                            // The codes of later categories are higher.
                            for later in category + 1..n_categories {
                                let second = codes(group, later)[lane] as usize;
                                if second < n_levels {
                                    of_pairs[code * q + second] += own(group).0[lane];
                                }
                            }
                        }
                    }
                }
                if n_sparse == 0 {
                    continue;
                }
                for i in 0..n {
                    let (group, lane) = (i / LANES, i % LANES);
                    let curvature = own(group).0[lane];
                    for (index, (position, value)) in sparse.entries_of_row(start + i).enumerate() {
                        let (feature, scaled_value) = (n_levels + position, value * curvature);
                        for (i, sum) in of_listed[feature * dense..][..dense].iter_mut().enumerate() {
                            *sum += value * scaled[i * GROUPS_PER_CHUNK + group].0[lane];
                        }
                        for category in 0..n_categories {
                            let code = codes(group, category)[lane] as usize;
                            if code < n_levels {
                                of_pairs[code * q + feature] += scaled_value;
                            }
                        }
                        for (other, other_value) in sparse.entries_of_row(start + i).skip(index) {
                            let other = n_levels + other;
                            of_pairs[feature.min(other) * q + feature.max(other)] += scaled_value * other_value;
                        }
                    }
                }
            }
        }
        (sums.loss, sums.n_correct) = stats.take();
    }
}

/// Adds the products of all pairs of dense features.
#[inline(always)]
fn add_products<const FMA: bool>(scaled: &[Lanes<f64>], x: &[Lanes<f64>], n_groups: usize, sums: &mut [f64]) {
    let size = scaled.len() / GROUPS_PER_CHUNK;
    for i in 0..size {
        let first = &scaled[i * GROUPS_PER_CHUNK..][..n_groups];
        let mut j = i;
        while j + 3 <= size {
            add_tile::<3, FMA>(first, &x[j * GROUPS_PER_CHUNK..], &mut sums[i * size + j..]);
            j += 3;
        }
        while j < size {
            add_tile::<1, FMA>(first, &x[j * GROUPS_PER_CHUNK..], &mut sums[i * size + j..]);
            j += 1;
        }
    }
}

/// Adds the products of one dense feature and C others. Their sums stay in registers.
#[inline(always)]
fn add_tile<const C: usize, const FMA: bool>(first: &[Lanes<f64>], others: &[Lanes<f64>], sums: &mut [f64]) {
    let mut partial = [Lanes::ZERO; C];
    for (group, first) in first.iter().enumerate() {
        for c in 0..C {
            partial[c].add_product::<FMA>(first, &others[c * GROUPS_PER_CHUNK + group]);
        }
    }
    for c in 0..C {
        sums[c] += partial[c].sum();
    }
}
