//! The exact bits of small trainings, to detect unintended changes. `fixtures/numerics.json` has
//! them for each known kind of processor and for one version of the numerics.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::PathBuf;

use burn::tensor::Device;
use chainrule::backend::Backend;
use chainrule_core::{History, Preprocessing};
use chainrule_data::{Rows, sha256};
use chainrule_engines::{Examples, Expansion, train_model_by_tensors};
use chainrule_kernels::Isa;
use chainrule_solve::{FusedRows, NUMERICS_VERSION, train_fused};
use chainrule_tests_macros::test;
use serde::{Deserialize, Serialize};

use crate::support::{Fit, digits, experiment, fit, skip, uniform};

#[derive(Default, Serialize, Deserialize)]
struct Golden {
    /// The version of the numerics.
    numerics: u32,
    /// The digest of each training's result, by processor and backend.
    digests: BTreeMap<String, BTreeMap<String, String>>,
}

/// The trainings: an experiment of `configs/` with settings. Together they cover every gradient
/// source, optimizer, schedule, shuffle, precision and solver.
const TRAININGS: [(&str, &[&str]); 14] = [
    ("softmax.toml", &["descent.gradient=fused"]),
    ("softmax.toml", &["descent.gradient=fused", "descent.precision=f64", "descent.drop_last=false"]),
    ("softmax.toml", &["descent.gradient=closed-form", "descent.drop_last=false"]),
    ("softmax.toml", &["descent.gradient=closed-form", "descent.precision=f64", "descent.schedule=linear"]),
    ("softmax.toml", &["descent.gradient=autodiff", "descent.shuffle.generator=chacha", "descent.shuffle.seed=5"]),
    ("softmax.toml", &["descent.momentum=0.9", "objective.class_weights=balanced", "descent.schedule=cosine"]),
    ("softmax.toml", &["descent.optimizer=adam", "descent.schedule=exponential", "descent.gamma=0.5"]),
    ("softmax.toml", &["descent.optimizer=adamw", "descent.decoupled_weight_decay=0.1"]),
    ("softmax.toml", &["descent.optimizer=rmsprop", "descent.shuffle.generator=none", "objective.l2=0.01"]),
    ("softmax.toml", &["descent.optimizer=adagrad", "early_stopping.restore_best=true"]),
    ("logistic.toml", &["descent.gradient=fused", "objective.l2=0.01", "objective.penalize_bias=true"]),
    ("logistic-shuffled.toml", &["descent.gradient=autodiff", "descent.precision=f64"]),
    ("softmax-optimum.toml", &["descent.gradient=fused", "objective.l2=0.1"]),
    ("softmax-optimum.toml", &["descent.gradient=closed-form", "objective.l2=0.1"]),
];

/// The settings that all share. The epochs are set separately.
const FAST_SETTINGS: [&str; 3] = ["data.train_images=330", "data.validation_images=100", "descent.batch_size=32"];

#[test]
fn the_bits_match_the_version_of_the_numerics() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/numerics.json"));
    let mut golden: Golden =
        std::fs::read(&path).map(|bytes| serde_json::from_slice(&bytes).unwrap()).unwrap_or_default();
    assert!(
        golden.numerics <= NUMERICS_VERSION,
        "{} is of a later version than NUMERICS_VERSION, {NUMERICS_VERSION}",
        path.display()
    );
    let backends = [Backend::Flex, Backend::Ndarray].into_iter().filter(Backend::is_built);
    let actual: BTreeMap<String, BTreeMap<String, String>> =
        backends.map(|backend| (place(&backend), digests(&backend.device().unwrap()))).collect();
    if std::env::var_os("CHAINRULE_RENEW").is_some() {
        if golden.numerics < NUMERICS_VERSION {
            golden = Golden { numerics: NUMERICS_VERSION, ..Golden::default() };
        }
        for (place, digests) in &actual {
            let known = golden.digests.entry(place.clone()).or_default();
            assert_eq!(changed(known, digests), no_names(), "raise NUMERICS_VERSION, and renew again");
            known.clone_from(digests);
        }
        std::fs::write(&path, serde_json::to_string_pretty(&golden).unwrap() + "\n").unwrap();
    }
    assert_eq!(golden.numerics, NUMERICS_VERSION, "CHAINRULE_RENEW=1 notes the bits of the new version");
    let unknown: Vec<&str> =
        actual.keys().filter(|place| !golden.digests.contains_key(*place)).map(String::as_str).collect();
    for (place, digests) in &actual {
        let Some(known) = golden.digests.get(place) else { continue };
        assert_eq!(
            changed(known, digests),
            no_names(),
            "on {place} these come to other bits: raise chainrule_solve::NUMERICS_VERSION where that is meant, \
             and note them with CHAINRULE_RENEW=1"
        );
        assert_eq!(known.keys().collect::<Vec<_>>(), digests.keys().collect::<Vec<_>>(), "CHAINRULE_RENEW=1 adds them");
    }
    if !unknown.is_empty() {
        skip(&format!("no bits are noted for {}", unknown.join(" and ")));
    }
}

