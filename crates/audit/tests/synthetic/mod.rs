//! Made-up runs, so that verdicts can be tested for any outcome. The tests here and the browser
//! tests of the page use them.

use std::collections::BTreeMap;

use chainrule_audit::{DataFacts, HardBatch, HardRow, RUNS_WITH_RESULTS, Report, RowResults, RunResults};
use chainrule_core::{
    Certificate, Class, DataFile, DataKind, Evaluation, FinalMetrics, History, ModelKind, Parameters, Preprocessing,
    SearchEnd, TrainConfig, UnusedFiles, WeightNorms,
};
use chainrule_records::{ConfigFile, DataSummary, GradientCheck, GradientChecks, Manifest, Seconds, Summary, Versions};
use chainrule_report::{Run, Runs};

/// The runs, checks and facts of a report. A test changes them before it creates the report.
pub(crate) struct Story {
    pub(crate) runs: BTreeMap<String, Run>,
    pub(crate) checks: GradientChecks,
    pub(crate) facts: DataFacts,
}

/// The steps of an epoch and the steps between two evaluations, for the logistic and the softmax
/// runs.
pub(crate) const STEPS: usize = 31;
pub(crate) const INTERVAL: usize = 6;
const SOFTMAX_STEPS: usize = 156;
const SOFTMAX_INTERVAL: usize = 31;

/// The batch after which the made-up validation loss jumps.
pub(crate) const HARD: usize = 18;

/// For each penalty: the validation accuracy at the minimum of J, and after the report's epochs.
pub(crate) const MODELS: [(f64, f64, f64); 6] = [
    (1.0, 0.84, 0.834),
    (0.1, 0.895, 0.889),
    (0.01, 0.915, 0.911),
    (0.001, 0.9175, 0.9154),
    (0.0001, 0.914, 0.9157),
    (0.00001, 0.899, 0.9157),
];

impl Story {
    /// Creates runs like the report's: each epoch has one hard batch; the run stops in epoch 33
    /// because of its patience; the shuffled run stops unusually early; no run overfits; a penalty
    /// helps at the minimum of J, and a strong one costs accuracy after the report's epochs.
    pub(crate) fn new() -> Self {
        let mut runs = Vec::new();
        let hard = |step: usize| if step % STEPS == HARD { 0.1 } else { 0.0 };
        let slow = |step: usize| 0.07 + 0.05 / (1.0 + step as f64 / 50.0);
        runs.push(logistic("logistic", "", 1039, INTERVAL, |step| slow(step) + hard(step), true));
        // Its losses do not fall for 9 evaluations, and later for 10, so nearby patiences stop it
        // in different epochs.
        let bumpy =
            |step: usize| if (700..754).contains(&step) || (980..1040).contains(&step) { 0.2 } else { slow(step) };
        runs.push(logistic("logistic-full-length", "", 3100, INTERVAL, bumpy, false));
        runs.push(logistic("logistic-every-step", "", 34 * STEPS, 1, |step| slow(step) + hard(step), false));
        let shuffled = "descent.shuffle.generator=numpy-legacy";
        runs.push(logistic("logistic-shuffled", shuffled, 523, INTERVAL, slow, true));
        for seed in 0..40 {
            let steps = if seed == 0 { 520 } else { 600 + 10 * seed };
            runs.push(logistic(&format!("logistic-seed-{seed}"), shuffled, steps, INTERVAL, slow, true));
        }
        for (name, lambda, accuracy, spectral) in [
            ("softmax", 0.0, 0.9157, 2.3),
            ("softmax-l2-2", 2.0, 0.81, 0.28),
            ("softmax-l2-1", 1.0, 0.83, 0.4),
            ("softmax-l2-0.1", 0.1, 0.89, 0.9),
            ("softmax-l2-0.01", 0.01, 0.91, 1.7),
            ("softmax-l2-0.001", 0.001, 0.9115, 2.1),
            ("softmax-full-length", 0.0, 0.9157, 2.3),
            ("softmax-l2-1-full-length", 1.0, 0.834, 0.4),
            ("softmax-l2-0.1-full-length", 0.1, 0.889, 0.9),
            ("softmax-l2-0.01-full-length", 0.01, 0.911, 1.8),
            ("softmax-l2-0.001-full-length", 0.001, 0.9154, 2.2),
        ] {
            runs.push(softmax(name, lambda, accuracy, spectral));
        }
        for (lambda, minimum, descent) in MODELS {
            let name = |end: &str| format!("softmax-l2-{lambda}-{end}");
            let frobenius = 1.0 / lambda.sqrt();
            let mut run = softmax(&name("minimum"), lambda, minimum, frobenius / 2.0);
            run.summary.certificate = Some(Certificate {
                objective: 0.3,
                gradient_norm: 1e-6,
                bound: 1e-7,
                tolerance: 1e-6,
                ended: SearchEnd::Converged,
                iterations: 10,
                gradients: 20,
            });
            runs.push(run);
            if lambda < 0.001 {
                runs.push(softmax(&name("full-length"), lambda, descent, 2.3));
            }
        }
        runs.push(softmax("softmax-one-epoch", 0.0, 0.88, 1.0));
        let runs: BTreeMap<String, Run> = runs.into_iter().map(|run| (run.name.clone(), run)).collect();
        let results = |name: &str| (name.to_owned(), results(&runs[name].summary.final_metrics));
        let results = RUNS_WITH_RESULTS.iter().map(|name| results(name)).collect();
        Self {
            runs,
            checks: checks(),
            facts: DataFacts {
                data_name: "made-up data".into(),
                batches: vec![vec![60, 68]; STEPS],
                examples: vec![(3, vec![100; 28 * 28])],
                results,
                hard_batch: Some(HardBatch {
                    batch: HARD,
                    epoch: 6,
                    before: 0.07,
                    after: 0.17,
                    after_without: 0.12,
                    worst: (0..4).map(|i| hard_row(11_700 + i)).collect(),
                    mean_of_others: 0.1,
                    likeness: 0.7,
                    usual_likeness: 0.4,
                }),
                shows_rows: false,
            },
        }
    }

