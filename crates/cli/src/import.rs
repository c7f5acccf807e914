//! `chainrule import`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use chainrule_data::sha256;
use chainrule_formats::{Known, LAYOUT_SAYS, Layout, Row, Weights};
use chainrule_records::{
    Class, DataFile, DataKind, Imported, Link, Parameters, Preprocessing, Schema, Standardization, count, name_problem,
    read_whole,
};
use chainrule_solve::Predictor;
use clap::{Args, ValueEnum};

use crate::destination::folder_exists;
use crate::missing::no_such_file;
use crate::norms::norms;
use crate::options::Output;
use crate::output::{print_json, print_line, say};
use crate::{backend, exit, table};

#[derive(Args, Debug)]
pub(crate) struct ImportOptions {
    /// A safetensors or npz file of one matrix of weights and one vector of biases: what `export`
    /// wrote, its JSON too, PyTorch's state dict of an nn.Linear, scikit-learn's coef_, intercept_
    /// and classes_, with mean_ and scale_ of its StandardScaler.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The model's folder.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace the imported model that lies in --out, where nothing else does.
    #[arg(long)]
    force: bool,
    /// What the model was trained on, unless the file says it: pixels in this range, or the numbers of a table.
    #[arg(long, value_name = "RANGE", value_enum, allow_hyphen_values = true)]
    trained_on: Option<TrainedOn>,
    /// What the classes are called, in the order of the model's outputs [default: as the file says, else 0, 1, …].
    #[arg(long, value_name = "CLASS,…", value_delimiter = ',')]
    classes: Option<Vec<String>>,
    /// Rows and columns of an image [default: as the file says, else a square].
    #[arg(long, value_name = "HEIGHTxWIDTH")]
    image_size: Option<Size>,
    /// What the columns of a table are called, in the order of the features [default: as the file says].
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// Which way the matrix lies, where its shape does not tell.
    #[arg(long, value_enum)]
    layout: Option<LayoutOption>,
    /// Take several columns of weights for as many logistic regressions, each of a class against
    /// the rest, as scikit-learn's `SGDClassifier(loss="log_loss")` and OneVsRestClassifier train
    /// them [default: as the file says, else softmax regression].
    #[arg(long)]
    one_vs_rest: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TrainedOn {
    /// Grey levels as they are.
    #[value(name = "0..255")]
    Bytes,
    /// As torchvision's `ToTensor` makes them.
    #[value(name = "0..1")]
    Unit,
    /// As this program makes them.
    #[value(name = "-1..1")]
    Symmetric,
    /// The numbers of a table, as they are.
    #[value(name = "numbers")]
    Numbers,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutOption {
    /// A row for each class, as PyTorch and scikit-learn have it.
    RowPerClass,
    /// A row for each feature, as Burn and Keras have it.
    RowPerFeature,
}

/// Rows and columns.
#[derive(Clone, Copy, Debug)]
struct Size([usize; 2]);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.split_once('x').and_then(|(height, width)| Some([height.parse().ok()?, width.parse().ok()?]));
        size.map(Self).ok_or_else(|| "expected rows x columns, as in 28x28".to_owned())
    }
}

/// A file of weights is no longer than this.
const MOST_BYTES: u64 = 1 << 30;

