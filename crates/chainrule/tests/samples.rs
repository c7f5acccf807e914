//! `Samples`, `Estimator` and `Fitted` as a user's program uses them, without Burn.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod flowers;

use std::num::NonZero;
use std::ops::ControlFlow;

use chainrule::backend::Backend;
use chainrule::core::{Class, ClassWeights, TextOptions};
use chainrule::data::{Counts, Data, RecipeOptions, RecipeSource, Request, TableRequest};
use chainrule::formats::Weights;
use chainrule::solve::{Ending, Observer};
use chainrule::{Error, Estimator, Fitted, Samples};
use flowers::{COLUMNS, assert_error, flowers, table};
use serde_json::json;

fn softmax() -> Estimator {
    on_cpu(Estimator::softmax())
}

fn logistic() -> Estimator {
    on_cpu(Estimator::logistic())
}

fn fitted_to_flowers(samples: &Samples) -> Fitted {
    let [train, validation] = samples.split(0.25, 1).unwrap();
    softmax().standardize().learning_rate(0.5).epochs(30).fit_validated(&train, &validation).unwrap()
}

fn on_cpu(estimator: Estimator) -> Estimator {
    estimator.backend(Backend::Cpu).threads(NonZero::<usize>::MIN)
}

#[test]
fn digits_are_those_of_the_program() {
    let Data { train, .. } =
        chainrule::data::find(&Request::Embedded, Counts { train: 20, validation: 1 }, &mut |_| ()).unwrap();
    let samples = Samples::digits(20, chainrule::data::digits::SEED);
    for row in 0..20 {
        let pixels: Vec<f64> = train.pixels(row).iter().map(|&pixel| pixel.into()).collect();
        assert_eq!((samples.row(row), samples.labels()[row]), (pixels, train.labels()[row].into()));
    }
    assert_ne!(Samples::digits(20, 3).row(0), samples.row(0));
}

#[test]
fn columns_are_matched_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let samples = table(folder.path(), "flowers.csv", &COLUMNS);
    let fitted = fitted_to_flowers(&samples);
    assert!(fitted.score(&samples).unwrap() > 0.9);
    let reordered = table(folder.path(), "turned.csv", &["species", "width", "length", "weight"]);
    assert_eq!(fitted.predict_proba(&reordered).unwrap(), fitted.predict_proba(&samples).unwrap());
    assert_eq!(fitted.evaluate(&reordered).unwrap(), fitted.evaluate(&samples).unwrap());
    // Also in a fit with a separate validation set.
    let of_turned = softmax().standardize().epochs(2).fit_validated(&samples, &reordered).unwrap();
    let training = of_turned.training().unwrap();
    assert!((training.train.loss - training.validation.unwrap().loss).abs() < 1e-12);

    // Without labels, and beside columns that are not numeric.
    std::fs::write(folder.path().join("new.csv"), flowers(&["garden", "weight", "length", "width"])).unwrap();
    let actual = fitted.predict_file(folder.path().join("new.csv")).unwrap().predictions;
    let actual: Vec<Vec<f64>> = actual.into_iter().map(|prediction| prediction.probabilities).collect();
    assert_eq!(actual, fitted.predict_proba(&samples).unwrap());

    let narrow = table(folder.path(), "narrow.csv", &["species", "width", "length"]);
    assert_error(
        fitted.predict(&narrow),
        &["no column \"weight\", which the model needs; the columns are width, length"],
    );
    assert_error(softmax().fit_validated(&samples, &narrow), &["no column \"weight\""]);
    assert_error(fitted.predict_file(folder.path().join("narrow.csv")), &["narrow.csv", "weight"]);
    assert_error(fitted.predict(&Samples::digits(2, 0)), &["images of 28 x 28", "table of 3 columns"]);
}

