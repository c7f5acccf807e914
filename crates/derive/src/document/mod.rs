//! The reader: which parts of a text are formulas, and what each formula says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{ParseError, position};
use crate::lex::{Lexeme, lex};
use crate::parse::{Form, Parser, Set, Statement, is_index_letter};
use crate::tree::{Condition, Expr, Index, Kind, Limit, Name, Span};
use formulas::{Formula, formulas};
pub(crate) use functions::Functions;
pub(crate) use unread::Unread;

/// The maximum size of a document in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The maximum number of tokens of one formula.
const MAX_TOKENS: usize = 5_000;
/// The maximum number of statements.
const MAX_STATEMENTS: usize = 1_000;

/// The maximum number of scopes.
const MAX_SCOPES: usize = 24;
/// The maximum number of formulas that are left out because they cannot be read.
const MAX_UNREAD: usize = 64;

mod doubts;
mod formulas;
mod functions;
mod parameters;
mod unread;
mod words;

/// A derivation: the formulas of a text, each with its place and its meaning.
#[derive(Clone, Debug)]
pub struct Document {
    pub(crate) parts: Vec<Part>,
    /// Lines with `=` that were read as prose.
    pub(crate) prose: Vec<usize>,
    unread: Vec<ParseError>,
}

/// The formulas of one scope: the whole document, unless its comments name scopes.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// The name of the scope, if the document's comments name it.
    pub(crate) scope: Option<String>,
    /// The text of the whole document.
    pub(crate) text: Arc<str>,
    pub(crate) items: Vec<Item>,
    pub(crate) definitions: Vec<Definition>,
    /// The sizes of declared names: `x \in \mathbb R^d`.
    pub(crate) shapes: BTreeMap<String, Vec<String>>,
    /// The number of the first class, row or feature: 0 if the document writes an index 0.
    pub(crate) base: i64,
    pub(crate) unread: Vec<Unread>,
}

/// A statement with its role.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) role: Role,
    pub(crate) members: Vec<Expr>,
    pub(crate) condition: Option<Condition>,
    pub(crate) label: Option<String>,
    pub(crate) span: Span,
    /// Whether it belongs to the scope that this one begins with, and is checked there.
    pub(crate) inherited: bool,
}

/// What a statement is for.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// The first member is defined by the second.
    Definition,
    Claim,
    Assumption(Assumption),
    NotChecked(String),
}

/// What can be assumed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Assumption {
    /// The entries of a vector sum to one.
    SumOne(String),
    /// Every entry is one of these numbers.
    OneOf(String, Vec<f64>),
    /// Every entry is between these.
    Between(String, f64, f64),
    /// A size is a number.
    Size(String, usize),
    /// Nothing but a type or a shape.
    Declaration,
}

/// The definition of a name.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) name: Name,
    /// The parameters of a function.
    pub(crate) parameters: Vec<Name>,
    pub(crate) body: Expr,
    /// The item that contains it.
    pub(crate) item: usize,
    /// Whether it collects rows of the same name: `C = (1/N) sum_n C^(n)`.
    pub(crate) is_batch: bool,
}

