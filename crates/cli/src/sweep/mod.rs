//! `chainrule sweep`: trains an experiment at every point of a grid over its keys.

mod sweep_data;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZero;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use chainrule::machine::Machine;
use chainrule_core::{TrainConfig, pluralize};
use chainrule_records::{ConfigFile, Grid, GridKey, RunError, RunFolder, SweepFolder, SweepPlan};
use chainrule_report::{PointOutcome, Run, Sweep, SweepPoint};

use crate::checkpoints::CheckpointInterval;
use crate::destination::explain_existing_folder;
use crate::jobs::{JobPool, JobResults, workers};
use crate::missing::check_folder_exists;
use crate::options::SweepOptions;
use crate::output::{Lines, print_json, print_message, with_advice};
use crate::progress::{catch_interrupts, stderr_is_terminal};
use crate::rows::dropped_rows_note;
use crate::run::{self, Diverged, machine_for_resume, manifest};
use crate::table::warnings;
use crate::{exit, experiment, table_defaults};
use sweep_data::SweepData;

/// The most rows of the table on a terminal.
const MAX_TABLE_ROWS: usize = 30;

/// The most notes on rows that points leave out.
const MAX_NOTES: usize = 3;

/// Makes the missing points and reports all of them. Validation is complete before the first point
/// starts.
pub(crate) fn sweep(options: &SweepOptions) -> Result<u8> {
    let mut log = |line: &str| {
        if !options.output.quiet {
            print_message(line);
        }
    };
    options.resume.as_deref().map_or(Ok(()), check_folder_exists)?;
    let resumed = options.resume.as_deref().map(SweepFolder::open).transpose()?;
    let previous = resumed.as_ref().map(SweepFolder::plan);
    let machine = machine(options, previous)?;
    let (mut plan, configs) = plan(options, previous, &machine)?;
    if let (Some(folder), Some(previous)) = (&resumed, previous) {
        let planned = resolved_configs(previous, &machine)?;
        let differing = planned.iter().zip(&configs).enumerate().find_map(|(point, (planned, config))| {
            Some(format!("{}: {}", plan.grid.describe(point), differences_except_source(config.differences(planned))?))
        });
        let differences = plan.grid.differences(&previous.grid);
        ensure_no_differences(
            folder.path(),
            &if differences.is_empty() { differing.into_iter().collect() } else { differences },
        )?;
    }
    let sweep_data = SweepData::find(&configs, &plan.grid, &machine, &mut log)?;
    plan.manifests = sweep_data
        .datasets
        .iter()
        .map(|finished| manifest(&configs[finished.point], &machine, &finished.source))
        .collect();
    let folder = match (resumed, &options.out) {
        (Some(folder), _) => {
            for (previous, current) in folder.plan().manifests.iter().zip(&plan.manifests) {
                ensure_no_differences(folder.path(), &previous.differences(current))?;
            }
            folder
        }
        (None, Some(out)) => SweepFolder::create(out, options.force, &plan).map_err(explain_existing_folder)?,
        (None, None) => SweepFolder::create_numbered(Path::new("runs"), &plan)?,
    };
    let points = Points { machine: &machine, plan: &plan, configs: &configs, sweep_data: &sweep_data, folder: &folder };
    let finished = points.finished(&mut log)?;

    let jobs = options.jobs.and_then(|jobs| NonZero::new(usize::from(jobs)));
    let jobs = jobs.unwrap_or_else(|| workers(&machine, machine.threads()));
    for line in points.announcement(finished.iter().flatten().count(), jobs) {
        log(&line);
    }
    catch_interrupts(options.output.quiet);
    let is_shown = !options.output.quiet && stderr_is_terminal();
    let jobs = JobPool::new(&machine, jobs, "point", options.output.quiet, is_shown);
    let (outcomes, is_interrupted) =
        points.make(finished, &jobs, options.checkpoint_every.unwrap_or_default(), is_shown)?;

    let sweep = Sweep::new(&plan, outcomes);
    let json = serde_json::to_string_pretty(&sweep.json()).context("a sweep as JSON")?;
    folder.write_tables(&json, &sweep.files())?;
    // The warnings of the first point that has any: those of other seeds are similar.
    let of_point = |point: &&SweepPoint| Some(warnings(point.summary()?, &configs[point.number]));
    let best = sweep.best();
    let of_best = best.iter().filter_map(of_point).find(|warnings| !warnings.is_empty());
    if let (Some(warnings), false) = (of_best, options.output.quiet) {
        let which = if best.len() > 1 { "of a point of the best combination" } else { "of the best point" };
        warnings.iter().for_each(|warning| print_message(&format!("note: {which}, {warning}")));
    }
    print_result(options, &sweep, folder.path(), is_interrupted)
}

