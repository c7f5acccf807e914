//! Weights out of other tools' files.

use std::collections::BTreeMap;
use std::io::Read;

use chainrule_core::{LinkKind, Parameters, Precision, one_line};
use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::Row;
use crate::json::FORMAT;
use crate::npy::{self, Array, Values};
use crate::pytorch::KEY;

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
    pub about: Known,
}

/// What a file may say besides its weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
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

/// Bytes of an npz's arrays together, at most: a hundred times what a large linear model takes.
const MOST_BYTES: u64 = 1 << 28;
/// Arrays of an npz, at most.
const MOST_ARRAYS: usize = 64;

/// Ends the sentence about weights whose shapes do not say which way they lie.
pub(crate) const LAYOUT_SAYS: &str = "their layout must be named";

impl Weights {
    /// Reads a safetensors or an npz file, or JSON that was exported; what it is, its first bytes
    /// tell. `layout` is asked only where the shapes do not say which way the weights lie.
    ///
    /// # Errors
    /// What is wrong with it, in one line; of other tools' files, how to make one of these.
    pub fn read(bytes: &[u8], layout: Option<Layout>) -> Result<Self, String> {
        if bytes.starts_with(b"PK") {
            let arrays = npz(bytes)?;
            if arrays.keys().any(|name| name.ends_with("data.pkl") || name.contains(".data/")) {
                return Err(PICKLED.to_owned());
            }
            return of_arrays(arrays, layout);
        }
        // The length of a safetensors file's header may begin so, too.
        if bytes.starts_with(b"\x80") && bytes.get(8) != Some(&b'{') {
            return Err(PICKLED.to_owned());
        }
        // Protocol Buffers: `ir_version`, then the producer's name, as exporters write them.
        if matches!(bytes, [0x08, _, 0x12, ..]) && bytes.get(8) != Some(&b'{') {
            return Err(ONNX.to_owned());
        }
        // A safetensors file's header is as long as its first eight bytes say, of which the last is
        // 0.
        if bytes.starts_with(b"{") && bytes.get(7).is_some_and(|&byte| byte != 0) {
            return of_json(bytes);
        }
        of_safetensors(bytes, layout)
    }
}

const ONNX: &str =
    "it is an ONNX file, which is exported, and not read; export or save the model as safetensors, npz or JSON, too";

const PICKLED: &str = "it is a pickle, which may run code, and which only Python can read; there: \
     `safetensors.torch.save_file(model.state_dict(), 'model.safetensors')`, or of scikit-learn \
     `numpy.savez('model.npz', coef=model.coef_, intercept=model.intercept_, classes=model.classes_)`";

/// A matrix `[rows, columns]` and a vector.
struct Found {
    matrix: (String, [usize; 2], Vec<f64>),
    vector: Option<(String, Vec<f64>)>,
    precision: Precision,
    layout: Option<Layout>,
    about: Known,
}

