//! `cargo xtask COMMAND [--features LIST] [options]`: builds the program with these backends and
//! runs the command.
//!
//! Three commands belong to xtask itself: `test` runs the tests, `ci` runs all checks from the
//! cheapest to the most expensive, and `book` builds the pages in `docs`.

mod book;
mod ci;
mod test;

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, ExitCode, exit};

const HELP: &str = "\
cargo xtask COMMAND [--features ndarray|flex|wgpu|cuda|remote|remote-server] [options]

  train [CONFIG]   train one experiment and write a run folder
  sweep [CONFIG]   the same at every point of a grid: --grid KEY=VALUE,VALUE,…; one table and one plot; --resume goes on
  gradcheck        closed form = autodiff = differences, for both models; --burn for Burn's own nn
  reproduce        every run and figure of the report, and the verdict on each claim; --check to compare
  evaluate RUN     how good a trained model is, on its own data or --data others
  inspect RUN      its weights as pictures, and what speaks for a class in an image
  export RUN       the model for PyTorch, NumPy, onnxruntime or anything else: --format safetensors|npz|onnx|json
  import FILE      weights of PyTorch, scikit-learn or an export, as a folder that the others take
  page RUN         a page to draw on: what the model says, why, and the gradient step that would teach it
  predict RUN FILE…  what pictures or a table's rows show, by a trained model: files, folders of them, - for standard input
  serve            offer this machine's device to --backend remote:HOST:PORT elsewhere
  backends         what this build has, and what this machine offers it
  data             where the data is; --fetch it, or --write-idx the embedded digits
  completions SHELL  what makes bash, zsh, fish, elvish or powershell complete the program's commands and options
  man              its man page; --out DIR for those of all commands
  bench            speed and memory of every gradient source and backend; --peers beside other tools
  book             docs as a book, by mdBook, in target/book: --open in a browser, --out DIR elsewhere
  test             the workspace's tests, and how many could not run: --quick for those that start no process
  ci               everything that is checked, cheapest first: --list, --only NAME, --from NAME, --all

`cargo xtask COMMAND --help` tells the options of a command. --features takes a comma-separated list and replaces the
default, ndarray. Example: cargo xtask train logistic --features flex --gradient autodiff
";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None | Some("help" | "--help" | "-h") => {
            say(HELP.trim_end());
            ExitCode::SUCCESS
        }
        Some("ci") => ci::run(&arguments[1..]),
        Some("test") => test::run(&arguments[1..]),
        Some("book") => book::run(&arguments[1..]),
        Some(command) => match (command == "bench", take_features(&mut arguments)) {
            (true, Ok(features)) => become_program("chainrule-bench", features, &arguments[1..]),
            (false, Ok(features)) => become_program("chainrule-cli", features, &arguments),
            (_, Err(problem)) => {
                complain(&problem);
                ExitCode::from(2)
            }
        },
    }
}

/// Prints a line on standard output. If the reader closed the pipe, the process exits like other
/// programs do.
fn say(line: &str) {
    if let Err(problem) = writeln!(std::io::stdout(), "{line}") {
        if problem.kind() != ErrorKind::BrokenPipe {
            complain(&format!("cannot write to standard output: {problem}"));
        }
        exit(if problem.kind() == ErrorKind::BrokenPipe { 141 } else { 2 });
    }
}

#[expect(clippy::print_stderr, reason = "this is a program")]
fn complain(problem: &str) {
    eprintln!("error: {problem}");
}

/// Removes `--features LIST` or `--features=LIST` from the arguments and returns the list.
fn take_features(arguments: &mut Vec<String>) -> Result<Option<String>, String> {
    let Some(at) = arguments.iter().position(|a| a == "--features" || a.starts_with("--features=")) else {
        return Ok(None);
    };
    let option = arguments.remove(at);
    match option.split_once('=') {
        Some((_, features)) => Ok(Some(features.to_owned())),
        None if at < arguments.len() => Ok(Some(arguments.remove(at))),
        None => Err("--features: expected a list of backends, as in --features flex".to_owned()),
    }
}

/// Builds the program and replaces this process by it. Its exit code and Ctrl-C are then this
/// process's.
fn become_program(package: &str, features: Option<String>, arguments: &[String]) -> ExitCode {
    let mut cargo = cargo();
    cargo.args(["run", "--package", package]);
    if let Some(features) = features {
        cargo.args(["--no-default-features", "--features", &features]);
    }
    cargo.arg("--").args(arguments);
    #[cfg(unix)]
    let problem = std::os::unix::process::CommandExt::exec(&mut cargo);
    #[cfg(not(unix))]
    let problem = match cargo.status() {
        Ok(status) => return ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(101)),
        Err(problem) => problem,
    };
    complain(&format!("cannot run cargo: {problem}"));
    ExitCode::from(2)
}

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Returns a command for the cargo that runs this process.
///
/// The variables that cargo sets for this package are removed. A build script below Burn (ring's)
/// depends on them, and `cargo xtask` would rebuild everything above it after each `cargo test`.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let is_of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(|name| is_of_package(name) || name == "OUT_DIR") {
            cargo.env_remove(name);
        }
    }
    cargo
}
