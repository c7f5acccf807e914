//! `chainrule backends`: lists the backends of this build and the devices of this machine.

use anyhow::Result;
use chainrule::backend::{Backend, BackendInfo, choose};
use serde::Serialize;

use crate::exit;
use crate::options::BackendsOptions;
use crate::output::{Lines, print_json};

/// A backend in this build and on this machine.
#[derive(Debug, Serialize)]
struct Row {
    backend: &'static str,
    built: bool,
    /// Whether it is used without `--backend`.
    default: bool,
    /// The name of the device.
    device: Option<String>,
    precisions: Vec<&'static str>,
    gradients: Vec<&'static str>,
    /// Why there is no device.
    problem: Option<String>,
}

/// Lists the backends.
pub(crate) fn backends(options: &BackendsOptions) -> Result<u8> {
    // Fails if the environment selects a backend that is not in this build.
    Backend::built()?;
    let default = choose(None).ok();
    let all = Backend::LOCAL.into_iter().chain([Backend::Cpu]);
    let mut rows: Vec<Row> = all.map(|backend| row(&backend, default.as_ref())).collect();
    rows.push(remote());
    if options.output.json {
        print_json(&rows)?;
    } else {
        describe(&rows).print()?;
    }
    Ok(exit::SUCCESS)
}

fn row(backend: &Backend, default: Option<&Backend>) -> Row {
    let info = backend.info();
    let precisions = match &info {
        Ok(BackendInfo { has_f64: true, .. }) => vec!["f32", "f64"],
        Ok(_) => vec!["f32"],
        Err(_) => Vec::new(),
    };
    // Without a device, the kernels of a backend on the CPU still count.
    let has_kernels = info.as_ref().map_or(!backend.has_separate_memory(), |info| info.has_kernels);
    Row {
        backend: backend.name(),
        built: backend.is_built(),
        default: default == Some(backend),
        device: info.as_ref().ok().map(|info| info.device.clone().unwrap_or_else(|| "this processor".to_owned())),
        precisions,
        gradients: gradients(has_kernels, *backend != Backend::Cpu),
        problem: info.err().map(|error| error.to_string()),
    }
}

/// Returns the values of `descent.gradient` that the backend supports.
fn gradients(has_kernels: bool, has_autodiff: bool) -> Vec<&'static str> {
    let fused = has_kernels.then_some("fused");
    fused.into_iter().chain(["closed-form"]).chain(has_autodiff.then_some("autodiff")).collect()
}

/// A remote device has an address, which is not known here.
fn remote() -> Row {
    let backend = Backend::Remote(String::new());
    let problem = if backend.is_built() {
        "a device that `chainrule serve` offers on another machine; select it with --backend remote:HOST:PORT"
            .to_owned()
    } else {
        "this build has no remote backend; add --features remote".to_owned()
    };
    Row {
        backend: backend.name(),
        built: backend.is_built(),
        default: false,
        device: None,
        precisions: Vec::new(),
        gradients: gradients(false, true),
        problem: Some(problem),
    }
}

fn describe(rows: &[Row]) -> Lines {
    let mut lines = Lines::default();
    for row in rows {
        let mark = if row.default { "*" } else { " " };
        let status = match (&row.device, &row.problem) {
            (Some(device), _) => format!("{device}: {}", row.precisions.join(", ")),
            (None, problem) => problem.clone().unwrap_or_default(),
        };
        lines.add(format!("{mark} {:<8} {status}", row.backend));
    }
    lines.empty_line();
    lines.add("* marks the default of --backend. closed-form works on every backend, fused on all but remote devices.");
    lines.add("cpu is this processor without Burn: it has no autodiff, and its only optimizer is plain sgd. docs/backends.md compares the backends.");
    lines
}
