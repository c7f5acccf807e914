//! The operation on Burn's CPU backends, in plain loops.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{DType, Element, TensorData, read_sync};

use crate::Loss;
use crate::operation::{FusedLoss, FusedOutput};

macro_rules! impl_fused_loss {
    ($backend:ty) => {
        impl FusedLoss for $backend {
            fn one_pass(
                features: FloatTensor<Self>,
                labels: IntTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                loss: Loss,
            ) -> FusedOutput<Self> {
                one_pass(features, labels, weight, bias, loss)
            }
        }
    };
}

#[cfg(feature = "flex")]
impl_fused_loss!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
impl_fused_loss!(burn::backend::NdArray);

fn one_pass<B: Backend>(
    features: FloatTensor<B>,
    labels: IntTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    loss: Loss,
) -> FusedOutput<B> {
    match features.dtype() {
        DType::F64 => one_pass_as::<B, f64>(features, labels, weight, bias, loss),
        _ => one_pass_as::<B, f32>(features, labels, weight, bias, loss),
    }
}

/// Runs the pass in float type `F`.
fn one_pass_as<B: Backend, F: Real>(
    features: FloatTensor<B>,
    labels: IntTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    loss: Loss,
) -> FusedOutput<B> {
    let device = features.device();
    let (n, d, k) = (features.shape()[0], features.shape()[1], bias.shape()[0]);
    let readable = "a CPU backend can read its tensors";
    let floats = |tensor| read_sync(B::float_into_data(tensor)).expect(readable);
    let labels = read_sync(B::int_into_data(labels)).expect(readable);
    let [features, weight, bias] = [features, weight, bias].map(floats);
    let same_type = "`linear_loss` checked that all floats have one type";
    let result = pass(
        features.as_slice::<F>().expect(same_type),
        &labels.iter::<i64>().collect::<Vec<_>>(),
        weight.as_slice::<F>().expect(same_type),
        bias.as_slice::<F>().expect(same_type),
        loss,
    );
    let tensor = |values: Vec<F>, shape: &[usize]| B::float_from_data(TensorData::new(values, shape), &device);
    FusedOutput {
        loss: tensor(vec![F::from_f64(result.loss)], &[1]),
        weight: tensor(result.weight, &[d, k]),
        bias: tensor(result.bias, &[k]),
        residual: tensor(result.residual, &[n, k]),
    }
}

/// The mean loss, its gradients by weight and bias, and `D = (P - Y) / n`.
struct PassResult<F> {
    loss: f64,
    weight: Vec<F>,
    bias: Vec<F>,
    residual: Vec<F>,
}

/// Runs one pass over the rows. For each row, it computes the loss, the residual and the gradients
/// while the row is in the cache.
fn pass<F: Real>(features: &[F], labels: &[i64], weight: &[F], bias: &[F], loss: Loss) -> PassResult<F> {
    let (n, k) = (labels.len(), bias.len());
    let d = features.len() / n;
    let one_over_n = F::from_f64(1.0 / n as f64);
    let mut result =
        PassResult { loss: 0.0, weight: vec![F::ZERO; d * k], bias: vec![F::ZERO; k], residual: vec![F::ZERO; n * k] };
    for (row, (x, &label)) in features.chunks_exact(d).zip(labels).enumerate() {
        let label = usize::try_from(label).unwrap_or(usize::MAX);
        assert!(
            label < loss.n_classes(k),
            "labels: expected 0..{}, found {} at row {row}",
            loss.n_classes(k),
            labels[row]
        );
        // The residual first holds the logits.
        let residual = &mut result.residual[row * k..][..k];
        residual.copy_from_slice(bias);
        for (&x, w) in x.iter().zip(weight.chunks_exact(k)) {
            for (z, &w) in residual.iter_mut().zip(w) {
                *z += x * w;
            }
        }
        result.loss += match loss {
            Loss::Softmax => softmax(residual, label),
            Loss::Logistic => logistic(&mut residual[0], label),
        };
        residual.iter_mut().for_each(|r| *r = *r * one_over_n);
        for (&x, gradient) in x.iter().zip(result.weight.chunks_exact_mut(k)) {
            for (gradient, &r) in gradient.iter_mut().zip(&*residual) {
                *gradient += x * r;
            }
        }
        result.bias.iter_mut().zip(&*residual).for_each(|(gradient, &r)| *gradient += r);
    }
    result.loss /= n as f64;
    result
}

/// Returns the loss -ln p of the label's class, and replaces the logits by p - y: Eqs. (13) and
/// (17).
fn softmax<F: Real>(z: &mut [F], label: usize) -> f64 {
    let max_logit = z.iter().fold(z[0], |max, &z| if z > max { z } else { max });
    let label_logit = z[label] - max_logit;
    let mut sum = F::ZERO;
    for z in z.iter_mut() {
        *z = (*z - max_logit).exp();
        sum += *z;
    }
    z.iter_mut().for_each(|p| *p = *p / sum);
    z[label] = z[label] - F::ONE;
    (sum.ln() - label_logit).to_f64()
}

/// Does the same for the one logit of logistic regression, without overflow or cancellation: Eqs.
/// (3) and (6).
fn logistic<F: Real>(z: &mut F, label: usize) -> f64 {
    // With e = exp(-|z|), ln(1 + exp(z)) = max(z, 0) + ln(1 + e).
    let is_positive = *z > F::ZERO;
    let e = if is_positive { F::ZERO - *z } else { *z }.exp();
    let positive_part = if is_positive { *z } else { F::ZERO };
    let y_times_z = if label == 1 { *z } else { F::ZERO };
    // The larger of p and 1 - p is 1 / (1 + e), the smaller is e / (1 + e). So p - 1 is computed
    // without subtracting nearly equal numbers.
    let probability = |is_larger: bool| if is_larger { F::ONE } else { e } / (F::ONE + e);
    *z = if label == 1 { F::ZERO - probability(!is_positive) } else { probability(is_positive) };
    (positive_part - y_times_z + e.ln_1p()).to_f64()
}

/// A float type, with the operations that the pass needs.
trait Real:
    Element
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::AddAssign
    + PartialOrd
{
    const ZERO: Self;
    const ONE: Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn ln_1p(self) -> Self;
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
}

macro_rules! real {
    ($float:ident) => {
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            fn exp(self) -> Self {
                $float::exp(self)
            }
            fn ln(self) -> Self {
                $float::ln(self)
            }
            fn ln_1p(self) -> Self {
                $float::ln_1p(self)
            }
            fn from_f64(value: f64) -> Self {
                value as $float
            }
            fn to_f64(self) -> f64 {
                self.into()
            }
        }
    };
}

real!(f32);
real!(f64);
