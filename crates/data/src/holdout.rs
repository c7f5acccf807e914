use chacha20::ChaCha8Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;

/// The choice of validation rows for data without a validation part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Holdout {
    /// The fraction of each class's rows to hold out.
    pub fraction: f64,
    /// The seed of the shuffle.
    pub seed: u64,
}

impl Holdout {
    /// Returns the training rows and the validation rows, both in ascending order. See
    /// [`Holdout::validation_mask`].
    ///
    /// # Errors
    /// Returns a class that has only one row.
    pub fn split(&self, labels: &[u8]) -> Result<[Vec<usize>; 2], u8> {
        let validation_mask = self.validation_mask(labels)?;
        Ok([false, true]
            .map(|is_validation| (0..labels.len()).filter(|&row| validation_mask[row] == is_validation).collect()))
    }

    /// Returns for each row whether it is a validation row.
    ///
    /// All rows are shuffled (Fisher-Yates with `ChaCha8`). In that order, the first rows of each
    /// class become validation rows. Their number is the class's rows times the fraction, rounded,
    /// at least one and at most all but one.
    ///
    /// # Errors
    /// Returns a class that has only one row.
    ///
    /// # Panics
    /// Panics if there are 2^32 rows or more.
    pub fn validation_mask(&self, labels: &[u8]) -> Result<Vec<bool>, u8> {
        let mut counts = [0usize; 256];
        labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        if let Some(class) = (0..=u8::MAX).find(|&class| counts[usize::from(class)] == 1) {
            return Err(class);
        }
        let mut remaining = counts.map(|count| {
            let requested = (count as f64 * self.fraction).round() as usize;
            if count == 0 { 0 } else { requested.clamp(1, count - 1) }
        });
        let mut rows: Vec<u32> = (0..u32::try_from(labels.len()).expect("fewer than 2^32 rows")).collect();
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed));
        let mut validation_mask = vec![false; labels.len()];
        for row in rows.into_iter().map(|row| row as usize) {
            let remaining = &mut remaining[usize::from(labels[row])];
            validation_mask[row] = *remaining > 0;
            *remaining = remaining.saturating_sub(1);
        }
        Ok(validation_mask)
    }
}
