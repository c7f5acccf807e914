//! NumPy's `.npz`: a ZIP of one `.npy` an array (NEP 1, <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>). By scikit-learn's names,
//! so that `LogisticRegression` and `StandardScaler` take them as they are.

use std::io::Write;

use chainrule_core::{LinkKind, Precision};
use rawzip::ZipArchiveWriter;

use crate::Portable;
use crate::json::Description;

pub(crate) fn write(model: &Portable) -> Vec<u8> {
    let (coef, intercept) = coefficients(model);
    let [d, k] = [model.n_features(), intercept.len()];
    let [mean, scale] = model.mean_and_scale();
    let classes = match model.integer_classes() {
        Some(labels) => npy("<i8", &[labels.len()], labels.iter().flat_map(|label| label.to_le_bytes())),
        None => texts(&model.classes),
    };
    let arrays = [
        ("coef", floats(model.precision, &[k, d], &coef)),
        ("intercept", floats(model.precision, &[k], &intercept)),
        ("classes", classes),
        ("mean", floats(Precision::F64, &[d], &mean)),
        ("scale", floats(Precision::F64, &[d], &scale)),
        ("description", texts(&[Description::new(model).to_json()])),
    ];
    // Stored as they are, since numbers do not deflate, and without a date, so that the same model is the same file.
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

/// Weights `[k, d]` and intercepts `[k]`; of two classes one row, which speaks for the second: scikit-learn reads no other. Of a softmax of two it is the
/// difference, since `softmax(z_0, z_1) = softmax(0, z_1 - z_0)`.
fn coefficients(model: &Portable) -> (Vec<f64>, Vec<f64>) {
    let parameters = &model.parameters;
    if parameters.columns != 2 || model.link == LinkKind::OneVsRest {
        return (model.weight_by_class(), parameters.bias.clone());
    }
    let [first, second] = [0, 1].map(|class| parameters.of_class(class));
    let difference = first.iter().zip(second).map(|(first, second)| second - first).collect();
    (difference, vec![parameters.bias[1] - parameters.bias[0]])
}

fn floats(precision: Precision, shape: &[usize], values: &[f64]) -> Vec<u8> {
    match precision {
        Precision::F32 => npy("<f4", shape, values.iter().flat_map(|&x| (x as f32).to_le_bytes())),
        Precision::F64 => npy("<f8", shape, values.iter().flat_map(|x| x.to_le_bytes())),
    }
}

/// Texts as NumPy has them: UTF-32, each as long as the longest.
fn texts(texts: &[String]) -> Vec<u8> {
    let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or_default().max(1);
    let padded = texts.iter().flat_map(|text| text.chars().map(u32::from).chain(std::iter::repeat(0)).take(longest));
    npy(&format!("<U{longest}"), &[texts.len()], padded.flat_map(u32::to_le_bytes))
}

/// An `.npy` of version 1.0: magic, the header's length, the header, filled up with spaces to a multiple of 64 bytes, and the numbers.
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
