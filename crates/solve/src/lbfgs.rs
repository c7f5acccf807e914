//! L-BFGS on plain slices: the two-loop recursion and a line search. It minimises any
//! [`Objective`], which returns its value and its gradient.
//!
//! Nocedal and Wright, *Numerical Optimization*, 2nd edition: Algorithm 7.4 for the direction,
//! Section 3.1 for the Wolfe conditions. If two values differ only by rounding, the line search
//! uses the approximate Wolfe conditions, which compare slopes: Hager and Zhang, *SIAM Journal on
//! Optimization* 16 (2005), Eq. (4.1).

use std::collections::VecDeque;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

/// A point with the function's value and gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) x: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
}

/// The limits of the search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Whether the negative gradient is about a Newton step, so that the first step has the length
    /// 1.
    pub(crate) is_scaled: bool,
    /// The number of stored correction pairs (steps and changes of the gradient).
    pub(crate) memory: usize,
    /// The maximum number of iterations.
    pub(crate) max_iterations: usize,
    /// Values with a relative difference below this are treated as equal. It must exceed the
    /// rounding error.
    pub(crate) value_tolerance: f64,
}

/// Why the search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Stopped by the callback.
    Stopped,
    /// The maximum number of iterations was reached.
    IterationsUsedUp,
    /// Rounding errors prevent any further progress: the line search found no lower value, or there
    /// was no progress for [`MAX_STALLED`] iterations.
    Rounding,
}

/// The first Wolfe condition: the fraction of the linearly predicted decrease that a step must
/// achieve, `c1` in Nocedal and Wright.
const SUFFICIENT_DECREASE: f64 = 1e-4;
/// The second Wolfe condition: the steepest descent that may remain after a step, as a fraction of
/// the initial slope, `c2` in Nocedal and Wright.
const MAX_SLOPE_FRACTION: f64 = 0.9;
/// The maximum number of step lengths that one line search tries.
const MAX_TRIALS: usize = 40;
/// The search ends after this many consecutive iterations with neither a lower value nor a shorter
/// gradient.
const MAX_STALLED: usize = 20;

/// A function to minimise.
pub(crate) trait Objective {
    /// The error of an evaluation.
    type Error;

    /// Returns the value and the gradient at `x`. If the objective rounds `x`, the returned point
    /// contains the rounded `x`.
    fn evaluate(&mut self, x: Vec<f64>) -> Result<Point, Self::Error>;

    /// Returns a point that may be much better than the start. It is called once, after the start.
    fn proposal(&mut self) -> Result<Option<Vec<f64>>, Self::Error> {
        Ok(None)
    }

    /// Called at the start and after every iteration. The state's point is the last one evaluated.
    /// `Break` ends the search.
    fn on_iteration(&mut self, state: &State) -> Result<ControlFlow<()>, Self::Error>;
}

/// The state of the search between two iterations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The current point.
    pub(crate) at: Point,
    #[serde(rename = "memory")]
    correction_pairs: CorrectionPairs,
    #[serde(rename = "idle")]
    stall_counter: StallCounter,
    /// The number of iterations.
    iterations: usize,
}

impl State {
    pub(crate) fn new(at: Point, memory: usize) -> Self {
        let stall_counter = StallCounter { lowest_value: at.value, shortest_gradient: norm(&at.gradient), count: 0 };
        let correction_pairs = CorrectionPairs { pairs: VecDeque::new(), capacity: memory };
        Self { at, correction_pairs, stall_counter, iterations: 0 }
    }

    fn move_to(&mut self, next: Point) {
        self.correction_pairs.push(difference(&next.x, &self.at.x), difference(&next.gradient, &self.at.gradient));
        self.stall_counter.on_iteration(&next);
        self.at = next;
        self.iterations += 1;
    }

    /// Stores a step and its change of the gradient, as if the search had taken it.
    pub(crate) fn remember(&mut self, s: Vec<f64>, y: Vec<f64>) {
        self.correction_pairs.push(s, y);
    }

    /// The stored steps with their changes of the gradient, the oldest first.
    pub(crate) fn into_pairs(self) -> impl Iterator<Item = (Vec<f64>, Vec<f64>)> {
        self.correction_pairs.pairs.into_iter().map(|Pair { s, y, .. }| (s, y))
    }

