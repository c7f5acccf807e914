//! What a trained model says about its features: coefficients with their errors, from the inverse
//! of the closed-form Hessian, Eqs. (36) to (39) of `docs/derivation.md`.

use std::num::NonZero;
use std::sync::Arc;

use chainrule_core::{Class, Link, LinkKind, Parameters, Precision, Preprocessing, Solver, TrainConfig, pluralize};
use chainrule_core::{FeatureKind, ModelKind};
use chainrule_data::{DataError, RowBuffer, Rows};
use chainrule_evaluate::{chi_squared_tail, normal_half_width, normal_two_sided};
use chainrule_kernels::{Curvature, Float, with_threads};
use serde::Serialize;

use crate::baseline::constant_model;
use crate::fused::{curvature, new_model};
use crate::host::logits_of;
use crate::lbfgs::dot;
use crate::linear_algebra::{Cholesky, dependent_columns};
use crate::train::TrainError;
use crate::{FusedRows, MAX_NEWTON_PARAMETERS};

/// A trained model, for [`summarize`].
#[derive(Clone, Copy, Debug)]
pub struct SummaryModel<'a> {
    /// The settings of its training.
    pub config: &'a TrainConfig,
    /// Its weights `[d, k]` and bias `[k]`.
    pub parameters: &'a Parameters,
    /// How features are computed from the columns.
    pub preprocessing: &'a Preprocessing,
    /// The names of the features, `[d]`. If empty, features are numbered.
    pub features: &'a [String],
    /// The names of the classes.
    pub classes: &'a [Class],
    /// The class weights of the training.
    pub class_weights: Option<&'a [f64]>,
}

/// How to compute a [`ModelSummary`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SummaryOptions<'a> {
    /// The level of the intervals, such as 0.95.
    pub level: f64,
    /// The class that the others are compared with: the first, unless named.
    pub base_class: usize,
    /// Gives the coefficients per standard deviation of a feature, instead of per unit.
    pub standardized: bool,
    /// The errors.
    pub errors: ErrorSource<'a>,
}

impl Default for SummaryOptions<'_> {
    fn default() -> Self {
        Self { level: 0.95, base_class: 0, standardized: false, errors: ErrorSource::Hessian }
    }
}

/// Where standard errors come from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ErrorSource<'a> {
    /// The inverse of the Hessian. It assumes that the model is right, and that rows are
    /// independent.
    #[default]
    Hessian,
    /// The sandwich of the inverse Hessian and the squared gradients of the rows (HC0): P. Huber,
    /// 1967; H. White, Maximum likelihood estimation of misspecified models, Econometrica 50 (1),
    /// 1982. It assumes that rows are independent.
    Sandwich,
    /// The same with the gradients summed over the rows of a group, which need not be independent.
    /// It has the correction `G / (G - 1) (n - 1) / (n - m)` of Stata's and statsmodels' cluster
    /// errors, for G groups and m parameters. The slice has the group of each row.
    Groups(&'a [u32]),
}

/// What the coefficients are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum EstimateKind {
    /// Maximum likelihood, at lambda = 0.
    MaximumLikelihood,
    /// The maximum of the posterior under a Gaussian prior of the weights, and its Laplace
    /// approximation, at lambda > 0. Errors are standard deviations of the posterior, intervals are
    /// credible intervals, and there are no tests.
    LaplacePosterior {
        /// The standard deviation of the prior of each weight of the model's features:
        /// `1 / sqrt(n lambda)`.
        prior_standard_deviation: f64,
    },
    /// The maximum of the same posterior, with robust errors, which are not the posterior's.
    PosteriorMode {
        /// As above.
        prior_standard_deviation: f64,
    },
}

/// The name of an [`ErrorSource`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum ErrorKind {
    /// See [`ErrorSource::Hessian`].
    Hessian,
    /// See [`ErrorSource::Sandwich`].
    Sandwich,
    /// See [`ErrorSource::Groups`].
    Groups {
        /// The number of groups.
        groups: usize,
    },
}

