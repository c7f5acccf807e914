//! The content of figures, before drawing.

use std::ops::Range;

/// A figure: its title, caption and content.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// `figure-1` to `figure-8` are figures of the report. The audit's figures are named after
    /// their task.
    pub id: &'static str,
    /// The title, in a few words.
    pub title: String,
    /// The caption, in the markup of [`crate::document`].
    pub caption: String,
    /// The content.
    pub content: Content,
    /// The runs that the figure shows.
    pub runs: Vec<String>,
}

/// The content of a figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Curves, points or bars over two axes.
    Chart(Chart),
    /// Matrices as grey images.
    Pictures(Pictures),
}

/// Curves, points or bars over two axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The series. The last is drawn on top.
    pub series: Vec<Series>,
    /// The corner of the legend.
    pub legend: Corner,
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The quantity with its unit.
    pub label: String,
    /// The range of the axis.
    pub range: Range<f64>,
    /// The scale.
    pub scale: Scale,
    /// The format of its values.
    pub format: Format,
}

/// The scale of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal distances mean equal differences.
    Linear,
    /// Equal distances mean equal ratios.
    Logarithmic,
}

/// The format of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A whole number.
    Count,
    /// A number with as many digits as needed.
    Number,
    /// A fraction, printed as a percentage.
    Percent,
}

/// A corner of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corner {
    /// Top, left.
    UpperLeft,
    /// Top, right.
    UpperRight,
    /// Bottom, right.
    LowerRight,
    /// Bottom, left.
    LowerLeft,
}

/// One kind of mark, with one colour and one entry in the legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The name in the legend. A series without a name is not in it.
    pub name: String,
    /// The colour. It is unique within a chart, except for series without a name.
    pub color: Color,
    /// The mark at each point.
    pub mark: Mark,
    /// The points, as x and y.
    pub points: Vec<(f64, f64)>,
    /// The half width of a band around each point: a bar at a single point, else an area. Empty if
    /// there is no band.
    pub band: Vec<f64>,
    /// A name in a few letters beside the last point, or empty. The legend of a file does not
    /// repeat it.
    pub label: String,
    /// Moves the symbols to the right, as a fraction of the x axis, where those of two series would
    /// cover each other.
    pub shift: f64,
}

/// The mark at the points of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// A line through the points.
    Line,
    /// A thin line through the points, as background for another line.
    Thin,
    /// A line with a dot at each point.
    LineAndDots,
    /// A horizontal line at each point, halfway to its neighbours, and vertical lines between them.
    /// For whole numbers on the x axis.
    Steps,
    /// A dot at each point.
    Dots,
    /// Bars of this width, centred at x, from zero up.
    Bars(f64),
    /// A vertical line up to each point. It marks x and has no value.
    Upright,
    /// A symbol at each point, so that series can be told apart without their colours.
    Symbols(Symbol),
}

/// The shape of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// A disk.
    Disk,
    /// A square on its side.
    Square,
    /// A triangle that points up.
    Triangle,
    /// A square on its corner.
    Diamond,
    /// A triangle that points down.
    Down,
    /// A plus sign.
    Plus,
}

impl Mark {
    /// Whether a place above or below the frame gets a mark on its edge.
    pub(crate) fn leaves_a_frame(self) -> bool {
        !matches!(self, Mark::Bars(_) | Mark::Upright)
    }

    /// Whether the points are joined.
    pub(crate) fn is_line(self) -> bool {
        matches!(self, Mark::Line | Mark::Thin | Mark::LineAndDots | Mark::Steps)
    }
}

impl Symbol {
    /// All symbols, in the order in which series get them.
    pub const ALL: [Self; 6] = [Self::Disk, Self::Square, Self::Triangle, Self::Diamond, Self::Down, Self::Plus];

