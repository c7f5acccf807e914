//! The output of `predict`: a table for people or a JSON document on standard output, or a file in
//! CSV, JSON lines or Parquet. Each is written part by part.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use chainrule_core::{Class, align_right, display_width, listed};
use chainrule_data::picture::Treatment;
use chainrule_data::{ColumnType, ParquetWriter, Values};
use chainrule_records::{Draft, RunError};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::destination::destination;
use crate::model::Model;
use crate::output::{Lines, escape_json, print_as_is};

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A table for people, on standard output.
    Table,
    /// A JSON document, on standard output.
    Json,
    /// A file.
    File(FileFormat),
}

/// The format of a file of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Csv,
    JsonLines,
    Parquet,
}

impl FileFormat {
    /// Returns the format that the ending of a file names.
    ///
    /// # Errors
    /// If the ending is unknown, or if this build cannot write the format.
    pub(crate) fn of(file: &Path) -> Result<Self> {
        let ending = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let file = file.display();
        match &*ending {
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::JsonLines),
            "parquet" if ParquetWriter::<Draft>::IS_THERE => Ok(Self::Parquet),
            "parquet" => bail!(
                "--out {file}: this program cannot write Parquet; name a .csv or .jsonl file, or build it with --features parquet"
            ),
            _ => bail!("--out {file}: the ending names the format, which is .csv, .jsonl or .parquet"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::JsonLines => "JSON lines",
            Self::Parquet => "Parquet",
        }
    }
}

/// An image, or a row of a table, with its answer.
pub(crate) struct Row<'a> {
    pub(crate) file: &'a str,
    pub(crate) place: Option<Place>,
    /// The fields of the kept columns.
    pub(crate) kept: Vec<&'a str>,
    pub(crate) treatment: Option<&'a Treatment>,
    /// The position of the class, and the probabilities; or what is wrong with the row.
    pub(crate) answer: Result<(usize, &'a [f64]), &'a str>,
}

/// Where a row is in its file.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Place {
    /// The line, from 1, in a text.
    #[serde(rename = "line")]
    Line(u64),
    /// The number, from 1, in a table that is stored by columns.
    #[serde(rename = "row")]
    Row(u64),
    /// The number of an image, from 0, in an IDX file.
    #[serde(rename = "number")]
    Image(usize),
}

/// A prediction of the JSON document.
#[derive(Serialize)]
struct Predicted<'a> {
    file: &'a str,
    #[serde(flatten)]
    place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<&'a [f64]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// How the picture was prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    treatment: Option<&'a Treatment>,
}

impl Place {
    fn number(self) -> u64 {
        match self {
            Self::Line(number) | Self::Row(number) => number,
            Self::Image(number) => number as u64,
        }
    }
}

/// What all rows of an output have in common.
pub(crate) struct Layout {
    form: Form,
    classes: Vec<Class>,
    is_table: bool,
    /// Whether a file has the column `file`: several files were named, or the rows are images.
    has_file: bool,
    /// The names of the kept columns in their file, and in the output.
    kept: Vec<String>,
    names_of_kept: Vec<String>,
    /// The names of the columns of the probabilities.
    probabilities: Vec<String>,
}

/// Rows in the form of the output.
pub(crate) enum Part {
    Text(Vec<u8>),
    Columns(Vec<Values>),
}

impl Layout {
    /// Describes the output for a model.
    ///
    /// # Errors
    /// If a column is kept twice, or cannot be kept.
    pub(crate) fn new(form: Form, model: &Model, keep: &[String], n_files: usize) -> Result<Self> {
        let is_table = model.features().is_some();
        if !keep.is_empty() && !is_table {
            bail!("--keep carries columns of a table along, and this model takes images");
        }
        if !keep.is_empty() && form == Form::Table {
            bail!("--keep needs a file (--out predictions.csv) or --json");
        }
        let probabilities: Vec<String> = model.classes().iter().map(|class| format!("probability_{class}")).collect();
        let has_file = !is_table || n_files > 1;
        let mut layout = Self {
            form,
            classes: model.classes().to_vec(),
            is_table,
            has_file,
            kept: keep.to_vec(),
            names_of_kept: Vec::new(),
            probabilities,
        };
        let own = layout.columns();
        // A label is often called `class`.
        for name in keep {
            let mut free = name.clone();
            while own.contains(&free) || free != *name && keep.contains(&free) {
                free = format!("kept_{free}");
            }
            layout.names_of_kept.push(free);
        }
        let columns = layout.columns();
        match columns.iter().enumerate().find(|(i, name)| columns[..*i].contains(name)) {
            Some((_, name)) => Err(anyhow!(
                "two columns of the output would be named {name:?}; keep each column once (--keep {})",
                listed(keep)
            )),
            None => Ok(layout),
        }
    }

