//! DHCPv4: RFC 2131 (protocol), RFC 2132 (options), RFC 3396 (long options), RFC 3397 (domain
//! search), RFC 3442 (classless routes).
//!
//! [`Outgoing`] encodes what a client says, [`Message`] reads what a server says, [`Lease`] is
//! what a server offers, and [`Client`] decides what to do when.

mod client;
mod lease;
mod message;
mod outgoing;
mod search;

#[cfg(test)]
mod burst_tests;
#[cfg(test)]
mod client_tests;
#[cfg(test)]
pub(super) mod testing;

pub use client::{Change, Client, Destination, Event, Socket, Step, Transmission};
pub use lease::{Lease, MAX_NAMESERVERS, MAX_ROUTES};
pub use message::{Kind, Message, ParseError};
pub use outgoing::{MESSAGE_LEN, Outgoing, Say};

/// UDP port of a client (RFC 2131 section 4.1).
pub const CLIENT_PORT: u16 = 68;
/// UDP port of a server (RFC 2131 section 4.1).
pub const SERVER_PORT: u16 = 67;

/// Length of the fixed part of a message, in front of the magic cookie (RFC 2131 section 2).
const HEADER_LEN: usize = 236;
/// What begins the options (RFC 2131 section 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// Option codes (RFC 2132, and the RFC named beside).
mod code {
    pub const PAD: u8 = 0;
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const NAME_SERVER: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN_NAME: u8 = 15;
    pub const MTU: u8 = 26;
    pub const NTP: u8 = 42;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const PARAMETER_LIST: u8 = 55;
    pub const MAX_MESSAGE: u8 = 57;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const CLIENT_ID: u8 = 61;
    /// RFC 3397
    pub const DOMAIN_SEARCH: u8 = 119;
    /// RFC 3442
    pub const CLASSLESS_ROUTES: u8 = 121;
    pub const END: u8 = 255;
}
