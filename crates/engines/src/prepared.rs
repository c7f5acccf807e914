use std::num::NonZero;

use burn::tensor::{Device, FloatDType};
use chainrule_data::Split;
use chainrule_models::Classifier;
use chainrule_records::{GradientSource, Precision, Preprocessing, TrainConfig};
use chainrule_solve::{Bytes, Chosen, Observer, Stream, TrainError, Trained, fused_rows, train_streamed};

use crate::{Examples, Expansion, train_by_tensors, train_on_device};

/// Training and validation rows, in the form that a config's gradients are computed from.
pub enum Prepared {
    /// Resident on a device.
    Tensors(Box<[Examples; 2]>),
    /// As the fused kernels read them.
    Bytes(Box<[Bytes; 2]>),
    /// As they cross to a device that has fused kernels of its own.
    Images(Box<[Split; 2]>, Device),
}

impl Prepared {
    /// Rows as bytes where the gradient is fused, else as tensors on the device. A device that expands bytes itself has fused kernels itself.
    ///
    /// # Panics
    /// Where rows that go to a device stay in their file, and where the gradient is fused and the rows are not bytes that become -1 to 1.
    pub fn new(
        rows: [Chosen; 2],
        preprocessing: &Preprocessing,
        config: &TrainConfig,
        device: &Device,
        expansion: Expansion,
    ) -> Self {
        let is_fused = config.descent().gradient == GradientSource::Fused;
        let are_pixels = *preprocessing == Preprocessing::Pixels;
        assert!(are_pixels || !is_fused, "the fused kernels read bytes with one scale");
        if is_fused && expansion == Expansion::Host {
            return Self::Bytes(Box::new(rows.map(|rows| match rows {
                Chosen::Resident(split) => Bytes::Resident(fused_rows(&split)),
                Chosen::InFile(selection) => Bytes::InFile(Stream::new(selection)),
                Chosen::Numbers(_) => panic!("the fused kernels read bytes"),
            })));
        }
        if is_fused {
            let splits = rows.map(|rows| match rows {
                Chosen::Resident(split) => split,
                Chosen::InFile(_) | Chosen::Numbers(_) => panic!("what goes to a device's kernels is bytes in memory"),
            });
            return Self::Images(Box::new(splits), device.clone());
        }
        let precision = config.descent().precision;
        let examples = |rows| match rows {
            Chosen::Resident(split) if are_pixels => Examples::new(&split, precision, device, expansion),
            Chosen::Resident(split) => {
                let (d, raw) = (split.n_features(), split.pixels.into_iter().map(f64::from));
                Examples::of_features(features(raw, d, preprocessing), d, &split.labels, precision, device)
            }
            Chosen::Numbers(rows) => {
                // Block by block they become features and are freed.
                let (d, raw) = (rows.n_features, rows.values.into_iter());
                Examples::of_features(features(raw, d, preprocessing), d, &rows.labels, precision, device)
            }
            Chosen::InFile(_) => panic!("what goes to a device is in memory"),
        };
        Self::Tensors(Box::new(rows.map(examples)))
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        match self {
            Self::Tensors(examples) => examples[0].n_features(),
            Self::Bytes(rows) => rows[0].source().n_features(),
            Self::Images(splits, _) => splits[0].n_features(),
        }
    }

    /// Trains on them: by [`train_by_tensors`], by [`train_streamed`], whose threads these are, or by [`train_on_device`].
    /// From where it starts, only tensors ask the model; the others from 0.
    ///
    /// # Errors
    /// As these.
    pub fn train<M: Classifier>(
        &self,
        model: M,
        config: &TrainConfig,
        threads: NonZero<usize>,
        observer: &mut dyn Observer,
    ) -> Result<Trained, TrainError> {
        let [_, columns] = model.linear().weight.dims();
        match self {
            Self::Tensors(rows) => train_by_tensors(model, &rows[0], &rows[1], config, observer),
            Self::Bytes(rows) => train_streamed(columns, rows[0].source(), rows[1].source(), config, threads, observer),
            Self::Images(splits, device) => train_on_device(columns, splits, config, device, observer),
        }
    }
}

/// What rows of d numbers become, row by row.
fn features(raw: impl Iterator<Item = f64>, d: usize, preprocessing: &Preprocessing) -> impl Iterator<Item = f64> {
    raw.zip((0..d).cycle()).map(move |(raw, j)| preprocessing.value(j, raw))
}

/// Burn's name of a float type.
pub fn float_type(precision: Precision) -> FloatDType {
    match precision {
        Precision::F32 => FloatDType::F32,
        Precision::F64 => FloatDType::F64,
    }
}
