//! Tests of the checker on functions of slices.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chainrule_gradcheck::{Coverage, Finding, Gradient, Options, Parameter, Report, check_slices, slope};

/// Checks one gradient of a function of one parameter with the given coordinates.
fn check(f: impl Fn(&[f64]) -> f64, point: &[f64], gradient: &[f64]) -> Report {
    let parameters = [Parameter { name: "x".into(), shape: vec![point.len()] }];
    let gradient = Gradient::new("by hand", vec![Some(gradient.to_vec())], f64::EPSILON);
    check_slices(&parameters, point, &mut |x| f(x), f64::EPSILON, &[gradient], &Options::default())
}

fn has(report: &Report, condition: impl Fn(&Finding) -> bool) -> bool {
    report.findings.iter().any(condition)
}

#[test]
fn a_gradient_of_zeros_does_not_pass_where_the_loss_is_fast_or_rounded() {
    let wave = |x: &[f64]| (128.0 * std::f64::consts::PI * x[0]).sin();
    assert!(check(wave, &[0.3], &[0.0]).failed() == 1);
    let narrow = |x: &[f64]| x[0] + 5.0 * x[0] * (-(100.0 * x[0]).powi(2)).exp();
    assert!(check(narrow, &[0.0], &[1.0]).failed() == 1);
    check(narrow, &[0.0], &[6.0]).assert_pass();
    for a in [1e8, 1e12] {
        let report = check(|x| (a + x[0].sin()) - a, &[0.5], &[0.0]);
        assert!(!report.passed(), "{report}");
    }
    let quantised = |x: &[f64]| (x[0].sin() * 1e4).round() / 1e4;
    assert!(!check(quantised, &[0.5], &[0.0]).passed());
}

/// In f32, 32 roundings of the largest coordinate are more than the second coordinate.
#[test]
fn a_small_coordinate_is_not_hidden_by_the_rounding_of_a_large_one() {
    let parameters = [Parameter { name: "x".into(), shape: vec![2] }];
    let check = |second: f64| {
        let gradient = Gradient::new("by hand", vec![Some(vec![1e6, second])], f64::from(f32::EPSILON));
        let loss = &mut |x: &[f64]| 1e6 * x[0] + 0.5 * x[1];
        check_slices(&parameters, &[0.3, 0.7], loss, f64::EPSILON, &[gradient], &Options::default())
    };
    check(0.5).assert_pass();
    for wrong in [0.0, -0.5, 1.0] {
        let report = check(wrong);
        assert!(report.unresolved() == 1 && report.failed() == 0 && !report.passed(), "{report}");
    }
}

#[test]
fn functions_at_the_edge_of_their_domain_pass() {
    check(|x| x[0].sqrt(), &[1e-9], &[0.5 / 1e-9f64.sqrt()]).assert_pass();
    check(|x| x[0].ln(), &[1e-7], &[1e7]).assert_pass();
    check(|x| x[0].recip(), &[1e-5], &[-1e10]).assert_pass();
}

#[test]
fn stationary_points_are_not_constants() {
    let stationary = |report: &Report| has(report, |f| *f == Finding::Stationary);
    let product = check(|x| x[0] * x[1], &[0.0, 0.0], &[0.0, 0.0]);
    let variance = check(|x| (x[0] - x[1]).powi(2), &[0.7, 0.7], &[0.0, 0.0]);
    let squares = check(|x| x.iter().map(|x| x * x).sum::<f64>() / 3.0, &[0.0; 3], &[0.0; 3]);
    for report in [product, variance, squares] {
        assert!(report.passed() && stationary(&report), "{report}");
    }
    let constant = check(|_| 3.0, &[0.5, 0.5], &[0.0, 0.0]);
    assert!(!constant.passed() && has(&constant, |f| *f == Finding::Constant), "{constant}");
    // The sum of a softmax is 1, but for rounding.
    let softmax = |x: &[f64]| {
        let sum: f64 = x.iter().map(|x| x.exp()).sum();
        x.iter().map(|x| x.exp() / sum).sum()
    };
    let constant = check(softmax, &[0.3, -0.4, 1.0], &[0.0; 3]);
    assert!(has(&constant, |f| *f == Finding::Constant), "{constant}");
    // The noise of this loss would hide its slopes.
    let noisy = check(|x| f64::from((2e9f32 + x[0] as f32) - 2e9f32), &[0.5], &[1.0]);
    assert!(!has(&noisy, |f| *f == Finding::Constant), "{noisy}");
}

