//! The checker inside of a page, compiled to WebAssembly by `cargo xtask exercise`.
//!
//! Reads the text of a page and the steps that continue it from standard input, with a NUL between
//! them. Writes a JSON document to standard output: what was found as a sentence, as HTML and as
//! data, or the problem that the steps cannot be read.
#![expect(clippy::print_stdout, reason = "this is a program")]

use std::io::Read;

use chainrule_derive::{Options, Report, check_steps};
use serde::Serialize;

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Checked { summary: String, html: String, report: Report },
    NotRead { problem: String },
}

fn main() {
    let mut request = String::new();
    let answer = match std::io::stdin().read_to_string(&mut request) {
        Ok(_) => answer(&request),
        Err(error) => Answer::NotRead { problem: error.to_string() },
    };
    print!("{}", serde_json::to_string(&answer).unwrap_or_default());
}

fn answer(request: &str) -> Answer {
    let (page, steps) = request.split_once('\0').unwrap_or(("", request));
    match check_steps(page, steps, &Options::default()) {
        Ok(report) => Answer::Checked { summary: report.summary(), html: report.to_html_items(), report },
        Err(errors) => Answer::NotRead { problem: errors.first().map(ToString::to_string).unwrap_or_default() },
    }
}
