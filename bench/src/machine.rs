//! The machine, and processes that use a part of its processors.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Returns the processor's name if the system provides it.
pub(crate) fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Returns the peak memory of this process in bytes, or 0 if the system does not provide it.
pub(crate) fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|text| text.trim().parse().ok());
    1024 * kilobytes.unwrap_or(0u64)
}

/// Sets the peak memory of this process to the memory in use, if the system can.
pub(crate) fn reset_peak() {
    // Without it, the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Returns the processor time of this process so far, in steps of 10 ms, or 0 if the system does
/// not provide it.
pub(crate) fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may have spaces. After it, fields 12 and 13 are the
    // times in the program and in the system, in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Returns whether processes can be bound to processors. Some libraries have no setting for the
/// number of threads, so the system must limit them.
pub(crate) fn can_bind() -> bool {
    static CAN_BIND: OnceLock<bool> = OnceLock::new();
    *CAN_BIND.get_or_init(|| {
        let mut taskset = Command::new("taskset");
        taskset.args(["--cpu-list", "0", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        taskset.status().is_ok_and(|status| status.success())
    })
}

/// Returns a command that is limited to `threads` threads and, if possible, to the same number of
/// processors.
pub(crate) fn with_threads(program: &OsStr, threads: usize) -> Command {
    let mut command = if can_bind() {
        let mut taskset = Command::new("taskset");
        taskset.args(["--cpu-list", &format!("0-{}", threads - 1)]).arg(program);
        taskset
    } else {
        Command::new(program)
    };
    for variable in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
        command.env(variable, threads.to_string());
    }
    // These variables can select routines for an older processor, which slows NumPy down.
    for variable in ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"] {
        command.env_remove(variable);
    }
    command
}
