//! Draws charts as text: with dots of braille on a terminal, with plain characters elsewhere.

use chainrule_core::{align_left, align_right, display_width, escape_controls};

use crate::figure::{Axis, Chart, Color, Mark, Scale};

/// How a chart becomes text.
#[derive(Clone, Copy, Debug)]
pub struct TextStyle {
    /// The width in columns.
    pub columns: usize,
    /// The height of the plot area in lines.
    pub lines: usize,
    /// Whether each character is 2 x 4 dots of braille. Else a line is drawn by one character for
    /// each series.
    pub has_braille: bool,
    /// Returns the escape sequence that starts a colour. `None` without colours.
    pub start_color: Option<fn(Color) -> String>,
}

/// The characters of the series without braille, and of thin lines.
const MARKS: [char; 6] = ['*', 'o', '+', 'x', '#', '@'];
const THIN: char = '.';
/// Ends a colour.
const RESET: &str = "\x1b[0m";

/// The characters of the plot area, each with the number of the series that is drawn on it.
struct Canvas {
    size: [usize; 2],
    has_braille: bool,
    /// The dots of braille, or a mark if there is any.
    cells: Vec<(u8, Option<usize>)>,
}

impl Canvas {
    /// The dots of a character, in x and y.
    fn dots(&self) -> [usize; 2] {
        if self.has_braille { [2, 4] } else { [1, 1] }
    }

    /// Sets the dot at a place from 0 to 1, from left to right and bottom to top.
    fn set(&mut self, [x, y]: [f64; 2], series: usize) {
        if !(0.0..=1.0).contains(&x) || !(0.0..=1.0).contains(&y) {
            return;
        }
        let [across, down] = self.dots();
        let [columns, lines] = self.size;
        let place = |share: f64, dots: usize| ((share * dots as f64) as usize).min(dots - 1);
        let (x, y) = (place(x, columns * across), place(1.0 - y, lines * down));
        // The bits of Unicode's braille patterns, row by row.
        const BITS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
        let (dots, owner) = &mut self.cells[y / down * columns + x / across];
        *dots |= if self.has_braille { BITS[y % 4][x % 2] } else { 1 };
        *owner = Some(series);
    }

    /// Draws a line between two places, or every third dot of it.
    fn line(&mut self, from: [f64; 2], to: [f64; 2], series: usize, is_dotted: bool) {
        let [across, down] = self.dots();
        let [columns, lines] = self.size;
        let length =
            ((to[0] - from[0]).abs() * (columns * across) as f64).max((to[1] - from[1]).abs() * (lines * down) as f64);
        // Lines far outside of the range have no end.
        let steps = (length.ceil().min(1e5) as usize).max(1);
        for i in (0..=steps).step_by(if is_dotted { 3 } else { 1 }) {
            let t = i as f64 / steps as f64;
            self.set([0, 1].map(|i| from[i] + t * (to[i] - from[i])), series);
        }
    }
}