fn no_names() -> Vec<String> {
    Vec::new()
}

/// Returns the trainings whose bits differ from the known ones.
fn changed(known: &BTreeMap<String, String>, actual: &BTreeMap<String, String>) -> Vec<String> {
    let is_other = |name: &&String| known.get(*name).is_some_and(|digest| *digest != actual[*name]);
    actual.keys().filter(is_other).cloned().collect()
}

/// Describes everything else that the bits depend on: vector instructions, the C library and, where
/// matrix products are split by the sizes of the caches, these.
fn place(backend: &Backend) -> String {
    let (os, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    let library = if cfg!(target_env = "gnu") { " with glibc" } else { "" };
    let caches = if *backend == Backend::Flex { caches() } else { String::new() };
    format!("{} on {os}{library}, {processor}, {}{caches}", backend.name(), Isa::best())
}

/// The sizes of the processor's caches, where Linux tells them.
fn caches() -> String {
    let of = |index: u32| std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size")).ok();
    (0..4).filter_map(of).map(|size| format!(", {}", size.trim())).collect()
}

fn digests(device: &Device) -> BTreeMap<String, String> {
    let data = digits(330, 100);
    let mut digests = BTreeMap::new();
    for (config, settings) in TRAININGS {
        let epochs: &[&str] = if config == "softmax-optimum.toml" { &[] } else { &["descent.epochs=4"] };
        let fit = fit(&experiment(config, &[&FAST_SETTINGS[..], epochs, settings].concat()), &data, device, &mut ());
        digests.insert(format!("{config} {}", settings.join(" ")), digest_of(&fit));
    }
    for (config, setting) in [("softmax.toml", "descent.epochs=4"), ("softmax-optimum.toml", "objective.l2=0.02")] {
        let [tensors, kernels] = on_a_table(config, setting, device);
        digests.insert(format!("a table by {config} {setting}"), tensors);
        digests.insert(format!("a table by kernels, {config} {setting}"), kernels);
    }
    digests
}

/// Trains on standardised numbers, by tensors and by kernels.
fn on_a_table(config: &str, setting: &str, device: &Device) -> [String; 2] {
    let (n, d, k) = (300, 4, 3);
    let values: Vec<f64> =
        (0..n * d).zip(uniform(1, n * d)).map(|(i, x)| x * [1.0, 10.0, 100.0, 1000.0][i % d]).collect();
    let rows = Rows::of_values(d, &values, (0..n).map(|i| (i * i % k) as u16).collect());
    let config = experiment(config, &[setting, "data.standardize=true"]);
    let standardized = Preprocessing::Standardized(rows.moments().unwrap());
    let (link, precision) = (config.model().kind.link(k), config.descent().precision);
    let examples = Examples::new(rows.clone(), &standardized, precision, device, Expansion::Host).unwrap();
    let tensors = train_model_by_tensors(link.columns(), &examples, &examples, &config, &mut ()).unwrap();
    let packed = FusedRows::for_solver(rows, &standardized, precision, config.descent().solver).unwrap();
    let kernels = train_fused(&link, &packed, &packed, &config, NonZero::<usize>::MIN, &mut ()).unwrap();
    [tensors, kernels]
        .map(|trained| digest(&trained.history, &[trained.parameters.weight, trained.parameters.bias].concat()))
}

fn digest_of(fit: &Fit) -> String {
    let metrics = &fit.final_metrics;
    let ends = [metrics.train_loss, metrics.validation_loss, metrics.train_accuracy, metrics.validation_accuracy];
    digest(&fit.history, &[&fit.weight[..], &fit.bias, &ends].concat())
}

fn digest(history: &History, numbers: &[f64]) -> String {
    let evaluations = history.evaluations.iter().map(|evaluation| &evaluation.validation_loss);
    let all = history.train_loss.iter().chain(evaluations).chain(numbers);
    let mut digest = sha256([&all.flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()[..]]);
    digest.truncate(16);
    digest
}
