//! Compressed files. `fixtures/compressed.py` wrote them with other programs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Read;
use std::path::Path;

use chainrule_data::idx::images_from;
use chainrule_data::readers::{CODECS, Input, compressed_extensions};
use chainrule_data::table::{Columns, Table, TableSummary};
use chainrule_data::{Counts, Request, find, input_files};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixtures {
    content: String,
    read: Vec<Packed>,
    refused: Vec<Refused>,
    images: Vec<Member>,
    zeros: Vec<Member>,
}

#[derive(Deserialize)]
struct Packed {
    codec: String,
    writer: String,
    /// Whether every changed byte of the content is noticed.
    has_checksum: bool,
    parts: Vec<Part>,
}

/// A member, a frame or a stream, with the number of lines that it adds.
#[derive(Deserialize)]
struct Part {
    hex: String,
    lines: usize,
}

#[derive(Deserialize)]
struct Refused {
    hex: String,
    error: String,
}

#[derive(Deserialize)]
struct Member {
    codec: String,
    hex: String,
}

impl Fixtures {
    fn read() -> Self {
        serde_json::from_str(include_str!("fixtures/compressed.json")).unwrap()
    }

    fn first_lines(&self, count: usize) -> String {
        self.content.split_inclusive('\n').take(count).collect()
    }
}

