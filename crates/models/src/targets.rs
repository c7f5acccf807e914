use burn::tensor::{Int, Tensor};

/// The labels of a batch, and optionally a weight for each row.
///
/// With weights, the cost of N rows is
///
#[doc = include_str!("../formulas/eq-24.html")]
///
/// N is the number of rows, not the sum of the weights. So a weight of 2 adds a row's loss twice,
/// and doubling all weights doubles the gradient. Labels convert to targets without weights.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use chainrule_models::{L2, LogisticRegressionConfig, Targets, closed_form};
///
/// let device = Device::default();
/// let model = LogisticRegressionConfig::new(1).init(&device);
/// let x = Tensor::from_data([[-1.0], [0.5], [1.0]], &device); // [n, d]
/// let labels = Tensor::from_data([0, 0, 1], &device); // [n]
/// // Label 1 has one row. With these weights, it counts as much as the two rows of label 0.
/// let weights = Tensor::from_data([0.75, 1.5], &device); // [k]
/// let targets = Targets::with_class_weights(labels, weights);
/// let cost = closed_form(&model, x, targets, L2::NONE).cross_entropy;
/// assert!((cost.into_scalar::<f64>() - std::f64::consts::LN_2).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct Targets {
    /// The class of each row, `[n]`.
    pub labels: Tensor<1, Int>,
    /// The weight of each row, `[n]`, in the float type of the features. If it is `None`, every
    /// weight is 1.
    pub weights: Option<Tensor<1>>,
}

impl Targets {
    /// Creates targets with row weights. The weight of a row is the weight of its class.
    ///
    /// # Shapes
    /// - labels `[n]`, class weights `[k]`
    pub fn with_class_weights(labels: Tensor<1, Int>, class_weights: Tensor<1>) -> Self {
        let weights = class_weights.select(0, labels.clone());
        Self { labels, weights: Some(weights) }
    }

    /// Multiplies the weight of each row by another one.
    ///
    /// # Shapes
    /// - weights `[n]`
    #[must_use]
    pub fn with_row_weights(self, weights: Tensor<1>) -> Self {
        let weights = match self.weights {
            None => weights,
            Some(own) => own * weights,
        };
        Self { weights: Some(weights), ..self }
    }

    /// Returns `w_i l_i` for the losses l, `[n]`. Their mean is Eq. (24).
    pub(crate) fn losses(&self, losses: Tensor<1>) -> Tensor<1> {
        match &self.weights {
            None => losses,
            Some(weights) => losses * weights.clone(),
        }
    }

    /// Multiplies each row `[n, k]` by its weight.
    pub(crate) fn weighted(&self, rows: Tensor<2>) -> Tensor<2> {
        weighted(rows, self.weights.clone())
    }
}

/// Multiplies each row `[n, k]` by its weight `[n]`. Returns the rows unchanged if `weights` is
/// `None`.
pub(crate) fn weighted(rows: Tensor<2>, weights: Option<Tensor<1>>) -> Tensor<2> {
    match weights {
        None => rows,
        Some(weights) => rows * weights.unsqueeze_dim(1),
    }
}

impl From<Tensor<1, Int>> for Targets {
    /// Creates targets without weights.
    fn from(labels: Tensor<1, Int>) -> Self {
        Self { labels, weights: None }
    }
}
