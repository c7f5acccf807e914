//! The list of formats.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use chainrule_core::{LinkKind, Parameters, Precision, Preprocessing};
use chainrule_formats::{Format, ImportError, Portable, Row, Weights};

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
