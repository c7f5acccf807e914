use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_path_to_error::Segment;
use toml::{Table, Value};

use crate::ClassWeights;
use crate::config::{
    ConfigError, DataConfig, DescentConfig, EarlyStoppingConfig, Generator, GradientSource, ModelConfig, ModelKind,
    ObjectiveConfig, OptimumConfig, Schedule, Solver,
};
use crate::sentence::one_line;
use crate::update::Update;
use crate::values::{IMAGE_SIZE, SIDES, check_whole};
use crate::{keys, read_text, values};

/// An experiment that was checked: every number is in its range, and what must fit together does.
///
/// It can only be had from [`TrainConfig::read`] and [`TrainConfig::parse`]; training takes nothing else.
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

/// What a file may say; serde sees to the types, [`check`] to the values.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConfig {
    experiment: Option<String>,
    #[serde(default)]
    data: DataConfig,
    model: ModelConfig,
    #[serde(default)]
    objective: ObjectiveConfig,
    #[serde(default)]
    descent: DescentConfig,
    #[serde(default)]
    optimum: OptimumConfig,
    #[serde(default)]
    early_stopping: EarlyStoppingConfig,
}

impl RawConfig {
    /// The same, with a name where it has none.
    pub(crate) fn unchecked(self, name: &str) -> TrainConfig {
        TrainConfig {
            experiment: self.experiment.unwrap_or_else(|| name.to_owned()),
            data: self.data,
            model: self.model,
            objective: self.objective,
            descent: self.descent,
            optimum: self.optimum,
            early_stopping: self.early_stopping,
        }
    }
}

/// Characters of a line that is no TOML, at most.
const SHOWN: usize = 40;

/// Bytes of an experiment's file, at most: a hundred times what it takes.
pub(crate) const MOST_BYTES: u64 = 1 << 16;

