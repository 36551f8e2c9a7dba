//! `ampoule learn`: what an app calls is found, written down, and enough.

use std::fs;
use std::process::{Command, Output};

use ampoule::seccomp::Policy;
use ampoule::spec::{self, Seccomp};
use ampoule::sysno;
use ampoule::units::Arch;
use serde_json::Value;

use crate::image::{Image, told};

const CONFIG: &str =
    "# ours\nname = \"edge\" # a name\nseccomp = \"derived\"\n\n[env]\nA = \"b\"\n";

/// Learns into `ampoule.toml` in the image's folder.
fn learn(image: &Image, args: &[&str]) -> Output {
    let config = ["--config", "ampoule.toml", "--timeout", "900", "--json"];
    let before = fs::read(&image.path).unwrap();
    let output = image
        .command("learn", &[args, &config].concat())
        .output()
        .unwrap();
    assert!(
        fs::read(&image.path).unwrap() == before,
        "the image has changed"
    );
    output
}

fn config(image: &Image) -> String {
    fs::read_to_string(image.folder.path().join("ampoule.toml")).unwrap()
}

#[test]
fn what_is_learned_is_enough() {
    let image = Image::new(&["serve"], &[8080]);
    let path = image.folder.path().join("ampoule.toml");
    fs::write(&path, CONFIG).unwrap();
    let output = learn(&image, &["--http", "/=200"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let calls: Vec<&str> = report["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call.as_str().unwrap())
        .collect();
    for call in ["socket", "bind", "listen", "accept4"] {
        assert!(calls.contains(&call), "{calls:?}");
    }
    assert!(!calls.contains(&"mount"), "{calls:?}");
    assert_eq!(report["new"], report["calls"]);

    let text = config(&image);
    assert!(
        text.contains("# ours\nname = \"edge\" # a name\n"),
        "{text}"
    );
    let listed = calls.iter().map(|call| (*call).to_owned()).collect();
    let settings = spec::load(&text, &path).unwrap();
    assert_eq!(settings.seccomp, Some(Seccomp::Calls(listed)));

    // built again with them, it answers
    let app = crate::image::app();
    let built = Command::new(env!("CARGO_BIN_EXE_ampoule"))
        .current_dir(&image.folder)
        .arg("build")
        .arg(app)
        .args([
            "--config",
            "ampoule.toml",
            "-o",
            "app.img",
            "--port",
            "8080",
        ])
        .args(["--", "serve"])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", told(&built));
    let summary = String::from_utf8_lossy(&built.stdout).into_owned();
    assert!(summary.contains("seccomp  learned, "), "{summary}");
    let (report, code) = image.test(&["--http", "/=200"]);
    assert_eq!(code, 0, "{report:#}");

    // the image has a filter now, which learning lifts; nothing is new
    let output = learn(&image, &["--http", "/=200"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["new"], serde_json::json!([]), "{report:#}");
    assert_eq!(config(&image), text);
}

#[test]
fn a_call_that_is_not_listed_is_refused_and_told() {
    let mut calls = Policy::Default.allowed(Arch::X86_64);
    calls.retain(|call| sysno::name(Arch::X86_64, *call) != Some("accept4"));
    let names = calls
        .iter()
        .filter_map(|call| sysno::name(Arch::X86_64, *call));
    let seccomp = Seccomp::Calls(names.map(str::to_owned).collect());
    let image = Image::with(&["serve"], &[8080], Some(seccomp));
    let (report, code) = image.test(&["--http", "/=200", "--timeout", "60"]);
    assert_eq!(code, 1, "{report:#}");
    let boot = &report["boots"][0];
    // the app asks again at once, for a minute: init counts, and still stops it in order
    let denied = boot["denied"].as_object().unwrap();
    assert_eq!(denied.keys().collect::<Vec<_>>(), ["accept4"]);
    assert!(denied["accept4"].as_u64() > Some(100), "{report:#}");
    assert_eq!(boot["verdict"]["signal"], 15, "{report:#}");
}

#[test]
fn nothing_is_written_when_an_answer_is_wrong() {
    let image = Image::new(&["serve"], &[8080]);
    fs::write(image.folder.path().join("ampoule.toml"), CONFIG).unwrap();
    let output = learn(&image, &["--http", "/=404"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(config(&image), CONFIG);
}

#[test]
fn a_configuration_that_cannot_be_edited_is_told_before_anything_boots() {
    let image = Image::new(&["serve"], &[8080]);
    fs::write(image.folder.path().join("ampoule.toml"), "prots = [80]\n").unwrap();
    let output = learn(&image, &["--http", "/=200"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("did you mean `ports`?"), "{error}");
}
