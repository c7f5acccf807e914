//! Checks texts whose lengths are stored as differences, before the library decodes them.
//!
//! The library allocates memory for as many texts and bytes as a page promises, which can be much
//! more than a damaged page has.

/// The largest number of texts of a page. Writers use some ten thousand.
const MAX_TEXTS: u64 = 1 << 24;

/// Checks a page of the encoding `DELTA_LENGTH_BYTE_ARRAY`: the lengths, then the texts.
///
/// # Errors
/// Fails if the texts do not fit in the page.
pub(super) fn check_lengths(page: &[u8]) -> Result<(), String> {
    let (_, total, texts) = lengths(page)?;
    if total > texts.len() as u64 { Err("its texts are truncated".to_owned()) } else { Ok(()) }
}

/// Checks a page of the encoding `DELTA_BYTE_ARRAY`: how much of the previous text each text begins
/// with, and the ends of the texts as above.
///
/// # Errors
/// Fails if the ends do not fit in the page, or if the texts have more than `limit` bytes.
pub(super) fn check_prefixes(page: &[u8], limit: u64) -> Result<(), String> {
    let (n_prefixes, prefixes, rest) = lengths(page)?;
    let (n_ends, ends, texts) = lengths(rest)?;
    if n_prefixes != n_ends || ends > texts.len() as u64 {
        return Err("its texts are truncated".to_owned());
    }
    if prefixes + ends > limit { Err("a page has too many bytes".to_owned()) } else { Ok(()) }
}

/// Decodes lengths, which have the encoding `DELTA_BINARY_PACKED`. Returns their number, their sum,
/// and the bytes that follow.
fn lengths(mut bytes: &[u8]) -> Result<(u64, u64, &[u8]), String> {
    let wrong = || "the lengths of its texts are wrong".to_owned();
    let [block, n_parts, count] = [varint(&mut bytes)?, varint(&mut bytes)?, varint(&mut bytes)?];
    let mut length = zigzag(varint(&mut bytes)?);
    let of_part = block.checked_div(n_parts).filter(|of_part| *of_part > 0 && block <= 1 << 20).ok_or_else(wrong)?;
    if count > MAX_TEXTS {
        return Err(wrong());
    }
    let (mut total, mut left) = (0, count);
    // The first length is in the header.
    let mut add = |length: i64| {
        total += u64::from(u32::try_from(length).ok().filter(|length| *length <= i32::MAX as u32).ok_or_else(wrong)?);
        Ok::<_, String>(())
    };
    if left > 0 {
        add(length)?;
        left -= 1;
    }
    while left > 0 {
        let smallest = zigzag(varint(&mut bytes)?);
        let (widths, rest) = bytes.split_at_checked(n_parts as usize).ok_or_else(wrong)?;
        bytes = rest;
        for &width in widths {
            if left == 0 {
                break;
            }
            // Differences of 32-bit lengths.
            let width = usize::from(width);
            if width > 32 {
                return Err(wrong());
            }
            let (part, rest) = bytes.split_at_checked((of_part as usize * width).div_ceil(8)).ok_or_else(wrong)?;
            bytes = rest;
            for i in 0..left.min(of_part) as usize {
                let step = smallest.checked_add(bits(part, i * width, width));
                length = step.and_then(|step| length.checked_add(step)).ok_or_else(wrong)?;
                add(length)?;
            }
            left -= left.min(of_part);
        }
    }
    Ok((count, total, bytes))
}

/// Returns up to 32 bits from a position on, the lowest first.
fn bits(bytes: &[u8], position: usize, width: usize) -> i64 {
    let window = bytes[position / 8..].iter().take(5).rev().fold(0, |window, &byte| window << 8 | u64::from(byte));
    (window >> (position % 8) & ((1 << width) - 1)) as i64
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or("the lengths of its texts are truncated")?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("the lengths of its texts are wrong".to_owned())
}

fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_decoded() {
        // Blocks of 8 in 2 parts; 6 lengths from 3: 3, 4, 5, 3, 10, 11. The differences are at
        // least -2; without it 3, 3, 0, 9 in four bits and 3 in two.
        let page = [8, 2, 6, 6, 3, 4, 2, 0x33, 0x90, 3, b'x'];
        assert_eq!(lengths(&page), Ok((6, 36, &b"x"[..])));
        for length in 0..page.len() - 1 {
            assert!(lengths(&page[..length]).is_err(), "{length}");
        }
        assert!(check_lengths(&page).is_err());
        // Two empty texts, and 2^40 of them.
        assert_eq!(check_lengths(&[128, 1, 4, 2, 0, 0, 0, 0, 0, 0]), Ok(()));
        let many = [128, 1, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0, 0, 0, 0, 0, 0];
        assert!(check_lengths(&many).is_err());
        // A negative length.
        assert!(check_lengths(&[128, 1, 4, 1, 1]).is_err());
        // "ab", and all of it again.
        let ends = [&[128, 1, 4, 2, 4, 3, 0, 0, 0, 0][..], b"ab"].concat();
        let prefixes = [128, 1, 4, 2, 0, 4, 0, 0, 0, 0];
        assert_eq!(check_prefixes(&[&prefixes[..], &ends].concat(), 4), Ok(()));
        assert!(check_prefixes(&[&prefixes[..], &ends].concat(), 3).is_err());
    }
}
