//! Decisions where some errors cost more than others.

use crate::confusion::Confusion;

/// The cost of each prediction for each class.
#[derive(Clone, Debug, PartialEq)]
pub struct CostMatrix {
    classes: usize,
    /// `[k, k]`, by label and then by prediction.
    costs: Vec<f64>,
}

/// An error in a matrix of costs.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CostError {
    /// The rows have another length than there are rows.
    #[error("the costs of class {label}: expected {classes} numbers, one for each predicted class, found {found}")]
    Shape {
        /// The position of the class.
        label: usize,
        /// The number of rows.
        classes: usize,
        /// The length of the row.
        found: usize,
    },
    /// A cost is NaN or infinite.
    #[error("the costs of class {label}: expected finite numbers, found {found}")]
    NotFinite {
        /// The position of the class.
        label: usize,
        /// The cost.
        found: f64,
    },
}

impl CostMatrix {
    /// Takes the costs by label and then by prediction. A gain is a negative cost.
    ///
    /// # Errors
    /// If the matrix is not square, or a cost is not finite.
    pub fn new(costs: &[Vec<f64>]) -> Result<Self, CostError> {
        let classes = costs.len();
        for (label, row) in costs.iter().enumerate() {
            if row.len() != classes {
                return Err(CostError::Shape { label, classes, found: row.len() });
            }
            if let Some(&found) = row.iter().find(|cost| !cost.is_finite()) {
                return Err(CostError::NotFinite { label, found });
            }
        }
        Ok(Self { classes, costs: costs.concat() })
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The cost of predicting `predicted` for a row of class `label`.
    pub fn cost(&self, label: usize, predicted: usize) -> f64 {
        self.costs[label * self.classes + predicted]
    }

    /// The class whose prediction has the lowest expected cost at these probabilities, `[k]`. Of
    /// equal ones, the first.
    ///
    /// # Panics
    /// If there is not a probability for each class.
    pub fn decide(&self, probabilities: &[f64]) -> usize {
        assert_eq!(probabilities.len(), self.classes, "a probability for each class");
        let expected = |predicted: usize| -> f64 {
            probabilities.iter().enumerate().map(|(label, p)| p * self.cost(label, predicted)).sum()
        };
        (0..self.classes)
            .map(|class| (class, expected(class)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(0, |(class, _)| class)
    }

    /// The probability of class 1 from which on predicting it has the lower expected cost, if the
    /// probabilities are right: C. Elkan, The foundations of cost-sensitive learning, IJCAI 2001,
    /// Eq. (2). `None` if there are not two classes, or errors cost no more than right predictions.
    pub fn threshold(&self) -> Option<f64> {
        if self.classes != 2 {
            return None;
        }
        let [false_positive, false_negative] = [self.cost(0, 1) - self.cost(0, 0), self.cost(1, 0) - self.cost(1, 1)];
        (false_positive >= 0.0 && false_negative >= 0.0 && false_positive + false_negative > 0.0)
            .then(|| false_positive / (false_positive + false_negative))
    }

    /// The mean cost of the predictions.
    ///
    /// # Panics
    /// If the numbers of classes differ.
    pub fn mean_cost(&self, confusion: &Confusion) -> Option<f64> {
        let k = self.classes;
        assert_eq!(confusion.classes(), k, "the same classes");
        let cells = (0..k * k).map(|i| self.costs[i] * confusion.cell(i / k, i % k));
        let (sum, total) = (cells.sum::<f64>(), confusion.total());
        (total > 0.0).then(|| sum / total)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
mod tests {
    use super::*;

    /// A missed positive row costs 4, a false alarm 1: predict it from 1 / (1 + 4) on.
    #[test]
    fn decisions_have_the_lowest_expected_cost() {
        let costs = CostMatrix::new(&[vec![0.0, 1.0], vec![4.0, 0.0]]).unwrap();
        assert_eq!(costs.threshold(), Some(0.2));
        assert_eq!([0.19, 0.21].map(|p| costs.decide(&[1.0 - p, p])), [0, 1]);
        let mut confusion = Confusion::new(2);
        for (label, predicted, weight) in [(0, 0, 5.0), (0, 1, 2.0), (1, 0, 1.0), (1, 1, 2.0)] {
            confusion.add(label, predicted, weight);
        }
        assert_eq!(costs.mean_cost(&confusion), Some(0.6));
        // Three classes: class 2 is never right, but never wrong by much.
        let hedged = vec![vec![0.0, 10.0, 1.0], vec![10.0, 0.0, 1.0], vec![1.0, 1.0, 0.0]];
        let costs = CostMatrix::new(&hedged).unwrap();
        assert_eq!((costs.decide(&[0.5, 0.5, 0.0]), costs.decide(&[0.99, 0.01, 0.0])), (2, 0));
        assert_eq!(costs.threshold(), None);
    }

    #[test]
    fn a_matrix_that_is_not_square_is_refused() {
        let error = CostMatrix::new(&[vec![0.0, 1.0], vec![1.0]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the costs of class 1: expected 2 numbers, one for each predicted class, found 1"
        );
        assert!(CostMatrix::new(&[vec![f64::NAN]]).is_err());
    }
}
