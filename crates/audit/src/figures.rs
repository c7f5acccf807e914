//! The figures: the eight of the report, and those that the audit adds.

use std::ops::Range;

use chainrule_core::Evaluation;
use chainrule_report::{Axis, Chart, Color, Content, Corner, Figure, Format, Mark, Pictures, Run, Runs, Scale, Series};

use crate::analysis::{blocks, hardest_batch, steps_until_repeat, stop_with};

/// A figure that is drawn when its runs are finished.
#[derive(Clone, Copy, Debug)]
pub struct PlannedFigure {
    /// The name for `--only`.
    pub id: &'static str,
    /// The names of the runs that the figure shows. The name of a group of seeds stands for all its
    /// runs.
    pub needs: &'static [&'static str],
    /// Draws the figure from the runs.
    pub make: fn(&Runs) -> Figure,
}

/// All figures, in the order of the page.
pub const FIGURES: [PlannedFigure; 14] = [
    PlannedFigure { id: "figure-1", needs: &["logistic"], make: figure_1 },
    PlannedFigure { id: "figure-2", needs: &["logistic"], make: figure_2 },
    PlannedFigure { id: "2d-patience", needs: &["logistic", "logistic-full-length"], make: patience },
    PlannedFigure { id: "figure-3", needs: &["logistic", "logistic-shuffled"], make: figure_3 },
    PlannedFigure { id: "2e-aliasing", needs: &["logistic", "logistic-every-step"], make: aliasing },
    PlannedFigure { id: "2e-seeds", needs: &["logistic", "logistic-shuffled", "logistic-seed"], make: seeds },
    PlannedFigure { id: "figure-4", needs: &["softmax"], make: figure_4 },
    PlannedFigure { id: "figure-5", needs: &["softmax"], make: figure_5 },
    PlannedFigure { id: "figure-6", needs: &["softmax", FIGURE_6_LOWER_ROW], make: figure_6 },
    PlannedFigure { id: "4b-penalties", needs: &["softmax", "softmax-l2-1", FIGURE_6_LOWER_ROW], make: penalties },
    PlannedFigure { id: "figure-7", needs: &PENALISED, make: figure_7 },
    PlannedFigure { id: "4c-full-length", needs: &FULL_LENGTH, make: full_length },
    PlannedFigure { id: "figure-8", needs: &PENALISED, make: figure_8 },
    PlannedFigure { id: "4e-norms", needs: &PENALISED, make: norms },
];

/// The runs of figures 7 and 8, from the strongest penalty to the weakest.
pub(crate) const PENALISED: [&str; 4] = ["softmax-l2-1", "softmax-l2-0.1", "softmax-l2-0.01", "softmax-l2-0.001"];

/// The same runs without early stopping. The last one has no penalty.
pub(crate) const FULL_LENGTH: [&str; 5] = [
    "softmax-l2-1-full-length",
    "softmax-l2-0.1-full-length",
    "softmax-l2-0.01-full-length",
    "softmax-l2-0.001-full-length",
    "softmax-full-length",
];

/// The run in the lower row of the report's figure 6: the second run of the report's program.
pub(crate) const FIGURE_6_LOWER_ROW: &str = "softmax-l2-2";

fn figure_1(runs: &Runs) -> Figure {
    let run = runs.get("logistic");
    Figure {
        id: "figure-1",
        title: "Logistic regression: loss".into(),
        caption: "Training loss, averaged over blocks of 10 steps, with a band of one standard deviation (the report's legend calls it \
                  variance), and validation loss at every evaluation."
            .into(),
        content: Content::Chart(loss_chart(run, 0.0..0.2)),
        runs: vec![run.name.clone()],
    }
}

fn figure_2(runs: &Runs) -> Figure {
    let run = runs.get("logistic");
    Figure {
        id: "figure-2",
        title: "Logistic regression: accuracy".into(),
        caption: format!(
            "Accuracy on the {} training rows and on the {} validation rows.",
            run.summary.data.train, run.summary.data.validation
        ),
        content: Content::Chart(accuracy_chart(run, 0.93..0.99)),
        runs: vec![run.name.clone()],
    }
}

fn figure_3(runs: &Runs) -> Figure {
    let (plain, shuffled) = (runs.get("logistic"), runs.get("logistic-shuffled"));
    let series = vec![
        evaluation_series("in file order", Color::Vermillion, plain, |e| e.validation_accuracy),
        evaluation_series("shuffled every epoch", Color::Blue, shuffled, |e| e.validation_accuracy),
    ];
    Figure {
        id: "figure-3",
        title: "Logistic regression: shuffling".into(),
        caption: "Validation accuracy with the rows in file order and in a new random order every epoch.".into(),
        content: Content::Chart(over_steps("validation accuracy", 0.93..0.99, Format::Percent, series)),
        runs: names(&[plain, shuffled]),
    }
}

