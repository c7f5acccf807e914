//! Runs refuse to resume with anything that differs from their start.

use chainrule::backend::Backend;
use chainrule_data::mnist;
use chainrule_tests_macros::test;
use serde_json::Value;

use super::{FAST_SETTINGS, endless, is_hidden, outcome, refuses, resume, succeeds, train, unfinish, with_digits};
use crate::command::{files_below, without_seal};
use crate::support::cpu;

#[test]
fn resuming_a_finished_run_does_nothing() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    succeeds(folder, &train("run", &[&FAST_SETTINGS[..], &["--set", "descent.epochs=1", "--force"]].concat()));
    let before = outcome(&folder.join("run"));
    let stderr = succeeds(folder, &resume("run", &["--json"]));
    assert!(stderr.contains("run is finished; there is nothing to do"), "{stderr}");
    assert_eq!(outcome(&folder.join("run")), before);
    // The same data in another folder is accepted, other data is not.
    std::fs::rename(folder.join("digits"), folder.join("elsewhere")).unwrap();
    let stderr = succeeds(folder, &resume("run", &["--data", "elsewhere"]));
    assert!(stderr.contains("run is finished; there is nothing to do"), "{stderr}");
    let other = ["data", "--write-idx", "other", "--seed", "5", "--train-images", "600", "--validation-images", "200"];
    succeeds(folder, &other);
    refuses(folder, &resume("run", &["--data", "other", "--quiet"]), "the result would differ: data:");
    refuses(folder, &resume("run", &["--data", "nowhere", "--quiet"]), "nowhere");
    assert_eq!(outcome(&folder.join("run")), before);
    // A missing file is named, with the command that makes it again.
    std::fs::remove_file(folder.join("run/model.safetensors")).unwrap();
    refuses(folder, &["evaluate", "run"], "run/model.safetensors: it is gone; ");
    std::fs::remove_file(folder.join("run/summary.json")).unwrap();
    let error =
        refuses(folder, &["evaluate", "run"], "run/summary.json: it is not there, as in a run that has not ended");
    assert!(error.contains("train --resume run") && !error.contains("os error"), "{error}");
}

#[test]
fn a_run_does_not_resume_with_other_config_data_or_code() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let mut child = endless(folder, "run", &["--threads", "1"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let visible = || files_below(&folder.join("run")).into_iter().filter(|path| !is_hidden(path)).collect::<Vec<_>>();
    let before = visible();
    let refuses = |more: &[&str], expected: &str| {
        let error = refuses(folder, &resume("run", &[more, &["--quiet"]].concat()), expected);
        assert!(error.starts_with("error: --resume run: the result would differ: "), "{error}");
    };
    refuses(&["--set", "objective.l2=0.5"], "objective.l2 = 0.5, not 0.0");
    refuses(&["--seed", "9"], "descent.shuffle.seed = 9, not 0");
    refuses(&["configs/logistic.toml"], "model.kind = \"logistic\", not \"softmax\"");
    refuses(&["--threads", "2"], "threads 1, here 2");
    if let Some(other) = Backend::built().unwrap().iter().find(|backend| backend.name() != cpu()) {
        refuses(&["--backend", other.name()], &format!("backend {}, here {}", cpu(), other.name()));
    }
    // Data in another folder is accepted, but a single changed byte is not.
    let files = mnist::FILES.map(|file| file.name);
    let labels = folder.join("digits").join(files[1]);
    let mut bytes = std::fs::read(&labels).unwrap();
    let of_labels = bytes.clone();
    let last = bytes.len() - 1;
    bytes[last] = (bytes[last] + 1) % 10;
    std::fs::write(&labels, bytes).unwrap();
    refuses(&[], "data: train-labels-idx1-ubyte with SHA-256 ");
    // Other numerics, according to the manifest, and numerics from before versions were counted.
    std::fs::write(&labels, of_labels).unwrap();
    let manifest = folder.join("run/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let with_versions = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        change(&mut value["versions"]);
        let value = without_seal(value).to_string();
        std::fs::write(&manifest, chainrule_records::seal_json(&value)).unwrap();
    };
    with_versions(&|versions| versions["numerics"] = 1_000_000.into());
    refuses(&[], "whose numerics are version 1000000 ");
    with_versions(&|versions| {
        versions["source"] = "0123456789abcdef".into();
        versions.as_object_mut().unwrap().remove("numerics");
    });
    refuses(&[], "whose numerics are version 0 ");
    std::fs::write(&manifest, &text).unwrap();
    assert_eq!(visible(), before, "what is refused leaves the run as it is");
    // Another release or revision with the same numerics gives the same result, so the error does
    // not mention it.
    with_versions(&|versions| {
        versions["chainrule"] = "9.9.9".into();
        versions["git_revision"] = "0123456789ab".into();
    });
    refuses(&["--threads", "2"], "the result would differ: threads 1, here 2; resume");
}

#[test]
fn an_edited_config_or_foreign_checkpoint_is_refused() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let short = ["--set", "descent.epochs=3", "--checkpoint-every", "20"];
    succeeds(folder, &train("run", &[&FAST_SETTINGS[..], &short].concat()));
    unfinish(&folder.join("run"));
    let config = folder.join("run/config.toml");
    let changed = std::fs::read_to_string(&config).unwrap().replace("l2 = 0.0", "l2 = 0.25");
    std::fs::write(&config, changed).unwrap();
    let changed = "run/config.toml: it is damaged or was changed since the run began: objective.l2 = 0.25, not 0.0; ";
    refuses(folder, &resume("run", &["--quiet"]), changed);
    // The manifest contains the config, too.
    std::fs::remove_file(&config).unwrap();
    succeeds(folder, &resume("run", &["--quiet"]));
    assert!(std::fs::read_to_string(&config).unwrap().contains("l2 = 0.0"));

    // A checkpoint of another run is refused, too.
    succeeds(folder, &train("other", &[&FAST_SETTINGS[..], &short, &["--set", "objective.l2=0.25"]].concat()));
    unfinish(&folder.join("run"));
    std::fs::copy(folder.join("other/checkpoint/step-80.mpk"), folder.join("run/checkpoint/step-80.mpk")).unwrap();
    let refused = "run: the checkpoint of step 80 belongs to another run: objective.l2 = 0.0, not 0.25; delete it, or train a new run";
    refuses(folder, &resume("run", &["--quiet"]), refused);
}

#[test]
fn class_weights_are_computed_again_on_resume() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let weights = ["--set", "objective.class_weights=balanced", "--checkpoint-every", "20"];
    for out in ["whole", "cut"] {
        succeeds(folder, &train(out, &[&FAST_SETTINGS[..], &weights].concat()));
    }
    unfinish(&folder.join("cut"));
    succeeds(folder, &resume("cut", &["--quiet"]));
    assert_eq!(outcome(&folder.join("cut")), outcome(&folder.join("whole")));
    let summary = std::fs::read_to_string(folder.join("cut/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["class_weights"].as_array().map(Vec::len), Some(10), "{summary}");
    // With other weights the run would continue differently.
    unfinish(&folder.join("cut"));
    let other = ["--set", "objective.class_weights=[1,1,1,1,1,1,1,1,1,2]"];
    refuses(folder, &resume("cut", &other), "objective.class_weights = ");
}
