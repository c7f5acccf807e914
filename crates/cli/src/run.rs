//! One run from its checked config to the files in its folder: what `train` does once, and `sweep` and `reproduce` many times; the library takes its rows from here, too.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use burn::tensor::Device;
use chainrule_data::{Data, DataError, Tables, sha256_of_files};
use chainrule_gradcheck::f64_works;
use chainrule_kernels::Isa;
use chainrule_models::{
    Classifier, LogisticRegressionConfig, SoftmaxRegressionConfig, WeightNorm, to_precision, weight_norm,
};
use chainrule_ops::has_steps;
use chainrule_records::{
    Class, DataFile, DataSummary, Divergence, GradientSource, Manifest, ModelKind, Precision, Preprocessing, RunFolder,
    Schema, Seconds, Solver, Summary, TrainConfig, Versions, WeightNorms,
};
use chainrule_training::{
    Bytes, Chosen, DeviceLost, Ending, Examples, Expansion, Observer, Prepared, TrainError, Trained, class_weights,
    float_type, label_order, standardization,
};

use crate::backend::{self, Backend};
use crate::checkpoints::Keeper;
use crate::dataset::{are_bytes, schema_of_images, schema_of_tables};
use crate::table;

/// Where runs happen.
pub(crate) struct Machine {
    pub(crate) backend: Backend,
    pub(crate) device: Device,
    /// Of the fused kernels.
    threads: NonZero<usize>,
}

impl Machine {
    /// The default device of the backend that was named, else of the build's first.
    pub(crate) fn new(named: Option<&Backend>, threads: NonZero<usize>) -> Result<Self> {
        let backend = backend::choose(named)?;
        Ok(Self { device: backend.device()?, backend, threads })
    }

    /// Threads of the fused kernels.
    pub(crate) fn threads(&self) -> NonZero<usize> {
        self.threads
    }

    /// The same for what goes on: as it was made, unless the options say otherwise.
    pub(crate) fn again(named: Option<&Backend>, made: Option<&Manifest>, threads: NonZero<usize>) -> Result<Self> {
        match (named, made) {
            (None, Some(made)) => Self::new(Some(&made.backend.parse().map_err(anyhow::Error::msg)?), threads),
            (named, _) => Self::new(named, threads),
        }
    }

    /// The config with what it leaves to the machine.
    ///
    /// # Errors
    /// Where it asks for a precision or a gradient source that the device does not have.
    pub(crate) fn settle(&self, config: TrainConfig) -> Result<TrainConfig> {
        let are_bytes = are_bytes(config.data());
        self.settle_for(config, are_bytes)
    }

    /// The same for rows that are known: the bytes of images, or a table's numbers.
    pub(crate) fn settle_for(&self, config: TrainConfig, are_bytes: bool) -> Result<TrainConfig> {
        if config.descent().precision == Precision::F64 && !f64_works(&self.device) {
            bail!(
                "descent.precision = \"f64\": {} has no f64 here; take f32, or --features ndarray or flex",
                self.backend
            );
        }
        match config.descent().gradient {
            GradientSource::Auto if self.has_kernels() && config.beyond_kernels().is_none() && are_bytes => {
                Ok(config.with_gradient(GradientSource::Fused))
            }
            GradientSource::Auto => Ok(config.with_gradient(GradientSource::ClosedForm)),
            GradientSource::Fused if !self.has_kernels() => {
                bail!("descent.gradient = \"fused\": {} has no fused kernels; take closed-form", self.backend)
            }
            GradientSource::Fused if !are_bytes => {
                bail!(
                    "descent.gradient = \"fused\": the kernels read the bytes of images, and these are a table's rows; take closed-form, or auto"
                )
            }
            GradientSource::Fused | GradientSource::ClosedForm | GradientSource::Autodiff => Ok(config),
        }
    }