    pub(crate) fn report(&self) -> Report {
        let mut runs = Runs::default();
        self.runs.values().cloned().for_each(|run| runs.insert(run));
        Report::new(&runs, &self.checks, &self.facts)
    }
}

fn hard_row(image: usize) -> HardRow {
    HardRow { image, class: "3".into(), loss: 2.5, pixels: vec![image as u8; 28 * 28] }
}

/// The results of a model with these accuracies. A better model is right wherever a worse one is.
pub(crate) fn results(metrics: &FinalMetrics) -> RunResults {
    let rows = |n: usize, accuracy: f64| {
        let right = (accuracy * n as f64).round() as usize;
        let losses = (0..n).map(|row| if row < right { 0.1 } else { 2.0 } + 0.01 * (row as f64).sin()).collect();
        RowResults { is_correct: (0..n).map(|row| row < right).collect(), losses }
    };
    RunResults { train: rows(20_000, metrics.train_accuracy), validation: rows(10_000, metrics.validation_accuracy) }
}

fn logistic(
    name: &str,
    set: &str,
    steps: usize,
    interval: usize,
    loss: impl Fn(usize) -> f64,
    stopped_early: bool,
) -> Run {
    let text = "[model]\nkind = 'logistic'\n[data]\nclasses = [2, 3]\n[early_stopping]\npatience = 10\nevaluations_per_epoch = 5\n[descent]\nlearning_rate = 0.05";
    let mut overrides = vec![format!("experiment={name:?}"), "descent.shuffle.generator=none".to_owned()];
    overrides.extend(Some(set.to_owned()).filter(|set| !set.is_empty()));
    let config = TrainConfig::parse("made-up", text, &overrides).unwrap();
    let last =
        FinalMetrics { train_loss: 0.06, validation_loss: 0.066, train_accuracy: 0.975, validation_accuracy: 0.979 };
    let data = data(4005, 2042, vec![3, 2]);
    run(config, data, STEPS, steps, interval, loss, stopped_early, last, 2.0, 4.0, 1)
}

fn softmax(name: &str, lambda: f64, accuracy: f64, spectral: f64) -> Run {
    let overrides = [format!("experiment={name:?}"), format!("objective.l2={lambda:?}")];
    let config = TrainConfig::parse("made-up", "[model]\nkind = 'softmax'", &overrides).unwrap();
    let last = FinalMetrics {
        train_loss: 0.28,
        validation_loss: 0.3,
        train_accuracy: accuracy + 0.007,
        validation_accuracy: accuracy,
    };
    let loss = |step: usize| 0.29 + 0.5 / (1.0 + step as f64 / 300.0);
    let data = data(20_000, 10_000, (0..10).collect());
    run(config, data, SOFTMAX_STEPS, 1560, SOFTMAX_INTERVAL, loss, false, last, spectral, 4.0 * spectral, 10)
}

