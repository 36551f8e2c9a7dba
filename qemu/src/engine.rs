//! The thread that owns QEMU and all its sockets, from its start to its end.
//!
//! One thread, since the kernel's death signal goes by the *thread* that started the child: it
//! lives exactly as long as the child does. It waits in one `poll` for everything that can
//! happen, and hands it on as [`Event`]s.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::{Value, json};

use crate::lines::Lines;
use crate::qmp::{self, Message};
use crate::vm::Control;
use crate::{Error, Forward, forward};

/// Something that happened to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Bytes of the serial console, as they came.
    Console(Vec<u8>),
    /// A line is complete. What is not UTF-8 in it is replaced.
    Line(Source, String),
    /// The guest's kernel says that it panicked.
    Panicked,
    /// QEMU has ended. The last event.
    Exit(Exit),
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The serial console, where an app's output shows too.
    Console,
    /// The virtio-serial port `ampoule.report`, to which the guest's PID 1 alone can write.
    Report,
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Why QEMU ended.
    pub stop: Stop,
    /// Whether the guest's kernel said that it panicked.
    pub panicked: bool,
    /// QEMU's own messages.
    pub messages: String,
}

/// Why QEMU ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The guest switched the machine off.
    PoweredOff,
    /// The guest reset the machine.
    Reset,
    /// The guest's kernel panicked, and QEMU ended for it.
    Panicked,
    /// It was told to from outside: by this crate, or by a signal.
    Host,
    /// QEMU could not go on, or died.
    Failed(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stop::PoweredOff => "the guest powered the machine off",
            Stop::Reset => "the guest reset the machine",
            Stop::Panicked => "the guest's kernel panicked",
            Stop::Host => "the machine was stopped from outside",
            Stop::Failed(reason) => return write!(f, "qemu failed: {reason}"),
        })
    }
}

/// What QEMU connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Qmp,
    Console,
    Report,
}

/// A machine about to be started.
pub(crate) struct Launch {
    pub command: Command,
    pub listeners: Vec<(Channel, UnixListener)>,
    pub forwards: Vec<Forward>,
    /// When QEMU must have answered on its control connection.
    pub deadline: Instant,
}

/// A machine that runs.
pub(crate) struct Started {
    pub control: Control,
    pub forwards: Vec<Forward>,
}

/// The events on their way, and how many bytes of console are in them.
pub(crate) struct Queue {
    pub events: Receiver<Event>,
    pub bytes: Arc<AtomicUsize>,
}

/// Console bytes that may wait to be taken. Past it the console is not read, and the guest's
/// output blocks, as it would on a slow terminal.
const QUEUE_LIMIT: usize = 4 << 20;

/// QEMU's messages are kept up to here.
const MESSAGES_LIMIT: usize = 64 << 10;

/// The identifiers of the handshake's commands; [`Control`]'s begin above.
const CAPABILITIES: u64 = 1;
const USERNET: u64 = 2;
const CONTINUE: u64 = 3;
const STATUS: u64 = 4;
pub(crate) const FIRST_FREE_ID: u64 = 16;

/// Runs a machine to its end. What happens before it runs is told through `started`.
pub(crate) fn run(
    launch: Launch,
    started: Sender<Result<Started, Error>>,
    events: Sender<Event>,
    queued: Arc<AtomicUsize>,
) {
    match Engine::spawn(launch, started.clone(), events, queued) {
        Ok(mut engine) => engine.run(),
        // the receiver waits for this as long as there is a sender
        Err(error) => drop(started.send(Err(error))),
    }
}

struct Engine {
    child: Child,
    pidfd: Arc<OwnedFd>,
    stderr: Option<ChildStderr>,
    messages: Vec<u8>,
    listeners: Vec<(Channel, UnixListener)>,
    streams: Vec<Stream>,
    /// Some until the machine runs.
    started: Option<Sender<Result<Started, Error>>>,
    deadline: Instant,
    forwards: Vec<Forward>,
    control: Option<Control>,
    events: Sender<Event>,
    queued: Arc<AtomicUsize>,
    stop: Option<Stop>,
    panicked: bool,
}

struct Stream {
    channel: Channel,
    socket: UnixStream,
    lines: Lines,
}

#[derive(Clone, Copy)]
enum Token {
    Child,
    Stderr,
    Listener(usize),
    Stream(usize),
}

