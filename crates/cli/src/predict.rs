//! `chainrule predict`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use chainrule_data::picture::Treatment;
use chainrule_records::ModelKind;
use clap::Args;
use serde::Serialize;

use crate::given::{self, Given};
use crate::model::Model;
use crate::options::Output;
use crate::{exit, print, print_json, say};

#[derive(Args, Debug)]
pub(crate) struct PredictOptions {
    /// The folder of a finished run.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// PNG, JPEG and IDX files, the latter plain or gzipped; folders of such files; - for standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// What `predict --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    model: ModelKind,
    image_size: [usize; 2],
    /// In the order of the probabilities.
    classes: &'a [u8],
    predictions: Vec<Predicted>,
    problems: Vec<Problem>,
}

/// Of one image.
#[derive(Serialize)]
struct Predicted {
    file: String,
    /// The image's number in an IDX file, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<usize>,
    class: u8,
    probabilities: Vec<f64>,
    /// What was done to a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    treatment: Option<Treatment>,
}

/// Of one file.
#[derive(Serialize)]
struct Problem {
    file: String,
    problem: String,
}

/// Asks a model about pictures. Where some cannot be read, the others are answered, and the exit code says so.
pub(crate) fn predict(options: &PredictOptions) -> Result<u8> {
    let model = Model::read(&options.run)?;
    let mut answer = Answer {
        run: model.folder.display().to_string(),
        model: model.run.summary.model,
        image_size: model.image_size(),
        classes: model.classes(),
        predictions: Vec::new(),
        problems: Vec::new(),
    };
    let mut tell = |line: &str| {
        if !options.output.quiet {
            say(line);
        }
    };
    let mut wrong = |file: &Path, problem: String| {
        let file = file.display().to_string();
        say(&format!("error: {file}: {problem}"));
        answer.problems.push(Problem { file, problem });
    };
    let mut is_first = true;
    for argument in &options.files {
        let files = match given::files(argument, &mut tell) {
            Ok(files) => files,
            Err(problem) => {
                wrong(argument, problem);
                continue;
            }
        };
        for file in files {
            let images = match given::read(&file, model.image_size()) {
                Ok(images) => images,
                Err(problem) => {
                    wrong(&file, problem);
                    continue;
                }
            };
            for image in images {
                let predicted = predicted(&model, &file, image);
                if let Some(treatment) = &predicted.treatment {
                    tell(&format!("{}: {treatment}", predicted.file));
                }
                if options.output.json {
                    answer.predictions.push(predicted);
                    continue;
                }
                if std::mem::take(&mut is_first) {
                    print(&heading(model.classes()));
                }
                print(&line(&predicted));
            }
        }
    }
    let all_read = answer.problems.is_empty();
    if options.output.json {
        print_json(&answer);
    }
    Ok(if all_read { exit::DONE } else { exit::INPUT })
}

fn predicted(model: &Model, file: &Path, image: Given) -> Predicted {
    let prediction = model.predictor.predict(&image.pixels);
    Predicted {
        file: file.display().to_string(),
        number: image.number,
        class: model.classes()[prediction.class],
        probabilities: prediction.probabilities,
        treatment: image.treatment,
    }
}

/// The classes over their columns.
fn heading(classes: &[u8]) -> String {
    let classes: String = classes.iter().map(|class| format!("{class:>7}")).collect();
    format!("predicted  probability in % of{}\n{:>9}{classes}  image\n", "", "")
}

/// The class predicted, the probabilities and the image's name.
fn line(predicted: &Predicted) -> String {
    let mut line = format!("{:>9}", predicted.class);
    let mut write = |text: std::fmt::Arguments| line.write_fmt(text).expect("writing to a String cannot fail");
    for probability in &predicted.probabilities {
        write(format_args!("{:>7.2}", 100.0 * probability));
    }
    write(format_args!("  {}", predicted.file));
    if let Some(number) = predicted.number {
        write(format_args!("[{number}]"));
    }
    line.push('\n');
    line
}
