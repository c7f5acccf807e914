//! Writes the results as a Markdown page.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use chainrule_core::{ModelKind, Precision, TrainConfig};
use chainrule_data::is_mnist;
use chainrule_kernels::Isa;
use chainrule_records::write_whole;
use chainrule_report::{Purpose, svg};

use crate::epoch::Epoch;
use crate::growth::{DENSITY, Growth, size_in_words};
use crate::machine::{can_bind, processor};
use crate::optimum::{L2, NEAR, Problem, Solver};
use crate::whole::{REPEATS, WholeRun};
use crate::work::Workload;
use crate::{Bench, Skipped};

const BEGIN: &str = "<!-- begin of cargo xtask bench -->";
const END: &str = "<!-- end of cargo xtask bench -->";

/// The folder of the plots, beside the page.
const PLOTS: &str = "benchmarks";

/// All measurements.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) rounds: usize,
    pub(crate) epochs_a_turn: usize,
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) runs: Vec<WholeRun>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) growths: Vec<Growth>,
    pub(crate) skipped: Vec<Skipped>,
}

impl Measured {
    /// Adds competitors that could not be measured, each once.
    pub(crate) fn skip(&mut self, skipped: Vec<Skipped>) {
        let new: Vec<Skipped> = skipped.into_iter().filter(|one| !self.skipped.contains(one)).collect();
        self.skipped.extend(new);
    }
}

/// Returns the part of the page between its marks.
pub(crate) fn page(bench: &Bench, measured: &Measured) -> Result<String> {
    let mut text = String::new();
    let out = &mut text;
    machine(out, bench);
    if !measured.epochs.is_empty() {
        for config in [&bench.softmax, &bench.logistic] {
            epochs(out, bench, config, measured)?;
        }
    }
    if !measured.runs.is_empty() {
        runs(out, bench, &measured.runs);
    }
    for problem in &measured.problems {
        optimum(out, problem);
    }
    if measured.epochs.iter().any(|epoch| epoch.is_peer) {
        line(out, "\n### Where another tool is faster\n");
        line(out, &who_wins(measured));
    }
    if !measured.growths.is_empty() {
        growth(out, &measured.growths);
    }
    for Skipped { who, why } in &measured.skipped {
        line(out, &format!("\nSkipped: {who}: {why}"));
    }
    Ok(text)
}

fn machine(out: &mut String, bench: &Bench) {
    let checksums = bench.data.file_checksums();
    let data = if is_mnist(checksums.iter().map(String::as_str)) { "MNIST" } else { "not MNIST" };
    let processor = processor().map_or_else(String::new, |name| format!("Processor: {name}, "));
    let most = bench.threads.last().copied().unwrap_or(1);
    line(
        out,
        &format!(
            "Data: {data}. {processor}{most} at once. Vector instructions: {}. At best, measured in the same run:\n",
            Isa::best()
        ),
    );
    line(out, "| threads | multiply-adds a second (f32) | bytes read a second |\n| --- | --- | --- |");
    for limit in &bench.limits {
        let (operations, bytes) = (limit.multiply_adds_per_second / 1e9, limit.bytes_per_second / 1e9);
        line(out, &format!("| {} | {operations:.0} · 10⁹ | {bytes:.1} · 10⁹ |", limit.threads));
    }
}

