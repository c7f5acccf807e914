//! Trainings on tables by the fused kernels, compared with plain loops.

use std::fmt::Write;
use std::num::NonZero;
use std::ops::ControlFlow;

use chainrule_core::{
    Class, ClassWeights, Identification, ModelKind, Parameters, Precision, Preprocessing, SearchEnd, Settings, Solver,
    TextOptions, TrainConfig,
};
use chainrule_data::{RecipeOptions, RecipeSource, RowBuffer, Rows, TableRequest, Tables};
use chainrule_solve::{
    Checkpoint, Ending, FusedRows, GradientSums, Observer, Optimum, Trained, find_optimum, train_by_loops, train_fused,
};

/// Returns irregular numbers from -1 to 1.
fn noise(i: usize, column: usize) -> f64 {
    ((i * 7919 + column * 104_729) as f64 * 0.618_034).sin()
}

/// A table of n rows with numbers that depend on each other, missing values, and two categories.
fn table(n: usize, n_classes: usize) -> Rows {
    let mut text = "a,b,seconds,tiny,huge,c,city,size,y\n".to_owned();
    for i in 0..n {
        let [a, b, c] = [0, 1, 2].map(|column| noise(i, column));
        let b = if i % 11 == 3 { String::new() } else { (a + 0.05 * b).to_string() };
        let seconds = 1_700_000_000.0 + ((i * 31) % 1000) as f64 / 7.0;
        let city = ["Rome", "Oslo", "Lima", "Bonn", "Cork"][i * i % 5];
        let size = if i % 7 == 2 { "" } else { ["S", "M", "L"][i % 3] };
        let y = ((1.5 + a + 0.5 * c + 0.3 * noise(i, 5)) * n_classes as f64 / 3.0) as usize;
        let (tiny, huge) = (1e-170 * noise(i, 6), 1e28 * noise(i, 7));
        writeln!(text, "{a},{b},{seconds},{tiny:e},{huge:e},{c},{city},{size},k{}", y.min(n_classes - 1))
            .expect("a string");
    }
    rows_of(&text)
}

fn request() -> TableRequest {
    TableRequest {
        label: Some("y".to_owned()),
        ignored: Vec::new(),
        group: None,
        text: TextOptions::default(),
        recipe: RecipeSource::Learn(RecipeOptions::default()),
        classes: None,
        holdout: None,
        resident_bytes: 1 << 30,
    }
}

fn config(kind: ModelKind, change: impl FnOnce(&mut Settings)) -> TrainConfig {
    let mut settings = Settings::of(kind);
    if kind == ModelKind::Logistic {
        settings.data.classes = Some(["k1", "k0"].map(|name| Class::Name(name.to_owned())).to_vec());
    }
    settings.objective.l2 = 0.001;
    settings.descent.epochs = 2;
    settings.descent.batch_size = 48;
    settings.descent.learning_rate = 0.1;
    settings.descent.precision = Precision::F64;
    change(&mut settings);
    TrainConfig::try_from(settings).expect("a valid config")
}

fn by_loops(rows: &Rows, config: &TrainConfig, preprocessing: &Preprocessing, k: usize) -> Trained {
    let link = config.model().kind.link(k);
    train_by_loops(&link, rows, rows, preprocessing, config, &mut ()).expect("a training")
}

fn by_kernels(rows: &Rows, config: &TrainConfig, preprocessing: &Preprocessing, k: usize, threads: usize) -> Trained {
    let (precision, solver) = (config.descent().precision, config.descent().solver);
    let rows = FusedRows::for_solver(rows.clone(), preprocessing, precision, solver).expect("rows");
    let (link, threads) = (config.model().kind.link(k), NonZero::new(threads).expect("a thread"));
    train_fused(&link, &rows, &rows, config, threads, &mut ()).expect("a training")
}

fn max_distance(a: &Trained, b: &Trained) -> f64 {
    let numbers = |trained: &Trained| [&trained.parameters.weight[..], &trained.parameters.bias].concat();
    numbers(a).iter().zip(numbers(b)).fold(0.0, |max: f64, (a, b)| max.max((a - b).abs()))
}

