//! How the columns of a table become features.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use chainrule_core::{ColumnKind, Encoding, Recipe, Standardization, TextOptions, WhyLeftOut};
use chainrule_data::{Holdout, RecipeOptions, RecipeSource, RowBuffer, Rows, TableRequest, Tables, Unseen};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

fn options() -> RecipeOptions {
    RecipeOptions::default()
}

fn request(recipe: RecipeSource) -> TableRequest {
    TableRequest {
        label: Some("y".to_owned()),
        ignored: Vec::new(),
        group: None,
        weight: None,
        text: TextOptions::default(),
        recipe,
        classes: None,
        holdout: None,
        resident_bytes: 1 << 24,
        scratch: None,
    }
}

fn read_with(content: &str, request: &TableRequest) -> Result<Tables, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    std::fs::write(&path, content).unwrap();
    Tables::read(&path, request).map_err(|error| error.to_string())
}

fn read(content: &str, options: RecipeOptions) -> Tables {
    read_with(content, &request(RecipeSource::Learn(options))).unwrap()
}

fn features(rows: &Rows) -> Vec<Vec<f64>> {
    let mut buffer = RowBuffer::default();
    (0..rows.len()).map(|row| rows.row(row, &mut buffer).unwrap().to_vec()).collect()
}

/// Returns the number of each row in its file.
fn numbers(rows: &Rows) -> Vec<usize> {
    (0..rows.len()).map(|row| rows.stored_index(row)).collect()
}

/// Describes what each column becomes.
fn told(recipe: &Recipe) -> BTreeMap<String, String> {
    let kept = recipe.columns.iter().map(|column| (column.name.clone(), column.encoding.to_string()));
    let left_out = recipe.left_out.iter().map(|left_out| (left_out.name.clone(), left_out.why.to_string()));
    kept.chain(left_out).collect()
}

/// A table of one column beside the label, with 8 rows or more.
fn column(name: &str, values: &[&str]) -> String {
    let rows = values.iter().enumerate().map(|(i, value)| format!("{value},{},{}\n", i % 3, ["a", "b"][i % 2]));
    format!("{name},other,y\n{}", rows.collect::<String>())
}

fn becomes(name: &str, values: &[&str]) -> String {
    told(&read(&column(name, values), options()).recipe)[name].clone()
}

#[test]
fn messages_have_a_readable_length_whatever_the_file_has() {
    let is_short = |message: &str| assert!(message.chars().count() < 1000, "{message}");
    // Found by fuzzing: a long text beside a number.
    let long = "\u{1e}".repeat(100_000);
    let mixed = ["1", "2", "3", "4", "5", "6", "7", &long];
    is_short(&becomes("x", &mixed));
    let expected = format!("such as {:?};", "\u{1e}".repeat(40) + "…");
    assert!(becomes("x", &mixed).contains(&expected), "{}", becomes("x", &mixed));
    // A level that no training row has, and a text instead of a date.
    let recipe = read(&column("x", &["a", "b", "a", "b", "a", "b", "a", "b"]), options()).recipe;
    let tables = read_with(&column("x", &["a", "b", &long, "a"]), &request(RecipeSource::Model(recipe))).unwrap();
    let messages: Vec<String> = tables.parts[0].unseen.iter().filter_map(Unseen::message).collect();
    assert!(messages.len() == 1 && messages[0].contains("such as"), "{messages:?}");
    is_short(&messages[0]);
    let dates = RecipeOptions { kinds: [("x".to_owned(), ColumnKind::Date)].into(), ..options() };
    let problem = read_with(&column("x", &["2024-01-01", &long]), &request(RecipeSource::Learn(dates))).unwrap_err();
    assert!(problem.contains("is no ISO date"), "{problem}");
    is_short(&problem);
    // Many columns that are left out.
    let row = |value: &str, label: &str| format!("{}{label}\n", format!("{value},").repeat(5000));
    let names: String = (0..5000).map(|j| format!("n{j},")).collect();
    let content = format!("{names}y\n{}{}{}{}", row("1", "u"), row("1", "v"), row("1", "u"), row("1", "v"));
    let problem =
        read_with(&content, &request(RecipeSource::Learn(options()))).map(|tables| tables.recipe).unwrap_err();
    assert!(
        problem.contains("\"n1\" is left out: it is the same") && problem.contains(" more; data.columns"),
        "{problem}"
    );
    is_short(&problem);
}

