use super::{Read, Reader};
use crate::idx::{IMAGES_MAGIC, decode_images};

pub(super) const READER: Idx = Idx;

/// The reader of IDX image files.
pub(super) struct Idx;

impl Reader for Idx {
    fn name(&self) -> &'static str {
        "IDX"
    }

    fn one(&self) -> &'static str {
        "an IDX file of images"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["idx3-ubyte"]
    }

    fn about(&self) -> &'static str {
        "images of one size like MNIST's: light ink on a background of 0, used as they are"
    }

    fn sniff(&self, beginning: &[u8]) -> bool {
        beginning.starts_with(&IMAGES_MAGIC.to_be_bytes())
    }

    fn read(&self) -> Read {
        Read::Images(decode_images)
    }
}
