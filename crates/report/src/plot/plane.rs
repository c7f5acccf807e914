//! Charts over a plane: the decision boundary of a model, and the loss over two weights.

use std::collections::HashMap;

use crate::draw::{Theme, mix, rgb};
use crate::figure::{Axis, Chart, Color, Corner, Format, Mark, Series, Symbol};
use crate::plot::curves::ends;
use crate::plot::{Plot, PlotContent, RUN_COLORS};

/// A chart in front of a coloured plane.
#[derive(Clone, Debug)]
pub struct Plane {
    /// The axes, and what is drawn in front.
    pub chart: Chart,
    /// The colours behind the chart.
    pub field: Field,
    /// Lines in the colour of the text, through their points.
    pub lines: Vec<Vec<(f64, f64)>>,
    /// Whether the lines are few, and drawn thick.
    pub has_thick_lines: bool,
}

/// The colours of a plane, in cells.
#[derive(Clone, Debug)]
pub struct Field {
    /// The number of columns and rows of cells.
    pub size: [usize; 2],
    /// The shades, row by row from the bottom.
    pub shades: Vec<Shade>,
}

/// A colour over the background.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shade {
    /// The colour.
    pub color: Color,
    /// How much of it there is, from 0 to 1.
    pub strength: f64,
}

impl Shade {
    pub(crate) fn on(self, theme: Theme) -> plotters::style::RGBColor {
        mix(theme.background(), rgb(self.color), self.strength)
    }
}

/// The number of columns of cells. Fewer are visible as steps.
const COLUMNS: usize = 272;
/// The width of the plot area in units of the SVG, and what the axes need above and below it.
const AREA: f64 = 544.0;
const AROUND: f64 = 62.0;

/// The number of columns and rows of cells for these axes, so that cells are squares if the units
/// of both axes are about equally long.
fn size_of(x: &Axis, y: &Axis) -> [usize; 2] {
    let ratio = (y.range.end - y.range.start) / (x.range.end - x.range.start);
    let ratio = if (0.4..=1.2).contains(&ratio) { ratio } else { 0.7 };
    [COLUMNS, (COLUMNS as f64 * ratio) as usize]
}

impl Plane {
    /// Returns the height that gives both axes the same unit, if that is possible.
    pub(super) fn height(&self) -> u32 {
        let [columns, rows] = self.field.size;
        (AREA * rows as f64 / columns as f64 + AROUND) as u32
    }

    /// Returns the chart with the lines as thin series, for a terminal.
    pub(super) fn as_chart(&self) -> Chart {
        let lines = self.lines.iter().map(|line| Series::new("", Color::Grey, Mark::Thin, line.clone()));
        Chart { series: lines.chain(self.chart.series.iter().cloned()).collect(), ..self.chart.clone() }
    }
}

/// Returns the middle of each cell, row by row from the bottom.
fn middles(x: &Axis, y: &Axis, [columns, rows]: [usize; 2]) -> impl Iterator<Item = [f64; 2]> {
    let [x, y] = [x, y].map(|axis| axis.range.clone());
    let at = |range: &std::ops::Range<f64>, i: usize, n: usize| {
        range.start + (i as f64 + 0.5) / n as f64 * (range.end - range.start)
    };
    (0..rows * columns).map(move |i| [at(&x, i % columns, columns), at(&y, i / columns, rows)])
}

/// Returns an axis for all values, with a margin.
fn axis_of(label: &str, values: impl Iterator<Item = f64>) -> Axis {
    let [low, high] = ends(values).unwrap_or([0.0, 1.0]);
    let margin = if high > low { 0.06 * (high - low) } else { 0.06 * low.abs().max(1.0) };
    Axis::linear(label, low - margin..high + margin, Format::Number)
}

