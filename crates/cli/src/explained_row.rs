//! The row that `explain` explains, found in a file.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use chainrule_core::pluralize;
use chainrule_data::picture::Treatment;
use chainrule_data::readers::{self, IMAGES, TABLES};
use chainrule_data::{InputReader, RowBuffer, input_files, names};
use clap::Args;

use crate::answers::Place;
use crate::model::Model;
use crate::options::TextArgs;

/// Options that name the row.
#[derive(Args, Debug)]
pub(crate) struct ExplainedRowOptions {
    #[arg(value_name = "FILE", help = files())]
    pub(crate) file: PathBuf,
    /// The row, by the number that predict and evaluate give it: the line of a text, or the number
    /// of a row in a table that is stored by columns, both from 1; the index of an image in an IDX
    /// file, from 0. A file with one row needs none.
    #[arg(long, value_name = "N")]
    row: Option<u64>,
    /// Also work out the gradient of the row's cost, equation by equation. This needs the row's
    /// class.
    #[arg(long)]
    pub(crate) worked_gradient: bool,
    /// Label column of a table, for --worked-gradient [default: the run's].
    #[arg(long, value_name = "COLUMN", requires = "worked_gradient")]
    label: Option<String>,
    /// The row's class, for --worked-gradient [default: what the label column says].
    #[arg(long, value_name = "CLASS", requires = "worked_gradient", conflicts_with = "label")]
    target: Option<String>,
    #[command(flatten)]
    text: TextArgs,
}

/// The help for `FILE`, from the list of readers.
fn files() -> String {
    format!(
        "File with the row: {} file, plain or compressed ({}); {} file for a model of a table; - for standard input",
        readers::names(IMAGES, "or"),
        readers::compressions("or"),
        readers::names(TABLES, "or")
    )
}

/// The row to explain.
pub(crate) struct Row {
    pub(crate) place: Option<Place>,
    /// As the model takes it, `[d]`.
    pub(crate) raw: Vec<f64>,
    /// The fields of the recipe's columns, unless the row is an image or sparse.
    pub(crate) fields: Vec<String>,
    pub(crate) label: Option<String>,
    pub(crate) treatment: Option<Treatment>,
}

impl Row {
    /// Reads the row.
    ///
    /// # Errors
    /// If the file cannot be read, if it has no such row, or if the row does not fit the model.
    pub(crate) fn read(model: &Model, options: &ExplainedRowOptions) -> Result<Self> {
        if model.features().is_some() { row_of_table(model, options) } else { image(model, options) }
    }
}

