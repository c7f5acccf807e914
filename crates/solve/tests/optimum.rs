//! Tests of the minimum of J and its certificates: Eqs. (29) to (33) and (35) to (38) of
//! `docs/derivation.md`, and L-BFGS.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod near;
mod plain;

use std::num::NonZero;
use std::ops::ControlFlow;

use chainrule_core::{ModelKind, Parameters, SearchEnd, TrainConfig};
use chainrule_data::{BatchOrder, Shuffle, pixel_value};
use chainrule_kernels::PackedRows;
use chainrule_solve::{Iterate, Optimum, find_optimum};
use near::assert_close;
use plain::{Dense, KINDS, config, log_sum};
use serde_json::Value;

/// Synthetic rows with a background, like images. scikit-learn used the same rows.
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

    /// Returns bytes and labels. The logistic model gets the classes 0 and 1 only.
    fn data(&self, kind: ModelKind) -> (Vec<u8>, Vec<u32>) {
        let labels = self.fixture["labels"].as_array().unwrap().iter().map(|label| label.as_u64().unwrap() as u32);
        let rows = self.fixture["rows"].as_array().unwrap().iter().map(|row| bytes(row.as_str().unwrap()));
        let kept = rows.zip(labels).filter(|(_, label)| kind == ModelKind::Softmax || *label < 2);
        let (rows, labels): (Vec<Vec<u8>>, Vec<u32>) = kept.unzip();
        (rows.concat(), labels)
    }

    fn rows(&self, kind: ModelKind) -> PackedRows {
        let (bytes, labels) = self.data(kind);
        let (offset, scale) = (pixel_value(0), (pixel_value(255) - pixel_value(0)) / 255.0);
        PackedRows::new(&bytes, [1, self.n_features()], labels, scale, offset)
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

fn optimum(config: &TrainConfig, rows: &PackedRows) -> (Optimum, Vec<Iterate>) {
    let mut trace = Vec::new();
    let link = config.model().kind.link(rows.labels().iter().max().map_or(0, |&label| label as usize + 1));
    let found = find_optimum(&link, config, &rows.clone().into(), NonZero::new(1).unwrap(), &mut |iterate, _| {
        trace.push(*iterate);
        ControlFlow::Continue(())
    });
    (found.unwrap(), trace)
}

/// Returns J* to about 1e-14, the precision of f64.
fn minimum(kind: ModelKind, penalize_bias: &str, rows: &PackedRows) -> f64 {
    let exact = config(kind, &[penalize_bias, "optimum.tolerance=1e-14", "optimum.max_iterations=5000"]);
    let certificate = optimum(&exact, rows).0.certificate.unwrap();
    assert!(certificate.bound < 1e-11, "{certificate:?}");
    certificate.objective
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

impl Dense {
    fn probabilities(&self, at: &Parameters, row: usize) -> Vec<f64> {
        let z = self.logits(at, row);
        let ln_s = log_sum(&z);
        z.iter().map(|z| (z - ln_s).exp()).collect()
    }

    fn target(&self, row: usize) -> Vec<f64> {
        (0..self.k).map(|class| f64::from(u8::from(class == self.y[row]))).collect()
    }

    /// Returns `X^T D / N` and the column means of D, for a D with a row for each row of X and a
    /// column for each class. For the logistic model, only the last column.
    fn mean_product(&self, d: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
        let columns = if self.kind == ModelKind::Logistic { 1..2 } else { 0..self.k };
        let mean = |column: usize, x: &dyn Fn(usize) -> f64| {
            (0..d.len()).map(|row| x(row) * d[row][column]).sum::<f64>() / self.n()
        };
        let features = 0..self.x[0].len();
        let by_weight = features.flat_map(|j| columns.clone().map(move |c| (j, c)));
        (by_weight.map(|(j, c)| mean(c, &|row| self.x[row][j])).collect(), columns.map(|c| mean(c, &|_| 1.0)).collect())
    }

    /// Returns `P - Y`, row by row.
    fn residuals(&self, at: &Parameters) -> Vec<Vec<f64>> {
        (0..self.y.len()).map(|row| minus(&self.probabilities(at, row), &self.target(row))).collect()
    }
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

/// Returns pseudorandom numbers from -1 to 1, the same on every platform, from the shuffle of a
/// seed.
fn noise(seed: u64, count: usize) -> Vec<f64> {
    let steps = count.max(1000);
    let order = BatchOrder::new(Shuffle::ChaCha { seed }).next_epoch(steps);
    order[..count].iter().map(|&i| (2 * i) as f64 / (steps - 1) as f64 - 1.0).collect()
}

/// Returns parameters at various distances from the minimum.
fn test_points(problem: &Problem, kind: ModelKind) -> Vec<Parameters> {
    let (d, k) = (problem.n_features(), if kind == ModelKind::Logistic { 1 } else { 4 });
    let fixture = if kind == ModelKind::Logistic { "logistic" } else { "softmax" };
    let [weight, bias] = ["weight", "bias"].map(|part| numbers(&problem.fixture[fixture][part]));
    let mut points = Vec::new();
    for (seed, size) in [(1, 0.0), (2, 1e-6), (3, 1e-4), (4, 1e-2), (5, 0.3), (6, 3.0), (7, 20.0)] {
        let perturb =
            |values: &[f64], seed| values.iter().zip(noise(seed, values.len())).map(|(w, e)| w + size * e).collect();
        points.push(Parameters {
            n_features: d,
            columns: k,
            weight: perturb(&weight, seed),
            bias: perturb(&bias, 50 + seed),
        });
    }
    points
}

#[test]
fn eq_29_strong_convexity_bounds_the_distance_to_the_minimum() {
    let problem = Problem::read();
    for kind in KINDS {
        let (dense, lambda) = (problem.dense(kind), problem.lambda());
        let minimum = minimum(kind, "objective.penalize_bias=true", &problem.rows(kind));
        for at in test_points(&problem, kind) {
            let (by_weight, by_bias) = dense.mean_product(&dense.residuals(&at));
            let gradient = [by_weight, by_bias].concat();
            let with_penalty: f64 =
                gradient.iter().zip(at.weight.iter().chain(&at.bias)).map(|(g, w)| (g + lambda * w).powi(2)).sum();
            let above = dense.objective(&at, lambda, true) - minimum;
            let bound = with_penalty / (2.0 * lambda);
            assert!((-1e-13..=bound + 1e-13).contains(&above), "{kind:?}: {above:e} {bound:e}");
        }
    }
}

#[test]
fn eq_30_only_the_models_probabilities_give_the_cost() {
    let problem = Problem::read();
    for kind in KINDS {
        let dense = problem.dense(kind);
        for at in test_points(&problem, kind) {
            for row in 0..dense.y.len() {
                let (z, y, p) = (dense.logits(&at, row), dense.target(row), dense.probabilities(&at, row));
                let cost = log_sum(&z) - z[dense.y[row]];
                let lower_bound = |q: &[f64]| dot(&minus(q, &y), &z) + entropy(q);
                assert!((cost - lower_bound(&p)).abs() < 1e-10, "equality at p");
                let other: Vec<f64> = p.iter().rev().copied().collect();
                assert!(lower_bound(&other) <= cost + 1e-10);
                // The difference is the divergence.
                if p.iter().all(|&p| p > 1e-12) {
                    assert!((cost - lower_bound(&other) - divergence(&other, &p)).abs() < 1e-9);
                }
            }
        }
    }
}

/// Mixes `1 t^T` into the rows' probabilities, so that each class has its frequency. This is an
/// independent implementation of Eq. (32).
fn mix(dense: &Dense, at: &Parameters) -> (f64, Vec<f64>, Vec<Vec<f64>>) {
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
fn eq_31_the_duality_gap_is_a_divergence_plus_a_square() {
    let problem = Problem::read();
    for kind in KINDS {
        let (dense, lambda) = (problem.dense(kind), problem.lambda());
        let minimum = minimum(kind, "objective.penalize_bias=false", &problem.rows(kind));
        for at in test_points(&problem, kind) {
            let (_, _, q) = mix(&dense, &at);
            let rows = 0..dense.y.len();
            let from_target: Vec<_> = rows.clone().map(|row| minus(&q[row], &dense.target(row))).collect();
            let (r, column_means) = dense.mean_product(&from_target);
            assert!(column_means.iter().all(|mean| mean.abs() < 1e-14), "{column_means:?}");
            let dual = rows.clone().map(|row| entropy(&q[row])).sum::<f64>() / dense.n() - dot(&r, &r) / (2.0 * lambda);
            assert!(dual <= minimum + 1e-12, "{kind:?}: {dual} is not a lower bound of {minimum}");
            let divergence =
                rows.map(|row| divergence(&q[row], &dense.probabilities(&at, row))).sum::<f64>() / dense.n();
            let squared_norm: f64 = r.iter().zip(&at.weight).map(|(r, w)| (r + lambda * w).powi(2)).sum();
            let gap = divergence + squared_norm / (2.0 * lambda);
            let direct = dense.objective(&at, lambda, false) - dual;
            assert!((gap - direct).abs() <= 1e-11 * direct.max(1.0), "{kind:?}: {gap:e} {direct:e}");
        }
    }
}

#[test]
fn eq_32_the_mixture_has_the_class_frequencies() {
    let problem = Problem::read();
    for kind in KINDS {
        let dense = problem.dense(kind);
        for at in test_points(&problem, kind) {
            let (theta, t, q) = mix(&dense, &at);
            // The rounding of t grows as theta shrinks, so the mixture has only the usual rounding.
            assert!(
                (0.0..1.0).contains(&theta) && theta * (t.iter().sum::<f64>() - 1.0).abs() < 1e-15,
                "{theta} {t:?}"
            );
            assert!(q.iter().flatten().all(|&q| (0.0..=1.0 + 1e-15).contains(&q)));
            for class in 0..dense.k {
                let error = (0..q.len()).map(|row| q[row][class] - dense.target(row)[class]).sum::<f64>() / dense.n();
                assert!(error.abs() < 1e-14, "{kind:?}: the frequency of class {class} is wrong by {error:e}");
            }
        }
    }
}

/// Computes Eq. (33) in plain loops.
fn bound_with_free_bias(dense: &Dense, at: &Parameters, lambda: f64) -> f64 {
    let (theta, t, _) = mix(dense, at);
    let p = |row| dense.probabilities(at, row);
    let n = dense.y.len();
    let (g, _) = dense.mean_product(&dense.residuals(at));
    let (toward, _) = dense.mean_product(&(0..n).map(|row| minus(&t, &p(row))).collect::<Vec<_>>());
    let squared_norm: f64 = (0..g.len()).map(|i| (g[i] + lambda * at.weight[i] + theta * toward[i]).powi(2)).sum();
    let mean_divergence = (0..n).map(|row| divergence(&t, &p(row))).sum::<f64>() / dense.n();
    squared_norm / (2.0 * lambda) + theta * mean_divergence
}

#[test]
fn eq_33_the_bound_is_computed_from_gradients() {
    let problem = Problem::read();
    for kind in KINDS {
        let (dense, lambda, rows) = (problem.dense(kind), problem.lambda(), problem.rows(kind));
        let minimum = minimum(kind, "objective.penalize_bias=false", &rows);
        for at in test_points(&problem, kind) {
            let above = dense.objective(&at, lambda, false) - minimum;
            let bound = bound_with_free_bias(&dense, &at, lambda);
            assert!((-1e-13..=bound + 1e-13).contains(&above), "{kind:?}: {above:e} {bound:e}");
        }
        // `find_optimum` computes the same bound from full gradients, after few iterations (a
        // coarse mixture) and after many.
        for iterations in [1, 2, 5, 12, 1000] {
            let iterations = format!("optimum.max_iterations={iterations}");
            let free = config(kind, &["objective.penalize_bias=false", "optimum.tolerance=1e-10", &iterations]);
            let Optimum { parameters, certificate, .. } = optimum(&free, &rows).0;
            let certificate = certificate.unwrap();
            let expected = bound_with_free_bias(&dense, &parameters, lambda);
            let error = (certificate.bound - expected).abs();
            assert!(error < 1e-4 * expected + 1e-15, "{kind:?}: {:e} {expected:e}", certificate.bound);
        }
    }
}

/// Newton's step in plain loops: Eqs. (35) and (36).
struct Newton {
    /// The gradient of J, W row by row, then b.
    gradient: Vec<f64>,
    /// The Hessian of J, `[m, m]`.
    hessian: Vec<f64>,
    step: Vec<f64>,
    decrement: f64,
}

impl Newton {
    fn of(dense: &Dense, at: &Parameters, lambda: f64) -> Self {
        let (d, k, n) = (at.n_features, at.columns, dense.y.len());
        let (m, offset) = ((d + 1) * k, dense.k - k);
        let (by_weight, by_bias) = dense.mean_product(&dense.residuals(at));
        let by_weight: Vec<f64> = by_weight.iter().zip(&at.weight).map(|(g, w)| g + lambda * w).collect();
        let gradient = [by_weight, by_bias].concat();
        let mut hessian = vec![0.0; m * m];
        for row in 0..n {
            let (p, x) = (dense.probabilities(at, row), [&dense.x[row][..], &[1.0]].concat());
            for (a, b) in (0..m).flat_map(|a| (0..m).map(move |b| (a, b))) {
                let (j, l) = (a % k + offset, b % k + offset);
                let s = if j == l { p[j] } else { 0.0 } - p[j] * p[l];
                hessian[a * m + b] += x[a / k] * x[b / k] * s / dense.n();
            }
        }
        (0..d * k).for_each(|a| hessian[a * m + a] += lambda);
        // The same change of all biases of softmax changes nothing.
        let mut regular = hessian.clone();
        if k > 1 {
            (d * k..m).for_each(|a| (d * k..m).for_each(|b| regular[a * m + b] += 1.0));
        }
        let step: Vec<f64> = solve(regular, &gradient).iter().map(|x| -x).collect();
        let decrement = -dot(&step, &gradient);
        Self { gradient, hessian, step, decrement }
    }

    fn product(&self, v: &[f64]) -> Vec<f64> {
        self.hessian.chunks(v.len()).map(|row| dot(row, v)).collect()
    }
}

/// Solves a system of equations by elimination with pivots.
fn solve(mut a: Vec<f64>, b: &[f64]) -> Vec<f64> {
    let (m, mut x) = (b.len(), b.to_vec());
    for i in 0..m {
        let pivot = (i..m).max_by(|&r, &s| a[r * m + i].abs().total_cmp(&a[s * m + i].abs())).unwrap();
        (0..m).for_each(|j| a.swap(i * m + j, pivot * m + j));
        x.swap(i, pivot);
        for row in (0..m).filter(|&row| row != i) {
            let factor = a[row * m + i] / a[i * m + i];
            (i..m).for_each(|j| a[row * m + j] -= factor * a[i * m + j]);
            x[row] -= factor * x[i];
        }
    }
    (0..m).map(|i| x[i] / a[i * m + i]).collect()
}

fn moved(at: &Parameters, step: &[f64], length: f64) -> Parameters {
    let (by_weight, by_bias) = step.split_at(at.weight.len());
    let add = |w: &[f64], step: &[f64]| w.iter().zip(step).map(|(w, step)| w + length * step).collect();
    Parameters { weight: add(&at.weight, by_weight), bias: add(&at.bias, by_bias), ..at.clone() }
}

#[test]
fn eq_35_and_36_the_hessian_is_the_slope_of_the_gradient_and_the_step_goes_to_the_minimum() {
    let problem = Problem::read();
    for kind in KINDS {
        let (dense, lambda) = (problem.dense(kind), problem.lambda());
        let minimum = minimum(kind, "objective.penalize_bias=false", &problem.rows(kind));
        for at in test_points(&problem, kind).iter().take(5) {
            let newton = Newton::of(&dense, at, lambda);
            let direction = noise(9, newton.step.len());
            let [before, after] = [-1e-5, 1e-5].map(|h| Newton::of(&dense, &moved(at, &direction, h), lambda).gradient);
            let differences = minus(&after, &before).iter().map(|change| change / 2e-5).collect::<Vec<_>>();
            let product = newton.product(&direction);
            let largest = differences.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
            let error = minus(&product, &differences).iter().fold(0.0, |max: f64, x| max.max(x.abs()));
            assert!(error < 1e-7 * largest, "{kind:?}: {error:e} of {largest:e}");

            let again = newton.product(&newton.step);
            let residual = again.iter().zip(&newton.gradient).fold(0.0, |max: f64, (a, g)| max.max((a + g).abs()));
            assert!(residual < 1e-9 && (dot(&newton.step, &again) / newton.decrement - 1.0).abs() < 1e-6, "{residual}");
            // Near the minimum, J falls by half of the decrement, to nearly the minimum.
            if newton.decrement < 1e-4 && newton.decrement > 1e-12 {
                let [old, new] =
                    [0.0, 1.0].map(|length| dense.objective(&moved(at, &newton.step, length), lambda, false) - minimum);
                assert!((old / (newton.decrement / 2.0) - 1.0).abs() < 0.05 && new < 0.01 * old, "{old:e} {new:e}");
            }
        }
    }
}

#[test]
fn eq_37_and_38_the_decrement_bounds_the_distance_to_the_minimum() {
    let problem = Problem::read();
    let mut n_bounds = 0;
    for kind in KINDS {
        let (dense, lambda) = (problem.dense(kind), problem.lambda());
        let minimum = minimum(kind, "objective.penalize_bias=false", &problem.rows(kind));
        for at in test_points(&problem, kind) {
            let newton = Newton::of(&dense, &at, lambda);
            let along = moved(&Parameters::zeros(at.n_features, at.columns), &newton.step, 1.0);
            let rows = 0..dense.y.len();
            let (mut q, mut largest, mut mean_divergence) = (Vec::new(), 0.0f64, 0.0);
            for row in rows.clone() {
                let (p, u) = (dense.probabilities(&at, row), dense.logits(&along, row));
                let mean = dot(&p, &u);
                let moved: Vec<f64> = p.iter().zip(&u).map(|(p, u)| p * (1.0 + u - mean)).collect();
                assert!((moved.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{moved:?}");
                largest = u.iter().fold(largest, |max, u| max.max((u - mean).abs()));
                mean_divergence += divergence(&moved, &p) / dense.n();
                q.push(moved);
            }
            let residuals: Vec<_> = rows.map(|row| minus(&q[row], &dense.target(row))).collect();
            let (by_weight, by_bias) = dense.mean_product(&residuals);
            let size = newton.step.iter().fold(1.0, |max: f64, x| max.max(x.abs()));
            for (i, r) in by_weight.iter().enumerate() {
                assert!((r + lambda * at.weight[i] + lambda * newton.step[i]).abs() < 1e-9 * size, "{kind:?}: {r}");
            }
            assert!(by_bias.iter().all(|mean| mean.abs() < 1e-9 * size), "{by_bias:?}");
            if largest <= 1.0 {
                n_bounds += 1;
                let squares = dot(&newton.step[..at.weight.len()], &newton.step[..at.weight.len()]);
                let gap = mean_divergence + lambda / 2.0 * squares;
                let above = dense.objective(&at, lambda, false) - minimum;
                assert!(
                    above <= gap + 1e-12 && gap <= newton.decrement + 1e-13,
                    "{above:e} {gap:e} {}",
                    newton.decrement
                );
            }
        }
    }
    assert!(n_bounds >= 8, "{n_bounds} points are near enough");
}

#[test]
fn the_bound_holds_at_every_iteration_and_reaches_the_tolerance() {
    let problem = Problem::read();
    for kind in KINDS {
        for penalize_bias in ["objective.penalize_bias=true", "objective.penalize_bias=false"] {
            let rows = problem.rows(kind);
            let minimum = minimum(kind, penalize_bias, &rows);
            let (found, trace) = optimum(&config(kind, &[penalize_bias, "optimum.tolerance=1e-10"]), &rows);
            for iterate in &trace {
                let above = iterate.objective - minimum;
                assert!(above >= -1e-13, "{kind:?} {penalize_bias}: below the minimum by {above:e}");
                assert!(
                    above <= iterate.bound + 1e-13,
                    "{kind:?} {penalize_bias}: {above:e} above the minimum, but the bound is {:e}",
                    iterate.bound
                );
            }
            let certificate = found.certificate.unwrap();
            assert_eq!((certificate.ended, certificate.holds()), (SearchEnd::Converged, true), "{certificate:?}");
            assert!(certificate.bound <= 1e-10 && certificate.iterations < 150, "{certificate:?}");
            assert_eq!(certificate.iterations, trace.len() - 1);
            // The bound is also useful: at the start it has a reasonable size.
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
        let (Optimum { parameters, certificate, .. }, _) = optimum(&free, &problem.rows(kind));
        let certificate = certificate.unwrap();
        assert!((certificate.objective - expected["objective"].as_f64().unwrap()).abs() < 1e-12, "{certificate:?}");
        assert_close(&parameters.weight, &numbers(&expected["weight"]), 1e-5, "weights");
        assert_close(&centred(&parameters.bias), &centred(&numbers(&expected["bias"])), 1e-5, "bias");
    }
}

/// Subtracts the mean. Adding a constant to every class's bias changes nothing.
fn centred(bias: &[f64]) -> Vec<f64> {
    if bias.len() == 1 {
        return bias.to_vec();
    }
    let mean = bias.iter().sum::<f64>() / bias.len() as f64;
    bias.iter().map(|b| b - mean).collect()
}

#[test]
fn the_parameters_with_the_lowest_bound_are_returned() {
    let problem = Problem::read();
    let mut n_increases = 0;
    for kind in KINDS {
        for iterations in 1..=20 {
            let iterations = format!("optimum.max_iterations={iterations}");
            let exact = config(kind, &[&iterations, "optimum.tolerance=1e-14"]);
            let (found, trace) = optimum(&exact, &problem.rows(kind));
            let lowest = trace.iter().map(|iterate| iterate.bound).fold(f64::INFINITY, f64::min);
            assert_eq!(found.certificate.unwrap().bound, lowest, "{kind:?} {iterations}");
            n_increases += usize::from(trace.last().unwrap().bound > lowest);
        }
    }
    assert!(n_increases > 0, "the test needs a bound that increases");
}

#[test]
fn a_very_large_penalty_converges_at_the_start() {
    let problem = Problem::read();
    let heavy = config(ModelKind::Softmax, &["objective.l2=1e6", "objective.penalize_bias=true"]);
    let (found, trace) = optimum(&heavy, &problem.rows(ModelKind::Softmax));
    assert_eq!((found.certificate.unwrap().iterations, found.ended), (0, SearchEnd::Converged));
    assert_eq!(trace.len(), 1);
}

#[test]
fn the_minimum_does_not_depend_on_the_threads() {
    let problem = Problem::read();
    let (rows, config) = (problem.rows(ModelKind::Softmax), config(ModelKind::Softmax, &["optimum.tolerance=1e-12"]));
    let link = ModelKind::Softmax
        .link(problem.rows(ModelKind::Softmax).labels().iter().max().map_or(0, |&label| label as usize + 1));
    let find = |threads| {
        find_optimum(&link, &config, &rows.clone().into(), NonZero::new(threads).unwrap(), &mut |_, _| {
            ControlFlow::Continue(())
        })
    };
    let (one, two, again) = (find(1).unwrap(), find(2).unwrap(), find(2).unwrap());
    assert_eq!(two, again, "the same number of threads gives the same bits");
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
            let certificate = found.certificate.unwrap();
            assert_eq!(certificate.ended, SearchEnd::Converged, "{certificate:?}");
            // Compute J by plain loops, in f64, at the same weights.
            let objective = problem.dense(kind).objective(&found.parameters, problem.lambda(), penalize_bias);
            assert!((certificate.objective - objective).abs() < 1e-13, "{objective} {certificate:?}");
            assert!(found.parameters.weight.iter().all(|&w| f64::from(w as f32) == w), "the parameters are f32 values");
            let minimum = minimum(kind, &more, &problem.rows(kind));
            assert!(objective - minimum <= certificate.bound + 1e-13, "{} {}", objective - minimum, certificate.bound);
            assert!(certificate.gradients > trace.len(), "the certificate needs one more gradient");
        }
    }
}
