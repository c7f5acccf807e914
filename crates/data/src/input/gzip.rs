use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

use super::{Codec, Packed};

pub(super) const CODEC: Gzip = Gzip;

/// Gzip (RFC 1952), of one or several members.
pub(super) struct Gzip;

impl Codec for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn extension(&self) -> &'static str {
        "gz"
    }

    fn sniff(&self, beginning: &[u8]) -> bool {
        beginning.starts_with(b"\x1f\x8b")
    }

    fn decode<'a>(&self, packed: Packed<'a>, _: u64) -> io::Result<Box<dyn Read + 'a>> {
        Ok(Box::new(MultiGzDecoder::new(packed)))
    }
}
