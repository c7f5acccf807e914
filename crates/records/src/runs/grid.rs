//! A grid over the keys of an experiment: every combination of the values of each key.

use chainrule_core::{TrainConfig, escape_controls, one_line};
use serde::{Deserialize, Serialize};
use toml::Value;

use crate::runs::config_file::{COMMAND_LINE, parse_from};
use crate::runs::keys;
use crate::{ConfigError, toml_value};

/// The only key with tables as values: numbers by name.
pub const CLASS_WEIGHTS: &str = "objective.class_weights";

/// The key of the column with the weight of each row.
pub const ROW_WEIGHTS: &str = "data.weight";

/// The key of the seed. Points that differ only in it are repetitions of one experiment.
pub const SEED: &str = "descent.shuffle.seed";

/// The key of the penalty's strength.
pub const PENALTY: &str = "objective.l2";

/// The key of the solver, on which a table's defaults depend.
const SOLVER: &str = "descent.solver";

/// A key of an experiment and its values in a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridKey {
    /// The dotted key, such as `objective.l2`. A part with a dot is in TOML quotes.
    pub key: String,
    /// The values in order, each in TOML syntax: `0.01`, `"adam"`, `[2, 3]`.
    pub values: Vec<String>,
}

/// Every combination of the keys' values, in order; the last key changes fastest. A grid has at
/// least one key, no key twice, and at most [`Grid::MAX_POINTS`] points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<GridKey>", into = "Vec<GridKey>")]
pub struct Grid {
    keys: Vec<GridKey>,
}

/// An error in a grid, with a one-line message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GridError {
    /// The text is not a key with values.
    #[error(
        "{text}: expected a key and its values, as in objective.l2=0,0.01,0.1; commas in brackets and quotes part no values"
    )]
    Malformed {
        /// The text.
        text: String,
    },
    /// The grid has no keys.
    #[error("the grid has no keys; name one, as in objective.l2=0,0.01,0.1")]
    Empty,
    /// A key occurs twice.
    #[error("the grid has {key} twice; put all its values into one list")]
    Repeated {
        /// The key.
        key: String,
    },
    /// The grid has too many points.
    #[error("the grid has {points} points, and a sweep makes {} at most; leave out values", Grid::MAX_POINTS)]
    TooMany {
        /// The number of points, or a lower bound.
        points: String,
    },
    /// The config of a point is invalid.
    #[error("{point}: {problem}")]
    Point {
        /// The point's number, keys and values.
        point: String,
        /// The error in its config.
        #[source]
        problem: Box<ConfigError>,
    },
}

impl GridKey {
    /// Parses `key=value,value,…`. Each value is TOML, or else a string without quotes, as in
    /// overrides.
    ///
    /// # Errors
    /// Fails if there is no key or no value.
    pub fn parse(text: &str) -> Result<Self, GridError> {
        let malformed = || GridError::Malformed { text: one_line(text) };
        let (key, list) = keys::key_and_text(text).ok_or_else(malformed)?;
        let values: Vec<&str> = parts(list).into_iter().map(str::trim).collect();
        if key.iter().any(String::is_empty) || values.iter().any(|value| value.is_empty()) {
            return Err(malformed());
        }
        let key = keys::dotted(key.iter().map(String::as_str));
        let written = |value: &&str| match toml_value(value) {
            Some(Value::Table(_)) if key != CLASS_WEIGHTS => Err(malformed()),
            // Keep the notation: 1e-5 is easier to read than TOML's own form.
            Some(Value::Integer(_) | Value::Float(_)) => Ok((*value).to_owned()),
            Some(value) => Ok(value.to_string()),
            None => Ok(Value::String((*value).to_owned()).to_string()),
        };
        Ok(Self { values: values.iter().map(written).collect::<Result<_, _>>()?, key })
    }
}

/// Returns a grid value for display: a string without quotes, other values unchanged.
pub fn plain_value(value: &str) -> String {
    match toml_value(value) {
        Some(Value::String(text)) => one_line(&text),
        _ => escape_controls(value).into_owned(),
    }
}

