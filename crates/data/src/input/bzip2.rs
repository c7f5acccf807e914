use std::io::{self, Read};

use bzip2::bufread::MultiBzDecoder;

use super::{Codec, Packed};

pub(super) const CODEC: Bzip2 = Bzip2;

/// Bzip2, of one or several streams. It needs at most 4 MB of memory.
pub(super) struct Bzip2;

impl Codec for Bzip2 {
    fn name(&self) -> &'static str {
        "bzip2"
    }

    fn extension(&self) -> &'static str {
        "bz2"
    }

    /// After `BZh` and the block size, the first block or the end of an empty file begins.
    fn sniff(&self, beginning: &[u8]) -> bool {
        let after_size = beginning.strip_prefix(b"BZh").and_then(|rest| rest.split_first());
        after_size.is_some_and(|(size, rest)| {
            (b'1'..=b'9').contains(size) && (rest.starts_with(b"1AY&SY") || rest.starts_with(b"\x17\x72\x45\x38\x50\x90"))
        })
    }

    fn decode<'a>(&self, packed: Packed<'a>, _: u64) -> io::Result<Box<dyn Read + 'a>> {
        Ok(Box::new(MultiBzDecoder::new(packed)))
    }
}
