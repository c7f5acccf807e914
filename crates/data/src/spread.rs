/// How far some numbers lie apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) smallest: f64,
    pub(crate) largest: f64,
    pub(crate) are_whole: bool,
}

/// The smallest standard deviation by which numbers are divided. The largest number of a table
/// ([`MAX_ABS_VALUE`](chainrule_core::MAX_ABS_VALUE)) stays finite then.
pub(crate) const MIN_SCALE: f64 = 1e-200;

/// Numbers that differ by less, relative to their size, may differ by rounding only: three
/// roundings, as in `0.1 + 0.2` beside `0.3`.
const ROUNDING: f64 = 3.0 * f64::EPSILON;

impl Default for Spread {
    fn default() -> Self {
        Self { smallest: f64::INFINITY, largest: f64::NEG_INFINITY, are_whole: true }
    }
}

impl Spread {
    /// Adds a number.
    pub(crate) fn add(&mut self, number: f64) {
        self.smallest = self.smallest.min(number);
        self.largest = self.largest.max(number);
        self.are_whole &= number.fract() == 0.0;
    }

    /// Returns the largest difference of two numbers.
    pub(crate) fn width(&self) -> f64 {
        self.largest - self.smallest
    }

    /// Returns whether all numbers are the same up to rounding. Whole numbers are exact.
    pub(crate) fn is_constant(&self) -> bool {
        let rounding = if self.are_whole { 0.0 } else { ROUNDING * self.largest.abs().max(self.smallest.abs()) };
        self.width() <= rounding
    }
}
