//! The fused kernels alone: sums, steps, threads, and values that are not finite.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod problem;

use chainrule_core::{LinkKind, Step};
use chainrule_kernels::{Float, Fused, Isa, PackedRows, with_threads};
use problem::{OFFSET, Problem, SCALE, apart, noise};

const STEP: Step = Step { learning_rate: 0.1, l2: 0.01, penalize_bias: true };

fn rows(problem: &Problem) -> PackedRows {
    problem.images([1, problem.shape[1]])
}

/// With rows sorted by class, a running sum becomes much larger than its final value.
#[test]
fn sums_over_all_rows_do_not_lose_digits_with_their_number() {
    let (n, d) = (200_000, 20);
    let bytes: Vec<u8> = noise(2, n * d).iter().map(|x| (200.0 + 50.0 * x) as u8).collect();
    let rows = PackedRows::new(&bytes, [1, d], (0..n).map(|row| u32::from(row >= n / 2)).collect(), SCALE, OFFSET);
    let all: Vec<usize> = (0..n).collect();
    for model in [LinkKind::Logistic, LinkKind::Softmax] {
        let columns = model.columns(2);
        // Residuals with many digits.
        let weight: Vec<f64> = noise(3, d * columns).iter().map(|x| 0.1 * x).collect();
        let [mut exact, mut fused] =
            [Float::F64, Float::F32].map(|float| Fused::new(model.link(2), d, float, 1, Isa::best()));
        exact.set(&weight, &vec![0.01; columns]);
        fused.set(&weight, &vec![0.01; columns]);
        let exact = exact.gradient(&rows, &all);
        let at_once = apart(&fused.gradient(&rows, &all).weight, &exact.weight);
        let in_parts = fused.full_gradient(&rows);
        let distance = apart(&in_parts.weight, &exact.weight);
        assert!(distance < at_once / 5.0, "{model:?}: {distance:e}, and {at_once:e} in one sum");
        let of_bias = [&fused.gradient(&rows, &all).bias, &in_parts.bias].map(|bias| apart(bias, &exact.bias));
        assert!(of_bias[1] < of_bias[0] / 5.0, "{model:?}: bias {of_bias:?}");
        assert!(apart(&[in_parts.loss], &[exact.loss]) < 1e-7, "{model:?}: {} {}", in_parts.loss, exact.loss);
    }
}

#[test]
fn a_step_is_the_gradients_step_for_any_rows_in_any_order() {
    let problem = Problem::new([130, 65, 10]);
    let step = Step { learning_rate: 0.3, l2: 0.07, penalize_bias: true };
    // 37 and 130 are coprime, so no row repeats.
    let batch: Vec<usize> = (0..37).map(|i| (5 + 37 * i) % 130).collect();
    let batch = &batch[..];
    for penalize_bias in [true, false] {
        let step = Step { penalize_bias, ..step };
        for size in [[1, 65], [5, 13], [13, 5]] {
            let rows = problem.images(size);
            let mut fused = problem.fused(Float::F64, 1, Isa::best());
            let gradient = fused.gradient(&rows, batch);
            assert_eq!(fused.step(&rows, batch, step), gradient.loss);
            let moved = |old: &[f64], gradient: &[f64], l2: f64| -> Vec<f64> {
                old.iter().zip(gradient).map(|(w, g)| w - 0.3 * (g + l2 * w)).collect()
            };
            let (weight, bias) = fused.parameters();
            assert!(apart(&weight, &moved(&problem.weight, &gradient.weight, 0.07)) < 1e-14);
            let of_bias = if penalize_bias { 0.07 } else { 0.0 };
            assert!(apart(&bias, &moved(&problem.bias, &gradient.bias, of_bias)) < 1e-14);
            // The next step must start from the state that this step left.
            let mut fresh = Fused::new(problem.model(), 65, Float::F64, 1, Isa::best());
            fresh.set(&weight, &bias);
            let [found, expected] = [&mut fused, &mut fresh].map(|fused| fused.gradient(&rows, batch));
            assert!(apart(&found.weight, &expected.weight) < 1e-13);
        }
    }
}

#[test]
fn as_many_threads_give_the_same_bits_and_others_nearly_so() {
    let problem = Problem::new([1100, 100, 10]);
    let rows = rows(&problem);
    let order: Vec<usize> = (0..1100).collect();
    let walk = |threads: usize| {
        let mut fused = problem.fused(Float::F32, threads, Isa::best());
        with_threads(threads, || {
            order.chunks(500).cycle().take(30).for_each(|batch| {
                fused.step(&rows, batch, STEP);
            });
        })
        .unwrap();
        fused.parameters().0
    };
    for threads in 1..=4 {
        assert_eq!(walk(threads), walk(threads), "{threads} threads");
        assert!(apart(&walk(threads), &walk(1)) < 1e-5, "{threads} threads");
    }
    assert_ne!(walk(3), walk(1), "the rows were not shared");
}

