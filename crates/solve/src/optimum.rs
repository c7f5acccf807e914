//! The search for the minimum of the objective J on all rows, with a certificate: by L-BFGS, or by
//! Newton's method (`newton.rs`).

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::Arc;

use chainrule_core::{
    Certificate, Gradient, History, Identification, Link, LinkKind, Parameters, Precision, SearchEnd, Solver,
    TrainConfig,
};
use chainrule_kernels::FeatureMoments;
use serde::{Deserialize, Serialize};

use crate::bound::{BoundPoint, Moments, bound_point};
use crate::coordinates::Coordinates;
use crate::engine::{Engine, EngineError};
use crate::fused::KernelEngine;
use crate::lbfgs::{self, End, Objective, Options, Point, Start, State, norm};
use crate::newton;
use crate::train::{Ending, TrainError, TrainLoop, check_kernel_support};
use crate::whitening::Whitening;
use crate::{Checkpoint, FusedRows, Observer};

/// The values of a search after an iteration, or at its start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Iterate {
    /// The number of iterations; 0 is the start.
    pub iteration: usize,
    /// The number of passes over the training rows so far. Each one computes J and its gradient.
    pub gradients: usize,
    /// The mean cross-entropy over all training rows, without the penalty, in nats.
    pub cross_entropy: f64,
    /// J, including the penalty.
    pub objective: f64,
    /// The length of the gradient of J.
    pub gradient_norm: f64,
    /// The bound on the distance of J to its minimum. It is computed in the config's precision. A
    /// bound within the tolerance is computed again in f64. Without a certificate it is only an
    /// estimate: `|grad J|^2 / (2 lambda)`.
    pub bound: f64,
}

/// The result of [`find_optimum`].
#[derive(Clone, Debug, PartialEq)]
pub struct Optimum {
    /// The parameters with the lowest bound.
    pub parameters: Parameters,
    /// The proven distance to the minimum. It is `None` if there is no proof: the link has no
    /// [dual domain](Link::dual_domain), and the bias has no penalty.
    pub certificate: Option<Certificate>,
    /// How the search ended.
    pub ended: SearchEnd,
    /// What makes the minimum unique, if there is no penalty.
    pub identification: Option<Identification>,
}

/// Minimises the objective J of a link on `rows` by L-BFGS or Newton's method. The fused kernels
/// compute it on `threads` threads. The search starts at zero parameters and makes no evaluations.
///
/// `on_iteration` is called at the start and after every iteration. It receives the values and the
/// parameters. In the example, it records J over time. `Break` ends the search; its results so far
/// are kept.
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
/// let rows = PackedRows::new(&[0, 0, 255, 0, 0, 255], [1, 2], vec![0, 1, 2], 1.0 / 255.0, 0.0);
/// let (rows, start, mut trace) = (rows.into(), Instant::now(), Vec::new());
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
/// If the system does not provide the threads, or if the config needs an ability that the kernels
/// lack.
///
/// # Panics
/// If the config has a solver that searches no minimum, there are no rows, or their targets do not
/// fit the link.
pub fn find_optimum(
    link: &Arc<dyn Link>,
    config: &TrainConfig,
    rows: &FusedRows,
    threads: NonZero<usize>,
    on_iteration: &mut (dyn FnMut(&Iterate, &Parameters) -> ControlFlow<()> + Send),
) -> Result<Optimum, TrainError> {
    assert!(config.descent().solver.is_search(), "descent.solver");
    check_kernel_support(config)?;
    let threads = threads.get();
    let mut engine = KernelEngine::new(Arc::clone(link), rows, rows, config, threads, None)?;
    let mut on_iteration =
        |_: &mut dyn Engine, event: IterationEvent| Ok(on_iteration(&event.iterate, event.parameters));
    let result = chainrule_kernels::with_threads(threads, || search(&mut engine, config, None, &mut on_iteration));
    let result = result.map_err(|problem| TrainError::Threads { threads, problem })?;
    result.map_err(|error| error.into_train_error(History::default(), None))
}

