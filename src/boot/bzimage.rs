//! What a bzImage says of itself: the setup header of the x86 boot protocol
//! (Linux 6.12, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").

use crate::units::{Bytes, SECTOR};

/// Bytes from the start of a bzImage that hold the whole setup header.
pub const HEADER_LEN: usize = 0x268;
/// Where the protected-mode part is loaded, if the kernel wants it high.
pub const LOAD_ADDRESS: u32 = 0x10_0000;
/// "HdrS", the header's magic, at [`offset::MAGIC`].
pub const MAGIC: u32 = 0x5372_6448;
/// `boot_flag`, the signature at the end of the first sector.
const BOOT_FLAG: u16 = 0xAA55;
/// Protocol 2.10 (Linux 2.6.31): the first with `pref_address` and `init_size`.
const OLDEST: u16 = 0x020A;
/// `loadflags` bit 0: the protected-mode part is loaded at [`LOAD_ADDRESS`].
const LOADED_HIGH: u8 = 1;
/// Sectors of setup code where `setup_sects` is 0.
const DEFAULT_SETUP_SECTORS: u8 = 4;
/// The real-mode part must fit 32 KiB ("Memory Layout"), its boot sector included.
const MAX_SETUP_SECTORS: u8 = 63;

/// Where in a bzImage the fields are.
pub mod offset {
    /// `setup_sects`, one byte: sectors of setup code after the boot sector.
    pub const SETUP_SECTS: u16 = 0x1F1;
    /// `syssize`, four bytes: the protected-mode part in units of 16 bytes.
    pub const SYSSIZE: u16 = 0x1F4;
    /// `vid_mode`, two bytes, written by the loader.
    pub const VID_MODE: u16 = 0x1FA;
    /// `boot_flag`, two bytes.
    pub const BOOT_FLAG: u16 = 0x1FE;
    /// `header`, four bytes.
    pub const MAGIC: u16 = 0x202;
    /// `version`, two bytes.
    pub const VERSION: u16 = 0x206;
    /// `type_of_loader`, one byte, written by the loader.
    pub const TYPE_OF_LOADER: u16 = 0x210;
    /// `loadflags`, one byte, changed by the loader.
    pub const LOADFLAGS: u16 = 0x211;
    /// `ramdisk_image`, four bytes, written by the loader.
    pub const RAMDISK_IMAGE: u16 = 0x218;
    /// `ramdisk_size`, four bytes, written by the loader.
    pub const RAMDISK_SIZE: u16 = 0x21C;
    /// `heap_end_ptr`, two bytes, written by the loader.
    pub const HEAP_END_PTR: u16 = 0x224;
    /// `cmd_line_ptr`, four bytes, written by the loader.
    pub const CMD_LINE_PTR: u16 = 0x228;
    /// `initrd_addr_max`, four bytes.
    pub const INITRD_ADDR_MAX: u16 = 0x22C;
    /// `cmdline_size`, four bytes.
    pub const CMDLINE_SIZE: u16 = 0x238;
    /// `payload_offset`, four bytes, from the start of the protected-mode part.
    pub const PAYLOAD_OFFSET: u16 = 0x248;
    /// `payload_length`, four bytes.
    pub const PAYLOAD_LENGTH: u16 = 0x24C;
    /// `pref_address`, eight bytes.
    pub const PREF_ADDRESS: u16 = 0x258;
    /// `init_size`, four bytes.
    pub const INIT_SIZE: u16 = 0x260;
}

/// The fields of a setup header that a loader needs, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupHeader {
    /// Sectors of the real-mode part, boot sector and setup code together.
    pub setup_sectors: u8,
    /// `setup_sects` as it stands in the file.
    pub setup_sects: u8,
    /// Length of the protected-mode part in units of 16 bytes.
    pub syssize: u32,
    /// Version of the boot protocol: 0x020F is 2.15.
    pub version: u16,
    /// The highest address that the last byte of the initrd may have.
    pub initrd_addr_max: u32,
    /// The longest command line that the kernel reads, without its NUL.
    pub cmdline_size: u32,
    /// The compressed kernel, counted from the start of the protected-mode part.
    pub payload_offset: u32,
    /// Length of the compressed kernel in bytes.
    pub payload_length: u32,
    /// Where the kernel wants to be unpacked.
    pub pref_address: u64,
    /// Bytes that the kernel uses from there until it has read its memory map.
    pub init_size: u32,
}

