//! The check of a Burn module. It flattens the parameters and gradients, and evaluates the loss at
//! any point.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use chacha20::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::check::negligible_slope;
use crate::{Coverage, DifferencePrecision, Finding, Gradient, Options, Parameter, Report, Slope, check_slices, slope};

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
/// training only if their input is on an autodiff device. Each evaluation begins with the running
/// statistics of `module`, and leaves them as they are.
pub fn check<M: Module>(module: &M, loss: impl Fn(&M) -> Tensor<1>, options: &Options) -> Report {
    let flat_module = FlatModule::new(module, &loss, options.difference_precision);
    let autodiff = flat_module.autodiff_with_rounding(options.seed);
    let mut report = flat_module.check_with(autodiff.map(Some), &[], options);
    for point in 1..options.points {
        report.merge(flat_module.check_nearby(&Options { seed: options.seed + point as u64, ..options.clone() }));
    }
    report
}

/// As [`check`], but also checks the named `gradients`. If exactly one gradient disagrees with the
/// differences, the report names it.
pub fn compare<M: Module>(
    module: &M,
    loss: impl Fn(&M) -> Tensor<1>,
    gradients: &[(&str, GradientsParams)],
    options: &Options,
) -> Report {
    let flat_module = FlatModule::new(module, &loss, options.difference_precision);
    let autodiff = flat_module.autodiff_with_rounding(options.seed);
    flat_module.check_with(autodiff.map(Some), gradients, options)
}

/// As [`compare`], but without autodiff: only `gradients` are compared with the differences of
/// `loss`. The loss needs no autodiff graph.
///
/// The rounding error of the gradients is not measured, since that takes autodiff.
pub fn compare_without_autodiff<M: Module>(
    module: &M,
    loss: impl Fn(&M) -> Tensor<1>,
    gradients: &[(&str, GradientsParams)],
    options: &Options,
) -> Report {
    let flat_module = FlatModule::new(module, &loss, options.difference_precision);
    flat_module.check_with(Ok(None), gradients, options)
}

/// As [`check`], for outputs that are not a scalar: a tensor, or several as a tuple, an array or a
/// `Vec`. A complex output is the pair of its real and its imaginary part. The checked loss is the
/// sum of the outputs' elements, each multiplied by an element of a random cotangent. A random
/// cotangent also checks outputs whose sum is constant, such as those of a softmax.
pub fn check_output<M: Module, O: Output>(module: &M, output: impl Fn(&M) -> O, options: &Options) -> Report {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let mut merged: Option<Report> = None;
    for _ in 0..options.cotangents.max(1) {
        let seed = rng.random::<u64>();
        let loss = |module: &M| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            output(module).weighted_sum(&mut || rng.random_range(-1.0..1.0))
        };
        let report = check(module, loss, options);
        match &mut merged {
            None => merged = Some(report),
            Some(merged) => merged.merge(report),
        }
    }
    merged.expect("at least one cotangent")
}

/// Returns the product of the Hessian of a module's loss with a direction. Both have a tensor for
/// each parameter.
pub type HessianVectorProduct<'a, M> = dyn Fn(&M, &GradientsParams) -> GradientsParams + 'a;

