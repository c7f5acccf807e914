//! `chainrule summary`: the coefficients of a table model with their errors.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use chainrule::machine::all_threads;
use chainrule_core::{Class, align_left, align_right, display_width, nearest};
use chainrule_data::names;
use chainrule_solve::{
    Coefficient, ErrorKind, ErrorSource, EstimateKind, ModelSummary, SummaryError, SummaryModel,
    SummaryOptions as Options, VarianceInflation, summarize,
};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::compare::{p_equation, p_text};
use crate::destination::{destination, write_or_print};
use crate::exit;
use crate::labelled_rows::{TrainingRows, find_training_rows};
use crate::missing::check_folder_exists;
use crate::model::Model;
use crate::options::OutputOptions;
use crate::output::{Lines, as_json, csv_field, print_message};
use crate::table::warnings;

#[derive(Args, Debug)]
pub(crate) struct SummaryOptions {
    /// Folder of a finished run on a table.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Class that the others are compared with [default: the first].
    #[arg(long, value_name = "CLASS")]
    base: Option<String>,
    /// Give the coefficients per standard deviation of a feature, instead of per unit.
    #[arg(long)]
    standardized: bool,
    /// Use errors that hold if the model is wrong (sandwich, HC0); by groups if the run has
    /// data.group.
    #[arg(long)]
    robust: bool,
    /// Level of the intervals.
    #[arg(long, value_name = "LEVEL", default_value_t = 0.95, value_parser = level)]
    level: f64,
    /// Format of the table.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write the table to this file.
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
    /// One document with all digits, as --json.
    Json,
    /// One line for each coefficient, with all digits.
    Csv,
    /// A tabular.
    Latex,
    /// A table.
    Markdown,
}

/// What `summary --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    data: &'a str,
    #[serde(flatten)]
    summary: &'a ModelSummary,
}

fn level(text: &str) -> Result<f64, String> {
    let level: Option<f64> = text.parse().ok();
    level
        .filter(|level| 0.0 < *level && *level < 1.0)
        .ok_or_else(|| "expected a number between 0 and 1, such as 0.95".to_owned())
}

/// What a summary is of.
pub(crate) struct SummaryRequest<'a> {
    pub(crate) base: Option<&'a str>,
    pub(crate) standardized: bool,
    pub(crate) robust: bool,
    pub(crate) level: f64,
}

/// A summary with the data that it was computed on.
pub(crate) struct SummaryOfRun {
    pub(crate) summary: ModelSummary,
    source: String,
    has_groups: bool,
}

/// Prints or writes the summary of a model.
pub(crate) fn summary(options: &SummaryOptions) -> Result<u8> {
    check_folder_exists(&options.run)?;
    let model = Model::read(&options.run)?;
    let name = model.folder.display().to_string();
    let out = options.out.as_ref().map(|file| destination(file, options.force, "--out")).transpose()?;
    let SummaryOptions { base, standardized, robust, level, .. } = options;
    let request = SummaryRequest { base: base.as_deref(), standardized: *standardized, robust: *robust, level: *level };
    let SummaryOfRun { summary, source, has_groups } = summary_of_run(&model, &request)?;
    if let (Some(run), false) = (model.run_records(), options.output.quiet) {
        warnings(&run.summary, &run.config).iter().for_each(|line| print_message(&format!("note: {line}")));
        if has_groups && !options.robust {
            print_message(
                "note: the rows have groups (data.group); --robust gives errors that hold if rows of a group are alike",
            );
        }
    }
    let format = if options.output.json { Format::Json } else { options.format };
    let text = match format {
        Format::Text => text(&summary, &name, &source).into_text(),
        Format::Json => as_json(&Answer { run: name, data: &source, summary: &summary }),
        Format::Csv => csv(&summary),
        Format::Latex => latex(&summary),
        Format::Markdown => markdown(&summary),
    };
    write_or_print(out, &text)?;
    Ok(exit::SUCCESS)
}

