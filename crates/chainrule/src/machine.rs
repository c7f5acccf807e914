//! Where trainings happen: a backend's device, or this processor, and threads.

use std::num::NonZero;
use std::path::Path;
use std::thread;

#[cfg(feature = "burn")]
use burn::tensor::Device;
use chainrule_core::{
    EngineKind, FeatureKind, GradientSource, MissingAbility, Parameters, Preprocessing, TrainConfig, WeightNorms,
};
use chainrule_data::{Request, Rows};
use chainrule_solve::{FusedRows, Observer, TrainError, Trained, train_by_loops, train_fused};

use crate::Error;
use crate::backend::{self, Backend};

/// Threads of the fused kernels, at most: each has sums of its own, and a system has an end of
/// threads.
pub const MAX_THREADS: usize = 1024;

/// What trains: a backend, and as many threads.
pub struct Machine {
    backend: Backend,
    /// Burn's, unless it is this processor without Burn.
    #[cfg(feature = "burn")]
    device: Option<Device>,
    /// Of the fused kernels.
    threads: NonZero<usize>,
}

/// Training and validation rows, in the form that one engine computes with.
pub enum Prepared {
    /// The fused kernels of this processor.
    Kernels(Box<[FusedRows; 2]>),
    /// Plain loops, of whatever makes the features.
    Loops(Box<[Rows; 2]>, Preprocessing),
    /// Burn's tensors.
    #[cfg(feature = "burn")]
    Tensors(Box<[chainrule_engines::Examples; 2]>),
    /// A device's own kernels.
    #[cfg(feature = "burn")]
    DeviceKernels(Box<[Rows; 2]>, Device),
}

