//! Burn's optimizers against their papers' formulas, schedules against theirs, by every engine.

use std::f64::consts::PI;

use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdaGradConfig, AdamConfig, AdamWConfig, RmsPropConfig};
use chainrule_data::{BatchOrder, Shuffle};
use chainrule_records::{GradientSource, TrainConfig, Update};

use crate::support::{assert_close, digits, experiment, f64_devices, fit};
use crate::training::{by_plain_loops, plain};

/// Two epochs of five batches, in f64.
const SMALL: [&str; 10] = [
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

/// An optimizer's formula: step from 0, what it remembers (two numbers a parameter), and a parameter's gradient, to the parameter after it.
type Rule = fn(i32, &mut [f64; 2], f64, f64, f64) -> f64;

/// The training of this config is the rule's, in plain loops.
fn goes_by(rule: Rule, settings: &[&str], tolerance: f64) {
    let data = digits(160, 40);
    let ([rows, _], classes) = data.split(None, None, None).unwrap();
    let mut order = BatchOrder::new(Shuffle::ChaCha { seed: 3 });
    let epochs: Vec<_> = (0..2).map(|_| order.next_epoch(rows.len())).collect();
    for gradient in ["closed-form", "autodiff"] {
        let gradient = format!("descent.gradient={gradient}");
        let config = experiment("softmax.toml", &[&SMALL[..], settings, &[&gradient]].concat());
        let rate = config.descent().learning_rate;
        let mut memory = vec![[0.0; 2]; (rows.n_features() + 1) * classes.len()];
        let (losses, w) = by_plain_loops(&rows, classes.len(), &epochs, &config, |step, w, gradient| {
            for ((w, g), memory) in w.iter_mut().zip(gradient).zip(&mut memory) {
                *w = rule(step as i32, memory, *w, *g, rate);
            }
        });
        for device in f64_devices() {
            let found = fit(&config, &data, &device, &mut ());
            let what = format!("{device:?} {settings:?} {gradient}");
            assert_eq!(found.steps, 10, "{what}");
            assert_close(&found.history.train_loss, &losses, tolerance, &what);
            assert_close(&[found.weight, found.bias].concat(), &w, tolerance, &what);
        }
    }
}

/// Polyak, 1964, as Sutskever et al., 2013, write it, with a gradient that is damped but for the first.
fn heavy_ball(step: i32, [velocity, _]: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    *velocity = if step == 0 { g } else { 0.75 * *velocity + (1.0 - 0.25) * g };
    w - rate * *velocity
}

/// Nesterov's, with the gradient taken where the step begins.
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

/// With numbers that f32, in which Burn keeps them, has exactly.
fn adam(step: i32, memory: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    adam_by([0.5, 0.75, 0.0009765625], step, memory, w, g, rate)
}

fn adam_as_it_comes(step: i32, memory: &mut [f64; 2], w: f64, g: f64, rate: f64) -> f64 {
    adam_by([0.9, 0.999, 1e-5], step, memory, w, g, rate)
}

/// Loshchilov and Hutter, 2019, Algorithm 2, with the learning rate as the schedule multiplier of both parts, as PyTorch has it.
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
fn every_optimizer_goes_by_the_formula_of_its_paper() {
    let epsilon = "descent.epsilon=0.0009765625";
    let betas = ["descent.beta_1=0.5", "descent.beta_2=0.75", epsilon];
    let momentum = ["descent.momentum=0.75", "descent.learning_rate=0.1"];
    goes_by(|_, _, w, g, rate| w - rate * g, &["descent.optimizer=sgd", "descent.learning_rate=0.1"], 1e-11);
    goes_by(|_, _, w, g, rate| w - rate * g, &["descent.momentum=0", "descent.learning_rate=0.1"], 1e-11);
    goes_by(heavy_ball, &[&momentum[..], &["descent.dampening=0.25"]].concat(), 1e-11);
    goes_by(nesterov, &[&momentum[..], &["descent.dampening=0", "descent.nesterov=true"]].concat(), 1e-11);
    // What Burn computes of beta and the number of steps it computes in f32.
    goes_by(adam, &[&["descent.optimizer=adam"], &betas[..]].concat(), 1e-5);
    goes_by(adam_as_it_comes, &["descent.optimizer=adam"], 1e-4);
    let decay = ["descent.optimizer=adamw", "descent.decoupled_weight_decay=0.125", "descent.learning_rate=0.25"];
    goes_by(adamw, &[&decay[..], &betas].concat(), 1e-5);
    let alpha = ["descent.optimizer=rmsprop", "descent.alpha=0.75", epsilon];
    goes_by(rmsprop, &[&alpha[..], &["descent.momentum=0.5"]].concat(), 1e-6);
    goes_by(rmsprop_without_momentum, &[&alpha[..], &["descent.momentum=0"]].concat(), 1e-6);
    goes_by(adagrad, &["descent.optimizer=adagrad", epsilon], 1e-6);
}

#[test]
fn what_a_config_leaves_out_of_an_optimizer_is_burns_default() {
    let update = |text: &str| experiment("softmax.toml", &[text]).descent().update();
    let near = |own: f64, burns: f32| assert_eq!(own as f32, burns);
    let Update::Adam { beta_1, beta_2, epsilon } = update("descent.optimizer=adam") else { panic!("not Adam") };
    let number = |value: &serde_json::Value, key: &str| value[key].as_f64().unwrap() as f32;
    let burns = json(&AdamConfig::new());
    near(beta_1, number(&burns, "beta_1"));
    near(beta_2, number(&burns, "beta_2"));
    near(epsilon, number(&burns, "epsilon"));
    let Update::AdamW { beta_1, beta_2, epsilon, decoupled_weight_decay } = update("descent.optimizer=adamw") else {
        panic!("not AdamW")
    };
    let burns = json(&AdamWConfig::new());
    near(beta_1, number(&burns, "beta_1"));
    near(beta_2, number(&burns, "beta_2"));
    near(epsilon, number(&burns, "epsilon"));
    near(decoupled_weight_decay, number(&burns, "weight_decay"));
    let Update::RmsProp { alpha, momentum, epsilon } = update("descent.optimizer=rmsprop") else {
        panic!("not RMSprop")
    };
    let burns = json(&RmsPropConfig::new());
    near(alpha, number(&burns, "alpha"));
    near(momentum, number(&burns, "momentum"));
    near(epsilon, number(&burns, "epsilon"));
    let Update::AdaGrad { epsilon } = update("descent.optimizer=adagrad") else { panic!("not AdaGrad") };
    near(epsilon, number(&json(&AdaGradConfig::new()), "epsilon"));
    let Update::Momentum { dampening, nesterov, .. } = update("descent.momentum=0.9") else { panic!("no momentum") };
    let burns = MomentumConfig::new();
    assert_eq!((dampening, nesterov), (burns.dampening, burns.nesterov));
}

/// One of Burn's configs, whose fields are its own.
fn json(config: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(config).unwrap()
}

#[test]
fn a_schedule_gives_every_step_the_rate_of_its_formula_by_every_source_of_gradients() {
    let data = digits(160, 40);
    let ([rows, _], classes) = data.split(None, None, None).unwrap();
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
            let config = experiment("softmax.toml", &[&SMALL[..], schedule, &more].concat());
            let (losses, w) = by_plain_loops(&rows, classes.len(), &epochs, &config, plain(rate));
            for device in f64_devices() {
                let found = fit(&config, &data, &device, &mut ());
                let what = format!("{device:?} {schedule:?} {gradient}");
                assert_close(&found.history.train_loss, &losses, 1e-9, &what);
                assert_close(&[found.weight, found.bias].concat(), &w, 1e-9, &what);
            }
        }
    }
}

#[test]
fn the_fused_kernels_are_refused_to_an_optimizer_that_they_do_not_know() {
    let fused = "descent.gradient=fused".to_owned();
    let parse = |sets: &[String]| TrainConfig::parse("test", "[model]\nkind = 'softmax'\n", sets);
    for optimizer in ["descent.optimizer=adam", "descent.momentum=0.5"] {
        let error = parse(&[optimizer.to_owned(), fused.clone()]).unwrap_err().to_string();
        assert!(error.contains("descent.gradient = \"fused\"") && error.contains("take auto"), "{error}");
        let config = parse(&[optimizer.to_owned()]).unwrap();
        assert_eq!(config.descent().gradient, GradientSource::Auto);
        assert!(config.beyond_kernels().is_some());
    }
    assert_eq!(parse(&["descent.momentum=0".to_owned(), fused]).unwrap().beyond_kernels(), None);
}
