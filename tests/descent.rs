//! Compares Burn's optimizers and the schedules with their formulas, for every engine. Also tests
//! class weights.

use std::f64::consts::PI;

use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdaGradConfig, AdamConfig, AdamWConfig, RmsPropConfig};
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};
use chainrule_core::{Preprocessing, TrainConfig, UpdateRule};
use chainrule_data::{BatchOrder, Rows, Shuffle};
use chainrule_models::{
    Gradient, L2, LogisticRegressionConfig, SoftmaxRegressionConfig, Targets, closed_form, to_precision,
};
use chainrule_records::ConfigFile;
use chainrule_solve::class_weights;
use chainrule_tests_macros::test;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{ask, call, code, folder, is_refused, seal_again, text};
use crate::standardize::{matrix, scikit_learn};
use crate::support::{
    assert_close, cpu, digits, experiment, f64_devices, features, fit, matrix as matrix_on, values as values_of,
    vector, with_parameters,
};
use crate::tables::{ON_FLOWERS, flowers, train as train_table};
use crate::training::{by_plain_loops, plain};

/// Two epochs of five batches, in f64.
const FAST_SETTINGS: [&str; 10] = [
    "data.train_images=160",
    "data.validation_images=40",
    "descent.batch_size=32",
    "descent.epochs=2",
    "descent.precision=f64",
    "descent.shuffle.generator=chacha",
    "descent.shuffle.seed=3",
    "objective.l2=0.05",
    "objective.penalize_bias=false",
    "early_stopping.patience=1000",
];

/// An optimizer's formula. The arguments are the step from 0, the state (two numbers per
/// parameter), the parameter, its gradient and the learning rate. Returns the new parameter.
type Rule = fn(i32, &mut [f64; 2], f64, f64, f64) -> f64;

/// Compares the training of this config with the rule in plain loops.
fn assert_training_follows(rule: Rule, settings: &[&str], tolerance: f64) {
    // Five whole batches, and one of ten rows.
    let data = digits(170, 40);
    let ([rows, _], classes) = data.select(None, None, None).unwrap();
    let mut order = BatchOrder::new(Shuffle::ChaCha { seed: 3 });
    let epochs: Vec<_> = (0..2).map(|_| order.next_epoch(rows.len())).collect();
    for source in ["closed-form", "autodiff", "fused"] {
        let gradient = format!("descent.gradient={source}");
        let config = experiment(
            "softmax.toml",
            &[&FAST_SETTINGS[..], settings, &["data.train_images=170", "descent.drop_last=false", &gradient]].concat(),
        );
        let rate = config.descent().learning_rate;
        let mut memory = vec![[0.0; 2]; (rows.n_features() + 1) * classes.len()];
        let (losses, w) = by_plain_loops(&rows, classes.len(), &epochs, &config, |step, share, w, gradient| {
            for ((w, g), memory) in w.iter_mut().zip(gradient).zip(&mut memory) {
                *w = rule(step as i32, memory, *w, *g, share * rate);
            }
        });
        // The fused kernels of a GPU have no optimizers.
        let has_optimizers = |device: &Device| source != "fused" || !chainrule_ops::supports_device_steps(device);
        for device in f64_devices().into_iter().filter(has_optimizers) {
            let actual = fit(&config, &data, &device, &mut ());
            let what = format!("{device:?} {settings:?} {gradient}");
            assert_eq!(actual.steps, 12, "{what}");
            assert_close(&actual.history.train_loss, &losses, tolerance, &what);
            assert_close(&[actual.weight, actual.bias].concat(), &w, tolerance, &what);
        }
    }
}

/// Polyak, 1964, in the form of Sutskever et al., 2013, with dampening except at the first step.
fn heavy_ball(step: i32, [velocity, _]: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    *velocity = if step == 0 { g } else { 0.75 * *velocity + (1.0 - 0.25) * g };
    w - rate * *velocity
}

