//! Where trainings happen: a backend's device, and threads.

use std::num::NonZero;
use std::thread;

use anyhow::{Result, bail};
use burn::tensor::Device;
use chainrule_data::Request;
use chainrule_gradcheck::f64_works;
use chainrule_ops::has_steps;
use chainrule_records::{DataConfig, GradientSource, Manifest, Precision, TrainConfig};

use crate::backend::{self, Backend};

/// Where runs happen.
pub(crate) struct Machine {
    pub(crate) backend: Backend,
    pub(crate) device: Device,
    /// Of the fused kernels.
    threads: NonZero<usize>,
}

impl Machine {
    /// The default device of the backend that was named, else of the build's first.
    pub(crate) fn new(named: Option<&Backend>, threads: NonZero<usize>) -> Result<Self> {
        let backend = backend::choose(named)?;
        Ok(Self { device: backend.device()?, backend, threads })
    }

    /// Threads of the fused kernels.
    pub(crate) fn threads(&self) -> NonZero<usize> {
        self.threads
    }

    /// The same for what goes on: as it was made, unless the options say otherwise.
    pub(crate) fn again(named: Option<&Backend>, made: Option<&Manifest>, threads: NonZero<usize>) -> Result<Self> {
        match (named, made) {
            (None, Some(made)) => Self::new(Some(&made.backend.parse().map_err(anyhow::Error::msg)?), threads),
            (named, _) => Self::new(named, threads),
        }
    }

    /// The config with what it leaves to the machine.
    ///
    /// # Errors
    /// Where it asks for a precision or a gradient source that the device does not have.
    pub(crate) fn settle(&self, config: TrainConfig) -> Result<TrainConfig> {
        let are_bytes = are_bytes(config.data());
        self.settle_for(config, are_bytes)
    }

    /// The same for rows that are known: the bytes of images, or a table's numbers.
    pub(crate) fn settle_for(&self, config: TrainConfig, are_bytes: bool) -> Result<TrainConfig> {
        if config.descent().precision == Precision::F64 && !f64_works(&self.device) {
            bail!(
                "descent.precision = \"f64\": {} has no f64 here; take f32, or --features ndarray or flex",
                self.backend
            );
        }
        match config.descent().gradient {
            GradientSource::Auto if self.has_kernels() && config.beyond_kernels().is_none() && are_bytes => {
                Ok(config.with_gradient(GradientSource::Fused))
            }
            GradientSource::Auto => Ok(config.with_gradient(GradientSource::ClosedForm)),
            GradientSource::Fused if !self.has_kernels() => {
                bail!("descent.gradient = \"fused\": {} has no fused kernels; take closed-form", self.backend)
            }
            GradientSource::Fused if !are_bytes => {
                bail!(
                    "descent.gradient = \"fused\": the kernels read the bytes of images, and these are a table's rows; take closed-form, or auto"
                )
            }
            GradientSource::Fused | GradientSource::ClosedForm | GradientSource::Autodiff => Ok(config),
        }
    }

    /// Whether fused kernels run where its tensors are: in this process, or on its device by two launches a step.
    pub(crate) fn has_kernels(&self) -> bool {
        !self.backend.is_apart() || has_steps(&self.device)
    }
}

/// As many threads as this machine runs at once.
pub(crate) fn all_threads() -> NonZero<usize> {
    thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}

/// Whether the rows are bytes, as the fused kernels read them.
fn are_bytes(data: &DataConfig) -> bool {
    !Request::from(data.source.as_str()).is_table()
}