/// Checks second derivatives: a Hessian-vector product, or without one, the symmetry of the
/// Hessian.
///
/// `product` returns the product of the Hessian with a direction, which has a tensor for each
/// parameter: the gradient of the gradient's component along the direction. Each coordinate is
/// compared with differences of that component, by Burn's autodiff.
///
/// Without `product`, the curvature along two random directions is compared with that along the
/// same two in the other order. A gradient of a loss that is smooth passes. Autodiff that is wrong
/// in one of several places is usually the gradient of no loss at all, and fails.
pub fn check_second_order<M: Module>(
    module: &M,
    loss: impl Fn(&M) -> Tensor<1>,
    product: Option<&HessianVectorProduct<'_, M>>,
    options: &Options,
) -> Report {
    let flat_module = FlatModule::new(module, &loss, options.difference_precision);
    if let Some(finding) = flat_module.why_no_second_order() {
        return Report::of_finding(finding, options);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let n = flat_module.point.len();
    let mut random_direction = || (0..n).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
    let mut merged: Option<Report> = None;
    for _ in 0..options.cotangents.max(1) {
        let (direction, other) = (random_direction(), random_direction());
        let report = match product {
            Some(product) => flat_module.check_product(&direction, product, options),
            None => flat_module.check_symmetry([&direction, &other], options),
        };
        match &mut merged {
            None => merged = Some(report),
            Some(merged) => merged.merge(report),
        }
    }
    let mut report = merged.expect("at least one direction");
    // What was checked as a loss is a component of the gradient.
    for finding in &mut report.findings {
        if matches!(finding, Finding::Constant | Finding::Stationary) {
            *finding = Finding::NoCurvature;
        }
    }
    report.findings.dedup();
    report.findings.extend(flat_module.why_not_f64.clone());
    report
}

/// One or several tensors.
pub trait Output {
    /// Returns the sum of all elements, each multiplied by the next weight. The shape is `[1]`.
    fn weighted_sum(self, next_weight: &mut dyn FnMut() -> f64) -> Tensor<1>;
}

impl<const D: usize> Output for Tensor<D> {
    fn weighted_sum(self, next_weight: &mut dyn FnMut() -> f64) -> Tensor<1> {
        let (dims, dtype, device) = (self.dims(), self.dtype(), self.device());
        let weights: Vec<f64> = (0..dims.iter().product()).map(|_| next_weight()).collect();
        let weights = Tensor::from_data(TensorData::new(weights, dims), (&device.inner(), dtype));
        (self * weights).sum()
    }
}

impl<A: Output, B: Output> Output for (A, B) {
    fn weighted_sum(self, next_weight: &mut dyn FnMut() -> f64) -> Tensor<1> {
        self.0.weighted_sum(next_weight) + self.1.weighted_sum(next_weight)
    }
}

impl<A: Output, B: Output, C: Output> Output for (A, B, C) {
    fn weighted_sum(self, next_weight: &mut dyn FnMut() -> f64) -> Tensor<1> {
        (self.0, self.1).weighted_sum(next_weight) + self.2.weighted_sum(next_weight)
    }
}

impl<O: Output, const N: usize> Output for [O; N] {
    fn weighted_sum(self, next_weight: &mut dyn FnMut() -> f64) -> Tensor<1> {
        Vec::from(self).weighted_sum(next_weight)
    }
}

impl<O: Output> Output for Vec<O> {
    fn weighted_sum(self, next_weight: &mut dyn FnMut() -> f64) -> Tensor<1> {
        let sums = self.into_iter().map(|output| output.weighted_sum(next_weight));
        sums.reduce(|sum, other| sum + other).expect("at least one output")
    }
}

/// A module with flattened parameters.
pub(crate) struct FlatModule<'a, M> {
    module: M,
    /// Not a type parameter, so that this code is compiled once for a module instead of once for
    /// each loss.
    loss: &'a dyn Fn(&M) -> Tensor<1>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) point: Vec<f64>,
    ids: Vec<ParamId>,
    dtypes: Vec<DType>,
    /// Whether the module has tensors that require no gradient, such as running statistics.
    has_state: bool,
    /// The type of the parameters. If there are several, the least precise one.
    dtype: DType,
    /// The type in which the loss is evaluated for the differences.
    difference_dtype: DType,
    /// Why the differences are not in f64, as requested.
    why_not_f64: Option<Finding>,
    /// Whether the loss is the same on a device without autodiff. Burn keeps a graph of all
    /// operations on an autodiff device, even of those that need no gradient, and that takes most
    /// of the time of a small loss.
    is_same_without_autodiff: bool,
}

/// The number of gradients from which the rounding error of a gradient is measured.
const ROUNDING_SAMPLES: usize = 8;

/// The rounding error, in the largest differences of these gradients from the first one.
const ROUNDING_SAFETY: f64 = 6.0;

