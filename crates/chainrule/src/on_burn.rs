//! Functions that need Burn: weight norms on a device, and the gradient check.

use burn::tensor::{Device, Tensor, TensorData};
use chacha20::ChaCha8Rng;
use chainrule_core::{GradientSource, ModelKind, Parameters, Precision, TrainConfig, WeightNorms};
use chainrule_data::RowWeights;
use chainrule_engines::{Examples, Expansion, float_type, with_parameters};
use chainrule_gradcheck::{DifferencePrecision, Options, Report, compare, f64_works};
use chainrule_models::{
    Classifier, L2, LogisticRegressionConfig, SoftmaxRegressionConfig, Targets, WeightNorm, closed_form, objective,
    to_precision, weight_norm,
};
use chainrule_solve::TrainingStatistics;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::Error;
use crate::machine::Machine;
use crate::samples::{Label, Samples};

/// The largest number of rows in a gradient check.
const CHECKED_ROWS: usize = 64;

/// Returns the weight norms, computed on the device, in f64 if supported. Returns `None` if the sum
/// of squares overflows.
pub(crate) fn norms(parameters: &Parameters, device: &Device) -> Option<WeightNorms> {
    let precision = if f64_works(device) { Precision::F64 } else { Precision::F32 };
    let model = SoftmaxRegressionConfig::new(parameters.n_features, parameters.columns).init(device);
    let model = with_parameters(to_precision(model, float_type(precision)), parameters);
    let WeightNorm { frobenius, frobenius_squared, spectral } = weight_norm(&model.linear)?;
    Some(WeightNorms { frobenius, frobenius_squared, spectral })
}

/// See [`Estimator::check_gradient`](crate::Estimator::check_gradient).
pub(crate) fn check_gradient<L: Label>(
    samples: &Samples<L>,
    config: TrainConfig,
    machine: &Machine,
) -> Result<Report, Error> {
    let Some(device) = machine.device() else {
        return Err(Error::Backend(
            "a gradient is checked against autodiff, and cpu has none; take a backend of Burn's".to_owned(),
        ));
    };
    let [d, k] = [samples.n_features(), samples.classes().len()];
    match config.model().kind {
        ModelKind::Logistic => check(LogisticRegressionConfig::new(d).init(device), samples, config, device),
        ModelKind::Softmax => check(SoftmaxRegressionConfig::new(d, k).init(device), samples, config, device),
    }
}

fn check<M: Classifier, L: Label>(
    model: M,
    samples: &Samples<L>,
    config: TrainConfig,
    device: &Device,
) -> Result<Report, Error> {
    let (difference_precision, precision) = match config.descent().precision {
        Precision::F64 => (DifferencePrecision::SameAsParameters, Precision::F64),
        Precision::F32 if f64_works(device) => (DifferencePrecision::F64, Precision::F32),
        Precision::F32 => (DifferencePrecision::SameAsParameters, Precision::F32),
    };
    let [d, k] = model.linear().weight.dims();
    let mut rng = ChaCha8Rng::seed_from_u64(config.descent().shuffle.seed);
    // Scale the weights so that logits are about 1 for any d. With larger logits, slopes fall below
    // the rounding noise of the loss.
    let mut drawn = |n: usize, scale: f64| (0..n).map(|_| scale * rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
    let (weight, bias) = (drawn(d * k, (d as f64).sqrt().recip()), drawn(k, 1.0));
    let parameters = Parameters { n_features: d, columns: k, weight, bias };
    let model = with_parameters(to_precision(model, float_type(precision)), &parameters).train();

    // Class weights and statistics are those of a fit: computed over all rows.
    let config = config.with_gradient(GradientSource::ClosedForm);
    let statistics = TrainingStatistics::of(&config, &samples.rows, &samples.schema)?;
    let drawn_rows = draw_balanced_rows(samples, config.descent().shuffle.seed);
    let of_drawn = |weights: RowWeights<'_>| drawn_rows.iter().map(|&row| weights.get(row)).collect();
    let weights: Option<Vec<f64>> = samples.rows.weights()?.map(of_drawn);
    // All drawn rows may have the weight 0, which examples refuse.
    let drawn = samples.rows.select(&drawn_rows).without_weights();
    let examples = Examples::new(drawn, &statistics.preprocessing, precision, device, Expansion::Host);
    let Examples { features, labels, .. } = examples.map_err(Error::from)?;
    let to = (&features.device(), features.dtype());
    let mut targets = match statistics.class_weights {
        Some(weights) => Targets::with_class_weights(
            labels,
            Tensor::from_data(TensorData::new(weights, [samples.classes().len()]), to),
        ),
        None => labels.into(),
    };
    if let Some(weights) = weights {
        targets = targets.with_row_weights(Tensor::from_data(TensorData::new(weights, [drawn_rows.len()]), to));
    }
    let l2 = L2 { strength: config.objective().l2, penalize_bias: config.objective().penalize_bias };
    let by_hand = closed_form(&model, features.clone(), targets.clone(), l2).gradient.into_params(model.linear());
    let loss = |model: &M| objective(model, features.clone(), targets.clone(), l2);
    let options = Options { difference_precision, seed: config.descent().shuffle.seed, ..Options::default() };
    Ok(compare(&model, loss, &[("closed form", by_hand)], &options))
}

/// Returns at most [`CHECKED_ROWS`] rows, drawn with the seed, alternating between the classes.
/// Files are often sorted by class.
fn draw_balanced_rows<L: Label>(samples: &Samples<L>, seed: u64) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..samples.len()).collect();
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut seen = vec![0; samples.classes().len()];
    let turns: Vec<usize> = rows
        .iter()
        .map(|&row| {
            let turn = &mut seen[usize::from(samples.labels()[row])];
            *turn += 1;
            *turn
        })
        .collect();
    let mut drawn: Vec<usize> = (0..rows.len()).collect();
    drawn.sort_by_key(|&i| turns[i]);
    drawn.truncate(CHECKED_ROWS);
    drawn.into_iter().map(|i| rows[i]).collect()
}
