//! Logistic and softmax regression on their closed-form gradients, each in one pass over the batch. No Burn: bytes in, parameters out.
//!
//! The derivation knows what automatic differentiation cannot: that the gradient needs the batch once, and that of features `x = a p + c` the
//! bytes p that are 0, most of an image's, need not be read at all.
//!
//! - [`Rows`]: labelled rows of bytes, all of them or those that are not 0
//! - [`Fused`]: a model's parameters, with steps of gradient descent, gradients and evaluations
//! - [`Isa`]: the vector instructions that these are compiled for
//! - [`limits`]: what the processor could do at best

mod fused;
mod isa;
pub mod limits;
mod narrow;
mod real;
mod rows;
mod wide;

pub use fused::{Evaluation, Float, Fused, Gradient, Model, Step, with_threads};
pub use isa::Isa;
pub use rows::{Layout, Rows};
