//! The network: what the main loop sees of it. The formats and decisions are in
//! `ampoule_init::net`, which touches no kernel; this is what carries them out.
//!
//! The main loop owns one [`Network`]. After [`Network::start`] it waits on
//! [`Network::watched`] and until [`Network::deadline`], and calls [`Network::on_ready`]
//! or [`Network::on_timer`]. None of them waits. What changes is reported by the network
//! itself, through [`Outlets::report`].

use ampoule_init::report::{self, Report};
use ampoule_init::time::Millis;

use crate::config::Config;
use crate::outlets::Outlets;
use crate::sys::fd::RawFd;

/// How far the network is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[allow(dead_code)]
pub enum State {
    /// No address yet: the program waits, as long as the configuration says.
    Waiting,
    /// There is an address, or none is wanted.
    Up,
    /// There will be none: the program starts without.
    Failed,
}

/// The network of the machine, loopback aside.
pub struct Network {}

impl Network {
    /// Begins to bring the network up as `config.network` says. Loopback is up already,
    /// and the root is read-only: resolv.conf lies in /run.
    pub fn start(_config: &Config, outlets: &mut Outlets, _now: Millis) -> Network {
        outlets.report(&Report::Network(report::Network::None));
        Network {}
    }

    /// The descriptors to wait on until they can be read.
    pub fn watched(&self) -> [Option<RawFd>; 2] {
        [None, None]
    }

    /// When [`Network::on_timer`] is to be called next.
    pub fn deadline(&self) -> Option<Millis> {
        None
    }

    /// `fd`, one of the watched, can be read.
    pub fn on_ready(&mut self, _fd: RawFd, _outlets: &mut Outlets, _now: Millis) {}

    /// The deadline has passed.
    pub fn on_timer(&mut self, _outlets: &mut Outlets, _now: Millis) {}

    /// How far the network is.
    pub fn state(&self) -> State {
        State::Up
    }
}
