//! L-BFGS on plain slices: the two-loop recursion and a line search. It minimises any function that
//! returns its value and gradient.
//!
//! Nocedal and Wright, *Numerical Optimization*, 2nd edition: Algorithm 7.4 for the direction,
//! Section 3.1 for the Wolfe conditions. If two values differ only by rounding, their slopes are
//! compared instead: the approximate Wolfe conditions of Hager and Zhang, *SIAM Journal on
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
    /// The number of stored correction pairs (steps and changes of the gradient).
    pub(crate) memory: usize,
    /// The maximum number of iterations.
    pub(crate) iterations: usize,
    /// Values with a relative difference below this are treated as equal. It must exceed the
    /// rounding error.
    pub(crate) noise: f64,
}

/// Why the search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Stopped by the callback.
    Stopped,
    /// The maximum number of iterations was reached.
    UsedUp,
    /// The line search found no lower value, or there has been no progress for many iterations.
    /// Rounding errors prevent any further progress.
    Rounding,
}

/// The fraction of the linearly predicted decrease that a step must achieve.
const DECREASE: f64 = 1e-4;
/// The maximum slope after a step, as a fraction of the initial slope.
const SLOPE_LEFT: f64 = 0.9;
/// The maximum number of trials in one line search.
const TRIALS: usize = 40;
/// The search ends after this many iterations with neither a lower value nor a shorter gradient.
const MAX_STALLED: usize = 20;

/// A function to minimise.
pub(crate) trait Objective {
    /// The error of an evaluation.
    type Error;

    /// Returns value and gradient at `x`. If the function rounds `x`, the point contains the
    /// rounded one.
    fn evaluate(&mut self, x: Vec<f64>) -> Result<Point, Self::Error>;

    /// Called at the start and after every iteration. The state's point is the last one evaluated.
    /// `Break` ends the search.
    fn on_iteration(&mut self, state: &State) -> Result<ControlFlow<()>, Self::Error>;
}

/// The state of the search between two iterations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) at: Point,
    memory: CorrectionPairs,
    idle: StallCounter,
    /// The number of iterations.
    iterations: usize,
}

impl State {
    fn new(at: Point, memory: usize) -> Self {
        let idle = StallCounter { value: at.value, length: norm(&at.gradient), count: 0 };
        Self { at, memory: CorrectionPairs { pairs: VecDeque::new(), capacity: memory }, idle, iterations: 0 }
    }

    fn move_to(&mut self, next: Point) {
        self.memory.push(&self.at, &next);
        self.idle.on_iteration(&next);
        self.at = next;
        self.iterations += 1;
    }

    /// Whether the state belongs to a function of `n` variables.
    pub(crate) fn has_dimension(&self, n: usize) -> bool {
        let of_pairs = self.memory.pairs.iter().flat_map(|pair| [&pair.s, &pair.y]);
        [&self.at.x, &self.at.gradient].into_iter().chain(of_pairs).all(|vector| vector.len() == n)
    }
}

/// The start of the search.
pub(crate) enum Start {
    /// A point.
    At(Vec<f64>),
    /// The state of an earlier search.
    From(Box<State>),
}

/// Minimises the problem.
///
/// # Errors
/// The errors of the problem.
pub(crate) fn minimise<P: Objective>(problem: &mut P, start: Start, options: Options) -> Result<End, P::Error> {
    let mut state = match start {
        Start::From(state) => *state,
        Start::At(x) => {
            let state = State::new(problem.evaluate(x)?, options.memory);
            if problem.on_iteration(&state)?.is_break() {
                return Ok(End::Stopped);
            }
            state
        }
    };
    loop {
        if state.idle.is_over() {
            return Ok(End::Rounding);
        }
        if state.iterations >= options.iterations {
            return Ok(End::UsedUp);
        }
        let next = loop {
            let (at, memory) = (&state.at, &mut state.memory);
            let direction = memory.direction(&at.gradient);
            // The first step has a length of at most 1. Later, the recursion provides the scale.
            let first = if memory.pairs.is_empty() { (1.0 / norm(&at.gradient)).min(1.0) } else { 1.0 };
            match line_search(problem, at, &direction, first, options.noise)? {
                Some(next) => break next,
                // The correction pairs may consist of rounding errors. Drops them and tries the
                // gradient direction.
                None if !memory.pairs.is_empty() => memory.pairs.clear(),
                None => return Ok(End::Rounding),
            }
        };
        state.move_to(next);
        if problem.on_iteration(&state)?.is_break() {
            return Ok(End::Stopped);
        }
    }
}

/// The lowest value and the shortest gradient so far, and the number of iterations without
/// progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StallCounter {
    value: f64,
    length: f64,
    count: usize,
}

impl StallCounter {
    fn on_iteration(&mut self, at: &Point) {
        let length = norm(&at.gradient);
        let is_better = at.value < self.value || length < self.length;
        self.count = if is_better { 0 } else { self.count + 1 };
        self.value = self.value.min(at.value);
        self.length = self.length.min(length);
    }

