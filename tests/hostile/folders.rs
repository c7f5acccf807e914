//! Folders of runs, sweeps and imported models that someone damaged, linked elsewhere, filled with files of their own, or that were being written when their
//! process was killed. `CHAINRULE_ATTACK=all` turns every bit and kills often: `cargo test -p chainrule-tests hostile::folders -- --nocapture`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use chainrule_data::sha256;
use chainrule_records::{
    Grid, GridKey, Imported, RunError, RunFiles, RunFolder, SweepFolder, SweepPlan, read_sealed, sealed,
};
use chainrule_tests_macros::test;
use tempfile::TempDir;

use super::files::run_folder;
use super::formats::is_a_sentence;
use crate::command::{ask, call, code, command, files_below, folder, is_refused, text};
use crate::harness::tell;
use crate::support::{cpu, noise};

/// Whether all is tried, which takes minutes.
fn all() -> bool {
    std::env::var("CHAINRULE_ATTACK").is_ok_and(|asked| asked == "all")
}

/// Of 2 x 3 pixels and 3 classes, so that every bit of it can be turned.
fn small() -> RunFiles {
    RunFolder::read(run_folder().path()).unwrap()
}

/// Writes a finished run with a checkpoint.
fn make_run(path: &Path) {
    let run = small();
    let folder = RunFolder::create(path, false, &run.config, &run.manifest).unwrap();
    finish(&folder);
}

fn finish(folder: &RunFolder) {
    let run = small();
    folder.write_checkpoint(7, &"where it stood").unwrap();
    folder.finish(&run.history, &run.parameters, &run.preprocessing, run.summary).unwrap();
}

/// Writes an imported model, whose weights are all `weight`.
fn import(path: &Path, replace: bool, weight: f64) -> Result<(), RunError> {
    let RunFiles { summary, mut parameters, preprocessing, .. } = small();
    parameters.weight.fill(weight);
    let imported = Imported {
        model: summary.model.into(),
        precision: summary.precision,
        data: summary.data.schema(),
        weight_norm: summary.weight_norm,
        from: None,
        trained_on: None,
        files: BTreeMap::new(),
    };
    imported.write(path, replace, &parameters, &preprocessing)
}

/// Which weights an imported model has.
fn imported(path: &Path) -> Result<f64, RunError> {
    Imported::read(path).map(|(_, parameters, _)| parameters.weight[0])
}

fn plan() -> SweepPlan {
    SweepPlan {
        config: "softmax.toml".to_owned(),
        text: "[data]\nsource = \"embedded\"\n[model]\nkind = \"softmax\"\n".to_owned(),
        set: Vec::new(),
        threads: 1,
        grid: Grid::new(vec![GridKey::parse("objective.l2=0,1").unwrap()]).unwrap(),
        manifests: vec![small().manifest],
    }
}

const SWEPT: [&str; 5] = ["sweep.csv", "sweep.json", "sweep.md", "sweep.svg", "sweep.png"];
const POINT: &str = "1-l2=0";

/// Writes a finished sweep, of which one point is there.
fn write_tables(folder: &SweepFolder, text: &str) -> Result<(), RunError> {
    let others = SWEPT.into_iter().filter(|name| *name != "sweep.json").map(|name| (name, text.into()));
    folder.write_tables(&format!("{{ \"rows\": \"{text}\" }}"), &others.collect::<Vec<(&str, Vec<u8>)>>())
}

fn make_sweep(path: &Path) {
    let folder = SweepFolder::create(path, false, &plan()).unwrap();
    make_run(&folder.point(POINT).unwrap());
    write_tables(&folder, "told").unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    files_below(folder).iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
}

/// Every file below a folder with its bytes.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_below(folder).into_iter().filter(|path| path.is_file());
    files.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// Turns bits of a file, of which each must be noticed by `read` in a sentence; gives how many.
fn turn(file: &Path, read: &dyn Fn() -> Result<(), String>) -> usize {
    let whole = std::fs::read(file).unwrap();
    let bits = 8 * whole.len();
    // An odd step comes to every bit of a byte.
    let step = if all() { 1 } else { (bits / 300) | 1 };
    for bit in (0..bits).step_by(step) {
        let mut turned = whole.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(file, turned).unwrap();
        let Err(said) = read() else { panic!("bit {bit} of {}", file.display()) };
        is_a_sentence(&said);
    }
    std::fs::write(file, whole).unwrap();
    read().unwrap();
    bits.div_ceil(step)
}

