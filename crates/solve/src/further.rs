use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use chainrule_core::{Gradient, Link, Parameters, Precision, Preprocessing, TrainConfig};
use chainrule_data::{DataError, RowBuffer, RowWeights, Rows};
use chainrule_kernels::{Float, FusedModel, Isa, PackedRows};

use crate::fused_rows::pack_sparse;
use crate::host::GradientSums;
use crate::lbfgs::{self, Objective, Options, Point, Start, State, dot};

/// The values of J before and after some more iterations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FurtherDecrease {
    /// J at the given parameters.
    pub before: f64,
    /// The lowest J that was found.
    pub after: f64,
}

/// The number of rows whose features are computed together.
const ROWS_PER_BLOCK: usize = 64;

/// The most rows that are read at once, and the most numbers if a row has many.
const MAX_ROWS: usize = 1024;
const MAX_NUMBERS: usize = 1 << 20;

/// The number of iterations that show whether a training stopped far from the minimum.
const ITERATIONS: usize = 10;

/// Continues from trained parameters with a few iterations of L-BFGS on all rows, in f64, and
/// returns how far J falls. A training that ended near the minimum gains almost nothing.
///
/// # Errors
/// Returns an error if the rows can no longer be read.
pub fn further_decrease(
    link: &Arc<dyn Link>,
    config: &TrainConfig,
    rows: &Rows,
    preprocessing: &Preprocessing,
    class_weights: Option<&[f64]>,
    at: &Parameters,
) -> Result<FurtherDecrease, DataError> {
    // Plain loops would read every feature of sparse rows, of which most are 0.
    let sparse = pack_sparse(rows, preprocessing)?.map(|rows| {
        let model = FusedModel::new(Arc::clone(link), rows.n_features(), Float::F64, 1, Isa::best());
        let model = if let Some(weights) = class_weights { model.with_class_weights(weights) } else { model };
        (rows, model)
    });
    let (scale, lowest) = (Vec::new(), None);
    let weights = rows.weights()?;
    let mut search =
        Search { link: &**link, config, rows, weights, preprocessing, class_weights, sparse, at, scale, lowest };
    search.scale = search.root_mean_squares()?;
    // In units of a feature's own size, so that one large feature does not hide all others.
    let k = at.columns;
    let weight = at.weight.iter().enumerate().map(|(i, w)| w * search.scale[i / k]);
    let start: Vec<f64> = weight.chain(at.bias.iter().copied()).collect();
    let before = search.evaluate(start.clone())?.value;
    search.lowest = Some(before);
    let options = Options { is_scaled: false, memory: ITERATIONS, max_iterations: ITERATIONS, value_tolerance: 1e-12 };
    lbfgs::minimise(&mut search, Start::At(start), options)?;
    Ok(FurtherDecrease { before, after: search.lowest.unwrap_or(before) })
}

struct Search<'a> {
    link: &'a dyn Link,
    config: &'a TrainConfig,
    rows: &'a Rows,
    weights: Option<RowWeights<'a>>,
    preprocessing: &'a Preprocessing,
    class_weights: Option<&'a [f64]>,
    /// Sparse rows, and the kernels that read them.
    sparse: Option<(PackedRows, FusedModel)>,
    at: &'a Parameters,
    /// The root mean square of each feature, 1 for a feature that is 0 everywhere.
    scale: Vec<f64>,
    lowest: Option<f64>,
}

impl Search<'_> {
    /// Calls `see` with blocks of rows as features `[n, d]`, and with the numbers of these rows.
    fn each_block(&self, mut see: impl FnMut(&[f64], Range<usize>)) -> Result<(), DataError> {
        let (n, d) = (self.rows.len(), self.rows.n_features());
        let (mut buffer, mut features) = (RowBuffer::default(), Vec::new());
        // A file gives many rows at once as fast as one.
        let at_once = (MAX_NUMBERS / d).clamp(1, MAX_ROWS);
        for first in (0..n).step_by(at_once) {
            let read = self.rows.numbers(first..n.min(first + at_once), &mut buffer)?;
            for (row, numbers) in (first..).zip(read.chunks_exact(d)) {
                self.preprocessing.append_features(numbers, Precision::F64, &mut features);
                let end = row + 1;
                if end % ROWS_PER_BLOCK == 0 || end == n {
                    see(&features, row / ROWS_PER_BLOCK * ROWS_PER_BLOCK..end);
                    features.clear();
                }
            }
        }
        Ok(())
    }

    fn root_mean_squares(&self) -> Result<Vec<f64>, DataError> {
        let d = self.rows.n_features();
        let mut squares = vec![0.0; d];
        let root = |square: f64| if square > 0.0 { square.sqrt() } else { 1.0 };
        if let Some(moments) = self.sparse.as_ref().and_then(|(rows, _)| rows.feature_moments()) {
            moments.levels.iter().for_each(|&(j, variance)| squares[j] = variance + moments.mean[j].powi(2));
            return Ok(squares.into_iter().map(root).collect());
        }
        self.each_block(|features, _| {
            for row in features.chunks_exact(d) {
                squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
            }
        })?;
        let n = self.rows.len() as f64;
        Ok(squares.into_iter().map(|sum| root(sum / n)).collect())
    }

    /// Returns the mean loss and its gradient, without the penalty.
    fn gradient(&mut self, at: &Parameters) -> Result<Gradient, DataError> {
        if let Some((rows, model)) = &mut self.sparse {
            model.set(&at.weight, &at.bias);
            return Ok(model.full_gradient(rows));
        }
        let mut sums = GradientSums::new(self.link, at);
        let target = |row: usize| {
            let class = usize::from(self.rows.label(row));
            let weight = self.class_weights.map_or(1.0, |weights| weights[class])
                * self.weights.map_or(1.0, |weights| weights.get(row));
            (class as f64, weight)
        };
        self.each_block(|features, block| sums.add(features, block.map(target)))?;
        Ok(sums.mean())
    }
}