impl Packed {
    fn bytes(&self) -> Vec<u8> {
        self.parts.iter().flat_map(|part| unhex(&part.hex)).collect()
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Returns the decompressed bytes, or the error, which must be one line.
fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let read = Input::new(bytes).read_to_end(&mut content).map_err(|error| error.to_string());
    read.inspect_err(|error| assert_eq!(error.lines().count(), 1, "{error:?}")).map(|_| content)
}

/// Returns the table in these bytes, which has the columns of the fixtures, or the error.
fn table(bytes: &[u8], max_bytes: u64) -> Result<String, String> {
    let features = ["length".to_owned(), "width".to_owned()];
    let columns = Columns { features: Some(&features), label: Some("species"), ..Columns::default() };
    let mut table = Table::read(bytes, columns, max_bytes).map_err(|error| error.to_string())?;
    table.files[0].read_as.facts.retain(|fact| fact.what != "compression");
    Ok(format!("{table:?}"))
}

const PLENTY: u64 = 1 << 20;

#[test]
fn what_other_programs_compress_is_read_whole() {
    let fixtures = Fixtures::read();
    let expected = table(fixtures.content.as_bytes(), PLENTY).unwrap();
    for codec in CODECS {
        assert!(fixtures.read.iter().any(|packed| packed.codec == codec.name()), "no fixture of {}", codec.name());
    }
    for packed in &fixtures.read {
        let bytes = packed.bytes();
        assert_eq!(Input::new(&bytes[..]).compression(), Some(&packed.codec[..]), "{}", packed.writer);
        assert_eq!(unpacked(&bytes).as_deref(), Ok(fixtures.content.as_bytes()), "{}", packed.writer);
        assert_eq!(table(&bytes, PLENTY).as_ref(), Ok(&expected), "{}", packed.writer);
    }
    assert_eq!(Input::new(fixtures.content.as_bytes()).compression(), None);
}

/// A file that ends too early is an error, unless it ends between members: no format tells that
/// from a file of fewer members.
#[test]
fn a_truncated_file_is_an_error() {
    let fixtures = Fixtures::read();
    for packed in &fixtures.read {
        let bytes = packed.bytes();
        let (mut end, mut lines) = (0, 0);
        let mut ends = Vec::new();
        for part in &packed.parts {
            (end, lines) = (end + part.hex.len() / 2, lines + part.lines);
            ends.push((end, lines));
        }
        for cut in 0..bytes.len() {
            let place = format!("{} cut after {cut} bytes", packed.writer);
            match ends.iter().find(|(end, lines)| *end == cut && *lines > 0) {
                Some(&(_, lines)) => {
                    assert_eq!(unpacked(&bytes[..cut]), Ok(fixtures.first_lines(lines).into_bytes()), "{place}");
                }
                None => assert!(table(&bytes[..cut], PLENTY).is_err(), "{place}"),
            }
            if let Err(error) = unpacked(&bytes[..cut]) {
                assert!(error.starts_with(&format!("damaged {} after ", packed.codec)), "{place}: {error}");
                let is_short = packed.codec != "zstd" || error.ends_with(": it ends too early");
                assert!(is_short, "{place}: {error}");
            }
        }
        // Bytes after the end.
        for garbage in [&b"x"[..], b"and more of it", &[0]] {
            let error = unpacked(&[&bytes, garbage].concat()).expect_err(&packed.writer);
            assert!(error.starts_with(&format!("damaged {} after ", packed.codec)), "{}: {error}", packed.writer);
        }
    }
}

#[test]
fn a_changed_bit_is_an_error_or_changes_nothing() {
    let fixtures = Fixtures::read();
    let expected = table(fixtures.content.as_bytes(), PLENTY).unwrap();
    for packed in &fixtures.read {
        let mut bytes = packed.bytes();
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            match table(&bytes, PLENTY) {
                Err(error) => assert_eq!(error.lines().count(), 1, "{error:?}"),
                Ok(found) => assert!(found == expected || !packed.has_checksum, "{}, bit {bit}", packed.writer),
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn what_cannot_be_unpacked_is_said() {
    for Refused { hex, error } in Fixtures::read().refused {
        for found in [
            table(&unhex(&hex), PLENTY),
            TableSummary::read(&unhex(&hex)[..]).map(|_| String::new()).map_err(|error| error.to_string()),
        ] {
            let found = found.unwrap_err();
            assert!(found.contains(&error) && found.lines().count() == 1 && found.len() < 1000, "{error:?}: {found:?}");
        }
    }
    // A zip is read into memory, up to the limit.
    let fixtures = Fixtures::read();
    let zip = fixtures.read.iter().find(|packed| packed.codec == "zip").unwrap().bytes();
    assert!(table(&zip, zip.len() as u64).is_err_and(|error| error.contains("data.resident_bytes allows in memory")));
    let error = table(&zip, zip.len() as u64 - 1).unwrap_err();
    assert!(error.contains("it has more than 267 bytes, and a zip is read into memory; unpack it"), "{error}");
}

/// Returns the largest memory of this process so far, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Up to two megabytes that become 2 GiB of zeros end within 64 MiB of memory.
#[cfg(target_os = "linux")]
#[test]
fn a_bomb_is_defused() {
    let fixtures = Fixtures::read();
    let before = peak_memory();
    for Member { codec, hex } in &fixtures.zeros {
        let member = unhex(hex);
        assert_eq!(Input::new(&member[..]).read_to_end(&mut Vec::new()).unwrap(), 5 << 20, "{codec}");
        // A zip has one file, not several members.
        let bomb = if codec == "zip" { member } else { member.repeat(512) };
        let no_text = table(&bomb, 1 << 30).unwrap_err();
        assert!(no_text.contains("it has a NUL byte"), "{codec}: {no_text}");
        let read = std::io::copy(&mut Input::new(&bomb[..]).take(6 << 20), &mut std::io::sink()).unwrap();
        assert_eq!(read, if codec == "zip" { 5 << 20 } else { 6 << 20 });
        let no_images = images_from(Path::new("bomb"), &bomb[..]).unwrap_err().to_string();
        assert!(no_images.contains("not an IDX file of images"), "{codec}: {no_images}");
        let grown = peak_memory().saturating_sub(before);
        assert!(grown < 64 << 20, "{codec}: {grown} bytes more");
    }
}

#[test]
fn images_may_be_compressed_by_any_codec() {
    let fixtures = Fixtures::read();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, hex: &str| std::fs::write(folder.path().join(name), unhex(hex)).unwrap();
    let data = || find(&Request::Folder(folder.path().to_owned()), Counts { train: 1, validation: 1 }, &mut |_| {});
    for (codec, of_images) in CODECS.iter().zip(&fixtures.images) {
        assert_eq!(codec.name(), of_images.codec);
        let images = images_from(Path::new("images"), &unhex(&of_images.hex)[..]).unwrap();
        assert_eq!((images.height, images.width, images.pixels), (2, 3, (0..12).collect()));
        // The data set's file is found under this name, and the next one is missing.
        let name = format!("train-images-idx3-ubyte.{}", codec.extension());
        write(&name, &of_images.hex);
        let error = data().unwrap_err().to_string();
        let expected = format!("no train-labels-idx1-ubyte here, plain or {};", compressed_extensions("or"));
        assert!(error.contains(&expected), "{error}");
        std::fs::rename(folder.path().join(name), folder.path().join(&of_images.codec)).unwrap();
    }
    // A folder's images are found whatever their names. Files that cannot be unpacked are others.
    fixtures.refused.iter().enumerate().for_each(|(i, refused)| write(&format!("refused-{i}"), &refused.hex));
    let mut log = String::new();
    let files = input_files::files(folder.path(), &mut |message| log += message).unwrap();
    assert_eq!(files.len(), CODECS.len());
    assert!(log.contains(&format!("{} other files have no images", fixtures.refused.len())), "{log}");
}
