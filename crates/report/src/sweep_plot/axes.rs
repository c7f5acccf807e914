//! The axes of a sweep's plot: for keys and for metrics.

use std::ops::Range;

use chainrule_records::{GridKey, number_value, plain_value};

use crate::pen::cut;

/// The axis of a key.
pub(super) struct KeyAxis {
    pub(super) key: String,
    /// The key with a note on the scale.
    pub(super) title: String,
    /// The position of each value, in the grid's order.
    pub(super) at: Vec<f64>,
    pub(super) labels: Vec<String>,
    /// The rank of each value along the axis.
    pub(super) order: Vec<usize>,
    /// Whether all values are numbers.
    pub(super) is_ordered: bool,
}

impl KeyAxis {
    pub(super) fn of(key: &GridKey) -> Self {
        let labels: Vec<String> = key.values.iter().map(|value| plain_value(value)).collect();
        let numbers: Option<Vec<f64>> = key.values.iter().map(|value| number_value(value)).collect();
        let is_ordered = numbers.is_some();
        let (at, is_logarithmic) = match &numbers {
            None => ((0..labels.len()).map(|i| i as f64).collect(), false),
            Some(numbers) => positions(numbers),
        };
        let order = at.iter().map(|x| at.iter().filter(|other| *other < x).count()).collect();
        let has_zero = numbers.is_some_and(|numbers| numbers.contains(&0.0));
        let title = match (is_logarithmic, has_zero) {
            (false, _) => key.key.clone(),
            (true, false) => format!("{} (logarithmic)", key.key),
            (true, true) => format!("{} (logarithmic, 0 at the left)", key.key),
        };
        Self { key: key.key.clone(), title, at, labels, order, is_ordered }
    }

    pub(super) fn range(&self) -> Range<f64> {
        let [low, high] = ends(&self.at);
        let margin = if !self.is_ordered || high == low { 0.5 } else { 0.06 * (high - low) };
        low - margin..high + margin
    }

    /// Returns the ticks whose labels fit on this many pixels. `letter` is the width of a letter.
    pub(super) fn ticks(&self, pixels: f64, letter: f64) -> Vec<(f64, String)> {
        let range = self.range();
        let unit = pixels / (range.end - range.start);
        let slot = if self.is_ordered { f64::INFINITY } else { (unit / letter - 1.0).max(4.0) };
        let mut ticks: Vec<(f64, String)> =
            self.at.iter().copied().zip(self.labels.iter().map(|text| cut(text, slot as usize))).collect();
        ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut end = f64::NEG_INFINITY;
        ticks.retain(|(at, label)| {
            let (middle, half) = ((at - range.start) * unit, 0.5 * letter * label.chars().count() as f64);
            let has_room = middle - half > end;
            if has_room {
                end = middle + half + letter;
            }
            has_room
        });
        ticks
    }
}

/// Returns the positions of numbers, and whether the axis is logarithmic.
///
/// The axis is logarithmic if no number is negative and the positive ones span at least two
/// decades, unless they are about evenly spaced, as seeds are. On a logarithmic axis, 0 is to the
/// left of the smallest positive number.
fn positions(numbers: &[f64]) -> (Vec<f64>, bool) {
    let mut positive: Vec<f64> = numbers.iter().copied().filter(|number| *number > 0.0).collect();
    positive.sort_by(f64::total_cmp);
    let gaps: Vec<f64> = positive.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let [narrowest, widest] = ends(&gaps);
    let is_even = gaps.len() > 1 && widest <= 3.0 * narrowest;
    let [low, high] = ends(&positive);
    let is_narrow = positive.is_empty() || high / low < 100.0 * (1.0 - 1e-12);
    if is_narrow || is_even || numbers.iter().any(|number| *number < 0.0) {
        return (numbers.to_vec(), false);
    }
    let step = (high / low).log10() / (positive.len() - 1) as f64;
    let zero = low.log10() - step.max(0.5);
    (numbers.iter().map(|number| if *number > 0.0 { number.log10() } else { zero }).collect(), true)
}

