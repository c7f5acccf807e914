//! svmlight files, and the sparse rows that they become.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write;

use chainrule_core::{
    BadRows, ColumnKind, Encoding, Preprocessing, Recipe, Separator, Sparse, SparseIndices, TextOptions,
};
use chainrule_data::readers::{Reader, sniff};
use chainrule_data::table::{Columns, Table, TableSummary};
use chainrule_data::{DataError, FeatureColumns, InputTable, ReadAs, RecipeOptions, RowBuffer, Rows};

const MAX_BYTES: u64 = 1 << 26;

fn read_with(content: impl AsRef<[u8]>, text: TextOptions) -> Result<Table, String> {
    let columns = Columns { label: Some("label"), text, ..Columns::default() };
    Table::read(content.as_ref(), columns, MAX_BYTES).map_err(|problem| problem.to_string())
}

fn read(content: impl AsRef<[u8]>) -> Result<Table, String> {
    read_with(content, TextOptions::default())
}

/// Returns the rows with all features that occur, and the names of these features.
fn rows(table: &Table) -> (Rows, Vec<String>) {
    let recipe = table.learn_recipe(&RecipeOptions::default()).unwrap();
    (table.clone().encode(&recipe).unwrap().rows, recipe.feature_names())
}

fn numbers(rows: &Rows) -> Vec<f64> {
    rows.clone().into_features(&Preprocessing::Raw, |x| x).unwrap()
}

fn is(read_as: &ReadAs, what: &str) -> String {
    read_as.facts.iter().find(|fact| fact.what == what).map(|fact| fact.is.clone()).unwrap_or_default()
}

#[test]
fn rows_are_read_as_they_are_written() {
    let check = |text: &str, names: &[&str], labels: &[&str], lines: &[u32], expected: &[f64]| {
        for text in [text.to_owned(), text.replace('\n', "\r\n"), format!("\u{feff}{text}"), format!("{text}\n\n#")] {
            let table = read(&text).unwrap();
            let of_rows: Vec<&str> = (0..table.len()).filter_map(|row| table.label(row)).collect();
            let (rows, of_features) = rows(&table);
            let of_lines: Vec<u32> = (0..rows.len()).filter_map(|row| rows.line(row)).collect();
            assert_eq!(of_features, names, "{text:?}");
            assert_eq!((of_rows, of_lines), (labels.to_vec(), lines.to_vec()), "{text:?}");
            assert_eq!(numbers(&rows), expected, "{text:?}");
        }
    };
    check("+1 1:1 3:-0.5\n-1 3:2", &["1", "3"], &["+1", "-1"], &[1, 2], &[1.0, -0.5, 0.0, 2.0]);
    // Comments, blank lines, rows without features, any white space, explicit zeros.
    check(
        "# made by hand\n\n 2\t7:1e-3 \t 4294967295:.5 # note 9:9\n0 #\n2 3:0 7:+1\n",
        &["7", "4294967295"],
        &["2", "0", "2"],
        &[3, 4, 5],
        &[1e-3, 0.5, 0.0, 0.0, 1.0, 0.0],
    );
    check("0 qid:1 0:1\n1 qid:1 1:1\n", &["0", "1"], &["0", "1"], &[1, 2], &[1.0, 0.0, 0.0, 1.0]);
    let table = read("1.5 1:1\n-0.5 2:1").unwrap();
    assert_eq!(table.classes, ["1.5", "-0.5"]);

    let about = |text: &str| TableSummary::read(text.as_bytes()).unwrap();
    let counts = |text: &str| about(text).columns.into_iter().map(|column| column.name).collect::<Vec<_>>();
    assert_eq!(counts("1 2:1"), ["label", "features"]);
    assert_eq!(counts("1 qid:7 2:1"), ["label", "qid", "features"]);
    let read_as = |text: &str| about(text).read_as;
    assert_eq!(is(&read_as("1 2:1\n1 0:3"), "indices"), "from 0");
    assert_eq!(read_as("1 2:1\n1 0:3").message().as_deref(), Some("read as: indices from 0"));
    assert_eq!((is(&read_as("1 2:1"), "indices"), read_as("1 2:1").message()), ("from 1".to_owned(), None));
    assert_eq!(read_as("1 qid:1 2:1").message().as_deref(), Some("read as: qid is no feature"));

    let columns = Columns { label: Some("label"), group: Some("qid"), ..Columns::default() };
    let table = Table::read(&b"1 qid:7 1:1\n2 qid:7 2:1"[..], columns, MAX_BYTES).unwrap();
    assert_eq!(rows(&table).1, ["1", "2"]);
}

