//! Gzipped IDX.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::assert_one_line;
use super::idx::{self, read_images, read_labels};

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = idx::seeds().iter().map(|plain| gzip(plain)).collect();
    let plain = &idx::seeds()[1];
    seeds.push([gzip(&plain[..20]), gzip(&plain[20..])].concat());
    seeds
}

/// Checks the bytes as a gzip, and the bytes after gzipping them.
pub fn check(bytes: &[u8]) {
    // A gzip is read exactly if a plain decoder can decompress all of it, and as its content would
    // be.
    let mut inflated = Vec::new();
    let is_whole = MultiGzDecoder::new(bytes).take(1 << 24).read_to_end(&mut inflated).is_ok();
    match (read_images(bytes), read_labels(bytes)) {
        (Err(images), Err(labels)) => [images, labels].iter().for_each(|error| assert_one_line(&error.to_string())),
        _ if !bytes.starts_with(&[0x1f, 0x8b]) => {} // plain IDX
        (images, labels) => {
            assert!(is_whole, "read from a damaged gzip");
            assert_eq!((images.ok(), labels.ok()), (read_images(&inflated).ok(), read_labels(&inflated).ok()));
        }
    }
    // Content is read the same with gzip, in one member or two, as without.
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        for gzipped in [gzip(bytes), [gzip(head), gzip(tail)].concat()] {
            assert_eq!(read_images(&gzipped).ok(), read_images(bytes).ok());
            assert_eq!(read_labels(&gzipped).ok(), read_labels(bytes).ok());
        }
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}
