//! `chainrule compare`: paired tests of models on the same rows.

use std::path::PathBuf;

use anyhow::{Result, bail};
use chainrule_core::{Class, align_left, display_width};
use chainrule_data::names;
use chainrule_evaluate::{Comparison, McNemarMethod, PredictedRows, holm};
use clap::Args;
use serde::Serialize;

use crate::exit;
use crate::labelled_rows::{LabelledRows, RowOptions, for_each_prediction, keep_predictions};
use crate::missing::check_folder_exists;
use crate::model::Model;
use crate::options::{OutputOptions, number};
use crate::output::{Lines, print_json, print_message};

#[derive(Args, Debug)]
pub(crate) struct CompareOptions {
    /// Folders of finished runs or of imported models, two or more.
    #[arg(value_name = "RUN", num_args = 2.., required = true)]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    rows: RowOptions,
    /// Number of samples of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = number::<u32>(1..=1_000_000))]
    samples: u32,
    /// Random seed of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = number::<u64>(0..=u64::MAX))]
    seed: u64,
    #[command(flatten)]
    output: OutputOptions,
}

/// What `compare --json` prints.
#[derive(Serialize)]
struct Answer {
    data: AboutRows,
    /// The names of the classes. The area under the ROC curve is that of the second of two, or the
    /// mean of each against the others.
    classes: Vec<Class>,
    runs: Vec<AboutRun>,
    pairs: Vec<Pair>,
}

#[derive(Serialize)]
struct AboutRows {
    source: String,
    sha256: String,
    split: &'static str,
    rows: usize,
}

#[derive(Serialize)]
struct AboutRun {
    run: String,
    loss: Option<f64>,
    accuracy: Option<f64>,
    auc: Option<f64>,
}

/// Two runs, with their positions in `runs`.
#[derive(Serialize)]
struct Pair {
    first: usize,
    second: usize,
    #[serde(flatten)]
    comparison: Comparison,
    /// The p values, adjusted by Holm's method for the number of pairs.
    adjusted: Adjusted,
}

#[derive(Default, Serialize)]
struct Adjusted {
    mcnemar: Option<f64>,
    loss: Option<f64>,
    loss_bootstrap: Option<f64>,
    auc: Option<f64>,
}

/// A run with its predictions. The classes are those of the first run.
pub(crate) struct Predicted {
    pub(crate) name: String,
    pub(crate) rows: PredictedRows,
}

/// Predicts the same rows with each run. Returns the first model with its rows, and the
/// predictions.
pub(crate) fn predict_same_rows(
    runs: &[PathBuf],
    options: &RowOptions,
    log: &mut dyn FnMut(&str),
) -> Result<(Model, LabelledRows, Vec<Predicted>)> {
    let mut first: Option<(Model, LabelledRows)> = None;
    let mut predicted: Vec<Predicted> = Vec::new();
    for run in runs {
        let model = Model::read(run)?;
        let found = LabelledRows::find(&model, options, None, log)?;
        if let Some((other, rows)) = &first {
            check_same_rows([other, &model], [rows, &found])?;
        }
        let classes = first.as_ref().map_or(model.classes(), |(first, _)| first.classes());
        let rows = predict(&model, &found, classes)?;
        predicted.push(Predicted { name: run.display().to_string(), rows });
        first.get_or_insert((model, found));
    }
    let Some((model, rows)) = first else { bail!("a run at least") };
    Ok((model, rows, predicted))
}

/// Compares models on the same rows.
pub(crate) fn compare(options: &CompareOptions) -> Result<u8> {
    options.runs.iter().try_for_each(|run| check_folder_exists(run))?;
    let mut log = |line: &str| {
        if !options.output.quiet {
            print_message(line);
        }
    };
    let (model, rows, predicted) = predict_same_rows(&options.runs, &options.rows, &mut log)?;
    let answer = Answer {
        data: AboutRows {
            source: rows.source.name.clone(),
            sha256: rows.source.sha256(),
            split: rows.split,
            rows: rows.rows.len(),
        },
        classes: model.classes().to_vec(),
        runs: predicted.iter().map(about_run).collect(),
        pairs: pairs(&predicted, options.samples as usize, options.seed),
    };
    if options.output.json {
        print_json(&answer)?;
    } else {
        describe(&answer, &rows).print()?;
    }
    Ok(exit::SUCCESS)
}

