//! Tables made by code, with the same bytes each time and on each system: only additions,
//! multiplications, divisions and square roots, which have one result.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use chacha20::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::tables::Table;

/// What a table looks like.
pub(crate) struct TableSpec {
    pub(crate) title: &'static str,
    pub(crate) rows: usize,
    /// The number of numbers. The last `indicators` of them are 0 or 1 before they are
    /// standardised.
    pub(crate) numbers: usize,
    indicators: usize,
    /// The number of levels of each category.
    pub(crate) levels: &'static [usize],
    /// The number of words, of which each row has some [`WORDS_PER_ROW`]. A word is a sparse
    /// feature with the value 1.
    pub(crate) words: usize,
    pub(crate) classes: usize,
    /// The standard deviation of the correlations' coefficients and of the true weights.
    mixing: f64,
    weights: f64,
}

/// The measured tables.
pub(crate) const TABLES: [TableSpec; 4] = [
    TableSpec {
        title: "54 numbers, 24 of them indicators, and 7 classes",
        rows: 200_000,
        numbers: 54,
        indicators: 24,
        levels: &[],
        words: 0,
        classes: 7,
        mixing: 0.3,
        weights: 0.5,
    },
    TableSpec {
        title: "28 numbers and 2 classes",
        rows: 500_000,
        numbers: 28,
        indicators: 0,
        levels: &[],
        words: 0,
        classes: 2,
        mixing: 0.2,
        weights: 0.3,
    },
    TableSpec {
        title: "10 numbers, 6 categories of 1525 levels in all, and 2 classes",
        rows: 300_000,
        numbers: 10,
        indicators: 0,
        levels: &[1000, 400, 80, 30, 10, 5],
        words: 0,
        classes: 2,
        mixing: 0.0,
        weights: 0.5,
    },
    TableSpec {
        title: "some 80 words out of 50 000, and 2 classes",
        rows: 60_000,
        numbers: 0,
        indicators: 0,
        levels: &[],
        words: 50_000,
        classes: 2,
        mixing: 0.0,
        weights: 0.3,
    },
];

/// The number of words that are drawn for a row. Words that are drawn twice, and the rarest ones,
/// are left out.
const WORDS_PER_ROW: usize = 86;

/// Words are spread by this factor, so that frequent words are not next to each other in memory.
const SPREAD: usize = 7919;

/// The standard deviation of a level's true weight.
const LEVEL_WEIGHTS: f64 = 0.7;

/// About half of the rows have the first 1/20 of a category's levels. The share of rows above a
/// level falls as the inverse of the level.
const HEAD: f64 = 20.0;

/// The rows of a table.
#[derive(Debug, PartialEq)]
pub(crate) struct SyntheticTable {
    /// Standardised, `[n, d]` row by row.
    pub(crate) numbers: Vec<f32>,
    /// The index of each category's level, `[n, categories]` row by row.
    pub(crate) codes: Vec<u32>,
    /// The words of each row, in increasing order, and the number of words up to each row, `[n]`.
    pub(crate) words: Vec<u32>,
    pub(crate) ends: Vec<u32>,
    pub(crate) labels: Vec<u32>,
}

impl TableSpec {
    /// The number of columns of the weights, k.
    pub(crate) fn columns(&self) -> usize {
        if self.classes == 2 { 1 } else { self.classes }
    }

    /// Whether all features are numbers.
    pub(crate) fn is_dense(&self) -> bool {
        self.levels.is_empty() && self.words == 0
    }

    /// Makes `n` rows and writes them into a folder.
    pub(crate) fn write(&self, n: usize, folder: &Path) -> Result<Table> {
        let rows = self.make(n);
        rows.write(folder)?;
        Ok(Table {
            title: self.title.to_owned(),
            rows: n,
            numbers: self.numbers,
            levels: self.levels.to_vec(),
            words: self.words,
            entries: rows.words.len(),
            classes: self.classes,
        })
    }

