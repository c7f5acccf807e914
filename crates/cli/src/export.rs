//! `chainrule export`: writes a model for another tool.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use chainrule_core::{DataFile, Recipe};
use chainrule_formats::{Format, Portable, Row};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde_json::json;

use crate::destination::destination;
use crate::exit;
use crate::missing::check_folder_exists;
use crate::model::{Model, Origin};
use crate::options::OutputOptions;
use crate::output::{print_json, print_line, print_message};

#[derive(Args, Debug)]
pub(crate) struct ExportOptions {
    /// Folder of a finished run or of an imported model.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Export format [default: by the extension of --out].
    #[arg(long, value_parser = formats(), value_name = "FORMAT")]
    format: Option<Format>,
    /// File to write [default: RUN.FORMAT, beside the run folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: OutputOptions,
}

/// The formats, with a description of each for the help.
fn formats() -> impl TypedValueParser<Value = Format> {
    let values = Format::ALL.map(|format| PossibleValue::new(format.name()).help(format.about()));
    PossibleValuesParser::new(values).map(|name| {
        Format::ALL.into_iter().find(|format| format.name() == name).expect("a value is one of the formats' names")
    })
}

/// Writes a model in another tool's format.
pub(crate) fn export(options: &ExportOptions) -> Result<u8> {
    check_folder_exists(&options.run)?;
    let model = Model::read(&options.run)?;
    let from_extension = options.out.as_ref().and_then(|out| Format::of_file(out).ok());
    let Some(format) = options.format.or(from_extension) else {
        let names = Format::ALL.map(Format::name);
        bail!("name a format with --format or with the extension of --out: {}", names.join(", "));
    };
    let out = match &options.out {
        Some(out) => out.clone(),
        None => model.sibling_path(format.name())?,
    };
    let file = destination(&out, options.force, "--out")?;
    let portable = to_portable(&model);
    if let Some(problem) = portable.problem(format) {
        bail!("{}: {problem}", options.run.display());
    }
    let bytes = portable.to_bytes(format);
    file.write(&bytes)?;
    let has_features = |recipe: &Recipe| !recipe.are_numbers() && !recipe.is_sparse();
    if format != Format::Onnx && model.schema.recipe.as_ref().is_some_and(has_features) && !options.output.quiet {
        let n = model.schema.features.len();
        print_message(&format!(
            "note: the weights are those of the {n} features that the file names; its recipe says how the columns become them; onnx takes the columns themselves"
        ));
    }
    if options.output.json {
        print_json(
            &json!({ "run": model.folder.display().to_string(), "file": out.display().to_string(), "format": format.name(), "bytes": bytes.len() }),
        )?;
    } else {
        print_line(out.display().to_string())?;
    }
    Ok(exit::SUCCESS)
}

/// Collects the model with its metadata.
fn to_portable(model: &Model) -> Portable {
    let about = match &model.origin {
        Origin::Run(run) => {
            let (summary, versions) = (&run.summary, &run.manifest.versions);
            vec![
                ("experiment", summary.experiment.clone()),
                ("program", format!("chainrule {}, git {}", versions.chainrule, versions.git_revision)),
                ("data", summary.data.source.clone()),
                ("data_sha256", summary.data.sha256.clone()),
                ("validation_accuracy", summary.final_metrics.validation_accuracy.to_string()),
            ]
        }
        Origin::Imported(imported) => {
            let entries = |keys: [&'static str; 2], file: &Option<DataFile>| {
                file.clone()
                    .map_or(Vec::new(), |DataFile { name, sha256 }| keys.into_iter().zip([name, sha256]).collect())
            };
            let from = entries(["imported_from", "sha256"], &imported.from);
            [from, entries(["data", "data_sha256"], &imported.trained_on)].concat()
        }
    };
    Portable {
        link: model.link,
        classes: model.classes().iter().map(ToString::to_string).collect(),
        parameters: model.parameters.clone(),
        precision: model.precision,
        preprocessing: model.preprocessing.clone(),
        row: Row::from(&model.schema),
        recipe: model.schema.recipe.clone(),
        about: about.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>(),
    }
}
