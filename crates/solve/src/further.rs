use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::Arc;

use chainrule_core::{Link, Parameters, TrainConfig};
use chainrule_data::DataError;
use chainrule_kernels::{Float, FusedModel, with_threads};

use crate::FusedRows;
use crate::bound::{BoundPoint, bound_point};
use crate::fused::{gradient, new_model};
use crate::lbfgs::{self, Objective, Options, Point, Start, State};
use crate::train::TrainError;

/// The values of J before and after some more iterations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FurtherDecrease {
    /// J at the given parameters.
    pub before: f64,
    /// The lowest J that was found.
    pub after: f64,
}

/// The number of iterations that show whether a training stopped far from the minimum.
const ITERATIONS: usize = 10;

/// Continues from trained parameters with a few iterations of L-BFGS on all rows, by the fused
/// kernels in f64, and returns how far J falls. A training that ended near the minimum gains almost
/// nothing.
///
/// `should_stop` is asked after each iteration. Returns `None` if it stopped.
///
/// # Errors
/// If the system does not provide the threads, or if the rows can no longer be read.
pub fn further_decrease(
    link: &Arc<dyn Link>,
    config: &TrainConfig,
    rows: &FusedRows,
    threads: NonZero<usize>,
    class_weights: Option<&[f64]>,
    at: &Parameters,
    should_stop: &mut (dyn FnMut() -> bool + Send),
) -> Result<Option<FurtherDecrease>, TrainError> {
    let threads = threads.get();
    let fused = new_model(link, rows.n_features(), Float::F64, threads, class_weights);
    let scale = root_mean_squares(rows);
    let mut search = Search { config, rows, fused, threads, at, scale, lowest: None, should_stop, is_stopped: false };
    let options = Options { is_scaled: false, memory: ITERATIONS, max_iterations: ITERATIONS, value_tolerance: 1e-12 };
    let before = with_threads(threads, || {
        // In units of a feature's own size, so that one large feature does not hide all others.
        let weight = at.weight.iter().enumerate().map(|(i, w)| w * search.scale[i / at.columns]);
        let start: Vec<f64> = weight.chain(at.bias.iter().copied()).collect();
        let before = search.evaluate(start.clone())?.value;
        search.lowest = Some(before);
        lbfgs::minimise(&mut search, Start::At(start), options).map(|_| before)
    });
    let before = before.map_err(|problem| TrainError::Threads { threads, problem })??;
    let after = search.lowest.unwrap_or(before);
    Ok((!search.is_stopped).then_some(FurtherDecrease { before, after }))
}

/// Returns the root mean square of each feature: 1 for a feature that is 0 everywhere, and for
/// bytes.
fn root_mean_squares(rows: &FusedRows) -> Vec<f64> {
    let Some(moments) = rows.feature_moments() else { return vec![1.0; rows.n_features()] };
    let mut squares: Vec<f64> = moments.mean.iter().map(|mean| mean * mean).collect();
    let variances = moments.numbers.into_iter().zip(moments.variances).chain(moments.levels);
    variances.for_each(|(feature, variance)| squares[feature] += variance);
    squares.into_iter().map(|square| if square > 0.0 { square.sqrt() } else { 1.0 }).collect()
}

struct Search<'a> {
    config: &'a TrainConfig,
    rows: &'a FusedRows,
    fused: FusedModel,
    threads: usize,
    at: &'a Parameters,
    /// The root mean square of each feature.
    scale: Vec<f64>,
    lowest: Option<f64>,
    should_stop: &'a mut (dyn FnMut() -> bool + Send),
    is_stopped: bool,
}

