//! What a data set is called, what its files hold, and what its rows are.

use chainrule_core::{Class, DataFile, DataKind, Schema, Unused};

use crate::readers::{self, PICTURES};
use crate::{Data, Tables, sha256_of_files};

/// A data set's name and checksums.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// What it is called.
    pub name: String,
    /// Its files.
    pub files: Vec<DataFile>,
    /// What its folder holds and is not used.
    pub unused: Unused,
}

impl Provenance {
    /// Of images.
    pub fn of_images(data: &Data) -> Self {
        let files = data.files().into_iter().map(|(name, sha256)| DataFile { name, sha256 }).collect();
        Self { name: data.origin.to_string(), files, unused: data.unused.clone() }
    }

    /// Of tables.
    pub fn of_tables(tables: &Tables) -> Self {
        let files = tables.files.iter().cloned().map(|(name, sha256)| DataFile { name, sha256 }).collect();
        Self { name: tables.origin.to_string(), files, unused: tables.unused.clone() }
    }

    /// The lot as one file.
    pub fn as_file(&self) -> DataFile {
        DataFile { name: self.name.clone(), sha256: self.sha256() }
    }

    /// One checksum for the lot.
    pub fn sha256(&self) -> String {
        sha256_of_files(&self.files.iter().map(|file| file.sha256.clone()).collect::<Vec<_>>())
    }
}

/// What rows of images with these labels are, and what the labels' classes are called.
pub fn schema_of_images(data: &Data, labels: Vec<u8>) -> Schema {
    let (height, width) = data.train.size();
    let (kind, class): (_, &dyn Fn(u8) -> Class) = match data.pictures {
        Some(_) => (DataKind::Pictures, &|label| Class::Name(data.class_name(label))),
        None => (DataKind::Images, &Class::Number),
    };
    let classes = labels.into_iter().map(class).collect();
    Schema { kind, image_size: [height, width], features: Vec::new(), classes }
}

/// What a table's rows are.
pub fn schema_of_tables(tables: &Tables) -> Schema {
    Schema {
        kind: DataKind::Table,
        image_size: [1, tables.columns.len()],
        features: tables.columns.clone(),
        classes: tables.classes.iter().cloned().map(Class::Name).collect(),
    }
}

/// What a data set's folder holds and is not used, for a person.
pub fn not_used(unused: &Unused, are_pictures: bool) -> Option<String> {
    let why = match are_pictures {
        true => format!(" (used are {} files in a folder of their class)", readers::names(PICTURES, "and")),
        false => String::new(),
    };
    (!unused.files.is_empty()).then(|| format!("not used: {}{why}", unused.in_short().join("; ")))
}
