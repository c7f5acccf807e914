//! Points: values for everything that a document does not define.
//!
//! Points are sought where all sides are defined. Nothing is known about the domain of an input, so
//! several are tried in a fixed order: real numbers of several scales, numbers between 0 and 1,
//! positive numbers, and mixtures. So whether points are found does not depend on the seed.

use std::collections::BTreeMap;
use std::ops::{Add, Div, Sub};

use crate::document::Assumption;
use crate::real::Real;
use crate::typing::{Model, ROWS, Range, Ranges};
use crate::value::{Value, sides};

/// A small random number generator (`SplitMix64`, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(seed ^ stream.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.bits() % limit.max(1) as u64) as usize
    }

    /// A number between 0 and 1 that is neither, with 20 bits.
    fn unit(&mut self) -> f64 {
        ((self.bits() >> 44) as f64 + 0.5) / f64::from(1 << 20)
    }
}

/// Values for the inputs, and lengths for the ranges.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    lengths: BTreeMap<Range, usize>,
    /// The values of each input, one for each row or one for all.
    values: BTreeMap<String, Vec<Value<Real>>>,
}

impl Point {
    /// Makes a point. Its lengths are those of classes of ranges.
    pub(crate) fn new(lengths: BTreeMap<Range, usize>, values: BTreeMap<String, Vec<Value<Real>>>) -> Self {
        Self { lengths, values }
    }

    pub(crate) fn length(&self, ranges: &Ranges, range: Range) -> usize {
        self.lengths.get(&ranges.find(range)).copied().unwrap_or(1)
    }

    pub(crate) fn value(&self, head: &str, row: usize) -> Option<&Value<Real>> {
        let values = self.values.get(head)?;
        values.get(row).or(values.first())
    }

    /// Changes the values of a name.
    #[cfg(test)]
    pub(crate) fn change(&mut self, head: &str, change: impl FnMut(&mut Value<Real>)) {
        self.values.get_mut(head).into_iter().flatten().for_each(change);
    }

    /// Returns the rows of a name's values.
    pub(crate) fn rows(&self, head: &str) -> &[Value<Real>] {
        self.values.get(head).map_or(&[], Vec::as_slice)
    }
}

/// How the values of a point are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    /// Real numbers of a scale.
    Real(f64),
    /// Between a number and twice this number: the other styles may stay on one side of a
    /// threshold like 500.
    Far(f64),
    /// Between 0 and 1.
    Unit,
    /// Positive.
    Positive,
    /// Each name in one of these ways.
    Mixed,
    /// Round numbers, the rounder the smaller the level.
    Round(u32),
}

/// Draws points for one statement.
pub(crate) struct Sampler<'a> {
    pub(crate) model: &'a Model,
    pub(crate) ranges: &'a Ranges,
    /// The inputs that occur.
    pub(crate) inputs: &'a [String],
    pub(crate) assumptions: &'a [&'a Assumption],
    pub(crate) seed: u64,
}

/// The styles in the order in which they are tried.
pub(crate) const STYLES: [Style; 19] = [
    Style::Real(1.0),
    Style::Unit,
    Style::Real(1.0),
    Style::Positive,
    Style::Mixed,
    Style::Real(0.125),
    Style::Real(4.0),
    Style::Mixed,
    Style::Unit,
    Style::Real(1.0 / 1024.0),
    Style::Mixed,
    Style::Real(16.0),
    Style::Positive,
    Style::Mixed,
    Style::Real(64.0),
    Style::Mixed,
    Style::Real(1.0 / 1_048_576.0),
    Style::Far(4096.0),
    Style::Far(-4096.0),
];

