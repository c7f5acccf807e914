//! A trained model on the bytes of images, by host arithmetic in f64: what it predicts, and why.
//!
//! Both models are read as a softmax of logits, the logistic one's being 0 and z: `softmax(0, z) = (1 - sigmoid(z), sigmoid(z))`.

use chainrule_data::pixel_value;
use chainrule_records::{ModelKind, Parameters};

use crate::examples::scale_and_offset;

/// A trained model, for asking.
#[derive(Clone, Debug)]
pub struct Predictor {
    kind: ModelKind,
    parameters: Parameters,
    /// The logits of an image whose bytes are all 0, which most of an image's are: `b_k + offset * sum_j w_jk`.
    of_blank: Vec<f64>,
    scale: f64,
}

/// What a model says of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// `[k]`, in the order of the classes; for the logistic model 0 and z.
    pub logits: Vec<f64>,
    /// `[k]`, in the order of the classes.
    pub probabilities: Vec<f64>,
    /// The position of the most probable class, of equal ones the first.
    pub class: usize,
}

impl Prediction {
    /// The cross-entropy, in nats, where `class` is the right one: `log sum_k exp(z_k) - z_class`.
    pub fn cross_entropy(&self, class: usize) -> f64 {
        let highest = self.logits[self.class];
        self.logits.iter().map(|z| (z - highest).exp()).sum::<f64>().ln() + (highest - self.logits[class])
    }
}

impl Predictor {
    /// # Errors
    /// Where a parameter or a sum of them is not finite, or a logistic model has other than one column of them.
    pub fn new(kind: ModelKind, parameters: Parameters) -> Result<Self, String> {
        if !parameters.weight.iter().chain(&parameters.bias).all(|x| x.is_finite()) {
            return Err("its weights are not all finite".to_owned());
        }
        let columns = parameters.n_classes;
        if columns == 0 || parameters.n_features == 0 {
            return Err("it has no weight".to_owned());
        }
        if kind == ModelKind::Logistic && columns != 1 {
            return Err(format!("a logistic model has 1 column of weights, and it has {columns}"));
        }
        let (scale, offset) = scale_and_offset();
        let mut of_blank = parameters.bias.clone();
        for (class, z) in of_blank.iter_mut().enumerate() {
            let weights = parameters.of_class(class);
            // No feature is larger than 1, so that no sum on the way to a logit is larger than this.
            let largest = z.abs() + 3.0 * weights.iter().map(|w| w.abs()).sum::<f64>();
            if !largest.is_finite() {
                return Err("its weights are so large that their sums are not finite".to_owned());
            }
            *z += offset * weights.iter().sum::<f64>();
        }
        Ok(Self { kind, of_blank, parameters, scale })
    }

    /// Features of an image, d.
    pub fn n_features(&self) -> usize {
        self.parameters.n_features
    }

    /// Classes, k: two for the logistic model.
    pub fn n_classes(&self) -> usize {
        match self.kind {
            ModelKind::Logistic => 2,
            ModelKind::Softmax => self.parameters.n_classes,
        }
    }

    /// What it says of an image.
    ///
    /// # Panics
    /// Where `pixels` are not d.
    pub fn predict(&self, pixels: &[u8]) -> Prediction {
        let columns = self.parameters.n_classes;
        assert_eq!(pixels.len(), self.n_features(), "pixels of an image");
        let mut logits = self.of_blank.clone();
        for (&pixel, weights) in pixels.iter().zip(self.parameters.weight.chunks_exact(columns)) {
            if pixel == 0 {
                continue;
            }
            let x = self.scale * f64::from(pixel);
            logits.iter_mut().zip(weights).for_each(|(z, w)| *z += x * w);
        }
        if self.kind == ModelKind::Logistic {
            logits.insert(0, 0.0);
        }
        let mut class = 0;
        for (k, z) in logits.iter().enumerate() {
            if *z > logits[class] {
                class = k;
            }
        }
        let powers: Vec<f64> = logits.iter().map(|z| (z - logits[class]).exp()).collect();
        let sum: f64 = powers.iter().sum();
        Prediction { probabilities: powers.iter().map(|power| power / sum).collect(), logits, class }
    }

    /// The weights `[d]` and the bias that speak for a class; for the logistic model those of z for the positive class, the last, and of -z for
    /// the other.
    ///
    /// # Panics
    /// Where `class` is none of the k.
    pub fn of_class(&self, class: usize) -> (Vec<f64>, f64) {
        assert!(class < self.n_classes(), "class {class} of {}", self.n_classes());
        let (column, sign) = match self.kind {
            ModelKind::Softmax => (class, 1.0),
            ModelKind::Logistic => (0, if class == 0 { -1.0 } else { 1.0 }),
        };
        let weights = self.parameters.of_class(column);
        (weights.iter().map(|w| sign * w).collect(), sign * self.parameters.bias[column])
    }

    /// What speaks for a class in an image: for each pixel `x_j w_jk`, and the bias `b_k`, of [`Predictor::of_class`]. Their sum is the logit.
    ///
    /// # Panics
    /// Where `pixels` are not d or `class` is none of the k.
    pub fn evidence(&self, pixels: &[u8], class: usize) -> (Vec<f64>, f64) {
        assert_eq!(pixels.len(), self.n_features(), "pixels of an image");
        let (weights, bias) = self.of_class(class);
        (pixels.iter().zip(weights).map(|(&pixel, w)| pixel_value(pixel) * w).collect(), bias)
    }
}
