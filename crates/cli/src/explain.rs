//! `chainrule explain`: why a model predicts what it predicts for a row.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use chainrule_core::{Categorical, Class, Encoding, LinkKind, align_left, align_right, display_width, pluralize};
use chainrule_data::picture::Treatment;
use chainrule_data::readers::{self, IMAGES, TABLES};
use chainrule_data::{InputReader, RowBuffer, input_files, names};
use chainrule_solve::{Explanation, RowGradient};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::answers::Place;
use crate::destination::destination;
use crate::exit;
use crate::missing::check_folder_exists;
use crate::model::Model;
use crate::options::{OutputOptions, TextArgs};
use crate::output::{Lines, as_json, csv_field, print_message};
use crate::rounding::{add_up, decimals};
use crate::summary::digits;
use crate::worked_gradient::{Training, WorkedGradient};

#[derive(Args, Debug)]
pub(crate) struct ExplainOptions {
    /// Folder of a finished run or of an imported model.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[arg(value_name = "FILE", help = files())]
    file: PathBuf,
    /// The row, by the number that predict and evaluate give it: the line of a text, or the number
    /// of a row in a table that is stored by columns, both from 1; the index of an image in an IDX
    /// file, from 0. A file with one row needs none.
    #[arg(long, value_name = "N")]
    row: Option<u64>,
    /// Explain the logit of this class only. Repeatable [default: all classes].
    #[arg(long = "class", value_name = "CLASS")]
    classes: Vec<String>,
    /// Show all columns or pixels, and all classes of the gradient, instead of the largest.
    #[arg(long)]
    all: bool,
    /// Also work out the gradient of the row's cost, equation by equation. This needs the row's
    /// class.
    #[arg(long)]
    worked_gradient: bool,
    /// Label column of a table, for --worked-gradient [default: the run's].
    #[arg(long, value_name = "COLUMN", requires = "worked_gradient")]
    label: Option<String>,
    /// The row's class, for --worked-gradient [default: what the label column says].
    #[arg(long, value_name = "CLASS", requires = "worked_gradient", conflicts_with = "label")]
    target: Option<String>,
    /// Format of the explanation.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the explanation to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long, requires = "out")]
    force: bool,
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    /// For a terminal.
    Text,
    /// One document with all digits and all contributions, as --json.
    Json,
    /// One line for each contribution, with all digits.
    Csv,
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

/// How many contributions of a class are shown.
const SHOWN: usize = 10;

/// The row to explain.
struct Row {
    place: Option<Place>,
    /// As the model takes it, `[d]`.
    raw: Vec<f64>,
    /// The fields of the recipe's columns, unless the row is an image or sparse.
    fields: Vec<String>,
    label: Option<String>,
    treatment: Option<Treatment>,
}

/// A column of a table, a sparse feature or a pixel, with what it contributes.
struct Term {
    name: String,
    /// What the file has, in words if it is missing or new.
    value: String,
    /// If it is a number: what the model takes it for, and the number that contributes nothing.
    number: Option<[f64; 2]>,
    /// To each logit, `[columns]`.
    contributions: Vec<f64>,
    /// Per unit of the number.
    per_unit: Vec<f64>,
}

/// What `explain --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    model: LinkKind,
    file: String,
    #[serde(flatten)]
    place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    treatment: Option<&'a Treatment>,
    classes: &'a [Class],
    /// The predicted class.
    class: &'a Class,
    probabilities: &'a [f64],
    /// What contributes nothing: the mean of the training rows, a blank image, or zero.
    reference: &'static str,
    logits: Vec<Logit<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gradient: Option<&'a WorkedGradient>,
}

/// A logit: the sum of `bias` and the contributions.
#[derive(Serialize)]
struct Logit<'a> {
    class: &'a Class,
    logit: f64,
    /// The logit of the reference.
    bias: f64,
    /// The largest first.
    contributions: Vec<Contribution<'a>>,
}

