//! The names of a table's columns: whether the first line has them, and how each becomes unique.

use std::collections::{BTreeMap, BTreeSet};

use chainrule_core::{MAX_NAME_LENGTH, MISSING, name_problem, pluralize};
use csv::ByteRecord;

use crate::decimal::Form;
use crate::table::MAX_COLUMNS;

/// Returns the name of column `i`, from 0, of a table without a header. It is the name that polars
/// gives it.
pub(crate) fn number_name(i: usize) -> String {
    format!("column_{}", i + 1)
}

/// The name of the column of row names, which R writes without a name.
pub(crate) const ROW_NAMES: &str = "row.names";

/// Returns whether the field is empty or marks a missing value.
pub(crate) fn is_missing(field: &[u8]) -> bool {
    let field = field.trim_ascii();
    field.is_empty() || MISSING.iter().any(|mark| mark.as_bytes() == field)
}

/// The smallest number of evenly spaced numbers that count as names without any text beside them.
const MIN_NAMES: usize = 5;

/// Decides whether the first record has names, and says why. `is_number` knows the decimal mark.
///
/// The rule, of which the first part that fits decides:
/// 1. No field of the first record is a number: names.
/// 2. A text stands above numbers only, or a number above texts only: names.
/// 3. There is no other record: values.
/// 4. A text occurs again in its column, or a number is negative or has a fraction and the numbers
///    are not evenly spaced: values.
/// 5. The numbers are evenly spaced and increase, or are increasing years. At least five of them,
///    or at least two years beside a text, or a count from 0 or 1 beside empty fields: names. Else
///    an error that asks.
/// 6. Else: values.
///
/// # Errors
/// Fails if the first record may be either.
pub(crate) fn has_header(
    records: &[ByteRecord],
    is_number: impl Fn(&[u8]) -> bool,
    line: u64,
) -> Result<HasHeader, String> {
    let names = |why: String| Ok(HasHeader { has_names: true, why, is_doubtful: false });
    let values = |why: String| Ok(HasHeader { has_names: false, why, is_doubtful: true });
    let Some((first, rows)) = records.split_first() else { return names("the file is empty".to_owned()) };
    let shown = |field: &[u8]| {
        let text = String::from_utf8_lossy(field.trim_ascii()).into_owned();
        format!("{:?}", text.chars().take(30).collect::<String>())
    };
    let numbers: Vec<(usize, &[u8])> =
        first.iter().map(<[u8]>::trim_ascii).enumerate().filter(|(_, field)| is_number(field)).collect();
    if numbers.is_empty() {
        return names("the first line has no number".to_owned());
    }
    // If the rows have one field more, the first of these has their names.
    let shift = usize::from(!rows.is_empty() && rows.iter().all(|row| row.len() == first.len() + 1));
    let below = |column: usize| {
        let fields = rows.iter().filter_map(move |row| row.get(column + shift)).map(<[u8]>::trim_ascii);
        fields.filter(|field| !is_missing(field))
    };
    for (column, field) in first.iter().map(<[u8]>::trim_ascii).enumerate().filter(|(_, field)| !is_missing(field)) {
        let is_text = !is_number(field);
        let mut others = below(column).peekable();
        if others.peek().is_some() && others.all(|other| is_number(other) == is_text) {
            let (above, under) = if is_text { ("", "numbers") } else { ("the number ", "texts") };
            return names(format!("{above}{} stands above {under}", shown(field)));
        }
    }
    if rows.is_empty() {
        return values("the only line has numbers".to_owned());
    }
    let texts = || {
        let fields = first.iter().map(<[u8]>::trim_ascii).enumerate();
        fields.filter(|(_, field)| !is_missing(field) && !is_number(field))
    };
    if let Some((column, field)) = texts().find(|(column, field)| below(*column).any(|other| other == *field)) {
        return values(format!("{} occurs again in column {}", shown(field), column + 1));
    }
    let of_field = |field: &[u8]| {
        let text: String = field.iter().map(|&byte| if byte == b',' { '.' } else { char::from(byte) }).collect();
        text.parse::<f64>().unwrap_or(f64::NAN)
    };
    let parsed: Vec<f64> = numbers.iter().map(|(_, field)| of_field(field)).collect();
    let step = parsed.get(1).map_or(f64::NAN, |second| second - parsed[0]);
    let is_even = |pair: &[f64]| pair[1] > pair[0] && (pair[1] - pair[0] - step).abs() <= 1e-6 * step.abs();
    let are_even = parsed.len() > 1 && parsed.windows(2).all(is_even);
    let is_year = |x: &f64| x.fract() == 0.0 && (1800.0..2200.0).contains(x);
    let are_years = parsed.iter().all(is_year) && parsed.windows(2).all(|pair| pair[0] < pair[1]);
    let is_count = are_even && step == 1.0 && [0.0, 1.0].contains(&parsed[0]);
    let has_others = numbers.len() < first.len();
    if let Some((_, field)) =
        numbers.iter().find(|(_, field)| !matches!(Form::of(field), Form::Whole) || field[0] == b'-')
        && !are_even
    {
        return values(format!("the first line has the number {}", shown(field)));
    }
    let (one, last) = (shown(numbers[0].1), shown(numbers[numbers.len() - 1].1));
    let is_sequence = (are_even && parsed.len() > 2) || are_years || is_count;
    if !is_sequence {
        return values("the numbers of the first line are no sequence, as those of names would be".to_owned());
    }
    let has_texts = texts().next().is_some();
    let are_names = (are_even && parsed.len() >= MIN_NAMES)
        || (are_years && parsed.len() > 1 && has_texts)
        || (is_count && has_others && !has_texts);
    if !are_names {
        return Err(format!(
            "line {line}: it may have names or values, since its numbers ({one} to {last}) are evenly spaced or years; set data.header to true or false"
        ));
    }
    let why = format!("the numbers of the first line ({one} to {last}) are evenly spaced or years");
    Ok(HasHeader { has_names: true, why, is_doubtful: true })
}

