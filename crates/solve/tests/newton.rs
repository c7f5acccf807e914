//! Newton's method on tables, compared with plain loops.

mod on_tables;

use std::fmt::Write;
use std::num::NonZero;
use std::ops::ControlFlow;

use chainrule_core::{Identification, ModelKind, Parameters, Precision, Preprocessing, SearchEnd, Solver, TrainConfig};
use chainrule_data::{RowBuffer, Rows};
use chainrule_solve::{Checkpoint, FusedRows, GradientSums, Observer, Optimum, Trained, find_optimum, train_fused};
use on_tables::{config, rows_of};

/// Returns pseudo-random numbers from -1 to 1.
fn random(i: usize, column: usize) -> f64 {
    let mut x = ((i * 64 + column + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 29)) as f64 / 2f64.powi(63) - 1.0
}

/// Searches by Newton's method. Returns the optimum, and J and its bound at each iteration.
fn newton(rows: &Rows, config: &TrainConfig, preprocessing: &Preprocessing, k: usize) -> (Optimum, Vec<[f64; 2]>) {
    let packed = FusedRows::for_solver(rows.clone(), preprocessing, Precision::F64, Solver::Newton).expect("rows");
    let mut trace = Vec::new();
    let link = config.model().kind.link(k);
    let optimum = find_optimum(&link, config, &packed, NonZero::new(2).expect("two"), &mut |iterate, _| {
        trace.push([iterate.objective, iterate.bound]);
        ControlFlow::Continue(())
    });
    (optimum.expect("an optimum"), trace)
}

/// Searches from these parameters.
fn from(start: Parameters, rows: &Rows, config: &TrainConfig, preprocessing: &Preprocessing, k: usize) -> Trained {
    struct From(Option<Checkpoint>);
    impl Observer for From {
        fn resume_from(&mut self) -> Option<Checkpoint> {
            self.0.take()
        }
    }
    let packed = FusedRows::for_solver(rows.clone(), preprocessing, Precision::F64, Solver::Newton).expect("rows");
    let (link, one) = (config.model().kind.link(k), NonZero::<usize>::MIN);
    let mut observer = From(Some(Checkpoint::start(start)));
    train_fused(&link, &packed, &packed, config, one, &mut observer).expect("a training")
}

/// Returns the gradient of J at these parameters by plain loops, W row by row, then b.
fn gradient_by_loops(
    rows: &Rows,
    preprocessing: &Preprocessing,
    at: &Parameters,
    config: &TrainConfig,
    class_weights: &[f64],
) -> Vec<f64> {
    let link = config.model().kind.link(class_weights.len());
    let (mut sums, mut buffer) = (GradientSums::new(&*link, at), RowBuffer::default());
    for row in 0..rows.len() {
        let mut x = Vec::new();
        preprocessing.append_features(rows.row(row, &mut buffer).expect("a row"), Precision::F64, &mut x);
        let class = rows.label(row);
        sums.add(&x, [(f64::from(class), class_weights[usize::from(class)])]);
    }
    let (gradient, objective) = (sums.mean(), config.objective());
    let bias_l2 = if objective.penalize_bias { objective.l2 } else { 0.0 };
    let weight = gradient.weight.iter().zip(&at.weight).map(|(g, w)| g + objective.l2 * w);
    weight.chain(gradient.bias.iter().zip(&at.bias).map(|(g, b)| g + bias_l2 * b)).collect()
}

/// A table whose classes overlap, with correlated columns, Unix seconds and missing values.
fn overlapping_table(n: usize, n_classes: usize) -> Rows {
    let mut text = "a,b,seconds,city,size,y\n".to_owned();
    for i in 0..n {
        let [a, b, c] = [0, 1, 2].map(|column| random(i, column));
        let b = if i % 11 == 3 { String::new() } else { (a + 0.02 * b).to_string() };
        let city = ["Rome", "Oslo", "Lima", "Bonn", "Cork"][(2.5 * (c + 1.0)) as usize];
        let size = if i % 7 == 2 { "" } else { ["S", "M", "L"][i % 3] };
        let y = (0.5 * (a + c) + random(i, 3) + 1.5) / 3.0 * n_classes as f64;
        let seconds = 1_700_000_000.0 + 500.0 * c + 100.0 * random(i, 4);
        writeln!(text, "{a},{b},{seconds},{city},{size},k{}", (y as usize).min(n_classes - 1)).expect("a string");
    }
    rows_of(&text)
}

