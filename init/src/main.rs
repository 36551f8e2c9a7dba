//! PID 1 of a sealed machine.
//!
//! It prepares the machine, runs one program, and ends the machine when the program has
//! ended or the machine was asked to stop. What it does in which order is in [`main`];
//! the loop that serves everything at once is in [`machine`].
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod config;
mod console;
mod devices;
mod end;
mod guard;
mod machine;
mod network;
mod outlets;
mod port;
mod prepare;
mod program;
mod queue;
mod readiness;
mod relay;
mod sys;
mod trouble;

use core::mem::ManuallyDrop;

use ampoule_init::report::{Report, Verdict};

use crate::config::Config;
use crate::machine::Machine;
use crate::outlets::Outlets;
use crate::trouble::Text;

/// Called once, by `_start`.
fn main() -> ! {
    sys::fd::close_inherited();
    let devices = prepare::devices();
    let mut outlets = Outlets::open();
    outlets.report(&Report::Start {
        version: env!("CARGO_PKG_VERSION"),
        at: outlets::now(),
    });
    if let Err(trouble) = devices.and_then(|()| run(&mut outlets)) {
        let reason = Text::<256>::of(format_args!("{trouble}"));
        let verdict = Verdict::Failed {
            code: trouble.code,
            reason: reason.as_str(),
        };
        outlets.report(&Report::Verdict(verdict));
    }
    outlets.finish();
    end::machine()
}

/// From the bare machine to the verdict.
fn run(outlets: &mut Outlets) -> trouble::Result<()> {
    prepare::tree()?;
    let signals = prepare::signals()?;
    let config = Config::read()?;
    prepare::machine(&config)?;
    // never dropped: the machine's end closes everything
    let mut machine = ManuallyDrop::new(Machine::new(&config, outlets, signals)?);
    if cfg!(feature = "fault") {
        panic!();
    }
    machine.run()
}

/// A fault of PID 1 itself: one line, then the end of the machine.
#[panic_handler]
#[inline(always)]
#[allow(
    unused_attributes,
    reason = "inlined, it shows that no message is ever formatted: 2 KB less"
)]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // only this: the message would pull in the formatting of every kind of number
    let (file, line) = info
        .location()
        .map_or(("unknown", 0), |at| (at.file(), at.line()));
    fault(file, line)
}

#[inline(never)]
fn fault(file: &str, line: u32) -> ! {
    outlets::last_words(file, line);
    end::machine()
}
