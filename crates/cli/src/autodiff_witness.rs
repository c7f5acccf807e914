//! Burn's autodiff as a witness of the derivatives in a written derivation.

use std::cell::Cell;
use std::rc::Rc;

use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use chainrule::backend::Backend;
use chainrule::panics::catch_panic;
use chainrule_derive::{Estimate, Number, Question, Real, Witness};
use chainrule_gradcheck::f64_works;

/// The maximum number of operations on tensors in one function: some tenths of a second.
const OPERATIONS: usize = 20_000;

/// Returns Burn's autodiff, in f64 and on a CPU, if a backend of this build has both.
pub(crate) fn autodiff() -> Option<Box<dyn Witness>> {
    let backends = Backend::built().ok()?;
    let devices = backends.iter().filter(|backend| !backend.has_separate_memory());
    let device = devices.filter_map(|backend| backend.device().ok()).find(f64_works)?;
    Some(Box::new(Autodiff { device }))
}

struct Autodiff {
    device: Device,
}

impl Witness for Autodiff {
    fn name(&self) -> &str {
        "Burn's autodiff"
    }

    fn derivative(&self, question: &Question<'_>) -> Option<Estimate> {
        let at = question.variable()?;
        let tensor = constant(at, &self.device).require_grad();
        let operations = Rc::new(Cell::new(0));
        let variable = Scalar {
            real: at,
            on_tensor: Some(OnTensor { tensor: tensor.clone(), slopes: 1.0, error: 0.0, operations }),
        };
        let value = question.evaluate(variable)?;
        let Some(result) = value.on_tensor.filter(|_| value.real.is_defined()) else {
            // It does not depend on the variable.
            return value.real.is_defined().then_some(Estimate { value: 0.0, bound: 0.0, kink: false });
        };
        let slope = catch_panic(|| tensor.grad(&result.tensor.backward()).map(read)).ok()??;
        // Each partial derivative has the error of the values that it is computed from, and each
        // operation rounds.
        let error = result.error + 4.0 * result.operations.get() as f64 * f64::EPSILON;
        let bound = 4.0 * error * result.slopes;
        (slope.is_finite() && bound.is_finite()).then_some(Estimate { value: slope, bound, kink: false })
    }
}

fn constant(value: Real, device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::from([value.value()]), (device, DType::F64)).autodiff()
}

fn read(tensor: Tensor<1>) -> f64 {
    tensor.try_into_vec_as::<f64>().ok().and_then(|values| values.first().copied()).unwrap_or(f64::NAN)
}

fn sigmoid(x: Real) -> Real {
    let e = (if x.value() < 0.0 { x } else { -x }).exp();
    (if x.value() < 0.0 { e } else { Real::ONE }) / (Real::ONE + e)
}

/// A number that Burn computes, if it depends on the variable.
#[derive(Clone)]
struct Scalar {
    /// The value in the numbers of the checker.
    real: Real,
    on_tensor: Option<OnTensor>,
}

#[derive(Clone)]
struct OnTensor {
    tensor: Tensor<1>,
    /// The sum over all paths to the variable of the absolute products of their derivatives. What
    /// autodiff loses where such products cancel is a small part of it.
    slopes: f64,
    /// The largest relative error of a value so far, against the numbers of the checker.
    error: f64,
    /// The number of operations on tensors, of all numbers together.
    operations: Rc<Cell<usize>>,
}

impl Scalar {
    fn apply(&self, real: Real, slope: f64, f: impl FnOnce(Tensor<1>) -> Tensor<1>) -> Self {
        let Some(on_tensor) = &self.on_tensor else { return Self::constant(real) };
        let slopes = slope.abs() * on_tensor.slopes;
        Self::computed(real, slopes, on_tensor.error, &on_tensor.operations, || f(on_tensor.tensor.clone()))
    }

