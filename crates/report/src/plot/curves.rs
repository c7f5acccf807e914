//! The curves of runs and of their predictions.

use chainrule_core::{Evaluation, History};
use chainrule_evaluate::{CalibrationBin, Ranking};

use super::{Plot, PlotContent};
use crate::figure::{Axis, Chart, Color, Corner, Format, Mark, Scale, Series};

/// The history of a run with its name.
#[derive(Clone, Copy, Debug)]
pub struct RunHistory<'a> {
    /// The name in the legend.
    pub name: &'a str,
    /// The losses and accuracies over the steps.
    pub history: &'a History,
    /// The steps of an epoch.
    pub steps_per_epoch: usize,
    /// Whether the training rows are also the validation rows, because none were held out.
    pub is_validated_on_training: bool,
}

/// The colours of several runs, in order. More would be hard to tell apart.
pub const RUN_COLORS: [Color; 6] =
    [Color::Blue, Color::Vermillion, Color::Green, Color::Purple, Color::Orange, Color::Sky];

/// A curve of the training loss has at most this many points: means of blocks of steps.
const MAX_POINTS: usize = 150;

/// Returns the charts of the losses and the accuracies of runs over their steps, or over their
/// epochs if these have different numbers of steps. Of several runs, the thin lines are those of
/// the training rows. Losses that are not finite are left out.
///
/// # Panics
/// If there are more runs than [`RUN_COLORS`].
pub fn curves(runs: &[RunHistory<'_>]) -> Plot {
    assert!(runs.len() <= RUN_COLORS.len(), "a colour for each run");
    let has_equal_epochs = runs.windows(2).all(|pair| pair[0].steps_per_epoch == pair[1].steps_per_epoch);
    let (x_label, x_format) = if has_equal_epochs { ("step", Format::Count) } else { ("epoch", Format::Number) };
    let x_of = |run: &RunHistory<'_>, step: f64| match has_equal_epochs {
        true => step,
        false => (step + 1.0) / run.steps_per_epoch.max(1) as f64,
    };
    let is_single = runs.len() == 1;
    let (mut losses, mut accuracies) = (Vec::new(), Vec::new());
    let mut block = 1;
    for (run, color) in runs.iter().zip(RUN_COLORS) {
        let steps = run.history.train_loss.len();
        let length = steps.div_ceil(MAX_POINTS).max(1);
        block = block.max(length);
        let of_block = |(i, losses): (usize, &[f64])| {
            let middle = (i * length) as f64 + (losses.len() - 1) as f64 / 2.0;
            (x_of(run, middle), losses.iter().sum::<f64>() / losses.len() as f64)
        };
        let training: Vec<(f64, f64)> = run.history.train_loss.chunks(length).enumerate().map(of_block).collect();
        let evaluated = |value: fn(&Evaluation) -> f64| -> Vec<(f64, f64)> {
            run.history.evaluations.iter().map(|e| (x_of(run, e.step as f64), value(e))).collect()
        };
        let trained = evaluated(|e| e.train_accuracy);
        let validated = [evaluated(|e| e.validation_loss), evaluated(|e| e.validation_accuracy)];
        let validation = if run.is_validated_on_training { "all training rows" } else { "validation rows" };
        let (names, colors) = match is_single {
            true => (["training batches", "training rows", validation], [Color::Blue, Color::Vermillion]),
            false => (["", "", run.name], [color, color]),
        };
        let mark = if is_single { Mark::Line } else { Mark::Thin };
        // A legend of one entry would only repeat the title.
        losses.push(Series::new(names[0], colors[0], mark, finite(training)));
        if !run.is_validated_on_training {
            accuracies.push(Series::new(names[1], colors[0], mark, finite(trained)));
        }
        for (series, points) in [&mut losses, &mut accuracies].into_iter().zip(validated) {
            series.push(Series::new(names[2], colors[1], Mark::Line, finite(points)));
        }
    }
    let chart = |label: &str, format: Format, series: Vec<Series>, legend: Corner| {
        let x = ends(series.iter().flat_map(|series| &series.points).map(|point| point.0)).unwrap_or([0.0, 1.0]);
        let x = Axis::linear(x_label, x[0].min(0.0)..x[1].max(x[0].min(0.0) + 1e-9), x_format);
        Chart { x, y: metric_axis(label, format, &series), series, legend }
    };
    let of_block = match block {
        1 => String::new(),
        steps => format!("; the training loss is the mean of {steps} steps"),
    };
    Plot {
        title: String::new(),
        explanation: match is_single {
            true => of_block.trim_start_matches("; ").to_owned(),
            false => format!("thin or dotted lines: training rows; the others: validation rows{of_block}"),
        },
        content: PlotContent::Charts(vec![
            chart("cross-entropy (nats)", Format::Number, losses, Corner::UpperRight),
            chart("accuracy", Format::Percent, accuracies, Corner::LowerRight),
        ]),
    }
}

fn finite(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.into_iter().filter(|(_, y)| y.is_finite()).collect()
}

/// Returns the smallest and the largest value.
pub(super) fn ends(values: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    values.fold(None, |ends: Option<[f64; 2]>, value| {
        let [low, high] = ends.unwrap_or([value, value]);
        Some([low.min(value), high.max(value)])
    })
}

