//! `chainrule data`: shows, downloads or writes data.

use std::iter::repeat;
use std::path::Path;

use anyhow::Result;
use chainrule_core::{DataConfig, Recipe, TextOptions, UnusedFile, UnusedFiles, align_left, display_width, shortest};
use chainrule_data::table::{ColumnSummary, TableSummary};
use chainrule_data::{
    Counts, Data, DataError, Fact, Images, ReadAs, Request, digits, inspect_source, mnist, sha256_of_files,
    unused_message,
};
use serde::Serialize;

use crate::exit;
use crate::options::DataOptions;
use crate::output::{Lines, print_json, print_message};
use crate::table_defaults;

/// What `chainrule data` reports for images.
#[derive(Serialize)]
struct About {
    source: String,
    cache_folder: String,
    sha256: String,
    height: usize,
    width: usize,
    files: Vec<AboutFile>,
    /// Files of the folder that are not used.
    unused: Vec<UnusedFile>,
    /// The number of further unused files.
    unused_left_out: usize,
}

#[derive(Serialize)]
struct AboutFile {
    name: String,
    /// The number of images or labels. For a folder of pictures, the number of its class.
    count: usize,
    sha256: String,
    is_mnist: bool,
}

/// What `chainrule data` reports for tables.
#[derive(Serialize)]
struct AboutTables {
    tables: Vec<AboutTableFile>,
    /// What the columns become in a training on all rows of the first table.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<Recipe>,
    /// Files of the folder that are not used.
    unused: Vec<UnusedFile>,
    /// The number of further unused files.
    unused_left_out: usize,
}

#[derive(Serialize)]
struct AboutTableFile {
    file: String,
    #[serde(flatten)]
    about: TableSummary,
}

/// Shows, downloads or writes data.
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
    let label = options.label.as_deref().or_else(|| request.default_label());
    if let Some(weight) = options.weight.as_deref().filter(|weight| Some(*weight) == label) {
        anyhow::bail!("--weight {weight}: it names the label column; name one of weights");
    }
    let text = options.text.or(TextOptions::default());
    let resident_bytes = DataConfig::default().resident_bytes;
    if let Some(inspected) = request.summarize_tables(text, resident_bytes)? {
        let tables = inspected.files.into_iter().map(|(file, about)| AboutTableFile { file, about }).collect();
        let UnusedFiles { files, left_out } = inspected.unused.clone();
        // A summary can be made of any table, a recipe only of one that fits into memory.
        let weight = options.weight.as_deref();
        let recipe = request.learn_recipe(label, weight, text, resident_bytes);
        let (recipe, problem) = match recipe {
            Ok(recipe) => (recipe, None),
            // A column that is not there is a mistake of the command line.
            Err(problem) if label.is_some() || weight.is_some() => return Err(problem.into()),
            Err(problem) => (None, Some(problem.to_string())),
        };
        let about = AboutTables { tables, recipe, unused: files, unused_left_out: left_out };
        if options.output.json {
            print_json(&about)?;
        } else {
            describe_tables(&about, problem.as_deref(), &inspected.unused, label, weight).print()?;
        }
        return Ok(exit::SUCCESS);
    }
    let data = inspect_source(&request, counts, &mut |line| {
        if !options.output.quiet {
            print_message(line);
        }
    })?;
    let about = about(&data);
    if options.output.json {
        print_json(&about)?;
    } else {
        describe(&about, &data).print()?;
    }
    Ok(exit::SUCCESS)
}

fn write_digits(folder: &Path, seed: u64, counts: Counts) -> Result<()> {
    let names = mnist::FILES.map(|file| folder.join(file.name));
    // A dangling link counts as existing, too.
    if let Some(path) = names.iter().find(|path| path.symlink_metadata().is_ok()) {
        anyhow::bail!("{} exists already; name another folder with --write-idx", path.display());
    }
    std::fs::create_dir_all(folder).map_err(|problem| DataError::Write { path: folder.to_owned(), problem })?;
    Ok(digits::write_both(seed, counts, &names)?)
}

fn about(data: &Data) -> About {
    let (height, width) = data.train.size();
    let checksums = data.file_checksums();
    let sha256 = sha256_of_files(&checksums);
    let counts: Vec<usize> = match &data.pictures {
        None => {
            [&data.train, &data.train, &data.validation, &data.validation].map(|images| images.labels().len()).into()
        }
        Some(pictures) => pictures.counts.clone(),
    };
    let files = data.files().into_iter().zip(counts).zip(mnist::FILES.iter().map(Some).chain(repeat(None)));
    let files = files.map(|(((name, sha256), count), file)| AboutFile {
        is_mnist: file.is_some_and(|file| sha256 == file.sha256),
        name,
        count,
        sha256,
    });
    About {
        source: data.origin.to_string(),
        cache_folder: mnist::cache_folder().display().to_string(),
        sha256,
        height,
        width,
        files: files.collect(),
        unused: data.unused.files.clone(),
        unused_left_out: data.unused.left_out,
    }
}

