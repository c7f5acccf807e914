use chacha20::ChaCha8Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;

/// An assignment of rows to folds, for cross-validation.
///
/// Each split has training rows and validation rows. The same rows and the same seed give the same
/// splits on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folds {
    n_rows: usize,
    folds: usize,
    splits: Vec<FoldSplit>,
}

/// The rows of one split, both in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldSplit {
    /// The rows to train on.
    pub train: Vec<usize>,
    /// The rows to validate on.
    pub validation: Vec<usize>,
}

/// Why rows cannot be divided into folds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldError {
    /// Cross-validation needs two folds.
    #[error("{0} folds; expected two or more")]
    TooFewFolds(usize),
    /// Cross-validation needs a repeat.
    #[error("0 repeats; expected one or more")]
    NoRepeat,
    /// A fold would be empty.
    #[error("{folds} folds need {folds} {what} or more, found {found}")]
    TooFew {
        /// The number of folds.
        folds: usize,
        /// What is divided: rows or groups.
        what: &'static str,
        /// Their number.
        found: usize,
    },
    /// The labels and the groups are of other rows.
    #[error("{groups} groups for {rows} rows")]
    Groups {
        /// The number of rows.
        rows: usize,
        /// The number of groups that are given.
        groups: usize,
    },
    /// An assignment of one's own names a row twice, or one that does not exist, or it leaves no
    /// row.
    #[error("split {split}: {problem}")]
    Split {
        /// Its position, from 0.
        split: usize,
        /// What is wrong.
        problem: String,
    },
}

impl Folds {
    /// Divides shuffled rows into `folds` parts of equal size, in each of which the classes have
    /// the same shares. Each part validates once per repeat; each repeat shuffles anew.
    ///
    /// The rows of each class are shuffled (Fisher-Yates with `ChaCha8`), and dealt to the folds in
    /// turn. So the sizes of two folds differ by one row at most, in total and in each class.
    ///
    /// # Errors
    /// Returns an error with fewer than two folds, with fewer rows than folds, or without repeats.
    pub fn stratified(labels: &[u16], folds: usize, repeats: usize, seed: u64) -> Result<Self, FoldError> {
        Self::check(folds, repeats, labels.len(), "rows")?;
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut fold_of = vec![0; labels.len()];
        Ok(Self::of_repeats(folds, repeats, || {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            order.shuffle(&mut generator);
            // The sort is stable, so each class stays shuffled.
            order.sort_by_key(|&row| labels[row]);
            order.iter().enumerate().for_each(|(place, &row)| fold_of[row] = place % folds);
            fold_of.clone()
        }))
    }

    /// Like [`stratified`](Self::stratified), but all rows of a group are in the same fold.
    /// `groups` has the group of each row.
    ///
    /// The groups are shuffled and sorted by size, the largest first. Each goes to the fold where
    /// the classes of its rows are rarest so far, measured by the sum of the squares of the folds'
    /// shares of each class.
    ///
    /// # Errors
    /// As [`stratified`](Self::stratified). Also returns an error with fewer groups than folds, or
    /// if the number of groups is not that of the rows.
    pub fn grouped(labels: &[u16], groups: &[u32], folds: usize, repeats: usize, seed: u64) -> Result<Self, FoldError> {
        if groups.len() != labels.len() {
            return Err(FoldError::Groups { rows: labels.len(), groups: groups.len() });
        }
        let mut rows: Vec<usize> = (0..groups.len()).collect();
        rows.sort_by_key(|&row| groups[row]);
        let rows_of: Vec<&[usize]> = rows.chunk_by(|&a, &b| groups[a] == groups[b]).collect();
        Self::check(folds, repeats, rows_of.len(), "groups")?;
        let n_classes = labels.iter().max().map_or(0, |&largest| usize::from(largest) + 1);
        let mut of_class = vec![0usize; n_classes];
        labels.iter().for_each(|&label| of_class[usize::from(label)] += 1);
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        Ok(Self::of_repeats(folds, repeats, || {
            let mut order: Vec<usize> = (0..rows_of.len()).collect();
            order.shuffle(&mut generator);
            order.sort_by_key(|&group| std::cmp::Reverse(rows_of[group].len()));
            let mut fold_of = vec![0; labels.len()];
            let (mut counts, mut sizes) = (vec![vec![0usize; n_classes]; folds], vec![0usize; folds]);
            for group in order {
                // The increase of the sum of squares, without the part that is the same for all
                // folds.
                let crowding = |fold: usize| -> f64 {
                    let of_row = |&row: &usize| {
                        let class = usize::from(labels[row]);
                        counts[fold][class] as f64 / (of_class[class] as f64).powi(2)
                    };
                    rows_of[group].iter().map(of_row).sum()
                };
                let is_better =
                    |a: usize, b: usize| crowding(a).total_cmp(&crowding(b)).then(sizes[a].cmp(&sizes[b])).is_lt();
                let best = (1..folds).fold(0, |best, fold| if is_better(fold, best) { fold } else { best });
                for &row in rows_of[group] {
                    fold_of[row] = best;
                    counts[best][usize::from(labels[row])] += 1;
                }
                sizes[best] += rows_of[group].len();
            }
            fold_of
        }))
    }

