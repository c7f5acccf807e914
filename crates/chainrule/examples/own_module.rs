//! Checks the gradients of a Burn module: a network of two layers, and a single layer with a
//! mistake in its hand-derived gradient.
//!
//! ```sh
//! cargo run --example own_module
//! ```

#![expect(clippy::print_stdout, reason = "this is a program")]

use chainrule::burn::module::Module;
use chainrule::burn::nn::loss::{MseLoss, Reduction};
use chainrule::burn::nn::{Linear, LinearConfig};
use chainrule::burn::optim::GradientsParams;
use chainrule::burn::tensor::activation::tanh;
use chainrule::burn::tensor::{Device, Distribution, Tensor};
use chainrule::gradcheck::{Options, check, compare};

/// `[n, 3] -> [n, 2]`.
#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

impl Network {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(tanh(self.hidden.forward(x)))
    }
}

fn main() {
    let device = Device::default();
    let network =
        Network { hidden: LinearConfig::new(3, 8).init(&device), output: LinearConfig::new(8, 2).init(&device) };
    let x = Tensor::<2>::random([16, 3], Distribution::Default, &device);
    let y = Tensor::<2>::random([16, 2], Distribution::Default, &device);
    let loss = |network: &Network| MseLoss::new().forward(network.forward(x.clone()), y.clone(), Reduction::Mean);

    // Compare Burn's autodiff with finite differences of the loss, for every parameter by name.
    println!("{}", check(&network, loss, &Options::default()));

    // Also check a hand-derived gradient. For a single layer X W + b with the residual R = 2 (X W +
    // b - Y) / (n k), the gradient of W is X^T R, and that of b is R summed over the rows. The
    // factor 2 is missing here on purpose.
    let linear = LinearConfig::new(3, 2).init(&device);
    let loss = |linear: &Linear| MseLoss::new().forward(linear.forward(x.clone()), y.clone(), Reduction::Mean);
    let residual = (linear.forward(x.clone()) - y.clone()) / (16 * 2) as f64;
    let mut by_hand = GradientsParams::new();
    by_hand.register(linear.weight.id, x.clone().transpose().matmul(residual.clone()));
    let bias = linear.bias.as_ref().expect("a linear layer has one unless told otherwise");
    by_hand.register(bias.id, residual.sum_dim(0).squeeze_dim::<1>(0));
    println!("{}", compare(&linear, loss, &[("by hand", by_hand)], &Options::default()));
}
