//! What init reads: its configuration, the kernel's and the network's messages, lines of reports, its filter's
//! file. The first byte chooses.
#![no_main]

use ampoule_init::listen::{self, Splitter};
use ampoule_init::net::dhcp::{Client, Event};
use ampoule_init::net::frame::{self, Checksum};
use ampoule_init::net::netlink::Messages;
use ampoule_init::net::{Mac, Millis};
use ampoule_init::{device, report, seccomp, wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, message)) = input.split_first() else {
        return;
    };
    match choice % 7 {
        0 => {
            for setting in wire::parse(message).into_iter().flatten() {
                let _ = setting;
            }
        }
        1 => {
            let _ = report::parse(message);
        }
        2 => {
            let _ = device::parse(message);
        }
        3 => {
            for message in Messages::new(message) {
                let _ = message;
            }
        }
        4 => {
            let mut splitter = Splitter::new();
            splitter.feed(message, &mut |line| {
                let _ = listen::listener(line);
            });
        }
        5 => converse(message),
        _ => {
            let _ = seccomp::address(message);
            if let Some(policy) = seccomp::parse(message) {
                for number in 0..seccomp::CALLS {
                    let _ = policy.call(number);
                }
            }
        }
    }
});

/// A client that gets packets, each behind its length, and lets time pass between them.
fn converse(mut packets: &[u8]) {
    let mut client = Client::new(Mac([2, 0, 0, 0, 0, 1]), 1);
    let mut now = Millis(0);
    client.step(now, Event::LinkUp);
    while let Some((length, rest)) = packets.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (packet, rest) = rest.split_at(length);
        packets = rest;
        let payload = frame::payload(packet, Checksum::Unfinished).unwrap_or(packet);
        client.step(now, Event::Packet(payload));
        now = client.deadline().unwrap_or(now);
        client.step(now, Event::Time);
    }
}
