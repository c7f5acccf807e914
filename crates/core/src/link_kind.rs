use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Link, Logistic, ModelKind, OneVsRest, Softmax};

/// The name of a [`Link`] of this crate, as files have it: of a model that was trained here its
/// [`ModelKind`]'s, of an imported one perhaps another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// Softmax regression: `p = softmax(z)`.
    Softmax,
    /// Binary logistic regression, one z for two classes: `p = (1 - sigmoid(z), sigmoid(z))`.
    Logistic,
    /// A logistic regression for each class against the rest: `p_k = sigmoid(z_k) / sum_l
    /// sigmoid(z_l)`. None is trained here so.
    OneVsRest,
}

impl LinkKind {
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

    /// The link itself, of a model with so many columns of weights.
    pub fn link(self, columns: usize) -> Arc<dyn Link> {
        match self {
            Self::Softmax => Arc::new(Softmax { n_classes: columns }),
            Self::Logistic => Arc::new(Logistic),
            Self::OneVsRest => Arc::new(OneVsRest { n_classes: columns }),
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

impl From<ModelKind> for LinkKind {
    fn from(kind: ModelKind) -> Self {
        match kind {
            ModelKind::Softmax => Self::Softmax,
            ModelKind::Logistic => Self::Logistic,
        }
    }
}

impl ModelKind {
    /// What makes it, where the data has so many classes.
    pub fn link(self, n_classes: usize) -> Arc<dyn Link> {
        LinkKind::from(self).link(n_classes)
    }
}
