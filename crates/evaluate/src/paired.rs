//! Tests of two models on the same rows. They use that a row which is hard for one model is often
//! hard for the other, so they find differences that two separate intervals do not.

use serde::Serialize;

use crate::distributions::{chi_squared_tail, fair_coins_at_most, student_half_width, student_two_sided};

/// The rows that one model predicts correctly and the other does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Discordant {
    /// The rows that only the first model predicts correctly.
    pub only_first: u64,
    /// The rows that only the second model predicts correctly.
    pub only_second: u64,
}

/// A form of McNemar's test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum McNemarMethod {
    /// The binomial distribution of the discordant rows.
    Exact,
    /// The chi-squared distribution.
    ChiSquared,
    /// The chi-squared distribution with Edwards's continuity correction.
    Corrected,
}

/// The result of McNemar's test: Q. McNemar, Note on the sampling error of the difference between
/// correlated proportions or percentages, Psychometrika 12 (2), 1947.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct McNemar {
    /// The discordant rows.
    #[serde(flatten)]
    pub discordant: Discordant,
    /// The form of the test.
    pub method: McNemarMethod,
    /// The chi-squared statistic, with one degree of freedom. `None` for the exact test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chi_squared: Option<f64>,
    /// The two-sided p value. 1 without discordant rows.
    pub p_value: f64,
}

/// With fewer discordant rows, [`mcnemar`] is exact.
const FEW_DISCORDANT: u64 = 25;

/// Tests whether two models predict the same fraction of rows correctly. Exact with fewer than 25
/// discordant rows, else by chi-squared without a correction: the correction makes the test as
/// conservative as the exact one (M. Fagerland, S. Lydersen, P. Laake, The McNemar test for binary
/// matched-pairs data, BMC Medical Research Methodology 13, 2013).
pub fn mcnemar(discordant: Discordant) -> McNemar {
    let is_few = discordant.only_first + discordant.only_second < FEW_DISCORDANT;
    mcnemar_by(if is_few { McNemarMethod::Exact } else { McNemarMethod::ChiSquared }, discordant)
}

/// [`mcnemar`] in one of its forms.
pub fn mcnemar_by(method: McNemarMethod, discordant: Discordant) -> McNemar {
    let Discordant { only_first: b, only_second: c } = discordant;
    let n = b + c;
    let correction = match method {
        McNemarMethod::Exact => {
            let p_value = if n == 0 { 1.0 } else { (2.0 * fair_coins_at_most(b.min(c), n)).min(1.0) };
            return McNemar { discordant, method, chi_squared: None, p_value };
        }
        McNemarMethod::ChiSquared => 0.0,
        McNemarMethod::Corrected => 1.0,
    };
    let difference = (b.abs_diff(c) as f64 - correction).max(0.0);
    let chi_squared = if n == 0 { 0.0 } else { difference * difference / n as f64 };
    McNemar { discordant, method, chi_squared: Some(chi_squared), p_value: chi_squared_tail(chi_squared, 1.0) }
}

/// The result of a paired t test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedT {
    /// The mean difference.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The difference in standard errors.
    pub t: f64,
    /// The degrees of freedom, n - 1.
    pub degrees: f64,
    /// The two-sided p value.
    pub p_value: f64,
    /// The confidence interval of the difference.
    pub interval: [f64; 2],
}

/// Tests whether the differences of two models' losses, row by row, have the mean 0. `None` with
/// fewer than two rows, or if all differences are the same.
///
/// # Panics
/// If the level is not between 0 and 1.
pub fn paired_t(differences: &[f64], level: f64) -> Option<PairedT> {
    let n = differences.len() as f64;
    let difference = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|x| (x - difference).powi(2)).sum::<f64>() / (n - 1.0);
    let standard_error = (variance / n).sqrt();
    if n < 2.0 || standard_error <= f64::EPSILON * difference.abs() {
        return None;
    }
    let (t, degrees) = (difference / standard_error, n - 1.0);
    let half = student_half_width(level, degrees) * standard_error;
    let interval = [difference - half, difference + half];
    Some(PairedT { difference, standard_error, t, degrees, p_value: student_two_sided(t, degrees), interval })
}

/// The result of a paired bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedBootstrap {
    /// The mean difference.
    pub difference: f64,
    /// The interval of the means of the samples, by percentiles.
    pub interval: [f64; 2],
    /// The two-sided p value: twice the fraction of samples on the other side of 0. It is never 0,
    /// since the rows themselves count as a sample.
    pub p_value: f64,
    /// The number of samples.
    pub samples: usize,
    /// The seed of the samples.
    pub seed: u64,
}