    /// Returns whether the state belongs to a function of `n` variables.
    pub(crate) fn has_dimension(&self, n: usize) -> bool {
        let pair_vectors = self.correction_pairs.pairs.iter().flat_map(|pair| [&pair.s, &pair.y]);
        [&self.at.x, &self.at.gradient].into_iter().chain(pair_vectors).all(|vector| vector.len() == n)
    }
}

/// The start of the search.
pub(crate) enum Start {
    /// A point.
    At(Vec<f64>),
    /// A point whose value and gradient are known, with steps that the search did not take itself.
    Near(Box<State>),
    /// The state of an earlier search.
    From(Box<State>),
}

/// Minimises the objective. Returns why the search ended, and its last state.
///
/// # Errors
/// If an evaluation or the callback of the objective fails.
pub(crate) fn minimise<O: Objective>(
    objective: &mut O,
    start: Start,
    options: Options,
) -> Result<(End, State), O::Error> {
    let (mut state, is_new) = match start {
        Start::At(x) => (State::new(objective.evaluate(x)?, options.memory), true),
        Start::Near(state) => (*state, true),
        Start::From(state) => (*state, false),
    };
    if is_new {
        if objective.on_iteration(&state)?.is_break() {
            return Ok((End::Stopped, state));
        }
        let proposal = match objective.proposal()? {
            Some(proposal) if options.max_iterations > 0 => Some(objective.evaluate(proposal)?),
            _ => None,
        };
        if let Some(next) = proposal.filter(|next| next.value < state.at.value && norm(&next.gradient).is_finite()) {
            state.move_to(next);
            if objective.on_iteration(&state)?.is_break() {
                return Ok((End::Stopped, state));
            }
        }
    }
    loop {
        if state.stall_counter.is_stalled() {
            return Ok((End::Rounding, state));
        }
        if state.iterations >= options.max_iterations {
            return Ok((End::IterationsUsedUp, state));
        }
        let next = loop {
            let (at, correction_pairs) = (&state.at, &mut state.correction_pairs);
            let direction = correction_pairs.direction(&at.gradient);
            // Without a scale, the first step moves by at most 1. Later, the two-loop recursion
            // provides the scale.
            let has_scale = options.is_scaled || !correction_pairs.pairs.is_empty();
            let initial_step = if has_scale { 1.0 } else { (1.0 / norm(&at.gradient)).min(1.0) };
            match line_search(objective, at, &direction, initial_step, options.value_tolerance)? {
                Some(next) => break next,
                // The correction pairs may consist of rounding errors: drop them and try the
                // direction of the negative gradient.
                None if !correction_pairs.pairs.is_empty() => correction_pairs.pairs.clear(),
                None => return Ok((End::Rounding, state)),
            }
        };
        state.move_to(next);
        if objective.on_iteration(&state)?.is_break() {
            return Ok((End::Stopped, state));
        }
    }
}

/// Counts the consecutive iterations without progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StallCounter {
    /// The lowest value so far.
    #[serde(rename = "value")]
    lowest_value: f64,
    /// The length of the shortest gradient so far.
    #[serde(rename = "length")]
    shortest_gradient: f64,
    /// The number of consecutive iterations with neither a lower value nor a shorter gradient.
    count: usize,
}

impl StallCounter {
    fn on_iteration(&mut self, at: &Point) {
        let length = norm(&at.gradient);
        let is_better = at.value < self.lowest_value || length < self.shortest_gradient;
        self.count = if is_better { 0 } else { self.count + 1 };
        self.lowest_value = self.lowest_value.min(at.value);
        self.shortest_gradient = self.shortest_gradient.min(length);
    }

    fn is_stalled(&self) -> bool {
        self.count >= MAX_STALLED
    }
}

/// The most recent steps with their changes of the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CorrectionPairs {
    pairs: VecDeque<Pair>,
    capacity: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair {
    /// The step.
    s: Vec<f64>,
    /// The change of the gradient.
    y: Vec<f64>,
    /// `s^T y`, above 0.
    curvature: f64,
}