    /// Divides rows in the order of time: of `folds + 1` parts, each but the first validates a
    /// training on all rows before it. So no model sees what comes later. The first part takes what
    /// the division leaves over. `sklearn.model_selection.TimeSeriesSplit` has the same splits.
    ///
    /// # Errors
    /// Returns an error with fewer than two folds, or with fewer rows than parts.
    pub fn time_ordered(n_rows: usize, folds: usize) -> Result<Self, FoldError> {
        Self::check(folds, 1, n_rows.saturating_sub(1), "rows after the first")?;
        let size = n_rows / (folds + 1);
        let split = |fold: usize| {
            let first = n_rows - (folds - fold) * size;
            FoldSplit { train: (0..first).collect(), validation: (first..first + size).collect() }
        };
        Ok(Self { n_rows, folds, splits: (0..folds).map(split).collect() })
    }

    /// Takes splits of one's own.
    ///
    /// # Errors
    /// Returns an error if there are fewer than two splits, if a split has no training or no
    /// validation row, if a row is past the end, or if a split has a row twice.
    pub fn of_splits(n_rows: usize, splits: Vec<FoldSplit>) -> Result<Self, FoldError> {
        if splits.len() < 2 {
            return Err(FoldError::TooFewFolds(splits.len()));
        }
        for (split, FoldSplit { train, validation }) in splits.iter().enumerate() {
            let wrong = |problem: String| Err(FoldError::Split { split, problem });
            if train.is_empty() || validation.is_empty() {
                return wrong(format!("{} training and {} validation rows", train.len(), validation.len()));
            }
            let mut is_used = vec![false; n_rows];
            for &row in train.iter().chain(validation) {
                match is_used.get_mut(row) {
                    None => return wrong(format!("row {row} of {n_rows}, counted from 0")),
                    Some(true) => return wrong(format!("row {row} is there twice")),
                    Some(is_used) => *is_used = true,
                }
            }
        }
        Ok(Self { n_rows, folds: splits.len(), splits })
    }

    fn check(folds: usize, repeats: usize, found: usize, what: &'static str) -> Result<(), FoldError> {
        match (folds, repeats) {
            (0 | 1, _) => Err(FoldError::TooFewFolds(folds)),
            (_, 0) => Err(FoldError::NoRepeat),
            _ if found < folds => Err(FoldError::TooFew { folds, what, found }),
            _ => Ok(()),
        }
    }

    /// `assign` returns the fold of each row.
    fn of_repeats(folds: usize, repeats: usize, mut assign: impl FnMut() -> Vec<usize>) -> Self {
        let (mut splits, mut n_rows) = (Vec::with_capacity(folds * repeats), 0);
        for _ in 0..repeats {
            let fold_of = assign();
            n_rows = fold_of.len();
            splits.extend((0..folds).map(|fold| {
                let (validation, train) = (0..n_rows).partition(|&row| fold_of[row] == fold);
                FoldSplit { train, validation }
            }));
        }
        Self { n_rows, folds, splits }
    }

    /// The number of rows that were divided.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The number of folds of each repeat.
    pub fn folds(&self) -> usize {
        self.folds
    }

    /// The number of repeats.
    pub fn repeats(&self) -> usize {
        self.splits.len() / self.folds
    }

