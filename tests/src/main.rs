//! The program under test: `chainrule` as the tests' own binary, so that Cargo builds it with them.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(chainrule_cli::run(std::env::args_os()))
}
