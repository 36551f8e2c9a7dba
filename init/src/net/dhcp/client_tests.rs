//! The client against servers that lose, delay, double, refuse, and talk nonsense.

use super::testing::{Noise, Reply};
use super::*;
use crate::net::{Mac, Millis};
use core::net::Ipv4Addr;
use std::vec::Vec;

const MTU_CODE: u8 = 26;

/// What a client's message says, read without the crate's own reader.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) kind: u8,
    pub(super) xid: u32,
    pub(super) mac: Mac,
    ciaddr: Ipv4Addr,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    asks_mtu: bool,
}

pub(super) fn hear(sent: &Transmission) -> Heard {
    let bytes = sent.message.encode();
    let mut heard = Heard {
        kind: 0,
        xid: u32::from_be_bytes(bytes[4..8].try_into().unwrap()),
        mac: Mac(bytes[28..34].try_into().unwrap()),
        ciaddr: Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[12..16]).unwrap()),
        requested: None,
        server: None,
        asks_mtu: false,
    };
    let mut at = 240;
    while bytes[at] != 255 {
        let value = &bytes[at + 2..at + 2 + usize::from(bytes[at + 1])];
        let address = || Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).unwrap()));
        match bytes[at] {
            53 => heard.kind = value[0],
            50 => heard.requested = address(),
            54 => heard.server = address(),
            55 => heard.asks_mtu = value.contains(&MTU_CODE),
            _ => {}
        }
        at += 2 + value.len();
    }
    heard
}

/// A client, its clock, and what became of its interface.
struct Bench {
    now: Millis,
    client: Client,
    configured: u32,
    deconfigured: u32,
}

impl Bench {
    fn new() -> Self {
        Self {
            now: Millis(1_000),
            client: Client::new(Reply::MAC, 7),
            configured: 0,
            deconfigured: 0,
        }
    }

    fn step(&mut self, event: Event<'_>) -> Option<Transmission> {
        let step = self.client.step(self.now, event);
        match step.change {
            Change::Keep => {}
            Change::Configure => self.configured += 1,
            Change::Deconfigure => self.deconfigured += 1,
        }
        step.send
    }

    /// Lets time pass until the client has something to say.
    fn wait(&mut self) -> Transmission {
        for _ in 0..64 {
            self.now = self.client.deadline().expect("the client must not rest");
            if let Some(sent) = self.step(Event::Time) {
                return sent;
            }
        }
        panic!("the client is silent");
    }

    fn answer(&mut self, reply: &Reply) -> Option<Transmission> {
        self.step(Event::Packet(&reply.bytes()))
    }

    /// From link to lease, with the plain reply `reply(kind, xid)`.
    fn bind(reply: impl Fn(u8, u32) -> Reply) -> Self {
        let mut bench = Self::new();
        let discover = bench.step(Event::LinkUp).unwrap();
        let request = bench.answer(&reply(2, hear(&discover).xid)).unwrap();
        assert_eq!(bench.answer(&reply(5, hear(&request).xid)), None);
        assert_eq!(bench.configured, 1);
        bench
    }
}

#[test]
fn four_messages_bind() {
    let mut bench = Bench::new();
    assert_eq!(bench.client.deadline(), None);
    assert_eq!(bench.client.socket(), Socket::Closed);

    let discover = bench.step(Event::LinkUp).unwrap();
    let heard = hear(&discover);
    assert_eq!(discover.to, Destination::Link);
    assert_eq!((heard.kind, heard.mac), (1, Reply::MAC));
    assert!(heard.asks_mtu);
    assert_eq!(bench.client.socket(), Socket::Link);

    let request = bench.answer(&Reply::lease(2, heard.xid)).unwrap();
    let heard = hear(&request);
    assert_eq!(heard.kind, 3);
    assert_eq!(heard.requested, Some(Reply::ADDRESS));
    assert_eq!(heard.server, Some(Reply::SERVER));
    assert_eq!(heard.ciaddr, Ipv4Addr::UNSPECIFIED);

    assert_eq!(bench.answer(&Reply::lease(5, heard.xid)), None);
    assert_eq!(bench.configured, 1);
    assert_eq!(bench.client.lease().unwrap().address, Reply::ADDRESS);
    assert_eq!(bench.client.remaining(bench.now), 3600);
    assert_eq!(bench.client.socket(), Socket::Closed);
}

