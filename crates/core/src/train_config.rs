use std::error::Error;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use crate::config::{
    DataConfig, DescentConfig, EarlyStoppingConfig, Generator, GradientSource, ModelConfig, ModelKind, ObjectiveConfig,
    OptimumConfig, Schedule, Solver,
};
use crate::ranges::{IMAGE_SIZE_KEY, IMAGE_SIZE_MESSAGE, check_range};
use crate::{Class, ClassWeights, ColumnKind, EngineKind, UpdateRule};

/// The settings of an experiment. Missing settings have defaults. They are not validated: see
/// [`TrainConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The experiment's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// `[data]`
    #[serde(default)]
    pub data: DataConfig,
    /// `[model]`
    pub model: ModelConfig,
    /// `[objective]`
    #[serde(default)]
    pub objective: ObjectiveConfig,
    /// `[descent]`
    #[serde(default)]
    pub descent: DescentConfig,
    /// `[optimum]`
    #[serde(default)]
    pub optimum: OptimumConfig,
    /// `[early_stopping]`
    #[serde(default)]
    pub early_stopping: EarlyStoppingConfig,
}

impl Settings {
    /// Returns the defaults for a model of this kind.
    pub fn of(kind: ModelKind) -> Self {
        Self {
            experiment: None,
            data: DataConfig::default(),
            model: ModelConfig { kind },
            objective: ObjectiveConfig::default(),
            descent: DescentConfig::default(),
            optimum: OptimumConfig::default(),
            early_stopping: EarlyStoppingConfig::default(),
        }
    }

    /// Sets the classes from a list in the order of their labels, 0 first. This is the inverse of
    /// [`TrainConfig::classes_by_label`].
    #[must_use]
    pub fn with_classes(mut self, by_label: &[Class]) -> Self {
        self.data.classes = Some(reorder_classes(self.model.kind, by_label));
        self
    }

    /// Sets the experiment's name if it has none.
    #[must_use]
    pub fn with_default_name(mut self, name: &str) -> Self {
        self.experiment.get_or_insert_with(|| name.to_owned());
        self
    }
}

/// Converts classes between the order in a config and the order of their labels. For the logistic
/// model, a config lists the positive class first, but its label is 1.
fn reorder_classes(kind: ModelKind, classes: &[Class]) -> Vec<Class> {
    let mut classes = classes.to_vec();
    if kind == ModelKind::Logistic {
        classes.reverse();
    }
    classes
}

/// A validated experiment: every number is in its range, and the settings are consistent.
///
/// It can only be created from [`Settings`], and training accepts nothing else.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainConfig {
    experiment: String,
    data: DataConfig,
    model: ModelConfig,
    objective: ObjectiveConfig,
    descent: DescentConfig,
    optimum: OptimumConfig,
    early_stopping: EarlyStoppingConfig,
}

/// An invalid setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// The key in the config, such as `descent.epochs`.
    pub key: &'static str,
    /// The problem and the expected values.
    pub problem: String,
}

impl Display for SettingError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl Error for SettingError {}

impl TryFrom<Settings> for TrainConfig {
    type Error = SettingError;

    /// Validates the settings and fills in the defaults of the optimizer and the schedule.
    fn try_from(settings: Settings) -> Result<Self, SettingError> {
        let Settings { experiment, data, model, objective, descent, optimum, early_stopping } = settings;
        let experiment = experiment.unwrap_or_else(|| "run".to_owned());
        let mut config = Self { experiment, data, model, objective, descent, optimum, early_stopping };
        check(&config).map_err(|(key, problem)| SettingError { key, problem })?;
        config.descent.fill_defaults();
        Ok(config)
    }
}

impl TrainConfig {
    /// Replaces the gradient source.
    pub fn with_gradient(mut self, gradient: GradientSource) -> Self {
        self.descent.gradient = gradient;
        self
    }

    /// Replaces the class weights by a list in the order of the labels. Training code needs this
    /// form, because it does not know the classes' names.
    pub fn with_class_weights(mut self, weights: Vec<f64>) -> Self {
        self.objective.class_weights = Some(ClassWeights::PerClass(weights));
        self
    }

    /// The classes in the order of their labels, 0 first, if the config lists them. For the
    /// logistic model this differs from the config's order: the config lists the positive class
    /// first, but its label is 1.
    pub fn classes_by_label(&self) -> Option<Vec<Class>> {
        self.data.classes.as_deref().map(|classes| reorder_classes(self.model.kind, classes))
    }

