use std::path::Path;

use super::*;

fn need(kind: NeedKind, confidence: Confidence, what: &str) -> Need {
    Need {
        kind,
        confidence,
        evidence: vec![Evidence {
            section: None,
            offset: 7,
            what: what.to_owned(),
        }],
    }
}

fn all(confidence: Confidence) -> Vec<Need> {
    [
        NeedKind::CaCertificates,
        NeedKind::TimeZones,
        NeedKind::NameServiceModules,
        NeedKind::MimeTypes,
        NeedKind::Users,
        NeedKind::Program("/bin/sh".to_owned()),
    ]
    .map(|kind| need(kind, confidence, "x"))
    .into()
}

fn paths(additions: &[Addition]) -> Vec<&str> {
    additions.iter().map(|one| one.path.as_str()).collect()
}

/// Brings one path and one variable.
struct Owner(&'static str, &'static str);

impl Brought for Owner {
    fn file(&self, path: &str) -> bool {
        Path::new(self.0).starts_with(path)
    }

    fn variable(&self, name: &str) -> bool {
        name == self.1
    }
}

#[test]
fn what_is_likely_goes_in_with_its_reason_and_what_is_possible_does_not() {
    let additions = plan(&all(Confidence::Likely), &Nothing);
    assert_eq!(
        paths(&additions),
        [
            "/etc/mime.types",
            "/etc/nsswitch.conf",
            "/etc/ssl/certs/ca-certificates.crt",
            "/usr/share/zoneinfo",
        ]
    );
    assert!(additions.iter().all(|one| one.evidence[0].offset == 7));
    assert_eq!(plan(&all(Confidence::Possible), &Nothing), []);
}

#[test]
fn what_the_owner_brings_is_not_added_wherever_it_lies() {
    for (owner, missing) in [
        (
            Owner("/etc/ssl/certs/own.pem", ""),
            "/etc/ssl/certs/ca-certificates.crt",
        ),
        (
            Owner("/etc/pki/tls/certs/ca-bundle.crt", ""),
            "/etc/ssl/certs/ca-certificates.crt",
        ),
        (
            Owner("", "SSL_CERT_FILE"),
            "/etc/ssl/certs/ca-certificates.crt",
        ),
        (Owner("/usr/share/zoneinfo/UTC", ""), "/usr/share/zoneinfo"),
        (Owner("", "ZONEINFO"), "/usr/share/zoneinfo"),
        (Owner("/etc/nsswitch.conf", ""), "/etc/nsswitch.conf"),
        (Owner("/etc/mime.types", ""), "/etc/mime.types"),
    ] {
        let additions = plan(&all(Confidence::Certain), &owner);
        assert_eq!(additions.len(), 3);
        assert!(!paths(&additions).contains(&missing), "{missing}");
    }
}

#[test]
fn links_lead_from_where_the_app_looks() {
    let files = |evidence: &str| -> Vec<String> {
        let needs = [need(
            NeedKind::CaCertificates,
            Confidence::Certain,
            evidence,
        )];
        let additions = plan(&needs, &Nothing);
        additions[0]
            .files
            .iter()
            .map(|file| file.path.clone())
            .collect()
    };
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    assert_eq!(files("crypto/x509"), [bundle]);
    assert_eq!(files("/etc/ssl/cert.pem"), ["/etc/ssl/cert.pem", bundle]);
    assert_eq!(
        files("/etc/pki/tls/certs/ca-bundle.crt")[0],
        "/etc/pki/tls/certs/ca-bundle.crt"
    );
    // who knows the bundle's own place needs no other
    assert_eq!(
        files(&format!("{bundle} /etc/pki/tls/cacert.pem")),
        [bundle]
    );
}

#[test]
fn zones_are_compiled_ones_and_twins_are_links() {
    let needs = [need(NeedKind::TimeZones, Confidence::Likely, "x")];
    let zones = plan(&needs, &Nothing).remove(0);
    let content = |name: &str| {
        let path = format!("/usr/share/zoneinfo/{name}");
        let file = zones.files.iter().find(|file| file.path == path);
        &file.unwrap().content
    };
    let compiled = |name: &str| match content(name) {
        Content::Link(target) => target.starts_with("/usr/share/zoneinfo/"),
        // tzfile(5): the magic
        Content::Bytes(bytes) => bytes.starts_with(b"TZif"),
    };
    assert!(compiled("Europe/Berlin") && compiled("UTC"));
    let links = zones.files.iter().filter_map(|file| match &file.content {
        Content::Link(target) => Some(target),
        Content::Bytes(_) => None,
    });
    let files = |target: &str| {
        let at = zones.files.iter().find(|file| file.path == target);
        at.is_some_and(|file| matches!(file.content, Content::Bytes(_)))
    };
    assert!(links.clone().count() > 50);
    assert!(links.clone().all(|target| files(target)));
    assert!(zones.size < Bytes(400 << 10), "{}", zones.size);
}

#[test]
fn the_same_needs_give_the_same_bytes() {
    let needs = all(Confidence::Certain);
    assert_eq!(plan(&needs, &Nothing), plan(&needs, &Nothing));
}

#[test]
fn sources_are_the_versions_that_are_locked() {
    let lock = include_str!("../../Cargo.lock");
    for source in [certificates::SOURCE, zones::SOURCE] {
        let (name, version) = source.split_once(' ').unwrap();
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(lock.contains(&entry), "{source} is not what Cargo.lock has");
    }
}