impl Objective for Search<'_> {
    type Error = DataError;

    fn evaluate(&mut self, x: Vec<f64>) -> Result<Point, DataError> {
        let (d, k, lambda) = (self.at.n_features, self.at.columns, self.config.objective().l2);
        let mut parameters = Parameters::zeros(d, k);
        let weight = x[..d * k].iter().enumerate().map(|(i, u)| u / self.scale[i / k]);
        parameters.weight = weight.collect();
        parameters.bias = x[d * k..].to_vec();
        let mean = self.gradient(&parameters)?;
        let penalized = if self.config.objective().penalize_bias { lambda } else { 0.0 };
        let value = mean.loss
            + lambda / 2.0 * dot(&parameters.weight, &parameters.weight)
            + penalized / 2.0 * dot(&parameters.bias, &parameters.bias);
        let of_weight = mean.weight.iter().zip(&parameters.weight).enumerate();
        let of_weight = of_weight.map(|(i, (g, w))| (g + lambda * w) / self.scale[i / k]);
        let of_bias = mean.bias.iter().zip(&parameters.bias).map(|(g, b)| g + penalized * b);
        let gradient = of_weight.chain(of_bias).collect();
        self.lowest = self.lowest.map(|lowest| if value < lowest { value } else { lowest });
        Ok(Point { x, value, gradient })
    }

    fn on_iteration(&mut self, _: &State) -> Result<ControlFlow<()>, DataError> {
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use chainrule_core::{Class, LinkKind, ModelKind, Settings, Solver};

    use super::*;

    #[test]
    fn a_minimum_falls_no_further_and_a_start_does() {
        // The second feature is ten times as large as the first.
        let x = |i: usize| [(i % 7) as f64 - 3.0, 10.0 * ((i * 5 % 11) as f64 - 5.0)];
        let labels: Vec<u16> = (0..60).map(|i| u16::from(x(i)[0] + x(i)[1] / 10.0 + (i % 3) as f64 > 1.0)).collect();
        // The same rows again and again have the same mean loss, and fill several reads and blocks.
        let again = |times: usize| {
            let values: Vec<f64> = (0..60).flat_map(x).collect();
            Rows::of_values(2, &values.repeat(times), labels.repeat(times))
        };
        let [rows, many] = [1, 40].map(again);
        let classes = ["no", "yes"].map(|name| Class::Name(name.to_owned()));
        let mut settings = Settings::of(ModelKind::Logistic).with_classes(&classes);
        settings.objective.l2 = 0.01;
        let config = TrainConfig::try_from(settings).expect("valid settings");
        let link = LinkKind::Logistic.link(2);
        let fall = |at: &Parameters| {
            let [decrease, of_many] = [&rows, &many].map(|rows| {
                further_decrease(&link, &config, rows, &Preprocessing::Raw, None, at).expect("rows in memory")
            });
            assert!(decrease.after <= decrease.before);
            assert!((of_many.before - decrease.before).abs() < 1e-12, "{of_many:?} {decrease:?}");
            assert!((of_many.after - decrease.after).abs() < 1e-9, "{of_many:?} {decrease:?}");
            (decrease.before - decrease.after) / decrease.before
        };
        let mut at = Parameters::zeros(2, 1);
        assert!(fall(&at) > 0.5, "{}", fall(&at));
        let mut settings = Settings::of(ModelKind::Logistic).with_classes(&classes);
        (settings.objective.l2, settings.descent.solver) = (0.01, Solver::Lbfgs);
        settings.descent.precision = Precision::F64;
        let search = TrainConfig::try_from(settings).expect("valid settings");
        let minimum = crate::train_by_loops(&link, &rows, &rows, &Preprocessing::Raw, &search, &mut ());
        at = minimum.expect("a minimum").parameters;
        assert!(fall(&at) < 1e-4, "{}", fall(&at));
    }
}
