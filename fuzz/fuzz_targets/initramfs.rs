//! An initramfs, packed as an image has it and as `newc` alone: the first byte chooses.
#![no_main]

use ampoule::initramfs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, archive)) = input.split_first() else {
        return;
    };
    let packed;
    let archive = if choice % 2 == 0 {
        archive
    } else {
        packed = frame(archive);
        &packed
    };
    let _ = initramfs::read(archive, &mut |_, _| {});
});

/// A zstd frame of raw blocks (RFC 8878, 3.1.1), so that mutations reach what is inside.
fn frame(content: &[u8]) -> Vec<u8> {
    /// Block_Maximum_Size for the window below, 3.1.1.2.4.
    const BLOCK: usize = 128 << 10;
    // magic number, no flags, a window of 8 MiB (exponent 13)
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3];
    for block in content.chunks(BLOCK) {
        frame.extend(&((block.len() as u32) << 3).to_le_bytes()[..3]);
        frame.extend(block);
    }
    // an empty block that is the last
    frame.extend([1, 0, 0]);
    frame
}
