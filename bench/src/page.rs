//! The tables, in Markdown.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use chainrule_data::mnist;
use chainrule_kernels::Isa;
use chainrule_records::{ModelKind, Precision, TrainConfig};
use chainrule_training::label_order;

use crate::epoch::Epoch;
use crate::whole::{REPEATS, Whole};
use crate::{Bench, Limit};

const BEGIN: &str = "<!-- begin of cargo xtask bench -->";
const END: &str = "<!-- end of cargo xtask bench -->";

/// What the data is, without saying where it lies.
fn data_name(bench: &Bench) -> &'static str {
    let is_mnist = bench.data.file_checksums().iter().zip(&mnist::FILES).all(|(found, file)| found == file.sha256);
    if is_mnist { "MNIST" } else { "not MNIST" }
}

/// What an epoch must at least do.
struct Work {
    images: f64,
    /// Multiply-adds forward and backward, for every byte.
    multiply_adds: f64,
    bytes: f64,
    /// The part of bytes that are not 0.
    density: f64,
}

impl Work {
    fn new(bench: &Bench, config: &TrainConfig) -> Self {
        let order = label_order(config.model().kind, config.data());
        let asked = config.data();
        let split = bench.data.split(asked.train_images, asked.validation_images, order.as_deref());
        let ([train, _], classes) = split.expect("it was split before");
        let batch = config.descent().batch_size;
        let images = (train.len() / batch * batch) as f64;
        let columns = if config.model().kind == ModelKind::Logistic { 1 } else { classes.len() };
        let bytes = images * train.n_features() as f64;
        let non_zeros = train.pixels.iter().filter(|&&byte| byte != 0).count();
        let density = non_zeros as f64 / train.pixels.len() as f64;
        Self { images, multiply_adds: 2.0 * bytes * columns as f64, bytes, density }
    }

    /// The least milliseconds for this part of the work: operations at their peak, or bytes at theirs.
    fn limit(&self, limit: &Limit, part: f64) -> f64 {
        let operations = self.multiply_adds * part / limit.multiply_adds_per_second;
        1e3 * operations.max(self.bytes * part / limit.bytes_per_second)
    }
}

/// The page between its marks.
pub(crate) fn page(bench: &Bench, epochs: &[Epoch], runs: &[Whole], skipped: &[String]) -> String {
    let mut text = String::new();
    let out = &mut text;
    let isa = Isa::best();
    line(out, &format!("Data: {}. Vector instructions: {isa}. At best, measured in the same run:\n", data_name(bench)));
    line(out, "| threads | multiply-adds a second (f32) | bytes read a second |\n| --- | --- | --- |");
    for limit in &bench.limits {
        let (operations, bytes) = (limit.multiply_adds_per_second / 1e9, limit.bytes_per_second / 1e9);
        line(out, &format!("| {} | {operations:.0} · 10⁹ | {bytes:.1} · 10⁹ |", limit.threads));
    }
    for config in [&bench.softmax, &bench.logistic] {
        epochs_of(out, bench, config, epochs);
    }
    line(out, "\n### A whole `train configs/softmax.toml`\n");
    let (epochs_of_run, evaluations) =
        (bench.softmax.descent().epochs, bench.softmax.early_stopping().evaluations_per_epoch);
    line(
        out,
        &format!(
            "{epochs_of_run} epochs, each evaluated {evaluations} times on all rows, from reading the files to the last number; f32; medians of {REPEATS} processes.\n"
        ),
    );
    line(out, "| | threads | seconds | peak memory | fused is faster |\n| --- | --- | --- | --- | --- |");
    for run in runs {
        let ours = ours(runs, run.threads, |run| (&run.who, run.threads, run.seconds));
        let threads = threads(run.threads);
        let (seconds, megabytes, ratio) = (run.seconds, run.peak_bytes as f64 / 1e6, ratio(run.seconds, ours));
        line(out, &format!("| {} | {threads} | {seconds:.2} | {megabytes:.0} MB | {ratio} |", run.who));
    }
    for skipped in skipped {
        line(out, &format!("\nSkipped: {skipped}"));
    }
    text
}

