//! The slope of a function of one variable by finite differences, with a bound on its error.

/// A slope by central differences and extrapolation, with a bound on its error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The slope; at a kink, the mean of the two one-sided slopes.
    pub value: f64,
    /// The bound on the slope's error: the remaining truncation error plus the effect of the noise.
    pub bound: f64,
    /// The jump of the slope at a kink: the right slope minus the left one.
    pub kink: Option<f64>,
    /// The distance within which the function has a kink, a jump or a detail that a longer step
    /// would miss. `None` if it has none up to the longest step.
    pub change: Option<f64>,
    /// The measured rounding error of the function.
    pub noise: f64,
    /// The largest absolute value of the function that was seen up to half the scale.
    pub magnitude: f64,
    /// The step of the best difference.
    pub step: f64,
    /// The number of evaluations of the function.
    pub evaluations: usize,
}

/// The longest step is `scale / 8`, and each is a quarter of the next longer one. Steps shorter
/// than `SHORT_STEP * scale` are a sixteenth of it.
const LONGEST_STEP: f64 = 1.0 / 8.0;
const RATIO: f64 = 4.0;

const SHORT_STEP: f64 = 1e-6;
const SHORT_RATIO: f64 = 16.0;

/// The shortest step, in spacings of the representable numbers.
const SHORTEST_STEP: f64 = 8.0;

/// The number of steps with a ratio of 2 that refine the result.
const FINE_STEPS: usize = 8;

/// The factor between the last correction and the bound on the truncation error. The remaining
/// truncation error is at most the last correction, and usually much smaller, so twice is safe.
const TRUNCATION_SAFETY: f64 = 2.0;

/// The least decrease of the changes from one step to the next, relative to that of the lowest
/// power.
const REGULARITY: f64 = 0.5;
const BEND_REGULARITY: f64 = 0.75;

/// The bound on the effect of the noise where the function is not smooth, in units of the noise
/// divided by the shortest step. Kinks too small to be seen with shorter steps may add up to it.
const ROUGH_ROUNDINGS: f64 = 32.0;

/// The same where the function is seen to be smooth.
const SEEN_ROUNDINGS: f64 = 4.0;

/// The same where nothing but noise is seen, up to the longest step of all.
const UNSEEN_ROUNDINGS: f64 = 8.0;

/// The bounds are this much wider where `f` computes in a type with fewer digits than f64. There,
/// the noise hides larger kinks.
const COARSE_CAUTION: f64 = 4.0;
const FINE_EPSILON: f64 = 1e-10;

/// The noise of a bend without its linear part, in units of the noise divided by the step.
const BEND_ROUNDINGS: f64 = 6.0;

/// Two entries contradict each other at this fraction of the sum of their bounds, which are wide.
const CONTRADICTION: f64 = 0.5;

/// A jump of at most this fraction of the function's values is a rounding error: large numbers that
/// cancelled were rounded.
const LARGEST_ROUNDING: f64 = 1e-5;

/// The same in machine epsilons of the function's values, for types with fewer digits.
const CANCELLATION: f64 = 131_072.0;

/// A jump of at least this fraction of the function's values, or of so many times the largest
/// rounding error, is a step, such as that of `floor`. Jumps in between may be either, and the
/// bound allows for both.
const SMALLEST_STEP: f64 = 0.01;
const ROUNDINGS_OF_A_STEP: f64 = 32.0;

/// A bound above this fraction of the slope is wide: the slope is measured again with steps that
/// are shorter by a factor, and with more noise. A few smooth functions in ten thousand look rough,
/// because few values near 0 happened to have less noise than the others.
const WIDE: f64 = 1e-4;
const OTHER_SCALE: f64 = 0.73;
const OTHER_NOISE: f64 = 4.0;

/// The largest number of times that a jump raises the noise.
const MAX_JUMPS: usize = 8;

