//! `ampoule analyze` through the command itself, without a kit: the page, the JSON
//! against its schema, the exit code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use object::elf as raw;
use serde_json::Value;
use tempfile::TempDir;

#[path = "common/elf.rs"]
#[allow(dead_code)]
mod elf;

use elf::Sample;

const UNSUITABLE_APP: i32 = 3;

/// A directory of files to analyse, and no kit.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn analyze(&self, file: &Path, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ampoule"))
            .arg("analyze")
            .arg(file)
            .args(args)
            .env("AMPOULE_KIT_DIR", self.0.path().join("no-kit"))
            .output()
            .unwrap()
    }

    fn json(&self, file: &Path, args: &[&str]) -> Value {
        let output = self.analyze(file, &[&["--json"], args].concat());
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        let refused = value["verdict"] == "refused";
        let code = if refused {
            Some(UNSUITABLE_APP)
        } else {
            Some(0)
        };
        assert_eq!(output.status.code(), code, "{value}");
        value
    }
}

/// Programs and other files, each of its own kind.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let sample = |machine, os| Sample {
        machine,
        os,
        ..Sample::default()
    };
    let mut cut = Sample::default().bytes();
    cut.truncate(100);
    vec![
        ("static", Sample::default().bytes()),
        ("static-pie", Sample::static_pie().bytes()),
        ("arm", sample(raw::EM_AARCH64, raw::ELFOSABI_SYSV).bytes()),
        ("dynamic", Sample::dynamic().bytes()),
        ("riscv", sample(raw::EM_RISCV, raw::ELFOSABI_SYSV).bytes()),
        (
            "freebsd",
            sample(raw::EM_X86_64, raw::ELFOSABI_FREEBSD).bytes(),
        ),
        ("cut", cut),
        ("script", b"#!/bin/sh\n".to_vec()),
        ("empty", Vec::new()),
    ]
}

#[test]
fn the_json_of_every_kind_of_file_keeps_to_the_schema() {
    let place = Place::new();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/analyze.schema.json");
    let mut validator = Command::new("jsonschema");
    for (name, bytes) in samples() {
        let value = place.json(&place.file(name, &bytes), &[]);
        let instance = place.file(&format!("{name}.json"), value.to_string().as_bytes());
        validator.arg("-i").arg(instance);
    }
    let output = validator.arg(schema).output();
    let output = output.expect("jsonschema is not there; install python3-jsonschema");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_schema_is_one_that_says_no() {
    let place = Place::new();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/analyze.schema.json");
    let mut value = place.json(&place.file("app", &Sample::default().bytes()), &[]);
    value["linkage"] = Value::from("somehow");
    let instance = place.file("wrong.json", value.to_string().as_bytes());
    let output = Command::new("jsonschema")
        .arg("-i")
        .arg(instance)
        .arg(schema)
        .output();
    let output = output.expect("jsonschema is not there; install python3-jsonschema");
    assert!(!output.status.success());
}

#[test]
fn each_kind_is_told_and_judged() {
    let place = Place::new();
    for (name, format, arch, linkage, verdict) in [
        ("static", "program", "x86_64", "static", "ok"),
        ("static-pie", "program", "x86_64", "static-pie", "ok"),
        ("arm", "program", "aarch64", "static", "ok"),
        ("dynamic", "program", "x86_64", "dynamic", "refused"),
        ("riscv", "elf", "", "", "refused"),
        ("freebsd", "elf", "x86_64", "", "refused"),
        ("cut", "damaged", "", "", "refused"),
        ("script", "foreign", "", "", "refused"),
        ("empty", "empty", "", "", "refused"),
    ] {
        let (_, bytes) = samples()
            .into_iter()
            .find(|(known, _)| *known == name)
            .unwrap();
        let value = place.json(&place.file(name, &bytes), &[]);
        for (key, expected) in [
            ("format", format),
            ("arch", arch),
            ("linkage", linkage),
            ("verdict", verdict),
        ] {
            assert_eq!(
                value[key].as_str().unwrap_or_default(),
                expected,
                "{name}: {key}"
            );
        }
        let reasons = value["reasons"].as_array().unwrap();
        assert_eq!(reasons.is_empty(), verdict == "ok", "{name}");
        assert_eq!(value["image"].is_null(), verdict != "ok", "{name}");
    }
}

#[test]
fn a_refused_app_has_its_page_and_one_line_beside_it() {
    let place = Place::new();
    let file = place.file("server", &Sample::dynamic().bytes());
    let output = place.analyze(&file, &[]);
    assert_eq!(output.status.code(), Some(UNSUITABLE_APP));
    let page = String::from_utf8(output.stdout).unwrap();
    for told in [
        "server: a dynamic program for x86_64",
        "libssl.so.3",
        "refused",
    ] {
        assert!(page.contains(told), "{told} is not in\n{page}");
    }
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("/lib64/ld-linux-x86-64.so.2"), "{said}");
}

