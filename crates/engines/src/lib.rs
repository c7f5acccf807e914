//! What computes a training on Burn: its tensors and optimizers on any device, and a GPU's own
//! kernels.
//!
//! [`train_by_tensors`] trains any [`Classifier`] by closed forms or autodiff, and
//! [`train_on_device`] by two launches a step; each is an [`Engine`](chainrule_solve::Engine) of
//! [`chainrule_solve::train()`].

mod examples;
mod images;
mod launches;
mod optimizer;
mod tensors;

use burn::tensor::{Device, FloatDType, TensorReadError};
use chainrule_core::{ModelKind, Precision, Preprocessing, TrainConfig};
use chainrule_data::Rows;
use chainrule_models::{Classifier, LogisticRegressionConfig, SoftmaxRegressionConfig, to_precision};
use chainrule_solve::{EngineError, Observer, TrainError, Trained, check_kernel_support, train};

pub use examples::{Examples, Expansion};
pub use images::{ImageDataset, LabelledImage};
pub use tensors::{evaluate, with_parameters};

use launches::DeviceKernelEngine;
use tensors::TensorEngine;

/// [`chainrule_solve::train()`] by tensor operations on the device of the examples, from the
/// model's parameters. A gradient source that the config leaves open, or fused, is the closed form.
///
/// # Errors
/// As [`chainrule_solve::train()`], and where the class weights are not those of the classes.
pub fn train_by_tensors<M: Classifier>(
    model: M,
    examples: &Examples,
    validation: &Examples,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    train(&mut TensorEngine::new(model, examples, validation, config)?, config, observer)
}

/// The same of the config's own model, with so many columns of weights, from parameters that are 0.
///
/// # Errors
/// As [`train_by_tensors`].
pub fn train_model_by_tensors(
    columns: usize,
    examples: &Examples,
    validation: &Examples,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let (d, device) = (examples.n_features(), &examples.features.device());
    let float = float_type(config.descent().precision);
    match config.model().kind {
        ModelKind::Logistic => {
            let model = to_precision(LogisticRegressionConfig::new(d).init(device), float);
            train_by_tensors(model, examples, validation, config, observer)
        }
        ModelKind::Softmax => {
            let model = to_precision(SoftmaxRegressionConfig::new(d, columns).init(device), float);
            train_by_tensors(model, examples, validation, config, observer)
        }
    }
}

/// Burn's name of a float type.
pub fn float_type(precision: Precision) -> FloatDType {
    match precision {
        Precision::F32 => FloatDType::F32,
        Precision::F64 => FloatDType::F64,
    }
}

/// [`chainrule_solve::train()`] by the kernels of a device with a memory of its own, from
/// parameters that are 0: the bytes of both splits cross once, and a step is two launches. The
/// model has so many columns of weights: 1, or one a class.
///
/// # Errors
/// As [`chainrule_solve::train()`], and where the device has no such kernels
/// ([`chainrule_ops::has_steps`]) or the config asks for what they cannot do.
pub fn train_on_device(
    columns: usize,
    examples: &Rows,
    validation: &Rows,
    preprocessing: &Preprocessing,
    config: &TrainConfig,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    check_kernel_support(config)?;
    let mut engine = DeviceKernelEngine::new(columns, [examples, validation], preprocessing, config, device)?;
    train(&mut engine, config, observer)
}

/// The device does not give back what it computed.
fn lost(error: TensorReadError) -> EngineError {
    EngineError::Device(Box::new(error))
}
