//! How far an objective can be above its minimum: Eqs. (28), (32) and (35) of `docs/derivation.md`,
//! from the gradient alone.

use chainrule_core::{Dual, Gradient, ObjectiveConfig, Parameters};

use crate::engine::EngineError;
use crate::lbfgs::dot;

/// Means over the training rows, each times its weight, of which the bound for a free bias is made.
pub(crate) struct Moments {
    dual: Dual,
    /// The mean weight; 1 where all rows count alike.
    weight: f64,
    /// The mean row, `[d]`.
    mean: Vec<f64>,
    /// `X^T Y / N`, `[d, k]`.
    class_sums: Vec<f64>,
    /// The classes' frequencies, `[k]`, which add up to the mean weight; with one logit the
    /// positive one's.
    frequencies: Vec<f64>,
}

/// A bias that leaves no class but one a probability: `e^-1000` is 0 in every float type.
const SATURATED: f64 = 1000.0;

impl Moments {
    /// By two gradients, at which every row gets the same probabilities, first of the one class and
    /// then of another: `X^T (1 e^T - Y) / N`, for two unit vectors e. No engine has to give more
    /// than gradients, and the mean weight.
    pub(crate) fn new(
        [d, k]: [usize; 2],
        dual: Dual,
        weight: f64,
        gradient: &mut dyn FnMut(&Parameters) -> Result<Gradient, EngineError>,
    ) -> Result<Self, EngineError> {
        let mut at = |class: usize, bias: f64| {
            let mut parameters = Parameters::zeros(d, k);
            parameters.bias[class] = bias;
            gradient(&parameters)
        };
        let first = at(0, SATURATED)?;
        // A single logit speaks for the other class where it is low.
        let other = if dual == Dual::Interval { at(0, -SATURATED)? } else { at(1, SATURATED)? };
        let column = |gradient: &Gradient| gradient.weight.iter().step_by(k).copied().collect::<Vec<f64>>();
        let mean: Vec<f64> = column(&first).iter().zip(column(&other)).map(|(first, other)| first - other).collect();
        let is_first = |i: usize| f64::from(u8::from(i.is_multiple_of(k)));
        let class_sums = first.weight.iter().enumerate().map(|(i, g)| is_first(i) * mean[i / k] - g).collect();
        let frequencies = first.bias.iter().enumerate().map(|(i, g)| is_first(i) * weight - g).collect();
        Ok(Self { dual, weight, mean, class_sums, frequencies })
    }

    /// The row that the training rows are on average, heavy ones more than others, `[d]`.
    pub(crate) fn mean_row(&self) -> Vec<f64> {
        self.mean.iter().map(|sum| sum / self.weight).collect()
    }
}

/// A point with what is known there.
pub(crate) struct BoundPoint {
    /// `J = C + lambda R`
    pub(crate) objective: f64,
    /// The gradient of J by W, then by b.
    pub(crate) gradient: Vec<f64>,
    /// `J - J*` is at most this; without moments and with a free bias nothing proves it.
    pub(crate) bound: f64,
}

/// What J, its gradient and the bound are, where C and its gradient are these.
pub(crate) fn found(
    at: &Parameters,
    cost: Gradient,
    config: &ObjectiveConfig,
    moments: Option<&Moments>,
) -> BoundPoint {
    let lambda = config.l2;
    let square = dot(&at.weight, &at.weight) + if config.penalize_bias { dot(&at.bias, &at.bias) } else { 0.0 };
    let objective = cost.loss + lambda / 2.0 * square;
    let with_penalty = |g: &[f64], w: &[f64]| g.iter().zip(w).map(|(g, w)| g + lambda * w).collect::<Vec<f64>>();
    let by_weight = with_penalty(&cost.weight, &at.weight);
    match moments {
        Some(moments) if !config.penalize_bias => {
            let bound = with_free_bias(at, &cost, &by_weight, lambda, moments);
            BoundPoint { objective, gradient: [by_weight, cost.bias].concat(), bound }
        }
        _ => {
            let by_bias = if config.penalize_bias { with_penalty(&cost.bias, &at.bias) } else { cost.bias };
            let gradient = [by_weight, by_bias].concat();
            BoundPoint { objective, bound: dot(&gradient, &gradient) / (2.0 * lambda), gradient }
        }
    }
}

