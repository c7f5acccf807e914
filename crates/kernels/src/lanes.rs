//! Vectors of sixteen numbers, with their arithmetic.
//!
//! Every operation is a plain loop, which the compiler vectorises. A helper that takes a closure
//! would be shorter. But the compiler might not inline it, and then it would be compiled without
//! the vector instructions of its caller.

use crate::real::Real;

/// Number of lanes of a vector. It is also the number of features in a block, and the number of
/// rows in a group: rows whose losses are computed together.
pub(crate) const LANES: usize = 16;

/// A vector of numbers: one per feature of a block, or one per row of a group.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lanes<T>(pub(crate) [T; LANES]);

impl<T: Real> Lanes<T> {
    pub(crate) const ZERO: Self = Self([T::ZERO; LANES]);

    /// Converts bytes to floats.
    #[inline(always)]
    pub(crate) fn from_bytes(bytes: &[u8; LANES]) -> Self {
        let mut lanes = Self::ZERO;
        for lane in 0..LANES {
            lanes.0[lane] = T::from_u8(bytes[lane]);
        }
        lanes
    }

    /// `self += a * b`
    #[inline(always)]
    pub(crate) fn add_product<const FMA: bool>(&mut self, a: &Self, b: &Self) {
        for lane in 0..LANES {
            self.0[lane] = a.0[lane].multiply_add::<FMA>(b.0[lane], self.0[lane]);
        }
    }

    /// `self += a * x`
    #[inline(always)]
    pub(crate) fn add_scaled<const FMA: bool>(&mut self, a: &Self, x: T) {
        for lane in 0..LANES {
            self.0[lane] = a.0[lane].multiply_add::<FMA>(x, self.0[lane]);
        }
    }

    /// `self += other`
    #[inline(always)]
    pub(crate) fn add(&mut self, other: &Self) {
        for lane in 0..LANES {
            self.0[lane] += other.0[lane];
        }
    }

    /// Returns the sum of all lanes, added in f64.
    #[inline(always)]
    pub(crate) fn sum_f64(&self) -> f64 {
        let mut lanes = [0.0; LANES];
        for lane in 0..LANES {
            lanes[lane] = self.0[lane].to_f64();
        }
        Lanes(lanes).sum()
    }

    /// Returns four partial sums of the lanes. [`add_partial_sums`] adds them up.
    #[inline(always)]
    pub(crate) fn partial_sums(&self) -> [T; 4] {
        let [mut half, mut quarter] = [[T::ZERO; 8], [T::ZERO; 8]];
        for lane in 0..8 {
            half[lane] = self.0[lane] + self.0[lane + 8];
        }
        for lane in 0..4 {
            quarter[lane] = half[lane] + half[lane + 4];
        }
        let [a, b, c, d, ..] = quarter;
        [a, b, c, d]
    }

    /// Returns the sum of all lanes, by repeated halving.
    #[inline(always)]
    pub(crate) fn sum(&self) -> T {
        let mut lanes = self.0;
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
        }
        lanes[0]
    }
}

/// Adds up the four partial sums of each of sixteen rows. Returns one sum per row.
///
/// [`Lanes::partial_sums`] is a separate step for speed. Compilers turn that step into shuffles,
/// and this one into wide loads. They turn a single step into gathers, which are slow.
#[inline(always)]
pub(crate) fn add_partial_sums<T: Real>(rows: &[[T; 4]; LANES]) -> Lanes<T> {
    let mut sums = Lanes::ZERO;
    for (sum, [a, b, c, d]) in sums.0.iter_mut().zip(rows) {
        *sum = (*a + *b) + (*c + *d);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::{LANES, Lanes, add_partial_sums};

    #[test]
    fn partial_sums_add_up_to_the_sum_of_each_row() {
        let rows: [Lanes<f64>; LANES] =
            std::array::from_fn(|row| Lanes(std::array::from_fn(|lane| (row * row * 17 + lane * (row + 3)) as f64)));
        let expected = rows.map(|row| row.0.iter().sum::<f64>());
        assert_eq!(add_partial_sums(&rows.map(|row| row.partial_sums())).0, expected);
        assert_eq!(rows.map(|row| row.sum()), expected);
    }
}
