//! `chainrule data`.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use burn_dataset::Dataset;
use chainrule_data::{Counts, Data, DataError, Images, Request, digits, find_within, mnist, sha256_of_files};
use chainrule_records::DataConfig;
use serde::Serialize;

use crate::options::DataOptions;
use crate::{exit, print, print_json, say};

/// What `chainrule data` says of a data set.
#[derive(Serialize)]
struct About {
    source: String,
    cache_folder: String,
    sha256: String,
    height: usize,
    width: usize,
    files: Vec<AboutFile>,
}

#[derive(Serialize)]
struct AboutFile {
    name: &'static str,
    count: usize,
    sha256: String,
    is_mnist: bool,
}

/// Shows, fetches or writes data.
pub(crate) fn data(options: &DataOptions) -> Result<u8> {
    let counts = Counts { train: options.train_images as usize, validation: options.validation_images as usize };
    if let Some(folder) = &options.write_idx {
        write_digits(folder, options.seed, counts)?;
    }
    let request = match (&options.write_idx, options.fetch) {
        (Some(folder), _) => Request::Folder(folder.clone()),
        (None, true) => Request::Mnist,
        (None, false) => Request::from(options.data.source.as_deref().unwrap_or("auto")),
    };
    // Of large files only the labels and the checksum are wanted.
    let resident_bytes = DataConfig::default().resident_bytes;
    let data = find_within(&request, counts, resident_bytes, &mut |line| {
        if !options.output.quiet {
            say(line);
        }
    })?;
    let about = about(&data);
    if options.output.json {
        print_json(&about);
    } else {
        print(&describe(&about, &data));
    }
    Ok(exit::DONE)
}

fn write_digits(folder: &Path, seed: u64, counts: Counts) -> Result<()> {
    let names = mnist::FILES.map(|file| folder.join(file.name));
    if let Some(path) = names.iter().find(|path| path.exists()) {
        anyhow::bail!("{} exists already; name another folder with --write-idx", path.display());
    }
    std::fs::create_dir_all(folder).map_err(|problem| DataError::Write { path: folder.to_owned(), problem })?;
    Ok(digits::write_both(seed, counts, &names)?)
}

fn about(data: &Data) -> About {
    let (height, width) = data.train.size();
    let files = [&data.train, &data.train, &data.validation, &data.validation];
    let checksums = data.file_checksums();
    let sha256 = sha256_of_files(&checksums);
    let files = mnist::FILES.iter().zip(files).zip(checksums).map(|((file, images), sha256)| AboutFile {
        name: file.name,
        count: images.len(),
        is_mnist: sha256 == file.sha256,
        sha256,
    });
    About {
        source: data.origin.to_string(),
        cache_folder: mnist::cache_folder().display().to_string(),
        sha256,
        height,
        width,
        files: files.collect(),
    }
}

fn describe(about: &About, data: &Data) -> String {
    let mut text = format!("source  {}\n", about.source);
    let mut line = |line: String| writeln!(text, "{line}").expect("writing to a String cannot fail");
    line(format!("cache   {}", about.cache_folder));
    line(format!("images  {} x {} grey levels", about.height, about.width));
    line(format!("sha256  {} (of the four below)", about.sha256));
    for file in &about.files {
        let is_mnist = if file.is_mnist { "MNIST's" } else { "not MNIST's" };
        line(format!("{:<24} {:>6}  {}  {is_mnist}", file.name, file.count, file.sha256));
    }
    for (name, images) in [("training", &data.train), ("validation", &data.validation)] {
        line(format!("{name:<11} of each label: {}", label_counts(images)));
    }
    text
}

fn label_counts(images: &Images) -> String {
    let mut counts = [0usize; 256];
    for &label in images.labels() {
        counts[usize::from(label)] += 1;
    }
    let present = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    present.map(|(label, count)| format!("{label}: {count}")).collect::<Vec<_>>().join(", ")
}
