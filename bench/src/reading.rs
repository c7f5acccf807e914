//! Measures how fast a table of numbers is read, and with how much memory. Each reading is a
//! separate process, and the competitors take turns.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use chacha20::ChaCha8Rng;
use chainrule_data::table::{Columns, Table};
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::Skipped;
use crate::epoch::median;
use crate::machine::{peak_bytes, processor_seconds, with_threads};
use crate::peers::script;
use crate::turns::{Process, Version, send};

/// The number of columns of numbers. There is a label besides.
const COLUMNS: usize = 28;

/// The largest number of bytes of a table, as `data.resident_bytes`.
const MAX_BYTES: u64 = 1 << 34;

/// What a competitor reads.
#[derive(Serialize, Deserialize)]
struct Job {
    file: String,
}

/// What a competitor measured.
#[derive(Serialize, Deserialize)]
struct Reading {
    rows: usize,
    seconds: f64,
    /// The processor time of all threads.
    processor_seconds: f64,
    /// The peak memory of the process before the reading, and after it.
    peak_bytes: [u64; 2],
}

/// A program to measure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Chainrule,
    Pandas,
}

impl Reader {
    /// Reads the file in a process of its own. Returns also the program's name.
    fn read(self, file: &Path, threads: usize) -> Result<(String, Reading)> {
        let command = match self {
            Self::Chainrule => {
                let mut command = with_threads(std::env::current_exe()?.as_os_str(), threads);
                command.arg("--one-reading");
                command
            }
            Self::Pandas => script("pandas_read.py", threads),
        };
        let mut process = Process::start_job(command, &Job { file: file.display().to_string() })?;
        Ok((process.version()?, process.request("read")?))
    }
}

/// Answers as this project's reader.
pub(crate) fn answer() -> Result<()> {
    let mut lines = std::io::stdin().lines();
    let job: Job = serde_json::from_str(&lines.next().context("the job is missing")??)?;
    send(&Version { version: "chainrule".to_owned() })?;
    for _ in lines {
        let (before, used, start) = (peak_bytes(), processor_seconds(), Instant::now());
        let columns = Columns { label: Some("label"), ..Columns::default() };
        let table = Table::read(File::open(&job.file)?, columns, MAX_BYTES)?;
        let seconds = start.elapsed().as_secs_f64();
        let (processor_seconds, peak_bytes) = (processor_seconds() - used, [before, peak_bytes()]);
        send(&Reading { rows: table.len(), seconds, processor_seconds, peak_bytes })?;
    }
    Ok(())
}

/// Writes a table of random numbers with six decimals, the same bytes each time.
fn write_table(path: &Path, rows: usize) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut file = BufWriter::new(File::create(path)?);
    let header: Vec<String> = (0..COLUMNS).map(|column| format!("x{column}")).collect();
    writeln!(file, "{},label", header.join(","))?;
    for row in 0..rows {
        for _ in 0..COLUMNS {
            let millionths = rng.random_range(-4_000_000..4_000_000_i32);
            let sign = if millionths < 0 { "-" } else { "" };
            let size = millionths.unsigned_abs();
            write!(file, "{sign}{}.{:06},", size / 1_000_000, size % 1_000_000)?;
        }
        writeln!(file, "{}", ["a", "b"][row % 2])?;
    }
    file.flush()?;
    Ok(())
}

/// Measures each competitor in each round. Returns the table for the page.
pub(crate) fn measure(rows: usize, rounds: usize, threads: &[usize], with_peers: bool) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("table.csv");
    println!("writing a table of {rows} rows");
    write_table(&file, rows)?;
    let ours = threads.iter().map(|&threads| (Reader::Chainrule, threads));
    // pandas reads with one thread.
    let peers = with_peers.then_some((Reader::Pandas, 1));
    let mut results: Vec<_> = ours.chain(peers).map(|competitor| (competitor, Vec::new())).collect();
    let mut skipped = Vec::new();
    for round in 1..=rounds {
        println!("reading, round {round} of {rounds}");
        for ((reader, threads), readings) in &mut results {
            match reader.read(&file, *threads) {
                Ok((name, reading)) => {
                    ensure!(reading.rows == rows, "{name} read {} of {rows} rows", reading.rows);
                    readings.push((name, reading));
                }
                Err(problem) if *reader == Reader::Pandas => Skipped::add(&mut skipped, "pandas", &problem),
                Err(problem) => return Err(problem),
            }
        }
    }
    let bytes = file.metadata()?.len();
    results.retain(|(_, readings)| !readings.is_empty());
    let median_of = |readings: &[(String, Reading)], value: fn(&Reading) -> f64| {
        median(readings.iter().map(|(_, reading)| value(reading)).collect())
    };
    let of_pandas = results.iter().find(|((reader, _), _)| *reader == Reader::Pandas);
    let ratio = |readings: &[(String, Reading)], value: fn(&Reading) -> f64| {
        let ratio = of_pandas.map(|(_, pandas)| median_of(readings, value) / median_of(pandas, value));
        ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default()
    };
    let mut table = format!(
        "{rows} rows of {COLUMNS} numbers and a label, {:.1} MB of CSV and {:.1} MB in f32.\n\n\
         | | threads | rows per second | of pandas | processor time, of pandas | memory above the program's own, of the rows in f32 |\n\
         | --- | --- | --- | --- | --- | --- |\n",
        bytes as f64 / 1e6,
        f32_bytes(rows) / 1e6
    );
    for ((_, threads), readings) in &results {
        let memory = median_of(readings, |reading| (reading.peak_bytes[1] - reading.peak_bytes[0]) as f64);
        writeln!(
            table,
            "| {} | {threads} | {:.2} · 10⁶ | {} | {} | {:.2} |",
            readings[0].0,
            median_of(readings, |reading| reading.rows as f64 / reading.seconds) / 1e6,
            ratio(readings, |reading| reading.rows as f64 / reading.seconds),
            ratio(readings, |reading| reading.processor_seconds),
            memory / f32_bytes(rows)
        )?;
    }
    Ok(table)
}

/// Returns the bytes of the numbers in f32.
fn f32_bytes(rows: usize) -> f64 {
    (rows * COLUMNS * size_of::<f32>()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_same_bytes_each_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [first, second] = ["a", "b"].map(|name| {
            let path = folder.path().join(name);
            write_table(&path, 100).expect("it can be written");
            std::fs::read(path).expect("it was written")
        });
        assert!(first == second);
        let columns = Columns { label: Some("label"), ..Columns::default() };
        let table = Table::read(&first[..], columns, MAX_BYTES).expect("a table");
        assert_eq!((table.len(), table.columns().len(), table.classes.len()), (100, COLUMNS, 2));
    }
}
