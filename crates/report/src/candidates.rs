//! The candidates of a sweep: what differs in more than the seed.

use chainrule_core::FinalMetrics;
use chainrule_evaluate::Mean;

use crate::sweep::SweepPoint;

/// The finished points that differ only in their seed, as one result: a sweep over several seeds
/// compares means. Without several seeds, each point is a candidate.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The position of the value for each compared key, from 0.
    pub(crate) at: Vec<usize>,
    /// Positions in the points of the sweep.
    pub(crate) points: Vec<usize>,
    /// The number of these points that diverged.
    pub(crate) diverged: usize,
    /// The means of the metrics. `None` if a point diverged, since the mean of the others would
    /// hide it.
    pub(crate) metrics: Option<Metrics<Mean>>,
}

/// A value for each of the final metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metrics<T> {
    pub(crate) train_loss: T,
    pub(crate) validation_loss: T,
    pub(crate) train_accuracy: T,
    pub(crate) validation_accuracy: T,
}

impl Candidate {
    /// Creates a candidate from these points of `all`, of which there is at least one.
    pub(crate) fn new(at: Vec<usize>, points: Vec<usize>, all: &[SweepPoint]) -> Self {
        let metrics: Vec<FinalMetrics> = points.iter().filter_map(|&i| Some(all[i].summary()?.final_metrics)).collect();
        let diverged = points.len() - metrics.len();
        let mean = |metric: fn(&FinalMetrics) -> f64| {
            Mean::of(&metrics.iter().map(metric).collect::<Vec<_>>(), None).expect("a point at least")
        };
        let means = || Metrics {
            train_loss: mean(|last| last.train_loss),
            validation_loss: mean(|last| last.validation_loss),
            train_accuracy: mean(|last| last.train_accuracy),
            validation_accuracy: mean(|last| last.validation_accuracy),
        };
        Self { at, points, diverged, metrics: (diverged == 0).then(means) }
    }

    /// Groups the points by their values of all keys except number `seeds`.
    pub(crate) fn by_seed(all: &[SweepPoint], seeds: usize) -> Vec<Self> {
        let mut groups: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
        for (i, point) in all.iter().enumerate() {
            let mut at = point.at.clone();
            at.remove(seeds);
            match groups.iter_mut().find(|(other, _)| *other == at) {
                Some((_, points)) => points.push(i),
                None => groups.push((at, vec![i])),
            }
        }
        groups.into_iter().map(|(at, points)| Self::new(at, points, all)).collect()
    }

    /// Returns each point as a candidate.
    pub(crate) fn singles(all: &[SweepPoint]) -> Vec<Self> {
        all.iter().enumerate().map(|(i, point)| Self::new(point.at.clone(), vec![i], all)).collect()
    }

    /// Returns the mean cross-entropy over the validation rows, in nats.
    pub(crate) fn validation_loss(&self) -> Option<f64> {
        Some(self.metrics.as_ref()?.validation_loss.mean)
    }
}
