//! `chainrule gradcheck`: this project's own models, or Burn's `nn` with `--burn`.

#[expect(clippy::redundant_closure_for_method_calls, reason = "a table reads better when all its lines are alike")]
mod burn_nn;
mod models;

use std::fmt::Write;

use anyhow::Result;
use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use chacha20::ChaCha8Rng;
use chainrule_gradcheck::Report;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use crate::backend;
use crate::options::GradcheckOptions;
use crate::{exit, print, print_json};

/// One line of the table: many checks of one kind.
#[derive(Debug, Serialize)]
struct Row {
    subject: String,
    precision: &'static str,
    what: String,
    sources: String,
    checks: usize,
    coordinates: usize,
    failed: usize,
    unresolved: usize,
    kinks: usize,
    /// The largest distance from the differences, relative to the larger of the two, where the differences could tell.
    worst_relative: f64,
    passed: bool,
    /// The first report that is no pass, or what else went wrong.
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Table {
    backend: &'static str,
    device: String,
    seed: u64,
    passed: bool,
    rows: Vec<Row>,
}

/// Runs the checks; exit code 1 where one does not hold.
pub(crate) fn gradcheck(options: &GradcheckOptions) -> Result<u8> {
    let backend = backend::choose(options.backend)?;
    let device = backend.device()?;
    let rows = if options.burn { burn_nn::sweep(&device, options.seed) } else { models::check(&device, options.seed) };
    let passed = rows.iter().all(|row| row.passed);
    let table = Table { backend: backend.name(), device: format!("{device:?}"), seed: options.seed, passed, rows };
    if options.output.json {
        print_json(&table);
    } else {
        print(&describe(&table));
    }
    Ok(if passed { exit::DONE } else { exit::CHECK })
}

impl Row {
    fn new(subject: &str, precision: FloatDType, what: &str) -> Self {
        Row {
            subject: subject.to_owned(),
            precision: if precision == FloatDType::F64 { "f64" } else { "f32" },
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

    fn add(&mut self, case: &str, report: &Report) {
        self.checks += 1;
        self.coordinates += report.checked();
        self.failed += report.failed();
        self.unresolved += report.unresolved();
        self.kinks += report.kinks();
        self.sources = report.sources.join(" = ");
        let worst = report.parameters.iter().flat_map(|p| &p.sources).filter_map(|source| source.worst.as_ref());
        for worst in worst.filter(|worst| worst.absolute > worst.bound) {
            self.worst_relative = self.worst_relative.max(worst.relative);
        }
        if !report.passed() {
            self.passed = false;
            self.problem.get_or_insert_with(|| format!("{case}: {report}"));
        }
    }

    fn fail(&mut self, problem: String) {
        self.passed = false;
        self.problem.get_or_insert(problem);
    }
}

fn describe(table: &Table) -> String {
    let mut text = format!("gradients against differences on {}, seed {}\n\n", table.backend, table.seed);
    let mut line = |line: String| writeln!(text, "{}", line.trim_end()).expect("writing to a String cannot fail");
    let width = table.rows.iter().map(|row| row.what.len()).max().unwrap_or(0).max(4);
    let first = table.rows.iter().map(|row| row.subject.len()).max().unwrap_or(0).max(7);
    let row = |cells: [&str; 8]| {
        let [subject, precision, what, checks, coordinates, failed, unresolved, verdict] = cells;
        format!(
            "{subject:<first$}  {precision:<4} {what:<width$}  {checks:>6} {coordinates:>11} {failed:>6} {unresolved:>10}  {verdict}"
        )
    };
    line(row(["subject", "type", "what", "checks", "coordinates", "failed", "unresolved", ""]));
    for r in &table.rows {
        let kinks = if r.kinks > 0 { format!(" ({} at a kink)", r.kinks) } else { String::new() };
        let verdict = format!("{}{kinks}", if r.passed { "passed" } else { "FAILED" });
        let numbers = [r.checks, r.coordinates, r.failed, r.unresolved].map(|number| number.to_string());
        let [checks, coordinates, failed, unresolved] = &numbers;
        line(row([&r.subject, r.precision, &r.what, checks, coordinates, failed, unresolved, &verdict]));
    }
    for problem in table.rows.iter().filter_map(|row| Some((row, row.problem.as_ref()?))) {
        line(format!("\n{} {} {}: {}", problem.0.subject, problem.0.precision, problem.0.what, problem.1));
    }
    let failed = table.rows.iter().filter(|row| !row.passed).count();
    line(if failed == 0 {
        "\nall passed".to_owned()
    } else {
        format!("\n{failed} of {} lines FAILED", table.rows.len())
    });
    text
}

/// Numbers from -1 to 1, the same for a seed on every platform.
fn uniform(seed: u64, count: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// A tensor of such numbers.
fn random<const D: usize>(seed: u64, shape: [usize; D], device: &Device, dtype: FloatDType) -> Tensor<D> {
    let data = TensorData::new(uniform(seed, shape.iter().product()), shape);
    Tensor::from_data(data, (device, dtype.into()))
}
