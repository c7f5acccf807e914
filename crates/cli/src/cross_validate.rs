//! `chainrule cv`: scores an experiment by cross-validation, and chooses its penalty.

use std::num::NonZero;
use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use chainrule::machine::all_threads;
use chainrule::{
    CrossValidation, Estimator, FoldScores, FoldStore, NestedCrossValidation, PenaltyChoice, PenaltyScores, Samples,
};
use chainrule_core::{Class, TrainConfig, pluralize, shortest};
use chainrule_data::{Dataset, FoldError, Folds, Request};
use chainrule_evaluate::FoldMean;
use chainrule_kernels::Isa;
use chainrule_records::ConfigFile;
use chainrule_solve::NUMERICS_VERSION;
use clap::Args;
use serde::Serialize;

use crate::cv_folder::{CvFolder, CvKey};
use crate::options::{BackendOptions, OutputOptions, OverrideOptions, TableOptions, TextArgs, number};
use crate::output::{Lines, print_json, print_message};
use crate::{exit, experiment, table_defaults};

#[derive(Args, Debug)]
pub(crate) struct CvOptions {
    /// Experiment config: a TOML file or a built-in experiment (softmax, softmax-optimum, logistic,
    /// logistic-shuffled) [default: softmax; for a table, defaults that suit it].
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Penalties (objective.l2) to compare, in any order. The models are fitted to the minimum,
    /// each search near the one before it [default: the penalty of the experiment].
    #[arg(long, value_name = "LAMBDA,…", value_delimiter = ',', value_parser = lambda)]
    lambdas: Vec<f64>,
    /// Also score the choice of the penalty: in each fold, a cross-validation of its training rows
    /// chooses the largest one within one standard error of the best.
    #[arg(long, requires = "lambdas")]
    nested: bool,
    /// Number of folds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = number::<u16>(2..=u16::MAX.into()))]
    folds: u16,
    /// Number of repeats, each with other folds.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number::<u16>(1..=u16::MAX.into()))]
    repeats: u16,
    /// The rows are in the order of time: train on the rows before each fold only.
    #[arg(long, conflicts_with = "repeats")]
    time_ordered: bool,
    #[command(flatten)]
    override_options: OverrideOptions,
    /// The label column of a table (data.label). Without CONFIG, the defaults suit tables then.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// The fraction of the rows to keep out of the folds, for a final test
    /// (`data.validation_fraction`) [default: 0 for a table, else that of the experiment].
    #[arg(long, value_name = "FRACTION")]
    validation: Option<f64>,
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    backend_options: BackendOptions,
    /// Number of threads, which fit several folds at the same time [default: all that this machine
    /// runs in parallel]. It changes the results only by rounding.
    #[arg(long, value_name = "N", value_parser = number::<u16>(1..=1024))]
    threads: Option<u16>,
    /// Folder for the scores of finished folds. If the command is stopped, the same command goes
    /// on. `cv.json` in it has the result, as --json prints it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputOptions,
}

/// What `cv --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    data: AboutRows,
    classes: &'a [Class],
    scheme: Scheme,
    seed: u64,
    /// Positions in `penalties`: `best` and `one_standard_error`.
    #[serde(flatten)]
    scores: &'a CrossValidation,
    /// With `--nested`.
    #[serde(skip_serializing_if = "Option::is_none")]
    nested: Option<NestedCrossValidation>,
}

#[derive(Serialize)]
struct AboutRows {
    source: String,
    sha256: String,
    /// The number of rows in the folds.
    rows: usize,
    /// The number of rows that were kept for a final test.
    held_out: usize,
}

/// How the rows are divided.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Scheme {
    Stratified,
    Grouped,
    TimeOrdered,
}

fn lambda(text: &str) -> Result<f64, String> {
    let lambda: Option<f64> = text.trim().parse().ok();
    lambda
        .filter(|lambda| lambda.is_finite() && *lambda >= 0.0)
        .ok_or_else(|| "expected numbers from 0, as in 1,0.1,0.01".to_owned())
}

