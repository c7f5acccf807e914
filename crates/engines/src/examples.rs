use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use chainrule_core::{Features, Precision, Preprocessing};
use chainrule_data::{DataError, RowBuffer, Rows, pixel_value};

/// Rows with their labels on a device.
#[derive(Clone, Debug)]
pub struct Examples {
    /// Preprocessed features, `[n, d]`.
    pub features: Tensor<2>,
    /// Class indices, `[n]`.
    pub labels: Tensor<1, Int>,
    /// The weights of the rows, `[n]`, with a mean of 1. `None` if all are equal.
    pub weights: Option<Tensor<1>>,
}

/// The place where bytes are converted to features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expansion {
    /// On the host. The features are copied to the device.
    Host,
    /// On the device. The bytes are copied to it; they have a quarter or an eighth of the size of
    /// features. This is faster if the device has its own memory.
    Device,
}

impl Examples {
    /// Copies rows to a device. The features are the same for both expansions. Only pixels in bytes
    /// can be expanded on the device; other rows are expanded on the host.
    ///
    /// # Errors
    /// If the rows are in a file that can no longer be read, or if all have the weight 0.
    pub fn new(
        rows: Rows,
        preprocessing: &Preprocessing,
        precision: Precision,
        device: &Device,
        expansion: Expansion,
    ) -> Result<Self, DataError> {
        let (shape, labels) = ([rows.len(), rows.n_features()], label_tensor(&rows.labels(), device));
        let dtype = match precision {
            Precision::F32 => DType::F32,
            Precision::F64 => DType::F64,
        };
        if (expansion, preprocessing) == (Expansion::Device, &Preprocessing::Pixels)
            && let Features::Bytes(pixels) = rows.chunk(0..rows.len(), &mut RowBuffer::default())?
        {
            return Ok(Self { features: expand(pixels, device, dtype).reshape(shape), labels, weights: None });
        }
        let weights = rows.weights()?.map(|weights| {
            let weights: Vec<f64> = weights.iter().collect();
            Tensor::from_data(TensorData::new(weights, [shape[0]]), (device, dtype))
        });
        let data = match precision {
            Precision::F32 => TensorData::new(rows.into_features(preprocessing, |x| x as f32)?, shape),
            Precision::F64 => TensorData::new(rows.into_features(preprocessing, |x| x)?, shape),
        };
        Ok(Self { features: Tensor::from_data(data, (device, dtype)), labels, weights })
    }

    /// The number of rows, n.
    pub fn len(&self) -> usize {
        self.labels.dims()[0]
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of features, d.
    pub fn n_features(&self) -> usize {
        self.features.dims()[1]
    }

    /// Returns `n` consecutive rows. On most backends this is a view.
    pub(crate) fn slice(&self, first: usize, n: usize) -> Examples {
        Examples {
            features: self.features.clone().narrow(0, first, n),
            labels: self.labels.clone().narrow(0, first, n),
            weights: self.weights.clone().map(|weights| weights.narrow(0, first, n)),
        }
    }

    /// Iterates over all rows in chunks of at most `max_rows` rows.
    pub(crate) fn chunks(&self, max_rows: usize) -> impl Iterator<Item = Examples> {
        let n = self.len();
        (0..n).step_by(max_rows).map(move |first| self.slice(first, max_rows.min(n - first)))
    }

    /// Returns the rows of a batch, in order.
    pub(crate) fn batch(&self, rows: &[usize]) -> Examples {
        // Without shuffling, the rows are consecutive. Slicing is faster than gathering.
        let are_consecutive = rows.windows(2).all(|pair| pair[1] == pair[0] + 1);
        if let (true, Some(&first)) = (are_consecutive, rows.first()) {
            return self.slice(first, rows.len());
        }
        let indices: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        let rows = Tensor::from_data(TensorData::new(indices, [rows.len()]), &self.labels.device());
        Examples {
            features: self.features.clone().select(0, rows.clone()),
            labels: self.labels.clone().select(0, rows.clone()),
            weights: self.weights.clone().map(|weights| weights.select(0, rows)),
        }
    }
}

/// Copies labels to a device, `[n]`.
fn label_tensor(labels: &[u16], device: &Device) -> Tensor<1, Int> {
    let labels: Vec<i32> = labels.iter().copied().map(i32::from).collect();
    let rows = labels.len();
    Tensor::from_data(TensorData::new(labels, [rows]), device)
}

/// Converts pixels to features on the device by table lookup. Returns `[pixels.len()]`.
///
/// Four bytes are copied as one 32-bit integer, because not every backend supports bytes.
fn expand(pixels: &[u8], device: &Device, dtype: DType) -> Tensor<1> {
    let packed: Vec<i32> = pixels
        .chunks(4)
        .map(|bytes| {
            let mut word = [0; 4];
            word[..bytes.len()].copy_from_slice(bytes);
            i32::from_le_bytes(word)
        })
        .collect();
    let n_packed = packed.len();
    let packed = Tensor::<1, Int>::from_data(TensorData::new(packed, [n_packed]), (device, DType::I32));
    let byte = |i: i32| packed.clone().bitwise_right_shift_scalar(8 * i).bitwise_and_scalar(255);
    let bytes: Tensor<2, Int> = Tensor::stack((0..4).map(byte).collect(), 1);
    let bytes = bytes.reshape([4 * n_packed]).narrow(0, 0, pixels.len());
    // A table, because the device could round a computed value differently from the host.
    let table: Vec<f64> = (0..=u8::MAX).map(pixel_value).collect();
    Tensor::<1>::from_data(TensorData::new(table, [256]), (device, dtype)).select(0, bytes)
}