impl Engine {
    fn spawn(
        launch: Launch,
        started: Sender<Result<Started, Error>>,
        events: Sender<Event>,
        queued: Arc<AtomicUsize>,
    ) -> Result<Engine, Error> {
        let Launch {
            mut command,
            listeners,
            forwards,
            deadline,
        } = launch;
        // its own process group: a terminal's Ctrl-C is for us to act on
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(Error::host("start qemu"))?;
        let pidfd = match open_pidfd(&child) {
            Ok(pidfd) => Arc::new(pidfd),
            Err(error) => {
                // not reaped yet, so the number is still its own
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let stderr = child.stderr.take();
        if let Some(stderr) = &stderr {
            let _ = rustix::io::ioctl_fionbio(stderr, true);
        }
        Ok(Engine {
            child,
            pidfd,
            stderr,
            messages: Vec::new(),
            listeners,
            streams: Vec::new(),
            started: Some(started),
            deadline,
            forwards,
            control: None,
            events,
            queued,
            stop: None,
            panicked: false,
        })
    }

    fn run(&mut self) {
        loop {
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(error) => {
                    self.fail(Error::Host {
                        what: "wait for qemu",
                        source: error.into(),
                    });
                    break;
                }
            };
            let ended = ready.iter().any(|token| matches!(token, Token::Child));
            for token in ready {
                self.serve(token);
            }
            if ended {
                break;
            }
            if self.started.is_some() && Instant::now() >= self.deadline {
                let messages = self.messages();
                self.fail(Error::Qmp(format!(
                    "no answer in time{}{messages}",
                    sep(&messages)
                )));
            }
        }
        self.finish();
    }

    /// Waits until something can be read.
    fn wait(&self) -> rustix::io::Result<Vec<Token>> {
        let throttled = self.queued.load(Ordering::Relaxed) > QUEUE_LIMIT;
        let mut tokens = vec![Token::Child];
        let mut fds = vec![readable(self.pidfd.as_fd())];
        if let Some(stderr) = &self.stderr {
            tokens.push(Token::Stderr);
            fds.push(readable(stderr.as_fd()));
        }
        for (at, (_, listener)) in self.listeners.iter().enumerate() {
            tokens.push(Token::Listener(at));
            fds.push(readable(listener.as_fd()));
        }
        for (at, stream) in self.streams.iter().enumerate() {
            if !(throttled && stream.channel == Channel::Console) {
                tokens.push(Token::Stream(at));
                fds.push(readable(stream.socket.as_fd()));
            }
        }
        let timeout = match (&self.started, throttled) {
            (Some(_), _) => Some(self.deadline.saturating_duration_since(Instant::now())),
            (None, true) => Some(Duration::from_millis(20)),
            (None, false) => None,
        };
        let timeout = timeout.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        // later ones first, so that taking one out does not move those still to be served
        let ready = fds
            .iter()
            .zip(tokens)
            .filter(|(fd, _)| !fd.revents().is_empty());
        Ok(ready.map(|(_, token)| token).rev().collect())
    }

    fn serve(&mut self, token: Token) {
        match token {
            Token::Child => {}
            Token::Stderr => self.read_messages(),
            Token::Listener(at) => self.accept(at),
            Token::Stream(at) => {
                if !self.read(at) {
                    self.last_line(at);
                    self.streams.remove(at);
                }
            }
        }
    }

    fn accept(&mut self, at: usize) {
        let (channel, listener) = self.listeners.remove(at);
        let accepted = listener.accept().and_then(|(socket, _)| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        match accepted {
            Ok(socket) => self.streams.push(Stream {
                channel,
                socket,
                lines: Lines::default(),
            }),
            Err(source) => self.fail(Error::Host {
                what: "accept qemu's connection",
                source,
            }),
        }
    }

    /// Reads all that is there; false at the stream's end.
    fn read(&mut self, at: usize) -> bool {
        let mut buffer = [0; 16 << 10];
        loop {
            match self.streams[at].socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.take(at, &buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // a reset is how a killed process' connection ends
                Err(_) => return false,
            }
            if self.queued.load(Ordering::Relaxed) > QUEUE_LIMIT {
                return true;
            }
        }
    }

    fn take(&mut self, at: usize, bytes: &[u8]) {
        let channel = self.streams[at].channel;
        let mut lines = Vec::new();
        self.streams[at]
            .lines
            .feed(bytes, |line| lines.push(line.to_vec()));
        if channel == Channel::Console {
            self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
            self.send(Event::Console(bytes.to_vec()));
        }
        for line in lines {
            self.line(channel, &line);
        }
    }

    /// Tells what came after the last line's end.
    fn last_line(&mut self, at: usize) {
        let channel = self.streams[at].channel;
        let mut rest = Vec::new();
        self.streams[at]
            .lines
            .finish(|line| rest.extend_from_slice(line));
        if !rest.is_empty() && channel != Channel::Qmp {
            self.line(channel, &rest);
        }
    }

    fn line(&mut self, channel: Channel, line: &[u8]) {
        let source = match channel {
            Channel::Qmp => return self.message(line),
            Channel::Console => Source::Console,
            Channel::Report => Source::Report,
        };
        self.send(Event::Line(
            source,
            String::from_utf8_lossy(line).into_owned(),
        ));
    }

    /// Acts on a message of QEMU's: the handshake, replies, events.
    fn message(&mut self, line: &[u8]) {
        let message = match qmp::parse(line) {
            Ok(message) => message,
            Err(reason) => return self.fail(Error::Qmp(reason)),
        };
        match message {
            Message::Greeting => self.command("qmp_capabilities", Value::Null, CAPABILITIES),
            Message::Return {
                id: Some(CAPABILITIES),
                ..
            } => {
                // ports that QEMU chose itself have to be asked for
                if self.forwards.iter().any(|forward| forward.host == 0) {
                    let arguments = json!({ "command-line": "info usernet" });
                    self.command("human-monitor-command", arguments, USERNET);
                } else {
                    self.command("cont", Value::Null, CONTINUE);
                }
            }
            Message::Return {
                id: Some(USERNET),
                value,
            } => match forward::fill_in(&mut self.forwards, value.as_str().unwrap_or_default()) {
                Ok(()) => self.command("cont", Value::Null, CONTINUE),
                Err(error) => self.fail(error),
            },
            Message::Return {
                id: Some(CONTINUE), ..
            } => self.announce(),
            Message::Return {
                id: Some(STATUS),
                value,
            } => self.halted(&value),
            Message::Return {
                id: Some(id),
                value,
            } => self.reply(id, Ok(value)),
            Message::Error {
                id: Some(id),
                description,
            } if id >= FIRST_FREE_ID => {
                self.reply(id, Err(description));
            }
            Message::Error { description, .. } => self.fail(Error::Qmp(description)),
            Message::Event { name, data } => self.event(&name, &data),
            Message::Return { id: None, .. } => {}
        }
    }

    /// What QEMU tells unasked ("QEMU QMP Reference Manual", run-state).
    fn event(&mut self, name: &str, data: &Value) {
        match name {
            "SHUTDOWN" => {
                let stop = match data.get("reason").and_then(Value::as_str) {
                    Some("guest-shutdown") => Stop::PoweredOff,
                    Some("guest-reset") => Stop::Reset,
                    Some("guest-panic") => Stop::Panicked,
                    Some("host-error") => Stop::Failed("an error of the host".to_owned()),
                    _ => Stop::Host,
                };
                self.stop.get_or_insert(stop);
            }
            "GUEST_PANICKED" => {
                self.panicked = true;
                self.send(Event::Panicked);
            }
            // nobody here pauses a machine: it is an end, or something is broken
            "STOP" => self.command("query-status", Value::Null, STATUS),
            _ => {}
        }
    }

    /// A machine that stands still for a fault of QEMU or of the host will not go on.
    fn halted(&mut self, status: &Value) {
        let status = status
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if matches!(status, "internal-error" | "io-error") {
            let messages = self.messages();
            self.stop = Some(Stop::Failed(format!(
                "{status}{}{messages}",
                sep(&messages)
            )));
            self.kill();
        }
    }

    fn command(&mut self, name: &str, arguments: Value, id: u64) {
        let line = qmp::command(name, arguments, id);
        let socket = self
            .streams
            .iter_mut()
            .find(|stream| stream.channel == Channel::Qmp);
        // if it cannot be written to, QEMU is at its end, and that is noticed elsewhere
        if let Some(stream) = socket {
            let _ = stream.socket.write_all(&line);
        }
    }

    fn reply(&mut self, id: u64, result: Result<Value, String>) {
        if let Some(control) = &self.control {
            control.deliver(id, result);
        }
    }

    /// Tells that the machine runs.
    fn announce(&mut self) {
        let socket = self
            .streams
            .iter()
            .find(|stream| stream.channel == Channel::Qmp);
        let clone = socket.map(|stream| stream.socket.try_clone());
        let (Some(started), Some(Ok(socket))) = (self.started.take(), clone) else {
            return self.fail(Error::Qmp("it closed".to_owned()));
        };
        let control = Control::new(self.child.id(), Arc::clone(&self.pidfd), socket);
        self.control = Some(control.clone());
        let forwards = std::mem::take(&mut self.forwards);
        let _ = started.send(Ok(Started { control, forwards }));
    }

    fn send(&self, event: Event) {
        // nobody may listen any more: the handle is being dropped
        let _ = self.events.send(event);
    }

    fn read_messages(&mut self) {
        let Some(stderr) = &mut self.stderr else {
            return;
        };
        let mut buffer = [0; 4096];
        loop {
            match stderr.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let room = MESSAGES_LIMIT.saturating_sub(self.messages.len());
                    self.messages.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.stderr = None;
    }

    /// QEMU's messages as one line, without its name in front.
    fn messages(&self) -> String {
        let text = String::from_utf8_lossy(&self.messages);
        let lines = text.lines().map(|line| match line.split_once(": ") {
            Some((name, rest)) if name.starts_with("qemu-system-") => rest,
            _ => line,
        });
        lines
            .filter(|line| !line.contains("warning: "))
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// Gives up: tells why, if the machine did not run yet, and kills it.
    fn fail(&mut self, error: Error) {
        match self.started.take() {
            Some(started) => drop(started.send(Err(error))),
            None => drop(self.stop.get_or_insert(Stop::Failed(error.to_string()))),
        }
        self.kill();
    }

    fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Reaps the child, hands out what it left in the sockets, and tells of its end.
    fn finish(&mut self) {
        let status = self.child.wait();
        self.read_messages();
        // a connection may have been made and never been seen
        for at in (0..self.listeners.len()).rev() {
            if self.listeners[at].1.set_nonblocking(true).is_ok() {
                self.accept_left(at);
            }
        }
        self.queued.store(0, Ordering::Relaxed);
        for at in 0..self.streams.len() {
            while self.read(at) && self.queued.swap(0, Ordering::Relaxed) > QUEUE_LIMIT {}
            self.last_line(at);
        }
        if let Some(control) = &self.control {
            control.close();
        }
        if let Some(started) = self.started.take() {
            let _ = started.send(Err(self.refusal()));
        }
        let stop = self
            .stop
            .take()
            .unwrap_or_else(|| self.unexplained(status.ok()));
        let exit = Exit {
            stop,
            panicked: self.panicked,
            messages: self.messages(),
        };
        self.send(Event::Exit(exit));
    }

    fn accept_left(&mut self, at: usize) {
        if let Ok((socket, _)) = self.listeners[at].1.accept() {
            if socket.set_nonblocking(true).is_ok() {
                let channel = self.listeners[at].0;
                self.streams.push(Stream {
                    channel,
                    socket,
                    lines: Lines::default(),
                });
            }
        }
    }

    /// Why QEMU ended before the machine ran.
    fn refusal(&self) -> Error {
        let text = String::from_utf8_lossy(&self.messages);
        if let Some(forward) = forward::refused(&self.forwards, &text) {
            return forward
                .check_free()
                .err()
                .unwrap_or_else(|| Error::PortInUse {
                    address: forward.address.to_string(),
                    port: forward.host,
                });
        }
        match self.messages() {
            messages if messages.is_empty() => Error::Refused("it ended without a word".to_owned()),
            messages => Error::Refused(messages),
        }
    }

    /// The end of a QEMU that told no reason.
    fn unexplained(&self, status: Option<ExitStatus>) -> Stop {
        let how = match status {
            Some(status) if status.signal() == Some(Signal::KILL.as_raw()) => return Stop::Host,
            Some(status) => status.to_string(),
            None => "its end was not seen".to_owned(),
        };
        let messages = self.messages();
        Stop::Failed(format!("{how}{}{messages}", sep(&messages)))
    }
}

fn open_pidfd(child: &Child) -> Result<OwnedFd, Error> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let opened = pid
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    opened.map_err(|error| Error::Host {
        what: "watch qemu",
        source: error.into(),
    })
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}

fn sep(messages: &str) -> &'static str {
    if messages.is_empty() { "" } else { ": " }
}