#[expect(clippy::too_many_arguments, reason = "a run has many parts, and only two functions call this")]
fn run(
    config: TrainConfig,
    data: DataSummary,
    steps_per_epoch: usize,
    steps: usize,
    interval: usize,
    loss: impl Fn(usize) -> f64,
    stopped_early: bool,
    last: FinalMetrics,
    spectral: f64,
    frobenius_squared: f64,
    n_classes: usize,
) -> Run {
    let evaluation = |step: usize| Evaluation {
        step,
        epoch: step / steps_per_epoch,
        validation_loss: loss(step),
        train_accuracy: last.train_accuracy - 0.02 * loss(step),
        validation_accuracy: last.validation_accuracy - 0.02 * loss(step),
    };
    let evaluations: Vec<Evaluation> = (0..steps).step_by(interval).map(evaluation).collect();
    let best = evaluations.iter().min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss)).copied().unwrap();
    let name = config.experiment().to_owned();
    let summary = Summary {
        experiment: name.clone(),
        model: if n_classes == 1 { ModelKind::Logistic } else { ModelKind::Softmax },
        backend: "none".into(),
        device: "none".into(),
        precision: config.descent().precision,
        gradient: config.descent().gradient,
        threads: 1,
        data,
        class_weights: None,
        seed: 0,
        steps,
        steps_per_epoch,
        dropped_rows: 0,
        epochs_completed: steps / steps_per_epoch,
        stopped_early,
        interrupted: false,
        stop_epoch: (steps - 1) / steps_per_epoch,
        stop_step: steps - 1,
        certificate: None,
        identification: None,
        best_step: best.step,
        best_validation_loss: best.validation_loss,
        final_metrics: last,
        constant: None,
        further_decrease: None,
        weight_norm: WeightNorms { frobenius: frobenius_squared.sqrt(), frobenius_squared, spectral },
        seconds: Seconds::default(),
        files: BTreeMap::new(),
    };
    let manifest = Manifest {
        versions: Versions { chainrule: "0".into(), git_revision: "none".into(), numerics: 1, burn: "none".into() },
        backend: "none".into(),
        device: "none".into(),
        platform: "none".into(),
        instructions: "none".into(),
        threads: 1,
        data_source: "made up".into(),
        data_files: vec![DataFile { name: "none".into(), sha256: "0".into() }],
        seed: 0,
    };
    let lambda = config.objective().l2;
    let weight = (0..784 * n_classes).map(|i| (i as f64 * (1.0 + 0.1 * lambda)).sin() / (1.0 + lambda)).collect();
    Run {
        name,
        config,
        manifest,
        history: History {
            train_loss: (0..steps).map(|step| loss(step) + 0.01 * (step as f64).cos()).collect(),
            evaluations,
        },
        summary,
        parameters: Parameters { n_features: 784, columns: n_classes, weight, bias: vec![0.0; n_classes] },
        preprocessing: Preprocessing::Pixels,
    }
}

fn data(train: usize, validation: usize, classes: Vec<u8>) -> DataSummary {
    DataSummary {
        source: "made up".into(),
        kind: DataKind::Images,
        sha256: "0".into(),
        train,
        validation,
        image_size: [28, 28],
        features: Vec::new(),
        recipe: None,
        rows_of_other_classes: None,
        is_validated_on_training: false,
        classes: classes.into_iter().map(Class::Number).collect(),
        unused: UnusedFiles::default(),
    }
}

fn checks() -> GradientChecks {
    let line = |subject: &str, what: &str| GradientCheck {
        subject: subject.into(),
        precision: "f64".into(),
        what: what.into(),
        sources: "autodiff = by hand".into(),
        checks: 1,
        coordinates: 10,
        failed: 0,
        unresolved: 0,
        kinks: 0,
        worst_relative: 0.0,
        passed: true,
        problem: None,
    };
    let equations = ["Eq. (4), dC/dp", "Eq. (5), dp/dz", "Eq. (6), dC/dz", "Eq. (8), dC/dw", "Eq. (14), dC/dp"];
    let more = ["Eqs. (15) and (16), dp/dz", "Eq. (17), dC/dz", "Eq. (18), dC/dW", "Eq. (22), dR/dw"];
    let mut rows: Vec<GradientCheck> = equations.iter().chain(&more).map(|what| line("derivation", what)).collect();
    rows.push(line("derivation", "Eq. (22) refused for R = sum w^2"));
    for model in ["logistic", "softmax"] {
        rows.push(line(model, "no penalty"));
        rows.push(line(model, "L2, bias free"));
    }
    GradientChecks { backend: "none".into(), device: "none".into(), seed: 0, passed: true, rows }
}