impl TrainLoop<'_> {
    /// Makes all remaining iterations and evaluations.
    pub(crate) fn run_search(
        &mut self,
        from: Option<SearchState>,
        engine: &mut dyn Engine,
        observer: &mut dyn Observer,
    ) -> Result<Ending, EngineError> {
        let mut previous_loss = from.as_ref().map(|from| from.cross_entropy);
        let mut ending = None;
        let (interval, tolerance) = (self.config.optimum().evaluate_every, self.config.optimum().tolerance);
        let Optimum { parameters, certificate, ended, identification } =
            search(engine, self.config, from, &mut |engine, event| {
                let IterationEvent { iterate, parameters, state } = event;
                // The loss of a step is measured before its update. So the loss at these parameters
                // is appended after the next iteration.
                self.history.train_loss.extend(previous_loss.replace(iterate.cross_entropy));
                let Some(step) = iterate.iteration.checked_sub(1) else { return Ok(ControlFlow::Continue(())) };
                self.steps = iterate.iteration;
                if step.is_multiple_of(interval) {
                    ending = self.evaluate(engine, step, step, observer)?;
                    if ending.is_some() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                let flow = observer.on_step(step);
                // A search within the tolerance ends here, so nothing is left to resume.
                if observer.wants_checkpoint(step) && iterate.bound > tolerance {
                    observer.save_checkpoint(Checkpoint {
                        steps: self.steps,
                        parameters: parameters.clone(),
                        best: None,
                        history: self.history.clone(),
                        optimizer_state: None,
                        search: Some(state()),
                    });
                }
                Ok(flow)
            })?;
        engine.set(&parameters);
        // The last step must have an evaluation. If it has none yet, evaluate the parameters that
        // the search returned.
        let step = self.steps.saturating_sub(1);
        if ending.is_none() && self.history.evaluations.last().is_none_or(|last| last.step != step) {
            // The search is over. Only a loss that is not finite changes the ending.
            ending =
                self.evaluate(engine, step, step, observer)?.filter(|ending| matches!(ending, Ending::Diverged { .. }));
        }
        self.best = Some(parameters);
        self.certificate = certificate;
        self.identification = identification;
        Ok(ending.unwrap_or(ended.into()))
    }
}

/// A callback at the start and after every iteration. The callback may use the engine, which has
/// the current parameters.
pub(crate) type IterationCallback<'a> =
    &'a mut dyn FnMut(&mut dyn Engine, IterationEvent) -> Result<ControlFlow<()>, EngineError>;

/// The state after an iteration, or at the start.
pub(crate) struct IterationEvent<'a> {
    pub(crate) iterate: Iterate,
    pub(crate) parameters: &'a Parameters,
    /// Returns the state to resume from.
    pub(crate) state: &'a dyn Fn() -> SearchState,
}

/// The state of a search between two iterations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SearchState {
    /// The state of L-BFGS. Newton's method has none besides its parameters.
    #[serde(rename = "descent", default, skip_serializing_if = "Option::is_none")]
    lbfgs: Option<Box<State>>,
    /// The mean cross-entropy over all training rows, at the last iteration's parameters.
    cross_entropy: f64,
    pub(crate) best: Candidate,
    pub(crate) gradients: usize,
    #[serde(rename = "arrivals")]
    pub(crate) n_iterates: usize,
    /// Whether the moments in f64 were computed, and counted in `gradients`.
    has_moments_in_f64: bool,
}

impl SearchState {
    /// Returns whether the state belongs to parameters of this shape.
    pub(crate) fn fits(&self, [d, k]: [usize; 2]) -> bool {
        self.lbfgs.as_ref().is_none_or(|lbfgs| lbfgs.has_dimension(d * k + k)) && self.best.parameters.has_shape([d, k])
    }

    /// Creates the state of Newton's method after an iteration.
    pub(crate) fn of_newton(iterate: &Iterate, best: &Candidate) -> Self {
        Self {
            lbfgs: None,
            cross_entropy: iterate.cross_entropy,
            best: best.clone(),
            gradients: iterate.gradients,
            n_iterates: iterate.iteration + 1,
            has_moments_in_f64: false,
        }
    }

