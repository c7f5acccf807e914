//! Trains and predicts without files and threads, as in WebAssembly: rows, model and exported file
//! are in memory. Predicts structs with a model that is part of the program.
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
    export_and_import(&model, &table)?;
    predict_raw_rows()
}

/// `chainrule train --data docs/data/elements.csv --label kind`, then `chainrule export`.
const ELEMENTS: &[u8] = include_bytes!("elements.json");

/// A row of the table, with texts and missing values.
#[derive(Clone, Default, serde::Serialize)]
struct Element {
    mass: f64,
    period: u8,
    block: char,
    electronegativity: Option<f64>,
    melting: Option<f64>,
    density: Option<f64>,
    structure: Option<&'static str>,
    discovered: Option<u16>,
}

/// Predicts elements that chemists disagree about, as `chainrule predict` does.
fn predict_raw_rows() -> Result<(), Error> {
    let model = Fitted::from_bytes(ELEMENTS, &Hints::default())?;
    let astatine = Element {
        mass: 210.0,
        period: 6,
        block: 'p',
        electronegativity: Some(2.2),
        melting: Some(575.15),
        density: Some(7.0),
        discovered: Some(1940),
        ..Element::default()
    };
    let polonium = Element {
        mass: 209.0,
        electronegativity: Some(2.0),
        melting: Some(527.15),
        density: Some(9.2),
        structure: Some("SC"),
        discovered: Some(1898),
        ..astatine.clone()
    };
    for (element, expected) in
        [(polonium, [0.826_351, 0.106_449, 0.067_200]), (astatine, [0.623_135, 0.173_809, 0.203_056])]
    {
        let answer = model.raw_predictor()?.predict(&element)?;
        let probabilities = &answer.prediction.probabilities;
        assert!(probabilities.iter().zip(expected).all(|(p, expected)| (p - expected).abs() < 1e-6));
        println!("{}: {probabilities:.3?}", model.classes()[answer.prediction.class]);
        // No other element has the structure SC.
        assert_eq!(answer.unseen().len(), usize::from(element.structure.is_some()));
    }
    Ok(())
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