impl<'a, M: Module> FlatModule<'a, M> {
    pub(crate) fn new(
        module: &M,
        loss: &'a dyn Fn(&M) -> Tensor<1>,
        difference_precision: DifferencePrecision,
    ) -> Self {
        let module = module.clone().train();
        let mut collector = ParameterCollector::default();
        module.visit(&mut collector);
        let dtype =
            collector.dtypes.iter().copied().max_by(|a, b| epsilon(*a).total_cmp(&epsilon(*b))).unwrap_or(DType::F32);
        let mut flat_module = Self {
            module,
            loss,
            parameters: collector.parameters,
            point: collector.point,
            ids: collector.ids,
            dtypes: collector.dtypes,
            has_state: collector.has_state,
            dtype,
            difference_dtype: dtype,
            why_not_f64: None,
            is_same_without_autodiff: false,
        };
        if difference_precision == DifferencePrecision::F64 && dtype != DType::F64 {
            flat_module.difference_dtype = DType::F64;
            flat_module.why_not_f64 = if collector.devices.iter().all(f64_works) {
                let value = quietly(|| flat_module.loss_at(&flat_module.point));
                value.err().map(|message| Finding::OwnPrecision { message })
            } else {
                Some(Finding::NoF64)
            };
            if flat_module.why_not_f64.is_some() {
                flat_module.difference_dtype = dtype;
            }
        }
        flat_module.is_same_without_autodiff = quietly(|| flat_module.is_seen_same_without_autodiff()).unwrap_or(false);
        flat_module
    }

    /// Returns whether the loss is the same, to the bit, with and without autodiff, at the point
    /// and at two others. Layers such as batch normalisation and dropout, which behave as in
    /// training only with autodiff, have another loss.
    fn is_seen_same_without_autodiff(&self) -> bool {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut point = self.point.clone();
        for _ in 0..3 {
            let [with, without] = [true, false].map(|autodiff| self.loss_on(&point, autodiff).to_bits());
            if with != without {
                return false;
            }
            point.iter_mut().for_each(|x| *x += x.abs().max(1.0) * rng.random_range(-1.0..1.0));
        }
        true
    }

    /// Returns the module with its parameters at `point`, in type `dtype`. On an autodiff device,
    /// layers like batch normalisation behave as in training. The parameters require no gradient.
    fn module_at(&self, point: &[f64], dtype: DType, autodiff: bool) -> M {
        let mut offset = 0;
        let mut values = HashMap::new();
        for (id, parameter) in self.ids.iter().zip(&self.parameters) {
            values.insert(*id, &point[offset..][..parameter.len()]);
            offset += parameter.len();
        }
        // In training mode again, so that each evaluation has its own running statistics. Clones
        // share them, and they are in the type of the evaluation before. Other modules are not,
        // since each tensor that requires a gradient is kept until the next backward pass.
        let module = self.module.clone();
        let module = if self.has_state { module.train() } else { module };
        module.map(&mut ParameterWriter { values, dtype, autodiff })
    }

    /// Returns the loss at a point, in the type for the differences. At the module's own point it
    /// is that of training, so that randomness shows.
    pub(crate) fn loss_at(&self, point: &[f64]) -> f64 {
        self.loss_on(point, !self.is_same_without_autodiff || point == self.point)
    }

    fn loss_on(&self, point: &[f64], autodiff: bool) -> f64 {
        let loss = (self.loss)(&self.module_at(point, self.difference_dtype, autodiff));
        let [n] = loss.dims();
        assert!(n == 1, "it has the shape [{n}] instead of [1]; sum its elements, or call check_output");
        loss.inner().into_scalar::<f64>()
    }

    /// Returns the gradient of `factor` times the loss, divided by `factor`.
    fn scaled_autodiff(&self, point: &[f64], dtype: DType, factor: f64) -> Result<Gradient, Finding> {
        let gradients = quietly(|| {
            let module = self.module_at(point, dtype, true).train();
            let loss = (self.loss)(&module);
            // A loss that reaches no parameter has no graph.
            if loss.is_tracked() {
                GradientsParams::from_grads(loss.mul_scalar(factor).backward(), &module)
            } else {
                GradientsParams::new()
            }
        });
        let gradients = gradients.map_err(|message| Finding::Panicked { what: AUTODIFF.to_owned(), message })?;
        let mut gradient = self.gradient(AUTODIFF, &gradients, Some(dtype))?;
        gradient.values.iter_mut().flatten().flatten().for_each(|value| *value /= factor);
        Ok(gradient)
    }

    /// Returns Burn's autodiff gradient at the module's own point, in the parameters' type, with
    /// the rounding error of each coordinate. It is measured: the gradient is computed again with
    /// other roundings, at points that are as far from the first as neighbouring numbers, and of
    /// multiples of the loss.
    pub(crate) fn autodiff_with_rounding(&self, seed: u64) -> Result<Gradient, Finding> {
        self.autodiff_with_rounding_at(&self.point, seed)
    }

