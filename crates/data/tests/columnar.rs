//! Parquet and Arrow files. `fixtures/columnar.py` made the files.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    ArrayRef, DictionaryArray, FixedSizeListArray, Float64Array, Int64Array, RecordBatch, RecordBatchIterator,
    RecordBatchOptions, RecordBatchReader, StringArray,
};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::ArrowError;
use chainrule_core::{BadRows, ColumnKind, Preprocessing, Recipe, TextOptions, WhyLeftOut};
use chainrule_data::readers::{READERS, Reader};
use chainrule_data::table::{Columns, Table, TableSummary};
use chainrule_data::{
    ColumnType, Holdout, InputReader, InputRows, ParquetWriter, RecipeOptions, RecipeSource, Request, TableRequest,
    Tables, Values, sha256,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/columnar").join(name)
}

/// The files with the same table.
const FILES: [&str; 14] = [
    "groups.parquet",
    "snappy.parquet",
    "delta.parquet",
    "delta_v2.parquet",
    "gzip.parquet",
    "lz4.parquet",
    "zstd.parquet",
    "pages.parquet",
    "plain.arrow",
    "batches.arrow",
    "stream.arrows",
    "zstd.arrows",
    "table.feather",
    "views.arrow",
];

fn request(recipe: RecipeSource) -> TableRequest {
    TableRequest {
        label: Some("label".to_owned()),
        text: TextOptions::default(),
        ignored: Vec::new(),
        group: Some("code".to_owned()),
        weight: None,
        recipe,
        classes: None,
        holdout: Some(Holdout { fraction: 0.3, seed: 1 }),
        resident_bytes: 1 << 20,
        scratch: None,
    }
}

/// What a training makes of a table: its recipe and classes, and the features and labels of both
/// parts.
type Content = (Recipe, Vec<String>, [(Vec<f64>, Vec<u16>); 2]);

fn content(tables: &Tables) -> Content {
    let parts = [0, 1].map(|part| {
        let rows = &tables.parts[part].rows;
        let labels = (0..rows.len()).map(|row| rows.label(row)).collect();
        (rows.clone().into_features(&Preprocessing::Raw, |x| x).unwrap(), labels)
    });
    (tables.recipe.clone(), tables.classes.clone(), parts)
}

/// Returns the record batches of a file, decoded by the arrow crates. `None` if they lack the
/// decompressor.
fn decoded(path: &Path) -> Option<Box<dyn RecordBatchReader>> {
    let file = File::open(path).unwrap();
    let batches: Box<dyn RecordBatchReader> = match path.extension()?.to_str()? {
        "parquet" => Box::new(ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(7).build().ok()?),
        "arrows" => Box::new(StreamReader::try_new(file, None).ok()?),
        _ => Box::new(FileReader::try_new(file, None).ok()?),
    };
    let schema = batches.schema();
    let batches: Result<Vec<RecordBatch>, ArrowError> = batches.collect();
    Some(Box::new(RecordBatchIterator::new(batches.ok()?.into_iter().map(Ok), schema)))
}

#[test]
fn record_batches_that_do_not_fit_are_refused() {
    let reader = InputReader::new(Recipe::of_numbers(&["x".to_owned()]), vec!["id".to_owned()], TextOptions::default());
    let batch = |columns: &[(&str, ArrayRef)]| RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let numbers = || -> ArrayRef { Arc::new(Float64Array::from(vec![1.0, 2.0])) };
    let ids = || -> ArrayRef { Arc::new(StringArray::from(vec!["a", "b"])) };
    let lists: ArrayRef =
        Arc::new(FixedSizeListArray::from_iter_primitive::<Int8Type, _, _>([None::<[_; 0]>, None], 0));
    let fits = batch(&[("x", numbers()), ("id", ids())]);
    let no_id = batch(&[("x", numbers())]);
    let problem = |batches: Vec<Result<RecordBatch, ArrowError>>| {
        let schema = batches[0].as_ref().unwrap().schema();
        let rows = reader.record_batches(RecordBatchIterator::new(batches, schema));
        rows.and_then(Iterator::collect::<Result<Vec<_>, _>>).unwrap_err().to_string()
    };
    assert_eq!(problem(vec![Ok(no_id.clone())]), "no column \"id\", which is to be kept; its columns are x");
    assert_eq!(
        problem(vec![Ok(batch(&[("x", lists), ("id", ids())]))]),
        "column \"x\": lists are not supported; convert them to numbers or texts"
    );
    assert_eq!(
        problem(vec![Ok(fits.clone()), Ok(no_id)]),
        "after row 2: a record batch has other columns than the schema"
    );
    assert_eq!(
        problem(vec![Ok(fits.clone()), Err(ArrowError::ComputeError("no memory\nleft".to_owned()))]),
        "after row 2: Compute error: no memory left"
    );
    assert_eq!(problem(vec![Ok(fits.slice(0, 0))]), "it has no rows");
}

