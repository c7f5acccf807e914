//! What computes a training on Burn: its tensors and optimizers on any device, and a GPU's own kernels.
//!
//! [`train_by_tensors`] trains any [`Classifier`] by closed forms or autodiff, and [`train_on_device`] by two launches a
//! step; each is an [`Engine`](chainrule_solve::Engine) of [`chainrule_solve::train()`]. [`Prepared`] has rows in the form
//! that a config's gradients are computed from, and chooses among these and the kernels of the CPU.

mod examples;
mod images;
mod launches;
mod optimizer;
mod prepared;
mod tensors;

use burn::tensor::{Device, TensorReadError};
use chainrule_core::TrainConfig;
use chainrule_data::Split;
use chainrule_models::Classifier;
use chainrule_solve::{Failure, Observer, TrainError, Trained, train, within_kernels};

pub use examples::{Examples, Expansion};
pub use images::{ImageDataset, LabelledImage};
pub use prepared::{Prepared, float_type};
pub use tensors::{evaluate, with_parameters};

use launches::Launches;
use tensors::Tensors;

/// [`chainrule_solve::train()`] by tensor operations on the device of the examples, from the model's parameters. A gradient
/// source that the config leaves open, or fused, is the closed form.
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
    train(&mut Tensors::new(model, examples, validation, config)?, config, observer)
}

/// [`chainrule_solve::train()`] by the kernels of a device with a memory of its own, from parameters that are 0: the bytes
/// of both splits cross once, and a step is two launches. The model has so many columns of weights: 1, or one a class.
///
/// # Errors
/// As [`chainrule_solve::train()`], and where the device has no such kernels ([`chainrule_ops::has_steps`]) or the config
/// asks for what they cannot do ([`TrainConfig::beyond_kernels`]).
pub fn train_on_device(
    columns: usize,
    splits: &[Split; 2],
    config: &TrainConfig,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    within_kernels(config)?;
    let Some(mut engine) = Launches::new(columns, splits, config, device) else {
        return Err(TrainError::NoKernels { device: format!("{device:?}") });
    };
    train(&mut engine, config, observer)
}

/// The device does not give back what it computed.
fn lost(error: TensorReadError) -> Failure {
    Failure::Device(Box::new(error))
}