#[test]
fn the_page_keeps_to_eighty_columns_and_shows_no_colours() {
    let place = Place::new();
    for (name, bytes) in samples() {
        let output = place.analyze(&place.file(name, &bytes), &[]);
        let page = String::from_utf8(output.stdout).unwrap();
        for line in page.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        assert!(!page.contains('\x1b'));
    }
}

#[test]
fn without_a_kit_the_estimate_is_near_and_says_where_the_options_come_from() {
    let place = Place::new();
    let value = place.json(&place.file("app", &Sample::default().bytes()), &[]);
    assert_eq!(value["kernel_config"]["from"], "carried");
    let size = value["image"]["size"].as_u64().unwrap();
    // an image of a small app is 36 MiB: FAT32 is no smaller
    assert_eq!(size, 36 << 20);
}

#[test]
fn what_cannot_be_read_has_no_report() {
    let place = Place::new();
    for missing in ["nothing", "."] {
        let output = place.analyze(&place.0.path().join(missing), &["--json"]);
        assert_eq!(output.status.code(), Some(UNSUITABLE_APP), "{missing}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_name_that_nothing_goes_by_is_told() {
    let place = Place::new();
    let file = place.file("app", &Sample::default().bytes());
    let value = place.json(&file, &["--accept", "/bin/sh"]);
    assert_eq!(value["accepted_in_vain"], Value::from(vec!["/bin/sh"]));
    let output = place.analyze(&file, &["--accept", ""]);
    assert_eq!(output.status.code(), Some(2));
}

/// A program that reads another's memory: process_vm_readv(2) is 310 on x86_64.
fn peeper() -> Vec<u8> {
    // decoding begins at the headers and is in step again behind these (nop)
    let mut content = vec![0x90; 16];
    content.extend([0xb8, 0x36, 0x01, 0, 0, 0x0f, 0x05]);
    content.extend(Sample::default().content);
    Sample {
        content,
        ..Sample::default()
    }
    .bytes()
}

#[test]
fn a_call_that_the_kernel_lacks_refuses_by_its_option_unless_that_is_accepted() {
    let option = "CONFIG_CROSS_MEMORY_ATTACH";
    let place = Place::new();
    let file = place.file("peeper", &peeper());
    let value = place.json(&file, &[]);
    assert_eq!(value["verdict"], "refused");
    assert_eq!(value["reasons"][0]["accept"], option);
    assert_eq!(value["kernel"][0]["option"], option);
    assert_eq!(value["kernel"][0]["level"], "error");
    assert_eq!(
        value["kernel"][0]["wanted"],
        Value::from(vec!["process_vm_readv"])
    );
    assert!(
        value["kernel"][0]["evidence"][0]["offset"]
            .as_u64()
            .unwrap()
            > 0
    );
    let output = place.analyze(&file, &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("--accept {option}")), "{said}");

    let value = place.json(&file, &["--accept", option]);
    assert_eq!(value["verdict"], "ok");
    assert_eq!(value["accepted"], Value::from(vec![option]));
}

#[test]
fn what_comes_with_the_app_counts() {
    let place = Place::new();
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    let mut content = Sample::default().content;
    content.extend(format!("\0{bundle}\0").bytes());
    let sample = Sample {
        content,
        ..Sample::default()
    };
    let file = place.file("app", &sample.bytes());
    let alone = place.json(&file, &[]);
    assert_eq!(alone["needs"][0]["kind"], "ca-certificates");
    assert_eq!(alone["payload"][0]["path"], bundle);
    let page = String::from_utf8(place.analyze(&file, &[]).stdout).unwrap();
    assert!(page.contains("what will be added"), "{page}");
    let own = place.json(&file, &["--env", "SSL_CERT_FILE=/own.pem"]);
    assert_eq!(own["payload"], Value::from(Vec::<Value>::new()));
}

#[test]
fn a_dynamic_app_is_refused_for_what_its_root_lacks() {
    let place = Place::new();
    let file = place.file("app", &Sample::dynamic().bytes());
    let root = place.0.path().join("root");
    fs::create_dir(&root).unwrap();
    let value = place.json(&file, &["--libs", root.to_str().unwrap()]);
    assert_eq!(value["verdict"], "refused");
    let reason = value["reasons"][0]["what"].as_str().unwrap();
    assert!(reason.contains("/lib64/ld-linux-x86-64.so.2"), "{reason}");
}

#[test]
fn without_an_app_the_description_beside_it_is_read() {
    let place = Place::new();
    place.file("app", &Sample::default().bytes());
    place.file("ampoule.toml", b"app = 'app'\naccept = ['git']\n");
    let output = Command::new(env!("CARGO_BIN_EXE_ampoule"))
        .args(["analyze", "--json"])
        .current_dir(place.0.path())
        .output()
        .unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["accepted_in_vain"], Value::from(vec!["git"]));
}