/// Draws n of the n differences with replacement, `samples` times: B. Efron, R. Tibshirani, An
/// introduction to the bootstrap, 1993, chapter 13. Unlike [`paired_t`], it assumes no normal mean.
/// The same seed gives the same result. `None` with fewer than two rows.
///
/// # Panics
/// If there are no samples, or the level is not between 0 and 1.
pub fn paired_bootstrap(differences: &[f64], samples: usize, seed: u64, level: f64) -> Option<PairedBootstrap> {
    assert!(samples > 0 && 0.0 < level && level < 1.0, "{samples} samples, level {level}");
    let n = differences.len();
    if n < 2 {
        return None;
    }
    let mut random = SplitMix64(seed);
    let mean = |random: &mut SplitMix64| (0..n).map(|_| differences[random.below(n)]).sum::<f64>() / n as f64;
    let mut means: Vec<f64> = (0..samples).map(|_| mean(&mut random)).collect();
    means.sort_by(f64::total_cmp);
    let at = |fraction: f64| means[((fraction * samples as f64) as usize).min(samples - 1)];
    let tail = 0.5 * (1.0 - level);
    let up_to = |is_beyond: &dyn Fn(f64) -> bool| means.iter().filter(|&&mean| is_beyond(mean)).count() + 1;
    let beyond = up_to(&|mean| mean <= 0.0).min(up_to(&|mean| mean >= 0.0));
    Some(PairedBootstrap {
        difference: differences.iter().sum::<f64>() / n as f64,
        interval: [at(tail), at(1.0 - tail)],
        p_value: (2.0 * beyond as f64 / (samples + 1) as f64).min(1.0),
        samples,
        seed,
    })
}

/// G. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
struct SplitMix64(u64);

impl SplitMix64 {
    /// A number below n. The high half of a product, so its bias is below n / 2^64.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * n as u128) >> 64) as usize
    }
}

/// Adjusts the p values of several tests, so that the probability of any false finding stays below
/// the level that they are compared with: S. Holm, A simple sequentially rejective multiple test
/// procedure, Scandinavian Journal of Statistics 6 (2), 1979.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&i, &j| p_values[i].total_cmp(&p_values[j]));
    let (mut adjusted, mut largest) = (vec![0.0; p_values.len()], 0.0f64);
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max((p_values.len() - rank) as f64 * p_values[i]).min(1.0);
        adjusted[i] = largest;
    }
    adjusted
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    /// The chi-squared form is the square of z = (b - c) / sqrt(b + c). The exact form of 2 and 8
    /// is 2 (1 + 10 + 45) / 1024.
    #[test]
    fn mcnemar_is_exact_for_few_rows() {
        let test = mcnemar(Discordant { only_first: 2, only_second: 8 });
        assert_eq!(test.method, McNemarMethod::Exact);
        assert!((test.p_value - 2.0 * 56.0 / 1024.0).abs() < 1e-14);
        let test = mcnemar(Discordant { only_first: 60, only_second: 40 });
        assert_eq!((test.method, test.chi_squared), (McNemarMethod::ChiSquared, Some(4.0)));
        assert!((test.p_value - 0.045_500_263_896_358_39).abs() < 1e-14, "{}", test.p_value);
        assert_eq!(mcnemar(Discordant::default()).p_value, 1.0);
    }

    #[test]
    fn a_bootstrap_is_near_the_t_test_and_repeats_by_its_seed() {
        let differences: Vec<f64> = (0..400).map(|i| (f64::from(i) * 0.618).sin() + 0.08).collect();
        let bootstrap = paired_bootstrap(&differences, 4000, 7, 0.95).unwrap();
        let t = paired_t(&differences, 0.95).unwrap();
        assert_eq!(bootstrap.difference, t.difference);
        for (found, expected) in bootstrap.interval.iter().zip(t.interval) {
            assert!((found - expected).abs() < 0.15 * t.standard_error, "{bootstrap:?} {t:?}");
        }
        assert!((bootstrap.p_value - t.p_value).abs() < 0.02, "{bootstrap:?} {t:?}");
        assert_eq!(paired_bootstrap(&differences, 4000, 7, 0.95), Some(bootstrap));
        assert_ne!(paired_bootstrap(&differences, 4000, 8, 0.95), Some(bootstrap));
        assert_eq!((paired_t(&[1.0, 1.0], 0.95), paired_t(&[1.0], 0.95)), (None, None));
    }

    /// `p.adjust(c(0.01, 0.04, 0.03, 0.6), "holm")` of R gives 0.04, 0.09, 0.09, 0.6.
    #[test]
    fn holm_matches_r() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.6]);
        for (found, expected) in adjusted.iter().zip([0.04, 0.09, 0.09, 0.6]) {
            assert!((found - expected).abs() < 1e-15, "{adjusted:?}");
        }
        assert_eq!(holm(&[0.7, 0.8]), [1.0, 1.0]);
    }
}
