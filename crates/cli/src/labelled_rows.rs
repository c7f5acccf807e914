//! Labelled rows to measure a model on: the run's own, or those of another data set.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use chainrule::machine::all_threads;
use chainrule_core::{DataConfig, FeatureKind, TextOptions, pluralize};
use chainrule_data::readers;
use chainrule_data::{
    DIGITS, Data, DataError, Holdout, PictureRequest, Prefetcher, Provenance, RecipeSource, Request, Rows, Split,
    TableRequest, TableSplit, Tables, Unseen, digits_to_draw, find_tables, find_with, holdout, names, resolve_source,
    unused_message,
};
use chainrule_evaluate::{PredictedRows, log_odds};
use chainrule_solve::{Predictions, RowPrediction, RowsError, Score};
use clap::{Args, ValueEnum};

use crate::model::{Model, Origin as ModelOrigin, RunRecords};
use crate::options::{DataSource, TextArgs};

/// Options that select the rows.
#[derive(Args, Debug)]
pub(crate) struct RowOptions {
    #[command(flatten)]
    pub(crate) data: DataSource,
    /// Label column of a table [default: the run's].
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    #[command(flatten)]
    pub(crate) text: TextArgs,
    /// Split to evaluate on.
    #[arg(long, value_enum, default_value = "validation")]
    pub(crate) split: SplitOption,
    /// Skip rows of classes that the model does not know, and report their number. Without this
    /// option they are an error, unless the run itself selected classes with data.classes.
    #[arg(long)]
    pub(crate) known_classes_only: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SplitOption {
    /// The training data.
    Train,
    /// The validation data.
    Validation,
}

/// Means no split: training and validation rows together.
pub(crate) const ALL: &str = "all";

/// The most unknown classes that a message lists.
const MAX_LISTED: usize = 5;

/// The rows whose classes the model knows.
pub(crate) struct LabelledRows {
    pub(crate) rows: Rows,
    /// The number of rows of each other class.
    pub(crate) left_out: BTreeMap<String, usize>,
    /// Whether the rows are those of a table, and not images.
    pub(crate) is_table: bool,
    pub(crate) source: Provenance,
    /// The split, or [`ALL`].
    pub(crate) split: &'static str,
    /// Whether these are the files that the run was trained on.
    pub(crate) is_the_runs_own: bool,
}

impl LabelledRows {
    /// Finds the rows that the options select for a model. `weight` names a column of a table with
    /// the weight of each row.
    pub(crate) fn find(
        model: &Model,
        options: &RowOptions,
        weight: Option<String>,
        log: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let data_option = options.data.source.as_ref();
        // Data without a validation part: the run held out some rows. With `--data`, all rows are
        // used.
        let (rows, left_out, source, uses_all_rows) = match model.features() {
            None => {
                let data = find_images(model, options.data.source.as_deref(), log)?;
                unused_message(&data.unused, data.pictures.is_some())
                    .iter()
                    .for_each(|message| log(&format!("note: {message}")));
                let (rows, left_out) = select_rows(model, &data, options)?;
                let uses_all_rows =
                    data_option.is_some() && data.pictures.as_ref().is_some_and(|pictures| !pictures.has_parts);
                (rows, left_out, Provenance::of_images(&data), uses_all_rows)
            }
            Some(_) => {
                let (data, label) = (options.data.source.as_deref(), options.label.as_deref());
                let tables = find_table(model, data, label, options.text.or(model.text_options()), weight)?;
                unused_message(&tables.unused, false).iter().for_each(|message| log(&format!("note: {message}")));
                tables.notes_on_files().iter().for_each(|note| log(&format!("note: {note}")));
                let source = Provenance::of_tables(&tables);
                let [train, validation] = tables.parts;
                let part = match options.split {
                    SplitOption::Train => train,
                    SplitOption::Validation => validation,
                };
                // Without held-out rows the run was validated on its training rows, which are all
                // rows.
                let uses_all_rows =
                    tables.is_validated_on_training || data_option.is_some_and(|path| !Path::new(path).is_dir());
                let TableSplit { rows, left_out, unlabelled, unseen, .. } = Arc::unwrap_or_clone(part);
                if unlabelled > 0 {
                    log(&format!("note: {} without a label left out", pluralize(unlabelled, "row")));
                }
                unseen.iter().filter_map(Unseen::message).for_each(|message| log(&format!("note: {message}")));
                (rows, left_out, source, uses_all_rows)
            }
        };
        let is_the_runs_own = model.run_records().is_some_and(|run| source.files == run.manifest.data_files);
        if let (false, Some(RunRecords { manifest, .. })) = (is_the_runs_own, model.run_records()) {
            let other = &manifest.data_source;
            log(&format!("note: this is not the data of the run; the run used {other} with other checksums"));
        }
        let is_table = model.features().is_some();
        let noun = noun(is_table);
        if is_the_runs_own && uses_all_rows {
            let advice = match data_option {
                Some(_) => format!("; without --data, only its validation {noun}s are used"),
                None => String::new(),
            };
            log(&format!("note: this data includes the {noun}s that the run was trained on{advice}"));
        }
        let count: usize = left_out.values().sum();
        let may_leave_out = options.known_classes_only || has_chosen_classes(model);
        if count > 0 && !rows.is_empty() && !may_leave_out {
            bail!(
                "{}: {count} of {} {noun}s have classes that the model does not know: {}; its classes are [{}]; --known-classes-only skips these {noun}s",
                source.name,
                count + rows.len(),
                list_classes(&left_out),
                names(model.classes()).join(", ")
            );
        }
        if rows.is_empty() {
            bail!("{}: no {noun} of the model's classes [{}]", source.name, names(model.classes()).join(", "));
        }
        let split = match options.split {
            _ if uses_all_rows => ALL,
            SplitOption::Train => "training",
            SplitOption::Validation => "validation",
        };
        Ok(Self { rows, left_out, is_table, source, split, is_the_runs_own })
    }

