//! The keys of an experiment, and how files and overrides name them.

use chainrule_core::{edit_distance_within, max_typos, normalise_name, one_line};
use toml::{Table, Value};

use crate::{CLASS_WEIGHTS, ConfigError};

/// Every key, in the order of a config file.
pub(crate) const KEYS: [&str; 56] = [
    "data.source",
    "data.train_images",
    "data.validation_images",
    "data.label",
    "data.ignore",
    "data.columns",
    "data.missing",
    "data.max_categories",
    "data.min_rows",
    "data.group",
    "data.weight",
    "data.separator",
    "data.decimal",
    "data.encoding",
    "data.header",
    "data.bad_rows",
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

/// The keys with text values: `data.label=2024` names a column and is not a number.
const TEXT_KEYS: [&str; 5] = ["data.source", "data.label", "data.group", "data.weight", "experiment"];

/// The optional keys. The value `none` on the command line removes a setting of the file.
pub(crate) const OPTIONAL: [&str; 20] = [
    "data.train_images",
    "data.validation_images",
    "data.separator",
    "data.decimal",
    "data.encoding",
    "data.header",
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

/// The largest number of parts in a key.
const MAX_DEPTH: usize = 3;

/// Fails for an unknown key, with a suggestion, and for a value in the place of a section.
pub(crate) fn check(file: impl Fn(&str) -> String, table: &Table) -> Result<(), ConfigError> {
    let mut values = None;
    for (key, value) in flatten(table) {
        let section = format!("{key}.");
        match KEYS.iter().find(|known| known.starts_with(&section)) {
            Some(first) if !value.is_table() => values = values.or(Some((key, value, *first))),
            Some(_) => {}
            None if KEYS.contains(&key.as_str()) => {}
            None => return Err(unknown(file(&key), &key)),
        }
    }
    match values {
        None => Ok(()),
        Some((key, value, first)) => {
            let problem = format!("{key} is a section of keys, which are set one by one, as {first}");
            Err(ConfigError::Value { file: file(&key), key, value: one_line(&value.to_string()), problem })
        }
    }
}

fn unknown(file: String, key: &str) -> ConfigError {
    // Shorten the key first: the edit distance of a long key is slow.
    let key = one_line(key);
    let hint = match key.strip_prefix(CLASS_WEIGHTS).and_then(|rest| rest.strip_prefix('.')) {
        Some(_) => format!("a class whose name has a dot stands in quotes: {CLASS_WEIGHTS}.\"a.b\""),
        // Remove quotes, which join parts with dots.
        None => hint(&key.replace(['"', '\''], "")),
    };
    ConfigError::UnknownKey { file, hint, key }
}

/// The names of keys in other programs, with `_` between words.
const ALIASES: [(&str, &[&str]); 20] = [
    ("descent.learning_rate", &["lr", "eta", "eta0", "rate", "step_size"]),
    ("descent.batch_size", &["batch", "minibatch", "batch_rows"]),
    ("descent.epochs", &["n_epochs", "num_epochs", "n_iter"]),
    ("descent.precision", &["dtype", "float"]),
    ("descent.shuffle.seed", &["random_state", "random_seed"]),
    ("objective.l2", &["l2_strength", "l2_penalty", "lambda", "lambda2", "weight_decay", "regularization", "penalty"]),
    ("objective.penalize_bias", &["penalise_bias"]),
    ("model.kind", &["type", "model", "name"]),
    ("data.source", &["path", "file", "folder", "dataset"]),
    ("data.missing", &["na_values", "na", "missing_values"]),
    ("data.group", &["groups", "by"]),
    ("data.weight", &["weights", "sample_weight", "row_weight", "case_weights", "importance"]),
    ("data.separator", &["sep", "delimiter", "delim"]),
    ("data.decimal", &["dec", "decimal_mark"]),
    ("data.encoding", &["charset", "file_encoding"]),
    ("data.bad_rows", &["on_bad_lines", "bad_lines", "ignore_errors"]),
    ("data.label", &["target", "labels", "y"]),
    ("data.validation_fraction", &["test_size", "split", "validation_split", "val_split"]),
    ("data.standardize", &["normalize", "normalise", "scale"]),
    ("early_stopping.patience", &["early_stopping"]),
];

/// Returns a suggestion for an unknown key: a similar key of the same section, a key with this name
/// in another program, or a list of keys.
fn hint(key: &str) -> String {
    let (section, name) = key.rsplit_once('.').unwrap_or_default();
    let name = normalise_name(if name.is_empty() { key } else { name });
    // In another section the name must match, except for typos in a long name.
    let near = |known: &'static str| {
        let (known_section, known_name) = known.rsplit_once('.').unwrap_or(("", known));
        let is_same_section = section == known_section;
        let max_distance = if is_same_section { max_typos(&name) } else { name.chars().count() / 8 };
        let is_suffix = || is_same_section && name.len() > 3 && known_name.ends_with(&format!("_{name}"));
        let distance =
            edit_distance_within(&name, known_name, max_distance).or_else(|| is_suffix().then_some(usize::MAX))?;
        Some((distance, !is_same_section, known))
    };
    let alias = ALIASES.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(known, _)| *known);
    match (KEYS.into_iter().filter_map(near).min(), alias) {
        (Some((1.., _, known)), Some(alias)) if known != alias => {
            return format!("did you mean {alias} or {known}?");
        }
        (Some((_, _, known)), _) | (None, Some(known)) => return format!("did you mean {known}?"),
        (None, None) => {}
    }
    let first = key.split('.').next().unwrap_or_default();
    let section_keys: Vec<&str> =
        KEYS.into_iter().filter_map(|known| known.strip_prefix(first)?.strip_prefix('.')).collect();
    if section_keys.is_empty() {
        let mut sections: Vec<&str> = KEYS.into_iter().filter_map(|known| Some(known.split_once('.')?.0)).collect();
        sections.dedup();
        format!("the sections are {}", sections.join(", "))
    } else {
        format!("{first} has the keys {}", section_keys.join(", "))
    }
}