/// Returns the smallest and the largest value.
fn ends(values: &[f64]) -> [f64; 2] {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    [low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unit {
    Nats,
    /// Printed as a percentage.
    Fraction,
}

/// The vertical axis of a metric.
pub(super) struct ValueAxis {
    pub(super) label: &'static str,
    pub(super) unit: Unit,
    pub(super) is_logarithmic: bool,
    /// The smallest and largest mapped value: logarithms if the axis is logarithmic.
    pub(super) ends: [f64; 2],
}

impl ValueAxis {
    /// Creates an axis. It is logarithmic if a few large values would make the others
    /// indistinguishable.
    pub(super) fn of(label: &'static str, values: &[f64], unit: Unit) -> Self {
        let [low, high] = if values.is_empty() { [0.0, 1.0] } else { ends(values) };
        let is_logarithmic = unit == Unit::Nats && low > 0.0 && high / low >= 20.0;
        let ends = if is_logarithmic { [low.log10(), high.log10()] } else { [low, high] };
        Self { label, unit, is_logarithmic, ends }
    }

    pub(super) fn map(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.log10() } else { value }
    }

    /// Returns the position of a value, from 0 for the lowest to 1 for the highest.
    pub(super) fn position(&self, value: f64) -> f64 {
        self.share(self.map(value))
    }

    /// Like [`position`](Self::position), for a mapped value.
    pub(super) fn share(&self, mapped: f64) -> f64 {
        let [low, high] = self.ends;
        if high > low { (mapped - low) / (high - low) } else { 0.0 }
    }

    /// Returns the range from the lowest to the highest mapped value, with a margin.
    pub(super) fn range(&self) -> Range<f64> {
        let [low, high] = self.ends;
        let margin = if high > low { 0.09 * (high - low) } else { 0.05 * low.abs().max(1e-3) };
        low - margin..high + margin
    }

    /// Returns about this many round values in the range, mapped, with their labels.
    pub(super) fn ticks(&self, about: usize) -> Vec<(f64, String)> {
        let range = self.range();
        if self.is_logarithmic {
            let width = range.end - range.start;
            let digits: &[f64] = if width > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            // If there are many decades, only every second or third one is labelled.
            let decades = range.start.floor() as i32..=range.end.ceil() as i32;
            let decades = decades.step_by((width / 6.0).ceil() as usize);
            let values = decades.flat_map(|decade| digits.iter().map(move |digit| (*digit, decade)));
            let place = |(digit, decade): (f64, i32)| digit.log10() + f64::from(decade);
            let label = |(digit, decade): (f64, i32)| match decade {
                -3..=4 => format!("{}", (digit * 10f64.powi(decade) * 1e4).round() / 1e4),
                _ => format!("{digit}e{decade}"),
            };
            let inside = values.filter(|&value| range.contains(&place(value)));
            return inside.map(|value| (place(value), label(value))).collect();
        }
        let percent = if self.unit == Unit::Fraction { 100.0 } else { 1.0 };
        let (low, high) = (percent * range.start, percent * range.end);
        let min_step = (high - low) / about as f64;
        let power = min_step.log10().floor();
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|digit| digit * 10f64.powf(power)).into_iter().find(|step| *step >= min_step);
        let step = step.unwrap_or(min_step);
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let first = (low / step).ceil() as i64;
        let numbers = (first..).map(|i| i as f64 * step).take_while(|value| *value <= high).take(50);
        let is_possible = |value: &f64| {
            self.unit == Unit::Nats && *value >= 0.0 || self.unit == Unit::Fraction && (0.0..=100.0).contains(value)
        };
        let unit = if self.unit == Unit::Fraction { " %" } else { "" };
        numbers.filter(is_possible).map(|value| (value / percent, format!("{value:.digits$}{unit}"))).collect()
    }
}
