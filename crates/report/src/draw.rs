//! Draws figures as SVG and PNG. The font in `assets/` gives the width of text, and its letters in
//! a PNG. No system font is used.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plotters::coord::ranged1d::Ranged;
use plotters::coord::{CoordTranslate, Shift};
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figure::{self, Chart, Content, Corner, Figure, GreyScale, Mark, PictureRow, Pictures, Symbol};
use crate::plot::{Field, Plane};

/// A drawn figure.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// The SVG document.
    pub svg: String,
    /// The width and height of the drawing, in its own units.
    pub size: [u32; 2],
    /// The plot area in the drawing: left, top, right, bottom. `None` for pictures.
    pub plot: Option<[i32; 4]>,
}

/// The purpose of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A file: white background, legend and margins.
    File,
    /// A part of a page. The page has its own background and legend, and may be narrow.
    Page,
}

/// Draws a figure as SVG.
pub fn svg(figure: &Figure, purpose: Purpose) -> Drawing {
    let size = size_of(figure, purpose);
    let (mut svg, plot) = draw_svg(size, |area| draw(area, figure, purpose, 1));
    if let Content::Pictures(pictures) = &figure.content {
        insert_tiles(&mut svg, &tiles(pictures, 1), pictures.size);
    }
    Drawing { svg, size, plot }
}

/// Returns an SVG document of this size in its own units, and the result of `draw`.
pub(crate) fn draw_svg<T>(
    [width, height]: [u32; 2],
    draw: impl FnOnce(&DrawingArea<SVGBackend, Shift>) -> T,
) -> (String, T) {
    let mut svg = String::new();
    let result = {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        let result = draw(&area);
        area.present().expect(IN_MEMORY);
        result
    };
    (svg, result)
}

/// Returns the pixels of a drawing of this size in SVG units, with [`PNG_SCALE`] pixels for each
/// unit in both directions. `draw` also gets the number of pixels that it draws for each unit.
pub(crate) fn draw_bitmap(
    [width, height]: [u32; 2],
    draw: impl FnOnce(&DrawingArea<BitMapBackend, Shift>, u32),
) -> Vec<u8> {
    let scale = PNG_SCALE * SAMPLES;
    let (wide, high) = (width * scale, height * scale);
    let mut samples = vec![255u8; (wide * high * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut samples, (wide, high)).into_drawing_area();
        draw(&area, scale);
        area.present().expect(IN_MEMORY);
    }
    average(&samples, (width * PNG_SCALE) as usize, (height * PNG_SCALE) as usize, SAMPLES as usize)
}

/// The number of PNG pixels for each SVG unit, for high-resolution screens.
pub(crate) const PNG_SCALE: u32 = 2;
/// The number of pixels drawn for each pixel of the PNG, in both directions. Averaging them smooths
/// the edges.
const SAMPLES: u32 = 2;

/// Draws a figure as PNG.
pub fn png(figure: &Figure) -> Vec<u8> {
    let size = size_of(figure, Purpose::File);
    let mut pixels = draw_bitmap(size, |area, scale| {
        draw(area, figure, Purpose::File, scale);
    });
    let [width, height] = size.map(|side| side * PNG_SCALE);
    if let Content::Pictures(pictures) = &figure.content {
        paint_tiles(&mut pixels, width as usize, &tiles(pictures, PNG_SCALE as usize), pictures.size);
    }
    encode(&pixels, width, height, png::ColorType::Rgb)
}

/// Averages squares of `samples` by `samples` pixels.
fn average(pixels: &[u8], width: usize, height: usize, samples: usize) -> Vec<u8> {
    let mut result = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let sum: usize = (0..samples * samples)
                    .map(|i| {
                        let (row, column) = (y * samples + i / samples, x * samples + i % samples);
                        usize::from(pixels[(row * width * samples + column) * 3 + channel])
                    })
                    .sum();
                result.push((sum / (samples * samples)) as u8);
            }
        }
    }
    result
}

pub(crate) fn encode(pixels: &[u8], width: u32, height: u32, color: png::ColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().expect("writing into memory cannot fail");
    writer.write_image_data(pixels).expect("the number of pixels matches the header");
    writer.finish().expect("writing into memory cannot fail");
    bytes
}