fn figure_4(runs: &Runs) -> Figure {
    let run = runs.get("softmax");
    Figure {
        id: "figure-4",
        title: "Softmax regression: loss".into(),
        caption: "Training loss, averaged over blocks of 10 steps, with a band of one standard deviation, and validation loss.".into(),
        content: Content::Chart(loss_chart(run, 0.2..0.8)),
        runs: vec![run.name.clone()],
    }
}

fn figure_5(runs: &Runs) -> Figure {
    let run = runs.get("softmax");
    Figure {
        id: "figure-5",
        title: "Softmax regression: accuracy".into(),
        caption: "Accuracy on the training rows and on the validation rows.".into(),
        content: Content::Chart(accuracy_chart(run, 0.89..0.93)),
        runs: vec![run.name.clone()],
    }
}

fn figure_6(runs: &Runs) -> Figure {
    let shown = [runs.get("softmax"), runs.get(FIGURE_6_LOWER_ROW)];
    Figure {
        id: "figure-6",
        title: "The weights as pictures".into(),
        caption: format!(
            "The weights of each class without the bias. Each picture is scaled from its smallest weight (black) to its largest (white). The \
             lower row is λ = {}, the second run of the report's program.",
            shown[1].lambda()
        ),
        content: Content::Pictures(pictures(&shown)),
        runs: names(&shown),
    }
}

fn figure_7(runs: &Runs) -> Figure {
    let shown = PENALISED.map(|name| runs.get(name));
    Figure {
        id: "figure-7",
        title: "Accuracy with four penalties".into(),
        caption: "Validation accuracy. Early stopping ends a run when its validation loss has not fallen for some evaluations, so the curves can differ in \
                  length."
            .into(),
        content: Content::Chart(over_steps("validation accuracy", 0.75..0.93, Format::Percent, by_lambda(&shown))),
        runs: names(&shown),
    }
}

fn figure_8(runs: &Runs) -> Figure {
    let shown = PENALISED.map(|name| runs.get(name));
    let points = shown.iter().map(|run| (run.lambda(), run.summary.weight_norm.spectral)).collect();
    let spectral = Series::new("spectral norm", Color::Blue, Mark::LineAndDots, points);
    let y = from_zero(&[&spectral]);
    Figure {
        id: "figure-8",
        title: "The norm of the weights by penalty".into(),
        caption: "The spectral norm (the largest singular value) of the weights with the bias as their last row. The report's axis calls it \
                  ‖w‖²."
            .into(),
        content: Content::Chart(Chart {
            x: Axis::linear("λ", -0.02..1.02, Format::Number),
            y: Axis::linear("spectral norm of [W; b]", y, Format::Number),
            series: vec![spectral],
            legend: Corner::UpperRight,
        }),
        runs: names(&shown),
    }
}

/// The patiences that are applied to the full-length run.
pub(crate) const PATIENCES: Range<usize> = 1..61;

fn patience(runs: &Runs) -> Figure {
    let (run, full) = (runs.get("logistic"), runs.get("logistic-full-length"));
    let stops =
        PATIENCES.filter_map(|patience| Some((patience as f64, stop_with(patience, full.evaluations())?.epoch as f64)));
    let sweep = Series::new("all patiences", Color::Sky, Mark::LineAndDots, stops.collect());
    let report_patience = run.config.early_stopping().patience.filter(|_| run.summary.stopped_early);
    let report_stop = report_patience.map(|patience| (patience as f64, run.summary.stop_epoch as f64));
    let report_stop =
        Series::new("the report's patience", Color::Vermillion, Mark::Dots, report_stop.into_iter().collect());
    let y = from_zero(&[&sweep, &report_stop]);
    Figure {
        id: "2d-patience",
        title: "Early stopping by patience".into(),
        caption: "The epoch, counted from 0, in which early stopping ends the run of figure 1, against the patience: the number of \
                  evaluations without a lower validation loss. Computed from one run without early stopping."
            .into(),
        content: Content::Chart(Chart {
            x: Axis::linear("patience (evaluations)", 0.0..PATIENCES.end as f64, Format::Count),
            y: Axis::linear("epoch in which it stops", y, Format::Count),
            series: vec![sweep, report_stop],
            legend: Corner::LowerRight,
        }),
        runs: names(&[run, full]),
    }
}

