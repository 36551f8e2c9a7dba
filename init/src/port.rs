//! The virtio-serial port that carries the reports alone. It may appear late, or never.

use ampoule_init::report;
use ampoule_init::time::Millis;

use crate::queue::Queue;
use crate::sys::fd::{Fd, Flags, RawFd};
use crate::sys::fs::{self, PathBuffer};
use crate::sys::memory::Buffer;

/// The class of such ports: Linux, drivers/char/virtio_console.c.
pub const SUBSYSTEM: &[u8] = b"virtio-ports";

/// Reports that wait for a port that appears late: one for each call that PID 1 can learn
/// of, and the others.
static QUEUE: Buffer<{ 20 * 1024 }> = Buffer::new();

/// The port, and the reports that wait for it.
pub struct Port {
    file: Option<Fd>,
    queue: Queue,
    /// While no host has the port open there is nothing to wait for: look again then.
    rest_until: Option<Millis>,
}

/// How long to rest, in milliseconds.
const REST: u64 = 100;

impl Port {
    /// Not there yet.
    pub fn new() -> Port {
        Port {
            file: None,
            queue: Queue::new(QUEUE.take()),
            rest_until: None,
        }
    }

    /// Looks at every port that is there.
    pub fn find(&mut self) {
        // no such class: no port
        let _ = fs::for_each_name(c"/sys/class/virtio-ports", &mut |name| self.consider(name));
    }

    /// Whether the port may still appear: there is a device of that kind, and its ports
    /// are told one after the other.
    pub fn may_appear(&self) -> bool {
        let mut device = false;
        if self.file.is_none() {
            let drivers = c"/sys/bus/virtio/drivers/virtio_console";
            // no such driver: no such device
            let _ = fs::for_each_name(drivers, &mut |name| device |= name.starts_with(b"virtio"));
        }
        device
    }

    /// Opens the port of this file name if it is ours. Its name is set a moment after the
    /// port itself appears.
    pub fn consider(&mut self, file_name: &[u8]) {
        if self.file.is_none() && is_ours(file_name).unwrap_or(false) {
            let flags = Flags::WRITE.and(Flags::NON_BLOCKING);
            if let Some(path) = PathBuffer::join(&[b"/dev/", file_name]) {
                self.file = Fd::open(path.as_c_str(), flags).ok();
            }
            self.send();
        }
    }

    /// Queues a report; the oldest ones make room.
    pub fn report(&mut self, line: &[u8]) {
        while !self.queue.push(line) {
            self.queue.drop_line();
        }
        self.send();
    }

    /// Sends what the port takes now.
    pub fn send(&mut self) {
        if let Some(file) = &self.file {
            if self.queue.send(file).is_err() {
                self.file = None;
            }
        }
    }

    /// No host has the port open.
    pub fn rest(&mut self, now: Millis) {
        self.rest_until = Some(now.plus(REST));
    }

    /// When to look again.
    pub fn deadline(&self) -> Option<Millis> {
        self.rest_until
    }

    /// Looks again, when it is time.
    pub fn on_timer(&mut self, now: Millis) {
        if self.rest_until.is_some_and(|at| at <= now) {
            self.rest_until = None;
            self.send();
        }
    }

    /// The descriptor to wait on while something is queued.
    pub fn waiting(&self) -> Option<RawFd> {
        let awake = self.rest_until.is_none() && !self.queue.is_empty();
        self.file.as_ref().filter(|_| awake).map(Fd::raw)
    }

    /// How many bytes are queued for a port that is there.
    pub fn backlog(&self) -> usize {
        if self.file.is_some() {
            self.queue.len()
        } else {
            0
        }
    }

    /// The descriptor, for a panic's last words.
    pub fn raw(&self) -> RawFd {
        self.file.as_ref().map_or(-1, Fd::raw)
    }
}

fn is_ours(file_name: &[u8]) -> Option<bool> {
    let path = PathBuffer::join(&[b"/sys/class/virtio-ports/", file_name, b"/name"])?;
    let mut name = [0; 64];
    let name = fs::get(path.as_c_str(), &mut name).ok()?;
    Some(name.trim_ascii_end() == report::PORT.as_bytes())
}
