//! Operations that move elements: shapes, repetition, joining and padding.

use burn::tensor::ops::PadMode;
use burn::tensor::{Tensor, s};

use super::{Case, case, cases};

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    let mut all = cases! {
        "reshape" => |s| s.elementwise(|x| x.reshape([4, 3]));
        "reshape with -1" => |s| s.elementwise(|x| x.reshape([2, -1]));
        "transpose" => |s| s.elementwise(|x| x.transpose());
        "swap_dims" => |s| s.input(s.random(1, [2, 3, 4]), |x| x.swap_dims(0, 2));
        "permute" => |s| s.input(s.random(1, [2, 3, 4]), |x| x.permute([2, 0, 1]));
        "permute, then matmul" => |s| s.inputs(s.random(1, [2, 3, 4]), s.random(2, [2, 3, 2]), |x, y| x.permute([0, 2, 1]).matmul(y));
        "movedim" => |s| s.input(s.random(1, [2, 3, 4]), |x| x.movedim(0, 2));
        "flip" => |s| s.elementwise(|x| x.flip([0, 1]));
        "flip one" => |s| s.elementwise(|x| x.flip([1]));
        "flatten" => |s| s.input(s.random(1, [2, 3, 4]), |x| x.flatten::<2>(1, 2));
        "squeeze_dim" => |s| s.input(s.random(1, [2, 1, 4]), |x| x.squeeze_dim::<2>(1));
        "squeeze" => |s| s.input(s.random(1, [2, 1, 4]), |x| x.squeeze::<2>());
        "unsqueeze" => |s| s.elementwise(|x| x.unsqueeze::<3>().reshape([3, 4]));
        "unsqueeze_dim" => |s| s.input(s.random(1, [3, 4]), |x| x.unsqueeze_dim::<3>(1));
        "roll" => |s| s.elementwise(|x| x.roll(&[1, 2], &[0, 1]));
        "roll_dim" => |s| s.elementwise(|x| x.roll_dim(1, 1));
        "repeat_dim" => |s| s.elementwise(|x| x.repeat_dim(0, 3));
        "repeat_dim, last" => |s| s.elementwise(|x| x.repeat_dim(1, 2));
        "repeat" => |s| s.elementwise(|x| x.repeat(&[2, 3]));
        "repeat, three dimensions" => |s| s.input(s.random(1, [2, 1, 3]), |x| x.repeat(&[2, 3, 2]));
        "expand" => |s| s.input(s.random(1, [3, 1]), |x| x.expand([3, 4]));
        "expand with a new dimension" => |s| s.input(s.random(1, [3, 1]), |x| x.expand([2, 3, 4]));
        "expand, then matmul" => |s| s.inputs(s.random(1, [1, 4]), s.random(2, [4, 2]), |x, y| x.expand([3, 4]).matmul(y));
        "cat" => |s| s.inputs(s.random(1, [2, 3]), s.random(2, [4, 3]), |x, y| Tensor::cat(vec![x, y], 0));
        "cat, last dimension" => |s| s.inputs(s.random(1, [2, 3]), s.random(2, [2, 1]), |x, y| Tensor::cat(vec![x, y], 1));
        "cat of three" => |s| s.three_inputs(s.random(1, [1, 3]), s.random(2, [2, 3]), s.random(3, [3, 3]), |x, y, z| Tensor::cat(vec![x, y, z], 0));
        "cat of a tensor with itself" => |s| s.elementwise(|x| Tensor::cat(vec![x.clone(), x], 1));
        "stack" => |s| s.inputs(s.random(1, [2, 3]), s.random(2, [2, 3]), |x, y| Tensor::stack::<3>(vec![x, y], 1));
        "chunk" => |s| s.elementwise(|x| {
            let parts = x.chunk(2, 1);
            parts[0].clone() * parts[1].clone()
        });
        "split" => |s| s.elementwise(|x| {
            let parts = x.split(2, 1);
            parts[0].clone() * parts[1].clone()
        });
        "split_with_sizes" => |s| s.elementwise(|x| {
            let parts = x.split_with_sizes(vec![1, 3], 1);
            parts[0].clone() * parts[1].clone()
        });
        "narrow" => |s| s.elementwise(|x| x.narrow(1, 1, 2));
        "slice" => |s| s.elementwise(|x| x.slice(s![1..3, 0..2]));
        "slice from the end" => |s| s.elementwise(|x| x.slice(s![-2.., ..-1]));
        "slice with a step" => |s| s.elementwise(|x| x.slice(s![.., 0..4;2]));
        "slice with a step, first dimension" => |s| s.elementwise(|x| x.slice(s![0..3;2, ..]));
        "slice backwards" => |s| s.elementwise(|x| x.slice(s![.., 0..4;-1]));
        "slice_dim" => |s| s.elementwise(|x| x.slice_dim(1, 1..3));
        "slice_assign" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [2, 2]), |x, y| x.slice_assign(s![1..3, 0..2], y));
        "slice_assign with a step" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [3, 2]), |x, y| x.slice_assign(s![.., 0..4;2], y));
        "slice_assign backwards" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [3, 4]), |x, y| x.slice_assign(s![.., 0..4;-1], y));
        "slice_assign twice" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [1, 4]), |x, y| {
            x.slice_assign(s![0..1, ..], y.clone()).slice_assign(s![2..3, ..], y)
        });
        "slice_fill" => |s| s.elementwise(|x| x.slice_fill(s![1..3, 0..2], 0.5));
        "triu" => |s| s.elementwise(|x| x.triu(0));
        "tril" => |s| s.elementwise(|x| x.tril(1));
        "unfold" => |s| s.input(s.random(1, [2, 6]), |x| x.unfold::<3, _>(1, 3, 2));
        "unfold, overlapping" => |s| s.input(s.random(1, [2, 5]), |x| x.unfold::<3, _>(1, 3, 1));
        "iter_dim" => |s| s.elementwise(|x| x.iter_dim(0).fold(Tensor::zeros([1, 4], (&s.device, s.dtype.into())), |sum, row| sum * 2.0 + row));
        "detach" => |s| s.elementwise(|x| x.clone() * x.clone().sign().detach());
    };
    let pads = [[(1, 2), (0, 1)], [(0, 0), (2, 2)], [(2, 1), (3, 2)]];
    for (name, mode) in [("constant", PadMode::Constant(0.5)), ("reflect", PadMode::Reflect), ("edge", PadMode::Edge)] {
        for pad in pads {
            let run = move |s: &super::CheckContext| s.input(s.random(1, [3, 4]), |x| x.pad(pad, mode));
            all.push(case(format!("pad {name} by {pad:?}"), run));
        }
    }
    all
}
