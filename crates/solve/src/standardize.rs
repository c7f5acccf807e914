use chainrule_core::{Preprocessing, Standardization};

use crate::Chosen;

/// Mean and standard deviation of each feature over these rows, in two passes and in f64, as scikit-learn's `StandardScaler` has them: the variance is
/// divided by n, and a feature that is the same in all rows, up to rounding, has the scale 1, so that it is only centred
/// (`_is_constant_feature` and `_handle_zeros_in_scale` in sklearn/preprocessing/_data.py).
///
/// # Panics
/// Where there is no row, or the rows stay in their file.
pub fn standardization(rows: &Chosen) -> Preprocessing {
    let by = match rows {
        Chosen::Resident(split) => of(split.n_features(), split.pixels.iter().copied().map(f64::from)),
        Chosen::Numbers(rows) => of(rows.n_features, rows.values.iter()),
        Chosen::InFile(_) => panic!("rows that are standardised are in memory"),
    };
    Preprocessing::Standardized(by)
}

/// Of values `[n, d]`, row by row.
fn of(d: usize, values: impl Iterator<Item = f64> + Clone) -> Standardization {
    let (mut mean, mut n) = (vec![0.0; d], 0.0);
    for (raw, j) in values.clone().zip((0..d).cycle()) {
        mean[j] += raw;
        n += f64::from(u8::from(j == 0));
    }
    assert!(n > 0.0, "statistics of no row");
    mean.iter_mut().for_each(|sum| *sum /= n);
    let (mut squares, mut rounding) = (vec![0.0; d], vec![0.0; d]);
    for (raw, j) in values.zip((0..d).cycle()) {
        let apart = raw - mean[j];
        squares[j] += apart * apart;
        rounding[j] += apart;
    }
    let scale = (0..d).map(|j| {
        // The second sum is 0 but for the rounding of the mean, which it corrects: T. Chan, G. Golub, R. LeVeque, Algorithms for computing the sample
        // variance, The American Statistician 37(3), 1983, Eq. (1.7).
        let variance = (squares[j] - rounding[j] * rounding[j] / n) / n;
        let noise = n * f64::EPSILON * mean[j];
        if variance <= n * f64::EPSILON * variance + noise * noise { 1.0 } else { variance.sqrt() }
    });
    Standardization { scale: scale.collect(), mean }
}