#[test]
fn a_row_that_is_none_ends_in_one_sentence_or_is_left_out() {
    for (row, expected) in [
        ("1:0.5 2:1", "it begins with \"1:0.5\", but a row begins with its label"),
        ("1,3 2:1", "it has several labels (\"1,3\")"),
        ("1 3:1 2:1", "entry 2 (\"2:1\"): its index comes after 3; the indices of a row must increase"),
        ("1 3:1 3:1", "entry 2 (\"3:1\"): its index occurs twice"),
        ("1 3:1 4", "entry 2 (\"4\"): expected INDEX:VALUE"),
        ("1 3:1 17;0.5", "entry 2 (\"17;0.5\"): expected INDEX:VALUE"),
        ("1 :1", "entry 1 (\":1\"): the index is no whole number up to 4294967295"),
        ("1 -3:1", "entry 1 (\"-3:1\"): the index is no whole number"),
        ("1 4294967296:1", "the index is no whole number up to 4294967295"),
        ("1 99999999999999999999:1", "the index is no whole number"),
        ("1 1.0:1", "the index is no whole number"),
        ("1 2:1 qid:3", "entry 2 (\"qid:3\"): the index is no whole number"),
        ("1 qid:3 2:1", "it has a qid, unlike the first row"),
        ("1 qid: 2:1", "its qid: has no value"),
        ("1 3:", "entry 1 (\"3:\"): the value is no number between ±1e30"),
        ("1 3:nan", "the value is no number"),
        ("1 3:inf", "the value is no number"),
        ("1 3:1e31", "the value is no number between ±1e30"),
        ("1 3:0,5", "the value is no number"),
        ("1 3:1:2", "the value is no number"),
        ("1 3:\u{fffd}", "the value is no number"),
        ("1 3:1\0", "NUL byte"),
    ] {
        // Whether or not the first lines show it.
        for rows_before in [1, 3000] {
            let text = "2 1:1 5:2\n".repeat(rows_before) + row + "\n2 7:1\n";
            let place = format!("line {}", rows_before + 1);
            let problem = read(&text).map(|table| table.len()).unwrap_err();
            assert!(problem.starts_with(&place) && problem.contains(expected), "{row}: {problem}");
            assert!(problem.contains("data.bad_rows") && problem.lines().count() == 1, "{row}: {problem}");
            let skip = TextOptions { bad_rows: BadRows::Skip, ..TextOptions::default() };
            let table = read_with(&text, skip).unwrap();
            let message = table.files[0].read_as.skipped_message().unwrap();
            assert!(table.len() == rows_before + 1 && message.contains(&place), "{row}: {message}");
            assert!(message.contains(expected), "{row}: {message}");
        }
    }
    let skip = TextOptions { bad_rows: BadRows::Skip, ..TextOptions::default() };
    let none = read_with("1 3:x\n2 2:1 1:1\n", skip).map(|table| table.len()).unwrap_err();
    assert!(none.starts_with("no row is left; 2 rows that cannot be read are left out: line 1"), "{none}");
    let empty = read("1 1:0\n2 3:0\n").unwrap().learn_recipe(&RecipeOptions::default()).unwrap_err().to_string();
    assert!(empty.contains("no row lists an index with another value than 0"), "{empty}");
    let long = "1 ".to_owned() + &"1:1 ".repeat(1 << 20) + "\n";
    assert!(read("1 1:1\n".to_owned() + &long).unwrap_err().contains("line 2: it has more than"));
    // Each row has 100 indices that no other row has.
    let mut many = String::new();
    for row in 0..10_490u32 {
        many += if row % 2 == 0 { "1" } else { "2" };
        (row * 100..row * 100 + 100).for_each(|index| write!(many, " {index}:1").unwrap());
        many.push('\n');
    }
    let many = read(many).unwrap().learn_recipe(&RecipeOptions::default()).unwrap_err().to_string();
    assert!(many.contains("1049000 different indices; at most 1048576 features"), "{many}");
}

