//! Compares every code path of the kernels with plain loops. The tests are small and need neither
//! Burn nor files, so they also run under an address sanitizer:
//! `cargo +nightly test --package chainrule-kernels --target x86_64-unknown-linux-gnu` with
//! `RUSTFLAGS=-Zsanitizer=address`.

use chainrule_core::{LinkKind, Softmax, Step};

use crate::{Float, FusedModel, Isa, PackedRows, with_threads};

/// Returns irregular numbers from -1 to 1.
fn random_numbers(seed: usize, n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) as f64 * 0.618_034).sin()).collect()
}

/// Computes the loss, the gradients of W and b, and the number of correct rows by plain loops.
///
/// # Shapes
/// - x `[n, d]`, labels `[n]`, w `[d, k]`, b `[k]`
fn plain_loops(x: &[f64], labels: &[u32], w: &[f64], b: &[f64]) -> (f64, Vec<f64>, Vec<f64>, usize) {
    let (n, k, d) = (labels.len(), b.len(), w.len() / b.len());
    let (mut loss, mut dw, mut db, mut n_correct) = (0.0, vec![0.0; d * k], vec![0.0; k], 0);
    for (x, &label) in x.chunks_exact(d).zip(labels) {
        let z: Vec<f64> = (0..k).map(|c| b[c] + (0..d).map(|j| x[j] * w[j * k + c]).sum::<f64>()).collect();
        let residual: Vec<f64> = if k == 1 {
            let y = f64::from(label);
            loss += z[0].max(0.0) - y * z[0] + (-z[0].abs()).exp().ln_1p();
            n_correct += usize::from((z[0] > 0.0) == (label == 1));
            vec![1.0 / (1.0 + (-z[0]).exp()) - y]
        } else {
            let sum: f64 = z.iter().map(|z| z.exp()).sum();
            loss += sum.ln() - z[label as usize];
            n_correct += usize::from(z.iter().all(|&other| other <= z[label as usize]));
            (0..k).map(|c| z[c].exp() / sum - f64::from(u8::from(c == label as usize))).collect()
        };
        for c in 0..k {
            db[c] += residual[c] / n as f64;
            (0..d).for_each(|j| dw[j * k + c] += x[j] * residual[c] / n as f64);
        }
    }
    (loss / n as f64, dw, db, n_correct)
}

/// Asserts that no difference exceeds `bound` times the largest expected number.
fn assert_near(computed: &[f64], expected: &[f64], bound: f64, case: &str) {
    let largest = expected.iter().fold(1e-3, |a: f64, b| a.max(b.abs()));
    for (computed, expected) in computed.iter().zip(expected) {
        assert!((computed - expected).abs() <= bound * largest, "{case}: {computed}, not {expected}");
    }
}

#[test]
fn every_code_path_agrees_with_plain_loops() {
    let step = Step { learning_rate: 0.3, l2: 0.05, penalize_bias: true };
    for [n, height, width, k] in
        [[1, 1, 1, 1], [1, 1, 1, 2], [17, 5, 7, 10], [431, 4, 4, 3], [500, 9, 3, 1], [16, 1, 33, 11], [3, 4, 6, 27]]
    {
        let d = height * width;
        let bytes: Vec<u8> = random_numbers(1, n * d).iter().map(|x| (255.0 * x).max(0.0) as u8).collect();
        let labels: Vec<u32> = (0..n).map(|row| (row * row % k.max(2)) as u32).collect();
        let (w, b) = (random_numbers(2, d * k), random_numbers(3, k));
        let x: Vec<f64> = bytes.iter().map(|&byte| f64::from(byte) / 127.5 - 1.0).collect();
        let (loss, dw, db, n_correct) = plain_loops(&x, &labels, &w, &b);
        let update = |w: &[f64], dw: &[f64]| w.iter().zip(dw).map(|(w, dw)| w - 0.3 * (dw + 0.05 * w)).collect();
        let (w_after, b_after): (Vec<f64>, Vec<f64>) = (update(&w, &dw), update(&b, &db));
        let (loss_after, ..) = plain_loops(&x, &labels, &w_after, &b_after);
        let rows = PackedRows::new(&bytes, [height, width], labels, 1.0 / 127.5, -1.0);
        let link = if k == 1 { LinkKind::Logistic } else { LinkKind::Softmax }.link(k);
        for isa in Isa::available() {
            for (float, bound) in [(Float::F32, 3e-5), (Float::F64, 1e-12)] {
                for threads in [1, 3] {
                    let case =
                        format!("{n} rows of {height} x {width}, {k} columns, {isa}, {float:?}, {threads} threads");
                    let mut fused = FusedModel::new(link.clone(), d, float, threads, isa);
                    fused.set(&w, &b);
                    let gradient = with_threads(threads, || fused.full_gradient(&rows)).expect("threads");
                    assert_near(&[gradient.loss], &[loss], bound, &case);
                    assert_near(&gradient.weight, &dw, bound, &case);
                    assert_near(&gradient.bias, &db, bound, &case);
                    assert_eq!(
                        (fused.evaluate(&rows).n_correct, fused.n_correct(&rows)),
                        (n_correct, n_correct),
                        "{case}"
                    );
                    fused.step(&rows, &(0..n).collect::<Vec<_>>(), step);
                    let (w_computed, b_computed) = fused.parameters();
                    assert_near(&w_computed, &w_after, bound, &case);
                    assert_near(&b_computed, &b_after, bound, &case);
                    assert_near(&[fused.evaluate(&rows).loss], &[loss_after], 3.0 * bound, &case);
                }
            }
        }
    }
}

#[test]
fn setting_parameters_gives_the_same_bits_as_reaching_them_by_steps() {
    let step = Step { learning_rate: 0.3, l2: 0.05, penalize_bias: true };
    let ([n, height, width], d) = ([40, 5, 7], 35);
    let bytes: Vec<u8> = random_numbers(1, n * d).iter().map(|x| (255.0 * x).max(0.0) as u8).collect();
    let labels: Vec<u32> = (0..n).map(|row| (row % 3) as u32).collect();
    let rows = PackedRows::new(&bytes, [height, width], labels, 1.0 / 127.5, -0.3);
    let all: Vec<usize> = (0..n).collect();
    for isa in Isa::available() {
        for float in [Float::F32, Float::F64] {
            let fresh = || FusedModel::new(Softmax { n_classes: 3 }, d, float, 1, isa);
            let mut stepped = fresh();
            for i in 0..20 {
                stepped.step(&rows, &all[i..i + 20], step);
                let (w, b) = stepped.parameters();
                let mut set = fresh();
                set.set(&w, &b);
                assert_eq!(set.evaluate(&rows).loss, stepped.evaluate(&rows).loss, "{isa} {float:?}, step {i}");
            }
        }
    }
}
