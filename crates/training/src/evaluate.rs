use burn::tensor::Tensor;
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
    let losses = model.cross_entropy(logits.clone(), examples.labels.clone());
    // The mean is taken on the host in f64: in f32 the order of summation, which differs from backend to backend, would
    // decide which of two nearly equal losses is the lower, and with it when early stopping stops.
    let losses = losses.try_into_vec_as::<f64>().expect("the device gives back what it computed");
    Metrics { loss: losses.iter().sum::<f64>() / losses.len() as f64, accuracy: accuracy_of(model, logits, examples) }
}

/// Accuracy alone.
pub(crate) fn accuracy<M: Classifier>(model: &M, examples: &Examples) -> f64 {
    accuracy_of(model, model.scores(examples.features.clone()), examples)
}

fn accuracy_of<M: Classifier>(model: &M, logits: Tensor<2>, examples: &Examples) -> f64 {
    let right = model.classify(logits).equal(examples.labels.clone()).int().sum().into_scalar::<i64>();
    right as f64 / examples.len() as f64
}
