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
/// `classes` are the names of the classes. `rows` are the training rows: the label of each, as an
/// index into `classes`, and its weight, which is 1 for rows without weights.
///
/// `"balanced"` is `n / (k n_c)`, as in scikit-learn's `compute_class_weight`
/// (`sklearn/utils/class_weight.py`): n is the sum of the rows' weights, and `n_c` that of the rows
/// of a class. So all classes weigh the same.
///
/// ```
/// # use chainrule_core::{ClassWeights, ModelKind, Settings, TrainConfig};
/// let mut settings = Settings::of(ModelKind::Softmax);
/// settings.objective.class_weights = Some(ClassWeights::Balanced);
/// let config = TrainConfig::try_from(settings)?;
/// let rows = [1, 1, 0, 1].map(|label| (label, 1.0));
/// let weights = chainrule_solve::class_weights(&config, &["rare", "common"], rows)?;
/// assert_eq!(weights, Some(vec![2.0, 2.0 / 3.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the number of weights is not the number of classes, if a named class does not exist, or if a
/// class to be balanced has no rows with a weight.
///
/// # Panics
/// If a label is not below k.
pub fn class_weights(
    config: &TrainConfig,
    classes: &[impl ToString],
    rows: impl IntoIterator<Item = (u16, f64)>,
) -> Result<Option<Vec<f64>>, TrainError> {
    let Some(setting) = &config.objective().class_weights else { return Ok(None) };
    let k = classes.len();
    let weights = match setting {
        ClassWeights::Balanced => {
            // Without weights the sums are exact.
            let mut sums = vec![0.0; k];
            rows.into_iter().for_each(|(label, weight)| sums[usize::from(label)] += weight);
            if let Some(empty) = sums.iter().position(|&sum| sum == 0.0) {
                return Err(TrainError::EmptyClass { class: classes[empty].to_string() });
            }
            let total: f64 = sums.iter().sum();
            sums.iter().map(|sum| total / (k as f64 * sum)).collect()
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
