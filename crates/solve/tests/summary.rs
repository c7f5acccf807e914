//! Coefficients and their errors, compared with statsmodels and with plain loops.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::PathBuf;

use chainrule_core::{Class, ModelKind, Parameters, Precision, Preprocessing, Settings, Solver, TrainConfig};
use chainrule_data::{RowBuffer, Rows};
use chainrule_solve::{
    ErrorKind, ErrorSource, EstimateKind, FusedRows, GradientSums, ModelSummary, SummaryError, SummaryModel,
    SummaryOptions, find_optimum, summarize,
};
use serde::Deserialize;

/// What statsmodels says, by class and then by feature, with the constant last.
#[derive(Deserialize)]
struct Reference {
    estimates: Vec<Vec<f64>>,
    errors: Vec<Vec<f64>>,
    z: Vec<Vec<f64>>,
    p: Vec<Vec<f64>>,
    low: Vec<Vec<f64>>,
    high: Vec<Vec<f64>>,
    robust: Vec<Vec<f64>>,
    grouped: Vec<Vec<f64>>,
    log_likelihood: f64,
    constant_log_likelihood: f64,
    llr: [f64; 3],
    aic: f64,
    bic: f64,
    mcfadden: f64,
    variance_inflation: Vec<f64>,
}

#[derive(Deserialize)]
struct References {
    spam: Reference,
    votes: Reference,
    votes_against_n: Reference,
}

/// Rows with their classes and groups.
struct Table {
    rows: Rows,
    classes: Vec<Class>,
    features: Vec<String>,
    groups: Vec<u32>,
}

