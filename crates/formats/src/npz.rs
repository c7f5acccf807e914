//! NumPy's `.npz`: a ZIP with one `.npy` per array (NEP 1,
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>). The arrays have
//! scikit-learn's names, so `LogisticRegression` and `StandardScaler` can use them unchanged.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use chainrule_core::{LinkKind, Precision, one_line};
use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveWriter};

use crate::json::{Description, parse_description};
use crate::npy::{self, Array, Values};
use crate::weights::{WeightArrays, MAX_BYTES, PICKLED, list};
use crate::{WeightHints, Layout, Portable, Row, Spec, Weights};

pub(crate) const SPEC: Spec = Spec {
    name: "npz",
    extensions: &["npz"],
    about: "NumPy and scikit-learn: `coef` (k x d), `intercept`, `classes`, and `mean`, `scale` and names of the features",
    sniff: |bytes| bytes.starts_with(b"PK"),
    problem: |_| None,
    write,
    read: Some(read),
};

/// The largest number of arrays to read.
const MAX_ARRAYS: usize = 64;

fn write(model: &Portable) -> Vec<u8> {
    let (coef, intercept) = coefficients(model);
    let [d, k] = [model.n_features(), intercept.len()];
    let [mean, scale] = model.mean_and_scale();
    let classes = match model.integer_classes() {
        Some(labels) => npy("<i8", &[labels.len()], labels.iter().flat_map(|label| label.to_le_bytes())),
        None => texts(&model.classes),
    };
    let mut arrays = vec![
        ("coef", float_array(model.precision, &[k, d], &coef)),
        ("intercept", float_array(model.precision, &[k], &intercept)),
        ("classes", classes),
        ("mean", float_array(Precision::F64, &[d], &mean)),
        ("scale", float_array(Precision::F64, &[d], &scale)),
        ("description", texts(&[Description::new(model).to_json()])),
    ];
    if let Row::Numbers { names } = &model.row
        && !names.is_empty()
    {
        arrays.push(("features", texts(names)));
    }
    if is_difference(model) {
        let columns = model.parameters.columns;
        arrays.push(("weight", float_array(model.precision, &[columns, d], &model.weight_rows())));
        arrays.push(("bias", float_array(model.precision, &[columns], &model.parameters.bias)));
    }
    // The arrays are stored uncompressed, because numbers hardly compress, and without a date, so
    // the same model gives the same file.
    let mut zip = ZipArchiveWriter::new(Vec::new());
    for (name, array) in arrays {
        add(&mut zip, &format!("{name}.npy"), &array).expect(IN_MEMORY);
    }
    zip.finish().expect(IN_MEMORY)
}

fn add(zip: &mut ZipArchiveWriter<Vec<u8>>, name: &str, content: &[u8]) -> Result<(), rawzip::Error> {
    let (mut entry, config) = zip.new_file(name).start()?;
    let mut writer = config.wrap(&mut entry);
    writer.write_all(content)?;
    let (_, descriptor) = writer.finish()?;
    entry.finish(descriptor)?;
    Ok(())
}

const IN_MEMORY: &str = "a small archive in memory can be written";

/// Returns the weights `[k, d]` and intercepts `[k]`. Two classes have one row, that of the second
/// class, as scikit-learn requires. For a softmax of two classes it is the difference, since
/// `softmax(z_0, z_1) = softmax(0, z_1 - z_0)`.
fn coefficients(model: &Portable) -> (Vec<f64>, Vec<f64>) {
    let parameters = &model.parameters;
    if !is_difference(model) {
        return (model.weight_rows(), parameters.bias.clone());
    }
    let [first, second] = [0, 1].map(|class| parameters.weights_of_class(class));
    let difference = first.iter().zip(second).map(|(first, second)| second - first).collect();
    (difference, vec![parameters.bias[1] - parameters.bias[0]])
}

/// Returns whether `coef` is a difference of weights. The weights themselves are then in `weight`
/// and `bias`, because their probabilities may differ in the last digit.
fn is_difference(model: &Portable) -> bool {
    model.parameters.columns == 2 && model.link != LinkKind::OneVsRest
}

fn float_array(precision: Precision, shape: &[usize], values: &[f64]) -> Vec<u8> {
    match precision {
        Precision::F32 => npy("<f4", shape, values.iter().flat_map(|&x| (x as f32).to_le_bytes())),
        Precision::F64 => npy("<f8", shape, values.iter().flat_map(|x| x.to_le_bytes())),
    }
}

