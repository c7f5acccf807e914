//! `chainrule inspect`: shows a model's weights and explains its predictions.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use chainrule_core::{Class, LinkKind, Recipe, WeightNorms, align_left, align_right, display_width, pluralize};
use chainrule_data::picture::Treatment;
use chainrule_data::readers::{self, IMAGES};
use chainrule_data::{input_files, names};
use chainrule_report::{Tile, contact_sheet};
use clap::Args;
use serde::Serialize;

use crate::destination::destination;
use crate::exit;
use crate::heatmaps::{ColorSupport, Heatmap, Palette, columns};
use crate::missing::check_folder_exists;
use crate::model::Model;
use crate::options::OutputOptions;
use crate::output::{Lines, print_json, print_message};
use crate::table::model_warnings;
use crate::table_defaults;

#[derive(Args, Debug)]
pub(crate) struct InspectOptions {
    /// Folder of a finished run or of an imported model.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[arg(long, value_name = "FILE", help = image())]
    image: Option<PathBuf>,
    /// Index of the image in an IDX file, from 0.
    #[arg(long, value_name = "N", requires = "image", default_value_t = 0)]
    index: usize,
    /// Class to explain, by its name in the data [default: the predicted class].
    #[arg(long, value_name = "CLASS", requires = "image")]
    class: Option<String>,
    /// Also write the images to this PNG file.
    #[arg(long, value_name = "FILE.png")]
    png: Option<PathBuf>,
    /// Replace an existing file.
    #[arg(long, requires = "png")]
    force: bool,
    #[command(flatten)]
    output: OutputOptions,
}

/// The help for `--image`, from the list of readers.
fn image() -> String {
    let files = readers::files(IMAGES, "or");
    format!("Image to explain, by the evidence of each pixel for and against a class: {files}; - for standard input")
}

/// What `inspect --json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    run: String,
    model: LinkKind,
    image_size: [usize; 2],
    classes: &'a [Class],
    weight_norm: WeightNorms,
    /// What is wrong with a model that was trained by this program, and what to do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    weights: Vec<ClassSummary>,
    /// For a model of a table: one entry for each feature, the largest weight first.
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<Vec<FeatureSummary>>,
    /// How a table's columns become features.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<&'a Recipe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ImageExplanation>,
}

/// A summary of one class's weights. The logistic model has weights for its positive class only.
#[derive(Serialize)]
struct ClassSummary {
    class: Class,
    frobenius: f64,
    bias: f64,
    smallest: f64,
    largest: f64,
}

/// The weights of a feature.
#[derive(Serialize)]
struct FeatureSummary {
    name: String,
    /// In the order of `weights`.
    weights: Vec<f64>,
    /// The mean and standard deviation of the training rows, for a standardised model.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_and_scale: Option<[f64; 2]>,
}

/// The prediction for an image, and its explanation.
#[derive(Serialize)]
struct ImageExplanation {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    treatment: Option<Treatment>,
    /// The predicted class.
    predicted: Class,
    probabilities: Vec<f64>,
    evidence: Contributions,
}

/// The evidence for a class: `x_j w_jk` of each pixel, and the bias. Their sum is the logit.
#[derive(Serialize)]
struct Contributions {
    class: Class,
    logit: f64,
    bias: f64,
    pixels: Vec<f64>,
    most_for: Vec<Contribution>,
    most_against: Vec<Contribution>,
}

/// The contribution of one pixel.
#[derive(Serialize)]
struct Contribution {
    row: usize,
    column: usize,
    /// The grey level: 0 background, 255 ink.
    level: u8,
    evidence: f64,
}

/// The number of contributions of each sign that are printed.
const MAX_CONTRIBUTIONS: usize = 8;

/// Shows a model's weights, or explains its prediction for an image.
pub(crate) fn inspect(options: &InspectOptions) -> Result<u8> {
    check_folder_exists(&options.run)?;
    let model = Model::read(&options.run)?;
    let image_options = [("--image", options.image.is_some()), ("--png", options.png.is_some())];
    if let (Some(_), Some((option, _))) = (model.features(), image_options.iter().find(|(_, is_asked)| *is_asked)) {
        bail!(
            "{option}: the model was trained on a table, which has no images; without {option}, inspect lists the weights by feature"
        );
    }
    let png = options.png.as_ref().map(|path| destination(path, options.force, "--png")).transpose()?;
    let explained = options.image.as_ref().map(|_| explain(&model, options)).transpose()?;
    let (pixels, image) = explained.unzip();
    if let (Some(ImageExplanation { file, treatment: Some(treatment), .. }), false) = (&image, options.output.quiet) {
        print_message(&format!("{file}: {treatment}"));
    }
    let answer = Answer {
        run: model.folder.display().to_string(),
        model: model.link,
        image_size: model.image_size(),
        classes: model.classes(),
        weight_norm: model.weight_norm,
        notes: model.run_records().map(|run| model_warnings(&run.summary, &run.config)).unwrap_or_default(),
        weights: model.weighted_classes().map(|class| class_summary(&model, class)).collect(),
        recipe: model.schema.recipe.as_ref(),
        features: model.features().map(|names| feature_summaries(&model, names)),
        image,
    };
    if model.features().is_some() && !options.output.json {
        describe(&answer, model.name()).print()?;
        return Ok(exit::SUCCESS);
    }
    let pictures = pictures(&model, &answer, pixels.as_deref());
    if let Some(png) = png {
        let tiles: Vec<Tile> = pictures.iter().map(tile).collect();
        let title = format!("{}: {}", answer.run, ColorSupport::True.legend(Palette::Signed));
        png.write(&contact_sheet(&title, &tiles, model.image_size(), 5))?;
    }
    if options.output.json {
        print_json(&answer)?;
        return Ok(exit::SUCCESS);
    }
    let colors = ColorSupport::detect();
    let drawn = colors.draw(&pictures, model.image_size(), columns());
    let mut lines = describe(&answer, model.name());
    lines.empty_line();
    lines.drawn(&drawn);
    lines.add(colors.legend(Palette::Signed));
    lines.print()?;
    Ok(exit::SUCCESS)
}

