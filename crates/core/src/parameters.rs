use serde::{Deserialize, Serialize};

/// The parameters of a linear model, as `model.safetensors` keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Features, d.
    pub n_features: usize,
    /// Classes, k; 1 for the logistic model.
    pub n_classes: usize,
    /// W, `d * k` numbers, the class running fastest.
    pub weight: Vec<f64>,
    /// b, `k` numbers.
    pub bias: Vec<f64>,
}

impl Parameters {
    /// The weights of one class, feature by feature; of the logistic model, whose one column is the
    /// positive class's, those of class 0.
    ///
    /// # Panics
    /// Where W has no such column.
    pub fn of_class(&self, class: usize) -> Vec<f64> {
        let k = self.n_classes;
        assert!(
            class < k,
            "class {class} of weights with {k} columns; a logistic model's are those of its positive class"
        );
        self.weight.iter().skip(class).step_by(self.n_classes).copied().collect()
    }

    /// Whether they are `[d, k]` and as many as that takes.
    pub fn has_shape(&self, [d, k]: [usize; 2]) -> bool {
        let counts = (self.weight.len(), self.bias.len());
        [self.n_features, self.n_classes] == [d, k] && counts == (d * k, k)
    }
}
