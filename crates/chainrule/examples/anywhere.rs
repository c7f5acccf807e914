//! Trains and predicts without files and threads, as in WebAssembly: rows, model and exported file
//! are in memory.
//!
//! ```sh
//! cargo run --example anywhere
//! cargo build --package chainrule --example anywhere --target wasm32-unknown-unknown   # its main is exported
//! ```

#![expect(clippy::print_stdout, reason = "this is a program")]

use std::num::NonZero;

use chainrule::backend::Backend;
use chainrule::formats::{Format, Hints};
use chainrule::{Error, Estimator, Fitted, Label, Samples};

fn main() -> Result<(), Error> {
    // Fused kernels train on images, with up to four threads.
    let [train, validation] = Samples::digits(600, 7).split(0.2, 0)?;
    let four = NonZero::new(4).unwrap_or(NonZero::<usize>::MIN);
    let digits = Estimator::softmax().learning_rate(0.02).batch_size(20).epochs(10).backend(Backend::Cpu).threads(four);
    let digits = digits.fit_validated(&train, &validation)?;
    assert!(digits.score(&validation)? > 0.6);

    // Plain loops train on tables. This model is fitted to the minimum.
    let rows: Vec<[f64; 2]> = (0..60).map(|i| [f64::from(i % 7), f64::from(i % 5) - f64::from(i % 2)]).collect();
    let labels: Vec<&str> = rows.iter().map(|[a, b]| if a > b { "yes" } else { "no" }).collect();
    let table = Samples::from_rows(&rows, &labels)?;
    let model = Estimator::logistic().l2(0.001).to_the_minimum().backend(Backend::Cpu).fit(&table)?;

    // An exported file can be imported again, from any source of bytes.
    export_and_import(&digits, &validation)?;
    export_and_import(&model, &table)
}

fn export_and_import<L: Label>(model: &Fitted<L>, samples: &Samples<L>) -> Result<(), Error> {
    let file = model.to_bytes(Format::Json);
    let export_and_import = Fitted::from_bytes(&file, &Hints::default())?;
    assert_eq!(export_and_import.predict_proba(samples)?, model.predict_proba(samples)?);
    println!(
        "{} bytes tell {} classes apart: {:.3}",
        file.len(),
        export_and_import.classes().len(),
        export_and_import.score(samples)?
    );
    Ok(())
}
