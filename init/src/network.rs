//! The network as the main loop sees it. The formats and decisions are in `ampoule_init::net`,
//! which touches no kernel; here they are carried out: it listens to the kernel for network cards,
//! runs a DHCP client on each or sets the configured address on the first, and keeps
//! `/run/resolv.conf`.
//!
//! The main loop owns one [`Network`]. After [`Network::start`] it waits on [`Network::watched`]
//! and until [`Network::deadline`], and calls [`Network::on_ready`] or [`Network::on_timer`]. None
//! of them waits. What changes is reported by the network itself.

mod interface;
mod kernel;

use core::fmt::{self, Write};
use core::net::{IpAddr, Ipv4Addr};

use ampoule_init::net::dhcp::Lease;
use ampoule_init::net::netlink::{Index, Link, LinkKind, Message, Origin, Request};
use ampoule_init::net::resolv;
use ampoule_init::net::text::Text;
use ampoule_init::plain::Plain;
use ampoule_init::report::{self, Report, Servers};
use ampoule_init::time::{Millis, earlier};
use ampoule_init::wire;

use crate::config::Config;
use crate::outlets::Outlets;
use crate::sys::fd::RawFd;
use crate::sys::{fs, net};
use interface::Interface;
use kernel::{DATAGRAM, Kernel};

/// The most network cards; further ones are left alone.
const MAX_INTERFACES: usize = 8;
/// The most descriptors to wait on: the kernel's, and one of each card.
pub const MAX_WATCHED: usize = MAX_INTERFACES + 1;

/// How far the network is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No address yet: the program waits, as long as the configuration says.
    Waiting,
    /// There is an address, or none is wanted.
    Up,
    /// There is none: the program starts without. One may still come.
    Failed,
}

/// The network of the machine, loopback aside.
pub struct Network {
    plan: wire::Network,
    /// The configured name servers.
    configured: Servers,
    /// Absent where no network is wanted, or the kernel has none.
    kernel: Option<Kernel>,
    // in the order of their numbers as far as they were there from the start
    interfaces: [Option<Interface>; MAX_INTERFACES],
    seed: u64,
    /// Until when the program waits for an address.
    patience: Option<Millis>,
    state: State,
    /// What `/run/resolv.conf` holds.
    resolv: Option<Text<{ resolv::MAX_FILE }>>,
}

impl Network {
    /// Begins to bring the network up as `config.network` says. Loopback is up already, and the
    /// root is read-only: resolv.conf lies in /run.
    pub fn start(config: &Config, outlets: &mut Outlets, now: Millis) -> Self {
        let mut network = Self {
            plan: config.network,
            configured: config.nameservers,
            kernel: None,
            interfaces: [const { None }; MAX_INTERFACES],
            seed: net::random(),
            patience: config.dhcp_wait.map(|wait| now.plus(wait)),
            state: State::Waiting,
            resolv: None,
        };
        network.write_resolv();
        if network.plan == wire::Network::None {
            network.state = State::Up;
            outlets.report(&Report::Network(report::Network::None));
            return network;
        }
        match Kernel::open() {
            Ok(kernel) => network.kernel = Some(kernel),
            Err(error) => {
                network.state = State::Failed;
                tell_failure(outlets, format_args!("routing socket: {error}"));
            }
        }
        network.turn(outlets, now);
        network
    }

    /// The descriptors to wait on until they can be read. They change with every call.
    pub fn watched(&self) -> impl Iterator<Item = RawFd> {
        let cards = self.interfaces.iter().flatten();
        let kernel = self.kernel.iter().map(Kernel::events);
        kernel.chain(cards.filter_map(Interface::descriptor))
    }

    /// When [`Network::on_timer`] is to be called next.
    pub fn deadline(&self) -> Option<Millis> {
        let waiting = self.state == State::Waiting;
        let patience = self.patience.filter(|_| waiting);
        let cards = self.interfaces.iter().flatten();
        cards.map(Interface::deadline).fold(patience, earlier)
    }

    /// One of the watched descriptors can be read.
    pub fn on_ready(&mut self, outlets: &mut Outlets, now: Millis) {
        self.turn(outlets, now);
    }

    /// The deadline has passed.
    pub fn on_timer(&mut self, outlets: &mut Outlets, now: Millis) {
        self.turn(outlets, now);
    }

    /// How far the network is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Reads what has come in and does what is due.
    fn turn(&mut self, outlets: &mut Outlets, now: Millis) {
        // taken out for the time: the interfaces are ours, and need it
        let Some(mut kernel) = self.kernel.take() else {
            return;
        };
        self.hear_kernel(&mut kernel, outlets, now);
        for interface in self.interfaces.iter_mut().flatten() {
            interface.turn(now, &mut kernel);
        }
        self.kernel = Some(kernel);
        self.account(outlets);
        if self.state == State::Waiting && self.patience.is_some_and(|end| now >= end) {
            self.state = State::Failed;
            tell_failure(outlets, format_args!("{}", Plain(self.why_no_address())));
        }
    }

