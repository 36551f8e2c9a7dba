//! Images made, read back, damaged in every place that matters.

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::digest::Digest;
use crate::units::{Arch, Bytes, Lba, MIB, SECTOR};

/// Bytes that no run of zeros interrupts.
fn uki(len: usize) -> Vec<u8> {
    (0u32..)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 1)
        .take(len)
        .collect()
}

fn boot() -> BootCode {
    BootCode {
        mbr: [0xf4; 440],
        stage2: vec![0x5a; 5000],
    }
}

fn made(len: usize, arch: Arch) -> (File, Plan) {
    let file = tempfile::tempfile().unwrap();
    let plan = plan(Bytes(len as u64), arch, &Digest::of(b"seed")).unwrap();
    let boot = (arch == Arch::X86_64).then(boot);
    write(&plan, &mut Cursor::new(uki(len)), boot.as_ref(), &file).unwrap();
    (file, plan)
}

/// The image with one byte changed, or cut off.
struct Damaged<'a> {
    image: &'a File,
    at: u64,
    xor: u8,
    len: u64,
}

impl Read for Damaged<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let from = self.image.stream_position()?;
        let left = usize::try_from(self.len.saturating_sub(from)).unwrap();
        let n = buf.len().min(left);
        let n = self.image.read(&mut buf[..n])?;
        if let Some(hit) = self.at.checked_sub(from).filter(|&hit| hit < n as u64) {
            buf[usize::try_from(hit).unwrap()] ^= self.xor;
        }
        Ok(n)
    }
}

impl Seek for Damaged<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::End(by) => self
                .image
                .seek(SeekFrom::Start(self.len.checked_add_signed(by).unwrap())),
            to => self.image.seek(to),
        }
    }
}

fn flipped(image: &File, at: u64, xor: u8) -> Result<Image, DiskError> {
    let len = image.metadata().unwrap().len();
    read(&mut Damaged {
        image,
        at,
        xor,
        len,
    })
}

#[test]
fn what_is_written_is_what_is_read() {
    for (len, arch) in [
        (1, Arch::X86_64),
        (4_000_001, Arch::X86_64),
        (700_000, Arch::Aarch64),
    ] {
        let (mut file, plan) = made(len, arch);
        let image = read(&mut file).unwrap();
        assert_eq!(image.len, plan.len());
        assert_eq!(file.metadata().unwrap().len(), plan.len().0);
        assert_eq!(image.disk_guid, plan.disk_guid);
        assert!(plan.partitions().eq(&image.partitions));
        assert_eq!(image.uki, plan.uki());
        assert_eq!(image.arch, arch);
        let mut content = Vec::new();
        Window::new(&file, image.uki)
            .read_to_end(&mut content)
            .unwrap();
        assert!(content == uki(len), "{len}");
    }
}

#[test]
fn boot_code_lies_where_a_bios_looks() {
    let (mut file, plan) = made(1, Arch::X86_64);
    let mut mbr = [0; 512];
    file.rewind().unwrap();
    file.read_exact(&mut mbr).unwrap();
    assert_eq!(mbr[..440], [0xf4; 440]);
    // UEFI 2.10, table 5.3: the signature and the word after it are zero
    assert_eq!(mbr[440..446], [0; 6]);
    let last = u32::try_from(plan.sectors - 1).unwrap().to_le_bytes();
    let record = [&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0][..], &last].concat();
    assert_eq!(mbr[446..462], record);
    assert_eq!(mbr[462..], [&[0; 48][..], &[0x55, 0xaa]].concat());
    let mut stage2 = vec![0; 5000];
    file.seek(SeekFrom::Start(MIB)).unwrap();
    file.read_exact(&mut stage2).unwrap();
    assert_eq!(stage2, boot().stage2);
}

#[test]
fn zeros_stay_holes() {
    let (file, _) = made(5000, Arch::X86_64);
    let meta = file.metadata().unwrap();
    assert_eq!(meta.len(), 36 * MIB);
    // the tables, two FATs of little use, three directories and the file
    assert!(
        meta.blocks() * 512 < 128 << 10,
        "{} B allocated",
        meta.blocks() * 512
    );
}

