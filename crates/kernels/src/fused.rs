use rayon::prelude::*;

use crate::isa::Isa;
use crate::narrow;
use crate::real::Real;
use crate::rows::Rows;
use crate::wide::{self, Ask, By, Lanes, Which};

/// Which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// One logit a row, labels 0 and 1.
    Logistic,
    /// A logit for each class.
    Softmax {
        /// Classes, k.
        n_classes: usize,
    },
}

impl Model {
    /// Columns of W: the classes, or 1 for the logistic model.
    pub fn columns(self) -> usize {
        match self {
            Model::Logistic => 1,
            Model::Softmax { n_classes } => n_classes,
        }
    }
}

/// What a step goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Learning rate.
    pub learning_rate: f64,
    /// lambda of `J = C + lambda/2 sum w^2`.
    pub l2: f64,
    /// Whether the bias belongs to w.
    pub penalize_bias: bool,
}

/// Loss and accuracy on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy in nats, without the penalty.
    pub loss: f64,
    /// Rows classified rightly.
    pub right: usize,
}

/// The gradient of the mean cross-entropy, without the penalty.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// The mean cross-entropy.
    pub loss: f64,
    /// By W, `d * k` numbers, the class running fastest.
    pub weight: Vec<f64>,
    /// By b, `k` numbers.
    pub bias: Vec<f64>,
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
    /// Labels are below it.
    n_labels: usize,
    isa: Isa,
    kernel: Box<dyn Kernel>,
}

/// Parameters of one float type, in a layout of their own. Behind a pointer so that all of it is compiled in this crate, as optimised as it asks for.
trait Kernel: Send {
    fn set(&mut self, weight: &[f64], bias: &[f64]);

    fn parameters(&self) -> (Vec<f64>, Vec<f64>);

    /// Sum of losses and number of right rows; the gradient's sums are kept.
    fn pass(&mut self, isa: Isa, rows: &Rows, which: Which, ask: Ask) -> (f64, usize);

    /// Updates by the sums of the last pass, and clears them.
    fn update(&mut self, isa: Isa, by: By);

    /// The sums of the last pass, added up and cleared.
    fn take_gradient(&mut self) -> (Vec<f64>, Vec<f64>);
}

/// Softmax regression, with K lanes a block of classes.
struct Wide<T, const K: usize> {
    n_classes: usize,
    parameters: wide::Parameters<T, K>,
    /// `c colsum(W) + b`, for the c of the rows that it was computed for.
    base: Vec<Lanes<T, K>>,
    offset: f64,
    found: Vec<wide::Found<T, K>>,
    /// How many of these the last pass used; the others' sums are 0.
    used: usize,
}

/// Logistic regression.
struct Narrow<T> {
    parameters: narrow::Parameters<T>,
    /// `c sum(w) + b`, for the c of the rows that it was computed for.
    base: T,
    offset: f64,
    found: Vec<narrow::Found<T>>,
    /// How many of these the last pass used; the others' sums are 0.
    used: usize,
}

fn kernel<T: Real>(model: Model, n_features: usize, threads: usize) -> Box<dyn Kernel> {
    match model {
        Model::Logistic => Box::new(Narrow::<T>::new(n_features, threads)),
        Model::Softmax { n_classes: n @ ..=8 } => Box::new(Wide::<T, 8>::new(n_features, n, threads)),
        Model::Softmax { n_classes: n @ 9..=16 } => Box::new(Wide::<T, 16>::new(n_features, n, threads)),
        Model::Softmax { n_classes: n } => Box::new(Wide::<T, 32>::new(n_features, n, threads)),
    }
}

impl Fused {
    /// Parameters that are 0, for at most so many threads: see [`with_threads`].
    ///
    /// # Panics
    /// Where there are no features, classes or threads.
    pub fn new(model: Model, n_features: usize, float: Float, threads: usize, isa: Isa) -> Self {
        let columns = model.columns();
        assert!(n_features > 0 && columns > 0 && threads > 0, "features, classes and threads are at least one");
        let kernel = match float {
            Float::F32 => kernel::<f32>(model, n_features, threads),
            Float::F64 => kernel::<f64>(model, n_features, threads),
        };
        let n_labels = if model == Model::Logistic { 2 } else { columns };
        Self { n_features, columns, n_labels, isa, kernel }
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
        self.kernel.set(weight, bias);
    }

