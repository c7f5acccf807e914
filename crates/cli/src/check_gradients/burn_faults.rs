//! The known faults of Burn's gradients, each with a reproduction, and the page about them.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use burn::nn::loss::BinaryCrossEntropyLossConfig;
use burn::tensor::module::{conv1d, interpolate};
use burn::tensor::ops::{ConvOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Bool, DType, Device, IndexingUpdateOp, Int, Tensor, activation};
use burn_linalg::l2_norm;
use chainrule::panics::catch_panic;
use chainrule_records::{GradientCheck, GradientChecks, write_whole};

use crate::marked_part::marked_part;

/// A fault of Burn, or several with one cause.
struct Fault {
    title: &'static str,
    /// The cases of the sweep that fail because of it.
    cases: &'static [&'static str],
    /// The cause.
    why: &'static str,
    /// The place in Burn's source.
    place: &'static str,
    /// The name of the function whose body the page shows.
    function: &'static str,
    reproduce: fn(&Device) -> String,
    /// The right result.
    right: &'static str,
    /// How it was computed.
    reason: &'static str,
}

/// Builds a fault from the function that reproduces it.
macro_rules! fault {
    ($function:ident, $title:literal, $cases:expr, $place:literal, $why:literal, $right:literal, $reason:literal) => {
        Fault {
            title: $title,
            cases: &$cases,
            why: $why,
            place: $place,
            function: stringify!($function),
            reproduce: |device| describe(&$function(device)),
            right: $right,
            reason: $reason,
        }
    };
}

