//! From the command line to what a run needs: a checked config, a device, data.

use std::path::PathBuf;

use anyhow::Result;
use chainrule_data::Request;
use chainrule_records::TrainConfig;
use clap::ValueEnum;

use crate::options::TrainOptions;

/// The experiment that the options describe: its file, then `--set` in order, then the options that have names.
pub(crate) fn config(options: &TrainOptions) -> Result<TrainConfig> {
    let mut overrides = options.overrides.clone();
    let mut set = |key: &str, value: Option<String>| overrides.extend(value.map(|value| format!("{key}={value}")));
    let quoted = |text: &str| toml::Value::from(text).to_string();
    set("data.source", options.data.source.as_deref().map(quoted));
    set("descent.gradient", options.gradient.map(|gradient| name(&gradient)));
    set("descent.precision", options.precision.map(|precision| name(&precision)));
    set("descent.shuffle.seed", options.seed.map(|seed| seed.to_string()));
    Ok(TrainConfig::read(&options.config, &overrides)?)
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What `--data` and `data.source` may say.
pub(crate) fn request(source: &str) -> Request {
    match source {
        "auto" => Request::Auto,
        "mnist" => Request::Mnist,
        "embedded" => Request::Embedded,
        folder => Request::Folder(PathBuf::from(folder)),
    }
}
