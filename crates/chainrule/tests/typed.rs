//! The types of the library: labels of any type, rows in memory in any form, models from weights
//! and values, and errors with kind, cause and place.

use std::error::Error as _;
use std::fmt;
use std::io::ErrorKind;
use std::ops::ControlFlow;

use chainrule::backend::Backend;
use chainrule::core::{Class, LinkKind, Parameters, Precision, Solver};
use chainrule::solve::{Ending, Progress};
use chainrule::{Error, Estimator, Fitted, Samples, SamplesError};

fn softmax() -> Estimator {
    Estimator::softmax().backend(Backend::Cpu)
}

/// Returns rows in three places, and the place of each row.
fn rows() -> (Vec<[f64; 2]>, Vec<Place>) {
    let places = [Place::Sea, Place::Hill, Place::Town];
    (0..90)
        .map(|i| {
            let (x, k) = (f64::from(i), i as usize % 3);
            let centre = [[0.0, 3.0], [3.0, 0.0], [-3.0, -3.0]][k];
            ([centre[0] + (7.0 * x).sin(), centre[1] + (5.0 * x).cos()], places[k])
        })
        .unzip()
}

/// A label that is not a string.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Sea,
    Hill,
    Town,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sea => "sea",
            Self::Hill => "hill",
            Self::Town => "town",
        })
    }
}

#[test]
fn labels_keep_their_type() {
    let (rows, places) = rows();
    let samples = Samples::from_rows(&rows, &places).expect("samples");
    let fitted = softmax().learning_rate(0.5).fit(&samples).expect("a model");
    // Sorted by their text.
    assert_eq!(fitted.classes(), [Place::Hill, Place::Sea, Place::Town]);
    assert_eq!(fitted.predict(&samples).expect("predictions"), places);
    let numbers: Vec<i64> = places.iter().map(|place| -7 * *place as i64).collect();
    let samples = Samples::from_rows(&rows, &numbers).expect("samples");
    let fitted = softmax().learning_rate(0.5).fit(&samples).expect("a model");
    assert_eq!(fitted.classes(), [-14, -7, 0]);
    assert_eq!(fitted.predict(&samples).expect("predictions"), numbers);
}

#[test]
fn unlabelled_rows_are_predicted_in_every_form() {
    let (rows, places) = rows();
    let fitted = softmax().fit(&Samples::from_rows(&rows, &places).expect("samples")).expect("a model");
    let expected = fitted.predict_proba(&Samples::rows(&rows).expect("rows")).expect("probabilities");
    let flat: Vec<f64> = rows.concat();
    let narrow: Vec<f32> = flat.iter().map(|&x| x as f32).collect();
    let from_iterator = Samples::rows(flat.chunks(2)).expect("rows");
    for samples in [Samples::flat(&flat, 2).expect("rows"), from_iterator] {
        assert_eq!(fitted.predict_proba(&samples).expect("probabilities"), expected);
    }
    let of_f32 = fitted.predict_proba(&Samples::flat(&narrow, 2).expect("rows")).expect("probabilities");
    let max_distance =
        of_f32.concat().iter().zip(expected.concat()).fold(0.0, |far: f64, (a, b)| far.max((a - b).abs()));
    assert!(max_distance < 1e-6, "{max_distance}");
    let pairs = rows.iter().zip(&places).map(|(row, place)| (*row, *place));
    let from_pairs = Samples::from_pairs(pairs).expect("samples");
    assert_eq!(fitted.score(&from_pairs).expect("a score"), 1.0);
}

#[cfg(feature = "arrays")]
#[test]
fn samples_are_built_from_matrix_rows() {
    let (rows, places) = rows();
    let matrix = ndarray::Array2::from_shape_vec((90, 2), rows.concat()).expect("a matrix");
    let fitted = softmax().fit(&Samples::from_rows(&rows, &places).expect("samples")).expect("a model");
    // A column-major layout is the same matrix.
    let turned = matrix.t().as_standard_layout().into_owned();
    for view in [matrix.view(), turned.t()] {
        let samples = Samples::array(view).expect("rows");
        assert_eq!(fitted.predict(&samples).expect("predictions"), places);
    }
}

#[test]
fn images_from_memory_equal_files() {
    let drawn = Samples::digits(60, 3);
    let pixels: Vec<u8> = (0..60).flat_map(|row| drawn.row(row)).map(|pixel| pixel as u8).collect();
    let labels: Vec<u16> = drawn.labels();
    let samples = Samples::images(&pixels, [28, 28]).and_then(|samples| samples.with_labels(&labels)).expect("samples");
    let [from_memory, from_files] = [softmax().epochs(2).fit(&samples).map(|fitted| fitted.parameters().clone()), {
        softmax().epochs(2).fit(&drawn).map(|fitted| fitted.parameters().clone())
    }];
    assert_eq!(from_memory.expect("a model"), from_files.expect("a model"));
}

