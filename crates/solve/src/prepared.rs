use std::num::NonZero;
use std::sync::Arc;

use chainrule_core::{GradientSource, Link, Preprocessing, TrainConfig};

use crate::{Bytes, Chosen, Dense, Observer, Stream, TrainError, Trained, fused_rows, train_dense, train_streamed};

/// Training and validation rows as this processor computes with them, without Burn.
pub enum Prepared {
    /// As the fused kernels read them.
    Bytes(Box<[Bytes; 2]>),
    /// As features.
    Dense(Box<[Dense; 2]>),
}

impl Prepared {
    /// Rows as bytes where the gradient is fused, else as features.
    ///
    /// # Panics
    /// Where rows that become features stay in their file, and where the gradient is fused and the
    /// rows are not bytes that become -1 to 1.
    pub fn new(rows: [Chosen; 2], preprocessing: &Preprocessing, config: &TrainConfig) -> Self {
        if config.descent().gradient != GradientSource::Fused {
            let precision = config.descent().precision;
            return Self::Dense(Box::new(rows.map(|rows| Dense::new(rows, preprocessing, precision))));
        }
        assert!(*preprocessing == Preprocessing::Pixels, "the fused kernels read bytes with one scale");
        Self::Bytes(Box::new(rows.map(|rows| match rows {
            Chosen::Resident(split) => Bytes::Resident(fused_rows(&split)),
            Chosen::InFile(selection) => Bytes::InFile(Stream::new(selection)),
            Chosen::Numbers(_) => panic!("the fused kernels read bytes"),
        })))
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        match self {
            Self::Bytes(rows) => rows[0].source().n_features(),
            Self::Dense(rows) => rows[0].n_features(),
        }
    }

    /// Trains on them from parameters that are 0: by [`train_streamed`], whose threads these are,
    /// or by [`train_dense`].
    ///
    /// # Errors
    /// As these.
    pub fn train(
        &self,
        link: &Arc<dyn Link>,
        config: &TrainConfig,
        threads: NonZero<usize>,
        observer: &mut dyn Observer,
    ) -> Result<Trained, TrainError> {
        match self {
            Self::Bytes(rows) => train_streamed(link, rows[0].source(), rows[1].source(), config, threads, observer),
            Self::Dense(rows) => train_dense(link, &rows[0], &rows[1], config, observer),
        }
    }
}