#[test]
fn what_is_unusual_in_a_table_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let rows: String =
        (0..30).map(|i| format!("{};{};{}\n", i % 7, ["red", "blue"][i % 2], ["u", "v"][i % 2])).collect();
    let samples = Samples::csv(write("train.csv", &format!("a;colour;y\n{rows}1;red;NA\n")), "y").unwrap();
    let expected = ["read as: semicolons", "1 row without a label (\"NA\") is left out"];
    assert_eq!(samples.notes(), expected);
    let fitted = softmax().epochs(2).fit(&samples).unwrap();
    assert_eq!(fitted.notes(&samples).unwrap(), Vec::<String>::new());
    let new = "a,colour,y\n1,green,u\n,red,v\n2,green,u\n";
    let of_file = fitted.predict_file(write("new.csv", new)).unwrap();
    let of_samples = fitted.notes(&Samples::csv(write("labelled.csv", new), "y").unwrap()).unwrap();
    assert_eq!((of_file.predictions.len(), &of_file.notes), (3, &of_samples));
    let [of_a, of_colour] = &of_samples[..] else { panic!("{of_samples:?}") };
    assert!(of_a.contains("1 row has no value") && of_colour.contains("2 rows have a level"), "{of_samples:?}");
}

#[test]
fn an_invalid_row_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let flowers = table(folder.path(), "flowers.csv", &COLUMNS);
    let two = flowers.with_classes(&["iris", "rose"]).unwrap();
    let digits = Samples::digits(40, 0);
    let fitted = [
        (softmax().epochs(1).learning_rate(1e-9).fit(&flowers), "finite numbers up to 1e30"),
        (softmax().epochs(1).standardize().fit(&flowers), "finite numbers up to 1e30"),
        (logistic().epochs(1).standardize().fit(&two), "finite numbers up to 1e30"),
        (softmax().epochs(1).fit(&digits), "numbers from 0 to 255"),
    ];
    for (fitted, expected) in fitted {
        let fitted = fitted.unwrap();
        let (predictor, d) = (fitted.predictor(), fitted.predictor().n_features());
        let row = vec![1.0; d];
        assert!(predictor.predict(&row).unwrap().probabilities.iter().all(|p| p.is_finite()));
        let (logits, evidence) = (predictor.predict(&row).unwrap().logits, predictor.evidence(&row, 1).unwrap());
        assert!((logits[1] - evidence.1 - evidence.0.iter().sum::<f64>()).abs() < 1e-9);
        for length in [0, d - 1, d + 1] {
            let length_of = format!("the row has {length} numbers, and the model takes {d}");
            let row = vec![1.0; length];
            assert_error(predictor.predict(&row).map_err(Error::from), &[&length_of]);
            assert_error(predictor.evidence(&row, 0).map_err(Error::from), &[&length_of]);
        }
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300] {
            let mut row = row.clone();
            row[d - 1] = number;
            let place = format!("number {} of the row (from 0) is {number:?}", d - 1);
            assert_error(predictor.predict(&row).map_err(Error::from), &[&place, expected]);
            assert_error(predictor.evidence(&row, 0).map_err(Error::from), &[&place, expected]);
        }
    }
}

#[test]
fn classes_are_matched_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let samples = table(folder.path(), "flowers.csv", &COLUMNS);
    let fitted = fitted_to_flowers(&samples);
    let names = |classes: &[Class]| classes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(fitted.classes()), ["iris", "poppy", "rose"]);
    let reordered = samples.with_classes(&["rose", "iris", "poppy"]).unwrap();
    assert_eq!(fitted.evaluate(&reordered).unwrap(), fitted.evaluate(&samples).unwrap());
    let some = samples.with_classes(&["poppy"]).unwrap();
    assert_eq!(some.len(), 40);
    let right = fitted.predict(&some).unwrap().iter().filter(|class| class.has_name("poppy")).count();
    assert_eq!(right as f64 / 40.0, fitted.score(&some).unwrap());

    let rows = [[3.0, 2000.0, 0.1]];
    let tulip = Samples::from_rows(&rows, &["tulip"]).unwrap().with_columns(&["length", "weight", "width"]).unwrap();
    assert_eq!(fitted.predict(&tulip).unwrap().len(), 1);
    assert_error(fitted.score(&tulip), &["row 0 is of the class tulip", "iris, poppy, rose"]);
}

