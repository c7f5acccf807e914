//! A custom training loop: the model, its closed-form gradient and one of Burn's optimizers.
//!
//! ```sh
//! cargo run --example own_loop
//! ```

#![expect(clippy::print_stdout, reason = "this is a program")]

use chainrule::burn::module::Module;
use chainrule::burn::optim::AdamConfig;
use chainrule::burn::tensor::{Device, Int, Tensor, TensorData};
use chainrule::models::{L2, SoftmaxRegressionConfig, closed_form};
use chainrule::{Error, Samples};

const EPOCHS: usize = 5;
const BATCH: usize = 50;

fn main() -> Result<(), Error> {
    let [train, validation] = Samples::digits(2500, 0).split(0.2, 0)?;
    let device = Device::default();
    let (x, y) = tensors(&train, &device);
    let (validation_x, validation_y) = tensors(&validation, &device);

    // Burn's optimizers need a model on an autodiff device. The closed form does not.
    let mut model =
        SoftmaxRegressionConfig::new(train.n_features(), train.classes().len()).init(&device.clone().autodiff());
    let mut optimizer = AdamConfig::new().init();
    let l2 = L2 { strength: 1e-3, penalize_bias: false };
    for epoch in 0..EPOCHS {
        for first in (0..=train.len() - BATCH).step_by(BATCH) {
            let rows = first..first + BATCH;
            let (x, y) = (x.clone().slice(rows.clone()), y.clone().slice(rows));
            let gradient = closed_form(&model, x, y, l2).gradient.into_params(&model.linear);
            model = optimizer.step(0.002, model, gradient);
        }
        let predicted = model.valid().forward(validation_x.clone()).argmax(1).squeeze_dim::<1>(1);
        let right = predicted.equal(validation_y.clone()).int().sum().into_scalar::<i64>();
        println!("epoch {epoch}: {right} of {} right", validation.len());
    }
    Ok(())
}

/// Features `[n, d]` from -1 to 1, and labels `[n]`.
fn tensors(samples: &Samples, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let (n, d) = (samples.len(), samples.n_features());
    let pixels: Vec<f64> = (0..n).flat_map(|row| samples.row(row)).collect();
    let labels: Vec<i32> = samples.labels().iter().copied().map(i32::from).collect();
    let features = Tensor::from_data(TensorData::new(pixels, [n, d]), device) / 127.5 - 1.0;
    (features, Tensor::from_data(TensorData::new(labels, [n]), device))
}
