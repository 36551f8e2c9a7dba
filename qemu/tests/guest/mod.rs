//! Guests of a few instructions: boot sectors that SeaBIOS starts at 0:0x7c00 in real mode.

use std::io::Write;

use iced_x86::IcedError;
use iced_x86::code_asm::*;
use tempfile::NamedTempFile;

const ORIGIN: u64 = 0x7c00;

/// The base of the first serial port.
const COM1: u32 = 0x3f8;

/// Where SeaBIOS puts the ACPI power management registers (acpi_pm_base in its
/// src/fw/dev-q35.h and dev-piix.h); the offsets are those of ACPI 6.5, section 4.8.3.
const PM1_STATUS: u32 = 0x600;
const PM1_ENABLE: u32 = 0x602;
const PM1_CONTROL: u32 = 0x604;
const POWER_BUTTON: u32 = 1 << 8;
const SLEEP_NOW: u32 = 1 << 13;

/// What a guest does, one thing after the other.
#[derive(Clone, Copy)]
pub enum Step<'a> {
    /// Writes to the serial port.
    Say(&'a str),
    /// Writes to the screen, through the BIOS.
    Show(&'a str),
    /// Writes a sector of nonsense over the first one, through the BIOS.
    OverwriteDisk,
    /// Waits until the power button is pressed.
    AwaitButton,
    /// Switches the machine off.
    PowerOff,
    /// Resets the machine.
    Reset,
    /// Does nothing, for ever.
    Hang,
}

/// A disk of 1 MiB with such a guest.
pub fn disk(steps: &[Step<'_>]) -> NamedTempFile {
    let mut sector = assemble(steps).expect("the guest is assembled");
    assert!(sector.len() <= 510, "the guest does not fit in a sector");
    sector.resize(510, 0);
    sector.extend_from_slice(&[0x55, 0xaa]);
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(&sector).expect("the guest is written");
    file.as_file()
        .set_len(1 << 20)
        .expect("the disk gets its size");
    file
}

fn assemble(steps: &[Step<'_>]) -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(16)?;
    a.cli()?;
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    a.mov(ss, ax)?;
    a.mov(sp, ORIGIN as u32)?;
    a.cld()?;
    // a press before this is lost, so it comes first
    a.mov(dx, PM1_ENABLE)?;
    a.mov(ax, POWER_BUTTON)?;
    a.out(dx, ax)?;
    for step in steps {
        match *step {
            Step::Say(text) => each_byte(&mut a, text, |a| {
                a.mov(dx, COM1)?;
                a.out(dx, al)
            })?,
            Step::Show(text) => each_byte(&mut a, text, |a| {
                // INT 10h, AH=0Eh: teletype output
                a.mov(ah, 0x0e)?;
                a.mov(bx, 0x0007)?;
                a.int(0x10)
            })?,
            Step::OverwriteDisk => {
                // INT 13h, AH=03h: one sector, from 0:0x600, to cylinder 0, head 0, sector 1
                a.mov(ax, 0x0301)?;
                a.mov(bx, 0x0600)?;
                a.mov(cx, 0x0001)?;
                a.mov(dx, 0x0080)?;
                a.int(0x13)?;
            }
            Step::AwaitButton => {
                a.mov(dx, PM1_STATUS)?;
                let mut again = a.create_label();
                a.set_label(&mut again)?;
                a.in_(ax, dx)?;
                a.test(ax, POWER_BUTTON)?;
                a.jz(again)?;
            }
            Step::PowerOff => {
                a.mov(dx, PM1_CONTROL)?;
                a.mov(ax, SLEEP_NOW)?;
                a.out(dx, ax)?;
            }
            // the reset control register of the chipset (Intel ICH9 datasheet, 13.7.5)
            Step::Reset => {
                a.mov(dx, 0xcf9)?;
                a.mov(al, 6)?;
                a.out(dx, al)?;
            }
            Step::Hang => {}
        }
    }
    let mut end = a.create_label();
    a.set_label(&mut end)?;
    a.hlt()?;
    a.jmp(end)?;
    a.assemble(ORIGIN)
}

/// Code that puts each byte of a text into AL and does `what` with it.
fn each_byte(
    a: &mut CodeAssembler,
    text: &str,
    what: impl Fn(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Result<(), IcedError> {
    let (mut code, mut again, mut done) = (a.create_label(), a.create_label(), a.create_label());
    // the text's address is where the call would return to
    a.call(code)?;
    a.db(text.as_bytes())?;
    a.db(&[0])?;
    a.set_label(&mut code)?;
    a.pop(si)?;
    a.set_label(&mut again)?;
    a.lodsb()?;
    a.test(al, al)?;
    a.jz(done)?;
    what(a)?;
    a.jmp(again)?;
    a.set_label(&mut done)?;
    a.zero_bytes()
}
