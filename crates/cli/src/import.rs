//! `chainrule import`: reads another tool's weights.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use chainrule_core::{DataFile, DataKind, WeightNorms, pluralize};
use chainrule_data::input_files::no_such_file;
use chainrule_data::sha256;
use chainrule_formats::{Hints, ImportError, Layout, Model, TrainedOn};
use chainrule_records::{Imported, read_whole};
use chainrule_solve::Predictor;
use clap::{Args, ValueEnum};

use crate::destination::explain_existing_folder;
use crate::options::OutputOptions;
use crate::output::{print_json, print_line, print_message};
use crate::{exit, table};

#[derive(Args, Debug)]
pub(crate) struct ImportOptions {
    /// File with one weight matrix and one bias vector: safetensors, npz, or JSON of `export`. It
    /// can hold a PyTorch state dict of an nn.Linear, or scikit-learn's coef_, intercept_ and
    /// classes_, with mean_ and scale_ of a StandardScaler.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Model folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace an existing imported model in --out. Refused if the folder contains other files.
    #[arg(long)]
    force: bool,
    /// Features that the model was trained on: pixels in this range, or the numbers of a table
    /// [default: from the file].
    #[arg(long, value_name = "RANGE", value_enum, allow_hyphen_values = true)]
    trained_on: Option<TrainedOnOption>,
    /// Class names, in the order of the model's outputs [default: from the file, else 0, 1, …].
    #[arg(long, value_name = "CLASS,…", value_delimiter = ',')]
    classes: Option<Vec<String>>,
    /// Height and width of an image in pixels [default: from the file, else a square].
    #[arg(long, value_name = "HEIGHTxWIDTH")]
    image_size: Option<ImageSize>,
    /// Column names of a table, in the order of the features [default: from the file].
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// Layout of the weight matrix, if its shape is ambiguous.
    #[arg(long, value_enum)]
    layout: Option<LayoutOption>,
    /// Import a one-vs-rest model: one logistic regression per class, as trained by scikit-learn's
    /// `SGDClassifier(loss="log_loss")` and OneVsRestClassifier
    /// [default: from the file, else softmax regression].
    #[arg(long)]
    one_vs_rest: bool,
    #[command(flatten)]
    output: OutputOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TrainedOnOption {
    /// Grey levels, unscaled.
    #[value(name = "0..255")]
    Bytes,
    /// Pixels scaled as by torchvision's `ToTensor`.
    #[value(name = "0..1")]
    Unit,
    /// Pixels scaled as by this program.
    #[value(name = "-1..1")]
    Symmetric,
    /// The numbers of a table, unscaled.
    #[value(name = "numbers")]
    Numbers,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutOption {
    /// One row per class, as in PyTorch and scikit-learn.
    RowPerClass,
    /// One row per feature, as in Burn and Keras.
    RowPerFeature,
}

/// Rows and columns of an image.
#[derive(Clone, Copy, Debug)]
struct ImageSize([usize; 2]);

impl FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.split_once('x').and_then(|(height, width)| Some([height.parse().ok()?, width.parse().ok()?]));
        size.map(Self).ok_or_else(|| "expected HEIGHTxWIDTH, as in 28x28".to_owned())
    }
}

