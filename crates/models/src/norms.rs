use burn::linalg::svd;
use burn::nn::Linear;
use burn::tensor::{FloatDType, Tensor};

/// Norms of a model's parameters as one matrix `[d + 1, k]`. Its last row is the bias.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightNorm {
    /// The root of the sum of squares.
    pub frobenius: f64,
    /// The sum of squares, `||w||^2`. It is twice the penalty R if the bias is penalised.
    pub frobenius_squared: f64,
    /// The largest singular value. NumPy: `linalg.norm(w, ord=2)`.
    pub spectral: f64,
}

/// Returns the norms of `[W; b]`, or `None` if one of them overflows.
pub fn weight_norm(linear: &Linear) -> Option<WeightNorm> {
    /// The maximum number of sweeps for each singular value. A handful is usual.
    const SWEEPS: usize = 100;

    let mut rows = vec![linear.weight.val().inner()];
    if let Some(bias) = &linear.bias {
        rows.push(bias.val().inner().unsqueeze_dim(0));
    }
    let matrix: Tensor<2> = Tensor::cat(rows, 0); // [d + 1, k]
    let device = matrix.device();
    // Squares of f32 weights overflow long before the weights do. The sum is computed on the host
    // in f64.
    let values = matrix.clone().try_into_vec_as::<f64>().ok()?;
    let frobenius_squared = values.iter().map(|w| w * w).sum::<f64>();
    if !frobenius_squared.is_finite() {
        return None;
    }
    let matrix = if device.supports_dtype(FloatDType::F64) { matrix.cast(FloatDType::F64) } else { matrix };
    let (_, singular, _) = svd::<2, 1>(matrix, SWEEPS);
    let spectral = singular.max().into_scalar::<f64>();
    // On a device with f32 only, squares may overflow that did not on the host.
    spectral.is_finite().then_some(WeightNorm { frobenius: frobenius_squared.sqrt(), frobenius_squared, spectral })
}