/// Makes a folder of someone else's weights that is asked as a run's is.
pub(crate) fn import(options: &ImportOptions) -> Result<u8> {
    let shown = options.file.display().to_string();
    let bytes = read_whole(&options.file, MOST_BYTES).map_err(|error| match (error.kind(), options.file.is_dir()) {
        (ErrorKind::NotFound, _) => anyhow!("{shown}: {}", no_such_file(&options.file)),
        (_, true) => {
            anyhow!("{shown}: it is a folder, and the file of weights is meant here, safetensors, npz or exported JSON")
        }
        _ => anyhow!("{shown}: {error}"),
    })?;
    let layout = options.layout.map(|layout| match layout {
        LayoutOption::RowPerClass => Layout::RowPerClass,
        LayoutOption::RowPerFeature => Layout::RowPerFeature,
    });
    let weights = Weights::read(&bytes, layout).map_err(|problem| match problem.ends_with(LAYOUT_SAYS) {
        true => anyhow!("{shown}: {problem}; --layout row-per-class or --layout row-per-feature does"),
        false => anyhow!("{shown}: {problem}"),
    })?;
    let Weights { mut parameters, has_bias, precision, about } = weights;
    let link = link(options, &about, parameters.n_classes).with_context(|| shown.clone())?;
    let preprocessing = preprocessing(options, &about, &mut parameters).with_context(|| shown.clone())?;
    let schema = schema(options, &about, link, &preprocessing, parameters.n_features).with_context(|| shown.clone())?;
    let (columns, named) = (parameters.n_classes, schema.classes.len());
    if link.columns(named) != columns || link.classes(columns) != named {
        bail!("{shown}: it has weights of {}, and names of {named}", count(columns, "class"));
    }
    // Weights that overflow are told before anything is written.
    Predictor::new(link, parameters.clone(), preprocessing.clone()).map_err(|problem| anyhow!("{shown}: {problem}"))?;
    let tell = |line: String| {
        if !options.output.quiet {
            say(&line);
        }
    };
    if !has_bias {
        tell(format!("note: {shown} has no bias; it is taken for 0"));
    }
    if let Some(names) = &about.not_read {
        tell(format!("note: {shown} also has {names}, of which nothing is taken"));
    }
    if about.link.is_none() && link == Link::Softmax {
        tell(format!(
            "note: {shown} is taken for softmax regression's, since it does not say; --one-vs-rest if each class was trained against the rest, as by scikit-learn's SGDClassifier(loss=\"log_loss\") or OneVsRestClassifier"
        ));
    }
    let name = options.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let weight_norm = norms(&parameters, &backend::choose(None)?.device()?)
        .context("the sum of the squares of the weights is not finite")?;
    let imported = Imported {
        model: link,
        precision,
        weight_norm,
        data: schema,
        from: Some(DataFile { name, sha256: sha256([bytes.as_slice()]) }),
        trained_on: None,
        files: BTreeMap::new(),
    };
    imported.write(&options.out, options.force, &parameters, &preprocessing).map_err(folder_exists)?;
    if options.output.json {
        print_json(&imported)?;
    } else {
        print_line(describe(&options.out, &imported))?;
    }
    Ok(exit::DONE)
}

/// How its logits become probabilities. One column of weights is two classes' in any case.
fn link(options: &ImportOptions, about: &Known, columns: usize) -> Result<Link> {
    match (about.link, options.one_vs_rest) {
        (Some(Link::Softmax), true) => bail!("--one-vs-rest: the file says itself that it is of softmax regression"),
        (Some(link), _) => Ok(link),
        (None, _) if columns == 1 => Ok(Link::Logistic),
        (None, true) => Ok(Link::OneVsRest),
        (None, false) => Ok(Link::Softmax),
    }
}

/// What is done to a row. Weights for pixels of another range become weights for ours: `w_j x_j` is the same for `x_j = (p - mean) / scale` and for
/// `p / 127.5 - 1` with `w_j 127.5 / scale`, and a bias that is larger by `w_j (127.5 - mean) / scale`.
fn preprocessing(options: &ImportOptions, about: &Known, parameters: &mut Parameters) -> Result<Preprocessing> {
    let d = parameters.n_features;
    if let Some([mean, scale]) = &about.mean_and_scale {
        if options.trained_on.is_some() {
            bail!("--trained-on: the file says itself what its features are made by");
        }
        let all = |number: f64| mean.iter().chain(scale).all(|&x| x == number);
        let is_raw = mean.iter().all(|&mean| mean == 0.0) && scale.iter().all(|&scale| scale == 1.0);
        return Ok(match (all(127.5), is_raw) {
            (true, _) => Preprocessing::Pixels,
            (_, true) => Preprocessing::Raw,
            _ => Preprocessing::Standardized(Standardization { mean: mean.clone(), scale: scale.clone() }),
        });
    }
    let (mean, scale) = match options.trained_on {
        Some(TrainedOn::Numbers) => return Ok(Preprocessing::Raw),
        Some(TrainedOn::Symmetric) => return Ok(Preprocessing::Pixels),
        Some(TrainedOn::Unit) => (0.0, 255.0),
        Some(TrainedOn::Bytes) => (0.0, 1.0),
        None => bail!(
            "it does not say what its features are made of; --trained-on 0..1 if the model learnt from pixels as torchvision's ToTensor makes \
             them, -1..1 or 0..255 from pixels of that range, numbers from a table"
        ),
    };
    let k = parameters.n_classes;
    for j in 0..d {
        for class in 0..k {
            let weight = &mut parameters.weight[j * k + class];
            parameters.bias[class] += *weight * ((127.5 - mean) / scale);
            *weight *= 127.5 / scale;
        }
    }
    Ok(Preprocessing::Pixels)
}