#[test]
fn newtons_method_finds_the_minimum_and_its_bound_holds_on_the_way() {
    for (kind, k) in [(ModelKind::Logistic, 2), (ModelKind::Softmax, 4)] {
        let rows = overlapping_table(3000, k);
        let standardized = Preprocessing::Standardized(rows.moments().expect("moments"));
        for (l2, penalize_bias, is_weighted) in
            [(0.001, false, false), (0.001, true, false), (1e-5, false, true), (0.0, false, false), (0.0, true, true)]
        {
            let weights: Vec<f64> = (0..k).map(|class| if is_weighted { 0.5 + class as f64 } else { 1.0 }).collect();
            let config = config(kind, |settings| {
                settings.descent.solver = Solver::Newton;
                (settings.objective.l2, settings.objective.penalize_bias) = (l2, penalize_bias);
            });
            let config = if is_weighted { config.with_class_weights(weights.clone()) } else { config };
            let (optimum, trace) = newton(&rows, &config, &standardized, k);
            let case = format!("{kind:?}, {k} classes, lambda {l2}, {penalize_bias}, {is_weighted}: {trace:?}");
            let certificate = optimum.certificate.expect("a certificate");
            assert!(certificate.holds() && certificate.gradients <= 14, "{case}: {certificate:?}");
            let gradient = gradient_by_loops(&rows, &standardized, &optimum.parameters, &config, &weights);
            let identification = optimum.identification.unwrap_or_default();
            assert_eq!(identification.base_class, (l2 == 0.0 && kind == ModelKind::Softmax).then_some(0), "{case}");
            // The gradient by fixed parameters is 0, too, because other parameters can replace
            // them.
            let largest = gradient.iter().fold(0.0, |max: f64, g| max.max(g.abs()));
            assert!(largest < 1e-6, "{case}: {largest}");
            // From elsewhere, the search ends at the same minimum.
            let start = Parameters {
                weight: (0..optimum.parameters.weight.len()).map(|i| 0.3 * random(i, 9)).collect(),
                ..optimum.parameters.clone()
            };
            let from_there = from(start, &rows, &config, &standardized, k);
            let other = from_there.certificate.expect("a certificate");
            assert!(other.holds() && (other.objective - certificate.objective).abs() < 1e-10, "{case}: {other:?}");
            if l2 == 0.0 {
                // Without a penalty the scale of the features does not matter, here of Unix
                // seconds.
                let (raw, _) = newton(&rows, &config, &Preprocessing::Raw, k);
                let raw = raw.certificate.expect("a certificate");
                assert!(raw.holds() && (raw.objective - certificate.objective).abs() < 1e-9, "{case}: {raw:?}");
            }
            for [objective, bound] in &trace {
                assert!(objective - certificate.objective <= bound + 1e-14, "{case}: {objective} {bound}");
            }
            // In exact arithmetic, J falls in every iteration.
            assert!(trace.windows(2).all(|pair| pair[1][0] <= pair[0][0] + 1e-14), "{case}");
        }
    }
}

