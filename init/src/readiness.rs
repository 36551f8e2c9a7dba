//! Finds out when the program's ports take connections. The kernel tells nobody when a
//! socket begins to listen, so this looks: at first often, then ever more rarely, at once
//! when the program has written something, and never again when all ports are there.

use core::ffi::CStr;

use ampoule_init::listen::{Seen, Splitter, listener};
use ampoule_init::report::{Ports, Report};
use ampoule_init::time::Millis;

use crate::outlets::Outlets;
use crate::sys::fd::{Fd, Flags};

/// The first and the longest pause between two looks, in milliseconds.
const SHORTEST: u64 = 2;
const LONGEST: u64 = 500;

/// A port on loopback alone is told when it has been so for this long, in milliseconds:
/// a program may open its ports one after the other.
const TELL_LOOPBACK_AFTER: u64 = 1000;

/// A port counts when it has been open for this long, in milliseconds: programs open one
/// for a moment to see whether it is free.
const SETTLED_AFTER: u64 = 50;

/// What is awaited.
pub struct Readiness {
    declared: Ports,
    look_at: Option<Millis>,
    pause: u64,
    open_since: Option<Millis>,
    inside_since: Option<Millis>,
    told: Ports,
}

impl Readiness {
    /// The program was executed. Without a declared port that is all.
    pub fn start(declared: Ports, outlets: &mut Outlets, now: Millis) -> Readiness {
        let mut look_at = Some(now.plus(SHORTEST));
        if declared.is_empty() {
            outlets.report(&Report::Ready { ports: declared });
            look_at = None;
        }
        let told = Ports::new(0);
        Readiness {
            declared,
            look_at,
            pause: SHORTEST,
            open_since: None,
            inside_since: None,
            told,
        }
    }

    /// When to look next.
    pub fn deadline(&self) -> Option<Millis> {
        self.look_at
    }

    /// The program wrote something: a server often says when it is ready.
    pub fn hint(&mut self, now: Millis) {
        if let Some(at) = self.look_at {
            // one that writes without pause is not looked at without pause
            self.look_at = Some(at.min(now.plus(SHORTEST)));
        }
    }

    /// Looks, when it is time.
    pub fn on_timer(&mut self, outlets: &mut Outlets, now: Millis) {
        if self.look_at.is_none_or(|at| at > now) {
            return;
        }
        let mut seen = Seen::default();
        look(c"/proc/net/tcp", &self.declared, &mut seen);
        look(c"/proc/net/tcp6", &self.declared, &mut seen);
        if seen.all(&self.declared) {
            let since = *self.open_since.get_or_insert(now);
            if now.since(since) < SETTLED_AFTER {
                self.look_at = Some(since.plus(SETTLED_AFTER));
                return;
            }
            outlets.report(&Report::Ready {
                ports: self.declared,
            });
            self.look_at = None;
            return;
        }
        self.open_since = None;
        self.tell_loopback(seen, outlets, now);
        self.look_at = Some(now.plus(self.pause));
        self.pause = (self.pause * 3 / 2).min(LONGEST);
    }

    fn tell_loopback(&mut self, seen: Seen, outlets: &mut Outlets, now: Millis) {
        if seen.inside_only(&self.declared).next().is_none() {
            self.inside_since = None;
            return;
        }
        let since = *self.inside_since.get_or_insert(now);
        if now.since(since) < TELL_LOOPBACK_AFTER {
            return;
        }
        for port in seen.inside_only(&self.declared) {
            if !self.told.contains(&port) && self.told.push(port) {
                outlets.report(&Report::LoopbackOnly { port });
            }
        }
    }
}

/// Notes the listening sockets of one of the files. They stand before all others, but a
/// connection that was accepted a moment ago may hide in between: read it all.
fn look(path: &CStr, declared: &Ports, seen: &mut Seen) {
    // a kernel without IPv6 has no tcp6
    let Ok(file) = Fd::open(path, Flags::READ) else {
        return;
    };
    let mut lines = Splitter::new();
    let mut chunk = [0; 1024];
    while let Ok(len @ 1..) = file.read(&mut chunk) {
        lines.feed(&chunk[..len], &mut |line| {
            if let Some(found) = listener(line) {
                seen.note(declared, found);
            }
        });
    }
}
