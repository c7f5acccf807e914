//! `chainrule predict`: predicts the classes of pictures or rows.

use std::path::{Path, PathBuf};

use anyhow::Result;
use chainrule_core::{BadRows, ContentError, pluralize};
use chainrule_data::input_files::{self, ImageInput};
use chainrule_data::readers::{self, IMAGES, PICTURES, READERS, TABLES};
use chainrule_data::{InputBatch, InputReader, Unseen};
use chainrule_solve::BatchPredictor;
use clap::Args;
use serde_json::json;

use crate::answers::{About, FileFormat, Form, Layout, Part, Place, Problem, Row, Sink};
use crate::exit;
use crate::missing::check_folder_exists;
use crate::model::Model;
use crate::options::{OutputOptions, TextArgs};
use crate::output::{print_json, print_line, print_message};
use crate::progress::discard_on_interrupt;

#[derive(Args, Debug)]
pub(crate) struct PredictOptions {
    /// Folder of a finished run or of an imported model.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[arg(value_name = "FILE", required = true, help = files())]
    files: Vec<PathBuf>,
    /// Write the answers to this file, one row for each input row. Its ending names the format:
    /// .csv, .jsonl (JSON lines) or .parquet. It appears when it is complete [default: a table on
    /// standard output, or a JSON document with --json].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long, requires = "out")]
    force: bool,
    /// Carry a column of the table along, such as an identifier or the label. Repeatable.
    #[arg(long, value_name = "COLUMN")]
    keep: Vec<String>,
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    output: OutputOptions,
}

/// The help for `FILE`, from the list of readers.
fn files() -> String {
    format!(
        "Files to predict: {} files, plain or compressed ({}), or folders of them; {} files for a model of a table; - for standard input",
        readers::names(IMAGES, "and"),
        readers::compressions("or"),
        readers::names(TABLES, "and")
    )
}

/// The end of the help: how pictures are prepared, and the list of readers.
pub(crate) fn about_files() -> String {
    let list: String = READERS
        .iter()
        .map(|reader| {
            let extensions: Vec<String> = reader.extensions().iter().map(|ending| format!(".{ending}")).collect();
            format!("  {:<8} {:<24} {}\n", reader.name(), extensions.join(", "), reader.about())
        })
        .collect();
    format!(
        "\
A picture of any size ({pictures}) is converted to the form of MNIST's images: grey, light ink
on a dark background (inverted if its border is light), the ink scaled into 20 x 20 of
28 x 28 pixels and centred by its centre of mass. The conversion of each picture is reported.
Images in IDX files are used unchanged.
A model that was trained on a folder of pictures converts a picture as in its training.
A model that was trained on a table reads {tables} files and finds their columns by name.
A file may have any size: its rows are read, predicted and written some at a time.
A row that cannot be read is answered by an error in its place, and the exit code is 2.
With --bad-rows skip it is left out; with --bad-rows error it ends the prediction.

File formats, detected by their first bytes, plain or compressed ({compressions}):
{list}
Examples:
  chainrule predict runs/softmax-1 seven.png
  chainrule predict runs/softmax-1 photographs t10k-images-idx3-ubyte.gz --json
  chainrule predict runs/flowers new.csv --out predictions.csv --keep id
  zcat new.csv.gz | chainrule predict runs/flowers - --out predictions.jsonl
  chainrule predict runs/flowers new.csv --json
  chainrule predict runs/softmax-1 - < seven.png",
        pictures = readers::names(PICTURES, "or"),
        tables = readers::names(TABLES, "or"),
        compressions = readers::compressions("or"),
    )
}

