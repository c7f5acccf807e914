//! Names of classes.

use chainrule_core::{Class, DataKind};
use serde_json::json;

#[test]
fn only_image_labels_are_numbers() {
    let from_names = |kind, names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        Class::from_names(kind, &names).map(|classes| json!(classes)).map_err(|problem| problem.to_string())
    };
    for (kind, names, expected) in [
        (DataKind::Images, ["0", "255"], json!([0, 255])),
        (DataKind::Images, ["0", "256"], json!(["0", "256"])),
        (DataKind::Images, ["007", "7"], json!(["007", "7"])),
        (DataKind::Images, ["+1", "-1"], json!(["+1", "-1"])),
        (DataKind::Pictures, ["0", "1"], json!(["0", "1"])),
        (DataKind::Table, ["0", "1"], json!(["0", "1"])),
    ] {
        assert_eq!(from_names(kind, &names), Ok(expected));
    }
    assert_eq!(from_names(DataKind::Table, &["a", "a"]), Err("the class a is named twice".to_owned()));
    assert_eq!(from_names(DataKind::Table, &["a", ""]), Err("the name of a class is empty".to_owned()));
}
