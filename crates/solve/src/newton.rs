//! Newton's method on all rows, with the closed-form Hessian: Eqs. (35) to (38) of
//! `docs/derivation.md`.
//!
//! Without a penalty, the minimum is not unique if parameters can replace each other. Then some are
//! fixed at 0 ([`Identification`]), as statisticians do. And there is no minimum at all if the
//! classes are separated: the search recognises this, and ends.

use chainrule_core::{Identification, LinkKind, Parameters, Precision, SearchEnd, TrainConfig};
use chainrule_kernels::Curvature;

use crate::engine::{Engine, EngineError};
use crate::lbfgs::{dot, norm};
use crate::linear_algebra::{Cholesky, dependent_columns};
use crate::optimum::{Candidate, Iterate, IterationCallback, IterationEvent, Optimum, SearchState};

/// The first Wolfe condition, as in `lbfgs.rs`.
const SUFFICIENT_DECREASE: f64 = 1e-4;
/// Maximum number of halvings of a step.
const MAX_HALVINGS: usize = 40;
/// Values with a relative difference below this are equal, up to rounding.
const VALUE_TOLERANCE: f64 = 1e-12;
/// A bound that no further step improves.
const ROUNDING: f64 = 1e-14;
/// The number of iterations after which the classes may be found to be separated. Before, a step
/// may be long at any data.
const ITERATIONS_BEFORE_SEPARATION: usize = 4;
/// The classes are separated if J does not rise when the logits change by this much along a step.
/// A number that is this many times as large as others only moves these by 1.
const FAR: f64 = 1e7;
/// The Newton decrement from which on the step has no part that other rows oppose, unless all rows
/// are on the right side.
const CLEAN: f64 = 1e-5;

/// Searches for the minimum, from the engine's parameters or from a saved state.
pub(crate) fn search(
    engine: &mut dyn Engine,
    config: &TrainConfig,
    from: Option<SearchState>,
    on_iteration: IterationCallback,
) -> Result<Optimum, EngineError> {
    let mut start = engine.parameters()?;
    let shape @ [d, k] = [start.n_features, start.columns];
    let objective = config.objective();
    // A penalty on the bias depends on the features' origin, so they keep it.
    let is_bias_penalised = objective.penalize_bias && objective.l2 > 0.0;
    let centre = engine.feature_mean().filter(|_| !is_bias_penalised).unwrap_or_else(|| vec![0.0; d]);
    let mut newton = Newton {
        engine,
        config,
        centre,
        free: (0..(d + 1) * k).collect(),
        identification: (objective.l2 == 0.0).then(Identification::default),
        passes: 0,
    };
    let at_zero = newton.identify(shape)?;
    newton.fix(&mut start);
    let mut at = match at_zero.filter(|_| start.is_zero()) {
        Some(at) => at,
        None => newton.evaluate(start)?,
    };
    let mut iteration = 0;
    let mut best: Option<Candidate> = None;
    let mut is_resumed = false;
    if let Some(from) = from {
        newton.passes = from.gradients;
        iteration = from.n_iterates - 1;
        best = Some(from.best);
        is_resumed = true;
    }
    let tolerance = config.optimum().tolerance;
    let mut is_within = false;
    let mut ended = None;
    loop {
        // A saved state belongs to an iteration that was reported before.
        if !std::mem::take(&mut is_resumed) {
            let candidate = at.candidate();
            let new_best = best.take().filter(|best| best.bound <= candidate.bound).unwrap_or(candidate);
            let iterate = Iterate {
                iteration,
                gradients: newton.passes,
                cross_entropy: at.cross_entropy,
                objective: at.objective,
                gradient_norm: at.gradient_norm,
                bound: at.bound,
            };
            let state = || SearchState::of_newton(&iterate, &new_best);
            let event = IterationEvent { iterate, parameters: &at.parameters, state: &state };
            let is_stopped = on_iteration(&mut *newton.engine, event)?.is_break();
            // One step after the tolerance is reached squares the distance to the minimum.
            let is_converged = new_best.bound <= tolerance && (is_within || at.bound <= ROUNDING || is_stopped);
            is_within = new_best.bound <= tolerance;
            best = Some(new_best);
            if is_converged {
                ended = Some(SearchEnd::Converged);
            } else if is_stopped {
                ended = Some(SearchEnd::Interrupted);
            }
        }
        // Not part of the saved state.
        if ended.is_none() && iteration > ITERATIONS_BEFORE_SEPARATION && newton.finds_separation(&at)? {
            ended = Some(SearchEnd::Separated);
        }
        if ended.is_none() && iteration >= config.optimum().max_iterations {
            ended = Some(SearchEnd::IterationsUsedUp);
        }
        if ended.is_some() {
            break;
        }
        match newton.next(&at)? {
            Some(next) => at = next,
            None => {
                ended = Some(if is_within { SearchEnd::Converged } else { SearchEnd::Rounding });
                break;
            }
        }
        iteration += 1;
    }
    let ended = ended.expect("the loop ends with a reason");
    // Of separated classes, the last parameters are as good as any.
    let best = best.filter(|_| ended != SearchEnd::Separated).unwrap_or_else(|| at.candidate());
    let has_proof = newton.engine.link().dual_domain().is_some() || is_bias_penalised;
    Ok(best.into_optimum(config, ended, [iteration, newton.passes], has_proof, newton.identification))
}