/// Returns all values by their dotted keys. The value of a known key may be a table; an empty table
/// counts as a value.
fn flatten(table: &Table) -> Vec<(String, &Value)> {
    fn add<'a>(section: &str, table: &'a Table, all: &mut Vec<(String, &'a Value)>) {
        for (name, value) in table {
            let key = format!("{section}{}", dotted([name.as_str()]));
            match value {
                Value::Table(inner) if !inner.is_empty() && !KEYS.contains(&key.as_str()) => {
                    add(&format!("{key}."), inner, all);
                }
                _ => all.push((key, value)),
            }
        }
    }
    let mut all = Vec::new();
    add("", table, &mut all);
    all
}

/// Returns whether a part of a dotted key needs no quotes.
fn is_plain(part: &str) -> bool {
    let is_quoted = part.contains(['.', '=', '"', '\'']) || part.chars().any(char::is_control);
    !part.is_empty() && part == part.trim() && !is_quoted
}

/// Returns the dotted key of these parts. If a part needs quotes, the result is a TOML key.
pub(crate) fn dotted<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let parts: Vec<&str> = parts.into_iter().collect();
    if parts.iter().all(|part| is_plain(part)) {
        return parts.join(".");
    }
    let in_toml = |part: &str| {
        let line = Table::from_iter([(part.to_owned(), Value::from(0))]).to_string();
        line.trim_end().strip_suffix("= 0").unwrap_or_default().trim_end().to_owned()
    };
    parts.into_iter().map(in_toml).collect::<Vec<_>>().join(".")
}

/// Tracks TOML quotes in a text, character by character.
#[derive(Default)]
pub(crate) struct Quotes {
    open: Option<char>,
    is_escaped: bool,
}

