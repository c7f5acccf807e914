//! Gradient checks of Burn itself: its layers and losses, with parameters and inputs, and its
//! tensor operations.
//!
//! They are a service to Burn's developers. `docs/burn-gradients.md` has the findings.

mod convolution;
mod elementwise;
mod indexing;
mod layers;
mod linear_algebra;
mod reductions;
mod shapes;

use burn::module::{Module, Param};
use burn::tensor::{Bool, Device, FloatDType, Int, Tensor, TensorData};
use chainrule::panics::catch_panic;
use chainrule_gradcheck::{Options, Output, Report, check_output, f64_works};
use chainrule_models::to_precision;
use chainrule_records::GradientCheck;

use super::{OnRow, REPETITIONS, add, fail, random, row, uniform};

/// A module, a function or an operation of Burn.
struct Case {
    name: String,
    run: Box<dyn Fn(&CheckContext) -> Report>,
}

/// The settings that all cases share.
struct CheckContext {
    device: Device,
    dtype: FloatDType,
    seed: u64,
}

/// Builds cases, one a line.
macro_rules! cases {
    ($($name:literal => |$s:ident| $run:expr;)*) => {
        vec![$($crate::check_gradients::burn_sweep::case($name, |$s: &$crate::check_gradients::burn_sweep::CheckContext| $run)),*]
    };
}
use cases;

fn case(name: impl Into<String>, run: impl Fn(&CheckContext) -> Report + 'static) -> Case {
    Case { name: name.into(), run: Box::new(run) }
}

/// Checks every case in every precision of the device. A case that panics becomes a failed row of
/// the table, and the other cases still run.
pub(super) fn sweep(device: &Device, seed: u64, on_row: OnRow<'_>) -> Vec<GradientCheck> {
    // Burn draws a layer's initial weights from the device's generator.
    device.seed(seed);
    let dtypes = if f64_works(device) { vec![FloatDType::F32, FloatDType::F64] } else { vec![FloatDType::F32] };
    let families = [
        layers::cases(),
        elementwise::cases(),
        reductions::cases(),
        shapes::cases(),
        indexing::cases(),
        linear_algebra::cases(),
        convolution::cases(),
    ];
    let mut rows = Vec::new();
    for case in families.into_iter().flatten() {
        for dtype in dtypes.iter().copied() {
            let context = CheckContext { device: device.clone(), dtype, seed };
            let mut line = row(&case.name, dtype, "parameters and inputs");
            on_row(&line);
            match catch_panic(|| (case.run)(&context)) {
                Ok(report) => add(&mut line, "", &report),
                Err(panic) => fail(&mut line, format!("panicked: {panic}")),
            }
            rows.push(line);
        }
    }
    rows
}

impl CheckContext {
    /// One random cotangent reaches every element of an output, and more would take as much longer.
    fn options(&self) -> Options {
        Options { seed: self.seed, cotangents: 1, repetitions: REPETITIONS, ..Options::default() }
    }

    /// Returns a random tensor with values in [-1, 1).
    fn random<const D: usize>(&self, salt: u64, shape: [usize; D]) -> Tensor<D> {
        random(1000 * self.seed + salt, shape, &self.device, self.dtype)
    }

    /// Returns a random tensor with values in [0.2, 1.8).
    fn positive<const D: usize>(&self, salt: u64, shape: [usize; D]) -> Tensor<D> {
        self.random(salt, shape) * 0.8 + 1.0
    }

    /// Returns a tensor of these numbers.
    fn numbers<const D: usize>(&self, numbers: &[f64], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(numbers.to_vec(), shape), (&self.device, self.dtype.into()))
    }

    fn labels<const D: usize>(&self, labels: [i32; D]) -> Tensor<1, Int> {
        Tensor::from_data(TensorData::from(labels), &self.device)
    }

    /// Returns indices in this shape.
    fn indices<const D: usize>(&self, indices: &[i32], shape: [usize; D]) -> Tensor<D, Int> {
        Tensor::from_data(TensorData::new(indices.to_vec(), shape), &self.device)
    }

    /// Returns a random mask.
    fn mask<const D: usize>(&self, shape: [usize; D]) -> Tensor<D, Bool> {
        let mask: Vec<bool> = uniform(1000 * self.seed + 77, shape.iter().product()).iter().map(|x| *x > 0.0).collect();
        Tensor::from_data(TensorData::new(mask, shape), &self.device)
    }

    /// Checks a module with respect to its parameters and its input.
    fn module<M: Module, const I: usize, const O: usize>(
        &self,
        module: M,
        shape: [usize; I],
        forward: impl Fn(&M, Tensor<I>) -> Tensor<O>,
    ) -> Report {
        let input = Param::from_tensor(self.random(1, shape));
        let subject = (to_precision(module, self.dtype), input);
        check_output(&subject, |(module, input): &(M, Param<Tensor<I>>)| forward(module, input.val()), &self.options())
    }

    /// Checks a function with respect to its one input.
    fn input<const I: usize, O: Output>(&self, input: Tensor<I>, forward: impl Fn(Tensor<I>) -> O) -> Report {
        let input = Param::from_tensor(input);
        check_output(&input, |input: &Param<Tensor<I>>| forward(input.val()), &self.options())
    }

    /// Checks an elementwise function of a matrix. Its values reach twice as far as in the other
    /// cases.
    fn elementwise(&self, forward: impl Fn(Tensor<2>) -> Tensor<2>) -> Report {
        self.input(self.random(1, [3, 4]) * 2.0, forward)
    }

    /// Checks a function with respect to both inputs.
    fn inputs<const A: usize, const B: usize, const O: usize>(
        &self,
        a: Tensor<A>,
        b: Tensor<B>,
        forward: impl Fn(Tensor<A>, Tensor<B>) -> Tensor<O>,
    ) -> Report {
        let subject = (Param::from_tensor(a), Param::from_tensor(b));
        let forward = |(a, b): &(Param<Tensor<A>>, Param<Tensor<B>>)| forward(a.val(), b.val());
        check_output(&subject, forward, &self.options())
    }

    /// Checks a function with respect to all three inputs.
    fn three_inputs<const A: usize, const B: usize, const C: usize, const O: usize>(
        &self,
        a: Tensor<A>,
        b: Tensor<B>,
        c: Tensor<C>,
        forward: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>,
    ) -> Report {
        type Inputs<const A: usize, const B: usize, const C: usize> =
            (Param<Tensor<A>>, Param<Tensor<B>>, Param<Tensor<C>>);
        let subject = (Param::from_tensor(a), Param::from_tensor(b), Param::from_tensor(c));
        let forward = |(a, b, c): &Inputs<A, B, C>| forward(a.val(), b.val(), c.val());
        check_output(&subject, forward, &self.options())
    }
}
