//! Predictions for rows as a program has them: structs, or maps of column names to values.

use chainrule_core::{FeatureLayout, Recipe};
use chainrule_data::{EncodedRow, RawRowEncoder, RawRowError, Unseen};
use chainrule_kernels::LogitMap;
use serde::Serialize;

use crate::inference::{Prediction, Predictor, RowError};

/// Predicts raw rows: structs or maps that have a value for each column of a table, which may be a
/// number, a text, or missing. [`RawRowEncoder`] describes the values.
///
/// A row has the same bits as in a file with the same values. Any number of threads may use it at
/// once.
///
/// ```
/// use chainrule_core::{LinkKind, Parameters, Preprocessing, Recipe};
/// use chainrule_solve::{Predictor, RawRowPredictor};
///
/// #[derive(serde::Serialize)]
/// struct Flower {
///     width: f64,
///     length: f64,
/// }
///
/// let (weight, bias) = (vec![1.5, -0.5], vec![0.0]);
/// let parameters = Parameters { n_features: 2, columns: 1, weight, bias };
/// let predictor = Predictor::new(LinkKind::Logistic, parameters, Preprocessing::Raw)?;
/// let recipe = Recipe::of_numbers(&["length".to_owned(), "width".to_owned()]);
/// let predictor = RawRowPredictor::new(predictor, &recipe)?;
/// assert_eq!(predictor.predict(&Flower { width: 0.0, length: 1.0 })?.prediction.class, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RawRowPredictor {
    predictor: Predictor,
    encoder: RawRowEncoder,
    /// `None` if the features are pixels.
    map: Option<LogitMap>,
}

/// The prediction for a raw row.
#[derive(Clone, Debug, Default)]
pub struct RawRowPrediction {
    /// The class and the probabilities.
    pub prediction: Prediction,
    /// The encoded row, whose memory is used again.
    encoded: EncodedRow,
    /// The features of the row, if they are pixels.
    features: Vec<f64>,
}

impl RawRowPrediction {
    /// Returns the values that no training row has: new levels, and missing values in columns that
    /// were complete. They are predicted all the same.
    pub fn unseen(&self) -> &[Unseen] {
        &self.encoded.unseen
    }
}

impl RawRowPredictor {
    /// Creates a predictor of rows whose features a recipe makes.
    ///
    /// # Errors
    /// If the recipe makes another number of features, or if the targets are numbers.
    pub fn new(predictor: Predictor, recipe: &Recipe) -> Result<Self, RowError> {
        let (found, expected) = (recipe.n_features(), predictor.n_features());
        if predictor.n_classes() == 0 {
            return Err(RowError::NoClasses);
        }
        if found != expected {
            return Err(RowError::Length { found, expected });
        }
        let encoder = RawRowEncoder::new(recipe);
        let map = predictor.map_of(encoder.layout());
        Ok(Self { predictor, encoder, map })
    }

    /// Predicts a row.
    ///
    /// # Errors
    /// Returns what is wrong with the row: it is no struct and no map, it lacks a column, or a
    /// value does not fit its column.
    pub fn predict<R: Serialize + ?Sized>(&self, row: &R) -> Result<RawRowPrediction, RawRowError> {
        let mut prediction = RawRowPrediction::default();
        self.predict_into(row, &mut prediction)?;
        Ok(prediction)
    }

    /// Predicts a row like [`predict`](Self::predict), and reuses the memory of `prediction`: of
    /// numbers, no call after the first allocates.
    ///
    /// # Errors
    /// As [`predict`](Self::predict). The prediction is then that of no row.
    pub fn predict_into<R: Serialize + ?Sized>(
        &self,
        row: &R,
        prediction: &mut RawRowPrediction,
    ) -> Result<(), RawRowError> {
        let RawRowPrediction { prediction, encoded, features } = prediction;
        self.encoder.encode(row, encoded)?;
        match &self.map {
            Some(map) => {
                // The encoder has checked the range of the numbers.
                self.predictor.predict_with(prediction, |z| {
                    map.row(&encoded.numbers, &encoded.codes, z);
                    encoded.sparse.rows().for_each(|(positions, values)| map.add_sparse(positions, values, z));
                    Ok(())
                })
            }
            None => {
                expand(self.encoder.layout(), encoded, features);
                self.predictor.predict_into(features, prediction).map_err(|error| match error {
                    RowError::Number { position, value, expected } => {
                        self.encoder.feature_error(position, format!("{value:?}; the model takes {expected}"))
                    }
                    other => RawRowError::Serialize(other.to_string()),
                })
            }
        }
    }

    /// Predicts several rows. A row that cannot be predicted is an error in its place, and the
    /// others are predicted.
    pub fn predict_rows<R: Serialize>(
        &self,
        rows: impl IntoIterator<Item = R>,
    ) -> Vec<Result<RawRowPrediction, RawRowError>> {
        rows.into_iter().map(|row| self.predict(&row)).collect()
    }

    /// Returns the encoder of the rows.
    pub fn encoder(&self) -> &RawRowEncoder {
        &self.encoder
    }
}

/// Writes the features `[d]` of a row.
fn expand(layout: &FeatureLayout, encoded: &EncodedRow, features: &mut Vec<f64>) {
    features.clear();
    features.resize(layout.n_features, 0.0);
    for (&feature, &number) in layout.numbers.iter().zip(&encoded.numbers) {
        features[feature] = number;
    }
    for (levels, &code) in layout.categories.iter().zip(&encoded.codes) {
        levels.get(code as usize).into_iter().for_each(|&feature| features[feature] = 1.0);
    }
    for (positions, values) in encoded.sparse.rows() {
        positions.iter().zip(values).for_each(|(&position, &value)| features[layout.sparse[position as usize]] = value);
    }
}
