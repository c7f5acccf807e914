use burn::backend::Cube;
use burn::tensor::{DType, Tensor, TensorReadError};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim, InputScalar};
use burn_cubecl::tensor::CubeTensor;

use super::kernels::{ForwardMode, backward, forward};
use super::plan::TilePlan;
use super::{argument, buffer, cubes, element};
use chainrule_core::{Gradient, Step};

use crate::steps::{DeviceEvaluation, DeviceSteps, Images, StepProblem};

/// Minimum capacity, in rows, of the losses on the device. Reading them makes the device finish its
/// work first.
const LOSSES_ON_DEVICE: usize = 1 << 16;

pub(crate) fn steps(device: CubeDevice, problem: StepProblem, images: [Images<'_>; 2]) -> Box<dyn DeviceSteps> {
    Box::new(Steps::new(device, problem, images))
}

/// Parameters and images on a device.
struct Steps {
    client: Client,
    device: CubeDevice,
    problem: StepProblem,
    plan: TilePlan,
    parameters: CubeTensor,
    images: [DeviceRows; 2],
    /// The residuals of a batch. The buffer fits the largest batch so far.
    residual: CubeTensor,
    /// The losses of each row of the steps that have not been read yet.
    found: PendingLosses,
    losses: Vec<f64>,
}

/// Rows on a device.
struct DeviceRows {
    words: CubeTensor,
    labels: CubeTensor,
    rows: usize,
}

/// Losses on the device that have not been read yet.
struct PendingLosses {
    rows: CubeTensor,
    capacity: usize,
    /// Number of rows of each step.
    pending: Vec<usize>,
}

impl Steps {
    fn new(device: CubeDevice, problem: StepProblem, images: [Images<'_>; 2]) -> Self {
        let client = device.client();
        let plane = client.properties().hardware.plane_size_max as usize;
        let plan = TilePlan::new(problem.loss, problem.n_features, problem.n_columns, plane);
        let images = images.map(|images| resident(&client, &device, &images, plan));
        let zeros = floats(&client, &device, problem.dtype, &vec![0.0; plan.parameters()]);
        let one = floats(&client, &device, problem.dtype, &[0.0; 4]);
        Self {
            problem,
            plan,
            parameters: zeros,
            images,
            residual: one.clone(),
            found: PendingLosses { rows: one, capacity: 0, pending: Vec::new() },
            losses: Vec::new(),
            client,
            device,
        }
    }

    fn scalar(&self, value: f64) -> InputScalar {
        InputScalar::new(value, element(self.problem.dtype))
    }

    fn empty(&self, length: usize) -> CubeTensor {
        let handle = self.client.empty(length * self.problem.dtype.size());
        buffer(&self.client, &self.device, handle, length, self.problem.dtype)
    }

    /// Launches the forward kernel on rows of the training images.
    fn go_forward(&mut self, batch: &[usize]) -> Result<CubeTensor, TensorReadError> {
        let n = batch.len();
        let rows = self.images[0].rows;
        assert!(n > 0, "a row at least");
        assert!(
            batch.iter().all(|&row| row < rows),
            "rows of a batch: expected 0..{rows}, found {:?}",
            batch.iter().max()
        );
        let order: Vec<u32> = batch.iter().map(|&row| row as u32).collect();
        let order = integers(&self.client, &self.device, &order);
        let needed = n * self.plan.tiles * self.plan.padded();
        if self.residual.meta.shape().num_elements() < needed {
            self.residual = self.empty(needed);
        }
        let mut first: usize = self.found.pending.iter().sum();
        if first + n > self.found.capacity {
            self.read_losses()?;
            first = 0;
        }
        if n > self.found.capacity {
            self.found.capacity = LOSSES_ON_DEVICE.max(n);
            self.found.rows = self.empty(self.found.capacity);
        }
        let (plan, images) = (self.plan, &self.images[0]);
        forward::launch(
            &self.client,
            cubes(n.div_ceil(plan.rows)),
            CubeDim::new_1d(plan.units as u32),
            argument(&images.words),
            argument(&images.labels),
            argument(&order),
            argument(&self.parameters),
            argument(&self.residual),
            argument(&self.found.rows),
            n as u32,
            first as u32,
            0,
            self.scalar(self.problem.scale),
            self.scalar(self.problem.offset),
            self.scalar(1.0 / n as f64),
            plan,
            ForwardMode::Train,
            element(self.problem.dtype),
        );
        self.found.pending.push(n);
        Ok(order)
    }

    /// Launches the backward kernel, which uses the residuals of the forward kernel.
    fn go_backward(&self, order: &CubeTensor, n: usize, parameters: &CubeTensor, step: Step) {
        let plan = self.plan;
        let cubes = CubeCount::Static((plan.words + 1).div_ceil(plan.across * plan.wide) as u32, plan.tiles as u32, 1);
        backward::launch(
            &self.client,
            cubes,
            CubeDim::new_1d((plan.across * plan.down) as u32),
            argument(&self.images[0].words),
            argument(order),
            argument(&self.residual),
            argument(parameters),
            n as u32,
            self.scalar(self.problem.scale),
            self.scalar(self.problem.offset),
            self.scalar(step.learning_rate),
            self.scalar(step.l2),
            self.scalar(if step.penalize_bias { step.l2 } else { 0.0 }),
            plan,
            element(self.problem.dtype),
        );
    }

    fn read_losses(&mut self) -> Result<(), TensorReadError> {
        let pending = std::mem::take(&mut self.found.pending);
        let waiting: usize = pending.iter().sum();
        if waiting == 0 {
            return Ok(());
        }
        let rows = read(&self.found.rows, waiting)?;
        let mut rest = rows.as_slice();
        for n in pending {
            let (of_step, after) = rest.split_at(n);
            rest = after;
            self.losses.push(of_step.iter().sum::<f64>() / n as f64);
        }
        Ok(())
    }

    /// Returns W by rows and b, from parameters in the layout of the device.
    fn in_order(&self, parameters: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (d, k) = (self.problem.n_features, self.problem.n_columns);
        let row = |feature: usize| (0..k).map(move |class| (feature, class));
        let take = |(feature, class)| parameters[self.plan.place(feature, class)];
        ((0..d).flat_map(row).map(take).collect(), row(4 * self.plan.words).map(take).collect())
    }
}

impl DeviceSteps for Steps {
    fn step(&mut self, batch: &[usize], step: Step) -> Result<(), TensorReadError> {
        let order = self.go_forward(batch)?;
        self.go_backward(&order, batch.len(), &self.parameters, step);
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<f64>, TensorReadError> {
        self.read_losses()?;
        Ok(std::mem::take(&mut self.losses))
    }

    fn evaluate(&mut self) -> Result<[DeviceEvaluation; 2], TensorReadError> {
        let [train, validation] = [self.images[0].rows, self.images[1].rows];
        let all = train + validation;
        // All losses, then one flag per row: whether it is correctly classified.
        let found = self.empty(2 * all);
        let plan = self.plan;
        for (images, first) in self.images.iter().zip([0, train]) {
            forward::launch(
                &self.client,
                cubes(images.rows.div_ceil(plan.rows)),
                CubeDim::new_1d(plan.units as u32),
                argument(&images.words),
                argument(&images.labels),
                // This mode reads no order and writes no residual.
                argument(&images.labels),
                argument(&self.parameters),
                argument(&self.residual),
                argument(&found),
                images.rows as u32,
                first as u32,
                (all + first) as u32,
                self.scalar(self.problem.scale),
                self.scalar(self.problem.offset),
                self.scalar(0.0),
                plan,
                ForwardMode::Evaluate,
                element(self.problem.dtype),
            );
        }
        let found = read(&found, 2 * all)?;
        let (losses, verdicts) = found.split_at(all);
        Ok([0..train, train..all].map(|rows| DeviceEvaluation {
            // The host computes the mean in f64. So the order of summation does not decide which of
            // two nearly equal losses is lower.
            loss: losses[rows.clone()].iter().sum::<f64>() / rows.len() as f64,
            right: verdicts[rows].iter().filter(|&&is_right| is_right > 0.0).count(),
        }))
    }

    fn gradient(&mut self, batch: &[usize]) -> Result<Gradient, TensorReadError> {
        self.read_losses()?;
        let order = self.go_forward(batch)?;
        // A step with rate -1 from zero parameters yields the gradient.
        let gradient = floats(&self.client, &self.device, self.problem.dtype, &vec![0.0; self.plan.parameters()]);
        let up = Step { learning_rate: -1.0, l2: 0.0, penalize_bias: false };
        self.go_backward(&order, batch.len(), &gradient, up);
        self.read_losses()?;
        let loss = self.losses.pop().expect("the batch's, which was read last");
        let (weight, bias) = self.in_order(&read(&gradient, self.plan.parameters())?);
        Ok(Gradient { loss, weight, bias })
    }

    fn parameters(&mut self) -> Result<(Vec<f64>, Vec<f64>), TensorReadError> {
        let parameters = read(&self.parameters, self.plan.parameters())?;
        Ok(self.in_order(&parameters))
    }

    fn set(&mut self, weight: &[f64], bias: &[f64]) {
        let (d, k) = (self.problem.n_features, self.problem.n_columns);
        assert_eq!((weight.len(), bias.len()), (d * k, k), "weight and bias of {d} features and {k} columns");
        let mut parameters = vec![0.0; self.plan.parameters()];
        for (feature, row) in weight.chunks_exact(k).enumerate() {
            for (class, &w) in row.iter().enumerate() {
                parameters[self.plan.place(feature, class)] = w;
            }
        }
        for (class, &b) in bias.iter().enumerate() {
            parameters[self.plan.place(4 * self.plan.words, class)] = b;
        }
        self.parameters = floats(&self.client, &self.device, self.problem.dtype, &parameters);
    }
}

/// Copies rows to the device as words. A row is padded with zeros to a multiple of four bytes.
fn resident(client: &Client, device: &CubeDevice, images: &Images<'_>, plan: TilePlan) -> DeviceRows {
    let pack = |bytes: &[u8]| {
        let mut four = [0; 4];
        four[..bytes.len()].copy_from_slice(bytes);
        u32::from_le_bytes(four)
    };
    let words: Vec<u32> = images.pixels.chunks_exact(plan.features).flat_map(|row| row.chunks(4).map(pack)).collect();
    DeviceRows {
        words: integers(client, device, &words),
        labels: integers(client, device, images.labels),
        rows: images.labels.len(),
    }
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
