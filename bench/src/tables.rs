//! Measures the time of a fit of a table to the minimum of J, beside scikit-learn. The rows are in
//! memory before a fit starts. Each competitor is a separate process, and they take turns. The
//! benchmark evaluates all parameters with the same J, in f64.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, Read};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chainrule_core::{
    Certificate, Class, FeatureLayout, LinkKind, ModelKind, Parameters, Precision, Preprocessing, Settings, TrainConfig,
};
use chainrule_kernels::{Float, FusedModel, Isa, PackedRows, RowOrder, TableBuilder, with_threads};
use chainrule_solve::{FusedRows, Optimum, Predictor, find_optimum, train_path};
use serde::{Deserialize, Serialize};

use crate::epoch::{median, median_and_spread};
use crate::growth::Growth;
use crate::machine::{peak_bytes, processor, reset_peak};
use crate::optimum::NEAR;
use crate::page::list_faster;
use crate::peers::{Package, script};
use crate::prediction::{self, PredictionTimes};
use crate::synthetic_tables::TABLES;
use crate::table_growth;
use crate::turns::{Process, Version, send};
use crate::{Limit, Skipped, machine};

/// lambda of J = C + lambda/2 |W|^2. The bias is not penalised.
const L2: f64 = 1e-3;

/// The number of penalties of a path, from [`PATH_START`] to [`L2`] in equal ratios.
const PATH: usize = 20;
const PATH_START: f64 = 1.0;

/// The bound on the distance to the minimum with which the benchmark determines it.
const MINIMUM_BOUND: f64 = 1e-8;

/// scikit-learn's tolerances. The benchmark uses the first that is near enough.
const TOLERANCES: [f64; 9] = [1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5, 1e-6];

/// A peer whose fit takes longer is left out.
const MAX_FIT: Duration = Duration::from_secs(60);

/// The message about a fit that does not reach it.
const NOT_NEAR: &str = "it does not get near the minimum";

/// The number of rows that are packed at a time.
const ROWS_AT_ONCE: usize = 1 << 10;

/// What a table has, in the files that [`crate::synthetic_tables`] writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) rows: usize,
    pub(crate) numbers: usize,
    /// The number of levels of each category.
    #[serde(default)]
    pub(crate) levels: Vec<usize>,
    /// The number of words, and how many the rows have in all.
    #[serde(default)]
    pub(crate) words: usize,
    #[serde(default)]
    pub(crate) entries: usize,
    pub(crate) classes: usize,
}

impl Table {
    /// Whether all features are numbers.
    fn is_dense(&self) -> bool {
        self.levels.is_empty() && self.words == 0
    }

    /// The number of columns of the weights, k.
    pub(crate) fn k(&self) -> usize {
        if self.classes == 2 { 1 } else { self.classes }
    }

    /// The features side by side: numbers, levels, words.
    pub(crate) fn layout(&self) -> FeatureLayout {
        let first_word = self.numbers + self.levels.iter().sum::<usize>();
        let n_features = first_word + self.words;
        let mut next = self.numbers;
        let categories = self.levels.iter().map(|levels| {
            next += levels;
            (next - levels..next).collect()
        });
        FeatureLayout {
            n_features,
            numbers: (0..self.numbers).collect(),
            categories: categories.collect(),
            sparse: (first_word..n_features).collect(),
        }
    }

    /// A builder of the packed rows, for features that are used as they are.
    pub(crate) fn builder(&self) -> TableBuilder {
        let layout = self.layout();
        let (scaling, storage) = (vec![(1.0, 0.0); layout.n_features], vec![(0.0, 1.0); self.numbers]);
        TableBuilder::new(layout, self.rows, scaling, storage, false, RowOrder::Groups)
    }

    pub(crate) fn link(&self) -> LinkKind {
        if self.classes == 2 { LinkKind::Logistic } else { LinkKind::Softmax }
    }

    /// The bytes that a pass reads: four for each number, code and label, and eight for each word.
    fn bytes(&self) -> f64 {
        (4 * self.rows * (self.numbers + self.levels.len() + 1) + 8 * self.entries) as f64
    }

    /// The multiply-adds of a pass, for J and for its gradient. A level is an addition.
    fn multiply_adds(&self) -> f64 {
        (2 * (self.rows * (self.numbers + self.levels.len()) + self.entries) * self.k()) as f64
    }
}