    /// W, `d * k` numbers with the class running fastest, and b.
    pub fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        self.kernel.parameters()
    }

    /// One step of gradient descent on the rows of a batch; gives their mean cross-entropy before it.
    ///
    /// # Panics
    /// Where there is no row, or one of the batch is beyond the last, or the rows have other features or classes than the model.
    pub fn step(&mut self, rows: &Rows, batch: &[usize], step: Step) -> f64 {
        self.check(rows, batch.len());
        let n = batch.len() as f64;
        let by = By {
            scale: rows.scale / n,
            offset: rows.offset / n,
            one: 1.0 / n,
            base: rows.offset,
            learning_rate: step.learning_rate,
            l2: step.l2,
            l2_of_bias: if step.penalize_bias { step.l2 } else { 0.0 },
            n_classes: self.columns,
        };
        let (loss, _) = self.kernel.pass(self.isa, rows, Which::Listed(batch), Ask::Gradient);
        self.kernel.update(self.isa, by);
        loss / n
    }

    /// Loss and accuracy on all rows.
    ///
    /// # Panics
    /// As [`Fused::step`].
    pub fn evaluate(&mut self, rows: &Rows) -> Evaluation {
        let (loss, right) = self.all(rows, Ask::Loss);
        Evaluation { loss: loss / rows.len() as f64, right }
    }

    /// Rows classified rightly, of all.
    ///
    /// # Panics
    /// As [`Fused::step`].
    pub fn right(&mut self, rows: &Rows) -> usize {
        self.all(rows, Ask::Right).1
    }

    fn check(&self, rows: &Rows, n: usize) {
        assert!(n > 0, "a row at least");
        assert_eq!(rows.n_features(), self.n_features, "as many features as the model has");
        // One column tells two classes apart; a softmax of one class is what it is.
        assert!(rows.n_labels() <= self.n_labels, "label {} of {} classes", rows.n_labels() - 1, self.n_labels);
    }

    fn all(&mut self, rows: &Rows, ask: Ask) -> (f64, usize) {
        self.check(rows, rows.len());
        self.kernel.pass(self.isa, rows, Which::From(0, rows.len()), ask)
    }

    /// The gradient on the rows of a batch, and their mean cross-entropy.
    ///
    /// # Panics
    /// As [`Fused::step`].
    pub fn gradient(&mut self, rows: &Rows, batch: &[usize]) -> Gradient {
        self.check(rows, batch.len());
        let n = batch.len() as f64;
        let columns = self.columns;
        let (loss, _) = self.kernel.pass(self.isa, rows, Which::Listed(batch), Ask::Gradient);
        let (sums, residuals) = self.kernel.take_gradient();
        let by = |(i, &sum): (usize, &f64)| (rows.scale * sum + rows.offset * residuals[i % columns]) / n;
        Gradient {
            loss: loss / n,
            weight: sums.iter().enumerate().map(by).collect(),
            bias: residuals.iter().map(|residual| residual / n).collect(),
        }
    }
}

/// Runs `f` where kernels find so many threads. Steps are short: called from outside a pool, each would put its caller to sleep, where the
/// threads of a pool look for more work for a while first.
///
/// # Errors
/// Where the system does not give so many threads; what it said.
pub fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> Result<R, String> {
    if threads == 1 {
        return Ok(f());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    Ok(pool.map_err(|error| error.to_string())?.install(f))
}

/// Rows that make a thread worth waking.
const ROWS_A_THREAD: usize = 32;

/// The parts of `n` rows that so many threads take.
fn parts(n: usize, threads: usize) -> impl IndexedParallelIterator<Item = std::ops::Range<usize>> {
    let threads = threads.min(n.div_ceil(ROWS_A_THREAD)).max(1);
    (0..threads).into_par_iter().map(move |i| n * i / threads..n * (i + 1) / threads)
}

impl<T: Real, const K: usize> Wide<T, K> {
    fn new(n_features: usize, n_classes: usize, threads: usize) -> Self {
        let blocks = n_classes.div_ceil(K);
        let parameters = wide::Parameters::zeros(n_features, blocks);
        Self {
            n_classes,
            base: wide::bases(&parameters, 0.0, n_classes),
            offset: 0.0,
            parameters,
            found: vec![wide::Found::new(n_features, blocks); threads],
            used: 1,
        }
    }
}

impl<T: Real, const K: usize> Kernel for Wide<T, K> {
    fn set(&mut self, weight: &[f64], bias: &[f64]) {
        let (k, d) = (self.n_classes, weight.len() / self.n_classes);
        // The lanes that fill up, too: a training that diverged may have left anything in them.
        self.parameters.weight.fill(Lanes::ZERO);
        self.parameters.bias.fill(Lanes::ZERO);
        for (i, &value) in weight.iter().enumerate() {
            let (feature, class) = (i / k, i % k);
            self.parameters.weight[class / K * d + feature].0[class % K] = T::from_f64(value);
        }
        for (class, &value) in bias.iter().enumerate() {
            self.parameters.bias[class / K].0[class % K] = T::from_f64(value);
        }
        self.base = wide::bases(&self.parameters, self.offset, k);
    }

    fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        flat(&self.parameters, self.n_classes)
    }

    fn pass(&mut self, isa: Isa, rows: &Rows, which: Which, ask: Ask) -> (f64, usize) {
        if self.offset != rows.offset {
            self.offset = rows.offset;
            self.base = wide::bases(&self.parameters, self.offset, self.n_classes);
        }
        let (parameters, base) = (&self.parameters, &self.base[..]);
        let work = |(part, found): (_, &mut wide::Found<T, K>)| {
            (found.loss, found.right) = (0.0, 0);
            let which = which.part(part);
            isa.run(wide::Pass { rows, which, parameters, base, ask, found });
            (found.loss + found.logarithms.take(), found.right)
        };
        let parts = parts(which.len(), self.found.len());
        self.used = parts.len();
        shared(parts, &mut self.found, work)
    }

    fn update(&mut self, isa: Isa, by: By) {
        let found = &mut self.found[..self.used];
        isa.run(wide::Update { parameters: &mut self.parameters, found, base: &mut self.base, by });
    }

    fn take_gradient(&mut self) -> (Vec<f64>, Vec<f64>) {
        let sums = wide::Found::gather(&mut self.found[..self.used]);
        let gradient = flat(sums, self.n_classes);
        sums.weight.fill(Lanes::ZERO);
        sums.bias.fill(Lanes::ZERO);
        gradient
    }
}