/// Returns a grid value as a number, if it is one.
pub fn number_value(value: &str) -> Option<f64> {
    match toml_value(value)? {
        Value::Integer(number) => Some(number as f64),
        Value::Float(number) => Some(number).filter(|number| number.is_finite()),
        _ => None,
    }
}

/// Splits at the commas outside brackets and quotes.
fn parts(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut depth, mut quotes) = (0, 0usize, keys::Quotes::default());
    for (at, c) in list.char_indices() {
        match (quotes.take(c, true), c) {
            (false, '[' | '{') => depth += 1,
            (false, ']' | '}') => depth = depth.saturating_sub(1),
            (false, ',') if depth == 0 => {
                parts.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[begin..]);
    parts
}

impl Grid {
    /// The largest number of points.
    pub const MAX_POINTS: usize = 1000;

    /// Creates the grid of these keys.
    ///
    /// # Errors
    /// Fails if there is no key, a repeated key, a key without values, or too many points.
    pub fn new(keys: Vec<GridKey>) -> Result<Self, GridError> {
        if keys.is_empty() {
            return Err(GridError::Empty);
        }
        for (i, GridKey { key, values }) in keys.iter().enumerate() {
            if keys[..i].iter().any(|earlier| earlier.key == *key) {
                return Err(GridError::Repeated { key: one_line(key) });
            }
            if values.is_empty() {
                return Err(GridError::Malformed { text: format!("{}=", one_line(key)) });
            }
        }
        let points = keys.iter().try_fold(1usize, |points, key| points.checked_mul(key.values.len()));
        match points {
            Some(..=Self::MAX_POINTS) => Ok(Self { keys }),
            Some(points) => Err(GridError::TooMany { points: points.to_string() }),
            None => Err(GridError::TooMany { points: format!("more than {}", usize::MAX) }),
        }
    }

    /// Returns the keys with their values.
    pub fn keys(&self) -> &[GridKey] {
        &self.keys
    }

    /// Returns for each point the index of its value of each key.
    pub fn points(&self) -> Vec<Vec<usize>> {
        let mut points = vec![Vec::new()];
        for key in &self.keys {
            points =
                points.iter().flat_map(|point| (0..key.values.len()).map(|i| [&point[..], &[i]].concat())).collect();
        }
        points
    }

    /// Returns for each point the value of each key, in TOML syntax.
    pub fn values(&self) -> Vec<Vec<&str>> {
        let values = |point: Vec<usize>| self.keys.iter().zip(point).map(|(key, i)| key.values[i].as_str()).collect();
        self.points().into_iter().map(values).collect()
    }

    /// Returns a short name of each key: its last part, or the whole key if several keys share that
    /// part.
    pub fn short_names(&self) -> Vec<&str> {
        fn last(key: &GridKey) -> &str {
            keys::last_part(&key.key)
        }
        let is_shared = |name: &str| self.keys.iter().filter(|key| last(key) == name).count() > 1;
        self.keys.iter().map(|key| if is_shared(last(key)) { &key.key } else { last(key) }).collect()
    }

    /// Returns the configs of all points. Each applies the file's text, then `of_sgd` if the
    /// point's solver is `sgd`, then `overrides`, then the values of the point.
    ///
    /// # Errors
    /// Fails for the first point with an invalid config, with its keys and values.
    pub fn configs(
        &self,
        file: &str,
        text: &str,
        of_sgd: &[String],
        overrides: &[String],
    ) -> Result<Vec<TrainConfig>, GridError> {
        let config = |(i, values): (usize, Vec<&str>)| {
            let is_sgd = self.keys.iter().zip(&values).any(|(key, value)| key.key == SOLVER && *value == "\"sgd\"");
            let point_overrides = self.keys.iter().zip(values).map(|(key, value)| format!("{}={value}", key.key));
            let of_solver = if is_sgd { of_sgd } else { &[] };
            let overrides: Vec<String> = of_solver.iter().chain(overrides).cloned().chain(point_overrides).collect();
            parse_from(file, text, &overrides, COMMAND_LINE)
                .map_err(|problem| GridError::Point { point: self.describe(i), problem: Box::new(problem) })
        };
        self.values().into_iter().enumerate().map(config).collect()
    }

    /// Describes the point with this index: its number from 1, its keys and its values.
    pub fn describe(&self, point: usize) -> String {
        let values = self.values().into_iter().nth(point).unwrap_or_default();
        let pairs: Vec<String> =
            self.keys.iter().zip(values).map(|(key, value)| format!("{} = {value}", key.key)).collect();
        format!("point {}, {}", point + 1, one_line(&pairs.join(", ")))
    }

    /// Returns the differences from another grid, one phrase per key.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let list = |grid: &Self, key: &str| {
            let found = grid.keys.iter().find(|candidate| candidate.key == key);
            found.map_or_else(|| "absent".to_owned(), |key| one_line(&key.values.join(",")))
        };
        let mut names: Vec<&str> = self.keys.iter().chain(&other.keys).map(|key| key.key.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let differing = names.into_iter().map(|key| (key, list(self, key), list(other, key)));
        let differences: Vec<String> = differing
            .filter(|(_, values_here, values_there)| values_here != values_there)
            .map(|(key, values_here, values_there)| format!("grid: {key} = {values_here}, not {values_there}"))
            .collect();
        let has_another_order = differences.is_empty() && self != other;
        if has_another_order { vec!["grid: its keys in another order".to_owned()] } else { differences }
    }
}