    /// The solver that the state belongs to.
    pub(crate) fn solver(&self) -> Solver {
        if self.lbfgs.is_some() { Solver::Lbfgs } else { Solver::Newton }
    }
}

/// Searches for the parameters with the lowest bound by the config's solver, from the engine's
/// parameters or from a saved state.
fn search(
    engine: &mut dyn Engine,
    config: &TrainConfig,
    from: Option<SearchState>,
    on_iteration: IterationCallback,
) -> Result<Optimum, EngineError> {
    match config.descent().solver {
        Solver::Newton => newton::search(engine, config, from, on_iteration),
        Solver::Lbfgs | Solver::Sgd => search_by_lbfgs(engine, config, from, on_iteration),
    }
}

fn search_by_lbfgs(
    engine: &mut dyn Engine,
    config: &TrainConfig,
    from: Option<SearchState>,
    on_iteration: IterationCallback,
) -> Result<Optimum, EngineError> {
    let start = match from {
        None => SearchStart::At(engine.parameters()?),
        Some(from) => SearchStart::From(from),
    };
    let mut statistics = RowStatistics::new(engine, config)?;
    Ok(search_from(start, engine, config, &mut statistics, on_iteration)?.0)
}

/// The start of a search by L-BFGS.
pub(crate) enum SearchStart {
    At(Parameters),
    From(SearchState),
    /// The end of a search with another penalty, and parameters that may be nearer to the minimum.
    Near(Neighbour, Parameters),
}

/// The end of a search by L-BFGS: where a search with another penalty starts.
pub(crate) struct Neighbour {
    state: State,
    coordinates: Coordinates,
    l2: f64,
}

/// What a search by L-BFGS knows of the training rows. It does not depend on the penalty.
pub(crate) struct RowStatistics {
    /// The moments, if the link has a dual.
    moments: Option<Moments>,
    /// The moments in f64. They exist if the engine can also compute in f64 and the bound needs
    /// them.
    moments_in_f64: Option<Moments>,
    /// Of the features, if they can be whitened.
    features: Option<FeatureMoments>,
    /// The gradient at zero parameters, if it was computed for the moments. A start uses it.
    at_zero: Option<Gradient>,
    /// The number of passes over the rows that no search has counted yet.
    gradients: usize,
}

impl RowStatistics {
    pub(crate) fn new(engine: &mut dyn Engine, config: &TrainConfig) -> Result<Self, EngineError> {
        let start = engine.parameters()?;
        let shape = [start.n_features, start.columns];
        let (weight, known) = (engine.mean_weight(), known_mean(engine));
        let (mut gradients, mut at_zero) = (0, None);
        let moments = engine.link().dual_domain().map(|dual| {
            let mut gradient = |at: &Parameters| {
                engine.set(at);
                gradients += 1;
                engine.full_gradient()
            };
            let Some(mean) = known else { return Moments::new(shape, dual, weight, &mut gradient) };
            let at_zero = at_zero.insert(gradient(&Parameters::zeros(shape[0], shape[1]))?);
            Ok(Moments::at_zero(dual, mean, at_zero))
        });
        let moments = moments.transpose()?;
        // A penalty on the bias depends on the features' origin.
        let can_whiten = moments.is_some() && !config.objective().penalize_bias;
        let features = if can_whiten { engine.feature_moments() } else { None };
        Ok(Self { moments, moments_in_f64: None, features, at_zero, gradients })
    }

    fn coordinates(&self, engine: &dyn Engine, n_features: usize, config: &TrainConfig) -> Coordinates {
        // Without moments the mean is 0, and the coordinates are the parameters themselves.
        let mean = self.moments.as_ref().map_or_else(|| vec![0.0; n_features], Moments::mean_row);
        let curvature = engine.mean_weight() * curvature_at_zero(engine.link());
        let features = self.features.as_ref();
        match features.and_then(|features| Whitening::new(features, curvature, config.objective().l2)) {
            Some(whitening) => Coordinates::whitened(mean, whitening),
            None => Coordinates::new(mean, config.objective().penalize_bias),
        }
    }
}

