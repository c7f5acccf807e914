//! The facts of a report that its runs do not record.

use std::collections::BTreeMap;

use anyhow::Result;
use chainrule::machine::Machine;
use chainrule_audit::{DataFacts, RUNS_WITH_RESULTS, RowResults, RunResults};
use chainrule_core::TrainConfig;
use chainrule_data::{BatchOrder, Data, Dataset, Provenance, Rows, Shuffle};
use chainrule_report::{Run, Runs};
use chainrule_solve::{Predictions, Predictor, dropped_rows};

use super::hard_batch::hard_batch;
use crate::page::examples;
use crate::rows::SelectedRows;

/// Computes the facts from the data and the final models. `shows_rows` says whether the report may
/// hold pictures of rows.
pub(super) fn facts(
    name: String,
    shows_rows: bool,
    runs: &Runs,
    data: &Data,
    source: &Provenance,
    machine: &Machine,
) -> Result<DataFacts> {
    let softmax = runs.get("softmax");
    Ok(DataFacts {
        examples: examples(source, &softmax.summary.data.schema(), &predictor(softmax)?),
        data_name: name,
        batches: batches(&runs.get("logistic").config, data, source, machine)?,
        results: results(runs, data)?,
        hard_batch: hard_batch(runs, data)?,
        shows_rows,
    })
}

/// Computes how the models of those runs that exist do on each row.
pub(super) fn results(runs: &Runs, data: &Data) -> Result<BTreeMap<String, RunResults>> {
    let existing = RUNS_WITH_RESULTS.iter().filter(|name| runs.has(name)).map(|name| runs.get(name));
    existing.map(|run| Ok((run.name.clone(), results_of_run(run, data)?))).collect()
}

fn results_of_run(run: &Run, data: &Data) -> Result<RunResults> {
    let [train, validation] = rows(run, data)?;
    let predictor = predictor(run)?;
    Ok(RunResults { train: results_on(&predictor, &train)?, validation: results_on(&predictor, &validation)? })
}

/// Returns the training rows and the validation rows of a run.
pub(super) fn rows(run: &Run, data: &Data) -> Result<[Rows; 2]> {
    Ok(Dataset::Images(data.clone()).into_rows(&run.config)?.0)
}

fn predictor(run: &Run) -> Result<Predictor> {
    Predictor::new(run.summary.model, run.parameters.clone(), run.preprocessing.clone()).map_err(anyhow::Error::msg)
}

/// The number of rows that are predicted at a time.
const ROWS_AT_ONCE: usize = 1000;

/// Predicts these rows.
pub(super) fn results_on(predictor: &Predictor, rows: &Rows) -> Result<RowResults> {
    let (mut of_rows, mut predictions) = (predictor.of_rows(rows)?, Predictions::default());
    let mut results = RowResults::default();
    for first in (0..rows.len()).step_by(ROWS_AT_ONCE) {
        let block = first..rows.len().min(first + ROWS_AT_ONCE);
        of_rows.predict(block.clone(), &mut predictions)?;
        for (row, prediction) in block.zip(predictions.iter()) {
            let class = usize::from(rows.label(row));
            results.is_correct.push(prediction.class == class);
            results.losses.push(prediction.score(class).cross_entropy);
        }
    }
    Ok(results)
}

/// Counts the rows of each class for each batch of an epoch in file order.
fn batches(config: &TrainConfig, data: &Data, source: &Provenance, machine: &Machine) -> Result<Vec<Vec<usize>>> {
    let rows = SelectedRows::of(Dataset::Images(data.clone()), config, source, machine)?;
    let labels = rows.train_labels();
    let order = BatchOrder::new(Shuffle::None).next_epoch(labels.len());
    let count = |batch: &[usize]| {
        let mut counts = vec![0; rows.about().classes.len()];
        batch.iter().for_each(|&row| counts[usize::from(labels[row])] += 1);
        counts
    };
    let rows_in_batches = order.len() - dropped_rows(config, order.len());
    Ok(order[..rows_in_batches].chunks(config.descent().batch_size).map(count).collect())
}
