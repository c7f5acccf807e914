//! Steps and evaluations by the launches of a device's own kernels, on the bytes of the rows.

use std::sync::Arc;

use burn::tensor::{DType, Device};
use chainrule_core::{Gradient, Link, ModelKind, Parameters, Precision, Step, TrainConfig};
use chainrule_data::Split;
use chainrule_kernels::{Float, Fused, Isa, Rows};
use chainrule_ops::{DeviceSteps, Images, Loss, Problem, device_steps};
use chainrule_solve::{Engine, Evaluated, Failure, Metrics, fused_rows, scale_and_offset};

use crate::lost;

/// Parameters on their way down.
pub(crate) struct Launches<'a> {
    steps: Box<dyn DeviceSteps>,
    step: Step,
    link: Arc<dyn Link>,
    precision: Precision,
    splits: &'a [Split; 2],
    /// The host's kernels in f64, once they are asked for: a device may have no f64.
    in_f64: Option<(Fused, Rows)>,
}

impl<'a> Launches<'a> {
    /// `None` where the device has no such kernels.
    pub(crate) fn new(columns: usize, splits: &'a [Split; 2], config: &TrainConfig, device: &Device) -> Option<Self> {
        let (scale, offset) = scale_and_offset();
        let problem = Problem {
            loss: match config.model().kind {
                ModelKind::Logistic => Loss::Logistic,
                ModelKind::Softmax => Loss::Softmax,
            },
            n_features: splits[0].n_features(),
            n_columns: columns,
            scale,
            offset,
            dtype: match config.descent().precision {
                Precision::F32 => DType::F32,
                Precision::F64 => DType::F64,
            },
        };
        let labels = [0, 1].map(|i| splits[i].labels.iter().copied().map(u32::from).collect::<Vec<_>>());
        let images = [0, 1].map(|i| Images { pixels: &splits[i].pixels, labels: &labels[i] });
        Some(Self {
            steps: device_steps(device, problem, images)?,
            step: Step {
                learning_rate: config.descent().learning_rate,
                l2: config.objective().l2,
                penalize_bias: config.objective().penalize_bias,
            },
            link: config.model().kind.link(columns),
            precision: config.descent().precision,
            splits,
            in_f64: None,
        })
    }
}

impl Engine for Launches<'_> {
    fn link(&self) -> &dyn Link {
        &*self.link
    }

    fn rows(&self) -> usize {
        self.splits[0].len()
    }

    fn step(&mut self, batch: &[usize], learning_rate: f64) -> Result<(), Failure> {
        self.step.learning_rate = learning_rate;
        self.steps.step(batch, self.step).map_err(lost)
    }

    fn losses(&mut self) -> Result<Vec<f64>, Failure> {
        self.steps.losses().map_err(lost)
    }

    fn gradient_of_all(&mut self) -> Result<Gradient, Failure> {
        let all: Vec<usize> = (0..self.rows()).collect();
        self.steps.gradient(&all).map_err(lost)
    }

    fn gradient_in_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, Failure>> {
        if self.precision == Precision::F64 {
            return None;
        }
        let (link, train) = (&self.link, &self.splits[0]);
        let (fused, rows) = self.in_f64.get_or_insert_with(|| {
            (Fused::new(Arc::clone(link), train.n_features(), Float::F64, 1, Isa::best()), fused_rows(train))
        });
        fused.set(&parameters.weight, &parameters.bias);
        Some(Ok(fused.gradient_of_all(rows)))
    }

    fn evaluate(&mut self) -> Result<Evaluated, Failure> {
        let [train, validation] = self.metrics()?;
        Ok(Evaluated { validation, train_accuracy: train.accuracy, parameters: self.parameters()? })
    }

    fn metrics(&mut self) -> Result<[Metrics; 2], Failure> {
        let [train, validation] = self.steps.evaluate().map_err(lost)?;
        let metrics = |found: chainrule_ops::Evaluated, rows: usize| Metrics {
            loss: found.loss,
            accuracy: found.right as f64 / rows as f64,
        };
        Ok([metrics(train, self.splits[0].len()), metrics(validation, self.splits[1].len())])
    }

    fn parameters(&mut self) -> Result<Parameters, Failure> {
        let (weight, bias) = self.steps.parameters().map_err(lost)?;
        Ok(Parameters { n_features: self.splits[0].n_features(), columns: bias.len(), weight, bias })
    }

    fn set(&mut self, parameters: &Parameters) {
        self.steps.set(&parameters.weight, &parameters.bias);
    }
}
