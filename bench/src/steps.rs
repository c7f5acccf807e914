//! Measures the training steps of each backend: by its fused kernels, which are two launches on a
//! GPU, and by tensor operations.

use std::fmt::Write;
use std::num::NonZero;

use anyhow::{Result, ensure};
use chainrule::backend::Backend;
use chainrule::machine::Machine;
use chainrule_core::{GradientSource, Preprocessing, TrainConfig};
use chainrule_data::Rows;

use crate::Bench;
use crate::engine::{Engine, with};
use crate::epoch::median_and_spread;
use crate::synthetic_tables::{TABLES, TableSpec};

/// The largest number of rows of a table.
const MAX_ROWS: usize = 200_000;

/// The measured batch sizes. In small batches, launches take most of the time.
const BATCHES: [usize; 2] = [256, 4096];

/// Rows to train on.
struct Case {
    title: String,
    config: TrainConfig,
    rows: Rows,
    n_classes: usize,
    preprocessing: Preprocessing,
}

/// Measures epochs on every backend with kernels. In each round, the two engines take turns.
/// Returns the table.
pub(crate) fn measure(bench: &Bench, rounds: usize, epochs: usize) -> Result<String> {
    let has_kernels = |backend: &Backend| {
        Machine::new(Some(backend), NonZero::<usize>::MIN).is_ok_and(|machine| machine.has_kernels())
    };
    let backends: Vec<Backend> = Backend::built()?.into_iter().filter(has_kernels).collect();
    ensure!(!backends.is_empty(), "no backend of this build has kernels");
    let (images, n_classes) = bench.train_rows(&bench.softmax)?;
    let title = format!("{} bytes of an image and {n_classes} classes", images.n_features());
    let (config, preprocessing) = (bench.softmax.clone(), Preprocessing::Pixels);
    let mut cases = vec![Case { title, config, rows: images, n_classes, preprocessing }];
    cases.extend(TABLES.iter().filter(|spec| spec.is_dense()).map(|spec| table(bench, spec)));
    let mut text = String::from(
        "| backend | rows | batch | a step by kernels, µs | by tensor operations, µs | times as fast |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for backend in &backends {
        for case in &cases {
            for batch in BATCHES {
                println!("{backend}: {}, batches of {batch}", case.title);
                let [fused, tensors] = microseconds(case, batch, backend, rounds, epochs)?;
                writeln!(
                    text,
                    "| {backend} | {} x {} | {batch} | {:.0} ± {:.0} | {:.0} ± {:.0} | {:.1} |",
                    case.rows.len(),
                    case.title,
                    fused.0,
                    fused.1,
                    tensors.0,
                    tensors.1,
                    tensors.0 / fused.0
                )?;
            }
        }
    }
    Ok(text)
}

/// Returns the median time of a step and its spread, by kernels and by tensor operations.
fn microseconds(case: &Case, batch: usize, backend: &Backend, rounds: usize, epochs: usize) -> Result<[(f64, f64); 2]> {
    // Rows are shuffled, as in a training.
    let settings = [format!("descent.batch_size={batch}"), "descent.shuffle.generator=chacha".to_owned()];
    let config = with(&case.config, &settings)?;
    let engine = |gradient| {
        let config = config.clone().with_gradient(gradient);
        Engine::new(&config, &case.rows, case.n_classes, &case.preprocessing, backend, 1)
    };
    let engines = [engine(GradientSource::Fused)?, engine(GradientSource::ClosedForm)?];
    let uses_kernels = engines.each_ref().map(Engine::uses_device_kernels);
    ensure!(
        uses_kernels == [backend.has_separate_memory(), false],
        "{}: the engines are not those to measure",
        case.title
    );
    let (mut times, mut losses) = ([Vec::new(), Vec::new()], [0.0; 2]);
    for _ in 0..rounds {
        for ((engine, times), loss) in engines.iter().zip(&mut times).zip(&mut losses) {
            // The first epoch compiles kernels.
            let (milliseconds, last) = engine.epochs(epochs + 1)?;
            times.extend_from_slice(&milliseconds[1..]);
            *loss = last;
        }
    }
    let [fused, tensors] = losses;
    ensure!((fused - tensors).abs() <= 1e-3 * tensors, "{}: losses {fused} and {tensors}", case.title);
    let steps = chainrule_solve::steps_per_epoch(&config, case.rows.len())? as f64;
    Ok(times.map(|times| {
        let (median, spread) = median_and_spread(&times);
        (1e3 * median / steps, 1e3 * spread / steps)
    }))
}

fn table(bench: &Bench, spec: &TableSpec) -> Case {
    let table = spec.make(spec.rows.min(MAX_ROWS));
    let numbers: Vec<f64> = table.numbers.iter().map(|&x| x.into()).collect();
    let labels = table.labels.iter().map(|&label| label as u16).collect();
    let config = if spec.classes == 2 { &bench.logistic } else { &bench.softmax };
    Case {
        title: spec.title.to_owned(),
        config: config.clone(),
        rows: Rows::of_values(spec.numbers, &numbers, labels),
        n_classes: spec.classes,
        preprocessing: Preprocessing::Raw,
    }
}
