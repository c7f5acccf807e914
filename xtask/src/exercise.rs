//! `cargo xtask exercise`: compiles the checker of derivations to WebAssembly, for the exercise on
//! its pages.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use crate::{print_error, print_line, root};

/// WebAssembly with standard input and output, so that the program needs no exports.
const TARGET: &str = "wasm32-wasip1";
/// The maximum size in a page, where four bytes are five characters.
const MAX_IN_PAGE: usize = 400_000;
/// The compressed program, and the compiler that made it.
const FILE: &str = "crates/derive/assets/exercise.wasm.gz";
const COMPILER: &str = "crates/derive/assets/exercise.rustc.txt";

/// Why there is no result.
pub(crate) enum Problem {
    /// The program cannot be made here, for this reason.
    Skipped(String),
    Failed(String),
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// `cargo xtask exercise [--check]`.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => write(),
        ["--check"] => check(),
        _ => Err(Problem::Failed("exercise takes --check, or nothing".to_owned())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Skipped(why)) => {
            print_line(&format!("skipped: {why}"));
            ExitCode::SUCCESS
        }
        Err(Problem::Failed(problem)) => {
            print_error(&problem);
            ExitCode::FAILURE
        }
    }
}

/// Makes the program and writes it.
fn write() -> Result<(), Problem> {
    let compiler = compiler()?;
    let module = build()?;
    let packed = pipe("gzip", &["-9", "--no-name", "--stdout"], module)?;
    let in_page = packed.len().div_ceil(4) * 5;
    if in_page > MAX_IN_PAGE {
        return Err(Problem::Failed(format!("the checker takes {in_page} bytes of a page, more than {MAX_IN_PAGE}")));
    }
    std::fs::write(root().join(FILE), &packed)?;
    std::fs::write(root().join(COMPILER), compiler)?;
    print_line(&format!("{FILE}: {} bytes, {in_page} in a page", packed.len()));
    Ok(())
}

/// Makes the program again and compares it with the committed one, if the compiler is the same.
pub(crate) fn check() -> Result<(), Problem> {
    let compiler = compiler()?;
    let first_line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let made_by = std::fs::read_to_string(root().join(COMPILER))?;
    if made_by != compiler {
        let (made_by, compiler) = (first_line(&made_by), first_line(&compiler));
        return Err(Problem::Skipped(format!("{FILE} was made by {made_by}, and this is {compiler}")));
    }
    let committed = pipe("gzip", &["--decompress", "--stdout"], std::fs::read(root().join(FILE))?)?;
    if build()? != committed {
        return Err(Problem::Failed(format!(
            "{FILE} is not what the sources give; make it again with cargo xtask exercise"
        )));
    }
    Ok(())
}

/// Returns version and host of the compiler.
fn compiler() -> Result<String, Problem> {
    let output = |arguments: &[&str]| Command::new("rustc").args(arguments).current_dir(root()).output();
    let libraries = output(&["--print", "target-libdir", "--target", TARGET])?.stdout;
    if !PathBuf::from(String::from_utf8_lossy(&libraries).trim()).is_dir() {
        return Err(Problem::Skipped(format!("the target {TARGET} is not installed; rustup target add {TARGET}")));
    }
    Ok(String::from_utf8_lossy(&output(&["-vV"])?.stdout).into_owned())
}

/// Compiles the program. No folder of this machine is named in it.
fn build() -> Result<Vec<u8>, Problem> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))).unwrap_or_default();
    let registries = std::fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    let mut folders: Vec<(PathBuf, &str)> = registries.map(|folder| (folder.path(), "/registry")).collect();
    folders.push((root().to_owned(), "/chainrule"));
    let flags: Vec<String> =
        folders.iter().map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display())).collect();
    let profile = ["--profile", "exercise", "--target", TARGET, "--locked"];
    let mut cargo = crate::cargo();
    cargo.args(["build", "--package", "chainrule-derive", "--example", "exercise"]).args(profile).current_dir(root());
    // Unlike RUSTFLAGS, these can have spaces.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    if !cargo.status()?.success() {
        return Err(Problem::Failed("the checker cannot be compiled".to_owned()));
    }
    let module = std::fs::read(crate::target().join(TARGET).join("exercise/examples/exercise.wasm"))?;
    let contains = |text: &[u8]| module.windows(text.len()).any(|part| part == text);
    match folders.iter().map(|(folder, _)| folder).chain([&home]).find(|f| contains(f.as_os_str().as_encoded_bytes())) {
        Some(folder) => Err(Problem::Failed(format!("the compiled checker names the folder {}", folder.display()))),
        None => Ok(module),
    }
}

/// Runs a program on bytes and returns its output.
fn pipe(program: &str, arguments: &[&str], input: Vec<u8>) -> Result<Vec<u8>, Problem> {
    let spawned = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| Problem::Failed(format!("cannot run {program}: {error}")))?;
    let mut stdin = child.stdin.take().expect("its input is piped");
    // In a thread, because both pipes can be full.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output()?;
    if !output.status.success() || !writer.join().is_ok_and(|written| written.is_ok()) {
        return Err(Problem::Failed(format!("{program} failed")));
    }
    Ok(output.stdout)
}
