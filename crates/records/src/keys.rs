//! The keys of an experiment: what a file or `--set` may name, and where in it.

use toml::{Table, Value};

use crate::ConfigError;
use crate::sentence::one_line;

/// Every key, in the order of a config file.
pub(crate) const KEYS: [&str; 45] = [
    "data.source",
    "data.train_images",
    "data.validation_images",
    "data.label",
    "data.ignore",
    "data.validation_fraction",
    "data.image_size",
    "data.classes",
    "data.standardize",
    "data.resident_bytes",
    "model.kind",
    "objective.l2",
    "objective.penalize_bias",
    "objective.class_weights",
    "descent.solver",
    "descent.gradient",
    "descent.precision",
    "descent.optimizer",
    "descent.momentum",
    "descent.dampening",
    "descent.nesterov",
    "descent.beta_1",
    "descent.beta_2",
    "descent.alpha",
    "descent.epsilon",
    "descent.decoupled_weight_decay",
    "descent.learning_rate",
    "descent.schedule",
    "descent.final_learning_rate",
    "descent.gamma",
    "descent.step_epochs",
    "descent.batch_size",
    "descent.drop_last",
    "descent.epochs",
    "descent.shuffle.generator",
    "descent.shuffle.seed",
    "descent.shuffle.skip_epochs",
    "optimum.tolerance",
    "optimum.max_iterations",
    "optimum.memory",
    "optimum.evaluate_every",
    "early_stopping.evaluations_per_epoch",
    "early_stopping.patience",
    "early_stopping.restore_best",
    "experiment",
];

/// Parts of the longest key.
const DEEPEST: usize = 3;

/// Refuses a key that no experiment has, naming the nearest one.
pub(crate) fn check_known(file: &str, table: &Table) -> Result<(), ConfigError> {
    let stranger = flatten("", table).into_iter().find(|key| {
        let section = format!("{key}.");
        !KEYS.iter().any(|known| known == key || known.starts_with(&section))
    });
    match stranger {
        None => Ok(()),
        Some(key) => Err(unknown(file, &key)),
    }
}

fn unknown(file: &str, key: &str) -> ConfigError {
    // Abridged first: the distance of a long key takes long.
    let key = one_line(key);
    ConfigError::UnknownKey { file: file.to_owned(), nearest: nearest(&key), key }
}

/// The known key that is most like `key`, or like its last part, if only the section is wrong.
fn nearest(key: &str) -> &'static str {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |known: &str| {
        let whole = strsim::normalized_damerau_levenshtein(known, key);
        let name = strsim::normalized_damerau_levenshtein(&last(known), &last(key));
        whole + 2.0 * name
    };
    KEYS.into_iter().max_by(|a, b| distance(a).total_cmp(&distance(b))).expect("there are keys")
}

/// The dotted names, behind a section's with its dot, of known keys, whose values may be tables, of all other values that are none, and of empty tables.
fn flatten(section: &str, table: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in table {
        let key = format!("{section}{name}");
        match value {
            Value::Table(inner) if !inner.is_empty() && !KEYS.contains(&key.as_str()) => {
                keys.extend(flatten(&format!("{key}."), inner));
            }
            _ => keys.push(key),
        }
    }
    keys
}

/// The value at a dotted key.
pub(crate) fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let (section, rest) = key.split_once('.').map_or((key, None), |(section, rest)| (section, Some(rest)));
    let value = table.get(section)?;
    match rest {
        None => Some(value),
        Some(rest) => get(value.as_table()?, rest),
    }
}

/// A text as the TOML value that it is, where it is one.
pub fn toml_value(text: &str) -> Option<Value> {
    // A text of several lines may be more than a value.
    toml::from_str::<Table>(&format!("value = {text}")).ok().filter(|parsed| parsed.len() == 1)?.remove("value")
}

/// Applies `--set key=value`. The value is TOML, or, where it is not, a string without its quotes.
pub(crate) fn set(table: &mut Table, text: &str) -> Result<(), ConfigError> {
    let malformed = || ConfigError::Override { text: one_line(text) };
    let (key, value) = text.split_once('=').ok_or_else(malformed)?;
    let (key, value) = (key.trim(), value.trim());
    if value.is_empty() || key.split('.').any(str::is_empty) {
        return Err(malformed());
    }
    // Before it is made: a table in a table in a table … would be taken apart again by as many calls in each other.
    if key.split('.').count() > DEEPEST {
        return Err(unknown("--set", key));
    }
    let value = toml_value(value).unwrap_or_else(|| Value::String(value.to_owned()));

    let mut section = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            section.insert(part.to_owned(), value);
            break;
        }
        let entry = section.entry(part).or_insert_with(|| Value::Table(Table::new()));
        section = entry.as_table_mut().ok_or_else(malformed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainConfig;

    #[test]
    fn the_list_of_keys_is_what_a_full_config_writes() {
        let text = "[model]\nkind = 'softmax'\n[data]\ntrain_images = 2\nvalidation_images = 2\nlabel = 'a'\nignore = ['b']\nclasses = [0, 1]\n[objective]\nclass_weights = 'balanced'\n[early_stopping]\npatience = 1";
        // No optimizer and no schedule has every key.
        let descents = ["sgd\nmomentum=0.5", "adamw\nschedule=linear", "rmsprop\nschedule=step"];
        let mut written = Vec::new();
        for descent in descents {
            let set: Vec<String> = format!("optimizer={descent}").lines().map(|set| format!("descent.{set}")).collect();
            let config = TrainConfig::parse("full", text, &set).expect("a valid config");
            written.extend(flatten("", &toml::from_str(&config.to_toml()).expect("TOML")));
        }
        let mut keys = KEYS.map(str::to_owned).to_vec();
        written.sort();
        written.dedup();
        keys.sort();
        assert_eq!(written, keys);
        assert_eq!(KEYS.iter().map(|key| key.split('.').count()).max(), Some(DEEPEST));
    }
}
