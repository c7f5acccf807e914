//! Compares the order of the rows with NumPy's. `fixtures/numpy_order.py` made the fixture.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chainrule_data::{BatchOrder, Shuffle, sha256};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
}

#[test]
fn the_legacy_shuffle_matches_numpy() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/numpy_order.json")).unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    assert!(cases.len() >= 9);
    for case in cases {
        let seed = u32::try_from(case["seed"].as_u64().unwrap()).unwrap();
        let n = case["n"].as_u64().unwrap() as usize;
        let mut order = BatchOrder::new(Shuffle::NumpyLegacy { seed });
        for (epoch, expected) in case["epochs"].as_array().unwrap().iter().enumerate() {
            let actual = order.next_epoch(n);
            let (first, last) = (numbers(&expected["first"]), numbers(&expected["last"]));
            assert_eq!(actual[..first.len()], first, "seed {seed}, n {n}, epoch {epoch}: the first");
            assert_eq!(actual[n - last.len()..], last, "seed {seed}, n {n}, epoch {epoch}: the last");
            let bytes: Vec<u8> = actual.iter().flat_map(|&row| (row as u32).to_le_bytes()).collect();
            assert_eq!(sha256([&bytes[..]]), expected["sha256"].as_str().unwrap(), "seed {seed}, n {n}, epoch {epoch}");
        }
    }
}

#[test]
fn every_order_is_a_permutation() {
    for shuffle in [Shuffle::None, Shuffle::NumpyLegacy { seed: 5 }, Shuffle::ChaCha { seed: 5 }] {
        let mut order = BatchOrder::new(shuffle);
        let epochs: Vec<Vec<usize>> = (0..3).map(|_| order.next_epoch(1000)).collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..1000));
        }
        assert_eq!(shuffle == Shuffle::None, epochs[0] == epochs[1], "{shuffle:?}");
    }
}

/// A fixed order, so that no new version of a dependency can change the meaning of a seed.
#[test]
fn a_chacha_seed_determines_the_order() {
    let order = BatchOrder::new(Shuffle::ChaCha { seed: 0 }).next_epoch(16);
    assert_eq!(order, [14, 8, 6, 1, 9, 5, 13, 12, 0, 15, 3, 4, 11, 7, 2, 10]);
}

#[test]
fn seeds_give_different_orders() {
    let order = |shuffle| BatchOrder::new(shuffle).next_epoch(100);
    let chacha = [0, 1, 1 << 40].map(|seed| order(Shuffle::ChaCha { seed }));
    let numpy = [0, 1, 1 << 31].map(|seed| order(Shuffle::NumpyLegacy { seed }));
    for [a, b, c] in [chacha, numpy] {
        assert!(a != b && b != c && a != c);
    }
}

#[test]
fn skipping_epochs_advances_the_stream() {
    for shuffle in [Shuffle::NumpyLegacy { seed: 7 }, Shuffle::ChaCha { seed: 7 }, Shuffle::None] {
        let mut drawn = BatchOrder::new(shuffle);
        let mut skipped = BatchOrder::new(shuffle);
        let epochs: Vec<Vec<usize>> = (0..4).map(|_| drawn.next_epoch(100)).collect();
        skipped.skip(3, 100);
        assert_eq!(skipped.next_epoch(100), epochs[3], "{shuffle:?}");
        assert!(matches!(shuffle, Shuffle::None) || epochs[3] != epochs[0]);
    }
}