/// A point of the search, with the step from it.
struct Position {
    parameters: Parameters,
    cross_entropy: f64,
    objective: f64,
    gradient_norm: f64,
    bound: f64,
    n_correct: usize,
    /// The smallest and the largest value of each centred feature.
    ranges: Vec<[f64; 2]>,
    step: Step,
}

/// The step to the minimum of the quadratic model of J.
struct Step {
    /// W row by row, then the logits of the centre.
    change: Vec<f64>,
    /// The Newton decrement `g^T H^-1 g`, twice the decrease of the quadratic model.
    decrement: f64,
    /// A bound on the change of a row's logits.
    largest_logit: f64,
}

impl Position {
    fn candidate(&self) -> Candidate {
        Candidate {
            parameters: self.parameters.clone(),
            cross_entropy: self.cross_entropy,
            objective: self.objective,
            gradient_norm: self.gradient_norm,
            bound: self.bound,
        }
    }
}

struct Newton<'a> {
    engine: &'a mut dyn Engine,
    config: &'a TrainConfig,
    /// `[d]`
    centre: Vec<f64>,
    /// The parameters that are not fixed at 0, in the order of W row by row, then b.
    free: Vec<usize>,
    /// What was fixed, without a penalty.
    identification: Option<Identification>,
    passes: usize,
}

