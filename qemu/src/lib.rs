//! Boots disk images in QEMU and tells what became of them.