    /// The splits, repeat by repeat.
    pub fn splits(&self) -> &[FoldSplit] {
        &self.splits
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    /// 2, 7, 11, … rows of the classes 0, 1, 2, …, in mixed order.
    fn labels() -> Vec<u16> {
        let counts = [2, 7, 11, 30, 53];
        let mut labels: Vec<u16> = (0..).zip(counts).flat_map(|(class, n)| vec![class; n]).collect();
        labels.shuffle(&mut ChaCha8Rng::seed_from_u64(5));
        labels
    }

    fn check_partition(folds: &Folds) {
        for repeat in folds.splits().chunks(folds.folds()) {
            let mut validated: Vec<usize> = repeat.iter().flat_map(|split| split.validation.clone()).collect();
            validated.sort_unstable();
            assert_eq!(validated, (0..folds.n_rows()).collect::<Vec<_>>());
            for FoldSplit { train, validation } in repeat {
                assert!(train.is_sorted() && validation.is_sorted());
                assert!(train.iter().all(|row| validation.binary_search(row).is_err()));
                assert_eq!(train.len() + validation.len(), folds.n_rows());
            }
        }
    }

    #[test]
    fn stratified_folds_differ_by_one_row_in_each_class() {
        let labels = labels();
        for k in [2, 3, 5, 10, labels.len()] {
            let folds = Folds::stratified(&labels, k, 2, 1).unwrap();
            check_partition(&folds);
            assert_eq!((folds.splits().len(), folds.repeats()), (2 * k, 2));
            let count = |split: &FoldSplit, class: Option<u16>| {
                split.validation.iter().filter(|&&row| class.is_none_or(|class| labels[row] == class)).count()
            };
            for class in [None, Some(0), Some(1), Some(2), Some(3), Some(4)] {
                let counts: Vec<usize> = folds.splits()[..k].iter().map(|split| count(split, class)).collect();
                assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{class:?}: {counts:?}");
            }
            assert_eq!(folds, Folds::stratified(&labels, k, 2, 1).unwrap());
            if k < labels.len() {
                assert_ne!(folds.splits()[0], folds.splits()[k]);
                assert_ne!(folds, Folds::stratified(&labels, k, 2, 2).unwrap());
            }
        }
    }

    #[test]
    fn groups_stay_together_and_classes_are_shared() {
        let labels = labels();
        let groups: Vec<u32> = (0..labels.len() as u32).map(|row| row * row % 23).collect();
        let folds = Folds::grouped(&labels, &groups, 4, 3, 7).unwrap();
        check_partition(&folds);
        for FoldSplit { train, validation } in folds.splits() {
            let of =
                |rows: &[usize]| -> std::collections::BTreeSet<u32> { rows.iter().map(|&row| groups[row]).collect() };
            assert!(of(train).is_disjoint(&of(validation)));
            let frequent = validation.iter().filter(|&&row| labels[row] == 4).count();
            assert!((7..=20).contains(&frequent), "{frequent} of 53 rows in one of 4 folds");
            assert!((15..=37).contains(&validation.len()), "{} of 103 rows", validation.len());
        }
        assert_eq!(folds, Folds::grouped(&labels, &groups, 4, 3, 7).unwrap());
        assert_ne!(folds.splits()[0], folds.splits()[4]);
    }

    /// `TimeSeriesSplit(n_splits=3).split(range(10))` of scikit-learn 1.9.
    #[test]
    fn time_ordered_folds_are_those_of_scikit_learn() {
        let folds = Folds::time_ordered(10, 3).unwrap();
        let expected = [(4, 4..6), (6, 6..8), (8, 8..10)];
        for (split, (n_train, validation)) in folds.splits().iter().zip(expected) {
            assert_eq!(split.train, (0..n_train).collect::<Vec<_>>());
            assert_eq!(split.validation, validation.collect::<Vec<_>>());
        }
        assert_eq!((folds.folds(), folds.repeats()), (3, 1));
        assert!(Folds::time_ordered(4, 3).is_ok());
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        let message = |folds: Result<Folds, FoldError>| folds.unwrap_err().to_string();
        assert_eq!(message(Folds::stratified(&[0, 1], 1, 1, 0)), "1 folds; expected two or more");
        assert_eq!(message(Folds::stratified(&[0, 1], 2, 0, 0)), "0 repeats; expected one or more");
        assert_eq!(message(Folds::stratified(&[0, 1], 3, 1, 0)), "3 folds need 3 rows or more, found 2");
        assert_eq!(message(Folds::grouped(&[0, 1, 0], &[9, 9, 4], 3, 1, 0)), "3 folds need 3 groups or more, found 2");
        assert_eq!(message(Folds::grouped(&[0, 1, 0], &[9, 9], 2, 1, 0)), "2 groups for 3 rows");
        assert_eq!(message(Folds::time_ordered(3, 3)), "3 folds need 3 rows after the first or more, found 2");
        let split = |train: &[usize], validation: &[usize]| FoldSplit {
            train: train.to_vec(),
            validation: validation.to_vec(),
        };
        let own = |second: FoldSplit| message(Folds::of_splits(3, vec![split(&[0, 1], &[2]), second]));
        assert_eq!(own(split(&[0], &[])), "split 1: 1 training and 0 validation rows");
        assert_eq!(own(split(&[0], &[3])), "split 1: row 3 of 3, counted from 0");
        assert_eq!(own(split(&[0, 1], &[1])), "split 1: row 1 is there twice");
    }
}
