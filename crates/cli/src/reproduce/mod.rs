//! `chainrule reproduce`: makes the runs of a plan, and the report from them.

mod facts;
mod hard_batch;
mod runner;

use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use chainrule::machine::Machine;
use chainrule_audit::{FIGURES, Numbers, Plan, PlannedRun, Report, StaleLine, Start, file_names, needs, stale_line};
use chainrule_core::pluralize;
use chainrule_data::{Data, Origin, Provenance, Request, digits_to_draw, find, is_mnist};
use chainrule_records::{Destination, write_whole};
use chainrule_report::{file_names_of, files_of};
use serde_json::json;

use crate::destination::destination;
use crate::jobs::{JobPool, workers};
use crate::marked_part::marked_part;
use crate::missing::{ConfigKind, check_config_exists};
use crate::options::ReproduceOptions;
use crate::output::{Lines, print_json, print_message};
use crate::progress::{catch_interrupts, stderr_is_terminal};
use crate::{builtin, check_gradients, exit, experiment};
use runner::{FinishedRuns, ReportRunner};

/// Makes the missing runs, then writes or checks the report.
pub(crate) fn reproduce(options: &ReproduceOptions) -> Result<u8> {
    let overrides = experiment::overrides_without_data(&options.override_options);
    experiment::check_overrides(&options.override_options, options.plan.as_deref())?;
    let plan = match &options.plan {
        None => builtin::report(&overrides)?,
        Some(path) => {
            check_config_exists(path, ConfigKind::Plan)?;
            Plan::read(path, &overrides)?
        }
    };
    let only = match &options.only {
        None => None,
        Some(id) => Some(FIGURES.iter().find(|figure| figure.id == id).ok_or_else(|| {
            let ids: Vec<&str> = FIGURES.iter().map(|figure| figure.id).collect();
            anyhow!("--only {id}: no such figure; expected one of {}", ids.join(", "))
        })?),
    };
    // The default folder holds an earlier report, which is replaced. A folder named by the user may
    // hold something else.
    let replace = options.out.is_none() || options.force;
    if let (Some(out), false) = (&options.out, options.check) {
        let names = only.map_or_else(file_names, |figure| file_names_of(figure.id).into());
        names.iter().try_for_each(|name| file(out, name, replace).map(|_| ()))?;
    }
    let selected = select_runs(&plan, &needs(only))?;
    let first = selected.first().context("the plan has no runs")?.config(Start::default())?;
    // Several runs at once, each on one thread.
    let machine = Machine::new(options.backend_options.backend.as_ref(), NonZero::<usize>::MIN)?;
    if only.is_none() {
        // Checked first, since the error would otherwise come after all runs.
        check_gradients::can_check(&machine)?;
    }
    let first = machine.resolve_defaults(first)?;

    let log = |line: &str| {
        if !options.output.quiet {
            print_message(line);
        }
    };
    // The source is not part of a run's key: the same data at another path makes the same runs, and
    // the runs contain no path of this machine.
    let source_name = options.override_options.data.source.as_deref().unwrap_or(&first.data().source);
    let data = find(&Request::from(source_name), digits_to_draw(&first), &mut |line| log(line))?;
    let source = Provenance::of_images(&data);
    let name = data_name(&data, &source);
    // Only the report of the unchanged plan may replace the existing one.
    let is_default_plan = overrides.is_empty() && options.plan.is_none();
    let out = options.out.clone().unwrap_or_else(|| default_folder(&name, is_default_plan || options.check));
    let stored = if options.check { Some(read_numbers(&out)?) } else { None };

    catch_interrupts(options.output.quiet);
    let is_shown = !options.output.quiet && stderr_is_terminal();
    let jobs = JobPool::new(&machine, workers(&machine, NonZero::<usize>::MIN), "run", options.output.quiet, is_shown);
    let runner = ReportRunner { jobs, machine: &machine, data: &data, source: &source, folder: &options.runs };
    log(&format!("data: {}; {} runs on {}", source.name, selected.len(), machine.backend()));
    let Some(FinishedRuns { runs, checks, reused }) = runner.make(&selected, only.is_none())? else {
        print_message(&format!(
            "interrupted; finished runs are in {}, and the same command continues",
            options.runs.display()
        ));
        return Ok(exit::INTERRUPTED);
    };
    log(&format!("{} runs made, {reused} reused from {}", selected.len() - reused, options.runs.display()));

    if let Some(figure) = only {
        let files = files_of(&figure.draw(&runs, &facts::results(&runs, &data)?));
        write_files(&out, &files, replace)?;
        let paths: Vec<String> = files.iter().map(|(file, _)| out.join(file).display().to_string()).collect();
        if options.output.json {
            print_json(&json!({ "files": paths }))?;
        } else {
            let mut lines = Lines::default();
            paths.iter().for_each(|path| lines.add(path));
            lines.print()?;
        }
        return Ok(exit::SUCCESS);
    }

    // Never in a checkout, which is published: pictures of MNIST have a licence of their own.
    let shows_rows = !out.ends_with(REPORT_FOLDER);
    let facts = facts::facts(name, shows_rows, &runs, &data, &source, &machine)?;
    let checks = checks.context("the gradient checks were not made")?;
    let report = Report::new(&runs, &checks, &facts);
    // The README in the current folder has a generated part. A report in another folder does not
    // update it.
    let readme = Path::new("README.md");
    let readme =
        (options.out.is_none() && out == Path::new(REPORT_FOLDER)).then_some(readme).filter(|path| path.exists());
    match stored {
        Some(stored) => check(&stored, &report, readme, &out, options.output.json),
        None => {
            write_files(&out, &report.files(), replace)?;
            if let Some(path) = readme {
                update_readme(path, &report.readme)?;
            }
            if options.output.json {
                print_json(&json!({ "report": out.display().to_string(), "claims": report.claims }))?;
            } else {
                describe(&report, &out).print()?;
            }
            Ok(exit::SUCCESS)
        }
    }
}