impl Machine {
    /// The default device of the backend that was named, else of the build's first.
    ///
    /// # Errors
    /// Where this build lacks the backend, or this machine its device, and where there are more
    /// than [`MAX_THREADS`].
    pub fn new(named: Option<&Backend>, threads: NonZero<usize>) -> Result<Self, Error> {
        if threads.get() > MAX_THREADS {
            return Err(Error::Backend(format!("{threads} threads; expected from 1 to {MAX_THREADS}")));
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

    /// The config with what it leaves to the machine, before its data is read.
    ///
    /// # Errors
    /// As [`resolve_defaults_for`](Self::resolve_defaults_for).
    pub fn resolve_defaults(&self, config: TrainConfig) -> Result<TrainConfig, Error> {
        let is_table = Request::from(config.data().source.as_str()).is_table();
        self.resolve_defaults_for(config, if is_table { FeatureKind::Numbers } else { FeatureKind::Bytes })
    }

    /// The same for rows whose features are stored so.
    ///
    /// # Errors
    /// Where it asks for a precision, a gradient source or an optimizer that is not there.
    pub fn resolve_defaults_for(&self, config: TrainConfig, features: FeatureKind) -> Result<TrainConfig, Error> {
        self.has_precision(&config)?;
        let engine = self.engine(&config, features, None)?;
        match config.descent().gradient {
            GradientSource::Auto => Ok(config.with_gradient(engine.gradient())),
            _ => Ok(config),
        }
    }

    /// The engines that there are here: first the one that is taken where a config leaves it open
    /// and the engine can do what it asks for.
    fn engines(&self) -> impl Iterator<Item = EngineKind> {
        let kernels = match (self.backend.is_apart(), self.has_kernels()) {
            (false, _) => Some(EngineKind::Kernels),
            (true, true) => Some(EngineKind::DeviceKernels),
            (true, false) => None,
        };
        let other = if self.backend == Backend::Cpu { EngineKind::Loops } else { EngineKind::Tensors };
        kernels.into_iter().chain([other])
    }

    /// What computes a config's training on rows whose features are stored so, and of which some
    /// stay `in_file`.
    ///
    /// # Errors
    /// Where nothing here can.
    pub fn engine(
        &self,
        config: &TrainConfig,
        features: FeatureKind,
        in_file: Option<&Rows>,
    ) -> Result<EngineKind, Error> {
        let mut refused = MissingAbility::Gradient;
        for engine in self.engines() {
            match engine.missing_for(config, features, in_file.is_some()) {
                None => return Ok(engine),
                // The engine without such gradients is not the one that was meant. The last engine
                // can do most, so its reason is the one to name.
                Some(MissingAbility::Gradient) => {}
                Some(missing) => refused = missing,
            }
        }
        Err(self.refusal(config, refused, in_file))
    }

    /// Why no engine here can do it, and what to do.
    fn refusal(&self, config: &TrainConfig, missing: MissingAbility, in_file: Option<&Rows>) -> Error {
        let (backend, gradient) = (&self.backend, config.descent().gradient);
        Error::Backend(match (missing, gradient) {
            (MissingAbility::Gradient, GradientSource::Fused) => {
                format!("descent.gradient = \"fused\": {backend} has no fused kernels; take closed-form")
            }
            (MissingAbility::Gradient, _) => format!(
                "descent.gradient = \"autodiff\": {backend} has none; take closed-form, or a backend of Burn's (--features ndarray or flex)"
            ),
            (MissingAbility::Optimizer, GradientSource::Auto | GradientSource::ClosedForm) => format!(
                "{}: {backend} makes plain steps only; take sgd without momentum, or a backend of Burn's (--features ndarray or flex)",
                config.descent().update_key()
            ),
            (MissingAbility::File, _) => format!(
                "{}: {} bytes of chosen rows are more than data.resident_bytes = {}, and only the fused kernels train on rows that stay in their file, which they neither standardise nor weigh; take --gradient fused on a CPU, fewer data.train_images or data.validation_images, or allow for more",
                in_file.and_then(Rows::file).unwrap_or(Path::new("")).display(),
                in_file.map_or(0, Rows::bytes),
                config.data().resident_bytes
            ),
            (missing, _) => {
                format!("descent.gradient = \"fused\": the fused kernels cannot: {missing}; take closed-form, or auto")
            }
        })
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

    /// Makes rows what the engine of a config computes with.
    ///
    /// # Errors
    /// Where no engine here can do what it asks for, and where the rows cannot be read any more.
    pub fn prepare(
        &self,
        rows: [Rows; 2],
        preprocessing: &Preprocessing,
        config: &TrainConfig,
    ) -> Result<Prepared, Error> {
        let in_file = rows.iter().find(|rows| rows.file().is_some());
        let engine = self.engine(config, rows[0].kind(), in_file)?;
        let [train, validation] = rows;
        Ok(match engine {
            EngineKind::Kernels => Prepared::Kernels(Box::new([FusedRows::new(train)?, FusedRows::new(validation)?])),
            EngineKind::Loops => Prepared::Loops(Box::new([train, validation]), preprocessing.clone()),
            #[cfg(feature = "burn")]
            EngineKind::Tensors | EngineKind::DeviceKernels => {
                let device = self.device.clone().ok_or_else(|| Error::Backend(self.backend.missing()))?;
                if engine == EngineKind::DeviceKernels {
                    return Ok(Prepared::DeviceKernels(Box::new([train, validation]), device));
                }
                use chainrule_engines::{Examples, Expansion};
                let expansion = if self.backend.is_apart() { Expansion::Device } else { Expansion::Host };
                let precision = config.descent().precision;
                let examples = |rows| Examples::new(rows, preprocessing, precision, &device, expansion);
                Prepared::Tensors(Box::new([examples(train)?, examples(validation)?]))
            }
            #[cfg(not(feature = "burn"))]
            EngineKind::Tensors | EngineKind::DeviceKernels => return Err(Error::Backend(self.backend.missing())),
        })
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
    /// The training rows as the fused kernels of this processor take them, where they do.
    pub fn fused(&self) -> Option<&FusedRows> {
        match self {
            Self::Kernels(rows) => Some(&rows[0]),
            _ => None,
        }
    }

    /// Whether a device's own kernels take them.
    pub fn are_of_device_kernels(&self) -> bool {
        match self {
            Self::Kernels(_) | Self::Loops(..) => false,
            #[cfg(feature = "burn")]
            Self::Tensors(_) => false,
            #[cfg(feature = "burn")]
            Self::DeviceKernels(..) => true,
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
            Self::Kernels(rows) => train_fused(&link, &rows[0], &rows[1], config, threads, observer),
            Self::Loops(rows, preprocessing) => {
                train_by_loops(&link, &rows[0], &rows[1], preprocessing, config, observer)
            }
            #[cfg(feature = "burn")]
            Self::Tensors(rows) => {
                chainrule_engines::train_model_by_tensors(link.columns(), &rows[0], &rows[1], config, observer)
            }
            #[cfg(feature = "burn")]
            Self::DeviceKernels(rows, device) => {
                chainrule_engines::train_on_device(link.columns(), &rows[0], &rows[1], config, device, observer)
            }
        }
    }
}

/// As many threads as this machine runs at once.
pub fn all_threads() -> NonZero<usize> {
    thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}