fn epochs_of(out: &mut String, bench: &Bench, config: &TrainConfig, epochs: &[Epoch]) {
    let work = Work::new(bench, config);
    let (kind, name) = match config.model().kind {
        ModelKind::Softmax => (ModelKind::Softmax, "softmax"),
        ModelKind::Logistic => (ModelKind::Logistic, "logistic"),
    };
    line(out, &format!("\n### An epoch of {name} regression\n"));
    let (images, batch, density) = (work.images, config.descent().batch_size, 100.0 * work.density);
    line(
        out,
        &format!(
            "{images} images, {batch} a batch, in the file's order, without evaluations; {density:.0} % of the bytes are not 0. Medians, with the median distance from them.\n"
        ),
    );
    line(out, "| threads | limit for all bytes | limit for those that are not 0 |\n| --- | --- | --- |");
    for limit in &bench.limits {
        let [dense, sparse] = [1.0, work.density].map(|part| work.limit(limit, part));
        line(out, &format!("| {} | {dense:.2} ms | {sparse:.2} ms |", limit.threads));
    }
    line(out, "");
    line(
        out,
        "| | type | threads | ms an epoch | images a second | limit / time, all bytes | limit / time, not 0 | fused is faster |",
    );
    line(out, "| --- | --- | --- | --- | --- | --- | --- | --- |");
    for epoch in epochs.iter().filter(|epoch| epoch.model == kind) {
        let limit = bench.limits.iter().find(|limit| limit.threads == epoch.threads.unwrap_or(1));
        // The limits are those of f32.
        let limit = limit.filter(|_| epoch.precision == Precision::F32);
        let part = |part: f64| {
            limit.map_or("".to_owned(), |limit| format!("{:.2}", work.limit(limit, part) / epoch.milliseconds))
        };
        let alike: Vec<&Epoch> = epochs.iter().filter(|e| e.model == kind && e.precision == epoch.precision).collect();
        let ours = ours(&alike, epoch.threads, |epoch| (&epoch.who, epoch.threads, epoch.milliseconds));
        line(
            out,
            &format!(
                "| {}{} | {} | {} | {:.2} ± {:.2} | {:.2} · 10⁶ | {} | {} | {} |",
                epoch.who,
                if epoch.is_peer { " (peer)" } else { "" },
                if epoch.precision == Precision::F32 { "f32" } else { "f64" },
                threads(epoch.threads),
                epoch.milliseconds,
                epoch.spread,
                work.images / epoch.milliseconds / 1e3,
                part(1.0),
                part(work.density),
                ratio(epoch.milliseconds, ours),
            ),
        );
    }
}

/// The fused kernels' time on as many threads, or on one.
fn ours<T>(all: &[T], threads: Option<usize>, of: impl Fn(&T) -> (&str, Option<usize>, f64)) -> Option<f64> {
    let threads = threads.or(Some(1));
    all.iter().map(of).find(|(who, n, _)| who.contains("fused") && *n == threads).map(|(_, _, time)| time)
}

fn ratio(time: f64, ours: Option<f64>) -> String {
    ours.map_or_else(String::new, |ours| format!("{:.1} x", time / ours))
}

fn threads(threads: Option<usize>) -> String {
    threads.map_or_else(|| "its own".to_owned(), |threads| threads.to_string())
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("writing to a String cannot fail");
}

/// Puts the page between the marks of a file.
pub(crate) fn write(path: &Path, page: &str) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let marks = || format!("{} lacks the lines {BEGIN} and {END}", path.display());
    let (before, rest) = text.split_once(BEGIN).with_context(marks)?;
    let (_, after) = rest.split_once(END).with_context(marks)?;
    chainrule_records::write_whole(path, format!("{before}{BEGIN}\n{page}{END}{after}").as_bytes())?;
    Ok(())
}