/// A table for a competitor.
#[derive(Clone, Serialize, Deserialize)]
struct Job {
    folder: String,
    #[serde(flatten)]
    table: Table,
    l2: f64,
    solver: String,
    /// float32 or float64.
    precision: String,
    threads: usize,
}

/// The answer to a turn.
#[derive(Serialize, Deserialize)]
struct Fit {
    iterates: Vec<Iterate>,
    /// The memory before the fit, and its peak during the fit.
    peak_bytes: [u64; 2],
    /// Only this project's solver has these.
    ours: Option<OurDetails>,
}

/// The parameters of a solver after some time.
#[derive(Serialize, Deserialize)]
struct Iterate {
    seconds: f64,
    /// The number of iterations, if the solver tells it.
    iterations: Option<usize>,
    /// The number of passes over the rows, if it is known.
    passes: Option<usize>,
    /// The peak memory until then. Without it, it is that of the fit, which ends here.
    #[serde(default)]
    peak_bytes: Option<u64>,
    /// W `[d, k]` row by row, then b `[k]`.
    parameters: Vec<f64>,
}

/// What is measured of this project's solver only.
#[derive(Clone, Serialize, Deserialize)]
struct OurDetails {
    /// The seconds and passes until the certificate holds, if it does.
    certified: Option<(f64, usize)>,
    /// The milliseconds of one pass: J and its gradient.
    pass_milliseconds: f64,
    /// The seconds in which the rows were packed, before the fit.
    packing_seconds: f64,
    /// The seconds and passes of [`PATH`] penalties, each until its certificate holds.
    path: (f64, usize),
}

impl Job {
    fn is_f32(&self) -> bool {
        self.precision == "float32"
    }

    /// Finds the minima of a path of penalties. Returns its seconds and passes.
    fn follow_path(&self, rows: &FusedRows) -> Result<(f64, usize)> {
        let threads = NonZero::new(self.threads).context("at least one thread is needed")?;
        let penalty = |i: usize| PATH_START * (L2 / PATH_START).powf(i as f64 / (PATH - 1) as f64);
        let config = |i| Self { l2: penalty(i), ..self.clone() }.config(None);
        let configs = (0..PATH).map(config).collect::<Result<Vec<_>>>()?;
        let start = Instant::now();
        let path = train_path(&self.table.link().link(self.table.classes), [rows, rows], &configs, threads)?;
        let seconds = start.elapsed().as_secs_f64();
        let proofs: Vec<Certificate> = path.iter().filter_map(|trained| trained.certificate).collect();
        ensure!(proofs.len() == PATH && proofs.iter().all(Certificate::holds), "a certificate of the path fails");
        Ok((seconds, proofs.iter().map(|proof| proof.gradients).sum()))
    }

    fn config(&self, tolerance: Option<f64>) -> Result<TrainConfig> {
        let mut settings = Settings::of(if self.table.classes == 2 { ModelKind::Logistic } else { ModelKind::Softmax });
        if self.table.classes == 2 {
            settings.data.classes = Some(vec![Class::Number(1), Class::Number(0)]);
        }
        settings.objective.l2 = self.l2;
        settings.objective.penalize_bias = false;
        settings.descent.solver = chainrule_core::Solver::Lbfgs;
        settings.descent.precision = if self.is_f32() { Precision::F32 } else { Precision::F64 };
        settings.optimum.tolerance = tolerance.unwrap_or(settings.optimum.tolerance);
        Ok(TrainConfig::try_from(settings)?)
    }