/// Returns the decision boundary of a model with two features, over its probabilities and in front
/// of rows.
///
/// - `features`: the names
/// - `classes`: each with the rows of it, `[n, 2]`
/// - `probabilities`: returns those of a row, in the order of the classes, `[k]`
///
/// # Panics
/// If there are more classes than [`RUN_COLORS`].
pub fn boundary(
    features: [&str; 2],
    classes: &[(String, Vec<[f64; 2]>)],
    mut probabilities: impl FnMut([f64; 2]) -> Vec<f64>,
) -> Plot {
    assert!(classes.len() <= RUN_COLORS.len(), "a colour for each class");
    let points = || classes.iter().flat_map(|(_, points)| points);
    let x = axis_of(features[0], points().map(|point| point[0]));
    let y = axis_of(features[1], points().map(|point| point[1]));
    let size = size_of(&x, &y);
    let of_cells: Vec<Vec<f64>> = middles(&x, &y, size).map(&mut probabilities).collect();
    let shade = |probabilities: &Vec<f64>| {
        let largest = (0..probabilities.len()).max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
        let class = largest.unwrap_or_default();
        // In steps, the eye sees where a probability is reached.
        let step = (10.0 * probabilities.get(class).copied().unwrap_or_default()).floor().min(9.0);
        Shade { color: RUN_COLORS[class], strength: 0.06 * (step - 1.0).max(0.5) }
    };
    let field = Field { size, shades: of_cells.iter().map(shade).collect() };
    // Where a class is as probable as the likeliest other one. The last class has no boundary that
    // none of the others has.
    let lead = |class: usize| -> Vec<f64> {
        let of_cell = |probabilities: &Vec<f64>| {
            let others = probabilities.iter().enumerate().filter(|(other, _)| *other != class);
            probabilities[class] - others.map(|(_, p)| *p).fold(0.0, f64::max)
        };
        of_cells.iter().map(of_cell).collect()
    };
    let lines = (0..classes.len().saturating_sub(1)).flat_map(|class| contours(&x, &y, size, &lead(class), 0.0));
    let lines = lines.collect();
    let series = classes.iter().zip(RUN_COLORS).zip(Symbol::ALL).map(|(((name, points), color), symbol)| {
        Series::new(name.as_str(), color, Mark::Symbols(symbol), points.iter().map(|&[x, y]| (x, y)).collect())
    });
    let chart = Chart { legend: emptiest_corner(&x, &y, points()), series: series.collect(), x, y };
    Plot {
        title: String::new(),
        explanation: "shade: the probability of the likeliest class, in steps of 10 %; line: where the class changes"
            .to_owned(),
        content: PlotContent::Plane(Plane { chart, field, lines, has_thick_lines: true }),
    }
}

/// A descent over two weights.
#[derive(Clone, Debug)]
pub struct DescentPath {
    /// The name in the legend.
    pub name: String,
    /// The weights before each step and after the last one.
    pub points: Vec<[f64; 2]>,
}

/// Returns the loss over two weights, with the paths of descents and the minimum.
///
/// - `weights`: their names
/// - `paths`: at most three
/// - `loss`: returns the loss at two weights
///
/// # Panics
/// If there are more than three paths.
pub fn surface(
    weights: [&str; 2],
    minimum: [f64; 2],
    paths: &[DescentPath],
    mut loss: impl FnMut([f64; 2]) -> f64,
) -> Plot {
    /// The colours of the paths. None of them is that of the surface.
    const COLORS: [Color; 3] = [Color::Green, Color::Orange, Color::Vermillion];
    /// The number of levels between two contours.
    const LEVELS: usize = 12;
    assert!(paths.len() <= COLORS.len(), "a colour for each path");
    let points = || paths.iter().flat_map(|path| &path.points).chain([&minimum]);
    let x = axis_of(weights[0], points().map(|point| point[0]));
    let y = axis_of(weights[1], points().map(|point| point[1]));
    let fine = size_of(&x, &y);
    let size = fine.map(|cells| cells / 4);
    let losses: Vec<f64> = middles(&x, &y, size).map(&mut loss).collect();
    let [_, highest] = ends(losses.iter().copied()).unwrap_or([0.0, 1.0]);
    let lowest = loss(minimum);
    // Contours at equal steps of the root are about equally far from one another near a minimum.
    let height = |loss: f64| ((loss - lowest).max(0.0) / (highest - lowest).max(f64::MIN_POSITIVE)).sqrt();
    let level = |loss: f64| ((height(loss) * LEVELS as f64) as usize).min(LEVELS - 1);
    let shade = |loss: f64| Shade { color: Color::Blue, strength: 0.75 * (level(loss) as f64 / (LEVELS - 1) as f64) };
    let heights: Vec<f64> = losses.iter().map(|&loss| height(loss)).collect();
    let lines = (1..LEVELS).flat_map(|level| contours(&x, &y, size, &heights, level as f64 / LEVELS as f64)).collect();
    let pairs = |points: &[[f64; 2]]| points.iter().map(|&[x, y]| (x, y)).collect::<Vec<_>>();
    let mut series: Vec<Series> = paths
        .iter()
        .zip(COLORS)
        .map(|(path, color)| Series::new(path.name.as_str(), color, Mark::LineAndDots, pairs(&path.points)))
        .collect();
    // A slow descent has a short path, which a fast one would hide.
    series.reverse();
    series.push(Series::new("minimum", Color::Purple, Mark::Symbols(Symbol::Diamond), pairs(&[minimum])));
    let chart = Chart { legend: emptiest_corner(&x, &y, points()), series, x, y };
    Plot {
        title: String::new(),
        explanation: format!("blue: the loss, from {lowest:.4} to {highest:.4}; a dot for each step"),
        content: PlotContent::Plane(Plane {
            chart,
            field: Field { size: fine, shades: enlarged(&losses, size, fine).map(shade).collect() },
            lines,
            has_thick_lines: false,
        }),
    }
}

/// Returns the values of the middles of more cells, linear between those of few cells.
fn enlarged(values: &[f64], [columns, rows]: [usize; 2], fine: [usize; 2]) -> impl Iterator<Item = f64> {
    let between = move |i: usize, few: usize, many: usize| {
        let at = ((i as f64 + 0.5) * few as f64 / many as f64 - 0.5).clamp(0.0, (few - 1) as f64);
        let low = (at as usize).min(few.saturating_sub(2));
        (low, (low + 1).min(few - 1), at - low as f64)
    };
    (0..fine[0] * fine[1]).map(move |i| {
        let (left, right, x) = between(i % fine[0], columns, fine[0]);
        let (low, high, y) = between(i / fine[0], rows, fine[1]);
        let of_row = |row: usize| {
            let [a, b] = [left, right].map(|column| values[row * columns + column]);
            a + x * (b - a)
        };
        of_row(low) + y * (of_row(high) - of_row(low))
    })
}