/// Nesterov momentum, with the gradient at the parameters before the step.
fn nesterov(step: i32, [velocity, _]: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    *velocity = if step == 0 { g } else { 0.75 * *velocity + g };
    w - rate * (g + 0.75 * *velocity)
}

/// Kingma and Ba, 2015, Algorithm 1.
fn adam_by([b1, b2, epsilon]: [f64; 3], step: i32, [first, second]: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    *first = b1 * *first + (1.0 - b1) * g;
    *second = b2 * *second + (1.0 - b2) * g * g;
    let [first, second] = [*first / (1.0 - b1.powi(step + 1)), *second / (1.0 - b2.powi(step + 1))];
    w - rate * first / (second.sqrt() + epsilon)
}

/// With constants that f32 represents exactly, because Burn stores them in f32.
fn adam(step: i32, memory: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    adam_by([0.5, 0.75, 0.0009765625], step, memory, w, g, rate)
}

fn adam_as_it_comes(step: i32, memory: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    adam_by([0.9, 0.999, 1e-5], step, memory, w, g, rate)
}

/// Loshchilov and Hutter, 2019, Algorithm 2. The learning rate multiplies both parts, as in
/// PyTorch.
fn adamw(step: i32, memory: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    adam(step, memory, w * (1.0 - rate * 0.125), g, rate)
}

/// Tieleman and Hinton, 2012, lecture 6.5, with momentum on the scaled gradient.
fn rmsprop(_: i32, [square, velocity]: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    *square = 0.75 * *square + 0.25 * g * g;
    *velocity = 0.5 * *velocity + g / (square.sqrt() + 0.0009765625);
    w - rate * *velocity
}

fn rmsprop_without_momentum(_: i32, [square, _]: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    *square = 0.75 * *square + 0.25 * g * g;
    w - rate * g / (square.sqrt() + 0.0009765625)
}

/// Duchi, Hazan and Singer, 2011, with diagonal matrices.
fn adagrad(_: i32, [sum, _]: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    *sum += g * g;
    w - rate * g / (sum.sqrt() + 0.0009765625)
}

#[test]
fn every_optimizer_follows_its_paper() {
    let epsilon = "descent.epsilon=0.0009765625";
    let betas = ["descent.beta_1=0.5", "descent.beta_2=0.75", epsilon];
    let momentum = ["descent.momentum=0.75", "descent.learning_rate=0.1"];
    assert_training_follows(
        |_, _, w, g, rate| w - rate * g,
        &["descent.optimizer=sgd", "descent.learning_rate=0.1"],
        1e-11,
    );
    assert_training_follows(
        |_, _, w, g, rate| w - rate * g,
        &["descent.momentum=0", "descent.learning_rate=0.1"],
        1e-11,
    );
    assert_training_follows(heavy_ball, &[&momentum[..], &["descent.dampening=0.25"]].concat(), 1e-11);
    assert_training_follows(
        nesterov,
        &[&momentum[..], &["descent.dampening=0", "descent.nesterov=true"]].concat(),
        1e-11,
    );
    // Burn computes the powers of beta in f32.
    assert_training_follows(adam, &[&["descent.optimizer=adam"], &betas[..]].concat(), 1e-5);
    assert_training_follows(adam_as_it_comes, &["descent.optimizer=adam"], 1e-4);
    let decay = ["descent.optimizer=adamw", "descent.decoupled_weight_decay=0.125", "descent.learning_rate=0.25"];
    assert_training_follows(adamw, &[&decay[..], &betas].concat(), 1e-5);
    let alpha = ["descent.optimizer=rmsprop", "descent.alpha=0.75", epsilon];
    assert_training_follows(rmsprop, &[&alpha[..], &["descent.momentum=0.5"]].concat(), 1e-6);
    assert_training_follows(rmsprop_without_momentum, &[&alpha[..], &["descent.momentum=0"]].concat(), 1e-6);
    assert_training_follows(adagrad, &["descent.optimizer=adagrad", epsilon], 1e-6);
}