impl Document {
    /// Reads a derivation. Formulas that cannot be read are left out: [`unread`](Self::unread)
    /// lists them, and `check` reports them and what depends on them.
    ///
    /// # Errors
    ///
    /// The text is too large, or it has no formulas with a beginning and an end, such as one `$`
    /// without its partner.
    pub fn parse(text: &str) -> Result<Self, Vec<ParseError>> {
        let text = &Self::normalized(text);
        let located = |errors: Vec<ParseError>| errors.into_iter().map(|error| error.located(text)).collect::<Vec<_>>();
        if text.len() > MAX_BYTES {
            let message = format!("the document has {} bytes; at most {MAX_BYTES} can be read", text.len());
            return Err(located(vec![ParseError::new(0, message)]));
        }
        let mut errors = Vec::new();
        let (formulas, prose) = formulas(text, &mut errors);
        let mut tokens = Vec::new();
        for formula in formulas {
            match lex(text, formula.from, formula.to, formula.notation) {
                Ok(lexed) if lexed.len() > MAX_TOKENS => {
                    let message = format!("a formula can have at most {MAX_TOKENS} signs");
                    return Err(located(vec![ParseError::new(formula.from, message)]));
                }
                Ok(lexed) => tokens.push((formula, Ok(lexed))),
                Err(_) => tokens.extend(formula.rows(text).into_iter().map(|row| {
                    let lexed = lex(text, row.from, row.to, row.notation);
                    (row, lexed)
                })),
            }
        }
        words::name_texts(&mut tokens);
        words::join(&mut tokens);
        let functions = Functions::find(tokens.iter().filter_map(|(_, tokens)| tokens.as_deref().ok()));
        let shared: Arc<str> = text.as_str().into();
        let mut drafts: Vec<Draft> = vec![Draft::default()];
        let mut current = 0;
        for (formula, tokens) in tokens {
            if let Some(scope) = &formula.scope {
                current = match enter(&mut drafts, scope) {
                    Ok(place) => place,
                    Err(message) => {
                        errors.push(ParseError::new(formula.from, message));
                        break;
                    }
                };
                continue;
            }
            let draft = &mut drafts[current];
            if let Some(reason) = formula.reason.clone() {
                draft.skip(text, &formula, reason);
                continue;
            }
            let parse =
                |tokens: &[Lexeme], to| Parser::new(tokens.to_vec(), to, formula.notation, &functions).statements();
            match tokens {
                Ok(tokens) => match parse(&tokens, formula.to) {
                    Ok(parsed) => draft.extend(parsed),
                    // Prose may mention what the checker does not know, but not state it.
                    Err(_) if formula.inline && !states(&text[formula.from..formula.to]) => {}
                    Err(_) => {
                        for row in formula.rows(text) {
                            let first = tokens.partition_point(|token| token.span.start < row.from);
                            let last = tokens.partition_point(|token| token.span.start < row.to);
                            match parse(&tokens[first..last], row.to) {
                                Ok(parsed) => draft.extend(parsed),
                                Err(error) => draft.unread.push(Unread::new(text, &row, error)),
                            }
                        }
                    }
                },
                Err(_) if formula.inline && !states(&text[formula.from..formula.to]) => {}
                Err(error) => draft.unread.push(Unread::new(text, &formula, error)),
            }
            if drafts.iter().map(|draft| draft.statements.len()).sum::<usize>() > MAX_STATEMENTS {
                let message = format!("the document has more than {MAX_STATEMENTS} statements");
                errors.push(ParseError::new(formula.from, message));
                break;
            }
        }
        if !errors.is_empty() {
            errors.sort_by_key(|error| error.at);
            return Err(located(errors));
        }
        let mut parts = Vec::new();
        for draft in drafts {
            parts.push(draft.finish(&shared).map_err(&located)?);
        }
        let mut unread: Vec<ParseError> = parts
            .iter()
            .flat_map(|part| &part.unread)
            .filter(|unread| !unread.inherited)
            .map(|u| u.error.clone())
            .collect();
        unread.sort_by_key(|error| error.at);
        Ok(Self { parts, prose, unread: located(unread) })
    }

    /// Returns a text as it is read: without the mark of Unicode, and with line feeds as line ends.
    pub(crate) fn normalized(text: &str) -> String {
        // Lines can end as on old computers.
        with_line_feeds(text.trim_start_matches('\u{feff}'))
    }

    /// Returns the formulas that cannot be read, with line, column and what was expected.
    pub fn unread(&self) -> &[ParseError] {
        &self.unread
    }
}

/// The statements of a scope while the text is read.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    statements: Vec<Statement>,
    unread: Vec<Unread>,
    /// The number of statements of the scope that this one begins with.
    inherited: usize,
}

