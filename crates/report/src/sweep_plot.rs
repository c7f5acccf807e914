//! A sweep as one picture: two panels over one key, a map over two, and for more a panel for each key.

use std::ops::Range;

use chainrule_records::{FinalMetrics, GridKey, number_value, plain_value};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::draw::{FAMILY, GRID, IN_MEMORY, PNG_SCALE, bitmap, encode, use_font, vector};
use crate::figure;
use crate::sweep::{Sweep, SweepPoint, number, percent};

pub(crate) fn svg(sweep: &Sweep) -> String {
    use_font();
    let plot = Plot::of(sweep);
    vector(plot.size(), |area| plot.draw(area, 1)).0
}

pub(crate) fn png(sweep: &Sweep) -> Vec<u8> {
    use_font();
    let plot = Plot::of(sweep);
    let [width, height] = plot.size();
    let pixels = bitmap([width, height], |area, scale| plot.draw(area, scale));
    encode(&pixels, width * PNG_SCALE, height * PNG_SCALE, png::ColorType::Rgb)
}

const LOSS: &str = "validation loss (nats)";
const BLUE: RGBColor = rgb(figure::Color::Blue);
const VERMILLION: RGBColor = rgb(figure::Color::Vermillion);
const SKY: RGBColor = rgb(figure::Color::Sky);
/// Behind what has no number.
const NOTHING: RGBColor = RGBColor(0xee, 0xee, 0xee);

const fn rgb(color: figure::Color) -> RGBColor {
    let [r, g, b] = color.rgb();
    RGBColor(r, g, b)
}

/// How a sweep is drawn.
struct Plot<'a> {
    sweep: &'a Sweep,
    axes: Vec<KeyAxis>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Loss above, accuracy below.
    OneKey,
    /// The second key's values from left to right, the first's from bottom to top.
    Map,
    /// For each key a panel with every point.
    EachKey,
}

/// What is drawn over a key.
type Metric = fn(&FinalMetrics) -> f64;

/// Height of the two lines above a plot.
const HEAD: u32 = 52;
/// Rows and columns of a map at most, for which there is room.
const MOST_CELLS: usize = 24;
/// Around a map: for the row's names, for the columns', and for the scale of colours.
const MAP_LEFT: u32 = 118;
const MAP_BELOW: u32 = 52;
const MAP_RIGHT: u32 = 104;
/// A panel for one of many keys.
const PANEL: [u32; 2] = [330, 250];

impl<'a> Plot<'a> {
    fn of(sweep: &'a Sweep) -> Self {
        let axes: Vec<KeyAxis> = sweep.grid.keys().iter().map(KeyAxis::of).collect();
        let kind = match &axes[..] {
            [_] => Kind::OneKey,
            [a, b] if a.labels.len().max(b.labels.len()) <= MOST_CELLS => Kind::Map,
            _ => Kind::EachKey,
        };
        Self { sweep, axes, kind }
    }

    fn size(&self) -> [u32; 2] {
        match self.kind {
            Kind::OneKey => [640, HEAD + 466],
            Kind::Map => {
                let [width, height] = self.cell();
                let [rows, columns] = [0, 1].map(|key| self.axes[key].labels.len() as u32);
                [(MAP_LEFT + columns * width + MAP_RIGHT).max(560), HEAD + rows * height + MAP_BELOW]
            }
            Kind::EachKey => {
                let [rows, columns] = self.panels();
                [columns * PANEL[0], HEAD + rows * PANEL[1]]
            }
        }
    }

    /// Width and height of a map's cell.
    fn cell(&self) -> [u32; 2] {
        let [rows, columns] = [0, 1].map(|key| self.axes[key].labels.len() as u32);
        // Few rows are high enough for their key's name beside them.
        [(560 / columns).clamp(26, 92), (400 / rows).clamp(20, 44).max(170 / rows)]
    }

    /// Rows and columns of panels.
    fn panels(&self) -> [u32; 2] {
        let keys = self.axes.len() as u32;
        let columns = if keys == 4 { 2 } else { keys.min(3) };
        [keys.div_ceil(columns), columns]
    }

