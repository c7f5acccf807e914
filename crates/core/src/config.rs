//! The sections of an experiment's TOML file, with their defaults. They are not validated: see
//! [`TrainConfig`].
//!
//! [`TrainConfig`]: crate::TrainConfig

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BadRows, Class, ClassWeights, ColumnKind, Decimal, Separator, TextEncoding, TextOptions};

/// `[data]`: the data source and its preparation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `auto`, `mnist`, `embedded`, `moons`, `circles`, `blobs`, a folder of IDX files, a table (a
    /// CSV file), a folder with `train.csv` and `validation.csv`, or a folder with one folder of
    /// pictures per class.
    #[serde(default = "auto")]
    pub source: String,
    /// The number of images to take from an IDX file for training, from its start. `classes` then
    /// selects rows among these images. All images if absent. Tables and folders of classes are
    /// always used completely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_images: Option<usize>,
    /// The number of test images to validate on, from the end of the file. All images if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_images: Option<usize>,
    /// The label column of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Columns of a table to ignore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// The kinds of some columns of a table. The kinds of all others follow from their values. A
    /// column that is named here is never left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnKind>,
    /// Texts of a table that mark a missing value, besides the empty field, `NA`, `NaN`, `null`,
    /// `?`, `.`, `-` and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The largest number of levels of a category. The most frequent ones have a weight each, all
    /// others share that of `(other)`.
    #[serde(default = "a_thousand", skip_serializing_if = "is_a_thousand")]
    pub max_categories: usize,
    /// The number of training rows that a level of a category needs for a weight of its own.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub min_rows: usize,
    /// The column of a table whose values group the rows, such as a person's number. Rows of one
    /// group are held out together. The column is no feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The column of a table whose numbers weigh the rows: a row of weight 2 counts as two rows.
    /// The column is no feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// What separates the fields of a table. Recognised if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<Separator>,
    /// What separates the whole part of a table's numbers from their fraction. Recognised if
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimal: Option<Decimal>,
    /// The encoding of a table's text. Recognised if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<TextEncoding>,
    /// Whether the first line of a table has the names of its columns. Recognised if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// What becomes of a table's row that cannot be read.
    #[serde(default, skip_serializing_if = "BadRows::is_error")]
    pub bad_rows: BadRows,
    /// The fraction of each class's rows held out for validation. Used only if the data has no
    /// validation set. With 0 all rows are training rows, and validation uses these, too.
    #[serde(default = "one_fifth")]
    pub validation_fraction: f64,
    /// Height and width, in pixels, to which each picture of a folder is scaled.
    #[serde(default = "mnist_size")]
    pub image_size: [usize; 2],
    /// The classes to distinguish, by number or by name. All if absent. The logistic model needs
    /// exactly two, the positive class first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Class>>,
    /// Whether to standardise each feature: subtract its mean over the training rows and divide by
    /// its standard deviation. Otherwise pixels are scaled to -1 to 1, and numbers are unchanged.
    #[serde(default)]
    pub standardize: bool,
    /// The maximum size of the data in memory: of images at one byte per pixel, or of a table's
    /// rows. Larger images stay in their file, further rows of a table are kept in a file without a
    /// name, and the fused kernels train on both in chunks.
    #[serde(default = "one_gibibyte")]
    pub resident_bytes: u64,
}

/// `[model]`: the kind of model.
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

/// `[objective]`: `J = C + lambda/2 sum w^2`. C is the mean over a batch of the rows'
/// cross-entropies, each multiplied by its class weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveConfig {
    /// lambda.
    pub l2: f64,
    /// Whether w includes the bias.
    pub penalize_bias: bool,
    /// The weight of each class's rows in the loss. All weights are 1 if absent. A class that is
    /// not listed has the weight 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
}

/// `[descent]`: how `J` is minimised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DescentConfig {
    /// The solver. Learning rate, batches, epochs and shuffle apply only to [`Solver::Sgd`].
    pub solver: Solver,
    /// How gradients are computed.
    pub gradient: GradientSource,
    /// The float type of weights and features.
    pub precision: Precision,
    /// The update rule. This and all following fields apply only to [`Solver::Sgd`].
    pub optimizer: Optimizer,
    /// For `sgd` and `rmsprop`: the momentum coefficient. 0 is no momentum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// For `sgd` with momentum: each step adds `1 - dampening` times the gradient to the
    /// velocity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dampening: Option<f64>,
    /// For `sgd` with momentum: whether it is Nesterov momentum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// For `adam` and `adamw`: the decay rate of the running mean of gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_1: Option<f64>,
    /// For `adam` and `adamw`: the decay rate of the running mean of squared gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_2: Option<f64>,
    /// For `rmsprop`: the decay rate of the running mean of squared gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// For all but `sgd`: the constant added to the denominator for numerical stability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// For `adamw`: each step also multiplies weights and biases by
    /// `1 - learning_rate * decoupled_weight_decay`. Unlike `objective.l2`, this decay is not part
    /// of `J` and its gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoupled_weight_decay: Option<f64>,
    /// The learning rate at the first step.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// For `linear` and `cosine`: the learning rate at the end of the last epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_learning_rate: Option<f64>,
    /// For `exponential` and `step`: the factor that multiplies the learning rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// For `step`: the number of epochs between two reductions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_epochs: Option<usize>,
    /// The number of rows per step. The last step of an epoch uses the remaining rows and reduces
    /// its learning rate in proportion.
    pub batch_size: usize,
    /// Whether an epoch omits the remaining rows, so that all batches have the same size.
    pub drop_last: bool,
    /// The number of passes over the training rows.
    pub epochs: usize,
    /// The order of the rows.
    pub shuffle: ShuffleConfig,
}

