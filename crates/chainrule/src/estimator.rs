use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::panic::Location;

use chainrule_core::{
    ClassWeights, DataConfig, Evaluation, FeatureKind, GradientSource, ModelKind, Optimizer, Precision, Preprocessing,
    SettingError, Settings, Solver, TrainConfig,
};
use chainrule_data::Rows;
use chainrule_solve::{
    Checkpoint, Ending, Metrics, Observer, Trained, TrainingStatistics, check_weights, class_weights,
};
use serde_json::Value;

use crate::backend::Backend;
use crate::fitted::{Fitted, Training};
use crate::machine::{Machine, all_threads};
use crate::samples::{Label, Samples, class_list};
use crate::{Error, SamplesError};

/// A model kind with its training settings. The settings have the same names as in a config file.
///
/// Defaults are those of a config file: plain stochastic gradient descent with closed-form
/// gradients, a learning rate of 0.01, 50 epochs, batches of 128 rows and no penalty. If the device
/// has fused kernels for these rows, they compute the gradients. Weights start at zero. The same
/// settings on the same samples give the same bits.
///
/// ```
/// # fn main() -> Result<(), chainrule::Error> {
/// use chainrule::{Estimator, Samples};
///
/// let [train, validation] = Samples::digits(2000, 7).split(0.2, 0)?;
/// let estimator = Estimator::softmax().l2(0.01).learning_rate(0.05).batch_size(20).epochs(10);
/// let fitted = estimator.fit(&train)?;
/// assert!(fitted.score(&validation)? > 0.7);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Estimator {
    settings: Settings,
    /// For each changed setting, by key: the line of code that set it.
    locations: BTreeMap<String, &'static Location<'static>>,
    /// Whether [`to_the_minimum`](Self::to_the_minimum) chooses the solver.
    is_to_the_minimum: bool,
    backend: Option<Backend>,
    threads: NonZero<usize>,
}

impl Estimator {
    /// Creates binary logistic regression. The second of the two classes is the positive class.
    pub fn logistic() -> Self {
        Self::new(ModelKind::Logistic)
    }

    /// Creates softmax regression for two or more classes.
    pub fn softmax() -> Self {
        Self::new(ModelKind::Softmax)
    }

