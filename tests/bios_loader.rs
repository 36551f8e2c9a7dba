//! The BIOS loader under SeaBIOS, with a probe in place of a kernel: what it
//! hands over, what it loads where, and what it says when it cannot.

mod bios_support;

use std::fs::OpenOptions;
use std::path::PathBuf;

use ampoule::units::{MIB, SECTOR};
use ampoule_qemu::{Board, Console};
use bios_support::hostile::Hostile;
use bios_support::probe::{Probe, sums};
use bios_support::{BUSES, Boot, Disk, Running, STAGE2, VIRTIO, machine, machine_with, noise, put};
use tempfile::TempDir;

/// A kernel of the usual place and size in memory.
const PROBE: Probe = Probe {
    pref_address: 0x100_0000,
    init_size: 0x80_0000,
};

/// A small disk, written, and a place for it.
struct Small {
    _dir: TempDir,
    path: PathBuf,
    disk: Disk,
}

fn small(change: impl FnOnce(&mut Boot<'_>)) -> Small {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("disk");
    let kernel = PROBE.image(&noise(300_000 / 16 * 16));
    let initrd = noise(200_001);
    let mut boot = Boot {
        kernel: &kernel,
        initrd: &initrd,
        cmdline: "console=ttyS0 probe",
        memory_mib: 64,
        gap: 0,
    };
    change(&mut boot);
    let disk = boot.write(&path);
    Small {
        _dir: dir,
        path,
        disk,
    }
}

impl Small {
    /// Changes bytes of the disk.
    fn put(&self, at: u64, bytes: &[u8]) {
        let file = OpenOptions::new()
            .write(true)
            .open(&self.path)
            .expect("the disk");
        put(&file, at, bytes);
    }

    /// What the loader says on this disk.
    fn says(&self) -> String {
        Running::start(&machine(&self.path, VIRTIO)).expect("ampoule: ")
    }
}

/// Hexadecimal words after the letter that begins a line.
fn words(line: &str) -> Vec<u32> {
    line.split_whitespace()
        .skip(1)
        .map(|word| u32::from_str_radix(word, 16).expect("hexadecimal"))
        .collect()
}

#[test]
fn the_kernel_gets_what_the_boot_protocol_promises() {
    let small = small(|_| ());
    let mut machine = Running::start(&machine(&small.path, VIRTIO));
    // SeaBIOS clears the screen on no serial port: the first line is the probe's
    let registers = machine.expect("r ");
    assert_eq!(registers, "r 1000E000", "DS, ES, FS, GS, SS alike, and SP");
    let header = words(&machine.expect("h "));
    assert_eq!(header[..5], [0xFFFF, 0xFF, 0x81, 0xDE00, 0x1_E000]);
    let (address, size) = (header[5], header[6]);
    assert_eq!(size, 200_001);
    assert_eq!(address % 4096, 0);
    // QEMU and SeaBIOS keep less than 256 KiB at the end of 128 MiB
    let end = address + size;
    assert!((0x7FC_0000..0x7FE_0000).contains(&end), "ends at {end:#x}");
    assert_eq!(machine.expect("c"), "cconsole=ttyS0 probe");
}

#[test]
fn a_kernel_of_40_mib_is_whole_above_16_mib() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("disk");
    let system = noise(40 << 20);
    let kernel = PROBE.image(&system);
    let initrd = noise((20 << 20) + 1);
    let boot = Boot {
        kernel: &kernel,
        initrd: &initrd,
        cmdline: "x",
        memory_mib: 64,
        gap: 0,
    };
    boot.write(&path);
    let mut machine = Running::start(&machine(&path, VIRTIO));
    assert_eq!(
        words(&machine.expect("k ")),
        sums(&system),
        "each MiB of the kernel"
    );
    assert_eq!(
        words(&machine.expect("i ")),
        sums(&initrd),
        "each MiB of the initrd"
    );
}

#[test]
fn an_initrd_beyond_2_tib_and_memory_beyond_4_gib_are_reached() {
    // more sectors than 32 bits count; the file is sparse
    let initrd = noise(200_001);
    let small = small(|boot| boot.gap = 1 << 32);
    assert!(small.disk.plan.initrd.lba.0 > u64::from(u32::MAX));
    let machine = machine(&small.path, VIRTIO).memory_mib(5120);
    let mut machine = Running::start(&machine);
    let header = words(&machine.expect("h "));
    assert_eq!(
        header[5],
        0x8000_0000 - 49 * 4096,
        "right below initrd_addr_max"
    );
    assert_eq!(words(&machine.expect("i ")), sums(&initrd));
}