fn aliasing(runs: &Runs) -> Figure {
    let (run, every) = (runs.get("logistic"), runs.get("logistic-every-step"));
    let loss = |evaluation: &Evaluation| (evaluation.step as f64, evaluation.validation_loss);
    let all = Series::new("after every step", Color::Sky, Mark::Thin, every.evaluations().iter().map(loss).collect());
    let (steps, interval) = (run.summary.steps_per_epoch, run.evaluation_interval());
    let report_points: Vec<_> = run.evaluations().iter().map(loss).collect();
    let mut series = vec![all, Series::new("the report's evaluations", Color::Green, Mark::Dots, report_points)];
    if let Some(hardest) = hardest_batch(every) {
        let after_hardest = run.evaluations().iter().filter(|e| e.step % steps == hardest.batch);
        series.push(Series::new(
            format!("those after batch {}", hardest.batch),
            Color::Vermillion,
            Mark::Dots,
            after_hardest.map(loss).collect(),
        ));
    }
    let mut chart = over_steps("validation loss (nats)", 0.0..0.3, Format::Number, series);
    chart.x.range.end = run.summary.stop_step as f64;
    let end = chart.x.range.end;
    chart.series[0].points.retain(|point| point.0 <= end);
    Figure {
        id: "2e-aliasing",
        title: "Between the report's evaluations".into(),
        caption: format!(
            "Validation loss of the same run after every step, and at the report's evaluations, every {interval} steps. An epoch has \
             {steps} steps, so an evaluation follows the same batch once in {} steps.",
            steps_until_repeat(steps, interval)
        ),
        content: Content::Chart(chart),
        runs: names(&[run, every]),
    }
}

fn seeds(runs: &Runs) -> Figure {
    let (plain, shuffled, seeds) = (runs.get("logistic"), runs.get("logistic-shuffled"), runs.seeds("logistic-seed"));
    let last = seeds.iter().chain([&plain, &shuffled]).map(|run| run.summary.stop_epoch).max().unwrap_or_default();
    let count = |epoch: usize| seeds.iter().filter(|run| run.summary.stop_epoch == epoch).count();
    let bars: Vec<_> = (0..=last).map(|epoch| (epoch as f64, count(epoch) as f64)).filter(|bar| bar.1 > 0.0).collect();
    let highest = bars.iter().map(|bar| bar.1).fold(1.0, f64::max);
    let top = (1.1 * highest).ceil();
    let at = |run: &Run| vec![(run.summary.stop_epoch as f64, top)];
    Figure {
        id: "2e-seeds",
        title: "Early stopping of shuffled runs".into(),
        caption: format!(
            "The epochs, counted from 0, in which {} shuffled runs end. The runs differ only in their seed. Two lines mark the ends of the \
             report's runs.",
            seeds.len()
        ),
        content: Content::Chart(Chart {
            x: Axis::linear("epoch in which it stops", -1.0..last as f64 + 2.0, Format::Count),
            y: Axis::linear("runs", 0.0..top, Format::Count),
            series: vec![
                Series::new(format!("{} seeds", seeds.len()), Color::Sky, Mark::Bars(0.8), bars),
                Series::new("the report's shuffled run", Color::Green, Mark::Upright, at(shuffled)),
                Series::new("in file order", Color::Vermillion, Mark::Upright, at(plain)),
            ],
            legend: Corner::UpperLeft,
        }),
        runs: [names(&[plain, shuffled]), names(&seeds)].concat(),
    }
}

fn penalties(runs: &Runs) -> Figure {
    let shown = [runs.get("softmax"), runs.get("softmax-l2-1"), runs.get(FIGURE_6_LOWER_ROW)];
    Figure {
        id: "4b-penalties",
        title: "The weights without a penalty, with λ = 1 and with λ = 2".into(),
        caption: "As figure 6, with the run that the report's text names in the middle row.".into(),
        content: Content::Pictures(pictures(&shown)),
        runs: names(&shown),
    }
}

fn full_length(runs: &Runs) -> Figure {
    let shown = FULL_LENGTH.map(|name| runs.get(name));
    let mut series = by_lambda(&shown);
    let free = shown.last().expect("FULL_LENGTH is not empty");
    let band = series.last_mut().expect("each run has a curve");
    band.name = format!("λ = {} ± one standard error", free.lambda());
    band.band = band.points.iter().map(|&(_, p)| free.standard_error(p)).collect();
    let chart = over_steps("validation accuracy", 0.87..0.925, Format::Percent, series);
    let outside = shown.iter().filter(|run| !chart.y.range.contains(&run.summary.final_metrics.validation_accuracy));
    let outside: String = outside
        .map(|run| {
            let percent = 100.0 * run.summary.final_metrics.validation_accuracy;
            format!(" The curve of λ = {} ends outside the chart, at {percent:.2} %.", run.lambda())
        })
        .collect();
    Figure {
        id: "4c-full-length",
        title: "Accuracy with four penalties, without early stopping".into(),
        caption: format!(
            "The runs of figure 7 and the run without a penalty, all without early stopping. The band is the standard error of an accuracy on {} \
             rows: roughly how much it would change on an equal number of other images.{outside}",
            free.summary.data.validation
        ),
        content: Content::Chart(chart),
        runs: names(&shown),
    }
}

