//! Selection and assignment by indices and masks. Indices repeat.

use burn::tensor::{IndexingUpdateOp, Tensor};

use super::{Case, CheckContext, case, cases};

#[rustfmt::skip]
pub(super) fn cases() -> Vec<Case> {
    let mut all = cases! {
        "select" => |s| s.elementwise({ let i = s.labels([2, 0]); move |x| x.select(0, i.clone()) });
        "select, repeated" => |s| s.elementwise({ let i = s.labels([2, 0, 2, 2]); move |x| x.select(0, i.clone()) });
        "select, last dimension, repeated" => |s| s.elementwise({ let i = s.labels([3, 3, 1]); move |x| x.select(1, i.clone()) });
        "gather" => |s| s.elementwise({ let i = s.indices(&[2, 0, 1, 2], [1, 4]); move |x| x.gather(0, i.clone()) });
        "gather, repeated" => |s| s.elementwise({ let i = s.indices(&[3, 3, 0, 1, 1, 1], [3, 2]); move |x| x.gather(1, i.clone()) });
        "take" => |s| s.input(s.random(1, [3, 4]), { let i = s.indices(&[2, 0, 0, 1], [2, 2]); move |x| x.take::<2, 3>(1, i.clone()) });
        "gather_nd" => |s| s.input(s.random(1, [3, 4]), { let i = s.indices(&[2, 0, 0, 1, 2, 0], [3, 2]); move |x| x.gather_nd::<2, 1>(i.clone()) });
        "mask_where" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [3, 4]), { let m = s.mask([3, 4]); move |x, y| x.mask_where(m.clone(), y) });
        "mask_where, a row" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [1, 4]), { let m = s.mask([3, 4]); move |x, y| x.mask_where(m.clone(), y) });
        "mask_where, a row and a broadcast mask" => |s| s.inputs(s.random(1, [3, 4]), s.random(2, [1, 4]), { let m = s.mask([3, 1]); move |x, y| x.mask_where(m.clone(), y) });
        "mask_fill" => |s| s.elementwise({ let m = s.mask([3, 4]); move |x| x.mask_fill(m.clone(), 0.5) });
        "mask_fill, broadcast mask" => |s| s.elementwise({ let m = s.mask([1, 4]); move |x| x.mask_fill(m.clone(), 0.5) });
        "mask_fill of a row, broadcast" => |s| s.input(s.random(1, [1, 4]), { let m = s.mask([3, 4]); move |x| x.mask_fill(m.clone(), 0.5) });
        "mask_select" => |s| s.input(s.random(1, [3, 4]), { let m = s.mask([3, 4]); move |x| x.mask_select(m.clone()) });
        "max_pair with itself shifted" => |s| s.elementwise(|x| x.clone().max_pair(x.roll_dim(1, 1)));
    };
    use IndexingUpdateOp::{Add, Assign, Max, Min, Mul};
    let updates = [("assign", Assign), ("add", Add), ("mul", Mul), ("min", Min), ("max", Max)];
    for (name, update) in updates {
        for (how, indices) in [("", [2, 0]), (", repeated", [2, 2])] {
            let run = move |s: &CheckContext| {
                let indices = s.labels(indices);
                s.inputs(s.random(1, [3, 4]), s.random(2, [2, 4]), |x, y| x.select_assign(0, indices.clone(), y, update))
            };
            all.push(case(format!("select_assign, {name}{how}"), run));
        }
        for (how, indices) in [("", [2, 0, 1, 2, 0, 1, 0, 2]), (", repeated", [2, 0, 1, 2, 2, 0, 0, 2])] {
            let run = move |s: &CheckContext| {
                let indices = s.indices(&indices, [2, 4]);
                s.inputs(s.random(1, [3, 4]), s.random(2, [2, 4]), |x, y| x.scatter(0, indices.clone(), y, update))
            };
            all.push(case(format!("scatter, {name}{how}"), run));
        }
        for (how, indices) in [("", [0, 1, 2, 3]), (", repeated", [0, 1, 0, 1])] {
            let run = move |s: &CheckContext| {
                let indices = s.indices(&indices, [2, 2]);
                s.inputs(s.random(1, [3, 4]), s.random(2, [2]), |x: Tensor<2>, y: Tensor<1>| x.scatter_nd(indices.clone(), y, update))
            };
            all.push(case(format!("scatter_nd, {name}{how}"), run));
        }
    }
    all
}
