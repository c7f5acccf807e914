use serde::{Deserialize, Serialize};

/// The parameters of a linear model, as stored in `model.safetensors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// The number of features, d.
    pub n_features: usize,
    /// The number of columns of W, k: one for the logistic model, otherwise one per class.
    #[serde(rename = "n_classes")]
    pub columns: usize,
    /// W, `d * k` numbers, row-major: the column index changes fastest.
    pub weight: Vec<f64>,
    /// b, `k` numbers.
    pub bias: Vec<f64>,
}

impl Parameters {
    /// Returns parameters that are all 0.
    pub fn zeros(n_features: usize, columns: usize) -> Self {
        Self { n_features, columns, weight: vec![0.0; n_features * columns], bias: vec![0.0; columns] }
    }

    /// Whether all parameters are 0.
    pub fn is_zero(&self) -> bool {
        self.weight.iter().chain(&self.bias).all(|&w| w == 0.0)
    }

    /// Returns the weights of one class, one per feature: column `class` of W. The logistic model
    /// has only column 0, which belongs to its positive class.
    ///
    /// # Panics
    /// If W has no such column.
    pub fn weights_of_class(&self, class: usize) -> Vec<f64> {
        let k = self.columns;
        assert!(class < k, "no column {class}: W has {k} columns; a logistic model has one, for its positive class");
        self.weight.iter().skip(class).step_by(k).copied().collect()
    }

    /// Whether the shape is `[d, k]` and both vectors have the matching length.
    pub fn has_shape(&self, [d, k]: [usize; 2]) -> bool {
        let counts = (self.weight.len(), self.bias.len());
        [self.n_features, self.columns] == [d, k] && counts == (d * k, k)
    }
}
