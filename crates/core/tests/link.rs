//! Compares each link with finite differences of its loss, and tests its predictions.

use chainrule_core::{Link, LinkKind, Logistic, OneVsRest, Softmax, TargetKind};

fn links() -> [Box<dyn Link>; 4] {
    let [two, four] = [2, 4].map(|n_classes| Softmax { n_classes });
    [Box::new(Logistic), Box::new(two), Box::new(four), Box::new(OneVsRest { n_classes: 3 })]
}

/// Returns irregular logits, small and large.
fn logits(k: usize) -> Vec<Vec<f64>> {
    (0..12).map(|i| (0..k).map(|c| (1.0 + 0.4 * f64::from(i)) * f64::from(7 * i + c as i32).sin()).collect()).collect()
}

fn n_classes(link: &dyn Link) -> usize {
    match link.target_kind() {
        TargetKind::Classes(k) => k,
        targets => panic!("{targets:?}"),
    }
}

/// Returns `(f(h) - f(-h)) / 2h`, extrapolated by Richardson's rule from two step lengths.
fn slope(f: impl Fn(f64) -> f64) -> f64 {
    let central = |h: f64| (f(h) - f(-h)) / (2.0 * h);
    (4.0 * central(1e-3) - central(2e-3)) / 3.0
}

fn shifted(z: &[f64], direction: &[f64], step: f64) -> Vec<f64> {
    z.iter().zip(direction).map(|(z, v)| z + step * v).collect()
}

#[test]
fn eqs_6_17_the_residual_is_the_derivative_of_the_loss() {
    for link in links() {
        for z in logits(link.columns()) {
            for target in (0..n_classes(&*link)).map(|class| class as f64) {
                let mut residual = z.clone();
                let loss = link.loss_and_residual(&mut residual, target);
                assert!(loss >= 0.0, "{link:?} {z:?}: {loss}");
                for (column, residual) in residual.iter().enumerate() {
                    let unit: Vec<f64> = (0..z.len()).map(|c| f64::from(u8::from(c == column))).collect();
                    let expected = slope(|h| link.loss_and_residual(&mut shifted(&z, &unit, h), target));
                    assert!((residual - expected).abs() < 1e-9, "{link:?} {z:?} {target}: {residual}, {expected}");
                }
            }
        }
    }
}

#[test]
fn eqs_26_27_the_hessian_vector_product_is_the_derivative_of_the_residual() {
    for link in links() {
        for z in logits(link.columns()) {
            let direction: Vec<f64> = (0..z.len()).map(|c| (3.0 * c as f64 + 0.5).cos()).collect();
            let mut actual = direction.clone();
            link.hessian_vector_product(&z, &mut actual);
            for (column, actual) in actual.iter().enumerate() {
                let residual = |h: f64| {
                    let mut z = shifted(&z, &direction, h);
                    link.loss_and_residual(&mut z, 1.0);
                    z[column]
                };
                assert!((actual - slope(residual)).abs() < 1e-9, "{link:?} {z:?}: {actual}, {}", slope(residual));
            }
        }
    }
}

#[test]
fn the_loss_is_the_negative_log_probability() {
    for link in links() {
        let k = n_classes(&*link);
        for z in logits(link.columns()) {
            let p = link.mean(&z);
            assert_eq!(p.len(), k);
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-15, "{link:?}: {p:?}");
            let predicted = (0..k).fold(0, |best, class| if p[class] > p[best] { class } else { best });
            for (class, p) in p.iter().enumerate() {
                assert_eq!(link.is_correct(&z, class as f64), class == predicted, "{link:?} {z:?}");
                // The one-vs-rest loss is not the logarithm of these probabilities.
                if link.kind() != Some(LinkKind::OneVsRest) {
                    let loss = link.loss_and_residual(&mut z.clone(), class as f64);
                    assert!((loss + p.ln()).abs() < 1e-12 * (1.0 + loss), "{link:?} {z:?}: {loss}");
                }
            }
        }
    }
}

#[test]
fn extreme_logits_have_a_finite_loss() {
    for link in links() {
        for size in [1e3, 1e300] {
            for class in 0..n_classes(&*link) {
                let mut z: Vec<f64> = (0..link.columns()).map(|c| if c % 2 == 0 { size } else { -size }).collect();
                let loss = link.loss_and_residual(&mut z, class as f64);
                assert!(loss.is_finite() && z.iter().all(|residual| residual.abs() <= 1.0), "{link:?}: {loss} {z:?}");
            }
        }
    }
}

#[test]
fn one_vs_rest_normalises_its_probabilities() {
    let rest = OneVsRest { n_classes: 3 };
    for z in logits(3) {
        let binary: Vec<f64> = z.iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect();
        let sum: f64 = binary.iter().sum();
        for (p, binary) in rest.mean(&z).iter().zip(binary) {
            assert!((p - binary / sum).abs() < 1e-15, "{z:?}: {p}, {}", binary / sum);
        }
    }
}
