//! Confidence intervals of a fraction.

use crate::distributions::{beta_quantile, normal_half_width};

/// The 95 % confidence interval of a fraction, when `right` of `rows` were observed: E. B. Wilson,
/// Probable inference, the law of succession, and statistical inference, Journal of the American
/// Statistical Association 22 (158), 1927.
///
/// # Panics
/// If `rows` is 0.
pub fn wilson(right: u64, rows: u64) -> [f64; 2] {
    /// The 97.5 % point of the standard normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    wilson_within(right, rows, Z)
}

/// [`wilson`] at another confidence level.
///
/// # Panics
/// If `rows` is 0, or the level is not between 0 and 1.
pub fn wilson_at(right: u64, rows: u64, level: f64) -> [f64; 2] {
    wilson_within(right, rows, normal_half_width(level))
}

fn wilson_within(right: u64, rows: u64, z: f64) -> [f64; 2] {
    assert!(rows > 0, "a row at least");
    let (n, p) = (rows as f64, right as f64 / rows as f64);
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    [-half, half].map(|half| ((middle + half) / (1.0 + z * z / n)).clamp(0.0, 1.0))
}

/// The exact confidence interval of a fraction: C. Clopper, E. Pearson, The use of confidence or
/// fiducial limits illustrated in the case of the binomial, Biometrika 26 (4), 1934. It holds the
/// fraction at least as often as its level says, and is wider than [`wilson_at`].
///
/// # Panics
/// If `rows` is 0, or the level is not between 0 and 1.
pub fn clopper_pearson(right: u64, rows: u64, level: f64) -> [f64; 2] {
    assert!(rows > 0, "a row at least");
    assert!(0.0 < level && level < 1.0, "level {level}");
    let (right, wrong, tail) = (right as f64, (rows - right) as f64, 0.5 * (1.0 - level));
    let low = if right == 0.0 { 0.0 } else { beta_quantile(right, wrong + 1.0, tail) };
    let high = if wrong == 0.0 { 1.0 } else { beta_quantile(right + 1.0, wrong, 1.0 - tail) };
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calculated by hand: p = 0.9, n = 10, z^2 = 3.841459. The centre is (0.9 + 0.192073) /
    /// 1.384146 = 0.788987, and half the width is 1.959964 sqrt(0.009 + 0.0096036) / 1.384146 =
    /// 0.193137. R's `prop.test(0, 20, correct = FALSE)` gives 0 to 0.1611252.
    #[test]
    fn the_interval_matches_wilson() {
        let [low, high] = wilson(9, 10);
        assert!((low - 0.595_850).abs() < 2e-6 && (high - 0.982_124).abs() < 2e-6, "{low} {high}");
        let [low, high] = wilson(0, 20);
        assert!(low == 0.0 && (high - 0.161_125_2).abs() < 1e-7, "{low} {high}");
        let [low, high] = wilson(20, 20);
        assert!((low - 0.838_874_8).abs() < 1e-7 && high == 1.0, "{low} {high}");
        let [low, high] = wilson(9157, 10_000);
        assert!(low < 0.9157 && 0.9157 < high && high - low < 0.011, "{low} {high}");
    }

    /// `statsmodels.stats.proportion.proportion_confint(9, 10, method="beta")`. Without a failure
    /// of n, the lower limit is (0.05 / 2)^(1/n).
    #[test]
    fn the_exact_interval_matches_statsmodels() {
        let [low, high] = clopper_pearson(9, 10, 0.95);
        assert!((low - 0.554_983_882_971_805_4).abs() < 1e-12 && (high - 0.997_471_421_455_538_2).abs() < 1e-12);
        let [low, high] = clopper_pearson(20, 20, 0.95);
        assert!((low - 0.025f64.powf(0.05)).abs() < 1e-12 && high == 1.0, "{low} {high}");
        let [low, high] = clopper_pearson(0, 20, 0.95);
        assert!(low == 0.0 && (high - 1.0 + 0.025f64.powf(0.05)).abs() < 1e-12, "{low} {high}");
    }
}
