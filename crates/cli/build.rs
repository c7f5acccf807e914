//! Notes what is built, for the run's manifest: the git revision.

use std::path::Path;
use std::process::Command;

fn main() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
    };
    let revision = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    println!("cargo::rustc-env=CHAINRULE_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    // In a checkout any crate's change makes it dirty; in a package, where there is none, a folder that is named all the
    // same would make each build a new one.
    println!("cargo::rerun-if-changed=src");
    if Path::new("../records/src").is_dir() {
        println!("cargo::rerun-if-changed=..");
    }
    // The log of HEAD grows with every commit, on whatever branch.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
}
