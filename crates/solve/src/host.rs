//! Loss and gradient by plain loops in f64 on the host. The engine of plain loops trains with this
//! code. If a training runs in f32 on a device, its certificate uses a gradient from here.

use chainrule_core::{Gradient, Link, Parameters};

/// Sums of losses and gradients over rows, at fixed parameters.
pub struct GradientSums<'a> {
    link: &'a dyn Link,
    at: &'a Parameters,
    sums: Gradient,
    rows: usize,
    /// The logits of a block of rows, then their residuals, `[n, k]`.
    logits: Vec<f64>,
}

impl<'a> GradientSums<'a> {
    /// Creates sums over no rows.
    pub fn new(link: &'a dyn Link, at: &'a Parameters) -> Self {
        let sums = Gradient { loss: 0.0, weight: vec![0.0; at.weight.len()], bias: vec![0.0; at.bias.len()] };
        Self { link, at, sums, rows: 0, logits: at.bias.clone() }
    }

    /// Adds rows `[n, d]` with their `(target, weight)` pairs. For classes, the target is the class
    /// index.
    pub fn add(&mut self, rows: &[f64], targets: impl IntoIterator<Item = (f64, f64)>) {
        let (d, k) = (self.at.n_features, self.at.columns);
        let mut targets = targets.into_iter();
        for rows in rows.chunks(ROWS_PER_BLOCK * d) {
            logits(self.at, rows, &mut self.logits);
            for (z, (target, weight)) in self.logits.chunks_exact_mut(k).zip(&mut targets) {
                self.sums.loss += weight * self.link.loss_and_residual(z, target);
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

/// Returns the logits of one row, `[k]`.
pub(crate) fn logits_of(row: &[f64], at: &Parameters) -> Vec<f64> {
    let mut z = Vec::with_capacity(at.columns);
    logits(at, row, &mut z);
    z
}

/// Calls `callback(loss, is_correct)` for each row of `[n, d]`. `buffer` is scratch memory for the
/// logits.
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
            callback(link.loss_and_residual(z, target), is_correct);
        }
    }
}

/// The number of rows in a block. The logits of a block are computed together: each logit is an
/// independent sum, so the processor can overlap the additions.
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
    /// The same for a constant k, so that the compiler keeps the residuals in registers. Returns
    /// `false` if the slices have another k.
    fn add_outer_fixed<const K: usize>(x: &[f64], residuals: &[f64], sums: &mut [f64]) -> bool {
        let (Ok(residuals), (sums, [])) = (<&[f64; K]>::try_from(residuals), sums.as_chunks_mut::<K>()) else {
            return false;
        };
        for (x, sums) in x.iter().zip(sums) {
            sums.iter_mut().zip(residuals).for_each(|(sum, residual)| *sum += x * residual);
        }
        true
    }
    let is_added = match residuals.len() {
        1 => add_outer_fixed::<1>(x, residuals, sums),
        2 => add_outer_fixed::<2>(x, residuals, sums),
        3 => add_outer_fixed::<3>(x, residuals, sums),
        4 => add_outer_fixed::<4>(x, residuals, sums),
        5 => add_outer_fixed::<5>(x, residuals, sums),
        6 => add_outer_fixed::<6>(x, residuals, sums),
        7 => add_outer_fixed::<7>(x, residuals, sums),
        8 => add_outer_fixed::<8>(x, residuals, sums),
        _ => false,
    };
    if !is_added {
        for (x, sums) in x.iter().zip(sums.chunks_exact_mut(residuals.len())) {
            sums.iter_mut().zip(residuals).for_each(|(sum, residual)| *sum += x * residual);
        }
    }
}