impl Newton<'_> {
    /// Finds the parameters that must be fixed. Returns the position at zero, if it was computed.
    fn identify(&mut self, [d, k]: [usize; 2]) -> Result<Option<Position>, EngineError> {
        if self.identification.is_none() {
            return Ok(None);
        }
        let reference_levels = self.engine.reference_levels();
        let is_softmax = self.engine.link().kind() == Some(LinkKind::Softmax) && k > 1;
        let base_class = is_softmax.then_some(0);
        let zero = Parameters::zeros(d, k);
        let curvature = self.curvature(&zero)?;
        // At zero all rows have the same probabilities, so the block of any column shows how the
        // features depend on each other. The bias comes first.
        let column = k - 1;
        let features: Vec<usize> = (0..d).filter(|feature| !reference_levels.contains(feature)).collect();
        let order: Vec<usize> = [d].into_iter().chain(features).map(|feature| feature * k + column).collect();
        let magnitude = |index: usize| self.centre.get(index / k).map_or(0.0, |centre| centre.powi(2));
        let dependent: Vec<usize> =
            dependent_columns(&curvature.hessian, (d + 1) * k, &order, magnitude).into_iter().map(|i| i / k).collect();
        let is_fixed = |i: &usize| {
            base_class == Some(i % k) || reference_levels.contains(&(i / k)) || dependent.contains(&(i / k))
        };
        self.free.retain(|i| !is_fixed(i));
        let (separating, is_complete) = (Vec::new(), false);
        self.identification = Some(Identification { base_class, reference_levels, dependent, separating, is_complete });
        self.position(zero, curvature).map(Some)
    }

    /// Sets the fixed parameters to 0.
    fn fix(&self, parameters: &mut Parameters) {
        let n_weights = parameters.weight.len();
        let mut is_free = vec![false; n_weights + parameters.columns];
        self.free.iter().for_each(|&i| is_free[i] = true);
        let all = parameters.weight.iter_mut().chain(&mut parameters.bias);
        all.zip(is_free).filter(|(_, is_free)| !is_free).for_each(|(w, _)| *w = 0.0);
        if self.config.descent().precision == Precision::F32 {
            let all = parameters.weight.iter_mut().chain(&mut parameters.bias);
            all.for_each(|w| *w = f64::from(*w as f32));
        }
    }

    fn curvature(&mut self, parameters: &Parameters) -> Result<Curvature, EngineError> {
        self.passes += 1;
        self.engine.curvature(parameters, &self.centre).ok_or(EngineError::NoHessian)?
    }

    fn evaluate(&mut self, parameters: Parameters) -> Result<Position, EngineError> {
        let curvature = self.curvature(&parameters)?;
        self.engine.set(&parameters);
        self.position(parameters, curvature)
    }

    /// Adds the penalty, and computes the step and the bound.
    fn position(&mut self, parameters: Parameters, curvature: Curvature) -> Result<Position, EngineError> {
        let Curvature { gradient: cost, n_correct, mut hessian, ranges } = curvature;
        let (d, k) = (parameters.n_features, parameters.columns);
        let (lambda, penalize_bias) = (self.config.objective().l2, self.config.objective().penalize_bias);
        let size = (d + 1) * k;
        let mut gradient = [&cost.weight[..], &cost.bias].concat();
        let all: Vec<f64> = parameters.weight.iter().chain(&parameters.bias).copied().collect();
        let n_penalised = if penalize_bias { size } else { d * k };
        for i in 0..n_penalised {
            gradient[i] += lambda * all[i];
            hessian[i * size + i] += lambda;
        }
        let square = dot(&all[..n_penalised], &all[..n_penalised]);
        let is_base_free = self.identification.is_none();
        if self.engine.link().kind() == Some(LinkKind::Softmax) && k > 1 && is_base_free && !penalize_bias {
            // The same change of all biases changes nothing. This makes H positive definite, and
            // does not change the step: the gradient has no part in that direction.
            let weight = self.engine.mean_weight() / k as f64;
            for (i, j) in (0..k).flat_map(|i| (0..k).map(move |j| (i, j))) {
                hessian[(d * k + i) * size + d * k + j] += weight;
            }
        }
        let m = self.free.len();
        let reduced: Vec<f64> = self
            .free
            .iter()
            .flat_map(|&i| self.free.iter().map(move |&j| (i, j)))
            .map(|(i, j)| hessian[i * size + j])
            .collect();
        let reduced_gradient: Vec<f64> = self.free.iter().map(|&i| gradient[i]).collect();
        let factor = Cholesky::of(&reduced, m);
        let solution = factor.solve(&reduced, &reduced_gradient);
        let decrement = dot(&reduced_gradient, &solution).max(0.0);
        let mut change = vec![0.0; size];
        self.free.iter().zip(&solution).for_each(|(&i, x)| change[i] = -x);
        let largest_logit = largest_logit(&change, &ranges, k);

        let objective = cost.loss + lambda / 2.0 * square;
        let free_norm = {
            // With respect to W and b, not to the logits of the centre.
            let mut own = gradient.clone();
            for (row, centre) in own[..d * k].chunks_exact_mut(k).zip(&self.centre) {
                row.iter_mut().zip(&gradient[d * k..]).for_each(|(g, bias)| *g += centre * bias);
            }
            let own: Vec<f64> = self.free.iter().map(|&i| own[i]).collect();
            norm(&own)
        };
        // The loss of a row is not negative, so its minimum is not, either: Eq. (38) if the step is
        // short, else J itself.
        let is_short = largest_logit <= 0.5 && !factor.is_changed();
        let has_dual = self.engine.link().dual_domain().is_some();
        let mut bound = if is_short || !has_dual { decrement } else { objective };
        if penalize_bias && lambda > 0.0 {
            bound = bound.min(dot(&gradient, &gradient) / (2.0 * lambda));
        }
        Ok(Position {
            parameters,
            cross_entropy: cost.loss,
            objective,
            gradient_norm: free_norm,
            bound,
            n_correct,
            ranges,
            step: Step { change, decrement, largest_logit },
        })
    }

    /// Returns the parameters after a step of this length, in f64.
    fn moved(&self, at: &Position, length: f64) -> Parameters {
        let mut parameters = at.parameters.clone();
        let (weight, bias) = at.step.change.split_at(parameters.weight.len());
        parameters.weight.iter_mut().zip(weight).for_each(|(w, change)| *w += length * change);
        parameters.bias.iter_mut().zip(bias).for_each(|(b, change)| *b += length * change);
        // The bias is the logits of the centre, minus those of its features.
        for (row, centre) in weight.chunks_exact(parameters.columns).zip(&self.centre) {
            parameters.bias.iter_mut().zip(row).for_each(|(b, change)| *b -= length * centre * change);
        }
        parameters
    }

    /// Takes a step. It is halved until J is lower. Returns `None` if no step lowers it.
    fn next(&mut self, at: &Position) -> Result<Option<Position>, EngineError> {
        let decrement = at.step.decrement;
        if !(decrement.is_finite() && decrement > 0.0) {
            return Ok(None);
        }
        let mut length = 1.0;
        for _ in 0..MAX_HALVINGS {
            let mut next = self.moved(at, length);
            self.fix(&mut next);
            let next = self.evaluate(next)?;
            let expected = at.objective - SUFFICIENT_DECREASE * length * decrement;
            if next.objective <= expected + VALUE_TOLERANCE * at.objective.abs() && next.step.decrement.is_finite() {
                let is_progress = next.objective < at.objective || next.step.decrement < decrement;
                return Ok(Some(next).filter(|_| is_progress));
            }
            length *= 0.5;
        }
        Ok(None)
    }

    /// Whether J has no minimum without a penalty, because it does not rise far along the step.
    ///
    /// Along a direction that separates classes, J falls by about the decrement, however far: the
    /// loss of the separated rows goes to 0, and that of the others stays.
    fn finds_separation(&mut self, at: &Position) -> Result<bool, EngineError> {
        let k = at.parameters.columns;
        let is_complete = at.n_correct == self.engine.rows();
        let is_clean = at.step.decrement <= CLEAN * self.engine.mean_weight();
        // Each row with a weight has a probability above 1/2, so these parameters separate the
        // classes.
        let least = self.engine.smallest_weight().unwrap_or(1.0);
        let is_proven = at.cross_entropy * (self.engine.rows() as f64) < least * std::f64::consts::LN_2
            && self.engine.link().kind().is_some();
        if self.identification.is_none() || at.step.largest_logit < 0.5 || !(is_complete || is_clean) {
            return Ok(false);
        }
        // The step also corrects the rounding of weights in f32, and FAR enlarges the correction.
        let exact = match self.config.descent().precision {
            Precision::F32 => {
                let next = self.moved(at, 1.0);
                let curvature = self.curvature(&next)?;
                Some(self.position(next, curvature)?)
            }
            Precision::F64 => None,
        };
        let at = exact.as_ref().unwrap_or(at);
        let far = self.moved(at, FAR / at.step.largest_logit);
        let fall = at.cross_entropy - self.curvature(&far)?.gradient.loss;
        if !is_proven && !(0.5 * at.step.decrement..=10.0 * at.step.decrement).contains(&fall) {
            return Ok(false);
        }
        let changes = at.step.change.chunks_exact(k).zip(&at.ranges).map(|(change, [low, high])| {
            let spread = change.iter().fold([0.0f64; 2], |[low, high], &x| [low.min(x), high.max(x)]);
            (spread[1] - spread[0]) * (high - low)
        });
        let mut strength: Vec<(f64, usize)> = changes.zip(0..).collect();
        strength.sort_by(|a, b| b.0.total_cmp(&a.0));
        let least = 0.1 * strength.first().map_or(0.0, |strongest| strongest.0);
        let separating = strength.iter().take(5).filter(|(strength, _)| *strength >= least).map(|&(_, j)| j).collect();
        if let Some(identification) = &mut self.identification {
            (identification.separating, identification.is_complete) = (separating, is_complete);
        }
        Ok(true)
    }
}

/// Returns a bound on the absolute change of a row's logits.
fn largest_logit(change: &[f64], ranges: &[[f64; 2]], k: usize) -> f64 {
    let (weight, bias) = change.split_at(ranges.len() * k);
    let of_column = |column: usize| {
        let (mut middle, mut width) = (bias[column], 0.0);
        for (w, [low, high]) in weight[column..].iter().step_by(k).zip(ranges) {
            middle += w * 0.5 * (low + high);
            width += w.abs() * 0.5 * (high - low);
        }
        middle.abs() + width
    };
    (0..k).map(of_column).fold(0.0, f64::max)
}
