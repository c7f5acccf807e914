//! Every engine resumes from any checkpoint.

use std::num::NonZero;

use burn::tensor::Device;
use chainrule_core::{Preprocessing, TrainConfig};
use chainrule_data::Data;
use chainrule_records::ConfigFile;
use chainrule_solve::{Checkpoint, FusedRows, Observer, train_fused};
use chainrule_tests_macros::test;

use crate::support::{Fit, devices, digits, experiment, f64_devices, fit, fit_rows, table};

/// Collects every checkpoint of a training, or resumes from one.
#[derive(Default)]
struct CheckpointRecorder {
    from: Option<Checkpoint>,
    kept: Vec<Checkpoint>,
}

impl Observer for CheckpointRecorder {
    fn resume_from(&mut self) -> Option<Checkpoint> {
        self.from.take()
    }

    fn wants_checkpoint(&mut self, _: usize) -> bool {
        true
    }

    fn save_checkpoint(&mut self, checkpoint: Checkpoint) {
        self.kept.push(checkpoint);
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn assert_same(actual: &Fit, expected: &Fit, what: &str) {
    assert_eq!(actual.history, expected.history, "{what}");
    assert_eq!(bits(&actual.weight), bits(&expected.weight), "{what}");
    assert_eq!(bits(&actual.bias), bits(&expected.bias), "{what}");
    assert_eq!((actual.ending, actual.steps, actual.best), (expected.ending, expected.steps, expected.best), "{what}");
    assert_eq!(actual.final_metrics, expected.final_metrics, "{what}");
    assert_eq!(actual.certificate, expected.certificate, "{what}");
}

#[test]
fn every_engine_resumes_from_any_checkpoint_bit_for_bit() {
    let data = digits(500, 200);
    let common = ["data.train_images=500", "data.validation_images=200", "descent.epochs=4", "descent.batch_size=64"];
    let shuffled = "descent.shuffle.generator=chacha";
    let cases: [(&str, &[&str]); 9] = [
        ("softmax.toml", &["descent.learning_rate=0.1", "objective.l2=0.01", "early_stopping.patience=6"]),
        ("softmax.toml", &[shuffled, "early_stopping.restore_best=true", "descent.learning_rate=1"]),
        (
            "softmax.toml",
            &[
                "descent.shuffle.skip_epochs=3",
                "descent.batch_size=40",
                "data.classes=[5,0,9]",
                "descent.drop_last=false",
            ],
        ),
        ("logistic-shuffled.toml", &["descent.batch_size=32", "early_stopping.evaluations_per_epoch=1"]),
        ("softmax-optimum.toml", &["objective.l2=0.01", "optimum.evaluate_every=7"]),
        ("softmax-optimum.toml", &["objective.l2=0.01", "objective.penalize_bias=true", "optimum.memory=3"]),
        ("softmax-optimum.toml", &["model.kind=logistic", "data.classes=[3,8]", "optimum.tolerance=1e-9"]),
        ("softmax.toml", &["descent.schedule=cosine", "descent.learning_rate=0.2", "descent.drop_last=false"]),
        ("softmax.toml", &["descent.schedule=step", "descent.step_epochs=2", "early_stopping.patience=99"]),
    ];
    for (name, settings) in cases {
        for gradient in ["fused", "closed-form", "autodiff"] {
            let gradient = format!("descent.gradient={gradient}");
            for (devices, precision) in [(devices(), "f32"), (f64_devices(), "f64")] {
                let precision = format!("descent.precision={precision}");
                let config = experiment(name, &[&common[..], settings, &[&gradient, &precision]].concat());
                for device in devices {
                    goes_on(&config, &data, &device);
                }
            }
        }
    }
}

/// Covers every optimizer with a state, a schedule, both models and all gradient sources. The fused
/// kernels of a GPU have no optimizers.
#[test]
fn every_optimizer_resumes_from_any_checkpoint_bit_for_bit() {
    let data = digits(300, 100);
    let common = ["data.train_images=300", "data.validation_images=100", "descent.epochs=3", "descent.batch_size=50"];
    let shuffled = ["descent.shuffle.generator=chacha", "descent.schedule=exponential"];
    for optimizer in ["sgd\ndescent.momentum=0.9", "adam", "adamw", "rmsprop", "rmsprop\ndescent.momentum=0", "adagrad"]
    {
        let optimizer = format!("descent.optimizer={optimizer}");
        let optimizer: Vec<&str> = optimizer.lines().collect();
        for (name, gradient) in
            [("softmax.toml", "closed-form"), ("logistic.toml", "autodiff"), ("softmax.toml", "fused")]
        {
            let has_optimizers = |device: &Device| gradient != "fused" || !chainrule_ops::supports_device_steps(device);
            let gradient = format!("descent.gradient={gradient}");
            for (devices, precision) in [(devices(), "f32"), (f64_devices(), "f64")] {
                let precision = format!("descent.precision={precision}");
                let settings = [&common[..], &shuffled, &optimizer, &[&gradient, &precision]].concat();
                let config = experiment(name, &settings);
                for device in devices.into_iter().filter(has_optimizers) {
                    goes_on(&config, &data, &device);
                }
            }
        }
    }
}

#[test]
fn a_table_resumes_bit_for_bit() {
    let common = ["descent.gradient=fused", "descent.epochs=4", "descent.batch_size=25", "descent.drop_last=false"];
    let (rows, preprocessing) = table([310, 100], 3);
    for (name, settings) in [
        ("softmax.toml", ["descent.shuffle.generator=chacha", "early_stopping.restore_best=true"]),
        ("softmax-optimum.toml", ["objective.l2=0.01", "optimum.evaluate_every=3"]),
    ] {
        let config = experiment(name, &[&common[..], &settings].concat());
        for device in devices() {
            resumes(&config, |observer| fit_rows(&config, &rows, 3, &preprocessing, &device, observer));
        }
    }
}

#[test]
fn class_weights_resume_bit_for_bit() {
    let data = digits(300, 100);
    let common = ["data.train_images=300", "data.validation_images=100", "descent.epochs=3", "descent.batch_size=50"];
    for (name, weights) in
        [("softmax.toml", "balanced"), ("logistic.toml", "{2 = 0.5, 3 = 3}"), ("logistic.toml", "balanced")]
    {
        let weights = format!("objective.class_weights={weights}");
        for gradient in ["closed-form", "autodiff"] {
            let gradient = format!("descent.gradient={gradient}");
            let more = ["early_stopping.restore_best=true", "early_stopping.patience=3", &weights, &gradient];
            let config = experiment(name, &[&common[..], &more].concat());
            for device in devices() {
                goes_on(&config, &data, &device);
            }
        }
    }
}

#[test]
fn a_resumed_search_does_not_recompute_f64_moments() {
    let data = digits(500, 200);
    let rows = ["data.train_images=500", "data.validation_images=200", "descent.gradient=fused"];
    let free_bias = ["objective.l2=0.01", "objective.penalize_bias=false"];
    let config = experiment("softmax-optimum.toml", &[&rows[..], &free_bias].concat());
    let device = &f64_devices()[0];
    let mut recorder = CheckpointRecorder::default();
    let passes = |fit: Fit| fit.certificate.unwrap().gradients;
    let whole = passes(fit(&config, &data, device, &mut recorder));
    // In f32 the search computes moments in f64 once, at the end, in two passes for its bound.
    let mut state = serde_json::to_value(&recorder.kept[3]).unwrap();
    let has_looked = &mut state["search"]["has_moments_in_f64"];
    assert_eq!(*has_looked, false);
    *has_looked = true.into();
    let mut recorder = CheckpointRecorder { from: Some(serde_json::from_value(state).unwrap()), kept: Vec::new() };
    assert_eq!(passes(fit(&config, &data, device, &mut recorder)), whole - 2);
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let data = digits(300, 100);
    let rows = ["data.train_images=300", "data.validation_images=100", "descent.batch_size=30", "descent.epochs=1"];
    let kept = |name: &str, more: &[&str]| {
        let mut recorder = CheckpointRecorder::default();
        fit(&experiment(name, &[&rows[..], more].concat()), &data, &f64_devices()[0], &mut recorder);
        recorder.kept.pop().unwrap()
    };
    let config = experiment("softmax.toml", &rows);
    let ([train, validation], classes) = data.select(Some(300), Some(100), None).unwrap();
    let [train, validation] = [train, validation].map(|rows| FusedRows::new(rows, &Preprocessing::Pixels).unwrap());
    let from = |checkpoint: Checkpoint| {
        let mut recorder = CheckpointRecorder { from: Some(checkpoint), kept: Vec::new() };
        train_fused(
            &config.model().kind.link(classes.len()),
            &train,
            &validation,
            &config,
            NonZero::<usize>::MIN,
            &mut recorder,
        )
    };
    assert!(from(kept("softmax.toml", &[])).is_ok());
    let refused = |checkpoint: Checkpoint, expected: &str| {
        let error = from(checkpoint).err().unwrap().to_string();
        assert!(error.starts_with("the checkpoint of step ") && error.contains(expected), "{error}");
    };
    refused(
        kept("softmax.toml", &["data.classes=[1,2,3]"]),
        "belongs to another training: its parameters are not 784 x 10",
    );
    refused(kept("softmax-optimum.toml", &[]), "descent.solver");
    let mut state = serde_json::to_value(kept("softmax.toml", &[])).unwrap();
    state["steps"] = 7.into();
    refused(serde_json::from_value(state).unwrap(), "its history has 10 steps");
}

/// Resumes a training of images on a device: see [`resumes`].
fn goes_on(config: &TrainConfig, data: &Data, device: &Device) {
    resumes(config, |observer| fit(config, data, device, observer));
}

/// Resumes from the first checkpoint, the last and two between. Each checkpoint passes through the
/// file format.
fn resumes(config: &TrainConfig, train: impl Fn(&mut dyn Observer) -> Fit) {
    let mut recorder = CheckpointRecorder::default();
    let whole = train(&mut recorder);
    let kept = recorder.kept;
    assert!(kept.len() > 2, "{} checkpoints of {} steps", kept.len(), whole.steps);
    for i in [0, kept.len() / 3, kept.len() / 2, kept.len() - 1] {
        let from: Checkpoint = rmp_serde::from_slice(&rmp_serde::to_vec_named(&kept[i]).unwrap()).unwrap();
        assert_eq!(from, kept[i]);
        let what = format!("from step {} of {}", from.steps(), config.to_toml());
        let mut recorder = CheckpointRecorder { from: Some(from), kept: Vec::new() };
        let resumed = train(&mut recorder);
        assert_same(&resumed, &whole, &what);
        assert_eq!(recorder.kept, kept[i + 1..], "{what}");
    }
}