/// Returns the corner whose quarter has the fewest points.
fn emptiest_corner<'a>(x: &Axis, y: &Axis, points: impl Iterator<Item = &'a [f64; 2]>) -> Corner {
    let corners = [
        (Corner::UpperRight, [false, false]),
        (Corner::UpperLeft, [true, false]),
        (Corner::LowerRight, [false, true]),
        (Corner::LowerLeft, [true, true]),
    ];
    let mut counts = [0usize; 4];
    for point in points {
        let is_at = [x.position(point[0]) < 0.5, y.position(point[1]) < 0.5];
        corners.iter().zip(&mut counts).filter(|((_, at), _)| *at == is_at).for_each(|(_, count)| *count += 1);
    }
    let fewest = corners.iter().zip(counts).min_by_key(|(_, count)| *count);
    fewest.map_or(Corner::UpperRight, |((corner, _), _)| *corner)
}

/// Returns the lines on which a function has this value, by marching squares. `values` are those of
/// the middles of the cells, row by row from the bottom.
fn contours(x: &Axis, y: &Axis, size: [usize; 2], values: &[f64], level: f64) -> Vec<Vec<(f64, f64)>> {
    let [columns, rows] = size;
    let places: Vec<[f64; 2]> = middles(x, y, size).collect();
    // A line crosses the edge from a middle to its right or its upper neighbour. Each crossing has
    // at most two others that it is joined to.
    let mut joined: HashMap<(usize, usize), Vec<(usize, usize)>> = HashMap::new();
    for i in (0..rows.saturating_sub(1)).flat_map(|row| (0..columns.saturating_sub(1)).map(move |c| row * columns + c))
    {
        let edges = [(i, i + 1), (i + 1, i + 1 + columns), (i + columns, i + columns + 1), (i, i + columns)];
        let is_crossed = |(a, b): &(usize, usize)| (values[*a] > level) != (values[*b] > level);
        let crossed: Vec<(usize, usize)> = edges.into_iter().filter(is_crossed).collect();
        // Four crossings are a saddle: two lines, in either way.
        for pair in crossed.chunks_exact(2) {
            joined.entry(pair[0]).or_default().push(pair[1]);
            joined.entry(pair[1]).or_default().push(pair[0]);
        }
    }
    let place = |(a, b): (usize, usize)| {
        let t = (level - values[a]) / (values[b] - values[a]);
        let at = |i: usize| places[a][i] + t * (places[b][i] - places[a][i]);
        (at(0), at(1))
    };
    // The ends of open lines come first; what is left are closed lines. Sorted, the result does not
    // depend on the order of the map.
    let mut starts: Vec<((usize, usize), usize)> = joined.iter().map(|(edge, others)| (*edge, others.len())).collect();
    starts.sort_unstable_by_key(|&(edge, count)| (count, edge));
    let mut lines = Vec::new();
    for (start, _) in starts {
        let mut line = vec![place(start)];
        let mut edge = start;
        while let Some(next) = joined.get_mut(&edge).and_then(Vec::pop) {
            if let Some(back) = joined.get_mut(&next)
                && let Some(position) = back.iter().position(|other| *other == edge)
            {
                back.swap_remove(position);
            }
            line.push(place(next));
            edge = next;
        }
        if line.len() > 1 {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> [Axis; 2] {
        ["x", "y"].map(|label| Axis::linear(label, -1.0..1.0, Format::Number))
    }

    #[test]
    fn the_contour_of_a_distance_is_one_closed_circle() {
        let [x, y] = unit();
        let values: Vec<f64> = middles(&x, &y, [40, 30]).map(|[x, y]| x.hypot(y)).collect();
        let lines = contours(&x, &y, [40, 30], &values, 0.5);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].first(), lines[0].last());
        // It crosses 20 columns and 14 rows of middles, each twice.
        assert_eq!(lines[0].len(), 2 * (20 + 14) + 1);
        for (x, y) in &lines[0] {
            assert!((x.hypot(*y) - 0.5).abs() < 2e-3, "{x} {y}");
        }
    }

    #[test]
    fn the_contour_of_a_linear_function_is_its_line() {
        let [x, y] = unit();
        let values: Vec<f64> = middles(&x, &y, [20, 20]).map(|[x, y]| x - 2.0 * y).collect();
        let lines = contours(&x, &y, [20, 20], &values, 0.3);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].iter().all(|(x, y)| (x - 2.0 * y - 0.3).abs() < 1e-12), "{lines:?}");
        assert!((lines[0][0].0 - lines[0][lines[0].len() - 1].0).abs() > 1.8, "from side to side: {lines:?}");
    }
}
