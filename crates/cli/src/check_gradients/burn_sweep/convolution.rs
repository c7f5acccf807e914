//! Windows that slide over images: convolutions with every stride, padding, dilation and group,
//! pools, interpolation and samples of a grid.

use burn::tensor::Tensor;
use burn::tensor::module::{
    adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, avg_pool1d, avg_pool2d, conv_transpose1d,
    conv_transpose2d, conv_transpose3d, conv1d, conv2d, conv3d, deform_conv2d, embedding, fold4d, interpolate,
    max_pool1d, max_pool1d_with_indices, max_pool2d, max_pool2d_with_indices, unfold4d,
};
use burn::tensor::ops::{
    AvgPoolOptions, ConvOptions, ConvTransposeOptions, DeformConvOptions, GridSampleOptions, GridSamplePaddingMode,
    InterpolateMode, InterpolateOptions, MaxPoolOptions, UnfoldOptions,
};
use chainrule_gradcheck::Report;

use super::{Case, CheckContext, case, cases};

/// Stride, padding, dilation and groups. The last length of the input does not fit the stride.
const WINDOWS: [[usize; 4]; 12] = [
    [1, 0, 1, 1],
    [1, 1, 1, 1],
    [2, 0, 1, 1],
    [2, 1, 1, 1],
    [3, 0, 1, 1],
    [1, 0, 2, 1],
    [2, 1, 2, 1],
    [1, 2, 2, 1],
    [1, 0, 1, 2],
    [2, 1, 1, 2],
    [2, 0, 2, 2],
    [3, 2, 1, 2],
];

fn conv1d_case(s: &CheckContext, [stride, padding, dilation, groups]: [usize; 4], length: usize) -> Report {
    let options = ConvOptions::new([stride], [padding], [dilation], groups);
    let (x, w, b) = (s.random(1, [2, 4, length]), s.random(2, [4, 4 / groups, 3]), s.random(3, [4]));
    s.three_inputs(x, w, b, |x, w, b| conv1d(x, w, Some(b), options.clone()))
}

fn conv2d_case(s: &CheckContext, [stride, padding, dilation, groups]: [usize; 4]) -> Report {
    let options = ConvOptions::new([stride, 1], [padding, 1], [dilation, 1], groups);
    let (x, w, b) = (s.random(1, [2, 2, 7, 4]), s.random(2, [4, 2 / groups, 3, 2]), s.random(3, [4]));
    s.three_inputs(x, w, b, |x, w, b| conv2d(x, w, Some(b), options.clone()))
}

fn conv3d_case(s: &CheckContext, [stride, padding, dilation, groups]: [usize; 4]) -> Report {
    let options = ConvOptions::new([stride, 1, 1], [padding, 0, 0], [dilation, 1, 1], groups);
    let (x, w, b) = (s.random(1, [1, 2, 7, 2, 3]), s.random(2, [2, 2 / groups, 3, 1, 2]), s.random(3, [2]));
    s.three_inputs(x, w, b, |x, w, b| conv3d(x, w, Some(b), options.clone()))
}

fn conv_transpose1d_case(s: &CheckContext, [stride, padding, dilation, groups]: [usize; 4]) -> Report {
    let options = ConvTransposeOptions::new([stride], [padding], [stride - 1], [dilation], groups);
    let (x, w, b) = (s.random(1, [2, 4, 5]), s.random(2, [4, 2, 3]), s.random(3, [2 * groups]));
    s.three_inputs(x, w, b, |x, w, b| conv_transpose1d(x, w, Some(b), options.clone()))
}

fn conv_transpose2d_case(s: &CheckContext, [stride, padding, dilation, groups]: [usize; 4]) -> Report {
    let options = ConvTransposeOptions::new([stride, 1], [padding, 0], [stride - 1, 0], [dilation, 1], groups);
    let (x, w, b) = (s.random(1, [1, 2, 4, 3]), s.random(2, [2, 2, 3, 2]), s.random(3, [2 * groups]));
    s.three_inputs(x, w, b, |x, w, b| conv_transpose2d(x, w, Some(b), options.clone()))
}

