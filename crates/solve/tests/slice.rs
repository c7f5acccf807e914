//! The loss over two weights, compared with sums over the formulas.

#[path = "on_tables/mod.rs"]
mod on_tables;

use chainrule_core::{ModelKind, Parameters, Preprocessing, TrainConfig};
use chainrule_data::{RowBuffer, Rows};
use chainrule_solve::{LossSlice, SummaryModel};

/// Rows of three features, of which no line separates the classes.
fn rows() -> Rows {
    let mut text = "a,b,c,y\n".to_owned();
    for i in 0..60u32 {
        let number = |factor: u32| f64::from(i * factor % 23) / 10.0 - 1.1;
        text += &format!("{},{},{},k{}\n", number(7), number(11), number(5), (i * i % 7 + i % 3) % 2);
    }
    on_tables::rows_of(&text)
}

fn config() -> TrainConfig {
    on_tables::config(ModelKind::Logistic, |settings| settings.objective.l2 = 0.05)
}

fn parameters() -> Parameters {
    Parameters { n_features: 3, columns: 1, weight: vec![0.3, -0.8, 0.5], bias: vec![0.2] }
}

const CLASS_WEIGHTS: [f64; 2] = [1.0, 2.5];

fn slice(rows: &Rows) -> LossSlice {
    let (config, parameters) = (config(), parameters());
    let model = SummaryModel {
        config: &config,
        parameters: &parameters,
        preprocessing: &Preprocessing::Raw,
        features: &[],
        classes: &[],
        class_weights: Some(&CLASS_WEIGHTS),
    };
    LossSlice::new(&model, rows, [0, 2], 0).expect("rows of numbers")
}