/// The name under which the font is registered. In an SVG, it is the viewer's sans-serif font.
pub(crate) const FAMILY: &str = "sans-serif";

fn size_of(figure: &Figure, purpose: Purpose) -> [u32; 2] {
    match &figure.content {
        Content::Chart(_) => match purpose {
            Purpose::File => [640, 420],
            Purpose::Page => [480, 330],
        },
        Content::Pictures(pictures) => {
            let [width, height] = pictures_size(pictures);
            [width as u32, height as u32]
        }
    }
}

/// Draws everything except the tiles of pictures, and returns the plot area.
fn draw<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    figure: &Figure,
    purpose: Purpose,
    scale: u32,
) -> Option<[i32; 4]> {
    use_font();
    if purpose == Purpose::File {
        area.fill(&WHITE).expect(IN_MEMORY);
    }
    match &figure.content {
        Content::Chart(chart) => {
            // A narrow page shrinks the drawing with its text.
            let style = match purpose {
                Purpose::File => ChartStyle::FILE,
                Purpose::Page => ChartStyle { larger: 2, x_labels: 5, has_legend: false, ..ChartStyle::FILE },
            };
            Some(draw_chart(area, chart, style, scale))
        }
        Content::Pictures(pictures) => {
            draw_labels(area, pictures, scale);
            None
        }
    }
}

/// Registers the font in `assets/`.
pub(crate) fn use_font() {
    static FONT: OnceLock<()> = OnceLock::new();
    FONT.get_or_init(|| {
        let font = include_bytes!("../assets/DejaVuSans-subset.ttf");
        assert!(register_font(FAMILY, FontStyle::Normal, font).is_ok(), "the font in assets/ is valid");
    });
}

pub(crate) const IN_MEMORY: &str = "drawing into memory cannot fail";
pub(crate) const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// The colours of paper and ink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Black on white.
    Light,
    /// Light grey on nearly black. The colours of [`figure::Color`] have a contrast of 3 or more to
    /// it.
    Dark,
}

impl Theme {
    pub(crate) const fn background(self) -> RGBColor {
        match self {
            Theme::Light => WHITE,
            Theme::Dark => RGBColor(0x16, 0x16, 0x16),
        }
    }

    pub(crate) const fn ink(self) -> RGBColor {
        match self {
            Theme::Light => BLACK,
            Theme::Dark => RGBColor(0xe6, 0xe6, 0xe6),
        }
    }

    pub(crate) const fn grid(self) -> RGBColor {
        match self {
            Theme::Light => GRID,
            Theme::Dark => RGBColor(0x3a, 0x3a, 0x3a),
        }
    }
}

/// The style of a chart.
#[derive(Clone, Copy)]
pub(crate) struct ChartStyle {
    /// Added to the size of letters.
    pub(crate) larger: u32,
    /// About this many labels on the x axis.
    pub(crate) x_labels: usize,
    pub(crate) has_legend: bool,
    pub(crate) theme: Theme,
}

impl ChartStyle {
    pub(crate) const FILE: Self = Self { larger: 0, x_labels: 8, has_legend: true, theme: Theme::Light };
}

/// Draws a chart and returns its plot area: left, top, right, bottom.
pub(crate) fn draw_chart<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    chart: &Chart,
    style: ChartStyle,
    scale: u32,
) -> [i32; 4] {
    draw_chart_over(area, chart, None, style, scale)
}

