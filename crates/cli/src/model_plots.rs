//! Plots of a model itself: its decision boundary, its weights as images, and its loss.

use std::path::Path;

use anyhow::{Context, Result, bail};
use chainrule_core::{LinkKind, Parameters, nearest, pluralize, shortest};
use chainrule_data::{RowBuffer, names};
use chainrule_report::{DescentPath, Plot, PlotContent, RUN_COLORS, WeightImages};
use chainrule_solve::{LossSlice, Prediction, SummaryModel};

use crate::labelled_rows::{LabelledRows, RowOptions, TrainingRows, find_training_rows};
use crate::model::Model;

/// The most rows that are drawn. More of them hide one another, and make a large file.
const MAX_POINTS: usize = 2000;

/// Draws where a model of two numbers changes its prediction, with rows.
pub(crate) fn boundary(folder: &Path, options: &RowOptions, log: &mut dyn FnMut(&str)) -> Result<Plot> {
    let model = Model::read(folder)?;
    let name = folder.display();
    let needs = "--kind boundary draws models of two numeric features";
    let Some(features) = model.features() else {
        bail!("{name}: {needs}, and this one is of images; --kind weights draws its weights");
    };
    let [first, second] = features else {
        let kept = "train on a table with two such columns, or leave out others with data.ignore";
        bail!("{name}: {needs}, and this one has {}; {kept}", pluralize(features.len(), "feature"));
    };
    if model.schema.recipe.as_ref().is_some_and(|recipe| !recipe.are_numbers() || recipe.columns.len() != 2) {
        bail!("{name}: {needs}, and the features of this one are not two columns of numbers; inspect lists them");
    }
    let classes = names(model.classes());
    if classes.len() > RUN_COLORS.len() {
        bail!(
            "{name}: {}, and more than {} colours are hard to tell apart",
            pluralize(classes.len(), "class"),
            RUN_COLORS.len()
        );
    }
    let rows = LabelledRows::find(&model, options, None, log)?;
    let n = rows.rows.len();
    let mut points: Vec<(String, Vec<[f64; 2]>)> = classes.into_iter().map(|class| (class, Vec::new())).collect();
    let mut buffer = RowBuffer::default();
    let step = n.div_ceil(MAX_POINTS).max(1);
    for row in (0..n).step_by(step) {
        let class = usize::from(rows.rows.label(row));
        if let [x1, x2] = *rows.rows.row(row, &mut buffer)? {
            points[class].1.push([x1, x2]);
        }
    }
    if points.iter().all(|(_, points)| points.is_empty()) {
        bail!("{name}: no row to draw; {}", rows.describe());
    }
    if step > 1 {
        log(&format!("note: one of {step} rows is drawn, of {n}"));
    }
    let mut prediction = Prediction::default();
    let mut problem = None;
    let plot = chainrule_report::boundary([first, second], &points, |x| {
        if let Err(error) = model.predictor.predict_into(&x, &mut prediction) {
            problem.get_or_insert(error);
        }
        prediction.probabilities.clone()
    });
    match problem {
        Some(problem) => Err(problem).context(name.to_string()),
        None => Ok(Plot { title: format!("{name}: boundary; {}", rows.describe()), ..plot }),
    }
}

/// Draws the weights of a model of images.
pub(crate) fn weights(folder: &Path) -> Result<Plot> {
    let model = Model::read(folder)?;
    if model.features().is_some() {
        bail!(
            "{}: --kind weights draws weights as images, and the model is of a table; --kind coefficients draws its weights, and inspect lists them",
            folder.display()
        );
    }
    let weighted = model.weighted_classes();
    Ok(Plot {
        title: format!("{}: weights of each class", folder.display()),
        explanation: "vermillion: ink here is evidence for the class; blue: against it; one scale for all".to_owned(),
        content: PlotContent::Weights(WeightImages {
            classes: weighted.clone().map(|class| model.classes()[class].to_string()).collect(),
            weights: weighted.map(|class| model.predictor.parameters_of_class(class).0).collect(),
            size: model.image_size(),
        }),
    })
}

/// The number of steps of a descent.
const STEPS: usize = 25;
/// The default learning rates, as multiples of 1 over the curvature at the minimum. Gradient
/// descent converges there below 2.
const RATES: [f64; 3] = [0.15, 1.0, 2.4];

