//! Pure functions on a run's history, for figures and verdicts.

use std::collections::BTreeMap;

use chainrule_core::{EarlyStopping, Evaluation, StoppingDecision};
use chainrule_report::Run;

/// The steps in one block of the smoothed training loss, as in the report.
pub(crate) const BLOCK: usize = 10;

/// The mean and standard deviation of the training loss over one block of steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LossBlock {
    /// The middle of the block's steps.
    pub(crate) step: f64,
    /// The mean.
    pub(crate) mean: f64,
    /// The standard deviation: the root of the mean squared distance from the mean.
    pub(crate) deviation: f64,
}

/// Returns the blocks of a training loss. An incomplete last block is dropped.
pub(crate) fn blocks(losses: &[f64]) -> Vec<LossBlock> {
    let block = |(i, losses): (usize, &[f64])| {
        let mean = mean(losses);
        let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / BLOCK as f64;
        LossBlock { step: (i * BLOCK) as f64 + (BLOCK - 1) as f64 / 2.0, mean, deviation: variance.sqrt() }
    };
    losses.chunks_exact(BLOCK).enumerate().map(block).collect()
}

/// Returns the mean, or NaN if there are no values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Returns the median of sorted values, the lower one if there are two.
pub(crate) fn median(sorted: &[usize]) -> Option<usize> {
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// Returns the evaluation at which early stopping with this patience ends a full-length run, or
/// `None` if it does not end it.
pub(crate) fn stop_with(patience: usize, evaluations: &[Evaluation]) -> Option<&Evaluation> {
    let mut rule = EarlyStopping::new(Some(patience));
    evaluations
        .iter()
        .find(|evaluation| rule.record(evaluation.step, evaluation.validation_loss) == StoppingDecision::Stop)
}

/// A spike is a loss that exceeds the larger of its two neighbours by this factor.
pub(crate) const SPIKE: f64 = 1.25;

/// Returns the evaluations after the first epoch that are spikes.
pub(crate) fn spikes(run: &Run) -> Vec<&Evaluation> {
    let is_spike = |three: &[Evaluation]| {
        three[1].epoch > 0 && three[1].validation_loss > SPIKE * three[0].validation_loss.max(three[2].validation_loss)
    };
    run.evaluations().windows(3).filter(|three| is_spike(three)).map(|three| &three[1]).collect()
}

/// The batch after which the validation loss is most often the highest of its epoch. The run is
/// evaluated after every step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HardestBatch {
    /// The position of the batch in the epoch, from 0.
    pub(crate) batch: usize,
    /// The number of epochs in which the loss was highest after this batch.
    pub(crate) epochs: usize,
    /// The number of complete epochs without the first, in which the loss still falls steeply.
    pub(crate) of: usize,
}

/// Finds the hardest batch. Returns `None` if there is no complete epoch after the first.
pub(crate) fn hardest_batch(every_step: &Run) -> Option<HardestBatch> {
    let steps = every_step.summary.steps_per_epoch;
    let mut counts = BTreeMap::new();
    let epochs = every_step.evaluations().chunks_exact(steps).skip(1);
    let of = epochs.len();
    for epoch in epochs {
        let hardest = (0..steps).max_by(|&a, &b| epoch[a].validation_loss.total_cmp(&epoch[b].validation_loss))?;
        *counts.entry(hardest).or_insert(0) += 1;
    }
    let (batch, epochs) = counts.into_iter().max_by_key(|&(_, count)| count)?;
    Some(HardestBatch { batch, epochs, of })
}

/// Returns the number of steps after which an evaluation follows the same batch again: the least
/// common multiple of both periods.
pub(crate) fn steps_until_repeat(steps_per_epoch: usize, evaluation_interval: usize) -> usize {
    let (mut a, mut b) = (steps_per_epoch, evaluation_interval);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    steps_per_epoch / a * evaluation_interval
}

/// Returns Pearson's correlation of two lists of numbers.
pub(crate) fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum::<f64>();
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}
