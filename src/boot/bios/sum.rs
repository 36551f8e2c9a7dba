//! The sum by which stage 2 sees that what it loaded is what the image was made
//! with: it tells of an image copied in part, and of a BIOS that takes a failed
//! read for a good one.
//!
//! Over all 32-bit words, in whole sectors: the sum so far rotated left by
//! [`TURN`], plus the word. One changed word always changes it.

use std::io::{self, Read, Seek, SeekFrom};

use crate::units::{Bytes, SECTOR};

/// Bits that the sum is rotated by for each word.
pub const TURN: u32 = 5;
/// Bytes read at a time, whole words.
const CHUNK: u64 = 1 << 20;
/// Bytes in a word.
const WORD: u64 = 4;

/// The sum of `sectors` from `at` on; past the end of `file` the disk is zeros.
pub fn of_sectors(file: &mut (impl Read + Seek), at: Bytes, sectors: u64) -> io::Result<u32> {
    file.seek(SeekFrom::Start(at.0))?;
    let mut left = sectors * SECTOR;
    let mut sum = 0u32;
    let mut chunk = Vec::new();
    while left > 0 {
        chunk.clear();
        let len = file
            .by_ref()
            .take(CHUNK.min(left))
            .read_to_end(&mut chunk)?;
        if len == 0 {
            break;
        }
        chunk.resize(len.next_multiple_of(4), 0);
        for word in chunk.chunks_exact(4) {
            let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            sum = sum.rotate_left(TURN).wrapping_add(word);
        }
        left = left.saturating_sub(chunk.len() as u64);
    }
    // words of zeros only turn it, and 32 of them not at all
    Ok((0..left / WORD % 32).fold(sum, |sum, _| sum.rotate_left(TURN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], at: u64, sectors: u64) -> u32 {
        of_sectors(&mut io::Cursor::new(bytes), Bytes(at), sectors).expect("from memory")
    }

    #[test]
    fn words_are_turned_and_added() {
        let mut sector = vec![0; 512];
        sector[504..].copy_from_slice(&[1, 0, 0, 0x80, 2, 0, 0, 0]);
        assert_eq!(of(&sector, 0, 1), 0x8000_0001u32.rotate_left(5) + 2);
    }

    #[test]
    fn what_is_not_there_is_zeros() {
        let mut disk = vec![7; 700];
        let short = of(&disk, 512, 40);
        disk.resize(41 * 512, 0);
        assert_eq!(short, of(&disk, 512, 40));
        assert_eq!(of(&disk[..600], 600, 3), 0);
        // more than a chunk
        disk.resize(3 << 20, 9);
        let whole = of(&disk, 0, 6144);
        assert_ne!(of(&disk[..disk.len() - 3], 0, 6144), whole);
        disk.resize(4 << 20, 0);
        assert_eq!(of(&disk[..3 << 20], 0, 8192), of(&disk, 0, 8192));
    }
}