/// Returns the weights of each feature. The feature with the largest weight of any class comes
/// first.
fn feature_summaries(model: &Model, names: &[String]) -> Vec<FeatureSummary> {
    let by_class: Vec<Vec<f64>> =
        model.weighted_classes().map(|class| model.predictor.parameters_of_class(class).0).collect();
    let statistics = model.preprocessing.standardization();
    let feature_summary = |(j, name): (usize, &String)| FeatureSummary {
        name: name.clone(),
        weights: by_class.iter().map(|weights| weights[j]).collect(),
        mean_and_scale: statistics.map(|statistics| [statistics.mean[j], statistics.scale[j]]),
    };
    let mut features: Vec<FeatureSummary> = names.iter().enumerate().map(feature_summary).collect();
    let largest = |feature: &FeatureSummary| feature.weights.iter().fold(0.0, |largest: f64, w| largest.max(w.abs()));
    features.sort_by(|a, b| largest(b).total_cmp(&largest(a)));
    features
}

fn class_summary(model: &Model, class: usize) -> ClassSummary {
    let (weights, bias) = model.predictor.parameters_of_class(class);
    ClassSummary {
        class: model.classes()[class].clone(),
        frobenius: weights.iter().map(|w| w * w).sum::<f64>().sqrt(),
        bias,
        smallest: weights.iter().copied().fold(f64::INFINITY, f64::min),
        largest: weights.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }
}

/// Returns the pixels of the named image and the explanation of its prediction.
fn explain(model: &Model, options: &InspectOptions) -> Result<(Vec<u8>, ImageExplanation)> {
    let path = options.image.as_deref().context("an image")?;
    let file = path.display().to_string();
    let mut images = input_files::read(path, model.image_size(), model.picture_mode())
        .map_err(|problem| anyhow!("{file}: {problem}"))?;
    let count = images.len();
    if options.index >= count {
        bail!(
            "--index {}: {file} has {count} image{}, and the first index is 0",
            options.index,
            if count == 1 { "" } else { "s" }
        );
    }
    let image = images.swap_remove(options.index);
    let prediction = model.predictor.predict(&image.pixels)?;
    let position = match &options.class {
        None => prediction.class,
        Some(class) => match model.classes().iter().position(|known| known.has_name(class)) {
            Some(position) => position,
            None => bail!("--class {class}: the model's classes are [{}]", names(model.classes()).join(", ")),
        },
    };
    let (pixels, bias) = model.predictor.evidence(&image.pixels, position)?;
    let mut order: Vec<usize> = (0..pixels.len()).collect();
    order.sort_by(|&i, &j| pixels[j].total_cmp(&pixels[i]));
    let width = model.image_size()[1];
    let contribution =
        |&i: &usize| Contribution { row: i / width, column: i % width, level: image.pixels[i], evidence: pixels[i] };
    let evidence = Contributions {
        class: model.classes()[position].clone(),
        logit: bias + pixels.iter().sum::<f64>(),
        bias,
        most_for: order.iter().filter(|&&i| pixels[i] > 0.0).take(MAX_CONTRIBUTIONS).map(contribution).collect(),
        most_against: order
            .iter()
            .rev()
            .filter(|&&i| pixels[i] < 0.0)
            .take(MAX_CONTRIBUTIONS)
            .map(contribution)
            .collect(),
        pixels,
    };
    let explanation = ImageExplanation {
        file,
        number: image.number,
        treatment: image.treatment,
        predicted: model.classes()[prediction.class].clone(),
        probabilities: prediction.probabilities,
        evidence,
    };
    Ok((image.pixels, explanation))
}

