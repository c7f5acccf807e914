//! The experiments that are inside the program, so that it works in any folder.

use std::path::Path;

use chainrule_audit::{Plan, PlanError};
use chainrule_records::ConfigError;

/// Each by its name: those of `configs/` in a checkout, with the why beside each number.
pub(crate) const EXPERIMENTS: [(&str, &str); 4] = [
    (DEFAULT, include_str!("../configs/softmax.toml")),
    ("softmax-optimum", include_str!("../configs/softmax-optimum.toml")),
    ("logistic", include_str!("../configs/logistic.toml")),
    ("logistic-shuffled", include_str!("../configs/logistic-shuffled.toml")),
];

/// The experiment that is meant where none is named.
pub(crate) const DEFAULT: &str = "softmax";

/// The report's plan: `configs/report.toml`.
const REPORT: &str = include_str!("../configs/report.toml");

/// The report's own plan, whose experiments are inside, too.
pub(crate) fn report(overrides: &[String]) -> Result<Plan, PlanError> {
    let read = |path: &Path| {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let absent =
            || ConfigError::Read { file: path.display().to_string(), problem: std::io::ErrorKind::NotFound.into() };
        text(name).map(|text| (name.to_owned(), text.to_owned())).ok_or_else(absent)
    };
    Plan::parse("the report's plan", REPORT, overrides, &read)
}

/// The text of an experiment inside.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    EXPERIMENTS.iter().find(|(inside, _)| *inside == name).map(|(_, text)| *text)
}
