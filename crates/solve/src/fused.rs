//! Steps and evaluations by the kernels, on the bytes of the rows.

use std::ops::Range;
use std::sync::Arc;

use chainrule_core::{Gradient, Link, Parameters, Precision, Step, TrainConfig};
use chainrule_data::{Ahead, DataError, Order};
use chainrule_kernels::{Float, Fused, Isa, Rows};

use crate::engine::{Engine, Evaluated, Failure};
use crate::{Metrics, Stream};

/// Where the kernels take rows from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// All of them in memory.
    Resident(&'a Rows),
    /// A chunk at a time.
    Streamed(&'a Stream),
}

impl Source<'_> {
    fn len(self) -> usize {
        match self {
            Source::Resident(rows) => rows.len(),
            Source::Streamed(stream) => stream.len(),
        }
    }

    /// Features of a row, d.
    pub fn n_features(self) -> usize {
        match self {
            Source::Resident(rows) => rows.n_features(),
            Source::Streamed(stream) => stream.n_features(),
        }
    }
}

/// Parameters on their way down.
pub(crate) struct Kernels<'a> {
    fused: Fused,
    /// The same model in f64, once it is asked for, where `fused` is in f32.
    in_f64: Option<Fused>,
    link: Arc<dyn Link>,
    precision: Precision,
    step: Step,
    train: Source<'a>,
    validation: Source<'a>,
    threads: usize,
    /// The epoch's steps to come, where the rows do not lie in memory.
    batches: Option<Batches>,
    losses: Vec<f64>,
}

impl<'a> Kernels<'a> {
    pub(crate) fn new(
        link: Arc<dyn Link>,
        train: Source<'a>,
        validation: Source<'a>,
        config: &TrainConfig,
        threads: usize,
    ) -> Self {
        let float = match config.descent().precision {
            Precision::F32 => Float::F32,
            Precision::F64 => Float::F64,
        };
        Self {
            fused: Fused::new(Arc::clone(&link), train.n_features(), float, threads, Isa::best()),
            in_f64: None,
            link,
            precision: config.descent().precision,
            step: Step {
                learning_rate: config.descent().learning_rate,
                l2: config.objective().l2,
                penalize_bias: config.objective().penalize_bias,
            },
            train,
            validation,
            threads,
            batches: None,
            losses: Vec::new(),
        }
    }

    fn metrics_on(&mut self, source: Source<'_>) -> Result<Metrics, DataError> {
        let n = source.len() as f64;
        let (mut loss, mut right) = (0.0, 0);
        on_all(&mut self.fused, source, self.threads, |fused, rows| {
            let found = fused.evaluate(rows);
            // A single chunk's loss is the whole, unrounded.
            loss += found.loss * (rows.len() as f64 / n);
            right += found.right;
        })?;
        Ok(Metrics { loss, accuracy: right as f64 / n })
    }

    fn accuracy_on(&mut self, source: Source<'_>) -> Result<f64, DataError> {
        let mut right = 0;
        on_all(&mut self.fused, source, self.threads, |fused, rows| right += fused.right(rows))?;
        Ok(right as f64 / source.len() as f64)
    }
}

/// All rows in their order, at once or a chunk at a time.
fn on_all(
    fused: &mut Fused,
    source: Source<'_>,
    threads: usize,
    mut f: impl FnMut(&mut Fused, &Rows),
) -> Result<(), DataError> {
    match source {
        Source::Resident(rows) => f(fused, rows),
        Source::Streamed(stream) => {
            let n = stream.len();
            for chunk in stream.chunks(&Arc::new(Order::of_file(n)), 0..n, stream.units_a_chunk(1), threads)? {
                f(fused, &chunk?);
            }
        }
    }
    Ok(())
}

/// The gradient of all rows.
fn gradient(fused: &mut Fused, source: Source<'_>, threads: usize) -> Result<Gradient, DataError> {
    let n = source.len() as f64;
    let mut mean: Option<Gradient> = None;
    on_all(fused, source, threads, |fused, rows| {
        let found = fused.gradient_of_all(rows);
        let Some(mean) = &mut mean else {
            mean = Some(found.times(rows.len() as f64 / n));
            return;
        };
        mean.add_times(&found, rows.len() as f64 / n);
    })?;
    Ok(mean.expect("a row at least"))
}

