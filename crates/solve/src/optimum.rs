//! To the minimum of J, on all rows at once, with a proof of how near it came.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::Arc;

use chainrule_core::{Certificate, Gradient, History, Link, Parameters, Precision, SearchEnd, Solver, TrainConfig};
use serde::{Deserialize, Serialize};

use crate::bound::{BoundPoint, Moments, found};
use crate::coordinates::Coordinates;
use crate::engine::{Engine, EngineError};
use crate::fused::KernelEngine;
use crate::lbfgs::{self, End, Minimised, Options, Point, Start, State, norm};
use crate::train::{Ending, TrainError, TrainLoop, within_kernels};
use crate::{Checkpoint, FusedRows, Observer};

/// What is known after an iteration, or of the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Iterate {
    /// Iterations made; 0 is the start.
    pub iteration: usize,
    /// Passes over the training rows so far, each for J and its gradient.
    pub gradients: usize,
    /// The mean cross-entropy of all training rows, without the penalty, in nats.
    pub cross_entropy: f64,
    /// J, with the penalty.
    pub objective: f64,
    /// The length of the gradient of J.
    pub gradient_norm: f64,
    /// J is at most this far above its minimum: as f64 sees it where that is within the tolerance,
    /// else up to the rounding of the config's precision. Where there is no certificate, an
    /// estimate: `|dJ/dw|^2 / (2 lambda)`.
    pub bound: f64,
}

/// What [`find_optimum`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimum {
    /// The parameters with the lowest bound.
    pub parameters: Parameters,
    /// How near to the minimum they are. None of a link without a [dual](Link::dual) where the bias
    /// has no penalty: nothing is proven then.
    pub certificate: Option<Certificate>,
    /// How the search ended.
    pub ended: SearchEnd,
}

/// The minimum of a link's J on `rows`, from parameters that are 0, by L-BFGS and the fused kernels
/// on so many threads; no evaluations, no model, no files.
///
/// `on_iteration` is told of the start and of every iteration, with its parameters. A caller's
/// clock, read there, makes a trace of time to J; `Break` ends the search, with what it has.
///
/// ```
/// # use std::{num::NonZero, ops::ControlFlow, time::Instant};
/// # use chainrule_kernels::PackedRows;
/// # use chainrule_core::{LinkKind, ModelKind, Settings, Solver, TrainConfig};
/// let mut settings = Settings::of(ModelKind::Softmax);
/// settings.objective.l2 = 0.01;
/// settings.descent.solver = Solver::Lbfgs;
/// let config = TrainConfig::try_from(settings)?;
/// // Two bytes a row, x = byte / 255, and three classes.
/// let rows = PackedRows::new(&[0, 0, 255, 0, 0, 255], [1, 2], vec![0, 1, 2], 1.0 / 255.0, 0.0).into();
/// let (start, mut trace) = (Instant::now(), Vec::new());
/// let softmax = LinkKind::Softmax.link(3);
/// let optimum = chainrule_solve::find_optimum(&softmax, &config, &rows, NonZero::<usize>::MIN, &mut |iterate, _| {
///     trace.push((start.elapsed(), iterate.objective));
///     ControlFlow::Continue(())
/// })?;
/// assert!(optimum.certificate.is_some_and(|proof| proof.holds()) && trace[0].1 == 3f64.ln());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Where there are not so many threads to be had, and where the config asks for what the kernels
/// cannot do.
///
/// # Panics
/// Where the config's solver is another, there are no rows, or their targets are not the link's.
pub fn find_optimum(
    link: &Arc<dyn Link>,
    config: &TrainConfig,
    rows: &FusedRows,
    threads: NonZero<usize>,
    on_iteration: &mut (dyn FnMut(&Iterate, &Parameters) -> ControlFlow<()> + Send),
) -> Result<Optimum, TrainError> {
    assert_eq!(config.descent().solver, Solver::Lbfgs, "descent.solver");
    within_kernels(config)?;
    let threads = threads.get();
    let mut engine = KernelEngine::new(Arc::clone(link), rows, rows, config, threads);
    let mut on_iteration =
        |_: &mut dyn Engine, event: IterationEvent| Ok(on_iteration(&event.iterate, event.parameters));
    let found = chainrule_kernels::with_threads(threads, || search(&mut engine, config, None, &mut on_iteration));
    let found = found.map_err(|problem| TrainError::Threads { threads, problem })?;
    found.map_err(|failure| failure.lost(History::default(), None))
}

