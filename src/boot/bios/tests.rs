//! Goldens of the code, and what the loader refuses to be made for.

use std::fmt::Write;

use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};

use super::asm::Program;
use super::*;
use crate::boot::bzimage::{offset, tests as bzimage};

/// The header of the sample kernel.
fn header() -> SetupHeader {
    SetupHeader::parse(&bzimage::sample()).expect("a bzImage")
}

/// A plan with the numbers of a real image.
fn plan() -> LoadPlan {
    let extent = |lba, bytes| Extent {
        lba: Lba(lba),
        bytes: Bytes(bytes),
    };
    LoadPlan {
        kernel: extent(5000, 40 * 512 + 0x50_0000),
        header: header(),
        initrd: extent(0x1_2345_6789, 3_000_001),
        cmdline: extent(4999, 20),
        memory_mib: 64,
    }
}

/// The plan counted out, over a disk of zeros.
fn job(plan: &LoadPlan) -> Result<Job, BiosError> {
    plan.job(&mut io::Cursor::new([]), Lba(0))
}

/// Stage 2 over a disk of zeros.
fn made(plan: &LoadPlan) -> Result<Vec<u8>, BiosError> {
    stage2(plan, &mut io::Cursor::new([]), Lba(0))
}

/// A listing: address, bytes and instruction, or text.
fn listing(origin: u16, program: &Program) -> String {
    let mut out = String::new();
    let mut formatter = NasmFormatter::new();
    let mut at = 0;
    while at < program.bytes.len() {
        let address = usize::from(origin) + at;
        if let Some(data) = program.data.iter().find(|data| data.contains(&at)) {
            let text = program.bytes[data.clone()].escape_ascii();
            writeln!(out, "{address:04x}  db \"{text}\"").expect("to a string");
            at = data.end;
            continue;
        }
        let mut decoder = Decoder::with_ip(
            16,
            &program.bytes[at..],
            u64::try_from(address).expect("16 bits"),
            DecoderOptions::NONE,
        );
        let instruction = decoder.decode();
        assert!(!instruction.is_invalid(), "no instruction at {address:#x}");
        let mut text = String::new();
        formatter.format(&instruction, &mut text);
        let bytes: String = program.bytes[at..at + instruction.len()]
            .iter()
            .fold(String::new(), |s, b| s + &format!("{b:02x}"));
        writeln!(out, "{address:04x}  {bytes:<24} {text}").expect("to a string");
        at += instruction.len();
    }
    out
}

#[test]
fn stage_1_is_as_reviewed() {
    let stage2 = vec![0; 1536];
    let program = mbr_program(Lba(2048), &stage2).expect("a program");
    insta::assert_snapshot!("stage1", listing(layout::STAGE1, &program));
}

#[test]
fn stage_2_is_as_reviewed() {
    let program = stage2::program(&job(&plan()).expect("a job")).expect("a program");
    insta::assert_snapshot!("stage2", listing(layout::STAGE2, &program));
}

/// The texts in a program, without the blanks around them.
fn texts(program: &Program) -> Vec<String> {
    let ranges = program.data.iter().map(|data| &program.bytes[data.clone()]);
    let bytes = ranges.fold(Vec::new(), |all, data| [&all, data].concat());
    let text = String::from_utf8(bytes).expect("ASCII");
    text.split('\0')
        .map(|text| text.trim().to_owned())
        .collect()
}

#[test]
fn every_message_is_documented() {
    let docs = include_str!("../../../docs/bios.md");
    let stage1 = mbr_program(Lba(2048), &[0; 1536]).expect("a program");
    let stage2 = stage2::program(&job(&plan()).expect("a job")).expect("a program");
    for text in [texts(&stage1), texts(&stage2)].concat() {
        assert!(
            docs.contains(&text),
            "docs/bios.md does not tell of {text:?}"
        );
    }
}

#[test]
fn the_same_plan_makes_the_same_bytes() {
    let first = made(&plan()).expect("a loader");
    assert_eq!(first, made(&plan()).expect("a loader"));
    assert_eq!(
        boot_code(Lba(2048), &first).expect("boot code"),
        boot_code(Lba(2048), &first).expect("boot code"),
    );
}

#[test]
fn the_loader_fits_its_places() {
    let mut plan = plan();
    // numbers that take the longest encodings
    plan.initrd.lba = Lba(0x0012_3456_789A_BCDE);
    plan.kernel.lba = Lba(0x0012_3456_0000_0000);
    plan.cmdline.lba = Lba(0x0012_3455_0000_0000);
    let stage2 = made(&plan).expect("a loader");
    assert_eq!(stage2.len() % 512, 0);
    assert!(stage2.len() <= 4 * 512, "{} bytes", stage2.len());
    boot_code(Lba(0x0012_3456_789A_BCDE), &stage2).expect("440 bytes are enough");
}