    /// Creates the estimator that `train --data FILE --label COLUMN` uses for a table: logistic
    /// regression for two classes and softmax for more, standardised features, a penalty of 1/n for
    /// these n rows (scikit-learn's `C = 1`), f64, and a search [to the
    /// minimum](Self::to_the_minimum). All of them can be changed.
    ///
    /// With the program's order of classes and its rows for validation, the weights are the
    /// program's, bit for bit:
    ///
    /// ```
    /// # fn main() -> Result<(), chainrule::Error> {
    /// # use chainrule::{Estimator, Samples};
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/penguins.csv");
    /// let samples = Samples::csv(file, "species")?.with_positive_last()?;
    /// let [train, validation] = samples.split(0.2, 0)?;
    /// let fitted = Estimator::for_table(&train).fit_validated(&train, &validation)?;
    /// assert!(fitted.score(&validation)? > 0.9);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn for_table<L: Label>(train: &Samples<L>) -> Self {
        let kind = if train.classes().len() == 2 { ModelKind::Logistic } else { ModelKind::Softmax };
        // Without a row there is no penalty to set, and the fit is refused.
        let l2 = 1.0 / train.len().max(1) as f64;
        Self::new(kind).standardize().l2(l2).precision(Precision::F64).to_the_minimum()
    }

    /// Creates an estimator with the settings of a config, without those of the data, but for
    /// `data.standardize`: samples are chosen before.
    pub fn of_config(config: &TrainConfig) -> Self {
        let mut estimator = Self::new(config.model().kind);
        estimator.settings = Settings {
            experiment: Some(config.experiment().to_owned()),
            data: DataConfig { standardize: config.data().standardize, ..DataConfig::default() },
            model: config.model().clone(),
            objective: config.objective().clone(),
            descent: config.descent().clone(),
            optimum: config.optimum().clone(),
            early_stopping: config.early_stopping().clone(),
        };
        estimator
    }

    fn new(kind: ModelKind) -> Self {
        Self {
            settings: Settings::of(kind).with_default_name("estimator"),
            locations: BTreeMap::new(),
            is_to_the_minimum: false,
            backend: None,
            threads: all_threads(),
        }
    }

    /// Sets lambda of the penalty in `J = C + lambda/2 sum w^2`. The bias is penalised only if
    /// `objective.penalize_bias` is set. [default: 0]
    #[must_use]
    #[track_caller]
    pub fn l2(self, lambda: f64) -> Self {
        self.with(|settings| settings.objective.l2 = lambda)
    }

    /// Sets the learning rate of the first step. [default: 0.01]
    #[must_use]
    #[track_caller]
    pub fn learning_rate(self, rate: f64) -> Self {
        self.with(|settings| settings.descent.learning_rate = rate)
    }

    /// Sets the number of passes over the training rows. [default: 50]
    #[must_use]
    #[track_caller]
    pub fn epochs(self, epochs: usize) -> Self {
        self.with(|settings| settings.descent.epochs = epochs)
    }

    /// Sets the number of rows per step. The last batch of an epoch may be smaller; its learning
    /// rate is reduced in proportion. [default: 128]
    #[must_use]
    #[track_caller]
    pub fn batch_size(self, rows: usize) -> Self {
        self.with(|settings| settings.descent.batch_size = rows)
    }

    /// Drops the last incomplete batch of each epoch, so that all batches have the same size.
    /// [default: all rows are used]
    #[must_use]
    #[track_caller]
    pub fn drop_last(self) -> Self {
        self.with(|settings| settings.descent.drop_last = true)
    }

    /// Sets the seed that shuffles the rows. [default: 0]
    #[must_use]
    #[track_caller]
    pub fn seed(self, seed: u64) -> Self {
        self.with(|settings| settings.descent.shuffle.seed = seed)
    }

    /// Sets early stopping: training stops after this many consecutive evaluations, one per epoch,
    /// without a strictly lower validation loss. [default: never]
    #[must_use]
    #[track_caller]
    pub fn patience(self, evaluations: usize) -> Self {
        self.with(|settings| settings.early_stopping.patience = Some(evaluations))
    }

    /// Standardises each feature: subtracts its mean over the training rows and divides by its
    /// standard deviation there. The fitted model stores both. [default: numbers are unchanged, and
    /// pixels are scaled to -1 to 1]
    #[must_use]
    #[track_caller]
    pub fn standardize(self) -> Self {
        self.with(|settings| settings.data.standardize = true)
    }

    /// Weights the classes so that all have the same total weight: `n / (k n_c)` for a class with
    /// `n_c` of the n rows. Rows with [weights](Samples::with_weights) are counted by their
    /// weights. [default: each row has weight 1]
    #[must_use]
    #[track_caller]
    pub fn balanced(self) -> Self {
        self.with(|settings| settings.objective.class_weights = Some(ClassWeights::Balanced))
    }

    /// Sets class weights by class name. Classes without an entry have weight 1. [default: each row
    /// has weight 1]
    #[must_use]
    #[track_caller]
    pub fn class_weights<C: Display>(self, weights: impl IntoIterator<Item = (C, f64)>) -> Self {
        let weights: BTreeMap<String, f64> =
            weights.into_iter().map(|(class, weight)| (class.to_string(), weight)).collect();
        self.with(|settings| settings.objective.class_weights = Some(ClassWeights::Named(weights)))
    }

    /// Sets the float type of weights and features. [default: f32]
    #[must_use]
    #[track_caller]
    pub fn precision(self, precision: Precision) -> Self {
        self.with(|settings| settings.descent.precision = precision)
    }

    /// Sets how the gradient of a step is computed. [default: by fused kernels where they support
    /// the training, otherwise by the closed form]
    #[must_use]
    #[track_caller]
    pub fn gradient(self, source: GradientSource) -> Self {
        self.with(|settings| settings.descent.gradient = source)
    }

    /// Sets the optimizer. All except plain SGD are Burn's and need a Burn backend. [default: SGD]
    #[must_use]
    #[track_caller]
    pub fn optimizer(self, optimizer: Optimizer) -> Self {
        self.with(|settings| settings.descent.optimizer = optimizer)
    }

    /// Minimises `J` on all rows and returns a certificate: a proven bound on the distance to the
    /// minimum. With a lambda above 0 the solver is L-BFGS. Without a penalty it is Newton's
    /// method, for rows of numbers: see
    /// [`Training::identification`](crate::Training::identification). [default: mini-batch gradient
    /// descent]
    #[must_use]
    #[track_caller]
    pub fn to_the_minimum(self) -> Self {
        Self { is_to_the_minimum: true, ..self.with(|settings| settings.descent.solver = Solver::Lbfgs) }
    }

    /// Changes any setting of a config file, except those of the data and the model kind.
    /// [`fit`](Self::fit) reports an invalid setting together with the line of code that set it.
    ///
    /// ```
    /// use chainrule::Estimator;
    /// use chainrule::core::Schedule;
    ///
    /// let estimator = Estimator::softmax().with(|settings| settings.descent.schedule = Schedule::Cosine);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        let before = values(&self.settings);
        set(&mut self.settings);
        // A solver that is named later counts.
        self.is_to_the_minimum &= self.settings.descent.solver == Solver::Lbfgs;
        let location = Location::caller();
        for (key, value) in values(&self.settings) {
            if before.get(&key) != Some(&value) {
                self.locations.insert(key, location);
            }
        }
        self
    }

    /// Sets the backend. [default: the first Burn backend of this build; without Burn, this
    /// processor]
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Sets the number of threads of the fused kernels. [default: the available parallelism]
    #[must_use]
    pub fn threads(mut self, threads: NonZero<usize>) -> Self {
        self.threads = threads;
        self
    }

    /// Trains a model on these samples, without a validation set. The training accuracy is
    /// evaluated on all of them once per epoch, unless `early_stopping.evaluations_per_epoch` says
    /// otherwise.
    /// [`fit_validated`](Self::fit_validated) evaluates on a validation set.
    ///
    /// # Errors
    /// Returns an error if a setting is invalid or needs a validation set, if the samples do not
    /// fit the model, if the backend is not available, or if the training diverges.
    pub fn fit<L: Label>(&self, train: &Samples<L>) -> Result<Fitted<L>, Error> {
        self.without_validation(train, None)
    }

    /// Trains on `train` and evaluates on `validation` during training.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_validated<L: Label, M: Label>(
        &self,
        train: &Samples<L>,
        validation: &Samples<M>,
    ) -> Result<Fitted<L>, Error> {
        self.fit_observed(train, validation, &mut ())
    }

    /// Like [`fit_validated`](Self::fit_validated), with an observer that is called at every step
    /// and evaluation and can stop the training. A closure that takes a
    /// [`Progress`](chainrule_solve::Progress) is an observer.
    ///
    /// ```
    /// # fn main() -> Result<(), chainrule::Error> {
    /// use std::ops::ControlFlow;
    ///
    /// use chainrule::solve::Progress;
    /// use chainrule::{Estimator, Samples};
    ///
    /// let [train, validation] = Samples::digits(400, 7).split(0.2, 0)?;
    /// let mut losses = Vec::new();
    /// let mut observer = |progress: Progress| {
    ///     if let Progress::Evaluation(evaluation) = progress {
    ///         losses.push(evaluation.validation_loss);
    ///     }
    ///     ControlFlow::Continue(())
    /// };
    /// Estimator::softmax().epochs(3).fit_observed(&train, &validation, &mut observer)?;
    /// assert_eq!(losses.len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_observed<L: Label, M: Label>(
        &self,
        train: &Samples<L>,
        validation: &Samples<M>,
        observer: &mut dyn Observer,
    ) -> Result<Fitted<L>, Error> {
        if train.is_empty() {
            return Err(SamplesError::NoTrainingRow.into());
        }
        if validation.is_empty() {
            return Err(SamplesError::NoValidationRow.into());
        }
        let train = &train.with_learnt_recipe()?;
        let machine = self.machine()?;
        let config = self.resolved(train, &machine)?;
        let validation = validation.aligned_to(&train.schema)?;
        let rows = [train.rows.clone(), validation];
        self.train(train, rows, config, &machine, None, observer)
    }

    /// Fits a model [to the minimum](Self::to_the_minimum) for each lambda, in the order of
    /// `lambdas`. The fused kernels of a processor start each search near the minimum before it, so
    /// it takes a fraction of the passes over the rows. Any other backend fits one after the other.
    ///
    /// The models have no [history](Training::history), because nothing is evaluated on the way.
    ///
    /// ```
    /// # fn main() -> Result<(), chainrule::Error> {
    /// use chainrule::{Estimator, Samples};
    ///
    /// let [train, validation] = Samples::digits(600, 7).split(0.2, 0)?;
    /// let lambdas = [1.0, 0.1, 0.01];
    /// let path = Estimator::softmax().fit_path(&train, &lambdas)?;
    /// for (lambda, fitted) in lambdas.iter().zip(&path) {
    ///     println!("{lambda}: {:.3}", fitted.score(&validation)?);
    /// }
    /// # let certificates = path.iter().filter_map(|fitted| fitted.training()?.certificate);
    /// # assert_eq!(certificates.filter(|certificate| certificate.holds()).count(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    #[track_caller]
    pub fn fit_path<L: Label>(&self, train: &Samples<L>, lambdas: &[f64]) -> Result<Vec<Fitted<L>>, Error> {
        let mut estimators = Vec::with_capacity(lambdas.len());
        // A closure would not pass on the caller's line.
        for &lambda in lambdas {
            estimators.push(self.clone().l2(lambda).to_the_minimum());
        }
        if estimators.is_empty() {
            return Ok(Vec::new());
        }
        if train.is_empty() {
            return Err(SamplesError::NoTrainingRow.into());
        }
        let train = &train.with_learnt_recipe()?;
        let machine = self.machine()?;
        let resolved = |estimator: &Self| {
            estimator.check_needs_no_validation()?;
            estimator.resolved(train, &machine)
        };
        let configs = estimators.iter().map(resolved).collect::<Result<Vec<_>, _>>()?;
        let statistics = TrainingStatistics::of(&configs[0], &train.rows, &train.schema)?;
        for config in &configs {
            check_weights(config, &train.rows, train.classes().len())?;
        }
        let rows = [train.rows.clone(), train.rows.select(&[0]).without_weights()];
        let rows = machine.prepare(rows, &statistics.preprocessing, &configs[0])?;
        let with_weights: Vec<TrainConfig> = configs.iter().map(|config| statistics.apply_to(config)).collect();
        let path = rows.train_path(train.classes().len(), &with_weights, machine.threads())?;
        let models = configs.into_iter().zip(path).map(|(config, trained)| {
            fitted(train, config, &machine, statistics.preprocessing.clone(), trained).map(Fitted::without_validation)
        });
        models.collect()
    }

    /// Continues training a model with one pass over new samples, for rows that arrive in batches.
    /// Returns the updated model.
    ///
    /// The model can come from a fit or [from weights](Fitted::of_weights). Its preprocessing and
    /// its classes stay the same; a batch may lack some classes. The setting
    /// [`epochs`](Self::epochs) is ignored. Each call resets the optimizer's
    /// state, such as momentum.
    ///
    /// ```
    /// # fn main() -> Result<(), chainrule::Error> {
    /// use chainrule::{Estimator, Samples};
    ///
    /// let [first, second] = Samples::digits(600, 7).split(0.5, 0)?;
    /// let estimator = Estimator::softmax().learning_rate(0.05).batch_size(20).epochs(1);
    /// let fitted = estimator.fit(&first)?;
    /// let more = estimator.partial_fit(&fitted, &second)?;
    /// assert!(more.evaluate(&second)?.loss < fitted.evaluate(&second)?.loss);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`fit`](Self::fit). Also returns an error if the model's kind differs from the
    /// estimator's, or if the solver is [L-BFGS](Self::to_the_minimum), which needs all rows.
    pub fn partial_fit<L: Label, M: Label>(
        &self,
        fitted: &Fitted<L>,
        samples: &Samples<M>,
    ) -> Result<Fitted<L>, Error> {
        let samples_of_model = Samples {
            rows: samples.aligned_to(fitted.schema())?,
            schema: fitted.schema().clone(),
            labels: fitted.classes().to_vec(),
            // The recipe is the model's.
            recipe_options: None,
            notes: Vec::new(),
            source: samples.source.clone(),
        };
        let mut one_pass = self.clone();
        one_pass.settings.descent.epochs = 1;
        // The preprocessing is the model's, not this estimator's.
        let preprocessing = fitted.predictor().preprocessing();
        one_pass.settings.data.standardize = preprocessing.standardization().is_some();
        one_pass.without_validation(&samples_of_model, Some(fitted))
    }

    fn without_validation<L: Label>(&self, train: &Samples<L>, from: Option<&Fitted<L>>) -> Result<Fitted<L>, Error> {
        if train.is_empty() {
            return Err(SamplesError::NoTrainingRow.into());
        }
        let train = &train.with_learnt_recipe()?;
        let machine = self.machine()?;
        let config = self.resolved(train, &machine)?;
        self.check_needs_no_validation()?;
        if let Some(from) = from {
            if from.kind().model_kind() != Some(config.model().kind) {
                return Err(self.setting_error_for("model.kind", "the fitted model is another"));
            }
            if config.descent().solver.is_search() {
                return Err(self.setting_error_for("descent.solver", "the minimum is that of all rows; fit goes to it"));
            }
        }
        // An engine needs a validation set: pass one row and discard the result.
        let rows = [train.rows.clone(), train.rows.select(&[0]).without_weights()];
        self.train(train, rows, config, &machine, from, &mut ()).map(Fitted::without_validation)
    }

    fn train<L: Label>(
        &self,
        train: &Samples<L>,
        rows: [Rows; 2],
        config: TrainConfig,
        machine: &Machine,
        from: Option<&Fitted<L>>,
        observer: &mut dyn Observer,
    ) -> Result<Fitted<L>, Error> {
        let statistics = match from {
            None => TrainingStatistics::of(&config, &rows[0], &train.schema)?,
            Some(from) => TrainingStatistics {
                preprocessing: from.predictor().preprocessing().clone(),
                class_weights: class_weights(&config, &train.schema.classes, rows[0].weighted_labels()?)?,
            },
        };
        check_weights(&config, &rows[0], train.classes().len())?;
        let rows = machine.prepare(rows, &statistics.preprocessing, &config)?;
        let start = from.map(|from| Checkpoint::start(from.parameters().clone()));
        let resolved = statistics.apply_to(&config);
        let trained =
            rows.train(train.classes().len(), &resolved, machine.threads(), &mut ResumeFrom { start, observer })?;
        fitted(train, config, machine, statistics.preprocessing, trained)
    }

    /// Checks that no setting asks for a validation set.
    fn check_needs_no_validation(&self) -> Result<(), Error> {
        let stopping = &self.settings.early_stopping;
        let validation_settings = [
            ("early_stopping.patience", stopping.patience.is_some()),
            ("early_stopping.restore_best", stopping.restore_best),
        ];
        match validation_settings.into_iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => {
                Err(self.setting_error_for(key, "it asks for samples to validate on; fit_validated takes them"))
            }
            None => Ok(()),
        }
    }

    /// Returns the error of a setting, with the line of code that set it.
    fn setting_error_for(&self, key: &'static str, problem: &str) -> Error {
        self.setting(&self.settings, SettingError { key, problem: problem.to_owned() })
    }

    fn setting(&self, settings: &Settings, error: SettingError) -> Error {
        let location = self.locations.get(error.key).copied();
        Error::setting(settings, error, location)
    }

    /// Compares the gradient of `J` from the closed form, Burn's autodiff and finite differences.
    ///
    /// The check uses at most 64 of the samples, from all classes, and weights drawn with the seed.
    /// Its tolerances are bounds on the error, not guesses.
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
    /// Returns an error if a setting is invalid, if the samples do not fit the model, or if the
    /// backend is not one of Burn's. A failed check is not an error: see the report.
    #[cfg(feature = "burn")]
    pub fn check_gradient<L: Label>(&self, samples: &Samples<L>) -> Result<chainrule_gradcheck::Report, Error> {
        let machine = self.machine()?;
        let config = self.resolved(samples, &machine)?;
        crate::on_burn::check_gradient(samples, config, &machine)
    }

    /// Returns the checked settings, with all defaults.
    ///
    /// # Errors
    /// Returns an error if a setting is invalid, if a data setting other than `standardize` is set,
    /// if there is no row, or if the number of classes does not fit: the logistic model needs two,
    /// softmax at least two.
    pub fn config<L: Label>(&self, train: &Samples<L>) -> Result<TrainConfig, Error> {
        let mut settings = self.settings.clone();
        let allowed = DataConfig { standardize: settings.data.standardize, ..DataConfig::default() };
        if settings.data != allowed {
            return Err(SamplesError::DataSetting.into());
        }
        let kind = settings.model.kind;
        let k = train.classes().len();
        if train.is_empty() {
            return Err(SamplesError::NoTrainingRow.into());
        }
        if k < 2 || (kind == ModelKind::Logistic && k != 2) {
            let (model, number) = match kind {
                ModelKind::Logistic => ("logistic regression", "two"),
                ModelKind::Softmax => ("softmax regression", "two or more"),
            };
            let classes = class_list(&train.schema.classes);
            return Err(SamplesError::Classes { found: k, classes, model, number }.into());
        }
        if kind == ModelKind::Logistic {
            settings = settings.with_classes(&train.schema.classes);
        }
        if self.is_to_the_minimum && settings.objective.l2 == 0.0 && train.rows.kind() == FeatureKind::Numbers {
            settings.descent.solver = Solver::Newton;
        }
        TrainConfig::try_from(settings.clone()).map_err(|error| self.setting(&settings, error))
    }

    /// Returns the checked settings, with the defaults that depend on the machine.
    fn resolved<L: Label>(&self, train: &Samples<L>, machine: &Machine) -> Result<TrainConfig, Error> {
        let have_weights = train.rows.weights()?.is_some();
        machine.resolve_defaults_for(self.config(train)?, train.rows.kind(), have_weights)
    }

    pub(crate) fn machine(&self) -> Result<Machine, Error> {
        Machine::new(self.backend.as_ref(), self.threads)
    }
}

