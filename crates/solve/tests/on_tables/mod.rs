//! Tables in a file, and configs for them.

use chainrule_core::{Class, ModelKind, Precision, Settings, TextOptions, TrainConfig};
use chainrule_data::{RecipeOptions, RecipeSource, Rows, TableRequest, Tables};

/// Reads a table with the label y.
pub(crate) fn rows_of(text: &str) -> Rows {
    rows_within(text, 1 << 30)
}

/// Like [`rows_of`]; rows beyond so many bytes are kept in a file.
pub(crate) fn rows_within(text: &str, resident_bytes: u64) -> Rows {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("table.csv");
    std::fs::write(&path, text).expect("a file");
    let request = TableRequest { resident_bytes, ..request() };
    Tables::read(&path, &request).expect("a table").parts[0].rows.clone()
}

fn request() -> TableRequest {
    TableRequest {
        label: Some("y".to_owned()),
        ignored: Vec::new(),
        group: None,
        weight: None,
        text: TextOptions::default(),
        recipe: RecipeSource::Learn(RecipeOptions::default()),
        classes: None,
        holdout: None,
        resident_bytes: 1 << 30,
        scratch: Some(std::env::temp_dir()),
    }
}

pub(crate) fn config(kind: ModelKind, change: impl FnOnce(&mut Settings)) -> TrainConfig {
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
