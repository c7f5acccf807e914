//! Why a model predicts what it predicts: the contribution of each feature to each logit, and the
//! gradient of one row, step by step.

use chainrule_core::{LinkKind, Preprocessing, Recipe};
use serde::Serialize;

use crate::inference::{Prediction, Predictor, RowError};

/// A prediction, taken apart. [`Predictor::explain`] makes it.
///
/// A contribution is relative to a reference row: `(x_j - reference_j) w_jk`. The reference is the
/// mean of the training rows if the features are standardised, a blank image for pixels, and
/// otherwise a row of zeros. So a pixel without ink and a feature at its mean contribute nothing.
///
/// For each column k of W: `z_k = reference_logit_k + sum_j contribution_jk`, to rounding.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The prediction.
    pub prediction: Prediction,
    /// The logits of the columns of W, `[columns]`. For the logistic model, the log odds of its
    /// positive class. For one-vs-rest, the log odds of each class against the others.
    pub z: Vec<f64>,
    /// The logits of the reference row, `[columns]`: the bias, except for pixels.
    pub reference_logits: Vec<f64>,
    /// The contributions `[d, columns]`, in the units of the logits.
    pub contributions: Vec<f64>,
}

/// The gradient of a single row's cost, with the numbers that it is computed from. Its equations
/// are (1) to (8) of `docs/derivation.md` for the logistic model and for each column of
/// one-vs-rest, and (11) to (18) for softmax. It has no penalty and no class weight.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowGradient {
    /// The features `[d]`, after the preprocessing.
    pub x: Vec<f64>,
    /// `z = x W + b`, `[columns]`.
    pub z: Vec<f64>,
    /// The sigmoid or the softmax of z, `[columns]`. For a [`Link`](chainrule_core::Link) of your
    /// own, `y + dC/dz`.
    pub p: Vec<f64>,
    /// The target, `[columns]`: 1 in the column of the row's class, else 0.
    pub y: Vec<f64>,
    /// The cost C in nats.
    pub cost: f64,
    /// `dC/dz = p - y`, `[columns]`. It is also `dC/db`.
    pub residual: Vec<f64>,
    /// `dC/dW`, `[d, columns]`.
    pub weight: Vec<f64>,
}

impl Explanation {
    /// Returns the contribution of each column of a table, `[recipe.columns, columns]`: the sum of
    /// those of its features.
    ///
    /// # Panics
    /// If the recipe has another number of features.
    pub fn of_columns(&self, recipe: &Recipe) -> Vec<f64> {
        let k = self.z.len();
        assert_eq!(recipe.n_features() * k, self.contributions.len(), "the recipe of the model");
        let mut sums = vec![0.0; recipe.columns.len() * k];
        let mut features = self.contributions.chunks_exact(k);
        for (column, sums) in recipe.columns.iter().zip(sums.chunks_exact_mut(k)) {
            for feature in features.by_ref().take(column.encoding.n_features()) {
                sums.iter_mut().zip(feature).for_each(|(sum, contribution)| *sum += contribution);
            }
        }
        sums
    }
}

impl Predictor {
    /// Explains the prediction for a stored row by the contribution of each feature.
    ///
    /// ```
    /// use chainrule_core::{LinkKind, Parameters, Preprocessing};
    /// use chainrule_solve::Predictor;
    ///
    /// let (weight, bias) = (vec![1.5, -0.5], vec![0.25]);
    /// let parameters = Parameters { n_features: 2, columns: 1, weight, bias };
    /// let predictor = Predictor::new(LinkKind::Logistic, parameters, Preprocessing::Raw)?;
    /// let explanation = predictor.explain(&[2.0, 4.0])?;
    /// assert_eq!(explanation.contributions, [3.0, -2.0]);
    /// assert_eq!((explanation.reference_logits, explanation.z), (vec![0.25], vec![1.25]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn explain<T: Copy + Into<f64>>(&self, raw: &[T]) -> Result<Explanation, RowError> {
        let (prediction, z) = self.predict_z(raw)?;
        let contribution = |(j, (raw, weights)): (usize, (&T, &[f64]))| {
            let (scale, reference) = self.scale_and_reference(j);
            let x = ((*raw).into() - reference) * scale;
            weights.iter().map(|w| x * w).collect::<Vec<f64>>()
        };
        let rows = raw.iter().zip(self.parameters.weight.chunks_exact(z.len()));
        let contributions = rows.enumerate().flat_map(contribution).collect();
        Ok(Explanation { prediction, z, reference_logits: self.reference_logits().to_vec(), contributions })
    }

    /// Returns the factor and the reference of feature j: `x_j - reference_j = factor (raw_j -
    /// raw_reference_j)`. See [`Explanation`].
    ///
    /// # Panics
    /// If there is no feature j.
    pub fn scale_and_reference(&self, j: usize) -> (f64, f64) {
        let reference = match &self.preprocessing {
            Preprocessing::Standardized(statistics) => statistics.mean[j],
            Preprocessing::Pixels | Preprocessing::Raw => 0.0,
        };
        (self.preprocessing.affine(j).0, reference)
    }

    /// Returns the gradient of a stored row's cost, with the numbers that lead to it.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    ///
    /// # Panics
    /// If `class` is not below k.
    pub fn gradient<T: Copy + Into<f64>>(&self, raw: &[T], class: usize) -> Result<RowGradient, RowError> {
        let (_, z) = self.predict_z(raw)?;
        assert!(class < self.n_classes(), "class {class} of {}", self.n_classes());
        let x: Vec<f64> = raw.iter().enumerate().map(|(j, &raw)| self.preprocessing.value(j, raw.into())).collect();
        let one_hot = |column: usize| f64::from(u8::from(column == class));
        let y = if z.len() == 1 { vec![class as f64] } else { (0..z.len()).map(one_hot).collect() };
        let mut residual = z.clone();
        let cost = self.link.loss_and_residual(&mut residual, class as f64);
        let p = match self.link.kind() {
            Some(LinkKind::Softmax) => self.link.mean(&z),
            Some(LinkKind::Logistic | LinkKind::OneVsRest) => z.iter().map(|&z| sigmoid(z)).collect(),
            None => y.iter().zip(&residual).map(|(y, residual)| y + residual).collect(),
        };
        // Eqs. (8) and (18)
        let weight = x.iter().flat_map(|x| residual.iter().map(move |residual| x * residual)).collect();
        Ok(RowGradient { x, z, p, y, cost, residual, weight })
    }
}

/// Eq. (2), without overflow.
fn sigmoid(z: f64) -> f64 {
    let exp_neg_abs = (-z.abs()).exp();
    if z < 0.0 { exp_neg_abs / (1.0 + exp_neg_abs) } else { 1.0 / (1.0 + exp_neg_abs) }
}
