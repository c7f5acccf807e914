//! The mean loss of rows and its gradient by plain loops in f64, whatever a device computes with:
//! what a certificate is made of.

use chainrule_core::{Gradient, Link, Parameters};

/// Sums over rows of their losses and of the gradients of these, at one place.
pub struct Sums<'a> {
    link: &'a dyn Link,
    at: &'a Parameters,
    sums: Gradient,
    rows: usize,
    /// Of a row: its logits, then its residuals, `[k]`.
    logits: Vec<f64>,
}

impl<'a> Sums<'a> {
    /// Of no row yet.
    pub fn new(link: &'a dyn Link, at: &'a Parameters) -> Self {
        let sums = Gradient { loss: 0.0, weight: vec![0.0; at.weight.len()], bias: vec![0.0; at.bias.len()] };
        Self { link, at, sums, rows: 0, logits: at.bias.clone() }
    }

    /// Adds a row `[d]` that counts `weight`; the target of a class is its position.
    pub fn add(&mut self, x: &[f64], target: f64, weight: f64) {
        let (k, z) = (self.at.columns, &mut self.logits);
        logits(self.at, x, z);
        self.sums.loss += weight * self.link.residual(z, target);
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

/// The loss of a row `[d]`, and whether it is predicted rightly; `room` is for its logits.
pub(crate) fn judge(link: &dyn Link, at: &Parameters, x: &[f64], target: f64, room: &mut Vec<f64>) -> (f64, bool) {
    room.resize(at.columns, 0.0);
    logits(at, x, room);
    let is_right = link.is_right(room, target);
    (link.residual(room, target), is_right)
}

/// `z = x W + b`
fn logits(at: &Parameters, x: &[f64], z: &mut [f64]) {
    z.copy_from_slice(&at.bias);
    for (x, w) in x.iter().zip(at.weight.chunks_exact(at.columns)) {
        z.iter_mut().zip(w).for_each(|(z, w)| *z += x * w);
    }
}