#[test]
fn optimizer_defaults_are_burns() {
    let update = |text: &str| experiment("softmax.toml", &[text]).descent().update_rule();
    let near = |ours: f64, burns: f32| assert_eq!(ours as f32, burns);
    let UpdateRule::Adam { beta_1, beta_2, epsilon } = update("descent.optimizer=adam") else { panic!("not Adam") };
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap() as f32;
    let burns = json(&AdamConfig::new());
    near(beta_1, number(&burns, "beta_1"));
    near(beta_2, number(&burns, "beta_2"));
    near(epsilon, number(&burns, "epsilon"));
    let UpdateRule::AdamW { beta_1, beta_2, epsilon, decoupled_weight_decay } = update("descent.optimizer=adamw")
    else {
        panic!("not AdamW")
    };
    let burns = json(&AdamWConfig::new());
    near(beta_1, number(&burns, "beta_1"));
    near(beta_2, number(&burns, "beta_2"));
    near(epsilon, number(&burns, "epsilon"));
    near(decoupled_weight_decay, number(&burns, "weight_decay"));
    let UpdateRule::RmsProp { alpha, momentum, epsilon } = update("descent.optimizer=rmsprop") else {
        panic!("not RMSprop")
    };
    let burns = json(&RmsPropConfig::new());
    near(alpha, number(&burns, "alpha"));
    near(momentum, number(&burns, "momentum"));
    near(epsilon, number(&burns, "epsilon"));
    let UpdateRule::AdaGrad { epsilon } = update("descent.optimizer=adagrad") else { panic!("not AdaGrad") };
    near(epsilon, number(&json(&AdaGradConfig::new()), "epsilon"));
    let UpdateRule::Momentum { dampening, nesterov, .. } = update("descent.momentum=0.9") else {
        panic!("no momentum")
    };
    let burns = MomentumConfig::new();
    assert_eq!((dampening, nesterov), (burns.dampening, burns.nesterov));
}

/// Returns one of Burn's configs as JSON.
fn json(config: &impl serde::Serialize) -> Value {
    serde_json::to_value(config).unwrap()
}

#[test]
fn schedules_follow_their_formulas() {
    let data = digits(160, 40);
    let ([rows, _], classes) = data.select(None, None, None).unwrap();
    let mut order = BatchOrder::new(Shuffle::ChaCha { seed: 3 });
    let epochs: Vec<_> = (0..4).map(|_| order.next_epoch(rows.len())).collect();
    // Four epochs of five steps.
    type Rate = fn(usize) -> f64;
    let schedules: [(&[&str], Rate); 6] = [
        (&["descent.schedule=constant"], |_| 0.25),
        (&["descent.schedule=linear"], |step| 0.25 * (1.0 - step as f64 / 20.0)),
        (&["descent.schedule=linear", "descent.final_learning_rate=0.75"], |step| 0.25 + 0.5 * step as f64 / 20.0),
        (&["descent.schedule=cosine", "descent.final_learning_rate=0.05"], |step| {
            0.05 + 0.5 * 0.2 * (1.0 + (PI * step as f64 / 20.0).cos())
        }),
        (&["descent.schedule=exponential", "descent.gamma=0.5"], |step| 0.25 * 0.5f64.powi((step / 5) as i32)),
        (&["descent.schedule=step", "descent.gamma=0.1", "descent.step_epochs=3"], |step| {
            if step < 15 { 0.25 } else { 0.025 }
        }),
    ];
    for (schedule, rate) in schedules {
        for gradient in ["closed-form", "autodiff", "fused"] {
            let more = ["descent.epochs=4", "descent.learning_rate=0.25", &format!("descent.gradient={gradient}")];
            let config = experiment("softmax.toml", &[&FAST_SETTINGS[..], schedule, &more].concat());
            let (losses, w) = by_plain_loops(&rows, classes.len(), &epochs, &config, plain(rate));
            for device in f64_devices() {
                let actual = fit(&config, &data, &device, &mut ());
                let what = format!("{device:?} {schedule:?} {gradient}");
                assert_close(&actual.history.train_loss, &losses, 1e-9, &what);
                assert_close(&[actual.weight, actual.bias].concat(), &w, 1e-9, &what);
            }
        }
    }
}

