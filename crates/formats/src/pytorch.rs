//! A safetensors file that `torch.nn.Linear(d, k)` loads: `weight` `[k, d]` and `bias` `[k]`. It
//! has only the linear layer, from features to logits.

use std::collections::HashMap;

use chainrule_core::{Precision, one_line};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

use crate::json::{Description, parse_description};
use crate::weights::{WeightArrays, list};
use crate::{WeightHints, Layout, Portable, Spec, Weights};

pub(crate) const SPEC: Spec = Spec {
    name: "safetensors",
    extensions: &["safetensors"],
    about: "PyTorch: `weight` (k x d) and `bias` of an `nn.Linear`, which takes features",
    // A file whose first 8 bytes give a header of 4 GB or more is another format.
    sniff: |bytes| bytes.get(..8).is_some_and(|length| length[4..] == [0; 4]),
    problem: |_| None,
    write,
    read: Some(read),
};

/// The only metadata key. Its value is JSON. Several keys would be written in the random order of a
/// hash map.
const KEY: &str = "chainrule";

fn write(model: &Portable) -> Vec<u8> {
    let [d, k] = [model.n_features(), model.parameters.columns];
    let (dtype, bytes): (_, fn(&f64) -> Vec<u8>) = match model.precision {
        Precision::F32 => (Dtype::F32, |&x| (x as f32).to_le_bytes().to_vec()),
        Precision::F64 => (Dtype::F64, |x| x.to_le_bytes().to_vec()),
    };
    let weight: Vec<u8> = model.weight_rows().iter().flat_map(bytes).collect();
    let bias: Vec<u8> = model.parameters.bias.iter().flat_map(bytes).collect();
    let view = |shape, bytes| TensorView::new(dtype, shape, bytes).expect("a number for each place of the shape");
    let tensors = [("weight", view(vec![k, d], &weight)), ("bias", view(vec![k], &bias))];
    let metadata = HashMap::from([(KEY.to_owned(), Description::new(model).to_json())]);
    serialize(tensors, Some(metadata)).expect("two tensors of these names are a file")
}

fn read(bytes: &[u8], requested: Option<Layout>) -> Result<Weights, String> {
    let damaged = |error: safetensors::SafeTensorError| format!("damaged safetensors: {}", one_line(&error.to_string()));
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    // The statistics of a run with standardised features.
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
        Some(text) => (Some(Layout::RowPerClass), parse_description(text, columns)?),
        None => (None, WeightHints { mean_and_scale: statistics, ..WeightHints::default() }),
    };
    let arrays = WeightArrays { matrix: (matrix.to_owned(), [rows, columns], values), vector, precision, layout, about };
    arrays.weights(requested)
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
