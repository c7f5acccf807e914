use std::error::Error;
use std::fmt;
use std::sync::Arc;

use chainrule_core::{Gradient, Link, Step, Targets};
use rayon::prelude::*;

use crate::isa::Isa;
use crate::judge::{Model, PassMode};
use crate::lanes::Lanes;
use crate::linear::{Accumulator, Parameters, Pass, Rebase, RowSet, UpdateScalars, UpdateTask};
use crate::packed_rows::PackedRows;
use crate::patches::Patches;
use crate::real::Real;

/// Loss and number of correctly classified rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy in nats, without the penalty.
    pub loss: f64,
    /// Number of correctly classified rows.
    pub right: usize,
}

/// The float type of parameters and sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

/// A model's parameters, with the computations that use them.
///
/// The same calls give the same bits on the same instruction set and number of threads.
pub struct Fused {
    n_features: usize,
    columns: usize,
    targets: Targets,
    isa: Isa,
    kernel: Box<dyn Kernel>,
}

/// The parameters in one float type, with their layout. The trait object keeps all kernels compiled
/// in this crate, with this crate's optimisation settings.
trait Kernel: Send {
    fn set(&mut self, isa: Isa, weight: &[f64], bias: &[f64]);

    fn parameters(&self) -> (Vec<f64>, Vec<f64>);

    /// Runs one pass over the rows. Returns the sum of the losses and the number of correctly
    /// classified rows. In mode `Gradient` it keeps the sums of the gradient.
    fn pass(&mut self, isa: Isa, rows: &PackedRows, row_set: RowSet, mode: PassMode) -> (f64, usize);

    /// Updates the parameters with the sums of the last pass.
    fn update(&mut self, isa: Isa, by: UpdateScalars);

    /// Returns the sums of the last pass, `P^T D` and `colsum(D)`.
    fn gradient(&mut self) -> (Vec<f64>, Vec<f64>);
}

/// A kernel that processes the columns of W in sets of C, so that the sums of a set stay in
/// registers.
struct Linear<T, const C: usize> {
    model: Model,
    patches: Patches,
    parameters: Parameters<T, C>,
    /// The offset c that `base` was computed for.
    offset: f64,
    found: Vec<Accumulator<T, C>>,
    /// Number of accumulators that the last pass used.
    used: usize,
}

/// Returns the kernel with the best set size C, which minimises the number of stored columns plus
/// the number of sets. The largest size fits 32 registers of 16 numbers. Narrower registers spill.
/// That is still faster than smaller sets, because each set reads every row again.
fn kernel<T: Real>(model: &Model, n_features: usize, threads: usize) -> Box<dyn Kernel> {
    let columns = model.columns();
    let cost = |&c: &usize| columns.div_ceil(c) * (c + 1);
    match [1, 2, 3, 5, 10].into_iter().min_by_key(cost) {
        Some(2) => Box::new(Linear::<T, 2>::new(model, n_features, threads)),
        Some(3) => Box::new(Linear::<T, 3>::new(model, n_features, threads)),
        Some(5) => Box::new(Linear::<T, 5>::new(model, n_features, threads)),
        Some(10) => Box::new(Linear::<T, 10>::new(model, n_features, threads)),
        _ => Box::new(Linear::<T, 1>::new(model, n_features, threads)),
    }
}

impl Fused {
    /// Creates a model with zero parameters. It uses at most `threads` threads: see
    /// [`with_threads`].
    ///
    /// # Panics
    /// If the number of features, columns or threads is 0.
    pub fn new(link: impl Link + 'static, n_features: usize, float: Float, threads: usize, isa: Isa) -> Self {
        Self::of(Arc::new(link), n_features, float, threads, isa)
    }

    /// The same for a link of unknown type. This function is not generic, so it and the kernels are
    /// compiled in this crate. A generic function is compiled in the crate that calls it, with
    /// every generic function that it calls. That made the kernels ten times slower.
    fn of(link: Arc<dyn Link>, n_features: usize, float: Float, threads: usize, isa: Isa) -> Self {
        let (columns, targets) = (link.columns(), link.targets());
        assert!(n_features > 0 && columns > 0 && threads > 0, "features, columns and threads are at least one");
        let model = Model::new(link);
        let kernel = match float {
            Float::F32 => kernel::<f32>(&model, n_features, threads),
            Float::F64 => kernel::<f64>(&model, n_features, threads),
        };
        Self { n_features, columns, targets, isa, kernel }
    }

    /// Sets W and b. W has `d * k` numbers, with the class index varying fastest.
    ///
    /// # Panics
    /// If the lengths do not match the parameters.
    pub fn set(&mut self, weight: &[f64], bias: &[f64]) {
        assert_eq!(
            (weight.len(), bias.len()),
            (self.n_features * self.columns, self.columns),
            "a number for each parameter"
        );
        self.kernel.set(self.isa, weight, bias);
    }