#[test]
fn a_lost_message_is_repeated_ever_more_slowly_and_for_ever() {
    let mut bench = Bench::new();
    let first = bench.step(Event::LinkUp).unwrap();
    let mut last = bench.now;
    let mut longest = 0;
    for round in 0..200u32 {
        let sent = bench.wait();
        assert_eq!(hear(&sent).kind, 1);
        // a server slower than the repetition still answers the right exchange
        assert_eq!(sent.message.xid, first.message.xid);
        let waited = bench.now.since(last);
        let nominal = (1000u64 << round.min(5)).min(32_000);
        assert!(waited >= nominal * 3 / 4 && waited <= nominal * 5 / 4 + 1);
        longest = longest.max(waited);
        last = bench.now;
    }
    assert!(longest > 32_000, "the waits are spread to both sides");
    let request = bench.answer(&Reply::lease(2, first.message.xid)).unwrap();
    assert_eq!(hear(&request).kind, 3);
}

#[test]
fn secs_counts_from_the_first_message() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::LinkUp).unwrap().message.secs, 0);
    let begun = bench.now;
    for _ in 0..3 {
        let sent = bench.wait();
        assert_eq!(u64::from(sent.message.secs), bench.now.since(begun) / 1000);
    }
}

#[test]
fn silence_when_the_mtu_is_asked_for() {
    let mut bench = Bench::new();
    let mut sent = bench.step(Event::LinkUp).unwrap();
    let begun = bench.now;
    // Azure: no answer to any message that asks for option 26
    let mut rounds = 0;
    loop {
        rounds += 1;
        assert!(rounds < 10);
        let heard = hear(&sent);
        let answer = match heard.kind {
            _ if heard.asks_mtu => None,
            1 => Some(Reply::lease(2, heard.xid)),
            _ => Some(Reply::lease(5, heard.xid)),
        };
        let next = answer.and_then(|reply| bench.answer(&reply));
        if bench.configured == 1 {
            break;
        }
        sent = next.unwrap_or_else(|| bench.wait());
    }
    assert_eq!(rounds, 4, "with, with, without; then a request without");
    assert!(bench.now.since(begun) < 4_000);
    // and the renewal has learnt
    let renewal = bench.wait();
    assert!(!hear(&renewal).asks_mtu);
}

#[test]
fn one_lost_discover_does_not_lose_the_mtu() {
    let mut bench = Bench::new();
    bench.step(Event::LinkUp).unwrap();
    assert!(hear(&bench.wait()).asks_mtu);
    // a slow server: its offer comes after a question without the MTU
    let third = bench.wait();
    assert!(!hear(&third).asks_mtu);
    let offer = Reply::lease(2, third.message.xid).option(MTU_CODE, &[5, 180]);
    let request = bench.answer(&offer).unwrap();
    assert!(hear(&request).asks_mtu);
}