/// Returns the place of the scope that a comment names: `NAME`, or `NAME from OTHER`.
fn enter(drafts: &mut Vec<Draft>, scope: &str) -> Result<usize, String> {
    let (name, parent) = match scope.split_once(" from ") {
        Some((name, parent)) => (name.trim(), Some(parent.trim())),
        None => (scope.trim(), None),
    };
    let find = |drafts: &[Draft], name: &str| drafts.iter().position(|draft| draft.name.as_deref() == Some(name));
    match (find(drafts, name), parent) {
        (Some(place), None) => return Ok(place),
        (Some(_), Some(_)) => return Err(format!("the scope `{name}` exists already; go on with `scope: {name}`")),
        _ if drafts.len() > MAX_SCOPES => return Err(format!("a document can have at most {MAX_SCOPES} scopes")),
        _ => {}
    }
    // A scope begins with what stands before all scopes, or with what its parent has so far.
    let parent = match parent {
        Some(parent) => find(drafts, parent).ok_or_else(|| format!("no scope `{parent}` comes before"))?,
        None => 0,
    };
    let statements = drafts[parent].statements.clone();
    let unread = drafts[parent].unread.iter().cloned().map(|unread| Unread { inherited: true, ..unread }).collect();
    drafts.push(Draft { name: Some(name.to_owned()), inherited: statements.len(), statements, unread });
    Ok(drafts.len() - 1)
}

impl Draft {
    /// Adds the statements of a formula.
    fn extend(&mut self, statements: Vec<Statement>) {
        for statement in statements {
            let span = statement.span;
            if let Err(error) = self.push(statement) {
                self.unread.push(Unread { error, span, names: BTreeSet::new(), inherited: false });
            }
        }
    }

    /// Adds a statement, or continues the last one.
    fn push(&mut self, statement: Statement) -> Result<(), ParseError> {
        if !statement.continues {
            self.statements.push(statement);
            return Ok(());
        }
        let at = statement.span.start;
        let last = self.statements.last_mut();
        if self.unread.last().is_some_and(|unread| last.as_ref().is_none_or(|last| last.span.start < unread.error.at)) {
            return Err(ParseError::new(at, "this line continues one that was not read"));
        }
        match (last, statement.form) {
            (Some(Statement { form: Form::Chain(chain), span, condition, label, .. }), Form::Chain(more)) => {
                chain.extend(more);
                *span = span.to(statement.span);
                *condition = condition.take().or(statement.condition);
                *label = label.take().or(statement.label);
                Ok(())
            }
            // A left side alone on its line.
            (Some(Statement { form: Form::Mention, .. }), Form::Chain(_)) => {
                Err(ParseError::new(at, "the line before `=` must be a statement with `=`"))
            }
            _ => Err(ParseError::new(at, "this line begins with `=`, but none before it can go on")),
        }
    }

    /// Adds a formula that a comment says not to check.
    fn skip(&mut self, text: &str, formula: &Formula, reason: String) {
        let source = &text[formula.from..formula.to];
        let tag = source.split_once("\\tag{").and_then(|(_, rest)| rest.split_once('}'));
        let label = tag.map(|(label, _)| label.trim().to_owned());
        let start = formula.from + source.len() - source.trim_start().len();
        let span = Span { start, end: start + source.trim().len() };
        let form = Form::Skipped(reason);
        self.statements.push(Statement { form, condition: None, label, continues: false, span });
    }

    /// Finds what each statement is for. Statements whose types do not fit are left out.
    fn finish(mut self, text: &Arc<str>) -> Result<Part, Vec<ParseError>> {
        let mut has_renamed = false;
        loop {
            let mut part = Part::with_roles(text, self.statements.clone(), self.inherited);
            let checked = crate::typing::Model::new(&part).and_then(|model| doubts::check(&part, &model));
            let Err(error) = checked else {
                part.scope = self.name;
                part.unread = self.unread;
                return Ok(part);
            };
            if !std::mem::replace(&mut has_renamed, true) && parameters::rename(&mut self.statements) {
                continue;
            }
            let contains = |statement: &Statement| (statement.span.start..=statement.span.end).contains(&error.at);
            let place = self.statements.iter().position(contains);
            let Some(place) = place.filter(|_| self.unread.len() < MAX_UNREAD) else {
                let mut errors: Vec<ParseError> = self.unread.into_iter().map(|unread| unread.error).collect();
                errors.push(error);
                errors.sort_by_key(|error| error.at);
                return Err(errors);
            };
            let statement = self.statements.remove(place);
            let inherited = place < self.inherited;
            self.inherited -= usize::from(inherited);
            self.unread.push(Unread { inherited, ..Unread::of_statement(&statement, error) });
            self.unread.sort_by_key(|unread| unread.error.at);
        }
    }
}

