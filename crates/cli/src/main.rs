//! `chainrule`: see the library's [`chainrule::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(chainrule::run(std::env::args_os()))
}
