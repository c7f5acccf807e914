//! The check of a Burn module. It flattens the parameters and gradients, and evaluates the loss at
//! any point.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use chacha20::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::{DifferencePrecision, Finding, Gradient, Options, Parameter, Report, check_slices};

/// The name of Burn's autodiff in reports.
const AUTODIFF: &str = "autodiff";

/// Compares Burn's autodiff with finite differences of `loss`, for every parameter of `module` that
/// requires a gradient.
///
/// `loss` returns `[1]`. It is called with copies of the module that have other parameters, and it
/// must depend on these parameters only. Tensors that it captures are constants. To check the
/// gradient with respect to an input, make the input a parameter: a `Param` is a module, and so is
/// a tuple of modules.
///
/// The module is checked in training mode. Some layers, such as batch normalisation, behave as in
/// training only if their input is on an autodiff device. Their running statistics then change, as
/// in any training.
pub fn check<M: Module>(module: &M, loss: impl Fn(&M) -> Tensor<1>, options: &Options) -> Report {
    compare(module, loss, &[], options)
}

/// As [`check`], but also checks the named `gradients`. If exactly one gradient disagrees with the
/// differences, the report names it.
pub fn compare<M: Module>(
    module: &M,
    loss: impl Fn(&M) -> Tensor<1>,
    gradients: &[(&str, GradientsParams)],
    options: &Options,
) -> Report {
    let flat_module = FlatModule::new(module, loss, options.difference_precision);
    let autodiff = flat_module.autodiff(&flat_module.point);
    let others = gradients.iter().map(|(name, gradient)| flat_module.gradient(name, gradient));
    let gradients: Vec<Gradient> = std::iter::once(autodiff).chain(others).collect();
    flat_module.check(&gradients, options)
}

/// As [`compare`], but without autodiff: only `gradients` are compared with the differences of
/// `loss`. The loss needs no autodiff graph.
pub fn compare_without_autodiff<M: Module>(
    module: &M,
    loss: impl Fn(&M) -> Tensor<1>,
    gradients: &[(&str, GradientsParams)],
    options: &Options,
) -> Report {
    let flat_module = FlatModule::new(module, loss, options.difference_precision);
    let gradients: Vec<Gradient> =
        gradients.iter().map(|(name, gradient)| flat_module.gradient(name, gradient)).collect();
    flat_module.check(&gradients, options)
}

/// As [`check`], for an output that is not a scalar. The checked loss is the sum of the output's
/// elements, each multiplied by an element of a random cotangent. A random cotangent also checks
/// outputs whose sum is constant, such as those of a softmax.
pub fn check_output<M: Module, const D: usize>(
    module: &M,
    output: impl Fn(&M) -> Tensor<D>,
    options: &Options,
) -> Report {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut merged: Option<Report> = None;
    for _ in 0..options.cotangents.max(1) {
        let seed = rng.random::<u64>();
        let loss = |module: &M| {
            let output = output(module);
            let (dims, dtype, device) = (output.dims(), output.dtype(), output.device());
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let cotangent: Vec<f64> = (0..dims.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
            let cotangent = Tensor::from_data(TensorData::new(cotangent, dims), (&device.inner(), dtype));
            (output * cotangent).sum()
        };
        let report = check(module, loss, options);
        match &mut merged {
            None => merged = Some(report),
            Some(merged) => merged.merge(report),
        }
    }
    merged.expect("at least one cotangent")
}

/// A module with flattened parameters.
pub(crate) struct FlatModule<M, F> {
    module: M,
    loss: F,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) point: Vec<f64>,
    ids: Vec<ParamId>,
    /// The type of the parameters. If there are several, the least precise one.
    dtype: DType,
    /// The type in which the loss is evaluated for the differences.
    difference_dtype: DType,
    /// Whether f64 was requested for the differences and the device does not support it.
    lacks_f64: bool,
}

impl<M: Module, F: Fn(&M) -> Tensor<1>> FlatModule<M, F> {
    pub(crate) fn new(module: &M, loss: F, difference_precision: DifferencePrecision) -> Self {
        let module = module.clone().train();
        let mut collector = ParameterCollector::default();
        module.visit(&mut collector);
        let dtype =
            collector.dtypes.iter().copied().max_by(|a, b| epsilon(*a).total_cmp(&epsilon(*b))).unwrap_or(DType::F32);
        let has_f64 = collector.devices.iter().all(f64_works);
        let difference_dtype =
            if difference_precision == DifferencePrecision::F64 && has_f64 { DType::F64 } else { dtype };
        Self {
            module,
            loss,
            parameters: collector.parameters,
            point: collector.point,
            ids: collector.ids,
            dtype,
            difference_dtype,
            lacks_f64: difference_precision == DifferencePrecision::F64 && !has_f64,
        }
    }

    /// Returns the module with its parameters at `point`, in type `dtype`. The parameters are on an
    /// autodiff device, so that layers like batch normalisation behave as in training. They require
    /// no gradient, so no graph is kept.
    fn module_at(&self, point: &[f64], dtype: DType) -> M {
        let mut offset = 0;
        let mut values = HashMap::new();
        for (id, parameter) in self.ids.iter().zip(&self.parameters) {
            values.insert(*id, &point[offset..][..parameter.len()]);
            offset += parameter.len();
        }
        self.module.clone().map(&mut ParameterWriter { values, dtype })
    }

    /// Returns the loss at a point, in the type for the differences.
    pub(crate) fn loss_at(&self, point: &[f64]) -> f64 {
        (self.loss)(&self.module_at(point, self.difference_dtype)).inner().into_scalar::<f64>()
    }

