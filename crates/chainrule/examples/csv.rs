//! Trains on a table: predicts the species of a penguin from its bill, flippers and weight.
//!
//! ```sh
//! cargo run --example csv                          # the penguins beside this file
//! cargo run --example csv -- flowers.csv species   # your own file, and its column of labels
//! ```
//!
//! `penguins.csv` is the Palmer Archipelago data (Horst, Hill, Gorman 2020; CC0): the 342 birds
//! that were measured.

#![expect(clippy::print_stdout, reason = "this is a program")]

use chainrule::{Error, Estimator, Samples};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let file =
        arguments.next().unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/examples/penguins.csv").to_owned());
    let label = arguments.next().unwrap_or_else(|| "species".to_owned());

    let samples = Samples::csv(&file, &label)?;
    let [train, validation] = samples.split(0.2, 0)?;
    println!(
        "{} rows of {} columns to learn from, {} to be judged by",
        train.len(),
        train.n_features(),
        validation.len()
    );

    // Columns have different units. After standardisation one learning rate fits all.
    let estimator = Estimator::softmax().standardize().to_the_minimum().l2(0.001);
    let fitted = estimator.fit_validated(&train, &validation)?;
    let metrics = fitted.evaluate(&validation)?;
    println!("validation: loss {:.4}, accuracy {:.1} %", metrics.loss, 100.0 * metrics.accuracy);

    let first = fitted.predictor().predict(&validation.row(0))?;
    for (class, probability) in fitted.classes().iter().zip(&first.probabilities) {
        println!("{:5.1} % {class}", 100.0 * probability);
    }
    println!("it is {}", validation.classes()[usize::from(validation.labels()[0])]);
    Ok(())
}
