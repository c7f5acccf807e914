//! `model.safetensors`: the weights of a model and its standardisation.

use chainrule_core::{ContentError, DataKind, Parameters, Precision, Preprocessing, Standardization, one_line};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// The tensors besides the weights.
const MEAN: &str = "features.mean";
const SCALE: &str = "features.scale";

/// Returns a safetensors file with `linear.weight` `[d, k]` and `linear.bias` `[k]`, which Burn's
/// own store loads into the module.
///
/// For standardised features the file also has `features.mean` and `features.scale`, `[d]` in f64.
/// Burn's own store ignores them. The same parameters give the same bytes.
pub fn write_weights(parameters: &Parameters, precision: Precision, preprocessing: &Preprocessing) -> Vec<u8> {
    let (dtype, write): (_, fn(&f64) -> Vec<u8>) = match precision {
        Precision::F32 => (Dtype::F32, |&x| (x as f32).to_le_bytes().to_vec()),
        Precision::F64 => (Dtype::F64, |x| x.to_le_bytes().to_vec()),
    };
    let Parameters { n_features, columns, weight, bias } = parameters;
    let [weight, bias] = [weight, bias].map(|values| values.iter().flat_map(write).collect::<Vec<u8>>());
    let statistics = preprocessing.standardization().map(tensors);
    let view =
        |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).expect("a number for each place of the shape");
    let mut tensors = vec![
        ("linear.weight", view(dtype, vec![*n_features, *columns], &weight)),
        ("linear.bias", view(dtype, vec![*columns], &bias)),
    ];
    for (name, bytes) in statistics.iter().flatten() {
        tensors.push((name, view(Dtype::F64, vec![*n_features], bytes)));
    }
    safetensors::serialize(tensors, None).expect("tensors of different names are a file")
}

/// Reads the parameters of such a file.
///
/// # Errors
/// Returns a message if the file is not one of these or a number is not finite.
pub fn read_parameters(bytes: &[u8]) -> Result<Parameters, ContentError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| one_line(&error.to_string()))?;
    let (shape, weight) = tensor(&file, "linear.weight")?;
    let &[n_features, columns] = shape.as_slice() else {
        return Err(one_line(&format!("linear.weight has the shape {shape:?}, not [d, k]")).into());
    };
    if n_features == 0 || columns == 0 {
        return Err(format!("linear.weight has the shape {shape:?}, which has no number").into());
    }
    let (shape, bias) = tensor(&file, "linear.bias")?;
    if shape != [columns] {
        return Err(one_line(&format!(
            "linear.bias has the shape {shape:?}, not [{columns}], the columns of linear.weight"
        ))
        .into());
    }
    Ok(Parameters { n_features, columns, weight, bias })
}

/// Reads the preprocessing of such a file, for data of this kind.
///
/// # Errors
/// Fails if the statistics are incomplete, or if a scale is not positive.
pub fn read_preprocessing(bytes: &[u8], kind: DataKind) -> Result<Preprocessing, ContentError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| one_line(&error.to_string()))?;
    if [MEAN, SCALE].iter().all(|name| file.tensor(name).is_err()) {
        return Ok(Preprocessing::unstandardized(kind));
    }
    let ((mean_shape, mean), (scale_shape, scale)) = (tensor(&file, MEAN)?, tensor(&file, SCALE)?);
    if mean_shape != [mean.len()] || scale_shape != mean_shape {
        return Err(one_line(&format!(
            "{MEAN} has the shape {mean_shape:?} and {SCALE} {scale_shape:?}, not both [d]"
        ))
        .into());
    }
    if let Some(j) = scale.iter().position(|scale| *scale <= 0.0) {
        return Err(format!("number {j} of {SCALE} is {}, by which nothing can be divided", scale[j]).into());
    }
    Ok(Preprocessing::Standardized(Standardization { mean, scale }))
}

/// Returns the standardisation as tensors, always in f64, so that prediction uses exactly the
/// numbers of the training.
fn tensors(standardization: &Standardization) -> [(&'static str, Vec<u8>); 2] {
    [(MEAN, &standardization.mean), (SCALE, &standardization.scale)]
        .map(|(name, values)| (name, values.iter().flat_map(|x| x.to_le_bytes()).collect()))
}

/// Returns a tensor's shape and numbers.
fn tensor(file: &SafeTensors, name: &str) -> Result<(Vec<usize>, Vec<f64>), String> {
    let tensor = file.tensor(name).map_err(|error| error.to_string())?;
    let values: Vec<f64> = match tensor.dtype() {
        Dtype::F32 => numbers(tensor.data(), |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::F64 => numbers(tensor.data(), f64::from_le_bytes),
        other => return Err(format!("{name} is {other:?}, not F32 or F64")),
    };
    if let Some(i) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("number {i} of {name} is {}, which no training ends with", values[i]));
    }
    Ok((tensor.shape().to_vec(), values))
}

fn numbers<const N: usize>(bytes: &[u8], read: fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|&chunk| read(chunk)).collect()
}