/// Estimates the slope of `f` at 0.
///
/// Central differences at a step h have errors in even powers of h, which extrapolation removes one
/// by one (Ridders' tableau, *Advances in Engineering Software* 4(2), 1982, p. 75). Each
/// extrapolated entry has the bound
///
/// ```text
/// 2 |last correction| + 4 noise / shortest step
/// ```
///
/// The first term bounds the remaining truncation error, and the second bounds the rounding error.
/// Where the function is not visibly smooth, the bound is wider: kinks that the noise hides may
/// change the slope, too.
///
/// The steps grow, from the shortest that rounding allows. The longer the step, the smaller is the
/// effect of the noise. The steps end where an entry contradicts those of the shorter steps,
/// because the longer ones passed over a kink, a jump or a detail of the function. The result is
/// the entry with the smallest bound.
///
/// Noise is measured near 0. Where large numbers cancel, the function is a staircase, and the
/// values on one stair have no noise. So a contradiction is searched for a jump between
/// neighbouring numbers. A small jump is a stair: the noise is at least as large, and the steps go
/// on.
///
/// `scale` is the length scale of `f`: the longest step is an eighth of it. `size` is the absolute
/// value of the variable at 0, whose rounding limits the steps. `epsilon` is the machine epsilon of
/// the type in which `f` computes. The slope is unknown, NaN with an infinite bound, unless the
/// scale is positive and both are finite.
pub fn slope(f: &mut dyn FnMut(f64) -> f64, scale: f64, size: f64, epsilon: f64) -> Slope {
    let mut evaluations = 0;
    let mut f = |t: f64| {
        evaluations += 1;
        f(t)
    };
    if !(scale > 0.0 && scale.is_finite() && size.is_finite()) {
        return Slope::UNKNOWN;
    }
    let first = Search::new(&mut f, scale, size, epsilon).run(0.0);
    let slope = if first.is_wide(epsilon) {
        first.or(Search::new(&mut f, OTHER_SCALE * scale, size, epsilon).run(OTHER_NOISE * first.noise))
    } else {
        first
    };
    Slope { evaluations, ..slope }
}

impl Slope {
    const UNKNOWN: Self = Self {
        value: f64::NAN,
        bound: f64::INFINITY,
        kink: None,
        change: None,
        noise: 0.0,
        magnitude: 0.0,
        step: f64::NAN,
        evaluations: 0,
    };

    /// Returns whether the bound is wide, and the slope not nearly 0. In types with fewer digits,
    /// most are wide for want of digits.
    fn is_wide(&self, epsilon: f64) -> bool {
        let size = self.value.abs().max(epsilon.sqrt() * self.magnitude.min(1.0));
        let is_narrow = self.bound <= WIDE * size;
        epsilon < FINE_EPSILON && self.kink.is_none() && !is_narrow
    }

    /// Returns the one of two measurements of the same slope that has the smaller bound. If they
    /// contradict each other, its bound contains both.
    fn or(self, other: Self) -> Self {
        let (mut best, worse) = if other.bound < self.bound { (other, self) } else { (self, other) };
        let distance = (best.value - worse.value).abs();
        if best.kink.is_none() && worse.kink.is_none() && distance > best.bound + worse.bound {
            best.bound = distance + worse.bound;
        }
        best.noise = best.noise.max(worse.noise);
        best
    }
}

/// The values of the function at `step` and at `-step`.
#[derive(Clone, Copy, Debug)]
struct Pair {
    step: f64,
    right: f64,
    left: f64,
}

impl Pair {
    fn difference(&self) -> f64 {
        (self.right - self.left) / (2.0 * self.step)
    }

    fn change_from(&self, other: &Pair) -> f64 {
        (self.difference() - other.difference()).abs()
    }

    fn quotient(&self, middle: f64) -> Quotient {
        let bend = (self.right - 2.0 * middle + self.left) / self.step;
        Quotient { step: self.step, value: self.difference(), bend }
    }
}

/// A slope and its bound, from the steps up to `longest`.
#[derive(Clone, Copy, Debug)]
struct Entry {
    value: f64,
    bound: f64,
    /// The bound if the function is smooth.
    plain_bound: f64,
    /// The shortest and the longest step.
    shortest: f64,
    longest: f64,
    /// Whether the function is smooth up to the longest step.
    is_smooth: bool,
}

impl Entry {
    fn contradicts(&self, other: &Entry) -> bool {
        (self.value - other.value).abs() > CONTRADICTION * (self.plain_bound + other.plain_bound)
    }
}

struct Search<'a> {
    f: &'a mut dyn FnMut(f64) -> f64,
    scale: f64,
    /// The distance between the variable and the next representable number.
    spacing: f64,
    epsilon: f64,
    middle: f64,
    /// The largest absolute value of the function, near 0 and further away.
    largest: f64,
    noise: f64,
}

