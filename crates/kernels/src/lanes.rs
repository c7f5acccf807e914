//! Vectors. Loops throughout, since what is called with a closure may stay a call, which then lacks
//! its caller's instructions.

use crate::patches::BLOCK;
use crate::real::Real;

/// A number for each feature of a block, or for each row of a group of as many.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lanes<T>(pub(crate) [T; BLOCK]);

impl<T: Real> Lanes<T> {
    pub(crate) const ZERO: Self = Self([T::ZERO; BLOCK]);

    /// Bytes as floats.
    #[inline(always)]
    pub(crate) fn from_bytes(bytes: &[u8; BLOCK]) -> Self {
        let mut lanes = Self::ZERO;
        for lane in 0..BLOCK {
            lanes.0[lane] = T::from_u8(bytes[lane]);
        }
        lanes
    }

    /// `self += a * b`
    #[inline(always)]
    pub(crate) fn add_product<const FMA: bool>(&mut self, a: &Self, b: &Self) {
        for lane in 0..BLOCK {
            self.0[lane] = a.0[lane].times_plus::<FMA>(b.0[lane], self.0[lane]);
        }
    }

    /// `self += a * x`
    #[inline(always)]
    pub(crate) fn add_times<const FMA: bool>(&mut self, a: &Self, x: T) {
        for lane in 0..BLOCK {
            self.0[lane] = a.0[lane].times_plus::<FMA>(x, self.0[lane]);
        }
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, other: &Self) {
        for lane in 0..BLOCK {
            self.0[lane] += other.0[lane];
        }
    }

    /// Four numbers that have the same sum.
    #[inline(always)]
    pub(crate) fn quarter(&self) -> [T; 4] {
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

    /// The sum of all lanes, by halves.
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

/// The sum of each of sixteen rows, from its quarter sums. In two steps since compilers make
/// shuffles of the first and wide loads of the second, where all at once would become gathers,
/// which are slow.
#[inline(always)]
pub(crate) fn sum_quarters<T: Real>(rows: &[[T; 4]; BLOCK]) -> Lanes<T> {
    let mut sums = Lanes::ZERO;
    for (sum, [a, b, c, d]) in sums.0.iter_mut().zip(rows) {
        *sum = (*a + *b) + (*c + *d);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Lanes, sum_quarters};

    #[test]
    fn each_row_is_summed_in_its_own_lane() {
        let rows: [Lanes<f64>; BLOCK] =
            std::array::from_fn(|row| Lanes(std::array::from_fn(|lane| (row * row * 17 + lane * (row + 3)) as f64)));
        let expected = rows.map(|row| row.0.iter().sum::<f64>());
        assert_eq!(sum_quarters(&rows.map(|row| row.quarter())).0, expected);
        assert_eq!(rows.map(|row| row.sum()), expected);
    }
}
