//! Notation as it stands in courses and homework: what is right is never called wrong.

use chainrule_derive::{Document, Options, Verdict, check};

/// Returns a sign for each step: `+` holds, `-` wrong, `?` not decided, `!` not read.
fn marks(text: &str) -> String {
    let document = Document::parse(text).unwrap_or_else(|errors| panic!("{text}: {}", errors[0]));
    let report = check(&document, &Options::default());
    let steps = report.lines.iter().flat_map(|line| &line.steps);
    let mark = |verdict: &Verdict| match verdict {
        Verdict::Holds | Verdict::HoldsUnder { .. } => Some('+'),
        Verdict::Wrong { .. } => Some('-'),
        Verdict::NotRead { .. } => Some('!'),
        Verdict::Definition | Verdict::Assumption => None,
        _ => Some('?'),
    };
    steps.filter_map(|step| mark(&step.verdict)).collect()
}

fn check_marks(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(marks(text), *expected, "{text}");
    }
}

/// `MSE` is a name, and `xw` is a product.
#[test]
fn a_word_on_a_left_side_is_a_name() {
    check_marks(&[
        (
            "$MSE = (w x - y)^2$\n\n$dMSE/dw = 2 (w x - y) x$\n\n$\\frac{\\partial MSE}{\\partial y} = -2 (wx - y)$",
            "++",
        ),
        ("\\begin{align} NLL &= -\\ln p \\\\ \\frac{d NLL}{dp} &= -1/p \\end{align}\n$N = 2$", "+"),
        ("$wx = xw$\n\n$wx = x$\n\n$x + w = w + x$", "+-+"),
        ("$RSS(b) = (y - xb)^2$\n\n$\\frac{\\partial RSS}{\\partial b} = -2 x (y - xb) = 2 RSS(b)$", "+-"),
        ("$ab(c + d) = abc + abd$", "+"),
        ("$z = xw + x$\n\n$xw = z - x$\n\n$xw = z$", "+-"),
    ]);
}

#[test]
fn functions_and_their_derivatives_are_no_products() {
    check_marks(&[
        ("$$\\begin{aligned} g(z) &= \\frac{1}{1 + e^{-z}} \\\\ g'(z) &= g(z)(1 - g(z)) \\end{aligned}$$", "+"),
        ("$f(u) = u^3$, $f'(u) = 3 u^2$, $f''(u) = 6 u$, $f'(u) = 3 u$", "++-"),
        ("$f(u) = u^3$, $f'(2 u) = 12 u^2$", "!"),
        ("$h_\\theta(x) = g(\\theta x)$\n\n$g(z) = 1/(1 + e^{-z})$\n\n$h_\\theta(x) = \\sigma(\\theta x)$", "+"),
        (
            "$\\sigma(z) = \\frac{1}{1 + e^{-z}}$\n\n$\\frac{\\partial \\sigma}{\\partial z} = \\sigma(z)(1 - \\sigma(z))$",
            "++",
        ),
        ("p = sigma(z)\n∂σ/∂z = σ(z) (1 − σ(z))\n", "+"),
        ("σ = 2 m\n∂σ/∂m = 2\n∂σ/∂m = σ\n", "+-"),
        ("$q(2) = q(1) + q(1)$", "!"),
        ("$a(b + c) = ab + ac$", "+"),
    ]);
}

#[test]
fn a_row_that_cannot_be_read_leaves_the_other_rows() {
    check_marks(&[
        ("\\begin{align} f &= w^2. \\\\ u &= \\foo \\\\ \\frac{df}{dw} &= 2 w \\\\ &= w. \\end{align}", "!+-"),
        ("\\begin{align} c &= \\foo \\\\ &= 2 \\\\ c &= 3 \\end{align}\n$c = 2$", "!!?"),
        (
            "$$\\begin{aligned} \\frac{\\partial u_j}{\\partial u_k} &= \\begin{cases} 1 & j = k \\\\ 0 & j \\ne k \
             \\end{cases} \\\\ 1 &= \\foo \\end{aligned}$$",
            "+!",
        ),
    ]);
}

#[test]
fn whole_files_of_latex_are_read() {
    let text = "\\documentclass{article} % a = b\n\\begin{document}\n\\section{Loss = square}\nLet\n\
                \\begin{align*}\nf &= (w x - y)^2.\n\\end{align*}\n% f = 3\n\\begin{proof}\n\
                \\[ \\frac{\\partial f}{\\partial w} = 2 (w x - y) x. \\]\n\\end{proof}\n\\end{document}\n";
    check_marks(&[(text, "+")]);
    // Line ends of all kinds, and the mark of a file in Unicode.
    check_marks(&[
        (&text.replace('\n', "\r\n"), "+"),
        (&text.replace('\n', "\r"), "+"),
        ("\u{feff}z = 2 w\ndz/dw = 2\n", "+"),
        ("u = 2e-400\n1e3 = 1000\n1e400 = 1e401\n", "!+!"),
    ]);
}