    fn autodiff_with_rounding_at(&self, point: &[f64], seed: u64) -> Result<Gradient, Finding> {
        let mut gradient = self.scaled_autodiff(point, self.dtype, 1.0)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut spread = vec![0.0f64; point.len()];
        for _ in 0..ROUNDING_SAMPLES {
            let epsilon = epsilon(self.dtype);
            let factor = rng.random_range(1.0..2.0);
            let point: Vec<f64> =
                point.iter().map(|x| x * (1.0 + epsilon * rng.random_range(-1.0..1.0f64).signum())).collect();
            let again = self.scaled_autodiff(&point, self.dtype, factor)?;
            let mut spread = spread.iter_mut();
            for ((first, second), parameter) in gradient.values.iter().zip(&again.values).zip(&self.parameters) {
                for (index, spread) in spread.by_ref().take(parameter.len()).enumerate() {
                    if let (Some(first), Some(second)) = (first, second) {
                        let distance = (first[index] - second[index]).abs();
                        *spread = if distance.is_finite() { spread.max(distance) } else { *spread };
                    }
                }
            }
        }
        spread.iter_mut().for_each(|spread| *spread *= ROUNDING_SAFETY);
        gradient.rounding = Some(spread);
        Ok(gradient)
    }

    /// Returns the flattened gradient, or what is wrong with its shapes or types.
    /// Their types are those of the parameters, or `dtype` for all.
    fn gradient(&self, name: &str, gradients: &GradientsParams, dtype: Option<DType>) -> Result<Gradient, Finding> {
        let mut reader = GradientReader { gradients, gradients_of: HashMap::new() };
        self.module.visit(&mut reader);
        let mut values = Vec::with_capacity(self.ids.len());
        for ((id, parameter), own_dtype) in self.ids.iter().zip(&self.parameters).zip(&self.dtypes) {
            let expected_dtype = dtype.unwrap_or(*own_dtype);
            let Some((found, found_dtype, gradient)) = reader.gradients_of.remove(id) else {
                values.push(None);
                continue;
            };
            let (gradient_name, parameter_name) = (name.to_owned(), parameter.name.clone());
            if found != parameter.shape {
                let expected = parameter.shape.clone();
                return Err(Finding::WrongShape {
                    gradient: gradient_name,
                    parameter: parameter_name,
                    expected,
                    found,
                });
            }
            if found_dtype != expected_dtype {
                let (expected, found) = (format!("{expected_dtype:?}"), format!("{found_dtype:?}"));
                return Err(Finding::WrongType { gradient: gradient_name, parameter: parameter_name, expected, found });
            }
            values.push(Some(gradient));
        }
        Ok(Gradient::new(name, values, epsilon(self.dtype)))
    }

    /// Checks autodiff's gradient, if there is one, and those that were given.
    fn check_with(
        &self,
        autodiff: Result<Option<Gradient>, Finding>,
        others: &[(&str, GradientsParams)],
        options: &Options,
    ) -> Report {
        let gradients = autodiff.and_then(|autodiff| {
            let rounding = autodiff.as_ref().and_then(|autodiff| autodiff.rounding.clone());
            let others = others.iter().map(|(name, gradient)| {
                Ok(Gradient { rounding: rounding.clone(), ..self.gradient(name, gradient, None)? })
            });
            autodiff.clone().map(Ok).into_iter().chain(others).collect::<Result<Vec<_>, _>>()
        });
        match gradients {
            Ok(gradients) => self.check(&gradients, options),
            Err(finding) => Report::of_finding(finding, options),
        }
    }

    pub(crate) fn check(&self, gradients: &[Gradient], options: &Options) -> Report {
        let mut report = match self.check_at(&self.point, gradients, options) {
            Ok(report) => report,
            Err(finding) => return Report::of_finding(finding, options),
        };
        report.findings.extend(self.why_not_f64.clone());
        if has_failed(&report, AUTODIFF) && self.is_right_nearby(options) {
            report.findings.push(Finding::RightNearby { gradient: AUTODIFF.to_owned() });
        }
        report
    }

    fn check_at(&self, point: &[f64], gradients: &[Gradient], options: &Options) -> Result<Report, Finding> {
        let mut loss = |point: &[f64]| self.loss_at(point);
        let epsilon = epsilon(self.difference_dtype);
        quietly(|| check_slices(&self.parameters, point, &mut loss, epsilon, gradients, options))
            .map_err(|message| Finding::Panicked { what: "the loss".to_owned(), message })
    }

