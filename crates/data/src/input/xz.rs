use std::io::{self, Read};

use lzma_rust2::XzReader;

use super::{Codec, MAX_WINDOW, Packed};

pub(super) const CODEC: Xz = Xz;

/// What the decoder needs besides its window, in KiB.
const OVERHEAD: u64 = 1024;

/// Xz, of one or several streams, with zeros between or after them.
pub(super) struct Xz;

impl Codec for Xz {
    fn name(&self) -> &'static str {
        "xz"
    }

    fn extension(&self) -> &'static str {
        "xz"
    }

    fn sniff(&self, beginning: &[u8]) -> bool {
        beginning.starts_with(b"\xfd7zXZ\0")
    }

    fn decode<'a>(&self, packed: Packed<'a>, _: u64) -> io::Result<Box<dyn Read + 'a>> {
        let limit = (MAX_WINDOW / 1024 + OVERHEAD) as u32;
        Ok(Box::new(XzReader::new_mem_limit(packed, true, limit)))
    }
}
