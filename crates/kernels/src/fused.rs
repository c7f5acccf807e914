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

/// Loss and accuracy on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy in nats, without the penalty.
    pub loss: f64,
    /// Rows classified rightly.
    pub right: usize,
}

/// Float type of parameters and sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

/// A model's parameters, and everything that is computed with them.
///
/// The same calls with as many threads on the same processor give the same bits.
pub struct Fused {
    n_features: usize,
    columns: usize,
    targets: Targets,
    isa: Isa,
    kernel: Box<dyn Kernel>,
}

/// Parameters of one float type, in a layout of their own. Behind a pointer so that all of it is
/// compiled in this crate, as optimised as it asks for.
trait Kernel: Send {
    fn set(&mut self, isa: Isa, weight: &[f64], bias: &[f64]);

    fn parameters(&self) -> (Vec<f64>, Vec<f64>);

    /// Sum of losses and number of right rows; the gradient's sums are kept.
    fn pass(&mut self, isa: Isa, rows: &PackedRows, which: RowSet, ask: PassMode) -> (f64, usize);

    /// Updates by the sums of the last pass.
    fn update(&mut self, isa: Isa, by: UpdateScalars);

    /// The sums of the last pass: `P^T D` and `colsum(D)`.
    fn gradient(&mut self) -> (Vec<f64>, Vec<f64>);
}

/// Parameters whose columns go through the registers in sets of C.
struct Linear<T, const C: usize> {
    model: Model,
    patches: Patches,
    parameters: Parameters<T, C>,
    /// The c of the rows that `base` was computed for.
    offset: f64,
    found: Vec<Accumulator<T, C>>,
    /// How many of these the last pass used.
    used: usize,
}

/// A kernel whose sets of columns fill up as little as may be. The largest set is what 32 registers
/// of 16 numbers bear; smaller registers spill, and are still faster so than with smaller sets,
/// which would read each row once for every set.
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
    /// Parameters that are 0, for at most so many threads: see [`with_threads`].
    ///
    /// # Panics
    /// Where there are no features, columns or threads.
    pub fn new(link: impl Link + 'static, n_features: usize, float: Float, threads: usize, isa: Isa) -> Self {
        Self::of(Arc::new(link), n_features, float, threads, isa)
    }

    /// The same of a link whose type is not known. What is generic is compiled where it is called,
    /// and all that it calls with it: ten times as slow as here.
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

    /// Sets W, `d * k` numbers with the class running fastest, and b.
    ///
    /// # Panics
    /// Where these are not as many as there are parameters.
    pub fn set(&mut self, weight: &[f64], bias: &[f64]) {
        assert_eq!(
            (weight.len(), bias.len()),
            (self.n_features * self.columns, self.columns),
            "a number for each parameter"
        );
        self.kernel.set(self.isa, weight, bias);
    }

    /// W, `d * k` numbers with the class running fastest, and b.
    pub fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        self.kernel.parameters()
    }

    /// One step of gradient descent on the rows of a batch; gives their mean cross-entropy before
    /// it.
    ///
    /// # Panics
    /// Where there is no row, or one of the batch is beyond the last, or the rows have other
    /// features or classes than the model.
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

    /// Loss and accuracy on all rows.
    ///
    /// # Panics
    /// As [`Fused::step`].
    pub fn evaluate(&mut self, rows: &PackedRows) -> Evaluation {
        let (loss, right) = self.all(rows, PassMode::Loss);
        Evaluation { loss: loss / rows.len() as f64, right }
    }

    /// Rows classified rightly, of all.
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

    fn all(&mut self, rows: &PackedRows, ask: PassMode) -> (f64, usize) {
        self.check(rows, rows.len());
        self.kernel.pass(self.isa, rows, RowSet::From(0, rows.len()), ask)
    }

    /// The gradient on the rows of a batch, and their mean cross-entropy.
    ///
    /// # Panics
    /// As [`Fused::step`].
    pub fn gradient(&mut self, rows: &PackedRows, batch: &[usize]) -> Gradient {
        self.gradient_of(rows, RowSet::Listed(batch))
    }

    /// The same on all rows, of which those of a few thousand are summed in the model's float type,
    /// and the sums in f64.
    ///
    /// # Panics
    /// As [`Fused::step`].
    pub fn full_gradient(&mut self, rows: &PackedRows) -> Gradient {
        let n = rows.len();
        let first = self.gradient_of(rows, RowSet::From(0, n.min(ROWS_A_SUM)));
        let mut all = first.times(n.min(ROWS_A_SUM) as f64 / n as f64);
        for first in (0..n).step_by(ROWS_A_SUM).skip(1) {
            let end = n.min(first + ROWS_A_SUM);
            all.add_times(&self.gradient_of(rows, RowSet::From(first, end)), (end - first) as f64 / n as f64);
        }
        all
    }

    fn gradient_of(&mut self, rows: &PackedRows, which: RowSet) -> Gradient {
        self.check(rows, which.len());
        let (n, columns) = (which.len() as f64, self.columns);
        let (loss, _) = self.kernel.pass(self.isa, rows, which, PassMode::Gradient);
        let (sums, residuals) = self.kernel.gradient();
        let by = |(i, &sum): (usize, &f64)| (rows.scale * sum + rows.offset * residuals[i % columns]) / n;
        Gradient {
            loss: loss / n,
            weight: sums.iter().enumerate().map(by).collect(),
            bias: residuals.iter().map(|residual| residual / n).collect(),
        }
    }
}

