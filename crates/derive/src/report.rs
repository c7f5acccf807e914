//! What a check found, as data and as text.

use std::fmt;

use serde::Serialize;

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The statements in the order of the document.
    pub lines: Vec<Line>,
    /// The place in `lines` of the first wrong statement.
    pub first_wrong: Option<usize>,
    /// Lines of the document that contain `=` but were read as prose.
    pub prose: Vec<usize>,
}

/// A statement of the document.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// The line of the document, from 1.
    pub line: usize,
    /// The number of the equation, if it has one.
    pub label: Option<String>,
    /// The left side, as it is written.
    pub left: String,
    /// The byte of the document at which it begins.
    #[serde(skip)]
    pub(crate) start: usize,
    /// The left side for a page, or nothing if the source is all there is.
    #[serde(skip)]
    pub(crate) left_latex: String,
    /// The indices for which it is said.
    pub condition: Option<String>,
    /// The right sides.
    pub steps: Vec<Step>,
    /// The witnesses that found the same derivative on the left side at a point: each entry of it,
    /// up to 36.
    /// `None` where the left side is no derivative, or none by one name.
    pub confirmed_by: Option<Vec<String>>,
}

/// One `=` of a statement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The line of the document, from 1.
    pub line: usize,
    /// The right side, as it is written.
    pub right: String,
    /// The right side for a page.
    #[serde(skip)]
    pub(crate) right_latex: String,
    /// What the check found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What the check found about one `=`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It defines the left side.
    Definition,
    /// It is assumed.
    Assumption,
    /// Both sides are equal.
    Holds,
    /// Both sides are equal under assumptions of the document only.
    HoldsUnder {
        /// The assumptions, as they are written.
        assumptions: Vec<String>,
    },
    /// The sides differ.
    Wrong {
        /// What kind of mistake it looks like.
        kind: Option<Mistake>,
        /// Where they differ.
        counterexample: Counterexample,
    },
    /// The step itself is right, but what it starts from is wrong.
    Follows {
        /// The line of the wrong step.
        from_line: usize,
    },
    /// The step before is wrong, and this side equals the left side of the statement again.
    RightAgain,
    /// It cannot be decided.
    Undecided {
        /// Why.
        reason: String,
    },
    /// The right side is still to be derived.
    Missing,
    /// The formula cannot be read.
    NotRead {
        /// The column, from 1, in characters. The line is that of the step.
        column: usize,
        /// What was found or expected.
        reason: String,
    },
    /// The checker does not check this.
    NotChecked {
        /// What it is.
        reason: String,
    },
}

/// The kinds of mistakes that the checker recognises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "mistake", rename_all = "snake_case")]
pub enum Mistake {
    /// The sign is wrong everywhere.
    Sign,
    /// The sign of one term is wrong.
    TermSign {
        /// The term, as it is written.
        term: String,
    },
    /// The right side is the left side times this factor.
    Factor {
        /// The factor, like `2`, `1/N` or `λ`.
        factor: String,
    },
    /// A sum over the rows where the mean is meant.
    SumForMean,
    /// A mean over the rows where the sum is meant.
    MeanForSum,
    /// The transpose of the left side.
    Transposed,
    /// One factor is transposed, or its transpose is missing.
    FactorTransposed {
        /// The factor.
        factor: String,
    },
    /// Two names are swapped.
    Swapped {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
    /// A factor of the chain rule is missing.
    MissingInner {
        /// The derivative, like `∂p/∂z`.
        derivative: String,
    },
    /// Right on the diagonal of a Jacobian only, or a sum over it that has its diagonal only.
    DiagonalOnly {
        /// The indices that are equal on the diagonal, or the sum's derivative.
        what: String,
    },
    /// Two indices are swapped.
    IndicesSwapped {
        /// One index.
        first: String,
        /// The other.
        second: String,
    },
    /// A derivative by another name.
    OtherDerivative {
        /// The derivative that the right side is.
        derivative: String,
    },
    /// The penalty's term is missing.
    PenaltyMissing {
        /// The term.
        term: String,
    },
    /// The step holds only under an assumption that the document does not make.
    AssumptionMissing {
        /// The assumption, like `\sum_k y_k = 1`.
        assumption: String,
    },
    /// Another line defines the name, and says something else.
    DefinedOtherwise {
        /// The name.
        name: String,
        /// The line that defines it.
        line: usize,
    },
    /// The left side is the derivative of a product plus something, and that of a sum is meant.
    ParenthesesMissing,
    /// A parameter is penalised that is not in the penalty.
    PenaltyAdded {
        /// The term.
        term: String,
    },
}

/// Values at which two sides differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counterexample {
    /// The values of the inputs and of the free indices, each as text: `x = (1, 2)`.
    pub values: Vec<String>,
    /// The value of the side before.
    pub left: String,
    /// The value of the side after.
    pub right: String,
}

