//! Fits models with different penalties in parallel and compares training and validation loss.
//!
//! ```sh
//! cargo run --example lambdas
//! ```

#![expect(clippy::print_stdout, reason = "this is a program")]

use std::num::NonZero;
use std::thread;

use chainrule::{Error, Estimator, Fitted, Samples};

const LAMBDAS: [f64; 6] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3];

fn main() -> Result<(), Error> {
    let [train, validation] = Samples::digits(2000, 0).split(0.25, 0)?;
    // Each training runs in its own thread, with one kernel thread and its own lambda.
    let estimator = Estimator::softmax().learning_rate(0.05).epochs(20).threads(NonZero::<usize>::MIN);
    let fit = |lambda| estimator.clone().l2(lambda).fit_validated(&train, &validation);
    let fitted: Vec<Result<Fitted, Error>> = thread::scope(|scope| {
        let threads = LAMBDAS.map(|lambda| scope.spawn(move || fit(lambda)));
        threads.into_iter().map(|thread| thread.join().expect("a training panics only on a bug")).collect()
    });

    println!("lambda  training loss  validation loss  accuracy   ||W||");
    for (lambda, fitted) in LAMBDAS.into_iter().zip(fitted) {
        let fitted = fitted?;
        let (train, validation) = (fitted.evaluate(&train)?, fitted.evaluate(&validation)?);
        let norm = fitted.parameters().weight.iter().map(|w| w * w).sum::<f64>().sqrt();
        println!(
            "{lambda:>6} {:>14.4} {:>16.4} {:>7.1} % {norm:>7.3}",
            train.loss,
            validation.loss,
            100.0 * validation.accuracy
        );
    }
    Ok(())
}