#[test]
fn threads_without_rows_do_nothing() {
    let problem = Problem::new([700, 30, 10]);
    let rows = rows(&problem);
    let all: Vec<usize> = (0..700).collect();
    let walk = |threads| {
        let mut fused = problem.fused(Float::F64, threads, Isa::best());
        // First many parts, then few: only their sums may be added up.
        let steps = || [&all[..], &all[..5], &all[3..300]].map(|batch| fused.step(&rows, batch, STEP));
        (with_threads(threads, steps).unwrap(), fused.parameters().0)
    };
    let (losses, weight) = walk(1);
    let (losses_of_many, weight_of_many) = walk(40);
    assert!(apart(&losses_of_many, &losses) < 1e-13 && apart(&weight_of_many, &weight) < 1e-13);
}

#[test]
#[should_panic(expected = "label 10 of 10 classes")]
fn a_label_that_is_no_class_is_refused() {
    let mut problem = Problem::new([7, 3, 10]);
    problem.labels[2] = 10;
    problem.fused(Float::F32, 1, Isa::best()).evaluate(&rows(&problem));
}

#[test]
#[should_panic(expected = "label 2 of 2 classes")]
fn the_logistic_model_has_two_labels() {
    let mut problem = Problem::new([7, 3, 1]);
    problem.labels[2] = 2;
    problem.fused(Float::F32, 1, Isa::best()).step(&rows(&problem), &[0], STEP);
}

#[test]
#[should_panic(expected = "a row at least")]
fn a_batch_without_rows_is_refused() {
    let problem = Problem::new([7, 3, 10]);
    problem.fused(Float::F32, 1, Isa::best()).step(&rows(&problem), &[], STEP);
}

#[test]
fn logits_that_are_no_numbers_are_never_right_and_show_in_the_loss() {
    for class in [0, 3, 9] {
        let mut problem = Problem::new([7, 3, 10]);
        problem.labels.fill(class);
        let rows = rows(&problem);
        let mut fused = problem.fused(Float::F32, 1, Isa::best());
        problem.bias[class as usize] = f64::NAN;
        fused.set(&problem.weight, &problem.bias);
        let found = fused.evaluate(&rows);
        assert!(found.loss.is_nan() && found.right == 0, "class {class}: {found:?}");
    }
    for class in [0, 1] {
        let mut problem = Problem::new([7, 3, 1]);
        problem.labels.fill(class);
        problem.bias[0] = f64::NAN;
        let found = problem.fused(Float::F32, 1, Isa::best()).evaluate(&rows(&problem));
        assert!(found.loss.is_nan() && found.right == 0, "logistic, class {class}: {found:?}");
    }
    // However far below zero all logits are.
    let mut problem = Problem::new([7, 3, 10]);
    problem.bias.fill(-1e31);
    let found = problem.fused(Float::F32, 1, Isa::best()).evaluate(&rows(&problem));
    assert!(found.loss < 10.0, "{found:?}");
}

#[test]
fn blocks_that_are_all_zero_are_left_out() {
    let kept = |size: [usize; 2], ink: &[usize]| {
        let mut bytes = vec![0; size[0] * size[1]];
        ink.iter().for_each(|&pixel| bytes[pixel] = 1);
        PackedRows::new(&bytes, size, vec![0], SCALE, OFFSET).kept()
    };
    assert_eq!(kept([28, 28], &[]), 0.0);
    // Four pixels in a square are one of 49 blocks of an image. In a row of pixels they lie in two
    // blocks.
    assert_eq!(kept([28, 28], &[0, 3, 84, 87]), 1.0 / 49.0);
    assert_eq!(kept([1, 784], &[0, 3, 84, 87]), 2.0 / 49.0);
    // Blocks at the edges are padded: five by five pixels have four blocks.
    assert_eq!(kept([5, 5], &[24]), 1.0 / 4.0);
    assert_eq!(kept([5, 5], &[0, 4, 20, 24]), 1.0);
    assert_eq!(kept([3, 7], &[20]), 1.0 / 2.0);
}

/// Evaluates with all weights equal, on two rows of each class.
fn losses_with(weight: f64, (kind, k): (LinkKind, usize), float: Float) -> (f64, usize) {
    let rows = PackedRows::new(&[0, 255, 255, 0, 9, 200, 200, 9], [1, 2], vec![0, 1, 0, 1], 1.0 / 127.5, -1.0);
    let mut fused = Fused::new(kind.link(k), 2, float, 1, Isa::best());
    let columns = kind.columns(k);
    fused.set(&vec![weight; 2 * columns], &vec![0.0; columns]);
    let found = fused.evaluate(&rows);
    (found.loss, found.right)
}

#[test]
fn weights_that_are_no_numbers_have_no_finite_loss_and_no_row_right() {
    for float in [Float::F32, Float::F64] {
        for model in [(LinkKind::Logistic, 2), (LinkKind::Softmax, 2), (LinkKind::Softmax, 10)] {
            for weight in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                // Infinite products of opposite signs sum to NaN.
                let (loss, right) = losses_with(weight, model, float);
                assert!(!loss.is_finite() && right == 0, "{model:?} {float:?} {weight}: {loss}, {right} right");
            }
        }
    }
}