#[test]
fn parameters_that_others_can_replace_are_fixed_without_a_penalty() {
    // The feature "double" is twice a, "sum" is a + b, and each row has one of three colours.
    let mut text = "a,double,b,sum,colour,y\n".to_owned();
    for i in 0..400 {
        let [a, b] = [0, 1].map(|column| (100.0 * random(i, column)).round());
        let colour = ["red", "green", "green", "blue"][(i * i / 3) % 4];
        let chance = |step: usize| 90.0 * random(i, step);
        let y = usize::from(a + chance(2) > 20.0) + usize::from(b + chance(3) > 0.0);
        writeln!(text, "{a},{},{b},{},{colour},k{y}", 2.0 * a, a + b).expect("a string");
    }
    let rows = rows_of(&text);
    let features = rows.n_features();
    let standardized = Preprocessing::Standardized(rows.moments().expect("moments"));
    let of = |preprocessing: &Preprocessing, l2: f64| {
        let config = config(ModelKind::Softmax, |settings| {
            settings.descent.solver = Solver::Newton;
            settings.objective.l2 = l2;
        });
        newton(&rows, &config, preprocessing, 3).0
    };
    let optimum = of(&standardized, 0.0);
    let identification = optimum.identification.as_ref().expect("no penalty");
    // The levels are in the order of their names or frequencies; green has half of the rows.
    assert_eq!((features, identification.reference_levels.len()), (7, 1));
    assert_eq!((identification.base_class, &identification.dependent[..]), (Some(0), &[1, 3][..]));
    let fixed = [1, 3, identification.reference_levels[0]];
    for (feature, weights) in optimum.parameters.weight.chunks_exact(3).enumerate() {
        let is_zero = weights.iter().all(|&w| w == 0.0);
        assert!(is_zero == fixed.contains(&feature) && weights[0] == 0.0, "{feature}: {weights:?}");
    }
    // The minimum does not depend on the scale of the features, nor on which parameters are fixed:
    // a tiny penalty leads to the same J.
    let raw = of(&Preprocessing::Raw, 0.0);
    let penalised = of(&standardized, 1e-12);
    let [expected, others @ ..] = [&optimum, &raw, &penalised].map(|of| of.certificate.expect("a certificate"));
    for other in others {
        assert!(other.holds() && (other.objective - expected.objective).abs() < 1e-9, "{other:?} {expected:?}");
    }
    assert_eq!(raw.identification.expect("no penalty").dependent, [1, 3]);
    assert_eq!(penalised.identification, None);
}

#[test]
fn classes_that_are_almost_separated_have_a_minimum() {
    // One row is on the wrong side, so the steps are long in many iterations.
    let one_wrong = |i: i32| (f64::from(i) - 199.5, (i >= 200) != (i == 201));
    // One number is so large that its logit grows for long, until the others count.
    let outlier = |i: i32| (if i == 7 { 2e6 } else { f64::from(i % 9) - 4.0 }, i == 7 || i % 9 + i % 5 > 6);
    // A mark of missing values.
    let mark = |i: i32| (if i % 150 == 7 { 1e7 - 1.0 } else { f64::from(i % 9) }, i % 150 == 7 || i % 9 + i % 5 > 6);
    for (i, row) in [&one_wrong as &dyn Fn(i32) -> (f64, bool), &outlier, &mark].into_iter().enumerate() {
        let mut text = "x,y\n".to_owned();
        for i in 0..400 {
            let (x, class) = row(i);
            writeln!(text, "{x},k{}", u8::from(class)).expect("a string");
        }
        let rows = rows_of(&text);
        let standardized = Preprocessing::Standardized(rows.moments().expect("moments"));
        for kind in [ModelKind::Logistic, ModelKind::Softmax] {
            let config = config(kind, |settings| {
                settings.descent.solver = Solver::Newton;
                settings.objective.l2 = 0.0;
            });
            let (optimum, trace) = newton(&rows, &config, &standardized, 2);
            let certificate = optimum.certificate.expect("a certificate");
            assert!(certificate.holds() && trace.len() > 8, "{i} {kind:?}: {certificate:?} {trace:?}");
            assert!(optimum.identification.is_some_and(|identification| identification.separating.is_empty()));
        }
    }
}

