//! When to say what: the client's states of RFC 2131 section 4.4, as a function of events.
//!
//! ```text
//!          link                offer                 ack
//! Down ────────► Selecting ──────────► Requesting ─────────► Bound ◄──────────┐
//!                  ▲  ▲                    │                   │ T1        ack│
//!                  │  └── nak, no answer ──┘                   ▼              │
//!                  │                                   Extending: the server, │
//!                  └── nak, expiry ─────────────────── from T2 on any ────────┘
//! ```
//!
//! A link that comes back while the lease still runs asks whether it still holds (Confirming).
//! The client never gives up: the waits grow, each spread at random over half its length, so
//! that a thousand machines started at once do not stay in step.

use super::lease::Lease;
use super::message::{Kind, Message};
use super::outgoing::{Outgoing, Say};
use crate::net::{Mac, Millis};
use core::net::Ipv4Addr;

/// Milliseconds until the first repetition of an unanswered message.
const FIRST_WAIT: u64 = 1_000;
/// Milliseconds between repetitions, at most.
const LONGEST_WAIT: u64 = 32_000;
/// Repetitions of a request until its offer is given up.
const REQUEST_TRIES: u32 = 4;
/// Unanswered messages after which every second one leaves the MTU out: asking for it may be why
/// there is no answer. One alone may have been lost, and an MTU not heard of does harm.
const TRIES_WITH_MTU: u32 = 2;
/// Milliseconds between requests for an extension, at most the least RFC 2131 asks for; see
/// [`Client::extension_wait`].
const EXTENSION_PAUSE: u64 = 60_000;

/// What happens to a client.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The interface has carrier.
    LinkUp,
    /// The interface has lost its carrier.
    LinkDown,
    /// The payload of a datagram that came to the client's port.
    Packet(&'a [u8]),
    /// Time has passed: [`Client::deadline`] may be over.
    Time,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To every server, from no address, past the kernel's routing: a packet socket.
    Link,
    /// From the lease's address through the kernel's routing: a UDP socket.
    Routed(Ipv4Addr),
}

/// A message to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmission {
    /// Where to.
    pub to: Destination,
    /// What.
    pub message: Outgoing,
}

/// What becomes of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Keep,
    /// [`Client::lease`] holds from now on, for its whole time: new, changed or extended.
    Configure,
    /// The lease is over: its address may not be used any more.
    Deconfigure,
}

/// What an event leads to: first the change, then the transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What becomes of the interface.
    pub change: Change,
    /// What is sent.
    pub send: Option<Transmission>,
}

/// The socket on which answers are awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// None: nothing is asked.
    Closed,
    /// A packet socket.
    Link,
    /// A UDP socket.
    Routed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No carrier.
    Down,
    /// Looking for a server; before the first DISCOVER only waiting.
    Selecting,
    /// Took an offer.
    Requesting,
    /// Asked whether the lease still holds after the link came back.
    Confirming,
    /// The lease runs.
    Bound,
    /// Past T1: asking for more time; past T2 asking everyone.
    Extending,
}

/// A client on one interface.
#[derive(Clone, Debug)]
pub struct Client {
    mac: Mac,
    random: u64,
    state: State,
    deadline: Option<Millis>,
    xid: u32,
    /// When the exchange began, for the message's `secs`.
    began: Millis,
    /// When the last request went out: a lease counts from there.
    asked: Millis,
    /// Messages sent in this state.
    tries: u32,
    /// Refusals in a row, which slow the next search down.
    refusals: u32,
    ask_mtu: bool,
    offer: Option<Lease>,
    lease: Option<Held>,
}

/// A lease and when it began.
#[derive(Clone, Copy, Debug)]
struct Held {
    lease: Lease,
    since: Millis,
}

impl Held {
    /// The time `seconds` into the lease; `None` when that is never.
    fn at(&self, seconds: u32) -> Option<Millis> {
        let forever = self.lease.seconds == u32::MAX;
        (!forever).then(|| self.since.plus(u64::from(seconds) * 1000))
    }

    fn is_over(&self, now: Millis) -> bool {
        self.at(self.lease.seconds).is_some_and(|end| now >= end)
    }
}

impl Client {
    /// A client that waits for its link; `seed` should differ between machines.
    #[must_use]
    pub fn new(mac: Mac, seed: u64) -> Self {
        let mut client = Self {
            mac,
            random: seed,
            state: State::Down,
            deadline: None,
            xid: 0,
            began: Millis(0),
            asked: Millis(0),
            tries: 0,
            refusals: 0,
            ask_mtu: true,
            offer: None,
            lease: None,
        };
        // machines cloned with one seed still differ by their address
        for byte in mac.0 {
            client.random ^= u64::from(byte);
            client.random = client.next_random();
        }
        client
    }

