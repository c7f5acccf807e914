//! The data of a sweep's points: found and looked through before any of them begins, and no more
//! often than it takes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use chainrule::machine::Machine;
use chainrule_core::TrainConfig;
use chainrule_data::{Dataset, DatasetKind, Provenance, resolve_source};
use chainrule_records::{DataSummary, Grid};
use chainrule_solve::most_steps;

use crate::jobs::JobPool;
use crate::rows::{PreparedRows, SelectedRows};

/// What the points of a sweep are trained on.
pub(super) struct SweepData {
    /// The data of all points, where these are the same: more than one would be much to keep.
    kept: Mutex<Option<Dataset>>,
    pub(super) found: Vec<SweepDataset>,
    /// The rows that are computed with, by what decides them.
    loads: HashMap<String, SharedRows>,
    /// For each point the number of its data, and the key of its rows.
    of: Vec<(usize, String)>,
}

/// Data that some of the points ask for.
pub(super) struct SweepDataset {
    /// The first of these points.
    pub(super) point: usize,
    pub(super) source: Provenance,
    kind: DatasetKind,
}

struct SharedRows {
    about: DataSummary,
    /// Points that are still to be made of them.
    left: AtomicUsize,
}

impl SweepData {
    /// Finds the data of all points, and refuses those that cannot be trained on theirs.
    pub(super) fn find(
        configs: &[TrainConfig],
        grid: &Grid,
        machine: &Machine,
        log: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let mut sweep_data = Self { kept: Mutex::default(), found: Vec::new(), loads: HashMap::new(), of: Vec::new() };
        let mut last: Option<(usize, Dataset)> = None;
        // What `auto` got for one point it gets for all, or a network that fails would be tried for
        // each.
        let find = |found: &[SweepDataset], config: &TrainConfig, log: &mut dyn FnMut(&str)| {
            let asked = &config.data().source;
            match found.iter().find(|found| configs[found.point].data().source == *asked) {
                Some(found) => Dataset::find_at(&resolve_source(asked, &found.source.name), config, log),
                None => Dataset::find(config, log),
            }
        };
        for (point, config) in configs.iter().enumerate() {
            let known = |found: &SweepDataset| found.kind.serves(&configs[found.point], config);
            let number = match sweep_data.found.iter().position(known) {
                Some(number) => number,
                None => {
                    let data = find(&sweep_data.found, config, log).with_context(|| grid.describe(point))?;
                    sweep_data.found.push(SweepDataset { point, source: data.provenance(), kind: data.kind() });
                    last = Some((sweep_data.found.len() - 1, data));
                    sweep_data.found.len() - 1
                }
            };
            let (kind, descent) = (config.model().kind, config.descent());
            let rows = (config.data(), kind, descent.precision, descent.gradient, &config.objective().class_weights);
            let key = format!("{number} {rows:?}");
            if !sweep_data.loads.contains_key(&key) {
                let data = match last.take().filter(|last| last.0 == number) {
                    Some((_, data)) => data,
                    None => find(&sweep_data.found, config, log).with_context(|| grid.describe(point))?,
                };
                let source = &sweep_data.found[number].source;
                let rows =
                    SelectedRows::of(data.clone(), config, source, machine).with_context(|| grid.describe(point))?;
                rows.note(config)?.iter().for_each(|note| log(note));
                sweep_data
                    .loads
                    .insert(key.clone(), SharedRows { about: rows.about().clone(), left: AtomicUsize::new(0) });
                last = Some((number, data));
            }
            let load = &sweep_data.loads[&key];
            most_steps(config, load.about.train).with_context(|| grid.describe(point))?;
            sweep_data.of.push((number, key));
        }
        if sweep_data.found.len() == 1 {
            sweep_data.kept = Mutex::new(last.map(|(_, data)| data));
        }
        Ok(sweep_data)
    }

    /// What a point's data are.
    pub(super) fn about(&self, point: usize) -> &DataSummary {
        &self.loads[&self.of[point].1].about
    }

    /// Where a point's data come from.
    pub(super) fn source(&self, point: usize) -> &Provenance {
        &self.found[self.of[point].0].source
    }

    /// These points are going to be made, once: gives them in an order in which those with the same
    /// rows follow each other, so that few rows are in memory at once.
    pub(super) fn begin(&self, points: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut points: Vec<usize> = points.collect();
        let first = |point: usize| self.of.iter().position(|other| other.1 == self.of[point].1);
        points.sort_by_key(|&point| (first(point), point));
        for &point in &points {
            self.loads[&self.of[point].1].left.fetch_add(1, Ordering::Relaxed);
        }
        points
    }

    /// A point's rows, as they are computed with.
    pub(super) fn rows(
        &self,
        point: usize,
        config: &TrainConfig,
        machine: &Machine,
        jobs: &JobPool,
    ) -> Result<Arc<PreparedRows>> {
        jobs.rows(&self.of[point].1, || {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            // The files' bytes are no longer needed where nobody else will ask for other rows of
            // them.
            let kept = if self.loads.len() == 1 { kept.take() } else { kept.clone() };
            let source = self.source(point);
            let data = match kept {
                Some(data) => data,
                None => Dataset::find_at(&resolve_source(&config.data().source, &source.name), config, &mut |_| {})?,
            };
            if data.provenance().files != source.files {
                bail!("{} was changed meanwhile; begin a new sweep", source.name);
            }
            SelectedRows::of(data, config, source, machine)?.load(config, machine)
        })
    }

    /// Lets go of a point's rows where no other is left that needs them.
    pub(super) fn done_with(&self, point: usize, jobs: &JobPool) {
        let key = &self.of[point].1;
        if self.loads[key].left.fetch_sub(1, Ordering::Relaxed) == 1 {
            jobs.let_go(key);
        }
    }
}