#[test]
fn the_same_input_gives_the_same_bytes_over_any_old_file() {
    let (mut one, plan) = made(70_000, Arch::X86_64);
    let mut two = tempfile::tempfile().unwrap();
    two.write_all(&vec![0xff; 50 << 20]).unwrap();
    write(&plan, &mut Cursor::new(uki(70_000)), Some(&boot()), &two).unwrap();
    one.rewind().unwrap();
    two.rewind().unwrap();
    assert_eq!(
        Digest::of_reader(&one).unwrap(),
        Digest::of_reader(&two).unwrap()
    );
}

#[test]
fn what_does_not_fit_the_plan_is_refused() {
    let file = tempfile::tempfile().unwrap();
    let x86 = plan(Bytes(100), Arch::X86_64, &Digest::of(b"")).unwrap();
    let arm = plan(Bytes(100), Arch::Aarch64, &Digest::of(b"")).unwrap();
    let attempt = |plan, len, boot: Option<&BootCode>| {
        write(plan, &mut Cursor::new(uki(len)), boot, &file).unwrap_err()
    };
    assert!(matches!(
        attempt(&x86, 99, Some(&boot())),
        DiskError::Changed
    ));
    assert!(matches!(
        attempt(&x86, 101, Some(&boot())),
        DiskError::Changed
    ));
    assert!(matches!(attempt(&x86, 100, None), DiskError::BootCode(_)));
    assert!(matches!(
        attempt(&arm, 100, Some(&boot())),
        DiskError::BootCode(_)
    ));
    let mut big = boot();
    big.stage2 = vec![1; (1 << 20) + 1];
    let error = attempt(&x86, 100, Some(&big)).to_string();
    assert_eq!(
        error,
        "the BIOS loader is 1.0 MiB long and its partition has 1.0 MiB"
    );
}

#[test]
fn an_output_that_cannot_be_resized_is_an_error() {
    let full = File::options()
        .write(true)
        .read(true)
        .open("/dev/full")
        .unwrap();
    let plan = plan(Bytes(100), Arch::Aarch64, &Digest::of(b"")).unwrap();
    let error = write(&plan, &mut Cursor::new(uki(100)), None, &full).unwrap_err();
    assert!(matches!(error, DiskError::Write(_)), "{error:?}");
}

#[test]
fn a_larger_disk_holds_the_same_image() {
    let (mut file, _) = made(100, Arch::X86_64);
    let image = read(&mut file).unwrap();
    file.set_len(64 * MIB).unwrap();
    assert_eq!(read(&mut file).unwrap(), image);
}

#[test]
fn every_cut_is_an_error() {
    let (file, plan) = made(100, Arch::X86_64);
    let whole = plan.len().0;
    let cuts = [
        0,
        1,
        511,
        512,
        513,
        1023,
        1024,
        2 * MIB,
        whole - 512,
        whole - 1,
    ];
    for len in cuts.into_iter().chain((0..whole).step_by(511 * 1024)) {
        let (at, xor) = (0, 0);
        let error = read(&mut Damaged {
            image: &file,
            at,
            xor,
            len,
        })
        .unwrap_err();
        assert!(
            matches!(error, DiskError::NotAnImage(_) | DiskError::Corrupt(_)),
            "{len}: {error:?}"
        );
    }
}

#[test]
fn damage_is_named() {
    let (file, plan) = made(100, Arch::X86_64);
    let esp = plan.esp.first.offset().0;
    let fat = esp + 8 * SECTOR;
    let file_entry = fat + 5 * 4;
    let second_fat = file_entry + plan_fat(&plan) * SECTOR;
    let directory = plan.uki().offset.0 - SECTOR;
    let backup = plan.len().0 - SECTOR;
    for (at, said) in [
        (510, "it has no boot record"),
        (446 + 4, "it has no GUID partition table"),
        (512, "the partition table's header is damaged"),
        (512 + 60, "the partition table's header is damaged"),
        (1024 + 40, "the partition table's entries are damaged"),
        (backup, "the partition table's backup is damaged"),
        (
            backup - 32 * SECTOR,
            "the partition table's backup is damaged",
        ),
        (esp + 510, "the EFI system partition has no boot sector"),
        (
            esp + 13,
            "the EFI system partition has an impossible geometry",
        ),
        (esp + 17, "the EFI system partition is not FAT32"),
        (
            esp + 35,
            "the EFI system partition is larger than its partition",
        ),
        (second_fat, "has two allocation tables that differ"),
        (
            directory + 64,
            "has no \\EFI\\BOOT\\BOOTX64.EFI or BOOTAA64.EFI",
        ),
    ] {
        let error = flipped(&file, at, 0x83).unwrap_err().to_string();
        assert!(error.ends_with(said), "byte {at}: {error}");
    }
}

