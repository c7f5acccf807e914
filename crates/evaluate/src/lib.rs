//! How good a classifier is on labelled rows, how sure one can be of that, and whether two
//! classifiers differ.
//!
//! - [`Tally`] counts rows one by one, in constant memory: accuracy, precision and recall,
//!   confusion matrix, reliability.
//! - [`Confusion`] has the metrics of predicted classes, [`Ranking`] those of the order of scores
//!   (ROC, precision-recall, thresholds, gain and lift), [`Auc`] the area with its error, and
//!   [`brier_score`], [`Mean`] and [`calibration`] those of probabilities. Rows may have weights
//!   where scikit-learn has `sample_weight`.
//! - [`PredictedRows`] keeps the predictions of all rows, and computes all of these.
//! - [`FoldMean`] is a mean over the folds of a cross-validation, and [`choose_penalty`] chooses by
//!   it.
//! - [`CostMatrix`] decides where some errors cost more than others.
//! - Two models on the same rows are compared by paired tests: [`mcnemar`] for accuracy,
//!   [`paired_t`] and [`paired_bootstrap`] for the loss, [`Auc::compare`] for the area. Two
//!   confidence intervals that overlap are no test: they ignore that the rows are the same.
//!
//! What scikit-learn has agrees with it (`sklearn.metrics`, version 1.9) to 1e-12. The exception is
//! 0 / 0: here it is `None`, there it is 0.

mod auc;
mod confusion;
mod costs;
mod distributions;
mod folds;
mod paired;
mod predicted;
mod probabilities;
mod proportion;
mod ranking;
mod tally;

pub use auc::{Auc, PairedAuc};
pub use confusion::Confusion;
pub use costs::{CostError, CostMatrix};
pub use distributions::{chi_squared_tail, normal_half_width, normal_two_sided, student_half_width, student_two_sided};
pub use folds::{FoldMean, choose_penalty};
pub use paired::{
    Discordant, McNemar, McNemarMethod, PairedBootstrap, PairedT, holm, mcnemar, mcnemar_by, paired_bootstrap, paired_t,
};
pub use predicted::{Area, ClassDetails, Comparison, Details, PredictedRows, log_odds};
pub use probabilities::{Binning, CalibrationBin, Mean, brier_score, calibration};
pub use proportion::{clopper_pearson, wilson, wilson_at};
pub use ranking::{BestThreshold, Gain, PrecisionRecallPoint, Ranking, RocPoint};
pub use tally::{Bin, ClassScores, Misclassified, Scores, Tally};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