impl Quotes {
    /// Returns whether the next character is a quote or is inside quotes. A quote opens only if
    /// `may_open` is set.
    pub(crate) fn take(&mut self, c: char, may_open: bool) -> bool {
        match (self.open, c) {
            (Some('"'), _) if self.is_escaped => self.is_escaped = false,
            (Some('"'), '\\') => self.is_escaped = true,
            (Some(open), _) if c == open => self.open = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if may_open => self.open = Some(c),
            (None, _) => return false,
        }
        true
    }
}

/// Returns the positions of the dots outside quotes, and of the first `=` outside quotes.
fn separators(text: &str) -> (Vec<usize>, Option<usize>) {
    let (mut dots, mut quotes, mut begins) = (Vec::new(), Quotes::default(), true);
    for (at, c) in text.char_indices() {
        match (quotes.take(c, begins), c) {
            (false, '.') => dots.push(at),
            (false, '=') => return (dots, Some(at)),
            _ => {}
        }
        begins = c == '.' || (begins && c == ' ');
    }
    (dots, None)
}

/// Returns the last part of a dotted key.
pub(crate) fn last_part(key: &str) -> &str {
    separators(key).0.last().map_or(key, |dot| &key[dot + 1..])
}

/// Splits at the first `=` into the parts of the dotted key and the value. A part in TOML quotes
/// may contain a dot or `=`. A part without quotes may contain characters that TOML forbids.
pub(crate) fn key_and_text(text: &str) -> Option<(Vec<String>, &str)> {
    if let (dots, Some(end)) = separators(text)
        && text[..end].contains(['"', '\''])
        && dots.len() < MAX_DEPTH
        && let Some(parts) = toml_key(text[..end].trim())
    {
        return Some((parts, &text[end + 1..]));
    }
    let (key, text) = text.split_once('=')?;
    Some((key.split('.').map(|part| part.trim().to_owned()).collect(), text))
}

/// Returns the parts of a TOML key.
fn toml_key(text: &str) -> Option<Vec<String>> {
    // Text of several lines may be more than a key. `[` starts a table header and `#` a comment.
    if text.starts_with(['[', '#']) || text.contains(char::is_control) {
        return None;
    }
    let mut value = Value::Table(toml::from_str(&format!("{text} = 0")).ok()?);
    let mut parts = Vec::new();
    while let Value::Table(table) = value {
        let (part, inner) = table.into_iter().next()?;
        parts.push(part);
        value = inner;
    }
    Some(parts)
}

/// Returns the value of a key in [`KEYS`].
pub(crate) fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    at(table, key.split('.'))
}

/// Returns the value at these parts of a key.
pub(crate) fn at<'a, 'p>(table: &'a Table, parts: impl IntoIterator<Item = &'p str>) -> Option<&'a Value> {
    let mut parts = parts.into_iter();
    let first = table.get(parts.next()?);
    parts.try_fold(first?, |value, part| value.as_table()?.get(part))
}

/// Parses a text as a TOML value. Returns `None` if it is not one.
pub fn toml_value(text: &str) -> Option<Value> {
    // Text of several lines may be more than a value.
    toml::from_str::<Table>(&format!("value = {text}")).ok().filter(|parsed| parsed.len() == 1)?.remove("value")
}

/// Checks that an override has the form `key=value`, as [`ConfigFile::read`] does.
///
/// # Errors
/// [`ConfigError::Override`]
///
/// [`ConfigFile::read`]: crate::ConfigFile::read
pub fn check_override(text: &str) -> Result<(), ConfigError> {
    key_and_value(text).map(|_| ())
}

/// Splits an override `key=value` into the parts of the key and the value.
pub(crate) fn key_and_value(text: &str) -> Result<(Vec<String>, &str), ConfigError> {
    let malformed = || ConfigError::Override { text: one_line(text) };
    let (parts, value) = key_and_text(text).ok_or_else(malformed)?;
    let value = value.trim();
    if value.is_empty() || parts.iter().any(String::is_empty) { Err(malformed()) } else { Ok((parts, value)) }
}