/// Paired tests need the same rows for all models.
fn check_same_rows([first, second]: [&Model; 2], [rows, others]: [&LabelledRows; 2]) -> Result<()> {
    let [one, two] = [first, second].map(|model| model.folder.display());
    let checksums =
        |rows: &LabelledRows| -> Vec<String> { rows.source.files.iter().map(|file| file.sha256.clone()).collect() };
    let advice = "paired tests need the same rows; name a data set for all runs with --data";
    if checksums(rows) != checksums(others) {
        let names = match &others.source.name {
            name if *name == rows.source.name => format!("both from {name}, with different contents"),
            name => format!("{name} and {}", rows.source.name),
        };
        bail!("{two} has other data than {one}: {names}; {advice}");
    }
    let sorted = |model: &Model| {
        let mut names = names(model.classes());
        names.sort();
        names
    };
    let [classes, other_classes] = [first, second].map(sorted);
    if classes != other_classes {
        bail!(
            "{two} has the classes [{}], and {one} [{}]; compare models of the same classes",
            other_classes.join(", "),
            classes.join(", ")
        );
    }
    let labels = |model: &Model, rows: &LabelledRows| -> Vec<String> {
        let names = names(model.classes());
        rows.rows.labels().into_iter().map(|label| names[usize::from(label)].clone()).collect()
    };
    let indices = |rows: &LabelledRows| (0..rows.rows.len()).map(|row| rows.rows.stored_index(row)).collect::<Vec<_>>();
    if rows.split != others.split || indices(rows) != indices(others) {
        bail!(
            "{two} and {one} have other {} {}s of {}: {} and {}; {advice}, or train with the same data.validation_fraction and seed",
            rows.split,
            rows.noun(),
            rows.source.name,
            others.rows.len(),
            rows.rows.len()
        );
    }
    if labels(first, rows) != labels(second, others) {
        bail!(
            "{two} and {one} have other labels for the same {}s of {}, as with another data.label; compare models of the same labels",
            rows.noun(),
            rows.source.name
        );
    }
    Ok(())
}

/// Predicts the rows. Classes are positions in `classes`, whatever their order in the model is.
fn predict(model: &Model, found: &LabelledRows, classes: &[Class]) -> Result<PredictedRows> {
    let Some(mut kept) = keep_predictions(model, &found.rows) else {
        bail!(
            "{}: the predictions of {} {}s take more memory than the run's data.resident_bytes; compare on fewer with --data",
            model.folder.display(),
            found.rows.len(),
            found.noun()
        );
    };
    let own = names(model.classes());
    let place: Vec<usize> =
        own.iter().filter_map(|name| names(classes).iter().position(|other| other == name)).collect();
    let mut in_order = vec![0.0; place.len()];
    for_each_prediction(model, &found.rows, true, |_, scored, log_odds| {
        place.iter().zip(log_odds).for_each(|(&place, &odds)| in_order[place] = odds);
        kept.add(place[scored.label], place[scored.predicted], scored.cross_entropy, &in_order);
    })?;
    Ok(kept)
}

fn about_run(Predicted { name, rows }: &Predicted) -> AboutRun {
    let details = rows.details();
    AboutRun {
        run: name.clone(),
        loss: details.log_loss.map(|loss| loss.mean),
        accuracy: rows.confusion().accuracy(),
        auc: details.auc.map(|auc| auc.area),
    }
}

/// Compares each two runs.
fn pairs(predicted: &[Predicted], samples: usize, seed: u64) -> Vec<Pair> {
    let n = predicted.len();
    let mut pairs: Vec<Pair> = (0..n)
        .flat_map(|first| (first + 1..n).map(move |second| (first, second)))
        .map(|(first, second)| {
            let comparison = predicted[first].rows.compare(&predicted[second].rows, samples, seed);
            Pair { first, second, comparison, adjusted: Adjusted::default() }
        })
        .collect();
    // Each kind of test is one family.
    adjust(&mut pairs, |test| Some(test.mcnemar.p_value), |adjusted| &mut adjusted.mcnemar);
    adjust(&mut pairs, |test| test.loss.map(|test| test.p_value), |adjusted| &mut adjusted.loss);
    adjust(&mut pairs, |test| test.loss_bootstrap.map(|test| test.p_value), |adjusted| &mut adjusted.loss_bootstrap);
    adjust(&mut pairs, |test| test.auc.map(|test| test.p_value), |adjusted| &mut adjusted.auc);
    pairs
}

