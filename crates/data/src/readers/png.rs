use super::{Read, Reader};
use crate::picture;

pub(super) const READER: Png = Png;

/// The reader of PNG files.
pub(super) struct Png;

impl Reader for Png {
    fn name(&self) -> &'static str {
        "PNG"
    }

    fn one(&self) -> &'static str {
        "a PNG"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["png"]
    }

    fn about(&self) -> &'static str {
        "a picture of any size, grey or colour; transparent pixels are laid over black or white"
    }

    fn sniff(&self, beginning: &[u8]) -> bool {
        beginning.starts_with(b"\x89PNG\r\n\x1a\n")
    }

    fn read(&self) -> Read {
        Read::Picture(|bytes| picture::decode(bytes, "PNG", |_| true))
    }
}