impl Report {
    /// Returns whether no statement is wrong.
    pub fn is_right(&self) -> bool {
        self.first_wrong.is_none()
    }

    /// Leaves out the first lines of the document, and counts from the next one.
    pub(crate) fn keep_lines_after(&mut self, lines: usize) {
        self.lines.retain(|line| line.line > lines);
        self.prose.retain(|line| *line > lines);
        self.prose.iter_mut().for_each(|line| *line -= lines);
        for line in &mut self.lines {
            line.line -= lines;
            for step in &mut line.steps {
                step.line -= lines;
                if let Verdict::Follows { from_line } = &mut step.verdict {
                    *from_line -= lines;
                }
            }
        }
        let is_wrong = |line: &Line| line.steps.iter().any(|step| matches!(step.verdict, Verdict::Wrong { .. }));
        self.first_wrong = self.lines.iter().position(is_wrong);
    }

    /// Writes the report as text. With `colours`, marks have the colours of a terminal.
    pub fn to_text(&self, colours: bool) -> String {
        let mut text = String::new();
        let width = self.lines.last().map_or(1, |line| line.line.to_string().len());
        for line in &self.lines {
            let label = line.label.as_ref().map(|label| format!("  ({label})")).unwrap_or_default();
            let condition = line.condition.as_ref().map(|when| format!("  for {when}")).unwrap_or_default();
            let mut left = line.left.clone();
            let mut last = line.line;
            for (place, step) in line.steps.iter().enumerate() {
                let mark = paint(step.verdict.mark(), step.verdict.colour(), colours);
                let number = if place == 0 || step.line != last { step.line.to_string() } else { String::new() };
                last = step.line;
                let indent = if place == 0 { String::new() } else { " ".repeat(4) };
                let end = if place == 0 { format!("{condition}{label}") } else { String::new() };
                let statement = if step.right.is_empty() { left.clone() } else { format!("{left} = {}", step.right) };
                text += &format!("{number:>width$} {mark} {indent}{}{end}\n", statement.trim_start());
                for note in step.notes() {
                    text += &format!("{:>width$}       {note}\n", "");
                }
                left = String::new();
            }
        }
        for line in &self.prose {
            text += &format!(
                "Line {line} has `=` and was read as prose; put the formula between $ and $ to have it checked.\n"
            );
        }
        text += &self.summary();
        text.push('\n');
        text += &self.witnesses().map_or_else(String::new, |sentence| sentence + "\n");
        text
    }

