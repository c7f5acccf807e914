//! The slope of a function of one variable by finite differences, with a bound on its error.

/// A slope by central differences and Richardson extrapolation, with a bound on its error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The slope; at a kink, the mean of the two one-sided slopes.
    pub value: f64,
    /// The bound on the slope's error: the remaining truncation error plus the effect of the noise.
    pub bound: f64,
    /// The jump of the slope at a kink: the right slope minus the left one.
    pub kink: Option<f64>,
    /// The step of the best difference.
    pub step: f64,
    /// The number of evaluations of the function.
    pub evaluations: usize,
}

/// The maximum number of step sizes. The first is `scale / 8`, and each is half of the one before.
const MAX_LEVELS: usize = 22;

/// The search stops after this many step sizes without a better bound, since smaller steps only add
/// noise.
const PATIENCE: usize = 3;

/// The search can stop early if the bound is this small relative to the slope, or consists of noise
/// only. Until then, the steps may be too large to resolve the function.
const CONVERGED: f64 = 1e-4;

/// The maximum order of the extrapolation. Higher orders amplify noise and gain nothing.
const MAX_ORDER: usize = 6;

/// The factor between the last correction and the bound on the truncation error. The remaining
/// truncation error is at most the last correction, and usually much smaller, so twice is safe.
const TRUNCATION_SAFETY: f64 = 2.0;

/// Estimates the slope of `f` at 0. The error of the values of `f` is at most `noise`.
///
/// Central differences at steps `h, h/2, h/4, …` have errors in even powers of h. Richardson
/// extrapolation (Ridders' tableau, *Advances in Engineering Software* 4(2), 1982, p. 75) removes
/// these powers one by one. Each extrapolated entry of the tableau has the bound
///
/// ```text
/// 2 |last correction| + 2 noise / step
/// ```
///
/// The first term bounds the remaining truncation error, and the second bounds the rounding error.
/// The result is the entry with the smallest bound, unless an entry of a smaller step contradicts
/// it. So the function itself determines the step size.
///
/// `scale` is the length scale of `f`: `f` may change its behaviour over this length. The first
/// step is an eighth of it.
pub fn slope(f: &mut dyn FnMut(f64) -> f64, scale: f64, noise: f64) -> Slope {
    let middle = f(0.0);
    let mut evaluations = 1;
    let mut best: Option<Slope> = None;
    let mut since_best = 0;
    let mut previous: Vec<f64> = Vec::new();
    let mut jumps = SlopeJumps::default();

    for level in 0..MAX_LEVELS {
        let step = scale / 8.0 * 0.5f64.powi(level as i32);
        let (right, left) = (f(step), f(-step));
        evaluations += 2;
        if !(right.is_finite() && left.is_finite()) {
            // The step may be too large: the function may be finite closer to 0.
            previous.clear();
            jumps = SlopeJumps::default();
            continue;
        }
        jumps.push((right - 2.0 * middle + left) / step, 4.0 * noise / step);

        // One row of the tableau: orders 0, 1, 2, … in powers of h squared.
        let rounding = 2.0 * noise / step;
        let mut row = vec![(right - left) / (2.0 * step)];
        let mut candidate: Option<(f64, f64)> = None;
        for order in 1..=previous.len().min(MAX_ORDER) {
            let power = 4f64.powi(order as i32);
            let value = (power * row[order - 1] - previous[order - 1]) / (power - 1.0);
            row.push(value);
            let correction = (value - row[order - 1]).abs().max((value - previous[order - 1]).abs());
            let bound = TRUNCATION_SAFETY * correction + rounding;
            if candidate.is_none_or(|(_, smallest)| bound < smallest) {
                candidate = Some((value, bound));
            }
        }
        previous = row;

        let Some((value, bound)) = candidate else { continue };
        // If two steps contradict each other, the smaller one is right: the larger one stepped over
        // a detail of the function.
        let is_contradicted = best.is_some_and(|best| (best.value - value).abs() > best.bound + bound);
        if is_contradicted || best.is_none_or(|best| bound < best.bound) {
            best = Some(Slope { value, bound, kink: None, step, evaluations });
            since_best = 0;
        } else if best.is_some_and(|best| best.bound <= (CONVERGED * best.value.abs()).max(8.0 * noise / best.step)) {
            since_best += 1;
        }
        if since_best >= PATIENCE {
            break;
        }
    }
    let unknown = Slope { value: f64::NAN, bound: f64::INFINITY, kink: None, step: f64::NAN, evaluations };
    let slope = best.unwrap_or(unknown);
    Slope { kink: jumps.kink(slope.value), evaluations, ..slope }
}

