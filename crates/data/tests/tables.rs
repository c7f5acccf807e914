//! CSV files.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;

use chainrule_core::{Preprocessing, Recipe, TextOptions};
use chainrule_data::table::{Columns, Table, TableSummary, sorted_labels};
use chainrule_data::{Holdout, RecipeOptions, RecipeSource, TableRequest, Tables, sha256};
use flate2::Compression;
use flate2::write::GzEncoder;

fn read(content: impl AsRef<[u8]>) -> Result<Table, String> {
    let ignored = ["id".to_owned()];
    let columns = Columns { label: Some("y"), ignored: &ignored, ..Columns::default() };
    Table::read(content.as_ref(), columns, 1 << 20).map_err(|problem| problem.to_string())
}

/// Reads a table whose columns are numbers. Returns the table, its numbers row by row, and its
/// lines.
fn read_numbers(content: impl AsRef<[u8]>) -> Result<(Table, Vec<f64>, Vec<u32>), String> {
    let table = read(content)?;
    let recipe = Recipe::of_numbers(table.columns());
    let input = table.clone().encode(&recipe).map_err(|problem| problem.to_string())?;
    let lines = (0..input.rows.len()).filter_map(|row| input.rows.line(row)).collect();
    let numbers = input.rows.into_features(&Preprocessing::Raw, |x| x).unwrap();
    Ok((table, numbers, lines))
}

/// Returns the label of each row.
fn labels(table: &Table) -> Vec<&str> {
    (0..table.len()).filter_map(|row| table.label(row)).collect()
}

#[test]
fn invalid_values_name_line_and_column() {
    for (content, expected) in [
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        ("a,id,y\n", "no rows below its header"),
        ("a,id,y\n1,7,u\n2,7,v\n,7,u\n", "line 4, column \"a\": a value is missing"),
        ("a,id,y\n1,7,u\nNA,7,v\n", "line 3, column \"a\": \"NA\" is not a number"),
        ("a,id,y\n1,7,u\nnan,7,v\n", "line 3, column \"a\": \"nan\" is not a number"),
        ("a,id,y\n1,7,u\n-inf,7,v\n", "\"-inf\" is not a number"),
        ("a,id,y\n1,7,u\n1e31,7,v\n", "line 3, column \"a\": 1e31 is not between ±1e30"),
        ("a,id,y\n1,7,u\n1e999,7,v\n", "line 3, column \"a\": 1e999 is not between ±1e30"),
        ("a,id,y\n1,7,u\n\"1,5\",7,v\n", "line 3, column \"a\": \"1,5\" is not a number"),
        ("a,id,y\n1,7,u\n2,v\n", "line 3: 2 fields, but the header has 3"),
        ("a,id,y\n1,7,u\n2,7,v,\n", "line 3: 4 fields, but the header has 3"),
        ("a,id,y\r\n1,7,u\r\n\r\n2,v\r\n", "line 4: 2 fields"),
        ("a,id,y\n1,7,u\n\n2,7,\"v\n3,7,u\n", "line 4: a quote is not closed"),
        ("1,2,3\n1,2,3\n", "line 1: it may have names or values"),
        ("id,y\n7,u\n8,v\n", "no feature column is left"),
        ("a,y\n7,u\n8,v\n", "no column \"id\", which data.ignore names"),
        ("a,id,y\n1,7,\"u\u{7}\"\n", "line 2, column \"y\": the label has a control character"),
    ] {
        let problem = read_numbers(content).map(|table| format!("{table:?}")).unwrap_err();
        assert!(problem.contains(expected) && problem.lines().count() == 1, "{content:?}: {problem:?}");
    }
    let many: String = (0..70_000).map(|i| format!("0,{i}\n")).collect();
    let columns = Columns { label: Some("y"), ..Columns::default() };
    let problem = Table::read(format!("a,y\n{many}").as_bytes(), columns, 1 << 24).unwrap_err().to_string();
    assert!(problem.contains("column \"y\": this is the 65536th different label"), "{problem}");
    let problem = Table::read(&b"a,y\n1,u\n2,v\n"[..], columns, 11).unwrap_err().to_string();
    assert!(problem.contains("more than the 11 bytes"), "{problem}");
}