#[test]
fn points_of_second_order_pass() {
    check(|x| x[0].max(0.0).powi(2) + 0.3 * x[1], &[0.0, 1.0], &[0.0, 0.3]).assert_pass();
    check(|x| x[0] * x[0].abs() + 0.3 * x[1], &[0.0, 1.0], &[0.0, 0.3]).assert_pass();
}

#[test]
fn values_between_the_one_sided_slopes_pass_at_a_kink() {
    for gradient in [0.0, 0.5, 1.0] {
        let report = check(|x| x[0].max(0.0) + 0.1 * x[0].sin(), &[0.0], &[gradient + 0.1]);
        report.assert_pass();
        assert_eq!(report.kinks(), 1);
    }
    for gradient in [-0.01, 1.01] {
        assert_eq!(check(|x| x[0].max(0.0), &[0.0], &[gradient]).failed(), 1);
    }
}

#[test]
fn ties_that_are_counted_twice_or_dropped_are_told() {
    let max = |x: &[f64]| x[0].max(x[1]) + 0.1 * x[2];
    for (gradient, is_right) in [([1.0, 0.0], true), ([0.5, 0.5], true), ([1.0, 1.0], false), ([0.0, 0.0], false)] {
        let report = check(max, &[0.7, 0.7, 0.2], &[gradient[0], gradient[1], 0.1]);
        let is_told = has(&report, |f| matches!(f, Finding::WrongAtTie { coordinates: 2, .. }));
        assert_eq!((report.passed(), is_told), (is_right, !is_right), "{gradient:?}: {report}");
    }
}

/// Of a hundred checks with other randomness, 99 find what happens in a tenth of the evaluations,
/// and most find what happens in a hundredth.
#[test]
fn rare_randomness_is_found() {
    let found = |probability: f64| {
        let is_found = |seed: u64| {
            let mut state = seed;
            let mut loss = |x: &[f64]| {
                // A linear congruential generator of Knuth's.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let is_changed = ((state >> 11) as f64 / (1u64 << 53) as f64) < probability;
                x[0].sin() + if is_changed { 1e-3 } else { 0.0 }
            };
            let parameters = [Parameter { name: "x".into(), shape: vec![1] }];
            let gradient = Gradient::new("by hand", vec![Some(vec![0.5f64.cos()])], f64::EPSILON);
            let options = Options::default();
            let report = check_slices(&parameters, &[0.5], &mut loss, f64::EPSILON, &[gradient], &options);
            has(&report, |f| matches!(f, Finding::NotDeterministic { .. }))
        };
        (0..100).filter(|&seed| is_found(seed)).count()
    };
    assert!(found(0.1) >= 99);
    assert!(found(0.01) > 50);
    assert_eq!(found(0.0), 0);
}

#[test]
fn gradients_of_other_lengths_are_findings() {
    let parameters = [Parameter { name: "x".into(), shape: vec![3] }];
    let check = |values: Vec<Option<Vec<f64>>>| {
        let gradient = Gradient::new("by hand", values, f64::EPSILON);
        let mut loss = |x: &[f64]| x.iter().sum::<f64>();
        check_slices(&parameters, &[1.0; 3], &mut loss, f64::EPSILON, &[gradient], &Options::default())
    };
    let report = check(vec![Some(vec![1.0; 2])]);
    assert!(!report.passed() && has(&report, |f| matches!(f, Finding::WrongShape { .. })), "{report}");
    let report = check(vec![Some(vec![1.0; 3]), None]);
    assert!(!report.passed() && has(&report, |f| matches!(f, Finding::WrongParameters { .. })), "{report}");
    check(vec![Some(vec![1.0; 3])]).assert_pass();
}