/// Like [`draw_chart`], in front of a plane.
pub(crate) fn draw_chart_over<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    chart: &Chart,
    plane: Option<&Plane>,
    ChartStyle { larger, x_labels, has_legend, theme }: ChartStyle,
    scale: u32,
) -> [i32; 4] {
    let is_bitmap = scale > 1;
    let font = |size: u32| (FAMILY, (size + larger) * scale).into_font().color(&theme.ink());
    let range = |axis: &figure::Axis| axis.map(axis.range.start)..axis.map(axis.range.end);
    let mut context = ChartBuilder::on(area)
        .margin(10 * scale)
        .margin_right((22 + label_width(chart, 12 + larger)) * scale)
        .x_label_area_size(42 * scale)
        .y_label_area_size(64 * scale)
        .build_cartesian_2d(range(&chart.x), range(&chart.y))
        .expect(IN_MEMORY);
    if let Some(plane) = plane {
        draw_field(context.plotting_area(), &plane.field, theme);
    }
    context
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(if plane.is_some() { TRANSPARENT } else { theme.grid().to_rgba() }.stroke_width(scale))
        .axis_style(theme.ink().stroke_width(scale))
        .x_labels(x_labels)
        .y_labels(7)
        .label_style(font(12))
        .axis_desc_style(font(13))
        .x_label_formatter(&|x| chart.x.label_of(*x))
        .y_label_formatter(&|y| chart.y.label_of(*y))
        .x_desc(&chart.x.label)
        .y_desc(&chart.y.label)
        .set_all_tick_mark_size(4 * scale)
        .draw()
        .expect(IN_MEMORY);

    if let Some(plane) = plane {
        let width = if plane.has_thick_lines { 2 * scale } else { scale };
        let strength = if plane.has_thick_lines { 1.0 } else { 0.35 };
        let lines = plane.lines.iter().flat_map(|line| pieces_of(line.clone(), is_bitmap));
        let lines = lines.map(|piece| PathElement::new(piece, theme.ink().mix(strength).stroke_width(width)));
        context.draw_series(lines).expect(IN_MEMORY);
    }
    // Upright lines are behind everything else, since they only mark an x.
    let (uprights, others): (Vec<_>, Vec<_>) = chart.series.iter().partition(|series| series.mark == Mark::Upright);
    for series in uprights.into_iter().chain(others) {
        let color = rgb(series.color);
        let shift = series.shift * (chart.x.map(chart.x.range.end) - chart.x.map(chart.x.range.start));
        let points: Vec<(f64, f64)> = series.points.iter().map(|&(x, y)| (chart.x.map(x), chart.y.map(y))).collect();
        let points: Vec<(f64, f64)> = points.into_iter().map(|(x, y)| (x + shift, y)).collect();
        if !series.band.is_empty() && !series.mark.is_line() {
            let limits = &chart.y.range;
            let bars = series.points.iter().zip(&series.band).zip(&points).map(|((&(_, y), band), &(x, _))| {
                let end = |sign: f64| (x, chart.y.map((y + sign * band).clamp(limits.start, limits.end)));
                PathElement::new([end(-1.0), end(1.0)], color.stroke_width(scale))
            });
            context.draw_series(bars).expect(IN_MEMORY);
        } else if series.has_area() {
            let limits = chart.y.range.clone();
            let edge = |sign: f64| {
                let (sides, limits) = (series.points.iter().zip(&series.band), limits.clone());
                sides.map(move |(&(x, y), band)| {
                    (chart.x.map(x), chart.y.map((y + sign * band).clamp(limits.start, limits.end)))
                })
            };
            let outline: Vec<_> = edge(1.0).chain(edge(-1.0).collect::<Vec<_>>().into_iter().rev()).collect();
            context.draw_series([Polygon::new(outline, color.mix(0.2))]).expect(IN_MEMORY);
        }
        let visible = range(&chart.y);
        let line_points = if series.mark == Mark::Steps { figure::Series::steps(&points) } else { points.clone() };
        let line = |width: u32| {
            let pieces = clipped(&line_points, &visible).into_iter();
            let pieces = pieces.flat_map(|piece| pieces_of(piece, is_bitmap));
            pieces.map(move |piece| PathElement::new(piece, color.stroke_width(width * scale)))
        };
        let dots = || {
            let inside = points.iter().filter(|(_, y)| (visible.start..=visible.end).contains(y));
            inside.map(|&point| Circle::new(point, 3 * scale, color.filled()))
        };
        let symbols = |symbol: Symbol, radius: f64, color: RGBColor| {
            let corners = symbol.corners(radius * f64::from(scale));
            let inside = points.iter().filter(|(_, y)| (visible.start..=visible.end).contains(y));
            inside.map(move |&point| EmptyElement::at(point) + Polygon::new(corners.clone(), color.filled()))
        };
        let drawn = match series.mark {
            Mark::Symbols(symbol) => {
                // An edge of the background parts symbols that overlap.
                context.draw_series(symbols(symbol, 4.4, theme.background())).expect(IN_MEMORY);
                context.draw_series(symbols(symbol, 3.4, color))
            }
            Mark::Line | Mark::Steps => context.draw_series(line(2)),
            Mark::Thin => context.draw_series(line(1)),
            Mark::Dots => context.draw_series(dots()),
            Mark::LineAndDots => {
                context.draw_series(dots()).expect(IN_MEMORY);
                context.draw_series(line(2))
            }
            Mark::Upright => {
                let uprights = points.iter().map(|&(x, y)| vec![(x, visible.start), (x, y)]);
                context.draw_series(uprights.map(|upright| PathElement::new(upright, color.stroke_width(2 * scale))))
            }
            Mark::Bars(width) => context.draw_series(
                points
                    .iter()
                    .map(|&(x, y)| Rectangle::new([(x - width / 2.0, 0.0), (x + width / 2.0, y)], color.filled())),
            ),
        };
        let s = scale as i32;
        let drawn = drawn.expect(IN_MEMORY);
        if series.is_in_legend() {
            let (mark, has_area) = (series.mark, series.has_area());
            drawn.label(&series.name).legend(move |(x, y)| {
                let swatch = match (mark, has_area) {
                    (Mark::Symbols(symbol), _) => {
                        let corners = symbol.corners(4.0 * f64::from(scale)).into_iter();
                        corners.map(|(right, down)| (x + 8 * s + right, y + down)).collect()
                    }
                    // The band alone: its line has a label.
                    (_, true) => vec![(x, y - 5 * s), (x + 16 * s, y - 5 * s), (x + 16 * s, y + 5 * s), (x, y + 5 * s)],
                    (_, false) => vec![(x, y - 2 * s), (x + 16 * s, y - 2 * s), (x + 16 * s, y + s), (x, y + s)],
                };
                Polygon::new(swatch, if has_area { color.mix(0.3) } else { color.to_rgba() }.filled())
            });
        }
        if !series.mark.leaves_a_frame() {
            continue;
        }
        let exits = if series.mark.is_line() { exits(&line_points, &visible) } else { outside(&points, &visible) };
        let exits = exits.into_iter().map(|(point, is_above)| {
            let symbol = if is_above { Symbol::Triangle } else { Symbol::Down };
            // The mark is inside the frame.
            let inwards = if is_above { 5 * s } else { -5 * s };
            let corners =
                symbol.corners(4.0 * f64::from(scale)).into_iter().map(|(x, y)| (x, y + inwards)).collect::<Vec<_>>();
            EmptyElement::at(point) + Polygon::new(corners, color.filled())
        });
        context.draw_series(exits).expect(IN_MEMORY);
    }
    // A single curve needs no name beside the figure's title, but its band does.
    let needs_legend = match &chart.series[..] {
        [only] => only.has_area(),
        all => all.iter().any(figure::Series::is_in_legend),
    };
    if has_legend && needs_legend {
        let position = match chart.legend {
            Corner::UpperLeft => SeriesLabelPosition::UpperLeft,
            Corner::UpperRight => SeriesLabelPosition::UpperRight,
            Corner::LowerRight => SeriesLabelPosition::LowerRight,
            Corner::LowerLeft => SeriesLabelPosition::LowerLeft,
        };
        context
            .configure_series_labels()
            .position(position)
            .margin(8 * scale)
            .legend_area_size(22 * scale)
            .background_style(theme.background().mix(0.85))
            .border_style(theme.grid())
            .label_font(font(12))
            .draw()
            .expect(IN_MEMORY);
    }
    draw_labels_at_ends(area, context.plotting_area(), chart, 12 + larger, scale);
    let (x, y) = context.plotting_area().get_pixel_range();
    [x.start, y.start, x.end, y.end]
}

