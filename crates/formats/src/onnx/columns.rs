//! The nodes that turn the columns of a table into features, as the recipe says.

use std::collections::{BTreeMap, HashSet};

use chainrule_core::{Categorical, Encoding, MISSING, Numeric, Precision, Recipe};

use super::graph::{Attribute, Graph};
use super::messages::{DOUBLE, STRING};

/// Numbers and dates enter in f64: `predict` reads them so, and f32 would round a day with a time
/// to minutes.
const PRECISION: Precision = Precision::F64;

/// Adds one input `[n, 1]` for each column, and the nodes that compute their features `[n, d]` in
/// f64. Returns the name of these features.
pub(super) fn features(graph: &mut Graph, recipe: &Recipe) -> String {
    let marks = numbers_of(&recipe.missing);
    let mut of_columns = Vec::new();
    for (i, column) in recipe.columns.iter().enumerate() {
        let at = format!("column_{i}");
        match &column.encoding {
            Encoding::Number(numeric) => {
                graph.input(&column.name, DOUBLE, 1, "numbers; NaN where the value is missing");
                of_columns.extend(number(graph, &column.name, &at, numeric, &marks));
            }
            Encoding::Date(numeric) => {
                let doc = "days since 1970-01-01, with a fraction for the time; NaN where the value is missing";
                graph.input(&column.name, DOUBLE, 1, doc);
                of_columns.extend(number(graph, &column.name, &at, numeric, &[]));
            }
            // A category without a level has no feature, and nothing would use its input.
            Encoding::Category(_) if column.encoding.n_features() == 0 => {}
            Encoding::Category(category) => {
                graph.input(&column.name, STRING, 1, "texts; \"\" where the value is missing");
                of_columns.push(levels(graph, &column.name, &at, category, &recipe.missing));
            }
            Encoding::Sparse(_) => unreachable!("sparse features enter as a matrix"),
        }
    }
    let of_columns: Vec<&str> = of_columns.iter().map(String::as_str).collect();
    graph.node_with("Concat", &of_columns, "raw", [("axis", Attribute::Int(1))])
}

/// Adds the nodes that replace missing numbers of the matrix `input`, whose columns are those of a
/// recipe of numbers. Returns the name of the result.
pub(super) fn fill(graph: &mut Graph, input: &str, recipe: &Recipe, precision: Precision) -> String {
    let of_column = |encoding: &Encoding| match encoding {
        Encoding::Number(numeric) | Encoding::Date(numeric) => fill_of(numeric),
        Encoding::Category(_) | Encoding::Sparse(_) => unreachable!("every column has numbers"),
    };
    let fills: Vec<f64> = recipe.columns.iter().map(|column| of_column(&column.encoding)).collect();
    let marks = numbers_of(&recipe.missing);
    if marks.is_empty() && fills.iter().all(|fill| fill.is_nan()) {
        return input.to_owned();
    }
    let is_missing = is_missing(graph, input, "input", &marks, precision);
    let fills = graph.floats("fill", &[fills.len()], precision, &fills);
    graph.node("Where", &[&is_missing, &fills, input], "filled")
}

/// Returns the number that replaces a missing one. Without one, `predict` refuses the row, and NaN
/// makes its probabilities NaN.
fn fill_of(numeric: &Numeric) -> f64 {
    numeric.fill.unwrap_or(f64::NAN)
}

/// Adds the nodes of a number's or a date's column. Returns the names of its one or two features.
fn number(graph: &mut Graph, input: &str, at: &str, numeric: &Numeric, marks: &[f64]) -> Vec<String> {
    if numeric.fill.is_none() && !numeric.missing_feature && marks.is_empty() {
        return vec![input.to_owned()];
    }
    let is_missing = is_missing(graph, input, at, marks, PRECISION);
    let fill = fill_of(numeric);
    let fill = graph.floats(&format!("{at}_fill"), &[], PRECISION, &[fill]);
    let mut features = vec![graph.node("Where", &[&is_missing, &fill, input], &format!("{at}_filled"))];
    if numeric.missing_feature {
        features.push(to_double(graph, &is_missing, &format!("{at}_missing")));
    }
    features
}

/// Adds the nodes that say where a number is NaN or one of these marks. Returns the name of the
/// result.
fn is_missing(graph: &mut Graph, input: &str, at: &str, marks: &[f64], precision: Precision) -> String {
    let mut is_missing = graph.node("IsNaN", &[input], &format!("{at}_is_nan"));
    for (i, &mark) in marks.iter().enumerate() {
        let mark = graph.floats(&format!("{at}_mark_{i}"), &[], precision, &[mark]);
        let is_mark = graph.node("Equal", &[input, &mark], &format!("{at}_is_mark_{i}"));
        is_missing = graph.node("Or", &[&is_missing, &is_mark], &format!("{at}_is_missing_{i}"));
    }
    is_missing
}

