//! Losses, residuals and accuracy, for a group of sixteen rows at a time.
//!
//! The logits of a group are k vectors, one per column of W. Each lane of a vector is one row. To
//! compute a gradient, the residuals `p - y` replace the logits.

use std::sync::Arc;

use chainrule_core::{Link, LinkKind};

use crate::lanes::{LANES, Lanes};
use crate::packed_rows::Targets;
use crate::real::Real;

/// The loss of a link, with the weights of the classes.
#[derive(Clone, Debug)]
pub(crate) struct LossFunction {
    kind: LossKind,
    /// The weight of each class's rows. Without weights, it is 1.
    class_weights: Option<Arc<[f64]>>,
}

/// This file has vector code for the logistic and the softmax loss. All other links are computed
/// row by row.
#[derive(Clone, Debug)]
enum LossKind {
    Logistic,
    Softmax { n_classes: usize },
    Other(Arc<dyn Link>),
}

impl LossFunction {
    pub(crate) fn new(link: Arc<dyn Link>) -> Self {
        let kind = match link.kind() {
            Some(LinkKind::Logistic) => LossKind::Logistic,
            Some(LinkKind::Softmax) => LossKind::Softmax { n_classes: link.columns() },
            _ => LossKind::Other(link),
        };
        Self { kind, class_weights: None }
    }

    /// Sets the weight of each class's rows.
    pub(crate) fn with_class_weights(self, class_weights: Arc<[f64]>) -> Self {
        Self { class_weights: Some(class_weights), ..self }
    }

    /// Whether the classes or these rows have weights.
    #[inline(always)]
    fn is_weighted(&self, targets: &Targets) -> bool {
        self.class_weights.is_some() || targets.weights().is_some()
    }

    /// Returns the weight of a row, multiplied by that of its class.
    fn weight(&self, targets: &Targets, row: usize, label: usize) -> f64 {
        self.class_weights.as_ref().map_or(1.0, |weights| weights[label])
            * targets.weights().map_or(1.0, |weights| weights[row])
    }

    /// Number of columns of W.
    pub(crate) fn columns(&self) -> usize {
        match &self.kind {
            LossKind::Logistic => 1,
            LossKind::Softmax { n_classes } => *n_classes,
            LossKind::Other(link) => link.columns(),
        }
    }
}

impl LossFunction {
    /// Overwrites `curvature` with the second derivatives of the losses of a group of `n` rows by
    /// their logits: a vector for each pair of columns j <= l, as [`column_pairs`] orders them.
    /// Lane i is the row `row(i)`. Lanes without a row get zeros.
    ///
    /// [`LossStats::add_group`] has replaced `logits` by `residuals`.
    #[inline(always)]
    pub(crate) fn curvature(
        &self,
        logits: &[Lanes<f64>],
        residuals: &[Lanes<f64>],
        targets: &Targets,
        row: impl Fn(usize) -> usize,
        n: usize,
        curvature: &mut [Lanes<f64>],
    ) {
        curvature.fill(Lanes::ZERO);
        let is_weighted = self.is_weighted(targets);
        for lane in 0..n {
            let label = targets.labels().get(row(lane)).map_or(0, |&label| label as usize);
            let weight = if is_weighted { self.weight(targets, row(lane), label) } else { 1.0 };
            if weight == 0.0 {
                continue;
            }
            match &self.kind {
                LossKind::Logistic => {
                    // p (1 - p) is the same for both classes, and |p - y| is exact near 0.
                    let residual = (residuals[0].0[lane] / weight).abs();
                    curvature[0].0[lane] = weight * residual * (1.0 - residual);
                }
                LossKind::Softmax { n_classes } => {
                    let probability =
                        |class: usize| residuals[class].0[lane] / weight + f64::from(u8::from(class == label));
                    for (pair, [j, l]) in column_pairs(*n_classes).enumerate() {
                        let p = probability(j);
                        let q = match (j == l, j == label) {
                            (true, true) => -residuals[j].0[lane] / weight,
                            (true, false) => 1.0 - p,
                            (false, _) => -probability(l),
                        };
                        curvature[pair].0[lane] = weight * p * q;
                    }
                }
                LossKind::Other(link) => {
                    let z: Vec<f64> = logits.iter().map(|logits| logits.0[lane]).collect();
                    for l in 0..z.len() {
                        let mut direction = vec![0.0; z.len()];
                        direction[l] = 1.0;
                        link.hessian_vector_product(&z, &mut direction);
                        let of_column =
                            column_pairs(z.len()).zip(&mut *curvature).filter(|([_, second], _)| *second == l);
                        of_column.for_each(|([j, _], curvature)| curvature.0[lane] = weight * direction[j]);
                    }
                }
            }
        }
    }
}

