use serde::{Deserialize, Serialize};

/// The parameters of a linear model, as `model.safetensors` keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Features, d.
    pub n_features: usize,
    /// Columns of W, k: one a class, or for the logistic model a single one. How many classes these
    /// tell apart, the model's [`Link`](crate::Link) knows.
    #[serde(rename = "n_classes")]
    pub columns: usize,
    /// W, `d * k` numbers, the column running fastest.
    pub weight: Vec<f64>,
    /// b, `k` numbers.
    pub bias: Vec<f64>,
}

impl Parameters {
    /// All 0.
    pub fn zeros(n_features: usize, columns: usize) -> Self {
        Self { n_features, columns, weight: vec![0.0; n_features * columns], bias: vec![0.0; columns] }
    }

    /// The weights of one class, feature by feature; of the logistic model, whose one column is the
    /// positive class's, those of class 0.
    ///
    /// # Panics
    /// Where W has no such column.
    pub fn of_class(&self, class: usize) -> Vec<f64> {
        let k = self.columns;
        assert!(
            class < k,
            "class {class} of weights with {k} columns; a logistic model's are those of its positive class"
        );
        self.weight.iter().skip(class).step_by(k).copied().collect()
    }

    /// Whether they are `[d, k]` and as many as that takes.
    pub fn has_shape(&self, [d, k]: [usize; 2]) -> bool {
        let counts = (self.weight.len(), self.bias.len());
        [self.n_features, self.columns] == [d, k] && counts == (d * k, k)
    }
}
