//! `chainrule plot`: draws runs.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use chainrule_core::{DataKind, pluralize};
use chainrule_data::names;
use chainrule_evaluate::{CalibrationBin, Ranking};
use chainrule_records::{Destination, Imported};
use chainrule_report::{
    Chart, CoefficientInterval, Forest, Matrix, PenaltyScore, Plot, PlotContent, PlotStyle, RUN_COLORS, Run,
    RunHistory, TextStyle, Theme, WeightImages, calibration, curves, penalty_scores, precision_recall, roc,
};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::compare::{Predicted, predict_same_rows};
use crate::cv_folder::{CvResult, PenaltyResult};
use crate::destination::destination;
use crate::exit;
use crate::heatmaps::{ColorSupport, Heatmap, Palette, columns};
use crate::labelled_rows::{LabelledRows, RowOptions};
use crate::missing::check_folder_exists;
use crate::model::Model;
use crate::model_plots;
use crate::options::OutputOptions;
use crate::output::{Lines, print_json, print_line, print_message};
use crate::summary::{SummaryRequest, summary_of_run};

#[derive(Args, Debug)]
pub(crate) struct PlotOptions {
    /// Folders of finished runs, or of a cross-validation (`--kind penalties`).
    #[arg(value_name = "RUN", num_args = 1.., required = true)]
    runs: Vec<PathBuf>,
    /// What to draw.
    #[arg(long, value_enum, default_value = "curves")]
    kind: Kind,
    #[command(flatten)]
    rows: RowOptions,
    /// Class to draw a curve of, against the others; may be repeated [default: of two classes the
    /// second, else all]. Of the surface of a softmax model: the class of the weights [default: the
    /// one with the largest].
    #[arg(long = "class", value_name = "CLASS")]
    classes: Vec<String>,
    /// Feature whose weight is an axis of the surface; name two [default: those with the largest
    /// weights].
    #[arg(long = "weight", value_name = "FEATURE")]
    weights: Vec<String>,
    /// Learning rate of a descent on the surface; up to three [default: a slow one, a fast one, and
    /// one that does not converge].
    #[arg(long = "learning-rate", value_name = "RATE", value_parser = learning_rate)]
    learning_rates: Vec<f64>,
    /// File to write, as SVG or PNG by its ending [default: draw on the terminal].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long, requires = "out")]
    force: bool,
    /// Title of the plot [default: the runs].
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Width and height of the file in units of the SVG; a PNG has two pixels for each, as in
    /// 640x700 [default: what the plot needs].
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size, requires = "out")]
    size: Option<[u32; 2]>,
    /// Colours of the file.
    #[arg(long, value_enum, default_value = "light", requires = "out")]
    theme: ThemeOption,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Kind {
    /// Loss and accuracy over the steps of the training.
    Curves,
    /// Coefficients of a table model, per standard deviation, with 95 % intervals.
    Coefficients,
    /// ROC curves.
    Roc,
    /// Precision-recall curves.
    PrecisionRecall,
    /// How often the predictions of each probability are right.
    Calibration,
    /// The rows by class and predicted class.
    Confusion,
    /// Where a model of two numeric features changes its prediction, with its probabilities and the
    /// rows.
    Boundary,
    /// The weights of a model of images, as images.
    Weights,
    /// The loss of a table model over two weights, of one class, with the paths of gradient descent
    /// for three learning rates.
    Surface,
    /// The mean scores of a cross-validation by penalty, with their standard errors: of the folder
    /// of `cv --lambdas … --out`.
    Penalties,
}

