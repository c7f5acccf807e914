//! Tests of the fused kernels: sums, steps, threads, invalid labels, and values that are not
//! finite.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod problem;

use chainrule_core::{LinkKind, Step};
use chainrule_kernels::{Float, FusedModel, Isa, PackedRows, with_threads};
use problem::{OFFSET, Problem, SCALE, random_numbers, relative_error};

const STEP: Step = Step { learning_rate: 0.1, l2: 0.01, penalize_bias: true };

fn rows(problem: &Problem) -> PackedRows {
    problem.images([1, problem.shape[1]])
}

/// Rows are sorted by class, so a running sum becomes much larger than its final value.
#[test]
fn full_gradient_is_more_accurate_than_one_sum_in_f32() {
    let (n, d) = (200_000, 20);
    let bytes: Vec<u8> = random_numbers(2, n * d).iter().map(|x| (200.0 + 50.0 * x) as u8).collect();
    let rows = PackedRows::new(&bytes, [1, d], (0..n).map(|row| u32::from(row >= n / 2)).collect(), SCALE, OFFSET);
    let all: Vec<usize> = (0..n).collect();
    for model in [LinkKind::Logistic, LinkKind::Softmax] {
        let columns = model.columns(2);
        // With these weights, the residuals have many digits.
        let weight: Vec<f64> = random_numbers(3, d * columns).iter().map(|x| 0.1 * x).collect();
        let [mut exact, mut fused] =
            [Float::F64, Float::F32].map(|float| FusedModel::new(model.link(2), d, float, 1, Isa::best()));
        exact.set(&weight, &vec![0.01; columns]);
        fused.set(&weight, &vec![0.01; columns]);
        let exact = exact.gradient(&rows, &all);
        let error_of_one_sum = relative_error(&fused.gradient(&rows, &all).weight, &exact.weight);
        let full = fused.full_gradient(&rows);
        let error = relative_error(&full.weight, &exact.weight);
        assert!(error < error_of_one_sum / 5.0, "{model:?}: {error:e}, and {error_of_one_sum:e} in one sum");
        let bias_errors = [&fused.gradient(&rows, &all).bias, &full.bias].map(|bias| relative_error(bias, &exact.bias));
        assert!(bias_errors[1] < bias_errors[0] / 5.0, "{model:?}: bias {bias_errors:?}");
        assert!(relative_error(&[full.loss], &[exact.loss]) < 1e-7, "{model:?}: {} {}", full.loss, exact.loss);
    }
}

#[test]
fn a_step_subtracts_the_gradient_of_the_batch_in_any_order() {
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
            let updated = |old: &[f64], gradient: &[f64], l2: f64| -> Vec<f64> {
                old.iter().zip(gradient).map(|(w, g)| w - 0.3 * (g + l2 * w)).collect()
            };
            let (weight, bias) = fused.parameters();
            assert!(relative_error(&weight, &updated(&problem.weight, &gradient.weight, 0.07)) < 1e-14);
            let bias_l2 = if penalize_bias { 0.07 } else { 0.0 };
            assert!(relative_error(&bias, &updated(&problem.bias, &gradient.bias, bias_l2)) < 1e-14);
            // The state after a step must be that of a new model with the same parameters.
            let mut new = FusedModel::new(problem.link(), 65, Float::F64, 1, Isa::best());
            new.set(&weight, &bias);
            let [computed, expected] = [&mut fused, &mut new].map(|fused| fused.gradient(&rows, batch));
            assert!(relative_error(&computed.weight, &expected.weight) < 1e-13);
        }
    }
}

#[test]
fn the_same_number_of_threads_gives_the_same_bits() {
    let problem = Problem::new([1100, 100, 10]);
    let rows = rows(&problem);
    let order: Vec<usize> = (0..1100).collect();
    let train = |threads: usize| {
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
        assert_eq!(train(threads), train(threads), "{threads} threads");
        assert!(relative_error(&train(threads), &train(1)) < 1e-5, "{threads} threads");
    }
    assert_ne!(train(3), train(1), "the rows were not split among threads");
}

#[test]
fn threads_without_rows_add_nothing() {
    let problem = Problem::new([700, 30, 10]);
    let rows = rows(&problem);
    let all: Vec<usize> = (0..700).collect();
    let train = |threads| {
        let mut fused = problem.fused(Float::F64, threads, Isa::best());
        // The second batch has fewer parts than the first. The sums of the other parts must not be
        // added.
        let steps = || [&all[..], &all[..5], &all[3..300]].map(|batch| fused.step(&rows, batch, STEP));
        (with_threads(threads, steps).unwrap(), fused.parameters().0)
    };
    let (losses, weight) = train(1);
    let (losses_of_40, weight_of_40) = train(40);
    assert!(relative_error(&losses_of_40, &losses) < 1e-13 && relative_error(&weight_of_40, &weight) < 1e-13);
}

