use burn::tensor::{Device, FloatDType};
use chainrule_core::{GradientSource, ModelKind, Precision, Preprocessing, TrainConfig};
use chainrule_data::Split;
use chainrule_models::{LogisticRegressionConfig, SoftmaxRegressionConfig, to_precision};
use chainrule_solve::{Chosen, Observer, TrainError, Trained};

use crate::{Examples, Expansion, train_by_tensors, train_on_device};

/// Training and validation rows, in the form that a device computes a config's gradients from.
pub enum Prepared {
    /// Resident on it.
    Tensors(Box<[Examples; 2]>, Device),
    /// As they cross to a device that has fused kernels of its own.
    Images(Box<[Split; 2]>, Device),
}

impl Prepared {
    /// Rows as bytes where the gradient is fused, else as tensors on the device.
    ///
    /// # Panics
    /// Where the rows stay in their file, and where the gradient is fused and the rows are not
    /// bytes that become -1 to 1.
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
            Chosen::InFile(_) => panic!("what goes to a device is in memory"),
            rows => Examples::of_features(rows, preprocessing, precision, device),
        };
        Self::Tensors(Box::new(rows.map(examples)), device.clone())
    }

    /// Features of a row, d.
    pub fn n_features(&self) -> usize {
        match self {
            Self::Tensors(examples, _) => examples[0].n_features(),
            Self::Images(splits, _) => splits[0].n_features(),
        }
    }

    /// Trains on them from parameters that are 0, by [`train_by_tensors`] or by
    /// [`train_on_device`]. The model has so many columns of weights: 1, or
    /// one a class.
    ///
    /// # Errors
    /// As these.
    pub fn train(
        &self,
        columns: usize,
        config: &TrainConfig,
        observer: &mut dyn Observer,
    ) -> Result<Trained, TrainError> {
        let (d, float) = (self.n_features(), float_type(config.descent().precision));
        match self {
            Self::Images(splits, device) => train_on_device(columns, splits, config, device, observer),
            Self::Tensors(rows, device) => match config.model().kind {
                ModelKind::Logistic => {
                    let model = to_precision(LogisticRegressionConfig::new(d).init(device), float);
                    train_by_tensors(model, &rows[0], &rows[1], config, observer)
                }
                ModelKind::Softmax => {
                    let model = to_precision(SoftmaxRegressionConfig::new(d, columns).init(device), float);
                    train_by_tensors(model, &rows[0], &rows[1], config, observer)
                }
            },
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
