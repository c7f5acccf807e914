//! Families of functions whose slopes are known by dual numbers.

use std::f64::consts::PI;
use std::ops::{Add, Div, Mul, Sub};

use rand::{Rng, RngExt};

/// A number in which a family is evaluated: f64, f32, or a value with its derivative.
pub(crate) trait Number:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + 'static
{
    fn of(x: f64) -> Self;
    fn value(self) -> f64;
    /// The function with these values and derivatives, given in f64 and f32.
    fn map(self, f64: fn(f64) -> f64, f32: fn(f32) -> f32, derivative: fn(f64) -> f64) -> Self;

    fn sin(self) -> Self {
        self.map(f64::sin, f32::sin, f64::cos)
    }
    fn cos(self) -> Self {
        self.map(f64::cos, f32::cos, |x| -x.sin())
    }
    fn exp(self) -> Self {
        self.map(f64::exp, f32::exp, f64::exp)
    }
    fn ln(self) -> Self {
        self.map(f64::ln, f32::ln, f64::recip)
    }
    fn sqrt(self) -> Self {
        self.map(f64::sqrt, f32::sqrt, |x| 0.5 / x.sqrt())
    }
    fn tanh(self) -> Self {
        self.map(f64::tanh, f32::tanh, |x| 1.0 - x.tanh().powi(2))
    }
    fn floor(self) -> Self {
        self.map(f64::floor, f32::floor, |_| 0.0)
    }
    fn relu(self) -> Self {
        if self.value() > 0.0 { self } else { Self::of(0.0) }
    }
    fn times(self, factor: f64) -> Self {
        self * Self::of(factor)
    }
    fn plus(self, term: f64) -> Self {
        self + Self::of(term)
    }
}

impl Number for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn value(self) -> f64 {
        self
    }
    fn map(self, f64: fn(f64) -> f64, _: fn(f32) -> f32, _: fn(f64) -> f64) -> Self {
        f64(self)
    }
}

impl Number for f32 {
    #[expect(clippy::cast_possible_truncation, reason = "the family is evaluated in f32")]
    fn of(x: f64) -> Self {
        x as f32
    }
    fn value(self) -> f64 {
        f64::from(self)
    }
    fn map(self, _: fn(f64) -> f64, f32: fn(f32) -> f32, _: fn(f64) -> f64) -> Self {
        f32(self)
    }
}

/// A value and its derivative.
#[derive(Clone, Copy)]
pub(crate) struct Dual(pub f64, pub f64);

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1)
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0, self.1 - other.1)
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0, self.0 * other.1 + self.1 * other.0)
    }
}

impl Div for Dual {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        Self(self.0 / other.0, (self.1 * other.0 - self.0 * other.1) / (other.0 * other.0))
    }
}

impl Number for Dual {
    fn of(x: f64) -> Self {
        Self(x, 0.0)
    }
    fn value(self) -> f64 {
        self.0
    }
    fn map(self, f64: fn(f64) -> f64, _: fn(f32) -> f32, derivative: fn(f64) -> f64) -> Self {
        Self(f64(self.0), self.1 * derivative(self.0))
    }
}

/// What a family is, for its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Smooth at the scale of the differences: at most 5 % of its slopes may be unresolved in f64.
    Smooth,
    /// Kinks, jumps, or rounding that hides the slope: any number may be unresolved.
    Rough,
}

/// A family of functions of one variable with random parameters.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Whether it is measured in f32, too.
    pub(crate) in_f32: bool,
    /// Draws a point and parameters.
    pub(crate) draw: fn(&mut dyn Rng) -> (f64, Vec<f64>),
    f64: fn(f64, &[f64]) -> f64,
    f32: fn(f32, &[f64]) -> f32,
    dual: fn(Dual, &[f64]) -> Dual,
}

impl Family {
    pub(crate) fn value(&self, x: f64, parameters: &[f64], in_f32: bool) -> f64 {
        if in_f32 { f64::from((self.f32)(f32::of(x), parameters)) } else { (self.f64)(x, parameters) }
    }

    pub(crate) fn slope(&self, x: f64, parameters: &[f64]) -> f64 {
        (self.dual)(Dual(x, 1.0), parameters).1
    }
}

macro_rules! family {
    ($name:literal, $kind:ident, $in_f32:literal, |$rng:ident| $draw:expr, $function:expr) => {{
        Family {
            name: $name,
            kind: Kind::$kind,
            in_f32: $in_f32,
            draw: |$rng| $draw,
            f64: $function,
            f32: $function,
            dual: $function,
        }
    }};
}

fn uniform(rng: &mut dyn Rng, min: f64, max: f64) -> f64 {
    rng.random_range(min..max)
}