#[rustfmt::skip]
const FAULTS: [Fault; 15] = [
    fault!(gelu, "`gelu` has the gradient of another function",
        ["gelu", "gelu of negative numbers", "TransformerEncoder"],
        "`gelu_backward` of `burn-backend`",
        "The forward is the exact x Φ(x). The backward is the derivative of the approximation `0.5 x (1 + tanh(…))`, with constants of six digits. Backends with a backward of their own are right.",
        "[-0.127469]", "Φ(x) + x φ(x)"),
    fault!(assign, "An index that repeats gets a gradient for each of its values",
        ["select_assign, assign, repeated", "scatter, assign", "scatter, assign, repeated", "scatter_nd, assign, repeated"],
        "`float_select_assign`, `float_scatter` and `float_scatter_nd` of `burn-autodiff`",
        "Only the last of the values was written, so the others have no influence.",
        "[0, 1]", "the result is the second value"),
    fault!(multiply, "The same with `Mul`: the other factors are missing",
        ["select_assign, mul, repeated", "scatter, mul", "scatter, mul, repeated", "scatter_nd, mul, repeated"],
        "`float_select_assign`, `float_scatter` and `float_scatter_nd` of `burn-autodiff`",
        "Where an index repeats, the result is a product of more than two factors, and the backward takes it for one of two.",
        "[10, 6]", "the result is 2 times the product of both values"),
    fault!(maximum, "The same with `Max` and `Min`: more than one value gets the gradient",
        ["select_assign, min, repeated", "select_assign, max, repeated", "scatter, max", "scatter, max, repeated", "scatter_nd, max, repeated"],
        "`float_select_assign`, `float_scatter` and `float_scatter_nd` of `burn-autodiff`",
        "Each value is compared with the old one, but not with the others of the same index.",
        "[0, 1]", "the result is the larger value"),
    fault!(convolution, "`conv1d` with groups, where the stride leaves a part of the end unread",
        ["conv1d of 12, stride 2, padding 1, 2 groups", "conv1d of 10, stride 2, padding 1, dilation 1, groups 2",
         "conv1d, stride 3, padding 2, dilation 1, groups 2", "conv1d of 10, stride 3, padding 2, dilation 1, groups 2"],
        "`conv1d_weight_grad_groups` of `burn-backend`",
        "The gradient of the weight is longer than the weight. Without groups, and for `conv2d`, it is cut to its length.",
        "[25, 30, 36, 85, 102, 108, 145, 174, 180, 205, 246, 252] with the shape [2, 2, 3]",
        "the sum of the numbers that each weight is multiplied by; the first weight also meets the padding"),
    fault!(cross, "`cross` of a row that is broadcast",
        ["cross, broadcast"],
        "`float_cross` of `burn-autodiff`",
        "The gradient is not summed over the rows, so it has the shape of the result.",
        "[1, -1, 0] with the shape [1, 3]", "the sum of the cross products of both rows with (1, 1, 1)"),
    fault!(mask_fill, "`mask_fill` of a row with a mask of more rows",
        ["mask_fill of a row, broadcast"],
        "`float_mask_fill` of `burn-autodiff`",
        "The gradient is not summed over the rows, so it has the shape of the result.",
        "[1, 2] with the shape [1, 2]", "the number of elements of each column that are not filled"),
    fault!(mask_where, "`mask_where` with a mask and a value that are both broadcast",
        ["mask_where, a row and a broadcast mask"],
        "`float_mask_where` of `burn-autodiff`",
        "The backward broadcasts less than the forward.",
        "[1, 1] with the shape [1, 2]", "each number of the value is taken once"),
    fault!(elu, "`elu`, `celu` and `selu` of large numbers in f32",
        ["elu of large numbers", "celu of large numbers", "selu of large numbers"],
        "`elu`, `celu` and `selu` in `activation/base.rs` of `burn-tensor`",
        "From 88.7 on, the exponential that the mask leaves out is infinite, and infinite times 0 is NaN.",
        "[1]", "the function is x for positive numbers"),
    fault!(tanh, "`tanh` of large numbers in f32",
        ["tanh of large numbers"],
        "`float_tanh` of `burn-autodiff`",
        "The backward is `1 - y²`, and y is rounded to a number near 1. Beyond 9 it is 1, and the slope 0.",
        "[4.50141e-7, 8.24461e-9]", "1/cosh²(x)"),
    fault!(norm, "Norms at zero",
        ["hypot at 0", "l2_norm at 0", "lp_norm, 3, at 0", "cosine_similarity at 0"],
        "`float_hypot` of `burn-autodiff`; `l2_norm` and `lp_norm` in `vector_norm.rs` of `burn-linalg`",
        "The backward of the square root divides by 0. The norm has a kink there, and a training that meets it is lost.",
        "[0, 0] with the shape [1, 2]", "any number between the one-sided slopes -1 and 1 is one; 0 is what others return"),
    fault!(division, "Division by a number in f64",
        ["div_scalar", "div_scalar by 3", "softplus, beta 3", "cov", "var_mean", "var over dimension 2",
         "var_bias over dimension 1", "lp_norm, 3", "celu", "KLDivLoss", "MultiHeadAttention"],
        "`float_div_scalar` of `burn-autodiff`",
        "The backward divides in f32: `1.0 / ops.state.elem::<f32>()`. What is divided by a number in a forward has an error of 3e-8.",
        "[0.333333333333333]", "a third"),
    fault!(types, "Constants of the default type",
        ["Rnn", "Lstm", "Gru", "CrossEntropyLoss, smoothed", "BinaryCrossEntropyLoss, logits",
         "BinaryCrossEntropyLoss, logits of zero", "BinaryCrossEntropyLoss", "RNNTLoss", "qr"],
        "`Rnn`, `Lstm`, `Gru` and the losses of `burn-nn`; `qr` of `burn-linalg`",
        "States, targets and constants are created in the default type of the device, f32, also where the parameters are in f64.",
        "[-2]", "-1/p for the label 1"),
    fault!(resize, "`interpolate` without a gradient",
        ["interpolate bilinear, larger, corners aligned", "interpolate bilinear, larger",
         "interpolate bilinear, smaller, corners aligned", "interpolate bilinear, smaller",
         "interpolate bicubic, larger, corners aligned", "interpolate bicubic, larger",
         "interpolate bicubic, smaller, corners aligned", "interpolate bicubic, smaller",
         "interpolate lanczos, larger, corners aligned", "interpolate lanczos, larger",
         "interpolate lanczos, smaller, corners aligned", "interpolate lanczos, smaller",
         "interpolate nearest exact, larger, corners aligned", "interpolate nearest exact, larger",
         "interpolate nearest exact, smaller, corners aligned", "interpolate nearest exact, smaller"],
        "`interpolate` and its backward in `burn-ndarray`",
        "No backward is implemented but that of the nearest neighbour.",
        "[4, 4, 4, 4] with the shape [1, 1, 2, 2]", "the weights of each of the 16 outputs sum to 1, and the four inputs are alike"),
    fault!(softmax, "`softmax` of large numbers in f32 cannot be decided",
        ["softmax of large numbers"],
        "`softmax` in `activation/base.rs` of `burn-tensor`",
        "The backward is `p (g - Σ p g)`, a difference of rounded numbers. Where p is near 1, none of its digits may be right. The checker measures that, and says that it is unresolved.",
        "[9.35762e-14, -9.35762e-14]", "p (1 - p) for p = 1/(1 + e⁻³⁰), and its negative"),
];