/// What is between two points with a contradiction.
enum Change {
    /// A jump between neighbouring numbers.
    Jump(f64),
    /// A kink, or a detail that shorter steps resolve.
    Continuous,
}

impl<'a> Search<'a> {
    fn new(f: &'a mut dyn FnMut(f64) -> f64, scale: f64, size: f64, epsilon: f64) -> Self {
        let middle = f(0.0);
        let spacing = epsilon * if size > 0.0 { size } else { scale };
        // Values of 0 have no rounding error, but not less than the smallest numbers.
        let mut largest = middle.abs().max(1e-290);
        for distance in [0.5, -0.5] {
            let value = f(distance * scale);
            if value.is_finite() {
                largest = largest.max(value.abs());
            }
        }
        Self { f, scale, spacing, epsilon, middle, largest, noise: 0.0 }
    }

    fn run(mut self, least_noise: f64) -> Slope {
        let unknown = Slope { noise: self.noise, magnitude: self.largest, ..Slope::UNKNOWN };
        if !self.middle.is_finite() {
            return unknown;
        }
        self.noise = self.noise_nearby().max(least_noise);
        let mut pairs: Vec<Pair> = Vec::new();
        let mut change = None;
        let mut best = None;
        let mut is_looked_at = false;
        for step in self.steps() {
            let Some(pair) = self.pair(step) else {
                change = Some(step);
                break;
            };
            pairs.push(pair);
            if let [.., a, b, c] = pairs[..] {
                // The changes of a smooth function grow with the step. If they do not, look again.
                let [before, now] = [(b, a), (c, b)].map(|(long, short)| long.change_from(&short));
                is_looked_at &= before <= 2.0 * self.noise / a.step || 8.0 * before <= now;
            }
            if let [.., short, long] = pairs[..] {
                change = self.raise_noise(&short, &long, &mut is_looked_at);
            }
            let mut contradiction;
            (best, contradiction) = grow(&pairs, self.middle, self.rounding(), true);
            // Stairs may begin between any two steps.
            for i in 1..pairs.len() {
                if contradiction.is_none() || change.is_some() {
                    break;
                }
                if best.is_some_and(|best| pairs[i].step > best.longest) {
                    change = self.raise_noise(&pairs[i - 1], &pairs[i], &mut false);
                    (best, contradiction) = grow(&pairs, self.middle, self.rounding(), true);
                }
            }
            if change.is_some() || contradiction.is_some() || self.noise > self.largest_rounding() {
                change = Some(step);
                break;
            }
        }
        if change.is_none() {
            self.look_beyond(&pairs);
            best = grow(&pairs, self.middle, self.rounding(), true).0;
        }
        let Some(mut best) = best else {
            return Slope { noise: self.noise, magnitude: self.largest, change, ..unknown };
        };
        if change.is_some() {
            pairs.retain(|pair| pair.step <= best.longest);
            best = grow(&pairs, self.middle, self.rounding(), false).0.unwrap_or(best);
        }
        if let Some(kink) = self.kink(&pairs, &best, change.is_none()) {
            return Slope { noise: self.noise, magnitude: self.largest, change, ..kink };
        }
        if best.is_smooth
            && let Some(entry) = self.refine(&pairs, &best, change.is_none())
            && entry.bound < best.bound
        {
            best = entry;
        }
        if self.epsilon >= FINE_EPSILON {
            best.bound = best.bound.max(0.5 * self.hidden_kink(&pairs));
        }
        Slope {
            value: best.value,
            bound: best.bound,
            kink: None,
            change,
            noise: self.noise,
            magnitude: self.largest,
            step: best.shortest,
            evaluations: 0,
        }
    }

    /// If the function has the same value at all steps, searches for a stair further away.
    fn look_beyond(&mut self, pairs: &[Pair]) {
        let Some(last) = pairs.last().copied() else { return };
        if pairs.iter().any(|pair| pair.left != self.middle || pair.right != self.middle) {
            return;
        }
        for distance in [0.5, 2.0] {
            if let Some(pair) = self.pair(distance * self.scale) {
                self.raise_noise(&last, &pair, &mut false);
            }
        }
    }