/// Returns the weights of each class, or an image with its evidence. All share one scale, so that
/// they can be compared.
fn pictures(model: &Model, answer: &Answer, pixels: Option<&[u8]>) -> Vec<Heatmap> {
    let signed = |name: String, values: &[f64], largest: f64| Heatmap {
        name,
        values: values.iter().map(|value| value / largest).collect(),
        palette: Palette::Signed,
    };
    let largest = |values: &[f64]| values.iter().fold(f64::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    if let (Some(pixels), Some(image)) = (pixels, &answer.image) {
        let evidence = &image.evidence;
        let grey = pixels.iter().map(|&level| f64::from(level) / 255.0).collect();
        return vec![
            Heatmap { name: "the image".to_owned(), values: grey, palette: Palette::Grey },
            signed(format!("for {}", evidence.class), &evidence.pixels, largest(&evidence.pixels)),
        ];
    }
    let largest_weight = largest(&model.parameters.weight);
    let weights = model.weighted_classes().map(|class| {
        signed(
            format!("class {}", model.classes()[class]),
            &model.predictor.parameters_of_class(class).0,
            largest_weight,
        )
    });
    weights.collect()
}

fn tile(picture: &Heatmap) -> Tile {
    let rgb = picture.values.iter().flat_map(|&value| picture.palette.rgb(value)).collect();
    Tile { rgb, caption: [picture.name.clone(), String::new()] }
}

/// Formats the numbers for a person.
fn describe(answer: &Answer, kind: &str) -> Lines {
    let mut lines = Lines::default();
    let [height, width] = answer.image_size;
    let norm = &answer.weight_norm;
    let input = match &answer.features {
        Some(features) => pluralize(features.len(), "feature"),
        None => format!("{height} x {width} pixels"),
    };
    lines.add(format!("{:<12} {}: {kind}, {input}, {} classes", "model", answer.run, answer.classes.len()));
    lines.add(format!(
        "{:<12} Frobenius {:.4} (squared {:.4}), spectral {:.4}",
        "weight norm", norm.frobenius, norm.frobenius_squared, norm.spectral
    ));
    answer.notes.iter().for_each(|note| lines.add(format!("{:<12} {note}", "note")));
    let Some(image) = &answer.image else {
        lines.empty_line();
        let classes: Vec<String> = answer.weights.iter().map(|summary| summary.class.to_string()).collect();
        let longest = |names: &[String]| names.iter().map(|name| display_width(name)).max().unwrap_or_default();
        let first = longest(&classes).max(12);
        lines.add(format!("{:>first$} {:>10} {:>10} {:>10} {:>10}", "class", "norm", "bias", "smallest", "largest"));
        for ClassSummary { class, frobenius, bias, smallest, largest } in &answer.weights {
            let class = align_right(class, first);
            lines.add(format!("{class} {frobenius:>10.4} {bias:>10.4} {smallest:>10.4} {largest:>10.4}"));
        }
        if let Some(recipe) = answer.recipe {
            lines.empty_line();
            table_defaults::describe(recipe, None).into_iter().for_each(|line| lines.add(line));
        }
        if let Some(features) = &answer.features {
            let names: Vec<String> = features.iter().map(|feature| feature.name.clone()).collect();
            let (first, columns) = (longest(&names).max(12), longest(&classes).max(10));
            let cells = |cells: Vec<String>| {
                cells.iter().map(|cell| format!(" {}", align_right(cell, columns))).collect::<String>()
            };
            lines.empty_line();
            lines.add(format!("{:>first$}{}", "weight of", cells(classes)));
            for FeatureSummary { name, weights, .. } in features {
                let name = align_right(name, first);
                lines.add(format!("{name}{}", cells(weights.iter().map(|w| format!("{w:.4}")).collect())));
            }
        }
        return lines;
    };
    let number = image.number.map(|number| format!("[{number}]")).unwrap_or_default();
    lines.add(format!("{:<12} {}{number}", "image", image.file));
    let mut by_probability: Vec<_> = answer.classes.iter().zip(&image.probabilities).collect();
    by_probability.sort_by(|a, b| b.1.total_cmp(a.1));
    let predictions =
        by_probability.iter().take(3).map(|(class, probability)| format!("{class} at {:.2} %", 100.0 * *probability));
    lines.add(format!("{:<12} {}", "predicted", predictions.collect::<Vec<_>>().join(", then ")));
    let evidence = &image.evidence;
    lines.add(format!(
        "{} logit {:.4}: pixels {:.4}, bias {:.4}",
        align_left(format!("for {}", evidence.class), 12),
        evidence.logit,
        evidence.logit - evidence.bias,
        evidence.bias
    ));
    for (name, contributions) in [("most for", &evidence.most_for), ("most against", &evidence.most_against)] {
        for (i, Contribution { row, column, level, evidence }) in contributions.iter().enumerate() {
            let name = if i == 0 { name } else { "" };
            lines.add(format!("{name:<12} {evidence:>8.4}  row {row:>2}, column {column:>2}, level {level:>3}"));
        }
    }
    lines
}