    /// Returns W, with the class index varying fastest, and b.
    pub fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        self.kernel.parameters()
    }

    /// Runs one step of gradient descent on the rows of a batch. Returns their mean cross-entropy
    /// before the update.
    ///
    /// # Panics
    /// If the batch is empty, if it contains an index past the last row, or if the features or
    /// classes of the rows do not match the model.
    pub fn step(&mut self, rows: &PackedRows, batch: &[usize], step: Step) -> f64 {
        self.check(rows, batch.len());
        let n = batch.len() as f64;
        let by = UpdateScalars {
            scale: rows.scale / n,
            offset: rows.offset / n,
            one: 1.0 / n,
            base: rows.offset,
            learning_rate: step.learning_rate,
            l2: step.l2,
            l2_of_bias: if step.penalize_bias { step.l2 } else { 0.0 },
            columns: self.columns,
        };
        let (loss, _) = self.kernel.pass(self.isa, rows, RowSet::Listed(batch), PassMode::Gradient);
        self.kernel.update(self.isa, by);
        loss / n
    }

    /// Returns loss and number of correctly classified rows, over all rows.
    ///
    /// # Panics
    /// As [`Fused::step`].
    pub fn evaluate(&mut self, rows: &PackedRows) -> Evaluation {
        let (loss, right) = self.all(rows, PassMode::Loss);
        Evaluation { loss: loss / rows.len() as f64, right }
    }

    /// Returns the number of correctly classified rows, over all rows, without computing losses.
    ///
    /// # Panics
    /// As [`Fused::step`].
    pub fn right(&mut self, rows: &PackedRows) -> usize {
        self.all(rows, PassMode::Right).1
    }

    fn check(&self, rows: &PackedRows, n: usize) {
        assert!(n > 0, "a row at least");
        assert_eq!(rows.n_features(), self.n_features, "as many features as the model has");
        if let Targets::Classes(k) = self.targets {
            let labels = rows.n_labels().expect("rows of classes, which the model tells apart");
            assert!(labels <= k, "label {} of {k} classes", labels - 1);
        }
    }

    fn all(&mut self, rows: &PackedRows, mode: PassMode) -> (f64, usize) {
        self.check(rows, rows.len());
        self.kernel.pass(self.isa, rows, RowSet::From(0, rows.len()), mode)
    }

    /// Returns the gradient on the rows of a batch, with their mean cross-entropy.
    ///
    /// # Panics
    /// As [`Fused::step`].
    pub fn gradient(&mut self, rows: &PackedRows, batch: &[usize]) -> Gradient {
        self.gradient_of(rows, RowSet::Listed(batch))
    }

    /// Returns the gradient on all rows, with their mean cross-entropy. Blocks of 8192 rows are
    /// summed in the model's float type; the blocks are added in f64.
    ///
    /// # Panics
    /// As [`Fused::step`].
    pub fn full_gradient(&mut self, rows: &PackedRows) -> Gradient {
        let n = rows.len();
        let first = self.gradient_of(rows, RowSet::From(0, n.min(ROWS_PER_SUM)));
        let mut all = first.times(n.min(ROWS_PER_SUM) as f64 / n as f64);
        for first in (0..n).step_by(ROWS_PER_SUM).skip(1) {
            let end = n.min(first + ROWS_PER_SUM);
            all.add_times(&self.gradient_of(rows, RowSet::From(first, end)), (end - first) as f64 / n as f64);
        }
        all
    }

    fn gradient_of(&mut self, rows: &PackedRows, row_set: RowSet) -> Gradient {
        self.check(rows, row_set.len());
        let (n, columns) = (row_set.len() as f64, self.columns);
        let (loss, _) = self.kernel.pass(self.isa, rows, row_set, PassMode::Gradient);
        let (sums, residuals) = self.kernel.gradient();
        let by = |(i, &sum): (usize, &f64)| (rows.scale * sum + rows.offset * residuals[i % columns]) / n;
        Gradient {
            loss: loss / n,
            weight: sums.iter().enumerate().map(by).collect(),
            bias: residuals.iter().map(|residual| residual / n).collect(),
        }
    }
}

/// Runs `f` in a pool of `threads` threads, which the kernels use. Steps are short. A step that is
/// called from outside a pool puts its caller to sleep. A pool's own thread first looks for more
/// work for a while. With one thread, or on a platform without threads (WebAssembly), `f` runs on
/// the calling thread.
///
/// # Errors
/// If the system cannot create the threads. The error contains the system's message.
pub fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> Result<R, NoThreads> {
    if threads == 1 {
        return Ok(f());
    }
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => Ok(pool.install(f)),
        Err(error) if has_no_threads(&error) => Ok(f()),
        Err(error) => Err(NoThreads(error)),
    }
}

/// The system could not create the threads.
#[derive(Debug)]
pub struct NoThreads(rayon::ThreadPoolBuildError);

impl fmt::Display for NoThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for NoThreads {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Whether the platform has no threads at all, as opposed to no more of them.
fn has_no_threads(error: &rayon::ThreadPoolBuildError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::Unsupported)
}

/// Number of rows that are summed in the float type of the model.
const ROWS_PER_SUM: usize = 1 << 13;

