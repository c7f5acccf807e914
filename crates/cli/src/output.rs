//! Everything that the program prints: answers on standard output, messages on standard error.
//!
//! Terminals obey control characters. All text that is not this program's own, such as file names
//! and fields of a manifest, is printed with control characters visible.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write};

use chainrule_core::{escape_controls, is_control_like};
use chainrule_data::DataError;
use chainrule_records::RunError;

use crate::exit;

/// An error: standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub(crate) struct OutputError(#[from] std::io::Error);

/// An answer for a person. Each added line stays one line of output, whatever it contains.
#[derive(Debug, Default)]
pub(crate) struct Lines(String);

impl Lines {
    pub(crate) fn add(&mut self, line: impl AsRef<str>) {
        self.0.push_str(escape_controls(line.as_ref()).trim_end());
        self.empty_line();
    }

    /// Adds an empty line, or ends the current one.
    pub(crate) fn empty_line(&mut self) {
        self.0.push('\n');
    }

    /// Adds text with escape sequences. It must contain only this program's own text.
    pub(crate) fn drawn(&mut self, drawn: &str) {
        self.0.push_str(drawn);
    }

    /// Returns the text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    pub(crate) fn print(&self) -> Result<(), OutputError> {
        print_as_is(&self.0)
    }
}

/// Prints an answer of one line.
pub(crate) fn print_line(line: impl AsRef<str>) -> Result<(), OutputError> {
    let mut lines = Lines::default();
    lines.add(line);
    lines.print()
}

/// Prints an answer for programs.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), OutputError> {
    print_as_is(&as_json(value))
}

/// Prints a text without escaping. Every character must be this program's own.
pub(crate) fn print_as_is(text: &str) -> Result<(), OutputError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Formats a value as JSON. JSON escapes control characters without changing the value.
pub(crate) fn as_json(value: &impl serde::Serialize) -> String {
    let mut json = escape_json(&serde_json::to_string_pretty(value).expect("records hold only what JSON can"));
    json.push('\n');
    json
}

/// Returns a field of a CSV file, in quotes where it needs them.
pub(crate) fn csv_field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Escapes the control characters in a JSON text, without changing its values.
pub(crate) fn escape_json(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // Outside of strings, the line break is the only control character. Inside strings, serde
        // has escaped it.
        match c {
            '\n' => json.push(c),
            _ if is_control_like(c) => {
                write!(json, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail");
            }
            _ => json.push(c),
        }
    }
    json
}

/// Prints one message on standard error. Errors of writing are ignored.
pub(crate) fn print_message(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", escape_controls(line));
}

/// Prints the error of a command and returns the exit code.
pub(crate) fn report_error(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<OutputError>() {
        Some(OutputError(problem)) if problem.kind() == ErrorKind::BrokenPipe => exit::BROKEN_PIPE,
        _ => {
            print_message(&format!("error: {}", with_advice(error)));
            exit::ERROR
        }
    }
}

/// Joins an error with its causes. A cause that the error already contains is not repeated.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |message, cause| match message.is_empty() {
        true => cause,
        false if message.contains(&cause) => message,
        false => format!("{message}: {cause}"),
    })
}

/// Like [`with_causes`], with the command line option that helps. The library's errors do not know
/// the options.
pub(crate) fn with_advice(error: &anyhow::Error) -> String {
    let message = with_causes(error);
    match error.chain().find_map(option_for) {
        Some(option) => format!("{message}; {option}"),
        None => message,
    }
}

/// Returns the option that helps with this error.
fn option_for(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<DataError>() {
        return match error {
            DataError::NoLabel { .. } => Some("name it with --label COLUMN".to_owned()),
            DataError::ManyDigits { .. } => Some(
                "write them with chainrule data --write-idx DIR --train-images N, and use them with --data DIR"
                    .to_owned(),
            ),
            _ => None,
        };
    }
    match error.downcast_ref::<RunError>()? {
        RunError::Damaged { run, .. } => Some(format!("use train --resume {}", run.display())),
        RunError::IsSweep { folder } => Some(format!("sweep --resume {} continues it", folder.display())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_line_with_control_characters_stays_one_line() {
        let mut lines = Lines::default();
        lines.add("a\nerror: forged \u{1b}[2J\u{9b}m");
        lines.empty_line();
        lines.drawn("\u{1b}[0m\n");
        assert_eq!(lines.0, "a\\nerror: forged \\u{1b}[2J\\u{9b}m\n\n\u{1b}[0m\n");
    }

    #[test]
    fn json_escapes_control_characters_and_keeps_the_values() {
        let value = serde_json::json!({ "file": "a\n\u{1b}\u{7f}\u{9b}\u{202e}é" });
        let text = as_json(&value);
        assert!(text.chars().all(|c| c == '\n' || !is_control_like(c)), "{text:?}");
        assert!(text.contains("\\u009b\\u202eé"), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default(), value);
    }

    #[test]
    fn a_cause_is_reported_once() {
        let cause = || std::io::Error::other("no space");
        let result = Err::<(), _>(OutputError(cause())).context("first");
        assert_eq!(
            result.map_err(|error| with_causes(&error)),
            Err("first: cannot write to standard output: no space".into())
        );
    }
}
