//! Files of every compression, written by other programs.

use std::io::Read;

use chainrule_data::readers::{CODECS, Input};

use super::assert_one_line;

/// The content that is read of a file.
const MAX_BYTES: u64 = 1 << 20;

pub fn seeds() -> Vec<Vec<u8>> {
    let fixtures = include_str!("../../../crates/data/tests/fixtures/compressed.json");
    let fixtures: serde_json::Value = serde_json::from_str(fixtures).expect("a script wrote it");
    let read = fixtures["read"].as_array().into_iter().flatten();
    let parts = read.flat_map(|packed| packed["parts"].as_array().into_iter().flatten());
    let others =
        ["refused", "images", "zeros"].into_iter().flat_map(|key| fixtures[key].as_array().into_iter().flatten());
    let seeds: Vec<Vec<u8>> = parts.chain(others).filter_map(|file| unhex(file["hex"].as_str()?)).collect();
    assert!(CODECS.iter().all(|codec| seeds.iter().any(|seed| codec.sniff(seed))));
    seeds
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// Checks that a file read in small pieces has the content of one read in large ones, and that a
/// plain file is not changed. A decoder may lose the last bytes before its error, more of them in a
/// large piece.
pub fn check(bytes: &[u8]) {
    let (content, error) = read(bytes, 1 << 16);
    let (by_pieces, error_by_pieces) = read(Slow(bytes), 7);
    let is_cut = by_pieces.len() as u64 == MAX_BYTES;
    assert!(error.is_some() == error_by_pieces.is_some() || is_cut, "{error:?}, {error_by_pieces:?}");
    assert!(by_pieces.starts_with(&content) && (error.is_some() || by_pieces == content), "{error:?}");
    for error in [error, error_by_pieces].into_iter().flatten() {
        assert_one_line(&error);
        assert!(Input::new(bytes).compression().is_some(), "{error}");
    }
    if Input::new(bytes).compression().is_none() {
        assert!(content == bytes[..bytes.len().min(MAX_BYTES as usize)]);
    }
}

/// Returns the content up to the first error, and the error.
fn read(source: impl Read, piece: usize) -> (Vec<u8>, Option<String>) {
    let mut input = Input::within(source, MAX_BYTES).take(MAX_BYTES);
    let (mut content, mut buffer) = (Vec::new(), vec![0; piece]);
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return (content, None),
            Ok(count) => content.extend_from_slice(&buffer[..count]),
            Err(error) => return (content, Some(error.to_string())),
        }
    }
}

/// A source that returns three bytes at a time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(3);
        self.0.read(&mut buffer[..count])
    }
}
