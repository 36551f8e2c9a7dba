//! One network card: its client, its socket, and what was set on it.

use ampoule_init::net::dhcp::{Change, Client, Destination, Event, Lease, Socket, Transmission};
use ampoule_init::net::frame;
use ampoule_init::net::netlink::{Address, Index, Link, MAX_NAME, Origin, Request};
use ampoule_init::net::text::Text;
use ampoule_init::time::Millis;

use super::kernel::Kernel;
use crate::sys::fd::{Fd, RawFd};
use crate::sys::{Errno, Result, net, socket};

/// Metric of the routes over the interface with the number 0; the number is added, so that the
/// first card's default route wins.
const METRIC: u32 = 100;
/// Room for a packet: an Ethernet frame's, since no larger one was asked for.
const PACKET: usize = 1536;
/// Packets read in one turn: more wait for the next, so that nobody can keep PID 1 here.
const PACKETS_A_TURN: usize = 16;

/// A network card.
pub struct Interface {
    pub index: Index,
    name: Text<MAX_NAME>,
    mtu: u32,
    carrier: bool,
    client: Client,
    socket: Option<(Socket, Fd)>,
    /// What is set on the interface.
    applied: Option<Lease>,
    /// The kernel's refusal of an address.
    refused: Option<Errno>,
    /// Whether `applied` has changed since this was last cleared.
    pub changed: bool,
}

impl Interface {
    pub fn new(link: &Link<'_>, seed: u64) -> Self {
        let mut name = Text::new();
        name.push(link.name);
        Self {
            index: link.index,
            name,
            mtu: link.mtu,
            carrier: false,
            client: Client::new(link.mac, seed),
            socket: None,
            applied: None,
            refused: None,
            changed: false,
        }
    }

    pub fn name(&self) -> &str {
        core::str::from_utf8(self.name.as_bytes()).unwrap_or("?")
    }

    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    pub fn has_carrier(&self) -> bool {
        self.carrier
    }

    pub fn lease(&self) -> Option<&Lease> {
        self.applied.as_ref()
    }

    pub fn refused(&self) -> Option<Errno> {
        self.refused
    }

    pub fn deadline(&self) -> Option<Millis> {
        self.client.deadline()
    }

    /// The descriptor on which answers come in, while any are awaited.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.socket.as_ref().map(|(_, fd)| fd.raw())
    }

    /// Takes what the kernel says of the interface; carrier matters to DHCP alone.
    pub fn heard(&mut self, now: Millis, link: &Link<'_>, dhcp: bool, kernel: &mut Kernel) {
        self.changed |= self.applied.is_some() && self.mtu != link.mtu;
        self.mtu = link.mtu;
        self.carrier = link.carrier && link.up;
        if dhcp {
            let event = if self.carrier {
                Event::LinkUp
            } else {
                Event::LinkDown
            };
            self.step(now, event, kernel);
        }
    }

    /// Looks at the clock and at what has come in.
    pub fn turn(&mut self, now: Millis, kernel: &mut Kernel) {
        self.step(now, Event::Time, kernel);
        let mut buffer = [0; PACKET];
        for _ in 0..PACKETS_A_TURN {
            let Some((kind, fd)) = &self.socket else {
                return;
            };
            let Ok(message) = receive(*kind, fd, &mut buffer) else {
                return;
            };
            if let Some(message) = message {
                self.step(now, Event::Packet(message), kernel);
            }
        }
    }

    fn step(&mut self, now: Millis, event: Event<'_>, kernel: &mut Kernel) {
        let step = self.client.step(now, event);
        match step.change {
            Change::Keep => {}
            Change::Configure => {
                let seconds = self.client.remaining(now);
                if let Some(lease) = self.client.lease().copied() {
                    self.apply(&lease, seconds, Origin::Dhcp, kernel);
                }
            }
            Change::Deconfigure => self.clear(kernel),
        }
        self.fit_socket();
        if let Some(send) = step.send {
            // what cannot be sent now is repeated like what got lost
            let _ = self.transmit(&send);
        }
    }

    /// Sets what a lease grants, for `seconds` from now.
    pub fn apply(&mut self, lease: &Lease, seconds: u32, origin: Origin, kernel: &mut Kernel) {
        if self.applied.is_some_and(|old| !old.same_place(lease)) {
            self.clear(kernel);
        }
        let index = self.index;
        if let Some(mtu) = lease.mtu.map(u32::from).filter(|mtu| *mtu != self.mtu) {
            // a card that cannot do it works on with what it can
            if kernel.ask(Request::set_mtu(index, mtu)).is_ok() {
                self.mtu = mtu;
            }
        }
        let address = address_of(lease, seconds);
        self.refused = kernel.ask(Request::set_address(index, &address)).err();
        if self.refused.is_some() {
            self.changed = true;
            return;
        }
        let metric = METRIC.saturating_add(index.0);
        for route in lease.routes.as_slice() {
            // one bad route of a server's must not cost the others
            let _ = kernel.ask(Request::set_route(
                index,
                route,
                lease.address,
                metric,
                origin,
            ));
        }
        self.changed |= self.applied.as_ref() != Some(lease);
        self.applied = Some(*lease);
    }

    /// Takes back what was set. With the interface's only address its routes go too.
    fn clear(&mut self, kernel: &mut Kernel) {
        let Some(lease) = self.applied.take() else {
            return;
        };
        let index = self.index;
        let address = address_of(&lease, 0);
        // where its time has run out, the kernel has removed it by itself
        let _ = kernel.ask(Request::remove_address(index, &address));
        self.changed = true;
    }

    /// Has the socket open that the client listens on, and no other.
    fn fit_socket(&mut self) {
        let wanted = self.client.socket();
        if self
            .socket
            .as_ref()
            .is_some_and(|(kind, _)| *kind == wanted)
        {
            return;
        }
        self.socket = None;
        let opened = match wanted {
            Socket::Closed => return,
            Socket::Link => net::answers_on(self.index),
            Socket::Routed => net::client_port_of(self.name.as_bytes()),
        };
        self.socket = opened.ok().map(|fd| (wanted, fd));
    }

    fn transmit(&self, send: &Transmission) -> Result<()> {
        let Some((_, fd)) = &self.socket else {
            return Ok(());
        };
        let message = send.message.encode();
        match send.to {
            Destination::Link => net::send_on_link(fd, self.index, &frame::broadcast(&message)),
            Destination::Routed(to) => net::send_to_server(fd, to, &message),
        }
    }
}

/// Reads from a socket: a DHCP message, or something else that came in (`None`).
fn receive<'b>(kind: Socket, fd: &Fd, buffer: &'b mut [u8; PACKET]) -> Result<Option<&'b [u8]>> {
    if kind == Socket::Link {
        let (len, checksum) = net::receive_packet(fd, buffer)?;
        return Ok(buffer
            .get(..len)
            .and_then(|packet| frame::payload(packet, checksum)));
    }
    let len = socket::receive(fd, buffer)?;
    Ok(buffer.get(..len))
}

fn address_of(lease: &Lease, seconds: u32) -> Address {
    Address {
        ip: lease.address,
        prefix: lease.prefix,
        seconds,
    }
}
