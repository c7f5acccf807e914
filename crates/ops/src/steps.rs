//! Training steps on a CubeCL device, each in two launches.

use burn::tensor::{DType, Device, TensorReadError};
use chainrule_core::{Gradient, Step};

use crate::Loss;

/// Rows with their labels. A feature is `scale * stored + offset`.
#[derive(Clone, Copy, Debug)]
pub struct StepRows<'a> {
    /// What the device stores of each feature.
    pub features: StepFeatures<'a>,
    /// `[n]`, each less than the number of classes.
    pub labels: &'a [u32],
}

/// The stored features of rows, `[n * d]`, row by row.
#[derive(Clone, Copy, Debug)]
pub enum StepFeatures<'a> {
    /// Bytes, such as the pixels of images. Four bytes take one word of the device.
    Bytes(&'a [u8]),
    /// Numbers, such as a table's.
    F32(&'a [f32]),
    /// Numbers in f64.
    F64(&'a [f64]),
}

impl StepFeatures<'_> {
    /// The number of stored features, n * d.
    fn len(&self) -> usize {
        match self {
            StepFeatures::Bytes(bytes) => bytes.len(),
            StepFeatures::F32(numbers) => numbers.len(),
            StepFeatures::F64(numbers) => numbers.len(),
        }
    }
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
    /// Queues one step on the rows `batch` of the training rows, in this order. The host waits
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

    /// Evaluates the parameters on the training rows and on the validation rows.
    ///
    /// # Errors
    /// If reading from the device fails.
    fn evaluate(&mut self) -> Result<[DeviceEvaluation; 2], TensorReadError>;

    /// Returns the gradient and the mean cross-entropy of the rows `batch` of the training rows,
    /// without the penalty. Sums over many rows are added in f64.
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
    /// Scale of a feature, `scale * stored + offset`.
    pub scale: f64,
    /// Offset of a feature, `scale * stored + offset`.
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

/// Creates training steps with zero parameters, and copies the training rows and the validation
/// rows to the device. Returns `None` if this build does not support the device.
///
/// # Panics
/// If features, labels and columns do not match, if there is no row, feature or column, if the two
/// sets of rows are stored in different types, if the float type is not f32 or f64, or if it is f32
/// and the features are f64.
pub fn device_steps(device: &Device, problem: StepProblem, rows: [StepRows<'_>; 2]) -> Option<Box<dyn DeviceSteps>> {
    let StepProblem { loss, n_features: d, n_columns: k, .. } = problem;
    assert!(d > 0 && k > 0 && (loss == Loss::Softmax || k == 1), "{loss:?} with {d} features and {k} columns");
    assert!(
        matches!(problem.dtype, DType::F32 | DType::F64),
        "the float type of steps is f32 or f64, found {:?}",
        problem.dtype
    );
    let [train, validation] = rows.map(|rows| std::mem::discriminant(&rows.features));
    assert!(train == validation, "training rows and validation rows are stored in one type");
    for StepRows { features, labels } in &rows {
        assert!(
            problem.dtype == DType::F64 || !matches!(features, StepFeatures::F64(_)),
            "features in f64 need steps in f64"
        );
        assert!(!labels.is_empty(), "expected at least one row");
        assert_eq!(features.len(), labels.len() * d, "features of {} rows of {d} features", labels.len());
        let label = labels.iter().max().copied().unwrap_or_default();
        assert!((label as usize) < loss.n_classes(k), "labels: expected 0..{}, found {label}", loss.n_classes(k));
    }
    #[cfg(feature = "cube")]
    return crate::cube::device(device).map(|device| crate::cube::steps(device, problem, rows));
    #[cfg(not(feature = "cube"))]
    {
        let _ = device;
        None
    }
}
