//! Boots disk images and kernels in QEMU and tells what became of them.
//!
//! The crate knows nothing of how an image is made: it is given paths and a [`Machine`], and
//! hands back what the machine said. It prints nothing.
//!
//! ```no_run
//! use std::time::Duration;
//! use ampoule_qemu::{Machine, Vm};
//!
//! # fn main() -> Result<(), ampoule_qemu::Error> {
//! let mut vm = Vm::start(&Machine::bios("app.img").forward("127.0.0.1:0:8080".parse()?))?;
//! vm.wait_line(|line| line.contains("ready"), Duration::from_secs(60))?;
//! println!("ask it at {}", vm.forwards()[0].host_address());
//! vm.powerdown()?;
//! let exit = vm.wait_exit(Duration::from_secs(30))?;
//! println!("{:?}\n{}", exit.stop, vm.console());
//! # Ok(())
//! # }
//! ```
//!
//! A machine dies with its [`Vm`]: dropping it kills QEMU and waits for its end, and QEMU is
//! told to die with the process that started it.
//!
//! Where things are: [`Machine`] says what is wanted, `profile` holds the tables of devices,
//! `argv` turns both into a command line (pure), `engine` is the one thread that owns the child
//! and its sockets, `event` what it tells, `relay` the ports that QEMU cannot offer, `vm` is the handle on it all.

mod accel;
mod argv;
mod engine;
mod error;
mod event;
mod firmware;
mod forward;
mod lines;
mod machine;
mod profile;
mod qmp;
mod relay;
mod screen;
mod tools;
mod vm;

pub use accel::{Acceleration, Refusal, probe};
pub use error::Error;
pub use event::{Event, Exit, Source, Stop};
pub use firmware::{Firmware, find as find_firmware};
pub use forward::{Forward, Protocol};
pub use machine::{Accel, Arch, Board, Boot, Bus, Console, DirectKernel, Disk, Machine, Nic};
pub use tools::find_qemu;
pub use vm::{Control, Vm};
