//! Text tables as programs write them: separators, encodings, decimal marks, quotes, line ends and
//! headers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use chainrule_core::{BadRows, Decimal, Encoding, HeldOutRow, Recipe, Separator, TextEncoding, TextOptions};
use chainrule_data::table::{Columns, Table, TableSummary};
use chainrule_data::{Dataset, Holdout, ReadAs, RecipeOptions, RecipeSource, RowBuffer, TableRequest, Tables};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

const ENCODINGS: [TextEncoding; 5] =
    [TextEncoding::Utf8, TextEncoding::Utf16Le, TextEncoding::Utf16Be, TextEncoding::Windows1252, TextEncoding::Latin1];

/// How a table is written.
#[derive(Clone, Copy, Debug)]
struct Written {
    separator: Separator,
    decimal: Decimal,
    encoding: TextEncoding,
    has_mark: bool,
    are_all_quoted: bool,
    line_end: &'static str,
    ends_line: bool,
    has_header: bool,
}

fn encode(text: &str, encoding: TextEncoding, has_mark: bool) -> Vec<u8> {
    let marked = format!("{}{text}", if has_mark { "\u{feff}" } else { "" });
    match encoding {
        TextEncoding::Utf8 => marked.into_bytes(),
        TextEncoding::Utf16Le => marked.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        TextEncoding::Utf16Be => marked.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        // The tests write the euro sign and Latin-1.
        _ => text.chars().map(|c| if c == '€' { 0x80 } else { u8::try_from(u32::from(c)).unwrap() }).collect(),
    }
}

impl Written {
    fn field(self, text: &str) -> String {
        let mark = char::from(self.separator.byte());
        let is_special = text.contains([mark, '"', '\n', '\r']) || text.trim() != text || text.is_empty();
        match self.are_all_quoted || is_special {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_owned(),
        }
    }

    fn number(self, number: f64) -> String {
        let text = number.to_string();
        self.field(&if self.decimal == Decimal::Comma { text.replace('.', ",") } else { text })
    }

    fn lines(self, lines: &[Vec<String>]) -> Vec<u8> {
        let mark = char::from(self.separator.byte()).to_string();
        let lines: Vec<String> = lines.iter().map(|fields| fields.join(&mark)).collect();
        let mut text = lines.join(self.line_end);
        if self.ends_line {
            text += self.line_end;
        }
        encode(&text, self.encoding, self.has_mark)
    }
}

/// Returns the text of all cells, as the recipe's levels and numbers show them.
fn cells(table: &Table) -> Vec<Vec<String>> {
    let columns = table.columns().to_vec();
    let n = table.len();
    (0..columns.len())
        .map(|j| {
            let name = &columns[j];
            let options = RecipeOptions {
                kinds: [(name.clone(), chainrule_core::ColumnKind::Category)].into(),
                ..RecipeOptions::default()
            };
            let recipe = table.learn_recipe(&options).unwrap();
            let column = recipe.columns.iter().find(|column| column.name == *name).unwrap().clone();
            let Encoding::Category(category) = &column.encoding else { panic!("{column:?}") };
            let levels = category.levels.clone();
            let recipe = Recipe { columns: vec![column], ..Recipe::default() };
            let rows = table.clone().encode(&recipe).unwrap().rows;
            let mut buffer = RowBuffer::default();
            let level = |row: usize, buffer: &mut RowBuffer| {
                let features = rows.row(row, buffer).unwrap();
                features
                    .iter()
                    .position(|x| *x == 1.0)
                    .map_or_else(String::new, |at| levels.get(at).cloned().unwrap_or_else(|| "(missing)".to_owned()))
            };
            (0..n).map(|row| level(row, &mut buffer)).collect()
        })
        .collect()
}

fn read_with(content: &[u8], text: TextOptions) -> Result<Table, String> {
    let read = Table::read(content, Columns { text, ..Columns::default() }, 1 << 24);
    let summary = TableSummary::read_with(content, text);
    match (read, summary) {
        (Ok(table), Ok(summary)) => {
            assert_eq!((table.len() as u64, &table.files[0].read_as), (summary.rows, &summary.read_as));
            Ok(table)
        }
        (Err(error), _) | (Ok(_), Err(error)) => {
            let error = error.to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
            Err(error)
        }
    }
}