    fn largest_rounding(&self) -> f64 {
        LARGEST_ROUNDING.max(CANCELLATION * self.epsilon).min(0.1) * self.largest
    }

    fn smallest_step(&self) -> f64 {
        (SMALLEST_STEP * self.largest).max(ROUNDINGS_OF_A_STEP * self.largest_rounding())
    }

    fn rounding(&self) -> Rounding {
        Rounding {
            noise: self.noise,
            spacing: self.spacing,
            caution: if self.epsilon < FINE_EPSILON { 1.0 } else { COARSE_CAUTION },
        }
    }

    /// Returns the steps from the shortest to the longest.
    fn steps(&self) -> Vec<f64> {
        let shortest = (SHORTEST_STEP * self.spacing).min(self.scale / 1024.0);
        let next = |step: &f64| Some(step / if *step > SHORT_STEP * self.scale { RATIO } else { SHORT_RATIO });
        let steps = std::iter::successors(Some(LONGEST_STEP * self.scale), next);
        let mut steps: Vec<f64> = steps.take_while(|step| *step >= shortest).collect();
        steps.reverse();
        steps
    }

    /// Evaluates the function on both sides. Returns `None` if it is not finite there.
    fn pair(&mut self, step: f64) -> Option<Pair> {
        let (right, left) = ((self.f)(step), (self.f)(-step));
        (right.is_finite() && left.is_finite()).then_some(Pair { step, right, left })
    }

    /// Estimates the rounding error of values near 0. It uses differences of fourth order, which
    /// almost vanish for a smooth function but not for its noise (Moré and Wild, *Estimating
    /// Computational Noise*, SIAM J. Sci. Comput. 33(3), 2011, p. 1292).
    fn noise_nearby(&mut self) -> f64 {
        /// The distance between points, in spacings of the variable and relative to its size. It is
        /// odd, so that the points are on all positions of a coarser grid.
        const SPACINGS: f64 = 3.0;
        const DISTANCE: f64 = 1e-13;
        const POINTS: usize = 15;
        /// The noise, in the largest difference of fourth order. For independent noise, it is some
        /// four standard deviations, and for one stair, three quarters of its height.
        const OF_LARGEST: f64 = 0.25;

        let distance = SPACINGS.max(DISTANCE / self.epsilon) * self.spacing;
        let middle = (POINTS / 2) as f64;
        let mut differences: Vec<f64> = (0..POINTS).map(|i| (self.f)((i as f64 - middle) * distance)).collect();
        differences.retain(|value| value.is_finite());
        for _ in 0..4 {
            differences = differences.windows(2).map(|pair| pair[1] - pair[0]).collect();
        }
        let largest = differences.iter().fold(0.0f64, |largest, d| largest.max(d.abs()));
        (OF_LARGEST * largest).max(self.epsilon * self.middle.abs()).max(f64::MIN_POSITIVE)
    }

    /// If the function changes by more than the noise between two steps, searches for a jump.
    /// Raises the noise to a small one, and returns the distance of a large one.
    fn raise_noise(&mut self, short: &Pair, long: &Pair, is_looked_at: &mut bool) -> Option<f64> {
        for _ in 0..MAX_JUMPS {
            let bend = long.quotient(self.middle).bend.abs();
            let is_visible =
                long.change_from(short) > 2.0 * self.noise / short.step || bend > 4.0 * self.noise / long.step;
            if *is_looked_at || !is_visible {
                break;
            }
            *is_looked_at = true;
            let Change::Jump(jump) = self.find_change(short, long) else { break };
            if jump > self.smallest_step() {
                return Some(long.step);
            }
            self.noise = self.noise.max(jump);
            *is_looked_at = false;
        }
        None
    }

