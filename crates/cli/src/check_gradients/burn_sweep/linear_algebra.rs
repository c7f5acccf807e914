//! Products of matrices, norms and decompositions.

use burn::tensor::module::{attention, linear};
use burn::tensor::ops::AttentionModuleOptions;
use burn_linalg::{
    cosine_similarity, det, diag, l1_norm, l2_norm, lp_norm, lu, matvec, max_abs_norm, min_abs_norm, outer, qr, trace,
    vector_norm, vector_normalize,
};

use super::{Case, cases};

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    cases! {
        "matmul" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [4, 2]), |x, y| x.matmul(y));
        "matmul, batched" => |s| s.inputs(s.random(1, [2, 3, 4]), s.random(2, [2, 4, 2]), |x, y| x.matmul(y));
        "matmul, broadcast left" => |s| s.inputs(s.random(1, [1, 3, 4]), s.random(2, [2, 4, 2]), |x, y| x.matmul(y));
        "matmul, broadcast right" => |s| s.inputs(s.random(1, [2, 3, 4]), s.random(2, [1, 4, 2]), |x, y| x.matmul(y));
        "matmul, broadcast both" => |s| s.inputs(s.random(1, [2, 1, 2, 3]), s.random(2, [1, 2, 3, 2]), |x, y| x.matmul(y));
        "matmul, transposed left" => |s| s.inputs(s.random(1, [4, 3]), s.random(2, [4, 2]), |x, y| x.transpose().matmul(y));
        "matmul, transposed right" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [2, 4]), |x, y| x.matmul(y.transpose()));
        "matmul of a column" => |s| s.inputs(s.random(1, [3, 1]), s.random(2, [1, 2]), |x, y| x.matmul(y));
        "matmul with itself" => |s| s.input(s.random(1, [3, 3]), |x| x.clone().matmul(x));
        "dot" => |s| s.inputs(s.random(1, [4]), s.random(2, [4]), |x, y| x.dot(y));
        "linear" => |s| s.three_inputs(s.random(1, [3, 4]), s.random(2, [4, 2]), s.random(3, [2]), |x, w, b| linear(x, w, Some(b)));
        "linear without bias" => |s| s.inputs(s.random(1, [2, 3, 4]), s.random(2, [4, 2]), |x, w| linear(x, w, None));
        "linear of a vector" => |s| s.three_inputs(s.random(1, [4]), s.random(2, [4, 2]), s.random(3, [2]), |x, w, b| linear(x, w, Some(b)));
        "attention" => |s| s.three_inputs(s.random(1, [1, 2, 3, 2]), s.random(2, [1, 2, 4, 2]), s.random(3, [1, 2, 4, 2]), |q, k, v| {
            attention(q, k, v, None, None, AttentionModuleOptions::default())
        });
        "attention, causal" => |s| s.three_inputs(s.random(1, [1, 1, 3, 2]), s.random(2, [1, 1, 3, 2]), s.random(3, [1, 1, 3, 2]), |q, k, v| {
            attention(q, k, v, None, None, AttentionModuleOptions { is_causal: true, ..Default::default() })
        });
        "attention, soft cap" => |s| s.three_inputs(s.random(1, [1, 1, 3, 2]), s.random(2, [1, 1, 3, 2]), s.random(3, [1, 1, 3, 2]), |q, k, v| {
            attention(q, k, v, None, None, AttentionModuleOptions { softcap: Some(0.5), ..Default::default() })
        });
        "cross" => |s| s.inputs(s.random(1, [2, 3]), s.random(2, [2, 3]), |x, y| x.cross(y, 1));
        "cross, first dimension" => |s| s.inputs(s.random(1, [3, 2]), s.random(2, [3, 2]), |x, y| x.cross(y, 0));
        "cross, broadcast" => |s| s.inputs(s.random(1, [1, 3]), s.random(2, [2, 3]), |x, y| x.cross(y, 1));
        "outer" => |s| s.inputs(s.random(1, [3]), s.random(2, [2]), |x, y| outer::<1, 2, _>(x, y));
        "matvec" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [4]), |x, y| matvec(x, y));
        "diag" => |s| s.input(s.random(1, [3, 3]), |x| diag::<2, 1, _>(x));
        "trace" => |s| s.input(s.random(1, [3, 3]), |x| trace::<2, 1>(x));
        "l1_norm" => |s| s.input(s.random(1, [3, 4]), |x| l1_norm(x, 1));
        "l2_norm" => |s| s.input(s.random(1, [3, 4]), |x| l2_norm(x, 1));
        "lp_norm, 3" => |s| s.input(s.random(1, [3, 4]), |x| lp_norm(x, 3.0, 1));
        "max_abs_norm" => |s| s.input(s.random(1, [3, 4]), |x| max_abs_norm(x, 1));
        "min_abs_norm" => |s| s.input(s.random(1, [3, 4]), |x| min_abs_norm(x, 1));
        "vector_norm" => |s| s.input(s.random(1, [3, 4]), |x| vector_norm(x, 2, 1));
        "vector_normalize" => |s| s.input(s.random(1, [3, 4]), |x| vector_normalize(x, 2, 1, 1e-12));
        "l1_norm at 0" => |s| s.input(s.numbers(&[0.0, 0.0, 1.0, 2.0], [2, 2]), |x| l1_norm(x, 1));
        "l2_norm at 0" => |s| s.input(s.numbers(&[0.0, 0.0, 1.0, 2.0], [2, 2]), |x| l2_norm(x, 1));
        "lp_norm, 3, at 0" => |s| s.input(s.numbers(&[0.0, 0.0, 1.0, 2.0], [2, 2]), |x| lp_norm(x, 3.0, 1));
        "cosine_similarity" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [3, 4]), |x, y| cosine_similarity(x, y, 1, None));
        "cosine_similarity at 0" => |s| s.inputs(s.numbers(&[0.0, 0.0], [1, 2]), s.random(2, [1, 2]), |x, y| cosine_similarity(x, y, 1, None));
        "det" => |s| s.input(s.random(1, [1, 3, 3]), |x| det::<3, 2, 1>(x));
        "lu" => |s| s.input(s.random(1, [1, 3, 3]), |x| {
            let (_, l, u) = lu::<3, 2>(x);
            (l, u)
        });
        "qr" => |s| s.input(s.random(1, [3, 3]), |x| qr(x, true));
    }
}