    /// The largest loss that is drawn. What nearly diverged would leave no room for the others.
    fn ceiling(&self) -> f64 {
        let best = self.sweep.best().and_then(SweepPoint::validation_loss);
        best.filter(|best| *best > 0.0).map_or(f64::INFINITY, |best| 1000.0 * best)
    }

    /// A point's validation loss, where it is drawn.
    fn loss(&self, point: &SweepPoint) -> Option<f64> {
        point.validation_loss().filter(|loss| *loss <= self.ceiling())
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, scale: u32) {
        area.fill(&WHITE).expect(IN_MEMORY);
        let pen = Pen { area, scale };
        self.draw_head(&pen);
        match self.kind {
            Kind::OneKey => self.draw_one_key(&pen),
            Kind::Map => self.draw_map(&pen),
            Kind::EachKey => self.draw_each_key(&pen),
        }
    }

    /// The best point in words, and what the marks mean, above everything, so that neither hides a point.
    fn draw_head<B: DrawingBackend>(&self, pen: &Pen<'_, B>) {
        let width = self.size()[0] as i32;
        let best = self.sweep.best().and_then(|best| Some((best, best.summary()?)));
        let text = match best {
            None if self.sweep.has_models() => "losses do not compare".to_owned(),
            None => "no point has a model".to_owned(),
            Some((best, summary)) => {
                let last = &summary.final_metrics;
                let (loss, accuracy) = (number(last.validation_loss, 4), percent(last.validation_accuracy));
                format!("best: {} ({loss} nats, {accuracy})", self.sweep.describe(best))
            }
        };
        match self.kind {
            _ if best.is_none() => {}
            Kind::Map => pen.frame([14, 11], [27, 24]),
            Kind::OneKey | Kind::EachKey => pen.ring([20.0, 17.0], 6.0),
        }
        pen.write(&pen.cut(&text, 13, width - 44), 13, [32, 17], HPos::Left, BLACK);
        let mut left = 14;
        let mut item = |mark: &dyn Fn(i32), text: &str| {
            mark(left);
            pen.write(text, 12, [left + 20, 38], HPos::Left, BLACK);
            left += 36 + pen.width(text, 12);
        };
        let dot = |color: RGBColor| move |left: i32| pen.dot([f64::from(left) + 8.0, 38.0], 4.0, color);
        match self.kind {
            Kind::OneKey => {
                item(&dot(VERMILLION), "validation rows");
                item(&dot(BLUE), "training rows");
            }
            Kind::Map if self.has_two_lines() => pen.write(
                "in each cell validation loss (nats), as the colour tells, and accuracy",
                12,
                [14, 38],
                HPos::Left,
                BLACK,
            ),
            Kind::Map => pen.write("dark to light: validation loss (nats)", 12, [14, 38], HPos::Left, BLACK),
            Kind::EachKey => {
                item(&dot(SKY), "a point");
                item(&dot(BLUE), "the best with this value");
            }
        }
        if self.kind != Kind::Map && self.sweep.points.iter().any(|point| self.loss(point).is_none()) {
            item(&|left| pen.cross([f64::from(left) + 8.0, 38.0]), "diverged, or far above");
        }
    }

    fn draw_one_key<B: DrawingBackend>(&self, pen: &Pen<'_, B>) {
        let axis = &self.axes[0];
        let draw = |metrics: [Metric; 2], ceiling: f64, y: (&'static str, Unit), place: [i32; 4]| {
            let at = |point: &SweepPoint, metric: Metric| {
                let value = metric(&point.summary()?.final_metrics);
                (value <= ceiling).then_some((axis.at[point.at[0]], value))
            };
            let [training, validation] = metrics.map(|metric| {
                let mut points: Vec<(f64, f64)> =
                    self.sweep.points.iter().filter_map(|point| at(point, metric)).collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                points
            });
            let all: Vec<f64> = training.iter().chain(&validation).map(|point| point.1).collect();
            let (y, has_x) = (ValueAxis::of(y.0, &all, y.1), y.1 == Unit::Fraction);
            let lost = self.without(0, |point| at(point, metrics[1]).is_some());
            let best = self.sweep.best().and_then(|best| at(best, metrics[1]));
            let marks = [(BLUE, training), (VERMILLION, validation)];
            let marks = marks.map(|(color, points)| Marks { color, points, is_line: axis.is_ordered });
            Panel { x: axis, y: &y, has_x, lost: &lost }.draw(pen, place, &marks, best);
        };
        let losses: [Metric; 2] = [|last| last.train_loss, |last| last.validation_loss];
        let accuracies: [Metric; 2] = [|last| last.train_accuracy, |last| last.validation_accuracy];
        let top = HEAD as i32;
        let loss = if self.sweep.is_weighted() { "weighted cross-entropy (nats)" } else { "cross-entropy (nats)" };
        draw(losses, self.ceiling(), (loss, Unit::Nats), [76, top + 8, 620, top + 218]);
        draw(accuracies, 1.0, ("accuracy", Unit::Fraction), [76, top + 240, 620, top + 420]);
    }

