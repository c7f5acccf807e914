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
use crate::table_defaults::describe;

/// The data of all points of a sweep.
pub(super) struct SweepData {
    /// The data set, if all points share one. Several would take too much memory.
    kept_dataset: Mutex<Option<Dataset>>,
    pub(super) datasets: Vec<SweepDataset>,
    /// The prepared rows, by the key that identifies them.
    shared_rows: HashMap<String, SharedRows>,
    /// For each point: the number of its data set, and the key of its rows.
    points: Vec<(usize, String)>,
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
    remaining: AtomicUsize,
}

impl SweepData {
    /// Finds the data of all points. Returns an error if a point cannot be trained on its data.
    pub(super) fn find(
        configs: &[TrainConfig],
        grid: &Grid,
        machine: &Machine,
        log: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let mut sweep_data = Self {
            kept_dataset: Mutex::default(),
            datasets: Vec::new(),
            shared_rows: HashMap::new(),
            points: Vec::new(),
        };
        let mut last: Option<(usize, Dataset)> = None;
        // `auto` is resolved once and for all points. Otherwise a failing network would be tried
        // for each point.
        let find = |datasets: &[SweepDataset], config: &TrainConfig, log: &mut dyn FnMut(&str)| {
            let source = &config.data().source;
            match datasets.iter().find(|dataset| configs[dataset.point].data().source == *source) {
                Some(dataset) => Dataset::find_at(&resolve_source(source, &dataset.source.name), config, log),
                None => Dataset::find(config, log),
            }
        };
        for (point, config) in configs.iter().enumerate() {
            let known = |dataset: &SweepDataset| dataset.kind.serves(&configs[dataset.point], config);
            let number = match sweep_data.datasets.iter().position(known) {
                Some(number) => number,
                None => {
                    let data = find(&sweep_data.datasets, config, log).with_context(|| grid.describe(point))?;
                    sweep_data.datasets.push(SweepDataset { point, source: data.provenance(), kind: data.kind() });
                    last = Some((sweep_data.datasets.len() - 1, data));
                    sweep_data.datasets.len() - 1
                }
            };
            let (kind, descent) = (config.model().kind, config.descent());
            let rows = (config.data(), kind, descent.precision, descent.gradient, &config.objective().class_weights);
            let key = format!("{number} {rows:?}");
            if !sweep_data.shared_rows.contains_key(&key) {
                let data = match last.take().filter(|last| last.0 == number) {
                    Some((_, data)) => data,
                    None => find(&sweep_data.datasets, config, log).with_context(|| grid.describe(point))?,
                };
                let source = &sweep_data.datasets[number].source;
                let rows =
                    SelectedRows::of(data.clone(), config, source, machine).with_context(|| grid.describe(point))?;
                if sweep_data.shared_rows.is_empty()
                    && let Some(recipe) = &rows.about().recipe
                {
                    describe(recipe, Some(config.data())).iter().for_each(|line| log(line));
                }
                if sweep_data.shared_rows.values().all(|shared| shared.about != *rows.about()) {
                    data.notes().iter().for_each(|note| log(&format!("note: {note}")));
                }
                rows.scale_note(config)?.iter().for_each(|note| log(note));
                sweep_data
                    .shared_rows
                    .insert(key.clone(), SharedRows { about: rows.about().clone(), remaining: AtomicUsize::new(0) });
                last = Some((number, data));
            }
            let shared = &sweep_data.shared_rows[&key];
            max_steps(config, shared.about.train).with_context(|| grid.describe(point))?;
            sweep_data.points.push((number, key));
        }
        if sweep_data.datasets.len() == 1 {
            sweep_data.kept_dataset = Mutex::new(last.map(|(_, data)| data));
        }
        Ok(sweep_data)
    }

    /// Returns the summary of a point's data.
    pub(super) fn about(&self, point: usize) -> &DataSummary {
        &self.shared_rows[&self.points[point].1].about
    }

    /// Returns the provenance of a point's data.
    pub(super) fn source(&self, point: usize) -> &Provenance {
        &self.datasets[self.points[point].0].source
    }

    /// Registers the points to make, and returns them in an order that groups points with the same
    /// rows. Then few rows are in memory at once. Call it once.
    pub(super) fn schedule(&self, points: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut points: Vec<usize> = points.collect();
        let first = |point: usize| self.points.iter().position(|other| other.1 == self.points[point].1);
        points.sort_by_key(|&point| (first(point), point));
        for &point in &points {
            self.shared_rows[&self.points[point].1].remaining.fetch_add(1, Ordering::Relaxed);
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
        jobs.rows(&self.points[point].1, || {
            let mut kept_dataset = self.kept_dataset.lock().unwrap_or_else(PoisonError::into_inner);
            // If no other rows will be selected from the data, the bytes of its files are freed.
            let kept_dataset = if self.shared_rows.len() == 1 { kept_dataset.take() } else { kept_dataset.clone() };
            let source = self.source(point);
            let data = match kept_dataset {
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
    pub(super) fn release(&self, point: usize, jobs: &JobPool) {
        let key = &self.points[point].1;
        if self.shared_rows[key].remaining.fetch_sub(1, Ordering::Relaxed) == 1 {
            jobs.free_rows(key);
        }
    }
}
