//! Layers, activations and losses of Burn's `nn`.

use burn::nn::attention::{MhaInput, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv1dConfig, Conv2dConfig, Conv3dConfig, ConvTranspose1dConfig, ConvTranspose2dConfig};
use burn::nn::gru::GruConfig;
use burn::nn::loss::*;
use burn::nn::pool::{AdaptiveAvgPool2dConfig, AvgPool1dConfig, AvgPool2dConfig, MaxPool1dConfig, MaxPool2dConfig};
use burn::nn::transformer::{TransformerEncoderConfig, TransformerEncoderInput};
use burn::nn::{
    BatchNormConfig, EmbeddingConfig, GroupNormConfig, InstanceNormConfig, LayerNormConfig, LinearConfig, LstmConfig,
    PReluConfig, RmsNormConfig, RnnConfig, SwiGluConfig,
};
use burn::tensor::{Tensor, activation};
use chainrule_gradcheck::{Report, check_output};
use chainrule_models::to_precision;

use super::{Case, CheckContext, cases};

impl CheckContext {
    /// Checks a loss with respect to its predictions. The targets have the same shape.
    fn loss(&self, forward: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<1>) -> Report {
        let targets = self.random(2, [3, 4]);
        self.input(self.random(1, [3, 4]), move |predictions| forward(predictions, targets.clone()))
    }
}

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> { cases! {
    "Linear" => |s| s.module(LinearConfig::new(3, 2).init(&s.device), [4, 3], |m, x| m.forward(x));
    "Embedding" => |s| {
        let module = to_precision(EmbeddingConfig::new(5, 3).init(&s.device), s.dtype);
        let rows = s.labels([0, 3, 3, 1]).reshape([2, 2]);
        check_output(&module, |m: &burn::nn::Embedding| m.forward(rows.clone()), &s.options())
    };
    "Conv1d" => |s| s.module(Conv1dConfig::new(2, 3, 3).init(&s.device), [2, 2, 6], |m, x| m.forward(x));
    "Conv1d, stride 2, dilation 2" => |s| {
        s.module(Conv1dConfig::new(2, 2, 3).with_stride(2).with_dilation(2).init(&s.device), [2, 2, 9], |m, x| m.forward(x))
    };
    "Conv2d" => |s| s.module(Conv2dConfig::new([2, 3], [3, 2]).init(&s.device), [2, 2, 5, 4], |m, x| m.forward(x));
    "Conv2d, stride 2, 2 groups" => |s| {
        let module = Conv2dConfig::new([2, 4], [2, 2]).with_stride([2, 2]).with_groups(2).init(&s.device);
        s.module(module, [2, 2, 5, 5], |m, x| m.forward(x))
    };
    "Conv3d" => |s| s.module(Conv3dConfig::new([2, 2], [2, 2, 2]).init(&s.device), [1, 2, 3, 3, 3], |m, x| m.forward(x));
    "ConvTranspose1d, stride 2" => |s| {
        s.module(ConvTranspose1dConfig::new([2, 2], 3).with_stride(2).init(&s.device), [2, 2, 4], |m, x| m.forward(x))
    };
    "ConvTranspose2d, stride 2" => |s| {
        s.module(ConvTranspose2dConfig::new([2, 2], [3, 3]).with_stride([2, 2]).init(&s.device), [1, 2, 3, 3], |m, x| m.forward(x))
    };
    "AvgPool1d" => |s| s.input(s.random(1, [1, 2, 6]), |x| AvgPool1dConfig::new(2).init().forward(x));
    "AvgPool2d" => |s| s.input(s.random(1, [1, 2, 4, 4]), |x| AvgPool2dConfig::new([2, 2]).init().forward(x));
    "MaxPool1d" => |s| s.input(s.random(1, [1, 2, 6]), |x| MaxPool1dConfig::new(2).init().forward(x));
    "MaxPool2d" => |s| s.input(s.random(1, [1, 2, 4, 4]), |x| MaxPool2dConfig::new([2, 2]).init().forward(x));
    "AdaptiveAvgPool2d" => |s| {
        s.input(s.random(1, [1, 2, 5, 5]), |x| AdaptiveAvgPool2dConfig::new([2, 3]).init().forward(x))
    };
    "LayerNorm" => |s| s.module(LayerNormConfig::new(5).init(&s.device), [3, 5], |m, x| m.forward(x));
    "BatchNorm, training" => |s| s.module(BatchNormConfig::new(3).init(&s.device), [6, 3], |m, x| m.forward(x));
    "BatchNorm on images, training" => |s| {
        s.module(BatchNormConfig::new(2).init(&s.device), [2, 2, 3, 3], |m, x| m.forward(x))
    };
    "GroupNorm" => |s| s.module(GroupNormConfig::new(2, 4).init(&s.device), [2, 4, 3], |m, x| m.forward(x));
    "InstanceNorm" => |s| s.module(InstanceNormConfig::new(2).init(&s.device), [2, 2, 5], |m, x| m.forward(x));
    "RmsNorm" => |s| s.module(RmsNormConfig::new(5).init(&s.device), [3, 5], |m, x| m.forward(x));
    "Rnn" => |s| s.module(RnnConfig::new(3, 2, true).init(&s.device), [2, 3, 3], |m, x| m.forward(x, None).0);
    "Lstm" => |s| s.module(LstmConfig::new(3, 2, true).init(&s.device), [2, 3, 3], |m, x| m.forward(x, None).0);
    "Gru" => |s| s.module(GruConfig::new(3, 2, true).init(&s.device), [2, 3, 3], |m, x| m.forward(x, None));
    "MultiHeadAttention" => |s| {
        let module = MultiHeadAttentionConfig::new(4, 2).with_dropout(0.0).init(&s.device);
        s.module(module, [2, 3, 4], |m, x| m.forward(MhaInput::self_attn(x)).context)
    };
    "TransformerEncoder" => |s| {
        let module = TransformerEncoderConfig::new(4, 6, 2, 1).with_dropout(0.0).init(&s.device);
        s.module(module, [2, 3, 4], |m, x| m.forward(TransformerEncoderInput::new(x)))
    };
    "PRelu" => |s| s.module(PReluConfig::new().init(&s.device), [3, 4], |m, x| m.forward(x));
    "SwiGlu" => |s| s.module(SwiGluConfig::new(3, 2).init(&s.device), [4, 3], |m, x| m.forward(x));
    "relu" => |s| s.elementwise(activation::relu);
    "relu6" => |s| s.elementwise(activation::relu6);
    "leaky_relu" => |s| s.elementwise(|x| activation::leaky_relu(x, 0.1));
    "gelu" => |s| s.elementwise(activation::gelu);
    "gelu_approximate" => |s| s.elementwise(activation::gelu_approximate);
    "sigmoid" => |s| s.elementwise(activation::sigmoid);
    "log_sigmoid" => |s| s.elementwise(activation::log_sigmoid);
    "hard_sigmoid" => |s| s.elementwise(|x| activation::hard_sigmoid(x, 0.2, 0.5));
    "silu" => |s| s.elementwise(activation::silu);
    "hard_swish" => |s| s.elementwise(activation::hard_swish);
    "mish" => |s| s.elementwise(activation::mish);
    "tanh" => |s| s.elementwise(activation::tanh);
    "tanhshrink" => |s| s.elementwise(activation::tanhshrink);
    "hardtanh" => |s| s.elementwise(|x| activation::hardtanh(x, -1.0, 1.0));
    "softplus" => |s| s.elementwise(|x| activation::softplus(x, 1.0));
    "softsign" => |s| s.elementwise(activation::softsign);
    "elu" => |s| s.elementwise(|x| activation::elu(x, 1.0));
    "celu" => |s| s.elementwise(|x| activation::celu(x, 1.5));
    "selu" => |s| s.elementwise(activation::selu);
    "glu" => |s| s.elementwise(|x| activation::glu(x, 1));
    "softmax" => |s| s.elementwise(|x| activation::softmax(x, 1));
    "softmin" => |s| s.elementwise(|x| activation::softmin(x, 1));
    "quiet_softmax" => |s| s.elementwise(|x| activation::quiet_softmax(x, 1));
    "log_softmax" => |s| s.elementwise(|x| activation::log_softmax(x, 1));
    "MseLoss" => |s| s.loss(|x, y| MseLoss::new().forward(x, y, Reduction::Mean));
    "HuberLoss" => |s| s.loss(|x, y| HuberLossConfig::new(0.5).init().forward(x, y, Reduction::Mean));
    "SmoothL1Loss" => |s| s.loss(|x, y| SmoothL1LossConfig::new().init().forward_with_reduction(x, y, Reduction::Mean));
    "LpLoss, p = 1" => |s| s.loss(|x, y| LpLossConfig::new(1.0).init().forward(x, y, Reduction::Mean));
    "LpLoss, p = 3" => |s| s.loss(|x, y| LpLossConfig::new(3.0).init().forward(x, y, Reduction::Mean));
    "SoftMarginLoss" => |s| s.loss(|x, y| SoftMarginLoss::new().forward(x, y.sign(), Reduction::Mean));
    "KLDivLoss" => |s| s.loss(|x, y| KLDivLossConfig::new().init().forward(x, activation::softmax(y, 1), Reduction::BatchMean));
    "PoissonNllLoss" => |s| s.loss(|x, y| PoissonNllLossConfig::new().init().forward(x, y.abs() * 3.0, Reduction::Mean));
    "GaussianNLLLoss" => |s| {
        let (y, variance) = (s.random(2, [3, 4]), s.random(3, [3, 4]).exp());
        s.input(s.random(1, [3, 4]), move |x| {
            GaussianNLLLossConfig::new().init().forward(x, y.clone(), variance.clone(), Reduction::Mean)
        })
    };
    "HingeEmbeddingLoss" => |s| {
        s.loss(|x, y| HingeEmbeddingLossConfig::new().init().forward(x, y.sign(), Reduction::Mean))
    };
    "MarginRankingLoss" => |s| {
        let other = s.random(3, [3, 4]);
        s.loss(move |x, y| MarginRankingLossConfig::new().init().forward(x, other.clone(), y.sign(), Reduction::Mean))
    };
    "TripletMarginLoss" => |s| {
        let (near, far) = (s.random(2, [3, 4]), s.random(3, [3, 4]));
        s.input(s.random(1, [3, 4]), move |x| {
            TripletMarginLossConfig::new().init().forward(x, near.clone(), far.clone(), Reduction::Mean)
        })
    };
    "MultiMarginLoss" => |s| {
        let y = s.labels([0, 3, 1]);
        s.input(s.random(1, [3, 4]), move |x| MultiMarginLossConfig::new().init().forward(x, y.clone(), Reduction::Mean))
    };
    "CosineEmbeddingLoss" => |s| {
        let (other, y) = (s.random(2, [3, 4]), s.labels([1, -1, 1]));
        s.input(s.random(1, [3, 4]), move |x| CosineEmbeddingLossConfig::new().init().forward(x, other.clone(), y.clone()))
    };
    "CrossEntropyLoss" => |s| {
        let (loss, y) = (CrossEntropyLossConfig::new().init(&s.device), s.labels([0, 3, 1]));
        s.input(s.random(1, [3, 4]) * 2.0, move |x| loss.forward(x, y.clone()))
    };
    "CrossEntropyLoss, smoothed" => |s| {
        let (loss, y) = (CrossEntropyLossConfig::new().with_smoothing(Some(0.1)).init(&s.device), s.labels([0, 3, 1]));
        s.input(s.random(1, [3, 4]), move |x| loss.forward(x, y.clone()))
    };
    "BinaryCrossEntropyLoss, logits" => |s| {
        let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&s.device);
        let y = s.labels([0, 1, 1, 0]);
        s.input(s.random(1, [4]) * 2.0, move |x| loss.forward(x, y.clone()))
    };
    "BinaryCrossEntropyLoss, logits of zero" => |s| {
        let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&s.device);
        let y = s.labels([0, 1, 1, 0]);
        s.input(s.random(1, [4]) * 0.0, move |x| loss.forward(x, y.clone()))
    };
    "BinaryCrossEntropyLoss" => |s| {
        let loss = BinaryCrossEntropyLossConfig::new().init(&s.device);
        let y = s.labels([0, 1, 1, 0]);
        s.input(s.random(1, [4]) * 0.4 + 0.5, move |x| loss.forward(x, y.clone()))
    };
    "CTCLoss" => |s| {
        let targets = s.labels([1, 2, 2, 1]).reshape([2, 2]);
        let (inputs, lengths) = (s.labels([5, 4]), s.labels([2, 1]));
        s.input(s.random(1, [5, 2, 3]), move |x| {
            let x = activation::log_softmax(x, 2);
            CTCLossConfig::new().init().forward(x, targets.clone(), inputs.clone(), lengths.clone())
        })
    };
    "RNNTLoss" => |s| {
        let targets = s.labels([1, 2, 2, 1]).reshape([2, 2]);
        let (inputs, lengths) = (s.labels([3, 2]), s.labels([2, 1]));
        s.input(s.random(1, [2, 3, 3, 3]), move |x| {
            RNNTLossConfig::new().init().forward(x, targets.clone(), inputs.clone(), lengths.clone())
        })
    };
}}
