//! Recognises files that are not tables by their first bytes, and says what to do with each.

use chainrule_core::DataKind;

use crate::input;
use crate::readers::{self, IMAGES, TABLES};

/// Returns whether the beginning belongs to a known format that is not supported.
pub(crate) fn is_foreign(beginning: &[u8]) -> bool {
    known(beginning).is_some() || input::codec(beginning).is_some()
}

/// Returns the message for a file that is not a table: what it is and what to do.
pub(crate) fn no_table(beginning: &[u8]) -> String {
    let reader = readers::of(IMAGES).find(|reader| reader.sniff(beginning));
    let (what, advice) = match (reader, known(beginning)) {
        (Some(reader), _) if reader.kind() == DataKind::Pictures => {
            (format!("a picture ({})", reader.name()), "name the folder that has one folder of pictures per class")
        }
        (Some(reader), _) => (reader.one().to_owned(), IDX_FOLDER),
        (None, Some(&(_, what, advice))) => (what.to_owned(), advice),
        // One compression was removed before.
        (None, None) if let Some(codec) = input::codec(beginning) => {
            (format!("a compressed file ({}) in a compressed file", codec.name()), "unpack it once")
        }
        (None, None) => ("an unknown format".to_owned(), SAVE_AS),
    };
    format!("expected a table ({}), found {what}; {advice}", readers::names(TABLES, "or"))
}

/// Returns the unsupported format of a file with this beginning, if it is known.
fn known(beginning: &[u8]) -> Option<&'static Kind> {
    document(beginning)
        .or_else(|| BEGINNINGS.iter().find(|(magic, ..)| beginning.starts_with(magic)))
        .or_else(|| Some(&ARROW_STREAM).filter(|_| is_arrow_stream(beginning)))
        .or_else(|| Some(&TAR).filter(|_| beginning.get(257..262) == Some(b"ustar")))
        .or_else(|| Some(&SAFETENSORS).filter(|_| beginning.get(8..10) == Some(b"{\"")))
        .or_else(|| text(beginning))
}

/// Returns whether a file with this beginning is a stream of Arrow messages: a mark, and the length
/// of the first message, of less than 64 MiB. A text never has the last byte of such a length.
pub(crate) fn is_arrow_stream(beginning: &[u8]) -> bool {
    beginning.starts_with(&[0xff; 4]) && beginning.get(7).is_some_and(|byte| *byte < 4)
}

/// Returns the format of a zip archive with this beginning, if it is that of a document.
pub(crate) fn document(beginning: &[u8]) -> Option<&'static Kind> {
    let has = |text: &[u8]| beginning.windows(text.len()).any(|window| window == text);
    let is_zip = beginning.starts_with(ZIP);
    let length = || beginning.get(26..28).map(|bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    let first_name = || beginning.get(30..30 + length()?);
    let is_array = || first_name().is_some_and(|name| name.ends_with(NPZ.0));
    match is_zip {
        true if has(ODS.0) => Some(&ODS),
        true if has(XLSX.0) => Some(&XLSX),
        true if is_array() => Some(&NPZ),
        _ => None,
    }
}

/// Returns what a zip archive with a file of this name is, if it is a document, and what to do.
pub(crate) fn document_with(name: &str) -> Option<(&'static str, &'static str)> {
    match name.as_bytes() {
        name if name == XLSX.0 => Some((XLSX.1, XLSX.2)),
        name if name.ends_with(NPZ.0) => Some((NPZ.1, NPZ.2)),
        _ => None,
    }
}

/// A format: the bytes it begins with or contains, its description, and what to do.
type Kind = (&'static [u8], &'static str, &'static str);

const SAVE_AS: &str = "save it as CSV (UTF-8) in the program that made it";
const UNPACK: &str = "unpack it";
const IDX_FOLDER: &str = "name the folder with all four IDX files";

/// The first bytes of a zip archive.
pub(crate) const ZIP: &[u8] = b"PK\x03\x04";

// Zip archives: what one of them contains.
const ODS: Kind = (b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "an OpenDocument spreadsheet", SAVE_AS);
const XLSX: Kind = (b"[Content_Types].xml", "an Excel spreadsheet (xlsx)", SAVE_AS);
const NPZ: Kind = (
    b".npy",
    "a NumPy archive (npz)",
    "save its arrays with numpy.savetxt and a header of names, or with pandas' to_csv(…, index=False)",
);

const BEGINNINGS: [Kind; 13] = [
    // Builds with the feature `parquet` have readers of these two, and of Arrow streams.
    (
        b"PAR1",
        "Parquet",
        "build this program with the feature parquet (--features parquet), or convert it with pandas' read_parquet(…).to_csv(…, index=False)",
    ),
    (
        b"ARROW1",
        "Arrow (Feather)",
        "build this program with the feature parquet (--features parquet), or convert it with pandas' read_feather(…).to_csv(…, index=False)",
    ),
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (b"FEA1", "Feather of version 1", "convert it with pandas' read_feather(…).to_csv(…, index=False)"),
    (b"\x89HDF", "HDF5", "convert it with pandas' read_hdf(…).to_csv(…, index=False)"),
    (b"SQLite format 3", "an SQLite database", "convert it with sqlite3 -header -csv FILE \"select * from TABLE\""),
    (b"\xd0\xcf\x11\xe0", "an old Excel document (xls)", SAVE_AS),
    (b"\x93NUMPY", "a NumPy array", "convert it with numpy.savetxt and a header of names"),
    (b"\x80\x04\x95", "a Python pickle", "convert it with pandas' to_csv(…, index=False)"),
    (b"RDX", "an R data file", "convert it with write.csv(…, row.names = FALSE)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"%PDF-", "a PDF", "save its table as CSV"),
    (b"\0\0\x08\x01", "an IDX file of labels", IDX_FOLDER),
];

const ARROW_STREAM: Kind = (
    b"",
    "an Arrow stream",
    "build this program with the feature parquet (--features parquet), or convert it with pyarrow.ipc.open_stream(…).read_pandas().to_csv(…, index=False)",
);
const TAR: Kind = (b"", "a tar archive", UNPACK);
const SAFETENSORS: Kind = (b"", "a model's weights (safetensors)", "use chainrule import for such a file");
const JSON: Kind = (b"", "JSON", "convert it with pandas' read_json(…).to_csv(…, index=False)");
const HTML: Kind = (b"", "an HTML page", "perhaps a failed download; save the table itself");
const XML: Kind = (b"", "XML", "save it as CSV in the program that made it");
const TOML: Kind = (b"", "a TOML file, such as an experiment", "name the table itself");

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
