//! Logistic and softmax regression with closed-form gradients, each computed in one pass over the
//! batch. The crate takes bytes and returns parameters. It does not use Burn.
//!
//! The derivation shows two facts that automatic differentiation cannot know. The gradient needs
//! only one pass over the batch. And with features `x = a p + c`, the bytes p that are 0 need not
//! be read. Most bytes of an MNIST image are 0, and [`PackedRows`] omits them in blocks.
//!
//! - [`PackedRows`]: labelled rows of bytes, without the blocks that are all 0
//! - [`Fused`]: a model's parameters, with gradient descent steps, gradients and evaluations
//! - [`Isa`]: the vector instructions that a kernel is compiled for
//! - [`limits`]: measured limits of the processor

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