/// Why a file is not a kernel that can be booted here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BzImageError {
    /// The file ends within the header.
    #[error("the kernel ends within its setup header, after {len} bytes; it is cut short")]
    Short {
        /// Length of what there is.
        len: usize,
    },
    /// Boot flag or magic are missing.
    #[error("the kernel is not a bzImage: its setup header has no 0xAA55 and \"HdrS\"")]
    NotBzImage,
    /// The header's version is too old.
    #[error("the kernel speaks boot protocol {}.{:02}; 2.10 or newer is needed", .version >> 8, .version & 0xFF)]
    Old {
        /// `version` as it stands in the header.
        version: u16,
    },
    /// A zImage, which is loaded below 640 KiB.
    #[error("the kernel is a zImage, loaded low; build it as bzImage")]
    Low,
    /// The setup code does not fit where it is loaded.
    #[error("the kernel has {sectors} sectors of setup code; at most {MAX_SETUP_SECTORS} fit")]
    Setup {
        /// `setup_sects` as it stands in the header.
        sectors: u8,
    },
    /// The header names an address or a length that cannot be.
    #[error("the kernel's setup header has an impossible {field}")]
    Field {
        /// Name of the field in the boot protocol.
        field: &'static str,
    },
}

impl SetupHeader {
    /// Reads the header at the start of a bzImage.
    ///
    /// # Errors
    /// [`BzImageError`], if these are not the first bytes of a bzImage of
    /// protocol 2.10 or newer.
    pub fn parse(image: &[u8]) -> Result<SetupHeader, BzImageError> {
        let Some(header) = image.first_chunk::<HEADER_LEN>() else {
            return Err(BzImageError::Short { len: image.len() });
        };
        let field = Fields(header);
        if field.u16(offset::BOOT_FLAG) != BOOT_FLAG || field.u32(offset::MAGIC) != MAGIC {
            return Err(BzImageError::NotBzImage);
        }
        let version = field.u16(offset::VERSION);
        if version < OLDEST {
            return Err(BzImageError::Old { version });
        }
        if field.u8(offset::LOADFLAGS) & LOADED_HIGH == 0 {
            return Err(BzImageError::Low);
        }
        let setup_sects = field.u8(offset::SETUP_SECTS);
        let code = if setup_sects == 0 {
            DEFAULT_SETUP_SECTORS
        } else {
            setup_sects
        };
        if code > MAX_SETUP_SECTORS {
            return Err(BzImageError::Setup { sectors: code });
        }
        SetupHeader {
            setup_sectors: code + 1,
            setup_sects,
            syssize: field.u32(offset::SYSSIZE),
            version,
            initrd_addr_max: field.u32(offset::INITRD_ADDR_MAX),
            cmdline_size: field.u32(offset::CMDLINE_SIZE),
            payload_offset: field.u32(offset::PAYLOAD_OFFSET),
            payload_length: field.u32(offset::PAYLOAD_LENGTH),
            pref_address: field.u64(offset::PREF_ADDRESS),
            init_size: field.u32(offset::INIT_SIZE),
        }
        .possible()
    }

    /// Length of the real-mode part: where the protected-mode part begins in the file.
    #[must_use]
    pub fn setup_len(&self) -> Bytes {
        Bytes(u64::from(self.setup_sectors) * SECTOR)
    }

    /// Length of the protected-mode part as the header gives it, a multiple of 16.
    #[must_use]
    pub fn system_len(&self) -> Bytes {
        Bytes(u64::from(self.syssize) * 16)
    }

    /// The first address past all that the kernel writes before it knows where
    /// its initrd is: past what was loaded, and past where it unpacks itself.
    #[must_use]
    pub fn end_of_kernel(&self) -> u64 {
        let loaded = u64::from(LOAD_ADDRESS) + self.system_len().0;
        let unpacked = self.pref_address.max(u64::from(LOAD_ADDRESS)) + u64::from(self.init_size);
        loaded.max(unpacked)
    }

    /// Refuses what no kernel says, so that sums of these fields stay small.
    fn possible(self) -> Result<SetupHeader, BzImageError> {
        /// The kernel and its initrd lie below 4 GiB, or no 16-bit loader reaches them.
        const LIMIT: u64 = 1 << 32;
        let refuse = |field| Err(BzImageError::Field { field });
        if self.syssize == 0 || self.system_len().0 >= LIMIT {
            return refuse("syssize");
        }
        if self.pref_address >= LIMIT || self.end_of_kernel() >= LIMIT {
            return refuse("pref_address or init_size");
        }
        if u64::from(self.payload_offset) + u64::from(self.payload_length) > self.system_len().0 {
            return refuse("payload_offset or payload_length");
        }
        Ok(self)
    }
}

/// Little-endian fields of the header by their offset.
struct Fields<'a>(&'a [u8; HEADER_LEN]);

