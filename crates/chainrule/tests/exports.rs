//! Models of real tables, exported and imported: nothing is lost.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use chainrule::backend::Backend;
use chainrule::core::Precision;
use chainrule::formats::{Format, Hints};
use chainrule::{Estimator, Fitted, Samples};
use serde_json::Value;

/// Returns the twelve tables with their label columns. A clone without them has none.
#[expect(clippy::print_stdout, reason = "a test that could not run says so")]
fn tables() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tables");
    let Ok(text) = std::fs::read_to_string(folder.join("reference.json")) else {
        println!("skipped: no tables");
        return Vec::new();
    };
    let references: BTreeMap<String, Value> = serde_json::from_str(&text).expect("JSON");
    let label = |reference: &Value| reference["label"].as_str().expect("a label").to_owned();
    references.iter().map(|(name, reference)| (folder.join(format!("{name}.csv")), label(reference))).collect()
}

/// Returns everything that a model has, except its training.
fn content(fitted: &Fitted) -> Value {
    serde_json::to_value(fitted).expect("JSON")
}

/// Returns the bits of the probabilities of a file's rows.
fn bits(fitted: &Fitted, file: &Path) -> Vec<u64> {
    let predictions = fitted.predict_file(file).expect("predictions").predictions;
    predictions.iter().flat_map(|prediction| prediction.probabilities.iter().map(|p| p.to_bits())).collect()
}

#[test]
fn an_imported_model_of_a_table_is_the_exported_one() {
    let penguins = (Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/penguins.csv"), "species".to_owned());
    let folder = tempfile::tempdir().expect("a folder");
    let sparse = folder.path().join("words.svm");
    let line = |i: usize| format!("{} {}:0.{i} {}:1.5\n", ["-1", "1"][i % 2], 1 + i % 5, 90 + i % 7);
    std::fs::write(&sparse, (0..60).map(line).collect::<String>()).expect("a file");
    let mut n_complete = 0;
    for (file, label) in tables().into_iter().chain([penguins, (sparse, "label".to_owned())]) {
        let samples = Samples::csv(&file, &label).expect("a table").with_positive_last().expect("classes");
        let [train, _] = samples.split(0.2, 0).expect("two parts");
        let usual = Estimator::for_table(&train);
        // scikit-learn has the difference of the weights of a softmax of two classes.
        let softmax = Estimator::softmax().standardize().epochs(1).precision(Precision::F32);
        for estimator in [usual, softmax] {
            let estimator = estimator.backend(Backend::Cpu).threads(NonZero::<usize>::MIN);
            let fitted = estimator.fit(&train).expect("a fit");
            assert!(content(&fitted)["schema"]["recipe"].is_object());
            let expected = bits(&fitted, &file);
            // The model applies its own recipe to the raw rows of other samples.
            let of_samples = fitted.predict_proba(&samples).expect("probabilities");
            // Samples have no rows without a label.
            if of_samples.len() * fitted.classes().len() == expected.len() {
                n_complete += 1;
                assert!(of_samples.iter().flatten().map(|p| p.to_bits()).eq(expected.iter().copied()));
            }
            for format in [Format::Json, Format::Npz, Format::Safetensors] {
                let imported = Fitted::from_bytes(&fitted.to_bytes(format), &Hints::default()).expect("a model");
                assert_eq!(content(&imported), content(&fitted), "{} as {format}", file.display());
                assert!(bits(&imported, &file) == expected, "{} as {format}", file.display());
            }
        }
    }
    assert!(n_complete >= 4, "{n_complete}");
}
