//! A table of three classes with its description, for these tests and those of the program.

use std::path::Path;

use chainrule::data::{BatchOrder, Shuffle};
use chainrule::{Error, Samples};

/// Returns a CSV of three almost separable classes. The columns have different units and are in the
/// given order.
pub(crate) fn flowers(columns: &[&str]) -> String {
    let noise = uniform(5, 360);
    let rows = noise.chunks_exact(3).enumerate().map(|(row, noise)| {
        let species = ["rose", "iris", "poppy"][row % 3];
        let class = (row % 3) as f64;
        let fields = columns.iter().map(|&column| match column {
            "length" => (3.0 + class + noise[0]).to_string(),
            "weight" => (1000.0 * (2.0 - class + 0.7 * noise[1])).to_string(),
            "width" => (0.1 * (class * class + noise[2])).to_string(),
            "garden" => "north".to_owned(),
            _ => species.to_owned(),
        });
        fields.collect::<Vec<_>>().join(",") + "\n"
    });
    columns.join(",") + "\n" + &rows.collect::<String>()
}

pub(crate) fn table(folder: &Path, name: &str, columns: &[&str]) -> Samples {
    std::fs::write(folder.join(name), flowers(columns)).unwrap();
    Samples::csv(folder.join(name), "species").unwrap()
}

pub(crate) const COLUMNS: [&str; 4] = ["length", "weight", "species", "width"];

pub(crate) fn assert_error(result: Result<impl Sized, Error>, expected: &[&str]) {
    let Err(error) = result else { panic!("it was not refused: {expected:?}") };
    let line = error.to_string();
    assert_eq!((line.lines().count(), format!("{error:?}")), (1, line.clone()));
    for expected in expected {
        assert!(line.contains(expected), "{line:?} does not say {expected:?}");
    }
}

/// Returns pseudorandom numbers from -1 to 1, the same on every platform, from the shuffle of a
/// seed.
pub(crate) fn uniform(seed: u64, count: usize) -> Vec<f64> {
    let steps = count.max(1000);
    let order = BatchOrder::new(Shuffle::ChaCha { seed }).next_epoch(steps);
    order[..count].iter().map(|&i| (2 * i) as f64 / (steps - 1) as f64 - 1.0).collect()
}