#[test]
fn a_table_has_the_same_recipe_and_rows_in_each_format() {
    let of_kinds = |kinds: &[(&str, ColumnKind)]| {
        let kinds = kinds.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect::<BTreeMap<_, _>>();
        request(RecipeSource::Learn(RecipeOptions { kinds, min_rows: 1, ..RecipeOptions::default() }))
    };
    let learned = of_kinds(&[]);
    let categories =
        of_kinds(&["small", "gaps", "half", "single", "price", "day", "size"].map(|name| (name, ColumnKind::Category)));
    for request in [&learned, &categories] {
        let csv = Tables::read(&fixture("table.csv"), request).unwrap();
        let mut n_decoded = 0;
        assert_eq!(csv.classes, ["9007199254740993", "9007199254740994"]);
        for name in FILES {
            let path = fixture(name);
            let tables = Tables::read(&path, request).unwrap();
            assert_eq!(content(&tables), content(&csv), "{name}");
            let [file] = &tables.files[..] else { panic!("{name}: {:?}", tables.files) };
            let sha = sha256([&std::fs::read(&path).unwrap()[..]]);
            assert_eq!((&*file.name, &file.sha256), (name, &sha));
            // The first row has the number 1, and the line 2 in a CSV file.
            let rows = &tables.parts[1].rows;
            let numbers = |rows: &chainrule_data::Rows| (0..rows.len()).map(|row| rows.line(row).unwrap()).collect();
            let (own, of_csv): (Vec<u32>, Vec<u32>) = (numbers(rows), numbers(&csv.parts[1].rows));
            assert_eq!(own, of_csv.iter().map(|line| line - 1).collect::<Vec<_>>());

            // A model predicts from each.
            let reader = InputReader::new(csv.recipe.clone(), vec!["code".to_owned()], TextOptions::default());
            let content_of = |batches: InputRows| {
                let (mut rows, mut features) = (Vec::new(), Vec::new());
                for batch in batches {
                    let batch = batch.unwrap();
                    rows.extend((0..).zip(&batch.lines).map(|(i, line)| (*line, batch.kept[0].get(i).to_owned())));
                    features.extend(batch.rows.into_features(&Preprocessing::Raw, |x| x).unwrap());
                }
                (rows, features)
            };
            let content = |path: &Path| content_of(reader.open(path).unwrap());
            let ((rows, features), (of_csv, features_of_csv)) = (content(&path), content(&fixture("table.csv")));
            assert_eq!(features, features_of_csv, "{name}");
            let by_line = rows.iter().map(|(row, kept)| (row + 1, kept.clone()));
            assert_eq!(by_line.collect::<Vec<_>>(), of_csv, "{name}");

            // So it does from record batches, whoever decoded them.
            if let Some(batches) = decoded(&path) {
                let batches = reader.record_batches(batches).unwrap();
                assert_eq!(content_of(batches), (rows, features), "{name}");
                n_decoded += 1;
            }
        }
        assert!(n_decoded >= 5, "{n_decoded} files were decoded");
    }
}

