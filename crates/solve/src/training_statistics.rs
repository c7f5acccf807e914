use chainrule_core::{Preprocessing, Schema, TrainConfig};
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

impl TrainingStatistics {
    /// Computes the statistics of the training rows.
    ///
    /// # Errors
    /// As [`class_weights()`], and if the rows can no longer be read.
    pub fn of(config: &TrainConfig, rows: &Rows, schema: &Schema) -> Result<Self, TrainError> {
        let preprocessing = match config.data().standardize {
            true => Preprocessing::Standardized(rows.moments()?),
            false => Preprocessing::unstandardized(schema.kind),
        };
        Ok(Self { preprocessing, class_weights: class_weights(config, &schema.classes, &rows.labels())? })
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