    /// Returns the names of a file's columns.
    fn columns(&self) -> Vec<String> {
        let file = self.has_file.then_some("file");
        let first =
            file.into_iter().chain([self.place_name()]).map(str::to_owned).chain(self.names_of_kept.iter().cloned());
        let class = std::iter::once("class".to_owned()).chain(self.probabilities.iter().cloned());
        first.chain(class).chain(["error".to_owned()]).collect()
    }

    /// The name of the column with the place of each row.
    fn place_name(&self) -> &'static str {
        if self.is_table { "line" } else { "number" }
    }

    /// Returns a note for each kept column that has another name in the output.
    pub(crate) fn notes(&self) -> Vec<String> {
        let renamed = self.kept.iter().zip(&self.names_of_kept).filter(|(own, name)| own != name);
        renamed
            .filter(|_| matches!(self.form, Form::File(_)))
            .map(|(own, name)| format!("the kept column {own:?} is named {name:?}, because {own:?} is the answer's"))
            .collect()
    }

    /// Converts rows to the form of the output.
    pub(crate) fn part<'a>(&self, rows: impl Iterator<Item = Row<'a>>) -> Part {
        let mut text = Vec::new();
        match self.form {
            Form::Table => {
                let mut lines = Lines::default();
                let widths = self.widths();
                rows.for_each(|row| lines.add(self.line(&row, widths)));
                text = lines.into_text().into_bytes();
            }
            Form::Json => rows.for_each(|row| {
                text.extend_from_slice(b",\n    ");
                text.extend_from_slice(escape_json(&self.json(&row)).as_bytes());
            }),
            Form::File(FileFormat::Csv) => rows.for_each(|row| self.push_csv(&row, &mut text)),
            Form::File(FileFormat::JsonLines) => {
                let names: Vec<Vec<u8>> =
                    self.columns().iter().map(|name| json!(name).to_string().into_bytes()).collect();
                rows.for_each(|row| self.push_json(&row, &names, &mut text));
            }
            Form::File(FileFormat::Parquet) => return Part::Columns(self.values(rows)),
        }
        Part::Text(text)
    }

    /// The widths of the columns for the predicted class and for a probability. Every class name
    /// fits.
    fn widths(&self) -> [usize; 2] {
        let longest = self.classes.iter().map(|class| display_width(&class.to_string())).max().unwrap_or_default();
        [longest.max(9), (longest + 1).max(7)]
    }

    /// Returns the header of the table.
    fn heading(&self) -> String {
        let [first, columns] = self.widths();
        let classes: String = self.classes.iter().map(|class| align_right(class, columns)).collect();
        let row_name = if self.is_table { "row" } else { "image" };
        let mut lines = Lines::default();
        lines.add(format!("{:>first$}  probability in % of", "predicted"));
        lines.add(format!("{:>first$}{classes}  {row_name}", ""));
        lines.into_text()
    }

    /// Returns one line: the predicted class, the probabilities and the name of the image or row.
    fn line(&self, row: &Row, [first, columns]: [usize; 2]) -> String {
        let mut line = match row.answer {
            Ok((class, probabilities)) => {
                let numbers = probabilities.iter().map(|probability| format!("{:>columns$.2}", 100.0 * probability));
                align_right(&self.classes[class], first) + &numbers.collect::<String>()
            }
            Err(_) => align_right("-", first) + &align_right("-", columns).repeat(self.classes.len()),
        };
        line += &format!("  {}", row.file);
        line += &match row.place {
            Some(Place::Line(number)) => format!(", line {number}"),
            Some(Place::Row(number)) => format!(", row {number}"),
            Some(Place::Image(number)) => format!("[{number}]"),
            None => String::new(),
        };
        if let Err(problem) = row.answer {
            line += &format!(": {problem}");
        }
        line
    }

    /// Returns a prediction of the JSON document.
    fn json(&self, row: &Row) -> String {
        let kept = self.kept.iter().zip(&row.kept).map(|(name, field)| (name.clone(), text_or_null(field)));
        let predicted = Predicted {
            file: row.file,
            place: row.place,
            kept: (!self.kept.is_empty()).then(|| kept.collect()),
            class: row.answer.ok().map(|(class, _)| &self.classes[class]),
            probabilities: row.answer.ok().map(|(_, probabilities)| probabilities),
            error: row.answer.err(),
            treatment: row.treatment,
        };
        serde_json::to_string(&predicted).expect("an answer holds only what JSON can")
    }

    fn push_csv(&self, row: &Row, text: &mut Vec<u8>) {
        if self.has_file {
            push_field(row.file, text);
            text.push(b',');
        }
        if let Some(place) = row.place {
            push_json(&place.number(), text);
        }
        for field in &row.kept {
            text.push(b',');
            push_field(field, text);
        }
        text.push(b',');
        match row.answer {
            Ok((class, probabilities)) => {
                push_field(&self.classes[class].to_string(), text);
                for probability in probabilities {
                    text.push(b',');
                    push_json(probability, text);
                }
                text.push(b',');
            }
            Err(problem) => {
                text.extend(self.classes.iter().map(|_| b','));
                text.push(b',');
                push_field(problem, text);
            }
        }
        text.push(b'\n');
    }

    /// Appends a line of JSON. Each has all keys, since readers take the columns from the first
    /// lines.
    fn push_json(&self, row: &Row, names: &[Vec<u8>], text: &mut Vec<u8>) {
        let mut names = names.iter();
        let mut key = |text: &mut Vec<u8>| {
            text.push(if text.last().is_none_or(|&last| last == b'\n') { b'{' } else { b',' });
            text.extend_from_slice(names.next().expect("each value has a name"));
            text.push(b':');
        };
        if self.has_file {
            key(text);
            push_json(&row.file, text);
        }
        key(text);
        push_json(&row.place.map(Place::number), text);
        for field in &row.kept {
            key(text);
            push_json(&text_or_null(field), text);
        }
        key(text);
        push_json(&row.answer.ok().map(|(class, _)| &self.classes[class]), text);
        for j in 0..self.classes.len() {
            key(text);
            push_json(&row.answer.ok().map(|(_, probabilities)| probabilities[j]), text);
        }
        key(text);
        push_json(&row.answer.err(), text);
        text.extend_from_slice(b"}\n");
    }

    fn values<'a>(&self, rows: impl Iterator<Item = Row<'a>>) -> Vec<Values> {
        let (mut files, mut places, mut classes, mut errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut kept = vec![Vec::new(); self.kept.len()];
        let mut probabilities = vec![Vec::new(); self.classes.len()];
        for row in rows {
            files.push(Some(row.file.to_owned()));
            places.push(row.place.and_then(|place| i64::try_from(place.number()).ok()));
            for (&field, kept) in row.kept.iter().zip(&mut kept) {
                kept.push((!field.is_empty()).then(|| field.to_owned()));
            }
            let answer = row.answer.ok();
            classes.push(answer.map(|(class, _)| self.classes[class].to_string()));
            for (j, of_class) in probabilities.iter_mut().enumerate() {
                of_class.push(answer.map(|(_, probabilities)| probabilities[j]));
            }
            errors.push(row.answer.err().map(str::to_owned));
        }
        let file = self.has_file.then_some(Values::Texts(files));
        let first = file.into_iter().chain([Values::Whole(places)]).chain(kept.into_iter().map(Values::Texts));
        let class = std::iter::once(Values::Texts(classes)).chain(probabilities.into_iter().map(Values::Numbers));
        first.chain(class).chain([Values::Texts(errors)]).collect()
    }

    fn types(&self) -> Vec<(String, ColumnType)> {
        let columns = self.columns();
        let of_column = |name: String| {
            let kind = match &*name {
                name if name == self.place_name() => ColumnType::Whole,
                _ if self.probabilities.contains(&name) => ColumnType::Number,
                _ => ColumnType::Text,
            };
            (name, kind)
        };
        columns.into_iter().map(of_column).collect()
    }
}

