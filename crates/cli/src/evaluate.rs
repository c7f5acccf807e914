//! `chainrule evaluate`: measures a model on labelled data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use chainrule_core::{Class, Features, LinkKind, UnusedFiles, align_right, display_width, pluralize};
use chainrule_data::{RowBuffer, Rows, names};
use chainrule_evaluate::{
    BestThreshold, Confusion, CostMatrix, Details, Mean, Misclassified, PredictedRows, Scores, Tally,
};
use chainrule_report::{Tile, contact_sheet};
use clap::{ArgGroup, Args};
use serde::Serialize;

use crate::destination::destination;
use crate::exit;
use crate::labelled_rows::{LabelledRows, RowOptions, ScoredRow, for_each_prediction, keep_predictions, list_classes};
use crate::missing::check_folder_exists;
use crate::model::{Model, RunRecords};
use crate::options::OutputOptions;
use crate::output::{Lines, csv_field, print_json, print_message};
use crate::table::warnings;

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("files").args(["wrong", "curves"]).multiple(true))]
pub(crate) struct EvaluateOptions {
    /// Folder of a finished run or of an imported model.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[command(flatten)]
    rows: RowOptions,
    /// Print more: balanced accuracy, Matthews' coefficient, Brier score, and for each class the
    /// area under the ROC curve, average precision, calibration and lift. --json has all of it.
    #[arg(long)]
    more: bool,
    /// Also report F-beta of each class, in which recall counts B times as much as precision.
    #[arg(long, value_name = "B", value_parser = positive)]
    beta: Option<f64>,
    /// Costs of the predictions: a row for each class with a number for each predicted class, in
    /// the order of the classes, as in 0,1/5,0. Reports the mean cost, that of the cheapest
    /// decisions, and for two classes the best threshold.
    #[arg(long, value_name = "COSTS", value_parser = costs, allow_hyphen_values = true)]
    costs: Option<CostMatrix>,
    /// Column of a table with the weight of each row, as data.weight [default: that of the run, on
    /// its own data]. It weighs AUC, F-beta, costs, curves and the metrics of --more; counts and
    /// calibration count each row once.
    #[arg(long, value_name = "COLUMN")]
    weight: Option<String>,
    /// Write the most confidently misclassified images, at most 40, to this PNG file.
    #[arg(long, value_name = "FILE.png")]
    wrong: Option<PathBuf>,
    /// Write the points of the ROC curve and of the precision-recall curve to this CSV file: a line
    /// for each threshold of the second class of two, or of each class against the others.
    #[arg(long, value_name = "FILE.csv")]
    curves: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long, requires = "files")]
    force: bool,
    #[command(flatten)]
    output: OutputOptions,
}

/// What `evaluate --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    model: LinkKind,
    data: AboutData,
    /// The names of the classes. All following fields refer to classes by their position here.
    classes: &'a [Class],
    #[serde(flatten)]
    scores: &'a Scores,
    /// With weights of the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    weighted: Option<Weighted>,
    /// Their numbers in the image file, from 0, in the order of `most_confidently_wrong`.
    #[serde(skip_serializing_if = "Option::is_none")]
    most_confidently_wrong_images: Option<Vec<usize>>,
    /// The lines of a table, in the order of `most_confidently_wrong`. The header is line 1. Of a
    /// table that is stored by columns, the numbers of the rows, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    most_confidently_wrong_lines: Option<Vec<u32>>,
    /// The same rows in words, with their file if there are several: `b.csv, line 7`.
    #[serde(skip_serializing_if = "Option::is_none")]
    most_confidently_wrong_places: Option<Vec<String>>,
    /// Left out if the predictions do not fit in memory.
    #[serde(flatten)]
    details: Option<Details>,
    /// F-beta of each class, with `--beta`. `null` stands for 0 / 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    f_beta: Option<FBeta>,
    /// With `--costs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    costs: Option<Costs>,
}

/// The metrics by the weights of the rows.
#[derive(Serialize)]
struct Weighted {
    /// The column of the weights.
    column: String,
    /// The mean cross-entropy in nats.
    loss: Option<f64>,
    /// The fraction classified correctly.
    accuracy: Option<f64>,
}