impl Kind {
    fn name(self) -> String {
        self.to_possible_value().map(|kind| kind.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether it is of predictions of rows.
    fn is_of_rows(self) -> bool {
        !matches!(self, Kind::Curves | Kind::Coefficients | Kind::Weights | Kind::Surface | Kind::Penalties)
    }

    /// Whether it draws a single run.
    fn is_of_one_run(self) -> bool {
        matches!(
            self,
            Kind::Coefficients | Kind::Confusion | Kind::Boundary | Kind::Weights | Kind::Surface | Kind::Penalties
        )
    }

    /// Whether it is of the classes one by one.
    fn is_by_class(self) -> bool {
        matches!(self, Kind::Roc | Kind::PrecisionRecall | Kind::Calibration)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ThemeOption {
    /// Black on white.
    Light,
    /// Light grey on nearly black.
    Dark,
}

/// The least and the largest side of a plot.
const SIDES: [u32; 2] = [200, 4000];
/// The height of a chart on a terminal.
const TEXT_LINES: usize = 14;

/// Parses a size such as `640x700`.
fn size(text: &str) -> Result<[u32; 2], String> {
    let [low, high] = SIDES;
    let side = |text: &str| text.trim().parse::<u32>().ok().filter(|side| (low..=high).contains(side));
    text.split_once(['x', 'X', '×'])
        .and_then(|(width, height)| Some([side(width)?, side(height)?]))
        .ok_or_else(|| format!("expected a width and a height from {low} to {high}, as in 640x700"))
}

/// Parses a learning rate.
fn learning_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "expected a number above 0".to_owned())
}

/// Where a plot goes.
enum Target {
    Svg(Destination, PathBuf),
    Png(Destination, PathBuf),
    Terminal,
}

impl Target {
    fn new(options: &PlotOptions) -> Result<Self> {
        let Some(path) = &options.out else { return Ok(Target::Terminal) };
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let make = match ending.as_deref() {
            Some("svg") => Target::Svg,
            Some("png") => Target::Png,
            _ => bail!("--out {}: a plot is an SVG or a PNG; end the name with .svg or .png", path.display()),
        };
        Ok(make(destination(path, options.force, "--out")?, path.clone()))
    }
}

/// Draws runs.
pub(crate) fn plot(options: &PlotOptions) -> Result<u8> {
    if options.kind != Kind::Penalties {
        options.runs.iter().try_for_each(|run| check_folder_exists(run))?;
    }
    if options.runs.len() > RUN_COLORS.len() {
        bail!(
            "{} runs: more than {} colours are hard to tell apart; name fewer runs",
            options.runs.len(),
            RUN_COLORS.len()
        );
    }
    check_options(options)?;
    let target = Target::new(options)?;
    let mut log = |line: &str| {
        if !options.output.quiet {
            print_message(line);
        }
    };
    let plot = match options.kind {
        Kind::Curves => draw_curves(&options.runs, &mut log)?,
        Kind::Coefficients => draw_coefficients(&options.runs[0])?,
        Kind::Boundary => model_plots::boundary(&options.runs[0], &options.rows, &mut log)?,
        Kind::Weights => model_plots::weights(&options.runs[0])?,
        Kind::Surface => {
            let class = options.classes.first().map(String::as_str);
            model_plots::surface(&options.runs[0], &options.weights, class, &options.learning_rates)?
        }
        Kind::Penalties => draw_penalties(&options.runs[0])?,
        Kind::Roc | Kind::PrecisionRecall | Kind::Calibration | Kind::Confusion => draw_rows(options, &mut log)?,
    };
    let title = options.title.clone().unwrap_or_else(|| plot.title.clone());
    finish(&Plot { title, ..plot }, options, target)
}

/// Refuses options that the kind does not use.
fn check_options(options: &PlotOptions) -> Result<()> {
    let PlotOptions { runs, kind, rows, classes, weights, learning_rates, .. } = options;
    let name = kind.name();
    if runs.len() > 1 && kind.is_of_one_run() {
        bail!("--kind {name} draws one run; name one");
    }
    let of_rows = [
        ("--data", rows.data.source.is_some()),
        ("--label", rows.label.is_some()),
        ("--known-classes-only", rows.known_classes_only),
    ];
    if let (false, Some((option, _))) = (kind.is_of_rows(), of_rows.iter().find(|(_, is_set)| *is_set)) {
        bail!("{option}: --kind {name} predicts no rows; leave it out");
    }
    let of_surface = [("--weight", !weights.is_empty()), ("--learning-rate", !learning_rates.is_empty())];
    if let (true, Some((option, _))) = (*kind != Kind::Surface, of_surface.iter().find(|(_, is_set)| *is_set)) {
        bail!("{option}: only --kind surface uses it; leave it out");
    }
    if learning_rates.len() > 3 {
        bail!("--learning-rate: more than three paths are hard to tell apart; name fewer");
    }
    if *kind == Kind::Surface && classes.len() > 1 {
        bail!("--class: --kind surface draws weights of one class; name one");
    }
    if !kind.is_by_class() && *kind != Kind::Surface && !classes.is_empty() {
        bail!("--class: --kind {name} has no curve of a class; leave it out");
    }
    Ok(())
}

/// Writes or prints a plot.
fn finish(plot: &Plot, options: &PlotOptions, target: Target) -> Result<u8> {
    let theme = match options.theme {
        ThemeOption::Light => Theme::Light,
        ThemeOption::Dark => Theme::Dark,
    };
    let style = PlotStyle { size: options.size, theme };
    let file = match target {
        Target::Svg(file, path) => {
            file.write(plot.svg(style).as_bytes())?;
            Some(path)
        }
        Target::Png(file, path) => {
            file.write(&plot.png(style))?;
            Some(path)
        }
        Target::Terminal => None,
    };
    match file {
        _ if options.output.json => print_json(&as_json(plot, options, file.as_deref()))?,
        Some(path) => print_line(path.display().to_string())?,
        None => print_on_terminal(plot)?,
    }
    Ok(exit::SUCCESS)
}

/// Returns what is drawn as data.
fn as_json(plot: &Plot, options: &PlotOptions, file: Option<&Path>) -> Value {
    let of_chart = |chart: &Chart| {
        let series = chart.series.iter();
        let series: Vec<Value> = series.map(|series| json!({ "name": series.name, "points": series.points })).collect();
        json!({ "x": chart.x.label, "y": chart.y.label, "series": series })
    };
    let content = match &plot.content {
        PlotContent::Charts(charts) => {
            json!({ "charts": charts.iter().map(of_chart).collect::<Vec<_>>() })
        }
        PlotContent::Forest(Forest { label, rows }) => {
            let rows: Vec<Value> = rows
                .iter()
                .map(|row| json!({ "name": row.name, "estimate": row.estimate, "interval": row.interval }))
                .collect();
            json!({ "x": label, "rows": rows })
        }
        // The lines are the boundary, or the contours of the loss.
        PlotContent::Plane(plane) => json!({ "charts": [of_chart(&plane.chart)], "lines": plane.lines }),
        PlotContent::Weights(WeightImages { classes, weights, size }) => {
            json!({ "classes": classes, "image_size": size, "weights": weights })
        }
        PlotContent::Matrix(Matrix { classes, counts }) => json!({ "classes": classes, "counts": counts }),
    };
    let mut document = json!({
        "runs": options.runs.iter().map(|run| run.display().to_string()).collect::<Vec<_>>(),
        "kind": options.kind.name(),
        "title": plot.title,
        "file": file.map(|file| file.display().to_string()),
    });
    if let (Value::Object(document), Value::Object(content)) = (&mut document, content) {
        document.extend(content);
    }
    document
}

fn print_on_terminal(plot: &Plot) -> Result<()> {
    let colors = ColorSupport::detect();
    let style = TextStyle {
        columns: columns(),
        lines: TEXT_LINES,
        has_braille: colors.has_unicode(),
        start_color: colors.start(),
    };
    let mut lines = Lines::default();
    lines.add(&plot.title);
    // The colours of images are explained below them.
    if !plot.explanation.is_empty() && !matches!(plot.content, PlotContent::Weights(_)) {
        lines.add(&plot.explanation);
    }
    lines.empty_line();
    match &plot.content {
        PlotContent::Weights(weights) => lines.drawn(&images(weights, colors)),
        _ => lines.drawn(&plot.text(style)),
    }
    Ok(lines.print()?)
}

/// Draws weights as images for the terminal.
fn images(WeightImages { classes, weights, size }: &WeightImages, colors: ColorSupport) -> String {
    let largest = weights.iter().flatten().fold(f64::MIN_POSITIVE, |largest, w| largest.max(w.abs()));
    let of_class = |(class, weights): (&String, &Vec<f64>)| Heatmap {
        name: class.clone(),
        values: weights.iter().map(|w| w / largest).collect(),
        palette: Palette::Signed,
    };
    let pictures: Vec<Heatmap> = classes.iter().zip(weights).map(of_class).collect();
    format!("{}{}\n", colors.draw(&pictures, *size, columns()), colors.legend(Palette::Signed))
}

/// Draws the scores of a cross-validation by penalty.
fn draw_penalties(folder: &Path) -> Result<Plot> {
    let CvResult { penalties, best, one_standard_error } = CvResult::read(folder)?;
    let score = |scores: &PenaltyResult| PenaltyScore {
        l2: scores.l2,
        loss: [scores.loss.mean, scores.loss.standard_error],
        accuracy: [scores.accuracy.mean, scores.accuracy.standard_error],
    };
    let scores: Vec<PenaltyScore> = penalties.iter().map(score).collect();
    if scores.iter().filter(|score| score.l2 > 0.0).count() < 2 {
        bail!(
            "{}: the cross-validation is of one penalty; compare several with cv --lambdas 1,0.1,0.01 --out",
            folder.display()
        );
    }
    let plot = penalty_scores(&scores, best, one_standard_error);
    Ok(Plot { title: format!("{}: {}", folder.display(), plot.title.to_lowercase()), ..plot })
}

/// Draws the losses and accuracies of runs over their training.
fn draw_curves(folders: &[PathBuf], log: &mut dyn FnMut(&str)) -> Result<Plot> {
    let read = |folder: &PathBuf| {
        let name = folder.display().to_string();
        if Imported::is_in(folder) {
            bail!("{name}: the model was trained by another tool, so there is no history of its training to draw");
        }
        Ok(Run::read(&name, folder)?)
    };
    let runs: Vec<Run> = folders.iter().map(read).collect::<Result<_>>()?;
    if let Some(run) = runs.iter().find(|run| run.history.train_loss.is_empty() && run.history.evaluations.is_empty()) {
        bail!("{}: the run has no steps, so there is no curve to draw", run.name);
    }
    differences(&runs).into_iter().for_each(|note| log(&format!("note: {note}")));
    let histories: Vec<RunHistory<'_>> = runs
        .iter()
        .map(|run| RunHistory {
            name: &run.name,
            history: &run.history,
            steps_per_epoch: run.summary.steps_per_epoch,
            is_validated_on_training: run.summary.data.is_validated_on_training,
        })
        .collect();
    let title = match &runs[..] {
        [run] => {
            let data = &run.summary.data;
            format!("{}: {}, {}", run.name, data.source, pluralize(data.train, "training row"))
        }
        runs => format!("{} of {}", pluralize(runs.len(), "run"), runs[0].summary.data.source),
    };
    Ok(Plot { title, ..curves(&histories) })
}

/// Says why curves of different runs are not comparable.
fn differences(runs: &[Run]) -> Vec<String> {
    let Some((first, others)) = runs.split_first() else { return Vec::new() };
    let mut notes = Vec::new();
    let mut add = |other: &Run, what: String| {
        notes.push(format!("{} and {} have other {what}", first.name, other.name));
    };
    for other in others {
        let [one, two] = [first, other].map(|run| &run.summary.data);
        let [mut classes, mut other_classes] = [one, two].map(|data| names(&data.classes));
        classes.sort();
        other_classes.sort();
        // Held-out rows depend on the seed.
        let holds_out = one.kind != DataKind::Images && !one.is_validated_on_training;
        let is_other_seed = holds_out && first.summary.seed != other.summary.seed;
        if one.sha256 != two.sha256 {
            add(other, format!("data ({} and {}): their curves are not comparable", one.source, two.source));
        } else if classes != other_classes {
            add(other, "classes: their curves are not comparable".to_owned());
        } else if first.summary.class_weights != other.summary.class_weights
            || first.config.data().weight != other.config.data().weight
        {
            add(other, "class weights or weights of rows: their losses are not comparable".to_owned());
        } else if one.validation != two.validation || is_other_seed {
            add(other, "validation rows: their curves compare only roughly".to_owned());
        }
    }
    notes
}

/// The most coefficients of a plot.
const MAX_COEFFICIENTS: usize = 60;

/// Draws the coefficients of a table model with their intervals.
fn draw_coefficients(folder: &Path) -> Result<Plot> {
    let model = Model::read(folder)?;
    let request = SummaryRequest { base: None, standardized: true, robust: false, level: 0.95 };
    let summary = summary_of_run(&model, &request)?.summary;
    // The bias is not a feature, and its interval would shrink the others.
    let mut coefficients: Vec<_> = summary.coefficients.iter().filter(|c| c.feature.is_some()).collect();
    let all = coefficients.len();
    if all > MAX_COEFFICIENTS {
        let size = |c: &&chainrule_solve::Coefficient| c.z.map_or(c.estimate, f64::abs).abs();
        let mut sizes: Vec<f64> = coefficients.iter().map(size).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        let limit = sizes[MAX_COEFFICIENTS - 1];
        coefficients.retain(|c| size(c) >= limit);
        coefficients.truncate(MAX_COEFFICIENTS);
    }
    let is_binary = model.classes().len() == 2;
    let row = |c: &&chainrule_solve::Coefficient| {
        let feature = c.feature.clone().unwrap_or_default();
        let name = if is_binary { feature } else { format!("{}: {feature}", c.class) };
        CoefficientInterval { name, estimate: c.estimate, interval: c.interval }
    };
    let rows: Vec<CoefficientInterval> = coefficients.iter().map(row).collect();
    if rows.is_empty() {
        bail!("{}: the model has no feature, so there is no coefficient to draw", folder.display());
    }
    let shown =
        if rows.len() < all { format!("{} of {all} coefficients, the surest; ", rows.len()) } else { String::new() };
    let of_class = if is_binary { format!("of {} ", model.classes()[1]) } else { String::new() };
    Ok(Plot {
        title: format!("{}: coefficients", folder.display()),
        explanation: format!("{shown}blue: the 95 % interval excludes 0; without the bias"),
        content: PlotContent::Forest(Forest {
            label: format!("log odds {of_class}against {}, per standard deviation", summary.base_class),
            rows,
        }),
    })
}

/// Draws the predictions of rows.
fn draw_rows(options: &PlotOptions, log: &mut dyn FnMut(&str)) -> Result<Plot> {
    let (model, rows, predicted) = predict_same_rows(&options.runs, &options.rows, log)?;
    let weights = model.run_records().and_then(|run| run.config.data().weight.clone());
    if let Some(weight) = weights {
        log(&format!("note: the training weighed each row by {weight:?} (data.weight); here each counts once"));
    }
    let classes = names(model.classes());
    let title = |what: &str| {
        let of = match &options.runs[..] {
            [run] => run.display().to_string(),
            runs => pluralize(runs.len(), "run"),
        };
        format!("{of}: {what}, {}", describe_rows(&rows))
    };
    if options.kind == Kind::Confusion {
        let confusion = predicted[0].rows.confusion();
        let k = confusion.classes();
        let counts = |label: usize| (0..k).map(|predicted| confusion.cell(label, predicted).round() as u64).collect();
        return Ok(Plot {
            title: title("confusion"),
            explanation: "colour: the share of the class; blue right, vermillion wrong".to_owned(),
            content: PlotContent::Matrix(Matrix { classes, counts: (0..k).map(counts).collect() }),
        });
    }
    let chosen = chosen_classes(&options.classes, &classes, &predicted[0])?;
    let n_curves = chosen.len() * predicted.len();
    if n_curves > RUN_COLORS.len() {
        bail!(
            "{n_curves} curves, of {} and {}: more than {} colours are hard to tell apart; choose classes with --class",
            pluralize(chosen.len(), "class"),
            pluralize(predicted.len(), "run"),
            RUN_COLORS.len()
        );
    }
    // What a curve is of, and its number in the legend.
    let name = |run: &Predicted, class: usize, number: Option<(&str, f64)>| {
        let of = match (predicted.len(), chosen.len()) {
            (1, _) => classes[class].clone(),
            (_, 1) => run.name.clone(),
            _ => format!("{}, {}", run.name, classes[class]),
        };
        number.map_or_else(|| of.clone(), |(what, number)| format!("{of}: {what} {number:.4}"))
    };
    let curves = || predicted.iter().flat_map(|run| chosen.iter().map(move |&class| (run, class)));
    let rankings = |number: fn(&Ranking) -> (&'static str, f64)| -> Result<Vec<(String, Ranking)>> {
        let ranked = |(run, class): (&Predicted, usize)| match run.rows.ranking(class) {
            Some(ranking) => Ok((name(run, class, Some(number(&ranking))), ranking)),
            None => bail!(
                "a curve of {} needs rows of it and rows of others, and {} has only one of them",
                classes[class],
                describe_rows(&rows)
            ),
        };
        curves().map(ranked).collect()
    };
    let plot = match options.kind {
        Kind::Roc => Plot { title: title("ROC"), ..roc(&rankings(|ranking| ("AUC", ranking.auc()))?) },
        Kind::PrecisionRecall => {
            let labels = predicted[0].rows.labels();
            let share = match chosen[..] {
                [class] => Some(labels.iter().filter(|&&label| label == class).count() as f64 / labels.len() as f64),
                _ => None,
            };
            let rankings = rankings(|ranking| ("average precision", ranking.average_precision()))?;
            Plot { title: title("precision and recall"), ..precision_recall(&rankings, share) }
        }
        _ => {
            let bins = |(run, class): (&Predicted, usize)| -> (String, Vec<CalibrationBin>) {
                (name(run, class, None), run.rows.details().one_vs_rest.swap_remove(class).calibration)
            };
            Plot { title: title("calibration"), ..calibration(&curves().map(bins).collect::<Vec<_>>()) }
        }
    };
    // One curve has no legend, and curves of one class do not name it.
    let about = match (predicted.len(), &plot.content) {
        (1, PlotContent::Charts(charts)) if n_curves == 1 => {
            charts[0].series.iter().map(|series| series.name.clone()).find(|name| !name.is_empty())
        }
        (2.., _) if chosen.len() == 1 => Some(format!("of {}", classes[chosen[0]])),
        _ => None,
    };
    let explanation = about.into_iter().chain([plot.explanation]).filter(|part| !part.is_empty());
    Ok(Plot { explanation: explanation.collect::<Vec<_>>().join("; "), ..plot })
}

fn describe_rows(rows: &LabelledRows) -> String {
    let count = pluralize(rows.rows.len(), rows.noun());
    format!("{count} ({}) of {}", rows.split, rows.source.name)
}

/// Returns the positions of the classes that curves are drawn of.
fn chosen_classes(asked: &[String], classes: &[String], predicted: &Predicted) -> Result<Vec<usize>> {
    if asked.is_empty() {
        return Ok(predicted.rows.ranked_classes().collect());
    }
    let position = |name: &String| match classes.iter().position(|class| class == name) {
        Some(position) => Ok(position),
        None => bail!("--class {name}: the model's classes are [{}]", classes.join(", ")),
    };
    let mut chosen: Vec<usize> = asked.iter().map(position).collect::<Result<_>>()?;
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}