    /// Where along a key the points lie that cannot be drawn.
    fn without(&self, key: usize, is_drawn: impl Fn(&SweepPoint) -> bool) -> Vec<f64> {
        let lost = self.sweep.points.iter().filter(|point| !is_drawn(point));
        let mut lost: Vec<f64> = lost.map(|point| self.axes[key].at[point.at[key]]).collect();
        lost.sort_by(f64::total_cmp);
        lost.dedup();
        lost
    }

    fn draw_each_key<B: DrawingBackend>(&self, pen: &Pen<'_, B>) {
        let [_, columns] = self.panels();
        let losses: Vec<f64> = self.sweep.points.iter().filter_map(|point| self.loss(point)).collect();
        let y = ValueAxis::of(LOSS, &losses, Unit::Nats);
        for (key, axis) in self.axes.iter().enumerate() {
            let [left, top] =
                [key as u32 % columns * PANEL[0], HEAD + key as u32 / columns * PANEL[1]].map(|side| side as i32);
            let [width, height] = PANEL.map(|side| side as i32);
            let place = |point: &SweepPoint| Some((axis.at[point.at[key]], self.loss(point)?));
            let all: Vec<(f64, f64)> = self.sweep.points.iter().filter_map(place).collect();
            let mut lowest: Vec<(f64, f64)> = Vec::new();
            for &(x, loss) in &all {
                match lowest.iter_mut().find(|point| point.0 == x) {
                    Some(point) => point.1 = point.1.min(loss),
                    None => lowest.push((x, loss)),
                }
            }
            lowest.sort_by(|a, b| a.0.total_cmp(&b.0));
            let marks = [
                Marks { color: SKY, points: all, is_line: false },
                Marks { color: BLUE, points: lowest, is_line: axis.is_ordered },
            ];
            let panel =
                Panel { x: axis, y: &y, has_x: true, lost: &self.without(key, |point| self.loss(point).is_some()) };
            let axes = [left + 76, top + 8, left + width - 14, top + height - 52];
            panel.draw(pen, axes, &marks, self.sweep.best().and_then(place));
        }
    }

    /// Whether a cell of the map has room for a loss and an accuracy, one below the other.
    fn has_two_lines(&self) -> bool {
        let [width, height] = self.cell();
        width >= 60 && height >= 34
    }

