//! An experiment. Below a line of three dashes are the `--set` options, one per line.

use chainrule_core::TrainConfig;
use chainrule_records::ConfigFile;

use super::assert_one_line;

pub fn seeds() -> Vec<Vec<u8>> {
    let every_key = "experiment = \"mine\"\n[data]\nsource = \"embedded\"\ntrain_images = 20\nvalidation_images = 10\n\
                     classes = [2, 3]\nresident_bytes = 1000\n[model]\nkind = \"logistic\"\n[objective]\nl2 = 0.5\n\
                     penalize_bias = true\nclass_weights = [0.5, 2.0]\n[descent]\nsolver = \"sgd\"\ngradient = \"closed-form\"\nprecision = \"f64\"\n\
                     learning_rate = 0.05\nbatch_size = 8\ndrop_last = true\nepochs = 3\n[descent.shuffle]\ngenerator = \"numpy-legacy\"\n\
                     seed = 4\nskip_epochs = 1\n[early_stopping]\nevaluations_per_epoch = 5\npatience = 10\n\
                     restore_best = true\n";
    let optimum = "[model]\nkind = 'softmax'\n[objective]\nl2 = 1e-3\n[descent]\nsolver = 'lbfgs'\n[optimum]\n\
                   tolerance = 1e-6\nmax_iterations = 100\nmemory = 10\nevaluate_every = 2\n";
    let overridden = "[model]\nkind = \"softmax\"\n---\ndescent.epochs=3\nobjective.l2 = 1e-2\ndata.classes=[1, 2, 3]\n\
                      descent.shuffle.generator=none\nexperiment=other\n";
    [every_key, optimum, overridden].map(|text| text.as_bytes().to_vec()).into()
}

pub fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (text, overrides) = text.split_once("\n---\n").unwrap_or((text, ""));
    let overrides: Vec<String> = overrides.lines().map(str::to_owned).collect();
    match TrainConfig::parse("hostile.toml", text, &overrides) {
        Ok(config) => {
            let written = config.to_toml();
            assert_eq!(TrainConfig::parse("other.toml", &written, &[]).expect("what was written"), config);
            // A folder gets this name.
            let name = config.experiment();
            assert!(!name.starts_with('.') && !name.contains(['/', '\\', ':', '\0']), "{name:?}");
        }
        Err(error) => assert_one_line(&error.to_string()),
    }
}
