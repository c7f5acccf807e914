//! Measures predictions, as times one pass of the training kernel without its gradient over the
//! same rows.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use chainrule_kernels::{FusedModel, PackedRows};
use chainrule_solve::{Prediction, Predictions, Predictor};

use crate::epoch::median;

/// The number of rows of a call. A program that handles rows as they come does the same.
const ROWS_AT_ONCE: usize = 1 << 10;

/// The times of predictions on one thread, each as times a pass in the same round.
pub(crate) struct PredictionTimes {
    /// The logits and classes of many rows.
    classes: f64,
    /// Also the probabilities.
    probabilities: f64,
    /// Row by row.
    single: f64,
}

/// Measures some rounds. `numbers` are the rows `[n, d]`, without a copy in [`PackedRows`].
pub(crate) fn measure(
    rounds: usize,
    model: &mut FusedModel,
    rows: &PackedRows,
    predictor: &Predictor,
    numbers: &[f64],
) -> Result<PredictionTimes> {
    let d = predictor.n_features();
    let (mut many, mut one) = (Predictions::default(), Prediction::default());
    let mut probabilities = vec![0.0; predictor.n_classes()];
    let mut ratios: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(model.evaluate(rows));
        let pass = start.elapsed().as_secs_f64();
        for (with_probabilities, ratios) in [false, true].into_iter().zip(&mut ratios) {
            let start = Instant::now();
            for numbers in numbers.chunks(ROWS_AT_ONCE * d) {
                predictor.predict_batch(numbers, &mut many)?;
                if with_probabilities {
                    for row in many.iter() {
                        row.write_probabilities(&mut probabilities);
                        black_box(&probabilities);
                    }
                }
                black_box(&many);
            }
            ratios.push(start.elapsed().as_secs_f64() / pass);
        }
        let start = Instant::now();
        for row in numbers.chunks_exact(d) {
            predictor.predict_into(row, &mut one)?;
            black_box(&one);
        }
        ratios[2].push(start.elapsed().as_secs_f64() / pass);
    }
    let [classes, probabilities, single] = ratios.map(median);
    Ok(PredictionTimes { classes, probabilities, single })
}

impl PredictionTimes {
    /// Writes the table of a page.
    pub(crate) fn write(&self, out: &mut String) -> Result<()> {
        writeln!(
            out,
            "\n| prediction of all rows in f64 on one thread | as times a pass in f32 without the gradient |\n\
             | --- | --- |\n\
             | many rows: logits and classes | {:.2} |\n\
             | many rows: also probabilities | {:.2} |\n\
             | row by row, with probabilities | {:.2} |",
            self.classes, self.probabilities, self.single
        )?;
        Ok(())
    }
}