    fn why_no_address(&self) -> &'static str {
        let mut cards = self.interfaces.iter().flatten().peekable();
        if cards.peek().is_none() {
            "no network card was found; still looking"
        } else if cards.all(|card| !card.has_carrier()) {
            "no network card has a link; still waiting"
        } else {
            "no DHCP server has granted an address; still asking"
        }
    }

    fn hear_kernel(&mut self, kernel: &mut Kernel, outlets: &mut Outlets, now: Millis) {
        let mut buffer = [0; DATAGRAM];
        while let Some(messages) = kernel.event(&mut buffer) {
            for message in messages {
                match message {
                    Message::Link(link) if link.enslaved => self.forget(link.index, outlets),
                    Message::Link(link) => self.hear_link(kernel, now, &link),
                    Message::LinkGone(index) => self.forget(index, outlets),
                    Message::Done { .. } | Message::Other => {}
                }
            }
        }
    }

    fn hear_link(&mut self, kernel: &mut Kernel, now: Millis, link: &Link<'_>) {
        if link.kind != LinkKind::Ethernet {
            return;
        }
        if !link.up {
            // IPv6 configures itself from here on
            let _ = kernel.ask(Request::set_up(link.index));
        }
        let known = self
            .interfaces
            .iter()
            .position(|one| one.as_ref().is_some_and(|one| one.index == link.index));
        let Some(at) = known.or_else(|| self.interfaces.iter().position(Option::is_none)) else {
            return;
        };
        let first = self.interfaces.iter().all(Option::is_none);
        let Some(place) = self.interfaces.get_mut(at) else {
            return;
        };
        let seed = self.seed;
        let interface = place.get_or_insert_with(|| Interface::new(link, seed));
        let dhcp = self.plan == wire::Network::Dhcp;
        interface.heard(now, link, dhcp, kernel);
        if let wire::Network::Static {
            address,
            prefix,
            gateway,
        } = self.plan
        {
            if first {
                let lease = Lease::fixed(address, prefix, gateway);
                interface.apply(&lease, u32::MAX, Origin::Static, kernel);
            }
        }
    }

    /// The interface is not there any more, or not ours.
    fn forget(&mut self, index: Index, outlets: &mut Outlets) {
        for place in &mut self.interfaces {
            if let Some(card) = place.take_if(|card| card.index == index) {
                if card.lease().is_some() {
                    let name = Plain(card.name());
                    tell_failure(outlets, format_args!("{name}: the card is gone"));
                }
            }
        }
        self.write_resolv();
    }

    /// Tells what has changed, and writes the name servers.
    fn account(&mut self, outlets: &mut Outlets) {
        if !self.interfaces.iter().flatten().any(|one| one.changed) {
            return;
        }
        self.write_resolv();
        let dns = self.servers();
        for card in self.interfaces.iter_mut().flatten() {
            if !core::mem::take(&mut card.changed) {
                continue;
            }
            if let Some(lease) = card.lease() {
                self.state = State::Up;
                outlets.report(&Report::Network(report::Network::Up {
                    interface: card.name(),
                    address: lease.address,
                    prefix: lease.prefix,
                    gateway: lease.gateway(),
                    mtu: card.mtu(),
                    dns,
                }));
                continue;
            }
            let name = Plain(card.name());
            match card.refused() {
                Some(error) => tell_failure(
                    outlets,
                    format_args!("{name}: the kernel refuses the address: {error}"),
                ),
                None => tell_failure(
                    outlets,
                    format_args!("{name}: the lease is over; asking for another"),
                ),
            }
        }
    }

    /// The name servers of the leases, first card first, then the configured ones.
    fn servers(&self) -> Servers {
        let mut servers = Servers::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let leases = self
            .interfaces
            .iter()
            .flatten()
            .filter_map(Interface::lease);
        let told = leases
            .flat_map(|lease| lease.nameservers.as_slice())
            .map(|ip| IpAddr::V4(*ip));
        for server in told.chain(self.configured.iter().copied()) {
            if !servers.contains(&server) {
                // more than libc asks are of no use
                let _ = servers.push(server);
            }
        }
        servers
    }

    fn write_resolv(&mut self) {
        let leases = self
            .interfaces
            .iter()
            .flatten()
            .filter_map(Interface::lease);
        let search = leases
            .map(|lease| lease.search.as_bytes())
            .find(|search| !search.is_empty());
        let file = resolv::render(&self.servers(), search.unwrap_or_default());
        if self.resolv.as_ref() != Some(&file) {
            // a full /run is no reason to give up the addresses; it is tried again with the next
            let written = fs::replace(
                c"/run/resolv.conf",
                c"/run/resolv.conf.new",
                file.as_bytes(),
            );
            self.resolv = written.is_ok().then_some(file);
        }
    }
}

fn tell_failure(outlets: &mut Outlets, reason: fmt::Arguments<'_>) {
    let mut text = Text::<96>::new();
    // a reason that does not fit loses its end
    let _ = text.write_fmt(reason);
    let reason = core::str::from_utf8(text.as_bytes()).unwrap_or_default();
    outlets.report(&Report::Network(report::Network::Failed { reason }));
}
