//! `chainrule completions` and `chainrule man`: what a shell and `man` are told, made from the options themselves.

use std::path::Path;

use anyhow::{Context, Result};
use chainrule_records::write_whole;
use clap::{Command, CommandFactory};

use crate::options::{CompletionsOptions, ManOptions, Options};
use crate::{exit, print};

pub(crate) fn completions(options: &CompletionsOptions) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Options::command(), "chainrule", &mut script);
    print(&String::from_utf8_lossy(&script));
    Ok(exit::DONE)
}

pub(crate) fn man(options: &ManOptions) -> Result<u8> {
    let mut pages = man_pages()?;
    let Some(out) = &options.out else {
        let (_, main) = pages.swap_remove(0);
        print(&String::from_utf8_lossy(&main));
        return Ok(exit::DONE);
    };
    std::fs::create_dir_all(out).with_context(|| format!("making the folder {}", out.display()))?;
    for (name, page) in &pages {
        write_whole(&Path::new(out).join(name), page)?;
        print(&format!("{}\n", out.join(name).display()));
    }
    Ok(exit::DONE)
}

/// File names and pages in roff: the program's own, then one of every command.
fn man_pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut program = Options::command().disable_help_subcommand(true);
    // It fills in what the commands inherit, such as the name that stands in their usage.
    program.build();
    let commands: Vec<Command> = program.get_subcommands().cloned().collect();
    let mut pages = vec![page("chainrule", program)?];
    for command in commands {
        // Building has made `chainrule-train` of `train`, for this.
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
