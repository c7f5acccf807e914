//! The stored losses of a training.

use chainrule_core::History;

#[test]
fn a_history_is_the_same_bits_when_it_was_written_and_read_again() {
    let losses = (0..10_000).map(|i| 1.15 * (1.0 + f64::from(i).sin())).collect();
    let history = History { train_loss: losses, evaluations: Vec::new() };
    let written = serde_json::to_vec(&history).expect("JSON");
    assert_eq!(serde_json::from_slice::<History>(&written).expect("a history"), history);
}
