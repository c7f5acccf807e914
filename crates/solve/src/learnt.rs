use chainrule_core::{Preprocessing, Schema, TrainConfig};
use chainrule_data::Rows;

use crate::{TrainError, class_weights};

/// What is found on all training rows before the first step.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingStatistics {
    /// What the features are made by.
    pub preprocessing: Preprocessing,
    /// By how much the rows of each class count, where not all count 1.
    pub class_weights: Option<Vec<f64>>,
}

impl TrainingStatistics {
    /// On these rows, which are of this schema.
    ///
    /// # Errors
    /// As [`class_weights()`], and where the rows cannot be read any more.
    pub fn of(config: &TrainConfig, rows: &Rows, schema: &Schema) -> Result<Self, TrainError> {
        let preprocessing = match config.data().standardize {
            true => Preprocessing::Standardized(rows.moments()?),
            false => Preprocessing::of(schema.kind),
        };
        Ok(Self { preprocessing, class_weights: class_weights(config, &schema.classes, &rows.labels())? })
    }

    /// The config as it is trained by: with the weight of each class.
    pub fn with_statistics(&self, config: &TrainConfig) -> TrainConfig {
        let config = config.clone();
        match &self.class_weights {
            Some(weights) => config.with_class_weights(weights.clone()),
            None => config,
        }
    }
}
