use serde::{Deserialize, Serialize};

use crate::ModelKind;

/// How a linear model's logits become probabilities: of one trained here as its [`ModelKind`] says,
/// of an imported one perhaps otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// Softmax regression: `p = softmax(z)`.
    Softmax,
    /// Binary logistic regression, one z for two classes: `p = (1 - sigmoid(z), sigmoid(z))`.
    Logistic,
    /// A logistic regression for each class against the rest: `p_k = sigmoid(z_k) / sum_l
    /// sigmoid(z_l)`. None is trained here so.
    OneVsRest,
}

impl Link {
    /// Columns of weights, where the data has so many classes.
    pub fn columns(self, n_classes: usize) -> usize {
        match self {
            Self::Logistic => 1,
            Self::Softmax | Self::OneVsRest => n_classes,
        }
    }

    /// Classes of a model with so many columns of weights.
    pub fn classes(self, columns: usize) -> usize {
        match self {
            Self::Logistic => 2,
            Self::Softmax | Self::OneVsRest => columns,
        }
    }

    /// The model that is trained with it, where one is.
    pub fn model_kind(self) -> Option<ModelKind> {
        match self {
            Self::Softmax => Some(ModelKind::Softmax),
            Self::Logistic => Some(ModelKind::Logistic),
            Self::OneVsRest => None,
        }
    }
}

impl From<ModelKind> for Link {
    fn from(kind: ModelKind) -> Self {
        match kind {
            ModelKind::Softmax => Self::Softmax,
            ModelKind::Logistic => Self::Logistic,
        }
    }
}