fn log_uniform(rng: &mut dyn Rng, min: f64, max: f64) -> f64 {
    uniform(rng, min.ln(), max.ln()).exp()
}

fn normal(rng: &mut dyn Rng) -> f64 {
    (-2.0 * uniform(rng, 1e-300, 1.0).ln()).sqrt() * (uniform(rng, 0.0, 2.0 * PI)).cos()
}

fn sign(rng: &mut dyn Rng) -> f64 {
    if rng.random::<bool>() { 1.0 } else { -1.0 }
}

/// A point from -2 to 2 and `n` parameters from -2 to 2.
fn ordinary(rng: &mut dyn Rng, n: usize) -> (f64, Vec<f64>) {
    (uniform(rng, -2.0, 2.0), (0..n).map(|_| uniform(rng, -2.0, 2.0)).collect())
}

fn smooth<N: Number>(x: N, p: &[f64]) -> N {
    let wave = x.times(p[0]).plus(p[1]).sin().times(p[2]);
    let soft = x.times(p[3]).exp().plus(1.0).ln().times(p[4]);
    wave + soft + x.times(p[5]).plus(p[6]).tanh().times(p[7])
}

fn polynomial<N: Number>(x: N, p: &[f64]) -> N {
    p.iter().rev().fold(N::of(0.0), |sum, &coefficient| (sum * x).plus(coefficient))
}

fn frequency(rng: &mut dyn Rng, frequency: f64) -> (f64, Vec<f64>) {
    let (x, mut p) = ordinary(rng, 4);
    p[0] = frequency * uniform(rng, 0.5, 1.0);
    (x, p)
}

fn wave<N: Number>(x: N, p: &[f64]) -> N {
    x.times(p[0]).plus(p[1]).sin().times(p[2]) + x.times(p[3]).exp()
}

fn slow_and_fast<N: Number>(x: N, p: &[f64]) -> N {
    x.times(p[0]).sin() + x.times(p[1]).plus(p[3]).sin().times(p[2])
}

fn bump<N: Number>(x: N, p: &[f64]) -> N {
    let distance = x.plus(-p[2]);
    let u = distance.times(1.0 / p[1]);
    x.times(p[0]) + distance * (u * u).times(-1.0).exp().times(p[3])
}

fn positional<N: Number>(x: N, p: &[f64]) -> N {
    let angle = x.times(PI * p[0].exp2());
    (if p[1] > 0.0 { angle.sin() } else { angle.cos() }).times(p[2])
}

fn positional_sum<N: Number>(x: N, p: &[f64]) -> N {
    p.chunks(2).enumerate().fold(N::of(0.0), |sum, (k, pair)| {
        let angle = x.times(PI * (k as f64).exp2());
        sum + angle.sin().times(pair[0]) + angle.cos().times(pair[1])
    })
}

fn tiny<N: Number>(x: N, p: &[f64]) -> N {
    let y = x.times(p[0]);
    match p[1] {
        ..0.33 => y.ln(),
        0.33..0.67 => y.sqrt(),
        _ => N::of(1.0) / y,
    }
}

/// A smooth function, computed as the difference of large numbers.
fn cancelled(rng: &mut dyn Rng, size: f64) -> (f64, Vec<f64>) {
    let (x, mut p) = ordinary(rng, 8);
    p.push(size * uniform(rng, 0.5, 1.0));
    (x, p)
}

fn cancel<N: Number>(x: N, p: &[f64]) -> N {
    N::of(p[8]) + smooth(x, p) - N::of(p[8])
}

/// One weight of a layer with `batch` rows.
fn batch(rng: &mut dyn Rng, batch: usize) -> (f64, Vec<f64>) {
    (normal(rng), (0..3 * batch).map(|_| normal(rng)).collect())
}

fn relu<N: Number>(x: N, p: &[f64]) -> N {
    let rows = p.chunks(3).fold(N::of(0.0), |sum, row| sum + x.times(row[0]).plus(row[1]).relu());
    rows.times(3.0 / p.len() as f64)
}

fn squared_relu<N: Number>(x: N, p: &[f64]) -> N {
    let rows = p.chunks(3).fold(N::of(0.0), |sum, row| {
        let error = x.times(row[0]).plus(row[1]).relu().plus(-row[2]);
        sum + error * error
    });
    rows.times(3.0 / p.len() as f64)
}

fn kink<N: Number>(x: N, p: &[f64]) -> N {
    x.times(p[1]).sin() + x.plus(-p[0]).relu().times(p[2])
}

fn step<N: Number>(x: N, p: &[f64]) -> N {
    let height = if x.value() > p[0] { p[2] } else { 0.0 };
    x.times(p[1]).sin().plus(height).plus(p[3])
}

