//! The minimum of J and its certificate: Eqs. (28) to (32) and (35) of `docs/derivation.md`, and what L-BFGS makes of them.

use std::num::NonZero;
use std::ops::ControlFlow;

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use chainrule_core::{GradientSource, ModelKind, Parameters, Precision, SearchEnd, TrainConfig};
use chainrule_data::{Split, pixel_value};
use chainrule_engines::{Examples, Expansion};
use chainrule_kernels::Rows;
use chainrule_models::{LogisticRegressionConfig, SoftmaxRegressionConfig, to_precision};
use chainrule_records::ConfigFile;
use chainrule_solve::{Ending, Iterate, Observer, Optimum, Trained, find_optimum};
use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::{call, code, folder, text};
use crate::support::{assert_close, cpu, device, devices, digits, experiment, f64_devices, fit, noise, skip};

/// Made-up rows with a background, as an image's, as both tests and scikit-learn see them.
struct Problem {
    fixture: Value,
}

impl Problem {
    fn read() -> Self {
        let text = include_str!("fixtures/sklearn_optimum.json");
        Self { fixture: serde_json::from_str(text).unwrap() }
    }

    fn lambda(&self) -> f64 {
        self.fixture["lambda"].as_f64().unwrap()
    }

    fn n_features(&self) -> usize {
        self.fixture["n_features"].as_u64().unwrap() as usize
    }

    /// Bytes and labels; for the logistic model of the classes 0 and 1 only.
    fn data(&self, kind: ModelKind) -> (Vec<u8>, Vec<u32>) {
        let labels = self.fixture["labels"].as_array().unwrap().iter().map(|label| label.as_u64().unwrap() as u32);
        let rows = self.fixture["rows"].as_array().unwrap().iter().map(|row| bytes(row.as_str().unwrap()));
        let kept = rows.zip(labels).filter(|(_, label)| kind == ModelKind::Softmax || *label < 2);
        let (rows, labels): (Vec<Vec<u8>>, Vec<u32>) = kept.unzip();
        (rows.concat(), labels)
    }

    fn rows(&self, kind: ModelKind) -> Rows {
        let (bytes, labels) = self.data(kind);
        let (offset, scale) = (pixel_value(0), (pixel_value(255) - pixel_value(0)) / 255.0);
        Rows::new(&bytes, [1, self.n_features()], labels, scale, offset)
    }

