use std::fmt::Display;
use std::num::NonZero;

use burn::tensor::{Tensor, TensorData};
use chacha20::ChaCha8Rng;
use chainrule_engines::{Examples, float_type, with_parameters};
use chainrule_gradcheck::{Options, Report, Witness, compare, f64_works};
use chainrule_models::{
    Classifier, L2, LogisticRegressionConfig, SoftmaxRegressionConfig, Targets, closed_form, objective, to_precision,
};
use chainrule_records::{
    Class, DataKind, GradientSource, ModelKind, Optimizer, Parameters, Precision, Solver, TrainConfig, WeightNorms,
    count,
};
use chainrule_solve::{Chosen, Ending, Observer, Trained};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::backend::Backend;
use crate::library::Error;
use crate::library::fitted::{Fitted, Training};
use crate::library::samples::{Samples, listed};
use crate::machine::{Machine, all_threads};
use crate::norms::norms;
use crate::output::sentence;
use crate::rows::Rows;
use crate::run;

/// What to fit, and how: a model and the settings of its training, as a config file says them.
///
/// What is not set is as in a config file that does not say it: plain stochastic gradient descent on the closed forms, fused where the device has kernels
/// and the rows are bytes, at a learning rate of 0.01, for 50 epochs of batches of 128 rows, without a penalty. Weights start at zero, and the same settings
/// on the same samples give the same bits.
///
/// ```
/// # fn main() -> Result<(), chainrule::Error> {
/// use chainrule::{Estimator, Samples};
///
/// let [train, validation] = Samples::digits(2000, 7).split(0.2, 0)?;
/// let fitted = Estimator::softmax().l2(0.01).learning_rate(0.05).batch_size(20).epochs(10).fit(&train, &validation)?;
/// assert!(fitted.score(&validation)? > 0.7);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Estimator {
    kind: ModelKind,
    /// `key=value`, as `--set` takes them.
    settings: Vec<String>,
    backend: Option<Backend>,
    threads: NonZero<usize>,
}

/// Rows that a gradient is checked on, at most.
const CHECKED_ROWS: usize = 64;

impl Estimator {
    /// Binary logistic regression; of the samples' two classes the second is the positive one.
    pub fn logistic() -> Self {
        Self::new(ModelKind::Logistic)
    }

    /// Softmax regression, of any number of classes.
    pub fn softmax() -> Self {
        Self::new(ModelKind::Softmax)
    }

    fn new(kind: ModelKind) -> Self {
        Self { kind, settings: Vec::new(), backend: None, threads: all_threads() }
    }

    /// lambda of `J = C + lambda/2 sum w^2`; the bias is free of it. [default: 0]
    #[must_use]
    pub fn l2(self, lambda: f64) -> Self {
        self.set("objective.l2", toml::Value::from(lambda))
    }

    /// The step's length along the gradient, at the first step. [default: 0.01]
    #[must_use]
    pub fn learning_rate(self, rate: f64) -> Self {
        self.set("descent.learning_rate", toml::Value::from(rate))
    }

