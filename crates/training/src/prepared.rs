use std::num::NonZero;

use burn::tensor::{Device, FloatDType};
use chainrule_data::{DataError, Selection, Split};
use chainrule_kernels::Rows;
use chainrule_models::Classifier;
use chainrule_records::{GradientSource, Precision, TrainConfig};

use crate::fused::Source;
use crate::{
    Examples, Expansion, Observer, Stream, TrainError, Trained, fused_rows, train, train_on_device, train_streamed,
};

/// Chosen rows: in memory, or where they are.
pub enum Chosen {
    /// Their bytes.
    Resident(Split),
    /// Rows that stay in their file.
    InFile(Selection),
}

impl Chosen {
    /// In memory, unless the rows stay in a file and are more than so many bytes.
    ///
    /// # Errors
    /// Where the file cannot be read any more.
    pub fn new(selection: Selection, resident_bytes: u64) -> Result<Self, DataError> {
        if selection.file().is_some() && selection.bytes() > resident_bytes {
            return Ok(Self::InFile(selection));
        }
        Ok(Self::Resident(selection.read()?))
    }

    /// Each row's class.
    pub fn labels(&self) -> Vec<u8> {
        match self {
            Self::Resident(split) => split.labels.clone(),
            Self::InFile(selection) => (0..selection.len()).map(|row| selection.label(row)).collect(),
        }
    }
}

/// Training and validation rows, in the form that a config's gradients are computed from.
pub enum Prepared {
    /// Resident on a device.
    Tensors(Box<[Examples; 2]>),
    /// As the fused kernels read them.
    Bytes(Box<[Bytes; 2]>),
    /// As they cross to a device that has fused kernels of its own.
    Images(Box<[Split; 2]>, Device),
}

/// Rows as the fused kernels read them.
pub enum Bytes {
    /// All of them in memory.
    Resident(Rows),
    /// A chunk at a time.
    InFile(Stream),
}

impl Bytes {
    fn source(&self) -> Source<'_> {
        match self {
            Self::Resident(rows) => Source::Resident(rows),
            Self::InFile(stream) => Source::Streamed(stream),
        }
    }
}

impl Prepared {
    /// Rows as bytes where the gradient is fused, else as tensors on the device. A device that expands bytes itself has fused kernels itself.
    ///
    /// # Panics
    /// Where rows that go to a device stay in their file.
    pub fn new(rows: [Chosen; 2], config: &TrainConfig, device: &Device, expansion: Expansion) -> Self {
        let is_fused = config.descent().gradient == GradientSource::Fused;
        if is_fused && expansion == Expansion::Host {
            return Self::Bytes(Box::new(rows.map(|rows| match rows {
                Chosen::Resident(split) => Bytes::Resident(fused_rows(&split)),
                Chosen::InFile(selection) => Bytes::InFile(Stream::new(selection)),
            })));
        }
        let splits = rows.map(|rows| match rows {
            Chosen::Resident(split) => split,
            Chosen::InFile(_) => panic!("what goes to a device is in memory"),
        });
        if is_fused {
            return Self::Images(Box::new(splits), device.clone());
        }
        let examples = |split| Examples::new(split, config.descent().precision, device, expansion);
        Self::Tensors(Box::new(splits.each_ref().map(examples)))
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        match self {
            Self::Tensors(examples) => examples[0].n_features(),
            Self::Bytes(rows) => rows[0].source().n_features(),
            Self::Images(splits, _) => splits[0].n_features(),
        }
    }

    /// Trains on them: see [`train()`], [`train_streamed()`], whose threads these are, and [`train_on_device()`].
    ///
    /// # Errors
    /// As these.
    pub fn train<M: Classifier>(
        &self,
        model: M,
        config: &TrainConfig,
        threads: NonZero<usize>,
        observer: &mut dyn Observer,
    ) -> Result<Trained<M>, TrainError> {
        match self {
            Self::Tensors(rows) => train(model, &rows[0], &rows[1], config, observer),
            Self::Bytes(rows) => train_streamed(model, rows[0].source(), rows[1].source(), config, threads, observer),
            Self::Images(splits, device) => train_on_device(model, splits, config, device, observer),
        }
    }
}

/// Burn's name of a float type.
pub fn float_type(precision: Precision) -> FloatDType {
    match precision {
        Precision::F32 => FloatDType::F32,
        Precision::F64 => FloatDType::F64,
    }
}