#[test]
fn answers_for_others_and_of_other_exchanges_are_ignored() {
    let mut bench = Bench::new();
    let xid = bench.step(Event::LinkUp).unwrap().message.xid;
    for wrong in [
        Reply::lease(2, xid ^ 1),
        Reply::lease(2, xid).mac(Mac([1; 6])),
        Reply::lease(5, xid),
        Reply::lease(6, xid),
        Reply::lease(2, xid).address(Ipv4Addr::UNSPECIFIED),
        Reply::new(2, xid),
    ] {
        assert_eq!(bench.answer(&wrong), None);
    }
    let request = bench.answer(&Reply::lease(2, xid)).unwrap();
    // a second server's offer, and its refusal of what it did not offer
    assert_eq!(bench.answer(&Reply::lease(2, xid)), None);
    let other = Reply::new(6, xid).option(54, &[10, 9, 9, 9]);
    assert_eq!(bench.answer(&other), None);
    assert_eq!(bench.client.socket(), Socket::Link);
    bench.answer(&Reply::lease(5, request.message.xid));
    // doubled acknowledgement
    assert_eq!(bench.answer(&Reply::lease(5, request.message.xid)), None);
    assert_eq!((bench.configured, bench.deconfigured), (1, 0));
}

#[test]
fn an_offer_without_acknowledgement_is_given_up() {
    let mut bench = Bench::new();
    let xid = bench.step(Event::LinkUp).unwrap().message.xid;
    bench.answer(&Reply::lease(2, xid)).unwrap();
    for _ in 0..3 {
        assert_eq!(hear(&bench.wait()).kind, 3);
    }
    let again = hear(&bench.wait());
    assert_eq!(again.kind, 1);
    assert_ne!(again.xid, xid);
}

#[test]
fn refusals_slow_the_search_down() {
    let mut bench = Bench::new();
    let mut discover = bench.step(Event::LinkUp).unwrap();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let xid = discover.message.xid;
        bench.answer(&Reply::lease(2, xid)).unwrap();
        assert_eq!(bench.answer(&Reply::lease(6, xid)), None);
        let refused = bench.now;
        discover = bench.wait();
        assert_eq!(hear(&discover).kind, 1);
        assert_ne!(discover.message.xid, xid);
        waits.push(bench.now.since(refused));
    }
    assert!(waits[0] <= 1_251);
    assert!(waits[7] >= 24_000);
    assert_eq!(bench.deconfigured, 0);
}

#[test]
fn nothing_is_heard_while_a_refusal_is_slept_off() {
    let mut bench = Bench::new();
    let xid = bench.step(Event::LinkUp).unwrap().message.xid;
    bench.answer(&Reply::lease(2, xid)).unwrap();
    bench.answer(&Reply::lease(6, xid));
    for guess in [xid, 0] {
        assert_eq!(bench.answer(&Reply::lease(2, guess)), None);
    }
}

#[test]
fn renewal_asks_the_server_at_t1_and_extends() {
    let mut bench = Bench::bind(Reply::lease);
    let bound = bench.now;
    for round in 1..4u32 {
        let started = bench.now;
        let renewal = bench.wait();
        let waited = bench.now.since(started);
        // T1 is half an hour, and up to a sixteenth of it earlier
        assert!((1_687_500..=1_800_000).contains(&waited), "{waited}");
        assert_eq!(renewal.to, Destination::Routed(Reply::SERVER));
        assert_eq!(bench.client.socket(), Socket::Routed);
        let heard = hear(&renewal);
        assert_eq!((heard.kind, heard.ciaddr), (3, Reply::ADDRESS));
        assert_eq!((heard.requested, heard.server), (None, None));
        assert_eq!(bench.answer(&Reply::lease(5, heard.xid)), None);
        assert_eq!(bench.configured, round + 1);
        assert_eq!(bench.client.remaining(bench.now), 3600);
    }
    assert!(
        bench.now.since(bound) > 3_600_000,
        "outlived the first lease"
    );
    assert_eq!(bench.deconfigured, 0);
}