/// The width of the labels beside the last points, in the drawing's units.
fn label_width(chart: &Chart, size: u32) -> u32 {
    let font = (FAMILY, size).into_font();
    let widths = chart.series.iter().filter(|series| !series.label.is_empty());
    widths.map(|series| font.box_size(&series.label).map_or(0, |(width, _)| width)).max().unwrap_or_default()
}

/// Writes the labels of the series beside their last points, moved apart where they would overlap.
fn draw_labels_at_ends<B: DrawingBackend, X, Y>(
    area: &DrawingArea<B, Shift>,
    plot: &DrawingArea<B, Cartesian2d<X, Y>>,
    chart: &Chart,
    size: u32,
    scale: u32,
) where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let height = ((size + 3) * scale) as i32;
    let labelled = chart.series.iter().filter(|series| !series.label.is_empty());
    let mut ends: Vec<(i32, i32, &figure::Series)> = labelled
        .filter_map(|series| {
            let &(x, y) = series.points.iter().rev().find(|point| point.0 <= chart.x.range.end)?;
            let y = y.clamp(chart.y.range.start, chart.y.range.end);
            let (left, y) = plot.map_coordinate(&(chart.x.map(x), chart.y.map(y)));
            // Beside a curve that ends early, the others go on: its name is below it.
            let below = if chart.x.position(x) < 0.95 && series.mark.is_line() { height } else { 0 };
            Some((left, y + below, series))
        })
        .collect();
    ends.sort_by_key(|(_, y, _)| *y);
    let font = (FAMILY, size * scale).into_font();
    let width = |series: &figure::Series| font.box_size(&series.label).map_or(0, |(width, _)| width as i32);
    let collide = |a: &(i32, i32, &figure::Series), b: &(i32, i32, &figure::Series)| {
        a.0 < b.0 + width(b.2) && b.0 < a.0 + width(a.2) && (a.1 - b.1).abs() < height
    };
    let (top, bottom) = (plot.get_pixel_range().1.start + height / 2, plot.get_pixel_range().1.end);
    // From the top down, then back up from the lower edge.
    for i in 0..ends.len() {
        ends[i].1 = ends[i].1.max(top);
        while let Some(above) = (0..i).find(|&above| collide(&ends[above], &ends[i])) {
            ends[i].1 = ends[above].1 + height;
        }
    }
    for i in (0..ends.len()).rev() {
        ends[i].1 = ends[i].1.min(bottom);
        while let Some(below) = (i + 1..ends.len()).find(|&below| collide(&ends[below], &ends[i])) {
            ends[i].1 = ends[below].1 - height;
        }
    }
    for (x, y, series) in ends {
        let color = rgb(series.color);
        let style = TextStyle::from((FAMILY, size * scale).into_font()).color(&color);
        let place = (x + 7 * scale as i32, y);
        area.draw_text(&series.label, &style.pos(Pos::new(HPos::Left, VPos::Center)), place).expect(IN_MEMORY);
    }
}

