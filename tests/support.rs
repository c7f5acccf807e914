//! Shared by the tests: the devices of this build, pseudorandom problems, and the comparison of
//! gradients.

use std::num::NonZero;
use std::path::PathBuf;

use burn::nn::Linear;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use chainrule::backend::Backend;
use chainrule_core::{
    Certificate, Features, FinalMetrics, GradientSource, History, Precision, Preprocessing, Schema, TrainConfig,
};
use chainrule_data::{BatchOrder, Data, Dataset, RowBuffer, Rows, Shuffle};
use chainrule_engines::{Examples, Expansion, train_model_by_tensors, train_on_device};
use chainrule_gradcheck::f64_works;
use chainrule_models::Gradient;
use chainrule_records::ConfigFile;
use chainrule_solve::{Ending, FusedRows, Observer, Trained};

pub(crate) use crate::harness::{could_not_run as skip, in_part};
pub(crate) use crate::library::flowers::uniform;

/// Returns a device of every backend of this build.
pub(crate) fn devices() -> Vec<Device> {
    let devices: Vec<Device> = Backend::built().unwrap().iter().map(|backend| backend.device().unwrap()).collect();
    assert!(!devices.is_empty(), "this build has no backend to test");
    devices
}

/// Returns the first device of this build, for tests that are the same on all.
pub(crate) fn device() -> Device {
    devices().remove(0)
}

/// Returns the name of a CPU backend. The first backend of a build can be a GPU, which differs in
/// some respects.
pub(crate) fn cpu() -> &'static str {
    let cpu = [Backend::Flex, Backend::Ndarray].into_iter().find(Backend::is_built);
    cpu.expect("these tests need a build with flex or ndarray").name()
}

/// Returns every device of this build with each of its precisions.
pub(crate) fn devices_and_precisions() -> Vec<(Device, FloatDType)> {
    let precisions = [FloatDType::F32, FloatDType::F64];
    let pairs = devices().into_iter().flat_map(|device| precisions.map(|precision| (device.clone(), precision)));
    pairs.filter(|(device, precision)| *precision == FloatDType::F32 || f64_works(device)).collect()
}

/// Returns the devices with f64, which are the CPUs.
pub(crate) fn f64_devices() -> Vec<Device> {
    devices().into_iter().filter(f64_works).collect()
}

pub(crate) fn vector(values: &[f64], device: &Device, dtype: FloatDType) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), (device, DType::from(dtype)))
}

pub(crate) fn matrix(values: &[f64], [rows, columns]: [usize; 2], device: &Device, dtype: FloatDType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [rows, columns]), (device, DType::from(dtype)))
}

/// Returns labels below `classes`. With enough rows every class occurs.
pub(crate) fn labels(seed: u64, rows: usize, classes: usize, device: &Device) -> Tensor<1, Int> {
    let order = BatchOrder::new(Shuffle::ChaCha { seed: seed + 1000 }).next_epoch(rows);
    let labels: Vec<i32> = order.iter().map(|&row| (row % classes) as i32).collect();
    Tensor::from_data(TensorData::new(labels, [rows]), device)
}

/// Sets a layer's weight and bias as parameters with autodiff.
pub(crate) fn with_parameters(mut linear: Linear, weight: Tensor<2>, bias: Tensor<1>) -> Linear {
    linear.weight = linear.weight.map(|_| weight.autodiff().require_grad());
    linear.bias = linear.bias.map(|b| b.map(|_| bias.autodiff().require_grad()));
    linear
}

pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.try_into_vec_as::<f64>().unwrap()
}

/// Returns the tolerance between two results of `dtype`, relative to the largest coordinate.
pub(crate) fn tolerance(dtype: FloatDType) -> f64 {
    match dtype {
        FloatDType::F64 => 1e-12,
        _ => 1e-5,
    }
}

/// Returns the largest distance of two coordinates, relative to the largest coordinate, and its
/// index.
///
/// The scale is the largest coordinate, not each coordinate: a sum over rows that nearly cancels
/// has the rounding of its terms. It is at least a thousandth, which in f64 is five roundings of 1:
/// the residual p - y rounds at the size of p, however small the difference.
/// the residual p - y rounds at the size of p, however small the difference.
pub(crate) fn distance(actual: &[f64], expected: &[f64]) -> (f64, usize) {
    assert_eq!(actual.len(), expected.len(), "coordinates");
    assert!(actual.iter().chain(expected).all(|value| value.is_finite()), "not finite: {actual:?} {expected:?}");
    let scale = actual.iter().chain(expected).fold(1e-3f64, |scale, value| scale.max(value.abs()));
    let distance_at = |i: usize| (actual[i] - expected[i]).abs() / scale;
    (0..actual.len())
        .map(|i| (distance_at(i), i))
        .fold((0.0, 0), |worst, next| if next.0 > worst.0 { next } else { worst })
}

/// Compares two gradients. The tests also verify that it rejects wrong ones.
pub(crate) fn compare(actual: &Gradient, expected: &Gradient, tolerance: f64) -> Result<(), String> {
    let parts = [
        ("weight", values(actual.weight.clone()), values(expected.weight.clone())),
        ("bias", values(actual.bias.clone()), values(expected.bias.clone())),
    ];
    for (name, actual, expected) in parts {
        let (largest, worst) = distance(&actual, &expected);
        if largest > tolerance {
            let (actual, expected) = (actual[worst], expected[worst]);
            return Err(format!(
                "{name}[{worst}]: {actual:e} and {expected:e} are {largest:e} apart, more than {tolerance:e}"
            ));
        }
    }
    Ok(())
}

pub(crate) fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    let (largest, worst) = distance(actual, expected);
    assert!(
        largest <= tolerance,
        "{what}: at {worst} {:e} and {:e} are {largest:e} apart, more than {tolerance:e}",
        actual[worst],
        expected[worst]
    );
}