    fn draw_map<B: DrawingBackend>(&self, pen: &Pen<'_, B>) {
        let [width, height] = self.cell().map(|side| side as i32);
        let [down, across] = [0, 1].map(|key| &self.axes[key]);
        let (rows, columns) = (down.labels.len() as i32, across.labels.len() as i32);
        let (left, top) = (MAP_LEFT as i32, HEAD as i32);
        let (right, bottom) = (left + columns * width, top + rows * height);
        let losses: Vec<f64> = self.sweep.points.iter().filter_map(|point| self.loss(point)).collect();
        let scale = ValueAxis::of(LOSS, &losses, Unit::Nats);
        let corner = |point: &SweepPoint| {
            let [row, column] = [(down, 0), (across, 1)].map(|(axis, key)| axis.order[point.at[key]] as i32);
            // Numbers grow upwards, as on any axis; names are read from the top.
            let row = if down.is_ordered { rows - 1 - row } else { row };
            [left + column * width, top + row * height]
        };
        pen.fill([left, top], [right, bottom], WHITE);
        for point in &self.sweep.points {
            let [x, y] = corner(point);
            let middle = [x + width / 2, y + height / 2];
            let (ground, ink) = match point.validation_loss() {
                None => (NOTHING, BLACK),
                Some(loss) => shade(scale.position(loss)),
            };
            pen.fill([x, y], [x + width, y + height], ground);
            match point.summary() {
                None if width >= 60 => pen.write("diverged", 11, middle, HPos::Center, ink),
                None => pen.cross(middle.map(f64::from)),
                Some(summary) if self.has_two_lines() => {
                    let last = &summary.final_metrics;
                    pen.write(&number(last.validation_loss, 4), 12, [middle[0], middle[1] - 8], HPos::Center, ink);
                    pen.write(&percent(last.validation_accuracy), 11, [middle[0], middle[1] + 9], HPos::Center, ink);
                }
                Some(summary) if width >= 44 => {
                    pen.write(&number(summary.final_metrics.validation_loss, 4), 11, middle, HPos::Center, ink);
                }
                Some(_) => {}
            }
        }
        for row in 0..=rows {
            pen.line([left, top + row * height], [right, top + row * height], WHITE);
        }
        for column in 0..=columns {
            pen.line([left + column * width, top], [left + column * width, bottom], WHITE);
        }
        if let Some([x, y]) = self.sweep.best().map(corner) {
            pen.frame([x + 1, y + 1], [x + width - 1, y + height - 1]);
        }
        self.draw_names(pen, [left, top, right, bottom]);
        draw_scale(pen, &scale, [right + 22, top, right + 36, bottom.max(top + 90).min(top + 220)]);
    }

    /// What a map's rows and columns are.
    fn draw_names<B: DrawingBackend>(&self, pen: &Pen<'_, B>, [left, top, _, bottom]: [i32; 4]) {
        let [width, height] = self.cell().map(|side| side as i32);
        let [down, across] = [0, 1].map(|key| &self.axes[key]);
        let rows = down.labels.len() as i32;
        for (label, &place) in down.labels.iter().zip(&down.order) {
            let row = if down.is_ordered { rows - 1 - place as i32 } else { place as i32 };
            let label = pen.cut(label, 12, left - 40);
            pen.write(&label, 12, [left - 8, top + row * height + height / 2], HPos::Right, BLACK);
        }
        // Numbers too wide for their columns are told of some; names are cut, as long as there is room for some letters.
        let widest = across.labels.iter().map(|label| pen.width(label, 12)).max().unwrap_or_default().min(90);
        let is_told_of_all = !across.is_ordered && width >= 40;
        let every = if is_told_of_all { 1 } else { (widest + 6).div_euclid(width) as usize + 1 };
        for (label, &place) in across.labels.iter().zip(&across.order) {
            if place % every == 0 {
                let middle = left + place as i32 * width + width / 2;
                let label = pen.cut(label, 12, width * every as i32 - 4);
                pen.write(&label, 12, [middle, bottom + 12], HPos::Center, BLACK);
            }
        }
        let middle = left + across.labels.len() as i32 * width / 2;
        pen.write(&across.key, 13, [middle, bottom + 35], HPos::Center, BLACK);
        pen.write_upwards(&pen.cut(&down.key, 13, (bottom - top).max(120)), 13, [14, (top + bottom) / 2]);
    }
}

/// The colours of a map, and what they stand for.
fn draw_scale<B: DrawingBackend>(pen: &Pen<'_, B>, axis: &ValueAxis, [left, top, right, bottom]: [i32; 4]) {
    let height = bottom - top;
    for y in 0..height {
        let (color, _) = shade(1.0 - (f64::from(y) + 0.5) / f64::from(height));
        pen.fill([left, top + y], [right, top + y + 1], color);
    }
    for (at, label) in axis.ticks(7) {
        let y = bottom - (axis.share(at) * f64::from(height)).round() as i32;
        if (top - 1..=bottom + 1).contains(&y) {
            pen.line([right, y], [right + 4, y], BLACK);
            pen.write(&label, 12, [right + 8, y], HPos::Left, BLACK);
        }
    }
}