    /// Searches the change of the function between the steps of two pairs: halves the interval, and
    /// keeps the half in which the function differs more from the line with the slope of `short`.
    fn find_change(&mut self, short: &Pair, long: &Pair) -> Change {
        let (middle, slope) = (self.middle, short.difference());
        let residual = |t: f64, value: f64| (t, value - middle - slope * t);
        let sides = [
            [residual(short.step, short.right), residual(long.step, long.right)],
            [residual(-short.step, short.left), residual(-long.step, long.left)],
        ];
        let size = |[low, high]: &[(f64, f64); 2]| (high.1 - low.1).abs();
        let mut interval = if size(&sides[0]) >= size(&sides[1]) { sides[0] } else { sides[1] };
        let first = size(&interval);
        while (interval[1].0 - interval[0].0).abs() > 2.0 * self.spacing.max(self.epsilon * interval[1].0.abs()) {
            let t = f64::midpoint(interval[0].0, interval[1].0);
            let middle = residual(t, (self.f)(t));
            if !middle.1.is_finite() {
                return Change::Continuous;
            }
            let halves = [[interval[0], middle], [middle, interval[1]]];
            interval = if size(&halves[0]) >= size(&halves[1]) { halves[0] } else { halves[1] };
            if size(&interval) < first / 64.0 {
                return Change::Continuous;
            }
        }
        let jump = size(&interval);
        if jump > 2.0 * self.noise { Change::Jump(jump) } else { Change::Continuous }
    }

    /// Returns the slope if it jumps at 0: the second difference, divided by the step, is the same
    /// for all short steps.
    fn kink(&self, pairs: &[Pair], best: &Entry, is_whole: bool) -> Option<Slope> {
        let bend = |i: usize| pairs.get(i).map(|pair| pair.quotient(self.middle).bend);
        let is_constant = |i: usize| {
            let (Some(short), Some(long)) = (bend(i), bend(i + 1)) else { return false };
            short.abs() > 16.0 * self.noise / pairs[i].step && (0.75..1.33).contains(&(long / short))
        };
        let first = (0..pairs.len()).find(|&i| is_constant(i) && is_constant(i + 1))?;
        if best.longest <= pairs[first].step {
            return None;
        }
        let pairs = &pairs[first..];
        let [right, left] = [1.0, -1.0].map(|side| {
            let one_sided = |pair: &Pair| {
                let value = if side > 0.0 { pair.right } else { pair.left };
                Quotient { step: pair.step, value: side * (value - self.middle) / pair.step, bend: 0.0 }
            };
            let quotients: Vec<Quotient> = pairs.iter().map(one_sided).collect();
            let entries = tableau(&quotients, ONE_SIDED, self.rounding(), is_whole);
            entries.into_iter().min_by(|a, b| a.bound.total_cmp(&b.bound))
        });
        let (right, left) = (right?, left?);
        let (size, bound) = ((right.value - left.value).abs(), right.bound + left.bound);
        if size <= 4.0 * bound || size <= 1e-6 * right.value.abs().max(left.value.abs()) {
            return None;
        }
        Some(Slope {
            value: f64::midpoint(right.value, left.value),
            bound: bound / 2.0,
            kink: Some(right.value - left.value),
            change: None,
            noise: self.noise,
            magnitude: self.largest,
            step: right.shortest.min(left.shortest),
            evaluations: 0,
        })
    }

    /// Returns the largest jump of the slope at 0 that the noise may hide. With few digits it is
    /// seen only at steps at which a smooth function bends, too: so the part of the bend that
    /// grows with the step is removed.
    fn hidden_kink(&self, pairs: &[Pair]) -> f64 {
        let quotients: Vec<Quotient> = pairs.iter().map(|pair| pair.quotient(self.middle)).collect();
        let mut least = f64::INFINITY;
        let mut seen = 0.0;
        for pair in quotients.windows(2) {
            let (short, long) = (pair[0], pair[1]);
            let ratio = long.step / short.step;
            let jump = ((ratio * short.bend - long.bend) / (ratio - 1.0)).abs();
            let noise = BEND_ROUNDINGS * self.noise / short.step;
            least = f64::min(least, jump.max(seen) + noise);
            seen = (jump - noise).max(0.0);
        }
        if least.is_finite() { least } else { 0.0 }
    }

    /// Extrapolates from steps with a ratio of 2, which have smaller truncation errors for the same
    /// noise, below the longest of `pairs`.
    fn refine(&mut self, pairs: &[Pair], best: &Entry, is_whole: bool) -> Option<Entry> {
        let longest = pairs.last()?.step;
        let mut quotients = Vec::with_capacity(FINE_STEPS);
        for i in (0..FINE_STEPS).rev() {
            let step = longest * 0.5f64.powi(i as i32);
            if step < pairs[0].step {
                continue;
            }
            let known = pairs.iter().find(|pair| pair.step == step).copied();
            let Some(pair) = known.or_else(|| self.pair(step)) else { break };
            quotients.push(pair.quotient(self.middle));
        }
        let entries = tableau(&quotients, FINE, self.rounding(), is_whole).into_iter();
        entries.filter(|entry| !entry.contradicts(best)).min_by(|a, b| a.bound.total_cmp(&b.bound))
    }
}

