//! Tables with many rows, whose numbers are stored in four bytes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write;

use chainrule_core::{ColumnKind, Preprocessing, Recipe, TextOptions};
use chainrule_data::table::{Columns, Table};
use chainrule_data::{FeatureColumns, Holdout, RecipeOptions, RecipeSource, Rows, TableRequest, Tables};

const N: usize = 70_000;

/// The numbers of column j in row i, as they are written.
const COLUMNS: [fn(usize) -> f64; 7] = [
    // Short decimals of both signs.
    |i| (i as f64 - 3e4) / 7.0,
    // Seconds since 1970, every hundredth of a second.
    |i| 1.7e9 + i as f64 / 100.0,
    // Small whole numbers.
    |i| (i % 97) as f64,
    // Large whole numbers far from each other, which f32 does not represent.
    |i| (i * i) as f64 * 1001.0 - 1e6,
    // Almost the same number everywhere.
    |i| -1e-9 - i as f64 * 1e-18,
    // Large and small ones.
    |i| if i % 2 == 0 { 1e30 } else { -1e-30 * i as f64 },
    // The same in all of the first blocks.
    |i| if i < 66_000 { 12.5 } else { 12.5 + (i - 66_000) as f64 * 1e-6 },
];

fn text(rows: std::ops::Range<usize>) -> String {
    let mut text = (0..COLUMNS.len()).map(|j| format!("c{j},")).collect::<String>() + "mixed,y\n";
    for i in rows {
        COLUMNS.iter().for_each(|column| write!(text, "{},", column(i)).unwrap());
        match i % 1000 {
            _ if i == N - 1 => text += "the only text",
            7 => {}
            _ => write!(text, "{}.1", i % 1013).unwrap(),
        }
        text += if i % 3 == 0 { ",u\n" } else { ",v\n" };
    }
    text
}

fn read(text: &str) -> (Rows, Recipe) {
    let columns = Columns { label: Some("y"), ..Columns::default() };
    let table = Table::read(text.as_bytes(), columns, u64::MAX).unwrap();
    let names: Vec<String> = (0..COLUMNS.len()).map(|j| format!("c{j}")).collect();
    let recipe = table.learn_recipe(&RecipeOptions::default()).unwrap();
    (table.encode(&Recipe::of_numbers(&names)).unwrap().rows, recipe)
}

#[test]
fn rounding_changes_standardised_numbers_little() {
    let (rows, recipe) = read(&text(0..N));
    let values = rows.clone().into_features(&Preprocessing::Raw, |x| x).unwrap();
    let moments = rows.moments().unwrap();
    let d = COLUMNS.len();
    for (j, column) in COLUMNS.iter().enumerate() {
        let mean = (0..N).map(|i| column(i) / N as f64).sum::<f64>();
        let deviation = ((0..N).map(|i| (column(i) - mean).powi(2)).sum::<f64>() / N as f64).sqrt();
        let largest = (0..N).map(|i| (values[i * d + j] - column(i)).abs()).fold(0.0, f64::max);
        // The bound that the documentation states.
        assert!(largest <= 5e-7 * deviation, "column {j}: {largest:e} beside {deviation:e}");
        assert!((moments.scale[j] / deviation - 1.0).abs() < 1e-6, "column {j}: {} {deviation}", moments.scale[j]);
        let is_rounded = [0, 1, 4, 6].contains(&j);
        assert_eq!(largest > 0.0, is_rounded, "column {j}: {largest:e}");
    }
    // The numbers of a category keep their decimal forms, and texts and missing values their
    // places.
    let mixed = recipe.columns.iter().find(|column| column.name == "mixed").unwrap();
    let names = Recipe { columns: vec![mixed.clone()], ..Recipe::default() }.feature_names();
    assert!(names.contains(&"mixed=1000.1".to_owned()) && names.contains(&"mixed=(missing)".to_owned()));
    assert!(names.iter().all(|name| name.ends_with(".1") || name.ends_with(')')), "a level has another form");
}

