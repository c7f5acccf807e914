//! Settings of a table's columns.

use chainrule_core::{ColumnKind, ModelKind, Settings, TrainConfig};

#[test]
fn a_column_has_one_use() {
    let check = |ignored: &[&str], columns: &[(&str, ColumnKind)], problem: Option<&str>| {
        let mut settings = Settings::of(ModelKind::Softmax);
        settings.data.label = Some("y".to_owned());
        settings.data.group = Some("p".to_owned());
        settings.data.weight = Some("w".to_owned());
        settings.data.ignore = ignored.iter().map(ToString::to_string).collect();
        settings.data.columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        let error = TrainConfig::try_from(settings).err().map(|error| error.to_string());
        match (&error, problem) {
            (None, None) => {}
            (Some(error), Some(problem)) => assert!(error.contains(problem), "{ignored:?} {columns:?}: {error}"),
            _ => panic!("{ignored:?} {columns:?}: {error:?}"),
        }
    };
    let (number, date, category) = (ColumnKind::Number, ColumnKind::Date, ColumnKind::Category);
    check(&["a"], &[("b", number)], None);
    check(&["y"], &[], Some("it names the label column, which cannot be left out"));
    check(&["a", "b"], &[("b", number)], Some("it names a column that data.ignore leaves out"));
    check(&[], &[("p", category)], Some("it names the column of data.group, which is no feature"));
    check(&[], &[("w", number)], Some("it names the column of data.weight, which is no feature"));
    for (weight, problem) in [("y", "it names the label column; name one"), ("p", "the column of data.group")] {
        let mut settings = Settings::of(ModelKind::Softmax);
        (settings.data.label, settings.data.group) = (Some("y".to_owned()), Some("p".to_owned()));
        settings.data.weight = Some(weight.to_owned());
        let error = TrainConfig::try_from(settings).expect_err("a column of two uses").to_string();
        assert!(error.contains(problem), "{error}");
    }
    // A number may be a class.
    check(&[], &[("y", category)], None);
    for kind in [number, date] {
        check(&[], &[("y", kind)], Some("it names the label column, which is a category"));
    }
}
