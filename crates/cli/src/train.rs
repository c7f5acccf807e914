//! `chainrule train`.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::{Device, FloatDType};
use chainrule_data::{Counts, Data, find, mnist, sha256_of_files};
use chainrule_gradcheck::f64_works;
use chainrule_models::{Classifier, LogisticRegressionConfig, SoftmaxRegressionConfig, to_precision, weight_norm};
use chainrule_records::{
    DataFile, DataSummary, Manifest, ModelKind, Precision, RunFolder, Seconds, Summary, TrainConfig, Versions,
    WeightNorms,
};
use chainrule_training::{Ending, Examples, Trained, label_order, steps_per_epoch, train as descend};

use crate::backend::{self, Backend};
use crate::options::TrainOptions;
use crate::progress::{Progress, catch_interrupts};
use crate::{exit, experiment, is_watched, print, print_json, say, table};

/// Trains the experiment that the options describe. Everything that can be refused is refused before a file is written.
pub(crate) fn train(options: &TrainOptions) -> Result<u8> {
    let start = Instant::now();
    let config = experiment::config(options)?;
    let backend = backend::choose(options.backend)?;
    let device = backend.device()?;
    let precision = float_type(config.descent().precision);
    if precision == FloatDType::F64 && !f64_works(&device) {
        bail!(
            "descent.precision = \"f64\": {} has no f64 here; take f32, or --features ndarray or flex",
            backend.name()
        );
    }

    let counts = digits_to_draw(&config);
    let mut tell = |line: &str| {
        if !options.output.quiet {
            say(line);
        }
    };
    let data = find(&experiment::request(&config.data().source), counts, &mut tell)?;
    let order = label_order(config.model().kind, config.data());
    let (splits, classes) =
        data.split(config.data().train_images, config.data().validation_images, order.as_deref())?;
    let steps = config.descent().epochs.saturating_mul(steps_per_epoch(&config, splits[0].len())?);
    let checksums = data.file_checksums();
    let about_data = DataSummary {
        source: data.origin.to_string(),
        sha256: sha256_of_files(&checksums),
        train: splits[0].len(),
        validation: splits[1].len(),
    };

    let folder = match &options.out {
        Some(out) => RunFolder::create(out, options.force)?,
        None => RunFolder::create_numbered(Path::new("runs"), config.experiment())?,
    };
    folder.write_config(&config)?;
    folder.write_manifest(&manifest(&config, backend, &device, &data, checksums))?;
    tell(&format!(
        "data: {}, {} training and {} validation rows",
        about_data.source, about_data.train, about_data.validation
    ));
    // The files' bytes are no longer needed: what is trained on goes to the device.
    drop(data);
    let [examples, validation] = splits.map(|split| Examples::new(&split, config.descent().precision, &device));

    let run = Run {
        config: &config,
        folder: &folder,
        backend,
        device: &device,
        data: about_data,
        steps,
        start,
        is_shown: !options.output.quiet && is_watched(),
    };
    let n_features = examples.n_features();
    let (summary, ending) = match config.model().kind {
        ModelKind::Logistic => {
            let model = LogisticRegressionConfig::new(n_features).init(&device);
            run.train(to_precision(model, precision), &examples, &validation)?
        }
        ModelKind::Softmax => {
            let model = SoftmaxRegressionConfig::new(n_features, classes.len()).init(&device);
            run.train(to_precision(model, precision), &examples, &validation)?
        }
    };

    if options.output.json {
        print_json(&summary);
    } else {
        print(&table::closing(&summary, folder.path()));
    }
    Ok(if ending == Ending::Interrupted { exit::INTERRUPTED } else { exit::DONE })
}

/// As many digits as the config asks for; where it asks for all there are, as many as the report took of MNIST.
fn digits_to_draw(config: &TrainConfig) -> Counts {
    Counts {
        train: config.data().train_images.unwrap_or(20_000),
        validation: config.data().validation_images.unwrap_or(10_000),
    }
}

fn float_type(precision: Precision) -> FloatDType {
    match precision {
        Precision::F32 => FloatDType::F32,
        Precision::F64 => FloatDType::F64,
    }
}