    pub(crate) fn noun(&self) -> &'static str {
        noun(self.is_table)
    }

    /// Describes the data for a person.
    pub(crate) fn describe(&self) -> String {
        let (n, noun) = (self.rows.len(), self.noun());
        let rows = if self.split == ALL {
            format!("all {}", pluralize(n, noun))
        } else {
            format!("{n} {} {noun}s", self.split)
        };
        let relation = match (self.is_the_runs_own, self.split) {
            (true, ALL) => "the run's own data with its training rows",
            (true, _) => "the run's own data",
            (false, _) => "not the run's own data",
        };
        format!("{}, {rows}, {relation}", self.source.name)
    }
}

fn noun(is_table: bool) -> &'static str {
    if is_table { "row" } else { "image" }
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

/// The rows that a model was trained on.
pub(crate) struct TrainingRows {
    /// With the weights of the training.
    pub(crate) rows: Rows,
    /// The group of each row, if the training has groups.
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) source: String,
}

/// Finds the rows of a table that a model was trained on.
pub(crate) fn find_training_rows(model: &Model, run: &RunRecords) -> Result<TrainingRows> {
    let weight = run.config.data().weight.clone();
    let tables = find_table(model, None, None, model.text_options(), weight)?;
    let source = Provenance::of_tables(&tables);
    if source.files != run.manifest.data_files {
        bail!(
            "{}: this is no longer the data that {} was trained on; train again",
            source.name,
            model.folder.display()
        );
    }
    let [train, _] = tables.parts;
    let TableSplit { rows, groups, .. } = Arc::unwrap_or_clone(train);
    Ok(TrainingRows { rows, groups, source: source.name })
}