#[test]
#[should_panic(expected = "labels: expected 0..10, found 10")]
fn an_invalid_label_is_refused() {
    let mut problem = Problem::new([7, 3, 10]);
    problem.labels[2] = 10;
    problem.fused(Float::F32, 1, Isa::best()).evaluate(&rows(&problem));
}

#[test]
#[should_panic(expected = "labels: expected 0..2, found 2")]
fn an_invalid_label_of_the_logistic_model_is_refused() {
    let mut problem = Problem::new([7, 3, 1]);
    problem.labels[2] = 2;
    problem.fused(Float::F32, 1, Isa::best()).step(&rows(&problem), &[0], STEP);
}

#[test]
#[should_panic(expected = "expected at least one row")]
fn an_empty_batch_is_refused() {
    let problem = Problem::new([7, 3, 10]);
    problem.fused(Float::F32, 1, Isa::best()).step(&rows(&problem), &[], STEP);
}

#[test]
fn a_nan_logit_is_never_correct_and_makes_the_loss_nan() {
    for class in [0, 3, 9] {
        let mut problem = Problem::new([7, 3, 10]);
        problem.labels.fill(class);
        let rows = rows(&problem);
        let mut fused = problem.fused(Float::F32, 1, Isa::best());
        problem.bias[class as usize] = f64::NAN;
        fused.set(&problem.weight, &problem.bias);
        let evaluation = fused.evaluate(&rows);
        assert!(evaluation.loss.is_nan() && evaluation.n_correct == 0, "class {class}: {evaluation:?}");
    }
    for class in [0, 1] {
        let mut problem = Problem::new([7, 3, 1]);
        problem.labels.fill(class);
        problem.bias[0] = f64::NAN;
        let evaluation = problem.fused(Float::F32, 1, Isa::best()).evaluate(&rows(&problem));
        assert!(evaluation.loss.is_nan() && evaluation.n_correct == 0, "logistic, class {class}: {evaluation:?}");
    }
    // Very negative logits have a finite loss.
    let mut problem = Problem::new([7, 3, 10]);
    problem.bias.fill(-1e31);
    let evaluation = problem.fused(Float::F32, 1, Isa::best()).evaluate(&rows(&problem));
    assert!(evaluation.loss < 10.0, "{evaluation:?}");
}

#[test]
fn blocks_of_zeros_are_not_stored() {
    let stored = |size: [usize; 2], ink: &[usize]| {
        let mut bytes = vec![0; size[0] * size[1]];
        ink.iter().for_each(|&pixel| bytes[pixel] = 1);
        PackedRows::new(&bytes, size, vec![0], SCALE, OFFSET).stored_fraction().expect("bytes")
    };
    assert_eq!(stored([28, 28], &[]), 0.0);
    // The four pixels are in one of the 49 blocks of an image, and in two of the 49 blocks of a
    // row.
    assert_eq!(stored([28, 28], &[0, 3, 84, 87]), 1.0 / 49.0);
    assert_eq!(stored([1, 784], &[0, 3, 84, 87]), 2.0 / 49.0);
    // Blocks at the edges are padded. So an image of 5 by 5 pixels has four blocks.
    assert_eq!(stored([5, 5], &[24]), 1.0 / 4.0);
    assert_eq!(stored([5, 5], &[0, 4, 20, 24]), 1.0);
    assert_eq!(stored([3, 7], &[20]), 1.0 / 2.0);
}

/// Evaluates a model with equal weights on two rows of each class. Returns the loss and the number
/// of correct rows.
fn evaluate_equal_weights(weight: f64, (kind, k): (LinkKind, usize), float: Float) -> (f64, usize) {
    let rows = PackedRows::new(&[0, 255, 255, 0, 9, 200, 200, 9], [1, 2], vec![0, 1, 0, 1], 1.0 / 127.5, -1.0);
    let mut fused = FusedModel::new(kind.link(k), 2, float, 1, Isa::best());
    let columns = kind.columns(k);
    fused.set(&vec![weight; 2 * columns], &vec![0.0; columns]);
    let evaluation = fused.evaluate(&rows);
    (evaluation.loss, evaluation.n_correct)
}

#[test]
fn weights_that_are_not_finite_have_no_finite_loss_and_no_correct_row() {
    for float in [Float::F32, Float::F64] {
        for model in [(LinkKind::Logistic, 2), (LinkKind::Softmax, 2), (LinkKind::Softmax, 10)] {
            for weight in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                // Infinite products of opposite signs sum to NaN.
                let (loss, n_correct) = evaluate_equal_weights(weight, model, float);
                assert!(
                    !loss.is_finite() && n_correct == 0,
                    "{model:?} {float:?} {weight}: {loss}, {n_correct} correct"
                );
            }
        }
    }
}