/// Scores the experiment of the options in each fold.
pub(crate) fn cross_validate(options: &CvOptions) -> Result<u8> {
    let mut log = |line: &str| {
        if !options.output.quiet {
            print_message(line);
        }
    };
    let Experiment { config, data, notes } = find(options, &mut log)?;
    notes.iter().for_each(|note| log(note));
    if config.early_stopping().patience.is_some() || config.early_stopping().restore_best {
        bail!(
            "early_stopping: the validation rows of a fold judge its model, so they must not stop its training; --set early_stopping.patience=none --set early_stopping.restore_best=false trains without"
        );
    }
    let source = data.provenance();
    let groups = match &data {
        Dataset::Tables(tables) => tables.parts[0].groups.clone(),
        Dataset::Images(_) => None,
    };
    let is_held_out = !data.is_validated_on_training();
    let [samples, held_out] = Samples::of_dataset(data, &config)?;
    samples.notes().iter().for_each(|note| log(&format!("note: {note}")));
    let [folds, repeats] = [options.folds, options.repeats].map(usize::from);
    let seed = config.descent().shuffle.seed;
    let scheme = match &groups {
        _ if options.time_ordered => Scheme::TimeOrdered,
        Some(_) => Scheme::Grouped,
        None => Scheme::Stratified,
    };
    let division = Division { scheme, labels: samples.labels(), groups: groups.unwrap_or_default(), folds, seed };
    let all: Vec<usize> = (0..samples.len()).collect();
    let folds = division.of(&all, repeats).map_err(chainrule::Error::from)?;
    let threads = options.threads.and_then(|threads| NonZero::new(usize::from(threads))).unwrap_or_else(all_threads);
    let mut estimator = Estimator::of_config(&config).threads(threads);
    if let Some(backend) = &options.backend_options.backend {
        estimator = estimator.backend(backend.clone());
    }
    let folder = match &options.out {
        None => None,
        Some(out) => {
            let backend =
                options.backend_options.backend.as_ref().map_or_else(|| "default".to_owned(), ToString::to_string);
            let key = CvKey {
                config: config.to_toml(),
                data: source.sha256(),
                folds: format!("{scheme:?}, {} folds, {repeats} repeats, seed {seed}", folds.folds()),
                lambdas: options.lambdas.clone(),
                machine: format!("{backend}, {}, {threads} threads", Isa::best()),
                numerics: NUMERICS_VERSION,
            };
            Some(CvFolder::open(out, &key)?)
        }
    };
    let store = |prefix| -> Box<dyn FoldStore + '_> {
        match &folder {
            None => Box::new(()),
            Some(folder) => Box::new(folder.store(prefix)),
        }
    };
    let all = folds.splits().len();
    if let (Some(folder), Some(out)) = (&folder, &options.out) {
        let finished = folder.store("fold").finished(all);
        if finished > 0 {
            log(&format!("{finished} of {} are in {}", pluralize(all, "fold"), out.display()));
        }
    }
    let scores = match &options.lambdas[..] {
        [] => estimator.cross_validate_with(&samples, &folds, &mut *store("fold")),
        lambdas => estimator.cross_validate_path_with(&samples, &folds, lambdas, &mut *store("fold")),
    };
    let scores = scores.map_err(without_place)?;
    let nested = options.nested.then(|| {
        let inner_folds = move |rows: &[usize]| division.of(rows, 1);
        let (choice, mut store) = (PenaltyChoice::OneStandardError, store("nested"));
        estimator.cross_validate_nested_with(&samples, &folds, inner_folds, &options.lambdas, choice, &mut *store)
    });
    let nested = nested.transpose().map_err(without_place)?;
    let data = AboutRows {
        source: source.name.clone(),
        sha256: source.sha256(),
        rows: samples.len(),
        held_out: if is_held_out { held_out.len() } else { 0 },
    };
    let answer = Answer { data, classes: samples.classes(), scheme, seed, scores: &scores, nested };
    if let Some(folder) = &folder {
        folder.finish(&answer)?;
    }
    if options.output.json {
        print_json(&answer)?;
    } else {
        describe(&answer, !options.lambdas.is_empty()).print()?;
    }
    Ok(exit::SUCCESS)
}

/// Leaves out the line of code that set a setting, which is one of this file.
fn without_place(error: chainrule::Error) -> anyhow::Error {
    match error {
        chainrule::Error::Setting { value, error, .. } => anyhow!("{} = {value}: {}", error.key, error.problem),
        other => other.into(),
    }
}

/// How rows are divided into folds.
#[derive(Clone)]
struct Division {
    scheme: Scheme,
    labels: Vec<u16>,
    /// Empty without groups.
    groups: Vec<u32>,
    folds: usize,
    seed: u64,
}

impl Division {
    /// Divides these rows.
    fn of(&self, rows: &[usize], repeats: usize) -> Result<Folds, FoldError> {
        let labels: Vec<u16> = rows.iter().map(|&row| self.labels[row]).collect();
        match self.scheme {
            Scheme::TimeOrdered => Folds::time_ordered(rows.len(), self.folds),
            Scheme::Stratified => Folds::stratified(&labels, self.folds, repeats, self.seed),
            Scheme::Grouped => {
                let groups: Vec<u32> = rows.iter().map(|&row| self.groups[row]).collect();
                Folds::grouped(&labels, &groups, self.folds, repeats, self.seed)
            }
        }
    }
}

