//! What starts the machine: the unified kernel image, and what finds its
//! parts without UEFI.

pub mod bios;
pub mod bzimage;
pub mod elf;
pub mod uki;
