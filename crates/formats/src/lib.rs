//! Exports trained linear classifiers to the file formats of other tools, and imports them.
//!
//! A [`Portable`] is a model with everything needed to predict: the weights, the classes and the
//! preprocessing. It can be written as
//! - [`Format::Safetensors`]: the layout of PyTorch's `nn.Linear`
//! - [`Format::Npz`]: NumPy arrays with scikit-learn's names
//! - [`Format::Onnx`]: a whole model for onnxruntime, from raw rows to probabilities
//! - [`Format::Json`]: everything, for any other program
//!
//! The type [`Weights`] reads safetensors and npz files from any program, and the JSON that this
//! crate writes. [`Hints`] add what the file does not contain and complete the [`Model`].
//!
//! The same model gives the same bytes. This crate opens no files, prints nothing and does not use
//! Burn.

mod import;
mod npy;
mod pickle;
mod weights;

pub use import::{Hints, ImportError, Model, TrainedOn};
pub use weights::{Layout, WeightHints, Weights};

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use chainrule_core::{DataKind, LinkKind, Parameters, Precision, Preprocessing, Recipe, Schema};
use serde::{Deserialize, Serialize};

/// A trained model with everything needed to predict.
#[derive(Clone, Debug, PartialEq)]
pub struct Portable {
    /// Logistic, softmax or one-vs-rest regression.
    pub link: LinkKind,
    /// The class names, in the order of the probabilities. The logistic model has two; its logit z
    /// is that of the second class.
    pub classes: Vec<String>,
    /// The weights `[d, k]` and the bias.
    pub parameters: Parameters,
    /// The float type of the training. The weights are written in this type.
    pub precision: Precision,
    /// The preprocessing of a row.
    pub preprocessing: Preprocessing,
    /// The kind of a row.
    pub row: Row,
    /// How the columns of a table become the numbers of a row. Without it, they are these numbers.
    pub recipe: Option<Recipe>,
    /// The origin of the model, as key and value strings.
    pub about: BTreeMap<String, String>,
}

/// The kind of a raw row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Row {
    /// Grey levels of an image, from 0 (background) to 255, line by line.
    Image {
        /// The number of lines.
        height: usize,
        /// The number of columns.
        width: usize,
    },
    /// Grey levels of any picture, converted to grey and scaled as a whole.
    Picture {
        /// The number of lines.
        height: usize,
        /// The number of columns.
        width: usize,
    },
    /// Numbers with names.
    Numbers {
        /// The name of each feature; empty if the features have no names.
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

/// The specification of a format. Each format is one file.
struct Spec {
    /// The name used on the command line.
    name: &'static str,
    /// The file extensions, the usual one first.
    extensions: &'static [&'static str],
    /// A one-line description of the target program and the content.
    about: &'static str,
    /// Returns whether a file begins like this format.
    sniff: fn(&[u8]) -> bool,
    /// Returns why a model cannot be written, as a sentence that says what to use instead.
    problem: fn(&Portable) -> Option<String>,
    write: fn(&Portable) -> Vec<u8>,
    /// The function that reads the format, if it can be read. [`Layout`] is used if the file does
    /// not specify one.
    read: Option<Read>,
}

type Read = fn(&[u8], Option<Layout>) -> Result<Weights, String>;

/// The list of formats. A new format is one file with its `SPEC` and one line here.
macro_rules! formats {
    ($($(#[$doc:meta])+ $name:ident: $module:ident,)+) => {
        $(mod $module;)+

        /// A file format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Format {
            $($(#[$doc])+ $name,)+
        }

        impl Format {
            /// All formats.
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
    /// `weight` `[k, d]` and `bias` `[k]`, as in `torch.nn.Linear(d, k).load_state_dict`.
    Safetensors: pytorch,
    /// `coef` `[k, d]` and `intercept` `[k]` (one row for two classes), `classes` `[k]`, `mean` and
    /// `scale` `[d]`.
    Npz: npz,
    /// A graph from raw rows to `probabilities` `[n, k]` and `label` `[n]`. Rows are one input
    /// `[n, d]`, or one `[n, 1]` for each column of a table with a recipe.
    Onnx: onnx,
    /// One JSON object with everything.
    Json: json,
}

impl Format {
    /// Returns the name used on the command line.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Returns a one-line description of the target program and the content.
    pub fn about(self) -> &'static str {
        self.spec().about
    }

    /// Returns the format for a file's extension, in upper or lower case.
    ///
    /// # Errors
    /// Fails if no format has this extension; the error lists the extensions.
    pub fn of_file(file: &Path) -> Result<Self, UnknownExtension> {
        let extension =
            file.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
        let found = Self::ALL.into_iter().find(|format| format.spec().extensions.contains(&extension.as_str()));
        found.ok_or(UnknownExtension)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No [`Format`] has the file's extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownExtension;

impl fmt::Display for UnknownExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extensions = Format::ALL.iter().flat_map(|format| format.spec().extensions);
        let extensions: Vec<String> = extensions.map(|extension| format!(".{extension}")).collect();
        write!(f, "the format is known by the ending: {}", one_of(&extensions))
    }
}

/// Joins names with commas and "or".
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

impl std::error::Error for UnknownExtension {}

impl Portable {
    /// Returns why the model cannot be written in `format`, if it cannot: a sentence that says what
    /// to use instead.
    pub fn problem(&self, format: Format) -> Option<String> {
        (format.spec().problem)(self)
    }

    /// Returns the content of a file in `format`. If there is a [`problem`](Self::problem), other
    /// programs cannot read it.
    pub fn to_bytes(&self, format: Format) -> Vec<u8> {
        (format.spec().write)(self)
    }

    /// Returns the number of features, d.
    fn n_features(&self) -> usize {
        self.parameters.n_features
    }

    /// Returns the weights as `[k, d]`, with the feature as the fastest index, as most tools store
    /// them.
    fn weight_rows(&self) -> Vec<f64> {
        (0..self.parameters.columns).flat_map(|class| self.parameters.weights_of_class(class)).collect()
    }

    /// Returns the mean and the scale, `[d]` each. A feature is `(raw - mean) / scale`, as in
    /// scikit-learn's `StandardScaler`. Pixels have 127.5 for both.
    fn mean_and_scale(&self) -> [Vec<f64>; 2] {
        let d = self.n_features();
        match &self.preprocessing {
            Preprocessing::Pixels => [vec![127.5; d], vec![127.5; d]],
            Preprocessing::Raw => [vec![0.0; d], vec![1.0; d]],
            Preprocessing::Standardized(by) => [by.mean.clone(), by.scale.clone()],
        }
    }

    /// Returns the classes as integers, if all of them are.
    fn integer_classes(&self) -> Option<Vec<i64>> {
        // A name such as 007 is not an integer: its digits would change.
        self.classes.iter().map(|class| class.parse().ok().filter(|label: &i64| label.to_string() == *class)).collect()
    }

    /// Returns the formula of the probabilities, as documentation in the file.
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