/// A colour for 0, the lowest loss, to 1, the highest, dark to light, and what is legible on it. Between the ends of one hue, so that it is read without
/// colours too.
fn shade(position: f64) -> (RGBColor, RGBColor) {
    const STOPS: [[f64; 3]; 4] =
        [[8.0, 48.0, 107.0], [33.0, 113.0, 181.0], [107.0, 174.0, 214.0], [239.0, 246.0, 255.0]];
    let at = position.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let from = (at as usize).min(STOPS.len() - 2);
    let part = at - from as f64;
    let [r, g, b] = [0, 1, 2].map(|i| (STOPS[from][i] + part * (STOPS[from + 1][i] - STOPS[from][i])).round() as u8);
    (RGBColor(r, g, b), if position < 0.5 { WHITE } else { BLACK })
}

/// Where the values of a key lie.
struct KeyAxis {
    key: String,
    /// The same with what there is to say of the scale.
    title: String,
    /// For each value of the grid, in its order.
    at: Vec<f64>,
    labels: Vec<String>,
    /// How many values lie before it.
    order: Vec<usize>,
    /// Whether they are numbers.
    is_ordered: bool,
}

impl KeyAxis {
    fn of(key: &GridKey) -> Self {
        let labels: Vec<String> = key.values.iter().map(|value| plain_value(value)).collect();
        let numbers: Option<Vec<f64>> = key.values.iter().map(|value| number_value(value)).collect();
        let is_ordered = numbers.is_some();
        let (at, is_logarithmic) = match &numbers {
            None => ((0..labels.len()).map(|i| i as f64).collect(), false),
            Some(numbers) => places(numbers),
        };
        let order = at.iter().map(|x| at.iter().filter(|other| *other < x).count()).collect();
        let has_zero = numbers.is_some_and(|numbers| numbers.contains(&0.0));
        let title = match (is_logarithmic, has_zero) {
            (false, _) => key.key.clone(),
            (true, false) => format!("{} (logarithmic)", key.key),
            (true, true) => format!("{} (logarithmic, 0 apart)", key.key),
        };
        Self { key: key.key.clone(), title, at, labels, order, is_ordered }
    }

    fn range(&self) -> Range<f64> {
        let [low, high] = ends(&self.at);
        let margin = if !self.is_ordered || high == low { 0.5 } else { 0.06 * (high - low) };
        low - margin..high + margin
    }