/// The coefficients of a model, and how well it fits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSummary {
    /// What the coefficients are.
    pub estimate: EstimateKind,
    /// Where the errors come from.
    pub errors: ErrorKind,
    /// The level of the intervals.
    pub level: f64,
    /// Whether coefficients are per standard deviation of a feature.
    pub standardized: bool,
    /// The class that the others are compared with.
    pub base_class: Class,
    /// The number of training rows, n.
    pub rows: usize,
    /// The number of estimated parameters, m.
    pub parameters: usize,
    /// The log-likelihood: -n times the mean cross-entropy, with the weights of rows and classes.
    pub log_likelihood: f64,
    /// The log-likelihood of the constant model, which has a bias only.
    pub constant_log_likelihood: f64,
    /// `1 - log_likelihood / constant_log_likelihood`: D. `McFadden`, Conditional logit analysis of
    /// qualitative choice behavior, 1974.
    pub mcfadden: f64,
    /// The test against the constant model. `None` unless these are maximum likelihood's.
    pub likelihood_ratio: Option<LikelihoodRatio>,
    /// Akaike's criterion, `2 m - 2 log_likelihood`. `None` unless these are maximum likelihood's.
    pub aic: Option<f64>,
    /// Schwarz's criterion, `m ln n - 2 log_likelihood`. `None` unless these are maximum
    /// likelihood's.
    pub bic: Option<f64>,
    /// A bound on how far each of the model's weights is from the estimate, in standard errors.
    pub distance_to_minimum: f64,
    /// The coefficients of each class but the base class, first those of the features, then the
    /// bias.
    pub coefficients: Vec<Coefficient>,
    /// How much the variance of a coefficient grows because other features say nearly the same.
    pub variance_inflation: Vec<VarianceInflation>,
    /// What a reader of the table must know.
    pub notes: Vec<String>,
}

/// A likelihood-ratio test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LikelihoodRatio {
    /// Twice the difference of the log-likelihoods.
    pub chi_squared: f64,
    /// The number of weights, without the bias.
    pub degrees: usize,
    /// The p value.
    pub p_value: f64,
}

/// A coefficient: the change of the log odds of a class against the base class, per unit of a
/// feature.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coefficient {
    /// The class.
    pub class: Class,
    /// The feature. `None` for the bias.
    pub feature: Option<String>,
    /// The estimate.
    pub estimate: f64,
    /// Its standard error. `None` if the weight is fixed at 0, as the most frequent level of a
    /// category is.
    pub standard_error: Option<f64>,
    /// The estimate in standard errors.
    pub z: Option<f64>,
    /// The two-sided p value. `None` for a posterior.
    pub p_value: Option<f64>,
    /// The normal interval of the estimate.
    pub interval: Option<[f64; 2]>,
    /// The factor of the odds per unit of the feature, `exp(estimate)`. `None` for the bias.
    pub odds_ratio: Option<f64>,
    /// Its interval.
    pub odds_ratio_interval: Option<[f64; 2]>,
}

/// The variance inflation of a feature, `1 / (1 - R^2)` of the regression on all others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VarianceInflation {
    /// The feature.
    pub feature: String,
    /// The factor. `None` for a feature that is a linear function of others.
    pub factor: Option<f64>,
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// The rows cannot be packed or read.
    #[error(transparent)]
    Rows(#[from] TrainError),
    /// The model is one of images.
    #[error("a summary is about the columns of a table; this model was trained on images")]
    Images,
    /// The Hessian is too large.
    #[error("the model has {found} parameters; a summary inverts their Hessian, and takes at most {max}")]
    TooManyParameters {
        /// The number of parameters.
        found: usize,
        /// The largest number.
        max: usize,
    },
    /// The rows do not determine the coefficients.
    #[error(
        "{rows} rows do not determine {parameters} coefficients; use more rows, fewer columns, or objective.l2 above 0"
    )]
    TooFewRows {
        /// The number of rows.
        rows: usize,
        /// The number of parameters.
        parameters: usize,
    },
    /// Errors by groups need groups, and degrees of freedom.
    #[error(
        "errors by groups need two groups, and more rows than coefficients; found {}, {rows} rows and {parameters} coefficients; leave out data.group or the robust errors",
        pluralize(*.groups, "group")
    )]
    TooFewGroups {
        /// The number of groups.
        groups: usize,
        /// The number of rows.
        rows: usize,
        /// The number of parameters.
        parameters: usize,
    },
    /// The classes are separated, so there is no maximum of the likelihood.
    #[error("the classes are separated{}, so the likelihood has no maximum, and coefficients have no errors; leave out the columns, or set objective.l2 above 0", by(.features))]
    Separated {
        /// The features that separate them, if they are known.
        features: Vec<String>,
    },
    /// The training ended elsewhere.
    #[error(
        "the training did not end at the minimum: a coefficient may be {distance:.2} standard errors away from it; train with descent.solver = \"newton\""
    )]
    NotAtMinimum {
        /// The bound on the distance, in standard errors.
        distance: f64,
    },
    /// Other coefficients give the same predictions.
    #[error("the columns do not determine the coefficients without a penalty ({}); train with descent.solver = \"newton\", which fixes some at 0", .features.join(", "))]
    NotIdentified {
        /// The features that must be fixed.
        features: Vec<String>,
    },
    /// The Hessian cannot be inverted.
    #[error(
        "the Hessian is singular, so coefficients have no errors: some columns nearly are functions of others, or the classes are nearly separated; leave out columns, or set objective.l2 above 0"
    )]
    Singular,
}

