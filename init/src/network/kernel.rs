//! The kernel's routing socket.

use ampoule_init::net::netlink::{GROUP_LINK, Message, Messages, Request};

use crate::sys::fd::{Fd, RawFd};
use crate::sys::{Errno, Result, net, socket};

/// Room for one datagram of the kernel: a part of a list is at most 8 KiB.
pub const DATAGRAM: usize = 8192;

/// Two sockets, so that answers never stand in a queue behind events.
pub struct Kernel {
    events: Fd,
    requests: Fd,
    sequence: u32,
}

impl Kernel {
    /// Opens the sockets, and asks for the interfaces that are there already: they come as
    /// events do.
    pub fn open() -> Result<Self> {
        let kernel = Self {
            events: net::routing(GROUP_LINK)?,
            requests: net::routing(0)?,
            sequence: 0,
        };
        kernel.list_links()?;
        Ok(kernel)
    }

    /// The descriptor on which events come in.
    pub fn events(&self) -> RawFd {
        self.events.raw()
    }

    /// Reads one datagram of events; `None` when there is none left.
    pub fn event<'b>(&self, buffer: &'b mut [u8; DATAGRAM]) -> Option<Messages<'b>> {
        let len = loop {
            match socket::receive(&self.events, buffer) {
                // events were lost for want of room: ask for the present state instead
                Err(Errno::ENOBUFS) => self.list_links().ok()?,
                other => break other.ok()?,
            }
        };
        Some(Messages::new(buffer.get(..len)?))
    }

    fn list_links(&self) -> Result<()> {
        socket::send(&self.events, Request::list_links().numbered(0), &[]).map(drop)
    }

    /// Makes a request and reads what came of it: the kernel answers before the sending call
    /// returns.
    pub fn ask(&mut self, mut request: Request) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        socket::send(&self.requests, request.numbered(self.sequence), &[])?;
        // an error repeats the request behind its number
        let mut buffer = [0; 256];
        loop {
            let len = socket::receive(&self.requests, &mut buffer)?;
            for message in Messages::new(buffer.get(..len).unwrap_or_default()) {
                match message {
                    Message::Done { sequence, errno } if sequence == self.sequence => {
                        return if errno == 0 {
                            Ok(())
                        } else {
                            Err(Errno(errno))
                        };
                    }
                    _ => {}
                }
            }
        }
    }
}