/// Returns an axis for all points of the series. It is logarithmic if losses differ by a factor of
/// 20 or more.
fn metric_axis(label: &str, format: Format, series: &[Series]) -> Axis {
    let values = series.iter().flat_map(|series| &series.points).map(|point| point.1);
    let [low, high] = ends(values).unwrap_or([0.0, 1.0]);
    if format == Format::Number && low > 0.0 && high >= 20.0 * low {
        let label = format!("{label}, logarithmic");
        return Axis { label, range: 0.9 * low..1.1 * high, scale: Scale::Logarithmic, format };
    }
    let margin = if high > low { 0.05 * (high - low) } else { 0.05 * low.abs().max(1e-3) };
    let top = if format == Format::Percent { (high + margin).min(1.0) } else { high + margin };
    Axis::linear(label, (low - margin).max(0.0)..top, format)
}

/// Points nearer to the last one than this share of an axis are not drawn.
const RESOLUTION: f64 = 0.002;

/// Leaves out points that cannot be told apart.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    let last = points.len().saturating_sub(1);
    for (i, point) in points.into_iter().enumerate() {
        let is_near = |other: &(f64, f64)| (other.0 - point.0).abs().max((other.1 - point.1).abs()) < RESOLUTION;
        if i == last || !kept.last().is_some_and(is_near) {
            kept.push(point);
        }
    }
    kept
}

/// A chart of two rates, from 0 to 1.
fn of_rates([x, y]: [&str; 2], series: Vec<Series>, legend: Corner) -> PlotContent {
    let axis = |label: &str| Axis::linear(label, 0.0..1.0, Format::Percent);
    PlotContent::Charts(vec![Chart { x: axis(x), y: axis(y), series, legend }])
}

/// A thin grey line that curves are compared with.
fn reference(points: [(f64, f64); 2]) -> Series {
    Series::new("", Color::Grey, Mark::Thin, points.to_vec())
}

/// Returns ROC curves with their names.
///
/// # Panics
/// If there are more curves than [`RUN_COLORS`].
pub fn roc(curves: &[(String, Ranking)]) -> Plot {
    assert!(curves.len() <= RUN_COLORS.len(), "a colour for each curve");
    let curve = |((name, ranking), color): (&(String, Ranking), Color)| {
        let points = ranking.roc().iter().map(|point| (point.false_positive_rate, point.true_positive_rate)).collect();
        Series::new(name, color, Mark::Line, thinned(points))
    };
    let mut series = vec![reference([(0.0, 0.0), (1.0, 1.0)])];
    series.extend(curves.iter().zip(RUN_COLORS).map(curve));
    Plot {
        title: String::new(),
        explanation: "grey: a model that guesses".to_owned(),
        content: of_rates(["false positive rate", "true positive rate"], series, Corner::LowerRight),
    }
}

/// Returns precision-recall curves with their names. A model that guesses has the precision
/// `positives`: the share of the rows that are positive, if it is the same for all curves.
///
/// # Panics
/// If there are more curves than [`RUN_COLORS`].
pub fn precision_recall(curves: &[(String, Ranking)], positives: Option<f64>) -> Plot {
    assert!(curves.len() <= RUN_COLORS.len(), "a colour for each curve");
    let curve = |((name, ranking), color): (&(String, Ranking), Color)| {
        // Between two points precision does not change linearly, so the curve has steps: a recall
        // is reached with the precision of the next threshold.
        let mut points: Vec<(f64, f64)> = Vec::new();
        for point in ranking.precision_recall().iter().rev() {
            if let Some(&(recall, _)) = points.last() {
                points.push((recall, point.precision));
            }
            points.push((point.recall, point.precision));
        }
        Series::new(name, color, Mark::Line, thinned(points))
    };
    let mut series: Vec<Series> = positives.map(|share| reference([(0.0, share), (1.0, share)])).into_iter().collect();
    series.extend(curves.iter().zip(RUN_COLORS).map(curve));
    Plot {
        title: String::new(),
        explanation: positives.map_or_else(String::new, |_| "grey: a model that guesses".to_owned()),
        content: of_rates(["recall", "precision"], series, Corner::LowerLeft),
    }
}

/// Returns how often the predictions of each probability are right, with 95 % intervals.
///
/// # Panics
/// If there are more curves than [`RUN_COLORS`].
pub fn calibration(curves: &[(String, Vec<CalibrationBin>)]) -> Plot {
    assert!(curves.len() <= RUN_COLORS.len(), "a colour for each curve");
    let mut series = vec![reference([(0.0, 0.0), (1.0, 1.0)])];
    for ((name, bins), color) in curves.iter().zip(RUN_COLORS) {
        series.extend(bins.iter().map(|bin| {
            let ends = bin.interval.map(|end| (bin.probability, end)).to_vec();
            Series::new("", color, Mark::Thin, ends)
        }));
        let points = bins.iter().map(|bin| (bin.probability, bin.fraction)).collect();
        series.push(Series::new(name, color, Mark::LineAndDots, points));
    }
    Plot {
        title: String::new(),
        explanation: "dots: rows of similar probability; bars: 95 % intervals (Wilson); grey: perfectly calibrated"
            .to_owned(),
        content: of_rates(["predicted probability", "fraction of the rows"], series, Corner::UpperLeft),
    }
}