#[test]
fn a_fit_needs_no_validation_rows() {
    let (rows, places) = rows();
    let [train, validation] = Samples::from_rows(&rows, &places).expect("samples").split(0.2, 0).expect("parts");
    for estimator in [softmax().epochs(5), softmax().l2(0.1).to_the_minimum()] {
        let alone = estimator.fit(&train).expect("a model");
        let validated = estimator.fit_validated(&train, &validation).expect("a model");
        assert_eq!(alone.parameters(), validated.parameters());
        let [alone, validated] = [&alone, &validated].map(|fitted| fitted.training().expect("a training"));
        assert_eq!((alone.train, alone.validation), (validated.train, None));
        assert!(alone.history.evaluations.is_empty() && alone.best.is_none());
        assert!(validated.validation.is_some() && validated.best.is_some());
    }
    let refused = softmax().patience(3).fit(&train).expect_err("a refusal").to_string();
    assert!(refused.contains("early_stopping.patience = 3: it asks for samples to validate on"), "{refused}");
}

#[test]
fn partial_fit_over_batches_equals_one_training() {
    let (rows, places) = rows();
    let samples = Samples::from_rows(&rows, &places).expect("samples");
    // One pass over all rows in order equals a pass over the first part and then one over the
    // second.
    let in_order = |settings: &mut chainrule::core::Settings| {
        settings.descent.shuffle.generator = chainrule::core::Generator::None;
    };
    let estimator = softmax().learning_rate(0.1).batch_size(15).epochs(1).with(in_order);
    let whole = estimator.fit(&samples).expect("a model");
    let part =
        |range: std::ops::Range<usize>| Samples::from_rows(&rows[range.clone()], &places[range]).expect("samples");
    let first = estimator.fit(&part(0..45)).expect("a model");
    let both = estimator.partial_fit(&first, &part(45..90)).expect("a model");
    assert_eq!(both.parameters(), whole.parameters());
    assert_ne!(both.parameters(), first.parameters());

    // A batch may lack a class, and any weights can be the start.
    let sea: Vec<[f64; 2]> = rows.iter().step_by(3).copied().collect();
    let of_sea = Samples::from_rows(&sea, &vec![Place::Sea; sea.len()]).expect("samples");
    let zeros = Parameters::zeros(2, 3);
    let classes = [Place::Sea, Place::Hill, Place::Town];
    let begun = Fitted::of_weights(LinkKind::Softmax, zeros, &classes).expect("a model");
    let more = estimator.partial_fit(&begun, &of_sea).expect("a model");
    assert_eq!(more.classes(), classes);
    assert!(more.evaluate(&of_sea).expect("metrics").loss < 3f64.ln());

    let logistic = Estimator::logistic().backend(Backend::Cpu);
    let two = samples.with_classes(&["sea", "hill"]).expect("samples");
    let refused = logistic.partial_fit(&begun, &two).expect_err("a refusal");
    assert!(refused.to_string().contains("logistic") || refused.to_string().contains("model.kind"), "{refused}");
    let to_the_minimum = softmax().l2(0.1).to_the_minimum().partial_fit(&begun, &of_sea).expect_err("a refusal");
    assert!(to_the_minimum.to_string().contains("descent.solver"), "{to_the_minimum}");
}

#[test]
fn a_model_round_trips_through_serde() {
    let (rows, places) = rows();
    let samples = Samples::from_rows(&rows, &places).expect("samples");
    let fitted = softmax().standardize().fit(&samples).expect("a model");
    let text = serde_json::to_string(&fitted).expect("JSON");
    let read: Fitted = serde_json::from_str(&text).expect("a model");
    assert_eq!(read.classes(), ["hill", "sea", "town"].map(|name| Class::Name(name.to_owned())));
    assert_eq!(read.predict_proba(&samples).expect("p"), fitted.predict_proba(&samples).expect("p"));
    // An inconsistent model is refused.
    let other = text.replace("\"n_features\":2", "\"n_features\":3");
    assert_ne!(other, text);
    assert!(serde_json::from_str::<Fitted>(&other).is_err());
}

