//! Draws marks, lines and text in SVG units.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::draw::{FAMILY, IN_MEMORY, VERMILLION};

/// Draws in SVG units.
pub(crate) struct SvgPen<'a, B: DrawingBackend> {
    pub(crate) area: &'a DrawingArea<B, Shift>,
    pub(crate) scale: u32,
}

impl<B: DrawingBackend> SvgPen<'_, B> {
    pub(crate) fn place(&self, [x, y]: [f64; 2]) -> (i32, i32) {
        let scale = f64::from(self.scale);
        ((x * scale).round() as i32, (y * scale).round() as i32)
    }

    pub(crate) fn write(&self, text: &str, size: u32, [x, y]: [i32; 2], anchor: HPos, color: RGBColor) {
        let style = TextStyle::from((FAMILY, size * self.scale).into_font());
        let style = style.color(&color).pos(Pos::new(anchor, VPos::Center));
        // In a bitmap, plotters centres the box of a text line. The letters are above its middle.
        let lower = if self.scale > 1 { 0.17 * f64::from(size) } else { 0.0 };
        let place = self.place([f64::from(x), f64::from(y) + lower]);
        self.area.draw_text(text, &style, place).expect(IN_MEMORY);
    }

    /// Writes a text from bottom to top, centred at `place`.
    pub(crate) fn write_upwards(&self, text: &str, size: u32, place: [i32; 2], color: RGBColor) {
        let font = (FAMILY, size * self.scale).into_font().transform(FontTransform::Rotate270);
        let style = TextStyle::from(font).color(&color).pos(Pos::new(HPos::Center, VPos::Center));
        self.area.draw_text(text, &style, self.place(place.map(f64::from))).expect(IN_MEMORY);
    }

    pub(crate) fn width(&self, text: &str, size: u32) -> i32 {
        let style = TextStyle::from((FAMILY, size * self.scale).into_font());
        let (width, _) = self.area.estimate_text_size(text, &style).expect(IN_MEMORY);
        (width / self.scale) as i32
    }

    /// Shortens a text to this width.
    pub(crate) fn cut(&self, text: &str, size: u32, max_width: i32) -> String {
        let all = text.chars().count();
        let fits = (1..=all).rev().map(|letters| cut(text, letters)).find(|text| self.width(text, size) <= max_width);
        fits.unwrap_or_else(|| cut(text, 1))
    }

    pub(crate) fn dot(&self, place: [f64; 2], radius: f64, color: RGBColor) {
        self.circle(place, radius, color.filled());
    }

    pub(crate) fn ring(&self, place: [f64; 2], radius: f64) {
        self.circle(place, radius, BLACK.stroke_width(2 * self.scale));
    }

    pub(crate) fn circle(&self, place: [f64; 2], radius: f64, style: ShapeStyle) {
        let radius = (radius * f64::from(self.scale)).round() as i32;
        self.area.draw(&Circle::new(self.place(place), radius, style)).expect(IN_MEMORY);
    }

    pub(crate) fn cross(&self, place: [f64; 2]) {
        let style = BLACK.stroke_width(2 * self.scale);
        self.area.draw(&Cross::new(self.place(place), 4 * self.scale, style)).expect(IN_MEMORY);
    }

    pub(crate) fn fill(&self, from: [i32; 2], to: [i32; 2], color: RGBColor) {
        let corners = [from, to].map(|corner| self.place(corner.map(f64::from)));
        self.area.draw(&Rectangle::new(corners, color.filled())).expect(IN_MEMORY);
    }

    /// Draws a thin line of an axis or a grid.
    pub(crate) fn line(&self, from: [i32; 2], to: [i32; 2], color: RGBColor) {
        let ends = [from, to].map(|end| self.place(end.map(f64::from)));
        self.area.draw(&PathElement::new(ends, color.stroke_width(self.scale))).expect(IN_MEMORY);
    }

    /// Draws a segment of a curve.
    pub(crate) fn stroke(&self, from: [f64; 2], to: [f64; 2], color: RGBColor) {
        let ends = [from, to].map(|end| self.place(end));
        self.area.draw(&PathElement::new(ends, color.stroke_width(2 * self.scale))).expect(IN_MEMORY);
    }

    /// Draws a frame around the best cell of a map.
    pub(crate) fn frame(&self, [left, top]: [i32; 2], [right, bottom]: [i32; 2]) {
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

/// Shortens a text to this many letters. An ellipsis marks the cut.
pub(crate) fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}
