//! The scores of a cross-validation by penalty.

use super::{Plot, PlotContent};
use crate::figure::{Axis, Chart, Color, Corner, Format, Mark, Scale, Series, Symbol};

/// The mean scores of a penalty over folds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PenaltyScore {
    /// Lambda.
    pub l2: f64,
    /// The mean cross-entropy in nats, and its standard error.
    pub loss: [f64; 2],
    /// The mean accuracy, and its standard error.
    pub accuracy: [f64; 2],
}

/// Returns charts of loss and accuracy against lambda on a logarithmic axis, with bars of one
/// standard error. Upright lines mark the penalties at the positions `best`, of the lowest loss,
/// and `one_standard_error`, the largest one within one standard error of it. A logarithmic axis
/// has no 0, so a lambda of 0 is left out, and the explanation says so.
pub fn penalty_scores(scores: &[PenaltyScore], best: usize, one_standard_error: usize) -> Plot {
    let shown: Vec<&PenaltyScore> = scores.iter().filter(|score| score.l2 > 0.0).collect();
    let lambdas = || shown.iter().map(|score| score.l2);
    let [low, high] = [lambdas().fold(f64::INFINITY, f64::min), lambdas().fold(0.0, f64::max)];
    // Some space beside the first and the last symbol.
    let x = if shown.is_empty() { 0.1..1.0 } else { low / 1.5..high * 1.5 };
    let chart = |label: &str, format: Format, value: fn(&PenaltyScore) -> [f64; 2]| {
        let points = Series {
            band: shown.iter().map(|score| value(score)[1]).collect(),
            ..Series::new(
                "mean over folds ± one standard error",
                Color::Blue,
                Mark::Symbols(Symbol::Disk),
                shown.iter().map(|score| (score.l2, value(score)[0])).collect(),
            )
        };
        let ends = shown.iter().map(|score| value(score)).map(|[mean, error]| [mean - error, mean + error]);
        let [bottom, top] =
            ends.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], [a, b]| [low.min(a), high.max(b)]);
        let margin = 0.06 * (top - bottom).max(1e-6);
        let y = if shown.is_empty() { 0.0..1.0 } else { bottom - margin..top + margin };
        let upright = |name: &str, color, position: usize| {
            let l2 = scores.get(position).map(|score| score.l2).filter(|l2| *l2 > 0.0);
            Series::new(name, color, Mark::Upright, l2.map(|l2| (l2, y.end)).into_iter().collect())
        };
        let mut series = vec![upright("lowest loss", Color::Green, best)];
        if one_standard_error != best {
            series.push(upright("largest within one standard error", Color::Vermillion, one_standard_error));
        }
        series.push(points);
        let x = Axis { label: "lambda".into(), range: x.clone(), scale: Scale::Logarithmic, format: Format::Number };
        let legend = if format == Format::Percent { Corner::LowerLeft } else { Corner::UpperLeft };
        Chart { x, y: Axis { label: label.into(), range: y, scale: Scale::Linear, format }, series, legend }
    };
    let left_out = if shown.len() < scores.len() { "; lambda 0 is left out" } else { "" };
    Plot {
        title: "Cross-validation by penalty".into(),
        explanation: format!("the folds share training rows, so the bars are a guide and no test{left_out}"),
        content: PlotContent::Charts(vec![
            chart("cross-entropy (nats)", Format::Number, |score| score.loss),
            chart("accuracy", Format::Percent, |score| score.accuracy),
        ]),
    }
}
