//! A trained linear classifier in the files of other tools.
//!
//! A [`Portable`] is a model with all that one needs to ask it: its classes, and what becomes of a
//! row before it meets the weights. It can be written as
//! - [`Format::Safetensors`]: what PyTorch's `nn.Linear` loads
//! - [`Format::Npz`]: NumPy's arrays, by scikit-learn's names
//! - [`Format::Onnx`]: a whole model, from raw rows to probabilities, for onnxruntime
//! - [`Format::Json`]: everything, for whatever reads JSON
//!
//! and [`Weights`] come back out of safetensors and npz files, whoever wrote them, and out of our
//! own JSON; with [`Hints`] for what the file does not say, they make a [`Model`]. The same model
//! gives the same bytes. No file, no console, no Burn.

mod import;
mod npy;
mod pickle;
mod weights;

pub use import::{Hints, ImportError, Model, TrainedOn};
pub use weights::{Layout, WeightHints, Weights};

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use chainrule_core::{DataKind, LinkKind, Parameters, Precision, Preprocessing, Schema};
use serde::{Deserialize, Serialize};

/// A trained model with all that one needs to ask it.
#[derive(Clone, Debug, PartialEq)]
pub struct Portable {
    /// Logistic or softmax regression, or one against the rest.
    pub link: LinkKind,
    /// What the data calls the classes, in the order of the probabilities; two for the logistic
    /// model, whose z speaks for the second.
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
#[non_exhaustive]
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

/// What a format is, in a file of its own.
struct Spec {
    /// As a person writes it.
    name: &'static str,
    /// What files end with, the usual one first.
    endings: &'static [&'static str],
    /// Whose it is and what it holds, in a line.
    about: &'static str,
    /// Whether a file begins like one.
    is_one: fn(&[u8]) -> bool,
    write: fn(&Portable) -> Vec<u8>,
    /// Where it is read, too; [`Layout`] is what the file may not say.
    read: Option<Read>,
}

type Read = fn(&[u8], Option<Layout>) -> Result<Weights, String>;

/// The list of formats: one more is a file with its `SPEC`, and a line here.
macro_rules! formats {
    ($($(#[$doc:meta])+ $name:ident: $module:ident,)+) => {
        $(mod $module;)+

        /// A format of a file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Format {
            $($(#[$doc])+ $name,)+
        }

        impl Format {
            /// All there are.
            pub const ALL: [Self; [$(Self::$name),+].len()] = [$(Self::$name),+];

            fn spec(self) -> &'static Spec {
                match self {
                    $(Self::$name => &$module::SPEC,)+
                }
            }
        }
    };
}

formats! {
    /// `weight` `[k, d]` and `bias` `[k]`, what `torch.nn.Linear(d, k).load_state_dict` takes.
    Safetensors: pytorch,
    /// `coef` `[k, d]` and `intercept` `[k]`, of two classes one row; `classes` `[k]`, `mean` and
    /// `scale` `[d]`.
    Npz: npz,
    /// From `input` `[n, d]`, raw rows, to `probabilities` `[n, k]` and `label` `[n]`.
    Onnx: onnx,
    /// An object with all of it.
    Json: json,
}

impl Format {
    /// What it is called, as a person writes it.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Whose it is and what it holds, in a line.
    pub fn about(self) -> &'static str {
        self.spec().about
    }

    /// That of a file's name, by its ending in capitals or not.
    ///
    /// # Errors
    /// Where no format has it: what the endings are.
    pub fn of_file(file: &Path) -> Result<Self, UnknownEnding> {
        let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        let found = Self::ALL.into_iter().find(|format| format.spec().endings.contains(&ending.as_str()));
        found.ok_or(UnknownEnding)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A file's name ends as no [`Format`]'s does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEnding;

impl fmt::Display for UnknownEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endings = Format::ALL.iter().flat_map(|format| format.spec().endings);
        let endings: Vec<String> = endings.map(|ending| format!(".{ending}")).collect();
        write!(f, "the format is known by the ending: {}", one_of(&endings))
    }
}

/// Names, of which one is meant.
fn one_of(names: &[impl AsRef<str>]) -> String {
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let before = match names.len() - i {
            _ if i == 0 => "",
            1 => " or ",
            _ => ", ",
        };
        text += before;
        text += name.as_ref();
    }
    text
}

impl std::error::Error for UnknownEnding {}

impl Portable {
    /// The bytes of a file.
    pub fn to_bytes(&self, format: Format) -> Vec<u8> {
        (format.spec().write)(self)
    }

    /// Features, d.
    fn n_features(&self) -> usize {
        self.parameters.n_features
    }

    /// `[k, d]`, the feature running fastest, as most tools have it.
    fn weight_by_class(&self) -> Vec<f64> {
        (0..self.parameters.columns).flat_map(|class| self.parameters.of_class(class)).collect()
    }

    /// `[d]` each: a feature is `(raw - mean) / scale`, as scikit-learn's `StandardScaler` names
    /// them. Pixels have 127.5 for both.
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