    /// Says in one sentence which witnesses confirm the derivatives on left sides. Returns `None`
    /// if no witness was asked.
    pub fn witnesses(&self) -> Option<String> {
        let asked: Vec<&Vec<String>> = self.lines.iter().filter_map(|line| line.confirmed_by.as_ref()).collect();
        let mut names: Vec<&String> = Vec::new();
        for name in asked.iter().flat_map(|names| names.iter()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let confirmed = |name: &String| asked.iter().filter(|names| names.contains(name)).count();
        let counts: Vec<String> = names.iter().map(|name| format!("{} by {name}", confirmed(name))).collect();
        let derivatives = if asked.len() == 1 { "derivative" } else { "derivatives" };
        let counts = if counts.is_empty() { "none by a witness".to_owned() } else { counts.join(", ") };
        (!asked.is_empty()).then(|| format!("Confirmed of {} {derivatives} on left sides: {counts}.", asked.len()))
    }

    /// Says in one sentence what was found.
    pub fn summary(&self) -> String {
        let count = |is: fn(&Verdict) -> bool| {
            self.lines.iter().flat_map(|line| &line.steps).filter(|step| is(&step.verdict)).count()
        };
        let right = count(|v| matches!(v, Verdict::Holds | Verdict::HoldsUnder { .. } | Verdict::RightAgain));
        let wrong = count(|v| matches!(v, Verdict::Wrong { .. }));
        let others = [
            (wrong, "wrong"),
            (count(|v| matches!(v, Verdict::Follows { .. })), "that follow from a wrong one"),
            (count(|v| matches!(v, Verdict::Undecided { .. })), "not decided"),
            (count(|v| matches!(v, Verdict::Missing)), "still to be derived"),
            (count(|v| matches!(v, Verdict::NotChecked { .. })), "not checked"),
            (count(|v| matches!(v, Verdict::NotRead { .. })), "not read"),
        ];
        let others = others.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let others = others.collect::<Vec<_>>().join(", ");
        let found = match right {
            0 if others.is_empty() => "There is no step to check".to_owned(),
            0 => format!("No step holds: {others}"),
            1 => "1 step holds".to_owned(),
            _ => format!("{right} steps hold"),
        };
        let first = self.first_wrong.map(|place| {
            let line = &self.lines[place];
            let step = line.steps.iter().find(|step| matches!(step.verdict, Verdict::Wrong { .. }));
            format!(" The first wrong step is on line {}.", step.map_or(line.line, |step| step.line))
        });
        let others = if right == 0 || others.is_empty() { String::new() } else { format!(", {others}") };
        format!("{found}{others}.{}", first.unwrap_or_default())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(false))
    }
}

fn paint(mark: &str, colour: &str, colours: bool) -> String {
    if colours { format!("\u{1b}[{colour}m{mark}\u{1b}[0m") } else { mark.to_owned() }
}

impl Step {
    /// Explains the verdict, in at most two lines.
    pub(crate) fn notes(&self) -> Vec<String> {
        match &self.verdict {
            Verdict::NotRead { column, reason } => {
                vec![format!("not read: line {}, column {column}: {reason}", self.line)]
            }
            verdict => verdict.notes(),
        }
    }
}