impl TrainConfig {
    /// Reads an experiment from a TOML file and applies `overrides`, each `key=value`.
    ///
    /// # Errors
    /// Where the file cannot be read, or says something that cannot be run.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        // An override without a value may have left it where the file's name is expected.
        overrides.iter().try_for_each(|text| keys::key_and_value(text).map(|_| ()))?;
        Self::parse_overridden(&path.display().to_string(), &Self::read_text(path)?, overrides)
    }

    /// The same of an experiment that was read: errors tell what the file says from what the overrides do.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_overridden(file: &str, text: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::parse_from(file, text, overrides, COMMAND_LINE)
    }

    /// The text of an experiment's file, to be parsed.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read_text(path: &Path) -> Result<String, ConfigError> {
        read_text(path, MOST_BYTES).map_err(|problem| ConfigError::Read { file: path.display().to_string(), problem })
    }

    /// Parses an experiment; `file` is its name in errors, and its stem the experiment's name where `text` gives none.
    ///
    /// # Errors
    /// Where `text` or an override says something that cannot be run.
    pub fn parse(file: &str, text: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::parse_from(file, text, overrides, file)
    }

    /// The same where the overrides come from elsewhere than the file.
    pub(crate) fn parse_from(file: &str, text: &str, overrides: &[String], from: &str) -> Result<Self, ConfigError> {
        let mut table: Table = toml::from_str(text).map_err(|error| {
            let line = text[..error.span().map_or(0, |span| span.start.min(text.len()))].matches('\n').count();
            let written: String = text.lines().nth(line).unwrap_or_default().trim().chars().take(SHOWN).collect();
            let written = one_line(&written);
            let message = format!("{written}: this is no TOML ({})", one_line(error.message()));
            ConfigError::Syntax { file: file.to_owned(), line: 1 + line, message }
        })?;
        let set = overrides.iter().map(|text| keys::set(&mut table, text, from)).collect::<Result<Vec<_>, _>>()?;
        let said_by = |key: &str| {
            let is_in = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
            let is_set = set.iter().any(|set| set == key || is_in(key, set) || is_in(set, key));
            if is_set { from.to_owned() } else { file.to_owned() }
        };
        keys::check(said_by, &table)?;
        if keys::get(&table, "model.kind").is_none() {
            return Err(ConfigError::MissingKey {
                file: file.to_owned(),
                key: "model.kind",
                hint: "write [model] and below it kind = \"softmax\" or kind = \"logistic\"",
            });
        }
        let raw: RawConfig = serde_path_to_error::deserialize(table.clone()).map_err(|error| {
            let (mut parts, mut place) = (Vec::new(), None);
            for segment in error.path() {
                match segment {
                    Segment::Map { key } if place.is_none() => parts.push(key.as_str()),
                    Segment::Seq { index } => place = place.or(Some(*index)),
                    Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => {}
                }
            }
            let (key, whole) = (keys::dotted(parts.iter().copied()), keys::at(&table, parts));
            let (file, problem) = (said_by(&key), values::problem(&key, whole, &one_line(error.inner().message())));
            // The sides of an image are told of together.
            let (key, value) = match place.filter(|_| key != IMAGE_SIZE) {
                Some(place) => (format!("{key}[{place}]"), whole.and_then(|whole| whole.get(place))),
                None => (key, whole),
            };
            let value = value.map(|value| one_line(&value.to_string())).unwrap_or_default();
            ConfigError::Value { file, value, key: one_line(&key), problem }
        })?;

        let stem = Path::new(file).file_stem().map_or_else(|| "run".into(), |stem| stem.to_string_lossy().into_owned());
        let mut config = raw.unchecked(&stem);
        match check(&config) {
            Ok(()) => {
                config.descent.fill();
                Ok(config)
            }
            Err((key, problem)) => {
                let written = toml::from_str::<Table>(&config.to_toml()).expect("it was written as TOML");
                let value =
                    keys::get(&written, key).map_or_else(|| "absent".to_owned(), |value| one_line(&value.to_string()));
                Err(ConfigError::Value { file: said_by(key), key: key.to_owned(), value, problem })
            }
        }
    }

    /// The experiment with every key, as it is kept in the run folder. It parses to itself.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("strings, numbers and lists are all that a config holds")
    }

    /// The keys in which another differs, each with both values.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let [own, others] = [self, other].map(|config| toml::from_str::<Table>(&config.to_toml()).expect("TOML"));
        let differing = keys::KEYS.into_iter().filter_map(|key| {
            let [own, other] = [&own, &others].map(|table| keys::get(table, key));
            let text = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), ToString::to_string);
            (own != other).then(|| format!("{key} = {}, not {}", text(own), text(other)))
        });
        differing.collect()
    }

    /// The same with its gradients from elsewhere.
    pub fn with_gradient(mut self, gradient: GradientSource) -> Self {
        self.descent.gradient = gradient;
        self
    }

    /// The same with these weights of the classes, in the order of the labels, for who trains with it: what the data calls its classes is not known there.
    pub fn with_class_weights(mut self, weights: Vec<f64>) -> Self {
        self.objective.class_weights = Some(ClassWeights::Each(weights));
        self
    }

    /// What of it the fused kernels cannot do, where there is something: their steps are plain ones, on bytes of one scale, in rows that count alike.
    pub fn beyond_kernels(&self) -> Option<&'static str> {
        if self.descent.update() != Update::Plain {
            Some("they know no optimizer but sgd without momentum")
        } else if self.data.standardize {
            Some("they read bytes that all have one scale, and data.standardize gives each pixel its own")
        } else if self.objective.class_weights.is_some() {
            Some("to them all rows count alike, and objective.class_weights says otherwise")
        } else {
            None
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

/// Who sets what the file does not.
pub(crate) const COMMAND_LINE: &str = "command line";

/// The first key whose value cannot be, and why.
fn check(config: &TrainConfig) -> Result<(), (&'static str, String)> {
    let holds = |key, holds: bool, problem: &str| if holds { Ok(()) } else { Err((key, problem.to_owned())) };
    let count = |key, value: usize| check_whole(key, value as u64);
    let (data, descent, stopping) = (&config.data, &config.descent, &config.early_stopping);

    let name = &config.experiment;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    holds(
        "experiment",
        !name.is_empty() && name.len() <= 100 && name.chars().all(plain) && !name.starts_with('.'),
        "expected a name of letters, digits, - and _, since a folder is named after it; set experiment = \"…\"",
    )?;
    holds("data.source", !data.source.is_empty(), "expected auto, mnist, embedded, a CSV file, or a folder of data")?;
    let sides = data.image_size.iter().all(|side| (1..=4096).contains(side));
    holds(IMAGE_SIZE, sides, SIDES)?;
    let fraction = data.validation_fraction;
    holds("data.validation_fraction", fraction > 0.0 && fraction < 1.0, "expected a number between 0 and 1")?;
    count("data.train_images", data.train_images.unwrap_or(1))?;
    count("data.validation_images", data.validation_images.unwrap_or(1))?;
    if let Some(classes) = &data.classes {
        // A name is a text, and 2 is called "2".
        let repeated =
            (1..classes.len()).any(|i| classes[..i].iter().any(|class| class.is_called(&classes[i].to_string())));
        holds("data.classes", !repeated, "names a class twice")?;
        holds("data.classes", classes.len() >= 2, "expected at least two classes")?;
    }
    check_whole("data.resident_bytes", data.resident_bytes)?;
    if config.model.kind == ModelKind::Logistic {
        let two = data.classes.as_ref().is_some_and(|classes| classes.len() == 2);
        holds(
            "data.classes",
            two,
            "the logistic model needs exactly two, as in classes = [2, 3], the positive one first",
        )?;
    }
    let l2 = config.objective.l2;
    holds("objective.l2", (0.0..=1e6).contains(&l2), "expected a number from 0 (no penalty) to 1e6")?;
    let (kind, classes) = (config.model.kind, data.classes.as_deref());
    if let Some(problem) = config.objective.class_weights.as_ref().and_then(|weights| weights.problem(kind, classes)) {
        return Err(("objective.class_weights", problem));
    }
    let rate = descent.learning_rate;
    holds(
        "descent.learning_rate",
        rate > 0.0 && rate <= 1e3,
        "expected a number above 0, at most 1000; 0.01 is usual",
    )?;
    descent.check()?;
    count("descent.batch_size", descent.batch_size)?;
    count("descent.epochs", descent.epochs)?;
    holds(
        "descent.shuffle.seed",
        descent.shuffle.generator != Generator::NumpyLegacy || u32::try_from(descent.shuffle.seed).is_ok(),
        "NumPy's legacy generator takes seeds up to 4294967295",
    )?;
    check_whole("descent.shuffle.seed", descent.shuffle.seed)?;
    count("descent.shuffle.skip_epochs", descent.shuffle.skip_epochs)?;
    count("early_stopping.evaluations_per_epoch", stopping.evaluations_per_epoch)?;
    count("early_stopping.patience", stopping.patience.unwrap_or(1))?;

    if let (GradientSource::Fused, Some(reason)) = (descent.gradient, config.beyond_kernels()) {
        return Err((
            "descent.gradient",
            format!("the fused kernels cannot: {reason}; take auto, closed-form or autodiff"),
        ));
    }

    let optimum = &config.optimum;
    holds(
        "optimum.tolerance",
        optimum.tolerance > 0.0 && optimum.tolerance <= 1.0,
        "expected a distance from the minimum in nats above 0, at most 1; f32 reaches 1e-10, with a free bias 1e-6, and f64 1e-13",
    )?;
    count("optimum.max_iterations", optimum.max_iterations)?;
    count("optimum.memory", optimum.memory)?;
    count("optimum.evaluate_every", optimum.evaluate_every)?;
    if descent.solver == Solver::Lbfgs {
        holds(
            "objective.l2",
            l2 > 0.0,
            "without a penalty J may have no minimum, and none can be certified; set it above 0, or descent.solver = \"sgd\"",
        )?;
        // The bound is a square over lambda: with less the one is lost below the smallest number and the other above the largest.
        holds(
            "objective.l2",
            l2 >= 1e-100,
            "so small a penalty is too small for a certificate; expected a number from 1e-100 to 1e6, or descent.solver = \"sgd\"",
        )?;
        let goes_to_the_end = "descent.solver = \"lbfgs\" goes to the minimum and keeps it; leave this out of the file, or begin with configs/softmax-optimum.toml";
        let has_steps_of_its_own = "descent.solver = \"lbfgs\" has steps of its own; leave this out";
        holds("descent.optimizer", descent.update() == Update::Plain, has_steps_of_its_own)?;
        holds("descent.schedule", descent.schedule == Schedule::Constant, has_steps_of_its_own)?;
        holds("early_stopping.patience", stopping.patience.is_none(), goes_to_the_end)?;
        holds("early_stopping.restore_best", !stopping.restore_best, goes_to_the_end)?;
    }
    Ok(())
}