#[test]
fn rows_from_memory_equal_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let samples = table(folder.path(), "flowers.csv", &["length", "weight", "width", "species"]);
    let rows: Vec<Vec<f64>> = (0..samples.len()).map(|row| samples.row(row)).collect();
    let labels: Vec<Class> =
        samples.labels().iter().map(|&label| samples.classes()[usize::from(label)].clone()).collect();
    let from_memory = Samples::from_rows(&rows, &labels).unwrap();
    assert_eq!((from_memory.labels(), from_memory.classes()), (samples.labels(), samples.classes()));
    assert_eq!(from_memory.columns(), ["x1", "x2", "x3"]);
    let named = from_memory.with_columns(samples.columns()).unwrap();
    let [of_file, of_memory] = [&samples, &named].map(fitted_to_flowers);
    assert_eq!(of_file.parameters(), of_memory.parameters());
    // Numeric labels are sorted as numbers.
    let numbered = Samples::from_rows(&[[1.0], [2.0], [3.0]], &[10, 9, 100]).unwrap();
    assert_eq!((numbered.labels(), numbered.classes()[0].to_string()), (vec![1, 0, 2], "9".to_owned()));
    assert_eq!(numbered.classes(), [9, 10, 100]);
}

#[test]
fn invalid_rows_are_refused() {
    let none: [[f64; 1]; 0] = [];
    assert_error(Samples::from_rows(&none, &["a"]), &["there is no row"]);
    assert_error(Samples::from_rows(&[[0.0; 0]; 2], &["a", "b"]), &["row 0 has no number"]);
    assert_error(
        Samples::from_rows(&[vec![1.0], vec![1.0, 2.0]], &["a", "b"]),
        &["row 1 has 2 numbers, and row 0 has 1"],
    );
    assert_error(Samples::from_rows(&[[1.0], [2.0]], &["a"]), &["2 rows and 1 label;"]);
    for number in [f64::NAN, f64::INFINITY, -2e30] {
        assert_error(Samples::from_rows(&[[1.0, 0.0], [2.0, number]], &["a", "b"]), &["row 1, number 1"]);
    }
    assert_error(Samples::from_rows(&[[1.0], [2.0]], &["a", ""]), &["row 1: the label is empty"]);
    let many: Vec<usize> = (0..65_536).collect();
    assert_error(Samples::from_rows(&vec![[1.0]; many.len()], &many), &["65536 different labels"]);
}

#[test]
fn invalid_selections_are_refused() {
    let two = Samples::from_rows(&[[1.0], [2.0], [3.0], [4.0]], &["a", "b", "a", "b"]).unwrap();
    assert_error(two.clone().with_columns(&["x", "y"]), &["1 column, and 2 names"]);
    assert_error(two.clone().with_columns(&[""]), &["the name of column 0 is empty"]);
    assert_error(
        Samples::from_rows(&[[1.0, 2.0]], &["a"]).unwrap().with_columns(&["x", "x"]),
        &["two columns are called \"x\""],
    );
    assert_error(Samples::digits(1, 0).with_columns(&["x"]), &["images have no columns"]);
    assert_error(two.with_classes(&["c"]), &["no class \"c\"", "a, b"]);
    assert_error(two.with_classes(&["a", "a"]), &["\"a\" is named twice"]);
    for fraction in [0.0, 1.0, f64::NAN] {
        assert_error(two.split(fraction, 0), &["between 0 and 1"]);
    }
    let single = Samples::from_rows(&[[1.0], [2.0], [3.0]], &["a", "b", "a"]).unwrap();
    assert_error(single.split(0.5, 0), &["the class b has a single row"]);
}

