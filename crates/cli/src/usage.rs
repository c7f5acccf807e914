//! Formats errors in the arguments as one line, in the same style as all other errors.

use std::error::Error as _;
use std::ffi::OsString;

use chainrule_core::{escape_controls, nearest, one_line};
use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::commands::Options;
use crate::exit;
use crate::output::{OutputError, print_message, report_error};

/// Prints the help, the version or the error, and returns the exit code.
pub(crate) fn log(error: &clap::Error, arguments: &[OsString]) -> u8 {
    if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        print_message(&format!("error: {}", message(error, arguments)));
        return exit::ERROR;
    }
    match (error.print().map_err(OutputError::from), error.use_stderr()) {
        (_, true) => exit::ERROR,
        (Ok(()), false) => exit::SUCCESS,
        (Err(unwritten), false) => report_error(&unwritten.into()),
    }
}

fn message(error: &clap::Error, arguments: &[OsString]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let command = Options::command();
    let subcommand = arguments.get(1).and_then(|name| command.find_subcommand(name));
    let help = subcommand.map_or_else(
        || "chainrule --help lists the commands".to_owned(),
        |command| format!("chainrule {} --help lists its options", command.get_name()),
    );
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => one_line(&usage.to_string()).replacen("Usage:", "usage:", 1),
        _ => help.clone(),
    };
    let problem = match error.kind() {
        ErrorKind::UnknownArgument => unknown_argument(argument, &arguments, subcommand),
        ErrorKind::InvalidSubcommand => {
            let name = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            let suggestion = nearest(name, names.iter().copied());
            format!("{}: no such command{}", one_line(name), did_you_mean(suggestion))
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("{}: its value is missing", option(argument)),
        ErrorKind::InvalidValue => {
            let valid = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) => valid.as_slice(),
                _ => &[],
            };
            let suggestion = nearest(value, valid.iter().map(String::as_str));
            format!(
                "{} {}: expected {}{}",
                option(argument),
                one_line(value),
                alternatives(valid),
                did_you_mean(suggestion)
            )
        }
        ErrorKind::ValueValidation => {
            let problem = error.source().map(ToString::to_string).unwrap_or_default();
            format!("{} {}: {}", option(argument), one_line(value), number_problem(&problem))
        }
        ErrorKind::MissingRequiredArgument => match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::Strings(missing)) => {
                let verb = if missing.len() == 1 { "is" } else { "are" };
                return format!("{} {verb} missing; {usage}", missing.join(" and "));
            }
            _ => rendered(error),
        },
        ErrorKind::ArgumentConflict => {
            let other = match error.get(ContextKind::PriorArg) {
                Some(ContextValue::String(other)) => option(other).to_owned(),
                Some(ContextValue::Strings(others)) => {
                    others.iter().map(|other| option(other)).collect::<Vec<_>>().join(" and ")
                }
                _ => String::new(),
            };
            match option(argument) == other {
                true => format!("{other} is given twice"),
                false => format!("{} and {other} cannot be used together", option(argument)),
            }
        }
        ErrorKind::TooManyValues => format!("{}: this option takes no value", option(argument)),
        _ => rendered(error),
    };
    // The problem already says what to write.
    let has_advice = problem.ends_with('?') || problem.contains("; write ");
    if has_advice { problem } else { format!("{problem}; {help}") }
}

/// Lists alternatives.
fn alternatives(words: &[String]) -> String {
    match words {
        [first, second] => format!("{first} or {second}"),
        _ => format!("one of {}", words.join(", ")),
    }
}

/// Returns an option or argument without the name of its value.
fn option(name: &str) -> &str {
    name.split(' ').next().filter(|name| name.starts_with('-')).unwrap_or(name)
}

fn did_you_mean(name: Option<&str>) -> String {
    name.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// Describes an unknown option or an extra word. If the word was meant as a value, the text names
/// the option.
fn unknown_argument(argument: &str, arguments: &[String], command: Option<&clap::Command>) -> String {
    let shown = one_line(argument);
    let position = arguments.iter().position(|other| other == argument);
    let argument_before = |back: usize| {
        position.and_then(|position| position.checked_sub(back)).and_then(|position| arguments.get(position))
    };
    if let (Some(option), Some(key)) =
        (argument_before(2).filter(|option| ["--set", "--grid"].contains(&option.as_str())), argument_before(1))
        && !key.contains('=')
        && !argument.starts_with('-')
    {
        return format!("{option} {key}: expected key=value; write {option} {key}={shown}");
    }
    let is_number = argument.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if let Some(option) = argument_before(1).filter(|option| is_number && option.starts_with("--")) {
        return format!("{option} {shown}: expected a number of 0 or more");
    }
    if !argument.starts_with('-') {
        return format!("{shown}: one argument too many");
    }
    let name = argument.split('=').next().unwrap_or(argument).trim_start_matches('-');
    let names: Vec<&str> =
        command.into_iter().flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_long).collect();
    let suggestion = nearest(name, names.iter().copied()).map(|name| format!("--{name}"));
    format!("{}: no such option{}", escape_controls(&shown), did_you_mean(suggestion.as_deref()))
}

/// Rephrases a number error of the standard library in the words of a config error.
fn number_problem(problem: &str) -> &str {
    let of_digits = ["invalid digit found in string", "cannot parse integer from empty string"];
    let of_size = ["number too large to fit in target type", "number too small to fit in target type"];
    if of_digits.contains(&problem) || of_size.contains(&problem) {
        "expected a whole number, 0 or more"
    } else {
        problem
    }
}

/// Returns clap's message without its tips and usage.
fn rendered(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
    one_line(first)
}
