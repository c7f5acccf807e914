//! A safetensors file that `torch.nn.Linear(d, k)` loads: `weight` `[k, d]` and `bias` `[k]`. The linear layer alone: it takes features, and gives logits.

use std::collections::HashMap;

use chainrule_core::Precision;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

use crate::Portable;
use crate::json::Description;

/// The one key of the metadata, whose value is JSON: several would be written in the order of a hash map, another every time.
pub(crate) const KEY: &str = "chainrule";

pub(crate) fn write(model: &Portable) -> Vec<u8> {
    let [d, k] = [model.n_features(), model.parameters.columns];
    let (dtype, bytes): (_, fn(&f64) -> Vec<u8>) = match model.precision {
        Precision::F32 => (Dtype::F32, |&x| (x as f32).to_le_bytes().to_vec()),
        Precision::F64 => (Dtype::F64, |x| x.to_le_bytes().to_vec()),
    };
    let weight: Vec<u8> = model.weight_by_class().iter().flat_map(bytes).collect();
    let bias: Vec<u8> = model.parameters.bias.iter().flat_map(bytes).collect();
    let view = |shape, bytes| TensorView::new(dtype, shape, bytes).expect("a number for each place of the shape");
    let tensors = [("weight", view(vec![k, d], &weight)), ("bias", view(vec![k], &bias))];
    let metadata = HashMap::from([(KEY.to_owned(), Description::new(model).to_json())]);
    serialize(tensors, Some(metadata)).expect("two tensors of these names are a file")
}
