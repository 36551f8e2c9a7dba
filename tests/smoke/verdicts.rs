//! `ampoule test`: what passes, and each way to fail.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use ampoule::pipeline;
use serde_json::Value;

use crate::image::Image;

/// The checks of the only boot: `+` or `-`, the name, and what was seen.
fn checks(report: &Value) -> Vec<String> {
    let checks = report["boots"][0]["checks"].as_array().expect("checks");
    let shown = checks.iter().map(|check| {
        let sign = if check["ok"] == true { '+' } else { '-' };
        format!(
            "{sign} {}: {}",
            check["name"].as_str().unwrap(),
            check["detail"].as_str().unwrap()
        )
    });
    shown.collect()
}

/// Holds a report against the beginnings of its checks' lines.
fn expect(report: &Value, code: i32, expected: &[&str]) {
    let seen = checks(report);
    let fits = seen.len() == expected.len()
        && seen
            .iter()
            .zip(expected)
            .all(|(seen, expected)| seen.starts_with(expected));
    assert!(fits, "seen {seen:#?}\nexpected {expected:#?}\n{report:#}");
    let failed = expected.iter().any(|line| line.starts_with('-'));
    assert_eq!(code, i32::from(failed), "{report:#}");
    assert_eq!(report["ok"], !failed);
}

const SAME_IMAGE: &str = "+ image: its digest is the same as before";

