//! `chainrule backends`: what this build has, and what this machine offers it.

use anyhow::Result;
use chainrule_gradcheck::f64_works;
use chainrule_ops::has_steps;
use serde::Serialize;

use crate::backend::{Backend, device_name};
use crate::exit;
use crate::options::BackendsOptions;
use crate::output::{Lines, print_json, sentence};

/// One backend, in this build and on this machine.
#[derive(Debug, Serialize)]
struct Row {
    backend: &'static str,
    built: bool,
    /// What `--backend` takes where it is not said.
    default: bool,
    /// What the device calls itself.
    device: Option<String>,
    precisions: Vec<&'static str>,
    gradients: Vec<&'static str>,
    /// Why there is no device, where there is none.
    problem: Option<String>,
}

/// Lists the backends.
pub(crate) fn backends(options: &BackendsOptions) -> Result<u8> {
    let default = Backend::built()?.into_iter().next();
    let mut rows: Vec<Row> = Backend::LOCAL.iter().map(|backend| row(backend, default.as_ref())).collect();
    rows.push(remote());
    if options.output.json {
        print_json(&rows)?;
    } else {
        describe(&rows).print()?;
    }
    Ok(exit::DONE)
}

fn row(backend: &Backend, default: Option<&Backend>) -> Row {
    let device = backend.device();
    let mut precisions = Vec::new();
    if let Ok(device) = &device {
        precisions.push("f32");
        if f64_works(device) {
            precisions.push("f64");
        }
    }
    Row {
        backend: backend.name(),
        built: backend.is_built(),
        default: default == Some(backend),
        device: device.as_ref().ok().map(|device| device_name(device).unwrap_or_else(|| "this processor".to_owned())),
        precisions,
        // Without a device there is none to have kernels.
        gradients: gradients(!backend.is_apart() || device.as_ref().is_ok_and(has_steps)),
        problem: device.err().map(|error| sentence(&error)),
    }
}

/// What `descent.gradient` may be there.
fn gradients(has_kernels: bool) -> Vec<&'static str> {
    has_kernels.then_some("fused").into_iter().chain(["closed-form", "autodiff"]).collect()
}

/// A device on another machine has an address, which is not known here.
fn remote() -> Row {
    let backend = Backend::Remote(String::new());
    let problem = if backend.is_built() {
        "what `chainrule serve` offers elsewhere; name it with --backend remote:HOST:PORT".to_owned()
    } else {
        "this build has no remote backend; add --features remote".to_owned()
    };
    Row {
        backend: backend.name(),
        built: backend.is_built(),
        default: false,
        device: None,
        precisions: Vec::new(),
        gradients: gradients(false),
        problem: Some(problem),
    }
}

fn describe(rows: &[Row]) -> Lines {
    let mut lines = Lines::default();
    for row in rows {
        let mark = if row.default { "*" } else { " " };
        let found = match (&row.device, &row.problem) {
            (Some(device), _) => format!("{device}: {}", row.precisions.join(", ")),
            (None, problem) => problem.clone().unwrap_or_default(),
        };
        lines.add(format!("{mark} {:<8} {found}", row.backend));
    }
    lines.gap();
    lines.add("* is what runs where --backend does not say otherwise. Closed form and autodiff work on each, fused kernels on all but");
    lines.add("remote devices; docs/backends.md compares them.");
    lines
}
