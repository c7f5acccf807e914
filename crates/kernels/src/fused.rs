use std::error::Error;
use std::fmt;
use std::sync::Arc;

use chainrule_core::{Gradient, Link, Step, TargetKind};
use rayon::prelude::*;

use crate::block_layout::BlockLayout;
use crate::isa::Isa;
use crate::lanes::Lanes;
use crate::linear::{Accumulator, Parameters, Pass, RecomputeZeroLogits, RowSet, Update, UpdateScalars};
use crate::losses::{LossFunction, PassMode};
use crate::packed_rows::PackedRows;
use crate::real::Real;

/// The results of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean loss of a row in nats, without the penalty.
    pub loss: f64,
    /// Number of correctly classified rows.
    pub n_correct: usize,
}

/// The float type of parameters and sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Float {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

/// A linear model. It stores the parameters, and computes steps, gradients and evaluations.
///
/// Results are reproducible: the same calls give the same bits, if the instruction set and the
/// number of threads are the same.
pub struct FusedModel {
    n_features: usize,
    /// Number of columns of W, k.
    columns: usize,
    targets: TargetKind,
    isa: Isa,
    kernel: Box<dyn Kernel>,
}

/// The operations of a model, for every float type and tile size.
///
/// [`FusedModel`] holds a trait object. So all kernels are compiled in this crate, with this
/// crate's optimisation settings.
trait Kernel: Send {
    /// Sets W and b, as [`FusedModel::set`].
    fn set(&mut self, isa: Isa, weight: &[f64], bias: &[f64]);

    /// Returns W and b, as [`FusedModel::parameters`].
    fn parameters(&self) -> (Vec<f64>, Vec<f64>);

    /// Runs one pass over the rows. Returns the sum of the losses and the number of correctly
    /// classified rows. In mode `Gradient`, it stores the sums of the gradient in the accumulators.
    fn pass(&mut self, isa: Isa, rows: &PackedRows, row_set: RowSet, mode: PassMode) -> (f64, usize);

    /// Updates the parameters with the gradient of the last pass.
    fn update(&mut self, isa: Isa, scalars: UpdateScalars);

    /// Returns the sums of the last pass: `P^T D` and `colsum(D)`, for bytes P and residuals D.
    fn gradient(&mut self) -> (Vec<f64>, Vec<f64>);
}

/// A kernel that processes the columns of W in tiles of C columns. The sums of a tile stay in
/// registers.
struct LinearKernel<T, const C: usize> {
    loss_function: LossFunction,
    layout: BlockLayout,
    parameters: Parameters<T, C>,
    /// The offset c of the features. The parameters' `zero_logits` was computed for it.
    offset: f64,
    /// One per thread.
    accumulators: Vec<Accumulator<T, C>>,
    /// Number of accumulators that the last pass used.
    n_used: usize,
}

/// Creates the kernel with the best tile size C. The best size has the least cost: the number of
/// stored columns plus the number of tiles.
///
/// The sums of the largest tile fit in the 32 registers of AVX-512. With other instruction sets,
/// some sums are spilled to memory. This is still faster than smaller tiles, because every row is
/// read once per tile.
fn best_kernel<T: Real>(loss_function: &LossFunction, n_features: usize, threads: usize) -> Box<dyn Kernel> {
    let columns = loss_function.columns();
    let cost = |&c: &usize| columns.div_ceil(c) * (c + 1);
    match [1, 2, 3, 5, 10].into_iter().min_by_key(cost) {
        Some(2) => Box::new(LinearKernel::<T, 2>::new(loss_function, n_features, threads)),
        Some(3) => Box::new(LinearKernel::<T, 3>::new(loss_function, n_features, threads)),
        Some(5) => Box::new(LinearKernel::<T, 5>::new(loss_function, n_features, threads)),
        Some(10) => Box::new(LinearKernel::<T, 10>::new(loss_function, n_features, threads)),
        _ => Box::new(LinearKernel::<T, 1>::new(loss_function, n_features, threads)),
    }
}

impl FusedModel {
    /// Creates a model with zero parameters. It uses at most `threads` threads. Run its methods
    /// inside [`with_threads`].
    ///
    /// # Panics
    /// If the number of features, columns or threads is 0.
    pub fn new(link: impl Link + 'static, n_features: usize, float: Float, threads: usize, isa: Isa) -> Self {
        Self::from_dyn_link(Arc::new(link), n_features, float, threads, isa)
    }