impl Table {
    /// Reads the rows of a file without missing values in these columns. Without a column of
    /// groups, 20 rows are a group.
    fn read(name: &str, features: &[&str], label: &str, group: Option<&str>) -> Option<Self> {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/tables"));
        let text = std::fs::read_to_string(folder.join(name)).ok()?;
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next()?.split(',').collect();
        let place = |name: &str| header.iter().position(|column| *column == name);
        let columns: Vec<usize> = features.iter().map(|name| place(name)).collect::<Option<_>>()?;
        let label = place(label)?;
        let records = lines.map(|line| line.split(',').collect::<Vec<&str>>());
        let records: Vec<Vec<&str>> =
            records.filter(|record| columns.iter().chain([&label]).all(|&column| !record[column].is_empty())).collect();
        let names = |column: usize| {
            let mut names: Vec<&str> = records.iter().map(|record| record[column]).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let code = |names: &[&str], name: &str| names.iter().position(|other| *other == name);
        let values = records.iter().flat_map(|record| columns.iter().map(|&column| record[column].parse::<f64>()));
        let values: Vec<f64> = values.collect::<Result<_, _>>().ok()?;
        let classes = names(label);
        let labels = records.iter().map(|record| code(&classes, record[label]).map(|class| class as u16));
        let groups = match group {
            None => (0..records.len() as u32).map(|row| row / 20).collect(),
            Some(group) => {
                let (column, groups) = (place(group)?, names(place(group)?));
                records
                    .iter()
                    .map(|record| code(&groups, record[column]).map(|group| group as u32))
                    .collect::<Option<_>>()?
            }
        };
        Some(Self {
            rows: Rows::of_values(features.len(), &values, labels.collect::<Option<_>>()?),
            classes: classes.iter().map(|name| Class::Name((*name).to_owned())).collect(),
            features: features.iter().map(|&name| name.to_owned()).collect(),
            groups,
        })
    }
}

fn threads() -> NonZero<usize> {
    NonZero::new(2).expect("two")
}

/// Trains a model to the minimum.
fn minimum(rows: &Rows, config: &TrainConfig, preprocessing: &Preprocessing, classes: usize) -> Parameters {
    let packed =
        FusedRows::for_solver(rows.clone(), preprocessing, config.descent().precision, config.descent().solver);
    let link = config.model().kind.link(classes);
    find_optimum(&link, config, &packed.expect("rows"), threads(), &mut |_, _| ControlFlow::Continue(()))
        .expect("a minimum")
        .parameters
}

fn model_of(classes: usize) -> ModelKind {
    if classes == 2 { ModelKind::Logistic } else { ModelKind::Softmax }
}

const PLAIN: SummaryOptions<'static> =
    SummaryOptions { level: 0.95, base_class: 0, standardized: false, errors: ErrorSource::Hessian };

fn newton(kind: ModelKind, l2: f64) -> TrainConfig {
    let two = ["k0", "k1"].map(|name| Class::Name(name.to_owned()));
    let mut settings = Settings::of(kind);
    (settings.objective.l2, settings.descent.solver, settings.objective.penalize_bias) = (l2, Solver::Newton, false);
    settings.descent.precision = Precision::F64;
    TrainConfig::try_from(if kind == ModelKind::Logistic { settings.with_classes(&two) } else { settings })
        .expect("a valid config")
}

fn summary_of(
    table: &Table,
    preprocessing: &Preprocessing,
    l2: f64,
    options: &SummaryOptions,
) -> Result<ModelSummary, SummaryError> {
    let Table { rows, classes, features, .. } = table;
    let config = newton(model_of(classes.len()), l2);
    let parameters = minimum(rows, &config, preprocessing, classes.len());
    let model = SummaryModel {
        config: &config,
        parameters: &parameters,
        preprocessing,
        features,
        classes,
        class_weights: None,
    };
    summarize(&model, rows, options, threads())
}

#[track_caller]
fn assert_close(found: f64, expected: f64) {
    // Of numbers far below 1, such as p values, their own size counts.
    let difference = (found - expected).abs() / expected.abs().max(1e-12);
    assert!(difference < 1e-6 || (found - expected).abs() < 1e-9, "{found} and {expected}");
}

fn matches(table: &Table, base_class: usize, reference: &Reference) {
    let standardized = Preprocessing::Standardized(table.rows.moments().expect("moments"));
    for preprocessing in [standardized, Preprocessing::Raw] {
        let options = SummaryOptions { level: 0.9, base_class, ..PLAIN };
        let summary = |errors: ErrorSource| {
            let options = SummaryOptions { errors, ..options };
            summary_of(table, &preprocessing, 0.0, &options).expect("a summary")
        };
        let found = summary(ErrorSource::Hessian);
        assert_eq!((found.estimate, found.rows), (EstimateKind::MaximumLikelihood, table.rows.len()));
        let width = table.features.len() + 1;
        let by_class = |expected: &[Vec<f64>], found: Vec<f64>| {
            assert_eq!(found.len(), expected.len() * width);
            found.iter().zip(expected.iter().flatten()).for_each(|(&found, &expected)| assert_close(found, expected));
        };
        let all = |of: &dyn Fn(&chainrule_solve::Coefficient) -> Option<f64>| -> Vec<f64> {
            found.coefficients.iter().map(|coefficient| of(coefficient).expect("a number")).collect()
        };
        by_class(&reference.estimates, all(&|coefficient| Some(coefficient.estimate)));
        by_class(&reference.errors, all(&|coefficient| coefficient.standard_error));
        by_class(&reference.z, all(&|coefficient| coefficient.z));
        by_class(&reference.p, all(&|coefficient| coefficient.p_value));
        by_class(&reference.low, all(&|coefficient| coefficient.interval.map(|ends| ends[0])));
        by_class(&reference.high, all(&|coefficient| coefficient.interval.map(|ends| ends[1])));
        let first = &found.coefficients[0];
        assert_eq!(first.odds_ratio, Some(first.estimate.exp()));
        assert_eq!(first.odds_ratio_interval, first.interval.map(|ends| ends.map(f64::exp)));

        assert_close(found.log_likelihood, reference.log_likelihood);
        assert_close(found.constant_log_likelihood, reference.constant_log_likelihood);
        assert_close(found.aic.expect("a likelihood"), reference.aic);
        assert_close(found.bic.expect("a likelihood"), reference.bic);
        assert_close(found.mcfadden, reference.mcfadden);
        let test = found.likelihood_ratio.expect("a likelihood");
        let [chi_squared, degrees, p_value] = reference.llr;
        assert_close(test.chi_squared, chi_squared);
        assert_close(test.degrees as f64, degrees);
        assert_close(test.p_value, p_value);
        for (found, &expected) in found.variance_inflation.iter().zip(&reference.variance_inflation) {
            assert_close(found.factor.expect("independent columns"), expected);
        }

        let errors = |summary: &ModelSummary| summary.coefficients.iter().filter_map(|c| c.standard_error).collect();
        let robust = summary(ErrorSource::Sandwich);
        by_class(&reference.robust, errors(&robust));
        let grouped = summary(ErrorSource::Groups(&table.groups));
        by_class(&reference.grouped, errors(&grouped));
        assert!(matches!(grouped.errors, ErrorKind::Groups { .. }));
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "says that the test was skipped")]
fn coefficients_match_statsmodels() {
    let references: References =
        serde_json::from_str(include_str!("fixtures/statsmodels.json")).expect("the fixture has these fields");
    let spam = ["crl.tot", "dollar", "bang", "money", "n000", "make"];
    let Some(table) = Table::read("DAAG-spam7.csv", &spam, "yesno", None) else {
        println!("skipped: no tables");
        return;
    };
    matches(&table, 0, &references.spam);
    let votes = ["population", "age", "income", "statusquo"];
    let table = Table::read("carData-Chile.csv", &votes, "vote", Some("region")).expect("the table");
    assert_eq!(table.classes.len(), 4);
    matches(&table, 0, &references.votes);
    // statsmodels has the base class first, and the others in their order.
    matches(&table, 1, &references.votes_against_n);
}

/// Returns pseudo-random numbers from -1 to 1.
fn random(i: usize, column: usize) -> f64 {
    let mut x = ((i * 64 + column + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 29)) as f64 / 2f64.powi(63) - 1.0
}

/// A table drawn by code, whose last column has a large mean.
fn drawn(n: usize, classes: usize, noise: f64) -> Table {
    let x = |i: usize| [random(i, 0), 3.0 * random(i, 1) + random(i, 0), 1000.0 + random(i, 2)];
    let label = |i: usize| {
        let place = (x(i)[0] + noise * random(i, 3) + 1.0 + noise) / (2.0 * (1.0 + noise));
        ((place * classes as f64) as u16).min(classes as u16 - 1)
    };
    Table {
        rows: Rows::of_values(3, &(0..n).flat_map(x).collect::<Vec<f64>>(), (0..n).map(label).collect()),
        classes: (0..classes).map(|class| Class::Name(format!("k{class}"))).collect(),
        features: ["a", "b", "c"].map(str::to_owned).to_vec(),
        groups: (0..n as u32).map(|row| row % 40).collect(),
    }
}

/// The Hessian of J, by differences of its gradient by plain loops, `[(d + 1) k, (d + 1) k]`.
fn hessian_by_differences(table: &Table, preprocessing: &Preprocessing, at: &Parameters, l2: f64) -> Vec<f64> {
    let link = model_of(table.classes.len()).link(table.classes.len());
    let mut buffer = RowBuffer::default();
    let d = at.n_features;
    let mut features = Vec::new();
    for row in 0..table.rows.len() {
        let raw = table.rows.row(row, &mut buffer).expect("a row");
        features.extend(raw.iter().enumerate().map(|(j, &raw)| preprocessing.value(j, raw)));
    }
    let gradient = |at: &Parameters| {
        let mut sums = GradientSums::new(&*link, at);
        sums.add(&features, table.rows.labels().into_iter().map(|label| (label.into(), 1.0)));
        let mean = sums.mean();
        let weight = mean.weight.iter().zip(&at.weight).map(|(g, w)| g + l2 * w);
        weight.chain(mean.bias).collect::<Vec<f64>>()
    };
    let size = (d + 1) * at.columns;
    let moved = |i: usize, by: f64| {
        let mut at = at.clone();
        let n_weights = at.weight.len();
        *if i < n_weights { &mut at.weight[i] } else { &mut at.bias[i - n_weights] } += by;
        gradient(&at)
    };
    let step = 1e-4;
    let row = |i: usize| {
        let (up, down) = (moved(i, step), moved(i, -step));
        up.into_iter().zip(down).map(|(up, down)| (up - down) / (2.0 * step)).collect::<Vec<f64>>()
    };
    (0..size).flat_map(row).collect()
}

/// Solves `matrix x = b` by elimination.
fn solve(mut matrix: Vec<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let m = b.len();
    for i in 0..m {
        let pivot = (i..m).max_by(|&p, &q| matrix[p * m + i].abs().total_cmp(&matrix[q * m + i].abs())).expect("a row");
        (0..m).for_each(|j| matrix.swap(i * m + j, pivot * m + j));
        b.swap(i, pivot);
        for row in i + 1..m {
            let factor = matrix[row * m + i] / matrix[i * m + i];
            (i..m).for_each(|j| matrix[row * m + j] -= factor * matrix[i * m + j]);
            b[row] -= factor * b[i];
        }
    }
    for i in (0..m).rev() {
        let rest: f64 = (i + 1..m).map(|j| matrix[i * m + j] * b[j]).sum();
        b[i] = (b[i] - rest) / matrix[i * m + i];
    }
    b
}

#[test]
fn with_a_penalty_it_is_a_posterior_of_the_differences_of_classes() {
    let (table, l2, n) = (drawn(400, 3, 1.5), 0.01, 400.0);
    let preprocessing = Preprocessing::Standardized(table.rows.moments().expect("moments"));
    let options = SummaryOptions { base_class: 2, standardized: true, ..PLAIN };
    let summary = summary_of(&table, &preprocessing, l2, &options).expect("a summary");
    let EstimateKind::LaplacePosterior { prior_standard_deviation } = summary.estimate else { panic!("{summary:?}") };
    assert!((prior_standard_deviation - 0.5).abs() < 1e-12);
    assert_eq!((summary.likelihood_ratio, summary.aic, summary.bic), (None, None, None));
    assert!(summary.coefficients.iter().all(|coefficient| coefficient.p_value.is_none()));

    let parameters = minimum(&table.rows, &newton(ModelKind::Softmax, l2), &preprocessing, 3);
    let mut hessian = hessian_by_differences(&table, &preprocessing, &parameters, l2);
    // The biases have no prior, so the same change of all has none. It is held.
    let size = 12;
    (9..size).flat_map(|i| (9..size).map(move |j| i * size + j)).for_each(|i| hessian[i] += 1.0);
    hessian.iter_mut().for_each(|x| *x *= n);
    for (coefficient, [class, feature]) in summary
        .coefficients
        .iter()
        .zip([0, 1].into_iter().flat_map(|class| (0..4).map(move |feature| [class, feature])))
    {
        let mut contrast = vec![0.0; size];
        (contrast[feature * 3 + class], contrast[feature * 3 + 2]) = (1.0, -1.0);
        let solution = solve(hessian.clone(), contrast.clone());
        let variance: f64 = solution.iter().zip(&contrast).map(|(x, c)| x * c).sum();
        let error = coefficient.standard_error.expect("an error");
        assert!((error / variance.sqrt() - 1.0).abs() < 1e-6, "{coefficient:?}: {}", variance.sqrt());
        assert_eq!(coefficient.class, table.classes[class]);
        let all = [&parameters.weight[..], &parameters.bias].concat();
        let estimate: f64 = contrast.iter().zip(&all).map(|(c, w)| c * w).sum();
        assert!((coefficient.estimate - estimate).abs() < 1e-6, "{coefficient:?}: {estimate}");
    }
}

#[test]
fn the_other_base_class_reverses_the_signs_and_units_scale() {
    let table = drawn(300, 2, 2.0);
    let preprocessing = Preprocessing::Standardized(table.rows.moments().expect("moments"));
    let summary = |options: SummaryOptions| summary_of(&table, &preprocessing, 0.0, &options).expect("a summary");
    let (plain, reversed) = (summary(PLAIN), summary(SummaryOptions { base_class: 1, ..PLAIN }));
    let standardized = summary(SummaryOptions { standardized: true, ..PLAIN });
    let deviations = table.rows.moments().expect("moments").scale;
    for (i, own) in plain.coefficients.iter().enumerate() {
        let other = &reversed.coefficients[i];
        assert!((own.estimate + other.estimate).abs() < 1e-9 * own.estimate.abs().max(1.0));
        assert_eq!((&own.class, &other.class), (&table.classes[1], &table.classes[0]));
        let scaled = &standardized.coefficients[i];
        if let Some(deviation) = deviations.get(i) {
            assert!((scaled.estimate / (own.estimate * deviation) - 1.0).abs() < 1e-9, "{own:?} {scaled:?}");
            // The unit changes nothing else.
            assert!(own.z.zip(scaled.z).is_some_and(|(z, other)| (z - other).abs() < 1e-9), "{own:?} {scaled:?}");
        }
    }
}

#[test]
fn what_has_no_errors_is_said() {
    let preprocessing = Preprocessing::Raw;
    let separated = summary_of(&drawn(200, 2, 0.0), &preprocessing, 0.0, &PLAIN);
    assert!(
        matches!(
            separated,
            Err(SummaryError::Separated { .. } | SummaryError::Singular | SummaryError::NotAtMinimum { .. })
        ),
        "{separated:?}"
    );
    assert!(summary_of(&drawn(200, 2, 0.0), &preprocessing, 0.01, &PLAIN).is_ok());
    let few = summary_of(&drawn(4, 2, 0.1), &preprocessing, 0.0, &PLAIN);
    assert!(matches!(few, Err(SummaryError::TooFewRows { rows: 4, parameters: 4 })), "{few:?}");

    let table = drawn(300, 2, 2.0);
    let config = newton(ModelKind::Logistic, 0.0);
    let elsewhere = Parameters { weight: vec![0.5, 0.0, 0.0], ..Parameters::zeros(3, 1) };
    let model = SummaryModel {
        config: &config,
        parameters: &elsewhere,
        preprocessing: &preprocessing,
        features: &table.features,
        classes: &table.classes,
        class_weights: None,
    };
    let error = summarize(&model, &table.rows, &PLAIN, threads()).expect_err("not at the minimum");
    assert!(matches!(error, SummaryError::NotAtMinimum { .. }), "{error}");

    // The third column is a function of the first two, and its weight is not 0.
    let values: Vec<f64> = (0..300).flat_map(|i| [random(i, 0), random(i, 1), random(i, 0) - random(i, 1)]).collect();
    let rows = Rows::of_values(3, &values, table.rows.labels());
    let parameters = Parameters { weight: vec![0.1, 0.1, 0.2], ..Parameters::zeros(3, 1) };
    let error = summarize(&SummaryModel { parameters: &parameters, ..model }, &rows, &PLAIN, threads());
    assert!(matches!(&error, Err(SummaryError::NotIdentified { features }) if features == &["c"]), "{error:?}");
    let fixed = Table { rows, ..table };
    let summary = summary_of(&fixed, &preprocessing, 0.0, &PLAIN).expect("a summary");
    let third = &summary.coefficients[2];
    assert_eq!((third.estimate, third.standard_error), (0.0, None));
    assert_eq!(summary.variance_inflation[2].factor, None);
    assert_eq!(summary.parameters, 3);
}

#[test]
fn rows_of_weight_zero_say_nothing() {
    let table = drawn(400, 3, 2.0);
    let weights: Vec<f64> = (0..400).map(|row| if row % 4 == 0 { 0.0 } else { 1.0 + (row % 3) as f64 }).collect();
    let counted: Vec<usize> = (0..400).filter(|&row| weights[row] > 0.0).collect();
    let of = |rows: Rows, kept: &[usize]| Table {
        rows,
        groups: kept.iter().map(|&row| table.groups[row]).collect(),
        classes: table.classes.clone(),
        features: table.features.clone(),
    };
    let all: Vec<usize> = (0..400).collect();
    let weighted = table.rows.clone().with_weights(weights.clone()).expect("weights");
    let tables = [of(weighted.clone(), &all), of(weighted.select(&counted), &counted)];
    for l2 in [0.0, 0.1] {
        let numbers = |table: &Table, errors: ErrorSource| -> Vec<f64> {
            let options = SummaryOptions { errors, ..PLAIN };
            let summary = summary_of(table, &Preprocessing::Raw, l2, &options).expect("a summary");
            let errors = summary.coefficients.iter().filter_map(|coefficient| coefficient.standard_error);
            errors.chain([summary.rows as f64, summary.log_likelihood, summary.bic.unwrap_or_default()]).collect()
        };
        for how in 0..3 {
            let errors = |table: &Table| match how {
                0 => numbers(table, ErrorSource::Hessian),
                1 => numbers(table, ErrorSource::Sandwich),
                _ => numbers(table, ErrorSource::Groups(&table.groups)),
            };
            let [all, counted] = tables.each_ref().map(errors);
            assert_eq!(counted[counted.len() - 3], 300.0);
            all.iter().zip(&counted).for_each(|(&all, &counted)| assert_close(all, counted));
        }
    }
}

#[test]
fn errors_by_groups_need_groups_and_rows() {
    let by = |table: &Table, groups: &[u32], l2: f64| {
        let options = SummaryOptions { errors: ErrorSource::Groups(groups), ..PLAIN };
        summary_of(table, &Preprocessing::Raw, l2, &options).expect_err("no errors").to_string()
    };
    let message = by(&drawn(100, 2, 2.0), &[7; 100], 0.0);
    assert!(message.contains("found 1 group, 100 rows and 4 coefficients"), "{message}");
    // With a penalty, few rows have an estimate.
    let message = by(&drawn(4, 2, 2.0), &[1, 2, 3, 4], 0.1);
    assert!(message.contains("found 4 groups, 4 rows and 4 coefficients"), "{message}");
}

/// A penalty on the bias keeps the origin of the features, so these are not centred.
#[test]
fn variance_inflation_does_not_depend_on_the_origin() {
    let (table, preprocessing) = (drawn(300, 2, 2.0), Preprocessing::Raw);
    let free = summary_of(&table, &preprocessing, 0.0, &PLAIN).expect("a summary");
    let mut settings = Settings::of(ModelKind::Logistic).with_classes(&table.classes);
    (settings.objective.l2, settings.objective.penalize_bias) = (0.01, true);
    (settings.descent.solver, settings.descent.precision) = (Solver::Newton, Precision::F64);
    let config = TrainConfig::try_from(settings).expect("a valid config");
    let model = SummaryModel {
        config: &config,
        parameters: &minimum(&table.rows, &config, &preprocessing, 2),
        preprocessing: &preprocessing,
        features: &table.features,
        classes: &table.classes,
        class_weights: None,
    };
    let penalised = summarize(&model, &table.rows, &PLAIN, threads()).expect("a summary");
    for (own, other) in free.variance_inflation.iter().zip(&penalised.variance_inflation) {
        let [own, other] = [own, other].map(|inflation| inflation.factor.expect("independent columns"));
        assert!((own / other - 1.0).abs() < 1e-8, "{own} {other}");
    }
}
