//! `chainrule derive`: checks a written derivation line by line.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use chainrule_derive::{Differences, Document, Exercise, Options, ParseError, Report, TEMPLATES, Witness, check, code};
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::autodiff_witness::autodiff;
use crate::destination::destination;
use crate::exit;
use crate::heatmaps::ColorSupport;
use crate::output::{print_as_is, print_json, print_message, report_error};

#[derive(Args, Debug)]
pub(crate) struct DeriveOptions {
    /// File with the derivation, in Markdown or plain text, or - for standard input.
    #[arg(value_name = "FILE", required_unless_present = "new")]
    file: Option<PathBuf>,
    /// Print a file to begin with: a model, and what must be derived of it.
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["file", "json", "watch", "html", "code", "expect"], value_parser = PossibleValuesParser::new(TEMPLATES.map(|template| template.name)))]
    new: Option<String>,
    /// Check again whenever the file is saved, until Ctrl-C.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Write the result as a page: typeset formulas, marks and counterexamples, and a form that
    /// checks further steps.
    #[arg(long, value_name = "OUT", conflicts_with = "watch")]
    html: Option<PathBuf>,
    /// Write the definitions, and the derivatives that hold, as Rust functions on Burn tensors,
    /// with tests against autodiff. What has no code is listed on standard error.
    #[arg(long, value_name = "OUT", conflicts_with = "watch")]
    code: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    /// Compare FILE with this derivation: each of its claims must be there and hold. FILE can be a
    /// folder of submissions, for which a CSV table is printed.
    #[arg(long, value_name = "ASKED", conflicts_with_all = ["watch", "json", "html", "code"])]
    expect: Option<PathBuf>,
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
    let autodiff = autodiff();
    let witnesses: Vec<&dyn Witness> = [&Differences as &dyn Witness].into_iter().chain(autodiff.as_deref()).collect();
    let settings = Options { witnesses: &witnesses, ..Options::default() };
    if options.watch {
        return watch(file, &settings);
    }
    if let Some(asked) = &options.expect {
        return expect(asked, file, &settings);
    }
    let page = options.html.as_deref().map(|out| destination(out, options.force, "--html")).transpose()?;
    let module = options.code.as_deref().map(|out| destination(out, options.force, "--code")).transpose()?;
    let (document, report) = check_file(file, &settings)?;
    if let Some(page) = page {
        page.write(report.to_exercise_html(&display(file), &document).as_bytes())?;
    }
    if options.json {
        print_json(&report)?;
    } else {
        print_as_is(&report.to_text(has_colours()))?;
    }
    if let Some(module) = module {
        // A path would make the code depend on where the file is.
        let title = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let written = code(&document, &report, &title.unwrap_or_else(|| display(file)));
        for left_out in &written.left_out {
            print_message(&format!("no code for line {}, {}: {}", left_out.line, left_out.left, left_out.reason));
        }
        if written.claims > 0 {
            module.write(written.text.as_bytes())?;
        } else if report.is_right() {
            bail!("{}: no derivative can be written as code; --code wrote no file", display(file));
        } else {
            print_message("no derivative that holds can be written as code; --code wrote no file");
        }
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

/// Compares a submission, or a folder of them, with what was asked.
fn expect(asked: &Path, submissions: &Path, settings: &Options<'_>) -> Result<u8> {
    let document = Document::parse(&read_file(asked)?).map_err(|errors| in_one_line(&display(asked), &errors));
    let exercise = document
        .and_then(|document| Exercise::new(&document).map_err(|message| format!("{}: {message}", display(asked))));
    let exercise = exercise.map_err(anyhow::Error::msg)?;
    if submissions.is_dir() {
        print_as_is(&table(&exercise, submissions, settings)?)?;
        return Ok(exit::SUCCESS);
    }
    let text = read_file(submissions)?;
    let submission = exercise
        .check(&text, settings)
        .map_err(|errors| anyhow::anyhow!("{}", in_one_line(&display(submissions), &errors)))?;
    let mut page = submission.report.to_text(has_colours());
    for (left, answer) in exercise.asked().iter().zip(&submission.answers) {
        page += &format!("asked: {left}: {answer}\n");
    }
    print_as_is(&page)?;
    Ok(if submission.is_right() { exit::SUCCESS } else { exit::CHECK_FAILED })
}

/// Checks the files of a folder. Returns a table in CSV: a line for each file, a column for each
/// claim that is asked.
fn table(exercise: &Exercise, folder: &Path, settings: &Options<'_>) -> Result<String> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<PathBuf>>>();
    let mut files = paths.with_context(|| format!("reading {}", folder.display()))?;
    let is_text = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md" || extension == "txt");
    files.retain(|path| is_text(path) && path.is_file());
    files.sort();
    if files.is_empty() {
        bail!("{}: expected submissions that end in .md or .txt, but there are none", folder.display());
    }
    let cells = |cells: &[String]| cells.iter().map(|cell| csv_cell(cell)).collect::<Vec<_>>().join(",") + "\n";
    let asked = exercise.asked().into_iter().map(str::to_owned);
    let head = ["file".to_owned()].into_iter().chain(asked).chain(["first wrong line".into(), "problem".into()]);
    let mut text = cells(&head.collect::<Vec<_>>());
    for file in files {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // A file that cannot be read is a line of the table, not the end of it.
        let checked = read_file(&file)
            .map_err(|error| format!("{error:#}"))
            .and_then(|text| exercise.check(&text, settings).map_err(|errors| in_one_line(&name, &errors)));
        let row: Vec<String> = match checked {
            Ok(submission) => {
                let lines = &submission.report.lines;
                let wrong = submission.report.first_wrong.map(|place| lines[place].line.to_string());
                let problem = submission.unread.first().map(ToString::to_string);
                [name]
                    .into_iter()
                    .chain(submission.answers.iter().map(ToString::to_string))
                    .chain([wrong.unwrap_or_default(), problem.unwrap_or_default()])
                    .collect()
            }
            Err(problem) => {
                let none = exercise.asked().len() + 1;
                [name].into_iter().chain(std::iter::repeat_n(String::new(), none)).chain([problem]).collect()
            }
        };
        text += &cells(&row);
    }
    Ok(text)
}

/// Quotes a cell where its text needs it. A name that a spreadsheet would take for a formula stays
/// a text.
fn csv_cell(text: &str) -> String {
    let text = text.replace(char::is_control, "�");
    let is_formula = text.starts_with(['=', '+', '-', '@']);
    let text = if is_formula { format!("'{text}") } else { text };
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn check_file(file: &Path, settings: &Options<'_>) -> Result<(Document, Report)> {
    match Document::parse(&read_file(file)?) {
        Ok(document) => {
            let report = check(&document, settings);
            Ok((document, report))
        }
        Err(errors) => bail!("{}", in_one_line(&display(file), &errors)),
    }
}

fn read_file(file: &Path) -> Result<String> {
    let name = display(file);
    let bytes = if file == Path::new("-") { read(std::io::stdin()) } else { std::fs::File::open(file).and_then(read) };
    let bytes = bytes.with_context(|| format!("reading {name}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow::anyhow!("{name}, line {line}: expected text in UTF-8")
    })
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
fn watch(file: &Path, settings: &Options<'_>) -> Result<u8> {
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
            match check_file(file, settings) {
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
