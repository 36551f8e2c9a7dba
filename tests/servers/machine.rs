//! A sealed server and the machine that it boots in, both through the command as a user has it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ampoule::cli::machine::Firmware;
use ampoule_init::report::{self, Report};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::corpus::Server;
use crate::probe::Probe;

/// The longest that a boot, or the way from listening to the first right answer, may take: the largest server, under
/// OVMF, on a software processor that other tests use too.
const DEADLINE: Duration = Duration::from_secs(300);

fn ampoule() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ampoule"))
}

/// An image with a server in it.
pub struct Sealed {
    folder: TempDir,
}

/// What a command said, and its exit code.
pub struct Outcome {
    pub code: Option<i32>,
    pub output: String,
}

impl Sealed {
    /// Runs `ampoule build` as the server's row says.
    pub fn from(server: &Server) -> Sealed {
        let folder =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to build in");
        let sealed = Sealed { folder };
        sealed.configure(server, "");
        let outcome = sealed.build(server, server.allow_shell);
        assert_eq!(outcome.code, Some(0), "ampoule build: {}", outcome.output);
        sealed
    }

    /// What `ampoule build` says of a server that it must refuse.
    pub fn refusal(server: &Server) -> String {
        let folder =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to build in");
        let sealed = Sealed { folder };
        sealed.configure(server, "");
        let outcome = sealed.build(server, false);
        assert_eq!(outcome.code, Some(3), "ampoule build: {}", outcome.output);
        assert!(!sealed.image().exists(), "an image was left behind");
        outcome.output
    }

    /// Runs `ampoule learn` with the questions `args`, and builds the image again with what
    /// was learned.
    pub fn learned(server: &Server, args: &[&str]) -> Sealed {
        let sealed = Sealed::from(server);
        let learned = outcome(
            ampoule()
                .current_dir(sealed.folder.path())
                .arg("learn")
                .arg(sealed.image())
                .args(["--config", "ampoule.toml", "--timeout", "300"])
                .args(args),
        );
        assert_eq!(learned.code, Some(0), "ampoule learn: {}", learned.output);
        let built = sealed.build(server, server.allow_shell);
        assert!(
            built.output.contains("seccomp  learned, "),
            "ampoule build: {}",
            built.output
        );
        sealed
    }

    /// The same with the calls that the server's code holds.
    pub fn derived(server: &Server) -> Sealed {
        let sealed = Sealed::from(server);
        sealed.configure(server, "seccomp = \"derived\"\n");
        let built = sealed.build(server, server.allow_shell);
        assert!(
            built.output.contains("seccomp  derived, "),
            "ampoule build: {}",
            built.output
        );
        sealed
    }

    /// Writes what has no flag of `ampoule build`.
    fn configure(&self, server: &Server, more: &str) {
        let text = format!("memory-extra = \"{}\"\n{more}", server.memory_extra);
        fs::write(self.folder.path().join("ampoule.toml"), text)
            .expect("the folder can be written");
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image.img")
    }

    fn build(&self, server: &Server, allow_shell: bool) -> Outcome {
        let mut command = ampoule();
        command
            .arg("build")
            .arg(server.program())
            .arg("--output")
            .arg(self.image());
        // flags go over a file: what has no flag comes from there
        let config = self.folder.path().join("ampoule.toml");
        command.arg("--config").arg(config);
        for port in &server.ports {
            command.args(["--port", &port.to_string()]);
        }
        for (number, (guest, text)) in server.content.iter().enumerate() {
            let host = self.folder.path().join(format!("content-{number}"));
            fs::write(&host, text).expect("the folder can be written");
            command
                .arg("--file")
                .arg(format!("{}:{guest}", host.display()));
        }
        for file in &server.files {
            assert!(
                Path::new(file).exists(),
                "{file} is missing: install ca-certificates"
            );
            command.args(["--file", &format!("{file}:{file}")]);
        }
        if allow_shell {
            command.arg("--allow-shell");
        }
        outcome(command.arg("--").args(&server.args))
    }

    /// Runs `ampoule test`.
    pub fn test(&self, args: &[&str]) -> Outcome {
        outcome(
            ampoule() // the console of a failed boot is kept in the current folder
                .current_dir(self.folder.path())
                .arg("test")
                .arg(self.image())
                .args(args),
        )
    }

    /// The SHA-256 of the image.
    pub fn digest(&self) -> Vec<u8> {
        let mut hasher = Sha256::new();
        io::copy(
            &mut File::open(self.image()).expect("the image is there"),
            &mut hasher,
        )
        .expect("and can be read");
        hasher.finalize().to_vec()
    }

    /// Starts `ampoule run`.
    pub fn boot(&self, server: &Server, firmware: Firmware) -> Machine {
        Machine::start(&self.image(), server, firmware)
    }