#[test]
fn a_row_has_the_same_weight_in_each_format() {
    let read = |name: &str, weight: &str| {
        let recipe = RecipeSource::Learn(RecipeOptions::default());
        let request = TableRequest { weight: Some(weight.to_owned()), ..request(recipe) };
        Tables::read(&fixture(name), &request).map_err(|problem| problem.to_string())
    };
    let weights = |tables: Tables| {
        assert!(!tables.recipe.column_names().contains(&"unsigned".to_owned()));
        tables.parts.map(|part| (0..part.rows.len()).map(|row| part.rows.weight(row)).collect::<Vec<_>>())
    };
    let of_csv = weights(read("table.csv", "unsigned").unwrap());
    for name in FILES {
        assert_eq!(weights(read(name, "unsigned").unwrap()), of_csv, "{name}");
        for (column, expected) in [("gaps", "the weight is missing"), ("small", "expected a weight, a number from 0")] {
            let problem = read(name, column).unwrap_err();
            assert!(problem.contains(&format!(", column {column:?}: {expected}")), "{problem}");
        }
    }
}

#[test]
fn a_summary_counts_what_that_of_the_csv_file_counts() {
    let csv = TableSummary::read(File::open(fixture("table.csv")).unwrap()).unwrap();
    for name in FILES {
        let bytes = std::fs::read(fixture(name)).unwrap();
        let about = TableSummary::read(&bytes[..]).unwrap();
        assert_eq!((about.rows, &about.sha256), (csv.rows, &sha256([&bytes[..]])), "{name}");
        for (column, of_csv) in about.columns.iter().zip(&csv.columns) {
            // A time with an offset differs from the same time in UTC.
            let is_equal = column == of_csv || column.name == "zoned";
            assert!(is_equal, "{name}: {column:?}, {of_csv:?}");
        }
        // A gzipped file and a stream have no random access.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes).unwrap();
        let mut packed = TableSummary::read(&encoder.finish().unwrap()[..]).unwrap();
        assert_eq!(packed.read_as.facts.remove(0).is, "gzip", "{name}");
        assert_eq!(packed, about);
        let request = Request::Folder(fixture(name));
        assert_eq!(
            request.summarize_tables(TextOptions::default(), 1 << 30).unwrap().unwrap().files[0].1,
            about,
            "{name}"
        );
    }
}

#[test]
fn a_summary_holds_a_part_of_a_file_in_memory() {
    const MEMORY: u64 = 2 << 20;
    let folder = tempfile::tempdir().unwrap();
    let summary = |bytes: &[u8]| {
        let path = folder.path().join("table");
        std::fs::write(&path, bytes).unwrap();
        let about = Request::Folder(path).summarize_tables(TextOptions::default(), MEMORY);
        about.map(|about| about.unwrap().files[0].1.rows).map_err(|problem| problem.to_string())
    };
    let packed = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let batch = |n: i64| {
        let column = Arc::new((0..n).map(|i| i.wrapping_mul(0x1e37_79b9_7f4a_7c15)).collect::<Int64Array>());
        RecordBatch::try_from_iter([("a", column as ArrayRef)]).unwrap()
    };
    // Small parts: a page has 1 MiB, a batch 800 kB. All have 3.2 MB.
    let parts: Vec<RecordBatch> = (0..4).map(|_| batch(100_000)).collect();
    let [columns, messages] = [parquet(&parts), stream(&parts)];
    assert!(columns.len().min(messages.len()) as u64 > MEMORY);
    for bytes in [&columns, &messages, &packed(&messages)] {
        assert_eq!(summary(bytes), Ok(400_000));
    }
    // Parts that are too large.
    let refused = |bytes: &[u8], expected: &str| {
        let problem = summary(bytes).unwrap_err();
        assert!(problem.contains(expected) && problem.lines().count() == 1, "{problem}");
    };
    refused(
        &packed(&columns),
        "more than the 2097152 bytes that data.resident_bytes allows in memory; unpack it, so that",
    );
    let large = stream(&[batch(400_000)]);
    for bytes in [&large, &packed(&large)] {
        refused(bytes, "after row 0: a message has more than the 2097152 bytes");
    }
    // Dictionaries of 900 kB each: the first four replace each other, those of the last grow.
    let dictionary = |numbers: Range<usize>| {
        let texts: Vec<String> = numbers.map(|i| format!("{i:>900}")).collect();
        let column: DictionaryArray<Int32Type> = texts.iter().map(|text| Some(text.as_str())).collect();
        RecordBatch::try_from_iter([("a", Arc::new(column) as ArrayRef)]).unwrap()
    };
    let replaced = stream(&[0, 1, 2, 3].map(|i| dictionary(1000 * i..1000 * (i + 1))));
    assert_eq!(summary(&replaced), Ok(4000));
    let grown = stream(&[0, 1, 2, 3].map(|i| dictionary(0..1000 * (i + 1))));
    refused(&grown, "the set of its dictionaries has more than the 2097152 bytes");
}

