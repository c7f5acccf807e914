//! Training steps on a CubeCL device, each in two launches.

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

/// The results of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceEvaluation {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Number of correctly classified rows.
    pub n_correct: usize,
}

/// Training steps on a device, which holds the parameters and the rows. A step is two launches: the
/// forward kernel, and the backward kernel, which also updates the parameters.
pub trait DeviceSteps: Send {
    /// Queues one step on the rows `batch` of the training images, in this order. The host waits
    /// for the device only if the buffer of losses is full.
    ///
    /// # Errors
    /// If reading from the device fails.
    ///
    /// # Panics
    /// If the batch is empty or contains an index past the last row.
    fn step(&mut self, batch: &[usize], step: Step) -> Result<(), TensorReadError>;

    /// Returns the mean cross-entropy of each batch before its update, for all steps since the last
    /// call of this method.
    ///
    /// # Errors
    /// If reading from the device fails.
    fn losses(&mut self) -> Result<Vec<f64>, TensorReadError>;

    /// Evaluates the parameters on the training images and on the validation images.
    ///
    /// # Errors
    /// If reading from the device fails.
    fn evaluate(&mut self) -> Result<[DeviceEvaluation; 2], TensorReadError>;

    /// Returns the gradient and the mean cross-entropy of the rows `batch` of the training images,
    /// without the penalty.
    ///
    /// # Errors
    /// If reading from the device fails.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    fn gradient(&mut self, batch: &[usize]) -> Result<Gradient, TensorReadError>;

    /// Returns W and b, row-major: `[d * k]` and `[k]`.
    ///
    /// # Errors
    /// If reading from the device fails.
    fn parameters(&mut self) -> Result<(Vec<f64>, Vec<f64>), TensorReadError>;

    /// Sets W and b, row-major: `[d * k]` and `[k]`.
    ///
    /// # Panics
    /// If the lengths do not match.
    fn set(&mut self, weight: &[f64], bias: &[f64]);
}

/// The model of [`device_steps`], its sizes, and the float type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepProblem {
    /// The loss of the model.
    pub loss: Loss,
    /// Number of features, d.
    pub n_features: usize,
    /// Number of columns of W, k: the classes for softmax, 1 for logistic regression.
    pub n_columns: usize,
    /// Scale of a feature, `scale * byte + offset`.
    pub scale: f64,
    /// Offset of a feature, `scale * byte + offset`.
    pub offset: f64,
    /// Float type of the parameters and the arithmetic, f32 or f64.
    pub dtype: DType,
}

/// Whether this build supports [`device_steps`] on the device.
pub fn supports_device_steps(device: &Device) -> bool {
    #[cfg(feature = "cube")]
    return crate::cube::device(device).is_some();
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        false
    }
}

/// Creates training steps with zero parameters, and copies the training images and the validation
/// images to the device. Returns `None` if this build does not support the device.
///
/// # Panics
/// If pixels, labels, features and columns do not match, if there is no row, feature or column, or
/// if the float type is not f32 or f64.
pub fn device_steps(device: &Device, problem: StepProblem, images: [Images<'_>; 2]) -> Option<Box<dyn DeviceSteps>> {
    let StepProblem { loss, n_features: d, n_columns: k, .. } = problem;
    assert!(d > 0 && k > 0 && (loss == Loss::Softmax || k == 1), "{loss:?} with {d} features and {k} columns");
    assert!(
        matches!(problem.dtype, DType::F32 | DType::F64),
        "the float type of steps is f32 or f64, found {:?}",
        problem.dtype
    );
    for Images { pixels, labels } in &images {
        assert!(!labels.is_empty(), "expected at least one row");
        assert_eq!(pixels.len(), labels.len() * d, "bytes of {} rows of {d} features", labels.len());
        let label = labels.iter().max().copied().unwrap_or_default();
        assert!((label as usize) < loss.n_classes(k), "labels: expected 0..{}, found {label}", loss.n_classes(k));
    }
    #[cfg(feature = "cube")]
    return crate::cube::device(device).map(|device| crate::cube::steps(device, problem, images));
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        None
    }
}
