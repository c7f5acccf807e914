//! Measures the time of solvers to the minimum of J. The benchmark evaluates all parameters with
//! the same J, in f64.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chainrule_core::{ModelKind, Precision, Preprocessing, TrainConfig};
use chainrule_data::Rows;
use chainrule_kernels::{Float, FusedModel, Isa, PackedRows, with_threads};
use chainrule_records::ConfigFile;
use chainrule_solve::{FusedRows, find_optimum};
use serde::Deserialize;
use serde_json::json;

use crate::epoch::write;
use crate::machine::peak_bytes;
use crate::peers::{Package, script};
use crate::turns::Process;
use crate::{Bench, Skipped};

const EXPERIMENT: &str = "configs/softmax-optimum.toml";

/// lambda of J = C + lambda/2 sum w^2.
pub(crate) const L2: f64 = 0.01;

/// The relative distance to the lowest J at which a solver has reached it.
pub(crate) const NEAR: f64 = 1e-4;

/// The certificate that this project's solver must reach: J is at most this far above its minimum.
const BOUND: f64 = 1e-6;

/// scikit-learn's tolerance, small enough to get nearer than `NEAR`.
const TOLERANCE: f64 = 1e-5;

/// The number of iterations after which linfa-logistic is near enough on MNIST with a penalised
/// bias. Determined by trial, as for a tolerance: 90 are too few.
const LINFA_ITERATIONS: usize = 100;

/// A problem with the results of all solvers.
pub(crate) struct Problem {
    pub(crate) penalize_bias: bool,
    /// The lowest J that any solver reached.
    pub(crate) lowest: f64,
    /// An upper bound on the distance of `lowest` to the minimum of J, from the gradient there.
    /// Only with a penalised bias.
    pub(crate) gap: Option<f64>,
    pub(crate) solvers: Vec<Solver>,
}

/// The result of a solver.
pub(crate) struct Solver {
    pub(crate) name: String,
    pub(crate) precision: Precision,
    pub(crate) threads: usize,
    /// Seconds, iterations and J of the first iterate that is near enough, if there is one.
    pub(crate) near: Option<(f64, usize, f64)>,
    /// Seconds and J of the last iterate.
    pub(crate) last: (f64, f64),
    pub(crate) peak_bytes: u64,
    pub(crate) is_peer: bool,
}

/// The iterates of a solver.
struct SolverRun {
    name: String,
    precision: Precision,
    threads: usize,
    iterates: Vec<Iterate>,
    peak_bytes: u64,
    is_peer: bool,
}

/// The parameters of a solver after some time.
struct Iterate {
    seconds: f64,
    iterations: usize,
    /// W `[d, k]` row by row, then b `[k]`.
    parameters: Vec<f64>,
}

/// Runs this project's solver. The time starts with the bytes in memory. The memory is the peak of
/// this whole process.
fn ours(rows: &Rows, penalize_bias: bool, precision: Precision, threads: usize) -> Result<SolverRun> {
    let settings = [
        format!("descent.precision={}", if precision == Precision::F32 { "f32" } else { "f64" }),
        "descent.gradient=fused".to_owned(),
        format!("objective.l2={L2}"),
        format!("objective.penalize_bias={penalize_bias}"),
        format!("optimum.tolerance={BOUND}"),
    ];
    let config = TrainConfig::read(EXPERIMENT.as_ref(), &settings)?;
    let threads = NonZero::new(threads).context("at least one thread is needed")?;
    let (start, mut iterates) = (Instant::now(), Vec::new());
    let link = config.model().kind.link(rows.labels().iter().max().map_or(0, |&label| usize::from(label) + 1));
    let rows = FusedRows::new(rows.clone(), &Preprocessing::Pixels)?;
    find_optimum(&link, &config, &rows, threads, &mut |iterate, at| {
        let parameters = at.weight.iter().chain(&at.bias).copied().collect();
        iterates.push(Iterate { seconds: start.elapsed().as_secs_f64(), iterations: iterate.iteration, parameters });
        ControlFlow::Continue(())
    })?;
    Ok(SolverRun {
        name: "chainrule, lbfgs".to_owned(),
        precision,
        threads: threads.get(),
        iterates,
        peak_bytes: peak_bytes(),
        is_peer: false,
    })
}