// The page shows the body of each function.

fn gelu(device: &Device) -> Tensor<1> {
    let x = Tensor::<1>::from_data([-1.5], device).autodiff().require_grad();
    let y = activation::gelu(x.clone());
    x.grad(&y.sum().backward()).expect("x is used")
}

fn assign(device: &Device) -> Tensor<1> {
    let x = Tensor::<1>::from_data([3.0, 5.0], device).autodiff().require_grad();
    let index = Tensor::<1, Int>::from_data([0, 0], device);
    let old = Tensor::<1>::from_data([2.0], device).autodiff();
    let new = old.select_assign(0, index, x.clone(), IndexingUpdateOp::Assign); // [5]
    x.grad(&new.sum().backward()).expect("x is used")
}

fn multiply(device: &Device) -> Tensor<1> {
    let x = Tensor::<1>::from_data([3.0, 5.0], device).autodiff().require_grad();
    let index = Tensor::<1, Int>::from_data([0, 0], device);
    let old = Tensor::<1>::from_data([2.0], device).autodiff();
    let new = old.select_assign(0, index, x.clone(), IndexingUpdateOp::Mul); // [30]
    x.grad(&new.sum().backward()).expect("x is used")
}

fn maximum(device: &Device) -> Tensor<1> {
    let x = Tensor::<1>::from_data([3.0, 5.0], device).autodiff().require_grad();
    let index = Tensor::<1, Int>::from_data([0, 0], device);
    let old = Tensor::<1>::from_data([2.0], device).autodiff();
    let new = old.select_assign(0, index, x.clone(), IndexingUpdateOp::Max); // [5]
    x.grad(&new.sum().backward()).expect("x is used")
}

fn convolution(device: &Device) -> Tensor<3> {
    let x = Tensor::<1, Int>::arange(0..48, device).float().reshape([1, 4, 12]).autodiff();
    let weight = Tensor::<3>::ones([2, 2, 3], device).autodiff().require_grad();
    let y = conv1d(x, weight.clone(), None, ConvOptions::new([2], [1], [1], 2));
    weight.grad(&y.sum().backward()).expect("the weight is used")
}

fn cross(device: &Device) -> Tensor<2> {
    let x = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], device).autodiff().require_grad();
    let rows = Tensor::<2>::from_data([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], device).autodiff();
    let y = x.clone().cross(rows, 1);
    x.grad(&y.sum().backward()).expect("x is used")
}

fn mask_fill(device: &Device) -> Tensor<2> {
    let x = Tensor::<2>::from_data([[3.0, 5.0]], device).autodiff().require_grad();
    let mask = Tensor::<2, Bool>::from_data([[true, false], [false, false]], device);
    let y = x.clone().mask_fill(mask, 0.0);
    x.grad(&y.sum().backward()).expect("x is used")
}

fn mask_where(device: &Device) -> Tensor<2> {
    let x = Tensor::<2>::from_data([[3.0, 5.0]], device).autodiff().require_grad();
    let mask = Tensor::<2, Bool>::from_data([[true], [false]], device);
    let y = Tensor::<2>::zeros([2, 2], device).autodiff().mask_where(mask, x.clone());
    x.grad(&y.sum().backward()).expect("x is used")
}

fn elu(device: &Device) -> Tensor<1> {
    let x = Tensor::<1>::from_data([90.0f32], device).autodiff().require_grad();
    let y = activation::elu(x.clone(), 1.0);
    x.grad(&y.sum().backward()).expect("x is used")
}

