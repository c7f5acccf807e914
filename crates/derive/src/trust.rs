//! Tests of trust: what is right is never called wrong, and what is changed is found.
//!
//! Right derivations are rewritten by rules of algebra, and then broken by mutations.

use std::cell::Cell;

use crate::check::inputs;
use crate::document::{Assumption, Document, Role};
use crate::evaluate::Evaluator;
use crate::point::{Point, Random};
use crate::real::Real;
use crate::report::Verdict;
use crate::samples::Setting;
use crate::tree::{Expr, Function, Index, Kind, Operator, Span};
use crate::typing::Model;
use crate::{Options, check};
use digits::Digits;

mod digits;

/// The derivations that all hold.
pub(crate) const FILES: [&str; 7] = [
    include_str!("../configs/logistic.md"),
    include_str!("../configs/softmax.md"),
    include_str!("../configs/l2.md"),
    include_str!("../configs/linear.md"),
    include_str!("../configs/mlp.md"),
    include_str!("../configs/layer-norm.md"),
    include_str!("../configs/attention.md"),
];

/// A right claim about numbers, with the definitions that it needs.
struct Claim {
    definitions: String,
    left: String,
    right: Expr,
    condition: String,
}

/// Returns the claims of the files whose names all have their indices.
fn claims() -> Vec<Claim> {
    let mut claims = Vec::new();
    for file in FILES {
        let document = Document::parse(file).expect("a file of the project");
        let document = &document.parts[0];
        let model = Model::new(document).expect("a file of the project");
        let scalar = |expr: &Expr| {
            let mut all = true;
            expr.visit_names(&mut |name| {
                all &= model.ranks.get(&name.head).copied().unwrap_or(0) == name.indices.len();
            });
            expr.visit(&mut |part| all &= !matches!(part.kind, Kind::Call(Function::Transpose | Function::Norm, _)));
            all
        };
        let definitions: Vec<String> = document
            .items
            .iter()
            .filter_map(|item| match &item.role {
                Role::Definition => Some(format!("{} = {}", item.members[0], item.members[1])),
                Role::Assumption(_) => Some(file[item.span.start..item.span.end].to_owned()),
                _ => None,
            })
            .collect();
        for item in &document.items {
            let first = match item.role {
                Role::Definition => 2,
                Role::Claim => 1,
                _ => continue,
            };
            for right in item.members.iter().skip(first) {
                if scalar(right) && scalar(&item.members[0]) {
                    claims.push(Claim {
                        definitions: definitions.join("\n"),
                        left: item.members[0].to_string(),
                        right: right.clone(),
                        condition: item.condition.as_ref().map(|c| format!(" if {c}")).unwrap_or_default(),
                    });
                }
            }
        }
    }
    claims
}

fn verdict(claim: &Claim, right: &Expr, seed: u64) -> (String, Verdict) {
    let text = format!("{}\n{} = {right}{}\n", claim.definitions, claim.left, claim.condition);
    let document = Document::parse(&text).unwrap_or_else(|errors| panic!("{}\n{text}", errors[0]));
    // Without the diagnosis, which says nothing about whether a step is wrong.
    let report = check(&document, &Options { seed, witnesses: &[], explain: false, ..Options::default() });
    let step = report.lines.last().and_then(|line| line.steps.last()).expect("a step");
    (format!("{} = {right}", claim.left), step.verdict.clone())
}

fn new(kind: Kind) -> Expr {
    Expr::new(kind, Span::default())
}

fn binary(operator: Operator, a: Expr, b: Expr) -> Expr {
    new(Kind::Binary(operator, Box::new(a), Box::new(b)))
}

fn number(value: f64) -> Expr {
    new(Kind::Number { digits: value, decimals: 0 })
}

/// Returns the expression with its part of a number replaced.
fn replace(expr: &Expr, place: usize, f: &dyn Fn(Expr) -> Option<Expr>) -> Option<Expr> {
    let count = Cell::new(0);
    let changed = Cell::new(false);
    let result = expr.map(&|part| {
        let here = count.get();
        count.set(here + 1);
        if here != place {
            return part;
        }
        match f(part.clone()) {
            Some(new) => {
                changed.set(true);
                new
            }
            None => part,
        }
    });
    changed.get().then_some(result)
}