fn flat<T: Real, const K: usize>(parameters: &wide::Parameters<T, K>, k: usize) -> (Vec<f64>, Vec<f64>) {
    let d = parameters.weight.len() / parameters.bias.len();
    let at = |i: usize| parameters.weight[i % k / K * d + i / k].0[i % k % K].to_f64();
    let bias = |class: usize| parameters.bias[class / K].0[class % K].to_f64();
    ((0..d * k).map(at).collect(), (0..k).map(bias).collect())
}

impl<T: Real> Narrow<T> {
    fn new(n_features: usize, threads: usize) -> Self {
        Self {
            parameters: narrow::Parameters::zeros(n_features),
            base: T::ZERO,
            offset: 0.0,
            found: vec![narrow::Found::new(n_features); threads],
            used: 1,
        }
    }
}

impl<T: Real> Kernel for Narrow<T> {
    fn set(&mut self, weight: &[f64], bias: &[f64]) {
        self.parameters.weight = weight.iter().map(|&value| T::from_f64(value)).collect();
        self.parameters.bias = T::from_f64(bias[0]);
        self.base = narrow::base(&self.parameters, self.offset);
    }

    fn parameters(&self) -> (Vec<f64>, Vec<f64>) {
        (self.parameters.weight.iter().map(|weight| weight.to_f64()).collect(), vec![self.parameters.bias.to_f64()])
    }

    fn pass(&mut self, isa: Isa, rows: &Rows, which: Which, ask: Ask) -> (f64, usize) {
        if self.offset != rows.offset {
            self.offset = rows.offset;
            self.base = narrow::base(&self.parameters, self.offset);
        }
        let (parameters, base) = (&self.parameters, self.base);
        let work = |(part, found): (_, &mut narrow::Found<T>)| {
            (found.loss, found.right) = (0.0, 0);
            isa.run(narrow::Pass { rows, which: which.part(part), parameters, base, ask, found });
            (found.loss, found.right)
        };
        let parts = parts(which.len(), self.found.len());
        self.used = parts.len();
        shared(parts, &mut self.found, work)
    }

    fn update(&mut self, isa: Isa, by: By) {
        let found = &mut self.found[..self.used];
        isa.run(narrow::Update { parameters: &mut self.parameters, found, base: &mut self.base, by });
    }

    fn take_gradient(&mut self) -> (Vec<f64>, Vec<f64>) {
        let sums = narrow::Found::gather(&mut self.found[..self.used]);
        let bias = vec![std::mem::replace(&mut sums.bias, T::ZERO).to_f64()];
        (sums.weight.iter_mut().map(|sum| std::mem::replace(sum, T::ZERO).to_f64()).collect(), bias)
    }
}

/// Each part by a thread; the results are added in the parts' order, so that they are the same each time.
fn shared<F: Send>(
    parts: impl IndexedParallelIterator<Item = std::ops::Range<usize>>,
    found: &mut [F],
    work: impl Fn((std::ops::Range<usize>, &mut F)) -> (f64, usize) + Sync + Send,
) -> (f64, usize) {
    let done: Vec<(f64, usize)> = parts.zip(found.par_iter_mut()).map(work).collect();
    done.into_iter().fold((0.0, 0), |(loss, right), (l, r)| (loss + l, right + r))
}