/// Ranges out of order, empty, beyond 4 GiB, adjacent, and overlapping: those
/// of the kind 2 (reserved) count, and leave the initrd less room at the top.
const ODD_MAP: &[(u64, u64, u32)] = &[
    (0x7E8_0000, 0x10_0000, 2),
    (0x100_0000, 0x6F0_0000, 1),
    (0, 0, 1),
    (0x10_0000, 0xF0_0000, 1),
    (0x1_0000_0000, 0x1000, 2),
    (0x7E0_0000, 0x6_0001, 2),
    (0x7E6_0000, 0x10, 3),
    (0, 0x9_FC00, 1),
];

/// A hostile BIOS before the small disk.
fn under(hostile: &Hostile) -> Small {
    let small = small(|_| ());
    let mbr = std::fs::read(&small.path).expect("the disk")[..512].to_vec();
    small.put(0, &hostile.sector());
    small.put(512, &mbr);
    small
}

#[test]
fn a_bad_bios_is_coped_with() {
    let small = under(&Hostile {
        most: 127,
        map: ODD_MAP,
    });
    let mut machine = Running::start(&machine(&small.path, VIRTIO));
    let header = words(&machine.expect("h "));
    assert_eq!(
        header[5],
        0x7E0_0000 - 49 * 4096,
        "below both reserved ranges"
    );
    assert_eq!(
        words(&machine.expect("k ")),
        sums(&noise(300_000 / 16 * 16))
    );
    assert_eq!(words(&machine.expect("i ")), sums(&noise(200_001)));
}

#[test]
fn a_bios_that_reads_few_sectors_at_once_boots() {
    let small = under(&Hostile {
        most: 5,
        map: ODD_MAP,
    });
    let mut machine = Running::start(&machine(&small.path, VIRTIO));
    assert_eq!(
        words(&machine.expect("k ")),
        sums(&noise(300_000 / 16 * 16))
    );
    assert_eq!(words(&machine.expect("i ")), sums(&noise(200_001)));
}

#[test]
fn a_hole_where_the_kernel_goes_is_told() {
    // an ISA hole at 15 MiB, as chipsets could have it
    let small = under(&Hostile {
        most: 127,
        map: &[
            (0, 0x9_FC00, 1),
            (0x10_0000, 0xE0_0000, 1),
            (0x100_0000, 0x6F0_0000, 1),
        ],
    });
    assert_eq!(
        small.says(),
        "ampoule: no memory for the kernel at address 15728640"
    );
}

#[test]
fn a_bios_without_memory_map_is_told() {
    let small = under(&Hostile {
        most: 127,
        map: &[(0, 0, 1)],
    });
    assert_eq!(
        small.says(),
        "ampoule: this BIOS tells no memory map (E820)"
    );
}

#[test]
fn too_little_memory_is_told_in_numbers() {
    let small = small(|boot| boot.memory_mib = 300);
    assert_eq!(
        small.says(),
        "ampoule: needs 300 MiB of memory, this machine has 128 MiB"
    );
}

#[test]
fn enough_memory_is_enough() {
    let small = small(|boot| boot.memory_mib = 128);
    for board in [Board::Pc, Board::Q35] {
        let machine = machine(&small.path, VIRTIO).board(board);
        Running::start(&machine).expect("r ");
    }
}

#[test]
fn an_initrd_that_fits_nowhere_is_told() {
    // exactly the memory that both take, of which QEMU keeps some for ACPI tables
    let initrd = noise(104 * MIB as usize);
    let kernel = PROBE.image(&noise(16));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("disk");
    let boot = Boot {
        kernel: &kernel,
        initrd: &initrd,
        cmdline: "x",
        memory_mib: 0,
        gap: 0,
    };
    boot.write(&path);
    let said = Running::start(&machine(&path, VIRTIO)).expect("ampoule: ");
    assert_eq!(
        said,
        "ampoule: no room in memory for an initrd of 109051904 bytes"
    );
}