/// An experiment with its data.
struct Experiment {
    config: TrainConfig,
    data: Dataset,
    notes: Vec<String>,
}

/// Reads the experiment and its data. All rows of a table are used, unless the options keep some
/// out.
fn find(options: &CvOptions, log: &mut dyn FnMut(&str)) -> Result<Experiment> {
    let CvOptions { config, override_options, label, validation, text, .. } = options;
    let table = &TableOptions { label: label.clone(), validation: *validation, text: text.clone() };
    experiment::check_overrides(override_options, config.as_deref())?;
    let named = |table: &TableOptions| experiment::config(config.as_deref(), override_options, table, None);
    let source = match (&override_options.data.source, config) {
        (Some(source), _) => Some(source.clone()),
        (None, Some(_)) => Some(named(table)?.data().source.clone()),
        (None, None) => None,
    };
    let is_table = source.is_some_and(|source| Request::from(source.as_str()).is_table());
    let is_set = override_options.overrides.iter().any(|set| set.starts_with("data.validation_fraction="));
    let mut of_folds = table.clone();
    if is_table && !is_set {
        of_folds.validation.get_or_insert(0.0);
    }
    let found = match config {
        None => table_defaults::find(override_options, &of_folds)?,
        Some(_) => None,
    };
    let (config, data, notes) = match found {
        Some(found) => {
            let config = found.config(&experiment::overrides(override_options, &of_folds))?;
            let notes = found.notes(&config);
            let data = Dataset::of_tables(found.tables, &config, log)?;
            (config, data, notes)
        }
        None => {
            let config = named(&of_folds)?;
            let data = Dataset::find(&config, log)?;
            (config, data, Vec::new())
        }
    };
    let option_notes = table_defaults::check_options(table, &data, config.data())?;
    let subset = data.subset_message(&config);
    Ok(Experiment { config, data, notes: notes.into_iter().chain(option_notes).chain(subset).collect() })
}

/// Formats the result for a person.
fn describe(answer: &Answer, is_path: bool) -> Lines {
    let Answer { data, scores, .. } = answer;
    let mut lines = Lines::default();
    lines.empty_line();
    let held_out = match data.held_out {
        0 => String::new(),
        rows => format!("; {} kept for a final test", pluralize(rows, "row")),
    };
    lines.add(format!("{:<14} {}, {}{held_out}", "data", data.source, pluralize(data.rows, "row")));
    let divided = match answer.scheme {
        Scheme::Stratified => "equal shares of each class",
        Scheme::Grouped => "rows of a group together (data.group)",
        Scheme::TimeOrdered => "in the order of the rows; each training has the rows before its fold",
    };
    let repeats = match scores.repeats {
        1 => String::new(),
        repeats => format!(", {repeats} times"),
    };
    lines.add(format!("{:<14} {}{repeats}, {divided}", "folds", scores.folds));
    lines.empty_line();
    if is_path {
        describe_penalties(scores, &mut lines);
        answer.nested.iter().for_each(|nested| describe_nested(nested, &mut lines));
    } else {
        describe_folds(&scores.penalties[0], scores.folds, &mut lines);
    }
    lines.empty_line();
    for PenaltyScores { l2, of_folds, .. } in &scores.penalties {
        let separated = of_folds.iter().filter(|fold| fold.is_separated).count();
        if separated > 0 {
            lines.add(format!(
                "note: with lambda {}, {separated} of {} trainings have no minimum, because the classes are separated; take one above 0",
                shortest(*l2),
                of_folds.len()
            ));
        }
    }
    lines.add("note: the trainings share rows, so the standard errors are a guide and no test");
    lines
}

/// The cells of a score and its error.
fn cells(score: Option<FoldMean>, digits: usize, percent: &str) -> [String; 2] {
    let factor = if percent.is_empty() { 1.0 } else { 100.0 };
    let cell = |number: f64| format!("{:.digits$}{percent}", factor * number);
    score.map_or_else(|| ["-", "-"].map(str::to_owned), |score| [cell(score.mean), cell(score.standard_error)])
}