impl Found {
    fn weights(self, asked: Option<Layout>) -> Result<Weights, String> {
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

/// What our own files say of themselves: see [`crate::json::Description`].
#[derive(Deserialize)]
struct Description {
    kind: LinkKind,
    classes: Vec<ClassName>,
    row: Row,
    mean: PerFeature,
    scale: PerFeature,
}

/// A text, as `export` writes it; of other programs also an integer, whose name is its digits.
#[derive(Deserialize)]
#[serde(untagged)]
enum ClassName {
    Text(String),
    Integer(i64),
}

impl From<ClassName> for String {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::Text(text) => text,
            ClassName::Integer(integer) => integer.to_string(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PerFeature {
    Same(f64),
    Each(Vec<f64>),
}

impl PerFeature {
    fn each(self, d: usize) -> Vec<f64> {
        match self {
            Self::Same(value) => vec![value; d],
            Self::Each(values) => values,
        }
    }
}

fn known(description: &str, d: usize) -> Result<Known, String> {
    let found: Description = serde_json::from_str(description)
        .map_err(|error| format!("its description is not one: {}", one_line(&error.to_string())))?;
    Ok(found.known(d))
}

impl Description {
    fn known(self, d: usize) -> Known {
        Known {
            link: Some(self.kind),
            classes: Some(self.classes.into_iter().map(String::from).collect()),
            mean_and_scale: Some([self.mean.each(d), self.scale.each(d)]),
            row: Some(self.row),
            not_read: None,
        }
    }
}

/// See [`crate::json`].
#[derive(Deserialize)]
struct Document {
    format: String,
    weight: Vec<Vec<f64>>,
    bias: Vec<f64>,
    #[serde(flatten)]
    description: Description,
}

fn of_json(bytes: &[u8]) -> Result<Weights, String> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("it is JSON of more than the {MOST_BYTES} bytes that are read"));
    }
    let Document { format, weight, bias, description } = serde_json::from_slice(bytes)
        .map_err(|error| format!("it is no JSON that export wrote: {}", one_line(&error.to_string())))?;
    if format != FORMAT {
        return Err(format!("it is JSON of the format {}, not {FORMAT}", list(&[format.as_str()])));
    }
    let (k, d) = (weight.len(), weight.first().map_or(0, Vec::len));
    if let Some(class) = weight.iter().position(|of_class| of_class.len() != d) {
        return Err(format!("weight[{class}] has {} numbers, and weight[0] {d}", weight[class].len()));
    }
    // It does not say; the digits do.
    let are_f32 = weight.iter().flatten().chain(&bias).all(|&x| f64::from(x as f32) == x);
    let precision = if are_f32 { Precision::F32 } else { Precision::F64 };
    let matrix = ("weight".to_owned(), [k, d], weight.concat());
    let (vector, layout) = (Some(("bias".to_owned(), bias)), Some(Layout::RowPerClass));
    Found { matrix, vector, precision, layout, about: description.known(d) }.weights(None)
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

fn of_safetensors(bytes: &[u8], asked: Option<Layout>) -> Result<Weights, String> {
    const NEITHER: &str = "neither a safetensors nor an npz file, nor JSON that was exported";
    // A header of 100 MB or more is no header: the file begins with something else.
    if bytes.get(..8).is_none_or(|length| length[4..] != [0; 4]) {
        return Err(format!("{NEITHER}{}", looks_like(bytes)));
    }
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| format!("{NEITHER}: {}", one_line(&error.to_string())))?;
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| format!("{NEITHER}: {}", one_line(&error.to_string())))?;
    // Of a run that standardised its features.
    const STATISTICS: [&str; 2] = ["features.mean", "features.scale"];
    let mut names: Vec<&str> = file.names().into_iter().filter(|name| !STATISTICS.contains(name)).collect();
    names.sort_unstable();
    let shapes: Vec<usize> = names.iter().filter_map(|name| Some(file.tensor(name).ok()?.shape().len())).collect();
    let [matrix, vector] = [2, 1].map(|dimensions| {
        names.iter().zip(&shapes).filter(|(_, shape)| **shape == dimensions).map(|(name, _)| *name).collect::<Vec<_>>()
    });
    let (&[matrix], true) = (matrix.as_slice(), matrix.len() + vector.len() == names.len() && vector.len() <= 1) else {
        return Err(format!(
            "a linear model has one matrix and one vector, and it has {} tensors: {}",
            names.len(),
            list(&names)
        ));
    };
    let (shape, values, precision) = tensor(&file, matrix)?;
    let &[rows, columns] = shape.as_slice() else { unreachable!("a tensor of two dimensions") };
    let vector = match vector.first() {
        Some(&name) => Some((name.to_owned(), tensor(&file, name)?.1)),
        None => None,
    };
    let description = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    let statistics = match STATISTICS.map(|name| file.tensor(name).is_ok()) {
        [false, false] => None,
        _ => Some([tensor(&file, STATISTICS[0])?.1, tensor(&file, STATISTICS[1])?.1]),
    };
    let (layout, about) = match description {
        Some(text) => (Some(Layout::RowPerClass), known(text, columns)?),
        None => (None, Known { mean_and_scale: statistics, ..Known::default() }),
    };
    let found = Found { matrix: (matrix.to_owned(), [rows, columns], values), vector, precision, layout, about };
    found.weights(asked)
}

/// The first of many names, without what a terminal would take for more than letters.
fn list(names: &[&str]) -> String {
    let clean = |name: &&str| name.chars().filter(|c| !c.is_control()).take(40).collect::<String>();
    let shown: Vec<String> = names.iter().take(5).map(clean).collect();
    shown.join(", ") + if names.len() > 5 { ", …" } else { "" }
}

fn tensor(file: &SafeTensors, name: &str) -> Result<(Vec<usize>, Vec<f64>, Precision), String> {
    let tensor = file.tensor(name).map_err(|error| one_line(&error.to_string()))?;
    let (values, precision) = match tensor.dtype() {
        Dtype::F32 => (
            tensor.data().as_chunks().0.iter().map(|&chunk| f64::from(f32::from_le_bytes(chunk))).collect(),
            Precision::F32,
        ),
        Dtype::F64 => {
            (tensor.data().as_chunks().0.iter().map(|&chunk| f64::from_le_bytes(chunk)).collect(), Precision::F64)
        }
        other => return Err(format!("{} is {other:?}; save it as float32 or float64", list(&[name]))),
    };
    Ok((tensor.shape().to_vec(), values, precision))
}