fn epochs(out: &mut String, bench: &Bench, config: &TrainConfig, measured: &Measured) -> Result<()> {
    let work = Workload::new(bench, config)?;
    let kind = config.model().kind;
    line(out, &format!("\n### An epoch of {} regression\n", name_of(kind)));
    let (batch, density) = (config.descent().batch_size, 100.0 * work.density);
    let bound = if can_bind() { "bound to as many processors as it has threads" } else { "not bound to processors" };
    line(
        out,
        &format!(
            "{} images, {batch} a batch, in the file's order, without evaluations; {density:.0} % of the bytes are not 0. Everyone is a process of its own, {bound}, and \
             they take turns: {} rounds of {} epochs each, after one that is not counted, so that a slow moment of the machine falls on all. All end at the same loss, \
             which is checked. Medians, with the median distance from them; peak memory is of the whole process, libraries and rows included.\n",
            work.images, measured.rounds, measured.epochs_a_turn
        ),
    );
    line(out, "| threads | least for all bytes: operations | bytes | least for those not 0: operations | bytes |");
    line(out, "| --- | --- | --- | --- | --- |");
    for limit in &bench.limits {
        let (dense, sparse) = (work.dense(limit), work.sparse(limit));
        let cell = |milliseconds: f64, binds: bool| {
            let text = format!("{milliseconds:.2} ms");
            if binds { format!("**{text}**") } else { text }
        };
        let pair = |least: crate::work::MinimumTimes| {
            let operations = cell(least.operations, least.binding() == "operations");
            format!("{operations} | {}", cell(least.bytes, least.binding() == "bytes"))
        };
        line(out, &format!("| {} | {} | {} |", limit.threads, pair(dense), pair(sparse)));
    }
    line(out, "\nWhat takes longer binds, and is the limit (bold).\n");
    line(
        out,
        "| | type | threads | ms an epoch | images a second | peak memory | limit / time, all bytes | limit / time, not 0 | fused is faster |",
    );
    line(out, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for epoch in measured.epochs.iter().filter(|epoch| epoch.model == kind) {
        let limit = bench.limits.iter().find(|limit| limit.threads == epoch.threads.unwrap_or(1));
        // The limits were measured in f32.
        let limit = limit.filter(|_| epoch.precision == Precision::F32);
        let of_dense = limit.map(|limit| work.dense(limit).milliseconds() / epoch.milliseconds);
        let of_sparse = limit.map(|limit| work.sparse(limit).milliseconds() / epoch.milliseconds);
        let fraction = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        let below = if of_dense.is_some_and(|part| part > 1.0) { ", **below the dense limit**" } else { "" };
        line(
            out,
            &format!(
                "| {}{} | {} | {} | {:.2} ± {:.2} | {:.2} · 10⁶ | {} | {}{below} | {} | {} |",
                epoch.who,
                if epoch.is_peer { " (peer)" } else { "" },
                precision(epoch.precision),
                threads(epoch.threads),
                epoch.milliseconds,
                epoch.spread,
                work.images / epoch.milliseconds / 1e3,
                megabytes(epoch.peak_bytes),
                fraction(of_dense),
                fraction(of_sparse),
                ratio(advantage_in_epochs(&measured.epochs, epoch)),
            ),
        );
    }
    Ok(())
}

fn runs(out: &mut String, bench: &Bench, runs: &[WholeRun]) {
    line(out, "\n### A whole `train configs/softmax.toml`\n");
    let (epochs, evaluations) = (bench.softmax.descent().epochs, bench.softmax.early_stopping().evaluations_per_epoch);
    line(
        out,
        &format!(
            "{epochs} epochs, each evaluated {evaluations} times on all rows, from reading the files to the last number; f32; medians of {REPEATS} processes, which take turns.\n"
        ),
    );
    line(out, "| | threads | seconds | peak memory | fused is faster |\n| --- | --- | --- | --- | --- |");
    for run in runs {
        line(
            out,
            &format!(
                "| {}{} | {} | {:.2} | {} | {} |",
                run.who,
                if run.is_peer { " (peer)" } else { "" },
                threads(run.threads),
                run.seconds,
                megabytes(run.peak_bytes),
                ratio(advantage_in_runs(runs, run)),
            ),
        );
    }
}

fn optimum(out: &mut String, problem: &Problem) {
    let penalised = if problem.penalize_bias { "the bias penalised, too" } else { "the bias not penalised" };
    line(out, &format!("\n### To the minimum of J, {penalised}\n"));
    let gap = problem.gap.map_or(String::new(), |gap| {
        format!(", which is at most {gap:.0e} above the minimum, by the gradient there (‖∇J‖² / 2λ)")
    });
    line(
        out,
        &format!(
            "Softmax regression on the training images, J = C + λ/2 Σ w² with λ = {L2}. The lowest J that anyone reached is {:.7}{gap}. Seconds are from rows in memory to the \
             first iterate whose J is within {NEAR:.0e} of it, relatively: what the best of all tolerances would take. J is computed for everyone here, in f64.\n",
            problem.lowest
        ),
    );
    line(out, "| | type | threads | seconds | iterations | J there | peak memory | chainrule is faster |");
    line(out, "| --- | --- | --- | --- | --- | --- | --- | --- |");
    for solver in &problem.solvers {
        let (seconds, iterations, cost) = match solver.near {
            Some((seconds, iterations, cost)) => (format!("{seconds:.2}"), iterations.to_string(), cost),
            None => (format!("not in {:.2}", solver.last.0), String::new(), solver.last.1),
        };
        line(
            out,
            &format!(
                "| {}{} | {} | {} | {seconds} | {iterations} | {cost:.6} | {} | {} |",
                solver.who,
                if solver.is_peer { " (peer)" } else { "" },
                precision(solver.precision),
                solver.threads,
                megabytes(solver.peak_bytes),
                ratio(advantage_in_optimum(&problem.solvers, solver)),
            ),
        );
    }
    if !problem.penalize_bias {
        line(
            out,
            "\nlinfa-logistic is asked with a penalised bias only: without, it makes almost three times the iterations.",
        );
    }
}

fn growth(out: &mut String, growths: &[Growth]) {
    line(out, "\n### How the cost grows\n");
    line(
        out,
        &format!(
            "Milliseconds an epoch of softmax regression in f32 over rows that were made up, {:.0} % of whose bytes are not 0; what does not grow stays at {}. The exponent is \
             that of a power fitted to all points; an element is an image's feature for one class.\n",
            100.0 * DENSITY,
            size_in_words()
        ),
    );
    for pair in growths.chunks(2) {
        let image = |growth: &Growth| {
            let figure = growth.figure();
            format!("![{}]({PLOTS}/{}.svg)", figure.title, figure.id)
        };
        line(out, &pair.iter().map(image).collect::<Vec<_>>().join(" "));
    }
    line(out, "\n| what grows | from | to | engine | exponent | ns an element at first | at last |");
    line(out, "| --- | --- | --- | --- | --- | --- | --- |");
    for growth in growths {
        for curve in &growth.curves {
            let ends = [curve.points.first(), curve.points.last()];
            let [first, last] = ends.map(|point| point.map_or(f64::NAN, |point| point.0));
            let [at_first, at_last] = growth.per_element(curve);
            let (name, exponent) = (growth.grows.name(), curve.exponent());
            line(
                out,
                &format!(
                    "| {name} | {first} | {last} | {} | {exponent:.2} | {at_first:.4} | {at_last:.4} |",
                    curve.who
                ),
            );
        }
    }
}

/// Returns how many times slower a competitor is than the fused kernels with the same float type.
/// The kernels use the same number of threads, or one thread if the competitor has no limit.
fn advantage_in_epochs(all: &[Epoch], one: &Epoch) -> Option<f64> {
    let threads = one.threads.or(Some(1));
    let is_ours = |epoch: &&Epoch| !epoch.is_peer && epoch.who.contains("fused") && epoch.threads == threads;
    let similar_names = |epoch: &&Epoch| epoch.model == one.model && epoch.precision == one.precision;
    let ours = all.iter().filter(similar_names).find(is_ours)?;
    Some(one.milliseconds / ours.milliseconds)
}

fn advantage_in_runs(all: &[WholeRun], one: &WholeRun) -> Option<f64> {
    let threads = one.threads.or(Some(1));
    let ours = all.iter().find(|run| !run.is_peer && run.who.contains("fused") && run.threads == threads)?;
    Some(one.seconds / ours.seconds)
}

/// Compares with this project's solver on the same number of threads, in its faster float type.
fn advantage_in_optimum(all: &[Solver], one: &Solver) -> Option<f64> {
    let ours = all.iter().filter(|solver| !solver.is_peer && solver.threads == one.threads);
    let ours = ours.filter_map(|solver| solver.near).map(|near| near.0).min_by(f64::total_cmp)?;
    // A solver that did not get near took at least its total time.
    Some(one.near.map_or(one.last.0, |near| near.0) / ours)
}

/// Lists every case in which a peer is faster, or says that there is none.
fn who_wins(measured: &Measured) -> String {
    let mut wins = Vec::new();
    let mut add = |advantage: Option<f64>, case: String| {
        wins.extend(advantage.filter(|ratio| *ratio < 1.0).map(|ratio| format!("- {case}: {:.2} times", 1.0 / ratio)));
    };
    for epoch in measured.epochs.iter().filter(|epoch| epoch.is_peer) {
        let (precision, threads) = (precision(epoch.precision), threads(epoch.threads));
        let case = format!(
            "an epoch of {} regression in {precision}, threads: {threads}: {}",
            name_of(epoch.model),
            epoch.who
        );
        add(advantage_in_epochs(&measured.epochs, epoch), case);
    }
    for run in measured.runs.iter().filter(|run| run.is_peer) {
        add(
            advantage_in_runs(&measured.runs, run),
            format!("a whole run, threads: {}: {}", threads(run.threads), run.who),
        );
    }
    for problem in &measured.problems {
        let bias = if problem.penalize_bias { "the bias penalised" } else { "the bias not penalised" };
        for solver in problem.solvers.iter().filter(|solver| solver.is_peer) {
            add(advantage_in_optimum(&problem.solvers, solver), format!("to the minimum, {bias}: {}", solver.who));
        }
    }
    if wins.is_empty() {
        return "Nowhere: in every row above that has a ratio, chainrule is at least as fast on as many threads."
            .to_owned();
    }
    format!("A peer is faster than chainrule on as many threads in\n\n{}", wins.join("\n"))
}

fn name_of(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Softmax => "softmax",
        ModelKind::Logistic => "logistic",
    }
}