/// Minimum number of rows per thread. A gradient needs more rows, because all of its sums and the
/// new weights move to another core.
fn rows_a_thread(mode: PassMode) -> usize {
    if mode == PassMode::Gradient { 128 } else { 32 }
}

/// Number of parts that `n` rows are split into.
fn parts(n: usize, threads: usize, mode: PassMode) -> usize {
    threads.min(n / rows_a_thread(mode)).max(1)
}

impl<T: Real, const C: usize> Linear<T, C> {
    fn new(model: &Model, n_features: usize, threads: usize) -> Self {
        // The layout for rows that are not images. `adapt_layout` replaces it if they are.
        let (patches, columns) = (Patches::new(1, n_features), model.columns());
        Self {
            model: model.clone(),
            patches,
            parameters: Parameters::new(patches, columns),
            offset: 0.0,
            found: vec![Accumulator::new(patches, columns); threads],
            used: 1,
        }
    }

    /// Converts the parameters to the layout and the offset of the rows.
    fn adapt_layout(&mut self, isa: Isa, rows: &PackedRows) {
        if self.patches != rows.patches {
            let (weight, bias) = self.parameters();
            self.patches = rows.patches;
            self.found = vec![Accumulator::new(rows.patches, self.model.columns()); self.found.len()];
            self.set(isa, &weight, &bias);
        }
        if self.offset != rows.offset {
            self.offset = rows.offset;
            self.rebase(isa);
        }
    }

    fn rebase(&mut self, isa: Isa) {
        isa.run(Rebase { parameters: &mut self.parameters, offset: self.offset, columns: self.model.columns() });
    }

    /// Returns numbers stored in the layout of the weights, feature by feature, with the column
    /// index varying fastest.
    fn flat(&self, lanes: &[[Lanes<T>; C]]) -> Vec<f64> {
        let (columns, blocks) = (self.model.columns(), self.patches.count());
        let mut numbers = Vec::with_capacity(self.patches.n_features() * columns);
        for feature in 0..self.patches.n_features() {
            let (block, lane) = self.patches.place(feature);
            numbers.extend((0..columns).map(|c| lanes[c / C * blocks + block][c % C].0[lane].to_f64()));
        }
        numbers
    }
}

impl<T: Real, const C: usize> Kernel for Linear<T, C> {
    fn set(&mut self, isa: Isa, weight: &[f64], bias: &[f64]) {
        let (columns, blocks) = (self.model.columns(), self.patches.count());
        // Reset the padding too: a diverged training may have left any value in it.
        self.parameters = Parameters::new(self.patches, columns);
        for (feature, weight) in weight.chunks_exact(columns).enumerate() {
            let (block, lane) = self.patches.place(feature);
            for (c, &value) in weight.iter().enumerate() {
                self.parameters.weight[c / C * blocks + block][c % C].0[lane] = T::from_f64(value);
            }
        }
        for (bias, &value) in self.parameters.bias.iter_mut().zip(bias) {
            *bias = T::from_f64(value);
        }
        self.rebase(isa);
    }

    fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        let bias = &self.parameters.bias[..self.model.columns()];
        (self.flat(&self.parameters.weight), bias.iter().map(|bias| bias.to_f64()).collect())
    }

    fn pass(&mut self, isa: Isa, rows: &PackedRows, row_set: RowSet, mode: PassMode) -> (f64, usize) {
        self.adapt_layout(isa, rows);
        let (model, parameters) = (&self.model, &self.parameters);
        let work = |(part, found): (_, &mut Accumulator<T, C>)| {
            isa.run(Pass { model, rows, row_set: row_set.part(part), parameters, mode, found });
            found.stats.take()
        };
        self.used = parts(row_set.len(), self.found.len(), mode);
        shared(row_set.len(), &mut self.found[..self.used], work)
    }

    fn update(&mut self, isa: Isa, by: UpdateScalars) {
        isa.run(UpdateTask { parameters: &mut self.parameters, found: &mut self.found[..self.used], by });
    }

    fn gradient(&mut self) -> (Vec<f64>, Vec<f64>) {
        Accumulator::gather(&mut self.found[..self.used]);
        let sums = &self.found[0];
        let residuals = sums.residuals[..self.model.columns()].iter().map(|residuals| residuals.sum().to_f64());
        (self.flat(&sums.gradient), residuals.collect())
    }
}

/// Splits `n` rows into one part per accumulator, and runs `work` on the parts in parallel. The
/// results are added in the order of the parts, so the sum is the same each time.
fn shared<F: Send>(
    n: usize,
    found: &mut [F],
    work: impl Fn((std::ops::Range<usize>, &mut F)) -> (f64, usize) + Sync + Send,
) -> (f64, usize) {
    // A single part needs no pool: rayon would start one.
    if let [found] = found {
        return work((0..n, found));
    }
    let parts = found.len();
    let range = |i: usize| n * i / parts..n * (i + 1) / parts;
    let done: Vec<(f64, usize)> = found.par_iter_mut().enumerate().map(|(i, found)| work((range(i), found))).collect();
    done.into_iter().fold((0.0, 0), |(loss, right), (l, r)| (loss + l, right + r))
}