    /// Returns Burn's autodiff gradient at a point, in the parameters' type.
    pub(crate) fn autodiff(&self, point: &[f64]) -> Gradient {
        let module = self.module_at(point, self.dtype).train();
        let loss = (self.loss)(&module);
        // A loss that reaches no parameter has no graph.
        let gradients = if loss.is_tracked() {
            GradientsParams::from_grads(loss.backward(), &module)
        } else {
            GradientsParams::new()
        };
        self.gradient(AUTODIFF, &gradients)
    }

    pub(crate) fn gradient(&self, name: &str, gradients: &GradientsParams) -> Gradient {
        let mut reader = GradientReader { gradients, values: HashMap::new() };
        self.module.visit(&mut reader);
        let values = self.ids.iter().map(|id| reader.values.remove(id)).collect();
        Gradient { name: name.to_owned(), values, epsilon: epsilon(self.dtype) }
    }

    pub(crate) fn check(&self, gradients: &[Gradient], options: &Options) -> Report {
        let mut report = self.check_at(&self.point, gradients, options);
        if self.lacks_f64 {
            report.findings.push(Finding::NoF64);
        }
        if has_failed(&report, AUTODIFF) && self.is_right_nearby(options) {
            report.findings.push(Finding::RightNearby { gradient: AUTODIFF.to_owned() });
        }
        report
    }

    fn check_at(&self, point: &[f64], gradients: &[Gradient], options: &Options) -> Report {
        let mut loss = |point: &[f64]| self.loss_at(point);
        check_slices(&self.parameters, point, &mut loss, epsilon(self.difference_dtype), gradients, options)
    }

    /// Returns whether autodiff agrees with the differences at a random point nearby.
    fn is_right_nearby(&self, options: &Options) -> bool {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let perturb = |x: &f64| x + 1e-2 * x.abs().max(1.0) * rng.random_range(-1.0..1.0);
        let nearby: Vec<f64> = self.point.iter().map(perturb).collect();
        // Round to the parameters' type, so that autodiff and the differences use the same point.
        let nearby = match self.dtype {
            DType::F64 => nearby,
            _ => nearby.iter().map(|&x| f64::from(x as f32)).collect(),
        };
        let report = self.check_at(&nearby, &[self.autodiff(&nearby)], options);
        report.failed() == 0 && !report.findings.iter().any(Finding::is_failure)
    }
}

/// Returns whether a device computes correctly in f64. Some Vulkan drivers offer the type, but with
/// Burn 0.22.1 their exponentials and logarithms are wrong. So this function computes a few and
/// compares them.
pub fn f64_works(device: &Device) -> bool {
    if !device.supports_dtype(FloatDType::F64) {
        return false;
    }
    let x = Tensor::<1>::from_data(TensorData::from([1.25f64, -3.5]), (&device.clone().inner(), DType::F64));
    let computed = x.exp().add_scalar(1.0).log().try_into_vec_as::<f64>().unwrap_or_default();
    let expected = [1.25f64, -3.5].map(|x| x.exp().ln_1p());
    computed.len() == 2 && computed.iter().zip(expected).all(|(computed, expected)| (computed - expected).abs() < 1e-14)
}

fn has_failed(report: &Report, gradient: &str) -> bool {
    let Some(index) = report.gradient_names.iter().position(|name| name == gradient) else { return false };
    report.parameters.iter().any(|parameter| parameter.gradients[index].failed > 0)
}

/// The machine epsilon of a float type.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F16 => 2f64.powi(-10),
        DType::BF16 => 2f64.powi(-7),
        _ => f64::from(f32::EPSILON),
    }
}

/// Collects the parameters that require a gradient, named by their path in the module.
#[derive(Default)]
struct ParameterCollector {
    path: Vec<String>,
    parameters: Vec<Parameter>,
    point: Vec<f64>,
    ids: Vec<ParamId>,
    dtypes: Vec<DType>,
    devices: Vec<Device>,
}

impl ModuleVisitor for ParameterCollector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        // In training mode every trainable tensor requires a gradient. The others are frozen, or
        // they are running statistics. If modules share a parameter, it is visited more than once.
        if !tensor.is_require_grad() || self.ids.contains(&param.id) {
            return;
        }
        self.parameters.push(Parameter {
            name: if self.path.is_empty() { "(itself)".to_owned() } else { self.path.join(".") },
            shape: tensor.dims().to_vec(),
        });
        self.dtypes.push(tensor.dtype());
        self.devices.push(tensor.device());
        self.point.extend(tensor.inner().try_into_vec_as::<f64>().expect("the device returns its data"));
        self.ids.push(param.id);
    }

    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
}

/// Replaces the parameters' values.
struct ParameterWriter<'a> {
    values: HashMap<ParamId, &'a [f64]>,
    dtype: DType,
}

impl ModuleMapper for ParameterWriter<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let dtype = self.dtype;
        match self.values.get(&param.id) {
            None => param.map(|tensor| tensor.inner().cast(FloatDType::from(dtype))),
            Some(values) => param.map(|tensor| {
                let data = TensorData::new(values.to_vec(), tensor.dims());
                Tensor::from_data(data, (&tensor.device().inner(), dtype)).autodiff()
            }),
        }
    }
}

/// Reads the gradients of a module's parameters.
struct GradientReader<'a> {
    gradients: &'a GradientsParams,
    values: HashMap<ParamId, Vec<f64>>,
}

impl ModuleVisitor for GradientReader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let values = gradient.try_into_vec_as::<f64>().expect("the device returns its results");
            self.values.insert(param.id, values);
        }
    }
}
