//! Other tools, each a program that follows the protocol of `bench/peers/turns.py`.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::machine::with_threads;

/// The folder of the peers.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// The Python with the peers' libraries.
fn python() -> OsString {
    std::env::var_os("CHAINRULE_PYTHON").unwrap_or_else(|| "python3".into())
}

/// Returns the command for a script of `bench/peers` with this number of threads.
pub(crate) fn script(name: &str, threads: usize) -> Command {
    let mut command = with_threads(&python(), threads);
    command.arg(folder().join(name));
    command
}

/// A Rust package in `bench/peers`. It has its own dependencies and lock file, so the dependencies
/// of this project do not change.
pub(crate) struct Package {
    name: &'static str,
    built: OnceCell<Result<PathBuf, String>>,
}

impl Package {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, built: OnceCell::new() }
    }

    /// Returns the command for the program with this number of threads. The first call builds it
    /// for this machine's processor.
    pub(crate) fn command(&self, threads: usize) -> Result<Command> {
        match self.built.get_or_init(|| self.build().map_err(|error| format!("{error:#}"))) {
            Ok(path) => Ok(with_threads(path.as_os_str(), threads)),
            Err(problem) => bail!("{problem}"),
        }
    }

    fn build(&self) -> Result<PathBuf> {
        println!("building {}; the first build takes minutes", self.name);
        let folder = folder().join(self.name);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "--locked", "--quiet"]).current_dir(&folder);
        command.args([OsStr::new("--target-dir"), folder.join("target").as_os_str()]);
        let output = command.env("RUSTFLAGS", "-C target-cpu=native").output().context("cargo cannot be run")?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            let first = errors.lines().find(|line| line.starts_with("error"));
            bail!("it cannot be built: {}", first.unwrap_or("cargo printed no error"));
        }
        Ok(folder.join("target/release").join(format!("peer-{}", self.name)))
    }
}
