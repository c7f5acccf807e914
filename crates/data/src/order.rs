use std::ops::Range;

use chacha20::ChaCha8Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_mt::Mt;

/// The method that orders the rows of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    /// The order of the file, in every epoch.
    None,
    /// The order of `numpy.random.seed(seed)` followed by one
    /// `numpy.random.shuffle(list(range(n)))` per epoch.
    NumpyLegacy {
        /// The seed.
        seed: u32,
    },
    /// A Fisher-Yates shuffle with `ChaCha8`.
    ChaCha {
        /// The seed.
        seed: u64,
    },
}

/// The order of the rows, epoch by epoch. One stream of random numbers continues from each epoch to
/// the next.
#[derive(Debug)]
pub struct BatchOrder {
    generator: Generator,
}

#[derive(Debug)]
enum Generator {
    None,
    NumpyLegacy(Box<Mt>),
    ChaCha(Box<ChaCha8Rng>),
}

impl BatchOrder {
    /// Starts the stream.
    pub fn new(shuffle: Shuffle) -> Self {
        let generator = match shuffle {
            Shuffle::None => Generator::None,
            Shuffle::NumpyLegacy { seed } => Generator::NumpyLegacy(Box::new(Mt::new(seed))),
            Shuffle::ChaCha { seed } => Generator::ChaCha(Box::new(ChaCha8Rng::seed_from_u64(seed))),
        };
        Self { generator }
    }

    /// Skips `epochs` epochs of `n_rows` rows, as if they had been drawn.
    pub fn skip(&mut self, epochs: usize, n_rows: usize) {
        if !matches!(self.generator, Generator::None) {
            for _ in 0..epochs {
                self.next_order(n_rows);
            }
        }
    }

    /// Returns `0..n_rows` in the order of the next epoch.
    pub fn next_epoch(&mut self, n_rows: usize) -> Vec<usize> {
        self.next_order(n_rows).range(0..n_rows).collect()
    }

    /// Like [`next_epoch`](Self::next_epoch), with less memory: four bytes a row for a shuffled
    /// order, none for the order of the file.
    ///
    /// # Panics
    /// Panics if there are 2^32 rows or more; an IDX file cannot have that many.
    pub fn next_order(&mut self, n_rows: usize) -> Order {
        let shuffled = |shuffle: &mut dyn FnMut(&mut [u32])| {
            let mut rows: Vec<u32> = (0..u32::try_from(n_rows).expect("fewer than 2^32 rows")).collect();
            shuffle(&mut rows);
            Order(RowOrder::Drawn(rows))
        };
        match &mut self.generator {
            Generator::None => Order::of_file(n_rows),
            Generator::NumpyLegacy(twister) => shuffled(&mut |rows| shuffle_like_numpy(rows, twister)),
            Generator::ChaCha(rng) => shuffled(&mut |rows| rows.shuffle(rng)),
        }
    }
}

/// The order of an epoch's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order(RowOrder);

#[derive(Clone, Debug, PartialEq, Eq)]
enum RowOrder {
    OfFile(usize),
    Drawn(Vec<u32>),
}

impl Order {
    /// Creates the order `0..n_rows`.
    pub fn of_file(n_rows: usize) -> Self {
        Self(RowOrder::OfFile(n_rows))
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        match &self.0 {
            RowOrder::OfFile(rows) => *rows,
            RowOrder::Drawn(rows) => rows.len(),
        }
    }

    /// Returns whether the order has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the row at a position of the order.
    ///
    /// # Panics
    /// Panics if the position is past the end.
    pub fn get(&self, position: usize) -> usize {
        match &self.0 {
            RowOrder::OfFile(n) => {
                assert!(position < *n, "position {position} of {n}");
                position
            }
            RowOrder::Drawn(rows) => rows[position] as usize,
        }
    }

    /// Returns the rows at these positions of the order.
    ///
    /// # Panics
    /// Panics if `positions` goes past the end.
    pub fn range(&self, positions: Range<usize>) -> impl ExactSizeIterator<Item = usize> + Clone {
        assert!(
            positions.start <= positions.end && positions.end <= self.len(),
            "positions {positions:?} of {}",
            self.len()
        );
        positions.map(|position| match &self.0 {
            RowOrder::OfFile(_) => position,
            RowOrder::Drawn(rows) => rows[position] as usize,
        })
    }
}

/// NumPy's legacy `RandomState.shuffle`: Fisher-Yates from the end, each index drawn by masked
/// rejection (`random_interval` in numpy/random/src/distributions/distributions.c, the branch for
/// at most 32 bits).
fn shuffle_like_numpy(rows: &mut [u32], twister: &mut Mt) {
    for last in (1..rows.len()).rev() {
        let largest = u32::try_from(last).expect("fewer than 2^32 rows");
        let mask = u32::MAX >> largest.leading_zeros();
        let drawn = loop {
            let candidate = twister.next_u32() & mask;
            if candidate <= largest {
                break candidate;
            }
        };
        rows.swap(last, drawn as usize);
    }
}