/// Computes the summary of a run on its training rows.
///
/// # Errors
/// If the model was trained elsewhere or on images, if its data changed, or if the classes are
/// separated.
pub(crate) fn summary_of_run(model: &Model, request: &SummaryRequest<'_>) -> Result<SummaryOfRun> {
    let name = model.folder.display().to_string();
    let Some(run) = model.run_records() else {
        bail!("{name}: the model was trained by another tool, so its training rows are unknown; a summary needs them");
    };
    let Some(features) = model.features() else {
        bail!("{name}: {}; inspect shows its weights", SummaryError::Images);
    };
    let separating = run.summary.identification.as_ref().map(|identification| &identification.separating);
    if let Some(separating) = separating.filter(|separating| !separating.is_empty()) {
        return Err(SummaryError::Separated { features: separating.clone() }).context(name);
    }
    let base_class = request.base.map_or(Ok(0), |base| class_position(base, model.classes()))?;
    let TrainingRows { rows, groups, source } = find_training_rows(model, run)?;
    let errors = match (request.robust, &groups) {
        (false, _) => ErrorSource::Hessian,
        (true, None) => ErrorSource::Sandwich,
        (true, Some(groups)) => ErrorSource::Groups(groups),
    };
    let of_model = SummaryModel {
        config: &run.config,
        parameters: &model.parameters,
        preprocessing: &model.preprocessing,
        features,
        classes: model.classes(),
        class_weights: run.summary.class_weights.as_deref(),
    };
    let how = Options { level: request.level, base_class, standardized: request.standardized, errors };
    let summary = summarize(&of_model, &rows, &how, all_threads()).context(name)?;
    Ok(SummaryOfRun { summary, source, has_groups: groups.is_some() })
}

fn class_position(base: &str, classes: &[Class]) -> Result<usize> {
    let names = names(classes);
    match names.iter().position(|name| name == base) {
        Some(position) => Ok(position),
        None => {
            let meant = nearest(base, names.iter().map(String::as_str));
            let meant = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            bail!("--base {base}: no such class; the classes are [{}]{meant}", names.join(", "))
        }
    }
}

const BIAS: &str = "(bias)";

/// The columns of the table, for the level of its intervals.
fn header(summary: &ModelSummary) -> [String; 8] {
    let percent = 100.0 * summary.level;
    let [error, interval] = match summary.estimate {
        EstimateKind::LaplacePosterior { .. } => ["post. dev.", "credible"],
        EstimateKind::MaximumLikelihood | EstimateKind::PosteriorMode { .. } => ["std. error", "interval"],
    };
    let interval = format!("{percent}% {interval}");
    ["estimate", error, "z", "p", &interval, "odds ratio", &interval, "VIF"].map(str::to_owned)
}

/// The cells of a coefficient below [`header`].
fn cells(coefficient: &Coefficient, inflation: &[VarianceInflation]) -> [String; 8] {
    let or_dash = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), digits);
    let range = |interval: Option<[f64; 2]>| {
        interval.map_or_else(|| "-".to_owned(), |[low, high]| format!("{} to {}", digits(low), digits(high)))
    };
    let of_feature = inflation.iter().find(|inflation| Some(&inflation.feature) == coefficient.feature.as_ref());
    [
        if coefficient.standard_error.is_some() { digits(coefficient.estimate) } else { "0 (fixed)".to_owned() },
        or_dash(coefficient.standard_error),
        coefficient.z.map_or_else(|| "-".to_owned(), |z| format!("{z:.2}")),
        coefficient.p_value.map_or_else(|| "-".to_owned(), p_text),
        range(coefficient.interval),
        or_dash(coefficient.odds_ratio.filter(|_| coefficient.standard_error.is_some())),
        range(coefficient.odds_ratio_interval),
        of_feature
            .and_then(|inflation| inflation.factor)
            .map_or_else(|| "-".to_owned(), |factor| format!("{factor:.2}")),
    ]
}

