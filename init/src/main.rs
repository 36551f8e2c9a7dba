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

use ampoule_init::report::{Report, Verdict};

use crate::config::Config;
use crate::machine::Machine;
use crate::outlets::Outlets;
use crate::trouble::Trouble;

/// Called once, by `_start`.
fn main() -> ! {
    sys::fd::close_inherited();
    let devices = prepare::devices();
    let mut outlets = Outlets::open();
    outlets.report(&Report::Start {
        version: env!("CARGO_PKG_VERSION"),
        at: outlets::now(),
    });
    let on_exit = match devices.and_then(|()| run(&mut outlets)) {
        Ok(on_exit) => on_exit,
        Err(trouble) => {
            let verdict = Verdict::Failed {
                code: trouble.code,
                reason: trouble.reason(),
            };
            outlets.report(&Report::Verdict(verdict));
            trouble.on_exit
        }
    };
    outlets.finish();
    end::machine(on_exit)
}

/// From the bare machine to the verdict.
fn run(outlets: &mut Outlets) -> Result<end::OnExit, Trouble> {
    prepare::tree()?;
    let config = Config::read()?;
    prepare::machine(&config).map_err(|trouble| trouble.with(&config))?;
    Machine::new(&config, outlets)
        .and_then(Machine::run)
        .map(|()| config.on_exit)
        .map_err(|trouble| trouble.with(&config))
}

/// A fault of PID 1 itself: one line, then the end of the machine.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    outlets::last_words(info);
    end::machine(end::policy())
}
