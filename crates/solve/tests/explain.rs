//! Explanations of predictions, compared with the predictions, and the gradient of a row, compared
//! with plain loops and with the equations of `docs/derivation.md`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use chainrule_core::{LinkKind, Parameters, Preprocessing, Recipe, Standardization};
use chainrule_data::table::{Columns, Table};
use chainrule_data::{RecipeOptions, RowBuffer, Rows};
use chainrule_solve::{GradientSums, Predictions, Predictor};

const LINKS: [(LinkKind, usize); 4] =
    [(LinkKind::Logistic, 1), (LinkKind::Softmax, 2), (LinkKind::Softmax, 7), (LinkKind::OneVsRest, 3)];

/// Returns irregular numbers from -1 to 1.
fn noise(seed: usize, n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) as f64 * 0.618_034).sin()).collect()
}

fn parameters(d: usize, columns: usize) -> Parameters {
    Parameters { n_features: d, columns, weight: noise(3, d * columns), bias: noise(4, columns) }
}

/// Raw, standardised and pixel features, each with rows `[n, d]`.
fn inputs(n: usize, d: usize) -> [(Preprocessing, Vec<f64>); 3] {
    let mean: Vec<f64> = noise(1, d).iter().map(|x| 1e6 * x.round()).collect();
    let scale = noise(2, d).iter().map(|x| 2.0 + x).collect();
    let near_means = noise(5, n * d).iter().enumerate().map(|(i, x)| mean[i % d] + x).collect();
    let pixels = noise(5, n * d).iter().map(|x| (255.0 * x).round().max(0.0)).collect();
    [
        (Preprocessing::Standardized(Standardization { mean, scale }), near_means),
        (Preprocessing::Raw, noise(5, n * d)),
        (Preprocessing::Pixels, pixels),
    ]
}

fn is_near(found: f64, expected: f64, size: f64) {
    assert!((found - expected).abs() <= 1e-13 * (1.0 + size), "{found}, not {expected}");
}

#[test]
fn contributions_add_up_to_the_logits() {
    for d in [1, 7, 200] {
        for ((preprocessing, rows), (link, columns)) in
            inputs(5, d).into_iter().flat_map(|input| LINKS.map(|link| (input.clone(), link)))
        {
            let predictor = Predictor::new(link, parameters(d, columns), preprocessing).unwrap();
            for raw in rows.chunks_exact(d) {
                let explanation = predictor.explain(raw).unwrap();
                assert_eq!(explanation.prediction, predictor.predict(raw).unwrap());
                assert_eq!(link.link(columns).class_logits(&explanation.z), explanation.prediction.logits);
                for (k, (z, reference)) in explanation.z.iter().zip(&explanation.reference_logits).enumerate() {
                    let terms = || explanation.contributions.iter().skip(k).step_by(columns);
                    is_near(reference + terms().sum::<f64>(), *z, terms().map(|term| term.abs()).sum());
                }
            }
            // What the contributions are relative to contributes nothing.
            let reference: Vec<f64> = (0..d).map(|j| predictor.scale_and_reference(j).1).collect();
            let explanation = predictor.explain(&reference).unwrap();
            assert!(explanation.contributions.iter().all(|&contribution| contribution == 0.0));
            assert_eq!(explanation.z, explanation.reference_logits);
        }
    }
}

/// Reads a table, and encodes it by the recipe, or by one that is learnt from it.
fn rows_of(text: &str, recipe: Option<&Recipe>) -> (Rows, Recipe) {
    let table = Table::read(text.as_bytes(), Columns { label: Some("label"), ..Columns::default() }, 1 << 26).unwrap();
    let recipe = recipe.cloned().unwrap_or_else(|| table.learn_recipe(&RecipeOptions::default()).unwrap());
    (table.encode(&recipe).unwrap().rows, recipe)
}

/// The training rows, and rows with levels and missing values that those have not.
fn tables() -> [[String; 2]; 2] {
    let (mut dense, mut sparse) = ("age,city,size,day,label\n".to_owned(), String::new());
    for i in 0..40 {
        let age = if i % 5 == 2 { String::new() } else { (20 + i * 7 % 31).to_string() };
        let size = if i % 7 == 3 { "" } else { ["S", "M", "L"][i % 3] };
        dense +=
            &format!("{age},{},{size},2024-0{}-1{},{}\n", ["Rome", "Oslo", "Lima"][i * i % 3], 1 + i % 9, i % 7, i % 2);
        sparse += &format!("{} {}:{} {}:2\n", i % 2, 1 + i % 6, 0.5 + i as f64, 8 + i % 4);
    }
    let new = "age,city,size,day,label\n33,Bonn,XL,2025-01-01,0\n,,,,1\n-5,Rome,M,1999-12-31,0\n".to_owned();
    [[dense, new], [sparse, "0 3:7 99:1\n1 2:0 9:-4\n".to_owned()]]
}

