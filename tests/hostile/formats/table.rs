//! CSV.

use chainrule_data::table::{Columns, Table, TableSummary};

use super::assert_one_line;

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "a,b,y\n1,2,u\n3,4.5e-3,v\n",
        "\u{feff}y,\"a, b\",c\r\n10,-1,+.5\r\n\r\n9,2,1e10\r\n",
        "c,y,a\n1,\"x\"\"y\",2\n2,\"x\ny\",3",
        "y,c,a\nu,0,1\nv,0,2\nu,1,\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

pub fn check(bytes: &[u8]) {
    let named = ["c".to_owned(), "a".to_owned()];
    for columns in [
        Columns::AllBut { label: "y", ignored: &[] },
        Columns::AllBut { label: "y", ignored: &named[..1] },
        Columns::Named { features: &named, label: None },
    ] {
        match Table::read(bytes, columns, 1 << 20) {
            Ok(table) => is_whole(&table, columns),
            Err(problem) => assert_one_line(&problem.to_string()),
        }
    }
    match TableSummary::read(bytes) {
        Ok(about) => assert!(
            about.columns.iter().all(|column| column.numbers + column.missing + column.texts == about.rows),
            "{about:?}"
        ),
        Err(problem) => assert_one_line(&problem.to_string()),
    }
}

/// Asserts that every field has a number, every row a label, and every class a row.
fn is_whole(table: &Table, columns: Columns) {
    assert!(!table.is_empty() && table.values.len() == table.len() * table.n_features());
    assert!(table.values.iter().all(f64::is_finite));
    assert!(table.lines.is_sorted() && table.lines.iter().all(|&line| line >= 2));
    let has_labels = matches!(columns, Columns::AllBut { .. });
    assert_eq!(table.labels.len(), if has_labels { table.len() } else { 0 });
    for class in 0..table.classes.len() {
        assert!(table.labels.iter().any(|&label| usize::from(label) == class), "{:?}", table.classes);
    }
}