/// The arrays of a ZIP by their names, those that are none left out of it.
fn npz(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let damaged = |error: rawzip::Error| format!("damaged npz: {}", one_line(&error.to_string()));
    let archive = ZipArchive::from_slice(bytes).map_err(damaged)?;
    let mut entries = archive.entries();
    let (mut arrays, mut left) = (BTreeMap::new(), MOST_BYTES);
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        if arrays.len() == MOST_ARRAYS {
            return Err(format!("it has more than the {MOST_ARRAYS} arrays that are read"));
        }
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        let local = archive.get_entry(entry.wayfinder()).map_err(damaged)?;
        // A size is a claim: what is read is counted.
        let mut content = Vec::new();
        let read = match entry.compression_method() {
            CompressionMethod::STORE => local.verifying_reader(local.data()).take(left + 1).read_to_end(&mut content),
            CompressionMethod::DEFLATE => {
                local.verifying_reader(DeflateDecoder::new(local.data())).take(left + 1).read_to_end(&mut content)
            }
            _ => return Err("it is compressed by other than deflate; NumPy writes no such".to_owned()),
        };
        read.map_err(|error| format!("damaged npz: {}", one_line(&error.to_string())))?;
        left = left
            .checked_sub(content.len() as u64)
            .ok_or_else(|| format!("its arrays are more than the {MOST_BYTES} bytes that are read"))?;
        arrays.insert(name.strip_suffix(".npy").unwrap_or(&name).to_owned(), content);
    }
    Ok(arrays)
}

fn of_arrays(mut arrays: BTreeMap<String, Vec<u8>>, asked: Option<Layout>) -> Result<Weights, String> {
    let names: Vec<String> = arrays.keys().cloned().collect();
    let mut take = |names: &[&'static str]| {
        let found = names.iter().find_map(|&name| Some((name, arrays.remove(name)?)));
        found
            .map(|(name, bytes)| {
                npy::read(&bytes).map_err(|problem| format!("{name}: {problem}")).map(|array| (name, array))
            })
            .transpose()
    };
    let matrix = take(&["coef", "coef_", "weight"])?;
    let vector = take(&["intercept", "intercept_", "bias"])?;
    let classes = take(&["classes", "classes_"])?;
    let (mean, scale) = (take(&["mean", "mean_"])?, take(&["scale", "scale_"])?);
    let description = take(&["description"])?;
    let Some((name, Array { shape, values: Values::Floats { values, are_f32 } })) = matrix else {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        return Err(format!("it has no weights of floats, coef (and intercept, classes), but {}", list(&names)));
    };
    let shape = match shape.as_slice() {
        &[d] => [1, d],
        &[rows, columns] => [rows, columns],
        other => return Err(format!("{name} has the shape {other:?}, not classes x features")),
    };
    let vector = match vector {
        None => None,
        // One number for one class may come without a dimension.
        Some((name, array)) => Some((name.to_owned(), floats(name, array)?)),
    };
    let texts = match classes {
        None => None,
        Some((name, array)) => Some(
            array
                .values
                .names()
                .ok_or_else(|| format!("{name} has a number that is not finite, which names no class"))?,
        ),
    };
    let layout = name.starts_with("coef").then_some(Layout::RowPerClass);
    let d = shape[1];
    let mut about = match description {
        Some((_, Array { values: Values::Texts(text), .. })) if text.len() == 1 => known(&text[0], d)?,
        _ => Known::default(),
    };
    // Of two classes there is one row, whatever the training had.
    if layout.is_some() && shape[0] == 1 {
        about.link = Some(LinkKind::Logistic);
    }
    about.classes = texts.or(about.classes);
    if scale.is_some() && arrays.keys().any(|name| name.trim_end_matches('_').ends_with("min")) {
        return Err("its scale is a MinMaxScaler's, which multiplies by it; save mean=scaler.data_min_ and scale=scaler.data_range_ if its range is 0 to 1".to_owned());
    }
    // A scaler may do one of the two alone.
    if mean.is_some() || scale.is_some() {
        let each = |found: Option<(&str, Array)>, otherwise| match found {
            Some((name, array)) => floats(name, array),
            None => Ok(vec![otherwise; d]),
        };
        about.mean_and_scale = Some([each(mean, 0.0)?, each(scale, 1.0)?]);
    }
    let others: Vec<&str> = arrays.keys().map(String::as_str).collect();
    about.not_read = if others.is_empty() { None } else { Some(list(&others)) };
    let precision = if are_f32 { Precision::F32 } else { Precision::F64 };
    Found { matrix: (name.to_owned(), shape, values), vector, precision, layout, about }.weights(asked)
}

fn floats(name: &str, array: Array) -> Result<Vec<f64>, String> {
    match array.values {
        Values::Floats { values, .. } if array.shape.len() <= 1 => Ok(values),
        _ => Err(format!("{name} is not a row of floats")),
    }
}