#[test]
fn unanswered_renewals_turn_to_everyone_and_end_with_the_lease() {
    let mut bench = Bench::bind(Reply::lease);
    let bound = bench.now;
    let mut seen = Vec::new();
    let last = loop {
        let sent = bench.wait();
        let at = bench.now.since(bound);
        match sent.to {
            Destination::Routed(to) => seen.push((at, to)),
            Destination::Link => break sent,
        }
        assert!(seen.len() < 100);
    };
    assert_eq!(hear(&last).kind, 1);
    assert_eq!(bench.now.since(bound), 3_600_000);
    assert_eq!(bench.deconfigured, 1);
    assert_eq!(bench.client.lease(), None);
    let t2 = 3_150_000;
    assert!(seen.iter().all(|(at, to)| {
        *to == if *at < t2 {
            Reply::SERVER
        } else {
            Ipv4Addr::BROADCAST
        }
    }));
    let before = seen.iter().filter(|(at, _)| *at < t2).count();
    assert!(before >= 3, "{before} before T2");
    assert!(
        seen.iter().any(|(at, _)| *at == t2),
        "everyone is asked at T2"
    );
    assert!(seen.len() - before >= 3);
    for pair in seen.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!(gap >= 45_000 || pair[1].0 == t2, "{gap}");
    }
}

#[test]
fn a_short_lease_is_renewed_in_time() {
    let short = |kind, xid| {
        Reply::new(kind, xid)
            .option(54, &Reply::SERVER.octets())
            .option(51, &20u32.to_be_bytes())
    };
    let mut bench = Bench::bind(short);
    let bound = bench.now;
    // two lost, the third answered
    bench.wait();
    bench.wait();
    let third = bench.wait();
    assert!(bench.now.since(bound) < 20_000);
    bench.answer(&short(5, third.message.xid));
    assert_eq!((bench.configured, bench.deconfigured), (2, 0));
}

#[test]
fn a_refused_renewal_ends_the_lease_at_once() {
    let mut bench = Bench::bind(Reply::lease);
    let renewal = bench.wait();
    assert_eq!(bench.answer(&Reply::lease(6, renewal.message.xid)), None);
    assert_eq!(bench.deconfigured, 1);
    assert_eq!(bench.client.lease(), None);
    assert_eq!(hear(&bench.wait()).kind, 1);
}

#[test]
fn a_renewal_may_bring_another_address() {
    let mut bench = Bench::bind(Reply::lease);
    let renewal = bench.wait();
    let moved = Ipv4Addr::new(10, 0, 2, 99);
    bench.answer(&Reply::lease(5, renewal.message.xid).address(moved));
    assert_eq!(bench.configured, 2);
    assert_eq!(bench.client.lease().unwrap().address, moved);
}

#[test]
fn a_lease_counts_from_the_question() {
    let mut bench = Bench::new();
    let xid = bench.step(Event::LinkUp).unwrap().message.xid;
    bench.answer(&Reply::lease(2, xid)).unwrap();
    bench.now = bench.now.plus(700);
    bench.answer(&Reply::lease(5, xid));
    assert_eq!(bench.client.remaining(bench.now.plus(300)), 3599);
}

#[test]
fn a_lease_for_ever_is_never_renewed() {
    let endless = |kind, xid| {
        Reply::new(kind, xid)
            .option(54, &Reply::SERVER.octets())
            .option(51, &u32::MAX.to_be_bytes())
    };
    let bench = Bench::bind(endless);
    assert_eq!(bench.client.deadline(), None);
    assert_eq!(bench.client.remaining(Millis(u64::MAX)), u32::MAX);
}

#[test]
fn a_link_that_returns_asks_whether_the_lease_holds() {
    let mut bench = Bench::bind(Reply::lease);
    assert_eq!(bench.step(Event::LinkDown), None);
    assert_eq!(bench.deconfigured, 0, "connections outlive a short break");
    bench.now = bench.now.plus(10_000);
    let confirm = bench.step(Event::LinkUp).unwrap();
    let heard = hear(&confirm);
    assert_eq!(confirm.to, Destination::Link);
    assert_eq!(
        (heard.kind, heard.requested, heard.server, heard.ciaddr),
        (3, Some(Reply::ADDRESS), None, Ipv4Addr::UNSPECIFIED)
    );
    bench.answer(&Reply::lease(5, heard.xid));
    assert_eq!((bench.configured, bench.deconfigured), (2, 0));
    assert_eq!(bench.client.remaining(bench.now), 3600);
}

