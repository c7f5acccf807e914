//! The training loop on digits drawn by code.

use std::ops::ControlFlow;

use chainrule_core::{ClassWeights, Evaluation, Precision, Preprocessing, TrainConfig};
use chainrule_data::{BatchOrder, Rows, Shuffle, pixel_value};
use chainrule_engines::{Examples, Expansion, train_model_by_tensors};
use chainrule_solve::{Ending, Observer};
use chainrule_tests_macros::test;

use crate::support::{self, Fit, assert_close, device, devices, digits, experiment, f64_devices, fit};

/// A few epochs on a thousand digits.
const FAST_SETTINGS: [&str; 4] =
    ["data.train_images=1000", "data.validation_images=500", "descent.epochs=6", "descent.learning_rate=0.02"];

fn with(more: &[&'static str]) -> Vec<&'static str> {
    [&FAST_SETTINGS, more].concat()
}

#[test]
fn closed_form_and_autodiff_train_alike() {
    let data = digits(1000, 500);
    for device in f64_devices() {
        for (config, l2) in [
            ("softmax.toml", "objective.l2=0.0"),
            ("softmax.toml", "objective.l2=0.1"),
            ("logistic.toml", "objective.l2=0.0"),
            ("logistic-shuffled.toml", "objective.l2=0.1"),
        ] {
            let walk = |gradient| {
                let small_batch = "descent.batch_size=32";
                let config = experiment(config, &with(&["descent.precision=f64", small_batch, l2, gradient]));
                fit(&config, &data, &device, &mut ())
            };
            let (by_hand, by_burn) = (walk("descent.gradient=closed-form"), walk("descent.gradient=autodiff"));
            assert_eq!(by_hand.steps, by_burn.steps);
            assert!(by_hand.history.evaluations.len() >= 20);
            for (a, b) in by_hand.history.evaluations.iter().zip(&by_burn.history.evaluations) {
                assert!((a.validation_loss - b.validation_loss).abs() < 1e-9, "{config} {l2}: {a:?} {b:?}");
                assert_eq!((a.step, a.epoch, a.validation_accuracy), (b.step, b.epoch, b.validation_accuracy));
            }
            assert_close(&by_hand.weight, &by_burn.weight, 1e-9, "weights");
            assert_close(&by_hand.bias, &by_burn.bias, 1e-9, "bias");
        }
    }
}

/// Trains softmax regression in plain loops, by the formulas of the derivation. Returns each
/// batch's loss before its update, and the final `[W; b]`. `update` gets the step, the batch's size
/// as a fraction of a whole batch, `[W; b]` and its gradient.
pub(crate) fn by_plain_loops(
    rows: &Rows,
    k: usize,
    epochs: &[Vec<usize>],
    config: &TrainConfig,
    mut update: impl FnMut(usize, f64, &mut [f64], &[f64]),
) -> (Vec<f64>, Vec<f64>) {
    let (descent, objective, d) = (config.descent(), config.objective(), rows.n_features());
    let features = support::features(rows);
    let weights = weights(rows, k, config);
    let mut w = vec![0.0; (d + 1) * k];
    let mut losses = Vec::new();
    let is_taken = |batch: &&[usize]| !descent.drop_last || batch.len() == descent.batch_size;
    for batch in epochs.iter().flat_map(|order| order.chunks(descent.batch_size)).filter(is_taken) {
        let n = batch.len() as f64;
        let penalised = if objective.penalize_bias { w.len() } else { d * k };
        let mut gradient: Vec<f64> = w[..penalised].iter().map(|w| objective.l2 * w).collect();
        gradient.resize(w.len(), 0.0);
        let mut loss = 0.0;
        for &row in batch {
            // The bias is the weight of a feature that is always 1.
            let x = [&features[row * d..][..d], &[1.0]].concat();
            let z: Vec<f64> = (0..k).map(|class| (0..=d).map(|j| x[j] * w[j * k + class]).sum()).collect();
            let sum: f64 = z.iter().copied().map(f64::exp).sum();
            let label = usize::from(rows.label(row));
            loss += weights[label] * (sum.ln() - z[label]) / n;
            for (class, z) in z.iter().enumerate() {
                let residual = weights[label] * (z.exp() / sum - f64::from(u8::from(class == label)));
                (0..=d).for_each(|j| gradient[j * k + class] += residual * x[j] / n);
            }
        }
        update(losses.len(), n / descent.batch_size.min(rows.len()) as f64, &mut w, &gradient);
        losses.push(loss);
    }
    (losses, w)
}

/// Returns the weight of each class.
pub(crate) fn weights(rows: &Rows, k: usize, config: &TrainConfig) -> Vec<f64> {
    let in_class = |class: usize| rows.labels().iter().filter(|&&label| usize::from(label) == class).count();
    match &config.objective().class_weights {
        None => vec![1.0; k],
        Some(ClassWeights::PerClass(weights)) => weights.clone(),
        Some(ClassWeights::Named(weights)) => {
            (0..k).map(|class| weights.get(&class.to_string()).copied().unwrap_or(1.0)).collect()
        }
        Some(ClassWeights::Balanced) => (0..k).map(|class| rows.len() as f64 / (k * in_class(class)) as f64).collect(),
    }
}

/// Returns the update of plain gradient descent. `rate` is the learning rate of each step for a
/// whole batch.
pub(crate) fn plain(rate: impl Fn(usize) -> f64) -> impl FnMut(usize, f64, &mut [f64], &[f64]) {
    move |step, share, w, gradient| w.iter_mut().zip(gradient).for_each(|(w, g)| *w -= share * rate(step) * g)
}

#[test]
fn every_gradient_source_matches_plain_loops() {
    let data = digits(330, 50);
    let ([rows, _], classes) = data.select(None, None, None).unwrap();
    let shuffles = [
        ("descent.shuffle.generator=none", Shuffle::None),
        ("descent.shuffle.generator=numpy-legacy", Shuffle::NumpyLegacy { seed: 3 }),
        ("descent.shuffle.generator=chacha", Shuffle::ChaCha { seed: 3 }),
    ];
    for (generator, shuffle) in shuffles {
        let mut order = BatchOrder::new(shuffle);
        let epochs: Vec<_> = (0..5).map(|_| order.next_epoch(rows.len())).collect();
        for (penalize_bias, drop_last) in [
            ("objective.penalize_bias=true", "descent.drop_last=true"),
            ("objective.penalize_bias=false", "descent.drop_last=false"),
        ] {
            for gradient in ["closed-form", "autodiff", "fused"] {
                let gradient = format!("descent.gradient={gradient}");
                // 330 rows are five batches of 64 and ten more rows. The ten are dropped or form
                // their own batch.
                let config = [
                    "data.train_images=330",
                    "data.validation_images=50",
                    "descent.batch_size=64",
                    "descent.epochs=3",
                    "descent.precision=f64",
                    "descent.shuffle.seed=3",
                    "descent.shuffle.skip_epochs=2",
                    "objective.l2=0.5",
                    generator,
                    penalize_bias,
                    drop_last,
                    &gradient,
                ];
                let config = experiment("softmax.toml", &config);
                let rate = config.descent().learning_rate;
                let (losses, w) = by_plain_loops(&rows, classes.len(), &epochs[2..], &config, plain(|_| rate));
                for device in f64_devices() {
                    let actual = fit(&config, &data, &device, &mut ());
                    let what = format!("{device:?} {generator} {penalize_bias} {drop_last} {gradient}");
                    assert_close(&actual.history.train_loss, &losses, 1e-11, &what);
                    assert_close(&[actual.weight, actual.bias].concat(), &w, 1e-11, &what);
                }
            }
        }
    }
}

#[test]
fn training_learns_alike_on_every_backend() {
    let data = digits(1000, 500);
    let config = experiment("softmax.toml", &FAST_SETTINGS);
    let fits: Vec<_> = devices().iter().map(|device| fit(&config, &data, device, &mut ())).collect();
    for fit in &fits {
        assert_eq!((fit.ending, fit.steps), (Ending::Completed, 42));
        assert!(fit.final_metrics.validation_accuracy > 0.6, "{:?}", fit.final_metrics);
        assert!(fit.history.train_loss[41] < 0.7 * fit.history.train_loss[0]);
        assert_close(&fit.history.train_loss, &fits[0].history.train_loss, 1e-5, "training losses");
        assert_close(&fit.weight, &fits[0].weight, 1e-4, "weights");
    }
}

#[test]
fn softmax_reaches_85_to_95_percent_on_embedded_digits() {
    let data = digits(20_000, 10_000);
    let config = experiment("softmax.toml", &["descent.epochs=20", "early_stopping.evaluations_per_epoch=1"]);
    let accuracy = fit(&config, &data, &device(), &mut ()).final_metrics.validation_accuracy;
    assert!((0.85..0.95).contains(&accuracy), "{accuracy}");
}

#[test]
fn the_first_logged_loss_is_that_of_zero_weights() {
    let data = digits(1000, 500);
    for (config, classes) in [("softmax.toml", 10.0f64), ("logistic.toml", 2.0)] {
        let small = with(&["descent.batch_size=50", "descent.epochs=1"]);
        let history = fit(&experiment(config, &small), &data, &device(), &mut ()).history;
        assert!((history.train_loss[0] - classes.ln()).abs() < 5e-6, "{config}: {}", history.train_loss[0]);
    }
}

#[test]
fn evaluations_follow_the_protocol() {
    let data = digits(1000, 500);
    // 1000 / 64 = 15 steps per epoch, and the last 40 rows are dropped. 15 / 4 gives an evaluation
    // every third step, without a reset at the epoch.
    let config = experiment(
        "softmax.toml",
        &with(&["descent.batch_size=64", "descent.epochs=2", "early_stopping.evaluations_per_epoch=4"]),
    );
    let fit = fit(&config, &data, &device(), &mut ());
    assert_eq!((fit.steps, fit.history.train_loss.len()), (30, 30));
    let at: Vec<_> = fit.history.evaluations.iter().map(|evaluation| (evaluation.step, evaluation.epoch)).collect();
    assert_eq!(at, [(0, 0), (3, 0), (6, 0), (9, 0), (12, 0), (15, 1), (18, 1), (21, 1), (24, 1), (27, 1)]);
    // With the last 40 rows there are 16 steps, and an evaluation every fourth.
    let whole = ["descent.batch_size=64", "descent.epochs=2", "early_stopping.evaluations_per_epoch=4"];
    let config = experiment("softmax.toml", &with(&[&whole[..], &["descent.drop_last=false"]].concat()));
    let fit = support::fit(&config, &data, &device(), &mut ());
    assert_eq!((fit.steps, fit.history.train_loss.len()), (32, 32));
    let at: Vec<_> = fit.history.evaluations.iter().map(|evaluation| (evaluation.step, evaluation.epoch)).collect();
    assert_eq!(at, [(0, 0), (4, 0), (8, 0), (12, 0), (16, 1), (20, 1), (24, 1), (28, 1)]);
}

/// Sixteen rows of one class, then four of another, in file order and in batches of sixteen.
#[test]
fn training_learns_from_a_sorted_file() {
    let values: Vec<f64> = (0..20).map(|i| if i < 16 { -1.0 } else { 1.0 }).collect();
    let rows = Rows::of_values(1, &values, (0..20).map(|i| u16::from(i >= 16)).collect());
    let rows = Examples::new(rows, &Preprocessing::Raw, Precision::F32, &device(), Expansion::Host).unwrap();
    let accuracy = |drop_last: &str| {
        let set = ["descent.batch_size=16", "descent.shuffle.generator=none", "descent.learning_rate=0.5", drop_last];
        let config = experiment("softmax.toml", &set);
        let trained = train_model_by_tensors(2, &rows, &rows, &config, &mut ()).unwrap();
        (trained.steps_per_epoch, trained.final_metrics.train_accuracy)
    };
    assert_eq!(accuracy("descent.drop_last=false"), (2, 1.0));
    assert_eq!(accuracy("descent.drop_last=true"), (1, 0.8));
}

#[test]
fn more_evaluations_than_steps_evaluate_every_step() {
    let config = experiment(
        "softmax.toml",
        &with(&["descent.batch_size=500", "descent.epochs=2", "early_stopping.evaluations_per_epoch=9"]),
    );
    assert_eq!(fit(&config, &digits(1000, 500), &device(), &mut ()).history.evaluations.len(), 4);
}

#[test]
fn early_stopping_can_restore_the_best_weights() {
    let data = digits(1000, 500);
    // With a far too large learning rate the training overshoots within a few steps.
    let hasty = ["descent.learning_rate=0.5", "descent.epochs=40", "early_stopping.patience=3"];
    let last = fit(&experiment("softmax.toml", &with(&hasty)), &data, &device(), &mut ());
    let best = fit(
        &experiment("softmax.toml", &with(&[&hasty[..], &["early_stopping.restore_best=true"]].concat())),
        &data,
        &device(),
        &mut (),
    );
    assert_eq!((last.ending, best.ending), (Ending::StoppedEarly, Ending::StoppedEarly));
    let (step, loss) = last.best.unwrap();
    let evaluations = &last.history.evaluations;
    assert_eq!(evaluations[evaluations.len() - 4].step, step, "three misses after the best");
    assert_eq!(evaluations.last().unwrap().step, last.steps - 1);
    assert_eq!(last.final_metrics.validation_loss, evaluations.last().unwrap().validation_loss);
    assert_eq!(best.final_metrics.validation_loss, loss);
    assert!(last.final_metrics.validation_loss > loss);
}

#[test]
fn the_last_step_can_be_the_best() {
    let data = digits(1000, 500);
    // 31 steps per epoch and one evaluation, at the first step. The result of the last 30 steps
    // would not be evaluated.
    let common = ["descent.batch_size=32", "descent.epochs=2", "early_stopping.evaluations_per_epoch=1"];
    for gradient in ["descent.gradient=closed-form", "descent.gradient=autodiff", "descent.gradient=fused"] {
        let train = |more: &[&'static str], observer: &mut dyn Observer| {
            let more = [&common[..], &[gradient], more].concat();
            fit(&experiment("softmax.toml", &with(&more)), &data, &device(), observer)
        };
        let steps = |fit: &Fit| fit.history.evaluations.iter().map(|evaluation| evaluation.step).collect::<Vec<_>>();
        let last = train(&[], &mut ());
        assert_eq!((last.steps, steps(&last)), (62, vec![0, 31]), "{gradient}");
        let best = train(&["early_stopping.restore_best=true"], &mut ());
        assert_eq!((best.ending, steps(&best)), (Ending::Completed, vec![0, 31, 61]), "{gradient}");
        assert_eq!((best.best.unwrap().0, best.history.evaluations[2].epoch), (61, 1), "{gradient}");
        assert_eq!(best.weight, last.weight, "the last weights are the best: {gradient}");
        assert_eq!(best.final_metrics.validation_loss, best.best.unwrap().1, "{gradient}");

        // A worse loss at the end does not change the ending, and the better weights are kept.
        let hasty = ["descent.learning_rate=0.9", "early_stopping.restore_best=true", "early_stopping.patience=1"];
        let worse = train(&[&hasty[..], &["descent.epochs=1"]].concat(), &mut ());
        assert_eq!((worse.ending, steps(&worse)), (Ending::Completed, vec![0, 30]), "{gradient}");
        let [first, end] = [0, 1].map(|i| worse.history.evaluations[i].validation_loss);
        assert_eq!(worse.final_metrics.validation_loss, first.min(end), "{gradient}: {first} {end}");

        // The end is evaluated once, wherever it is.
        let mut observer = StopAfter { steps: 9, evaluated: Vec::new() };
        let cut = train(&["early_stopping.restore_best=true"], &mut observer);
        assert_eq!((cut.ending, observer.evaluated), (Ending::Interrupted, vec![0, 8]), "{gradient}");
        assert_eq!(cut.final_metrics.validation_loss, cut.best.unwrap().1, "{gradient}");
        let on_the_grid = ["early_stopping.restore_best=true", "early_stopping.evaluations_per_epoch=31"];
        assert_eq!(steps(&train(&on_the_grid, &mut ())), (0..62).collect::<Vec<_>>(), "{gradient}");
    }
}

#[test]
fn divergence_ends_training_and_keeps_the_history() {
    let data = digits(1000, 500);
    for (gradient, l2) in [("descent.gradient=closed-form", 1e6), ("descent.gradient=autodiff", 1e6)] {
        let l2 = format!("objective.l2={l2}");
        let mut overrides = with(&["descent.learning_rate=1000", gradient]);
        overrides.push(&l2);
        let fit = fit(&experiment("softmax.toml", &overrides), &data, &device(), &mut ());
        let Ending::Diverged { step } = fit.ending else { panic!("{:?}", fit.ending) };
        assert!((1..20).contains(&step), "{step}");
        assert!(fit.history.train_loss.len() <= step + 1, "the step's own loss may still be finite");
        assert!(fit.history.train_loss.iter().all(|loss| loss.is_finite()));
        assert!(fit.history.evaluations.iter().all(|evaluation| evaluation.validation_loss.is_finite()));
        assert!(!fit.history.train_loss.is_empty());
    }
}

#[test]
fn divergence_in_the_last_step_is_detected() {
    let data = digits(1000, 500);
    let reckless = |rows: usize| {
        let rows = format!("data.train_images={rows}");
        let config = [
            &rows,
            "data.validation_images=500",
            "descent.shuffle.generator=none",
            "descent.batch_size=100",
            "descent.epochs=1",
            "descent.learning_rate=1000",
            "objective.l2=1e6",
            // Only after the first step.
            "early_stopping.evaluations_per_epoch=1",
        ];
        fit(&experiment("softmax.toml", &config), &data, &device(), &mut ())
    };
    let Ending::Diverged { step } = reckless(1000).ending else { panic!("this diverges") };
    // Without that step all losses of steps and evaluations are finite, but the loss at the final
    // weights is not.
    let actual = reckless(100 * step);
    assert_eq!((actual.ending, actual.steps), (Ending::Diverged { step: step - 1 }, step));
    assert_eq!((actual.history.train_loss.len(), actual.history.evaluations.len()), (step, 1));
}

#[test]
fn the_first_logistic_class_is_positive() {
    let data = digits(1000, 500);
    for classes in [[2, 3], [3, 2]] {
        let named = format!("data.classes={classes:?}");
        let mut config = with(&["descent.batch_size=32"]);
        config.push(&named);
        let Fit { weight, bias, .. } = fit(&experiment("logistic.toml", &config), &data, &device(), &mut ());
        let labelled = &data.train;
        let rows = |label: u8| (0..1000).filter(move |&row| labelled.labels()[row] == label);
        let logit = |row: usize| {
            let x = data.train.pixels(row).iter().map(|&pixel| pixel_value(pixel));
            bias[0] + x.zip(&weight).map(|(x, w)| x * w).sum::<f64>()
        };
        let positive = |label| rows(label).filter(|&row| logit(row) > 0.0).count() as f64 / rows(label).count() as f64;
        let [first, second] = classes.map(positive);
        assert!(first > 0.5 && second < 0.5, "{classes:?}: {first} {second}");
    }
}

/// Ends the training after this number of steps.
struct StopAfter {
    steps: usize,
    evaluated: Vec<usize>,
}

impl Observer for StopAfter {
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        if step + 1 == self.steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation) -> ControlFlow<()> {
        self.evaluated.push(evaluation.step);
        ControlFlow::Continue(())
    }
}

#[test]
fn an_observer_gets_evaluations_and_can_stop_training() {
    let data = digits(1000, 500);
    let mut observer = StopAfter { steps: 9, evaluated: Vec::new() };
    let fit = fit(&experiment("softmax.toml", &FAST_SETTINGS), &data, &device(), &mut observer);
    assert_eq!((fit.ending, fit.steps, fit.history.train_loss.len()), (Ending::Interrupted, 9, 9));
    assert_eq!(observer.evaluated, (0..9).collect::<Vec<_>>());
    assert!(fit.final_metrics.validation_loss.is_finite());
}

#[test]
fn the_same_config_and_seed_give_the_same_bits() {
    let data = digits(1000, 500);
    let config = experiment("softmax.toml", &with(&["descent.shuffle.generator=chacha"]));
    let other = experiment("softmax.toml", &with(&["descent.shuffle.generator=chacha", "descent.shuffle.seed=1"]));
    let device = device();
    let (one, two, other) = (
        fit(&config, &data, &device, &mut ()),
        fit(&config, &data, &device, &mut ()),
        fit(&other, &data, &device, &mut ()),
    );
    assert_eq!((&one.weight, &one.history), (&two.weight, &two.history));
    assert_ne!(one.weight, other.weight);
}
