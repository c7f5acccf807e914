use std::collections::BTreeMap;

use chacha20::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// The largest number of rows that are shuffled.
const MAX_SHUFFLED: usize = 1 << 24;

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
    pub fn split(&self, labels: &[u16]) -> Result<[Vec<usize>; 2], u16> {
        let validation_mask = self.validation_mask(labels, None)?;
        Ok([false, true].map(|is_kept| (0..labels.len()).filter(|&row| validation_mask[row] == is_kept).collect()))
    }

    /// Returns for each row whether it is a validation row.
    ///
    /// All rows are shuffled (Fisher-Yates with `ChaCha8`). In that order, the first rows of each
    /// class become validation rows. Their number is the class's rows times the fraction, rounded,
    /// at least one and at most all but one.
    ///
    /// More than 2^24 rows are not shuffled, which would take much memory. Each row is chosen with
    /// the probability that leads to the same numbers: D. E. Knuth, The Art of Computer Programming
    /// 2, section 3.4.2, Algorithm S.
    ///
    /// With `groups`, the group of each row, rows of one group stay together. Whole groups become
    /// validation rows, in shuffled order, each if that brings the classes' numbers of rows closer
    /// to those above.
    ///
    /// # Errors
    /// Returns a class that has only one row, or rows in one group only.
    ///
    /// # Panics
    /// Panics if there are 2^32 rows or more.
    pub fn validation_mask(&self, labels: &[u16], groups: Option<&[u32]>) -> Result<Vec<bool>, u16> {
        self.mask(labels.len(), |row| labels[row], groups)
    }

    /// As [`validation_mask`](Self::validation_mask), for n rows with these labels.
    pub(crate) fn mask(
        &self,
        n: usize,
        label: impl Fn(usize) -> u16,
        groups: Option<&[u32]>,
    ) -> Result<Vec<bool>, u16> {
        let mut counts = Vec::new();
        for class in (0..n).map(|row| usize::from(label(row))) {
            counts.resize(counts.len().max(class + 1), 0usize);
            counts[class] += 1;
        }
        if let Some(class) = counts.iter().position(|&count| count == 1) {
            return Err(class as u16);
        }
        let quotas = counts.iter().map(|&count| {
            let quota = (count as f64 * self.fraction).round() as usize;
            if count == 0 { 0 } else { quota.clamp(1, count - 1) }
        });
        let mut left: Vec<usize> = quotas.collect();
        let mut generator = ChaCha8Rng::seed_from_u64(self.seed);
        if let Some(groups) = groups {
            let labels: Vec<u16> = (0..n).map(label).collect();
            return mask_of_groups(&labels, groups, &counts, left, &mut generator);
        }
        let mut validation_mask = vec![false; n];
        if n > MAX_SHUFFLED {
            for (row, is_held_out) in validation_mask.iter_mut().enumerate() {
                let class = usize::from(label(row));
                *is_held_out = generator.random::<f64>() * (counts[class] as f64) < left[class] as f64;
                counts[class] -= 1;
                left[class] -= usize::from(*is_held_out);
            }
            return Ok(validation_mask);
        }
        let mut rows: Vec<u32> = (0..u32::try_from(n).expect("fewer than 2^32 rows")).collect();
        rows.shuffle(&mut generator);
        for row in rows.into_iter().map(|row| row as usize) {
            let left = &mut left[usize::from(label(row))];
            validation_mask[row] = *left > 0;
            *left = left.saturating_sub(1);
        }
        Ok(validation_mask)
    }
}

fn mask_of_groups(
    labels: &[u16],
    groups: &[u32],
    counts: &[usize],
    mut left: Vec<usize>,
    generator: &mut ChaCha8Rng,
) -> Result<Vec<bool>, u16> {
    let n_groups = groups.iter().max().map_or(0, |&largest| largest as usize + 1);
    let mut rows_of: Vec<Vec<usize>> = vec![Vec::new(); n_groups];
    groups.iter().enumerate().for_each(|(row, &group)| rows_of[group as usize].push(row));
    let mut order: Vec<usize> = (0..n_groups).collect();
    order.shuffle(generator);
    let mut in_training = counts.to_vec();
    let mut validation_mask = vec![false; labels.len()];
    let of_class = |group: usize| {
        let mut rows = BTreeMap::<usize, usize>::new();
        rows_of[group].iter().for_each(|&row| *rows.entry(usize::from(labels[row])).or_default() += 1);
        rows
    };
    for &group in &order {
        let of_class = of_class(group);
        // A class needs training rows, too.
        let takes_all = of_class.iter().any(|(&class, &rows)| rows == in_training[class]);
        let closer: isize = of_class
            .iter()
            .map(|(&class, &rows)| rows.min(left[class]) as isize - rows.saturating_sub(left[class]) as isize)
            .sum();
        if takes_all || closer <= 0 {
            continue;
        }
        for (class, rows) in of_class {
            left[class] = left[class].saturating_sub(rows);
            in_training[class] -= rows;
        }
        rows_of[group].iter().for_each(|&row| validation_mask[row] = true);
    }
    // A class whose groups are all large gets its smallest one.
    let lacks = |class: usize, in_training: &[usize]| counts[class] > 0 && in_training[class] == counts[class];
    while let Some(class) = (0..counts.len()).find(|&class| lacks(class, &in_training)) {
        let has_class = |group: &&usize| rows_of[**group].iter().any(|&row| usize::from(labels[row]) == class);
        let leaves_rows = |group: &&usize| of_class(**group).iter().all(|(&class, &rows)| rows < in_training[class]);
        let fits = order.iter().filter(has_class).filter(leaves_rows);
        let smallest = fits.min_by_key(|group| rows_of[**group].len()).ok_or(class as u16)?;
        of_class(*smallest).into_iter().for_each(|(class, rows)| in_training[class] -= rows);
        rows_of[*smallest].iter().for_each(|&row| validation_mask[row] = true);
    }
    Ok(validation_mask)
}
