//! The closing table of a run.

use std::path::Path;

use chainrule_core::{
    Certificate, Class, DataKind, FinalMetrics, GradientSource, Identification, LinkKind, Precision, SearchEnd,
    TrainConfig, pluralize,
};
use chainrule_records::Summary;

use crate::output::Lines;

/// Returns the closing table of a training. With `is_verbose`, it also has what only experts need.
pub(crate) fn closing_table(summary: &Summary, config: &TrainConfig, folder: &Path, is_verbose: bool) -> Lines {
    let model = model_name(summary.model);
    let gradient = match summary.gradient {
        // `Auto` is resolved before a run.
        GradientSource::Auto | GradientSource::Fused => "fused closed-form gradients",
        GradientSource::ClosedForm => "closed-form gradients",
        GradientSource::Autodiff => "autodiff gradients",
    };
    let precision = match summary.precision {
        Precision::F32 => "f32",
        Precision::F64 => "f64",
    };
    let ended = match &summary.certificate {
        Some(certificate) => search_ended(certificate),
        None => {
            let steps = pluralize(summary.steps, "step");
            let in_epoch = format!("after {steps}, in epoch {}", summary.stop_epoch + 1);
            if summary.interrupted {
                format!("interrupted {in_epoch}")
            } else if summary.stopped_early {
                format!("stopped early {in_epoch}")
            } else {
                format!("{} completed: {steps}", pluralize(summary.epochs_completed, "epoch"))
            }
        }
    };
    let best = match summary.certificate {
        Some(_) => format!("at iteration {}", summary.best_step),
        None => format!("after {}", pluralize(summary.best_step + 1, "step")),
    };
    let (last, norm, seconds) = (&summary.final_metrics, &summary.weight_norm, &summary.seconds);
    let weights = summary.class_weights.as_ref();
    let is_weighted = weights.is_some() || config.data().weight.is_some();
    let loss = if is_weighted { "weighted loss" } else { "cross-entropy" };
    let rows = if summary.data.is_validated_on_training {
        format!("{} rows, none held out", summary.data.train)
    } else {
        format!("{} + {} rows", summary.data.train, summary.data.validation)
    };
    let norms = is_verbose.then(|| {
        format!(
            "Frobenius {:.4} (squared {:.4}), spectral {:.4}",
            norm.frobenius, norm.frobenius_squared, norm.spectral
        )
    });
    let last_step = is_verbose.then(|| {
        let (step, epoch, best) = (summary.stop_step, summary.stop_epoch, summary.best_step);
        format!("{step} in epoch {epoch}, the best evaluation after {best}; all counted from 0, as in history.json")
    });
    let rows = [
        ("experiment", format!("{}: {model}, {gradient}, {} {precision}", summary.experiment, summary.backend)),
        ("data", format!("{} ({rows})", summary.data.source)),
        ("class weights", weights.map(|weights| class_weights(&summary.data.classes, weights)).unwrap_or_default()),
        ("ended", ended),
        ("minimum", minimum(summary, config).unwrap_or_default()),
        ("best validation", format!("loss {:.6} {best}", summary.best_validation_loss)),
        ("", String::new()),
        ("", "      training  validation".to_owned()),
        (loss, format!("{:>14.6} {:>11.6}", last.train_loss, last.validation_loss)),
        ("accuracy", format!("{:>12.2} %{:>10.2} %", 100.0 * last.train_accuracy, 100.0 * last.validation_accuracy)),
        ("constant model", constant(summary).unwrap_or_default()),
        ("", String::new()),
        ("weight norm", norms.unwrap_or_default()),
        ("last step", last_step.unwrap_or_default()),
        (
            "time",
            format!("{:.1} s: {:.1} s steps, {:.1} s evaluations", seconds.total, seconds.training, seconds.validation),
        ),
        ("run", folder.display().to_string()),
    ];
    // An empty line separates the parts of the table. Names without a value are left out.
    let mut lines = Lines::default();
    lines.empty_line();
    for (name, value) in rows.iter().filter(|(name, value)| name.is_empty() || !value.is_empty()) {
        lines.add(format!("{name:<16} {value}"));
    }
    warnings(summary, config).iter().for_each(|warning| lines.add(format!("note: {warning}")));
    lines
}