    /// Returns why differences of autodiff's gradient would be meaningless, if they would.
    fn why_no_second_order(&self) -> Option<Finding> {
        let gradient = match self.scaled_autodiff(&self.point, self.difference_dtype, 1.0) {
            Ok(gradient) => gradient,
            Err(finding) => return Some(finding),
        };
        gradient.not_finite(&self.parameters).next()
    }

    /// Compares a Hessian-vector product with differences of the gradient along `direction`.
    fn check_product(&self, direction: &[f64], product: &HessianVectorProduct<'_, M>, options: &Options) -> Report {
        // The direction as the product gets it, rounded to the parameters' type.
        let module = self.module_at(direction, self.dtype, true);
        let mut writer = GradientWriter::default();
        module.visit(&mut writer);
        let Ok(direction) = self.gradient("the direction", &writer.gradients, None) else {
            unreachable!("the direction has the shapes and types of the parameters")
        };
        let direction: Vec<f64> = direction.values.into_iter().flatten().flatten().collect();
        let own = self.module_at(&self.point, self.dtype, true);
        let what = "the product";
        let found = quietly(|| product(&own, &writer.gradients))
            .map_err(|message| Finding::Panicked { what: what.to_owned(), message })
            .and_then(|product| self.gradient(what, &product, None));
        let along = |point: &[f64]| self.gradient_along(point, &direction);
        let report = found.and_then(|found| {
            let mut loss = along;
            let epsilon = epsilon(self.difference_dtype);
            quietly(|| check_slices(&self.parameters, &self.point, &mut loss, epsilon, &[found], options))
                .map_err(|message| Finding::Panicked { what: AUTODIFF.to_owned(), message })
        });
        report.unwrap_or_else(|finding| Report::of_finding(finding, options))
    }

    /// Compares the change of the gradient's component along one direction if the parameters move
    /// along the other, with the same for the directions exchanged. It is the same number for a
    /// gradient.
    fn check_symmetry(&self, [u, v]: [&[f64]; 2], options: &Options) -> Report {
        let names = ["one direction", "the other"];
        let epsilon = epsilon(self.difference_dtype);
        let report = quietly(|| {
            let curvature = |along: &[f64], component: &[f64]| {
                let mut f = |t: f64| {
                    let point: Vec<f64> = self.point.iter().zip(along).map(|(x, u)| x + t * u).collect();
                    self.gradient_along(&point, component)
                };
                let size = self.point.iter().fold(0.0f64, |size, x| size.max(x.abs()));
                slope(&mut f, options.scale.unwrap_or_else(|| size.max(1.0)), size, epsilon)
            };
            let [first, second] = [curvature(u, v), curvature(v, u)];
            // The second is the value to check: the function 'curvature times t' has this slope.
            // Both bounds count as the rounding of the value, so that wide ones are unresolved.
            let is_known = first.value.is_finite() && second.value.is_finite();
            let is_zero = |slope: &Slope| {
                let negligible = negligible_slope(epsilon, slope.magnitude);
                slope.value.abs() <= slope.bound && slope.bound <= negligible
            };
            let is_zero = is_zero(&first) && is_zero(&second);
            let [estimate, value] = if is_known && !is_zero { [first.value, second.value] } else { [0.0; 2] };
            let rounding = if is_zero { 0.0 } else { first.bound + second.bound };
            let parameter = [Parameter { name: "two directions".to_owned(), shape: vec![1] }];
            let gradient = Gradient::new(names[1], vec![Some(vec![value])], f64::EPSILON);
            let gradient = Gradient { rounding: Some(vec![rounding]), ..gradient };
            let options =
                Options { parameters: Vec::new(), scale: None, coverage: Coverage::Exhaustive, ..options.clone() };
            let loss = &mut |t: &[f64]| estimate * t[0];
            let mut report = check_slices(&parameter, &[0.0], loss, f64::EPSILON, &[gradient], &options);
            report.loss = self.loss_at(&self.point);
            report.evaluations = first.evaluations + second.evaluations;
            if !is_known {
                report.findings.clear();
            }
            report
        });
        report.unwrap_or_else(|message| {
            Report::of_finding(Finding::Panicked { what: AUTODIFF.to_owned(), message }, options)
        })
    }