/// Draws the loss over the weights of two features, with descents.
///
/// `features` names two features; if it is empty, those with the largest weights are chosen.
/// `rates` are at most three learning rates; if there are none, they follow from the curvature.
pub(crate) fn surface(folder: &Path, features: &[String], class: Option<&str>, rates: &[f64]) -> Result<Plot> {
    let model = Model::read(folder)?;
    let name = folder.display();
    let needs = "--kind surface draws the loss of a logistic or softmax model of a table";
    let Some(run) = model.run_records() else {
        bail!("{name}: {needs}, and this model was trained by another tool, so its training rows are unknown");
    };
    let Some(known) = model.features() else {
        bail!("{name}: {needs}, and this one is of images; --kind weights draws its weights");
    };
    if !matches!(model.link, LinkKind::Logistic | LinkKind::Softmax) {
        bail!("{name}: {needs}, and this one is of another kind");
    }
    let column = chosen_column(&model, class)?;
    let of_class: Vec<f64> =
        model.parameters.weight.iter().skip(column).step_by(model.parameters.columns).copied().collect();
    let chosen = chosen_features(features, known, &of_class)?;
    let TrainingRows { rows, source, .. } = find_training_rows(&model, run)?;
    let of_model = SummaryModel {
        config: &run.config,
        parameters: &model.parameters,
        preprocessing: &model.preprocessing,
        features: known,
        classes: model.classes(),
        class_weights: run.summary.class_weights.as_deref(),
    };
    let slice = LossSlice::new(&of_model, &rows, chosen, column)?;
    let Some(minimum) = slice.minimum(chosen.map(|feature| of_class[feature])) else {
        bail!(
            "{name}: the loss has no minimum over these two weights, as when they separate the classes; train with a penalty (objective.l2)"
        );
    };
    let start = [0.0; 2];
    let curvature = slice.curvature(minimum);
    let rates = if rates.is_empty() { RATES.map(|rate| readable(rate / curvature)).to_vec() } else { rates.to_vec() };
    // A descent that diverges leaves the picture.
    let reach = 12.0 * (minimum[0] - start[0]).hypot(minimum[1] - start[1]).max(0.1);
    let path = |&rate: &f64| {
        let points = slice.descend(start, rate, STEPS, reach);
        let steps = points.len() - 1;
        let after = match points.last().map(|&last| slice.at(last).0).filter(|loss| loss.is_finite()) {
            Some(loss) => format!("loss {loss:.4} after {}", pluralize(steps, "step")),
            None => format!("no finite loss after {}", pluralize(steps, "step")),
        };
        let points = points.into_iter().filter(|point| point.iter().all(|w| w.is_finite())).collect();
        DescentPath { name: format!("learning rate {}: {after}", shortest(rate)), points }
    };
    let paths: Vec<DescentPath> = rates.iter().map(path).collect();
    let unit = if model.preprocessing.standardization().is_some() { ", per standard deviation" } else { "" };
    let of = if model.parameters.columns == 1 { String::new() } else { format!(" for {}", model.classes()[column]) };
    let axes = chosen.map(|feature| format!("weight of {}{of}{unit}", known[feature]));
    let plot = chainrule_report::surface([&axes[0], &axes[1]], minimum, &paths, |at| slice.at(at).0);
    let explanation =
        format!("{}; near the minimum, rates below {} converge", plot.explanation, shortest(readable(2.0 / curvature)));
    Ok(Plot {
        title: format!("{name}: loss on {} of {source}", pluralize(rows.len(), "training row")),
        explanation,
        ..plot
    })
}

/// Returns the column of the weights of a class: of softmax without a name, the class with the
/// largest weights.
fn chosen_column(model: &Model, class: Option<&str>) -> Result<usize> {
    let Parameters { columns, weight, .. } = &model.parameters;
    if *columns == 1 {
        return match class {
            None => Ok(0),
            Some(_) => bail!("--class: a logistic model has one weight for a feature; leave it out"),
        };
    }
    let names = names(model.classes());
    match class {
        Some(class) => match names.iter().position(|name| name == class) {
            Some(position) => Ok(position),
            None => bail!("--class {class}: the model's classes are [{}]", names.join(", ")),
        },
        None => {
            let size = |column: &usize| weight.iter().skip(*column).step_by(*columns).map(|w| w * w).sum::<f64>();
            Ok((0..*columns).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or_default())
        }
    }
}

/// Rounds to two digits.
fn readable(number: f64) -> f64 {
    format!("{number:.1e}").parse().unwrap_or(number)
}

/// Returns the positions of two features, in the order of the columns unless they are named.
fn chosen_features(named: &[String], known: &[String], weights: &[f64]) -> Result<[usize; 2]> {
    let position = |name: &String| match known.iter().position(|feature| feature == name) {
        Some(position) => Ok(position),
        None => {
            let meant = nearest(name, known.iter().map(String::as_str));
            let meant = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            bail!("--weight {name}: the model has no such feature{meant}; inspect lists its features")
        }
    };
    let chosen = match named {
        [] => {
            let mut order: Vec<usize> = (0..known.len()).collect();
            order.sort_by(|&a, &b| weights[b].abs().total_cmp(&weights[a].abs()));
            order.truncate(2);
            order.sort_unstable();
            order
        }
        named => named.iter().map(position).collect::<Result<_>>()?,
    };
    match chosen[..] {
        [a, b] if a != b => Ok([a, b]),
        _ if known.len() < 2 => bail!("--kind surface needs two weights, and the model has one feature"),
        _ => bail!("--weight: name two different features, or none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weights_are_chosen_in_the_order_of_the_columns() {
        let known = ["a", "b", "c"].map(str::to_owned);
        let check = |named: &[&str], expected: Result<[usize; 2], &str>| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            let chosen = chosen_features(&named, &known, &[0.5, 0.1, -2.0]).map_err(|error| error.to_string());
            match (chosen, expected) {
                (Ok(chosen), Ok(expected)) => assert_eq!(chosen, expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                other => panic!("{other:?}"),
            }
        };
        check(&[], Ok([0, 2]));
        check(&["b", "a"], Ok([1, 0]));
        check(&["a", "a"], Err("two different features"));
        check(&["a"], Err("two different features"));
        check(&["a", "bb"], Err("did you mean b?"));
    }
}
