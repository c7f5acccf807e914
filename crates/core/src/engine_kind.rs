//! The engines and a table of their abilities. The table decides which engine trains a config.

use std::fmt::{self, Display, Formatter};

use crate::{FeatureKind, GradientSource, Solver, TrainConfig, UpdateRule};

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
    /// The supported storage types of features.
    pub features: &'static [FeatureKind],
    /// Whether it can read rows from a file in chunks.
    pub out_of_core: bool,
    /// The supported gradient sources. The first one is the default.
    pub gradients: &'static [GradientSource],
    /// Whether it supports optimizers other than plain SGD. They are Burn's.
    pub optimizers: bool,
    /// The storage types of features that it can standardise.
    pub standardization: &'static [FeatureKind],
    /// Whether it supports weights of classes and of rows.
    pub weights: bool,
    /// The storage types of features whose Hessian it computes, for Newton's method.
    pub hessian: &'static [FeatureKind],
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

/// An ability that a config requires and an engine lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingAbility {
    /// The gradient source.
    Gradient,
    /// An optimizer other than plain SGD.
    Optimizer,
    /// Standardisation.
    Standardization,
    /// Weights of classes or of rows.
    Weights,
    /// The Hessian, for Newton's method.
    Hessian,
    /// Features of this storage type.
    Features(FeatureKind),
    /// Reading rows from a file in chunks.
    File,
}

/// The reason in a message. Its subject "they" is the engine, such as "the fused kernels".
impl Display for MissingAbility {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gradient => "they do not have this gradient source",
            Self::Optimizer => "they support no optimizer except sgd without momentum",
            Self::Standardization => {
                "they use one scale for all pixels, but data.standardize scales each pixel separately"
            }
            Self::Weights => "they support neither objective.class_weights nor data.weight",
            Self::Hessian => "they do not compute the Hessian that Newton's method needs",
            Self::Features(FeatureKind::Bytes) => "they read numbers, but these features are bytes",
            Self::Features(FeatureKind::Numbers) => "they read the bytes of images, but these are rows of a table",
            Self::File => "they read only rows in memory, but these stay in their file",
        })
    }
}

impl EngineKind {
    /// All engines.
    pub const ALL: [Self; 4] = [Self::Kernels, Self::DeviceKernels, Self::Loops, Self::Tensors];

    /// Returns the abilities of this engine.
    pub fn abilities(self) -> Abilities {
        let both = &[FeatureKind::Bytes, FeatureKind::Numbers];
        let closed_form = Abilities {
            features: both,
            out_of_core: false,
            gradients: &[GradientSource::ClosedForm],
            optimizers: false,
            standardization: both,
            weights: true,
            hessian: &[],
        };
        match self {
            Self::Kernels => Abilities {
                features: both,
                out_of_core: true,
                gradients: &[GradientSource::Fused],
                optimizers: true,
                standardization: &[FeatureKind::Numbers],
                weights: true,
                hessian: &[FeatureKind::Numbers],
            },
            Self::DeviceKernels => Abilities {
                features: both,
                out_of_core: false,
                gradients: &[GradientSource::Fused],
                optimizers: false,
                standardization: &[FeatureKind::Numbers],
                weights: false,
                hessian: &[],
            },
            Self::Loops => closed_form,
            Self::Tensors => Abilities {
                gradients: &[GradientSource::ClosedForm, GradientSource::Autodiff],
                optimizers: true,
                ..closed_form
            },
        }
    }

    /// Returns the first ability that the config requires and the engine lacks. Ignores the rows
    /// and the gradient source.
    pub fn missing_ability(self, config: &TrainConfig) -> Option<MissingAbility> {
        let abilities = self.abilities();
        first_missing([
            (MissingAbility::Optimizer, abilities.optimizers || config.descent().update_rule() == UpdateRule::Plain),
            (MissingAbility::Standardization, !abilities.standardization.is_empty() || !config.data().standardize),
            (
                MissingAbility::Weights,
                abilities.weights || config.objective().class_weights.is_none() && config.data().weight.is_none(),
            ),
            (MissingAbility::Hessian, !abilities.hessian.is_empty() || config.descent().solver != Solver::Newton),
        ])
    }

    /// Like [`EngineKind::missing_ability`], but also checks the gradient source, the storage type
    /// of the features, whether the rows stay in their file, and whether they have weights.
    pub fn missing_ability_for(
        self,
        config: &TrainConfig,
        features: FeatureKind,
        stay_in_file: bool,
        have_weights: bool,
    ) -> Option<MissingAbility> {
        let (abilities, gradient) = (self.abilities(), config.descent().gradient);
        first_missing([(
            MissingAbility::Gradient,
            gradient == GradientSource::Auto || abilities.gradients.contains(&gradient),
        )])
        .or_else(|| self.missing_ability(config))
        .or_else(|| {
            first_missing([
                (MissingAbility::Features(features), abilities.features.contains(&features)),
                (
                    MissingAbility::Standardization,
                    abilities.standardization.contains(&features) || !config.data().standardize,
                ),
                (MissingAbility::File, abilities.out_of_core || !stay_in_file),
                (MissingAbility::Weights, abilities.weights || !have_weights),
                (
                    MissingAbility::Hessian,
                    abilities.hessian.contains(&features) || config.descent().solver != Solver::Newton,
                ),
            ])
        })
    }

    /// The default gradient source.
    pub fn default_gradient(self) -> GradientSource {
        self.abilities().gradients[0]
    }
}

fn first_missing<const N: usize>(checks: [(MissingAbility, bool); N]) -> Option<MissingAbility> {
    checks.into_iter().find_map(|(ability, is_met)| (!is_met).then_some(ability))
}
