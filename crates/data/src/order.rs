use std::ops::Range;

use chacha20::ChaCha8Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_mt::Mt;

/// How the rows of an epoch are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    /// As they are in the file, every epoch.
    None,
    /// As `numpy.random.seed(seed)` and then `numpy.random.shuffle(list(range(n)))` every epoch
    /// would.
    NumpyLegacy {
        /// The seed.
        seed: u32,
    },
    /// A Fisher-Yates shuffle by `ChaCha8`.
    ChaCha {
        /// The seed.
        seed: u64,
    },
}

/// The order of the rows, epoch by epoch: one stream of random numbers that runs on from each epoch
/// to the next.
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

    /// Passes over `epochs` orders of `n_rows` rows, as if that many epochs had been made already.
    pub fn skip(&mut self, epochs: usize, n_rows: usize) {
        if !matches!(self.generator, Generator::None) {
            for _ in 0..epochs {
                self.next_order(n_rows);
            }
        }
    }

    /// The numbers `0..n_rows`, each once, in the order of the next epoch.
    pub fn next_epoch(&mut self, n_rows: usize) -> Vec<usize> {
        self.next_order(n_rows).range(0..n_rows).collect()
    }

    /// The same, in as little memory as it takes: four bytes a row where it is drawn, nothing where
    /// it is the file's.
    ///
    /// # Panics
    /// Where there are 2^32 rows or more: an IDX file cannot have them.
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
    /// `0..n_rows` as they are.
    pub fn of_file(n_rows: usize) -> Self {
        Self(RowOrder::OfFile(n_rows))
    }

    /// Rows in it.
    pub fn len(&self) -> usize {
        match &self.0 {
            RowOrder::OfFile(rows) => *rows,
            RowOrder::Drawn(rows) => rows.len(),
        }
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows at these places of the order.
    ///
    /// # Panics
    /// Where there are no such places.
    pub fn range(&self, places: Range<usize>) -> impl ExactSizeIterator<Item = usize> + Clone {
        assert!(places.start <= places.end && places.end <= self.len(), "places {places:?} of {}", self.len());
        places.map(|place| match &self.0 {
            RowOrder::OfFile(_) => place,
            RowOrder::Drawn(rows) => rows[place] as usize,
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