/// Returns the machine of a sweep. A resumed sweep uses its former one unless the options name
/// another.
fn machine(options: &SweepOptions, previous: Option<&SweepPlan>) -> Result<Machine> {
    let named = options.threads.map(usize::from).or(previous.map(|plan| plan.threads));
    let threads = named.and_then(NonZero::new).unwrap_or(NonZero::<usize>::MIN);
    machine_for_resume(
        options.backend_options.backend.as_ref(),
        previous.and_then(|plan| plan.manifests.first()),
        threads,
    )
}

/// Returns the plan without its data, and the configs of its points. A resumed sweep takes what the
/// options do not set from its former plan.
fn plan(
    options: &SweepOptions,
    previous: Option<&SweepPlan>,
    machine: &Machine,
) -> Result<(SweepPlan, Vec<TrainConfig>)> {
    let keys = options.grid.iter().map(|text| GridKey::parse(text)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|error| anyhow!("--grid {error}"))?;
    let grid = match previous {
        Some(previous) if keys.is_empty() => previous.grid.clone(),
        _ => Grid::new(keys).map_err(|error| anyhow!("--grid: {error}"))?,
    };
    let (config, text, mut set, of_sgd) = match (previous, &options.config) {
        (Some(previous), None) => {
            (previous.config.clone(), previous.text.clone(), previous.set.clone(), previous.of_sgd.clone())
        }
        (_, named) => {
            experiment::check_overrides(&options.override_options, named.as_deref())?;
            let of_table = match named {
                None => table_defaults::find(&options.override_options, &options.table)?,
                Some(_) => None,
            };
            let (read, of_sgd) = match of_table {
                Some(table) => (Ok(table.experiment), table.of_sgd),
                None => (experiment::read(named.as_deref()), Vec::new()),
            };
            let experiment::Experiment { file, text } = read.map_err(|error| match named {
                Some(path) if !path.exists() && !error.to_string().ends_with('?') => {
                    anyhow!("{error}; separate the values of --grid by commas, without spaces")
                }
                _ => error,
            })?;
            (file, text, Vec::new(), of_sgd)
        }
    };
    set.extend(experiment::overrides(&options.override_options, &options.table));
    let plan = SweepPlan { config, text, set, of_sgd, threads: machine.threads().get(), grid, manifests: Vec::new() };
    let configs = resolved_configs(&plan, machine)?;
    let mut points: HashMap<String, usize> = HashMap::new();
    for (point, config) in configs.iter().enumerate() {
        if let Some(earlier) = points.insert(config.to_toml(), point) {
            bail!(
                "{} and {} are the same experiment; remove one of the values",
                plan.grid.describe(earlier),
                plan.grid.describe(point)
            );
        }
    }
    Ok((plan, configs))
}

/// Returns the configs of a plan's points, with the machine's defaults filled in.
fn resolved_configs(plan: &SweepPlan, machine: &Machine) -> Result<Vec<TrainConfig>> {
    let configs = plan.configs()?.into_iter().enumerate();
    configs.map(|(point, config)| machine.resolve_defaults(config).with_context(|| plan.grid.describe(point))).collect()
}

/// Joins the differences of two experiments, except for the data's location, which may change. The
/// manifests identify the data. Returns `None` if no difference is left.
fn differences_except_source(differences: Vec<String>) -> Option<String> {
    let differences: Vec<String> = differences.into_iter().filter(|key| !key.starts_with("data.source")).collect();
    (!differences.is_empty()).then(|| differences.join("; "))
}