    /// The values that have room for their labels on so many pixels, where each letter takes so many.
    fn ticks(&self, pixels: f64, letter: f64) -> Vec<(f64, String)> {
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

/// Where numbers lie on an axis, and whether it is logarithmic: where none is negative and the positive ones span two decades or more, unless they are about evenly
/// spaced, as seeds are. A 0 among them then lies apart, to the left of the smallest.
fn places(numbers: &[f64]) -> (Vec<f64>, bool) {
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

/// The smallest and the largest.
fn ends(values: &[f64]) -> [f64; 2] {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    [low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Nats,
    /// Told in per cent.
    Fraction,
}

/// An upright axis of what was measured.
struct ValueAxis {
    label: &'static str,
    unit: Unit,
    is_logarithmic: bool,
    /// The values' own ends, as they are drawn: of logarithms, where it is one of these.
    ends: [f64; 2],
}

impl ValueAxis {
    /// Logarithmic where a few values are so large that the others would lie on one line.
    fn of(label: &'static str, values: &[f64], unit: Unit) -> Self {
        let [low, high] = if values.is_empty() { [0.0, 1.0] } else { ends(values) };
        let is_logarithmic = unit == Unit::Nats && low > 0.0 && high / low >= 20.0;
        let ends = if is_logarithmic { [low.log10(), high.log10()] } else { [low, high] };
        Self { label, unit, is_logarithmic, ends }
    }

    fn map(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.log10() } else { value }
    }

    /// 0 for the lowest value to 1 for the highest.
    fn position(&self, value: f64) -> f64 {
        self.share(self.map(value))
    }

    /// The same of a value as it is drawn.
    fn share(&self, mapped: f64) -> f64 {
        let [low, high] = self.ends;
        if high > low { (mapped - low) / (high - low) } else { 0.0 }
    }

    /// With room around the ends.
    fn range(&self) -> Range<f64> {
        let [low, high] = self.ends;
        let margin = if high > low { 0.09 * (high - low) } else { 0.05 * low.abs().max(1e-3) };
        low - margin..high + margin
    }

    /// About so many round values in the range, as they are drawn, with their labels.
    fn ticks(&self, about: usize) -> Vec<(f64, String)> {
        let range = self.range();
        if self.is_logarithmic {
            let width = range.end - range.start;
            let digits: &[f64] = if width > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            // Of many decades every second is told, or every third.
            let decades = range.start.floor() as i32..=range.end.ceil() as i32;
            let decades = decades.step_by((width / 6.0).ceil() as usize);
            let values = decades.flat_map(|decade| digits.iter().map(move |digit| (*digit, decade)));
            let place = |(digit, decade): (f64, i32)| digit.log10() + f64::from(decade);
            let written = |(digit, decade): (f64, i32)| match decade {
                -3..=4 => format!("{}", (digit * 10f64.powi(decade) * 1e4).round() / 1e4),
                _ => format!("{digit}e{decade}"),
            };
            let inside = values.filter(|&value| range.contains(&place(value)));
            return inside.map(|value| (place(value), written(value))).collect();
        }
        let percent = if self.unit == Unit::Fraction { 100.0 } else { 1.0 };
        let (low, high) = (percent * range.start, percent * range.end);
        let rough = (high - low) / about as f64;
        let power = rough.log10().floor();
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * 10f64.powf(power)).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
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

/// What is drawn in one colour.
struct Marks {
    color: RGBColor,
    points: Vec<(f64, f64)>,
    is_line: bool,
}

/// A plot over one key.
struct Panel<'a> {
    x: &'a KeyAxis,
    y: &'a ValueAxis,
    /// Whether it says what its x axis is; the panel below says it otherwise.
    has_x: bool,
    /// Where points diverged.
    lost: &'a [f64],
}

impl Panel<'_> {
    /// Its axes' ends are at left, top, right and bottom.
    fn draw<B: DrawingBackend>(
        &self,
        pen: &Pen<'_, B>,
        [left, top, right, bottom]: [i32; 4],
        marks: &[Marks],
        best: Option<(f64, f64)>,
    ) {
        let (across, upwards) = (self.x.range(), self.y.range());
        let share = |range: &Range<f64>, value: f64| (value - range.start) / (range.end - range.start);
        let x = |value: f64| f64::from(left) + share(&across, value) * f64::from(right - left);
        let y = |value: f64| f64::from(bottom) - share(&upwards, value) * f64::from(bottom - top);
        for (value, label) in self.x.ticks(f64::from(right - left), 7.2) {
            let x = x(value).round() as i32;
            pen.line([x, top], [x, bottom], GRID);
            pen.line([x, bottom], [x, bottom + 4], BLACK);
            if self.has_x {
                pen.write(&label, 12, [x, bottom + 13], HPos::Center, BLACK);
            }
        }
        for (value, label) in self.y.ticks(5) {
            let y = y(value).round() as i32;
            pen.line([left, y], [right, y], GRID);
            pen.line([left - 4, y], [left, y], BLACK);
            pen.write(&label, 12, [left - 7, y], HPos::Right, BLACK);
        }
        pen.line([left, top], [left, bottom], BLACK);
        pen.line([left, bottom], [right, bottom], BLACK);
        if self.has_x {
            pen.write(
                &pen.cut(&self.x.title, 13, right - left),
                13,
                [(left + right) / 2, bottom + 32],
                HPos::Center,
                BLACK,
            );
        }
        pen.write_upwards(self.y.label, 13, [left - 56, (top + bottom) / 2]);
        let place = |&(at, value): &(f64, f64)| [x(at), y(self.y.map(value))];
        for Marks { color, points, is_line } in marks {
            let points: Vec<[f64; 2]> = points.iter().map(place).collect();
            for pair in points.windows(2).filter(|_| *is_line) {
                pen.stroke(pair[0], pair[1], *color);
            }
            for point in points {
                pen.dot(point, 3.5, *color);
            }
        }
        for &at in self.lost {
            // Where they would be: a loss without end, an accuracy of none.
            let y = if self.y.unit == Unit::Nats { f64::from(top) + 8.0 } else { f64::from(bottom) - 8.0 };
            pen.cross([x(at), y]);
        }
        if let Some(best) = best {
            pen.ring(place(&best), 7.0);
        }
    }
}

/// Draws by an SVG's units.
struct Pen<'a, B: DrawingBackend> {
    area: &'a DrawingArea<B, Shift>,
    scale: u32,
}

impl<B: DrawingBackend> Pen<'_, B> {
    fn place(&self, [x, y]: [f64; 2]) -> (i32, i32) {
        let scale = f64::from(self.scale);
        ((x * scale).round() as i32, (y * scale).round() as i32)
    }