/// Reads the row of a table.
fn row_of_table(model: &Model, options: &ExplainedRowOptions) -> Result<Row> {
    let file = options.file.display().to_string();
    let recipe = model.schema.recipe_of_columns();
    let mut kept = if recipe.is_sparse() { Vec::new() } else { recipe.column_names() };
    let n_fields = kept.len();
    let label =
        if options.worked_gradient && options.target.is_none() { Some(label_column(model, options)?) } else { None };
    kept.extend(label.clone());
    let reader = InputReader::new(recipe, kept, options.text.or(model.text_options()));
    let mut rows = reader.open(&options.file).map_err(|problem| {
        let problem = problem.to_string();
        let lacks_label = label.as_ref().is_some_and(|label| problem.starts_with(&format!("no column {label:?},")));
        let advice = if lacks_label { "; --target CLASS says what class the row has" } else { "" };
        anyhow!("{file}: {problem}{advice}")
    })?;
    let (mut n, mut ends, mut unit, mut only) = (0, None, "line", None);
    for batch in &mut rows {
        let batch = batch.map_err(|problem| anyhow!("{file}: {problem}"))?;
        unit = batch.unit;
        let position = match options.row {
            Some(row) => batch.lines.binary_search(&row).ok(),
            // If there is only one row, it is meant.
            None => (n == 0 && !batch.lines.is_empty()).then_some(0),
        };
        if let Some(position) = position {
            let place = if unit == "line" { Place::Line } else { Place::Row }(batch.lines[position]);
            let row = match batch.problems.get(&position) {
                Some(problem) => Err(anyhow!("{file}, {unit} {}: {problem}", batch.lines[position])),
                None => {
                    let before = batch.problems.range(..position).count();
                    let mut buffer = RowBuffer::default();
                    let raw = batch.rows.row(position - before, &mut buffer)?.to_vec();
                    let mut fields = batch.kept.iter().map(|column| column.get(position).to_owned());
                    let of_columns = fields.by_ref().take(n_fields).collect();
                    Ok(Row { place: Some(place), raw, fields: of_columns, label: fields.next(), treatment: None })
                }
            };
            if options.row.is_some() {
                return row;
            }
            only = Some(row);
        }
        n += batch.lines.len();
        if let (Some(&first), Some(&last)) = (batch.lines.first(), batch.lines.last()) {
            ends = Some((ends.map_or(first, |(first, _)| first), last));
        }
    }
    let (first, last) = ends.unwrap_or_default();
    match (options.row, only) {
        (None, Some(row)) if n == 1 => row,
        (None, _) => bail!(
            "--row is missing: {file} has {n} rows; name one by its {unit}, from {first} to {last}, as in --row {first}"
        ),
        (Some(row), _) if n == 1 => bail!("--row {row}: {file} has a single row, {unit} {first}"),
        (Some(row), _) => bail!("--row {row}: {file} has {n} rows, from {unit} {first} to {last}"),
    }
}

/// Reads the image.
fn image(model: &Model, options: &ExplainedRowOptions) -> Result<Row> {
    let file = options.file.display().to_string();
    let images = input_files::read(&options.file, model.image_size(), model.picture_mode());
    let mut images = images.map_err(|problem| anyhow!("{file}: {problem}"))?;
    let n = images.len();
    let index = match options.row {
        None if n == 1 => 0,
        None => {
            bail!("--row is missing: {file} has {n} images; name one by its index, from 0 to {}, as in --row 0", n - 1)
        }
        Some(row) if row < n as u64 => row as usize,
        Some(row) => bail!("--row {row}: {file} has {}, and the first index is 0", pluralize(n, "image")),
    };
    let image = images.swap_remove(index);
    Ok(Row {
        place: image.number.map(Place::Image),
        raw: image.pixels.iter().copied().map(f64::from).collect(),
        fields: Vec::new(),
        label: None,
        treatment: image.treatment,
    })
}

/// Returns the name of the label column.
fn label_column(model: &Model, options: &ExplainedRowOptions) -> Result<String> {
    let of_run = || model.run_records()?.config.data().label.clone();
    options.label.clone().or_else(of_run).ok_or_else(|| {
        anyhow!(
            "--worked-gradient needs the row's class: name the label column with --label, or the class with --target"
        )
    })
}

/// Returns the row's class, if a gradient is asked for.
pub(crate) fn target(model: &Model, row: &Row, options: &ExplainedRowOptions) -> Result<Option<usize>> {
    if !options.worked_gradient {
        return Ok(None);
    }
    let (name, origin) = match (&options.target, &row.label) {
        (Some(target), _) => (target, "--target"),
        (None, Some(label)) if label.is_empty() => {
            bail!("--worked-gradient: the row has no label; name its class with --target CLASS")
        }
        (None, Some(label)) => (label, "the row's label is"),
        (None, None) => bail!("--worked-gradient: an image file has no labels; name the class with --target CLASS"),
    };
    let classes = names(model.classes());
    let number = |text: &str| text.parse::<f64>().ok();
    let same_number = |class: &String| number(class).is_some() && number(class) == number(name);
    let class = classes.iter().position(|class| class == name).or_else(|| classes.iter().position(same_number));
    match class {
        Some(class) => Ok(Some(class)),
        None => bail!("{origin} {name}: no class of the model; its classes are [{}]", classes.join(", ")),
    }
}
