//! The plot of a sweep: two panels for one key, a map for two keys, and one panel per key for more
//! keys.

mod axes;
mod panel;

use chainrule_evaluate::Mean;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::candidates::{Candidate, Metrics};
use crate::draw::{IN_MEMORY, PNG_SCALE, VERMILLION, draw_bitmap, draw_svg, encode, rgb, use_font};
use crate::figure;
use crate::pen::SvgPen;
use crate::sweep::{Sweep, number, percent};
use axes::{KeyAxis, Unit, ValueAxis};
use panel::{Marks, Panel, Whisker};

pub(crate) fn svg(sweep: &Sweep) -> String {
    use_font();
    let plot = Plot::of(sweep);
    draw_svg(plot.size(), |area| plot.draw(area, 1)).0
}

pub(crate) fn png(sweep: &Sweep) -> Vec<u8> {
    use_font();
    let plot = Plot::of(sweep);
    let [width, height] = plot.size();
    let pixels = draw_bitmap([width, height], |area, scale| plot.draw(area, scale));
    encode(&pixels, width * PNG_SCALE, height * PNG_SCALE, png::ColorType::Rgb)
}

const LOSS: &str = "validation loss (nats)";
const BLUE: RGBColor = rgb(figure::Color::Blue);
const SKY: RGBColor = rgb(figure::Color::Sky);
/// The colours of single seeds, behind their means.
const PALE_BLUE: RGBColor = RGBColor(0xa6, 0xcc, 0xe4);
const PALE_VERMILLION: RGBColor = RGBColor(0xf2, 0xc1, 0x9f);
const SEED_RADIUS: f64 = 2.5;
/// The background of cells without a number.
const NO_VALUE_COLOR: RGBColor = RGBColor(0xee, 0xee, 0xee);

/// The layout of the plot.
struct Plot<'a> {
    sweep: &'a Sweep,
    axes: Vec<KeyAxis>,
    /// What is drawn: the candidates, or each seed if only the seed differs.
    shown: Vec<Candidate>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A panel with the loss above a panel with the accuracy.
    OneKey,
    /// A map: the second key from left to right, the first key from bottom to top.
    Map,
    /// One panel for each key, with all points.
    EachKey,
}

/// The metric that is drawn.
type Metric = fn(&Metrics<Mean>) -> Mean;

/// The height of the two lines above the plot.
const HEAD: u32 = 52;
/// The maximum number of rows and of columns of a map.
const MAX_CELLS: usize = 24;
/// The margins of a map: row names, column names, and the colour scale.
const MAP_LEFT: u32 = 118;
const MAP_BELOW: u32 = 52;
const MAP_RIGHT: u32 = 104;
/// The size of a panel for one of many keys.
const PANEL: [u32; 2] = [330, 250];

