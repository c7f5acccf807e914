//! Measures how the time of a pass over a table grows with the number of rows, numbers, classes,
//! levels, and entries of sparse rows. A pass computes J and its gradient.

use std::time::Instant;

use anyhow::Result;
use chacha20::ChaCha8Rng;
use chainrule_kernels::{Float, FusedModel, Isa, PackedRows, with_threads};
use chainrule_report::{Color, Corner};
use rand::{RngExt, SeedableRng};

use crate::epoch::median;
use crate::growth::{Curve, Growth};
use crate::page;
use crate::tables::Table;

/// Timed passes, whose median is reported, after one to warm up.
const PASSES: usize = 7;

/// The number of words of the sparse tables.
const WORDS: usize = 50_000;

/// The size that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Rows,
    Numbers,
    Classes,
    Levels,
    Entries,
}

impl Axis {
    const ALL: [Axis; 5] = [Axis::Rows, Axis::Numbers, Axis::Classes, Axis::Levels, Axis::Entries];

    fn names(self) -> [&'static str; 2] {
        match self {
            Axis::Rows => ["growth-table-rows", "rows, n"],
            Axis::Numbers => ["growth-table-numbers", "numbers, d"],
            Axis::Classes => ["growth-table-classes", "classes, k"],
            Axis::Levels => ["growth-table-levels", "levels of a category"],
            Axis::Entries => ["growth-table-entries", "entries per sparse row"],
        }
    }

    fn values(self) -> Vec<usize> {
        let [first, last] = match self {
            Axis::Rows => [1 << 12, 1 << 19],
            Axis::Numbers => [4, 512],
            Axis::Classes => [2, 128],
            Axis::Levels => [16, 1 << 16],
            Axis::Entries => [4, 256],
        };
        std::iter::successors(Some(first), |value| Some(2 * value)).take_while(|&value| value <= last).collect()
    }

    /// The table, and the number of entries of each of its sparse rows.
    fn table(self, value: usize) -> (Table, usize) {
        let title = String::new();
        let base = Table { title, rows: 16_384, numbers: 32, levels: Vec::new(), words: 0, entries: 0, classes: 4 };
        let table = match self {
            Axis::Rows => Table { rows: value, ..base },
            Axis::Numbers => Table { numbers: value, ..base },
            Axis::Classes => Table { classes: value, ..base },
            Axis::Levels => Table { rows: 65_536, numbers: 0, levels: vec![value], classes: 2, ..base },
            Axis::Entries => Table { numbers: 0, words: WORDS, entries: base.rows * value, classes: 2, ..base },
        };
        (table, if self == Axis::Entries { value } else { 0 })
    }
}

/// Measures all sizes. At each size the competitors run directly after each other.
pub(crate) fn measure(threads: &[usize]) -> Result<Vec<Growth>> {
    let in_f32 = threads.iter().zip([Color::Blue, Color::Green]).map(|(&threads, color)| (Float::F32, threads, color));
    let competitors: Vec<_> = in_f32.chain([(Float::F64, 1, Color::Vermillion)]).collect();
    let mut growths = Vec::new();
    for axis in Axis::ALL {
        let [id, name] = axis.names();
        println!("growth of {name}");
        let curve = |&(float, threads, color): &(Float, usize, Color)| {
            let float = if float == Float::F32 { "f32" } else { "f64" };
            let threads = chainrule_core::pluralize(threads, "thread");
            Curve { name: format!("{float}, {threads}"), color, points: Vec::new() }
        };
        let mut curves: Vec<Curve> = competitors.iter().map(curve).collect();
        let mut elements = Vec::new();
        for value in axis.values() {
            let (table, entries) = axis.table(value);
            elements.push(table.rows * (table.numbers + table.levels.len() + entries) * table.k());
            let rows = random_rows(&table, entries);
            for (&(float, threads, _), curve) in competitors.iter().zip(&mut curves) {
                let link = table.link().link(table.classes);
                let mut model = FusedModel::new(link, rows.n_features(), float, threads, Isa::best());
                let pass = |_| {
                    let start = Instant::now();
                    std::hint::black_box(model.full_gradient(&rows));
                    1e3 * start.elapsed().as_secs_f64()
                };
                let milliseconds: Vec<f64> = with_threads(threads, || (0..=PASSES).map(pass).collect())?;
                curve.points.push((value as f64, median(milliseconds[1..].to_vec())));
            }
        }
        growths.push(Growth { id, name, unit: "pass", elements, curves, legend: Corner::UpperLeft });
    }
    Ok(growths)
}

/// Returns random rows, with every class.
fn random_rows(table: &Table, entries: usize) -> PackedRows {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut builder = table.builder();
    let mut column = |_| (0..table.rows).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
    let numbers: Vec<Vec<f64>> = (0..table.numbers).map(&mut column).collect();
    let mut codes = |&levels: &usize| (0..table.rows).map(|_| rng.random_range(0..levels) as u32).collect::<Vec<_>>();
    let codes: Vec<Vec<u32>> = table.levels.iter().map(&mut codes).collect();
    let numbers: Vec<&[f64]> = numbers.iter().map(Vec::as_slice).collect();
    let codes: Vec<&[u32]> = codes.iter().map(Vec::as_slice).collect();
    builder.push(table.rows, &numbers, &codes);
    if table.words > 0 {
        let values = vec![1.0; entries];
        for _ in 0..table.rows {
            // One word in each part of the words, so that they differ and increase.
            let part = table.words / entries;
            let words: Vec<u32> = (0..entries).map(|i| (i * part + rng.random_range(0..part)) as u32).collect();
            builder.push_sparse(&words, &values);
        }
    }
    PackedRows::of_table(builder, (0..table.rows).map(|row| (row % table.classes) as u32).collect())
}

/// Writes the plots and the table of all growths.
pub(crate) fn section(out: &mut String, growths: &[Growth]) {
    let intro = "Milliseconds per pass over random rows: J and its gradient.\n\
        The sizes that do not grow are 16384 rows, 32 numbers and 4 classes.\n\
        Rows with a category have nothing else, and so have sparse rows, with words out of 50 000; both have 2 classes, and the category has 65536 rows.\n\
        The exponent is that of a power law fitted to all points; an element is one number, level or entry of one row for one column of W.";
    page::growth(out, "How a pass over a table grows", intro, growths);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_rows_have_the_sizes_of_each_axis() {
        for axis in Axis::ALL {
            let values = axis.values();
            assert!(values.is_sorted() && values.len() > 5, "{axis:?}");
            let (table, entries) = axis.table(values[1]);
            let rows = random_rows(&table, entries);
            let levels: usize = table.levels.iter().sum();
            assert_eq!(rows.n_features(), table.numbers + levels + table.words, "{axis:?}");
            assert_eq!(rows.len(), table.rows, "{axis:?}");
            let classes: std::collections::BTreeSet<_> = rows.labels().iter().collect();
            assert_eq!(classes.len(), table.classes, "{axis:?}");
        }
    }
}
