//! The minima of J for several penalties, each from that of the one before.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::Arc;

use chainrule_core::{History, Link, Parameters, Solver, TrainConfig};

use crate::FusedRows;
use crate::engine::{Engine, EngineError};
use crate::fused::KernelEngine;
use crate::newton;
use crate::optimum::{IterationEvent, Optimum, RowStatistics, SearchStart, search_from};
use crate::train::{Ending, TrainError, Trained, check_kernel_support, final_metrics};

/// Trains a model for each penalty of a path: `configs` differ only in `objective.l2`. All of them
/// search for the minimum, by the fused kernels on `threads` threads. The results are in the order
/// of `configs`. They have no history, because nothing is evaluated on the way.
///
/// The largest penalty comes first, because its minimum is the nearest to zero. Each search starts
/// near the minimum before it. L-BFGS extrapolates the minima and keeps what it knows of the
/// curvature, so it needs only a few passes over the rows. Each result has its own certificate.
///
/// # Errors
/// If the system does not provide the threads, if the config needs an ability that the kernels
/// lack, or if a file can no longer be read.
///
/// # Panics
/// If a config has a solver that searches no minimum, there are no rows, or their targets do not
/// fit the link.
pub fn train_path(
    link: &Arc<dyn Link>,
    [train_rows, validation_rows]: [&FusedRows; 2],
    configs: &[TrainConfig],
    threads: NonZero<usize>,
) -> Result<Vec<Trained>, TrainError> {
    let Some(first) = configs.first() else { return Ok(Vec::new()) };
    for config in configs {
        assert!(config.descent().solver.is_search(), "descent.solver");
        check_kernel_support(config)?;
    }
    let threads = threads.get();
    let mut engine = KernelEngine::new(Arc::clone(link), train_rows, validation_rows, first, threads, None)?;
    let trained = chainrule_kernels::with_threads(threads, || follow(&mut engine, configs));
    let trained = trained.map_err(|problem| TrainError::Threads { threads, problem })?;
    trained.map_err(|error| error.into_train_error(History::default(), None))
}

fn follow(engine: &mut dyn Engine, configs: &[TrainConfig]) -> Result<Vec<Trained>, EngineError> {
    let mut order: Vec<usize> = (0..configs.len()).collect();
    order.sort_by(|&a, &b| configs[b].objective().l2.total_cmp(&configs[a].objective().l2));
    let (mut statistics, mut neighbour, mut minima) = (None, None, Vec::new());
    let mut all: Vec<Option<Trained>> = vec![None; configs.len()];
    for i in order {
        let config = &configs[i];
        let on_iteration = &mut |_: &mut dyn Engine, _: IterationEvent| Ok(ControlFlow::Continue(()));
        let optimum = match config.descent().solver {
            // It starts at the engine's parameters, those of the search before.
            Solver::Newton => newton::search(engine, config, None, on_iteration)?,
            Solver::Lbfgs | Solver::Sgd => {
                let start = match neighbour.take() {
                    Some(neighbour) => SearchStart::Near(neighbour, extrapolate(&minima, config.objective().l2)),
                    None => SearchStart::At(engine.parameters()?),
                };
                let statistics = match &mut statistics {
                    Some(statistics) => statistics,
                    none => none.insert(RowStatistics::new(engine, config)?),
                };
                let (optimum, end) = search_from(start, engine, config, statistics, on_iteration)?;
                neighbour = Some(end);
                minima.push((config.objective().l2, optimum.parameters.clone()));
                if minima.len() > MAX_EXTRAPOLATED {
                    minima.remove(0);
                }
                optimum
            }
        };
        all[i] = Some(trained(engine, optimum)?);
    }
    Ok(all.into_iter().flatten().collect())
}

/// The number of minima that are extrapolated: a parabola.
const MAX_EXTRAPOLATED: usize = 3;

/// Returns the parameters at another penalty, on the polynomial in ln lambda through these minima.
fn extrapolate(minima: &[(f64, Parameters)], l2: f64) -> Parameters {
    let (_, last) = minima.last().expect("there is a minimum before");
    let mut sum = Parameters::zeros(last.n_features, last.columns);
    for (i, (own, parameters)) in minima.iter().enumerate() {
        // Equal penalties have the same minimum.
        let others = minima.iter().enumerate().filter(|(j, (other, _))| *j != i && other != own);
        let factor: f64 = others.map(|(_, (other, _))| (l2 / other).ln() / (own / other).ln()).product();
        let pairs = [(&mut sum.weight, &parameters.weight), (&mut sum.bias, &parameters.bias)];
        for (sum, values) in pairs {
            sum.iter_mut().zip(values).for_each(|(sum, w)| *sum += factor * w);
        }
    }
    sum
}

/// Evaluates an optimum.
fn trained(engine: &mut dyn Engine, optimum: Optimum) -> Result<Trained, EngineError> {
    let Optimum { parameters, certificate, ended, identification } = optimum;
    engine.set(&parameters);
    let metrics = engine.metrics()?;
    let steps = certificate.as_ref().map_or(0, |proof| proof.iterations);
    let is_finite = metrics.iter().all(|metrics| metrics.loss.is_finite());
    Ok(Trained {
        parameters,
        history: History::default(),
        ending: if is_finite { Ending::from(ended) } else { Ending::Diverged { step: steps.saturating_sub(1) } },
        steps,
        steps_per_epoch: 1,
        best: None,
        final_metrics: final_metrics(metrics),
        certificate,
        identification,
        class_weights: engine.class_weights(),
    })
}
