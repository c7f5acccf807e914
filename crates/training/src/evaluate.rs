use burn::module::Param;
use burn::tensor::{FloatDType, Tensor, TensorReadError};
use chainrule_models::Classifier;
use chainrule_records::Parameters;

use crate::Examples;

/// What a model is worth on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Mean cross-entropy in nats, without the penalty.
    pub loss: f64,
    /// Fraction of rows classified rightly.
    pub accuracy: f64,
}

/// Loss and accuracy over all rows of `examples`.
///
/// # Errors
/// Where the device does not give back what it computed.
pub fn evaluate<M: Classifier>(model: &M, examples: &Examples) -> Result<Metrics, TensorReadError> {
    let logits = model.scores(examples.features.clone());
    let [losses, right] = read([losses(model, logits.clone(), examples), right(model, logits, examples)])?;
    Ok(metrics(&losses, right[0], examples))
}

/// Loss and accuracy over the validation rows, accuracy over the training rows, and the parameters. The host waits for the
/// device once.
pub(crate) fn evaluate_both<M: Classifier>(
    model: &M,
    validation: &Examples,
    train: &Examples,
) -> Result<(Metrics, f64, Parameters), TensorReadError> {
    let logits = model.scores(validation.features.clone());
    let [weight, bias] = flat(model);
    let parts = [
        losses(model, logits.clone(), validation),
        right(model, logits, validation),
        right(model, model.scores(train.features.clone()), train),
        weight,
        bias,
    ];
    let [losses, right, train_right, weight, bias] = read(parts)?;
    let parameters = Parameters { n_features: train.n_features(), n_classes: bias.len(), weight, bias };
    Ok((metrics(&losses, right[0], validation), train_right[0] / train.len() as f64, parameters))
}

/// The parameters of a model, on the host.
pub(crate) fn parameters<M: Classifier>(model: &M) -> Result<Parameters, TensorReadError> {
    let n_features = model.linear().weight.dims()[0];
    let [weight, bias] = read(flat(model))?;
    Ok(Parameters { n_features, n_classes: bias.len(), weight, bias })
}

/// W by rows, `[d k]`, and b, `[k]`.
fn flat<M: Classifier>(model: &M) -> [Tensor<1>; 2] {
    let linear = model.linear();
    let weight = linear.weight.val();
    let [_, k] = weight.dims();
    // A layer without bias has one of zeros.
    let bias = linear.bias.as_ref().map_or_else(|| Tensor::zeros([k], (&weight.device(), weight.dtype())), Param::val);
    [weight.flatten(0, 1), bias]
}

fn metrics(losses: &[f64], right: f64, examples: &Examples) -> Metrics {
    // The mean is taken on the host in f64: in f32 the order of summation, which differs from backend to backend, would
    // decide which of two nearly equal losses is the lower, and with it when early stopping stops.
    Metrics { loss: losses.iter().sum::<f64>() / losses.len() as f64, accuracy: right / examples.len() as f64 }
}

/// The cross-entropy of each row, `[n]`.
fn losses<M: Classifier>(model: &M, logits: Tensor<2>, examples: &Examples) -> Tensor<1> {
    model.cross_entropy(logits, examples.labels.clone())
}

/// How many rows are classified rightly, `[1]`; exact up to 2^24 of them in f32.
fn right<M: Classifier>(model: &M, logits: Tensor<2>, examples: &Examples) -> Tensor<1> {
    let dtype = FloatDType::from(logits.dtype());
    model.classify(logits).equal(examples.labels.clone()).int().sum().cast(dtype)
}

/// Reads several tensors of one type at once.
fn read<const N: usize>(parts: [Tensor<1>; N]) -> Result<[Vec<f64>; N], TensorReadError> {
    let lengths = parts.each_ref().map(|part| part.dims()[0]);
    let all = Tensor::cat(parts.into(), 0).try_into_vec_as::<f64>()?;
    let mut rest = all.as_slice();
    Ok(lengths.map(|length| {
        let (part, after) = rest.split_at(length);
        rest = after;
        part.to_vec()
    }))
}
