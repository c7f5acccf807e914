//! Notes what is built, for the run's manifest: the git revision, and a digest of the sources that decide a run's numbers.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What decides a run's numbers and those of the gradient checks: everything but the command line and the report.
const DECISIVE: [&str; 12] = [
    "../data/src",
    "../gradcheck/src",
    "../kernels/src",
    "../models/src",
    "../ops/src",
    "../records/src",
    "../training/src",
    "src/check_gradients",
    "src/machine.rs",
    "src/rows.rs",
    "src/run.rs",
    "../../Cargo.lock",
];

fn main() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
    };
    let revision = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    println!("cargo::rustc-env=CHAINRULE_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    println!("cargo::rerun-if-changed=src");
    // The log of HEAD grows with every commit, on whatever branch.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rustc-env=CHAINRULE_SOURCE={:016x}", digest());
}

/// A digest that changes with any of the decisive files, so that a finished run is taken for this build's own only where it is. Outside the
/// workspace they are not there, but then the version says which they were.
fn digest() -> u64 {
    let mut files = Vec::new();
    for path in DECISIVE {
        println!("cargo::rerun-if-changed={path}");
        collect(Path::new(path), &mut files);
    }
    files.sort();
    // The compiler's own hash function, of no use against an adversary, but there is none here.
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    for file in files {
        file.hash(&mut hasher);
        std::fs::read(&file).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().for_each(|entry| collect(&entry.path(), files)),
        Err(_) if path.is_file() => files.push(path.to_owned()),
        Err(_) => {}
    }
}
