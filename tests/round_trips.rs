//! Models of tables, exported and imported: nothing is lost.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::Path;

use chainrule::backend::Backend;
use chainrule::core::Precision;
use chainrule::formats::{Format, Hints};
use chainrule::{Estimator, Fitted, Samples};
use chainrule_tests_macros::test;
use serde_json::Value;

use crate::command::folder;
use crate::reference_tables::tables_folder;

/// Returns everything that a model has, except its training.
fn content(fitted: &Fitted) -> Value {
    serde_json::to_value(fitted).unwrap()
}

/// Returns the bits of the probabilities of a file's rows.
fn bits(fitted: &Fitted, file: &Path) -> Vec<u64> {
    let predictions = fitted.predict_file(file).unwrap().predictions;
    predictions.iter().flat_map(|prediction| prediction.probabilities.iter().map(|p| p.to_bits())).collect()
}

/// Exports and imports models of a table. Returns how often its samples have as many rows as its
/// file: samples have no rows without a label.
fn check(file: &Path, label: &str) -> usize {
    let samples = Samples::csv(file, label).unwrap().with_positive_last().unwrap();
    let [train, _] = samples.split(0.2, 0).unwrap();
    let usual = Estimator::for_table(&train);
    // scikit-learn has the difference of the weights of a softmax of two classes.
    let softmax = Estimator::softmax().standardize().epochs(1).precision(Precision::F32);
    let mut n_complete = 0;
    for estimator in [usual, softmax] {
        let fitted = estimator.backend(Backend::Cpu).threads(NonZero::<usize>::MIN).fit(&train).unwrap();
        assert!(content(&fitted)["schema"]["recipe"].is_object());
        let expected = bits(&fitted, file);
        // The model applies its own recipe to the raw rows of other samples.
        let of_samples = fitted.predict_proba(&samples).unwrap();
        if of_samples.len() * fitted.classes().len() == expected.len() {
            n_complete += 1;
            assert!(of_samples.iter().flatten().map(|p| p.to_bits()).eq(expected.iter().copied()));
        }
        for format in [Format::Json, Format::Npz, Format::Safetensors] {
            let imported = Fitted::from_bytes(&fitted.to_bytes(format), &Hints::default()).unwrap();
            assert_eq!(content(&imported), content(&fitted), "{} as {format}", file.display());
            assert!(bits(&imported, file) == expected, "{} as {format}", file.display());
        }
    }
    n_complete
}

#[test]
fn an_imported_model_of_a_table_is_the_exported_one() {
    let folder = folder();
    let (penguins, sparse) = (folder.path().join("penguins.csv"), folder.path().join("words.svm"));
    std::fs::write(&penguins, include_str!("../crates/chainrule/examples/penguins.csv")).unwrap();
    let line = |i: usize| format!("{} {}:0.{i} {}:1.5\n", ["-1", "1"][i % 2], 1 + i % 5, 90 + i % 7);
    std::fs::write(&sparse, (0..60).map(line).collect::<String>()).unwrap();
    let n_complete = check(&penguins, "species") + check(&sparse, "label");
    assert!(n_complete >= 2, "{n_complete}");
}

#[test]
fn an_imported_model_of_a_real_table_is_the_exported_one() {
    let folder = tables_folder();
    let text = std::fs::read_to_string(folder.join("reference.json")).unwrap();
    let references: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(references.len(), 12);
    for (name, reference) in &references {
        check(&folder.join(format!("{name}.csv")), reference["label"].as_str().unwrap());
    }
}
