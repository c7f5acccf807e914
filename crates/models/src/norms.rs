use burn::linalg::svd;
use burn::nn::Linear;
use burn::tensor::{FloatDType, Tensor};

/// Norms of a model's parameters `[W; b]`: one matrix `[d + 1, k]` with the bias as its last row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightNorm {
    /// The root of the sum of squares.
    pub frobenius: f64,
    /// The sum of squares, `||w||^2`. If the bias is penalised, it is twice the penalty R.
    pub frobenius_squared: f64,
    /// The largest singular value, as `numpy.linalg.norm(w, ord=2)`.
    pub spectral: f64,
}

/// Returns the norms of `[W; b]`, or `None` if one of them overflows.
pub fn weight_norm(linear: &Linear) -> Option<WeightNorm> {
    /// The maximum number of sweeps for each singular value. Usually a few are enough.
    const SWEEPS: usize = 100;

    let mut rows = vec![linear.weight.val().inner()];
    if let Some(bias) = &linear.bias {
        rows.push(bias.val().inner().unsqueeze_dim(0));
    }
    let matrix: Tensor<2> = Tensor::cat(rows, 0); // [d + 1, k]
    let device = matrix.device();
    // The host computes the sum in f64, because squares of large f32 weights overflow.
    let values = matrix.clone().try_into_vec_as::<f64>().ok()?;
    let frobenius_squared = values.iter().map(|w| w * w).sum::<f64>();
    if !frobenius_squared.is_finite() {
        return None;
    }
    let matrix = if device.supports_dtype(FloatDType::F64) { matrix.cast(FloatDType::F64) } else { matrix };
    let (_, singular, _) = svd::<2, 1>(matrix, SWEEPS);
    let spectral = singular.max().into_scalar::<f64>();
    // On a device with f32 only, squares can overflow that do not overflow on the host.
    spectral.is_finite().then_some(WeightNorm { frobenius: frobenius_squared.sqrt(), frobenius_squared, spectral })
}
