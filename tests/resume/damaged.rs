//! Runs with a damaged file.

use chainrule_records::RunFolder;
use chainrule_tests_macros::test;

use super::{FAST_SETTINGS, outcome, resume, succeeds, train, unfinish, with_digits};

#[test]
fn a_damaged_checkpoint_falls_back_to_the_previous_one() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let arguments = [&FAST_SETTINGS[..], &["--set", "descent.epochs=3", "--checkpoint-every", "20"]].concat();
    succeeds(folder, &train("whole", &arguments));
    let expected = outcome(&folder.join("whole"));
    let newest = |run: &str| {
        let entries = std::fs::read_dir(folder.join(run).join("checkpoint")).unwrap();
        let mut steps: Vec<usize> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.strip_prefix("step-").unwrap().strip_suffix(".mpk").unwrap().parse().unwrap())
            .collect();
        steps.sort_unstable();
        steps
    };
    assert_eq!(newest("whole"), [60, 80], "the last two are kept");
    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);
    let damage: [Damage; 6] = [
        &|bytes| bytes.truncate(0),
        &|bytes| bytes.truncate(60),
        &|bytes| {
            bytes.pop();
        },
        &|bytes| bytes.push(0),
        &|bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
        &|bytes| bytes[30] ^= 4,
    ];
    for (i, damage) in damage.iter().enumerate() {
        for how_many in [1, 2] {
            // `--force` would refuse the damaged checkpoint, because it may be the user's own file.
            let _ = std::fs::remove_dir_all(folder.join("run"));
            succeeds(folder, &train("run", &arguments));
            unfinish(&folder.join("run"));
            for steps in newest("run").into_iter().rev().take(how_many) {
                let path = folder.join(format!("run/checkpoint/step-{steps}.mpk"));
                let mut bytes = std::fs::read(&path).unwrap();
                damage(&mut bytes);
                std::fs::write(&path, bytes).unwrap();
            }
            let stderr = succeeds(folder, &resume("run", &[]));
            assert!(stderr.contains("checkpoint/step-80.mpk: it "), "{i}: {stderr}");
            if how_many == 1 {
                assert!(
                    stderr.contains("the previous checkpoint is used\nresuming from step 60 of run"),
                    "{i}: {stderr}"
                );
            } else {
                assert!(
                    stderr.contains("no checkpoint is complete; the run starts from the beginning"),
                    "{i}: {stderr}"
                );
            }
            assert_eq!(outcome(&folder.join("run")), expected, "{i}");
        }
    }
}

#[test]
fn a_damaged_file_of_a_finished_run_is_restored() {
    let folder = with_digits(600, 200);
    let folder = folder.path();
    let arguments = [&FAST_SETTINGS[..], &["--set", "descent.epochs=3", "--checkpoint-every", "20"]].concat();
    succeeds(folder, &train("run", &arguments));
    let expected = outcome(&folder.join("run"));
    for file in ["model.safetensors", "history.json", "manifest.json", "config.toml"] {
        let path = folder.join("run").join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        // A digit of a number or name, so that the file stays well-formed but is wrong.
        let at = bytes.iter().rposition(|byte| if file.ends_with("tensors") { true } else { byte.is_ascii_digit() });
        bytes[at.unwrap()] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = RunFolder::read(&folder.join("run")).unwrap_err().to_string();
        assert!(error.contains(&format!("{file}: it is damaged or was changed")), "{error}");
        if file == "model.safetensors" || file == "history.json" {
            let stderr = succeeds(folder, &resume("run", &[]));
            assert!(stderr.contains(&format!("{file}: it is damaged")), "{stderr}");
            assert!(stderr.contains("use train --resume run\n"), "{stderr}");
            assert!(stderr.contains("resuming from step 80 of run"), "{stderr}");
            assert_eq!(outcome(&folder.join("run")), expected, "{file}");
        }
        std::fs::write(&path, whole).unwrap();
    }
}