impl Objective for Search<'_> {
    type Error = DataError;

    fn evaluate(&mut self, x: Vec<f64>) -> Result<Point, DataError> {
        let (d, k) = (self.at.n_features, self.at.columns);
        let mut parameters = Parameters::zeros(d, k);
        let weight = x[..d * k].iter().enumerate().map(|(i, u)| u / self.scale[i / k]);
        parameters.weight = weight.collect();
        parameters.bias = x[d * k..].to_vec();
        self.fused.set(&parameters.weight, &parameters.bias);
        let cost = gradient(&mut self.fused, self.rows, self.threads)?;
        let BoundPoint { objective: value, mut gradient, .. } =
            bound_point(&parameters, cost, self.config.objective(), None);
        gradient[..d * k].iter_mut().enumerate().for_each(|(i, g)| *g /= self.scale[i / k]);
        self.lowest = self.lowest.map(|lowest| if value < lowest { value } else { lowest });
        Ok(Point { x, value, gradient })
    }

    fn on_iteration(&mut self, _: &State) -> Result<ControlFlow<()>, DataError> {
        self.is_stopped = (self.should_stop)();
        Ok(if self.is_stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

#[cfg(test)]
mod tests {
    use chainrule_core::{Class, LinkKind, ModelKind, Precision, Preprocessing, Settings, Solver};
    use chainrule_data::Rows;

    use super::*;

    #[test]
    fn a_minimum_falls_no_further_and_a_start_does() {
        // The second feature is ten times as large as the first.
        let x = |i: usize| [(i % 7) as f64 - 3.0, 10.0 * ((i * 5 % 11) as f64 - 5.0)];
        let labels: Vec<u16> = (0..60).map(|i| u16::from(x(i)[0] + x(i)[1] / 10.0 + (i % 3) as f64 > 1.0)).collect();
        // The same rows again and again have the same mean loss, and fill several reads and blocks.
        let again = |times: usize| {
            let values: Vec<f64> = (0..60).flat_map(x).collect();
            let rows = Rows::of_values(2, &values.repeat(times), labels.repeat(times));
            FusedRows::new(rows, &Preprocessing::Raw).expect("a table")
        };
        let one = NonZero::<usize>::MIN;
        let [rows, many] = [1, 40].map(again);
        let classes = ["no", "yes"].map(|name| Class::Name(name.to_owned()));
        let mut settings = Settings::of(ModelKind::Logistic).with_classes(&classes);
        settings.objective.l2 = 0.01;
        let config = TrainConfig::try_from(settings).expect("valid settings");
        let link = LinkKind::Logistic.link(2);
        let fall = |at: &Parameters| {
            let [decrease, of_many] = [&rows, &many].map(|rows| {
                let decrease = further_decrease(&link, &config, rows, one, None, at, &mut || false);
                decrease.expect("rows in memory").expect("it is not stopped")
            });
            assert!(decrease.after <= decrease.before);
            assert!((of_many.before - decrease.before).abs() < 1e-12, "{of_many:?} {decrease:?}");
            // The sizes of the features are those of a sample.
            assert!((of_many.after - decrease.after).abs() < 1e-5, "{of_many:?} {decrease:?}");
            (decrease.before - decrease.after) / decrease.before
        };
        let mut at = Parameters::zeros(2, 1);
        assert!(fall(&at) > 0.5, "{}", fall(&at));
        let mut settings = Settings::of(ModelKind::Logistic).with_classes(&classes);
        (settings.objective.l2, settings.descent.solver) = (0.01, Solver::Lbfgs);
        settings.descent.precision = Precision::F64;
        let search = TrainConfig::try_from(settings).expect("valid settings");
        let minimum = crate::train_fused(&link, &rows, &rows, &search, one, &mut ());
        at = minimum.expect("a minimum").parameters;
        assert!(fall(&at) < 1e-4, "{}", fall(&at));
        let mut n_asked = 0;
        let mut stop_at_third = || {
            n_asked += 1;
            n_asked == 3
        };
        let start = Parameters::zeros(2, 1);
        let stopped = further_decrease(&link, &config, &rows, one, None, &start, &mut stop_at_third);
        assert!(matches!(stopped, Ok(None)) && n_asked == 3, "{n_asked}");
    }
}
