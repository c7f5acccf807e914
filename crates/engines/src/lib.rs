//! The training engines that use Burn.
//!
//! - [`train_by_tensors`] trains any [`Classifier`] with tensor operations and Burn's optimizers,
//!   on any device. The gradient is a closed form or autodiff.
//! - [`train_on_device`] trains with a GPU's own kernels, two launches per step.
//! - [`train_fused()`] trains with the fused kernels of this processor, and with Burn's optimizers.
//!
//! Each runs [`chainrule_solve::train()`] with its own [`Engine`](chainrule_solve::Engine).

mod examples;
mod images;
mod launches;
mod optimizer;
mod tensors;

use burn::tensor::{Device, FloatDType, TensorReadError};
use std::num::NonZero;
use std::sync::Arc;

use chainrule_core::{EngineKind, Link, MissingAbility, ModelKind, Precision, Preprocessing, TrainConfig, UpdateRule};
use chainrule_data::Rows;
use chainrule_models::{Classifier, LogisticRegressionConfig, SoftmaxRegressionConfig, to_precision};
use chainrule_solve::{EngineError, FusedRows, Observer, TrainError, Trained, train, train_fused_with};

pub use examples::{Examples, Expansion};
pub use images::{ImageDataset, LabelledImage};
pub use tensors::{evaluate, with_parameters};

use launches::DeviceKernelEngine;
use optimizer::HostOptimizer;
use tensors::TensorEngine;

/// Runs [`chainrule_solve::train()`] with tensor operations on the device of the examples. The
/// training starts at the parameters of `model`.
///
/// The engine uses the closed form unless the config selects autodiff.
///
/// # Errors
/// As [`chainrule_solve::train()`], and if the class weights do not match the classes.
pub fn train_by_tensors<M: Classifier>(
    model: M,
    examples: &Examples,
    validation: &Examples,
    config: &TrainConfig,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    train(&mut TensorEngine::new(model, examples, validation, config)?, config, observer)
}

/// Trains the model that the config selects, with tensor operations. The parameters start at zero.
/// `columns` is the number of weight columns.
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

/// Runs [`chainrule_solve::train_fused()`], the training by the fused kernels of this processor,
/// with the config's optimizer. Optimizers other than plain gradient descent are Burn's, on
/// `device`, which must be this processor.
///
/// # Errors
/// As [`chainrule_solve::train_fused()`].
pub fn train_fused(
    link: &Arc<dyn Link>,
    rows: [&FusedRows; 2],
    config: &TrainConfig,
    threads: NonZero<usize>,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let update = config.descent().update_rule();
    let optimizer = (update != UpdateRule::Plain).then(|| -> Box<dyn chainrule_solve::Optimizer> {
        Box::new(HostOptimizer::new(update, device, float_type(config.descent().precision).into()))
    });
    train_fused_with(optimizer, link, rows[0], rows[1], config, threads, observer)
}

/// Returns Burn's float type for a precision.
pub fn float_type(precision: Precision) -> FloatDType {
    match precision {
        Precision::F32 => FloatDType::F32,
        Precision::F64 => FloatDType::F64,
    }
}

/// Runs [`chainrule_solve::train()`] with the fused kernels of a device. The parameters start at
/// zero. The training and validation rows are copied to the device once: images as bytes, and
/// tables as features in the float type of the config. A step is two launches.
///
/// `columns` is the number of weight columns: 1, or one per class.
///
/// # Errors
/// As [`chainrule_solve::train()`]; if the device has no fused kernels
/// ([`chainrule_ops::supports_device_steps`]); and if the config needs an ability that they lack.
pub fn train_on_device(
    columns: usize,
    examples: &Rows,
    validation: &Rows,
    preprocessing: &Preprocessing,
    config: &TrainConfig,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    let have_weights = examples.weights()?.is_some() || validation.weights()?.is_some();
    let missing = EngineKind::DeviceKernels.missing_ability(config);
    if let Some(problem) = missing.or(have_weights.then_some(MissingAbility::Weights)) {
        return Err(TrainError::UnsupportedByKernels { problem });
    }
    let mut engine = DeviceKernelEngine::new(columns, [examples, validation], preprocessing, config, device)?;
    train(&mut engine, config, observer)
}

/// Converts the error of a device that did not return its results.
fn device_error(error: TensorReadError) -> EngineError {
    EngineError::Device(Box::new(error))
}
