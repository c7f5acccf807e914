use std::io::{self, BufRead, Cursor, ErrorKind, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipVerification};

use super::{Codec, Packed};
use crate::foreign;
use crate::readers::joined;

pub(super) const CODEC: Zip = Zip;

/// A zip archive of one file. Folders, `__MACOSX` and names that begin with a dot do not count.
///
/// The archive is read into memory. Its list of files is at its end, and only this list says
/// reliably what the archive has and where: the headers between the files may lack sizes or belong
/// to files that were replaced. A file could be read from its end, but standard input could not.
pub(super) struct Zip;

/// The number of names in an error.
const MAX_NAMES: usize = 3;
/// The number of characters of a name in an error.
const MAX_NAME: usize = 100;

impl Codec for Zip {
    fn name(&self) -> &'static str {
        "zip"
    }

    fn extension(&self) -> &'static str {
        "zip"
    }

    /// Some documents are zips, too. They are no compressed files.
    fn sniff(&self, beginning: &[u8]) -> bool {
        let is_empty = beginning.starts_with(b"PK\x05\x06");
        is_empty || (beginning.starts_with(foreign::ZIP) && foreign::document(beginning).is_none())
    }

    fn decode<'a>(&self, mut packed: Packed<'a>, max_bytes: u64) -> io::Result<Box<dyn Read + 'a>> {
        let mut bytes = Vec::new();
        packed.by_ref().take(max_bytes).read_to_end(&mut bytes)?;
        if !packed.fill_buf()?.is_empty() {
            return Err(unsupported(format!(
                "it has more than {max_bytes} bytes, and a zip is read into memory; unpack it"
            )));
        }
        let Member { start, end, is_deflated, expected } = only_member(&bytes)?;
        let mut bytes = Cursor::new(bytes);
        bytes.set_position(start);
        let stored = bytes.take(end - start);
        Ok(match is_deflated {
            true => Box::new(Verified::new(DeflateDecoder::new(stored), expected)),
            false => Box::new(Verified::new(stored, expected)),
        })
    }
}

/// Where a file is in the archive.
struct Member {
    start: u64,
    end: u64,
    is_deflated: bool,
    expected: ZipVerification,
}

/// Returns the only file of an archive.
fn only_member(bytes: &[u8]) -> io::Result<Member> {
    let archive = ZipArchive::from_slice(bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let damaged = |error: rawzip::Error| io::Error::other(error.to_string());
    let after = (bytes.len() as u64).saturating_sub(archive.end_offset());
    if after > 0 {
        return Err(io::Error::other(format!("{after} more bytes follow its end")));
    }
    let (mut entries, mut all, mut files) = (archive.entries(), 0, 0);
    let (mut names, mut only) = (Vec::new(), None);
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        all += 1;
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        if let Some((what, advice)) = foreign::document_with(&name) {
            return Err(unsupported(format!("it is {what}; {advice}")));
        }
        if entry.is_dir() || name.split('/').any(|part| part == "__MACOSX" || part.starts_with('.')) {
            continue;
        }
        files += 1;
        if names.len() < MAX_NAMES {
            names.push(format!("{:?}", name.chars().take(MAX_NAME).collect::<String>()));
        }
        only = Some((entry.wayfinder(), entry.compression_method(), entry.flags()));
    }
    if all != archive.entries_hint() {
        return Err(io::Error::other(format!("it lists {all} files, not {}", archive.entries_hint())));
    }
    let Some((place, method, flags)) = only else { return Err(unsupported("it has no file")) };
    if files > 1 {
        let more = files - names.len();
        names.extend((more > 0).then(|| format!("{more} more")));
        let names = joined(names, "and");
        return Err(unsupported(format!("it has {files} files ({names}); unpack it, and name one of them")));
    }
    let local = archive.get_entry(place).map_err(damaged)?;
    if flags.is_encrypted() || local.local_header().flags().is_encrypted() {
        return Err(unsupported("it is encrypted; unpack it with its password"));
    }
    let is_deflated = match method {
        CompressionMethod::STORE => false,
        CompressionMethod::DEFLATE => true,
        _ => {
            let method = method.name().unwrap_or("an unknown method");
            return Err(unsupported(format!("its file is compressed with {method}, not with deflate; unpack it")));
        }
    };
    if local.local_header().compression_method() != method {
        return Err(io::Error::other("its list of files and the header of its file contradict each other"));
    }
    let (start, end) = local.compressed_data_range();
    Ok(Member { start, end, is_deflated, expected: local.claim_verifier() })
}

fn unsupported(sentence: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, sentence.into())
}

/// A file whose length and checksum are checked at its end.
struct Verified<R> {
    source: R,
    crc: Crc,
    length: u64,
    expected: ZipVerification,
}

impl<R> Verified<R> {
    fn new(source: R, expected: ZipVerification) -> Self {
        Self { source, crc: Crc::new(), length: 0, expected }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.crc.update(&buffer[..count]);
        self.length += count as u64;
        if count == 0 && !buffer.is_empty() {
            let found = ZipVerification { crc: self.crc.sum(), uncompressed_size: self.length };
            self.expected.valid(found).map_err(|error| io::Error::other(error.to_string()))?;
        }
        Ok(count)
    }
}