#[test]
fn every_bit_of_every_file_that_is_read_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let [run, model, sweep] = ["run", "model", "sweep"].map(|name| folder.path().join(name));
    make_run(&run);
    import(&model, false, 1.0).unwrap();
    make_sweep(&sweep);
    let mut turned = 0;
    for name in ["config.toml", "manifest.json", "history.json", "model.safetensors", "summary.json"] {
        let read = || RunFolder::read(&run).map(drop).map_err(|error| error.to_string());
        turned += turn(&run.join(name), &read);
    }
    // A run without a summary, as one that was killed, is sealed too.
    for name in ["history.json", "model.safetensors", "summary.json"] {
        std::fs::remove_file(run.join(name)).unwrap();
    }
    for name in ["config.toml", "manifest.json"] {
        let open = || RunFolder::open(&run).map(drop).map_err(|error| error.to_string());
        turned += turn(&run.join(name), &open);
    }
    let checkpoint = || {
        let (run, mut damaged) = (RunFolder::open(&run).unwrap(), Ok(()));
        run.last_checkpoint::<String>(&mut |error| damaged = Err(error.to_string()));
        damaged
    };
    turned += turn(&run.join("checkpoint/step-7.mpk"), &checkpoint);
    for name in ["imported.json", "model.safetensors"] {
        turned += turn(&model.join(name), &|| imported(&model).map(drop).map_err(|error| error.to_string()));
    }
    turned +=
        turn(&sweep.join("sweep.toml"), &|| SweepFolder::open(&sweep).map(drop).map_err(|error| error.to_string()));
    // What the report keeps its gradient checks in.
    let record = folder.path().join("record.json");
    std::fs::write(&record, sealed(&small().history)).unwrap();
    turned += turn(&record, &|| {
        let read = read_sealed::<chainrule_core::History>(&record, "made again");
        read.map(drop).map_err(|error| error.to_string())
    });
    tell(&format!("{turned} bits turned, all of them noticed"));
    assert!(turned > 2000, "{turned}");
}

#[test]
fn a_key_that_is_renamed_or_a_document_without_a_seal_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let [run, model, sweep] = ["run", "model", "sweep"].map(|name| folder.path().join(name));
    make_run(&run);
    import(&model, false, 1.0).unwrap();
    make_sweep(&sweep);
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
    for (file, read, way_out) in cases {
        let whole = std::fs::read_to_string(&file).unwrap();
        let before = whole.split("\n# seal").next().unwrap().split(",\n  \"seal\"").next().unwrap();
        let is_json = file.extension().unwrap() == "json";
        let unsealed = if is_json { format!("{before}\n}}\n") } else { before.to_owned() };
        for changed in [unsealed, whole.replace("files", "filez"), whole.replace("seal", "sea1"), format!("{whole}\n")]
        {
            if changed == whole {
                continue;
            }
            std::fs::write(&file, changed).unwrap();
            let said = read(file.parent().unwrap()).unwrap_err().to_string();
            assert!(said.contains("or an earlier version wrote it") && said.contains(way_out), "{said}");
            assert!(said.starts_with(&file.display().to_string()), "{said}");
            is_a_sentence(&said);
        }
        std::fs::write(&file, whole).unwrap();
        read(file.parent().unwrap()).unwrap();
    }
}

/// What lies outside the folders, and must stay as it is.
struct Victims {
    folder: TempDir,
    before: BTreeMap<PathBuf, Vec<u8>>,
}

