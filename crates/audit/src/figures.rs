//! The figures: the eight of the report, and those that the audit adds.

use std::ops::Range;

use chainrule_core::Evaluation;
use chainrule_evaluate::normal_half_width;
use chainrule_report::{
    Axis, Chart, Color, Content, Corner, Figure, Format, GreyScale, Mark, PictureRow, Pictures, Run, Runs, Scale,
    Series, Symbol,
};

use crate::analysis::{blocks, correlation, hardest_batch, median, spikes, steps_until_repeat, stop_with};
use crate::penalties::{Compared, DESCENTS, Group, MINIMA};
use crate::{Results, RowResults};

/// A figure that is drawn when its runs are finished.
#[derive(Clone, Copy, Debug)]
pub struct PlannedFigure {
    /// The name for `--only`.
    pub id: &'static str,
    /// The names of the runs that the figure shows. The name of a group of seeds stands for all its
    /// runs.
    pub needs: &'static [&'static str],
    make: fn(&Runs, &Results) -> Figure,
}

impl PlannedFigure {
    /// Draws the figure from its runs, and the results of those that it compares.
    ///
    /// # Panics
    /// If a run named by [`needs`](Self::needs) is missing.
    pub fn draw(&self, runs: &Runs, results: &Results) -> Figure {
        let mut figure = (self.make)(runs, results);
        if matches!(&figure.content, Content::Chart(chart) if chart.leaves_frame()) {
            figure.caption += " Triangles on the frame mark where a curve leaves it.";
        }
        figure
    }
}

/// All figures, in the order of the page.
pub const FIGURES: [PlannedFigure; 17] = [
    PlannedFigure { id: "figure-1", needs: &["logistic"], make: |runs, _| figure_1(runs) },
    PlannedFigure { id: "figure-2", needs: &["logistic"], make: |runs, _| figure_2(runs) },
    PlannedFigure { id: "2d-patience", needs: &["logistic", "logistic-full-length"], make: |runs, _| patience(runs) },
    PlannedFigure { id: "figure-3", needs: &["logistic", "logistic-shuffled"], make: |runs, _| figure_3(runs) },
    PlannedFigure { id: "2e-aliasing", needs: &["logistic", "logistic-every-step"], make: |runs, _| aliasing(runs) },
    PlannedFigure {
        id: "2e-seeds",
        needs: &["logistic", "logistic-shuffled", "logistic-seed"],
        make: |runs, _| seeds(runs),
    },
    PlannedFigure { id: "figure-4", needs: &["softmax"], make: |runs, _| figure_4(runs) },
    PlannedFigure { id: "figure-5", needs: &["softmax"], make: |runs, _| figure_5(runs) },
    PlannedFigure { id: "3d-gap", needs: &["softmax", "softmax-one-epoch"], make: |runs, _| gap(runs) },
    PlannedFigure { id: "figure-6", needs: &["softmax", FIGURE_6_LOWER_ROW], make: |runs, _| figure_6(runs) },
    PlannedFigure {
        id: "4b-penalties",
        needs: &["softmax", "softmax-l2-1", FIGURE_6_LOWER_ROW],
        make: |runs, _| penalties(runs),
    },
    PlannedFigure { id: "figure-7", needs: &FIGURE_7, make: |runs, _| figure_7(runs) },
    PlannedFigure { id: "4c-full-length", needs: &FULL_LENGTH, make: |runs, _| full_length(runs) },
    PlannedFigure { id: "4c-accuracy", needs: &PENALTIES, make: accuracy_by_penalty },
    PlannedFigure { id: "4c-loss", needs: &PENALTIES, make: loss_by_penalty },
    PlannedFigure { id: "figure-8", needs: &PENALISED, make: |runs, _| figure_8(runs) },
    PlannedFigure { id: "4e-norms", needs: &PENALISED, make: |runs, _| norms(runs) },
];

