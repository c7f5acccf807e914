//! Steps and evaluations by the kernels, on the bytes of the rows.

use burn::tensor::TensorReadError;
use chainrule_kernels::{Float, Fused, Isa, Model, Rows, Step};
use chainrule_records::{Parameters, Precision, TrainConfig};

use crate::Metrics;
use crate::engine::{Engine, Evaluated};

/// Parameters on their way down.
pub(crate) struct Kernels<'a> {
    fused: Fused,
    step: Step,
    train: &'a Rows,
    validation: &'a Rows,
    losses: Vec<f64>,
}

impl<'a> Kernels<'a> {
    pub(crate) fn new(
        model: Model,
        train: &'a Rows,
        validation: &'a Rows,
        config: &TrainConfig,
        threads: usize,
    ) -> Self {
        let float = match config.descent().precision {
            Precision::F32 => Float::F32,
            Precision::F64 => Float::F64,
        };
        Self {
            fused: Fused::new(model, train.n_features(), float, threads, Isa::best()),
            step: Step {
                learning_rate: config.descent().learning_rate,
                l2: config.objective().l2,
                penalize_bias: config.objective().penalize_bias,
            },
            train,
            validation,
            losses: Vec::new(),
        }
    }

    fn metrics_on(&mut self, rows: &Rows) -> Metrics {
        let found = self.fused.evaluate(rows);
        Metrics { loss: found.loss, accuracy: found.right as f64 / rows.len() as f64 }
    }
}

impl Engine for Kernels<'_> {
    fn rows(&self) -> usize {
        self.train.len()
    }

    fn step(&mut self, batch: &[usize]) -> Result<(), TensorReadError> {
        self.losses.push(self.fused.step(self.train, batch, self.step));
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<f64>, TensorReadError> {
        Ok(std::mem::take(&mut self.losses))
    }

    fn evaluate(&mut self) -> Result<Evaluated, TensorReadError> {
        Ok(Evaluated {
            validation: self.metrics_on(self.validation),
            train_accuracy: self.fused.right(self.train) as f64 / self.train.len() as f64,
            parameters: self.parameters()?,
        })
    }

    fn metrics(&mut self) -> Result<[Metrics; 2], TensorReadError> {
        Ok([self.train, self.validation].map(|rows| self.metrics_on(rows)))
    }

    fn parameters(&mut self) -> Result<Parameters, TensorReadError> {
        let (weight, bias) = self.fused.parameters();
        Ok(Parameters { n_features: self.train.n_features(), n_classes: bias.len(), weight, bias })
    }

    fn set(&mut self, parameters: &Parameters) {
        self.fused.set(&parameters.weight, &parameters.bias);
    }
}