#[test]
fn values_decide_what_a_column_becomes() {
    let check = |values: [&str; 8], expected: &str| assert_eq!(becomes("x", &values), expected, "{values:?}");
    check(["1", "2", "2", "4", "1", "2", "3", "4"], "a number");
    check(["1e3", "-.5", "+2", "0", "1", "1", "1", "1"], "a number");
    check(["1", "NA", "?", "", "3", "2", "2", "null"], "a number; missing as the mean 2, and a feature for missing");
    check(["a", "b", "a", "b", "a", "b", "c", "a"], "3 levels: a, b, c");
    check(["true", "false", "true", "true", "true", "true", "true", "true"], "2 levels: false, true");
    check(["a", "b", "", "b", "NA", "b", "a", "a"], "2 levels: a, b; missing as a level");
    check(["a", "a", "1", "1", "1.0", "1", "1", "1"], "2 levels: 1, a");
    check(["-", "+", "+", "-", "+", "+", "-", "-"], "2 levels: +, -");
    let dates = ["2024-01-01", "2024-01-02", "2024-01-02", "2024-01-01", "", "2024-01-03", "2024-01-01", "2024-01-01"];
    check(dates, "days since 1970-01-01; missing as the mean 19724, and a feature for missing");
    // Left out.
    check([""; 8], "it is empty");
    check(["NA", "", "", "", "", "", "", ""], "it is empty");
    check(["7"; 8], "it is the same in every row");
    check(["s"; 8], "it is the same in every row");
    let one_day = ["2024-01-02", "2024/01/02", "2024-01-02 00:00", "2024-01-02", "", "", "", ""];
    check(
        [one_day[0], one_day[1], one_day[2], one_day[0], one_day[1], one_day[2], one_day[0], one_day[0]],
        "it is the same in every row",
    );
    check(one_day, "days since 1970-01-01; missing as the mean 19724, and a feature for missing");
    // Numbers that cannot be standardised.
    let rounding = ["0.3", "0.30000000000000004", "0.3", "0.3", "0.3", "0.3", "0.3", "0.3"];
    check(rounding, "its numbers differ by rounding only");
    let tiny = ["1e-201", "2e-201", "1e-201", "0", "1e-201", "1e-201", "1e-201", "1e-320"];
    check(tiny, "its numbers differ by less than 1e-200; multiply them by a large number");
    check(
        ["1e-170", "2e-170", "1e-170", "1e-170", "", "1e-170", "1e-170", "1e-170"],
        "a number; missing as the mean 1.143e-170, and a feature for missing",
    );
    check(["a", "b", "c", "d", "e", "f", "g", "h"], "a text with 8 different values, more than half as many as rows");
    check(
        ["1.5", "2.25", "3.1", "4.7", "5.2", "6.3", "7.9", "oops"],
        "it has 7 numbers and 1 text such as \"oops\"; if this marks a missing value, name it in data.missing",
    );
    // A column with one value and missing ones says something.
    check(["7", "", "7", "7", "7", "7", "7", "7"], "a number; missing as the mean 7, and a feature for missing");
}