impl Chart {
    /// Draws the chart as text, with a legend below. Names are shown with their control characters
    /// escaped.
    pub fn text(&self, style: TextStyle) -> String {
        let ticks = ticks(&self.y, 5);
        let left = ticks.iter().map(|(_, label)| display_width(label)).max().unwrap_or_default() + 1;
        let columns = style.columns.saturating_sub(left + 1).max(8);
        let lines = style.lines.max(3);
        let mut canvas =
            Canvas { size: [columns, lines], has_braille: style.has_braille, cells: vec![(0, None); columns * lines] };
        for (i, series) in self.series.iter().enumerate() {
            let places: Vec<[f64; 2]> =
                series.points.iter().map(|&(x, y)| [self.x.position(x), self.y.position(y)]).collect();
            match series.mark {
                Mark::Dots | Mark::Bars(_) | Mark::Upright | Mark::Symbols(_) => {
                    places.iter().for_each(|&place| canvas.set(place, i));
                }
                Mark::Line | Mark::Thin | Mark::LineAndDots | Mark::Steps => {
                    places.iter().take(1).for_each(|&place| canvas.set(place, i));
                    let is_dotted = series.mark == Mark::Thin && style.has_braille;
                    places.windows(2).for_each(|pair| canvas.line(pair[0], pair[1], i, is_dotted));
                }
            }
        }
        let mut text = format!("{}\n", escape_controls(&self.y.label));
        for line in 0..lines {
            let has_tick = |(at, _): &&(f64, String)| {
                (((1.0 - self.y.position(*at)) * lines as f64) as usize).min(lines - 1) == line
            };
            let label = ticks.iter().find(has_tick).map_or("", |(_, label)| label);
            let frame = if style.has_braille { '│' } else { '|' };
            let mut row = format!("{}{frame}", align_right(label, left));
            for &(dots, series) in &canvas.cells[line * columns..][..columns] {
                row += &self.cell(dots, series, style);
            }
            text += row.trim_end();
            text.push('\n');
        }
        let (corner, line) = if style.has_braille { ("└", "─") } else { ("+", "-") };
        text += &format!("{}{corner}{}\n", " ".repeat(left), line.repeat(columns));
        text += &self.x_labels(left + 1, columns);
        let named = self.series.iter().enumerate().filter(|(_, series)| !series.name.is_empty());
        for (i, series) in named {
            let mark = if style.has_braille { "━━".to_owned() } else { self.mark(i).to_string().repeat(2) };
            text += &format!(
                "{}{} {}\n",
                " ".repeat(left + 1),
                style.paint(&mark, series.color),
                escape_controls(&series.name)
            );
        }
        text
    }

    /// Returns the character of a series without braille. A series without a name has that of the
    /// next named one, unless it is thin.
    fn mark(&self, series: usize) -> char {
        if self.series[series].mark == Mark::Thin {
            return THIN;
        }
        let before = self.series[..series].iter().filter(|other| other.mark != Mark::Thin && !other.name.is_empty());
        MARKS[before.count() % MARKS.len()]
    }

    fn cell(&self, dots: u8, series: Option<usize>, style: TextStyle) -> String {
        let Some(series) = series else { return " ".to_owned() };
        let character = match style.has_braille {
            true => char::from_u32(0x2800 + u32::from(dots)).unwrap_or(' '),
            false => self.mark(series),
        };
        style.paint(&character.to_string(), self.series[series].color)
    }

    /// The ends of the x axis below it, with its label between them.
    fn x_labels(&self, left: usize, columns: usize) -> String {
        let Axis { range, label, .. } = &self.x;
        let [first, last] = [range.start, range.end].map(|end| self.x.label_of(self.x.map(end)));
        let label = escape_controls(label);
        let room = columns.saturating_sub(display_width(&first) + display_width(&last));
        let label_left = room.saturating_sub(display_width(&label)) / 2;
        let middle = align_left(format!("{}{label}", " ".repeat(label_left)), room);
        format!("{}{first}{middle}{last}\n", " ".repeat(left))
    }
}

impl TextStyle {
    pub(crate) fn paint(self, text: &str, color: Color) -> String {
        match self.start_color {
            Some(start) => format!("{}{text}{RESET}", start(color)),
            None => text.to_owned(),
        }
    }
}

/// Returns about this many round values of an axis, with their labels.
pub(crate) fn ticks(axis: &Axis, about: usize) -> Vec<(f64, String)> {
    let [low, high] = [axis.range.start, axis.range.end].map(|end| axis.map(end));
    let is_logarithmic = axis.scale == Scale::Logarithmic;
    let smallest = (high - low) / about as f64;
    let power = 10f64.powf(smallest.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= smallest);
    // On a logarithmic axis, only powers of ten have labels.
    let step = if is_logarithmic { smallest.ceil() } else { step.unwrap_or(smallest) };
    let first = (low / step).ceil() as i64;
    let values = (first..).map(|i| i as f64 * step).take_while(|value| *value <= high).take(50);
    values.map(|mapped| (if is_logarithmic { 10f64.powf(mapped) } else { mapped }, axis.label_of(mapped))).collect()
}
