//! Compares numbers up to a tolerance.

/// Returns the largest distance between two coordinates, relative to the scale, and its index.
///
/// The scale is the largest absolute coordinate, at least 0.001. `tests/support.rs` explains why.
fn max_distance(actual: &[f64], expected: &[f64]) -> (f64, usize) {
    assert_eq!(actual.len(), expected.len(), "coordinates");
    assert!(actual.iter().chain(expected).all(|value| value.is_finite()), "not finite: {actual:?} {expected:?}");
    let scale = actual.iter().chain(expected).fold(1e-3f64, |scale, value| scale.max(value.abs()));
    let distance = |i: usize| (actual[i] - expected[i]).abs() / scale;
    (0..actual.len())
        .map(|i| (distance(i), i))
        .fold((0.0, 0), |worst, next| if next.0 > worst.0 { next } else { worst })
}

pub(crate) fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    let (distance, worst) = max_distance(actual, expected);
    assert!(
        distance <= tolerance,
        "{what}: at {worst} the distance of {:e} and {:e} is {distance:e}, more than {tolerance:e}",
        actual[worst],
        expected[worst]
    );
}