#[test]
fn a_column_that_numbers_the_rows_is_left_out() {
    let numbers = |first: usize, step: usize, n: usize| {
        let mut numbers: Vec<String> = (0..n).map(|i| (first + step * i).to_string()).collect();
        numbers.shuffle(&mut SmallRng::seed_from_u64(1));
        numbers
    };
    let check = |name: &str, values: &[String], is_left_out: bool| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let expected = if is_left_out { "it numbers the rows" } else { "a number" };
        assert!(becomes(name, &values).starts_with(expected), "{name} {values:?}");
    };
    check("n", &numbers(1, 1, 60), true);
    check("n", &numbers(0, 1, 60), true);
    // Held-out rows and missing values leave gaps.
    let kept: Vec<String> = numbers(1, 1, 60).into_iter().filter(|n| n.parse::<u32>().unwrap() % 5 != 2).collect();
    check("n", &kept, true);
    check("n", &[&numbers(1, 1, 60)[..], &[String::new()]].concat(), true);
    // Other numbers without gaps are a quantity, and so is a year. A part of a file has a name.
    check("n", &numbers(100, 1, 60), false);
    check("n", &numbers(3, 5, 60), false);
    check("year", &numbers(1, 1, 60), false);
    for name in ["rownames", "Unnamed: 0.1", "user_id", "PassengerId", "...1", "obs", "row_names"] {
        check(name, &numbers(3, 50, 60), true);
    }
    check("valid", &numbers(3, 50, 60), false);
    // So few rows may have different small numbers by chance, unless the name says what they are.
    check("n", &numbers(1, 1, 8), false);
    check("rownames", &numbers(1, 1, 8), true);
    check("ID", &numbers(1, 1, 8), true);
    // Different numbers that are far apart are a measurement.
    check("n", &numbers(1, 1000, 60), false);
    let mut repeated = numbers(1, 1, 60);
    repeated[0] = repeated[1].clone();
    check("n", &repeated, false);
    check("rownames", &repeated, false);
    let halves: Vec<String> = (0..60).map(|i| format!("{i}.5")).collect();
    check("n", &halves, false);
    // An index without a name.
    let rows: String = (0..9).map(|i| format!("{i},{},{}\n", i % 4, ["a", "b"][i % 2])).collect();
    let recipe = read(&format!(",x,y\n{rows}"), options()).recipe;
    assert_eq!((recipe.column_names(), &recipe.left_out[0].why), (vec!["x".to_owned()], &WhyLeftOut::RowNumber));
}

#[test]
fn a_repeated_column_is_left_out_and_a_named_kind_overrules() {
    let content = "a,b,c,d,y\n1,x,1.0,x,u\n2,z,2,z,v\n1,x,1,x,u\n2,z,2,z,v\n";
    let recipe = read(content, options()).recipe;
    let told = told(&recipe);
    assert_eq!((told["c"].as_str(), told["d"].as_str()), ("it repeats \"a\"", "it repeats \"b\""));
    assert_eq!(recipe.feature_names(), ["a", "b=x", "b=z"]);
    let kinds = [("c".to_owned(), ColumnKind::Category), ("d".to_owned(), ColumnKind::Category)].into();
    let recipe = read(content, RecipeOptions { kinds, ..options() }).recipe;
    // A category keeps its texts as they are written.
    assert_eq!(recipe.feature_names(), ["a", "b=x", "b=z", "c=1", "c=1.0", "c=2", "d=x", "d=z"]);

    let wrong = |kind: ColumnKind, expected: &str| {
        let kinds = [("b".to_owned(), kind)].into();
        let problem = read_with(content, &request(RecipeSource::Learn(RecipeOptions { kinds, ..options() })));
        assert!(problem.unwrap_err().contains(expected), "{expected}");
    };
    wrong(ColumnKind::Number, "line 2, column \"b\": \"x\" is not a number");
    wrong(ColumnKind::Date, "line 2, column \"b\": \"x\" is no ISO date");
    let kinds = [("e".to_owned(), ColumnKind::Number)].into();
    let problem = read_with(content, &request(RecipeSource::Learn(RecipeOptions { kinds, ..options() })));
    assert!(problem.unwrap_err().contains("no column \"e\", which data.columns names; its columns are a, b, c, d, y"));
}

/// What looks odd is told, whether the column became a feature by a rule or by its given kind.
#[test]
fn odd_columns_are_told() {
    let note = |values: &[&str], kind: Option<ColumnKind>| {
        let kinds = kind.map(|kind| ("x".to_owned(), kind)).into_iter().collect();
        let recipe = read(&column("x", values), RecipeOptions { kinds, ..options() }).recipe;
        recipe.columns[0].note.clone().unwrap_or_default()
    };
    let rounding = ["0.3", "0.30000000000000004", "0.3", "0.3"];
    let (number, category) = (Some(ColumnKind::Number), Some(ColumnKind::Category));
    assert_eq!(note(&rounding, number), "its numbers differ by rounding only");
    assert_eq!(
        note(&["1e-300", "2e-300", "1e-300", ""], None),
        "its numbers differ by less than 1e-200; multiply them by a large number"
    );
    assert_eq!(note(&["1e-100", "2e-100", "1e-100", ""], None), "");
    let dates = ["2024-02-28", "2024-02-29", "2024-02-30", "2024-02-28"].repeat(3);
    assert!(note(&dates, None).starts_with("it has 2 dates and texts such as \"2024-02-30\""));
    assert_eq!(note(&dates, category), "");
    assert_eq!(note(&["7", "007", "8", "9"], category), "\"007\" and \"7\" are two levels, though the same number");
    assert_eq!(note(&["7", "7a", "8", "9"], category), "");
}

