//! The built-in experiments. They make the program usable in any folder.

use std::path::Path;

use chainrule_audit::{Plan, PlanError};
use chainrule_records::ConfigError;

/// The names and texts of the built-in experiments: the files in `configs/`.
pub(crate) const EXPERIMENTS: [(&str, &str); 4] = [
    (DEFAULT, include_str!("../configs/softmax.toml")),
    ("softmax-optimum", include_str!("../configs/softmax-optimum.toml")),
    ("logistic", include_str!("../configs/logistic.toml")),
    ("logistic-shuffled", include_str!("../configs/logistic-shuffled.toml")),
];

/// The experiment that is used if none is named.
pub(crate) const DEFAULT: &str = "softmax";

/// The report's plan: `configs/report.toml`.
const REPORT: &str = include_str!("../configs/report.toml");

/// Returns the built-in plan of the report. Its experiments are built in, too.
pub(crate) fn report(overrides: &[String]) -> Result<Plan, PlanError> {
    let read = |path: &Path| {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let absent =
            || ConfigError::Read { file: path.display().to_string(), problem: std::io::ErrorKind::NotFound.into() };
        text(name).map(|text| (name.to_owned(), text.to_owned())).ok_or_else(absent)
    };
    Plan::parse("the report's plan", REPORT, overrides, &read)
}

/// Returns the text of a built-in experiment.
pub(crate) fn text(name: &str) -> Option<&'static str> {
    EXPERIMENTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
