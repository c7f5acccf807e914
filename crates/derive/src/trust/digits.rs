//! Numbers with 150 digits and derivatives: an evaluation that shares no arithmetic with the
//! checker.

use crate::number::{LEVELS, Number};
use crate::real::Real;

/// The digits to base 2^32 of the fraction, and of the whole number.
const FRACTION: usize = 16;
const LIMBS: usize = FRACTION + 8;
/// The digits of the whole number that are used, so that products fit: numbers are less than 2^96.
const USED: usize = FRACTION + 3;
/// Smaller numbers than this have no reciprocal and no logarithm: their powers would not fit.
const SMALLEST: f64 = 1e-12;
/// The digits to base 2 that have to agree: 332 are 100 decimal ones.
const AGREE: i32 = 332;
/// Below 2 to this power, all is rounding.
const NOTHING: i32 = -460;

/// A number with a fixed point, in two's complement, the lowest digits first.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fixed([u32; LIMBS]);

impl Fixed {
    const ZERO: Self = Self([0; LIMBS]);

    fn is_negative(self) -> bool {
        self.0[LIMBS - 1] >> 31 == 1
    }

    fn add(self, other: Self) -> Self {
        let mut carry = 0;
        let mut sum = Self::ZERO;
        for (place, limb) in sum.0.iter_mut().enumerate() {
            carry += u64::from(self.0[place]) + u64::from(other.0[place]);
            *limb = carry as u32;
            carry >>= 32;
        }
        sum
    }

    fn neg(self) -> Self {
        let mut one = Self::ZERO;
        one.0[0] = 1;
        Self(self.0.map(|limb| !limb)).add(one)
    }

    fn sub(self, other: Self) -> Self {
        self.add(other.neg())
    }

    fn abs(self) -> Self {
        if self.is_negative() { self.neg() } else { self }
    }

    fn mul(self, other: Self) -> Self {
        let (a, b) = (self.abs(), other.abs());
        let mut product = [0u32; 2 * LIMBS];
        for (i, &x) in a.0.iter().enumerate() {
            let mut carry = 0;
            for (j, &y) in b.0.iter().enumerate() {
                carry += u64::from(product[i + j]) + u64::from(x) * u64::from(y);
                product[i + j] = carry as u32;
                carry >>= 32;
            }
            product[i + LIMBS] = carry as u32;
        }
        let mut result = Self::ZERO;
        result.0.copy_from_slice(&product[FRACTION..FRACTION + LIMBS]);
        if self.is_negative() == other.is_negative() { result } else { result.neg() }
    }

    /// Divides by a small number.
    fn over(self, divisor: u32) -> Self {
        let mut rest = 0;
        let mut quotient = self.abs();
        for limb in quotient.0.iter_mut().rev() {
            rest = (rest << 32) | u64::from(*limb);
            *limb = (rest / u64::from(divisor)) as u32;
            rest %= u64::from(divisor);
        }
        if self.is_negative() { quotient.neg() } else { quotient }
    }

    fn new(value: f64) -> Self {
        let mut result = Self::ZERO;
        let mut rest = value.abs();
        for place in (0..LIMBS).rev() {
            let unit = 2f64.powi(32 * (place as i32 - FRACTION as i32));
            let limb = (rest / unit).floor();
            result.0[place] = limb as u32;
            rest -= limb * unit;
        }
        if value < 0.0 { result.neg() } else { result }
    }

    fn value(self) -> f64 {
        let size = |place: usize| 2f64.powi(32 * (place as i32 - FRACTION as i32));
        let sum: f64 = self.abs().0.iter().enumerate().map(|(place, &limb)| f64::from(limb) * size(place)).sum();
        if self.is_negative() { -sum } else { sum }
    }

    fn recip(self) -> Self {
        let mut r = Self::new(1.0 / self.value());
        for _ in 0..4 {
            r = r.mul(Self::new(2.0).sub(self.mul(r)));
        }
        r
    }

    fn exp(self) -> Self {
        // e^a = (e^(a / 2^k))^(2^k), by the series.
        let k = (self.value().abs() + 1.0).log2() as u32 + 16;
        let r = self.over(1 << k);
        let mut term = Self::new(1.0);
        let mut sum = term;
        for n in 1..30 {
            term = term.mul(r).over(n);
            sum = sum.add(term);
        }
        (0..k).fold(sum, |e, _| e.mul(e))
    }

    fn ln(self) -> Self {
        // Newton's method for e^x = a.
        let mut x = Self::new(self.value().ln());
        for _ in 0..4 {
            x = x.add(self.mul(x.neg().exp())).sub(Self::new(1.0));
        }
        x
    }
}

/// A number of which `parts[s]` is the coefficient of the infinitesimals in the bit set `s`. It has
/// no parts where it is not defined.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digits(Option<[Fixed; 1 << LEVELS]>);

impl Digits {
    /// Returns whether two numbers have 100 digits in common, if both are defined.
    pub(super) fn agrees(&self, other: &Self) -> Option<bool> {
        let (Some(a), Some(b)) = (self.0, other.0) else { return None };
        let distance = a[0].sub(b[0]).value().abs();
        let scale = a[0].value().abs().max(b[0].value().abs());
        Some(distance <= scale * 2f64.powi(-AGREE) || distance <= 2f64.powi(NOTHING))
    }

