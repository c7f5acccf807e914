//! The data of a sweep's points. All of it is found and checked before the first point starts, and
//! read no more often than necessary.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use chainrule::machine::Machine;
use chainrule_core::TrainConfig;
use chainrule_data::{Dataset, DatasetKind, Provenance, resolve_source};
use chainrule_records::{DataSummary, Grid};
use chainrule_solve::max_steps;

use crate::jobs::JobPool;
use crate::rows::{PreparedRows, SelectedRows};

/// The data of all points of a sweep.
pub(super) struct SweepData {
    /// The data set, if all points share one. Several would take too much memory.
    kept: Mutex<Option<Dataset>>,
    pub(super) found: Vec<SweepDataset>,
    /// The prepared rows, by the key that identifies them.
    loads: HashMap<String, SharedRows>,
    /// For each point: the number of its data set, and the key of its rows.
    of: Vec<(usize, String)>,
}

/// A data set that some of the points use.
pub(super) struct SweepDataset {
    /// The first of these points.
    pub(super) point: usize,
    pub(super) source: Provenance,
    kind: DatasetKind,
}

struct SharedRows {
    about: DataSummary,
    /// The number of points that still need these rows.
    left: AtomicUsize,
}

impl SweepData {
    /// Finds the data of all points. Returns an error if a point cannot be trained on its data.
    pub(super) fn find(
        configs: &[TrainConfig],
        grid: &Grid,
        machine: &Machine,
        log: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let mut sweep_data = Self { kept: Mutex::default(), found: Vec::new(), loads: HashMap::new(), of: Vec::new() };
        let mut last: Option<(usize, Dataset)> = None;
        // `auto` is resolved once and for all points. Otherwise a failing network would be tried
        // for each point.
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
            max_steps(config, load.about.train).with_context(|| grid.describe(point))?;
            sweep_data.of.push((number, key));
        }
        if sweep_data.found.len() == 1 {
            sweep_data.kept = Mutex::new(last.map(|(_, data)| data));
        }
        Ok(sweep_data)
    }

    /// Returns the summary of a point's data.
    pub(super) fn about(&self, point: usize) -> &DataSummary {
        &self.loads[&self.of[point].1].about
    }

    /// Returns the provenance of a point's data.
    pub(super) fn source(&self, point: usize) -> &Provenance {
        &self.found[self.of[point].0].source
    }

    /// Registers the points to make, and returns them in an order that groups points with the same
    /// rows. Then few rows are in memory at once. Call it once.
    pub(super) fn begin(&self, points: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut points: Vec<usize> = points.collect();
        let first = |point: usize| self.of.iter().position(|other| other.1 == self.of[point].1);
        points.sort_by_key(|&point| (first(point), point));
        for &point in &points {
            self.loads[&self.of[point].1].left.fetch_add(1, Ordering::Relaxed);
        }
        points
    }

    /// Returns the prepared rows of a point.
    pub(super) fn rows(
        &self,
        point: usize,
        config: &TrainConfig,
        machine: &Machine,
        jobs: &JobPool,
    ) -> Result<Arc<PreparedRows>> {
        jobs.rows(&self.of[point].1, || {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            // If no other rows will be selected from the data, the bytes of its files are freed.
            let kept = if self.loads.len() == 1 { kept.take() } else { kept.clone() };
            let source = self.source(point);
            let data = match kept {
                Some(data) => data,
                None => Dataset::find_at(&resolve_source(&config.data().source, &source.name), config, &mut |_| {})?,
            };
            if data.provenance().files != source.files {
                bail!("{} has changed since the sweep started; start a new sweep", source.name);
            }
            SelectedRows::of(data, config, source, machine)?.load(config, machine)
        })
    }

    /// Frees a point's rows if no other point needs them.
    pub(super) fn done_with(&self, point: usize, jobs: &JobPool) {
        let key = &self.of[point].1;
        if self.loads[key].left.fetch_sub(1, Ordering::Relaxed) == 1 {
            jobs.free_rows(key);
        }
    }
}
