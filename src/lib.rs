//! Seals one application binary, a pinned kernel and a tiny PID 1 into one
//! bootable disk image.
//!
//! The rooms of the house, and which way imports run, are in `ARCHITECTURE.md`.

pub mod app;
pub mod boot;
pub mod check;
pub mod cli;
pub mod closure;
pub mod digest;
pub mod disk;
pub mod fit;
pub mod initramfs;
pub mod kit;
pub mod need;
pub mod payload;
pub mod pipeline;
pub mod root;
pub mod rootfs;
pub mod seccomp;
pub mod spec;
pub mod sysno;
pub mod units;

#[cfg(test)]
#[path = "../tests/common/elf.rs"]
#[allow(dead_code)]
mod sample;
