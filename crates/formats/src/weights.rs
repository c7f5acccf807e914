//! Weights out of other tools' files.

use chainrule_core::{LinkKind, Parameters, Precision};

use crate::{Format, ImportError, Row, one_of};

/// What a file of weights says.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Weights and bias, zeros where the file has no bias.
    pub parameters: Parameters,
    /// Whether the file has a bias.
    pub has_bias: bool,
    /// The float type of the weights.
    pub precision: Precision,
    /// What else it says, as far as it does.
    pub about: WeightHints,
}

/// What a file may say besides its weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightHints {
    /// How its logits become probabilities.
    pub link: Option<LinkKind>,
    /// What the data calls the classes.
    pub classes: Option<Vec<String>>,
    /// `[d]` each: a feature is `(raw - mean) / scale`.
    pub mean_and_scale: Option<[Vec<f64>; 2]>,
    /// What a row is.
    pub row: Option<Row>,
    /// The names of an npz's other arrays, for a person, where there are any.
    pub not_read: Option<String>,
}

/// Which way a matrix of weights lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[k, d]`: a row for each class, as PyTorch's `nn.Linear` and scikit-learn have it.
    RowPerClass,
    /// `[d, k]`: a row for each feature, as Burn's `nn::Linear` and Keras have it.
    RowPerFeature,
}

/// Bytes of an npz's arrays together, or of JSON, at most: a hundred times what a large linear
/// model takes.
pub(crate) const MOST_BYTES: u64 = 1 << 28;

/// Ends the sentence about weights whose shapes do not say which way they lie.
const LAYOUT_SAYS: &str = "their layout must be named";

impl Weights {
    /// Reads a safetensors or an npz file, or JSON that was exported; what it is, its first bytes
    /// tell. `layout` is asked only where the shapes do not say which way the weights lie.
    ///
    /// # Errors
    /// What is wrong with it, in one line; of other tools' files, how to make one of these.
    pub fn read(bytes: &[u8], layout: Option<Layout>) -> Result<Self, ImportError> {
        Self::read_any(bytes, layout).map_err(|problem| {
            if problem.ends_with(LAYOUT_SAYS) { ImportError::Layout(problem) } else { ImportError::File(problem) }
        })
    }

    fn read_any(bytes: &[u8], layout: Option<Layout>) -> Result<Self, String> {
        if let Some(format) = Format::ALL.into_iter().find(|format| (format.spec().is_one)(bytes)) {
            return match format.spec().read {
                Some(read) => read(bytes, layout),
                None => Err(format!(
                    "it is of the format {format}, which is exported and not read; save the model as {}, too",
                    readable()
                )),
            };
        }
        // The length of a safetensors file's header may begin so, too.
        if bytes.starts_with(b"\x80") && bytes.get(8) != Some(&b'{') {
            return Err(PICKLED.to_owned());
        }
        Err(format!("no file of weights that is read ({}){}", readable(), looks_like(bytes)))
    }
}

/// The formats that are read, by their names.
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
    pub(crate) fn weights(self, asked: Option<Layout>) -> Result<Weights, String> {
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
            (None, _) => asked.ok_or_else(|| {
                format!(
                    "{name} is {rows} x {columns}, which may be classes x features or features x classes; {LAYOUT_SAYS}"
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

/// What a file is that is none of weights, as far as its beginning tells.
fn looks_like(bytes: &[u8]) -> &'static str {
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

/// The first of many names, without what a terminal would take for more than letters.
pub(crate) fn list(names: &[&str]) -> String {
    let clean = |name: &&str| name.chars().filter(|c| !c.is_control()).take(40).collect::<String>();
    let shown: Vec<String> = names.iter().take(5).map(clean).collect();
    shown.join(", ") + if names.len() > 5 { ", …" } else { "" }
}
