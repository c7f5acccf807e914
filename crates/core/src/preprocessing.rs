use serde::{Deserialize, Serialize};

use crate::{DataKind, Precision};

/// The map from stored numbers to features. It is affine for each feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preprocessing {
    /// Maps a byte `p` to `p / 127.5 - 1`: 0..=255 becomes -1..=1, as in the report.
    Pixels,
    /// Leaves numbers unchanged.
    Raw,
    /// Scales each feature to mean 0 and variance 1 over the training rows.
    Standardized(Standardization),
}

/// `x_j = (raw_j - mean_j) / scale_j`, as in scikit-learn's `StandardScaler`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standardization {
    /// The mean over the training rows, `[d]`.
    pub mean: Vec<f64>,
    /// The standard deviation over the training rows (divided by n, not n - 1), `[d]`. It is 1 for
    /// a constant feature.
    pub scale: Vec<f64>,
}

/// The largest absolute value allowed in a table. Its square is well within the range of f64, and
/// the value itself is within the range of f32.
pub const MAX_ABS_VALUE: f64 = 1e30;

impl Preprocessing {
    /// The map for data of this kind without standardisation.
    pub fn unstandardized(kind: DataKind) -> Self {
        match kind {
            DataKind::Images | DataKind::Pictures => Self::Pixels,
            DataKind::Table => Self::Raw,
        }
    }

    /// Returns the feature for the stored number `raw` of column j.
    ///
    /// # Panics
    /// If there is no feature j.
    pub fn value(&self, j: usize, raw: f64) -> f64 {
        match self {
            Self::Pixels => raw / 127.5 - 1.0,
            Self::Raw => raw,
            Self::Standardized(Standardization { mean, scale }) => (raw - mean[j]) / scale[j],
        }
    }

    /// Appends the features `[d]` of a row to `features`, rounded to `precision`.
    ///
    /// # Panics
    /// If there are statistics for fewer features than the row has.
    pub fn append_features(&self, raw: &[f64], precision: Precision, features: &mut Vec<f64>) {
        match precision {
            Precision::F32 => self.extend_rounded(raw, |x| f64::from(x as f32), features),
            Precision::F64 => self.extend_rounded(raw, |x| x, features),
        }
    }

    fn extend_rounded(&self, raw: &[f64], round: impl Fn(f64) -> f64, features: &mut Vec<f64>) {
        match self {
            Self::Pixels => features.extend(raw.iter().map(|raw| round(raw / 127.5 - 1.0))),
            Self::Raw => features.extend(raw.iter().map(|&raw| round(raw))),
            Self::Standardized(Standardization { mean, scale }) => {
                assert!(mean.len() >= raw.len(), "statistics of each feature");
                let statistics = mean.iter().zip(scale);
                features.extend(raw.iter().zip(statistics).map(|(raw, (mean, scale))| round((raw - mean) / scale)));
            }
        }
    }

    /// Returns `(scale_j, offset_j)` of `x_j = scale_j raw_j + offset_j`.
    ///
    /// # Panics
    /// If there is no feature j.
    pub fn affine(&self, j: usize) -> (f64, f64) {
        match self {
            Self::Pixels => (2.0 / 255.0, -1.0),
            Self::Raw => (1.0, 0.0),
            Self::Standardized(Standardization { mean, scale }) => (1.0 / scale[j], -mean[j] / scale[j]),
        }
    }

    /// An upper bound on the absolute value of feature j.
    ///
    /// # Panics
    /// If there is no feature j.
    pub fn max_abs(&self, j: usize) -> f64 {
        match self {
            Self::Pixels => 1.0,
            Self::Raw => MAX_ABS_VALUE,
            Self::Standardized(Standardization { mean, scale }) => (MAX_ABS_VALUE + mean[j].abs()) / scale[j],
        }
    }

    /// `(scale, offset)` if they are the same for all features.
    pub fn shared_affine(&self) -> Option<(f64, f64)> {
        match self {
            Self::Pixels | Self::Raw => Some(self.affine(0)),
            Self::Standardized(_) => None,
        }
    }

    /// The statistics, if the features are standardised.
    pub fn standardization(&self) -> Option<&Standardization> {
        match self {
            Self::Standardized(standardization) => Some(standardization),
            Self::Pixels | Self::Raw => None,
        }
    }
}

impl Standardization {
    /// The number of features, d.
    pub fn n_features(&self) -> usize {
        self.mean.len()
    }
}