impl Victims {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "process 1").unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        for name in ["model.safetensors", "step-1.mpk", ".step-1.mpk.abcdef", POINT] {
            std::fs::write(folder.path().join("folder").join(name), "mine").unwrap();
        }
        let before = contents(folder.path());
        Self { folder, before }
    }

    fn check(&self, what: &str) {
        assert_eq!(contents(self.folder.path()), self.before, "{what}");
    }

    /// Puts links in a path's place, one after the other, and does what is to be tried with each, which leaves the path as it was.
    #[cfg(unix)]
    fn link(&self, path: &Path, mut attempt: impl FnMut(&str)) {
        use std::os::unix::fs::symlink;
        let outside = self.folder.path();
        let kept = outside.with_extension("kept");
        for kind in ["a link to a file", "a link to nothing", "a link to a folder", "a link to itself", "a hard link"] {
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else if path.is_file() {
                std::fs::rename(path, &kept).unwrap();
            }
            match kind {
                "a link to a file" => symlink(outside.join("file"), path).unwrap(),
                "a link to nothing" => symlink(outside.join("nothing"), path).unwrap(),
                "a link to a folder" => symlink(outside.join("folder"), path).unwrap(),
                // Even what is whole is not taken from elsewhere.
                "a link to itself" if kept.exists() => symlink(&kept, path).unwrap(),
                "a link to itself" => continue,
                _ => std::fs::hard_link(outside.join("file"), path).unwrap(),
            }
            let before = std::fs::read(&kept).ok();
            attempt(kind);
            self.check(&format!("{kind} at {}", path.display()));
            assert_eq!(std::fs::read(&kept).ok(), before, "{kind} at {}", path.display());
            let _ = std::fs::remove_file(&kept);
        }
    }
}

/// What is done with a folder. Whether it may succeed, and how.
type Attempt<'a> = (&'static str, &'a dyn Fn(&Path) -> Result<(), RunError>);

#[cfg(unix)]
#[test]
fn no_path_in_a_folder_leaves_it_through_a_link() {
    let victims = Victims::new();
    let place = tempfile::tempdir().unwrap();
    let read_run = |path: &Path| RunFolder::read(path).map(drop);
    let go_on = |path: &Path| {
        let folder = RunFolder::open(path)?;
        folder.last_checkpoint::<String>(&mut |_| ());
        folder.write_checkpoint(9, &"further")?;
        let run = small();
        folder.finish(&run.history, &run.parameters, &run.preprocessing, run.summary).map(drop)
    };
    let train_again = |path: &Path| {
        let run = small();
        RunFolder::create(path, true, &run.config, &run.manifest).map(|folder| finish(&folder))
    };
    let read_model = |path: &Path| imported(path).map(drop);
    let import_again = |path: &Path| import(path, true, 2.0);
    let sweep_on = |path: &Path| {
        let folder = SweepFolder::open(path)?;
        let point = folder.point(POINT)?;
        go_on(&point)?;
        write_tables(&folder, "told again")
    };
    let sweep_again = |path: &Path| {
        let folder = SweepFolder::create(path, true, &plan())?;
        folder.point(POINT).map(drop)
    };
    let runs: [Attempt; 3] = [("read", &read_run), ("go on", &go_on), ("again", &train_again)];
    let models: [Attempt; 2] = [("read", &read_model), ("again", &import_again)];
    let sweeps: [Attempt; 2] = [("go on", &sweep_on), ("again", &sweep_again)];
    let make_model = |path: &Path| import(path, false, 1.0).unwrap();
    type Make<'a> = &'a dyn Fn(&Path);
    let kinds: [(Make, &[Attempt], &[&str]); 3] = [
        (&make_run, &runs, &[".lock", "diverged.json", "checkpoint", "checkpoint/step-8.mpk"]),
        (&make_model, &models, &[".lock", ".model.safetensors.next"]),
        (
            &make_sweep,
            &sweeps,
            &[".lock", "points", "points/1-l2=0", "points/1-l2=0/.lock", "points/1-l2=0/checkpoint"],
        ),
    ];
    let (mut links, mut refused) = (0, 0);
    for (number, (make, attempts, more)) in kinds.into_iter().enumerate() {
        let whole = place.path().join(format!("whole-{number}"));
        make(&whole);
        let inside = names(&whole);
        for name in inside.iter().map(String::as_str).chain(more.iter().copied()) {
            for (what, attempt) in attempts {
                let folder = place.path().join("folder");
                copy(&whole, &folder);
                victims.link(&folder.join(name), |kind| {
                    let result = attempt(&folder);
                    links += 1;
                    refused += usize::from(result.is_err());
                    let is_symbolic = kind != "a hard link";
                    // What is not read is no matter to who only reads.
                    let is_asked =
                        *what != "read" || inside.iter().any(|file| file == name && !name.contains("checkpoint"));
                    if is_symbolic && is_asked {
                        let Err(error) = result else { panic!("{what} with {kind} at {name}") };
                        is_a_sentence(&error.to_string());
                    }
                    // What could be done has changed the folder.
                    std::fs::remove_dir_all(&folder).unwrap();
                    copy(&whole, &folder);
                });
                std::fs::remove_dir_all(&folder).unwrap();
            }
        }
    }
    // What is made beside its place is made in no other one either.
    std::os::unix::fs::symlink(victims.folder.path().join("folder"), place.path().join(".beginning-new")).unwrap();
    let error = train_again(&place.path().join("new")).unwrap_err().to_string();
    assert!(error.contains(".beginning-new: a symbolic link"), "{error}");
    victims.check("a link beside the place");
    tell(&format!("{links} links in folders, {refused} of them refused, nothing outside changed"));
    assert!(links > 300 && refused > 200, "{links} {refused}");
}

