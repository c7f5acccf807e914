//! Whole training steps on a CubeCL device.

use burn::tensor::{DType, Device, TensorReadError};
use chainrule_core::{Gradient, Step};

use crate::Loss;

/// Rows of bytes, with their labels. A feature is `scale * byte + offset`.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// `[n * d]`, row by row.
    pub pixels: &'a [u8],
    /// `[n]`, each less than the number of classes.
    pub labels: &'a [u32],
}

/// Loss and number of correctly classified rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceEvaluation {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Number of correctly classified rows.
    pub right: usize,
}

/// Parameters and rows on a device. A training step is two launches: the first goes forward, the
/// second goes backward and updates the parameters.
pub trait DeviceSteps: Send {
    /// Queues one update with the rows `batch` of the training images, in this order. The host
    /// waits only if the losses fill their buffer on the device, which it then reads.
    ///
    /// # Errors
    /// If reading from the device fails.
    ///
    /// # Panics
    /// If the batch is empty or contains an index past the last row.
    fn step(&mut self, batch: &[usize], step: Step) -> Result<(), TensorReadError>;

    /// Returns the mean cross-entropy of each batch before its update, for all steps since the last
    /// call.
    ///
    /// # Errors
    /// If reading from the device fails.
    fn losses(&mut self) -> Result<Vec<f64>, TensorReadError>;

    /// Evaluates the parameters on the training images and on the validation images.
    ///
    /// # Errors
    /// If reading from the device fails.
    fn evaluate(&mut self) -> Result<[DeviceEvaluation; 2], TensorReadError>;

    /// Returns the gradient on the rows `batch` of the training images, without the penalty, with
    /// their mean cross-entropy.
    ///
    /// # Errors
    /// If reading from the device fails.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    fn gradient(&mut self, batch: &[usize]) -> Result<Gradient, TensorReadError>;

    /// Returns W by rows, `[d * k]`, and b, `[k]`.
    ///
    /// # Errors
    /// If reading from the device fails.
    fn parameters(&mut self) -> Result<(Vec<f64>, Vec<f64>), TensorReadError>;

    /// Sets W by rows, `[d * k]`, and b, `[k]`.
    ///
    /// # Panics
    /// If the lengths do not match.
    fn set(&mut self, weight: &[f64], bias: &[f64]);
}

/// The model, sizes and number format of [`device_steps`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepProblem {
    /// The loss of the model.
    pub loss: Loss,
    /// Number of features, d.
    pub n_features: usize,
    /// Number of columns of W, k: the classes for softmax, 1 for logistic regression.
    pub n_columns: usize,
    /// Factor from a byte to its feature.
    pub scale: f64,
    /// Feature of a byte that is 0.
    pub offset: f64,
    /// Float type of the parameters and the arithmetic, f32 or f64.
    pub dtype: DType,
}

/// Whether [`device_steps`] supports the device in this build.
pub fn has_steps(device: &Device) -> bool {
    #[cfg(feature = "cube")]
    return crate::cube::device(device).is_some();
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        false
    }
}

/// Copies the training images and the validation images to a device, with zero parameters. Returns
/// `None` if this build has no kernels for the device.
///
/// # Panics
/// If pixels, labels, features and columns do not match, if there is no row, feature or column, or
/// if the float type is not f32 or f64.
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