#[derive(Serialize)]
struct FBeta {
    beta: f64,
    of_class: Vec<Option<f64>>,
}

/// The mean costs of a row.
#[derive(Serialize)]
struct Costs {
    /// Of the most probable class.
    mean_cost: Option<f64>,
    /// Of the class with the lowest expected cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_cost_of_cheapest: Option<f64>,
    /// The probability of the second class from which on it has the lowest expected cost, if the
    /// probabilities are right.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    /// The threshold that was the cheapest on these rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    best_threshold: Option<BestThreshold>,
}

/// Parses a number above 0.
fn positive(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number.filter(|number| number.is_finite() && *number > 0.0).ok_or_else(|| "expected a number above 0".to_owned())
}

/// Parses costs such as `0,1/5,0`.
fn costs(text: &str) -> Result<CostMatrix, String> {
    let number = |text: &str| {
        text.trim().parse().map_err(|_| format!("{text:?} is no number; expected rows of costs, as in 0,1/5,0"))
    };
    let rows: Result<Vec<Vec<f64>>, String> = text.split('/').map(|row| row.split(',').map(number).collect()).collect();
    CostMatrix::new(&rows?).map_err(|error| error.to_string())
}

/// The data of the evaluation.
#[derive(Serialize)]
struct AboutData {
    source: String,
    sha256: String,
    split: &'static str,
    /// Whether these are the files that the run was trained on. If so and `split` is `all`, the
    /// rows include its training rows.
    is_the_runs_own: bool,
    /// The number of rows that were left out because the model does not know their classes.
    left_out: usize,
    /// The number of these rows for each class.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    left_out_classes: BTreeMap<String, usize>,
    /// Files in the folder that are not used.
    #[serde(flatten)]
    unused: UnusedFiles,
}

/// The most misclassified images on the sheet of `--wrong`.
const MAX_WRONG: usize = 40;
/// The images in one row of the sheet.
const PER_ROW: usize = 8;
/// The most misclassified images that the text lists.
const MAX_LISTED: usize = 5;