/// The pairs of columns j <= l.
pub(crate) fn column_pairs(k: usize) -> impl Iterator<Item = [usize; 2]> {
    (0..k).flat_map(move |j| (j..k).map(move |l| [j, l]))
}

/// The results that a pass computes. `Gradient` includes the loss, and every mode the accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PassMode {
    /// The number of correctly classified rows.
    Accuracy,
    /// The margin of each row.
    Margins,
    /// The sum of the losses.
    Loss,
    /// The sums of the gradient.
    Gradient,
}

/// Running totals of a pass: its loss and its number of correctly classified rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct LossStats {
    /// Sum of the losses, without the logarithms that are in `log_sum`.
    loss_without_logs: f64,
    /// Sum of the logarithms in the losses.
    log_sum: LogSum,
    /// Buffer for the logits of one row, for links without vector code.
    row_logits: Vec<f64>,
    /// Number of correctly classified rows.
    n_correct: usize,
    /// The margin of each row, in mode `Margins`: see [`Self::add_margin`].
    margins: Vec<f32>,
}

impl PassMode {
    /// Whether the pass computes losses.
    fn has_loss(self) -> bool {
        matches!(self, Self::Loss | Self::Gradient)
    }
}

impl LossStats {
    /// Returns the sum of the losses and the number of correctly classified rows, and resets both.
    pub(crate) fn take(&mut self) -> (f64, usize) {
        let margins = std::mem::take(&mut self.margins);
        let Self { loss_without_logs, log_sum, n_correct, .. } =
            std::mem::replace(self, Self { margins, ..Self::default() });
        (loss_without_logs + log_sum.total(), n_correct)
    }