/// Like [`find_images`] for a table. Columns are matched by name.
fn find_table(
    model: &Model,
    data_option: Option<&str>,
    label_option: Option<&str>,
    text: TextOptions,
    weight: Option<String>,
) -> Result<Tables> {
    let request = request(model, data_option);
    let default_label = || request.as_ref().ok()?.default_label().map(str::to_owned);
    let label = label_option.map(str::to_owned).or_else(|| model.run_records()?.config.data().label.clone());
    let label = label.or_else(default_label);
    if let (None, ModelOrigin::Imported(imported)) = (&label, &model.origin) {
        bail!("{}: the model {}; name the label column with --label", model.folder.display(), imported.origin());
    }
    let table_request = TableRequest {
        label,
        ignored: Vec::new(),
        group: model.run_records().filter(|_| data_option.is_none()).and_then(|run| run.config.data().group.clone()),
        weight,
        text,
        recipe: RecipeSource::Model(model.schema.recipe_of_columns()),
        classes: Some(names(model.classes())),
        holdout: run_holdout(model, data_option),
        resident_bytes: resident_bytes(model),
        scratch: Some(chainrule_data::scratch_folder()),
    };
    let result = find_tables(&request?, &table_request);
    // A column named by an option is looked up in any data.
    let result = match (data_option, label_option) {
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
pub(crate) fn list_classes(classes: &BTreeMap<String, usize>) -> String {
    let shown: Vec<String> = classes.iter().take(MAX_LISTED).map(|(class, rows)| format!("{class} ({rows})")).collect();
    let more = classes.len() - shown.len();
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// Returns the split of the run's own data, or all rows of other data, and the number of rows of
/// each other class.
fn select_rows(model: &Model, data: &Data, options: &RowOptions) -> Result<(Rows, BTreeMap<String, usize>), DataError> {
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

/// A row with its prediction.
pub(crate) struct ScoredRow {
    pub(crate) label: usize,
    pub(crate) predicted: usize,
    /// The probability of the predicted class.
    pub(crate) confidence: f64,
    pub(crate) cross_entropy: f64,
}

/// Returns a place for the predictions of all rows, unless they take more memory than the run's
/// `data.resident_bytes`.
pub(crate) fn keep_predictions(model: &Model, rows: &Rows) -> Option<PredictedRows> {
    let classes = model.predictor.n_classes();
    (PredictedRows::bytes(classes, rows.len()) <= resident_bytes(model)).then(|| PredictedRows::new(classes))
}

/// Predicts all rows chunk by chunk on all processors, and visits them in order, with the log odds
/// of each class, `[k]`, if these are needed.
pub(crate) fn for_each_prediction(
    model: &Model,
    rows: &Rows,
    needs_log_odds: bool,
    mut visit: impl FnMut(usize, &ScoredRow, &[f64]),
) -> Result<()> {
    let predictor = Arc::new(model.predictor.clone());
    let k = predictor.n_classes();
    let rows_per_chunk = match rows.kind() {
        FeatureKind::Bytes => (CHUNK / predictor.n_features()).max(1),
        // The features of a table are computed block by block.
        FeatureKind::Numbers => (CHUNK / k).clamp(1, MAX_ROWS_OF_TABLE),
    };
    let make_worker = || {
        let (rows, predictor, mut predictions) = (rows.clone(), Arc::clone(&predictor), Predictions::default());
        move |i: usize| -> Result<(Vec<ScoredRow>, Vec<f64>)> {
            let range = i * rows_per_chunk..((i + 1) * rows_per_chunk).min(rows.len());
            let mut of_rows = predictor.of_rows(&rows).expect("rows of the model's own size");
            of_rows.predict(range.clone(), &mut predictions).map_err(|error| match error {
                RowsError::Data(error) => anyhow::Error::from(error),
                RowsError::Row(error) => error.into(),
            })?;
            let mut odds = vec![0.0; if needs_log_odds { range.len() * k } else { 0 }];
            for (prediction, odds) in predictions.iter().zip(odds.chunks_exact_mut(k)) {
                log_odds(prediction.logits, odds);
            }
            let score = |(row, prediction): (usize, RowPrediction)| {
                let label = rows.label(row).into();
                let Score { confidence, cross_entropy } = prediction.score(label);
                ScoredRow { label, predicted: prediction.class, confidence, cross_entropy }
            };
            Ok((range.zip(predictions.iter()).map(score).collect(), odds))
        }
    };
    let chunks = Prefetcher::new(rows.len().div_ceil(rows_per_chunk), all_threads().get(), make_worker)
        .map_err(|problem| DataError::Thread { problem })?;
    let mut row = 0;
    for chunk in chunks {
        let (scored, odds) = chunk?;
        for (i, scored) in scored.iter().enumerate() {
            visit(row, scored, if needs_log_odds { &odds[i * k..][..k] } else { &[] });
            row += 1;
        }
    }
    Ok(())
}