impl Part {
    /// Returns the line of a place, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        position(&self.text, at).0
    }

    /// Returns the formula that was not read and that may say what a name is.
    pub(crate) fn unread_about(&self, head: &str) -> Option<&Unread> {
        let letter = head.split(['_', '^', '\'']).next().unwrap_or(head);
        let is_defined_before = |unread: &Unread| {
            let mut definitions = self.definitions.iter().filter(|definition| definition.name.head == head);
            definitions.any(|definition| definition.name.span.start < unread.error.at)
        };
        self.unread.iter().find(|unread| unread.names.contains(letter) && !is_defined_before(unread))
    }

    fn with_roles(text: &Arc<str>, mut statements: Vec<Statement>, inherited: usize) -> Self {
        merge_name_parts(&mut statements);
        let sizes = size_names(&statements);
        let heads: BTreeSet<String> = statements.iter().filter_map(|s| left_name(s).map(|n| n.head.clone())).collect();
        let mut document = Self {
            scope: None,
            text: Arc::clone(text),
            items: Vec::new(),
            definitions: Vec::new(),
            shapes: BTreeMap::new(),
            base: 1,
            unread: Vec::new(),
        };
        for (place, statement) in statements.into_iter().enumerate() {
            let inherited = place < inherited;
            let item = document.items.len();
            let mut members = Vec::new();
            let role = match statement.form {
                Form::Mention => continue,
                Form::Skipped(reason) => Role::NotChecked(reason),
                Form::Condition(condition) => Role::NotChecked(format!("a condition in prose: {condition}")),
                Form::Member(names, set) => {
                    for name in &names {
                        let assumption = match &set {
                            Set::Numbers(numbers) => Assumption::OneOf(name.head.clone(), numbers.clone()),
                            Set::Interval(low, high) => Assumption::Between(name.head.clone(), *low, *high),
                            Set::Reals(sizes) => {
                                document.shapes.insert(name.head.clone(), sizes.clone());
                                Assumption::Declaration
                            }
                        };
                        document.items.push(Item {
                            role: Role::Assumption(assumption),
                            members: Vec::new(),
                            condition: None,
                            label: statement.label.clone(),
                            span: statement.span,
                            inherited,
                        });
                    }
                    continue;
                }
                Form::Order(ordered, relations) => match bounds(&ordered, &relations) {
                    Some(assumption) => Role::Assumption(assumption),
                    None => {
                        // The expressions of an inequality need no types.
                        let what =
                            if relations.contains(&"in".to_owned()) { "membership of a set" } else { "an inequality" };
                        Role::NotChecked(format!("{what}; only equations are checked"))
                    }
                },
                Form::Chain(chain) => {
                    members = chain;
                    match assumption(&members, &sizes, &heads) {
                        Some(assumption) => Role::Assumption(assumption),
                        None => document.define(item, &members, statement.condition.as_ref()),
                    }
                }
            };
            let (condition, label) = (statement.condition, statement.label);
            document.items.push(Item { role, members, condition, label, span: statement.span, inherited });
        }
        doubts::find_labels(&mut document.items);
        let mut base = 1;
        for member in document.items.iter().flat_map(|item| &item.members) {
            member.visit_indices(&mut |index| {
                if *index == Index::Number(0) {
                    base = 0;
                }
            });
        }
        document.base = base;
        document
    }

    /// Decides whether a chain defines its first member, and notes the definition.
    fn define(&mut self, item: usize, members: &[Expr], condition: Option<&Condition>) -> Role {
        let (name, parameters) = match &members[0].kind {
            Kind::Name(name) => (name, Vec::new()),
            Kind::Apply(name, arguments) => {
                let names = arguments.iter().map(|argument| match &argument.kind {
                    Kind::Name(name) => Some(name.clone()),
                    _ => None,
                });
                match names.collect::<Option<Vec<Name>>>() {
                    Some(names) => (name, names),
                    None => return Role::Claim,
                }
            }
            _ => return Role::Claim,
        };
        let letters: BTreeSet<&Index> = name.indices.iter().filter(|i| matches!(i, Index::Letter(_))).collect();
        if letters.len() != name.indices.len() || condition.is_some() || members[1].kind == Kind::Missing {
            return Role::Claim;
        }
        let mut uses_row = false;
        let mut uses_itself = false;
        members[1].visit_names(&mut |used| {
            uses_row |= used.head == name.head && used.row.is_some();
            uses_itself |= used.head == name.head && used.row.is_none();
        });
        let is_batch = uses_row && name.row.is_none();
        if uses_itself || (uses_row && !is_batch) {
            return Role::Claim;
        }
        let known = self.definitions.iter().any(|known| {
            known.name.head == name.head
                && known.is_batch == is_batch
                && (known.name.row.is_some() == name.row.is_some() || known.name.row.is_none())
        });
        // A row's version after the batch's one is new: C = (1/N) sum_n C^(n), C^(n) = ….
        if known {
            return Role::Claim;
        }
        let body = members[1].clone();
        self.definitions.push(Definition { name: name.clone(), parameters, body, item, is_batch });
        Role::Definition
    }
}

