//! The place where a training runs: a backend with its device, and a number of threads.

use std::num::NonZero;
use std::path::Path;
use std::thread;

#[cfg(feature = "burn")]
use burn::tensor::Device;
use chainrule_core::{
    EngineKind, FeatureKind, GradientSource, MissingAbility, Parameters, Preprocessing, TrainConfig, UpdateRule,
    WeightNorms,
};
use chainrule_data::{Request, Rows};
use chainrule_solve::{FusedRows, Observer, TrainError, Trained, train_by_loops, train_fused, train_path};

use crate::Error;
use crate::backend::{self, Backend};

/// The largest number of threads of the fused kernels. Each thread has its own gradient sums, and a
/// system limits the number of threads.
pub const MAX_THREADS: usize = 1024;

/// A backend with its device and a number of threads.
pub struct Machine {
    backend: Backend,
    /// Burn's device. `None` for the backend `cpu`.
    #[cfg(feature = "burn")]
    device: Option<Device>,
    /// The threads of the fused kernels.
    threads: NonZero<usize>,
}

/// Burn's device of this processor, on which optimizers run.
#[cfg(feature = "burn")]
type ProcessorDevice = Option<Device>;
/// Without Burn there is no device.
#[cfg(not(feature = "burn"))]
type ProcessorDevice = ();

/// Training and validation rows, in the form that one engine needs.
pub enum Prepared {
    /// For the fused kernels on this processor, with Burn's device of this processor, if there is
    /// one.
    Kernels(Box<[FusedRows; 2]>, ProcessorDevice),
    /// For plain loops, with the preprocessing.
    Loops(Box<[Rows; 2]>, Preprocessing),
    /// For Burn's tensors.
    #[cfg(feature = "burn")]
    Tensors(Box<[chainrule_engines::Examples; 2]>),
    /// For the fused kernels of a device.
    #[cfg(feature = "burn")]
    DeviceKernels(Box<[Rows; 2]>, Preprocessing, Device),
}

impl Machine {
    /// Opens the default device of the named backend, or of this build's default backend.
    ///
    /// # Errors
    /// Returns an error if this build lacks the backend, if this machine lacks its device, or if
    /// there are more than [`MAX_THREADS`] threads.
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

    /// Returns the backend.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Returns Burn's device. `None` for the backend `cpu`.
    #[cfg(feature = "burn")]
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// Returns the device's name as Burn prints it.
    pub fn device_text(&self) -> String {
        #[cfg(feature = "burn")]
        if let Some(device) = &self.device {
            return format!("{device:?}");
        }
        "this processor".to_owned()
    }

    /// Returns the number of threads of the fused kernels.
    pub fn threads(&self) -> NonZero<usize> {
        self.threads
    }

    /// Replaces the config's automatic values with those for this machine, before the data is read.
    ///
    /// # Errors
    /// As [`resolve_defaults_for`](Self::resolve_defaults_for).
    pub fn resolve_defaults(&self, config: TrainConfig) -> Result<TrainConfig, Error> {
        let is_table = Request::from(config.data().source.as_str()).is_table();
        let have_weights = config.data().weight.is_some();
        self.resolve_defaults_for(
            config,
            if is_table { FeatureKind::Numbers } else { FeatureKind::Bytes },
            have_weights,
        )
    }

    /// Like [`resolve_defaults`](Self::resolve_defaults), for a known storage type of the features,
    /// and for rows that may have weights.
    ///
    /// # Errors
    /// Returns an error if the precision, the gradient source or the optimizer is not available
    /// here.
    pub fn resolve_defaults_for(
        &self,
        config: TrainConfig,
        features: FeatureKind,
        have_weights: bool,
    ) -> Result<TrainConfig, Error> {
        self.has_precision(&config)?;
        let engine = self.engine(&config, features, None, have_weights)?;
        match config.descent().gradient {
            GradientSource::Auto => Ok(config.with_gradient(engine.default_gradient())),
            _ => Ok(config),
        }
    }

    /// Returns the engines of this backend. The first one that supports a config is used.
    fn engines(&self) -> impl Iterator<Item = EngineKind> {
        let kernels = match (self.backend.has_separate_memory(), self.has_kernels()) {
            (false, _) => Some(EngineKind::Kernels),
            (true, true) => Some(EngineKind::DeviceKernels),
            (true, false) => None,
        };
        let other = if self.backend == Backend::Cpu { EngineKind::Loops } else { EngineKind::Tensors };
        kernels.into_iter().chain([other])
    }

