//! `chainrule predict`: predicts the classes of pictures or rows.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use chainrule_core::{Class, ContentError, LinkKind, TextOptions, align_right, display_width};
use chainrule_data::input_files::{self, ImageInput};
use chainrule_data::picture::Treatment;
use chainrule_data::readers::{self, IMAGES, PICTURES, READERS, TABLES};
use chainrule_solve::Predictions;
use clap::Args;
use serde::Serialize;

use crate::exit;
use crate::missing::check_folder_exists;
use crate::model::Model;
use crate::options::{OutputOptions, TextArgs};
use crate::output::{Lines, print_json, print_line, print_message};

#[derive(Args, Debug)]
pub(crate) struct PredictOptions {
    /// Folder of a finished run or of an imported model.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[arg(value_name = "FILE", required = true, help = files())]
    files: Vec<PathBuf>,
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

File formats, detected by their first bytes, plain or compressed ({compressions}):
{list}
Examples:
  chainrule predict runs/softmax-1 seven.png
  chainrule predict runs/softmax-1 photographs t10k-images-idx3-ubyte.gz --json
  chainrule predict runs/flowers new.csv --json
  chainrule predict runs/softmax-1 - < seven.png",
        pictures = readers::names(PICTURES, "or"),
        tables = readers::names(TABLES, "or"),
        compressions = readers::compressions("or"),
    )
}

/// What `predict --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    model: LinkKind,
    image_size: [usize; 2],
    /// In the order of the probabilities.
    classes: &'a [Class],
    predictions: Vec<Predicted>,
    problems: Vec<Problem>,
}

/// The prediction for one image or row.
#[derive(Serialize)]
struct Predicted {
    file: String,
    /// The number of the image in an IDX file, or of the row in a table, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<usize>,
    class: Class,
    probabilities: Vec<f64>,
    /// How the picture was prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    treatment: Option<Treatment>,
}

/// A file that could not be read.
#[derive(Serialize)]
struct Problem {
    file: String,
    problem: String,
}

/// Predicts the classes of pictures or rows. If some files cannot be read, the others are still
/// answered, and the exit code reports the failure.
pub(crate) fn predict(options: &PredictOptions) -> Result<u8> {
    check_folder_exists(&options.run)?;
    let model = Model::read(&options.run)?;
    let text = options.text.or(model.text_options());
    let mut answer = Answer {
        run: model.folder.display().to_string(),
        model: model.link,
        image_size: model.image_size(),
        classes: model.classes(),
        predictions: Vec::new(),
        problems: Vec::new(),
    };
    let mut log = |line: &str| {
        if !options.output.quiet {
            print_message(line);
        }
    };
    let mut report_problem = |file: &Path, problem: ContentError| {
        let (file, problem) = (file.display().to_string(), problem.to_string());
        print_message(&format!("error: {file}: {problem}"));
        answer.problems.push(Problem { file, problem });
    };
    let mut is_first = true;
    for argument in &options.files {
        let files = if model.features().is_some() {
            Ok(vec![argument.clone()])
        } else {
            input_files::files(argument, &mut log)
        };
        let files = match files {
            Ok(files) => files,
            Err(problem) => {
                report_problem(argument, problem);
                continue;
            }
        };
        for file in files {
            let predictions = match predict_file(&model, &file, text, &mut log) {
                Ok(predictions) => predictions,
                Err(problem) => {
                    report_problem(&file, problem);
                    continue;
                }
            };
            for predicted in predictions {
                if let Some(treatment) = &predicted.treatment {
                    log(&format!("{}: {treatment}", predicted.file));
                }
                if options.output.json {
                    answer.predictions.push(predicted);
                    continue;
                }
                if std::mem::take(&mut is_first) {
                    heading(&model).print()?;
                }
                print_line(line(&predicted, &model))?;
            }
        }
    }
    let all_read = answer.problems.is_empty();
    if options.output.json {
        print_json(&answer)?;
    }
    Ok(if all_read { exit::SUCCESS } else { exit::ERROR })
}

/// Returns the predictions for a file's images or rows.
fn predict_file(
    model: &Model,
    file: &Path,
    text: TextOptions,
    log: &mut dyn FnMut(&str),
) -> Result<Vec<Predicted>, ContentError> {
    if model.features().is_none() {
        let images = input_files::read(file, model.image_size(), model.picture_mode())?;
        return images.into_iter().map(|image| predicted(model, file, image)).collect();
    }
    let table = input_files::read_table(file, &model.schema.recipe_of_columns(), text)?;
    for message in table.notes() {
        log(&format!("note: {}: {message}", file.display()));
    }
    let mut predictions = Predictions::default();
    let mut of_rows = model.predictor.of_rows(&table.rows).map_err(|error| error.to_string())?;
    of_rows.predict(0..table.rows.len(), &mut predictions).map_err(|error| error.to_string())?;
    let rows = predictions.iter().enumerate().map(|(row, prediction)| Predicted {
        file: file.display().to_string(),
        number: Some(table.number_in_file(row)),
        class: model.classes()[prediction.class].clone(),
        probabilities: prediction.probabilities(),
        treatment: None,
    });
    Ok(rows.collect())
}

fn predicted(model: &Model, file: &Path, image: ImageInput) -> Result<Predicted, ContentError> {
    let prediction = model.predictor.predict(&image.pixels).map_err(|error| error.to_string())?;
    Ok(Predicted {
        file: file.display().to_string(),
        number: image.number,
        class: model.classes()[prediction.class].clone(),
        probabilities: prediction.probabilities,
        treatment: image.treatment,
    })
}

/// The widths of the columns for the predicted class and for a probability. Every class name fits.
fn widths(model: &Model) -> [usize; 2] {
    let longest = model.classes().iter().map(|class| display_width(&class.to_string())).max().unwrap_or_default();
    [longest.max(9), (longest + 1).max(7)]
}

/// Returns the header of the table.
fn heading(model: &Model) -> Lines {
    let [first, columns] = widths(model);
    let classes: String = model.classes().iter().map(|class| align_right(class, columns)).collect();
    let row_name = if model.features().is_some() { "row, from 0" } else { "image" };
    let mut lines = Lines::default();
    lines.add(format!("{:>first$}  probability in % of", "predicted"));
    lines.add(format!("{:>first$}{classes}  {row_name}", ""));
    lines
}

/// Returns one line: the predicted class, the probabilities and the name of the image or row.
fn line(predicted: &Predicted, model: &Model) -> String {
    let [first, columns] = widths(model);
    let mut line = align_right(&predicted.class, first);
    let mut write = |text: std::fmt::Arguments| line.write_fmt(text).expect("writing to a String cannot fail");
    for probability in &predicted.probabilities {
        write(format_args!("{:>columns$.2}", 100.0 * probability));
    }
    write(format_args!("  {}", predicted.file));
    if let Some(number) = predicted.number {
        write(format_args!("[{number}]"));
    }
    line
}
