//! Wrong gradients from public reports about autodiff libraries, on small operations.
//!
//! Each [`Case`] is an operation on a vector with its right vector-Jacobian product and the one
//! that a report describes. The report is a repository and the number of its issue or pull request.
//! Some common mistakes have no report that we know, and say so.

use chacha20::ChaCha8Rng;
use chainrule_gradcheck::{Finding, Gradient, Options, Parameter, Report, check_slices};
use rand::{RngExt, SeedableRng};

mod elementwise;
mod indexing;
mod layers;
mod reductions;

const SEEDS: u64 = 5;

/// An operation with a right and a wrong gradient.
struct Case {
    /// What is wrong.
    name: &'static str,
    /// The public report: a repository with a number, or what it would describe.
    report: &'static str,
    /// Where the operation is differentiated.
    point: Point,
    /// The operation.
    output: Operation,
    /// The right vector-Jacobian product.
    right: VectorJacobianProduct,
    /// The wrong vector-Jacobian product.
    wrong: VectorJacobianProduct,
    /// The machine epsilon of the type of the gradients.
    epsilon: f64,
}

/// Returns the output at an input.
type Operation = fn(&[f64]) -> Vec<f64>;

/// Returns the gradient of the output's sum, weighted with a cotangent, from the input and the
/// cotangent.
type VectorJacobianProduct = fn(&[f64], &[f64]) -> Vec<f64>;

/// The point of a case.
#[derive(Clone, Copy)]
enum Point {
    /// The given coordinates.
    At(&'static [f64]),
    /// So many random coordinates between -1.5 and 1.5, others for each seed.
    Random(usize),
}

impl Case {
    fn new(
        name: &'static str,
        report: &'static str,
        point: Point,
        output: Operation,
        [right, wrong]: [VectorJacobianProduct; 2],
    ) -> Self {
        Self { name, report, point, output, right, wrong, epsilon: f64::EPSILON }
    }

    /// Its gradients are computed in f32.
    fn in_f32(self) -> Self {
        Self { epsilon: f64::from(f32::EPSILON), ..self }
    }

    /// Returns the random point and cotangent of a seed.
    fn sample(&self, seed: u64) -> (Vec<f64>, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let point = match self.point {
            Point::At(point) => point.to_vec(),
            Point::Random(length) => (0..length).map(|_| rng.random_range(-1.5..1.5)).collect(),
        };
        let cotangent = (self.output)(&point).iter().map(|_| rng.random_range(-1.0..1.0)).collect();
        (point, cotangent)
    }

    /// Checks a gradient of the output's sum, weighted with the cotangent.
    fn check(&self, point: &[f64], cotangent: &[f64], gradient: Vec<f64>) -> Report {
        let parameters = [Parameter { name: "x".into(), shape: vec![point.len()] }];
        let mut loss = |x: &[f64]| dot(&(self.output)(x), cotangent);
        let gradient = Gradient::new(self.name, vec![Some(gradient)], self.epsilon);
        check_slices(&parameters, point, &mut loss, f64::EPSILON, &[gradient], &Options::default())
    }
}

fn cases() -> Vec<Case> {
    [indexing::cases(), reductions::cases(), elementwise::cases(), layers::cases()].into_iter().flatten().collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x.exp() / sum).collect()
}

fn has(report: &Report, condition: impl Fn(&Finding) -> bool) -> bool {
    report.findings.iter().any(condition)
}

#[test]
fn right_gradients_pass() {
    for case in cases() {
        for seed in 0..SEEDS {
            let (point, cotangent) = case.sample(seed);
            let report = case.check(&point, &cotangent, (case.right)(&point, &cotangent));
            assert!(report.passed(), "{} ({}), seed {seed}: {report}", case.name, case.report);
        }
    }
}

/// Wrong gradients fail at all wrong coordinates, and at no other.
#[test]
fn wrong_gradients_fail_where_they_are_wrong() {
    for case in cases() {
        for seed in 0..SEEDS {
            let (point, cotangent) = case.sample(seed);
            let right = (case.right)(&point, &cotangent);
            let wrong = (case.wrong)(&point, &cotangent);
            let report = case.check(&point, &cotangent, wrong.clone());
            let context = format!("{} ({}), seed {seed}: {report}", case.name, case.report);
            assert!(!report.passed(), "{context}");
            if wrong.len() != right.len() {
                assert!(has(&report, |f| matches!(f, Finding::WrongShape { .. })), "{context}");
                continue;
            }
            if report.kinks() > 0 && wrong.iter().all(|wrong| wrong.is_finite()) {
                assert!(has(&report, |f| matches!(f, Finding::WrongAtTie { .. })), "{context}");
                continue;
            }
            if wrong.iter().any(|wrong| !wrong.is_finite()) {
                assert!(has(&report, |f| matches!(f, Finding::NotFinite { .. })), "{context}");
            }
            let failed: Vec<usize> = report.parameters[0].gradients[0]
                .failures
                .iter()
                .map(|failure| failure.index.as_ref().expect("coordinates are checked one by one")[0])
                .collect();
            let largest = right.iter().chain(&wrong).filter(|x| x.is_finite()).fold(0.0, |a: f64, x| a.max(x.abs()));
            for (i, (right, wrong)) in right.iter().zip(&wrong).enumerate() {
                let distance = (right - wrong).abs();
                // A wrong gradient that is rounded passes if it is as near as its rounding.
                let is_clear = distance.is_nan() || distance > 1e4 * case.epsilon * largest;
                assert!(failed.contains(&i) || !is_clear, "{i} of {context}");
                assert!(!failed.contains(&i) || distance.is_nan() || distance > 0.0, "{i} of {context}");
            }
            assert!(!failed.is_empty(), "{context}");
        }
    }
}