/// Searches for the minimum by L-BFGS. Returns also the end of the search.
pub(crate) fn search_from(
    start: SearchStart,
    engine: &mut dyn Engine,
    config: &TrainConfig,
    statistics: &mut RowStatistics,
    on_iteration: IterationCallback,
) -> Result<(Optimum, Neighbour), EngineError> {
    let Parameters { n_features, columns, .. } = engine.parameters()?;
    let coordinates = statistics.coordinates(engine, n_features, config);
    let gradients = std::mem::take(&mut statistics.gradients);
    let mut search = OptimumSearch {
        engine,
        config,
        statistics,
        columns,
        on_iteration,
        gradients,
        n_iterates: 0,
        last_evaluated: None,
        best: None,
        ended: None,
        proposal: None,
        coordinates,
    };
    let options = Options {
        is_scaled: search.coordinates.are_whitened(),
        memory: config.optimum().memory,
        max_iterations: config.optimum().max_iterations,
        value_tolerance: match config.descent().precision {
            Precision::F32 => 1e-6,
            Precision::F64 => 1e-12,
        },
    };
    let (end, state) = match start {
        SearchStart::At(start) => {
            let start = Start::At(search.coordinates.coordinates_of(&start));
            lbfgs::minimise(&mut search, start, options)?
        }
        SearchStart::From(from) => {
            if from.has_moments_in_f64 {
                search.statistics.moments_in_f64 = search.compute_moments_in_f64([n_features, columns])?;
            }
            // The saved count includes the two gradients just computed for the moments.
            search.gradients = from.gradients;
            search.n_iterates = from.n_iterates;
            search.best = Some(from.best);
            let start = Start::From(from.lbfgs.expect("the state is that of L-BFGS"));
            lbfgs::minimise(&mut search, start, options)?
        }
        SearchStart::Near(neighbour, proposal) => {
            search.proposal = Some(proposal);
            let state = search.state_near(neighbour);
            lbfgs::minimise(&mut search, Start::Near(Box::new(state)), options)?
        }
    };
    let ended = match (search.ended, end) {
        (Some(ended), _) => ended,
        (None, End::IterationsUsedUp) => SearchEnd::IterationsUsedUp,
        (None, End::Rounding | End::Stopped) => SearchEnd::Rounding,
    };
    let optimum = search.certify(ended)?;
    Ok((optimum, Neighbour { state, coordinates: search.coordinates, l2: config.objective().l2 }))
}

/// The state of a running search.
struct OptimumSearch<'a> {
    engine: &'a mut dyn Engine,
    config: &'a TrainConfig,
    statistics: &'a mut RowStatistics,
    coordinates: Coordinates,
    columns: usize,
    on_iteration: IterationCallback<'a>,
    gradients: usize,
    /// The number of iterates: the start and one per iteration.
    n_iterates: usize,
    /// The last point at which J was computed.
    last_evaluated: Option<Candidate>,
    /// The iterate with the lowest bound.
    best: Option<Candidate>,
    /// The reason why the search ended. `None` while it runs.
    ended: Option<SearchEnd>,
    /// Parameters that may be nearer to the minimum than the start.
    proposal: Option<Parameters>,
}

/// Parameters and the values at them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) parameters: Parameters,
    pub(crate) cross_entropy: f64,
    pub(crate) objective: f64,
    pub(crate) gradient_norm: f64,
    pub(crate) bound: f64,
}

impl Candidate {
    /// Returns the result of a search that ended with these parameters.
    pub(crate) fn into_optimum(
        self,
        config: &TrainConfig,
        ended: SearchEnd,
        [iterations, gradients]: [usize; 2],
        has_proof: bool,
        identification: Option<Identification>,
    ) -> Optimum {
        let certificate = Certificate {
            objective: self.objective,
            gradient_norm: self.gradient_norm,
            bound: self.bound,
            tolerance: config.optimum().tolerance,
            ended,
            iterations,
            gradients,
        };
        Optimum { parameters: self.parameters, certificate: has_proof.then_some(certificate), ended, identification }
    }
}

