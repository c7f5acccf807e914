//! What a figure shows, before anything is drawn.

use std::ops::Range;

/// A figure: what it is called, what it says, and what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// `figure-1` to `figure-8` as in the report; the audit's own are named after their task.
    pub id: &'static str,
    /// A few words.
    pub title: String,
    /// What one sees, in the markup of [`crate::document`].
    pub caption: String,
    /// The picture.
    pub content: Content,
    /// The runs that it was drawn from.
    pub runs: Vec<String>,
}

/// What is in a figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Curves, points or bars over two axes.
    Chart(Chart),
    /// Matrices as grey pictures.
    Pictures(Pictures),
}

/// Curves, points or bars over two axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Left to right.
    pub x: Axis,
    /// Bottom to top.
    pub y: Axis,
    /// What is drawn, the last on top.
    pub series: Vec<Series>,
    /// Where the legend lies.
    pub legend: Corner,
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What is measured, with its unit.
    pub label: String,
    /// From where to where.
    pub range: Range<f64>,
    /// How far apart equal distances are.
    pub scale: Scale,
    /// How its values are written.
    pub format: Format,
}

/// How far apart equal distances are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences.
    Linear,
    /// Equal ratios.
    Logarithmic,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A whole number.
    Count,
    /// A number, with as many digits as it takes.
    Number,
    /// A fraction, as a percentage.
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
}

/// One kind of mark, with one colour and one line in the legend.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its line in the legend.
    pub name: String,
    /// Its colour, which no other series of its chart has.
    pub color: Color,
    /// What is drawn at its points.
    pub mark: Mark,
    /// x and y.
    pub points: Vec<(f64, f64)>,
    /// For each point how far a band reaches to both sides; nothing where there is no band.
    pub band: Vec<f64>,
}

/// What is drawn at a series' points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// A line through them.
    Line,
    /// A thin line through them, for what is only the background of another.
    Thin,
    /// A line with a dot at each.
    LineAndDots,
    /// A dot at each.
    Dots,
    /// Bars of this width around their x, from zero up.
    Bars(f64),
    /// An upright line up to each, which marks its x and has no value.
    Upright,
}

/// Okabe and Ito's colours, which people with any common colour blindness tell apart.
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
    /// #E69F00
    Orange,
    /// #56B4E9
    Sky,
}

impl Color {
    /// Red, green, blue.
    pub const fn rgb(self) -> [u8; 3] {
        match self {
            Color::Blue => [0x00, 0x72, 0xb2],
            Color::Vermillion => [0xd5, 0x5e, 0x00],
            Color::Green => [0x00, 0x9e, 0x73],
            Color::Purple => [0xcc, 0x79, 0xa7],
            Color::Orange => [0xe6, 0x9f, 0x00],
            Color::Sky => [0x56, 0xb4, 0xe9],
        }
    }

    /// As SVG writes it.
    pub fn hex(self) -> String {
        let [r, g, b] = self.rgb();
        format!("#{r:02X}{g:02X}{b:02X}")
    }
}

/// Rows of pictures, each of one class's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Pictures {
    /// The classes, left to right.
    pub columns: Vec<String>,
    /// The runs, top to bottom: name, and for each class its weights.
    pub rows: Vec<(String, Vec<Vec<f64>>)>,
    /// Height and width of a picture.
    pub size: [usize; 2],
}

impl Pictures {
    /// A picture as grey levels, its smallest weight black and its largest white.
    pub fn grey(weights: &[f64]) -> Vec<u8> {
        let smallest = weights.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = if largest > smallest { largest - smallest } else { 1.0 };
        weights.iter().map(|w| ((w - smallest) / range * 255.0).round() as u8).collect()
    }
}

impl Series {
    /// A series without a band.
    pub fn new(name: impl Into<String>, color: Color, mark: Mark, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), color, mark, points, band: Vec::new() }
    }
}

impl Axis {
    /// A linear axis.
    pub fn linear(label: impl Into<String>, range: Range<f64>, format: Format) -> Self {
        Self { label: label.into(), range, scale: Scale::Linear, format }
    }

    /// `range` where it shows at least half of the values, else one that shows them all: the
    /// report's limits fit its own data.
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

    /// Where a value lies between the axis' ends, 0 to 1.
    pub fn position(&self, value: f64) -> f64 {
        (self.map(value) - self.map(self.range.start)) / (self.map(self.range.end) - self.map(self.range.start))
    }

    /// The value, or its decimal logarithm.
    pub(crate) fn map(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
        }
    }

    /// A tick's label, for a value as [`Axis::map`] gives it.
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
    /// The value in words.
    pub fn write(self, value: f64) -> String {
        match self {
            Format::Count => format!("{value:.0}"),
            Format::Percent => format!("{} %", trimmed(100.0 * value, 2)),
            Format::Number => trimmed(value, 4),
        }
    }
}

/// At most `digits` behind the point, and no zeros at the end.
fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
