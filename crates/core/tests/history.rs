//! The JSON form of a history.

use chainrule_core::History;

#[test]
fn a_history_round_trips_bit_for_bit() {
    let losses = (0..10_000).map(|i| 1.15 * (1.0 + f64::from(i).sin())).collect();
    let history = History { train_loss: losses, evaluations: Vec::new() };
    let json = serde_json::to_vec(&history).expect("JSON");
    assert_eq!(serde_json::from_slice::<History>(&json).expect("a history"), history);
}
