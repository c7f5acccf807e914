//! Double-double numbers with a bound on their error.
//!
//! A difference between two formulas counts only if it is larger than the bounds on both errors.
//! So rounding never makes a right formula look wrong, and a small difference is not lost in it.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// The unit roundoff assumed for one operation. A double-double has 106 bits; the rest is reserve.
const UNIT: f64 = 1.0 / (1u128 << 98) as f64;

/// The relative error assumed for `exp` and `ln`. Their scaling loses ten more bits.
const FUNCTION_UNIT: f64 = 1.0 / (1u128 << 88) as f64;

/// A real number of about 30 digits with a bound on its error.
///
/// It is `hi + lo`, and the true value is within `error` of it. A result that is not defined, like
/// the logarithm of a negative number, is not a number. A result that may or may not be defined has
/// an infinite error.
#[derive(Clone, Copy, Debug)]
pub struct Real {
    hi: f64,
    lo: f64,
    error: f64,
}

fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

fn quick_two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    (sum, b - (sum - a))
}

impl Real {
    /// Zero.
    pub const ZERO: Self = Self { hi: 0.0, lo: 0.0, error: 0.0 };
    /// One.
    pub const ONE: Self = Self { hi: 1.0, lo: 0.0, error: 0.0 };
    /// Not a number: the result of an operation that is not defined.
    pub const UNDEFINED: Self = Self { hi: f64::NAN, lo: 0.0, error: f64::INFINITY };
    const LN_2: Self = Self { hi: std::f64::consts::LN_2, lo: 2.319_046_813_846_299_6e-17, error: 0.0 };
    /// The ratio of a circle's circumference to its diameter.
    pub const PI: Self = Self { hi: std::f64::consts::PI, lo: 1.224_646_799_147_353_2e-16, error: 1e-32 };

    /// Returns the exact value of an f64.
    pub const fn new(value: f64) -> Self {
        Self { hi: value, lo: 0.0, error: 0.0 }
    }

    /// Returns the nearest f64.
    pub fn value(self) -> f64 {
        self.hi + self.lo
    }

    /// Returns the bound on the error.
    pub fn error(self) -> f64 {
        self.error
    }

    /// Returns whether the value is finite and its error too.
    pub fn is_defined(self) -> bool {
        self.hi.is_finite() && self.error.is_finite()
    }

    /// Returns whether the value is certainly not zero.
    pub fn is_nonzero(self) -> bool {
        self.hi.abs() > self.error * 1.001
    }

    /// Returns the value if it is an integer of at most `limit` in absolute value.
    pub fn as_integer(self, limit: f64) -> Option<i32> {
        (self.lo == 0.0 && self.error == 0.0 && self.hi.fract() == 0.0 && self.hi.abs() <= limit)
            .then_some(self.hi as i32)
    }

    fn rounded(hi: f64, lo: f64, error: f64, unit: f64) -> Self {
        if !hi.is_finite() {
            return Self::UNDEFINED;
        }
        if unit == 0.0 {
            return Self { hi, lo, error };
        }
        // Below the smallest normal number, the error is absolute. The bound itself can underflow,
        // too, when it is multiplied by a tiny number: so it is never less than the second number.
        let underflow = if hi.abs() < 1e-280 && hi != 0.0 { 1e-300 } else { 1e-315 };
        Self { hi, lo, error: error + unit * hi.abs() + underflow }
    }

    /// Returns e to the power of this number.
    pub fn exp(self) -> Self {
        if !self.is_defined() || self.hi > 700.0 {
            return Self::UNDEFINED;
        }
        if self.hi < -690.0 {
            return Self { hi: 0.0, lo: 0.0, error: 1e-299 };
        }
        // e^a = 2^k (e^(r / 512))^512 with a = k ln 2 + r, and e^x - 1 by its series.
        let k = (self.hi / std::f64::consts::LN_2).round();
        let exact = Self { error: 0.0, ..self };
        let r = exact.sub(Self::LN_2.mul(Self::new(k))).mul(Self::new(1.0 / 512.0));
        let mut term = r;
        let mut sum = r;
        for n in 2..=11 {
            term = term.mul(r).div(Self::new(f64::from(n)));
            sum = sum.add(term);
        }
        for _ in 0..9 {
            sum = sum.add(sum).add(sum.mul(sum));
        }
        let value = sum.add(Self::ONE);
        let scale = 2f64.powi(k as i32);
        let (hi, lo) = (value.hi * scale, value.lo * scale);
        let error = if self.error > 1.0 { f64::INFINITY } else { hi * self.error * 1.8 };
        Self::rounded(hi, lo, error, FUNCTION_UNIT)
    }

    /// Returns the natural logarithm. It is not defined for numbers that are not positive.
    pub fn ln(self) -> Self {
        if !self.is_defined() || self.hi <= 0.0 {
            return Self::UNDEFINED;
        }
        let exact = Self { error: 0.0, ..self };
        let mut x = Self::new(self.hi.ln());
        for _ in 0..2 {
            // Newton's method for e^x = a.
            let step = exact.mul(x.neg().exp()).sub(Self::ONE);
            x = Self { error: 0.0, ..x.add(step) };
        }
        let smallest = self.hi - self.error;
        let error = if smallest <= 0.0 { f64::INFINITY } else { self.error / smallest * 1.001 };
        Self::rounded(x.hi, x.lo, error + FUNCTION_UNIT, FUNCTION_UNIT)
    }