#[test]
fn the_d_of_a_fraction_may_stand_apart() {
    check_marks(&[(
        "$f = w^2 x$\n\n$\\frac{d f}{d w} = 2 w x$\n\n$\\frac{d}{d w} w^2 = w$\n\n$\\frac{d w}{x} = \\frac{d}{x} w$",
        "+-+",
    )]);
}

/// Hinge, relu, lasso and Huber: what holds depends on numbers.
#[test]
fn conditions_can_be_about_numbers() {
    let hinge = "$f = \\sum_j w_j x_j + b$\n$y \\in \\{-1, 1\\}$\n$L = \\max(0, 1 - y f)$\n\n";
    let relu = "a_h = sum_j V_hj x_j\nr_h = max(0, a_h)\nf = sum_h u_h r_h\nL = 1/2 (f - t)^2\n";
    let lasso = "f = sum_j w_j x_j\nJ = 1/2 (f - y)^2 + lambda sum_j |w_j|\n";
    let huber = "$$H = \\begin{cases} \\frac12 u^2 & \\text{if } |u| \\le \\delta \\\\ \\delta (|u| - \\frac12 \\delta) & \
                 \\text{otherwise} \\end{cases}$$\n$\\delta > 0$\n\n";
    let softmax = "$p_i = \\frac{e^{z_i / T}}{\\sum_j e^{z_j / T}}$\n\n";
    let cases: [(&str, &str, &str); 17] = [
        (
            hinge,
            "$$\\frac{\\partial L}{\\partial w_j} = \\begin{cases} -y x_j & \\text{if } y f < 1 \\\\ 0 & \\text{otherwise} \\end{cases}$$",
            "+",
        ),
        (
            hinge,
            "$$\\frac{\\partial L}{\\partial w_j} = \\begin{cases} -y x_j & y f < 1 \\\\ 0 & y f \\ge 1 \\end{cases}$$",
            "+",
        ),
        (
            hinge,
            "$$\\frac{\\partial L}{\\partial w_j} = \\begin{cases} 0 & y f < 1 \\\\ -y x_j & \\text{otherwise} \\end{cases}$$",
            "-",
        ),
        (
            hinge,
            "$\\frac{\\partial L}{\\partial b} = -y [y f < 1] = -y \\mathbb{1}_{y f < 1} = -y 1\\{1 - y f > 0\\}$",
            "+++",
        ),
        (hinge, "$\\frac{\\partial L}{\\partial b} = -y [f < 1]$", "-"),
        (relu, "dr_h/da_h = [a_h > 0] = 1 if a_h > 0, 0 otherwise", "++"),
        (relu, "dL/dV_hj = (f - t) u_h [a_h > 0] x_j = (f - t) u_h x_j", "+-"),
        (lasso, "dJ/dw_j = (f - y) x_j + lambda sign(w_j)", "+"),
        (lasso, "dJ/dw_j = (f - y) x_j - lambda sign(w_j)", "-"),
        (lasso, "d/dt |t| = sign(t) = t/|t| = 2 [t > 0] - 1", "+++"),
        (huber, "$\\frac{dH}{du} = u [-\\delta < u < \\delta] + \\delta \\operatorname{sgn}(u) [|u| > \\delta]$", "+"),
        (huber, "$\\frac{dH}{du} = u [u < \\delta] + \\delta [u > \\delta]$", "-"),
        (
            softmax,
            "$\\frac{\\partial p_i}{\\partial z_j} = \\frac1T p_i (1\\{i = j\\} - p_j) = \\frac1T p_i (\\mathbb{1}_{i = j} - p_j)$",
            "++",
        ),
        (softmax, "$\\frac{\\partial p_i}{\\partial z_j} = \\frac1T p_i (1\\{i \\ne j\\} - p_j)$", "-"),
        // Only the case that applies needs a value.
        ("", "f = ln(t) if t > 0, ln(-t) otherwise\ndf/dt = 1/t", "+"),
        ("v \\in \\mathbb R^d\nr = max(v, 0 v)\ns = sum_k r_k\n", "\\nabla_v s = [v > 0]", "+"),
        ("", "f = t if t > 0, 0\nf = 1\n", "!"),
    ];
    for (model, claim, expected) in cases {
        assert_eq!(marks(&format!("{model}{claim}\n")), expected, "{claim}");
    }
}