/// The runs of figures 7 and 8, from the strongest penalty to the weakest.
pub(crate) const PENALISED: [&str; 4] = ["softmax-l2-1", "softmax-l2-0.1", "softmax-l2-0.01", "softmax-l2-0.001"];

/// The runs of figure 7: those, and the one without a penalty.
const FIGURE_7: [&str; 5] = ["softmax-l2-1", "softmax-l2-0.1", "softmax-l2-0.01", "softmax-l2-0.001", "softmax"];

/// The same runs without early stopping. The last one has no penalty.
pub(crate) const FULL_LENGTH: [&str; 5] = [
    "softmax-l2-1-full-length",
    "softmax-l2-0.1-full-length",
    "softmax-l2-0.01-full-length",
    "softmax-l2-0.001-full-length",
    "softmax-full-length",
];

/// The runs whose models are compared by penalty: those of [`MINIMA`] and [`DESCENTS`].
const PENALTIES: [&str; MINIMA.len() + DESCENTS.len()] = {
    let mut names = [""; MINIMA.len() + DESCENTS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = if i < MINIMA.len() { MINIMA[i] } else { DESCENTS[i - MINIMA.len()] };
        i += 1;
    }
    names
};

/// The run in the lower row of the report's figure 6: the second run of the report's program.
pub(crate) const FIGURE_6_LOWER_ROW: &str = "softmax-l2-2";

fn figure_1(runs: &Runs) -> Figure {
    let run = runs.get("logistic");
    Figure {
        id: "figure-1",
        title: "Logistic regression: loss".into(),
        caption: format!(
            "Training loss, averaged over blocks of 10 steps, and validation loss at every evaluation. The band is one standard deviation of the training loss within a \
             block (the report's legend calls it variance). The validation loss ends at {:.3} nats, after {} spikes.",
            run.summary.final_metrics.validation_loss,
            spikes(run).len()
        ),
        content: Content::Chart(loss_chart(run, 0.0..0.2)),
        runs: vec![run.name.clone()],
    }
}

fn figure_2(runs: &Runs) -> Figure {
    let run = runs.get("logistic");
    Figure {
        id: "figure-2",
        title: "Logistic regression: accuracy".into(),
        caption: final_accuracies(run),
        content: Content::Chart(accuracy_chart(run, 0.93..0.99)),
        runs: vec![run.name.clone()],
    }
}

fn figure_3(runs: &Runs) -> Figure {
    let (plain, shuffled) = (runs.get("logistic"), runs.get("logistic-shuffled"));
    let series = vec![
        evaluation_series("in file order", Color::Vermillion, plain, validation_accuracy).labelled("file order"),
        evaluation_series("shuffled every epoch", Color::Blue, shuffled, validation_accuracy).labelled("shuffled"),
    ];
    Figure {
        id: "figure-3",
        title: "Logistic regression: shuffling".into(),
        caption: format!(
            "Validation accuracy with the rows in file order and in a new random order every epoch. A drop of the first curve is a spike of figure 1. The shuffled run \
             stops after {} steps, the other after {}.",
            shuffled.summary.steps, plain.summary.steps
        ),
        content: Content::Chart(over_steps("validation accuracy", 0.93..0.99, Format::Percent, series)),
        runs: names(&[plain, shuffled]),
    }
}

fn figure_4(runs: &Runs) -> Figure {
    let run = runs.get("softmax");
    let last = &run.summary.final_metrics;
    Figure {
        id: "figure-4",
        title: "Softmax regression: loss".into(),
        caption: format!(
            "Training loss, averaged over blocks of 10 steps, and validation loss. The band is one standard deviation of the training loss within a block. The losses of \
             all training and of all validation rows end at {:.3} and {:.3} nats.",
            last.train_loss, last.validation_loss
        ),
        content: Content::Chart(loss_chart(run, 0.2..0.8)),
        runs: vec![run.name.clone()],
    }
}

