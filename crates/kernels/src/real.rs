//! The two float types, with the operations that the kernels need. Compilers can vectorise all of
//! them.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// `f32` or `f64`.
pub(crate) trait Real:
    Copy
    + Debug
    + Send
    + Sync
    + PartialOrd
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// Negative infinity. Its exponential is 0.
    const NEG_INFINITY: Self;

    /// Converts to the nearest number of this type.
    fn from_f64(x: f64) -> Self;

    /// Converts from f32, without rounding.
    fn from_f32(x: f32) -> Self;

    /// Converts to f64, without rounding.
    fn to_f64(self) -> f64;

    /// Converts a byte.
    fn from_u8(x: u8) -> Self;

    /// Returns `self * a + b`. With `FMA` the result is rounded once, without it twice.
    fn multiply_add<const FMA: bool>(self, a: Self, b: Self) -> Self;

    /// Returns `exp(self)` for `self <= 0`, with an error below two units in the last place.
    /// Returns 0 below -87 (f32) or -708 (f64), where the result is near the smallest normal
    /// number.
    ///
    /// The method is `exp(x) = 2^n exp(x - n ln 2)`, where n is the integer nearest to `x / ln 2`.
    /// A Taylor polynomial gives the second factor. There is no branch, so compilers vectorise
    /// loops of calls.
    fn exp_nonpositive<const FMA: bool>(self) -> Self;
}

// Implements `Real` for the type `$float`.
//
// - `$mantissa_bits`: the number of explicit mantissa bits
// - `$exponent_bias`: the bias of the exponent
// - `$rounding_constant`: 1.5 * 2^mantissa_bits
// - `$lowest`: the smallest argument of the exponential with a result above 0
// - `$ln2`: the two parts of ln 2
// - `$taylor`: the coefficients of the Taylor polynomial, the highest power first
macro_rules! real {
    (
        $float:ty,
        $mantissa_bits:literal,
        $exponent_bias:literal,
        $rounding_constant:literal,
        $lowest:literal,
        $ln2:expr,
        $taylor:expr
    ) => {
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = <$float>::NEG_INFINITY;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $float
            }

            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                Self::from(x)
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn from_u8(x: u8) -> Self {
                Self::from(x)
            }

            #[inline(always)]
            fn multiply_add<const FMA: bool>(self, a: Self, b: Self) -> Self {
                if FMA { self.mul_add(a, b) } else { self * a + b }
            }

            #[inline(always)]
            fn exp_nonpositive<const FMA: bool>(self) -> Self {
                // Adding 1.5 * 2^mantissa_bits rounds x / ln 2 to an integer. The integer is then
                // in the lowest bits of the sum.
                let rounded = self.multiply_add::<FMA>(std::f64::consts::LOG2_E as $float, $rounding_constant);
                let n = rounded - $rounding_constant;
                let [high, low] = $ln2;
                let remainder = n.multiply_add::<FMA>(-low, n.multiply_add::<FMA>(-high, self));
                let mut polynomial: $float = $taylor[0];
                for &coefficient in &$taylor[1..] {
                    polynomial = polynomial.multiply_add::<FMA>(remainder, coefficient);
                }
                let power_of_two = <$float>::from_bits(
                    (rounded.to_bits() << $mantissa_bits).wrapping_add($exponent_bias << $mantissa_bits),
                );
                if self < $lowest { 0.0 } else { polynomial * power_of_two }
            }
        }
    };
}

// ln 2 is the sum of two numbers. The first has few significant bits, so its product with n is
// exact.
real!(
    f32,
    23,
    127,
    12_582_912.0,
    -87.0,
    [0.693_145_75_f32, 1.428_606_8e-6],
    [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0]
);
real!(
    f64,
    52,
    1023,
    6_755_399_441_055_744.0,
    -708.0,
    [0.693_147_180_369_123_8_f64, 1.908_214_929_270_587_7e-10],
    [
        1.0 / 6_227_020_800.0,
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0
    ]
);

#[cfg(test)]
mod tests {
    use super::Real;

    /// Returns the largest relative error of the exponential from `lowest` to 0, in units of
    /// `unit`. The standard library gives the exact values.
    fn max_error<T: Real, const FMA: bool>(lowest: f64, unit: f64) -> f64 {
        let points = (0..=200_000).map(|i| T::from_f64(lowest * f64::from(i) / 200_000.0));
        let errors = points.map(|x| (x.exp_nonpositive::<FMA>().to_f64() / x.to_f64().exp() - 1.0).abs() / unit);
        errors.fold(0.0, |a: f64, b| if b <= a { a } else { b })
    }

    #[test]
    fn exponential_has_an_error_below_two_units_in_the_last_place() {
        let errors = [
            max_error::<f32, true>(-86.9, f64::from(f32::EPSILON)),
            max_error::<f32, false>(-86.9, f64::from(f32::EPSILON)),
            max_error::<f64, true>(-707.9, f64::EPSILON),
            max_error::<f64, false>(-707.9, f64::EPSILON),
        ];
        assert!(errors.iter().all(|&units| units < 2.0), "{errors:?}");
    }

    #[test]
    fn exponential_underflows_to_zero_and_keeps_nan() {
        for x in [-87.1, -1e30, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(x.exp_nonpositive::<true>(), 0.0);
        }
        assert_eq!((0.0f32.exp_nonpositive::<true>(), 0.0f64.exp_nonpositive::<false>()), (1.0, 1.0));
        assert!(f32::NAN.exp_nonpositive::<true>().is_nan() && f64::NAN.exp_nonpositive::<false>().is_nan());
        assert_eq!(f64::NEG_INFINITY.exp_nonpositive::<true>(), 0.0);
    }
}