fn floors<N: Number>(x: N, p: &[f64]) -> N {
    p[1..].chunks(3).fold(N::of(p[0]), |sum, p| sum + x.times(p[0]).plus(p[1]).floor().times(p[2]))
}

fn log_sum_exp<N: Number>(x: N, p: &[f64]) -> N {
    let max = p[1..].iter().fold(x.value(), |max, &z| max.max(z));
    let sum = p[1..].iter().fold(x.plus(-max).exp(), |sum, &z| sum.plus((z - max).exp()));
    sum.ln().plus(max) - if p[0] > 0.0 { x } else { N::of(p[1]) }
}

/// All families.
pub(crate) fn families() -> Vec<Family> {
    vec![
        family!("smooth", Smooth, true, |rng| ordinary(rng, 8), smooth),
        family!("polynomial", Smooth, true, |rng| ordinary(rng, 6), polynomial),
        family!("log-sum-exp minus a logit", Smooth, true, |rng| ordinary(rng, 6), log_sum_exp),
        family!("frequency 1e3", Smooth, false, |rng| frequency(rng, 1e3), wave),
        family!("frequency 1e4", Smooth, false, |rng| frequency(rng, 1e4), wave),
        family!("frequency 1e5", Smooth, false, |rng| frequency(rng, 1e5), wave),
        family!("frequency 1e6", Rough, false, |rng| frequency(rng, 1e6), wave),
        family!(
            "slow plus small fast sine",
            Smooth,
            false,
            |rng| {
                let (x, mut p) = ordinary(rng, 4);
                (p[1], p[2]) = (log_uniform(rng, 1e3, 1e6), log_uniform(rng, 1e-4, 0.1));
                (x, p)
            },
            slow_and_fast
        ),
        family!(
            "bump of width 1e-5 to 1e-2",
            Smooth,
            false,
            |rng| {
                let (x, mut p) = ordinary(rng, 4);
                p[1] = log_uniform(rng, 1e-5, 1e-2);
                p[2] = x + p[1] * uniform(rng, -1.5, 1.5);
                p[3] *= 2.5;
                (x, p)
            },
            bump
        ),
        family!(
            "sin or cos of 2^k pi x",
            Smooth,
            true,
            |rng| {
                let (x, mut p) = ordinary(rng, 3);
                p[0] = f64::from(rng.random_range(0..10));
                (x, p)
            },
            positional
        ),
        family!("sum of sin and cos of 2^k pi x", Smooth, true, |rng| ordinary(rng, 20), positional_sum),
        family!(
            "ln, sqrt, 1/x at 1e-12 to 1e-8",
            Smooth,
            true,
            |rng| (log_uniform(rng, 1e-12, 1e-8), vec![uniform(rng, 0.5, 2.0), uniform(rng, 0.0, 1.0)]),
            tiny
        ),
        family!("(A + g) - A, A = 1e3", Rough, true, |rng| cancelled(rng, 1e3), cancel),
        family!("(A + g) - A, A = 1e4", Rough, true, |rng| cancelled(rng, 1e4), cancel),
        family!("(A + g) - A, A = 1e8", Smooth, false, |rng| cancelled(rng, 1e8), cancel),
        family!("(A + g) - A, A = 1e10", Rough, false, |rng| cancelled(rng, 1e10), cancel),
        family!("(A + g) - A, A = 1e12", Rough, false, |rng| cancelled(rng, 1e12), cancel),
        family!("ReLU, batch 8", Rough, true, |rng| batch(rng, 8), relu),
        family!("ReLU, batch 32", Rough, true, |rng| batch(rng, 32), relu),
        family!("ReLU, batch 128", Rough, true, |rng| batch(rng, 128), relu),
        family!("ReLU, batch 512", Rough, true, |rng| batch(rng, 512), relu),
        family!("squared error of ReLU, batch 8", Rough, true, |rng| batch(rng, 8), squared_relu),
        family!("squared error of ReLU, batch 128", Rough, true, |rng| batch(rng, 128), squared_relu),
        family!(
            "kink at 1e-12 to 1e-3",
            Rough,
            true,
            |rng| {
                let (x, mut p) = ordinary(rng, 3);
                p[0] = x + sign(rng) * log_uniform(rng, 1e-12, 1e-3);
                (x, p)
            },
            kink
        ),
        family!(
            "step at 1e-12 to 1e-1",
            Rough,
            true,
            |rng| {
                let (x, mut p) = ordinary(rng, 4);
                p[0] = x + sign(rng) * log_uniform(rng, 1e-12, 0.1);
                p[2] = sign(rng) * log_uniform(rng, 0.1, 2.0);
                (x, p)
            },
            step
        ),
        family!("sum of floors", Rough, false, |rng| ordinary(rng, 7), floors),
    ]
}
