use super::read::Pairs;
use super::*;
use std::string::{String, ToString};

const AT: Moment = Moment {
    uptime_us: 370_012,
    tsc: Some(412_000_000),
};

fn ports(values: &[u16]) -> Ports {
    List::of(0, values).0
}

fn up() -> Network<'static> {
    Network::Up {
        interface: "eth0",
        address: Ipv4Addr::new(10, 0, 2, 15),
        prefix: 24,
        gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
        mtu: 1500,
        dns: Servers::of(
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            &["10.0.2.3".parse().unwrap(), "fec0::3".parse().unwrap()],
        )
        .0,
    }
}

/// Every kind of report with the line that stands for it.
fn table() -> [(Report<'static>, &'static str); 20] {
    let bare = Network::Up {
        interface: "eth0",
        address: Ipv4Addr::new(10, 1, 0, 9),
        prefix: 32,
        gateway: None,
        mtu: 1460,
        dns: Servers::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    };
    let denied = |comm, count, subject| Report::Denied {
        call: "mount",
        pid: 61,
        comm,
        count,
        subject,
    };
    let failed = |code, reason| Report::Verdict(Verdict::Failed { code, reason });
    [
        (
            Report::Start {
                version: "0.1.0",
                at: AT,
            },
            "start version=0.1.0 uptime-us=370012 tsc=412000000",
        ),
        (
            Report::Start {
                version: "0.1.0",
                at: Moment {
                    uptime_us: 1,
                    tsc: None,
                },
            },
            "start version=0.1.0 uptime-us=1",
        ),
        (Report::Network(Network::None), "network none"),
        (
            Report::Network(up()),
            "network interface=eth0 address=10.0.2.15/24 gateway=10.0.2.2 mtu=1500 \
             dns=10.0.2.3,fec0::3",
        ),
        (
            Report::Network(bare),
            "network interface=eth0 address=10.1.0.9/32 mtu=1460",
        ),
        (
            Report::Network(Network::Failed {
                reason: "no DHCP answer in 60 s",
            }),
            "network failed reason=no DHCP answer in 60 s",
        ),
        (
            Report::App {
                pid: 7,
                at: AT,
                path: "/app/a b",
            },
            "app pid=7 uptime-us=370012 tsc=412000000 path=/app/a b",
        ),
        (Report::Ready { ports: ports(&[]) }, "ready"),
        (
            Report::Ready {
                ports: ports(&[8080]),
            },
            "ready port=8080",
        ),
        (
            Report::Ready {
                ports: ports(&[80, 443]),
            },
            "ready port=80,443",
        ),
        (
            Report::LoopbackOnly { port: 8080 },
            "loopback-only port=8080",
        ),
        (
            denied(b"server", 1, Subject::Path(b"/mnt a/b")),
            "denied call=mount pid=61 comm=server count=1 path=/mnt a/b",
        ),
        (
            denied(
                b"server",
                3,
                Subject::Socket(Ipv4Addr::new(10, 0, 2, 2).into(), 80),
            ),
            "denied call=mount pid=61 comm=server count=3 address=10.0.2.2 port=80",
        ),
        (
            denied(b"", 4999, Subject::None),
            "denied call=mount pid=61 count=4999",
        ),
        (Report::Called { call: "openat" }, "called call=openat"),
        (
            Report::Stopping {
                reason: Stop::CtrlAltDel,
            },
            "stopping reason=ctrl-alt-del",
        ),
        (Report::Verdict(Verdict::Exit(0)), "verdict exit=0"),
        (Report::Verdict(Verdict::Signal(9)), "verdict signal=9"),
        (
            failed(Failure::Exec, "execve /app/x: ENOEXEC"),
            "verdict failed=exec reason=execve /app/x: ENOEXEC",
        ),
        (
            failed(Failure::Panic, "init/src/main.rs:7"),
            "verdict failed=panic reason=init/src/main.rs:7",
        ),
    ]
}

#[test]
fn every_report_has_its_line_and_every_line_its_report() {
    for (report, line) in table() {
        let line = [PREFIX, line].concat();
        assert_eq!(report.to_string(), line);
        assert_eq!(parse(line.as_bytes()), Some(report), "{line}");
        assert_eq!(
            parse([&line, "\r\n"].concat().as_bytes()),
            Some(report),
            "{line}"
        );
    }
}

#[test]
fn every_stop_and_failure_has_a_name_of_its_own() {
    for (stop, name) in STOPS {
        assert_eq!(named(&STOPS, name), Some(stop));
    }
    for (failure, name) in FAILURES {
        assert_eq!(named(&FAILURES, name), Some(failure));
    }
}

#[test]
fn what_is_no_report_is_none() {
    for line in [
        &b"ampoule:verdict exit=0"[..],
        b"| ampoule: verdict exit=0",
        b" ampoule: verdict exit=0",
        b"ampoule: verdict",
        b"ampoule: verdict exit=256",
        b"ampoule: verdict exit=",
        b"ampoule: verdict maybe exit=0",
        b"ampoule: verdict failed=bored reason=x",
        b"ampoule: verdict exit=0\xff",
        b"ampoule: ready port=x",
        b"ampoule: app pid=1",
        b"ampoule: hello",
        b"ampoule: ",
        b"",
    ] {
        assert_eq!(parse(line), None, "{}", line.escape_ascii());
    }
}

#[test]
fn keys_of_a_later_version_are_skipped() {
    let line = b"ampoule: app pid=7 cpu=2 uptime-us=5 path=/app/x";
    let at = Moment {
        uptime_us: 5,
        tsc: None,
    };
    assert_eq!(
        parse(line),
        Some(Report::App {
            pid: 7,
            at,
            path: "/app/x"
        })
    );
}

#[test]
fn a_key_is_not_found_inside_another() {
    assert_eq!(Pairs("uptime-us=3 us=4").get("us"), Some("4"));
}

#[test]
fn a_value_cannot_break_its_line() {
    let reason = "a\nampoule: verdict exit=0\r\u{e9}\0";
    let line = Line::of(&Report::Verdict(Verdict::Failed {
        code: Failure::Exec,
        reason,
    }));
    let text = core::str::from_utf8(line.as_bytes()).unwrap();
    assert_eq!(
        text,
        "ampoule: verdict failed=exec reason=a?ampoule: verdict exit=0????\n"
    );
}

#[test]
fn a_thread_name_cannot_pass_for_another_key() {
    let line = Line::of(&Report::Denied {
        call: "mount",
        pid: 61,
        comm: b"a pid=1\n\xff",
        count: 1,
        subject: Subject::Path(b"/a\nampoule: verdict exit=0"),
    });
    assert_eq!(
        core::str::from_utf8(line.as_bytes()),
        Ok(
            "ampoule: denied call=mount pid=61 comm=a?pid=1?? count=1 path=/a?ampoule: verdict exit=0\n"
        )
    );
}

#[test]
fn a_long_value_is_cut_and_the_line_ended() {
    let path: String = "x".repeat(4096);
    let line = Line::of(&Report::App {
        pid: u32::MAX,
        at: AT,
        path: &path,
    });
    let bytes = line.as_bytes();
    assert!(bytes.len() <= MAX_LINE && bytes.ends_with(b"x\n"));
    assert!(matches!(
        parse(bytes),
        Some(Report::App { pid: u32::MAX, .. })
    ));
}

#[test]
fn the_longest_list_of_ports_fits() {
    let report = Report::Ready {
        ports: ports(&[65535; MAX_PORTS]),
    };
    assert_eq!(parse(Line::of(&report).as_bytes()), Some(report));
}