/// Returns a field as JSON. An empty one is missing.
fn text_or_null(field: &str) -> Value {
    if field.is_empty() { Value::Null } else { field.into() }
}

/// Appends a value as JSON, which CSV shares for numbers.
fn push_json(value: &impl Serialize, text: &mut Vec<u8>) {
    serde_json::to_writer(text, value).expect("the value can be written to memory");
}

/// Appends a field of CSV, in quotes if it needs them (RFC 4180).
fn push_field(field: &str, text: &mut Vec<u8>) {
    let is_blank = |c: Option<char>| c.is_some_and(char::is_whitespace);
    if !field.contains(['"', ',', '\n', '\r']) && !is_blank(field.chars().next()) && !is_blank(field.chars().last()) {
        text.extend_from_slice(field.as_bytes());
        return;
    }
    text.push(b'"');
    text.extend_from_slice(field.replace('"', "\"\"").as_bytes());
    text.push(b'"');
}

/// What the JSON document says before the predictions.
#[derive(Serialize)]
pub(crate) struct About<'a> {
    pub(crate) run: String,
    pub(crate) model: chainrule_core::LinkKind,
    pub(crate) image_size: [usize; 2],
    /// In the order of the probabilities.
    pub(crate) classes: &'a [Class],
}

/// A file that could not be read.
#[derive(Serialize)]
pub(crate) struct Problem {
    pub(crate) file: String,
    pub(crate) problem: String,
}

