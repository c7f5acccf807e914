//! What an evaluation needs of numbers, and jets, which carry derivatives.

use crate::real::Real;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// What the evaluator needs of a number. A library for automatic differentiation can implement it
/// for its scalars, and so be a further witness of a derivative.
pub trait Number: Clone {
    /// Returns a constant.
    fn constant(value: Real) -> Self;
    /// Returns the value without derivatives.
    fn real(&self) -> Real;
    /// Returns the sum.
    fn add(&self, other: &Self) -> Self;
    /// Returns the product.
    fn mul(&self, other: &Self) -> Self;
    /// Returns the negative.
    fn neg(&self) -> Self;
    /// Returns the reciprocal. It is not defined at zero.
    fn recip(&self) -> Self;
    /// Returns e to the power of this number.
    fn exp(&self) -> Self;
    /// Returns the natural logarithm.
    fn ln(&self) -> Self;
    /// Returns this number to the power of an integer.
    fn powi(&self, exponent: i32) -> Self;
    /// Returns the number plus an infinitesimal of a level, if the type supports derivatives inside
    /// of formulas.
    fn perturb(&self, level: usize) -> Option<Self>;
    /// Returns the derivative by the infinitesimal of a level.
    fn slope(&self, level: usize) -> Option<Self>;

    /// Returns the difference.
    fn sub(&self, other: &Self) -> Self {
        self.add(&other.neg())
    }
    /// Returns the quotient.
    fn div(&self, other: &Self) -> Self {
        self.mul(&other.recip())
    }
    /// Returns this number to the power of another.
    fn pow(&self, exponent: &Self) -> Self {
        match exponent.constant_integer() {
            Some(integer) => self.powi(integer),
            None => self.ln().mul(exponent).exp(),
        }
    }
    /// Returns the integer that this number is, if it is a constant integer.
    fn constant_integer(&self) -> Option<i32> {
        self.real().as_integer(64.0)
    }
    /// Returns the hyperbolic tangent.
    fn tanh(&self) -> Self {
        let one = Self::constant(Real::ONE);
        if self.real().value() < 0.0 {
            return self.neg().tanh().neg();
        }
        let t = self.add(self).neg().exp();
        one.sub(&t).div(&one.add(&t))
    }
    /// Returns the logistic function.
    fn sigmoid(&self) -> Self {
        let one = Self::constant(Real::ONE);
        if self.real().value() < 0.0 {
            let e = self.exp();
            e.div(&one.add(&e))
        } else {
            one.add(&self.neg().exp()).recip()
        }
    }
    /// Returns the square root.
    fn sqrt(&self) -> Self {
        match self.constant_integer() {
            Some(0) => self.clone(),
            _ => self.ln().mul(&Self::constant(Real::new(0.5))).exp(),
        }
    }
    /// Returns the larger of two numbers. Where variable numbers are equal, it is not defined,
    /// because it has a kink there.
    fn max(&self, other: &Self) -> Self {
        if let (Some(a), Some(b)) = (self.constant_integer(), other.constant_integer()) {
            return if a >= b { self.clone() } else { other.clone() };
        }
        let difference = self.real().sub(other.real());
        if !difference.is_nonzero() {
            return Self::constant(Real::UNDEFINED);
        }
        if difference.value() > 0.0 { self.clone() } else { other.clone() }
    }
}

/// The number of levels of a [`Jet`]: a derivative inside of a derivative needs two.
pub(crate) const LEVELS: usize = 2;

/// A number with its derivatives: an element of the algebra of `e1` and `e2` with `e1² = e2² = 0`.
///
/// `parts[s]` is the coefficient of the product of the infinitesimals in the bit set `s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jet {
    parts: [Real; 1 << LEVELS],
    /// The bit set of the levels that occur. Most numbers have none, which saves time.
    active: usize,
}

impl Jet {
    /// Returns f(self), given f and its first two derivatives at the value.
    fn chain(&self, f: Real, first: Real, second: impl FnOnce() -> Real) -> Self {
        let a = &self.parts;
        let mut parts = [f, Real::ZERO, Real::ZERO, Real::ZERO];
        if self.active & 1 != 0 {
            parts[1] = first.mul(a[1]);
        }
        if self.active & 2 != 0 {
            parts[2] = first.mul(a[2]);
        }
        if self.active == 3 {
            parts[3] = first.mul(a[3]).add(second().mul(a[1]).mul(a[2]));
        }
        Self { parts, active: self.active }
    }
}

