use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Link, Logistic, ModelKind, OneVsRest, Softmax};

/// The built-in links, as files name them. A trained model has the link of its [`ModelKind`].
/// Imported models may have any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// Softmax regression: `p = softmax(z)`.
    Softmax,
    /// Binary logistic regression, with one logit for two classes:
    /// `p = (1 - sigmoid(z), sigmoid(z))`.
    Logistic,
    /// One-vs-rest, one logistic regression for each class:
    /// `p_k = sigmoid(z_k) / sum_l sigmoid(z_l)`. Only imported models have it.
    OneVsRest,
}

impl LinkKind {
    /// The number of columns of W for this number of classes.
    pub fn columns(self, n_classes: usize) -> usize {
        match self {
            Self::Logistic => 1,
            Self::Softmax | Self::OneVsRest => n_classes,
        }
    }

    /// The number of classes for this number of columns of W.
    pub fn classes(self, columns: usize) -> usize {
        match self {
            Self::Logistic => 2,
            Self::Softmax | Self::OneVsRest => columns,
        }
    }

    /// Creates the link for this number of columns of W.
    pub fn link(self, columns: usize) -> Arc<dyn Link> {
        match self {
            Self::Softmax => Arc::new(Softmax { n_classes: columns }),
            Self::Logistic => Arc::new(Logistic),
            Self::OneVsRest => Arc::new(OneVsRest { n_classes: columns }),
        }
    }

    /// The trainable model with this link, if there is one.
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
    /// Creates the link for this number of classes.
    pub fn link(self, n_classes: usize) -> Arc<dyn Link> {
        LinkKind::from(self).link(n_classes)
    }
}
