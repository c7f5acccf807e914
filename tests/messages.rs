//! What the program says where it cannot do what was asked: what it is, and what to do.

use std::error::Error;
use std::io::ErrorKind;

use chainrule::{Estimator, Fitted, Samples};
use chainrule_records::TrainConfig;
use chainrule_tests_macros::test;

use crate::command::{call, code, folder, is_refused, text};

const FLOWERS: &str =
    "length,2024\n1,rose\n2,tulip\n1,rose\n2,tulip\n1,rose\n2,tulip\n1,rose\n2,tulip\n1,rose\n2,tulip\n";

/// A call in a folder with the configs, a run, `runs/softmax-1` and `runs/logistic-7`, and flowers; one line that says all of these.
#[test]
fn a_slip_is_told_as_what_it_is_with_what_to_do() {
    let folder = folder();
    std::fs::write(folder.path().join("flowers.csv"), FLOWERS).unwrap();
    for run in ["runs/softmax-1", "runs/softmax-2", "runs/logistic-7"] {
        std::fs::create_dir_all(folder.path().join(run)).unwrap();
        std::fs::write(folder.path().join(run).join("config.toml"), "").unwrap();
    }
    let cases: [(&[&str], &[&str]); 24] = [
        // A key that is none, and what was meant.
        (
            &["train", "--set", "data.delimiter=;"],
            &["command line: unknown key data.delimiter; data has the keys source, train_images,"],
        ),
        (
            &["train", "--set", "dta.nothing=1"],
            &["the sections are data, model, objective, descent, optimum, early_stopping"],
        ),
        (
            &["train", "--set", "descent.epoch=1"],
            &["command line: unknown key descent.epoch; did you mean descent.epochs?"],
        ),
        // A value without its key, or of another type.
        (
            &["train", "--set", "descent.epochs", "3"],
            &["--set descent.epochs: expected key=value; write --set descent.epochs=3"],
        ),
        (&["sweep", "--grid", "objective.l2=0,1", "--set", "descent.epochs", "3"], &["write --set descent.epochs=3"]),
        (
            &["train", "--set", "descent.epochs"],
            &["--set descent.epochs: expected key=value, as in --set descent.epochs=10"],
        ),
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
        // A file or folder that is not there.
        (&["train", "sofmax.toml"], &["sofmax.toml: no such file; did you mean configs/softmax.toml"]),
        (&["train", "penguins"], &["penguins: no such file; there are configs/", "configs/softmax.toml"]),
        (&["sweep", "sofmax.toml", "--grid", "objective.l2=0,1"], &["did you mean configs/softmax.toml"]),
        (
            &["reproduce", "configs/reprot.toml"],
            &["configs/reprot.toml: no such file; did you mean configs/report.toml"],
        ),
        (&["evaluate", "softmax-9"], &["softmax-9: no such folder; did you mean", "runs/softmax-1", "runs/softmax-2"]),
        (&["predict", "runs/penguins", "flowers.csv"], &["there are runs/logistic-7, runs/softmax-1, runs/softmax-2"]),
        (&["train", "--resume", "runs/softmax-9"], &["runs/softmax-9: no such folder; did you mean runs/softmax-1"]),
        (&["sweep", "--resume", "runs/swep-1"], &["runs/swep-1: no such folder"]),
        (&["inspect", "flowers.csv"], &["flowers.csv: it is a file, and the folder of a run is meant here"]),
        (&["train", "--data", "penguin.csv"], &["penguin.csv: no such file or folder; data is auto, mnist, embedded"]),
        (
            &["train", "--data", "/dev/null"],
            &["/dev/null: data is read from a file or a folder, and this is neither", "write what comes through"],
        ),
        (&["data", "--data", "/dev/null"], &["write what comes through a pipe to a file first"]),
    ];
    for (arguments, expected) in cases {
        is_refused(folder.path(), arguments, expected);
    }
    // What the file says, the file is to blame for.
    std::fs::write(folder.path().join("own.toml"), "[model]\nkind = 'softmax'\n[descent]\nepochs = 0\n").unwrap();
    is_refused(
        folder.path(),
        &["train", "own.toml", "--seed", "3"],
        &["own.toml: descent.epochs = 0: expected a whole number"],
    );
}