#[test]
fn unsuitable_samples_are_refused() {
    let two = Samples::from_rows(&[[1.0], [2.0], [3.0], [4.0]], &["a", "b", "a", "b"]).unwrap();
    let three = Samples::from_rows(&[[1.0], [2.0], [3.0]], &["a", "b", "c"]).unwrap();
    assert_error(
        logistic().fit(&three),
        &["3 classes (a, b, c)", "logistic regression tells two apart", "with_classes"],
    );
    let one = two.with_classes(&["a"]).unwrap();
    assert_error(softmax().fit(&one), &["1 class (a)", "softmax"]);
    assert_error(softmax().fit_validated(&two, &three), &["row 2 is of the class c"]);
    let nothing = two.with_classes(&[] as &[&str]).unwrap();
    assert!(nothing.is_empty());
    assert_error(softmax().fit_validated(&nothing, &two), &["no row to learn from"]);
    assert_error(softmax().fit_validated(&two, &nothing), &["no validation row"]);
    assert_error(softmax().fit(&two).unwrap().score(&nothing), &["no row to judge"]);
}

#[test]
fn errors_of_settings_name_the_key() {
    let two = Samples::from_rows(&[[1.0], [2.0]], &["a", "b"]).unwrap();
    assert_error(softmax().learning_rate(1e30).fit(&two), &["descent.learning_rate = 1e+30"]);
    assert_error(softmax().learning_rate(-1.0).fit(&two), &["descent.learning_rate = -1"]);
    assert_error(softmax().l2(f64::NAN).fit(&two), &["objective.l2 = not a finite number: expected a number from 0"]);
    assert_error(
        softmax().patience(0).fit_validated(&two, &two),
        &["early_stopping.patience = 0: expected a whole number from 1"],
    );
    assert_error(
        softmax().with(|all| all.data.label = Some("x".to_owned())).fit(&two),
        &["what is trained on are the samples"],
    );
    // A list would be ambiguous: the samples and a config order these classes differently.
    let list = logistic().with(|all| all.objective.class_weights = Some(ClassWeights::PerClass(vec![1.0, 3.0])));
    assert_error(list.fit(&two), &["use names: { a = 3.0, b = 1.0 }, or { a = 1.0, b = 3.0 }"]);
    let unknown = softmax().class_weights([("A", 2.0)]);
    assert_error(unknown.fit(&two), &["objective.class_weights: there is no class A; the data has a, b"]);
    assert_error(softmax().batch_size(3).drop_last().fit(&two), &["descent.batch_size = 3", "only 2 training rows"]);
    assert_error(softmax().backend("remote:nowhere:1".parse().unwrap()).fit(&two), &["remote"]);
}

#[test]
fn a_row_of_weight_w_counts_as_w_rows() {
    let rows: Vec<[f64; 2]> = (0..40).map(|i| [(i * 7 % 13) as f64 / 6.0, (i * 5 % 11) as f64 / 5.0]).collect();
    let labels: Vec<&str> = (0..40).map(|i| ["a", "b", "c"][(i * i + i / 3) % 3]).collect();
    // The first row has the weight 0.
    let weights: Vec<usize> = (0..40).map(|i| i * 3 % 4).collect();
    let samples = Samples::from_rows(&rows, &labels).unwrap();
    let weighted = samples.clone().with_weights(weights.iter().map(|&w| w as f64).collect()).unwrap();
    let of_rows = |i: usize| std::iter::repeat_n((rows[i], labels[i]), weights[i]);
    let repeated = Samples::from_pairs((0..40).flat_map(of_rows)).unwrap();
    let estimator = softmax().l2(0.01).to_the_minimum();
    let loss = |train: &Samples<&str>| estimator.fit(train).unwrap().evaluate(&repeated).unwrap().loss;
    assert!((loss(&weighted) - loss(&repeated)).abs() < 1e-4 && (loss(&samples) - loss(&repeated)).abs() > 1e-3);
    // Selections keep the weights, and steps on a batch use them.
    let [train, validation] = weighted.split(0.25, 1).unwrap();
    let [plain, _] = samples.split(0.25, 1).unwrap();
    let by_steps = [&train, &plain].map(|train| softmax().fit_validated(train, &validation).unwrap());
    assert_ne!(by_steps[0].parameters(), by_steps[1].parameters());
    let more = [&weighted, &samples].map(|more| softmax().partial_fit(&by_steps[1], more).unwrap());
    assert_ne!(more[0].parameters(), more[1].parameters());
    assert_error(samples.clone().with_weights(vec![1.0]), &["40 rows and 1 weight; each row has one"]);
    assert_error(samples.clone().with_weights(vec![0.0; 40]), &["all 40 rows have the weight 0"]);
    assert_error(samples.with_weights(vec![-1.0; 40]), &["row 0: expected a weight", "found -1"]);
    assert_error(Samples::digits(3, 0).with_weights(vec![1.0; 3]), &["images have no weights"]);
}