/// Formats a number with four significant digits.
pub(crate) fn digits(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let exponent = number.abs().log10().floor() as i32;
    if (-4..6).contains(&exponent) {
        format!("{number:.*}", (3 - exponent).max(0) as usize)
    } else {
        format!("{number:.3e}")
    }
}

fn error_name(errors: ErrorKind) -> String {
    match errors {
        ErrorKind::Hessian => "inverse of the Hessian".to_owned(),
        ErrorKind::Sandwich => "sandwich (HC0), robust against a wrong model".to_owned(),
        ErrorKind::Groups { groups } => format!("sandwich by {groups} groups, robust against alike rows of a group"),
    }
}

/// The facts above the table.
fn facts(summary: &ModelSummary) -> Vec<(&'static str, String)> {
    let prior = |deviation: f64| {
        format!("a Gaussian prior of the weights (standard deviation {} in the model's units)", digits(deviation))
    };
    let estimates = match summary.estimate {
        EstimateKind::MaximumLikelihood => "maximum likelihood".to_owned(),
        EstimateKind::LaplacePosterior { prior_standard_deviation } => {
            format!("Laplace posterior under {}", prior(prior_standard_deviation))
        }
        EstimateKind::PosteriorMode { prior_standard_deviation } => {
            format!("mode of the posterior under {}", prior(prior_standard_deviation))
        }
    };
    let errors = match summary.estimate {
        EstimateKind::PosteriorMode { .. } => format!("{}; not those of the posterior", error_name(summary.errors)),
        EstimateKind::MaximumLikelihood | EstimateKind::LaplacePosterior { .. } => error_name(summary.errors),
    };
    let unit = if summary.standardized { ", per standard deviation of the feature" } else { "" };
    let mut facts = vec![
        ("estimates", format!("{estimates}; log odds against {}{unit}", summary.base_class)),
        ("errors", errors),
        ("rows", format!("{}, {} parameters", summary.rows, summary.parameters)),
        (
            "log-likelihood",
            format!("{:.4}, {:.4} of the constant model", summary.log_likelihood, summary.constant_log_likelihood),
        ),
    ];
    if let Some(test) = &summary.likelihood_ratio {
        let (chi_squared, p) = (digits(test.chi_squared), p_equation(test.p_value));
        facts.push((
            "ratio test",
            format!(
                "chi-squared {chi_squared} with {} degrees of freedom, {p}, against the constant model",
                test.degrees
            ),
        ));
    }
    if let Some((aic, bic)) = summary.aic.zip(summary.bic) {
        facts.push(("AIC, BIC", format!("{aic:.4}, {bic:.4}")));
    }
    facts.push(("McFadden's R2", format!("{:.4}", summary.mcfadden)));
    facts
}

/// The coefficients of each class.
fn by_class(summary: &ModelSummary) -> impl Iterator<Item = (&Class, &[Coefficient])> {
    summary.coefficients.chunk_by(|a, b| a.class == b.class).map(|of_class| (&of_class[0].class, of_class))
}

fn feature_name(coefficient: &Coefficient) -> &str {
    coefficient.feature.as_deref().unwrap_or(BIAS)
}

fn text(summary: &ModelSummary, run: &str, source: &str) -> Lines {
    let mut lines = Lines::default();
    lines.empty_line();
    lines.add(format!("{:<14} {run}", "model"));
    lines.add(format!("{:<14} {source}, training rows", "data"));
    facts(summary).iter().for_each(|(name, fact)| lines.add(format!("{name:<14} {fact}")));
    let first = summary.coefficients.iter().map(|c| display_width(feature_name(c))).max().unwrap_or_default();
    for (class, of_class) in by_class(summary) {
        let title = format!("{class} against {}", summary.base_class);
        let first = first.max(display_width(&title));
        let rows: Vec<[String; 8]> = of_class.iter().map(|c| cells(c, &summary.variance_inflation)).collect();
        let header = header(summary);
        let width = |i: usize| rows.iter().chain([&header]).map(|row| row[i].len()).max().unwrap_or_default();
        let line = |row: &[String; 8]| -> String {
            row.iter().enumerate().map(|(i, cell)| format!("  {}", align_right(cell, width(i)))).collect()
        };
        lines.empty_line();
        lines.add(format!("{}{}", align_left(&title, first), line(&header)));
        for (coefficient, row) in of_class.iter().zip(&rows) {
            lines.add(format!("{}{}", align_left(feature_name(coefficient), first), line(row)));
        }
    }
    if !summary.notes.is_empty() {
        lines.empty_line();
    }
    summary.notes.iter().for_each(|note| lines.add(format!("note: {note}")));
    lines
}