/// Returns the places on the edge of a range for points outside it, and whether they are above.
fn outside(points: &[(f64, f64)], range: &std::ops::Range<f64>) -> Vec<((f64, f64), bool)> {
    let edge = |&(x, y): &(f64, f64)| match (y < range.start, y > range.end) {
        (true, _) => Some(((x, range.start), false)),
        (_, true) => Some(((x, range.end), true)),
        _ => None,
    };
    points.iter().filter_map(edge).collect()
}

/// Returns the places where a line leaves a range, on its edge, and whether they are above. A line
/// that starts outside has one where it enters.
fn exits(points: &[(f64, f64)], range: &std::ops::Range<f64>) -> Vec<((f64, f64), bool)> {
    let is_inside = |y: f64| (range.start..=range.end).contains(&y);
    let edge = |y: f64| if y > range.end { range.end } else { range.start };
    let crossing = |inside: (f64, f64), outside: (f64, f64)| {
        let edge = edge(outside.1);
        let t = (edge - inside.1) / (outside.1 - inside.1);
        ((inside.0 + t * (outside.0 - inside.0), edge), outside.1 > range.end)
    };
    let mut exits: Vec<_> = points
        .windows(2)
        .filter(|pair| is_inside(pair[0].1) && !is_inside(pair[1].1))
        .map(|pair| crossing(pair[0], pair[1]))
        .collect();
    if points.first().is_some_and(|first| !is_inside(first.1))
        && let Some(pair) = points.windows(2).find(|pair| is_inside(pair[1].1))
    {
        exits.insert(0, crossing(pair[1], pair[0]));
    }
    exits
}

/// Returns the lines to draw for a line. In a bitmap, plotters extends a line far beyond sharp
/// corners, so each segment is a separate line.
fn pieces_of(line: Vec<(f64, f64)>, is_bitmap: bool) -> Vec<Vec<(f64, f64)>> {
    if is_bitmap { line.windows(2).map(<[_]>::to_vec).collect() } else { vec![line] }
}

