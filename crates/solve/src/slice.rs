//! The objective as a function of two weights, with all other parameters fixed. It can be drawn.

use std::sync::Arc;

use chainrule_core::{Gradient, Link, LinkKind, Parameters, Precision};
use chainrule_data::{DataError, RowBuffer, Rows};

use crate::host::GradientSums;
use crate::summary::SummaryModel;

/// The objective over the weights u and v of two features, of one class:
///
/// `J(u, v) = mean_i r_i (loss(u a_i + v b_i + c_i) + d_i) + (lambda / 2) (u^2 + v^2 + rest)`
///
/// `a` and `b` are the two features, and `r_i` is the weight of the row. For a logistic model,
/// `c_i` is the logit of row i without them, and `d_i` is 0. For softmax with the class k, the
/// other logits are fixed. With `S = ln sum_{l != k} exp(z_l)`, the cross-entropy of a row is that
/// of a logistic model of k against all others: `c_i` is the logit of k without the two features,
/// minus S, and `d_i` is `S - z_y` for a row of another class y, else 0. All sums are plain loops
/// in f64.
pub struct LossSlice {
    link: Arc<dyn Link>,
    /// Row by row: a, b and c. `[n, 3]`
    rows: Vec<f64>,
    /// The class and the weight of each row.
    targets: Vec<(f64, f64)>,
    l2: f64,
    /// The sum of the squares of the other penalised parameters.
    rest: f64,
    /// The mean of `r_i d_i`.
    constant: f64,
}

impl LossSlice {
    /// Takes the training rows of a model, the positions of the two features, and the column of the
    /// weights: 0 for a logistic model, the class for softmax.
    ///
    /// # Errors
    /// If the rows cannot be read, or if all have the weight 0.
    ///
    /// # Panics
    /// If the model has fewer columns or features.
    pub fn new(model: &SummaryModel, rows: &Rows, features: [usize; 2], column: usize) -> Result<Self, DataError> {
        let Parameters { columns: k, weight, bias, .. } = model.parameters;
        assert!(column < *k, "the model has {k} columns of weights");
        let is_varied = |position: &usize| position % k == column && features.contains(&(position / k));
        let objective = model.config.objective();
        let (mut buffer, mut x) = (RowBuffer::default(), Vec::new());
        let (mut numbers, mut targets) = (Vec::with_capacity(3 * rows.len()), Vec::with_capacity(rows.len()));
        let of_rows = rows.weights()?;
        let mut constant = 0.0;
        for row in 0..rows.len() {
            x.clear();
            model.preprocessing.append_features(rows.row(row, &mut buffer)?, Precision::F64, &mut x);
            let mut z = bias.clone();
            for (position, w) in weight.iter().enumerate().filter(|(position, _)| !is_varied(position)) {
                z[position % k] += x[position / k] * w;
            }
            let class = usize::from(rows.label(row));
            let of_class = model.class_weights.map_or(1.0, |weights| weights[class]);
            let row_weight = of_class * of_rows.as_ref().map_or(1.0, |weights| weights.get(row));
            let own = z.swap_remove(column);
            let (offset, target) = if z.is_empty() {
                (own, class)
            } else {
                let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let others = largest + z.iter().map(|z| (z - largest).exp()).sum::<f64>().ln();
                // The last logit took the place of the removed one.
                let of_class = if class == z.len() { column } else { class };
                if class != column {
                    constant += row_weight * (others - z[of_class]);
                }
                (own - others, usize::from(class == column))
            };
            numbers.extend([x[features[0]], x[features[1]], offset]);
            targets.push((target as f64, row_weight));
        }
        let others = weight.iter().enumerate().filter(|(position, _)| !is_varied(position)).map(|(_, w)| w);
        let bias = bias.iter().filter(|_| objective.penalize_bias);
        let rest = others.chain(bias).map(|w| w * w).sum();
        let constant = constant / rows.len().max(1) as f64;
        Ok(Self { link: LinkKind::Logistic.link(1), rows: numbers, targets, l2: objective.l2, rest, constant })
    }

