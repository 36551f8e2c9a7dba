//! `ampoule test` and `ampoule run` on images of a small app that can be good and bad in many
//! ways. They need the kit, QEMU and OVMF.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use ampoule::digest::Digest;
use ampoule::kit::Kit;
use ampoule::pipeline::{self, Silent};
use ampoule::spec::Settings;
use ampoule::units::Arch;
use serde_json::Value;
use tempfile::TempDir;

/// The app, made once: `tests/guests/app.rs` against a static C library.
fn app() -> &'static Path {
    static APP: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = APP.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let app = folder.path().join("app");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/app.rs");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let status = Command::new(rustc)
            .args(["--edition", "2024", "-O", "-C", "strip=symbols"])
            .args([
                "-C",
                "target-feature=+crt-static",
                "--target",
                "x86_64-unknown-linux-gnu",
            ])
            .arg("-o")
            .arg(&app)
            .arg(source)
            .status()
            .expect("rustc runs");
        assert!(status.success(), "the guest's app was not built");
        (folder, app)
    });
    path
}

/// An image of the app, in a folder of its own that is the working directory of what is run.
struct Image {
    folder: TempDir,
    path: PathBuf,
}

impl Image {
    fn new(args: &[&str], ports: &[u16]) -> Image {
        let kit = Kit::open(Arch::X86_64).expect("the kit is there (ampoule kit build)");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.img");
        let appliance = Settings {
            app: Some(app().to_owned()),
            output: Some(path.clone()),
            args: Some(args.iter().map(|&arg| arg.to_owned()).collect()),
            ports: Some(ports.to_vec()),
            grace: Some(2),
            memory_extra: Some(24),
            ..Settings::default()
        };
        let appliance = appliance.resolve().expect("a whole appliance");
        pipeline::build(&appliance, &kit, &Silent).expect("the image is made");
        Image { folder, path }
    }

    fn command(&self, command: &str, args: &[&str]) -> Command {
        let mut ampoule = Command::new(env!("CARGO_BIN_EXE_ampoule"));
        ampoule
            .current_dir(&self.folder)
            .arg(command)
            .arg("app.img")
            .args(args);
        ampoule.args(["--accel", "tcg"]);
        // a busy machine takes its time; the tests of what never comes say their own
        if command == "test" && !args.contains(&"--timeout") {
            ampoule.args(["--timeout", "900"]);
        }
        ampoule
    }

    /// What `test --json` says, and its exit code. The image stays as it was in any case.
    fn test(&self, args: &[&str]) -> (Value, i32) {
        let before = Digest::of(&fs::read(&self.path).expect("the image"));
        let output = self
            .command("test", args)
            .arg("--json")
            .output()
            .expect("ampoule runs");
        let after = Digest::of(&fs::read(&self.path).expect("the image"));
        assert_eq!(before, after, "the image has changed");
        let report =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
        (report, output.status.code().expect("a code"))
    }
}

fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

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
    let mut file = OpenOptions::new().write(true).open(&image.path).unwrap();
    file.seek(SeekFrom::Start(inspection.uki.offset.0 + section.offset.0))
        .unwrap();
    file.write_all(wanted).unwrap();
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

/// A machine under `ampoule run`, killed with the test.
struct Running {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Running { child, lines }
    }

    fn wait_for(&self, text: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(900)) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line with {text:?} in {seen:#?}");
    }

    /// As a terminal does on Ctrl-C.
    fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn run_shows_the_console_forwards_ports_and_stops_in_order() {
    let image = Image::new(&["serve"], &[8080]);
    let mut running = Running::start(image.command("run", &["-p", "0:8080"]));
    let told = running.wait_for("leads to the guest's port 8080");
    let address = told
        .split_whitespace()
        .find(|word| word.starts_with("127.0.0.1:"))
        .unwrap();
    running.wait_for("listening on 0.0.0.0:8080");
    running.wait_for("ampoule: ready port=8080");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello from the guest\n"), "{answer}");
    running.interrupt();
    running.wait_for("ampoule: stopping reason=power-button");
    // the app ended by SIGTERM
    assert_eq!(running.child.wait().unwrap().code(), Some(128 + 15));
}

#[test]
fn a_second_interrupt_kills_the_machine() {
    let image = Image::new(&["stubborn"], &[8080]);
    let mut running = Running::start(image.command("run", &[]));
    running.wait_for("ampoule: ready port=8080");
    running.interrupt();
    running.wait_for("Ctrl-C again kills");
    running.interrupt();
    running.wait_for("the machine was killed before the app had ended");
    assert_eq!(running.child.wait().unwrap().code(), Some(126));
}

#[test]
fn run_gives_the_apps_code() {
    let image = Image::new(&["exit", "42"], &[]);
    for firmware in ["bios", "microvm"] {
        let output = image
            .command("run", &["--firmware", firmware])
            .output()
            .unwrap();
        assert_eq!(
            output.status.code(),
            Some(42),
            "{firmware}: {}",
            told(&output)
        );
    }
}

#[test]
fn what_stands_in_the_way_is_told_in_one_line() {
    let image = Image::new(&["serve"], &[8080]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let empty = tempfile::tempdir().unwrap();
    fs::write(image.folder.path().join("bad.img"), vec![0x5a; 1 << 20]).unwrap();

    let told = |mut command: Command| {
        let output = command.output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(errors.lines().count(), 1, "{errors}");
        (output.status.code().unwrap(), errors)
    };
    let with = |mut command: Command, name: &str, value: &Path| {
        command.env(name, value);
        command
    };
    let forward = format!("{port}:8080");
    let (code, error) = told(image.command("run", &["-p", &forward]));
    assert_eq!(code, 125, "{error}");
    assert!(
        error.contains(&format!("port {port} on 127.0.0.1 is in use")),
        "{error}"
    );

    let (code, error) = told(with(image.command("test", &[]), "PATH", empty.path()));
    assert_eq!(code, 6, "{error}");
    assert!(
        error.contains("install the package qemu-system-x86"),
        "{error}"
    );

    let nowhere = empty.path().join("none.fd");
    let (code, error) = told(with(
        image.command("test", &["--firmware", "uefi"]),
        "AMPOULE_OVMF",
        &nowhere,
    ));
    assert_eq!(code, 6, "{error}");
    assert!(error.contains("AMPOULE_OVMF names"), "{error}");

    let (code, error) = told(image.command("test", &["--memory", "8"]));
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("MiB of memory and gets 8"), "{error}");

    let (code, error) = told(image.command("run", &["--memory", "8"]));
    assert_eq!(code, 127, "{error}");

    let mut bad = Command::new(env!("CARGO_BIN_EXE_ampoule"));
    bad.current_dir(&image.folder).args(["test", "bad.img"]);
    let (code, error) = told(bad);
    assert_eq!(code, 5, "{error}");

    let mut missing = Command::new(env!("CARGO_BIN_EXE_ampoule"));
    missing
        .current_dir(&image.folder)
        .args(["run", "missing.img"]);
    let (code, error) = told(missing);
    assert_eq!(code, 127, "{error}");
}
