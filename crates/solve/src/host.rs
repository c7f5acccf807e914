//! The mean cross-entropy of rows and its gradient by plain loops in f64, whatever a device computes with: what a certificate is made of.

use chainrule_core::{ModelKind, Parameters};
use chainrule_kernels::Gradient;

/// Sums over rows of their cross-entropies and of the gradients of these, at one place.
pub struct Sums<'a> {
    kind: ModelKind,
    at: &'a Parameters,
    sums: Gradient,
    rows: usize,
    /// Of a row: its logits, then its residuals, `[k]`.
    logits: Vec<f64>,
}

impl<'a> Sums<'a> {
    /// Of no row yet.
    pub fn new(kind: ModelKind, at: &'a Parameters) -> Self {
        let sums = Gradient { loss: 0.0, weight: vec![0.0; at.weight.len()], bias: vec![0.0; at.bias.len()] };
        Self { kind, at, sums, rows: 0, logits: at.bias.clone() }
    }

    /// Adds a row `[d]` that counts `weight`.
    pub fn add(&mut self, x: &[f64], label: usize, weight: f64) {
        let (k, z) = (self.at.n_classes, &mut self.logits);
        logits(self.at, x, z);
        self.sums.loss += weight
            * match self.kind {
                ModelKind::Logistic => logistic(&mut z[0], label),
                ModelKind::Softmax => softmax(z, label),
            };
        z.iter_mut().for_each(|residual| *residual *= weight);
        for (x, sums) in x.iter().zip(self.sums.weight.chunks_exact_mut(k)) {
            sums.iter_mut().zip(&*z).for_each(|(sum, residual)| *sum += x * residual);
        }
        self.sums.bias.iter_mut().zip(&*z).for_each(|(sum, residual)| *sum += residual);
        self.rows += 1;
    }

    /// The means over the rows that were added.
    pub fn mean(self) -> Gradient {
        self.sums.times(1.0 / self.rows as f64)
    }
}

/// The cross-entropy of a row `[d]`, and whether it is classified rightly; `room` is for its
/// logits.
pub(crate) fn cross_entropy(
    kind: ModelKind,
    at: &Parameters,
    x: &[f64],
    label: usize,
    room: &mut Vec<f64>,
) -> (f64, bool) {
    room.resize(at.n_classes, 0.0);
    logits(at, x, room);
    match kind {
        ModelKind::Logistic => {
            let class = usize::from(room[0] > 0.0);
            (logistic(&mut room[0], label), class == label)
        }
        ModelKind::Softmax => {
            // Of equal ones the first.
            let is_largest =
                room.iter().enumerate().all(|(k, z)| if k < label { *z < room[label] } else { *z <= room[label] });
            (softmax(room, label), is_largest)
        }
    }
}

/// `z = x W + b`
fn logits(at: &Parameters, x: &[f64], z: &mut [f64]) {
    z.copy_from_slice(&at.bias);
    for (x, w) in x.iter().zip(at.weight.chunks_exact(at.n_classes)) {
        z.iter_mut().zip(w).for_each(|(z, w)| *z += x * w);
    }
}

/// The cross-entropy of a row, Eq. (13); its logits become p - y, Eq. (17).
fn softmax(z: &mut [f64], label: usize) -> f64 {
    let (highest, own) = (z.iter().copied().fold(f64::NEG_INFINITY, f64::max), z[label]);
    let mut sum = 0.0;
    for z in z.iter_mut() {
        *z = (*z - highest).exp();
        sum += *z;
    }
    z.iter_mut().for_each(|power| *power /= sum);
    z[label] -= 1.0;
    sum.ln() + (highest - own)
}

/// The same of a logit, Eqs. (3) and (6).
fn logistic(z: &mut f64, label: usize) -> f64 {
    // ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|)
    let (logit, small) = (*z, (-z.abs()).exp());
    let y = label as f64;
    *z = if logit < 0.0 { small } else { 1.0 } / (1.0 + small) - y;
    logit.max(0.0) - y * logit + small.ln_1p()
}
