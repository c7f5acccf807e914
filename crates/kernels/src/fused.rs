use std::error::Error;
use std::fmt;
use std::sync::Arc;

use chainrule_core::{Gradient, Link, Step, TargetKind};

use crate::bytes::kernel::byte_kernel;
use crate::isa::Isa;
use crate::losses::{LossFunction, PassMode};
use crate::margins::Margins;
use crate::packed_rows::{PackedRows, Store};
use crate::row_set::{RowSet, sample_size};
use crate::table::curvature::{Curvature, Problem, curvature};
use crate::table::kernel::table_kernel;

/// The results of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean loss of a row in nats, without the penalty.
    pub loss: f64,
    /// Number of correctly classified rows.
    pub n_correct: usize,
}

/// The float type of parameters and sums. A table whose numbers are stored in f64 is computed in
/// f64.
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
    targets: TargetKind,
    loss_function: LossFunction,
    float: Float,
    threads: usize,
    isa: Isa,
    kernel: Box<dyn Kernel>,
}

/// The operations of a model, for one kind of rows, every float type and tile size.
///
/// [`FusedModel`] holds a trait object. So all kernels are compiled in this crate, with this
/// crate's optimisation settings.
pub(crate) trait Kernel: Send {
    /// Whether the kernel can read these rows.
    fn fits(&self, rows: &PackedRows) -> bool;

    /// Sets W and b, as [`FusedModel::set`].
    fn set(&mut self, isa: Isa, weight: &[f64], bias: &[f64]);

    /// Returns W and b, as [`FusedModel::parameters`].
    fn parameters(&self) -> (Vec<f64>, Vec<f64>);

    /// Runs one pass over the rows. Returns the sum of the losses and the number of correctly
    /// classified rows. In mode `Gradient`, it stores the sums of the gradient in the accumulators.
    fn pass(&mut self, isa: Isa, rows: &PackedRows, row_set: RowSet, mode: PassMode) -> (f64, usize);

    /// Returns the margins of the rows of the last pass, in mode `Margins`, in their order.
    fn take_margins(&mut self) -> Vec<f32>;

    /// Updates the parameters with the gradient of the last pass, over n of these rows.
    fn update(&mut self, isa: Isa, rows: &PackedRows, n: f64, step: Step);

    /// Returns the gradient of the last pass, over n of these rows, without its loss.
    fn gradient(&mut self, rows: &PackedRows, n: f64) -> Gradient;

    /// Maximum number of rows of a pass whose sums are accurate.
    fn rows_per_sum(&self) -> usize;
}