/// Computes the loss with class weights in plain loops: `(1/n) sum_i w_i loss_i` at `[W; b]`.
fn weighted_loss(rows: &Rows, w: &[f64], weights: &[f64]) -> f64 {
    let (d, k) = (rows.n_features(), weights.len());
    let features = features(rows);
    let loss = |row: usize| {
        let x = [&features[row * d..][..d], &[1.0]].concat();
        let z: Vec<f64> = (0..k).map(|class| (0..=d).map(|j| x[j] * w[j * k + class]).sum()).collect();
        let label = usize::from(rows.label(row));
        weights[label] * (z.iter().copied().map(f64::exp).sum::<f64>().ln() - z[label])
    };
    (0..rows.len()).map(loss).sum::<f64>() / rows.len() as f64
}

#[test]
fn class_weights_match_plain_loops() {
    let data = digits(160, 40);
    let ([rows, validation], classes) = data.select(None, None, None).unwrap();
    let mut order = BatchOrder::new(Shuffle::ChaCha { seed: 3 });
    let epochs: Vec<_> = (0..2).map(|_| order.next_epoch(rows.len())).collect();
    let each = "objective.class_weights=[0.1, 3, 1, 0.5, 2, 1, 1, 7, 0.25, 1]";
    // A class that is not named has weight 1.
    let named = "objective.class_weights={7 = 7, 8 = 0.25, 1 = 3, 0 = 0.1, 4 = 2, 3 = 0.5}";
    let all_ten = "data.classes=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]";
    for weights in ["objective.class_weights=balanced", each, named] {
        for gradient in ["closed-form", "autodiff", "auto"] {
            let gradient = format!("descent.gradient={gradient}");
            let more = ["descent.learning_rate=0.1", weights, &gradient, all_ten];
            let config = experiment("softmax.toml", &[&FAST_SETTINGS[..], &more].concat());
            let (losses, w) = by_plain_loops(&rows, classes.len(), &epochs, &config, plain(|_| 0.1));
            let weights = crate::training::weights(&rows, classes.len(), &config);
            for device in f64_devices() {
                let actual = fit(&config, &data, &device, &mut ());
                let what = format!("{device:?} {more:?}");
                assert_close(&actual.history.train_loss, &losses, 1e-11, &what);
                assert_close(&[actual.weight, actual.bias].concat(), &w, 1e-11, &what);
                // The balanced weights come from the training rows. They also apply to the
                // validation rows.
                let expected = [&rows, &validation].map(|rows| weighted_loss(rows, &w, &weights));
                let metrics = [actual.final_metrics.train_loss, actual.final_metrics.validation_loss];
                assert_close(&metrics, &expected, 1e-11, &what);
                let best = actual.history.evaluations.iter().map(|seen| seen.validation_loss).fold(f64::MAX, f64::min);
                assert_eq!(actual.best.unwrap().1, best);
                assert!((weighted_loss(&validation, &w, &[1.0; 10]) - expected[1]).abs() > 1e-4, "{what}");
            }
        }
    }
}

#[test]
fn class_weights_follow_the_order_of_classes() {
    let data = digits(160, 40);
    let train = |more: &[&str]| {
        let config = experiment("logistic.toml", &[&FAST_SETTINGS[..9], &["descent.batch_size=8"], more].concat());
        fit(&config, &data, &f64_devices()[0], &mut ())
    };
    let actual = train(&["data.classes=[2, 3]", "objective.class_weights={2 = 4, 3 = 0.5}"]);
    // Swapping the two classes gives the same model with the opposite sign.
    let turned = train(&["data.classes=[3, 2]", "objective.class_weights={2 = 4, 3 = 0.5}"]);
    let negative: Vec<f64> = turned.weight.iter().map(|w| -w).collect();
    assert_close(&actual.weight, &negative, 1e-11, "weights");
    let other = train(&["data.classes=[2, 3]", "objective.class_weights={3 = 4, 2 = 0.5}"]);
    assert!(actual.bias[0] > other.bias[0], "{} {}", actual.bias[0], other.bias[0]);
    // One key per class, as in --set and --grid.
    let one_by_one = ["objective.class_weights.2=4", "objective.class_weights.3=0.5"];
    assert_eq!(train(&[&["data.classes=[2, 3]"], &one_by_one[..]].concat()).weight, actual.weight);
}