/// Predicts the classes of pictures or rows. If some files or rows cannot be read, the others are
/// still answered, and the exit code reports the failure.
pub(crate) fn predict(options: &PredictOptions) -> Result<u8> {
    let form = match &options.out {
        Some(out) => Form::File(FileFormat::of(out)?),
        None if options.output.json => Form::Json,
        None => Form::Table,
    };
    check_folder_exists(&options.run)?;
    let model = Model::read(&options.run)?;
    let layout = Layout::new(form, &model, &options.keep, options.files.len())?;
    let about = About {
        run: model.folder.display().to_string(),
        model: model.link,
        image_size: model.image_size(),
        classes: model.classes(),
    };
    check_not_an_input(options)?;
    if let Some(out) = &options.out {
        discard_on_interrupt(out.clone());
    }
    let sink = Sink::new(&layout, options.out.as_ref(), options.force, &about)?;
    let mut predicting = Predicting {
        options,
        model: &model,
        layout: &layout,
        sink,
        n_rows: 0,
        n_left_out: 0,
        bad: BadOnes::default(),
        problems: Vec::new(),
    };
    predicting.log(layout.notes());
    match model.features() {
        Some(_) => predicting.tables()?,
        None => predicting.images()?,
    }
    let Predicting { sink, n_rows, n_left_out, bad, problems, .. } = predicting;
    sink.finish(&problems)?;
    if bad.count > 0 {
        let what = if model.features().is_some() { "rows" } else { "images" };
        let (count, have) = (bad.count, if bad.count == 1 { "has" } else { "have" });
        print_message(&format!(
            "error: {count} of {n_rows} {what} cannot be read and {have} an error instead of a class: {}",
            bad.sentence()
        ));
    }
    if let Some(out) = &options.out {
        let file = out.display().to_string();
        match (options.output.json, form) {
            (true, Form::File(format)) => print_json(&json!({
                "run": about.run,
                "file": file,
                "format": format.name(),
                "rows": n_rows,
                "errors": bad.count,
                "left_out": n_left_out,
            }))?,
            _ => print_line(file)?,
        }
    }
    Ok(if bad.count == 0 && problems.is_empty() { exit::SUCCESS } else { exit::ERROR })
}

/// Checks that the output would not replace a file that is predicted.
fn check_not_an_input(options: &PredictOptions) -> Result<()> {
    let Some(out) = options.out.as_ref().and_then(|out| out.canonicalize().ok()) else { return Ok(()) };
    let is_out = |file: &&PathBuf| file.canonicalize().is_ok_and(|file| file == out);
    match options.files.iter().find(is_out) {
        Some(file) => {
            anyhow::bail!("--out {} is the file to predict; name another file for the predictions", file.display())
        }
        None => Ok(()),
    }
}

/// A prediction of files.
struct Predicting<'a> {
    options: &'a PredictOptions,
    model: &'a Model,
    layout: &'a Layout,
    sink: Sink,
    /// The rows of the output.
    n_rows: u64,
    /// The rows that cannot be read and are left out.
    n_left_out: u64,
    /// Rows that have an error instead of a class.
    bad: BadOnes,
    /// Files that cannot be read.
    problems: Vec<Problem>,
}

/// Rows that cannot be read.
#[derive(Default)]
struct BadOnes {
    count: u64,
    /// What is wrong with the first ones, with their places.
    first: Vec<String>,
}

/// How many rows that cannot be read are named.
const NAMED: usize = 5;

impl BadOnes {
    fn add(&mut self, problem: String) {
        self.append(Self { count: 1, first: vec![problem] });
    }

    fn append(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(NAMED);
    }

    fn sentence(&self) -> String {
        let more = match self.count - self.first.len() as u64 {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        self.first.join("; ") + &more
    }
}

/// The answers for a batch of rows.
struct Answered {
    part: Part,
    n_rows: u64,
    bad: BadOnes,
    unseen: Vec<Unseen>,
}

impl Predicting<'_> {
    fn log(&self, lines: impl IntoIterator<Item = String>) {
        if !self.options.output.quiet {
            lines.into_iter().for_each(|line| print_message(&format!("note: {line}")));
        }
    }

    /// Reports a file that cannot be read. A file of answers would lack its rows, so that it is not
    /// written.
    fn report_problem(&mut self, file: &Path, problem: &ContentError) -> Result<()> {
        let (file, problem) = (file.display().to_string(), problem.to_string());
        if self.options.out.is_some() {
            anyhow::bail!("{file}: {problem}");
        }
        print_message(&format!("error: {file}: {problem}"));
        self.problems.push(Problem { file, problem });
        Ok(())
    }