/// Adds the nodes of a category's column. Returns the name of its features.
///
/// `LabelEncoder` finds the position of the feature, and `Equal` compares it with all positions. A
/// level without a feature gets the position -1, which equals none. `OneHot` would do the same, but
/// older versions of onnxruntime end the process where a batch has no row.
fn levels(graph: &mut Graph, input: &str, at: &str, category: &Categorical, marks: &[String]) -> String {
    const NONE: i64 = -1;
    let Categorical { levels, other, missing, .. } = category;
    let unknown = if *other { levels.len() as i64 } else { NONE };
    let width = levels.len() + usize::from(*other) + usize::from(*missing);
    let missing = if *missing { width as i64 - 1 } else { NONE };
    let (keys, values) = spellings(levels, marks, missing).into_iter().unzip();
    let attributes = [
        ("keys_strings", Attribute::Strings(keys)),
        ("values_int64s", Attribute::Ints(values)),
        ("default_int64", Attribute::Int(unknown)),
    ];
    let position = graph.node_with("LabelEncoder", &[input], &format!("{at}_position"), attributes);
    let positions: Vec<i64> = (0..width as i64).collect();
    let positions = graph.integers(&format!("{at}_positions"), &[1, width], &positions);
    // [n, 1] and [1, width] give [n, width].
    let is_level = graph.node("Equal", &[&position, &positions], &format!("{at}_is_level"));
    to_double(graph, &is_level, &format!("{at}_levels"))
}

fn to_double(graph: &mut Graph, input: &str, output: &str) -> String {
    graph.node_with("Cast", &[input], output, [("to", Attribute::Int(DOUBLE.into()))])
}

/// Returns the texts of a column that are known, each with the position of its feature: the levels,
/// the marks of a missing value, and other spellings of levels that are numbers or truth values,
/// because `1` may come as `1.0` from a column of floats. A level counts before a mark, and a mark
/// before a spelling, as in `predict`.
fn spellings(levels: &[String], marks: &[String], missing: i64) -> Vec<(String, i64)> {
    let marks = marks.iter().map(|mark| mark.trim());
    let of_marks = marks.flat_map(|mark| std::iter::once(mark.to_owned()).chain(spellings_of_number(mark)));
    let of_missing = std::iter::once(String::new()).chain(MISSING.map(str::to_owned)).chain(of_marks);
    // Two levels may be the same value: then it is unknown which one another spelling means.
    let mut levels_of = BTreeMap::<String, Vec<i64>>::new();
    for (level, position) in levels.iter().zip(0..) {
        let of_truth = || spellings_of_truth(level).map(|[first, ..]| (*first).to_owned());
        if let Some(spelling) = spellings_of_number(level).next().or_else(of_truth) {
            levels_of.entry(spelling).or_default().push(position);
        }
    }
    let others = levels_of.iter().filter_map(|(spelling, positions)| {
        let [position] = positions[..] else { return None };
        let of_truth = spellings_of_truth(spelling).into_iter().flatten().map(|&text| text.to_owned());
        Some(spellings_of_number(spelling).chain(of_truth).map(move |text| (text, position)))
    });
    let others = others.flatten();
    let all = levels.iter().cloned().zip(0..).chain(of_missing.map(|text| (text, missing))).chain(others);
    let mut seen = HashSet::new();
    all.filter(|(text, _)| seen.insert(text.clone())).collect()
}

/// Returns the usual spellings of the number that a text spells: `1` and `1.0`.
fn spellings_of_number(text: &str) -> impl Iterator<Item = String> + use<> {
    number_of(text).into_iter().flat_map(|number| [format!("{number}"), format!("{number:?}")])
}

/// Returns the usual spellings of a truth value.
fn spellings_of_truth(text: &str) -> Option<&'static [&'static str; 3]> {
    [&["True", "true", "TRUE"], &["False", "false", "FALSE"]].into_iter().find(|spellings| spellings.contains(&text))
}

/// Returns the number that a text spells. Larger numbers may stand for several whole numbers.
fn number_of(text: &str) -> Option<f64> {
    // Zero has two signs, which are the same number.
    text.parse().ok().filter(|number: &f64| number.abs() < 1e15).map(|number| number + 0.0)
}

/// Returns the marks that are numbers.
fn numbers_of(marks: &[String]) -> Vec<f64> {
    marks.iter().filter_map(|mark| mark.trim().parse().ok()).filter(|mark: &f64| mark.is_finite()).collect()
}

/// Returns whether a number marks a missing value.
pub(super) fn has_marks(recipe: &Recipe) -> bool {
    !numbers_of(&recipe.missing).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_counts_before_a_mark_and_a_mark_before_a_spelling() {
        let check = |levels: &[&str], marks: &[&str], text: &str, expected: Option<i64>| {
            let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
            let known = spellings(&texts(levels), &texts(marks), 9);
            let found = known.iter().find(|(known, _)| known == text).map(|&(_, position)| position);
            assert_eq!(found, expected, "{text:?} among {levels:?} and the marks {marks:?}");
        };
        check(&["u", "NA"], &[], "NA", Some(1));
        check(&["u"], &[], "NA", Some(9));
        check(&["u"], &[], "", Some(9));
        check(&["1", "2"], &[], "2.0", Some(1));
        check(&["1.50"], &[], "1.5", Some(0));
        check(&["1", "1.0"], &[], "1.0", Some(1));
        check(&["1", "01"], &[], "1.0", None);
        check(&["1", "2"], &[" 2.0 "], "2", Some(1));
        check(&["1", "2"], &["2.0"], "2.0", Some(9));
        check(&["1"], &["-99"], "-99.0", Some(9));
        check(&["-0"], &[], "0", Some(0));
        check(&["9007199254740993"], &[], "9007199254740992", None);
        check(&["inf"], &[], "infinity", None);
        check(&["false", "true"], &[], "True", Some(1));
        check(&["FALSE"], &[], "false", Some(0));
        check(&["true", "TRUE"], &[], "True", None);
        check(&["true"], &["True"], "True", Some(9));
    }
}