/// An observer that starts the training from a checkpoint.
struct ResumeFrom<'a> {
    start: Option<Checkpoint>,
    observer: &'a mut dyn Observer,
}

impl Observer for ResumeFrom<'_> {
    fn resume_from(&mut self) -> Option<Checkpoint> {
        self.start.take().or_else(|| self.observer.resume_from())
    }

    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        self.observer.on_step(step)
    }

    fn should_stop(&mut self) -> bool {
        self.observer.should_stop()
    }

    fn wants_checkpoint(&mut self, step: usize) -> bool {
        self.observer.wants_checkpoint(step)
    }

    fn save_checkpoint(&mut self, checkpoint: Checkpoint) {
        self.observer.save_checkpoint(checkpoint);
    }

    fn on_evaluation_start(&mut self) {
        self.observer.on_evaluation_start();
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> ControlFlow<()> {
        self.observer.on_evaluation(evaluation)
    }
}

/// Returns the model of a training.
fn fitted<L: Label>(
    train: &Samples<L>,
    config: TrainConfig,
    machine: &Machine,
    preprocessing: Preprocessing,
    trained: Trained,
) -> Result<Fitted<L>, Error> {
    let divergence_hint = || config.divergence_hint();
    if let Ending::Diverged { step } = trained.ending {
        return Err(Error::Diverged {
            problem: format!("the loss of step {step} is not finite"),
            divergence_hint: divergence_hint(),
        });
    }
    let norm = machine.norms(&trained.parameters).ok_or_else(|| Error::Diverged {
        problem: "the sum of the squares of the weights is not finite".to_owned(),
        divergence_hint: divergence_hint(),
    })?;
    let Trained { parameters, history, ending, steps, best, final_metrics, certificate, identification, .. } = trained;
    let precision = config.descent().precision;
    let link = config.model().kind.into();
    let metrics = |loss, accuracy| Metrics { loss, accuracy };
    let training = Training {
        config,
        history,
        ending,
        steps,
        best,
        train: metrics(final_metrics.train_loss, final_metrics.train_accuracy),
        validation: Some(metrics(final_metrics.validation_loss, final_metrics.validation_accuracy)),
        certificate,
        identification: identification.map(|own| own.named(&train.schema.features, &train.schema.classes)),
    };
    let labels = train.labels.clone();
    Fitted::new(link, precision, train.schema.clone(), labels, parameters, preprocessing, norm)
        .map(|fitted| fitted.with_training(training, train.source.clone()))
}

/// Returns every setting by its key.
fn values(settings: &Settings) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    let written = serde_json::to_value(settings).unwrap_or_default();
    let sections = written.as_object().into_iter().flatten();
    for (section, keys) in sections {
        let keys = keys.as_object().into_iter().flatten();
        values.extend(keys.map(|(key, value)| (format!("{section}.{key}"), value.clone())));
    }
    values
}
