use std::fmt::Debug;
use std::sync::Arc;

use crate::LinkKind;

/// What makes a model of `z = x W + b`: which loss a row's logits have, and what they predict.
///
/// This is all in which one linear model differs from another. Kernels, plain loops, L-BFGS and its
/// certificate, and the predictor take any; [`Logistic`], [`Softmax`] and [`OneVsRest`] are here,
/// and a model of one's own is one implementation.
///
/// The loss must be convex in the logits, and finite where they are.
pub trait Link: Debug + Send + Sync {
    /// Logits of a row, and so columns of W, k.
    fn columns(&self) -> usize;

    /// What the targets of rows are.
    fn targets(&self) -> Targets;

    /// The loss `C` of a row with the logits `z` `[k]`, in nats. `z` becomes the residual `dC/dz`.
    fn residual(&self, z: &mut [f64], target: f64) -> f64;

    /// The curvature of a row's loss along a direction `[k]` of its logits: `direction` becomes
    /// `d2C/dz2 direction`. It must not depend on the target.
    fn curvature(&self, z: &[f64], direction: &mut [f64]);

    /// What is expected of the target: of classes the probability of each, of a number its mean.
    fn mean(&self, z: &[f64]) -> Vec<f64> {
        softmax(&self.class_logits(z))
    }

    /// Of classes, the logits whose softmax the probabilities are, one a class.
    fn class_logits(&self, z: &[f64]) -> Vec<f64> {
        z.to_vec()
    }

    /// Whether what is predicted of a row with these logits is its target.
    fn is_right(&self, z: &[f64], target: f64) -> bool;

    /// What is known of the means, where it is enough to bound the distance to the minimum though
    /// the bias has no penalty, Eq. (32). Without it, the bias has to be penalised for a
    /// certificate, Eq. (28).
    fn dual(&self) -> Option<Dual> {
        None
    }

    /// Which model of this crate it is. Only those that have code of their own elsewhere, as vector
    /// instructions or on a GPU, say so.
    fn kind(&self) -> Option<LinkKind> {
        None
    }
}

/// What the targets of a model's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Targets {
    /// Classes, by their positions, of which there are so many.
    Classes(usize),
    /// Numbers.
    Numbers,
}

/// Which means a model's targets can have: with the residual `mean - target`, and the loss the
/// Legendre dual of the negative entropy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dual {
    /// Probabilities of the classes, which add up to 1, one a column.
    Simplex,
    /// One probability, of the positive class.
    Interval,
}

impl<L: Link + ?Sized> Link for Arc<L> {
    fn columns(&self) -> usize {
        (**self).columns()
    }

    fn targets(&self) -> Targets {
        (**self).targets()
    }

    fn residual(&self, z: &mut [f64], target: f64) -> f64 {
        (**self).residual(z, target)
    }

    fn curvature(&self, z: &[f64], direction: &mut [f64]) {
        (**self).curvature(z, direction);
    }

    fn mean(&self, z: &[f64]) -> Vec<f64> {
        (**self).mean(z)
    }

    fn class_logits(&self, z: &[f64]) -> Vec<f64> {
        (**self).class_logits(z)
    }

    fn is_right(&self, z: &[f64], target: f64) -> bool {
        (**self).is_right(z, target)
    }

    fn dual(&self) -> Option<Dual> {
        (**self).dual()
    }

    fn kind(&self) -> Option<LinkKind> {
        (**self).kind()
    }
}

/// Binary logistic regression, `p = sigmoid(z)`; the classes are 0 and 1, which is the positive
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logistic;

impl Link for Logistic {
    fn columns(&self) -> usize {
        1
    }

    fn targets(&self) -> Targets {
        Targets::Classes(2)
    }

    /// Eqs. (3) and (6) of `docs/derivation.md`.
    fn residual(&self, z: &mut [f64], target: f64) -> f64 {
        let [z] = z else { unreachable!("one logit") };
        // ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|)
        let (logit, small) = (*z, (-z.abs()).exp());
        *z = if logit < 0.0 { small } else { 1.0 } / (1.0 + small) - target;
        logit.max(0.0) - target * logit + small.ln_1p()
    }

