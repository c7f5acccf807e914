//! CSV.

use chainrule_data::table::{Columns, Table, TableSummary};
use chainrule_data::{InputTable, RecipeOptions, RowBuffer};

use super::assert_one_line;

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "a,b,y\n1,2,u\n3,4.5e-3,v\n",
        "\u{feff}y,\"a, b\",c\r\n10,-1,+.5\r\n\r\n9,2,1e10\r\n",
        "c,y,a\n1,\"x\"\"y\",2\n2,\"x\ny\",3",
        "y,c,a\nu,0,1\nv,0,2\nu,1,\n",
        "sep=;\ny;a;c;\nu;1,5;2.000,5;\nv;2,5;3;\n",
        "c\ta\nr1\t1\t2\nr2\t3\t4\n",
        "@relation r\n@attribute c {1, 'x y'}\n@attribute a real\n@attribute y {u,v}\n@data\n1,2,u\n'x y',?,v\n",
        "y\0,\0a\0,\0c\0\n\0u\0,\x001\0,\x002\0\n\0",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

pub fn check(bytes: &[u8]) {
    let named = ["c".to_owned(), "a".to_owned()];
    for columns in [
        Columns { label: Some("y"), ..Columns::default() },
        Columns { label: Some("y"), ignored: &named[..1], group: Some("a"), ..Columns::default() },
        Columns { features: Some(&named), texts: &named[..1], ..Columns::default() },
    ] {
        match Table::read(bytes, columns, 1 << 20) {
            Ok(table) => is_whole(table, columns),
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

/// Asserts that every row has a label and every class a row, and that each row becomes finite
/// features by the recipe of all rows.
pub(super) fn is_whole(table: Table, columns: Columns) {
    assert!(!table.is_empty());
    let labels: Vec<&str> = (0..table.len()).filter_map(|row| table.label(row)).collect();
    assert_eq!(labels.len(), if columns.label.is_some() { table.len() } else { 0 });
    for class in &table.classes {
        assert!(labels.contains(&class.as_str()), "{class:?} of {:?}", table.classes);
    }
    let recipe = match table.learn_recipe(&RecipeOptions::default()) {
        Ok(recipe) => recipe,
        Err(problem) => return assert_one_line(&problem.to_string()),
    };
    assert_eq!((recipe.problem(), recipe.feature_names().len()), (None, recipe.n_features()));
    let n = table.len();
    let InputTable { rows, unseen, .. } = table.encode(&recipe).expect("the recipe was learnt from these rows");
    assert_eq!((rows.len(), rows.n_features(), unseen), (n, recipe.n_features(), Vec::new()));
    let lines: Vec<u32> = (0..n).filter_map(|row| rows.line(row)).collect();
    assert!(lines.len() == n && lines.is_sorted() && lines.iter().all(|&line| line >= 1));
    let mut buffer = RowBuffer::default();
    for row in 0..n {
        assert!(rows.row(row, &mut buffer).expect("rows in memory").iter().all(|x| x.is_finite()));
    }
}