impl Number for Jet {
    fn constant(value: Real) -> Self {
        Self { parts: [value, Real::ZERO, Real::ZERO, Real::ZERO], active: 0 }
    }

    fn real(&self) -> Real {
        self.parts[0]
    }

    fn add(&self, other: &Self) -> Self {
        let mut sum = *self;
        sum.active |= other.active;
        for (set, part) in sum.parts.iter_mut().enumerate() {
            if set & !sum.active == 0 {
                *part = part.add(other.parts[set]);
            }
        }
        sum
    }

    fn mul(&self, other: &Self) -> Self {
        let active = self.active | other.active;
        let mut parts = [Real::ZERO; 1 << LEVELS];
        for (set, part) in parts.iter_mut().enumerate() {
            for left in (0..=set).filter(|left| left & !set == 0) {
                let right = set & !left;
                if left & !self.active == 0 && right & !other.active == 0 {
                    *part = part.add(self.parts[left].mul(other.parts[right]));
                }
            }
        }
        Self { parts, active }
    }

    fn neg(&self) -> Self {
        Self { parts: self.parts.map(Real::neg), active: self.active }
    }

    fn recip(&self) -> Self {
        let r = Real::ONE.div(self.parts[0]);
        let square = r.mul(r);
        self.chain(r, square.neg(), || square.mul(r).mul(Real::new(2.0)))
    }

    fn div(&self, other: &Self) -> Self {
        if self.active | other.active == 0 {
            return Self::constant(self.parts[0].div(other.parts[0]));
        }
        self.mul(&other.recip())
    }

    fn exp(&self) -> Self {
        let e = self.parts[0].exp();
        self.chain(e, e, || e)
    }

    fn ln(&self) -> Self {
        let r = Real::ONE.div(self.parts[0]);
        self.chain(self.parts[0].ln(), r, || r.mul(r).neg())
    }

    fn powi(&self, exponent: i32) -> Self {
        let (a, n) = (self.parts[0], Real::new(f64::from(exponent)));
        match exponent {
            0 => Self::constant(Real::ONE),
            1 => *self,
            _ => self.chain(a.powi(exponent), n.mul(a.powi(exponent - 1)), || {
                n.mul(n.sub(Real::ONE)).mul(a.powi(exponent - 2))
            }),
        }
    }

    fn constant_integer(&self) -> Option<i32> {
        if self.active == 0 { self.parts[0].as_integer(64.0) } else { None }
    }

    fn perturb(&self, level: usize) -> Option<Self> {
        let bit = 1 << level;
        (level < LEVELS && self.active & bit == 0).then(|| {
            let mut sum = *self;
            sum.active |= bit;
            sum.parts[bit] = Real::ONE;
            sum
        })
    }

    fn slope(&self, level: usize) -> Option<Self> {
        let bit = 1 << level;
        if level >= LEVELS {
            return None;
        }
        if !self.parts[0].is_defined() {
            return Some(Self::constant(Real::UNDEFINED));
        }
        let mut parts = [Real::ZERO; 1 << LEVELS];
        for set in (0..parts.len()).filter(|set| set & bit == 0) {
            parts[set] = self.parts[set | bit];
        }
        Some(Self { parts, active: self.active & !bit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second derivative, by two levels: (x³)'' = 6 x, and (ln σ)'' = -σ (1 - σ).
    #[test]
    fn jets_have_second_derivatives() {
        let x = Jet::constant(Real::new(0.7)).perturb(0).and_then(|x| x.perturb(1)).expect("two levels");
        let second = |y: Jet| y.slope(0).and_then(|y| y.slope(1)).expect("two levels").real().value();
        assert!((second(x.powi(3)) - 4.2).abs() < 1e-14);
        let s = 1.0 / (1.0 + (-0.7f64).exp());
        assert!((second(x.sigmoid().ln()) + s * (1.0 - s)).abs() < 1e-14);
        assert!((second(x.tanh()) + 2.0 * 0.7f64.tanh() * (1.0 - 0.7f64.tanh().powi(2))).abs() < 1e-14);
        assert!(x.perturb(0).is_none() && x.perturb(2).is_none());
    }
}