/// Where the answers go.
pub(crate) enum Sink {
    /// A table or a document on standard output. `None` once something was printed.
    Standard(Form, Option<String>),
    /// A text file.
    Text(Draft),
    Parquet(PathBuf, Box<ParquetWriter<Draft>>),
}

/// Returns the error of a file that could not be written.
fn failed(file: &Path) -> impl FnOnce(io::Error) -> RunError {
    move |problem| RunError::Write { path: file.to_owned(), problem }
}

impl Sink {
    /// Starts the output. A file that exists needs `force`.
    pub(crate) fn new(layout: &Layout, out: Option<&PathBuf>, force: bool, about: &About) -> Result<Self> {
        let (Form::File(format), Some(out)) = (layout.form, out) else {
            let first = match layout.form {
                Form::Table => layout.heading(),
                _ => {
                    let about = escape_json(&serde_json::to_string_pretty(about)?);
                    about.trim_end_matches(['}', '\n']).to_owned() + ",\n  \"predictions\": ["
                }
            };
            return Ok(Self::Standard(layout.form, Some(first)));
        };
        let mut draft = destination(out, force, "--out")?.start()?;
        match format {
            FileFormat::Csv => {
                let mut header = Vec::new();
                for (i, name) in layout.columns().iter().enumerate() {
                    header.extend((i > 0).then_some(b','));
                    push_field(name, &mut header);
                }
                header.push(b'\n');
                draft.write_all(&header).map_err(|problem| draft.failed(problem))?;
                Ok(Self::Text(draft))
            }
            FileFormat::JsonLines => Ok(Self::Text(draft)),
            FileFormat::Parquet => {
                let writer = ParquetWriter::new(draft, &layout.types());
                let writer = writer.map_err(failed(out))?;
                Ok(Self::Parquet(out.clone(), Box::new(writer)))
            }
        }
    }

    /// Writes rows.
    pub(crate) fn write(&mut self, part: Part) -> Result<()> {
        match (self, part) {
            (Self::Standard(form, first), Part::Text(text)) => {
                if text.is_empty() {
                    return Ok(());
                }
                let text = String::from_utf8(text).expect("the parts are texts");
                match first.take() {
                    // The first element has no comma before it.
                    Some(first) if *form == Form::Json => print_as_is(&(first + &text[1..]))?,
                    Some(first) => print_as_is(&(first + &text))?,
                    None => print_as_is(&text)?,
                }
            }
            (Self::Text(draft), Part::Text(text)) => {
                draft.write_all(&text).map_err(|problem| draft.failed(problem))?;
            }
            (Self::Parquet(out, writer), Part::Columns(columns)) => {
                writer.write(columns).map_err(failed(out))?;
            }
            _ => unreachable!("the parts have the form of the output"),
        }
        Ok(())
    }

    /// Ends the output. A file gets its name.
    pub(crate) fn finish(self, problems: &[Problem]) -> Result<()> {
        match self {
            Self::Standard(Form::Json, first) => {
                let mut end = match first {
                    Some(first) => first + "],\n",
                    None => "\n  ],\n".to_owned(),
                };
                let problems = serde_json::to_string_pretty(problems)?.replace('\n', "\n  ");
                end += &format!("  \"problems\": {}\n}}\n", escape_json(&problems));
                Ok(print_as_is(&end)?)
            }
            Self::Standard(..) => Ok(()),
            Self::Text(draft) => Ok(draft.finish()?),
            Self::Parquet(out, writer) => {
                let draft = writer.finish().map_err(failed(&out))?;
                Ok(draft.finish()?)
            }
        }
    }
}