#[derive(Serialize)]
struct Contribution<'a> {
    name: &'a str,
    value: &'a str,
    contribution: f64,
    /// The contribution is `per_unit * (number - reference)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_unit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<f64>,
}

/// Prints or writes the explanation of a row.
pub(crate) fn explain(options: &ExplainOptions) -> Result<u8> {
    check_folder_exists(&options.run)?;
    let model = Model::read(&options.run)?;
    let columns = explained_columns(&model, &options.classes)?;
    let format = if options.output.json { Format::Json } else { options.format };
    if options.worked_gradient && format == Format::Csv {
        bail!("--worked-gradient: a gradient is no list of contributions; --json has both");
    }
    let out = options.out.as_ref().map(|file| destination(file, options.force, "--out")).transpose()?;
    let row = if model.features().is_some() { row_of_table(&model, options)? } else { image(&model, options)? };
    let file = options.file.display().to_string();
    if let (Some(treatment), false) = (&row.treatment, options.output.quiet) {
        print_message(&format!("{file}: {treatment}"));
    }
    let explanation = model.predictor.explain(&row.raw).map_err(|problem| anyhow!("{file}: {problem}"))?;
    let terms = terms(&model, &row, &explanation);
    let gradient = match target(&model, &row, options)? {
        None => None,
        Some(class) => {
            let gradient = model.predictor.gradient(&row.raw, class)?;
            Some(worked_gradient(&model, &row, class, gradient))
        }
    };
    let answer = Answer {
        run: model.folder.display().to_string(),
        model: model.link,
        file,
        place: row.place,
        treatment: row.treatment.as_ref(),
        classes: model.classes(),
        class: &model.classes()[explanation.prediction.class],
        probabilities: &explanation.prediction.probabilities,
        reference: match (model.features(), model.preprocessing.standardization()) {
            (None, _) => "blank",
            (Some(_), Some(_)) => "mean",
            (Some(_), None) => "zero",
        },
        logits: columns.iter().map(|&column| logit(&model, column, &terms, &explanation)).collect(),
        gradient: gradient.as_ref(),
    };
    let text = match format {
        Format::Json => as_json(&answer),
        Format::Csv => csv(&answer),
        Format::Text => {
            let mut lines = describe(&answer, model.name(), options.all);
            if let Some(gradient) = &gradient {
                lines.empty_line();
                gradient.describe(options.all, &mut lines);
            }
            lines.into_text()
        }
    };
    match out {
        Some(file) => file.write(text.as_bytes())?,
        None => {
            // Fields of a table may steer a terminal.
            let mut lines = Lines::default();
            text.lines().for_each(|line| lines.add(line));
            lines.print()?;
        }
    }
    Ok(exit::SUCCESS)
}

/// Returns the class whose logit a column of W is. The logistic model has one, for its positive
/// class.
fn class_of(model: &Model, column: usize) -> &Class {
    &model.classes()[column + model.classes().len() - model.parameters.columns]
}

/// Returns the columns of W to explain.
fn explained_columns(model: &Model, classes: &[String]) -> Result<Vec<usize>> {
    let columns = 0..model.parameters.columns;
    if classes.is_empty() {
        return Ok(columns.collect());
    }
    let column = |name: &String| {
        let found = columns.clone().find(|&column| class_of(model, column).has_name(name));
        found.ok_or_else(|| match model.classes().iter().any(|class| class.has_name(name)) {
            true => anyhow!(
                "--class {name}: the logit of {name} is 0 by definition; leave out --class for the log odds of {}",
                class_of(model, 0)
            ),
            false => anyhow!("--class {name}: the model's classes are [{}]", names(model.classes()).join(", ")),
        })
    };
    classes.iter().map(column).collect()
}