    /// Passes over the training rows. [default: 50]
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        self.set("descent.epochs", epochs)
    }

    /// Rows a step; the last step of an epoch takes those that are left, at a learning rate that is as
    /// much smaller. [default: 128]
    #[must_use]
    pub fn batch_size(self, rows: usize) -> Self {
        self.set("descent.batch_size", rows)
    }

    /// Leaves out of each epoch the rows that fill no whole batch, so that all steps are on as many. [default: all rows are trained on]
    #[must_use]
    pub fn drop_last(self) -> Self {
        self.set("descent.drop_last", true)
    }

    /// Of the order of the rows. [default: 0]
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.set("descent.shuffle.seed", seed)
    }

    /// Stop at so many evaluations in a row, one an epoch, without a strictly lower validation loss. [default: never]
    #[must_use]
    pub fn patience(self, evaluations: usize) -> Self {
        self.set("early_stopping.patience", evaluations)
    }

    /// Each feature less its mean over the training rows, divided by its standard deviation there; the fitted model keeps both. [default: numbers stay as
    /// they are, and pixels become -1 to 1]
    #[must_use]
    pub fn standardize(self) -> Self {
        self.set(STANDARDIZE, true)
    }

    /// Rows count by their class, so that all classes together count alike: `n / (k n_c)` for a class with `n_c` of the n rows. [default: each row counts 1]
    #[must_use]
    pub fn balanced(self) -> Self {
        self.set("objective.class_weights", "balanced")
    }

    /// Rows count by their class, the classes by their names; those that are not named count 1, as they do by default.
    #[must_use]
    pub fn class_weights<C: Display>(self, weights: impl IntoIterator<Item = (C, f64)>) -> Self {
        let weights = weights.into_iter().map(|(class, weight)| (class.to_string(), toml::Value::from(weight)));
        self.set("objective.class_weights", toml::Value::Table(weights.collect()))
    }

    /// The float type of weights and features. [default: f32]
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        self.set("descent.precision", name(precision))
    }

    /// Where the gradient of a step comes from: by hand or by Burn's autodiff. [default: by hand]
    #[must_use]
    pub fn gradient(self, source: GradientSource) -> Self {
        self.set("descent.gradient", name(source))
    }

    /// Burn's optimizer that makes an update of a gradient. [default: sgd]
    #[must_use]
    pub fn optimizer(self, optimizer: Optimizer) -> Self {
        self.set("descent.optimizer", name(optimizer))
    }

    /// Goes to the minimum of `J` by L-BFGS on all rows, and proves how near it came; wants a lambda above 0. [default: mini-batch descent]
    #[must_use]
    pub fn to_the_minimum(self) -> Self {
        self.set("descent.solver", name(Solver::Lbfgs))
    }

    /// Any key of a config file but those of the data and the model, as `--set` takes it: `set("descent.schedule", "cosine")`. What is wrong with it,
    /// [`fit`](Self::fit) tells.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.settings.push(format!("{key}={value}"));
        self
    }

    /// Where to compute. [default: the first backend of the build]
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Of the fused kernels. [default: as many as this machine runs at once]
    #[must_use]
    pub fn threads(mut self, threads: NonZero<usize>) -> Self {
        self.threads = threads;
        self
    }

    /// Trains on `train`, and is judged on `validation` on the way.
    ///
    /// # Errors
    /// Where a setting cannot be, the samples do not fit each other or the model, the backend is not there, or the training diverges.
    pub fn fit(&self, train: &Samples, validation: &Samples) -> Result<Fitted, Error> {
        self.fit_observed(train, validation, &mut ())
    }

    /// The same, told step by step to an observer, who may end it.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_observed(
        &self,
        train: &Samples,
        validation: &Samples,
        observer: &mut dyn Observer,
    ) -> Result<Fitted, Error> {
        let machine = self.machine()?;
        let config = self.settled(train, &machine)?;
        if validation.is_empty() {
            return Err(Error::Samples("there is no validation row".to_owned()));
        }
        let validation = validation.as_of(&train.schema)?;
        let splits = [train.rows.clone(), validation].map(Chosen::from);
        let rows = Rows::of_splits(&config, splits, train.schema.clone(), &train.source)?.load(&config, &machine);
        let [d, k] = [train.n_features(), train.classes().len()];
        let Parts { parameters, weight_norm, training } = match self.kind {
            ModelKind::Logistic => {
                let model = LogisticRegressionConfig::new(d).init(&machine.device);
                Parts::new(rows.train(model, &config, &machine, observer)?, &config, &machine)?
            }
            ModelKind::Softmax => {
                let model = SoftmaxRegressionConfig::new(d, k).init(&machine.device);
                Parts::new(rows.train(model, &config, &machine, observer)?, &config, &machine)?
            }
        };
        Fitted::new(
            self.kind.into(),
            config.descent().precision,
            train.schema.clone(),
            parameters,
            rows.preprocessing().clone(),
            weight_norm,
        )
        .map(|fitted| fitted.with_training(training, train.source.clone()))
    }

    /// Holds the gradient of `J` on these samples, 64 of them at most, of all classes, by hand, by Burn's autodiff and by differences against each other, at weights drawn
    /// by the seed, with bounds on the error instead of guessed tolerances.
    ///
    /// ```
    /// # fn main() -> Result<(), chainrule::Error> {
    /// # use chainrule::{Estimator, Samples};
    /// let report = Estimator::logistic().l2(0.1).check_gradient(&Samples::digits(40, 0).with_classes(&[3, 2])?)?;
    /// assert!(report.passed(), "{report}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`fit`](Self::fit); what the check finds is in the report.
    pub fn check_gradient(&self, samples: &Samples) -> Result<Report, Error> {
        let machine = self.machine()?;
        let config = self.settled(samples, &machine)?;
        let [d, k] = [samples.n_features(), samples.classes().len()];
        match self.kind {
            ModelKind::Logistic => {
                check_gradient(LogisticRegressionConfig::new(d).init(&machine.device), samples, config, &machine)
            }
            ModelKind::Softmax => {
                check_gradient(SoftmaxRegressionConfig::new(d, k).init(&machine.device), samples, config, &machine)
            }
        }
    }

    /// The settings with all that they leave to the defaults, as they are trained by.
    ///
    /// # Errors
    /// Where one cannot be, by its key, and where the samples are not the model's: of other than two classes for the logistic one, or of less than two.
    pub fn config(&self, train: &Samples) -> Result<TrainConfig, Error> {
        let key = |setting: &str| setting.split('=').next().unwrap_or_default().trim().to_owned();
        for key in self.settings.iter().map(|setting| key(setting)).filter(|key| key != STANDARDIZE) {
            let problem = match key.split('.').next() {
                Some("data") => "what is trained on are the samples; choose them before",
                Some("model") => "the estimator is of one model; take Estimator::softmax or Estimator::logistic",
                _ => continue,
            };
            return Err(Error::Samples(format!("{key}: {problem}")));
        }
        let k = train.classes().len();
        if train.is_empty() {
            return Err(Error::Samples("there is no row to learn from".to_owned()));
        }
        if k < 2 || (self.kind == ModelKind::Logistic && k != 2) {
            return Err(Error::Samples(format!(
                "the samples have {} ({}), and {} regression tells {} apart; Samples::with_classes chooses",
                count(k, "class"),
                listed(train.classes()),
                name(self.kind),
                if self.kind == ModelKind::Logistic { "two" } else { "two or more" }
            )));
        }
        let mut settings = self.settings.clone();
        if self.kind == ModelKind::Logistic {
            // A config names the positive class first.
            let classes = train.classes().iter().rev().cloned().map(|class| match class {
                Class::Number(number) => toml::Value::from(i64::from(number)),
                Class::Name(name) => toml::Value::from(name),
            });
            settings.push(format!("data.classes={}", toml::Value::Array(classes.collect())));
        }
        let text = format!("[model]\nkind = \"{}\"", name(self.kind));
        Ok(TrainConfig::parse("estimator", &text, &settings)?)
    }

    /// The same with what they leave to the machine.
    fn settled(&self, train: &Samples, machine: &Machine) -> Result<TrainConfig, Error> {
        let are_bytes = train.schema.kind != DataKind::Table;
        machine.settle_for(self.config(train)?, are_bytes).map_err(|error| Error::Backend(sentence(&error)))
    }

    fn machine(&self) -> Result<Machine, Error> {
        Machine::new(self.backend.as_ref(), self.threads).map_err(|error| Error::Backend(sentence(&error)))
    }
}

