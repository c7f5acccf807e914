//! Loss and gradient by plain loops in f64, whatever precision the device has. Certificates are
//! computed from them.

use chainrule_core::{Gradient, Link, Parameters};

/// Sums of losses and gradients over rows, at fixed parameters.
pub struct GradientSums<'a> {
    link: &'a dyn Link,
    at: &'a Parameters,
    sums: Gradient,
    rows: usize,
    /// The logits of some rows, later overwritten by their residuals, `[n, k]`.
    logits: Vec<f64>,
}

impl<'a> GradientSums<'a> {
    /// Creates sums over no rows.
    pub fn new(link: &'a dyn Link, at: &'a Parameters) -> Self {
        let sums = Gradient { loss: 0.0, weight: vec![0.0; at.weight.len()], bias: vec![0.0; at.bias.len()] };
        Self { link, at, sums, rows: 0, logits: at.bias.clone() }
    }

    /// Adds rows `[n, d]` with their targets and weights. The target of a class is its position.
    pub fn add(&mut self, rows: &[f64], targets: impl IntoIterator<Item = (f64, f64)>) {
        let (d, k) = (self.at.n_features, self.at.columns);
        let mut targets = targets.into_iter();
        for rows in rows.chunks(ROWS_PER_BLOCK * d) {
            logits(self.at, rows, &mut self.logits);
            for (z, (target, weight)) in self.logits.chunks_exact_mut(k).zip(&mut targets) {
                self.sums.loss += weight * self.link.residual(z, target);
                z.iter_mut().for_each(|residual| *residual *= weight);
                self.sums.bias.iter_mut().zip(&*z).for_each(|(sum, residual)| *sum += residual);
                self.rows += 1;
            }
            for (x, residuals) in rows.chunks_exact(d).zip(self.logits.chunks_exact(k)) {
                add_outer(x, residuals, &mut self.sums.weight);
            }
        }
    }

    /// Returns the means over all added rows.
    pub fn mean(self) -> Gradient {
        self.sums.scaled_by(1.0 / self.rows as f64)
    }
}

/// Calls `callback` with the loss of each row `[n, d]`, and with whether its prediction is correct.
/// `buffer` is scratch memory for the logits.
pub(crate) fn for_each_loss(
    link: &dyn Link,
    at: &Parameters,
    rows: &[f64],
    targets: impl IntoIterator<Item = f64>,
    buffer: &mut Vec<f64>,
    mut callback: impl FnMut(f64, bool),
) {
    let mut targets = targets.into_iter();
    for rows in rows.chunks(ROWS_PER_BLOCK * at.n_features) {
        logits(at, rows, buffer);
        for (z, target) in buffer.chunks_exact_mut(at.columns).zip(&mut targets) {
            let is_correct = link.is_correct(z, target);
            callback(link.residual(z, target), is_correct);
        }
    }
}

/// The number of rows whose logits are summed together. Their sums are independent, so their
/// additions can overlap.
const ROWS_PER_BLOCK: usize = 8;

/// Computes `Z = X W + b`, `[n, k]`, for rows `[n, d]`.
fn logits(at: &Parameters, rows: &[f64], z: &mut Vec<f64>) {
    let (d, k) = (at.n_features, at.columns);
    z.clear();
    (0..rows.len() / d).for_each(|_| z.extend_from_slice(&at.bias));
    for (j, w) in at.weight.chunks_exact(k).enumerate() {
        for (x, z) in rows[j..].iter().step_by(d).zip(z.chunks_exact_mut(k)) {
            z.iter_mut().zip(w).for_each(|(z, w)| *z += x * w);
        }
    }
}

/// `sums += x residuals^T`, `[d, k]`.
fn add_outer(x: &[f64], residuals: &[f64], sums: &mut [f64]) {
    /// The same for a k that the compiler knows, so that it keeps the residuals in registers.
    fn narrow<const K: usize>(x: &[f64], residuals: &[f64], sums: &mut [f64]) -> bool {
        let (Ok(residuals), (sums, [])) = (<&[f64; K]>::try_from(residuals), sums.as_chunks_mut::<K>()) else {
            return false;
        };
        for (x, sums) in x.iter().zip(sums) {
            sums.iter_mut().zip(residuals).for_each(|(sum, residual)| *sum += x * residual);
        }
        true
    }
    let is_done = match residuals.len() {
        1 => narrow::<1>(x, residuals, sums),
        2 => narrow::<2>(x, residuals, sums),
        3 => narrow::<3>(x, residuals, sums),
        4 => narrow::<4>(x, residuals, sums),
        5 => narrow::<5>(x, residuals, sums),
        6 => narrow::<6>(x, residuals, sums),
        7 => narrow::<7>(x, residuals, sums),
        8 => narrow::<8>(x, residuals, sums),
        _ => false,
    };
    if !is_done {
        for (x, sums) in x.iter().zip(sums.chunks_exact_mut(residuals.len())) {
            sums.iter_mut().zip(residuals).for_each(|(sum, residual)| *sum += x * residual);
        }
    }
}