impl From<DataError> for SummaryError {
    fn from(error: DataError) -> Self {
        Self::Rows(error.into())
    }
}

fn by(features: &[String]) -> String {
    if features.is_empty() { String::new() } else { format!(" by {}", features.join(", ")) }
}

/// The largest distance to the minimum, in standard errors, from which Newton's steps lead there.
const MAX_DISTANCE: f64 = 1.0;
/// From this distance on, a note says how far the model's weights are.
const NOTED_DISTANCE: f64 = 0.01;

/// At this distance, more steps change rounding only.
const EXACT: f64 = 1e-9;
/// The largest number of Newton steps from the model's weights.
const MAX_STEPS: usize = 6;

/// Summarises a model that was trained on `rows`. A search ends near the minimum; the summary takes
/// the last Newton steps to it, so its estimates are those of the minimum up to rounding.
/// [`ModelSummary::distance_to_minimum`] says how far the model's own weights are from it.
///
/// # Errors
/// If the rows do not determine the coefficients, or if the model is not at its minimum.
///
/// # Panics
/// If the level is not between 0 and 1, or the base class or the number of groups is wrong.
pub fn summarize(
    model: &SummaryModel,
    rows: &Rows,
    options: &SummaryOptions,
    threads: NonZero<usize>,
) -> Result<ModelSummary, SummaryError> {
    let Parameters { n_features: d, columns: k, .. } = *model.parameters;
    assert!(options.base_class < model.classes.len(), "class {} of {}", options.base_class, model.classes.len());
    if rows.kind() == FeatureKind::Bytes {
        return Err(SummaryError::Images);
    }
    if (d + 1) * k > MAX_NEWTON_PARAMETERS {
        return Err(SummaryError::TooManyParameters { found: (d + 1) * k, max: MAX_NEWTON_PARAMETERS });
    }
    let packed = FusedRows::for_solver(rows.clone(), model.preprocessing, Precision::F64, Solver::Newton)?;
    let mut summary = Summary::new(model, rows, &packed, *options, threads)?;
    let mut information = summary.information()?;
    let distance = information.distance;
    for _ in 0..MAX_STEPS {
        if information.distance < EXACT {
            break;
        }
        summary.step(&information)?;
        information = summary.information()?;
    }
    let estimates = summary.estimates(&information)?;
    summary.table(&estimates, distance)
}

/// The model at its parameters, in the coordinates of the Hessian: the features are `x - centre`,
/// and the bias is the logits of the centre.
struct Summary<'a> {
    model: &'a SummaryModel<'a>,
    options: SummaryOptions<'a>,
    rows: &'a Rows,
    packed: &'a FusedRows,
    threads: NonZero<usize>,
    link: Arc<dyn Link>,
    /// The number of rows with a weight above 0.
    n_rows: usize,
    /// `[d]`
    centre: Vec<f64>,
    /// W row by row, then the logits of the centre.
    values: Vec<f64>,
    /// At the parameters, and at zero. There, all rows have the same probabilities, so the Hessian
    /// has the moments of the features.
    at: Curvature,
    at_zero: Curvature,
    /// The features that are functions of others.
    redundant: Vec<bool>,
}

/// The Hessian of n J by the estimated parameters.
struct Information {
    /// Their positions in the whole Hessian, `[m]`.
    indices: Vec<usize>,
    /// `[m, m]`
    matrix: Vec<f64>,
    factor: Cholesky,
    /// The Newton step, `[m]`.
    step: Vec<f64>,
    /// Its length, in standard errors.
    distance: f64,
}

