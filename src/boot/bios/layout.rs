//! Where everything lies in memory while the loader runs, below 1 MiB.
//!
//! | from | to | what |
//! |---|---|---|
//! | `0x00000` | `0x004FF` | interrupt vectors and BIOS data, read only for the tick count |
//! | `0x00600` | `0x006FF` | variables of both stages ([`var`]) |
//! | `0x00800` | `0x00DFF` | memory map, 128 entries of 12 bytes ([`MAP`]) |
//! | `0x00E00` | `0x07BFF` | stack, growing down from `0x07C00` |
//! | `0x07C00` | `0x07DFF` | stage 1, where the BIOS puts it |
//! | `0x08000` | `0x0BFFF` | stage 2 |
//! | `0x10000` | `0x17FFF` | boot sector and setup code of the kernel, at most 32 KiB |
//! | `0x18000` | `0x1DFFF` | heap and stack of the setup code |
//! | `0x1E000` | `0x1FFFF` | command line |
//! | `0x20000` | `0x2EFFF` | buffer that the disk is read into |
//!
//! Above: the protected-mode part of the kernel at `0x100000`, and the initrd,
//! page aligned, as high as memory and the kernel allow.
//! No buffer crosses a multiple of 64 KiB, which many a BIOS cannot read across.

/// Where the BIOS loads and starts the boot sector; the stack grows down from here.
pub const STAGE1: u16 = 0x7C00;
/// Where stage 1 loads and starts stage 2.
pub const STAGE2: u16 = 0x8000;
/// The longest stage 2, in sectors.
pub const STAGE2_MAX_SECTORS: u16 = 32;
/// Segment of the kernel's boot sector and setup code.
pub const SETUP_SEGMENT: u16 = 0x1000;
/// The setup code's entry point is one sector on, at offset 0 of this segment.
pub const SETUP_ENTRY_SEGMENT: u16 = SETUP_SEGMENT + 0x20;
/// Stack top of the setup code and, above it, the command line: an offset in its segment.
pub const HEAP_END: u16 = 0xE000;
/// `heap_end_ptr` is told less 0x200 (boot.rst, "Loading The Rest of The Kernel").
pub const HEAP_END_PTR: u16 = HEAP_END - 0x200;
/// Bytes from [`HEAP_END`] to the end of the segment: room for the command line and its NUL.
pub const CMDLINE_ROOM: u64 = 0x2000;
/// Segment of the command line.
pub const CMDLINE_SEGMENT: u16 = SETUP_SEGMENT + HEAP_END / 16;
/// Segment of the buffer that the disk is read into.
pub const BUFFER_SEGMENT: u16 = 0x2000;
/// Sectors of one read: below the BIOS's 127, and whole pages, which disks like.
pub const BUFFER_SECTORS: u16 = 120;

/// The memory map: entries of [`MAP_ENTRY`] bytes.
pub const MAP: u16 = 0x0800;
/// One entry: first address, address past the end, and 1 if it is usable; 32 bits each.
pub const MAP_ENTRY: u16 = 12;
/// As many entries as the kernel itself takes from a BIOS (`E820_MAX_ENTRIES_ZEROPAGE`).
pub const MAP_MAX: u16 = 128;

/// Variables, in segment 0.
pub mod var {
    /// Byte: the boot drive's number.
    pub const DRIVE: u16 = 0x600;
    /// Byte: 1 if messages go to the serial port too.
    pub const SERIAL: u16 = 0x601;
    /// Byte: attempts left of a read.
    pub const TRIES: u16 = 0x602;
    /// Word: the memory map's end.
    pub const MAP_END: u16 = 0x604;
    /// Word, its low byte used: what the BIOS said of the last disk call.
    pub const STATUS: u16 = 0x606;
    /// Double word: address of the initrd.
    pub const INITRD: u16 = 0x608;
    /// Double word: where the next bytes go above 1 MiB.
    pub const TARGET: u16 = 0x60C;
    /// Double word: sectors still to load.
    pub const LEFT: u16 = 0x610;
    /// Double word: the sum of what was loaded.
    pub const SUM: u16 = 0x614;
    /// Quad word: the next sector to read.
    pub const LBA: u16 = 0x618;
    /// 16 bytes: the disk address packet of INT 13h AH=42h.
    pub const PACKET: u16 = 0x620;
    /// 48 bytes: the descriptors of INT 15h AH=87h.
    pub const DESCRIPTORS: u16 = 0x630;
    /// 26 bytes: the drive parameters of INT 13h AH=48h.
    pub const PARAMETERS: u16 = 0x660;
    /// 20 bytes: one entry of INT 15h AX=E820h.
    pub const RANGE: u16 = 0x680;
    /// Quad word: bytes of usable memory.
    pub const MEMORY: u16 = 0x698;
}

/// The BIOS's count of clock ticks, 18.2 a second: low word.
pub const TICKS: u16 = 0x046C;
