//! Measures how often the bounds of the finite differences are false, on families of functions
//! whose slopes are known, and prints the table of this crate's README.
//!
//! ```text
//! cargo run --release -p chainrule-gradcheck --example calibration [FUNCTIONS] [FAMILY]
//! ```
//!
//! FUNCTIONS is the number of functions in a family (30000), and FAMILY is a part of a name. The
//! exit code is 1 if a family misses its limits.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

mod families;
mod measure;

use families::{Kind, families};
use measure::measure;

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    let functions: usize = arguments.next().map_or(30_000, |n| n.parse().expect("the number of functions"));
    let part = arguments.next().unwrap_or_default();
    println!("{functions} functions a family\n");
    println!(
        "| family | type | false bounds, % | right FAILed, % | right unresolved, % | 0 passes, % | torch rejects right, % | JAX rejects right, % | median bound | evaluations |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut is_good = true;
    for family in families() {
        if !family.name.contains(&part) {
            continue;
        }
        for in_f32 in [false, true] {
            if in_f32 && !family.in_f32 {
                continue;
            }
            let counts = measure(&family, in_f32, functions, 1);
            let percent = |count: usize| format!("{:.2}", 100.0 * count as f64 / functions as f64);
            println!(
                "| {} | {} | {} | {} | {} | {} | {} | {} | {:.0e} | {} |",
                family.name,
                if in_f32 { "f32" } else { "f64" },
                percent(counts.false_bounds),
                percent(counts.failed),
                percent(counts.unresolved),
                percent(counts.zero_passes),
                percent(counts.rejected_by_torch),
                percent(counts.rejected_by_jax),
                counts.median_bound,
                counts.evaluations
            );
            let is_resolved = family.kind == Kind::Rough || in_f32 || 20 * counts.unresolved <= functions;
            is_good &= 1000 * counts.false_bounds <= functions && 10_000 * counts.failed <= functions && is_resolved;
        }
    }
    std::process::ExitCode::from(u8::from(!is_good))
}
