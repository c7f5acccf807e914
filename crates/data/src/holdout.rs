use chacha20::ChaCha8Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;

/// Which rows are kept from the training for the validation, where the data does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Holdout {
    /// The part of each class's rows.
    pub fraction: f64,
    /// Of the shuffle.
    pub seed: u64,
}

impl Holdout {
    /// The rows to train on and those to validate on, each in their own order.
    ///
    /// All rows are shuffled (Fisher-Yates by `ChaCha8`), and of each class the first in that order, its rows times the fraction, rounded, are for
    /// validation: one at least, and all but one at most.
    ///
    /// # Errors
    /// A class that has fewer than two rows.
    pub fn split(&self, labels: &[u8]) -> Result<[Vec<usize>; 2], u8> {
        let mut counts = [0usize; 256];
        labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        if let Some(class) = (0..=u8::MAX).find(|&class| counts[usize::from(class)] == 1) {
            return Err(class);
        }
        let mut kept = counts.map(|count| {
            let asked = (count as f64 * self.fraction).round() as usize;
            if count == 0 { 0 } else { asked.clamp(1, count - 1) }
        });
        let mut rows: Vec<usize> = (0..labels.len()).collect();
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed));
        let mut splits = [Vec::new(), Vec::new()];
        for row in rows {
            let left = &mut kept[usize::from(labels[row])];
            splits[usize::from(*left > 0)].push(row);
            *left = left.saturating_sub(1);
        }
        splits.iter_mut().for_each(|rows| rows.sort_unstable());
        Ok(splits)
    }
}