/// Returns x, the level and the class of a row.
type SeparatedRow<'a> = &'a dyn Fn(usize) -> (f64, &'static str, usize);

#[test]
fn separated_classes_are_recognised_and_said() {
    // By x alone, with all rows on the right side; by a level whose rows are all of one class; and
    // one class of three.
    let separations: [(&str, SeparatedRow, bool); 5] = [
        ("x", &|i| (random(i, 0), "b", usize::from(random(i, 0) > 0.1)), true),
        ("a long tail", &|i| ((12.0 * random(i, 0)).exp(), "b", usize::from(random(i, 0) > -0.5)), true),
        (
            "x and a border",
            &|i| {
                let x = (3.0 * random(i, 0)).round();
                (x, "b", if x == 0.0 { i % 2 } else { usize::from(x > 0.0) })
            },
            false,
        ),
        (
            "a level",
            &|i| {
                let level = ["a", "b", "c"][i % 3];
                (random(i, 0), level, if level == "c" { 1 } else { usize::from(random(i, 1) + random(i, 0) > 0.2) })
            },
            false,
        ),
        (
            "a class",
            &|i| {
                let x = random(i, 0);
                (x, "b", if x > 0.5 { 2 } else { usize::from(random(i, 1) > 0.0) })
            },
            false,
        ),
    ];
    for (what, row, is_complete) in separations {
        let mut text = "x,noise,level,y\n".to_owned();
        for i in 0..300 {
            let (x, level, y) = row(i);
            let level = if what == "a level" { level } else { ["a", "b"][(i / 2) % 2] };
            writeln!(text, "{x},{},{level},k{y}", random(i, 7)).expect("a string");
        }
        let rows = rows_of(&text);
        let standardized = Preprocessing::Standardized(rows.moments().expect("moments"));
        let n_classes = if what == "a class" { 3 } else { 2 };
        let kinds: &[ModelKind] =
            if n_classes == 2 { &[ModelKind::Logistic, ModelKind::Softmax] } else { &[ModelKind::Softmax] };
        for &kind in kinds {
            let config = |l2: f64| {
                config(kind, |settings| {
                    settings.descent.solver = Solver::Newton;
                    settings.objective.l2 = l2;
                })
            };
            let (optimum, trace) = newton(&rows, &config(0.0), &standardized, n_classes);
            let case = format!("{what}, {kind:?}: {trace:?} {optimum:?}");
            assert_eq!(optimum.ended, SearchEnd::Separated, "{case}");
            assert!(optimum.certificate.is_none_or(|certificate| !certificate.holds()), "{case}");
            let Identification { separating, is_complete: found, .. } =
                optimum.identification.clone().expect("no penalty");
            assert_eq!(found, is_complete, "{case}");
            let is_level = what == "a level";
            assert!(separating.first().is_some_and(|&feature| (feature >= 2) == is_level && feature != 1), "{case}");
            // A penalty has a minimum at any data.
            let (penalised, _) = newton(&rows, &config(1e-4), &standardized, n_classes);
            assert_eq!((penalised.ended, penalised.identification), (SearchEnd::Converged, None), "{case}");
        }
    }
}

#[test]
fn a_search_resumes_at_each_iteration_and_ends_in_the_same_way() {
    /// Saves each checkpoint, or resumes from one.
    #[derive(Default)]
    struct Checkpoints(Option<Checkpoint>, Vec<Checkpoint>);
    impl Observer for Checkpoints {
        fn resume_from(&mut self) -> Option<Checkpoint> {
            self.0.take()
        }
        fn wants_checkpoint(&mut self, _: usize) -> bool {
            true
        }
        fn save_checkpoint(&mut self, checkpoint: Checkpoint) {
            self.1.push(checkpoint);
        }
    }
    // With a minimum, and with a level whose rows are all of one class.
    for n_of_level in [0, 9] {
        let mut text = "x,level,y\n".to_owned();
        for i in 0..300 {
            let level = if i < n_of_level { "a" } else { ["b", "c"][i % 2] };
            let y = u8::from(i < n_of_level || random(i, 0) + 0.3 * random(i, 1) > 0.2);
            writeln!(text, "{},{level},k{y}", random(i, 0)).expect("a string");
        }
        let rows = rows_of(&text);
        let standardized = Preprocessing::Standardized(rows.moments().expect("moments"));
        let config = config(ModelKind::Logistic, |settings| {
            settings.descent.solver = Solver::Newton;
            settings.objective.l2 = 0.0;
        });
        let packed = FusedRows::for_solver(rows.clone(), &standardized, Precision::F64, Solver::Newton).expect("rows");
        let train = |mut observer: Checkpoints| {
            let link = ModelKind::Logistic.link(2);
            let trained = train_fused(&link, &packed, &packed, &config, NonZero::<usize>::MIN, &mut observer);
            (trained.expect("a training"), observer.1)
        };
        let (expected, checkpoints) = train(Checkpoints::default());
        let ended = expected.certificate.expect("a certificate").ended;
        assert_eq!(ended == SearchEnd::Separated, n_of_level > 0, "{ended:?}");
        assert!(checkpoints.len() > 3);
        for (i, checkpoint) in checkpoints.into_iter().enumerate() {
            let (resumed, _) = train(Checkpoints(Some(checkpoint), Vec::new()));
            assert_eq!(resumed.parameters, expected.parameters, "{ended:?}, checkpoint {i}");
            assert_eq!(resumed.certificate, expected.certificate, "{ended:?}, checkpoint {i}");
            assert_eq!(resumed.identification, expected.identification, "{ended:?}, checkpoint {i}");
        }
    }
}
