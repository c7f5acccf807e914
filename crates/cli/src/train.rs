//! `chainrule train`.

use std::num::NonZero;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use chainrule_data::{Request, find_within};
use chainrule_records::RunFolder;
use chainrule_training::{Ending, most_steps};

use crate::options::TrainOptions;
use crate::progress::{Progress, catch_interrupts};
use crate::run::{Machine, Rows, Source, all_threads, manifest, run};
use crate::{exit, experiment, is_watched, print, print_json, say, table};

/// Trains the experiment that the options describe. Everything that can be refused is refused before a file is written.
pub(crate) fn train(options: &TrainOptions) -> Result<u8> {
    let start = Instant::now();
    let threads = options.threads.and_then(|threads| NonZero::new(threads.into())).unwrap_or_else(all_threads);
    let machine = Machine::new(options.backend.as_ref(), threads)?;
    let config = machine.settle(experiment::config(options)?)?;

    let mut tell = |line: &str| {
        if !options.output.quiet {
            say(line);
        }
    };
    let request = Request::from(config.data().source.as_str());
    let data = find_within(&request, experiment::digits_to_draw(&config), config.data().resident_bytes, &mut tell)?;
    let source = Source::new(&data);
    let rows = Rows::new(&config, &data, &source, &machine)?;
    // The files' bytes are no longer needed: what is trained on goes to the device.
    drop(data);
    let about = rows.about().clone();
    let steps = most_steps(&config, about.train)?;

    let folder = match &options.out {
        Some(out) => RunFolder::create(out, options.force)?,
        None => RunFolder::create_numbered(Path::new("runs"), config.experiment())?,
    };
    folder.write_config(&config)?;
    folder.write_manifest(&manifest(&config, &machine, &source))?;
    tell(&format!("data: {}, {} training and {} validation rows", about.source, about.train, about.validation));

    catch_interrupts();
    let rows = rows.load(&config, &machine);
    if let Some(kernels) = rows.kernels(&machine) {
        tell(&kernels);
    }
    let mut progress = Progress::new(steps, !options.output.quiet && is_watched());
    let result = run(&config, &machine, &rows, &folder, start, &mut progress);
    progress.finish();
    let (summary, ending) = result?;

    if options.output.json {
        print_json(&summary);
    } else {
        print(&table::closing(&summary, folder.path()));
    }
    Ok(match ending {
        Ending::Interrupted => exit::INTERRUPTED,
        // A minimum was asked for, and what was found is not proven to be one.
        _ if summary.certificate.is_some_and(|certificate| !certificate.holds()) => exit::CHECK,
        _ => exit::DONE,
    })
}
