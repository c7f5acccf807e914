//! `chainrule evaluate`: measures a model on labelled data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use chainrule::machine::all_threads;
use chainrule_core::{
    Class, DataConfig, FeatureKind, Features, LinkKind, UnusedFiles, align_right, display_width, pluralize,
};
use chainrule_data::readers;
use chainrule_data::{
    DIGITS, Data, DataError, Holdout, PictureRequest, Prefetcher, Provenance, RecipeSource, Request, RowBuffer, Rows,
    Split, TableRequest, TableSplit, Tables, Unseen, digits_to_draw, find_tables, find_with, holdout, names,
    resolve_source, unused_message,
};
use chainrule_evaluate::{Misclassified, Scores, Tally};
use chainrule_report::{Tile, contact_sheet};
use chainrule_solve::{Predictions, RowPrediction, RowsError, Score};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::destination::destination;
use crate::exit;
use crate::missing::check_folder_exists;
use crate::model::{Model, Origin as ModelOrigin, RunRecords};
use crate::options::{DataSource, OutputOptions, TextArgs};
use crate::output::{Lines, print_json, print_message};
use crate::table::warnings;

#[derive(Args, Debug)]
pub(crate) struct EvaluateOptions {
    /// Folder of a finished run or of an imported model.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[command(flatten)]
    data: DataSource,
    /// Label column of a table [default: the run's].
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    #[command(flatten)]
    text: TextArgs,
    /// Split to evaluate on.
    #[arg(long, value_enum, default_value = "validation")]
    split: SplitOption,
    /// Skip rows of classes that the model does not know, and report their number. Without this
    /// option they are an error, unless the run itself selected classes with data.classes.
    #[arg(long)]
    known_classes_only: bool,
    /// Write the most confidently misclassified images, at most 40, to this PNG file.
    #[arg(long, value_name = "FILE.png")]
    wrong: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long, requires = "wrong")]
    force: bool,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SplitOption {
    /// The training data.
    Train,
    /// The validation data.
    Validation,
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

/// Means no split: training and validation rows together.
const ALL: &str = "all";

/// The most misclassified images on the sheet of `--wrong`.
const MAX_WRONG: usize = 40;
/// The images in one row of the sheet.
const PER_ROW: usize = 8;
/// The most misclassified images, and the most unknown classes, that the text lists.
const MAX_LISTED: usize = 5;

/// The rows whose classes the model knows.
struct LabelledRows {
    rows: Rows,
    /// The number of rows of each other class.
    left_out: BTreeMap<String, usize>,
    /// Whether the rows are those of a table, and not images.
    is_table: bool,
}

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
    let file = options.wrong.as_ref().map(|path| destination(path, options.force, "--wrong")).transpose()?;
    let data_option = options.data.source.as_ref();
    // Data without a validation part: the run held out some rows. With `--data`, all rows are used.
    let (labelled, source, uses_all_rows) = match model.features() {
        None => {
            let data = find_images(&model, options.data.source.as_deref(), &mut log)?;
            unused_message(&data.unused, data.pictures.is_some())
                .iter()
                .for_each(|message| log(&format!("note: {message}")));
            let (rows, left_out) = select_rows(&model, &data, options)?;
            let uses_all_rows =
                data_option.is_some() && data.pictures.as_ref().is_some_and(|pictures| !pictures.has_parts);
            (LabelledRows { rows, left_out, is_table: false }, Provenance::of_images(&data), uses_all_rows)
        }
        Some(_) => {
            let tables = find_table(&model, options)?;
            unused_message(&tables.unused, false).iter().for_each(|message| log(&format!("note: {message}")));
            tables.notes_on_files().iter().for_each(|note| log(&format!("note: {note}")));
            let source = Provenance::of_tables(&tables);
            let [train, validation] = tables.parts;
            let part = match options.split {
                SplitOption::Train => train,
                SplitOption::Validation => validation,
            };
            // Without held-out rows the run was validated on its training rows, which are all rows.
            let uses_all_rows =
                tables.is_validated_on_training || data_option.is_some_and(|path| Path::new(path).is_file());
            let TableSplit { rows, left_out, unlabelled, unseen } = Arc::unwrap_or_clone(part);
            if unlabelled > 0 {
                log(&format!("note: {} without a label left out", pluralize(unlabelled, "row")));
            }
            unseen.iter().filter_map(Unseen::message).for_each(|message| log(&format!("note: {message}")));
            (LabelledRows { rows, left_out, is_table: true }, source, uses_all_rows)
        }
    };
    let is_the_runs_own = model.run_records().is_some_and(|run| source.files == run.manifest.data_files);
    if let (false, Some(RunRecords { manifest, .. })) = (is_the_runs_own, model.run_records()) {
        let other = &manifest.data_source;
        log(&format!("note: this is not the data of the run; the run used {other} with other checksums"));
    }
    let noun = labelled.noun();
    if is_the_runs_own && uses_all_rows {
        let advice = match data_option {
            Some(_) => format!("; without --data, only its validation {noun}s are used"),
            None => String::new(),
        };
        log(&format!("note: this data includes the {noun}s that the run was trained on{advice}"));
    }
    let LabelledRows { rows, left_out, is_table } = &labelled;
    let count: usize = left_out.values().sum();
    let may_leave_out = options.known_classes_only || has_chosen_classes(&model);
    if count > 0 && !rows.is_empty() && !may_leave_out {
        bail!(
            "{}: {count} of {} {noun}s have classes that the model does not know: {}; its classes are [{}]; --known-classes-only skips these {noun}s",
            source.name,
            count + rows.len(),
            list_classes(left_out),
            names(model.classes()).join(", ")
        );
    }
    let Some(scores) = tally(&model, rows)?.scores() else {
        bail!("{}: no {noun} of the model's classes [{}]", source.name, names(model.classes()).join(", "));
    };
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
            source: source.name,
            split: match options.split {
                _ if uses_all_rows => ALL,
                SplitOption::Train => "training",
                SplitOption::Validation => "validation",
            },
            is_the_runs_own,
            left_out: count,
            left_out_classes: left_out.clone(),
            unused: source.unused.clone(),
        },
        classes: model.classes(),
        scores: &scores,
        most_confidently_wrong_images: images,
        most_confidently_wrong_lines: lines,
        most_confidently_wrong_places: places,
    };
    if let Some(RunRecords { summary, config, .. }) = model.run_records() {
        if let Some(weight) = &config.data().weight {
            log(&format!("note: the training weighed each row by {weight:?} (data.weight); here each counts once"));
        }
        warnings(summary, config).iter().for_each(|warning| log(&format!("note: in its training, {warning}")));
    }
    if options.output.json {
        print_json(&answer)?;
    } else {
        describe(&answer, model.name(), noun).print()?;
    }
    Ok(exit::SUCCESS)
}