#[test]
fn stage_1_knows_its_stage_2() {
    let mut stage2 = made(&plan()).expect("a loader");
    let whole = boot_code(Lba(2048), &stage2).expect("boot code");
    stage2[700] ^= 1;
    assert_ne!(whole, boot_code(Lba(2048), &stage2).expect("boot code"));
    // the check value of the CRC catalogue
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
}

/// The message for a plan with one thing changed.
fn refused(change: impl FnOnce(&mut LoadPlan)) -> String {
    let mut plan = plan();
    change(&mut plan);
    made(&plan).expect_err("refused").to_string()
}

#[test]
fn impossible_plans_are_refused() {
    let shown = [
        refused(|plan| plan.initrd.bytes = Bytes(0)),
        refused(|plan| plan.kernel.bytes = Bytes(0)),
        refused(|plan| plan.cmdline.bytes = Bytes(0)),
        refused(|plan| plan.cmdline.bytes = Bytes(2048)),
        refused(|plan| plan.initrd.lba = Lba(u64::MAX)),
        refused(|plan| plan.initrd.bytes = Bytes(u64::MAX)),
        refused(|plan| plan.kernel.bytes.0 -= 16),
        refused(|plan| plan.initrd.bytes = Bytes(2000 * MIB + 1)),
    ];
    insta::assert_snapshot!("refusals", shown.join("\n"));
}

#[test]
fn plans_at_the_limit_are_taken() {
    let mut plan = plan();
    plan.cmdline.bytes = Bytes(2047);
    plan.kernel.bytes.0 -= 15;
    plan.initrd.bytes = Bytes(2000 * MIB);
    let job = job(&plan).expect("a job");
    assert_eq!(job.memory_mib, 2048, "raised to what loading takes");
    assert_eq!(job.cmdline_sectors, 4);
}

#[test]
fn a_command_line_longer_than_its_room_is_refused_whatever_the_kernel_takes() {
    let mut image = bzimage::sample();
    bzimage::put(&mut image, offset::CMDLINE_SIZE, &u32::MAX.to_le_bytes());
    let mut plan = plan();
    plan.header = SetupHeader::parse(&image).expect("a bzImage");
    plan.cmdline.bytes = Bytes(8191);
    job(&plan).expect("the room is 8192 bytes with the NUL");
    plan.cmdline.bytes = Bytes(8192);
    assert!(matches!(
        job(&plan),
        Err(BiosError::CmdlineLong {
            len: 8192,
            max: 8191
        })
    ));
}

#[test]
fn a_kernel_that_takes_initrds_up_to_4_gib_leaves_32_bits_enough() {
    let mut image = bzimage::sample();
    bzimage::put(&mut image, offset::INITRD_ADDR_MAX, &u32::MAX.to_le_bytes());
    let mut plan = plan();
    plan.header = SetupHeader::parse(&image).expect("a bzImage");
    assert_eq!(job(&plan).expect("a job").ceiling, 0xFFFF_F000);
}

#[test]
fn sums_are_taken_where_the_file_will_lie() {
    let plan = plan();
    let mut kernel = vec![0; 40 * 512 + 0x50_0000];
    kernel[40 * 512] = 1;
    let job = plan
        .job(&mut io::Cursor::new(&kernel), plan.kernel.lba)
        .expect("a job");
    // a word of 1 at the start, turned by all the words behind it: a whole number of times
    assert_eq!(
        (job.system_sum, job.initrd_sum),
        (1u32.rotate_right(sum::TURN), 0)
    );
    let late = plan.job(&mut io::Cursor::new(&kernel), Lba(6000));
    assert!(matches!(
        late,
        Err(BiosError::Outside { what: "kernel", .. })
    ));
}

#[test]
fn stage_2_must_be_whole_sectors_that_fit() {
    for len in [1, 511, 513, 33 * 512] {
        assert!(matches!(
            boot_code(Lba(2048), &vec![0; len]),
            Err(BiosError::Stage2Len { .. })
        ));
    }
    boot_code(Lba(2048), &[0; 32 * 512]).expect("32 sectors");
    assert!(matches!(
        boot_code(Lba(2048), &[]),
        Err(BiosError::Empty { what: "stage 2" })
    ));
}
