//! The experiment of a table without a config: defaults that suit tables, and that depend on what
//! the table holds.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Result, bail};
use chainrule_core::{
    ColumnRecipe, DataConfig, LeftOut, ModelKind, Recipe, TrainConfig, align_left, display_width, pluralize,
    positive_class,
};
use chainrule_data::{Dataset, LabelCounts, RawTables, Request, table_request};
use chainrule_records::ConfigFile;

use crate::experiment::{Experiment, overrides};
use crate::options::{OverrideOptions, TableOptions};

/// A table that was read, with the experiment that suits it.
pub(crate) struct TableExperiment {
    pub(crate) experiment: Experiment,
    /// What gradient descent would have instead, each `key=value`.
    pub(crate) of_sgd: Vec<String>,
    pub(crate) tables: RawTables,
    counts: LabelCounts,
    label: String,
}

/// The settings that do not depend on the table.
const SETTINGS: &str = "[data]\nstandardize = true\n";

/// Reads the table that the options name, and derives an experiment from it. Returns `None` if they
/// name no table.
pub(crate) fn find(override_options: &OverrideOptions, table: &TableOptions) -> Result<Option<TableExperiment>> {
    let overrides = overrides(override_options, table);
    let name = "the defaults for tables";
    let parse = |text: &str, overrides: &[String]| TrainConfig::parse_overridden(name, text, overrides);
    // The model's kind and the penalty are not known yet, and other keys may depend on them.
    let of_data = |set: &&String| set.starts_with("data.") || set.starts_with("descent.shuffle.seed");
    let of_data: Vec<String> = overrides.iter().filter(of_data).cloned().collect();
    let of_source: Vec<String> = of_data.iter().filter(|set| set.starts_with("data.source")).cloned().collect();
    let provisional = |overrides: &[String]| {
        parse(&format!("experiment = \"table\"\n{SETTINGS}[model]\nkind = \"softmax\"\n"), overrides)
    };
    let source = Request::from(provisional(&of_source)?.data().source.as_str());
    let Some(path) = source.table() else { return Ok(None) };
    let config = provisional(&of_data)?;
    let request = table_request(&config);
    let tables = RawTables::read(&path, &request)?;
    let counts = tables.label_counts(&request)?;
    let label = request.label.clone().unwrap_or_default();
    let text = text(&path, &config, &counts, &overrides, tables.n_columns());
    let experiment = Experiment { file: name.to_owned(), text };
    let of_sgd = Descent::of(counts.n_train, tables.n_columns()).settings();
    let of_sgd = of_sgd.into_iter().map(|(key, value)| format!("descent.{key}={value}")).collect();
    Ok(Some(TableExperiment { experiment, of_sgd, tables, counts, label }))
}

/// Returns the value that the overrides set last.
fn overridden<'a>(overrides: &'a [String], key: &str) -> Option<&'a str> {
    let values = overrides.iter().filter_map(|set| set.strip_prefix(key)?.strip_prefix('='));
    values.map(|value| value.trim_matches(['"', '\''])).next_back()
}

/// Returns the text of the experiment.
fn text(path: &Path, config: &TrainConfig, counts: &LabelCounts, overrides: &[String], n_columns: usize) -> String {
    let mut text = format!("experiment = \"{}\"\n\n{SETTINGS}", experiment_name(path));
    let mut line = |arguments: std::fmt::Arguments| {
        writeln!(text, "{arguments}").expect("writing to a String cannot fail");
    };
    let kind = match &counts.classes[..] {
        [_, _] => ModelKind::Logistic,
        _ => ModelKind::Softmax,
    };
    // Classes that the user names stay in that order.
    if let ([first, second], None) = (&counts.classes[..], &config.data().classes) {
        let ordered = match positive_class([(&first.0, first.1), (&second.0, second.1)]) {
            0 => [first, second],
            _ => [second, first],
        };
        let [positive, negative] = ordered.map(|(class, _)| toml::Value::from(class.as_str()));
        line(format_args!("# The positive class first.\nclasses = [{positive}, {negative}]"));
    }
    let name = if kind == ModelKind::Logistic { "logistic" } else { "softmax" };
    line(format_args!("\n[model]\nkind = \"{name}\""));
    let n = counts.n_train;
    line(format_args!(
        "\n[objective]\n# 1/n for n = {n} training rows: scikit-learn's C = 1.\nl2 = {:e}",
        1.0 / n as f64
    ));
    line(format_args!("\n[descent]"));
    let is_unpenalised = overridden(overrides, "objective.l2").is_some_and(|value| value.parse() == Ok(0.0));
    if overridden(overrides, "descent.solver") == Some("sgd") {
        let settings = Descent::of(n, n_columns).settings().into_iter();
        settings.for_each(|(key, value)| line(format_args!("{key} = {value}")));
    } else if is_unpenalised {
        line(format_args!(
            "# Without a penalty, only Newton's method proves how near the minimum is.\nsolver = \"newton\"\nprecision = \"f64\""
        ));
    } else {
        line(format_args!("solver = \"lbfgs\"\nprecision = \"f64\""));
    }
    text
}

/// Settings of gradient descent on n standardised rows of d columns.
struct Descent {
    batch_size: usize,
    epochs: usize,
    learning_rate: f64,
}

impl Descent {
    fn of(n: usize, d: usize) -> Self {
        /// The number of steps that come close to the minimum on standardised columns.
        const STEPS: usize = 5000;
        let batch_size = (n / 40).clamp(8, 256).min(n);
        let epochs = (STEPS * batch_size).div_ceil(n).clamp(20, 500);
        // The curvature of the cross-entropy is at most a quarter of the mean square of a row.
        let learning_rate = (2.0 / (1.0 + d as f64)).clamp(0.01, 0.5);
        Self { batch_size, epochs, learning_rate: (learning_rate * 1000.0).round() / 1000.0 }
    }

