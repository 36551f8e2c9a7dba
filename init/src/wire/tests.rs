use super::*;
use std::vec::Vec;

fn every_setting() -> Vec<Setting<'static>> {
    let address = Ipv4Addr::new(10, 0, 2, 15);
    let gateway = Some(Ipv4Addr::new(10, 0, 2, 2));
    [
        Setting::App(b"/app/caddy"),
        Setting::Arg(b"caddy"),
        Setting::Arg(b""),
        Setting::Arg(b"a=b c\n\xff"),
        Setting::Env(b"A="),
        Setting::Env(b"B=x=y"),
        Setting::Workdir(b"/"),
        Setting::Uid(65532),
        Setting::Gid(u32::MAX),
        Setting::Hostname(b"web-1"),
        Setting::Network(Network::Dhcp),
        Setting::Network(Network::None),
        Setting::Network(Network::Static {
            address,
            prefix: 24,
            gateway,
        }),
        Setting::Network(Network::Static {
            address,
            prefix: 32,
            gateway: None,
        }),
        Setting::Nameserver(IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1))),
        Setting::Nameserver("2001:db8::53".parse().unwrap()),
        Setting::Port(80),
        Setting::Port(65535),
        Setting::OnExit(OnExit::PowerOff),
        Setting::OnExit(OnExit::Reboot),
        Setting::Grace(10),
        Setting::DhcpWait(0),
        Setting::Seccomp(Seccomp::Learned),
    ]
    .to_vec()
}

fn written(settings: &[Setting<'_>]) -> Vec<u8> {
    let mut file = HEADER.to_vec();
    for setting in settings {
        encode(setting, &mut |bytes| file.extend_from_slice(bytes)).unwrap();
    }
    file
}

fn one(record: &[u8]) -> Result<Setting<'_>, What> {
    read(record)
}

#[test]
fn what_is_written_is_read_back() {
    let settings = every_setting();
    let file = written(&settings);
    let back: Result<Vec<_>, _> = parse(&file).unwrap().collect();
    assert_eq!(back.unwrap(), settings);
}

#[test]
fn the_bytes_are_these() {
    let file = written(&[Setting::App(b"/app/x"), Setting::Port(80)]);
    assert_eq!(file, b"ampoule-config 1\0app=/app/x\0port=80\0");
}

#[test]
fn a_value_with_a_nul_is_refused_and_nothing_written() {
    let mut file = Vec::new();
    let bad = Setting::Arg(b"a\0uid=0");
    assert_eq!(
        encode(&bad, &mut |b| file.extend_from_slice(b)),
        Err(NulInValue)
    );
    assert!(file.is_empty());
}

#[test]
fn another_version_is_refused() {
    let error = parse(b"ampoule-config 2\0app=/x\0").unwrap_err();
    assert_eq!(
        error,
        ParseError {
            record: 0,
            what: What::Header
        }
    );
    assert!(parse(b"").is_err());
}

#[test]
fn every_cut_of_a_file_is_an_error_or_a_shorter_list() {
    let file = written(&every_setting());
    for end in HEADER.len()..file.len() {
        let found: Vec<_> = parse(&file[..end]).unwrap().collect();
        let whole = end == HEADER.len() || file[end - 1] == 0;
        let last_is_cut = matches!(
            found.last(),
            Some(Err(ParseError {
                what: What::Cut,
                ..
            }))
        );
        assert_eq!(last_is_cut, !whole, "cut at {end}");
    }
}

#[test]
fn bad_records_are_told_apart() {
    assert_eq!(one(b"app"), Err(What::NoEqualsSign));
    assert_eq!(one(b""), Err(What::NoEqualsSign));
    assert_eq!(one(b"shell=yes"), Err(What::UnknownKey));
    for bad in [
        &b"app=caddy"[..],
        b"workdir=",
        b"env=novalue",
        b"env==x",
        b"uid=-1",
        b"uid=+1",
        b"uid=4294967296",
        b"uid=",
        b"hostname=",
        b"network=",
        b"network=static",
        b"network=static 10.0.0.1",
        b"network=static 10.0.0.1/33",
        b"network=static 10.0.0.1/24 10.0.0.2 x",
        b"nameserver=dns.example",
        b"port=0",
        b"port=65536",
        b"on-exit=shrug",
        b"grace=1.5",
    ] {
        assert_eq!(one(bad), Err(What::BadValue), "{}", bad.escape_ascii());
    }
    assert_eq!(
        one(&[b"hostname=".as_slice(), &[b'a'; 65]].concat()),
        Err(What::BadValue)
    );
}

#[test]
fn an_error_names_its_record_and_ends_the_list() {
    let mut settings = parse(b"ampoule-config 1\0port=1\0port=x\0port=2\0").unwrap();
    assert_eq!(settings.next(), Some(Ok(Setting::Port(1))));
    let error = settings.next().unwrap().unwrap_err();
    assert_eq!(
        error,
        ParseError {
            record: 2,
            what: What::BadValue
        }
    );
    assert_eq!(settings.next(), None);
}
