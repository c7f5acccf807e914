//! `cargo xtask COMMAND [--features LIST] [options]`: builds the program with these backends and
//! runs the command.
//!
//! Four commands belong to xtask itself: `test` runs the tests, `ci` runs all checks from the
//! cheapest to the most expensive, `book` builds the pages in `docs`, and `exercise` makes the
//! checker of derivations for pages.

mod book;
mod ci;
mod exercise;
mod test;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, exit};

const HELP: &str = "\
cargo xtask COMMAND [--features ndarray|flex|wgpu|cuda|remote|remote-server] [options]

  train [CONFIG]     train a model and write a run folder
  sweep [CONFIG]     grid search, with a table and a plot: --grid KEY=VALUE,VALUE,…; --resume continues it
  gradcheck          compare the gradients of closed form, autodiff and finite differences; --burn checks Burn's own layers and operations
  derive FILE        check a written derivation line by line; --new MODEL prints one to begin with, --watch checks each save
  reproduce          reproduce the report with its runs, figures and verdicts; --check compares with the existing report
  evaluate RUN       evaluate a trained model on the run's own data, or on --data SOURCE
  explain RUN FILE   what each column or pixel of a row contributes to a prediction: --row N; --worked-gradient
  inspect RUN        show the weights as images, and the evidence for a class in an image
  export RUN         export the model to PyTorch, NumPy, onnxruntime or other tools: --format safetensors|npz|onnx|json
  import FILE        import weights of PyTorch, scikit-learn or an export as a model folder
  page RUN           write an HTML page to draw on, with prediction, evidence and a gradient step
  predict RUN FILE…  predict images or table rows: files, folders of files, or - for standard input
  serve              serve this machine's device to --backend remote:HOST:PORT on other machines
  backends           list the backends of this build and their devices on this machine
  data               describe a data set; --fetch downloads MNIST, --write-idx writes the embedded digits
  completions SHELL  print a shell completion script for bash, zsh, fish, elvish or powershell
  man                print the man page; --out DIR writes the pages of all commands
  bench              measure speed and memory of every gradient source and backend; --peers adds other tools
  book               build docs as a book with mdBook in target/book; --open shows it in a browser, --out DIR sets the folder
  exercise           compile the checker of derivations to WebAssembly for its pages; --check compares with the existing file
  test               run the workspace's tests and count the skipped ones; --quick omits tests that start a process
  ci                 run all checks, cheapest first: --list, --only NAME, --from NAME, --all

`cargo xtask COMMAND --help` shows the options of a command.
--features takes a comma-separated list and replaces the default, ndarray.
Example: cargo xtask train logistic --features flex --gradient autodiff
";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        None | Some("help" | "--help" | "-h") => {
            print_line(HELP.trim_end());
            ExitCode::SUCCESS
        }
        Some("ci") => ci::run(&arguments[1..]),
        Some("test") => test::run(&arguments[1..]),
        Some("book") => book::run(&arguments[1..]),
        Some("exercise") => exercise::run(&arguments[1..]),
        Some(command) => match (command == "bench", take_features(&mut arguments)) {
            (true, Ok(features)) => run_program("chainrule-bench", features, &arguments[1..]),
            (false, Ok(features)) => run_program("chainrule-cli", features, &arguments),
            (_, Err(problem)) => {
                print_error(&problem);
                ExitCode::from(2)
            }
        },
    }
}

/// Prints a line on standard output. If the reader closed the pipe, the process exits like other
/// programs do.
fn print_line(line: &str) {
    if let Err(problem) = writeln!(std::io::stdout(), "{line}") {
        if problem.kind() != ErrorKind::BrokenPipe {
            print_error(&format!("cannot write to standard output: {problem}"));
        }
        exit(if problem.kind() == ErrorKind::BrokenPipe { 141 } else { 2 });
    }
}

#[expect(clippy::print_stderr, reason = "this is a program")]
fn print_error(problem: &str) {
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

/// Builds the program and replaces this process by it. The exit code is then the
/// program's, and Ctrl-C reaches the program.
fn run_program(package: &str, features: Option<String>, arguments: &[String]) -> ExitCode {
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
    print_error(&format!("cannot run cargo: {problem}"));
    ExitCode::from(2)
}

/// The folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

/// The target folder. CI can keep it outside of the checkout.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
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