#[test]
fn a_link_that_returns_elsewhere_gets_another_address() {
    let mut bench = Bench::bind(Reply::lease);
    bench.step(Event::LinkDown);
    let confirm = bench.step(Event::LinkUp).unwrap();
    bench.answer(&Reply::lease(6, confirm.message.xid));
    assert_eq!(bench.deconfigured, 1);
    assert_eq!(hear(&bench.wait()).kind, 1);
}

#[test]
fn a_lease_that_nobody_confirms_still_runs() {
    let mut bench = Bench::bind(Reply::lease);
    let bound = bench.now;
    bench.step(Event::LinkDown);
    bench.step(Event::LinkUp).unwrap();
    for _ in 0..3 {
        assert_eq!(bench.wait().to, Destination::Link);
    }
    let renewal = bench.wait();
    assert_eq!(renewal.to, Destination::Routed(Reply::SERVER));
    assert!(bench.now.since(bound) >= 1_687_500);
    assert_eq!(bench.deconfigured, 0);
}

#[test]
fn a_lease_ends_while_the_link_is_down() {
    let mut bench = Bench::bind(Reply::lease);
    bench.step(Event::LinkDown);
    bench.now = bench.client.deadline().unwrap();
    assert_eq!(bench.step(Event::Time), None);
    assert_eq!(bench.deconfigured, 1);
    assert_eq!(bench.client.deadline(), None);
    assert_eq!(hear(&bench.step(Event::LinkUp).unwrap()).kind, 1);
}

#[test]
fn a_machine_that_slept_past_its_lease_begins_anew() {
    let mut bench = Bench::bind(Reply::lease);
    bench.now = bench.now.plus(90_000_000);
    let sent = bench.step(Event::Time).unwrap();
    assert_eq!(hear(&sent).kind, 1);
    assert_eq!(bench.deconfigured, 1);
}

#[test]
fn spurious_events_do_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::Time), None);
    assert_eq!(bench.step(Event::LinkDown), None);
    assert_eq!(bench.step(Event::Packet(&[])), None);
    bench.step(Event::LinkUp).unwrap();
    assert_eq!(bench.step(Event::LinkUp), None);
    assert_eq!(bench.step(Event::Time), None, "before its time");
}

#[test]
fn noise_is_survived_and_the_lease_still_comes() {
    let mut noise = Noise::new(11);
    for seed in 0..300 {
        let mut bench = Bench::new();
        bench.client = Client::new(Reply::MAC, seed);
        let mut sent = bench.step(Event::LinkUp).unwrap();
        let mut rounds = 0;
        while bench.configured == 0 {
            rounds += 1;
            assert!(rounds < 1000);
            // garbage, cut and bent answers, answers lost and doubled
            let heard = hear(&sent);
            let kind = if heard.kind == 1 { 2 } else { 5 };
            let good = Reply::lease(kind, heard.xid).bytes();
            let mut next = None;
            for _ in 0..noise.below(4) {
                let mut bent = good.clone();
                let at = noise.below(bent.len() - 240) + 240;
                bent[at] = noise.next() as u8;
                bent.truncate(noise.below(bent.len() + 1));
                next = bench.step(Event::Packet(&bent)).or(next);
                let len = noise.below(600);
                next = bench.step(Event::Packet(&noise.bytes(len))).or(next);
            }
            for _ in 0..noise.below(3) {
                next = bench.step(Event::Packet(&good)).or(next);
            }
            if bench.configured == 0 {
                sent = next.unwrap_or_else(|| bench.wait());
            }
        }
        assert!(bench.client.lease().is_some());
        assert!(bench.client.deadline().is_some());
    }
}
