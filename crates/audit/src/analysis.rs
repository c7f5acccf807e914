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
pub struct HardestBatch {
    /// The position of the batch in the epoch, from 0.
    pub batch: usize,
    /// The number of epochs in which the loss was highest after this batch.
    pub epochs: usize,
    /// The number of complete epochs without the first, in which the loss still falls steeply.
    pub of: usize,
}

/// Finds the hardest batch. Returns `None` if there is no complete epoch after the first.
pub fn hardest_batch(every_step: &Run) -> Option<HardestBatch> {
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

/// Returns the mean correlation of the pixels of two different images, over all pairs, or 0 if
/// there are fewer than two. A blank image correlates with no other.
pub fn mean_correlation<'a>(images: impl Iterator<Item = &'a [u8]>) -> f64 {
    // The sum over all pairs of u^T v is the squared length of the sum of all u, for centred images
    // of length 1.
    let mut sum: Vec<f64> = Vec::new();
    let (mut n, mut own) = (0.0, 0.0);
    for pixels in images {
        let values: Vec<f64> = pixels.iter().map(|&pixel| f64::from(pixel)).collect();
        let middle = mean(&values);
        let length = values.iter().map(|value| (value - middle).powi(2)).sum::<f64>().sqrt();
        sum.resize(values.len(), 0.0);
        n += 1.0;
        if length > 0.0 {
            own += 1.0;
            sum.iter_mut().zip(&values).for_each(|(sum, value)| *sum += (value - middle) / length);
        }
    }
    if n < 2.0 { 0.0 } else { (sum.iter().map(|sum| sum * sum).sum::<f64>() - own) / (n * (n - 1.0)) }
}

#[cfg(test)]
mod tests {
    use super::{correlation, mean_correlation};

    #[test]
    fn the_mean_correlation_is_that_of_all_pairs() {
        let images: Vec<Vec<u8>> =
            (0..5).map(|i| (0..50).map(|j| ((i * i + 3) * j * j % 251) as u8).collect()).collect();
        let numbers = |image: &[u8]| image.iter().map(|&pixel| f64::from(pixel)).collect::<Vec<_>>();
        let pairs = (0..5).flat_map(|a| (0..a).map(move |b| (a, b)));
        let all: Vec<f64> = pairs.map(|(a, b)| correlation(&numbers(&images[a]), &numbers(&images[b]))).collect();
        let expected = all.iter().sum::<f64>() / all.len() as f64;
        let mean_of = |images: &[Vec<u8>]| mean_correlation(images.iter().map(Vec::as_slice));
        assert!((mean_of(&images) - expected).abs() < 1e-12, "{} {expected}", mean_of(&images));
        // A blank image has no correlation, which counts as 0.
        let blank = [images[0].clone(), images[0].clone(), vec![7; 50]];
        assert!((mean_of(&blank) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!([mean_of(&images[..1]), mean_of(&[])], [0.0, 0.0]);
    }
}
