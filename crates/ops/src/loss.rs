/// A loss of the logits `Z = X W + b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The cross-entropy of softmax(Z). The columns are the classes. A label is less than the
    /// number of columns.
    Softmax,
    /// The cross-entropy of sigmoid(Z), for a single column. A label is 0 or 1.
    Logistic,
}

impl Loss {
    /// Returns the number of classes for a weight with `columns` columns.
    pub(crate) fn n_classes(self, columns: usize) -> usize {
        match self {
            Loss::Softmax => columns,
            Loss::Logistic => 2,
        }
    }
}
