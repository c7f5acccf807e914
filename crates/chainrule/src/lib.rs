//! Two linear classifiers on hand-derived gradients: load data, fit, ask.
//!
//! ```
//! # fn main() -> Result<(), chainrule::Error> {
//! use chainrule::{Estimator, Samples};
//!
//! let [train, validation] = Samples::digits(1000, 7).split(0.2, 0)?; // or Samples::csv("penguins.csv", "species")?
//! let fitted = Estimator::softmax().l2(0.01).learning_rate(0.05).epochs(20).fit(&train)?;
//! println!("accuracy {:.1} %", 100.0 * fitted.score(&validation)?);
//! let probabilities = fitted.predict_proba(&validation)?; // [n][k]
//! assert!((probabilities[0].iter().sum::<f64>() - 1.0).abs() < 1e-12);
//! # Ok(())
//! # }
//! ```
//!
//! [`Samples`] are labelled rows, from CSV, images, pictures in folders or memory; an [`Estimator`]
//! is a model with the settings of its training; a [`Fitted`] model is asked, saved, and exported
//! for other tools. They stand on crates that can be used by themselves, and are here by shorter
//! names: [`core`] (what a model is), [`kernels`], [`data`], [`formats`] (other tools' files),
//! [`solve`] (trainings, whatever computes them) and [`records`] (what is kept of them).
//!
//! By default there is no Burn: images are trained on by fused kernels, tables by plain loops. The
//! features `ndarray`, `flex`, `wgpu` and `cuda` bring
//! Burn with a backend each: its optimizers, autodiff, and `Estimator::check_gradient`, which holds
//! by hand, by autodiff and by differences against each
//! other. With them there are `burn` itself, in the one version that fits, `models` (the Burn
//! modules and their closed-form gradients), `engines` (what
//! computes on Burn) and `gradcheck` (the checker, for any Burn module). `pictures` reads PNG and
//! JPEG, and `download` gets MNIST.
//!
//! The program `chainrule` is the package `chainrule-cli`. [`backend`] and [`machine`] are for
//! those who drive the other crates themselves.

#[cfg(feature = "burn")]
pub use burn;
pub use chainrule_core as core;
pub use chainrule_data as data;
#[cfg(feature = "burn")]
pub use chainrule_engines as engines;
pub use chainrule_formats as formats;
#[cfg(feature = "burn")]
pub use chainrule_gradcheck as gradcheck;
pub use chainrule_kernels as kernels;
#[cfg(feature = "burn")]
pub use chainrule_models as models;
pub use chainrule_records as records;
pub use chainrule_solve as solve;

pub mod backend;
mod error;
mod estimator;
mod fitted;
pub mod machine;
#[cfg(feature = "burn")]
mod on_burn;
#[cfg(feature = "burn")]
pub mod panics;
mod samples;
mod samples_error;

pub use error::Error;
pub use estimator::Estimator;
pub use fitted::{Fitted, Training};
pub use samples::{Label, Samples};
pub use samples_error::SamplesError;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