/// The covariance of the estimated parameters.
struct Estimates {
    /// Their positions in the whole Hessian, `[m]`.
    indices: Vec<usize>,
    /// `[m, m]`
    covariance: Vec<f64>,
    errors: ErrorKind,
}

impl<'a> Summary<'a> {
    fn new(
        model: &'a SummaryModel<'a>,
        rows: &'a Rows,
        packed: &'a FusedRows,
        options: SummaryOptions<'a>,
        threads: NonZero<usize>,
    ) -> Result<Self, SummaryError> {
        let Parameters { n_features: d, columns: k, .. } = *model.parameters;
        let link = LinkKind::from(model.config.model().kind).link(model.classes.len());
        let objective = model.config.objective();
        // A penalty on the bias depends on the features' origin, so they keep it.
        let is_bias_penalised = objective.penalize_bias && objective.l2 > 0.0;
        let centre = packed.feature_mean().filter(|_| !is_bias_penalised).unwrap_or_else(|| vec![0.0; d]);
        let curvature = |parameters: &Parameters| hessian(model, packed, &link, parameters, &centre, threads);
        let (at, at_zero) = (curvature(model.parameters)?, curvature(&Parameters::zeros(d, k))?);
        let column = k - 1;
        let references = packed.reference_levels();
        let others = (0..d).filter(|feature| !references.contains(feature));
        let order: Vec<usize> = [d].into_iter().chain(others).map(|feature| feature * k + column).collect();
        let magnitude = |index: usize| centre.get(index / k).map_or(0.0, |centre| centre.powi(2));
        let mut redundant = vec![false; d];
        references.iter().for_each(|&feature| redundant[feature] = true);
        for index in dependent_columns(&at_zero.hessian, (d + 1) * k, &order, magnitude) {
            redundant[index / k] = true;
        }
        let mut values = model.parameters.weight.clone();
        values.extend(logits_of(&centre, model.parameters));
        let n_rows = (0..rows.len()).filter(|&row| rows.weight(row) > 0.0).count();
        Ok(Self { model, options, rows, packed, threads, link, n_rows, centre, values, at, at_zero, redundant })
    }

    /// The parameters, with the bias of features that are not centred.
    fn parameters(&self) -> Parameters {
        let [d, k] = self.shape();
        let (weight, bias) = self.values.split_at(d * k);
        let mut bias = bias.to_vec();
        for (row, centre) in weight.chunks_exact(k).zip(&self.centre) {
            bias.iter_mut().zip(row).for_each(|(b, w)| *b -= centre * w);
        }
        Parameters { n_features: d, columns: k, weight: weight.to_vec(), bias }
    }

    /// Takes a Newton step.
    fn step(&mut self, information: &Information) -> Result<(), SummaryError> {
        let Self { model, packed, threads, .. } = *self;
        information.indices.iter().zip(&information.step).for_each(|(&i, step)| self.values[i] += step);
        self.at = hessian(model, packed, &self.link, &self.parameters(), &self.centre, threads)?;
        Ok(())
    }

    fn lambda(&self) -> f64 {
        self.model.config.objective().l2
    }

    /// A row of weight 0 says nothing, so it does not count.
    fn n(&self) -> f64 {
        self.n_rows as f64
    }

    fn shape(&self) -> [usize; 2] {
        [self.model.parameters.n_features, self.model.parameters.columns]
    }

    fn is_softmax(&self) -> bool {
        self.model.config.model().kind == ModelKind::Softmax && self.shape()[1] > 1
    }

    fn name(&self, feature: usize) -> String {
        self.model.features.get(feature).cloned().unwrap_or_else(|| format!("feature {feature}"))
    }

    /// Whether a weight is estimated. Without a penalty, what other features say is fixed at 0.
    fn is_free(&self, feature: usize) -> bool {
        self.lambda() > 0.0 || !self.redundant[feature]
    }

