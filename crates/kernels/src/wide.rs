//! Softmax regression, with vectors along the classes.
//!
//! With features `x = a p + c` of bytes p, `Z = a (P W) + c colsum(W) + b` and `X^T D = a P^T D + c 1 colsum(D)^T`: what multiplies
//! a byte that is 0 need not be read.

use std::ops::Range;

use crate::isa::Task;
use crate::real::Real;
use crate::rows::{Bytes, Rows, entries};

/// One number for each of K classes, on a cache line of its own.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lanes<T, const K: usize>(pub(crate) [T; K]);

impl<T: Real, const K: usize> Lanes<T, K> {
    pub(crate) const ZERO: Self = Self([T::ZERO; K]);

    /// `self += x * by`
    #[inline(always)]
    pub(crate) fn add_times<const FMA: bool>(&mut self, x: T, by: &Self) {
        for lane in 0..K {
            self.0[lane] = x.times_plus::<FMA>(by.0[lane], self.0[lane]);
        }
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, other: &Self) {
        for lane in 0..K {
            self.0[lane] += other.0[lane];
        }
    }
}

/// Parameters, or a gradient by them: classes in blocks of K, the last filled up with lanes that stay 0.
#[derive(Clone, Debug)]
pub(crate) struct Parameters<T, const K: usize> {
    /// Feature by feature; all of one block, then the next.
    pub(crate) weight: Vec<Lanes<T, K>>,
    /// A block each.
    pub(crate) bias: Vec<Lanes<T, K>>,
}

impl<T: Real, const K: usize> Parameters<T, K> {
    pub(crate) fn zeros(n_features: usize, blocks: usize) -> Self {
        Self { weight: vec![Lanes::ZERO; n_features * blocks], bias: vec![Lanes::ZERO; blocks] }
    }
}

/// What one thread found on its rows, and the room that it needs for it.
/// Cache lines are not shared with another thread's.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(crate) struct Found<T, const K: usize> {
    /// `P^T D` in the weight's place, `colsum(D)` in the bias's, for residuals D; not yet times a, plus c, over n.
    pub(crate) gradient: Parameters<T, K>,
    /// Sum of cross-entropies.
    pub(crate) loss: f64,
    /// Rows whose largest logit is their class's.
    pub(crate) right: usize,
    pub(crate) logarithms: Logarithms,
    values: Vec<T>,
    logits: Vec<Lanes<T, K>>,
}

/// A sum of logarithms: one of a product, since a logarithm takes as long as dozens of products.
#[derive(Clone, Debug)]
pub(crate) struct Logarithms {
    product: f64,
    sum: f64,
}

impl Default for Logarithms {
    fn default() -> Self {
        Self { product: 1.0, sum: 0.0 }
    }
}

impl Logarithms {
    /// Adds that of a number from 1 to 2^50.
    #[inline(always)]
    pub(crate) fn add(&mut self, x: f64) {
        self.product *= x;
        // What is not a number stays in the product until it is taken.
        if self.product >= 1e250 {
            self.sum += self.product.ln();
            self.product = 1.0;
        }
    }

    /// The sum, which begins anew.
    pub(crate) fn take(&mut self) -> f64 {
        let sum = self.sum + self.product.ln();
        *self = Self::default();
        sum
    }
}

/// Rows of a tile of dense ones: as many accumulators as registers bear.
const TILE: usize = 8;

impl<T: Real, const K: usize> Found<T, K> {
    pub(crate) fn new(n_features: usize, blocks: usize) -> Self {
        Self {
            gradient: Parameters::zeros(n_features, blocks),
            loss: 0.0,
            right: 0,
            logarithms: Logarithms::default(),
            values: vec![T::ZERO; n_features * TILE],
            // As many rows as half of a nearest cache holds, but a tile at least.
            logits: vec![Lanes::ZERO; blocks * (16_384 / (blocks * size_of::<Lanes<T, K>>())).clamp(TILE, 256)],
        }
    }

    /// Adds what all threads found to the first's, and clears the others'.
    #[inline(always)]
    pub(crate) fn gather(found: &mut [Self]) -> &mut Parameters<T, K> {
        let (first, others) = found.split_first_mut().expect("a thread at least");
        for other in others {
            let sums = first.gradient.weight.iter_mut().chain(&mut first.gradient.bias);
            for (sum, other) in sums.zip(other.gradient.weight.iter_mut().chain(&mut other.gradient.bias)) {
                sum.add(other);
                *other = Lanes::ZERO;
            }
        }
        &mut first.gradient
    }
}

