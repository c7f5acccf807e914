use std::path::Path;

use chainrule_core::{IMAGE_SIZE_KEY, Settings, TrainConfig, one_line};
use serde_path_to_error::Segment;
use toml::{Table, Value};

use crate::runs::{keys, values};
use crate::{ConfigError, read_text};

/// The number of characters shown of a line that is not TOML.
const SHOWN: usize = 40;

/// The largest size of an experiment file in bytes: a hundred times the usual size.
pub(crate) const MAX_BYTES: u64 = 1 << 16;

/// The name in errors for settings that do not come from the file.
pub(crate) const COMMAND_LINE: &str = "command line";

/// Reads and writes a [`TrainConfig`] as the TOML file of an experiment.
pub trait ConfigFile: Sized {
    /// Reads an experiment from a TOML file and applies `overrides`, each `key=value`.
    ///
    /// # Errors
    /// Fails if the file cannot be read or has invalid settings.
    fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError>;

    /// Parses an experiment. `file` is its name in errors; its stem is the experiment's name if
    /// `text` has none.
    ///
    /// # Errors
    /// Fails if `text` or an override has invalid settings.
    fn parse(file: &str, text: &str, overrides: &[String]) -> Result<Self, ConfigError>;

    /// Like [`parse`](Self::parse), but errors distinguish settings of the file from overrides.
    ///
    /// # Errors
    /// See [`parse`](Self::parse).
    fn parse_overridden(file: &str, text: &str, overrides: &[String]) -> Result<Self, ConfigError>;

    /// Reads the text of an experiment file.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    fn read_text(path: &Path) -> Result<String, ConfigError>;

    /// Returns the experiment with every key, as saved in the run folder. Parsing it gives the same
    /// experiment.
    fn to_toml(&self) -> String;

    /// Returns the keys in which the two differ, each with both values.
    fn differences(&self, other: &Self) -> Vec<String>;
}

impl ConfigFile for TrainConfig {
    fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        // Check overrides first: one without a value may have its value in the place of the file
        // name.
        overrides.iter().try_for_each(|text| keys::key_and_value(text).map(|_| ()))?;
        Self::parse_overridden(&path.display().to_string(), &Self::read_text(path)?, overrides)
    }

    fn parse(file: &str, text: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        parse_from(file, text, overrides, file)
    }

    fn parse_overridden(file: &str, text: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        parse_from(file, text, overrides, COMMAND_LINE)
    }

    fn read_text(path: &Path) -> Result<String, ConfigError> {
        read_text(path, MAX_BYTES).map_err(|problem| ConfigError::Read { file: path.display().to_string(), problem })
    }

    fn to_toml(&self) -> String {
        to_toml(self)
    }

    fn differences(&self, other: &Self) -> Vec<String> {
        let [table, other_table] =
            [self, other].map(|config| toml::from_str::<Table>(&config.to_toml()).expect("TOML"));
        let differing = keys::KEYS.into_iter().filter_map(|key| {
            let [value, other_value] = [&table, &other_table].map(|table| keys::get(table, key));
            let text = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), ToString::to_string);
            (value != other_value).then(|| format!("{key} = {}, not {}", text(value), text(other_value)))
        });
        differing.collect()
    }
}

/// Returns settings, checked or not, as TOML with every key.
pub(crate) fn to_toml(settings: &impl serde::Serialize) -> String {
    toml::to_string(settings).expect("strings, numbers and lists are all that a config holds")
}

/// Like [`ConfigFile::parse`], with the source of the overrides for errors.
pub(crate) fn parse_from(file: &str, text: &str, overrides: &[String], from: &str) -> Result<TrainConfig, ConfigError> {
    let mut table: Table = toml::from_str(text).map_err(|error| {
        let line = text[..error.span().map_or(0, |span| span.start.min(text.len()))].matches('\n').count();
        let line_text: String = text.lines().nth(line).unwrap_or_default().trim().chars().take(SHOWN).collect();
        let line_text = one_line(&line_text);
        let message = format!("{line_text}: this is no TOML ({})", one_line(error.message()));
        ConfigError::Syntax { file: file.to_owned(), line: 1 + line, message }
    })?;
    let set = overrides.iter().map(|text| keys::set(&mut table, text, from)).collect::<Result<Vec<_>, _>>()?;
    let source_of = |key: &str| {
        let is_in = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
        let is_set = set.iter().any(|set| set == key || is_in(key, set) || is_in(set, key));
        if is_set { from.to_owned() } else { file.to_owned() }
    };
    keys::check(source_of, &table)?;
    if keys::get(&table, "model.kind").is_none() {
        return Err(ConfigError::MissingKey {
            file: file.to_owned(),
            key: "model.kind",
            hint: "write [model] and below it kind = \"softmax\" or kind = \"logistic\"",
        });
    }
    let settings: Settings = serde_path_to_error::deserialize(table.clone()).map_err(|error| {
        let (mut parts, mut place) = (Vec::new(), None);
        for segment in error.path() {
            match segment {
                Segment::Map { key } if place.is_none() => parts.push(key.as_str()),
                Segment::Seq { index } => place = place.or(Some(*index)),
                Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        let (key, whole) = (keys::dotted(parts.iter().copied()), keys::at(&table, parts));
        let (file, problem) = (source_of(&key), values::problem(&key, whole, &one_line(error.inner().message())));
        // An error names both sides of an image together.
        let (key, value) = match place.filter(|_| key != IMAGE_SIZE_KEY) {
            Some(place) => (format!("{key}[{place}]"), whole.and_then(|whole| whole.get(place))),
            None => (key, whole),
        };
        let value = value.map(|value| one_line(&value.to_string())).unwrap_or_default();
        ConfigError::Value { file, value, key: one_line(&key), problem }
    })?;

    let stem = Path::new(file).file_stem().map_or_else(|| "run".into(), |stem| stem.to_string_lossy().into_owned());
    let settings = settings.with_default_name(&stem);
    TrainConfig::try_from(settings.clone()).map_err(|error| {
        let settings_table = toml::from_str::<Table>(&to_toml(&settings)).expect("it was written as TOML");
        let value = keys::get(&settings_table, error.key)
            .map_or_else(|| "absent".to_owned(), |value| one_line(&value.to_string()));
        ConfigError::Value { file: source_of(error.key), key: error.key.to_owned(), value, problem: error.problem }
    })
}