    /// Creates a model, like [`Self::new`], for a link that is a trait object. This function is not
    /// generic, so the kernels are compiled in this crate. A generic function is compiled in the
    /// crate that calls it, together with every generic function that it calls. That made the
    /// kernels ten times slower.
    fn from_dyn_link(link: Arc<dyn Link>, n_features: usize, float: Float, threads: usize, isa: Isa) -> Self {
        let (columns, targets) = (link.columns(), link.target_kind());
        assert!(n_features > 0 && columns > 0 && threads > 0, "expected at least one feature, column and thread");
        let loss_function = LossFunction::new(link);
        let kernel = match float {
            Float::F32 => best_kernel::<f32>(&loss_function, n_features, threads),
            Float::F64 => best_kernel::<f64>(&loss_function, n_features, threads),
        };
        Self { n_features, columns, targets, isa, kernel }
    }

    /// Sets W and b. Both are row-major.
    ///
    /// # Shapes
    /// - weight `[d, k]`, bias `[k]`
    ///
    /// # Panics
    /// If the lengths do not match the parameters.
    pub fn set(&mut self, weight: &[f64], bias: &[f64]) {
        assert_eq!(
            (weight.len(), bias.len()),
            (self.n_features * self.columns, self.columns),
            "lengths of weight and bias of {} features and {} columns",
            self.n_features,
            self.columns
        );
        self.kernel.set(self.isa, weight, bias);
    }

    /// Returns W and b, row-major.
    ///
    /// # Shapes
    /// - weight `[d, k]`, bias `[k]`
    pub fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        self.kernel.parameters()
    }

    /// Runs one step of gradient descent on the rows of a batch. Returns their mean loss before the
    /// update, without the penalty.
    ///
    /// # Panics
    /// If the batch is empty, if it contains an index past the last row, or if the features or
    /// classes of the rows do not match the model.
    pub fn step(&mut self, rows: &PackedRows, batch: &[usize], step: Step) -> f64 {
        self.assert_compatible(rows, batch.len());
        let n = batch.len() as f64;
        let scalars = UpdateScalars {
            scale_over_n: rows.scale / n,
            offset_over_n: rows.offset / n,
            one_over_n: 1.0 / n,
            offset: rows.offset,
            learning_rate: step.learning_rate,
            l2: step.l2,
            bias_l2: if step.penalize_bias { step.l2 } else { 0.0 },
            columns: self.columns,
        };
        let (loss, _) = self.kernel.pass(self.isa, rows, RowSet::Listed(batch), PassMode::Gradient);
        self.kernel.update(self.isa, scalars);
        loss / n
    }

    /// Returns the mean loss and the number of correctly classified rows, over all rows.
    ///
    /// # Panics
    /// As [`FusedModel::step`].
    pub fn evaluate(&mut self, rows: &PackedRows) -> Evaluation {
        let (loss, n_correct) = self.pass_over_all(rows, PassMode::Loss);
        Evaluation { loss: loss / rows.len() as f64, n_correct }
    }

    /// Returns the number of correctly classified rows, over all rows. It is faster than
    /// [`evaluate`](Self::evaluate), because it computes no losses.
    ///
    /// # Panics
    /// As [`FusedModel::step`].
    pub fn n_correct(&mut self, rows: &PackedRows) -> usize {
        self.pass_over_all(rows, PassMode::Accuracy).1
    }

    /// Asserts that the rows match the model, and that a pass has `n > 0` rows.
    fn assert_compatible(&self, rows: &PackedRows, n: usize) {
        assert!(n > 0, "expected at least one row");
        assert_eq!(rows.n_features(), self.n_features, "features of the rows and of the model");
        if let TargetKind::Classes(k) = self.targets {
            let n_labels = rows.n_labels().expect("the model needs classes, and the targets of the rows are numbers");
            assert!(n_labels <= k, "labels: expected 0..{k}, found {}", n_labels - 1);
        }
    }

    fn pass_over_all(&mut self, rows: &PackedRows, mode: PassMode) -> (f64, usize) {
        self.assert_compatible(rows, rows.len());
        self.kernel.pass(self.isa, rows, RowSet::Range(0, rows.len()), mode)
    }

    /// Returns the gradient and the mean loss of the rows of a batch, without the penalty.
    ///
    /// # Panics
    /// As [`FusedModel::step`].
    pub fn gradient(&mut self, rows: &PackedRows, batch: &[usize]) -> Gradient {
        self.gradient_of(rows, RowSet::Listed(batch))
    }

    /// Returns the gradient and the mean loss of all rows, without the penalty. Sums of 8192 rows
    /// are computed in the model's float type. These sums are added in f64.
    ///
    /// # Panics
    /// As [`FusedModel::step`].
    pub fn full_gradient(&mut self, rows: &PackedRows) -> Gradient {
        let n = rows.len();
        let end = n.min(ROWS_PER_SUM);
        let mut mean = self.gradient_of(rows, RowSet::Range(0, end)).scaled_by(end as f64 / n as f64);
        for start in (0..n).step_by(ROWS_PER_SUM).skip(1) {
            let end = n.min(start + ROWS_PER_SUM);
            mean.add_scaled(&self.gradient_of(rows, RowSet::Range(start, end)), (end - start) as f64 / n as f64);
        }
        mean
    }

    fn gradient_of(&mut self, rows: &PackedRows, row_set: RowSet) -> Gradient {
        self.assert_compatible(rows, row_set.len());
        let (n, columns) = (row_set.len() as f64, self.columns);
        let (loss, _) = self.kernel.pass(self.isa, rows, row_set, PassMode::Gradient);
        let (sums, residual_sums) = self.kernel.gradient();
        // X^T D = a P^T D + c 1 colsum(D)^T, where 1 is a column of ones
        let weight = |(i, &sum): (usize, &f64)| (rows.scale * sum + rows.offset * residual_sums[i % columns]) / n;
        Gradient {
            loss: loss / n,
            weight: sums.iter().enumerate().map(weight).collect(),
            bias: residual_sums.iter().map(|sum| sum / n).collect(),
        }
    }
}

