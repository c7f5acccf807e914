//! An experiment as its TOML file says it, with the defaults of what it leaves out. Unchecked: see
//! [`TrainConfig`].
//!
//! [`TrainConfig`]: crate::TrainConfig

use serde::{Deserialize, Serialize};

use crate::{Class, ClassWeights};

/// `[data]`: which rows of which data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `auto`, `mnist`, `embedded`, a folder of IDX files, a table (a CSV file), a folder of
    /// `train.csv` and `validation.csv`, or one with a folder of pictures for each class.
    #[serde(default = "auto")]
    pub source: String,
    /// Train on the first N images of IDX files, counted before classes are chosen; all where
    /// absent. Tables and folders of classes are taken whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_images: Option<usize>,
    /// Validate on the last N images of the test files; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_images: Option<usize>,
    /// The column of labels, of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Columns of a table that are passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// The part of each class's rows that is kept for the validation where the data does not say
    /// which.
    #[serde(default = "one_fifth")]
    pub validation_fraction: f64,
    /// Rows and columns of the image that each picture of a folder is made.
    #[serde(default = "as_mnist")]
    pub image_size: [usize; 2],
    /// The labels to tell apart, by number or by name, all where absent. The logistic model takes
    /// two, the first being the positive one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Class>>,
    /// Each feature less its mean over the training rows, divided by its standard deviation there;
    /// else pixels become -1 to 1, and numbers stay.
    #[serde(default)]
    pub standardize: bool,
    /// Images of more bytes than this, a byte a pixel, are not taken into memory: they stay in
    /// their file, and the fused kernels train on them piece by piece.
    #[serde(default = "one_gibibyte")]
    pub resident_bytes: u64,
}

/// `[model]`: which of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Softmax or logistic.
    pub kind: ModelKind,
}

/// The two linear classifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// Softmax regression, any number of classes.
    Softmax,
    /// Binary logistic regression.
    Logistic,
}

/// `[objective]`: `J = C + lambda/2 sum w^2`, where C is the mean over the rows of a batch of their
/// cross-entropy, each times the weight of its class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveConfig {
    /// lambda.
    pub l2: f64,
    /// Whether the bias belongs to w.
    pub penalize_bias: bool,
    /// By how much a row counts, by its class; 1 where absent, and for classes that it does not
    /// name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
}

/// `[descent]`: how `J` is brought down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DescentConfig {
    /// By what; learning rate, batches, epochs and shuffle are [`Solver::Sgd`]'s alone.
    pub solver: Solver,
    /// Where the gradient comes from.
    pub gradient: GradientSource,
    /// The float type of weights and features.
    pub precision: Precision,
    /// What makes an update of a gradient; [`Solver::Sgd`]'s, as all that follows.
    pub optimizer: Optimizer,
    /// Of `sgd` and `rmsprop`: how much of the last update's direction stays. 0 is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Of `sgd` with momentum: by how much less than whole the gradient goes into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dampening: Option<f64>,
    /// Of `sgd` with momentum: whether it looks ahead, as Nesterov does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// Of `adam` and `adamw`: the memory of the mean of gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_1: Option<f64>,
    /// Of `adam` and `adamw`: the memory of the mean of their squares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_2: Option<f64>,
    /// Of `rmsprop`: the memory of the mean of squared gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Of all but `sgd`: what is added to the root that they divide by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Of `adamw`: at each step weights and biases shrink by this times the learning rate, apart
    /// from the gradient. It is no part of `J`, as `objective.l2` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoupled_weight_decay: Option<f64>,
    /// The step's length along the gradient, at the first step.
    pub learning_rate: f64,
    /// How the learning rate moves from there.
    pub schedule: Schedule,
    /// Of `linear` and `cosine`: the rate that the last of all epochs ends at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_learning_rate: Option<f64>,
    /// Of `exponential` and `step`: what the rate is multiplied by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// Of `step`: epochs from one multiplication to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_epochs: Option<usize>,
    /// Rows a step; the last step of an epoch takes those that are left, at a learning rate that is
    /// as
    /// much smaller.
    pub batch_size: usize,
    /// Whether an epoch leaves out the rows that fill no whole batch, so that all of its steps are
    /// on as many.
    pub drop_last: bool,
    /// Passes over the training rows.
    pub epochs: usize,
    /// The order of the rows.
    pub shuffle: ShuffleConfig,
}

/// What brings `J` down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// Mini-batch gradient descent, by the optimizer and the schedule of the config.
    Sgd,
    /// L-BFGS on all rows, to the minimum, with a certificate; for lambda above 0. See `[optimum]`.
    Lbfgs,
}