/// Names with digits at their end, as in code.
#[test]
fn digits_belong_to_a_name() {
    let model = "z1 = w1*x + beta1\na1 = tanh(z1)\nz2 = w2*a1 + beta2\nyhat = sigmoid(z2)\n\
                 loss = -(y*log(yhat) + (1-y)*log(1-yhat))\n";
    check_marks(&[
        (&format!("{model}dloss/dz2 = yhat - y\ndloss/dw2 = (yhat - y)*a1\n"), "++"),
        (&format!("{model}dloss/dz1 = (yhat - y)*w2*(1 - a1**2)\ndloss/dbeta1 = dloss/dz1\n"), "++"),
        (&format!("{model}dloss/dz1 = yhat - y\ndz2/da1 = w1\n"), "--"),
        ("f = log2(x)\ndf/dx = 1/x\n", "!?"),
    ]);
}

#[test]
fn norms_may_say_which_and_sets_may_have_signs() {
    let names = "$X \\in \\mathbb R^{n \\times d}$, $w \\in \\mathbb R^d$, $y \\in \\{-1, +1\\}$\n";
    check_marks(&[
        (&format!("{names}$J = \\|Xw\\|_2^2 + \\|X\\|_F^2$\n\n$\\nabla_w J = 2 X^\\top X w$\n\n$y^2 = 1$"), "++"),
        (&format!("{names}$J = \\|w\\|_1$"), "!"),
    ]);
}

/// How lines of homework begin and end.
#[test]
fn labels_and_numbers_are_no_factors() {
    let labels = ["1. ", "12) ", "(a) ", "b) ", "(iii) ", "=> ", "⇒ ", "Step 1: ", "- "];
    for label in labels {
        assert_eq!(marks(&format!("L = (a - y)^2\n{label}dL/da = 2 (a - y)\n")), "+", "{label}");
        assert_eq!(marks(&format!("L = (a - y)^2\n{label}dL/da = 3 (a - y)\n")), "-", "{label}");
    }
    for number in ["(2)", "[2]", "(2a)", "\t(17)"] {
        assert_eq!(marks(&format!("L := (a - y)^2 (1)\ndL/da == 2 (a - y)  {number}\n")), "+", "{number}");
    }
    check_marks(&[
        ("(a) (b + c) = a b + a c\n(a) - b = a - b\na (2) = 2 a\n2 a = a * (2)\n", "++++"),
        ("$z \\equiv w x$\n\n$\\frac{dz}{dw} := x$", "+"),
    ]);
}

/// A guess at what has two meanings would call right steps wrong, so it is refused.
#[test]
fn what_has_two_meanings_is_refused() {
    check_marks(&[
        // Definitions of something else than a name.
        ("$$\\sigma^2 = \\frac1N \\sum_{n=1}^N (x_n - \\mu)^2$$\n$\\frac{d}{d\\mu} \\ln \\sigma = 0$", "!?"),
        ("$\\ln p = -\\frac12 q^2$, $\\frac{dp}{dq} = -q p$", "!?"),
        ("$\\ln p = 2 \\ln \\sqrt p$, $-t^2 = -|t|^2$", "++"),
        ("$v = \\beta v + (1 - \\beta) g$, $w := w - \\eta g$, $x = e^{\\ln x}$", "??+"),
        // The value of an index, and a superscript n, which is a row.
        ("$\\frac{d}{dx} x^n = n x^{n-1}$", "!"),
        ("$$\\sum_{k=1}^K k = \\frac{K (K + 1)}{2}$$", "!"),
        ("$$G = \\sum_{t=1}^T \\gamma^t r_t$$\n$\\frac{\\partial G}{\\partial r_t} = \\gamma^t$", "!?"),
        // Names that look like entries.
        ("$p_k = e^{z_k}$, $C = -\\ln p_c$, $\\frac{\\partial C}{\\partial z_k} = -[k = c]$", "!?"),
        ("$y = x_1 w_1 + x_2 w_2$, $\\nabla_w y = x$", "!"),
        // Layers and times whose values are not known.
        ("$h^{(t)} = \\tanh(w h^{(t-1)})$", "!"),
        ("$z^{(l)} = w^{(l)} a^{(l-1)}$", "!"),
        // An inverse, or a reciprocal.
        ("$\\frac{d}{dx} \\tanh^{-1}(x) = \\frac{1}{1 - x^2}$", "!"),
        ("$\\sigma^{-1}(x) = \\ln \\frac{x}{1 - x}$, $\\sigma(0) = \\frac12$", "!+"),
        ("$\\sigma(a) = \\frac{1}{1 + e^{-a}}$, $\\frac{d\\sigma}{da} = \\sigma (1 - \\sigma)$", "+!"),
        ("$q(u) = \\foo$\n\n$\\ln u^2 = 2 \\ln u$, $u + q = u$", "!+?"),
        ("$C = u^2$, $\\nabla_u C x = 2 u x$", "!"),
        ("$J = w^2$, $\\frac{\\delta J}{\\delta w} = 2 w$", "!"),
    ]);
}