fn figure_5(runs: &Runs) -> Figure {
    let run = runs.get("softmax");
    Figure {
        id: "figure-5",
        title: "Softmax regression: accuracy".into(),
        caption: final_accuracies(run),
        content: Content::Chart(accuracy_chart(run, 0.89..0.93)),
        runs: vec![run.name.clone()],
    }
}

/// Says what a chart of accuracies shows, and how they end.
fn final_accuracies(run: &Run) -> String {
    let (data, last) = (&run.summary.data, &run.summary.final_metrics);
    format!(
        "Accuracy on the {} training rows and on the {} validation rows. The curves end at {:.2} % and {:.2} %.",
        data.train,
        data.validation,
        100.0 * last.train_accuracy,
        100.0 * last.validation_accuracy
    )
}

fn figure_6(runs: &Runs) -> Figure {
    let shown = [runs.get("softmax"), runs.get(FIGURE_6_LOWER_ROW)];
    let mut pictures = pictures(&shown);
    let limit = largest(&pictures.rows);
    let common = |row: &PictureRow| PictureRow { scale: GreyScale::Common(limit), ..row.clone() };
    pictures.rows.extend(pictures.rows.iter().map(common).collect::<Vec<_>>());
    let smoothness = shown.map(smoothness);
    Figure {
        id: "figure-6",
        title: "The weights as pictures".into(),
        caption: format!(
            "The weights of each class without the bias. Rows 1 and 2 are the report's: each picture has its own scale. Row 2 is λ = {}, the second run of the report's \
             program. Rows 3 and 4 are the same weights on one scale, which shows how much smaller a penalty makes them. How smooth a row is, a number says: the weights \
             of pixels side by side have a correlation of {:.2} without a penalty, and of {:.2} with it.",
            shown[1].lambda(),
            smoothness[0],
            smoothness[1]
        ),
        content: Content::Pictures(pictures),
        runs: names(&shown),
    }
}

/// Returns the largest absolute weight.
fn largest(rows: &[PictureRow]) -> f64 {
    rows.iter().flat_map(|row| &row.classes).flatten().fold(0.0, |largest, weight| weight.abs().max(largest))
}

/// Returns the correlation of the weights of pixels side by side, over all classes.
fn smoothness(run: &Run) -> f64 {
    let width = run.summary.data.image_size[1];
    let classes = (0..run.parameters.columns).map(|class| run.parameters.weights_of_class(class));
    let (left, right): (Vec<f64>, Vec<f64>) = classes
        .flat_map(|weights| {
            let pairs =
                weights.chunks_exact(width.max(1)).flat_map(|line| line.windows(2).map(|pair| (pair[0], pair[1])));
            pairs.collect::<Vec<_>>()
        })
        .unzip();
    correlation(&left, &right)
}

fn figure_7(runs: &Runs) -> Figure {
    let shown = FIGURE_7.map(|name| runs.get(name));
    let free = shown.last().expect("figure 7 has runs");
    Figure {
        id: "figure-7",
        title: "Accuracy with four penalties and without one".into(),
        caption: format!(
            "Validation accuracy. Early stopping ends a run when its validation loss has not fallen for some evaluations, so the curves differ in length: from {} to {} \
             steps. The report's figure does not have the run without a penalty, which ends at {:.2} %.",
            shown.iter().map(|run| run.summary.steps).min().unwrap_or_default(),
            shown.iter().map(|run| run.summary.steps).max().unwrap_or_default(),
            100.0 * free.summary.final_metrics.validation_accuracy
        ),
        content: Content::Chart(over_steps("validation accuracy", 0.75..0.93, Format::Percent, by_lambda(&shown))),
        runs: names(&shown),
    }
}

