//! `DeLong`'s intervals and test against R's pROC, and Wilson's interval against R's `prop.test`.
//! `fixtures/proc.R` wrote the expected values.

use chainrule_evaluate::{Auc, wilson};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    labels: Vec<u8>,
    scores: [Vec<f64>; 2],
    areas: [Area; 2],
    /// z and the p value.
    paired: [f64; 2],
    /// The rows that are right, all rows, and the interval.
    wilson: Vec<[f64; 4]>,
}

#[derive(Deserialize)]
struct Area {
    area: f64,
    variance: f64,
    interval: [f64; 2],
    interval_80: [f64; 2],
}

fn assert_close(actual: f64, expected: f64, what: &str) {
    assert!((actual - expected).abs() < 1e-10, "{what}: {actual} and {expected}");
}

#[test]
fn areas_and_intervals_are_those_of_r() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/proc.json")).expect("a fixture");
    let positive: Vec<bool> = fixture.labels.iter().map(|&label| label == 1).collect();
    let [first, second] = fixture.scores.each_ref().map(|scores| Auc::new(scores, &positive, None).expect("an area"));
    for (auc, expected) in [&first, &second].into_iter().zip(&fixture.areas) {
        assert_close(auc.area(), expected.area, "area");
        assert_close(auc.standard_error().expect("an error").powi(2), expected.variance, "variance");
        for (level, expected) in [(0.95, expected.interval), (0.8, expected.interval_80)] {
            let actual = auc.interval(level).expect("an interval");
            actual.iter().zip(expected).for_each(|(actual, expected)| assert_close(*actual, expected, "interval"));
        }
    }
    let paired = first.compare(&second).expect("a test");
    assert_close(paired.z, fixture.paired[0], "z");
    assert_close(paired.p_value, fixture.paired[1], "p");
    for [right, rows, low, high] in fixture.wilson {
        let actual = wilson(right as u64, rows as u64);
        assert_close(actual[0], low, "low");
        assert_close(actual[1], high, "high");
    }
}
