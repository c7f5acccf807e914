//! `chainrule train`: trains an experiment or resumes a run.

use std::num::NonZero;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use chainrule::machine::{Machine, all_threads};
use chainrule_data::Dataset;
use chainrule_records::{ConfigFile, Manifest, RunFolder, Summary};
use chainrule_solve::{Ending, max_steps};

use crate::checkpoints::CheckpointObserver;
use crate::destination::explain_existing_folder;
use crate::experiment::check_overrides;
use crate::missing::check_folder_exists;
use crate::options::TrainOptions;
use crate::output::{print_json, print_message, with_advice};
use crate::progress::{Progress, catch_interrupts, stderr_is_terminal};
use crate::rows::{SelectedRows, dropped_rows_note};
use crate::run::{self, is_interruption, machine_for_resume, manifest, run};
use crate::{exit, experiment, table, table_defaults};

/// Trains the experiment of the options, or resumes a run. Validation is complete before a file is
/// written.
pub(crate) fn train(options: &TrainOptions) -> Result<u8> {
    let start = Instant::now();
    let mut log = |line: &str| {
        if !options.output.quiet {
            print_message(line);
        }
    };
    options.resume.as_deref().map_or(Ok(()), check_folder_exists)?;
    let resumed = options.resume.as_deref().map(RunFolder::open).transpose()?;
    let machine = machine(options, resumed.as_ref().map(RunFolder::manifest))?;
    let table = match (&options.config, &resumed) {
        (None, None) => {
            check_overrides(&options.override_options, None)?;
            let table = table_defaults::find(&options.override_options, &options.table)?;
            if let (None, Some(label), None) = (&table, &options.table.label, &options.override_options.data.source) {
                bail!("--label {label}: it names a column of a table; name the table with --data FILE");
            }
            table
        }
        _ => None,
    };
    let config = match &table {
        Some(table) => table.config(&experiment::overrides(&options.override_options, &options.table))?,
        None => {
            let config = options.config.as_deref();
            experiment::config(config, &options.override_options, &options.table, resumed.as_ref())?
        }
    };
    let config = machine.resolve_defaults(config)?;
    let table_notes = table.as_ref().map(|table| table.notes(&config)).unwrap_or_default();
    if let Some(folder) = &resumed {
        // The data may lie elsewhere. The manifest identifies it.
        let differences = config.differences(folder.config()).into_iter().filter(|key| !key.starts_with("data.source"));
        ensure_no_differences(folder, &differences.collect::<Vec<_>>())?;
    }
    let finished = resumed.as_ref().and_then(|folder| Some((folder, finished_summary(folder, &mut log)?)));
    // If the source is another, the data is compared first.
    if let Some((folder, summary)) = &finished
        && config.data().source == folder.config().data().source
    {
        return report_finished(options, folder, summary, &mut log);
    }
    let summary = finished.map(|(_, summary)| summary);
    let data = match table {
        Some(table) => Dataset::of_tables(table.tables, &config, &mut log)?,
        None => Dataset::find(&config, &mut log)?,
    };
    let option_notes = table_defaults::check_options(&options.table, &data, config.data())?;
    let (source, subset_message, notes) = (data.provenance(), data.subset_message(&config), data.notes());
    // The bytes of the files can be freed after this, since the rows go to the device.
    let rows = SelectedRows::of(data, &config, &source, &machine)?;
    let about = rows.about().clone();
    let steps = max_steps(&config, about.train)?;

    let manifest = manifest(&config, &machine, &source);
    let folder = match (resumed, &options.out) {
        (Some(folder), _) => {
            ensure_no_differences(&folder, &folder.manifest().differences(&manifest))?;
            if let Some(summary) = summary {
                return report_finished(options, &folder, &summary, &mut log);
            }
            folder
        }
        (None, Some(out)) => {
            RunFolder::create(out, options.force, &config, &manifest).map_err(explain_existing_folder)?
        }
        (None, None) => RunFolder::create_numbered(Path::new("runs"), &config, &manifest)?,
    };
    log(&format!("data: {}, {} training and {} validation rows", about.source, about.train, about.validation));
    if let Some(recipe) = &about.recipe {
        table_defaults::describe(recipe, Some(config.data())).iter().for_each(|line| log(line));
    }
    table_notes.iter().for_each(|line| log(line));
    notes.iter().for_each(|note| log(&format!("note: {note}")));
    option_notes.iter().for_each(|note| log(note));
    for line in
        [subset_message, dropped_rows_note(&config, about.train), rows.class_weights_note(), rows.scale_note(&config)?]
            .into_iter()
            .flatten()
    {
        log(&line);
    }
    let rows = rows.load(&config, &machine)?;
    if let Some(kernels) = rows.kernel_note(&machine) {
        log(&kernels);
    }
    // Until here, Ctrl-C ends the program at once and nothing is lost.
    catch_interrupts(options.output.quiet);
    let mut progress = Progress::new(steps, !options.output.quiet && stderr_is_terminal());
    let interval = options.checkpoint_every.unwrap_or_default();
    let result = CheckpointObserver::new(&mut progress, &folder, interval, start, &mut log)
        .and_then(|mut observer| run(&machine, &rows, &mut observer));
    progress.finish();
    let (summary, ending) = match result {
        Err(error) if is_interruption(&error) => {
            log(&format!("{error}; --resume {} starts it again", folder.path().display()));
            return Ok(exit::INTERRUPTED);
        }
        other => other?,
    };
    if ending == Ending::Interrupted {
        log(&format!("interrupted; --resume {} continues the run", folder.path().display()));
    }
    print_result(options, &folder, &summary)
}

