//! The valid values of an experiment's keys, and the messages for invalid ones.

use std::ops::RangeInclusive;

use chainrule_core::{ClassWeights, IMAGE_SIZE_KEY, IMAGE_SIZE_MESSAGE, nearest, range_message, range_of};
use toml::Value;

use crate::CLASS_WEIGHTS;

/// The keys with a fixed set of values.
const ENUM_VALUES: [(&str, &[&str]); 11] = [
    ("data.separator", &["comma", "semicolon", "tab", "bar"]),
    ("data.decimal", &["point", "comma"]),
    ("data.encoding", &["utf-8", "utf-16le", "utf-16be", "windows-1252", "latin-1"]),
    ("data.bad_rows", &["error", "skip"]),
    ("model.kind", &["softmax", "logistic"]),
    ("descent.solver", &["sgd", "lbfgs", "newton"]),
    ("descent.gradient", &["auto", "fused", "closed-form", "autodiff"]),
    ("descent.precision", &["f32", "f64"]),
    ("descent.optimizer", &["sgd", "adam", "adamw", "rmsprop", "adagrad"]),
    ("descent.schedule", &["constant", "linear", "cosine", "exponential", "step"]),
    ("descent.shuffle.generator", &["none", "numpy-legacy", "chacha"]),
];

fn values_of(key: &str) -> Option<&'static [&'static str]> {
    ENUM_VALUES.iter().find(|(known, _)| *known == key).map(|(_, words)| *words)
}

/// Returns the message for an invalid value: what is wrong, and which values are valid. `message`
/// is serde's error.
pub(crate) fn problem(key: &str, value: Option<&Value>, message: &str) -> String {
    let text = value.and_then(Value::as_str);
    if let Some(words) = values_of(key) {
        return expected_values(key, words, text);
    }
    if let Some(range) = range_of(key) {
        return range_message(&range) + &integer_hint(&range, value);
    }
    if key == IMAGE_SIZE_KEY {
        return IMAGE_SIZE_MESSAGE.to_owned();
    }
    let expected = match message.rsplit_once(", expected ").map(|(_, expected)| expected) {
        Some("a sequence") if key == "data.ignore" => {
            "expected a list of the names of columns, as in [\"id\", \"date\"]".to_owned()
        }
        Some("a sequence") if key == "data.missing" => {
            "expected a list of texts that mark a missing value, as in [\"unknown\", \"-9\"]".to_owned()
        }
        Some(_) if key == "data.columns" => COLUMNS_MESSAGE.to_owned(),
        Some(expected) => expectation(expected),
        None => message.to_owned(),
    };
    let meant = text.filter(|_| key == CLASS_WEIGHTS).and_then(|text| nearest(text, [ClassWeights::BALANCED]));
    match (meant, text) {
        (Some(meant), _) => format!("did you mean \"{meant}\"? {expected}"),
        // Text that is not TOML was taken as a string.
        (None, Some(text)) if text.starts_with(['[', '{']) => format!("{expected}; texts in it stand in quotes"),
        _ => expected,
    }
}

/// What `data.columns` accepts.
const COLUMNS_MESSAGE: &str =
    "expected the kinds of columns, number, date or category, as in { zip = \"category\", age = \"number\" }";

/// Translates serde's expectation into terms of a config file.
pub(crate) fn expectation(expected: &str) -> String {
    match expected {
        "usize" | "u64" | "u32" | "u8" => "expected a whole number, 0 or more".to_owned(),
        "f64" => "expected a number".to_owned(),
        "a string" => "expected a text in quotes".to_owned(),
        "a boolean" => "expected true or false".to_owned(),
        "a sequence" => "expected a list, as in [2, 3] or [\"rose\", \"tulip\"]".to_owned(),
        other => format!("expected {other}"),
    }
}