#[test]
fn balanced_weights_match_scikit_learn() {
    let expected: Value = serde_json::from_str(include_str!("fixtures/sklearn_class_weights.json")).unwrap();
    let table = scikit_learn();
    let (rows, labels): (Vec<Vec<f64>>, Vec<u8>) =
        (matrix(&table["rows"]), serde_json::from_value(table["labels"].clone()).unwrap());
    let config = "[model]\nkind = 'softmax'\n[objective]\nclass_weights = 'balanced'\n";
    let config = TrainConfig::parse("test", config, &[]).unwrap();
    let l2 = L2 { strength: expected["lambda"].as_f64().unwrap(), penalize_bias: false };
    for fitted in expected["fits"].as_array().unwrap() {
        let classes: Vec<u8> = serde_json::from_value(fitted["classes"].clone()).unwrap();
        let position = |label: u8| classes.iter().position(|&class| class == label).map(|position| position as u16);
        let chosen = rows.iter().zip(&labels).filter_map(|(row, &label)| Some((row.clone(), position(label)?)));
        let (values, labels): (Vec<Vec<f64>>, Vec<u16>) = chosen.unzip();
        let n = labels.len();
        let weights = class_weights(&config, &classes, labels.iter().map(|&label| (label, 1.0))).unwrap().unwrap();
        let theirs: Vec<f64> = serde_json::from_value(fitted["class_weights"].clone()).unwrap();
        for (ours, their) in weights.iter().zip(&theirs) {
            assert!((ours / their - 1.0).abs() < 1e-15, "{weights:?} {theirs:?}");
        }

        let numbers = Rows::of_values(5, &values.concat(), labels.clone());
        let preprocessing = Preprocessing::Standardized(numbers.moments().unwrap());
        let features: Vec<f64> =
            values.concat().iter().enumerate().map(|(i, &raw)| preprocessing.value(i % 5, raw)).collect();
        let [w, b] = ["weight", "bias"].map(|name| match &fitted[name][0] {
            Value::Array(_) => matrix(&fitted[name]).concat(),
            _ => serde_json::from_value(fitted[name].clone()).unwrap(),
        });
        let their_loss = fitted["weighted_loss"].as_f64().unwrap();
        for device in f64_devices() {
            let tensor = |values: &[f64], shape| matrix_on(values, shape, &device, FloatDType::F64);
            let (x, weight, bias) =
                (tensor(&features, [n, 5]), tensor(&w, [5, b.len()]), vector(&b, &device, FloatDType::F64));
            let labels: Vec<i32> = labels.iter().copied().map(i32::from).collect();
            let y = Tensor::<1, Int>::from_data(TensorData::new(labels, [n]), &device);
            let weights = vector(&weights, &device, FloatDType::F64);
            let actual = |targets: Targets| {
                let (x, weight, bias) = (x.clone(), weight.clone(), bias.clone());
                if classes.len() == 2 {
                    let mut model = to_precision(LogisticRegressionConfig::new(5).init(&device), FloatDType::F64);
                    model.linear = with_parameters(model.linear, weight, bias);
                    return closed_form(&model, x, targets, l2);
                }
                let mut model = to_precision(SoftmaxRegressionConfig::new(5, 3).init(&device), FloatDType::F64);
                model.linear = with_parameters(model.linear, weight, bias);
                closed_form(&model, x, targets, l2)
            };
            let steepest = |gradient: Gradient| {
                let all = [values_of(gradient.weight), values_of(gradient.bias)].concat();
                all.iter().fold(0.0, |most: f64, g| most.max(g.abs()))
            };
            // J is flat at scikit-learn's result. Without the weights it is not.
            let weighted = actual(Targets::with_class_weights(y.clone(), weights));
            assert!((weighted.cross_entropy.into_scalar::<f64>() / their_loss - 1.0).abs() < 1e-12, "{classes:?}");
            let slope = steepest(weighted.gradient);
            assert!(slope < 1e-10, "{classes:?}: {slope:e}");
            assert!(steepest(actual(y.into()).gradient) > 1e-3, "{classes:?}");
        }
    }
}

