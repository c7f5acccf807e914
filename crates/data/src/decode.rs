//! Decodes the text of a file to UTF-8, piece by piece.

use std::io::{self, Read};

use chainrule_core::TextEncoding;

/// The byte that stands for one that its encoding does not have. It occurs in no UTF-8 text, so
/// that the check of a row's text finds it and names its line.
const INVALID: u8 = 0xff;

/// Windows-1252 from 0x80 to 0x9f. Its other characters are those of Latin-1. 0 stands for a byte
/// without a character: <https://encoding.spec.whatwg.org/index-windows-1252.txt>, where these
/// five are control characters.
const WINDOWS_1252: [u16; 32] = [
    0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0, 0,
    0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
];

/// Returns whether Windows-1252 has a character for the byte.
pub(crate) fn is_windows_1252(byte: u8) -> bool {
    !(0x80..0xa0).contains(&byte) || WINDOWS_1252[usize::from(byte - 0x80)] != 0
}

/// Decodes bytes piece by piece. A byte order mark is left out.
pub(crate) struct Decoder {
    encoding: TextEncoding,
    /// The first byte of a UTF-16 unit whose second one is not here yet.
    half: Option<u8>,
    /// The first unit of a character of two.
    high: Option<u16>,
    /// Whether nothing was decoded yet.
    is_start: bool,
}

impl Decoder {
    pub(crate) fn new(encoding: TextEncoding) -> Self {
        Self { encoding, half: None, high: None, is_start: true }
    }

    /// Appends the decoded bytes to `text`.
    pub(crate) fn push(&mut self, bytes: &[u8], text: &mut Vec<u8>) {
        match self.encoding {
            TextEncoding::Utf8 => {
                // Validity is checked row by row, where the line is known.
                text.extend_from_slice(bytes);
            }
            TextEncoding::Latin1 => bytes.iter().for_each(|&byte| push_char(char::from(byte), text)),
            TextEncoding::Windows1252 => bytes.iter().for_each(|&byte| match byte {
                0x80..0xa0 => match WINDOWS_1252[usize::from(byte - 0x80)] {
                    0 => text.push(INVALID),
                    unit => push_char(char::from_u32(unit.into()).unwrap_or_default(), text),
                },
                _ => push_char(char::from(byte), text),
            }),
            TextEncoding::Utf16Le | TextEncoding::Utf16Be => {
                for &byte in bytes {
                    let Some(first) = self.half.take() else {
                        self.half = Some(byte);
                        continue;
                    };
                    let unit = match self.encoding {
                        TextEncoding::Utf16Le => u16::from_le_bytes([first, byte]),
                        _ => u16::from_be_bytes([first, byte]),
                    };
                    self.push_unit(unit, text);
                }
            }
        }
    }

    fn push_unit(&mut self, unit: u16, text: &mut Vec<u8>) {
        let is_mark = std::mem::take(&mut self.is_start) && unit == 0xfeff;
        if is_mark {
            return;
        }
        match (self.high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                let pair = char::decode_utf16([high, unit]).filter_map(Result::ok);
                pair.for_each(|c| push_char(c, text));
            }
            (high, _) => {
                if high.is_some() {
                    text.push(INVALID);
                }
                match unit {
                    0xd800..=0xdbff => self.high = Some(unit),
                    _ => match char::from_u32(unit.into()) {
                        Some(c) => push_char(c, text),
                        None => text.push(INVALID),
                    },
                }
            }
        }
    }

    /// Ends the text. A character that is not complete is invalid.
    pub(crate) fn finish(&mut self, text: &mut Vec<u8>) {
        if self.half.take().is_some() | self.high.take().is_some() {
            text.push(INVALID);
        }
    }
}

fn push_char(c: char, text: &mut Vec<u8>) {
    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Decodes a whole piece of text. An incomplete last character is left out.
pub(crate) fn decode(bytes: &[u8], encoding: TextEncoding) -> Vec<u8> {
    let mut text = Vec::new();
    Decoder::new(encoding).push(bytes, &mut text);
    text
}

/// A reader of text in UTF-8, decoded from another one.
pub(crate) struct Decoded<R> {
    source: R,
    /// `None` for UTF-8, which is passed through.
    decoder: Option<Decoder>,
    buffer: Vec<u8>,
    /// The decoded bytes, and the number of those that were read.
    text: Vec<u8>,
    position: usize,
}

impl<R> Decoded<R> {
    pub(crate) fn new(source: R, encoding: TextEncoding) -> Self {
        let decoder = (encoding != TextEncoding::Utf8).then(|| Decoder::new(encoding));
        let buffer = if decoder.is_some() { vec![0; 1 << 14] } else { Vec::new() };
        Self { source, decoder, buffer, text: Vec::new(), position: 0 }
    }

    pub(crate) fn into_inner(self) -> R {
        self.source
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return self.source.read(buffer) };
        loop {
            let count = (&self.text[self.position..]).read(buffer)?;
            self.position += count;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.text.clear();
            self.position = 0;
            let count = self.source.read(&mut self.buffer)?;
            if count > 0 {
                decoder.push(&self.buffer[..count], &mut self.text);
                continue;
            }
            decoder.finish(&mut self.text);
            if self.text.is_empty() {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_in_pieces_of_any_size() {
        let text = "a\u{20ac}\u{e9};\u{1f980}\u{feff}\n";
        let units = || text.encode_utf16();
        let le: Vec<u8> = [0xfeff].into_iter().chain(units()).flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
        let lone: Vec<u8> =
            [0xd83e, 0x61, 0xdd80, 0xd83e, 0xd83e, 0xdd80].into_iter().flat_map(u16::to_le_bytes).collect();
        for (bytes, encoding, expected) in [
            (&le[..], TextEncoding::Utf16Le, text.as_bytes()),
            (&be, TextEncoding::Utf16Be, text.as_bytes()),
            (&be[..be.len() - 1], TextEncoding::Utf16Be, &[&text.as_bytes()[..text.len() - 1], b"\xff"].concat()),
            (&lone, TextEncoding::Utf16Le, b"\xffa\xff\xff\xf0\x9f\xa6\x80"),
            (b"a\x80\xe9\x81", TextEncoding::Windows1252, b"a\xe2\x82\xac\xc3\xa9\xff"),
            (b"a\x80\xe9", TextEncoding::Latin1, b"a\xc2\x80\xc3\xa9"),
        ] {
            for size in 1..=bytes.len() {
                let (mut decoder, mut found) = (Decoder::new(encoding), Vec::new());
                bytes.chunks(size).for_each(|piece| decoder.push(piece, &mut found));
                decoder.finish(&mut found);
                assert_eq!(found, expected, "{encoding:?} in pieces of {size}");
            }
        }
    }
}