    fn curvature(&self, z: &[f64], direction: &mut [f64]) {
        let small = (-z[0].abs()).exp();
        // p (1 - p), of either sign of z alike
        direction[0] *= small / ((1.0 + small) * (1.0 + small));
    }

    fn class_logits(&self, z: &[f64]) -> Vec<f64> {
        vec![0.0, z[0]]
    }

    fn is_right(&self, z: &[f64], target: f64) -> bool {
        f64::from(u8::from(z[0] > 0.0)) == target
    }

    fn dual(&self) -> Option<Dual> {
        Some(Dual::Interval)
    }

    fn kind(&self) -> Option<LinkKind> {
        Some(LinkKind::Logistic)
    }
}

/// Softmax regression, `p = softmax(z)`, of so many classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Classes, k.
    pub n_classes: usize,
}

impl Link for Softmax {
    fn columns(&self) -> usize {
        self.n_classes
    }

    fn targets(&self) -> Targets {
        Targets::Classes(self.n_classes)
    }

    /// Eqs. (13) and (17) of `docs/derivation.md`.
    fn residual(&self, z: &mut [f64], target: f64) -> f64 {
        let class = target as usize;
        let (highest, own) = (z.iter().copied().fold(f64::NEG_INFINITY, f64::max), z[class]);
        let mut sum = 0.0;
        for z in z.iter_mut() {
            *z = (*z - highest).exp();
            sum += *z;
        }
        z.iter_mut().for_each(|power| *power /= sum);
        z[class] -= 1.0;
        sum.ln() + (highest - own)
    }

    /// `diag(p) - p p^T`, Eq. (26).
    fn curvature(&self, z: &[f64], direction: &mut [f64]) {
        let p = softmax(z);
        let mean: f64 = p.iter().zip(&*direction).map(|(p, v)| p * v).sum();
        direction.iter_mut().zip(p).for_each(|(v, p)| *v = p * (*v - mean));
    }

    /// Of equal logits the first counts.
    fn is_right(&self, z: &[f64], target: f64) -> bool {
        let class = target as usize;
        z.iter().enumerate().all(|(k, other)| if k < class { *other < z[class] } else { *other <= z[class] })
    }

    fn dual(&self) -> Option<Dual> {
        // A single class's probability is 1, which is in the interval, too.
        Some(if self.n_classes > 1 { Dual::Simplex } else { Dual::Interval })
    }

    fn kind(&self) -> Option<LinkKind> {
        Some(LinkKind::Softmax)
    }
}

/// A logistic regression for each of so many classes against the rest: the loss is the sum of
/// theirs, and `p_k = sigmoid(z_k) / sum_l sigmoid(z_l)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneVsRest {
    /// Classes, k.
    pub n_classes: usize,
}

impl OneVsRest {
    /// 1 for the target's column, else 0.
    fn target_of(column: usize, target: f64) -> f64 {
        f64::from(u8::from(column == target as usize))
    }
}

impl Link for OneVsRest {
    fn columns(&self) -> usize {
        self.n_classes
    }

    fn targets(&self) -> Targets {
        Targets::Classes(self.n_classes)
    }

    fn residual(&self, z: &mut [f64], target: f64) -> f64 {
        let each = z.chunks_exact_mut(1).enumerate();
        each.map(|(column, z)| Logistic.residual(z, Self::target_of(column, target))).sum()
    }

    fn curvature(&self, z: &[f64], direction: &mut [f64]) {
        z.chunks_exact(1).zip(direction.chunks_exact_mut(1)).for_each(|(z, v)| Logistic.curvature(z, v));
    }

    fn class_logits(&self, z: &[f64]) -> Vec<f64> {
        z.iter().map(|&z| log_sigmoid(z)).collect()
    }

    fn is_right(&self, z: &[f64], target: f64) -> bool {
        Softmax { n_classes: self.n_classes }.is_right(z, target)
    }

    fn kind(&self) -> Option<LinkKind> {
        Some(LinkKind::OneVsRest)
    }
}

/// Without overflow: powers of differences to the largest.
fn softmax(z: &[f64]) -> Vec<f64> {
    let highest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = z.iter().map(|z| (z - highest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Without overflow, and without a loss of digits where sigmoid(z) is next to 0 or 1.
fn log_sigmoid(z: f64) -> f64 {
    z.min(0.0) - (-z.abs()).exp().ln_1p()
}