/// Returns a table with a rare class.
fn rare() -> String {
    // All rows of the first class, and few of the others.
    let labels: Vec<u64> = serde_json::from_value(scikit_learn()["labels"].clone()).unwrap();
    let mut others = 0;
    flowers(
        (0..120).filter(|&row| {
            others += usize::from(labels[row] != 0);
            labels[row] == 0 || others % 4 == 0
        }),
        4,
    )
}

/// Common settings of the runs on the flowers with a rare class.
const ON_RARE: [&str; 10] = [
    ON_FLOWERS[0],
    ON_FLOWERS[1],
    ON_FLOWERS[2],
    ON_FLOWERS[3],
    "--set",
    "data.standardize=true",
    "--set",
    "descent.learning_rate=0.5",
    "--precision",
    "f64",
];

const BALANCED: [&str; 2] = ["--set", "objective.class_weights=balanced"];

fn with_rare_flowers() -> TempDir {
    let folder = folder();
    std::fs::write(folder.path().join("flowers.csv"), rare()).unwrap();
    folder
}

/// Returns the sum of the recalls of the classes, from the output of `evaluate`.
fn recalls(scores: &Value) -> f64 {
    scores["per_class"].as_array().unwrap().iter().map(|class| class["recall"].as_f64().unwrap()).sum()
}

#[test]
fn balanced_weights_raise_the_recalls() {
    let folder = with_rare_flowers();
    let plain = train_table(folder.path(), &ON_RARE);
    assert_eq!(plain["class_weights"], Value::Null);
    let before = ask(folder.path(), &["evaluate", "run", "--split", "train"]);
    assert_eq!(before["weighted_loss"], Value::Null);
    train_table(folder.path(), &[&ON_RARE[..], &BALANCED, &["--force"]].concat());
    let after = ask(folder.path(), &["evaluate", "run", "--split", "train"]);
    assert!(recalls(&after) > recalls(&before), "{after} {before}");
}

#[test]
fn evaluate_reports_weighted_and_unweighted_loss() {
    let folder = with_rare_flowers();
    let folder = folder.path();
    let summary = train_table(folder, &[&ON_RARE[..], &BALANCED].concat());
    assert_eq!(summary["gradient"], "fused");
    let weights: Vec<f64> = serde_json::from_value(summary["class_weights"].clone()).unwrap();
    assert!(weights.len() == 3 && weights[0] < 0.6 && weights[1..].iter().all(|&weight| weight > 1.0), "{weights:?}");
    for (split, loss) in [("train", "train_loss"), ("validation", "validation_loss")] {
        let actual = ask(folder, &["evaluate", "run", "--split", split]);
        let expected = summary["final"][loss].as_f64().unwrap();
        let ratio = actual["weighted_loss"].as_f64().unwrap() / expected;
        assert!((ratio - 1.0).abs() < 1e-12, "{ratio}: {actual}");
        assert!((actual["loss"].as_f64().unwrap() / expected - 1.0).abs() > 1e-3, "{actual}");
        // The means per class, recombined.
        let rows: Vec<u64> =
            actual["per_class"].as_array().unwrap().iter().map(|class| class["rows"].as_u64().unwrap()).collect();
        let n = rows.iter().sum::<u64>() as f64;
        let balance: f64 = rows.iter().zip(&weights).map(|(&rows, weight)| rows as f64 * weight / n).sum();
        assert!(split == "validation" || (balance - 1.0).abs() < 1e-12, "{balance}");
    }
    let shown = text(&call(folder, &["evaluate", "run"]).stdout);
    assert!(shown.contains("weighted loss") && shown.contains("with the run's class weights"), "{shown}");
}