fn precision(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::F64 => "f64",
    }
}

fn ratio(advantage: Option<f64>) -> String {
    advantage.map_or_else(String::new, |ratio| format!("{ratio:.1} x"))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

fn threads(threads: Option<usize>) -> String {
    threads.map_or_else(|| "its own".to_owned(), |threads| threads.to_string())
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("writing to a String cannot fail");
}

/// Replaces the text between the marks of the file and writes the plots into a folder beside it.
pub(crate) fn write(path: &Path, page: &str, growths: &[Growth]) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let marks = || format!("{} lacks the lines {BEGIN} and {END}", path.display());
    let (before, rest) = text.split_once(BEGIN).with_context(marks)?;
    let (_, after) = rest.split_once(END).with_context(marks)?;
    let folder = path.with_file_name(PLOTS);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for growth in growths {
        let figure = growth.figure();
        write_whole(&folder.join(format!("{}.svg", figure.id)), svg(&figure, Purpose::File).svg.as_bytes())?;
    }
    write_whole(path, format!("{before}{BEGIN}\n{page}{END}{after}").as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(who: &str, is_peer: bool, milliseconds: f64) -> Epoch {
        let (model, precision) = (ModelKind::Softmax, Precision::F32);
        Epoch {
            who: who.to_owned(),
            model,
            precision,
            threads: Some(1),
            milliseconds,
            spread: 0.0,
            peak_bytes: 0,
            is_peer,
        }
    }

    fn run(who: &str, is_peer: bool, seconds: f64) -> WholeRun {
        WholeRun { who: who.to_owned(), threads: Some(1), seconds, peak_bytes: 0, is_peer }
    }

    #[test]
    fn every_peer_that_is_faster_is_named_and_no_other() {
        let epochs = vec![epoch("ours, fused", false, 4.0), epoch("slow", true, 5.0), epoch("quick", true, 2.0)];
        let runs = vec![run("ours, fused", false, 1.0), run("fleet", true, 0.8), run("lame", true, 1.2)];
        let words = who_wins(&Measured { epochs, runs, ..Measured::default() });
        assert!(words.contains("quick: 2.00 times") && words.contains("fleet: 1.25 times"), "{words}");
        assert!(!words.contains("slow") && !words.contains("lame"), "{words}");
    }

    #[test]
    fn where_no_peer_is_faster_it_says_so() {
        let epochs = vec![epoch("ours, fused", false, 4.0), epoch("slow", true, 5.0)];
        assert!(who_wins(&Measured { epochs, ..Measured::default() }).starts_with("Nowhere"));
    }

    #[test]
    fn a_solver_that_never_comes_near_counts_for_as_long_as_it_tried() {
        let solver = |is_peer, near, last| Solver {
            who: String::new(),
            precision: Precision::F32,
            threads: 1,
            near,
            last: (last, 0.5),
            peak_bytes: 0,
            is_peer,
        };
        let all =
            [solver(false, Some((2.0, 9, 0.3)), 3.0), solver(true, None, 8.0), solver(true, Some((1.0, 9, 0.3)), 8.0)];
        assert_eq!(advantage_in_optimum(&all, &all[1]), Some(4.0));
        assert_eq!(advantage_in_optimum(&all, &all[2]), Some(0.5));
    }
}
