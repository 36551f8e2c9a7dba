//! What PID 1 and its host agree on, and the parts of PID 1 that need no kernel.
//!
//! - [`wire`]: the configuration file that the host seals in and PID 1 reads.
//! - [`report`]: the lines that PID 1 tells the host.
//! - [`net`]: the formats and decisions of the network: DHCP, rtnetlink, resolv.conf.
//! - [`screen`]: how the program's output and the reports share one console.
//! - [`seccomp`]: the filter of system calls, and the names of the calls.
//! - [`listen`]: which declared ports take connections.
//! - [`device`]: what the kernel says of devices.
//! - [`plain`]: numbers and addresses as text.
//! - [`list`], [`time`]: a list that lives without a heap, and milliseconds.
//!
//! Everything here takes bytes and gives values, so that it is tested on the host.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod device;
pub mod list;
pub mod listen;
pub mod net;
pub mod plain;
pub mod report;
pub mod screen;
pub mod seccomp;
pub mod time;
pub mod wire;