fn size(expr: &Expr) -> usize {
    let mut count = 0;
    expr.visit(&mut |_| count += 1);
    count
}

/// Applies a rule of algebra to a part, if it fits.
fn rewrite(part: Expr, rule: usize) -> Option<Expr> {
    use Operator::{Add, Div, Mul, Sub};
    let positive = || new(Kind::Call(Function::Exp, vec![number(2.0)]));
    match (rule, part.kind.clone()) {
        (0, Kind::Binary(operator @ (Add | Mul), a, b)) => Some(binary(operator, *b, *a)),
        (1, Kind::Binary(Sub, a, b)) => Some(binary(Add, *a, new(Kind::Neg(b)))),
        (2, Kind::Binary(Mul, a, b)) => match (a.kind.clone(), b.kind.clone()) {
            (_, Kind::Binary(operator @ (Add | Sub), c, d)) => {
                Some(binary(operator, binary(Mul, *a.clone(), *c), binary(Mul, *a, *d)))
            }
            (Kind::Binary(operator @ (Add | Sub), c, d), _) => {
                Some(binary(operator, binary(Mul, *c, *b.clone()), binary(Mul, *d, *b)))
            }
            _ => None,
        },
        (3, Kind::Binary(Div, a, b)) => Some(binary(Mul, *a, binary(Div, number(1.0), *b))),
        (4, Kind::Binary(operator @ (Add | Sub), a, b)) => match (a.kind.clone(), b.kind.clone()) {
            // A common denominator.
            (Kind::Binary(Div, p, q), Kind::Binary(Div, r, s)) => Some(binary(
                Div,
                binary(operator, binary(Mul, *p, *s.clone()), binary(Mul, *r, *q.clone())),
                binary(Mul, *q, *s),
            )),
            _ => None,
        },
        (5, Kind::Call(Function::Ln, mut all)) => {
            Some(binary(Sub, new(Kind::Call(Function::Ln, vec![binary(Mul, all.remove(0), positive())])), number(2.0)))
        }
        (6, Kind::Call(Function::Exp, all)) => match all[0].kind.clone() {
            Kind::Neg(inner) => Some(binary(Div, number(1.0), new(Kind::Call(Function::Exp, vec![*inner])))),
            Kind::Binary(Add, a, b) => {
                Some(binary(Mul, new(Kind::Call(Function::Exp, vec![*a])), new(Kind::Call(Function::Exp, vec![*b]))))
            }
            _ => None,
        },
        (7, Kind::Sum { product: false, bound, conditions, body }) => match body.kind.clone() {
            // Each part must still say over what the sum runs.
            Kind::Binary(operator @ (Add | Sub), a, b)
                if bound.iter().all(|bound| {
                    [&a, &b].iter().all(|part| crate::typing::free_letters(part).contains(&bound.letter))
                }) =>
            {
                let sum = |body| {
                    let (bound, conditions) = (bound.clone(), conditions.clone());
                    new(Kind::Sum { product: false, bound, conditions, body })
                };
                Some(binary(operator, sum(a), sum(b)))
            }
            _ => None,
        },
        (8, Kind::Name(_)) => Some(binary(Div, binary(Mul, number(3.0), part), number(3.0))),
        (9, Kind::Name(_)) => Some(binary(Sub, binary(Add, part, positive()), positive())),
        (10, Kind::Neg(inner)) => match inner.kind.clone() {
            Kind::Binary(Sub, a, b) => Some(binary(Sub, *b, *a)),
            Kind::Binary(Mul, a, b) => Some(binary(Mul, new(Kind::Neg(a)), *b)),
            _ => Some(binary(Mul, number(-1.0).negated(), *inner)),
        },
        _ => None,
    }
}

trait Negated {
    fn negated(self) -> Expr;
}

impl Negated for Expr {
    /// Writes a negative number as the negative of a number.
    fn negated(self) -> Expr {
        match self.kind {
            Kind::Number { digits, decimals } if digits < 0.0 => {
                new(Kind::Neg(Box::new(new(Kind::Number { digits: -digits, decimals }))))
            }
            _ => self,
        }
    }
}

