//! The distributions of test statistics: normal, chi-squared, Student's t and beta.
//!
//! Tails are computed directly and not as one minus the rest, so small p values keep their digits.

/// The natural logarithm of the gamma function for `x > 0`: C. Lanczos, A precision approximation
/// of the gamma function, SIAM Journal on Numerical Analysis B 1, 1964, with g = 7.
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let terms = COEFFICIENTS.iter().zip(1..).map(|(c, i)| c / (x + f64::from(i)));
    let sum = 0.999_999_999_999_809_9 + terms.sum::<f64>();
    let t = x + 7.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The smallest number that a continued fraction divides by.
const TINY: f64 = 1e-300;
/// More terms than any of the sums and fractions here needs.
const MAX_TERMS: usize = 100_000;

/// The upper tail Q(a, x) of the gamma distribution: the series or the continued fraction of
/// Abramowitz and Stegun, 6.5.29 and 6.5.31.
fn gamma_tail(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let factor = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for i in 1..MAX_TERMS {
            term *= x / (a + i as f64);
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return 1.0 - factor * sum;
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / TINY, 1.0 / b);
    let mut fraction = d;
    for i in 1..MAX_TERMS {
        let i = i as f64;
        b += 2.0;
        let numerator = -i * (i - a);
        d = 1.0 / non_zero(numerator * d + b);
        c = non_zero(b + numerator / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    factor * fraction
}

fn non_zero(x: f64) -> f64 {
    if x.abs() < TINY { TINY } else { x }
}

/// The probability that a beta(a, b) variable is at most `x`: Abramowitz and Stegun, 26.5.8.
fn beta_probability(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return f64::from(x >= 1.0);
    }
    // The fraction converges fast on this side of the mean.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_probability(b, a, 1.0 - x);
    }
    let factor = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    let (mut c, mut d) = (1.0, 1.0 / non_zero(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..MAX_TERMS {
        let m = m as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for numerator in [even, odd] {
            d = 1.0 / non_zero(1.0 + numerator * d);
            c = non_zero(1.0 + numerator / c);
            fraction *= c * d;
            change = c * d;
        }
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    factor * fraction
}

/// Returns where a function that rises from below 0 to above it crosses 0, by bisection.
fn root(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if f(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The probability that a standard normal variable is further from 0 than `z`.
pub fn normal_two_sided(z: f64) -> f64 {
    gamma_tail(0.5, 0.5 * z * z)
}

/// The half width of a two-sided interval of a standard normal variable, such as 1.96 for the level
/// 0.95.
///
/// # Panics
/// If the level is not between 0 and 1.
pub fn normal_half_width(level: f64) -> f64 {
    assert!(0.0 < level && level < 1.0, "level {level}");
    root(0.0, 40.0, |z| 1.0 - level - normal_two_sided(z))
}

/// The probability that a chi-squared variable with these degrees of freedom exceeds `x`.
pub fn chi_squared_tail(x: f64, degrees: f64) -> f64 {
    gamma_tail(0.5 * degrees, 0.5 * x)
}

/// The probability that a variable of Student's distribution is further from 0 than `t`.
pub fn student_two_sided(t: f64, degrees: f64) -> f64 {
    beta_probability(0.5 * degrees, 0.5, degrees / (degrees + t * t))
}

/// The half width of a two-sided interval of a variable of Student's distribution.
///
/// # Panics
/// If the level is not between 0 and 1.
pub fn student_half_width(level: f64, degrees: f64) -> f64 {
    assert!(0.0 < level && level < 1.0, "level {level}");
    root(0.0, 1e12, |t| 1.0 - level - student_two_sided(t, degrees))
}

/// The probability of at most `k` heads of `n` fair coins.
pub(crate) fn fair_coins_at_most(k: u64, n: u64) -> f64 {
    if k >= n { 1.0 } else { beta_probability((n - k) as f64, k as f64 + 1.0, 0.5) }
}

/// The quantile of a beta(a, b) variable.
pub(crate) fn beta_quantile(a: f64, b: f64, probability: f64) -> f64 {
    root(0.0, 1.0, |x| beta_probability(a, b, x) - probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `SciPy` 1.17: `2 * norm.sf(z)`, `norm.ppf`, `chi2.sf`, `2 * t.sf`, `t.ppf`,
    /// `binom.cdf(k, n, 0.5)` and `beta.ppf`.
    #[test]
    fn tails_and_quantiles_match_scipy() {
        let cases = [
            (normal_two_sided(0.0), 1.0),
            (normal_two_sided(0.5), 0.617_075_077_451_973_9),
            (normal_two_sided(-1.96), 0.049_995_790_296_440_87),
            (normal_two_sided(10.0), 1.523_970_604_832_094_3e-23),
            (normal_half_width(0.95), 1.959_963_984_540_054),
            (normal_half_width(0.5), 0.674_489_750_196_081_7),
            (chi_squared_tail(3.7, 1.0), 0.054_412_467_991_601_404),
            (chi_squared_tail(11.0, 5.0), 0.051_379_983_483_069_55),
            (student_two_sided(2.0, 9.0), 0.076_552_823_770_701_06),
            (student_two_sided(8.0, 30.0), 6.265_822_475_700_759e-9),
            (student_half_width(0.95, 9.0), 2.262_157_162_798_205),
            (fair_coins_at_most(3, 12), 0.072_998_046_875),
            (fair_coins_at_most(480, 1000), 0.108_724_146_602_070_74),
            (beta_quantile(9.0, 2.0, 0.025), 0.554_983_882_971_804_7),
        ];
        for (i, (found, expected)) in cases.into_iter().enumerate() {
            assert!((found / expected - 1.0).abs() < 1e-11, "case {i}: {found} and {expected}");
        }
        assert_eq!((fair_coins_at_most(0, 0), fair_coins_at_most(7, 7)), (1.0, 1.0));
    }
}
