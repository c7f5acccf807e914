/// The mean loss of some rows and its gradient, without the penalty.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// The mean loss, in nats.
    pub loss: f64,
    /// By W, `d * k` numbers, the column running fastest.
    pub weight: Vec<f64>,
    /// By b, `k` numbers.
    pub bias: Vec<f64>,
}

impl Gradient {
    /// Every number times a factor.
    #[must_use]
    pub fn times(mut self, factor: f64) -> Self {
        self.loss *= factor;
        self.weight.iter_mut().chain(&mut self.bias).for_each(|x| *x *= factor);
        self
    }

    /// Adds another, times a factor.
    ///
    /// # Panics
    /// Where it is of another model.
    pub fn add_times(&mut self, other: &Gradient, factor: f64) {
        assert_eq!((self.weight.len(), self.bias.len()), (other.weight.len(), other.bias.len()), "the same model");
        self.loss += factor * other.loss;
        let numbers = self.weight.iter_mut().chain(&mut self.bias);
        numbers.zip(other.weight.iter().chain(&other.bias)).for_each(|(x, other)| *x += factor * other);
    }
}

/// One step of gradient descent on `J = C + lambda/2 sum w^2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// How far down the gradient.
    pub learning_rate: f64,
    /// lambda.
    pub l2: f64,
    /// Whether the bias belongs to w.
    pub penalize_bias: bool,
}
