//! The one-pass operation on the CPU, in plain loops, for Burn's CPU backends.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{DType, Element, TensorData, read_sync};

use crate::Loss;
use crate::operation::{FusedLoss, FusedOutput};

macro_rules! on_the_host {
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
on_the_host!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
on_the_host!(burn::backend::NdArray);

fn one_pass<B: Backend>(
    features: FloatTensor<B>,
    labels: IntTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    loss: Loss,
) -> FusedOutput<B> {
    match features.dtype() {
        DType::F64 => in_type::<B, f64>(features, labels, weight, bias, loss),
        _ => in_type::<B, f32>(features, labels, weight, bias, loss),
    }
}

fn in_type<B: Backend, F: Real>(
    features: FloatTensor<B>,
    labels: IntTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    loss: Loss,
) -> FusedOutput<B> {
    let device = features.device();
    let (n, d, k) = (features.shape()[0], features.shape()[1], bias.shape()[0]);
    let floats = |tensor| read_sync(B::float_into_data(tensor)).expect("a tensor of this process is there to be read");
    let labels = read_sync(B::int_into_data(labels)).expect("a tensor of this process is there to be read");
    let [features, weight, bias] = [features, weight, bias].map(floats);
    let of = "the operation is given one float type";
    let found = pass(
        features.as_slice::<F>().expect(of),
        &labels.iter::<i64>().collect::<Vec<_>>(),
        weight.as_slice::<F>().expect(of),
        bias.as_slice::<F>().expect(of),
        loss,
    );
    let tensor = |values: Vec<F>, shape: &[usize]| B::float_from_data(TensorData::new(values, shape), &device);
    FusedOutput {
        loss: tensor(vec![F::from_f64(found.loss)], &[1]),
        weight: tensor(found.weight, &[d, k]),
        bias: tensor(found.bias, &[k]),
        residual: tensor(found.residual, &[n, k]),
    }
}

struct FusedResult<F> {
    loss: f64,
    weight: Vec<F>,
    bias: Vec<F>,
    residual: Vec<F>,
}

/// Runs one pass over the rows. It computes the loss, the residual and the gradients of a row while
/// the row is in the cache.
fn pass<F: Real>(features: &[F], labels: &[i64], weight: &[F], bias: &[F], loss: Loss) -> FusedResult<F> {
    let (n, k) = (labels.len(), bias.len());
    let d = features.len() / n;
    let of_n = F::from_f64(1.0 / n as f64);
    let mut found =
        FusedResult { loss: 0.0, weight: vec![F::ZERO; d * k], bias: vec![F::ZERO; k], residual: vec![F::ZERO; n * k] };
    for (row, (x, &label)) in features.chunks_exact(d).zip(labels).enumerate() {
        let label = usize::try_from(label).unwrap_or(usize::MAX);
        assert!(label < loss.labels(k), "labels: expected 0..{}, found {} at row {row}", loss.labels(k), labels[row]);
        // The logits, which the residual replaces.
        let residual = &mut found.residual[row * k..][..k];
        residual.copy_from_slice(bias);
        for (&x, w) in x.iter().zip(weight.chunks_exact(k)) {
            for (z, &w) in residual.iter_mut().zip(w) {
                *z += x * w;
            }
        }
        found.loss += match loss {
            Loss::Softmax => softmax(residual, label),
            Loss::Logistic => logistic(&mut residual[0], label),
        };
        residual.iter_mut().for_each(|r| *r = *r * of_n);
        for (&x, gradient) in x.iter().zip(found.weight.chunks_exact_mut(k)) {
            for (gradient, &r) in gradient.iter_mut().zip(&*residual) {
                *gradient += x * r;
            }
        }
        found.bias.iter_mut().zip(&*residual).for_each(|(gradient, &r)| *gradient += r);
    }
    found.loss /= n as f64;
    found
}

/// Eqs. (13) and (17): returns -ln p of the label's class, and replaces the logits by p - y.
fn softmax<F: Real>(z: &mut [F], label: usize) -> f64 {
    let largest = z.iter().fold(z[0], |largest, &z| if z > largest { z } else { largest });
    let of_label = z[label] - largest;
    let mut sum = F::ZERO;
    for z in z.iter_mut() {
        *z = (*z - largest).exp();
        sum += *z;
    }
    z.iter_mut().for_each(|p| *p = *p / sum);
    z[label] = z[label] - F::ONE;
    (sum.ln() - of_label).to_f64()
}

/// Eqs. (3) and (6): the same for one logit, in a form that neither overflows nor cancels.
fn logistic<F: Real>(z: &mut F, label: usize) -> f64 {
    // e = exp(-|z|), so that ln(1 + exp(z)) = max(z, 0) + ln(1 + e).
    let is_positive = *z > F::ZERO;
    let e = if is_positive { F::ZERO - *z } else { *z }.exp();
    let hinge = if is_positive { *z } else { F::ZERO };
    let of_label = if label == 1 { *z } else { F::ZERO };
    // 1 / (1 + e) or e / (1 + e): one of them is p, the other 1 - p. So p - 1 needs no subtraction.
    let part = |is_rest: bool| if is_rest { F::ONE } else { e } / (F::ONE + e);
    *z = if label == 1 { F::ZERO - part(!is_positive) } else { part(is_positive) };
    (hinge - of_label + e.ln_1p()).to_f64()
}

/// The operations of a float type that the pass needs.
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