#[cfg(unix)]
#[test]
fn a_folder_may_be_named_by_a_link_and_is_written_where_it_leads() {
    let place = tempfile::tempdir().unwrap();
    let [link, folder] = ["link", "folder"].map(|name| place.path().join(name));
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    make_run(&folder);
    RunFolder::read(&link).unwrap();
    drop(RunFolder::open(&link).unwrap());
    let run = small();
    drop(RunFolder::create(&link, true, &run.config, &run.manifest).unwrap());
    assert!(link.is_symlink() && !folder.join("summary.json").exists());
    assert_eq!(names(&folder), ["config.toml", "manifest.json"]);
    // An empty folder stays the folder that it is.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    import(&link, false, 1.0).unwrap();
    assert_eq!(imported(&folder).unwrap(), 1.0);
}

#[test]
fn what_is_not_proven_to_be_ours_refuses_the_whole_by_its_name_before_anything_is_touched() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("folder");
    let train = |path: &Path| {
        let run = small();
        RunFolder::create(path, true, &run.config, &run.manifest).map(drop)
    };
    let sweep = |path: &Path| SweepFolder::create(path, true, &plan()).map(drop);
    let again = |path: &Path| import(path, true, 2.0);
    let refuses = |what: &str, attempt: &dyn Fn(&Path) -> Result<(), RunError>, expected: &str| {
        let before = contents(&folder);
        let error = attempt(&folder).unwrap_err();
        assert!(matches!(error, RunError::Foreign { .. }), "{what}: {error}");
        let said = error.to_string();
        assert!(said.starts_with(&format!("{}: ", folder.join(expected).display())), "{what}: {said}");
        is_a_sentence(&said);
        assert_eq!(contents(&folder), before, "{what}");
    };
    let attempts: [Attempt; 3] = [("train", &train), ("sweep", &sweep), ("import", &again)];
    // A project of someone's own, which has a run's names.
    for name in ["checkpoint/epoch-90.pt", "config.toml", "model.safetensors", "summary.json", "manifest.json"] {
        std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), "{}").unwrap();
    }
    refuses("project", &train, "manifest.json");
    refuses("project", &again, "checkpoint");
    std::fs::remove_file(folder.join("manifest.json")).unwrap();
    for (what, attempt) in attempts {
        refuses(what, attempt, "checkpoint");
    }
    std::fs::remove_dir_all(&folder).unwrap();

    // One of someone's own files in what is ours, or one of ours that was changed.
    let make_model = |path: &Path| import(path, false, 1.0).unwrap();
    type Make<'a> = &'a dyn Fn(&Path);
    let cases: [(Make, Attempt, &[&str]); 3] = [
        (
            &make_run,
            attempts[0],
            &[
                "notes.txt",
                "checkpoint/epoch-90.pt",
                "checkpoint/step-7.pt",
                "checkpoint/step-9.mpk",
                "model.safetensors",
                "config.toml",
                ".lock",
                ".chainrule-1-1",
                "checkpoint/.chainrule-1-1",
            ],
        ),
        (
            &make_sweep,
            attempts[1],
            &[
                "notes.txt",
                ".chainrule-1-1",
                "points/1-l2=0/.lock",
                "sweep.toml",
                "sweep.csv",
                "sweep.json",
                "sweep.png",
                "points/notes",
                "points/1-l2=0/notes",
                "points/1-l2=0/checkpoint/epoch-90.pt",
            ],
        ),
        (
            &make_model,
            attempts[2],
            &["notes.txt", ".lock", ".chainrule-1-1", "config.toml", "imported.json", "model.safetensors"],
        ),
    ];
    for (make, (what, attempt), foreign) in cases {
        make(&folder);
        for name in foreign {
            let kept = std::fs::read(folder.join(name)).ok();
            // An empty file of that name proves no more.
            for content in ["mine", ""] {
                std::fs::write(folder.join(name), content).unwrap();
                refuses(what, attempt, name);
            }
            match kept {
                Some(content) => std::fs::write(folder.join(name), content).unwrap(),
                None => std::fs::remove_file(folder.join(name)).unwrap(),
            }
        }
        // Without any of it, it is replaced.
        attempt(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
    // Of a run without a summary, too, model and history are such files or none of ours.
    for name in ["model.safetensors", "history.json"] {
        make_run(&folder);
        std::fs::remove_file(folder.join("summary.json")).unwrap();
        std::fs::write(folder.join(name), "mine").unwrap();
        refuses("a run without a summary", &train, name);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn what_a_kill_left_of_a_beginning_is_in_no_ones_way_and_another_folder_of_that_name_stays() {
    let place = tempfile::tempdir().unwrap();
    let [folder, beginning] = ["folder", ".beginning-folder"].map(|name| place.path().join(name));
    let make_model = |path: &Path| import(path, false, 1.0).unwrap();
    type Make<'a> = &'a dyn Fn(&Path);
    let begin_run = |path: &Path| {
        let run = small();
        drop(RunFolder::create(path, false, &run.config, &run.manifest).unwrap());
    };
    let begin_sweep = |path: &Path| drop(SweepFolder::create(path, false, &plan()).unwrap());
    let begins: [Make; 3] = [&begin_run, &begin_sweep, &make_model];
    for left in begins {
        for made in begins {
            left(&beginning);
            made(&folder);
            assert!(folder.exists() && !beginning.exists());
            std::fs::remove_dir_all(&folder).unwrap();
        }
    }
    // A whole run that someone called so.
    make_run(&beginning);
    let before = contents(&beginning);
    let run = small();
    let error = RunFolder::create(&folder, true, &run.config, &run.manifest).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{}: ", beginning.display())), "{error}");
    assert_eq!(contents(&beginning), before);
}

#[test]
fn a_lock_says_whose_it_is_from_its_first_moment_and_an_empty_file_is_none() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("run");
    make_run(&path);
    let lock = path.join(".lock");
    let held = RunFolder::open(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), format!("process {}", std::process::id()));
    drop(held);
    assert_eq!(names(&path).iter().filter(|name| name.starts_with('.')).count(), 0);
    for mine in ["", "process ", "process one", "mine"] {
        std::fs::write(&lock, mine).unwrap();
        let error = RunFolder::open(&path).unwrap_err().to_string();
        assert!(error.contains(".lock") && error.contains("this program did not write it"), "{error}");
        assert_eq!(std::fs::read_to_string(&lock).unwrap(), mine);
        std::fs::remove_file(&lock).unwrap();
    }
    // Where a process was killed that had just given it its name, it has the draft's, too.
    let draft = ".chainrule-4711-12";
    let draft = path.join(format!("{draft}-{}", &sha256([draft.as_bytes()])[..16]));
    std::fs::write(&draft, "process 4711").unwrap();
    std::fs::hard_link(&draft, &lock).unwrap();
    drop(RunFolder::open(&path).unwrap());
    assert!(!lock.exists() && !draft.exists());
}

#[test]
fn a_folders_name_may_be_as_long_as_the_file_system_takes() {
    let place = tempfile::tempdir().unwrap();
    let run = small();
    for (length, is_taken) in [(200, true), (201, true), (244, true), (255, true), (256, false)] {
        let path = place.path().join("n".repeat(length));
        match RunFolder::create(&path, false, &run.config, &run.manifest) {
            Ok(_) => assert!(is_taken && path.exists(), "{length}"),
            Err(error) => {
                assert!(!is_taken, "{length}: {error}");
                is_a_sentence(&error.to_string());
            }
        }
    }
    assert!(names(place.path()).iter().all(|name| !name.contains(".beginning")), "{:?}", names(place.path()));
}

/// Files may have so many blocks of 512 bytes, and a write beyond is an error, as on a full disk.
#[cfg(unix)]
fn with_full_disk(place: &Path, blocks: usize, arguments: &[&str]) -> std::process::Output {
    let mut shell = crate::command::process("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    shell.current_dir(place).args(["-c", &script, "sh", env!("CARGO_BIN_EXE_chainrule-under-test")]).args(arguments);
    shell.output().unwrap()
}

#[cfg(unix)]
#[test]
fn an_import_that_fails_takes_away_what_it_wrote() {
    let place = folder();
    let place = place.path();
    // Of so many columns with such names the card is longer than the weights.
    let columns: Vec<String> =
        (0..100).map(|i| format!("a column with quite a long name, which is number {i}")).collect();
    let columns = columns.iter().map(|name| name.replace(',', "")).collect::<Vec<_>>().join(",");
    let [old, new] = [1.0f32, 2.0].map(|weight| {
        let tensors: [(&str, &[usize], Vec<f32>); 2] =
            [("weight", &[3, 100], vec![weight; 300]), ("bias", &[3], vec![0.0; 3])];
        crate::import::safetensors(&tensors)
    });
    std::fs::write(place.join("old.safetensors"), old).unwrap();
    std::fs::write(place.join("new.safetensors"), new).unwrap();
    let import = |file: &'static str, out: &'static str| {
        [
            "import",
            file,
            "--out",
            out,
            "--force",
            "--trained-on",
            "numbers",
            "--classes",
            "a,b,c",
            "--columns",
            &columns,
        ]
        .map(str::to_owned)
    };
    let fails = |out: &'static str| {
        let arguments = import("new.safetensors", out);
        let output = with_full_disk(place, 8, &arguments.each_ref().map(String::as_str));
        let said = text(&output.stderr);
        assert_eq!(code(&output), Some(2), "{said}");
        assert!(said.lines().last().unwrap().contains("imported.json: "), "{said}");
    };
    ask(place, &import("old.safetensors", "model").each_ref().map(String::as_str));
    let before = contents(&place.join("model"));
    fails("model");
    assert_eq!(contents(&place.join("model")), before);
    // What a killed one left is taken away, too.
    std::fs::write(place.join("model/.model.safetensors.next"), "half of some weights").unwrap();
    fails("model");
    assert_eq!(contents(&place.join("model")), before);
    std::fs::create_dir(place.join("empty")).unwrap();
    fails("empty");
    fails("none");
    assert_eq!((names(&place.join("empty")), place.join("none").exists()), (Vec::new(), false));
    assert!(names(place).iter().all(|name| !name.contains("/.") && !name.starts_with('.')), "{:?}", names(place));
}

#[test]
fn an_imported_model_that_is_being_replaced_is_the_old_one_or_the_new() {
    let place = tempfile::tempdir().unwrap();
    let [folder, other] = ["folder", "other"].map(|name| place.path().join(name));
    import(&folder, false, 1.0).unwrap();
    import(&other, false, 2.0).unwrap();
    // Where a process that was killed came to: the new weights beside the old ones, then the new card, then both.
    let next = folder.join(".model.safetensors.next");
    std::fs::copy(other.join("model.safetensors"), &next).unwrap();
    assert_eq!(imported(&folder).unwrap(), 1.0);
    std::fs::copy(other.join("imported.json"), folder.join("imported.json")).unwrap();
    assert_eq!(imported(&folder).unwrap(), 2.0);
    let half = place.path().join("half");
    copy(&folder, &half);
    std::fs::rename(&next, folder.join("model.safetensors")).unwrap();
    assert_eq!(imported(&folder).unwrap(), 2.0);
    // One that was cut off is replaced as any other, and has nothing left of it.
    import(&half, true, 3.0).unwrap();
    assert_eq!(imported(&half).unwrap(), 3.0);
    assert_eq!(names(&half), ["imported.json", "model.safetensors"]);

    // Readers and writers at once: a model is always there, and the second of two writers is told.
    let written = std::thread::scope(|scope| {
        let write = || (4..40).filter(|&weight| import(&half, true, f64::from(weight)).is_ok()).count();
        let writers = [scope.spawn(write), scope.spawn(write)];
        while !writers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert!(imported(&half).unwrap() >= 3.0);
        }
        writers.map(|writer| writer.join().unwrap()).iter().sum::<usize>()
    });
    assert!(written >= 2, "{written}");
    assert_eq!(names(&half), ["imported.json", "model.safetensors"]);
}