fn plan_fat(plan: &Plan) -> u64 {
    plan.fat.fat
}

#[test]
fn a_chain_that_jumps_or_loops_is_refused() {
    let (file, plan) = made(5000, Arch::X86_64);
    let esp = plan.esp.first.offset().0;
    let links = [
        // the file's second cluster leads to its first; the chain ends early;
        // it goes on after the end; it leads out of the volume
        (6, 5_u32),
        (6, 0x0fff_ffff),
        (14, 15),
        (7, 0x0fff_fff0),
        (5, 0),
    ];
    for (cluster, value) in links {
        let mut copy = tempfile::tempfile().unwrap();
        (&file).rewind().unwrap();
        io::copy(&mut (&file), &mut copy).unwrap();
        for fat in [0, plan.fat.fat] {
            let at = esp + (8 + fat) * SECTOR + cluster * 4;
            copy.seek(SeekFrom::Start(at)).unwrap();
            copy.write_all(&value.to_le_bytes()).unwrap();
        }
        let error = read(&mut copy).unwrap_err().to_string();
        assert!(error.contains("not in one piece"), "{cluster}: {error}");
    }
}

#[test]
fn no_byte_makes_the_reader_panic() {
    let (file, plan) = made(5000, Arch::X86_64);
    let esp = plan.esp.first.offset().0;
    let directories = plan.uki().offset.0 - 3 * SECTOR;
    let directory = |n: u64| directories + n * SECTOR..directories + n * SECTOR + 100;
    let places = (444..604)
        .chain(1024..1290)
        .chain(esp..esp + 92)
        .chain(esp + 8 * SECTOR..esp + 8 * SECTOR + 24)
        .chain((0..3).flat_map(directory))
        .chain(plan.len().0 - 512..plan.len().0 - 420);
    let before = flipped(&file, 0, 0).unwrap();
    for at in places {
        for xor in [0x01, 0xff] {
            // harmless places exist; where it reads, it reads the same file
            if let Ok(image) = flipped(&file, at, xor) {
                assert_eq!(image.uki.offset, before.uki.offset, "{at}");
            }
        }
    }
}

#[test]
fn other_files_are_no_images() {
    for bytes in [&b""[..], b"\x7fELF", &[0; 4096]] {
        let error = read(&mut Cursor::new(bytes)).unwrap_err();
        assert!(matches!(error, DiskError::NotAnImage(_)), "{error:?}");
    }
    let missing = open(std::path::Path::new("/nonexistent")).unwrap_err();
    assert!(matches!(missing, DiskError::Read(_)));
    assert!(matches!(
        open(std::path::Path::new("/")),
        Err(DiskError::Read(_))
    ));
}

#[test]
fn windows_end_where_they_should() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), b"0123456789").unwrap();
    let extent = Extent {
        offset: Bytes(2),
        len: Bytes(5),
    };
    let mut window = Window::new(File::open(dir.path().join("f")).unwrap(), extent);
    let mut text = String::new();
    window.read_to_string(&mut text).unwrap();
    assert_eq!(text, "23456");
    assert_eq!(window.seek(SeekFrom::End(-2)).unwrap(), 3);
    text.clear();
    window.read_to_string(&mut text).unwrap();
    assert_eq!(text, "56");
    assert!(window.seek(SeekFrom::Current(-9)).is_err());
    assert_eq!(extent.lba(), Lba(0));
}
