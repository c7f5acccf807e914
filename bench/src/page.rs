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
use crate::growth::{DENSITY, Growth, describe_fixed_sizes};
use crate::machine::{can_bind, processor};
use crate::optimum::{L2, NEAR, Problem, Solver};
use crate::whole::{REPEATS, WholeRun};
use crate::work::Workload;
use crate::{Bench, Skipped};

/// The markers of the page around the results of a command.
fn markers(command: &str) -> [String; 2] {
    ["begin", "end"].map(|place| format!("<!-- {place} of {command} -->"))
}

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
    /// Adds competitors that could not be measured, without duplicates.
    pub(crate) fn skip(&mut self, skipped: Vec<Skipped>) {
        let new: Vec<Skipped> = skipped.into_iter().filter(|one| !self.skipped.contains(one)).collect();
        self.skipped.extend(new);
    }
}

/// Returns the text between the markers of the page.
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
        line(out, &faster_peers(measured));
    }
    if !measured.growths.is_empty() {
        let intro = format!(
            "Milliseconds per epoch of softmax regression in f32 on synthetic rows with {:.0} % nonzero bytes.\n\
             The sizes that do not grow are {}.\n\
             The exponent is that of a power law fitted to all points; an element is one feature of one image for one class.",
            100.0 * DENSITY,
            describe_fixed_sizes()
        );
        growth(out, "How the cost grows", &intro, &measured.growths);
    }
    for Skipped { name, reason } in &measured.skipped {
        line(out, &format!("\nSkipped: {name}: {reason}"));
    }
    Ok(text)
}