#[test]
fn names_with_outer_blanks_are_refused() {
    let texts = ["null", "NULL", "NA", "N/A", "nan", "NaN", "None", "none", "inf", "true", "~"];
    let rows: String = texts.iter().enumerate().map(|(i, name)| format!("{i},0,{name}\n")).collect();
    let table = read(format!("a,id,y\n{rows}")).unwrap();
    assert_eq!((labels(&table).as_slice(), table.classes.len()), (&texts[..], texts.len()));

    // White space around an unquoted field is ignored.
    for rows in
        ["1,0, u\n2,0,v \n3,0,u\n", "1,0,\"u\"\n2,0,\"v\"\n\n3, 0,\"u\"\n", "1,0, u\r\n\r\n2,\"x\ny\",v\r\n3,0,u"]
    {
        assert_eq!(read(format!("a,id, y\n{rows}")).unwrap().classes, ["u", "v"], "{rows}");
        assert_eq!(read(format!("\u{feff}a,id,y \n{rows}")).unwrap().classes, ["u", "v"], "{rows}");
    }
    for (content, expected) in [
        ("a,id,y\n1,0,u\n2,0,\" u\"\n", "line 3, column \"y\": the label begins or ends with white space"),
        ("a,id,y\n1,0,u\n\n\n2,0,\"u \"\n", "line 5, column \"y\": the label begins or ends with white space"),
        ("a,id,y\n1,0,u\n2,\"x\ny\",\"u\t\"", "line 3, column \"y\": the label begins or ends with white space"),
        ("a,id,y\n1,0,u\n2,0,\"\"\" \"\n", "line 3, column \"y\": the label begins or ends with white space"),
        // In a row with quotes, the blank may or may not belong to the label.
        ("a,id,y\n1,0,v\n\"2\",0, u\n", "line 3, column \"y\": the label begins or ends with white space"),
        ("\" a\",id,y\n1,0,u\n2,0,v\n", "line 1: the name of column 1 begins or ends with white space"),
        ("\u{feff}a,id,\"y \"\n1,0,u\n2,0,v\n", "line 1: the name of column 3 begins or ends with white space"),
    ] {
        let problem = read(content).map(|table| format!("{table:?}")).unwrap_err();
        assert!(problem.contains(expected) && problem.lines().count() == 1, "{content:?}: {problem:?}");
    }
}

#[test]
fn names_and_numbers_are_parsed() {
    let plain = "\u{feff}id, a ,y\r\n0, 1e3 ,10\r\n1,-.5,9\r\n\r\n2,+7,10\r\n";
    let (table, numbers, lines) = read_numbers(plain).unwrap();
    assert_eq!((table.columns(), numbers), (&["a".to_owned()][..], vec![1000.0, -0.5, 7.0]));
    assert_eq!((labels(&table), lines), (vec!["10", "9", "10"], vec![2, 3, 5]));
    assert_eq!(table.files[0].sha256, sha256([plain.as_bytes()]));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(plain.as_bytes()).unwrap();
    let (packed, numbers, _) = read_numbers(gzip.finish().unwrap()).unwrap();
    assert_eq!((&packed.files[0].sha256, numbers), (&table.files[0].sha256, vec![1000.0, -0.5, 7.0]));
    // Labels are sorted as numbers if all are numbers, else by their characters.
    let sorted = |labels: &[&str]| sorted_labels(labels.iter().map(ToString::to_string).collect());
    assert_eq!(
        (sorted(&["10", "9"]), sorted(&["b", "a", "10"])),
        (vec!["9".into(), "10".into()], vec!["10".into(), "a".into(), "b".into()] as Vec<String>)
    );
    // A line break in quotes does not end the row.
    assert_eq!(read_numbers("a,id,y\n1,0,\"u\"\n2,\"x\ny\",v\n3,4,u\n").unwrap().2, [2, 3, 5]);
    // A column without a name is called as pandas calls it.
    assert_eq!(read(",a,id,y\n0,1,2,u\n").unwrap().columns(), ["Unnamed: 0", "a"]);
}

#[test]
fn the_holdout_is_stratified_and_seeded() {
    let labels: Vec<u16> = (0..200)
        .map(|row| {
            if row < 150 {
                3
            } else if row < 197 {
                0
            } else {
                9
            }
        })
        .collect();
    let holdout = |fraction: f64, seed: u64| Holdout { fraction, seed }.split(&labels).unwrap();
    let [train, validation] = holdout(0.2, 0);
    let count = |rows: &[usize]| [3, 0, 9].map(|class| rows.iter().filter(|&&row| labels[row] == class).count());
    assert_eq!((count(&validation), count(&train)), ([30, 9, 1], [120, 38, 2]));
    assert!(train.is_sorted() && validation.is_sorted());
    let mut all = [train.clone(), validation.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..200).collect::<Vec<_>>());
    assert_eq!(holdout(0.2, 0), [train, validation.clone()]);
    assert_ne!(holdout(0.2, 1)[1], validation);
    // Each side gets at least one row per class, however small the fraction.
    assert_eq!((count(&holdout(0.001, 0)[1]), count(&holdout(0.999, 0)[0])), ([1, 1, 1], [1, 1, 1]));
    assert_eq!(Holdout { fraction: 0.2, seed: 0 }.split(&[1, 1, 2]), Err(2));
}