    /// Returns the keys of `[descent]` with their values in TOML.
    fn settings(&self) -> [(&'static str, String); 6] {
        let Self { batch_size, epochs, learning_rate } = self;
        [
            ("solver", "\"sgd\"".to_owned()),
            ("precision", "\"f32\"".to_owned()),
            ("batch_size", batch_size.to_string()),
            ("epochs", epochs.to_string()),
            ("learning_rate", learning_rate.to_string()),
            ("schedule", "\"cosine\"".to_owned()),
        ]
    }
}

/// Returns an experiment's name that resembles the name of the file or folder.
fn experiment_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    let name: String = stem.chars().map(plain).take(50).collect();
    if name.trim_matches('-').is_empty() { "table".to_owned() } else { name }
}

impl TableExperiment {
    /// Returns the checked config, with the command line's overrides.
    pub(crate) fn config(&self, overrides: &[String]) -> Result<TrainConfig> {
        Ok(TrainConfig::parse_overridden(&self.experiment.file, &self.experiment.text, overrides)?)
    }

    /// Describes the labels and the model, for people.
    pub(crate) fn notes(&self, config: &TrainConfig) -> Vec<String> {
        /// How many classes are shown.
        const SHOWN: usize = 8;
        let shown = self.counts.classes.iter().take(SHOWN).map(|(class, rows)| format!("{class} ({rows})"));
        let mut classes = shown.collect::<Vec<_>>().join(", ");
        if self.counts.classes.len() > SHOWN {
            write!(classes, " and {} more", self.counts.classes.len() - SHOWN)
                .expect("writing to a String cannot fail");
        }
        let model = match (config.model().kind, config.classes_by_label()) {
            (ModelKind::Logistic, Some(classes)) => {
                format!("logistic regression; the positive class is {:?}", classes[1].to_string())
            }
            _ => format!("softmax regression of {}", pluralize(self.counts.classes.len(), "class")),
        };
        vec![format!("label {:?}: {classes}; {model}", self.label)]
    }
}

/// Returns notes on options for tables that have no effect, or an error for a label of other data.
pub(crate) fn check_options(options: &TableOptions, data: &Dataset, config: &DataConfig) -> Result<Vec<String>> {
    if let (Some(label), false) = (&options.label, matches!(data, Dataset::Tables(_))) {
        bail!("--label {label}: it names a column of a table, and {} is no table", data.provenance().name);
    }
    let has_own_part = !data.is_validated_on_training() && !data.has_holdout();
    let is_table = matches!(data, Dataset::Tables(_));
    let of_images = [("train_images", config.train_images), ("validation_images", config.validation_images)];
    let without_effect = of_images.into_iter().filter(|(_, number)| is_table && number.is_some());
    let of_part = options.validation.filter(|_| has_own_part);
    let of_part =
        of_part.map(|_| "note: --validation has no effect, since the data has its own validation part".to_owned());
    let of_images =
        without_effect.map(|(key, _)| format!("note: data.{key} has no effect on a table; all rows are used"));
    Ok(of_part.into_iter().chain(of_images).collect())
}

/// How many columns are listed.
const MOST_COLUMNS: usize = 40;

/// Describes in a table what each column becomes. `data` names the columns that the config leaves
/// out.
pub(crate) fn describe(recipe: &Recipe, data: Option<&DataConfig>) -> Vec<String> {
    let of_column = |column: &ColumnRecipe| {
        let note = column.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
        (column.name.clone(), format!("{}{note}", column.encoding))
    };
    let (noted, plain): (Vec<&ColumnRecipe>, Vec<&ColumnRecipe>) =
        recipe.columns.iter().partition(|column| column.note.is_some());
    let left_out = recipe.left_out.iter().map(|LeftOut { name, why }| (name.clone(), format!("left out: {why}")));
    let by_config = data.into_iter().flat_map(|data| {
        let ignored = data.ignore.iter().map(|name| (name.clone(), "left out: data.ignore".to_owned()));
        let group = data.group.iter().map(|name| (name.clone(), "left out: data.group".to_owned()));
        let weight = data.weight.iter().map(|name| (name.clone(), "the weight of the row: data.weight".to_owned()));
        ignored.chain(group).chain(weight)
    });
    // Whatever was left out, or looked odd, is always listed.
    let special: Vec<(String, String)> =
        noted.iter().copied().map(of_column).chain(left_out).chain(by_config).collect();
    let shown = MOST_COLUMNS.saturating_sub(special.len()).max(MOST_COLUMNS / 4).min(plain.len());
    let rows: Vec<(String, String)> = match shown == plain.len() {
        // In the order of the features.
        true => recipe.columns.iter().map(of_column).chain(special.into_iter().skip(noted.len())).collect(),
        false => plain[..shown].iter().copied().map(of_column).chain(special).collect(),
    };
    let width = rows.iter().map(|(name, _)| display_width(name)).max().unwrap_or_default().max(6);
    let mut lines = vec![format!("  {}  becomes", align_left("column", width))];
    lines.extend(rows.iter().map(|(name, becomes)| format!("  {}  {becomes}", align_left(name, width))));
    if shown < plain.len() {
        lines.push(format!("  and {} that became features", pluralize(plain.len() - shown, "more column")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_is_named_after_its_file() {
        let check = |path: &str, expected: &str| assert_eq!(experiment_name(Path::new(path)), expected);
        check("data/people.csv", "people");
        check("my table (2).csv.gz", "my-table--2-");
        check("folder/", "folder");
        check("中文.csv", "table");
    }
}
