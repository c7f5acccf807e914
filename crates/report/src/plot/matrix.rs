//! A confusion matrix.

use chainrule_core::{align_right, display_width, escape_controls};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::draw::{Theme, mix, rgb};
use crate::figure::Color;
use crate::pen::SvgPen;

/// The counts of the rows by class and by predicted class.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// The names of the classes.
    pub classes: Vec<String>,
    /// A list for each class with the number of its rows for each predicted class, `[k, k]`.
    pub counts: Vec<Vec<u64>>,
}

/// The room for the names of the classes, and for those of the predicted ones.
const LEFT: i32 = 130;
const BELOW: i32 = 56;
const RIGHT: i32 = 24;

impl Matrix {
    pub(super) fn size(&self) -> [u32; 2] {
        let k = self.classes.len() as u32;
        let cell = (520 / k.max(1)).clamp(28, 110);
        // The title needs some width.
        [((LEFT + RIGHT) as u32 + cell * k).max(560), (BELOW as u32 + cell.min(60) * k).max(180)]
    }

    /// Draws a row for each class, whose colour is the share of the class: blue for the right
    /// predictions, vermillion for the wrong ones.
    pub(super) fn draw<B: DrawingBackend>(
        &self,
        pen: &SvgPen<'_, B>,
        [left, top, right, bottom]: [i32; 4],
        theme: Theme,
    ) {
        let k = self.classes.len() as i32;
        let (left, right, bottom) = (left + LEFT, right - RIGHT, bottom - BELOW);
        let x = |column: i32| left + (right - left) * column / k;
        let y = |row: i32| top + (bottom - top) * row / k;
        let ink = theme.ink();
        let size = ((right - left) / k / 4).clamp(8, 14) as u32;
        for (row, counts) in self.counts.iter().enumerate() {
            let total: u64 = counts.iter().sum();
            let row_of_cells = row as i32;
            for (column, &count) in counts.iter().enumerate() {
                let share = count as f64 / total.max(1) as f64;
                let color = if row == column { Color::Blue } else { Color::Vermillion };
                // The root makes rare mistakes visible.
                let strength = if row == column { share } else { share.sqrt() };
                let background = mix(theme.background(), rgb(color), 0.9 * strength);
                let [x0, x1] = [0, 1].map(|i| x(column as i32 + i));
                let [y0, y1] = [0, 1].map(|i| y(row_of_cells + i));
                pen.fill([x0 + 1, y0 + 1], [x1 - 1, y1 - 1], background);
                if count > 0 {
                    let text = pen.cut(&count.to_string(), size, x1 - x0);
                    pen.write(&text, size, [(x0 + x1) / 2, (y0 + y1) / 2], HPos::Center, readable_on(background));
                }
            }
            let middle = (y(row_of_cells) + y(row_of_cells + 1)) / 2;
            let name = pen.cut(&self.classes[row], 12, LEFT - 40);
            pen.write(&name, 12, [left - 8, middle], HPos::Right, ink);
            let middle = (x(row_of_cells) + x(row_of_cells + 1)) / 2;
            let name = pen.cut(&self.classes[row], 12, x(row_of_cells + 1) - x(row_of_cells) - 2);
            pen.write(&name, 12, [middle, bottom + 14], HPos::Center, ink);
        }
        pen.write("predicted class", 13, [(left + right) / 2, bottom + 38], HPos::Center, ink);
        pen.write_upwards("class", 13, [16, (top + bottom) / 2], ink);
    }

    /// Returns the counts as a table.
    pub(super) fn text(&self) -> String {
        let names: Vec<String> = self.classes.iter().map(|name| escape_controls(name).into_owned()).collect();
        let first = names.iter().map(|name| display_width(name)).max().unwrap_or_default().max(5);
        let width = |column: usize| {
            let counts = self.counts.iter().map(|row| row[column].to_string().len());
            counts.max().unwrap_or_default().max(display_width(&names[column]))
        };
        let widths: Vec<usize> = (0..names.len()).map(width).collect();
        let cells = |cells: Vec<String>| -> String {
            cells.iter().zip(&widths).map(|(cell, &width)| format!("  {}", align_right(cell, width))).collect()
        };
        let mut text = format!("{}  predicted class\n", " ".repeat(first));
        text += &format!("{}{}\n", align_right("class", first), cells(names.clone()));
        for (name, counts) in names.iter().zip(&self.counts) {
            let counts = counts.iter().map(ToString::to_string).collect();
            text += &format!("{}{}\n", align_right(name, first), cells(counts));
        }
        text
    }
}

/// Returns black or white, whichever has more contrast.
fn readable_on(background: RGBColor) -> RGBColor {
    let linear = |channel: u8| (f64::from(channel) / 255.0).powf(2.2);
    let luminance = 0.2126 * linear(background.0) + 0.7152 * linear(background.1) + 0.0722 * linear(background.2);
    if luminance > 0.18 { BLACK } else { WHITE }
}
