//! Reads an experiment and applies the command line options to it.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use chainrule_core::TrainConfig;
use chainrule_records::{ConfigFile, RunFolder, check_override};
use clap::ValueEnum;

use crate::builtin;
use crate::missing::{ConfigKind, check_config_exists};
use crate::options::{OverrideOptions, TableOptions};

/// Returns the checked config: the experiment's file, or the config of the resumed run, with the
/// command line's overrides.
pub(crate) fn config(
    config_path: Option<&Path>,
    override_options: &OverrideOptions,
    table: &TableOptions,
    resumed: Option<&RunFolder>,
) -> Result<TrainConfig> {
    check_overrides(override_options, config_path)?;
    let overrides = overrides(override_options, table);
    if let (None, Some(run)) = (config_path, resumed) {
        let name = run.path().join("config.toml").display().to_string();
        return Ok(TrainConfig::parse(&name, &run.config().to_toml(), &overrides)?);
    }
    let Experiment { file, text } = read(config_path)?;
    Ok(TrainConfig::parse_overridden(&file, &text, &overrides)?)
}

/// The text of an experiment.
pub(crate) struct Experiment {
    /// Its name in error messages.
    pub(crate) file: String,
    pub(crate) text: String,
}

/// Reads an experiment: a file, or a built-in one if there is no such file.
pub(crate) fn read(config_path: Option<&Path>) -> Result<Experiment> {
    let path = config_path.unwrap_or(Path::new(builtin::DEFAULT));
    let builtin_text = builtin::text(path.to_str().unwrap_or_default());
    if let Some(text) = builtin_text.filter(|_| config_path.is_none() || path.symlink_metadata().is_err()) {
        return Ok(Experiment { file: path.display().to_string(), text: text.to_owned() });
    }
    check_config_exists(path, ConfigKind::Experiment)?;
    Ok(Experiment { file: path.display().to_string(), text: TrainConfig::read_text(path)? })
}

/// Refuses a `--set` without a value. Its value may have been taken for the experiment's file.
pub(crate) fn check_overrides(override_options: &OverrideOptions, config: Option<&Path>) -> Result<()> {
    match (override_options.overrides.iter().find(|set| !set.contains('=')), config) {
        (Some(set), Some(value)) if !value.exists() => {
            bail!("--set {set}: expected key=value; write --set {set}={}", value.display())
        }
        _ => {
            let checked = override_options.overrides.iter().try_for_each(|set| check_override(set));
            checked.map_err(|error| anyhow!("--set {error}"))
        }
    }
}

/// Returns all overrides: `--set` in order, then the named options.
pub(crate) fn overrides(override_options: &OverrideOptions, table: &TableOptions) -> Vec<String> {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let data = override_options.data.source.as_deref().map(|source| format!("data.source={}", quoted(source)));
    let label = table.label.as_deref().map(|label| format!("data.label={}", quoted(label)));
    let validation = table.validation.map(|fraction| format!("data.validation_fraction={fraction:?}"));
    overrides_without_data(override_options)
        .into_iter()
        .chain([data, label, validation].into_iter().flatten())
        .chain(table.text.overrides())
        .collect()
}

/// Like [`overrides`] without the source of the data.
pub(crate) fn overrides_without_data(override_options: &OverrideOptions) -> Vec<String> {
    let mut overrides = override_options.overrides.clone();
    let mut set = |key: &str, value: Option<String>| overrides.extend(value.map(|value| format!("{key}={value}")));
    set("descent.gradient", override_options.gradient.map(|gradient| name(&gradient)));
    set("descent.precision", override_options.precision.map(|precision| name(&precision)));
    set("descent.shuffle.seed", override_options.seed.map(|seed| seed.to_string()));
    overrides
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