#[test]
fn other_formats_than_csv_are_identified() {
    let zip = |name: &str| {
        let length = (name.len() as u16).to_le_bytes();
        [&b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0"[..], &[0; 12], &length, &[0; 2], name.as_bytes(), &[0; 40]].concat()
    };
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(b"PAR1\x15\x04\x15 and so on").unwrap();
    for (content, what, advice) in [
        (zip("[Content_Types].xml"), "an Excel spreadsheet (xlsx)", "save it as CSV"),
        (
            zip("mimetypeapplication/vnd.oasis.opendocument.spreadsheet"),
            "an OpenDocument spreadsheet",
            "save it as CSV",
        ),
        (zip("arr_0.npy"), "a NumPy archive (npz)", "savetxt"),
        (zip("table.csv"), "damaged zip", "after 0 bytes"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(), "an old Excel document (xls)", "save it as CSV"),
        (b"PAR1\x15\x04\x15 and so on".to_vec(), "Parquet", "read_parquet"),
        (packed.finish().unwrap(), "Parquet", "read_parquet"),
        (b"ARROW1\0\0".to_vec(), "Arrow (Feather)", "read_feather"),
        (b"\xff\xff\xff\xff\x10\0\0\0".to_vec(), "an Arrow stream", "--features parquet"),
        (b"FEA1\0\0\0\0".to_vec(), "Feather of version 1", "read_feather"),
        (b"\x28\xb5\x2f\xfd and so on".to_vec(), "damaged zstd", "after 0 bytes"),
        (b"7z\xbc\xaf\x27\x1c and so on".to_vec(), "a 7-Zip archive", "unpack it"),
        (b"\x89PNG\r\n\x1a\n and so on".to_vec(), "a picture (PNG)", "one folder of pictures per class"),
        (b"\0\0\x08\x03\0\0\0\x02".to_vec(), "an IDX file of images", "name the folder"),
    ] {
        if cfg!(feature = "parquet") && ["Parquet", "Arrow (Feather)", "an Arrow stream"].contains(&what) {
            continue;
        }
        for problem in [read(&content).unwrap_err(), TableSummary::read(&content[..]).unwrap_err().to_string()] {
            assert!(problem.contains(what) && problem.contains(advice), "{what}: {problem:?}");
            assert_eq!(problem.lines().count(), 1, "{problem:?}");
        }
    }
}

fn request(label: Option<&str>, resident_bytes: u64) -> TableRequest {
    TableRequest {
        label: label.map(str::to_owned),
        ignored: Vec::new(),
        group: None,
        weight: None,
        text: TextOptions::default(),
        recipe: RecipeSource::Learn(RecipeOptions::default()),
        classes: None,
        holdout: None,
        resident_bytes,
        scratch: None,
    }
}

#[test]
fn the_error_of_a_missing_label_names_no_option() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flowers.csv");
    std::fs::write(&path, "length,kind\n1,rose\n2,tulip\n1,rose\n2,tulip\n").unwrap();
    let message = Tables::read(&path, &request(None, u64::MAX)).unwrap_err().to_string();
    assert!(!message.contains("--") && !message.contains("xtask"), "{message}");
}

#[test]
fn the_rows_of_a_table_fit_into_memory_not_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let text = "a,b,y\n".to_owned() + &"1.00000000000000000000,2,u\n3,0.50000000000000000000,v\n".repeat(5000);
    let path = folder.path().join("long.csv");
    std::fs::write(&path, &text).unwrap();
    let read = |path: &std::path::Path, resident_bytes| {
        Tables::read(path, &request(Some("y"), resident_bytes)).map(|tables| tables.parts[0].rows.len())
    };
    // Ten thousand rows take two numbers and a label each.
    assert_eq!(read(&path, 91_000).unwrap(), 10_000);
    let few = read(&path, 89_000).unwrap_err().to_string();
    assert!(few.contains("its rows so far take 90130 bytes") && few.contains("increase it"), "{few}");
    // A small compressed file could have any size.
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(text.as_bytes()).unwrap();
    let path = folder.path().join("long.csv.gz");
    std::fs::write(&path, packed.finish().unwrap()).unwrap();
    let packed = read(&path, 91_000).unwrap_err().to_string();
    assert!(packed.contains("it has more than the 91000 bytes that data.resident_bytes allows"), "{packed}");
}