    /// Reads and packs the rows. Returns also the seconds of packing.
    fn pack(&self) -> Result<(PackedRows, f64)> {
        let Table { rows: n, numbers: d, words, .. } = self.table;
        let n_categories = self.table.levels.len();
        let start = Instant::now();
        let mut table = self.table.builder();
        let mut seconds = start.elapsed().as_secs_f64();
        let open =
            |name: &str| Ok::<_, std::io::Error>(BufReader::new(File::open(Path::new(&self.folder).join(name))?));
        let (mut numbers_file, mut codes_file, mut labels_file) = (open("numbers")?, open("codes")?, open("labels")?);
        let (mut words_file, mut ends_file, mut n_words) = (open("words")?, open("ends")?, 0);
        let mut labels = Vec::with_capacity(n);
        for first in (0..n).step_by(ROWS_AT_ONCE) {
            let m = ROWS_AT_ONCE.min(n - first);
            let numbers = read(&mut numbers_file, m * d)?;
            let codes = read(&mut codes_file, m * n_categories)?;
            labels.extend(read(&mut labels_file, m)?.into_iter().map(u32::from_le_bytes));
            let column = |j| numbers.iter().skip(j).step_by(d).map(|&bytes| f64::from(f32::from_le_bytes(bytes)));
            let numbers: Vec<Vec<f64>> = (0..d).map(|j| column(j).collect()).collect();
            let column = |j| codes.iter().skip(j).step_by(n_categories).map(|&bytes| u32::from_le_bytes(bytes));
            let codes: Vec<Vec<u32>> = (0..n_categories).map(|j| column(j).collect()).collect();
            let numbers: Vec<&[f64]> = numbers.iter().map(Vec::as_slice).collect();
            let codes: Vec<&[u32]> = codes.iter().map(Vec::as_slice).collect();
            let mut rows_of_words = Vec::new();
            for bytes in read(&mut ends_file, if words > 0 { m } else { 0 })? {
                let end = u32::from_le_bytes(bytes) as usize;
                let words = read(&mut words_file, end - std::mem::replace(&mut n_words, end))?;
                rows_of_words.push(words.into_iter().map(u32::from_le_bytes).collect::<Vec<_>>());
            }
            let ones = vec![1.0; rows_of_words.iter().map(Vec::len).max().unwrap_or(0)];
            let start = Instant::now();
            table.push(m, &numbers, &codes);
            rows_of_words.iter().for_each(|words| table.push_sparse(words, &ones[..words.len()]));
            seconds += start.elapsed().as_secs_f64();
        }
        let start = Instant::now();
        let rows = PackedRows::of_table(table, labels);
        Ok((rows, seconds + start.elapsed().as_secs_f64()))
    }

    /// Runs this project's solver.
    fn find_optimum(
        &self,
        rows: &FusedRows,
        tolerance: Option<f64>,
        on_iteration: &mut (dyn FnMut(&chainrule_solve::Iterate, &Parameters) + Send),
    ) -> Result<Optimum> {
        let threads = NonZero::new(self.threads).context("at least one thread is needed")?;
        let (link, config) = (self.table.link().link(self.table.classes), self.config(tolerance)?);
        Ok(find_optimum(&link, &config, rows, threads, &mut |iterate, at| {
            on_iteration(iterate, at);
            ControlFlow::Continue(())
        })?)
    }

    fn model(&self, n_features: usize) -> FusedModel {
        let float = if self.is_f32() { Float::F32 } else { Float::F64 };
        FusedModel::new(self.table.link().link(self.table.classes), n_features, float, self.threads, Isa::best())
    }
}

/// Reads values of four bytes.
fn read(file: &mut impl Read, n: usize) -> Result<Vec<[u8; 4]>> {
    let mut bytes = vec![0; 4 * n];
    file.read_exact(&mut bytes)?;
    Ok(bytes.chunks_exact(4).map(|value| value.try_into().expect("four bytes")).collect())
}

/// Answers as this project's solver.
pub(crate) fn answer() -> Result<()> {
    let mut lines = std::io::stdin().lines();
    let job: Job = serde_json::from_str(&lines.next().context("the job is missing")??)?;
    let (rows, packing_seconds) = job.pack()?;
    let rows = FusedRows::from(rows);
    send(&Version { version: "chainrule".to_owned() })?;
    for _ in lines {
        reset_peak();
        let (before, mut iterates, start) = (peak_bytes(), Vec::<Iterate>::new(), Instant::now());
        let optimum = job.find_optimum(&rows, None, &mut |iterate, at| {
            let seconds = start.elapsed().as_secs_f64();
            let parameters: Vec<f64> = at.weight.iter().chain(&at.bias).copied().collect();
            // The iterates are kept for this measurement only.
            let kept = (iterates.len() * size_of_val(parameters.as_slice())) as u64;
            let (iterations, passes) = (Some(iterate.iteration), Some(iterate.gradients));
            let peak_bytes = Some(peak_bytes().saturating_sub(kept));
            iterates.push(Iterate { seconds, iterations, passes, peak_bytes, parameters });
        })?;
        let (seconds, peak_bytes) = (start.elapsed().as_secs_f64(), [before, peak_bytes()]);
        let proof = optimum.certificate.filter(Certificate::holds);
        let certified = proof.map(|proof| (seconds, proof.gradients));
        let pass_milliseconds = with_threads(job.threads, || pass_milliseconds(&job, &rows, &optimum.parameters))??;
        let path = job.follow_path(&rows)?;
        let ours = Some(OurDetails { certified, pass_milliseconds, packing_seconds, path });
        send(&Fit { iterates, peak_bytes, ours })?;
    }
    Ok(())
}

