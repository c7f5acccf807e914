use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::sentence::one_line;
use crate::{Precision, Preprocessing, Standardization};

/// The parameters of a linear model, as `model.safetensors` keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Features, d.
    pub n_features: usize,
    /// Classes, k; 1 for the logistic model.
    pub n_classes: usize,
    /// W, `d * k` numbers, the class running fastest.
    pub weight: Vec<f64>,
    /// b, `k` numbers.
    pub bias: Vec<f64>,
}

impl Parameters {
    /// The weights of one class, feature by feature; of the logistic model, whose one column is the positive class's, those of class 0.
    ///
    /// # Panics
    /// Where W has no such column.
    pub fn of_class(&self, class: usize) -> Vec<f64> {
        let k = self.n_classes;
        assert!(
            class < k,
            "class {class} of weights with {k} columns; a logistic model's are those of its positive class"
        );
        self.weight.iter().skip(class).step_by(self.n_classes).copied().collect()
    }

    /// Whether they are `[d, k]` and as many as that takes.
    pub fn has_shape(&self, [d, k]: [usize; 2]) -> bool {
        let counts = (self.weight.len(), self.bias.len());
        [self.n_features, self.n_classes] == [d, k] && counts == (d * k, k)
    }

    /// A file with `linear.weight` `[d, k]` and `linear.bias` `[k]`: what Burn's own store reads into the module. The same parameters
    /// give the same bytes.
    pub fn to_safetensors(&self, precision: Precision) -> Vec<u8> {
        self.to_safetensors_with(precision, &Preprocessing::Raw)
    }

    /// The same with what the features are made by, where that is not told by the data: `features.mean` and `features.scale`, `[d]` in f64, which
    /// Burn's own store passes over.
    pub fn to_safetensors_with(&self, precision: Precision, preprocessing: &Preprocessing) -> Vec<u8> {
        let (dtype, write): (_, fn(&f64) -> Vec<u8>) = match precision {
            Precision::F32 => (Dtype::F32, |&x| (x as f32).to_le_bytes().to_vec()),
            Precision::F64 => (Dtype::F64, |x| x.to_le_bytes().to_vec()),
        };
        let [weight, bias] =
            [&self.weight, &self.bias].map(|values| values.iter().flat_map(write).collect::<Vec<u8>>());
        let statistics = preprocessing.standardization().map(Standardization::tensors);
        let view =
            |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).expect("a number for each place of the shape");
        let mut tensors = vec![
            ("linear.weight", view(dtype, vec![self.n_features, self.n_classes], &weight)),
            ("linear.bias", view(dtype, vec![self.n_classes], &bias)),
        ];
        for (name, bytes) in statistics.iter().flatten() {
            tensors.push((name, view(Dtype::F64, vec![self.n_features], bytes)));
        }
        safetensors::serialize(tensors, None).expect("tensors of different names are a file")
    }

    /// Reads such a file.
    ///
    /// # Errors
    /// What the file lacks, and where a number in it is not finite.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| one_line(&error.to_string()))?;
        let (shape, weight) = tensor(&file, "linear.weight")?;
        let &[n_features, n_classes] = shape.as_slice() else {
            return Err(one_line(&format!("linear.weight has the shape {shape:?}, not [d, k]")));
        };
        if n_features == 0 || n_classes == 0 {
            return Err(format!("linear.weight has the shape {shape:?}, which has no number"));
        }
        let (shape, bias) = tensor(&file, "linear.bias")?;
        if shape != [n_classes] {
            return Err(one_line(&format!(
                "linear.bias has the shape {shape:?}, not [{n_classes}], the classes of linear.weight"
            )));
        }
        Ok(Self { n_features, n_classes, weight, bias })
    }
}

/// A tensor's shape and numbers.
pub(crate) fn tensor(file: &SafeTensors, name: &str) -> Result<(Vec<usize>, Vec<f64>), String> {
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
