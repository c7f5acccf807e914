//! The engine that uses a device's own fused kernels. It trains on the bytes of images or on the
//! numbers of tables.

use std::sync::Arc;

use burn::tensor::{DType, Device};
use chainrule_core::{
    FeatureKind, Features, Gradient, Link, MissingAbility, ModelKind, Parameters, Precision, Preprocessing, Step,
    TrainConfig,
};
use chainrule_data::{RowBuffer, Rows};
use chainrule_kernels::{Float, FusedModel, Isa};
use chainrule_ops::{DeviceSteps, Loss, StepFeatures, StepProblem, StepRows, device_steps};
use chainrule_solve::{Engine, EngineError, EvaluationResult, FusedRows, Metrics, TrainError};

use crate::device_error;

/// Trains with the fused kernels of a device. The device holds the parameters and the rows.
pub(crate) struct DeviceKernelEngine<'a> {
    steps: Box<dyn DeviceSteps>,
    step: Step,
    link: Arc<dyn Link>,
    precision: Precision,
    /// The training rows and the validation rows.
    rows: [&'a Rows; 2],
    preprocessing: &'a Preprocessing,
    /// The f64 kernels of the host with the training rows, created on first use: a device may have
    /// no f64.
    host_f64: Option<(FusedModel, FusedRows)>,
}

impl<'a> DeviceKernelEngine<'a> {
    /// Copies the rows to the device.
    ///
    /// # Errors
    /// If the device has no fused kernels, if the rows are bytes and each feature has its own
    /// scale, or if the rows cannot be read.
    pub(crate) fn new(
        columns: usize,
        rows: [&'a Rows; 2],
        preprocessing: &'a Preprocessing,
        config: &TrainConfig,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let (scale, offset) = match rows[0].kind() {
            FeatureKind::Bytes => preprocessing
                .shared_affine()
                .ok_or(TrainError::UnsupportedByKernels { problem: MissingAbility::Standardization })?,
            // The stored numbers are the features.
            FeatureKind::Numbers => (1.0, 0.0),
        };
        let problem = StepProblem {
            loss: match config.model().kind {
                ModelKind::Logistic => Loss::Logistic,
                ModelKind::Softmax => Loss::Softmax,
            },
            n_features: rows[0].n_features(),
            n_columns: columns,
            scale,
            offset,
            dtype: match config.descent().precision {
                Precision::F32 => DType::F32,
                Precision::F64 => DType::F64,
            },
        };
        let precision = config.descent().precision;
        let labels = rows.map(|rows| rows.labels().into_iter().map(u32::from).collect::<Vec<_>>());
        let [mut of_train, mut of_validation] = [RowBuffer::default(), RowBuffer::default()];
        let stored = [
            StoredRows::new(rows[0], preprocessing, precision, &mut of_train)?,
            StoredRows::new(rows[1], preprocessing, precision, &mut of_validation)?,
        ];
        let [train, validation] = [0, 1].map(|i| StepRows { features: stored[i].features(), labels: &labels[i] });
        Ok(Self {
            steps: device_steps(device, problem, [train, validation])
                .ok_or_else(|| TrainError::NoKernels { device: format!("{device:?}") })?,
            step: Step {
                learning_rate: config.descent().learning_rate,
                l2: config.objective().l2,
                penalize_bias: config.objective().penalize_bias,
            },
            link: config.model().kind.link(columns),
            precision,
            rows,
            preprocessing,
            host_f64: None,
        })
    }
}

/// Rows as the device stores them. Bytes are stored as they are. Numbers are stored as features,
/// each rounded to the precision, the same as those of [`Examples`](crate::Examples).
enum StoredRows<'a> {
    Bytes(&'a [u8]),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl<'a> StoredRows<'a> {
    fn new(
        rows: &'a Rows,
        preprocessing: &Preprocessing,
        precision: Precision,
        buffer: &'a mut RowBuffer,
    ) -> Result<Self, TrainError> {
        if rows.kind() == FeatureKind::Bytes
            && let Features::Bytes(bytes) = rows.chunk(0..rows.len(), buffer)?
        {
            return Ok(Self::Bytes(bytes));
        }
        let rows = rows.clone();
        Ok(match precision {
            Precision::F32 => Self::F32(rows.into_features(preprocessing, |x| x as f32)?),
            Precision::F64 => Self::F64(rows.into_features(preprocessing, |x| x)?),
        })
    }

    fn features(&self) -> StepFeatures<'_> {
        match self {
            Self::Bytes(bytes) => StepFeatures::Bytes(bytes),
            Self::F32(numbers) => StepFeatures::F32(numbers),
            Self::F64(numbers) => StepFeatures::F64(numbers),
        }
    }
}

impl Engine for DeviceKernelEngine<'_> {
    fn link(&self) -> &dyn Link {
        &*self.link
    }

    fn rows(&self) -> usize {
        self.rows[0].len()
    }

    fn step(&mut self, batch: &[usize], learning_rate: f64) -> Result<(), EngineError> {
        self.step.learning_rate = learning_rate;
        self.steps.step(batch, self.step).map_err(device_error)
    }

    fn losses(&mut self) -> Result<Vec<f64>, EngineError> {
        self.steps.losses().map_err(device_error)
    }

    fn full_gradient(&mut self) -> Result<Gradient, EngineError> {
        let all_rows: Vec<usize> = (0..self.rows()).collect();
        self.steps.gradient(&all_rows).map_err(device_error)
    }

    fn full_gradient_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, EngineError>> {
        if self.precision == Precision::F64 {
            return None;
        }
        if self.host_f64.is_none() {
            let rows = match FusedRows::new(self.rows[0].clone(), self.preprocessing) {
                Ok(rows) => rows,
                Err(error) => return Some(Err(EngineError::Device(Box::new(error)))),
            };
            let fused = FusedModel::new(Arc::clone(&self.link), rows.n_features(), Float::F64, 1, Isa::best());
            self.host_f64 = Some((fused, rows));
        }
        let (fused, rows) = self.host_f64.as_mut()?;
        fused.set(&parameters.weight, &parameters.bias);
        Some(Ok(fused.full_gradient(rows.packed()?)))
    }

    fn evaluate(&mut self) -> Result<EvaluationResult, EngineError> {
        let [train, validation] = self.metrics()?;
        Ok(EvaluationResult { validation, train_accuracy: train.accuracy, parameters: self.parameters()? })
    }

    fn metrics(&mut self) -> Result<[Metrics; 2], EngineError> {
        let [train, validation] = self.steps.evaluate().map_err(device_error)?;
        let metrics = |evaluation: chainrule_ops::DeviceEvaluation, rows: usize| Metrics {
            loss: evaluation.loss,
            accuracy: evaluation.n_correct as f64 / rows as f64,
        };
        Ok([metrics(train, self.rows[0].len()), metrics(validation, self.rows[1].len())])
    }

    fn parameters(&mut self) -> Result<Parameters, EngineError> {
        let (weight, bias) = self.steps.parameters().map_err(device_error)?;
        Ok(Parameters { n_features: self.rows[0].n_features(), columns: bias.len(), weight, bias })
    }

    fn set(&mut self, parameters: &Parameters) {
        self.steps.set(&parameters.weight, &parameters.bias);
    }
}
