//! The slope of a function of one variable by finite differences, with a bound on its error.

/// A slope by central differences and Richardson extrapolation, with a bound on its error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The slope; at a kink, the mean of the two one-sided slopes.
    pub value: f64,
    /// The bound on the slope's error: the remaining truncation error plus the function's noise.
    pub bound: f64,
    /// The jump of the slope at a kink: the right slope minus the left one.
    pub kink: Option<f64>,
    /// The step of the best difference.
    pub step: f64,
    /// The number of evaluations of the function.
    pub evaluations: usize,
}

/// The largest number of steps. The first step is `scale / 8`, and each step is half of the
/// previous one.
const MAX_LEVELS: usize = 22;

/// After this many levels without a better bound, smaller steps only add noise.
const PATIENCE: usize = 3;

/// The search stops early only if the bound is this small relative to the slope, or is only noise.
/// Before that, the steps may be too large to resolve the function.
const CONVERGED: f64 = 1e-4;

/// Extrapolation beyond this order amplifies noise and gains nothing.
const MAX_ORDER: usize = 6;

/// The remaining truncation error is at most the last correction, and usually much smaller. Twice
/// the correction is a safe bound.
const TRUNCATION_SAFETY: f64 = 2.0;

/// Estimates the slope at 0 of `f`. The values of `f` have an error of at most `noise`.
///
/// Central differences at steps `h, h/2, h/4, …` have errors in even powers of h. Richardson
/// extrapolation (Ridders' tableau, *Advances in Engineering Software* 4(2), 1982, p. 75) removes
/// these powers one by one. Each extrapolated entry of the tableau has a bound: twice its last
/// correction for the remaining truncation error, plus twice the noise divided by its step for
/// rounding. The result is the entry with the smallest bound, unless an entry of a smaller step
/// contradicts it. So the function determines the step, not a rule of thumb.
///
/// `scale` is a length over which `f` may change its behaviour. The first step is an eighth of it.
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
            // The step is too large. Closer to the point the function may be finite.
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
            if candidate.is_none_or(|(_, least)| bound < least) {
                candidate = Some((value, bound));
            }
        }
        previous = row;

        let Some((value, bound)) = candidate else { continue };
        // If a smaller step contradicts a larger one, the smaller one is right: the larger one
        // stepped over a detail of the function.
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
    let found = best.unwrap_or(unknown);
    Slope { kink: jumps.kink(found.value), evaluations, ..found }
}

/// Estimates the limit of `(f(h) - 2 f(0) + f(-h)) / h` for h to 0. The quotient goes to 0 like h
/// if f is smooth, and to the jump of the slope at a kink.
#[derive(Default)]
struct SlopeJumps {
    last: Option<(f64, f64)>,
    extrapolated: Option<f64>,
    /// The best estimate of the limit and its bound.
    best: Option<(f64, f64)>,
}

impl SlopeJumps {
    fn push(&mut self, jump: f64, noise: f64) {
        if let Some((last, _)) = self.last {
            // Removes the part proportional to h.
            let limit = 2.0 * jump - last;
            if let Some(before) = self.extrapolated {
                let bound = TRUNCATION_SAFETY * (limit - before).abs() + 3.0 * noise;
                if self.best.is_none_or(|(_, least)| bound < least) {
                    self.best = Some((limit, bound));
                }
            }
            self.extrapolated = Some(limit);
        }
        self.last = Some((jump, noise));
    }

    /// Returns the limit if it is clearly not zero relative to this slope.
    fn kink(&self, slope: f64) -> Option<f64> {
        let (limit, bound) = self.best?;
        (limit.abs() > 4.0 * bound && limit.abs() > 1e-6 * slope.abs()).then_some(limit)
    }
}

/// Estimates the rounding error of the values of `f` near 0. It uses differences of high order,
/// which almost vanish for a smooth function but not for its noise (Moré and Wild, *Estimating
/// Computational Noise*, SIAM J. Sci. Comput. 33(3), 2011, p. 1292).
///
/// `epsilon` is the machine epsilon of the type in which `f` computes. The result is at least half
/// of it relative to the value.
pub fn noise(f: &mut dyn FnMut(f64) -> f64, scale: f64, epsilon: f64) -> f64 {
    // The spacing is small enough that its sixth power is negligible, and large enough that the
    // points are different numbers.
    let near = noise_at(f, scale * epsilon.powf(0.4));
    // A small value that was rounded as part of a large one changes in steps. These may be too
    // coarse to show at the near spacing. They show at a larger spacing, but there the function
    // itself contributes to the differences. So the far estimate counts only if it looks like
    // noise: about equal in every order, and at most what single precision leaves at magnitude 1.
    let far = noise_at(f, scale * epsilon.powf(0.4).max(1e-3));
    let spread = |deviations: [f64; 3]| {
        let (least, most) = deviations.iter().fold((f64::INFINITY, 0.0f64), |(a, b), &d| (a.min(d), b.max(d)));
        let most_of_all = 4.0 * f64::from(f32::EPSILON) * far.largest.max(1.0);
        if most <= 3.0 * least && most <= most_of_all { most } else { 0.0 }
    };
    let deviation = near.deviations.iter().fold(spread(far.deviations), |most, &d| most.max(d));
    (DEVIATIONS * deviation).max(epsilon * near.largest / 2.0).max(f64::MIN_POSITIVE)
}

