//! Many clients before one server.

use super::client_tests::{Heard, hear};
use super::testing::Reply;
use super::*;
use crate::net::{Mac, Millis};
use std::collections::VecDeque;
use std::vec::Vec;

/// A thousand machines start in the same instant before a server that handles 50 messages a
/// second and drops what its queue of 64 does not hold (peers.md: a client that gave up).
#[test]
fn a_thousand_starts_at_once_all_get_a_lease() {
    const CLIENTS: usize = 1000;
    const TICK: u64 = 20;
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|n| {
            let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
            // cloned machines: the seed is the same, the address is not
            Client::new(Mac([2, 0, 0, 0, high, low]), 42)
        })
        .collect();
    let mut queue: VecDeque<(usize, Heard)> = VecDeque::new();
    let mut bound = 0;
    let mut dropped = 0;
    let mut now = Millis(0);
    let mut offer = |queue: &mut VecDeque<_>, n: usize, sent: Option<Transmission>| {
        if let Some(sent) = sent {
            if queue.len() < 64 {
                queue.push_back((n, hear(&sent)));
            } else {
                dropped += 1;
            }
        }
    };
    for (n, client) in clients.iter_mut().enumerate() {
        let sent = client.step(now, Event::LinkUp).send;
        offer(&mut queue, n, sent);
    }
    while bound < CLIENTS {
        now = now.plus(TICK);
        assert!(now < Millis(600_000), "only {bound} bound");
        for (n, client) in clients.iter_mut().enumerate() {
            let sent = client.step(now, Event::Time).send;
            offer(&mut queue, n, sent);
        }
        if let Some((n, heard)) = queue.pop_front() {
            let kind = if heard.kind == 1 { 2 } else { 5 };
            let reply = Reply::lease(kind, heard.xid).mac(heard.mac).bytes();
            let step = clients[n].step(now, Event::Packet(&reply));
            bound += usize::from(step.change == Change::Configure);
            offer(&mut queue, n, step.send);
        }
    }
    assert!(dropped > 1000, "the server was not overrun");
    assert!(now < Millis(180_000), "took {now:?}");
}