    /// Selects the parameters that are estimated, and computes their Hessian and the step.
    fn information(&self) -> Result<Information, SummaryError> {
        let [d, k] = self.shape();
        let (lambda, n, size) = (self.lambda(), self.n(), (d + 1) * k);
        let penalizes_bias = self.model.config.objective().penalize_bias;
        let has_weight = |feature: usize| self.values[feature * k..][..k].iter().any(|w| *w != 0.0);
        let unfixed: Vec<usize> = (0..d).filter(|&feature| !self.is_free(feature) && has_weight(feature)).collect();
        if !unfixed.is_empty() {
            return Err(SummaryError::NotIdentified { features: unfixed.iter().map(|&j| self.name(j)).collect() });
        }
        // Without a penalty, only the differences to the base class are determined. The Hessian is
        // the same as that of these differences.
        let is_kept = |i: usize| {
            let is_base = lambda == 0.0 && self.is_softmax() && i % k == self.options.base_class;
            !is_base && (i / k == d || self.is_free(i / k))
        };
        let indices: Vec<usize> = (0..size).filter(|&i| is_kept(i)).collect();
        let m = indices.len();
        if lambda == 0.0 {
            if self.n_rows <= m {
                return Err(SummaryError::TooFewRows { rows: self.n_rows, parameters: m });
            }
            let total = self.at.gradient.loss * self.rows.len() as f64;
            let is_proven = total < 0.5 * std::f64::consts::LN_2;
            if is_proven && self.at.n_correct == self.rows.len() {
                return Err(SummaryError::Separated { features: Vec::new() });
            }
        }
        let penalty = |i: usize| if i / k < d || penalizes_bias { lambda } else { 0.0 };
        // The same change of all biases changes nothing. This makes H positive definite, and the
        // differences of classes do not depend on it.
        let is_bias_free = self.is_softmax() && lambda > 0.0 && !penalizes_bias;
        let entry = |i: usize, j: usize| {
            let ridge = if i == j { penalty(i) } else { 0.0 };
            let shift = if is_bias_free && i / k == d && j / k == d { 1.0 / k as f64 } else { 0.0 };
            n * (self.at.hessian[i * size + j] + ridge + shift)
        };
        let pairs = indices.iter().flat_map(|&i| indices.iter().map(move |&j| (i, j)));
        let matrix: Vec<f64> = pairs.map(|(i, j)| entry(i, j)).collect();
        let factor = Cholesky::of(&matrix, m);
        if factor.is_changed() {
            return Err(SummaryError::Singular);
        }
        let gradient = [&self.at.gradient.weight[..], &self.at.gradient.bias].concat();
        let gradient: Vec<f64> = indices.iter().map(|&i| -n * (gradient[i] + penalty(i) * self.values[i])).collect();
        let step = factor.solve(&matrix, &gradient);
        let distance = dot(&gradient, &step).max(0.0).sqrt();
        if !distance.is_finite() {
            return Err(SummaryError::Singular);
        }
        if distance > MAX_DISTANCE {
            return Err(SummaryError::NotAtMinimum { distance });
        }
        Ok(Information { indices, matrix, factor, step, distance })
    }

    /// Computes the covariance.
    fn estimates(&self, information: &Information) -> Result<Estimates, SummaryError> {
        let Information { indices, matrix, factor, .. } = information;
        let (n, m) = (self.n(), indices.len());
        let mut inverse = vec![0.0; m * m];
        let mut unit = vec![0.0; m];
        for (i, row) in inverse.chunks_exact_mut(m).enumerate() {
            unit[i] = 1.0;
            row.copy_from_slice(&factor.solve(matrix, &unit));
            unit[i] = 0.0;
        }
        let (covariance, errors) = match self.options.errors {
            ErrorSource::Hessian => (inverse, ErrorKind::Hessian),
            ErrorSource::Sandwich => (sandwich(&inverse, &self.squared_scores(indices, None)?, m), ErrorKind::Sandwich),
            ErrorSource::Groups(groups) => {
                assert_eq!(groups.len(), self.rows.len(), "a group for each row");
                let counted = (0..groups.len()).filter(|&row| self.rows.weight(row) > 0.0);
                let mut different: Vec<u32> = counted.map(|row| groups[row]).collect();
                different.sort_unstable();
                different.dedup();
                let n_groups = different.len();
                if n_groups < 2 || self.n_rows <= m {
                    return Err(SummaryError::TooFewGroups { groups: n_groups, rows: self.n_rows, parameters: m });
                }
                let mut covariance = sandwich(&inverse, &self.squared_scores(indices, Some(groups))?, m);
                let of_groups = n_groups as f64 / (n_groups as f64 - 1.0);
                let correction = of_groups * (n - 1.0) / (n - m as f64);
                covariance.iter_mut().for_each(|x| *x *= correction);
                (covariance, ErrorKind::Groups { groups: n_groups })
            }
        };
        Ok(Estimates { indices: indices.clone(), covariance, errors })
    }