fn figure_8(runs: &Runs) -> Figure {
    let shown = PENALISED.map(|name| runs.get(name));
    let points = shown.iter().map(|run| (run.lambda(), run.summary.weight_norm.spectral)).collect();
    let spectral = Series::new("spectral norm", Color::Blue, Mark::Symbols(Symbol::Disk), points);
    let y = from_zero(&[&spectral]);
    Figure {
        id: "figure-8",
        title: "The norm of the weights by penalty".into(),
        caption: format!(
            "The spectral norm (the largest singular value) of the weights with the bias as their last row, which the report's axis calls ‖w‖², against λ on a logarithmic \
             axis. From λ = {} to λ = {}, it falls by a factor of {:.1}.",
            shown[3].lambda(),
            shown[0].lambda(),
            shown[3].summary.weight_norm.spectral / shown[0].summary.weight_norm.spectral
        ),
        content: Content::Chart(Chart {
            x: lambda_axis(),
            y: Axis::linear("spectral norm of [W; b]", y, Format::Number),
            series: vec![spectral],
            legend: Corner::UpperRight,
        }),
        runs: names(&shown),
    }
}

/// The axis for the penalties of the report.
fn lambda_axis() -> Axis {
    Axis { label: "λ".into(), range: 0.0007..1.4, scale: Scale::Logarithmic, format: Format::Number }
}

/// The patiences that are applied to the full-length run.
pub(crate) const PATIENCES: Range<usize> = 1..61;