impl<'a> Plot<'a> {
    fn of(sweep: &'a Sweep) -> Self {
        let (axes, shown): (Vec<KeyAxis>, Vec<Candidate>) = match sweep.is_over_seeds_alone() {
            true => (sweep.grid.keys().iter().map(KeyAxis::of).collect(), Candidate::singles(&sweep.points)),
            false => {
                let keys = sweep.compared_keys();
                (keys.into_iter().map(|(key, _)| KeyAxis::of(key)).collect(), sweep.candidates.clone())
            }
        };
        let kind = match &axes[..] {
            [_] => Kind::OneKey,
            [a, b] if a.labels.len().max(b.labels.len()) <= MAX_CELLS => Kind::Map,
            _ => Kind::EachKey,
        };
        Self { sweep, axes, shown, kind }
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

    /// Returns the width and height of a map's cell.
    fn cell(&self) -> [u32; 2] {
        let [rows, columns] = [0, 1].map(|key| self.axes[key].labels.len() as u32);
        // If there are few rows, they are high enough for the name of their key.
        [(560 / columns).clamp(26, 92), (400 / rows).clamp(20, 44).max(170 / rows)]
    }

    /// Returns the numbers of rows and columns of panels.
    fn panels(&self) -> [u32; 2] {
        let keys = self.axes.len() as u32;
        let columns = if keys == 4 { 2 } else { keys.min(3) };
        [keys.div_ceil(columns), columns]
    }

    /// Returns the largest loss that is drawn. Points that nearly diverged would compress the scale
    /// for the others.
    fn ceiling(&self) -> f64 {
        let best = self.sweep.best_candidate().and_then(Candidate::validation_loss);
        best.filter(|best| *best > 0.0).map_or(f64::INFINITY, |best| 1000.0 * best)
    }

    /// Returns the validation loss of a point if it is drawn.
    fn loss(&self, point: &Candidate) -> Option<f64> {
        point.validation_loss().filter(|loss| *loss <= self.ceiling())
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, scale: u32) {
        area.fill(&WHITE).expect(IN_MEMORY);
        let pen = SvgPen { area, scale };
        self.draw_head(&pen);
        match self.kind {
            Kind::OneKey => self.draw_one_key(&pen),
            Kind::Map => self.draw_map(&pen),
            Kind::EachKey => self.draw_each_key(&pen),
        }
    }

    /// Draws the best point in words and the legend above the plot, so that they hide no point.
    fn draw_head<B: DrawingBackend>(&self, pen: &SvgPen<'_, B>) {
        let width = self.size()[0] as i32;
        let best = self.sweep.best_candidate().and_then(|best| Some((best, best.metrics.as_ref()?)));
        let text = match best {
            None if !self.sweep.has_models() => "no point has a model".to_owned(),
            None if self.sweep.is_over_seeds_alone() => self.sweep.spread().into_iter().next().unwrap_or_default(),
            None if !self.sweep.losses_are_comparable() => "the losses are not comparable".to_owned(),
            None => "no combination is finished".to_owned(),
            Some((best, means)) => {
                let loss = means.validation_loss;
                let error = loss.standard_error.map(|error| format!(" ± {}", number(error, 4)));
                let over = if self.has_seeds() { ", mean over the seeds" } else { "" };
                format!(
                    "best: {} ({}{} nats, {}{over})",
                    self.sweep.describe(best),
                    number(loss.mean, 4),
                    error.unwrap_or_default(),
                    percent(means.validation_accuracy.mean)
                )
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
                if self.has_seeds() {
                    item(&|left| pen.dot([f64::from(left) + 8.0, 38.0], SEED_RADIUS, PALE_VERMILLION), "one seed");
                    item(
                        &|left| pen.stroke([f64::from(left) + 8.0, 31.0], [f64::from(left) + 8.0, 45.0], BLACK),
                        "± std. error",
                    );
                }
            }
            Kind::Map if self.has_two_lines() => pen.write(
                if self.has_seeds() {
                    "cells: mean validation loss (nats), also as colour, and mean accuracy"
                } else {
                    "cells: validation loss (nats), also as colour, and accuracy"
                },
                12,
                [14, 38],
                HPos::Left,
                BLACK,
            ),
            Kind::Map => pen.write("dark to light: validation loss (nats)", 12, [14, 38], HPos::Left, BLACK),
            Kind::EachKey => {
                let [point, best] = match self.has_seeds() {
                    true => ["a mean over the seeds", "the best mean with this value"],
                    false => ["a point", "the best point with this value"],
                };
                item(&dot(SKY), point);
                item(&dot(BLUE), best);
            }
        }
        if self.kind != Kind::Map && self.shown.iter().any(|point| self.loss(point).is_none()) {
            item(&|left| pen.cross([f64::from(left) + 8.0, 38.0]), "diverged, or loss far above");
        }
    }

    /// Whether each mark is a mean over several seeds.
    fn has_seeds(&self) -> bool {
        self.sweep.has_means() && !self.sweep.is_over_seeds_alone()
    }

    fn draw_one_key<B: DrawingBackend>(&self, pen: &SvgPen<'_, B>) {
        let axis = &self.axes[0];
        let draw = |metrics: [Metric; 2], ceiling: f64, y: (&'static str, Unit), place: [i32; 4]| {
            let at = |point: &Candidate, metric: Metric| {
                let Mean { mean, standard_error } = metric(point.metrics.as_ref()?);
                (mean <= ceiling).then_some((axis.at[point.at[0]], mean, standard_error))
            };
            // Of each metric: the means in order, their errors, and the single seeds.
            let drawn = metrics.map(|metric| {
                let mut means: Vec<_> = self.shown.iter().filter_map(|point| at(point, metric)).collect();
                means.sort_by(|a, b| a.0.total_cmp(&b.0));
                let whiskers = means.iter().filter_map(|&(x, mean, error)| {
                    let error = error?;
                    Some(Whisker { x, low: mean - error, high: mean + error })
                });
                let whiskers: Vec<Whisker> = whiskers.collect();
                let seeds = self.shown.iter().filter(|_| self.has_seeds()).flat_map(|shown| {
                    let seeds =
                        shown.points.iter().map(|&i| Candidate::new(shown.at.clone(), vec![i], &self.sweep.points));
                    seeds.filter_map(|seed| at(&seed, metric)).map(|(x, value, _)| (x, value)).collect::<Vec<_>>()
                });
                (means.iter().map(|&(x, mean, _)| (x, mean)).collect::<Vec<_>>(), whiskers, seeds.collect::<Vec<_>>())
            });
            let all = drawn.iter().flat_map(|(means, whiskers, seeds)| {
                let ends = whiskers.iter().flat_map(|whisker| [whisker.low, whisker.high]);
                means.iter().chain(seeds).map(|point| point.1).chain(ends)
            });
            let (y, has_x) = (ValueAxis::of(y.0, &all.collect::<Vec<f64>>(), y.1), y.1 == Unit::Fraction);
            let undrawn = self.undrawn_positions(0, |point| at(point, metrics[1]).is_some());
            let best = self.sweep.best_candidate().and_then(|best| at(best, metrics[1]));
            let [(training, train_errors, train_seeds), (validation, validation_errors, validation_seeds)] = drawn;
            let seeds = |color, points| Marks { radius: SEED_RADIUS, ..Marks::dots(color, points) };
            let means =
                |color, points, whiskers| Marks { is_line: axis.is_ordered, whiskers, ..Marks::dots(color, points) };
            let marks = [
                seeds(PALE_BLUE, train_seeds),
                seeds(PALE_VERMILLION, validation_seeds),
                means(BLUE, training, train_errors),
                means(VERMILLION, validation, validation_errors),
            ];
            let best = best.map(|(x, mean, _)| (x, mean));
            Panel { x: axis, y: &y, has_x, undrawn: &undrawn }.draw(pen, place, &marks, best);
        };
        let losses: [Metric; 2] = [|means| means.train_loss, |means| means.validation_loss];
        let accuracies: [Metric; 2] = [|means| means.train_accuracy, |means| means.validation_accuracy];
        let top = HEAD as i32;
        let loss = if self.sweep.is_weighted() { "weighted cross-entropy (nats)" } else { "cross-entropy (nats)" };
        draw(losses, self.ceiling(), (loss, Unit::Nats), [76, top + 8, 620, top + 218]);
        draw(accuracies, 1.0, ("accuracy", Unit::Fraction), [76, top + 240, 620, top + 420]);
    }

    /// Returns the positions, along a key, of the points that are not drawn.
    fn undrawn_positions(&self, key: usize, is_drawn: impl Fn(&Candidate) -> bool) -> Vec<f64> {
        let undrawn = self.shown.iter().filter(|point| !is_drawn(point));
        let mut positions: Vec<f64> = undrawn.map(|point| self.axes[key].at[point.at[key]]).collect();
        positions.sort_by(f64::total_cmp);
        positions.dedup();
        positions
    }

    fn draw_each_key<B: DrawingBackend>(&self, pen: &SvgPen<'_, B>) {
        let [_, columns] = self.panels();
        let losses: Vec<f64> = self.shown.iter().filter_map(|point| self.loss(point)).collect();
        let y = ValueAxis::of(LOSS, &losses, Unit::Nats);
        for (key, axis) in self.axes.iter().enumerate() {
            let [left, top] =
                [key as u32 % columns * PANEL[0], HEAD + key as u32 / columns * PANEL[1]].map(|side| side as i32);
            let [width, height] = PANEL.map(|side| side as i32);
            let position = |point: &Candidate| Some((axis.at[point.at[key]], self.loss(point)?));
            let all: Vec<(f64, f64)> = self.shown.iter().filter_map(position).collect();
            let mut lowest: Vec<(f64, f64)> = Vec::new();
            for &(x, loss) in &all {
                match lowest.iter_mut().find(|point| point.0 == x) {
                    Some(point) => point.1 = point.1.min(loss),
                    None => lowest.push((x, loss)),
                }
            }
            lowest.sort_by(|a, b| a.0.total_cmp(&b.0));
            let marks = [Marks::dots(SKY, all), Marks { is_line: axis.is_ordered, ..Marks::dots(BLUE, lowest) }];
            let panel = Panel {
                x: axis,
                y: &y,
                has_x: true,
                undrawn: &self.undrawn_positions(key, |point| self.loss(point).is_some()),
            };
            let axes = [left + 76, top + 8, left + width - 14, top + height - 52];
            panel.draw(pen, axes, &marks, self.sweep.best_candidate().and_then(position));
        }
    }

    /// Whether a cell of the map is large enough for a loss and an accuracy.
    fn has_two_lines(&self) -> bool {
        let [width, height] = self.cell();
        width >= 60 && height >= 34
    }

    fn draw_map<B: DrawingBackend>(&self, pen: &SvgPen<'_, B>) {
        let [width, height] = self.cell().map(|side| side as i32);
        let [down, across] = [0, 1].map(|key| &self.axes[key]);
        let (rows, columns) = (down.labels.len() as i32, across.labels.len() as i32);
        let (left, top) = (MAP_LEFT as i32, HEAD as i32);
        let (right, bottom) = (left + columns * width, top + rows * height);
        let losses: Vec<f64> = self.shown.iter().filter_map(|point| self.loss(point)).collect();
        let scale = ValueAxis::of(LOSS, &losses, Unit::Nats);
        let corner = |point: &Candidate| {
            let [row, column] = [(down, 0), (across, 1)].map(|(axis, key)| axis.order[point.at[key]] as i32);
            // Numbers increase upwards, as on any axis. Names are listed from the top.
            let row = if down.is_ordered { rows - 1 - row } else { row };
            [left + column * width, top + row * height]
        };
        pen.fill([left, top], [right, bottom], WHITE);
        for point in &self.shown {
            let [x, y] = corner(point);
            let middle = [x + width / 2, y + height / 2];
            let (background, ink) = match point.validation_loss() {
                None => (NO_VALUE_COLOR, BLACK),
                Some(loss) => shade(scale.position(loss)),
            };
            pen.fill([x, y], [x + width, y + height], background);
            match &point.metrics {
                None if width >= 60 => pen.write("diverged", 11, middle, HPos::Center, ink),
                None => pen.cross(middle.map(f64::from)),
                Some(means) if self.has_two_lines() => {
                    let (loss, accuracy) = (means.validation_loss.mean, means.validation_accuracy.mean);
                    pen.write(&number(loss, 4), 12, [middle[0], middle[1] - 8], HPos::Center, ink);
                    pen.write(&percent(accuracy), 11, [middle[0], middle[1] + 9], HPos::Center, ink);
                }
                Some(means) if width >= 44 => {
                    pen.write(&number(means.validation_loss.mean, 4), 11, middle, HPos::Center, ink);
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
        if let Some([x, y]) = self.sweep.best_candidate().map(corner) {
            pen.frame([x + 1, y + 1], [x + width - 1, y + height - 1]);
        }
        self.draw_names(pen, [left, top, right, bottom]);
        draw_scale(pen, &scale, [right + 22, top, right + 36, bottom.max(top + 90).min(top + 220)]);
    }

    /// Draws the names of a map's rows and columns.
    fn draw_names<B: DrawingBackend>(&self, pen: &SvgPen<'_, B>, [left, top, _, bottom]: [i32; 4]) {
        let [width, height] = self.cell().map(|side| side as i32);
        let [down, across] = [0, 1].map(|key| &self.axes[key]);
        let rows = down.labels.len() as i32;
        for (label, &place) in down.labels.iter().zip(&down.order) {
            let row = if down.is_ordered { rows - 1 - place as i32 } else { place as i32 };
            let label = pen.cut(label, 12, left - 40);
            pen.write(&label, 12, [left - 8, top + row * height + height / 2], HPos::Right, BLACK);
        }
        // If numbers are too wide for their columns, only some columns are labelled. Names are
        // shortened as long as a few letters fit.
        let widest = across.labels.iter().map(|label| pen.width(label, 12)).max().unwrap_or_default().min(90);
        let labels_all = !across.is_ordered && width >= 40;
        let every = if labels_all { 1 } else { (widest + 6).div_euclid(width) as usize + 1 };
        for (label, &place) in across.labels.iter().zip(&across.order) {
            if place % every == 0 {
                let middle = left + place as i32 * width + width / 2;
                let label = pen.cut(label, 12, width * every as i32 - 4);
                pen.write(&label, 12, [middle, bottom + 12], HPos::Center, BLACK);
            }
        }
        let middle = left + across.labels.len() as i32 * width / 2;
        pen.write(&across.key, 13, [middle, bottom + 35], HPos::Center, BLACK);
        pen.write_upwards(&pen.cut(&down.key, 13, (bottom - top).max(120)), 13, [14, (top + bottom) / 2], BLACK);
    }
}

/// Draws the colour scale of a map.
fn draw_scale<B: DrawingBackend>(pen: &SvgPen<'_, B>, axis: &ValueAxis, [left, top, right, bottom]: [i32; 4]) {
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

/// Returns the colour of a position from 0 (the lowest loss, dark) to 1 (the highest, light), and a
/// legible text colour. The scale has one hue, so it is also readable without colours.
fn shade(position: f64) -> (RGBColor, RGBColor) {
    const STOPS: [[f64; 3]; 4] =
        [[8.0, 48.0, 107.0], [33.0, 113.0, 181.0], [107.0, 174.0, 214.0], [239.0, 246.0, 255.0]];
    let at = position.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let from = (at as usize).min(STOPS.len() - 2);
    let part = at - from as f64;
    let [r, g, b] = [0, 1, 2].map(|i| (STOPS[from][i] + part * (STOPS[from + 1][i] - STOPS[from][i])).round() as u8);
    (RGBColor(r, g, b), if position < 0.5 { WHITE } else { BLACK })
}