/// Whether the first record has names.
pub(crate) struct HasHeader {
    pub(crate) has_names: bool,
    /// Why, for people.
    pub(crate) why: String,
    /// Whether the decision should be said even if nobody asks.
    pub(crate) is_doubtful: bool,
}

/// The names of a table's columns.
pub(crate) struct Names {
    /// Different names.
    pub(crate) names: Vec<String>,
    /// How they differ from the file's.
    pub(crate) notes: Vec<String>,
}

impl Names {
    /// Makes valid and different names of the fields of a line.
    ///
    /// A column without a name, and the later of two with one name, are named as pandas does:
    /// `Unnamed: 0`, `a.1`. A line break becomes a space. A name of more than 100 characters is
    /// cut.
    ///
    /// # Errors
    /// Fails if a name is not valid. The error says which column, but not where the names are.
    pub(crate) fn of(fields: &ByteRecord, has_quotes: bool) -> Result<Self, String> {
        if fields.len() > MAX_COLUMNS {
            return Err(format!("it has {} columns; at most {MAX_COLUMNS} are supported", fields.len()));
        }
        let (mut names, mut broken, mut cut) = (Vec::with_capacity(fields.len()), 0, 0);
        for (i, field) in fields.iter().enumerate() {
            let problem = |problem: &str| format!("the name of column {} {problem}", i + 1);
            let name = name(field, has_quotes).map_err(problem)?;
            let mut name = match name.contains(['\n', '\r']) {
                true => {
                    broken += 1;
                    name.split(['\n', '\r'])
                        .map(str::trim)
                        .filter(|part| !part.is_empty())
                        .collect::<Vec<_>>()
                        .join(" ")
                }
                false => name.to_owned(),
            };
            if name.chars().count() > MAX_NAME_LENGTH {
                cut += 1;
                // Room for the number of a repeated name.
                name = name.chars().take(MAX_NAME_LENGTH - 8).chain(['…']).collect();
            }
            if let Some(wrong) = name_problem(&name).filter(|_| !name.is_empty()) {
                return Err(problem(wrong));
            }
            names.push(name);
        }
        let of_file: BTreeSet<String> = names.iter().cloned().collect();
        let (mut given, mut times) = (BTreeSet::<String>::new(), BTreeMap::<String, usize>::new());
        let mut repeated = Vec::new();
        for (i, name) in names.iter_mut().enumerate() {
            let is_first = given.insert(name.clone());
            if is_first && !name.is_empty() {
                continue;
            }
            let own = match name.is_empty() {
                true => format!("Unnamed: {i}"),
                false => name.chars().take(MAX_NAME_LENGTH - 7).collect(),
            };
            let first =
                name.is_empty().then(|| own.clone()).filter(|own| !of_file.contains(own) && !given.contains(own));
            let free = first.unwrap_or_else(|| {
                let count = times.entry(own.clone()).or_default();
                loop {
                    *count += 1;
                    let numbered = format!("{own}.{count}");
                    if !of_file.contains(&numbered) && !given.contains(&numbered) {
                        break numbered;
                    }
                }
            });
            if !name.is_empty() {
                repeated.push(free.clone());
            }
            given.insert(free.clone());
            *name = free;
        }
        let mut notes = Vec::new();
        if !repeated.is_empty() {
            let are = if repeated.len() == 1 { "is" } else { "are" };
            let count = pluralize(repeated.len(), "repeated name");
            notes.push(format!("{count} {are} numbered: {}", chainrule_core::quoted(&repeated)));
        }
        if broken > 0 {
            notes.push(format!("line breaks in {} became spaces", pluralize(broken, "name")));
        }
        if cut > 0 {
            notes.push(format!("{} cut to {} characters", pluralize(cut, "name"), MAX_NAME_LENGTH - 7));
        }
        Ok(Self { names, notes })
    }
}

/// Returns a name without the white space around it.
///
/// White space inside quotes belongs to the name, but csv does not distinguish it from white space
/// around the name. Such a name is refused, so that two different names are never confused.
pub(crate) fn name(field: &[u8], has_quotes: bool) -> Result<&str, &'static str> {
    let name = field.trim_ascii();
    if name.starts_with(b"\"") && !field.starts_with(b"\"") {
        return Err("begins with white space before a quote, so the quote would be part of it; remove the white space");
    }
    if has_quotes && name.len() < field.len() {
        return Err(
            "begins or ends with white space in a row with quotes, where it may be part of the name; remove the white space or the quotes",
        );
    }
    std::str::from_utf8(name).map_err(|_| "is not UTF-8")
}
