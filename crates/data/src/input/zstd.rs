use std::io::{self, BufRead, ErrorKind, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Codec, MAX_WINDOW, Packed};

pub(super) const CODEC: Zstd = Zstd;

/// Zstandard (RFC 8878), of any number of frames.
pub(super) struct Zstd;

impl Codec for Zstd {
    fn name(&self) -> &'static str {
        "zstd"
    }

    fn extension(&self) -> &'static str {
        "zst"
    }

    /// Parallel compressors begin with a skippable frame (`0x184D2A5?`).
    fn sniff(&self, beginning: &[u8]) -> bool {
        beginning.starts_with(b"\x28\xb5\x2f\xfd")
            || matches!(beginning, [first, b'\x2a', b'\x4d', b'\x18', ..] if first & 0xf0 == 0x50)
    }

    fn decode<'a>(&self, packed: Packed<'a>, _: u64) -> io::Result<Box<dyn Read + 'a>> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Ok(Box::new(Frames { packed, decoder, is_in_frame: false, length: 0 }))
    }
}

/// Decodes frame after frame. The decoder of the library stops after the first, and checks neither
/// checksum nor length.
struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
    is_in_frame: bool,
    /// The number of bytes of this frame's content so far.
    length: u64,
}

impl<R: BufRead> Frames<R> {
    /// Reads a frame's header, or skips a skippable frame.
    fn begin(&mut self) -> io::Result<()> {
        match self.decoder.reset(&mut self.packed) {
            Ok(()) => (self.is_in_frame, self.length) = (true, 0),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let length = u64::from(length);
                if io::copy(&mut self.packed.by_ref().take(length), &mut io::sink())? < length {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "it ends too early"));
                }
            }
            Err(FrameDecoderError::WindowSizeTooBig { .. }) => return Err(ErrorKind::OutOfMemory.into()),
            Err(FrameDecoderError::DictNotProvided { .. }) => {
                return Err(io::Error::new(
                    ErrorKind::Unsupported,
                    "it was compressed with a dictionary; unpack it with zstd -d -D DICTIONARY",
                ));
            }
            Err(error) => return Err(damaged(error)),
        }
        Ok(())
    }

    /// Checks a frame whose content was read.
    fn end(&mut self) -> io::Result<()> {
        self.is_in_frame = false;
        // 0 means that the header does not say.
        let expected = self.decoder.content_size();
        if expected != 0 && expected != self.length {
            return Err(io::Error::other(format!("its frame has {} bytes, not {expected}", self.length)));
        }
        if let Some(expected) = self.decoder.get_checksum_from_data()
            && self.decoder.get_calculated_checksum() != Some(expected)
        {
            return Err(io::Error::other("wrong checksum"));
        }
        Ok(())
    }
}

/// The library wraps the end of the file in several errors.
fn damaged(error: FrameDecoderError) -> io::Error {
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == ErrorKind::UnexpectedEof) {
            return io::Error::new(ErrorKind::UnexpectedEof, "it ends too early");
        }
        source = cause.source();
    }
    io::Error::other(error)
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_in_frame {
                if self.packed.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.begin()?;
                continue;
            }
            let count = self.decoder.read(buffer)?;
            self.length += count as u64;
            if count > 0 {
                return Ok(count);
            }
            if self.decoder.is_finished() {
                self.end()?;
            } else {
                let one_block = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.packed, one_block).map_err(damaged)?;
            }
        }
    }
}
