//! The data of a sweep's points: found and looked through before any of them begins, and no more often than it takes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use chainrule::machine::Machine;
use chainrule_core::TrainConfig;
use chainrule_data::{Dataset, Nature, Provenance, own};
use chainrule_records::{DataSummary, Grid};
use chainrule_solve::most_steps;

use crate::crew::Crew;
use crate::rows::{ChosenRows, Loaded};

/// What the points of a sweep are trained on.
pub(super) struct Material {
    /// The data of all points, where these are the same: more than one would be much to keep.
    kept: Mutex<Option<Dataset>>,
    pub(super) found: Vec<Found>,
    /// The rows that are computed with, by what decides them.
    loads: HashMap<String, Load>,
    /// For each point the number of its data, and the key of its rows.
    of: Vec<(usize, String)>,
}

/// Data that some of the points ask for.
pub(super) struct Found {
    /// The first of these points.
    pub(super) point: usize,
    pub(super) source: Provenance,
    nature: Nature,
}

struct Load {
    about: DataSummary,
    /// Points that are still to be made of them.
    left: AtomicUsize,
}

impl Material {
    /// Finds the data of all points, and refuses those that cannot be trained on theirs.
    pub(super) fn find(
        configs: &[TrainConfig],
        grid: &Grid,
        machine: &Machine,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let mut material = Self { kept: Mutex::default(), found: Vec::new(), loads: HashMap::new(), of: Vec::new() };
        let mut last: Option<(usize, Dataset)> = None;
        // What `auto` got for one point it gets for all, or a network that fails would be tried for each.
        let find = |found: &[Found], config: &TrainConfig, tell: &mut dyn FnMut(&str)| {
            let asked = &config.data().source;
            match found.iter().find(|found| configs[found.point].data().source == *asked) {
                Some(found) => Dataset::find_at(&own(asked, &found.source.name), config, tell),
                None => Dataset::find(config, tell),
            }
        };
        for (point, config) in configs.iter().enumerate() {
            let known = |found: &Found| found.nature.serves(&configs[found.point], config);
            let number = match material.found.iter().position(known) {
                Some(number) => number,
                None => {
                    let data = find(&material.found, config, tell).with_context(|| grid.describe(point))?;
                    material.found.push(Found { point, source: data.provenance(), nature: data.nature() });
                    last = Some((material.found.len() - 1, data));
                    material.found.len() - 1
                }
            };
            let (kind, descent) = (config.model().kind, config.descent());
            let rows = (config.data(), kind, descent.precision, descent.gradient, &config.objective().class_weights);
            let key = format!("{number} {rows:?}");
            if !material.loads.contains_key(&key) {
                let data = match last.take().filter(|last| last.0 == number) {
                    Some((_, data)) => data,
                    None => find(&material.found, config, tell).with_context(|| grid.describe(point))?,
                };
                let source = &material.found[number].source;
                let rows =
                    ChosenRows::of(data.clone(), config, source, machine).with_context(|| grid.describe(point))?;
                rows.note(config)?.iter().for_each(|note| tell(note));
                material.loads.insert(key.clone(), Load { about: rows.about().clone(), left: AtomicUsize::new(0) });
                last = Some((number, data));
            }
            let load = &material.loads[&key];
            most_steps(config, load.about.train).with_context(|| grid.describe(point))?;
            material.of.push((number, key));
        }
        if material.found.len() == 1 {
            material.kept = Mutex::new(last.map(|(_, data)| data));
        }
        Ok(material)
    }

    /// What a point's data are.
    pub(super) fn about(&self, point: usize) -> &DataSummary {
        &self.loads[&self.of[point].1].about
    }

    /// Where a point's data come from.
    pub(super) fn source(&self, point: usize) -> &Provenance {
        &self.found[self.of[point].0].source
    }

    /// These points are going to be made, once: gives them in an order in which those with the same rows follow each other, so that few rows are in memory at
    /// once.
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
        crew: &Crew,
    ) -> Result<Arc<Loaded>> {
        crew.rows(&self.of[point].1, || {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            // The files' bytes are no longer needed where nobody else will ask for other rows of them.
            let kept = if self.loads.len() == 1 { kept.take() } else { kept.clone() };
            let source = self.source(point);
            let data = match kept {
                Some(data) => data,
                None => Dataset::find_at(&own(&config.data().source, &source.name), config, &mut |_| {})?,
            };
            if data.provenance().files != source.files {
                bail!("{} was changed meanwhile; begin a new sweep", source.name);
            }
            ChosenRows::of(data, config, source, machine)?.load(config, machine)
        })
    }

    /// Lets go of a point's rows where no other is left that needs them.
    pub(super) fn done_with(&self, point: usize, crew: &Crew) {
        let key = &self.of[point].1;
        if self.loads[key].left.fetch_sub(1, Ordering::Relaxed) == 1 {
            crew.let_go(key);
        }
    }
}
