use chainrule_core::{ClassWeights, TrainConfig, one_line};

use crate::TrainError;

/// What k classes are called, in the order of their labels, as far as a config tells: what the data
/// calls them, only one
/// with data.classes knows.
pub fn class_names(config: &TrainConfig, k: usize) -> Vec<String> {
    match config.classes() {
        Some(classes) => classes.iter().map(ToString::to_string).collect(),
        None => (0..k).map(|label| format!("number {label} (from 0)")).collect(),
    }
}

/// By how much a row of each class counts, `[k]`, in the order of the model's outputs, where the
/// config says that rows do not all count 1. `classes` are their names, and `labels` the training
/// rows', positions of these.
///
/// `"balanced"` is `n / (k n_c)`, as scikit-learn's `compute_class_weight` has it
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
/// Where there are not as many weights as classes, one is of a class that is not there, or a class
/// has no row to balance it by.
///
/// # Panics
/// Where a label is no class.
pub fn class_weights(
    config: &TrainConfig,
    classes: &[impl ToString],
    labels: &[u8],
) -> Result<Option<Vec<f64>>, TrainError> {
    let Some(asked) = &config.objective().class_weights else { return Ok(None) };
    let k = classes.len();
    let weights = match asked {
        ClassWeights::Balanced => {
            let mut rows = vec![0usize; k];
            labels.iter().for_each(|&label| rows[usize::from(label)] += 1);
            if let Some(empty) = rows.iter().position(|&rows| rows == 0) {
                return Err(TrainError::EmptyClass { class: classes[empty].to_string() });
            }
            rows.iter().map(|&rows| labels.len() as f64 / (k as f64 * rows as f64)).collect()
        }
        ClassWeights::Each(weights) if weights.len() != k => {
            let classes = classes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(TrainError::ClassWeights { found: weights.len(), k, classes });
        }
        ClassWeights::Each(weights) => weights.clone(),
        ClassWeights::Named(weights) => {
            let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
            if let Some(class) = asked.unknown(&classes) {
                return Err(TrainError::UnknownClass { class: one_line(class), classes: classes.join(", ") });
            }
            classes.iter().map(|class| weights.get(class).copied().unwrap_or(1.0)).collect()
        }
    };
    Ok(Some(weights))
}