#[test]
fn a_file_is_recognised_by_its_first_lines() {
    let check = |text: &str, expected: &str| {
        assert_eq!(sniff(text.as_bytes()).map(Reader::name), Some(expected), "{text:?}");
    };
    for text in [
        "1 1:1\n",
        "+1 1:1 2:2\n-1 1:1\n",
        "1\n2\n1 3:4",
        "# a comment\n\n1 7:0.5 # one\n",
        "1,3 2:1\n2 1:1\n",
        "1:1 2:1\n3:1 4:1\n",
        "1.5 qid:1 1:1\n",
        "1 1:1 2:x\n",
        "-1 3:1 2:1\r\n1 4:1\r\n",
        // The beginning ends within an entry.
        "1 1:1 2:1\n1 3:1 4",
        "1 1:1 2:1\n1 3:1 4:",
        "1 1:1\na,b\n",
        "1 1;1\n2 1:1\n1 3:4\n",
    ] {
        check(text, "svmlight");
    }
    for text in [
        "a,b\n1,2\n",
        "1\n2\n",
        "1 2 3\n",
        "time 12:30\n",
        "12:30\n12:45\n",
        "2026-11-29 12:30:00,5\n",
        "1 2:1 3 4\n",
        "label features\n1 1:1\n",
        "1;1:1\n2;3:4\n",
        "# a,b\n",
        "",
        "id\ttime\n1\t12:30\n2\t12:45\n",
        "ratio count\n1 1:2\n2 3:4\n",
        "1\t12:30\n0\t09:45\n",
        "1\t12:30:15\n0\t09:45:00\n",
    ] {
        check(text, "CSV");
    }
    let header = Some(false);
    let table = read_as_ratios(TextOptions { separator: Some(Separator::Tab), header, ..TextOptions::default() });
    assert_eq!(table.unwrap().columns(), ["column_1"]);
    assert!(read_as_ratios(TextOptions::default()).unwrap_err().contains("column_2"));
}

/// Reads numbers and ratios as a table, whose second column is the label.
fn read_as_ratios(text: TextOptions) -> Result<Table, String> {
    let columns = Columns { label: Some("column_2"), text, ..Columns::default() };
    Table::read(&b"1\t1:2\n2\t3:4\n3\t1:2\n"[..], columns, MAX_BYTES).map_err(|problem| problem.to_string())
}

/// A matrix as svmlight and as CSV. The columns of the CSV are called f1, f2, …
fn random(n: usize, d: usize) -> [String; 2] {
    let header: Vec<String> = (1..=d).map(|j| format!("f{j}")).collect();
    let (mut sparse, mut dense) = (String::new(), format!("{},label\n", header.join(",")));
    for i in 0..n {
        write!(sparse, "{}", i % 3).unwrap();
        for j in 1..=d {
            // Each feature occurs.
            let is_listed = (i * 31 + j * j * 17 + i * j) % 7 < 2 || i == j;
            let value = ((i * 7919 + j * 104_729) as f64 * 0.618_034).sin() * j as f64;
            if is_listed {
                write!(sparse, " {j}:{value}").unwrap();
            }
            write!(dense, "{},", if is_listed { value } else { 0.0 }).unwrap();
        }
        sparse.push('\n');
        writeln!(dense, "{}", i % 3).unwrap();
    }
    [sparse, dense]
}

#[test]
fn sparse_rows_are_those_of_a_dense_table() {
    let (n, d) = (150, 40);
    let [sparse, dense] = random(n, d).map(|text| read(text).unwrap());
    let names: Vec<String> = (1..=d).map(|j| format!("f{j}")).collect();
    let [sparse, dense] = [rows(&sparse).0, dense.encode(&Recipe::of_numbers(&names)).unwrap().rows];
    let bytes = |rows: &Rows| rows.bytes();
    assert_eq!((sparse.len(), sparse.size(), bytes(&sparse)), (n, [1, d], bytes(&dense)));
    assert_eq!(numbers(&sparse), numbers(&dense));
    assert_eq!(sparse.sha256().unwrap(), dense.sha256().unwrap());
    assert_eq!(sparse.moments().unwrap(), dense.moments().unwrap());
    assert_eq!(sparse.max_abs().unwrap(), dense.max_abs().unwrap());
    assert_eq!((sparse.max_abs_of_sparse().unwrap().len(), dense.max_abs_of_sparse()), (d, None));
    // Views of rows and columns, of which one is chosen twice.
    let view = |rows: &Rows| rows.select(&[7, 7, 149, 0]).with_columns(&[39, 3, 3, 12, 0]);
    for [sparse, dense] in [[sparse.clone(), dense.clone()], [&sparse, &dense].map(view)] {
        let (mut buffer, mut other) = (RowBuffer::default(), RowBuffer::default());
        for row in 0..sparse.len() {
            assert_eq!(sparse.row(row, &mut buffer).unwrap(), dense.row(row, &mut other).unwrap(), "row {row}");
        }
        let reader = sparse.feature_reader().unwrap();
        assert_eq!((reader.layout().sparse.len(), reader.layout().numbers.len()), (sparse.n_features(), 0));
        let mut columns = FeatureColumns::default();
        reader.read(0..sparse.len(), &mut columns).unwrap();
        let mut read = vec![0.0; sparse.len() * sparse.n_features()];
        for (row, (positions, values)) in read.chunks_exact_mut(sparse.n_features()).zip(columns.sparse.rows()) {
            positions.iter().zip(values).for_each(|(&position, &value)| row[position as usize] += value);
        }
        assert_eq!(read, numbers(&dense));
    }
}