#[test]
fn a_bad_sector_is_told_on_every_bus() {
    let small = small(|_| ());
    let bad = small.disk.plan.initrd.lba.0 + 77;
    for bus in BUSES {
        let drive = format!(
            "rerror=report,driver=raw,file.driver=blkdebug,\
             file.image.driver=file,file.image.filename={},\
             file.inject-error.0.event=read_aio,\
             file.inject-error.0.sector={bad},file.inject-error.0.errno=5",
            small.path.display()
        );
        let said = Running::start(&machine_with(&drive, bus)).expect("ampoule: ");
        // SeaBIOS 1.16.3 itself takes a read that failed by megasas for a good one
        let wanted = match bus.0 {
            "megasas" => "ampoule: the initrd is damaged".to_owned(),
            _ => format!("ampoule: disk read error at LBA {bad}: BIOS status 0x"),
        };
        assert!(said.starts_with(&wanted), "{said} by {}", bus.0);
    }
}

#[test]
fn a_damaged_kernel_is_not_started() {
    let small = small(|_| ());
    let system = small.disk.plan.kernel.lba.offset().0 + 2048;
    small.put(system + 250_000, &[0; 512]);
    assert_eq!(small.says(), "ampoule: the kernel is damaged");
}

#[test]
fn a_damaged_initrd_is_not_used() {
    let small = small(|_| ());
    small.put(small.disk.plan.initrd.lba.offset().0 + 200_000, &[0]);
    assert_eq!(small.says(), "ampoule: the initrd is damaged");
}

#[test]
fn a_disk_cut_short_is_told() {
    let small = small(|_| ());
    let cut = small.disk.plan.initrd.lba.0 + 5;
    let file = OpenOptions::new()
        .write(true)
        .open(&small.path)
        .expect("the disk");
    file.set_len(cut * SECTOR).expect("a shorter disk");
    assert_eq!(
        small.says(),
        format!(
            "ampoule: disk read error at LBA {cut}: the disk is cut short, it has {cut} sectors"
        )
    );
}

#[test]
fn a_damaged_stage_2_is_not_run() {
    let small = small(|_| ());
    small.put(STAGE2.offset().0 + 1000, &[0xCC]);
    assert_eq!(small.says(), "ampoule: loader damaged");
}

#[test]
fn a_missing_stage_2_is_told() {
    let small = small(|_| ());
    let file = OpenOptions::new()
        .write(true)
        .open(&small.path)
        .expect("the disk");
    file.set_len(STAGE2.0 * SECTOR).expect("a shorter disk");
    assert_eq!(small.says(), "ampoule: loader read error");
}

#[test]
fn another_kernel_is_not_started() {
    let small = small(|_| ());
    let lba = small.disk.plan.kernel.lba;
    small.put(lba.offset().0 + 0x202, b"none");
    assert_eq!(
        small.says(),
        format!("ampoule: the kernel of this image is not at LBA {}", lba.0)
    );
}

#[test]
fn a_bios_that_sends_its_screen_to_the_serial_port_prints_no_line_twice() {
    let small = small(|_| ());
    small.put(small.disk.plan.kernel.lba.offset().0 + 0x202, b"none");
    let machine = machine(&small.path, VIRTIO).firmware_on_serial(true);
    let mut machine = Running::start(&machine);
    machine.expect("Booting from");
    machine.expect("ampoule: the kernel of this image is not at LBA");
    machine.expect_off();
    let log = machine.0.console();
    assert_eq!(log.matches("ampoule: the kernel").count(), 1, "{log}");
}

#[test]
fn a_machine_without_serial_port_says_it_on_its_screen_and_turns_itself_off() {
    let small = small(|_| ());
    small.put(small.disk.plan.kernel.lba.offset().0 + 0x202, b"none");
    let machine = machine(&small.path, VIRTIO).console(Console::Screen);
    let mut machine = Running::start(&machine);
    let wanted = "ampoule: the kernel of this image is not at LBA 4097";
    // the screen tells of no change: it is read until it has changed, or the machine has ended
    let mut screen = String::new();
    while !screen.lines().any(|line| line == wanted) {
        screen = machine
            .0
            .screen_text()
            .unwrap_or_else(|error| panic!("{error}; {screen}"));
    }
    machine.expect_off();
}