fn tanh(device: &Device) -> Tensor<1> {
    let x = Tensor::<1>::from_data([8.0f32, 10.0], device).autodiff().require_grad();
    let y = x.clone().tanh();
    x.grad(&y.sum().backward()).expect("x is used")
}

fn norm(device: &Device) -> Tensor<2> {
    let x = Tensor::<2>::zeros([1, 2], device).autodiff().require_grad();
    let y = l2_norm(x.clone(), 1);
    x.grad(&y.sum().backward()).expect("x is used")
}

fn division(device: &Device) -> Tensor<1> {
    let x = Tensor::<1>::from_data([1.0f64], (device, DType::F64)).autodiff().require_grad();
    let y = x.clone().div_scalar(3.0);
    x.grad(&y.sum().backward()).expect("x is used")
}

fn types(device: &Device) -> Tensor<1> {
    let p = Tensor::<1>::from_data([0.5f64], (device, DType::F64)).autodiff().require_grad();
    let labels = Tensor::<1, Int>::from_data([1], device);
    let loss = BinaryCrossEntropyLossConfig::new().init(&p.device());
    p.grad(&loss.forward(p.clone(), labels).backward()).expect("p is used")
}

fn resize(device: &Device) -> Tensor<4> {
    let x = Tensor::<4>::ones([1, 1, 2, 2], device).autodiff().require_grad();
    let mut options = InterpolateOptions::new(InterpolateMode::Bilinear);
    options.output_size = Some([4, 4]);
    let y = interpolate(x.clone(), options);
    x.grad(&y.sum().backward()).expect("x is used")
}

fn softmax(device: &Device) -> Tensor<1> {
    let x = Tensor::<1>::from_data([30.0f32, 0.0], device).autodiff().require_grad();
    let y = activation::softmax(x.clone(), 0).narrow(0, 0, 1);
    x.grad(&y.sum().backward()).expect("x is used")
}

/// Formats a tensor, with its shape if it has more than one dimension.
fn describe<const D: usize>(tensor: &Tensor<D>) -> String {
    let is_f64 = tensor.dtype() == DType::F64;
    let values = tensor.clone().try_into_vec_as::<f64>().expect("tensors can be read back from the device");
    let values: Vec<String> = values.iter().map(|value| number(*value, is_f64)).collect();
    let shape = if D > 1 { format!(" with the shape {:?}", tensor.dims()) } else { String::new() };
    format!("[{}]{shape}", values.join(", "))
}

/// Formats a number with the digits that do not depend on the machine.
fn number(value: f64, is_f64: bool) -> String {
    let digits: usize = if is_f64 { 14 } else { 5 };
    let size = value.abs();
    if value == value.trunc() || !value.is_finite() {
        format!("{value}")
    } else if size < 1e-3 {
        format!("{value:.digits$e}")
    } else {
        format!("{value:.*}", digits + 1)
    }
}

/// The marks around the part of the page that the command writes.
const MARKS: [&str; 2] = ["<!-- faults: made by `cargo xtask gradcheck --burn --page` -->\n", "<!-- end of faults -->"];

/// The page to write, or whose part between the marks is replaced.
pub(super) struct Page<'a> {
    path: &'a Path,
    text: String,
    part: Range<usize>,
}

impl<'a> Page<'a> {
    /// Looks for the marks in the page, if it exists.
    ///
    /// # Errors
    /// If the page cannot be read, or has no marks.
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        let text = match path.exists() {
            true => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
            false => format!("{}{}\n", MARKS[0], MARKS[1]),
        };
        let [start, end] = MARKS.map(str::trim_end);
        let part = marked_part(&text, MARKS)
            .with_context(|| format!("--page {}: the file has no lines {start:?} and {end:?}", path.display()))?;
        Ok(Self { path, text, part })
    }

    /// Writes what was found on each backend.
    ///
    /// # Errors
    /// If the page cannot be written.
    pub(super) fn write(mut self, sweeps: &[(GradientChecks, Device)]) -> Result<()> {
        self.text.replace_range(self.part, &page(sweeps));
        write_whole(self.path, self.text.as_bytes())?;
        Ok(())
    }
}

