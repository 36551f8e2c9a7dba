//! Starting the tools of the build: a fixed environment, an end when asked for.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::Watch;
use super::error::KitError;

/// How often a wait looks whether it should end.
const LOOK: Duration = Duration::from_millis(200);
/// Lines of a failed program that are told.
const LAST_LINES: usize = 12;
/// Where programs are looked for: no wrapper, no compiler cache.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program in an environment that is the same everywhere: nothing of the caller's
/// but what apt may need to reach the archive.
pub(super) fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    for name in [
        "HOME",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "APT_CONFIG",
    ] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Waits a moment; ends the wait when someone asked to stop.
pub(super) fn pause(watch: &dyn Watch) -> Result<(), KitError> {
    thread::sleep(LOOK);
    if watch.stop() {
        Err(KitError::Interrupted)
    } else {
        Ok(())
    }
}

/// Runs a short program and gives its standard output.
pub(super) fn output(command: &mut Command, purpose: &str) -> Result<Vec<u8>, KitError> {
    let out: Output = command
        .output()
        .map_err(|error| failed(purpose, "it could not be started", &error.to_string()))?;
    if out.status.success() {
        return Ok(out.stdout);
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(failed(purpose, &out.status.to_string(), said.trim()))
}

/// Runs a long program, handing each line that it prints to `line`. It ends, with
/// all that it started, when [`Watch::stop`] says so.
pub(super) fn run(
    command: &mut Command,
    purpose: &str,
    watch: &dyn Watch,
    mut line: impl FnMut(&str),
) -> Result<(), KitError> {
    // a group of its own: Ctrl-C comes to us first, and we end all of it
    command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = Running(
        command
            .spawn()
            .map_err(|error| failed(purpose, "it could not be started", &error.to_string()))?,
    );
    let lines = read_lines(&mut child.0);
    let mut last = VecDeque::new();
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(text) => {
                line(&text);
                if last.len() == LAST_LINES {
                    last.pop_front();
                }
                last.push_back(text);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if watch.stop() {
            return Err(KitError::Interrupted);
        }
    }
    let status = child.wait(purpose)?;
    if status.success() {
        return Ok(());
    }
    let said: Vec<String> = last.into();
    Err(failed(purpose, &status.to_string(), &said.join("; ")))
}

fn failed(purpose: &str, status: &str, said: &str) -> KitError {
    KitError::Command {
        command: purpose.to_owned(),
        status: status.to_owned(),
        said: said.replace('\n', "; "),
    }
}

/// A child whose whole group is killed when it is dropped before its end.
struct Running(Child);

impl Running {
    fn wait(&mut self, purpose: &str) -> Result<ExitStatus, KitError> {
        self.0
            .wait()
            .map_err(|error| failed(purpose, "it cannot be waited for", &error.to_string()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        let group = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Both streams of `child`, line by line; the channel closes with them.
fn read_lines(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|out| Box::new(out) as _),
        child.stderr.take().map(|err| Box::new(err) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    break;
                }
            }
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{Event, Silent};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn shell(script: &str) -> Command {
        let mut command = tool("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_of_both_streams_arrive() {
        let mut seen = Vec::new();
        run(
            &mut shell("echo one; echo two >&2"),
            "sh",
            &Silent,
            |line| seen.push(line.to_owned()),
        )
        .unwrap();
        seen.sort();
        assert_eq!(seen, ["one", "two"]);
    }

    #[test]
    fn a_failure_tells_the_last_lines_in_one() {
        let error = run(
            &mut shell("echo a; echo b; exit 3"),
            "the test",
            &Silent,
            |_| {},
        );
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "the test failed (exit status: 3): a; b");
    }

    #[test]
    fn a_stop_ends_the_whole_group() {
        struct Stop(AtomicBool);
        impl Watch for Stop {
            fn event(&self, _: &Event<'_>) {}
            fn stop(&self) -> bool {
                self.0.load(Ordering::SeqCst)
            }
        }
        let watch = Stop(AtomicBool::new(false));
        // the grandchild keeps the pipe open: only its death ends the wait below
        let mut script = shell("sleep 1000 & echo $!; wait");
        let mut pid = String::new();
        let ended = run(&mut script, "sh", &watch, |line| {
            pid = line.to_owned();
            watch.0.store(true, Ordering::SeqCst);
        });
        assert!(matches!(ended, Err(KitError::Interrupted)));
        // it is no child of ours to wait for, and a killed process takes a moment to go
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{state}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_environment_is_ours() {
        let out = output(
            tool("sh").args(["-c", "echo $LC_ALL $TZ $PATH $LANG"]),
            "sh",
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap().trim(),
            format!("C UTC {PATH}")
        );
    }
}