fn patience(runs: &Runs) -> Figure {
    let (run, full) = (runs.get("logistic"), runs.get("logistic-full-length"));
    let stops =
        PATIENCES.filter_map(|patience| Some((patience as f64, stop_with(patience, full.evaluations())?.epoch as f64)));
    let sweep = Series::new("all patiences", Color::Sky, Mark::Steps, stops.collect());
    let jumps = sweep.points.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    let report_patience = run.config.early_stopping().patience.filter(|_| run.summary.stopped_early);
    let report_stop = report_patience.map(|patience| (patience as f64, run.summary.stop_epoch as f64));
    let report_stop =
        Series::new("the report's patience", Color::Vermillion, Mark::Dots, report_stop.into_iter().collect());
    let y = from_zero(&[&sweep, &report_stop]);
    Figure {
        id: "2d-patience",
        title: "Early stopping by patience".into(),
        caption: format!(
            "The epoch, counted from 0, in which early stopping ends the run of figure 1, against the patience: the number of evaluations without a lower validation loss. \
             Computed from one run without early stopping. It jumps {jumps} times; a patience close to a jump decides between distant epochs."
        ),
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
    let mut epochs: Vec<usize> = seeds.iter().map(|run| run.summary.stop_epoch).collect();
    epochs.sort_unstable();
    let middle = median(&epochs).unwrap_or_default();
    let at = |epoch: usize| vec![(epoch as f64, top)];
    Figure {
        id: "2e-seeds",
        title: "Early stopping of shuffled runs".into(),
        caption: format!(
            "The epochs, counted from 0, in which {} shuffled runs end. The runs differ only in their seed. Lines mark the ends of the report's runs, in file order and \
             shuffled, and the median of the seeds, epoch {middle}.",
            seeds.len()
        ),
        content: Content::Chart(Chart {
            x: Axis::linear("epoch in which it stops", -1.0..last as f64 + 2.0, Format::Count),
            y: Axis::linear("runs", 0.0..top, Format::Count),
            series: vec![
                Series::new(format!("{} seeds", seeds.len()), Color::Sky, Mark::Bars(0.8), bars),
                Series::new("the report's shuffled run", Color::Green, Mark::Upright, at(shuffled.summary.stop_epoch))
                    .labelled("shuffled"),
                Series::new("in file order", Color::Vermillion, Mark::Upright, at(plain.summary.stop_epoch))
                    .labelled("file order"),
                Series::new("median of the seeds", Color::Blue, Mark::Upright, at(middle)).labelled("median"),
            ],
            legend: Corner::UpperLeft,
        }),
        runs: [names(&[plain, shuffled]), names(&seeds)].concat(),
    }
}

fn penalties(runs: &Runs) -> Figure {
    let shown = [runs.get("softmax"), runs.get("softmax-l2-1"), runs.get(FIGURE_6_LOWER_ROW)];
    let pictures = pictures(&shown);
    let minus = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
    let difference = PictureRow {
        name: "difference".into(),
        classes: pictures.rows[2].classes.iter().zip(&pictures.rows[1].classes).map(minus).collect(),
        scale: GreyScale::Own,
    };
    let limit = largest(std::slice::from_ref(&difference));
    let difference = PictureRow { scale: GreyScale::Common(limit), ..difference };
    Figure {
        id: "4b-penalties",
        title: "The weights without a penalty, with λ = 1 and with λ = 2".into(),
        caption: format!(
            "As figure 6, with the run that the report's text names in row 2. Each picture of rows 1 to 3 has its own scale, so it hides how large the weights are. Row 4 is row 3 minus row 2, on one \
             scale: the weights differ by up to {limit:.3}, where those of row 2 are up to {:.3}.",
            largest(&pictures.rows[1..2])
        ),
        content: Content::Pictures(Pictures { rows: [&pictures.rows[..], &[difference]].concat(), ..pictures }),
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
    let norm_series = |name: &str, color, symbol, norm: fn(&Run) -> f64| {
        Series::new(name, color, Mark::Symbols(symbol), shown.iter().map(|run| (run.lambda(), norm(run))).collect())
    };
    let series = vec![
        norm_series("Frobenius squared, ‖w‖²", Color::Vermillion, Symbol::Square, |run| {
            run.summary.weight_norm.frobenius_squared
        }),
        norm_series("Frobenius, ‖w‖", Color::Green, Symbol::Triangle, |run| run.summary.weight_norm.frobenius),
        norm_series("spectral (the report's)", Color::Blue, Symbol::Disk, |run| run.summary.weight_norm.spectral),
    ];
    let values = || series.iter().flat_map(|series| &series.points).map(|point| point.1);
    let (lowest, highest) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let y = if lowest > 0.0 { lowest / 1.5..1.5 * highest } else { 1e-3..1.0 };
    Figure {
        id: "4e-norms",
        title: "Three norms of the weights by penalty".into(),
        caption: "The norms of the weights with the bias as their last row. Both axes are logarithmic: equal distances are equal ratios, so \
                  ‖w‖² has twice the slope of ‖w‖."
            .into(),
        content: Content::Chart(Chart {
            x: lambda_axis(),
            y: Axis { label: "norm of [W; b]".into(), range: y, scale: Scale::Logarithmic, format: Format::Number },
            series,
            legend: Corner::UpperRight,
        }),
        runs: names(&shown),
    }
}

fn gap(runs: &Runs) -> Figure {
    let run = runs.get("softmax");
    let data = &run.summary.data;
    let variance = |p: f64, n: usize| p * (1.0 - p) / n as f64;
    let error = |e: &Evaluation| {
        (variance(e.train_accuracy, data.train) + variance(e.validation_accuracy, data.validation)).sqrt()
    };
    let gap = Series {
        band: run.evaluations().iter().map(|e| normal_half_width(0.95) * error(e)).collect(),
        ..evaluation_series("difference ± 95 % interval", Color::Blue, run, |e| {
            e.train_accuracy - e.validation_accuracy
        })
    };
    Figure {
        id: "3d-gap",
        title: "The gap between training and validation accuracy".into(),
        caption: "Training accuracy minus validation accuracy, in percentage points. The band is the 95 % interval of each gap: the two accuracies are those of \
                  different images, so each has its own sampling error. Fitting alone opens a gap; whether the model *over*fits, the validation \
                  loss of figure 4 shows."
            .into(),
        content: Content::Chart(over_steps("training − validation accuracy", -0.02..0.02, Format::Percent, vec![gap])),
        runs: names(&[run]),
    }
}

fn accuracy_by_penalty(runs: &Runs, results: &Results) -> Figure {
    let chart = by_penalty(runs, results, "validation accuracy", Format::Percent, RowResults::accuracy, |model| {
        model.errors.accuracy
    });
    Figure {
        id: "4c-accuracy",
        title: "Accuracy by penalty, at the minimum and after the report's epochs".into(),
        caption: about_penalties(runs, results, "accuracy is highest", RowResults::accuracy),
        content: Content::Chart(chart),
        runs: PENALTIES.map(str::to_owned).into(),
    }
}

fn loss_by_penalty(runs: &Runs, results: &Results) -> Figure {
    let chart = by_penalty(runs, results, "validation loss (nats)", Format::Number, RowResults::loss, |model| {
        model.errors.loss
    });
    Figure {
        id: "4c-loss",
        title: "Loss by penalty, at the minimum and after the report's epochs".into(),
        caption: about_penalties(runs, results, "the loss is lowest", |results| -results.loss()),
        content: Content::Chart(chart),
        runs: PENALTIES.map(str::to_owned).into(),
    }
}

/// Describes what [`by_penalty`] draws, and for which λ the score is highest.
fn about_penalties(runs: &Runs, results: &Results, is_best: &str, score: fn(&RowResults) -> f64) -> String {
    let [minima, descents] = [&MINIMA[..], &DESCENTS].map(|names| Group::new(runs, results, names));
    let best = |group: &Group| {
        let models = group.models.iter().map(|model| (model.run, model.results));
        let all = models.chain([(group.reference, group.results)]);
        all.max_by(|a, b| score(a.1).total_cmp(&score(b.1))).map(|(run, _)| run.lambda()).unwrap_or_default()
    };
    let epochs = descents.reference.config.descent().epochs;
    format!(
        "All models predict the same validation images. Each bar is the 95 % interval of the difference from the group's reference, image by image: λ = {} at the \
         minimum of J, and λ = {} after {epochs} epochs, which is the line. At the minimum, {is_best} for λ = {}; after {epochs} epochs, for λ = {}.",
        minima.reference.lambda(),
        descents.reference.lambda(),
        best(&minima),
        best(&descents)
    )
}

/// Returns a chart of a value against the penalty, for both groups of models.
fn by_penalty(
    runs: &Runs,
    results: &Results,
    label: &str,
    format: Format,
    value: fn(&RowResults) -> f64,
    error: fn(&Compared) -> f64,
) -> Chart {
    let [minima, descents] = [&MINIMA[..], &DESCENTS].map(|names| Group::new(runs, results, names));
    let x = 0.7 * minima.reference.lambda()..1.4 * minima.models[0].run.lambda();
    let points = |group: &Group, name: &str, color, symbol| Series {
        band: group.models.iter().map(|model| normal_half_width(0.95) * error(model)).collect(),
        ..Series::new(
            name,
            color,
            Mark::Symbols(symbol),
            group.models.iter().map(|model| (model.run.lambda(), value(model.results))).collect(),
        )
    };
    let mut at_minimum = points(&minima, "at the minimum of J", Color::Blue, Symbol::Disk);
    at_minimum.points.push((minima.reference.lambda(), value(minima.results)));
    at_minimum.band.push(0.0);
    let epochs = descents.reference.config.descent().epochs;
    let mut after = points(&descents, &format!("after {epochs} epochs"), Color::Vermillion, Symbol::Square);
    let free = value(descents.results);
    let line = Series::new(
        format!("after {epochs} epochs, λ = {}", descents.reference.lambda()),
        Color::Green,
        Mark::Thin,
        vec![(x.start, free), (x.end, free)],
    );
    // The two groups have the same λ.
    (at_minimum.shift, after.shift) = (-0.008, 0.008);
    let series = vec![line, at_minimum, after];
    // The strongest penalty costs so much that nothing else could be told apart on its axis.
    let strongest = minima.models[0].run.lambda();
    let ends = |series: &Series| -> Vec<f64> {
        let bands = series.band.iter().copied().chain(std::iter::repeat(0.0));
        let ends = series.points.iter().zip(bands).filter(|((lambda, _), _)| *lambda < strongest);
        ends.flat_map(|(&(_, y), band)| [y - band, y + band]).collect()
    };
    let all: Vec<f64> = series.iter().flat_map(ends).collect();
    let (low, high) =
        (all.iter().copied().fold(f64::INFINITY, f64::min), all.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    let margin = 0.05 * (high - low).max(1e-6);
    Chart {
        x: Axis { label: "λ".into(), range: x, scale: Scale::Logarithmic, format: Format::Number },
        y: Axis::linear(label, low - margin..high + margin, format),
        series,
        // Accuracies are low on the right, and losses on the left and high on the right.
        legend: if format == Format::Percent { Corner::LowerLeft } else { Corner::LowerRight },
    }
}

/// Returns a chart of the smoothed training loss and the validation loss, with the report's limits.
fn loss_chart(run: &Run, limits: Range<f64>) -> Chart {
    let blocks = blocks(&run.history.train_loss);
    let training = Series {
        band: blocks.iter().map(|block| block.deviation).collect(),
        // Thin, so that its noise does not hide the other curve.
        ..Series::new(
            "training, mean of 10 steps ± one standard deviation",
            Color::Blue,
            Mark::Thin,
            blocks.iter().map(|block| (block.step, block.mean)).collect(),
        )
        .labelled("training")
    };
    let mut validation =
        evaluation_series("validation", Color::Vermillion, run, |e| e.validation_loss).labelled("validation");
    append_end(&mut validation, run, run.summary.final_metrics.validation_loss);
    over_steps("cross-entropy (nats)", limits, Format::Number, vec![training, validation])
}

fn accuracy_chart(run: &Run, limits: Range<f64>) -> Chart {
    let last = &run.summary.final_metrics;
    let mut training = evaluation_series("training", Color::Blue, run, |e| e.train_accuracy).labelled("training");
    append_end(&mut training, run, last.train_accuracy);
    let mut validation =
        evaluation_series("validation", Color::Vermillion, run, validation_accuracy).labelled("validation");
    append_end(&mut validation, run, last.validation_accuracy);
    over_steps("accuracy", limits, Format::Percent, vec![training, validation])
}

fn validation_accuracy(evaluation: &Evaluation) -> f64 {
    evaluation.validation_accuracy
}

/// Returns the curve of a value over the evaluations of a run.
fn evaluation_series(name: &str, color: Color, run: &Run, value: fn(&Evaluation) -> f64) -> Series {
    Series::new(name, color, Mark::Line, run.evaluations().iter().map(|e| (e.step as f64, value(e))).collect())
}

/// Appends the value of the final model, which the text quotes, to a curve over the evaluations. A
/// run that goes back to its best weights ends elsewhere.
fn append_end(series: &mut Series, run: &Run, value: f64) {
    let end = run.summary.stop_step as f64;
    if !run.config.early_stopping().restore_best && series.points.last().is_some_and(|last| last.0 < end) {
        series.points.push((end, value));
    }
}

fn by_lambda(runs: &[&Run]) -> Vec<Series> {
    let colors = [Color::Vermillion, Color::Orange, Color::Green, Color::Purple, Color::Blue];
    let curve = |(run, color): (&&Run, Color)| {
        let name = format!("λ = {}", run.lambda());
        let mut curve = evaluation_series(&name, color, run, validation_accuracy).labelled(&name);
        append_end(&mut curve, run, run.summary.final_metrics.validation_accuracy);
        curve
    };
    runs.iter().zip(colors).map(curve).collect()
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
        let classes = (0..run.parameters.columns).map(|class| run.parameters.weights_of_class(class)).collect();
        PictureRow { name, classes, scale: GreyScale::Own }
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