fn manifest(config: &TrainConfig, backend: Backend, device: &Device, data: &Data, checksums: Vec<String>) -> Manifest {
    let names = mnist::FILES.iter().map(|file| file.name.to_owned());
    Manifest {
        versions: Versions {
            chainrule: env!("CARGO_PKG_VERSION").to_owned(),
            git_revision: env!("CHAINRULE_REVISION").to_owned(),
            burn: BURN_VERSION.to_owned(),
        },
        backend: backend.name().to_owned(),
        device: format!("{device:?}"),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        data_source: data.origin.to_string(),
        data_files: names.zip(checksums).map(|(name, sha256)| DataFile { name, sha256 }).collect(),
        seed: config.descent().shuffle.seed,
    }
}

/// Cargo.toml pins exactly this one; a test compares.
const BURN_VERSION: &str = "0.22.1";

/// What both models' trainings share.
struct Run<'a> {
    config: &'a TrainConfig,
    folder: &'a RunFolder,
    backend: Backend,
    device: &'a Device,
    data: DataSummary,
    steps: usize,
    start: Instant,
    is_shown: bool,
}

impl Run<'_> {
    /// Trains, and writes what came of it.
    fn train<M: Classifier>(&self, model: M, examples: &Examples, validation: &Examples) -> Result<(Summary, Ending)> {
        catch_interrupts();
        let mut progress = Progress::new(self.steps, self.is_shown);
        let descent_start = Instant::now();
        let trained = descend(model, examples, validation, self.config, &mut progress)?;
        progress.finish();
        let training = descent_start.elapsed().saturating_sub(progress.validation);

        self.folder.write_history(&trained.history)?;
        if let Ending::Diverged { step } = trained.ending {
            bail!(
                "the loss of step {step} is not finite: training diverged; try a descent.learning_rate below {}; \
                 the history so far is in {}",
                self.config.descent().learning_rate,
                self.folder.path().display()
            );
        }
        self.folder.write_model(&safetensors(&trained.model)?)?;
        let summary = self.summary(&trained, training, progress.validation)?;
        self.folder.write_summary(&summary)?;
        Ok((summary, trained.ending))
    }

    fn summary<M: Classifier>(
        &self,
        trained: &Trained<M>,
        training: Duration,
        validation: Duration,
    ) -> Result<Summary> {
        let norm = weight_norm(trained.model.linear()).context("the weights are not finite")?;
        let (best_step, best_validation_loss) = trained.best.context("no evaluation was made")?;
        let stop_step = trained.steps - 1;
        Ok(Summary {
            experiment: self.config.experiment().to_owned(),
            model: self.config.model().kind,
            backend: self.backend.name().to_owned(),
            device: format!("{:?}", self.device),
            precision: self.config.descent().precision,
            gradient: self.config.descent().gradient,
            data: self.data.clone(),
            seed: self.config.descent().shuffle.seed,
            steps: trained.steps,
            epochs_completed: trained.steps / trained.steps_per_epoch,
            stopped_early: trained.ending == Ending::StoppedEarly,
            interrupted: trained.ending == Ending::Interrupted,
            stop_epoch: stop_step / trained.steps_per_epoch,
            stop_step,
            best_step,
            best_validation_loss,
            final_metrics: trained.final_metrics,
            weight_norm: WeightNorms {
                frobenius: norm.frobenius,
                frobenius_squared: norm.frobenius_squared,
                spectral: norm.spectral,
            },
            seconds: Seconds {
                total: self.start.elapsed().as_secs_f64(),
                training: training.as_secs_f64(),
                validation: validation.as_secs_f64(),
            },
        })
    }
}

/// The weights as Burn's own store writes them, `linear.weight` `[d, k]` and `linear.bias` `[k]`.
///
/// Without metadata: the store keeps it in a hash map, so that with any the same weights would give other bytes each time.
fn safetensors<M: Classifier>(model: &M) -> Result<Vec<u8>> {
    let mut store = SafetensorsStore::from_bytes(None).clear_metadata();
    model.save_into(&mut store).context("writing the weights as safetensors")?;
    store.get_bytes().context("writing the weights as safetensors")
}