    /// Returns the objective and its gradient at two weights.
    pub fn at(&self, w: [f64; 2]) -> (f64, [f64; 2]) {
        // The logit of the others is a third feature with the weight 1.
        let at = Parameters { n_features: 3, columns: 1, weight: vec![w[0], w[1], 1.0], bias: vec![0.0] };
        let mut sums = GradientSums::new(&*self.link, &at);
        sums.add(&self.rows, self.targets.iter().copied());
        let Gradient { loss, weight, .. } = sums.mean();
        let penalty = self.l2 / 2.0 * (w[0] * w[0] + w[1] * w[1] + self.rest);
        (loss + self.constant + penalty, [0, 1].map(|i| weight[i] + self.l2 * w[i]))
    }

    /// Returns the Hessian at two weights, row by row, by central differences of the gradient.
    pub fn hessian(&self, w: [f64; 2]) -> [[f64; 2]; 2] {
        let step = 1e-5 * w[0].abs().max(w[1].abs()).max(1.0);
        let column = |i: usize| {
            let moved = |by: f64| {
                let mut w = w;
                w[i] += by;
                self.at(w).1
            };
            let (after, before) = (moved(step), moved(-step));
            [0, 1].map(|j| (after[j] - before[j]) / (2.0 * step))
        };
        let [a, b] = [column(0), column(1)];
        let mixed = (a[1] + b[0]) / 2.0;
        [[a[0], mixed], [mixed, b[1]]]
    }

    /// Returns the weights of the minimum, by Newton's method from these, with steps halved until
    /// they go down. `None` if there is no minimum near enough, as for classes that a line
    /// separates.
    pub fn minimum(&self, from: [f64; 2]) -> Option<[f64; 2]> {
        let mut w = from;
        for _ in 0..100 {
            let (loss, [g, h]) = self.at(w);
            let [[a, b], [_, d]] = self.hessian(w);
            let determinant = a * d - b * b;
            if determinant.is_nan() || determinant <= 0.0 {
                return None;
            }
            let step = [(d * g - b * h) / determinant, (a * h - b * g) / determinant];
            if step.iter().all(|step| step.abs() < 1e-9 * w[0].abs().max(w[1].abs()).max(1.0)) {
                return Some(w);
            }
            let moved = |part: f64| [w[0] - part * step[0], w[1] - part * step[1]];
            // Near the minimum, rounding hides the last decrease.
            let is_down = |part: &f64| self.at(moved(*part)).0 <= loss + 1e-15;
            let part = std::iter::successors(Some(1.0), |part| Some(part / 2.0)).take(40).find(is_down)?;
            w = moved(part);
        }
        None
    }

    /// Returns the largest eigenvalue of the Hessian at the minimum. Gradient descent with a rate
    /// above 2 over it does not stay at the minimum.
    pub fn curvature(&self, minimum: [f64; 2]) -> f64 {
        let [[a, b], [_, d]] = self.hessian(minimum);
        f64::midpoint(a, d) + ((a - d) / 2.0).hypot(b)
    }

    /// Returns the weights before each step of gradient descent on all rows, and after the last
    /// one. It ends early where the weights are farther than `reach` from where it began.
    pub fn descend(&self, start: [f64; 2], learning_rate: f64, steps: usize, reach: f64) -> Vec<[f64; 2]> {
        let mut path = vec![start];
        let mut w = start;
        for _ in 0..steps {
            let (_, gradient) = self.at(w);
            w = [0, 1].map(|i| w[i] - learning_rate * gradient[i]);
            path.push(w);
            let distance = (w[0] - start[0]).hypot(w[1] - start[1]);
            if distance.is_nan() || distance > reach {
                break;
            }
        }
        path
    }
}