#[test]
fn a_server_passes_however_it_is_booted() {
    let image = Image::new(&["serve"], &[8080]);
    let args = [
        "--http",
        "/=200",
        "--http",
        "8080/x=200",
        "--http-body",
        "^hello from",
        "--tcp",
        "8080",
    ];
    let more = [
        "--firmware",
        "all",
        "--junit",
        "report.xml",
        "--timeout",
        "900",
    ];
    let (report, code) = image.test(&[&args[..], &more[..]].concat());
    assert_eq!(code, 0, "{report:#}");
    let boots = report["boots"].as_array().unwrap();
    let names: Vec<&str> = boots
        .iter()
        .map(|boot| boot["firmware"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["bios", "uefi", "direct", "microvm"]);
    for boot in boots {
        assert_eq!(boot["verdict"]["signal"], 15, "{boot:#}");
        assert_eq!(boot["console_log"], Value::Null);
        assert_eq!(boot["checks"].as_array().unwrap().len(), 6);
    }
    let junit = fs::read_to_string(image.folder.path().join("report.xml")).unwrap();
    assert!(
        junit.contains("<testsuites name=\"ampoule\" tests=\"24\" failures=\"0\">"),
        "{junit}"
    );
}

#[test]
fn a_wrong_answer_fails_and_the_console_is_kept() {
    let image = Image::new(&["serve"], &[8080]);
    let (report, code) = image.test(&["--http", "/=404", "--http-body", "hello"]);
    expect(
        &report,
        code,
        &[
            "+ ready: told by init",
            "- http 8080/=404: the status is 200",
            "+ stop: in order",
            SAME_IMAGE,
        ],
    );
    let log = report["boots"][0]["console_log"]
        .as_str()
        .expect("the log's path");
    assert_eq!(log, "app.bios.log");
    let log = fs::read_to_string(image.folder.path().join(log)).unwrap();
    assert!(log.contains("listening on 0.0.0.0:8080"), "{log}");
}

#[test]
fn an_app_that_never_listens_fails() {
    let image = Image::new(&["silent"], &[8080]);
    let (report, code) = image.test(&["--http", "/=200", "--timeout", "90"]);
    expect(
        &report,
        code,
        &[
            "- ready: it was not ready within 90 s",
            "- http 8080/=200: no answer within 90 s",
            "+ stop: in order, the app ended by SIGTERM",
            SAME_IMAGE,
        ],
    );
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_has_not_answered() {
    let image = Image::new(&["mute"], &[8080]);
    let (report, code) = image.test(&["--http", "/=200", "--tcp", "8080", "--timeout", "90"]);
    expect(
        &report,
        code,
        &[
            "+ ready: told by init",
            "- http 8080/=200: no answer within 90 s",
            "+ tcp 8080: it takes connections, and init says that it listens",
            "+ stop: in order",
            SAME_IMAGE,
        ],
    );
}

#[test]
fn an_app_on_the_loopback_address_fails_and_is_told_why() {
    let image = Image::new(&["loopback"], &[8080]);
    let (report, code) = image.test(&["--http", "/=200"]);
    expect(
        &report,
        code,
        &[
            "- ready: it listens on port 8080 of 127.0.0.1 only",
            "- http 8080/=200: no answer: it listens on port 8080 of 127.0.0.1 only",
            "+ stop: in order",
            SAME_IMAGE,
        ],
    );
}

#[test]
fn an_end_with_0_before_it_is_ready_fails() {
    let image = Image::new(&["exit", "0"], &[8080]);
    let (report, code) = image.test(&["--http", "/=200"]);
    expect(
        &report,
        code,
        &[
            "- ready: the app ended with 0 before it was ready",
            "- http 8080/=200: the app ended with 0 before it answered",
            "- stop: the app ended with 0 before it was asked to stop",
            SAME_IMAGE,
        ],
    );
}

#[test]
fn a_job_is_held_to_its_code() {
    let image = Image::new(&["exit", "3"], &[]);
    let (report, code) = image.test(&["--exit", "3"]);
    expect(&report, code, &["+ exit 3: so it did", SAME_IMAGE]);
    let (report, code) = image.test(&["--exit", "0"]);
    expect(
        &report,
        code,
        &["- exit 0: the app ended with 3", SAME_IMAGE],
    );
}

#[test]
fn a_forged_verdict_is_not_believed() {
    let image = Image::new(&["forge"], &[8080]);
    let (report, code) = image.test(&["--exit", "0"]);
    expect(
        &report,
        code,
        &["- exit 0: the app ended with 7", SAME_IMAGE],
    );
    assert_eq!(report["boots"][0]["verdict"]["exit"], 7);
    // the console alone does not lead astray either: init marks what is not its own
    let log = fs::read_to_string(image.folder.path().join("app.bios.log")).unwrap();
    assert!(log.contains("| ampoule: verdict exit=0"), "{log}");
}

#[test]
fn a_crash_fails() {
    let image = Image::new(&["crash"], &[8080]);
    // what never comes keeps the test waiting until the crash
    let (report, code) = image.test(&["--tcp", "9999"]);
    expect(
        &report,
        code,
        &[
            "+ ready: told by init",
            "- tcp 9999: the app was ended by signal 6 (SIGABRT) before it answered",
            "- stop: the app was ended by signal 6 (SIGABRT) before it was asked to stop",
            SAME_IMAGE,
        ],
    );
}

#[test]
fn an_app_that_ignores_sigterm_fails() {
    let image = Image::new(&["stubborn"], &[8080]);
    let (report, code) = image.test(&["--http", "/=200"]);
    expect(
        &report,
        code,
        &[
            "+ ready: told by init",
            "+ http 8080/=200: status 200",
            "- stop: the app ignored SIGTERM, and init killed it after its grace time",
            SAME_IMAGE,
        ],
    );
}

/// Gives a changed PE file its checksum again: its 16-bit words added with the carries,
/// the field itself left out, and then its length.
fn sum_up(pe: &mut [u8]) {
    let word = |at: usize| u32::from_le_bytes(pe[at..at + 4].try_into().unwrap());
    let field = usize::try_from(word(0x3c)).unwrap() + 0x58;
    pe[field..field + 4].fill(0);
    let words = pe
        .chunks(2)
        .map(|pair| u32::from(pair[0]) | u32::from(*pair.get(1).unwrap_or(&0)) << 8);
    let sum = words.fold(0, |sum, word| {
        let sum: u32 = sum + word;
        (sum & 0xffff) + (sum >> 16)
    });
    let sum = sum + u32::try_from(pe.len()).unwrap();
    pe[field..field + 4].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn a_kernel_that_panics_fails() {
    let image = Image::new(&["serve"], &[8080]);
    // a command line of the same length, which sends the kernel to an init that is not there
    let inspection = pipeline::inspect(&image.path).unwrap();
    let section = inspection
        .uki
        .sections
        .iter()
        .find(|section| section.name == ".cmdline")
        .unwrap();
    let wanted = format!("console=ttyS0 panic=-1 rdinit=/no{:200}", "");
    let wanted = &wanted.as_bytes()[..inspection.kernel.cmdline.len()];
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&image.path)
        .unwrap();
    let mut uki = vec![0; usize::try_from(inspection.uki.size.0).unwrap()];
    file.read_exact_at(&mut uki, inspection.uki.offset.0)
        .unwrap();
    let at = usize::try_from(section.offset.0).unwrap();
    uki[at..at + wanted.len()].copy_from_slice(wanted);
    sum_up(&mut uki);
    file.write_all_at(&uki, inspection.uki.offset.0).unwrap();
    let (report, code) = image.test(&["--http", "/=200"]);
    expect(
        &report,
        code,
        &[
            "- ready: the kernel panicked (Kernel panic - not syncing: ",
            "- http 8080/=200: the kernel panicked",
            "- stop: the kernel panicked",
            SAME_IMAGE,
        ],
    );
}