fn machine(out: &mut String, bench: &Bench) {
    let checksums = bench.data.file_checksums();
    let data = if is_mnist(checksums.iter().map(String::as_str)) { "MNIST" } else { "not MNIST" };
    let processor = processor().map_or_else(String::new, |name| format!("Processor: {name}, "));
    let max_threads = bench.threads.last().copied().unwrap_or(1);
    line(
        out,
        &format!(
            "Data: {data}.\n{processor}{max_threads} threads.\nVector instructions: {}.\nThe machine's peak rates, measured in the same run:\n",
            Isa::best()
        ),
    );
    line(out, "| threads | multiply-adds per second (f32) | bytes read per second |\n| --- | --- | --- |");
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
    let bound = if can_bind() { "bound to one processor per thread" } else { "not bound to processors" };
    line(
        out,
        &format!(
            "{} images in batches of {batch}, in the file's order, without evaluations; {density:.0} % of the bytes are nonzero.\nEach competitor is a separate process, {bound}.\nThey \
             take turns, so that noise affects all equally: {} rounds of {} timed epochs, each after one warm-up epoch.\nThe benchmark checks that all reach the same \
             loss.\nTimes are medians ± median absolute deviations; peak memory is that of the whole process, with libraries and rows.\n",
            work.images, measured.rounds, measured.epochs_a_turn
        ),
    );
    line(
        out,
        "| threads | minimum for all bytes: operations | bytes | minimum for nonzero bytes: operations | bytes |",
    );
    line(out, "| --- | --- | --- | --- | --- |");
    for limit in &bench.limits {
        let (dense, sparse) = (work.dense(limit), work.sparse(limit));
        let cell = |milliseconds: f64, binds: bool| {
            let text = format!("{milliseconds:.2} ms");
            if binds { format!("**{text}**") } else { text }
        };
        let pair = |minimum: crate::work::MinimumTimes| {
            let operations = cell(minimum.operations, minimum.binding() == "operations");
            format!("{operations} | {}", cell(minimum.bytes, minimum.binding() == "bytes"))
        };
        line(out, &format!("| {} | {} | {} |", limit.threads, pair(dense), pair(sparse)));
    }
    line(out, "\nThe larger of the two times is the limit (bold).\n");
    line(
        out,
        "| | type | threads | ms per epoch | images per second | peak memory | limit / time, all bytes | limit / time, nonzero | speedup of fused |",
    );
    line(out, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for epoch in measured.epochs.iter().filter(|epoch| epoch.model == kind) {
        let limit = bench.limits.iter().find(|limit| limit.threads == epoch.threads.unwrap_or(1));
        // The limits were measured in f32.
        let limit = limit.filter(|_| epoch.precision == Precision::F32);
        let dense_fraction = limit.map(|limit| work.dense(limit).milliseconds() / epoch.milliseconds);
        let sparse_fraction = limit.map(|limit| work.sparse(limit).milliseconds() / epoch.milliseconds);
        let fraction = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.2}"));
        let below =
            if dense_fraction.is_some_and(|fraction| fraction > 1.0) { ", **below the dense limit**" } else { "" };
        line(
            out,
            &format!(
                "| {}{} | {} | {} | {:.2} ± {:.2} | {:.2} · 10⁶ | {} | {}{below} | {} | {} |",
                epoch.name,
                if epoch.is_peer { " (peer)" } else { "" },
                precision(epoch.precision),
                threads(epoch.threads),
                epoch.milliseconds,
                epoch.spread,
                work.images / epoch.milliseconds / 1e3,
                megabytes(epoch.peak_bytes),
                fraction(dense_fraction),
                fraction(sparse_fraction),
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
            "{epochs} epochs in f32 with {evaluations} evaluations per epoch on all rows.\nThe time includes everything from reading the files to the result.\nTimes are medians of {REPEATS} processes, which take turns.\n"
        ),
    );
    line(out, "| | threads | seconds | peak memory | speedup of fused |\n| --- | --- | --- | --- | --- |");
    for run in runs {
        line(
            out,
            &format!(
                "| {}{} | {} | {:.2} | {} | {} |",
                run.name,
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
    let penalised = if problem.penalize_bias { "with a penalised bias" } else { "without a penalty on the bias" };
    line(out, &format!("\n### Time to the minimum of J, {penalised}\n"));
    let gap = problem
        .gap
        .map_or(String::new(), |gap| format!(".\nIt is at most {gap:.0e} above the minimum, by the bound ‖∇J‖² / 2λ"));
    line(
        out,
        &format!(
            "Softmax regression on the training images, J = C + λ/2 Σ w² with λ = {L2}.\nThe lowest J of all solvers is {:.7}{gap}.\nThe time starts with rows in memory and ends at the \
             first iterate with J within a relative {NEAR:.0e} of the lowest, as with the best possible tolerance.\nThe benchmark computes J for all solvers, in f64.\n",
            problem.lowest
        ),
    );
    line(out, "| | type | threads | seconds | iterations | J at that iterate | peak memory | speedup of chainrule |");
    line(out, "| --- | --- | --- | --- | --- | --- | --- | --- |");
    for solver in &problem.solvers {
        let (seconds, iterations, cost) = match solver.near {
            Some((seconds, iterations, cost)) => (format!("{seconds:.2}"), iterations.to_string(), cost),
            None => (format!("not within {:.2}", solver.last.0), String::new(), solver.last.1),
        };
        line(
            out,
            &format!(
                "| {}{} | {} | {} | {seconds} | {iterations} | {cost:.6} | {} | {} |",
                solver.name,
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
            "\nlinfa-logistic is measured only with a penalised bias: without the penalty it needs almost three times the iterations.",
        );
    }
}

/// Writes the plots and the table of growing sizes.
pub(crate) fn growth(out: &mut String, title: &str, intro: &str, growths: &[Growth]) {
    line(out, &format!("\n### {title}\n\n{intro}\n"));
    for pair in growths.chunks(2) {
        let image = |growth: &Growth| {
            let figure = growth.figure();
            format!("![{}]({PLOTS}/{}.svg)", figure.title, figure.id)
        };
        line(out, &pair.iter().map(image).collect::<Vec<_>>().join(" "));
    }
    line(
        out,
        "\n| growing size | from | to | engine | exponent | ns per element at the smallest size | at the largest |",
    );
    line(out, "| --- | --- | --- | --- | --- | --- | --- |");
    for growth in growths {
        for curve in &growth.curves {
            let ends = [curve.points.first(), curve.points.last()];
            let [first, last] = ends.map(|point| point.map_or(f64::NAN, |point| point.0));
            let [at_smallest, at_largest] = growth.per_element(curve);
            let (name, exponent) = (growth.name, curve.exponent());
            line(
                out,
                &format!(
                    "| {name} | {first} | {last} | {} | {exponent:.2} | {at_smallest:.4} | {at_largest:.4} |",
                    curve.name
                ),
            );
        }
    }
}

/// Returns how many times slower a competitor is than the fused kernels with the same float type.
/// The kernels use the same number of threads, or one thread if the competitor has no limit.
fn advantage_in_epochs(all: &[Epoch], one: &Epoch) -> Option<f64> {
    let threads = one.threads.or(Some(1));
    let is_ours = |epoch: &&Epoch| !epoch.is_peer && epoch.name.contains("fused") && epoch.threads == threads;
    let is_same_case = |epoch: &&Epoch| epoch.model == one.model && epoch.precision == one.precision;
    let ours = all.iter().filter(is_same_case).find(is_ours)?;
    Some(one.milliseconds / ours.milliseconds)
}

fn advantage_in_runs(all: &[WholeRun], one: &WholeRun) -> Option<f64> {
    let threads = one.threads.or(Some(1));
    let ours = all.iter().find(|run| !run.is_peer && run.name.contains("fused") && run.threads == threads)?;
    Some(one.seconds / ours.seconds)
}

/// Compares a solver with this project's solver on the same number of threads, in the faster float
/// type.
fn advantage_in_optimum(all: &[Solver], one: &Solver) -> Option<f64> {
    let ours = all.iter().filter(|solver| !solver.is_peer && solver.threads == one.threads);
    let ours = ours.filter_map(|solver| solver.near).map(|near| near.0).min_by(f64::total_cmp)?;
    // A solver that did not get near needs at least its total time.
    Some(one.near.map_or(one.last.0, |near| near.0) / ours)
}

/// Lists every case in which a peer is faster, or reports that there is none.
fn faster_peers(measured: &Measured) -> String {
    let mut cases = Vec::new();
    let mut add = |advantage: Option<f64>, case: String| cases.extend(advantage.map(|ratio| (case, ratio)));
    for epoch in measured.epochs.iter().filter(|epoch| epoch.is_peer) {
        let (precision, threads) = (precision(epoch.precision), threads(epoch.threads));
        let case = format!(
            "an epoch of {} regression in {precision}, threads: {threads}: {}",
            name_of(epoch.model),
            epoch.name
        );
        add(advantage_in_epochs(&measured.epochs, epoch), case);
    }
    for run in measured.runs.iter().filter(|run| run.is_peer) {
        add(
            advantage_in_runs(&measured.runs, run),
            format!("a whole run, threads: {}: {}", threads(run.threads), run.name),
        );
    }
    for problem in &measured.problems {
        let bias = if problem.penalize_bias { "with a penalised bias" } else { "without a penalty on the bias" };
        for solver in problem.solvers.iter().filter(|solver| solver.is_peer) {
            add(
                advantage_in_optimum(&problem.solvers, solver),
                format!("the time to the minimum, {bias}: {}", solver.name),
            );
        }
    }
    let nowhere = "Nowhere on images: in every row above with a speedup, chainrule is at least as fast on the same number of threads.";
    list_faster(&cases, nowhere)
}

/// Lists the cases in which a peer is faster, or returns `nowhere`. The number of a case is how
/// many times slower the peer is.
pub(crate) fn list_faster(cases: &[(String, f64)], nowhere: &str) -> String {
    let wins = cases.iter().filter(|(_, ratio)| *ratio < 1.0);
    let wins: Vec<String> = wins.map(|(case, ratio)| format!("- {case}: {:.2} times", 1.0 / ratio)).collect();
    if wins.is_empty() {
        return nowhere.to_owned();
    }
    format!("A peer is faster than chainrule on the same number of threads in these cases:\n\n{}", wins.join("\n"))
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
    threads.map_or_else(|| "default".to_owned(), |threads| threads.to_string())
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("writing to a String cannot fail");
}

/// Replaces the text between the markers of a command and writes the plots to a folder next to the
/// page.
pub(crate) fn write(path: &Path, command: &str, page: &str, growths: &[Growth]) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let [begin, end] = markers(command);
    let no_markers = || format!("{}: the lines {begin} and {end} are missing", path.display());
    let (before, rest) = text.split_once(&begin).with_context(no_markers)?;
    let (_, after) = rest.split_once(&end).with_context(no_markers)?;
    let folder = path.with_file_name(PLOTS);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for growth in growths {
        let figure = growth.figure();
        write_whole(&folder.join(format!("{}.svg", figure.id)), svg(&figure, Purpose::File).svg.as_bytes())?;
    }
    write_whole(path, format!("{before}{begin}\n{page}{end}{after}").as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(name: &str, is_peer: bool, milliseconds: f64) -> Epoch {
        let (model, precision) = (ModelKind::Softmax, Precision::F32);
        Epoch {
            name: name.to_owned(),
            model,
            precision,
            threads: Some(1),
            milliseconds,
            spread: 0.0,
            peak_bytes: 0,
            is_peer,
        }
    }

    fn run(name: &str, is_peer: bool, seconds: f64) -> WholeRun {
        WholeRun { name: name.to_owned(), threads: Some(1), seconds, peak_bytes: 0, is_peer }
    }

    #[test]
    fn only_faster_peers_are_listed() {
        let epochs = vec![epoch("ours, fused", false, 4.0), epoch("slow", true, 5.0), epoch("fast", true, 2.0)];
        let runs = vec![run("ours, fused", false, 1.0), run("faster", true, 0.8), run("slower", true, 1.2)];
        let text = faster_peers(&Measured { epochs, runs, ..Measured::default() });
        assert!(text.contains("fast: 2.00 times") && text.contains("faster: 1.25 times"), "{text}");
        assert!(!text.contains("slow") && !text.contains("slower"), "{text}");
    }

    #[test]
    fn no_faster_peer_is_reported_as_nowhere() {
        let epochs = vec![epoch("ours, fused", false, 4.0), epoch("slow", true, 5.0)];
        assert!(faster_peers(&Measured { epochs, ..Measured::default() }).starts_with("Nowhere"));
    }

    #[test]
    fn a_solver_that_never_gets_near_counts_with_its_total_time() {
        let solver = |is_peer, near, last| Solver {
            name: String::new(),
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