    /// Whether fused kernels run where its tensors are: in this process, or on its device by two launches a step.
    pub(crate) fn has_kernels(&self) -> bool {
        !self.backend.is_apart() || has_steps(&self.device)
    }
}

/// Refuses to go on with what would come to something else here; `instead` is what else one can do.
pub(crate) fn refuse(folder: &Path, differences: &[String], instead: &str) -> Result<()> {
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "--resume {}: it would not go on as it began: {}; go on where all is as it was, or {instead}",
        folder.display(),
        differences.join("; ")
    )
}

/// As many threads as this machine runs at once.
pub(crate) fn all_threads() -> NonZero<usize> {
    thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// A data set's name and checksums.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) files: Vec<DataFile>,
}

impl Source {
    pub(crate) fn new(data: &Data) -> Self {
        let files = data.files().into_iter().map(|(name, sha256)| DataFile { name, sha256 }).collect();
        Self { name: data.origin.to_string(), files }
    }

    pub(crate) fn of_tables(tables: &Tables) -> Self {
        let files = tables.files.iter().cloned().map(|(name, sha256)| DataFile { name, sha256 }).collect();
        Self { name: tables.origin.to_string(), files }
    }

    /// The lot as one file.
    pub(crate) fn as_file(&self) -> DataFile {
        DataFile { name: self.name.clone(), sha256: self.sha256() }
    }

    /// One checksum for the lot.
    pub(crate) fn sha256(&self) -> String {
        sha256_of_files(&self.files.iter().map(|file| file.sha256.clone()).collect::<Vec<_>>())
    }
}

/// As records have them.
pub(crate) fn norms(norm: WeightNorm) -> WeightNorms {
    let WeightNorm { frobenius, frobenius_squared, spectral } = norm;
    WeightNorms { frobenius, frobenius_squared, spectral }
}

/// The rows of a run, as bytes.
pub(crate) struct Rows {
    splits: [Chosen; 2],
    preprocessing: Preprocessing,
    /// By how much a row of each class counts, where not all count 1.
    class_weights: Option<Vec<f64>>,
    about: DataSummary,
}

/// The labels of classes, as the files number them.
fn numbers(classes: &[Class], data: &Data) -> Result<Vec<u8>, DataError> {
    let number = |class: &Class| {
        let (rows, what) = (data.train.labels().len(), "training images");
        data.label_of(&class.to_string()).ok_or_else(|| DataError::EmptyClass { class: class.to_string(), rows, what })
    };
    classes.iter().map(number).collect()
}

/// Validation rows of up to so many bytes are in memory whatever `data.resident_bytes` says, since they are evaluated again and again.
const KEPT_FOR_VALIDATION: u64 = 16 << 20;

impl Rows {
    /// Picks the rows and classes that a config names.
    pub(crate) fn new(config: &TrainConfig, data: &Data, source: &Source, machine: &Machine) -> Result<Self> {
        let order = label_order(config.model().kind, config.data());
        let order = order.map(|classes| numbers(&classes, data)).transpose()?;
        let asked = config.data();
        let ([train, validation], classes) =
            data.select(asked.train_images, asked.validation_images, order.as_deref())?;
        let resident_bytes = asked.resident_bytes;
        let splits =
            [Chosen::new(train, resident_bytes)?, Chosen::new(validation, resident_bytes.max(KEPT_FOR_VALIDATION))?];
        if (config.descent().gradient != GradientSource::Fused || machine.backend.is_apart())
            && let Some(rows) = splits.iter().find_map(|rows| match rows {
                Chosen::InFile(rows) => Some(rows),
                Chosen::Resident(_) | Chosen::Numbers(_) => None,
            })
        {
            let file = rows.file().context("a file")?;
            bail!(
                "{}: {} bytes of chosen rows are more than data.resident_bytes = {resident_bytes}, and only the fused kernels train on rows \
                 that stay in their file, which they neither standardise nor weigh; take --gradient fused on a CPU, fewer data.train_images or data.validation_images, or allow for more",
                file.display(),
                rows.bytes()
            );
        }
        Ok(Self::of_splits(config, splits, schema_of_images(data, classes), source)?)
    }