    /// Returns the engine for a config, given the storage type of the features. `in_file` holds the
    /// rows that stay in their file, if any. `have_weights` says whether rows have weights.
    ///
    /// # Errors
    /// Returns an error if no engine here supports the config.
    pub fn engine(
        &self,
        config: &TrainConfig,
        features: FeatureKind,
        in_file: Option<&Rows>,
        have_weights: bool,
    ) -> Result<EngineKind, Error> {
        let mut missing_ability = MissingAbility::Gradient;
        for engine in self.engines() {
            let has_optimizer = self.backend != Backend::Cpu || config.descent().update_rule() == UpdateRule::Plain;
            match engine.missing_ability_for(config, features, in_file.is_some(), have_weights) {
                None if !has_optimizer => missing_ability = MissingAbility::Optimizer,
                None => return Ok(engine),
                // An engine without the requested gradient source is not the intended one. The last
                // engine supports most, so its reason is reported.
                Some(MissingAbility::Gradient) => {}
                Some(missing) => missing_ability = missing,
            }
        }
        Err(self.refusal(config, missing_ability, in_file))
    }

    /// Returns the error: why no engine supports the config, and what to do.
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
                config.descent().update_rule_key()
            ),
            (MissingAbility::File, _) if in_file.is_some_and(|rows| rows.kind() == FeatureKind::Numbers) => format!(
                "the rows of this table take more than data.resident_bytes = {} in memory, and only the fused kernels of a CPU train on rows in a file; take --gradient fused there, or raise data.resident_bytes",
                config.data().resident_bytes
            ),
            (MissingAbility::File, _) => format!(
                "{}: {} bytes of chosen rows are more than data.resident_bytes = {}, and only the fused kernels train on rows that stay in their file, which they neither standardise nor weigh; take --gradient fused on a CPU, fewer data.train_images or data.validation_images, or allow for more",
                in_file.and_then(Rows::file).unwrap_or(Path::new("")).display(),
                in_file.map_or(0, Rows::bytes),
                config.data().resident_bytes
            ),
            (MissingAbility::Hessian, _) => format!(
                "descent.solver = \"newton\": {backend} computes no Hessian of this; it needs a table and the fused kernels of a CPU (--gradient auto); take descent.solver = \"lbfgs\" with an objective.l2 above 0"
            ),
            (missing, _) => {
                format!(
                    "descent.gradient = \"fused\": the fused kernels cannot train this: {missing}; use auto or closed-form"
                )
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

    /// Returns whether this backend has fused kernels: on this processor, or on its device with two
    /// launches per step.
    pub fn has_kernels(&self) -> bool {
        #[cfg(feature = "burn")]
        if let Some(device) = self.device.as_ref().filter(|_| self.backend.has_separate_memory()) {
            return chainrule_ops::supports_device_steps(device);
        }
        true
    }

    /// Converts the rows to the form that the config's engine needs.
    ///
    /// # Errors
    /// Returns an error if no engine here supports the config, or if the rows can no longer be
    /// read.
    pub fn prepare(
        &self,
        rows: [Rows; 2],
        preprocessing: &Preprocessing,
        config: &TrainConfig,
    ) -> Result<Prepared, Error> {
        let in_file = rows.iter().find(|rows| rows.stays_in_file());
        let have_weights = rows[0].weights()?.is_some();
        let engine = self.engine(config, rows[0].kind(), in_file, have_weights)?;
        let [train, validation] = rows;
        Ok(match engine {
            EngineKind::Kernels => {
                let (precision, solver) = (config.descent().precision, config.descent().solver);
                let pack = |rows| FusedRows::for_solver(rows, preprocessing, precision, solver);
                #[cfg(feature = "burn")]
                let device = self.device.clone();
                #[cfg(not(feature = "burn"))]
                let device = ();
                // Without held-out rows both are the same.
                let are_same = train.are_same_as(&validation);
                let packed = pack(train)?;
                let validation = if are_same { packed.clone() } else { pack(validation)? };
                Prepared::Kernels(Box::new([packed, validation]), device)
            }
            EngineKind::Loops => Prepared::Loops(Box::new([train, validation]), preprocessing.clone()),
            #[cfg(feature = "burn")]
            EngineKind::Tensors | EngineKind::DeviceKernels => {
                let device = self.device.clone().ok_or_else(|| Error::Backend(self.backend.missing()))?;
                if engine == EngineKind::DeviceKernels {
                    // The training converts them. An error must precede it.
                    train.check_features()?;
                    validation.check_features()?;
                    return Ok(Prepared::DeviceKernels(Box::new([train, validation]), preprocessing.clone(), device));
                }
                use chainrule_engines::{Examples, Expansion};
                let expansion = if self.backend.has_separate_memory() { Expansion::Device } else { Expansion::Host };
                let precision = config.descent().precision;
                let examples = |rows| Examples::new(rows, preprocessing, precision, &device, expansion);
                Prepared::Tensors(Box::new([examples(train)?, examples(validation)?]))
            }
            #[cfg(not(feature = "burn"))]
            EngineKind::Tensors | EngineKind::DeviceKernels => return Err(Error::Backend(self.backend.missing())),
        })
    }

    /// Returns the norms of the parameters, computed on the device in f64 if supported. Returns
    /// `None` if the sum of squares overflows.
    pub fn norms(&self, parameters: &Parameters) -> Option<WeightNorms> {
        #[cfg(feature = "burn")]
        if let Some(device) = &self.device {
            return crate::on_burn::norms(parameters, device);
        }
        WeightNorms::of(parameters)
    }
}