/// Measures one pass over all rows: J and its gradient.
fn pass_milliseconds(job: &Job, rows: &FusedRows, at: &Parameters) -> Result<f64> {
    let rows = rows.packed().context("the rows are not in memory")?;
    let mut model = job.model(rows.n_features());
    model.set(&at.weight, &at.bias);
    let pass = |_| {
        let start = Instant::now();
        std::hint::black_box(model.full_gradient(rows));
        1e3 * start.elapsed().as_secs_f64()
    };
    Ok(median((0..5).map(pass).collect()))
}

/// Computes J in f64, and whether it is near its minimum.
struct Evaluator {
    model: FusedModel,
    rows: FusedRows,
    threads: usize,
    /// The parameters with the minimum.
    at: Parameters,
    minimum: f64,
    /// The proven distance of `minimum` to the true one.
    bound: f64,
}

impl Evaluator {
    fn new(job: &Job) -> Result<Self> {
        let rows = FusedRows::from(job.pack()?.0);
        let optimum = job.find_optimum(&rows, Some(MINIMUM_BOUND), &mut |_, _| ())?;
        let proof = optimum.certificate.context("a certificate is missing")?;
        let mut evaluator = Self {
            model: job.model(rows.n_features()),
            rows,
            threads: job.threads,
            at: optimum.parameters,
            minimum: f64::INFINITY,
            bound: proof.bound,
        };
        let best: Vec<f64> = evaluator.at.weight.iter().chain(&evaluator.at.bias).copied().collect();
        evaluator.minimum = evaluator.objective(&best, job.table.k())?;
        Ok(evaluator)
    }

    fn objective(&mut self, parameters: &[f64], k: usize) -> Result<f64> {
        let rows = self.rows.packed().context("the rows are not in memory")?;
        let d = rows.n_features();
        ensure!(parameters.len() == (d + 1) * k, "{} parameters of {d} features and {k} columns", parameters.len());
        let (weight, bias) = parameters.split_at(d * k);
        self.model.set(weight, bias);
        let cross_entropy = with_threads(self.threads, || self.model.evaluate(rows))?.loss;
        Ok(cross_entropy + 0.5 * L2 * weight.iter().map(|w| w * w).sum::<f64>())
    }

    /// Returns the index of the first iterate that is near the minimum.
    fn first_near(&mut self, fit: &Fit, k: usize) -> Result<Option<usize>> {
        for (i, iterate) in fit.iterates.iter().enumerate() {
            if self.objective(&iterate.parameters, k)? <= self.minimum * (1.0 + NEAR) {
                return Ok(Some(i));
            }
        }
        Ok(None)
    }
}

