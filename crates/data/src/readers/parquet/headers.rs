//! Checks the footer and the headers of the pages before the library reads them.
//!
//! The library allocates memory for as many children as a group promises, calls itself for each
//! level of groups, and skips as many values as a list promises. A damaged file could so end the
//! process, which no caller can catch, or take hours.

use parquet::file::reader::{ChunkReader, Length};

use super::MAGIC;
use super::source::Source;

/// The largest number of groups within groups. Lists of lists have two a level.
const MAX_DEPTH: usize = 64;

/// Checks the footer of a file with its schema.
///
/// # Errors
/// Returns what is wrong with it.
pub(super) fn check_footer(source: &Source) -> Result<(), String> {
    let read = |start: u64, length: u64| source.get_bytes(start, length as usize).map_err(|_| truncated());
    let end = source.len().checked_sub(8).ok_or_else(truncated)?;
    let tail = read(end, 8)?;
    let (length, magic) = tail.split_first_chunk::<4>().expect("eight bytes");
    if magic != MAGIC {
        return Err(truncated());
    }
    let length = u64::from(u32::from_le_bytes(*length));
    let start = end.checked_sub(length).ok_or_else(truncated)?;
    let bytes = read(start, length)?;
    Thrift { bytes: &bytes }.structure(MAX_DEPTH, &mut |thrift, id, kind| match (id, kind) {
        (SCHEMA, LIST) => thrift.schema().map(|()| true),
        _ => Ok(false),
    })
}

/// The header of a page.
#[derive(Default)]
pub(super) struct PageHeader {
    /// The bytes of the header, and of the page after it.
    pub(super) length: u64,
    pub(super) page_length: u64,
    /// The bytes of the decompressed page.
    pub(super) unpacked: usize,
    /// Whether it is the page of an index, which the library skips.
    pub(super) is_index: bool,
}

/// The fields of a page's header.
const KIND: i64 = 1;
const UNPACKED: i64 = 2;
const PACKED: i64 = 3;
/// The kind of an index.
const INDEX: i64 = 1;

/// Reads the header of the page at a position of a column, which has an end.
///
/// # Errors
/// Returns what is wrong with it.
pub(super) fn page_header(source: &Source, position: u64, end: u64) -> Result<PageHeader, String> {
    // Most are short. Those with long texts as statistics are not.
    let mut most = 1 << 12;
    loop {
        let length = most.min(end.saturating_sub(position));
        let bytes = source.get_bytes(position, length as usize).map_err(|_| truncated())?;
        let (mut thrift, mut header) = (Thrift { bytes: &bytes }, PageHeader::default());
        let result = thrift.structure(MAX_DEPTH, &mut |thrift, id, kind| {
            if kind != I32 || ![KIND, UNPACKED, PACKED].contains(&id) {
                return Ok(false);
            }
            let number = thrift.signed()?;
            let size = || u64::try_from(number).map_err(|_| "a page has a negative length".to_owned());
            match id {
                KIND => header.is_index = number == INDEX,
                UNPACKED => header.unpacked = size()? as usize,
                _ => header.page_length = size()?,
            }
            Ok(true)
        });
        if result.is_ok() {
            header.length = length - thrift.bytes.len() as u64;
            return Ok(header);
        }
        if length < most || most >= MAX_HEADER {
            result?;
        }
        most *= 64;
    }
}

/// The largest header of a page, in bytes.
const MAX_HEADER: u64 = 1 << 24;

fn truncated() -> String {
    "it is truncated".to_owned()
}

/// The field of the file's metadata with the schema, and the fields of its elements.
const SCHEMA: i64 = 2;
const CHILDREN: i64 = 5;

// The types of Thrift's compact protocol.
const I32: u8 = 5;
const LIST: u8 = 9;
const STRUCTURE: u8 = 12;

/// A reader of Thrift's compact protocol.
struct Thrift<'a> {
    /// The bytes that are left.
    bytes: &'a [u8],
}