/// The algorithm that minimises `J`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Solver {
    /// Mini-batch gradient descent with the configured optimizer and schedule.
    Sgd,
    /// L-BFGS on all rows, to the minimum, with a certificate. Requires lambda > 0. See
    /// `[optimum]`.
    Lbfgs,
    /// Newton's method on all rows of a table, to the minimum, with a certificate. lambda may be 0.
    /// See `[optimum]`.
    Newton,
}

impl Solver {
    /// Whether it searches for the minimum on all rows.
    pub fn is_search(self) -> bool {
        self != Self::Sgd
    }
}

/// The optimizers. They are Burn's.
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

/// The learning-rate schedules. They are Burn's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Schedule {
    /// A constant learning rate.
    Constant,
    /// Linear change to the final rate, at every step.
    Linear,
    /// Cosine decay (half a period) to the final rate, at every step.
    Cosine,
    /// Multiplied by gamma after every epoch.
    Exponential,
    /// Multiplied by gamma after every `step_epochs` epochs.
    Step,
}

/// `[optimum]`: the settings of [`Solver::Lbfgs`] and [`Solver::Newton`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimumConfig {
    /// The search ends when `J` is proven to be at most this much above its minimum, in nats.
    pub tolerance: f64,
    /// The maximum number of iterations. One iteration takes one or a few passes over the training
    /// rows.
    pub max_iterations: usize,
    /// The number of past steps that L-BFGS uses to approximate the curvature.
    pub memory: usize,
    /// The number of iterations between evaluations on the validation rows.
    pub evaluate_every: usize,
}

/// How the gradient of a step is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GradientSource {
    /// The engine's default: fused kernels if it has them, otherwise the closed form.
    Auto,
    /// The derived formula, in a fused kernel that does a whole step in one pass.
    Fused,
    /// The derived formula, in tensor operations or plain loops.
    ClosedForm,
    /// Burn's autodiff.
    Autodiff,
}

/// The float type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

/// `[descent.shuffle]`: a new order of the rows for each epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShuffleConfig {
    /// The random generator.
    pub generator: Generator,
    /// The run's only seed.
    pub seed: u64,
    /// The number of epochs to skip in the random stream before the first one. The stream then
    /// continues where an earlier run with the same number of rows ended.
    pub skip_epochs: usize,
}

/// The random generator for the row order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generator {
    /// No shuffling: rows stay in file order.
    None,
    /// NumPy's legacy `seed` and `shuffle` (MT19937), reproduced bit for bit.
    NumpyLegacy,
    /// ChaCha8.
    Chacha,
}

/// `[early_stopping]`: when to evaluate, and when to stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStoppingConfig {
    /// The number of evaluations on the validation rows per epoch.
    pub evaluations_per_epoch: usize,
    /// The run stops after this many consecutive evaluations without a strictly lower validation
    /// loss. If absent, the run never stops early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Whether the run returns the weights of its best evaluation. The last step is evaluated,
    /// too, so the last weights are returned if they are better.
    pub restore_best: bool,
}

fn auto() -> String {
    "auto".to_owned()
}

fn one_gibibyte() -> u64 {
    1 << 30
}

fn mnist_size() -> [usize; 2] {
    [28, 28]
}

fn a_thousand() -> usize {
    1000
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_a_thousand(count: &usize) -> bool {
    *count == a_thousand()
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(count: &usize) -> bool {
    *count == one()
}

fn one_fifth() -> f64 {
    0.2
}

impl DataConfig {
    /// Returns what is said about the text of a table.
    pub fn text(&self) -> TextOptions {
        let &Self { separator, decimal, encoding, header, bad_rows, .. } = self;
        TextOptions { separator, decimal, encoding, header, bad_rows }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            source: auto(),
            train_images: None,
            validation_images: None,
            label: None,
            ignore: Vec::new(),
            columns: BTreeMap::new(),
            missing: Vec::new(),
            max_categories: a_thousand(),
            min_rows: one(),
            group: None,
            weight: None,
            separator: None,
            decimal: None,
            encoding: None,
            header: None,
            bad_rows: BadRows::Error,
            validation_fraction: one_fifth(),
            image_size: mnist_size(),
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