/// Evaluates a model on labelled rows.
pub(crate) fn evaluate(options: &EvaluateOptions) -> Result<u8> {
    check_folder_exists(&options.run)?;
    let model = Model::read(&options.run)?;
    let mut log = |line: &str| {
        if !options.output.quiet {
            print_message(line);
        }
    };
    if options.wrong.is_some() && model.features().is_some() {
        bail!("--wrong: the model was trained on a table, which has no images; --json lists the misclassified lines");
    }
    if let (Some(weight), None) = (&options.weight, model.features()) {
        bail!("--weight {weight}: it names a column of a table, and the model was trained on images");
    }
    // Other data may lack the column.
    let of_run = model.run_records().and_then(|run| run.config.data().weight.clone());
    let weight = options.weight.clone().or(of_run.filter(|_| options.rows.data.source.is_none()));
    let file = options.wrong.as_ref().map(|path| destination(path, options.force, "--wrong")).transpose()?;
    let curves_file = options.curves.as_ref().map(|path| destination(path, options.force, "--curves")).transpose()?;
    let labelled = LabelledRows::find(&model, &options.rows, weight.clone(), &mut log)?;
    let LabelledRows { rows, left_out, is_table, source, split, is_the_runs_own } = &labelled;
    let noun = labelled.noun();
    if let Some(costs) = options.costs.as_ref().filter(|costs| costs.classes() != model.classes().len()) {
        bail!(
            "--costs: {} rows, but the model has {} classes: [{}]",
            costs.classes(),
            model.classes().len(),
            names(model.classes()).join(", ")
        );
    }
    let (tally, predicted) = tally(&model, rows)?;
    let scores = tally.scores().expect("a row at least");
    if predicted.is_none() {
        log(
            "note: the predictions take more than data.resident_bytes, so there is no AUC, Brier score or calibration of classes",
        );
    }
    if let Some(file) = curves_file {
        let Some(predicted) = &predicted else {
            bail!("--curves: the predictions of {} {noun}s take more than the run's data.resident_bytes", rows.len());
        };
        file.write(curves(predicted, model.classes(), &mut log)?.as_bytes())?;
    }
    // Without the predictions of all rows, only counts are known, and no row has a weight.
    let confusion =
        predicted.as_ref().map_or_else(|| Confusion::from_counts(&scores.confusion), PredictedRows::confusion);
    let weighted = weight.zip(predicted.as_ref()).map(|(column, predicted)| Weighted {
        column,
        loss: predicted.log_loss().map(|loss| loss.mean),
        accuracy: confusion.accuracy(),
    });
    // Tables were refused above.
    if let Some(file) = file {
        file.write(&draw_wrong_images(&model, rows, &scores)?)?;
    }
    let wrong = scores.most_confidently_wrong.iter().map(|wrong| wrong.row);
    let (images, lines, places) = match is_table {
        false => (Some(wrong.map(|row| rows.stored_index(row)).collect()), None, None),
        true => (
            None,
            Some(wrong.clone().filter_map(|row| rows.line(row)).collect()),
            Some(wrong.filter_map(|row| rows.place(row)).collect()),
        ),
    };
    let answer = Answer {
        run: model.folder.display().to_string(),
        model: model.link,
        data: AboutData {
            sha256: source.sha256(),
            source: source.name.clone(),
            split,
            is_the_runs_own: *is_the_runs_own,
            left_out: left_out.values().sum(),
            left_out_classes: left_out.clone(),
            unused: source.unused.clone(),
        },
        classes: model.classes(),
        scores: &scores,
        weighted,
        most_confidently_wrong_images: images,
        most_confidently_wrong_lines: lines,
        most_confidently_wrong_places: places,
        details: predicted.as_ref().map(PredictedRows::details),
        f_beta: options.beta.map(|beta| FBeta {
            beta,
            of_class: (0..confusion.classes()).map(|class| confusion.f_beta(class, beta)).collect(),
        }),
        costs: options.costs.as_ref().map(|costs| Costs {
            mean_cost: costs.mean_cost(&confusion),
            mean_cost_of_cheapest: predicted.as_ref().and_then(|rows| costs.mean_cost(&rows.confusion_by_costs(costs))),
            threshold: costs.threshold(),
            best_threshold: (costs.classes() == 2)
                .then(|| predicted.as_ref()?.ranking(1))
                .flatten()
                .map(|ranking| ranking.best_threshold(costs)),
        }),
    };
    if let Some(RunRecords { summary, config, .. }) = model.run_records() {
        if let (Some(weight), None) = (&config.data().weight, &answer.weighted) {
            log(&format!(
                "note: the training weighed each row by {weight:?} (data.weight); here each counts once, unless --weight names a column"
            ));
        }
        warnings(summary, config).iter().for_each(|warning| log(&format!("note: in its training, {warning}")));
    }
    if options.output.json {
        print_json(&answer)?;
    } else {
        describe(&answer, &labelled.describe(), model.name(), noun, options.more).print()?;
    }
    Ok(exit::SUCCESS)
}

/// Returns an empty tally.
fn empty_tally(model: &Model) -> Tally {
    let tally = Tally::new(model.predictor.n_classes(), MAX_WRONG);
    // Other data uses the class weights of the training, too.
    match model.run_records().and_then(|run| run.summary.class_weights.clone()) {
        Some(class_weights) => tally.with_class_weights(class_weights),
        None => tally,
    }
}

/// Predicts all rows and counts them. The predictions are kept if they fit in memory.
fn tally(model: &Model, rows: &Rows) -> Result<(Tally, Option<PredictedRows>)> {
    let mut tally = empty_tally(model);
    let mut kept = keep_predictions(model, rows);
    for_each_prediction(model, rows, kept.is_some(), |row, scored, log_odds| {
        let ScoredRow { label, predicted, confidence, cross_entropy } = *scored;
        tally.add(row, label, predicted, confidence, cross_entropy);
        if let Some(kept) = &mut kept {
            kept.add(label, predicted, cross_entropy, log_odds);
        }
    })?;
    if rows.weights()?.is_some() {
        kept = kept.map(|kept| kept.with_weights((0..rows.len()).map(|row| rows.weight(row)).collect()));
    }
    Ok((tally, kept))
}

