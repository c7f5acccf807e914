//! Why one batch raises the validation loss: the rows in it that the model gets most wrong, and
//! what the step does without them.

use anyhow::Result;
use chainrule_audit::{HardBatch, HardRow, hardest_batch, mean_correlation};
use chainrule_core::{LinkKind, Parameters};
use chainrule_data::{Data, RowBuffer, Rows, Split};
use chainrule_report::{Run, Runs};
use chainrule_solve::{GradientSums, Predictor};

use super::facts::{results_on, rows};

/// The number of rows that are called the worst of a batch.
const WORST: usize = 4;

/// The relative difference up to which a loss is the run's own. Runs in f32 differ by up to 1e-4.
const TOLERANCE: f64 = 1e-3;

/// Makes the steps of a run again from its start, in file order, until the first one on the
/// hardest batch after which the report evaluates. Makes that step with and without the worst rows.
/// Returns `None` if no batch is the hardest, or if the run's own loss after the step is another:
/// its steps are then not those of plain gradient descent in file order.
pub(super) fn hard_batch(runs: &Runs, data: &Data) -> Result<Option<HardBatch>> {
    let [report, run] = ["logistic", "logistic-every-step"].map(|name| runs.get(name));
    let Some(hardest) = hardest_batch(run) else { return Ok(None) };
    let (steps, size) = (run.summary.steps_per_epoch, run.config.descent().batch_size);
    let is_on_hardest = |step: &usize| *step > steps && step % steps == hardest.batch;
    let Some(step) = report.evaluations().iter().map(|evaluation| evaluation.step).find(is_on_hardest) else {
        return Ok(None);
    };
    let Some(recorded) = run.evaluations().iter().find(|evaluation| evaluation.step == step) else { return Ok(None) };

    let [train, validation] = rows(run, data)?;
    let replay = Replay { run, train: &train };
    let batch = |step: usize| {
        let first = step % steps * size;
        (first..train.len().min(first + size)).collect::<Vec<usize>>()
    };
    let mut parameters = run.parameters.clone();
    parameters.weight.iter_mut().chain(&mut parameters.bias).for_each(|w| *w = 0.0);
    for earlier in 0..step {
        parameters = replay.step(&parameters, &batch(earlier))?;
    }
    let validation_loss = |parameters: &Parameters| -> Result<f64> {
        let losses = results_on(&replay.predictor(parameters)?, &validation)?.losses;
        Ok(losses.iter().sum::<f64>() / losses.len() as f64)
    };
    let mut hard = batch(step);
    let (before, after) = (validation_loss(&parameters)?, validation_loss(&replay.step(&parameters, &hard)?)?);
    if hard.len() <= WORST || (after - recorded.validation_loss).abs() > TOLERANCE * after {
        return Ok(None);
    }

    let losses = results_on(&replay.predictor(&parameters)?, &train)?.losses;
    hard.sort_by(|a, b| losses[*b].total_cmp(&losses[*a]));
    let (worst, others) = hard.split_at(WORST);
    let after_without = validation_loss(&replay.step(&parameters, others)?)?;

    let images = data.images(Split::Train);
    let pixels = |row: usize| images.pixels(train.stored_index(row));
    let row = |&row: &usize| HardRow {
        image: train.stored_index(row),
        class: run.summary.data.classes[usize::from(train.label(row))].to_string(),
        loss: losses[row],
        pixels: pixels(row).to_vec(),
    };
    let same_class = (0..train.len()).filter(|&row| train.label(row) == train.label(worst[0])).map(pixels);
    Ok(Some(HardBatch {
        batch: hardest.batch,
        epoch: step / steps,
        before,
        after,
        after_without,
        mean_of_others: others.iter().map(|&row| losses[row]).sum::<f64>() / others.len() as f64,
        likeness: mean_correlation(worst.iter().map(|&row| pixels(row))),
        usual_likeness: mean_correlation(same_class),
        worst: worst.iter().map(row).collect(),
    }))
}

/// Steps of a run that are made again.
struct Replay<'a> {
    run: &'a Run,
    train: &'a Rows,
}

impl Replay<'_> {
    fn predictor(&self, parameters: &Parameters) -> Result<Predictor> {
        let (run, parameters) = (self.run, parameters.clone());
        Predictor::new(run.summary.model, parameters, run.preprocessing.clone()).map_err(anyhow::Error::msg)
    }

    /// Returns the parameters after a step on these rows.
    fn step(&self, at: &Parameters, rows: &[usize]) -> Result<Parameters> {
        let link = LinkKind::from(self.run.config.model().kind).link(self.run.summary.data.classes.len());
        let mut sums = GradientSums::new(&*link, at);
        let mut buffer = RowBuffer::default();
        for &row in rows {
            let raw = self.train.row(row, &mut buffer)?;
            let x: Vec<f64> = raw.iter().enumerate().map(|(j, raw)| self.run.preprocessing.value(j, *raw)).collect();
            sums.add(&x, [(f64::from(self.train.label(row)), 1.0)]);
        }
        let (gradient, learning_rate) = (sums.mean(), self.run.config.descent().learning_rate);
        let mut next = at.clone();
        let parameters = next.weight.iter_mut().chain(&mut next.bias);
        parameters.zip(gradient.weight.iter().chain(&gradient.bias)).for_each(|(w, slope)| *w -= learning_rate * slope);
        Ok(next)
    }
}