/// Estimates the limit of `(f(h) - 2 f(0) + f(-h)) / h` as h goes to 0. If f is smooth, the limit
/// is 0. At a kink, it is the jump of the slope.
#[derive(Default)]
struct SlopeJumps {
    /// The quotient at the last step, which was twice as large.
    last_quotient: Option<f64>,
    /// The limit extrapolated at the last step.
    last_limit: Option<f64>,
    /// The best estimate of the limit and its bound.
    best: Option<(f64, f64)>,
}

impl SlopeJumps {
    /// Adds the quotient at the next step, which is half as large. Its error is at most `noise`.
    fn push(&mut self, quotient: f64, noise: f64) {
        if let Some(last_quotient) = self.last_quotient {
            // Remove the term proportional to h.
            let limit = 2.0 * quotient - last_quotient;
            if let Some(last_limit) = self.last_limit {
                let bound = TRUNCATION_SAFETY * (limit - last_limit).abs() + 3.0 * noise;
                if self.best.is_none_or(|(_, smallest)| bound < smallest) {
                    self.best = Some((limit, bound));
                }
            }
            self.last_limit = Some(limit);
        }
        self.last_quotient = Some(quotient);
    }

    /// Returns the jump of the slope if it is clearly not zero, given the slope's size.
    fn kink(&self, slope: f64) -> Option<f64> {
        let (limit, bound) = self.best?;
        (limit.abs() > 4.0 * bound && limit.abs() > 1e-6 * slope.abs()).then_some(limit)
    }
}

/// Estimates the rounding error of the values of `f` near 0. It uses differences of high order,
/// which almost vanish for a smooth function but not for its noise (Moré and Wild, *Estimating
/// Computational Noise*, SIAM J. Sci. Comput. 33(3), 2011, p. 1292).
///
/// `epsilon` is the machine epsilon of the type in which `f` computes. The result is at least
/// `epsilon / 2` times the largest absolute value of `f` near 0.
pub fn noise(f: &mut dyn FnMut(f64) -> f64, scale: f64, epsilon: f64) -> f64 {
    // The spacing is small enough that its sixth power is negligible, and large enough that the
    // points are different numbers.
    let near = noise_at(f, scale * epsilon.powf(0.4));
    // A small value that is the difference of large values has their large rounding error. The
    // points of `near` can be too close together to show this error. The points of `far` show it,
    // but there the function itself contributes to the differences. So the far estimate counts only
    // if it looks like noise: about equal in every order, and at most the rounding of single
    // precision at magnitude 1.
    let far = noise_at(f, scale * epsilon.powf(0.4).max(1e-3));
    let (min, max) = far.deviations.iter().fold((f64::INFINITY, 0.0f64), |(min, max), &d| (min.min(d), max.max(d)));
    let single_precision = 4.0 * f64::from(f32::EPSILON) * far.largest.max(1.0);
    let far_deviation = if max <= 3.0 * min && max <= single_precision { max } else { 0.0 };
    let deviation = near.deviations.iter().fold(far_deviation, |max, &d| max.max(d));
    (NOISE_DEVIATIONS * deviation).max(epsilon * near.largest / 2.0).max(f64::MIN_POSITIVE)
}

/// The reported noise, in standard deviations of the measured noise. A rounding error practically
/// never exceeds three standard deviations.
const NOISE_DEVIATIONS: f64 = 3.0;

/// The noise of a function, estimated from values at equal spacing.
struct NoiseEstimate {
    /// The largest absolute value.
    largest: f64,
    /// The standard deviation of the noise, from differences of order 4, 5 and 6.
    deviations: [f64; 3],
}

