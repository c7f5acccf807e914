//! A gradient checker for any Burn module, with error bounds instead of guessed tolerances.
//!
//! ```
//! # #[cfg(feature = "burn")] {
//! use burn::{module::Module, nn::{Linear, LinearConfig}, tensor::{Device, Distribution, Tensor}};
//!
//! let device = Device::default();
//! let model = LinearConfig::new(3, 2).init(&device);
//! let x = Tensor::<2>::random([5, 3], Distribution::Default, &device);
//! let report = chainrule_gradcheck::check(&model, |model: &Linear| model.forward(x.clone()).exp().mean(), &Default::default());
//! report.assert_pass();
//! # }
//! ```
//!
//! - [`check()`] compares Burn's autodiff with finite differences of the loss, for every named
//!   parameter. The finite differences are also called *the differences* here.
//! - [`compare`] checks several gradients of one module (a closed form, autodiff, a fused kernel)
//!   against the differences and each other. If exactly one is wrong, the report names it.
//! - [`check_output`] checks a function whose output is not a scalar.
//! - [`controls()`] tests the checker on your own module. It corrupts the correct gradient in nine
//!   typical ways and reports whether the checker rejects each corrupted gradient.
//!
//! **No tolerance is guessed.** For each coordinate, extrapolated central differences give an
//! estimate of the slope *and* a bound on its error ([`slope()`]). At each coordinate, a gradient
//!
//! - fails if its distance from the estimate exceeds the sum of three bounds and the gradient's
//!   own rounding error, which is measured,
//! - passes if the distance is at most this sum, and the bound is narrow enough to reveal a wrong
//!   gradient,
//! - is *unresolved* if the bound is too wide to decide.
//!
//! **The core works without Burn.** [`check_slices`] runs the whole check on plain slices. Without
//! the feature `burn`, the crate has only this core.

mod check;
#[cfg(feature = "burn")]
mod controls;
#[cfg(feature = "burn")]
mod module;
mod options;
mod report;
mod slope;

pub use check::{Gradient, Parameter, check_slices};
#[cfg(feature = "burn")]
pub use controls::{Control, Controls, controls};
#[cfg(feature = "burn")]
pub use module::{
    HessianVectorProduct, Output, check, check_output, check_second_order, compare, compare_without_autodiff, f64_works,
};
#[cfg(feature = "burn")]
pub use options::DifferencePrecision;
pub use options::{Coverage, Options};
pub use report::{Finding, GradientReport, Mismatch, ParameterReport, Report};
pub use slope::{Slope, slope};

/// Defines a test that checks a module with [`check()`], or its output with [`check_output`].
///
/// ```
/// use burn::{module::Param, tensor::{Device, Tensor}};
/// use chainrule_gradcheck::gradcheck;
///
/// fn vector() -> Param<Tensor<1>> {
///     Param::from_tensor(Tensor::from_data([0.5, -0.25, 2.0], &Device::default()))
/// }
///
/// gradcheck!(squares, vector(), |x: &Param<Tensor<1>>| x.val().square().sum());
/// gradcheck!(tanh, vector(), output: |x: &Param<Tensor<1>>| x.val().tanh());
/// # fn main() {}
/// ```
///
/// A last argument replaces `Options::default()`. Attributes, such as `#[ignore]`, come first.
#[cfg(feature = "burn")]
#[macro_export]
macro_rules! gradcheck {
    ($(#[$attribute:meta])* $name:ident, $module:expr, output: $output:expr $(, $options:expr)? $(,)?) => {
        $crate::gradcheck!(@test $(#[$attribute])* $name, check_output, $module, $output $(, $options)?);
    };
    ($(#[$attribute:meta])* $name:ident, $module:expr, $loss:expr $(, $options:expr)? $(,)?) => {
        $crate::gradcheck!(@test $(#[$attribute])* $name, check, $module, $loss $(, $options)?);
    };
    (@test $(#[$attribute:meta])* $name:ident, $check:ident, $module:expr, $function:expr) => {
        $crate::gradcheck!(
            @test $(#[$attribute])* $name, $check, $module, $function, $crate::Options::default()
        );
    };
    (@test $(#[$attribute:meta])* $name:ident, $check:ident, $module:expr, $function:expr, $options:expr) => {
        $(#[$attribute])*
        #[test]
        fn $name() {
            $crate::$check(&$module, $function, &$options).assert_pass();
        }
    };
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