/// Missing values may have different marks in columns that are otherwise the same.
#[test]
fn repeated_columns_may_mark_missing_values_in_other_ways() {
    let check = |rows: &[(&str, &str)], is_repeated: bool| {
        let row = |(i, (a, b)): (usize, &(&str, &str))| format!("{a},{b},{}\n", ["u", "v"][i % 2]);
        let content = format!("a,b,y\n{}", rows.iter().enumerate().map(row).collect::<String>());
        let recipe = read(&content, RecipeOptions { missing: vec!["-99".to_owned()], ..options() }).recipe;
        assert_eq!(told(&recipe)["b"] == "it repeats \"a\"", is_repeated, "{rows:?}");
    };
    check(&[("1", "1.0"), ("NA", ""), ("2", "2"), ("-99", "?"), ("", "-99.0"), ("3", "3")], true);
    check(&[("p", "p"), ("NA", ""), ("q", "q"), ("-99", "?"), ("p", "p"), ("p", "p")], true);
    check(&[("1", "1"), ("NA", "1"), ("2", "2"), ("1", "?"), ("2", "2"), ("1", "1")], false);
    check(&[("p", "p"), ("NA", "p"), ("q", "q"), ("p", "?"), ("p", "p"), ("p", "p")], false);
}

/// A model's levels and the values of new rows may be written as numbers of another form.
#[test]
fn a_level_that_is_a_number_has_any_form() {
    let kinds: BTreeMap<String, ColumnKind> = [("x".to_owned(), ColumnKind::Category)].into();
    let check = |levels: &[&str], new: &[&str], expected: &[Option<usize>]| {
        let recipe = read(&column("x", levels), RecipeOptions { kinds: kinds.clone(), ..options() }).recipe;
        let tables = read_with(&column("x", new), &request(RecipeSource::Model(recipe))).unwrap();
        let rows = features(&tables.parts[0].rows);
        let found: Vec<Option<usize>> = rows.iter().map(|row| row.iter().take(3).position(|x| *x == 1.0)).collect();
        assert_eq!(found, expected, "{levels:?} {new:?}");
        let unseen = expected.iter().filter(|place| place.is_none()).count();
        assert_eq!(tables.parts[0].unseen.iter().map(|unseen| unseen.rows).sum::<usize>(), unseen);
    };
    check(
        &["1.0", "2.0", "3.5", "1.0"],
        &["1", "2", "3.50", "01", "+1", "4"],
        &[Some(0), Some(1), Some(2), Some(0), Some(0), None],
    );
    check(&["00501", "1", "x", "1"], &["501", "1.0", "x", "x1"], &[Some(0), Some(1), Some(2), None]);
    // Two levels are the same number, so another form of it may be either.
    check(&["1", "1.0", "2", "2"], &["1", "1.0", "01", "2.0"], &[Some(0), Some(1), None, Some(2)]);
}

/// f32 would round these codes to each other, and print some of them as others.
#[test]
fn large_codes_beside_texts_are_levels_of_their_own() {
    let codes = ["100000001", "100000000", "123456792", "123456790", "A1"];
    let content: String = (0..40).map(|i| format!("{},{}\n", codes[i % 5], i % 2)).collect();
    // The order of a hash map would differ from one reading to the next.
    for _ in 0..8 {
        let tables = read(&format!("code,y\n{content}"), options());
        let recipe = &tables.recipe;
        let Encoding::Category(category) = &recipe.columns[0].encoding else { panic!("{recipe:?}") };
        let mut levels = category.levels.clone();
        levels.sort_unstable();
        assert_eq!(levels, ["100000000", "100000001", "123456790", "123456792", "A1"]);
        for (i, row) in features(&tables.parts[0].rows).iter().enumerate() {
            let own = category.levels.iter().position(|level| level == codes[i % 5]).unwrap();
            let expected: Vec<f64> = (0..5).map(|j| f64::from(u8::from(j == own))).collect();
            assert_eq!(row, &expected, "{}", codes[i % 5]);
        }
    }
}

