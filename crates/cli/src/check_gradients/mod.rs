//! `chainrule gradcheck`: checks this project's models, or Burn's own operations and layers with
//! `--burn`.

mod burn_faults;
#[expect(
    clippy::redundant_closure,
    clippy::redundant_closure_for_method_calls,
    reason = "a table is easier to read if all its lines have one form"
)]
mod burn_sweep;
mod derivation;
mod models;
mod status;

use std::num::NonZero;
use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use chacha20::ChaCha8Rng;
use chainrule::backend::Backend;
use chainrule::machine::Machine;
use chainrule_gradcheck::Report;
use chainrule_records::{GradientCheck, GradientChecks};
use rand::{RngExt, SeedableRng};

use crate::exit;
use crate::options::GradcheckOptions;
use crate::output::{Lines, print_json};
use crate::progress::stderr_is_terminal;
use burn_faults::Page;
use status::StatusLine;

/// The number of evaluations at the same point: none of these losses is random.
const REPETITIONS: usize = 10;

/// A callback that receives each row before it is checked.
type OnRow<'a> = &'a dyn Fn(&GradientCheck);

/// Runs the checks. The exit code is 1 if a check fails.
pub(crate) fn gradcheck(options: &GradcheckOptions) -> Result<u8> {
    if let Some(page) = &options.page {
        return write_page(page, options);
    }
    let machine = Machine::new(options.backend_options.backend.as_ref(), NonZero::<usize>::MIN)?;
    let status = StatusLine::new(!options.output.quiet && stderr_is_terminal());
    let on_row = |line: &GradientCheck| status.log(&format!("{} {}, {}", line.subject, line.precision, line.what));
    let table = if options.burn {
        table(&machine, options.seed, burn_sweep::sweep(device(&machine)?, options.seed, &on_row))
    } else {
        check(&machine, options.seed, &on_row)?
    };
    drop(status);
    if options.output.json {
        print_json(&table)?;
    } else {
        describe(&table).print()?;
    }
    Ok(if table.passed { exit::SUCCESS } else { exit::CHECK_FAILED })
}

/// Sweeps every backend of this build, and writes the page of faults.
fn write_page(path: &Path, options: &GradcheckOptions) -> Result<u8> {
    let page = Page::open(path)?;
    let status = StatusLine::new(!options.output.quiet && stderr_is_terminal());
    let mut sweeps = Vec::new();
    for backend in Backend::built()? {
        let machine = Machine::new(Some(&backend), NonZero::<usize>::MIN)?;
        let device = device(&machine)?;
        let on_row = |line: &GradientCheck| status.log(&format!("{backend}: {} {}", line.subject, line.precision));
        let rows = burn_sweep::sweep(device, options.seed, &on_row);
        sweeps.push((table(&machine, options.seed, rows), device.clone()));
    }
    drop(status);
    page.write(&sweeps)?;
    let mut lines = Lines::default();
    lines.add(path.display().to_string());
    lines.print()?;
    Ok(exit::SUCCESS)
}

/// Checks this project's derivation and models.
///
/// # Errors
/// If the machine has no Burn device.
pub(crate) fn check(machine: &Machine, seed: u64, on_row: OnRow<'_>) -> Result<GradientChecks> {
    let device = device(machine)?;
    let mut rows = derivation::check(device, seed, on_row);
    rows.extend(models::check(machine, device, seed, on_row));
    Ok(table(machine, seed, rows))
}

/// Returns an error early if this machine cannot check gradients.
///
/// # Errors
/// If the machine has no Burn device.
pub(crate) fn can_check(machine: &Machine) -> Result<()> {
    device(machine).map(drop)
}

fn device(machine: &Machine) -> Result<&Device> {
    machine.device().context(
        "gradients are checked against Burn's autodiff, but the backend cpu has no Burn; choose another backend, for example with --features ndarray",
    )
}

fn table(machine: &Machine, seed: u64, rows: Vec<GradientCheck>) -> GradientChecks {
    GradientChecks {
        backend: machine.backend().to_string(),
        device: machine.device_text(),
        seed,
        passed: rows.iter().all(|row| row.passed),
        rows,
    }
}

