//! The keys of an experiment: what a file or an override may name, and where in it.

use toml::{Table, Value};

use crate::sentence::{one_line, plain, share_of, slips};
use crate::{CLASS_WEIGHTS, ConfigError};

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

/// Those whose value is a text: `data.label=2024` names a column, and no number.
const TEXTS: [&str; 3] = ["data.source", "data.label", "experiment"];

/// Those that a file may set and a command line take back, by the value `none`.
pub(crate) const OPTIONAL: [&str; 16] = [
    "data.train_images",
    "data.validation_images",
    "data.classes",
    "objective.class_weights",
    "descent.momentum",
    "descent.dampening",
    "descent.nesterov",
    "descent.beta_1",
    "descent.beta_2",
    "descent.alpha",
    "descent.epsilon",
    "descent.decoupled_weight_decay",
    "descent.final_learning_rate",
    "descent.gamma",
    "descent.step_epochs",
    "early_stopping.patience",
];

/// Parts of the longest key.
const DEEPEST: usize = 3;

/// Refuses a key that no experiment has, and says what was probably meant.
pub(crate) fn check_known(file: impl Fn(&str) -> String, table: &Table) -> Result<(), ConfigError> {
    let stranger = flatten("", table).into_iter().find(|key| {
        let section = format!("{key}.");
        !KEYS.iter().any(|known| known == key || known.starts_with(&section))
    });
    match stranger {
        None => Ok(()),
        Some(key) => Err(unknown(file(&key), &key)),
    }
}

/// Refuses a value in the place of a section.
pub(crate) fn check_sections(file: impl Fn(&str) -> String, table: &Table) -> Result<(), ConfigError> {
    for key in flatten("", table) {
        let section = format!("{key}.");
        let first = KEYS.iter().find(|known| known.starts_with(&section));
        let (Some(first), Some(value)) = (first, get(table, &key).filter(|value| !value.is_table())) else { continue };
        let problem = format!("{key} is a section of keys, which are set one by one, as {first}");
        return Err(ConfigError::Value { file: file(&key), key, value: one_line(&value.to_string()), problem });
    }
    Ok(())
}

fn unknown(file: String, key: &str) -> ConfigError {
    // Abridged first: the distance of a long key takes long.
    let key = one_line(key);
    ConfigError::UnknownKey { file, hint: hint(&key), key }
}

/// What other programs call a key, the name with `_` between its words.
const CALLED: [(&str, &[&str]); 13] = [
    ("descent.learning_rate", &["lr", "eta", "eta0", "rate", "step_size"]),
    ("descent.batch_size", &["batch", "minibatch", "batch_rows"]),
    ("descent.epochs", &["n_epochs", "num_epochs", "n_iter"]),
    ("descent.precision", &["dtype", "float"]),
    ("descent.shuffle.seed", &["random_state", "random_seed"]),
    ("objective.l2", &["l2_strength", "l2_penalty", "lambda", "lambda2", "weight_decay", "regularization", "penalty"]),
    ("objective.penalize_bias", &["penalise_bias"]),
    ("model.kind", &["type", "model", "name"]),
    ("data.source", &["path", "file", "folder", "dataset"]),
    ("data.label", &["target", "labels", "y"]),
    ("data.validation_fraction", &["test_size", "split", "validation_split", "val_split"]),
    ("data.standardize", &["normalize", "normalise", "scale"]),
    ("early_stopping.patience", &["early_stopping"]),
];

/// What parts a table's columns, which is no key.
const SEPARATOR: [&str; 4] = ["separator", "delimiter", "sep", "delim"];

/// The known key that is probably meant by `key`: one that is near it in its own section, or is called so elsewhere; else those that there are.
fn hint(key: &str) -> String {
    let (section, name) = key.rsplit_once('.').unwrap_or_default();
    let name = plain(if name.is_empty() { key } else { name });
    // In another section only the same name is meant, but for a slip in a long one.
    let near = |known: &'static str| {
        let (its_section, its_name) = known.rsplit_once('.').unwrap_or(("", known));
        let is_own = section == its_section;
        let most = if is_own { share_of(&name) } else { name.chars().count() / 8 };
        let is_its_end = || is_own && name.len() > 3 && its_name.ends_with(&format!("_{name}"));
        let slips = slips(&name, its_name, most).or_else(|| is_its_end().then_some(usize::MAX))?;
        Some((slips, !is_own, known))
    };
    let called = CALLED.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(known, _)| *known);
    match (KEYS.into_iter().filter_map(near).min(), called) {
        (Some((1.., _, known)), Some(called)) if known != called => {
            return format!("did you mean {called} or {known}?");
        }
        (Some((_, _, known)), _) | (None, Some(known)) => return format!("did you mean {known}?"),
        (None, None) => {}
    }
    if ["", "data"].contains(&section) && SEPARATOR.iter().any(|known| slips(&name, known, name.len() / 6).is_some()) {
        return "a table's columns are parted by commas, and by nothing else; save it so".to_owned();
    }
    let first = key.split('.').next().unwrap_or_default();
    let own: Vec<&str> = KEYS.into_iter().filter_map(|known| known.strip_prefix(first)?.strip_prefix('.')).collect();
    if own.is_empty() {
        let mut sections: Vec<&str> = KEYS.into_iter().filter_map(|known| Some(known.split_once('.')?.0)).collect();
        sections.dedup();
        format!("the sections are {}", sections.join(", "))
    } else {
        format!("{first} has the keys {}", own.join(", "))
    }
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