/// Returns an error if resuming the sweep would give another result.
fn ensure_no_differences(folder: &Path, differences: &[String]) -> Result<()> {
    run::ensure_no_differences(folder, differences, "start a new sweep")
}

/// The points of a sweep, ready to be made.
struct Points<'a> {
    machine: &'a Machine,
    plan: &'a SweepPlan,
    configs: &'a [TrainConfig],
    sweep_data: &'a SweepData,
    folder: &'a SweepFolder,
}

impl Points<'_> {
    /// Returns the outcome of each point that is finished. Returns an error if a point would have
    /// another result here.
    fn finished(&self, log: &mut dyn FnMut(&str)) -> Result<Vec<Option<PointOutcome>>> {
        let names = self.plan.folder_names();
        let finished = |(point, name): (usize, &String)| -> Result<Option<PointOutcome>> {
            let path = self.folder.point(name)?;
            let run = match RunFolder::open(&path) {
                Ok(run) => run,
                // A file is damaged. The rest of the point may be whole, so it is not made again
                // unasked.
                Err(error @ RunError::Incomplete { .. }) if RunFolder::is_run(&path) => {
                    return Err(anyhow!("point {name}: {error}, or remove the folder to train the point again"));
                }
                Err(RunError::Incomplete { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let current = manifest(&self.configs[point], self.machine, self.sweep_data.source(point));
            let config = differences_except_source(self.configs[point].differences(run.config()));
            let differences: Vec<String> = config.into_iter().chain(run.manifest().differences(&current)).collect();
            ensure_no_differences(self.folder.path(), &differences).with_context(|| format!("point {name}"))?;
            match run.divergence() {
                Ok(Some(divergence)) => return Ok(Some(PointOutcome::Diverged(divergence))),
                Ok(None) => {}
                Err(error) => log(&error.to_string()),
            }
            match Run::read(name, &path) {
                Ok(run) => Ok(Some(PointOutcome::Ended(Box::new(run.summary)))),
                Err(_) => {
                    // A run that was cut off has no summary, or its summary says so. Any other run
                    // should be whole.
                    if run.has_summary()
                        && let Err(error) = RunFolder::read(&path)
                    {
                        log(&error.to_string());
                    }
                    Ok(None)
                }
            }
        };
        names.iter().enumerate().map(finished).collect()
    }

    /// Returns the messages about the work ahead.
    fn announcement(&self, finished: usize, jobs: NonZero<usize>) -> Vec<String> {
        let about = self.sweep_data.about(0);
        let rows = |point: usize| [self.sweep_data.about(point).train, self.sweep_data.about(point).validation];
        let data = if (0..self.configs.len()).all(|point| rows(point) == rows(0)) {
            format!("{}, {} training and {} validation rows", about.source, about.train, about.validation)
        } else {
            format!("{}, different rows for different points", about.source)
        };
        let (points, folder) = (self.configs.len(), self.folder.path().display());
        let finished_note =
            if finished == 0 { String::new() } else { format!("; {finished} of them found in {folder}") };
        let backend = self.machine.backend();
        // Equal notes are printed once, and only the first few. The points' summaries have the
        // numbers.
        let dropped =
            (0..points).filter_map(|point| dropped_rows_note(&self.configs[point], self.sweep_data.about(point).train));
        let dropped: BTreeSet<String> = dropped.collect();
        let sweep =
            format!("sweep: {}, {jobs} at once on {backend}, into {folder}{finished_note}", pluralize(points, "point"));
        [format!("data: {data}")].into_iter().chain(dropped.into_iter().take(MAX_NOTES)).chain([sweep]).collect()
    }

    /// Makes the missing points. Returns all finished points with their numbers, and whether the
    /// user interrupted.
    fn make(
        &self,
        finished: Vec<Option<PointOutcome>>,
        jobs: &JobPool,
        interval: CheckpointInterval,
        is_shown: bool,
    ) -> Result<(Vec<(usize, PointOutcome)>, bool)> {
        let names = self.plan.folder_names();
        let missing = finished.iter().enumerate().filter(|(_, outcome)| outcome.is_none()).map(|(point, _)| point);
        let order = self.sweep_data.schedule(missing);
        let tasks: Vec<&str> = order.iter().map(|&point| names[point].as_str()).collect();
        let make = |task: usize, ()| {
            let outcome = self.make_point(order[task], &names[order[task]], jobs, interval);
            self.sweep_data.release(order[task], jobs);
            let outcome = outcome.map_err(|error| {
                let folder = self.folder.path().display();
                anyhow!("{}; sweep --resume {folder} trains the missing points", with_advice(&error))
            })?;
            if let (Some(outcome), false) = (&outcome, is_shown) {
                jobs.log(&format!("point {}: {}", names[order[task]], describe_outcome(outcome)));
            }
            Ok(outcome)
        };
        let JobResults { done, is_interrupted, .. } = jobs.work(&tasks, |_, _| Some(()), make, || Ok(()))?;
        let trained = order.into_iter().zip(done).filter_map(|(point, outcome)| Some((point, outcome?)));
        let finished = finished.into_iter().enumerate().filter_map(|(point, outcome)| Some((point, outcome?)));
        Ok((finished.chain(trained).collect(), is_interrupted))
    }

    /// Makes or resumes a point. Returns `None` if the work ends first.
    fn make_point(
        &self,
        point: usize,
        name: &str,
        jobs: &JobPool,
        interval: CheckpointInterval,
    ) -> Result<Option<PointOutcome>> {
        let start = Instant::now();
        let config = &self.configs[point];
        let rows = self.sweep_data.rows(point, config, self.machine, jobs)?;
        let manifest = manifest(config, self.machine, self.sweep_data.source(point));
        let path = self.folder.point(name)?;
        let open_or_create = || match RunFolder::open(&path) {
            Err(RunError::Incomplete { .. }) => RunFolder::create(&path, true, config, &manifest),
            other => other,
        };
        let Some(folder) = jobs.wait_for(open_or_create)? else { return Ok(None) };
        match jobs.run(name, &folder, &rows, interval, start) {
            Ok(summary) => Ok(summary.map(|summary| PointOutcome::Ended(Box::new(summary)))),
            // A diverged point is a result of the grid. It does not stop the other points.
            Err(error) => Ok(Some(PointOutcome::Diverged(error.downcast::<Diverged>()?.divergence))),
        }
    }
}

/// Formats the outcome of a point as one line.
fn describe_outcome(outcome: &PointOutcome) -> String {
    match outcome {
        PointOutcome::Diverged(divergence) => format!("diverged: {}", divergence.problem),
        PointOutcome::Ended(summary) => {
            let last = &summary.final_metrics;
            let accuracy = 100.0 * last.validation_accuracy;
            format!("validation loss {:.6}, accuracy {accuracy:.2} %", last.validation_loss)
        }
    }
}

/// Prints the result of a sweep and returns the exit code.
fn print_result(options: &SweepOptions, sweep: &Sweep, folder: &Path, is_interrupted: bool) -> Result<u8> {
    if options.output.json {
        let mut document = sweep.json();
        document["folder"] = folder.display().to_string().into();
        document["interrupted"] = is_interrupted.into();
        print_json(&document)?;
    } else {
        let mut lines = Lines::default();
        sweep.table(MAX_TABLE_ROWS).split('\n').for_each(|line| lines.add(line));
        let means = sweep.has_means().then_some("sweep-means.csv");
        ["sweep.md", "sweep.csv"]
            .into_iter()
            .chain(means)
            .chain(["sweep.png"])
            .for_each(|name| lines.add(folder.join(name).display().to_string()));
        lines.print()?;
    }
    if is_interrupted {
        print_message(&format!("interrupted; sweep --resume {} continues the sweep", folder.display()));
        return Ok(exit::INTERRUPTED);
    }
    if !sweep.has_models() {
        bail!("every point diverged; try smaller values of descent.learning_rate");
    }
    // An optimum was requested, but a certificate may not hold.
    Ok(if sweep.certificates_hold() { exit::SUCCESS } else { exit::CHECK_FAILED })
}
