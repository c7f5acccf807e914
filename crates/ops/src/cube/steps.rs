use burn::backend::Cube;
use burn::tensor::{Bytes, DType, Tensor, TensorReadError};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::ir::{ElemType, UIntKind};
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim, InputScalar};
use burn_cubecl::tensor::CubeTensor;

use super::kernels::{ForwardMode, backward, forward};
use super::plan::{Storage, TilePlan};
use super::{buffer, buffer_arg, cube_count, elem_type};
use chainrule_core::{Gradient, Step};

use crate::steps::{DeviceEvaluation, DeviceSteps, StepFeatures, StepProblem, StepRows};

/// Minimum capacity, in rows, of the buffer of losses on the device. A small buffer must be read
/// often, and each read waits for the device.
const MIN_LOSS_CAPACITY: usize = 1 << 16;

/// Number of rows whose gradient the device sums in its own float type. The sums of several parts
/// are added in f64, and the parts are computed at the same time.
const ROWS_PER_PART: usize = 1 << 12;

/// Creates the training steps of a CubeCL device.
pub(crate) fn steps(device: CubeDevice, problem: StepProblem, rows: [StepRows<'_>; 2]) -> Box<dyn DeviceSteps> {
    Box::new(CubeSteps::new(device, problem, rows))
}

/// Training steps on a device, which holds the parameters and the rows.
struct CubeSteps {
    client: Client,
    device: CubeDevice,
    problem: StepProblem,
    plan: TilePlan,
    parameters: CubeTensor,
    /// The training rows and the validation rows.
    rows: [DeviceRows; 2],
    /// Buffer for the residuals of a batch. It fits the largest batch so far.
    residual: CubeTensor,
    pending_losses: PendingLosses,
    /// The mean loss of each step, read from the device.
    losses: Vec<f64>,
}

/// Rows on a device.
struct DeviceRows {
    /// The features of the rows, four per word.
    words: CubeTensor,
    labels: CubeTensor,
    /// Number of rows.
    len: usize,
}

/// The losses of steps that have not been read from the device yet.
struct PendingLosses {
    /// The losses of each row, step by step.
    buffer: CubeTensor,
    /// The capacity of the buffer, in rows.
    capacity: usize,
    /// Number of rows of each step.
    batch_sizes: Vec<usize>,
}

impl CubeSteps {
    fn new(device: CubeDevice, problem: StepProblem, rows: [StepRows<'_>; 2]) -> Self {
        let client = device.client();
        let plane_size = client.properties().hardware.plane_size_max as usize;
        let storage = match rows[0].features {
            StepFeatures::Bytes(_) => Storage::Bytes,
            StepFeatures::F32(_) => Storage::F32,
            StepFeatures::F64(_) => Storage::F64,
        };
        let plan = TilePlan::new(&problem, storage, plane_size);
        let rows = rows.map(|rows| upload(&client, &device, &rows, plan));
        let zeros = floats(&client, &device, problem.dtype, &vec![0.0; plan.n_parameters()]);
        let placeholder = floats(&client, &device, problem.dtype, &[0.0; 4]);
        Self {
            problem,
            plan,
            parameters: zeros,
            rows,
            residual: placeholder.clone(),
            pending_losses: PendingLosses { buffer: placeholder, capacity: 0, batch_sizes: Vec::new() },
            losses: Vec::new(),
            client,
            device,
        }
    }

    /// Converts a number to a scalar argument of a kernel.
    fn scalar(&self, value: f64) -> InputScalar {
        InputScalar::new(value, elem_type(self.problem.dtype))
    }

    /// Returns the element types of the kernels: of the arithmetic and of the stored features.
    fn types(&self) -> [ElemType; 2] {
        let stored = match self.plan.storage.dtype() {
            DType::U32 => ElemType::UInt(UIntKind::U32),
            float => elem_type(float),
        };
        [elem_type(self.problem.dtype), stored]
    }

    /// Creates a buffer of `length` floats, without setting them.
    fn empty(&self, length: usize) -> CubeTensor {
        let handle = self.client.empty(length * self.problem.dtype.size());
        buffer(&self.client, &self.device, handle, length, self.problem.dtype)
    }

    /// Launches the forward kernel on some of the training rows. Returns the row indices, on the
    /// device.
    fn launch_forward(&mut self, batch: &[usize]) -> Result<CubeTensor, TensorReadError> {
        let n = batch.len();
        let rows = self.rows[0].len;
        let last = batch.iter().copied().max().expect("expected at least one row in the batch");
        assert!(last < rows, "rows of a batch: expected 0..{rows}, found {last}");
        let order: Vec<u32> = batch.iter().map(|&row| row as u32).collect();
        let order = integers(&self.client, &self.device, &order);
        let needed = n * self.plan.n_tiles * self.plan.padded_tile_width();
        if self.residual.meta.shape().num_elements() < needed {
            self.residual = self.empty(needed);
        }
        let mut first: usize = self.pending_losses.batch_sizes.iter().sum();
        if first + n > self.pending_losses.capacity {
            self.read_losses()?;
            first = 0;
        }
        if n > self.pending_losses.capacity {
            self.pending_losses.capacity = MIN_LOSS_CAPACITY.max(n);
            self.pending_losses.buffer = self.empty(self.pending_losses.capacity);
        }
        let (plan, rows) = (self.plan, &self.rows[0]);
        forward::launch(
            &self.client,
            cube_count(n.div_ceil(plan.rows_per_cube)),
            CubeDim::new_1d(plan.units_per_cube as u32),
            plan.storage.elements_per_word(),
            buffer_arg(&rows.words),
            buffer_arg(&rows.labels),
            buffer_arg(&order),
            buffer_arg(&self.parameters),
            buffer_arg(&self.residual),
            buffer_arg(&self.pending_losses.buffer),
            n as u32,
            first as u32,
            0,
            self.scalar(self.problem.scale),
            self.scalar(self.problem.offset),
            self.scalar(1.0 / n as f64),
            plan,
            ForwardMode::Train,
            self.types(),
        );
        self.pending_losses.batch_sizes.push(n);
        Ok(order)
    }

    /// Launches the backward kernel, which updates `parameters` with the residuals of the forward
    /// kernel. The rows are divided into parts of `rows_per_part`, each with parameters of its own.
    fn launch_backward(&self, order: &CubeTensor, [n, rows_per_part]: [usize; 2], parameters: &CubeTensor, step: Step) {
        let plan = self.plan;
        let cube_count = CubeCount::Static(
            (plan.words_per_row + 1).div_ceil(plan.units_across * plan.words_per_unit) as u32,
            plan.n_tiles as u32,
            n.div_ceil(rows_per_part) as u32,
        );
        backward::launch(
            &self.client,
            cube_count,
            CubeDim::new_1d((plan.units_across * plan.batch_parts) as u32),
            plan.storage.elements_per_word(),
            buffer_arg(&self.rows[0].words),
            buffer_arg(order),
            buffer_arg(&self.residual),
            buffer_arg(parameters),
            n as u32,
            rows_per_part as u32,
            self.scalar(self.problem.scale),
            self.scalar(self.problem.offset),
            self.scalar(step.learning_rate),
            self.scalar(step.l2),
            self.scalar(if step.penalize_bias { step.l2 } else { 0.0 }),
            plan,
            self.types(),
        );
    }

    /// Reads the pending losses, and appends the mean loss of each step to `losses`.
    fn read_losses(&mut self) -> Result<(), TensorReadError> {
        let batch_sizes = std::mem::take(&mut self.pending_losses.batch_sizes);
        let n_pending: usize = batch_sizes.iter().sum();
        if n_pending == 0 {
            return Ok(());
        }
        let row_losses = read(&self.pending_losses.buffer, n_pending)?;
        let mut remaining = row_losses.as_slice();
        for n in batch_sizes {
            let (step_losses, after) = remaining.split_at(n);
            remaining = after;
            self.losses.push(step_losses.iter().sum::<f64>() / n as f64);
        }
        Ok(())
    }

    /// Converts parameters from the layout of the device to W and b, row-major.
    fn unpack(&self, parameters: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (d, k) = (self.problem.n_features, self.problem.n_columns);
        let row = |feature: usize| (0..k).map(move |class| (feature, class));
        let take = |(feature, class)| parameters[self.plan.parameter_index(feature, class)];
        ((0..d).flat_map(row).map(take).collect(), row(4 * self.plan.words_per_row).map(take).collect())
    }
}

impl DeviceSteps for CubeSteps {
    fn step(&mut self, batch: &[usize], step: Step) -> Result<(), TensorReadError> {
        let order = self.launch_forward(batch)?;
        self.launch_backward(&order, [batch.len(); 2], &self.parameters, step);
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<f64>, TensorReadError> {
        self.read_losses()?;
        Ok(std::mem::take(&mut self.losses))
    }

    fn evaluate(&mut self) -> Result<[DeviceEvaluation; 2], TensorReadError> {
        let [train, validation] = [self.rows[0].len, self.rows[1].len];
        let all = train + validation;
        // The losses of all rows, then the flags of all rows.
        let results = self.empty(2 * all);
        let plan = self.plan;
        for (rows, first) in self.rows.iter().zip([0, train]) {
            forward::launch(
                &self.client,
                cube_count(rows.len.div_ceil(plan.rows_per_cube)),
                CubeDim::new_1d(plan.units_per_cube as u32),
                plan.storage.elements_per_word(),
                buffer_arg(&rows.words),
                buffer_arg(&rows.labels),
                // In this mode, the kernel does not use `order` and `residual`.
                buffer_arg(&rows.labels),
                buffer_arg(&self.parameters),
                buffer_arg(&self.residual),
                buffer_arg(&results),
                rows.len as u32,
                first as u32,
                (all + first) as u32,
                self.scalar(self.problem.scale),
                self.scalar(self.problem.offset),
                self.scalar(0.0),
                plan,
                ForwardMode::Evaluate,
                self.types(),
            );
        }
        let results = read(&results, 2 * all)?;
        let (losses, flags) = results.split_at(all);
        Ok([0..train, train..all].map(|rows| DeviceEvaluation {
            // The host computes the mean in f64. So the order of summation does not decide which of
            // two nearly equal losses is lower.
            loss: losses[rows.clone()].iter().sum::<f64>() / rows.len() as f64,
            n_correct: flags[rows].iter().filter(|&&is_correct| is_correct > 0.0).count(),
        }))
    }

    fn gradient(&mut self, batch: &[usize]) -> Result<Gradient, TensorReadError> {
        self.read_losses()?;
        let order = self.launch_forward(batch)?;
        // A step with learning rate -1 from zero parameters is the gradient.
        let (n, n_parameters) = (batch.len(), self.plan.n_parameters());
        let length = n.div_ceil(ROWS_PER_PART) * n_parameters;
        let parts = floats(&self.client, &self.device, self.problem.dtype, &vec![0.0; length]);
        let ascent = Step { learning_rate: -1.0, l2: 0.0, penalize_bias: false };
        self.launch_backward(&order, [n, ROWS_PER_PART], &parts, ascent);
        self.read_losses()?;
        let loss = self.losses.pop().expect("the loss of this batch was read last");
        let mut sums = vec![0.0; n_parameters];
        for part in read(&parts, length)?.chunks_exact(n_parameters) {
            sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
        }
        let (weight, bias) = self.unpack(&sums);
        Ok(Gradient { loss, weight, bias })
    }

    fn parameters(&mut self) -> Result<(Vec<f64>, Vec<f64>), TensorReadError> {
        let parameters = read(&self.parameters, self.plan.n_parameters())?;
        Ok(self.unpack(&parameters))
    }

    fn set(&mut self, weight: &[f64], bias: &[f64]) {
        let (d, k) = (self.problem.n_features, self.problem.n_columns);
        assert_eq!((weight.len(), bias.len()), (d * k, k), "weight and bias of {d} features and {k} columns");
        let mut parameters = vec![0.0; self.plan.n_parameters()];
        for (feature, row) in weight.chunks_exact(k).enumerate() {
            for (class, &w) in row.iter().enumerate() {
                parameters[self.plan.parameter_index(feature, class)] = w;
            }
        }
        for (class, &b) in bias.iter().enumerate() {
            parameters[self.plan.parameter_index(4 * self.plan.words_per_row, class)] = b;
        }
        self.parameters = floats(&self.client, &self.device, self.problem.dtype, &parameters);
    }
}

/// Copies rows to the device, four features per word. Each row is padded with zeros to whole words.
fn upload(client: &Client, device: &CubeDevice, rows: &StepRows<'_>, plan: TilePlan) -> DeviceRows {
    let bytes = match rows.features {
        // The first byte is the lowest of a word, as on the device.
        StepFeatures::Bytes(bytes) => padded(bytes, plan, |byte| [byte]),
        StepFeatures::F32(numbers) => padded(numbers, plan, f32::to_ne_bytes),
        StepFeatures::F64(numbers) => padded(numbers, plan, f64::to_ne_bytes),
    };
    let (n, dtype) = (rows.labels.len(), plan.storage.dtype());
    let length = n * plan.words_per_row * plan.storage.elements_per_word();
    DeviceRows {
        words: buffer(client, device, client.create(Bytes::from_bytes_vec(bytes)), length, dtype),
        labels: integers(client, device, rows.labels),
        len: n,
    }
}

/// Returns the bytes of the rows, each padded with zeros to whole words.
fn padded<T: Copy, const N: usize>(features: &[T], plan: TilePlan, to_bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    let bytes_per_row = 4 * N * plan.words_per_row;
    let mut bytes = Vec::with_capacity(features.len() / plan.n_features * bytes_per_row);
    for row in features.chunks_exact(plan.n_features) {
        let end = bytes.len() + bytes_per_row;
        bytes.extend(row.iter().flat_map(|&feature| to_bytes(feature)));
        bytes.resize(end, 0);
    }
    bytes
}

fn integers(client: &Client, device: &CubeDevice, values: &[u32]) -> CubeTensor {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
    buffer(client, device, client.create_from_slice(&bytes), values.len(), DType::U32)
}

fn floats(client: &Client, device: &CubeDevice, dtype: DType, values: &[f64]) -> CubeTensor {
    let bytes: Vec<u8> = if dtype == DType::F64 {
        values.iter().flat_map(|value| value.to_ne_bytes()).collect()
    } else {
        values.iter().flat_map(|&value| (value as f32).to_ne_bytes()).collect()
    };
    buffer(client, device, client.create_from_slice(&bytes), values.len(), dtype)
}

/// Reads the first `length` floats from the device.
fn read(floats: &CubeTensor, length: usize) -> Result<Vec<f64>, TensorReadError> {
    Tensor::<1>::from_primitive::<Cube>(floats.clone()).narrow(0, 0, length).try_into_vec_as::<f64>()
}