/// Returns texts as a NumPy array: UTF-32, all padded to the longest.
fn texts(texts: &[String]) -> Vec<u8> {
    let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or_default().max(1);
    let padded = texts.iter().flat_map(|text| text.chars().map(u32::from).chain(std::iter::repeat(0)).take(longest));
    npy(&format!("<U{longest}"), &[texts.len()], padded.flat_map(u32::to_le_bytes))
}

/// Returns an `.npy` of version 1.0: the magic number, the header's length, the header padded with
/// spaces to a multiple of 64 bytes, and the data.
fn npy(descr: &str, shape: &[usize], data: impl Iterator<Item = u8>) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let shape: String = shape.iter().map(|n| format!("{n},")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let unpadded = MAGIC.len() + 2 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let length = u16::try_from(header.len()).expect("a header of some hundred bytes").to_le_bytes();
    MAGIC.iter().copied().chain(length).chain(header.into_bytes()).chain(data).collect()
}

fn read(bytes: &[u8], layout: Option<Layout>) -> Result<Weights, String> {
    let arrays = arrays(bytes)?;
    if arrays.keys().any(|name| name.ends_with("data.pkl") || name.contains(".data/")) {
        return Err(PICKLED.to_owned());
    }
    of_arrays(arrays, layout)
}

/// Reads the arrays of a ZIP by name. All entries are kept.
fn arrays(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let damaged = |error: rawzip::Error| format!("damaged npz: {}", one_line(&error.to_string()));
    let archive = ZipArchive::from_slice(bytes).map_err(damaged)?;
    let mut entries = archive.entries();
    let (mut arrays, mut left) = (BTreeMap::new(), MAX_BYTES);
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        if arrays.len() == MAX_ARRAYS {
            return Err(format!("it has more than the {MAX_ARRAYS} arrays that are read"));
        }
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        let local = archive.get_entry(entry.wayfinder()).map_err(damaged)?;
        // The sizes in the archive may be false, so the bytes read are counted.
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
            .ok_or_else(|| format!("its arrays are more than the {MAX_BYTES} bytes that are read"))?;
        arrays.insert(name.strip_suffix(".npy").unwrap_or(&name).to_owned(), content);
    }
    Ok(arrays)
}

fn of_arrays(mut arrays: BTreeMap<String, Vec<u8>>, requested: Option<Layout>) -> Result<Weights, String> {
    let names: Vec<String> = arrays.keys().cloned().collect();
    let is_ours = arrays.contains_key("description");
    if is_ours {
        // The description has the names, too.
        arrays.remove("features");
        // `coef` is the difference of these weights.
        if arrays.contains_key("weight") {
            arrays.retain(|name, _| !["coef", "intercept"].contains(&name.as_str()));
        }
    }
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
        // The intercept of a single class may be a scalar.
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
    let layout = (is_ours || name.starts_with("coef")).then_some(Layout::RowPerClass);
    let d = shape[1];
    let mut about = match description {
        Some((_, Array { values: Values::Texts(text), .. })) if text.len() == 1 => parse_description(&text[0], d)?,
        _ => WeightHints::default(),
    };
    // One row means two classes. A description of a link with one column stays.
    if layout.is_some() && shape[0] == 1 && matches!(about.link, None | Some(LinkKind::Softmax | LinkKind::OneVsRest)) {
        about.link = Some(LinkKind::Logistic);
    }
    about.classes = texts.or(about.classes);
    if scale.is_some() && arrays.keys().any(|name| name.trim_end_matches('_').ends_with("min")) {
        return Err("its scale is a MinMaxScaler's, which multiplies by it; save mean=scaler.data_min_ and scale=scaler.data_range_ if its range is 0 to 1".to_owned());
    }
    // A scaler may only centre or only scale.
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
    WeightArrays { matrix: (name.to_owned(), shape, values), vector, precision, layout, about }.weights(requested)
}

fn floats(name: &str, array: Array) -> Result<Vec<f64>, String> {
    match array.values {
        Values::Floats { values, .. } if array.shape.len() <= 1 => Ok(values),
        _ => Err(format!("{name} is not a row of floats")),
    }
}