/// Measures all solvers.
pub(crate) fn measure(bench: &Bench, with_peers: bool, folder: &Path) -> Result<(Vec<Problem>, Vec<Skipped>)> {
    let (split, classes) = bench.train_rows(&bench.softmax)?;
    let (pixels, labels) = write(folder, "optimum", &split)?;
    let (mut problems, mut skipped, linfa) = (Vec::new(), Vec::new(), Package::new("linfa"));
    for penalize_bias in [true, false] {
        let mut solver_runs = Vec::new();
        for precision in [Precision::F32, Precision::F64] {
            for &threads in &bench.threads {
                solver_runs.push(ours(&split, penalize_bias, precision, threads)?);
            }
        }
        let job = json!({
            "pixels": pixels,
            "labels": labels,
            "rows": split.len(),
            "features": split.n_features(),
            "classes": classes,
            "l2": L2,
            "penalize_bias": penalize_bias,
            "precision": "float32",
            "tolerance": TOLERANCE,
            "parameters": folder.join("iterates"),
        });
        if with_peers {
            println!("optimum: scikit-learn");
            let size = (split.n_features() + 1) * classes;
            match sklearn(&job, &folder.join("iterates"), size) {
                Ok(solver_run) => solver_runs.push(solver_run),
                Err(problem) => Skipped::add(&mut skipped, "scikit-learn", &problem),
            }
        }
        if with_peers && penalize_bias {
            println!("optimum: linfa-logistic");
            match linfa_logistic(&linfa, &job) {
                Ok(solver_run) => solver_runs.push(solver_run),
                Err(problem) => Skipped::add(&mut skipped, "linfa-logistic", &problem),
            }
        }
        if !solver_runs.is_empty() {
            let rows = FusedRows::new(split.clone(), &Preprocessing::Pixels)?;
            let rows = rows.packed().context("the rows are not in memory")?;
            let threads = bench.threads.last().copied().unwrap_or(1);
            let problem =
                with_threads(threads, || evaluate_iterates(rows, classes, penalize_bias, threads, solver_runs));
            problems.push(problem.map_err(anyhow::Error::msg)?);
        }
    }
    Ok((problems, skipped))
}

/// The answer of the script. The parameters are in a file.
#[derive(Deserialize)]
struct SklearnAnswer {
    version: String,
    seconds: Vec<f64>,
    peak_bytes: u64,
}

/// Runs scikit-learn on one thread in f32, its fastest setting.
fn sklearn(job: &serde_json::Value, file: &Path, size: usize) -> Result<SolverRun> {
    let mut process = Process::start(script("sklearn_optimum.py", 1))?;
    let answer: SklearnAnswer = process.request(&job.to_string())?;
    let bytes = std::fs::read(file).context("cannot read the iterates")?;
    let numbers: Vec<f64> =
        bytes.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes"))).collect();
    ensure!(
        numbers.len() == answer.seconds.len() * size,
        "{} numbers are not a multiple of {size} per iterate",
        numbers.len()
    );
    let iterates = answer.seconds.iter().zip(numbers.chunks_exact(size)).zip(1..);
    let iterates = iterates.map(|((&seconds, parameters), iterations)| Iterate {
        seconds,
        iterations,
        parameters: parameters.to_vec(),
    });
    Ok(SolverRun {
        name: answer.version + ", lbfgs",
        precision: Precision::F32,
        threads: 1,
        iterates: iterates.collect(),
        peak_bytes: answer.peak_bytes,
        is_peer: true,
    })
}

/// The answer of linfa's program.
#[derive(Deserialize)]
struct Fitted {
    seconds: f64,
    parameters: Vec<f64>,
    peak_bytes: u64,
}

/// Runs linfa on one thread in f64: in f32 its line search finds no step.
fn linfa_logistic(package: &Package, job: &serde_json::Value) -> Result<SolverRun> {
    let mut job = job.clone();
    job["precision"] = json!("float64");
    let mut process = Process::start_job(package.command(1)?, &job)?;
    let version = process.version()?;
    let fitted: Fitted = process.request(&LINFA_ITERATIONS.to_string())?;
    let iterate = Iterate { seconds: fitted.seconds, iterations: LINFA_ITERATIONS, parameters: fitted.parameters };
    Ok(SolverRun {
        name: version + ", lbfgs",
        precision: Precision::F64,
        threads: 1,
        iterates: vec![iterate],
        peak_bytes: fitted.peak_bytes,
        is_peer: true,
    })
}