impl TryFrom<Vec<GridKey>> for Grid {
    type Error = GridError;

    fn try_from(keys: Vec<GridKey>) -> Result<Self, GridError> {
        Self::new(keys)
    }
}

impl From<Grid> for Vec<GridKey> {
    fn from(grid: Grid) -> Self {
        grid.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_outside_brackets_and_quotes_separate_values() {
        let check = |text: &str, key: &str, values: &[&str]| {
            let parsed = GridKey::parse(text).expect("a key with values");
            assert_eq!((parsed.key.as_str(), parsed.values), (key, values.iter().map(|v| (*v).to_owned()).collect()));
        };
        check("objective.l2=0,0.001, 1e-5", "objective.l2", &["0", "0.001", "1e-5"]);
        check("descent.optimizer=sgd,\"adam\",'adamw'", "descent.optimizer", &["\"sgd\"", "\"adam\"", "\"adamw\""]);
        check("data.classes=[2,3],[0,1,[7]]", "data.classes", &["[2, 3]", "[0, 1, [7]]"]);
        check("objective.class_weights={no=1,yes=2},balanced", CLASS_WEIGHTS, &["{ no = 1, yes = 2 }", "\"balanced\""]);
        check("data.label='a,b',\"c\\\",d\"", "data.label", &["\"a,b\"", "'c\",d'"]);
        check(" early_stopping.restore_best = true , false", "early_stopping.restore_best", &["true", "false"]);
        // Text that is not TOML is a string, including comment characters and line breaks.
        check("data.source=a b,c # d", "data.source", &["\"a b\"", "\"c # d\""]);
        for bad in ["objective.l2", "=1", "objective.l2=", "a=1,,2", "a=1,", "a..b=1", "model={kind=1}"] {
            let error = GridKey::parse(bad).expect_err(bad).to_string();
            assert!(error.starts_with(&format!("{bad}: expected a key and its values")), "{error}");
        }
    }

    #[test]
    fn the_last_key_changes_fastest_and_short_names_stay_different() {
        let grid = |texts: &[&str]| {
            Grid::new(texts.iter().map(|text| GridKey::parse(text).expect("a key")).collect()).expect("a grid")
        };
        let two = grid(&["objective.l2=0,1", "descent.epochs=1,2,3"]);
        let values: Vec<String> = two.values().iter().map(|values| values.join(" ")).collect();
        assert_eq!(values, ["0 1", "0 2", "0 3", "1 1", "1 2", "1 3"]);
        assert_eq!(two.short_names(), ["l2", "epochs"]);
        assert_eq!(grid(&["a.seed=1", "b.seed=1", "c=1"]).short_names(), ["a.seed", "b.seed", "c"]);
    }
}
