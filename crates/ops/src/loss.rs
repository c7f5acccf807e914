/// Which cross-entropy of the logits `Z = X W + b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Of softmax(Z), whose columns are the classes. Labels are below the number of columns.
    Softmax,
    /// Of sigmoid(z), with a single column. Labels are 0 and 1.
    Logistic,
}

impl Loss {
    /// How many labels there are, with `columns` of weights.
    pub(crate) fn labels(self, columns: usize) -> usize {
        match self {
            Loss::Softmax => columns,
            Loss::Logistic => 2,
        }
    }
}
