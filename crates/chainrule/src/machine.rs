//! Where trainings happen: a backend's device, or this processor, and threads.

use std::num::NonZero;
use std::thread;

#[cfg(feature = "burn")]
use burn::tensor::Device;
use chainrule_core::{GradientSource, Parameters, Preprocessing, TrainConfig, Update, WeightNorms};
use chainrule_data::Request;
use chainrule_solve::{Bytes, Chosen, Observer, TrainError, Trained};

use crate::Error;
use crate::backend::{self, Backend};

/// Threads of the fused kernels, at most: each has sums of its own, and a system has an end of
/// threads.
pub const MOST_THREADS: usize = 1024;

/// What trains: a backend, and as many threads.
pub struct Machine {
    backend: Backend,
    /// Burn's, unless it is this processor without Burn.
    #[cfg(feature = "burn")]
    device: Option<Device>,
    /// Of the fused kernels.
    threads: NonZero<usize>,
}

/// Training and validation rows, in the form that a config's gradients are computed from.
pub enum Prepared {
    /// By this processor, without Burn.
    Here(chainrule_solve::Prepared),
    /// By Burn.
    #[cfg(feature = "burn")]
    ByBurn(chainrule_engines::Prepared),
}

impl Machine {
    /// The default device of the backend that was named, else of the build's first.
    ///
    /// # Errors
    /// Where this build lacks the backend, or this machine its device, and where there are more
    /// than [`MOST_THREADS`].
    pub fn new(named: Option<&Backend>, threads: NonZero<usize>) -> Result<Self, Error> {
        if threads.get() > MOST_THREADS {
            return Err(Error::Backend(format!("{threads} threads; expected from 1 to {MOST_THREADS}")));
        }
        let backend = backend::choose(named)?;
        if !backend.is_built() {
            return Err(Error::Backend(backend.missing()));
        }
        Ok(Self {
            #[cfg(feature = "burn")]
            device: if backend == Backend::Cpu { None } else { Some(backend.device()?) },
            backend,
            threads,
        })
    }

    /// What computes.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Burn's device, unless it is this processor without Burn.
    #[cfg(feature = "burn")]
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// The device, as Burn names it.
    pub fn device_text(&self) -> String {
        #[cfg(feature = "burn")]
        if let Some(device) = &self.device {
            return format!("{device:?}");
        }
        "this processor".to_owned()
    }

    /// Threads of the fused kernels.
    pub fn threads(&self) -> NonZero<usize> {
        self.threads
    }

    /// The config with what it leaves to the machine.
    ///
    /// # Errors
    /// As [`settle_for`](Self::settle_for).
    pub fn settle(&self, config: TrainConfig) -> Result<TrainConfig, Error> {
        let are_bytes = !Request::from(config.data().source.as_str()).is_table();
        self.settle_for(config, are_bytes)
    }

    /// The same for rows that are known: the bytes of images, or a table's numbers.
    ///
    /// # Errors
    /// Where it asks for a precision, a gradient source or an optimizer that is not there.
    pub fn settle_for(&self, config: TrainConfig, are_bytes: bool) -> Result<TrainConfig, Error> {
        let refused = |problem: String| Err(Error::Backend(problem));
        self.has_precision(&config)?;
        if self.backend == Backend::Cpu && config.descent().update() != Update::Plain {
            return refused(format!(
                "{}: {} makes plain steps only; take sgd without momentum, or a backend of Burn's (--features ndarray or flex)",
                config.descent().update_key(),
                self.backend
            ));
        }
        match config.descent().gradient {
            GradientSource::Auto if self.has_kernels() && config.beyond_kernels().is_none() && are_bytes => {
                Ok(config.with_gradient(GradientSource::Fused))
            }
            GradientSource::Auto => Ok(config.with_gradient(GradientSource::ClosedForm)),
            GradientSource::Fused if !self.has_kernels() => refused(format!(
                "descent.gradient = \"fused\": {} has no fused kernels; take closed-form",
                self.backend
            )),
            GradientSource::Fused if !are_bytes => refused(
                "descent.gradient = \"fused\": the kernels read the bytes of images, and these are a table's rows; take closed-form, or auto"
                    .to_owned(),
            ),
            GradientSource::Autodiff if self.backend == Backend::Cpu => refused(format!(
                "descent.gradient = \"autodiff\": {} has none; take closed-form, or a backend of Burn's (--features ndarray or flex)",
                self.backend
            )),
            GradientSource::Fused | GradientSource::ClosedForm | GradientSource::Autodiff => Ok(config),
        }
    }

