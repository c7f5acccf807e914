//! Facts that the runs do not record. The command computes them from the data and the models.

use std::collections::BTreeMap;

/// The facts of a report.
#[derive(Clone, Debug)]
pub struct DataFacts {
    /// The name of the data.
    pub data_name: String,
    /// For each batch of an epoch of the run `logistic`, in file order: the number of rows of each
    /// class.
    pub batches: Vec<Vec<usize>>,
    /// Example images for the page, each with its label.
    pub examples: Vec<(u8, Vec<u8>)>,
    /// How the final models of the runs in [`RUNS_WITH_RESULTS`] do on each row.
    pub results: Results,
    /// What makes the hardest batch hard, if there is one: [`hardest_batch`](crate::hardest_batch).
    pub hard_batch: Option<HardBatch>,
    /// Whether the report's folder may hold pictures of the data's rows. A folder that is published
    /// may not, unless the data's licence allows it.
    pub shows_rows: bool,
}

/// The results of runs, by name.
pub type Results = BTreeMap<String, RunResults>;

/// The runs whose models are compared on the same rows.
pub const RUNS_WITH_RESULTS: [&str; 15] = [
    "softmax",
    "softmax-one-epoch",
    "softmax-l2-1-minimum",
    "softmax-l2-0.1-minimum",
    "softmax-l2-0.01-minimum",
    "softmax-l2-0.001-minimum",
    "softmax-l2-0.0001-minimum",
    "softmax-l2-0.00001-minimum",
    "softmax-l2-1-full-length",
    "softmax-l2-0.1-full-length",
    "softmax-l2-0.01-full-length",
    "softmax-l2-0.001-full-length",
    "softmax-l2-0.0001-full-length",
    "softmax-l2-0.00001-full-length",
    "softmax-full-length",
];

/// How a model does on each row.
#[derive(Clone, Debug, PartialEq)]
pub struct RunResults {
    /// On the training rows.
    pub train: RowResults,
    /// On the validation rows.
    pub validation: RowResults,
}

/// How a model does on each of some rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowResults {
    /// Whether the row's class is predicted.
    pub is_correct: Vec<bool>,
    /// The cross-entropy of the row, in nats.
    pub losses: Vec<f64>,
}

/// A batch after which the validation loss jumps, and what it does without its worst rows.
#[derive(Clone, Debug, PartialEq)]
pub struct HardBatch {
    /// The position of the batch in the epoch, from 0.
    pub batch: usize,
    /// The epoch of this step, from 0.
    pub epoch: usize,
    /// The validation loss before the step on this batch, in nats.
    pub before: f64,
    /// The validation loss after it.
    pub after: f64,
    /// The validation loss after a step on the batch without the rows in
    /// [`worst`](Self::worst).
    pub after_without: f64,
    /// The rows of the batch with the highest losses before the step, the highest first.
    pub worst: Vec<HardRow>,
    /// The mean loss of the other rows of the batch.
    pub mean_of_others: f64,
    /// The mean correlation of the pixels of two of the worst rows.
    pub likeness: f64,
    /// The mean correlation of the pixels of two training rows of the same class.
    pub usual_likeness: f64,
}

/// One of the worst rows of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct HardRow {
    /// The number of the image in the file of the training images, from 0.
    pub image: usize,
    /// The name of its class.
    pub class: String,
    /// The cross-entropy before the step, in nats.
    pub loss: f64,
    /// The grey levels, row by row.
    pub pixels: Vec<u8>,
}

impl RowResults {
    /// The fraction of rows whose class is predicted.
    pub(crate) fn accuracy(&self) -> f64 {
        self.is_correct.iter().filter(|correct| **correct).count() as f64 / self.is_correct.len() as f64
    }

    /// The mean cross-entropy, in nats.
    pub(crate) fn loss(&self) -> f64 {
        self.losses.iter().sum::<f64>() / self.losses.len() as f64
    }

    /// For each row: 1 if only this model is right, -1 if only the other is, else 0.
    pub(crate) fn wins_over<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = f64> + 'a {
        let pairs = self.is_correct.iter().zip(&other.is_correct);
        pairs.map(|(mine, other)| f64::from(u8::from(*mine)) - f64::from(u8::from(*other)))
    }
}