impl TrainLoop<'_> {
    /// All iterations, or those that are left, and the evaluations between them.
    #[expect(clippy::wrong_self_convention, reason = "it is the minimum that it goes to")]
    pub(crate) fn to_the_minimum(
        &mut self,
        from: Option<SearchState>,
        engine: &mut dyn Engine,
        observer: &mut dyn Observer,
    ) -> Result<Ending, EngineError> {
        let mut before = from.as_ref().map(|from| from.cross_entropy);
        let mut diverged = None;
        let (interval, tolerance) = (self.config.optimum().evaluate_every, self.config.optimum().tolerance);
        let Optimum { parameters, certificate, ended } = search(engine, self.config, from, &mut |engine, event| {
            let IterationEvent { iterate, parameters, state } = event;
            self.history.train_loss.extend(before.replace(iterate.cross_entropy));
            let Some(step) = iterate.iteration.checked_sub(1) else { return Ok(ControlFlow::Continue(())) };
            self.steps = iterate.iteration;
            if step.is_multiple_of(interval) {
                diverged = self.evaluate(engine, step, step, observer)?;
                if diverged.is_some() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            let flow = observer.on_step(step);
            // From where it ends anyway there is nowhere to go on to.
            if observer.wants_checkpoint(step) && iterate.bound > tolerance {
                observer.save_checkpoint(Checkpoint {
                    steps: self.steps,
                    parameters: parameters.clone(),
                    best: None,
                    history: self.history.clone(),
                    memory: None,
                    search: Some(state()),
                });
            }
            Ok(flow)
        })?;
        engine.set(&parameters);
        // The end is always looked at, on the grid or off it.
        let step = self.steps.saturating_sub(1);
        if diverged.is_none() && self.history.evaluations.last().is_none_or(|last| last.step != step) {
            diverged = self.evaluate(engine, step, step, observer)?;
        }
        self.best = Some(parameters);
        self.certificate = certificate;
        Ok(diverged.unwrap_or(match ended {
            SearchEnd::Converged => Ending::Converged,
            SearchEnd::IterationsUsedUp => Ending::UsedUp,
            SearchEnd::Rounding => Ending::Rounding,
            SearchEnd::Interrupted => Ending::Interrupted,
        }))
    }
}

/// Who hears of the iterations, and may use the engine meanwhile, which is at the parameters that
/// were reached.
type IterationCallback<'a> = &'a mut dyn FnMut(&mut dyn Engine, IterationEvent) -> Result<ControlFlow<()>, EngineError>;

/// An iteration's end, or the start.
struct IterationEvent<'a> {
    iterate: Iterate,
    parameters: &'a Parameters,
    /// Makes what it takes to go on from here.
    state: &'a dyn Fn() -> SearchState,
}

/// Where a search stands between two iterations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SearchState {
    descent: Box<State>,
    /// Of all training rows, at the last iteration's parameters.
    cross_entropy: f64,
    best: Candidate,
    gradients: usize,
    arrivals: usize,
    /// Whether the bound was asked in f64 already, and its moments counted.
    has_moments_in_f64: bool,
}

impl SearchState {
    /// Whether it is one of parameters of this shape.
    pub(crate) fn fits(&self, [d, k]: [usize; 2]) -> bool {
        self.descent.has_dimension(d * k + k) && self.best.parameters.has_shape([d, k])
    }
}

