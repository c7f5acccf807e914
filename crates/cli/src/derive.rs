//! `chainrule derive`: checks a written derivation line by line.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use chainrule_derive::{Document, ParseError, Report, TEMPLATES, check};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::destination::destination;
use crate::exit;
use crate::heatmaps::ColorSupport;
use crate::output::{print_as_is, print_json, report_error};

#[derive(Args, Debug)]
pub(crate) struct DeriveOptions {
    /// File with the derivation, in Markdown or plain text, or - for standard input.
    #[arg(value_name = "FILE", required_unless_present = "new")]
    file: Option<PathBuf>,
    /// Print a file to begin with: a model, and what must be derived of it.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["file", "json", "watch", "html"], value_parser = PossibleValuesParser::new(TEMPLATES.map(|template| template.name)))]
    new: Option<String>,
    /// Check again whenever the file is saved, until Ctrl-C.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Write the result as a page: typeset formulas, marks and counterexamples.
    #[arg(long, value_name = "OUT", conflicts_with = "watch")]
    html: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    /// Print the result as one JSON document to standard output. Other messages go to standard
    /// error.
    #[arg(long)]
    json: bool,
}

pub(crate) fn derive(options: &DeriveOptions) -> Result<u8> {
    if let Some(model) = &options.new {
        let template = TEMPLATES.iter().find(|template| template.name == model);
        print_as_is(template.map_or("", |template| template.text))?;
        return Ok(exit::SUCCESS);
    }
    // clap requires a file without --new.
    let file = options.file.as_deref().unwrap_or(Path::new("-"));
    if options.watch {
        return watch(file);
    }
    let page = options.html.as_deref().map(|out| destination(out, options.force, "--html")).transpose()?;
    let (document, report) = check_file(file)?;
    if let Some(page) = page {
        page.write(report.to_html(&display(file)).as_bytes())?;
    }
    if options.json {
        print_json(&report)?;
    } else {
        print_as_is(&report.to_text(has_colours()))?;
    }
    if !report.is_right() {
        return Ok(exit::CHECK_FAILED);
    }
    // The other formulas were checked, but nothing says that these are right.
    if !document.unread().is_empty() {
        bail!("{}", in_one_line(&display(file), document.unread()));
    }
    Ok(exit::SUCCESS)
}

fn has_colours() -> bool {
    !matches!(ColorSupport::detect(), ColorSupport::Plain)
}

fn display(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

fn check_file(file: &Path) -> Result<(Document, Report)> {
    let name = display(file);
    let bytes = if file == Path::new("-") { read(std::io::stdin()) } else { std::fs::File::open(file).and_then(read) };
    let bytes = bytes.with_context(|| format!("reading {name}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow::anyhow!("{name}, line {line}: expected text in UTF-8")
    })?;
    match Document::parse(&text) {
        Ok(document) => {
            let report = check(&document, &chainrule_derive::Options::default());
            Ok((document, report))
        }
        Err(errors) => bail!("{}", in_one_line(&name, &errors)),
    }
}

/// Reads a little more than a derivation may have, so that `Document::parse` says that it is too
/// large.
fn read(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(2 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn in_one_line(name: &str, errors: &[ParseError]) -> String {
    let more = match errors.len() {
        1 => String::new(),
        2 => "; 1 more formula cannot be read".to_owned(),
        count => format!("; {} more formulas cannot be read", count - 1),
    };
    errors.first().map_or_else(String::new, |first| format!("{name}, {first}{more}"))
}

/// Checks the file whenever it changes.
fn watch(file: &Path) -> Result<u8> {
    if file == Path::new("-") {
        bail!("--watch needs a file, not standard input");
    }
    let mut last: Option<SystemTime> = None;
    loop {
        // Editors replace a file in two steps, so it may be missing for a moment.
        let modified = std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
        if modified != last || last.is_none() {
            // Clear the terminal.
            let clear = if has_colours() { "\u{1b}[2J\u{1b}[H" } else { "" };
            match check_file(file) {
                Ok((_, report)) => print_as_is(&format!("{clear}{}", report.to_text(has_colours())))?,
                Err(error) if modified.is_none() && last.is_none() => return Err(error),
                Err(error) => {
                    print_as_is(clear)?;
                    report_error(&error);
                }
            }
            last = modified.or(last);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
