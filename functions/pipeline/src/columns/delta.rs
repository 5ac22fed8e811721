//! How many integers a `DELTA_BINARY_PACKED` list has, and where it ends
//! (<https://parquet.apache.org/docs/file-format/data-pages/encodings/>).

/// Passes over the list at the beginning of `bytes`, if it is whole. Returns the number of its integers, as its header
/// says; `None` where there is no header.
pub(super) fn pass(bytes: &mut &[u8]) -> Option<u64> {
    let block = varint(bytes)?;
    let mini_blocks = varint(bytes)?;
    let count = varint(bytes)?;
    let _first = varint(bytes)?;
    let _ = pass_blocks(bytes, block, mini_blocks, count);
    Some(count)
}

fn pass_blocks(bytes: &mut &[u8], block: u64, mini_blocks: u64, count: u64) -> Option<()> {
    let of_mini_block = block
        .checked_div(mini_blocks)
        .filter(|values| *values > 0)?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        let _least = varint(bytes)?;
        let widths = bytes.split_off(..usize::try_from(mini_blocks).ok()?)?;
        for width in widths {
            if left == 0 {
                break;
            }
            let length = of_mini_block.checked_mul(u64::from(*width))? / 8;
            bytes.split_off(..usize::try_from(length).ok()?)?;
            left = left.saturating_sub(of_mini_block);
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mini_blocks_that_are_not_needed_have_widths_and_no_bytes() {
        // Blocks of 128 in 4, 34 integers from 0, a least delta of 0: a bit each of 32, then 8 each of as many.
        let header = [0x80, 0x01, 4, 34, 0, 0, 1, 8, 1, 99];
        let bytes = [&header[..], &[0; 4 + 32], b"next"].concat();
        let mut rest = bytes.as_slice();
        assert_eq!((pass(&mut rest), rest), (Some(34), &b"next"[..]));
    }

    #[test]
    fn a_list_of_one_has_no_block_and_what_ends_early_no_more_than_it_says() {
        let mut rest: &[u8] = &[0x80, 0x01, 4, 1, 7, 42];
        assert_eq!((pass(&mut rest), rest), (Some(1), &[42][..]));
        let mut rest: &[u8] = &[0x80, 0x01, 4, 0xff, 0x7f, 7, 0, 32, 32, 32, 32, 1];
        assert_eq!(pass(&mut rest), Some(16_383));
        assert_eq!(pass(&mut &[0x80, 0x01, 4][..]), None);
    }
}