/// A program of another project.
#[derive(Clone, Copy)]
enum Peer<'a> {
    /// A script of `bench/peers`.
    Script(&'static str),
    Package(&'a Package),
}

/// A program that is measured.
struct Competitor {
    job: Job,
    is_peer: bool,
    name: String,
    process: Process,
    /// The tolerance of a peer.
    tolerance: Option<f64>,
    /// The most memory that a fit took besides the rows, until it was near the minimum. The first
    /// fit counts, too, because later ones may use memory that it left.
    memory: u64,
    turns: Vec<NearFit>,
}

/// The first iterate of a fit that is near the minimum.
struct NearFit {
    seconds: f64,
    iterations: Option<usize>,
    passes: Option<usize>,
    ours: Option<OurDetails>,
}

impl Competitor {
    /// Starts the process, and waits until its rows are in memory.
    fn start(job: Job, peer: Option<Peer>) -> Result<Self> {
        let is_peer = peer.is_some();
        let command = match peer {
            Some(Peer::Script(name)) => script(name, job.threads),
            Some(Peer::Package(package)) => package.command(job.threads)?,
            None => {
                let mut command = machine::with_threads(std::env::current_exe()?.as_os_str(), job.threads);
                command.arg("--one-table");
                command
            }
        };
        let mut process = Process::start_job(command, &job)?;
        let name = format!("{}, {}", process.version()?, job.solver);
        Ok(Self { job, is_peer, name, process, tolerance: None, memory: 0, turns: Vec::new() })
    }

    /// Makes a first fit that does not count. For a peer, it determines the tolerance.
    fn prepare(&mut self, evaluator: &mut Evaluator) -> Result<()> {
        let tolerances = if self.is_peer { TOLERANCES.map(Some).to_vec() } else { vec![None] };
        for tolerance in tolerances {
            self.tolerance = tolerance;
            if self.turn(evaluator)?.is_some() {
                return Ok(());
            }
        }
        bail!(NOT_NEAR)
    }

    /// Makes a fit. Returns `None` if it does not get near the minimum.
    fn turn(&mut self, evaluator: &mut Evaluator) -> Result<Option<NearFit>> {
        let line = self.tolerance.map_or_else(|| "fit".to_owned(), |tolerance| tolerance.to_string());
        let fit: Fit = self.process.request_within(&line, MAX_FIT)?;
        let Some(near) = evaluator.first_near(&fit, self.job.table.k())? else { return Ok(None) };
        let Iterate { seconds, iterations, passes, peak_bytes, .. } = fit.iterates[near];
        self.memory = self.memory.max(peak_bytes.unwrap_or(fit.peak_bytes[1]).saturating_sub(fit.peak_bytes[0]));
        Ok(Some(NearFit { seconds, iterations, passes, ours: fit.ours }))
    }

    fn median_of(&self, value: impl Fn(&NearFit) -> f64) -> f64 {
        median(self.turns.iter().map(value).collect())
    }

    fn seconds(&self) -> f64 {
        self.median_of(|near| near.seconds)
    }
}

/// The measurements of a table.
struct Measured {
    table: Table,
    minimum: f64,
    bound: f64,
    competitors: Vec<Competitor>,
    /// Of a table of numbers.
    prediction: Option<PredictionTimes>,
}

/// Returns the peers that can fit this table: the name, the script of a peer that is one, and the
/// solver.
fn peers(table: &Table) -> Vec<(&'static str, Option<&'static str>, &'static str)> {
    let (is_dense, is_binary) = (table.is_dense(), table.classes == 2);
    let candidates = [
        ("scikit-learn", "lbfgs", true),
        ("scikit-learn", "newton-cg", true),
        ("scikit-learn", "newton-cholesky", is_dense),
        // LIBLINEAR, and only for two classes the same J.
        ("scikit-learn", "liblinear", is_binary),
        ("glum", "lbfgs", is_binary),
        // Its Hessian of many words does not fit into memory.
        ("glum", "irls-ls", is_binary && table.words == 0),
        ("linfa-logistic", "lbfgs", is_dense),
    ];
    let script = |name| match name {
        "scikit-learn" => Some("sklearn_table.py"),
        "glum" => Some("glum_table.py"),
        _ => None,
    };
    let fitting = candidates.into_iter().filter(|(.., fits)| *fits);
    fitting.map(|(name, solver, _)| (name, script(name), solver)).collect()
}

/// The measurements of all tables.
pub(crate) struct Measurements {
    /// The text for the page.
    pub(crate) text: String,
    pub(crate) growths: Vec<Growth>,
}

/// Measures all tables, with at most `max_rows` rows each, and how the time of a pass grows.
pub(crate) fn measure(max_rows: usize, rounds: usize, threads: &[usize], with_peers: bool) -> Result<Measurements> {
    let (mut skipped, mut all) = (Vec::new(), Vec::new());
    let linfa = Package::new("linfa");
    let linfa = with_peers.then_some(&linfa);
    let mut limits: Vec<Limit> = threads.iter().map(|&threads| Limit::measure(threads)).collect();
    for spec in &TABLES {
        let (folder, rows) = (tempfile::tempdir()?, spec.rows.min(max_rows));
        println!("making a table of {rows} rows: {}", spec.title);
        let table = spec.write(rows, folder.path())?;
        all.push(measure_table(table, folder.path(), rounds, threads, linfa, &mut skipped)?);
        for limit in &mut limits {
            *limit = limit.or_better(&Limit::measure(limit.threads));
        }
    }
    // scikit-learn brings real ones.
    for name in REAL_TABLES.into_iter().filter(|_| with_peers) {
        let folder = tempfile::tempdir()?;
        match real_table(name, folder.path()) {
            Ok(table) => all.push(measure_table(table, folder.path(), rounds, threads, linfa, &mut skipped)?),
            Err(problem) => Skipped::add(&mut skipped, name, &problem),
        }
    }
    let growths = table_growth::measure(threads)?;
    let mut text = String::new();
    machine_limits(&mut text, rounds, &limits)?;
    for measured in &all {
        section(&mut text, measured, &limits)?;
    }
    let cases = peer_cases(&all);
    if !cases.is_empty() {
        writeln!(text, "\n### Where another tool is faster on tables\n\n{}", list_faster(&cases, NOWHERE))?;
    }
    table_growth::section(&mut text, &growths);
    for Skipped { name, reason } in &skipped {
        writeln!(text, "\nSkipped: {name}: {reason}")?;
    }
    Ok(Measurements { text, growths })
}

/// Real tables that scikit-learn has.
const REAL_TABLES: [&str; 2] = ["digits", "breast cancer"];

/// Writes a real table into a folder, with the numbers standardised.
fn real_table(name: &str, folder: &Path) -> Result<Table> {
    let mut process = Process::start(script("sklearn_data.py", 1))?;
    process.request(&serde_json::to_string(&[name.to_owned(), folder.display().to_string()])?)
}

fn measure_table(
    table: Table,
    folder: &Path,
    rounds: usize,
    threads: &[usize],
    linfa: Option<&Package>,
    skipped: &mut Vec<Skipped>,
) -> Result<Measured> {
    let job = |solver: &str, precision: &str, threads| Job {
        folder: folder.display().to_string(),
        table: table.clone(),
        l2: L2,
        solver: solver.to_owned(),
        precision: precision.to_owned(),
        threads,
    };
    let mut evaluator = Evaluator::new(&job("lbfgs", "float64", threads.last().copied().unwrap_or(1)))?;
    let mut competitors = Vec::new();
    let precisions = ["float32", "float64"];
    for precision in precisions {
        for &threads in threads {
            competitors.push(Competitor::start(job("lbfgs", precision, threads), None)?);
        }
    }
    if let Some(linfa) = linfa {
        for (name, peer, solver) in peers(&table) {
            for precision in precisions {
                let peer = match peer {
                    Some(script) => Peer::Script(script),
                    None => Peer::Package(linfa),
                };
                match Competitor::start(job(solver, precision, 1), Some(peer)) {
                    Ok(competitor) => competitors.push(competitor),
                    Err(problem) => Skipped::add(skipped, name, &problem),
                }
            }
        }
    }
    let mut prepared = Vec::new();
    for mut competitor in competitors {
        println!("{}, {}: a first fit", competitor.name, competitor.job.precision);
        match competitor.prepare(&mut evaluator) {
            Ok(()) => prepared.push(competitor),
            Err(problem) if competitor.is_peer => Skipped::add(skipped, &competitor.name, &problem),
            Err(problem) => return Err(problem),
        }
    }
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        for competitor in &mut prepared {
            let near = competitor.turn(&mut evaluator).and_then(|near| near.context(NOT_NEAR));
            competitor.turns.push(near.with_context(|| competitor.name.clone())?);
        }
    }
    let job = job("lbfgs", "float32", 1);
    let prediction = table.is_dense().then(|| measure_prediction(&job, &evaluator.at, rounds)).transpose()?;
    Ok(Measured { table, minimum: evaluator.minimum, bound: evaluator.bound, competitors: prepared, prediction })
}