#[test]
fn a_table_respects_its_memory_limit() {
    let folder = tempfile::tempdir().unwrap();
    table(folder.path(), "flowers.csv", &COLUMNS);
    let request = TableRequest {
        label: Some("species".to_owned()),
        ignored: Vec::new(),
        group: None,
        weight: None,
        text: TextOptions::default(),
        recipe: RecipeSource::Learn(RecipeOptions::default()),
        classes: None,
        holdout: None,
        resident_bytes: 1000,
        scratch: None,
    };
    assert_error(Samples::tables(folder.path().join("flowers.csv"), &request), &["flowers.csv", "1000"]);
    let [train, validation] =
        Samples::tables(folder.path().join("flowers.csv"), &TableRequest { resident_bytes: 50_000, ..request })
            .unwrap();
    assert_eq!([train.len(), validation.len()], [120, 120]);
    assert_error(Samples::csv(folder.path().join("flowers.csv"), "colour"), &["no column \"colour\" for the label"]);
    assert_error(Samples::csv(folder.path(), "species"), &["a folder", "Samples::tables"]);
    assert_error(
        Samples::load(folder.path().join("flowers.csv").to_str().unwrap()),
        &["Samples::csv", "length, weight"],
    );
    assert_error(Samples::load(folder.path().join("nothing").to_str().unwrap()), &["nothing"]);
}

#[test]
fn the_extension_selects_the_export_format() {
    let folder = tempfile::tempdir().unwrap();
    let samples = table(folder.path(), "flowers.csv", &COLUMNS);
    let fitted = fitted_to_flowers(&samples);
    for ending in ["safetensors", "npz", "onnx", "json"] {
        let file = folder.path().join(format!("own.{ending}"));
        fitted.export(&file).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        match ending {
            "safetensors" | "npz" => {
                let weights = Weights::read(&bytes, None).unwrap();
                assert_eq!(&weights.parameters, fitted.parameters(), "{ending}");
            }
            "json" => {
                let object: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                assert_eq!(object["classes"], json!(["iris", "poppy", "rose"]));
                assert_eq!(object["about"]["data"], json!(folder.path().join("flowers.csv").display().to_string()));
            }
            _ => assert!(text_in(&bytes, "probabilities") && text_in(&bytes, "poppy")),
        }
    }
    assert_error(
        fitted.export(folder.path().join("own.pickle")),
        &["own.pickle", ".safetensors, .npz, .onnx or .json"],
    );
    assert!(!folder.path().join("own.pickle").exists());
}

fn text_in(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn an_observer_sees_each_step_and_can_stop_training() {
    struct Impatient(usize);
    impl Observer for Impatient {
        fn on_step(&mut self, _: usize) -> ControlFlow<()> {
            self.0 += 1;
            if self.0 == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    let [train, validation] = Samples::digits(300, 1).split(0.2, 0).unwrap();
    let mut impatient = Impatient(0);
    let fitted = softmax().batch_size(20).fit_observed(&train, &validation, &mut impatient).unwrap();
    let training = fitted.training().unwrap();
    assert_eq!((impatient.0, training.steps, training.ending), (7, 7, Ending::Interrupted));
    assert_eq!(training.history.train_loss.len(), 7);
}

#[test]
fn the_minimum_is_certified() {
    let folder = tempfile::tempdir().unwrap();
    let [train, validation] = table(folder.path(), "flowers.csv", &COLUMNS).split(0.25, 1).unwrap();
    let fitted = softmax().standardize().l2(0.01).to_the_minimum().fit_validated(&train, &validation).unwrap();
    let training = fitted.training().unwrap();
    assert_eq!(training.ending, Ending::Converged);
    assert!(training.certificate.unwrap().holds());
}
