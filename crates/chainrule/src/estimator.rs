use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZero;

use chainrule_core::{
    Class, ClassWeights, DataConfig, DataKind, GradientSource, ModelKind, Optimizer, Precision, Settings, Solver,
    TrainConfig, count,
};
use chainrule_solve::{Chosen, Ending, Learnt, Observer, Trained};

use crate::Error;
use crate::backend::Backend;
use crate::fitted::{Fitted, Training};
use crate::machine::{Machine, all_threads};
use crate::samples::{Samples, listed};

/// What to fit, and how: a model and the settings of its training, as a config file says them.
///
/// What is not set is as in a config file that does not say it: plain stochastic gradient descent
/// on the closed forms, fused where the device has kernels
/// and the rows are bytes, at a learning rate of 0.01, for 50 epochs of batches of 128 rows,
/// without a penalty. Weights start at zero, and the same settings
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
    settings: Settings,
    backend: Option<Backend>,
    threads: NonZero<usize>,
}

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
        Self { settings: Settings::of(kind).named("estimator"), backend: None, threads: all_threads() }
    }

    /// lambda of `J = C + lambda/2 sum w^2`; the bias is free of it. [default: 0]
    #[must_use]
    pub fn l2(self, lambda: f64) -> Self {
        self.with(|settings| settings.objective.l2 = lambda)
    }

    /// The step's length along the gradient, at the first step. [default: 0.01]
    #[must_use]
    pub fn learning_rate(self, rate: f64) -> Self {
        self.with(|settings| settings.descent.learning_rate = rate)
    }

    /// Passes over the training rows. [default: 50]
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        self.with(|settings| settings.descent.epochs = epochs)
    }

    /// Rows a step; the last step of an epoch takes those that are left, at a learning rate that is
    /// as
    /// much smaller. [default: 128]
    #[must_use]
    pub fn batch_size(self, rows: usize) -> Self {
        self.with(|settings| settings.descent.batch_size = rows)
    }

    /// Leaves out of each epoch the rows that fill no whole batch, so that all steps are on as
    /// many. [default: all rows are trained on]
    #[must_use]
    pub fn drop_last(self) -> Self {
        self.with(|settings| settings.descent.drop_last = true)
    }

    /// Of the order of the rows. [default: 0]
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.with(|settings| settings.descent.shuffle.seed = seed)
    }

    /// Stop at so many evaluations in a row, one an epoch, without a strictly lower validation
    /// loss. [default: never]
    #[must_use]
    pub fn patience(self, evaluations: usize) -> Self {
        self.with(|settings| settings.early_stopping.patience = Some(evaluations))
    }

    /// Each feature less its mean over the training rows, divided by its standard deviation there;
    /// the fitted model keeps both. [default: numbers stay as
    /// they are, and pixels become -1 to 1]
    #[must_use]
    pub fn standardize(self) -> Self {
        self.with(|settings| settings.data.standardize = true)
    }

    /// Rows count by their class, so that all classes together count alike: `n / (k n_c)` for a
    /// class with `n_c` of the n rows. [default: each row counts 1]
    #[must_use]
    pub fn balanced(self) -> Self {
        self.with(|settings| settings.objective.class_weights = Some(ClassWeights::Balanced))
    }

    /// Rows count by their class, the classes by their names; those that are not named count 1, as
    /// they do by default.
    #[must_use]
    pub fn class_weights<C: Display>(self, weights: impl IntoIterator<Item = (C, f64)>) -> Self {
        let weights: BTreeMap<String, f64> =
            weights.into_iter().map(|(class, weight)| (class.to_string(), weight)).collect();
        self.with(|settings| settings.objective.class_weights = Some(ClassWeights::Named(weights)))
    }

    /// The float type of weights and features. [default: f32]
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        self.with(|settings| settings.descent.precision = precision)
    }

    /// Where the gradient of a step comes from: by hand or by Burn's autodiff. [default: by hand]
    #[must_use]
    pub fn gradient(self, source: GradientSource) -> Self {
        self.with(|settings| settings.descent.gradient = source)
    }

    /// What makes an update of a gradient; all but plain sgd are Burn's, and need a backend of
    /// Burn's. [default: sgd]
    #[must_use]
    pub fn optimizer(self, optimizer: Optimizer) -> Self {
        self.with(|settings| settings.descent.optimizer = optimizer)
    }

    /// Goes to the minimum of `J` by L-BFGS on all rows, and proves how near it came; wants a
    /// lambda above 0. [default: mini-batch descent]
    #[must_use]
    pub fn to_the_minimum(self) -> Self {
        self.with(|settings| settings.descent.solver = Solver::Lbfgs)
    }

    /// Any setting that a config file has, but those of the data and the model: what is wrong with
    /// one, [`fit`](Self::fit) tells.
    ///
    /// ```
    /// use chainrule::Estimator;
    /// use chainrule::core::Schedule;
    ///
    /// let estimator = Estimator::softmax().with(|settings| settings.descent.schedule = Schedule::Cosine);
    /// ```
    #[must_use]
    pub fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(&mut self.settings);
        self
    }

    /// Where to compute. [default: the first of Burn's backends in this build; without Burn, this
    /// processor]
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
    /// Where a setting cannot be, the samples do not fit each other or the model, the backend is
    /// not there, or the training diverges.
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
        let learnt = Learnt::of(&config, &splits[0], &train.schema)?;
        let rows = machine.prepare(splits, &learnt.preprocessing, &config);
        let settled = learnt.settle(&config);
        let trained = rows.train(train.classes().len(), &settled, machine.threads(), observer)?;
        let remedy = || config.remedy();
        if let Ending::Diverged { step } = trained.ending {
            return Err(Error::Diverged {
                problem: format!("the loss of step {step} is not finite"),
                remedy: remedy(),
            });
        }
        let norm = machine.norms(&trained.parameters).ok_or_else(|| Error::Diverged {
            problem: "the sum of the squares of the weights is not finite".to_owned(),
            remedy: remedy(),
        })?;
        let Trained { parameters, history, ending, steps, best, final_metrics, certificate, .. } = trained;
        let precision = config.descent().precision;
        let link = config.model().kind.into();
        let training = Training { config, history, ending, steps, best, final_metrics, certificate };
        Fitted::new(link, precision, train.schema.clone(), parameters, learnt.preprocessing, norm)
            .map(|fitted| fitted.with_training(training, train.source.clone()))
    }

    /// Holds the gradient of `J` on these samples, 64 of them at most, of all classes, by hand, by
    /// Burn's autodiff and by differences against each other, at weights drawn
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
    #[cfg(feature = "burn")]
    pub fn check_gradient(&self, samples: &Samples) -> Result<chainrule_gradcheck::Report, Error> {
        let machine = self.machine()?;
        let config = self.settled(samples, &machine)?;
        crate::on_burn::check_gradient(samples, config, &machine)
    }

    /// The settings with all that they leave to the defaults, as they are trained by.
    ///
    /// # Errors
    /// Where one cannot be, by its key, and where the samples are not the model's: of other than
    /// two classes for the logistic one, or of less than two.
    pub fn config(&self, train: &Samples) -> Result<TrainConfig, Error> {
        let mut settings = self.settings.clone();
        let own = DataConfig { standardize: settings.data.standardize, ..DataConfig::default() };
        if settings.data != own {
            let problem =
                "data: what is trained on are the samples; choose them before, and of data set standardize alone";
            return Err(Error::Samples(problem.to_owned()));
        }
        let kind = settings.model.kind;
        let k = train.classes().len();
        if train.is_empty() {
            return Err(Error::Samples("there is no row to learn from".to_owned()));
        }
        if k < 2 || (kind == ModelKind::Logistic && k != 2) {
            let (name, number) = match kind {
                ModelKind::Logistic => ("logistic", "two"),
                ModelKind::Softmax => ("softmax", "two or more"),
            };
            return Err(Error::Samples(format!(
                "the samples have {} ({}), and {name} regression tells {number} apart; Samples::with_classes chooses",
                count(k, "class"),
                listed(train.classes()),
            )));
        }
        if kind == ModelKind::Logistic {
            // A config names the positive class first.
            settings.data.classes = Some(train.classes().iter().rev().cloned().collect::<Vec<Class>>());
        }
        TrainConfig::try_from(settings.clone()).map_err(|error| Error::setting(&settings, error))
    }

    /// The same with what they leave to the machine.
    fn settled(&self, train: &Samples, machine: &Machine) -> Result<TrainConfig, Error> {
        let are_bytes = train.schema.kind != DataKind::Table;
        machine.settle_for(self.config(train)?, are_bytes)
    }

    fn machine(&self) -> Result<Machine, Error> {
        Machine::new(self.backend.as_ref(), self.threads)
    }
}