/// Measures predictions of a table of numbers.
fn measure_prediction(job: &Job, at: &Parameters, rounds: usize) -> Result<PredictionTimes> {
    println!("predictions");
    let predictor = Predictor::new(job.table.link(), at.clone(), Preprocessing::Raw).map_err(anyhow::Error::msg)?;
    let mut model = job.model(at.n_features);
    model.set(&at.weight, &at.bias);
    let mut file = BufReader::new(File::open(Path::new(&job.folder).join("numbers"))?);
    let numbers =
        read(&mut file, job.table.rows * job.table.numbers)?.into_iter().map(|bytes| f32::from_le_bytes(bytes).into());
    prediction::measure(rounds, &mut model, &job.pack()?.0, &predictor, &numbers.collect::<Vec<f64>>())
}

fn machine_limits(out: &mut String, rounds: usize, limits: &[Limit]) -> Result<()> {
    if let Some(name) = processor() {
        writeln!(out, "Processor: {name}.")?;
    }
    writeln!(
        out,
        "Vector instructions: {}.\nTimes are medians of {rounds} rounds ± median absolute deviations.\n\n\
         | threads | multiply-adds per second (f32) | bytes read per second |\n| --- | --- | --- |",
        Isa::best()
    )?;
    for limit in limits {
        let (operations, bytes) = (limit.multiply_adds_per_second / 1e9, limit.bytes_per_second / 1e9);
        writeln!(out, "| {} | {operations:.0} · 10⁹ | {bytes:.1} · 10⁹ |", limit.threads)?;
    }
    Ok(())
}

