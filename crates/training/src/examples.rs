use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use chainrule_data::Split;
use chainrule_records::{DataConfig, ModelKind, Precision};

/// Rows with their labels, resident on a device.
#[derive(Clone, Debug)]
pub struct Examples {
    /// `[n, d]`, preprocessed.
    pub features: Tensor<2>,
    /// `[n]`, each the position of the row's class.
    pub labels: Tensor<1, Int>,
}

impl Examples {
    /// Moves a split to a device.
    pub fn new(split: &Split, precision: Precision, device: &Device) -> Self {
        let shape = [split.len(), split.n_features];
        // The pixels are expanded here rather than on the device: not every backend has bytes.
        let features = match precision {
            Precision::F32 => {
                Tensor::from_data(TensorData::new(split.features(|x| x as f32), shape), (device, DType::F32))
            }
            Precision::F64 => Tensor::from_data(TensorData::new(split.features(|x| x), shape), (device, DType::F64)),
        };
        let labels: Vec<i32> = split.labels.iter().copied().map(i32::from).collect();
        let labels = Tensor::from_data(TensorData::new(labels, [split.len()]), device);
        Self { features, labels }
    }

    /// Number of rows, n.
    pub fn len(&self) -> usize {
        self.labels.dims()[0]
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of features, d.
    pub fn n_features(&self) -> usize {
        self.features.dims()[1]
    }

    /// The rows of a batch, in that order.
    pub(crate) fn batch(&self, rows: &[usize]) -> Examples {
        // Rows that follow each other, as they do without shuffling, are a view on most backends.
        let follow_each_other = rows.windows(2).all(|pair| pair[1] == pair[0] + 1);
        if let (true, Some(&first)) = (follow_each_other, rows.first()) {
            return Examples {
                features: self.features.clone().narrow(0, first, rows.len()),
                labels: self.labels.clone().narrow(0, first, rows.len()),
            };
        }
        let indices: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        let rows = Tensor::from_data(TensorData::new(indices, [rows.len()]), &self.labels.device());
        Examples {
            features: self.features.clone().select(0, rows.clone()),
            labels: self.labels.clone().select(0, rows),
        }
    }
}

/// The classes in the order of their labels, 0 first: as the config lists them, but for the logistic model, where the first
/// is the positive one and so has the label 1.
pub fn label_order(kind: ModelKind, data: &DataConfig) -> Option<Vec<u8>> {
    let mut classes = data.classes.clone()?;
    if kind == ModelKind::Logistic {
        classes.reverse();
    }
    Some(classes)
}
