//! The disk image: protective MBR, GPT, an optional BIOS boot partition, and a
//! FAT32 EFI system partition with one file, the unified kernel image.
//!
//! [`plan`] is pure and knows every address beforehand, [`write()`] makes the
//! image and reads it back, [`open`] reads any image and trusts nothing in it.
//!
//! The standards are UEFI 2.10 (chapter 5 for GPT, 13.3 for the FAT variant)
//! and Microsoft's FAT specification, fatgen103.

mod error;
mod esp;
mod fat;
mod guid;
mod plan;
mod read;
mod table;
#[cfg(test)]
mod tests;
mod walk;
mod window;
mod write;

pub use error::DiskError;
pub use guid::Guid;
pub use plan::{BootCode, Extent, Partition, Plan, plan};
pub use read::{Image, open, read};
pub use window::Window;
pub use write::write;
