//! The file formats that are read, each with generated valid files and a check for arbitrary bytes.
//! The fuzz targets in `fuzz/` and `tests/hostile.rs` share them, so that the tests can keep what a
//! fuzzer finds.

mod columnar;
mod compressed;
mod config;
mod derivation;
mod gzip;
mod idx;
mod picture;
mod records;
pub mod run_folder;
mod safetensors;
mod svmlight;
mod table;
mod weights;

/// A file format.
#[derive(Clone, Copy)]
pub struct Format {
    /// The name, also that of the fuzz target.
    pub name: &'static str,
    /// Returns small valid files.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Panics if a file with these bytes violates what must hold.
    pub check: fn(&[u8]),
}

/// All formats.
pub const FORMATS: [Format; 13] = [
    Format { name: "idx", seeds: idx::seeds, check: idx::check },
    Format { name: "gzip", seeds: gzip::seeds, check: gzip::check },
    Format { name: "compressed", seeds: compressed::seeds, check: compressed::check },
    Format { name: "picture", seeds: picture::seeds, check: picture::check },
    Format { name: "config", seeds: config::seeds, check: config::check },
    Format { name: "safetensors", seeds: safetensors::seeds, check: safetensors::check },
    Format { name: "records", seeds: records::seeds, check: records::check },
    Format { name: "table", seeds: table::seeds, check: table::check },
    Format { name: "svmlight", seeds: svmlight::seeds, check: svmlight::check },
    Format { name: "columnar", seeds: columnar::seeds, check: columnar::check },
    Format { name: "weights", seeds: weights::seeds, check: weights::check },
    Format { name: "derivation", seeds: derivation::seeds, check: derivation::check_bytes },
    Format { name: "run_folder", seeds: run_folder::seeds, check: run_folder::check },
];

/// Returns the format of that name.
pub fn format(name: &str) -> Format {
    *FORMATS.iter().find(|format| format.name == name).expect("a format's name")
}

/// Asserts that an error is one line of readable length.
pub fn assert_one_line(message: &str) {
    assert!(!message.is_empty() && !message.contains(['\n', '\r']), "not one line: {message:?}");
    assert!(message.chars().count() <= 1000, "{} characters: {message:?}", message.chars().count());
}