    /// The sum over rows, or over groups, of the outer products of the gradients, `[m, m]`.
    fn squared_scores(&self, indices: &[usize], groups: Option<&[u32]>) -> Result<Vec<f64>, SummaryError> {
        let ([d, k], m) = (self.shape(), indices.len());
        let (weights, mut buffer) = (self.rows.weights()?, RowBuffer::default());
        let parameters = self.parameters();
        let mut sums = vec![0.0; m * m];
        let mut add = |score: &[f64]| {
            for (i, row) in sums.chunks_exact_mut(m).enumerate() {
                let own = score[i];
                row[..=i].iter_mut().zip(score).for_each(|(sum, other)| *sum += own * other);
            }
        };
        // A group's rows need not be neighbours.
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        if let Some(groups) = groups {
            order.sort_by_key(|&row| groups[row]);
        }
        let mut score = vec![0.0; m];
        let mut features = vec![0.0; d + 1];
        features[d] = 1.0;
        for (position, &row) in order.iter().enumerate() {
            let raw = self.rows.row(row, &mut buffer)?;
            features[..d]
                .iter_mut()
                .zip(raw)
                .enumerate()
                .for_each(|(j, (x, &raw))| *x = self.model.preprocessing.value(j, raw));
            let mut residual = logits_of(&features[..d], &parameters);
            features[..d].iter_mut().zip(&self.centre).for_each(|(x, centre)| *x -= centre);
            let label = usize::from(self.rows.label(row));
            self.link.loss_and_residual(&mut residual, label as f64);
            // As in the Hessian, the mean over the rows that count is 1.
            let weight = weights.as_ref().map_or(1.0, |weights| weights.get(row) * self.n() / self.rows.len() as f64)
                * self.model.class_weights.map_or(1.0, |weights| weights[label]);
            score.iter_mut().zip(indices).for_each(|(sum, &i)| *sum += weight * features[i / k] * residual[i % k]);
            let ends =
                groups.is_none_or(|groups| order.get(position + 1).is_none_or(|&next| groups[next] != groups[row]));
            if ends {
                add(&score);
                score.fill(0.0);
            }
        }
        for i in 0..m {
            for j in i + 1..m {
                sums[i * m + j] = sums[j * m + i];
            }
        }
        Ok(sums)
    }

    /// Mean and standard deviation of each feature minus its centre.
    fn moments(&self) -> Vec<[f64; 2]> {
        let [d, k] = self.shape();
        let (size, column) = ((d + 1) * k, k - 1);
        let entry = |i: usize, j: usize| self.at_zero.hessian[(i * k + column) * size + j * k + column];
        let rows = entry(d, d);
        let of_feature = |j: usize| {
            let mean = entry(j, d) / rows;
            [mean, (entry(j, j) / rows - mean * mean).max(0.0).sqrt()]
        };
        (0..d).map(of_feature).collect()
    }

    /// The variance inflation of each feature: the diagonal of the inverse of the correlations.
    fn variance_inflation(&self) -> Vec<VarianceInflation> {
        let [d, k] = self.shape();
        let (size, column, moments) = ((d + 1) * k, k - 1, self.moments());
        let entry = |i: usize, j: usize| self.at_zero.hessian[(i * k + column) * size + j * k + column];
        let rows = entry(d, d);
        let kept: Vec<usize> = (0..d).filter(|&feature| !self.redundant[feature]).collect();
        let m = kept.len();
        let correlation =
            |i: usize, j: usize| (entry(i, j) / rows - moments[i][0] * moments[j][0]) / (moments[i][1] * moments[j][1]);
        let matrix: Vec<f64> =
            kept.iter().flat_map(|&i| kept.iter().map(move |&j| (i, j))).map(|(i, j)| correlation(i, j)).collect();
        let factor = Cholesky::of(&matrix, m);
        let of_feature = |feature: usize| {
            let place = kept.iter().position(|&kept| kept == feature).filter(|_| !factor.is_changed());
            let factor = place.map(|place| {
                let mut unit = vec![0.0; m];
                unit[place] = 1.0;
                factor.solve(&matrix, &unit)[place]
            });
            VarianceInflation { feature: self.name(feature), factor }
        };
        (0..d).map(of_feature).collect()
    }

