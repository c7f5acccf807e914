//! Plots of a person's own runs, as SVG, PNG and text.

mod curves;
mod forest;
mod matrix;
mod penalties;
mod plane;
mod weights;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::draw::{
    ChartStyle, IN_MEMORY, PNG_SCALE, Theme, draw_bitmap, draw_chart, draw_chart_over, draw_svg, encode, insert_tiles,
    paint_tiles, use_font,
};
use crate::figure::Chart;
use crate::pen::SvgPen;
use crate::text_chart::TextStyle;

pub use curves::{RUN_COLORS, RunHistory, calibration, curves, precision_recall, roc};
pub use forest::{CoefficientInterval, Forest};
pub use matrix::Matrix;
pub use penalties::{PenaltyScore, penalty_scores};
pub use plane::{DescentPath, Field, Plane, Shade, boundary, surface};
pub use weights::WeightImages;

/// A plot with a title.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The title.
    pub title: String,
    /// A line below the title that explains the marks. Empty if there is none.
    pub explanation: String,
    /// What is drawn.
    pub content: PlotContent,
}

/// What a plot shows.
#[derive(Clone, Debug)]
pub enum PlotContent {
    /// Charts below one another.
    Charts(Vec<Chart>),
    /// Coefficients with their intervals.
    Forest(Forest),
    /// A confusion matrix.
    Matrix(Matrix),
    /// A chart in front of a coloured plane.
    Plane(Plane),
    /// The weights of each class as an image.
    Weights(WeightImages),
}

/// The size and colours of a plot.
#[derive(Clone, Copy, Debug)]
pub struct PlotStyle {
    /// The width and height in the units of the SVG. A PNG has two pixels for each. `None` for the
    /// size that suits the content.
    pub size: Option<[u32; 2]>,
    /// The colours.
    pub theme: Theme,
}

/// The default width of a plot, and the height of a chart.
const WIDTH: u32 = 640;
const CHART_HEIGHT: u32 = 330;

impl Plot {
    /// Draws the plot as SVG.
    pub fn svg(&self, style: PlotStyle) -> String {
        use_font();
        let size = self.size(style);
        let (mut svg, ()) = draw_svg(size, |area| self.draw(area, style.theme, 1));
        if let PlotContent::Weights(weights) = &self.content {
            let tiles = weights.tiles(size[0] as usize, self.head() as usize, style.theme, 1);
            insert_tiles(&mut svg, &tiles, weights.size);
        }
        svg
    }

    /// Draws the plot as PNG.
    pub fn png(&self, style: PlotStyle) -> Vec<u8> {
        use_font();
        let [width, height] = self.size(style);
        let mut pixels = draw_bitmap([width, height], |area, scale| self.draw(area, style.theme, scale));
        if let PlotContent::Weights(weights) = &self.content {
            let tiles = weights.tiles(width as usize, self.head() as usize, style.theme, PNG_SCALE as usize);
            paint_tiles(&mut pixels, (width * PNG_SCALE) as usize, &tiles, weights.size);
        }
        encode(&pixels, width * PNG_SCALE, height * PNG_SCALE, png::ColorType::Rgb)
    }

    /// Draws the plot as text, without its title. Names are shown with their control characters
    /// escaped. Images have no text: a terminal shows them with colours of its own.
    pub fn text(&self, style: TextStyle) -> String {
        match &self.content {
            PlotContent::Charts(charts) => charts.iter().map(|chart| chart.text(style)).collect::<Vec<_>>().join("\n"),
            PlotContent::Forest(forest) => forest.text(style),
            PlotContent::Matrix(matrix) => matrix.text(),
            PlotContent::Plane(plane) => plane.as_chart().text(style),
            PlotContent::Weights(_) => String::new(),
        }
    }

    /// Returns the height of the title and the explanation.
    fn head(&self) -> u32 {
        if self.explanation.is_empty() { 34 } else { 54 }
    }

    fn size(&self, style: PlotStyle) -> [u32; 2] {
        let [width, height] = match &self.content {
            PlotContent::Charts(charts) => [WIDTH, CHART_HEIGHT * charts.len() as u32],
            PlotContent::Forest(forest) => [WIDTH, forest.height()],
            PlotContent::Matrix(matrix) => matrix.size(),
            PlotContent::Plane(plane) => [WIDTH, plane.height()],
            PlotContent::Weights(weights) => weights.size(),
        };
        style.size.unwrap_or([width, self.head() + height])
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, theme: Theme, scale: u32) {
        area.fill(&theme.background()).expect(IN_MEMORY);
        let [width, height] = [area.dim_in_pixel().0, area.dim_in_pixel().1].map(|side| (side / scale) as i32);
        let pen = SvgPen { area, scale };
        pen.write(&pen.cut(&self.title, 15, width - 28), 15, [14, 20], HPos::Left, theme.ink());
        pen.write(&pen.cut(&self.explanation, 12, width - 28), 12, [14, 42], HPos::Left, theme.ink());
        let top = self.head();
        match &self.content {
            PlotContent::Charts(charts) => {
                let below = area.margin(top * scale, 0, 0, 0);
                for (area, chart) in below.split_evenly((charts.len(), 1)).iter().zip(charts) {
                    draw_chart(area, chart, ChartStyle { theme, ..ChartStyle::FILE }, scale);
                }
            }
            PlotContent::Forest(forest) => forest.draw(&pen, [0, top as i32, width, height], theme),
            PlotContent::Plane(plane) => {
                let below = area.margin(top * scale, 0, 0, 0);
                let style = ChartStyle { theme, ..ChartStyle::FILE };
                draw_chart_over(&below, &plane.chart, Some(plane), style, scale);
            }
            PlotContent::Weights(weights) => weights.draw(&pen, [width, top as i32], theme),
            PlotContent::Matrix(matrix) => matrix.draw(&pen, [0, top as i32, width, height], theme),
        }
    }
}