/// What a pass is to find; each also finds what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Which rows are classified rightly.
    Right,
    /// The losses.
    Loss,
    /// The gradient's sums.
    Gradient,
}

/// The rows of a pass.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    /// These, in this order.
    Listed(&'a [usize]),
    /// Those from here to there.
    From(usize, usize),
}

impl<'a> Which<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Which::Listed(rows) => rows.len(),
            Which::From(start, end) => end - start,
        }
    }

    #[inline(always)]
    pub(crate) fn at(self, i: usize) -> usize {
        match self {
            Which::Listed(rows) => rows[i],
            Which::From(start, _) => start + i,
        }
    }

    pub(crate) fn part(self, range: Range<usize>) -> Which<'a> {
        match self {
            Which::Listed(rows) => Which::Listed(&rows[range]),
            Which::From(start, _) => Which::From(start + range.start, start + range.end),
        }
    }
}

/// One pass over some rows: logits, losses, residuals, and the gradient's sums where they are asked for.
pub(crate) struct Pass<'a, T, const K: usize> {
    pub(crate) rows: &'a Rows,
    pub(crate) which: Which<'a>,
    pub(crate) parameters: &'a Parameters<T, K>,
    /// `c colsum(W) + b`; the lanes that fill up are below all.
    pub(crate) base: &'a [Lanes<T, K>],
    pub(crate) ask: Ask,
    pub(crate) found: &'a mut Found<T, K>,
}

impl<T: Real, const K: usize> Task for Pass<'_, T, K> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        match &self.rows.bytes {
            Bytes::Sparse { starts, features, values } => self.sparse::<FMA>(starts, features, values),
            Bytes::Dense(bytes) => self.dense::<FMA>(bytes),
        }
    }
}

impl<T: Real, const K: usize> Pass<'_, T, K> {
    /// Forward over some rows, then backward over them: the weights and then the gradient's sums stay in the nearest cache, where both together
    /// would not.
    #[inline(always)]
    fn sparse<const FMA: bool>(mut self, starts: &[usize], features: &[u16], values: &[u8]) {
        let (d, blocks) = (self.rows.n_features(), self.base.len());
        let scale = T::from_f64(self.rows.scale);
        let room = self.found.logits.len() / blocks;
        let mut first = 0;
        while first < self.which.len() {
            let n = room.min(self.which.len() - first);
            for i in 0..n {
                let row = self.which.at(first + i);
                let (features, bytes) = entries(starts, features, values, row);
                widen(bytes, &mut self.found.values);
                for block in 0..blocks {
                    let weight = &self.parameters.weight[block * d..][..d];
                    let product = dot::<T, K, FMA>(features, &self.found.values[..features.len()], weight);
                    let mut logits = self.base[block];
                    logits.add_times::<FMA>(scale, &product);
                    self.found.logits[i * blocks + block] = logits;
                }
                self.judge::<FMA>(row, i);
            }
            if self.ask == Ask::Gradient {
                for i in 0..n {
                    let row = self.which.at(first + i);
                    let (features, bytes) = entries(starts, features, values, row);
                    widen(bytes, &mut self.found.values);
                    for block in 0..blocks {
                        let residual = self.found.logits[i * blocks + block];
                        self.found.gradient.bias[block].add(&residual);
                        let gradient = &mut self.found.gradient.weight[block * d..][..d];
                        for (&feature, &value) in features.iter().zip(&self.found.values[..features.len()]) {
                            gradient[usize::from(feature)].add_times::<FMA>(value, &residual);
                        }
                    }
                }
            }
            first += n;
        }
    }

    #[inline(always)]
    fn dense<const FMA: bool>(mut self, bytes: &[u8]) {
        let (d, blocks) = (self.rows.n_features(), self.base.len());
        let scale = T::from_f64(self.rows.scale);
        let mut first = 0;
        while first < self.which.len() {
            let tile = TILE.min(self.which.len() - first);
            // A tile that is not full repeats its last row, of which nothing is kept.
            for i in 0..TILE {
                let row = self.which.at(first + i.min(tile - 1));
                widen(&bytes[row * d..][..d], &mut self.found.values[i * d..]);
            }
            for block in 0..blocks {
                let weight = &self.parameters.weight[block * d..][..d];
                let sums = products::<T, K, FMA>(&self.found.values, weight);
                for (i, sum) in sums.iter().enumerate() {
                    let mut logits = self.base[block];
                    logits.add_times::<FMA>(scale, sum);
                    self.found.logits[i * blocks + block] = logits;
                }
            }
            for i in 0..tile {
                self.judge::<FMA>(self.which.at(first + i), i);
            }
            if self.ask == Ask::Gradient {
                for block in 0..blocks {
                    let mut residuals = [Lanes::ZERO; TILE];
                    for (i, residual) in residuals.iter_mut().enumerate().take(tile) {
                        *residual = self.found.logits[i * blocks + block];
                        self.found.gradient.bias[block].add(residual);
                    }
                    let gradient = &mut self.found.gradient.weight[block * d..][..d];
                    add_products::<T, K, FMA>(&self.found.values, &residuals, gradient);
                }
            }
            first += tile;
        }
    }

    /// The loss of a row and whether it is right; its residual `p - y` takes the logits' place.
    #[inline(always)]
    fn judge<const FMA: bool>(&mut self, row: usize, place: usize) {
        let blocks = self.base.len();
        let logits = &mut self.found.logits[place * blocks..][..blocks];
        let label = self.rows.labels()[row] as usize;
        let of_label = logits[label / K].0[label % K];
        let mut highest = [T::NEG_INFINITY; K];
        for block in logits.iter() {
            for (highest, &logit) in highest.iter_mut().zip(&block.0) {
                // Not `max`, which is slower: what is not a number comes out in the loss.
                *highest = if logit <= *highest { *highest } else { logit };
            }
        }
        let highest = fold(highest, |a, b| if b <= a { a } else { b });
        // Of equal logits the first counts.
        let winner = of_label >= highest && !(0..label).any(|class| logits[class / K].0[class % K] == highest);
        self.found.right += usize::from(winner);
        if self.ask == Ask::Right {
            return;
        }

        let mut sums = [T::ZERO; K];
        for block in logits.iter_mut() {
            for (sum, logit) in sums.iter_mut().zip(&mut block.0) {
                *logit = (*logit - highest).exponential::<FMA>();
                *sum += *logit;
            }
        }
        let sum = fold(sums, |a, b| a + b);
        self.found.loss += (highest - of_label).to_f64();
        self.found.logarithms.add(sum.to_f64());
        if self.ask == Ask::Gradient {
            let one_by = T::ONE / sum;
            for block in logits.iter_mut() {
                for logit in &mut block.0 {
                    *logit = *logit * one_by;
                }
            }
            logits[label / K].0[label % K] += -T::ONE;
        }
    }
}