/// Adds a table of the penalties, the largest first.
fn describe_penalties(scores: &CrossValidation, lines: &mut Lines) {
    let mut order: Vec<usize> = (0..scores.penalties.len()).collect();
    order.sort_by(|&a, &b| scores.penalties[b].l2.total_cmp(&scores.penalties[a].l2));
    lines.add(format!(
        "{:>10} {:>14} {:>10} {:>10} {:>10} {:>8} {:>10}",
        "lambda", "cross-entropy", "std. error", "accuracy", "std. error", "AUC", "std. error"
    ));
    for &i in &order {
        let PenaltyScores { l2, loss, accuracy, auc, .. } = &scores.penalties[i];
        let [loss, loss_error] = cells(Some(*loss), 6, "");
        let [accuracy, accuracy_error] = cells(Some(*accuracy), 2, " %");
        let [auc, auc_error] = cells(*auc, 4, "");
        let mark = match (i == scores.best, i == scores.one_standard_error) {
            (true, true) => "  best, and largest within one std. error",
            (true, false) => "  best",
            (false, true) => "  largest within one std. error of the best",
            (false, false) => "",
        };
        lines.add(format!(
            "{:>10} {loss:>14} {loss_error:>10} {accuracy:>10} {accuracy_error:>10} {auc:>8} {auc_error:>10}{mark}",
            shortest(*l2)
        ));
    }
    let best = scores.penalties[scores.best].l2;
    let ends = [order.first(), order.last()].map(|end| end.map(|&i| scores.penalties[i].l2));
    lines.empty_line();
    let chosen = shortest(scores.penalties[scores.one_standard_error].l2);
    let or_best = match scores.best == scores.one_standard_error {
        true => String::new(),
        false => format!(", or with {} for the lowest mean loss", shortest(best)),
    };
    lines.add(format!("train with --set objective.l2={chosen}{or_best}"));
    if let [Some(largest), Some(smallest)] = ends
        && order.len() > 1
        && best > 0.0
        && (best == largest || best == smallest)
    {
        let (which, others) = if best == largest { ("largest", "larger") } else { ("smallest", "smaller") };
        lines.add(format!("note: the best lambda is the {which}; {others} ones may be better"));
    }
}

/// Adds the scores of the choice of the penalty.
fn describe_nested(nested: &NestedCrossValidation, lines: &mut Lines) {
    let with_error = |score: Option<FoldMean>, digits: usize, percent: &str| {
        let [mean, error] = cells(score, digits, percent);
        format!("{mean} (std. error {error})")
    };
    let mut chosen: Vec<(f64, usize)> = Vec::new();
    for &l2 in &nested.chosen {
        match chosen.iter_mut().find(|(other, _)| *other == l2) {
            Some((_, folds)) => *folds += 1,
            None => chosen.push((l2, 1)),
        }
    }
    chosen.sort_by(|a, b| b.1.cmp(&a.1).then(b.0.total_cmp(&a.0)));
    let chosen: Vec<String> =
        chosen.into_iter().map(|(l2, folds)| format!("{} in {}", shortest(l2), pluralize(folds, "training"))).collect();
    lines.empty_line();
    lines.add("nested: with the largest lambda within one std. error, chosen in each fold by its training rows");
    lines.add(format!("  {:<14} {}", "cross-entropy", with_error(Some(nested.loss), 6, "")));
    lines.add(format!("  {:<14} {}", "accuracy", with_error(Some(nested.accuracy), 2, " %")));
    lines.add(format!("  {:<14} {}", "AUC", with_error(nested.auc, 4, "")));
    lines.add(format!("  {:<14} {}", "lambda", chosen.join(", ")));
}

/// Adds a table of the folds and the means.
fn describe_folds(scores: &PenaltyScores, folds: usize, lines: &mut Lines) {
    let line = |cells: [String; 6]| {
        let [fold, training, validation, loss, accuracy, auc] = cells;
        format!("{fold:<10} {training:>10} {validation:>10} {loss:>14} {accuracy:>10} {auc:>8}")
    };
    lines.add(line(["fold", "trained on", "scored on", "cross-entropy", "accuracy", "AUC"].map(str::to_owned)));
    let has_repeats = scores.of_folds.len() > folds;
    for (i, FoldScores { training_rows, validation_rows, loss, accuracy, auc, .. }) in
        scores.of_folds.iter().enumerate()
    {
        let fold = i % folds + 1;
        let fold = if has_repeats { format!("{fold} of {}", i / folds + 1) } else { fold.to_string() };
        lines.add(line([
            fold,
            training_rows.to_string(),
            validation_rows.to_string(),
            format!("{loss:.6}"),
            format!("{:.2} %", 100.0 * accuracy),
            auc.map_or_else(|| "-".to_owned(), |auc| format!("{auc:.4}")),
        ]));
    }
    let [loss, loss_error] = cells(Some(scores.loss), 6, "");
    let [accuracy, accuracy_error] = cells(Some(scores.accuracy), 2, " %");
    let [auc, auc_error] = cells(scores.auc, 4, "");
    let empty = String::new;
    lines.add(line(["mean".to_owned(), empty(), empty(), loss, accuracy, auc]));
    lines.add(line(["std. error".to_owned(), empty(), empty(), loss_error, accuracy_error, auc_error]));
}