#[test]
fn a_report_with_numbers_that_are_not_finite_reads_back() {
    let report = check(|x| x[0].ln(), &[-1.0], &[1.0]);
    assert!(report.loss.is_nan());
    let json = serde_json::to_string(&report).unwrap();
    let again: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
    let report = check(|x| if x[0] == 0.0 { 0.0 } else { f64::NAN }, &[0.0], &[1.0]);
    let json = serde_json::to_string(&report).unwrap();
    let again: Report = serde_json::from_str(&json).unwrap();
    assert!(again.parameters[0].gradients[0].worst.as_ref().unwrap().bound.is_infinite(), "{json}");
    let report = check(|x| x[0].max(x[1]), &[0.7, 0.7], &[f64::INFINITY, 0.5]);
    assert!(has(&report, |f| matches!(f, Finding::WrongAtTie { .. })), "{report}");
    let json = serde_json::to_string(&report).unwrap();
    let again: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
}

#[test]
fn the_scale_can_be_given() {
    // Every step of the default scale is a multiple of the period.
    let comb = |x: f64| (std::f64::consts::TAU * 2f64.powi(60) * x).sin();
    let result = slope(&mut |t| comb(t), 2f64.powi(-60), 0.0, f64::EPSILON);
    let truth = std::f64::consts::TAU * 2f64.powi(60);
    assert!((result.value - truth).abs() <= result.bound && result.bound < 1e-6 * truth, "{result:?}");
}

/// Checks one gradient of a function of several parameters.
fn check_parameters(
    f: impl Fn(&[f64]) -> f64,
    point: &[&[f64]],
    gradient: &[Option<&[f64]>],
    options: &Options,
) -> Report {
    let parameter = |(i, values): (usize, &&[f64])| Parameter { name: format!("p{i}"), shape: vec![values.len()] };
    let parameters: Vec<Parameter> = point.iter().enumerate().map(parameter).collect();
    let values = gradient.iter().map(|values| values.map(<[f64]>::to_vec)).collect();
    let gradient = Gradient::new("by hand", values, f64::EPSILON);
    check_slices(&parameters, &point.concat(), &mut |x| f(x), f64::EPSILON, &[gradient], options)
}

#[test]
fn ties_of_several_parameters_and_ties_that_cancel_are_checked() {
    let halves = [([1.0, 0.0], true), ([0.5, 0.5], true), ([1.0, 1.0], false), ([0.0, 0.0], false)];
    for ([a, b], is_right) in halves {
        let report =
            check_parameters(|x| x[0].max(x[1]), &[&[0.7], &[0.7]], &[Some(&[a]), Some(&[b])], &Options::default());
        assert_eq!(report.passed(), is_right, "{a}, {b}: {report}");
        // The penalty's kinks are no tie, and must not hide the one there is.
        let with_penalty = |x: &[f64]| x[0].max(x[1]) - x[2].max(x[3]) + 0.1 * (x[4].abs() + x[5].abs());
        let report = check(with_penalty, &[0.7, 0.7, 0.2, 0.2, 0.0, 0.0], &[a, b, -a, -b, 0.0, 0.0]);
        assert_eq!(report.passed(), is_right, "{a}, {b}, twice: {report}");
    }
}

/// Each has its own subgradient at 0, and their jumps cancel.
#[test]
fn kinks_that_cancel_are_no_tie() {
    let two = |x: &[f64]| x[0].max(0.0) - x[1].max(0.0);
    let values: [&[f64]; 2] = [&[0.0], &[0.0]];
    check_parameters(two, &values, &[Some(&[0.0]), Some(&[-1.0])], &Options::default()).assert_pass();
    check(two, &[0.0, 0.0], &[0.0, -1.0]).assert_pass();
    // Two ties of the same value.
    let ties = |x: &[f64]| x[0].max(x[1]) - x[2].max(x[3]);
    check(ties, &[0.7; 4], &[1.0, 0.0, 0.0, -1.0]).assert_pass();
    for wrong in [[1.0, 1.0, -1.0, -1.0], [0.0; 4], [1.0, 0.0, 0.0, 0.0]] {
        assert!(!check(ties, &[0.7; 4], &wrong).passed(), "{wrong:?}");
    }
}