/// Applies an override `key=value` and returns the dotted key. The value is TOML, or else a string
/// without quotes. `none` removes an optional setting.
pub(crate) fn set(table: &mut Table, text: &str, from: &str) -> Result<String, ConfigError> {
    let (parts, value) = key_and_value(text)?;
    let key = dotted(parts.iter().map(String::as_str));
    // Check the depth before nested tables are built: dropping a deeply nested table recurses as
    // deeply.
    if parts.len() > MAX_DEPTH {
        return Err(unknown(from.to_owned(), &key));
    }
    let as_text = || Value::String(value.to_owned());
    let value = match toml_value(value) {
        Some(value @ Value::String(_)) => value,
        Some(_) if TEXT_KEYS.contains(&key.as_str()) => as_text(),
        value => value.unwrap_or_else(as_text),
    };
    let is_taken_back = OPTIONAL.contains(&key.as_str()) && value.as_str() == Some("none");

    let mut section = table;
    let mut parts = parts.into_iter().peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            if is_taken_back {
                section.remove(&part);
            } else {
                section.insert(part, value);
            }
            break;
        }
        let entry = section.entry(part).or_insert_with(|| Value::Table(Table::new()));
        // The last override wins, for example a class weight after "balanced".
        if !entry.is_table() && key.starts_with(CLASS_WEIGHTS) {
            *entry = Value::Table(Table::new());
        }
        section = entry.as_table_mut().ok_or_else(|| unknown(from.to_owned(), &key))?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chainrule_core::{Settings, TrainConfig};

    use crate::ConfigFile;
    use crate::runs::config_file::to_toml;

    #[test]
    fn an_unknown_key_gets_a_suggestion() {
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
            ("data.seperator", "did you mean data.separator?"),
            ("data.delimiter", "did you mean data.separator?"),
            ("data.charset", "did you mean data.encoding?"),
            ("data.on_bad_lines", "did you mean data.bad_rows?"),
            ("data.generation", "data has the keys source, train_images,"),
            ("descent.penguins", "descent has the keys solver, gradient,"),
            ("model.layers", "model has the keys kind"),
            ("early_stopping.min_delta", "early_stopping has the keys evaluations_per_epoch, patience, restore_best"),
            ("penguins", "the sections are data, model, objective, descent, optimum, early_stopping"),
        ];
        for (key, expected) in cases {
            assert!(hint(key).starts_with(expected), "{key}: {}", hint(key));
        }
        assert!(ALIASES.iter().all(|(known, _)| KEYS.contains(known)));
    }

    #[test]
    fn the_key_list_matches_a_full_config() {
        let text = "[model]\nkind = 'softmax'\n[data]\ntrain_images = 2\nvalidation_images = 2\nlabel = 'a'\nignore = ['b']\ncolumns = { c = 'date' }\nmissing = ['x']\nmax_categories = 9\nmin_rows = 2\nweight = 'w'\ngroup = 'g'\nseparator = 'tab'\ndecimal = 'comma'\nencoding = 'latin-1'\nheader = false\nbad_rows = 'skip'\nclasses = [0, 1]\n[objective]\nclass_weights = 'balanced'\n[early_stopping]\npatience = 1";
        // No single optimizer or schedule has every key.
        let descents = ["sgd\nmomentum=0.5", "adamw\nschedule=linear", "rmsprop\nschedule=step"];
        let mut written = Vec::new();
        for descent in descents {
            let set: Vec<String> = format!("optimizer={descent}").lines().map(|set| format!("descent.{set}")).collect();
            let config = TrainConfig::parse("full", text, &set).expect("a valid config");
            let table: Table = toml::from_str(&config.to_toml()).expect("TOML");
            written.extend(flatten(&table).into_iter().map(|(key, _)| key));
        }
        let mut keys = KEYS.map(str::to_owned).to_vec();
        written.sort();
        written.dedup();
        keys.sort();
        assert_eq!(written, keys);
        assert_eq!(KEYS.iter().map(|key| key.split('.').count()).max(), Some(MAX_DEPTH));
    }
    /// Returns a full config with this value of one key, if its type accepts the value.
    fn with(key: &str, value: &Value) -> Option<Table> {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table = Table::from_iter([(name.to_owned(), value.clone())]);
        for part in section.rsplit('.').filter(|part| !part.is_empty()) {
            table = Table::from_iter([(part.to_owned(), Value::Table(table))]);
        }
        let model = table.entry("model").or_insert_with(|| Value::Table(Table::new()));
        model.as_table_mut()?.entry("kind").or_insert_with(|| Value::from("softmax"));
        let settings: Settings = table.try_into().ok()?;
        Some(toml::from_str(&to_toml(&settings.with_default_name("stem"))).expect("TOML"))
    }

    #[test]
    fn the_text_and_optional_key_lists_match_the_types() {
        let texts = KEYS.into_iter().filter(|key| with(key, &Value::from("no word of ours")).is_some());
        assert_eq!(texts.collect::<Vec<_>>(), TEXT_KEYS.to_vec());
        // The optional keys are absent by default. Exclude lists that may be empty, and texts, for
        // which `none` is an ordinary value.
        let defaults = with("model.kind", &Value::from("softmax")).expect("a config");
        let is_empty_list =
            |key: &str| with(key, &Value::Array(Vec::new())).is_some_and(|written| get(&written, key).is_none());
        let absent = KEYS.into_iter().filter(|key| get(&defaults, key).is_none());
        // These are written only if they differ from their defaults.
        let has_default =
            |key: &str| ["data.columns", "data.max_categories", "data.min_rows", "data.bad_rows"].contains(&key);
        let optional = absent.filter(|key| !TEXT_KEYS.contains(key) && !is_empty_list(key) && !has_default(key));
        assert_eq!(optional.collect::<Vec<_>>(), OPTIONAL.to_vec());
    }

    #[test]
    fn a_key_part_in_quotes_may_have_a_dot_and_an_equals_sign() {
        let check = |text: &str, parts: &[&str], value: &str| {
            let found = key_and_value(text).expect(text);
            assert_eq!(found, (parts.iter().map(|part| (*part).to_owned()).collect(), value), "{text}");
            // Formatting the parts gives the same override.
            let again = format!("{}={value}", dotted(parts.iter().copied()));
            assert_eq!(key_and_value(&again).expect(&again), found, "{again}");
        };
        check("a.b.c=1", &["a", "b", "c"], "1");
        check("a.b.\"x.y\"=1", &["a", "b", "x.y"], "1");
        check("a.\"b=c\"=1", &["a", "b=c"], "1");
        check("a.'b=\"c\"'=\"d=e\"", &["a", "b=\"c\""], "\"d=e\"");
        check(" a . \"b \\\" = c\" = 1 ", &["a", "b \" = c"], "1");
        check("a.\"\\u00e9\"=1", &["a", "\u{e9}"], "1");
        check("a.\" b \"=1", &["a", " b "], "1");
        check("\"a.b\"=1", &["a.b"], "1");
        // Not valid TOML keys, but such names need no quotes.
        check("a.versicolor iris=1", &["a", "versicolor iris"], "1");
        check("a.na\u{ef}ve=1", &["a", "na\u{ef}ve"], "1");
        check("a.it's=it's", &["a", "it's"], "it's");
        check("a.it's'=b=c", &["a", "it's'"], "b=c");
        check("a.\"b=c", &["a", "\"b"], "c");
        check("a.\"b\"c=1", &["a", "\"b\"c"], "1");
        check("#a.\"b\"=1", &["#a", "\"b\""], "1");
        assert_eq!([last_part("a.b.\"x.y\""), last_part("a"), last_part("a.it's.b")], ["\"x.y\"", "a", "b"]);
        for bad in ["a", "=1", "a=", "a..b=1", ".a=1", "a.=1", "a.\"\"=1", "a. =1"] {
            key_and_value(bad).expect_err(bad);
        }
    }
}