    /// Returns the margins of the rows, and removes them.
    pub(crate) fn take_margins(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.margins)
    }

    /// Adds the distance of the logit of a row's class from the highest other logit. It is negative
    /// if the row is not classified correctly.
    #[inline(always)]
    fn add_margin<T: Real>(&mut self, distance: T, is_correct: bool) {
        let size = (distance.to_f64() as f32).abs();
        self.margins.push(if is_correct { size } else { -size });
    }

    /// Adds a group of `n` rows to the totals. Lane i is the row `row(i)`. `logits` has one vector
    /// per column of W.
    ///
    /// In mode `Gradient`, the residuals replace the logits. The residuals of lanes without a row
    /// are zero. In mode `Loss`, the logits are overwritten with intermediate values.
    #[inline(always)]
    pub(crate) fn add_group<T: Real, const FMA: bool>(
        &mut self,
        function: &LossFunction,
        logits: &mut [Lanes<T>],
        targets: &Targets,
        row: impl Fn(usize) -> usize,
        n: usize,
        mode: PassMode,
    ) {
        let mut labels = [0; LANES];
        let classes = targets.labels();
        if !classes.is_empty() {
            for (lane, label) in labels.iter_mut().enumerate().take(n) {
                *label = classes[row(lane)];
            }
        }
        let mut weights = None;
        if function.is_weighted(targets) {
            let weights = weights.insert([1.0; LANES]);
            for (lane, weight) in weights.iter_mut().enumerate().take(n) {
                *weight = function.weight(targets, row(lane), labels[lane] as usize);
            }
        }
        match &function.kind {
            LossKind::Logistic => self.logistic::<T, FMA>(logits, &labels, weights, n, mode),
            LossKind::Softmax { .. } => self.softmax::<T, FMA>(logits, &labels, weights, n, mode),
            LossKind::Other(link) => {
                let target = |lane| targets.target(row(lane));
                self.other_link::<T>(&**link, logits, target, weights, n, mode);
            }
        }
        if mode == PassMode::Gradient {
            if let Some(weights) = weights {
                for logits in logits.iter_mut() {
                    for lane in 0..LANES {
                        logits.0[lane] = logits.0[lane] * T::from_f64(weights[lane]);
                    }
                }
            }
            zero_unused_lanes(logits, n);
        }
    }

    /// Softmax regression: see [`Self::add_group`].
    #[inline(always)]
    fn softmax<T: Real, const FMA: bool>(
        &mut self,
        logits: &mut [Lanes<T>],
        labels: &[u32; LANES],
        weights: Option<[f64; LANES]>,
        n: usize,
        mode: PassMode,
    ) {
        let mut label_logit = [T::ZERO; LANES];
        for lane in 0..LANES {
            label_logit[lane] = logits[labels[lane] as usize].0[lane];
        }
        let mut is_correct = [true; LANES];
        let mut max_logit = [T::NEG_INFINITY; LANES];
        for (class, logits) in logits.iter().enumerate() {
            for lane in 0..LANES {
                let (logit, label_logit, max_logit) = (logits.0[lane], label_logit[lane], &mut max_logit[lane]);
                // If several logits are equal, the first class is predicted. A row with a NaN is
                // never correct.
                is_correct[lane] &=
                    if (class as u32) < labels[lane] { logit < label_logit } else { logit <= label_logit };
                // This is faster than `max`, and a NaN still makes the loss NaN.
                *max_logit = if logit <= *max_logit { *max_logit } else { logit };
            }
        }
        for is_correct in &is_correct[..n] {
            self.n_correct += usize::from(*is_correct);
        }
        if mode == PassMode::Margins {
            let mut max_other = [T::NEG_INFINITY; LANES];
            for (class, logits) in logits.iter().enumerate() {
                for lane in 0..LANES {
                    let is_label = class as u32 == labels[lane];
                    let logit = if is_label { T::NEG_INFINITY } else { logits.0[lane] };
                    max_other[lane] = if logit <= max_other[lane] { max_other[lane] } else { logit };
                }
            }
            for lane in 0..n {
                self.add_margin(label_logit[lane] - max_other[lane], is_correct[lane]);
            }
        }
        if !mode.has_loss() {
            return;
        }
        let mut exp_sum = [T::ZERO; LANES];
        for logits in logits.iter_mut() {
            for lane in 0..LANES {
                let exp = (logits.0[lane] - max_logit[lane]).exp_nonpositive::<FMA>();
                logits.0[lane] = exp;
                exp_sum[lane] += exp;
            }
        }
        for lane in 0..n {
            self.add_loss((max_logit[lane] - label_logit[lane]).to_f64(), exp_sum[lane].to_f64(), weights, lane);
        }
        if mode == PassMode::Gradient {
            let mut reciprocals = [T::ZERO; LANES];
            for lane in 0..LANES {
                reciprocals[lane] = T::ONE / exp_sum[lane];
            }
            for logits in logits.iter_mut() {
                for lane in 0..LANES {
                    logits.0[lane] = logits.0[lane] * reciprocals[lane];
                }
            }
            for lane in 0..LANES {
                logits[labels[lane] as usize].0[lane] += -T::ONE;
            }
        }
    }

    /// Logistic regression: see [`Self::add_group`]. Label 1 is the positive class. The logits stay
    /// unchanged in mode `Loss`.
    #[inline(always)]
    fn logistic<T: Real, const FMA: bool>(
        &mut self,
        logits: &mut [Lanes<T>],
        labels: &[u32; LANES],
        weights: Option<[f64; LANES]>,
        n: usize,
        mode: PassMode,
    ) {
        let z = logits[0].0;
        let [mut is_positive, mut is_correct] = [[false; LANES]; 2];
        for lane in 0..LANES {
            is_positive[lane] = labels[lane] == 1;
            // A row with a NaN is never correct.
            is_correct[lane] = if is_positive[lane] { z[lane] > T::ZERO } else { z[lane] <= T::ZERO };
        }
        for is_correct in &is_correct[..n] {
            self.n_correct += usize::from(*is_correct);
        }
        if mode == PassMode::Margins {
            for lane in 0..n {
                self.add_margin(z[lane], is_correct[lane]);
            }
        }
        if !mode.has_loss() {
            return;
        }
        let [mut abs_z, mut exp_neg_abs] = [[T::ZERO; LANES]; 2];
        for lane in 0..LANES {
            abs_z[lane] = if z[lane] < T::ZERO { -z[lane] } else { z[lane] };
            exp_neg_abs[lane] = (-abs_z[lane]).exp_nonpositive::<FMA>(); // exp(-|z|)
        }
        for lane in 0..n {
            // The loss is max(z, 0) - y z + ln(1 + exp(-|z|)). Its linear part is 0 or |z|.
            let linear = if is_correct[lane] { T::ZERO } else { abs_z[lane] };
            self.add_loss(linear.to_f64(), 1.0 + exp_neg_abs[lane].to_f64(), weights, lane);
        }
        if mode == PassMode::Gradient {
            for lane in 0..LANES {
                let p = (if z[lane] < T::ZERO { exp_neg_abs[lane] } else { T::ONE }) / (T::ONE + exp_neg_abs[lane]);
                logits[0].0[lane] = if is_positive[lane] { p - T::ONE } else { p };
            }
        }
    }

    /// Any other link, row by row in f64: see [`Self::add_group`]. The residuals replace the
    /// logits in the modes with a loss.
    #[inline(always)]
    fn other_link<T: Real>(
        &mut self,
        link: &dyn Link,
        logits: &mut [Lanes<T>],
        target: impl Fn(usize) -> f64,
        weights: Option<[f64; LANES]>,
        n: usize,
        mode: PassMode,
    ) {
        for lane in 0..n {
            self.row_logits.clear();
            self.row_logits.extend(logits.iter().map(|logits| logits.0[lane].to_f64()));
            let target = target(lane);
            let is_correct = link.is_correct(&self.row_logits, target);
            self.n_correct += usize::from(is_correct);
            if mode == PassMode::Margins {
                // Nothing is known of the link.
                self.add_margin(T::ZERO, is_correct);
            }
            if !mode.has_loss() {
                continue;
            }
            let loss = link.loss_and_residual(&mut self.row_logits, target);
            self.loss_without_logs += weights.map_or(loss, |weights| weights[lane] * loss);
            for (logits, &residual) in logits.iter_mut().zip(&self.row_logits) {
                logits.0[lane] = T::from_f64(residual);
            }
        }
    }

    /// Adds the loss `linear + ln(exp)` of a row.
    #[inline(always)]
    fn add_loss(&mut self, linear: f64, exp: f64, weights: Option<[f64; LANES]>, lane: usize) {
        if let Some(weights) = weights {
            self.loss_without_logs += weights[lane] * (linear + exp.ln());
        } else {
            self.loss_without_logs += linear;
            self.log_sum.add(exp);
        }
    }
}

/// Sets the residuals to 0 in the lanes without a row.
#[inline(always)]
fn zero_unused_lanes<T: Real>(logits: &mut [Lanes<T>], n: usize) {
    if n < LANES {
        for logits in logits {
            logits.0[n..].fill(T::ZERO);
        }
    }
}

/// A sum of logarithms, computed as the logarithm of a product. This is faster: one logarithm takes
/// as long as dozens of multiplications.
#[derive(Clone, Debug)]
struct LogSum {
    /// Product of the numbers that are not in `sum` yet.
    product: f64,
    sum: f64,
}

impl Default for LogSum {
    fn default() -> Self {
        Self { product: 1.0, sum: 0.0 }
    }
}

impl LogSum {
    /// Adds the logarithm of a number from 1 to 2^50.
    #[inline(always)]
    fn add(&mut self, x: f64) {
        self.product *= x;
        // A NaN stays in the product until `total`, because every comparison with it is false.
        if self.product >= 1e250 {
            self.sum += self.product.ln();
            self.product = 1.0;
        }
    }

    /// Returns the sum of all logarithms.
    fn total(&self) -> f64 {
        self.sum + self.product.ln()
    }
}