/// Refuses what is not of the form `key=value`, as [`TrainConfig::read`] does.
///
/// # Errors
/// [`ConfigError::Override`]
///
/// [`TrainConfig::read`]: crate::TrainConfig::read
pub fn check_override(text: &str) -> Result<(), ConfigError> {
    key_and_value(text).map(|_| ())
}

/// The key and the value of an override, `key=value`.
pub(crate) fn key_and_value(text: &str) -> Result<(&str, &str), ConfigError> {
    let malformed = || ConfigError::Override { text: one_line(text) };
    let (key, value) = text.split_once('=').ok_or_else(malformed)?;
    let (key, value) = (key.trim(), value.trim());
    if value.is_empty() || key.split('.').any(str::is_empty) { Err(malformed()) } else { Ok((key, value)) }
}

/// Applies an override, `key=value`; gives the key. The value is TOML, or, where it is not, a string without its quotes; `none` takes back what may be absent.
pub(crate) fn set<'a>(table: &mut Table, text: &'a str, from: &str) -> Result<&'a str, ConfigError> {
    let (key, value) = key_and_value(text)?;
    // Before it is made: a table in a table in a table … would be taken apart again by as many calls in each other.
    if key.split('.').count() > DEEPEST {
        return Err(unknown(from.to_owned(), key));
    }
    let as_text = || Value::String(value.to_owned());
    let value = match toml_value(value) {
        Some(value @ Value::String(_)) => value,
        Some(_) if TEXTS.contains(&key) => as_text(),
        value => value.unwrap_or_else(as_text),
    };
    let is_taken_back = OPTIONAL.contains(&key) && value.as_str() == Some("none");

    let mut section = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            if is_taken_back {
                section.remove(part);
            } else {
                section.insert(part.to_owned(), value);
            }
            break;
        }
        let entry = section.entry(part).or_insert_with(|| Value::Table(Table::new()));
        // The last word counts, here too: "balanced", say, and then the weight of a class.
        if !entry.is_table() && key.starts_with(CLASS_WEIGHTS) {
            *entry = Value::Table(Table::new());
        }
        section = entry.as_table_mut().ok_or_else(|| unknown(from.to_owned(), key))?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainConfig;

    #[test]
    fn a_key_that_is_none_is_told_what_was_meant_where_that_is_near() {
        let cases = [
            ("descent.epoch", "did you mean descent.epochs?"),
            ("descent.learning-rate", "did you mean descent.learning_rate?"),
            ("learning-rate", "did you mean descent.learning_rate?"),
            ("learnin_rate", "did you mean descent.learning_rate?"),
            ("epochs", "did you mean descent.epochs?"),
            ("descent.lr", "did you mean descent.learning_rate?"),
            ("lr", "did you mean descent.learning_rate?"),
            ("batch", "did you mean descent.batch_size?"),
            ("descent.l2", "did you mean objective.l2?"),
            ("objective.l3", "did you mean objective.l2?"),
            ("objective.lambda2", "did you mean objective.l2?"),
            ("objective.weight_decay", "did you mean objective.l2?"),
            ("descent.weight_decay", "did you mean objective.l2 or descent.decoupled_weight_decay?"),
            ("descent.seed", "did you mean descent.shuffle.seed?"),
            ("optimum.iterations", "did you mean optimum.max_iterations?"),
            ("data.lable", "did you mean data.label?"),
            ("data.standardise", "did you mean data.standardize?"),
            ("data.seperator", "a table's columns are parted by commas, and by nothing else; save it so"),
            ("data.delimiter", "a table's columns are parted by commas, and by nothing else; save it so"),
            ("data.generation", "data has the keys source, train_images,"),
            ("data.header", "data has the keys source, train_images,"),
            ("descent.penguins", "descent has the keys solver, gradient,"),
            ("model.layers", "model has the keys kind"),
            ("early_stopping.min_delta", "early_stopping has the keys evaluations_per_epoch, patience, restore_best"),
            ("penguins", "the sections are data, model, objective, descent, optimum, early_stopping"),
        ];
        for (key, expected) in cases {
            assert!(hint(key).starts_with(expected), "{key}: {}", hint(key));
        }
        assert!(CALLED.iter().all(|(known, _)| KEYS.contains(known)));
    }

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
        assert!(OPTIONAL.iter().chain(&TEXTS).all(|key| KEYS.contains(key)));
        assert_eq!(KEYS.iter().map(|key| key.split('.').count()).max(), Some(DEEPEST));
    }
}
