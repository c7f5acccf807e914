//! Vectors of sixteen numbers. The code consists of loops. The compiler might not inline a function
//! that takes a closure, and the function would then lack the instructions of its caller.

use crate::patches::BLOCK;
use crate::real::Real;

/// One number per feature of a block, or per row of a group of sixteen.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Lanes<T>(pub(crate) [T; BLOCK]);

impl<T: Real> Lanes<T> {
    pub(crate) const ZERO: Self = Self([T::ZERO; BLOCK]);

    /// Converts bytes to floats.
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

    /// Returns four partial sums of the lanes.
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

/// Returns the sum of each of sixteen rows from its four partial sums. [`Lanes::quarter`] computes
/// those in a step of its own: compilers turn that step into shuffles, and this one into wide
/// loads. A single step would become gathers, which are slow.
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