impl CorrectionPairs {
    /// Stores a pair if its curvature is clearly positive. Otherwise the function is not convex
    /// there, or rounding errors dominate the pair.
    fn push(&mut self, s: Vec<f64>, y: Vec<f64>) {
        let curvature = dot(&s, &y);
        if curvature <= f64::EPSILON * norm(&s) * norm(&y) {
            return;
        }
        if self.pairs.len() == self.capacity {
            self.pairs.pop_front();
        }
        self.pairs.push_back(Pair { s, y, curvature });
    }

    /// Returns `-H g` by the two-loop recursion. H approximates the inverse Hessian.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut alphas = Vec::with_capacity(self.pairs.len());
        for Pair { s, y, curvature } in self.pairs.iter().rev() {
            let alpha = dot(s, &q) / curvature;
            add(&mut q, -alpha, y);
            alphas.push(alpha);
        }
        if let Some(Pair { y, curvature, .. }) = self.pairs.back() {
            let scale = curvature / dot(y, y);
            q.iter_mut().for_each(|q| *q *= scale);
        }
        for (Pair { s, y, curvature }, alpha) in self.pairs.iter().zip(alphas.into_iter().rev()) {
            let beta = dot(y, &q) / curvature;
            add(&mut q, alpha - beta, s);
        }
        q
    }
}

/// A step length that the line search tried, with the slope there.
#[derive(Clone, Copy)]
struct Trial {
    length: f64,
    slope: f64,
}

/// Finds a point along `direction` that meets the Wolfe conditions. Returns `None` if the search
/// finds none, or if `direction` is not a descent direction.
fn line_search<O: Objective>(
    objective: &mut O,
    from: &Point,
    direction: &[f64],
    initial_step: f64,
    value_tolerance: f64,
) -> Result<Option<Point>, O::Error> {
    let slope = dot(&from.gradient, direction);
    if !(slope < 0.0 && slope.is_finite()) {
        return Ok(None);
    }
    // The bracket: a step of `lower` is too short, and a step of `upper` is too long.
    let mut lower = Trial { length: 0.0, slope };
    let mut upper: Option<Trial> = None;
    let mut length = initial_step;
    for _ in 0..MAX_TRIALS {
        let mut x = from.x.clone();
        add(&mut x, length, direction);
        let point = objective.evaluate(x)?;
        let trial = Trial { length, slope: dot(&point.gradient, direction) };
        let has_decreased = point.value <= from.value + SUFFICIENT_DECREASE * length * slope;
        let is_not_higher = point.value <= from.value + value_tolerance * from.value.abs();
        let has_gentle_slope = trial.slope <= (2.0 * SUFFICIENT_DECREASE - 1.0) * slope;
        // A NaN meets neither condition.
        if !(has_decreased || is_not_higher && has_gentle_slope) || !trial.slope.is_finite() {
            upper = Some(trial);
        } else if trial.slope < MAX_SLOPE_FRACTION * slope {
            lower = trial;
        } else {
            return Ok(Some(point));
        }
        length = match upper {
            None => 4.0 * length,
            Some(upper) => interpolate(lower, upper),
        };
    }
    Ok(None)
}

/// Returns a step length between the two trials. Linear interpolation of the slope gives its zero,
/// which is kept away from both ends. If the slope at `upper` is negative, zero or not finite, the
/// midpoint is returned.
fn interpolate(lower: Trial, upper: Trial) -> f64 {
    let fraction = lower.slope / (lower.slope - upper.slope);
    let fraction = if upper.slope.is_finite() && upper.slope > 0.0 { fraction.clamp(0.1, 0.9) } else { 0.5 };
    lower.length + fraction * (upper.length - lower.length)
}