/// Three standard deviations, which are practically never exceeded.
const DEVIATIONS: f64 = 3.0;

struct Noise {
    /// The largest absolute value.
    largest: f64,
    /// The standard deviation of the noise, from differences of order 4, 5 and 6.
    deviations: [f64; 3],
}

fn noise_at(f: &mut dyn FnMut(f64) -> f64, spacing: f64) -> Noise {
    /// Many more values than the highest order of difference, so that a kink among them affects
    /// less than half of the differences.
    const POINTS: usize = 25;
    /// The median absolute value of a normal variable, in standard deviations.
    const MEDIAN: f64 = 0.674_49;

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
            deviations[order - 4] = sizes[sizes.len() / 2] / MEDIAN / variance.sqrt();
        }
    }
    Noise { largest, deviations }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the error is within the bound and that the bound is at most `largest_bound`.
    fn check(f: impl Fn(f64) -> f64, truth: f64, largest_bound: f64) {
        let mut f = |x| f(x);
        let noise = noise(&mut f, 1.0, f64::EPSILON);
        let found = slope(&mut f, 1.0, noise);
        assert!((found.value - truth).abs() <= found.bound, "{found:?} is not within its bound of {truth}");
        assert!(found.bound <= largest_bound, "{found:?}: the bound is larger than {largest_bound:e}");
        assert_eq!(found.kink, None);
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
    fn functions_that_change_faster_than_the_scale_are_followed() {
        check(|x| (1000.0 * x).tanh(), 1000.0, 1e-5);
        check(|x| (300.0 * x + 0.2).sin(), 300.0 * 0.2f64.cos(), 1e-5);
    }

    #[test]
    fn noise_is_found_and_the_bound_grows_with_it() {
        let rough = |x: f64| f64::from((x + 0.7).sin() as f32);
        let mut f = |x: f64| rough(x);
        let level = noise(&mut f, 1.0, f64::from(f32::EPSILON));
        assert!((1e-8..1e-6).contains(&level), "{level:e} for values rounded to f32");
        let found = slope(&mut f, 1.0, level);
        assert!((found.value - 0.7f64.cos()).abs() <= found.bound, "{found:?}");
        assert!((1e-7..1e-4).contains(&found.bound), "{found:?}");
    }

    /// ln(1 + x) of a tiny x has the rounding of 1, not of x.
    #[test]
    fn noise_is_found_where_a_small_value_was_part_of_a_large_one() {
        let mut f = |x: f64| (1.0 + 1e-10 * x.exp()).ln();
        let level = noise(&mut f, 1.0, f64::EPSILON);
        assert!((2e-17..2e-15).contains(&level), "{level:e}");
        let found = slope(&mut f, 1.0, level);
        assert!((found.value - 1e-10).abs() <= found.bound, "{found:?}");
    }

    #[test]
    fn a_kink_is_not_taken_for_noise() {
        let mut f = |x: f64| (x - 1e-7).abs() + 0.3 * x + 0.7;
        assert!(noise(&mut f, 1.0, f64::EPSILON) < 1e-14);
    }

    #[test]
    fn a_kink_is_found_and_measured() {
        let mut f = |x: f64| 2.0 * x.abs() + x;
        let found = slope(&mut f, 1.0, 1e-16);
        assert!((found.kink.unwrap_or_default() - 4.0).abs() < 1e-6, "{found:?}");
        assert!((found.value - 1.0).abs() < 1e-9);
        let mut f = |x: f64| (-x.abs()).exp().ln_1p();
        let found = slope(&mut f, 1.0, 1e-16);
        assert!((found.kink.unwrap_or_default() + 1.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_function_that_is_not_finite_far_out_is_followed_near_by() {
        check(|x| if x.abs() > 0.01 { f64::NAN } else { x.exp() }, 1.0, 1e-9);
        let found = slope(&mut |_| f64::NAN, 1.0, 1e-16);
        assert!(found.value.is_nan() && found.bound.is_infinite());
    }
}