impl Engine for Kernels<'_> {
    fn link(&self) -> &dyn Link {
        &*self.link
    }

    fn rows(&self) -> usize {
        self.train.len()
    }

    fn begin_epoch(&mut self, order: &Arc<Order>, places: Range<usize>, batch_size: usize) -> Result<(), Failure> {
        // What was read ahead for an epoch that is over goes first.
        self.batches = None;
        if let Source::Streamed(stream) = self.train {
            self.batches = Some(Batches::new(stream, order, places, batch_size, self.threads)?);
        }
        Ok(())
    }

    fn step(&mut self, batch: &[usize], learning_rate: f64) -> Result<(), Failure> {
        self.step.learning_rate = learning_rate;
        let loss = match (self.train, &mut self.batches) {
            (Source::Resident(rows), _) => self.fused.step(rows, batch, self.step),
            (Source::Streamed(_), Some(batches)) => {
                let (rows, batch) = batches.next()?;
                self.fused.step(rows, batch, self.step)
            }
            (Source::Streamed(_), None) => unreachable!("an epoch begins before its first step"),
        };
        self.losses.push(loss);
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<f64>, Failure> {
        Ok(std::mem::take(&mut self.losses))
    }

    fn gradient_of_all(&mut self) -> Result<Gradient, Failure> {
        Ok(gradient(&mut self.fused, self.train, self.threads)?)
    }

    fn gradient_in_f64(&mut self, parameters: &Parameters) -> Option<Result<Gradient, Failure>> {
        if self.precision == Precision::F64 {
            return None;
        }
        let (link, d, threads) = (&self.link, self.train.n_features(), self.threads);
        let fused =
            self.in_f64.get_or_insert_with(|| Fused::new(Arc::clone(link), d, Float::F64, threads, Isa::best()));
        fused.set(&parameters.weight, &parameters.bias);
        Some(gradient(fused, self.train, threads).map_err(Failure::from))
    }

    fn evaluate(&mut self) -> Result<Evaluated, Failure> {
        Ok(Evaluated {
            validation: self.metrics_on(self.validation)?,
            train_accuracy: self.accuracy_on(self.train)?,
            parameters: self.parameters()?,
        })
    }

    fn metrics(&mut self) -> Result<[Metrics; 2], Failure> {
        // Nothing more is stepped on.
        self.batches = None;
        Ok([self.metrics_on(self.train)?, self.metrics_on(self.validation)?])
    }

    fn parameters(&mut self) -> Result<Parameters, Failure> {
        let (weight, bias) = self.fused.parameters();
        Ok(Parameters { n_features: self.train.n_features(), columns: bias.len(), weight, bias })
    }

    fn set(&mut self, parameters: &Parameters) {
        self.fused.set(&parameters.weight, &parameters.bias);
    }
}

/// An epoch's batches, several a chunk.
struct Batches {
    chunks: Ahead<Result<Rows, DataError>>,
    current: Option<Rows>,
    /// The next batch's rows of the current chunk.
    next: Range<usize>,
    /// `0..`, of which each batch is a part.
    places: Vec<usize>,
    batch_size: usize,
}

impl Batches {
    fn new(
        stream: &Stream,
        order: &Arc<Order>,
        places: Range<usize>,
        batch_size: usize,
        threads: usize,
    ) -> Result<Self, DataError> {
        let batches_a_chunk = stream.units_a_chunk(batch_size).min(places.len().div_ceil(batch_size));
        let rows_a_chunk = batches_a_chunk * batch_size;
        Ok(Self {
            chunks: stream.chunks(order, places, rows_a_chunk, threads)?,
            current: None,
            next: 0..0,
            places: (0..rows_a_chunk.min(order.len())).collect(),
            batch_size,
        })
    }

    /// The rows of a chunk, and those of them that are the next batch.
    fn next(&mut self) -> Result<(&Rows, &[usize]), DataError> {
        if self.current.as_ref().is_none_or(|rows| self.next.end >= rows.len()) {
            self.current = None;
            self.current = Some(self.chunks.next().expect("as many batches as the epoch has")?);
            self.next = 0..0;
        }
        let rows = self.current.as_ref().expect("taken just now");
        self.next = self.next.end..rows.len().min(self.next.end + self.batch_size);
        Ok((rows, &self.places[self.next.clone()]))
    }
}