/// Bytes as floats.
#[inline(always)]
fn widen<T: Real>(bytes: &[u8], room: &mut [T]) {
    for (room, &byte) in room[..bytes.len()].iter_mut().zip(bytes) {
        *room = T::from_u8(byte);
    }
}

/// All lanes by halves, as vector instructions do it; K is a power of two.
#[inline(always)]
pub(crate) fn fold<T: Copy, const K: usize>(mut lanes: [T; K], f: impl Fn(T, T) -> T) -> T {
    let mut half = K / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = f(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// `sum value W[feature]`, in four sums, since each addition waits for the one before it.
#[inline(always)]
fn dot<T: Real, const K: usize, const FMA: bool>(
    features: &[u16],
    values: &[T],
    weight: &[Lanes<T, K>],
) -> Lanes<T, K> {
    let mut sums = [Lanes::<T, K>::ZERO; 4];
    // Rows are filled up to fours.
    let (features, _) = features.as_chunks::<4>();
    let (values, _) = values.as_chunks::<4>();
    for (features, values) in features.iter().zip(values) {
        for i in 0..4 {
            sums[i].add_times::<FMA>(values[i], &weight[usize::from(features[i])]);
        }
    }
    let [mut a, b, mut c, d] = sums;
    a.add(&b);
    c.add(&d);
    a.add(&c);
    a
}

/// The products of a tile's rows with W.
#[inline(always)]
fn products<T: Real, const K: usize, const FMA: bool>(values: &[T], weight: &[Lanes<T, K>]) -> [Lanes<T, K>; TILE] {
    let d = weight.len();
    let rows: [&[T]; TILE] = std::array::from_fn(|i| &values[i * d..][..d]);
    let mut sums = [Lanes::<T, K>::ZERO; TILE];
    for (j, weight) in weight.iter().enumerate() {
        for i in 0..TILE {
            sums[i].add_times::<FMA>(rows[i][j], weight);
        }
    }
    sums
}

/// Adds the products of a tile's columns with its residuals to the gradient.
#[inline(always)]
fn add_products<T: Real, const K: usize, const FMA: bool>(
    values: &[T],
    residuals: &[Lanes<T, K>; TILE],
    gradient: &mut [Lanes<T, K>],
) {
    let d = gradient.len();
    let rows: [&[T]; TILE] = std::array::from_fn(|i| &values[i * d..][..d]);
    for (j, gradient) in gradient.iter_mut().enumerate() {
        let mut sum = *gradient;
        for i in 0..TILE {
            sum.add_times::<FMA>(rows[i][j], &residuals[i]);
        }
        *gradient = sum;
    }
}

/// The update after a pass: `W -= rate (gradient + lambda W)`, which also sums W's columns anew and clears the sums for the next pass.
pub(crate) struct Update<'a, T, const K: usize> {
    pub(crate) parameters: &'a mut Parameters<T, K>,
    /// What each thread found; added up, then cleared.
    pub(crate) found: &'a mut [Found<T, K>],
    pub(crate) base: &'a mut [Lanes<T, K>],
    pub(crate) by: By,
}

/// By what a gradient's sums become an update.
#[derive(Clone, Copy)]
pub(crate) struct By {
    /// a / n
    pub(crate) scale: f64,
    /// c / n
    pub(crate) offset: f64,
    /// 1 / n
    pub(crate) one: f64,
    /// c
    pub(crate) base: f64,
    pub(crate) learning_rate: f64,
    /// lambda
    pub(crate) l2: f64,
    /// lambda where the bias is penalised, else 0
    pub(crate) l2_of_bias: f64,
    pub(crate) n_classes: usize,
}

impl<T: Real, const K: usize> Task for Update<'_, T, K> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let by = self.by;
        let d = self.parameters.weight.len() / self.base.len();
        let sums = Found::gather(self.found);
        for block in 0..self.base.len() {
            let of_bias = std::mem::replace(&mut sums.bias[block], Lanes::ZERO);
            let range = block * d..(block + 1) * d;
            // (1 - rate lambda) W - rate a/n P^T D - rate c/n colsum(D)
            let keep = T::from_f64(1.0 - by.learning_rate * by.l2);
            let scale = T::from_f64(-by.learning_rate * by.scale);
            let mut shift = Lanes::<T, K>::ZERO;
            shift.add_times::<FMA>(T::from_f64(-by.learning_rate * by.offset), &of_bias);
            let mut column_sums = [Lanes::<T, K>::ZERO; 4];
            let gradient = &mut sums.weight[range.clone()];
            for (j, (weight, gradient)) in self.parameters.weight[range].iter_mut().zip(gradient).enumerate() {
                let mut new = shift;
                new.add_times::<FMA>(keep, weight);
                new.add_times::<FMA>(scale, gradient);
                column_sums[j % 4].add(&new);
                *weight = new;
                *gradient = Lanes::ZERO;
            }
            let bias = &mut self.parameters.bias[block];
            let mut new = Lanes::<T, K>::ZERO;
            new.add_times::<FMA>(T::from_f64(1.0 - by.learning_rate * by.l2_of_bias), bias);
            new.add_times::<FMA>(T::from_f64(-by.learning_rate * by.one), &of_bias);
            *bias = new;
            self.base[block] = base(&column_sums, bias, by.base, block, by.n_classes);
        }
    }
}

