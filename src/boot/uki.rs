//! The unified kernel image (UAPI.5): a PE file of the EFI stub and, as
//! sections behind it, the kernel, the initrd and what describes them.
//!
//! Everything boots out of this one file. The firmware runs the stub, which
//! finds the sections in memory by name; a BIOS loader and monitors read the
//! same sections out of the file, so each begins at a multiple of 512 bytes.
//!
//! Pure layout is in `layout`, headers in `pe`, effects in `assemble`.

mod assemble;
mod error;
mod layout;
mod pe;
mod read;
#[cfg(test)]
mod tests;

pub use assemble::{Parts, Written, assemble};
pub use error::UkiError;
pub use layout::{Layout, Lengths, layout};
pub use pe::Section;
pub use read::{Uki, parse, section_reader, verify};

/// Alignment of sections in the file (PE/COFF: FileAlignment, 512 at least and
/// by default), so that each begins at a sector of the disk.
pub const FILE_ALIGNMENT: u64 = 512;
