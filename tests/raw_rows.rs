//! Rows as maps against rows of files, and models in scikit-learn and PyTorch against the program,
//! on the twelve real tables.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use chainrule::backend::Backend;
use chainrule::{Estimator, Fitted, Samples};
use chainrule_core::Precision;
use chainrule_data::Unseen;
use chainrule_solve::RawRowPrediction;
use chainrule_tests_macros::test;
use serde_json::{Map, Value, json};

use crate::command::{folder, isolate, process, text};
use crate::export::needs_python;
use crate::reference_tables::tables_folder;
use crate::support::in_part;

/// The fields of a CSV line. No field of the tables has a line break.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut is_quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

struct Table {
    name: String,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    fitted: Fitted,
    /// The kind of each column of the recipe.
    kinds: BTreeMap<String, String>,
}

/// Returns each table with a model that was fitted to it.
fn tables() -> impl Iterator<Item = Table> {
    let folder = tables_folder();
    let text = std::fs::read_to_string(folder.join("reference.json")).unwrap();
    let references: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(references.len(), 12);
    references.into_iter().enumerate().map(move |(i, (name, reference))| {
        let file = folder.join(format!("{name}.csv"));
        let text = std::fs::read_to_string(&file).unwrap();
        let mut lines = text.lines().map(fields);
        let header = lines.next().unwrap();
        let samples = Samples::csv(&file, reference["label"].as_str().unwrap()).unwrap();
        let precision = [Precision::F32, Precision::F64][i % 2];
        let estimator = Estimator::softmax().standardize().epochs(2).precision(precision).backend(Backend::Cpu);
        let fitted = estimator.fit(&samples).unwrap();
        let recipe = serde_json::to_value(&fitted).unwrap()["schema"]["recipe"].clone();
        let kind = |column: &Value| [&column["name"], &column["kind"]].map(|text| text.as_str().unwrap().to_owned());
        let kinds = recipe["columns"].as_array().unwrap().iter().map(kind).map(|[name, kind]| (name, kind)).collect();
        Table { name, header, rows: lines.collect(), fitted, kinds }
    })
}

impl Table {
    /// Replaces values of the recipe's columns: here and there one is missing or new.
    fn spoil(&mut self) {
        for (i, row) in self.rows.iter_mut().enumerate() {
            for (j, field) in row.iter_mut().enumerate() {
                let Some(kind) = self.kinds.get(&self.header[j]) else { continue };
                match ((7 * i + 3 * j) % 31, kind.as_str()) {
                    (0, _) => field.clear(),
                    (1, _) => "NA".clone_into(field),
                    (2, "category") => "a new, \"level\"".replace('"', "'").clone_into(field),
                    (3, "category") => *field = format!("{field}.0"),
                    (3, "number") => *field = format!("-0{}", field.trim_start_matches('-')),
                    _ => {}
                }
            }
        }
    }

    fn write(&self, file: &Path) {
        let mut text = String::new();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let quoted: Vec<String> = row.iter().map(|field| format!("\"{field}\"")).collect();
            writeln!(text, "{}", quoted.join(",")).unwrap();
        }
        std::fs::write(file, text).unwrap();
    }

    /// Returns a row as JSON with numbers and nulls.
    fn typed(&self, row: &[String]) -> Value {
        let value = |(name, field): (&String, &String)| {
            let number = (self.kinds.get(name)? == "number").then(|| field.parse::<f64>().ok())?;
            number.map(|number| json!(number))
        };
        let typed = |pair: (&String, &String)| match (pair.1.as_str(), value(pair)) {
            ("" | "NA", _) => Value::Null,
            (_, Some(number)) => number,
            (text, None) => json!(text),
        };
        let pairs = self.header.iter().zip(row);
        Value::Object(pairs.map(|pair| (pair.0.clone(), typed(pair))).collect::<Map<_, _>>())
    }
}

fn bits(probabilities: &[f64]) -> Vec<u64> {
    probabilities.iter().map(|p| p.to_bits()).collect()
}

#[test]
fn a_map_has_the_bits_of_its_row_in_a_file() {
    let folder = folder();
    for mut table in tables() {
        for is_spoilt in [false, true] {
            if is_spoilt {
                table.spoil();
            }
            let file = folder.path().join(format!("{}.csv", table.name));
            table.write(&file);
            let expected = table.fitted.predict_file(&file).unwrap();
            assert_eq!(expected.predictions.len(), table.rows.len(), "{}", table.name);
            let predictor = table.fitted.raw_predictor().unwrap();
            let (mut unseen, mut answer) = (Vec::new(), RawRowPrediction::default());
            for (row, expected) in table.rows.iter().zip(&expected.predictions) {
                let texts: BTreeMap<&String, &String> = table.header.iter().zip(row).collect();
                predictor.predict_into(&texts, &mut answer).unwrap();
                assert_eq!(
                    bits(&answer.prediction.probabilities),
                    bits(&expected.probabilities),
                    "{} {texts:?}",
                    table.name
                );
                assert_eq!(answer.prediction, *expected);
                let typed = table.typed(row);
                let of_typed = predictor.predict(&typed).unwrap();
                assert_eq!(of_typed.prediction, *expected, "{} {typed}", table.name);
                assert_eq!(of_typed.unseen(), answer.unseen());
                Unseen::add(&mut unseen, answer.unseen().to_vec());
            }
            // What is unseen in the rows is what the file's notes say.
            let own: Vec<String> = unseen.iter().filter_map(Unseen::message).collect();
            let mut of_file = expected.notes;
            of_file.retain(|note| note.starts_with("column "));
            assert_eq!(own, of_file, "{}", table.name);
            assert_eq!(own.is_empty(), !is_spoilt, "{}: {own:?}", table.name);
        }
    }
}

/// scikit-learn's pipeline, made of the JSON by the script of `docs/models.md`, and PyTorch's
/// layer.
#[test]
fn other_tools_give_the_probabilities_of_real_tables() {
    let (tables, folder) = (tables_folder(), folder());
    needs_python(folder.path(), &["numpy", "pandas", "sklearn"]);
    let mut command = process(std::env::var_os("CHAINRULE_PYTHON").unwrap_or_else(|| "python3".into()));
    isolate(&mut command, folder.path());
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/pipeline_tables.py"));
    let output = command.arg(env!("CARGO_BIN_EXE_chainrule-under-test")).arg(tables).output().unwrap();
    let answer = text(&output.stdout);
    assert!(output.status.success(), "{answer}{}", text(&output.stderr));
    assert_eq!(answer.matches("scikit-learn").count(), 12, "{answer}");
    if let Some(reason) = answer.lines().find_map(|line| line.strip_prefix("skipped: ")) {
        in_part(reason);
    }
}