/// `c colsum(W) + b` of one block, the lanes beyond the classes below all.
#[inline(always)]
fn base<T: Real, const K: usize>(
    column_sums: &[Lanes<T, K>],
    bias: &Lanes<T, K>,
    offset: f64,
    block: usize,
    n_classes: usize,
) -> Lanes<T, K> {
    let mut base = *bias;
    for sum in column_sums {
        base.add_times::<false>(T::from_f64(offset), sum);
    }
    for (lane, base) in base.0.iter_mut().enumerate() {
        if block * K + lane >= n_classes {
            *base = T::NEG_INFINITY;
        }
    }
    base
}

/// [`base`] of all blocks, computed anew.
pub(crate) fn bases<T: Real, const K: usize>(
    parameters: &Parameters<T, K>,
    offset: f64,
    n_classes: usize,
) -> Vec<Lanes<T, K>> {
    let d = parameters.weight.len() / parameters.bias.len();
    let blocks = parameters.bias.iter().enumerate();
    let of_block = |(block, bias): (usize, &Lanes<T, K>)| {
        let mut column_sums = [Lanes::ZERO; 4];
        for (j, weight) in parameters.weight[block * d..][..d].iter().enumerate() {
            column_sums[j % 4].add(weight);
        }
        base(&column_sums, bias, offset, block, n_classes)
    };
    blocks.map(of_block).collect()
}
