//! What is read from files, each with valid files made by code and with what must hold of any
//! bytes. The fuzz targets in `fuzz/` and the tests in `tests/hostile.rs` share this: what a fuzzer
//! finds, the tests can keep.

mod config;
mod gzip;
mod idx;
mod picture;
mod records;
pub mod run_folder;
mod safetensors;
mod table;
mod weights;

/// One kind of file.
#[derive(Clone, Copy)]
pub struct Format {
    /// Its name, which is its fuzz target's.
    pub name: &'static str,
    /// Small valid files.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Panics where what must hold of a file with these bytes does not.
    pub check: fn(&[u8]),
}

/// All of them.
pub const FORMATS: [Format; 9] = [
    Format { name: "idx", seeds: idx::seeds, check: idx::check },
    Format { name: "gzip", seeds: gzip::seeds, check: gzip::check },
    Format { name: "picture", seeds: picture::seeds, check: picture::check },
    Format { name: "config", seeds: config::seeds, check: config::check },
    Format { name: "safetensors", seeds: safetensors::seeds, check: safetensors::check },
    Format { name: "records", seeds: records::seeds, check: records::check },
    Format { name: "table", seeds: table::seeds, check: table::check },
    Format { name: "weights", seeds: weights::seeds, check: weights::check },
    Format { name: "run_folder", seeds: run_folder::seeds, check: run_folder::check },
];

/// The format of that name.
pub fn format(name: &str) -> Format {
    *FORMATS.iter().find(|format| format.name == name).expect("a format's name")
}

/// An error is one line for a person, and no longer than one reads.
pub fn is_a_sentence(message: &str) {
    assert!(!message.is_empty() && !message.contains(['\n', '\r']), "not one line: {message:?}");
    assert!(message.chars().count() <= 1000, "{} characters: {message:?}", message.chars().count());
}
