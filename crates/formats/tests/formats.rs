//! The list of formats.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use chainrule_core::{LinkKind, Parameters, Precision, Preprocessing, Recipe};
use chainrule_formats::{Format, Hints, ImportError, Model, Portable, Row, Weights};

fn model() -> Portable {
    Portable {
        link: LinkKind::Softmax,
        classes: ["rose", "tulip", "iris"].map(str::to_owned).into(),
        parameters: Parameters { n_features: 1, columns: 3, weight: vec![0.5, -0.5, 0.25], bias: vec![0.0, 1.0, 0.5] },
        precision: Precision::F64,
        preprocessing: Preprocessing::Raw,
        row: Row::Numbers { names: vec!["length".to_owned()] },
        recipe: None,
        about: [].into(),
    }
}

/// A table with a number, a category, and names as the recipe makes them.
fn table() -> Portable {
    let encoding = |json: &str| serde_json::from_str::<Recipe>(json).unwrap();
    let recipe = encoding(
        r#"{"columns": [
            {"name": "size", "kind": "number", "fill": 0.1, "missing_feature": true},
            {"name": "city", "kind": "category", "levels": ["Oslo", "Rome"], "other": true}
        ], "left_out": [{"name": "id", "why": "row-number"}], "missing": ["-99"]}"#,
    );
    let weight: Vec<f64> = (1..16).map(|i| 1.0 / f64::from(i)).collect();
    Portable {
        parameters: Parameters { n_features: 5, columns: 3, weight, bias: vec![0.1, -0.7, 0.2] },
        row: Row::Numbers { names: recipe.feature_names() },
        recipe: Some(recipe),
        ..model()
    }
}

#[test]
fn a_recipe_is_exported_in_words_and_read_back() {
    let table = table();
    let json: serde_json::Value = serde_json::from_slice(&table.to_bytes(Format::Json)).unwrap();
    let words = serde_json::json!([
        r#"Column "size": "size" is the number; where it is missing, 0.1; "size=(missing)" is 1 where it is missing, else 0."#,
        r#"Column "city": "city=Oslo" is 1 for "Oslo"; "city=Rome" is 1 for "Rome"; "city=(other)" is 1 for any other level; a missing value has only zeros; all others are 0."#,
        "A value is missing where it is empty or one of these, unless it is a level: NA N/A n/a <NA> #N/A NaN nan NULL null ? . - -99.",
        r#"Column "id" is left out: it numbers the rows (data.columns keeps a column)."#,
    ]);
    assert_eq!(json["recipe_in_words"], words);
    for format in [Format::Json, Format::Npz, Format::Safetensors] {
        let read = Model::read(&table.to_bytes(format), &Hints::default()).unwrap();
        assert_eq!((read.schema.recipe, read.not_read), (table.recipe.clone(), None), "{format}");
        // Names of the user are those of features, without a recipe.
        let columns = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        let hints = Hints { columns: Some(columns), ..Hints::default() };
        assert_eq!(Model::read(&table.to_bytes(format), &hints).unwrap().schema.recipe, None, "{format}");
    }
}

#[test]
fn a_recipe_that_does_not_fit_is_refused() {
    let check = |from: &str, to: &str, expected: &str| {
        let json = String::from_utf8(table().to_bytes(Format::Json)).unwrap();
        assert!(json.contains(from), "{json}");
        let problem = Model::read(json.replacen(from, to, 1).as_bytes(), &Hints::default()).unwrap_err().to_string();
        assert!(problem.contains(expected) && problem.lines().count() == 1, "{problem}");
    };
    check(r#"["Oslo","Rome"]"#, r#"["Oslo","Paris"]"#, "its features are not those of its recipe");
    check(r#"["Oslo","Rome"]"#, r#"["Oslo"]"#, "its features are not those of its recipe");
    check(r#""fill":0.1"#, r#""fill":1e300"#, r#"fills the column "size" with no number"#);
    check(r#""fill":0.1"#, r#""fill":"0.1""#, "it is no JSON that export wrote");
}

#[test]
fn a_model_that_is_too_large_for_onnx_is_refused() {
    let parameters = Parameters { n_features: 1 << 20, columns: 1 << 10, weight: Vec::new(), bias: Vec::new() };
    let large = Portable { parameters, classes: vec![String::new(); 1 << 10], ..model() };
    let problem = large.problem(Format::Onnx).unwrap();
    let expected =
        "its weights take 8606711808 bytes, and an ONNX file has at most 2147483647; export safetensors or npz instead";
    assert_eq!(problem, expected);
    assert_eq!(Format::ALL.map(|format| table().problem(format)), [None, None, None, None]);
}

#[test]
fn the_extension_may_be_upper_case() {
    for format in Format::ALL {
        let name = format!("model.{format}");
        for name in [name.clone(), name.to_uppercase()] {
            assert_eq!(Format::of_file(Path::new(&name)), Ok(format), "{name}");
        }
        assert!(!format.about().is_empty());
    }
    let unknown = Format::of_file(Path::new("model.pickle")).unwrap_err().to_string();
    assert_eq!(unknown, "the format is known by the ending: .safetensors, .npz, .onnx or .json");
}

#[test]
fn format_names_are_distinct() {
    let mut names = Format::ALL.map(Format::name);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn exported_files_are_recognised() {
    let model = model();
    for format in Format::ALL {
        match (format, Weights::read(&model.to_bytes(format), None)) {
            (Format::Onnx, Err(ImportError::File(problem))) => {
                let expected = "it is of the format onnx, which is exported and not read; save the model as safetensors, npz or json, too";
                assert_eq!(problem, expected);
            }
            (_, read) => assert_eq!(read.unwrap().parameters, model.parameters, "{format}"),
        }
    }
    let problem = Weights::read(b"x,y\n1,2\n", None).unwrap_err().to_string();
    assert!(
        problem.starts_with("no file of weights that is read (safetensors, npz or json); it is a text"),
        "{problem}"
    );
}
