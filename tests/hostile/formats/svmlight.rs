//! svmlight's sparse rows.

use chainrule_core::{BadRows, TextOptions};
use chainrule_data::table::{Columns, Table, TableSummary};

use super::assert_one_line;
use super::table::is_whole;

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "+1 1:0.5 3:2 7:1 # note\n-1 2:1 3:1e-3\n",
        "# comment\n\n0 qid:1 0:1 4294967295:-.5\n1 qid:2 10:+2\n1 qid:2\n",
        "\u{feff}1 1:1\r\n2 2:0 5:1e30\r\n",
        "1,2 1:1\n2 3:1 3:2\n1 5:1 4:1\n2 5 6:x\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

pub fn check(bytes: &[u8]) {
    let features = ["features".to_owned()];
    let skip = TextOptions { bad_rows: BadRows::Skip, ..TextOptions::default() };
    for columns in [
        Columns { label: Some("label"), ..Columns::default() },
        Columns { label: Some("label"), group: Some("qid"), text: skip, ..Columns::default() },
        Columns { features: Some(&features), ..Columns::default() },
    ] {
        match Table::read(bytes, columns, 1 << 20) {
            Ok(table) => is_whole(table, columns),
            Err(problem) => assert_one_line(&problem.to_string()),
        }
    }
    if let Err(problem) = TableSummary::read(bytes) {
        assert_one_line(&problem.to_string());
    }
}
