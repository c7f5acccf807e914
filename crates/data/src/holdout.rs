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
    /// As [`Holdout::kept`].
    ///
    /// # Errors
    /// A class that has fewer than two rows.
    pub fn split(&self, labels: &[u8]) -> Result<[Vec<usize>; 2], u8> {
        let kept = self.kept(labels)?;
        Ok([false, true].map(|is_kept| (0..labels.len()).filter(|&row| kept[row] == is_kept).collect()))
    }

    /// Of each row whether it is for the validation.
    ///
    /// All rows are shuffled (Fisher-Yates by `ChaCha8`), and of each class the first in that
    /// order, its rows times the fraction, rounded, are for validation: one at least, and all but
    /// one at most.
    ///
    /// # Errors
    /// A class that has fewer than two rows.
    ///
    /// # Panics
    /// Where there are 2^32 rows or more.
    pub fn kept(&self, labels: &[u8]) -> Result<Vec<bool>, u8> {
        let mut counts = [0usize; 256];
        labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        if let Some(class) = (0..=u8::MAX).find(|&class| counts[usize::from(class)] == 1) {
            return Err(class);
        }
        let mut left = counts.map(|count| {
            let asked = (count as f64 * self.fraction).round() as usize;
            if count == 0 { 0 } else { asked.clamp(1, count - 1) }
        });
        let mut rows: Vec<u32> = (0..u32::try_from(labels.len()).expect("fewer than 2^32 rows")).collect();
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed));
        let mut kept = vec![false; labels.len()];
        for row in rows.into_iter().map(|row| row as usize) {
            let left = &mut left[usize::from(labels[row])];
            kept[row] = *left > 0;
            *left = left.saturating_sub(1);
        }
        Ok(kept)
    }
}