    /// The rows of tables.
    pub(crate) fn of_tables(config: &TrainConfig, tables: Tables, source: &Source) -> Result<Self, TrainError> {
        let schema = schema_of_tables(&tables);
        Self::of_splits(config, tables.parts.map(|part| Chosen::Numbers(part.rows)), schema, source)
    }

    /// Rows to train on and to validate on that are chosen already.
    pub(crate) fn of_splits(
        config: &TrainConfig,
        splits: [Chosen; 2],
        schema: Schema,
        source: &Source,
    ) -> Result<Self, TrainError> {
        let preprocessing =
            if config.data().standardize { standardization(&splits[0]) } else { Preprocessing::of(schema.kind) };
        let class_weights = class_weights(config, &schema.classes, &splits[0].labels())?;
        let [train, validation] = splits.each_ref().map(Chosen::len);
        let Schema { kind, image_size, features, classes } = schema;
        let (source, sha256) = (source.name.clone(), source.sha256());
        let about = DataSummary { source, kind, sha256, train, validation, image_size, features, classes };
        Ok(Self { splits, preprocessing, class_weights, about })
    }

    /// Some of the rows with what was found on all of them.
    pub(crate) fn with_splits(self, splits: [Chosen; 2]) -> Self {
        Self { splits, ..self }
    }

    /// By how much the rows of each class count, where not all count 1.
    pub(crate) fn class_weights(&self) -> Option<&[f64]> {
        self.class_weights.as_deref()
    }

    /// The same for a person.
    pub(crate) fn weights(&self) -> Option<String> {
        let weights = self.class_weights.as_ref()?;
        Some(format!("class weights: {}", table::class_weights(&self.about.classes, weights)))
    }

    pub(crate) fn about(&self) -> &DataSummary {
        &self.about
    }

    /// What a person should know of features that gradient descent steps over.
    pub(crate) fn note(&self, config: &TrainConfig) -> Option<String> {
        let Chosen::Numbers(rows) = &self.splits[0] else { return None };
        let largest = rows.values.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let is_large =
            largest > 100.0 && self.preprocessing == Preprocessing::Raw && config.descent().solver == Solver::Sgd;
        is_large.then(|| {
            format!("note: its numbers go up to {largest}, where gradient descent jumps about; --set data.standardize=true brings them to one size")
        })
    }

    /// The training rows' labels.
    pub(crate) fn train_labels(&self) -> Vec<u8> {
        self.splits[0].labels()
    }

    /// Makes them what a config's gradients are computed from.
    pub(crate) fn load(self, config: &TrainConfig, machine: &Machine) -> Loaded {
        let expansion = if machine.backend.is_apart() { Expansion::Device } else { Expansion::Host };
        let rows = Prepared::new(self.splits, &self.preprocessing, config, &machine.device, expansion);
        Loaded { rows, preprocessing: self.preprocessing, about: self.about }
    }
}

/// The rows of a run, as they are computed with.
pub(crate) struct Loaded {
    rows: Prepared,
    preprocessing: Preprocessing,
    about: DataSummary,
}

impl Loaded {
    /// Trains a model on them, for whoever keeps no run folder.
    pub(crate) fn train<M: Classifier>(
        &self,
        model: M,
        config: &TrainConfig,
        machine: &Machine,
        observer: &mut dyn Observer,
    ) -> Result<Trained<M>, TrainError> {
        let model = to_precision(model, float_type(config.descent().precision));
        self.rows.train(model, config, machine.threads, observer)
    }

    /// What the features are made by.
    pub(crate) fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The rows as tensors, unless the kernels take them as bytes.
    pub(crate) fn into_tensors(self) -> Option<[Examples; 2]> {
        match self.rows {
            Prepared::Tensors(examples) => Some(*examples),
            Prepared::Bytes(_) | Prepared::Images(..) => None,
        }
    }