    /// Returns the corners around the middle, x to the right and y down. All symbols have about the
    /// area of a disk of this radius.
    pub(crate) fn corners(self, radius: f64) -> Vec<(i32, i32)> {
        /// A quarter of the corners of a disk: the others are it, rotated.
        const QUARTER: [(f64, f64); 4] = [(1.0, 0.0), (0.924, 0.383), (0.707, 0.707), (0.383, 0.924)];
        let unit: Vec<(f64, f64)> = match self {
            Self::Disk => (0..4)
                .flat_map(|turns| {
                    QUARTER.map(|(x, y)| match turns {
                        0 => (x, y),
                        1 => (-y, x),
                        2 => (-x, -y),
                        _ => (y, -x),
                    })
                })
                .collect(),
            Self::Square => {
                [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)].map(|(x, y)| (0.9 * x, 0.9 * y)).into()
            }
            Self::Triangle => vec![(0.0, -1.4), (1.25, 0.8), (-1.25, 0.8)],
            Self::Diamond => vec![(0.0, -1.35), (1.35, 0.0), (0.0, 1.35), (-1.35, 0.0)],
            Self::Down => vec![(0.0, 1.4), (-1.25, -0.8), (1.25, -0.8)],
            Self::Plus => {
                let (arm, half) = (1.3, 0.45);
                vec![
                    (-half, -arm),
                    (half, -arm),
                    (half, -half),
                    (arm, -half),
                    (arm, half),
                    (half, half),
                    (half, arm),
                    (-half, arm),
                    (-half, half),
                    (-arm, half),
                    (-arm, -half),
                    (-half, -half),
                ]
            }
        };
        unit.into_iter().map(|(x, y)| ((radius * x).round() as i32, (radius * y).round() as i32)).collect()
    }
}

/// The colours of Okabe and Ito. They are distinguishable with any common colour blindness. Orange
/// and sky are darker here: each colour has a contrast of 3 or more to both backgrounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// #0072B2
    Blue,
    /// #D55E00
    Vermillion,
    /// #009E73
    Green,
    /// #CC79A7
    Purple,
    /// #C58700
    Orange,
    /// #3A9BD9
    Sky,
    /// #888888, for lines that others are compared with.
    Grey,
}

impl Color {
    /// Returns red, green and blue.
    pub const fn rgb(self) -> [u8; 3] {
        match self {
            Color::Blue => [0x00, 0x72, 0xb2],
            Color::Vermillion => [0xd5, 0x5e, 0x00],
            Color::Green => [0x00, 0x9e, 0x73],
            Color::Purple => [0xcc, 0x79, 0xa7],
            Color::Orange => [0xc5, 0x87, 0x00],
            Color::Sky => [0x3a, 0x9b, 0xd9],
            Color::Grey => [0x88, 0x88, 0x88],
        }
    }

    /// Returns the colour in SVG notation.
    pub fn hex(self) -> String {
        let [r, g, b] = self.rgb();
        format!("#{r:02X}{g:02X}{b:02X}")
    }
}

/// Rows of images, each of one class's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Pictures {
    /// The classes, left to right.
    pub columns: Vec<String>,
    /// The rows, top to bottom.
    pub rows: Vec<PictureRow>,
    /// The height and width of an image.
    pub size: [usize; 2],
}

/// A row of images.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureRow {
    /// The name of the run.
    pub name: String,
    /// The weights of each class.
    pub classes: Vec<Vec<f64>>,
    /// What the grey levels mean.
    pub scale: GreyScale,
}

/// The meaning of grey levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GreyScale {
    /// Black is the smallest weight of an image, white its largest.
    Own,
    /// Black is minus this limit, mid-grey is 0, white is the limit.
    Common(f64),
}

impl GreyScale {
    /// Maps weights to grey levels.
    pub fn grey(self, weights: &[f64]) -> Vec<u8> {
        let (smallest, largest) = match self {
            Self::Own => (
                weights.iter().copied().fold(f64::INFINITY, f64::min),
                weights.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ),
            Self::Common(limit) => (-limit, limit),
        };
        let range = if largest > smallest { largest - smallest } else { 1.0 };
        weights.iter().map(|w| ((w - smallest) / range * 255.0).round() as u8).collect()
    }
}

