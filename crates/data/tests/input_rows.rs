//! The rows of files for a model: each is answered, whatever the format, the faults of other rows
//! and the size of the file.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;

use chainrule_core::{BadRows, ContentError, Decimal, Preprocessing, Recipe, TextOptions};
use chainrule_data::table::{Columns, Table};
use chainrule_data::{InputBatch, InputReader, RecipeOptions, Rows, Unseen};

/// A row of a file: its fields in the order `id`, `a`, `day`, `colour`, or a line of its own.
enum Line {
    Fields([&'static str; 4]),
    /// A bad row, and a part of what is wrong with it.
    Bad(&'static str, &'static str),
    /// A bad row that has all its fields, and a part of what is wrong with it.
    BadField([&'static str; 4], &'static str),
    /// No row.
    Blank,
}

use Line::{Bad, BadField, Blank, Fields};

const ROWS: [Line; 12] = [
    Fields(["x1", "1.5", "2026-01-02", "red"]),
    BadField(["x2", "none", "2026-01-02", "green"], "column \"a\": \"none\" is not a number"),
    Fields(["x3", "", "2026-01-04", "blue"]),
    Bad("x4,1.5", "but"),
    Blank,
    Bad("x5,1.5,2026-01-02,red,1,2", "but"),
    Fields(["x6", "-7.25", "", "violet"]),
    BadField(["x7", "2.5", "tomorrow", "red"], "column \"day\": \"tomorrow\" is no"),
    BadField(["x8", "4e31", "2026-01-02", "red"], "column \"a\": 4e31 is not between"),
    Bad("x9", "but"),
    Fields(["x10", "0.125", "2026-02-02", "red"]),
    BadField(["x11", "red", "never", "red"], "column \"a\": \"red\" is not a number"),
];

/// A training table without faults, its recipe, and the fields of its columns as texts.
fn recipe() -> Recipe {
    let row = |i: usize| {
        let number = if i.is_multiple_of(5) { String::new() } else { format!("{}.5", i % 7) };
        let day = if i.is_multiple_of(6) { String::new() } else { format!("2026-01-{:02}", 1 + i % 28) };
        format!("{number},{day},{}\n", ["red", "green", "blue"][i % 3])
    };
    let text = "a,day,colour\n".to_owned() + &(0..60).map(row).collect::<String>();
    let options = RecipeOptions { min_rows: 1, ..RecipeOptions::default() };
    Table::read(text.as_bytes(), Columns::default(), 1 << 20).unwrap().learn_recipe(&options).unwrap()
}

/// How a file is written.
struct Form {
    name: &'static str,
    head: &'static str,
    separator: &'static str,
    has_decimal_comma: bool,
    quotes: [&'static str; 2],
    end: &'static str,
}

const FORMS: [Form; 7] = [
    Form {
        name: "CSV",
        head: "id,a,day,colour\n",
        separator: ",",
        has_decimal_comma: false,
        quotes: ["", ""],
        end: "\n",
    },
    Form {
        name: "CRLF",
        head: "id,a,day,colour\r\n",
        separator: ",",
        has_decimal_comma: false,
        quotes: ["", ""],
        end: "\r\n",
    },
    Form {
        name: "quotes",
        head: "id,a,day,colour\n",
        separator: ",",
        has_decimal_comma: false,
        quotes: ["\"", "\""],
        end: "\n",
    },
    Form {
        name: "semicolons",
        head: "id;a;day;colour\n",
        separator: ";",
        has_decimal_comma: true,
        quotes: ["", ""],
        end: "\n",
    },
    Form {
        name: "tabs",
        head: "id\ta\tday\tcolour\n",
        separator: "\t",
        has_decimal_comma: false,
        quotes: ["", ""],
        end: "\n",
    },
    Form {
        name: "end marks",
        head: "id,a,day,colour,\n",
        separator: ",",
        has_decimal_comma: false,
        quotes: ["", ""],
        end: ",\n",
    },
    Form {
        name: "ARFF",
        head: "@relation r\n@attribute id string\n@attribute a string\n@attribute day date\n@attribute colour string\n@data\n",
        separator: ",",
        has_decimal_comma: false,
        quotes: ["'", "'"],
        end: "\n",
    },
];

impl Form {
    fn fields(&self, fields: &[&str; 4]) -> String {
        let written = fields.iter().enumerate().map(|(i, field)| match i {
            0 => format!("{}{field}{}", self.quotes[0], self.quotes[1]),
            1 if self.has_decimal_comma => field.replace('.', ","),
            _ => (*field).to_owned(),
        });
        written.collect::<Vec<_>>().join(self.separator) + self.end
    }

    /// Returns the text of rows, repeated this many times.
    fn text(&self, rows: &[Line], times: usize) -> String {
        let line = |row: &Line| match row {
            Fields(fields) | BadField(fields, _) => self.fields(fields),
            Bad(line, _) => {
                let line = line.replace(',', self.separator);
                (if self.has_decimal_comma { line.replace('.', ",") } else { line }) + self.end
            }
            Blank => "\n".to_owned(),
        };
        self.head.to_owned() + &rows.iter().map(line).collect::<String>().repeat(times)
    }
}

fn features(rows: Rows) -> Vec<f64> {
    rows.into_features(&Preprocessing::Raw, |x| x).unwrap()
}

/// What a file has: the features of the good rows, and for each row its line, its problem and the
/// kept columns.
#[derive(Debug, Default, PartialEq)]
struct Content {
    features: Vec<f64>,
    rows: Vec<(u64, Option<String>, Vec<String>)>,
    unseen: Vec<Unseen>,
}

impl Content {
    fn add(&mut self, batch: InputBatch) {
        for (i, &line) in batch.lines.iter().enumerate() {
            let kept = batch.kept.iter().map(|column| column.get(i).to_owned()).collect();
            self.rows.push((line, batch.problems.get(&i).cloned(), kept));
        }
        Unseen::add(&mut self.unseen, batch.unseen);
        self.features.extend(features(batch.rows));
    }
}

/// Reads a text one batch after the other, and by several threads.
fn read(reader: &InputReader, text: &[u8]) -> Result<Content, ContentError> {
    let mut content = Content::default();
    for batch in reader.read(text)? {
        content.add(batch?);
    }
    let mut in_order = Content::default();
    reader.read(text)?.each(Ok::<_, ContentError>, |batch| {
        in_order.add(batch);
        Ok(())
    })?;
    assert_eq!(in_order, content);
    Ok(content)
}

#[test]
fn each_row_is_answered_in_each_format() {
    let recipe = recipe();
    // Its effect is the caller's.
    for bad_rows in [BadRows::Error, BadRows::Skip] {
        for form in &FORMS {
            // A text in its column hides the decimal comma of the others.
            let decimal = form.has_decimal_comma.then_some(Decimal::Comma);
            let text = TextOptions { bad_rows, decimal, ..TextOptions::default() };
            let reader = InputReader::new(recipe.clone(), vec!["colour".to_owned(), "id".to_owned()], text);
            // Many rows are read block by block.
            for times in [1, 3000] {
                let content = read(&reader, form.text(&ROWS, times).as_bytes()).unwrap();
                let good: Vec<Line> = ROWS
                    .iter()
                    .filter_map(|row| if let Fields(fields) = row { Some(Fields(*fields)) } else { None })
                    .collect();
                let features_of = Columns { features: Some(&recipe.column_names()), ..Columns::default() };
                let alone = Table::read(FORMS[0].text(&good, 1).as_bytes(), features_of, 1 << 20).unwrap();
                let alone = alone.encode(&recipe).unwrap();
                // Compares bits, because no feature is NaN.
                assert_eq!(content.features, features(alone.rows).repeat(times), "{}", form.name);
                let mut expected = alone.unseen;
                expected.iter_mut().for_each(|unseen| unseen.rows *= times);
                assert_eq!(content.unseen, expected, "{}", form.name);

                let first = form.head.lines().count() as u64 + 1;
                let rows = ROWS.iter().zip(first..).filter(|(row, _)| !matches!(row, Blank));
                assert_eq!(content.rows.len(), times * (ROWS.len() - 1), "{}", form.name);
                for ((row, line), (actual, problem, kept)) in rows.zip(&content.rows) {
                    assert_eq!(*actual, line, "{}", form.name);
                    let (fields, expected) = match row {
                        Fields(fields) => (Some(fields), None),
                        BadField(fields, problem) => (Some(fields), Some(*problem)),
                        Bad(_, problem) => (None, Some(*problem)),
                        Blank => unreachable!(),
                    };
                    match (problem, expected) {
                        (None, None) => {}
                        (Some(problem), Some(expected)) if problem.contains(expected) => {}
                        _ => panic!("{}, line {line}: {problem:?} is not {expected:?}", form.name),
                    }
                    match fields {
                        Some([id, _, _, colour]) => assert_eq!(kept, &[*colour, *id], "{}, line {line}", form.name),
                        None => assert_eq!(kept, &["", ""], "{}, line {line}", form.name),
                    }
                }
                let last = content.rows.last().unwrap().0;
                assert_eq!(last, first + (times * ROWS.len()) as u64 - 1, "{}", form.name);
            }
        }
    }
}

/// The beginning of a file decides about its encoding, and is no table with such bytes.
#[test]
fn rows_that_are_no_text_are_answered() {
    let reader = InputReader::new(recipe(), vec!["id".to_owned()], TextOptions::default());
    for quotes in ["", "\"q\",1,,red\n"] {
        let good = "x1,1.5,2026-01-02,red\n".repeat(20_000);
        let mut text = format!("id,a,day,colour\n{good}{quotes}").into_bytes();
        text.extend_from_slice(b"x2,1,2026-01-02,\xff\nx3,1,\0,red\nx4,1,2026-01-02,red\n");
        let content = read(&reader, &text).unwrap();
        let n = 20_000 + usize::from(!quotes.is_empty());
        let ends =
            content.rows[n..].iter().map(|(_, problem, kept)| (problem.as_deref().unwrap_or_default(), &*kept[0]));
        let [(not_utf8, x2), (nul, x3), ("", "x4")] = ends.collect::<Vec<_>>()[..] else {
            panic!("{:?}", &content.rows[n..])
        };
        assert!(not_utf8.contains("field 4: the byte 0xFF is not UTF-8") && nul.contains("NUL"), "{not_utf8}, {nul}");
        assert_eq!((x2, x3), ("x2", "x3"));
    }
}

#[test]
fn sparse_rows_are_answered_too() {
    let columns = Columns { label: Some("label"), ..Columns::default() };
    let train = Table::read(&b"1 1:1 3:1\n2 4:2\n"[..], columns, 1 << 20).unwrap();
    let recipe = train.learn_recipe(&RecipeOptions::default()).unwrap();
    let reader = InputReader::new(recipe, vec!["label".to_owned()], TextOptions::default());
    let text = "7 1:2 # one\n# none\n8 1:1 x:2\n9 2:1 3:4\n10 3:1 3:2\n4:1\n11\n".repeat(2000);
    let content = read(&reader, text.as_bytes()).unwrap();
    assert_eq!(content.features, [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0; 3]].concat().repeat(2000));
    let of_first: Vec<(u64, bool, &str)> =
        content.rows[..6].iter().map(|(line, problem, kept)| (*line, problem.is_some(), &*kept[0])).collect();
    assert_eq!(
        of_first,
        [(1, false, "7"), (3, true, "8"), (4, false, "9"), (5, true, "10"), (6, true, ""), (7, false, "11")]
    );
    assert_eq!(content.rows[6].0, 8);
    let problem = content.rows[3].1.as_deref().unwrap();
    assert_eq!(problem, "column \"features\": entry 2 (\"3:2\"): its index occurs twice in the row");
    let [unseen] = &content.unseen[..] else { panic!("{:?}", content.unseen) };
    assert_eq!((unseen.rows, &*unseen.example), (2000, "2"));
}

#[test]
fn what_is_wrong_with_a_file_is_an_error() {
    let check = |keep: &str, text: &[u8], expected: &str| {
        let error = read(&InputReader::new(recipe(), vec![keep.to_owned()], TextOptions::default()), text).unwrap_err();
        assert!(error.to_string().contains(expected), "{error} does not say {expected}");
    };
    let head = "id,a,day,colour\n";
    let row = "x1,1,2026-01-01,red\n";
    check(
        "name",
        format!("{head}{row}").as_bytes(),
        "no column \"name\", which is to be kept; its columns are id, a, day, colour",
    );
    check("id", b"id,a,day\nx1,1,2026-01-01\n", "no column colour, which the model needs");
    check("id", format!("{head}\n\n").as_bytes(), "it has no rows below its header");
    check("id", format!("{head}{row}\"x2,1").as_bytes(), "line 3: a quote is not closed");
    check("id", b"", "empty");
    // Damage ends the rows, after those before it.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all((head.to_owned() + &row.repeat(100_000)).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let whole = InputReader::new(recipe(), Vec::new(), TextOptions::default());
    assert_eq!(read(&whole, &packed).unwrap().rows.len(), 100_000);
    check("id", &packed[..packed.len() / 2], "damaged gzip");
}

/// A text without end: a header, then the same row again and again. It counts the bytes that were
/// read.
struct Endless {
    head: Vec<u8>,
    row: Vec<u8>,
    count: Rc<Cell<usize>>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for place in buffer.iter_mut() {
            let i = self.count.get();
            self.count.set(i + 1);
            *place = match i.checked_sub(self.head.len()) {
                None => self.head[i],
                Some(i) => self.row[i % self.row.len()],
            };
        }
        Ok(buffer.len())
    }
}

#[test]
fn a_few_rows_are_in_memory_at_a_time() {
    const ROWS: usize = 200_000;
    const MOST_BYTES: usize = 2 << 20;
    for form in &FORMS {
        let row = form.fields(&["x1", "1.5", "2026-01-02", "red"]).into_bytes();
        let (count, size) = (Rc::new(Cell::new(0)), row.len());
        let endless = || Endless { head: form.head.as_bytes().to_vec(), row: row.clone(), count: Rc::clone(&count) };
        let reader = InputReader::new(recipe(), vec!["id".to_owned()], TextOptions::default());
        assert!(ROWS * size > 2 * MOST_BYTES);
        let mut n = 0;
        let mut take = |batch: &InputBatch| {
            n += batch.lines.len();
            let ahead = count.get() - (n - batch.lines.len()) * size;
            assert!(ahead < MOST_BYTES, "{}: {ahead} bytes for {} rows", form.name, batch.lines.len());
            n >= ROWS
        };
        assert!(reader.read(endless()).unwrap().any(|batch| take(&batch.unwrap())));
        (n, _) = (0, count.set(0));
        let mut take = |batch: &InputBatch| {
            n += batch.lines.len();
            let ahead = count.get() - (n - batch.lines.len()) * size;
            assert!(ahead < MOST_BYTES, "{}: {ahead} bytes for {} rows", form.name, batch.lines.len());
            n >= ROWS
        };
        let ended = reader.read(endless()).unwrap().each(Ok, |batch| match take(&batch) {
            true => Err(ContentError::new("enough")),
            false => Ok(()),
        });
        assert_eq!(ended.unwrap_err().to_string(), "enough", "{}", form.name);
    }
}