    /// When [`Event::Time`] is due, if ever.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        self.deadline
    }

    /// The lease in force.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref().map(|held| &held.lease)
    }

    /// Seconds that are left of the lease in force; `u32::MAX` is for ever.
    #[must_use]
    pub fn remaining(&self, now: Millis) -> u32 {
        let Some(held) = &self.lease else { return 0 };
        match held.at(held.lease.seconds) {
            None => u32::MAX,
            Some(end) => u32::try_from(end.since(now).div_ceil(1000)).unwrap_or(u32::MAX),
        }
    }

    /// When the lease in force is over; `None` without one, and when it is for ever.
    fn lease_end(&self) -> Option<Millis> {
        let held = self.lease.as_ref()?;
        held.at(held.lease.seconds)
    }

    /// The socket that has to be open now.
    #[must_use]
    pub fn socket(&self) -> Socket {
        match self.state {
            State::Down | State::Bound => Socket::Closed,
            State::Selecting | State::Requesting | State::Confirming => Socket::Link,
            State::Extending => Socket::Routed,
        }
    }

    /// Takes an event at the time `now`. Spurious ones do no harm.
    pub fn step(&mut self, now: Millis, event: Event<'_>) -> Step {
        match event {
            Event::LinkUp if self.state == State::Down => self.link_up(now),
            Event::LinkUp => Step::NONE,
            Event::LinkDown => self.link_down(),
            Event::Packet(bytes) => self.packet(now, bytes),
            Event::Time if self.deadline.is_some_and(|deadline| now >= deadline) => self.time(now),
            Event::Time => Step::NONE,
        }
    }

    fn link_up(&mut self, now: Millis) -> Step {
        match &self.lease {
            Some(held) if held.is_over(now) => self.give_up_lease(now),
            Some(_) => {
                self.enter(State::Confirming, now);
                self.ask(now)
            }
            None => self.search(now),
        }
    }

    /// A short interruption must not cut connections: the lease stays, and its end is watched.
    fn link_down(&mut self) -> Step {
        self.state = State::Down;
        self.deadline = self.lease_end();
        Step::NONE
    }

    fn time(&mut self, now: Millis) -> Step {
        if self.lease.as_ref().is_some_and(|held| held.is_over(now)) {
            return self.give_up_lease(now);
        }
        match self.state {
            State::Down => Step::NONE,
            State::Requesting if self.tries >= REQUEST_TRIES => self.search(now),
            // nobody contradicted: the lease still runs (RFC 2131 section 3.2, step 4)
            State::Confirming if self.tries >= REQUEST_TRIES => {
                self.rest();
                Step::NONE
            }
            State::Bound => {
                self.enter(State::Extending, now);
                self.ask(now)
            }
            State::Selecting | State::Requesting | State::Confirming | State::Extending => {
                self.ask(now)
            }
        }
    }

    fn packet(&mut self, now: Millis, bytes: &[u8]) -> Step {
        let Ok(message) = Message::parse(bytes) else {
            return Step::NONE;
        };
        if message.xid != self.xid || message.mac != self.mac || self.tries == 0 {
            return Step::NONE;
        }
        match (self.state, message.kind) {
            (State::Selecting, Kind::Offer) => self.offered(now, &message),
            (State::Requesting | State::Confirming | State::Extending, Kind::Ack) => {
                self.granted(&message)
            }
            (State::Requesting | State::Confirming | State::Extending, Kind::Nak) => {
                self.refused(now, &message)
            }
            _ => Step::NONE,
        }
    }

    /// Takes the first offer that can be used.
    fn offered(&mut self, now: Millis, message: &Message<'_>) -> Step {
        let Some(offer) = Lease::read(message, None) else {
            return Step::NONE;
        };
        // a late answer to a question with the MTU: this server does not mind
        self.ask_mtu |= offer.mtu.is_some();
        self.offer = Some(offer);
        self.state = State::Requesting;
        self.tries = 0;
        self.ask(now)
    }

    fn granted(&mut self, message: &Message<'_>) -> Step {
        let known = self.offer.as_ref().or(self.lease());
        let server = known.map(|lease| lease.server);
        let Some(lease) = Lease::read(message, server) else {
            return Step::NONE;
        };
        self.offer = None;
        self.refusals = 0;
        self.lease = Some(Held {
            lease,
            since: self.asked,
        });
        self.rest();
        Step {
            change: Change::Configure,
            send: None,
        }
    }

    fn refused(&mut self, now: Millis, message: &Message<'_>) -> Step {
        // another server's refusal of an offer it did not make
        if let (State::Requesting, Some(offer)) = (self.state, &self.offer) {
            if message.server().is_some_and(|by| by != offer.server) {
                return Step::NONE;
            }
        }
        let had = self.lease.take().is_some();
        self.enter(State::Selecting, now);
        // a server that offers and refuses in turn must not be kept busy
        let pause = wait_after(self.refusals);
        self.refusals = self.refusals.saturating_add(1);
        self.deadline = Some(now.plus(self.spread(pause)));
        Step {
            change: if had {
                Change::Deconfigure
            } else {
                Change::Keep
            },
            send: None,
        }
    }

    /// The lease has run out.
    fn give_up_lease(&mut self, now: Millis) -> Step {
        self.lease = None;
        let send = if self.state == State::Down {
            self.deadline = None;
            None
        } else {
            self.search(now).send
        };
        Step {
            change: Change::Deconfigure,
            send,
        }
    }

    /// Begins to look for a server.
    fn search(&mut self, now: Millis) -> Step {
        self.enter(State::Selecting, now);
        self.ask(now)
    }

    /// Waits until the lease needs attention.
    fn rest(&mut self) {
        self.state = State::Bound;
        let Some(held) = &self.lease else { return };
        let seconds = held.lease.renew_after;
        let due = held.at(seconds);
        // a little before T1, so that machines started together part (RFC 2131 section 4.4.5)
        let early = self.below(u64::from(seconds) * 1000 / 16 + 1);
        self.deadline = due.map(|due| Millis(due.0.saturating_sub(early)));
    }

    fn enter(&mut self, state: State, now: Millis) {
        self.state = state;
        // the upper half, since the lower bits of a product are the weaker ones
        self.xid = (self.next_random() >> 32) as u32;
        self.began = now;
        self.tries = 0;
        self.offer = None;
    }

    /// Sends what the state has to say, and sets the time of its repetition.
    fn ask(&mut self, now: Millis) -> Step {
        let searching = matches!(self.state, State::Selecting | State::Requesting);
        if searching && self.tries >= TRIES_WITH_MTU {
            self.ask_mtu = !self.ask_mtu;
        }
        let Some((say, to)) = self.message(now) else {
            // no offer or lease to speak of: cannot be, and searching is right then
            self.enter(State::Selecting, now);
            self.deadline = Some(now);
            return Step::NONE;
        };
        let wait = match self.state {
            State::Extending => self.extension_wait(now),
            _ => {
                let wait = wait_after(self.tries);
                self.spread(wait)
            }
        };
        let end = self.lease_end();
        let due = now.plus(wait);
        self.deadline = Some(end.map_or(due, |end| due.min(end)));
        self.tries = self.tries.saturating_add(1);
        self.asked = now;
        let secs = u16::try_from(now.since(self.began) / 1000).unwrap_or(u16::MAX);
        Step {
            change: Change::Keep,
            send: Some(Transmission {
                to,
                message: Outgoing {
                    mac: self.mac,
                    xid: self.xid,
                    secs,
                    say,
                    ask_mtu: self.ask_mtu,
                },
            }),
        }
    }

    fn message(&self, now: Millis) -> Option<(Say, Destination)> {
        match self.state {
            State::Requesting => {
                let offer = self.offer.as_ref()?;
                let say = Say::Take {
                    address: offer.address,
                    server: offer.server,
                };
                Some((say, Destination::Link))
            }
            State::Confirming => {
                let address = self.lease()?.address;
                Some((Say::Confirm { address }, Destination::Link))
            }
            State::Bound | State::Extending => {
                let held = self.lease.as_ref()?;
                let lease = &held.lease;
                let rebind = held
                    .at(lease.rebind_after)
                    .is_some_and(|rebind| now >= rebind);
                let to = if rebind {
                    Ipv4Addr::BROADCAST
                } else {
                    lease.server
                };
                let address = lease.address;
                Some((Say::Extend { address }, Destination::Routed(to)))
            }
            State::Down | State::Selecting => Some((Say::Discover, Destination::Link)),
        }
    }

    /// Half of what is left until T2, then until the end, at least a minute (RFC 2131 section
    /// 4.4.5), or on leases too short for that a sixteenth of them; never beyond T2 or the end.
    fn extension_wait(&mut self, now: Millis) -> u64 {
        let Some(held) = &self.lease else { return 0 };
        let rebind = held.at(held.lease.rebind_after).filter(|at| now < *at);
        let end = rebind.or(held.at(held.lease.seconds));
        let left = end.map_or(u64::MAX, |end| end.since(now));
        let pause = EXTENSION_PAUSE.min(u64::from(held.lease.seconds) * 1000 / 16);
        let wait = (left / 2).max(pause);
        self.spread(wait).min(left)
    }

    /// `wait` or up to a quarter less or more.
    fn spread(&mut self, wait: u64) -> u64 {
        wait - wait / 4 + self.below(wait / 2 + 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        // bounds are far below 2^32: the remainder's bias does not matter for waits
        (self.next_random() >> 16) % bound.max(1)
    }

    /// splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Step {
    const NONE: Self = Self {
        change: Change::Keep,
        send: None,
    };
}

/// Milliseconds to wait after the message number `tries` (from 0) before its repetition.
fn wait_after(tries: u32) -> u64 {
    (FIRST_WAIT << tries.min(8)).min(LONGEST_WAIT)
}