#[test]
fn a_model_takes_the_indices_that_it_knows() {
    let recipe = read("1 1:1 3:1\n2 4:2").unwrap().learn_recipe(&RecipeOptions::default()).unwrap();
    assert_eq!(recipe.feature_names(), ["1", "3", "4"]);
    let encode = |text: &str| {
        let columns = Columns { features: Some(&["features".to_owned()]), ..Columns::default() };
        Table::read(text.as_bytes(), columns, MAX_BYTES).unwrap().encode(&recipe).unwrap()
    };
    let InputTable { rows, unseen, .. } = encode("7 0:9 3:5\n7\n7 2:1 4:1 5:1\n7 1:1");
    assert_eq!(numbers(&rows), [0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!(
        unseen[0].message().as_deref(),
        Some("column \"features\": 2 rows have indices that no training row has, such as 0; they contribute nothing")
    );
    assert_eq!(encode("1 1:1\n2 4:1").unseen, []);

    // Other tables have no such column, and its kind is fixed.
    let with = |content: &str, required: &[(String, ColumnKind)]| {
        let features = ["features".to_owned()];
        let columns = Columns { features: Some(&features), required, ..Columns::default() };
        Table::read(content.as_bytes(), columns, MAX_BYTES).map(|table| table.len()).map_err(|e| e.to_string())
    };
    let needed = |kind| [("features".to_owned(), kind)];
    let problem = with("features,y\n1,2\n2,4\n", &needed(ColumnKind::Sparse)).unwrap_err();
    assert!(problem.contains("has one value in each row, but INDEX:VALUE entries are needed"), "{problem}");
    let problem = with("1 1:1", &needed(ColumnKind::Number)).unwrap_err();
    assert!(problem.contains("has INDEX:VALUE entries, but one value in each row is needed"), "{problem}");
    let kinds = [("features".to_owned(), ColumnKind::Category)].into();
    let problem = read("1 1:1\n2 1:2").unwrap().learn_recipe(&RecipeOptions { kinds, ..RecipeOptions::default() });
    assert!(problem.unwrap_err().to_string().contains("data.columns cannot give it another kind"));
    for columns in [
        Columns { label: Some("features"), ..Columns::default() },
        Columns { label: Some("label"), group: Some("features"), ..Columns::default() },
    ] {
        let problem = Table::read(&b"1 1:1"[..], columns, MAX_BYTES).unwrap_err().to_string();
        assert!(problem.contains("column \"features\" has the sparse features"), "{problem}");
    }
    let dense = rows.with_recipe(&Recipe::of_numbers(&["features".to_owned()])).map(drop).unwrap_err();
    assert!(dense.to_string().contains("no column"), "{dense}");
}

#[test]
fn sparse_rows_are_not_expanded_beyond_a_bound() {
    // A million features, of which each row has three.
    let recipe = Recipe {
        columns: vec![chainrule_core::ColumnRecipe {
            name: "features".to_owned(),
            encoding: Encoding::Sparse(Sparse { indices: SparseIndices::of_sorted(1..=1_000_000) }),
            note: None,
        }],
        ..Recipe::default()
    };
    let table = read("1 1:1 7:1 1000000:1\n2 2:1 7:1 999999:1\n".repeat(3000)).unwrap();
    let rows = table.encode(&recipe).unwrap().rows;
    assert_eq!(rows.max_abs().unwrap(), 1.0);
    assert!(rows.row(5999, &mut RowBuffer::default()).unwrap()[999_998] == 1.0);
    let too_sparse = |problem: DataError| {
        assert!(matches!(problem, DataError::TooSparse { d: 1_000_000, .. }), "{problem}");
        problem.to_string()
    };
    too_sparse(rows.chunk(0..1000, &mut RowBuffer::default()).unwrap_err());
    let problem = too_sparse(rows.into_features(&Preprocessing::Raw, |x| x).unwrap_err());
    assert!(problem.starts_with("6000 sparse rows with all 1000000 features would take 48.0 GB"), "{problem}");
}

#[test]
fn a_summary_counts_the_entries_of_sparse_features() {
    let about = TableSummary::read(&b"1 1:0.5 7:-2\n0 2:1\n1\n0 1:1 2:3\n"[..]).unwrap();
    let [label, features] = &about.columns[..] else { panic!("{about:?}") };
    assert_eq!((label.name.as_str(), label.numbers, label.entries), ("label", 4, None));
    assert_eq!((features.entries, features.missing, features.texts, features.different), (Some(5), 1, 3, None));
    assert_eq!((features.smallest, features.largest), (Some(-2.0), Some(3.0)));
}
