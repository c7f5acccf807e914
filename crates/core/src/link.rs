use std::fmt::Debug;
use std::sync::Arc;

use crate::LinkKind;

/// The loss and the prediction of a linear model `z = x W + b`, both as functions of a row's
/// logits.
///
/// Linear models differ only in their link. Kernels, plain loops, the L-BFGS solver and the
/// predictor work with any link. [`Logistic`], [`Softmax`] and [`OneVsRest`] are defined here.
/// To add a model, implement this trait.
///
/// The loss must be convex in the logits, and finite for finite logits.
pub trait Link: Debug + Send + Sync {
    /// The number of logits of a row, k. It is also the number of columns of W.
    fn columns(&self) -> usize;

    /// The kind of target that a row has.
    fn target_kind(&self) -> TargetKind;

    /// Returns the loss `C` of a row with logits `z` `[k]`, in nats. Overwrites `z` with the
    /// residual `dC/dz`.
    fn loss_and_residual(&self, z: &mut [f64], target: f64) -> f64;

    /// Overwrites `direction` `[k]` with the Hessian-vector product `d2C/dz2 direction` of a row's
    /// loss. It must not depend on the target.
    fn hessian_vector_product(&self, z: &[f64], direction: &mut [f64]);

    /// Returns the expected value of the target: the probability of each class, or the mean if the
    /// target is a number.
    fn mean(&self, z: &[f64]) -> Vec<f64> {
        softmax(&self.class_logits(z))
    }

    /// Returns one logit per class, for targets that are classes. The softmax of these
    /// logits gives the probabilities.
    fn class_logits(&self, z: &[f64]) -> Vec<f64> {
        z.to_vec()
    }

    /// Writes the class logits to `logits` `[classes]`. Implement it besides
    /// [`class_logits`](Self::class_logits) if rows must be predicted without allocation.
    ///
    /// # Panics
    /// If there are not as many class logits.
    fn write_class_logits(&self, z: &[f64], logits: &mut [f64]) {
        logits.copy_from_slice(&self.class_logits(z));
    }

    /// Whether the prediction from these logits equals the target.
    fn is_correct(&self, z: &[f64], target: f64) -> bool;

    /// The domain of the dual problem: the set of possible means. A link with a domain has the
    /// bound of Eq. (33), even if the bias is not penalised. A link without one has only the bound
    /// of Eq. (29), which requires a penalised bias.
    fn dual_domain(&self) -> Option<DualDomain> {
        None
    }

    /// The built-in link, if this is one. Such links have specialised code for vector instructions
    /// and GPUs.
    fn kind(&self) -> Option<LinkKind> {
        None
    }
}

/// The kind of target that a model's rows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetKind {
    /// Class indices below this number.
    Classes(usize),
    /// Numbers.
    Numbers,
}

/// The domain of the dual problem: the set of possible means.
///
/// It requires that the loss is `A(z) - y^T z`. Here y is the target, one-hot for the simplex, and
/// A is the convex conjugate of the negative entropy. The residual is then `mean - y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DualDomain {
    /// One probability per class, which is also one per column. They sum to 1.
    Simplex,
    /// The probability of the positive class.
    Interval,
}

impl<L: Link + ?Sized> Link for Arc<L> {
    fn columns(&self) -> usize {
        (**self).columns()
    }

    fn target_kind(&self) -> TargetKind {
        (**self).target_kind()
    }

    fn loss_and_residual(&self, z: &mut [f64], target: f64) -> f64 {
        (**self).loss_and_residual(z, target)
    }

    fn hessian_vector_product(&self, z: &[f64], direction: &mut [f64]) {
        (**self).hessian_vector_product(z, direction);
    }

    fn mean(&self, z: &[f64]) -> Vec<f64> {
        (**self).mean(z)
    }

    fn class_logits(&self, z: &[f64]) -> Vec<f64> {
        (**self).class_logits(z)
    }

    fn write_class_logits(&self, z: &[f64], logits: &mut [f64]) {
        (**self).write_class_logits(z, logits);
    }

    fn is_correct(&self, z: &[f64], target: f64) -> bool {
        (**self).is_correct(z, target)
    }

    fn dual_domain(&self) -> Option<DualDomain> {
        (**self).dual_domain()
    }

    fn kind(&self) -> Option<LinkKind> {
        (**self).kind()
    }
}

/// Binary logistic regression, `p = sigmoid(z)`. The classes are 0 and 1; 1 is the positive class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logistic;

impl Link for Logistic {
    fn columns(&self) -> usize {
        1
    }

    fn target_kind(&self) -> TargetKind {
        TargetKind::Classes(2)
    }

    /// Eqs. (3) and (6) of `docs/derivation.md`.
    fn loss_and_residual(&self, z: &mut [f64], target: f64) -> f64 {
        let [z] = z else { unreachable!("one logit") };
        // ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|)
        let (logit, exp_neg_abs) = (*z, (-z.abs()).exp());
        *z = if logit < 0.0 { exp_neg_abs } else { 1.0 } / (1.0 + exp_neg_abs) - target;
        logit.max(0.0) - target * logit + exp_neg_abs.ln_1p()
    }