    /// Returns this number to the power of an integer.
    pub fn powi(self, exponent: i32) -> Self {
        let mut result = Self::ONE;
        let mut base = self;
        let mut left = exponent.unsigned_abs();
        while left > 0 {
            if left & 1 == 1 {
                result = result.mul(base);
            }
            base = base.mul(base);
            left >>= 1;
        }
        if exponent < 0 { Self::ONE.div(result) } else { result }
    }

    /// Returns whether this number certainly differs from another.
    pub fn differs(self, other: Self) -> bool {
        let difference = self.sub(other);
        difference.is_defined() && difference.is_nonzero()
    }
}

impl Add for Real {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let (s, e) = two_sum(self.hi, other.hi);
        let (t, f) = two_sum(self.lo, other.lo);
        let (s, e) = quick_two_sum(s, e + t);
        let (s, e) = quick_two_sum(s, e + f);
        // A sum of two integers or short fractions is exact.
        let exact =
            self.error + other.error == 0.0 && e == 0.0 && t == 0.0 && s.abs() < 1e15 && (s * 1024.0).fract() == 0.0;
        Self::rounded(s, e, self.error + other.error, if exact { 0.0 } else { UNIT })
    }
}

impl Neg for Real {
    type Output = Self;

    fn neg(self) -> Self {
        Self { hi: -self.hi, lo: -self.lo, ..self }
    }
}

impl Sub for Real {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.add(other.neg())
    }
}

impl Mul for Real {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let p = self.hi * other.hi;
        let e = self.hi.mul_add(other.hi, -p) + (self.hi * other.lo + self.lo * other.hi);
        let (p, e) = quick_two_sum(p, e);
        let error = self.hi.abs() * other.error + other.hi.abs() * self.error + self.error * other.error;
        let is_zero = (self.hi == 0.0 && self.error == 0.0) || (other.hi == 0.0 && other.error == 0.0);
        let is_short = e == 0.0 && self.lo == 0.0 && other.lo == 0.0 && p.abs() > 1e-280;
        let exact = error == 0.0 && (is_zero || is_short);
        // Zero times an unbounded error is not a bounded number.
        let error = if error.is_nan() { f64::INFINITY } else { error * 1.001 };
        // A product of numbers that are not zero can underflow to zero.
        let lost = if p == 0.0 && self.hi != 0.0 && other.hi != 0.0 { 1e-300 } else { 0.0 };
        Self::rounded(p, e, error + lost, if exact { 0.0 } else { UNIT })
    }
}

impl Div for Real {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        if !other.is_defined() || other.hi == 0.0 {
            return Self::UNDEFINED;
        }
        let exact = |value: Self| Self { error: 0.0, ..value };
        let (a, b) = (exact(self), exact(other));
        let q1 = a.hi / b.hi;
        let r = a.sub(b.mul(Self::new(q1)));
        let q2 = r.hi / b.hi;
        let q3 = r.sub(b.mul(Self::new(q2))).hi / b.hi;
        let (q, e) = quick_two_sum(q1, q2);
        let (q, e) = quick_two_sum(q, e + q3);
        let smallest = other.hi.abs() - other.error;
        let error =
            if smallest <= 0.0 { f64::INFINITY } else { (self.error + q.abs() * other.error) / smallest * 1.001 };
        Self::rounded(q, e, error, UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// exp and ln are inverse, and the bound contains the distance and is small.
    #[test]
    fn functions_are_within_their_bounds() {
        for x in [-600.0, -37.5, -1.0, -1e-9, 1e-30, 0.3, 1.0, 5.0, 88.0, 650.0] {
            let back = Real::new(x).exp().ln();
            let distance = back.sub(Real::new(x));
            assert!(distance.value().abs() <= back.error(), "{x}: {back:?}");
            assert!(back.error() < 1e-22, "{x}: {back:?}");
        }
        // e, to 32 digits, from its continued fraction.
        let e = Real { hi: std::f64::consts::E, lo: 1.445_646_891_729_250_2e-16, error: 1e-31 };
        assert!(!Real::ONE.exp().differs(e));
        assert!(Real::ONE.exp().differs(e.add(Real::new(1e-24))));
    }

    #[test]
    fn what_is_not_defined_is_not_a_number() {
        let zero = Real::new(0.5).sub(Real::new(0.5));
        assert!(!Real::ONE.div(zero).is_defined());
        assert!(!Real::new(-1.0).ln().is_defined());
        assert!(!Real::new(0.0).ln().is_defined());
        // A third three times, minus one: zero up to the error, so the quotient is not known.
        let third = Real::ONE.div(Real::new(3.0));
        let unknown = third.add(third).add(third).sub(Real::ONE);
        assert!(!unknown.is_nonzero());
        assert!(!Real::ONE.div(unknown).is_defined());
    }

    /// The bound itself must not underflow: this product of a number below the range with a large
    /// one is 1e-278, and not zero without an error.
    #[test]
    fn numbers_below_the_range_keep_an_error() {
        let tiny = Real::new(1e-174);
        let product = tiny.mul(tiny).mul(Real::new(1e-104)).mul(Real::new(1e174));
        assert!(!product.differs(Real::new(1e-278)), "{product:?}");
        assert!(!Real::ZERO.mul(Real::new(3.0)).differs(Real::ZERO) && Real::ZERO.mul(tiny).error() == 0.0);
    }
}