impl OptimumSearch<'_> {
    /// Returns the candidate and its gradient.
    fn candidate(&self, parameters: Parameters, cost: Gradient, moments: Option<&Moments>) -> (Candidate, Vec<f64>) {
        let cross_entropy = cost.loss;
        let BoundPoint { objective, gradient, bound } =
            bound_point(&parameters, cost, self.config.objective(), moments);
        (Candidate { parameters, cross_entropy, objective, gradient_norm: norm(&gradient), bound }, gradient)
    }

    /// Recomputes the values in f64 if the engine computes in f32, because an f32 gradient proves
    /// nothing.
    fn recompute_in_f64(&mut self, candidate: Candidate) -> Result<Candidate, EngineError> {
        let Some(cost) = self.engine.full_gradient_f64(&candidate.parameters) else { return Ok(candidate) };
        let cost = cost?;
        self.gradients += 1;
        let RowStatistics { moments, moments_in_f64, .. } = &self.statistics;
        if moments_in_f64.is_none() && moments.is_some() && !self.config.objective().penalize_bias {
            self.statistics.moments_in_f64 =
                self.compute_moments_in_f64([candidate.parameters.n_features, self.columns])?;
            self.gradients += if known_mean(self.engine).is_some() { 1 } else { 2 };
        }
        let RowStatistics { moments, moments_in_f64, .. } = &self.statistics;
        Ok(self.candidate(candidate.parameters, cost, moments_in_f64.as_ref().or(moments.as_ref())).0)
    }

    /// Computes the moments in f64.
    fn compute_moments_in_f64(&mut self, shape: [usize; 2]) -> Result<Option<Moments>, EngineError> {
        let Some(dual) = self.engine.link().dual_domain() else { return Ok(None) };
        let weight = self.engine.mean_weight();
        let known = known_mean(self.engine);
        let mut gradient =
            |at: &Parameters| self.engine.full_gradient_f64(at).expect("the engine computed in f64 before");
        let Some(mean) = known else { return Moments::new(shape, dual, weight, &mut gradient).map(Some) };
        let at_zero = gradient(&Parameters::zeros(shape[0], shape[1]))?;
        Ok(Some(Moments::at_zero(dual, mean, &at_zero)))
    }

    /// Rounds parameters to the precision of the engine. J and its gradient then belong to exactly
    /// this point.
    fn rounded(&self, mut parameters: Parameters) -> Parameters {
        if self.config.descent().precision == Precision::F32 {
            for value in parameters.weight.iter_mut().chain(&mut parameters.bias) {
                *value = f64::from(*value as f32);
            }
        }
        parameters
    }

    /// Returns the point of these parameters.
    fn point(&mut self, parameters: Parameters, cost: Gradient) -> Point {
        let (candidate, gradient) = self.candidate(parameters, cost, self.statistics.moments.as_ref());
        let k = candidate.parameters.columns;
        let point = Point {
            x: self.coordinates.coordinates_of(&candidate.parameters),
            value: candidate.objective,
            gradient: self.coordinates.gradient(gradient, k),
        };
        self.last_evaluated = Some(candidate);
        point
    }

    /// Returns the state of L-BFGS at the end of a search with another penalty. It needs no pass
    /// over the rows: the gradient of J is that of the loss and of the new penalty, and so is each
    /// change of it.
    fn state_near(&mut self, Neighbour { state, coordinates, l2 }: Neighbour) -> State {
        let k = self.columns;
        let penalize_bias = self.config.objective().penalize_bias;
        // Adds the gradient of a penalty to a vector of the parameters. Returns the penalty.
        let add_penalty = |l2: f64, at: &Parameters, gradient: &mut [f64]| {
            let bias = if penalize_bias { &at.bias[..] } else { &[] };
            let penalised = at.weight.iter().chain(bias);
            gradient.iter_mut().zip(penalised.clone()).for_each(|(g, w)| *g += l2 * w);
            l2 / 2.0 * penalised.map(|w| w * w).sum::<f64>()
        };
        let parameters = self.rounded(coordinates.to_parameters(state.at.x.clone(), k));
        let mut weight = coordinates.gradient_of_parameters(state.at.gradient.clone(), k);
        let loss = state.at.value + add_penalty(-l2, &parameters, &mut weight);
        let bias = weight.split_off(parameters.weight.len());
        self.engine.set(&parameters);
        let cost = Gradient { loss, weight, bias };
        let mut near = State::new(self.point(parameters, cost), self.config.optimum().memory);
        for (s, y) in state.into_pairs() {
            let step = coordinates.to_parameters(s, k);
            let mut change = coordinates.gradient_of_parameters(y, k);
            add_penalty(self.config.objective().l2 - l2, &step, &mut change);
            near.remember(self.coordinates.coordinates_of(&step), self.coordinates.gradient(change, k));
        }
        near
    }

    /// Returns the best candidate with its certificate.
    fn certify(&mut self, ended: SearchEnd) -> Result<Optimum, EngineError> {
        let best = self.best.take().expect("the start is an iterate");
        // A converged candidate has already been computed in f64.
        let best = if ended == SearchEnd::Converged { best } else { self.recompute_in_f64(best)? };
        let has_proof = self.statistics.moments.is_some() || self.config.objective().penalize_bias;
        Ok(best.into_optimum(self.config, ended, [self.n_iterates - 1, self.gradients], has_proof, None))
    }
}