/// Reads the row of a table.
fn row_of_table(model: &Model, options: &ExplainOptions) -> Result<Row> {
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
fn image(model: &Model, options: &ExplainOptions) -> Result<Row> {
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
fn label_column(model: &Model, options: &ExplainOptions) -> Result<String> {
    let of_run = || model.run_records()?.config.data().label.clone();
    options.label.clone().or_else(of_run).ok_or_else(|| {
        anyhow!(
            "--worked-gradient needs the row's class: name the label column with --label, or the class with --target"
        )
    })
}

/// Returns the row's class, if a gradient is asked for.
fn target(model: &Model, row: &Row, options: &ExplainOptions) -> Result<Option<usize>> {
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

/// Returns what each column, sparse feature or pixel contributes.
fn terms(model: &Model, row: &Row, explanation: &Explanation) -> Vec<Term> {
    let k = model.parameters.columns;
    let per_unit = |j: usize| -> Vec<f64> {
        let scale = model.predictor.scale_and_reference(j).0;
        model.parameters.weight[j * k..][..k].iter().map(|w| w * scale).collect()
    };
    let of_feature = |j: usize, name: String, value: String| Term {
        name,
        value,
        number: Some([row.raw[j], model.predictor.scale_and_reference(j).1]),
        contributions: explanation.contributions[j * k..][..k].to_vec(),
        per_unit: per_unit(j),
    };
    let Some(features) = model.features() else {
        let width = model.image_size()[1];
        let pixel = |(j, level): (usize, &f64)| {
            of_feature(j, format!("row {}, column {}", j / width, j % width), level.to_string())
        };
        return row.raw.iter().enumerate().map(pixel).collect();
    };
    let recipe = model.schema.recipe_of_columns();
    if recipe.is_sparse() {
        let listed = (0..row.raw.len()).filter(|&j| row.raw[j] != 0.0);
        return listed.map(|j| of_feature(j, format!("index {}", features[j]), row.raw[j].to_string())).collect();
    }
    let sums = explanation.of_columns(&recipe);
    let mut first = 0;
    let columns = recipe.columns.iter().zip(&row.fields).zip(sums.chunks_exact(k));
    let of_column = |((column, field), sums): ((&chainrule_core::ColumnRecipe, &String), &[f64])| {
        let own = first..first + column.encoding.n_features();
        first = own.end;
        // A number whose other features contribute nothing.
        let is_number = !matches!(column.encoding, Encoding::Category(_))
            && sums == &explanation.contributions[own.start * k..][..k];
        let value = value_in_words(&column.encoding, field, &row.raw[own.clone()]);
        let is_number = is_number && value == *field;
        Term {
            name: column.name.clone(),
            value,
            number: is_number.then(|| [row.raw[own.start], model.predictor.scale_and_reference(own.start).1]),
            contributions: sums.to_vec(),
            per_unit: if is_number { per_unit(own.start) } else { vec![0.0; k] },
        }
    };
    columns.map(of_column).collect()
}

/// Returns a field as the file has it, and says if the model takes it for something else. `raw` has
/// the features of its column.
fn value_in_words(encoding: &Encoding, field: &str, raw: &[f64]) -> String {
    let missing = || "(missing)".to_owned();
    match encoding {
        Encoding::Number(numeric) | Encoding::Date(numeric) => {
            if field.is_empty() || numeric.missing_feature && raw[1] != 0.0 { missing() } else { field.to_owned() }
        }
        Encoding::Category(Categorical { levels, other, .. }) => match raw.iter().position(|&x| x != 0.0) {
            Some(level) if level < levels.len() => field.to_owned(),
            Some(level) if *other && level == levels.len() => format!("{field} (other)"),
            Some(_) => missing(),
            None if field.is_empty() => missing(),
            None => format!("{field} (unknown)"),
        },
        Encoding::Sparse(_) => field.to_owned(),
    }
}

/// Returns the logit of a column of W with its contributions, the largest first.
fn logit<'a>(model: &'a Model, column: usize, terms: &'a [Term], explanation: &Explanation) -> Logit<'a> {
    let contribution = |term: &'a Term| Contribution {
        name: &term.name,
        value: &term.value,
        contribution: term.contributions[column],
        per_unit: term.number.map(|_| term.per_unit[column]),
        number: term.number.map(|[number, _]| number),
        reference: term.number.map(|[_, reference]| reference),
    };
    let mut contributions: Vec<Contribution> = terms.iter().map(contribution).collect();
    contributions.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    let (logit, bias) = (explanation.z[column], explanation.reference_logits[column]);
    Logit { class: class_of(model, column), logit, bias, contributions }
}

/// Returns the gradient with the names that its page needs.
fn worked_gradient(model: &Model, row: &Row, class: usize, gradient: RowGradient) -> WorkedGradient {
    let features = match model.features() {
        Some(names) => names.to_vec(),
        None => {
            let width = model.image_size()[1];
            (0..gradient.x.len()).map(|j| format!("row {}, column {}", j / width, j % width)).collect()
        }
    };
    let training = model.run_records().map(|run| Training {
        rows: run.summary.data.train,
        l2: run.config.objective().l2,
        class_weight: run.summary.class_weights.as_ref().map(|weights| weights[class]),
    });
    WorkedGradient {
        model: model.link,
        target: model.classes()[class].clone(),
        columns: (0..model.parameters.columns).map(|column| class_of(model, column).clone()).collect(),
        preprocessing: model.preprocessing.clone(),
        features,
        raw: row.raw.clone(),
        weights: model.parameters.weight.clone(),
        biases: model.parameters.bias.clone(),
        gradient,
        training,
    }
}

/// The name of the first column for what no column contributes.
fn reference_name(reference: &str) -> &'static str {
    if reference == "blank" { "(blank image)" } else { "(bias)" }
}

/// The cells of a line of a table: the value, per unit, from, and the contribution.
type Cells = [String; 4];

/// Formats the explanation for a person.
fn describe(answer: &Answer, kind: &str, has_all: bool) -> Lines {
    let mut lines = Lines::default();
    let place = match answer.place {
        Some(Place::Line(line)) => format!(", line {line}"),
        Some(Place::Row(row)) => format!(", row {row}"),
        Some(Place::Image(index)) => format!("[{index}]"),
        None => String::new(),
    };
    let mut by_probability: Vec<_> = answer.classes.iter().zip(answer.probabilities).collect();
    by_probability.sort_by(|a, b| b.1.total_cmp(a.1));
    let predicted = by_probability.iter().map(|(class, p)| format!("{class} at {:.2} %", 100.0 * *p));
    lines.empty_line();
    lines.add(format!("{:<14} {}: {kind}", "model", answer.run));
    lines.add(format!("{:<14} {}{place}", if answer.reference == "blank" { "image" } else { "row" }, answer.file));
    lines.add(format!("{:<14} {}", "predicted", predicted.take(3).collect::<Vec<_>>().join(", then ")));
    for logit in &answer.logits {
        lines.empty_line();
        describe_logit(logit, answer, has_all, &mut lines);
    }
    lines.empty_line();
    notes(answer).iter().for_each(|note| lines.add(note));
    lines
}

/// Formats the contributions to a logit.
fn describe_logit(logit: &Logit, answer: &Answer, has_all: bool, lines: &mut Lines) {
    let n_shown = if has_all { logit.contributions.len() } else { SHOWN };
    let (shown, rest) = logit.contributions.split_at(n_shown.min(logit.contributions.len()));
    let of_rest: f64 = rest.iter().map(|rest| rest.contribution).sum();
    let mut terms: Vec<f64> = shown.iter().map(|shown| shown.contribution).collect();
    terms.extend((!rest.is_empty()).then_some(of_rest));
    terms.push(logit.bias);
    let decimals = decimals(terms.iter().copied().chain([logit.logit]), 5);
    let (rounded, sum) = add_up(&terms, decimals);
    let mut rounded = rounded.into_iter();
    let mut next = || rounded.next().unwrap_or_default();

    let mut rows: Vec<(String, Cells)> = Vec::new();
    for term in shown {
        let or_empty = |number: Option<f64>| number.map(digits).unwrap_or_default();
        let cells = [term.value.to_owned(), or_empty(term.per_unit), or_empty(term.reference), next()];
        rows.push((term.name.to_owned(), cells));
    }
    let single =
        |name: String, contribution: String| (name, [String::new(), String::new(), String::new(), contribution]);
    if !rest.is_empty() {
        rows.push(single(format!("({} others)", rest.len()), next()));
    }
    rows.push(single(reference_name(answer.reference).to_owned(), next()));
    let title = match answer.model {
        LinkKind::Logistic => format!("{} against {}", logit.class, answer.classes[0]),
        LinkKind::OneVsRest => format!("{} against the rest", logit.class),
        LinkKind::Softmax => format!("for {}", logit.class),
    };
    rows.push(single("logit".to_owned(), sum));
    let header = ["value", "per unit", "from", "contribution"].map(str::to_owned);
    // Without a mean, numbers count from 0.
    let is_used = |i: usize| i != 2 || answer.reference == "mean";
    let is_used = |i: usize| is_used(i) && (i == 3 || rows.iter().any(|(_, cells)| !cells[i].is_empty()));
    let width =
        |i: usize| rows.iter().map(|(_, cells)| &cells[i]).chain([&header[i]]).map(|cell| display_width(cell)).max();
    let widths = [0, 1, 2, 3].map(|i| width(i).unwrap_or_default());
    let first = rows.iter().map(|(name, _)| display_width(name)).chain([display_width(&title), 14]).max().unwrap_or(14);
    let line = |name: &str, cells: &Cells| {
        let cells = cells.iter().enumerate().filter(|(i, _)| is_used(*i));
        let cells: String = cells.map(|(i, cell)| format!("  {}", align_right(cell, widths[i]))).collect();
        align_left(name, first) + &cells
    };
    lines.add(line(&title, &header));
    rows.iter().for_each(|(name, cells)| lines.add(line(name, cells)));
}

/// Says how to read the tables.
fn notes(answer: &Answer) -> Vec<&'static str> {
    let contribution = match answer.reference {
        "blank" => "contribution: per unit times value; a blank image has the logit (blank image)",
        "mean" => {
            "contribution: of a number, per unit times (value - from), where from is the mean of the training rows; of a text, the weight of its level"
        }
        _ => "contribution: of a number, per unit times value; of a text, the weight of its level",
    };
    let probabilities = match answer.model {
        LinkKind::Logistic => "probability: 1 / (1 + e^-logit)",
        LinkKind::Softmax => {
            "probabilities: e^logit of each class, divided by their sum; so only differences of logits count"
        }
        LinkKind::OneVsRest => "probabilities: 1 / (1 + e^-logit) of each class, divided by their sum",
    };
    vec![
        contribution,
        "logit: the sum of all contributions; those shown are rounded so that they add up to it",
        probabilities,
    ]
}

fn csv(answer: &Answer) -> String {
    let mut text = "class,name,value,contribution,per_unit,number,reference\n".to_owned();
    let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    for Logit { class, bias, contributions, .. } in &answer.logits {
        let class = csv_field(&class.to_string());
        for Contribution { name, value, contribution, per_unit, number: value_as_number, reference } in contributions {
            writeln!(
                text,
                "{class},{},{},{contribution},{},{},{}",
                csv_field(name),
                csv_field(value),
                number(*per_unit),
                number(*value_as_number),
                number(*reference)
            )
            .expect("writing to a String cannot fail");
        }
        writeln!(text, "{class},{},,{bias},,,", reference_name(answer.reference))
            .expect("writing to a String cannot fail");
    }
    text
}