/// Writes the tables of a measured table.
fn section(out: &mut String, measured: &Measured, limits: &[Limit]) -> Result<()> {
    let Measured { table, minimum, bound, competitors, prediction } = measured;
    writeln!(
        out,
        "\n### {} rows: {}\n\n\
         {:.1} MB.\nThe minimum of J is {minimum:.7}, at most {bound:.0e} too high.\n\n\
         | | type | threads | seconds | as fast as scikit-learn's best | tolerance | iterations | passes | memory besides the rows, of the rows |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        table.rows,
        table.title,
        table.bytes() / 1e6
    )?;
    let peers = competitors.iter().filter(|competitor| competitor.name.starts_with("scikit-learn"));
    let best_peer = peers.map(Competitor::seconds).min_by(f64::total_cmp);
    for competitor in competitors {
        let near = competitor.turns.last().context("there are no rounds")?;
        let (seconds, spread) =
            median_and_spread(&competitor.turns.iter().map(|near| near.seconds).collect::<Vec<_>>());
        let ratio = best_peer.map(|best| format!("{:.2} x", best / seconds)).unwrap_or_default();
        writeln!(
            out,
            "| {}{} | {} | {} | {} ± {} | {ratio} | {} | {} | {} | {:.2} |",
            competitor.name,
            if competitor.is_peer { " (peer)" } else { "" },
            type_name(&competitor.job),
            competitor.job.threads,
            three_digits(seconds),
            three_digits(spread),
            competitor.tolerance.map(|tolerance| tolerance.to_string()).unwrap_or_default(),
            near.iterations.map_or_else(String::new, |iterations| iterations.to_string()),
            near.passes.map(|passes| passes.to_string()).unwrap_or_default(),
            competitor.memory as f64 / table.bytes(),
        )?;
    }
    writeln!(
        out,
        "\n| type | threads | ms per pass | minimum for the bytes | minimum for the operations (f32) | limit / time | until the certificate | passes until then | packing before the fit | a path of {PATH} penalties | its passes |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )?;
    for competitor in competitors.iter().filter(|competitor| !competitor.is_peer) {
        let job = &competitor.job;
        let Some(limit) = limits.iter().find(|limit| limit.threads == job.threads) else { continue };
        let bytes = 1e3 * table.bytes() / limit.bytes_per_second;
        let operations = 1e3 * table.multiply_adds() / limit.multiply_adds_per_second;
        let value =
            |value: fn(&OurDetails) -> f64| competitor.median_of(|near| near.ours.as_ref().map_or(f64::NAN, value));
        let pass = value(|ours| ours.pass_milliseconds);
        let certified = value(|ours| ours.certified.map_or(f64::NAN, |certified| certified.0));
        let passes = value(|ours| ours.certified.map_or(f64::NAN, |certified| certified.1 as f64));
        // The peak of the operations was measured in f32.
        let fraction = if job.is_f32() { format!("{:.2}", bytes.max(operations) / pass) } else { String::new() };
        let (until, passes) = if certified.is_nan() {
            ("not reached".to_owned(), String::new())
        } else {
            (format!("{certified:.3} s"), passes.to_string())
        };
        writeln!(
            out,
            "| {} | {} | {pass:.2} | {bytes:.2} | {operations:.2} | {fraction} | {until} | {passes} | {:.3} s | {:.3} s | {} |",
            type_name(job),
            job.threads,
            value(|ours| ours.packing_seconds),
            value(|ours| ours.path.0),
            value(|ours| ours.path.1 as f64),
        )?;
    }
    prediction.iter().try_for_each(|times| times.write(out))
}

/// Formats seconds with three digits, of which at least three are decimals.
fn three_digits(seconds: f64) -> String {
    let decimals = if seconds > 0.0 { (2.0 - seconds.log10().floor()).clamp(3.0, 6.0) as usize } else { 3 };
    format!("{seconds:.decimals$}")
}

fn type_name(job: &Job) -> &'static str {
    if job.is_f32() { "f32" } else { "f64" }
}

