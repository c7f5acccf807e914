use chainrule_core::{ClassWeights, TrainConfig, one_line};

use crate::TrainError;

/// Returns the names of k classes for messages, in the order of their labels. Without
/// `data.classes` the config has no names, and the classes are numbered.
pub fn class_names(config: &TrainConfig, k: usize) -> Vec<String> {
    match config.classes_by_label() {
        Some(classes) => classes.iter().map(ToString::to_string).collect(),
        None => (0..k).map(|label| format!("number {label} (from 0)")).collect(),
    }
}

/// Returns the weight of each class's rows, `[k]`, in the order of the model's outputs. Returns
/// `None` if the config has no class weights.
///
/// `classes` are the names of the classes. `labels` are the labels of the training rows, as indices
/// into `classes`.
///
/// `"balanced"` is `n / (k n_c)`, as in scikit-learn's `compute_class_weight`
/// (`sklearn/utils/class_weight.py`).
///
/// ```
/// # use chainrule_core::{ClassWeights, ModelKind, Settings, TrainConfig};
/// let mut settings = Settings::of(ModelKind::Softmax);
/// settings.objective.class_weights = Some(ClassWeights::Balanced);
/// let config = TrainConfig::try_from(settings)?;
/// let weights = chainrule_solve::class_weights(&config, &["rare", "common"], &[1, 1, 0, 1])?;
/// assert_eq!(weights, Some(vec![2.0, 2.0 / 3.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the number of weights is not the number of classes, if a named class does not exist, or if a
/// class to be balanced has no rows.
///
/// # Panics
/// If a label is not below k.
pub fn class_weights(
    config: &TrainConfig,
    classes: &[impl ToString],
    labels: &[u16],
) -> Result<Option<Vec<f64>>, TrainError> {
    let Some(setting) = &config.objective().class_weights else { return Ok(None) };
    let k = classes.len();
    let weights = match setting {
        ClassWeights::Balanced => {
            let mut row_counts = vec![0usize; k];
            labels.iter().for_each(|&label| row_counts[usize::from(label)] += 1);
            if let Some(empty) = row_counts.iter().position(|&count| count == 0) {
                return Err(TrainError::EmptyClass { class: classes[empty].to_string() });
            }
            row_counts.iter().map(|&count| labels.len() as f64 / (k as f64 * count as f64)).collect()
        }
        ClassWeights::PerClass(weights) if weights.len() != k => {
            let classes = classes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(TrainError::ClassWeights { found: weights.len(), k, classes });
        }
        ClassWeights::PerClass(weights) => weights.clone(),
        ClassWeights::Named(weights) => {
            let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
            if let Some(class) = setting.unknown_name(&classes) {
                return Err(TrainError::UnknownClass { class: one_line(class), classes: classes.join(", ") });
            }
            classes.iter().map(|class| weights.get(class).copied().unwrap_or(1.0)).collect()
        }
    };
    Ok(Some(weights))
}
