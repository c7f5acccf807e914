//! Whole training steps on a device that CubeCL drives.

use burn::tensor::{DType, Device, TensorReadError};
use chainrule_core::{Gradient, Step};

use crate::Loss;

/// Rows of bytes with their labels. A feature is `scale * byte + offset`.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// `[n * d]`, row by row.
    pub pixels: &'a [u8],
    /// `[n]`, each below the number of classes.
    pub labels: &'a [u32],
}

/// What the parameters are worth on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceEvaluation {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Rows classified rightly.
    pub right: usize,
}

/// Parameters and rows that live on a device, which a step changes by two launches: one that goes
/// forward and one that goes backward and updates.
pub trait DeviceSteps: Send {
    /// Queues one update by the rows of `batch` among the first images, in that order. The host
    /// does not wait, but for losses of so many rows that they fill their place on the device.
    ///
    /// # Errors
    /// Where the device does not give back what it computed.
    ///
    /// # Panics
    /// Where the batch is empty or names a row that is not there.
    fn step(&mut self, batch: &[usize], step: Step) -> Result<(), TensorReadError>;

    /// The batches' mean cross-entropies, each before its update, of the steps since this was last
    /// asked.
    ///
    /// # Errors
    /// Where the device does not give back what it computed.
    fn losses(&mut self) -> Result<Vec<f64>, TensorReadError>;

    /// What the parameters are worth on each of the images.
    ///
    /// # Errors
    /// Where the device does not give back what it computed.
    fn evaluate(&mut self) -> Result<[DeviceEvaluation; 2], TensorReadError>;

    /// The gradient at the parameters, without a penalty, by rows of the first images.
    ///
    /// # Errors
    /// Where the device does not give back what it computed.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    fn gradient(&mut self, batch: &[usize]) -> Result<Gradient, TensorReadError>;

    /// W by rows, `[d * k]`, and b, `[k]`.
    ///
    /// # Errors
    /// Where the device does not give back what it computed.
    fn parameters(&mut self) -> Result<(Vec<f64>, Vec<f64>), TensorReadError>;

    /// Sets W by rows, `[d * k]`, and b, `[k]`.
    ///
    /// # Panics
    /// Where these are not as many.
    fn set(&mut self, weight: &[f64], bias: &[f64]);
}

/// What [`device_steps`] computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepProblem {
    /// Which model.
    pub loss: Loss,
    /// d.
    pub n_features: usize,
    /// k: classes of softmax, 1 for the logistic model.
    pub n_columns: usize,
    /// Of a byte to its feature.
    pub scale: f64,
    /// The feature of a byte that is 0.
    pub offset: f64,
    /// Of parameters and arithmetic, f32 or f64.
    pub dtype: DType,
}

/// Whether [`device_steps`] gives something there, in this build.
pub fn has_steps(device: &Device) -> bool {
    #[cfg(feature = "cube")]
    return crate::cube::device(device).is_some();
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        false
    }
}

/// Parameters that are 0, on a device with the images to train on and those to validate on; `None`
/// where this build has no kernels for the device.
///
/// # Panics
/// Where pixels, labels, features and columns do not fit each other, or there is no row or no
/// feature.
pub fn device_steps(device: &Device, problem: StepProblem, images: [Images<'_>; 2]) -> Option<Box<dyn DeviceSteps>> {
    let StepProblem { loss, n_features: d, n_columns: k, .. } = problem;
    assert!(d > 0 && k > 0 && (loss == Loss::Softmax || k == 1), "{loss:?} with {d} features and {k} columns");
    assert!(
        matches!(problem.dtype, DType::F32 | DType::F64),
        "steps are made in f32 or f64, not in {:?}",
        problem.dtype
    );
    for Images { pixels, labels } in &images {
        assert!(!labels.is_empty(), "a row at least");
        assert_eq!(pixels.len(), labels.len() * d, "bytes of {} rows of {d} features", labels.len());
        let label = labels.iter().max().copied().unwrap_or_default();
        assert!((label as usize) < loss.labels(k), "label {label} of {} classes", loss.labels(k));
    }
    #[cfg(feature = "cube")]
    return crate::cube::device(device).map(|device| crate::cube::steps(device, problem, images));
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        None
    }
}