    /// Notes for `scripts/boots` that every probe of `server` was answered.
    pub fn record(&self, firmware: Firmware, server: &Server, end: &End) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boots");
        fs::create_dir_all(&folder).expect("the folder of results can be made");
        let probes: Vec<String> = server.probes.iter().map(ToString::to_string).collect();
        let mebibytes = fs::metadata(self.image())
            .expect("the image is there")
            .len()
            >> 20;
        let row = format!(
            "{}\t{}\t{}\t{}\t{mebibytes}\t{}\t{}\n",
            server.name,
            server.version,
            server.make,
            firmware.name(),
            probes.join(", "),
            end.verdict,
        );
        fs::write(
            folder.join(format!("{}.{}", server.name, firmware.name())),
            row,
        )
        .expect("and written to");
    }
}

fn outcome(command: &mut Command) -> Outcome {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    let text = [output.stdout, output.stderr].concat();
    Outcome {
        code: output.status.code(),
        output: String::from_utf8_lossy(&text).into_owned(),
    }
}

/// How a machine ended.
pub struct End {
    /// Init's last word, without its beginning.
    pub verdict: String,
}

/// A running `ampoule run`. It is killed, and QEMU with it, when this is dropped.
pub struct Machine {
    child: Child,
    lines: Receiver<String>,
    console: Vec<String>,
    /// Ports of the guest and where they lead out.
    ports: Vec<(u16, u16)>,
    /// Server and firmware, for messages.
    name: String,
}

impl Machine {
    fn start(image: &Path, server: &Server, firmware: Firmware) -> Machine {
        let ports: Vec<(u16, u16)> = server
            .ports
            .iter()
            .copied()
            .zip(free_ports(server.ports.len()))
            .collect();
        let mut command = ampoule();
        command
            .arg("run")
            .arg(image)
            .args(["--firmware", firmware.name()]);
        for (guest, host) in &ports {
            command.args(["-p", &format!("{host}:{guest}")]);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let (sender, lines) = mpsc::channel();
        relay(child.stdout.take().expect("it is piped"), sender.clone());
        relay(child.stderr.take().expect("it is piped"), sender);
        let name = format!("{} under {}", server.name, firmware.name());
        Machine {
            child,
            lines,
            console: Vec::new(),
            ports,
            name,
        }
    }

    /// Waits until init says that every declared port listens.
    pub fn wait_until_ready(&mut self) {
        self.wait_for("ready", |report| matches!(report, Report::Ready { .. }));
    }

    /// Asks until the answer is right: a server can listen before it can answer.
    pub fn ask(&mut self, probe: &Probe) {
        let port = self
            .ports
            .iter()
            .find(|(guest, _)| *guest == probe.port())
            .expect("a declared port")
            .1;
        let deadline = Instant::now() + DEADLINE;
        while let Err(error) = probe.ask(port) {
            if Instant::now() > deadline {
                self.fail(&format!("{probe}: {error}"));
            }
            // the console is quiet or not: either way the next question waits a moment
            match self.lines.recv_timeout(Duration::from_millis(300)) {
                Ok(line) => self.console.push(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.fail(&format!("{probe}: the machine ended"))
                }
            }
        }
    }

    /// The reports of refused calls so far.
    pub fn denied(&self) -> Vec<&String> {
        let denial =
            |line: &&String| matches!(report::parse(line.as_bytes()), Some(Report::Denied { .. }));
        self.console.iter().filter(denial).collect()
    }

    /// Asks it to stop as Ctrl-C would, and waits for its verdict and its end.
    pub fn stop(mut self) -> End {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it still runs");
        self.wait_for("stopping", |report| {
            matches!(report, Report::Stopping { .. })
        });
        let verdict = self.wait_for("verdict", |report| matches!(report, Report::Verdict(_)));
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            self.console.push(line);
        }
        let status = self.child.wait().expect("it is our child");
        if status.code().is_none_or(|code| (125..=127).contains(&code)) {
            self.fail(&format!("the machine failed: {status}"));
        }
        End {
            verdict: verdict.trim_start_matches("ampoule: verdict ").to_owned(),
        }
    }

    /// Reads the console up to the report that `is_it`, and returns that line.
    fn wait_for(&mut self, what: &str, is_it: impl Fn(&Report<'_>) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                self.fail(&format!("no report '{what}'"));
            };
            self.console.push(line.clone());
            if report::parse(line.as_bytes()).is_some_and(|report| is_it(&report)) {
                return line;
            }
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!(
            "{}: {what}; its console:\n{}",
            self.name,
            self.console.join("\n")
        );
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // it has ended already unless a test fails
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends each line of `from` on, without its end.
fn relay(from: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {
            if to
                .send(String::from_utf8_lossy(&line).trim_end().to_owned())
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
}

/// Ports of this machine that nobody listens on, all different.
fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"))
        .collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().expect("it is bound").port())
        .collect()
}
