//! Losses and residuals of sixteen rows at a time, with one row per lane. Logits `[k]` of lanes
//! become `p - y`.

use std::sync::Arc;

use chainrule_core::{Link, LinkKind};

use crate::lanes::Lanes;
use crate::patches::BLOCK;
use crate::real::Real;

/// How losses are computed: with vector instructions for the links that have code here, else row by
/// row.
#[derive(Clone, Debug)]
pub(crate) enum Model {
    Logistic,
    Softmax { n_classes: usize },
    Other(Arc<dyn Link>),
}

impl Model {
    pub(crate) fn new(link: Arc<dyn Link>) -> Self {
        match link.kind() {
            Some(LinkKind::Logistic) => Self::Logistic,
            Some(LinkKind::Softmax) => Self::Softmax { n_classes: link.columns() },
            _ => Self::Other(link),
        }
    }

    /// Number of columns of W.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Logistic => 1,
            Self::Softmax { n_classes } => *n_classes,
            Self::Other(link) => link.columns(),
        }
    }
}

/// What a pass computes. Each mode also computes what the modes before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PassMode {
    /// The number of correctly classified rows.
    Right,
    /// The losses.
    Loss,
    /// The gradient's sums.
    Gradient,
}

/// Losses and correct rows of a pass so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct LossStats {
    /// Sum of the cross-entropies, except their logarithms.
    loss: f64,
    logarithms: ProductLog,
    /// Buffer for the logits of a row, used if rows are processed one by one.
    row: Vec<f64>,
    /// Number of correctly classified rows.
    right: usize,
}

impl LossStats {
    /// Returns the sum of the cross-entropies and the number of correctly classified rows, and
    /// resets both.
    pub(crate) fn take(&mut self) -> (f64, usize) {
        let Self { loss, mut logarithms, right, row: _ } = std::mem::take(self);
        (loss + logarithms.take(), right)
    }

    /// Processes the first `n` lanes of a group for softmax regression. Residuals in the other
    /// lanes become 0.
    #[inline(always)]
    pub(crate) fn softmax<T: Real, const FMA: bool>(
        &mut self,
        logits: &mut [Lanes<T>],
        labels: &[u32; BLOCK],
        n: usize,
        mode: PassMode,
    ) {
        let mut own = [T::ZERO; BLOCK];
        for lane in 0..BLOCK {
            own[lane] = logits[labels[lane] as usize].0[lane];
        }
        let mut is_right = [true; BLOCK];
        let mut highest = [T::NEG_INFINITY; BLOCK];
        for (class, logits) in logits.iter().enumerate() {
            for lane in 0..BLOCK {
                let (logit, own, highest) = (logits.0[lane], own[lane], &mut highest[lane]);
                // Of equal logits the first is predicted. A row with a NaN is never right.
                is_right[lane] &= if (class as u32) < labels[lane] { logit < own } else { logit <= own };
                // Faster than `max`. A NaN still reaches the loss.
                *highest = if logit <= *highest { *highest } else { logit };
            }
        }
        for is_right in &is_right[..n] {
            self.right += usize::from(*is_right);
        }
        if mode == PassMode::Right {
            return;
        }
        let mut sums = [T::ZERO; BLOCK];
        for logits in logits.iter_mut() {
            for lane in 0..BLOCK {
                let power = (logits.0[lane] - highest[lane]).exponential::<FMA>();
                logits.0[lane] = power;
                sums[lane] += power;
            }
        }
        for lane in 0..n {
            self.loss += (highest[lane] - own[lane]).to_f64();
            self.logarithms.add(sums[lane].to_f64());
        }
        if mode == PassMode::Gradient {
            let mut one_by = [T::ZERO; BLOCK];
            for lane in 0..BLOCK {
                one_by[lane] = T::ONE / sums[lane];
            }
            for logits in logits.iter_mut() {
                for lane in 0..BLOCK {
                    logits.0[lane] = logits.0[lane] * one_by[lane];
                }
            }
            for lane in 0..BLOCK {
                logits[labels[lane] as usize].0[lane] += -T::ONE;
            }
            clear(logits, n);
        }
    }

