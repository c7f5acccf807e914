//! Recognises files that are not tables by their first bytes, and says what to do with each.

use chainrule_core::DataKind;

use crate::readers::{self, IMAGES, TABLES};

/// Returns whether the beginning belongs to a known format that is not supported.
pub(crate) fn is_foreign(beginning: &[u8]) -> bool {
    known(beginning).is_some()
}

/// Returns the message for a file that is not a table: what it is and what to do.
pub(crate) fn no_table(beginning: &[u8]) -> String {
    let reader = readers::of(IMAGES).find(|reader| reader.sniff(beginning));
    let (what, advice) = match (reader, known(beginning)) {
        (Some(reader), _) if reader.kind() == DataKind::Pictures => {
            (format!("a picture ({})", reader.name()), "name the folder that holds a folder of pictures for each class")
        }
        (Some(reader), _) => (reader.one().to_owned(), IDX_FOLDER),
        (None, Some(&(_, what, advice))) => (what.to_owned(), advice),
        (None, None) => ("of no known kind".to_owned(), SAVE_AS),
    };
    format!("this is {what}, and a table is read from {}; {advice}", readers::names(TABLES, "or"))
}

/// Returns the unsupported format of a file with this beginning, if it is known.
fn known(beginning: &[u8]) -> Option<&'static Kind> {
    let has = |text: &[u8]| beginning.windows(text.len()).any(|window| window == text);
    // Look inside zip archives first: the names of the entries show the format.
    let is_zip = beginning.starts_with(b"PK\x03\x04");
    let zipped = ZIPPED.iter().find(|(name, ..)| is_zip && has(name));
    zipped
        .or_else(|| BEGINNINGS.iter().find(|(magic, ..)| beginning.starts_with(magic)))
        .or_else(|| Some(&UTF_16).filter(|_| is_utf_16_of_ascii(beginning)))
        .or_else(|| Some(&TAR).filter(|_| beginning.get(257..262) == Some(b"ustar")))
        .or_else(|| Some(&SAFETENSORS).filter(|_| beginning.get(8..10) == Some(b"{\"")))
        .or_else(|| text(beginning))
}

/// A format: the bytes it begins with or contains, its description, and what to do.
type Kind = (&'static [u8], &'static str, &'static str);

const SAVE_AS: &str = "save it as CSV (UTF-8) in the program that it is from";
const UNPACK: &str = "unpack it; of packed files gzip's are read";
const IDX_FOLDER: &str = "name the folder that holds all four IDX files";

const ZIPPED: [Kind; 3] = [
    (b"spreadsheet", "an OpenDocument spreadsheet", SAVE_AS),
    (b"[Content_Types].xml", "a spreadsheet of Excel (xlsx)", SAVE_AS),
    (
        b".npy",
        "NumPy's npz",
        "write its arrays by numpy.savetxt with a header of names, or pandas' to_csv(…, index=False)",
    ),
];

const UTF_16: Kind = (b"\xff\xfe", "text in UTF-16", "save it as UTF-8");

const BEGINNINGS: [Kind; 18] = [
    UTF_16,
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
    (b"PAR1", "Parquet", "pandas' read_parquet(…).to_csv(…, index=False) makes it one"),
    (b"ARROW1", "Arrow (Feather)", "pandas' read_feather(…).to_csv(…, index=False) makes it one"),
    (b"\x89HDF", "HDF5", "pandas' read_hdf(…).to_csv(…, index=False) makes it one"),
    (b"SQLite format 3", "a database of SQLite", "sqlite3 -header -csv FILE \"select * from TABLE\" makes it one"),
    (b"\xd0\xcf\x11\xe0", "an old document of Excel (xls)", SAVE_AS),
    (b"\x93NUMPY", "a NumPy array", "numpy.savetxt with a header of names makes it one"),
    (b"\x80\x04\x95", "a pickle of Python", "pandas' to_csv(…, index=False) makes it one"),
    (b"RDX", "data of R", "write.csv(…, row.names = FALSE) makes it one"),
    (b"PK\x03\x04", "a zip archive", UNPACK),
    (b"\x1f\x8b", "gzipped twice", "gunzip it once"),
    (b"BZh", "packed by bzip2", UNPACK),
    (b"\xfd7zXZ\0", "packed by xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "packed by 7-Zip", UNPACK),
    (b"%PDF-", "a PDF", "save its table as CSV"),
    (b"\0\0\x08\x01", "an IDX file of labels", IDX_FOLDER),
];

const TAR: Kind = (b"", "a tar archive", UNPACK);
const SAFETENSORS: Kind = (b"", "a model's weights (safetensors)", "chainrule's import takes such a file");
const JSON: Kind = (b"", "JSON", "pandas' read_json(…).to_csv(…, index=False) makes it one");
const HTML: Kind = (b"", "a page of HTML", "a download that failed, perhaps; save the table itself");
const XML: Kind = (b"", "XML", "save it as CSV in the program that it is from");
const TOML: Kind = (b"", "a TOML file, as of an experiment", "name the table itself");

/// Detects other text formats by the first characters after white space.
fn text(beginning: &[u8]) -> Option<&'static Kind> {
    let beginning = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
    let lower = beginning[..beginning.len().min(16)].to_ascii_lowercase();
    let starts = |texts: &[&str]| texts.iter().any(|text| lower.starts_with(text.as_bytes()));
    let after = |open: &[u8]| beginning.strip_prefix(open).and_then(|rest| rest.trim_ascii_start().first());
    if matches!(after(b"{"), Some(b'"' | b'}')) || matches!(after(b"["), Some(b'{' | b'[')) {
        return Some(&JSON);
    }
    if starts(&["<!doctype html", "<html", "<head", "<body", "<table"]) {
        return Some(&HTML);
    }
    if starts(&["<?xml", "<svg"]) {
        return Some(&XML);
    }
    // In TOML the first line that is not a comment is a section or sets a key.
    let line = beginning
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty() && line[0] != b'#')?;
    let is_name = |name: &[u8]| {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
        !name.is_empty() && name.iter().all(is_part)
    };
    let section = line.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let key = line.windows(3).position(|window| window == b" = ").map(|at| &line[..at]);
    let is_toml = section.is_some_and(is_name) || (key.is_some_and(is_name) && !line.contains(&b','));
    is_toml.then_some(&TOML)
}

/// Returns whether every second byte is 0 and the others are not, as in UTF-16 without a byte order
/// mark. Plain text has no 0 bytes.
fn is_utf_16_of_ascii(beginning: &[u8]) -> bool {
    let pairs = beginning[..beginning.len().min(64)].chunks_exact(2);
    let is_text = |zero: usize| pairs.clone().all(|pair| pair[zero] == 0 && pair[1 - zero] != 0);
    pairs.len() > 1 && (is_text(0) || is_text(1))
}