/// Runs `f` in a pool of `threads` threads. The kernels that `f` calls use these threads.
///
/// Run a whole training in one call. A step is short, so the time to wake a sleeping thread
/// matters. Outside a pool, the caller of a step sleeps until the step is done. Inside a pool, a
/// waiting thread looks for work for a while before it sleeps.
///
/// `f` runs on the calling thread if `threads` is 1, or if the platform has no threads
/// (WebAssembly).
///
/// # Errors
/// If the system cannot create the threads. The error contains the system's message.
pub fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> Result<R, ThreadPoolError> {
    if threads == 1 {
        return Ok(f());
    }
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => Ok(pool.install(f)),
        Err(error) if threads_are_unsupported(&error) => Ok(f()),
        Err(error) => Err(ThreadPoolError(error)),
    }
}

/// The system could not create the threads.
#[derive(Debug)]
pub struct ThreadPoolError(rayon::ThreadPoolBuildError);

impl fmt::Display for ThreadPoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for ThreadPoolError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Whether the error means that the platform does not support threads. Other errors mean that the
/// system has no more threads.
fn threads_are_unsupported(error: &rayon::ThreadPoolBuildError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::Unsupported)
}

/// Maximum number of rows that are summed in the float type of the model.
const ROWS_PER_SUM: usize = 1 << 13;

/// Minimum number of rows per thread. The minimum is higher for a gradient, because its sums and
/// the new weights must move between cores.
fn min_rows_per_thread(mode: PassMode) -> usize {
    if mode == PassMode::Gradient { 128 } else { 32 }
}

/// Number of parts that `n` rows are split into, one per thread.
fn n_parts(n: usize, threads: usize, mode: PassMode) -> usize {
    threads.min(n / min_rows_per_thread(mode)).max(1)
}

impl<T: Real, const C: usize> LinearKernel<T, C> {
    fn new(loss_function: &LossFunction, n_features: usize, threads: usize) -> Self {
        // This is the layout for rows that are not images. `adapt_to` replaces it if they are.
        let (layout, columns) = (BlockLayout::new(1, n_features), loss_function.columns());
        Self {
            loss_function: loss_function.clone(),
            layout,
            parameters: Parameters::new(layout, columns),
            offset: 0.0,
            accumulators: vec![Accumulator::new(layout, columns); threads],
            n_used: 1,
        }
    }

    /// Converts the parameters to the layout and the offset of the rows.
    fn adapt_to(&mut self, isa: Isa, rows: &PackedRows) {
        if self.layout != rows.layout {
            let (weight, bias) = self.parameters();
            self.layout = rows.layout;
            self.accumulators =
                vec![Accumulator::new(rows.layout, self.loss_function.columns()); self.accumulators.len()];
            self.set(isa, &weight, &bias);
        }
        if self.offset != rows.offset {
            self.offset = rows.offset;
            self.recompute_zero_logits(isa);
        }
    }

