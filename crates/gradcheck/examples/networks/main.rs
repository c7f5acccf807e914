//! Checks Linear-ReLU-Linear networks of Burn with 100 seeds each, and prints the table of this
//! crate's README.
//!
//! ```text
//! cargo run --release -p chainrule-gradcheck --example networks
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its result")]

mod network;

use burn::tensor::FloatDType;
use burn::tensor::activation::relu;
use network::check_networks;

fn main() {
    const SEEDS: u64 = 100;
    println!("| network | batch | type | passed of {SEEDS} | failed |\n| --- | --- | --- | --- | --- |");
    for dtype in [FloatDType::F32, FloatDType::F64] {
        for (hidden, batch) in [(16, 8), (16, 32), (64, 32), (64, 128)] {
            let [passed, failed] = check_networks(SEEDS, hidden, batch, dtype, relu);
            println!("| 8-{hidden}-1 | {batch} | {dtype:?} | {passed} | {failed} |");
        }
    }
}