fn new_byte_kernel(float: Float, loss_function: &LossFunction, n_features: usize, threads: usize) -> Box<dyn Kernel> {
    match float {
        Float::F32 => byte_kernel::<f32>(loss_function, n_features, threads),
        Float::F64 => byte_kernel::<f64>(loss_function, n_features, threads),
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
        // Most rows are bytes. `adapt_to` replaces the kernel if they are not.
        let kernel = new_byte_kernel(float, &loss_function, n_features, threads);
        Self { n_features, targets, loss_function, float, threads, isa, kernel }
    }

    /// Sets the weight of each class's rows. It multiplies their losses and gradients; means are
    /// over the number of rows. Parameters start at zero again.
    ///
    /// # Panics
    /// If there is not one weight for each class, or if the targets are numbers.
    #[must_use]
    pub fn with_class_weights(mut self, class_weights: &[f64]) -> Self {
        assert_eq!(self.targets, TargetKind::Classes(class_weights.len()), "weights of the classes");
        self.loss_function = self.loss_function.with_class_weights(class_weights.into());
        self.kernel = new_byte_kernel(self.float, &self.loss_function, self.n_features, self.threads);
        self
    }

    /// Replaces the kernel if it cannot read these rows.
    fn adapt_to(&mut self, rows: &PackedRows) {
        if self.kernel.fits(rows) {
            return;
        }
        let (weight, bias) = self.kernel.parameters();
        let (loss_function, d, threads) = (&self.loss_function, self.n_features, self.threads);
        self.kernel = match (&rows.store, self.float) {
            (Store::Bytes(_), float) => new_byte_kernel(float, loss_function, d, threads),
            (Store::Table(rows), Float::F32) if !rows.are_f64() => {
                table_kernel::<f32, f32>(loss_function, rows, threads)
            }
            (Store::Table(rows), _) if !rows.are_f64() => table_kernel::<f64, f32>(loss_function, rows, threads),
            (Store::Table(rows), _) => table_kernel::<f64, f64>(loss_function, rows, threads),
        };
        self.kernel.set(self.isa, &weight, &bias);
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
            (self.n_features * self.columns(), self.columns()),
            "lengths of weight and bias of {} features and {} columns",
            self.n_features,
            self.columns()
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
        self.adapt_to(rows);
        let (loss, _) = self.kernel.pass(self.isa, rows, RowSet::Listed(batch), PassMode::Gradient);
        self.kernel.update(self.isa, rows, n, step);
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

    /// As [`n_correct`](Self::n_correct). It computes only the logits of rows whose class may have
    /// changed since the last call with these margins, which must have had the same rows. So it is
    /// faster where the parameters moved little. If the rows are of a table, it computes all.
    ///
    /// # Panics
    /// As [`FusedModel::step`], and if the last call had another number of rows.
    pub fn n_correct_again(&mut self, rows: &PackedRows, margins: &mut Margins) -> usize {
        self.assert_compatible(rows, rows.len());
        self.adapt_to(rows);
        let (weight, bias) = self.kernel.parameters();
        let Some(stale) = margins.advance(rows, weight, bias) else { return self.n_correct(rows) };
        if !stale.is_empty() {
            self.kernel.pass(self.isa, rows, RowSet::Listed(stale), PassMode::Margins);
        }
        let computed = self.kernel.take_margins();
        margins.set(rows, &computed)
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
        self.adapt_to(rows);
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
    /// are computed in the model's float type, and then added in f64.
    ///
    /// # Panics
    /// As [`FusedModel::step`].
    pub fn full_gradient(&mut self, rows: &PackedRows) -> Gradient {
        self.adapt_to(rows);
        let (n, rows_per_sum) = (rows.len(), self.kernel.rows_per_sum());
        let end = n.min(rows_per_sum);
        let mut mean = self.gradient_of(rows, RowSet::Range(0, end)).scaled_by(end as f64 / n as f64);
        for start in (0..n).step_by(rows_per_sum).skip(1) {
            let end = n.min(start + rows_per_sum);
            mean.add_scaled(&self.gradient_of(rows, RowSet::Range(start, end)), (end - start) as f64 / n as f64);
        }
        mean
    }

    /// Returns the gradient and the mean loss of a sample, without the penalty: 64 consecutive rows
    /// out of every `64 * step`. The last, incomplete chunk of rows is not in the sample.
    ///
    /// # Panics
    /// As [`FusedModel::step`], and if there are fewer than 64 rows.
    pub fn sample_gradient(&mut self, rows: &PackedRows, step: usize) -> Gradient {
        let end = sample_size(rows.len(), step);
        self.gradient_of(rows, RowSet::Sampled { start: 0, end, step })
    }

    /// Returns the mean loss of all rows of a table with its gradient and its Hessian, without the
    /// penalty, in f64, of the model `z = (x - centre) W + b`. Returns `None` if the rows are
    /// bytes.
    ///
    /// # Shapes
    /// - weight `[d, k]`, bias `[k]`, centre `[d]`
    ///
    /// # Panics
    /// As [`FusedModel::step`], and if a length is another.
    pub fn curvature(&self, rows: &PackedRows, weight: &[f64], bias: &[f64], centre: &[f64]) -> Option<Curvature> {
        self.assert_compatible(rows, rows.len());
        let (d, k) = (self.n_features, self.columns());
        assert_eq!((weight.len(), bias.len(), centre.len()), (d * k, k, d), "lengths of weight, bias and centre");
        let Store::Table(table) = &rows.store else { return None };
        let (loss_function, targets) = (&self.loss_function, &rows.targets);
        let problem = Problem { loss_function, rows: table, targets, weight, bias, centre };
        Some(curvature(problem, self.threads, self.isa))
    }

    fn gradient_of(&mut self, rows: &PackedRows, row_set: RowSet) -> Gradient {
        self.assert_compatible(rows, row_set.len());
        self.adapt_to(rows);
        let n = row_set.len() as f64;
        let (loss, _) = self.kernel.pass(self.isa, rows, row_set, PassMode::Gradient);
        Gradient { loss: loss / n, ..self.kernel.gradient(rows, n) }
    }

    /// Number of columns of W, k.
    fn columns(&self) -> usize {
        self.loss_function.columns()
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