/// Adjusts the p values of one kind of test for the number of pairs.
fn adjust(
    pairs: &mut [Pair],
    p_value: impl Fn(&Comparison) -> Option<f64>,
    place: impl Fn(&mut Adjusted) -> &mut Option<f64>,
) {
    let (tested, p_values): (Vec<usize>, Vec<f64>) =
        pairs.iter().enumerate().filter_map(|(i, pair)| Some((i, p_value(&pair.comparison)?))).unzip();
    for (i, adjusted) in tested.into_iter().zip(holm(&p_values)) {
        *place(&mut pairs[i].adjusted) = Some(adjusted);
    }
}

/// Formats the result for a person.
fn describe(answer: &Answer, rows: &LabelledRows) -> Lines {
    let Answer { runs, pairs, classes, .. } = answer;
    let mut lines = Lines::default();
    let (n, noun) = (rows.rows.len(), rows.noun());
    lines.empty_line();
    lines.add(format!("the same {n} {noun}s for all runs ({}): {}", rows.split, rows.source.name));
    let width = runs.iter().map(|run| display_width(&run.run)).max().unwrap_or_default().max(3);
    lines.empty_line();
    lines.add(format!("{} {:>14} {:>10} {:>8}", align_left("run", width), "cross-entropy", "accuracy", "AUC"));
    for AboutRun { run, loss, accuracy, auc } in runs {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        lines.add(format!(
            "{} {:>14} {:>10} {:>8}",
            align_left(run, width),
            or_dash(loss.map(|loss| format!("{loss:.6}"))),
            or_dash(accuracy.map(|accuracy| format!("{:.2} %", 100.0 * accuracy))),
            or_dash(auc.map(|auc| format!("{auc:.4}")))
        ));
    }
    let has_several = pairs.len() > 1;
    for Pair { first, second, comparison, adjusted } in pairs {
        let p = |p: f64, adjusted: Option<f64>| {
            let holm = adjusted.filter(|_| has_several).map(|adjusted| format!(" ({} by Holm)", p_text(adjusted)));
            format!("{}{}", p_equation(p), holm.unwrap_or_default())
        };
        lines.empty_line();
        lines.add(format!("{} minus {}", runs[*first].run, runs[*second].run));
        let test = &comparison.mcnemar;
        let method = match test.method {
            McNemarMethod::Exact => "exact",
            McNemarMethod::ChiSquared => "chi-squared",
            McNemarMethod::Corrected => "chi-squared, corrected",
        };
        lines.add(format!(
            "  {:<14} {:+.2} points, {}, McNemar's test ({method}): only the first right on {}, only the second on {}",
            "accuracy",
            100.0 * comparison.accuracy_difference,
            p(test.p_value, adjusted.mcnemar),
            test.discordant.only_first,
            test.discordant.only_second
        ));
        match &comparison.loss {
            None => {
                lines.add(format!("  {:<14} no test: the losses of all {noun}s differ by the same", "cross-entropy"));
            }
            Some(test) => {
                let [low, high] = test.interval;
                lines.add(format!(
                    "  {:<14} {:+.6}, {}, paired t test: {low:+.6} to {high:+.6} with 95 % confidence",
                    "cross-entropy",
                    test.difference,
                    p(test.p_value, adjusted.loss)
                ));
            }
        }
        if let Some(test) = &comparison.loss_bootstrap {
            let [low, high] = test.interval;
            lines.add(format!(
                "  {:<14} {}, paired bootstrap of {} samples: {low:+.6} to {high:+.6}",
                "",
                p(test.p_value, adjusted.loss_bootstrap),
                test.samples
            ));
        }
        match &comparison.auc {
            None => {
                lines
                    .add(format!("  {:<14} no test: the rankings are the same, or a class has too few {noun}s", "AUC"));
            }
            Some(test) => lines.add(format!(
                "  {:<14} {:+.4}, {}, DeLong's test{}",
                "AUC",
                test.difference,
                p(test.p_value, adjusted.auc),
                if classes.len() == 2 {
                    format!(" of {}", classes[1])
                } else {
                    " of the mean of each class against the others".to_owned()
                }
            )),
        }
    }
    lines
}

/// Formats a p value. One that f64 does not hold is 0.
pub(crate) fn p_text(p: f64) -> String {
    match p {
        0.0 => "< 1e-300".to_owned(),
        _ if p < 0.0001 => format!("{p:.1e}"),
        _ => format!("{p:.4}"),
    }
}

/// Formats a p value with an equals sign, if it is known.
pub(crate) fn p_equation(p: f64) -> String {
    if p == 0.0 { format!("p {}", p_text(p)) } else { format!("p = {}", p_text(p)) }
}