/// Returns the text with a line feed for each carriage return that has none.
fn with_line_feeds(text: &str) -> String {
    let mut rest = text.chars().peekable();
    let mut result = String::with_capacity(text.len());
    while let Some(c) = rest.next() {
        let is_end = c == '\r' && rest.peek() != Some(&'\n');
        result.push(if is_end { '\n' } else { c });
    }
    result
}

/// Returns whether a formula states something, rather than mention a name.
pub(crate) fn states(formula: &str) -> bool {
    ["=", "\\in ", "\\le", "\\ge", "<", ">"].iter().any(|relation| formula.contains(relation))
}

/// Makes subscripts that are no indices a part of the name: the b of `v_b` unless a sum is over b,
/// and the 1 of `W_1` unless `W_k` occurs too.
fn merge_name_parts(statements: &mut [Statement]) {
    let mut letters: BTreeSet<String> = BTreeSet::new();
    let mut with_letters: BTreeSet<String> = BTreeSet::new();
    let each = |statements: &[Statement], f: &mut dyn FnMut(&Expr)| {
        for statement in statements {
            match &statement.form {
                Form::Chain(members) | Form::Order(members, _) => members.iter().for_each(|member| member.visit(f)),
                _ => {}
            }
        }
    };
    each(statements, &mut |expr| {
        if let Kind::Sum { bound, .. } = &expr.kind {
            letters.extend(bound.iter().map(|bound| bound.letter.clone()));
        }
    });
    let is_index = |index: &Index| match index {
        Index::Letter(letter) => is_index_letter(letter) || letters.contains(letter),
        Index::Number(_) | Index::Offset(..) | Index::Value(_) => true,
    };
    let merge_letters = |name: &mut Name| {
        let (indices, parts): (Vec<_>, Vec<_>) = name.indices.drain(..).partition(is_index);
        name.indices = indices;
        for part in parts {
            name.head = format!("{}_{part}", name.head);
        }
    };
    change_names(statements, &merge_letters);
    for statement in statements.iter() {
        if let Form::Chain(members) | Form::Order(members, _) = &statement.form {
            for member in members {
                member.visit_names(&mut |name| {
                    if !name.indices.iter().all(|index| matches!(index, Index::Number(_))) {
                        with_letters.insert(name.head.clone());
                    }
                });
            }
        }
    }
    change_names(statements, &|name| {
        // π_k is no entry of the number π, which may stand beside it: another letter shows so.
        if name.head == "π" && !name.indices.is_empty() {
            name.head = "𝜋".into();
        }
        if !with_letters.contains(&name.head) && name.head != "𝜋" {
            for part in std::mem::take(&mut name.indices) {
                name.head = format!("{}_{part}", name.head);
            }
        }
    });
}

