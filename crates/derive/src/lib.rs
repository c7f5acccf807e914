//! Checks a written derivation line by line, and names the first wrong step.
//!
//! ```
//! use chainrule_derive::{Document, Options, check};
//!
//! let text = "
//! z = sum_j x_j w_j + b
//! p = 1/(1 + e^-z)
//! C = -(y ln p + (1 - y) ln(1 - p))
//!
//! dC/dz = p - y
//! dC/dw_j = p - y
//! ";
//! let document = Document::parse(text).expect("the text is readable");
//! let report = check(&document, &Options::default());
//! assert!(!report.is_right());
//! let page = report.to_text(false);
//! assert!(page.contains("wrong: the inner derivative ∂z/∂w_j is missing"), "{page}");
//! ```
//!
//! The text goes through the modules in this order:
//!
//! - `document` finds the formulas in a text, and decides what each statement is for: it defines a
//!   name, claims an equation, or assumes something.
//! - `lex` and `words` turn a formula into tokens, in LaTeX or in plain notation, and `parse` turns
//!   the tokens into a `tree`, in which indices are indices.
//! - `typing` finds how many indices each name has, and which indices run over the same range.
//! - `point` draws values for what nothing defines, and `evaluate` computes both sides of a step
//!   there, with derivatives (`number`) and with bounds on the rounding errors (`real`).
//! - `samples` and `check` decide whether the sides are equal, `witness` confirms the derivatives
//!   by finite differences, and `diagnose` names the kind of mistake.
//! - `report` is what was found, as data and as text, and `html` writes it as a page, for which
//!   `latex` writes expressions.
//! - `expect` compares a submission with what was asked, and `code` writes what holds as functions
//!   on Burn tensors.
//! - `steps` checks steps that continue a page, and `exercise` adds a form for them to the page,
//!   with this checker as WebAssembly.

mod check;
mod code;
mod diagnose;
mod document;
mod error;
mod evaluate;
// The form contains the checker as WebAssembly, which does not contain itself.
#[cfg(not(target_family = "wasm"))]
mod exercise;
mod expect;
mod html;
mod latex;
mod lex;
mod number;
mod parse;
mod point;
mod real;
mod report;
mod samples;
mod steps;
mod templates;
mod tree;
#[cfg(test)]
mod trust;
mod typing;
mod value;
mod witness;
mod words;

pub use check::{Options, check};
pub use code::{Code, LeftOut, code};
pub use document::Document;
pub use error::ParseError;
pub use expect::{Answer, Exercise, Submission};
pub use number::Number;
pub use real::Real;
pub use report::{Counterexample, Line, Mistake, Report, Step, Verdict};
pub use steps::check_steps;
pub use templates::{DERIVATIONS, MISPRINTS, TEMPLATES, Template};
pub use witness::{Differences, Estimate, Question, Witness};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
