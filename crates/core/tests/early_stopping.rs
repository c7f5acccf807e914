//! Early stopping: the end of the patience.

use chainrule_core::{EarlyStopping, StoppingDecision};

#[test]
fn early_stopping_counts_misses_since_the_last_strictly_lower_loss() {
    let verdicts = |patience, losses: &[f64]| {
        let mut stopping = EarlyStopping::new(patience);
        let verdicts: Vec<_> = losses.iter().enumerate().map(|(step, &loss)| stopping.record(step, loss)).collect();
        (verdicts, stopping.best())
    };
    use StoppingDecision::{Improved, NotImproved, Stop};
    let falling_then_flat = [3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.5, 1.0];
    let expected = vec![Improved, Improved, NotImproved, NotImproved, Improved, NotImproved, NotImproved, Stop];
    assert_eq!(verdicts(Some(3), &falling_then_flat), (expected, Some((4, 1.0))));
    let (never, _) = verdicts(None, &[1.0; 50]);
    assert!(!never.contains(&Stop));
    assert_eq!(verdicts(Some(1), &[1.0, 1.0]).0, [Improved, Stop]);
}