impl Sampler<'_> {
    /// Draws the point of a number. Equal numbers give equal points.
    pub(crate) fn point(&self, number: usize) -> Point {
        let style = STYLES[number % STYLES.len()];
        self.draw(style, number, Random::new(self.seed, number as u64))
    }

    /// Draws a point of round numbers, for a counterexample that can be checked by hand.
    pub(crate) fn round(&self, number: usize) -> Point {
        self.draw(Style::Round(number as u32 / 24), 0, Random::new(0, number as u64))
    }

    fn draw(&self, style: Style, number: usize, mut random: Random) -> Point {
        let mut lengths = BTreeMap::new();
        for (place, range) in self.ranges.classes().into_iter().enumerate() {
            let sized = self.assumptions.iter().find_map(|assumption| match assumption {
                Assumption::Size(name, length) => {
                    let sized = self.model.sizes.get(name)?;
                    (self.ranges.find(*sized) == range).then_some(*length)
                }
                _ => None,
            });
            // Different lengths, so that a transposed matrix does not fit by chance.
            let drawn = if matches!(style, Style::Round(_)) { 2 } else { 2 + (place + number) % 4 };
            let length = sized.or(self.ranges.fixed(range)).unwrap_or(drawn.max(self.ranges.least(range)));
            lengths.insert(range, length);
        }
        let mut point = Point { lengths, values: BTreeMap::new() };
        let rows = point.length(self.ranges, ROWS);
        for head in self.inputs {
            let style = match style {
                Style::Mixed => [Style::Real(1.0), Style::Unit, Style::Positive, Style::Real(8.0)][random.below(4)],
                style => style,
            };
            let count = if self.model.by_row.contains(head) { rows } else { 1 };
            let values = (0..count).map(|_| self.value(head, style, &point, &mut random)).collect();
            point.values.insert(head.clone(), values);
        }
        point
    }

    fn value(&self, head: &str, style: Style, point: &Point, random: &mut Random) -> Value<Real> {
        let slots = self.model.slots.get(head).map_or(&[][..], Vec::as_slice);
        let lengths: Vec<usize> = slots.iter().map(|&range| point.length(self.ranges, range)).collect();
        let (rows, columns) = sides(&lengths);
        let count = rows * columns;
        if let Some(&range) = self.model.labels.get(head) {
            let length = point.length(self.ranges, range);
            let label = |random: &mut Random| Real::new(random.below(length) as f64 + self.model.base as f64);
            return Value { rows, columns, entries: (0..count).map(|_| label(random)).collect() };
        }
        let mut one_of = None;
        let mut between = None;
        let mut sums_to_one = false;
        for assumption in self.assumptions {
            match assumption {
                Assumption::OneOf(name, numbers) if name == head => one_of = Some(numbers),
                Assumption::Between(name, low, high) if name == head => between = Some((*low, *high)),
                Assumption::SumOne(name) if name == head => sums_to_one = true,
                _ => {}
            }
        }
        let mut entries: Vec<Real> = match (one_of, between) {
            (Some(numbers), _) if sums_to_one && numbers.contains(&0.0) && numbers.contains(&1.0) => {
                let one = random.below(count);
                return Value {
                    rows,
                    columns,
                    entries: (0..count).map(|k| if k == one { Real::ONE } else { Real::ZERO }).collect(),
                };
            }
            (Some(numbers), _) => (0..count).map(|_| Real::new(numbers[random.below(numbers.len())])).collect(),
            (None, Some((low, high))) => (0..count).map(|_| Real::new(inside(low, high, style, random))).collect(),
            (None, None) if sums_to_one && matches!(style, Style::Round(_)) => {
                // A one-hot vector is the simplest with the sum one.
                let one = random.below(count);
                (0..count).map(|k| if k == one { Real::ONE } else { Real::ZERO }).collect()
            }
            (None, None) => (0..count).map(|_| Real::new(plain(style, random))).collect(),
        };
        if sums_to_one {
            let sum = entries.iter().fold(Real::ZERO, |sum, &entry| sum.add(entry));
            // Positive entries stay positive.
            if between.is_some_and(|(low, _)| low >= 0.0) && sum.is_nonzero() {
                let entries = entries.into_iter().map(|entry| entry.div(sum)).collect();
                return Value { rows, columns, entries };
            }
            let missing = Real::ONE.sub(sum).div(Real::new(count as f64));
            if missing.is_nonzero() {
                entries.iter_mut().for_each(|entry| *entry = entry.add(missing));
            }
        }
        Value { rows, columns, entries }
    }
}

/// Draws a number of a style. Its digits are few, so that it is exact and sums of it are.
fn plain(style: Style, random: &mut Random) -> f64 {
    match style {
        Style::Unit => random.unit(),
        Style::Positive => (random.unit() * 6.0 - 3.0).exp2(),
        Style::Far(least) => least * (1.0 + random.unit()),
        Style::Real(scale) => (random.unit() + random.unit() + random.unit() - 1.5) * 2.0 * scale,
        Style::Mixed => random.unit(),
        Style::Round(level) => {
            let choices: &[f64] = match level {
                0 => &[0.0, 1.0],
                1 => &[1.0, 2.0, 0.0, -1.0],
                2 => &[0.5, 1.0, 2.0, -1.0, 3.0],
                3 => &[0.5, 0.25, 0.75],
                _ => &[0.5, 1.5, 3.0, 2.0, -2.0, 0.25, 5.0],
            };
            choices[random.below(choices.len())]
        }
    }
}

/// Draws a number between two, which may be infinite.
fn inside(low: f64, high: f64, style: Style, random: &mut Random) -> f64 {
    let part = if matches!(style, Style::Round(_)) { (1 + random.below(3)) as f64 / 4.0 } else { random.unit() };
    let mut distance = || match style {
        Style::Round(_) => 1.0 + random.below(2) as f64,
        Style::Far(least) => least.abs() * (1.0 + part),
        _ => (part * 6.0 - 3.0).exp2(),
    };
    match (low.is_finite(), high.is_finite()) {
        (true, true) => low + (high - low) * part,
        (true, false) => low + distance(),
        (false, true) => high - distance(),
        (false, false) => plain(style, random),
    }
}