/// The parameters with the lowest bound, from those of the engine on, or from where a search was
/// ended.
fn search(
    engine: &mut dyn Engine,
    config: &TrainConfig,
    from: Option<SearchState>,
    on_iteration: IterationCallback,
) -> Result<Optimum, EngineError> {
    let start = engine.parameters()?;
    let shape = [start.n_features, start.columns];
    let mut gradients = 0;
    let weight = engine.mean_weight();
    let moments = engine.link().dual().map(|dual| {
        Moments::new(shape, dual, weight, &mut |at| {
            engine.set(at);
            gradients += 1;
            engine.full_gradient()
        })
    });
    let moments = moments.transpose()?;
    // Of rows whose mean is not known the parameters are the coordinates.
    let mean = moments.as_ref().map_or_else(|| vec![0.0; start.n_features], Moments::mean_row);
    let coordinates = Coordinates::new(mean, config.objective().penalize_bias);
    let mut search = OptimumSearch {
        engine,
        config,
        moments,
        moments_in_f64: None,
        columns: start.columns,
        on_iteration,
        gradients,
        arrivals: 0,
        at: None,
        best: None,
        told: None,
        coordinates,
    };
    let begin = match from {
        None => Start::At(search.coordinates.of(&start)),
        Some(from) => {
            if from.has_moments_in_f64 {
                search.moments_in_f64 = search.moments_in_f64(shape)?;
            }
            // The two gradients that the moments took just now were counted then.
            search.gradients = from.gradients;
            search.arrivals = from.arrivals;
            search.best = Some(from.best);
            Start::From(from.descent)
        }
    };
    let options = Options {
        memory: config.optimum().memory,
        iterations: config.optimum().max_iterations,
        noise: match config.descent().precision {
            Precision::F32 => 1e-6,
            Precision::F64 => 1e-12,
        },
    };
    let end = lbfgs::minimise(&mut search, begin, options)?;
    let ended = match (search.told, end) {
        (Some(told), _) => told,
        (None, End::UsedUp) => SearchEnd::IterationsUsedUp,
        (None, End::Rounding | End::Told) => SearchEnd::Rounding,
    };
    search.certify(ended)
}

/// A search under way.
struct OptimumSearch<'a> {
    engine: &'a mut dyn Engine,
    config: &'a TrainConfig,
    /// Of a link with a dual.
    moments: Option<Moments>,
    /// Where the engine has f64 beside its own precision, and the bound takes them.
    moments_in_f64: Option<Moments>,
    coordinates: Coordinates,
    columns: usize,
    on_iteration: IterationCallback<'a>,
    gradients: usize,
    /// The start and the iterations.
    arrivals: usize,
    /// Where J was computed last.
    at: Option<Candidate>,
    /// The place with the lowest bound that an iteration came to.
    best: Option<Candidate>,
    /// Why the search is over, where it is.
    told: Option<SearchEnd>,
}

/// Parameters, and what is known there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Candidate {
    parameters: Parameters,
    cross_entropy: f64,
    objective: f64,
    gradient_norm: f64,
    bound: f64,
}