/// Runs `f` where kernels find so many threads. Steps are short: called from outside a pool, each
/// would put its caller to sleep, where the threads of a pool look for more work for a while first.
/// Where there are no threads at all, as in WebAssembly, one does.
///
/// # Errors
/// Where the system does not give so many threads; what it said.
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

/// The system does not give so many threads.
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

/// Whether the system has no threads, and not just no more of them.
fn has_no_threads(error: &rayon::ThreadPoolBuildError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::Unsupported)
}

/// Rows whose gradient is summed in the model's own float type.
const ROWS_A_SUM: usize = 1 << 13;

/// Rows that make a thread worth waking: with a gradient many, since all of its sums and of the new
/// weights cross to another core.
fn rows_a_thread(ask: PassMode) -> usize {
    if ask == PassMode::Gradient { 128 } else { 32 }
}

/// Into how many parts so many threads cut `n` rows.
fn parts(n: usize, threads: usize, ask: PassMode) -> usize {
    threads.min(n / rows_a_thread(ask)).max(1)
}

impl<T: Real, const C: usize> Linear<T, C> {
    fn new(model: &Model, n_features: usize, threads: usize) -> Self {
        // Rows that are images come later, and with them their order.
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

    /// Takes on the order in which the rows have their features.
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

    /// Numbers that lie as the weights do, feature by feature with the column running fastest.
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
        // All anew, what fills up too: a training that diverged may have left anything there.
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

    fn pass(&mut self, isa: Isa, rows: &PackedRows, which: RowSet, ask: PassMode) -> (f64, usize) {
        self.adapt_layout(isa, rows);
        let (model, parameters) = (&self.model, &self.parameters);
        let work = |(part, found): (_, &mut Accumulator<T, C>)| {
            isa.run(Pass { model, rows, which: which.part(part), parameters, ask, found });
            found.verdict.take()
        };
        self.used = parts(which.len(), self.found.len(), ask);
        shared(which.len(), &mut self.found[..self.used], work)
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

/// `n` rows in as many parts as there are to be found, each by a thread; the results are added in
/// the parts' order, so that they are the same each time.
fn shared<F: Send>(
    n: usize,
    found: &mut [F],
    work: impl Fn((std::ops::Range<usize>, &mut F)) -> (f64, usize) + Sync + Send,
) -> (f64, usize) {
    // One thread's work needs no pool, which rayon would start.
    if let [found] = found {
        return work((0..n, found));
    }
    let parts = found.len();
    let range = |i: usize| n * i / parts..n * (i + 1) / parts;
    let done: Vec<(f64, usize)> = found.par_iter_mut().enumerate().map(|(i, found)| work((range(i), found))).collect();
    done.into_iter().fold((0.0, 0), |(loss, right), (l, r)| (loss + l, right + r))
}
