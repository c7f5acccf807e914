//! The weights of a model of images, as images.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::draw::{Theme, Tile, mix, rgb};
use crate::figure::{Color, Format};
use crate::pen::SvgPen;

/// An image of weights for each class.
#[derive(Clone, Debug)]
pub struct WeightImages {
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The weights of each class, row by row, `[k][height * width]`.
    pub weights: Vec<Vec<f64>>,
    /// The height and width of an image.
    pub size: [usize; 2],
}

/// The most images side by side.
const PER_ROW: usize = 5;
/// The least width of the plot, and its margin.
const WIDTH: usize = 640;
const MARGIN: usize = 14;
/// The gap between images, the height of a name, and that of the scale below all.
const GAP: usize = 10;
const NAME: usize = 20;
const SCALE: usize = 44;
/// The largest height of an image that is enlarged.
const MAX_HEIGHT: usize = 300;

/// Where the images are.
struct Layout {
    per_row: usize,
    rows: usize,
    /// The number of units for each pixel of an image.
    zoom: usize,
}

impl WeightImages {
    /// Returns the largest absolute weight, which has the full colour.
    fn largest(&self) -> f64 {
        self.weights.iter().flatten().fold(f64::MIN_POSITIVE, |largest, w| largest.max(w.abs()))
    }

    fn layout(&self, width: usize) -> Layout {
        let per_row = self.weights.len().clamp(1, PER_ROW);
        let room = width.saturating_sub(2 * MARGIN + (per_row - 1) * GAP) / per_row;
        let [high, wide] = self.size.map(|side| side.max(1));
        let zoom = (room / wide).min(MAX_HEIGHT / high).max(1);
        Layout { per_row, rows: self.weights.len().div_ceil(per_row), zoom }
    }

    pub(super) fn size(&self) -> [u32; 2] {
        let Layout { per_row, rows, zoom } = self.layout(WIDTH);
        let [high, wide] = self.size.map(|side| side * zoom + GAP);
        [(2 * MARGIN + per_row * wide).max(WIDTH) as u32, (rows * (high + NAME) + SCALE) as u32]
    }

    /// Returns the images, from `top` down, with `scale` pixels for each unit.
    pub(super) fn tiles(&self, width: usize, top: usize, theme: Theme, scale: usize) -> Vec<Tile> {
        let (layout, largest) = (self.layout(width), self.largest());
        let tile = |(i, weights): (usize, &Vec<f64>)| {
            let [left, top] = self.place(&layout, i, top + NAME).map(|at| at * scale);
            let colors = weights.iter().map(|w| color(w / largest, theme));
            let pixels = colors.flat_map(|RGBColor(r, g, b)| [r, g, b]).collect();
            Tile { left, top, zoom: layout.zoom * scale, pixels, color: png::ColorType::Rgb }
        };
        self.weights.iter().enumerate().map(tile).collect()
    }

    /// Returns the left upper corner of an image.
    fn place(&self, layout: &Layout, i: usize, top: usize) -> [usize; 2] {
        let [high, wide] = self.size.map(|side| side * layout.zoom + GAP);
        [MARGIN + i % layout.per_row * wide, top + i / layout.per_row * (high + NAME)]
    }

    /// Draws the names, and the scale of the colours.
    pub(super) fn draw<B: DrawingBackend>(&self, pen: &SvgPen<'_, B>, [width, top]: [i32; 2], theme: Theme) {
        let layout = self.layout(width as usize);
        let wide = (self.size[1] * layout.zoom) as i32;
        for (i, name) in self.classes.iter().enumerate() {
            let [left, top] = self.place(&layout, i, top as usize).map(|at| at as i32);
            pen.write(&pen.cut(name, 12, wide), 12, [left, top + 10], HPos::Left, theme.ink());
        }
        let [high, _] = self.size.map(|side| side * layout.zoom + GAP);
        let top = top + (layout.rows * (high + NAME)) as i32 + 4;
        let (left, step, steps) = (MARGIN as i32, 3, 101);
        for i in 0..steps {
            let at = left + step * i;
            let value = f64::from(2 * i) / f64::from(steps - 1) - 1.0;
            pen.fill([at, top], [at + step, top + 10], color(value, theme));
        }
        let largest = Format::Number.write(self.largest());
        let end = left + step * steps;
        let labels = [(format!("-{largest}"), left, HPos::Left), ("0".to_owned(), (left + end) / 2, HPos::Center)];
        for (label, at, anchor) in labels.into_iter().chain([(largest, end, HPos::Right)]) {
            pen.write(&label, 12, [at, top + 22], anchor, theme.ink());
        }
    }
}

/// The colour of a weight from -1 (blue) over 0 (the background) to 1 (vermillion).
fn color(weight: f64, theme: Theme) -> RGBColor {
    let end = if weight < 0.0 { Color::Blue } else { Color::Vermillion };
    mix(theme.background(), rgb(end), weight.abs().min(1.0))
}
