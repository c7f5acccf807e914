//! Whole runs of `configs/softmax.toml`, each in a process of its own, whose memory is seen.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use chainrule::backend::Backend;
use chainrule_records::Summary;

use crate::{Bench, SOFTMAX};

/// A whole run.
pub(crate) struct Whole {
    pub(crate) who: String,
    pub(crate) threads: Option<usize>,
    pub(crate) seconds: f64,
    pub(crate) peak_bytes: u64,
}

/// Runs of which the median counts.
pub(crate) const REPEATS: usize = 3;

/// Measures every gradient source on every backend of this build.
pub(crate) fn measure(bench: &Bench, source: &str) -> Result<Vec<Whole>> {
    let mut runs = Vec::new();
    for &threads in &bench.threads {
        runs.push(run("chainrule, fused".to_owned(), source, Some(threads), &["--gradient", "fused"])?);
    }
    for backend in Backend::built() {
        for gradient in ["closed-form", "autodiff"] {
            let who = format!("Burn {backend}, {} by tensor operations", gradient.replace('-', " "));
            runs.push(run(who, source, None, &["--gradient", gradient, "--backend", backend.name()])?);
        }
    }
    Ok(runs)
}

fn run(who: String, source: &str, threads: Option<usize>, options: &[&str]) -> Result<Whole> {
    println!("a whole run: {who}");
    let mut found = Vec::new();
    for _ in 0..REPEATS {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--one", "train", SOFTMAX, "--quiet", "--json", "--data", source]).args(options);
        // All epochs, as the peers.
        command.args(["--set", "early_stopping.patience=1000000000"]);
        command.args(threads.map(|threads| format!("--threads={threads}")));
        let output = command.arg("--out").arg(folder.path().join("run")).output()?;
        ensure!(output.status.success(), "{who}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let (summary, peak) = text.rsplit_once("peak ").context("a run says its memory last")?;
        let summary: Summary = serde_json::from_str(summary)?;
        found.push((summary.seconds.total, peak.trim().parse::<u64>()?));
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (seconds, peak_bytes) = found[REPEATS / 2];
    Ok(Whole { who, threads, seconds, peak_bytes })
}

/// The program with these arguments, and then the most memory that it held.
pub(crate) fn one(arguments: &[String]) -> ExitCode {
    let program = std::iter::once("chainrule").map(OsString::from);
    let code = chainrule::run(program.chain(arguments.iter().map(OsString::from)));
    println!("peak {}", peak_bytes());
    ExitCode::from(code)
}

/// The most memory that this process held; 0 where the system does not say.
pub(crate) fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|text| text.trim().parse().ok());
    1024 * kilobytes.unwrap_or(0u64)
}
