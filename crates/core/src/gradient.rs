/// The mean loss over some rows and its gradient, without the penalty.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// The mean loss, in nats.
    pub loss: f64,
    /// The gradient with respect to W, `d * k` numbers, row-major: the column index changes
    /// fastest.
    pub weight: Vec<f64>,
    /// The gradient with respect to b, `k` numbers.
    pub bias: Vec<f64>,
}

impl Gradient {
    /// Multiplies the loss and the gradient by a factor.
    #[must_use]
    pub fn scaled_by(mut self, factor: f64) -> Self {
        self.loss *= factor;
        self.weight.iter_mut().chain(&mut self.bias).for_each(|x| *x *= factor);
        self
    }

    /// Adds another gradient and its loss, multiplied by `factor`.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn add_scaled(&mut self, other: &Gradient, factor: f64) {
        assert_eq!(
            (self.weight.len(), self.bias.len()),
            (other.weight.len(), other.bias.len()),
            "gradients of one shape"
        );
        self.loss += factor * other.loss;
        let numbers = self.weight.iter_mut().chain(&mut self.bias);
        numbers.zip(other.weight.iter().chain(&other.bias)).for_each(|(x, other)| *x += factor * other);
    }
}

/// One step of gradient descent on `J = C + lambda/2 sum w^2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The learning rate.
    pub learning_rate: f64,
    /// lambda, the strength of the penalty.
    pub l2: f64,
    /// Whether w includes the bias.
    pub penalize_bias: bool,
}
