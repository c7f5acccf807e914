//! An upper bound on the distance of the objective to its minimum, computed from gradients: Eqs.
//! (28), (32) and (35) of `docs/derivation.md`.

use chainrule_core::{DualDomain, Gradient, ObjectiveConfig, Parameters};

use crate::engine::EngineError;
use crate::lbfgs::{dot, sum_of_squares};

/// Weighted means over the training rows. The bound uses them if the bias has no penalty.
pub(crate) struct Moments {
    /// Whether a row has one probability per class or a single one.
    dual_domain: DualDomain,
    /// The mean weight of a row; 1 without class weights.
    mean_weight: f64,
    /// The mean row, `[d]`.
    mean: Vec<f64>,
    /// `X^T Y / N`, `[d, k]`.
    cross_moments: Vec<f64>,
    /// The class frequencies, `[k]`; they sum to the mean weight. With one logit, `[1]`: the
    /// frequency of the positive class.
    frequencies: Vec<f64>,
}

/// A bias that makes the probability of all other classes 0: `e^-1000` is 0 in every float type.
const SATURATED: f64 = 1000.0;

impl Moments {
    /// Computes the moments from the mean weight and two gradients. An engine needs no additional
    /// method for this.
    ///
    /// The gradients are computed at two points. At each point, a large bias gives one class the
    /// probability 1 in every row. The gradient is then `X^T (1 e^T - Y) / N`, where e is the unit
    /// vector of this class. The first column of the difference of the two gradients is the mean
    /// row. The first gradient and the mean row give `X^T Y / N`.
    pub(crate) fn new(
        [d, k]: [usize; 2],
        dual_domain: DualDomain,
        mean_weight: f64,
        gradient: &mut dyn FnMut(&Parameters) -> Result<Gradient, EngineError>,
    ) -> Result<Self, EngineError> {
        let mut at = |class: usize, bias: f64| {
            let mut parameters = Parameters::zeros(d, k);
            parameters.bias[class] = bias;
            gradient(&parameters)
        };
        let first = at(0, SATURATED)?;
        // A single logit with a low value selects the other class.
        let other = if dual_domain == DualDomain::Interval { at(0, -SATURATED)? } else { at(1, SATURATED)? };
        let first_column = |gradient: &Gradient| gradient.weight.iter().step_by(k).copied().collect::<Vec<f64>>();
        let mean: Vec<f64> =
            first_column(&first).iter().zip(first_column(&other)).map(|(first, other)| first - other).collect();
        // The column's entry of e, the unit vector of the first class.
        let unit = |i: usize| f64::from(u8::from(i.is_multiple_of(k)));
        let cross_moments = first.weight.iter().enumerate().map(|(i, g)| unit(i) * mean[i / k] - g).collect();
        let frequencies = first.bias.iter().enumerate().map(|(i, g)| unit(i) * mean_weight - g).collect();
        Ok(Self { dual_domain, mean_weight, mean, cross_moments, frequencies })
    }

    /// Computes the moments of rows without weights from their mean and the gradient at zero
    /// parameters. There all rows have the same probabilities q, so the gradient is
    /// `X^T (1 q^T - Y) / N`.
    pub(crate) fn at_zero(dual_domain: DualDomain, mean: Vec<f64>, at_zero: &Gradient) -> Self {
        let k = at_zero.bias.len();
        let q = if dual_domain == DualDomain::Interval { 0.5 } else { 1.0 / k as f64 };
        let cross_moments = at_zero.weight.iter().enumerate().map(|(i, g)| q * mean[i / k] - g).collect();
        let frequencies = at_zero.bias.iter().map(|g| q - g).collect();
        Self { dual_domain, mean_weight: 1.0, mean, cross_moments, frequencies }
    }

    /// The weighted mean of the training rows, `[d]`.
    pub(crate) fn mean_row(&self) -> Vec<f64> {
        self.mean.iter().map(|mean| mean / self.mean_weight).collect()
    }
}

/// The values of J at one point.
pub(crate) struct BoundPoint {
    /// `J = C + lambda/2 |w|^2`. C is the mean cross-entropy, and w contains all penalised
    /// parameters.
    pub(crate) objective: f64,
    /// The gradient of J with respect to W, then b.
    pub(crate) gradient: Vec<f64>,
    /// The bound on `J - J*`. It is not proven if the bias has no penalty and there are no moments.
    pub(crate) bound: f64,
}

/// Computes J, its gradient and the bound from C and its gradient.
pub(crate) fn bound_point(
    at: &Parameters,
    cost: Gradient,
    config: &ObjectiveConfig,
    moments: Option<&Moments>,
) -> BoundPoint {
    let lambda = config.l2;
    let square = dot(&at.weight, &at.weight) + if config.penalize_bias { dot(&at.bias, &at.bias) } else { 0.0 };
    let objective = cost.loss + lambda / 2.0 * square;
    let free_bias = moments.filter(|_| !config.penalize_bias);
    let free_bias_bound = free_bias.map(|moments| free_bias_bound(at, &cost, lambda, moments));
    // Many features take much memory, so that the gradient of C becomes that of J in its place.
    let Gradient { weight: mut gradient, bias, .. } = cost;
    gradient.reserve_exact(bias.len());
    gradient.extend(bias);
    let penalized_bias = if config.penalize_bias { &at.bias[..] } else { &[] };
    gradient.iter_mut().zip(at.weight.iter().chain(penalized_bias)).for_each(|(g, w)| *g += lambda * w);
    let bound = free_bias_bound.unwrap_or_else(|| dot(&gradient, &gradient) / (2.0 * lambda));
    BoundPoint { objective, gradient, bound }
}

