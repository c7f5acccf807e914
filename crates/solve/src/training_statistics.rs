use chainrule_core::{Preprocessing, Recipe, Schema, Standardization, TrainConfig};
use chainrule_data::Rows;

use crate::{TrainError, class_weights};

/// Statistics of all training rows, computed before the first step.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingStatistics {
    /// The map from stored numbers to features.
    pub preprocessing: Preprocessing,
    /// The weight of each class's rows, if there are class weights.
    pub class_weights: Option<Vec<f64>>,
}

/// Returns the moments of the rows. Features that are 0 or 1 by their nature keep these values.
///
/// Sparse features are not centred, so that a feature that a row does not list stays 0, and they
/// are divided only if they are larger than 1: by their largest absolute value. So words, tf-idf
/// and features that were scaled already stay as they are, and counts do not outweigh them.
fn standardization(rows: &Rows, schema: &Schema) -> Result<Standardization, TrainError> {
    if let Some(largest) = rows.max_abs_of_sparse() {
        let scale = largest.iter().map(|largest| largest.max(1.0)).collect();
        return Ok(Standardization { mean: vec![0.0; largest.len()], scale });
    }
    let Standardization { mut mean, mut scale } = rows.moments()?;
    let are_indicators = schema.recipe.as_ref().map(Recipe::are_indicators).unwrap_or_default();
    for j in (0..are_indicators.len()).filter(|&j| are_indicators[j]) {
        (mean[j], scale[j]) = (0.0, 1.0);
    }
    Ok(Standardization { mean, scale })
}

/// Fails if all rows of a class have the weight 0. Nothing could be learnt about it.
fn check_row_weights(rows: &Rows, schema: &Schema) -> Result<(), TrainError> {
    if rows.weights()?.is_none() {
        return Ok(());
    }
    let mut has_weight = vec![false; schema.classes.len()];
    rows.weighted_labels()?.for_each(|(label, weight)| has_weight[usize::from(label)] |= weight > 0.0);
    match has_weight.iter().position(|has_weight| !has_weight) {
        Some(class) => Err(TrainError::WeightlessClass { class: schema.classes[class].to_string() }),
        None => Ok(()),
    }
}

impl TrainingStatistics {
    /// Computes the statistics of the training rows. The preprocessing does not depend on the
    /// weights of the rows.
    ///
    /// # Errors
    /// As [`class_weights()`], if all rows of a class have the weight 0, and if the rows can no
    /// longer be read.
    pub fn of(config: &TrainConfig, rows: &Rows, schema: &Schema) -> Result<Self, TrainError> {
        let preprocessing = match config.data().standardize {
            true => Preprocessing::Standardized(standardization(rows, schema)?),
            false => Preprocessing::unstandardized(schema.kind),
        };
        check_row_weights(rows, schema)?;
        Ok(Self { preprocessing, class_weights: class_weights(config, &schema.classes, rows.weighted_labels()?)? })
    }

    /// Returns the config with the computed class weights. Without class weights the config is
    /// unchanged.
    pub fn apply_to(&self, config: &TrainConfig) -> TrainConfig {
        let config = config.clone();
        match &self.class_weights {
            Some(weights) => config.with_class_weights(weights.clone()),
            None => config,
        }
    }
}
