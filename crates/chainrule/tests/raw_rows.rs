//! Predictions for structs and maps: the forms of rows and values, and what is wrong with them. The
//! workspace's tests compare them with predictions for files, on real tables.

use std::collections::BTreeMap;

use chainrule::backend::Backend;
use chainrule::core::{LinkKind, Parameters};
use chainrule::data::{RawRowError, Unseen};
use chainrule::solve::RawRowPredictor;
use chainrule::{Estimator, Fitted, Samples};
use serde::Serialize;
use serde_json::{Value, json};

/// A table with a number that may be missing, a complete number, a date, and categories of texts,
/// numbers and truth values.
const TABLE: &str = "\
age,fare,since,city,deck,paid,survived
22,7.25,2026-01-02,Rome,1,true,no
38,71.5,2026-02-03,Oslo,2,false,yes
,8.05,2026-03-04,Rome,1,true,no
35,53.125,2026-04-05,Oslo,2,false,yes
29,8.5,2026-05-06,Rome,1,false,no
54,51.75,2026-06-07,Oslo,2,true,yes
2,21.125,2026-07-08,Bonn,1,true,no
27,11.25,2026-08-09,Bonn,2,false,yes
";

/// Returns a model of the table, read from bytes as a service does.
fn model() -> Fitted {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("people.csv");
    std::fs::write(&file, TABLE).expect("a file");
    let samples = Samples::csv(&file, "survived").expect("samples");
    let estimator = Estimator::logistic().standardize().l2(0.1).to_the_minimum().backend(Backend::Cpu);
    let fitted = estimator.fit(&samples).expect("a fit");
    let bytes = serde_json::to_vec(&fitted).expect("JSON");
    serde_json::from_slice(&bytes).expect("a model")
}

/// Returns the bits of the probabilities and what is unseen for a row of a file.
fn of_file(fitted: &Fitted, header: &str, row: &str) -> Result<(Vec<u64>, Vec<String>), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("row.csv");
    std::fs::write(&file, format!("{header}\n{row}\n")).expect("a file");
    let answer = fitted.predict_file(&file).map_err(|error| error.to_string())?;
    let bits = answer.predictions[0].probabilities.iter().map(|p| p.to_bits()).collect();
    // The first note says how the file was read.
    Ok((bits, answer.notes.into_iter().filter(|note| note.starts_with("column")).collect()))
}

fn of_row(predictor: &RawRowPredictor, row: &impl Serialize) -> Result<(Vec<u64>, Vec<String>), RawRowError> {
    let answer = predictor.predict(row)?;
    let bits = answer.prediction.probabilities.iter().map(|p| p.to_bits()).collect();
    Ok((bits, answer.unseen().iter().filter_map(Unseen::message).collect()))
}

const HEADER: &str = "age,fare,since,city,deck,paid";

#[test]
fn a_row_of_any_form_has_the_bits_of_its_file() {
    #[derive(Serialize)]
    enum City {
        Rome,
    }
    #[derive(Serialize)]
    struct Years(u8);
    #[derive(Serialize)]
    struct Inner {
        deck: i64,
        paid: bool,
    }
    #[derive(Serialize)]
    struct Person<'a> {
        name: &'a str,
        city: City,
        since: &'a str,
        #[serde(flatten)]
        inner: Inner,
        age: Option<Years>,
        fare: f32,
    }
    #[derive(Serialize)]
    struct Sparse {
        fare: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        age: Option<f64>,
        city: Option<char>,
        since: String,
        deck: u128,
        paid: &'static str,
    }

    let fitted = model();
    let predictor = fitted.raw_predictor().expect("a table");
    let check = |csv: &str, row: &dyn ErasedRow| {
        let expected = of_file(&fitted, HEADER, csv).expect(csv);
        assert_eq!(row.answer(predictor).expect(csv), expected, "{csv}");
    };
    let rome = |age| Person {
        name: "Ada",
        city: City::Rome,
        since: "2026-01-02T12:00",
        inner: Inner { deck: 2, paid: false },
        age,
        fare: 0.5,
    };
    check("40,0.5,2026-01-02T12:00,Rome,2,false", &rome(Some(Years(40))));
    check(",0.5,2026-01-02T12:00,Rome,2,false", &rome(None));
    let sparse = Sparse { fare: 8.05, age: None, city: None, since: String::new(), deck: 1, paid: " true " };
    check(",8.05,,,1,true", &sparse);
    let texts = ["40.5", "1e1", "2026/01/02", "Oslo", "2.0", "true"];
    let map: BTreeMap<&str, &str> = HEADER.split(',').zip(texts).collect();
    check(&texts.join(","), &map);
    for (csv, value) in [
        ("1,2,2026-01-02,Rome,1,true", json!([1, 2.0, "2026-01-02", "Rome", 1.0, true])),
        ("NA,2,NULL,?,,-", json!(["NA", 2, "NULL", "?", null, "-"])),
        (",,2026-01-02,Paris,3,yes", json!([null, "", "2026-01-02", "Paris", 3, "yes"])),
        ("-0.0,0,2026-01-02,rome,01,TRUE", json!([-0.0, 0, "2026-01-02", "rome", "01", "TRUE"])),
    ] {
        let names = HEADER.split(',').map(ToOwned::to_owned);
        let row: serde_json::Map<String, Value> = names.zip(value.as_array().expect("a list").clone()).collect();
        check(csv, &Value::Object(row));
    }
    // A missing number is no number, and a NaN is none.
    let nan =
        Sparse { fare: f64::NAN, age: Some(f64::NAN), city: Some('x'), since: "1970-01-01".into(), deck: 7, paid: "" };
    check(",,1970-01-01,x,7,", &nan);
}

