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
//! - fails if its distance from the estimate exceeds the sum of the bound and the gradient's own
//!   rounding error,
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
pub use module::{check, check_output, compare, compare_without_autodiff, f64_works};
#[cfg(feature = "burn")]
pub use options::DifferencePrecision;
pub use options::{Coverage, Options};
pub use report::{Finding, GradientReport, Mismatch, ParameterReport, Report};
pub use slope::{Slope, noise, slope};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