impl OptimumSearch<'_> {
    fn place(&self, parameters: Parameters, cost: Gradient, moments: Option<&Moments>) -> (Candidate, Vec<f64>) {
        let cross_entropy = cost.loss;
        let BoundPoint { objective, gradient, bound } = found(&parameters, cost, self.config.objective(), moments);
        (Candidate { parameters, cross_entropy, objective, gradient_norm: norm(&gradient), bound }, gradient)
    }

    /// The place as f64 sees it, where that is more than the engine computes with: what f32 makes
    /// of a gradient is no proof.
    fn in_f64(&mut self, place: Candidate) -> Result<Candidate, EngineError> {
        let Some(cost) = self.engine.full_gradient_f64(&place.parameters) else { return Ok(place) };
        let cost = cost?;
        self.gradients += 1;
        if self.moments_in_f64.is_none() && self.moments.is_some() && !self.config.objective().penalize_bias {
            self.moments_in_f64 = self.moments_in_f64([place.parameters.n_features, self.columns])?;
            self.gradients += 2;
        }
        Ok(self.place(place.parameters, cost, self.moments_in_f64.as_ref().or(self.moments.as_ref())).0)
    }

    /// The means that the bound is made of, as f64 sees them.
    fn moments_in_f64(&mut self, shape: [usize; 2]) -> Result<Option<Moments>, EngineError> {
        let Some(dual) = self.engine.link().dual() else { return Ok(None) };
        let weight = self.engine.mean_weight();
        let moments = Moments::new(shape, dual, weight, &mut |at| {
            self.engine.full_gradient_f64(at).expect("an engine that had f64 before")
        });
        moments.map(Some)
    }

    fn certify(mut self, ended: SearchEnd) -> Result<Optimum, EngineError> {
        let best = self.best.take().expect("the start is a place");
        // What converged was seen in f64 already.
        let best = if ended == SearchEnd::Converged { best } else { self.in_f64(best)? };
        let certificate = Certificate {
            objective: best.objective,
            gradient_norm: best.gradient_norm,
            bound: best.bound,
            tolerance: self.config.optimum().tolerance,
            ended,
            iterations: self.arrivals - 1,
            gradients: self.gradients,
        };
        let is_proven = self.moments.is_some() || self.config.objective().penalize_bias;
        Ok(Optimum { parameters: best.parameters, certificate: is_proven.then_some(certificate), ended })
    }
}

impl Minimised for OptimumSearch<'_> {
    type Error = EngineError;

    fn evaluate(&mut self, x: Vec<f64>) -> Result<Point, EngineError> {
        let mut parameters = self.coordinates.parameters(x, self.columns);
        if self.config.descent().precision == Precision::F32 {
            // What the engine computes with, and what is saved, so that J and its gradient are
            // those of this very point.
            for value in parameters.weight.iter_mut().chain(&mut parameters.bias) {
                *value = f64::from(*value as f32);
            }
        }
        self.engine.set(&parameters);
        let cost = self.engine.full_gradient()?;
        self.gradients += 1;
        let (place, gradient) = self.place(parameters, cost, self.moments.as_ref());
        let k = place.parameters.columns;
        let point = Point {
            x: self.coordinates.of(&place.parameters),
            value: place.objective,
            gradient: self.coordinates.gradient(gradient, k),
        };
        self.at = Some(place);
        Ok(point)
    }

    fn arrived(&mut self, descent: &State) -> Result<ControlFlow<()>, EngineError> {
        let mut place = self.at.clone().expect("a point was computed");
        let tolerance = self.config.optimum().tolerance;
        if place.bound <= tolerance {
            place = self.in_f64(place)?;
        }
        let iterate = Iterate {
            iteration: self.arrivals,
            gradients: self.gradients,
            cross_entropy: place.cross_entropy,
            objective: place.objective,
            gradient_norm: place.gradient_norm,
            bound: place.bound,
        };
        self.arrivals += 1;
        let best = match self.best.take() {
            Some(best) if place.bound.is_nan() || best.bound <= place.bound => best,
            _ => place.clone(),
        };
        let state = || SearchState {
            descent: Box::new(descent.clone()),
            cross_entropy: iterate.cross_entropy,
            best: best.clone(),
            gradients: iterate.gradients,
            arrivals: self.arrivals,
            has_moments_in_f64: self.moments_in_f64.is_some(),
        };
        let event = IterationEvent { iterate, parameters: &place.parameters, state: &state };
        let is_stopped = (self.on_iteration)(&mut *self.engine, event)?.is_break();
        self.best = Some(best);
        self.told = match (place.bound <= tolerance, is_stopped) {
            (true, _) => Some(SearchEnd::Converged),
            (false, true) => Some(SearchEnd::Interrupted),
            (false, false) => return Ok(ControlFlow::Continue(())),
        };
        Ok(ControlFlow::Break(()))
    }
}