/// Describes the constant model of a table on the validation rows.
fn constant(summary: &Summary) -> Option<String> {
    let FinalMetrics { validation_loss, validation_accuracy, .. } = summary.constant?;
    let accuracy = 100.0 * validation_accuracy;
    (summary.data.kind == DataKind::Table).then(|| {
        format!("{accuracy:.2} % and {validation_loss:.6} on the validation rows, by the class frequencies alone")
    })
}

/// J falls by more than this fraction where a training stopped far from the minimum.
const FAR: f64 = 0.01;

/// Losses are shown with six decimals, and a search for the minimum ends so near it.
const SAME_LOSS: f64 = 1e-6;

/// Returns whether a loss is larger than that of the constant model.
fn is_above(loss: f64, of_constant: f64) -> bool {
    loss > of_constant + SAME_LOSS
}

/// Returns what to know about the figures of a training: what is wrong with the model, and whether
/// rows were held out.
pub(crate) fn warnings(summary: &Summary, config: &TrainConfig) -> Vec<String> {
    let held_out = "no rows were held out; the validation figures are those of the training rows";
    let held_out = summary.data.is_validated_on_training.then(|| held_out.to_owned());
    held_out.into_iter().chain(model_warnings(summary, config)).collect()
}

/// Returns what is wrong with a model that was trained, and what to do.
pub(crate) fn model_warnings(summary: &Summary, config: &TrainConfig) -> Vec<String> {
    let mut warnings = summary.identification.as_ref().map(Identification::sentences).unwrap_or_default();
    let n_sentences = warnings.len();
    let last = &summary.final_metrics;
    let is_at_minimum = summary.certificate.is_some_and(|certificate| certificate.holds());
    // At the minimum, a loss above the constant model's is due to the penalty.
    let is_worse = |constant: &FinalMetrics| is_above(last.train_loss, constant.train_loss) && !is_at_minimum;
    let unconverged = summary.constant.filter(is_worse);
    let is_flat = summary.further_decrease.is_some_and(|decrease| decrease <= FAR);
    let has_low_loss = summary.constant.is_some_and(|constant| last.validation_loss < constant.validation_loss);
    let advice = match to_the_minimum(config) {
        _ if has_low_loss && unconverged.is_none() && (is_at_minimum || is_flat) => {
            "the loss is better, so the probabilities say more than the most probable class".to_owned()
        }
        _ if is_at_minimum || (is_flat && unconverged.is_none()) => {
            "the features may say little about the label; a higher objective.l2 brings the loss back to the constant model's".to_owned()
        }
        Some(advice) => advice,
        None => "the training did not reach the minimum".to_owned(),
    };
    if let Some(constant) = &summary.constant {
        let worse = [
            (last.validation_accuracy < constant.validation_accuracy).then_some("accuracy"),
            is_above(last.validation_loss, constant.validation_loss).then_some("loss"),
        ];
        let worse: Vec<&str> = worse.into_iter().flatten().collect();
        if !worse.is_empty() {
            warnings.push(format!(
                "the validation {} {} worse than the constant model's; {advice}",
                worse.join(" and "),
                if worse.len() == 1 { "is" } else { "are" }
            ));
        }
    }
    if let Some(constant) = unconverged {
        let (loss, of_constant) = (last.train_loss, constant.train_loss);
        // The note before has the advice.
        let advice = if warnings.len() == n_sentences { format!("; {advice}") } else { String::new() };
        warnings.push(format!(
            "the training did not converge: its training loss {loss:.3e} is above {of_constant:.3e} of the constant model{advice}"
        ));
    }
    if let Some(decrease) = summary.further_decrease.filter(|decrease| *decrease > FAR && !summary.interrupted) {
        let more = config.data().standardize.then_some("more epochs or another learning rate come closer");
        let more: Vec<String> = more.map(str::to_owned).into_iter().chain(to_the_minimum(config)).collect();
        let more = more.join(", and ");
        warnings.push(format!(
            "the training stopped far from the minimum: ten more steps of L-BFGS lower J by {:.0} %; {more}",
            100.0 * decrease
        ));
    }
    warnings
}

