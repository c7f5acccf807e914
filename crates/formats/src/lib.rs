//! A trained linear classifier in the files of other tools.
//!
//! A [`Portable`] is a model with all that one needs to ask it: its classes, and what becomes of a row before it meets the weights. It can be
//! written as
//! - [`Format::Safetensors`]: what PyTorch's `nn.Linear` loads
//! - [`Format::Npz`]: NumPy's arrays, by scikit-learn's names
//! - [`Format::Onnx`]: a whole model, from raw rows to probabilities, for onnxruntime
//! - [`Format::Json`]: everything, for whatever reads JSON
//!
//! and [`Weights`] come back out of safetensors and npz files, whoever wrote them, and out of our
//! own JSON; with [`Hints`] for what the file does not say, they make a [`Model`]. The same model
//! gives the same bytes. No file, no console, no Burn.

mod import;
mod json;
mod npy;
mod npz;
mod onnx;
mod pickle;
mod pytorch;
mod weights;

pub use import::{Hints, ImportError, Model, TrainedOn};
use weights::LAYOUT_SAYS;
pub use weights::{Known, Layout, Weights};

use std::collections::BTreeMap;

use chainrule_core::{DataKind, LinkKind, Parameters, Precision, Preprocessing, Schema};
use serde::{Deserialize, Serialize};

/// A trained model with all that one needs to ask it.
#[derive(Clone, Debug, PartialEq)]
pub struct Portable {
    /// Logistic or softmax regression, or one against the rest.
    pub link: LinkKind,
    /// What the data calls the classes, in the order of the probabilities; two for the logistic model, whose z speaks for the second.
    pub classes: Vec<String>,
    /// The weights, `[d, k]`, and the bias.
    pub parameters: Parameters,
    /// The float type of the training, in which the weights are written.
    pub precision: Precision,
    /// What is done to a row.
    pub preprocessing: Preprocessing,
    /// What a row is.
    pub row: Row,
    /// Where the model came from: what one would write on its label.
    pub about: BTreeMap<String, String>,
}

/// What a row is, before anything is done to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// Grey levels from 0, the ground, to 255, line by line: of so many lines and columns.
    Image {
        /// Lines.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// The same of a picture of any kind, made grey and scaled as a whole.
    Picture {
        /// Lines.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Numbers, by these names.
    Numbers {
        /// Of each feature; none where nobody named them.
        names: Vec<String>,
    },
}

impl From<&Schema> for Row {
    fn from(schema: &Schema) -> Self {
        match (schema.kind, schema.image_size) {
            (DataKind::Table, _) => Self::Numbers { names: schema.features.clone() },
            (DataKind::Images, [height, width]) => Self::Image { height, width },
            (DataKind::Pictures, [height, width]) => Self::Picture { height, width },
        }
    }
}

/// A format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `weight` `[k, d]` and `bias` `[k]`, what `torch.nn.Linear(d, k).load_state_dict` takes.
    Safetensors,
    /// `coef` `[k, d]` and `intercept` `[k]`, of two classes one row; `classes` `[k]`, `mean` and `scale` `[d]`.
    Npz,
    /// From `input` `[n, d]`, raw rows, to `probabilities` `[n, k]` and `label` `[n]`.
    Onnx,
    /// An object with all of it.
    Json,
}

impl Portable {
    /// The bytes of a file.
    pub fn to_bytes(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Safetensors => pytorch::write(self),
            Format::Npz => npz::write(self),
            Format::Onnx => onnx::write(self),
            Format::Json => json::write(self),
        }
    }

    /// Features, d.
    fn n_features(&self) -> usize {
        self.parameters.n_features
    }

    /// `[k, d]`, the feature running fastest, as most tools have it.
    fn weight_by_class(&self) -> Vec<f64> {
        (0..self.parameters.columns).flat_map(|class| self.parameters.of_class(class)).collect()
    }

    /// `[d]` each: a feature is `(raw - mean) / scale`, as scikit-learn's `StandardScaler` names them. Pixels have 127.5 for both.
    fn mean_and_scale(&self) -> [Vec<f64>; 2] {
        let d = self.n_features();
        match &self.preprocessing {
            Preprocessing::Pixels => [vec![127.5; d], vec![127.5; d]],
            Preprocessing::Raw => [vec![0.0; d], vec![1.0; d]],
            Preprocessing::Standardized(by) => [by.mean.clone(), by.scale.clone()],
        }
    }

    /// The classes as integers, where all of them are.
    fn integer_classes(&self) -> Option<Vec<i64>> {
        // Written again they must be the same: 007 is a name.
        self.classes.iter().map(|class| class.parse().ok().filter(|label: &i64| label.to_string() == *class)).collect()
    }

    /// How probabilities are computed, for who reads the file.
    fn formula(&self) -> &'static str {
        match self.link {
            LinkKind::Softmax => "x = (raw - mean) / scale; z = weight x + bias; p = softmax(z)",
            LinkKind::Logistic => "x = (raw - mean) / scale; z = weight x + bias; p = [1 - sigmoid(z), sigmoid(z)]",
            LinkKind::OneVsRest => "x = (raw - mean) / scale; z = weight x + bias; p = sigmoid(z) / sum(sigmoid(z))",
        }
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