    /// How the fused kernels take the training rows, where they do.
    pub(crate) fn kernels(&self, machine: &Machine) -> Option<String> {
        let rows = match &self.rows {
            Prepared::Bytes(rows) => rows,
            Prepared::Images(..) => return Some("kernels: the device's own, two launches a step".to_owned()),
            Prepared::Tensors(_) => return None,
        };
        let reading = match &rows[0] {
            Bytes::Resident(rows) if rows.kept() == 1.0 => "every byte, since no block of 16 is all 0".to_owned(),
            Bytes::Resident(rows) => {
                format!("{:.0} % of the bytes, the blocks of 16 that are not all 0", 100.0 * rows.kept())
            }
            Bytes::InFile(stream) => {
                format!("blocks of 16 bytes that are not all 0; the training rows stay in {}", stream.file().display())
            }
        };
        let (isa, threads) = (Isa::best(), machine.threads);
        Some(format!(
            "kernels: {isa}, {threads} {}; they read {reading}",
            if threads.get() == 1 { "thread" } else { "threads" }
        ))
    }
}

/// What a run ran on.
pub(crate) fn manifest(config: &TrainConfig, machine: &Machine, source: &Source) -> Manifest {
    Manifest {
        versions: Versions {
            chainrule: env!("CARGO_PKG_VERSION").to_owned(),
            git_revision: env!("CHAINRULE_REVISION").to_owned(),
            source: env!("CHAINRULE_SOURCE").to_owned(),
            burn: BURN_VERSION.to_owned(),
        },
        backend: machine.backend.to_string(),
        device: format!("{:?}", machine.device),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        instructions: Isa::best().to_string(),
        threads: threads(config, machine),
        data_source: source.name.clone(),
        data_files: source.files.clone(),
        seed: config.descent().shuffle.seed,
    }
}

/// Those of the fused kernels in this process, where it is these that train; the threads of other gradients are the backend's affair.
fn threads(config: &TrainConfig, machine: &Machine) -> usize {
    let has_own = config.descent().gradient == GradientSource::Fused && !machine.backend.is_apart();
    if has_own { machine.threads.get() } else { 1 }
}

/// Cargo.toml pins exactly this one; a test compares.
const BURN_VERSION: &str = "0.22.1";

/// Trains, and writes what came of it into the folder whose run `keeper` keeps.
///
/// # Errors
/// [`Diverged`], where it did, and whatever keeps it from training or writing.
pub(crate) fn run(machine: &Machine, rows: &Loaded, keeper: &mut Keeper) -> Result<(Summary, Ending)> {
    let folder = keeper.folder();
    let config = folder.config();
    let n_features = rows.rows.n_features();
    let run = Run { config, machine, rows, folder };
    match config.model().kind {
        ModelKind::Logistic => {
            let model = LogisticRegressionConfig::new(n_features).init(&machine.device);
            run.train(model, keeper)
        }
        ModelKind::Softmax => {
            let model = SoftmaxRegressionConfig::new(n_features, rows.about.classes.len()).init(&machine.device);
            run.train(model, keeper)
        }
    }
}

/// A training that left the floats. Its folder tells so, and has no model.
#[derive(Debug, thiserror::Error)]
#[error("{}: training diverged; try {remedy}; the history so far is in {}", .divergence.problem, .folder.display())]
pub(crate) struct Diverged {
    pub(crate) divergence: Divergence,
    remedy: String,
    folder: PathBuf,
}

/// What may keep a training from diverging.
pub(crate) fn remedy(config: &TrainConfig) -> String {
    match config.descent().solver {
        Solver::Sgd => format!("a descent.learning_rate below {}", config.descent().learning_rate),
        Solver::Lbfgs => format!("an objective.l2 other than {}", config.objective().l2),
    }
}

/// What both models' trainings share.
struct Run<'a> {
    config: &'a TrainConfig,
    machine: &'a Machine,
    rows: &'a Loaded,
    folder: &'a RunFolder,
}