fn read(content: &[u8]) -> Result<Table, String> {
    read_with(content, TextOptions::default())
}

fn is(read_as: &ReadAs, what: &str) -> String {
    read_as.facts.iter().find(|fact| fact.what == what).map(|fact| fact.is.clone()).unwrap_or_default()
}

#[test]
fn a_table_has_the_same_cells_in_every_dialect() {
    const ROWS: [(f64, &str, &str, f64); 4] = [
        (3.25, "Zoë, \"the 1st\"", "yes", 7.0),
        (-0.5, "a; b|c\td", "no", 12.0),
        (1200.25, "two\nlines", "yes", -3.0),
        (2e-3, "naïve", "no", 0.0),
    ];
    let mut expected = None;
    let mut count = 0;
    for separator in Separator::ALL {
        for decimal in [Decimal::Point, Decimal::Comma] {
            for encoding in ENCODINGS {
                for bits in 0..32 {
                    let bit = |at: u32| bits >> at & 1 == 1;
                    let written = Written {
                        separator,
                        decimal,
                        encoding,
                        has_mark: bit(0) && !matches!(encoding, TextEncoding::Windows1252 | TextEncoding::Latin1),
                        are_all_quoted: bit(1),
                        line_end: if bit(2) { "\r\n" } else { "\n" },
                        ends_line: bit(3),
                        has_header: bit(4),
                    };
                    // Decimal commas between commas are texts: see
                    // `misleading_texts_are_not_guessed`.
                    if separator == Separator::Comma && decimal == Decimal::Comma {
                        continue;
                    }
                    let has_euro = encoding != TextEncoding::Latin1;
                    let names = ["größe", "text", "y", if has_euro { "€" } else { "$" }];
                    let header = written.has_header.then(|| names.map(|name| written.field(name)).to_vec());
                    let rows = ROWS.iter().map(|&(x, text, y, z)| {
                        vec![written.number(x), written.field(text), written.field(y), written.number(z)]
                    });
                    let content = written.lines(&header.into_iter().chain(rows).collect::<Vec<_>>());
                    let table = read(&content).unwrap_or_else(|problem| panic!("{written:?}: {problem}"));
                    let columns =
                        if written.has_header { names } else { ["column_1", "column_2", "column_3", "column_4"] };
                    assert_eq!(table.columns(), columns, "{written:?}");
                    let read_as = table.files[0].read_as.clone();
                    assert_eq!(is(&read_as, "separator"), separator.plural(), "{written:?}");
                    // Without the header, no euro tells Windows-1252 from Latin-1.
                    let name = match encoding {
                        TextEncoding::Windows1252 if !written.has_header => "Latin-1",
                        other => other.name(),
                    };
                    assert_eq!(is(&read_as, "encoding"), name, "{written:?}");
                    assert_eq!(is(&read_as, "decimal").contains("comma"), decimal == Decimal::Comma, "{written:?}");
                    let sha256 = chainrule_data::sha256([&content[..]]);
                    assert_eq!(table.files[0].sha256, sha256, "{written:?}");
                    let found = cells(&table);
                    assert_eq!(*expected.get_or_insert_with(|| found.clone()), found, "{written:?}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 1000, "{count}");
    let expected = expected.unwrap();
    assert_eq!(expected[0], ["3.25", "-0.5", "1200.25", "0.002"]);
    assert_eq!(expected[1][2], "two\nlines");
}

#[test]
fn random_cells_are_read_back_or_refused() {
    let words = [
        "", "a", "Zoë", "x y", "3,4", "1.5", "1,234", "1.234,5", "a;b", "a,b", "a|b", "a\tb", "\"", "q\"q", "\n", "7",
        "-2", "NA", "2020", "é", "'",
    ];
    let mut read_back = 0;
    for seed in 0..3000 {
        let mut random = SmallRng::seed_from_u64(seed);
        let written = Written {
            separator: *Separator::ALL.choose(&mut random).unwrap(),
            decimal: *[Decimal::Point, Decimal::Comma].choose(&mut random).unwrap(),
            encoding: *ENCODINGS.choose(&mut random).unwrap(),
            has_mark: random.random(),
            are_all_quoted: random.random(),
            line_end: ["\n", "\r\n"].choose(&mut random).unwrap(),
            ends_line: random.random(),
            has_header: true,
        };
        let (n, d) = (random.random_range(1..6), random.random_range(1..5));
        let kinds: Vec<bool> = (0..d).map(|_| random.random()).collect();
        let mut rows = Vec::new();
        // What the cells must be.
        let mut expected: Vec<Vec<String>> = vec![Vec::new(); d];
        for _ in 0..n {
            let row = kinds.iter().zip(&mut expected).map(|(&is_number, expected)| match is_number {
                true => {
                    let number =
                        f64::from(random.random_range(-5000..5000)) / [1.0, 4.0, 100.0].choose(&mut random).unwrap();
                    expected.push(number.to_string());
                    written.number(number)
                }
                false => {
                    let word = *words.choose(&mut random).unwrap();
                    expected.push(word.to_owned());
                    written.field(word)
                }
            });
            rows.push(row.collect::<Vec<_>>());
        }
        let header: Vec<String> = (0..d).map(|j| written.field(&format!("n{j}"))).collect();
        let lines: Vec<Vec<String>> = [header].into_iter().chain(rows).collect();
        let content = written.lines(&lines);
        let given = random.random_range(0..3) == 0;
        let text = match given {
            true => TextOptions {
                separator: Some(written.separator),
                decimal: Some(written.decimal),
                encoding: Some(written.encoding),
                header: Some(true),
                ..TextOptions::default()
            },
            false => TextOptions::default(),
        };
        let Ok(table) = read_with(&content, text) else { continue };
        let show = || format!("seed {seed}, {written:?}, given {given}:\n{}", String::from_utf8_lossy(&content));
        // A separator that is no mark of the text may be taken for one only if it fits better.
        if table.columns().len() != d {
            panic!("{}\n{:?}", show(), table.columns());
        }
        // A blank line is no row.
        if table.len() != n {
            assert!(d == 1, "{}", show());
            continue;
        }
        let read_as = table.files[0].read_as.clone();
        let is_comma = is(&read_as, "decimal").contains("comma");
        for (j, (found, expected)) in cells(&table).iter().zip(&expected).enumerate() {
            for (found, expected) in found.iter().zip(expected) {
                let as_number = |text: &str| text.parse::<f64>().ok();
                let expected = expected.trim();
                let is_same = found == expected
                    || (["", "NA"].contains(&expected) && ["", "(missing)"].contains(&found.as_str()))
                    // With a decimal comma, these texts are numbers, which is said.
                    || (is_comma && as_number(found) == as_number(&expected.replace('.', "").replace(',', ".")))
                    // Without one, a comma makes a text.
                    || (!is_comma && kinds[j] && *found == expected.replace('.', ","))
                    || (as_number(found).is_some() && as_number(found) == as_number(expected));
                assert!(is_same, "{found:?} for {expected:?}\n{}\n{read_as:?}", show());
            }
        }
        read_back += 1;
    }
    assert!(read_back > 1500, "{read_back}");
}

/// Lines without quotes are split without `csv-core`. A quote in the first row is the only
/// difference here.
#[test]
fn lines_are_split_as_csv_core_splits_them() {
    let words = [
        "3,14",
        "-0,5",
        "1.234,5",
        "1,234",
        "1.234",
        "1.234.567",
        "12",
        "+,5",
        "1,",
        ",",
        "1,2e3",
        " 2,5 ",
        "1,2,3",
        "1.5",
        "a",
        "",
        "NA",
        "x y",
        "é,1",
        "1\0",
    ];
    let mut n_by_outcome = [0; 2];
    for seed in 0..2000 {
        let mut random = SmallRng::seed_from_u64(seed);
        let separator = *[Separator::Semicolon, Separator::Tab].choose(&mut random).unwrap();
        // Rare words are those of which most are errors.
        let n_words = if random.random_range(0..3) == 0 { words.len() } else { 8 };
        let decimal = [None, Some(Decimal::Comma), Some(Decimal::Point)].choose(&mut random).copied().unwrap();
        let text = TextOptions {
            separator: Some(separator),
            decimal,
            encoding: Some(TextEncoding::Utf8),
            header: Some(true),
            ..TextOptions::default()
        };
        let separator = ["\t", ";"][usize::from(separator == Separator::Semicolon)];
        // A separator at the line ends.
        let last = if random.random_range(0..3) == 0 { separator } else { "" };
        let mut lines = String::new();
        for _ in 0..random.random_range(1..6) {
            let n_fields = if random.random_range(0..20) == 0 { 2 } else { 3 };
            let fields = (0..n_fields).map(|_| *words[..n_words].choose(&mut random).unwrap());
            lines += &(fields.collect::<Vec<_>>().join(separator) + last);
            lines += if random.random_range(0..20) == 0 { " x" } else { "" };
            lines += ["\n", "\n\n"].choose(&mut random).unwrap();
        }
        let of = |label: &str| {
            let first = [["a", "b", "y"], ["1", "2", label]].map(|fields| fields.join(separator) + last + "\n");
            told((first.concat() + &lines).as_bytes(), text)
        };
        let found = of("u");
        n_by_outcome[usize::from(found.is_ok())] += 1;
        assert_eq!(found, of("\"u\""), "seed {seed}: {lines}");
    }
    assert!(n_by_outcome.iter().all(|n| *n > 400), "{n_by_outcome:?}");
}

/// Reads the content. Returns the names and the cells, or the error.
fn told(content: &[u8], text: TextOptions) -> Result<(Vec<String>, Vec<Vec<String>>), String> {
    let table = read_with(content, text)?;
    Ok((table.columns().to_vec(), cells(&table)))
}

#[test]
fn the_header_is_found_by_the_rule() {
    for (content, expected) in [
        // Names.
        ("a,b\n1,x\n", Ok("a b")),
        ("a,b\nx,y\n", Ok("a b")),
        ("a,2024\n1,x\n", Ok("a 2024")),
        ("country,1990,1995,2010\nPeru,1,2,3\nChile,4,5,6\n", Ok("country 1990 1995 2010")),
        (",0,1\n0,5,6\n1,7,8\n", Ok("Unnamed: 0 0 1")),
        ("0,1,2,3,4\n5,6,5,4,3\n", Ok("0 1 2 3 4")),
        ("wave,400.5,401,401.5,402,402.5\nx,1,2,3,4,5\ny,1,2,3,4,6\n", Ok("wave 400.5 401 401.5 402 402.5")),
        // Values.
        ("5.1,3.5,rose\n4.9,3,tulip\n5,3,rose\n", Ok("column_1 column_2 column_3")),
        ("7,0,0,3\n2,0,1,1\n", Ok("column_1 column_2 column_3 column_4")),
        ("23,Alice\n45,Bob\n", Ok("column_1 column_2")),
        ("2,3,u\n", Ok("column_1 column_2 column_3")),
        ("-1,0,1,2,yes\n5,6,7,9,no\n3,4,8,9,yes\n", Ok("column_1 column_2 column_3 column_4 column_5")),
        // Either.
        ("1990,1991,1992\n3,4,5\n", Err("line 1: it may have names or values")),
        ("Ann,1990\nBen,1991\n", Err("set data.header to true or false")),
        ("sep=,\n1,2,3\n4,7,6\n", Err("line 2: it may have names or values")),
        // Fields that have no name, names without a field.
        ("a,b\nr1,1,2\nr2,3,4\n", Ok("row.names a b")),
        ("a,b,\n1,2,\n3,4,\n", Ok("a b")),
        ("a,b\n1,2,\n3,4,\n", Ok("a b")),
        ("a,b,\n1,2,\n3,4,5\n", Ok("a b Unnamed: 2")),
        // Names that are not as they could be.
        ("a,a,a.1,a\n1,2,3,4\n", Ok("a a.2 a.1 a.3")),
        ("\"two\n lines\",b\n1,2\n", Ok("two lines b")),
        ("sep=;\na;b\n1;2,5\n", Ok("a b")),
        ("a\n1\n2\n", Ok("a")),
    ] {
        let found = read(content.as_bytes()).map(|table| table.columns().join(" "));
        match expected {
            Ok(names) => assert_eq!(found.as_deref(), Ok(names), "{content:?}"),
            Err(problem) => assert!(found.as_ref().unwrap_err().contains(problem), "{content:?}: {found:?}"),
        }
        // What is said about the header holds.
        let columns = content.lines().find(|line| !line.starts_with("sep")).unwrap().split([',', ';']).count();
        for header in [true, false] {
            let text = TextOptions { header: Some(header), ..TextOptions::default() };
            match read_with(content.as_bytes(), text) {
                Ok(table) if !header => assert!(table.columns()[0] == "column_1", "{content:?}"),
                Ok(table) => assert!(table.columns().len().abs_diff(columns) <= 1, "{content:?}"),
                Err(problem) => assert!(
                    problem.contains("no rows")
                        || problem.contains("fields, but")
                        || problem.contains("the last field is"),
                    "{content:?}: {problem}"
                ),
            }
        }
    }
    let long = "q".repeat(300);
    let table = read(format!("{long},{long},x\n1,2,3\n").as_bytes()).unwrap();
    assert!(table.columns().iter().all(|name| name.chars().count() <= 100), "{:?}", table.columns());
    assert_ne!(table.columns()[0], table.columns()[1]);
    let message = table.files[0].read_as.message().unwrap();
    assert!(message.contains("2 names cut") && message.contains("1 repeated name is numbered"), "{message}");
}

#[test]
fn misleading_texts_are_not_guessed() {
    let plain = TextOptions::default();
    let comma = TextOptions { decimal: Some(Decimal::Comma), ..plain };
    let point = TextOptions { decimal: Some(Decimal::Point), ..plain };
    for (content, text, expected) in [
        // Commas in texts between semicolons, dates with points, and prices in quotes.
        ("a;b\nx, y;1\nz;2\nu, v, w;3\n", plain, Ok("x, y|1")),
        ("a;b\n01.02.2020;1,5\n03.04.2021;2\n", plain, Ok("01.02.2020|1.5")),
        ("a,b\n\"1,5\",x\n\"2,5\",y\n", plain, Ok("1,5|x")),
        ("a,b\n\"1,5\",x\n\"2,5\",y\n", comma, Ok("1.5|x")),
        ("a;b\n\"1,234.5\";1.5\n\"2,234.5\";2.5\n", plain, Ok("1,234.5|1.5")),
        ("a;b\n1.234,5;x\n1.234;y\n", plain, Ok("1234.5|x")),
        ("a;b\n3,14;x\n1.234;y\n", plain, Err("\"1.234\" may be with or without a fraction")),
        ("a;b\n3,14;x\n1.234;y\n", comma, Ok("3.14|x")),
        ("a;b\n3,14;x\n1.5;y\n", plain, Err("write all in one way")),
        ("a;b\n3,14;x\n1.5;y\n", comma, Err("line 3: field 1: \"1.5\" has a decimal point")),
        ("a;b\n3,14;x\n1.5;y\n", point, Ok("3,14|x")),
        ("a;b\n1,234;x\n5,678;y\n", plain, Err("\"1,234\" may have a decimal comma, or one that groups")),
        ("a;b\n1.234;x\n5.678;y\n", plain, Err("\"1.234\" may have a decimal point, or one that groups")),
        ("a\tb\n1.234\tx\n5.678\ty\n", plain, Ok("1.234|x")),
        ("a|b\n3,4|1\nx|2\n5|3\n", plain, Ok("3,4|1")),
        ("x\n3,14\n2,71\n", plain, Err("its first line has one name")),
        ("x\n3,14\n2,71\n", TextOptions { separator: Some(Separator::Bar), ..plain }, Ok("3.14")),
        // Texts that are no tables.
        ("a\0b,c\n1,2\n", plain, Err("line 1: it has a NUL byte")),
        ("a,b\n1,\"2\n3,4\n", plain, Err("a quote is not closed")),
        (
            "Call me Ishmael. Some years ago, never mind how long, I went.\nIt is a way I have.\nWith a sigh, I stop.\n",
            plain,
            Err("1 field, but the header has 3"),
        ),
    ] {
        match (told(content.as_bytes(), text), expected) {
            (Ok((_, cells)), Ok(first)) => {
                let row: Vec<&str> = cells.iter().map(|column| column[0].as_str()).collect();
                assert_eq!(row.join("|"), first, "{content:?}");
            }
            (Err(problem), Err(expected)) => assert!(problem.contains(expected), "{content:?}: {problem}"),
            (found, _) => panic!("{content:?}: {found:?}"),
        }
    }
}

#[test]
fn what_the_beginning_does_not_show_is_an_error_with_its_line() {
    let many = |first: &str, row: &str, last: &[u8]| {
        let rows = 70_000 / row.len();
        ([first.as_bytes(), row.repeat(rows).as_bytes(), last].concat(), rows + 2)
    };
    for (first, row, last, expected, text) in [
        (
            "a,b\n",
            "1,x\n",
            &b"2,\xe9\n"[..],
            "field 2: the byte 0xE9 is not UTF-8",
            TextOptions { encoding: Some(TextEncoding::Windows1252), ..TextOptions::default() },
        ),
        (
            "a;b\n",
            "1;x\n",
            b"2,5;y\n",
            "field 1: \"2,5\" may have a decimal comma",
            TextOptions { decimal: Some(Decimal::Comma), ..TextOptions::default() },
        ),
        (
            "a;b\n",
            "1,5;x\n",
            b"1.234;y\n",
            "field 1: \"1.234\" may be 1234 or 1.234",
            TextOptions { decimal: Some(Decimal::Comma), ..TextOptions::default() },
        ),
        (
            "a,b,\n",
            "1,x,\n",
            b"1,x,y\n",
            "the last field is \"y\"",
            TextOptions { bad_rows: BadRows::Skip, ..TextOptions::default() },
        ),
        (
            "a,b\n",
            "1,x\n",
            b"1,\"x\0\"\n",
            "it has a NUL byte",
            TextOptions { bad_rows: BadRows::Skip, ..TextOptions::default() },
        ),
    ] {
        let (content, line) = many(first, row, last);
        let problem = read(&content).unwrap_err();
        assert!(problem.starts_with(&format!("line {line}: {expected}")), "{problem}");
        let skipping = TextOptions { bad_rows: BadRows::Skip, ..TextOptions::default() };
        let skipped = read_with(&content, skipping).unwrap();
        assert_eq!((skipped.len(), skipped.files[0].read_as.skipped.rows), (line - 2, 1), "{expected}");
        let rows = read_with(&content, text).unwrap().len();
        assert_eq!(rows, line - 1 - usize::from(text.bad_rows == BadRows::Skip), "{expected}");
    }
}

#[test]
fn bad_rows_are_counted_and_named() {
    let content = b"a,b,y\n1,2,u\n3,v\n4,5,6,w\nx,7,u\n8,\xff,v\n9,10,v\nNA,11,u\n";
    let kinds = [("a".to_owned(), chainrule_core::ColumnKind::Number)];
    let text = TextOptions { bad_rows: BadRows::Skip, encoding: Some(TextEncoding::Utf8), ..TextOptions::default() };
    let columns = Columns { label: Some("y"), text, required: &kinds, ..Columns::default() };
    let table = Table::read(&content[..], columns, 1 << 20).unwrap();
    assert_eq!((table.len(), table.files[0].read_as.skipped.rows), (3, 4));
    let message = table.files[0].read_as.skipped_message().unwrap();
    for part in [
        "4 rows that cannot be read are left out: line 3: 2 fields, but the header has 3",
        "line 4: 4 fields",
        "line 5: column \"a\": \"x\" is no number",
        "line 6: field 2: the byte 0xFF is not UTF-8",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let input = table.encode(&Recipe::of_numbers(&["b".to_owned()])).unwrap();
    let lines: Vec<Option<u32>> = (0..3).map(|row| input.rows.line(row)).collect();
    assert_eq!(lines, [Some(2), Some(7), Some(8)]);
}

#[test]
fn held_out_rows_have_their_file_and_their_number_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["a.csv", "b.csv"].map(|name| folder.path().join(name));
    // Every third row is bad. `a` is the number of the row in its file.
    let content = |rows: usize| {
        let row = |i: usize| format!("{i},{}{}\n\n", ["u", "v"][i % 2], if i % 3 == 1 { ",w" } else { "" });
        "a,y\n".to_owned() + &(0..rows).map(row).collect::<String>()
    };
    for (file, rows) in files.iter().zip([40, 50]) {
        std::fs::write(file, content(rows)).unwrap();
    }
    let held_out = |path: PathBuf, text: TextOptions| {
        let request = TableRequest {
            label: Some("y".to_owned()),
            ignored: Vec::new(),
            group: None,
            weight: None,
            text,
            recipe: RecipeSource::Model(Recipe::of_numbers(&["a".to_owned()])),
            classes: None,
            holdout: Some(Holdout { fraction: 0.5, seed: 1 }),
            resident_bytes: 1 << 20,
            scratch: None,
        };
        let tables = Tables::read(&path, &request).unwrap();
        let numbers = (0..tables.parts[1].rows.len())
            .map(|row| tables.parts[1].rows.row(row, &mut RowBuffer::default()).unwrap()[0] as u32);
        let (numbers, data) = (numbers.collect::<Vec<_>>(), Dataset::Tables(tables));
        let rows = data.held_out().unwrap();
        let rows = rows.rows().map(|HeldOutRow { file, row, line }| (file.map(str::to_owned), row, line));
        rows.zip(numbers).collect::<Vec<_>>()
    };
    let skipping = TextOptions { bad_rows: BadRows::Skip, ..TextOptions::default() };
    let of_both = held_out(std::env::join_paths(&files).unwrap().into(), skipping);
    let [a, b] = files.each_ref().map(|file| file.display().to_string());
    assert_eq!(of_both.len(), 31);
    for file in [&a, &b] {
        assert!(of_both.iter().filter(|(row, _)| row.0.as_ref() == Some(file)).count() > 5);
    }
    for ((file, row, line), number) in of_both {
        assert_eq!((row, line), (number, 2 * number + 2), "{file:?}");
    }
    for ((file, row, line), number) in held_out(files[0].clone(), skipping) {
        assert_eq!((file, row, line), (None, number, 2 * number + 2));
    }
}

#[test]
fn hostile_files_end_in_one_sentence() {
    let wide = |fields: usize| {
        let names: Vec<String> = (0..fields).map(|j| format!("n{j}")).collect();
        format!("{}\n{}\n", names.join(","), vec!["1.5"; fields].join(","))
    };
    let mut binary = vec![0u8; 100_000];
    let mut random = SmallRng::seed_from_u64(1);
    random.fill(&mut binary[..]);
    for (content, expected) in [
        (binary, ""),
        (vec![0; 1000], ""),
        (vec![0xff; 1000], "is not UTF-8"),
        (vec![b'a'; 5 << 20], "perhaps a quote is not closed"),
        ([&b"a,b\n1,\""[..], &vec![b'x'; 5 << 20]].concat(), "perhaps a quote is not closed"),
        ([&b"a,b\n1,\""[..], &b"x\n".repeat(100_000)].concat(), "a quote is not closed"),
        (wide(100_001).into_bytes(), "at most 100000 are supported"),
        (encode("a,b\n1,x\n", TextEncoding::Utf16Le, true)[..17].to_vec(), "no character of UTF-16LE"),
        (
            "имя,год\nиван,5\nпётр,7\n"
                .chars()
                .map(|c| (u32::from(c) % 256) as u8 | if c.is_ascii() { 0 } else { 0xc0 })
                .collect(),
            "does not look like Latin-1",
        ),
        (b"a,b\n1,caf\x81\n2,x\n".to_vec(), "neither UTF-8 nor Windows-1252"),
        (b"\xff\xfe\0\0a\0\0\0".to_vec(), "UTF-32"),
    ] {
        let problem = read(&content).map(|table| table.len()).unwrap_err();
        assert!(problem.contains(expected), "{expected:?}: {problem}");
        assert!(problem.len() < 500, "{problem}");
    }
    assert_eq!(read(wide(100_000).as_bytes()).unwrap().columns().len(), 100_000);
}

#[test]
fn arff_declares_names_and_kinds() {
    const HEADER: &str = "% a comment\n@RELATION 'a b'\n\n@attribute x REAL\n@attribute 'the code' {1, 2, 'it\\'s'}\n@attribute day date yyyy-MM-dd\n@attribute note string\n@attribute y {u,v}\n@data\n";
    let rows = "1.5,1,2020-01-01,'a, b',u\n% between\n?,'it\\'s',2020-01-02,\"c\",v\n\n-2 , 2, ?, ?, u\n";
    let content = format!("{HEADER}{rows}");
    for encoding in [TextEncoding::Utf8, TextEncoding::Latin1] {
        let (names, cells) = told(&encode(&content, encoding, false), TextOptions::default()).unwrap();
        assert_eq!(names, ["x", "the code", "day", "note", "y"]);
        assert_eq!(cells[0], ["1.5", "(missing)", "-2"]);
        assert_eq!(cells[1], ["1", "it's", "2"]);
        assert_eq!(cells[3], ["a, b", "c", "(missing)"]);
    }
    let table = read(content.as_bytes()).unwrap();
    assert_eq!(table.files[0].sha256, chainrule_data::sha256([content.as_bytes()]));
    // Numbers in braces are levels.
    let numbers = format!("{HEADER}1,1,2020-01-01,a,u\n2,2,2020-01-02,a,v\n7,1,2020-01-03,a,v\n");
    let recipe = read(numbers.as_bytes()).unwrap().learn_recipe(&RecipeOptions::default()).unwrap();
    let code = recipe.columns.iter().find(|column| column.name == "the code").unwrap();
    assert!(matches!(code.encoding, Encoding::Category(_)), "{code:?}");
    for (row, expected) in [
        ("1.5,1,2020-01-01,a", "line 10: 4 fields, but the header has 5 attributes"),
        ("x,1,2020-01-01,a,u", "line 10: column \"x\": \"x\" is no number"),
        ("1,3,2020-01-01,a,u", "column \"the code\": \"3\" is not in the list of its @attribute"),
        ("{0 1.5, 3 a}", "line 10: a sparse row"),
        ("1,1,2020-01-01,'a,u", "a quote is not closed"),
        ("1,1,2020-01-01,'a' b,u", "something stands after a closing quote"),
    ] {
        let content = format!("{HEADER}{row}\n1,1,2020-01-01,a,u\n");
        let problem = read(content.as_bytes()).map(|table| table.len()).unwrap_err();
        assert!(problem.contains(expected), "{row}: {problem}");
        let text = TextOptions { bad_rows: BadRows::Skip, ..TextOptions::default() };
        let table = read_with(content.as_bytes(), text).unwrap();
        assert_eq!((table.len(), table.files[0].read_as.skipped.rows), (1, 1), "{row}");
    }
    for (content, expected) in [
        ("@relation r\n@attribute a numeric\n", "no @data line"),
        ("@relation r\n@attribute a relational\n@data\n", "line 2: the attribute \"a\" has the kind \"relational\""),
        ("@relation r\n@attribute a real\n@attribute a real\n@data\n1,2\n", "line 3: two attributes"),
        ("@relation r\n1,2\n", "line 2: expected @attribute or @data"),
        ("@relation r\n@attribute a {u,v\n@data\n", "no closing brace"),
        ("@relation r\n@data\n1\n", "it is empty"),
    ] {
        let problem = read(content.as_bytes()).map(|table| table.len()).unwrap_err();
        assert!(problem.contains(expected), "{content:?}: {problem}");
    }
}