#[test]
fn invalid_weights_are_refused() {
    let weights = |n_features, columns| Parameters::zeros(n_features, columns);
    let names =
        |classes: &[&str], columns| Fitted::of_weights(LinkKind::Softmax, weights(2, columns), classes).map(|_| ());
    assert!(names(&["a", "b", "c"], 3).is_ok());
    for (refused, expected) in [
        (names(&["a", "b"], 3), "6 weights and 3 bias numbers; 2 classes take 2 x 2 and 2"),
        (names(&["a", "a"], 2), "the class a is named twice"),
        (Fitted::of_weights(LinkKind::Logistic, weights(2, 1), &["a", "b", "c"]).map(|_| ()), "3 classes take 2 x 1"),
    ] {
        let refused = refused.expect_err("a refusal").to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn a_closure_can_observe_and_stop_training() {
    let (rows, places) = rows();
    let samples = Samples::from_rows(&rows, &places).expect("samples");
    let (mut steps, mut losses) = (0, Vec::new());
    let mut observer = |progress: Progress| {
        match progress {
            Progress::Step(step) => steps = step + 1,
            Progress::Evaluation(evaluation) => losses.push(evaluation.validation_loss),
            _ => {}
        }
        if steps == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let estimator = softmax().batch_size(30).epochs(100);
    let fitted = estimator.fit_observed(&samples, &samples, &mut observer).expect("a model");
    assert_eq!((steps, fitted.training().map(|training| training.steps)), (7, Some(7)));
    assert_eq!(losses.len(), 3);
    assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
}

#[test]
fn an_invalid_setting_names_its_source_line() {
    let (rows, places) = rows();
    let samples = Samples::from_rows(&rows, &places).expect("samples");
    let line = line!() + 1;
    let estimator = softmax().l2(-1.0);
    let refused = estimator.epochs(3).fit(&samples).expect_err("a refusal");
    let Error::Setting { place: Some(place), value, error } = &refused else { panic!("{refused}") };
    assert_eq!((error.key, value.as_str(), place.line()), ("objective.l2", "-1.0", line));
    assert!(refused.to_string().starts_with(&format!("{}:{line}: objective.l2 = -1.0: ", file!())), "{refused}");

    // Also for a value that is not a number, and for a closure.
    let line = line!() + 1;
    let refused = softmax().learning_rate(f64::NAN).fit(&samples).expect_err("a refusal");
    assert!(refused.to_string().starts_with(&format!("{}:{line}: descent.learning_rate", file!())), "{refused}");
    let solver = softmax().with(|settings| settings.descent.solver = Solver::Lbfgs);
    let line = line!() + 1;
    let solver = solver.with(|settings| settings.optimum.memory = 0);
    let refused = solver.l2(0.1).fit(&samples).expect_err("a refusal");
    assert!(refused.to_string().starts_with(&format!("{}:{line}: optimum.memory = 0", file!())), "{refused}");
}

#[test]
fn errors_have_kinds_and_causes() {
    let (rows, places) = rows();
    let ragged = Samples::rows(vec![vec![1.0, 2.0], vec![1.0]]).expect_err("a refusal");
    assert!(matches!(ragged, Error::Samples(SamplesError::RowLength { row: 1, found: 1, expected: 2 })), "{ragged}");
    let nan = Samples::flat(&[1.0, f64::NAN], 1).expect_err("a refusal");
    assert!(matches!(nan, Error::Samples(SamplesError::Number { row: 1, column: 0, .. })), "{nan}");
    let cut = Samples::flat(&[1.0, 2.0, 3.0], 2).expect_err("a refusal");
    assert_eq!(cut.to_string(), "row 1 has 1 number, and row 0 has 2");
    let labels = Samples::rows(&rows).and_then(|samples| samples.with_labels(&places[1..])).expect_err("a refusal");
    assert!(matches!(labels, Error::Samples(SamplesError::Labels { rows: 90, labels: 89 })), "{labels}");
    let cut = Samples::images(&[0; 5], [2, 2]).expect_err("a refusal");
    assert_eq!(cut.to_string(), "row 1 has 1 number, and row 0 has 4");
    for nothing in [Samples::flat::<f64>(&[], 2), Samples::images(&[], [2, 2])] {
        assert!(matches!(nothing, Err(Error::Samples(SamplesError::NoRow))));
    }

    let fitted = softmax().fit(&Samples::from_rows(&rows, &places).expect("samples")).expect("a model");
    let folder = tempfile::tempdir().expect("a folder");
    let unreadable = fitted.predict_file(folder.path()).expect_err("a refusal");
    assert!(matches!(unreadable, Error::Samples(SamplesError::File { .. })), "{unreadable}");
    let missing = Samples::csv(folder.path().join("gone.csv"), "y").expect_err("a refusal");
    let mut cause = missing.source();
    while let Some(deeper) = cause.and_then(|error| error.source()) {
        cause = Some(deeper);
    }
    let kind = cause.and_then(|error| error.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::NotFound), "{missing}");
}

#[test]
fn without_a_penalty_the_minimum_is_found_by_newtons_method() {
    let random = |i: usize| {
        let x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x ^ (x >> 29)) as f64 / 2f64.powi(63) - 1.0
    };
    // Three classes that overlap. The last feature is the sum of the first two.
    let row = |i: usize| [random(8 * i), random(8 * i + 1), random(8 * i) + random(8 * i + 1)];
    let rows: Vec<[f64; 3]> = (0..1000).map(row).collect();
    let score = |i: usize| rows[i][2] + 2.0 * random(8 * i + 7);
    let labels: Vec<u32> = (0..1000).map(|i| u32::from(score(i) > -0.5) + u32::from(score(i) > 0.5)).collect();
    let samples = Samples::from_rows(&rows, &labels).expect("samples");
    let estimator = Estimator::softmax().backend(Backend::Cpu).to_the_minimum();
    let of_images = estimator.fit(&Samples::digits(100, 1)).expect_err("a refusal").to_string();
    assert!(of_images.contains("objective.l2 = 0") && of_images.contains("newton"), "{of_images}");

    let fitted = estimator.precision(Precision::F64).fit(&samples).expect("a model");
    let training = fitted.training().expect("trained");
    assert_eq!((training.config.descent().solver, training.ending), (Solver::Newton, Ending::Converged));
    assert!(training.certificate.is_some_and(|certificate| certificate.holds()));
    let identification = training.identification.as_ref().expect("no penalty");
    assert_eq!(
        (&identification.base_class, &identification.dependent[..]),
        (&Some(Class::Name("0".to_owned())), &["x3".to_owned()][..])
    );
    assert!(fitted.parameters().weights_of_class(0).iter().all(|&w| w == 0.0));
    assert_eq!(fitted.parameters().weights_of_class(2)[2], 0.0);
}

/// Rows of Arrow are found by name and predicted like those of memory, by any number of threads.
#[cfg(feature = "arrow")]
#[test]
fn record_batches_have_the_predictions_of_rows() {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float32Array, Float64Array, Int8Array, RecordBatch, RecordBatchIterator, StringArray};

    let (rows, places) = rows();
    let samples = Samples::from_rows(&rows, &places).expect("samples");
    let fitted = softmax().learning_rate(0.5).fit(&samples).expect("a model");
    let column = |j: usize| rows.iter().map(move |row| row[j]);
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows.len()).map(|i| format!("row {i}"))));
    let columns = [("id", ids), ("x2", Arc::new(Float64Array::from_iter_values(column(1))) as _)];
    let batch = RecordBatch::try_from_iter(
        columns.into_iter().chain([("x1", Arc::new(Float64Array::from_iter_values(column(0))) as ArrayRef)]),
    );
    let batch = batch.expect("a batch");
    let schema = batch.schema();
    std::thread::scope(|scope| {
        for n_rows in [90, 7, 1] {
            let (fitted, batch, schema, rows, places) = (&fitted, &batch, schema.clone(), &rows, &places);
            scope.spawn(move || {
                let parts = (0..90).step_by(n_rows).map(|start| Ok(batch.slice(start, n_rows.min(90 - start))));
                let batches = RecordBatchIterator::new(parts.collect::<Vec<_>>(), schema);
                let answers = fitted.predict_record_batches(batches, &["id"]).expect("the columns are there");
                let answers: Vec<_> = answers.collect::<Result<_, _>>().expect("answers");
                let answers: Vec<_> = answers.iter().flat_map(chainrule::solve::Answers::iter).collect();
                assert_eq!(answers.len(), 90);
                for (i, answer) in answers.iter().enumerate() {
                    let prediction = answer.prediction.expect("a prediction");
                    assert_eq!(fitted.classes()[prediction.class], places[i]);
                    let mut probabilities = [0.0; 3];
                    prediction.write_probabilities(&mut probabilities);
                    let alone = fitted.predictor().predict(&rows[i]).expect("a prediction");
                    assert_eq!(alone.probabilities, probabilities);
                    assert_eq!(answer.kept().collect::<Vec<_>>(), [format!("row {i}")]);
                }
            });
        }
    });
    // What does not fit is named.
    let batch =
        RecordBatch::try_from_iter([("x1", Arc::new(Float32Array::from(vec![1.0])) as ArrayRef)]).expect("batch");
    let schema = batch.schema();
    let error = fitted.predict_record_batches(RecordBatchIterator::new([Ok(batch)], schema), &[]).err();
    let error = error.expect("a column is missing").to_string();
    assert!(error.starts_with("the record batches: ") && error.contains("no column x2"), "{error}");
    let whole: ArrayRef = Arc::new(Int8Array::from(vec![None, Some(2)]));
    let batch = RecordBatch::try_from_iter([("x1", whole.clone()), ("x2", whole)]).expect("batch");
    let schema = batch.schema();
    let answers = fitted.predict_record_batches(RecordBatchIterator::new([Ok(batch)], schema), &[]).expect("answers");
    let answers = answers.collect::<Result<Vec<_>, _>>().expect("answers");
    let answers: Vec<_> = answers[0].iter().map(|answer| (answer.line(), answer.prediction.err())).collect();
    assert_eq!(answers, [(1, Some("column \"x1\": a value is missing")), (2, None)]);
}