/// Half of the weights are 0, where their penalty has a kink.
#[test]
fn kinks_along_a_direction_hide_no_wrong_slope() {
    let n = 200;
    let loss = |x: &[f64]| x.iter().map(|x| x.abs() + 0.1 * x).sum::<f64>();
    let is_nonzero = |i: usize| i % 2 == 1;
    let options = Options { coverage: Coverage::Directions { count: 4 }, ..Options::default() };
    let check_with = |point: &[f64], factor: f64, shift: f64| {
        let of = |&x: &f64| if x == 0.0 { 0.1 + shift } else { factor * 1.1 };
        let gradient: Vec<f64> = point.iter().map(of).collect();
        check_parameters(loss, &[point], &[Some(&gradient)], &options)
    };
    let point: Vec<f64> = (0..n).map(|i| if is_nonzero(i) { 0.5 } else { 0.0 }).collect();
    check_with(&point, 1.0, 0.0).assert_pass();
    check_with(&point, 1.0, 0.5).assert_pass();
    for factor in [0.0, -1.0, 2.0] {
        assert!(check_with(&point, factor, 0.0).failed() > 0, "{factor}");
    }
    assert!(check_with(&point, 1.0, 1.5).failed() > 0, "beyond the one-sided slopes");
    // Where no direction avoids the kinks, nothing is decided.
    let report = check_with(&vec![0.0; n], 1.0, 0.0);
    assert!(report.is_unresolved(), "{report}");
}

#[test]
fn a_check_of_nothing_does_not_pass() {
    let options = Options { coverage: Coverage::Directions { count: 0 }, ..Options::default() };
    let report = check_parameters(|x| x[0].sin(), &[&[0.3]], &[Some(&[7.0])], &options);
    assert!(!report.passed() && has(&report, |f| *f == Finding::NothingCompared), "{report}");
}

#[test]
fn lengths_that_are_none_are_told() {
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let options = Options { scale: Some(scale), ..Options::default() };
        let report = check_parameters(|x| x[0].sin(), &[&[0.3]], &[Some(&[0.3f64.cos()])], &options);
        assert!(!report.passed() && has(&report, |f| matches!(f, Finding::InvalidScale { .. })), "{report}");
        assert!(slope(&mut |t| t.sin(), scale, 0.3, f64::EPSILON).bound.is_infinite(), "{scale}");
    }
    // A mask of an attention has such coordinates, and a finite loss.
    let masked = |x: &[f64]| x.iter().map(|x| x.exp()).sum::<f64>();
    let report = check(masked, &[0.5, f64::NEG_INFINITY], &[0.5f64.exp(), 0.0]);
    assert!(report.unresolved() == 1 && report.failed() == 0, "{report}");
    assert!(has(&report, |f| matches!(f, Finding::InfiniteCoordinate { index, .. } if *index == [1])), "{report}");
    let report = check(masked, &[f64::NEG_INFINITY], &[0.0]);
    assert!(!has(&report, |f| *f == Finding::Constant), "{report}");
}

#[test]
fn only_a_parameter_without_influence_is_called_so() {
    let of = |f: fn(&[f64]) -> f64| check_parameters(f, &[&[0.0], &[1.0]], &[None, Some(&[1.0])], &Options::default());
    let report = of(|x| x[1]);
    assert!(has(&report, |f| matches!(f, Finding::Unreached { matters: false, .. })), "{report}");
    for f in [|x: &[f64]| x[0] * x[0] + x[1], |x: &[f64]| (x[0] + 0.75).floor() + x[1]] {
        let report = of(f);
        assert!(has(&report, |f| matches!(f, Finding::UnreachedHere { .. })), "{report}");
        assert!(!has(&report, |f| matches!(f, Finding::Unreached { .. })), "{report}");
    }
}

/// The coordinate is large, so its slope is small.
#[test]
fn a_small_slope_over_a_long_scale_is_not_zero() {
    let report = check(|x| (1e-30 * x[0]).tanh(), &[1e30], &[1e-30 / 1f64.cosh().powi(2)]);
    assert!(report.passed() && report.findings.is_empty(), "{report}");
}

#[test]
fn a_report_lists_each_place_once() {
    let report = check(|x| x[0].sin() + x[1], &[0.3, 0.7], &[f64::NAN, 2.0]);
    let text = report.to_string();
    assert!(text.contains("worst at [0]") && text.contains("failed at [1], too"), "{text}");
    let mut both = report.clone();
    both.merge(report);
    assert!(both.to_string().contains("failed at [1], too"), "{both}");
}