/// Burn's optimizers that make sense for a linear classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Optimizer {
    /// Gradient descent, plain or with momentum.
    Sgd,
    /// Kingma and Ba, 2015.
    Adam,
    /// Adam with decoupled weight decay: Loshchilov and Hutter, 2019.
    AdamW,
    /// Tieleman and Hinton, 2012.
    RmsProp,
    /// Duchi, Hazan and Singer, 2011.
    AdaGrad,
}

/// How the learning rate moves: Burn's schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// In a straight line to the final rate, a little at every step.
    Linear,
    /// Along half a cosine down to the final rate, a little at every step.
    Cosine,
    /// Times gamma after every epoch.
    Exponential,
    /// Times gamma after every so many epochs.
    Step,
}

/// `[optimum]`: how near to the minimum [`Solver::Lbfgs`] goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimumConfig {
    /// Done when `J` is certified to be at most this far above its minimum, in nats.
    pub tolerance: f64,
    /// Iterations at most, each of one pass over the training rows or a few.
    pub max_iterations: usize,
    /// Iterations whose steps are remembered, to read the curvature from.
    pub memory: usize,
    /// Iterations from one evaluation on the validation rows to the next.
    pub evaluate_every: usize,
}

/// Where the gradient of a step comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GradientSource {
    /// Fused where the device has it, else the closed form by tensor operations.
    Auto,
    /// The hand derivation, as a kernel of its own that does a whole step in one pass.
    Fused,
    /// The hand derivation, by tensor operations.
    ClosedForm,
    /// Burn's autodiff.
    Autodiff,
}

/// Float type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

/// `[descent.shuffle]`: a new order each epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShuffleConfig {
    /// Who draws it.
    pub generator: Generator,
    /// The one seed of a run.
    pub seed: u64,
    /// Epochs that the generator has ordered before this run's first, of as many rows: where its
    /// stream runs on from another run.
    pub skip_epochs: usize,
}

/// Who draws the order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generator {
    /// Nobody: the order of the file.
    None,
    /// NumPy's legacy `seed` and `shuffle`, MT19937, bit for bit.
    NumpyLegacy,
    /// ChaCha8.
    Chacha,
}

/// `[early_stopping]`: when to look, and when to stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStoppingConfig {
    /// How often an epoch is interrupted to evaluate on the validation rows.
    pub evaluations_per_epoch: usize,
    /// Stop at this many evaluations in a row without a strictly lower validation loss; never where
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// End with the weights of the best evaluation instead of the last ones, where these are no
    /// better: the end is evaluated, too.
    pub restore_best: bool,
}

fn auto() -> String {
    "auto".to_owned()
}

fn one_gibibyte() -> u64 {
    1 << 30
}

fn as_mnist() -> [usize; 2] {
    [28, 28]
}

fn one_fifth() -> f64 {
    0.2
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            source: auto(),
            train_images: None,
            validation_images: None,
            label: None,
            ignore: Vec::new(),
            validation_fraction: one_fifth(),
            image_size: as_mnist(),
            classes: None,
            standardize: false,
            resident_bytes: one_gibibyte(),
        }
    }
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self { l2: 0.0, penalize_bias: false, class_weights: None }
    }
}

impl Default for DescentConfig {
    fn default() -> Self {
        Self {
            solver: Solver::Sgd,
            gradient: GradientSource::Auto,
            precision: Precision::F32,
            optimizer: Optimizer::Sgd,
            momentum: None,
            dampening: None,
            nesterov: None,
            beta_1: None,
            beta_2: None,
            alpha: None,
            epsilon: None,
            decoupled_weight_decay: None,
            learning_rate: 0.01,
            schedule: Schedule::Constant,
            final_learning_rate: None,
            gamma: None,
            step_epochs: None,
            batch_size: 128,
            drop_last: false,
            epochs: 50,
            shuffle: ShuffleConfig::default(),
        }
    }
}

impl Default for OptimumConfig {
    fn default() -> Self {
        Self { tolerance: 1e-6, max_iterations: 1000, memory: 40, evaluate_every: 10 }
    }
}

impl Default for ShuffleConfig {
    fn default() -> Self {
        Self { generator: Generator::Chacha, seed: 0, skip_epochs: 0 }
    }
}

impl Default for EarlyStoppingConfig {
    fn default() -> Self {
        Self { evaluations_per_epoch: 1, patience: None, restore_best: false }
    }
}