#[test]
fn steps_on_tables_are_those_of_plain_loops() {
    for (kind, k) in [(ModelKind::Logistic, 2), (ModelKind::Softmax, 3), (ModelKind::Softmax, 8)] {
        let rows = table(500, k);
        let standardized = Preprocessing::Standardized(rows.moments().expect("moments"));
        let balanced = Some(ClassWeights::Balanced);
        let cases =
            [(None, Precision::F64, 1e-12), (balanced.clone(), Precision::F64, 1e-12), (None, Precision::F32, 1e-5)];
        for (class_weights, precision, bound) in cases {
            let config = config(kind, |settings| {
                settings.objective.class_weights.clone_from(&class_weights);
                settings.descent.precision = precision;
            });
            let loops = by_loops(&rows, &config, &standardized, k);
            for threads in [1, 3] {
                let kernels = by_kernels(&rows, &config, &standardized, k, threads);
                let case = format!("{kind:?}, {k} classes, {class_weights:?}, {precision:?}, {threads} threads");
                assert!(max_distance(&loops, &kernels) < bound, "{case}: {}", max_distance(&loops, &kernels));
                let [a, b] = [&loops, &kernels].map(|trained| trained.final_metrics);
                assert!((a.train_loss / b.train_loss - 1.0).abs() < 10.0 * bound, "{case}: {a:?} {b:?}");
                assert_eq!(a.train_accuracy, b.train_accuracy, "{case}");
                assert_eq!(loops.class_weights, kernels.class_weights, "{case}");
            }
        }
    }
}

#[test]
fn the_minimum_on_a_table_is_certified_in_few_passes() {
    for (kind, k) in [(ModelKind::Logistic, 2), (ModelKind::Softmax, 4)] {
        // A long table is searched on a sample first.
        for n in [2000, 80_000] {
            let rows = table(n, k);
            let standardized = Preprocessing::Standardized(rows.moments().expect("moments"));
            for (class_weights, precision) in
                [(None, Precision::F64), (None, Precision::F32), (Some(ClassWeights::Balanced), Precision::F64)]
            {
                let config = config(kind, |settings| {
                    settings.descent.solver = Solver::Lbfgs;
                    settings.descent.precision = precision;
                    settings.objective.class_weights.clone_from(&class_weights);
                });
                let kernels = by_kernels(&rows, &config, &standardized, k, 2);
                let case = format!("{kind:?}, {k} classes, {n} rows, {precision:?}, {class_weights:?}");
                let certificate = kernels.certificate.expect("a certificate");
                assert!(certificate.holds() && kernels.ending == Ending::Converged, "{case}: {certificate:?}");
                assert!((kernels.history.train_loss[0] - (k as f64).ln()).abs() < 0.7, "{case}");
                if n == 2000 {
                    let loops = by_loops(&rows, &config, &standardized, k).certificate.expect("a certificate");
                    // Plain loops do not whiten the features.
                    let ratio = certificate.gradients as f64 / loops.gradients as f64;
                    assert!(ratio < 0.9, "{case}: {ratio}");
                    let difference = (loops.objective - certificate.objective).abs();
                    assert!(difference < 2e-6, "{case}: {loops:?} {certificate:?}");
                }
            }
        }
    }
}

/// Reads a table with the label y.
fn rows_of(text: &str) -> Rows {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("table.csv");
    std::fs::write(&path, text).expect("a file");
    Tables::read(&path, &request()).expect("a table").parts[0].rows.clone()
}

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
            // The gradient by fixed parameters is 0, too, because other parameters can replace them.
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
                // Without a penalty the scale of the features does not matter, here of Unix seconds.
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
    let mut text = "x,y\n".to_owned();
    for i in 0..400 {
        let x = f64::from(i) - 199.5;
        writeln!(text, "{x},k{}", u8::from((x > 0.0) != (i == 201))).expect("a string");
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
        assert!(certificate.holds() && trace.len() > 8, "{kind:?}: {certificate:?} {trace:?}");
        assert!(optimum.identification.is_some_and(|identification| identification.separating.is_empty()));
    }
}

/// Returns x, the level and the class of a row.
type SeparatedRow<'a> = &'a dyn Fn(usize) -> (f64, &'static str, usize);

#[test]
fn separated_classes_are_recognised_and_said() {
    // By x alone, with all rows on the right side; by a level whose rows are all of one class; and
    // one class of three.
    let separations: [(&str, SeparatedRow, bool); 4] = [
        ("x", &|i| (random(i, 0), "b", usize::from(random(i, 0) > 0.1)), true),
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