/// Returns the points of both curves as CSV. Rows from `threshold` on are predicted as the class;
/// the first line of a class has no threshold and predicts no row. Precision is 1 there, as in
/// scikit-learn.
fn curves(predicted: &PredictedRows, classes: &[Class], log: &mut dyn FnMut(&str)) -> Result<String> {
    let header = "class,threshold,false_positive_rate,true_positive_rate,precision\n";
    let mut text = header.to_owned();
    for class in predicted.ranked_classes() {
        let name = csv_field(&classes[class].to_string());
        let Some(ranking) = predicted.ranking(class) else {
            log(&format!("note: --curves has none of {}, since all rows or no row are of it", classes[class]));
            continue;
        };
        // From the highest threshold to the lowest, as the ROC curve.
        for (roc, point) in ranking.roc().iter().zip(ranking.precision_recall().iter().rev()) {
            let threshold = roc.threshold.map(|threshold| threshold.to_string()).unwrap_or_default();
            let [false_positives, true_positives] = [roc.false_positive_rate, roc.true_positive_rate];
            text += &format!("{name},{threshold},{false_positives},{true_positives},{}\n", point.precision);
        }
    }
    if text == header {
        bail!("--curves: a curve needs rows of a class and rows of others, and all rows are of one class");
    }
    Ok(text)
}

/// Draws the most confidently wrong images.
fn draw_wrong_images(model: &Model, rows: &Rows, scores: &Scores) -> Result<Vec<u8>> {
    let (classes, mut buffer) = (model.classes(), RowBuffer::default());
    let mut tiles = Vec::new();
    for &Misclassified { row, label, predicted, confidence } in &scores.most_confidently_wrong {
        let Features::Bytes(pixels) = rows.chunk(std::iter::once(row), &mut buffer)? else { continue };
        let caption = [
            format!("{}, predicted {}", classes[label], classes[predicted]),
            format!("{:.2} %, no. {}", 100.0 * confidence, rows.stored_index(row)),
        ];
        tiles.push(Tile::grey(pixels, caption));
    }
    let title = format!(
        "The {} most confident of {} mistakes on {} images",
        tiles.len(),
        scores.rows - scores.right,
        scores.rows
    );
    Ok(contact_sheet(&title, &tiles, model.image_size(), PER_ROW))
}

