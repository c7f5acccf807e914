//! Error messages: they name the problem and the remedy.

use chainrule_tests_macros::test;
use tempfile::TempDir;

use crate::command::{call, code, folder, is_refused, text};

const FLOWERS: &str =
    "length,2024\n1,rose\n2,tulip\n1,rose\n2,tulip\n1,rose\n2,tulip\n1,rose\n2,tulip\n1,rose\n2,tulip\n";

/// Returns a folder with configs, runs, flowers and unrelated files.
fn full_folder() -> TempDir {
    let folder = folder();
    std::fs::write(folder.path().join("flowers.csv"), FLOWERS).unwrap();
    for run in ["runs/softmax-1", "runs/softmax-2", "runs/logistic-7"] {
        std::fs::create_dir_all(folder.path().join(run)).unwrap();
        std::fs::write(folder.path().join(run).join("config.toml"), "").unwrap();
    }
    let archive = [&b"flowers.csv"[..], &[0; 246], b"ustar\x0000", &[0; 248]].concat();
    let others: [(&str, &[u8]); 4] = [
        ("t.json", b"[{\"length\": 1}]"),
        ("t.html", b"<!DOCTYPE html>\n<title>Not found</title>"),
        ("t.tar", &archive),
        ("plan.toml", b"[[run]]\nnme = 'a'\n"),
    ];
    for (name, content) in others {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    std::fs::create_dir(folder.path().join("made")).unwrap();
    for name in ["config.toml", "manifest.json"] {
        std::fs::write(folder.path().join("made").join(name), "").unwrap();
    }
    folder
}

/// Expects each call to fail with a one-line error that contains all these texts.
fn assert_messages(cases: &[(&[&str], &[&str])]) {
    let folder = full_folder();
    for (arguments, expected) in cases {
        is_refused(folder.path(), arguments, expected);
        // No terms of a parser, of the source code or of system errors.
        let stderr = text(&call(folder.path(), arguments).stderr);
        for word in ["invalid", "variant", "digit found", "os error", "unexpected argument", "Some(", "Error {", "?;"] {
            assert!(!stderr.contains(word), "{arguments:?}: {stderr}");
        }
    }
}

#[test]
fn unknown_keys_suggest_the_nearest_key() {
    assert_messages(&[
        (
            &["train", "--set", "data.generation=1"],
            &["command line: unknown key data.generation; data has the keys source, train_images,"],
        ),
        (&["train", "--set", "data.seperator=;"], &["unknown key data.seperator; did you mean data.separator?"]),
        (&["train", "--set", "descent.lr=1"], &["unknown key descent.lr; did you mean descent.learning_rate?"]),
        (
            &["train", "--set", "descent.weight_decay=1"],
            &["did you mean objective.l2 or descent.decoupled_weight_decay?"],
        ),
        (
            &["train", "--set", "dta.nothing=1"],
            &["the sections are data, model, objective, descent, optimum, early_stopping"],
        ),
        (
            &["train", "--set", "descent.epoch=1"],
            &["command line: unknown key descent.epoch; did you mean descent.epochs?"],
        ),
    ]);
}

#[test]
fn a_missing_key_or_wrong_type_is_explained() {
    assert_messages(&[
        (
            &["train", "--set", "descent.epochs", "3"],
            &["--set descent.epochs: expected key=value; write --set descent.epochs=3"],
        ),
        (&["sweep", "--grid", "objective.l2=0,1", "--set", "descent.epochs", "3"], &["write --set descent.epochs=3"]),
        (&["train", "--set", "descent.epochs"], &["--set descent.epochs: expected key=value, as in descent.epochs=10"]),
        (
            &["train", "--set", "descent.epochs=many"],
            &["command line: descent.epochs = \"many\": expected a whole number"],
        ),
        (&["train", "--set", "descent.learning_rate=fast"], &["descent.learning_rate = \"fast\": expected a number"]),
        (&["train", "--set", "data.ignore=[2024]"], &["expected a text in quotes"]),
        (
            &["train", "--set", "early_stopping.restore_best=1"],
            &["command line: early_stopping.restore_best = 1: expected true or false"],
        ),
        (&["train", "--set", "descent.epochs=none"], &["descent.epochs = \"none\": expected a whole number"]),
        (&["sweep", "--grid", "objective.l2=-1"], &["command line: objective.l2 = -1.0: expected a number from 0"]),
    ]);
}

#[test]
fn missing_files_list_the_existing_ones() {
    assert_messages(&[
        (&["train", "sofmax.toml"], &["sofmax.toml: no such file or experiment; did you mean softmax?"]),
        (&["train", "penguins"], &["penguins: no such file or experiment; there are logistic, ", "softmax-optimum"]),
        (&["sweep", "sofmax.toml", "--grid", "objective.l2=0,1"], &["did you mean softmax?"]),
        (
            &["reproduce", "configs/reprot.toml"],
            &["configs/reprot.toml: no such file; did you mean configs/report.toml"],
        ),
        (&["evaluate", "softmax-9"], &["softmax-9: no such folder; did you mean", "runs/softmax-1", "runs/softmax-2"]),
        (&["predict", "runs/penguins", "flowers.csv"], &["there are runs/logistic-7, runs/softmax-1, runs/softmax-2"]),
        (&["train", "--resume", "runs/softmax-9"], &["runs/softmax-9: no such folder; did you mean runs/softmax-1"]),
        (&["sweep", "--resume", "runs/swep-1"], &["runs/swep-1: no such folder"]),
        (&["inspect", "flowers.csv"], &["flowers.csv: expected the folder of a run, but this is a file"]),
        (&["train", "--data", "penguin.csv"], &["penguin.csv: no such file or folder; expected auto, mnist, embedded"]),
        (&["train", "--data", "/dev/null"], &["/dev/null: expected a file or a folder", "use - (standard input)"]),
        (&["data", "--data", "/dev/null"], &["use - (standard input)"]),
    ]);
}

#[test]
fn invalid_values_list_the_valid_ones() {
    assert_messages(&[
        (&["train", "--set", "model.kind=svm"], &["model.kind = \"svm\": expected softmax or logistic"]),
        (&["train", "--set", "descent.optimizer=Adam"], &["did you mean adam? expected one of sgd, adam, adamw,"]),
        (&["train", "--set", "descent.solver=adam"], &["; adam is a value of descent.optimizer"]),
        (&["train", "--set", "objective.class_weights=Balanced"], &["did you mean \"balanced\"? expected"]),
        (&["train", "--set", "descent.epochs=-3"], &["descent.epochs = -3: expected a whole number from 1 to 1000000"]),
        (&["train", "--set", "descent.epochs=1e3"], &["from 1 to 1000000; write 1000"]),
        (&["train", "--set", "data.image_size=28"], &["data.image_size = 28: expected rows and columns from 1 to"]),
        (&["train", "--set", "data.classes=[300,2]"], &["data.classes[0] = 300: expected a label from 0 to 255"]),
    ]);
}

#[test]
fn similar_names_are_suggested() {
    assert_messages(&[
        (&["train", "--data", "mnst"], &["mnst: no such file or folder; did you mean mnist?"]),
        (&["data", "--data", "Embeded"], &["did you mean embedded?"]),
        (&["data", "--data", "flower.csv"], &["flower.csv: no such file or folder; did you mean flowers.csv?"]),
        (&["data", "--data", "runs/softmx-1"], &["did you mean runs/softmax-1?"]),
        (
            &["train", "configs/softmax"],
            &["configs/softmax: no such file or experiment; did you mean configs/softmax.toml?"],
        ),
        (&["train", "softmax.toml"], &["softmax.toml: no such file or experiment; did you mean softmax?"]),
        (&["import", "flower.csv", "--out", "m"], &["flower.csv: no such file; did you mean flowers.csv?"]),
    ]);
}

#[test]
fn files_of_the_wrong_kind_are_identified() {
    assert_messages(&[
        (
            &["train", "flowers.csv"],
            &["flowers.csv: expected the TOML file of an experiment", "--data flowers.csv --label COLUMN"],
        ),
        (
            &["sweep", "flowers.csv", "--grid", "objective.l2=0,1"],
            &["--data flowers.csv --label COLUMN trains on it\n"],
        ),
        (&["reproduce", "flowers.csv"], &["this is a table"]),
        (
            &["reproduce", "configs/softmax.toml"],
            &["this is the config of an experiment, for the command train; a plan has runs"],
        ),
        (&["reproduce", "plan.toml"], &["plan.toml: line 2: unknown key nme; expected one of name, config,"]),
        (&["train", "runs"], &["runs: expected the TOML file", "this is a folder; name a data set with --data runs"]),
        (&["train", "made"], &["made: expected the TOML file", "train --resume made continues", "made/config.toml"]),
        (&["evaluate", "made/config.toml"], &["expected the folder of a run, but this is a file; did you mean made?"]),
        (&["evaluate", "runs"], &["runs: this folder contains no run"]),
        (&["train", "--resume", "configs"], &["configs: this folder contains no run"]),
        (
            &["import", "flowers.csv", "--out", "m"],
            &["no file of weights that is read (safetensors, npz or json)", "perhaps a table"],
        ),
        (
            &["import", "runs", "--out", "m"],
            &["runs: expected a file of weights (safetensors, npz or exported JSON), but this is a folder"],
        ),
        (&["train", "--data", "t.json"], &["t.json: expected a table (CSV", "found JSON"]),
        (&["train", "--data", "t.html"], &["t.html: expected a table (CSV", "found an HTML page"]),
        (&["train", "--data", "t.tar"], &["t.tar: expected a table (CSV", "found a tar archive"]),
        (&["train", "--data", "configs/softmax.toml"], &["found a TOML file, such as an experiment"]),
        (&["train", "--data", "flowers.csv"], &["data.label is missing", "length, 2024; name it with --label"]),
    ]);
}

#[test]
fn invalid_options_list_the_valid_ones() {
    assert_messages(&[
        (
            &["train", "configs/softmax.toml", "--set", "descent.epochs", "3"],
            &["--set descent.epochs: expected key=value; write --set descent.epochs=3\n"],
        ),
        (&["train", "--set", "=3"], &["--set =3: expected key=value"]),
        (&["sweep", "configs/softmax.toml", "--grid", "objective.l2", "3"], &["; write --grid objective.l2=3\n"]),
        (&["train", "--seed", "abc"], &["--seed abc: expected a whole number from 0 to ", "train --help"]),
        (&["train", "--seed", "-1"], &["--seed -1: expected a number of 0 or more"]),
        (&["train", "--seed"], &["--seed: its value is missing"]),
        (&["train", "--seed", "1", "--seed", "2"], &["--seed is given twice"]),
        (&["train", "--threads", "0"], &["--threads 0: expected a whole number from 1 to 1024"]),
        (&["inspect", "made", "--index", "x"], &["--index x: expected a whole number, 0 or more"]),
        (&["train", "--precision", "f16"], &["--precision f16: expected f32 or f64"]),
        (&["train", "--gradient", "closed_form"], &["fused, closed-form, autodiff; did you mean closed-form?\n"]),
        (&["train", "--backend", "foo"], &["--backend foo: it is one of"]),
        (&["train", "--sede", "3"], &["--sede: no such option; did you mean --seed?\n"]),
        (&["train", "--penguins"], &["--penguins: no such option; chainrule train --help lists"]),
        (&["train", "--quiet=3"], &["--quiet: this option takes no value"]),
        (&["trian"], &["trian: no such command; did you mean train?\n"]),
        (&["penguins"], &["penguins: no such command; chainrule --help lists the commands"]),
        (&["evaluate"], &["<RUN> is missing; usage: ", "evaluate <RUN>"]),
        (&["predict"], &["<RUN> and <FILE>... are missing; usage: "]),
        (&["gradcheck", "foo"], &["foo: one argument too many"]),
        (&["train", "--out", "a", "--resume", "b"], &["--out and --resume cannot be used together"]),
    ]);
}

#[test]
fn errors_in_a_file_name_the_file() {
    let folder = folder();
    std::fs::write(folder.path().join("own.toml"), "[model]\nkind = 'softmax'\n[descent]\nepochs = 0\n").unwrap();
    is_refused(
        folder.path(),
        &["train", "own.toml", "--seed", "3"],
        &["own.toml: descent.epochs = 0: expected a whole number"],
    );
}

#[test]
fn a_column_name_may_be_a_number() {
    let folder = folder();
    std::fs::write(folder.path().join("flowers.csv"), FLOWERS).unwrap();
    let settings = ["--set", "descent.batch_size=2", "--set", "descent.epochs=1", "--quiet", "--out", "run"];
    let output =
        call(folder.path(), &[&["train", "--data", "flowers.csv", "--set", "data.label=2024"], &settings[..]].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
}
