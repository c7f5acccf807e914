//! Draws small images as text: coloured half-blocks on a terminal, plain characters elsewhere.

use std::io::IsTerminal;

use chainrule_core::{align_left, display_width, escape_controls};
use chainrule_report::Color;

/// The colours that the output supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColorSupport {
    /// Characters without colours.
    Plain,
    /// The 256-colour palette's cube of 6 x 6 x 6 colours.
    Cube,
    /// 24 bits.
    True,
}

/// How values become colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Palette {
    /// From 0 (black) to 1 (white).
    Grey,
    /// From -1 (blue) over 0 (white) to 1 (red). This is `ColorBrewer`'s `RdBu`, which is readable
    /// with any common colour blindness.
    Signed,
}

/// An image with a title.
pub(crate) struct Heatmap {
    pub(crate) name: String,
    /// Row by row, in the palette's range.
    pub(crate) values: Vec<f64>,
    pub(crate) palette: Palette,
}

/// The number of columns if there is no terminal.
const DEFAULT_COLUMNS: usize = 80;
/// The number of columns between two images.
const GAP: usize = 2;

impl ColorSupport {
    /// Detects what standard output supports. `NO_COLOR` (<https://no-color.org>) is respected.
    pub(crate) fn detect() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let [no_color, term, colorterm] = ["NO_COLOR", "TERM", "COLORTERM"].map(set);
        Self::new(std::io::stdout().is_terminal(), no_color.is_some(), term.as_deref(), colorterm.as_deref())
    }

    fn new(is_terminal: bool, no_color: bool, term: Option<&str>, colorterm: Option<&str>) -> Self {
        if !is_terminal || no_color || term.is_none_or(|term| term == "dumb") {
            return ColorSupport::Plain;
        }
        match colorterm {
            Some("truecolor" | "24bit") => ColorSupport::True,
            _ => ColorSupport::Cube,
        }
    }

    /// Whether characters beyond ASCII can be drawn.
    pub(crate) fn has_unicode(self) -> bool {
        self != ColorSupport::Plain
    }

    /// Returns what starts a colour of a plot. `None` without colours.
    pub(crate) fn start(self) -> Option<fn(Color) -> String> {
        match self {
            ColorSupport::Plain => None,
            ColorSupport::Cube => Some(|color| format!("\x1b[38;5;{}m", palette_index(color.rgb()))),
            ColorSupport::True => Some(|color| {
                let [r, g, b] = color.rgb();
                format!("\x1b[38;2;{r};{g};{b}m")
            }),
        }
    }

    /// Explains the plain characters.
    pub(crate) fn legend(self, palette: Palette) -> &'static str {
        match (self, palette) {
            (ColorSupport::Plain, Palette::Signed) => "for: + * #   against: - ~ =",
            (_, Palette::Signed) => "red: evidence for, blue: evidence against",
            (_, Palette::Grey) => "",
        }
    }

    /// Draws images of `size` rows and columns. As many as fit stand in one row.
    pub(crate) fn draw(self, pictures: &[Heatmap], [height, width]: [usize; 2], columns: usize) -> String {
        let shown = width.min(columns.max(1));
        let rows = (height * shown).div_ceil(width);
        let per_row = ((columns + GAP) / (shown + GAP)).max(1);
        let mut text = String::new();
        for pictures in pictures.chunks(per_row) {
            let mut line = String::new();
            for picture in pictures {
                let mut name = escape_controls(&picture.name).into_owned();
                while display_width(&name) > shown {
                    name.pop();
                }
                line.push_str(&align_left(name, shown + GAP));
            }
            text.push_str(line.trim_end());
            text.push('\n');
            let scaled: Vec<Vec<f64>> =
                pictures.iter().map(|picture| shrink(&picture.values, [height, width], [rows, shown])).collect();
            for y in (0..rows).step_by(2) {
                let mut line = String::new();
                for (i, (picture, values)) in pictures.iter().zip(&scaled).enumerate() {
                    let row = |y: usize| values.get(y * shown..(y + 1) * shown);
                    let upper = row(y).unwrap_or_default();
                    if i > 0 {
                        line.push_str(&" ".repeat(GAP));
                    }
                    self.draw_line(&mut line, picture.palette, upper, row(y + 1));
                }
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }

    /// Draws two rows of pixels as one line. A character is about twice as high as wide.
    fn draw_line(self, line: &mut String, palette: Palette, upper: &[f64], lower: Option<&[f64]>) {
        for (x, &upper) in upper.iter().enumerate() {
            let lower = lower.map(|lower| lower[x]);
            let drawn = match (self, lower.map(|lower| palette.rgb(lower))) {
                (ColorSupport::Plain, _) => {
                    line.push(palette.character((upper + lower.unwrap_or(upper)) / 2.0));
                    continue;
                }
                (ColorSupport::True, lower) => {
                    let [r, g, b] = palette.rgb(upper);
                    let below = lower.map(|[r, g, b]| format!("\x1b[48;2;{r};{g};{b}m")).unwrap_or_default();
                    format!("\x1b[38;2;{r};{g};{b}m{below}▀")
                }
                (ColorSupport::Cube, lower) => {
                    let below = lower.map(|rgb| format!("\x1b[48;5;{}m", palette_index(rgb))).unwrap_or_default();
                    format!("\x1b[38;5;{}m{below}▀", palette_index(palette.rgb(upper)))
                }
            };
            line.push_str(&drawn);
        }
        if self != ColorSupport::Plain {
            line.push_str("\x1b[0m");
        }
    }
}

/// The width of the terminal, in columns.
pub(crate) fn columns() -> usize {
    terminal_size::terminal_size().map_or(DEFAULT_COLUMNS, |(width, _)| usize::from(width.0))
}

impl Palette {
    /// The red, green and blue of a value.
    pub(crate) fn rgb(self, value: f64) -> [u8; 3] {
        const BLUE: [f64; 3] = [33.0, 102.0, 172.0];
        const WHITE: [f64; 3] = [247.0; 3];
        const RED: [f64; 3] = [178.0, 24.0, 43.0];
        match self {
            Palette::Grey => [(255.0 * value.clamp(0.0, 1.0)).round() as u8; 3],
            Palette::Signed => {
                let (end, part) = (if value < 0.0 { BLUE } else { RED }, value.abs().min(1.0));
                [0, 1, 2].map(|i| (WHITE[i] + part * (end[i] - WHITE[i])).round() as u8)
            }
        }
    }

    fn character(self, value: f64) -> char {
        let pick = |characters: &[u8], part: f64| {
            let last = characters.len() - 1;
            char::from(characters[((part * characters.len() as f64) as usize).min(last)])
        };
        match self {
            Palette::Grey => pick(b" .:-=+*#%@", value.clamp(0.0, 1.0)),
            // Values below an eighth of the largest are drawn blank.
            Palette::Signed if value.abs() < 0.125 => ' ',
            Palette::Signed if value < 0.0 => pick(b"-~=", -value),
            Palette::Signed => pick(b"+*#", value),
        }
    }
}

/// The nearest of the 6 x 6 x 6 colours and the 24 greys from 8 to 238.
fn palette_index(rgb: [u8; 3]) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let distance = |other: [u8; 3]| (0..3).map(|i| u32::from(rgb[i].abs_diff(other[i])).pow(2)).sum::<u32>();
    let indices = rgb.map(|level| (0..6).min_by_key(|&i| LEVELS[i].abs_diff(level)).unwrap_or_default());
    let mean = rgb.iter().map(|&level| u32::from(level)).sum::<u32>() / 3;
    let grey = (mean.saturating_sub(3) / 10).min(23) as u8;
    if distance([8 + 10 * grey; 3]) < distance(indices.map(|i| LEVELS[i])) {
        return 232 + grey;
    }
    let [r, g, b] = indices.map(|i| i as u8);
    16 + 36 * r + 6 * g + b
}

