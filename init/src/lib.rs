//! What PID 1 and its host agree on, and the parts of PID 1 that need no kernel.
//!
//! - [`wire`]: the configuration file that the host seals in and PID 1 reads.
//! - [`report`]: the lines that PID 1 tells the host.
//! - [`net`]: the formats and decisions of the network: DHCP, rtnetlink, resolv.conf.
//! - [`list`]: a short list that lives without a heap.
//!
//! Everything here takes bytes and gives values, so that it is tested on the host.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod list;
pub mod net;
pub mod report;
pub mod wire;
