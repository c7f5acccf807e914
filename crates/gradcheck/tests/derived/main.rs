//! The derivations of `crates/derive/configs` as code, each with its tests against autodiff.
//!
//! `chainrule derive FILE --code OUT` wrote the modules. `crates/derive/tests/code.rs` compares
//! them with what it writes now, and says how to renew them.

#![cfg(feature = "burn")]

pub mod attention;
pub mod layer_norm;
pub mod logistic;
pub mod mlp;
pub mod softmax;