impl Pictures {
    /// Returns each scale with the numbers of its first and last row, from 1. Rows of one scale are
    /// neighbours.
    pub(crate) fn scales(&self) -> Vec<(GreyScale, [usize; 2])> {
        let mut scales: Vec<(GreyScale, [usize; 2])> = Vec::new();
        for (row, PictureRow { scale, .. }) in (1..).zip(&self.rows) {
            match scales.last_mut() {
                Some((last, rows)) if last == scale => rows[1] = row,
                _ => scales.push((*scale, [row, row])),
            }
        }
        scales
    }
}

impl Series {
    /// Creates a series without a band.
    pub fn new(name: impl Into<String>, color: Color, mark: Mark, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), color, mark, points, band: Vec::new(), label: String::new(), shift: 0.0 }
    }

    /// Sets the name beside the last point.
    #[must_use]
    pub fn labelled(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// Whether the band is an area around a line.
    pub(crate) fn has_area(&self) -> bool {
        self.mark.is_line() && !self.band.is_empty()
    }

    /// Whether the legend of a file has an entry: for a name that no label repeats, and for what a
    /// band is.
    pub(crate) fn is_in_legend(&self) -> bool {
        !self.name.is_empty() && !self.points.is_empty() && (self.label.is_empty() || self.has_area())
    }

    /// Returns the corners of the line that a [`Mark::Steps`] draws.
    pub(crate) fn steps(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let mut corners = Vec::with_capacity(2 * points.len());
        for (i, &(x, y)) in points.iter().enumerate() {
            let middle = |other: usize| points.get(other).map(|other| f64::midpoint(x, other.0));
            let [before, after] = [i.checked_sub(1).and_then(middle), middle(i + 1)];
            corners.extend([(before.unwrap_or(x), y), (after.unwrap_or(x), y)]);
        }
        corners
    }
}

impl Chart {
    /// Whether a line or a point is partly above or below the frame. Such places have a mark.
    pub fn leaves_frame(&self) -> bool {
        let series = self.series.iter().filter(|series| series.mark.leaves_a_frame());
        let range = self.y.range.start..=self.y.range.end;
        series.flat_map(|series| &series.points).any(|(_, y)| !range.contains(y))
    }
}

impl Axis {
    /// Creates a linear axis.
    pub fn linear(label: impl Into<String>, range: Range<f64>, format: Format) -> Self {
        Self { label: label.into(), range, scale: Scale::Linear, format }
    }

    /// Returns `range` if it contains at least half of the values, else a range of all values. The
    /// report's limits fit its own data only.
    pub fn fitted(range: Range<f64>, values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
        let inside = values.clone().filter(|value| range.contains(value)).count();
        if 2 * inside >= values.clone().count() {
            return range;
        }
        let smallest = values.clone().fold(f64::INFINITY, f64::min);
        let largest = values.fold(f64::NEG_INFINITY, f64::max);
        let margin = if largest > smallest { 0.05 * (largest - smallest) } else { 0.5 };
        smallest - margin..largest + margin
    }

    /// Returns the position of a value between the axis' ends, from 0 to 1.
    pub fn position(&self, value: f64) -> f64 {
        (self.map(value) - self.map(self.range.start)) / (self.map(self.range.end) - self.map(self.range.start))
    }

    /// Returns the value, or its decimal logarithm.
    pub(crate) fn map(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
        }
    }

    /// Returns the label of a tick. `mapped` is a result of [`Axis::map`].
    pub(crate) fn label_of(&self, mapped: f64) -> String {
        match self.scale {
            Scale::Linear => self.format.write(mapped),
            Scale::Logarithmic if (mapped - mapped.round()).abs() < 1e-9 => {
                self.format.write(10f64.powi(mapped.round() as i32))
            }
            Scale::Logarithmic => String::new(),
        }
    }
}

impl Format {
    /// Formats a value.
    pub fn write(self, value: f64) -> String {
        match self {
            Format::Count => format!("{value:.0}"),
            Format::Percent => format!("{} %", trimmed(100.0 * value, 2)),
            Format::Number => {
                // Two significant digits at least.
                let digits = if value == 0.0 { 4.0 } else { 1.0 - value.abs().log10().floor() };
                trimmed(value, digits.clamp(4.0, 12.0) as usize)
            }
        }
    }
}

/// Formats a number with at most `digits` decimals and no trailing zeros.
fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
