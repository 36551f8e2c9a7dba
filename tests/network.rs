//! The network that init brings about, seen from the other end of the cable. Needs QEMU and the
//! kit.

mod lan;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ampoule_init::report::{self, Network, Report};
use ampoule_init::wire::{self, Setting};
use ampoule_qemu::{Machine, Nic, Source, Vm};
use lan::{Ask, Datagram, Lan, PATIENCE, ROUTER, Reply, Seen, Server, address, classless};
use serde_json::json;
use tempfile::TempDir;

const OWN: &str = "192.0.2.15";
const GATEWAY: &str = "192.0.2.1";
const MTU: u8 = 26;

/// A machine, the network that it is plugged into, and their files.
struct Bench {
    vm: Vm,
    lan: Lan,
    _dir: TempDir,
}

/// Starts a machine with `settings` on a network whose ARP knows the gateway.
fn start(settings: &[Setting<'_>], server: Server) -> Bench {
    start_with(settings, &[GATEWAY], server, |machine| machine)
}

fn start_with(
    settings: &[Setting<'_>],
    neighbours: &[&str],
    server: Server,
    change: impl FnOnce(Machine) -> Machine,
) -> Bench {
    let dir = TempDir::new().expect("a directory");
    let lan = Lan::new(dir.path(), neighbours, server);
    let machine = lan::guest::machine(dir.path(), settings).netdev(lan.netdev());
    let vm = Vm::start(&change(machine)).expect("a machine");
    Bench { vm, lan, _dir: dir }
}

impl Bench {
    /// Waits for a report on the network that `wanted` accepts.
    fn network(&mut self, wanted: impl Fn(&Network<'_>) -> bool) -> String {
        self.report(|report| matches!(report, Report::Network(network) if wanted(network)))
    }

    /// Waits for a report that `wanted` accepts.
    fn report(&mut self, wanted: impl Fn(&Report<'_>) -> bool) -> String {
        let line = self
            .vm
            .wait_for("such report", PATIENCE, |event| match event {
                ampoule_qemu::Event::Line(Source::Report, line) => {
                    let wanted =
                        report::parse(line.as_bytes()).is_some_and(|report| wanted(&report));
                    wanted.then(|| line.clone())
                }
                _ => None,
            });
        line.unwrap_or_else(|error| self.fail(&error.to_string()))
    }

    /// Waits for a DHCP message that `wanted` accepts.
    fn ask(&mut self, what: &str, wanted: impl Fn(&Ask) -> bool) -> (Instant, Ask) {
        let seen = self.lan.wait(what, |seen| match seen {
            Seen::Ask(ask) if wanted(ask) => Some(ask.clone()),
            _ => None,
        });
        seen.unwrap_or_else(|error| self.fail(&error))
    }

    /// Waits for a datagram of the app that `wanted` accepts.
    fn datagram(&mut self, wanted: impl Fn(&Datagram) -> bool) -> (Instant, Datagram) {
        let seen = self.lan.wait("such datagram", |seen| match seen {
            Seen::Datagram(datagram) if wanted(datagram) => Some(datagram.clone()),
            _ => None,
        });
        seen.unwrap_or_else(|error| self.fail(&error))
    }

    /// Fails the test, and says what the machine did meanwhile.
    fn fail(&mut self, error: &str) -> ! {
        while self.vm.next_event(Instant::now()).is_some() {}
        let (exit, console) = (self.vm.exit(), self.vm.console());
        panic!("{error}\nthe machine's end: {exit:?}\nits console:\n{console}");
    }

    /// Waits until the machine reports this address.
    fn up(&mut self, own: &str) -> String {
        let own = address(own);
        self.network(|network| matches!(network, Network::Up { address, .. } if *address == own))
    }
}

/// The plain grant: the machine's address in a /24, the gateway, an hour.
fn plain(ask: &Ask) -> Reply {
    Reply::grant(ask, address(OWN), address(GATEWAY))
        .lasting(3600)
        .with(1, &[255, 255, 255, 0])
        .with(3, &address(GATEWAY).octets())
        .with(6, &[192, 0, 2, 53])
}

#[test]
fn a_plain_lease_leads_out() {
    let server = |ask: &Ask| {
        Some(
            plain(ask)
                .with(15, b"example.org")
                .with(6, &[192, 0, 2, 54]),
        )
    };
    let mut bench = start(&[], Box::new(server));
    let (_, discover) = bench.ask("DISCOVER", Ask::is_discover);
    assert_eq!(discover.to, Ipv4Addr::BROADCAST);
    assert_eq!(discover.from, Ipv4Addr::UNSPECIFIED);
    // a host name is asked for, and never sent
    assert!(discover.wants(12) && discover.option(12).is_none());
    assert_eq!(
        discover.option(55),
        Some(&[1, 121, 3, 6, 12, 15, 42, 119, MTU][..])
    );
    let (_, request) = bench.ask("REQUEST", Ask::is_request);
    assert_eq!(request.option(50), Some(&address(OWN).octets()[..]));
    assert_eq!(
        bench.up(OWN),
        "ampoule: network interface=eth0 address=192.0.2.15/24 gateway=192.0.2.1 \
         mtu=1500 dns=192.0.2.53,192.0.2.54"
    );
    let (_, told) = bench.datagram(|_| true);
    assert_eq!((told.via, told.from), (ROUTER, address(OWN)));
    assert!(
        told.text.contains(
            "[resolv]\nnameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example.org\n"
        ),
        "{}",
        told.text
    );
}

/// What GCP hands out: an address alone, the way to the gateway in option 121, an MTU of 1460.
#[test]
fn a_lone_address_reaches_its_gateway_over_the_link() {
    let server = |ask: &Ask| {
        Some(
            Reply::grant(ask, address("10.128.0.7"), address("169.254.169.254"))
                .lasting(86400)
                .with(1, &[255; 4])
                .with(3, &[10, 128, 0, 9])
                .with(6, &[169, 254, 169, 254])
                .with(MTU, &1460u16.to_be_bytes())
                .with(
                    121,
                    &classless(&[("0.0.0.0", 0, "10.128.0.1"), ("10.128.0.1", 32, "0.0.0.0")]),
                ),
        )
    };
    let mut bench = start_with(&[], &["10.128.0.1"], Box::new(server), |machine| machine);
    assert_eq!(
        bench.up("10.128.0.7"),
        "ampoule: network interface=eth0 address=10.128.0.7/32 gateway=10.128.0.1 \
         mtu=1460 dns=169.254.169.254"
    );
    let (_, told) = bench.datagram(|_| true);
    assert_eq!((told.via, told.from), (ROUTER, address("10.128.0.7")));
}

/// A /32 and a router beyond it, without option 121: the router can only be a neighbour.
#[test]
fn a_gateway_outside_the_network_is_taken_for_a_neighbour() {
    let server = |ask: &Ask| {
        Some(
            Reply::grant(ask, address("203.0.113.9"), address("172.31.1.1"))
                .lasting(3600)
                .with(1, &[255; 4])
                .with(3, &[172, 31, 1, 1]),
        )
    };
    let mut bench = start_with(&[], &["172.31.1.1"], Box::new(server), |machine| machine);
    bench.up("203.0.113.9");
    let (_, told) = bench.datagram(|_| true);
    assert_eq!((told.via, told.from), (ROUTER, address("203.0.113.9")));
}

/// The root is read-only all the time.
#[test]
fn a_short_lease_is_renewed_and_outlived() {
    const LEASE: u32 = 24;
    let mut renewals = 0;
    let server = move |ask: &Ask| {
        renewals += u8::from(ask.is_renewal());
        // the second renewal brings another name server
        let reply = Reply::grant(ask, address(OWN), address(GATEWAY))
            .lasting(LEASE)
            .with(1, &[255, 255, 255, 0])
            .with(3, &address(GATEWAY).octets());
        Some(reply.with(6, &[192, 0, 2, 53 + renewals / 2]))
    };
    let mut bench = start(&[], Box::new(server));
    let (granted, _) = bench.ask("REQUEST", Ask::is_request);
    bench.up(OWN);
    for round in 1..=3 {
        let (_, renewal) = bench.ask("renewal", Ask::is_renewal);
        assert_eq!(renewal.ciaddr, address(OWN));
        assert_eq!(
            (renewal.from, renewal.to),
            (address(OWN), address(GATEWAY)),
            "round {round}"
        );
        assert!(renewal.option(50).is_none() && renewal.option(54).is_none());
    }
    let (at, _) = bench.datagram(|told| told.text.contains("[resolv]\nnameserver 192.0.2.54\n"));
    assert!(
        at - granted > Duration::from_secs(LEASE.into()),
        "outlived the first lease"
    );
    bench.network(
        |network| matches!(network, Network::Up { dns, .. } if dns[0] == address("192.0.2.54")),
    );
}

#[test]
fn a_silent_server_is_passed_over_at_t2_and_the_lease_ends() {
    let mut granted = false;
    let server = move |ask: &Ask| {
        let silent = granted;
        granted |= ask.is_request();
        (!silent).then(|| {
            Reply::grant(ask, address(OWN), address(GATEWAY))
                .lasting(24)
                .with(1, &[255, 255, 255, 0])
                .with(3, &address(GATEWAY).octets())
        })
    };
    let mut bench = start(&[], Box::new(server));
    bench.up(OWN);
    bench.ask("renewal to the server", |ask| {
        ask.is_renewal() && ask.to == address(GATEWAY)
    });
    bench.ask("renewal to everyone", |ask| {
        ask.is_renewal() && ask.to == Ipv4Addr::BROADCAST && ask.from == address(OWN)
    });
    let (_, again) = bench.ask("DISCOVER after the end", Ask::is_discover);
    assert_eq!(again.from, Ipv4Addr::UNSPECIFIED);
    let line = bench.network(|network| matches!(network, Network::Failed { .. }));
    assert!(
        line.ends_with("eth0: the lease is over; asking for another"),
        "{line}"
    );
}

#[test]
fn a_refused_request_begins_anew() {
    let mut refused = false;
    let server = move |ask: &Ask| {
        if ask.is_request() && !refused {
            refused = true;
            return Some(Reply::refuse(address(GATEWAY)));
        }
        Some(plain(ask))
    };
    let mut bench = start(&[], Box::new(server));
    let (_, first) = bench.ask("DISCOVER", Ask::is_discover);
    let (_, second) = bench.ask("second DISCOVER", Ask::is_discover);
    assert_ne!(first.xid, second.xid);
    bench.up(OWN);
}

/// Azure stays silent when the MTU is asked for.
#[test]
fn silence_at_the_mtu_is_got_over() {
    let server = |ask: &Ask| (!ask.wants(MTU)).then(|| plain(ask));
    let mut bench = start(&[], Box::new(server));
    bench.ask("DISCOVER with the MTU", |ask| ask.wants(MTU));
    bench.up(OWN);
}

#[test]
fn bent_answers_are_ignored() {
    let mut heard = 0;
    let server = move |ask: &Ask| {
        heard += 1;
        let reply = plain(ask);
        Some(if heard == 1 { reply.bent() } else { reply })
    };
    let mut bench = start(&[], Box::new(server));
    bench.ask("DISCOVER", Ask::is_discover);
    bench.ask("DISCOVER again", Ask::is_discover);
    bench.up(OWN);
}

/// Intel's card drops its link to change its MTU.
#[test]
fn a_card_that_flaps_at_its_mtu_keeps_its_lease() {
    let server = |ask: &Ask| Some(plain(ask).with(MTU, &1400u16.to_be_bytes()));
    let mut bench = start_with(&[], &[GATEWAY], Box::new(server), |machine| {
        machine.nic(Nic::E1000)
    });
    let line = bench.up(OWN);
    assert!(line.contains(" mtu=1400 "), "{line}");
    bench.datagram(|told| told.from == address(OWN));
}

#[test]
fn lost_messages_are_repeated() {
    let mut heard = 0;
    let server = move |ask: &Ask| {
        heard += 1;
        // every other message gets lost
        (heard % 2 == 0).then(|| plain(ask))
    };
    let mut bench = start(&[], Box::new(server));
    bench.up(OWN);
}

#[test]
fn the_program_waits_its_time_and_the_address_may_come_late() {
    // a server that is silent for its first few seconds
    let server = |ask: &Ask| (ask.secs >= 5).then(|| plain(ask));
    let mut bench = start(&[Setting::DhcpWait(2)], Box::new(server));
    let line = bench.network(|network| matches!(network, Network::Failed { .. }));
    assert!(
        line.ends_with("no DHCP server has granted an address; still asking"),
        "{line}"
    );
    bench.report(|report| matches!(report, Report::App { .. }));
    bench.up(OWN);
    let (_, told) = bench.datagram(|_| true);
    assert_eq!(told.from, address(OWN));
}

#[test]
fn a_configured_address_needs_no_server() {
    let settings = [
        Setting::Network(wire::Network::Static {
            address: address(OWN),
            prefix: 24,
            gateway: Some(address(GATEWAY)),
        }),
        Setting::Nameserver(address("192.0.2.53").into()),
    ];
    let server = |_: &Ask| panic!("a DHCP message from a machine that wants none");
    let mut bench = start(&settings, Box::new(server));
    assert_eq!(
        bench.up(OWN),
        "ampoule: network interface=eth0 address=192.0.2.15/24 gateway=192.0.2.1 \
         mtu=1500 dns=192.0.2.53"
    );
    let (_, told) = bench.datagram(|_| true);
    assert_eq!((told.via, told.from), (ROUTER, address(OWN)));
    assert!(told.text.contains("[resolv]\nnameserver 192.0.2.53\n"));
}

#[test]
fn no_network_starts_the_program_at_once() {
    let settings = [Setting::Network(wire::Network::None)];
    let mut bench = start(&settings, Box::new(|ask| panic!("asked {ask:?}")));
    bench.network(|network| *network == Network::None);
    bench.report(|report| matches!(report, Report::App { .. }));
}

/// The first card's default route wins, whichever lease comes first.
#[test]
fn two_cards_have_a_lease_each_and_the_first_leads_out() {
    let dir = TempDir::new().expect("a directory");
    let second = Lan::new(
        dir.path(),
        &["198.18.0.1"],
        Box::new(|ask| {
            let gateway = address("198.18.0.1");
            Some(
                Reply::grant(ask, address("198.18.0.9"), gateway)
                    .lasting(3600)
                    .with(1, &[255, 255, 0, 0])
                    .with(3, &gateway.octets())
                    .with(6, &[198, 18, 0, 53]),
            )
        }),
    );
    // the first card's server is slow to answer
    let server = |ask: &Ask| (ask.secs >= 2 || ask.is_request()).then(|| plain(ask));
    let netdev = format!("{},id=net1", second.netdev());
    let mut bench = start_with(&[], &[GATEWAY], Box::new(server), |machine| {
        machine.extra(["-netdev", &netdev, "-device", "virtio-net-pci,netdev=net1"])
    });
    bench.up("198.18.0.9");
    let line = bench.up(OWN);
    assert!(line.contains(" dns=192.0.2.53,198.18.0.53"), "{line}");
    let (_, told) = bench.datagram(|_| true);
    assert_eq!((told.via, told.from), (ROUTER, address(OWN)));
    let nameservers = "[resolv]\nnameserver 192.0.2.53\nnameserver 198.18.0.53\n";
    assert!(told.text.contains(nameservers), "{}", told.text);
}

/// From a router's advertisement, by the kernel alone: nothing of init's is in its way.
#[test]
fn ipv6_configures_itself() {
    let mut bench = start(&[], Box::new(|ask| Some(plain(ask))));
    bench.datagram(|told| told.text.contains("\n20010db800770000505400fffe"));
}

/// Live migration takes the carrier away for a moment.
#[test]
fn a_link_that_returns_confirms_its_lease() {
    let mut bench = start(&[], Box::new(|ask| Some(plain(ask))));
    bench.up(OWN);
    for (up, told) in [(false, "link down"), (true, "link up")] {
        let link = json!({ "name": "net0", "up": up });
        let control = bench.vm.control();
        control.execute("set_link", link).expect("a link");
        let seen = bench.vm.wait_line(|line| line == told, PATIENCE);
        seen.expect("the app sees the change");
    }
    let (_, confirm) = bench.ask("REQUEST of a returned machine", |ask| {
        ask.is_request() && ask.option(54).is_none()
    });
    assert_eq!(confirm.option(50), Some(&address(OWN).octets()[..]));
    assert_eq!(confirm.ciaddr, Ipv4Addr::UNSPECIFIED);
    bench.datagram(|told| told.from == address(OWN));
}

#[test]
fn a_card_may_come_late_and_go() {
    let port = ["-device", "pcie-root-port,id=port0,chassis=1"];
    let server = Box::new(|ask: &Ask| Some(plain(ask)));
    let dir = TempDir::new().expect("a directory");
    let lan = Lan::new(dir.path(), &[GATEWAY], server);
    let machine = lan::guest::machine(dir.path(), &[Setting::DhcpWait(1)])
        .nic(None)
        .extra(port)
        .extra(["-netdev", &format!("{},id=late", lan.netdev())]);
    let vm = Vm::start(&machine).expect("a machine");
    let mut bench = Bench { vm, lan, _dir: dir };
    let line = bench.network(|network| matches!(network, Network::Failed { .. }));
    assert!(
        line.ends_with("no network card was found; still looking"),
        "{line}"
    );
    let control = bench.vm.control();
    let card =
        json!({ "driver": "virtio-net-pci", "id": "card", "netdev": "late", "bus": "port0" });
    control.execute("device_add", card).expect("a card");
    bench.up(OWN);
    bench.datagram(|told| told.from == address(OWN));
    control
        .execute("device_del", json!({ "id": "card" }))
        .expect("a card to take away");
    let line = bench.network(|network| matches!(network, Network::Failed { .. }));
    assert!(line.ends_with("eth0: the card is gone"), "{line}");
}
