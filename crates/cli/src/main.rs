//! `chainrule`: see the library's [`chainrule_cli::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(chainrule_cli::run(std::env::args_os()))
}