    #[cfg(feature = "burn")]
    fn has_precision(&self, config: &TrainConfig) -> Result<(), Error> {
        let is_f64 = config.descent().precision == chainrule_core::Precision::F64;
        match &self.device {
            Some(device) if is_f64 && !chainrule_gradcheck::f64_works(device) => Err(Error::Backend(format!(
                "descent.precision = \"f64\": {} has no f64 here; take f32, or --features ndarray or flex",
                self.backend
            ))),
            _ => Ok(()),
        }
    }

    #[cfg(not(feature = "burn"))]
    fn has_precision(&self, _: &TrainConfig) -> Result<(), Error> {
        Ok(())
    }

    /// Whether fused kernels run where its tensors are: in this process, or on its device by two
    /// launches a step.
    pub fn has_kernels(&self) -> bool {
        #[cfg(feature = "burn")]
        if let Some(device) = self.device.as_ref().filter(|_| self.backend.is_apart()) {
            return chainrule_ops::has_steps(device);
        }
        true
    }

    /// Makes rows what a config's gradients are computed from.
    pub fn prepare(&self, rows: [Chosen; 2], preprocessing: &Preprocessing, config: &TrainConfig) -> Prepared {
        #[cfg(feature = "burn")]
        if let Some(device) = &self.device
            && (config.descent().gradient != GradientSource::Fused || self.backend.is_apart())
        {
            use chainrule_engines::{Expansion, Prepared as Own};
            let expansion = if self.backend.is_apart() { Expansion::Device } else { Expansion::Host };
            return Prepared::ByBurn(Own::new(rows, preprocessing, config, device, expansion));
        }
        Prepared::Here(chainrule_solve::Prepared::new(rows, preprocessing, config))
    }

    /// Norms of parameters, on the device in f64 where it has that; nothing where the squares sum
    /// to more than floats hold.
    pub fn norms(&self, parameters: &Parameters) -> Option<WeightNorms> {
        #[cfg(feature = "burn")]
        if let Some(device) = &self.device {
            return crate::on_burn::norms(parameters, device);
        }
        WeightNorms::of(parameters)
    }
}

impl Prepared {
    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        match self {
            Self::Here(rows) => rows.n_features(),
            #[cfg(feature = "burn")]
            Self::ByBurn(rows) => rows.n_features(),
        }
    }

    /// Trains a model of so many classes on them, from parameters that are 0.
    ///
    /// # Errors
    /// Where a training cannot be, and where its device or its data is lost.
    pub fn train(
        &self,
        n_classes: usize,
        config: &TrainConfig,
        threads: NonZero<usize>,
        observer: &mut dyn Observer,
    ) -> Result<Trained, TrainError> {
        let link = config.model().kind.link(n_classes);
        match self {
            Self::Here(rows) => rows.train(&link, config, threads, observer),
            #[cfg(feature = "burn")]
            Self::ByBurn(rows) => rows.train(link.columns(), config, observer),
        }
    }

    /// The training rows as the fused kernels of this processor take them, where they do.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Here(chainrule_solve::Prepared::Bytes(rows)) => Some(&rows[0]),
            Self::Here(chainrule_solve::Prepared::Dense(_)) => None,
            #[cfg(feature = "burn")]
            Self::ByBurn(_) => None,
        }
    }

    /// Whether a device's own kernels take them.
    pub fn has_launches(&self) -> bool {
        match self {
            Self::Here(_) => false,
            #[cfg(feature = "burn")]
            Self::ByBurn(rows) => matches!(rows, chainrule_engines::Prepared::Images(..)),
        }
    }
}

/// As many threads as this machine runs at once.
pub fn all_threads() -> NonZero<usize> {
    thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}