#[test]
fn the_slice_is_the_objective_with_the_others_fixed() {
    let rows = rows();
    let slice = slice(&rows);
    let objective = |[u, v]: [f64; 2]| {
        let weight = [u, -0.8, v];
        let mut buffer = RowBuffer::default();
        let loss = |row: usize| {
            let x = rows.row(row, &mut buffer).expect("a row");
            let z = 0.2 + x.iter().zip(weight).map(|(x, w)| x * w).sum::<f64>();
            let class = usize::from(rows.label(row));
            CLASS_WEIGHTS[class] * (z.exp().ln_1p() - if class == 1 { z } else { 0.0 })
        };
        let n = rows.len();
        (0..n).map(loss).sum::<f64>() / n as f64 + 0.025 * weight.iter().map(|w| w * w).sum::<f64>()
    };
    for at in [[0.0, 0.0], [0.3, 0.5], [-2.0, 4.0]] {
        let (loss, gradient) = slice.at(at);
        assert!((loss - objective(at)).abs() < 1e-12, "{at:?}: {loss}");
        for i in 0..2 {
            let moved = |by: f64| {
                let mut at = at;
                at[i] += by;
                objective(at)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((gradient[i] - slope).abs() < 1e-8, "{at:?}: {gradient:?}, {slope}");
        }
    }
}

/// Two weights of each class of a softmax model, against the sum over the formula of Eq. (13).
#[test]
fn a_slice_of_softmax_is_the_objective_with_the_others_fixed() {
    let mut text = "a,b,c,y\n".to_owned();
    for i in 0..60u32 {
        let number = |factor: u32| f64::from(i * factor % 23) / 10.0 - 1.1;
        text += &format!("{},{},{},k{}\n", number(7), number(11), number(5), (i * i % 7 + i % 4) % 3);
    }
    let rows = on_tables::rows_of(&text);
    let config = on_tables::config(ModelKind::Softmax, |settings| settings.objective.l2 = 0.05);
    let weight = vec![0.3, -0.8, 0.5, 1.1, -0.4, 0.2, -0.7, 0.9, 0.6];
    let parameters = Parameters { n_features: 3, columns: 3, weight, bias: vec![0.2, -0.1, 0.4] };
    let class_weights = [1.0, 2.5, 0.7];
    let model = SummaryModel {
        config: &config,
        parameters: &parameters,
        preprocessing: &Preprocessing::Raw,
        features: &[],
        classes: &[],
        class_weights: Some(&class_weights),
    };
    for column in 0..3 {
        let slice = LossSlice::new(&model, &rows, [0, 2], column).expect("rows of numbers");
        let objective = |[u, v]: [f64; 2]| {
            let mut weight = parameters.weight.clone();
            (weight[column], weight[6 + column]) = (u, v);
            let mut buffer = RowBuffer::default();
            let loss = |row: usize| {
                let x = rows.row(row, &mut buffer).expect("a row");
                let logit = |k: usize| parameters.bias[k] + (0..3).map(|j| x[j] * weight[3 * j + k]).sum::<f64>();
                let (z, class) = ([logit(0), logit(1), logit(2)], usize::from(rows.label(row)));
                class_weights[class] * (z.iter().map(|z| z.exp()).sum::<f64>().ln() - z[class])
            };
            let n = rows.len();
            (0..n).map(loss).sum::<f64>() / n as f64 + 0.025 * weight.iter().map(|w| w * w).sum::<f64>()
        };
        for at in [[0.0, 0.0], [0.3, 0.5], [-2.0, 4.0]] {
            let (loss, gradient) = slice.at(at);
            assert!((loss - objective(at)).abs() < 1e-12, "{column}, {at:?}: {loss} {}", objective(at));
            let slope = (objective([at[0] + 1e-5, at[1]]) - objective([at[0] - 1e-5, at[1]])) / 2e-5;
            assert!((gradient[0] - slope).abs() < 1e-8, "{column}, {at:?}: {gradient:?}, {slope}");
        }
    }
}

#[test]
fn a_descent_converges_below_two_over_the_curvature_and_not_above() {
    let rows = rows();
    let slice = slice(&rows);
    let minimum = slice.minimum([0.0, 0.0]).expect("a penalty has a minimum");
    let (least, gradient) = slice.at(minimum);
    assert!(gradient.iter().all(|slope| slope.abs() < 1e-9), "{gradient:?}");
    let limit = 2.0 / slice.curvature(minimum);
    let start = [minimum[0] + 1e-3, minimum[1] - 1e-3];
    let end = |rate: f64| {
        let path = slice.descend(start, rate, 3000, 100.0);
        (path[path.len() - 1][0] - minimum[0]).hypot(path[path.len() - 1][1] - minimum[1])
    };
    assert!(end(0.97 * limit) < 1e-8, "{}", end(0.97 * limit));
    assert!(end(1.03 * limit) > 1e-2, "{}", end(1.03 * limit));
    // With a rate above 2 / lambda the penalty alone diverges, and the path ends where it leaves.
    let path = slice.descend([0.0, 0.0], 50.0, 1000, 10.0);
    assert!(path.len() < 1000 && path[path.len() - 1].iter().any(|w| w.abs() > 5.0), "{}", path.len());
    assert!(slice.at(path[path.len() - 1]).0 > least);
}

#[test]
fn separated_classes_without_a_penalty_have_no_minimum() {
    let rows = on_tables::rows_of("a,b,y\n-2,1,k0\n-1,0,k0\n1,0,k1\n2,1,k1\n");
    let config = on_tables::config(ModelKind::Logistic, |settings| settings.objective.l2 = 0.0);
    let parameters = Parameters { n_features: 2, columns: 1, weight: vec![0.0; 2], bias: vec![0.0] };
    let model = SummaryModel {
        config: &config,
        parameters: &parameters,
        preprocessing: &Preprocessing::Raw,
        features: &[],
        classes: &[],
        class_weights: None,
    };
    assert_eq!(LossSlice::new(&model, &rows, [0, 1], 0).expect("rows of numbers").minimum([0.0, 0.0]), None);
}
