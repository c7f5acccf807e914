//! The program `chainrule`. [`chainrule_cli::run`] has the code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(chainrule_cli::run(std::env::args_os()))
}