fn norms(runs: &Runs) -> Figure {
    let shown = PENALISED.map(|name| runs.get(name));
    let norm_series = |name: &str, color, norm: fn(&Run) -> f64| {
        Series::new(name, color, Mark::LineAndDots, shown.iter().map(|run| (run.lambda(), norm(run))).collect())
    };
    let series = vec![
        norm_series("Frobenius squared, ‖w‖²", Color::Vermillion, |run| run.summary.weight_norm.frobenius_squared),
        norm_series("Frobenius, ‖w‖", Color::Green, |run| run.summary.weight_norm.frobenius),
        norm_series("spectral (the report's)", Color::Blue, |run| run.summary.weight_norm.spectral),
    ];
    let y = from_zero(&series.iter().collect::<Vec<_>>());
    Figure {
        id: "4e-norms",
        title: "Three norms of the weights by penalty".into(),
        caption: "The norms of the weights with the bias as their last row. The λ axis is logarithmic.".into(),
        content: Content::Chart(Chart {
            x: Axis { label: "λ".into(), range: 0.0008..1.25, scale: Scale::Logarithmic, format: Format::Number },
            y: Axis::linear("norm of [W; b]", y, Format::Number),
            series,
            legend: Corner::UpperRight,
        }),
        runs: names(&shown),
    }
}

/// Returns a chart of the smoothed training loss and the validation loss, with the report's limits.
fn loss_chart(run: &Run, limits: Range<f64>) -> Chart {
    let blocks = blocks(&run.history.train_loss);
    let training = Series {
        band: blocks.iter().map(|block| block.deviation).collect(),
        ..Series::new(
            "training, mean of 10 steps ± one standard deviation",
            Color::Blue,
            Mark::Line,
            blocks.iter().map(|block| (block.step, block.mean)).collect(),
        )
    };
    let validation = evaluation_series("validation", Color::Vermillion, run, |e| e.validation_loss);
    over_steps("cross-entropy (nats)", limits, Format::Number, vec![training, validation])
}

fn accuracy_chart(run: &Run, limits: Range<f64>) -> Chart {
    let series = vec![
        evaluation_series("training", Color::Blue, run, |e| e.train_accuracy),
        evaluation_series("validation", Color::Vermillion, run, |e| e.validation_accuracy),
    ];
    over_steps("accuracy", limits, Format::Percent, series)
}

/// Returns the curve of a value over the evaluations of a run.
fn evaluation_series(name: &str, color: Color, run: &Run, value: fn(&Evaluation) -> f64) -> Series {
    Series::new(name, color, Mark::Line, run.evaluations().iter().map(|e| (e.step as f64, value(e))).collect())
}

fn by_lambda(runs: &[&Run]) -> Vec<Series> {
    let colors = [Color::Vermillion, Color::Orange, Color::Green, Color::Purple, Color::Blue];
    let curves = runs.iter().zip(colors);
    curves
        .map(|(run, color)| evaluation_series(&format!("λ = {}", run.lambda()), color, run, |e| e.validation_accuracy))
        .collect()
}

/// Returns a chart over steps, with the report's limits if the data fits them.
fn over_steps(label: &str, limits: Range<f64>, format: Format, series: Vec<Series>) -> Chart {
    let last = series.iter().flat_map(|series| &series.points).map(|point| point.0).fold(1.0, f64::max);
    let limits = Axis::fitted(limits, series.iter().flat_map(|series| &series.points).map(|point| point.1));
    let corner = if format == Format::Percent { Corner::LowerRight } else { Corner::UpperRight };
    Chart {
        x: Axis::linear("gradient steps", 0.0..last, Format::Count),
        y: Axis::linear(label, limits, format),
        series,
        legend: corner,
    }
}

/// Returns a range from zero to slightly above the highest point.
fn from_zero(series: &[&Series]) -> Range<f64> {
    let highest = series.iter().flat_map(|series| &series.points).map(|point| point.1).fold(0.0, f64::max);
    0.0..if highest > 0.0 { 1.08 * highest } else { 1.0 }
}

fn pictures(runs: &[&Run]) -> Pictures {
    let first = runs[0];
    let row = |run: &&Run| {
        let name = if run.lambda() == 0.0 { "no penalty".to_owned() } else { format!("λ = {}", run.lambda()) };
        (name, (0..run.parameters.columns).map(|class| run.parameters.weights_of_class(class)).collect())
    };
    Pictures {
        columns: first.summary.data.classes.iter().map(ToString::to_string).collect(),
        rows: runs.iter().map(row).collect(),
        size: first.summary.data.image_size,
    }
}

fn names(runs: &[&Run]) -> Vec<String> {
    runs.iter().map(|run| run.name.clone()).collect()
}
