//! Logistic and softmax regression with closed-form gradients. Each gradient is computed in one
//! pass over the batch. Features are read as bytes, as images store them. The crate does not use
//! Burn.
//!
//! The kernels use two facts of the derivation (`docs/derivation.md`) that automatic
//! differentiation cannot use:
//!
//! - The gradient needs only one pass over the batch.
//! - A feature is `x = a p + c`, for a byte p. In the logits and the gradient, the terms with c
//!   need only column sums of the weights and the residuals, and no bytes. So bytes that are 0 need
//!   not be read, even if c is not 0. Most bytes of an MNIST image are 0, and [`PackedRows`] omits
//!   them in blocks.
//!
//! The main public items:
//!
//! - [`PackedRows`]: labelled rows of bytes, without the blocks that are all 0
//! - [`FusedModel`]: a linear model, with gradient descent steps, gradients and evaluations
//! - [`Isa`]: the instruction set that a kernel is compiled for
//! - [`limits`]: measured speed limits of the processor
//!
//! A step of [`FusedModel`] runs a pass (`linear.rs`) on each thread. A pass computes logits
//! (`linear.rs`), losses and residuals (`losses.rs`), and the sums of the gradient (`linear.rs`).
//! It works on vectors of sixteen numbers (`lanes.rs`) of either float type (`real.rs`).

#![expect(clippy::needless_range_loop, reason = "a loop over lanes indexes several arrays at once")]

mod block_layout;
mod fused;
mod isa;
mod lanes;
pub mod limits;
mod linear;
mod losses;
mod packed_rows;
mod real;
#[cfg(test)]
mod tests;

pub use fused::{Evaluation, Float, FusedModel, ThreadPoolError, with_threads};
pub use isa::Isa;
pub use packed_rows::PackedRows;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