fn change_names(statements: &mut [Statement], change: &dyn Fn(&mut Name)) {
    for statement in statements {
        match &mut statement.form {
            Form::Chain(members) | Form::Order(members, _) => {
                members.iter_mut().for_each(|member| *member = member.map_names(change));
            }
            Form::Member(names, _) => names.iter_mut().for_each(change),
            Form::Condition(_) | Form::Mention | Form::Skipped(_) => {}
        }
    }
}

fn left_name(statement: &Statement) -> Option<&Name> {
    match &statement.form {
        Form::Chain(members) => match &members[0].kind {
            Kind::Name(name) | Kind::Apply(name, _) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the names of sizes: upper limits of sums, sizes of declared shapes, and N.
fn size_names(statements: &[Statement]) -> BTreeSet<String> {
    let mut sizes: BTreeSet<String> = ["N".to_owned()].into();
    for statement in statements {
        match &statement.form {
            Form::Chain(members) | Form::Order(members, _) => {
                for member in members {
                    member.visit(&mut |expr| {
                        if let Kind::Sum { bound, .. } = &expr.kind {
                            for bound in bound {
                                if let Some(Limit::Size(size)) = &bound.to {
                                    sizes.insert(size.clone());
                                }
                            }
                        }
                    });
                }
            }
            Form::Member(_, Set::Reals(names)) => sizes.extend(names.iter().cloned()),
            _ => {}
        }
    }
    sizes
}

fn constant(expr: &Expr) -> Option<f64> {
    match &expr.kind {
        Kind::Number { digits, decimals } => Some(digits / 10f64.powi(*decimals)),
        Kind::Neg(inner) => constant(inner).map(|value| -value),
        _ => None,
    }
}

/// Recognises `\sum_k y_k = 1` for a y that nothing defines, and `K = 2`.
fn assumption(members: &[Expr], sizes: &BTreeSet<String>, defined: &BTreeSet<String>) -> Option<Assumption> {
    let [left, right] = members else { return None };
    let one = constant(right)?;
    match &left.kind {
        Kind::Name(name) if sizes.contains(&name.head) && name.indices.is_empty() => (one.fract() == 0.0
            && (1.0..=16.0).contains(&one))
        .then(|| Assumption::Size(name.head.clone(), one as usize)),
        Kind::Sum { product: false, bound, conditions, body } if conditions.is_empty() && bound.len() == 1 => {
            let Kind::Name(name) = &body.kind else { return None };
            let bound = Index::Letter(bound[0].letter.clone());
            let is_vector = name.indices.as_slice() == [bound] && !defined.contains(&name.head);
            (is_vector && one == 1.0).then(|| Assumption::SumOne(name.head.clone()))
        }
        _ => None,
    }
}

/// Recognises `N > 0` and `0 < p < 1`.
fn bounds(members: &[Expr], relations: &[String]) -> Option<Assumption> {
    let name = |expr: &Expr| match &expr.kind {
        Kind::Name(name) => Some(name.head.clone()),
        _ => None,
    };
    let mut low = f64::NEG_INFINITY;
    let mut high = f64::INFINITY;
    let mut head = None;
    for (pair, relation) in members.windows(2).zip(relations) {
        let (smaller, larger) = match relation.as_str() {
            "<" | "<=" | "≤" => (&pair[0], &pair[1]),
            ">" | ">=" | "≥" => (&pair[1], &pair[0]),
            _ => return None,
        };
        match (name(smaller), constant(larger), constant(smaller), name(larger)) {
            (Some(name), Some(bound), ..) => {
                high = bound;
                head = Some(name);
            }
            (_, _, Some(bound), Some(name)) => {
                low = bound;
                head = Some(name);
            }
            _ => return None,
        }
    }
    head.map(|head| Assumption::Between(head, low, high))
}
