//! `ampoule run`: the console, the ports, Ctrl-C, exit codes; and what stands in the way.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::image::{Image, told};

/// A machine under `ampoule run`, killed with the test.
struct Running {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
    seen: Vec<String>,
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
        let seen = Vec::new();
        Running { child, lines, seen }
    }

    /// A line with `text`, of those that came already or will: the app's lines and
    /// init's reports come in either order.
    fn wait_for(&mut self, text: &str) -> String {
        let fits = |line: &&String| line.contains(text);
        if let Some(line) = self.seen.iter().find(fits) {
            return line.clone();
        }
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(900)) {
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
        panic!("no line with {text:?} in {:#?}", self.seen);
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
    let mut args = vec!["-p", "0:8080"];
    let mut addresses = vec!["127.0.0.1:"];
    // a machine without IPv6 has no such address to bind
    if TcpListener::bind("[::1]:0").is_ok() {
        args.extend(["-p", "[::1]:0:8080"]);
        addresses.push("[::1]:");
    }
    let mut running = Running::start(image.command("run", &args));
    running.wait_for("listening on 0.0.0.0:8080");
    running.wait_for("ampoule: ready port=8080");
    for beginning in addresses {
        let told = running.wait_for(beginning);
        assert!(told.ends_with("leads to the guest's port 8080"), "{told}");
        let address = told
            .split_whitespace()
            .find(|word| word.starts_with(beginning))
            .unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello from the guest\n"), "{answer}");
    }
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
    assert!(
        error.contains("MiB of memory to boot by bios and gets 8"),
        "{error}"
    );

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
