use chainrule_core::one_line;

use crate::runs::values::expectation;

/// Describes a TOML error with its line, in the program's own words.
pub fn toml_problem(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let message = one_line(error.message());
    let named = |beginning: &str| message.strip_prefix(beginning).and_then(|rest| rest.split_once('`'));
    let problem = if let Some((key, rest)) = named("unknown field `") {
        format!("unknown key {key}{}", rest.replace('`', "").replacen(", expected", "; expected", 1))
    } else if let Some((key, _)) = named("missing field `") {
        format!("the key {key} is missing")
    } else {
        match message.rsplit_once(", expected ").filter(|_| message.starts_with("invalid ")) {
            Some((_, expected)) => expectation(expected),
            None => message.clone(),
        }
    };
    format!("line {}: {problem}", 1 + before.matches('\n').count())
}
