use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Returns the SHA-256 of all `parts`, concatenated, as 64 hexadecimal digits.
pub fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut checksum = Checksum::default();
    for part in parts {
        checksum.update(part);
    }
    checksum.finish()
}

/// An incremental SHA-256.
#[derive(Default)]
pub(crate) struct Checksum(Sha256);

impl Checksum {
    pub(crate) fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(crate) fn finish(self) -> String {
        self.0.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a String cannot fail");
            hex
        })
    }
}