/// Shrinks an image: each new pixel is the mean of its part.
fn shrink(values: &[f64], [height, width]: [usize; 2], [rows, columns]: [usize; 2]) -> Vec<f64> {
    let part = |i: usize, parts: usize, pixels: usize| i * pixels / parts..((i + 1) * pixels).div_ceil(parts);
    let mut scaled = Vec::with_capacity(rows * columns);
    for y in 0..rows {
        for x in 0..columns {
            let (ys, xs) = (part(y, rows, height), part(x, columns, width));
            let count = ys.len() * xs.len();
            let sum: f64 = ys.flat_map(|y| xs.clone().map(move |x| values[y * width + x])).sum();
            scaled.push(sum / count as f64);
        }
    }
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heatmap(values: &[f64], palette: Palette) -> [Heatmap; 1] {
        [Heatmap { name: "w".to_owned(), values: values.to_vec(), palette }]
    }

    #[test]
    fn a_terminal_gets_its_colours_and_a_pipe_gets_none() {
        let (xterm, true_color) = (Some("xterm-256color"), Some("truecolor"));
        assert_eq!(ColorSupport::new(true, false, xterm, true_color), ColorSupport::True);
        assert_eq!(ColorSupport::new(true, false, xterm, None), ColorSupport::Cube);
        assert_eq!(ColorSupport::new(true, true, xterm, true_color), ColorSupport::Plain);
        assert_eq!(ColorSupport::new(true, false, Some("dumb"), None), ColorSupport::Plain);
        assert_eq!(ColorSupport::new(false, false, xterm, true_color), ColorSupport::Plain);
    }

    #[test]
    fn a_half_block_has_the_upper_pixel_as_foreground() {
        let pixels = heatmap(&[1.0, -1.0, 0.0], Palette::Signed);
        let drawn = ColorSupport::True.draw(&pixels, [3, 1], 80);
        assert_eq!(drawn, "w\n\x1b[38;2;178;24;43m\x1b[48;2;33;102;172m▀\x1b[0m\n\x1b[38;2;247;247;247m▀\x1b[0m\n");
        let drawn = ColorSupport::Cube.draw(&heatmap(&[1.0, 0.0], Palette::Grey), [2, 1], 80);
        assert_eq!(drawn, "w\n\x1b[38;5;231m\x1b[48;5;16m▀\x1b[0m\n");
    }

    #[test]
    fn a_colour_becomes_the_nearest_palette_colour() {
        for (rgb, expected) in [
            ([0; 3], 16),
            ([255; 3], 231),
            ([255, 0, 0], 196),
            ([94, 134, 176], 16 + 36 + 12 + 3),
            ([8; 3], 232),
            ([239; 3], 255),
            ([128; 3], 244),
            // Nearly white stays untinted.
            ([240, 243, 246], 255),
        ] {
            assert_eq!(palette_index(rgb), expected, "{rgb:?}");
        }
    }

    #[test]
    fn plain_characters_show_sign_and_size() {
        let row = [1.0, 0.5, 0.2, 0.0, -0.2, -0.5, -1.0, 1.0];
        assert_eq!(ColorSupport::Plain.draw(&heatmap(&row, Palette::Signed), [1, 8], 80), "w\n#*+ -~=#\n");
        assert_eq!(ColorSupport::Plain.draw(&heatmap(&[0.0, 1.0, 0.5, 1.0], Palette::Grey), [2, 2], 80), "w\n:@\n");
    }

    #[test]
    fn wide_images_are_shrunk_and_narrow_ones_share_a_row() {
        let wide = ColorSupport::Plain.draw(
            &heatmap(&[1.0, 1.0, -1.0, -1.0, 1.0, 1.0, -1.0, -1.0], Palette::Signed),
            [2, 4],
            2,
        );
        assert_eq!(wide, "w\n#=\n");
        let two = [heatmap(&[1.0], Palette::Signed), heatmap(&[-1.0], Palette::Signed)].map(|[one]| one);
        assert_eq!(ColorSupport::Plain.draw(&two, [1, 1], 4), "w  w\n#  =\n");
        assert_eq!(ColorSupport::Plain.draw(&two, [1, 1], 3), "w\n#\nw\n=\n");
    }
}