fn schema(options: &ImportOptions, about: &Known, link: Link, by: &Preprocessing, d: usize) -> Result<Schema> {
    let names = match options.classes.as_ref().or(about.classes.as_ref()) {
        Some(names) => names.clone(),
        None if link == Link::Logistic => vec!["0".to_owned(), "1".to_owned()],
        None => bail!("it does not say what its classes are called; --classes 0,1,2 does"),
    };
    let classes = |kind| Class::all_of(kind, &names).map_err(anyhow::Error::msg);
    let is_table = options.columns.is_some()
        || matches!(about.row, Some(Row::Numbers { .. }))
        || (options.image_size.is_none() && about.row.is_none() && *by == Preprocessing::Raw);
    if is_table {
        let known = match &about.row {
            Some(Row::Numbers { names }) => Some(names.clone()),
            _ => None,
        };
        let Some(features) = options.columns.clone().or(known) else {
            bail!(
                "it does not say what its {} called; --columns length,width does",
                if d == 1 { "one column is".to_owned() } else { format!("{d} columns are") }
            );
        };
        if features.len() != d {
            bail!("it has {}, and names of {}", count(d, "feature"), count(features.len(), "column"));
        }
        if let Some(problem) = features.iter().find_map(|name| name_problem(name)) {
            bail!("the name of a column {problem}");
        }
        if let Some(twice) =
            features.iter().enumerate().find_map(|(i, name)| features[..i].contains(name).then_some(name))
        {
            bail!("two columns are called {twice:?}, and columns are found by their names");
        }
        let kind = DataKind::Table;
        return Ok(Schema { kind, image_size: [1, d], features, classes: classes(kind)? });
    }
    let side = d.isqrt();
    let image_size = match (options.image_size, &about.row) {
        (Some(Size(size)), _) => size,
        (None, Some(Row::Image { height, width } | Row::Picture { height, width })) => [*height, *width],
        (None, _) if matches!(by, Preprocessing::Standardized(_)) => bail!(
            "it does not say whether its {d} features are a table's columns or an image's pixels; --columns length,width says what columns are called, \
             --image-size 28x28 of how many rows and columns an image is"
        ),
        (None, _) if side * side == d => [side, side],
        (None, _) => bail!("{d} pixels are no square; --image-size 28x28 says how many rows and columns"),
    };
    if image_size[0].checked_mul(image_size[1]) != Some(d) {
        bail!("it has {}, and an image of {} x {} has others", count(d, "feature"), image_size[0], image_size[1]);
    }
    let kind = if matches!(about.row, Some(Row::Picture { .. })) { DataKind::Pictures } else { DataKind::Images };
    Ok(Schema { kind, image_size, features: Vec::new(), classes: classes(kind)? })
}

/// As a training computes them, in f64 where the device has it.
fn describe(folder: &Path, imported: &Imported) -> String {
    let Imported { model, data, .. } = imported;
    let [height, width] = data.image_size;
    let takes = match data.kind {
        DataKind::Table => count(data.features.len(), "column"),
        DataKind::Images | DataKind::Pictures => format!("{height} x {width} pixels"),
    };
    format!(
        "{}: {}, {takes} to {} classes, which {}",
        folder.display(),
        table::name(*model),
        data.classes.len(),
        imported.origin()
    )
}
