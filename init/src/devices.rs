//! Devices that PID 1 listens to, those that appear later included.

use ampoule_init::device::{self, INPUT_EVENT};

use crate::port::{self, Port};
use crate::sys::fd::{Fd, Flags, RawFd};
use crate::sys::fs::{self, PathBuffer};
use crate::sys::{Errno, Result, input, socket};

/// More power buttons than a machine has: a keyboard with a power key is one, too.
const BUTTONS: usize = 8;

/// The kernel's messages, and the power buttons.
pub struct Devices {
    events: Fd,
    buttons: [Option<Fd>; BUTTONS],
}

impl Devices {
    /// Listens for messages first, and then looks at what is there already, so that
    /// nothing appears in between.
    pub fn find(port: &mut Port) -> Result<Devices> {
        let events = socket::device_events()?;
        let mut devices = Devices {
            events,
            buttons: [const { None }; BUTTONS],
        };
        devices.scan(port);
        Ok(devices)
    }

    fn scan(&mut self, port: &mut Port) {
        port.find();
        self.buttons = [const { None }; BUTTONS];
        // no such directory: no input device
        let _ = fs::for_each_name(c"/dev/input", &mut |name| self.consider(&[b"input/", name]));
    }

    /// The descriptors to wait on.
    pub fn watched(&self) -> [Option<RawFd>; 1 + BUTTONS] {
        let mut watched = [Some(self.events.raw()); 1 + BUTTONS];
        for (place, button) in watched[1..].iter_mut().zip(&self.buttons) {
            *place = button.as_ref().map(Fd::raw);
        }
        watched
    }

    /// Something is to be read from `fd`: whether it was a press of a power button.
    pub fn on_ready(&mut self, fd: RawFd, port: &mut Port) -> bool {
        if fd == self.events.raw() {
            self.listen(port);
        }
        let button = self
            .buttons
            .iter_mut()
            .find(|one| one.as_ref().is_some_and(|one| one.raw() == fd));
        button.is_some_and(read_button)
    }

    fn listen(&mut self, port: &mut Port) {
        let mut message = [0; 2048];
        loop {
            match socket::receive(&self.events, &mut message) {
                Ok(len) => match device::parse(&message[..len]) {
                    Some(device) if device.subsystem == b"input" => self.consider(&[device.name]),
                    Some(device) if device.subsystem == port::SUBSYSTEM => {
                        port.consider(device.name)
                    }
                    _ => {}
                },
                // messages were lost
                Err(Errno::ENOBUFS) => self.scan(port),
                Err(_) => return,
            }
        }
    }

    /// Opens /dev/`name` if it is an input device with a power key.
    fn consider(&mut self, name: &[&[u8]]) {
        let mut parts: [&[u8]; 3] = [b"/dev/", b"", b""];
        parts[1..=name.len()].copy_from_slice(name);
        let Some(path) = PathBuffer::join(&parts) else {
            return;
        };
        if !path.as_c_str().to_bytes().starts_with(b"/dev/input/event") {
            return;
        }
        let Ok(device) = Fd::open(path.as_c_str(), Flags::READ.and(Flags::NON_BLOCKING)) else {
            return;
        };
        if input::has_power_key(&device) {
            if let Some(place) = self.buttons.iter_mut().find(|place| place.is_none()) {
                *place = Some(device);
            }
        }
    }
}

/// Whether the power key went down. A device that went is forgotten.
fn read_button(place: &mut Option<Fd>) -> bool {
    let mut events = [0; 16 * INPUT_EVENT];
    match place.as_ref().map(|device| device.read(&mut events)) {
        Some(Ok(len)) => events[..len]
            .chunks(INPUT_EVENT)
            .any(device::is_power_pressed),
        Some(Err(Errno::EAGAIN)) => false,
        _ => {
            *place = None;
            false
        }
    }
}