/// Reads a table with the label `y`, without some columns.
fn read(bytes: &[u8], ignored: &[&str]) -> Result<Table, String> {
    let ignored: Vec<String> = ignored.iter().map(|name| (*name).to_owned()).collect();
    let columns = Columns { label: Some("y"), ignored: &ignored, ..Columns::default() };
    Table::read(bytes, columns, 1 << 20).map_err(|problem| problem.to_string())
}

#[test]
fn a_column_that_is_not_supported_is_refused_only_if_it_is_used() {
    let nested = [("list", "lists"), ("structure", "structures"), ("map", "maps"), ("bytes", "bytes")];
    let others: Vec<(&str, &str)> = [&nested[..], &[("duration", "durations")]].concat();
    for name in ["types.parquet", "types.arrow"] {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for (column, what) in &others {
            let ignored: Vec<&str> = others.iter().map(|(name, _)| *name).filter(|name| name != column).collect();
            let problem = read(&bytes, &ignored).unwrap_err();
            assert_eq!(
                problem,
                format!(
                    "column {column:?}: {what} are not supported; convert them to numbers or texts, or leave the column out (data.ignore)"
                )
            );
        }
        let ignored: Vec<&str> = others.iter().map(|(name, _)| *name).collect();
        let table = read(&bytes, &ignored).unwrap();
        assert_eq!((table.columns(), table.len()), (&["x", "time", "nothing"].map(str::to_owned)[..], 4));
        // The text of a number that is infinite, as in a CSV file.
        let options =
            RecipeOptions { kinds: [("x".to_owned(), ColumnKind::Number)].into(), ..RecipeOptions::default() };
        let problem = table.learn_recipe(&options).unwrap_err().to_string();
        assert!(problem.starts_with("row 3, column \"x\": \"inf\" is not a number"), "{problem}");

        let about = TableSummary::read(&bytes[..]).unwrap();
        let counts =
            about.columns.iter().map(|of| (of.name.as_str(), [of.numbers, of.missing, of.texts], of.different));
        let expected = [
            ("x", [2, 1, 1], Some(4)),
            ("list", [0, 0, 4], None),
            ("structure", [0, 0, 4], None),
            ("map", [0, 0, 4], None),
            ("bytes", [0, 0, 4], None),
            ("duration", [0, 0, 4], None),
            ("time", [0, 1, 3], Some(4)),
            ("nothing", [0, 4, 0], Some(1)),
            ("y", [0, 0, 4], Some(2)),
        ];
        assert_eq!(counts.collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn the_index_of_pandas_numbers_the_rows() {
    let tables = Tables::read(
        &fixture("index.parquet"),
        &TableRequest { group: None, ..request(RecipeSource::Learn(RecipeOptions::default())) },
    );
    let recipe = tables.unwrap().recipe;
    let left_out: Vec<_> = recipe.left_out.iter().map(|left_out| (left_out.name.as_str(), &left_out.why)).collect();
    assert_eq!(left_out, [("__index_level_0__", &WhyLeftOut::RowNumber)]);
}

#[test]
fn errors_name_row_and_column_and_what_to_do() {
    let check = |result: Result<Table, String>, expected: &str| {
        let problem = result.map(|table| format!("{table:?}")).unwrap_err();
        assert!(problem.contains(expected) && problem.lines().count() == 1, "{problem}");
    };
    let brotli = std::fs::read(fixture("brotli.parquet")).unwrap();
    check(read(&brotli, &[]), "no column \"y\" for the label; its columns are small, label");
    let columns = Columns { label: Some("label"), ..Columns::default() };
    check(
        Table::read(&brotli[..], columns, 1 << 20).map_err(|problem| problem.to_string()),
        "it is compressed by Brotli, which is not supported; use snappy, gzip, lz4 or zstd",
    );
    let snappy = std::fs::read(fixture("snappy.parquet")).unwrap();
    check(
        Table::read(&snappy[..], columns, 1000).map_err(|problem| problem.to_string()),
        "it has more than the 1000 bytes that data.resident_bytes allows in memory",
    );
    let texts = |texts: &[&str]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
    let table = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).unwrap();
    let numbers = || Arc::new(Float64Array::from(vec![1.0, 2.0])) as ArrayRef;
    check(
        read(&parquet(&[table(vec![("a", numbers()), ("y", texts(&["u", "v\u{7}"]))])]), &[]),
        "row 2, column \"y\": the label has a control character",
    );
    check(
        read(&parquet(&[table(vec![("a", numbers()), ("a ", numbers())])]), &[]),
        "no column \"y\" for the label; its columns are a, a.1",
    );
    let empty = table(vec![("a", Arc::new(Float64Array::new_null(0)) as ArrayRef), ("y", texts(&[]))]);
    check(read(&parquet(std::slice::from_ref(&empty)), &[]), "it has no rows");
    check(read(&stream(&[empty]), &[]), "it has no rows");
    let nothing = RecordBatch::try_new_with_options(
        Arc::new(arrow_schema::Schema::empty()),
        Vec::new(),
        &RecordBatchOptions::new().with_row_count(Some(3)),
    );
    check(read(&stream(&[nothing.unwrap()]), &[]), "it has no columns");
    // Its rows take more memory than its bytes.
    let many = table(vec![
        ("a", Arc::new(Int64Array::new_null(300_000)) as ArrayRef),
        ("y", Arc::new(vec![Some("u"); 300_000].into_iter().collect::<DictionaryArray<Int8Type>>()) as ArrayRef),
    ]);
    let bytes = parquet(&[many]);
    assert!(bytes.len() < 10_000);
    check(read(&bytes, &[]), "bytes, more than data.resident_bytes = 1048576 allows in memory");
}

#[test]
fn files_stored_by_rows_and_by_columns_are_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["a.csv", "b.parquet", "c.arrows", "d.csv"].map(|name| folder.path().join(name));
    let path = PathBuf::from(std::env::join_paths(&files).unwrap());
    let request = TableRequest { group: None, ..request(RecipeSource::Learn(RecipeOptions::default())) };
    // `v` is the label of one more row: the second one of a file.
    let read = |with_v: usize| {
        for (i, file) in files.iter().enumerate() {
            let labels = ["u", if i == with_v { "v" } else { "u" }];
            let numbers = Arc::new(Int64Array::from(vec![5, 6])) as ArrayRef;
            let labels_of_batch = Arc::new(StringArray::from(labels.to_vec())) as ArrayRef;
            let batch = RecordBatch::try_from_iter([("a", numbers), ("label", labels_of_batch)]).unwrap();
            let bytes = match file.extension().unwrap().to_str().unwrap() {
                "parquet" => parquet(&[batch]),
                "arrows" => stream(&[batch]),
                _ => format!("a,label\n5,{}\n6,{}\n", labels[0], labels[1]).into_bytes(),
            };
            std::fs::write(file, bytes).unwrap();
        }
        Tables::read(&path, &request)
    };
    for (i, place) in ["line 3", "row 2", "row 2", "line 3"].into_iter().enumerate() {
        let problem = read(i).map(|tables| tables.files).unwrap_err().to_string();
        let expected = format!("{}, {place}: the only row of the label \"v\"", files[i].display());
        assert!(problem.contains(&expected), "{problem}");
    }
    let request = TableRequest { holdout: None, ..request };
    let tables = Tables::read(&path, &request).unwrap();
    assert_eq!(tables.parts[0].rows.len(), 8);
    let formats: Vec<_> = tables.files.iter().map(|file| file.read_as.format).collect();
    assert_eq!(formats, ["CSV", "Parquet", "Arrow", "CSV"]);
    assert_eq!(tables.notes(), ["no rows are held out; validation figures are those of the training rows"]);
    let skipping = TextOptions { bad_rows: BadRows::Skip, ..TextOptions::default() };
    let tables = Tables::read(&path, &TableRequest { text: skipping, ..request }).unwrap();
    let about = |note: &&String| note.contains("has no effect on");
    let notes = tables.notes();
    let notes: Vec<&String> = notes.iter().filter(about).collect();
    let [of_parquet, of_arrow] = notes[..] else { panic!("{notes:?}") };
    assert!(of_parquet.contains("data.bad_rows = \"skip\" has no effect on Parquet: a value that"), "{of_parquet}");
    assert!(of_arrow.contains("has no effect on Arrow"), "{of_arrow}");
}

fn parquet(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batches[0].schema(), None).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
        writer.flush().unwrap();
    }
    writer.into_inner().unwrap()
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let options = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn file(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

#[test]
fn dictionaries_of_different_batches_are_joined_by_value() {
    let batch = |texts: &[Option<&str>]| {
        let column = || Arc::new(texts.iter().copied().collect::<DictionaryArray<Int32Type>>()) as ArrayRef;
        RecordBatch::try_from_iter_with_nullable([("a", column(), true), ("y", column(), true)]).unwrap()
    };
    let batches = [batch(&[Some("u"), Some("v"), None]), batch(&[Some("v"), Some("u")]), batch(&[None, Some("w")])];
    for bytes in [parquet(&batches), stream(&batches)] {
        let table = read(&bytes, &[]).unwrap();
        let labels: Vec<&str> = (0..table.len()).filter_map(|row| table.label(row)).collect();
        assert_eq!(labels, ["u", "v", "", "v", "u", "", "w"]);
    }
}

#[test]
fn damaged_files_are_an_error_or_another_table() {
    let same = || {
        let numbers = Arc::new((0..50).map(f64::from).collect::<Float64Array>()) as ArrayRef;
        let texts = (0..50).map(|i| if i % 3 == 0 { "u" } else { "v" });
        let texts = Arc::new(texts.collect::<DictionaryArray<Int8Type>>()) as ArrayRef;
        RecordBatch::try_from_iter([("a", numbers), ("y", texts)]).unwrap()
    };
    let made = [parquet(&[same(), same()]), stream(&[same(), same()]), file(&[same()])];
    let read_file = |name: &str| std::fs::read(fixture(name)).unwrap();
    let files =
        made.into_iter().chain(["types.parquet", "types.arrow", "pages.parquet", "delta_v2.parquet"].map(read_file));
    let label = Columns { label: Some("y"), ..Columns::default() };
    let other = ["x", "time", "city", "code"].map(str::to_owned);
    let check = |bytes: &[u8]| {
        let of = |features| Columns { features: Some(features), ..Columns::default() };
        for columns in [label, of(&other[..2]), of(&other[2..])] {
            if let Err(problem) = Table::read(bytes, columns, 1 << 20) {
                let problem = problem.to_string();
                assert!(!problem.contains('\n') && problem.chars().count() < 1000, "{problem:?}");
            }
        }
        let about = TableSummary::read(bytes);
        if let Ok(about) = about {
            let is_whole = |of: &chainrule_data::table::ColumnSummary| of.numbers + of.missing + of.texts == about.rows;
            assert!(about.columns.iter().all(is_whole), "{about:?}");
        }
    };
    for bytes in files {
        check(&bytes);
        // No part of a file is a table.
        for length in (0..bytes.len()).step_by(97).chain(bytes.len().saturating_sub(20)..bytes.len()) {
            let problem = TableSummary::read(&bytes[..length]).map(|about| about.rows);
            // Without its magic bytes it is a text.
            assert!(problem.is_err() || length < 10, "{length} of {} bytes: {problem:?}", bytes.len());
        }
        let mut damaged = bytes.clone();
        // A prime, so that all kinds of places are met.
        for at in (0..bytes.len()).step_by(if bytes.len() > 4000 { 101 } else { 11 }) {
            for damage in [bytes[at] ^ (1 << (at % 8)), 0xff, 0x7f, 0] {
                damaged[at] = damage;
                check(&damaged);
            }
            damaged[at] = bytes[at];
            for extreme in [[0xff; 8], 0x7fff_ffff_u64.to_le_bytes(), i64::MAX.to_le_bytes()] {
                let end = bytes.len().min(at + 8);
                damaged[at..end].copy_from_slice(&extreme[..end - at]);
                check(&damaged);
                damaged[at..end].copy_from_slice(&bytes[at..end]);
            }
        }
    }
}

#[test]
fn formats_are_listed() {
    let names: Vec<&str> = READERS.iter().map(|reader| reader.name()).collect();
    assert!(names.contains(&"Parquet") && names.contains(&"Arrow"), "{names:?}");
    let readers = READERS.iter().filter(|reader| ["Parquet", "Arrow"].contains(&reader.name()));
    let extensions: Vec<&str> = readers.flat_map(|reader: &&dyn Reader| reader.extensions()).copied().collect();
    for name in FILES {
        let extension = Path::new(name).extension().unwrap().to_str().unwrap();
        assert!(extensions.contains(&extension), "{name}");
    }
}

/// A sink whose bytes can be looked at while it is written.
#[derive(Clone, Default)]
struct Shared(Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_written_table_is_read_back_and_is_not_kept_in_memory() {
    const ROWS: usize = 5000;
    let columns = [("line", ColumnType::Whole), ("p", ColumnType::Number), ("id", ColumnType::Text)];
    let columns = columns.map(|(name, kind)| (name.to_owned(), kind));
    let sink = Shared::default();
    let mut writer = ParquetWriter::new(sink.clone(), &columns).unwrap();
    let number = |row: usize| (!row.is_multiple_of(7)).then(|| (row as f64 * 0.618_034).fract());
    for first in (0..40 * ROWS).step_by(ROWS) {
        let rows = first..first + ROWS;
        let lines = rows.clone().map(|row| Some(row as i64)).collect();
        let texts = rows.clone().map(|row| (!row.is_multiple_of(5)).then(|| format!("x{row}"))).collect();
        let values = vec![Values::Whole(lines), Values::Numbers(rows.map(number).collect()), Values::Texts(texts)];
        writer.write(values).unwrap();
        // Two numbers take more than 12 bytes a row.
        let n_written = sink.0.lock().unwrap().len() / 12;
        assert!(n_written + (1 << 16) > first, "{n_written} of {first} rows are written");
    }
    writer.finish().unwrap();
    let bytes = sink.0.lock().unwrap();
    let recipe = Recipe::of_numbers(&["line".to_owned()]);
    let reader = InputReader::new(recipe, vec!["p".to_owned(), "id".to_owned()], TextOptions::default());
    let mut row = 0;
    for batch in reader.read(&bytes[..]).unwrap() {
        let batch = batch.unwrap();
        for i in 0..batch.lines.len() {
            let expected = number(row).map_or(String::new(), |number| format!("{number:?}"));
            assert_eq!((batch.lines[i], batch.kept[0].get(i)), (row as u64 + 1, &*expected));
            assert_eq!(batch.kept[1].get(i).is_empty(), row.is_multiple_of(5));
            row += 1;
        }
    }
    assert_eq!(row, 40 * ROWS);
}
