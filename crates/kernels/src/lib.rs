//! Logistic and softmax regression on their closed-form gradients, each in one pass over the batch.
//! No Burn: bytes in, parameters out.
//!
//! The derivation knows what automatic differentiation cannot: that the gradient needs the batch
//! once, and that of features `x = a p + c` the bytes p that are 0, most of an image's, need not be
//! read at all. They are left out in blocks.
//!
//! - [`PackedRows`]: labelled rows of bytes, without blocks that are all 0
//! - [`Fused`]: a model's parameters, with steps of gradient descent, gradients and evaluations
//! - [`Isa`]: the vector instructions that these are compiled for
//! - [`limits`]: what the processor could do at best

#![expect(clippy::needless_range_loop, reason = "a lane of several arrays at once is what the arithmetic is about")]

mod fused;
mod isa;
mod judge;
mod lanes;
pub mod limits;
mod linear;
mod packed_rows;
mod patches;
mod real;
#[cfg(test)]
mod tests;

pub use fused::{Evaluation, Float, Fused, NoThreads, with_threads};
pub use isa::Isa;
pub use packed_rows::PackedRows;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