impl Objective for OptimumSearch<'_> {
    type Error = EngineError;

    fn evaluate(&mut self, x: Vec<f64>) -> Result<Point, EngineError> {
        let parameters = self.rounded(self.coordinates.to_parameters(x, self.columns));
        self.engine.set(&parameters);
        let cost = match self.statistics.at_zero.take().filter(|_| parameters.is_zero()) {
            Some(cost) => cost,
            None => {
                self.gradients += 1;
                self.engine.full_gradient()?
            }
        };
        Ok(self.point(parameters, cost))
    }

    fn proposal(&mut self) -> Result<Option<Vec<f64>>, EngineError> {
        if let Some(proposal) = self.proposal.take() {
            return Ok(Some(self.coordinates.coordinates_of(&proposal)));
        }
        let k = self.columns;
        let [n, n_parameters] = [self.engine.rows(), self.coordinates.n_features() * k + k];
        let n_sampled = n / SAMPLE_STEP;
        // A start elsewhere may be nearer to the minimum than that of a sample.
        let is_at_zero = self.last_evaluated.as_ref().is_some_and(|start| start.parameters.is_zero());
        if !is_at_zero
            || !self.coordinates.are_whitened()
            || n_sampled < MIN_SAMPLED.max(SAMPLED_PER_PARAMETER * n_parameters)
        {
            return Ok(None);
        }
        let mut search = SampleSearch {
            // A sample of n rows has its minimum about this far from that of all rows.
            tolerance: 0.1 * n_parameters as f64 / (2 * n_sampled) as f64,
            engine: self.engine,
            config: self.config,
            coordinates: &self.coordinates,
            columns: k,
            gradients: 0,
            best: None,
        };
        let options = Options { is_scaled: true, memory: 20, max_iterations: 30, value_tolerance: 1e-6 };
        lbfgs::minimise(&mut search, Start::At(vec![0.0; n_parameters]), options)?;
        let SampleSearch { gradients, best, .. } = search;
        self.gradients += gradients.div_ceil(SAMPLE_STEP);
        Ok(best)
    }

    fn on_iteration(&mut self, state: &State) -> Result<ControlFlow<()>, EngineError> {
        let mut candidate = self.last_evaluated.clone().expect("evaluate ran before");
        let tolerance = self.config.optimum().tolerance;
        if candidate.bound <= tolerance {
            candidate = self.recompute_in_f64(candidate)?;
        }
        let iterate = Iterate {
            iteration: self.n_iterates,
            gradients: self.gradients,
            cross_entropy: candidate.cross_entropy,
            objective: candidate.objective,
            gradient_norm: candidate.gradient_norm,
            bound: candidate.bound,
        };
        self.n_iterates += 1;
        let best = match self.best.take() {
            Some(best) if candidate.bound.is_nan() || best.bound <= candidate.bound => best,
            _ => candidate.clone(),
        };
        let search_state = || SearchState {
            lbfgs: Some(Box::new(state.clone())),
            cross_entropy: iterate.cross_entropy,
            best: best.clone(),
            gradients: iterate.gradients,
            n_iterates: self.n_iterates,
            has_moments_in_f64: self.statistics.moments_in_f64.is_some(),
        };
        let event = IterationEvent { iterate, parameters: &candidate.parameters, state: &search_state };
        let is_stopped = (self.on_iteration)(&mut *self.engine, event)?.is_break();
        self.best = Some(best);
        self.ended = match (candidate.bound <= tolerance, is_stopped) {
            (true, _) => Some(SearchEnd::Converged),
            (false, true) => Some(SearchEnd::Interrupted),
            (false, false) => return Ok(ControlFlow::Continue(())),
        };
        Ok(ControlFlow::Break(()))
    }
}