/// Eq. (32), and with weights Eq. (35): the rows' probabilities mixed with as little of one t for
/// all of them as gives each class its frequency.
fn with_free_bias(at: &Parameters, cost: &Gradient, by_weight: &[f64], lambda: f64, moments: &Moments) -> f64 {
    let k = at.columns;
    let MixWeights { theta, t } = mix(moments.dual, &cost.bias, &moments.frequencies, moments.weight);
    // X^T (1 t^T - Y) / N, of which X^T (P - Y) / N leaves X^T (1 t^T - P) / N.
    let by_t = |i: usize| moments.mean[i / k] * t[i % k] - moments.class_sums[i];
    let moved: Vec<f64> = by_weight.iter().enumerate().map(|(i, g)| g + theta * (by_t(i) - cost.weight[i])).collect();
    // The mean over rows of KL(t | p) = ln S - t^T z - H(t), where C = ln S - y^T z.
    let toward_t = (0..at.weight.len()).map(|i| at.weight[i] * by_t(i)).sum::<f64>()
        + (0..k).map(|i| at.bias[i] * (moments.weight * t[i] - moments.frequencies[i])).sum::<f64>();
    let divergence = cost.loss - toward_t - moments.weight * entropy(moments.dual, &t);
    // Rounding may make it negative, but what is not a number stays so.
    let divergence = if divergence < 0.0 { 0.0 } else { divergence };
    dot(&moved, &moved) / (2.0 * lambda) + theta * divergence
}

/// How much of what is mixed in.
#[derive(Debug)]
struct MixWeights {
    theta: f64,
    /// A probability of each class, or of the positive one.
    t: Vec<f64>,
}

/// Eq. (31): the least theta, and t, for which `(1 - theta) (p - y) + theta (t - y)` is 0 in the
/// mean over rows, each times its weight, where `p - y` is `residual`, y the frequencies, and
/// `weight` the mean weight.
fn mix(dual: Dual, residual: &[f64], frequencies: &[f64], weight: f64) -> MixWeights {
    // t = (y - s (p - y)) / weight has to stay a probability.
    let buffer = residual.iter().zip(frequencies).map(|(&g, &y)| match g {
        g if g > 0.0 => y / g,
        g if g < 0.0 && dual == Dual::Interval => (weight - y) / -g,
        _ => f64::INFINITY,
    });
    let s = buffer.fold(f64::INFINITY, f64::min).max(0.0);
    if s.is_infinite() {
        return MixWeights { theta: 0.0, t: frequencies.iter().map(|y| y / weight).collect() };
    }
    let t = residual.iter().zip(frequencies).map(|(g, y)| ((y - s * g) / weight).clamp(0.0, 1.0)).collect();
    MixWeights { theta: 1.0 / (1.0 + s), t }
}

/// `-sum t ln t` over the classes, in nats.
fn entropy(dual: Dual, t: &[f64]) -> f64 {
    let part = |t: f64| if t > 0.0 { -t * t.ln() } else { 0.0 };
    let of_others = if dual == Dual::Interval { t.iter().map(|t| part(1.0 - t)).sum() } else { 0.0 };
    t.iter().copied().map(part).sum::<f64>() + of_others
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
            let dual = if residual.len() == 1 { Dual::Interval } else { Dual::Simplex };
            let MixWeights { theta, t } = mix(dual, residual, frequencies, 1.0);
            // Rows that are heavier by the same factor mix alike.
            let [heavier, more] =
                [residual, frequencies].map(|means| means.iter().map(|mean| 4.0 * mean).collect::<Vec<_>>());
            let heavy = mix(dual, &heavier, &more, 4.0);
            assert_eq!((heavy.theta, &heavy.t), (theta, &t));
            assert!((0.0..=1.0).contains(&theta) && t.iter().all(|t| (0.0..=1.0).contains(t)), "{theta} {t:?}");
            for ((g, y), t) in residual.iter().zip(frequencies).zip(&t) {
                assert!(((1.0 - theta) * g + theta * (t - y)).abs() < 1e-15, "{residual:?}: {theta} {t}");
            }
            // With a smaller theta a t would be no probability: one is at its limit already.
            let buffer = |t: f64| if residual.len() == 1 { t.min(1.0 - t) } else { t };
            assert!(t.iter().any(|&t| buffer(t) < 1e-12), "{residual:?}: {theta} is not the least, {t:?}");
        }
        assert_eq!(mix(Dual::Simplex, &[0.0, 0.0], &[0.5, 0.5], 1.0).theta, 0.0);
    }
}
