//! A forest plot: coefficients with their intervals.

use chainrule_core::{align_left, align_right, display_width, escape_controls};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::draw::{Theme, rgb};
use crate::figure::{Axis, Color, Format};
use crate::pen::SvgPen;
use crate::text_chart::{TextStyle, ticks};

/// Coefficients with their intervals, a row for each.
#[derive(Clone, Debug)]
pub struct Forest {
    /// The quantity with its unit.
    pub label: String,
    /// The rows, top to bottom.
    pub rows: Vec<CoefficientInterval>,
}

/// A coefficient with its interval.
#[derive(Clone, Debug)]
pub struct CoefficientInterval {
    /// The name of the feature.
    pub name: String,
    /// The estimate.
    pub estimate: f64,
    /// The interval. `None` for a coefficient without an error.
    pub interval: Option<[f64; 2]>,
}

impl CoefficientInterval {
    /// Whether the interval has only values of one sign.
    fn excludes_zero(&self) -> bool {
        self.interval.is_some_and(|[low, high]| low > 0.0 || high < 0.0)
    }

    /// An interval without 0 is blue, another one grey.
    fn color(&self) -> Color {
        if self.excludes_zero() { Color::Blue } else { Color::Grey }
    }
}

const LINE: i32 = 22;
const LEFT: i32 = 190;
const BELOW: i32 = 56;

impl Forest {
    pub(super) fn height(&self) -> u32 {
        (LINE * self.rows.len() as i32 + BELOW).max(120) as u32
    }

    /// Returns the axis of all intervals and 0.
    fn axis(&self) -> Axis {
        let values = self.rows.iter().flat_map(|row| row.interval.unwrap_or([row.estimate; 2]));
        let (low, high) = values.fold((0.0f64, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        let margin = if high > low { 0.04 * (high - low) } else { 0.5 };
        Axis::linear(self.label.as_str(), low - margin..high + margin, Format::Number)
    }

    pub(super) fn draw<B: DrawingBackend>(
        &self,
        pen: &SvgPen<'_, B>,
        [left, top, right, bottom]: [i32; 4],
        theme: Theme,
    ) {
        let (left, right, bottom) = (left + LEFT, right - 22, bottom - BELOW);
        let axis = self.axis();
        let x = |value: f64| f64::from(left) + axis.position(value) * f64::from(right - left);
        let ink = theme.ink();
        for (value, label) in ticks(&axis, 6) {
            let x = x(value).round() as i32;
            pen.line([x, top], [x, bottom], theme.grid());
            pen.line([x, bottom], [x, bottom + 4], ink);
            pen.write(&label, 12, [x, bottom + 14], HPos::Center, ink);
        }
        let zero = x(0.0).round() as i32;
        pen.line([zero, top], [zero, bottom], ink);
        pen.line([left, bottom], [right, bottom], ink);
        let rows = self.rows.len() as i32;
        for (i, row) in self.rows.iter().enumerate() {
            let y = f64::from(top) + f64::from(bottom - top) * (i as f64 + 0.5) / f64::from(rows);
            let name = pen.cut(&row.name, 12, LEFT - 24);
            pen.write(&name, 12, [left - 10, y.round() as i32], HPos::Right, ink);
            let color = rgb(row.color());
            if let Some([low, high]) = row.interval.map(|ends| ends.map(x)) {
                pen.stroke([low, y], [high, y], color);
                for end in [low, high] {
                    pen.stroke([end, y - 4.0], [end, y + 4.0], color);
                }
            }
            pen.dot([x(row.estimate), y], 4.0, color);
        }
        pen.write(&pen.cut(&self.label, 13, right - left), 13, [(left + right) / 2, bottom + 38], HPos::Center, ink);
    }

    /// Draws the intervals as text.
    pub(super) fn text(&self, style: TextStyle) -> String {
        let names: Vec<String> = self.rows.iter().map(|row| escape_controls(&row.name).into_owned()).collect();
        let first = names.iter().map(|name| display_width(name)).max().unwrap_or_default();
        let columns = style.columns.saturating_sub(first + 1).max(20);
        let axis = self.axis();
        let place = |value: f64| ((axis.position(value) * columns as f64) as usize).min(columns - 1);
        let (line, end, dot, zero) =
            if style.has_braille { ('─', ['├', '┤'], '●', '│') } else { ('-', ['|', '|'], 'o', ':') };
        let mut text = String::new();
        for (row, name) in self.rows.iter().zip(&names) {
            let mut cells = vec![' '; columns];
            cells[place(0.0)] = zero;
            if let Some([low, high]) = row.interval.map(|ends| ends.map(place)) {
                cells[low..=high].fill(line);
                (cells[low], cells[high]) = (end[0], end[1]);
            }
            cells[place(row.estimate)] = dot;
            let cells: String = cells.into_iter().collect();
            text += &format!("{} {}\n", align_right(name, first), style.paint(cells.trim_end(), row.color()));
        }
        let mut numbers = String::new();
        for (value, label) in ticks(&axis, 6) {
            let at = place(value).saturating_sub(display_width(&label) / 2);
            if at >= display_width(&numbers) && at + display_width(&label) <= columns {
                numbers = align_left(&numbers, at) + &label;
            }
        }
        text += &format!("{} {numbers}\n", " ".repeat(first));
        text + &format!("{} {}\n", " ".repeat(first), escape_controls(&self.label))
    }
}