/// A row of any type, for a list of them.
trait ErasedRow {
    fn answer(&self, predictor: &RawRowPredictor) -> Result<(Vec<u64>, Vec<String>), RawRowError>;
}

impl<R: Serialize> ErasedRow for R {
    fn answer(&self, predictor: &RawRowPredictor) -> Result<(Vec<u64>, Vec<String>), RawRowError> {
        of_row(predictor, self)
    }
}

#[test]
fn each_row_of_several_has_its_own_error() {
    let fitted = model();
    let predictor = fitted.raw_predictor().expect("a table");
    let good = json!({"age": 1, "fare": 2, "since": "2026-01-02", "city": "Rome", "deck": 1, "paid": true, "id": [7]});
    let with = |key: &str, value: Value| {
        let mut row = good.clone();
        row[key] = value;
        row
    };
    let mut short = good.clone();
    short.as_object_mut().expect("a map").remove("city");
    let rows = [
        good.clone(),
        with("age", json!("forty")),
        with("age", json!(1e31)),
        with("age", json!("0,5")),
        with("since", json!(20_000)),
        with("since", json!("yesterday")),
        with("fare", json!(true)),
        short,
        with("city", json!(["Rome"])),
        with("city", json!({"name": "Rome"})),
        json!(null),
        json!([1, 2]),
        json!("a row"),
        good.clone(),
    ];
    let answers = predictor.predict_rows(&rows);
    assert_eq!(answers.len(), rows.len());
    let messages: Vec<String> =
        answers.iter().map(|answer| answer.as_ref().err().map(ToString::to_string).unwrap_or_default()).collect();
    let expected = [
        "",
        "column \"age\": \"forty\" is not a number",
        "column \"age\": 1e31 is not between",
        "column \"age\": \"0,5\" is not a number",
        "column \"since\": \"20000\" is no ISO date",
        "column \"since\": \"yesterday\" is no ISO date",
        "column \"fare\": \"True\" is not a number",
        "the row has no column \"city\"; the model needs it, and null is a missing value",
        "column \"city\": the value is a list; expected",
        "column \"city\": the value is a map; expected",
        "the row is null; expected a struct, or a map",
        "the row is a list; expected",
        "the row is a text; expected",
        "",
    ];
    for (message, expected) in messages.iter().zip(expected) {
        assert!(message.starts_with(expected) && message.is_empty() == expected.is_empty(), "{message}, {expected}");
        assert!(!message.contains('\n'), "{message}");
    }
    // The errors of values are those of a file.
    for (row, csv) in
        [(1, "forty,2,2026-01-02,Rome,1,True"), (2, "1e31,2,2026-01-02,Rome,1,True"), (5, "1,2,yesterday,Rome,1,True")]
    {
        let refused = of_file(&fitted, HEADER, csv).expect_err(csv);
        assert!(refused.ends_with(&format!(", {}", messages[row])), "{refused}, {}", messages[row]);
    }
    // An error leaves nothing behind for the next row.
    let [first, last] = [0, 13].map(|row: usize| answers[row].as_ref().expect("an answer"));
    let mut reused = chainrule::solve::RawRowPrediction::default();
    for row in rows.iter().chain(&rows) {
        if predictor.predict_into(row, &mut reused).is_ok() {
            assert_eq!((&reused.prediction, reused.unseen()), (&first.prediction, first.unseen()));
        }
    }
    assert_eq!(first.prediction, last.prediction);

    /// A map with any keys.
    struct Pairs<K>(Vec<(K, f64)>);
    impl<K: Serialize> Serialize for Pairs<K> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
        }
    }
    let twice = predictor.predict(&Pairs(vec![("age", 1.0), ("age", 2.0)])).expect_err("a refusal");
    assert_eq!(twice, RawRowError::DuplicateColumn { column: "age".to_owned() });
    let numbers = predictor.predict(&Pairs(vec![(1, 1.0)])).expect_err("a refusal");
    assert!(matches!(numbers, RawRowError::NoRow { .. }), "{numbers}");
}