#[test]
fn a_column_may_be_called_by_a_number() {
    let folder = folder();
    std::fs::write(folder.path().join("flowers.csv"), FLOWERS).unwrap();
    let few = ["--set", "descent.batch_size=2", "--set", "descent.epochs=1", "--quiet", "--out", "run"];
    let output =
        call(folder.path(), &[&["train", "--data", "flowers.csv", "--set", "data.label=2024"], &few[..]].concat());
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
}

#[test]
fn what_a_file_sets_the_command_line_can_take_back() {
    let text = "[model]\nkind = 'softmax'\n[data]\ntrain_images = 2\nclasses = [0, 1]\n[early_stopping]\npatience = 1\n\
                [descent]\nmomentum = 0.5\n[objective]\nclass_weights = 'balanced'\n";
    let parse =
        |set: &[&str]| TrainConfig::parse("own.toml", text, &set.iter().map(|&set| set.into()).collect::<Vec<_>>());
    let keys =
        ["data.train_images", "data.classes", "early_stopping.patience", "descent.momentum", "objective.class_weights"];
    for key in keys {
        let written = parse(&[&format!("{key}=none")]).unwrap().to_toml();
        let name = key.rsplit('.').next().unwrap();
        assert!(parse(&[]).unwrap().to_toml().contains(&format!("\n{name} = ")), "{key}");
        assert!(!written.contains(&format!("\n{name} = ")), "{key}: {written}");
    }
    // Of a file that says nothing of it, nothing is taken back; and a grid may try it.
    let smallest =
        TrainConfig::parse("own.toml", "[model]\nkind = 'softmax'", &["early_stopping.patience=none".into()]);
    assert_eq!(smallest.unwrap().early_stopping().patience, None);
    // A column may be called so.
    assert_eq!(parse(&["data.label=none"]).unwrap().data().label.as_deref(), Some("none"));
}

/// The kind of the system's error at the end of the chain.
fn cause(error: &dyn Error) -> Option<ErrorKind> {
    let last = std::iter::successors(error.source(), |&error| error.source()).last()?;
    Some(last.downcast_ref::<std::io::Error>()?.kind())
}

#[test]
fn the_librarys_errors_have_their_causes_and_no_options_of_the_program() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("flowers.csv"), FLOWERS).unwrap();
    std::fs::write(at("file"), "").unwrap();
    let samples = Samples::csv(at("flowers.csv"), "2024").unwrap();
    let fitted = Estimator::softmax().epochs(1).fit(&samples, &samples).unwrap();
    fitted.save(at("model")).unwrap();

    let absent = Samples::csv(at("absent.csv"), "kind").unwrap_err();
    assert_eq!(cause(&absent), Some(ErrorKind::NotFound), "{absent}");
    let absent = Fitted::load(at("absent")).unwrap_err();
    assert_eq!(cause(&absent), Some(ErrorKind::NotFound), "{absent}");
    let below_a_file = fitted.save(at("file/model")).unwrap_err();
    assert_eq!(cause(&below_a_file), Some(ErrorKind::NotADirectory), "{below_a_file}");
    let nowhere = fitted.export(at("no/such/folder.npz")).unwrap_err();
    assert_eq!(cause(&nowhere), Some(ErrorKind::NotFound), "{nowhere}");
    // All is in the one line, too.
    assert!(nowhere.to_string().contains("No such file"), "{nowhere}");

    let exists = fitted.save(at("model")).unwrap_err();
    assert!(exists.to_string().ends_with("model exists already"), "{exists}");
    let one =
        samples.with_classes(&["rose"]).and_then(|samples| Estimator::softmax().fit(&samples, &samples).map(|_| ()));
    let one = one.unwrap_err().to_string();
    assert!(!one.contains("1 classes"), "{one}");
}
