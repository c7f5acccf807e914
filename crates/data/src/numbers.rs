/// Rows of numbers as a table has them, labels as positions among the classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Features of a row, d.
    pub n_features: usize,
    /// `n * d` numbers, row by row.
    pub values: Vec<f64>,
    /// For each row the position of its class among the run's classes.
    pub labels: Vec<u8>,
}

impl Numbers {
    /// Rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}
