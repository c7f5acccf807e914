//! Networks with kinks.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use chainrule_gradcheck::{Options, check};

#[derive(Module, Debug)]
struct Network {
    first: Linear,
    second: Linear,
}

fn linear([d, k]: [usize; 2], dtype: FloatDType) -> Linear {
    let mut linear = LinearConfig::new(d, k).init(&Device::default());
    linear.weight = Param::from_tensor(linear.weight.val().cast(dtype));
    linear.bias = linear.bias.map(|bias| Param::from_tensor(bias.val().cast(dtype)));
    linear
}

/// Counts the passes and the failures of networks with random weights and rows.
pub(crate) fn check_networks(
    seeds: u64,
    hidden: usize,
    batch: usize,
    dtype: FloatDType,
    activation: fn(Tensor<2>) -> Tensor<2>,
) -> [usize; 2] {
    let device = Device::default();
    let mut counts = [0; 2];
    for seed in 0..seeds {
        device.seed(seed);
        let network = Network { first: linear([8, hidden], dtype), second: linear([hidden, 1], dtype) };
        let x = Tensor::<2>::random([batch, 8], Distribution::Normal(0.0, 1.0), &device);
        let y = Tensor::<2>::random([batch, 1], Distribution::Normal(0.0, 1.0), &device);
        let loss = |network: &Network| {
            let dtype = FloatDType::from(network.first.weight.val().dtype());
            let z = network.first.forward(x.clone().cast(dtype));
            (network.second.forward(activation(z)) - y.clone().cast(dtype)).square().mean()
        };
        let report = check(&network, loss, &Options::default());
        counts[0] += usize::from(report.passed());
        counts[1] += usize::from(report.failed() > 0);
    }
    counts
}
