//! What the loader says when it cannot go on, and how it ends then.
//!
//! A message goes to the screen through the BIOS, and to the first serial port
//! directly, since few BIOSes send their screen there. Those that do are found
//! out first, so that no line is written twice. Then the machine waits ten
//! seconds for a reader of the screen, or for a key, and turns itself off:
//! a cloud stops billing, and a test ends. Where the BIOS cannot turn it off
//! it halts for good; it never restarts, which would loop and hide the reason.

use iced_x86::code_asm::{CodeAssembler, CodeLabel, registers::*};
use iced_x86::code_asm::{byte_ptr, word_ptr};

use super::asm::{Emitted, here};
use super::layout::{TICKS, var};

/// Registers of a 16550 at the place of COM1, which PCs have agreed on.
mod com1 {
    /// Data; divisor's low byte while the latch is open.
    pub const DATA: u32 = 0x3F8;
    /// Interrupts; divisor's high byte while the latch is open.
    pub const INTERRUPTS: u32 = 0x3F9;
    /// Queues.
    pub const FIFO: u32 = 0x3FA;
    /// Line: 0x80 opens the divisor latch, 0x03 is eight bits without parity.
    pub const LINE: u32 = 0x3FB;
    /// Modem: 0x10 loops output back to input, 0x03 is DTR and RTS.
    pub const MODEM: u32 = 0x3FC;
    /// Status: 0x01 a byte came, 0x20 one may be sent; 0xFF if there is no port.
    pub const STATUS: u32 = 0x3FD;
}

/// Clock ticks of about ten seconds.
const PATIENCE: u32 = 182;

/// The routines that speak.
#[derive(Clone, Copy)]
pub struct Voice {
    /// Called: opens the ports and prints `ampoule: `.
    begin: CodeLabel,
    /// Called: prints the text that follows the call up to its NUL, and returns past it.
    say: CodeLabel,
    /// Called: prints the text at SI up to its NUL, and leaves SI past it.
    print: CodeLabel,
    /// Called: prints the character in AL.
    put: CodeLabel,
    /// Called: prints the character in AL on the screen alone; loses registers.
    screen: CodeLabel,
    /// Jumped to: ends the line and turns the machine off.
    end: CodeLabel,
    /// Called, and does not return: a whole message, the text after the call.
    fail: CodeLabel,
}

impl Voice {
    /// Names the routines; [`Voice::emit`] writes them.
    pub fn new(a: &mut CodeAssembler) -> Voice {
        Voice {
            begin: a.create_label(),
            say: a.create_label(),
            print: a.create_label(),
            put: a.create_label(),
            screen: a.create_label(),
            end: a.create_label(),
            fail: a.create_label(),
        }
    }

    /// Begins a message.
    pub fn begin(self, a: &mut CodeAssembler) -> Emitted {
        a.call(self.begin)
    }

    /// Prints `text`; SI and AL are lost.
    pub fn say(self, a: &mut CodeAssembler, text: &str) -> Emitted {
        a.call(self.say)?;
        text_here(a, text)
    }

    /// Prints the character in AL.
    pub fn put(self, a: &mut CodeAssembler) -> Emitted {
        a.call(self.put)
    }

    /// Ends message and machine.
    pub fn end(self, a: &mut CodeAssembler) -> Emitted {
        a.jmp(self.end)
    }

    /// A whole message of fixed text.
    pub fn fail(self, a: &mut CodeAssembler, text: &str) -> Emitted {
        a.call(self.fail)?;
        text_here(a, text)
    }

    /// Writes the routines.
    pub fn emit(self, a: &mut CodeAssembler) -> Emitted {
        self.emit_begin(a)?;
        self.emit_say(a)?;
        self.emit_put(a)?;
        self.emit_fail(a)?;
        self.emit_end(a)
    }

