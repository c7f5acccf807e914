//! A panel: a plot over one key.

use std::ops::Range;

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axes::{KeyAxis, Unit, ValueAxis};
use crate::draw::GRID;
use crate::pen::SvgPen;

/// The points of one colour.
pub(super) struct Marks {
    pub(super) color: RGBColor,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) radius: f64,
    pub(super) is_line: bool,
    pub(super) whiskers: Vec<Whisker>,
}

/// The interval of an error.
pub(super) struct Whisker {
    pub(super) x: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Marks {
    pub(super) fn dots(color: RGBColor, points: Vec<(f64, f64)>) -> Self {
        Self { color, points, radius: 3.5, is_line: false, whiskers: Vec::new() }
    }
}

/// A plot over one key.
pub(super) struct Panel<'a> {
    pub(super) x: &'a KeyAxis,
    pub(super) y: &'a ValueAxis,
    /// Whether the x axis has labels. If not, the panel below has them.
    pub(super) has_x: bool,
    /// The positions of the points that are not drawn.
    pub(super) undrawn: &'a [f64],
}

impl Panel<'_> {
    /// Draws the panel. The axes end at left, top, right and bottom.
    pub(super) fn draw<B: DrawingBackend>(
        &self,
        pen: &SvgPen<'_, B>,
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
        pen.write_upwards(self.y.label, 13, [left - 56, (top + bottom) / 2], BLACK);
        let place = |&(at, value): &(f64, f64)| [x(at), y(self.y.map(value))];
        for Marks { color, points, radius, is_line, whiskers } in marks {
            for &Whisker { x, low, high } in whiskers {
                // The lower end may be below zero, which a logarithmic axis has not.
                let low = low.max(f64::MIN_POSITIVE);
                let [[x, low], [_, high]] = [place(&(x, low)), place(&(x, high))];
                let low = low.min(f64::from(bottom));
                pen.stroke([x, low], [x, high], *color);
                for end in [low, high] {
                    pen.stroke([x - 4.0, end], [x + 4.0, end], *color);
                }
            }
            let points: Vec<[f64; 2]> = points.iter().map(place).collect();
            for pair in points.windows(2).filter(|_| *is_line) {
                pen.stroke(pair[0], pair[1], *color);
            }
            for point in points {
                pen.dot(point, *radius, *color);
            }
        }
        for &at in self.undrawn {
            // The crosses mark an infinite loss or a zero accuracy.
            let y = if self.y.unit == Unit::Nats { f64::from(top) + 8.0 } else { f64::from(bottom) - 8.0 };
            pen.cross([x(at), y]);
        }
        if let Some(best) = best {
            pen.ring(place(&best), 7.0);
        }
    }
}