/// Returns the real MNIST from `$CHAINRULE_DATA` or from beside the checkout. Skips the test if it
/// is not there.
pub(crate) fn mnist() -> Data {
    let folder = mnist_folder().unwrap_or_else(|| skip("no MNIST"));
    chainrule_data::read_folder(&folder).unwrap()
}

pub(crate) fn mnist_folder() -> Option<PathBuf> {
    let named = std::env::var_os("CHAINRULE_DATA").map(PathBuf::from);
    let shared = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/mnist"));
    named.into_iter().chain([shared]).find(|folder| folder.is_dir())
}

/// Returns a few digits drawn by code.
pub(crate) fn digits(train: usize, validation: usize) -> Data {
    let counts = chainrule_data::Counts { train, validation };
    chainrule_data::find(&chainrule_data::Request::Embedded, counts, &mut |_| {}).unwrap()
}

/// The result of a training, for any model.
pub(crate) struct Fit {
    pub(crate) history: History,
    pub(crate) ending: Ending,
    pub(crate) steps: usize,
    pub(crate) best: Option<(usize, f64)>,
    pub(crate) final_metrics: FinalMetrics,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) weight: Vec<f64>,
    pub(crate) bias: Vec<f64>,
}

/// Trains as the program does, without its files and its console.
pub(crate) fn fit(config: &TrainConfig, data: &Data, device: &Device, observer: &mut dyn Observer) -> Fit {
    let (splits, Schema { classes, .. }) = Dataset::Images(data.clone()).into_rows(config).unwrap();
    fit_rows(config, &splits, classes.len(), &Preprocessing::Pixels, device, observer)
}

/// As [`fit`], on any training rows and validation rows.
pub(crate) fn fit_rows(
    config: &TrainConfig,
    rows: &[Rows; 2],
    n_classes: usize,
    preprocessing: &Preprocessing,
    device: &Device,
    observer: &mut dyn Observer,
) -> Fit {
    let link = config.model().kind.link(n_classes);
    let is_fused = config.descent().gradient == GradientSource::Fused;
    let [train, validation] = rows;
    let trained = if is_fused && chainrule_ops::supports_device_steps(device) {
        train_on_device(link.columns(), train, validation, preprocessing, config, device, observer)
    } else if is_fused {
        let (precision, solver) = (config.descent().precision, config.descent().solver);
        let pack = |rows| FusedRows::for_solver(rows, preprocessing, precision, solver).unwrap();
        let packed = rows.clone().map(pack);
        chainrule_engines::train_fused(&link, packed.each_ref(), config, NonZero::<usize>::MIN, device, observer)
    } else {
        let precision = config.descent().precision;
        let [train, validation] =
            rows.clone().map(|rows| Examples::new(rows, preprocessing, precision, device, Expansion::Host).unwrap());
        train_model_by_tensors(link.columns(), &train, &validation, config, observer)
    };
    into_fit(trained.unwrap())
}

/// Returns pseudorandom training rows and validation rows of a table of 7 features in k classes,
/// with their standardisation. The numbers of the columns differ in size, and the last column is a
/// level of a category. The classes overlap.
pub(crate) fn table(n: [usize; 2], k: usize) -> ([Rows; 2], Preprocessing) {
    const D: usize = 7;
    let all = n[0] + n[1];
    let (features, noise) = (uniform(11, all * D), uniform(12, all));
    let number = |(i, &x): (usize, &f64)| match i % D {
        6 => f64::from(u8::from(x > 0.3)),
        j => 10f64.powi(j as i32 - 2) * (x + 2.0),
    };
    let numbers: Vec<f64> = features.iter().enumerate().map(number).collect();
    let score = |(row, noise): (&[f64], &f64)| row[1] - row[4] + row[6] + noise;
    let class = |score: f64| ((score / 2.0 + 0.5).clamp(0.0, 0.999) * k as f64) as u16;
    let labels: Vec<u16> = features.chunks_exact(D).zip(&noise).map(|both| class(score(both))).collect();
    let part = |rows: std::ops::Range<usize>| {
        Rows::of_values(D, &numbers[rows.start * D..rows.end * D], labels[rows].to_vec())
    };
    let train = part(0..n[0]);
    let standardized = Preprocessing::Standardized(train.moments().unwrap());
    ([train, part(n[0]..all)], standardized)
}

/// Returns images on a device.
pub(crate) fn examples(rows: &Rows, precision: Precision, device: &Device) -> Examples {
    Examples::new(rows.clone(), &Preprocessing::Pixels, precision, device, Expansion::Host).unwrap()
}

/// Returns the bytes of images.
pub(crate) fn pixels(rows: &Rows) -> Vec<u8> {
    match rows.chunk(0..rows.len(), &mut RowBuffer::default()).unwrap() {
        Features::Bytes(pixels) => pixels.to_vec(),
        Features::Numbers(_) => panic!("a table"),
    }
}

/// Returns the features of images.
pub(crate) fn features(rows: &Rows) -> Vec<f64> {
    rows.clone().into_features(&Preprocessing::Pixels, |x| x).unwrap()
}

pub(crate) fn into_fit(trained: Trained) -> Fit {
    Fit {
        weight: trained.parameters.weight,
        bias: trained.parameters.bias,
        history: trained.history,
        ending: trained.ending,
        steps: trained.steps,
        best: trained.best,
        final_metrics: trained.final_metrics,
        certificate: trained.certificate,
    }
}

/// Returns an experiment of `configs/` with overrides.
pub(crate) fn experiment(name: &str, overrides: &[&str]) -> TrainConfig {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs")).join(name);
    TrainConfig::read(&path, &overrides.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap()
}