    fn write(&self, text: &str, size: u32, [x, y]: [i32; 2], anchor: HPos, color: RGBColor) {
        let style = TextStyle::from((FAMILY, size * self.scale).into_font());
        let style = style.color(&color).pos(Pos::new(anchor, VPos::Center));
        // In pixels plotters centres the box of a line, whose letters stand above its middle.
        let lower = if self.scale > 1 { 0.17 * f64::from(size) } else { 0.0 };
        let place = self.place([f64::from(x), f64::from(y) + lower]);
        self.area.draw_text(text, &style, place).expect(IN_MEMORY);
    }

    /// From bottom to top, its middle there.
    fn write_upwards(&self, text: &str, size: u32, place: [i32; 2]) {
        let font = (FAMILY, size * self.scale).into_font().transform(FontTransform::Rotate270);
        let style = TextStyle::from(font).color(&BLACK).pos(Pos::new(HPos::Center, VPos::Center));
        self.area.draw_text(text, &style, self.place(place.map(f64::from))).expect(IN_MEMORY);
    }

    fn width(&self, text: &str, size: u32) -> i32 {
        let style = TextStyle::from((FAMILY, size * self.scale).into_font());
        let (width, _) = self.area.estimate_text_size(text, &style).expect(IN_MEMORY);
        (width / self.scale) as i32
    }

    /// As much of a text as so much room takes.
    fn cut(&self, text: &str, size: u32, room: i32) -> String {
        let all = text.chars().count();
        let fits = (1..=all).rev().map(|letters| cut(text, letters)).find(|text| self.width(text, size) <= room);
        fits.unwrap_or_else(|| cut(text, 1))
    }

    fn dot(&self, place: [f64; 2], radius: f64, color: RGBColor) {
        self.circle(place, radius, color.filled());
    }

    fn ring(&self, place: [f64; 2], radius: f64) {
        self.circle(place, radius, BLACK.stroke_width(2 * self.scale));
    }

    fn circle(&self, place: [f64; 2], radius: f64, style: ShapeStyle) {
        let radius = (radius * f64::from(self.scale)).round() as i32;
        self.area.draw(&Circle::new(self.place(place), radius, style)).expect(IN_MEMORY);
    }

    fn cross(&self, place: [f64; 2]) {
        let style = BLACK.stroke_width(2 * self.scale);
        self.area.draw(&Cross::new(self.place(place), 4 * self.scale, style)).expect(IN_MEMORY);
    }

    fn fill(&self, from: [i32; 2], to: [i32; 2], color: RGBColor) {
        let corners = [from, to].map(|corner| self.place(corner.map(f64::from)));
        self.area.draw(&Rectangle::new(corners, color.filled())).expect(IN_MEMORY);
    }

    /// A thin line of an axis or a grid.
    fn line(&self, from: [i32; 2], to: [i32; 2], color: RGBColor) {
        let ends = [from, to].map(|end| self.place(end.map(f64::from)));
        self.area.draw(&PathElement::new(ends, color.stroke_width(self.scale))).expect(IN_MEMORY);
    }

    /// A segment of a curve.
    fn stroke(&self, from: [f64; 2], to: [f64; 2], color: RGBColor) {
        let ends = [from, to].map(|end| self.place(end));
        self.area.draw(&PathElement::new(ends, color.stroke_width(2 * self.scale))).expect(IN_MEMORY);
    }

    /// Around the best cell of a map.
    fn frame(&self, [left, top]: [i32; 2], [right, bottom]: [i32; 2]) {
        for (from, to) in [
            ([left, top], [right, top + 3]),
            ([left, bottom - 3], [right, bottom]),
            ([left, top], [left + 3, bottom]),
            ([right - 3, top], [right, bottom]),
        ] {
            self.fill(from, to, VERMILLION);
        }
    }
}

/// So many letters of a text, the last of them telling that there are more.
fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}