impl Fields<'_> {
    fn take<const N: usize>(&self, at: u16) -> [u8; N] {
        let at = usize::from(at);
        std::array::from_fn(|i| self.0[at + i])
    }
    fn u8(&self, at: u16) -> u8 {
        self.0[usize::from(at)]
    }
    fn u16(&self, at: u16) -> u16 {
        u16::from_le_bytes(self.take(at))
    }
    fn u32(&self, at: u16) -> u32 {
        u32::from_le_bytes(self.take(at))
    }
    fn u64(&self, at: u16) -> u64 {
        u64::from_le_bytes(self.take(at))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Writes a field.
    pub fn put(image: &mut [u8], at: u16, value: &[u8]) {
        let at = usize::from(at);
        image[at..at + value.len()].copy_from_slice(value);
    }

    /// The start of a bzImage with the numbers of a real 6.12 kernel.
    pub fn sample() -> Vec<u8> {
        let mut image = vec![0; HEADER_LEN];
        put(&mut image, offset::SETUP_SECTS, &[39]);
        put(&mut image, offset::SYSSIZE, &0x5_0000u32.to_le_bytes());
        put(&mut image, offset::BOOT_FLAG, &BOOT_FLAG.to_le_bytes());
        put(&mut image, offset::MAGIC, b"HdrS");
        put(&mut image, offset::VERSION, &0x020Fu16.to_le_bytes());
        put(&mut image, offset::LOADFLAGS, &[LOADED_HIGH]);
        put(
            &mut image,
            offset::INITRD_ADDR_MAX,
            &0x7FFF_FFFFu32.to_le_bytes(),
        );
        put(&mut image, offset::CMDLINE_SIZE, &2047u32.to_le_bytes());
        put(&mut image, offset::PAYLOAD_OFFSET, &0x2CCu32.to_le_bytes());
        put(
            &mut image,
            offset::PAYLOAD_LENGTH,
            &0x4_0000u32.to_le_bytes(),
        );
        put(
            &mut image,
            offset::PREF_ADDRESS,
            &0x100_0000u64.to_le_bytes(),
        );
        put(&mut image, offset::INIT_SIZE, &0x200_0000u32.to_le_bytes());
        image
    }

    /// The error of a sample with one field changed.
    fn refused(at: u16, value: &[u8]) -> BzImageError {
        let mut image = sample();
        put(&mut image, at, value);
        SetupHeader::parse(&image).expect_err("refused")
    }

    #[test]
    fn a_header_is_read() {
        let header = SetupHeader::parse(&sample()).expect("a bzImage");
        assert_eq!(header.setup_len(), Bytes(40 * 512));
        assert_eq!(header.system_len(), Bytes(0x50_0000));
        assert_eq!(header.end_of_kernel(), 0x300_0000);
    }

    #[test]
    fn no_setup_sectors_mean_four() {
        let mut image = sample();
        put(&mut image, offset::SETUP_SECTS, &[0]);
        let header = SetupHeader::parse(&image).expect("a bzImage");
        assert_eq!(header.setup_len(), Bytes(5 * 512));
    }

    #[test]
    fn a_kernel_larger_than_its_memory_ends_where_it_was_loaded() {
        let mut image = sample();
        put(&mut image, offset::SYSSIZE, &0x40_0000u32.to_le_bytes());
        let header = SetupHeader::parse(&image).expect("a bzImage");
        assert_eq!(header.end_of_kernel(), 0x410_0000);
    }

    #[test]
    fn what_is_no_bzimage_is_refused() {
        let whole = sample();
        for len in [0, 0x200, HEADER_LEN - 1] {
            assert_eq!(
                SetupHeader::parse(&whole[..len]),
                Err(BzImageError::Short { len })
            );
        }
        assert_eq!(refused(offset::BOOT_FLAG, &[0]), BzImageError::NotBzImage);
        assert_eq!(refused(offset::MAGIC, b"ELF"), BzImageError::NotBzImage);
        assert_eq!(
            refused(offset::VERSION, &[9]),
            BzImageError::Old { version: 0x209 }
        );
        assert_eq!(refused(offset::LOADFLAGS, &[0]), BzImageError::Low);
        assert_eq!(
            refused(offset::SETUP_SECTS, &[64]),
            BzImageError::Setup { sectors: 64 }
        );
    }

    #[test]
    fn impossible_numbers_are_refused_by_name() {
        let field = |field| BzImageError::Field { field };
        assert_eq!(refused(offset::SYSSIZE, &[0; 4]), field("syssize"));
        assert_eq!(refused(offset::SYSSIZE, &[0xFF; 4]), field("syssize"));
        assert_eq!(
            refused(offset::PREF_ADDRESS, &[0xFF; 8]),
            field("pref_address or init_size")
        );
        assert_eq!(
            refused(offset::INIT_SIZE, &[0xFF; 4]),
            field("pref_address or init_size")
        );
        assert_eq!(
            refused(offset::PAYLOAD_LENGTH, &[0xFF; 4]),
            field("payload_offset or payload_length")
        );
    }

    #[test]
    fn errors_read_well() {
        assert_eq!(
            refused(offset::VERSION, &[9]).to_string(),
            "the kernel speaks boot protocol 2.09; 2.10 or newer is needed"
        );
    }
}