#[test]
fn rare_levels_share_a_feature() {
    let levels = ["a", "a", "a", "b", "b", "c", "d", "a", "b", "c"];
    let limited = |max_categories, min_rows| {
        let recipe = read(&column("x", &levels), RecipeOptions { max_categories, min_rows, ..options() }).recipe;
        recipe.feature_names().into_iter().filter(|name| name.starts_with("x")).collect::<Vec<_>>()
    };
    assert_eq!(limited(1000, 1), ["x=a", "x=b", "x=c", "x=d"]);
    assert_eq!(limited(2, 1), ["x=a", "x=b", "x=(other)"]);
    assert_eq!(limited(1000, 2), ["x=a", "x=b", "x=c", "x=(other)"]);
    assert_eq!(limited(3, 3), ["x=a", "x=b", "x=(other)"]);
    let limits = RecipeOptions { min_rows: 9, ..options() };
    let problem = read_with(&column("x", &levels), &request(RecipeSource::Learn(limits))).unwrap_err();
    assert!(problem.contains("choose a smaller number, or leave the column out by data.ignore"), "{problem}");
}

/// A level that no training row has is told from the rare ones, which share its feature.
#[test]
fn new_levels_that_count_as_other_are_told() {
    let training = column("x", &["a", "a", "b", "b", "1.50", "7", "c", "a", "b", "a"]);
    let recipe = read(&training, RecipeOptions { min_rows: 2, ..options() }).recipe;
    assert_eq!(recipe.feature_names(), ["x=a", "x=b", "x=(other)", "other"]);
    let kept = serde_json::to_string(&recipe).unwrap();
    let encode = |recipe: &Recipe, levels: &[&str]| {
        let tables = read_with(&column("x", levels), &request(RecipeSource::Model(recipe.clone()))).unwrap();
        let others: Vec<usize> =
            (0..levels.len()).filter(|&row| features(&tables.parts[0].rows)[row][2] == 1.0).collect();
        (others, tables.parts[0].unseen.iter().filter_map(Unseen::message).collect::<Vec<String>>())
    };
    // With a text, numbers are read as in the training; without one they are numbers of the file.
    for rare in [["1.5", "7.0", "c", "b"], ["1.500", "7", "7", "1.5"]] {
        assert_eq!(encode(&recipe, &rare).1, Vec::<String>::new(), "{rare:?}");
    }
    let (others, messages) = encode(&recipe, &["a", "new", "c", "8", "new"]);
    assert_eq!(others, [1, 2, 3, 4]);
    let expected = "column \"x\": 3 rows have a level that no training row has, such as \"new\"; it counts as (other)";
    assert_eq!(messages, [expected]);
    assert_eq!(encode(&serde_json::from_str(&kept).unwrap(), &["new", "a"]).1.len(), 1);
    // A recipe of an earlier version has no rare levels.
    let mut earlier: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert!(earlier["columns"][0].as_object_mut().unwrap().remove("rare").is_some());
    assert_eq!(encode(&serde_json::from_value(earlier).unwrap(), &["new", "a"]), (vec![0], Vec::new()));
}

