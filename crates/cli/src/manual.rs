//! `chainrule completions` and `chainrule man`: shell completions and man pages, generated from the
//! command line options.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory};

use crate::commands::Options;
use crate::destination::destination;
use crate::exit;
use crate::options::{CompletionsOptions, ManOptions};
use crate::output::{print_as_is, print_line};

pub(crate) fn completions(options: &CompletionsOptions) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Options::command(), "chainrule", &mut script);
    print_as_is(&String::from_utf8_lossy(&script))?;
    Ok(exit::SUCCESS)
}

pub(crate) fn man(options: &ManOptions) -> Result<u8> {
    if options.markdown {
        print_as_is(&reference()?)?;
        return Ok(exit::SUCCESS);
    }
    let mut pages = man_pages()?;
    let Some(out) = &options.out else {
        let (_, main) = pages.swap_remove(0);
        print_as_is(&String::from_utf8_lossy(&main))?;
        return Ok(exit::SUCCESS);
    };
    if out.exists() && !out.is_dir() {
        bail!(
            "{}: expected a folder, because --out writes several pages; without --out, one page is printed",
            out.display()
        );
    }
    std::fs::create_dir_all(out).with_context(|| format!("creating the folder {}", out.display()))?;
    let files = pages.iter().map(|(name, _)| destination(&out.join(name), options.force, "--out"));
    let files = files.collect::<Result<Vec<_>>>()?;
    for ((name, page), file) in pages.iter().zip(files) {
        file.write(page)?;
        print_line(out.join(name).display().to_string())?;
    }
    Ok(exit::SUCCESS)
}

/// Returns the program's clap command with all subcommands.
fn program() -> Command {
    let mut program = Options::command().disable_help_subcommand(true);
    // `build` fills in inherited settings, such as the program's name in each usage line.
    program.build();
    program
}

/// Returns the man pages as file names and roff text: the program's page, then one for each
/// command.
fn man_pages() -> Result<Vec<(String, Vec<u8>)>> {
    let program = program();
    let commands: Vec<Command> = program.get_subcommands().cloned().collect();
    let mut pages = vec![page("chainrule", program)?];
    for command in commands {
        // `build` has set the display name `chainrule-train` for `train`.
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        pages.push(page(&name, command.version(env!("CARGO_PKG_VERSION")))?);
    }
    Ok(pages)
}

fn page(name: &str, command: Command) -> Result<(String, Vec<u8>)> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text)?;
    Ok((format!("{name}.1"), text))
}

/// Returns all commands and options as one Markdown page, `docs/commands.md`.
fn reference() -> Result<String, std::fmt::Error> {
    let mut program = program();
    let mut page = String::from(
        "# Commands\n\n<!-- made by `cargo xtask man --markdown > docs/commands.md`; a test compares -->\n\n\
         `cargo xtask COMMAND` builds the program and runs it with the same options; `--features LIST` selects its [backends](backends.md). \
         The files in `configs` contain and explain the [keys of an experiment](training.md).\n",
    );
    if let Some(common) = program.get_after_long_help() {
        // A code block keeps the line breaks.
        write!(page, "\n```text\n{common}\n```\n")?;
    }
    for command in program.get_subcommands_mut() {
        section(&mut page, command)?;
    }
    Ok(page)
}

fn section(page: &mut String, command: &mut Command) -> std::fmt::Result {
    let usage = command.render_usage().to_string();
    write!(page, "\n## {}\n\n{}\n", command.get_name(), table_cell(command.get_long_about().or(command.get_about())))?;
    write!(page, "\n```text\n{}\n```\n\n| option | meaning |\n| --- | --- |\n", usage.trim_start_matches("Usage: "))?;
    // Every command has `--help`.
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set() && argument.get_id() != "help") {
        writeln!(page, "| {} | {} |", name(argument), meaning(argument))?;
    }
    match command.get_after_help() {
        Some(after) => write!(page, "\n```text\n{after}\n```\n"),
        None => Ok(()),
    }
}

/// Returns the option as it is typed, such as `--out DIR`.
fn name(argument: &Arg) -> String {
    let value = argument.get_value_names().unwrap_or_default().join(" ");
    let takes_value = argument.get_action().takes_values();
    match (argument.get_long(), argument.get_short()) {
        (Some(long), short) => {
            let short = short.map(|short| format!("`-{short}`, ")).unwrap_or_default();
            let value = if takes_value { format!(" {value}") } else { String::new() };
            format!("{short}`--{long}{value}`")
        }
        (None, _) => format!("`{value}`"),
    }
}

/// Returns the help of an option with its default and its possible values.
fn meaning(argument: &Arg) -> String {
    let mut meaning = table_cell(argument.get_long_help().or(argument.get_help()));
    let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        meaning.push_str(&format!(" Default: `{}`.", defaults.join(" ")));
    }
    for value in argument.get_possible_values().iter().filter(|_| argument.get_action().takes_values()) {
        let help = value.get_help().map(|help| format!(": {help}")).unwrap_or_default();
        meaning.push_str(&format!("<br>`{}`{help}", value.get_name()));
    }
    meaning
}

/// Joins a text into one line. It escapes `|`, which would end a table cell, and `<`, which would
/// start a tag.
fn table_cell(help: Option<&StyledStr>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    let line = help.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('|', "\\|").replace('<', "&lt;")
}