    fn combine(
        &self,
        other: &Self,
        real: Real,
        slopes: [f64; 2],
        f: impl FnOnce(Tensor<1>, Tensor<1>) -> Tensor<1>,
    ) -> Self {
        let Some(known) = self.on_tensor.as_ref().or(other.on_tensor.as_ref()) else { return Self::constant(real) };
        let device = known.tensor.device().inner();
        let part = |number: &Self, slope: f64| match &number.on_tensor {
            Some(on_tensor) => (on_tensor.tensor.clone(), slope.abs() * on_tensor.slopes, on_tensor.error),
            None => (constant(number.real, &device), 0.0, 0.0),
        };
        let ((a, slope_a, error_a), (b, slope_b, error_b)) = (part(self, slopes[0]), part(other, slopes[1]));
        Self::computed(real, slope_a + slope_b, error_a.max(error_b), &known.operations, || f(a, b))
    }

    fn computed(
        real: Real,
        slopes: f64,
        error: f64,
        operations: &Rc<Cell<usize>>,
        f: impl FnOnce() -> Tensor<1>,
    ) -> Self {
        operations.set(operations.get() + 1);
        if operations.get() > OPERATIONS || !real.is_defined() {
            return Self::constant(Real::UNDEFINED);
        }
        let tensor = f();
        let (exact, computed) = (real.value(), read(tensor.clone()));
        let loss = if exact == computed { 0.0 } else { ((exact - computed) / exact).abs() };
        // Not a number is not lost in a maximum.
        let error = if loss > error || loss.is_nan() { loss } else { error };
        let on_tensor = OnTensor { tensor, slopes, error, operations: Rc::clone(operations) };
        Self { real, on_tensor: Some(on_tensor) }
    }
}

impl Number for Scalar {
    fn constant(value: Real) -> Self {
        Self { real: value, on_tensor: None }
    }

    fn real(&self) -> Real {
        self.real
    }

    fn add(&self, other: &Self) -> Self {
        self.combine(other, self.real + other.real, [1.0, 1.0], |a, b| a + b)
    }

    fn sub(&self, other: &Self) -> Self {
        self.combine(other, self.real - other.real, [1.0, 1.0], |a, b| a - b)
    }

    fn mul(&self, other: &Self) -> Self {
        let slopes = [other.real.value(), self.real.value()];
        self.combine(other, self.real * other.real, slopes, |a, b| a * b)
    }

    fn div(&self, other: &Self) -> Self {
        let quotient = self.real / other.real;
        let slopes = [1.0 / other.real.value(), quotient.value() / other.real.value()];
        self.combine(other, quotient, slopes, |a, b| a / b)
    }

    fn neg(&self) -> Self {
        self.apply(-self.real, 1.0, |a| -a)
    }

    fn recip(&self) -> Self {
        let real = Real::ONE / self.real;
        self.apply(real, real.value().powi(2), Tensor::recip)
    }

    fn exp(&self) -> Self {
        let real = self.real.exp();
        self.apply(real, real.value(), Tensor::exp)
    }

    fn ln(&self) -> Self {
        self.apply(self.real.ln(), 1.0 / self.real.value(), Tensor::log)
    }

    fn powi(&self, exponent: i32) -> Self {
        let slope = f64::from(exponent) * self.real.value().powi(exponent.saturating_sub(1));
        self.apply(self.real.powi(exponent), slope, |a| a.powi_scalar(exponent))
    }

    fn tanh(&self) -> Self {
        // tanh x = 2 σ(2x) - 1
        let twice = Real::new(2.0);
        let real = twice * sigmoid(twice * self.real) - Real::ONE;
        self.apply(real, 1.0 - real.value().powi(2), Tensor::tanh)
    }

    fn sigmoid(&self) -> Self {
        let real = sigmoid(self.real);
        self.apply(real, real.value() * (1.0 - real.value()), activation::sigmoid)
    }

    fn sqrt(&self) -> Self {
        let real = (self.real.ln() * Real::new(0.5)).exp();
        match self.constant_integer() {
            Some(0) => self.clone(),
            _ => self.apply(real, 0.5 / real.value(), Tensor::sqrt),
        }
    }

    fn constant_integer(&self) -> Option<i32> {
        if self.on_tensor.is_none() { self.real.as_integer(64.0) } else { None }
    }

    fn perturb(&self, _level: usize) -> Option<Self> {
        None
    }

    fn slope(&self, _level: usize) -> Option<Self> {
        None
    }
}