    /// Predicts the rows of tables.
    fn tables(&mut self) -> Result<()> {
        let (options, model) = (self.options, self.model);
        let recipe = model.schema.recipe_of_columns();
        let predictor = model.predictor.of_batches(recipe.n_features())?;
        let reader = InputReader::new(recipe, options.keep.clone(), options.text.or(model.text_options()));
        // What is written so far would be lost. A pipe can be opened only once.
        let is_file = |file: &&PathBuf| file.metadata().is_ok_and(|metadata| metadata.is_file());
        for file in options.files.iter().skip(1).filter(|file| options.out.is_some() && is_file(file)) {
            if let Err(problem) = reader.open(file) {
                self.report_problem(file, &problem)?;
            }
        }
        for file in &options.files {
            let predicted = self.table(file, &reader, &predictor);
            match predicted.map_err(anyhow::Error::downcast::<ContentError>) {
                Ok(()) => {}
                Err(Ok(problem)) => self.report_problem(file, &problem)?,
                Err(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Predicts the rows of a table. What is wrong with the file is a [`ContentError`].
    fn table(&mut self, file: &Path, reader: &InputReader, predictor: &BatchPredictor) -> Result<()> {
        let (layout, bad_rows, name) = (self.layout, self.options.text.bad_rows, file.display().to_string());
        let k = self.model.classes().len();
        let mut rows = reader.open(file)?;
        let (mut unseen, mut skipped) = (Vec::new(), BadOnes::default());
        let answer = |batch: InputBatch| -> Result<Answered> {
            let (mut bad, is_line) = (BadOnes::default(), batch.unit == "line");
            let place = |line| if is_line { Place::Line(line) } else { Place::Row(line) };
            for sentence in batch.sentences() {
                match bad_rows {
                    Some(BadRows::Error) => return Err(ContentError::new(sentence).into()),
                    Some(BadRows::Skip) => bad.add(sentence),
                    None => bad.add(format!("{name}, {sentence}")),
                }
            }
            let answers = predictor.answer(batch)?;
            let mut probabilities = vec![0.0; answers.len() * k];
            for (answer, probabilities) in answers.iter().zip(probabilities.chunks_exact_mut(k)) {
                if let Ok(prediction) = answer.prediction {
                    prediction.write_probabilities(probabilities);
                }
            }
            let rows = answers.iter().zip(probabilities.chunks_exact(k)).map(|(answer, probabilities)| Row {
                file: &name,
                place: Some(place(answer.line())),
                kept: answer.kept().collect(),
                treatment: None,
                answer: answer.prediction.map(|prediction| (prediction.class, probabilities)),
            });
            let rows = rows.filter(|row| row.answer.is_ok() || bad_rows.is_none());
            let n_rows = answers.len() as u64 - if bad_rows.is_some() { bad.count } else { 0 };
            Ok(Answered { part: layout.part(rows), n_rows, bad, unseen: answers.batch().unseen.clone() })
        };
        rows.each(answer, |answered| {
            Unseen::add(&mut unseen, answered.unseen);
            self.n_rows += answered.n_rows;
            if bad_rows.is_some() { &mut skipped } else { &mut self.bad }.append(answered.bad);
            self.sink.write(answered.part)
        })?;
        let mut notes: Vec<String> = rows.read_as().message().into_iter().collect();
        self.n_left_out += skipped.count;
        if skipped.count > 0 {
            let count = pluralize(usize::try_from(skipped.count).unwrap_or(usize::MAX), "row");
            let are = if skipped.count == 1 { "is" } else { "are" };
            notes.push(format!("{count} that cannot be read {are} left out: {}", skipped.sentence()));
        }
        notes.extend(unseen.iter().filter_map(Unseen::message));
        self.log(notes.into_iter().map(|note| format!("{name}: {note}")));
        Ok(())
    }

    /// Predicts images.
    fn images(&mut self) -> Result<()> {
        let Predicting { options, model, .. } = *self;
        let mut log = |line: &str| {
            if !options.output.quiet {
                print_message(line);
            }
        };
        for argument in &options.files {
            let files = match input_files::files(argument, &mut log) {
                Ok(files) => files,
                Err(problem) => {
                    self.report_image(argument, &problem)?;
                    continue;
                }
            };
            for file in files {
                let images = input_files::read(&file, model.image_size(), model.picture_mode());
                let images = match images {
                    Ok(images) => images,
                    Err(problem) => {
                        self.report_image(&file, &problem)?;
                        continue;
                    }
                };
                let name = file.display().to_string();
                for ImageInput { pixels, number, treatment } in images {
                    if let Some(treatment) = &treatment {
                        log(&format!("{name}: {treatment}"));
                    }
                    let prediction = model.predictor.predict(&pixels)?;
                    let row = Row {
                        file: &name,
                        place: number.map(Place::Image),
                        kept: Vec::new(),
                        treatment: treatment.as_ref(),
                        answer: Ok((prediction.class, &prediction.probabilities)),
                    };
                    self.n_rows += 1;
                    self.sink.write(self.layout.part([row].into_iter()))?;
                }
            }
        }
        Ok(())
    }

    /// Reports an image that cannot be read. In a file of answers, it is a row.
    fn report_image(&mut self, file: &Path, problem: &ContentError) -> Result<()> {
        if self.options.out.is_none() {
            return self.report_problem(file, problem);
        }
        let (file, problem) = (file.display().to_string(), problem.to_string());
        let row = Row { file: &file, place: None, kept: Vec::new(), treatment: None, answer: Err(&problem) };
        self.sink.write(self.layout.part([row].into_iter()))?;
        self.n_rows += 1;
        self.bad.add(format!("{file}: {problem}"));
        Ok(())
    }
}