    /// Makes `n` rows.
    pub(crate) fn make(&self, n: usize) -> SyntheticTable {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let numbers = self.make_numbers(n, &mut rng);
        let mut codes = Vec::with_capacity(n * self.levels.len());
        for _ in 0..n {
            codes.extend(self.levels.iter().map(|&levels| heavy_tailed(levels, &mut rng)));
        }
        let (words, ends) = self.make_words(if self.words > 0 { n } else { 0 }, &mut rng);
        let mut table = SyntheticTable { numbers, codes, words, ends, labels: Vec::new() };
        table.labels = self.make_labels(n, &table, &mut rng);
        table
    }

    /// Draws the words of n rows. Few words are frequent.
    fn make_words(&self, n: usize, rng: &mut ChaCha8Rng) -> (Vec<u32>, Vec<u32>) {
        let (mut words, mut ends, mut row) = (Vec::new(), Vec::with_capacity(n), Vec::new());
        for _ in 0..n {
            row.clear();
            let drawn = (0..WORDS_PER_ROW).map(|_| heavy_tailed(self.words, rng) as usize);
            // The last word stands for all that are rarer.
            row.extend(drawn.filter(|word| word + 1 < self.words).map(|word| (word * SPREAD % self.words) as u32));
            row.sort_unstable();
            row.dedup();
            words.extend_from_slice(&row);
            ends.push(words.len() as u32);
        }
        (words, ends)
    }

    /// Makes correlated numbers. Every third is skewed.
    fn make_numbers(&self, n: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let d = self.numbers;
        let mixing: Vec<f64> =
            (0..d * d).map(|i| self.mixing * normal(rng) + if i.is_multiple_of(d + 1) { 1.0 } else { 0.0 }).collect();
        let mut numbers = Vec::with_capacity(n * d);
        let mut row = vec![0.0; d];
        for _ in 0..n {
            row.fill(0.0);
            for coefficients in mixing.chunks_exact(d.max(1)) {
                let source = normal(rng);
                row.iter_mut().zip(coefficients).for_each(|(x, coefficient)| *x += source * coefficient);
            }
            for (j, x) in row.iter().enumerate() {
                let is_indicator = j >= d - self.indicators;
                let number = match (is_indicator, j % 3) {
                    (true, _) => f64::from(*x > 1.0),
                    (false, 0) => x + 0.3 * x * x,
                    (false, _) => *x,
                };
                numbers.push(number as f32);
            }
        }
        for j in 0..d {
            let column = || numbers.iter().skip(j).step_by(d).map(|&x| f64::from(x));
            let mean = column().sum::<f64>() / n as f64;
            let deviation = (column().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64).sqrt();
            for x in numbers.iter_mut().skip(j).step_by(d) {
                *x = ((f64::from(*x) - mean) / deviation) as f32;
            }
        }
        numbers
    }

    /// Draws the classes from a linear model.
    fn make_labels(&self, n: usize, table: &SyntheticTable, rng: &mut ChaCha8Rng) -> Vec<u32> {
        let (d, k, n_categories) = (self.numbers, self.columns(), self.levels.len());
        let weights: Vec<f64> = (0..d * k).map(|_| self.weights * normal(rng)).collect();
        let levels = self.levels.iter();
        let levels: Vec<Vec<f64>> =
            levels.map(|&levels| (0..levels * k).map(|_| LEVEL_WEIGHTS * normal(rng)).collect()).collect();
        let words: Vec<f64> = (0..self.words * k).map(|_| self.weights * normal(rng)).collect();
        // The standard deviations of the logistic and of Gumbel's distribution.
        let noise = if k == 1 { 1.814 } else { 1.283 };
        let mut logits = vec![0.0; k];
        let rows = (0..n).map(|row| {
            logits.iter_mut().for_each(|z| *z = noise * normal(rng));
            for (&x, weights) in table.numbers[row * d..][..d].iter().zip(weights.chunks_exact(k)) {
                logits.iter_mut().zip(weights).for_each(|(z, w)| *z += f64::from(x) * w);
            }
            let codes = table.codes[row * n_categories..][..n_categories].iter().zip(&levels);
            let of_row = table.words_of(row).iter().map(|word| (word, &words));
            for (&code, weights) in codes.chain(of_row) {
                logits.iter_mut().zip(&weights[code as usize * k..]).for_each(|(z, w)| *z += w);
            }
            if k == 1 {
                return u32::from(logits[0] > 0.0);
            }
            let highest = (0..k).max_by(|&i, &j| logits[i].total_cmp(&logits[j]));
            highest.map_or(0, |class| class as u32)
        });
        rows.collect()
    }
}