    /// Computes the coefficients of each class against the base class, in the units that are asked
    /// for.
    fn coefficients(&self, estimates: &Estimates) -> Vec<Coefficient> {
        let [d, k] = self.shape();
        let (moments, base) = (self.moments(), self.options.base_class);
        let half_width = normal_half_width(self.options.level);
        let mut place = vec![None; (d + 1) * k];
        estimates.indices.iter().enumerate().for_each(|(place_of, &i)| place[i] = Some(place_of));
        // Of a feature, the factor of its weight; and what its weight adds to the bias.
        let units: Vec<[f64; 2]> = (0..d)
            .map(|j| match self.options.standardized {
                true => [moments[j][1], moments[j][0]],
                false => {
                    let (scale, offset) = self.model.preprocessing.affine(j);
                    [scale, offset - self.centre[j]]
                }
            })
            .collect();
        let mut table = Vec::new();
        for (class, name) in self.model.classes.iter().enumerate().filter(|(class, _)| *class != base) {
            let contrast: Vec<(usize, f64)> = match self.is_softmax() {
                true => vec![(class, 1.0), (base, -1.0)],
                // The one column has the log odds of class 1.
                false => vec![(0, if class == 1 { 1.0 } else { -1.0 })],
            };
            for feature in (0..d).map(Some).chain([None]) {
                // A linear function of the parameters.
                let terms: Vec<(usize, f64)> = match feature {
                    Some(j) => contrast.iter().map(|&(column, sign)| (j * k + column, sign * units[j][0])).collect(),
                    None => {
                        let of_column = |&(column, sign): &(usize, f64)| {
                            let weights =
                                units.iter().enumerate().map(move |(j, unit)| (j * k + column, sign * unit[1]));
                            weights.chain([(d * k + column, sign)])
                        };
                        contrast.iter().flat_map(of_column).collect()
                    }
                };
                let estimate: f64 = terms.iter().map(|&(i, factor)| factor * self.values[i]).sum();
                let reduced: Vec<(usize, f64)> =
                    terms.iter().filter_map(|&(i, factor)| Some((place[i]?, factor))).collect();
                let m = estimates.indices.len();
                let variance: f64 = reduced
                    .iter()
                    .flat_map(|&(i, a)| reduced.iter().map(move |&(j, b)| (i, j, a * b)))
                    .map(|(i, j, factor)| factor * estimates.covariance[i * m + j])
                    .sum();
                let is_estimated = feature.is_none_or(|feature| self.is_free(feature));
                let standard_error = is_estimated.then(|| variance.max(0.0).sqrt());
                let z = standard_error.map(|error| estimate / error);
                let interval = standard_error.map(|error| [-1.0, 1.0].map(|side| estimate + side * half_width * error));
                table.push(Coefficient {
                    class: name.clone(),
                    feature: feature.map(|feature| self.name(feature)),
                    estimate,
                    standard_error,
                    z,
                    p_value: z.filter(|_| self.lambda() == 0.0).map(normal_two_sided),
                    interval,
                    odds_ratio: feature.map(|_| estimate.exp()),
                    odds_ratio_interval: interval.filter(|_| feature.is_some()).map(|ends| ends.map(f64::exp)),
                });
            }
        }
        table
    }

    fn table(&self, estimates: &Estimates, distance: f64) -> Result<ModelSummary, SummaryError> {
        let (n, m, lambda) = (self.n(), estimates.indices.len(), self.lambda());
        let classes = self.model.classes.len();
        let constant = constant_model([self.rows, self.rows], classes, self.model.class_weights)?;
        let log_likelihood = -n * self.at.gradient.loss;
        let constant_log_likelihood = -n * constant.train_loss;
        // Weighted classes have no likelihood.
        let is_likelihood = lambda == 0.0 && self.model.class_weights.is_none();
        let degrees = m - (classes - 1).min(m);
        let chi_squared = (2.0 * (log_likelihood - constant_log_likelihood)).max(0.0);
        let likelihood_ratio = (is_likelihood && degrees > 0).then(|| LikelihoodRatio {
            chi_squared,
            degrees,
            p_value: chi_squared_tail(chi_squared, degrees as f64),
        });
        let prior_standard_deviation = 1.0 / (n * lambda).sqrt();
        Ok(ModelSummary {
            estimate: match estimates.errors {
                _ if lambda == 0.0 => EstimateKind::MaximumLikelihood,
                ErrorKind::Hessian => EstimateKind::LaplacePosterior { prior_standard_deviation },
                _ => EstimateKind::PosteriorMode { prior_standard_deviation },
            },
            errors: estimates.errors,
            level: self.options.level,
            standardized: self.options.standardized,
            base_class: self.model.classes[self.options.base_class].clone(),
            rows: self.n_rows,
            parameters: m,
            log_likelihood,
            constant_log_likelihood,
            mcfadden: 1.0 - log_likelihood / constant_log_likelihood,
            likelihood_ratio,
            aic: is_likelihood.then_some(2.0 * m as f64 - 2.0 * log_likelihood),
            bic: is_likelihood.then(|| m as f64 * n.ln() - 2.0 * log_likelihood),
            distance_to_minimum: distance,
            coefficients: self.coefficients(estimates),
            variance_inflation: self.variance_inflation(),
            notes: self.notes(estimates, distance),
        })
    }