/// A model's scale may be far smaller than that of the rows to predict.
#[test]
fn rows_for_a_model_are_exact_however_many() {
    let number = |i: usize| if i < 1000 { 1e9 + i as f64 / 7.0 } else { 5.0 + (i % 3) as f64 };
    let mut text = "a,y\n".to_owned();
    (0..N).for_each(|i| writeln!(text, "{},{}", number(i), i % 2).unwrap());
    let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
    std::fs::write(file.path(), text).unwrap();
    let recipe = Recipe::of_numbers(&["a".to_owned()]);
    let rows = chainrule_data::InputReader::new(recipe.clone(), Vec::new(), TextOptions::default());
    let batches = rows.open(file.path()).unwrap().map(|batch| batch.unwrap().rows);
    let request = TableRequest {
        label: Some("y".to_owned()),
        ignored: Vec::new(),
        group: None,
        weight: None,
        text: TextOptions::default(),
        recipe: RecipeSource::Model(recipe.clone()),
        classes: None,
        holdout: None,
        resident_bytes: 1 << 30,
        scratch: None,
    };
    let labelled = Tables::read(file.path(), &request).unwrap();
    let values = |rows: Rows| rows.into_features(&Preprocessing::Raw, |x| x).unwrap();
    for values in [batches.flat_map(values).collect(), values(labelled.parts[0].rows.clone())] {
        assert!(values.len() == N && (0..N).all(|i| values[i] == number(i)));
    }
}

/// A mark of a missing value is recognised although it is rounded like a number.
#[test]
fn marks_of_missing_values_may_be_fractions() {
    let mut text = "a,b,c,y\n".to_owned();
    for i in 0..N {
        let marked = |number: f64| if i % 10 == 3 { "-99.9".to_owned() } else { number.to_string() };
        let [a, b] = [i as f64 / 7.0, 1e7 + i as f64 / 700.0].map(marked);
        writeln!(text, "{a},{b},{},{}", i % 3, i % 2).unwrap();
    }
    let columns = Columns { label: Some("y"), ..Columns::default() };
    let table = Table::read(text.as_bytes(), columns, u64::MAX).unwrap();
    let options = RecipeOptions { missing: vec!["-99.9".to_owned()], ..RecipeOptions::default() };
    let recipe = table.learn_recipe(&options).unwrap();
    assert_eq!(recipe.feature_names(), ["a", "a=(missing)", "b", "b=(missing)", "c"]);
    let rows = table.encode(&recipe).unwrap().rows.into_features(&Preprocessing::Raw, |x| x).unwrap();
    for (i, row) in rows.chunks_exact(5).enumerate() {
        let is_missing = if i % 10 == 3 { 1.0 } else { 0.0 };
        assert!(row[1] == is_missing && row[3] == is_missing && row[0] >= 0.0 && row[2] >= 1e7, "row {i}: {row:?}");
    }
}

/// A column of numbers and texts is a category, and rounding must not make two levels of one
/// number.
#[test]
fn numbers_beside_texts_have_one_level_each() {
    const NUMBERS: [&str; 6] = ["0.1", "0.123456789", "7", "3.14159265358979", "1e-3", "-2.50"];
    let request = |recipe| TableRequest {
        label: Some("y".to_owned()),
        ignored: Vec::new(),
        group: None,
        weight: None,
        text: TextOptions::default(),
        recipe,
        classes: None,
        holdout: None,
        resident_bytes: 1 << 30,
        scratch: None,
    };
    // The text may come when many numbers have been rounded.
    for text_at in [3, N - 1] {
        let mut text = "m,y\n".to_owned();
        for i in 0..N {
            let level = if i == text_at { "word" } else { NUMBERS[i % 6] };
            writeln!(text, "{level},{}", i % 2).unwrap();
        }
        let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
        std::fs::write(file.path(), text).unwrap();
        let learn = RecipeSource::Learn(RecipeOptions::default());
        let trained = Tables::read(file.path(), &request(learn)).unwrap();
        let names = trained.recipe.feature_names();
        assert_eq!(names.len(), NUMBERS.len() + 1, "{names:?}");
        // As new rows, all fields are texts.
        let model = RecipeSource::Model(trained.recipe.clone());
        let read_again = Tables::read(file.path(), &request(model)).unwrap();
        let [ours, theirs] = [&trained, &read_again].map(|tables| {
            let part = &tables.parts[0];
            assert!(part.unseen.is_empty(), "{:?}", part.unseen);
            part.rows.clone().into_features(&Preprocessing::Raw, |x| x).unwrap()
        });
        assert!(ours == theirs && ours.iter().sum::<f64>() == N as f64, "{names:?}");
    }
}