/// Breaks a part, if the mutation fits.
fn mutate(part: Expr, mutation: usize, letters: &[String]) -> Option<Expr> {
    use Operator::{Add, Mul, Sub};
    match (mutation, part.kind.clone()) {
        (0, Kind::Binary(Add, a, b)) => Some(binary(Sub, *a, *b)),
        (0, Kind::Binary(Sub, a, b)) => Some(binary(Add, *a, *b)),
        (0, Kind::Neg(inner)) => Some(*inner),
        (1, Kind::Binary(Add | Sub, a, _)) => Some(*a),
        (2, Kind::Binary(Mul, a, _)) => Some(*a),
        (3, Kind::Name(_)) => Some(binary(Mul, number(2.0), part)),
        (4, Kind::Name(mut name)) => {
            let slot = name.indices.iter().position(|index| matches!(index, Index::Letter(_)))?;
            let other = letters.iter().find(|letter| Index::Letter((*letter).clone()) != name.indices[slot])?;
            name.indices[slot] = Index::Letter(other.clone());
            Some(new(Kind::Name(name)))
        }
        (5, Kind::Number { digits, decimals }) => Some(new(Kind::Number { digits: digits + 1.0, decimals })),
        (8, Kind::Binary(Mul, _, b)) => Some(*b),
        (6, Kind::Binary(Operator::Div, a, b)) => Some(binary(Mul, *a, *b)),
        (7, Kind::Call(Function::Exp, mut all)) => Some(all.remove(0)),
        _ => None,
    }
}

fn is_right(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Holds | Verdict::HoldsUnder { .. })
}

