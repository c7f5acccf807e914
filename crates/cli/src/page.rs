//! `chainrule page`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use chainrule_data::{Counts, Origin, digits, is_mnist};
use chainrule_records::{Class, DataSummary, write_whole};
use chainrule_report::Board;
use chainrule_training::Predictor;
use clap::Args;
use serde_json::json;

use crate::model::Model;
use crate::options::Output;
use crate::run::Source;
use crate::{exit, print, print_json};

#[derive(Args, Debug)]
pub(crate) struct PageOptions {
    /// The folder of a finished run.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The page's file [default: RUN.html, beside the run's folder].
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Writes the page.
pub(crate) fn page(options: &PageOptions) -> Result<u8> {
    let model = Model::read(&options.run)?;
    if model.features().is_some() {
        bail!("{}: the model takes the columns of a table, and on this page one draws", options.run.display());
    }
    let (summary, data) = (&model.run.summary, &model.run.summary.data);
    let source = Source { name: data.source.clone(), files: model.run.manifest.data_files.clone() };
    let examples = examples(&source, data, &model.predictor);
    let board = Board::new(summary, &model.run.parameters, &model.run.preprocessing, &examples);
    let about = format!(
        "The model that the experiment “{}” came to: {}, {} pixels to {} classes, trained on {} images, of which it has {:.2} % right, and {:.2} % of {} others.",
        summary.experiment,
        model.kind(),
        model.predictor.n_features(),
        model.classes().len(),
        data.train,
        100.0 * summary.final_metrics.train_accuracy,
        100.0 * summary.final_metrics.validation_accuracy,
        data.validation
    );
    let html = board.to_html("Draw for a linear classifier", &about);
    let out = options.out.clone().map_or_else(|| model.beside("html"), Ok)?;
    write_whole(&out, html.as_bytes())?;
    if options.output.json {
        print_json(&json!({ "run": model.folder, "page": out, "bytes": html.len() }));
    } else {
        print(&format!("{}\n", out.display()));
    }
    Ok(exit::DONE)
}

/// Digits to try, one of each kind, where a model knows digits of this size: those that are drawn by code, since MNIST's own are not ours to give away.
/// One that the model has right, where there is one among them, so that one sees what it unlearns.
pub(crate) fn examples(source: &Source, data: &DataSummary, predictor: &Predictor) -> Vec<(u8, Vec<u8>)> {
    let is_of_digits =
        source.name == Origin::Embedded.to_string() || is_mnist(source.files.iter().map(|file| file.sha256.as_str()));
    let [_, digits] = digits::draw_both(digits::SEED, Counts { train: 0, validation: 200 });
    let (height, width) = digits.size();
    if !is_of_digits || data.image_size != [height, width] {
        return Vec::new();
    }
    let of_class = |(position, class): (usize, &Class)| {
        let class = class.number()?;
        let images =
            || digits.labels().iter().zip(0..).filter(|(label, _)| **label == class).map(|(_, row)| digits.pixels(row));
        let right = images().find(|pixels| predictor.predict(pixels).class == position);
        Some((class, right.or_else(|| images().next())?.to_vec()))
    };
    data.classes.iter().enumerate().filter_map(of_class).collect()
}
