//! The engines and their abilities, as one table. It is consulted before any row is read.

use std::fmt::{self, Display, Formatter};

use crate::{FeatureKind, GradientSource, TrainConfig, UpdateRule};

/// An engine: the code that computes the steps of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// The fused kernels on the CPU.
    Kernels,
    /// The fused kernels of a device with its own memory.
    DeviceKernels,
    /// Plain loops on the CPU.
    Loops,
    /// Burn's tensors.
    Tensors,
}

/// The abilities of an engine.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Abilities {
    /// The storage types of features that it reads.
    pub features: &'static [FeatureKind],
    /// Whether it reads rows that stay in their file.
    pub files: bool,
    /// The sources of gradients that it supports. The first one is its default.
    pub gradients: &'static [GradientSource],
    /// Whether it supports optimizers other than plain SGD.
    pub optimizers: bool,
    /// Whether it supports standardisation.
    pub standardization: bool,
    /// Whether it supports class weights.
    pub class_weights: bool,
}

impl Display for EngineKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernels => "fused kernels",
            Self::DeviceKernels => "fused kernels of a device",
            Self::Loops => "plain loops",
            Self::Tensors => "tensors",
        })
    }
}

/// A requested ability that an engine lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingAbility {
    /// This source of gradients.
    Gradient,
    /// An optimizer other than plain SGD.
    Optimizer,
    /// Standardisation.
    Standardization,
    /// Class weights.
    ClassWeights,
    /// Features of this storage type.
    Features(FeatureKind),
    /// Rows that stay in their file.
    File,
}

/// Follows "cannot:" in a message.
impl Display for MissingAbility {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gradient => "their gradients come from elsewhere",
            Self::Optimizer => "they know no optimizer but sgd without momentum",
            Self::Standardization => {
                "they read bytes that all have one scale, and data.standardize gives each pixel its own"
            }
            Self::ClassWeights => "to them all rows count alike, and objective.class_weights says otherwise",
            Self::Features(FeatureKind::Bytes) => "they read numbers, and these are bytes",
            Self::Features(FeatureKind::Numbers) => "they read the bytes of images, and these are a table's rows",
            Self::File => "they read rows in memory only, and these stay in their file",
        })
    }
}

impl EngineKind {
    /// All engines.
    pub const ALL: [Self; 4] = [Self::Kernels, Self::DeviceKernels, Self::Loops, Self::Tensors];

    /// Returns what the engine can compute with: its line of the table.
    pub fn abilities(self) -> Abilities {
        let fused = Abilities {
            features: &[FeatureKind::Bytes],
            files: false,
            gradients: &[GradientSource::Fused],
            optimizers: false,
            standardization: false,
            class_weights: false,
        };
        let closed_form = Abilities {
            features: &[FeatureKind::Bytes, FeatureKind::Numbers],
            files: false,
            gradients: &[GradientSource::ClosedForm],
            optimizers: false,
            standardization: true,
            class_weights: true,
        };
        match self {
            Self::Kernels => Abilities { files: true, ..fused },
            Self::DeviceKernels => fused,
            Self::Loops => closed_form,
            Self::Tensors => Abilities {
                gradients: &[GradientSource::ClosedForm, GradientSource::Autodiff],
                optimizers: true,
                ..closed_form
            },
        }
    }

    /// Returns the first ability that the config needs and the engine lacks. It checks neither the
    /// rows nor the source of gradients.
    pub fn missing_ability(self, config: &TrainConfig) -> Option<MissingAbility> {
        let can = self.abilities();
        first_missing([
            (MissingAbility::Optimizer, can.optimizers || config.descent().update() == UpdateRule::Plain),
            (MissingAbility::Standardization, can.standardization || !config.data().standardize),
            (MissingAbility::ClassWeights, can.class_weights || config.objective().class_weights.is_none()),
        ])
    }

    /// The same, and also checks the source of gradients, the storage type of the features, and
    /// whether rows stay in their file.
    pub fn missing_ability_for(
        self,
        config: &TrainConfig,
        features: FeatureKind,
        stay_in_file: bool,
    ) -> Option<MissingAbility> {
        let (can, gradient) = (self.abilities(), config.descent().gradient);
        first_missing([(
            MissingAbility::Gradient,
            gradient == GradientSource::Auto || can.gradients.contains(&gradient),
        )])
        .or_else(|| self.missing_ability(config))
        .or_else(|| {
            first_missing([
                (MissingAbility::Features(features), can.features.contains(&features)),
                (MissingAbility::File, can.files || !stay_in_file),
            ])
        })
    }

    /// The default source of gradients.
    pub fn default_gradient(self) -> GradientSource {
        self.abilities().gradients[0]
    }
}

fn first_missing<const N: usize>(asked: [(MissingAbility, bool); N]) -> Option<MissingAbility> {
    asked.into_iter().find_map(|(missing, is_there)| (!is_there).then_some(missing))
}