/// What a service does with a body, on any thread.
fn handle(fitted: &Fitted, body: &[u8]) -> Result<Value, String> {
    let row: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let predictor = fitted.raw_predictor().map_err(|error| error.to_string())?;
    let answer = predictor.predict(&row).map_err(|error| error.to_string())?;
    let unseen: Vec<String> = answer.unseen().iter().filter_map(Unseen::message).collect();
    let class = fitted.classes()[answer.prediction.class].to_string();
    Ok(json!({"class": class, "probabilities": answer.prediction.probabilities, "unseen": unseen}))
}

#[test]
fn many_threads_share_a_model() {
    let fitted = model();
    let body = br#"{"age": null, "fare": 30, "since": "2026-01-02", "city": "Paris", "deck": 2, "paid": false}"#;
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| handle(&fitted, body))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic").expect("an answer")).collect()
    });
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    let unseen = answers[0]["unseen"].to_string();
    assert!(unseen.contains("a level that no training row has, such as \\\"Paris\\\""), "{unseen}");
    assert_eq!(
        handle(&fitted, b"{\"age\": 1").err().as_deref(),
        Some("EOF while parsing an object at line 1 column 9")
    );
}

#[test]
fn rows_without_a_recipe_are_numbers() {
    let weights =
        Parameters { n_features: 3, columns: 2, weight: vec![1.0, 0.0, 0.5, 0.25, -1.0, 2.0], bias: vec![0.0, 0.1] };
    let fitted = Fitted::of_weights(LinkKind::Softmax, weights, &["a", "b"]).expect("a model");
    let fitted = fitted.with_columns(&["x", "y", "z"]).expect("names");
    let row = BTreeMap::from([("z", 3.0), ("x", 1.0), ("y", 2.0)]);
    let answer = fitted.raw_predictor().expect("a table").predict(&row).expect("an answer");
    assert_eq!(answer.prediction, fitted.predictor().predict(&[1.0, 2.0, 3.0]).expect("a prediction"));
    let missing = BTreeMap::from([("x", Some(1.0)), ("y", None), ("z", Some(2.0))]);
    let refused = fitted.raw_predictor().expect("a table").predict(&missing).expect_err("a refusal").to_string();
    assert!(refused.starts_with("column \"y\": a value is missing"), "{refused}");
    // The names are those of the clone that was renamed.
    let renamed = fitted.with_columns(&["u", "v", "w"]).expect("names");
    assert!(renamed.raw_predictor().expect("a table").predict(&row).is_err());

    let images = Estimator::softmax().epochs(1).backend(Backend::Cpu).fit(&Samples::digits(50, 1)).expect("a fit");
    let refused = images.raw_predictor().expect_err("a refusal").to_string();
    assert!(refused.starts_with("the model takes images"), "{refused}");
}

#[test]
fn sparse_rows_are_entries_in_a_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rows.svm");
    std::fs::write(&file, "1 1:0.5 7:2\n2 3:1\n1 1:1\n2 3:2 7:1\n").expect("a file");
    let samples = Samples::csv(&file, "label").expect("samples");
    let fitted = Estimator::logistic().l2(0.1).to_the_minimum().backend(Backend::Cpu).fit(&samples).expect("a fit");
    let predictor = fitted.raw_predictor().expect("a table");
    let column = "features";
    for entries in ["1:0.5 7:2", "3:1", "", "2:5 3:0 9:1"] {
        std::fs::write(&file, format!("1 1:1\n1 {entries}\n")).expect("a file");
        let expected = fitted.predict_file(&file).expect("predictions");
        let answer = predictor.predict(&BTreeMap::from([(column, entries)])).expect(entries);
        assert_eq!(answer.prediction, expected.predictions[1], "{entries:?}");
        let unseen: Vec<String> = answer.unseen().iter().filter_map(Unseen::message).collect();
        assert!(unseen.iter().all(|message| expected.notes.contains(message)), "{unseen:?}");
        assert_eq!(unseen.len(), usize::from(entries.contains("2:5")));
    }
    let nothing = predictor.predict(&BTreeMap::from([(column, None::<&str>)])).expect("no entries");
    assert_eq!(nothing.prediction, predictor.predict(&BTreeMap::from([(column, "")])).expect("none").prediction);
    let refused = predictor.predict(&BTreeMap::from([(column, "7:1 3:1")])).expect_err("a refusal").to_string();
    assert!(refused.contains("the indices of a row must increase"), "{refused}");
}