/// One row out of so many is in the sample.
const SAMPLE_STEP: usize = 8;
/// Minimum number of rows of a sample. A shorter training takes no time anyway.
const MIN_SAMPLED: usize = 4096;
/// Minimum number of rows of a sample for each parameter.
const SAMPLED_PER_PARAMETER: usize = 8;

/// The search for the minimum over a sample of the rows. It takes a few passes over a fraction of
/// the rows, and is about as near to the minimum over all rows as its statistical error.
struct SampleSearch<'a> {
    engine: &'a mut dyn Engine,
    config: &'a TrainConfig,
    coordinates: &'a Coordinates,
    columns: usize,
    /// The distance to the minimum of J over the sample at which the search ends.
    tolerance: f64,
    /// The number of passes over the sample.
    gradients: usize,
    best: Option<Vec<f64>>,
}

impl Objective for SampleSearch<'_> {
    type Error = EngineError;

    fn evaluate(&mut self, x: Vec<f64>) -> Result<Point, EngineError> {
        let parameters = self.coordinates.to_parameters(x.clone(), self.columns);
        self.engine.set(&parameters);
        self.gradients += 1;
        let cost = self.engine.sample_gradient(SAMPLE_STEP).expect("an engine with moments takes samples")?;
        let BoundPoint { objective, gradient, .. } = bound_point(&parameters, cost, self.config.objective(), None);
        Ok(Point { x, value: objective, gradient: self.coordinates.gradient(gradient, self.columns) })
    }

    fn on_iteration(&mut self, state: &State) -> Result<ControlFlow<()>, EngineError> {
        self.best = Some(state.at.x.clone());
        // The Hessian is about the unit matrix, so this is about the distance to the minimum.
        let distance = norm(&state.at.gradient).powi(2) / 2.0;
        Ok(if distance > self.tolerance { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }
}

/// Returns the mean row, if the engine knows it, the rows have no weights, and the gradient at zero
/// gives the other moments.
fn known_mean(engine: &mut dyn Engine) -> Option<Vec<f64>> {
    let link = engine.link();
    let is_known = match link.kind() {
        Some(LinkKind::Logistic) => true,
        Some(LinkKind::Softmax) => link.columns() > 1,
        _ => false,
    };
    if !is_known || engine.smallest_weight().is_some() {
        return None;
    }
    engine.feature_mean()
}

/// Returns the curvature of the loss at zero logits, for a direction whose entries sum to 0.
fn curvature_at_zero(link: &dyn Link) -> f64 {
    match link.columns() {
        1 => 0.25,
        k => 1.0 / k as f64,
    }
}