#[test]
fn functions_may_have_powers_before_their_argument() {
    check_marks(&[
        ("$\\sigma'(z) = \\sigma(z) - \\sigma^2(z)$, $\\sigma^{2}(z) = \\sigma(z)$", "+-"),
        ("$\\ell = -\\frac{(x - \\mu)^2}{2 \\sigma^2}$, $\\frac{d\\ell}{d\\mu} = \\frac{x - \\mu}{\\sigma^2}$", "+"),
        ("$d\\sigma/da = \\sigma(a) (1 - \\sigma(a))$", "+"),
        ("$\\max\\{0, -u\\} = \\frac{|u| - u}{2}$", "+"),
    ]);
}

#[test]
fn a_capital_letter_counts_layers() {
    let model = "$a^{(L)} = \\sigma(z^{(L)})$, $C = (a^{(L)} - y)^2$, ";
    check_marks(&[
        (
            &format!("{model}$\\frac{{\\partial C}}{{\\partial z^{{(L)}}}} = 2 (a^{{(L)}} - y) \\sigma'(z^{{(L)}})$"),
            "+",
        ),
        (&format!("{model}$\\frac{{\\partial C}}{{\\partial z^{{(L)}}}} = 2 (a^{{(L)}} - y)$"), "-"),
        ("$e^{(x)} e^{(x - 1)} = e^{2 x - 1}$", "+"),
    ]);
}

#[test]
fn a_gradient_is_of_the_product_that_begins_with_a_number() {
    let sizes = "$A \\in \\mathbb R^{m \\times d}$, $x \\in \\mathbb R^d$, $b \\in \\mathbb R^m$\n";
    check_marks(&[
        (&format!("{sizes}$\\nabla_x \\frac12 \\|A x - b\\|^2_2 = A^\\top (A x - b)$"), "+"),
        (&format!("{sizes}$\\nabla_x x^\\top x = 2 x$, $\\nabla_x (x^\\top x) b^\\top b = 2 x b^\\top b$"), "++"),
        ("$C = u^2$, $\\nabla_u C \\odot s = 2 u s$, $s \\nabla_u C = 2 u$", "+-"),
    ]);
}

/// In a file that has both, C is the mean and `C^{(n)}` is a row's.
#[test]
fn a_mean_and_its_rows_may_share_a_letter() {
    let model = "$C = \\frac1N \\sum_n C^{(n)}$, $C^{(n)} = (w x^{(n)} - y^{(n)})^2$\n";
    check_marks(&[
        (&format!("{model}$\\frac{{dC}}{{dw}} = \\frac2N \\sum_n (w x^{{(n)}} - y^{{(n)}}) x^{{(n)}}$"), "+"),
        (&format!("{model}$\\frac{{dC}}{{dw}} = 2 (w x^{{(n)}} - y^{{(n)}}) x^{{(n)}}$"), "-"),
        (&format!("{model}$\\frac{{dC^{{(n)}}}}{{dw}} = 2 (w x^{{(n)}} - y^{{(n)}}) x^{{(n)}}$"), "+"),
    ]);
}

#[test]
fn words_in_text_can_be_names() {
    check_marks(&[
        ("$\\text{MSE} = (w x - y)^2$\n\n$\\frac{\\partial \\text{MSE}}{\\partial w} = 2 (w x - y) x$", "+"),
        ("$z = w x$\n\n$\\text{MSE} = (z - y)^2$\n\n$\\frac{d}{dz} \\text{MSE} = z - y$", "-"),
        ("$\\text{softplus}(x) = \\ln(1 + e^x)$, $\\text{softplus}'(x) = \\sigma(x)$", "+"),
        ("\\begin{align} f &= (u + 1)^2 \\\\ \\text{so} &= u^2 + 2 u + 1 \\end{align}", "+"),
        ("$L_{\\text{MSE}} = u^2$, $\\text{MSE} = u$, $\\frac{d}{du} L_{\\text{MSE}} = 2 u$", "+"),
    ]);
}