impl Prepared {
    /// Returns the training rows of the fused kernels on this processor, if those are used.
    pub fn fused(&self) -> Option<&FusedRows> {
        match self {
            Self::Kernels(rows, _) => Some(&rows[0]),
            Self::Loops(..) => None,
            #[cfg(feature = "burn")]
            Self::Tensors(_) | Self::DeviceKernels(..) => None,
        }
    }

    /// Returns whether these rows are for the fused kernels of a device.
    pub fn uses_device_kernels(&self) -> bool {
        match self {
            Self::Kernels(..) | Self::Loops(..) => false,
            #[cfg(feature = "burn")]
            Self::Tensors(_) => false,
            #[cfg(feature = "burn")]
            Self::DeviceKernels(..) => true,
        }
    }

    /// Finds the minimum for each config of a path: they differ only in the penalty. The fused
    /// kernels of this processor start each search at the end of another.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn train_path(
        &self,
        n_classes: usize,
        configs: &[TrainConfig],
        threads: NonZero<usize>,
    ) -> Result<Vec<Trained>, TrainError> {
        match (self, configs) {
            (Self::Kernels(rows, _), [first, ..]) => {
                train_path(&first.model().kind.link(n_classes), [&rows[0], &rows[1]], configs, threads)
            }
            _ => configs.iter().map(|config| self.train(n_classes, config, threads, &mut ())).collect(),
        }
    }

    /// Trains a model of `n_classes` classes on these rows. Parameters start at zero, or at the
    /// observer's checkpoint.
    ///
    /// # Errors
    /// Returns an error if the training cannot run, or if its device or its data is lost.
    pub fn train(
        &self,
        n_classes: usize,
        config: &TrainConfig,
        threads: NonZero<usize>,
        observer: &mut dyn Observer,
    ) -> Result<Trained, TrainError> {
        let link = config.model().kind.link(n_classes);
        match self {
            #[cfg(feature = "burn")]
            Self::Kernels(rows, Some(device)) => {
                chainrule_engines::train_fused(&link, rows.each_ref(), config, threads, device, observer)
            }
            Self::Kernels(rows, _) => train_fused(&link, &rows[0], &rows[1], config, threads, observer),
            Self::Loops(rows, preprocessing) => {
                train_by_loops(&link, &rows[0], &rows[1], preprocessing, config, observer)
            }
            #[cfg(feature = "burn")]
            Self::Tensors(rows) => {
                chainrule_engines::train_model_by_tensors(link.columns(), &rows[0], &rows[1], config, observer)
            }
            #[cfg(feature = "burn")]
            Self::DeviceKernels(rows, preprocessing, device) => chainrule_engines::train_on_device(
                link.columns(),
                &rows[0],
                &rows[1],
                preprocessing,
                config,
                device,
                observer,
            ),
        }
    }
}

/// Returns the available parallelism of this machine.
pub fn all_threads() -> NonZero<usize> {
    thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN)
}
