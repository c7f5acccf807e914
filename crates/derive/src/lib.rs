//! Checks a written derivation line by line, and names the first wrong step.
mod check;
mod diagnose;
mod document;
mod error;
mod evaluate;
mod lex;
mod number;
mod parse;
mod point;
mod real;
mod report;
mod samples;
mod tree;
#[cfg(test)]
mod trust;
mod typing;
mod value;
mod witness;
mod words;

pub use check::{Options, check};
pub use document::Document;
pub use error::ParseError;
pub use number::Number;
pub use real::Real;
pub use report::{Counterexample, Line, Mistake, Report, Step, Verdict};
pub use witness::{Differences, Estimate, Question, Witness};