/// Returns the machine. A resumed run uses its former one unless the options name another.
fn machine(options: &TrainOptions, previous: Option<&Manifest>) -> Result<Machine> {
    let named = options.threads.map(usize::from).or(previous.map(|previous| previous.threads));
    let threads = named.and_then(NonZero::new).unwrap_or_else(all_threads);
    machine_for_resume(options.backend_options.backend.as_ref(), previous, threads)
}

/// Returns an error if resuming the run would give another result.
fn ensure_no_differences(folder: &RunFolder, differences: &[String]) -> Result<()> {
    run::ensure_no_differences(folder.path(), differences, "train a new run")
}

/// Returns the summary of a run that is finished and whole.
fn finished_summary(folder: &RunFolder, log: &mut dyn FnMut(&str)) -> Option<Summary> {
    match RunFolder::read(folder.path()) {
        Ok(files) => Some(files.summary).filter(|summary| !summary.interrupted),
        Err(error) => {
            // Only a finished run can be damaged.
            if folder.has_summary() {
                log(&with_advice(&error.into()));
            }
            None
        }
    }
}

/// Reports that the run to resume is finished, and prints its result.
fn report_finished(
    options: &TrainOptions,
    folder: &RunFolder,
    summary: &Summary,
    log: &mut dyn FnMut(&str),
) -> Result<u8> {
    log(&format!("{} is finished; there is nothing to do", folder.path().display()));
    print_result(options, folder, summary)
}

/// Prints a run's result and returns the exit code.
fn print_result(options: &TrainOptions, folder: &RunFolder, summary: &Summary) -> Result<u8> {
    if options.output.json {
        if !options.output.quiet {
            table::warnings(summary, folder.config())
                .iter()
                .for_each(|warning| print_message(&format!("note: {warning}")));
        }
        print_json(summary)?;
    } else {
        table::closing_table(summary, folder.config(), folder.path(), options.verbose).print()?;
    }
    if summary.interrupted {
        return Ok(exit::INTERRUPTED);
    }
    // An optimum was requested, but its certificate may not hold.
    let is_uncertified = summary.certificate.is_some_and(|certificate| !certificate.holds());
    Ok(if is_uncertified { exit::CHECK_FAILED } else { exit::SUCCESS })
}
