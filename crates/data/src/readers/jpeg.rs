use super::{Read, Reader};
use crate::picture;

pub(super) const READER: Jpeg = Jpeg;

/// The reader of JPEG files.
pub(super) struct Jpeg;

impl Reader for Jpeg {
    fn name(&self) -> &'static str {
        "JPEG"
    }

    fn one(&self) -> &'static str {
        "a JPEG"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jpg", "jpeg"]
    }

    fn about(&self) -> &'static str {
        "a picture of any size, grey or colour, rotated as its camera recorded"
    }

    fn sniff(&self, beginning: &[u8]) -> bool {
        beginning.starts_with(b"\xff\xd8\xff")
    }

    fn read(&self) -> Read {
        // The decoder fills missing parts of a JPEG with grey.
        Read::Picture(|bytes| picture::decode(bytes, "JPEG", ends))
    }
}

/// Returns whether the image data has an end marker. The header segments are skipped, because they
/// may contain a complete thumbnail.
fn ends(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let [0xff, marker, high, low, ..] = *rest {
        if marker == START_OF_SCAN {
            break;
        }
        let skipped = if marker == 0xff { 1 } else { 2 + usize::from(u16::from_be_bytes([high, low])) };
        rest = rest.get(skipped..).unwrap_or_default();
    }
    rest.windows(2).any(|pair| pair == END_OF_IMAGE)
}
