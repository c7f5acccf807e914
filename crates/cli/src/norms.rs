//! The size of a model's parameters.

use burn::tensor::Device;
use chainrule_engines::{float_type, with_parameters};
use chainrule_gradcheck::f64_works;
use chainrule_models::{SoftmaxRegressionConfig, WeightNorm, to_precision, weight_norm};
use chainrule_records::{Parameters, Precision, WeightNorms};

/// As records have them, computed on the device, in f64 where it has that; nothing where the squares sum to more than
/// floats hold.
pub(crate) fn norms(parameters: &Parameters, device: &Device) -> Option<WeightNorms> {
    let precision = if f64_works(device) { Precision::F64 } else { Precision::F32 };
    let model = SoftmaxRegressionConfig::new(parameters.n_features, parameters.n_classes).init(device);
    let model = with_parameters(to_precision(model, float_type(precision)), parameters);
    let WeightNorm { frobenius, frobenius_squared, spectral } = weight_norm(&model.linear)?;
    Some(WeightNorms { frobenius, frobenius_squared, spectral })
}
