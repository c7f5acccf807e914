//! Metrics of predicted classes: balanced accuracy, Matthews' coefficient, F-beta.

/// How many rows of each class were predicted as each class. Rows may have weights.
///
/// 0 / 0 is `None`, where scikit-learn returns 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Confusion {
    classes: usize,
    /// `[k, k]`, by label and then by prediction.
    cells: Vec<f64>,
}

impl Confusion {
    /// Creates a table without rows.
    pub fn new(classes: usize) -> Self {
        Self { classes, cells: vec![0.0; classes * classes] }
    }

    /// Takes the counts of [`Scores::confusion`](crate::Scores::confusion).
    ///
    /// # Panics
    /// If they are not square.
    pub fn from_counts(counts: &[Vec<u64>]) -> Self {
        assert!(counts.iter().all(|row| row.len() == counts.len()), "as many predicted classes as classes");
        Self { classes: counts.len(), cells: counts.iter().flatten().map(|&count| count as f64).collect() }
    }

    /// Adds a row with its weight.
    ///
    /// # Panics
    /// If a class is out of range.
    pub fn add(&mut self, label: usize, predicted: usize, weight: f64) {
        assert!(label < self.classes && predicted < self.classes, "classes {label} and {predicted}");
        self.cells[label * self.classes + predicted] += weight;
    }

    /// The number of classes, k.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The sum of the weights of rows of class `label` that were predicted as `predicted`.
    pub fn cell(&self, label: usize, predicted: usize) -> f64 {
        self.cells[label * self.classes + predicted]
    }

    /// The sum of all weights.
    pub fn total(&self) -> f64 {
        self.cells.iter().sum()
    }

    fn of_label(&self, class: usize) -> f64 {
        (0..self.classes).map(|predicted| self.cell(class, predicted)).sum()
    }

    fn of_prediction(&self, class: usize) -> f64 {
        (0..self.classes).map(|label| self.cell(label, class)).sum()
    }

    fn right(&self) -> f64 {
        (0..self.classes).map(|class| self.cell(class, class)).sum()
    }

    /// The fraction predicted correctly.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.right(), self.total())
    }

    /// The mean recall of the classes that have rows: `sklearn.metrics.balanced_accuracy_score`.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        let recalls = (0..self.classes).filter_map(|class| ratio(self.cell(class, class), self.of_label(class)));
        let recalls: Vec<f64> = recalls.collect();
        ratio(recalls.iter().sum(), recalls.len() as f64)
    }

    /// Matthews' correlation coefficient; for more than two classes, `R_K` of J. Gorodkin,
    /// Comparing two K-category assignments by a K-category correlation coefficient, Computational
    /// Biology and Chemistry 28, 2004: `sklearn.metrics.matthews_corrcoef`. `None` if all rows are
    /// of one class, or are predicted as one.
    pub fn matthews(&self) -> Option<f64> {
        let (n, right) = (self.total(), self.right());
        let sum = |f: &dyn Fn(usize) -> f64| (0..self.classes).map(f).sum::<f64>();
        let covariance = right * n - sum(&|class| self.of_label(class) * self.of_prediction(class));
        let of_labels = n * n - sum(&|class| self.of_label(class).powi(2));
        let of_predictions = n * n - sum(&|class| self.of_prediction(class).powi(2));
        ratio(covariance, of_labels.max(0.0).sqrt() * of_predictions.max(0.0).sqrt())
    }

    /// F-beta of a class, the weighted harmonic mean of precision and recall, in which recall
    /// counts `beta` times as much: `sklearn.metrics.fbeta_score`.
    pub fn f_beta(&self, class: usize, beta: f64) -> Option<f64> {
        let square = beta * beta;
        ratio((1.0 + square) * self.cell(class, class), square * self.of_label(class) + self.of_prediction(class))
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}