fn markdown(summary: &ModelSummary) -> String {
    let escape = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
    let mut text = String::new();
    for (name, fact) in facts(summary) {
        text += &format!("- {name}: {}\n", escape(&fact));
    }
    for (class, of_class) in by_class(summary) {
        let title = escape(&format!("{class} against {}", summary.base_class));
        text += &format!("\n| {title} | {} |\n|---|{}\n", header(summary).join(" | "), "---:|".repeat(8));
        for coefficient in of_class {
            let row = cells(coefficient, &summary.variance_inflation).join(" | ");
            text += &format!("| {} | {row} |\n", escape(feature_name(coefficient)));
        }
    }
    text
}

fn latex(summary: &ModelSummary) -> String {
    let escape = |text: &str| -> String {
        let of_char = |c: char| match c {
            '\\' => "\\textbackslash{}".to_owned(),
            '~' => "\\textasciitilde{}".to_owned(),
            '^' => "\\textasciicircum{}".to_owned(),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => format!("\\{c}"),
            '<' | '>' => format!("${c}$"),
            '\n' | '\r' => " ".to_owned(),
            _ => c.to_string(),
        };
        text.chars().map(of_char).collect()
    };
    let mut text = String::new();
    facts(summary).iter().for_each(|(name, fact)| text += &format!("% {name}: {}\n", fact.replace(['\n', '\r'], " ")));
    text += "\\begin{tabular}{lrrrrrrrr}\n";
    for (class, of_class) in by_class(summary) {
        let title = escape(&format!("{class} against {}", summary.base_class));
        let header: Vec<String> = header(summary).iter().map(|cell| escape(cell)).collect();
        text += &format!("\\hline\n{title} & {} \\\\\n\\hline\n", header.join(" & "));
        for coefficient in of_class {
            let row = cells(coefficient, &summary.variance_inflation).map(|cell| escape(&cell)).join(" & ");
            text += &format!("{} & {row} \\\\\n", escape(feature_name(coefficient)));
        }
    }
    text + "\\hline\n\\end{tabular}\n"
}

fn csv(summary: &ModelSummary) -> String {
    let mut text = "class,base_class,feature,estimate,standard_error,z,p_value,low,high,odds_ratio,odds_ratio_low,odds_ratio_high,variance_inflation\n".to_owned();
    for coefficient in &summary.coefficients {
        let name = coefficient.feature.as_ref();
        let inflation = summary.variance_inflation.iter().find(|inflation| Some(&inflation.feature) == name);
        let ends = |interval: Option<[f64; 2]>| [interval.map(|ends| ends[0]), interval.map(|ends| ends[1])];
        let [low, high] = ends(coefficient.interval);
        let [odds_low, odds_high] = ends(coefficient.odds_ratio_interval);
        let numbers = [
            Some(coefficient.estimate),
            coefficient.standard_error,
            coefficient.z,
            coefficient.p_value,
            low,
            high,
            coefficient.odds_ratio,
            odds_low,
            odds_high,
            inflation.and_then(|inflation| inflation.factor),
        ];
        let numbers = numbers.map(|number| number.map(|number| number.to_string()).unwrap_or_default());
        let names = [&coefficient.class.to_string(), &summary.base_class.to_string(), feature_name(coefficient)];
        writeln!(text, "{},{}", names.map(csv_field).join(","), numbers.join(","))
            .expect("writing to a String cannot fail");
    }
    text
}