    /// Applies a function, given its value and its first two derivatives.
    fn apply(&self, f: impl Fn(Fixed) -> Option<[Fixed; 3]>) -> Self {
        Self(self.0.and_then(|a| {
            let [value, first, second] = f(a[0])?;
            let mixed = first.mul(a[3]).add(second.mul(a[1]).mul(a[2]));
            bounded([value, first.mul(a[1]), first.mul(a[2]), mixed])
        }))
    }
}

fn bounded(parts: [Fixed; 1 << LEVELS]) -> Option<[Fixed; 1 << LEVELS]> {
    parts.iter().all(|part| part.abs().0[USED..].iter().all(|limb| *limb == 0)).then_some(parts)
}

impl Number for Digits {
    fn constant(value: Real) -> Self {
        if !value.is_defined() || value.value().abs() >= 2f64.powi(96) {
            return Self(None);
        }
        let high = value.value();
        let low = (value - Real::new(high)).value();
        let zero = Fixed::ZERO;
        Self(Some([Fixed::new(high).add(Fixed::new(low)), zero, zero, zero]))
    }

    fn real(&self) -> Real {
        let Some(parts) = self.0 else { return Real::UNDEFINED };
        let high = parts[0].value();
        let low = parts[0].sub(Fixed::new(high)).value();
        if low == 0.0 { Real::new(high) } else { Real::new(high) + Real::new(low) }
    }

    fn add(&self, other: &Self) -> Self {
        let parts = self.0.zip(other.0).map(|(a, b)| std::array::from_fn(|set| a[set].add(b[set])));
        Self(parts.and_then(bounded))
    }

    fn mul(&self, other: &Self) -> Self {
        let product = |a: [Fixed; 1 << LEVELS], b: [Fixed; 1 << LEVELS]| {
            std::array::from_fn(|set| {
                let pairs = (0..=set).filter(|left| left & !set == 0).map(|left| (a[left], b[set & !left]));
                let nonzero = pairs.filter(|(a, b)| *a != Fixed::ZERO && *b != Fixed::ZERO);
                nonzero.fold(Fixed::ZERO, |sum, (a, b)| sum.add(a.mul(b)))
            })
        };
        Self(self.0.zip(other.0).map(|(a, b)| product(a, b)).and_then(bounded))
    }

    fn neg(&self) -> Self {
        Self(self.0.map(|parts| parts.map(Fixed::neg)))
    }

    fn recip(&self) -> Self {
        self.apply(|a| {
            (a.value().abs() > SMALLEST).then(|| {
                let r = a.recip();
                [r, r.mul(r).neg(), r.mul(r).mul(r).mul(Fixed::new(2.0))]
            })
        })
    }

    fn exp(&self) -> Self {
        self.apply(|a| (a.value().abs() < 66.0).then(|| [a.exp(); 3]))
    }

    fn ln(&self) -> Self {
        self.apply(|a| (a.value() > SMALLEST).then(|| [a.ln(), a.recip(), a.recip().mul(a.recip()).neg()]))
    }

    fn powi(&self, exponent: i32) -> Self {
        let base = if exponent < 0 { self.recip() } else { *self };
        (0..exponent.unsigned_abs()).fold(Self::constant(Real::ONE), |power, _| power.mul(&base))
    }

    fn constant_integer(&self) -> Option<i32> {
        let is_constant = self.0.is_some_and(|parts| parts[1..].iter().all(|part| *part == Fixed::ZERO));
        if is_constant { self.real().as_integer(64.0) } else { None }
    }

    fn perturb(&self, level: usize) -> Option<Self> {
        let bit = 1 << level;
        (level < LEVELS).then(|| {
            Self(self.0.map(|mut parts| {
                parts[bit] = parts[bit].add(Fixed::new(1.0));
                parts
            }))
        })
    }

    fn slope(&self, level: usize) -> Option<Self> {
        let bit = 1 << level;
        let rest =
            |parts: [Fixed; 1 << LEVELS], set: usize| if set & bit == 0 { parts[set | bit] } else { Fixed::ZERO };
        (level < LEVELS).then(|| Self(self.0.map(|parts| std::array::from_fn(|set| rest(parts, set)))))
    }
}

/// e to 100 digits, ln as its inverse, and the derivatives of a quotient.
#[test]
fn numbers_have_more_than_a_hundred_digits() {
    let number = |value: f64| Digits::constant(Real::new(value));
    // (1 + 1/2 (1 + 1/3 (1 + ...))) + 1 by Horner's rule, with divisions only.
    let e = (1..=120).rev().fold(Fixed::new(1.0), |sum, n| sum.over(n).add(Fixed::new(1.0)));
    assert!(e.sub(Fixed::new(1.0).exp()).value().abs() < 2f64.powi(NOTHING - 20));
    for x in [-24.0, -0.375, 1e-9, 1.0, 64.0] {
        assert_eq!(number(x).exp().ln().agrees(&number(x)), Some(true), "{x}");
        assert_eq!(number(x).exp().mul(&number(-x).exp()).agrees(&number(1.0)), Some(true), "{x}");
    }
    let third = number(3.0).recip();
    assert_eq!(third.mul(&number(3.0)).agrees(&number(1.0)), Some(true));
    assert_eq!(third.agrees(&Digits::constant(Real::ONE / Real::new(3.0))), Some(false));
    let x = number(0.75).perturb(0).and_then(|x| x.perturb(1)).expect("two levels");
    let second = x.recip().slope(0).and_then(|y| y.slope(1)).expect("two levels");
    assert_eq!(second.agrees(&number(2.0).mul(&number(0.75).powi(-3))), Some(true));
    assert_eq!(number(0.0).recip().agrees(&number(1.0)), None);
}