    fn is_over(&self) -> bool {
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
    /// Stores the pair between two points, unless the curvature is not clearly positive: the
    /// function is not convex there, or rounding dominates.
    fn push(&mut self, from: &Point, to: &Point) {
        let s = difference(&to.x, &from.x);
        let y = difference(&to.gradient, &from.gradient);
        let curvature = dot(&s, &y);
        if curvature <= f64::EPSILON * norm(&s) * norm(&y) {
            return;
        }
        if self.pairs.len() == self.capacity {
            self.pairs.pop_front();
        }
        self.pairs.push_back(Pair { s, y, curvature });
    }

    /// `-H g`, with the approximate inverse Hessian H of the pairs: the two-loop recursion.
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

/// A step length that was tried.
#[derive(Clone, Copy)]
struct Trial {
    length: f64,
    slope: f64,
}

/// Finds a point along `direction` that meets the Wolfe conditions. Returns `None` if there is
/// none, or if `direction` is not a descent direction.
fn line_search<P: Objective>(
    problem: &mut P,
    from: &Point,
    direction: &[f64],
    first: f64,
    noise: f64,
) -> Result<Option<Point>, P::Error> {
    let slope = dot(&from.gradient, direction);
    if !(slope < 0.0 && slope.is_finite()) {
        return Ok(None);
    }
    // A suitable point lies between `short`, which is too short a step, and `long`, which is too
    // long.
    let mut short = Trial { length: 0.0, slope };
    let mut long: Option<Trial> = None;
    let mut length = first;
    for _ in 0..TRIALS {
        let mut x = from.x.clone();
        add(&mut x, length, direction);
        let point = problem.evaluate(x)?;
        let trial = Trial { length, slope: dot(&point.gradient, direction) };
        let is_lower = point.value <= from.value + DECREASE * length * slope;
        let is_level = point.value <= from.value + noise * from.value.abs();
        let rises_little = trial.slope <= (2.0 * DECREASE - 1.0) * slope;
        // A NaN meets neither condition.
        if !(is_lower || is_level && rises_little) || !trial.slope.is_finite() {
            long = Some(trial);
        } else if trial.slope < SLOPE_LEFT * slope {
            short = trial;
        } else {
            return Ok(Some(point));
        }
        length = match long {
            None => 4.0 * length,
            Some(long) => between(short, long),
        };
    }
    Ok(None)
}

/// The zero of the slope by linear interpolation, kept away from both ends. The midpoint if the
/// slope at `long` is not finite and positive.
fn between(short: Trial, long: Trial) -> f64 {
    let fraction = short.slope / (short.slope - long.slope);
    let fraction = if long.slope.is_finite() && long.slope > 0.0 { fraction.clamp(0.1, 0.9) } else { 0.5 };
    short.length + fraction * (long.length - short.length)
}

/// `a^T b`, as four independent sums.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((fours_a, rest_a), (fours_b, rest_b)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let mut sums = [0.0; 4];
    for (a, b) in fours_a.iter().zip(fours_b) {
        for i in 0..4 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
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
    struct Counted<F> {
        function: F,
        evaluations: usize,
        last: Option<Point>,
        /// The search may stop at this length of the gradient.
        enough: f64,
    }

    impl<F: Fn(&[f64]) -> (f64, Vec<f64>)> Objective for Counted<F> {
        type Error = ();

        fn evaluate(&mut self, x: Vec<f64>) -> Result<Point, ()> {
            self.evaluations += 1;
            let (value, gradient) = (self.function)(&x);
            Ok(Point { x, value, gradient })
        }

        fn on_iteration(&mut self, State { at, .. }: &State) -> Result<ControlFlow<()>, ()> {
            assert!(at.value.is_finite(), "an iteration ended where the function is no number");
            self.last = Some(at.clone());
            let is_enough = norm(&at.gradient) <= self.enough;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        }
    }

    const OPTIONS: Options = Options { memory: 10, iterations: 2000, noise: 1e-12 };

    fn go(
        function: impl Fn(&[f64]) -> (f64, Vec<f64>),
        start: &[f64],
        options: Options,
        enough: f64,
    ) -> (End, Point, usize) {
        let mut problem = Counted { function, evaluations: 0, last: None, enough };
        let end = minimise(&mut problem, Start::At(start.to_vec()), options).expect("it has no errors");
        (end, problem.last.expect("the start at least"), problem.evaluations)
    }

    /// `1/2 sum c_i (x_i - 1)^2`
    fn bowl(curvatures: Vec<f64>) -> impl Fn(&[f64]) -> (f64, Vec<f64>) {
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
    fn a_quadratic_with_a_memory_as_long_as_its_dimension_takes_few_passes() {
        let (end, at, evaluations) = go(bowl(vec![1.0, 2.0, 5.0, 10.0]), &[3.0, -1.0, 0.0, 7.0], OPTIONS, 1e-10);
        assert_eq!(end, End::Stopped);
        assert!(evaluations < 25, "{evaluations}");
        assert!(at.x.iter().all(|x| (x - 1.0).abs() < 1e-9), "{:?}", at.x);
    }

    #[test]
    fn rosenbrocks_valley_is_walked_to_its_end() {
        for memory in [1, 3, 10] {
            let (end, at, evaluations) = go(rosenbrock, &[-1.2, 1.0], Options { memory, ..OPTIONS }, 1e-10);
            assert_eq!(end, End::Stopped, "memory {memory}");
            assert!(evaluations < 120, "memory {memory}: {evaluations}");
            assert!(at.x.iter().all(|x| (x - 1.0).abs() < 1e-8), "{:?}", at.x);
        }
    }

    #[test]
    fn curvatures_that_lie_eight_orders_apart_are_no_obstacle() {
        let curvatures: Vec<f64> = (0..9).map(|i| 10f64.powi(i - 4)).collect();
        let (end, at, evaluations) = go(bowl(curvatures), &[0.0; 9], OPTIONS, 1e-9);
        assert_eq!(end, End::Stopped);
        assert!(evaluations < 800, "{evaluations}");
        // Where the curvature is small, a short gradient does not mean that x is near the minimum.
        assert!(at.value < 1e-12, "{}", at.value);
    }

    #[test]
    fn a_wall_beyond_which_there_are_no_numbers_is_not_stepped_over() {
        // -ln(2 - x) + 3 x^2 is NaN from x = 2 on. The first steps from far below would reach it.
        let function = |x: &[f64]| {
            let buffer = 2.0 - x[0];
            if buffer <= 0.0 {
                return (f64::NAN, vec![f64::NAN]);
            }
            (-buffer.ln() - 9.0 * x[0] + x[0].exp(), vec![1.0 / buffer - 9.0 + x[0].exp()])
        };
        let (end, at, _) = go(function, &[-30.0], OPTIONS, 1e-9);
        assert_eq!(end, End::Stopped);
        assert!(at.x[0] < 2.0 && at.gradient[0].abs() < 1e-9, "{at:?}");
    }

    #[test]
    fn infinities_count_as_too_far() {
        let function = |x: &[f64]| {
            if x[0].abs() > 3.0 {
                (f64::INFINITY, vec![0.0])
            } else {
                (x[0] * x[0] - 4.0 * x[0], vec![2.0 * x[0] - 4.0])
            }
        };
        let (end, at, _) = go(function, &[-3.0], OPTIONS, 1e-9);
        assert_eq!((end, at.x[0]), (End::Stopped, 2.0));
    }

    #[test]
    fn values_that_rounding_decides_on_do_not_end_the_walk_early() {
        // Values with seven digits, as in f32; exact slopes.
        let exact = bowl(vec![1.0, 7.0, 30.0]);
        let function = move |x: &[f64]| {
            let (value, gradient) = exact(x);
            (f64::from((value + 1.0) as f32), gradient)
        };
        let options = Options { noise: 1e-6, ..OPTIONS };
        let (end, at, _) = go(function, &[4.0, -2.0, 9.0], options, 1e-9);
        assert_eq!(end, End::Stopped, "{at:?}");
    }

    #[test]
    fn what_cannot_go_lower_says_so() {
        // The slope is 0 everywhere.
        let (end, at, evaluations) = go(|_| (1.0, vec![0.0]), &[5.0], OPTIONS, -1.0);
        assert_eq!((end, at.x[0], evaluations), (End::Rounding, 5.0, 1));
        // A wrong gradient: the value rises along the descent direction.
        let (end, ..) = go(|x| (x[0], vec![-1.0]), &[5.0], OPTIONS, 0.0);
        assert_eq!(end, End::Rounding);
        // Reaches the minimum up to rounding, and the callback never stops it.
        let (end, at, evaluations) = go(bowl(vec![1.0, 3.0]), &[2.0, 5.0], OPTIONS, -1.0);
        assert_eq!(end, End::Rounding);
        assert!(at.value < 1e-25 && evaluations < 400, "{at:?} {evaluations}");
    }

    #[test]
    fn walking_about_on_rounding_is_given_up() {
        // Values that are equal to seven digits, and gradients with errors that look random, as
        // sums in f32 have near the minimum.
        let function = |x: &[f64]| {
            let error = |x: f64| 1e-3 * (1e9 * x).sin();
            (f64::from((1.0 + 1e-9 * dot(x, x)) as f32), x.iter().map(|&x| 1e-9 * x + error(x)).collect())
        };
        let start = [0.5, -0.25, 0.125, 0.75];
        let (end, _, evaluations) = go(function, &start, Options { noise: 1e-6, iterations: 100_000, ..OPTIONS }, 0.0);
        assert_eq!(end, End::Rounding);
        assert!(evaluations < 1000, "{evaluations}");
    }

    #[test]
    fn iterations_are_counted() {
        let (end, ..) = go(rosenbrock, &[-1.2, 1.0], Options { iterations: 5, ..OPTIONS }, 0.0);
        assert_eq!(end, End::UsedUp);
    }

    #[test]
    fn dot_products_leave_no_number_out() {
        for n in 0..10 {
            let a: Vec<f64> = (1..=n).map(f64::from).collect();
            assert_eq!(dot(&a, &a), f64::from(n * (n + 1) * (2 * n + 1) / 6));
        }
    }
}
