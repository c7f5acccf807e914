use serde::{Deserialize, Serialize};

use crate::{DataKind, Precision};

/// What a model's features are made of: of each number of a row, as the data has it, a straight
/// line's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preprocessing {
    /// A byte `p` becomes `p / 127.5 - 1`: 0..=255 becomes -1..=1, as the report has it.
    Pixels,
    /// A number is its feature.
    Raw,
    /// Mean 0 and variance 1 over the training rows.
    Standardized(Standardization),
}

/// `x_j = (raw_j - mean_j) / scale_j`, as scikit-learn's `StandardScaler` does it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standardization {
    /// `[d]`, over the training rows.
    pub mean: Vec<f64>,
    /// `[d]`, the standard deviation of the training rows (divided by n, not n - 1); 1 for a
    /// feature that is the same in all of them.
    pub scale: Vec<f64>,
}

/// The largest number, up to its sign, that a table may have: its square is far from the end of
/// f64, and itself of f32.
pub const LARGEST_NUMBER: f64 = 1e30;

impl Preprocessing {
    /// Of these data where nothing is standardised.
    pub fn of(kind: DataKind) -> Self {
        match kind {
            DataKind::Images | DataKind::Pictures => Self::Pixels,
            DataKind::Table => Self::Raw,
        }
    }

    /// The feature that feature j's number becomes.
    ///
    /// # Panics
    /// Where there is no feature j.
    pub fn value(&self, j: usize, raw: f64) -> f64 {
        match self {
            Self::Pixels => raw / 127.5 - 1.0,
            Self::Raw => raw,
            Self::Standardized(by) => (raw - by.mean[j]) / by.scale[j],
        }
    }

    /// Puts the features `[d]` that a row's numbers become behind others, rounded to a precision.
    ///
    /// # Panics
    /// Where there are statistics of fewer features.
    pub fn features(&self, raw: &[f64], precision: Precision, features: &mut Vec<f64>) {
        match precision {
            Precision::F32 => self.rounded(raw, |x| f64::from(x as f32), features),
            Precision::F64 => self.rounded(raw, |x| x, features),
        }
    }

    fn rounded(&self, raw: &[f64], round: impl Fn(f64) -> f64, features: &mut Vec<f64>) {
        match self {
            Self::Pixels => features.extend(raw.iter().map(|raw| round(raw / 127.5 - 1.0))),
            Self::Raw => features.extend(raw.iter().map(|&raw| round(raw))),
            Self::Standardized(by) => {
                assert!(by.n_features() >= raw.len(), "statistics of each feature");
                let statistics = by.mean.iter().zip(&by.scale);
                features.extend(raw.iter().zip(statistics).map(|(raw, (mean, scale))| round((raw - mean) / scale)));
            }
        }
    }

    /// `(scale_j, offset_j)` of `x_j = scale_j raw_j + offset_j`.
    ///
    /// # Panics
    /// Where there is no feature j.
    pub fn affine(&self, j: usize) -> (f64, f64) {
        match self {
            Self::Pixels => (2.0 / 255.0, -1.0),
            Self::Raw => (1.0, 0.0),
            Self::Standardized(by) => (1.0 / by.scale[j], -by.mean[j] / by.scale[j]),
        }
    }

    /// No feature j is larger than this, up to its sign.
    ///
    /// # Panics
    /// Where there is no feature j.
    pub fn largest(&self, j: usize) -> f64 {
        match self {
            Self::Pixels => 1.0,
            Self::Raw => LARGEST_NUMBER,
            Self::Standardized(by) => (LARGEST_NUMBER + by.mean[j].abs()) / by.scale[j],
        }
    }

    /// The statistics, where there are any.
    pub fn standardization(&self) -> Option<&Standardization> {
        match self {
            Self::Standardized(by) => Some(by),
            Self::Pixels | Self::Raw => None,
        }
    }
}

impl Standardization {
    /// Features, d.
    pub fn n_features(&self) -> usize {
        self.mean.len()
    }
}