    /// Suggests a setting that may prevent a divergence.
    pub fn divergence_hint(&self) -> String {
        match self.descent.solver {
            Solver::Sgd => format!("a descent.learning_rate below {}", self.descent.learning_rate),
            Solver::Lbfgs | Solver::Newton => format!("an objective.l2 other than {}", self.objective.l2),
        }
    }

    /// The experiment's name.
    pub fn experiment(&self) -> &str {
        &self.experiment
    }

    /// `[data]`
    pub fn data(&self) -> &DataConfig {
        &self.data
    }

    /// `[model]`
    pub fn model(&self) -> &ModelConfig {
        &self.model
    }

    /// `[objective]`
    pub fn objective(&self) -> &ObjectiveConfig {
        &self.objective
    }

    /// `[descent]`
    pub fn descent(&self) -> &DescentConfig {
        &self.descent
    }

    /// `[optimum]`
    pub fn optimum(&self) -> &OptimumConfig {
        &self.optimum
    }

    /// `[early_stopping]`
    pub fn early_stopping(&self) -> &EarlyStoppingConfig {
        &self.early_stopping
    }
}

/// Returns the first key with an invalid value, and the problem.
fn check(config: &TrainConfig) -> Result<(), (&'static str, String)> {
    let ensure = |key, is_valid: bool, problem: &str| if is_valid { Ok(()) } else { Err((key, problem.to_owned())) };
    let check_count = |key, value: usize| check_range(key, value as u64);
    let (data, descent, stopping) = (&config.data, &config.descent, &config.early_stopping);

    let name = &config.experiment;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure(
        "experiment",
        !name.is_empty() && name.len() <= 100 && name.chars().all(is_allowed) && !name.starts_with('.'),
        "expected a name of letters, digits, -, _ and ., because it becomes the name of a folder; set experiment = \"…\"",
    )?;
    ensure(
        "data.source",
        !data.source.is_empty(),
        "expected auto, mnist, embedded, moons, circles, blobs, the file of a table, or a folder of data",
    )?;
    let is_in_range = data.image_size.iter().all(|side| (1..=4096).contains(side));
    ensure(IMAGE_SIZE_KEY, is_in_range, IMAGE_SIZE_MESSAGE)?;
    let fraction = data.validation_fraction;
    ensure(
        "data.validation_fraction",
        (0.0..1.0).contains(&fraction),
        "expected a number from 0 (train on all rows) to below 1",
    )?;
    if let Some(label) = &data.label {
        ensure("data.ignore", !data.ignore.contains(label), "it names the label column, which cannot be left out")?;
        let is_class = data.columns.get(label).is_none_or(|kind| *kind == ColumnKind::Category);
        ensure(
            "data.columns",
            is_class,
            "it names the label column, which is a category: a classifier learns classes",
        )?;
    }
    let is_ignored = data.columns.keys().any(|name| data.ignore.contains(name));
    ensure("data.columns", !is_ignored, "it names a column that data.ignore leaves out")?;
    let is_group = data.group.as_ref().is_some_and(|group| data.columns.contains_key(group));
    ensure("data.columns", !is_group, "it names the column of data.group, which is no feature")?;
    if let Some(weight) = &data.weight {
        let is_feature = data.columns.contains_key(weight);
        ensure("data.columns", !is_feature, "it names the column of data.weight, which is no feature")?;
        ensure("data.weight", data.label.as_ref() != Some(weight), "it names the label column; name one of weights")?;
        let is_group = data.group.as_ref() == Some(weight);
        ensure("data.weight", !is_group, "it names the column of data.group; name one of weights")?;
    }
    check_count("data.max_categories", data.max_categories)?;
    check_count("data.min_rows", data.min_rows)?;
    check_count("data.train_images", data.train_images.unwrap_or(1))?;
    check_count("data.validation_images", data.validation_images.unwrap_or(1))?;
    if let Some(classes) = &data.classes {
        // Compares names as text, so that 2 and "2" are the same class.
        let repeated =
            (1..classes.len()).any(|i| classes[..i].iter().any(|class| class.has_name(&classes[i].to_string())));
        ensure("data.classes", !repeated, "names a class twice")?;
        ensure("data.classes", classes.len() >= 2, "expected at least two classes")?;
    }
    check_range("data.resident_bytes", data.resident_bytes)?;
    if config.model.kind == ModelKind::Logistic {
        let has_two = data.classes.as_ref().is_some_and(|classes| classes.len() == 2);
        ensure(
            "data.classes",
            has_two,
            "the logistic model needs exactly two classes, the positive one first, as in [\"yes\", \"no\"]; model.kind = \"softmax\" takes any number",
        )?;
    }
    let l2 = config.objective.l2;
    ensure("objective.l2", (0.0..=1e6).contains(&l2), "expected a number from 0 (no penalty) to 1e6")?;
    let (kind, classes) = (config.model.kind, data.classes.as_deref());
    if let Some(problem) = config.objective.class_weights.as_ref().and_then(|weights| weights.problem(kind, classes)) {
        return Err(("objective.class_weights", problem));
    }
    let rate = descent.learning_rate;
    ensure(
        "descent.learning_rate",
        rate > 0.0 && rate <= 1e3,
        "expected a number above 0, at most 1000; a usual value is 0.01",
    )?;
    descent.check()?;
    check_count("descent.batch_size", descent.batch_size)?;
    check_count("descent.epochs", descent.epochs)?;
    ensure(
        "descent.shuffle.seed",
        descent.shuffle.generator != Generator::NumpyLegacy || u32::try_from(descent.shuffle.seed).is_ok(),
        "NumPy's legacy generator takes seeds up to 4294967295",
    )?;
    check_range("descent.shuffle.seed", descent.shuffle.seed)?;
    check_count("descent.shuffle.skip_epochs", descent.shuffle.skip_epochs)?;
    check_count("early_stopping.evaluations_per_epoch", stopping.evaluations_per_epoch)?;
    check_count("early_stopping.patience", stopping.patience.unwrap_or(1))?;

    if let (GradientSource::Fused, Some(missing)) = (descent.gradient, EngineKind::Kernels.missing_ability(config)) {
        return Err((
            "descent.gradient",
            format!("the fused kernels cannot train this: {missing}; use auto, closed-form or autodiff"),
        ));
    }

    let optimum = &config.optimum;
    ensure(
        "optimum.tolerance",
        optimum.tolerance > 0.0 && optimum.tolerance <= 1.0,
        "expected a number above 0, at most 1, the distance from the minimum in nats; f32 reaches 1e-10 (1e-6 without a penalty on the bias), and f64 1e-13",
    )?;
    check_count("optimum.max_iterations", optimum.max_iterations)?;
    check_count("optimum.memory", optimum.memory)?;
    check_count("optimum.evaluate_every", optimum.evaluate_every)?;
    if descent.solver.is_search() {
        let is_newton = descent.solver == Solver::Newton;
        ensure(
            "objective.l2",
            l2 > 0.0 || is_newton,
            "without a penalty L-BFGS has no certificate; use a number above 0, or descent.solver = \"newton\" on a table, or \"sgd\"",
        )?;
        // The bound is the squared gradient norm divided by 2 lambda. With a smaller lambda, the
        // square may underflow or the quotient may overflow.
        ensure(
            "objective.l2",
            l2 >= 1e-100 || l2 == 0.0,
            "the penalty is too small for a certificate; expected a number from 1e-100 to 1e6, or descent.solver = \"sgd\"",
        )?;
        let has_hessian = matches!(descent.gradient, GradientSource::Auto | GradientSource::Fused);
        ensure(
            "descent.gradient",
            has_hessian || !is_newton,
            "only the fused kernels compute the Hessian that descent.solver = \"newton\" needs; use auto",
        )?;
        let solver = if is_newton { "newton" } else { "lbfgs" };
        let no_early_stopping = format!(
            "descent.solver = \"{solver}\" does not stop early; remove this key, or start from the experiment softmax-optimum"
        );
        let chooses_steps = format!("descent.solver = \"{solver}\" chooses its own steps; remove this key");
        ensure(descent.update_rule_key(), descent.update_rule() == UpdateRule::Plain, &chooses_steps)?;
        ensure("descent.schedule", descent.schedule == Schedule::Constant, &chooses_steps)?;
        ensure("early_stopping.patience", stopping.patience.is_none(), &no_early_stopping)?;
        ensure("early_stopping.restore_best", !stopping.restore_best, &no_early_stopping)?;
    }
    Ok(())
}