#[test]
fn a_run_that_is_renamed_or_replaced_while_it_runs_writes_where_it_has_the_lock() {
    let place = tempfile::tempdir().unwrap();
    let [path, away] = ["run", "away"].map(|name| place.path().join(name));
    let run = small();
    let create = |replace| RunFolder::create(&path, replace, &run.config, &run.manifest);
    let folder = create(false).unwrap();
    std::fs::rename(&path, &away).unwrap();
    folder.write_checkpoint(1, &"one").unwrap();
    assert!(matches!(RunFolder::open(&path), Err(RunError::Busy { .. })), "it has no lock there");
    finish(&folder);
    drop(folder);
    assert_eq!(names(&path).iter().filter(|name| name.starts_with('.')).count(), 0);
    RunFolder::read(&path).unwrap();
    drop(RunFolder::open(&away).unwrap());

    // Where another run began in its place meanwhile, that one has it.
    let folder = create(true).unwrap();
    std::fs::remove_dir_all(&away).unwrap();
    std::fs::rename(&path, &away).unwrap();
    let other = create(false).unwrap();
    let before = contents(&path);
    let error = folder.write_checkpoint(1, &"one").unwrap_err();
    assert!(error.to_string().contains("another folder took its place"), "{error}");
    drop(folder);
    assert_eq!(contents(&path), before, "not even its lock is another's to delete");
    drop(other);

    // The lock's file alone is no matter.
    let folder = create(true).unwrap();
    std::fs::remove_file(path.join(".lock")).unwrap();
    finish(&folder);
    assert!(matches!(RunFolder::open(&path), Err(RunError::Busy { .. })));
}

