//! Logistic and softmax regression, trained with hand-derived gradients.
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
//! [`Samples`] holds labelled rows: from CSV files, image files, picture folders or memory. An
//! [`Estimator`] holds a model kind and its training settings. A [`Fitted`] model predicts, and can
//! be saved and exported to other tools.
//!
//! These types build on crates that can also be used directly. They are re-exported here under
//! shorter names: [`core`] (settings, parameters, losses), [`kernels`] (fused kernels), [`data`]
//! (reading data), [`formats`] (model files of other tools), [`solve`] (the training loop) and
//! [`records`] (run folders and saved models).
//!
//! The default build does not use Burn. It trains on images with fused kernels and on tables with
//! plain loops.
//!
//! The features `ndarray`, `flex`, `wgpu` and `cuda` each add Burn with one backend. Burn adds its
//! optimizers, autodiff and `Estimator::check_gradient`, which compares the closed form, autodiff
//! and finite differences. These features also export `burn` itself, `models` (the Burn modules and
//! their closed-form gradients), `engines` (training with Burn) and `gradcheck` (the gradient
//! checker for any Burn module).
//!
//! The feature `pictures` reads PNG and JPEG. The feature `download` downloads MNIST.
//!
//! The program `chainrule` is the package `chainrule-cli`. The modules [`backend`] and [`machine`]
//! are for programs that call the other crates directly.

#[cfg(feature = "burn")]
pub use burn;
pub use chainrule_core as core;
pub use chainrule_data as data;
#[cfg(feature = "burn")]
pub use chainrule_engines as engines;
pub use chainrule_evaluate as evaluate;
pub use chainrule_formats as formats;
#[cfg(feature = "burn")]
pub use chainrule_gradcheck as gradcheck;
pub use chainrule_kernels as kernels;
#[cfg(feature = "burn")]
pub use chainrule_models as models;
pub use chainrule_records as records;
pub use chainrule_solve as solve;

pub mod backend;
mod cross_validation;
mod error;
mod estimator;
mod file_rows;
mod fitted;
pub mod machine;
#[cfg(feature = "burn")]
mod on_burn;
#[cfg(feature = "burn")]
pub mod panics;
mod samples;
mod samples_error;

pub use cross_validation::{
    CrossValidation, FoldModel, FoldScores, FoldStore, NestedCrossValidation, PenaltyChoice, PenaltyScores,
};
pub use error::Error;
pub use estimator::Estimator;
pub use file_rows::FileRows;
pub use fitted::{FilePredictions, Fitted, Training};
pub use samples::{Label, Samples};
pub use samples_error::SamplesError;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