fn noise_at(f: &mut dyn FnMut(f64) -> f64, spacing: f64) -> NoiseEstimate {
    /// The number of values. It is much larger than the highest order of difference, so that a kink
    /// affects less than half of the differences.
    const POINTS: usize = 25;
    /// The median absolute value of a normal variable, in standard deviations.
    const NORMAL_MEDIAN: f64 = 0.674_49;

    let mut differences: Vec<f64> = (0..POINTS).map(|i| f((i as f64 - (POINTS / 2) as f64) * spacing)).collect();
    let largest = differences.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let mut deviations = [0.0; 3];
    // For noise of unit variance, the k-th difference has variance (2k)! / (k!)^2.
    let mut variance = 1.0;
    for order in 1..=6usize {
        differences = differences.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let k = order as f64;
        variance *= (2.0 * k) * (2.0 * k - 1.0) / (k * k);
        if order >= 4 {
            let mut sizes: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
            sizes.sort_by(f64::total_cmp);
            deviations[order - 4] = sizes[sizes.len() / 2] / NORMAL_MEDIAN / variance.sqrt();
        }
    }
    NoiseEstimate { largest, deviations }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the error is within the bound and that the bound is at most `max_bound`.
    fn check(f: impl Fn(f64) -> f64, expected: f64, max_bound: f64) {
        let mut f = |x| f(x);
        let noise = noise(&mut f, 1.0, f64::EPSILON);
        let slope = slope(&mut f, 1.0, noise);
        assert!((slope.value - expected).abs() <= slope.bound, "{slope:?} is not within its bound of {expected}");
        assert!(slope.bound <= max_bound, "{slope:?}: the bound is larger than {max_bound:e}");
        assert_eq!(slope.kink, None);
    }

    #[test]
    fn smooth_functions_are_within_a_small_bound() {
        check(|x| 3.0 * x + 7.0, 3.0, 1e-12);
        check(|x| (1.0 + x).ln(), 1.0, 1e-11);
        check(f64::exp, 1.0, 1e-11);
        check(|x| (5.0 * x + 1.0).sin(), 5.0 * 1f64.cos(), 1e-10);
        check(|x| (x + 0.3).exp().ln_1p(), 0.3f64.exp() / (1.0 + 0.3f64.exp()), 1e-11);
    }

    #[test]
    fn functions_that_change_within_the_scale_are_resolved() {
        check(|x| (1000.0 * x).tanh(), 1000.0, 1e-5);
        check(|x| (300.0 * x + 0.2).sin(), 300.0 * 0.2f64.cos(), 1e-5);
    }

    #[test]
    fn noise_is_measured_and_the_bound_contains_it() {
        let mut f = |x: f64| f64::from((x + 0.7).sin() as f32);
        let level = noise(&mut f, 1.0, f64::from(f32::EPSILON));
        assert!((1e-8..1e-6).contains(&level), "{level:e} for values rounded to f32");
        let result = slope(&mut f, 1.0, level);
        assert!((result.value - 0.7f64.cos()).abs() <= result.bound, "{result:?}");
        assert!((1e-7..1e-4).contains(&result.bound), "{result:?}");
    }

    /// For a tiny x, `ln(1 + x)` has the rounding error of 1, not of x.
    #[test]
    fn noise_of_a_small_value_computed_from_a_large_one_is_measured() {
        let mut f = |x: f64| (1.0 + 1e-10 * x.exp()).ln();
        let level = noise(&mut f, 1.0, f64::EPSILON);
        assert!((2e-17..2e-15).contains(&level), "{level:e}");
        let result = slope(&mut f, 1.0, level);
        assert!((result.value - 1e-10).abs() <= result.bound, "{result:?}");
    }

    #[test]
    fn a_kink_is_not_noise() {
        let mut f = |x: f64| (x - 1e-7).abs() + 0.3 * x + 0.7;
        assert!(noise(&mut f, 1.0, f64::EPSILON) < 1e-14);
    }

    #[test]
    fn a_kink_is_detected_and_measured() {
        let mut f = |x: f64| 2.0 * x.abs() + x;
        let result = slope(&mut f, 1.0, 1e-16);
        assert!((result.kink.unwrap_or_default() - 4.0).abs() < 1e-6, "{result:?}");
        assert!((result.value - 1.0).abs() < 1e-9);
        let mut f = |x: f64| (-x.abs()).exp().ln_1p();
        let result = slope(&mut f, 1.0, 1e-16);
        assert!((result.kink.unwrap_or_default() + 1.0).abs() < 1e-6, "{result:?}");
    }

    #[test]
    fn a_function_that_is_finite_only_near_0_has_a_slope() {
        check(|x| if x.abs() > 0.01 { f64::NAN } else { x.exp() }, 1.0, 1e-9);
        let result = slope(&mut |_| f64::NAN, 1.0, 1e-16);
        assert!(result.value.is_nan() && result.bound.is_infinite());
    }
}