    /// The same for logistic regression. Label 1 is the positive class.
    #[inline(always)]
    pub(crate) fn logistic<T: Real, const FMA: bool>(
        &mut self,
        logits: &mut [Lanes<T>],
        labels: &[u32; BLOCK],
        n: usize,
        mode: PassMode,
    ) {
        let z = logits[0].0;
        let [mut is_positive, mut is_right] = [[false; BLOCK]; 2];
        for lane in 0..BLOCK {
            is_positive[lane] = labels[lane] == 1;
            // A NaN is never right.
            is_right[lane] = if is_positive[lane] { z[lane] > T::ZERO } else { z[lane] <= T::ZERO };
        }
        for is_right in &is_right[..n] {
            self.right += usize::from(*is_right);
        }
        if mode == PassMode::Right {
            return;
        }
        let [mut size, mut small] = [[T::ZERO; BLOCK]; 2];
        for lane in 0..BLOCK {
            size[lane] = if z[lane] < T::ZERO { -z[lane] } else { z[lane] };
            small[lane] = (-size[lane]).exponential::<FMA>(); // exp(-|z|)
        }
        for lane in 0..n {
            // max(z, 0) - y z + ln(1 + exp(-|z|))
            let linear = if is_right[lane] { T::ZERO } else { size[lane] };
            self.loss += linear.to_f64();
            self.logarithms.add(1.0 + small[lane].to_f64());
        }
        if mode == PassMode::Gradient {
            for lane in 0..BLOCK {
                let p = (if z[lane] < T::ZERO { small[lane] } else { T::ONE }) / (T::ONE + small[lane]);
                logits[0].0[lane] = if is_positive[lane] { p - T::ONE } else { p };
            }
            clear(logits, n);
        }
    }

    /// The same for any other link, row by row in f64.
    #[inline(always)]
    pub(crate) fn other<T: Real>(
        &mut self,
        link: &dyn Link,
        logits: &mut [Lanes<T>],
        target: impl Fn(usize) -> f64,
        n: usize,
        mode: PassMode,
    ) {
        for lane in 0..n {
            self.row.clear();
            self.row.extend(logits.iter().map(|logits| logits.0[lane].to_f64()));
            let target = target(lane);
            self.right += usize::from(link.is_right(&self.row, target));
            if mode == PassMode::Right {
                continue;
            }
            self.loss += link.residual(&mut self.row, target);
            for (logits, &residual) in logits.iter_mut().zip(&self.row) {
                logits.0[lane] = T::from_f64(residual);
            }
        }
        if mode == PassMode::Gradient {
            clear(logits, n);
        }
    }
}

/// Sets the lanes without a row to 0.
#[inline(always)]
fn clear<T: Real>(logits: &mut [Lanes<T>], n: usize) {
    if n < BLOCK {
        for logits in logits {
            logits.0[n..].fill(T::ZERO);
        }
    }
}

/// A sum of logarithms, computed as the logarithm of a product. One logarithm takes as long as
/// dozens of products.
#[derive(Clone, Debug)]
struct ProductLog {
    product: f64,
    sum: f64,
}

impl Default for ProductLog {
    fn default() -> Self {
        Self { product: 1.0, sum: 0.0 }
    }
}

impl ProductLog {
    /// Adds the logarithm of a number from 1 to 2^50.
    #[inline(always)]
    fn add(&mut self, x: f64) {
        self.product *= x;
        // A NaN stays in the product until `take`.
        if self.product >= 1e250 {
            self.sum += self.product.ln();
            self.product = 1.0;
        }
    }

    /// Returns the sum.
    fn take(&mut self) -> f64 {
        self.sum + self.product.ln()
    }
}