/// Returns the bound for a bias without a penalty: Eq. (33), or Eq. (34) with class weights.
///
/// The probabilities p of every row are replaced by the mixture `(1 - theta) p + theta t`, with the
/// same distribution t. The mean of the mixtures must be the class frequencies. theta is the
/// smallest fraction with this property.
fn free_bias_bound(at: &Parameters, cost: &Gradient, lambda: f64, moments: &Moments) -> f64 {
    let k = at.columns;
    let Mixture { theta, t } = mix(moments.dual_domain, &cost.bias, &moments.frequencies, moments.mean_weight);
    // X^T (1 t^T - Y) / N. Subtracting X^T (P - Y) / N gives X^T (1 t^T - P) / N.
    let mixture_product = |i: usize| moments.mean[i / k] * t[i % k] - moments.cross_moments[i];
    let shifted_gradient =
        |i: usize| cost.weight[i] + lambda * at.weight[i] + theta * (mixture_product(i) - cost.weight[i]);
    // For one row, KL(t | p) = ln S - t^T z - H(t) and C = ln S - y^T z, with S = sum_k exp(z_k).
    // So the mean of KL(t | p) is the mean of C, minus the mean of (t - y)^T z, minus H(t).
    let mean_logit_change = (0..at.weight.len()).map(|i| at.weight[i] * mixture_product(i)).sum::<f64>()
        + (0..k).map(|i| at.bias[i] * (moments.mean_weight * t[i] - moments.frequencies[i])).sum::<f64>();
    let divergence = cost.loss - mean_logit_change - moments.mean_weight * entropy(moments.dual_domain, &t);
    // Rounding may make it negative. NaN stays NaN.
    let divergence = if divergence < 0.0 { 0.0 } else { divergence };
    sum_of_squares(at.weight.len(), shifted_gradient) / (2.0 * lambda) + theta * divergence
}

/// The fraction theta and the distribution t of the mixture.
#[derive(Debug)]
struct Mixture {
    theta: f64,
    /// The probability of each class, or of the positive one.
    t: Vec<f64>,
}

/// Returns the smallest theta, with its t, such that the weighted mean over rows of
/// `(1 - theta) (p - y) + theta (t - y)` is 0: Eq. (32); with class weights, Eq. (34).
///
/// - `residual`: the weighted mean of `p - y`
/// - `frequencies`: the weighted mean of y
/// - `mean_weight`: the mean weight of a row
fn mix(dual_domain: DualDomain, residual: &[f64], frequencies: &[f64], mean_weight: f64) -> Mixture {
    // theta = 1 / (1 + s) and t = (frequencies - s residual) / mean_weight. A larger s gives a
    // smaller theta, but t must remain a probability. So s is the smallest of these limits.
    let limits = residual.iter().zip(frequencies).map(|(&g, &y)| match g {
        g if g > 0.0 => y / g,
        g if g < 0.0 && dual_domain == DualDomain::Interval => (mean_weight - y) / -g,
        _ => f64::INFINITY,
    });
    let s = limits.fold(f64::INFINITY, f64::min).max(0.0);
    if s.is_infinite() {
        return Mixture { theta: 0.0, t: frequencies.iter().map(|y| y / mean_weight).collect() };
    }
    let t = residual.iter().zip(frequencies).map(|(g, y)| ((y - s * g) / mean_weight).clamp(0.0, 1.0)).collect();
    Mixture { theta: 1.0 / (1.0 + s), t }
}

/// Returns `-sum t ln t` over the classes, in nats.
fn entropy(dual_domain: DualDomain, t: &[f64]) -> f64 {
    let term = |t: f64| if t > 0.0 { -t * t.ln() } else { 0.0 };
    let other_class_entropy =
        if dual_domain == DualDomain::Interval { t.iter().map(|t| term(1.0 - t)).sum() } else { 0.0 };
    t.iter().copied().map(term).sum::<f64>() + other_class_entropy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_gives_each_class_its_frequency() {
        let cases: [(&[f64], &[f64]); 5] = [
            (&[0.1, -0.3, 0.2], &[0.5, 0.3, 0.2]),
            (&[1e-9, -1e-9, 0.0], &[0.1, 0.2, 0.7]),
            (&[0.2], &[0.4]),
            (&[-0.2], &[0.4]),
            (&[-0.4, 0.4], &[1.0, 0.0]),
        ];
        for (residual, frequencies) in cases {
            let dual_domain = if residual.len() == 1 { DualDomain::Interval } else { DualDomain::Simplex };
            let Mixture { theta, t } = mix(dual_domain, residual, frequencies, 1.0);
            // Scaling all weights does not change the mixture.
            let [scaled_residual, scaled_frequencies] =
                [residual, frequencies].map(|means| means.iter().map(|mean| 4.0 * mean).collect::<Vec<_>>());
            let scaled = mix(dual_domain, &scaled_residual, &scaled_frequencies, 4.0);
            assert_eq!((scaled.theta, &scaled.t), (theta, &t));
            assert!((0.0..=1.0).contains(&theta) && t.iter().all(|t| (0.0..=1.0).contains(t)), "{theta} {t:?}");
            for ((g, y), t) in residual.iter().zip(frequencies).zip(&t) {
                assert!(((1.0 - theta) * g + theta * (t - y)).abs() < 1e-15, "{residual:?}: {theta} {t}");
            }
            // theta is the smallest possible, because one entry of t is at its limit.
            let distance_to_limit = |t: f64| if residual.len() == 1 { t.min(1.0 - t) } else { t };
            assert!(
                t.iter().any(|&t| distance_to_limit(t) < 1e-12),
                "{residual:?}: {theta} is not the smallest, {t:?}"
            );
        }
        assert_eq!(mix(DualDomain::Simplex, &[0.0, 0.0], &[0.5, 0.5], 1.0).theta, 0.0);
    }
}