/// Formats the result for a person.
fn describe(answer: &Answer, rows: &str, kind: &str, noun: &str, has_more: bool) -> Lines {
    let Answer { data, scores, classes, .. } = answer;
    let percent = |fraction: f64| format!("{:.2} %", 100.0 * fraction);
    let or_dash = |fraction: Option<f64>| fraction.map_or_else(|| "-".to_owned(), percent);
    let nouns = format!("{noun}s");
    let mut lines = Lines::default();

    let [low, high] = scores.accuracy_interval.map(percent);
    lines.empty_line();
    lines.add(format!("{:<14} {}: {kind}", "model", answer.run));
    lines.add(format!("{:<14} {rows}", "data"));
    if data.left_out > 0 {
        let left_out = pluralize(data.left_out, noun);
        lines.add(format!("{:<14} {left_out} of other classes: {}", "left out", list_classes(&data.left_out_classes)));
    }
    lines.add(format!("{:<14} {:.6}", "cross-entropy", scores.loss));
    if let Some(loss) = scores.weighted_loss {
        lines.add(format!("{:<14} {loss:.6}, with the run's class weights", "weighted loss"));
    }
    if let Some(Weighted { column, loss: Some(loss), accuracy: Some(accuracy) }) = &answer.weighted {
        lines.add(format!(
            "{:<14} {loss:.6}, accuracy {}, by the weights in {column:?}, as are AUC, F-beta, costs and --more",
            "weighted",
            percent(*accuracy)
        ));
    }
    lines.add(format!("{:<14} {}, {} correct", "accuracy", percent(scores.accuracy), scores.right));
    lines.add(format!("{:<14} {low} to {high}, 95 % confidence (Wilson)", ""));
    lines.add(format!("{:<14} {} expected error", "calibration", percent(scores.expected_calibration_error)));

    if let Some(auc) = answer.details.as_ref().and_then(|details| details.auc) {
        let of = if classes.len() == 2 {
            format!("of {}", classes[1])
        } else {
            "mean of each class against the others".to_owned()
        };
        lines.add(format!("{:<14} {:.4}{}, {of}", "AUC", auc.area, within(auc.interval)));
    }
    if has_more {
        answer.details.iter().for_each(|details| describe_details(details, &mut lines));
    }
    if let Some(FBeta { beta, of_class }) = &answer.f_beta {
        let of_class = classes.iter().zip(of_class).map(|(class, f)| format!("{class} {}", or_dash(*f)));
        lines.add(format!("{:<14} {}", format!("F-{beta}"), of_class.collect::<Vec<_>>().join(", ")));
    }
    if let Some(costs) = &answer.costs {
        describe_costs(costs, classes, &mut lines);
    }

    // The column of names has the same width in all of these tables.
    let longest = names(classes).iter().map(|name| display_width(name)).max().unwrap_or_default();
    let first = longest.max(14);
    lines.empty_line();
    lines.add(format!("{:>first$} {:>10} {:>10} {:>10} {:>10}", "class", "precision", "recall", "F1", nouns));
    for (class, class_scores) in classes.iter().zip(&scores.per_class) {
        let [precision, recall, f1] = [class_scores.precision, class_scores.recall, class_scores.f1].map(or_dash);
        let class = align_right(class, first);
        lines.add(format!("{class} {precision:>10} {recall:>10} {f1:>10} {:>10}", class_scores.rows));
    }

    let columns = scores.rows.to_string().len().max(longest).max(3) + 1;
    let cells = |cells: Vec<String>| cells.iter().map(|cell| align_right(cell, columns)).collect::<String>();
    lines.empty_line();
    lines.add(format!(
        "{} {}",
        align_right("predicted as", first),
        cells(classes.iter().map(ToString::to_string).collect())
    ));
    for (class, counts) in classes.iter().zip(&scores.confusion) {
        let counts = counts.iter().map(|&count| if count == 0 { ".".to_owned() } else { count.to_string() });
        lines.add(format!("{} {}", align_right(class, first), cells(counts.collect())));
    }

    lines.empty_line();
    lines.add(format!("{:>first$} {:>10} {:>10} {:>10}", "confidence", "mean", "accuracy", nouns));
    for bin in scores.reliability.iter().filter(|bin| bin.rows > 0) {
        let range = format!("{:.0} to {:.0} %", 100.0 * bin.above, 100.0 * bin.up_to);
        lines.add(format!(
            "{range:>first$} {:>10} {:>10} {:>10}",
            or_dash(bin.confidence),
            or_dash(bin.accuracy),
            bin.rows
        ));
    }

    if has_more {
        answer.details.iter().for_each(|details| describe_classes(details, classes, first, &nouns, &mut lines));
    }

    let images = answer.most_confidently_wrong_images.iter().flatten().map(|image| format!("image {image} shows"));
    let rows_of_table = answer.most_confidently_wrong_places.iter().flatten().map(|place| format!("{place} is"));
    for (i, (wrong, which)) in
        scores.most_confidently_wrong.iter().zip(images.chain(rows_of_table)).take(MAX_LISTED).enumerate()
    {
        if i == 0 {
            lines.empty_line();
        }
        let name = if i == 0 { "most confidently wrong: " } else { "" };
        lines.add(format!(
            "{name}{which} {}, predicted as {} at {}",
            classes[wrong.label],
            classes[wrong.predicted],
            percent(wrong.confidence)
        ));
    }
    lines
}

/// Formats a confidence interval, if there is one.
fn within(interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(String::new, |[low, high]| format!(", {low:.4} to {high:.4} with 95 % confidence (DeLong)"))
}

/// Formats a number with four decimals, or a dash.
fn four(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.4}"))
}