impl SyntheticTable {
    /// The words of a row.
    pub(crate) fn words_of(&self, row: usize) -> &[u32] {
        let end = |row: usize| self.ends.get(row).map_or(0, |&end| end as usize);
        &self.words[row.checked_sub(1).map_or(0, end)..end(row)]
    }

    /// Writes the files `numbers`, `codes`, `words`, `ends` and `labels` into a folder, in four
    /// bytes a value.
    fn write(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, values: &mut dyn Iterator<Item = [u8; 4]>| -> Result<()> {
            let mut file = BufWriter::new(File::create(folder.join(name))?);
            for bytes in values {
                file.write_all(&bytes)?;
            }
            Ok(file.flush()?)
        };
        write("numbers", &mut self.numbers.iter().map(|x| x.to_le_bytes()))?;
        write("codes", &mut self.codes.iter().map(|code| code.to_le_bytes()))?;
        write("words", &mut self.words.iter().map(|word| word.to_le_bytes()))?;
        write("ends", &mut self.ends.iter().map(|end| end.to_le_bytes()))?;
        write("labels", &mut self.labels.iter().map(|label| label.to_le_bytes()))
    }
}

/// Draws a number that is close to normal, with mean 0 and variance 1, as the sum of four uniform
/// numbers.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let bits: u64 = rng.random();
    let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
    // A uniform number of 16 bits has the variance (2^32 - 1) / 12.
    (sum as f64 - 2.0 * 65_535.0) / (65_536.0 / 3f64.sqrt())
}

/// Draws a level of a category. Few levels have most of the rows.
fn heavy_tailed(levels: usize, rng: &mut ChaCha8Rng) -> u32 {
    let uniform = 1.0 - rng.random::<f64>(); // in (0, 1]
    let level = (1.0 / uniform - 1.0) * levels as f64 / HEAD;
    level.min(levels as f64 - 1.0) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn tables_have_the_same_standardised_numbers_and_all_classes_each_time() {
        for spec in TABLES {
            let (n, d) = (3000, spec.numbers);
            let table = spec.make(n);
            assert_eq!(table, spec.make(n), "{}", spec.title);
            for j in 0..d {
                let column = || table.numbers.iter().skip(j).step_by(d).map(|&x| f64::from(x));
                let (mean, square) =
                    (column().sum::<f64>() / n as f64, column().map(|x| x * x).sum::<f64>() / n as f64);
                assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-6, "{}: {j}: {mean} {square}", spec.title);
                let values: BTreeSet<u64> = column().map(f64::to_bits).collect();
                assert_eq!(values.len() == 2, j >= d - spec.indicators, "{}: {j}: {} values", spec.title, values.len());
            }
            let counts = |values: &mut dyn Iterator<Item = u32>| {
                let mut counts = vec![0; 1000];
                values.for_each(|value| counts[value as usize] += 1);
                counts.truncate(1 + counts.iter().rposition(|&count| count > 0).unwrap_or(0));
                counts
            };
            let classes = counts(&mut table.labels.iter().copied());
            assert!(classes.len() == spec.classes && classes.iter().all(|&count| count > n / 50), "{classes:?}");
            assert_eq!(table.ends.len(), if spec.words > 0 { n } else { 0 });
            for row in 0..table.ends.len() {
                let words = table.words_of(row);
                assert!(words.is_sorted_by(|a, b| a < b) && words.iter().all(|&word| (word as usize) < spec.words));
            }
            assert!(table.ends.is_empty() || (70..90).contains(&(table.words.len() / n)), "{}", table.words.len());
            for (j, &levels) in spec.levels.iter().enumerate() {
                let counts = counts(&mut table.codes.iter().skip(j).step_by(spec.levels.len()).copied());
                assert!(counts.len() <= levels && counts[0] > counts[counts.len() / 2], "{counts:?}");
            }
        }
    }
}
