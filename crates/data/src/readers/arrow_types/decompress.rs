//! Decompresses the pages of Parquet files and the buffers of Arrow files.
//!
//! The libraries for these formats allocate what a damaged file asks for, and can read zstd only
//! with a library in C. Here, memory grows with the bytes that arrive.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use lz4_flex::block::DecompressError;
use lz4_flex::frame::FrameDecoder;
use ruzstd::decoding::StreamingDecoder;

/// A compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::readers) enum Compression {
    Snappy,
    Gzip,
    /// A block of LZ4.
    Lz4Block,
    /// Blocks of LZ4 with their sizes, as Hadoop wrote them.
    Lz4Hadoop,
    /// The frame format of LZ4.
    Lz4Frame,
    Zstd,
}

/// No element of Snappy is longer than 64 bytes, or takes less than 2.
const MAX_SNAPPY_RATIO: usize = 32;
/// LZ4 takes at least one byte for 255.
const MAX_LZ4_RATIO: usize = 255;

/// Decompresses at most `limit` bytes.
///
/// # Errors
/// Fails if the bytes are damaged, or if there are more.
pub(in crate::readers) fn decompress(compression: Compression, bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    match compression {
        Compression::Snappy => {
            let length = snap::raw::decompress_len(bytes).map_err(damaged)?;
            if length > limit.min(bytes.len().saturating_mul(MAX_SNAPPY_RATIO)) {
                return Err(damaged("too many bytes"));
            }
            snap::raw::Decoder::new().decompress_vec(bytes).map_err(damaged)
        }
        Compression::Gzip => read(MultiGzDecoder::new(bytes), limit),
        Compression::Lz4Block => lz4_block(bytes, limit),
        Compression::Lz4Hadoop => lz4_hadoop(bytes, limit).or_else(|_| lz4_block(bytes, limit)),
        Compression::Lz4Frame => read(FrameDecoder::new(bytes), limit),
        Compression::Zstd => read(StreamingDecoder::new(bytes).map_err(damaged)?, limit),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes values")]
fn damaged(problem: impl ToString) -> String {
    format!("damaged compressed data ({})", problem.to_string())
}

fn read(decoder: impl Read, limit: usize) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    decoder.take((limit as u64).saturating_add(1)).read_to_end(&mut output).map_err(damaged)?;
    if output.len() > limit { Err(damaged("too many bytes")) } else { Ok(output) }
}

/// Decompresses a block, whose size is not known.
fn lz4_block(bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let largest = limit.min(bytes.len().saturating_mul(MAX_LZ4_RATIO));
    let mut size = largest.min(bytes.len().saturating_mul(4));
    loop {
        let mut output = vec![0; size];
        match lz4_flex::block::decompress_into(bytes, &mut output) {
            Ok(length) => {
                output.truncate(length);
                return Ok(output);
            }
            Err(DecompressError::OutputTooSmall { .. }) if size < largest => size = largest.min(2 * size),
            Err(problem) => return Err(damaged(problem)),
        }
    }
}

fn lz4_hadoop(mut bytes: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let mut output = Vec::new();
    while !bytes.is_empty() {
        let (sizes, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| damaged("it is truncated"))?;
        let size = |at: usize| u32::from_be_bytes([sizes[at], sizes[at + 1], sizes[at + 2], sizes[at + 3]]) as usize;
        let (block, rest) = rest.split_at_checked(size(4)).ok_or_else(|| damaged("it is truncated"))?;
        let decompressed = lz4_block(block, limit.saturating_sub(output.len()).min(size(0)))?;
        if decompressed.len() != size(0) {
            return Err(damaged("wrong size"));
        }
        output.extend(decompressed);
        bytes = rest;
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        match compression {
            Compression::Snappy => snap::raw::Encoder::new().compress_vec(bytes).expect("it fits"),
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("it fits")
            }
            Compression::Lz4Block => lz4_flex::block::compress(bytes),
            Compression::Lz4Hadoop => {
                let of_part = |part: &[u8]| {
                    let block = lz4_flex::block::compress(part);
                    let sizes = [part.len() as u32, block.len() as u32].map(u32::to_be_bytes);
                    [sizes.concat(), block].concat()
                };
                bytes.chunks(1000).flat_map(of_part).collect()
            }
            Compression::Lz4Frame => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(bytes).expect("it fits");
                encoder.finish().expect("it fits")
            }
            Compression::Zstd => ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest),
        }
    }

    #[test]
    fn data_is_decompressed_up_to_the_limit() {
        let flat = vec![7; 100_000];
        let varied: Vec<u8> = (0..5000u32).flat_map(|i| (i.wrapping_mul(0x9e37_79b9)).to_le_bytes()).collect();
        for compression in [
            Compression::Snappy,
            Compression::Gzip,
            Compression::Lz4Block,
            Compression::Lz4Hadoop,
            Compression::Lz4Frame,
            Compression::Zstd,
        ] {
            for bytes in [&flat, &varied] {
                let compressed = compress(compression, bytes);
                let result = |limit| decompress(compression, &compressed, limit);
                assert_eq!(result(bytes.len()).as_ref(), Ok(bytes), "{compression:?}");
                assert_eq!(result(usize::MAX).as_ref(), Ok(bytes), "{compression:?}");
                assert!(result(bytes.len() - 1).is_err(), "{compression:?}");
                let truncated = decompress(compression, &compressed[..compressed.len() / 2], usize::MAX);
                assert_ne!(truncated.as_ref(), Ok(bytes), "{compression:?}");
            }
        }
        // A claim of 4 GiB in five bytes.
        assert!(decompress(Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f], usize::MAX).is_err());
    }
}