fn expected_values(key: &str, words: &[&'static str], text: Option<&str>) -> String {
    let list = match words {
        [first, second] => format!("{first} or {second}"),
        _ => format!("one of {}", words.join(", ")),
    };
    let of_another =
        || ENUM_VALUES.iter().find(|(other, words)| *other != key && text.is_some_and(|text| words.contains(&text)));
    match (text.and_then(|text| nearest(text, words.iter().copied())), of_another()) {
        (Some(meant), _) => format!("did you mean {meant}? expected {list}"),
        (None, Some((other, _))) => format!("expected {list}; {} is a value of {other}", text.unwrap_or_default()),
        (None, None) => format!("expected {list}"),
    }
}

/// Suggests the integer form of a whole number such as 1e3 or 3.0.
fn integer_hint(range: &RangeInclusive<u64>, value: Option<&Value>) -> String {
    match value {
        Some(Value::Float(number)) if number.fract() == 0.0 && *number >= 0.0 && *number < 1e15 => {
            let whole = *number as u64;
            if range.contains(&whole) { format!("; write {whole}") } else { String::new() }
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chainrule_core::{DataConfig, DescentConfig, INTEGER_RANGES, ModelConfig, ShuffleConfig, TrainConfig};

    use crate::ConfigFile;
    use crate::runs::keys::KEYS;

    /// Returns the error for this value of a key.
    fn refused(key: &str, value: &str) -> String {
        let smallest = "[model]\nkind = 'softmax'";
        TrainConfig::parse("test", smallest, &[format!("{key}={value}")]).expect_err(key).to_string()
    }

    #[test]
    fn the_words_match_the_config_enums() {
        for (key, words) in ENUM_VALUES {
            assert!(KEYS.contains(&key), "{key}");
            let section = key.rsplit_once('.').map_or("", |(section, _)| section);
            let name = key.rsplit('.').next().unwrap_or_default();
            // Serde lists all variants for an unknown one.
            let message = match section {
                "data" => toml::from_str::<DataConfig>(&format!("{name} = '?'")).map(|_| ()),
                "model" => toml::from_str::<ModelConfig>(&format!("{name} = '?'")).map(|_| ()),
                "descent" => toml::from_str::<DescentConfig>(&format!("{name} = '?'")).map(|_| ()),
                _ => toml::from_str::<ShuffleConfig>(&format!("{name} = '?'")).map(|_| ()),
            };
            let message = message.expect_err(key).message().to_owned();
            let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
            assert_eq!(known, words, "{key}: {message}");
        }
    }

    #[test]
    fn a_number_out_of_range_is_rejected_with_the_range() {
        for (key, range) in INTEGER_RANGES {
            assert!(KEYS.contains(&key), "{key}");
            let expected = range_message(&range);
            for value in ["-1", "2.5", "many", "99999999999999999999999", "true", "[1]"] {
                let message = refused(key, value);
                assert!(message.contains(&format!("test: {key} = ")) && message.ends_with(&expected), "{message}");
            }
        }
        assert!(refused("descent.epochs", "1e3").ends_with("from 1 to 1000000; write 1000"));
        assert!(refused("descent.epochs", "1e9").ends_with("from 1 to 1000000"));
    }

    #[test]
    fn errors_use_the_terms_of_a_config_file() {
        let cases = [
            ("model.kind", "svm", "model.kind = \"svm\": expected softmax or logistic"),
            ("model.kind", "3", "model.kind = 3: expected softmax or logistic"),
            ("model.kind", "Softmax", "did you mean softmax? expected softmax or logistic"),
            ("descent.optimizer", "Adam", "did you mean adam? expected one of sgd, adam, adamw, rmsprop, adagrad"),
            ("descent.gradient", "closed_form", "did you mean closed-form?"),
            ("descent.precision", "f16", "descent.precision = \"f16\": expected f32 or f64"),
            ("descent.solver", "adam", "expected one of sgd, lbfgs, newton; adam is a value of descent.optimizer"),
            ("descent.shuffle.generator", "foo", "expected one of none, numpy-legacy, chacha"),
            ("objective.class_weights", "Balanced", "did you mean \"balanced\"? expected \"balanced\", numbers by"),
            ("objective.class_weights", "3", "objective.class_weights = 3: expected \"balanced\", numbers by"),
            ("data.image_size", "28", "data.image_size = 28: expected rows and columns from 1 to 4096"),
            ("data.image_size", "[28]", "data.image_size = [28]: expected rows and columns"),
            ("data.image_size", "[28,28,28]", "expected rows and columns from 1 to 4096"),
            ("data.image_size", "[-1, 28]", "data.image_size = [-1, 28]: expected rows and columns"),
            ("data.classes", "[2, 300]", "data.classes[1] = 300: expected a label from 0 to 255, or a name in quotes"),
            ("data.classes", "[rose,tulip]", "expected a list, as in [2, 3] or [\"rose\", \"tulip\"]; texts in it"),
            ("data.ignore", "id", "data.ignore = \"id\": expected a list of the names of columns"),
            ("data.ignore", "[3]", "data.ignore[0] = 3: expected a text in quotes"),
            ("data.standardize", "maybe", "data.standardize = \"maybe\": expected true or false"),
        ];
        for (key, value, expected) in cases {
            let message = refused(key, value);
            assert!(message.contains(expected), "{message}");
            let of_serde = ["invalid", "variant", "unit", "integer", "string", "`"];
            assert!(of_serde.iter().all(|word| !message.contains(word)), "{message}");
        }
    }
}