fn conv_transpose3d_case(s: &CheckContext, [stride, padding, dilation, groups]: [usize; 4]) -> Report {
    let options =
        ConvTransposeOptions::new([stride, 1, 1], [padding, 0, 0], [stride - 1, 0, 0], [dilation, 1, 1], groups);
    let (x, w, b) = (s.random(1, [1, 2, 4, 2, 2]), s.random(2, [2, 1, 3, 1, 2]), s.random(3, [groups]));
    s.three_inputs(x, w, b, |x, w, b| conv_transpose3d(x, w, Some(b), options.clone()))
}

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    let mut all = cases! {
        // Where the length, less the window, is no multiple of the stride, a part of the end is not
        // read.
        "conv1d of 12, stride 2, padding 1, 2 groups" => |s| conv1d_case(s, [2, 1, 1, 2], 12);
        "conv1d without bias" => |s| s.inputs(s.random(1, [2, 2, 6]), s.random(2, [3, 2, 3]), |x, w| {
            conv1d(x, w, None, ConvOptions::new([1], [0], [1], 1))
        });
        "deform_conv2d" => |s| {
            let options = DeformConvOptions::new([1, 1], [0, 0], [1, 1], 1, 1);
            let (offset, mask) = (s.random(4, [1, 8, 3, 3]) * 0.4, s.positive(5, [1, 4, 3, 3]));
            s.three_inputs(s.random(1, [1, 2, 4, 4]), offset, s.random(2, [2, 2, 2, 2]), |x, offset, w| {
                deform_conv2d(x, offset, w, Some(mask.clone()), None, options.clone())
            })
        };
        "unfold4d" => |s| s.input(s.random(1, [1, 2, 4, 4]), |x| unfold4d(x, [2, 3], UnfoldOptions::new([1, 1], [0, 0], [1, 1])));
        "unfold4d, stride 2, padding 1, dilation 2" => |s| {
            s.input(s.random(1, [1, 2, 5, 5]), |x| unfold4d(x, [2, 2], UnfoldOptions::new([2, 2], [1, 1], [2, 2])))
        };
        "fold4d" => |s| s.input(s.random(1, [1, 8, 9]), |x| fold4d(x, [4, 4], [2, 2], UnfoldOptions::new([1, 1], [0, 0], [1, 1])));
        "embedding, repeated" => |s| {
            let rows = s.indices(&[0, 3, 3, 1], [2, 2]);
            s.input(s.random(1, [4, 3]), move |w| embedding(w, rows.clone()))
        };
        "adaptive_avg_pool1d" => |s| s.input(s.random(1, [2, 2, 7]), |x| adaptive_avg_pool1d(x, 3));
        "adaptive_avg_pool2d, larger" => |s| s.input(s.random(1, [1, 2, 3, 3]), |x| adaptive_avg_pool2d(x, [5, 4]));
        "adaptive_avg_pool3d" => |s| s.input(s.random(1, [1, 1, 4, 3, 4]), |x| adaptive_avg_pool3d(x, [2, 2, 3]));
        "max_pool2d of equal numbers" => |s| {
            s.input(s.numbers(&[1.0, 2.0, 2.0, 0.0], [1, 1, 2, 2]), |x| max_pool2d(x, MaxPoolOptions::new([2, 2])))
        };
        "max_pool1d of equal numbers" => |s| {
            s.input(s.numbers(&[2.0, 2.0, 0.0, 1.0], [1, 1, 4]), |x| max_pool1d(x, MaxPoolOptions::new([2])))
        };
        "max_pool1d_with_indices" => |s| s.input(s.random(1, [1, 2, 6]), |x| max_pool1d_with_indices(x, MaxPoolOptions::new([3])).0);
        "max_pool2d_with_indices" => |s| s.input(s.random(1, [1, 2, 4, 4]), |x| max_pool2d_with_indices(x, MaxPoolOptions::new([2, 2])).0);
    };
    for window @ [stride, padding, dilation, groups] in WINDOWS {
        let name = format!("stride {stride}, padding {padding}, dilation {dilation}, groups {groups}");
        all.push(case(format!("conv1d, {name}"), move |s| conv1d_case(s, window, 9)));
        all.push(case(format!("conv1d of 10, {name}"), move |s| conv1d_case(s, window, 10)));
        all.push(case(format!("conv2d, {name}"), move |s| conv2d_case(s, window)));
        all.push(case(format!("conv3d, {name}"), move |s| conv3d_case(s, window)));
        all.push(case(format!("conv_transpose1d, {name}"), move |s| conv_transpose1d_case(s, window)));
        all.push(case(format!("conv_transpose2d, {name}"), move |s| conv_transpose2d_case(s, window)));
        all.push(case(format!("conv_transpose3d, {name}"), move |s| conv_transpose3d_case(s, window)));
    }
    for (stride, padding) in [(1, 0), (2, 0), (2, 1), (3, 1)] {
        for ceil_mode in [false, true] {
            let name = format!("stride {stride}, padding {padding}{}", if ceil_mode { ", ceil" } else { "" });
            for dilation in [1, 2] {
                let run = move |s: &CheckContext| s.input(s.random(1, [1, 2, 8]), |x| max_pool1d(x, MaxPoolOptions {
                    stride: [stride], padding: [(padding, padding)], dilation: [dilation], ceil_mode, ..MaxPoolOptions::new([3])
                }));
                all.push(case(format!("max_pool1d, {name}, dilation {dilation}"), run));
                let run = move |s: &CheckContext| s.input(s.random(1, [1, 1, 8, 5]), |x| max_pool2d(x, MaxPoolOptions {
                    stride: [stride, 1], padding: [(padding, padding), (0, 0)], dilation: [dilation, 1], ceil_mode, ..MaxPoolOptions::new([3, 2])
                }));
                all.push(case(format!("max_pool2d, {name}, dilation {dilation}"), run));
            }
            for count_include_pad in [false, true] {
                let name = format!("{name}{}", if count_include_pad { ", padding counted" } else { "" });
                let run = move |s: &CheckContext| s.input(s.random(1, [1, 2, 8]), |x| avg_pool1d(x, AvgPoolOptions {
                    stride: [stride], padding: [(padding, padding)], count_include_pad, ceil_mode, ..AvgPoolOptions::new([3])
                }));
                all.push(case(format!("avg_pool1d, {name}"), run));
                let run = move |s: &CheckContext| s.input(s.random(1, [1, 1, 8, 5]), |x| avg_pool2d(x, AvgPoolOptions {
                    stride: [stride, 1], padding: [(padding, padding), (0, 0)], count_include_pad, ceil_mode, ..AvgPoolOptions::new([3, 2])
                }));
                all.push(case(format!("avg_pool2d, {name}"), run));
            }
        }
    }
    let modes = [
        ("nearest", InterpolateMode::Nearest), ("nearest exact", InterpolateMode::NearestExact),
        ("bilinear", InterpolateMode::Bilinear), ("bicubic", InterpolateMode::Bicubic),
        ("lanczos", InterpolateMode::Lanczos3),
    ];
    for (mode_name, mode) in modes {
        for (how, size) in [("larger", [5, 7]), ("smaller", [2, 3])] {
            for align_corners in [true, false] {
                let mode = mode.clone();
                let corners = if align_corners { ", corners aligned" } else { "" };
                let run = move |s: &CheckContext| s.input(s.random(1, [1, 1, 3, 4]), |x| {
                    interpolate(x, InterpolateOptions { align_corners, output_size: Some(size), ..InterpolateOptions::new(mode.clone()) })
                });
                all.push(case(format!("interpolate {mode_name}, {how}{corners}"), run));
            }
        }
    }
    for (name, padding) in [("zeros", GridSamplePaddingMode::Zeros), ("border", GridSamplePaddingMode::Border), ("reflection", GridSamplePaddingMode::Reflection)] {
        let run = move |s: &CheckContext| {
            let options = GridSampleOptions::new(InterpolateMode::Bilinear).with_padding_mode(padding);
            s.inputs(s.random(1, [1, 1, 3, 4]), s.random(2, [1, 2, 2, 2]), |x: Tensor<4>, grid: Tensor<4>| {
                x.grid_sample_2d(grid, options.clone())
            })
        };
        all.push(case(format!("grid_sample_2d, bilinear, {name}"), run));
    }
    all
}
