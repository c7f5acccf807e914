//! Reads weights from the files of other tools.

use chainrule_core::{LinkKind, Parameters, Precision, Recipe};

use crate::{Format, ImportError, Row, one_of};

/// The weights of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The weights and the bias. The bias is 0 if the file has none.
    pub parameters: Parameters,
    /// Whether the file has a bias.
    pub has_bias: bool,
    /// The float type of the weights.
    pub precision: Precision,
    /// The optional other facts in the file.
    pub about: WeightHints,
}

/// The optional facts that a file may contain besides its weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightHints {
    /// The link that converts logits to probabilities.
    pub link: Option<LinkKind>,
    /// The class names.
    pub classes: Option<Vec<String>>,
    /// The mean and the scale, `[d]` each. A feature is `(raw - mean) / scale`.
    pub mean_and_scale: Option<[Vec<f64>; 2]>,
    /// The kind of a row.
    pub row: Option<Row>,
    /// How the columns of a table become the numbers of a row.
    pub recipe: Option<Recipe>,
    /// The names of an npz's other arrays, for a message.
    pub not_read: Option<String>,
}

/// The layout of a weight matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[k, d]`: one row per class, as in PyTorch's `nn.Linear` and scikit-learn.
    RowPerClass,
    /// `[d, k]`: one row per feature, as in Burn's `nn::Linear` and Keras.
    RowPerFeature,
}

/// The largest number of bytes of JSON, or of all arrays of an npz together: a hundred times the
/// size of a large linear model.
pub(crate) const MAX_BYTES: u64 = 1 << 28;

/// The end of the error message for an ambiguous layout.
const LAYOUT_ADVICE: &str = "their layout must be named";

impl Weights {
    /// Reads a safetensors or npz file, or exported JSON. The first bytes decide which. `layout` is
    /// used only if the shapes are ambiguous.
    ///
    /// # Errors
    /// Returns a one-line error. For files of other tools, the error says how to convert them.
    pub fn read(bytes: &[u8], layout: Option<Layout>) -> Result<Self, ImportError> {
        Self::read_any(bytes, layout).map_err(|problem| {
            if problem.ends_with(LAYOUT_ADVICE) { ImportError::Layout(problem) } else { ImportError::File(problem) }
        })
    }

    fn read_any(bytes: &[u8], layout: Option<Layout>) -> Result<Self, String> {
        if let Some(format) = Format::ALL.into_iter().find(|format| (format.spec().sniff)(bytes)) {
            return match format.spec().read {
                Some(read) => read(bytes, layout),
                None => Err(format!(
                    "it is of the format {format}, which is exported and not read; save the model as {}, too",
                    readable()
                )),
            };
        }
        // The header length of a safetensors file may also begin with this byte.
        if bytes.starts_with(b"\x80") && bytes.get(8) != Some(&b'{') {
            return Err(PICKLED.to_owned());
        }
        Err(format!("no file of weights that is read ({}){}", readable(), guess_format(bytes)))
    }
}

/// Returns the names of the formats that can be read.
fn readable() -> String {
    let read = Format::ALL.iter().filter(|format| format.spec().read.is_some());
    one_of(&read.map(|format| format.name()).collect::<Vec<_>>())
}

pub(crate) const PICKLED: &str = "it is a pickle, which may run code, and which only Python can read; there: \
     `safetensors.torch.save_file(model.state_dict(), 'model.safetensors')`, or of scikit-learn \
     `numpy.savez('model.npz', coef=model.coef_, intercept=model.intercept_, classes=model.classes_)`";

/// A matrix `[rows, columns]` and a vector.
pub(crate) struct WeightArrays {
    pub(crate) matrix: (String, [usize; 2], Vec<f64>),
    pub(crate) vector: Option<(String, Vec<f64>)>,
    pub(crate) precision: Precision,
    pub(crate) layout: Option<Layout>,
    pub(crate) about: WeightHints,
}

impl WeightArrays {
    pub(crate) fn weights(self, requested: Option<Layout>) -> Result<Weights, String> {
        let (name, [rows, columns], values) = self.matrix;
        let numbers = values.iter().chain(self.vector.iter().flat_map(|(_, bias)| bias));
        if let Some(number) = numbers.copied().find(|number| !number.is_finite()) {
            return Err(format!("it has the number {number}, which is no weight"));
        }
        let outputs = self.vector.as_ref().map(|(_, bias)| bias.len());
        let layout = match (self.layout, outputs) {
            (Some(layout), _) => layout,
            (None, Some(k)) if k == rows && k != columns => Layout::RowPerClass,
            (None, Some(k)) if k == columns && k != rows => Layout::RowPerFeature,
            (None, Some(k)) if k != rows && k != columns => {
                return Err(format!("{name} is {rows} x {columns}, and there are {k} biases, which is neither"));
            }
            (None, _) => requested.ok_or_else(|| {
                format!(
                    "{name} is {rows} x {columns}, which may be classes x features or features x classes; {LAYOUT_ADVICE}"
                )
            })?,
        };
        let [d, k] = match layout {
            Layout::RowPerClass => [columns, rows],
            Layout::RowPerFeature => [rows, columns],
        };
        if d == 0 || k == 0 {
            return Err(format!("{name} is {rows} x {columns}, which has no number"));
        }
        let weight = match layout {
            Layout::RowPerFeature => values,
            Layout::RowPerClass => (0..d).flat_map(|j| values.iter().skip(j).step_by(d).copied()).collect(),
        };
        let has_bias = self.vector.is_some();
        let bias = self.vector.map_or_else(|| vec![0.0; k], |(_, bias)| bias);
        if bias.len() != k {
            return Err(format!("{name} has {k} classes, and there are {} biases", bias.len()));
        }
        if let Some([mean, scale]) = &self.about.mean_and_scale {
            if [mean.len(), scale.len()] != [d, d] {
                return Err(format!("it has {} means and {} scales for {d} features", mean.len(), scale.len()));
            }
            if let Some(scale) = scale.iter().find(|scale| !scale.is_finite() || **scale <= 0.0) {
                return Err(format!("it has the scale {scale}, by which nothing can be divided"));
            }
            if mean.iter().any(|mean| !mean.is_finite()) {
                return Err("it has a mean that is not finite".to_owned());
            }
        }
        let parameters = Parameters { n_features: d, columns: k, weight, bias };
        Ok(Weights { parameters, has_bias, precision: self.precision, about: self.about })
    }
}

/// Guesses what a file is that has no weights, from its first bytes.
fn guess_format(bytes: &[u8]) -> &'static str {
    let beginning = &bytes[..bytes.len().min(512)];
    if beginning.is_empty() {
        "; it is empty"
    } else if beginning.starts_with(b"\x89HDF") {
        "; it is HDF5, as of Keras: there numpy.savez('model.npz', coef=weight, intercept=bias)"
    } else if beginning.contains(&0) || std::str::from_utf8(beginning).is_err_and(|error| error.error_len().is_some()) {
        ""
    } else if beginning.split(|&byte| byte == b'\n').next().is_some_and(|line| line.contains(&b',')) {
        "; it is a text, perhaps a table, and weights are meant here"
    } else {
        "; it is a text, and weights are meant here"
    }
}

/// Lists the first names, without control characters.
pub(crate) fn list(names: &[&str]) -> String {
    let clean = |name: &&str| name.chars().filter(|c| !c.is_control()).take(40).collect::<String>();
    let shown: Vec<String> = names.iter().take(5).map(clean).collect();
    shown.join(", ") + if names.len() > 5 { ", …" } else { "" }
}
