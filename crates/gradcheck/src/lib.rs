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
//! [`check()`] holds Burn's autodiff against differences of the loss, for every parameter by its
//! name. [`compare`] holds several gradients of one module (a closed form, autodiff, a fused
//! kernel) against the differences and each other, and says which is the odd one out.
//! [`check_output`] takes a function that gives more than a scalar. [`controls()`] spoils the right
//! gradient in every way that one gets a gradient wrong, and tells whether the checker sees it, on
//! your own module.
//!
//! **It does not guess tolerances.** Central differences at several steps, extrapolated, give an
//! estimate *and* a bound on its error for each coordinate ([`slope()`]). A gradient fails where it
//! and the estimate cannot both be right, passes where they agree within a bound that would have
//! told a wrong one, and is *unresolved* where the bound is too wide to tell.
//!
//! **The core needs no Burn**: [`check_slices`] is all of it over plain slices, and all that is
//! left without the feature `burn`.

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
pub use module::{against_differences, check, check_output, compare, f64_works};
#[cfg(feature = "burn")]
pub use options::Witness;
pub use options::{Options, Search};
pub use report::{Finding, Mismatch, ParameterReport, Report, SourceReport};
pub use slope::{Slope, noise, slope};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
