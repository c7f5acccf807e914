use burn::tensor::{FloatDType, Tensor};
use chainrule_models::Classifier;

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
pub fn evaluate<M: Classifier>(model: &M, examples: &Examples) -> Metrics {
    let logits = model.scores(examples.features.clone());
    let read = read([losses(model, logits.clone(), examples), right(model, logits, examples)]);
    metrics(&read[0], read[1][0], examples)
}

/// Loss and accuracy over the validation rows, and accuracy over the training rows. The host waits for the device once.
pub(crate) fn evaluate_both<M: Classifier>(model: &M, validation: &Examples, train: &Examples) -> (Metrics, f64) {
    let logits = model.scores(validation.features.clone());
    let parts = [
        losses(model, logits.clone(), validation),
        right(model, logits, validation),
        right(model, model.scores(train.features.clone()), train),
    ];
    let read = read(parts);
    (metrics(&read[0], read[1][0], validation), read[2][0] / train.len() as f64)
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
fn read<const N: usize>(parts: [Tensor<1>; N]) -> [Vec<f64>; N] {
    let lengths = parts.each_ref().map(|part| part.dims()[0]);
    let all = Tensor::cat(parts.into(), 0).try_into_vec_as::<f64>().expect("the device gives back what it computed");
    let mut rest = all.as_slice();
    lengths.map(|length| {
        let (part, after) = rest.split_at(length);
        rest = after;
        part.to_vec()
    })
}