const TRAIN_AGAIN: [&str; 6] = ["train", "configs/softmax.toml", "--set", "descent.batch_size=16", "--out", "again"];

#[test]
fn training_prints_its_class_weights() {
    let folder = with_rare_flowers();
    let output = call(folder.path(), &[&TRAIN_AGAIN[..], &["--backend", cpu()], &ON_RARE, &BALANCED].concat());
    let (stderr, stdout) = (text(&output.stderr), text(&output.stdout));
    assert!(
        stderr.contains("class weights: iris: 0.") && stdout.contains("class weights    iris: 0."),
        "{stderr}{stdout}"
    );
    assert!(stdout.contains("weighted loss"), "{stdout}");
}

#[test]
fn class_weights_are_matched_by_name() {
    let folder = with_rare_flowers();
    let named = ["--set", "objective.class_weights={rose = 25, \"lily, white\" = 2}", "--json"];
    let output = call(folder.path(), &[&TRAIN_AGAIN[..], &["--backend", cpu()], &ON_RARE, &named].concat());
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["class_weights"], serde_json::json!([1.0, 2.0, 25.0]), "{}", text(&output.stderr));
    let kept = TrainConfig::read(&folder.path().join("again/config.toml"), &[]).unwrap();
    assert_eq!(TrainConfig::parse("kept", &kept.to_toml(), &[]).unwrap(), kept);
}

#[test]
fn class_weights_of_unknown_classes_are_refused() {
    let folder = with_rare_flowers();
    for (weights, expected) in [
        ("[1, 2]", &["objective.class_weights: 2 numbers", "the data has 3 classes", "iris, lily, white, rose"][..]),
        ("{Rose = 25}", &["no class Rose; the data has iris, lily, white, rose"]),
    ] {
        let set = format!("objective.class_weights={weights}");
        let arguments = [&TRAIN_AGAIN[..], &["--backend", cpu()], &ON_RARE, &["--set", &set]].concat();
        is_refused(folder.path(), &arguments, expected);
    }
}

#[test]
fn a_summary_without_its_class_weights_is_refused() {
    let folder = with_rare_flowers();
    let folder = folder.path();
    train_table(folder, &[&ON_RARE[..], &BALANCED].concat());
    let path = folder.join("run/summary.json");
    let mut changed: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    changed.as_object_mut().unwrap().remove("class_weights").unwrap();
    std::fs::write(&path, changed.to_string()).unwrap();
    seal_again(&folder.join("run"));
    is_refused(folder, &["evaluate", "run"], &["summary.json", "class_weights"]);
}

#[test]
fn the_drawing_page_says_its_step_is_unweighted() {
    let folder = folder();
    let folder = folder.path();
    let short = ["--set", "data.train_images=300", "--set", "data.validation_images=100", "--set", "descent.epochs=1"];
    let train = ["train", "configs/logistic.toml", "--data", "embedded", "--backend", cpu(), "--quiet", "--out"];
    let weights = ["--set", "objective.class_weights={2 = 0.5, 3 = 4}", "--set", "descent.batch_size=8"];
    for (out, more) in [("plain", &weights[2..]), ("weighted", &weights[..])] {
        assert_eq!(code(&call(folder, &[&train[..], &[out], &short, more].concat())), Some(0));
        assert_eq!(code(&call(folder, &["page", out])), Some(0));
        let page = std::fs::read_to_string(folder.join(out).with_extension("html")).unwrap();
        assert_eq!(page.contains("by the weight of its class: 3 4.000, 2 0.500."), out == "weighted", "{out}");
        assert_eq!(
            page.contains("This page computes costs and steps without class weights"),
            out == "weighted",
            "{out}"
        );
    }
}