/// The rounding errors of the values and of the variable.
#[derive(Clone, Copy)]
struct Rounding {
    noise: f64,
    spacing: f64,
    /// A factor on all bounds.
    caution: f64,
}

/// Extrapolates from steps that grow. Returns the entry with the smallest bound, up to the first
/// entry that contradicts it, and that entry.
fn grow(pairs: &[Pair], middle: f64, rounding: Rounding, is_whole: bool) -> (Option<Entry>, Option<Entry>) {
    let quotients: Vec<Quotient> = pairs.iter().map(|pair| pair.quotient(middle)).collect();
    let mut best: Option<Entry> = None;
    for entry in tableau(&quotients, COARSE, rounding, is_whole) {
        match best {
            Some(best) if entry.contradicts(&best) => return (Some(best), Some(entry)),
            Some(old) if entry.bound >= old.bound => {}
            _ => best = Some(entry),
        }
    }
    (best, None)
}

/// A difference quotient.
#[derive(Clone, Copy)]
struct Quotient {
    step: f64,
    value: f64,
    /// The second difference, divided by the step: at a kink, the jump of the slope.
    bend: f64,
}

/// How the errors of difference quotients grow.
#[derive(Clone, Copy)]
struct Extrapolation {
    /// The errors are in the powers `power`, `2 power`, … of the step.
    power: i32,
    /// The maximum order. Higher orders amplify noise and gain nothing.
    max_order: usize,
}

const COARSE: Extrapolation = Extrapolation { power: 2, max_order: 3 };
const FINE: Extrapolation = Extrapolation { power: 2, max_order: 6 };
/// One-sided quotients have errors in all powers of the step.
const ONE_SIDED: Extrapolation = Extrapolation { power: 1, max_order: 3 };

