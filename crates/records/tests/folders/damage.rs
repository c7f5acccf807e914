//! Flipped bits, renamed keys and removed seals.

use std::path::{Path, PathBuf};

use chainrule_core::History;
use chainrule_records::{RunError, RunFolder, SweepFolder, read_sealed, sealed};

use crate::{assert_one_line, imported, tiny_run, write_model_folder, write_run, write_sweep};

/// Whether to run all cases, which takes minutes.
fn is_exhaustive() -> bool {
    std::env::var("CHAINRULE_ATTACK").is_ok_and(|value| value == "all")
}

/// Flips bits of a file. `read` must fail with one sentence for each. Returns the number of flips.
fn flip_bits(file: &Path, read: &dyn Fn() -> Result<(), String>) -> usize {
    let original = std::fs::read(file).unwrap();
    let bits = 8 * original.len();
    // An odd step reaches every position within a byte.
    let step = if is_exhaustive() { 1 } else { (bits / 300) | 1 };
    for bit in (0..bits).step_by(step) {
        let mut flipped = original.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(file, flipped).unwrap();
        let Err(message) = read() else { panic!("bit {bit} of {}", file.display()) };
        assert_one_line(&message);
    }
    std::fs::write(file, original).unwrap();
    read().unwrap();
    bits.div_ceil(step)
}

/// Flips bits of a folder's files and reads it each time. Returns the number of flips.
fn flip_bits_of_files(folder: &Path, names: &[&str], read: &dyn Fn() -> Result<(), RunError>) -> usize {
    let read = || read().map_err(|error| error.to_string());
    names.iter().map(|name| flip_bits(&folder.join(name), &read)).sum()
}

#[test]
fn every_flipped_bit_of_a_run_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    write_run(&run);
    let files = ["config.toml", "manifest.json", "history.json", "model.safetensors", "summary.json"];
    let flipped = flip_bits_of_files(&run, &files, &|| RunFolder::read(&run).map(drop));
    assert!(flipped > 1400, "{flipped}");
}

/// The run of a killed process.
#[test]
fn every_flipped_bit_of_an_unfinished_run_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    write_run(&run);
    for name in ["history.json", "model.safetensors", "summary.json"] {
        std::fs::remove_file(run.join(name)).unwrap();
    }
    let flipped = flip_bits_of_files(&run, &["config.toml", "manifest.json"], &|| RunFolder::open(&run).map(drop));
    assert!(flipped > 550, "{flipped}");
    let checkpoint = || {
        let (run, mut damaged) = (RunFolder::open(&run).unwrap(), Ok(()));
        run.last_checkpoint::<String>(&mut |error| damaged = Err(error.to_string()));
        damaged
    };
    assert!(flip_bits(&run.join("checkpoint/step-7.mpk"), &checkpoint) > 100);
}

#[test]
fn every_flipped_bit_of_an_imported_model_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    write_model_folder(&model);
    let flipped = flip_bits_of_files(&model, &["imported.json", "model.safetensors"], &|| imported(&model).map(drop));
    assert!(flipped > 500, "{flipped}");
}

#[test]
fn every_flipped_bit_of_a_sweeps_plan_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = folder.path().join("sweep");
    write_sweep(&sweep);
    let flipped = flip_bits_of_files(&sweep, &["sweep.toml"], &|| SweepFolder::open(&sweep).map(drop));
    assert!(flipped > 280, "{flipped}");
}

/// The report stores its gradient checks in this form.
#[test]
fn every_flipped_bit_of_a_sealed_record_is_detected() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("record.json"), sealed(&tiny_run().history)).unwrap();
    let record = folder.path().join("record.json");
    let flipped = flip_bits_of_files(folder.path(), &["record.json"], &|| {
        read_sealed::<History>(&record, "made again").map(drop)
    });
    assert!(flipped > 200, "{flipped}");
}

#[test]
fn documents_without_a_valid_seal_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [run, model, sweep] = ["run", "model", "sweep"].map(|name| folder.path().join(name));
    write_run(&run);
    write_model_folder(&model);
    write_sweep(&sweep);
    let read_run = |path: &Path| RunFolder::read(path).map(drop);
    let read_model = |path: &Path| imported(path).map(drop);
    let read_sweep = |path: &Path| SweepFolder::open(path).map(drop);
    type Read<'a> = &'a dyn Fn(&Path) -> Result<(), RunError>;
    let cases: [(PathBuf, Read, &str); 4] = [
        (run.join("summary.json"), &read_run, "where the run is resumed"),
        (run.join("manifest.json"), &read_run, "train anew"),
        (model.join("imported.json"), &read_model, "import it again"),
        (sweep.join("sweep.toml"), &read_sweep, "begin a new sweep"),
    ];
    for (file, read, advice) in cases {
        let original = std::fs::read_to_string(&file).unwrap();
        let before = original.split("\n# seal").next().unwrap().split(",\n  \"seal\"").next().unwrap();
        let is_json = file.extension().unwrap() == "json";
        let unsealed = if is_json { format!("{before}\n}}\n") } else { before.to_owned() };
        for changed in
            [unsealed, original.replace("files", "filez"), original.replace("seal", "sea1"), format!("{original}\n")]
        {
            if changed == original {
                continue;
            }
            std::fs::write(&file, changed).unwrap();
            let message = read(file.parent().unwrap()).unwrap_err().to_string();
            assert!(message.contains("or an earlier version wrote it") && message.contains(advice), "{message}");
            assert!(message.starts_with(&file.display().to_string()), "{message}");
            assert_one_line(&message);
        }
        std::fs::write(&file, original).unwrap();
        read(file.parent().unwrap()).unwrap();
    }
}

#[test]
fn damaged_checkpoints_do_not_displace_valid_ones() {
    let folder = tempfile::tempdir().unwrap();
    let run = tiny_run();
    let run = RunFolder::create(&folder.path().join("run"), false, &run.config, &run.manifest).unwrap();
    let path = |steps: usize| run.path().join(format!("checkpoint/step-{steps}.mpk"));
    for steps in [10, 20, 30] {
        run.write_checkpoint(steps, &steps).unwrap();
    }
    std::fs::write(path(30), "damaged").unwrap();
    let (mut skipped, last) = (0, run.last_checkpoint(&mut |_| ()));
    assert_eq!(last, Some((20, 20)));
    run.write_checkpoint(25, &25).unwrap();
    let last: Option<(usize, usize)> = run.last_checkpoint(&mut |_| skipped += 1);
    assert_eq!((last, skipped), (Some((25, 25)), 0));
    // If that checkpoint is damaged, too, an earlier valid one is used.
    std::fs::write(path(25), "damaged").unwrap();
    assert_eq!(run.last_checkpoint(&mut |_| ()), Some((20, 20)));
}