    fn notes(&self, estimates: &Estimates, distance: f64) -> Vec<String> {
        let mut notes = Vec::new();
        if distance > NOTED_DISTANCE {
            notes.push(format!(
                "the model's own weights are up to {distance:.2} standard errors away from these estimates, which are those of the minimum"
            ));
        }
        let is_hessian = estimates.errors == ErrorKind::Hessian;
        if self.model.class_weights.is_some() {
            let advice = if is_hessian { "; robust errors do not need one" } else { "" };
            notes.push(format!("the training weighed the classes, so there is no likelihood{advice}"));
        }
        if self.model.config.data().weight.is_some() {
            let advice = if is_hessian { "; robust errors are right for weights of a survey" } else { "" };
            notes
                .push(format!("the weights of the rows are scaled to a mean of 1, so n is the number of rows with a weight above 0{advice}"));
        }
        if let ErrorKind::Groups { groups } = estimates.errors
            && groups < FEW_GROUPS
        {
            notes.push(format!(
                "{groups} groups are few; errors by groups are too small on average with fewer than {FEW_GROUPS}"
            ));
        }
        let fewest = self.fewest_rows_of_a_class();
        let n_weights = (0..self.shape()[0]).filter(|&feature| self.is_free(feature)).count();
        if self.lambda() == 0.0 && fewest < ROWS_PER_WEIGHT * n_weights {
            notes.push(format!(
                "the rarest class has {fewest} rows for {n_weights} weights; with fewer than {ROWS_PER_WEIGHT} for each, estimates are too large on average and intervals too short"
            ));
        }
        notes
    }

    fn fewest_rows_of_a_class(&self) -> usize {
        let mut counts = vec![0; self.model.classes.len()];
        let counted = (0..self.rows.len()).filter(|&row| self.rows.weight(row) > 0.0);
        counted.for_each(|row| counts[usize::from(self.rows.label(row))] += 1);
        counts.into_iter().min().unwrap_or_default()
    }
}

/// P. Peduzzi et al., A simulation study of the number of events per variable in logistic
/// regression analysis, Journal of Clinical Epidemiology 49 (12), 1996.
const ROWS_PER_WEIGHT: usize = 10;
/// A. C. Cameron, D. Miller, A practitioner's guide to cluster-robust inference, Journal of Human
/// Resources 50 (2), 2015.
const FEW_GROUPS: usize = 30;

/// Returns the mean loss with its gradient and Hessian.
fn hessian(
    model: &SummaryModel,
    packed: &FusedRows,
    link: &Arc<dyn Link>,
    parameters: &Parameters,
    centre: &[f64],
    threads: NonZero<usize>,
) -> Result<Curvature, SummaryError> {
    let threads = threads.get();
    let in_pool = || {
        let fused = new_model(link, packed.n_features(), Float::F64, threads, model.class_weights);
        curvature(&fused, packed, parameters, centre, threads)
    };
    let found = with_threads(threads, in_pool).map_err(|problem| TrainError::Threads { threads, problem })?;
    Ok(found?.expect("rows of a table have a Hessian"))
}

/// `inverse * scores * inverse`, all symmetric, `[m, m]`.
fn sandwich(inverse: &[f64], scores: &[f64], m: usize) -> Vec<f64> {
    let product = |a: &[f64], b: &[f64]| -> Vec<f64> {
        // b is symmetric, so its columns are its rows.
        (0..m * m).map(|i| dot(&a[i / m * m..][..m], &b[i % m * m..][..m])).collect()
    };
    let left = product(inverse, scores);
    product(&left, inverse)
}
