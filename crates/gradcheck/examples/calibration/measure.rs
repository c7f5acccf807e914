//! Measures the checker on a family.

use chacha20::ChaCha8Rng;
use chainrule_gradcheck::{Gradient, Options, Parameter, check_slices, slope};
use rand::SeedableRng;

use crate::families::{Family, Number};

/// What was seen in a number of functions of a family.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// The slope is farther from the truth than its bound. At a kink, any value between the
    /// one-sided slopes is right.
    pub(crate) false_bounds: usize,
    /// The right gradient fails.
    pub(crate) failed: usize,
    /// The right gradient is unresolved.
    pub(crate) unresolved: usize,
    /// A gradient of 0 passes, though the slope is not 0 within a thousandth of the bound's scale.
    pub(crate) zero_passes: usize,
    /// torch's rule rejects the right gradient: central differences with a step of 1e-6, an
    /// absolute tolerance of 1e-5 and a relative one of 1e-3.
    pub(crate) rejected_by_torch: usize,
    /// JAX's rule rejects the right gradient: central differences with a step of 1e-4, and an
    /// absolute and a relative tolerance of 1e-5 each, or 2e-3 in f32.
    pub(crate) rejected_by_jax: usize,
    /// The median bound, relative to the slope.
    pub(crate) median_bound: f64,
    pub(crate) evaluations: usize,
}

pub(crate) fn measure(family: &Family, in_f32: bool, functions: usize, seed: u64) -> Counts {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let epsilon = if in_f32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
    let mut counts = Counts::default();
    let mut bounds = Vec::with_capacity(functions);
    let options = Options { repetitions: 2, ..Options::default() };
    let parameter = [Parameter { name: "x".to_owned(), shape: vec![1] }];
    for _ in 0..functions {
        let (x, mut p) = (family.draw)(&mut rng);
        let x = if in_f32 { f32::of(x).value() } else { x };
        if in_f32 {
            p.iter_mut().for_each(|p| *p = f32::of(*p).value());
        }
        let f = |x: f64| family.value(x, &p, in_f32);
        let truth = family.slope(x, &p);

        let found = slope(&mut |t| f(x + t), x.abs().max(1.0), x.abs(), epsilon);
        let half_jump = found.kink.map_or(0.0, |jump| jump.abs() / 2.0);
        let distance = (found.value - truth).abs();
        counts.evaluations += found.evaluations;
        counts.false_bounds += usize::from(found.bound.is_finite() && distance > found.bound + half_jump);
        let size = found.value.abs().max(truth.abs());
        bounds.push(if size > 0.0 { found.bound / size } else { 0.0 });

        let gradients = [("right", truth), ("zero", 0.0)]
            .map(|(name, value)| Gradient::new(name, vec![Some(vec![value])], epsilon));
        let report = check_slices(&parameter, &[x], &mut |x| f(x[0]), epsilon, &gradients, &options);
        let [right, zero] = [0, 1].map(|i| report.parameters.first().map(|parameter| &parameter.gradients[i]));
        counts.failed += right.map_or(0, |right| right.failed);
        counts.unresolved += right.map_or(0, |right| right.unresolved);
        // A slope below a millionth of the function's values counts as 0 in the check, too.
        let is_zero = truth.abs() <= 1e-6 * f(x).abs().min(1.0) || found.kink.is_some();
        counts.zero_passes += zero.map_or(0, |zero| usize::from(zero.passed > 0 && !is_zero));

        let rejects = |step: f64, atol: f64, rtol: f64| {
            let difference = (f(x + step) - f(x - step)) / (2.0 * step);
            let is_close = (difference - truth).abs() <= atol + rtol * truth.abs();
            usize::from(!is_close)
        };
        counts.rejected_by_torch += rejects(1e-6, 1e-5, 1e-3);
        let tolerance = if in_f32 { 2e-3 } else { 1e-5 };
        counts.rejected_by_jax += rejects(1e-4, tolerance, tolerance);
    }
    bounds.sort_by(f64::total_cmp);
    counts.median_bound = bounds.get(functions / 2).copied().unwrap_or_default();
    counts.evaluations /= functions.max(1);
    counts
}
