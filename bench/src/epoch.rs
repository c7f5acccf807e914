//! An epoch of training, without its evaluations, in this process.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::{Device, FloatDType};
use chainrule::backend::Backend;
use chainrule_kernels::Rows;
use chainrule_models::{Classifier, LogisticRegressionConfig, SoftmaxRegressionConfig, to_precision};
use chainrule_records::{Evaluation, GradientSource, ModelKind, Precision, TrainConfig};
use chainrule_training::{Examples, Expansion, Observer, fused_rows, label_order, train, train_fused};

use crate::Bench;

/// How long an epoch takes.
pub(crate) struct Epoch {
    pub(crate) who: String,
    pub(crate) model: ModelKind,
    pub(crate) precision: Precision,
    /// What it was held to; none for backends whose threads are their own affair.
    pub(crate) threads: Option<usize>,
    pub(crate) milliseconds: f64,
    /// Median of the absolute distances from it.
    pub(crate) spread: f64,
    /// Whether it is another tool.
    pub(crate) is_peer: bool,
}

impl Epoch {
    /// What so many epochs took, each by itself.
    pub(crate) fn new(
        who: String,
        model: ModelKind,
        precision: Precision,
        threads: Option<usize>,
        times: &[f64],
        is_peer: bool,
    ) -> Self {
        let milliseconds = median(times.to_vec());
        let spread = median(times.iter().map(|time| (time - milliseconds).abs()).collect());
        Self { who, model, precision, threads, milliseconds, spread, is_peer }
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures every gradient source on every backend of this build.
pub(crate) fn measure(bench: &Bench, n_epochs: usize) -> Result<Vec<Epoch>> {
    let mut epochs = Vec::new();
    for config in [&bench.softmax, &bench.logistic] {
        for precision in [Precision::F32, Precision::F64] {
            for &threads in &bench.threads {
                let run = Run::new(bench, config, GradientSource::Fused, precision, None, threads)?;
                epochs.push(run.measure("chainrule, fused".to_owned(), Some(threads), n_epochs));
            }
        }
        for backend in Backend::built() {
            for gradient in [GradientSource::ClosedForm, GradientSource::Autodiff] {
                let name = if gradient == GradientSource::Autodiff { "autodiff" } else { "closed form" };
                let run = Run::new(bench, config, gradient, Precision::F32, Some(backend.device()?), 1)?;
                epochs.push(run.measure(format!("Burn {backend}, {name} by tensor operations"), None, n_epochs));
            }
        }
    }
    Ok(epochs)
}

/// A training whose epochs are timed.
struct Run {
    config: TrainConfig,
    device: Device,
    rows: Form,
    threads: usize,
    n_features: usize,
    n_classes: usize,
}

enum Form {
    Tensors(Box<[Examples; 2]>),
    Bytes(Box<[Rows; 2]>),
}

impl Run {
    fn new(
        bench: &Bench,
        config: &TrainConfig,
        gradient: GradientSource,
        precision: Precision,
        device: Option<Device>,
        threads: usize,
    ) -> Result<Self> {
        let precision_name = if precision == Precision::F32 { "f32" } else { "f64" };
        // In the file's order, as the peers; one evaluation an epoch, which is not timed; and no end but the last epoch.
        let settings = [
            "descent.shuffle.generator=none",
            "early_stopping.evaluations_per_epoch=1",
            "early_stopping.patience=1000000000",
        ];
        let precision_setting = format!("descent.precision={precision_name}");
        let settings: Vec<String> = settings.iter().map(|&text| text.to_owned()).chain([precision_setting]).collect();
        let config = TrainConfig::parse("bench", &config.to_toml(), &settings)?.with_gradient(gradient);
        let order = label_order(config.model().kind, config.data());
        let asked = config.data();
        let (splits, classes) = bench.data.split(asked.train_images, asked.validation_images, order.as_deref())?;
        let n_features = splits[0].n_features();
        let (rows, device) = match device {
            Some(device) => {
                let examples = |split| Examples::new(&split, precision, &device, Expansion::Host);
                (Form::Tensors(Box::new(splits.map(examples))), device)
            }
            None => {
                let backend = Backend::built().last().context("this build has no backend")?;
                (Form::Bytes(Box::new(splits.each_ref().map(fused_rows))), backend.device()?)
            }
        };
        Ok(Self { config, device, rows, threads, n_features, n_classes: classes.len() })
    }

    /// Trains for so many epochs, the first of which is not counted.
    fn measure(&self, who: String, threads: Option<usize>, epochs: usize) -> Epoch {
        println!("{who}, {:?}", self.config.model().kind);
        let mut stopwatch = Stopwatch { running_since: None, milliseconds: Vec::new() };
        // The first evaluation, after the first step, starts the watch, and the last epoch does not come to one.
        let setting = format!("descent.epochs={}", epochs + 2);
        let config = TrainConfig::parse("bench", &self.config.to_toml(), &[setting]).expect("it was one before");
        let (kind, precision) = (config.model().kind, config.descent().precision);
        let float = match precision {
            Precision::F32 => FloatDType::F32,
            Precision::F64 => FloatDType::F64,
        };
        let (d, k) = (self.n_features, self.n_classes);
        match kind {
            ModelKind::Logistic => {
                let model = LogisticRegressionConfig::new(d).init(&self.device);
                self.train(to_precision(model, float), &config, &mut stopwatch);
            }
            ModelKind::Softmax => {
                let model = SoftmaxRegressionConfig::new(d, k).init(&self.device);
                self.train(to_precision(model, float), &config, &mut stopwatch);
            }
        }
        Epoch::new(who, kind, precision, threads, &stopwatch.milliseconds[1..], false)
    }

    fn train<M: Classifier>(&self, model: M, config: &TrainConfig, stopwatch: &mut Stopwatch) {
        let threads = self.threads.try_into().expect("one at least");
        let trained = match &self.rows {
            Form::Tensors(rows) => train(model, &rows[0], &rows[1], config, stopwatch),
            Form::Bytes(rows) => train_fused(model, &rows[0], &rows[1], config, threads, stopwatch),
        };
        trained.expect("a training that went well before");
    }
}

/// Runs from the end of one evaluation to the beginning of the next, which is an epoch later, and for which all losses are read.
struct Stopwatch {
    running_since: Option<Instant>,
    milliseconds: Vec<f64>,
}

impl Observer for Stopwatch {
    fn evaluation_begins(&mut self) {
        self.milliseconds.extend(self.running_since.take().map(|since| 1e3 * since.elapsed().as_secs_f64()));
    }

    fn evaluation_ends(&mut self, _: &Evaluation) {
        self.running_since = Some(Instant::now());
    }
}