/// Colours a plot area.
fn draw_field<B: DrawingBackend, C: CoordTranslate>(area: &DrawingArea<B, C>, field: &Field, theme: Theme) {
    let area = area.strip_coord_spec();
    let [columns, rows] = field.size;
    let (width, height) = area.dim_in_pixel();
    let place = |i: usize, n: usize, side: u32| (i * side as usize / n) as i32;
    for (row, shades) in field.shades.chunks_exact(columns).rev().enumerate() {
        let (top, bottom) = (place(row, rows, height), place(row + 1, rows, height));
        let mut column = 0;
        // Neighbours of one shade are one rectangle.
        for same in shades.chunk_by(|a, b| a == b) {
            // One unit of overlap leaves no gaps in a scaled drawing; later rectangles cover it.
            let corners =
                [(place(column, columns, width), top), (place(column + same.len(), columns, width) + 1, bottom + 1)];
            let corners = corners.map(|(x, y)| (x.min(width as i32), y.min(height as i32)));
            area.draw(&Rectangle::new(corners, same[0].on(theme).filled())).expect(IN_MEMORY);
            column += same.len();
        }
    }
}

/// Returns a colour between two.
pub(crate) fn mix(from: RGBColor, to: RGBColor, part: f64) -> RGBColor {
    let channel = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(channel(from.0, to.0), channel(from.1, to.1), channel(from.2, to.2))
}

/// Returns the pieces of a line with y in `range`. Without this, plotters moves each outside point
/// to the edge.
fn clipped(points: &[(f64, f64)], range: &std::ops::Range<f64>) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut end = None;
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        // The segment is inside for t from `enter` to `leave`, within 0..=1.
        let at = |y: f64| (y - y0) / (y1 - y0);
        let (enter, leave) = if y0 == y1 {
            if (range.start..=range.end).contains(&y0) { (0.0, 1.0) } else { (1.0, 0.0) }
        } else {
            let (a, b) = (at(range.start), at(range.end));
            (a.min(b).max(0.0), a.max(b).min(1.0))
        };
        if enter > leave {
            continue;
        }
        let point = |t: f64| (x0 + t * (x1 - x0), y0 + t * (y1 - y0));
        match pieces.last_mut() {
            Some(piece) if enter == 0.0 && end == Some((x0, y0)) => piece.push(point(leave)),
            _ => pieces.push(vec![point(enter), point(leave)]),
        }
        end = (leave == 1.0).then_some((x1, y1));
    }
    pieces
}

pub(crate) const VERMILLION: RGBColor = rgb(figure::Color::Vermillion);

pub(crate) const fn rgb(color: figure::Color) -> RGBColor {
    let [r, g, b] = color.rgb();
    RGBColor(r, g, b)
}

/// The width of the row names, the height of the class names, and the gap between pictures, in the
/// drawing's units.
const LABELS: [usize; 2] = [88, 26];
const GAP: usize = 5;
/// The height of a line that says what the grey levels mean, and the size of its grey scale.
const SCALE_HEIGHT: usize = 24;
const SCALE: [usize; 2] = [12, 96];

/// The number of units for each pixel of a picture.
fn zoom(pictures: &Pictures) -> usize {
    (56 / pictures.size[1].max(1)).max(1)
}

fn pictures_size(pictures: &Pictures) -> [usize; 2] {
    let [height, width] = pictures.size.map(|size| size * zoom(pictures));
    let scales = pictures.scales().len() * SCALE_HEIGHT;
    [
        LABELS[0] + pictures.columns.len() * (width + GAP) + GAP,
        LABELS[1] + pictures.rows.len() * (height + GAP) + GAP + scales,
    ]
}