/// The folder of the report on MNIST in a checkout.
const REPORT_FOLDER: &str = "docs/report";

fn default_folder(data_name: &str, is_default_plan: bool) -> PathBuf {
    if data_name == MNIST && is_default_plan && Path::new(REPORT_FOLDER).is_dir() {
        return PathBuf::from(REPORT_FOLDER);
    }
    let words: Vec<&str> =
        data_name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    Path::new("runs").join(format!("report-on-{}", words.join("-")))
}

const MNIST: &str = "MNIST";

/// The name of the data on the pages. It has no path, which would mean nothing on another machine.
fn data_name(data: &Data, source: &Provenance) -> String {
    if is_mnist(source.files.iter().map(|file| file.sha256.as_str())) {
        return MNIST.to_owned();
    }
    match &data.origin {
        Origin::Embedded => "embedded digits".to_owned(),
        Origin::Folder(folder) | Origin::MnistCache(folder) | Origin::MnistDownload(folder) => {
            // Folders of different data often have the same name, such as `raw`.
            let name = folder.file_name().map_or_else(|| "a folder".into(), |name| name.to_string_lossy());
            format!("{name} ({})", &source.sha256()[..8])
        }
        other => other.to_string(),
    }
}

/// Returns the planned runs with these names, and the runs that they depend on, in the plan's
/// order.
fn select_runs<'a>(plan: &'a Plan, names: &[&str]) -> Result<Vec<&'a PlannedRun>> {
    let is_seed_of = |run: &str, name: &str| {
        let seed = run.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        seed.is_some_and(|seed| !seed.is_empty() && seed.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut selected: Vec<&str> = Vec::new();
    for name in names {
        let matching = plan.runs.iter().filter(|run| run.name == *name || is_seed_of(&run.name, name));
        let length_before = selected.len();
        for run in matching {
            selected.push(&run.name);
            let mut dependencies: Vec<&str> = run.dependencies().collect();
            while let Some(run) = dependencies.pop().and_then(|name| plan.get(name)) {
                selected.push(&run.name);
                dependencies.extend(run.dependencies());
            }
        }
        if selected.len() == length_before {
            bail!("the plan has no run {name:?}, which the figures need");
        }
    }
    Ok(plan.runs.iter().filter(|run| selected.contains(&run.name.as_str())).collect())
}

/// Returns the destination of a report file, or `None` if its folder does not exist yet.
fn file(out: &Path, name: &str, replace: bool) -> Result<Option<Destination>> {
    let path = out.join(name);
    match path.parent().is_some_and(Path::is_dir) {
        true => destination(&path, replace, "--out").map(Some),
        false => Ok(None),
    }
}

fn write_files(out: &Path, files: &[(String, Vec<u8>)], replace: bool) -> Result<()> {
    for folder in files.iter().filter_map(|(name, _)| Some(out.join(name).parent()?.to_owned())) {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let destinations = files.iter().map(|(name, _)| file(out, name, replace)).collect::<Result<Vec<_>>>()?;
    for (destination, (_, content)) in destinations.into_iter().flatten().zip(files) {
        destination.write(content)?;
    }
    Ok(())
}

/// The marks around the generated part of the README.
const README_MARKS: [&str; 2] = ["<!-- results: made by `cargo xtask reproduce` -->\n", "<!-- end of results -->"];

fn update_readme(path: &Path, part: &str) -> Result<()> {
    let mut text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    if let Some(range) = marked_part(&text, README_MARKS) {
        text.replace_range(range, part);
        write_whole(path, text.as_bytes())?;
    }
    Ok(())
}

fn read_numbers(out: &Path) -> Result<Numbers> {
    let path = out.join("numbers.json");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("--check: cannot read {}; make the report first, without --check", path.display()))?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Compares a new reproduction with the one in `out`.
fn check(stored: &Numbers, report: &Report, readme: Option<&Path>, out: &Path, as_json: bool) -> Result<u8> {
    let mut differences = stored.differences(&report.numbers);
    if let (Some(path), true) = (readme, stored.origin.precision == report.numbers.origin.precision) {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        if marked_part(&text, README_MARKS).is_some_and(|range| text[range] != report.readme) {
            differences.push(format!("{}: its results differ; run reproduce without --check", path.display()));
        }
    }
    // Other arithmetic may give other words, such as a run that is no longer named.
    let is_same_origin = stored.origin == report.numbers.origin;
    if is_same_origin {
        differences.extend(stale_pages(report, out)?);
    }
    let mut lines = Lines::default();
    if differences.is_empty() {
        lines.add(format!(
            "{}: {} runs and {} verdicts are the same{}",
            out.display(),
            report.numbers.runs.len(),
            report.claims.len(),
            if is_same_origin {
                ", and so are the words of its pages"
            } else {
                "; the words of its pages were not compared, because it was made with another backend, precision or gradient"
            }
        ));
    } else {
        lines.add(format!("{}: {}:", out.display(), pluralize(differences.len(), "difference")));
        differences.iter().for_each(|difference| lines.add(difference));
    }
    if as_json {
        print_json(&json!({ "report": out.display().to_string(), "differences": differences }))?;
    } else {
        lines.print()?;
    }
    Ok(if differences.is_empty() { exit::SUCCESS } else { exit::CHECK_FAILED })
}

/// Compares the words of the pages in `out` with those of a new report.
fn stale_pages(report: &Report, out: &Path) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    for (name, page) in [("report.md", &report.markdown), ("index.html", &report.html)] {
        let path = out.join(name);
        let stored =
            std::fs::read_to_string(&path).with_context(|| format!("--check: cannot read {}", path.display()))?;
        if let Some(StaleLine { line, old, new }) = stale_line(&stored, page) {
            let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
            let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
            let [old, new] = [old, new].map(|line| excerpt(&line, same));
            stale.push(format!(
                "{}: line {line} was \"{old}\", now \"{new}\"; run reproduce without --check",
                path.display()
            ));
        }
    }
    Ok(stale)
}

/// Returns the part of a line around this character, for a message.
fn excerpt(line: &str, at: usize) -> String {
    const AROUND: usize = 40;
    let start = at.saturating_sub(AROUND);
    let part: String = line.chars().skip(start).take(2 * AROUND).collect();
    let [before, after] = [start > 0, start + 2 * AROUND < line.chars().count()].map(|cut| if cut { "…" } else { "" });
    format!("{before}{part}{after}")
}

/// Formats the verdicts for a person.
fn describe(report: &Report, out: &Path) -> Lines {
    let mut lines = Lines::default();
    lines.empty_line();
    for claim in &report.claims {
        lines.add(format!("{:<7} {:<14} {}", claim.id, claim.verdict.name(), claim.claim));
    }
    lines.empty_line();
    lines.add(format!("{} and {}", out.join("report.md").display(), out.join("index.html").display()));
    lines
}
