//! A run folder in which one file has these bytes, with valid seals. The first byte selects the
//! file.

use std::path::Path;

use chainrule_core::{ModelKind, Parameters, Precision, Preprocessing};
use chainrule_records::{RunFiles, RunFolder, read_parameters, seal_json, write_weights};

use super::{assert_one_line, records};

const FILES: [&str; 5] = ["config.toml", "history.json", "manifest.json", "summary.json", "model.safetensors"];

/// The valid content of the files.
fn files() -> [Vec<u8>; 5] {
    let config = b"[data]\nsource = \"embedded\"\n[model]\nkind = \"softmax\"\n".to_vec();
    let [history, manifest, summary] = records::of_a_run();
    let weight = (0..18).map(|i| f64::from(i) / 4.0).collect();
    let parameters = Parameters { n_features: 6, columns: 3, weight, bias: vec![0.0, 1.0, -1.0] };
    [config, history, manifest, summary, write_weights(&parameters, Precision::F32, &Preprocessing::Raw)]
}

/// Writes the files into a folder, with valid seals for every document that can have one.
pub fn write(folder: &Path, [config, history, manifest, summary, model]: &[Vec<u8>; 5]) {
    // Adds a first member to a JSON object.
    let with = |document: &[u8], name: &str, value: &str| {
        let Some(rest) = document.trim_ascii().strip_prefix(b"{").filter(|rest| rest.ends_with(b"}")) else {
            return document.to_vec();
        };
        let document = [format!("{{\"{name}\": {value}, ").as_bytes(), rest].concat();
        String::from_utf8(document).map_or_else(std::string::FromUtf8Error::into_bytes, |document| seal_json(&document))
    };
    let text = serde_json::to_string(&String::from_utf8_lossy(config)).expect("a string is JSON");
    let manifest = with(manifest, "config", &text);
    let files = [config, history, &manifest, model];
    let names = ["config.toml", "history.json", "manifest.json", "model.safetensors"];
    let seals: Vec<String> = names
        .iter()
        .zip(files)
        .map(|(name, file)| format!("{name:?}: {:?}", chainrule_data::sha256([file.as_slice()])))
        .collect();
    let summary = with(summary, "files", &format!("{{{}}}", seals.join(", ")));
    for (name, content) in FILES.iter().zip([config, history, &manifest, &summary, model]) {
        std::fs::write(folder.join(name), content).expect("a file");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    (0u8..).zip(files()).map(|(which, content)| [&[which][..], &content].concat()).collect()
}

pub fn check(bytes: &[u8]) {
    let Some((&which, hostile)) = bytes.split_first() else { return };
    let which = usize::from(which) % FILES.len();
    let folder = tempfile::tempdir().expect("a folder");
    let mut content = files();
    content[which] = hostile.to_vec();
    write(folder.path(), &content);
    match RunFolder::read(folder.path()) {
        Ok(run) => check_run(&run, &folder.path().join("again")),
        Err(error) => {
            let message = error.to_string();
            assert_one_line(&message);
            assert!(message.contains(FILES[which]), "{message:?} does not name {}", FILES[which]);
        }
    }
}

/// The run is consistent and does not change when written and read again.
fn check_run(run: &RunFiles, again: &Path) {
    let data = &run.summary.data;
    let columns = if run.summary.model == ModelKind::Logistic { 1 } else { data.classes.len() };
    assert_eq!(Some(run.parameters.n_features), data.image_size[0].checked_mul(data.image_size[1]));
    assert_eq!((run.parameters.columns, run.config.model().kind), (columns, run.summary.model));

    // The weights are written in the config's precision. They may not be finite there.
    let written = write_weights(&run.parameters, run.config.descent().precision, &Preprocessing::Raw);
    let Ok(parameters) = read_parameters(&written) else { return };
    let folder = RunFolder::create(again, false, &run.config, &run.manifest).expect("a new folder");
    let summary = folder.finish(&run.history, &parameters, &run.preprocessing, run.summary.clone()).expect("files");
    assert_eq!(RunFolder::read(again).expect("what was written"), RunFiles { parameters, summary, ..run.clone() });
}