    fn dense(&self, kind: ModelKind) -> Dense {
        let (bytes, y) = self.data(kind);
        Dense {
            x: bytes.chunks(self.n_features()).map(|row| row.iter().map(|&byte| pixel_value(byte)).collect()).collect(),
            y: y.iter().map(|&y| y as usize).collect(),
            k: if kind == ModelKind::Logistic { 2 } else { 4 },
            kind,
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

const KINDS: [ModelKind; 2] = [ModelKind::Softmax, ModelKind::Logistic];

/// An experiment on the made-up rows.
fn config(kind: ModelKind, more: &[&str]) -> TrainConfig {
    let (kind, classes) = match kind {
        ModelKind::Softmax => ("softmax", ""),
        ModelKind::Logistic => ("logistic", "[data]\nclasses = [1, 0]\n"),
    };
    let text = format!(
        "{classes}[model]\nkind = '{kind}'\n[objective]\nl2 = 0.01\n[descent]\nsolver = 'lbfgs'\nprecision = 'f64'"
    );
    let overrides: Vec<String> = more.iter().map(|&text| text.to_owned()).collect();
    TrainConfig::parse("optimum", &text, &overrides).unwrap()
}

fn optimum(config: &TrainConfig, rows: &Rows) -> (Optimum, Vec<Iterate>) {
    let mut trace = Vec::new();
    let found = find_optimum(config, rows, NonZero::new(1).unwrap(), &mut |iterate, _| {
        trace.push(*iterate);
        ControlFlow::Continue(())
    });
    (found.unwrap(), trace)
}

/// J* to 1e-14 or so: as low as f64 goes.
fn lowest(kind: ModelKind, penalize_bias: &str, rows: &Rows) -> f64 {
    let exact = config(kind, &[penalize_bias, "optimum.tolerance=1e-14", "optimum.max_iterations=5000"]);
    let (Optimum { certificate, .. }, _) = optimum(&exact, rows);
    assert!(certificate.bound < 1e-11, "{certificate:?}");
    certificate.objective
}

/// The models in plain loops, by the formulas of the derivation, without any of the code under test. The logistic model is shown with its two
/// probabilities.
struct Dense {
    x: Vec<Vec<f64>>,
    y: Vec<usize>,
    k: usize,
    kind: ModelKind,
}

impl Dense {
    /// The classes' logits of a row; the logistic model's are 0 and z.
    fn logits(&self, at: &Parameters, row: usize) -> Vec<f64> {
        let z =
            |class: usize| at.bias[class] + self.x[row].iter().zip(at.of_class(class)).map(|(x, w)| x * w).sum::<f64>();
        match self.kind {
            ModelKind::Softmax => (0..self.k).map(z).collect(),
            ModelKind::Logistic => vec![0.0, z(0)],
        }
    }

    fn probabilities(&self, at: &Parameters, row: usize) -> Vec<f64> {
        let z = self.logits(at, row);
        let ln_s = log_sum(&z);
        z.iter().map(|z| (z - ln_s).exp()).collect()
    }

    fn target(&self, row: usize) -> Vec<f64> {
        (0..self.k).map(|class| f64::from(u8::from(class == self.y[row]))).collect()
    }

    fn n(&self) -> f64 {
        self.y.len() as f64
    }

    fn objective(&self, at: &Parameters, lambda: f64, penalize_bias: bool) -> f64 {
        let cost = |row| {
            let z = self.logits(at, row);
            log_sum(&z) - z[self.y[row]]
        };
        let square = |values: &[f64]| values.iter().map(|w| w * w).sum::<f64>();
        let penalty = square(&at.weight) + if penalize_bias { square(&at.bias) } else { 0.0 };
        (0..self.y.len()).map(cost).sum::<f64>() / self.n() + lambda / 2.0 * penalty
    }

    /// `X^T D / N` and the columns' means of D, for a D with a row for each row of X, by all classes; of the logistic model's, the last column.
    fn mean_product(&self, d: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
        let columns = if self.kind == ModelKind::Logistic { 1..2 } else { 0..self.k };
        let mean = |column: usize, x: &dyn Fn(usize) -> f64| {
            (0..d.len()).map(|row| x(row) * d[row][column]).sum::<f64>() / self.n()
        };
        let features = 0..self.x[0].len();
        let by_weight = features.flat_map(|j| columns.clone().map(move |c| (j, c)));
        (by_weight.map(|(j, c)| mean(c, &|row| self.x[row][j])).collect(), columns.map(|c| mean(c, &|_| 1.0)).collect())
    }

    /// `P - Y`, row by row.
    fn residuals(&self, at: &Parameters) -> Vec<Vec<f64>> {
        (0..self.y.len()).map(|row| minus(&self.probabilities(at, row), &self.target(row))).collect()
    }
}

fn log_sum(z: &[f64]) -> f64 {
    let most = z.iter().fold(f64::NEG_INFINITY, |a: f64, &b| a.max(b));
    most + z.iter().map(|z| (z - most).exp()).sum::<f64>().ln()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn entropy(q: &[f64]) -> f64 {
    q.iter().map(|q| if *q > 0.0 { -q * q.ln() } else { 0.0 }).sum()
}

fn divergence(q: &[f64], p: &[f64]) -> f64 {
    q.iter().zip(p).map(|(q, p)| if *q > 0.0 { q * (q / p).ln() } else { 0.0 }).sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Parameters of all sizes, near to the minimum and far from it.
fn places(problem: &Problem, kind: ModelKind) -> Vec<Parameters> {
    let (d, k) = (problem.n_features(), if kind == ModelKind::Logistic { 1 } else { 4 });
    let fixture = if kind == ModelKind::Logistic { "logistic" } else { "softmax" };
    let [weight, bias] = ["weight", "bias"].map(|part| numbers(&problem.fixture[fixture][part]));
    let mut places = Vec::new();
    for (seed, size) in [(1, 0.0), (2, 1e-6), (3, 1e-4), (4, 1e-2), (5, 0.3), (6, 3.0), (7, 20.0)] {
        let moved =
            |values: &[f64], seed| values.iter().zip(noise(seed, values.len())).map(|(w, e)| w + size * e).collect();
        places.push(Parameters {
            n_features: d,
            n_classes: k,
            weight: moved(&weight, seed),
            bias: moved(&bias, 50 + seed),
        });
    }
    places
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn eq_28_strong_convexity_bounds_the_distance_to_the_minimum() {
    let problem = Problem::read();
    for kind in KINDS {
        let (dense, lambda) = (problem.dense(kind), problem.lambda());
        let least = lowest(kind, "objective.penalize_bias=true", &problem.rows(kind));
        for at in places(&problem, kind) {
            let (by_weight, by_bias) = dense.mean_product(&dense.residuals(&at));
            let gradient = [by_weight, by_bias].concat();
            let with_penalty: f64 =
                gradient.iter().zip(at.weight.iter().chain(&at.bias)).map(|(g, w)| (g + lambda * w).powi(2)).sum();
            let above = dense.objective(&at, lambda, true) - least;
            let bound = with_penalty / (2.0 * lambda);
            assert!((-1e-13..=bound + 1e-13).contains(&above), "{kind:?}: {above:e} {bound:e}");
        }
    }
}

#[test]
fn eq_29_no_probabilities_but_the_models_own_give_the_cost() {
    let problem = Problem::read();
    for kind in KINDS {
        let dense = problem.dense(kind);
        for at in places(&problem, kind) {
            for row in 0..dense.y.len() {
                let (z, y, p) = (dense.logits(&at, row), dense.target(row), dense.probabilities(&at, row));
                let cost = log_sum(&z) - z[dense.y[row]];
                let by = |q: &[f64]| dot(&minus(q, &y), &z) + entropy(q);
                assert!((cost - by(&p)).abs() < 1e-10, "equality at p");
                let other: Vec<f64> = p.iter().rev().copied().collect();
                assert!(by(&other) <= cost + 1e-10);
                // What is missing is the divergence.
                if p.iter().all(|&p| p > 1e-12) {
                    assert!((cost - by(&other) - divergence(&other, &p)).abs() < 1e-9);
                }
            }
        }
    }
}

/// `1 t^T` mixed into the rows' probabilities, so that each class has its frequency: Eq. (31), written anew.
fn mixed(dense: &Dense, at: &Parameters) -> (f64, Vec<f64>, Vec<Vec<f64>>) {
    let n = dense.y.len();
    let p: Vec<Vec<f64>> = (0..n).map(|row| dense.probabilities(at, row)).collect();
    let mean = |of: &dyn Fn(usize) -> f64| (0..n).map(of).sum::<f64>() / dense.n();
    let g: Vec<f64> = (0..dense.k).map(|c| mean(&|row| p[row][c] - dense.target(row)[c])).collect();
    let y: Vec<f64> = (0..dense.k).map(|c| mean(&|row| dense.target(row)[c])).collect();
    let s = (0..dense.k).filter(|&c| g[c] > 0.0).map(|c| y[c] / g[c]).fold(f64::INFINITY, f64::min);
    let theta = 1.0 / (1.0 + s);
    let t: Vec<f64> = (0..dense.k).map(|c| if s.is_finite() { (y[c] - s * g[c]).max(0.0) } else { y[c] }).collect();
    let q = p.iter().map(|p| p.iter().zip(&t).map(|(p, t)| (1.0 - theta) * p + theta * t).collect()).collect();
    (theta, t, q)
}

#[test]
fn eq_30_the_gap_is_a_divergence_and_a_square() {
    let problem = Problem::read();
    for kind in KINDS {
        let (dense, lambda) = (problem.dense(kind), problem.lambda());
        let least = lowest(kind, "objective.penalize_bias=false", &problem.rows(kind));
        for at in places(&problem, kind) {
            let (_, _, q) = mixed(&dense, &at);
            let rows = 0..dense.y.len();
            let from_target: Vec<_> = rows.clone().map(|row| minus(&q[row], &dense.target(row))).collect();
            let (r, column_means) = dense.mean_product(&from_target);
            assert!(column_means.iter().all(|mean| mean.abs() < 1e-14), "{column_means:?}");
            let below =
                rows.clone().map(|row| entropy(&q[row])).sum::<f64>() / dense.n() - dot(&r, &r) / (2.0 * lambda);
            assert!(below <= least + 1e-12, "{kind:?}: {below} is no lower bound of {least}");
            let divergence =
                rows.map(|row| divergence(&q[row], &dense.probabilities(&at, row))).sum::<f64>() / dense.n();
            let moved: f64 = r.iter().zip(&at.weight).map(|(r, w)| (r + lambda * w).powi(2)).sum();
            let gap = divergence + moved / (2.0 * lambda);
            let direct = dense.objective(&at, lambda, false) - below;
            assert!((gap - direct).abs() <= 1e-11 * direct.max(1.0), "{kind:?}: {gap:e} {direct:e}");
        }
    }
}

#[test]
fn eq_31_mixing_one_t_into_all_rows_gives_the_classes_their_frequencies() {
    let problem = Problem::read();
    for kind in KINDS {
        let dense = problem.dense(kind);
        for at in places(&problem, kind) {
            let (theta, t, q) = mixed(&dense, &at);
            // Of t as much is rounding as theta is small, so that of the mixture no more than usual is.
            assert!(
                (0.0..1.0).contains(&theta) && theta * (t.iter().sum::<f64>() - 1.0).abs() < 1e-15,
                "{theta} {t:?}"
            );
            assert!(q.iter().flatten().all(|&q| (0.0..=1.0 + 1e-15).contains(&q)));
            for class in 0..dense.k {
                let off = (0..q.len()).map(|row| q[row][class] - dense.target(row)[class]).sum::<f64>() / dense.n();
                assert!(off.abs() < 1e-14, "{kind:?}: class {class} is off its frequency by {off:e}");
            }
        }
    }
}

/// Eq. (32) in plain loops.
fn bound_with_free_bias(dense: &Dense, at: &Parameters, lambda: f64) -> f64 {
    let (theta, t, _) = mixed(dense, at);
    let p = |row| dense.probabilities(at, row);
    let n = dense.y.len();
    let (g, _) = dense.mean_product(&dense.residuals(at));
    let (toward, _) = dense.mean_product(&(0..n).map(|row| minus(&t, &p(row))).collect::<Vec<_>>());
    let moved: f64 = (0..g.len()).map(|i| (g[i] + lambda * at.weight[i] + theta * toward[i]).powi(2)).sum();
    let far = (0..n).map(|row| divergence(&t, &p(row))).sum::<f64>() / dense.n();
    moved / (2.0 * lambda) + theta * far
}

#[test]
fn eq_32_the_bound_needs_no_more_than_gradients() {
    let problem = Problem::read();
    for kind in KINDS {
        let (dense, lambda, rows) = (problem.dense(kind), problem.lambda(), problem.rows(kind));
        let least = lowest(kind, "objective.penalize_bias=false", &rows);
        for at in places(&problem, kind) {
            let above = dense.objective(&at, lambda, false) - least;
            let bound = bound_with_free_bias(&dense, &at, lambda);
            assert!((-1e-13..=bound + 1e-13).contains(&above), "{kind:?}: {above:e} {bound:e}");
        }
        // The program's is the same, from the gradients of whole sums: early, when the mixture is coarse, and late.
        for iterations in [1, 2, 5, 12, 1000] {
            let iterations = format!("optimum.max_iterations={iterations}");
            let free = config(kind, &["objective.penalize_bias=false", "optimum.tolerance=1e-10", &iterations]);
            let Optimum { parameters, certificate } = optimum(&free, &rows).0;
            let expected = bound_with_free_bias(&dense, &parameters, lambda);
            let far = (certificate.bound - expected).abs();
            assert!(far < 1e-4 * expected + 1e-15, "{kind:?}: {:e} {expected:e}", certificate.bound);
        }
    }
}

/// A row of weight 2 is a row that is there twice: J with weights at lambda is m times J of the rows so repeated at lambda / m, m being the mean weight.
#[test]
fn eq_35_the_weighted_bound_is_that_of_rows_which_are_there_as_often_as_they_weigh() {
    let ([rows, validation], _) = digits(200, 50).split(None, None, Some(&[3, 8, 5])).unwrap();
    let repeated = [3, 1, 2];
    let often = |label: u8| repeated[usize::from(label)];
    let again: Vec<usize> = (0..rows.len()).flat_map(|row| std::iter::repeat_n(row, often(rows.labels[row]))).collect();
    let m = again.len() as f64 / rows.len() as f64;
    let d = rows.n_features();
    let more = Split {
        size: rows.size,
        pixels: again.iter().flat_map(|&row| rows.pixels[row * d..][..d].to_vec()).collect(),
        labels: again.iter().map(|&row| rows.labels[row]).collect(),
    };
    for kind in KINDS {
        // The logistic model takes the last two of them, as data.classes has them.
        let k = if kind == ModelKind::Logistic { 2 } else { 3 };
        let only = |split: &Split| {
            let kept: Vec<usize> = (0..split.len()).filter(|&row| k == 3 || split.labels[row] > 0).collect();
            Split {
                size: split.size,
                pixels: kept.iter().flat_map(|&row| split.pixels[row * d..][..d].to_vec()).collect(),
                labels: kept.iter().map(|&row| split.labels[row] - u8::from(k == 2)).collect(),
            }
        };
        let (few, many, validation) = (only(&rows), only(&more), only(&validation));
        let m = if k == 3 { m } else { many.len() as f64 / few.len() as f64 };
        let weights = if k == 3 { "objective.class_weights=[3, 1, 2]" } else { "objective.class_weights={1 = 2}" };
        for penalize_bias in [true, false] {
            // So early that the bound is far from 0, and at the end.
            for iterations in [1, 4, 1000] {
                let minimum = |rows: &Split, l2: f64, weights: &[&str]| {
                    let sets = [
                        format!("objective.penalize_bias={penalize_bias}"),
                        format!("objective.l2={l2:e}"),
                        format!("optimum.max_iterations={iterations}"),
                        "optimum.tolerance=1e-9".to_owned(),
                    ];
                    let sets: Vec<&str> = sets.iter().map(String::as_str).chain(weights.iter().copied()).collect();
                    let config = config(kind, &sets);
                    let [train, validation] = [rows, &validation]
                        .map(|split| Examples::new(split, Precision::F64, &f64_devices()[0], Expansion::Host));
                    let device = &f64_devices()[0];
                    match kind {
                        ModelKind::Softmax => {
                            let model = to_precision(SoftmaxRegressionConfig::new(d, k).init(device), FloatDType::F64);
                            let trained =
                                chainrule_engines::train_by_tensors(model, &train, &validation, &config, &mut ())
                                    .unwrap();
                            (trained.parameters, trained.certificate.unwrap())
                        }
                        ModelKind::Logistic => {
                            let model = to_precision(LogisticRegressionConfig::new(d).init(device), FloatDType::F64);
                            let trained =
                                chainrule_engines::train_by_tensors(model, &train, &validation, &config, &mut ())
                                    .unwrap();
                            (trained.parameters, trained.certificate.unwrap())
                        }
                    }
                };
                let (weighted, certificate) = minimum(&few, 0.02, &[weights]);
                let (repeated, expected) = minimum(&many, 0.02 / m, &[]);
                let what = format!("{kind:?}, bias penalised: {penalize_bias}, {iterations} iterations");
                let near = |found: f64, expected: f64, tolerance: f64| (found / (m * expected) - 1.0).abs() < tolerance;
                assert!(near(certificate.objective, expected.objective, 1e-8), "{what}: {certificate:?} {expected:?}");
                if iterations < 10 {
                    assert_close(&weighted.weight, &repeated.weight, 1e-7, &what);
                    assert_close(&weighted.bias, &repeated.bias, 1e-7, &what);
                    assert!(near(certificate.bound, expected.bound, 1e-6), "{what}: {certificate:?} {expected:?}");
                    assert!(certificate.bound > 1e-6, "{what}: {certificate:?}");
                } else {
                    assert!(certificate.holds(), "{what}: {certificate:?}");
                }
            }
        }
    }
}

#[test]
fn the_bound_holds_at_every_iteration_and_comes_down_to_the_tolerance() {
    let problem = Problem::read();
    for kind in KINDS {
        for penalize_bias in ["objective.penalize_bias=true", "objective.penalize_bias=false"] {
            let rows = problem.rows(kind);
            let least = lowest(kind, penalize_bias, &rows);
            let (found, trace) = optimum(&config(kind, &[penalize_bias, "optimum.tolerance=1e-10"]), &rows);
            for iterate in &trace {
                let above = iterate.objective - least;
                assert!(above >= -1e-13, "{kind:?} {penalize_bias}: lower than the lowest by {above:e}");
                assert!(
                    above <= iterate.bound + 1e-13,
                    "{kind:?} {penalize_bias}: {above:e} above, {:e} promised",
                    iterate.bound
                );
            }
            let certificate = found.certificate;
            assert_eq!((certificate.ended, certificate.holds()), (SearchEnd::Converged, true), "{certificate:?}");
            assert!(certificate.bound <= 1e-10 && certificate.iterations < 150, "{certificate:?}");
            assert_eq!(certificate.iterations, trace.len() - 1);
            // The bound must be worth something, too: at the start it is not far from what it bounds, nor at the end.
            assert!(trace[0].bound > 0.01 && trace[0].bound < 1e4, "{:?}", trace[0]);
        }
    }
}

#[test]
fn coefficients_are_scikit_learns() {
    let problem = Problem::read();
    for (kind, name) in [(ModelKind::Softmax, "softmax"), (ModelKind::Logistic, "logistic")] {
        let expected = &problem.fixture[name];
        let free = config(kind, &["objective.penalize_bias=false", "optimum.tolerance=1e-12"]);
        let (Optimum { parameters, certificate }, _) = optimum(&free, &problem.rows(kind));
        assert!((certificate.objective - expected["objective"].as_f64().unwrap()).abs() < 1e-12, "{certificate:?}");
        assert_close(&parameters.weight, &numbers(&expected["weight"]), 1e-5, "weights");
        assert_close(&centred(&parameters.bias), &centred(&numbers(&expected["bias"])), 1e-5, "bias");
    }
}

/// A constant that is added to every class's bias changes nothing, so it is taken out.
fn centred(bias: &[f64]) -> Vec<f64> {
    if bias.len() == 1 {
        return bias.to_vec();
    }
    let mean = bias.iter().sum::<f64>() / bias.len() as f64;
    bias.iter().map(|b| b - mean).collect()
}

#[test]
fn it_ends_no_higher_than_long_descent_does() {
    let data = digits(600, 300);
    for (name, penalize_bias) in
        [("softmax.toml", "true"), ("softmax.toml", "false"), ("logistic.toml", "true"), ("logistic.toml", "false")]
    {
        for precision in ["f32", "f64"] {
            let rows = [
                "data.train_images=600",
                "data.validation_images=300",
                "objective.l2=0.05",
                "descent.gradient=closed-form",
            ];
            let (penalize_bias, precision) =
                (format!("objective.penalize_bias={penalize_bias}"), format!("descent.precision={precision}"));
            if precision.ends_with("f64") && f64_devices().is_empty() {
                continue;
            }
            let device = if precision.ends_with("f64") { f64_devices().remove(0) } else { device() };
            let common = [&rows[..], &[&penalize_bias, &precision]].concat();
            let long = [
                "descent.epochs=300",
                "descent.batch_size=100",
                "descent.learning_rate=0.02",
                "early_stopping.patience=1000000",
            ];
            let by_descent = fit(&experiment(name, &[&common[..], &long].concat()), &data, &device, &mut ());
            let config = minimum_of(name, &common, "optimum.tolerance=1e-5");
            let found = fit(&config, &data, &device, &mut ());
            let j = |fit: &crate::support::Fit| {
                let bias = if config.objective().penalize_bias { dot(&fit.bias, &fit.bias) } else { 0.0 };
                fit.final_metrics.train_loss + 0.025 * (dot(&fit.weight, &fit.weight) + bias)
            };
            assert_eq!(found.ending, Ending::Converged, "{name} {penalize_bias} {precision}");
            let (descent, minimum) = (j(&by_descent), j(&found));
            assert!(minimum <= descent + 1e-5, "{name} {penalize_bias} {precision}: {minimum} {descent}");
            // And descent is on its way there, so that the two speak of the same J.
            assert!(descent < minimum + 0.05, "{name} {penalize_bias} {precision}: {minimum} {descent}");
        }
    }
}

/// An experiment of the report turned to the minimum.
fn minimum_of(name: &str, common: &[&str], tolerance: &str) -> TrainConfig {
    let text = std::fs::read_to_string(format!("{}/../configs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let text = text.replace("patience = 10 ", "# ");
    let overrides = [common, &["descent.solver=lbfgs", tolerance]].concat();
    TrainConfig::parse(name, &text, &overrides.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap()
}

#[test]
fn every_source_of_gradients_finds_the_same_minimum_on_every_backend() {
    let data = digits(600, 300);
    for name in ["softmax.toml", "logistic.toml"] {
        let common =
            ["data.train_images=600", "data.validation_images=300", "objective.l2=0.1", "objective.penalize_bias=true"];
        let find = |gradient: &str, device: &Device| {
            let gradient = format!("descent.gradient={gradient}");
            let config = minimum_of(name, &[&common[..], &[&gradient]].concat(), "optimum.tolerance=1e-6");
            let found = fit(&config, &data, device, &mut ());
            assert_eq!(found.ending, Ending::Converged, "{name} {gradient}");
            found
        };
        let fused = find("fused", &device());
        for device in devices() {
            for gradient in ["closed-form", "autodiff"] {
                let found = find(gradient, &device);
                // J is lambda-strongly convex: 1e-6 above the minimum is at most (2e-6 / 0.1)^(1/2) away from it.
                assert_close(&found.weight, &fused.weight, 0.02, "weights");
                let (a, b) = (found.final_metrics.train_loss, fused.final_metrics.train_loss);
                assert!((a - b).abs() < 1e-3, "{name} {gradient}: {a} {b}");
            }
        }
    }
}

#[test]
fn the_history_counts_iterations_and_ends_with_an_evaluation() {
    let common = ["data.train_images=600", "data.validation_images=300", "objective.l2=0.1", "descent.gradient=fused"];
    let config = minimum_of("softmax.toml", &common, "optimum.evaluate_every=7");
    let found = fit(&config, &digits(600, 300), &device(), &mut ());
    assert_eq!(found.history.train_loss.len(), found.steps);
    assert!((found.history.train_loss[0] - 10f64.ln()).abs() < 1e-6, "{}", found.history.train_loss[0]);
    assert!(found.steps > 7);
    let at: Vec<_> = found.history.evaluations.iter().map(|evaluation| evaluation.step).collect();
    let mut expected: Vec<_> = (0..found.steps).step_by(7).collect();
    if expected.last() != Some(&(found.steps - 1)) {
        expected.push(found.steps - 1);
    }
    assert_eq!(at, expected);
    assert!(found.history.evaluations.iter().all(|evaluation| evaluation.epoch == evaluation.step));
}

/// Ends the search after so many iterations.
struct Impatient(usize);

impl Observer for Impatient {
    fn step_taken(&mut self, step: usize) -> ControlFlow<()> {
        if step + 1 == self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn each_ending_is_told_and_keeps_the_weights() {
    let data = digits(600, 300);
    let common =
        ["data.train_images=600", "data.validation_images=300", "objective.l2=0.001", "descent.gradient=fused"];
    let find = |more: &[&str], tolerance, observer: &mut dyn Observer| {
        fit(&minimum_of("softmax.toml", &[&common[..], more].concat(), tolerance), &data, &device(), observer)
    };
    let used_up = find(&["optimum.max_iterations=6"], "optimum.tolerance=1e-9", &mut ());
    assert_eq!((used_up.ending, used_up.steps), (Ending::UsedUp, 6));
    let interrupted = find(&[], "optimum.tolerance=1e-9", &mut Impatient(4));
    assert_eq!((interrupted.ending, interrupted.steps), (Ending::Interrupted, 4));
    // f32 does not come so near.
    let rounding = find(&[], "optimum.tolerance=1e-15", &mut ());
    assert_eq!(rounding.ending, Ending::Rounding);
    let converged = find(&[], "optimum.tolerance=1e-4", &mut ());
    assert_eq!(converged.ending, Ending::Converged);
    for found in [used_up, interrupted, rounding, converged] {
        assert!(found.weight.iter().any(|&w| w != 0.0) && found.final_metrics.train_loss < 2.0);
    }
}

#[test]
fn the_place_with_the_lowest_bound_is_kept() {
    let problem = Problem::read();
    let mut rose = 0;
    for kind in KINDS {
        for iterations in 1..=20 {
            let iterations = format!("optimum.max_iterations={iterations}");
            let exact = config(kind, &[&iterations, "optimum.tolerance=1e-14"]);
            let (found, trace) = optimum(&exact, &problem.rows(kind));
            let lowest = trace.iter().map(|iterate| iterate.bound).fold(f64::INFINITY, f64::min);
            assert_eq!(found.certificate.bound, lowest, "{kind:?} {iterations}");
            rose += usize::from(trace.last().unwrap().bound > lowest);
        }
    }
    assert!(rose > 0, "bounds that only fall prove nothing");
}

#[test]
fn a_penalty_under_which_nothing_moves_is_a_minimum_at_once() {
    let problem = Problem::read();
    let heavy = config(ModelKind::Softmax, &["objective.l2=1e6", "objective.penalize_bias=true"]);
    let (found, trace) = optimum(&heavy, &problem.rows(ModelKind::Softmax));
    assert_eq!((found.certificate.iterations, found.certificate.ended), (0, SearchEnd::Converged));
    assert_eq!(trace.len(), 1);
}

#[test]
fn threads_find_the_same_minimum() {
    let problem = Problem::read();
    let (rows, config) = (problem.rows(ModelKind::Softmax), config(ModelKind::Softmax, &["optimum.tolerance=1e-12"]));
    let find =
        |threads| find_optimum(&config, &rows, NonZero::new(threads).unwrap(), &mut |_, _| ControlFlow::Continue(()));
    let (one, two, again) = (find(1).unwrap(), find(2).unwrap(), find(2).unwrap());
    assert_eq!(two, again, "as many threads, the same bits");
    assert_close(&one.parameters.weight, &two.parameters.weight, 1e-5, "weights");
}

#[test]
fn f32_is_certified_in_f64() {
    let problem = Problem::read();
    for kind in KINDS {
        for penalize_bias in [true, false] {
            let more = format!("objective.penalize_bias={penalize_bias}");
            let tolerance = "optimum.tolerance=1e-5";
            let (found, trace) =
                optimum(&config(kind, &["descent.precision=f32", &more, tolerance]), &problem.rows(kind));
            let certificate = found.certificate;
            assert_eq!(certificate.ended, SearchEnd::Converged, "{certificate:?}");
            // J in plain loops, in f64, at the very weights.
            let objective = problem.dense(kind).objective(&found.parameters, problem.lambda(), penalize_bias);
            assert!((certificate.objective - objective).abs() < 1e-13, "{objective} {certificate:?}");
            assert!(found.parameters.weight.iter().all(|&w| f64::from(w as f32) == w), "saved as f32 without a loss");
            let least = lowest(kind, &more, &problem.rows(kind));
            assert!(objective - least <= certificate.bound + 1e-13, "{} {}", objective - least, certificate.bound);
            assert!(certificate.gradients > trace.len(), "the last one is a pass more");
        }
    }
}

/// A device that has f64, too; no test goes on where there is none.
fn f64_device() -> Device {
    f64_devices().into_iter().next().unwrap_or_else(|| skip("no device of this build has f64"))
}

/// A table as f32 has it, with its examples.
fn table(n: usize, [d, k]: [usize; 2], feature: impl Fn(f64, usize) -> f64) -> (Dense, Examples) {
    let numbers: Vec<f32> = noise(5, n * d).iter().enumerate().map(|(i, &x)| feature(x, i) as f32).collect();
    // Noise, too, as many of each.
    let labels: Vec<usize> = noise(6, n).iter().map(|x| (((x + 1.0) / 2.0 * k as f64) as usize).min(k - 1)).collect();
    let device = f64_device();
    let features = Tensor::<2>::from_data(TensorData::new(numbers.clone(), [n, d]), (&device, DType::F32));
    let y: Vec<i32> = labels.iter().map(|&label| label as i32).collect();
    let labels_on_device = Tensor::<1, Int>::from_data(TensorData::new(y, [n]), &device);
    let x = numbers.chunks(d).map(|row| row.iter().copied().map(f64::from).collect()).collect();
    (Dense { x, y: labels, k, kind: ModelKind::Softmax }, Examples { features, labels: labels_on_device })
}

/// Trains by tensors on such a table.
fn fit_table(examples: &Examples, k: usize, sets: &[&str]) -> Trained {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let config = TrainConfig::parse("table", "[model]\nkind = 'softmax'\n", &sets).unwrap();
    let dtype = FloatDType::from(examples.features.dtype());
    let model = to_precision(SoftmaxRegressionConfig::new(examples.n_features(), k).init(&f64_device()), dtype);
    chainrule_engines::train_by_tensors(model, examples, examples, &config, &mut ()).unwrap()
}

#[test]
fn the_certificate_is_what_f64_finds_whatever_the_rows_are_in() {
    type Feature = fn(f64, usize) -> f64;
    let cases: [(usize, [usize; 2], &str, Feature); 3] = [
        // So many rows that a sum in f32 has four digits left of them.
        (200_000, [2, 7], "objective.l2=0.001", |x, _| x),
        (20_000, [3, 4], "objective.l2=1e-4", |x, i| if i % 3 == 0 { 30.0 + x } else { 5.0 * x }),
        // Where f32 gets nowhere near the tolerance.
        (5_000, [2, 3], "objective.l2=1e-5", |x, _| 1e4 + 100.0 * x),
    ];
    for (n, [d, k], l2, feature) in cases {
        let (dense, examples) = table(n, [d, k], feature);
        let lambda = l2.split_once('=').unwrap().1.parse().unwrap();
        let in_f64 = Examples { features: examples.features.clone().cast(FloatDType::F64), ..examples.clone() };
        let to_the_end = ["descent.solver=lbfgs", l2, "optimum.tolerance=1e-11", "optimum.max_iterations=3000"];
        let exact = fit_table(&in_f64, k, &[&to_the_end[..], &["descent.precision=f64"]].concat());
        let exact = exact.certificate.unwrap();
        assert!(exact.bound < 1e-9, "{n}: {exact:?}");
        for gradient in ["descent.gradient=closed-form", "descent.gradient=autodiff"] {
            let what = format!("{n} rows, {gradient}");
            let found = fit_table(&examples, k, &["descent.solver=lbfgs", l2, gradient, "optimum.tolerance=1e-7"]);
            let certificate = found.certificate.unwrap();
            let objective = dense.objective(&found.parameters, lambda, false);
            assert!((certificate.objective / objective - 1.0).abs() < 1e-12, "{what}: {objective} {certificate:?}");
            // Never below the minimum, nor farther above it than it says.
            assert!(certificate.objective >= exact.objective - exact.bound, "{what}: {certificate:?} {exact:?}");
            assert!(objective <= exact.objective + certificate.bound + 1e-13, "{what}: {certificate:?} {exact:?}");
            assert_eq!(certificate.ended == SearchEnd::Converged, certificate.holds(), "{what}: {certificate:?}");
            if n == 200_000 {
                assert!(certificate.holds() && certificate.iterations > 0, "{what}: {certificate:?}");
                assert!(objective < 7f64.ln() - 1e-6, "{what}: {objective}");
            }
        }
    }
}

#[test]
fn losses_of_many_rows_are_summed_in_f64() {
    let (_, examples) = table(200_000, [2, 7], |x, _| x);
    for gradient in ["descent.gradient=closed-form", "descent.gradient=autodiff"] {
        let all_at_once = ["descent.batch_size=200000", "descent.epochs=1", "descent.shuffle.generator=none", gradient];
        let found = fit_table(&examples, 7, &all_at_once);
        let first = found.history.train_loss[0];
        // Of each row f32 has seven digits, and their mean has as many.
        assert!((first - 7f64.ln()).abs() < 1e-7, "{gradient}: {first}");
    }
}

#[test]
fn where_rounding_ends_a_search_the_line_says_what_goes_on() {
    let folder = folder();
    let rows: String = noise(8, 900)
        .chunks_exact(3)
        .map(|row| format!("{},{},{}\n", 100.0 + row[0], row[1], if row[0] + row[2] > 0.0 { "up" } else { "down" }))
        .collect();
    std::fs::write(folder.path().join("table.csv"), format!("a,b,class\n{rows}")).unwrap();
    let lbfgs = ["--set", "descent.solver=lbfgs", "--set", "objective.l2=0.001", "--set", "optimum.tolerance=1e-60"];
    let softmax = folder.path().join("softmax.toml");
    std::fs::write(&softmax, "[model]\nkind = 'softmax'\n").unwrap();
    let train =
        ["train", "softmax.toml", "--data", "table.csv", "--set", "data.label=class", "--force", "--out", "run"];
    // Where it is, f64 is on a CPU.
    let train = [&train[..], &["--backend", cpu()]].concat();
    for (more, expected) in [
        (&[][..], "; take --precision f64, and --set data.standardize=true"),
        (&["--set", "data.standardize=true"][..], "; take --precision f64\n"),
        (&["--precision", "f64"][..], "; take --set data.standardize=true\n"),
        (
            &["--precision", "f64", "--set", "data.standardize=true"][..],
            "; no float type has more digits: allow for more by --set optimum.tolerance",
        ),
    ] {
        let output = call(folder.path(), &[&train[..], &lbfgs, more].concat());
        assert_eq!(code(&output), Some(1), "{more:?}: {}", text(&output.stderr));
        let said = text(&output.stdout);
        assert!(said.contains("where rounding hides the rest of the way"), "{more:?}: {said}");
        assert!(said.contains(&format!("1e-60 was wanted{expected}")), "{more:?}: {said}");
    }
}

#[test]
fn what_has_no_certified_minimum_is_refused() {
    let refuses = |more: &[&str], expected: &str| {
        let text = "[model]\nkind = 'softmax'\n[descent]\nsolver = 'lbfgs'\n[objective]\nl2 = 0.1";
        let overrides: Vec<String> = more.iter().map(|&text| text.to_owned()).collect();
        let message = TrainConfig::parse("test.toml", text, &overrides).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{message:?} does not say {expected:?}");
    };
    refuses(&["objective.l2=0"], "test.toml: objective.l2 = 0.0: without a penalty J may have no minimum");
    refuses(
        &["early_stopping.patience=3"],
        "early_stopping.patience = 3: descent.solver = \"lbfgs\" goes to the minimum",
    );
    refuses(&["early_stopping.restore_best=true"], "early_stopping.restore_best = true: ");
    for tolerance in ["0", "-1", "nan", "2"] {
        refuses(&[&format!("optimum.tolerance={tolerance}")], "optimum.tolerance = ");
    }
    for key in ["optimum.max_iterations", "optimum.memory", "optimum.evaluate_every"] {
        refuses(&[&format!("{key}=0")], &format!("{key} = 0: expected a whole number from 1"));
    }
    refuses(&["descent.solver=newton"], "descent.solver = \"newton\": expected sgd or lbfgs");
    refuses(&["optimum.iterations=3"], "unknown key optimum.iterations; did you mean optimum.max_iterations?");
}

#[test]
fn its_experiment_says_so_and_parses_to_itself() {
    let config = experiment("softmax-optimum.toml", &[]);
    let again = TrainConfig::parse("softmax-optimum.toml", &config.to_toml(), &[]).unwrap();
    assert_eq!(config, again);
    assert!(config.objective().penalize_bias && config.early_stopping().patience.is_none());
    assert_eq!(config.descent().gradient, GradientSource::Auto);
}

/// The program on a few drawn digits.
const QUICK: [&str; 8] = [
    "train",
    "configs/softmax-optimum.toml",
    "--data",
    "embedded",
    "--set",
    "data.train_images=600",
    "--set",
    "data.validation_images=300",
];

#[test]
fn the_program_writes_a_whole_run_with_its_certificate() {
    let folder = folder();
    let output = call(folder.path(), &[&QUICK[..], &["--json", "--quiet"]].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let certificate = &summary["certificate"];
    assert_eq!((&certificate["ended"], &certificate["tolerance"]), (&"converged".into(), &1e-6.into()), "{summary}");
    assert!(certificate["bound"].as_f64().unwrap() <= 1e-6);
    let penalty = 0.005 * summary["weight_norm"]["frobenius_squared"].as_f64().unwrap();
    let objective = summary["final"]["train_loss"].as_f64().unwrap() + penalty;
    assert!((certificate["objective"].as_f64().unwrap() - objective).abs() < 1e-5, "{summary}");
    assert_eq!(summary["steps"], certificate["iterations"]);
    assert!(certificate["gradients"].as_u64() > certificate["iterations"].as_u64());
    let run = chainrule_records::RunFolder::read(&folder.path().join("runs/softmax-optimum-1")).unwrap();
    assert_eq!(serde_json::to_value(run.summary.certificate).unwrap(), *certificate);
    assert_eq!(run.history.train_loss.len(), run.summary.steps);
}

#[test]
fn the_closing_table_says_it_in_words_and_the_exit_code_whether_it_holds() {
    let folder = folder();
    let output = call(folder.path(), &QUICK);
    let said = text(&output.stdout);
    assert!(said.contains("within 1e-6 of the minimum, after "), "{said}");
    assert!(said.contains("is at most ") && said.contains(" above it (gradient "), "{said}");
    let output = call(folder.path(), &[&QUICK[..], &["--set", "optimum.max_iterations=3"]].concat());
    assert_eq!(code(&output), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("all iterations made, after 3 iterations") && said.contains("; 1e-6 was wanted"), "{said}");
    assert!(folder.path().join("runs/softmax-optimum-2/model.safetensors").is_file());
    let descent = call(
        folder.path(),
        &["train", "--data", "embedded", "--set", "data.train_images=600", "--set", "descent.epochs=1"],
    );
    assert!(!text(&descent.stdout).contains("minimum"), "{}", text(&descent.stdout));
}