/// A training of a moment, or a sweep's.
const SHORT: [&str; 6] =
    ["--data", "embedded", "--set", "data.train_images=600", "--set", "data.validation_images=200"];

fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["train", "--backend", cpu(), "--set", "descent.epochs=2", "--quiet", "--out", out];
    [&fixed[..], &SHORT, more].concat()
}

fn sweep<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["sweep", "--backend", cpu(), "--set", "descent.epochs=2", "--quiet", "--jobs", "1", "--out", out];
    [&fixed[..], &SHORT, &["--grid", "objective.l2=0,1"], more].concat()
}

/// Kills a command after each of many moments, spread over the time that it takes, and looks at what it left; gives how many were killed before their end.
fn kills(place: &Path, arguments: &[&str], count: usize, prepare: &dyn Fn(), look: &dyn Fn()) -> usize {
    let run = |until: Option<Duration>| {
        prepare();
        let start = Instant::now();
        let mut child = command(place, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let Some(until) = until else {
            assert!(child.wait().unwrap().success(), "{arguments:?}");
            return (start.elapsed(), false);
        };
        while start.elapsed() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        (start.elapsed(), !child.wait().unwrap().success())
    };
    let (time, _) = run(None);
    look();
    let count = if all() { 10 * count } else { count };
    let moments = noise(5, count).into_iter().map(|x| (x + 1.0) / 2.0);
    moments
        .filter(|&moment| {
            let (_, is_killed) = run(Some(time.mul_f64(moment)));
            look();
            is_killed
        })
        .count()
}

#[test]
fn a_command_that_is_killed_leaves_the_old_folder_the_new_or_none() {
    let place = folder();
    let place = place.path();
    let succeeds = |arguments: &[&str]| {
        let output = call(place, arguments);
        assert_eq!(code(&output), Some(0), "{arguments:?}: {}", text(&output.stderr));
    };
    let model = |run: &str| std::fs::read(place.join(run).join("model.safetensors")).unwrap();
    succeeds(&train("whole", &[]));
    let new = |name: &'static str| move || drop(std::fs::remove_dir_all(place.join(name)));

    succeeds(&sweep("swept", &[]));
    let begun = kills(place, &train("run", &[]), 6, &new("run"), &|| {
        if place.join("run").exists() {
            succeeds(&["train", "--resume", "run", "--quiet"]);
            assert!(model("run") == model("whole"));
        }
    });
    // What was killed beside its place, the next one of that name takes.
    new("run")();
    succeeds(&train("run", &[]));
    // Another one in its place, which goes on from wherever it was killed.
    let old = || {
        let _ = std::fs::remove_dir_all(place.join("run"));
        copy(&place.join("whole"), &place.join("run"));
    };
    let replaced = kills(place, &train("run", &["--force", "--seed", "3"]), 6, &old, &|| {
        let is_whole = RunFolder::read(&place.join("run")).is_ok();
        assert!(is_whole || RunFolder::open(&place.join("run")).is_ok());
        succeeds(&train("run", &["--force", "--set", "descent.epochs=1"]));
    });
    for (run, file) in [("whole", "one.npz"), ("run", "two.npz")] {
        ask(place, &["export", run, "--out", file]);
    }
    ask(place, &["import", "one.npz", "--out", "model"]);
    let two = ["import", "two.npz", "--out", "model", "--force"];
    let imported = kills(place, &two, 12, &|| (), &|| drop(Imported::read(&place.join("model")).unwrap()));
    succeeds(&two);
    let swept = kills(place, &sweep("grid", &[]), 4, &new("grid"), &|| {
        if place.join("grid").exists() {
            succeeds(&["sweep", "--resume", "grid", "--quiet"]);
            assert!(model("grid/points/2-l2=1") == model("swept/points/2-l2=1"));
        }
    });
    let swept_again = kills(place, &sweep("grid", &["--force"]), 4, &|| (), &|| {
        succeeds(&["sweep", "--resume", "grid", "--quiet"]);
    });
    tell(&format!(
        "killed: {begun} trainings, {replaced} in another's place, {imported} imports, {swept} sweeps, {swept_again} in another's place; nothing was lost"
    ));
    let left: Vec<String> =
        names(place).into_iter().filter(|name| name.contains("/.") || name.starts_with('.')).collect();
    assert_eq!(left, Vec::<String>::new());
}

/// Each command that reads a run's folder, or an imported model's.
#[test]
fn every_command_refuses_a_folder_whose_file_was_changed_and_does_not_go_through_links() {
    let place = folder();
    let place = place.path();
    assert_eq!(code(&call(place, &train("run", &[]))), Some(0));
    ask(place, &["export", "run", "--out", "run.npz"]);
    ask(place, &["import", "run.npz", "--out", "model"]);
    ask(place, &["data", "--write-idx", "digits", "--train-images", "10", "--validation-images", "10"]);
    let digits = "digits/t10k-images-idx3-ubyte";
    let commands: [&[&str]; 5] = [
        &["predict", "FOLDER", digits],
        &["evaluate", "FOLDER", "--data", "digits"],
        &["inspect", "FOLDER"],
        &["page", "FOLDER", "--out", "page.html"],
        &["export", "FOLDER", "--out", "again.npz"],
    ];
    for (folder, name) in [
        ("run", "config.toml"),
        ("run", "manifest.json"),
        ("run", "history.json"),
        ("run", "model.safetensors"),
        ("run", "summary.json"),
        ("model", "imported.json"),
        ("model", "model.safetensors"),
    ] {
        let path = place.join(folder).join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut turned = whole.clone();
        *turned.iter_mut().rfind(|byte| byte.is_ascii_digit()).unwrap() ^= 1;
        for command in commands {
            let command: Vec<&str> = command.iter().map(|&word| if word == "FOLDER" { folder } else { word }).collect();
            std::fs::write(&path, &turned).unwrap();
            is_refused(place, &command, &[name]);
        }
        std::fs::write(&path, whole).unwrap();
    }
    #[cfg(unix)]
    for (link, arguments) in [
        ("run/.lock", &["train", "--resume", "run", "--quiet"][..]),
        ("run/.lock", &train("run", &["--force"])),
        ("run/checkpoint", &["train", "--resume", "run", "--quiet"]),
        ("run/checkpoint", &train("run", &["--force"])),
        ("model/.lock", &["import", "run.npz", "--out", "model", "--force"]),
    ] {
        for (target, is_symbolic) in [("victim", true), ("nowhere", true), ("victim", false)] {
            std::fs::write(place.join("victim"), "process 1").unwrap();
            let link = place.join(link);
            if is_symbolic {
                std::os::unix::fs::symlink(place.join(target), &link).unwrap();
            } else {
                std::fs::hard_link(place.join(target), &link).unwrap();
            }
            is_refused(place, arguments, &[link.file_name().unwrap().to_str().unwrap()]);
            assert_eq!(std::fs::read_to_string(place.join("victim")).unwrap(), "process 1");
            assert!(!place.join("nowhere").exists());
            std::fs::remove_file(link).unwrap();
        }
    }
}