/// Says which settings lead to the minimum. `None` if the config has them all.
fn to_the_minimum(config: &TrainConfig) -> Option<String> {
    let settings = [
        (!config.data().standardize).then_some("--set data.standardize=true"),
        (!config.descent().solver.is_search()).then_some("--set descent.solver=lbfgs"),
        (config.objective().l2 == 0.0).then_some("--set objective.l2=1e-3"),
    ];
    let settings: Vec<&str> = settings.into_iter().flatten().collect();
    (!settings.is_empty()).then(|| format!("{} goes to the minimum", settings.join(" ")))
}

/// Lists classes with their weights.
pub(crate) fn class_weights(classes: &[Class], weights: &[f64]) -> String {
    // Four digits are enough for a person.
    let short = |weight: &f64| format!("{weight:.3e}").parse().unwrap_or(*weight);
    let pairs = classes.iter().zip(weights).map(|(class, weight)| format!("{class}: {}", short(weight)));
    pairs.collect::<Vec<_>>().join(", ")
}

/// Returns the name of a model.
pub(crate) fn model_name(link: impl Into<LinkKind>) -> &'static str {
    match link.into() {
        LinkKind::Softmax => "softmax regression",
        LinkKind::Logistic => "logistic regression",
        LinkKind::OneVsRest => "one-vs-rest logistic regression",
    }
}

/// Describes how the search for the minimum ended.
fn search_ended(certificate: &Certificate) -> String {
    let Certificate { iterations, gradients, tolerance, .. } = certificate;
    let how = match certificate.ended {
        SearchEnd::Converged => format!("within {tolerance:e} of the minimum"),
        SearchEnd::IterationsUsedUp => "all iterations completed".to_owned(),
        SearchEnd::Rounding => "stopped by rounding errors".to_owned(),
        SearchEnd::Interrupted => "interrupted".to_owned(),
        SearchEnd::Separated => "there is no minimum".to_owned(),
    };
    let [iterations, passes] = [pluralize(*iterations, "iteration"), pluralize(*gradients, "pass")];
    format!("{how}, after {iterations}, {passes} over the rows")
}

/// Describes how near the result is to the minimum. If it is not near enough, the text says what to
/// do.
fn minimum(summary: &Summary, config: &TrainConfig) -> Option<String> {
    let certificate = summary.certificate.as_ref()?;
    let Certificate { objective, gradient_norm, bound, tolerance, ended, .. } = certificate;
    if *ended == SearchEnd::Separated {
        return None;
    }
    let mut text =
        format!("J = {objective:.9} is at most {bound:.1e} above the minimum (gradient norm {gradient_norm:.1e})");
    if !certificate.holds() {
        text += &format!("; the tolerance is {tolerance:e}");
        match ended {
            SearchEnd::Rounding => {
                text += "; ";
                text += rounding_advice(summary, config);
            }
            SearchEnd::IterationsUsedUp => {
                let more = 10 * config.optimum().max_iterations;
                text += &format!("; a training with --set optimum.max_iterations={more} may go there");
            }
            _ => {}
        }
    }
    Some(text)
}

/// Returns the options that reduce rounding after rounding ended a search.
fn rounding_advice(summary: &Summary, config: &TrainConfig) -> &'static str {
    let is_raw_table = summary.data.kind == DataKind::Table && !config.data().standardize;
    if summary.identification.is_some() && summary.precision == Precision::F64 && !is_raw_table {
        return "without a penalty, classes that are almost separated have such a minimum, and numbers far from all others hide it; give objective.l2 a number above 0, such as 1e-3";
    }
    match (summary.precision, is_raw_table) {
        (Precision::F32, true) => "use --precision f64 and --set data.standardize=true",
        (Precision::F32, false) => "use --precision f64",
        (Precision::F64, true) => "use --set data.standardize=true",
        (Precision::F64, false) => "f64 is the most precise type: increase the tolerance with --set optimum.tolerance",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_is_the_same_up_to_rounding_is_not_above() {
        for (loss, is_worse) in [(0.5, false), (0.6, false), (0.600_000_5, false), (0.6001, true)] {
            assert_eq!(is_above(loss, 0.6), is_worse, "{loss}");
        }
    }
}