#[test]
fn short_tables_are_exact() {
    let (rows, _) = read(&text(0..65_536));
    let values = rows.into_features(&Preprocessing::Raw, |x| x).unwrap();
    for (place, value) in values.iter().enumerate() {
        let (i, j) = (place / COLUMNS.len(), place % COLUMNS.len());
        assert_eq!(*value, COLUMNS[j](i), "row {i}, column {j}");
    }
}

/// f32 would round such numbers to 0, or to few digits.
#[test]
fn tiny_numbers_of_a_long_table_are_exact() {
    let number = |i: usize, power: i32| (i as f64 + 0.1) * 10f64.powi(power);
    let powers = [-44, -50, -170, -300];
    let mut text = "a,b,c,d,y\n".to_owned();
    for i in 0..N {
        // The first blocks of a column may have zeros only.
        let row = powers.map(|power| if power == -50 && i < 66_000 { 0.0 } else { number(i, power) });
        writeln!(text, "{:e},{:e},{:e},{:e},{}", row[0], row[1], row[2], row[3], i % 2).unwrap();
    }
    let columns = Columns { label: Some("y"), ..Columns::default() };
    let table = Table::read(text.as_bytes(), columns, u64::MAX).unwrap();
    let names = ["a", "b", "c", "d"].map(str::to_owned);
    let rows = table.encode(&Recipe::of_numbers(&names)).unwrap().rows;
    let values = rows.into_features(&Preprocessing::Raw, |x| x).unwrap();
    for (i, row) in values.chunks_exact(4).enumerate().skip(66_000) {
        assert_eq!(row, powers.map(|power| number(i, power)), "row {i}");
    }
}

/// Whatever the memory, a table gives the same recipe, features, labels and lines.
#[test]
fn a_table_larger_than_memory_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.csv");
    std::fs::write(&path, text(0..N)).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let read = |resident_bytes, scratch: Option<&std::path::Path>| {
        let request = TableRequest {
            label: Some("y".to_owned()),
            ignored: Vec::new(),
            group: None,
            weight: None,
            text: TextOptions::default(),
            recipe: RecipeSource::Learn(RecipeOptions {
                kinds: [("mixed".to_owned(), ColumnKind::Category)].into(),
                ..RecipeOptions::default()
            }),
            classes: None,
            holdout: Some(Holdout { fraction: 0.25, seed: 5 }),
            resident_bytes,
            scratch: scratch.map(std::path::Path::to_owned),
        };
        Tables::read(&path, &request)
    };
    let all = read(1 << 30, None).unwrap();
    assert!(all.parts.iter().all(|part| part.rows.scratch().is_none()));
    // The first limit is reached before a column is long enough to be rounded.
    for resident_bytes in [300_000, 3_000_000] {
        let limited = read(resident_bytes, Some(scratch.path())).unwrap();
        assert_eq!(limited.recipe, all.recipe);
        for (part, expected) in limited.parts.iter().zip(&all.parts) {
            let (rows, expected) = (&part.rows, &expected.rows);
            assert!(rows.scratch().is_some_and(|file| file.len() > 1_000_000));
            assert_eq!(rows.labels(), expected.labels());
            assert!((0..rows.len()).all(|row| rows.line(row) == expected.line(row)));
            assert_eq!(rows.moments().unwrap(), expected.moments().unwrap());
            assert_eq!(rows.sha256().unwrap(), expected.sha256().unwrap());
            let mut columns = [rows, expected].map(|rows| {
                let (reader, mut columns) = (rows.feature_reader().unwrap(), FeatureColumns::default());
                reader.read(1000..4000, &mut columns).unwrap();
                (columns.numbers, columns.codes)
            });
            let [ours, theirs] = &mut columns;
            assert!(ours == theirs);
            // As a batch of a shuffled epoch.
            let chosen: Vec<usize> = (0..500).map(|i| i * 7919 % rows.len()).collect();
            let [ours, theirs] = [rows, expected].map(|rows| rows.select(&chosen).sha256().unwrap());
            assert_eq!(ours, theirs);
        }
    }
    // The file has no name.
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    let few = read(50_000, Some(scratch.path())).unwrap_err().to_string();
    assert!(
        few.contains("besides their file (labels, different texts, the latest rows)")
            && few.contains("resident_bytes = 50000"),
        "{few}"
    );
    let nowhere = read(300_000, Some(&scratch.path().join("none"))).unwrap_err().to_string();
    assert!(nowhere.contains("TMPDIR") && nowhere.contains("none") && nowhere.contains("300000"), "{nowhere}");
}
