//! Early stopping: when the patience is exhausted.

use chainrule_core::{EarlyStopping, StoppingDecision};

#[test]
fn patience_counts_since_the_last_strictly_lower_loss() {
    let decisions = |patience, losses: &[f64]| {
        let mut stopping = EarlyStopping::new(patience);
        let decisions: Vec<_> = losses.iter().enumerate().map(|(step, &loss)| stopping.record(step, loss)).collect();
        (decisions, stopping.best())
    };
    use StoppingDecision::{Improved, NotImproved, Stop};
    let falling_then_flat = [3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.5, 1.0];
    let expected = vec![Improved, Improved, NotImproved, NotImproved, Improved, NotImproved, NotImproved, Stop];
    assert_eq!(decisions(Some(3), &falling_then_flat), (expected, Some((4, 1.0))));
    let (without_patience, _) = decisions(None, &[1.0; 50]);
    assert!(!without_patience.contains(&Stop));
    assert_eq!(decisions(Some(1), &[1.0, 1.0]).0, [Improved, Stop]);
}