/// Returns an empty row that passes.
fn row(subject: &str, precision: FloatDType, what: &str) -> GradientCheck {
    GradientCheck {
        subject: subject.to_owned(),
        precision: if precision == FloatDType::F64 { "f64" } else { "f32" }.to_owned(),
        what: what.to_owned(),
        sources: String::new(),
        checks: 0,
        coordinates: 0,
        failed: 0,
        unresolved: 0,
        kinks: 0,
        worst_relative: 0.0,
        passed: true,
        problem: None,
    }
}

/// Adds a report to a row.
fn add(row: &mut GradientCheck, case: &str, report: &Report) {
    row.checks += 1;
    row.coordinates += report.checked();
    row.failed += report.failed();
    row.unresolved += report.unresolved();
    row.kinks += report.kinks();
    row.sources = report.gradient_names.join(" = ");
    let worst = report.parameters.iter().flat_map(|p| &p.gradients).filter_map(|gradient| gradient.worst.as_ref());
    for worst in worst.filter(|worst| worst.distance > worst.bound) {
        row.worst_relative = row.worst_relative.max(worst.relative_distance);
    }
    if !report.passed() {
        fail(row, format!("{case}: {report}"));
    }
}

fn fail(row: &mut GradientCheck, problem: String) {
    row.passed = false;
    row.problem.get_or_insert(problem);
}

fn describe(table: &GradientChecks) -> Lines {
    let mut lines = Lines::default();
    lines.add(format!("gradients against finite differences on {}, seed {}", table.backend, table.seed));
    lines.empty_line();
    let width = table.rows.iter().map(|row| row.what.len()).max().unwrap_or(0).max(4);
    let first = table.rows.iter().map(|row| row.subject.len()).max().unwrap_or(0).max(7);
    let row = |cells: [&str; 8]| {
        let [subject, precision, what, checks, coordinates, failed, unresolved, verdict] = cells;
        format!(
            "{subject:<first$}  {precision:<4} {what:<width$}  {checks:>6} {coordinates:>11} {failed:>6} {unresolved:>10}  {verdict}"
        )
    };
    lines.add(row(["subject", "type", "what", "checks", "coordinates", "failed", "unresolved", ""]));
    for r in &table.rows {
        let kinks = if r.kinks > 0 { format!(" ({} at a kink)", r.kinks) } else { String::new() };
        let verdict = match r.passed {
            true => "passed",
            false if is_unresolved(r) => "unresolved",
            false => "FAILED",
        };
        let verdict = format!("{verdict}{kinks}");
        let numbers = [r.checks, r.coordinates, r.failed, r.unresolved].map(|number| number.to_string());
        let [checks, coordinates, failed, unresolved] = &numbers;
        lines.add(row([&r.subject, &r.precision, &r.what, checks, coordinates, failed, unresolved, &verdict]));
    }
    for problem in table.rows.iter().filter_map(|row| Some((row, row.problem.as_ref()?))) {
        lines.empty_line();
        let about = format!("{} {} {}: {}", problem.0.subject, problem.0.precision, problem.0.what, problem.1);
        about.lines().for_each(|line| lines.add(line));
    }
    let unresolved = table.rows.iter().filter(|row| is_unresolved(row)).count();
    let failed = table.rows.iter().filter(|row| !row.passed).count() - unresolved;
    lines.empty_line();
    let of = format!("of {} rows", table.rows.len());
    lines.add(match (failed, unresolved) {
        (0, 0) => "all passed".to_owned(),
        (0, _) => format!("{unresolved} {of} unresolved"),
        (_, 0) => format!("{failed} {of} FAILED"),
        (_, _) => format!("{failed} {of} FAILED, {unresolved} unresolved"),
    });
    lines
}

/// Returns whether nothing is wrong in a row that did not pass, but too much of it is unresolved.
fn is_unresolved(row: &GradientCheck) -> bool {
    !row.passed && row.failed == 0 && row.unresolved > 0
}

/// Returns numbers in [-1, 1). A seed gives the same numbers on every platform.
fn uniform(seed: u64, count: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// The machine epsilon of a precision.
fn rounding(precision: FloatDType) -> f64 {
    if precision == FloatDType::F64 { f64::EPSILON } else { f32::EPSILON.into() }
}

/// Returns a tensor of random numbers in [-1, 1).
fn random<const D: usize>(seed: u64, shape: [usize; D], device: &Device, dtype: FloatDType) -> Tensor<D> {
    let data = TensorData::new(uniform(seed, shape.iter().product()), shape);
    Tensor::from_data(data, (device, dtype.into()))
}