fn draw_labels<B: DrawingBackend>(area: &DrawingArea<B, Shift>, pictures: &Pictures, scale: u32) {
    let [height, width] = pictures.size.map(|size| size * zoom(pictures));
    let style = TextStyle::from((FAMILY, 13 * scale).into_font()).color(&BLACK);
    let at = |x: usize, y: usize| ((x as u32 * scale) as i32, (y as u32 * scale) as i32);
    for (column, name) in pictures.columns.iter().enumerate() {
        let place = at(LABELS[0] + column * (width + GAP) + width / 2, LABELS[1] / 2);
        area.draw_text(name, &style.pos(Pos::new(HPos::Center, VPos::Center)), place).expect(IN_MEMORY);
    }
    for (row, PictureRow { name, .. }) in pictures.rows.iter().enumerate() {
        let place = at(LABELS[0] - 10, LABELS[1] + row * (height + GAP) + height / 2);
        area.draw_text(name, &style.pos(Pos::new(HPos::Right, VPos::Center)), place).expect(IN_MEMORY);
    }
    let mut top = LABELS[1] + pictures.rows.len() * (height + GAP) + (SCALE_HEIGHT - SCALE[0]) / 2;
    for (scale, [first, last]) in pictures.scales() {
        for i in 0..SCALE[1] {
            let level = (i * 255 / (SCALE[1] - 1)) as u8;
            let corners = [at(LABELS[0] + i, top), at(LABELS[0] + i + 1, top + SCALE[0])];
            area.draw(&Rectangle::new(corners, RGBColor(level, level, level).filled())).expect(IN_MEMORY);
        }
        let rows = if first == last { format!("row {first}") } else { format!("rows {first} to {last}") };
        let about = match scale {
            GreyScale::Own => format!("{rows}: each picture from its smallest weight to its largest"),
            GreyScale::Common(limit) => format!("{rows}: all on one scale, from −{limit:.3} to {limit:.3}"),
        };
        let place = at(LABELS[0] + SCALE[1] + 8, top + SCALE[0] / 2);
        area.draw_text(&about, &style.pos(Pos::new(HPos::Left, VPos::Center)), place).expect(IN_MEMORY);
        top += SCALE_HEIGHT;
    }
}

/// One picture and its position.
pub(crate) struct Tile {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) zoom: usize,
    pub(crate) pixels: Vec<u8>,
    /// Grey or RGB.
    pub(crate) color: png::ColorType,
}

fn tiles(pictures: &Pictures, scale: usize) -> Vec<Tile> {
    let zoom = zoom(pictures);
    let [height, width] = pictures.size.map(|size| size * zoom + GAP);
    let mut tiles = Vec::new();
    for (row, PictureRow { classes, scale: grey_scale, .. }) in pictures.rows.iter().enumerate() {
        for (column, weights) in classes.iter().enumerate() {
            tiles.push(Tile {
                left: (LABELS[0] + column * width) * scale,
                top: (LABELS[1] + row * height) * scale,
                zoom: zoom * scale,
                pixels: grey_scale.grey(weights),
                color: png::ColorType::Grayscale,
            });
        }
    }
    tiles
}

/// Adds pictures of this size, in pixels, to an SVG document.
pub(crate) fn insert_tiles(svg: &mut String, tiles: &[Tile], size: [usize; 2]) {
    let tiles: String = tiles.iter().map(|tile| tile.svg(size)).collect();
    let end = svg.rfind("</svg>").expect("plotters closes the svg element");
    svg.insert_str(end, &tiles);
}

/// Paints pictures of this size, in pixels, on a page.
pub(crate) fn paint_tiles(pixels: &mut [u8], page_width: usize, tiles: &[Tile], size: [usize; 2]) {
    tiles.iter().for_each(|tile| tile.paint(pixels, page_width, size));
}

impl Tile {
    fn svg(&self, [height, width]: [usize; 2]) -> String {
        let png = encode(&self.pixels, width as u32, height as u32, self.color);
        format!(
            "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{}\"/>\n",
            self.left,
            self.top,
            width * self.zoom,
            height * self.zoom,
            STANDARD.encode(png)
        )
    }

    /// Paints the part that is on the page.
    fn paint(&self, pixels: &mut [u8], page_width: usize, [height, width]: [usize; 2]) {
        let channels = self.color.samples();
        for y in 0..height * self.zoom {
            for x in 0..(width * self.zoom).min(page_width.saturating_sub(self.left)) {
                let pixel = y / self.zoom * width + x / self.zoom;
                let at = ((self.top + y) * page_width + self.left + x) * 3;
                let Some(painted) = pixels.get_mut(at..at + 3) else { return };
                // A grey pixel has one level for all colours.
                let levels = self.pixels[pixel * channels..][..channels].iter().cycle();
                painted.iter_mut().zip(levels).for_each(|(painted, level)| *painted = *level);
            }
        }
    }
}