/// With the plain sum as loss, these wrong gradients pass, and no others. Therefore outputs are
/// weighted with random cotangents.
#[test]
fn a_plain_sum_hides_permutations_and_powers_of_the_cotangent() {
    let hidden: Vec<&str> = cases()
        .iter()
        .filter(|case| {
            (0..SEEDS).all(|seed| {
                let (point, cotangent) = case.sample(seed);
                let ones = vec![1.0; cotangent.len()];
                case.check(&point, &ones, (case.wrong)(&point, &ones)).passed()
            })
        })
        .map(|case| case.name)
        .collect();
    let expected = [
        "repeat: copies summed as if interleaved",
        "cat: slices shifted if an input needs no gradient",
        "select_assign: values scattered",
        "permute: forward axes applied backward",
        "sort: scattered and gathered swapped",
        "broadcast: summed over the wrong axis",
        "min: cotangent ignored",
        "clip: cotangent applied twice",
    ];
    assert_eq!(hidden, expected);
}

/// The sum of a softmax is constant, so a plain sum cannot tell its gradients apart.
#[test]
fn a_plain_sum_of_a_softmax_proves_nothing() {
    let cases = cases();
    let case = cases.iter().find(|case| case.name == reductions::SOFTMAX_QUOTIENT).expect("a case");
    for seed in 0..SEEDS {
        let (point, cotangent) = case.sample(seed);
        let ones = vec![1.0; cotangent.len()];
        let right = case.check(&point, &ones, (case.right)(&point, &ones));
        let wrong = case.check(&point, &ones, (case.wrong)(&point, &ones));
        assert_eq!((right.failed(), wrong.failed()), (0, 0), "{wrong}");
        // The wrong gradient is rounded to some 1e-15. If that is more than the noise of the loss
        // explains, the loss is not said to be constant.
        assert!(!right.passed() && has(&right, |f| *f == Finding::Constant), "{right}");
    }
}

/// Without a measured rounding error, an f32 gradient may be wrong by 32 machine epsilons of its
/// largest coordinate. With it, the saturated sigmoid of tenstorrent/tt-metal#55724 is found beside
/// a larger coordinate.
#[test]
fn a_small_coordinate_is_checked_beside_a_large_one_if_the_rounding_was_measured() {
    let parameters = [Parameter { name: "x".into(), shape: vec![2] }];
    let mut loss = |x: &[f64]| x.iter().map(|x| 1.0 / (1.0 + (-x).exp())).sum::<f64>();
    let epsilon = f64::from(f32::EPSILON);
    for (saturated, is_right) in [(f64::from((-17.5f32).exp()), true), (0.0, false)] {
        let values = vec![saturated, 0.25];
        let rounding = Some(values.iter().map(|value| epsilon * value).collect());
        let gradient = Gradient { rounding, ..Gradient::new("sigmoid", vec![Some(values)], epsilon) };
        let report = check_slices(&parameters, &[17.5, 0.0], &mut loss, f64::EPSILON, &[gradient], &Options::default());
        assert_eq!((report.passed(), report.failed()), (is_right, usize::from(!is_right)), "{report}");
    }
}

/// The derivative of expm1 at -40 is 4e-18, but 0 in pytorch/pytorch#192406 and
/// jax-ml/jax#39794. The loss is rounded to 1e-16, so no differences of it can tell.
#[test]
fn a_slope_below_the_rounding_of_the_loss_is_said_to_be_zero() {
    let case = Case::new("expm1", "", Point::At(&[-40.0]), |x| vec![x[0].exp_m1()], [|_, g| g.to_vec(); 2]);
    let report = case.check(&[-40.0], &[1.0], vec![0.0]);
    assert!(has(&report, |f| *f == Finding::Stationary), "{report}");
}

/// pytorch/pytorch#7002 asks for 1 at the border of a clamp, and #184574 for 0. Both are right.
#[test]
fn both_slopes_at_the_border_of_a_clamp_pass() {
    let clamp = |x: &[f64]| vec![x[0].clamp(0.0, 1.0), x[1]];
    let case = Case::new("clamp", "", Point::At(&[0.0, 0.5]), clamp, [|_, g| g.to_vec(); 2]);
    for slope in [0.0, 1.0] {
        case.check(&[0.0, 0.5], &[1.0, 1.0], vec![slope, 1.0]).assert_pass();
    }
    assert_eq!(case.check(&[0.0, 0.5], &[1.0, 1.0], vec![1.5, 1.0]).failed(), 1);
}
