//! The name, checksums and schema of a data set.

use chainrule_core::{Class, DataFile, DataKind, Schema, UnusedFiles};

use crate::readers::{self, PICTURES};
use crate::{Data, Tables, sha256_of_files};

/// The name and checksums of a data set.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The name.
    pub name: String,
    /// The files.
    pub files: Vec<DataFile>,
    /// The files of the data folder that are not used.
    pub unused: UnusedFiles,
}

impl Provenance {
    /// Returns the provenance of images.
    pub fn of_images(data: &Data) -> Self {
        let files = data.files().into_iter().map(|(name, sha256)| DataFile { name, sha256 }).collect();
        Self { name: data.origin.to_string(), files, unused: data.unused.clone() }
    }

    /// Returns the provenance of tables.
    pub fn of_tables(tables: &Tables) -> Self {
        let file = |file: &crate::table::TableFile| DataFile { name: file.name.clone(), sha256: file.sha256.clone() };
        let files = tables.files.iter().map(file).collect();
        Self { name: tables.origin.to_string(), files, unused: tables.unused.clone() }
    }

    /// Returns the whole data set as one file entry.
    pub fn as_file(&self) -> DataFile {
        DataFile { name: self.name.clone(), sha256: self.sha256() }
    }

    /// Returns one checksum of the data set.
    pub fn sha256(&self) -> String {
        sha256_of_files(&self.files.iter().map(|file| file.sha256.clone()).collect::<Vec<_>>())
    }
}

/// Returns the schema of images with these labels.
pub fn schema_of_images(data: &Data, labels: Vec<u8>) -> Schema {
    let (height, width) = data.train.size();
    let (kind, class): (_, &dyn Fn(u8) -> Class) = match data.pictures {
        Some(_) => (DataKind::Pictures, &|label| Class::Name(data.class_name(label))),
        None => (DataKind::Images, &Class::Number),
    };
    let classes = labels.into_iter().map(class).collect();
    Schema { kind, image_size: [height, width], features: Vec::new(), recipe: None, classes }
}

/// Returns the schema of a table.
pub fn schema_of_tables(tables: &Tables) -> Schema {
    Schema {
        kind: DataKind::Table,
        image_size: [1, tables.recipe.n_features()],
        features: tables.recipe.feature_names(),
        recipe: Some(tables.recipe.clone()),
        classes: tables.classes.iter().cloned().map(Class::Name).collect(),
    }
}

/// Returns a message that lists the unused files of the data folder, if any.
pub fn unused_message(unused: &UnusedFiles, are_pictures: bool) -> Option<String> {
    let why = match are_pictures {
        true => format!(" (only {} files in a class folder are used)", readers::names(PICTURES, "and")),
        false => String::new(),
    };
    (!unused.files.is_empty()).then(|| format!("not used: {}{why}", unused.summary().join("; ")))
}
