//! Text tables as programs write them: separators, encodings, decimal marks, quotes, line ends and
//! headers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write;

use chainrule_core::{BadRows, Decimal, Encoding, Recipe, Separator, TextEncoding, TextOptions};
use chainrule_data::table::{Columns, Table, TableSummary};
use chainrule_data::{ReadAs, RecipeOptions, RowBuffer};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};

const ENCODINGS: [TextEncoding; 5] = [
    TextEncoding::Utf8,
    TextEncoding::Utf16Le,
    TextEncoding::Utf16Be,
    TextEncoding::Windows1252,
    TextEncoding::Latin1,
];

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
fn cells(table: Table) -> Vec<Vec<String>> {
    let columns = table.columns().to_vec();
    let n = table.len();
    (0..columns.len())
        .map(|j| {
            let name = &columns[j];
            let options = RecipeOptions {
                kinds: [(name.clone(), chainrule_core::ColumnKind::Category)].into(),
                ..RecipeOptions::default()
            };
            let recipe = table.clone().learn_recipe(&options).unwrap();
            let column = recipe.columns.iter().find(|column| column.name == *name).unwrap().clone();
            let Encoding::Category(category) = &column.encoding else { panic!("{column:?}") };
            let levels = category.levels.clone();
            let recipe = Recipe { columns: vec![column], ..Recipe::default() };
            let rows = table.clone().encode(&recipe).unwrap().rows;
            let mut buffer = RowBuffer::default();
            let level = |row: usize, buffer: &mut RowBuffer| {
                let features = rows.row(row, buffer).unwrap();
                features.iter().position(|x| *x == 1.0).map_or_else(String::new, |at| {
                    levels.get(at).cloned().unwrap_or_else(|| "(missing)".to_owned())
                })
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
            assert_eq!((table.len() as u64, &table.read_as), (summary.rows, &summary.read_as));
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
        (3.14, "Zoë, \"the 1st\"", "yes", 7.0),
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
                    // Decimal commas between commas are texts: see `misleading_texts_are_not_guessed`.
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
                    let columns = if written.has_header { names } else { ["column_1", "column_2", "column_3", "column_4"] };
                    assert_eq!(table.columns(), columns, "{written:?}");
                    let read_as = table.read_as.clone();
                    assert_eq!(is(&read_as, "separator"), separator.plural(), "{written:?}");
                    // Without the header, no euro tells Windows-1252 from Latin-1.
                    let name = match encoding {
                        TextEncoding::Windows1252 if !written.has_header => "Latin-1",
                        other => other.name(),
                    };
                    assert_eq!(is(&read_as, "encoding"), name, "{written:?}");
                    assert_eq!(is(&read_as, "decimal").contains("comma"), decimal == Decimal::Comma, "{written:?}");
                    let sha256 = chainrule_data::sha256([&content[..]]);
                    assert_eq!(table.sha256, sha256, "{written:?}");
                    let found = cells(table);
                    assert_eq!(*expected.get_or_insert_with(|| found.clone()), found, "{written:?}");
                    count += 1;
                }
            }
        }
    }
    assert!(count > 1000, "{count}");
    let expected = expected.unwrap();
    assert_eq!(expected[0], ["3.14", "-0.5", "1200.25", "0.002"]);
    assert_eq!(expected[1][2], "two\nlines");
}

#[test]
fn random_cells_are_read_back_or_refused() {
    let words = ["", "a", "Zoë", "x y", "3,4", "1.5", "1,234", "1.234,5", "a;b", "a,b", "a|b", "a\tb", "\"", "q\"q", "\n", "7", "-2", "NA", "2020", "é", "'"];
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
                    let number = f64::from(random.random_range(-5000..5000)) / [1.0, 4.0, 100.0].choose(&mut random).unwrap();
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
        let read_as = table.read_as.clone();
        let is_comma = is(&read_as, "decimal").contains("comma");
        for (j, (found, expected)) in cells(table).iter().zip(&expected).enumerate() {
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