/// Finds the data named on the command line, else the run's own.
fn find_images(model: &Model, data_option: Option<&str>, log: &mut dyn FnMut(&str)) -> Result<Data> {
    let pictures = PictureRequest {
        size: model.image_size(),
        mode: model.picture_mode(),
        holdout: run_holdout(model, data_option),
    };
    let digits = model.run_records().map_or(DIGITS, |run| digits_to_draw(&run.config));
    let result = find_with(&request(model, data_option)?, digits, pictures, resident_bytes(model), log);
    let data = match data_option {
        Some(_) => result?,
        None => result.map_err(run_data_error)?,
    };
    let ((height, width), [rows, columns]) = (data.train.size(), model.image_size());
    if [height, width] != [rows, columns] {
        bail!("{}: images of {height} x {width} pixels, but the model takes {rows} x {columns}", data.origin);
    }
    Ok(data)
}

/// Like [`find_images`] for a table. Columns are matched by name.
fn find_table(model: &Model, options: &EvaluateOptions) -> Result<Tables> {
    let (data_option, label) = (options.data.source.as_deref(), options.label.as_deref());
    let label = label.map(str::to_owned).or_else(|| model.run_records()?.config.data().label.clone());
    if let (None, ModelOrigin::Imported(imported)) = (&label, &model.origin) {
        bail!("{}: the model {}; name the label column with --label", model.folder.display(), imported.origin());
    }
    let table_request = TableRequest {
        label,
        ignored: Vec::new(),
        group: model.run_records().filter(|_| data_option.is_none()).and_then(|run| run.config.data().group.clone()),
        // The scores count each row once.
        weight: None,
        text: options.text.or(model.text_options()),
        recipe: RecipeSource::Model(model.schema.recipe_of_columns()),
        classes: Some(names(model.classes())),
        holdout: run_holdout(model, data_option),
        resident_bytes: resident_bytes(model),
        scratch: Some(chainrule_data::scratch_folder()),
    };
    let request = request(model, data_option)?;
    let result = find_tables(&request, &table_request);
    // A column named by an option is looked up in any data.
    let result = match (data_option, &options.label) {
        (None, None) => result.map_err(run_data_error)?,
        _ => result?,
    };
    match result {
        Some(tables) => Ok(tables),
        None => bail!(
            "{}: expected a {} file or a folder with {}, because the model was trained on a table",
            match (data_option, model.run_records()) {
                (Some(path), _) => path,
                (None, Some(run)) => run.config.data().source.as_str(),
                (None, None) => "the data",
            },
            readers::names(readers::TABLES, "or"),
            readers::train_tables()
        ),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn run_data_error(error: DataError) -> anyhow::Error {
    anyhow!("{error}; this is the data of the run; name other data with --data")
}

fn request(model: &Model, data_option: Option<&str>) -> Result<Request> {
    match (data_option, &model.origin) {
        (Some(data_option), _) => Ok(Request::from(data_option)),
        (None, ModelOrigin::Run(run)) => Ok(resolve_source(&run.config.data().source, &run.manifest.data_source)),
        (None, ModelOrigin::Imported(imported)) => bail!(
            "{}: the model {}, so its data is unknown; name data with --data",
            model.folder.display(),
            imported.origin()
        ),
    }
}

/// Returns the run's holdout for its own data. Other data is used whole.
fn run_holdout(model: &Model, data_option: Option<&str>) -> Option<Holdout> {
    model.run_records().filter(|_| data_option.is_none()).and_then(|run| holdout(&run.config))
}

fn resident_bytes(model: &Model) -> u64 {
    model.run_records().map_or_else(|| DataConfig::default().resident_bytes, |run| run.config.data().resident_bytes)
}

/// Whether the run's config left out rows of other classes. If so, such rows are left out without
/// an error. A config that names all classes of its table, as the defaults do, leaves out none.
fn has_chosen_classes(model: &Model) -> bool {
    model.run_records().is_some_and(|run| match run.summary.data.rows_of_other_classes {
        Some(rows) => rows > 0,
        None => run.config.data().classes.is_some(),
    })
}

/// Lists a few classes with their numbers of rows.
fn list_classes(classes: &BTreeMap<String, usize>) -> String {
    let shown: Vec<String> = classes.iter().take(MAX_LISTED).map(|(class, rows)| format!("{class} ({rows})")).collect();
    let more = classes.len() - shown.len();
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// Returns the split of the run's own data, or all rows of other data, and the number of rows of
/// each other class.
fn select_rows(
    model: &Model,
    data: &Data,
    options: &EvaluateOptions,
) -> Result<(Rows, BTreeMap<String, usize>), DataError> {
    let config = model.run_records().map(|run| run.config.data());
    let (part, max_rows_of_run) = match options.split {
        SplitOption::Train => (Split::Train, config.and_then(|config| config.train_images)),
        SplitOption::Validation => (Split::Validation, config.and_then(|config| config.validation_images)),
    };
    let max_rows = max_rows_of_run.filter(|_| options.data.source.is_none() && data.pictures.is_none());
    let classes: Vec<Option<u8>> = model.classes().iter().map(|class| data.label_of(&class.to_string())).collect();
    let rows = data.rows(part, max_rows, &classes)?;
    let labels = data.images(part).labels();
    let count = max_rows.unwrap_or(labels.len());
    let labels = match part {
        Split::Train => &labels[..count],
        Split::Validation => &labels[labels.len() - count..],
    };
    let mut left_out = BTreeMap::new();
    for &label in labels.iter().filter(|label| !classes.contains(&Some(**label))) {
        *left_out.entry(label).or_default() += 1;
    }
    Ok((rows, left_out.into_iter().map(|(label, rows)| (data.class_name(label), rows)).collect()))
}

/// The number of bytes of images, or of logits of a table's rows, that a thread computes at once.
const CHUNK: usize = 1 << 19;
/// The largest number of a table's rows that a thread evaluates at once.
const MAX_ROWS_OF_TABLE: usize = 1 << 13;

impl LabelledRows {
    fn noun(&self) -> &'static str {
        if self.is_table { "row" } else { "image" }
    }
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

/// A row's label, predicted class, probability of that class, and cross-entropy.
type ScoredRow = (usize, usize, f64, f64);

/// Predicts all rows chunk by chunk on all processors and counts them in order.
fn tally(model: &Model, rows: &Rows) -> Result<Tally> {
    let predictor = Arc::new(model.predictor.clone());
    let rows_per_chunk = match rows.kind() {
        FeatureKind::Bytes => (CHUNK / predictor.n_features()).max(1),
        // The features of a table are computed block by block.
        FeatureKind::Numbers => (CHUNK / predictor.n_classes()).clamp(1, MAX_ROWS_OF_TABLE),
    };
    let make_worker = || {
        let (rows, predictor, mut predictions) = (rows.clone(), Arc::clone(&predictor), Predictions::default());
        move |i: usize| -> Result<Vec<ScoredRow>> {
            let range = i * rows_per_chunk..((i + 1) * rows_per_chunk).min(rows.len());
            let mut of_rows = predictor.of_rows(&rows).expect("rows of the model's own size");
            of_rows.predict(range.clone(), &mut predictions).map_err(|error| match error {
                RowsError::Data(error) => anyhow::Error::from(error),
                RowsError::Row(error) => error.into(),
            })?;
            let score = |(row, prediction): (usize, RowPrediction)| {
                let label = rows.label(row).into();
                let Score { confidence, cross_entropy } = prediction.score(label);
                (label, prediction.class, confidence, cross_entropy)
            };
            Ok(range.zip(predictions.iter()).map(score).collect())
        }
    };
    let mut tally = empty_tally(model);
    let chunks = Prefetcher::new(rows.len().div_ceil(rows_per_chunk), all_threads().get(), make_worker)
        .map_err(|problem| DataError::Thread { problem })?;
    let mut row = 0;
    for chunk in chunks {
        for (label, predicted, confidence, cross_entropy) in chunk? {
            tally.add(row, label, predicted, confidence, cross_entropy);
            row += 1;
        }
    }
    Ok(tally)
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
fn describe(answer: &Answer, kind: &str, noun: &str) -> Lines {
    let Answer { data, scores, classes, .. } = answer;
    let percent = |fraction: f64| format!("{:.2} %", 100.0 * fraction);
    let or_dash = |fraction: Option<f64>| fraction.map_or_else(|| "-".to_owned(), percent);
    let nouns = format!("{noun}s");
    let mut lines = Lines::default();

    let (split, n) = (data.split, scores.rows);
    let rows = if split == ALL { format!("all {n} {noun}s") } else { format!("{n} {split} {noun}s") };
    let relation = match (data.is_the_runs_own, split) {
        (true, ALL) => "the run's own data with its training rows",
        (true, _) => "the run's own data",
        (false, _) => "not the run's own data",
    };
    let [low, high] = scores.accuracy_interval.map(percent);
    lines.empty_line();
    lines.add(format!("{:<14} {}: {kind}", "model", answer.run));
    lines.add(format!("{:<14} {}, {rows}, {relation}", "data", data.source));
    if data.left_out > 0 {
        let left_out = pluralize(data.left_out, noun);
        lines.add(format!("{:<14} {left_out} of other classes: {}", "left out", list_classes(&data.left_out_classes)));
    }
    lines.add(format!("{:<14} {:.6}", "cross-entropy", scores.loss));
    if let Some(loss) = scores.weighted_loss {
        lines.add(format!("{:<14} {loss:.6}, with the run's class weights", "weighted loss"));
    }
    lines.add(format!("{:<14} {}, {} correct", "accuracy", percent(scores.accuracy), scores.right));
    lines.add(format!("{:<14} {low} to {high}, 95 % confidence (Wilson)", ""));
    lines.add(format!("{:<14} {} expected error", "calibration", percent(scores.expected_calibration_error)));

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