/// Computes J of all iterates and the first iterate of each solver near the lowest J.
fn evaluate_iterates(
    rows: &PackedRows,
    k: usize,
    penalize_bias: bool,
    threads: usize,
    solver_runs: Vec<SolverRun>,
) -> Problem {
    let d = rows.n_features();
    let mut fused = FusedModel::new(ModelKind::Softmax.link(k), d, Float::F64, threads, Isa::best());
    let (mut lowest, mut best) = (f64::INFINITY, Vec::new());
    let mut all = Vec::new();
    for solver_run in solver_runs {
        let mut costs = Vec::new();
        for iterate in &solver_run.iterates {
            let (weight, bias) = iterate.parameters.split_at(d * k);
            fused.set(weight, bias);
            let penalised = if penalize_bias { &iterate.parameters[..] } else { weight };
            let cost = fused.evaluate(rows).loss + 0.5 * L2 * squares(penalised);
            if cost < lowest {
                (lowest, best) = (cost, iterate.parameters.clone());
            }
            costs.push(cost);
        }
        all.push((solver_run, costs));
    }
    let gap = penalize_bias.then(|| {
        // J is lambda-strongly convex, so J - J* <= |gradient|^2 / (2 lambda).
        fused.set(&best[..d * k], &best[d * k..]);
        let gradient = fused.gradient(rows, &(0..rows.len()).collect::<Vec<_>>());
        let slopes = gradient.weight.iter().chain(&gradient.bias).zip(&best);
        slopes.map(|(slope, w)| (slope + L2 * w).powi(2)).sum::<f64>() / (2.0 * L2)
    });
    let solvers = all.into_iter().map(|(solver_run, costs)| {
        let near = costs.iter().position(|&cost| cost <= lowest * (1.0 + NEAR)).map(|i| {
            let iterate = &solver_run.iterates[i];
            (iterate.seconds, iterate.iterations, costs[i])
        });
        let last = solver_run.iterates.last().map_or(f64::NAN, |iterate| iterate.seconds);
        Solver {
            near,
            last: (last, costs.last().copied().unwrap_or(f64::NAN)),
            name: solver_run.name,
            precision: solver_run.precision,
            threads: solver_run.threads,
            peak_bytes: solver_run.peak_bytes,
            is_peer: solver_run.is_peer,
        }
    });
    let solvers = solvers.collect();
    Problem { penalize_bias, lowest, gap, solvers }
}

fn squares(numbers: &[f64]) -> f64 {
    numbers.iter().map(|x| x * x).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of one feature, two classes. By symmetry the minimum has w = (-a, a) and zero bias.
    #[test]
    fn the_first_iterate_near_the_lowest_j_counts() {
        let rows = PackedRows::new(&[0, 255], [1, 1], vec![0, 1], 2.0 / 255.0, -1.0);
        let cost = |a: f64| (1.0 + (-2.0 * a).exp()).ln() + L2 * a * a;
        let descent = |is_peer, steps: &[f64]| SolverRun {
            name: String::new(),
            precision: Precision::F64,
            threads: 1,
            iterates: steps
                .iter()
                .zip(1..)
                .map(|(&a, i)| Iterate {
                    seconds: f64::from(i),
                    iterations: i as usize,
                    parameters: vec![-a, a, 0.0, 0.0],
                })
                .collect(),
            peak_bytes: 0,
            is_peer,
        };
        // The slope 2 L2 a - 2 / (1 + e^2a) is 0 at a = 1.7.
        let (mut low, mut high) = (0.0f64, 5.0f64);
        while high - low > 1e-12 {
            let a = 0.5 * (low + high);
            if 2.0 * L2 * a < 2.0 / (1.0 + (2.0 * a).exp()) { low = a } else { high = a }
        }
        let problem =
            evaluate_iterates(&rows, 2, true, 1, vec![descent(false, &[1.0, low, low]), descent(true, &[0.5, 1.0])]);
        assert!((problem.lowest - cost(low)).abs() < 1e-9, "{} {}", problem.lowest, cost(low));
        assert!(problem.gap.is_some_and(|gap| gap < 1e-9), "{:?}", problem.gap);
        assert_eq!(problem.solvers[0].near.map(|near| (near.0, near.1)), Some((2.0, 2)));
        assert_eq!(problem.solvers[1].near, None);
        assert!((problem.solvers[1].last.1 - cost(1.0)).abs() < 1e-9);
    }
}