#[test]
fn small_letters_and_fractions_of_unicode_are_read() {
    check_marks(&[
        ("z = ∑ⱼ wⱼ xⱼ\nC = ½(z − y)²\n∂C/∂wⱼ = (z − y) xⱼ\n∂²C/∂wⱼ∂wₖ = xⱼ xₖ\n∂C/∂wⱼ = z xⱼ", "++-"),
        ("x⁻¹ x² = x\nx⁴ x⁻² = x²\na₁ + a₂ = a₂ + a₁\na₁ + a₂ = a₂ + u\nv₁₀ = u\nv₁₀ = 2 u", "+++--"),
        ("C = w^2\nd C/d w = 2 w (4.91)\n⇒ d C / d w = 3 w [1.2a]", "+-"),
    ]);
}

#[test]
fn braces_with_labels_and_arrows_are_read() {
    check_marks(&[(
        "$h = \\tanh z \\Rightarrow C = h^2$\n$$\\implies \\frac{dC}{dz} = \\underbrace{2 h}_{\\partial C/\\partial h} \
         \\cdot \\overbrace{(1 - h^2)}^{\\text{slope}} = \\underbrace{2 h}$$",
        "+-",
    )]);
}

/// The c of `[k = c]` is the class of the row, as in `p_{c^{(n)}}`.
#[test]
fn a_class_may_be_written_without_its_row() {
    let model = "$p_k = \\frac{e^{z_k}}{\\sum_j e^{z_j}}$, $C^{(n)} = -\\ln p_{c^{(n)}}^{(n)}$\n";
    check_marks(&[
        (&format!("{model}$\\frac{{\\partial C}}{{\\partial z_k}} = p_k - [k = c]$"), "+"),
        (&format!("{model}$\\frac{{\\partial C}}{{\\partial z_k}} = p_k - \\delta_{{kc}}$"), "+"),
        (&format!("{model}$\\frac{{\\partial C}}{{\\partial z_k}} = p_k + [k = c]$"), "-"),
    ]);
}

/// The number π may stand beside weights `π_k`.
#[test]
fn an_indexed_pi_is_a_name() {
    check_marks(&[(
        "$q = \\sum_k \\pi_k u_k$, $\\frac{\\partial q}{\\partial \\pi_k} = u_k$, $\\ln(2 \\pi) = \\ln 2 + \\ln \\pi$, \
         $\\frac{\\partial q}{\\partial u_k} = \\pi$",
        "++-",
    )]);
}

/// Far from zero, and close to it, formulas differ that are equal elsewhere.
#[test]
fn thresholds_are_found() {
    check_marks(&[("[x > 1000] = 0", "-"), ("max(x, 500) = 500", "-"), ("[x > 0] = sigma(1000000 x)", "-")]);
}

/// The prime of a value may be a derivative, and nothing says by what.
#[test]
fn the_prime_of_a_value_is_not_guessed() {
    check_marks(&[
        ("y = w x^2\ny' = 2 w x\n", "!"),
        ("$$\\hat y_k = w_k x$$\n\n$$\\hat y_k' = w_k$$\n", "!"),
        ("C = (w x - y)^2\nC' = C + k w^2\ndC'/dw = 2 (w x - y) x + 2 k w\n", "+"),
        ("w' = w - r g\nw' + r g = w\n", "+"),
        ("f(u) = u^2\nf'(u) = 2 u\n", "+"),
    ]);
}

/// A parameter is a number where the vector of its letter is on the page, too (CS229, and others).
#[test]
fn a_parameter_is_not_the_vector_of_its_letter() {
    let page = "f(x) = 1/(1 + e^-x)\nf'(x) = f(x) (1 - f(x))\nz = \\sum_j w_j x_j\np = f(z)\n";
    check_marks(&[
        (&format!("{page}dp/dw_j = p (1 - p) x_j\n"), "++"),
        (&format!("{page}dp/dw_j = p (1 - p)\n"), "+-"),
        ("z = \\sum_j w_j x_j\nf(x) = 1/(1 + e^-x)\ndf(x)/dx = f(x)\n", "-"),
        (
            "$$z = w^\\top x + b$$\n\n$$\\frac{\\partial z}{\\partial w_j} = x_j$$\n\n$$f(x) = x^2$$\n\n$$f'(x) = 2x$$\n",
            "++",
        ),
        ("h(x) = \\sum_j w_j x_j\nC = (h(x) - y)^2\ndC/dw_j = 2 (h(x) - y) x_j\n", "+"),
    ]);
}
