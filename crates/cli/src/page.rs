//! `chainrule page`: writes a page to draw on.

use std::path::PathBuf;

use anyhow::{Result, bail};
use chainrule_core::{Class, Schema, UnusedFiles};
use chainrule_data::{Counts, Origin as DataOrigin, Provenance, digits, is_mnist};
use chainrule_report::DrawingPage;
use chainrule_solve::Predictor;
use clap::Args;
use serde_json::json;

use crate::destination::destination;
use crate::exit;
use crate::missing::check_folder_exists;
use crate::model::{Model, Origin, RunRecords};
use crate::options::OutputOptions;
use crate::output::{print_json, print_line};

#[derive(Args, Debug)]
pub(crate) struct PageOptions {
    /// Folder of a finished run or of an imported model.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// HTML file to write [default: RUN.html, beside the run folder].
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: OutputOptions,
}

/// Writes the page.
pub(crate) fn page(options: &PageOptions) -> Result<u8> {
    check_folder_exists(&options.run)?;
    let model = Model::read(&options.run)?;
    if model.features().is_some() {
        bail!("{}: the model was trained on a table, but the page needs a model of images", options.run.display());
    }
    let Some(kind) = model.link.model_kind() else {
        bail!(
            "{}: the model is {}, but the page supports only softmax and logistic regression",
            options.run.display(),
            model.name()
        );
    };
    let out = options.out.clone().map_or_else(|| model.sibling_path("html"), Ok)?;
    let file = destination(&out, options.force, "--out")?;
    let schema = &model.schema;
    let examples = match model.run_records() {
        Some(RunRecords { manifest, .. }) => {
            let source = Provenance {
                name: manifest.data_source.clone(),
                files: manifest.data_files.clone(),
                unused: UnusedFiles::default(),
            };
            examples(&source, schema, &model.predictor)
        }
        None => Vec::new(),
    };
    let class_weights = model.run_records().and_then(|run| run.summary.class_weights.clone());
    let board = DrawingPage::new(kind, schema, &model.parameters, &model.preprocessing, &examples)
        .with_class_weights(class_weights);
    let (d, k) = (model.predictor.n_features(), model.classes().len());
    let description = format!("{}, {d} pixels to {k} classes", model.name());
    let about = match &model.origin {
        Origin::Run(run) => {
            let (data, metrics) = (&run.summary.data, &run.summary.final_metrics);
            format!(
                "The model of the experiment “{}”: {description}. It was trained on {} images. Its accuracy is {:.2} % on these, and {:.2} % on {} validation images.",
                run.summary.experiment,
                data.train,
                100.0 * metrics.train_accuracy,
                100.0 * metrics.validation_accuracy,
                data.validation
            )
        }
        Origin::Imported(imported) => format!("The model that {}: {description}.", imported.origin()),
    };
    let html = board.to_html("Draw for a linear classifier", &about);
    file.write(html.as_bytes())?;
    if options.output.json {
        print_json(
            &json!({ "run": model.folder.display().to_string(), "page": out.display().to_string(), "bytes": html.len() }),
        )?;
    } else {
        print_line(out.display().to_string())?;
    }
    Ok(exit::SUCCESS)
}

/// Returns example digits for the page, one of each class, if the model was trained on digits of
/// this size. They are the embedded digits, since MNIST's own may not be redistributed. A correctly
/// classified digit is preferred, so that the reader can see what the model unlearns.
pub(crate) fn examples(source: &Provenance, data: &Schema, predictor: &Predictor) -> Vec<(u8, Vec<u8>)> {
    let is_digits = source.name == DataOrigin::Embedded.to_string()
        || is_mnist(source.files.iter().map(|file| file.sha256.as_str()));
    let [_, digits] = digits::draw_both(digits::SEED, Counts { train: 0, validation: 200 });
    let (height, width) = digits.size();
    if !is_digits || data.image_size != [height, width] {
        return Vec::new();
    }
    let example = |(position, class): (usize, &Class)| {
        let class = class.number()?;
        let images =
            || digits.labels().iter().zip(0..).filter(|(label, _)| **label == class).map(|(_, row)| digits.pixels(row));
        let correct =
            images().find(|pixels| predictor.predict(pixels).is_ok_and(|prediction| prediction.class == position));
        Some((class, correct.or_else(|| images().next())?.to_vec()))
    };
    data.classes.iter().enumerate().filter_map(example).collect()
}
