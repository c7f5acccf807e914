//! `chainrule explain`: why a model predicts what it predicts for a row.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use chainrule_core::{Categorical, Class, ColumnRecipe, Encoding};
use chainrule_data::names;
use chainrule_solve::{Explanation, RowGradient};
use clap::{Args, ValueEnum};

use crate::destination::{destination, write_or_print};
use crate::exit;
use crate::explained_row::{ExplainedRowOptions, Row, target};
use crate::explanation::{Answer, Contribution, Logit, csv, describe};
use crate::missing::check_folder_exists;
use crate::model::Model;
use crate::options::OutputOptions;
use crate::output::{as_json, print_message};
use crate::worked_gradient::{Training, WorkedGradient};

#[derive(Args, Debug)]
pub(crate) struct ExplainOptions {
    /// Folder of a finished run or of an imported model.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[command(flatten)]
    row: ExplainedRowOptions,
    /// Explain the logit of this class only. Repeatable [default: all classes].
    #[arg(long = "class", value_name = "CLASS")]
    classes: Vec<String>,
    /// Show all columns or pixels, and all classes of the gradient, instead of the largest.
    #[arg(long)]
    all: bool,
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

/// Prints or writes the explanation of a row.
pub(crate) fn explain(options: &ExplainOptions) -> Result<u8> {
    check_folder_exists(&options.run)?;
    let model = Model::read(&options.run)?;
    let columns = explained_columns(&model, &options.classes)?;
    let format = if options.output.json { Format::Json } else { options.format };
    if options.row.worked_gradient && format == Format::Csv {
        bail!("--worked-gradient: a gradient is no list of contributions; --json has both");
    }
    let out = options.out.as_ref().map(|file| destination(file, options.force, "--out")).transpose()?;
    let row = Row::read(&model, &options.row)?;
    let file = options.row.file.display().to_string();
    if let (Some(treatment), false) = (&row.treatment, options.output.quiet) {
        print_message(&format!("{file}: {treatment}"));
    }
    let explanation = model.predictor.explain(&row.raw).map_err(|problem| anyhow!("{file}: {problem}"))?;
    let terms = terms(&model, &row, &explanation);
    let gradient = match target(&model, &row, &options.row)? {
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
    write_or_print(out, &text)?;
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
        let pixel = |(j, level): (usize, &f64)| of_feature(j, pixel_name(model, j), level.to_string());
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
    let of_column = |((column, field), sums): ((&ColumnRecipe, &String), &[f64])| {
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

fn pixel_name(model: &Model, j: usize) -> String {
    let width = model.image_size()[1];
    format!("row {}, column {}", j / width, j % width)
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
        None => (0..gradient.x.len()).map(|j| pixel_name(model, j)).collect(),
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

#[cfg(test)]
mod tests {
    use chainrule_core::{Numeric, RareLevels};

    use super::*;

    #[test]
    fn a_value_says_what_the_model_takes_it_for() {
        let levels = ["u", "v"].map(ToString::to_string).to_vec();
        let of_category = |field: &str, raw: &[f64]| {
            let rare = RareLevels::default();
            let category = Categorical { levels: levels.clone(), other: true, missing: true, rare };
            value_in_words(&Encoding::Category(category), field, raw)
        };
        assert_eq!(of_category("v", &[0.0, 1.0, 0.0, 0.0]), "v");
        assert_eq!(of_category("w", &[0.0, 0.0, 1.0, 0.0]), "w (other)");
        assert_eq!(of_category("NA", &[0.0, 0.0, 0.0, 1.0]), "(missing)");
        let plain = Categorical { levels, other: false, missing: false, rare: RareLevels::default() };
        assert_eq!(value_in_words(&Encoding::Category(plain.clone()), "w", &[0.0, 0.0]), "w (unknown)");
        assert_eq!(value_in_words(&Encoding::Category(plain), "", &[0.0, 0.0]), "(missing)");
        let number = Encoding::Number(Numeric { fill: Some(2.0), missing_feature: true });
        assert_eq!(value_in_words(&number, "1,5", &[1.5, 0.0]), "1,5");
        assert_eq!(value_in_words(&number, "NA", &[2.0, 1.0]), "(missing)");
    }
}
