//! The program under test: `chainrule` as a binary of the tests, so that Cargo builds it with them.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(chainrule_cli::run(std::env::args_os()))
}
