//! A preprocessor of mdBook 0.5: the book on standard input as JSON, and out again with formulas as
//! MathML.

use std::io::{Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    // mdBook asks first whether this is for a renderer: `supports html`.
    if std::env::args().nth(1).as_deref() == Some("supports") {
        return if std::env::args().nth(2).as_deref() == Some("html") { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match convert() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&problem);
            ExitCode::FAILURE
        }
    }
}

fn convert() -> Result<(), String> {
    let mut sent = String::new();
    std::io::stdin().read_to_string(&mut sent).map_err(|error| error.to_string())?;
    let book = chainrule_book::convert_book(&sent).map_err(|error| error.to_string())?;
    std::io::stdout().write_all(book.to_string().as_bytes()).map_err(|error| error.to_string())
}

#[expect(clippy::print_stderr, reason = "this is a program")]
fn complain(problem: &str) {
    eprintln!("error: {problem}");
}