    fn recompute_zero_logits(&mut self, isa: Isa) {
        isa.run(RecomputeZeroLogits {
            parameters: &mut self.parameters,
            offset: self.offset,
            columns: self.loss_function.columns(),
        });
    }

    /// Converts numbers from the layout of the weights to a row-major matrix `[d, k]`.
    fn unpack(&self, lanes: &[[Lanes<T>; C]]) -> Vec<f64> {
        let (columns, n_blocks) = (self.loss_function.columns(), self.layout.n_blocks());
        let mut numbers = Vec::with_capacity(self.layout.n_features() * columns);
        for feature in 0..self.layout.n_features() {
            let (block, lane) = self.layout.position(feature);
            numbers.extend((0..columns).map(|c| lanes[c / C * n_blocks + block][c % C].0[lane].to_f64()));
        }
        numbers
    }
}

impl<T: Real, const C: usize> Kernel for LinearKernel<T, C> {
    fn set(&mut self, isa: Isa, weight: &[f64], bias: &[f64]) {
        let (columns, n_blocks) = (self.loss_function.columns(), self.layout.n_blocks());
        // Reset the padding too, because a diverged training can leave any value in it.
        self.parameters = Parameters::new(self.layout, columns);
        for (feature, weight) in weight.chunks_exact(columns).enumerate() {
            let (block, lane) = self.layout.position(feature);
            for (c, &value) in weight.iter().enumerate() {
                self.parameters.weight[c / C * n_blocks + block][c % C].0[lane] = T::from_f64(value);
            }
        }
        for (bias, &value) in self.parameters.bias.iter_mut().zip(bias) {
            *bias = T::from_f64(value);
        }
        self.recompute_zero_logits(isa);
    }

    fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        let bias = &self.parameters.bias[..self.loss_function.columns()];
        (self.unpack(&self.parameters.weight), bias.iter().map(|bias| bias.to_f64()).collect())
    }

    fn pass(&mut self, isa: Isa, rows: &PackedRows, row_set: RowSet, mode: PassMode) -> (f64, usize) {
        self.adapt_to(isa, rows);
        let (loss_function, parameters) = (&self.loss_function, &self.parameters);
        let work = |(range, accumulator): (_, &mut Accumulator<T, C>)| {
            isa.run(Pass { loss_function, rows, row_set: row_set.slice(range), parameters, mode, accumulator });
            accumulator.stats.take()
        };
        self.n_used = n_parts(row_set.len(), self.accumulators.len(), mode);
        run_in_parts(row_set.len(), &mut self.accumulators[..self.n_used], work)
    }

    fn update(&mut self, isa: Isa, scalars: UpdateScalars) {
        isa.run(Update {
            parameters: &mut self.parameters,
            accumulators: &mut self.accumulators[..self.n_used],
            scalars,
        });
    }

    fn gradient(&mut self) -> (Vec<f64>, Vec<f64>) {
        Accumulator::reduce(&mut self.accumulators[..self.n_used]);
        let sums = &self.accumulators[0];
        let residual_sums = sums.residual_sums[..self.loss_function.columns()].iter().map(|lanes| lanes.sum().to_f64());
        (self.unpack(&sums.gradient), residual_sums.collect())
    }
}

/// Splits `n` rows into one part per accumulator, and runs `work` on the parts in parallel. Returns
/// the sums of the losses and of the numbers of correct rows. They are added in the order of the
/// parts, so the sums are reproducible.
fn run_in_parts<A: Send>(
    n: usize,
    accumulators: &mut [A],
    work: impl Fn((std::ops::Range<usize>, &mut A)) -> (f64, usize) + Sync + Send,
) -> (f64, usize) {
    // A single part runs here, because rayon would start a pool.
    if let [accumulator] = accumulators {
        return work((0..n, accumulator));
    }
    let n_parts = accumulators.len();
    let range = |i: usize| n * i / n_parts..n * (i + 1) / n_parts;
    let results: Vec<(f64, usize)> =
        accumulators.par_iter_mut().enumerate().map(|(i, accumulator)| work((range(i), accumulator))).collect();
    results.into_iter().fold((0.0, 0), |sums, (loss, n_correct)| (sums.0 + loss, sums.1 + n_correct))
}
