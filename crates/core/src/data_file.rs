use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// One of the data files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// MNIST's name for it.
    pub name: String,
    /// SHA-256 of its decompressed bytes.
    pub sha256: String,
}

impl Display for DataFile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} with SHA-256 {}", self.name, self.sha256)
    }
}
