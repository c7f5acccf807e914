use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// A data file with its checksum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// The name of the file or of the data set.
    pub name: String,
    /// The SHA-256 of the decompressed bytes.
    pub sha256: String,
}

impl Display for DataFile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} with SHA-256 {}", self.name, self.sha256)
    }
}

/// A row that was held out for validation, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldOutRow<'a> {
    /// The file, if the table has several.
    pub file: Option<&'a str>,
    /// The number of the row in its file, from 0. It counts all rows below the header.
    pub row: u32,
    /// The line of the row in its file, from 1; in a file without lines the number of the row, from
    /// 1.
    pub line: u32,
}