/// Adds the metrics of `--more` that are single numbers.
fn describe_details(details: &Details, lines: &mut Lines) {
    let error = |mean: Option<Mean>| {
        let error = mean.and_then(|mean| mean.standard_error).map(|error| format!(", standard error {error:.6}"));
        mean.map_or_else(|| "-".to_owned(), |mean| format!("{:.6}{}", mean.mean, error.unwrap_or_default()))
    };
    lines.add(format!("{:<14} {}", "log loss", error(details.log_loss)));
    lines.add(format!("{:<14} {}", "Brier score", error(details.brier_score)));
    lines.add(format!(
        "{:<14} {}",
        "balanced",
        details
            .balanced_accuracy
            .map_or_else(|| "-".to_owned(), |x| format!("{:.2} % accuracy, the mean recall", 100.0 * x))
    ));
    lines.add(format!("{:<14} {}", "Matthews", four(details.matthews)));
    lines.add(format!("{:<14} {}", "avg. precision", four(details.average_precision)));
}

/// Adds the mean costs.
fn describe_costs(costs: &Costs, classes: &[Class], lines: &mut Lines) {
    let mean = |cost: Option<f64>| format!("{} per row", four(cost));
    lines.add(format!("{:<14} {} for the most probable class", "cost", mean(costs.mean_cost)));
    lines.add(format!("{:<14} {} for the lowest expected cost", "", mean(costs.mean_cost_of_cheapest)));
    if let Some(threshold) = costs.threshold {
        lines.add(format!("{:<14} {} from a probability of {threshold:.4} on", "", classes[1]));
    }
    if let Some(best) = &costs.best_threshold {
        let from = best.threshold.map_or_else(|| "never".to_owned(), |threshold| format!("from {threshold:.4} on"));
        let cost = mean(Some(best.mean_cost));
        lines.add(format!("{:<14} best on these rows: {} {from}, {cost}; too good for new rows", "", classes[1]));
    }
}

/// Adds the metrics of `--more` of each class.
fn describe_classes(details: &Details, classes: &[Class], first: usize, nouns: &str, lines: &mut Lines) {
    lines.empty_line();
    lines.add(format!("{:>first$} {:>10} {:>21} {:>14}", "against others", "AUC", "95 % (DeLong)", "avg. precision"));
    for (class, of_class) in classes.iter().zip(&details.one_vs_rest) {
        let interval = of_class.auc.and_then(|auc| auc.interval);
        let interval = interval.map_or_else(|| "-".to_owned(), |[low, high]| format!("{low:.4} to {high:.4}"));
        let (area, precision) = (four(of_class.auc.map(|auc| auc.area)), four(of_class.average_precision));
        lines.add(format!("{} {area:>10} {interval:>21} {precision:>14}", align_right(class, first)));
    }
    // Of two classes, the other one's are the same, reversed.
    let shown = if classes.len() == 2 { 1 } else { 0 };
    for (class, of_class) in classes.iter().zip(&details.one_vs_rest).skip(shown) {
        lines.empty_line();
        lines.add(format!(
            "{} {:>10} {:>10} {:>21} {:>10}",
            align_right(format!("p of {class}"), first),
            "mean",
            "is so",
            "95 % (Wilson)",
            nouns
        ));
        for bin in &of_class.calibration {
            let range = format!("{:.0} to {:.0} %", 100.0 * bin.above, 100.0 * bin.up_to);
            let [low, high] = bin.interval.map(|x| 100.0 * x);
            lines.add(format!(
                "{range:>first$} {:>8.2} % {:>8.2} % {:>21} {:>10}",
                100.0 * bin.probability,
                100.0 * bin.fraction,
                format!("{low:.2} to {high:.2} %"),
                bin.rows
            ));
        }
        lines.empty_line();
        lines.add(format!("{} {:>10} {:>10}", align_right(format!("top {nouns}"), first), "gain", "lift"));
        for gain in &of_class.gains {
            let selected = format!("{:.0} %", 100.0 * gain.selected);
            lines.add(format!("{selected:>first$} {:>8.2} % {:>10.2}", 100.0 * gain.captured, gain.lift));
        }
    }
}