fn page(sweeps: &[(GradientChecks, Device)]) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "| backend | rows | not passed | of no known cause |\n| --- | --- | --- | --- |");
    for (checks, _) in sweeps {
        let of_no_known_cause = unknown(checks).count();
        let not_passed = checks.rows.iter().filter(|row| !row.passed).count();
        let _ = writeln!(page, "| {} | {} | {not_passed} | {of_no_known_cause} |", checks.backend, checks.rows.len());
    }
    for fault in &FAULTS {
        let _ = writeln!(page, "\n### {}\n", fault.title);
        let sentences = fault.why.replace(". ", ".\n");
        let _ = writeln!(page, "{sentences}\nWhere: {}.\n\n```rust\n{}```\n", fault.place, body(fault.function));
        for (checks, device) in sweeps {
            let _ = writeln!(page, "- {}: {}", checks.backend, outcome(fault, device));
        }
        let _ = writeln!(page, "- Right: {}: {}.\n", fault.right, fault.reason);
        for (checks, _) in sweeps {
            let rows: Vec<&GradientCheck> = checks.rows.iter().filter(|row| !row.passed && is_of(fault, row)).collect();
            let mut subjects: Vec<String> = Vec::new();
            for row in &rows {
                let both = rows.iter().filter(|other| other.subject == row.subject).count() > 1;
                let name =
                    format!("`{}`{}", row.subject, if both { String::new() } else { format!(" in {}", row.precision) });
                if !subjects.contains(&name) {
                    subjects.push(name);
                }
            }
            let subjects = if subjects.is_empty() { "nothing".to_owned() } else { subjects.join("; ") };
            let _ = writeln!(page, "Not passed on {}: {subjects}.", checks.backend);
        }
    }
    let others: Vec<String> = sweeps
        .iter()
        .flat_map(|(checks, _)| unknown(checks).map(move |row| (checks, row)))
        .map(|(checks, row)| format!("- `{}` in {} on {}", row.subject, row.precision, checks.backend))
        .collect();
    if !others.is_empty() {
        let _ = writeln!(page, "\n### Of no known cause\n\n{}", others.join("\n"));
    }
    page.push('\n');
    page
}

fn is_of(fault: &Fault, row: &GradientCheck) -> bool {
    fault.cases.contains(&row.subject.as_str())
}

/// The rows that did not pass because of no fault of the list.
fn unknown(checks: &GradientChecks) -> impl Iterator<Item = &GradientCheck> {
    checks.rows.iter().filter(|row| !row.passed && !FAULTS.iter().any(|fault| is_of(fault, row)))
}

/// The result of a reproduction, or the first line of its panic.
fn outcome(fault: &Fault, device: &Device) -> String {
    match catch_panic(|| (fault.reproduce)(device)) {
        Ok(result) => result,
        Err(panic) => format!("panics: {}", panic.to_string().lines().next().unwrap_or_default()),
    }
}

/// The body of a function of this file, without its indentation.
fn body(function: &str) -> String {
    let source = include_str!("burn_faults.rs").replace('\r', "");
    let after = source.split_once(&format!("\nfn {function}(")).map_or("", |(_, after)| after);
    let lines = after.lines().skip(1).take_while(|line| *line != "}");
    lines.fold(String::new(), |body, line| body + line.strip_prefix("    ").unwrap_or(line) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page has each reproduction as it is, and its result on the backend of this build.
    ///
    /// The page belongs to the repository, not to the package, so it is read when the test runs.
    #[test]
    fn the_page_shows_the_reproductions_and_their_results() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let page = repository.and_then(|root| std::fs::read_to_string(root.join("docs/burn-gradients.md")).ok());
        if page.is_none() {
            crate::output::print_message("skipped: the page, which is not part of the package");
        }
        let device = Device::default();
        for fault in &FAULTS {
            let (body, result) = (body(fault.function), outcome(fault, &device));
            assert!(body.lines().count() >= 3, "{}", fault.title);
            assert_ne!(result, fault.right, "{}: Burn has mended it", fault.title);
            let Some(page) = &page else { continue };
            let part = page.split_once(&format!("### {}\n", fault.title)).expect(fault.title).1;
            let part = part.split("\n### ").next().unwrap_or_default();
            assert!(part.contains(&body), "{}", fault.title);
            assert!(part.contains(&format!(": {result}\n")), "{}: {result}", fault.title);
        }
    }
}