impl Thrift<'_> {
    fn skip_bytes(&mut self, count: u64) -> Result<(), String> {
        let count = usize::try_from(count).ok().filter(|count| *count <= self.bytes.len());
        self.bytes = &self.bytes[count.ok_or_else(truncated)?..];
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let (&byte, rest) = self.bytes.split_first().ok_or_else(truncated)?;
        self.bytes = rest;
        Ok(byte)
    }

    fn unsigned(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is too long".to_owned())
    }

    fn signed(&mut self) -> Result<i64, String> {
        let number = self.unsigned()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Reads the length and the type of a list.
    fn list(&mut self) -> Result<(u64, u8), String> {
        let first = self.byte()?;
        let length = if first >> 4 == 15 { self.unsigned()? } else { u64::from(first >> 4) };
        // Each element takes a byte or more.
        if length > self.bytes.len() as u64 { Err(truncated()) } else { Ok((length, first & 15)) }
    }

    /// Reads the fields of a structure. `visit` gets the number and the type of each, and returns
    /// whether it read the field.
    fn structure(
        &mut self,
        depth: usize,
        visit: &mut dyn FnMut(&mut Self, i64, u8) -> Result<bool, String>,
    ) -> Result<(), String> {
        let mut id = 0i64;
        loop {
            let first = self.byte()?;
            if first == 0 {
                return Ok(());
            }
            id = match first >> 4 {
                0 => self.signed()?,
                step => id.saturating_add(i64::from(step)),
            };
            if !visit(self, id, first & 15)? {
                self.skip(first & 15, depth, false)?;
            }
        }
    }

    /// Skips a value.
    fn skip(&mut self, kind: u8, depth: usize, is_in_list: bool) -> Result<(), String> {
        let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
        match kind {
            // The type of a field is also its value.
            1 | 2 if !is_in_list => Ok(()),
            // No such lists exist, and the library would skip them without reading anything.
            1 | 2 => Err("it has a list of an unknown type".to_owned()),
            3 => self.skip_bytes(1),
            4..=6 => self.unsigned().map(drop),
            7 => self.skip_bytes(8),
            8 => {
                let length = self.unsigned()?;
                self.skip_bytes(length)
            }
            LIST | 10 => {
                let (length, kind) = self.list()?;
                (0..length).try_for_each(|_| self.skip(kind, depth, true))
            }
            11 => {
                let length = self.unsigned()?;
                let kinds = if length > 0 { self.byte()? } else { 0 };
                (0..length).try_for_each(|_| {
                    self.skip(kinds >> 4, depth, true)?;
                    self.skip(kinds & 15, depth, true)
                })
            }
            STRUCTURE => self.structure(depth, &mut |_, _, _| Ok(false)),
            13 => self.skip_bytes(16),
            _ => Err("it has values of an unknown type".to_owned()),
        }
    }

    /// Reads the elements of a schema: a tree, each node before its children.
    fn schema(&mut self) -> Result<(), String> {
        let (length, kind) = self.list()?;
        if kind != STRUCTURE {
            return Err("its schema is no list of structures".to_owned());
        }
        // The number of children that are left of each open group, and of all.
        let (mut open, mut promised) = (Vec::new(), 1);
        for _ in 0..length {
            let mut children = 0;
            self.structure(MAX_DEPTH, &mut |thrift, id, kind| match (id, kind) {
                (CHILDREN, I32) => thrift.signed().map(|count| {
                    children = count;
                    true
                }),
                _ => Ok(false),
            })?;
            let children = u64::try_from(children).map_err(|_| "a group has a negative number of columns")?;
            promised += children;
            if promised > length {
                return Err("its schema promises more columns than it has".to_owned());
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if children > 0 {
                open.push(children);
            }
            while open.last() == Some(&0) {
                open.pop();
            }
            if open.len() > MAX_DEPTH {
                return Err("its schema is nested too deeply".to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a file of only a footer, whose schema has nodes with these numbers of children.
    fn footer(children: &[i32]) -> Source {
        let varint = |mut number: u32| {
            let mut bytes = Vec::new();
            while number >= 0x80 {
                bytes.push(number as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
            bytes
        };
        let mut bytes = [&[0x29, 0xfc][..], &varint(children.len() as u32)].concat();
        for &children in children {
            let zigzag = (children << 1 ^ children >> 31) as u32;
            bytes.extend([&[0x55][..], &varint(zigzag), &[0]].concat());
        }
        bytes.push(0);
        let length = (bytes.len() as u32).to_le_bytes();
        Source::Memory([&bytes, &length[..], MAGIC].concat().into())
    }

    #[test]
    fn a_schema_is_a_tree_of_limited_depth() {
        assert_eq!(check_footer(&footer(&[2, 0, 1, 0])), Ok(()));
        for (children, expected) in [
            (&[3, 0, 0][..], "promises more columns"),
            (&[i32::MAX, 0], "promises more columns"),
            (&[-1, 0], "negative"),
            (&[1; 20], "promises more columns"),
            (&[[1; 99].as_slice(), &[0]].concat(), "nested too deeply"),
        ] {
            let problem = check_footer(&footer(children)).expect_err("the footer is damaged");
            assert!(problem.contains(expected), "{children:?}: {problem}");
        }
    }

    #[test]
    fn the_header_of_a_page_is_read_without_what_is_skipped() {
        let read = |bytes: &[u8]| page_header(&Source::Memory(bytes.to_vec().into()), 0, bytes.len() as u64);
        // Kind 0, 10 bytes from 6, and a list of two numbers.
        let header = read(&[0x15, 0, 0x15, 20, 0x15, 12, 0x19, 0x25, 1, 2, 0, 7, 7]).unwrap_or_default();
        let PageHeader { length, page_length, unpacked, is_index } = header;
        assert_eq!((length, page_length, unpacked, is_index), (11, 6, 10, false));
        assert!(read(&[0x15, 2, 0]).is_ok_and(|header| header.is_index));
        // A list of Booleans, and one of 2^31 of them.
        assert!(read(&[0x19, 0x21, 1, 1, 0]).is_err());
        assert!(read(&[0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 7, 0]).is_err());
        assert!(read(&[0x15, 0, 0x15, 20, 0x15]).is_err());
        assert!(read(&[0x35, 11, 0]).is_err(), "a negative length");
    }
}
