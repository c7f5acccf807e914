//! Sums, means, products, extremes and their running forms.

use burn::tensor::Tensor;

use super::{Case, case, cases};

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    let mut all = cases! {
        "sum" => |s| s.elementwise(|x| x.square().sum().reshape([1, 1]));
        "mean" => |s| s.elementwise(|x| x.square().mean().reshape([1, 1]));
        "prod" => |s| s.input(s.positive(1, [2, 3]), |x| x.prod());
        "prod with two zeros" => |s| s.input(s.numbers(&[0.0, 2.0, 0.0], [3]), |x| x.prod());
        "prod with a zero" => |s| s.input(s.numbers(&[0.0, 2.0, 3.0], [3]), |x| x.prod());
        "prod_dim with a zero" => |s| s.input(s.numbers(&[0.0, 2.0, 3.0, 1.0], [2, 2]), |x| x.prod_dim(1));
        "prod_dims" => |s| s.input(s.positive(1, [2, 3, 2]), |x| x.prod_dims(&[0, 2]));
        "max" => |s| s.elementwise(|x| x.max().reshape([1, 1]));
        "min" => |s| s.elementwise(|x| x.min().reshape([1, 1]));
        "max_abs" => |s| s.elementwise(|x| x.max_abs().reshape([1, 1]));
        "max of equal numbers" => |s| s.input(s.numbers(&[2.0, 1.0, 2.0], [3]), |x| x.max());
        "max_dim of equal numbers" => |s| s.input(s.numbers(&[2.0, 1.0, 2.0], [1, 3]), |x| x.max_dim(1));
        "mean_dims" => |s| s.input(s.random(1, [2, 3, 2]), |x| x.square().mean_dims(&[0, 2]));
        "sum_dims" => |s| s.input(s.random(1, [2, 3, 2]), |x| x.square().sum_dims(&[0, 2]));
        "sum_dims_squeeze" => |s| s.input(s.random(1, [2, 3, 2]), |x| x.square().sum_dims_squeeze::<1, _>(&[0, 2]));
        "max_dims" => |s| s.input(s.random(1, [2, 3, 2]), |x| x.max_dims(&[0, 2]));
        "min_dims" => |s| s.input(s.random(1, [2, 3, 2]), |x| x.min_dims(&[0, 2]));
        "max_abs_dims" => |s| s.input(s.random(1, [2, 3, 2]), |x| x.max_abs_dims(&[0, 2]));
        "cumprod with a zero" => |s| s.input(s.numbers(&[2.0, 0.0, 3.0], [1, 3]), |x| x.cumprod(1));
        "cummax of equal numbers" => |s| s.input(s.numbers(&[1.0, 2.0, 2.0], [1, 3]), |x| x.cummax(1));
        "var of equal numbers" => |s| s.input(s.numbers(&[2.0, 2.0, 2.0, 1.0, 2.0, 4.0], [2, 3]), |x| x.var(1));
        "cov" => |s| s.input(s.random(1, [3, 4]), |x| x.cov(1, 1));
        "var_mean" => |s| s.input(s.random(1, [3, 4]), |x| {
            let (var, mean) = x.var_mean(1);
            var + mean
        });
        "topk" => |s| s.input(s.random(1, [3, 5]), |x| x.topk(2, 1));
        "topk_with_indices" => |s| s.input(s.random(1, [3, 5]), |x| x.topk_with_indices(2, 1).0);
        "sort" => |s| s.input(s.random(1, [3, 5]), |x| x.sort(1));
        "sort_descending" => |s| s.input(s.random(1, [3, 5]), |x| x.sort_descending(1));
        "sort_with_indices" => |s| s.input(s.random(1, [3, 5]), |x| x.sort_with_indices(1).0);
        "sort_descending_with_indices" => |s| s.input(s.random(1, [3, 5]), |x| x.sort_descending_with_indices(1).0);
        "median" => |s| s.input(s.random(1, [3, 5]), |x| x.median(1));
        "median_with_indices" => |s| s.input(s.random(1, [3, 5]), |x| x.median_with_indices(1).0);
        "max_dim_with_indices" => |s| s.input(s.random(1, [3, 5]), |x| x.max_dim_with_indices(1).0);
        "min_dim_with_indices" => |s| s.input(s.random(1, [3, 5]), |x| x.min_dim_with_indices(1).0);
    };
    type OfDim = (&'static str, fn(Tensor<3>, usize) -> Tensor<3>);
    let of_dims: [OfDim; 13] = [
        ("sum_dim", |x, dim| x.square().sum_dim(dim)), ("mean_dim", |x, dim| x.square().mean_dim(dim)),
        ("prod_dim", |x, dim| (x + 2.0).prod_dim(dim)), ("max_dim", |x, dim| x.max_dim(dim)),
        ("min_dim", |x, dim| x.min_dim(dim)), ("max_abs_dim", |x, dim| x.max_abs_dim(dim)),
        ("cumsum", |x, dim| x.cumsum(dim)), ("cumprod", |x, dim| (x + 2.0).cumprod(dim)),
        ("cummax", |x, dim| x.cummax(dim)), ("cummin", |x, dim| x.cummin(dim)), ("var", |x, dim| x.var(dim)),
        ("var_bias", |x, dim| x.var_bias(dim)), ("sort", |x, dim| x.sort(dim)),
    ];
    for (name, operation) in of_dims {
        for dim in 0..3 {
            let run = move |s: &super::CheckContext| s.input(s.random(1, [2, 3, 4]), |x| operation(x, dim));
            all.push(case(format!("{name} over dimension {dim}"), run));
        }
    }
    all
}
