/// The cross-entropy of the logits `Z = X W + b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Softmax regression, with softmax(Z). The columns are the classes. Labels are less than the
    /// number of columns.
    Softmax,
    /// Logistic regression, with sigmoid(z) and a single column. Labels are 0 and 1.
    Logistic,
}

impl Loss {
    /// Returns the number of classes for a weight with `columns` columns.
    pub(crate) fn labels(self, columns: usize) -> usize {
        match self {
            Loss::Softmax => columns,
            Loss::Logistic => 2,
        }
    }
}