/// Extrapolates difference quotients, given with their steps from the shortest to the longest, to
/// the step 0. Returns the entries for each longest step and order.
fn tableau(quotients: &[Quotient], extrapolation: Extrapolation, rounding: Rounding, is_whole: bool) -> Vec<Entry> {
    let Extrapolation { power, max_order } = extrapolation;
    let n = quotients.len();
    // The change from the quotient before, and the part of it that may be noise.
    let change = |j: usize| if j == 0 { 0.0 } else { (quotients[j].value - quotients[j - 1].value).abs() };
    let noise = |j: usize| 2.0 * rounding.noise / quotients[j.saturating_sub(1)].step;
    let is_visible = |j: usize| change(j) > noise(j);
    let bend = |j: usize| quotients[j].bend.abs();
    let bend_noise = |j: usize| 4.0 * rounding.noise / quotients[j].step;
    // From one step to the next shorter one, the changes of a smooth function decrease as the
    // lowest power of the step, and so do its bends.
    let decreases = |j: usize| {
        let ratio = quotients[j].step / quotients[j - 1].step;
        change(j - 1) <= change(j) / (REGULARITY * ratio.powi(power)) + noise(j - 1)
            && bend(j - 1) <= bend(j) / (BEND_REGULARITY * ratio) + bend_noise(j - 1)
    };
    let rough_from = (1..n).find(|&j| !decreases(j)).unwrap_or(n);
    let mut entries = Vec::new();
    let mut last: Vec<f64> = Vec::new();
    for (i, quotient) in quotients.iter().enumerate() {
        // Row of the entries with this longest step: orders 0, 1, 2, …
        let longest = quotient.step;
        let mut row = vec![quotient.value];
        for order in 1..=i.min(max_order) {
            let factor = (longest / quotients[i - order].step).powi(power);
            let (short, long) = (last[order - 1], row[order - 1]);
            let value = (factor * short - long) / (factor - 1.0);
            row.push(value);
            let shortest = quotients[i - order].step;
            // Away from 0 the slope is another one: by the bend.
            let steepest = value.abs() + quotients[i - order].bend.abs();
            let correction = (value - short).abs().max((value - long).abs());
            let rounding_bound = |roundings: f64| (roundings * rounding.noise + steepest * rounding.spacing) / shortest;
            let plain_bound = TRUNCATION_SAFETY * correction + rounding_bound(2.0);
            // The shorter steps whose quotients differ from the value by more than the noise.
            let distance = |j: usize| (quotients[j].value - value).abs();
            let is_distant = |j: &usize| distance(*j) > correction + 3.0 * rounding.noise / quotients[*j].step;
            let is_seen = i < rough_from && i >= 2 && is_visible(i) && is_visible(i - 1);
            let is_smooth = is_seen || is_whole && rough_from == n && !(0..i - order).any(|j| is_distant(&j));
            let bound = if is_seen {
                TRUNCATION_SAFETY * correction + rounding_bound(SEEN_ROUNDINGS)
            } else if is_smooth {
                TRUNCATION_SAFETY * correction + rounding_bound(UNSEEN_ROUNDINGS)
            } else {
                let changes = (1..=i).filter(|&j| is_visible(j)).map(change);
                let distances = (0..i - order).filter(is_distant).map(distance);
                let bends = (0..=i - order).filter(|&j| bend(j) > bend_noise(j)).map(|j| 0.25 * bend(j));
                let largest = changes.chain(distances).chain(bends).fold(correction, f64::max);
                TRUNCATION_SAFETY * largest + rounding_bound(ROUGH_ROUNDINGS)
            };
            entries.push(Entry { value, bound: rounding.caution * bound, plain_bound, shortest, longest, is_smooth });
        }
        last = row;
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that the error is within the bound and that the bound is at most `max_bound`.
    fn check(f: impl Fn(f64) -> f64, expected: f64, max_bound: f64) {
        let mut f = |x| f(x);
        let slope = slope(&mut f, 1.0, 1.0, f64::EPSILON);
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
        let mut f = |x: f64| f64::from((x as f32 + 0.7).sin());
        let result = slope(&mut f, 1.0, 1.0, f64::from(f32::EPSILON));
        assert!((1e-8..1e-6).contains(&result.noise), "{result:?} for values rounded to f32");
        assert!((result.value - 0.7f64.cos()).abs() <= result.bound, "{result:?}");
        assert!((1e-7..1e-3).contains(&result.bound), "{result:?}");
    }

    /// For a tiny x, `ln(1 + x)` has the rounding error of 1, not of x. It is a staircase.
    #[test]
    fn noise_of_a_small_value_computed_from_a_large_one_is_measured() {
        let mut f = |x: f64| (1.0 + 1e-10 * x.exp()).ln();
        let result = slope(&mut f, 1.0, 1.0, f64::EPSILON);
        assert!((2e-17..2e-15).contains(&result.noise), "{result:?}");
        assert!((result.value - 1e-10).abs() <= result.bound, "{result:?}");
    }

    /// The slope 0 on a stair is not that of the function.
    #[test]
    fn stairs_of_rounding_are_not_flat() {
        for a in [1e8, 1e10, 1e12] {
            let result = slope(&mut |t| (a + (0.5 + t).sin()) - a, 1.0, 0.5, f64::EPSILON);
            assert!((result.value - 0.5f64.cos()).abs() <= result.bound, "{a:e}: {result:?}");
        }
        let result = slope(&mut |t| ((0.5 + t).sin() * 1e4).round() / 1e4, 1.0, 0.5, f64::EPSILON);
        assert!(result.bound > 1e-3, "{result:?}");
    }

    #[test]
    fn a_step_has_the_slope_of_its_sides() {
        let result = slope(&mut |t| (0.3 + t).floor() + 2.0 * t, 1.0, 0.3, f64::EPSILON);
        assert!((result.value - 2.0).abs() <= result.bound && result.bound < 1e-9, "{result:?}");
    }

    #[test]
    fn details_that_long_steps_miss_are_found() {
        let wave = std::f64::consts::PI * 128.0;
        check(|x| (wave * (0.3 + x)).sin(), wave * (wave * 0.3).cos(), 1e-6);
        check(|x| x + 5.0 * x * (-(100.0 * x).powi(2)).exp(), 6.0, 1e-9);
        for x in [1e-5, 1e-9, 1e-12] {
            let result = slope(&mut |t| (x + t).recip(), 1.0, x, f64::EPSILON);
            assert!((result.value + x.powi(-2)).abs() <= result.bound, "{x:e}: {result:?}");
            assert!(result.bound < 1e-6 * x.powi(-2), "{x:e}: {result:?}");
        }
    }

    /// Near its extrema, a fast wave is flat, but steep a step further.
    #[test]
    fn the_rounding_of_the_variable_counts_by_the_slope_around() {
        let cases = [
            [0.4400845835606928, 767361.8928030687, -0.209001585050534, -1.7876496345951498, 1.9763506884697382],
            [-1.24860966210482, 847282.6624252357, 1.846688607951089, 0.609316392532989, -0.47628037261973866],
            [-0.234705897677979, 584439.2591602125, -1.5899053022169722, 1.4682465829470068, 0.7107373756596118],
            [-0.7563140034209681, 769504.3424512704, -0.9824960571152523, 0.1950787572984769, -0.4115635534658466],
            [-1.8836595512673027, 899549.191474964, -0.27470941510884117, -1.399962988320981, 1.0517646861845682],
        ];
        for [x, frequency, phase, height, rate] in cases {
            let mut f = |t: f64| (frequency * (x + t) + phase).sin() * height + (rate * (x + t)).exp();
            let result = slope(&mut f, x.abs().max(1.0), x.abs(), f64::EPSILON);
            let expected = frequency * height * (frequency * x + phase).cos() + rate * (rate * x).exp();
            assert!((result.value - expected).abs() <= result.bound, "{x}: {expected} {result:?}");
        }
    }

    /// In f32, a smooth function bends where a small kink could be seen.
    #[test]
    fn a_kink_that_noise_and_bend_hide_is_within_the_bound() {
        for i in 0..400 {
            let (x, jump) = (0.6f32 + 0.001 * i as f32, 4e-4 + 4e-6 * i as f32);
            let f = |t: f64| {
                let t = (f64::from(x) + t) as f32;
                f64::from((1.8 * t).sin() + jump * (t - x).max(0.0))
            };
            let result = slope(&mut { f }, 1.0, f64::from(x), f64::from(f32::EPSILON));
            let left = 1.8 * (1.8 * f64::from(x)).cos();
            let middle = left + f64::from(jump) / 2.0;
            let half = f64::from(jump) / 2.0;
            assert!((result.value - middle).abs() <= result.bound + half, "{x}: {middle} {result:?}");
            assert!(2.0 * result.bound + result.kink.unwrap_or_default().abs() > half, "{x}: {jump} {result:?}");
        }
    }

    #[test]
    fn a_kink_nearby_ends_the_steps() {
        for distance in [1e-9, 1e-6, 1e-3] {
            let mut f = |x: f64| (x - distance).abs() + 0.3 * x + 0.7;
            let result = slope(&mut f, 1.0, 1.0, f64::EPSILON);
            assert!((result.value + 0.7).abs() <= result.bound, "{distance:e}: {result:?}");
            assert!(result.kink.is_none() && result.change.is_some_and(|change| change >= distance), "{result:?}");
        }
    }

    #[test]
    fn a_kink_is_detected_and_measured() {
        let mut f = |x: f64| 2.0 * x.abs() + x;
        let result = slope(&mut f, 1.0, 0.0, f64::EPSILON);
        assert!((result.kink.unwrap_or_default() - 4.0).abs() < 1e-6, "{result:?}");
        assert!((result.value - 1.0).abs() < 1e-9);
        let mut f = |x: f64| (-x.abs()).exp().ln_1p();
        let result = slope(&mut f, 1.0, 0.0, f64::EPSILON);
        assert!((result.kink.unwrap_or_default() + 1.0).abs() < 1e-6, "{result:?}");
    }

    #[test]
    fn a_function_that_is_finite_only_near_0_has_a_slope() {
        check(|x| if x.abs() > 0.01 { f64::NAN } else { x.exp() }, 1.0, 1e-9);
        let result = slope(&mut |_| f64::NAN, 1.0, 1.0, f64::EPSILON);
        assert!(result.value.is_nan() && result.bound.is_infinite());
    }
}
