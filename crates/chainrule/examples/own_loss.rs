//! A custom model: Poisson regression, for counts. The model is defined by its [`Link`]. The
//! kernels, L-BFGS and the certificate are those of the two classifiers.
//!
//! ```sh
//! cargo run --example own_loss
//! ```

#![expect(clippy::print_stdout, reason = "this is a program")]

use std::error::Error;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::Arc;

use chainrule::core::{
    Link, ModelKind, Parameters, Precision, Preprocessing, Settings, Solver, TargetKind, TrainConfig,
};
use chainrule::gradcheck::{Gradient, Options, Parameter, check_slices};
use chainrule::kernels::{Float, FusedModel, Isa, PackedRows};
use chainrule::solve::{Predictor, find_optimum};

/// `y` is a count with mean `e^z`. The loss is `-ln P(y)` without the term `ln y!`, which does not
/// depend on the weights.
#[derive(Debug)]
struct Poisson;

impl Link for Poisson {
    fn columns(&self) -> usize {
        1
    }

    fn target_kind(&self) -> TargetKind {
        TargetKind::Numbers
    }

    fn loss_and_residual(&self, z: &mut [f64], target: f64) -> f64 {
        let (logit, mean) = (z[0], z[0].exp());
        z[0] = mean - target; // dC/dz
        mean - target * logit
    }

    fn hessian_vector_product(&self, z: &[f64], direction: &mut [f64]) {
        direction[0] *= z[0].exp(); // d2C/dz2
    }

    fn mean(&self, z: &[f64]) -> Vec<f64> {
        vec![z[0].exp()]
    }

    fn is_correct(&self, z: &[f64], target: f64) -> bool {
        z[0].exp().round() == target
    }
}

/// The number of features.
const D: usize = 3;
/// The number of rows.
const N: usize = 2000;
/// The true parameters: ln of the mean at 0, and the slopes.
const TRUE_PARAMETERS: [f64; D + 1] = [1.2, -0.8, 0.5, 0.7];

fn main() -> Result<(), Box<dyn Error>> {
    // Features are bytes, scaled to 0 to 1. Each row has a count.
    let mut random = Lcg(7);
    let bytes: Vec<u8> = (0..N * D).map(|_| (256.0 * random.uniform()) as u8).collect();
    let counts: Vec<f64> = bytes.chunks_exact(D).map(|row| random.poisson(mean_of(row))).collect();
    let rows = PackedRows::with_numeric_targets(&bytes, [1, D], counts.clone(), 1.0 / 255.0, 0.0);

    // First compare the link's gradient, computed by the kernels, with finite differences at some
    // weights.
    let point = [0.3, -0.2, 0.1, 0.4];
    let mut kernels = FusedModel::new(Poisson, D, Float::F64, 1, Isa::best());
    kernels.set(&point[..D], &point[D..]);
    let found = kernels.full_gradient(&rows);
    let gradient = Gradient::new("kernels", vec![Some(found.weight), Some(found.bias)], 1e-15);
    let parameters = [("weight", D), ("bias", 1)].map(|(name, n)| Parameter { name: name.to_owned(), shape: vec![n] });
    let mut loss = |at: &[f64]| {
        let logit = |row: &[u8]| at[D] + row.iter().zip(at).map(|(&x, w)| f64::from(x) / 255.0 * w).sum::<f64>();
        let losses =
            bytes.chunks_exact(D).zip(&counts).map(|(row, &y)| Poisson.loss_and_residual(&mut [logit(row)], y));
        losses.sum::<f64>() / N as f64
    };
    let report = check_slices(&parameters, &point, &mut loss, f64::EPSILON, &[gradient], &Options::default());
    println!("{report}");
    report.assert_pass();

    // Minimise J. The link has no dual, so the distance to the minimum is proven only if the bias
    // is penalised. The model kind in the settings is not used.
    let link: Arc<dyn Link> = Arc::new(Poisson);
    let minimum = |penalize_bias: bool| {
        let mut settings = Settings::of(ModelKind::Softmax);
        settings.descent.solver = Solver::Lbfgs;
        settings.descent.precision = Precision::F64;
        settings.objective.l2 = 1e-4;
        settings.objective.penalize_bias = penalize_bias;
        let config = TrainConfig::try_from(settings)?;
        let one = NonZero::<usize>::MIN;
        let found = find_optimum(&link, &config, &rows.clone().into(), one, &mut |_, _| ControlFlow::Continue(()))?;
        Ok::<_, Box<dyn Error>>(found)
    };
    for penalize_bias in [true, false] {
        let found = minimum(penalize_bias)?;
        let Parameters { weight, bias, .. } = &found.parameters;
        println!("weights {weight:.3?}, bias {bias:.3?}; drawn by {TRUE_PARAMETERS:?}");
        match found.certificate {
            Some(proof) => println!("J is at most {:.1e} above its minimum", proof.bound),
            None => println!("no certificate: the link has no dual, and the bias no penalty"),
        }
        assert_eq!(found.certificate.is_some_and(|proof| proof.holds()), penalize_bias);
        let found = weight.iter().chain(bias).zip([
            TRUE_PARAMETERS[1],
            TRUE_PARAMETERS[2],
            TRUE_PARAMETERS[3],
            TRUE_PARAMETERS[0],
        ]);
        found.for_each(|(found, drawn)| assert!((found - drawn).abs() < 0.1, "{found}, and {drawn} drew the data"));
    }

    // Predict the mean count of a row of bytes.
    let features = Preprocessing::Raw;
    let Parameters { weight, bias, n_features, columns } = minimum(true)?.parameters;
    let weight = weight.iter().map(|w| w / 255.0).collect(); // for bytes instead of scaled features
    let predictor = Predictor::with_link(link, Parameters { n_features, columns, weight, bias }, features)?;
    for row in bytes.chunks_exact(D).take(3) {
        println!("{row:?}: {:.2}, drawn by {:.2}", predictor.mean(row)?[0], mean_of(row));
    }
    Ok(())
}

/// Returns the mean from which a row's count is drawn.
fn mean_of(row: &[u8]) -> f64 {
    let [bias, slopes @ ..] = TRUE_PARAMETERS;
    (bias + row.iter().zip(slopes).map(|(&x, w)| f64::from(x) / 255.0 * w).sum::<f64>()).exp()
}

/// A linear congruential generator, good enough for an example.
struct Lcg(u64);

impl Lcg {
    /// Returns a number from 0 to 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Draws a count by Knuth's method: multiplies uniform numbers until the product is at most
    /// `e^-mean`. The count is one less than the number of factors.
    fn poisson(&mut self, mean: f64) -> f64 {
        let (mut product, mut count) = (self.uniform(), 0.0);
        while product > (-mean).exp() {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }
}