#[test]
fn rows_become_features_by_the_recipe() {
    let content = "x,city,when,y\n1,Rome,1970-01-02,a\n,Oslo,1970-01-01T12:00,b\n4,,1970-01-03,a\n1,Rome,,b\n1,Oslo,1970-01-04,b\n1,Rome,1970-01-05,b\n";
    let tables = read(content, options());
    let names = ["x", "x=(missing)", "city=Oslo", "city=Rome", "city=(missing)", "when", "when=(missing)"];
    assert_eq!(tables.recipe.feature_names(), names);
    let mean = (1.0 + 0.5 + 2.0 + 3.0 + 4.0) / 5.0;
    let expected = [
        [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0],
        [1.6, 1.0, 1.0, 0.0, 0.0, 0.5, 0.0],
        [4.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0],
        [1.0, 0.0, 0.0, 1.0, 0.0, mean, 1.0],
        [1.0, 0.0, 1.0, 0.0, 0.0, 3.0, 0.0],
        [1.0, 0.0, 0.0, 1.0, 0.0, 4.0, 0.0],
    ];
    assert_eq!(features(&tables.parts[0].rows), expected);

    // Rows of another file: an unknown level and a missing value that no training row has.
    let model = Recipe {
        columns: read("x,city,y\n1,Rome,a\n2,Oslo,b\n2,Rome,b\n1,Rome,a\n", options()).recipe.columns,
        ..Recipe::default()
    };
    let other = "city,y,x\nParis,a,\nRome,b,7\n,a,1\n";
    let tables = read_with(other, &request(RecipeSource::Model(model))).unwrap();
    assert_eq!(features(&tables.parts[0].rows), [[1.5, 0.0, 0.0], [7.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
    let messages: Vec<String> = tables.parts[0].unseen.iter().filter_map(Unseen::message).collect();
    assert_eq!(
        messages,
        [
            "column \"x\": 1 row has no value, unlike all training rows, and takes the mean",
            "column \"city\": 1 row has a level that no training row has, such as \"Paris\"; it contributes nothing; 1 row has no value, unlike all training rows, and contributes nothing",
        ]
    );
}

#[test]
fn marks_of_missing_values_can_be_named() {
    let content = column("x", &["1", "2", "unknown", "2", "1", "5", "unknown", "3"]);
    let missing = vec!["unknown".to_owned()];
    let recipe = read(&content, RecipeOptions { missing, ..options() }).recipe;
    assert!(matches!(&recipe.columns[0].encoding, Encoding::Number(numeric) if numeric.missing_feature));
    // A number may be a mark, in a column of numbers and of texts.
    let missing = vec!["-99".to_owned()];
    for (values, expected) in [
        (["a", "b", "-99", "b", "a", "b", "-99.0", "a"], "2 levels: a, b; missing as a level"),
        (
            ["1", "2", "-99", "2", "1", "5", "-99.0", "3"],
            "a number; missing as the mean 2.333, and a feature for missing",
        ),
        (["a", "2", "-99", "2", "a", "2", "-99", "a"], "2 levels: 2, a; missing as a level"),
    ] {
        let tables = read(&column("x", &values), RecipeOptions { missing: missing.clone(), ..options() });
        assert_eq!(told(&tables.recipe)["x"], expected);
        let row = &features(&tables.parts[0].rows)[2];
        assert!(!row.contains(&-99.0) && row.contains(&1.0), "{row:?}");
    }
    // In labels, too, and a number in all its forms.
    let content = "x,y\n1,0.0\n2,1.0\n3,-99.0\n1,0.0\n4,1.0\n";
    let tables = read(content, RecipeOptions { missing, ..options() });
    assert_eq!((tables.classes, tables.parts[0].unlabelled), (vec!["0.0".to_owned(), "1.0".to_owned()], 1));
    let content = "x,y\n1,a\n2,NA\n3,b\n1,a\n4,unknown\n2,\n5,b\n";
    let missing = vec!["unknown".to_owned()];
    let tables = read(content, RecipeOptions { missing, ..options() });
    assert_eq!((tables.classes, tables.parts[0].unlabelled), (vec!["a".to_owned(), "b".to_owned()], 3));
    assert_eq!(numbers(&tables.parts[0].rows), [0, 2, 3, 6]);
}

#[test]
fn labels_that_are_measurements_are_refused() {
    let rows = |n: usize| (0..n).map(|i| format!("{},{}\n", i % 3, i % 25)).collect::<String>();
    let content = format!("x,y\n{}", rows(100));
    let problem = read_with(&content, &request(RecipeSource::Learn(options()))).unwrap_err();
    assert!(problem.contains("column \"y\": it has 25 different numbers") && problem.contains("category"), "{problem}");
    let kinds = [("y".to_owned(), ColumnKind::Category)].into();
    assert_eq!(read(&content, RecipeOptions { kinds, ..options() }).classes.len(), 25);
    // Names are classes, however many they are.
    let rows: String = (0..3000).map(|i| format!("{},n{}\n", i % 7, i % 1000)).collect();
    assert_eq!(read(&format!("x,y\n{rows}"), options()).classes.len(), 1000);
}

/// Draws a table with columns of all kinds. Returns its header and its rows.
fn drawn(n: usize, seed: u64) -> (String, Vec<String>) {
    let mut random = SmallRng::seed_from_u64(seed);
    let rows = (0..n).map(|i| {
        let number =
            if random.random_bool(0.1) { String::new() } else { format!("{}", random.random_range(-1e3..1e3)) };
        let level = ["red", "green", "blue", "", "NA"][random.random_range(0..5)];
        let mixed = if random.random_bool(0.1) { "none".to_owned() } else { random.random_range(0..4).to_string() };
        let date = format!("2024-{:02}-{:02}", random.random_range(1..13), random.random_range(1..29));
        let rare = format!("r{}", (random.random_range(0.0..1.0f64).powi(3) * 40.0) as usize);
        format!("{i},{number},{level},{mixed},{date},{rare},{number},{}\n", ["u", "v"][i % 2])
    });
    ("id,number,level,mixed,date,rare,again,y\n".to_owned(), rows.collect())
}

#[test]
fn dates_with_other_texts_are_left_out_with_an_example() {
    let mut values: Vec<String> = (1..=28).map(|day| format!("2024-02-{day:02}")).collect();
    values.extend(["soon".to_owned(), "later".to_owned()]);
    for seed in 0..4 {
        values.shuffle(&mut SmallRng::seed_from_u64(seed));
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        assert!(becomes("x", &values).starts_with("it has 28 dates and texts such as \"later\""), "{values:?}");
    }
}

#[test]
fn the_order_of_rows_does_not_change_the_recipe() {
    for seed in 0..20 {
        let (header, mut rows) = drawn(200, seed);
        let options = RecipeOptions { max_categories: 12, min_rows: 2, ..options() };
        let recipe = read(&(header.clone() + &rows.concat()), options.clone()).recipe;
        assert_eq!(recipe.left_out.len(), 2, "{:?}", told(&recipe));
        rows.shuffle(&mut SmallRng::seed_from_u64(seed + 100));
        assert_eq!(read(&(header + &rows.concat()), options).recipe, recipe, "seed {seed}");
    }
}

#[test]
fn validation_rows_do_not_change_the_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let train = |request: &TableRequest| Tables::read(folder.path(), request).unwrap();
    for seed in 0..10 {
        let (header, rows) = drawn(120, seed);
        let request = request(RecipeSource::Learn(options()));
        write("train.csv", &(header.clone() + &rows[..80].concat()));
        write("validation.csv", &(header.clone() + &rows[80..].concat()));
        let recipe = train(&request).recipe;
        // Other values, levels and missing ones.
        write("validation.csv", &format!("{header}7,1e9,violet,zzz,1999-01-01,r99,5,u\n8,,,,,,,v\n"));
        let tables = train(&request);
        assert_eq!(tables.recipe, recipe, "seed {seed}");
        assert!(!tables.notes().is_empty());

        // The same for rows that are held out of one file.
        let holdout = Some(Holdout { fraction: 0.25, seed });
        let request = TableRequest { holdout, ..request };
        let whole = folder.path().join("whole.csv");
        std::fs::write(&whole, header.clone() + &rows.concat()).unwrap();
        let tables = Tables::read(&whole, &request).unwrap();
        let mut changed = rows.clone();
        for row in numbers(&tables.parts[1].rows) {
            changed[row] = format!("7,1e9,violet,zzz,1999-01-01,r99,5,{}\n", ["u", "v"][row % 2]);
        }
        std::fs::write(&whole, header + &changed.concat()).unwrap();
        let other = Tables::read(&whole, &request).unwrap();
        assert_eq!(other.recipe, tables.recipe, "seed {seed}");
        assert_eq!(features(&other.parts[0].rows), features(&tables.parts[0].rows));
    }
}

#[test]
fn rows_of_a_group_stay_together() {
    let mut random = SmallRng::seed_from_u64(3);
    let people: Vec<usize> = (0..400).map(|_| random.random_range(0..60)).collect();
    // Equal numbers are one person, in whatever form.
    let form = |i: usize, person: usize| match i % 4 {
        _ if person < 20 => format!("p{person}"),
        0 => format!("{person}"),
        1 => format!("{person}.0"),
        2 => format!("0{person}"),
        _ => format!("{person}e0"),
    };
    let rows = people.iter().enumerate().map(|(i, &person)| {
        let (person, class) = (form(i, person), ["u", "v", "w"][i % 3]);
        format!("{},{person},{class}\n", i % 5)
    });
    let content = format!("x,person,y\n{}", rows.collect::<String>());
    for seed in 0..10 {
        let request = TableRequest {
            group: Some("person".to_owned()),
            weight: None,
            holdout: Some(Holdout { fraction: 0.2, seed }),
            ..request(RecipeSource::Learn(options()))
        };
        let tables = read_with(&content, &request).unwrap();
        assert_eq!(tables.recipe.column_names(), ["x"]);
        let [train, validation] = &tables.parts;
        let of =
            |rows: &Rows| numbers(rows).into_iter().map(|row| people[row]).collect::<std::collections::BTreeSet<_>>();
        assert!(of(&train.rows).is_disjoint(&of(&validation.rows)), "seed {seed}");
        let share = validation.rows.len() as f64 / 400.0;
        assert!((0.15..=0.25).contains(&share), "seed {seed}: {share}");
    }
    let content = "x,person,y\n1,p,u\n2,p,u\n3,q,v\n4,r,v\n";
    let request = TableRequest {
        group: Some("person".to_owned()),
        weight: None,
        holdout: Some(Holdout { fraction: 0.2, seed: 0 }),
        ..request(RecipeSource::Learn(options()))
    };
    let problem = read_with(content, &request).unwrap_err();
    assert!(problem.contains("line 2: training and validation need rows of the label \"u\""), "{problem}");
    let missing = RecipeSource::Learn(RecipeOptions { missing: vec!["-1".to_owned()], ..options() });
    let request = TableRequest { recipe: missing, ..request };
    for (mark, shown) in [("", ""), ("NA", " (\"NA\")"), ("?", " (\"?\")"), ("-1.0", " (\"-1.0\")")] {
        let problem = read_with(&format!("x,person,y\n1,p,u\n2,{mark},v\n"), &request).unwrap_err();
        assert!(problem.contains(&format!("line 3, column \"person\": the group is missing{shown};")), "{problem}");
    }
}

/// What `fixtures/sklearn_recipe.py` makes of a table.
#[derive(serde::Deserialize)]
struct Transformed {
    train: String,
    validation: String,
    options: Limits,
    /// The features of the training rows and of the validation rows.
    features: [Vec<Vec<f64>>; 2],
}

#[derive(serde::Deserialize)]
struct Limits {
    max_categories: usize,
    min_rows: usize,
}

#[test]
fn features_are_those_of_scikit_learns_transformers() {
    let fixture: serde_json::Value = serde_json::from_str(include_str!("fixtures/sklearn_recipe.json")).unwrap();
    let cases: Vec<Transformed> = serde_json::from_value(fixture["cases"].clone()).unwrap();
    assert_eq!(cases.len(), 4);
    for Transformed { train, validation, options: Limits { max_categories, min_rows }, features: expected } in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.csv"), train).unwrap();
        std::fs::write(folder.path().join("validation.csv"), validation).unwrap();
        let options = RecipeOptions { max_categories, min_rows, ..options() };
        let tables = Tables::read(folder.path(), &request(RecipeSource::Learn(options))).unwrap();
        // Only numbers are standardised; `solve` leaves features of 0 and 1 as they are.
        let Standardization { mean, scale } = tables.parts[0].rows.moments().unwrap();
        let are_indicators = tables.recipe.are_indicators();
        for (part, expected) in tables.parts.iter().zip(&expected) {
            let actual = features(&part.rows);
            assert_eq!(actual.len(), expected.len());
            for (row, expected) in actual.iter().zip(expected) {
                assert_eq!(row.len(), expected.len(), "{:?}", tables.recipe.feature_names());
                for (j, (x, expected)) in row.iter().zip(expected).enumerate() {
                    let x = if are_indicators[j] { *x } else { (x - mean[j]) / scale[j] };
                    assert!((x - expected).abs() < 1e-12, "{}: {x}, {expected}", tables.recipe.feature_names()[j]);
                }
            }
        }
    }
}