#[test]
fn the_contributions_of_columns_add_up_on_tables() {
    for [train, new] in tables() {
        let (rows, recipe) = rows_of(&train, None);
        let d = recipe.n_features();
        let scale: Vec<f64> = noise(2, d).iter().map(|x| 2.0 + x).collect();
        let mean = if recipe.is_sparse() { vec![0.0; d] } else { rows.moments().unwrap().mean };
        for preprocessing in [Preprocessing::Raw, Preprocessing::Standardized(Standardization { mean, scale })] {
            for ((link, columns), text) in LINKS.into_iter().flat_map(|link| [(link, &train), (link, &new)]) {
                let predictor = Predictor::new(link, parameters(d, columns), preprocessing.clone()).unwrap();
                let (rows, _) = rows_of(text, Some(&recipe));
                let (mut buffer, mut predictions) = (RowBuffer::default(), Predictions::default());
                // Predicted by codes and sparse entries, and explained by all features.
                predictor.of_rows(&rows).unwrap().predict(0..rows.len(), &mut predictions).unwrap();
                for (row, prediction) in predictions.iter().enumerate() {
                    let explanation = predictor.explain(rows.row(row, &mut buffer).unwrap()).unwrap();
                    let of_columns = explanation.of_columns(&recipe);
                    assert_eq!(of_columns.len(), recipe.columns.len() * columns);
                    let z: Vec<f64> = (0..columns)
                        .map(|k| {
                            let terms = of_columns.iter().skip(k).step_by(columns);
                            explanation.reference_logits[k] + terms.sum::<f64>()
                        })
                        .collect();
                    let size = explanation.contributions.iter().map(|x| x.abs()).sum();
                    for (found, expected) in link.link(columns).class_logits(&z).iter().zip(prediction.logits) {
                        is_near(*found, *expected, size);
                    }
                }
            }
        }
    }
}

#[test]
fn a_category_contributes_the_weight_of_its_level() {
    let [[train, new], _] = tables();
    let (rows, recipe) = rows_of(&train, None);
    let d = recipe.n_features();
    let names = recipe.feature_names();
    let weight_of = |name: &str| noise(3, d)[names.iter().position(|own| own == name).unwrap()];
    let predictor = Predictor::new(LinkKind::Logistic, parameters(d, 1), Preprocessing::Raw).unwrap();
    let mut buffer = RowBuffer::default();
    let mut of_columns =
        |rows: &Rows, row: usize| predictor.explain(rows.row(row, &mut buffer).unwrap()).unwrap().of_columns(&recipe);
    // 20,Rome,S and then a row without a size
    assert_eq!(of_columns(&rows, 0)[1..3], [weight_of("city=Rome"), weight_of("size=S")]);
    assert_eq!(of_columns(&rows, 3)[2], weight_of("size=(missing)"));
    // An unknown level, and a missing value in a column that is complete in the training rows.
    let (new, _) = rows_of(&new, Some(&recipe));
    assert_eq!(of_columns(&new, 0)[1..3], [0.0, 0.0]);
    assert_eq!(of_columns(&new, 1)[1..3], [0.0, weight_of("size=(missing)")]);
    // A missing number is its mean, and a feature of its own.
    let mean: f64 = (0..40).filter(|i| i % 5 != 2).map(|i| f64::from(20 + i * 7 % 31)).sum::<f64>() / 32.0;
    is_near(of_columns(&new, 1)[0], mean * weight_of("age") + weight_of("age=(missing)"), mean);
}

#[test]
fn the_gradient_of_a_row_follows_the_equations() {
    let d = 7;
    for ((preprocessing, rows), (link, columns)) in
        inputs(5, d).into_iter().flat_map(|input| LINKS.map(|link| (input.clone(), link)))
    {
        let at = parameters(d, columns);
        let predictor = Predictor::new(link, at.clone(), preprocessing.clone()).unwrap();
        let model = link.link(columns);
        for (raw, class) in rows.chunks_exact(d).zip((0..predictor.n_classes()).cycle()) {
            let gradient = predictor.gradient(raw, class).unwrap();
            let x: Vec<f64> = raw.iter().enumerate().map(|(j, &raw)| preprocessing.value(j, raw)).collect();
            assert_eq!(gradient.x, x);
            // Eqs. (1) and (11)
            for (k, z) in gradient.z.iter().enumerate() {
                is_near(*z, at.bias[k] + (0..d).map(|j| x[j] * at.weight[j * columns + k]).sum::<f64>(), 10.0);
            }
            let is_softmax = link == LinkKind::Softmax;
            let sum: f64 = gradient.z.iter().map(|z| z.exp()).sum();
            let (mut cost, mut y_sum) = (0.0, 0.0);
            for ((&z, &p), (&y, &residual)) in
                gradient.z.iter().zip(&gradient.p).zip(gradient.y.iter().zip(&gradient.residual))
            {
                // Eqs. (2) and (12), then (3) and (13), then (6) and (17)
                is_near(p, if is_softmax { z.exp() / sum } else { 1.0 / (1.0 + (-z).exp()) }, 1.0);
                cost -= y * p.ln() + if is_softmax { 0.0 } else { (1.0 - y) * (1.0 - p).ln() };
                is_near(residual, p - y, 10.0);
                y_sum += y;
            }
            is_near(gradient.cost, cost, 1e3);
            assert_eq!(y_sum, if columns == 1 { class as f64 } else { 1.0 });
            // Eqs. (8) and (18), by other code.
            let mut sums = GradientSums::new(&*model, &at);
            sums.add(&x, [(class as f64, 1.0)]);
            let expected = sums.mean();
            is_near(gradient.cost, expected.loss, 10.0);
            let found = gradient.weight.iter().chain(&gradient.residual);
            for (found, expected) in found.zip(expected.weight.iter().chain(&expected.bias)) {
                is_near(*found, *expected, 10.0);
            }
            assert_eq!(gradient.weight.len(), d * columns);
        }
    }
}