    /// Returns the component of autodiff's gradient along a direction, in the type for the
    /// differences.
    fn gradient_along(&self, point: &[f64], direction: &[f64]) -> f64 {
        let Ok(gradient) = self.scaled_autodiff(point, self.difference_dtype, 1.0) else { return f64::NAN };
        let mut rest = direction;
        let mut sum = 0.0;
        for (values, parameter) in gradient.values.iter().zip(&self.parameters) {
            let (own, others) = rest.split_at(parameter.len());
            sum += values.iter().flatten().zip(own).map(|(value, component)| value * component).sum::<f64>();
            rest = others;
        }
        sum
    }

    /// Returns whether autodiff was seen to agree with the differences at a random point nearby.
    fn is_right_nearby(&self, options: &Options) -> bool {
        self.check_nearby(options).passed()
    }

    /// Checks autodiff at a random point nearby.
    fn check_nearby(&self, options: &Options) -> Report {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let perturb = |x: &f64| x + 1e-2 * x.abs().max(1.0) * rng.random_range(-1.0..1.0);
        let nearby: Vec<f64> = self.point.iter().map(perturb).collect();
        // Round to the parameters' type, so that autodiff and the differences use the same point.
        let n = nearby.len();
        let nearby: Vec<f64> = TensorData::new(nearby, [n]).convert_dtype(self.dtype).iter().collect();
        let report = self.autodiff_with_rounding_at(&nearby, options.seed);
        let report = report.and_then(|gradient| self.check_at(&nearby, &[gradient], options));
        report.unwrap_or_else(|finding| Report::of_finding(finding, options))
    }
}

impl Report {
    /// The report of a check that a finding ended.
    pub(crate) fn of_finding(finding: Finding, options: &Options) -> Self {
        Self {
            loss: f64::NAN,
            noise: f64::NAN,
            gradient_names: Vec::new(),
            parameters: Vec::new(),
            findings: vec![finding],
            exhaustive: false,
            seed: options.seed,
            evaluations: 0,
            max_unresolved: options.max_unresolved,
        }
    }
}

/// Calls `compute`, and returns the message if it panics. Nothing is printed then.
pub(crate) fn quietly<T>(compute: impl FnOnce() -> T) -> Result<T, String> {
    thread_local! {
        static IS_QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    // A panic prints its message in a hook of the whole process. This one passes on all others.
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_QUIET.get() {
                hook(info);
            }
        }));
    });
    let was_quiet = IS_QUIET.replace(true);
    // The module is only read, and a report is made of what is known.
    let result = std::panic::catch_unwind(AssertUnwindSafe(compute));
    IS_QUIET.set(was_quiet);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        text.unwrap_or_else(|| "no message".to_owned()).split_whitespace().collect::<Vec<_>>().join(" ")
    })
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
    has_state: bool,
    devices: Vec<Device>,
}

impl ModuleVisitor for ParameterCollector {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        // In training mode every trainable tensor requires a gradient. The others are frozen, or
        // they are running statistics. If modules share a parameter, it is visited more than once.
        self.has_state |= !tensor.is_require_grad();
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
    /// Whether the parameters are on an autodiff device.
    autodiff: bool,
}

impl ModuleMapper for ParameterWriter<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Self { dtype, autodiff, .. } = *self;
        match self.values.get(&param.id) {
            None => param.map(|tensor| tensor.inner().cast(FloatDType::from(dtype))),
            Some(values) => param.map(|tensor| {
                let data = TensorData::new(values.to_vec(), tensor.dims());
                let tensor = Tensor::from_data(data, (&tensor.device().inner(), dtype));
                if autodiff { tensor.autodiff() } else { tensor }
            }),
        }
    }
}

/// Reads the gradients of a module's parameters, with their shapes and types.
struct GradientReader<'a> {
    gradients: &'a GradientsParams,
    gradients_of: HashMap<ParamId, (Vec<usize>, DType, Vec<f64>)>,
}

impl ModuleVisitor for GradientReader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let (shape, dtype) = (gradient.dims().to_vec(), gradient.dtype());
            let values = gradient.try_into_vec_as::<f64>().expect("the device returns its results");
            self.gradients_of.insert(param.id, (shape, dtype, values));
        }
    }
}

/// Collects the values of the parameters as if they were their gradients.
#[derive(Default)]
struct GradientWriter {
    gradients: GradientsParams,
}

impl ModuleVisitor for GradientWriter {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.gradients.register(param.id, param.val().inner());
    }
}
