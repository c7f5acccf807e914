//! What computes with what: one table, asked before a row is read.

use std::fmt::{self, Display, Formatter};

use crate::{FeatureKind, GradientSource, TrainConfig, UpdateRule};

/// What computes the steps of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// The fused kernels of this processor.
    Kernels,
    /// The fused kernels of a device with a memory of its own.
    DeviceKernels,
    /// Plain loops on this processor.
    Loops,
    /// Burn's tensors.
    Tensors,
}

/// What an engine can compute with.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Abilities {
    /// What features are stored as.
    pub features: &'static [FeatureKind],
    /// Rows that stay in their file.
    pub files: bool,
    /// Where its gradients come from; the first where a config leaves it open.
    pub gradients: &'static [GradientSource],
    /// Optimizers other than plain sgd.
    pub optimizers: bool,
    /// A scale of its own for each feature.
    pub standardization: bool,
    /// Rows that count by their class.
    pub class_weights: bool,
}

const ANY: &[FeatureKind] = &[FeatureKind::Bytes, FeatureKind::Numbers];

/// The table. A line of it changes with what the engine learns to do.
#[rustfmt::skip]
const TABLE: [(EngineKind, Abilities); 4] = {
    use GradientSource::{Autodiff, ClosedForm, Fused};
    [
        (EngineKind::Kernels, Abilities {
            features: &[FeatureKind::Bytes], files: true, gradients: &[Fused],
            optimizers: false, standardization: false, class_weights: false,
        }),
        (EngineKind::DeviceKernels, Abilities {
            features: &[FeatureKind::Bytes], files: false, gradients: &[Fused],
            optimizers: false, standardization: false, class_weights: false,
        }),
        (EngineKind::Loops, Abilities {
            features: ANY, files: false, gradients: &[ClosedForm],
            optimizers: false, standardization: true, class_weights: true,
        }),
        (EngineKind::Tensors, Abilities {
            features: ANY, files: false, gradients: &[ClosedForm, Autodiff],
            optimizers: true, standardization: true, class_weights: true,
        }),
    ]
};

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

/// What an engine was asked for and cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingAbility {
    /// Such a gradient.
    Gradient,
    /// An optimizer.
    Optimizer,
    /// A scale for each feature.
    Standardization,
    /// Weights of classes.
    ClassWeights,
    /// Features that are stored so.
    Features(FeatureKind),
    /// Rows that stay in their file.
    File,
}

/// With "cannot:" before it.
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
    /// All there are.
    pub const ALL: [Self; TABLE.len()] = {
        let [(kernels, _), (device, _), (loops, _), (tensors, _)] = TABLE;
        [kernels, device, loops, tensors]
    };

    /// What it can compute with.
    pub fn abilities(self) -> Abilities {
        let [kernels, device, loops, tensors] = TABLE.map(|(_, abilities)| abilities);
        match self {
            Self::Kernels => kernels,
            Self::DeviceKernels => device,
            Self::Loops => loops,
            Self::Tensors => tensors,
        }
    }

    /// The first thing that a config asks for and that it cannot do, whatever the rows are and
    /// wherever the config wants its gradients from.
    pub fn missing(self, config: &TrainConfig) -> Option<MissingAbility> {
        let can = self.abilities();
        first_missing([
            (MissingAbility::Optimizer, can.optimizers || config.descent().update() == UpdateRule::Plain),
            (MissingAbility::Standardization, can.standardization || !config.data().standardize),
            (MissingAbility::ClassWeights, can.class_weights || config.objective().class_weights.is_none()),
        ])
    }

    /// The same with the gradients, for rows of such features, which may stay in their file.
    pub fn missing_for(
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
        .or_else(|| self.missing(config))
        .or_else(|| {
            first_missing([
                (MissingAbility::Features(features), can.features.contains(&features)),
                (MissingAbility::File, can.files || !stay_in_file),
            ])
        })
    }

    /// Where its gradients come from where a config leaves that open.
    pub fn gradient(self) -> GradientSource {
        self.abilities().gradients[0]
    }
}

fn first_missing<const N: usize>(asked: [(MissingAbility, bool); N]) -> Option<MissingAbility> {
    asked.into_iter().find_map(|(missing, is_there)| (!is_there).then_some(missing))
}
