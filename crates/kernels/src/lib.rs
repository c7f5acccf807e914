//! Logistic and softmax regression with closed-form gradients. Each gradient is computed in one
//! pass over the batch. Features are bytes, as images store them, or the numbers and categories of
//! a table. The crate does not use Burn.
//!
//! The kernels use two facts of the derivation (`docs/derivation.md`) that automatic
//! differentiation cannot use:
//!
//! - The gradient needs only one pass over the batch.
//! - A feature is `x = a p + c`, for a stored number p. In the logits and the gradient, the terms
//!   with c need only column sums of the weights and the residuals. So numbers that are 0 need not
//!   be read, even if c is not 0: most bytes of an MNIST image are 0, and all but one of the
//!   features of a category. And standardised features need no copy of the data.
//!
//! The main public items:
//!
//! - [`PackedRows`]: labelled rows, of bytes or of a table ([`TableBuilder`])
//! - [`PackedLayout`]: rows of a table that are kept elsewhere, such as in a file
//! - [`FusedModel`]: a linear model, with gradient descent steps, gradients and evaluations
//! - [`Margins`]: which rows' classes are known from before, for frequent evaluations
//! - [`LogitMap`]: the logits of rows, for predictions
//! - [`Isa`]: the instruction set that a kernel is compiled for
//! - [`limits`]: measured speed limits of the processor
//!
//! A step of [`FusedModel`] runs a pass on each thread: `bytes/pass.rs` or `table/pass.rs`. A pass
//! computes logits, losses and residuals (`losses.rs`), and the sums of the gradient. It works on
//! vectors of sixteen numbers (`lanes.rs`) of either float type (`real.rs`). A vector holds sixteen
//! features of a row of bytes, or one feature of sixteen rows of a table.

#![expect(clippy::needless_range_loop, reason = "a loop over lanes indexes several arrays at once")]

mod bytes;
mod fused;
mod isa;
mod lanes;
pub mod limits;
mod logits;
mod losses;
mod margins;
mod packed_rows;
mod parts;
mod real;
mod row_set;
mod table;
#[cfg(test)]
mod tests;

pub use fused::{Evaluation, Float, FusedModel, ThreadPoolError, with_threads};
pub use isa::Isa;
pub use logits::{LogitMap, Number};
pub use margins::Margins;
pub use packed_rows::PackedRows;
pub use row_set::{sample_size, sampled_row};
pub use table::curvature::Curvature;
pub use table::elsewhere::PackedLayout;
pub use table::moments::{FeatureMoments, MAX_COVARIANCES};
pub use table::rows::{RowOrder, TableBuilder};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