    fn emit_begin(self, a: &mut CodeAssembler) -> Emitted {
        let (mut listen, mut absent) = (a.create_label(), a.create_label());
        here(a, self.begin)?;
        a.mov(byte_ptr(var::SERIAL), 0)?;
        a.mov(dx, com1::STATUS)?;
        a.in_(al, dx)?;
        a.inc(al)?;
        a.jz(absent)?;
        for (port, value) in [
            (com1::LINE, 0x80u32),
            (com1::DATA, 1), // divisor 1: 115,200 baud
            (com1::INTERRUPTS, 0),
            (com1::LINE, 0x03),
            (com1::MODEM, 0x13),
        ] {
            out(a, port, value)?;
        }
        // Spaces to the screen: if one comes back, the BIOS sends its screen here.
        // SeaBIOS holds each character back until the next one.
        for _ in 0..2 {
            a.mov(al, u32::from(b' '))?;
            a.call(self.screen)?;
        }
        a.mov(dx, com1::STATUS)?;
        a.mov(cx, 0x1000)?;
        a.set_label(&mut listen)?;
        a.in_(al, dx)?;
        a.test(al, 1)?;
        a.loope(listen)?;
        a.sete(byte_ptr(var::SERIAL))?;
        out(a, com1::FIFO, 0x07)?; // on, and emptied
        out(a, com1::MODEM, 0x03)?;
        a.set_label(&mut absent)?;
        self.say(a, "\r\nampoule: ")?;
        a.ret()
    }

    fn emit_say(self, a: &mut CodeAssembler) -> Emitted {
        let mut over = a.create_label();
        here(a, self.say)?;
        a.pop(si)?;
        a.call(self.print)?;
        a.jmp(si)?;

        here(a, self.print)?;
        a.lodsb()?;
        a.test(al, al)?;
        a.jz(over)?;
        a.call(self.put)?;
        a.jmp(self.print)?;
        a.set_label(&mut over)?;
        a.ret()
    }

    fn emit_put(self, a: &mut CodeAssembler) -> Emitted {
        let (mut busy, mut over) = (a.create_label(), a.create_label());
        here(a, self.put)?;
        a.pushad()?;
        a.push(ax)?;
        a.call(self.screen)?;
        a.pop(bx)?;
        a.cmp(byte_ptr(var::SERIAL), 0)?;
        a.je(over)?;
        // A port that is never ready must not stop the message on the screen.
        a.xor(cx, cx)?; // 65,536 times
        a.mov(dx, com1::STATUS)?;
        a.set_label(&mut busy)?;
        a.in_(al, dx)?;
        a.test(al, 0x20)?;
        a.loope(busy)?;
        a.je(over)?;
        a.mov(al, bl)?;
        a.mov(dl, com1::DATA & 0xFF)?;
        a.out(dx, al)?;
        a.set_label(&mut over)?;
        a.popad()?;
        a.ret()?;

        here(a, self.screen)?;
        a.mov(ah, 0x0E)?; // teletype output
        a.mov(bx, 7)?; // page 0, and grey in graphics modes
        a.int(0x10)?;
        a.ret()
    }

    /// Runs on into [`Voice::emit_end`].
    fn emit_fail(self, a: &mut CodeAssembler) -> Emitted {
        here(a, self.fail)?;
        a.call(self.begin)?;
        a.pop(si)?;
        a.call(self.print)
    }

    fn emit_end(self, a: &mut CodeAssembler) -> Emitted {
        let (mut wait, mut off, mut halt) = (a.create_label(), a.create_label(), a.create_label());
        here(a, self.end)?;
        self.say(a, "\r\n")?;
        a.sti()?;
        a.mov(bp, word_ptr(TICKS))?;
        a.set_label(&mut wait)?;
        a.mov(ah, 1)?; // a key?
        a.int(0x16)?;
        a.jnz(off)?;
        a.hlt()?;
        a.mov(ax, word_ptr(TICKS))?;
        a.sub(ax, bp)?;
        a.cmp(ax, PATIENCE)?;
        a.jb(wait)?;
        a.set_label(&mut off)?;
        // APM 1.2: connect, say which version, all devices off.
        a.mov(ax, 0x5301)?;
        a.xor(bx, bx)?;
        a.int(0x15)?;
        a.mov(ax, 0x530E)?;
        a.xor(bx, bx)?;
        a.mov(cx, 0x0102)?;
        a.int(0x15)?;
        a.mov(ax, 0x5307)?;
        a.mov(bx, 1)?;
        a.mov(cx, 3)?;
        a.int(0x15)?;
        a.set_label(&mut halt)?;
        a.cli()?;
        a.hlt()?;
        a.jmp(halt)
    }
}

/// Writes a byte to a port of COM1 while DH already holds its high byte.
fn out(a: &mut CodeAssembler, port: u32, value: u32) -> Emitted {
    a.mov(dl, port & 0xFF)?;
    a.mov(al, value)?;
    a.out(dx, al)
}

/// The text that a call before it prints.
fn text_here(a: &mut CodeAssembler, text: &str) -> Emitted {
    debug_assert!(text.is_ascii() && !text.contains('\0'));
    a.db(format!("{text}\0").as_bytes())
}