/// The largest file of weights, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// Imports another tool's weights as a folder that is used like a run's.
pub(crate) fn import(options: &ImportOptions) -> Result<u8> {
    let file = options.file.display().to_string();
    let bytes = read_whole(&options.file, MAX_BYTES).map_err(|error| match (error.kind(), options.file.is_dir()) {
        (ErrorKind::NotFound, _) => anyhow!("{file}: {}", no_such_file(&options.file)),
        (_, true) => {
            anyhow!("{file}: expected a file of weights (safetensors, npz or exported JSON), but this is a folder")
        }
        _ => anyhow!("{file}: {error}"),
    })?;
    let model = Model::read(&bytes, &hints(options)).map_err(|error| with_option(&file, &error))?;
    let Model { link, precision, schema, parameters, preprocessing, .. } = model;
    // Weights that overflow are an error before anything is written.
    Predictor::new(link, parameters.clone(), preprocessing.clone()).map_err(|problem| anyhow!("{file}: {problem}"))?;
    let log = |line: String| {
        if !options.output.quiet {
            print_message(&line);
        }
    };
    if !model.has_bias {
        log(format!("note: {file} has no bias; it is set to 0"));
    }
    if let Some(names) = &model.not_read {
        log(format!("note: {file} also has {names}, which is not imported"));
    }
    if model.assumes_softmax {
        log(format!(
            "note: {file} does not say what kind of model it is; it is imported as softmax regression; use --one-vs-rest if each class was trained against the rest, as by scikit-learn's SGDClassifier(loss=\"log_loss\") or OneVsRestClassifier"
        ));
    }
    let name = options.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let weight_norm = WeightNorms::of(&parameters).context("the sum of the squares of the weights is not finite")?;
    let imported = Imported {
        model: link,
        precision,
        weight_norm,
        data: schema,
        from: Some(DataFile { name, sha256: sha256([bytes.as_slice()]) }),
        trained_on: None,
        files: BTreeMap::new(),
    };
    imported.write(&options.out, options.force, &parameters, &preprocessing).map_err(explain_existing_folder)?;
    if options.output.json {
        print_json(&imported)?;
    } else {
        print_line(describe(&options.out, &imported))?;
    }
    Ok(exit::SUCCESS)
}

fn hints(options: &ImportOptions) -> Hints {
    Hints {
        layout: options.layout.map(|layout| match layout {
            LayoutOption::RowPerClass => Layout::RowPerClass,
            LayoutOption::RowPerFeature => Layout::RowPerFeature,
        }),
        one_vs_rest: options.one_vs_rest,
        trained_on: options.trained_on.map(|range| match range {
            TrainedOnOption::Bytes => TrainedOn::Bytes,
            TrainedOnOption::Unit => TrainedOn::Unit,
            TrainedOnOption::Symmetric => TrainedOn::Symmetric,
            TrainedOnOption::Numbers => TrainedOn::Numbers,
        }),
        classes: options.classes.clone(),
        columns: options.columns.clone(),
        image_size: options.image_size.map(|ImageSize(size)| size),
    }
}

/// Adds the command line option that helps to an error.
fn with_option(file: &str, error: &ImportError) -> anyhow::Error {
    let option = match error {
        ImportError::IsSoftmax => return anyhow!("{file}: --one-vs-rest: {error}"),
        ImportError::SaysFeatures => return anyhow!("{file}: --trained-on: {error}"),
        ImportError::Layout(_) => "use --layout row-per-class or --layout row-per-feature",
        ImportError::NoFeatures => {
            "use --trained-on 0..1 for pixels scaled as by torchvision's ToTensor, -1..1 or 0..255 for pixels of that range, \
             numbers for a table"
        }
        ImportError::NoClasses => "use --classes 0,1,2",
        ImportError::NoColumns(_) => "use --columns length,width",
        ImportError::NoKind(_) => "use --columns length,width for a table, or --image-size 28x28 for images",
        ImportError::NoSquare(_) => "use --image-size 28x28 to set its height and width",
        _ => return anyhow!("{file}: {error}"),
    };
    anyhow!("{file}: {error}; {option}")
}

fn describe(folder: &Path, imported: &Imported) -> String {
    let Imported { model, data, .. } = imported;
    let [height, width] = data.image_size;
    let input = match data.kind {
        DataKind::Table => pluralize(data.features.len(), "column"),
        DataKind::Images | DataKind::Pictures => format!("{height} x {width} pixels"),
    };
    format!(
        "{}: {}, {input} to {} classes, which {}",
        folder.display(),
        table::model_name(*model),
        data.classes.len(),
        imported.origin()
    )
}
