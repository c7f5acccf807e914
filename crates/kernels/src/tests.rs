//! Compares every code path of the kernels with plain loops. The tests are small and need neither
//! Burn nor files, so they also run under an address sanitizer:
//! `cargo +nightly test --package chainrule-kernels --target x86_64-unknown-linux-gnu` with
//! `RUSTFLAGS=-Zsanitizer=address`.

use std::collections::HashSet;
use std::sync::Arc;

use chainrule_core::{FeatureLayout, Link, LinkKind, Logistic, NO_LEVEL, OneVsRest, Softmax, Step, TargetKind};

use crate::{Float, FusedModel, Isa, LogitMap, Margins, PackedRows, RowOrder, TableBuilder, with_threads};

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
        // Every second shape has weights.
        let weights = Weights::new(&labels, k);
        let weights = if n % 2 == 0 { Weights::default() } else { weights };
        let (loss, dw, db, n_correct) = weighted_plain_loops(&x, &labels, &w, &b, &weights);
        let update = |w: &[f64], dw: &[f64]| w.iter().zip(dw).map(|(w, dw)| w - 0.3 * (dw + 0.05 * w)).collect();
        let (w_after, b_after): (Vec<f64>, Vec<f64>) = (update(&w, &dw), update(&b, &db));
        let (loss_after, ..) = weighted_plain_loops(&x, &labels, &w_after, &b_after, &weights);
        let rows = weights.of_rows(PackedRows::new(&bytes, [height, width], labels, 1.0 / 127.5, -1.0));
        let link = if k == 1 { LinkKind::Logistic } else { LinkKind::Softmax }.link(k);
        for isa in Isa::available() {
            for (float, bound) in [(Float::F32, 3e-5), (Float::F64, 1e-12)] {
                for threads in [1, 3] {
                    let case =
                        format!("{n} rows of {height} x {width}, {k} columns, {isa}, {float:?}, {threads} threads");
                    let mut fused = weights.of_classes(FusedModel::new(link.clone(), d, float, threads, isa));
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

#[test]
fn margins_keep_the_number_of_correct_rows() {
    let (n, height, width) = (700, 6, 9);
    let d = height * width;
    let bytes: Vec<u8> = random_numbers(1, n * d).iter().map(|x| (255.0 * x).max(0.0) as u8).collect();
    let all: Vec<usize> = (0..n).collect();
    for (kind, k) in [(LinkKind::Logistic, 1), (LinkKind::Softmax, 2), (LinkKind::Softmax, 5), (LinkKind::OneVsRest, 3)]
    {
        let n_classes = k.max(2);
        let labels: Vec<u32> = (0..n).map(|row| (row * row % 7 % n_classes) as u32).collect();
        // With this offset, the bias and the common part of the features change the logits most.
        for offset in [-1.0, 3.0] {
            let rows = PackedRows::new(&bytes, [height, width], labels.clone(), 1.0 / 127.5, offset);
            for isa in Isa::available() {
                for (float, threads) in [(Float::F32, 1), (Float::F64, 3)] {
                    let case = format!("{kind:?}, {k} columns, offset {offset}, {isa}, {float:?}");
                    let mut fused = FusedModel::new(kind.link(k), d, float, threads, isa);
                    let (mut margins, mut n_computed) = (Margins::default(), 0);
                    for i in 0..60 {
                        // Steps that move more rows across the boundary, and fewer and fewer.
                        let step = Step { learning_rate: 0.1 / f64::from(1 + i), l2: 0.0, penalize_bias: false };
                        fused.step(&rows, &all[i as usize * 7..][..200], step);
                        let n_correct = fused.n_correct_again(&rows, &mut margins);
                        assert_eq!(n_correct, fused.n_correct(&rows), "{case}, call {i}");
                        n_computed += margins.n_computed();
                    }
                    assert_eq!(n_computed < 60 * n, kind != LinkKind::OneVsRest, "{case}: {n_computed} computed");
                    // A parameter that is not a number.
                    let mut weight = random_numbers(2, d * k);
                    weight[d * k / 2] = f64::NAN;
                    fused.set(&weight, &vec![0.0; k]);
                    assert_eq!(fused.n_correct_again(&rows, &mut margins), fused.n_correct(&rows), "{case}");
                }
            }
        }
    }
}

/// A table of random rows, with its features.
struct Table {
    layout: FeatureLayout,
    /// `(a, m)` of each feature `a (x - m)`.
    scaling: Vec<(f64, f64)>,
    storage: Vec<(f64, f64)>,
    /// For each number, its column.
    numbers: Vec<Vec<f64>>,
    /// For each category, its column.
    codes: Vec<Vec<u32>>,
    /// For each row, the positions and values of its sparse features.
    sparse: Vec<(Vec<u32>, Vec<f64>)>,
    labels: Vec<u32>,
    /// The features, `[n, d]`.
    x: Vec<f64>,
}

impl Table {
    /// `levels` has the number of levels of each category. The features of all kinds alternate.
    /// Some rows have no level and no sparse feature.
    fn new(n: usize, n_numbers: usize, levels: &[usize], n_sparse: usize, k: usize) -> Self {
        let d = n_numbers + levels.iter().sum::<usize>() + n_sparse;
        // A permutation of the features: 7919 is a prime larger than d.
        let mut places = (0..d).map(|i| (i * 7919) % d);
        let unique = places.clone().collect::<HashSet<_>>().len() == d;
        assert!(unique, "{d} features");
        let layout = FeatureLayout {
            n_features: d,
            numbers: places.by_ref().take(n_numbers).collect(),
            categories: levels.iter().map(|&levels| places.by_ref().take(levels).collect()).collect(),
            sparse: places.by_ref().take(n_sparse).collect(),
        };
        let affine: Vec<(f64, f64)> =
            (0..d).map(|j| (0.5 + 0.1 * (j % 7) as f64, 0.05 * (j % 5) as f64 - 0.1)).collect();
        // These numbers are exact in f32 without their centre, and not with it.
        let centres: Vec<f64> = (0..n_numbers).map(|j| if j % 2 == 0 { 4096.0 } else { 0.0 }).collect();
        let centred: Vec<Vec<f64>> = (0..n_numbers)
            .map(|j| random_numbers(j + 7, n).iter().map(|x| (x * 16384.0).round() / 16384.0).collect())
            .collect();
        let codes: Vec<Vec<u32>> = levels
            .iter()
            .enumerate()
            .map(|(c, &levels)| {
                let code = |i: usize| (i * 31 + c * 17 + i * i) % (levels + 1);
                (0..n).map(|i| if code(i) == levels { NO_LEVEL } else { code(i) as u32 }).collect()
            })
            .collect();
        // From none to all of the features, with values that are exact in f32. Those of the first
        // rows are 1, and all of an even number of features.
        let sparse: Vec<(Vec<u32>, Vec<f64>)> = (0..n)
            .map(|i| {
                let has = |j: &u32| (i * 13 + *j as usize * 29 + i * i) % 11 < i % 12;
                let are_ones = i < n / 3 || n_sparse.is_multiple_of(2);
                let value = |j: u32| if are_ones { 1.0 } else { ((i * 7 + j as usize * 3) % 17) as f64 / 8.0 - 1.0 };
                let positions: Vec<u32> = (0..n_sparse as u32).filter(has).collect();
                let values = positions.iter().map(|&j| value(j)).collect();
                (positions, values)
            })
            .collect();
        let mut x = vec![0.0; n * d];
        for (i, row) in x.chunks_exact_mut(d).enumerate() {
            for (&position, value) in sparse[i].0.iter().zip(&sparse[i].1) {
                row[layout.sparse[position as usize]] = *value;
            }
            for (feature, column) in layout.numbers.iter().zip(&centred) {
                row[*feature] = column[i];
            }
            for (features, column) in layout.categories.iter().zip(&codes) {
                if column[i] != NO_LEVEL {
                    row[features[column[i] as usize]] = 1.0;
                }
            }
            row.iter_mut().zip(&affine).for_each(|(x, (a, c))| *x = a * *x + c);
        }
        let mut scaling: Vec<(f64, f64)> = affine.iter().map(|(a, c)| (*a, -c / a)).collect();
        for (&j, centre) in layout.numbers.iter().zip(&centres) {
            scaling[j].1 += centre;
        }
        let storage = centres.iter().enumerate().map(|(j, &centre)| (centre, [1.0, 0.25, 8.0][j % 3])).collect();
        let add = |(column, centre): (&Vec<f64>, &f64)| column.iter().map(|x| x + centre).collect();
        let numbers = centred.iter().zip(&centres).map(add).collect();
        let labels = (0..n).map(|row| ((row * row + row / 3) % k.max(2)) as u32).collect();
        Self { layout, scaling, storage, numbers, codes, sparse, labels, x }
    }

    fn pack(&self, are_f64: bool, order: RowOrder) -> PackedRows {
        let (scaling, storage) = (self.scaling.clone(), self.storage.clone());
        let mut builder = TableBuilder::new(self.layout.clone(), self.labels.len(), scaling, storage, are_f64, order);
        // In two parts, whose bound is in the middle of a group.
        let n = self.labels.len();
        for range in [0..n / 3, n / 3..n] {
            let numbers: Vec<&[f64]> = self.numbers.iter().map(|column| &column[range.clone()]).collect();
            let codes: Vec<&[u32]> = self.codes.iter().map(|column| &column[range.clone()]).collect();
            builder.push(range.len(), &numbers, &codes);
            self.sparse[range].iter().for_each(|(positions, values)| builder.push_sparse(positions, values));
        }
        PackedRows::of_table(builder, self.labels.clone())
    }
}

#[test]
fn every_code_path_of_tables_agrees_with_plain_loops() {
    let step = Step { learning_rate: 0.3, l2: 0.05, penalize_bias: false };
    for (n, n_numbers, levels, n_sparse, k) in [
        (1, 1, &[][..], 0, 1),
        (1, 0, &[2][..], 0, 2),
        (1, 0, &[][..], 1, 1),
        (16, 3, &[][..], 0, 2),
        (77, 5, &[3, 1][..], 9, 3),
        (500, 28, &[][..], 0, 1),
        (331, 2, &[40, 5, 2][..], 0, 1),
        (403, 0, &[][..], 61, 1),
        (145, 0, &[][..], 23, 2),
        (210, 0, &[][..], 62, 1),
        (99, 2, &[][..], 8, 3),
        (9001, 4, &[3][..], 0, 7),
        (450, 17, &[4][..], 5, 11),
    ] {
        let table = Table::new(n, n_numbers, levels, n_sparse, k);
        let d = table.layout.n_features;
        let (w, b) = (random_numbers(2, d * k), random_numbers(3, k));
        let link = if k == 1 { LinkKind::Logistic } else { LinkKind::Softmax }.link(k);
        for weights in Weights::new(&table.labels, k).subsets() {
            let (loss, dw, db, n_correct) = weighted_plain_loops(&table.x, &table.labels, &w, &b, &weights);
            let update = |w: &[f64], dw: &[f64], l2: f64| -> Vec<f64> {
                w.iter().zip(dw).map(|(w, dw)| w - 0.3 * (dw + l2 * w)).collect()
            };
            let (w_after, b_after) = (update(&w, &dw, 0.05), update(&b, &db, 0.0));
            let cases = Isa::available().into_iter().flat_map(|isa| {
                let floats = [(Float::F32, false, 1e-4), (Float::F64, false, 1e-11), (Float::F64, true, 1e-11)];
                floats.into_iter().flat_map(move |float| {
                    [RowOrder::Groups, RowOrder::Rows]
                        .into_iter()
                        .flat_map(move |order| [1, 3].map(move |threads| (isa, float, order, threads)))
                })
            });
            for (isa, (float, are_f64, bound), order, threads) in cases {
                let case = format!(
                    "{n} rows of {n_numbers} numbers, {levels:?} levels and {n_sparse} sparse features, {k} columns, {isa}, {float:?}, {are_f64}, {order:?}, {threads} threads, {}",
                    weights.name()
                );
                let rows = weights.of_rows(table.pack(are_f64, order));
                let mut fused = weights.of_classes(FusedModel::new(link.clone(), d, float, threads, isa));
                fused.set(&w, &b);
                let gradient = with_threads(threads, || fused.full_gradient(&rows)).expect("threads");
                assert_near(&[gradient.loss], &[loss], bound, &case);
                assert_near(&gradient.weight, &dw, bound, &case);
                assert_near(&gradient.bias, &db, bound, &case);
                let evaluation = fused.evaluate(&rows);
                assert_near(&[evaluation.loss], &[loss], bound, &case);
                assert_eq!((evaluation.n_correct, fused.n_correct(&rows)), (n_correct, n_correct), "{case}");
                // Any order of the rows.
                let batch: Vec<usize> = (0..n).map(|i| n - 1 - i).collect();
                fused.step(&rows, &batch, step);
                let (w_computed, b_computed) = fused.parameters();
                assert_near(&w_computed, &w_after, bound, &case);
                assert_near(&b_computed, &b_after, bound, &case);
            }
        }
    }
}

/// The weights of a test's classes and of its rows.
#[derive(Clone, Debug, Default)]
struct Weights {
    of_class: Option<Vec<f64>>,
    of_row: Option<Vec<f64>>,
}

impl Weights {
    /// A class and some rows have the weight 0.
    fn new(labels: &[u32], k: usize) -> Self {
        let of_class = (0..k.max(2)).map(|class| [0.5, 1.5, 0.0, 2.0][class % 4]).collect();
        let of_row = (0..labels.len()).map(|row| ((row * 5 + 3) % 7) as f64 / 3.0).collect();
        Self { of_class: Some(of_class), of_row: Some(of_row) }
    }

    /// No weights, those of classes, those of rows, and both.
    fn subsets(self) -> [Self; 4] {
        let of_classes = Self { of_row: None, ..self.clone() };
        let of_rows = Self { of_class: None, ..self.clone() };
        [Self::default(), of_classes, of_rows, self]
    }

    fn name(&self) -> &'static str {
        match (&self.of_class, &self.of_row) {
            (None, None) => "no weights",
            (Some(_), None) => "weights of classes",
            (None, Some(_)) => "weights of rows",
            (Some(_), Some(_)) => "weights of classes and rows",
        }
    }

    /// The weight of a row.
    fn get(&self, row: usize, label: u32) -> f64 {
        self.of_class.as_ref().map_or(1.0, |weights| weights[label as usize])
            * self.of_row.as_ref().map_or(1.0, |weights| weights[row])
    }

    fn of_rows(&self, rows: PackedRows) -> PackedRows {
        match &self.of_row {
            Some(weights) => rows.with_weights(weights.clone()),
            None => rows,
        }
    }

    fn of_classes(&self, model: FusedModel) -> FusedModel {
        match &self.of_class {
            Some(weights) => model.with_class_weights(weights),
            None => model,
        }
    }
}

/// As [`plain_loops`], with weights.
fn weighted_plain_loops(
    x: &[f64],
    labels: &[u32],
    w: &[f64],
    b: &[f64],
    weights: &Weights,
) -> (f64, Vec<f64>, Vec<f64>, usize) {
    let (n, d) = (labels.len(), w.len() / b.len());
    let (mut loss, mut dw, mut db, mut n_correct) = (0.0, vec![0.0; w.len()], vec![0.0; b.len()], 0);
    for (row, (x, label)) in x.chunks_exact(d).zip(labels).enumerate() {
        let weight = weights.get(row, *label) / n as f64;
        let (row_loss, row_dw, row_db, row_correct) = plain_loops(x, &[*label], w, b);
        loss += weight * row_loss;
        dw.iter_mut().zip(row_dw).for_each(|(sum, g)| *sum += weight * g);
        db.iter_mut().zip(row_db).for_each(|(sum, g)| *sum += weight * g);
        n_correct += row_correct;
    }
    (loss, dw, db, n_correct)
}

/// Returns the Hessian of the mean loss by plain loops, in the order of W row by row, then b.
fn plain_hessian(x: &[f64], labels: &[u32], w: &[f64], b: &[f64], link: &dyn Link, weights: &Weights) -> Vec<f64> {
    let (n, k, d) = (labels.len(), b.len(), w.len() / b.len());
    let size = (d + 1) * k;
    let mut hessian = vec![0.0; size * size];
    for (row, (x, &label)) in x.chunks_exact(d).zip(labels).enumerate() {
        let z: Vec<f64> = (0..k).map(|c| b[c] + (0..d).map(|j| x[j] * w[j * k + c]).sum::<f64>()).collect();
        let weight = weights.get(row, label) / n as f64;
        let x = [x, &[1.0]].concat();
        for l in 0..k {
            let mut direction = vec![0.0; k];
            direction[l] = weight;
            link.hessian_vector_product(&z, &mut direction);
            for (row, sums) in hessian.chunks_exact_mut(size).enumerate() {
                let factor = x[row / k] * direction[row % k];
                sums.iter_mut().skip(l).step_by(k).zip(&x).for_each(|(sum, x)| *sum += factor * x);
            }
        }
    }
    hessian
}

/// A softmax without vector code.
#[derive(Debug)]
struct OwnLink(Softmax);

impl Link for OwnLink {
    fn columns(&self) -> usize {
        self.0.columns()
    }
    fn target_kind(&self) -> TargetKind {
        self.0.target_kind()
    }
    fn loss_and_residual(&self, z: &mut [f64], target: f64) -> f64 {
        self.0.loss_and_residual(z, target)
    }
    fn hessian_vector_product(&self, z: &[f64], direction: &mut [f64]) {
        self.0.hessian_vector_product(z, direction);
    }
    fn is_correct(&self, z: &[f64], target: f64) -> bool {
        self.0.is_correct(z, target)
    }
}

#[test]
fn every_code_path_of_the_hessian_agrees_with_plain_loops() {
    for (n, n_numbers, levels, n_sparse, k) in [
        (1, 1, &[][..], 0, 1),
        (1, 0, &[2][..], 0, 2),
        (1, 0, &[][..], 1, 1),
        (77, 5, &[3, 1][..], 0, 3),
        (500, 28, &[][..], 0, 1),
        (331, 2, &[40, 5, 2][..], 0, 1),
        (4001, 4, &[3][..], 0, 4),
        (90, 3, &[4, 2][..], 5, 3),
        (410, 0, &[][..], 23, 1),
        (3001, 0, &[][..], 12, 2),
    ] {
        let table = Table::new(n, n_numbers, levels, n_sparse, k);
        let d = table.layout.n_features;
        // Small logits: a row whose class is certain has no curvature.
        let w: Vec<f64> = random_numbers(2, d * k).iter().map(|w| w / (d as f64).sqrt()).collect();
        let b = random_numbers(3, k);
        let mut links: Vec<Arc<dyn Link>> =
            vec![if k == 1 { Arc::new(Logistic) } else { Arc::new(Softmax { n_classes: k }) }];
        if k > 1 {
            links.push(Arc::new(OneVsRest { n_classes: k }));
            links.push(Arc::new(OwnLink(Softmax { n_classes: k })));
        }
        // In the centred features, b is the logits of the centre.
        let centre: Vec<f64> = random_numbers(4, d);
        let centred: Vec<f64> = table.x.iter().zip(centre.iter().cycle()).map(|(x, centre)| x - centre).collect();
        let range = |j: usize| {
            let column = centred.iter().skip(j).step_by(d);
            let extremes = column.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &x| [low.min(x), high.max(x)]);
            // The range of a level does not depend on the rows.
            let is_level = table.layout.categories.iter().any(|features| features.contains(&j));
            (!is_level).then_some(extremes)
        };
        let ranges: Vec<_> = (0..d).map(range).collect();
        let subsets = Weights::new(&table.labels, k).subsets();
        for (link, weights) in links.iter().flat_map(|link| subsets.iter().map(move |weights| (link, weights))) {
            let hessian = plain_hessian(&centred, &table.labels, &w, &b, link, weights);
            let cases = Isa::available().into_iter().flat_map(|isa| {
                [(false, RowOrder::Groups), (true, RowOrder::Groups), (false, RowOrder::Rows), (true, RowOrder::Rows)]
                    .into_iter()
                    .flat_map(move |stored| [1, 3].map(move |threads| (isa, stored, threads)))
            });
            for (isa, (are_f64, order), threads) in cases {
                let case = format!(
                    "{n} rows of {n_numbers} numbers, {levels:?} levels and {n_sparse} sparse features, {link:?}, {isa}, {are_f64}, {order:?}, {threads} threads, {}",
                    weights.name()
                );
                let rows = weights.of_rows(table.pack(are_f64, order));
                let mut fused = weights.of_classes(FusedModel::new(Arc::clone(link), d, Float::F64, threads, isa));
                let logits_of_zero: Vec<f64> =
                    (0..k).map(|c| b[c] - (0..d).map(|j| centre[j] * w[j * k + c]).sum::<f64>()).collect();
                fused.set(&w, &logits_of_zero);
                let (computed, mut gradient) =
                    with_threads(threads, || (fused.curvature(&rows, &w, &b, &centre), fused.full_gradient(&rows)))
                        .expect("threads");
                for (g, j) in gradient.weight.chunks_exact_mut(k).zip(0..) {
                    g.iter_mut().zip(&gradient.bias).for_each(|(g, bias): (&mut f64, _)| *g -= centre[j] * bias);
                }
                let computed = computed.expect("a table");
                assert_near(&computed.hessian, &hessian, 1e-11, &case);
                assert_near(&[computed.gradient.loss], &[gradient.loss], 1e-12, &case);
                assert_near(&computed.gradient.weight, &gradient.weight, 1e-11, &case);
                assert_near(&computed.gradient.bias, &gradient.bias, 1e-11, &case);
                assert_eq!(computed.n_correct, fused.n_correct(&rows), "{case}");
                for (computed, expected) in computed.ranges.iter().zip(&ranges) {
                    assert_near(computed, &expected.unwrap_or(*computed), 1e-12, &case);
                }
            }
        }
    }
}

#[test]
fn a_sample_has_the_gradient_of_its_rows() {
    for n in [64, 100, 1000, 2113] {
        let table = Table::new(n, 3, &[4], 6, 3);
        let d = table.layout.n_features;
        let bytes: Vec<u8> = random_numbers(1, n * d).iter().map(|x| (255.0 * x).max(0.0) as u8).collect();
        let images = PackedRows::new(&bytes, [1, d], table.labels.clone(), 1.0 / 127.5, -1.0);
        for rows in [table.pack(true, RowOrder::Groups), table.pack(true, RowOrder::Rows), images] {
            for (step, threads) in [(1, 1), (3, 1), (8, 2)] {
                let mut fused = FusedModel::new(Softmax { n_classes: 3 }, d, Float::F64, threads, Isa::best());
                fused.set(&random_numbers(2, d * 3), &random_numbers(3, 3));
                let sampled: Vec<usize> =
                    (0..n / 64).step_by(step).flat_map(|chunk| chunk * 64..(chunk + 1) * 64).collect();
                let [sample, listed] =
                    with_threads(threads, || [fused.sample_gradient(&rows, step), fused.gradient(&rows, &sampled)])
                        .expect("threads");
                let case = format!("{n} rows, one of {step} chunks");
                assert_near(&[sample.loss], &[listed.loss], 1e-13, &case);
                assert_near(&sample.weight, &listed.weight, 1e-12, &case);
            }
        }
    }
}

#[test]
fn moments_are_those_of_the_features() {
    let n = 90;
    let table = Table::new(n, 3, &[4, 2], 5, 2);
    let d = table.layout.n_features;
    let column = |j: usize| table.x.iter().skip(j).step_by(d);
    let mean: Vec<f64> = (0..d).map(|j| column(j).sum::<f64>() / n as f64).collect();
    let covariance = |i: usize, j: usize| {
        column(i).zip(column(j)).map(|(a, b)| (a - mean[i]) * (b - mean[j])).sum::<f64>() / n as f64
    };
    let moments = table.pack(true, RowOrder::Groups).feature_moments().expect("a table");
    assert_near(&moments.mean, &mean, 1e-12, "means");
    let own = moments.covariance.expect("few numbers");
    for (i, &first) in moments.numbers.iter().enumerate() {
        assert_near(&[moments.variances[i]], &[covariance(first, first)], 1e-12, "variances of numbers");
        for (j, &second) in moments.numbers.iter().enumerate() {
            // 90 rows are fewer than the 96 that would be sampled.
            assert_near(&[own[3 * i + j]], &[covariance(first, second)], 1e-12, "covariances");
        }
    }
    assert_eq!(moments.levels.len(), 11);
    for &(feature, variance) in &moments.levels {
        assert_near(&[variance], &[covariance(feature, feature)], 1e-12, "variances of levels and sparse features");
    }
}

#[test]
fn many_numbers_have_variances_only() {
    let (n, m) = (40, crate::MAX_COVARIANCES + 1);
    let table = Table::new(n, m, &[], 0, 2);
    let moments = table.pack(true, RowOrder::Groups).feature_moments().expect("a table");
    assert_eq!((&moments.covariance, moments.variances.len()), (&None, m));
    let values = |j: usize| table.x.iter().skip(j).step_by(m);
    for (j, variance) in moments.numbers.into_iter().zip(moments.variances) {
        let mean = values(j).sum::<f64>() / n as f64;
        let expected = values(j).map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert_near(&[variance], &[expected], 1e-12, "variances");
    }
}

#[test]
fn logits_of_every_code_path_are_those_of_plain_loops() {
    // Every number of numbers after the last block, and of columns after the last tile.
    let shapes = (0..18).map(|m| (67, m, &[3, 2][..], 1 + m % 8)).chain([(1, 28, &[][..], 1), (130, 300, &[40], 11)]);
    for (n, n_numbers, levels, k) in shapes {
        let table = Table::new(n, n_numbers, levels, n_numbers % 4, k);
        let (d, case) = (table.layout.n_features, format!("{n_numbers} numbers, {levels:?} levels, {k} columns"));
        let (w, b) = (random_numbers(2, d * k), random_numbers(3, k));
        let scaled: Vec<f64> = (0..d * k).map(|i| table.scaling[i / k].0 * w[i]).collect();
        let mean: Vec<f64> = table.scaling.iter().map(|(_, m)| *m).collect();
        let map = LogitMap::new(&table.layout, &scaled, &b, &mean);
        let by_row = |i: usize| table.numbers.iter().map(move |column| column[i]);
        let numbers: Vec<f64> = (0..n).flat_map(by_row).collect();
        let codes: Vec<u32> = (0..n).flat_map(|i| table.codes.iter().map(move |column| column[i])).collect();
        let expected: Vec<f64> = (0..n * k)
            .map(|i| b[i % k] + (0..d).map(|j| table.x[i / k * d + j] * w[j * k + i % k]).sum::<f64>())
            .collect();

        let add_sparse = |logits: &mut [f64]| {
            for ((positions, values), logits) in table.sparse.iter().zip(logits.chunks_exact_mut(k)) {
                map.add_sparse(positions, values, logits);
            }
        };
        let (mut one_by_one, mut sum) = (vec![0.0; n * k], 0.0);
        for (i, logits) in one_by_one.chunks_exact_mut(k).enumerate() {
            let (numbers, codes) = (&numbers[i * n_numbers..][..n_numbers], &codes[i * levels.len()..][..levels.len()]);
            sum += map.row(numbers, codes, logits);
        }
        add_sparse(&mut one_by_one);
        assert_near(&one_by_one, &expected, 1e-12, &case);
        assert_near(&[sum], &[numbers.iter().map(|x| x.abs()).sum()], 1e-12, &case);
        for isa in Isa::available() {
            let mut logits = vec![0.0; n * k];
            let sum_of_isa = map.rows(isa, &numbers, &codes, &mut logits);
            add_sparse(&mut logits);
            assert_eq!(logits, one_by_one, "{isa}, {case}");
            assert_near(&[sum_of_isa], &[sum], 1e-12, &case);
            for invalid in [f64::NAN, f64::INFINITY, -1e31].into_iter().filter(|_| n_numbers > 0) {
                let mut numbers = numbers.clone();
                numbers[n / 2 * n_numbers + n_numbers - 1] = invalid;
                let sum = map.rows(isa, &numbers, &codes, &mut logits);
                assert!(sum.is_nan() || sum >= 1e31, "{invalid}: {sum}, {isa}, {case}");
            }
            // The other types of numbers.
            let small: Vec<u8> = numbers.iter().map(|x| x.to_bits() as u8).collect();
            let [mut of_f64, mut of_f32] = [0; 2].map(|_| vec![0.0; n * k]);
            map.rows(isa, &small, &codes, &mut logits);
            map.rows(isa, &small.iter().map(|&x| f32::from(x)).collect::<Vec<_>>(), &codes, &mut of_f32);
            map.rows(isa, &small.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), &codes, &mut of_f64);
            assert_eq!((&logits, &of_f32), (&of_f64, &of_f64), "{isa}, {case}");
        }
    }
}