    fn hessian_vector_product(&self, z: &[f64], direction: &mut [f64]) {
        let exp_neg_abs = (-z[0].abs()).exp();
        // p (1 - p) is the same for z and -z.
        direction[0] *= exp_neg_abs / ((1.0 + exp_neg_abs) * (1.0 + exp_neg_abs));
    }

    fn class_logits(&self, z: &[f64]) -> Vec<f64> {
        vec![0.0, z[0]]
    }

    fn write_class_logits(&self, z: &[f64], logits: &mut [f64]) {
        logits.copy_from_slice(&[0.0, z[0]]);
    }

    fn is_correct(&self, z: &[f64], target: f64) -> bool {
        f64::from(u8::from(z[0] > 0.0)) == target
    }

    fn dual_domain(&self) -> Option<DualDomain> {
        Some(DualDomain::Interval)
    }

    fn kind(&self) -> Option<LinkKind> {
        Some(LinkKind::Logistic)
    }
}

/// Softmax regression with `n_classes` classes, `p = softmax(z)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The number of classes, k.
    pub n_classes: usize,
}

impl Link for Softmax {
    fn columns(&self) -> usize {
        self.n_classes
    }

    fn target_kind(&self) -> TargetKind {
        TargetKind::Classes(self.n_classes)
    }

    /// Eqs. (13) and (17) of `docs/derivation.md`.
    fn loss_and_residual(&self, z: &mut [f64], target: f64) -> f64 {
        let class = target as usize;
        let (max, target_logit) = (z.iter().copied().fold(f64::NEG_INFINITY, f64::max), z[class]);
        let mut sum = 0.0;
        for z in z.iter_mut() {
            *z = (*z - max).exp();
            sum += *z;
        }
        z.iter_mut().for_each(|exp| *exp /= sum);
        z[class] -= 1.0;
        sum.ln() + (max - target_logit)
    }

    /// `diag(p) - p p^T`, Eq. (27).
    fn hessian_vector_product(&self, z: &[f64], direction: &mut [f64]) {
        let p = softmax(z);
        let mean: f64 = p.iter().zip(&*direction).map(|(p, v)| p * v).sum();
        direction.iter_mut().zip(p).for_each(|(v, p)| *v = p * (*v - mean));
    }

    fn write_class_logits(&self, z: &[f64], logits: &mut [f64]) {
        logits.copy_from_slice(z);
    }

    /// Among equal largest logits, the first class is predicted.
    fn is_correct(&self, z: &[f64], target: f64) -> bool {
        let class = target as usize;
        z.iter().enumerate().all(|(k, other)| if k < class { *other < z[class] } else { *other <= z[class] })
    }

    fn dual_domain(&self) -> Option<DualDomain> {
        // The bound for the simplex reads two columns, but one class has only one column. The bound
        // for the interval reads one, and the probability 1 of that class is in the interval.
        Some(if self.n_classes > 1 { DualDomain::Simplex } else { DualDomain::Interval })
    }

    fn kind(&self) -> Option<LinkKind> {
        Some(LinkKind::Softmax)
    }
}

/// One-vs-rest: one logistic regression for each class. The loss is the sum of their losses,
/// and `p_k = sigmoid(z_k) / sum_l sigmoid(z_l)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneVsRest {
    /// The number of classes, k.
    pub n_classes: usize,
}

impl OneVsRest {
    /// Returns the binary target of a column: 1 for the row's class, 0 for the others.
    fn binary_target(column: usize, target: f64) -> f64 {
        f64::from(u8::from(column == target as usize))
    }
}

impl Link for OneVsRest {
    fn columns(&self) -> usize {
        self.n_classes
    }

    fn target_kind(&self) -> TargetKind {
        TargetKind::Classes(self.n_classes)
    }

    fn loss_and_residual(&self, z: &mut [f64], target: f64) -> f64 {
        let logits = z.chunks_exact_mut(1).enumerate();
        logits.map(|(column, z)| Logistic.loss_and_residual(z, Self::binary_target(column, target))).sum()
    }

    fn hessian_vector_product(&self, z: &[f64], direction: &mut [f64]) {
        z.chunks_exact(1).zip(direction.chunks_exact_mut(1)).for_each(|(z, v)| Logistic.hessian_vector_product(z, v));
    }

    fn class_logits(&self, z: &[f64]) -> Vec<f64> {
        z.iter().map(|&z| log_sigmoid(z)).collect()
    }

    fn write_class_logits(&self, z: &[f64], logits: &mut [f64]) {
        logits.iter_mut().zip(z).for_each(|(logit, &z)| *logit = log_sigmoid(z));
    }

    fn is_correct(&self, z: &[f64], target: f64) -> bool {
        Softmax { n_classes: self.n_classes }.is_correct(z, target)
    }

    fn kind(&self) -> Option<LinkKind> {
        Some(LinkKind::OneVsRest)
    }
}

/// Returns `softmax(z)`. Subtracts the largest logit first, so that nothing overflows.
fn softmax(z: &[f64]) -> Vec<f64> {
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = z.iter().map(|z| (z - max).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|exp| exp / sum).collect()
}

/// Returns `ln(sigmoid(z))`. It does not overflow and is accurate if sigmoid(z) is near 0 or 1.
fn log_sigmoid(z: f64) -> f64 {
    z.min(0.0) - (-z.abs()).exp().ln_1p()
}
