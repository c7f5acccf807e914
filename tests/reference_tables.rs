//! Twelve real tables, trained with nothing but `--label`, against scikit-learn's usual pipeline on
//! the same split: numbers filled with the mean and standardised, texts one-hot, and
//! `LogisticRegression(C=1)`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chainrule_core::{
    DataKind, Encoding, LinkKind, ModelKind, Parameters, Precision, Preprocessing, Recipe, Schema, Settings, Solver,
    TrainConfig,
};
use chainrule_data::{RecipeOptions, RecipeSource, RowBuffer, Rows, TableRequest, Tables};
use chainrule_solve::{Predictor, TrainingStatistics, train_by_loops};
use chainrule_tests_macros::test;
use serde::Deserialize;

use crate::command::{ask, folder};
use crate::support::{cpu, skip};

/// What `reference.json` says of a table.
#[derive(Deserialize)]
struct Reference {
    label: String,
    /// The number of training rows.
    rows: usize,
    accuracy: f64,
    log_loss: f64,
    /// The number of validation rows.
    n: usize,
    validation_rows: BTreeSet<usize>,
}

pub(crate) fn tables_folder() -> PathBuf {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/tables"));
    if folder.join("reference.json").is_file() { folder } else { skip("no tables") }
}

fn references(folder: &Path) -> BTreeMap<String, Reference> {
    let text = std::fs::read_to_string(folder.join("reference.json")).unwrap();
    let references: BTreeMap<String, Reference> = serde_json::from_str(&text).unwrap();
    assert_eq!(references.len(), 12);
    references
}

/// Writes `data/train.csv` and `data/validation.csv` by the reference's split. No table has a line
/// break in a field.
fn write_parts(folder: &Path, table: &Path, reference: &Reference) {
    let text = std::fs::read_to_string(table).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    let part = |is_validation: bool| {
        let rows = rows.lines().enumerate();
        let rows = rows.filter(|(row, _)| reference.validation_rows.contains(row) == is_validation);
        rows.fold(format!("{header}\n"), |text, (_, row)| text + row + "\n")
    };
    let data = folder.join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("train.csv"), part(false)).unwrap();
    std::fs::write(data.join("validation.csv"), part(true)).unwrap();
}

/// Returns the loss of each validation row of the minimum that a recipe leads to.
fn losses(parts: [&Rows; 2], classes: usize, recipe: &Recipe, schema: &Schema) -> Vec<f64> {
    let [train, validation] = parts.map(|rows| rows.with_recipe(recipe).unwrap().0);
    let schema = Schema {
        image_size: [1, recipe.n_features()],
        features: recipe.feature_names(),
        recipe: Some(recipe.clone()),
        ..schema.clone()
    };
    let mut settings = Settings::of(if classes == 2 { ModelKind::Logistic } else { ModelKind::Softmax });
    settings.data.standardize = true;
    settings.objective.l2 = 1.0 / train.len() as f64;
    settings.descent.solver = Solver::Lbfgs;
    settings.descent.precision = Precision::F64;
    let config = TrainConfig::try_from(settings.with_classes(&schema.classes)).unwrap();
    let TrainingStatistics { preprocessing, .. } = TrainingStatistics::of(&config, &train, &schema).unwrap();
    let link = LinkKind::from(config.model().kind);
    let trained = train_by_loops(&link.link(classes), &train, &validation, &preprocessing, &config, &mut ()).unwrap();
    assert!(trained.certificate.is_some_and(|certificate| certificate.holds()));
    losses_of(link, trained.parameters, preprocessing, &validation)
}

fn losses_of(link: LinkKind, parameters: Parameters, preprocessing: Preprocessing, rows: &Rows) -> Vec<f64> {
    let predictor = Predictor::new(link, parameters, preprocessing).unwrap();
    let mut buffer = RowBuffer::default();
    let loss = |row: usize| {
        let prediction = predictor.predict(rows.row(row, &mut buffer).unwrap()).unwrap();
        prediction.cross_entropy(rows.label(row).into())
    };
    (0..rows.len()).map(loss).collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// The recipe of the usual pipeline: as ours, without a feature that says where a number is
/// missing.
fn usual(recipe: &Recipe) -> Recipe {
    let mut recipe = recipe.clone();
    for column in &mut recipe.columns {
        if let Encoding::Number(numeric) | Encoding::Date(numeric) = &mut column.encoding {
            numeric.missing_feature = false;
        }
    }
    recipe
}

#[test]
fn tables_train_as_well_as_scikit_learn_with_nothing_but_the_label() {
    let tables = tables_folder();
    for (name, reference) in references(&tables) {
        let folder = folder();
        write_parts(folder.path(), &tables.join(format!("{name}.csv")), &reference);
        let label = ["--label", reference.label.as_str()];
        let summary = ask(
            folder.path(),
            &[&["train", "--data", "data", "--backend", cpu(), "--out", "run"][..], &label].concat(),
        );
        let [accuracy, loss] =
            ["validation_accuracy", "validation_loss"].map(|key| summary["final"][key].as_f64().unwrap());
        let (rows, n) = (&summary["data"]["train"], &summary["data"]["validation"]);
        assert_eq!((rows.as_u64(), n.as_u64()), (Some(reference.rows as u64), Some(reference.n as u64)), "{name}");

        let error = (reference.accuracy * (1.0 - reference.accuracy) / reference.n as f64).sqrt();
        assert!((accuracy - reference.accuracy).abs() <= 2.0 * error, "{name}: accuracy {accuracy}");

        // The same minimum, and that of the reference's recipe, row by row.
        let request = TableRequest {
            label: Some(reference.label.clone()),
            ignored: Vec::new(),
            group: None,
            weight: None,
            text: chainrule_core::TextOptions::default(),
            recipe: RecipeSource::Learn(RecipeOptions::default()),
            classes: None,
            holdout: None,
            resident_bytes: 1 << 30,
            scratch: None,
        };
        let data = Tables::read(&folder.path().join("data"), &request).unwrap();
        let schema = chainrule_data::schema_of_tables(&data);
        assert_eq!(schema.kind, DataKind::Table);
        let parts = [&data.parts[0].rows, &data.parts[1].rows];
        let classes = data.classes.len();
        let ours = losses(parts, classes, &data.recipe, &schema);
        assert!((mean(ours.iter().copied()) / loss - 1.0).abs() < 1e-3, "{name}: {loss}");
        let theirs = losses(parts, classes, &usual(&data.recipe), &schema);

        // scikit-learn's log_loss takes no probability below the spacing of numbers at 1.
        let clipped = mean(theirs.iter().map(|loss| loss.min(-f64::EPSILON.ln())));
        let difference = mean(ours.iter().zip(&theirs).map(|(ours, theirs)| ours - theirs));
        let variance = mean(ours.iter().zip(&theirs).map(|(ours, theirs)| (ours - theirs - difference).powi(2)));
        let paired_error = (variance / (ours.len() - 1) as f64).sqrt();
        let line = format!(
            "{name}: loss {loss}, reference {}, its recipe here {clipped}, difference {difference} ± {paired_error}",
            reference.log_loss
        );
        assert!((clipped / reference.log_loss - 1.0).abs() < USUAL_TOLERANCE, "{line}");
        assert!(loss <= 1.02 * reference.log_loss || difference <= 2.0 * paired_error, "{line}");
    }
}

/// The relative difference to the reference's log loss that is left over, with the same recipe:
/// scikit-learn stops at a gradient of 1e-4, and here repeated columns are left out.
const USUAL_TOLERANCE: f64 = 0.02;
