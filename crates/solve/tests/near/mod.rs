//! Compares numbers up to a tolerance.

/// Returns the largest distance of two coordinates, relative to the largest coordinate, and its
/// index.
///
/// The scale is the largest coordinate, at least a thousandth. `tests/support.rs` explains why.
fn distance(found: &[f64], expected: &[f64]) -> (f64, usize) {
    assert_eq!(found.len(), expected.len(), "coordinates");
    assert!(found.iter().chain(expected).all(|value| value.is_finite()), "not finite: {found:?} {expected:?}");
    let scale = found.iter().chain(expected).fold(1e-3f64, |scale, value| scale.max(value.abs()));
    let apart = |i: usize| (found[i] - expected[i]).abs() / scale;
    (0..found.len()).map(|i| (apart(i), i)).fold((0.0, 0), |worst, next| if next.0 > worst.0 { next } else { worst })
}

pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    let (apart, worst) = distance(found, expected);
    assert!(
        apart <= tolerance,
        "{what}: at {worst} {:e} and {:e} are {apart:e} apart, more than {tolerance:e}",
        found[worst],
        expected[worst]
    );
}