impl Run<'_> {
    fn train<M: Classifier>(&self, model: M, keeper: &mut Keeper) -> Result<(Summary, Ending)> {
        let trained = self.rows.train(model, self.config, self.machine, keeper);
        let trained = match trained {
            Err(TrainError::DeviceLost(lost)) => {
                return Err(self.save_what_is_left(
                    &lost,
                    &format!("{} stopped answering", self.machine.backend),
                    &lost.reason,
                ));
            }
            Err(TrainError::DataLost(lost)) => {
                return Err(self.save_what_is_left(&lost, &lost.reason, "the training ended there"));
            }
            other => other?,
        };
        let problem = match (trained.ending, weight_norm(trained.model.linear())) {
            (Ending::Diverged { step }, _) => Err((step, format!("the loss of step {step} is not finite"))),
            (_, None) => {
                let step = trained.steps.saturating_sub(1);
                Err((step, "the sum of the squares of the weights is not finite".to_owned()))
            }
            (_, Some(norm)) => Ok(norm),
        };
        let norm = match problem {
            Ok(norm) => norm,
            Err((step, problem)) => {
                let divergence = Divergence { step, problem };
                self.folder.write_divergence(&trained.history, &divergence)?;
                bail!(Diverged { divergence, remedy: remedy(self.config), folder: self.folder.path().to_owned() })
            }
        };
        let folder = self.folder.path().display();
        let summary = self.summary(&trained, norm, keeper.seconds())?;
        let summary = self
            .folder
            .finish(&trained.history, &trained.parameters, &self.rows.preprocessing, summary)
            .map_err(|error| anyhow!("{error}; where it can be written again, --resume {folder} goes on"))?;
        Ok((summary, trained.ending))
    }

    /// Writes what a training came to before its device or its data was lost; gives the error to tell.
    fn save_what_is_left(&self, lost: &DeviceLost, what: &str, more: &str) -> anyhow::Error {
        let save = || -> Result<String> {
            self.folder.write_history(&lost.history)?;
            let Some((step, parameters)) = &lost.parameters else { return Ok(String::new()) };
            self.folder.write_model(parameters, &self.rows.preprocessing)?;
            Ok(format!(" and the model of step {step}"))
        };
        match save() {
            Ok(model) => anyhow!(
                "{what} after step {} ({more}); the history so far{model} is in {}",
                lost.history.train_loss.len(),
                self.folder.path().display()
            ),
            Err(error) => error.context(format!("{what} ({more})")),
        }
    }

    fn summary<M: Classifier>(&self, trained: &Trained<M>, norm: WeightNorm, seconds: Seconds) -> Result<Summary> {
        let (best_step, best_validation_loss) = trained.best.context("no evaluation was made")?;
        let stop_step = trained.steps.saturating_sub(1);
        Ok(Summary {
            experiment: self.config.experiment().to_owned(),
            model: self.config.model().kind,
            backend: self.machine.backend.to_string(),
            device: format!("{:?}", self.machine.device),
            precision: self.config.descent().precision,
            gradient: self.config.descent().gradient,
            threads: threads(self.config, self.machine),
            data: self.rows.about.clone(),
            class_weights: trained.class_weights.clone(),
            seed: self.config.descent().shuffle.seed,
            steps: trained.steps,
            steps_per_epoch: trained.steps_per_epoch,
            epochs_completed: trained.steps / trained.steps_per_epoch,
            stopped_early: trained.ending == Ending::StoppedEarly,
            interrupted: trained.ending == Ending::Interrupted,
            stop_epoch: stop_step / trained.steps_per_epoch,
            stop_step,
            certificate: trained.certificate,
            best_step,
            best_validation_loss,
            final_metrics: trained.final_metrics,
            weight_norm: norms(norm),
            seconds,
            files: BTreeMap::new(),
        })
    }
}