fn describe(about: &About, data: &Data) -> Lines {
    let mut lines = Lines::default();
    lines.add(format!("source  {}", about.source));
    lines.add(format!("cache   {}", about.cache_folder));
    let size_note =
        if data.pictures.is_some() { ", the default size of pictures; data.image_size sets another" } else { "" };
    lines.add(format!("images  {} x {} grey levels{size_note}", about.height, about.width));
    lines.add(format!(
        "sha256  {} (of the {} below)",
        about.sha256,
        if data.pictures.is_some() { "folders" } else { "four" }
    ));
    let first = about.files.iter().map(|file| display_width(&file.name)).max().unwrap_or_default().max(24);
    for file in &about.files {
        let is_mnist = match (&data.pictures, file.is_mnist) {
            (Some(_), _) => "pictures",
            (None, true) => "MNIST's",
            (None, false) => "not MNIST's",
        };
        lines.add(format!("{} {:>6}  {}  {is_mnist}", align_left(&file.name, first), file.count, file.sha256));
    }
    for (name, images) in [("training", &data.train), ("validation", &data.validation)] {
        lines.add(format!("{name:<11} of each label: {}", label_counts(images, data)));
    }
    if let Some(message) = unused_message(&data.unused, data.pictures.is_some()) {
        lines.add(message);
    }
    lines
}

fn describe_tables(
    about: &AboutTables,
    problem: Option<&str>,
    unused: &UnusedFiles,
    label: Option<&str>,
    weight: Option<&str>,
) -> Lines {
    let mut lines = Lines::default();
    for AboutTableFile { file, about } in &about.tables {
        lines.add(format!("source  {file}"));
        let ReadAs { format, facts, notes, .. } = &about.read_as;
        lines.add(format!("format  {format}"));
        for Fact { what, is, why, .. } in facts {
            lines.add(format!("        {what}: {is} ({why})"));
        }
        notes.iter().for_each(|note| lines.add(format!("        {note}")));
        lines.add(format!("rows    {}", about.rows));
        if let Some(message) = about.read_as.skipped_message() {
            lines.add(format!("        {message}"));
        }
        lines.add(format!("sha256  {}", about.sha256));
        let first = about.columns.iter().map(|column| display_width(&column.name)).max().unwrap_or_default().max(6);
        let shown = |number: Option<f64>| number.map(shortest).unwrap_or_default();
        let of_column = |column: &ColumnSummary| [shown(column.smallest), shown(column.largest)];
        let range: Vec<[String; 2]> = about.columns.iter().map(of_column).collect();
        let last = range.iter().flatten().map(String::len).max().unwrap_or_default().max(12);
        lines.add(format!(
            "{:<first$} {:>9} {:>9} {:>9} {:>last$} {:>last$} {:>9}",
            "column", "numbers", "missing", "texts", "smallest", "largest", "distinct"
        ));
        for (column, [smallest, largest]) in about.columns.iter().zip(&range) {
            let ColumnSummary { name, numbers, missing, texts, different, .. } = column;
            if let Some(entries) = column.entries {
                let noun = if entries == 1 { "entry" } else { "entries" };
                let values =
                    if entries == 0 { String::new() } else { format!(", values from {smallest} to {largest}") };
                lines.add(format!("{} {entries} {noun} INDEX:VALUE{values}", align_left(name, first)));
                continue;
            }
            let different = different.map_or_else(|| "over 256".to_owned(), |count| count.to_string());
            let name = align_left(name, first);
            lines.add(format!(
                "{name} {numbers:>9} {missing:>9} {texts:>9} {smallest:>last$} {largest:>last$} {different:>9}"
            ));
        }
    }
    if let Some(message) = unused_message(unused, false) {
        lines.add(message);
    }
    if let Some(recipe) = &about.recipe {
        lines.empty_line();
        lines.add("Features of a training on all rows:");
        let config = DataConfig { weight: weight.map(str::to_owned), ..DataConfig::default() };
        table_defaults::describe(recipe, Some(&config)).into_iter().for_each(|line| lines.add(line));
    }
    if let Some(problem) = problem {
        lines.add(format!("No features: {problem}"));
    }
    if label.is_none() {
        lines.add("Name the label column with --label COLUMN, here and for train. All other columns become features, except those of data.ignore, data.group and data.weight.");
    }
    lines
}

fn label_counts(images: &Images, data: &Data) -> String {
    let mut counts = [0usize; 256];
    for &label in images.labels() {
        counts[usize::from(label)] += 1;
    }
    let present = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    present.map(|(label, count)| format!("{}: {count}", data.class_name(label as u8))).collect::<Vec<_>>().join(", ")
}