impl Verdict {
    /// The name, for readers who do not see the mark.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Assumption => "assumption",
            Self::Holds => "holds",
            Self::HoldsUnder { .. } => "holds under assumptions",
            Self::RightAgain => "right again",
            Self::Wrong { .. } => "wrong",
            Self::Follows { .. } => "follows from a wrong step",
            Self::Undecided { .. } => "not decided",
            Self::Missing => "to be derived",
            Self::NotRead { .. } => "not read",
            Self::NotChecked { .. } => "not checked",
        }
    }

    /// The class of the step on a page.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Definition | Self::Assumption | Self::NotChecked { .. } => "plain",
            Self::Holds | Self::HoldsUnder { .. } | Self::RightAgain => "right",
            Self::Wrong { .. } => "wrong",
            Self::NotRead { .. } => "unread",
            Self::Follows { .. } | Self::Undecided { .. } | Self::Missing => "open",
        }
    }

    pub(crate) fn mark(&self) -> &'static str {
        match self {
            Self::Definition => "≡",
            Self::Assumption => "⊢",
            Self::Holds | Self::HoldsUnder { .. } | Self::RightAgain => "✓",
            Self::Wrong { .. } => "✗",
            Self::NotRead { .. } => "!",
            Self::Follows { .. } => "↳",
            Self::Undecided { .. } | Self::Missing => "?",
            Self::NotChecked { .. } => "·",
        }
    }

    fn colour(&self) -> &'static str {
        match self {
            Self::Definition | Self::Assumption | Self::NotChecked { .. } => "2",
            Self::Holds | Self::HoldsUnder { .. } | Self::RightAgain => "32",
            Self::Wrong { .. } | Self::NotRead { .. } => "31",
            Self::Follows { .. } | Self::Undecided { .. } | Self::Missing => "33",
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::Definition | Self::Holds | Self::NotRead { .. } => Vec::new(),
            Self::Assumption => vec!["assumed".into()],
            Self::HoldsUnder { assumptions } => vec![format!("holds only where {}", assumptions.join(" and "))],
            Self::Wrong { kind, counterexample: example } => {
                let kind = kind.as_ref().map_or_else(|| "wrong".to_owned(), |kind| format!("wrong: {kind}"));
                let at = if example.values.is_empty() {
                    "always".into()
                } else {
                    format!("at {}", example.values.join(", "))
                };
                vec![kind, format!("{at}: {} ≠ {}", example.left, example.right)]
            }
            Self::Follows { from_line } => vec![format!("follows from the wrong step on line {from_line}")],
            Self::RightAgain => vec!["equals the left side again, but not the step before".into()],
            Self::Undecided { reason } => vec![format!("cannot be decided: {reason}")],
            Self::Missing => vec!["to be derived".into()],
            Self::NotChecked { reason } => vec![format!("not checked: {reason}")],
        }
    }
}

/// Says what was found, without a counterexample.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.notes().first() {
            Some(note) if *self != Self::Assumption => f.write_str(note),
            _ => f.write_str(self.name()),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sign => f.write_str("the sign is flipped everywhere"),
            Self::TermSign { term } => write!(f, "the sign of the term {term} is flipped"),
            Self::Factor { factor } => write!(f, "it is {factor} times as large as it should be, everywhere"),
            Self::SumForMean => f.write_str("a sum over the rows where their mean is meant: 1/N is missing"),
            Self::MeanForSum => f.write_str("a mean over the rows where their sum is meant: 1/N is too much"),
            Self::Transposed => f.write_str("it is transposed"),
            Self::FactorTransposed { factor } => write!(f, "the factor {factor} is transposed"),
            Self::Swapped { first, second } => write!(f, "{first} and {second} are swapped"),
            Self::MissingInner { derivative } => write!(f, "the inner derivative {derivative} is missing"),
            Self::DiagonalOnly { what } => write!(f, "only the diagonal of the Jacobian is right or used: {what}"),
            Self::IndicesSwapped { first, second } => write!(f, "the indices {first} and {second} are swapped"),
            Self::OtherDerivative { derivative } => write!(f, "this is {derivative}, another derivative"),
            Self::PenaltyMissing { term } => write!(f, "the penalty's term {term} is missing"),
            Self::DefinedOtherwise { name, line } => {
                write!(
                    f,
                    "line {line} defines {name} as something else; a second meaning needs a scope or another name"
                )
            }
            Self::ParenthesesMissing => {
                f.write_str("the derivative is only of the product that follows; write parentheses around the sum")
            }
            Self::AssumptionMissing { assumption } => {
                write!(f, "it holds only where {assumption}, which no line assumes")
            }
            Self::PenaltyAdded { term } => write!(f, "the term {term} penalises what the penalty does not contain"),
        }
    }
}

/// Writes a number with up to six digits.
pub(crate) fn number(value: f64) -> String {
    if value == value.round() && value.abs() < 1e9 {
        return format!("{}", value + 0.0);
    }
    let size = value.abs().log10().floor();
    if !(-4.0..9.0).contains(&size) {
        return format!("{value:.4e}");
    }
    let decimals = (5.0 - size).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.to_owned()
}