const STANDARDIZE: &str = "data.standardize";

/// As a config file names it.
fn name(value: impl serde::Serialize) -> String {
    match toml::Value::try_from(value) {
        Ok(toml::Value::String(name)) => name,
        other => unreachable!("settings are named by words: {other:?}"),
    }
}

/// What is left of a training when its model's type is forgotten.
struct Parts {
    parameters: Parameters,
    weight_norm: WeightNorms,
    training: Training,
}

impl Parts {
    fn new(trained: Trained, config: &TrainConfig, machine: &Machine) -> Result<Self, Error> {
        let diverged = |problem| Error::Diverged { problem, remedy: run::remedy(config) };
        if let Ending::Diverged { step } = trained.ending {
            return Err(diverged(format!("the loss of step {step} is not finite")));
        }
        let norm = norms(&trained.parameters, &machine.device)
            .ok_or_else(|| diverged("the sum of the squares of the weights is not finite".to_owned()))?;
        let Trained { parameters, history, ending, steps, best, final_metrics, certificate, .. } = trained;
        let training = Training { config: config.clone(), history, ending, steps, best, final_metrics, certificate };
        Ok(Self { parameters, weight_norm: norm, training })
    }
}

fn check_gradient<M: Classifier>(
    model: M,
    samples: &Samples,
    config: TrainConfig,
    machine: &Machine,
) -> Result<Report, Error> {
    let (witness, precision) = match config.descent().precision {
        Precision::F64 => (Witness::Own, Precision::F64),
        Precision::F32 if f64_works(&machine.device) => (Witness::F64, Precision::F32),
        Precision::F32 => (Witness::Own, Precision::F32),
    };
    let [d, k] = model.linear().weight.dims();
    let mut rng = ChaCha8Rng::seed_from_u64(config.descent().shuffle.seed);
    // Logits of about 1 whatever d is: farther out, slopes sink below the noise of the loss.
    let mut drawn = |n: usize, scale: f64| (0..n).map(|_| scale * rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
    let (weight, bias) = (drawn(d * k, (d as f64).sqrt().recip()), drawn(k, 1.0));
    let parameters = Parameters { n_features: d, n_classes: k, weight, bias };
    let model = with_parameters(to_precision(model, float_type(precision)), &parameters).train();

    // Weights of classes and statistics are those that a fit would have: of all rows.
    let config = config.with_gradient(GradientSource::ClosedForm);
    let splits = [(); 2].map(|()| samples.rows.clone().into());
    let rows = Rows::of_splits(&config, splits, samples.schema.clone(), &samples.source)?;
    let class_weights = rows.class_weights().map(<[f64]>::to_vec);
    let splits =
        [(); 2].map(|()| samples.rows.some(&some_of_each_class(samples, config.descent().shuffle.seed)).into());
    let rows = rows.with_splits(splits).load(&config, machine);
    let Some([Examples { features, labels }, _]) = rows.into_tensors() else {
        return Err(Error::Backend("the rows are not tensors".to_owned()));
    };
    let targets = match class_weights {
        Some(weights) => {
            let to = (&features.device(), features.dtype());
            Targets::of_classes(labels, Tensor::from_data(TensorData::new(weights, [samples.classes().len()]), to))
        }
        None => labels.into(),
    };
    let l2 = L2 { strength: config.objective().l2, penalize_bias: config.objective().penalize_bias };
    let by_hand = closed_form(&model, features.clone(), targets.clone(), l2).gradient.into_params(model.linear());
    let loss = |model: &M| objective(model, features.clone(), targets.clone(), l2);
    let options = Options { witness, seed: config.descent().shuffle.seed, ..Options::default() };
    Ok(compare(&model, loss, &[("closed form", by_hand)], &options))
}

/// [`CHECKED_ROWS`] of the rows at most, drawn by the seed, the classes taking turns: files are often sorted by class.
fn some_of_each_class(samples: &Samples, seed: u64) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..samples.len()).collect();
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut seen = vec![0; samples.classes().len()];
    let turns: Vec<usize> = rows
        .iter()
        .map(|&row| {
            let turn = &mut seen[usize::from(samples.labels()[row])];
            *turn += 1;
            *turn
        })
        .collect();
    let mut drawn: Vec<usize> = (0..rows.len()).collect();
    drawn.sort_by_key(|&i| turns[i]);
    drawn.truncate(CHECKED_ROWS);
    drawn.into_iter().map(|i| rows[i]).collect()
}