/// Returns `a^T b`, as four independent sums.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((blocks_a, rest_a), (blocks_b, rest_b)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let mut sums = [0.0; 4];
    for (a, b) in blocks_a.iter().zip(blocks_b) {
        for i in 0..4 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Returns the sum of the squares of `value(0)` to `value(n - 1)`, with the same bits as [`dot`].
pub(crate) fn sum_of_squares(n: usize, value: impl Fn(usize) -> f64) -> f64 {
    let (n_blocks, mut sums) = (n / 4, [0.0; 4]);
    for block in 0..n_blocks {
        for (i, sum) in sums.iter_mut().enumerate() {
            let value = value(4 * block + i);
            *sum += value * value;
        }
    }
    let rest: f64 = (4 * n_blocks..n).map(|i| value(i) * value(i)).sum();
    sums.iter().sum::<f64>() + rest
}

pub(crate) fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// `to += factor * a`
fn add(to: &mut [f64], factor: f64, a: &[f64]) {
    to.iter_mut().zip(a).for_each(|(to, a)| *to += factor * a);
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test function that counts its evaluations.
    struct CountedFunction<F> {
        function: F,
        evaluations: usize,
        last: Option<Point>,
        /// The search stops at this length of the gradient.
        gradient_tolerance: f64,
    }

    impl<F: Fn(&[f64]) -> (f64, Vec<f64>)> Objective for CountedFunction<F> {
        type Error = ();

        fn evaluate(&mut self, x: Vec<f64>) -> Result<Point, ()> {
            self.evaluations += 1;
            let (value, gradient) = (self.function)(&x);
            Ok(Point { x, value, gradient })
        }

        fn on_iteration(&mut self, State { at, .. }: &State) -> Result<ControlFlow<()>, ()> {
            assert!(at.value.is_finite(), "the value after an iteration is not finite");
            self.last = Some(at.clone());
            let has_converged = norm(&at.gradient) <= self.gradient_tolerance;
            Ok(if has_converged { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        }
    }

    const OPTIONS: Options = Options { is_scaled: false, memory: 10, max_iterations: 2000, value_tolerance: 1e-12 };

    fn minimise_from(
        function: impl Fn(&[f64]) -> (f64, Vec<f64>),
        start: &[f64],
        options: Options,
        gradient_tolerance: f64,
    ) -> (End, Point, usize) {
        let mut objective = CountedFunction { function, evaluations: 0, last: None, gradient_tolerance };
        let (end, _) =
            minimise(&mut objective, Start::At(start.to_vec()), options).expect("the objective returns no errors");
        (end, objective.last.expect("the start calls on_iteration"), objective.evaluations)
    }

    /// `1/2 sum c_i (x_i - 1)^2`
    fn quadratic(curvatures: Vec<f64>) -> impl Fn(&[f64]) -> (f64, Vec<f64>) {
        move |x| {
            let gradient: Vec<f64> = curvatures.iter().zip(x).map(|(c, x)| c * (x - 1.0)).collect();
            (0.5 * gradient.iter().zip(x).map(|(g, x)| g * (x - 1.0)).sum::<f64>(), gradient)
        }
    }

    fn rosenbrock(x: &[f64]) -> (f64, Vec<f64>) {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        (a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b])
    }

    #[test]
    fn a_quadratic_is_minimised_in_few_evaluations() {
        let (end, at, evaluations) =
            minimise_from(quadratic(vec![1.0, 2.0, 5.0, 10.0]), &[3.0, -1.0, 0.0, 7.0], OPTIONS, 1e-10);
        assert_eq!(end, End::Stopped);
        assert!(evaluations < 25, "{evaluations}");
        assert!(at.x.iter().all(|x| (x - 1.0).abs() < 1e-9), "{:?}", at.x);
    }

    #[test]
    fn rosenbrocks_function_is_minimised() {
        for memory in [1, 3, 10] {
            let (end, at, evaluations) = minimise_from(rosenbrock, &[-1.2, 1.0], Options { memory, ..OPTIONS }, 1e-10);
            assert_eq!(end, End::Stopped, "memory {memory}");
            assert!(evaluations < 120, "memory {memory}: {evaluations}");
            assert!(at.x.iter().all(|x| (x - 1.0).abs() < 1e-8), "{:?}", at.x);
        }
    }

    #[test]
    fn a_condition_number_of_1e8_is_solved() {
        let curvatures: Vec<f64> = (0..9).map(|i| 10f64.powi(i - 4)).collect();
        let (end, at, evaluations) = minimise_from(quadratic(curvatures), &[0.0; 9], OPTIONS, 1e-9);
        assert_eq!(end, End::Stopped);
        assert!(evaluations < 800, "{evaluations}");
        // Where the curvature is small, a short gradient does not mean that x is near the minimum.
        assert!(at.value < 1e-12, "{}", at.value);
    }

    #[test]
    fn the_line_search_stays_where_the_function_is_not_nan() {
        // -ln(2 - x) - 9 x + e^x is NaN from x = 2 on. The first steps from -30 would go beyond 2.
        let function = |x: &[f64]| {
            let slack = 2.0 - x[0];
            if slack <= 0.0 {
                return (f64::NAN, vec![f64::NAN]);
            }
            (-slack.ln() - 9.0 * x[0] + x[0].exp(), vec![1.0 / slack - 9.0 + x[0].exp()])
        };
        let (end, at, _) = minimise_from(function, &[-30.0], OPTIONS, 1e-9);
        assert_eq!(end, End::Stopped);
        assert!(at.x[0] < 2.0 && at.gradient[0].abs() < 1e-9, "{at:?}");
    }

    #[test]
    fn a_step_to_an_infinite_value_is_shortened() {
        let function = |x: &[f64]| {
            if x[0].abs() > 3.0 {
                (f64::INFINITY, vec![0.0])
            } else {
                (x[0] * x[0] - 4.0 * x[0], vec![2.0 * x[0] - 4.0])
            }
        };
        let (end, at, _) = minimise_from(function, &[-3.0], OPTIONS, 1e-9);
        assert_eq!((end, at.x[0]), (End::Stopped, 2.0));
    }

    #[test]
    fn rounded_values_do_not_end_the_search_early() {
        // Values with seven digits, as in f32; exact slopes.
        let exact = quadratic(vec![1.0, 7.0, 30.0]);
        let function = move |x: &[f64]| {
            let (value, gradient) = exact(x);
            (f64::from((value + 1.0) as f32), gradient)
        };
        let options = Options { value_tolerance: 1e-6, ..OPTIONS };
        let (end, at, _) = minimise_from(function, &[4.0, -2.0, 9.0], options, 1e-9);
        assert_eq!(end, End::Stopped, "{at:?}");
    }

    #[test]
    fn a_search_without_progress_ends_with_rounding() {
        // The slope is 0 everywhere.
        let (end, at, evaluations) = minimise_from(|_| (1.0, vec![0.0]), &[5.0], OPTIONS, -1.0);
        assert_eq!((end, at.x[0], evaluations), (End::Rounding, 5.0, 1));
        // A wrong gradient: the value rises along the descent direction.
        let (end, ..) = minimise_from(|x| (x[0], vec![-1.0]), &[5.0], OPTIONS, 0.0);
        assert_eq!(end, End::Rounding);
        // The search reaches the minimum up to rounding, and the callback never stops it.
        let (end, at, evaluations) = minimise_from(quadratic(vec![1.0, 3.0]), &[2.0, 5.0], OPTIONS, -1.0);
        assert_eq!(end, End::Rounding);
        assert!(at.value < 1e-25 && evaluations < 400, "{at:?} {evaluations}");
    }

    #[test]
    fn a_search_on_rounding_errors_stops() {
        // The values are equal to seven digits, and the gradients have errors that look random.
        // Sums in f32 are like this near the minimum.
        let function = |x: &[f64]| {
            let error = |x: f64| 1e-3 * (1e9 * x).sin();
            (f64::from((1.0 + 1e-9 * dot(x, x)) as f32), x.iter().map(|&x| 1e-9 * x + error(x)).collect())
        };
        let start = [0.5, -0.25, 0.125, 0.75];
        let (end, _, evaluations) =
            minimise_from(function, &start, Options { value_tolerance: 1e-6, max_iterations: 100_000, ..OPTIONS }, 0.0);
        assert_eq!(end, End::Rounding);
        assert!(evaluations < 1000, "{evaluations}");
    }

    #[test]
    fn iterations_are_counted() {
        let (end, ..) = minimise_from(rosenbrock, &[-1.2, 1.0], Options { max_iterations: 5, ..OPTIONS }, 0.0);
        assert_eq!(end, End::IterationsUsedUp);
    }

    #[test]
    fn dot_products_include_every_number() {
        for n in 0..10 {
            let a: Vec<f64> = (1..=n).map(f64::from).collect();
            assert_eq!(dot(&a, &a), f64::from(n * (n + 1) * (2 * n + 1) / 6));
            let a: Vec<f64> = a.iter().map(|x| (x * 0.7).sin()).collect();
            assert_eq!(sum_of_squares(a.len(), |i| a[i]).to_bits(), dot(&a, &a).to_bits());
        }
    }
}