const NOWHERE: &str =
    "Nowhere on these tables: chainrule is at least as fast as every peer above on the same number of threads.";

/// Returns how many times slower each peer is than this project's solver on the same number of
/// threads, in its faster type.
fn peer_cases(all: &[Measured]) -> Vec<(String, f64)> {
    let mut cases = Vec::new();
    for Measured { table, competitors, .. } in all {
        for peer in competitors.iter().filter(|competitor| competitor.is_peer) {
            let ours = competitors.iter().filter(|ours| !ours.is_peer && ours.job.threads == peer.job.threads);
            let ours = ours.map(Competitor::seconds).fold(f64::INFINITY, f64::min);
            let case = format!("{}: {} in {}", table.title, peer.name, type_name(&peer.job));
            cases.push((case, peer.seconds() / ours));
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objective_of_packed_rows_is_that_of_plain_loops() {
        for spec in &TABLES {
            let (folder, n) = (tempfile::tempdir().expect("a temporary folder"), 1500);
            let table = spec.make(n);
            let job = Job {
                folder: folder.path().display().to_string(),
                table: spec.write(n, folder.path()).expect("it can be written"),
                l2: L2,
                solver: "lbfgs".to_owned(),
                precision: "float64".to_owned(),
                threads: 1,
            };
            let mut evaluator = Evaluator::new(&job).expect("the minimum is found");
            let (d, k, categories) = (spec.numbers, spec.columns(), spec.levels.len());
            let first_word = d + spec.levels.iter().sum::<usize>();
            let n_features = first_word + spec.words;
            let parameters: Vec<f64> = (0..(n_features + 1) * k).map(|i| ((i * 37 % 19) as f64 - 9.0) / 30.0).collect();
            let weight = |feature: usize, class: usize| parameters[feature * k + class];
            let mut loss = 0.0;
            for row in 0..n {
                let mut logits: Vec<f64> = (0..k).map(|class| weight(n_features, class)).collect();
                for (class, z) in logits.iter_mut().enumerate() {
                    *z += (0..d).map(|j| f64::from(table.numbers[row * d + j]) * weight(j, class)).sum::<f64>();
                    let mut first = d;
                    for (j, levels) in spec.levels.iter().enumerate() {
                        *z += weight(first + table.codes[row * categories + j] as usize, class);
                        first += levels;
                    }
                    *z +=
                        table.words_of(row).iter().map(|&word| weight(first_word + word as usize, class)).sum::<f64>();
                }
                let label = table.labels[row] as usize;
                // Logistic regression is softmax regression with a logit of 0 for class 0.
                let logits = if k == 1 { vec![0.0, logits[0]] } else { logits };
                loss += logits.iter().map(|z| z.exp()).sum::<f64>().ln() - logits[label];
            }
            let squares: f64 = parameters[..n_features * k].iter().map(|w| w * w).sum();
            let expected = loss / n as f64 + 0.5 * L2 * squares;
            let found = evaluator.objective(&parameters, k).expect("the parameters fit");
            assert!((found - expected).abs() < 1e-9 * expected, "{}: {found}, not {expected}", spec.title);
            assert!(
                evaluator.bound <= MINIMUM_BOUND && evaluator.minimum < expected,
                "{} {}",
                evaluator.bound,
                evaluator.minimum
            );
        }
    }
}