/// The number of rewritings and mutations in CI; set `DERIVE_TRUST` for more.
fn rounds(default: usize) -> usize {
    std::env::var("DERIVE_TRUST").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

#[test]
fn right_derivations_are_never_called_wrong() {
    let claims = claims();
    assert!(claims.len() > 40, "{} claims", claims.len());
    let mut random = Random::new(1, 0);
    for round in 0..rounds(200) {
        let claim = &claims[round % claims.len()];
        let mut right = claim.right.clone();
        for _ in 0..200 {
            if size(&right) > 60 {
                break;
            }
            let place = random.below(size(&right));
            let rule = random.below(11);
            if let Some(rewritten) = replace(&right, place, &|part| rewrite(part, rule)) {
                right = rewritten;
            }
        }
        let (text, verdict) = verdict(claim, &right, round as u64);
        assert!(is_right(&verdict), "{text}\n{verdict:?}");
    }
}

/// What is not called wrong agrees with the right side to 100 digits, and is listed.
#[test]
#[expect(clippy::print_stdout, reason = "`--nocapture` shows the list")]
fn mutations_are_found() {
    let claims = claims();
    let mut random = Random::new(2, 0);
    let mut unchanged = Vec::new();
    let count = rounds(200);
    let mut round = 0;
    while round < count {
        let claim = &claims[random.below(claims.len())];
        let letters: Vec<String> = crate::typing::free_letters(&claim.right).into_iter().filter(|l| l != "n").collect();
        let place = random.below(size(&claim.right));
        let mutation = random.below(9);
        let Some(mutant) = replace(&claim.right, place, &|part| mutate(part, mutation, &letters)) else { continue };
        round += 1;
        let (text, verdict) = verdict(claim, &mutant, 0);
        if !matches!(verdict, Verdict::Wrong { .. }) {
            unchanged.push(format!("{text}: {verdict:?}"));
            assert_eq!(agree(claim, &mutant), Some(true), "{text} is {verdict:?}, but nothing proves it equal");
        }
    }
    println!("{} of {count} mutations change nothing:\n{}", unchanged.len(), unchanged.join("\n"));
    assert!(unchanged.len() * 20 <= count, "{} of {count}:\n{}", unchanged.len(), unchanged.join("\n"));
}

/// What is equal agrees to 100 digits, and what differs does not.
#[test]
fn the_proof_of_equality_can_fail() {
    let claims: Vec<Claim> = claims().into_iter().step_by(3).collect();
    let mut random = Random::new(3, 0);
    let mut differ = 0;
    for claim in &claims {
        assert_eq!(agree(claim, &claim.right), Some(true), "{}", claim.right);
        let place = random.below(size(&claim.right));
        let doubled = replace(&claim.right, place, &|part| Some(binary(Operator::Mul, number(1.0 + 1e-12), part)));
        differ += usize::from(doubled.and_then(|mutant| agree(claim, &mutant)) == Some(false));
    }
    assert!(differ * 10 >= claims.len() * 9, "{differ} of {}", claims.len());
}

/// Returns whether a mutant and the right side agree to 100 digits at all of 12 points, or nothing
/// if they cannot be evaluated at as many.
fn agree(claim: &Claim, mutant: &Expr) -> Option<bool> {
    let text = format!("{}\n{} = {} = {mutant}{}\n", claim.definitions, claim.left, claim.right, claim.condition);
    let document = Document::parse(&text).unwrap_or_else(|errors| panic!("{}\n{text}", errors[0]));
    let part = &document.parts[0];
    let mut model = Model::new(part).expect("the model of a derivation");
    let (place, item) = part.items.iter().enumerate().next_back().expect("a claim");
    let exprs: Vec<&Expr> = item.members[1..].iter().collect();
    let (typing, _) = model.typing(&exprs, &item.condition.iter().collect::<Vec<_>>()).ok()?;
    let inputs = inputs(&model, &exprs);
    let budget = Cell::new(u64::MAX);
    let condition = item.condition.as_ref();
    let setting =
        Setting { model: &model, typing: &typing, item: place, condition, inputs: &inputs, seed: 77, budget: &budget };
    let assumptions: Vec<&Assumption> = part
        .items
        .iter()
        .filter_map(|item| if let Role::Assumption(assumption) = &item.role { Some(assumption) } else { None })
        .collect();
    let mut points = 0;
    for number in 0..200 {
        let mut point = setting.sampler(&assumptions).point(number);
        inputs.iter().for_each(|head| make_exact(&mut point, head, &assumptions));
        let mut is_defined = false;
        for letters in setting.combinations(&point, number) {
            let value = |expr: &Expr| {
                let mut evaluator = Evaluator::<Digits>::new(setting.context(&point), &letters);
                if let Some((_, row)) = letters.iter().find(|(letter, _)| letter == "n") {
                    evaluator.set_row(*row);
                }
                evaluator.evaluate(expr).ok().and_then(|value| value.entries.first().copied())
            };
            match value(exprs[0])?.agrees(&value(exprs[1])?) {
                Some(false) => return Some(false),
                Some(true) => is_defined = true,
                None => {}
            }
        }
        points += usize::from(is_defined);
        if points == 12 {
            return Some(true);
        }
    }
    None
}

/// Rounds values to few digits, so that entries that sum to one do so exactly.
fn make_exact(point: &mut Point, head: &str, assumptions: &[&Assumption]) {
    let sums_to_one = assumptions.contains(&&Assumption::SumOne(head.to_owned()));
    point.change(head, |value| {
        let rounded = |entry: &Real| (entry.value() * 1048576.0).round() / 1048576.0;
        let mut entries: Vec<f64> = value.entries.iter().map(rounded).collect();
        if let (true, Some((last, others))) = (sums_to_one, entries.split_last_mut()) {
            *last = 1.0 - others.iter().sum::<f64>();
        }
        value.entries = entries.into_iter().map(Real::new).collect();
    });
}

/// The verdicts on all files, and on all steps that were broken, do not depend on the seed.
#[test]
fn verdicts_do_not_depend_on_the_seed() {
    let misprints = include_str!("../configs/misprints.md");
    let verdicts = |seed: u64| -> Vec<String> {
        let mut verdicts = Vec::new();
        for file in FILES.iter().chain([&misprints]) {
            let document = Document::parse(file).expect("a file of the project");
            let report = check(&document, &Options { seed, witnesses: &[], explain: false, ..Options::default() });
            verdicts.extend(report.lines.into_iter().flat_map(|line| line.steps).map(|step| match step.verdict {
                Verdict::Wrong { .. } => "wrong".to_owned(),
                verdict => format!("{verdict:?}"),
            }));
        }
        verdicts
    };
    let expected = verdicts(0);
    for seed in 1..=rounds(3) as u64 {
        assert_eq!(verdicts(seed), expected, "seed {seed}");
    }
}
