//! Measures how time and memory of an epoch grow with images that stay in their file, compared with
//! images in memory.

use std::fmt::Write;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chainrule_core::{Evaluation, Preprocessing, TrainConfig};
use chainrule_data::{Counts, Request, digits, find_within, mnist};
use chainrule_records::ConfigFile;
use chainrule_solve::{FusedRows, Observer, train_fused};
use serde::{Deserialize, Serialize};

use crate::SOFTMAX;
use crate::epoch::median;
use crate::machine::peak_bytes;

/// The number of images of the reference in memory, as in the report's training.
const RESIDENT: usize = 20_000;

/// The number of timed epochs. The median is reported.
const EPOCHS: usize = 3;
const RESIDENT_EPOCHS: usize = 100;

/// The result of a separate process.
#[derive(Serialize, Deserialize)]
struct ScaleResult {
    /// Images of the timed steps of an epoch.
    images: usize,
    /// The seconds of these steps, per epoch.
    seconds: Vec<f64>,
    peak_bytes: u64,
}

impl ScaleResult {
    /// Returns the step time per image in nanoseconds.
    fn nanoseconds(&self) -> f64 {
        1e9 * median(self.seconds.clone()) / self.images as f64
    }
}

/// Writes each number of digits into `folder`, trains on them and deletes them. Returns the table.
pub(crate) fn measure(folder: &Path, counts: &[u32], threads: &[usize]) -> Result<String> {
    let mut table = String::from(
        "| images | in the file | threads | s per epoch | ns per image | of 20 000 in memory | ratio | peak memory |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let resident = Digits::write(folder, RESIDENT)?;
    for &images in counts {
        let images = images as usize;
        let streamed = Digits::write(folder, images)?;
        for &threads in threads {
            println!("{images} images, threads: {threads}");
            // The reference is measured each time, because the load of the machine changes.
            let (before, from_file) = (resident.train(threads)?, streamed.train(threads)?);
            let after = resident.train(threads)?;
            let resident_nanoseconds = (before.nanoseconds() + after.nanoseconds()) / 2.0;
            let nanoseconds = from_file.nanoseconds();
            let (gigabytes, megabytes) = (images as f64 * 784.0 / 1e9, from_file.peak_bytes as f64 / 1e6);
            let (seconds, ratio) = (median(from_file.seconds), nanoseconds / resident_nanoseconds);
            writeln!(
                table,
                "| {images} | {gigabytes:.2} GB | {threads} | {seconds:.2} | {nanoseconds:.0} | {resident_nanoseconds:.0} ns | {ratio:.2} | {megabytes:.0} MB |"
            )?;
        }
    }
    Ok(table)
}

/// Digits in four files, deleted on drop.
struct Digits {
    folder: tempfile::TempDir,
    images: usize,
}

impl Digits {
    fn write(folder: &Path, images: usize) -> Result<Self> {
        println!("generating {images} images");
        let folder = tempfile::tempdir_in(folder).with_context(|| folder.display().to_string())?;
        let files = mnist::FILES.map(|file| folder.path().join(file.name));
        digits::write_both(digits::SEED, Counts { train: images, validation: 10_000 }, &files)?;
        Ok(Self { folder, images })
    }

    /// Trains in a separate process, so that its memory can be measured.
    fn train(&self, threads: usize) -> Result<ScaleResult> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--one-scale").arg(self.folder.path()).args([self.images.to_string(), threads.to_string()]);
        let output = command.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// The process that [`Digits::train`] starts.
pub(crate) fn one(arguments: &[String]) -> ExitCode {
    let measure = || -> Result<ScaleResult> {
        let [folder, images, threads] = arguments else {
            anyhow::bail!("expected a folder, a number of images and a number of threads")
        };
        train(folder.into(), images.parse()?, threads.parse()?)
    };
    match measure().and_then(|result| Ok(serde_json::to_string(&result)?)) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::from(2)
        }
    }
}

/// Measures the steps of each epoch except the first, which an evaluation follows.
fn train(folder: PathBuf, images: usize, threads: NonZero<usize>) -> Result<ScaleResult> {
    let is_resident = images == RESIDENT;
    let epochs = if is_resident { RESIDENT_EPOCHS } else { EPOCHS };
    let settings = [
        format!("data.train_images={images}"),
        format!("descent.epochs={epochs}"),
        "descent.gradient=fused".to_owned(),
        "descent.shuffle.generator=none".to_owned(),
        "early_stopping.evaluations_per_epoch=1".to_owned(),
        "early_stopping.patience=1000000000".to_owned(),
    ];
    let config = TrainConfig::read(SOFTMAX.as_ref(), &settings)?;
    let counts = Counts { train: images, validation: 10_000 };
    let resident_bytes = if is_resident { u64::MAX } else { 64 << 20 };
    let data = find_within(&Request::Folder(folder), counts, resident_bytes, &mut |_| {})?;
    let ([train, validation], classes) = data.select(None, None, None)?;
    let validation = FusedRows::new(validation.into_memory(u64::MAX)?, &Preprocessing::Pixels)?;
    let rows = FusedRows::new(train, &Preprocessing::Pixels)?;
    let steps = images / config.descent().batch_size;
    let mut stopwatch = Stopwatch { steps, running_since: None, seconds: Vec::new() };
    let link = config.model().kind.link(classes.len());
    train_fused(&link, &rows, &validation, &config, threads, &mut stopwatch)?;
    let images = (steps - 1) * config.descent().batch_size;
    Ok(ScaleResult { images, seconds: stopwatch.seconds, peak_bytes: peak_bytes() })
}

/// Measures from the end of the evaluation after an epoch's first step to the end of its last step.
struct Stopwatch {
    steps: usize,
    running_since: Option<Instant>,
    seconds: Vec<f64>,
}

impl Observer for Stopwatch {
    fn on_step(&mut self, step: usize) -> ControlFlow<()> {
        if (step + 1).is_multiple_of(self.steps) {
            self.seconds.extend(self.running_since.take().map(|since| since.elapsed().as_secs_f64()));
        }
        ControlFlow::Continue(())
    }

    fn on_evaluation(&mut self, _: &Evaluation) -> ControlFlow<()> {
        self.running_since = Some(Instant::now());
        ControlFlow::Continue(())
    }
}
