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
